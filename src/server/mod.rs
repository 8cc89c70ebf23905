//! The signalling server: sessions, rules with authority, deadlines, presence, feeds.

pub mod auth;
pub mod certificate;
pub mod core;
pub mod push;
pub mod settings;
pub mod store;
