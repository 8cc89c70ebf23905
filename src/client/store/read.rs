//! What apps read: what is pending, what rings, the journal; pages of calls are in `page`. On
//! connections of their own that cannot write, so that reading never waits for writing.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, params};
use serde_json::{Value, json};

use super::calls::MISSED_COUNT;
use super::commands::{COMMAND_COLUMNS, OutboxRow, read_command};
use super::error::{failure, is_damage, open_failure};
use super::files::{Files, OsFiles};
use super::journal::{ANSWERED, SETTLED};
use super::memory::{limit_reader, readers_kept};
use super::rows::text;
use super::{BUSY_TIMEOUT, connect, salvage};
use crate::call::{CallEvent, CallId, Command, CommandKind, Millis, Mode, Op, UserId};
use crate::client::config::Memory;
use crate::client::event::{CommandSettled, DATABASE_SET_ASIDE, Event, EventKind};
use crate::client::json;
use crate::error::{Code, Error};
use crate::protocol::Cursor;

/// Most events of one reading of the journal.
pub const EVENTS_MAX: usize = 1_000;

/// Reading connections to a database.
pub struct Readers {
    path: PathBuf,
    vfs: Option<String>,
    pub(super) user: UserId,
    memory: Memory,
    idle: Mutex<Idle>,
}

/// Connections that nobody reads with.
#[derive(Default)]
struct Idle {
    connections: Vec<Connection>,
    /// Counts how often they were closed: one that was in use meanwhile is not kept.
    closed: u64,
}

/// A command without a verdict.
#[derive(Clone, Debug, PartialEq)]
pub struct PendingCommand {
    /// Its identity.
    pub op: Op,
    /// The call it is about.
    pub call_id: CallId,
    /// The name of what is asked, as `callAccept`.
    pub name: String,
    /// What is asked; `None` for what only a newer build can read. That one will send it, if it comes
    /// back in time.
    pub command: Option<Command>,
    /// When it was given, on the server's clock.
    pub queued_at: Millis,
    /// After that it can mean nothing any more; 0 is never.
    pub expires_at: Millis,
    /// Whether it was ever sent.
    pub sent: bool,
    /// How often.
    pub attempts: u32,
    /// What went wrong last.
    pub last_error: Option<String>,
}

/// An invitation that rings on this device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RingEntry {
    /// The call.
    pub call_id: CallId,
    /// Who invited.
    pub inviter: UserId,
    /// Who created the call.
    pub caller: UserId,
    /// General or advanced.
    pub mode: Mode,
    /// What the invitation gave along.
    pub extended_data: String,
    /// When it is over, on the server's clock.
    pub deadline: Millis,
    /// How much of it is left, in milliseconds.
    pub remaining: Millis,
}

/// Counts for a look at the whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StatusCounts {
    /// Commands without a verdict.
    pub pending: u64,
    /// Missed calls that the user has not seen.
    pub missed: u64,
    /// How far the file is with the server.
    pub cursor: Cursor,
}

impl From<OutboxRow> for PendingCommand {
    fn from(row: OutboxRow) -> Self {
        match row {
            OutboxRow::Known(stored) => Self {
                op: stored.op,
                call_id: stored.call_id,
                name: stored.command.kind().name().to_owned(),
                command: Some(stored.command),
                queued_at: stored.queued_at,
                expires_at: stored.expires_at,
                sent: stored.number.is_some(),
                attempts: stored.attempts,
                last_error: stored.last_error,
            },
            OutboxRow::Foreign(foreign) => Self {
                op: foreign.op,
                call_id: foreign.call_id,
                name: foreign.name,
                command: None,
                queued_at: foreign.queued_at,
                expires_at: foreign.expires_at,
                sent: foreign.number.is_some(),
                attempts: foreign.attempts,
                last_error: Some(format!("only a newer build can send it: {}", foreign.why)),
            },
        }
    }
}

impl Readers {
    /// Readers of the file that a [`super::Store`] has opened.
    pub fn new(path: &Path, user: &UserId) -> Self {
        Self::new_on(&OsFiles, path, user)
    }

    /// The same, on other files than the operating system's.
    pub fn new_on(files: &dyn Files, path: &Path, user: &UserId) -> Self {
        Self {
            path: path.to_owned(),
            vfs: files.vfs().map(str::to_owned),
            user: user.clone(),
            memory: Memory::Normal,
            idle: Mutex::default(),
        }
    }

    /// The same readers, which take as much memory as is allowed.
    #[must_use]
    pub fn with_memory(self, memory: Memory) -> Self {
        Self { memory, ..self }
    }

