//! The layouts that this build knows, to compare a file with.

use std::collections::BTreeMap;

use rusqlite::Connection;

/// What leads from one layout to the next, from nothing on.
const STEPS: [&str; 3] = [
    include_str!("../../schema/client/0001_initial.sql"),
    include_str!("../../schema/client/0002_lease.sql"),
    include_str!("../../schema/client/0003_lists.sql"),
];

/// The newest layout (`PRAGMA user_version`) that this build knows. Of newer ones it shows what it
/// recognizes.
pub const SCHEMA_KNOWN: i64 = STEPS.len() as i64;

/// What marks a file as the engine's (`PRAGMA application_id`): the letters "Ohk1".
pub(super) const APPLICATION_ID: i64 = 0x4f68_6b31;

/// Tables, indexes and views, as `table calls` and the like, with the SQL that made each.
pub(super) type Objects = BTreeMap<String, String>;

/// What a file of that version has in it, nothing for versions that this build does not know.
pub(super) fn expected(version: i64) -> rusqlite::Result<Objects> {
    let fresh = Connection::open_in_memory()?;
    if version <= SCHEMA_KNOWN {
        let steps = usize::try_from(version).unwrap_or_default();
        for step in STEPS.iter().take(steps) {
            fresh.execute_batch(step)?;
        }
    }
    objects(&fresh)
}

/// What a file has in it.
pub(super) fn objects(connection: &Connection) -> rusqlite::Result<Objects> {
    let mut statement = connection.prepare(
        "SELECT type || ' ' || name, sql FROM sqlite_schema
          WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite!_%' ESCAPE '!'",
    )?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    rows.collect()
}
