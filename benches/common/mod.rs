//! What the benches share.
//!
//! A bench prints a table and asserts nothing. On a machine that does other things too, times move
//! by a factor; so each figure stands beside a raw limit that was measured in the same run, between
//! the samples, and what counts is the ratio of the two. Each run gives a ratio; the median of the
//! runs is the figure.

// Every bench is a crate of its own and uses a part of this.
#![allow(dead_code)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

pub mod by_hand;
pub mod history;
pub mod load;
pub mod rows;
pub mod wire;

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use tempfile::TempDir;

/// How many runs a figure is the median of.
pub const RUNS: usize = 5;

/// Whether this is `cargo bench`, and not a test run that happens to build everything.
pub fn is_asked_for() -> bool {
    std::env::args().any(|argument| argument == "--bench")
}

/// What is measured, and the state of the machine.
pub fn announce(what: &str) {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split_whitespace().next().unwrap_or("unknown");
    println!("{what}");
    println!("{cores} cores, load {load} before this began; medians of {RUNS} runs\n");
}

/// A folder in the build's own, so that all databases of a bench are on one real disk.
pub fn folder() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder for the databases")
}

/// The median, of any number of values but none.
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Times of one kind.
#[derive(Clone, Debug, Default)]
pub struct Times(Vec<f64>);

impl Times {
    pub fn add(&mut self, time: Duration) {
        self.0.push(time.as_secs_f64() * 1e6);
    }

    /// The time in microseconds that this share of all does not exceed.
    pub fn at(&self, share: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let rank = (share * sorted.len() as f64).ceil() as usize;
        sorted[rank.clamp(1, sorted.len()) - 1]
    }

    /// All of them, in microseconds.
    pub fn sum(&self) -> f64 {
        self.0.iter().sum()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }
}

/// How many transactions were committed to a database in WAL mode that is open somewhere: the
/// write-ahead log's index counts them (`iChange` in its header).
pub fn commits(database: &Path) -> u32 {
    let mut index = database.as_os_str().to_owned();
    index.push("-shm");
    let bytes = std::fs::read(&index).expect("the index of the log");
    u32::from_ne_bytes(bytes[8..12].try_into().expect("four bytes"))
}

/// A writing connection as the product's own are set up where it matters for time.
pub fn open_full(path: &Path) -> Connection {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).expect("a database");
    for (name, value) in [
        ("journal_mode", "WAL"),
        ("synchronous", "FULL"),
        ("wal_autocheckpoint", "4000"),
        ("cache_size", "-32768"),
        ("temp_store", "MEMORY"),
    ] {
        connection
            .pragma_update(None, name, value)
            .expect("a pragma");
    }
    connection.set_prepared_statement_cache_capacity(64);
    connection
}
