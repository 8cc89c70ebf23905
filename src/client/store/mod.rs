//! The local database: one file a user, one writer an engine, read-only readers beside it.
//!
//! Everything is written in IMMEDIATE transactions ([`Store::transact`]) and nothing that was read
//! or written in one is told to anybody before it has been committed and synced. The schema, with
//! what each column means, is in `schema/client/`.

mod backup;
mod calls;
mod clock;
mod commands;
mod compact;
mod error;
mod files;
mod journal;
mod lease;
mod log;
mod memory;
mod meta;
mod migrate;
mod page;
mod read;
mod retention;
mod rows;
mod salvage;

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};

/// A connection for tests that look into a file, or spoil it, by hand.
#[cfg(test)]
pub use rusqlite::Connection as ByHand;

pub use backup::{Copying, Restored, back_up, restore};
pub use calls::{StoredCall, VERDICT};
pub use commands::{ForeignCommand, NewCommand, OutboxRow, StoredCommand, Verdict};
pub use compact::{Log, Space};
pub use files::{FileId, Files, Lock, OsFiles};
pub use meta::FeedPosition;
pub use migrate::SCHEMA_VERSION;
pub use page::{CallEntry, Filter, Page, Query};
pub use read::{EVENTS_MAX, PendingCommand, Readers, RingEntry, StatusCounts};
pub use retention::{CallsCut, Swept};
pub use salvage::Salvage;

use crate::call::{DeviceId, UserId};
use crate::client::config::Memory;
use crate::error::{Code, Error};
use error::{failure, is_certainly_not_committed, is_damage, is_failed_sync, moved, open_failure};
use files::{LOCK, beside};
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
/// How the name of the write-ahead log goes on.
const LOG: &str = "-wal";
/// How that of its index does.
const LOG_INDEX: &str = "-shm";

/// The database of one user on one device, with its writing connection.
pub struct Store {
    files: Arc<dyn Files>,
    /// As the app named it.
    path: PathBuf,
    file: PathBuf,
    /// `None` while it is not known what is on disk.
    connection: Option<Connection>,
    identity: Identity,
    has_moved: bool,
    is_damaged: bool,
    doubts: u64,
    salvage: Option<Salvage>,
    restored: Option<Restored>,
    memory: Memory,
    user: UserId,
    device: DeviceId,
    /// Let go after the connection is closed.
    lock: FileLock,
}

/// Which files a connection has open: the database and its log.
type Identity = [Option<FileId>; 2];

/// A transaction of the store. Dropped without [`Store::transact`]'s commit, it leaves nothing.
pub struct Tx<'a> {
    sql: Transaction<'a>,
    user: &'a UserId,
    device: &'a DeviceId,
    path: &'a Path,
    changes_before: u64,
    sync_failed: Cell<bool>,
}

/// What a transaction came to.
enum Attempt<T> {
    Done(T),
    Nothing(Error),
    /// Nobody would find it again, so it was not committed.
    Moved,
    /// It may be on disk or not.
    Unknown(Error),
}

