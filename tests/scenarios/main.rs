//! A real server process and real engines over QUIC, with their databases on disk.

mod disk;
mod story;
mod support;

mod advanced;
mod backups;
mod bad_input;
mod copies;
mod devices;
mod general;
mod joining;
mod lifecycle;
mod modes;
mod refusals;
mod restored;
mod tokens;
