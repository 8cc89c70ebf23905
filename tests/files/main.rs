//! What becomes of the files when machines, disks and people do what they do.

#![cfg(all(feature = "client", feature = "server"))]

mod copies;
mod crash_points;
mod damage;
mod device;
#[path = "../common/disk/mod.rs"]
mod disk;
mod disks;
mod failed_sync;
mod failing;
mod look;
mod migrations;
mod script;
mod town;
mod upgrades;
