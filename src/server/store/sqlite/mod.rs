//! The store on embedded SQLite: one file in a folder that one server holds.
//!
//! A transaction goes in as calls on [`Transaction`], each a few prepared statements on the one
//! connection; out come values or a [`StoreError`]. What always holds: the first error ends a
//! transaction, which then can only be dropped; a commit that was reported done is synced to the
//! disk; after a commit whose end is not known, the store does nothing more, because an operating
//! system that failed to sync once may say on the next try that all is well.
//!
//! Checkpoints are SQLite's own, after the commit that fills the log. One that fails costs nothing
//! but room: it copies the same pages again before it counts them as done.

mod calls;
mod devices;
mod fault;
mod feed;
mod migrate;
mod number;
mod retention;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use self::fault::{Done, Fault, certainly_not_committed, map_io};
use super::{
    DeviceKey, DeviceRow, KeptVerdict, Removed, Store, StoreError, StoreResult, Transaction,
};
use crate::call::{Call, CallId, DeviceId, Millis, UserId};
use crate::disk;
use crate::protocol::{Capabilities, Cursor};

/// The name of the database in the server's folder.
pub const DATABASE_FILE: &str = "server.db";
/// The name of the file whose lock says which server holds the folder.
const LOCK_FILE: &str = "server.lock";

/// The oldest SQLite that is taken: earlier ones could damage a log that several connections use.
const SQLITE_VERSION_MIN: i32 = 3_051_003;
/// After how many pages in the log it is copied into the database (4,000 of 4 KiB: 16 MiB).
/// SQLite's own 1,000 has commits wait for a copy four times as often.
const CHECKPOINT_PAGES: i64 = 4_000;
/// To what size the log is cut when it starts anew.
const LOG_BYTES_KEPT: i64 = 64 * 1024 * 1024;
/// How much of the database is kept in memory, in KiB.
const CACHE_KIB: i64 = 32 * 1024;
/// How the database is opened.
const FLAGS: OpenFlags = OpenFlags::SQLITE_OPEN_READ_WRITE.union(OpenFlags::SQLITE_OPEN_NO_MUTEX);
/// How many prepared statements are kept; more than this store has.
const STATEMENTS_KEPT: usize = 64;
/// How long to wait for somebody who writes to the file by hand.
const BUSY_WAIT: Duration = Duration::from_secs(2);

/// Writes a file over itself, and syncs it.
pub type WriteAgain<'a> = &'a dyn Fn(&Path) -> io::Result<()>;

/// The store on embedded SQLite.
#[derive(Debug)]
pub struct SqliteStore {
    connection: Connection,
    file: PathBuf,
    /// Why nothing more is done, once that is so.
    refusal: Option<String>,
    // Given back last, when the connection is closed.
    _lock: Option<File>,
}

impl SqliteStore {
    /// Opens the store in that folder, and makes both if they are not there.
    ///
    /// # Errors
    ///
    /// [`StoreError::InUse`] if another server holds the folder; [`StoreError::NewerVersion`] if a
    /// newer build wrote the file, which is then left as it was; [`StoreError::Corrupt`] if it is
    /// not a database; [`StoreError::ReadOnly`] if the folder cannot be written.
    pub fn open(data_dir: &Path) -> StoreResult<Self> {
        let version = rusqlite::version_number();
        if version < SQLITE_VERSION_MIN {
            return Err(StoreError::Failed(format!(
                "this build has SQLite {}, which can damage the data; build it with the SQLite \
                 that it brings along",
                rusqlite::version()
            )));
        }
        make_folder(data_dir)?;
        let lock = take_lock(data_dir)?;
        let file = data_dir.join(DATABASE_FILE);
        // SQLite would make it readable for others; its log takes the mode from it.
        open_private(&file)?;
        // Absolute, because SQLite takes a folder named `file:x` for something else.
        let absolute =
            std::path::absolute(&file).map_err(|error| map_io(&error, &file, "finding it"))?;
        let opened = Connection::open_with_flags(absolute, FLAGS);
        let connection = connect(opened, &file, &disk::write_again)?;
        Ok(Self {
            connection,
            file,
            refusal: None,
            _lock: Some(lock),
        })
    }

