//! The signalling server: sessions, rules with authority, deadlines, presence, feeds.

pub mod store;
