//! What a broken environment and a hostile peer can do to whole processes and engines: an error at
//! most, never a panic, a hang or a loss.

mod environment;
mod fake;
mod files;
mod paths;
mod server;
mod threads;
