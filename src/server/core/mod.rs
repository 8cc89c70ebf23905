//! The server's core: a machine that does no IO of its own but owns the store.
//!
//! In go [`Input`]s and the time, out come [`Effect`]s. Inside are sessions, the numbering of
//! commands, feeds, presence, deadlines and tokens; outside are clocks, randomness, sockets and
//! threads, so that a simulator runs the real thing. The contract:
//!
//! - [`Core::step`] takes all that has queued up, decides it in one transaction, and gives back
//!   what is to be told. Nothing is given back that is not durable.
//! - [`Core::next_wakeup`] says when to call `step` even if nothing comes in. Calling it earlier
//!   does no harm; calling it more than [`STALL_MS`] later is a stall, after which everybody's
//!   absence counts anew.
//! - Time is an argument, in milliseconds of a clock that only grows. The server's own time is
//!   derived from it, and never goes back, over restarts included.
//!
//! In a step, what is due comes first, then the inputs in their order, then timers, then the
//! feeds: so a verdict is sent before the records that its command changed.

mod clock;
mod commands;
mod feed;
mod hello;
mod housekeeping;
mod presence;
mod preview;
mod push;
mod recover;
mod session;
mod timers;
mod work;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use self::clock::{Clock, begin};
use self::housekeeping::Chore;
use self::recover::Facts;
use self::session::{Bucket, Handshake, Session, User};
use self::timers::{Timer, Timers};
use self::work::{Asked, Work};
use super::auth::Auth;
use super::push::Push;
use super::settings::Settings;
use super::store::{Store, StoreError, StoreResult};
use crate::call::{Millis, Rules, UserId};
use crate::error::Error;
use crate::protocol::{ClosingReason, Goodbye, Refused, ToDevice, ToServer};

pub use self::commands::{CALLS_OPEN_MAX, COMMANDS_BURST, COMMANDS_PER_SECOND, UNSETTLED_MAX};
pub use self::feed::{FEED_BYTES_MAX, FEED_CALLS_MAX, FEED_WINDOW_FRAMES};
pub use self::hello::{HELLO_WITHIN_MS, TOKEN_NOTICE_MS};

/// A step that comes this much later than the wakeup that was asked for is a stall.
pub const STALL_MS: Millis = 5_000;
/// Most calls to which time does something in one step; the rest is for the next, at once.
pub const DUE_MAX: usize = 256;
/// Most timers that one step runs; the rest is for the next, at once.
pub const TIMERS_MAX: usize = 1_024;
/// Most frames that wait to be written to a connection; one that does not read them is closed.
pub const QUEUE_FRAMES_MAX: usize = 256;
/// How many frames other than new commands a connection may send a second.
pub const FRAMES_PER_SECOND: i64 = 500;
/// How many frames other than new commands a connection may send at once.
pub const FRAMES_BURST: i64 = 4_000;
/// How many calls that are named as seen count as one more frame.
pub const SEEN_CALLS_A_FRAME: usize = 16;
/// How long the core waits after a failed step before it wakes by itself.
pub const FAILED_WAIT_MS: Millis = 1_000;
/// How old the stored clock may become while anybody is connected.
pub const CLOCK_STORED_EVERY_MS: Millis = 30_000;

/// A connection, by the number that whoever moves its bytes has given it. Never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(pub u64);

/// The clocks at the start.
#[derive(Clone, Copy, Debug)]
pub struct Time {
    /// The wall clock, in UTC milliseconds.
    pub wall_ms: Millis,
    /// The clock that [`Core::step`] is given, in milliseconds.
    pub mono_ms: Millis,
}

