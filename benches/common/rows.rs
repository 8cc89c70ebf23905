//! Rows by hand: what a database takes at best of what the product writes.

use std::path::Path;

use rusqlite::{Connection, params};

use super::open_full;

/// A database that takes one small transition a commit.
pub struct Outbox {
    connection: Connection,
    count: i64,
}

impl Outbox {
    pub fn new(path: &Path) -> Self {
        let connection = open_full(path);
        connection
            .execute_batch(include_str!("../../schema/client/0001_initial.sql"))
            .expect("the schema");
        Self {
            connection,
            count: 0,
        }
    }

    /// A row as the outbox has them, synced.
    pub fn commit_one(&mut self) {
        self.count += 1;
        let n = self.count;
        let run = |sql: &str, params: &[&dyn rusqlite::ToSql]| {
            let mut statement = self.connection.prepare_cached(sql).expect("a statement");
            statement.execute(params).expect("done");
        };
        run("BEGIN IMMEDIATE", params![]);
        run(
            "INSERT INTO commands (op, call_id, command, arguments, queued_at_ms, expires_at_ms, \
             number, attempts) VALUES (?1, ?2, 'callInvite', ?3, ?4, ?5, ?6, 1)",
            params![
                format!("{n:032x}"),
                format!("{n:032}"),
                r#"{"invitees":["bob"],"config":{"mode":0,"timeout":90,"extendedData":""}}"#,
                1_767_225_600_000_i64 + n,
                1_767_225_690_000_i64 + n,
                n,
            ],
        );
        run("COMMIT", params![]);
    }
}
