//! Copies of a database: made while it is in use, and put where a database is to be.
//!
//! A copy is of one moment, holds nothing of what was removed, needs no other file beside it, and
//! is marked as one. It is made under another name and gets its own once it is whole and on disk,
//! so a file of that name is a copy, or there is none. Who opens a marked file is another device:
//! what waited in it may have been sent since by the one that it was copied from, so it is given up.

use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, InterruptHandle, OpenFlags, OptionalExtension};

use super::error::{failure, open_failure};
use super::files::{Files, LOCK, Lock, beside};
use super::lease::LAST_POSITION;
use super::meta::{COPY_OF, USER_ID, another_users};
use super::{BUSY_TIMEOUT, LOG, LOG_INDEX, OutboxRow, Store, Tx, compact, connect, migrate};
use crate::call::{DeviceId, UserId};
use crate::client::event::{CommandSettled, EventKind};
use crate::client::housekeeping::Backup;
use crate::error::{Code, Error};

/// How the name of a copy goes on while it is being made: as nobody calls a file.
const IN_THE_MAKING: &str = ".offhook-part";
/// How that of the empty file goes on, beyond this, which says that what has that name is a copy in
/// the making. What is in an unfinished copy does not say so itself.
const NOTE: &str = "-note";
/// How that one is called before its name is on the disk.
const NOTE_IN_THE_MAKING: &str = "-note.new";
/// The longest of how names go on of what lies beside a copy while it is being made.
const LONGEST_ENDING: usize = IN_THE_MAKING.len() + NOTE_IN_THE_MAKING.len();
/// What file systems take for a name.
const FILE_NAME_BYTES_MAX: usize = 255;
/// What may lie beside a database, by how its name ends: with a stranger's, no file is what it was.
const COMPANIONS: [&str; 3] = ["", LOG, "-journal"];
/// How the names go on that a database has for itself: it would take what is there for its own.
const ITS_OWN: [&str; 7] = [
    LOG,
    LOG_INDEX,
    "-journal",
    LOCK,
    ".salvage",
    ".corrupt-",
    ".suspected",
];
/// How much further the journal of a copy goes on: beyond what the original has told since.
const POSITIONS_APART: u64 = 1 << 40;
/// Behind which position no copy's journal goes on: what it counts from there on is exact in
/// JavaScript, too. That is after thousands of copies, each of one that was restored.
const BEGINS_BEHIND_MAX: u64 = (1 << 53) - POSITIONS_APART;
/// How often a copy that is to stop is told so: once may be between two of its statements.
const STOP_AGAIN_AFTER: Duration = Duration::from_millis(10);

/// What became of a copy when it was opened for the first time.
#[derive(Clone, Debug)]
pub struct Restored {
    /// Behind which position the journal has the ends of the commands that waited in it.
    pub begins_behind: u64,
}

/// Whether a copy is being made, and how to have that stop.
#[derive(Default)]
pub struct Copying {
    state: Mutex<State>,
    ended: Condvar,
}

#[derive(Default)]
struct State {
    is_under_way: bool,
    /// The file is to be closed.
    stops: bool,
    interrupt: Option<InterruptHandle>,
}

/// The right to make a copy, until it is dropped.
pub struct Turn<'a>(&'a Copying);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.is_under_way = false;
        state.interrupt = None;
        self.0.ended.notify_all();
    }
}

impl Copying {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The right to make the one copy that is made at a time.
    ///
    /// # Errors
    /// [`Code::InUse`] while there is another, [`Code::Closed`] while the file is closed.
    pub fn begin(&self) -> Result<Turn<'_>, Error> {
        let mut state = self.state();
        if state.stops {
            return Err(stopped());
        }
        if state.is_under_way {
            let message = "a copy is being made already; wait until it is done";
            return Err(Error::new(Code::InUse, "copying", message));
        }
        state.is_under_way = true;
        Ok(Turn(self))
    }

    /// Ends what is under way, and lets nothing begin: the file is about to be closed.
    pub fn stop(&self) {
        let mut state = self.state();
        state.stops = true;
        while state.is_under_way {
            if let Some(interrupt) = &state.interrupt {
                interrupt.interrupt();
            }
            let waited = self.ended.wait_timeout(state, STOP_AGAIN_AFTER);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The file is open again.
    pub fn go_on(&self) {
        self.state().stops = false;
    }
}

impl Turn<'_> {
    fn may_be_interrupted(&self, connection: &Connection) {
        self.0.state().interrupt = Some(connection.get_interrupt_handle());
    }

    fn check(&self) -> Result<(), Error> {
        if self.0.state().stops {
            return Err(stopped());
        }
        Ok(())
    }
}

