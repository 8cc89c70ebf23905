//! The engine: what an app embeds.

pub mod event;
pub mod json;
pub mod store;
