//! Several engines on one file, as an app and its notification extension are: one of them syncs,
//! the others wait for its place. All of them read, give commands and hear what happened.
//!
//! Always holds: before a core writes, it has taken in all that others wrote, in one transaction
//! with the check that it is so. Thus positions are told in their order by every engine, and a core
//! that syncs writes nothing once another has raised the generation. A core that waits connects
//! nothing, sends nothing, and runs no timer of what is in the file: its idea of the server's time
//! may be worse than that of the one that syncs.

use std::collections::BTreeSet;

use super::session::Phase;
use super::time::ClockNotes;
use super::{Core, Due, Effect, FILE_RETRY_MS};
use crate::call::{CallEvent, CallId, DeviceId, Millis, UserId};
use crate::client::clock::{Now, ServerClock};
use crate::client::event::{CommandSettled, ConnectionCause, Event, EventKind};
use crate::client::store::{FeedPosition, Tx};
use crate::error::{Code, Error};

/// How often a core is to look at what others wrote, and a waiting one whether it may sync: what
/// one process asks goes out, and what it waits for arrives, without a delay that a person notices.
pub const LOOK_EVERY_MS: i64 = 500;
/// A core that was fenced does not try to sync again for so long: where locks do not hold, two
/// engines would take the connection from each other without end.
const FENCED_WAIT_MS: i64 = 30_000;
/// A lock that cannot be had for another reason than that it is held is tried for again then.
pub(super) const LOCK_RETRY_MS: i64 = 10_000;
/// Most events of others that are taken in at a time; the rest comes with the next look. Also most
/// calls of which it is remembered that their ring was over before.
const OTHERS_EVENTS_MAX: usize = 1_000;
/// How often others may write in between before a transaction is given up. Each of them has to hit
/// the moment between two statements.
const RACES_MAX: u32 = 100;

/// What people are told of an engine that waits.
const HELD_ELSEWHERE: &str = "another process has the connection of this file";

/// What an engine does with its file, which others may have open, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It has the connection, or makes it.
    Syncing,
    /// Another one has it. This one reads, takes commands, and takes over when that one ends.
    Waiting,
}

/// Where a core is with the others.
pub(super) struct Lease {
    /// Under which this one syncs; `None` while it waits.
    generation: Option<u64>,
    /// Up to which data version all is taken in; `None`: look anew.
    seen: Option<i64>,
    /// How often it was not known what is in the file, as far as it was read since.
    doubts: u64,
    /// The last position of the journal that was told, or was there before.
    told: u64,
    /// Whether the journal has more of others than could be taken in at once. What this core writes
    /// meanwhile is told from there, in its turn.
    behind: bool,
    /// Calls whose invitation was over before it was noticed, and whose end was not told yet.
    unshown: BTreeSet<CallId>,
    /// Whether others wrote something that may have to be sent.
    to_send: bool,
    /// The lock is not tried for before then.
    not_before: i64,
    /// Whether the app wants a connection.
    wanted: bool,
    /// Why there is none while this one waits, as people are told.
    why: Option<String>,
}

/// All of a file that another engine may have changed and a core has in memory.
struct Found {
    version: i64,
    generation: u64,
    device: Option<DeviceId>,
    feed: FeedPosition,
    clock: (ServerClock, ClockNotes),
    due: Due,
    events: Vec<Event>,
    more: bool,
}

impl Found {
    fn read(tx: &Tx<'_>, told: u64, boot: &str, now: (Now, Millis)) -> Result<Self, Error> {
        let version = tx.data_version()?;
        let mut events = tx.journal_after(told, OTHERS_EVENTS_MAX + 1, now.1)?;
        let more = events.len() > OTHERS_EVENTS_MAX;
        events.truncate(OTHERS_EVENTS_MAX);
        Ok(Self {
            version,
            generation: tx.generation()?,
            device: tx.stored_device()?,
            feed: tx.feed()?,
            clock: ClockNotes::begin(tx, boot, now.0)?,
            due: Due::read(tx)?,
            events,
            more,
        })
    }
}

impl Lease {
    /// Of a file that is seen for the first time: what is in it was told by others, or is read.
    pub(super) fn begin(tx: &Tx<'_>) -> Result<Self, Error> {
        Ok(Self {
            generation: None,
            seen: Some(tx.data_version()?),
            doubts: 0,
            told: tx.last_position()?,
            behind: false,
            unshown: BTreeSet::new(),
            to_send: false,
            not_before: i64::MIN,
            wanted: false,
            why: None,
        })
    }