fn stopped() -> Error {
    let message = "the engine is paused or closed; resume it and make the copy anew";
    Error::new(Code::Closed, "closed", message)
}

/// Copies the database of an engine, as it is now, to a file that is not there yet. Keeps nobody from
/// reading or writing; the log grows meanwhile.
///
/// # Errors
/// [`Code::InvalidParameter`] for a name that is taken or is not to be had, [`Code::Closed`] when it
/// was stopped, and what the disk has against it. Then there is no copy.
pub fn back_up(
    files: &dyn Files,
    database: &Path,
    to: &Path,
    turn: &Turn<'_>,
) -> Result<Backup, Error> {
    let from = files.resolve(database)?;
    let place = free_place(files, to)?;
    let (own, name) = (from.file_name(), place.file_name());
    let begins = own
        .zip(name)
        .is_some_and(|(own, name)| name.as_encoded_bytes().starts_with(own.as_encoded_bytes()));
    if begins && from.parent() == place.parent() {
        let message = "a name that begins with the database's own belongs to it; name another";
        return Err(Error::parameter("path", message));
    }
    let source = open_source(files, database, &from)?;
    turn.may_be_interrupted(&source);
    make(files, (database, &source), &place, turn)
}

/// Puts a copy where a database is to be, for an engine to open it as another device; `user`: only
/// one of that user.
///
/// # Errors
/// [`Code::InvalidParameter`] for a place that is taken, when there is no such copy, or when it is
/// one of copies beyond count;
/// [`Code::InUse`] while an engine has the place; [`Code::NewerVersion`], [`Code::Corrupt`], and what
/// the disk has against it. Then nothing is there.
pub fn restore(
    files: &dyn Files,
    backup: &Path,
    database: &Path,
    user: Option<&UserId>,
) -> Result<Backup, Error> {
    check_name("backup", backup)?;
    let from = files.resolve(backup)?;
    if !files.exists(&from) {
        let message = format!("{} is not there; name a copy", backup.display());
        return Err(Error::parameter("backup", message));
    }
    let place = free_place(files, database)?;
    refuse_companion(&from, &place)?;
    let whole = |error| no_whole_copy(backup, error);
    if files.start(&from, 0)?.1 == 0 {
        return Err(whole(Error::new(Code::Corrupt, "corrupt", "it is empty")));
    }
    let source = open_source(files, backup, &from).map_err(whole)?;
    let told = |error: rusqlite::Error| whole(failure(backup, &error));
    migrate::refuse_newer_or_foreign(&source, backup).map_err(whole)?;
    let found: String = source
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(told)?;
    if found != "ok" {
        return Err(whole(Error::new(Code::Corrupt, "corrupt", found)));
    }
    let last: i64 = source
        .query_row(LAST_POSITION, [], |row| row.get(0))
        .map_err(told)?;
    begins_behind("backup", last.cast_unsigned())?;
    if let Some(user) = user {
        let whose = meta_of(&source, USER_ID).map_err(told)?;
        if let Some(whose) = whose.filter(|whose| whose != user.as_str()) {
            return Err(another_users(backup, &whose, user));
        }
    }
    let lock_file = beside(&place, LOCK);
    let had_lock = files.exists(&lock_file);
    let engines = lock(files, &place)?;
    let copying = Copying::default();
    let made = copying
        .begin()
        .and_then(|turn| make(files, (backup, &source), &place, &turn))
        .map_err(whole);
    if made.is_err() && !had_lock {
        let _ = files.remove(&lock_file);
    }
    drop(engines);
    made
}

/// Refuses to put a copy where it has its own log, lock or the like.
fn refuse_companion(copy: &Path, place: &Path) -> Result<(), Error> {
    let is_its_own = |ending: &str| {
        let (own, place) = (beside(copy, ending), place.as_os_str().as_encoded_bytes());
        place.starts_with(own.as_os_str().as_encoded_bytes())
    };
    if ITS_OWN.iter().any(|ending| is_its_own(ending)) {
        let message = format!(
            "{} is a name that belongs to the copy itself; name another",
            place.display()
        );
        return Err(Error::parameter("path", message));
    }
    Ok(())
}

/// What is wrong with a file that is to be put in place, as what it means for whoever named it.
fn no_whole_copy(path: &Path, error: Error) -> Error {
    if ![Code::Corrupt, Code::Internal].contains(&error.code) {
        return error;
    }
    let message = format!(
        "{} is no copy of an Offhook database, or not a whole one; name another",
        path.display()
    );
    Error::new(Code::Corrupt, "noCopy", message)
}

fn meta_of(source: &Connection, key: &str) -> rusqlite::Result<Option<String>> {
    let sql = "SELECT value FROM meta WHERE key = ?";
    source.query_row(sql, [key], |row| row.get(0)).optional()
}

