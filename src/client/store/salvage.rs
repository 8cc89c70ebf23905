//! A damaged file is set aside under another name, never wiped, and another one is begun under a
//! new device id, with what could be read of the outbox. Calls come back from the server.
//!
//! The other file is made whole beside the damaged one before any name changes, so that a crash at
//! any moment leaves all that is needed to go on ([`finish`]).

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension};

use super::commands::{COMMAND_COLUMNS, read_command};
use super::error::{failure, open_failure};
use super::files::{Files, beside};
use super::{
    BUSY_TIMEOUT, LOG, LOG_INDEX, NewCommand, OutboxRow, Store, StoredCommand, Tx, connect, migrate,
};
use crate::call::limits::EXTENDED_DATA_BYTES_BELIEVED;
use crate::call::{CallId, DeviceId, UserId};
use crate::client::clock::KeptClock;
use crate::client::event::{CommandSettled, EventKind, SetAside};
use crate::error::{Code, Error};

/// How the name of a file goes on that is being made in the place of a damaged one.
const IN_THE_MAKING: &str = ".salvage";
/// How the name of a file goes on that was set aside; a number follows.
const ASIDE: &str = ".corrupt-";
/// Marks a file of which a page could not be read: it is looked through when it is opened next.
/// Looking through every file at every start would take too long.
const SUSPECTED: &str = ".suspected";
/// Most files that are set aside beside each other.
const ASIDE_MAX: u64 = 1_000;
/// Most commands that are taken over: as many as can be pending.
const COMMANDS_MAX: usize = 1_000;
/// Where a journal goes on whose end cannot be read: so many times the milliseconds of the time at
/// which the new file was made. No journal has as many events in as little time, so that is behind
/// all that it ever counted to, and behind where it went on after an earlier damage.
const POSITIONS_A_MS: i64 = 1 << 11;
/// The same where files have no times, times the number of the file that is set aside.
const POSITIONS_APART: i64 = 1 << 40;
/// No journal is made to go on behind this: positions are exact in JavaScript.
const POSITION_MAX: i64 = 1 << 52;

/// How a database begins: SQLite's file format, section 1.3.
const MAGIC: &[u8] = b"SQLite format 3\0";
/// Where in it the mark of the application is.
const MARK_AT: usize = 68;
const HEADER_BYTES: u64 = 100;
const PAGE_BYTES_LEAST: u64 = 512;

/// What became of a damaged file.
#[derive(Clone, Debug)]
pub struct Salvage {
    /// As the app is told.
    pub set_aside: SetAside,
    /// Behind which position the new journal has that, and the ends of commands.
    pub begins_behind: u64,
}

/// What could be read of a damaged file.
#[derive(Default)]
struct Readable {
    user: Option<String>,
    clock: Option<KeptClock>,
    /// Whether the server had confirmed it.
    clock_is_sure: bool,
    heard_at: i64,
    /// The end of the journal.
    position: Option<i64>,
    /// Positions that are known to have been used.
    position_least: i64,
    commands: Vec<StoredCommand>,
    /// Commands that are there and cannot be taken over.
    lost: u64,
}

/// Notes that something in the file could not be read.
pub(super) fn suspect(files: &dyn Files, file: &Path) {
    if let Err(error) = files.create(&beside(file, SUSPECTED)) {
        tracing::warn!(%error, "cannot note that the database is damaged");
    }
}

/// Whether that was noted.
pub(super) fn is_suspected(files: &dyn Files, file: &Path) -> bool {
    files.exists(&beside(file, SUSPECTED))
}

/// Looks through a file of which something could not be read once.
pub(super) fn check_if_suspected(
    files: &dyn Files,
    connection: &Connection,
    path: &Path,
    file: &Path,
) -> Result<(), Error> {
    if !is_suspected(files, file) {
        return Ok(());
    }
    tracing::warn!(file = %path.display(), "looking for damage in the database");
    let found: String = connection
        .query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))
        .map_err(|error| failure(path, &error))?;
    if found != "ok" {
        let damaged = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT);
        let error = rusqlite::Error::SqliteFailure(damaged, Some(found));
        return Err(failure(path, &error));
    }
    files.remove(&beside(file, SUSPECTED))
}

