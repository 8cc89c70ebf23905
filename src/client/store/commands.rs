//! The outbox: commands before they are sent, while they are under way, and what became of them.

use std::fmt;

use rusqlite::{OptionalExtension, Row, params};
use serde_json::{Map, Value};

use super::Tx;
use super::rows::text;
use crate::call::{CallId, Command, CommandKind, Millis, Op, Outcome};
use crate::error::{Code, Error};

/// The columns of `commands`, in the order in which [`read_command`] takes them.
pub(super) const COMMAND_COLUMNS: &str =
    "n, op, call_id, command, arguments, queued_at_ms, expires_at_ms, number, attempts, last_error";

/// Commands without a verdict, few among all that a file remembers. Left to itself, SQLite would
/// take an index for these queries by which it walks all that ever had a number, or never had one.
const PENDING: &str = "commands INDEXED BY commands_pending";

/// Most letters of an error that are noted, with each of the commands that wait.
const LAST_ERROR_CHARS_MAX: usize = 500;

/// A command that an app gave.
#[derive(Clone, Debug)]
pub struct NewCommand {
    /// Its identity.
    pub op: Op,
    /// The call it is about.
    pub call_id: CallId,
    /// What is asked.
    pub command: Command,
    /// The server's clock, as known.
    pub queued_at: Millis,
    /// After that it can mean nothing any more; 0 is never.
    pub expires_at: Millis,
    /// Why it cannot be sent at once.
    pub last_error: Option<String>,
}

/// A command in the file.
#[derive(Clone, Debug)]
pub struct StoredCommand {
    /// The order in which commands were given.
    pub n: i64,
    /// Its identity.
    pub op: Op,
    /// The call it is about.
    pub call_id: CallId,
    /// What is asked.
    pub command: Command,
    /// When it was given.
    pub queued_at: Millis,
    /// After that it can mean nothing any more; 0 is never.
    pub expires_at: Millis,
    /// Its number on the wire; `None` when it was never sent.
    pub number: Option<u64>,
    /// How often it was sent.
    pub attempts: u32,
    /// What went wrong last.
    pub last_error: Option<String>,
}

/// A command that only a newer build can read, which has the app since been gone back from.
#[derive(Clone, Debug)]
pub struct ForeignCommand {
    /// The order in which commands were given.
    pub n: i64,
    /// Its identity.
    pub op: Op,
    /// The call it is about.
    pub call_id: CallId,
    /// What is asked, in a word that may be unknown.
    pub name: String,
    /// Its number on the wire; `None` when it was never sent.
    pub number: Option<u64>,
    /// When it was given.
    pub queued_at: Millis,
    /// After that it can mean nothing any more; 0 is never.
    pub expires_at: Millis,
    /// How often it was sent.
    pub attempts: u32,
    /// Why it cannot be read.
    pub why: String,
}

/// A row of the outbox.
#[derive(Clone, Debug)]
pub enum OutboxRow {
    /// One that this build can send.
    Known(Box<StoredCommand>),
    /// One that only a newer build can.
    Foreign(ForeignCommand),
}

impl OutboxRow {
    /// What it is if this build can read it.
    pub fn known(self) -> Option<StoredCommand> {
        match self {
            Self::Known(command) => Some(*command),
            Self::Foreign(_) => None,
        }
    }

    /// Its identity.
    pub fn op(&self) -> &Op {
        match self {
            Self::Known(command) => &command.op,
            Self::Foreign(command) => &command.op,
        }
    }

    /// The call it is about.
    pub fn call_id(&self) -> &CallId {
        match self {
            Self::Known(command) => &command.call_id,
            Self::Foreign(command) => &command.call_id,
        }
    }

    /// Its number on the wire; `None` when it was never sent.
    pub fn number(&self) -> Option<u64> {
        match self {
            Self::Known(command) => command.number,
            Self::Foreign(command) => command.number,
        }
    }