/// Where the journal of a copy goes on. Positions are never used again, not even those that the
/// original has given since.
fn begins_behind(parameter: &str, last: u64) -> Result<u64, Error> {
    let begins = last.saturating_add(POSITIONS_APART);
    if begins > BEGINS_BEHIND_MAX {
        let message = "it is the copy of a copy too many times over, and has no positions left for \
                       its events; begin a new database";
        return Err(Error::parameter(parameter, message));
    }
    Ok(begins)
}

fn check_name(parameter: &str, path: &Path) -> Result<(), Error> {
    let bytes = path.as_os_str().as_encoded_bytes();
    if bytes.is_empty() || bytes.contains(&0) {
        let message = format!("{path:?} cannot be the name of a file; name another");
        return Err(Error::parameter(parameter, message));
    }
    Ok(())
}

/// A place that nothing has.
fn free_place(files: &dyn Files, to: &Path) -> Result<PathBuf, Error> {
    check_name("path", to)?;
    let name_bytes = to.file_name().map_or(0, |name| name.len());
    if name_bytes + LONGEST_ENDING > FILE_NAME_BYTES_MAX {
        let message = format!(
            "{} has a name of {name_bytes} bytes, and the copy needs longer ones beside it; name one \
             of {} at most",
            to.display(),
            FILE_NAME_BYTES_MAX - LONGEST_ENDING
        );
        return Err(Error::parameter("path", message));
    }
    let place = files.resolve(to)?;
    if !files.has_folder(&place) {
        let message = format!(
            "the folder of {} is not there; make it, or name another",
            to.display()
        );
        return Err(Error::parameter("path", message));
    }
    let taken = COMPANIONS.iter().map(|ending| beside(&place, ending));
    match taken.into_iter().find(|path| files.exists(path)) {
        Some(path) => {
            let message = format!(
                "{} is there already; name a file that is not there yet",
                path.display()
            );
            Err(Error::parameter("path", message))
        }
        None => Ok(place),
    }
}

fn lock(files: &dyn Files, file: &Path) -> Result<Lock, Error> {
    files.lock(file)?.ok_or_else(|| {
        let message = format!("{} is in use; close who uses it", file.display());
        Error::new(Code::InUse, "locked", message)
    })
}

fn open_source(files: &dyn Files, path: &Path, file: &Path) -> Result<Connection, Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    connect(files.vfs(), file, flags)
        .and_then(|source| {
            source.busy_timeout(BUSY_TIMEOUT)?;
            // What is free cannot be given back of a file of an older build, but of its copy.
            compact::prepare_copy(&source)?;
            Ok(source)
        })
        .map_err(|error| open_failure(path, &error))
}

fn make(
    files: &dyn Files,
    source: (&Path, &Connection),
    place: &Path,
    turn: &Turn<'_>,
) -> Result<Backup, Error> {
    let part = beside(place, IN_THE_MAKING);
    let claim = Claim::take(files, &part)?;
    let made = make_as(files, source, &part, turn)
        .and_then(|()| files.start(&part, 0))
        .and_then(|(_, bytes)| {
            turn.check()?;
            free_place(files, place)?;
            files.rename(&part, place)?;
            Ok(bytes)
        });
    claim.give_back(made.is_ok());
    made.map(|bytes| Backup {
        path: place.to_owned(),
        bytes,
    })
}

/// The right to the name under which a copy is made. What has that name and was not made under such
/// a claim is somebody's, and stays.
struct Claim<'a> {
    files: &'a dyn Files,
    part: &'a Path,
    /// The file of the lock was there before.
    keeps_lock: bool,
    _lock: Lock,
}

impl<'a> Claim<'a> {
    fn take(files: &'a dyn Files, part: &'a Path) -> Result<Self, Error> {
        let lock_file = beside(part, LOCK);
        refuse_content(files, &lock_file)?;
        let had_lock = files.exists(&lock_file);
        let mut claim = Self {
            files,
            part,
            keeps_lock: had_lock,
            _lock: lock(files, part)?,
        };
        match claim.note() {
            Ok(was_noted) => {
                claim.keeps_lock = had_lock && !was_noted;
                Ok(claim)
            }
            Err(error) => {
                claim.remove_lock();
                Err(error)
            }
        }
    }

