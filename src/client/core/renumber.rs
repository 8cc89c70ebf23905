//! Numbers that the file and the server do not agree about, and commands that this build cannot
//! read.
//!
//! A row that a newer build wrote, before the app was gone back from, stands in nobody's way. Never
//! sent, it waits for the newer build, and expires like any other. Sent, and decided by the server,
//! it gets its verdict. Sent and not decided, its number would block the line: what this build cannot
//! read it cannot send again. A welcome says up to which number the server has decided, and the
//! connection before is over with it, so all later numbers were never used: they are taken back, and
//! given anew to what can be sent.

use super::Work;
use crate::call::{CommandKind, Outcome};
use crate::client::event::{CommandSettled, EventKind};
use crate::client::store::{ForeignCommand, OutboxRow};
use crate::error::{Code, Error};

impl Work<'_> {
    /// At a welcome: takes back the numbers that the server has not decided if one of them is of a
    /// command that cannot be sent again.
    pub(super) fn take_back_foreign(&mut self, last_number: u64) -> Result<(), Error> {
        let undecided = |row: &OutboxRow| row.number() > Some(last_number);
        let rows = self.tx.unsettled_commands()?;
        if rows.iter().any(|row| undecided(row) && row.is_foreign()) {
            self.tx.take_back_numbers(last_number.saturating_add(1))?;
        }
        Ok(())
    }

    /// The server says that all verdicts up to a number were sent. A command below it without one
    /// will never have it: the server, or this file, is older than it was. How many those were.
    pub(super) fn settle_unknown(&mut self, settled: u64) -> Result<usize, Error> {
        let mut rows = self.tx.unsettled_commands()?;
        rows.retain(|row| row.number() <= Some(settled));
        for row in &rows {
            let message = "the server has decided it and does not know the verdict any more; see the call for what became of it";
            let unknown = Error::new(Code::UnknownOutcome, "forgotten", message);
            self.settle_row(row, Err(unknown))?;
        }
        Ok(rows.len())
    }

    /// Writes the verdict of a command, whoever can read it.
    pub(super) fn settle_row(
        &mut self,
        row: &OutboxRow,
        result: Result<Outcome, Error>,
    ) -> Result<(), Error> {
        match row {
            OutboxRow::Known(command) => self.settle(command, result),
            OutboxRow::Foreign(command) => self.settle_foreign(command, result),
        }
    }

    /// The same of one that only a newer build can read. Of a kind that is unknown here nothing can
    /// be told now; the journal has it for the newer build.
    pub(super) fn settle_foreign(
        &mut self,
        command: &ForeignCommand,
        result: Result<Outcome, Error>,
    ) -> Result<(), Error> {
        self.tx.settle(command.n, &result, self.now)?;
        let Some(kind) = CommandKind::from_name(&command.name) else {
            return self.tx.append_foreign_settled(self.now, command, &result);
        };
        let settled = CommandSettled {
            op: command.op.clone(),
            call_id: command.call_id.clone(),
            command: kind,
            result,
        };
        self.tell(&command.call_id, EventKind::CommandSettled(settled))
    }
}