    /// Opens a database on another SQLite VFS than the usual one, where there is neither a folder
    /// nor anybody else. `write_again` writes a file of it over itself and syncs it.
    ///
    /// # Errors
    /// As for [`Self::open`].
    pub fn open_on(vfs: &str, file: &Path, write_again: WriteAgain<'_>) -> StoreResult<Self> {
        let flags = FLAGS | OpenFlags::SQLITE_OPEN_CREATE;
        let opened = Connection::open_with_flags_and_vfs(file, flags, vfs);
        Ok(Self {
            connection: connect(opened, file, write_again)?,
            file: file.to_owned(),
            refusal: None,
            _lock: None,
        })
    }

    /// Where the database is.
    pub fn file(&self) -> &Path {
        &self.file
    }

    fn refuse_from_now_on(&mut self, why: &StoreError) {
        self.refusal = Some(format!(
            "{}: nothing is written any more since {why}; look at the disk, then start the server \
             anew",
            self.file.display()
        ));
        // Closing is not to copy a log whose end is not known into the database. If this cannot be
        // set, the copy takes only what was synced before.
        let _ = self
            .connection
            .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
    }
}

impl Store for SqliteStore {
    fn begin(&mut self) -> StoreResult<Box<dyn Transaction + '_>> {
        if let Some(refusal) = &self.refusal {
            return Err(StoreError::Failed(refusal.clone()));
        }
        run(&self.connection, "BEGIN IMMEDIATE")
            .map_err(|fault| fault.into_store_error(&self.file, "begin"))?;
        Ok(Box::new(SqliteTransaction {
            store: self,
            failed: None,
        }))
    }
}

fn make_folder(folder: &Path) -> StoreResult<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
        .create(folder)
        .map_err(|error| map_io(&error, folder, "making the folder"))
}

fn open_private(path: &Path) -> StoreResult<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
        .open(path)
        .map_err(|error| map_io(&error, path, "opening it for writing"))
}

fn take_lock(folder: &Path) -> StoreResult<File> {
    let path = folder.join(LOCK_FILE);
    let lock = open_private(&path)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse(format!(
            "another server holds the folder {}; stop it, or name another folder",
            folder.display()
        ))),
        Err(TryLockError::Error(error)) => Err(map_io(&error, &path, "locking it")),
    }
}

fn connect(
    opened: rusqlite::Result<Connection>,
    file: &Path,
    write_again: WriteAgain<'_>,
) -> StoreResult<Connection> {
    let told = |doing: &'static str| {
        move |error: rusqlite::Error| Fault::from(error).into_store_error(file, doing)
    };
    let mut connection = opened.map_err(told("opening it"))?;
    // Until it is known to be ours, closing must not write either.
    let keep_log = DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE;
    connection
        .set_db_config(keep_log, true)
        .map_err(told("opening it"))?;
    let version = migrate::examine(&connection, file)?;
    set_up(&connection).map_err(|fault| fault.into_store_error(file, "setting it up"))?;
    begin_log_anew(&connection, file, write_again)?;
    migrate::run(&mut connection, file, version)?;
    connection
        .set_db_config(keep_log, false)
        .map_err(told("opening it"))?;
    Ok(connection)
}

fn set_up(connection: &Connection) -> Done<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DML, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DDL, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_FKEY, true)?;
    // A plan that does not depend on what is bound: otherwise binding another value can have a
    // cached statement compiled anew, which took a third of the time of a command.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
    connection.busy_timeout(BUSY_WAIT)?;
    let journal: String =
        connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    if journal != "wal" {
        return Err(Fault::Refused(format!(
            "its file system allows no write-ahead log (the journal is {journal:?}); put the \
             folder on a local disk"
        )));
    }
    connection.pragma_update(None, "synchronous", "FULL")?;
    // Apple's systems leave what was synced in the drive's memory unless they are asked for more.
    connection.pragma_update(None, "fullfsync", true)?;
    connection.pragma_update(None, "checkpoint_fullfsync", true)?;
    connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    connection.pragma_update(None, "journal_size_limit", LOG_BYTES_KEPT)?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    Ok(())
}

