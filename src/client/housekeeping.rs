//! What an app may say about keeping the database small, and what it learns of it.

use std::path::PathBuf;
use std::time::Duration;

/// Calls that a file keeps unless the app says otherwise: a list that pages as fast as a short one.
const CALLS_KEPT_DEFAULT: u64 = 1_000_000;
/// Acknowledged events that a file keeps, for whoever looks into it: the story of some weeks.
const EVENTS_KEPT_DEFAULT: u64 = 10_000;
/// Events that a file keeps for an app that has not acknowledged them: of years without it.
const EVENTS_UNACKNOWLEDGED_DEFAULT: u64 = 100_000;
/// What an app cannot go below: events that another engine on the file may still have to tell.
pub(super) const EVENTS_UNACKNOWLEDGED_LEAST: u64 = 1_000;

/// How much of the past the database keeps. What is beyond it is removed in the background, in small
/// steps, never while something rings; the server does not bring it back.
///
/// A call is never removed while it goes on, while a command about it waits for its verdict, or while
/// it was missed and the user has not seen that; of the latter the oldest go when there are more
/// than 10,000 of them beyond the rest. Only the engine that connects removes anything, and calls only
/// once it has heard all that it missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// How long after its end a call is kept, by the server's clock, as it was last heard: a device
    /// that is offline removes nothing by age, whatever its own clock says. Absent, the default: for
    /// ever.
    pub calls_for: Option<Duration>,
    /// How many calls are kept, the newest; 1,000,000. Absent: all.
    pub calls: Option<u64>,
    /// How many events are kept that the app has acknowledged; 10,000.
    pub events: u64,
    /// How many events are kept at all. What an app has not acknowledged by then is lost to
    /// [`crate::Engine::events_since`]; 100,000, at least 1,000.
    pub events_unacknowledged: u64,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            calls_for: None,
            calls: Some(CALLS_KEPT_DEFAULT),
            events: EVENTS_KEPT_DEFAULT,
            events_unacknowledged: EVENTS_UNACKNOWLEDGED_DEFAULT,
        }
    }
}

/// How much room the database takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Storage {
    /// Of the file, in bytes.
    pub bytes: u64,
    /// How much of that holds nothing and would be given back by [`crate::Engine::compact`].
    pub free_bytes: u64,
    /// Of its write-ahead log, in bytes. It is written back when it has 8 MB; one that is much larger
    /// is held back by a program that has been reading for long.
    pub wal_bytes: u64,
}

/// What [`crate::Engine::compact`] came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compacted {
    /// Bytes of the file before.
    pub bytes_before: u64,
    /// Bytes of the file after.
    pub bytes_after: u64,
}

/// A copy of a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backup {
    /// Where it is.
    pub path: PathBuf,
    /// How many bytes it has.
    pub bytes: u64,
}
