//! A released migration is never edited: what a fresh database looks like changes only by a new
//! file, and then the text beside it gets a successor. A database of an older version, as a device
//! left it, becomes what a fresh one is, and keeps what is in it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use offhook::client::store::{SCHEMA_VERSION, Store};
use offhook::{DeviceId, UserId};
use rusqlite::Connection;
use rusqlite::types::Value;

/// What a device of each older version left behind, the first version first.
const OLDER: [&str; 2] = [
    include_str!("../../schema/client/fixtures/0001.sql"),
    include_str!("../../schema/client/fixtures/0002.sql"),
];

fn opened(path: &Path, user: &str) -> Connection {
    let (user, device) = (UserId::trusted(user), DeviceId::trusted("phone"));
    drop(Store::open(path, &user, &device).expect("a database of this build's"));
    Connection::open(path).expect("by hand")
}

/// All that the file's own description of itself has, by name.
fn schema(connection: &Connection) -> String {
    let mut statement = connection
        .prepare("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name")
        .expect("prepared");
    let found: Vec<String> = statement
        .query_map([], |row| row.get(0))
        .expect("read")
        .map(|sql| sql.expect("text"))
        .collect();
    found.join(";\n\n") + ";\n"
}

/// The rows of every table.
fn rows(connection: &Connection) -> BTreeMap<String, Vec<Vec<Value>>> {
    let mut tables = connection
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'table'")
        .expect("prepared");
    let tables = tables
        .query_map([], |row| row.get::<_, String>(0))
        .expect("read");
    let rows_of = |table: String| {
        let mut all = connection
            .prepare(&format!("SELECT * FROM {table}"))
            .expect("prepared");
        let columns = all.column_count();
        let rows = all.query_map([], |row| (0..columns).map(|n| row.get(n)).collect());
        let rows = rows.expect("read").map(|row| row.expect("values"));
        (table.clone(), rows.collect())
    };
    tables.map(|table| rows_of(table.expect("text"))).collect()
}

fn version(connection: &Connection) -> u32 {
    connection
        .query_row("PRAGMA user_version", [], |row| row.get(0))
        .expect("a number")
}

#[test]
fn a_fresh_local_database_has_the_released_schema() {
    let folder = tempfile::tempdir().expect("a folder");
    let found = schema(&opened(&folder.path().join("alice.db"), "alice"));
    let name = format!("schema/client/{SCHEMA_VERSION:04}.golden.sql");
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name);
    if std::env::var_os("OFFHOOK_BLESS").is_some() {
        std::fs::write(&path, &found).expect("written");
    }
    let released = std::fs::read_to_string(&path).expect("the released schema");
    assert!(released.contains("CREATE TABLE journal"), "not that text");
    assert_eq!(found, released);
}

#[test]
fn a_database_of_every_older_version_becomes_what_a_fresh_one_is_and_keeps_all_its_rows() {
    assert_eq!(OLDER.len() + 1, SCHEMA_VERSION as usize, "one is missing");
    let folder = tempfile::tempdir().expect("a folder");
    let fresh = opened(&folder.path().join("fresh.db"), "alice");
    for (older, left) in (1..).zip(OLDER) {
        let path = folder.path().join(format!("{older}.db"));
        let old = Connection::open(&path).expect("by hand");
        old.execute_batch(left).expect("the older version");
        assert_eq!(version(&old), older);
        let mut before = rows(&old);
        assert!(before["calls"].len() > 1 && before["journal"].len() > 1);
        // Since version 2, of nobody's to begin with.
        let lease = before.remove("lease");
        let lease = lease.or_else(|| rows(&fresh).remove("lease"));
        drop(old);

        let upgraded = opened(&path, "alice");
        assert_eq!(schema(&upgraded), schema(&fresh), "from version {older}");
        assert_eq!(version(&upgraded), SCHEMA_VERSION);
        let mut after = rows(&upgraded);
        assert_eq!(after.remove("lease"), lease);
        assert_eq!(after, before);
    }
}
