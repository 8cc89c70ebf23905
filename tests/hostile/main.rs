//! What a broken environment and a hostile peer can do to whole processes and engines: an error at
//! most, never a panic, a hang or a loss.

mod environment;
mod fake;
mod files;
mod live;
mod paths;
#[path = "../serve/raw.rs"]
mod raw;
mod server;
mod threads;
