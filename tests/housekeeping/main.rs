//! Keeping the database small, copying it while it is in use, and putting copies where databases are
//! to be: real files, through the engine.

#![cfg(feature = "cli")]

mod backup;
mod room;
mod support;
