//! A released migration is never edited: what a fresh database looks like changes only by a new
//! file, and then the text beside it gets a successor.

use std::path::PathBuf;

use offhook::client::store::Store;
use offhook::{DeviceId, UserId};
use rusqlite::Connection;

/// All that the file's own description of itself has, by name.
fn fresh_schema() -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("alice.db");
    let (user, device) = (UserId::trusted("alice"), DeviceId::trusted("phone"));
    drop(Store::open(&path, &user, &device).expect("a fresh database"));
    let connection = Connection::open(&path).expect("by hand");
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

#[test]
fn a_fresh_local_database_has_the_released_schema() {
    let found = fresh_schema();
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("schema/client/0001.golden.sql");
    if std::env::var_os("OFFHOOK_BLESS").is_some() {
        std::fs::write(&path, &found).expect("written");
    }
    let released = std::fs::read_to_string(&path).expect("the released schema");
    assert!(released.contains("CREATE TABLE journal"), "not that text");
    assert_eq!(found, released);
}
