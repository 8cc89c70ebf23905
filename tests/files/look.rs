//! What is in a file, read with plain SQL.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags};

use super::disk::Disk;

/// Where things are in a file.
pub struct Place {
    roots: BTreeMap<String, i64>,
    leaves: BTreeMap<String, Vec<i64>>,
    pub last_position: i64,
}

impl Place {
    /// The first page of a table or index.
    pub fn root(&self, name: &str) -> i64 {
        self.roots[name]
    }

    /// The pages of a table that have its rows.
    pub fn leaves(&self, name: &str) -> &[i64] {
        &self.leaves[name]
    }
}

/// Everything that is in a file.
#[derive(Debug, PartialEq)]
pub struct Contents {
    pub mark: i64,
    pub version: i64,
    pub schema: Vec<String>,
    /// By the name of the table or view.
    pub rows: BTreeMap<String, Vec<Vec<Value>>>,
}

/// A connection of the test's own.
pub struct Look(Connection);

impl Look {
    pub fn at(disk: &Disk, name: &str) -> Self {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
        Self(Connection::open_with_flags_and_vfs(disk.path(name), flags, disk.vfs()).unwrap())
    }

    /// On the real file system.
    pub fn in_folder(file: &Path) -> Self {
        Self(Connection::open(file).unwrap())
    }

    pub fn execute(&self, sql: &str) {
        self.0.execute_batch(sql).unwrap();
    }

    pub fn version(&self) -> i64 {
        self.number("PRAGMA user_version")
    }

    /// What the file says of itself, by name.
    pub fn schema(&self) -> Vec<String> {
        self.rows("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name")
    }

    /// Everything that is in the file: what it says of itself, and the rows of each table and view.
    pub fn contents(&self) -> Contents {
        let names = self
            .rows("SELECT name FROM sqlite_schema WHERE type IN ('table', 'view') ORDER BY name");
        let rows_of = |name: String| {
            let mut all = self.0.prepare(&format!("SELECT * FROM {name}")).unwrap();
            let columns = all.column_count();
            let rows = all.query_map([], |row| (0..columns).map(|at| row.get(at)).collect());
            let rows = rows.unwrap().map(Result::unwrap).collect();
            (name, rows)
        };
        Contents {
            mark: self.number("PRAGMA application_id"),
            version: self.version(),
            schema: self.schema(),
            rows: names.into_iter().map(rows_of).collect(),
        }
    }

