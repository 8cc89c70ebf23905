//! A real server process and real engines over QUIC, with their databases on disk.

mod story;
mod support;

mod advanced;
mod general;
mod modes;