/// An empty file becomes a database like one that was never there, so nothing else tells that there
/// was something in it. With a log it is damaged: SQLite would throw that away.
pub(super) fn check_emptied(
    files: &dyn Files,
    path: &Path,
    file: &Path,
    was_opened: bool,
) -> Result<(), Error> {
    if !is_empty(files, file)? {
        return Ok(());
    }
    if files.exists(file) && !is_empty(files, &beside(file, LOG))? {
        let cut = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT);
        let why = Some("it is empty and its log is not".to_owned());
        return Err(failure(path, &rusqlite::Error::SqliteFailure(cut, why)));
    }
    if was_opened {
        tracing::warn!(
            file = %path.display(),
            "the database was opened before, and is empty or not there; whatever it held is gone"
        );
    }
    Ok(())
}

fn is_empty(files: &dyn Files, file: &Path) -> Result<bool, Error> {
    Ok(!files.exists(file) || files.start(file, 0)?.1 == 0)
}

/// Refuses what shows no sign of ever having been a database: somebody named the wrong file. Of a
/// damaged one not all of the marks are gone, or its length is still one of whole pages.
pub(super) fn refuse_no_database(files: &dyn Files, path: &Path, file: &Path) -> Result<(), Error> {
    let (start, bytes) = files.start(file, HEADER_BYTES)?;
    let mark = migrate::APPLICATION_ID.to_be_bytes();
    let bears_mark = start
        .get(MARK_AT..)
        .is_some_and(|rest| rest.starts_with(&mark));
    if start.starts_with(MAGIC) || bears_mark || bytes.is_multiple_of(PAGE_BYTES_LEAST) {
        return Ok(());
    }
    Err(Error::new(
        Code::Corrupt,
        "foreign",
        format!(
            "{} is no database; name another file, or move this one away",
            path.display()
        ),
    ))
}

/// Goes on where setting a file aside was interrupted.
pub(super) fn finish(files: &dyn Files, file: &Path) -> Result<(), Error> {
    let new = beside(file, IN_THE_MAKING);
    if !files.exists(&new) {
        return Ok(());
    }
    match aside_of(files, &new)? {
        Some(aside) => exchange(files, file, &new, &aside),
        // The damaged one has its name still.
        None => remove_all(files, &new),
    }
}

/// Sets the damaged file aside and puts another one in its place.
pub(super) fn set_aside(
    files: &Arc<dyn Files>,
    path: &Path,
    file: &Path,
    user: &UserId,
    device: &DeviceId,
    damage: &Error,
) -> Result<Salvage, Error> {
    let on = files.as_ref();
    let readable = read(on, file);
    if readable
        .user
        .as_deref()
        .is_some_and(|owner| owner != user.as_str())
    {
        return Err(Error::parameter(
            "user",
            format!(
                "{} is the damaged database of {}, not of {user}; use one file a user",
                path.display(),
                readable.user.unwrap_or_default()
            ),
        ));
    }
    let numbers = (1..=ASIDE_MAX).map(|number| (number, beside(file, &format!("{ASIDE}{number}"))));
    let free = numbers.into_iter().find(|(_, aside)| !on.exists(aside));
    // With so many, the disk is to blame and another file will not help.
    let (number, aside) = free.ok_or_else(|| damage.clone())?;
    let new = beside(file, IN_THE_MAKING);
    remove_all(on, &new)?;
    let mut made = Store::open_file(files, path, &new, (user, device), true)?;
    let begins_behind = readable.position.unwrap_or_else(|| {
        let made_at = on.written_at(&new).unwrap_or(0);
        let by_time = made_at.saturating_mul(POSITIONS_A_MS);
        let by_number = POSITIONS_APART.saturating_mul(number.cast_signed());
        by_time.max(by_number).min(POSITION_MAX)
    });
    let begins_behind = begins_behind.max(readable.position_least).cast_unsigned();
    let salvage = made.transact(|tx| take_over(tx, &readable, begins_behind, &aside))?;
    made.checkpoint()?;
    drop(made);
    exchange(on, file, &new, &aside)?;
    tracing::error!(
        %damage,
        file = %path.display(),
        aside = %aside.display(),
        ended = salvage.set_aside.ended,
        pending = salvage.set_aside.pending,
        lost = salvage.set_aside.lost,
        "the database was damaged; it was set aside, and another one begun as another device"
    );
    Ok(salvage)
}