    /// Whether an event of others is to be heard by an app that was shown no ring which was over
    /// before it was noticed: nothing of that, but how it ended, and all that comes after.
    fn is_news(&mut self, kind: &EventKind, user: &UserId) -> bool {
        let event = match kind {
            EventKind::Call(event) => event,
            EventKind::CommandSettled(settled) => {
                if settled.result.is_ok() {
                    self.unshown.remove(&settled.call_id);
                }
                return true;
            }
            EventKind::ConnectionStateChanged(_)
            | EventKind::TokenWillExpire { .. }
            | EventKind::DatabaseSetAside(_) => return true,
        };
        match event {
            CallEvent::Received { call_id, over, .. } => {
                if *over && self.unshown.len() < OTHERS_EVENTS_MAX {
                    self.unshown.insert(call_id.clone());
                }
                !over
            }
            CallEvent::UserStateChanged {
                call_id,
                call_user_list,
                ..
            } => {
                let mut answers = call_user_list.iter();
                if answers.any(|one| &one.user_id == user && !one.state.is_pending()) {
                    self.unshown.remove(call_id);
                }
                !self.unshown.contains(call_id)
            }
            CallEvent::Created { .. } | CallEvent::PrimaryDeviceChanged { .. } => true,
            CallEvent::Cancelled { call_id, .. }
            | CallEvent::Timeout { call_id, .. }
            | CallEvent::Ended { call_id, .. }
            | CallEvent::HandledElsewhere { call_id, .. } => {
                self.unshown.remove(call_id);
                true
            }
        }
    }
}

impl Core {
    /// What this engine does with the file.
    pub fn role(&self) -> Role {
        match self.lease.generation {
            Some(_) => Role::Syncing,
            None => Role::Waiting,
        }
    }

    pub(super) fn is_syncing(&self) -> bool {
        self.lease.generation.is_some()
    }

    /// The last position of the journal that was told.
    pub fn told_position(&self) -> u64 {
        self.lease.told
    }

    /// After which position of the journal this core's events begin, if nothing was taken from it yet.
    pub fn events_begin_after(&self) -> u64 {
        let first = self.effects.iter().filter_map(Effect::position).min();
        first.map_or(self.lease.told, |first| first.saturating_sub(1))
    }

    /// Tells what came after a position, although it was there before this core: the app that hears
    /// is still the same. A file that has not come to that position, because it is another one by
    /// now, goes on behind it.
    ///
    /// # Errors
    /// What keeps that from the disk.
    pub fn tell_on_from(&mut self, now: Now, position: u64) -> Result<(), Error> {
        self.tell_from(position.min(self.lease.told));
        self.on_file(now, |tx, _| tx.go_on_behind(position))?;
        self.lease.told = self.lease.told.max(position);
        Ok(())
    }

    /// Tells what came after a position with the next look.
    pub(super) fn tell_from(&mut self, position: u64) {
        self.lease.told = position;
        self.lease.seen = None;
    }

    /// Whether others wrote more than could be taken in at once: it wants to look again now.
    pub fn is_behind(&self) -> bool {
        self.lease.behind
    }

    /// Takes in what others wrote and sends what is to be sent of it; a core that waits tries to
    /// sync. To be called every [`LOOK_EVERY_MS`].
    ///
    /// # Errors
    /// What keeps the file from being read or written; tried again at the next look.
    pub fn look(&mut self, now: Now) -> Result<(), Error> {
        self.take_in(now)?;
        if !self.is_syncing() {
            self.try_to_sync(now)?;
        }
        if !self.lease.to_send || !self.is_syncing() {
            return Ok(());
        }
        // What others write while this is done is for the next look.
        self.lease.to_send = false;
        let sent = self.pump(now).and_then(|()| self.send_seen(now));
        self.lease.to_send |= sent.is_err();
        self.unless_fenced(sent)
    }

    /// The app wants a connection, and this engine may have to wait for it.
    pub(super) fn begin_to_sync(&mut self, now: Now) {
        self.lease.wanted = true;
        if self.is_syncing() {
            self.log_in(now);
            return;
        }
        // What went wrong is told, and it is tried again with the next look.
        let _ = self.try_to_sync(now);
        if !self.is_syncing() {
            let why = self.lease.why.clone();
            self.tell_that_it_waits(now, why.as_deref().unwrap_or(HELD_ELSEWHERE));
        }
    }

