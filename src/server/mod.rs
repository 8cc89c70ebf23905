//! The signalling server: sessions, rules with authority, deadlines, presence, feeds.

mod addresses;
pub mod auth;
pub mod certificate;
mod clock;
pub mod core;
pub mod listener;
pub mod push;
mod service;
mod sessions;
pub mod settings;
pub mod store;

pub use service::{INPUTS_PER_STEP_MAX, INPUTS_WAITING_MAX, Server, ServerConfig, ServerError};