/// Gives the damaged file its new name, with its log, and the new one the old name.
fn exchange(files: &dyn Files, file: &Path, new: &Path, aside: &Path) -> Result<(), Error> {
    for ending in [LOG, LOG_INDEX, ""] {
        let (from, to) = (beside(file, ending), beside(aside, ending));
        if files.exists(&from) {
            files.rename(&from, &to)?;
        }
    }
    files.remove(&beside(file, SUSPECTED))?;
    files.rename(new, file)
}

fn remove_all(files: &dyn Files, file: &Path) -> Result<(), Error> {
    // The log last: without its database it is nothing.
    for ending in ["", LOG_INDEX, LOG] {
        files.remove(&beside(file, ending))?;
    }
    Ok(())
}

/// For which file that was set aside this one was made, if it is whole.
fn aside_of(files: &dyn Files, new: &Path) -> Result<Option<PathBuf>, Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = connect(files.vfs(), new, flags).map_err(|error| open_failure(new, &error))?;
    let aside: rusqlite::Result<Option<String>> = connection
        .query_row(
            "SELECT value FROM meta WHERE key = 'set_aside'",
            [],
            |row| row.get(0),
        )
        .optional();
    let half_made = [
        // There is no such table.
        ErrorCode::Unknown,
        ErrorCode::NotADatabase,
        ErrorCode::DatabaseCorrupt,
    ];
    match aside {
        Ok(aside) => Ok(aside.map(PathBuf::from)),
        Err(error)
            if error
                .sqlite_error_code()
                .is_some_and(|code| half_made.contains(&code)) =>
        {
            Ok(None)
        }
        // What cannot be read now must not be taken for what is not there.
        Err(error) => Err(failure(new, &error)),
    }
}

fn take_over(
    tx: &Tx<'_>,
    readable: &Readable,
    begins_behind: u64,
    aside: &Path,
) -> Result<Salvage, Error> {
    let queued = readable.commands.iter().map(|command| command.queued_at);
    // No clock is at hand; this is the last moment that the file knew of.
    let now = queued.chain([readable.heard_at]).max().unwrap_or(0);
    tx.go_on_behind(begins_behind)?;
    if let Some(clock) = &readable.clock {
        tx.keep_clock(clock)?;
    }
    if readable.clock_is_sure {
        tx.set_doubted_from(None)?;
    }
    let was_sent = |command: &&StoredCommand| command.number.is_some() || command.attempts > 0;
    let ended = readable.commands.iter().filter(was_sent).count();
    let set_aside = SetAside {
        path: aside.to_owned(),
        pending: (readable.commands.len() - ended) as u64,
        ended: ended as u64,
        lost: readable.lost,
    };
    let event = EventKind::DatabaseSetAside(set_aside.clone());
    tx.append_journal(now, &CallId::trusted(""), &event)?;
    for command in &readable.commands {
        tx.insert_command(&NewCommand {
            op: command.op.clone(),
            call_id: command.call_id.clone(),
            command: command.command.clone(),
            queued_at: command.queued_at,
            expires_at: command.expires_at,
            last_error: command.last_error.clone(),
        })?;
        if !was_sent(&command) {
            continue;
        }
        let message =
            "the database was damaged after this was sent; see in the call whether it was done";
        let result = Err(Error::new(Code::UnknownOutcome, "salvaged", message));
        tx.settle_op(&command.op, &result, now)?;
        let settled = CommandSettled {
            op: command.op.clone(),
            call_id: command.call_id.clone(),
            command: command.command.kind(),
            result,
        };
        tx.append_journal(now, &command.call_id, &EventKind::CommandSettled(settled))?;
    }
    tx.set_set_aside(aside)?;
    Ok(Salvage {
        set_aside,
        begins_behind,
    })
}

