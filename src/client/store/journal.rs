//! What the app was told, in the transaction that changed the record it was derived from.

use rusqlite::params;

use super::{ForeignCommand, Tx};
use crate::call::{CallId, Millis, Outcome};
use crate::client::event::EventKind;
use crate::client::json;
use crate::error::Error;

/// A verdict, in the journal.
pub(super) const SETTLED: &str = "commandSettled";
/// One that went to the caller who waited for it.
pub(super) const ANSWERED: &str = "commandAnswered";

impl Tx<'_> {
    /// Appends an event; gives its position.
    pub fn append_journal(
        &self,
        at: Millis,
        call: &CallId,
        event: &EventKind,
    ) -> Result<u64, Error> {
        let (name, params) = (event.name(), json::event_params(event).to_string());
        self.cached(
            "INSERT INTO journal (at_ms, call_id, name, params) VALUES (?, ?, ?, ?)",
            params![at, call.as_str(), name, params],
        )?;
        Ok(self.sql.last_insert_rowid().cast_unsigned())
    }

    /// Lets the journal go on behind a position, if it has not got there by itself.
    pub fn go_on_behind(&self, position: u64) -> Result<(), Error> {
        if self.last_position()? >= position {
            return Ok(());
        }
        let position = position.cast_signed();
        let raise = "UPDATE sqlite_sequence SET seq = ? WHERE name = 'journal'";
        // There is a row for each table that ever had one.
        if self.cached(raise, [position])? == 0 {
            let begin = "INSERT INTO sqlite_sequence (name, seq) VALUES ('journal', ?)";
            self.cached(begin, [position])?;
        }
        Ok(())
    }

    /// Appends the verdict of a command that only a newer build can read, for that one to tell.
    pub fn append_foreign_settled(
        &self,
        at: Millis,
        command: &ForeignCommand,
        result: &Result<Outcome, Error>,
    ) -> Result<(), Error> {
        let params = json::settled_params(&command.op, &command.call_id, &command.name, result);
        self.cached(
            "INSERT INTO journal (at_ms, call_id, name, params) VALUES (?, ?, ?, ?)",
            params![at, command.call_id.as_str(), SETTLED, params.to_string()],
        )
        .map(drop)
    }

    /// Marks the commandSettled of a command whose waiting caller has the verdict: it is not owed to
    /// who reads the journal. Other engines tell it when they come to it, because it may close a
    /// ring that they showed.
    pub fn mark_answered(&self, position: u64) -> Result<(), Error> {
        self.cached(
            "UPDATE journal SET name = ? WHERE position = ? AND name = ?",
            params![ANSWERED, position.cast_signed(), SETTLED],
        )
        .map(drop)
    }

    /// Notes how far a reader has come. Never goes back; what is known writes nothing, so that two
    /// apps that acknowledge what they hear do not wake each other for ever.
    pub fn acknowledge(&self, reader: &str, position: u64) -> Result<(), Error> {
        self.cached(
            "INSERT INTO journal_readers (reader, position) VALUES (?1, ?2)
             ON CONFLICT (reader) DO UPDATE SET position = excluded.position
              WHERE position < excluded.position",
            params![reader, position.cast_signed()],
        )
        .map(drop)
    }
}
