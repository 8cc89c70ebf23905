//! What is done when nothing else is: calls, events and commands that are too many or too old are
//! removed, free room is given back, the write-ahead log is written back.
//!
//! A pass goes through the chores in their order, a step at a time, each a transaction of a bounded
//! number of rows; between two steps there is a pause in which everything else comes first. Nothing
//! is done while something rings, while a connected device dials (without a connection nobody knows
//! whether an answer is awaited still), or while it catches up, and only the engine that syncs does
//! it. Calls are removed only by an engine that has heard all there was, connected or not
//! since: what is yet to come may be older than what there is, and nobody has seen it.

use super::Core;
use super::session::Phase;
use crate::client::clock::Now;
use crate::client::housekeeping::{EVENTS_UNACKNOWLEDGED_LEAST, Retention, Storage};
use crate::client::store::{CallsCut, Space};
use crate::error::Error;

/// The first pass begins so long after the engine has begun to sync.
const FIRST_AFTER_MS: i64 = 10_000;
/// A pass begins so long after the first thing that was written since the one before.
const PASS_EVERY_MS: i64 = 3_600_000;
/// Between two steps of a pass.
const STEP_PAUSE_MS: i64 = 50;
/// A step that cannot be done now is put off for so long.
const PUT_OFF_MS: i64 = 10_000;
/// After a failure the next pass begins so much later.
const RETRY_AFTER_MS: i64 = 60_000;
/// Calls that one step removes: with all there is about them, a few milliseconds.
pub const CALLS_A_STEP_MAX: usize = 50;
/// Events that one step removes.
const EVENTS_A_STEP_MAX: usize = 500;
/// Commands that one step looks at.
const COMMANDS_A_STEP_MAX: usize = 500;
/// A log of so many pages that cannot be written back is worth an operator's look: 64 MiB.
const LOG_PAGES_LARGE: u64 = 16_384;

/// Where a pass is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Chore {
    /// The first look: what there is to do.
    Look,
    Calls {
        cut: CallsCut,
        after: i64,
    },
    Events,
    Commands {
        before: i64,
        known: u64,
    },
    Room,
    Log,
}

/// What follows a step.
enum Next {
    /// Nothing was written: go on at once.
    Chore(Chore),
    /// After a pause.
    Step(Chore),
    /// The pass is over.
    Done,
}

/// The state of the housekeeping.
pub(super) struct Housekeeping {
    retention: Retention,
    chore: Chore,
    /// Whether this pass has removed calls.
    removed_calls: bool,
    /// Whether the last catching up, which this engine has begun, came to its end.
    caught_up: bool,
    /// Whether a pass left calls alone because of that.
    owes_calls: bool,
    /// When the next step is due; `None` while nothing was written since the last pass.
    due: Option<i64>,
}

impl Housekeeping {
    pub(super) fn new() -> Self {
        Self {
            retention: Retention::default(),
            chore: Chore::Look,
            removed_calls: false,
            caught_up: false,
            owes_calls: false,
            due: None,
        }
    }
}

impl Core {
    /// How much of the past the file keeps; the defaults until this is said.
    pub fn set_retention(&mut self, retention: Retention) {
        self.housekeeping.retention = retention;
    }

    /// This engine is the one that syncs from now on.
    pub(super) fn begin_housekeeping(&mut self, now: Now) {
        self.housekeeping.chore = Chore::Look;
        self.housekeeping.due = Some(now.mono_ms.saturating_add(FIRST_AFTER_MS));
        // Another one may have synced since, and not have heard all.
        self.housekeeping.caught_up = false;
    }

    /// The server begins to tell what this device has not heard.
    pub(super) fn begins_to_catch_up(&mut self) {
        self.housekeeping.caught_up = false;
    }

    /// The server has told all of it.
    pub(super) fn has_caught_up(&mut self, now: Now) {
        self.housekeeping.caught_up = true;
        if self.housekeeping.owes_calls {
            let soon = now.mono_ms.saturating_add(FIRST_AFTER_MS);
            let due = self.housekeeping.due;
            self.housekeeping.due = Some(due.map_or(soon, |due| due.min(soon)));
        }
    }

    pub(super) fn next_chore(&self) -> Option<i64> {
        self.housekeeping.due.filter(|_| self.is_syncing())
    }

    /// Something was written that may one day be too much.
    pub(super) fn house_was_used(&mut self, now: Now) {
        let next = now.mono_ms.saturating_add(PASS_EVERY_MS);
        self.housekeeping.due.get_or_insert(next);
    }

    /// Does the next step if it is due.
    pub(super) fn housekeeping_timeout(&mut self, now: Now) -> Result<(), Error> {
        if self.next_chore().is_none_or(|due| now.mono_ms < due) {
            return Ok(());
        }
        if self.is_busy() {
            self.housekeeping.due = Some(now.mono_ms.saturating_add(PUT_OFF_MS));
            return Ok(());
        }
        let done = self.do_chores(now);
        let pause = match done {
            Ok(true) => Some(STEP_PAUSE_MS),
            // All was heard in the middle of this pass.
            Ok(false) if self.housekeeping.caught_up && self.housekeeping.owes_calls => {
                Some(FIRST_AFTER_MS)
            }
            Ok(false) => None,
            Err(_) => Some(RETRY_AFTER_MS),
        };
        if pause != Some(STEP_PAUSE_MS) {
            self.housekeeping.chore = Chore::Look;
        }
        self.housekeeping.due = pause.map(|pause| now.mono_ms.saturating_add(pause));
        self.unless_fenced(done.map(drop))
    }