/// What happens to the core.
#[derive(Clone, Debug)]
pub enum Input {
    /// A device has connected.
    Connected {
        /// By which connection.
        conn: ConnId,
        /// From where.
        peer: SocketAddr,
        /// Whether the handshake is not complete yet: what comes before [`Input::Confirmed`] may be
        /// what somebody has recorded and sends again.
        early: bool,
    },
    /// The handshake of a connection that was early is complete.
    Confirmed {
        /// Which.
        conn: ConnId,
    },
    /// It sent a frame.
    Frame {
        /// By which connection.
        conn: ConnId,
        /// The frame.
        frame: ToServer,
    },
    /// Frames that the core had sent were handed to the network.
    Written {
        /// On which connection.
        conn: ConnId,
        /// How many.
        frames: usize,
    },
    /// The connection is gone.
    Disconnected {
        /// Which.
        conn: ConnId,
    },
    /// What came was no frame.
    Broken {
        /// On which connection.
        conn: ConnId,
        /// What was wrong.
        reason: String,
    },
    /// The server goes away.
    Shutdown,
}

/// What is to be done, in this order.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Send a frame.
    Send {
        /// On which connection.
        conn: ConnId,
        /// The frame.
        frame: Box<ToDevice>,
    },
    /// Close a connection, once what was sent before has been written. The core has forgotten it.
    Close {
        /// Which.
        conn: ConnId,
        /// What to say last, if anything.
        goodbye: Option<Goodbye>,
    },
    /// Wake a device that is not connected.
    Push(Box<Push>),
    /// The store cannot be trusted any more: stop without another word.
    Halt(StoreError),
}

/// Where the randomness comes from.
pub type Entropy = Box<dyn FnMut() -> u64 + Send>;

/// The server's core; see the module.
pub struct Core {
    store: Box<dyn Store>,
    state: State,
    clock: Clock,
    wakeup: Option<Millis>,
    halted: bool,
}

/// All of the core but the store.
pub(super) struct State {
    settings: Settings,
    rules: Rules,
    auth: Auth,
    entropy: Entropy,
    epoch: u64,
    started_at: Millis,
    hellos: u64,
    sessions: BTreeMap<ConnId, Session>,
    users: BTreeMap<UserId, User>,
    /// Since when users are absent: everybody in a started call who has no connected device, and
    /// whoever else left a moment ago.
    absent: BTreeMap<UserId, Millis>,
    timers: Timers,
    /// When time next does something to a call.
    next_due: Option<Millis>,
    /// Who is sent the calls that are open to them, and has room for more.
    opening: BTreeSet<ConnId>,
    /// Who reads the feed from the store, and has room for more.
    catching_up: BTreeSet<ConnId>,
    /// Whether the last step left the histories to the next one.
    history_waits: bool,
    last_pumped: ConnId,
    /// Whether who is absent is to be looked up again, because a step failed.
    absent_unknown: bool,
    /// Whose verdicts are to be forgotten, with the next transaction that writes anyway, or at
    /// the end of the session.
    settling: BTreeSet<ConnId>,
    /// Where the housekeeping is.
    chore: Chore,
}

impl Core {
    /// Starts a server on its data: begins an epoch, does all that is overdue, and lets everybody's
    /// absence count from now.
    ///
    /// # Errors
    /// What the store says.
    pub fn new(
        store: Box<dyn Store>,
        settings: Settings,
        auth: Auth,
        time: Time,
        mut entropy: Entropy,
    ) -> StoreResult<Self> {
        let mut store = store;
        let epoch = entropy().max(1);
        let now = begin(store.as_mut(), epoch, time.wall_ms)?;
        let rules = settings.rules();
        let mut core = Self {
            store,
            state: State {
                settings,
                rules,
                auth,
                entropy,
                epoch,
                started_at: now,
                hellos: 0,
                sessions: BTreeMap::new(),
                users: BTreeMap::new(),
                absent: BTreeMap::new(),
                timers: Timers::default(),
                next_due: Some(now),
                opening: BTreeSet::new(),
                catching_up: BTreeSet::new(),
                history_waits: false,
                last_pumped: ConnId(0),
                absent_unknown: true,
                settling: BTreeSet::new(),
                chore: Chore::Rest,
            },
            clock: Clock {
                server_ms: now,
                mono_ms: time.mono_ms,
            },
            wakeup: None,
            halted: false,
        };
        core.catch_up_with_time(now)?;
        tracing::info!(epoch, server_time_ms = now, "the core has started");
        Ok(core)
    }