    pub fn places(&self) -> Place {
        let mut roots = BTreeMap::new();
        let mut statement = self
            .0
            .prepare("SELECT name, rootpage FROM sqlite_schema WHERE rootpage > 0")
            .unwrap();
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
        roots.extend(rows.unwrap().map(Result::unwrap));
        let mut leaves: BTreeMap<String, Vec<i64>> = BTreeMap::new();
        let mut statement = self
            .0
            .prepare("SELECT name, pageno FROM dbstat WHERE pagetype = 'leaf' ORDER BY path")
            .unwrap();
        let rows = statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get(1)?)));
        for (name, leaf) in rows.unwrap().map(Result::unwrap) {
            leaves.entry(name).or_default().push(leaf);
        }
        Place {
            roots,
            leaves,
            last_position: self.number("SELECT max(position) FROM journal"),
        }
    }

    /// Calls and their members, as the server has them.
    pub fn calls(&self) -> Vec<String> {
        self.rows(
            "SELECT call_id, user_id, calls.state, members.state, CAST(revision AS TEXT),
                    CAST(sort_key AS TEXT)
               FROM members JOIN calls USING (sort_key) ORDER BY sort_key, position",
        )
    }

    pub fn is_sound(&self) -> bool {
        self.text("PRAGMA integrity_check") == "ok"
            && self.rows("PRAGMA foreign_key_check").is_empty()
    }

    /// Writes the log back into the file.
    pub fn checkpoint(&self) {
        self.0
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
            .unwrap();
    }

    pub fn number(&self, sql: &str) -> i64 {
        self.0
            .query_row(sql, [], |row| row.get::<_, Option<i64>>(0))
            .unwrap()
            .unwrap_or(0)
    }

    pub fn text(&self, sql: &str) -> String {
        self.0.query_row(sql, [], |row| row.get(0)).unwrap()
    }

    /// Rows whose columns are all texts, joined by blanks.
    pub fn rows(&self, sql: &str) -> Vec<String> {
        let mut statement = self.0.prepare(sql).unwrap();
        let columns = statement.column_count();
        let rows = statement.query_map([], |row| {
            let column = |at| row.get::<_, Option<String>>(at);
            let texts: rusqlite::Result<Vec<_>> = (0..columns).map(column).collect();
            Ok(texts?
                .into_iter()
                .map(Option::unwrap_or_default)
                .collect::<Vec<_>>()
                .join(" "))
        });
        rows.unwrap().map(Result::unwrap).collect()
    }

    pub fn has_table(&self, name: &str) -> bool {
        self.number(&format!(
            "SELECT count(*) FROM sqlite_schema WHERE name = '{name}'"
        )) > 0
    }

    // The client's -------------------------------------------------------------------------------

    /// Commands by their identity: number on the wire, and verdict or nothing.
    pub fn commands(&self) -> BTreeMap<String, (Option<i64>, Option<String>)> {
        let mut statement = self
            .0
            .prepare("SELECT op, number, verdict FROM commands")
            .unwrap();
        let rows = statement.query_map([], |row| Ok((row.get(0)?, (row.get(1)?, row.get(2)?))));
        rows.unwrap().map(Result::unwrap).collect()
    }

    /// What the app was told, by its position.
    pub fn journal(&self) -> BTreeMap<i64, (String, String)> {
        let mut statement = self
            .0
            .prepare("SELECT position, name, params FROM journal")
            .unwrap();
        let rows = statement.query_map([], |row| Ok((row.get(0)?, (row.get(1)?, row.get(2)?))));
        rows.unwrap().map(Result::unwrap).collect()
    }

    /// Which invitations rang here.
    pub fn rings(&self) -> BTreeSet<(String, i64)> {
        let mut statement = self
            .0
            .prepare("SELECT call_id, invitation FROM rings")
            .unwrap();
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
        rows.unwrap().map(Result::unwrap).collect()
    }

    /// Calls of which the user saw that they missed them.
    pub fn seen(&self) -> BTreeSet<String> {
        let rows = self.rows("SELECT call_id FROM calls WHERE seen = 1 OR seen_here = 1");
        rows.into_iter().collect()
    }

    /// The number that the next command will have.
    pub fn next_number(&self) -> i64 {
        self.number(
            "SELECT coalesce(
                (SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'next_number'), 1)",
        )
    }

    /// All that has to be the same however often the machine failed on the way.
    pub fn outcome(&self) -> Vec<String> {
        let mut all = self.rows(
            "SELECT 'command', op, call_id, command, coalesce(verdict, 'pending'), CAST(code AS TEXT)
               FROM commands ORDER BY op",
        );
        all.extend(self.rows(
            "SELECT 'call', call_id, mode, caller, state, end_kind, my_state, CAST(revision AS TEXT),
                    CAST(missed AS TEXT), CAST(seen OR seen_here AS TEXT)
               FROM calls ORDER BY call_id",
        ));
        all.extend(self.rows(
            "SELECT 'member', call_id, user_id, members.state, CAST(invitation AS TEXT),
                    CAST(participation AS TEXT)
               FROM members JOIN calls USING (sort_key) ORDER BY call_id, position",
        ));
        all.extend(self.rows(
            "SELECT 'ring', call_id, CAST(invitation AS TEXT), CAST(closed_at_ms <> 0 AS TEXT)
               FROM rings ORDER BY call_id, invitation",
        ));
        all
    }
}