    fn try_to_sync(&mut self, now: Now) -> Result<(), Error> {
        if now.mono_ms < self.lease.not_before {
            return Ok(());
        }
        // Until all goes well, which may be at once.
        self.lease.not_before = now.mono_ms + LOCK_RETRY_MS;
        let raised = self.take_place(now);
        match &raised {
            Ok(Some(_)) => self.forget_why_it_waits(),
            Ok(None) => self.note_why_it_waits(HELD_ELSEWHERE),
            Err(error) => self.note_why_it_waits(&error.to_string()),
        }
        if let Some(generation) = raised? {
            tracing::info!(generation, "this engine syncs");
            self.lease.generation = Some(generation);
            self.begin_housekeeping(now);
            if self.lease.wanted && !self.is_logged_out() {
                self.log_in(now);
            }
        }
        self.lease.not_before = i64::MIN;
        Ok(())
    }

    /// The generation under which this engine syncs from now on, if no other one does.
    fn take_place(&mut self, now: Now) -> Result<Option<u64>, Error> {
        if !self.store.lock()? {
            return Ok(None);
        }
        let holder = self.settings.build.clone();
        let server_now = self.server_now(now);
        let raise = |tx: &Tx<'_>, _| tx.raise_generation(&holder, server_now);
        // The lock is held now, so that nothing but the disk is in the way.
        self.lease.not_before = now.mono_ms + FILE_RETRY_MS;
        self.on_file(now, raise).map(Some)
    }

    fn note_why_it_waits(&mut self, why: &str) {
        if self.lease.wanted && !self.is_logged_out() {
            self.session.error = Some(why.to_owned());
            self.lease.why = Some(why.to_owned());
        }
    }

    /// What people were told of it holds no longer.
    pub(super) fn forget_why_it_waits(&mut self) {
        let why = self.lease.why.take();
        if why.is_some() && self.session.error == why {
            self.session.error = None;
        }
    }

    /// Another engine has raised the generation, whatever the lock says: nothing that the server
    /// says to this one counts any more. All that it was told so far is in the file.
    fn step_down(&mut self, now: Now, generation: u64) {
        tracing::info!(generation, "another engine syncs; this one waits");
        self.lease.generation = None;
        self.lease.not_before = now.mono_ms.saturating_add(FENCED_WAIT_MS);
        self.store.unlock();
        self.cursor_due = None;
        self.forget_token_wanted();
        if self.is_logging_out() {
            self.stay_logged_out();
        }
        if self.lease.wanted && !self.is_logged_out() {
            self.tell_that_it_waits(now, HELD_ELSEWHERE);
        } else if self.session.phase != Phase::Off {
            self.go_off(now, ConnectionCause::Success, "");
        }
    }

    fn tell_that_it_waits(&mut self, now: Now, why: &str) {
        self.go_off(now, ConnectionCause::LoginInterrupted, why);
        self.note_why_it_waits(why);
    }

    /// Takes in what others wrote since this was done last.
    pub(super) fn take_in(&mut self, now: Now) -> Result<(), Error> {
        let doubts = self.store.doubts();
        if self.lease.doubts != doubts {
            // What a commit without a known end left is read as if others had written it.
            self.lease.doubts = doubts;
            self.lease.seen = None;
        }
        let version = self.store.data_version()?;
        if self.lease.seen == Some(version) && !self.lease.behind {
            return Ok(());
        }
        let told = self.lease.told;
        let server_now = self.server_now(now);
        let boot = &self.settings.boot;
        let read = |tx: &Tx<'_>| Found::read(tx, told, boot, (now, server_now));
        let found = self.store.look(read)?;
        self.lease.seen = Some(found.version);
        self.lease.behind = found.more;
        self.lease.to_send = true;
        self.changed = true;
        self.house_was_used(now);
        self.due = found.due;
        let generation = self.lease.generation;
        if generation.is_some_and(|generation| generation != found.generation) {
            self.step_down(now, found.generation);
        }
        if let Some(device) = found.device {
            self.store.set_device(device);
        }
        if !self.is_syncing() {
            self.session.epoch = found.feed.cursor.epoch;
            self.take_in_clock(found.clock);
        }
        self.tell_others(found.events, now);
        Ok(())
    }

    /// The one that syncs knows the server's time; one that waits has only what is in the file.
    fn take_in_clock(&mut self, (clock, notes): (ServerClock, ClockNotes)) {
        if notes.differ_from(&self.clock_notes) {
            (self.clock, self.clock_notes) = (clock, notes);
        }
    }

