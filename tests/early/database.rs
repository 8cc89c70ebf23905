//! What the server's database says.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};

/// All rows that say something of a user, a device or a call, as text.
pub fn rows(data: &Path) -> Vec<String> {
    let database = open(data);
    let mut rows = Vec::new();
    for table in [
        "calls", "members", "places", "feed", "users", "devices", "verdicts",
    ] {
        let mut all = database
            .prepare(&format!("SELECT * FROM {table}"))
            .expect("a table");
        let columns = all.column_count();
        let texts = all.query_map([], |row| {
            let values: Result<Vec<String>, _> = (0..columns)
                .map(|column| row.get_ref(column).map(|value| format!("{value:?}")))
                .collect();
            Ok(format!("{table} {}", values?.join(" ")))
        });
        rows.extend(texts.expect("rows").map(|row| row.expect("a row")));
    }
    assert!(!rows.is_empty());
    rows
}

/// When that user's only device said its last hello that counted, and the token it was given.
pub fn last_hello(data: &Path, user: &str) -> (i64, String) {
    open(data)
        .query_row(
            "SELECT hello_at_ms, welcome_token FROM devices WHERE user = ?",
            [user],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .expect("a device")
}

fn open(data: &Path) -> Connection {
    let file = data.join("server.db");
    Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY).expect("a database")
}
