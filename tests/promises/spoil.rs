//! The one file here that knows SQL: it makes the commits of a device's database fail, for real.
//!
//! A row that refers to another that is not there, which SQLite looks at only when everything is
//! done: so all statements of a transaction succeed, and its commit does not.

use std::path::Path;

use rusqlite::Connection;

/// Tables of which a change makes the commit fail.
const TABLES: [&str; 5] = ["calls", "members", "commands", "feed", "journal"];

/// From now on no change of that database can be committed.
pub fn commits_fail(file: &Path) {
    let sql = Connection::open(file).unwrap();
    sql.execute_batch(
        "CREATE TABLE absent (id INTEGER PRIMARY KEY);
         CREATE TABLE broken (id INTEGER REFERENCES absent (id) DEFERRABLE INITIALLY DEFERRED);",
    )
    .unwrap();
    for table in TABLES {
        for change in ["INSERT", "UPDATE"] {
            sql.execute_batch(&format!(
                "CREATE TRIGGER broken_{table}_{change} AFTER {change} ON {table}
                 BEGIN INSERT INTO broken VALUES (1); END;"
            ))
            .unwrap();
        }
    }
}

/// And now they can again.
pub fn commits_succeed(file: &Path) {
    let sql = Connection::open(file).unwrap();
    for table in TABLES {
        for change in ["INSERT", "UPDATE"] {
            sql.execute_batch(&format!("DROP TRIGGER broken_{table}_{change};"))
                .unwrap();
        }
    }
    sql.execute_batch("DROP TABLE broken; DROP TABLE absent;")
        .unwrap();
}