    /// Whether something has to be done sooner than the house can be kept.
    fn is_busy(&self) -> bool {
        let catches_up = match self.session.phase {
            Phase::Online { history_done, .. } => !history_done,
            Phase::Greeting { .. } => true,
            Phase::Off | Phase::Waiting { .. } | Phase::Connecting => false,
        };
        // Without a connection nobody knows whether an answer is awaited still.
        let dials = self.due.answer_awaited && self.session.is_online();
        catches_up || dials || self.due.ring.is_some()
    }

    /// Goes on until something was written; whether there is more.
    fn do_chores(&mut self, now: Now) -> Result<bool, Error> {
        loop {
            match self.step(now, self.housekeeping.chore)? {
                Next::Chore(chore) => self.housekeeping.chore = chore,
                Next::Step(chore) => {
                    self.housekeeping.chore = chore;
                    return Ok(true);
                }
                Next::Done => return Ok(false),
            }
        }
    }

    fn step(&mut self, now: Now, chore: Chore) -> Result<Next, Error> {
        match chore {
            Chore::Look => self.look_at_calls(),
            Chore::Calls { .. } if !self.housekeeping.caught_up => {
                self.housekeeping.owes_calls = true;
                Ok(Next::Chore(Chore::Events))
            }
            Chore::Calls { cut, after } => {
                let swept = self.write_synced(now, |work| {
                    work.tx.remove_calls(cut, after, CALLS_A_STEP_MAX)
                })?;
                self.housekeeping.removed_calls |= swept.removed > 0;
                Ok(match swept.next {
                    Some(after) => Next::Step(Chore::Calls { cut, after }),
                    None => Next::Step(Chore::Events),
                })
            }
            Chore::Events => self.remove_events(now),
            Chore::Commands { before, mut known } => {
                let swept = self.write_quietly(now, |work| {
                    super::must_sync(work.syncing)?;
                    let most = COMMANDS_A_STEP_MAX;
                    work.tx.remove_stray_commands(before, most, &mut known)
                })?;
                Ok(match swept.next {
                    Some(before) => Next::Step(Chore::Commands { before, known }),
                    None => Next::Step(Chore::Room),
                })
            }
            Chore::Room => {
                let space = self.store.look(|tx| tx.space())?;
                if !space.pays() {
                    return Ok(Next::Chore(Chore::Log));
                }
                self.give_back(now, space)?;
                Ok(Next::Step(Chore::Room))
            }
            Chore::Log => {
                self.write_log_back()?;
                Ok(Next::Done)
            }
        }
    }

    fn look_at_calls(&mut self) -> Result<Next, Error> {
        let Retention {
            calls, calls_for, ..
        } = self.housekeeping.retention;
        let age = calls_for.map(|age| i64::try_from(age.as_millis()).unwrap_or(i64::MAX));
        self.housekeeping.removed_calls = false;
        self.housekeeping.owes_calls = false;
        let cut = self.store.look(|tx| tx.calls_cut(calls, age))?;
        Ok(Next::Chore(if cut.is_empty() {
            Chore::Events
        } else {
            Chore::Calls { cut, after: 0 }
        }))
    }

    fn remove_events(&mut self, now: Now) -> Result<Next, Error> {
        let Retention {
            events,
            events_unacknowledged,
            ..
        } = self.housekeeping.retention;
        let all = events_unacknowledged.max(EVENTS_UNACKNOWLEDGED_LEAST);
        let look = |tx: &crate::client::store::Tx<'_>| {
            Ok((tx.journal_cut(events, all)?, tx.may_have_stray_commands()?))
        };
        let (cut, may_be_stray) = self.store.look(look)?;
        if cut > 0 {
            let removed = self.write_quietly(now, |work| {
                super::must_sync(work.syncing)?;
                work.tx.remove_events(cut, EVENTS_A_STEP_MAX)
            })?;
            if removed > 0 {
                return Ok(Next::Step(Chore::Events));
            }
        }
        let strays = may_be_stray || self.housekeeping.removed_calls;
        Ok(Next::Chore(if strays {
            Chore::Commands {
                before: i64::MAX,
                known: 0,
            }
        } else {
            Chore::Room
        }))
    }

    fn give_back(&mut self, now: Now, space: Space) -> Result<(), Error> {
        if space.in_steps {
            return self.write_quietly(now, |work| work.tx.give_back_pages());
        }
        let doubts = self.store.doubts();
        let done = self.store.rewrite();
        if self.store.doubts() != doubts {
            self.lose_track(now);
        }
        done
    }

    fn write_log_back(&mut self) -> Result<(), Error> {
        let log = self.store.write_log_back(false)?;
        if log.pages >= LOG_PAGES_LARGE && log.written_back < log.pages {
            tracing::warn!(
                pages = log.pages,
                written_back = log.written_back,
                "a program has been reading the database for so long that its log cannot be written back"
            );
        }
        Ok(())
    }

    /// Gives back a part of what is free, or all of it at once where the file is of an older build;
    /// whether there is more.
    ///
    /// # Errors
    /// What keeps the file from being written; it is then as it was.
    pub fn compact_step(&mut self, now: Now) -> Result<bool, Error> {
        let space = self.store.look(|tx| tx.space())?;
        if space.in_steps && space.free_pages == 0 {
            self.store.write_log_back(true)?;
            return Ok(false);
        }
        self.give_back(now, space)?;
        Ok(true)
    }

    /// How much room the file takes.
    ///
    /// # Errors
    /// What keeps it from being read.
    pub fn storage(&mut self) -> Result<Storage, Error> {
        let space = self.store.look(|tx| tx.space())?;
        Ok(Storage {
            bytes: space.bytes(),
            free_bytes: space.free_bytes(),
            wal_bytes: self.store.log_bytes(),
        })
    }
}
