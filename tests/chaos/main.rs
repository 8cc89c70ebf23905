//! The real thing in bad weather: the server and the devices as processes, real QUIC through relays
//! that lose, delay, repeat and cut datagrams; kills at random moments; devices that move.

mod blocked;
mod driver;
mod moving;
mod process;
mod proxy;
mod random;
mod sql;
mod storm;
