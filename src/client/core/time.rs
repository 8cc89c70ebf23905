//! Server time on this device: what of the estimate is written when, and what becomes of commands
//! that were given by an estimate that proves wrong.
//!
//! A command that waits "30 s at most" waits for 30 s of real time. So when a sample corrects the
//! estimate, the commands that were given by the wrong one and never sent move with it, in the
//! transaction that keeps the new one. Those from before, when it was right, stay; so do deadlines,
//! which are the server's.

use super::{Core, Work};
use crate::call::CommandKind;
use crate::client::clock::{Exchange, KeptClock, Now, ServerClock};
use crate::client::store::{StoredCall, StoredCommand, Tx};
use crate::error::Error;

/// A wall clock that moved by less than this against the server's is not worth a write.
const CLOCK_NOTED_APART_MS: u64 = 1_000;

/// What the file knows of the clock, and what it has yet to learn.
pub(super) struct ClockNotes {
    boot: String,
    /// As it is in the file.
    kept: KeptClock,
    /// From which command on the estimate is in doubt.
    doubted_from: Option<i64>,
    /// By how much samples have corrected the estimate since the file was told.
    correction_ms: i64,
    /// There was a sample since.
    sampled: bool,
}

/// What a transaction is to write of the clock.
pub(super) struct ClockStep {
    clock: KeptClock,
    doubt: Option<i64>,
    correction_ms: i64,
    moved_from: i64,
    is_news: bool,
    is_pressing: bool,
}

impl ClockNotes {
    /// The clock of a run, and what is known of it.
    pub(super) fn begin(tx: &Tx<'_>, boot: &str, now: Now) -> Result<(ServerClock, Self), Error> {
        let kept = tx.kept_clock()?;
        let clock = ServerClock::new(&kept, tx.feed()?.heard_at, boot, now);
        let kept_doubt = tx.doubted_from()?;
        let doubted_from = if kept.boot == boot || kept_doubt.is_some() {
            kept_doubt
        } else {
            // What was given by an estimate that was right stays right, however wrong this one is.
            Some(tx.after_last_command()?)
        };
        let notes = Self {
            boot: boot.to_owned(),
            kept,
            doubted_from,
            correction_ms: 0,
            sampled: false,
        };
        Ok((clock, notes))
    }

    /// Whether another engine has kept something else of the clock since.
    pub(super) fn differ_from(&self, before: &Self) -> bool {
        self.kept != before.kept
    }

    /// What a transaction that begins now is to write.
    pub(super) fn step(&self, clock: &ServerClock, now: Now) -> ClockStep {
        let doubt = self.doubted_from.filter(|_| !self.sampled);
        let clock = clock.kept(&self.boot, now);
        let apart = clock.wall_offset_ms.abs_diff(self.kept.wall_offset_ms);
        let jumped = apart > CLOCK_NOTED_APART_MS;
        ClockStep {
            is_news: self.sampled || jumped || clock.boot != self.kept.boot,
            is_pressing: self.correction_ms != 0 || jumped,
            // An estimate that was not in doubt and is wrong: the server's clock is another one. All
            // that waits was given by the one before.
            moved_from: self.doubted_from.unwrap_or(0),
            correction_ms: self.correction_ms,
            doubt,
            clock,
        }
    }

    /// It was written.
    pub(super) fn done(&mut self, step: ClockStep) {
        self.doubted_from = step.doubt;
        self.correction_ms = 0;
        self.sampled = false;
        self.kept = step.clock;
    }
}

impl ClockStep {
    /// Whether it is worth a write of its own.
    pub(super) fn is_pressing(&self) -> bool {
        self.is_pressing
    }

    /// To be written before anything is judged by the time.
    pub(super) fn correct(&self, work: &Work<'_>) -> Result<(), Error> {
        match self.correction_ms {
            0 => Ok(()),
            by => work.move_commands(self.moved_from, by),
        }
    }

    /// To be written along with what else is.
    pub(super) fn keep(&self, tx: &Tx<'_>) -> Result<(), Error> {
        if self.is_news {
            tx.set_doubted_from(self.doubt)?;
            tx.keep_clock(&self.clock)?;
        }
        Ok(())
    }
}

impl Core {
    /// A sample of the server's clock.
    pub(super) fn sample_clock(&mut self, exchange: Exchange) {
        if let Some(by) = self.clock.sample(exchange) {
            self.correct_clock(by);
            self.clock_notes.sampled = true;
        }
    }

    /// The estimate was moved by that much.
    pub(super) fn correct_clock(&mut self, by: i64) {
        let notes = &mut self.clock_notes;
        notes.correction_ms = notes.correction_ms.saturating_add(by);
    }

    /// Whether a sample has moved the time, and the file was not told.
    pub(super) fn clock_was_corrected(&self) -> bool {
        self.clock_notes.correction_ms != 0
    }
}

impl Work<'_> {
    /// Moves what was never sent and was given by an estimate that proved wrong. What was sent has
    /// to be sent again as it was.
    fn move_commands(&self, from: i64, by: i64) -> Result<(), Error> {
        for command in self.tx.unsent_commands(usize::MAX)? {
            if command.n < from {
                continue;
            }
            let call = self.tx.call(&command.call_id)?;
            let expires_at = if command.expires_at == 0 || is_deadline(&command, call.as_ref()) {
                command.expires_at
            } else {
                command.expires_at.saturating_add(by).max(1)
            };
            let queued_at = command.queued_at.saturating_add(by);
            self.tx.move_command(command.n, queued_at, expires_at)?;
        }
        Ok(())
    }
}

/// Whether a command expires at the deadline of an invitation, which is the server's, and not some
/// time after it was given.
fn is_deadline(command: &StoredCommand, call: Option<&StoredCall>) -> bool {
    match command.command.kind() {
        CommandKind::Accept | CommandKind::Reject | CommandKind::Cancel => {
            let mut members = call.iter().flat_map(|stored| &stored.call.members);
            members.any(|member| member.deadline == command.expires_at)
        }
        CommandKind::Invite
        | CommandKind::CallingInvite
        | CommandKind::Join
        | CommandKind::Quit
        | CommandKind::End => false,
    }
}