    /// Closes the connections that are not in use.
    pub fn close(&self) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.connections.clear();
        idle.closed += 1;
    }

    /// Commands without a verdict, oldest first.
    pub fn pending(&self) -> Result<Vec<PendingCommand>, Error> {
        self.read(pending)
    }

    /// Invitations that ring here, the first to run out first.
    pub fn ringing(&self, now: Millis) -> Result<Vec<RingEntry>, Error> {
        self.read(|sql| {
            let mut statement = sql.prepare_cached(
                "SELECT calls.call_id, members.inviter, calls.caller, calls.mode,
                        members.invite_data, rings.deadline_ms
                   FROM rings JOIN calls USING (call_id)
                        JOIN members ON members.sort_key = calls.sort_key AND members.user_id = ?1
                  WHERE rings.closed_at_ms = 0 AND rings.invitation > 0 AND rings.deadline_ms > ?2
                  ORDER BY rings.deadline_ms, calls.call_id",
            )?;
            let rows = statement.query_map(params![self.user.as_str(), now], |row| {
                let deadline: Millis = row.get(5)?;
                let caller = text(row, 2, UserId::trusted)?;
                let inviter: Option<String> = row.get(1)?;
                Ok(RingEntry {
                    call_id: text(row, 0, CallId::trusted)?,
                    inviter: inviter.map_or_else(|| caller.clone(), UserId::trusted),
                    caller,
                    mode: Mode::from_word(&row.get::<_, String>(3)?),
                    extended_data: row.get(4)?,
                    deadline,
                    remaining: deadline.saturating_sub(now),
                })
            })?;
            rows.collect()
        })
    }

    /// Counts for a look at the whole.
    pub fn counts(&self) -> Result<StatusCounts, Error> {
        self.read(|sql| {
            sql.query_row(
                &format!(
                    "SELECT (SELECT count(*) FROM commands WHERE verdict IS NULL),
                            ({MISSED_COUNT}), epoch, cursor FROM feed"
                ),
                [],
                |row| {
                    let count = |column| row.get::<_, i64>(column).map(i64::cast_unsigned);
                    Ok(StatusCounts {
                        pending: count(0)?,
                        missed: count(1)?,
                        cursor: Cursor {
                            epoch: count(2)?,
                            seq: count(3)?,
                        },
                    })
                },
            )
        })
    }

    /// Missed calls that the user has not seen.
    pub fn missed(&self) -> Result<u64, Error> {
        self.read(|sql| {
            let mut statement = sql.prepare_cached(MISSED_COUNT)?;
            let count: i64 = statement.query_row([], |row| row.get(0))?;
            Ok(count.cast_unsigned())
        })
    }

    /// Events after a position, oldest first; whether there are more. An invitation that rings no
    /// more at `now` is marked as over.
    pub fn events_since(
        &self,
        position: u64,
        limit: usize,
        now: Millis,
    ) -> Result<(Vec<Event>, bool), Error> {
        let limit = limit.clamp(1, EVENTS_MAX);
        let mut events =
            self.read(|sql| journal(sql, position, limit + 1, (now, Verdicts::Owed)))?;
        let more = events.len() > limit;
        events.truncate(limit);
        Ok((events, more))
    }

    /// How far a reader of the journal has come; 0 when it never said.
    pub fn acknowledged(&self, reader: &str) -> Result<u64, Error> {
        self.read(|sql| {
            sql.query_row(
                "SELECT position FROM journal_readers WHERE reader = ?",
                [reader],
                |row| row.get::<_, i64>(0),
            )
            .optional()
            .map(|position| position.unwrap_or(0).cast_unsigned())
        })
    }

    /// Reads in one snapshot.
    pub(super) fn read<T>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, Error> {
        let (idle, closed) = {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            (idle.connections.pop(), idle.closed)
        };
        let connection = match idle {
            Some(connection) => connection,
            None => open(self.vfs.as_deref(), &self.path)
                .and_then(|connection| {
                    limit_reader(&connection, self.memory)?;
                    Ok(connection)
                })
                .map_err(|error| open_failure(&self.path, &error))?,
        };
        let value = snapshot(&connection, work)
            .map_err(|error| failure(&self.path, &error))
            .inspect_err(|error| self.suspect(error))?;
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.closed == closed && idle.connections.len() < readers_kept(self.memory) {
            idle.connections.push(connection);
        }
        Ok(value)
    }

    /// Damage is noted, so that the next opening looks for it.
    fn suspect(&self, error: &Error) {
        // On other files than the system's, the writer comes across it as well.
        if is_damage(error)
            && self.vfs.is_none()
            && let Ok(file) = OsFiles.resolve(&self.path)
        {
            salvage::suspect(&OsFiles, &file);
        }
    }
}