    /// Says on the disk that what gets the name is a copy in the making; gives whether an earlier
    /// one, which was interrupted, has said so.
    fn note(&self) -> Result<bool, Error> {
        let note = beside(self.part, NOTE);
        refuse_content(self.files, &note)?;
        if self.files.exists(&note) {
            return Ok(true);
        }
        let journal = beside(self.part, "-journal");
        for file in [self.part, &journal] {
            if self.files.exists(file) {
                return Err(not_ours(file));
            }
        }
        let fresh = beside(self.part, NOTE_IN_THE_MAKING);
        refuse_content(self.files, &fresh)?;
        self.files.create(&fresh)?;
        self.files.rename(&fresh, &note)?;
        Ok(false)
    }

    /// A part of a copy is none. Where it cannot be taken away, the next one takes its name.
    fn give_back(self, is_made: bool) {
        if is_made || remove(self.files, self.part).is_ok() {
            let _ = self.files.remove(&beside(self.part, NOTE));
        }
        self.remove_lock();
    }

    fn remove_lock(&self) {
        if !self.keeps_lock {
            let _ = self.files.remove(&beside(self.part, LOCK));
        }
    }
}

/// Refuses a file that has something in it where the engine's own are empty.
fn refuse_content(files: &dyn Files, file: &Path) -> Result<(), Error> {
    if files.exists(file) && files.start(file, 0)?.1 > 0 {
        return Err(not_ours(file));
    }
    Ok(())
}

fn not_ours(file: &Path) -> Error {
    let message = format!(
        "{} is in the way, and was not left by a copy that was interrupted; move it, or name \
         another file",
        file.display()
    );
    Error::parameter("path", message)
}

fn remove(files: &dyn Files, file: &Path) -> Result<(), Error> {
    files.remove(file)?;
    files.remove(&beside(file, "-journal"))
}

/// One statement reads all of it in one snapshot; what follows syncs what that has written.
fn make_as(
    files: &dyn Files,
    (path, source): (&Path, &Connection),
    part: &Path,
    turn: &Turn<'_>,
) -> Result<(), Error> {
    remove(files, part)?;
    files.create(part)?;
    turn.check()?;
    let name = part.to_str().ok_or_else(|| {
        let message = format!("{} is no text; name another file", part.display());
        Error::parameter("path", message)
    })?;
    source
        .execute("VACUUM INTO ?", [name])
        .map_err(|error| match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::OperationInterrupted) => stopped(),
            Some(_) | None => failure(path, &error),
        })?;
    mark(files, part).map_err(|error| failure(part, &error))
}

fn mark(files: &dyn Files, part: &Path) -> rusqlite::Result<()> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let copy = connect(files.vfs(), part, flags)?;
    copy.busy_timeout(BUSY_TIMEOUT)?;
    copy.pragma_update(None, "synchronous", "FULL")?;
    copy.execute(
        "INSERT INTO meta (key, value)
         VALUES (?1, coalesce((SELECT value FROM meta WHERE key = 'device_id'), ''))
         ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        [COPY_OF],
    )?;
    copy.close().map_err(|(_, error)| error)
}

impl Store {
    /// What became of a copy, if this file was one and was opened for the first time. Given once.
    pub fn take_restored(&mut self) -> Option<Restored> {
        self.restored.take()
    }
}

impl Tx<'_> {
    /// Makes a copy another device; `None` if the file is none.
    ///
    /// # Errors
    /// [`Code::InvalidParameter`] for a copy of copies beyond count.
    pub(super) fn adopt_copy(&self, device: &DeviceId) -> Result<Option<Restored>, Error> {
        if self.meta(COPY_OF)?.is_none() {
            return Ok(None);
        }
        let begins_behind = begins_behind("path", self.last_position()?)?;
        self.go_on_behind(begins_behind)?;
        let pending = self.pending_commands()?;
        let queued = pending.iter().map(|row| match row {
            OutboxRow::Known(command) => command.queued_at,
            OutboxRow::Foreign(command) => command.queued_at,
        });
        // No clock is at hand; this is the last moment that the file knew of.
        let now = queued.chain([self.feed()?.heard_at]).max().unwrap_or(0);
        for row in pending {
            let message = "this waited in a copy of the database; the device that it was copied \
                           from may have sent it";
            let result = Err(Error::new(Code::Dropped, "restored", message));
            self.settle_op(row.op(), &result, now)?;
            match row {
                OutboxRow::Known(command) => {
                    let event = EventKind::CommandSettled(CommandSettled {
                        op: command.op,
                        call_id: command.call_id.clone(),
                        command: command.command.kind(),
                        result,
                    });
                    self.append_journal(now, &command.call_id, &event)?;
                }
                OutboxRow::Foreign(command) => {
                    self.append_foreign_settled(now, &command, &result)?;
                }
            }
        }
        self.set_identity(device)?;
        self.cached("DELETE FROM meta WHERE key = ?", [COPY_OF])?;
        Ok(Some(Restored { begins_behind }))
    }
}
