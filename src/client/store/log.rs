//! What is done to the write-ahead log of an earlier connection before anything is added to it: a
//! sync may have failed there, of this process or of one that is gone.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, TransactionBehavior};

use super::error::{failure, open_failure};
use super::files::{Files, beside};
use super::{BUSY_TIMEOUT, LOG};
use crate::error::{Code, Error};

/// Where a sync failed, the system may have given up what it was to write, while whoever reads
/// still sees it. A log with such a hole would end there when the power goes, and everything that
/// was added behind it would be lost with it; and if that happened in the middle of a copy of the log
/// into the database, the database would be torn. So a log of an earlier process is written again
/// before it is copied, and nothing is added to it, unless somebody reads in it or there is no room.
pub(super) fn begin_anew(
    files: &dyn Files,
    path: &Path,
    file: &Path,
    connection: &mut Connection,
) -> Result<(), Error> {
    match write_again(files, path, file, connection) {
        Err(error) if error.code == Code::DiskFull => return Ok(()),
        written => written?,
    }
    let told = |error: rusqlite::Error| open_failure(path, &error);
    connection.busy_timeout(Duration::ZERO).map_err(told)?;
    let done = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    connection.busy_timeout(BUSY_TIMEOUT).map_err(told)?;
    match done {
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::DiskFull) => Ok(()),
        done => done.map_err(told),
    }
}

/// Writes the log as it is, and syncs it. Nobody adds to it meanwhile.
pub(super) fn write_again(
    files: &dyn Files,
    path: &Path,
    file: &Path,
    connection: &mut Connection,
) -> Result<(), Error> {
    let told = |error: rusqlite::Error| failure(path, &error);
    let log = beside(file, LOG);
    if !files.exists(&log) {
        return Ok(());
    }
    let alone = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(told)?;
    files.write_again(&log)?;
    alone.rollback().map_err(told)
}

/// Writes what is there already. As long as somebody else has the file open, a commit whose sync
/// failed is not seen and still lies in the log, whole, behind its end: if all of them were killed, it
/// would be found there, after whoever gave it was told that it failed. The next commit takes its
/// place, so there is one at once, if there is room.
pub(super) fn take_its_place(connection: &mut Connection) -> rusqlite::Result<()> {
    let writing = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let version: i64 = writing.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let done = writing
        .pragma_update(None, "user_version", version)
        .and_then(|()| writing.commit());
    match done {
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::DiskFull) => Ok(()),
        done => done,
    }
}
