//! The checks, by what they are about.

pub mod calls;
pub mod devices;
pub mod due;
pub mod feed;
pub mod retention;
pub mod transactions;