fn snapshot<T>(
    connection: &Connection,
    work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    let sql = connection.unchecked_transaction()?;
    let value = work(&sql)?;
    sql.finish()?;
    Ok(value)
}

fn open(vfs: Option<&str>, path: &Path) -> rusqlite::Result<Connection> {
    // Absolute, because SQLite takes names such as `file:x` for something else.
    let file = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = connect(vfs, &file, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    // Otherwise binding another value can have a cached statement compiled anew.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.pragma_update(None, "query_only", true)?;
    Ok(connection)
}

fn pending(sql: &Connection) -> rusqlite::Result<Vec<PendingCommand>> {
    let mut statement = sql.prepare_cached(&format!(
        "SELECT {COMMAND_COLUMNS} FROM commands WHERE verdict IS NULL ORDER BY n"
    ))?;
    let rows = statement.query_map([], read_command)?;
    rows.map(|row| row.map(PendingCommand::from)).collect()
}

/// Which verdicts are read from a journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdicts {
    /// Those that nobody waited for.
    Owed,
    All,
}

pub(super) fn journal(
    sql: &Connection,
    position: u64,
    limit: usize,
    as_of: (Millis, Verdicts),
) -> rusqlite::Result<Vec<Event>> {
    let mut statement = sql.prepare_cached(
        "SELECT position, name, params, call_id FROM journal
          WHERE position > ? ORDER BY position",
    )?;
    let mut rows = statement.query([position.cast_signed()])?;
    let mut events = Vec::new();
    // Rows that only a newer build knows are passed over, and must not end the reading.
    while events.len() < limit
        && let Some(row) = rows.next()?
    {
        let position = row.get::<_, i64>(0)?.cast_unsigned();
        if let Some(kind) = event_of(sql, row, as_of)? {
            events.push(Event {
                position: Some(position),
                kind,
            });
        }
    }
    Ok(events)
}

/// The event of a journal row; `None` for one that only a newer build knows, or that is not wanted.
fn event_of(
    sql: &Connection,
    row: &Row<'_>,
    (now, verdicts): (Millis, Verdicts),
) -> rusqlite::Result<Option<EventKind>> {
    let name: String = row.get(1)?;
    let params: Value = serde_json::from_str(&row.get::<_, String>(2)?).unwrap_or_default();
    if name == SETTLED || (name == ANSWERED && verdicts == Verdicts::All) {
        let op = params.get("op").and_then(Value::as_str).unwrap_or_default();
        return settled(sql, op).map(|settled| settled.map(EventKind::CommandSettled));
    }
    if name == DATABASE_SET_ASIDE {
        return Ok(Some(EventKind::DatabaseSetAside(json::set_aside(&params))));
    }
    let Ok(mut event) =
        serde_json::from_value::<CallEvent>(json!({ "name": name, "params": params }))
    else {
        return Ok(None);
    };
    if let CallEvent::Received {
        call_id,
        deadline,
        over,
        ..
    } = &mut event
    {
        *over = *deadline <= now || !still_rings(sql, call_id, *deadline)?;
    }
    Ok(Some(EventKind::Call(event)))
}

fn still_rings(sql: &Connection, call: &CallId, deadline: Millis) -> rusqlite::Result<bool> {
    sql.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM rings WHERE call_id = ? AND deadline_ms = ?
                           AND closed_at_ms = 0 AND invitation > 0)",
    )?
    .query_row(params![call.as_str(), deadline], |row| row.get(0))
}

fn settled(sql: &Connection, op: &str) -> rusqlite::Result<Option<CommandSettled>> {
    let found: Option<(String, String, u32, Option<String>)> = sql
        .prepare_cached(
            "SELECT call_id, command, code, result FROM commands
              WHERE op = ? AND verdict IS NOT NULL",
        )?
        .query_row([op], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })
        .optional()?;
    let Some((call, command, code, result)) = found else {
        return Ok(None);
    };
    let Some(command) = CommandKind::from_name(&command) else {
        return Ok(None);
    };
    let text = result.unwrap_or_default();
    let unreadable = |error: serde_json::Error| {
        Error::new(
            Code::UnknownOutcome,
            "result",
            format!("the verdict cannot be read: {error}"),
        )
    };
    let result = if code == 0 {
        serde_json::from_str(&text).map_err(unreadable)
    } else {
        Err(serde_json::from_str(&text).unwrap_or_else(unreadable))
    };
    Ok(Some(CommandSettled {
        op: Op::trusted(op),
        call_id: CallId::trusted(call),
        command,
        result,
    }))
}