impl Store {
    /// Opens the file, or makes it. `fresh_device` names the device if the file does not yet. Other
    /// engines may have it open, too; the first has the lock ([`Self::lock`]).
    ///
    /// A file that is damaged is set aside, and another one begun; see [`Self::take_salvage`].
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
        let was_opened = files.exists(&beside(&file, LOCK));
        let lock = FileLock::try_on(files, &file)?;
        let is_first = lock.is_held();
        let open = || Self::open_file(files, path, &file, (user, fresh_device), is_first);
        if !is_first {
            // Whoever has it sees to a damaged file, and to its log.
            return open();
        }
        salvage::finish(files.as_ref(), &file)?;
        let has_content = salvage::check_emptied(files.as_ref(), path, &file, was_opened);
        let mut store = match has_content.and_then(|()| open()) {
            Err(error) if is_damage(&error) => {
                salvage::refuse_no_database(files.as_ref(), path, &file)?;
                let salvage = salvage::set_aside(files, path, &file, user, fresh_device, &error)?;
                let mut store = open()?;
                store.salvage = Some(salvage);
                store
            }
            opened => opened?,
        };
        store.lock = lock;
        Ok(store)
    }

    /// Opens what is there under that name, damaged or not.
    fn open_file(
        files: &Arc<dyn Files>,
        path: &Path,
        file: &Path,
        (user, fresh_device): (&UserId, &DeviceId),
        is_first: bool,
    ) -> Result<Self, Error> {
        files.create(file)?;
        let mut connection =
            connect_to_write(files.vfs(), file).map_err(|error| open_failure(path, &error))?;
        migrate::refuse_foreign(&connection, path)?;
        lease::among_others(|| prepare_writer(&connection))
            .map_err(|error| open_failure(path, &error))?;
        salvage::check_if_suspected(files.as_ref(), &connection, path, file)?;
        migrate::run(&mut connection, path)?;
        if is_first {
            log::begin_anew(files.as_ref(), path, file, &mut connection)?;
        }
        let mut store = Self {
            files: Arc::clone(files),
            path: path.to_owned(),
            file: file.to_owned(),
            connection: Some(connection),
            identity: [None; 2],
            has_moved: false,
            is_damaged: false,
            doubts: 0,
            salvage: None,
            restored: None,
            memory: Memory::Normal,
            user: user.clone(),
            device: fresh_device.clone(),
            lock: FileLock::not_held(files, file),
        };
        (store.device, store.restored) = store.transact(|tx| {
            let device = tx.identify(fresh_device)?;
            let restored = tx.adopt_copy(fresh_device)?;
            let device = restored.as_ref().map_or(device, |_| fresh_device.clone());
            Ok((device, restored))
        })?;
        store.set_checkpoint_on_close(true);
        store.identity = store.identity_now();
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

    /// What was saved of a damaged file, if opening found one. Given once.
    pub fn take_salvage(&mut self) -> Option<Salvage> {
        self.salvage.take()
    }

    /// How often it was not known what of a transaction is on disk. Each time, the connection was
    /// closed; the next transaction begins with what is really there.
    pub fn doubts(&self) -> u64 {
        self.doubts
    }

    /// Whether that is so now.
    pub fn is_in_doubt(&self) -> bool {
        self.connection.is_none()
    }

    /// Whether the file lost its name while it was open: only opening anew helps.
    pub fn has_moved(&self) -> bool {
        self.has_moved
    }

    /// Whether something in the file could not be read, here or by a reader: opening anew looks
    /// through all of it, and sets it aside.
    pub fn is_suspected(&self) -> bool {
        self.is_damaged || salvage::is_suspected(self.files.as_ref(), &self.file)
    }

    /// Does all of `work` in one transaction that is durable when this returns `Ok`, or nothing
    /// of it.
    ///
    /// # Errors
    /// What `work` gives, and what the file has against it. If [`Self::doubts`] grew, all of it may
    /// be there nevertheless.
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
        if self.has_moved {
            return Err(moved(&self.path));
        }
        let result = match self.attempt(behavior, work)? {
            Attempt::Done(value) => return Ok(value),
            Attempt::Nothing(error) => error,
            Attempt::Moved => {
                self.has_moved = true;
                self.set_checkpoint_on_close(false);
                return Err(moved(&self.path));
            }
            Attempt::Unknown(error) => {
                self.doubts += 1;
                // Closing is not to copy a log whose end is not known into the database.
                self.set_checkpoint_on_close(false);
                self.connection = None;
                error
            }
        };
        if is_damage(&result) {
            self.is_damaged = true;
            self.suspect();
        }
        Err(result)
    }

    fn attempt<T>(
        &mut self,
        behavior: TransactionBehavior,
        work: impl FnOnce(&Tx<'_>) -> Result<T, Error>,
    ) -> Result<Attempt<T>, Error> {
        self.reconnect()?;
        let Some(connection) = &mut self.connection else {
            return Err(moved(&self.path));
        };
        let path = &self.path;
        let sql = match connection.transaction_with_behavior(behavior) {
            Ok(sql) => sql,
            Err(error) if is_failed_sync(&error) => {
                return Ok(Attempt::Unknown(failure(path, &error)));
            }
            Err(error) => return Ok(Attempt::Nothing(failure(path, &error))),
        };
        let changes_before = sql.total_changes();
        let tx = Tx {
            sql,
            user: &self.user,
            device: &self.device,
            path,
            changes_before,
            sync_failed: Cell::new(false),
        };
        let value = match work(&tx) {
            Ok(value) => value,
            Err(error) if tx.sync_failed.get() => return Ok(Attempt::Unknown(error)),
            Err(error) => return Ok(Attempt::Nothing(error)),
        };
        // Before the commit: what is refused must not be there when the file gets its name back.
        if tx.has_written()
            && self.identity != [None; 2]
            && identity_of(self.files.as_ref(), &self.file) != self.identity
        {
            return Ok(Attempt::Moved);
        }
        Ok(match tx.sql.commit() {
            Ok(()) => Attempt::Done(value),
            Err(error) if is_certainly_not_committed(&error) => {
                Attempt::Nothing(failure(path, &error))
            }
            Err(error) => Attempt::Unknown(failure(path, &error)),
        })
    }

    /// The connection, opened once more if it had to be closed.
    fn reconnect(&mut self) -> Result<&Connection, Error> {
        match self.connection.take() {
            Some(connection) => Ok(self.connection.insert(connection)),
            None => {
                let connection = self.reopen()?;
                Ok(self.connection.insert(connection))
            }
        }
    }

    /// Opens the file once more after a failed commit. What can be read of its log need not be on
    /// disk, whatever syncs say from then on; so that is written anew first.
    fn reopen(&mut self) -> Result<Connection, Error> {
        if self.identity_now() != self.identity {
            self.has_moved = true;
            return Err(moved(&self.path));
        }
        let told = |error: rusqlite::Error| failure(&self.path, &error);
        let mut connection = connect_to_write(self.files.vfs(), &self.file).map_err(told)?;
        prepare_writer(&connection).map_err(told)?;
        memory::limit_writer(&connection, self.memory).map_err(told)?;
        log::take_its_place(&mut connection).map_err(told)?;
        log::write_again(self.files.as_ref(), &self.path, &self.file, &mut connection)?;
        connection
            .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)
            .map_err(told)?;
        Ok(connection)
    }

    fn identity_now(&self) -> Identity {
        identity_of(self.files.as_ref(), &self.file)
    }

    /// Has the file looked through when it is opened the next time.
    pub fn suspect(&self) {
        salvage::suspect(self.files.as_ref(), &self.file);
    }

    fn set_checkpoint_on_close(&self, on: bool) {
        if let Some(connection) = &self.connection {
            // If it cannot be set, the checkpoint takes only what was synced before.
            let _ = connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, !on);
        }
    }

    /// Gives the file a new identity, after it was found to be a copy.
    pub fn set_device(&mut self, device: DeviceId) {
        self.device = device;
    }

    /// Writes the WAL back into the file as far as it goes.
    pub fn checkpoint(&self) -> Result<(), Error> {
        let Some(connection) = &self.connection else {
            // What is not known to be on disk is left as it is.
            return Ok(());
        };
        connection
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
        result.map_err(|error| {
            if is_failed_sync(&error) {
                self.sync_failed.set(true);
            }
            failure(self.path, &error)
        })
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

fn identity_of(files: &dyn Files, file: &Path) -> Identity {
    let log = beside(file, LOG);
    [file, &log].map(|file| files.identity(file))
}

fn connect(vfs: Option<&str>, file: &Path, flags: OpenFlags) -> rusqlite::Result<Connection> {
    match vfs {
        Some(vfs) => Connection::open_with_flags_and_vfs(file, flags, vfs),
        None => Connection::open_with_flags(file, flags),
    }
}

/// The writer's connection. Closed, it copies nothing of the log into the database: that is as it is
/// until it is known what is in it, and that it is ours.
fn connect_to_write(vfs: Option<&str>, file: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = connect(vfs, file, flags)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    Ok(connection)
}

fn prepare_writer(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    // Otherwise binding another value can have a cached statement compiled anew.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    compact::prepare_empty(connection)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    // Apple's systems leave what was synced in the drive's memory unless they are asked for more.
    connection.pragma_update(None, "fullfsync", true)?;
    connection.pragma_update(None, "checkpoint_fullfsync", true)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "wal_autocheckpoint", WAL_PAGES_MAX)?;
    connection.pragma_update(None, "journal_size_limit", WAL_BYTES_KEPT)?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    connection.pragma_update(None, "temp_store", "MEMORY")
}