    /// Whether only a newer build can read it.
    pub fn is_foreign(&self) -> bool {
        match self {
            Self::Known(_) => false,
            Self::Foreign(_) => true,
        }
    }
}

/// How a command ended, in the words of the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The server did it.
    Accepted,
    /// The server, or this device for what no server word can change, refused it.
    Refused,
    /// It came too late to mean anything.
    Expired,
    /// It was taken back before it was sent.
    Withdrawn,
    /// It was given up with the identity of the file.
    Dropped,
    /// What became of it cannot be known.
    Unknown,
}

impl Verdict {
    /// The verdict that a result is.
    pub fn of(result: &Result<Outcome, Error>) -> Self {
        let Err(error) = result else {
            return Self::Accepted;
        };
        let ends = [
            (Code::Expired, Self::Expired),
            (Code::Withdrawn, Self::Withdrawn),
            (Code::Dropped, Self::Dropped),
            (Code::UnknownOutcome, Self::Unknown),
        ];
        let found = ends.into_iter().find(|(code, _)| *code == error.code);
        found.map_or(Self::Refused, |(_, verdict)| verdict)
    }

    /// The word in the database.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Refused => "refused",
            Self::Expired => "expired",
            Self::Withdrawn => "withdrawn",
            Self::Dropped => "dropped",
            Self::Unknown => "unknown",
        }
    }
}

