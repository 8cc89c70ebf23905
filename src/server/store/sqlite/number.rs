//! Numbers without a sign in a database whose integers have one.

use rusqlite::Row;

use super::fault::{Done, Fault};

/// A number to be written. One that no counter of ours reaches is refused, not bent.
pub(super) fn stored(name: &str, number: u64) -> Done<i64> {
    i64::try_from(number)
        .map_err(|_| Fault::Refused(format!("{name} is {number}, at most {} is kept", i64::MAX)))
}

/// A number to compare stored ones with, from anywhere: beyond the largest none is stored.
pub(super) fn bound(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// At most so many rows.
pub(super) fn row_limit(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// A number that was stored.
pub(super) fn read(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let stored: i64 = row.get(column)?;
    u64::try_from(stored).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, stored))
}