    /// Tells what others journaled, as if it happened now. What rang no more when this engine looked
    /// is not to ring; its end is told.
    fn tell_others(&mut self, events: Vec<Event>, now: Now) {
        let server_now = self.server_now(now);
        let mut told = Vec::new();
        for Event { position, kind } in events {
            let Some(position) = position else {
                continue;
            };
            self.lease.told = self.lease.told.max(position);
            if self.lease.is_news(&kind, self.store.user()) {
                told.extend(effect_of_others(position, kind, server_now));
            }
        }
        self.tell(told);
    }

    /// What a transaction of this core has to tell, once it is committed.
    pub(super) fn tell_own(&mut self, told: Vec<Effect>) {
        if self.lease.behind {
            // It stands in the journal behind what is to be told before it.
            return;
        }
        let last = told.iter().filter_map(Effect::position).max();
        self.lease.told = self.lease.told.max(last.unwrap_or(0));
        self.tell(told);
    }

    /// One transaction, on a file of which all that others wrote is taken in. `work` learns whether
    /// this engine is the one that syncs: that cannot change before the commit.
    pub(super) fn on_file<T>(
        &mut self,
        now: Now,
        work: impl FnOnce(&Tx<'_>, bool) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut work = Some(work);
        for _ in 0..RACES_MAX {
            self.take_in(now)?;
            let (seen, syncing) = (self.lease.seen, self.is_syncing());
            let done = self.store.transact(|tx| {
                if Some(tx.data_version()?) != seen {
                    return Ok(None);
                }
                work.take().map(|work| work(tx, syncing)).transpose()
            })?;
            if let Some(value) = done {
                return Ok(value);
            }
        }
        let message = "others write to the file without a pause; try again";
        Err(Error::new(Code::InUse, "busy", message))
    }

    /// The same, of what only the engine that syncs may do.
    pub(super) fn on_file_synced<T>(
        &mut self,
        now: Now,
        work: impl FnOnce(&Tx<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.on_file(now, |tx, syncing| {
            must_sync(syncing).and_then(|()| work(tx))
        })
    }

    /// That it was fenced costs an engine its connection, which was told, and is no failure.
    pub(super) fn unless_fenced(&self, done: Result<(), Error>) -> Result<(), Error> {
        if self.is_syncing() { done } else { Ok(()) }
    }
}

/// Refuses what an engine that waits may not write.
pub(super) fn must_sync(syncing: bool) -> Result<(), Error> {
    if syncing {
        return Ok(());
    }
    Err(Error::new(Code::InUse, "fenced", HELD_ELSEWHERE))
}

fn effect_of_others(position: u64, kind: EventKind, now: Millis) -> Option<Effect> {
    let event = match kind {
        EventKind::CommandSettled(settled) => {
            return Some(Effect::Settled { position, settled });
        }
        EventKind::Call(mut event) => {
            if let CallEvent::Received {
                deadline,
                remaining,
                ..
            } = &mut event
            {
                *remaining = deadline.saturating_sub(now);
            }
            EventKind::Call(event)
        }
        EventKind::DatabaseSetAside(aside) => EventKind::DatabaseSetAside(aside),
        EventKind::ConnectionStateChanged(_) | EventKind::TokenWillExpire { .. } => return None,
    };
    Some(Effect::Event {
        position: Some(position),
        event,
    })
}

impl Effect {
    /// Whether a deadline caused it that this device watches itself.
    pub(super) fn is_of_own_time(&self) -> bool {
        match self {
            Self::Settled { settled, .. } => is_expired(settled),
            Self::Event { event, .. } => match event {
                EventKind::Call(CallEvent::Timeout { local, .. }) => *local,
                EventKind::CommandSettled(settled) => is_expired(settled),
                EventKind::Call(_)
                | EventKind::ConnectionStateChanged(_)
                | EventKind::TokenWillExpire { .. }
                | EventKind::DatabaseSetAside(_) => false,
            },
            Self::Link(_)
            | Self::TokenRenewed(_)
            | Self::TokenWanted { .. }
            | Self::TokenNotWanted { .. }
            | Self::LoggedOut => false,
        }
    }

    fn position(&self) -> Option<u64> {
        match self {
            Self::Settled { position, .. } => Some(*position),
            Self::Event { position, .. } => *position,
            Self::Link(_)
            | Self::TokenRenewed(_)
            | Self::TokenWanted { .. }
            | Self::TokenNotWanted { .. }
            | Self::LoggedOut => None,
        }
    }
}

fn is_expired(settled: &CommandSettled) -> bool {
    matches!(&settled.result, Err(error) if error.code == Code::Expired)
}
