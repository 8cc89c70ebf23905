//! Numbered files lead from one version of the schema to the next; `user_version` says which the
//! file has. A file of a newer version is refused untouched, a step that fails leaves the file as
//! it was.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use super::error::failure;
use crate::error::{Code, Error};

/// One file a step: the first makes version 1 of nothing.
const STEPS: &[&str] = &[include_str!("../../../schema/client/0001_initial.sql")];

/// The version of the schema that this build writes.
pub const SCHEMA_VERSION: u32 = STEPS.len() as u32;

pub(super) fn run(connection: &mut Connection, path: &Path) -> Result<(), Error> {
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
    for (to, step) in (1..).zip(STEPS) {
        if to > version {
            apply(connection, step, to).map_err(|error| failure(path, &error))?;
        }
    }
    Ok(())
}

fn version(connection: &Connection, path: &Path) -> Result<u32, Error> {
    connection
        .query_row("PRAGMA user_version", [], |row| row.get(0))
        .map_err(|error| failure(path, &error))
}

fn apply(connection: &mut Connection, step: &str, to: u32) -> rusqlite::Result<()> {
    let sql = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    sql.execute_batch(step)?;
    sql.pragma_update(None, "user_version", to)?;
    sql.commit()
}
