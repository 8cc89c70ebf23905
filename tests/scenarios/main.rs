//! A real server process and real engines over QUIC, with their databases on disk.

mod support;

mod general;
