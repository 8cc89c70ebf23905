//! The engine: what an app embeds.
//!
//! `engine` is the handle. Behind it one thread (`shell`) owns the `core`, which owns the `store`
//! and the order of commits; the `link` moves its bytes. The core does no IO of its own.

pub mod clock;
pub mod config;
pub mod core;
pub mod engine;
pub mod event;
pub mod housekeeping;
pub mod json;
pub mod link;
pub mod live;
pub mod options;
pub mod result;
pub mod roots;
#[cfg(feature = "rpc")]
pub mod rpc;
mod shell;
pub mod status;
pub mod store;
pub mod subscription;
pub mod token;
pub mod transport;
