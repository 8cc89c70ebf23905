//! Numbered files lead from one version of the schema to the next; `user_version` says which the
//! file has. A file of a newer version is refused untouched.
//!
//! All steps that a file lacks are one transaction: when one fails, the file is as the build before
//! left it, and that build goes on with it. So a step is plain SQL, without what cannot be in a
//! transaction or means nothing there (`VACUUM`, `PRAGMA foreign_keys`: they are on).

use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, TransactionBehavior};

use super::BUSY_TIMEOUT;
use super::error::failure;
use crate::error::{Code, Error};

/// One file a step: the first makes version 1 of nothing.
const STEPS: &[&str] = &[
    include_str!("../../../schema/client/0001_initial.sql"),
    include_str!("../../../schema/client/0002_lease.sql"),
    include_str!("../../../schema/client/0003_lists.sql"),
];

/// The version of the schema that this build writes.
pub const SCHEMA_VERSION: u32 = STEPS.len() as u32;

/// What marks a file as this engine's: the letters "Ohk1".
pub(super) const APPLICATION_ID: i32 = 0x4f68_6b31;

/// Refuses a file of a newer version, and one that is another program's, before anything is
/// written to it; one of which nothing is there yet is none.
pub(super) fn refuse_foreign(connection: &Connection, path: &Path) -> Result<(), Error> {
    connection
        .busy_timeout(BUSY_TIMEOUT)
        .and_then(|()| {
            // A file that is refused keeps even its write-ahead log.
            connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
        })
        .map_err(|error| failure(path, &error))?;
    refuse_newer(connection, path)?;
    let mark = mark(connection, path)?;
    let is_used = connection
        .query_row("SELECT EXISTS (SELECT 1 FROM sqlite_schema)", [], |row| {
            row.get(0)
        })
        // Damaged or not, what does not bear this engine's mark is left alone.
        .map_err(|error| match mark {
            APPLICATION_ID => failure(path, &error),
            _ => foreign(path),
        })?;
    match (mark, is_used) {
        (APPLICATION_ID, _) | (0, false) => Ok(()),
        (_, _) => Err(foreign(path)),
    }
}

/// The same of one that is only read.
pub(super) fn refuse_newer_or_foreign(connection: &Connection, path: &Path) -> Result<(), Error> {
    if mark(connection, path)? != APPLICATION_ID {
        return Err(foreign(path));
    }
    refuse_newer(connection, path)
}

fn mark(connection: &Connection, path: &Path) -> Result<i32, Error> {
    connection
        .query_row("PRAGMA application_id", [], |row| row.get(0))
        .map_err(|error| failure(path, &error))
}

fn refuse_newer(connection: &Connection, path: &Path) -> Result<(), Error> {
    let version = version(connection, path)?;
    if version > SCHEMA_VERSION {
        return Err(Error::new(
            Code::NewerVersion,
            "schema",
            format!(
                "{} has schema version {version}, this build knows {SCHEMA_VERSION}: use a newer build",
                path.display()
            ),
        ));
    }
    Ok(())
}

fn foreign(path: &Path) -> Error {
    Error::new(
        Code::Corrupt,
        "foreign",
        format!(
            "{} is the database of another program; name another file",
            path.display()
        ),
    )
}

/// Leads the file to this build's version, or leaves it as it was.
pub(super) fn run(connection: &mut Connection, path: &Path) -> Result<(), Error> {
    if version(connection, path)? == SCHEMA_VERSION {
        return Ok(());
    }
    let told = |error: rusqlite::Error| failure(path, &error);
    let sql = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(told)?;
    // Another engine, opened at the same moment, may have been faster, or of a newer build.
    refuse_newer(&sql, path)?;
    let version = version(&sql, path)?;
    for (to, step) in (1..).zip(STEPS) {
        if to > version {
            apply(&sql, step, to).map_err(told)?;
        }
    }
    sql.commit().map_err(told)
}

fn version(connection: &Connection, path: &Path) -> Result<u32, Error> {
    connection
        .query_row("PRAGMA user_version", [], |row| row.get(0))
        .map_err(|error| failure(path, &error))
}

fn apply(sql: &Connection, step: &str, to: u32) -> rusqlite::Result<()> {
    sql.execute_batch(step)?;
    sql.pragma_update(None, "user_version", to)?;
    sql.pragma_update(None, "application_id", APPLICATION_ID)
}
