//! The engine's core: a machine that owns the store and the order of commits, and does no IO of
//! its own.
//!
//! What comes in: commands of the app ([`Core::submit`] and its neighbours), what the link says
//! ([`Core::handle_link`]), time ([`Core::handle_timeout`]); each with the time at which it
//! happened. What goes out: effects ([`Core::poll_effect`], to be drained after every call) and
//! when to wake it ([`Core::poll_timeout`]); beside that it is to look now and then at what other
//! engines on the same file did ([`Core::look`]). Neither clock nor randomness is read in here, so that
//! a simulator runs the real thing.
//!
//! Always holds: an effect is there only after the transaction that it tells of is committed and
//! synced. Of a command's verdict and the events that it caused, the verdict comes first. While
//! the device catches up, nothing is heard before all that rings or is open is on disk.

mod commands;
mod frames;
mod heartbeat;
mod housekeeping;
mod lease;
mod meaning;
mod preview;
mod push;
mod records;
mod renumber;
mod session;
#[cfg(test)]
mod tests;
mod time;
mod tokens;

use std::collections::{BTreeSet, VecDeque};

pub use commands::{Submission, Submitted, WAIT_S_DEFAULT};
pub use housekeeping::CALLS_A_STEP_MAX;
use housekeeping::Housekeeping;
pub use lease::{LOOK_EVERY_MS, Role};
use lease::{Lease, must_sync};
pub use push::PushTaken;
use session::Session;
pub use session::{LinkKept, LinkStatus};
use time::ClockNotes;
pub use tokens::TokenWanted;
use tokens::Tokens;

use super::clock::{Now, ServerClock};
use super::event::{CommandSettled, ConnectionChange, EventKind};
use super::store::{Restored, Salvage, Store, Tx};
use super::transport::LinkCommand;
use crate::call::{CallId, DeviceId, Millis, Op, UserId};
use crate::error::{Code, Error};
use crate::protocol::Cursor;

/// Most effects that are held while what rings or is open comes in: more than an honest server has
/// to say. Beyond it they are heard as they come; all that they tell of is on disk.
const HELD_MAX: usize = 10_000;
/// The pause before something due is tried again that could not be written.
const FILE_RETRY_MS: i64 = 1_000;

/// Randomness, given from outside.
pub type Entropy = Box<dyn FnMut() -> u64 + Send>;

/// What the core is told at its start.
pub struct CoreSettings {
    /// Proof of who the user is; none where the server trusts names.
    pub token: Option<String>,
    /// Whether the app can be asked for a token.
    pub provides_tokens: bool,
    /// The name of the build, for the server's log.
    pub build: String,
    /// How long an invite or join waits for a connection, in seconds, unless it says otherwise.
    pub wait_s: u32,
    /// For how long `Now::mono_ms` counts from one origin: see [`super::clock::boot`].
    pub boot: String,
}

/// What is to be done outside.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Something for the link.
    Link(LinkCommand),
    /// A command has its verdict.
    Settled {
        /// Where the journal has it.
        position: u64,
        /// The verdict.
        settled: CommandSettled,
    },
    /// Something that the app hears.
    Event {
        /// Where the journal has it; `None` for what is not journaled.
        position: Option<u64>,
        /// What happened.
        event: EventKind,
    },
    /// What became of a new token of the app's.
    TokenRenewed(Result<(), Error>),
    /// The provider is to be asked for a token; [`Core::handle_token`] is to be told what it gave.
    TokenWanted {
        /// Which request this is.
        request: u64,
        /// Why.
        why: TokenWanted,
    },
    /// A request is given up; its answer counts for nothing.
    TokenNotWanted {
        /// Which.
        request: u64,
    },
    /// The logout is done, or was given up waiting for.
    LoggedOut,
}

/// When something in the file is due, on the server's clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Due {
    /// An invitation that rings here runs out.
    ring: Option<Millis>,
    /// A command that was never sent expires.
    expiry: Option<Millis>,
    /// Somebody's answer is awaited.
    answer_awaited: bool,
}

/// The core. See the module.
pub struct Core {
    store: Store,
    settings: CoreSettings,
    clock: ServerClock,
    clock_notes: ClockNotes,
    entropy: Entropy,
    session: Session,
    lease: Lease,
    tokens: Tokens,
    housekeeping: Housekeeping,
    due: Due,
    effects: VecDeque<Effect>,
    /// Effects of the first step of catching up, held until all of it is on disk.
    held: Option<Vec<Effect>>,
    /// What is due in the file could not be written; it is tried again then.
    file_held_until: Option<i64>,
    /// Positions of verdicts that a waiting caller has; their journal rows are marked with the next write.
    taken: Vec<u64>,
    /// Calls that this device came into, as verdicts say of which no record has told yet. No more than
    /// commands that can be under way.
    entered: BTreeSet<CallId>,
    /// Whether something was written that an app can read.
    changed: bool,
    /// How far the feed is in the file but for saying so: goes with the next write. Nothing is
    /// lost with it, the server would only say again what is known.
    cursor_due: Option<Cursor>,
}

