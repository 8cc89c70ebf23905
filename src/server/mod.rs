//! The signalling server.

pub mod auth;
pub mod certificate;