impl Tx<'_> {
    /// Puts a command into the outbox.
    pub fn insert_command(&self, command: &NewCommand) -> Result<(), Error> {
        self.cached(
            "INSERT INTO commands
                    (op, call_id, command, arguments, queued_at_ms, expires_at_ms, last_error)
             VALUES (?, ?, ?, ?, ?, ?, ?)",
            params![
                command.op.as_str(),
                command.call_id.as_str(),
                command.command.kind().name(),
                arguments_to_json(&command.command)?,
                command.queued_at,
                command.expires_at,
                command.last_error.as_deref().map(noted),
            ],
        )
        .map(drop)
    }

    /// Commands without a verdict, oldest first.
    pub fn pending_commands(&self) -> Result<Vec<OutboxRow>, Error> {
        self.rows(PENDING, "TRUE ORDER BY n", [])
    }

    /// How many commands have no verdict.
    pub fn pending_count(&self) -> Result<usize, Error> {
        let count: i64 = self.run(
            self.sql
                .prepare_cached("SELECT count(*) FROM commands WHERE verdict IS NULL")
                .and_then(|mut statement| statement.query_row([], |row| row.get(0))),
        )?;
        Ok(usize::try_from(count).unwrap_or(usize::MAX))
    }

    /// Commands about a call without a verdict that this build can read, oldest first.
    pub fn pending_commands_of(&self, call: &CallId) -> Result<Vec<StoredCommand>, Error> {
        let rows = self.rows("commands", "call_id = ? ORDER BY n", [call.as_str()])?;
        Ok(rows.into_iter().filter_map(OutboxRow::known).collect())
    }

    /// Commands that were sent and have no verdict, in the order of their numbers.
    pub fn unsettled_commands(&self) -> Result<Vec<OutboxRow>, Error> {
        self.rows(PENDING, "number IS NOT NULL ORDER BY number", [])
    }

    /// Commands that were never sent and that this build can read, in the order in which they were
    /// given. Others stand in nobody's way.
    pub fn unsent_commands(&self, limit: usize) -> Result<Vec<StoredCommand>, Error> {
        self.run((|| {
            let sql = select(PENDING, "number IS NULL ORDER BY n");
            let mut statement = self.sql.prepare_cached(&sql)?;
            let mut rows = statement.query([])?;
            let mut commands = Vec::new();
            while commands.len() < limit
                && let Some(row) = rows.next()?
            {
                commands.extend(read_command(row)?.known());
            }
            Ok(commands)
        })())
    }

    /// Commands that were never sent and can mean nothing any more.
    pub fn expired_commands(&self, now: Millis) -> Result<Vec<OutboxRow>, Error> {
        self.rows(
            PENDING,
            "number IS NULL AND expires_at_ms BETWEEN 1 AND ? ORDER BY n",
            [now],
        )
    }

    /// When the next command that was never sent expires.
    pub fn next_expiry(&self) -> Result<Option<Millis>, Error> {
        self.run(
            self.sql
                .prepare_cached(&format!(
                    "SELECT min(expires_at_ms) FROM {PENDING}
                      WHERE verdict IS NULL AND number IS NULL AND expires_at_ms > 0"
                ))
                .and_then(|mut statement| statement.query_row([], |row| row.get(0))),
        )
    }

    /// The command of that number, if it has no verdict.
    pub fn command_of_number(&self, number: u64) -> Result<Option<OutboxRow>, Error> {
        let found = self.rows("commands", "number = ?", [number.cast_signed()])?;
        Ok(found.into_iter().next())
    }

    /// The first number whose verdict is not in the file.
    pub fn first_unsettled(&self) -> Result<u64, Error> {
        let first: Option<i64> = self.run(
            self.sql
                .prepare_cached(&format!(
                    "SELECT min(number) FROM {PENDING}
                      WHERE verdict IS NULL AND number IS NOT NULL"
                ))
                .and_then(|mut statement| {
                    statement
                        .query_row([], |row| row.get(0))
                        .optional()
                        .map(Option::flatten)
                }),
        )?;
        match first {
            Some(first) => Ok(first.cast_unsigned()),
            None => self.next_number(),
        }
    }

    /// Gives a command its number on the wire; from now on it counts as sent.
    pub fn number_command(&self, n: i64) -> Result<u64, Error> {
        let number = self.next_number()?;
        self.set_next_number(number + 1)?;
        self.cached(
            "UPDATE commands SET number = ?, attempts = attempts + 1 WHERE n = ?",
            params![number.cast_signed(), n],
        )?;
        Ok(number)
    }

    /// Takes back the numbers from one on, of commands without a verdict. They count as never sent.
    pub fn take_back_numbers(&self, from: u64) -> Result<(), Error> {
        self.set_next_number(from)?;
        self.cached(
            "UPDATE commands SET number = NULL WHERE number >= ? AND verdict IS NULL",
            [from.cast_signed()],
        )
        .map(drop)
    }

    /// Notes that the command was sent once more.
    pub fn note_attempt(&self, n: i64) -> Result<(), Error> {
        self.cached(
            "UPDATE commands SET attempts = attempts + 1 WHERE n = ?",
            [n],
        )
        .map(drop)
    }

    /// Notes why commands without a verdict got no further. The same once more is no change.
    pub fn note_error(&self, error: &str) -> Result<(), Error> {
        let error = noted(error);
        self.cached(
            "UPDATE commands SET last_error = ?1 WHERE verdict IS NULL AND last_error IS NOT ?1",
            [error],
        )
        .map(drop)
    }

    /// Writes the verdict of a command.
    pub fn settle(
        &self,
        n: i64,
        result: &Result<Outcome, Error>,
        now: Millis,
    ) -> Result<(), Error> {
        let (code, text) = match result {
            Ok(outcome) => (0, serde_json::to_string(outcome)),
            Err(error) => (error.code.number(), serde_json::to_string(error)),
        };
        let text = text.map_err(|error| unwritable("verdict", &error))?;
        self.cached(
            "UPDATE commands SET verdict = ?, code = ?, result = ?, settled_at_ms = ? WHERE n = ?",
            params![Verdict::of(result).word(), code, text, now, n],
        )
        .map(drop)
    }

    /// The same, of a command that is named by its identity.
    pub(super) fn settle_op(
        &self,
        op: &Op,
        result: &Result<Outcome, Error>,
        now: Millis,
    ) -> Result<(), Error> {
        let n = self.run(self.sql.query_row(
            "SELECT n FROM commands WHERE op = ?",
            [op.as_str()],
            |row| row.get(0),
        ))?;
        self.settle(n, result, now)
    }

    /// Whether a command is in the file.
    pub fn has_command(&self, op: &Op) -> Result<bool, Error> {
        self.run(self.sql.query_row(
            "SELECT EXISTS (SELECT 1 FROM commands WHERE op = ?)",
            [op.as_str()],
            |row| row.get(0),
        ))
    }

    /// Whether a command is in the file and has its verdict.
    pub fn is_settled(&self, op: &Op) -> Result<bool, Error> {
        self.run(self.sql.query_row(
            "SELECT EXISTS (SELECT 1 FROM commands WHERE op = ? AND verdict IS NOT NULL)",
            [op.as_str()],
            |row| row.get(0),
        ))
    }

    fn rows(
        &self,
        table: &str,
        condition: &str,
        params: impl rusqlite::Params,
    ) -> Result<Vec<OutboxRow>, Error> {
        self.run(
            self.sql
                .prepare_cached(&select(table, condition))
                .and_then(|mut statement| statement.query_map(params, read_command)?.collect()),
        )
    }
}