/// One transaction of the core: what it writes, and what is told once it is committed.
struct Work<'a> {
    tx: &'a Tx<'a>,
    /// The server's clock, as known.
    now: Millis,
    /// The life of the server that is connected, or was last.
    epoch: u64,
    /// Whether this engine is the one that syncs.
    syncing: bool,
    /// Whether all has been heard that the connected server knew when it was connected.
    heard_all: bool,
    /// The command whose verdict is being taken in.
    decided: Option<Op>,
    /// See [`Core::entered`].
    entered: BTreeSet<CallId>,
    told: Vec<Effect>,
    /// Frames for the server, if it is connected.
    receipts: Vec<crate::protocol::Receipt>,
}

impl Core {
    /// Takes over a store. Nothing happens before [`Self::start`], but the time runs: from here on
    /// by the steady clock alone.
    pub fn new(
        now: Now,
        mut store: Store,
        settings: CoreSettings,
        mut entropy: Entropy,
    ) -> Result<Self, Error> {
        let salvage = store.take_salvage();
        let restored = store.take_restored();
        let begin = |tx: &Tx<'_>| Ok((ClockNotes::begin(tx, &settings.boot, now)?, tx.feed()?));
        let ((clock, clock_notes), feed) = store.transact(begin)?;
        let (lease, due) = store.transact(|tx| Ok((Lease::begin(tx)?, Due::read(tx)?)))?;
        let mut core = Self {
            tokens: Tokens::new(settings.provides_tokens, entropy()),
            store,
            settings,
            clock,
            clock_notes,
            entropy,
            session: Session::new(feed.cursor.epoch),
            housekeeping: Housekeeping::new(),
            lease,
            due,
            effects: VecDeque::new(),
            held: None,
            file_held_until: None,
            taken: Vec::new(),
            entered: BTreeSet::new(),
            changed: false,
            cursor_due: None,
        };
        if let Some(salvage) = salvage {
            core.tell_salvage(salvage);
        }
        if let Some(restored) = restored {
            core.tell_restored(&restored);
        }
        Ok(core)
    }

    /// The file was damaged, and this one was begun in its place: what its journal begins with is told.
    fn tell_salvage(&mut self, salvage: Salvage) {
        self.session.error = Some(format!(
            "the database was damaged and set aside as {}; this device is another one since",
            salvage.set_aside.path.display()
        ));
        self.tell_from(salvage.begins_behind);
    }

    /// The file is a copy that is opened for the first time: what that ended is told.
    fn tell_restored(&mut self, restored: &Restored) {
        let message = "the database is a copy; this device is another one since";
        self.session.error = Some(message.to_owned());
        self.tell_from(restored.begins_behind);
    }

    /// Whether the file lost its name while it was open, or damage was found in it: only a new core,
    /// on a file opened anew, can do anything.
    pub fn must_be_reopened(&self) -> bool {
        self.store.has_moved() || self.store.is_suspected()
    }

    /// The user.
    pub fn user(&self) -> &UserId {
        self.store.user()
    }

    /// The device.
    pub fn device(&self) -> &DeviceId {
        self.store.device()
    }

    /// The token that the server took last, or is to be shown next.
    pub fn token(&self) -> Option<&str> {
        self.settings.token.as_deref()
    }

    /// The server's clock, as well as it is known.
    pub fn server_now(&self, now: Now) -> Millis {
        self.clock.estimate(now)
    }

    /// The next thing to do outside. To be drained after every call.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// Whether something that an app can read was written since this was asked last, told by an
    /// event or not.
    pub fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// When [`Self::handle_timeout`] is to be called at the latest, on the clock of `Now::mono_ms`.
    pub fn poll_timeout(&self, now: Now) -> Option<i64> {
        let until = |due: Millis| {
            let wait = due.saturating_sub(self.server_now(now)).max(0);
            let at = now.mono_ms.saturating_add(wait);
            at.max(self.file_held_until.unwrap_or(at))
        };
        let file = self.due.ring.into_iter().chain(self.due.expiry);
        let file = file.filter(|_| self.is_syncing()).map(until);
        file.chain(self.session.next_timeout(self.heartbeat_ms()))
            .chain(self.next_token_timeout())
            .chain(self.next_chore())
            .min()
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Now) -> Result<(), Error> {
        // A disk that is full must not cost the connection, too.
        let file = self.file_timeout(now);
        self.token_timeout(now);
        let session = self.session_timeout(now);
        session.and(file).and(self.housekeeping_timeout(now))
    }

