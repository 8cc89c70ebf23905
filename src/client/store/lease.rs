//! Several engines on one file: the lock that says which of them syncs, the generation that fences
//! the one before, and what an engine needs to notice what the others wrote.
//!
//! Whoever has the lock raises the generation. The lock goes with its process; where a file system
//! keeps none, or somebody deleted its file, the generation still tells the one before that it is
//! not the one that syncs any more.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::{ErrorCode, TransactionBehavior, params};

use super::error::failure;
use super::files::{Files, Lock};
use super::read::{Verdicts, journal};
use super::{BUSY_TIMEOUT, Store, Tx};
use crate::call::Millis;
use crate::client::event::Event;
use crate::error::Error;

/// The last position of the journal that was ever given.
pub(super) const LAST_POSITION: &str =
    "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'journal'";
/// How often a file is tried that others are making at that moment.
const ATTEMPT_EVERY: Duration = Duration::from_millis(50);

/// The lock of a file, held or not.
pub(super) struct FileLock {
    files: Arc<dyn Files>,
    file: PathBuf,
    held: Option<Lock>,
}

impl FileLock {
    /// Takes the lock if it is free.
    pub(super) fn try_on(files: &Arc<dyn Files>, file: &Path) -> Result<Self, Error> {
        Ok(Self {
            files: Arc::clone(files),
            file: file.to_owned(),
            held: files.lock(file)?,
        })
    }

    /// The lock, left to others.
    pub(super) fn not_held(files: &Arc<dyn Files>, file: &Path) -> Self {
        Self {
            files: Arc::clone(files),
            file: file.to_owned(),
            held: None,
        }
    }

    pub(super) fn is_held(&self) -> bool {
        self.held.is_some()
    }
}

impl Store {
    /// Takes the lock if it is free; whether this engine has it now.
    ///
    /// # Errors
    /// As [`Files::lock`].
    pub fn lock(&mut self) -> Result<bool, Error> {
        if self.lock.held.is_none() {
            self.lock.held = self.lock.files.lock(&self.lock.file)?;
        }
        Ok(self.lock.held.is_some())
    }

    /// Lets the lock go.
    pub fn unlock(&mut self) {
        self.lock.held = None;
    }

    /// A number that is another one once another connection has written to the file.
    ///
    /// # Errors
    /// What keeps the file from being read.
    pub fn data_version(&mut self) -> Result<i64, Error> {
        let version = data_version(self.reconnect()?);
        version.map_err(|error| failure(&self.path, &error))
    }

    /// Reads one snapshot, without keeping anybody from writing.
    pub fn look<T>(&mut self, work: impl FnOnce(&Tx<'_>) -> Result<T, Error>) -> Result<T, Error> {
        self.transact_as(TransactionBehavior::Deferred, work)
    }
}

impl Tx<'_> {
    /// As [`Store::data_version`], of what this transaction sees.
    pub fn data_version(&self) -> Result<i64, Error> {
        self.run(data_version(&self.sql))
    }

    /// Who syncs, counted.
    pub fn generation(&self) -> Result<u64, Error> {
        self.run(
            self.sql
                .prepare_cached("SELECT generation FROM lease")
                .and_then(|mut statement| statement.query_row([], |row| row.get::<_, i64>(0))),
        )
        .map(i64::cast_unsigned)
    }

    /// From now on another engine syncs: `holder` is what people are told of it. Gives the
    /// generation.
    pub fn raise_generation(&self, holder: &str, now: Millis) -> Result<u64, Error> {
        let holder = format!("{holder}, process {}", std::process::id());
        self.cached(
            "UPDATE lease SET generation = generation + 1, holder = ?, taken_at_ms = ?",
            params![holder, now],
        )?;
        self.generation()
    }

    /// The last position of the journal that was ever given.
    pub fn last_position(&self) -> Result<u64, Error> {
        self.run(
            self.sql
                .prepare_cached(LAST_POSITION)
                .and_then(|mut statement| statement.query_row([], |row| row.get::<_, i64>(0))),
        )
        .map(i64::cast_unsigned)
    }

    /// The first events after a position, also the verdicts that somebody waited for; each
    /// invitation that rings no more is marked as over.
    pub fn journal_after(
        &self,
        position: u64,
        limit: usize,
        now: Millis,
    ) -> Result<Vec<Event>, Error> {
        self.run(journal(&self.sql, position, limit, (now, Verdicts::All)))
    }
}

/// Does what SQLite does not wait with by itself, as with other locks: making a file one with a
/// write-ahead log.
pub(super) fn among_others(work: impl Fn() -> rusqlite::Result<()>) -> rusqlite::Result<()> {
    let start = Instant::now();
    loop {
        match work() {
            Err(error)
                if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
                    && start.elapsed() < BUSY_TIMEOUT =>
            {
                std::thread::sleep(ATTEMPT_EVERY);
            }
            done => return done,
        }
    }
}

fn data_version(connection: &rusqlite::Connection) -> rusqlite::Result<i64> {
    connection
        .prepare_cached("PRAGMA data_version")?
        .query_row([], |row| row.get(0))
}
