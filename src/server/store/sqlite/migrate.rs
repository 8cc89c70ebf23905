//! Brings a database to the version of this build, or refuses it untouched.
//!
//! The version of a file is its `user_version`: the number of the last migration that ran. A
//! migration is one numbered file; it runs once, all that are missing run in one transaction, and
//! one that is released is never edited.

use std::path::Path;

use rusqlite::Connection;

use super::fault::{Done, Fault};
use crate::server::store::{StoreError, StoreResult};

/// Marks the file as one of ours: the letters OFHS.
const APPLICATION_ID: i32 = 0x4f46_4853;

/// The migrations, in order: the first leads from nothing to version 1.
const MIGRATIONS: &[&str] = &[
    include_str!("../../../../schema/server/0001_initial.sql"),
    include_str!("../../../../schema/server/0002_retention.sql"),
];

/// Which version a file has, as far as this build can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Version(i32);

/// Looks at a file without changing it: an error says that it is not for this build.
pub(super) fn examine(connection: &Connection, file: &Path) -> StoreResult<Version> {
    let (version, application, tables) =
        look(connection).map_err(|fault| fault.into_store_error(file, "reading its version"))?;
    let newest = newest();
    if application == APPLICATION_ID && version > newest {
        return Err(StoreError::NewerVersion(format!(
            "{}: its version is {version}, this build knows versions up to {newest}; use the newer \
             build, or restore a backup from before it",
            file.display()
        )));
    }
    let ours = application == APPLICATION_ID && version > 0;
    let fresh = application == 0 && version == 0 && tables == 0;
    if !ours && !fresh {
        return Err(StoreError::Failed(format!(
            "{}: a database, but not of this server (application id {application}, version \
             {version}); name another folder",
            file.display()
        )));
    }
    Ok(Version(version))
}

/// Runs the migrations that the file has not had, all of them or none.
pub(super) fn run(connection: &mut Connection, file: &Path, from: Version) -> StoreResult<()> {
    if from.0 == newest() {
        return Ok(());
    }
    migrate(connection, from)
        .map_err(|fault| fault.into_store_error(file, "bringing it to this version"))
}

fn newest() -> i32 {
    i32::try_from(MIGRATIONS.len()).unwrap_or(i32::MAX)
}

fn look(connection: &Connection) -> Done<(i32, i32, i64)> {
    let number = |sql: &str| connection.query_row(sql, [], |row| row.get(0));
    let version = number("PRAGMA user_version")?;
    let application = number("PRAGMA application_id")?;
    let tables =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    Ok((version, application, tables))
}

fn migrate(connection: &mut Connection, from: Version) -> Done<()> {
    let transaction =
        connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let done = usize::try_from(from.0)
        .map_err(|_| Fault::Damaged(format!("its version is {}", from.0)))?;
    for sql in MIGRATIONS.iter().skip(done) {
        transaction.execute_batch(sql)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", newest())?;
    transaction.commit()?;
    Ok(())
}