    fn file_timeout(&mut self, now: Now) -> Result<(), Error> {
        let held = self
            .file_held_until
            .is_some_and(|until| now.mono_ms < until);
        if held || !self.is_syncing() {
            return Ok(());
        }
        let server_now = self.server_now(now);
        let is_due = |due: Option<Millis>| due.is_some_and(|due| due <= server_now);
        let done = if is_due(self.due.expiry) {
            self.write_synced(now, |work| work.expire_commands())
        } else if is_due(self.due.ring) {
            self.write_synced(now, |work| work.rings_run_out())
        } else {
            return Ok(());
        };
        self.file_held_until = done.is_err().then_some(now.mono_ms + FILE_RETRY_MS);
        self.unless_fenced(done)
    }

    /// A waiting caller has the verdict at that position: no notification is owed for it.
    pub fn verdict_taken(&mut self, position: u64) {
        self.taken.push(position);
    }

    /// How far a reader of the journal has come: no further than the journal itself, or what comes
    /// next would count as read.
    pub fn acknowledge(&mut self, now: Now, reader: &str, position: u64) -> Result<(), Error> {
        self.write_quietly(now, |work| {
            let position = position.min(work.tx.last_position()?);
            work.tx.acknowledge(reader, position)
        })
    }

    /// Marks missed calls as seen: those named, or all. Gives how many are unseen now.
    pub fn mark_seen(&mut self, now: Now, calls: Option<&[CallId]>) -> Result<u64, Error> {
        let (before, missed) = self.write_quietly(now, |work| {
            let before = work.tx.missed_count()?;
            work.tx.mark_seen_here(calls)?;
            Ok((before, work.tx.missed_count()?))
        })?;
        self.changed |= missed != before;
        self.send_seen(now)?;
        Ok(missed)
    }

    /// Writes what is only in memory.
    pub fn flush(&mut self, now: Now) -> Result<(), Error> {
        let pressing = self.clock_notes.step(&self.clock, now).is_pressing();
        if self.taken.is_empty() && self.cursor_due.is_none() && !pressing {
            return Ok(());
        }
        let (taken, cursor_due) = (self.taken.clone(), self.cursor_due);
        self.write_quietly(now, |work| {
            write_along(
                work.tx,
                &taken,
                cursor_due.filter(|_| work.syncing),
                work.now,
            )
        })
    }

    /// Writes the WAL back, before the file is closed.
    pub fn checkpoint(&mut self, now: Now) -> Result<(), Error> {
        self.flush(now)?;
        self.store.checkpoint()
    }

