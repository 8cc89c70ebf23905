//! What becomes of the files when machines, disks and people do what they do.

#![cfg(all(feature = "client", feature = "server"))]

#[path = "../common/disk/mod.rs"]
mod disk;
mod disks;
mod failed_sync;