/// Where a sync failed, the system may have given up what it was to write, while whoever reads
/// still sees it. A log with such a hole would end there when the power goes, and everything that
/// was added behind it would be lost with it; and if that happened in the middle of a copy of the log
/// into the database, the database would be torn. So the log of an earlier process is written again,
/// then copied, and nothing is added to it.
fn begin_log_anew(
    connection: &Connection,
    file: &Path,
    write_again: WriteAgain<'_>,
) -> StoreResult<()> {
    let told = |fault: Fault| fault.into_store_error(file, "beginning a log");
    run(connection, "BEGIN IMMEDIATE").map_err(told)?; // nobody adds to it meanwhile
    let mut log = file.as_os_str().to_owned();
    log.push("-wal");
    let log = PathBuf::from(log);
    match write_again(&log) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        written => written.map_err(|error| map_io(&error, &log, "writing it again"))?,
    }
    run(connection, "ROLLBACK").map_err(told)?;
    let copied = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    copied.map_err(|error| told(error.into()))
}

fn run(connection: &Connection, sql: &str) -> Done<()> {
    connection.prepare_cached(sql)?.execute([])?;
    Ok(())
}

/// One transaction; see [`Transaction`].
struct SqliteTransaction<'a> {
    store: &'a mut SqliteStore,
    /// The first error. SQLite may have rolled back by itself then, and what came after would be
    /// a transaction of its own.
    failed: Option<StoreError>,
}

impl SqliteTransaction<'_> {
    fn step<T>(
        &mut self,
        doing: &str,
        step: impl FnOnce(&Connection) -> Done<T>,
    ) -> StoreResult<T> {
        if let Some(earlier) = &self.failed {
            return Err(earlier.clone());
        }
        step(&self.store.connection).map_err(|fault| {
            let failed_sync = fault.is_failed_sync();
            let error = fault.into_store_error(&self.store.file, doing);
            if failed_sync {
                self.store.refuse_from_now_on(&error);
            }
            self.failed = Some(error.clone());
            error
        })
    }

    /// Leaves nothing behind. SQLite may have done so already.
    fn roll_back(&mut self) {
        if self.store.connection.is_autocommit() {
            return;
        }
        if let Err(fault) = run(&self.store.connection, "ROLLBACK") {
            let error = fault.into_store_error(&self.store.file, "rollback");
            self.store.refuse_from_now_on(&error);
        }
    }
}

impl Drop for SqliteTransaction<'_> {
    fn drop(&mut self) {
        self.roll_back();
    }
}