    /// One transaction, and after its commit what it has to tell.
    fn write<T>(
        &mut self,
        now: Now,
        work: impl FnOnce(&mut Work<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let (value, written) = self.transact(now, work)?;
        self.changed |= written;
        Ok(value)
    }

    /// The same, of what only the engine that syncs may write.
    fn write_synced<T>(
        &mut self,
        now: Now,
        work: impl FnOnce(&mut Work<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.write(now, |one| must_sync(one.syncing).and_then(|()| work(one)))
    }

    /// The same as [`Self::write`], of what does not count as a change: an app that reads on every change must not
    /// bring about the next one by reading.
    fn write_quietly<T>(
        &mut self,
        now: Now,
        work: impl FnOnce(&mut Work<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.transact(now, work).map(|(value, _)| value)
    }

    /// Also gives whether anything was written.
    fn transact<T>(
        &mut self,
        now: Now,
        work: impl FnOnce(&mut Work<'_>) -> Result<T, Error>,
    ) -> Result<(T, bool), Error> {
        let doubts = self.store.doubts();
        let done = self.transact_once(now, work);
        if self.store.doubts() != doubts {
            self.lose_track(now);
        }
        done
    }

    /// It is not known what of the last transaction is on disk. What was to go with it is asked for
    /// again, over another connection; what it journaled is told once the file can be read.
    fn lose_track(&mut self, now: Now) {
        self.cursor_due = None;
        if self.session.is_online() {
            self.drop_link(now, "the disk failed");
        }
    }

    fn transact_once<T>(
        &mut self,
        now: Now,
        work: impl FnOnce(&mut Work<'_>) -> Result<T, Error>,
    ) -> Result<(T, bool), Error> {
        self.take_in(now)?;
        let server_now = self.clock.estimate(now);
        let epoch = self.session.epoch();
        let (taken, cursor_due) = (self.taken.clone(), self.cursor_due);
        let step = self.clock_notes.step(&self.clock, now);
        let heard_all = self.session.has_heard_all();
        let mut entered = self.entered.clone();
        let (value, due, told, receipts, written, noted) = self.on_file(now, |tx, syncing| {
            let mut one = Work {
                tx,
                now: server_now,
                epoch,
                syncing,
                heard_all,
                decided: None,
                entered: entered.clone(),
                told: Vec::new(),
                receipts: Vec::new(),
            };
            if syncing {
                step.correct(&one)?;
            }
            let value = work(&mut one)?;
            let (told, receipts) = (one.told, one.receipts);
            entered = one.entered;
            let written = tx.has_written();
            // Only the engine that syncs knows the server's clock from the server.
            let noted = syncing && (written || step.is_pressing());
            if written || noted {
                write_along(tx, &taken, cursor_due.filter(|_| syncing), server_now)?;
            }
            if noted {
                step.keep(tx)?;
            }
            Ok((value, Due::read(tx)?, told, receipts, written, noted))
        })?;
        if written || noted {
            self.taken.clear();
            self.cursor_due = None;
        }
        if noted {
            self.clock_notes.done(step);
        }
        if written {
            self.house_was_used(now);
        }
        self.entered = entered;
        self.due = due;
        self.tell_own(told);
        for receipt in receipts {
            self.send_receipt(receipt);
        }
        Ok((value, written))
    }

    /// Lets effects out, or holds them while the first step of catching up is under way.
    fn tell(&mut self, told: Vec<Effect>) {
        let is_time_up = told.iter().any(Effect::is_of_own_time);
        match &mut self.held {
            Some(held) => {
                held.extend(told);
                if held.len() >= HELD_MAX {
                    self.release_held();
                } else if is_time_up {
                    // It does not wait for a server that may have fallen silent, nor does what comes
                    // before it, which is on disk.
                    self.effects.extend(held.drain(..));
                }
            }
            None => self.effects.extend(told),
        }
    }

    fn release_held(&mut self) {
        if let Some(held) = self.held.take() {
            self.effects.extend(held);
        }
    }

    fn tell_connection(&mut self, change: ConnectionChange) {
        let event = EventKind::ConnectionStateChanged(change);
        self.effects.push_back(Effect::Event {
            position: None,
            event,
        });
    }

    /// 32 characters that nobody else has: a UUID of version 7, so that ids sort by time for
    /// people; nothing is concluded from what is in them.
    pub fn fresh_id(&mut self, now: Now) -> String {
        let mut random = [0u8; 10];
        for chunk in random.chunks_mut(8) {
            let bytes = (self.entropy)().to_ne_bytes();
            chunk
                .iter_mut()
                .zip(bytes)
                .for_each(|(to, from)| *to = from);
        }
        let wall = u64::try_from(now.wall_ms).unwrap_or(0);
        uuid::Builder::from_unix_timestamp_millis(wall, &random)
            .into_uuid()
            .simple()
            .to_string()
    }

    fn fresh_op(&mut self, now: Now) -> Op {
        Op::trusted(self.fresh_id(now))
    }
}

/// What is not worth a write of its own.
fn write_along(
    tx: &Tx<'_>,
    taken: &[u64],
    cursor_due: Option<Cursor>,
    now: Millis,
) -> Result<(), Error> {
    for position in taken {
        tx.mark_answered(*position)?;
    }
    match cursor_due {
        Some(cursor) => tx.advance(cursor, now),
        None => Ok(()),
    }
}

impl Due {
    fn read(tx: &Tx<'_>) -> Result<Self, Error> {
        Ok(Self {
            ring: tx.next_ring_deadline()?,
            expiry: tx.next_expiry()?,
            answer_awaited: tx.answer_is_awaited()?,
        })
    }
}

impl Work<'_> {
    /// Journals an event; it is told after the commit.
    fn tell(&mut self, call: &CallId, event: EventKind) -> Result<(), Error> {
        let position = self.tx.append_journal(self.now, call, &event)?;
        self.told.push(match event {
            EventKind::CommandSettled(settled) => Effect::Settled { position, settled },
            EventKind::Call(_)
            | EventKind::ConnectionStateChanged(_)
            | EventKind::TokenWillExpire { .. }
            | EventKind::DatabaseSetAside(_) => Effect::Event {
                position: Some(position),
                event,
            },
        });
        Ok(())
    }
}

/// What the file says cannot be: a defect, or a file of other making.
fn defect(reason: &str, message: impl Into<String>) -> Error {
    Error::new(Code::Internal, reason, message)
}
