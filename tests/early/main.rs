//! The hello with the first packet: what it saves, what refuses it, and that nobody gains anything by
//! sending one again. Real engines, a real server, and a proxy that sees every datagram.

mod ahead;
mod database;
#[cfg(target_os = "linux")]
#[cfg(target_os = "linux")]
mod hour;
#[path = "../common/proxy.rs"]
mod proxy;
mod quic;
mod replay;
mod resume;
mod stage;