/// All that can be read, whatever the rest is like.
fn read(files: &dyn Files, file: &Path) -> Readable {
    let mut readable = Readable::default();
    if is_empty(files, file).unwrap_or(false) {
        // SQLite would remove its log.
        return readable;
    }
    let Ok(connection) = open_damaged(files, file) else {
        return readable;
    };
    let meta = |key: &str| -> Option<String> {
        connection
            .query_row("SELECT value FROM meta WHERE key = ?", [key], |row| {
                row.get(0)
            })
            .optional()
            .ok()
            .flatten()
    };
    let number = |sql: &str| {
        connection
            .query_row(sql, [], |row| row.get::<_, i64>(0))
            .ok()
    };
    readable.user = meta("user_id");
    let time = |key: &str| meta(key).and_then(|text| text.parse().ok());
    readable.clock = time("clock_offset_ms").map(|wall_offset_ms| {
        let boot = meta("clock_boot").zip(time("clock_steady_offset_ms"));
        let (boot, steady_offset_ms) = boot.unwrap_or_default();
        KeptClock {
            wall_offset_ms,
            boot,
            steady_offset_ms,
        }
    });
    readable.clock_is_sure = meta("clock_doubted_from").is_some_and(|text| text == "none");
    readable.heard_at = number("SELECT heard_at_ms FROM feed").unwrap_or(0);
    let counted = number("SELECT seq FROM sqlite_sequence WHERE name = 'journal'");
    let last = number("SELECT coalesce(max(position), 0) FROM journal");
    // What says more is right: positions only grow.
    readable.position = counted.and(last).and(counted.max(last));
    let read_to = number("SELECT coalesce(max(position), 0) FROM journal_readers");
    readable.position_least = counted.max(last).max(read_to).unwrap_or(0);
    let found = read_outbox(&connection);
    let all = found.len();
    let mut ops = BTreeSet::new();
    let whole = found.into_values().flatten();
    // No op is there twice, unless damage made it so.
    let once = whole.filter(|command| ops.insert(command.op.clone()));
    readable.commands = once.collect();
    readable.lost = (all - readable.commands.len()) as u64;
    readable
}

fn open_damaged(files: &dyn Files, file: &Path) -> Result<Connection, Error> {
    let told = |error: rusqlite::Error| open_failure(file, &error);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = connect(files.vfs(), file, flags).map_err(told)?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(told)?;
    // What is damaged stays as it is.
    connection
        .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
        .map_err(told)?;
    // Then the parts of a schema that can be read are used without the others.
    connection
        .pragma_update(None, "writable_schema", true)
        .map_err(told)?;
    Ok(connection)
}

/// Commands without a verdict: from the beginning up to where a page cannot be read, from the end
/// down to there, and by the index of what is pending. `None` for those that cannot be taken over.
fn read_outbox(connection: &Connection) -> BTreeMap<i64, Option<StoredCommand>> {
    let mut found = BTreeMap::<i64, Option<StoredCommand>>::new();
    for walk in [
        "NOT INDEXED WHERE verdict IS NULL ORDER BY n",
        "NOT INDEXED WHERE verdict IS NULL ORDER BY n DESC",
        "INDEXED BY commands_pending WHERE verdict IS NULL ORDER BY n",
        "INDEXED BY commands_pending WHERE verdict IS NULL ORDER BY n DESC",
    ] {
        let sql = format!("SELECT {COMMAND_COLUMNS} FROM commands {walk}");
        let Ok(mut statement) = connection.prepare(&sql) else {
            continue;
        };
        let Ok(mut rows) = statement.query([]) else {
            continue;
        };
        while let Ok(Some(row)) = rows.next() {
            let Ok(n) = row.get(0) else {
                continue;
            };
            if found.len() >= COMMANDS_MAX && !found.contains_key(&n) {
                continue;
            }
            let command = read_command(row).ok().and_then(OutboxRow::known);
            let one = found.entry(n).or_default();
            *one = one.take().or(command.filter(is_well_formed));
        }
    }
    found
}

/// Damage can also look like text. What a server may allow was well-formed.
fn is_well_formed(stored: &StoredCommand) -> bool {
    let nobody = UserId::trusted("");
    let mut command = stored.command.clone();
    command
        .check_form(&nobody, EXTENDED_DATA_BYTES_BELIEVED)
        .is_ok()
}