    /// Whether the store cannot be trusted any more: the core does nothing from then on.
    pub fn is_halted(&self) -> bool {
        self.halted
    }

    /// When to call [`Self::step`] even if nothing comes in, on the clock that it is given.
    pub fn next_wakeup(&self) -> Option<Millis> {
        self.wakeup
    }

    /// The server's clock, as of the last step.
    pub fn server_time(&self) -> Millis {
        self.clock.server_ms
    }

    /// Takes what has come in, in its order, and gives back what is to be done, in its order.
    pub fn step(&mut self, mono_ms: Millis, inputs: Vec<Input>) -> Vec<Effect> {
        if self.halted {
            return Vec::new();
        }
        let now = self.clock.advance(mono_ms);
        if let Some(wakeup) = self.wakeup
            && mono_ms > wakeup + STALL_MS
        {
            tracing::warn!(late_ms = mono_ms - wakeup, "stalled; absences count anew");
            self.state.count_absence_anew(now);
        }
        let facts = Facts::of(&inputs);
        let mut work = Work::new(self.store.as_mut(), now);
        let state = &mut self.state;
        let done = state.run(&mut work, inputs).and_then(|()| work.commit());
        let (effects, wakeup) = match done {
            Ok(()) => (work.effects, state.next_wakeup(now)),
            Err(error @ StoreError::Unknown(_)) => {
                tracing::error!(%error, "the store cannot be trusted any more; stopping");
                self.halted = true;
                (state.halt(error), None)
            }
            Err(error) => {
                tracing::warn!(%error, "a step failed; nothing of it is told");
                work.roll_back();
                (
                    state.recover(work, &facts, &error),
                    Some(now + FAILED_WAIT_MS),
                )
            }
        };
        self.wakeup = wakeup.map(|at| self.clock.mono_of(at));
        effects
    }

    /// All that came due while the server was not running, however much.
    fn catch_up_with_time(&mut self, now: Millis) -> StoreResult<()> {
        // Each round does DUE_MAX calls for good, so this ends.
        loop {
            let mut work = Work::new(self.store.as_mut(), now);
            self.state.run(&mut work, Vec::new())?;
            work.commit()?;
            if self.state.next_due.is_none_or(|due| due > now) {
                break;
            }
        }
        self.wakeup = self.state.next_wakeup(now).map(|at| self.clock.mono_of(at));
        Ok(())
    }
}

impl State {
    fn run(&mut self, work: &mut Work<'_>, inputs: Vec<Input>) -> StoreResult<()> {
        self.fire_due(work)?;
        if self.absent_unknown {
            self.find_absent(work)?;
        }
        for input in inputs {
            self.take(work, input)?;
        }
        self.run_timers(work)?;
        self.close_overflowed(work)?;
        self.feed(work)?;
        self.write_rest(work)
    }

    /// What time does to calls. The store says which; the decision is in the transaction.
    fn fire_due(&mut self, work: &mut Work<'_>) -> StoreResult<()> {
        if self.next_due.is_none_or(|due| due > work.now) {
            return Ok(());
        }
        let now = work.now;
        for id in work.read()?.due(now, DUE_MAX)? {
            tracing::debug!(call = %id, "due");
            let call = work.record(&id)?;
            if let Some(call) = call.filter(|_| !work.has_changed(&id)) {
                // The store would say so again and again; writing it again sets its time right.
                tracing::error!(call = %id, "a call was due to which time does nothing");
                work.write()?.put_call(Some(&call), &call)?;
            }
        }
        Ok(())
    }