impl Transaction for SqliteTransaction<'_> {
    fn clock(&mut self) -> StoreResult<Millis> {
        self.step("reading the clock", feed::clock)
    }

    fn set_clock(&mut self, now: Millis) -> StoreResult<()> {
        self.step("storing the clock", |connection| {
            feed::set_clock(connection, now)
        })
    }

    fn begin_epoch(&mut self, epoch: u64) -> StoreResult<()> {
        self.step("beginning an epoch", |connection| {
            feed::begin_epoch(connection, epoch)
        })
    }

    fn knows_cursor(&mut self, cursor: Cursor) -> StoreResult<bool> {
        self.step("judging a cursor", |connection| {
            feed::knows_cursor(connection, cursor)
        })
    }

    fn call(&mut self, id: &CallId) -> StoreResult<Option<Call>> {
        self.step("reading a call", |connection| calls::call(connection, id))
    }

    fn put_call(&mut self, before: Option<&Call>, after: &Call) -> StoreResult<()> {
        self.step("writing a call", |connection| {
            calls::put(connection, before, after)
        })
    }

    fn open_calls_of(&mut self, user: &UserId, limit: usize) -> StoreResult<Vec<CallId>> {
        self.step("reading a user's open calls", |connection| {
            calls::open_of(connection, user, limit)
        })
    }

    fn call_of(&mut self, user: &UserId, except: &CallId) -> StoreResult<Option<CallId>> {
        self.step("reading a user's call", |connection| {
            calls::in_call(connection, user, except)
        })
    }

    fn ring_of(&mut self, inviter: &UserId, invitee: &UserId) -> StoreResult<Option<CallId>> {
        self.step("reading who rings whom", |connection| {
            calls::ring(connection, inviter, invitee)
        })
    }

    fn due(&mut self, now: Millis, limit: usize) -> StoreResult<Vec<CallId>> {
        self.step("reading what is due", |connection| {
            calls::due(connection, now, limit)
        })
    }

    fn next_due(&mut self) -> StoreResult<Option<Millis>> {
        self.step("reading what is due next", calls::next_due)
    }

    fn users_in_calls(&mut self, after: Option<&UserId>, limit: usize) -> StoreResult<Vec<UserId>> {
        self.step("reading who is in a call", |connection| {
            calls::users_in(connection, after, limit)
        })
    }

    fn append_feed(
        &mut self,
        call: &CallId,
        users: &BTreeSet<UserId>,
    ) -> StoreResult<Vec<(UserId, u64)>> {
        self.step("writing feeds", |connection| {
            feed::append(connection, call, users)
        })
    }

    fn feed_after(
        &mut self,
        user: &UserId,
        seq: u64,
        limit: usize,
    ) -> StoreResult<Vec<(u64, CallId)>> {
        self.step("reading a feed", |connection| {
            feed::after(connection, user, seq, limit)
        })
    }

    fn device(&mut self, user: &UserId, device: &DeviceId) -> StoreResult<Option<DeviceRow>> {
        self.step("reading a device", |connection| {
            devices::device(connection, user, device)
        })
    }

    fn put_device(&mut self, row: &DeviceRow) -> StoreResult<()> {
        self.step("writing a device", |connection| {
            devices::put_device(connection, row)
        })
    }

    fn user_capabilities(&mut self, user: &UserId) -> StoreResult<Option<Capabilities>> {
        self.step("reading a user", |connection| {
            devices::user_capabilities(connection, user)
        })
    }

    fn put_user(
        &mut self,
        user: &UserId,
        capabilities: Capabilities,
        now: Millis,
    ) -> StoreResult<()> {
        self.step("writing a user", |connection| {
            devices::put_user(connection, user, capabilities, now)
        })
    }

    fn verdict(
        &mut self,
        user: &UserId,
        device: &DeviceId,
        number: u64,
    ) -> StoreResult<Option<KeptVerdict>> {
        self.step("reading a verdict", |connection| {
            devices::verdict(connection, user, device, number)
        })
    }

    fn put_verdict(
        &mut self,
        user: &UserId,
        device: &DeviceId,
        verdict: &KeptVerdict,
    ) -> StoreResult<()> {
        self.step("keeping a verdict", |connection| {
            devices::put_verdict(connection, user, device, verdict)
        })
    }

    fn verdicts_from(
        &mut self,
        user: &UserId,
        device: &DeviceId,
        number: u64,
        limit: usize,
    ) -> StoreResult<Vec<KeptVerdict>> {
        self.step("reading verdicts", |connection| {
            devices::verdicts_from(connection, user, device, number, limit)
        })
    }

    fn forget_verdicts(&mut self, user: &UserId, device: &DeviceId, up_to: u64) -> StoreResult<()> {
        self.step("forgetting verdicts", |connection| {
            devices::forget_verdicts(connection, user, device, up_to)
        })
    }

    fn remove_ended(
        &mut self,
        after: u64,
        ended_before: Millis,
        limit: usize,
    ) -> StoreResult<Removed<u64>> {
        self.step("removing calls", |connection| {
            retention::remove_ended(connection, after, ended_before, limit)
        })
    }

    fn trimmed(&mut self, user: &UserId) -> StoreResult<u64> {
        self.step("reading what was removed", |connection| {
            retention::trimmed(connection, user)
        })
    }

    fn remove_devices(
        &mut self,
        after: Option<&DeviceKey>,
        hello_before: Millis,
        limit: usize,
    ) -> StoreResult<Removed<DeviceKey>> {
        self.step("removing devices", |connection| {
            retention::remove_devices(connection, after, hello_before, limit)
        })
    }

    fn commit(mut self: Box<Self>) -> StoreResult<()> {
        if let Some(earlier) = &self.failed {
            return Err(earlier.clone());
        }
        let Err(fault) = run(&self.store.connection, "COMMIT") else {
            return Ok(());
        };
        let known = match &fault {
            Fault::Sql(error) => certainly_not_committed(error),
            Fault::Refused(_) | Fault::Damaged(_) => false,
        };
        let error = fault.into_store_error(&self.store.file, "commit");
        self.roll_back();
        if known {
            return Err(error);
        }
        let error = StoreError::Unknown(error.to_string());
        self.store.refuse_from_now_on(&error);
        Err(error)
    }
}
