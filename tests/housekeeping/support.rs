//! Engines without a network, and looks into their files.

use std::path::{Path, PathBuf};

use offhook::{CommandHandle, Config, Engine, InviteOptions, Invited};
use rusqlite::{Connection, OpenFlags};
use tempfile::TempDir;

/// A folder and the databases in it.
pub struct Place(TempDir);

impl Place {
    pub fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// All names in it.
    pub fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.0.path()).expect("a folder");
        let names = entries.map(|entry| entry.expect("an entry").file_name());
        let mut names: Vec<_> = names
            .map(|name| name.into_string().expect("text"))
            .collect();
        names.sort();
        names
    }

    pub fn config(&self, name: &str) -> Config {
        Config::new("127.0.0.1:9", "alice", self.path(name))
    }

    /// Alice's engine on a file; there is no network.
    pub async fn engine(&self, name: &str) -> Engine {
        let engine = Engine::open(self.config(name)).expect("an engine");
        engine.set_network(false).await.expect("taken");
        engine
    }
}

/// A command that waits, as nobody takes it.
pub async fn invites(engine: &Engine) -> CommandHandle<Invited> {
    let options = InviteOptions {
        wait_s: Some(600),
        ..InviteOptions::default()
    };
    let handle = engine.call_invite(&["bob"], options).await;
    handle.expect("taken")
}

pub fn look(path: &Path) -> Connection {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
    Connection::open_with_flags(path, flags).expect("a database")
}

pub fn number(path: &Path, sql: &str) -> i64 {
    let found = look(path).query_row(sql, [], |row| row.get(0));
    found.unwrap_or_else(|error| panic!("{sql}: {error}"))
}

/// What SQLite has against the file.
pub fn damage(path: &Path) -> String {
    let connection = look(path);
    let found = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0));
    found.expect("checked")
}