    fn take(&mut self, work: &mut Work<'_>, input: Input) -> StoreResult<()> {
        match input {
            Input::Connected { conn, peer, early } => {
                let session = Session {
                    peer,
                    handshake: Handshake::of(early),
                    heard_at: work.now,
                    queued: 0,
                    frames: Bucket::full(FRAMES_BURST, work.now),
                    device: None,
                };
                self.sessions.insert(conn, session);
                self.timers
                    .set(Timer::Silent(conn), work.now + HELLO_WITHIN_MS);
                self.arm_housekeeping(work.now);
                Ok(())
            }
            Input::Confirmed { conn } => self.on_confirmed(work, conn),
            Input::Frame { conn, frame } => self.on_frame(work, conn, frame),
            Input::Written { conn, frames } => {
                if let Some(session) = self.sessions.get_mut(&conn) {
                    session.queued = session.queued.saturating_sub(frames);
                    self.resume_reading(conn);
                }
                Ok(())
            }
            Input::Disconnected { conn } => self.end_session(work, conn, work.now),
            Input::Broken { conn, reason } => {
                self.say_goodbye(work, conn, ClosingReason::Violation, &reason)
            }
            Input::Shutdown => {
                let all: Vec<ConnId> = self.sessions.keys().copied().collect();
                for conn in all {
                    let why = "the server goes away; come back";
                    self.say_goodbye(work, conn, ClosingReason::ShuttingDown, why)?;
                }
                Ok(())
            }
        }
    }

    fn on_frame(&mut self, work: &mut Work<'_>, conn: ConnId, frame: ToServer) -> StoreResult<()> {
        let Some(session) = self.sessions.get_mut(&conn) else {
            return Ok(()); // it was closed, and this was under way
        };
        work.keep(conn, session);
        session.heard_at = work.now;
        let known = session.device.is_some();
        let cost = cost_of(&frame, session);
        if session
            .frames
            .take_many(cost, FRAMES_PER_SECOND, FRAMES_BURST, work.now)
            .is_err()
        {
            let why = format!("more than {FRAMES_PER_SECOND} frames a second");
            return self.say_goodbye(work, conn, ClosingReason::Violation, &why);
        }
        if session.handshake.is_pending() {
            return self.on_early_frame(work, conn, frame);
        }
        match frame {
            ToServer::Hello(_) if known => {
                self.say_goodbye(work, conn, ClosingReason::Violation, "a second hello")
            }
            ToServer::Hello(hello) => {
                work.note(conn, Asked::Hello);
                self.on_hello(work, conn, *hello)
            }
            ToServer::Command(_)
            | ToServer::Receipt(_)
            | ToServer::Ping(_)
            | ToServer::Settled(_)
            | ToServer::Renew(_)
            | ToServer::Seen(_)
            | ToServer::Logout
                if !known =>
            {
                let why = "the first frame was no hello";
                self.say_goodbye(work, conn, ClosingReason::Violation, why)
            }
            ToServer::Command(command) => self.on_command(work, conn, *command),
            ToServer::Receipt(receipt) => {
                work.note(conn, Asked::Other);
                self.on_receipt(work, conn, &receipt)
            }
            ToServer::Ping(ping) => {
                self.on_ping(work, conn, ping);
                Ok(())
            }
            ToServer::Settled(settled) => self.on_settled(work, conn, settled),
            ToServer::Renew(renew) => {
                self.on_renew(work, conn, &renew);
                Ok(())
            }
            ToServer::Seen(seen) => {
                work.note(conn, Asked::Other);
                self.on_seen(work, conn, &seen)
            }
            ToServer::Logout => {
                work.note(conn, Asked::Other);
                self.on_logout(work, conn)
            }
        }
    }

    fn run_timers(&mut self, work: &mut Work<'_>) -> StoreResult<()> {
        for _ in 0..TIMERS_MAX {
            match self.timers.pop(work.now) {
                None => break,
                Some(Timer::Silent(conn)) => self.on_silent(work, conn)?,
                Some(Timer::Token(conn)) => self.on_token_time(work, conn)?,
                Some(Timer::Absent(user)) => self.on_absent(work, &user)?,
                Some(Timer::Clock) => {
                    work.write()?;
                    self.arm_clock(work.now);
                }
                Some(Timer::Housekeeping) => self.on_housekeeping(work)?,
            }
        }
        Ok(())
    }

