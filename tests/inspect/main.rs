//! `offhook inspect`, run as a person or a program runs it, on databases with a story in them.

mod damaged;
mod dictionary;
mod documents;
mod files;
mod health;
mod paging;
mod restored;
mod streams;
mod terminal;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use rusqlite::Connection;
use serde_json::Value;
use tempfile::TempDir;

/// The layouts, from the first on.
const SCHEMA: [&str; 3] = [
    include_str!("../../schema/client/0001_initial.sql"),
    include_str!("../../schema/client/0002_lease.sql"),
    include_str!("../../schema/client/0003_lists.sql"),
];
const NEWEST: u8 = SCHEMA.len() as u8;
const STORY: &str = include_str!("story.sql");

/// A folder with a database in it.
struct Fixture {
    folder: TempDir,
    database: PathBuf,
}

impl Fixture {
    /// A database with the story in it, closed cleanly.
    fn new() -> Self {
        let fixture = Self::empty();
        fixture.app().execute_batch(STORY).unwrap();
        fixture
    }

    /// A database in which nothing has happened yet.
    fn empty() -> Self {
        Self::of_version(NEWEST)
    }

    /// A folder in which nothing is yet.
    fn bare() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("alice.db");
        Self { folder, database }
    }

    /// A database in which nothing has happened yet, as an older build made it.
    fn of_version(version: u8) -> Self {
        let fixture = Self::bare();
        let app = fixture.app();
        app.pragma_update(None, "journal_mode", "WAL").unwrap();
        app.execute_batch(&SCHEMA[..usize::from(version)].concat())
            .unwrap();
        app.pragma_update(None, "user_version", version).unwrap();
        app.pragma_update(None, "application_id", 0x4f68_6b31)
            .unwrap();
        drop(app);
        fixture
    }

    /// A connection such as the app has.
    fn app(&self) -> Connection {
        Connection::open(&self.database).unwrap()
    }

    /// All files of the folder, with what is in them.
    fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        files(self.folder.path())
    }

    fn text(&self, question: &[&str]) -> String {
        let output = inspect(&self.database, question);
        assert_done(&output);
        String::from_utf8(output.stdout).unwrap()
    }

    fn json(&self, question: &[&str]) -> Value {
        json(&self.database, question)
    }
}

fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect()
}

fn inspect(database: &Path, question: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_offhook"))
        .arg("inspect")
        .arg(database)
        .args(question)
        .output()
        .unwrap()
}

fn json(database: &Path, question: &[&str]) -> Value {
    let output = inspect(database, &[question, &["--json"]].concat());
    assert_done(&output);
    serde_json::from_slice(&output.stdout).unwrap()
}

fn assert_done(output: &Output) {
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
}

/// Asserts that it failed as everything here fails: exit code 1, nothing on stdout, one line on
/// stderr with all of `parts` in it.
fn assert_failed(output: &Output, parts: &[&str]) {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    let line = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(line.lines().count(), 1, "{line}");
    assert!(line.starts_with("offhook: "), "{line}");
    for part in parts {
        assert!(line.contains(part), "{part:?} is not in {line:?}");
    }
}