/// As much of an error as is noted.
fn noted(error: &str) -> String {
    error.chars().take(LAST_ERROR_CHARS_MAX).collect()
}

fn select(table: &str, condition: &str) -> String {
    format!("SELECT {COMMAND_COLUMNS} FROM {table} WHERE verdict IS NULL AND {condition}")
}

/// A row of `commands`.
pub(super) fn read_command(row: &Row<'_>) -> rusqlite::Result<OutboxRow> {
    let n = row.get(0)?;
    let op = Op::trusted(row.get::<_, String>(1)?);
    let call_id = text(row, 2, CallId::trusted)?;
    let name: String = row.get(3)?;
    let arguments: String = row.get(4)?;
    let queued_at = row.get(5)?;
    let expires_at = row.get(6)?;
    let number = row.get::<_, Option<i64>>(7)?.map(i64::cast_unsigned);
    let attempts = row.get(8)?;
    Ok(match arguments_from_json(&name, &arguments) {
        Ok(command) => OutboxRow::Known(Box::new(StoredCommand {
            n,
            op,
            call_id,
            command,
            queued_at,
            expires_at,
            number,
            attempts,
            last_error: row.get(9)?,
        })),
        Err(why) => OutboxRow::Foreign(ForeignCommand {
            n,
            op,
            call_id,
            name,
            number,
            queued_at,
            expires_at,
            attempts,
            why,
        }),
    })
}

/// The variant's name in the serialized form of a command.
const fn variant(kind: CommandKind) -> &'static str {
    match kind {
        CommandKind::Invite => "Invite",
        CommandKind::Cancel => "Cancel",
        CommandKind::Accept => "Accept",
        CommandKind::Reject => "Reject",
        CommandKind::CallingInvite => "CallingInvite",
        CommandKind::Join => "Join",
        CommandKind::Quit => "Quit",
        CommandKind::End => "End",
    }
}

/// Only the arguments: which command it is stands in a column of its own.
fn arguments_to_json(command: &Command) -> Result<String, Error> {
    let tagged = serde_json::to_value(command).map_err(|error| unwritable("command", &error))?;
    let inner = tagged.get(variant(command.kind()));
    inner.map(Value::to_string).ok_or_else(|| {
        let name = command.kind().name();
        unwritable("command", &format_args!("{name} has no arguments"))
    })
}

/// What has no form in the file is a defect, and must not look as if it were kept.
fn unwritable(what: &str, why: &dyn fmt::Display) -> Error {
    let message = format!("a {what} cannot be written into the file: {why}");
    Error::new(Code::Internal, "commands", message)
}

fn arguments_from_json(name: &str, text: &str) -> Result<Command, String> {
    let kind = CommandKind::from_name(name).ok_or_else(|| format!("{name} is no command"))?;
    let inner: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let mut tagged = Map::new();
    tagged.insert(variant(kind).to_owned(), inner);
    serde_json::from_value(Value::Object(tagged)).map_err(|error| error.to_string())
}
