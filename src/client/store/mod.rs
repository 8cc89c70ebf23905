//! The local database: one file a user, one writer an engine, read-only readers beside it.
//!
//! Everything is written in IMMEDIATE transactions ([`Store::transact`]) and nothing that was read
//! or written in one is told to anybody before it has been committed and synced. The schema, with
//! what each column means, is in `schema/client/`.

mod calls;
mod clock;
mod commands;
mod error;
mod files;
mod journal;
mod lease;
mod memory;
mod meta;
mod migrate;
mod read;
mod rows;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, Transaction, TransactionBehavior};

/// A connection for tests that look into a file, or spoil it, by hand.
#[cfg(test)]
pub use rusqlite::Connection as ByHand;

pub use calls::StoredCall;
pub use commands::{ForeignCommand, NewCommand, OutboxRow, StoredCommand, Verdict};
pub use files::{Files, Lock, OsFiles};
pub use meta::FeedPosition;
pub use migrate::SCHEMA_VERSION;
pub use read::{CallEntry, Filter, Page, PendingCommand, Readers, RingEntry, StatusCounts};

use crate::call::{DeviceId, UserId};
use crate::error::{Code, Error};
use error::{failure, open_failure};
use lease::FileLock;

/// The oldest SQLite that may open a database in WAL mode from several connections: versions
/// before it can corrupt the file.
const SQLITE_VERSION_MIN: i32 = 3_051_003;
/// How long a connection waits for another one's lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Prepared statements that the writer keeps.
const STATEMENTS_KEPT: usize = 64;
/// The WAL is written back into the file when it has this many pages (4 KiB each).
const WAL_PAGES_MAX: u32 = 2_000;
/// What of the WAL file stays on disk after it was written back, in bytes.
const WAL_BYTES_KEPT: u32 = 4 * 1024 * 1024;
/// Memory for pages, in KiB.
const CACHE_KIB: i32 = 2_048;

/// The database of one user on one device, with its writing connection.
pub struct Store {
    connection: Connection,
    path: PathBuf,
    user: UserId,
    device: DeviceId,
    /// Let go after the connection is closed.
    lock: FileLock,
}

/// A transaction of the store. Dropped without [`Store::transact`]'s commit, it leaves nothing.
pub struct Tx<'a> {
    sql: Transaction<'a>,
    user: &'a UserId,
    device: &'a DeviceId,
    path: &'a Path,
    changes_before: u64,
}

impl Store {
    /// Opens the file, or makes it. `fresh_device` names the device if the file does not yet. Other
    /// engines may have it open, too; the first has the lock ([`Self::lock`]).
    ///
    /// # Errors
    /// [`Code::InUse`] when another program is writing it for too long, [`Code::NewerVersion`],
    /// [`Code::Corrupt`], [`Code::ReadOnly`], [`Code::DiskFull`]; [`Code::InvalidParameter`] when it
    /// is another user's.
    pub fn open(path: &Path, user: &UserId, fresh_device: &DeviceId) -> Result<Self, Error> {
        Self::open_on(&(Arc::new(OsFiles) as _), path, user, fresh_device)
    }

    /// The same, on other files than the operating system's.
    ///
    /// # Errors
    /// As for [`Self::open`].
    pub fn open_on(
        files: &Arc<dyn Files>,
        path: &Path,
        user: &UserId,
        fresh_device: &DeviceId,
    ) -> Result<Self, Error> {
        check_sqlite()?;
        let file = files.resolve(path)?;
        let lock = FileLock::try_on(files, &file)?;
        files.create(&file)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection =
            connect(files.vfs(), &file, flags).map_err(|error| open_failure(path, &error))?;
        migrate::refuse_foreign(&connection, path)?;
        lease::among_others(|| prepare_writer(&connection))
            .map_err(|error| open_failure(path, &error))?;
        migrate::run(&mut connection, path)?;
        begin_log_anew(&connection).map_err(|error| open_failure(path, &error))?;
        let mut store = Self {
            connection,
            path: path.to_owned(),
            user: user.clone(),
            device: fresh_device.clone(),
            lock,
        };
        store.device = store.transact(|tx| tx.identify(fresh_device))?;
        Ok(store)
    }

    /// Whose file it is.
    pub fn user(&self) -> &UserId {
        &self.user
    }

    /// The device that this file is.
    pub fn device(&self) -> &DeviceId {
        &self.device
    }

    /// Does all of `work` in one transaction that is durable when this returns `Ok`, or nothing
    /// of it.
    pub fn transact<T>(
        &mut self,
        work: impl FnOnce(&Tx<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.transact_as(TransactionBehavior::Immediate, work)
    }

    fn transact_as<T>(
        &mut self,
        behavior: TransactionBehavior,
        work: impl FnOnce(&Tx<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let sql = self
            .connection
            .transaction_with_behavior(behavior)
            .map_err(|error| failure(&self.path, &error))?;
        let changes_before = sql.total_changes();
        let tx = Tx {
            sql,
            user: &self.user,
            device: &self.device,
            path: &self.path,
            changes_before,
        };
        let value = work(&tx)?;
        tx.sql
            .commit()
            .map_err(|error| failure(&self.path, &error))?;
        Ok(value)
    }

    /// Gives the file a new identity, after it was found to be a copy.
    pub fn set_device(&mut self, device: DeviceId) {
        self.device = device;
    }

    /// Writes the WAL back into the file as far as it goes.
    pub fn checkpoint(&self) -> Result<(), Error> {
        self.connection
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
            .map_err(|error| failure(&self.path, &error))
    }
}

impl Tx<'_> {
    /// Whose file it is.
    pub fn user(&self) -> &UserId {
        self.user
    }

    /// The device that the file is.
    pub fn device(&self) -> &DeviceId {
        self.device
    }

    /// Whether this transaction has written anything so far.
    pub fn has_written(&self) -> bool {
        self.sql.total_changes() != self.changes_before
    }

    fn run<T>(&self, result: rusqlite::Result<T>) -> Result<T, Error> {
        result.map_err(|error| failure(self.path, &error))
    }
}

fn check_sqlite() -> Result<(), Error> {
    if rusqlite::version_number() >= SQLITE_VERSION_MIN {
        return Ok(());
    }
    Err(Error::new(
        Code::Internal,
        "sqlite",
        format!(
            "SQLite {} is too old; 3.51.3 is the oldest that may be used: build with the bundled one",
            rusqlite::version()
        ),
    ))
}

fn connect(vfs: Option<&str>, file: &Path, flags: OpenFlags) -> rusqlite::Result<Connection> {
    match vfs {
        Some(vfs) => Connection::open_with_flags_and_vfs(file, flags, vfs),
        None => Connection::open_with_flags(file, flags),
    }
}

/// Where a sync failed, the system may have given up what it was to write, while whoever reads
/// still sees it. A log with such a hole would end there when the power goes, and everything that
/// was added behind it would be lost with it. So what is in the log is written to the database, and
/// nothing is added to a log of an earlier process, unless somebody reads in it or there is no room.
fn begin_log_anew(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(Duration::ZERO)?;
    let done = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    connection.busy_timeout(BUSY_TIMEOUT)?;
    match done {
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::DiskFull) => Ok(()),
        done => done,
    }
}

fn prepare_writer(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    // Otherwise binding another value can have a cached statement compiled anew.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "wal_autocheckpoint", WAL_PAGES_MAX)?;
    connection.pragma_update(None, "journal_size_limit", WAL_BYTES_KEPT)?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    connection.pragma_update(None, "temp_store", "MEMORY")
}