    /// As long as anybody is told the time, it is stored now and then.
    fn arm_clock(&mut self, now: Millis) {
        if !self.sessions.is_empty() {
            self.timers.set(Timer::Clock, now + CLOCK_STORED_EVERY_MS);
        }
    }

    /// Everything that a step writes once: rows that changed, verdicts to forget, the clock.
    fn write_rest(&mut self, work: &mut Work<'_>) -> StoreResult<()> {
        let changed: Vec<ConnId> = work.asked.keys().copied().collect();
        for conn in changed {
            self.write_row(work, conn)?;
        }
        if work.has_written() {
            self.forget_settled(work)?;
            let now = work.now;
            work.write()?.set_clock(now)?;
        }
        if work.has_begun() {
            self.next_due = work.read()?.next_due()?;
        }
        Ok(())
    }

    /// Hands a frame out.
    fn send(&mut self, work: &mut Work<'_>, conn: ConnId, frame: ToDevice) {
        let Some(session) = self.sessions.get_mut(&conn) else {
            return;
        };
        session.queued += 1;
        if session.queued > QUEUE_FRAMES_MAX {
            work.overflowed.insert(conn);
            return;
        }
        work.effects.push(Effect::Send {
            conn,
            frame: Box::new(frame),
        });
    }

    fn close_overflowed(&mut self, work: &mut Work<'_>) -> StoreResult<()> {
        for conn in std::mem::take(&mut work.overflowed) {
            let why = format!("more than {QUEUE_FRAMES_MAX} frames are waiting to be read");
            self.say_goodbye(work, conn, ClosingReason::Violation, &why)?;
        }
        Ok(())
    }

    fn say_goodbye(
        &mut self,
        work: &mut Work<'_>,
        conn: ConnId,
        reason: ClosingReason,
        message: &str,
    ) -> StoreResult<()> {
        let Some(session) = self.sessions.get(&conn) else {
            return Ok(());
        };
        tracing::debug!(conn = conn.0, peer = %session.peer, ?reason, message, "goodbye");
        self.end_session(work, conn, work.now)?;
        work.effects.push(Effect::Close {
            conn,
            goodbye: Some(Goodbye {
                reason,
                message: message.to_owned(),
            }),
        });
        Ok(())
    }

    /// Refuses a device; also in the middle of a session, when its database turns out to be a copy.
    fn refuse(&mut self, work: &mut Work<'_>, conn: ConnId, error: Error) -> StoreResult<()> {
        tracing::debug!(conn = conn.0, %error, "refused");
        self.send(work, conn, ToDevice::Refused(Refused { error }));
        self.end_session(work, conn, work.now)?;
        work.effects.push(Effect::Close {
            conn,
            goodbye: None,
        });
        Ok(())
    }

    fn next_wakeup(&self, now: Millis) -> Option<Millis> {
        if !self.opening.is_empty() || !self.catching_up.is_empty() {
            return Some(now);
        }
        [self.next_due, self.timers.next()]
            .into_iter()
            .flatten()
            .min()
            .map(|at| at.max(now))
    }
}

/// How many frames that one counts as. A command that is to be decided has a pace of its own; one
/// that comes again is answered again, which is work as any other.
fn cost_of(frame: &ToServer, session: &Session) -> i64 {
    match frame {
        ToServer::Command(command) => {
            let decided = session.device.as_ref().map(|device| device.row.last_number);
            i64::from(decided.is_some_and(|decided| command.number <= decided))
        }
        ToServer::Seen(seen) => {
            let more = seen.calls.len() / SEEN_CALLS_A_FRAME;
            1 + i64::try_from(more).unwrap_or(i64::from(u32::MAX))
        }
        ToServer::Hello(_)
        | ToServer::Receipt(_)
        | ToServer::Ping(_)
        | ToServer::Settled(_)
        | ToServer::Renew(_)
        | ToServer::Logout => 1,
    }
}

#[cfg(test)]
mod tests;
