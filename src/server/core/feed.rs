//! What changed, sent to whom it concerns.
//!
//! Each user has one feed, in which every call stands at its last change. A device that has said
//! hello is sent what is open to it, then the feed from where it was, then what changes as it
//! changes. It has a window: of frames with records only so many wait to be written to its
//! connection. Whoever reads more slowly is not waited for and loses nothing: the feed is read from
//! the store again when there is room.

use std::collections::BTreeMap;

use super::hello::cursor;
use super::session::{Device, Phase};
use super::work::Work;
use super::{ConnId, State};
use crate::call::{Call, CallId, UserId};
use crate::protocol::{Feed, Lane, ToDevice, codec};
use crate::server::store::StoreResult;

/// Most records of one frame.
pub const FEED_CALLS_MAX: usize = 200;
/// Most bytes of one frame's records, unless a single one is larger.
pub const FEED_BYTES_MAX: usize = 192 * 1024;
/// No more records are sent to a connection while this many frames wait to be written.
pub const FEED_WINDOW_FRAMES: usize = 8;
/// Most records that one step reads for devices that catch up; the rest is for the next, at once.
/// Whatever comes in meanwhile waits for that long.
const RECORDS_PER_STEP: usize = 400;
/// What reading an empty batch costs of that, so that it is not free.
const BATCH_COST: usize = 10;

/// A frame's records while it is filled.
#[derive(Default)]
struct Batch {
    calls: Vec<Call>,
    bytes: usize,
}

impl Batch {
    /// Adds a record; false if the frame would be too large with it.
    fn add(&mut self, call: Call) -> bool {
        let bytes = codec::encoded_len(&call).unwrap_or(FEED_BYTES_MAX);
        let full = self.calls.len() >= FEED_CALLS_MAX || self.bytes + bytes > FEED_BYTES_MAX;
        if full && !self.calls.is_empty() {
            return false;
        }
        self.bytes += bytes;
        self.calls.push(call);
        true
    }
}

impl State {
    /// Puts what changed into the feeds, and sends what there is room for.
    pub(super) fn feed(&mut self, work: &mut Work<'_>) -> StoreResult<()> {
        let mut news: BTreeMap<UserId, Vec<(u64, CallId)>> = BTreeMap::new();
        for (id, users) in work.take_changed() {
            for (user, seq) in work.write()?.append_feed(&id, &users)? {
                if self.users.contains_key(&user) {
                    news.entry(user).or_default().push((seq, id.clone()));
                }
            }
            if let Some(call) = work.record_to_send(&id)? {
                self.look_at_absent_again(&call, work.now);
            }
        }
        for (user, entries) in news {
            self.send_live(work, &user, &entries)?;
        }
        let mut budget = RECORDS_PER_STEP;
        for conn in self.opening.clone() {
            self.open(work, conn, &mut budget)?;
        }
        // What a step has to tell is not to wait for the reading of histories. They come with the
        // next step, at once; whatever that one has to tell, they do not wait twice.
        self.history_waits = !self.history_waits && !work.effects.is_empty();
        if self.history_waits {
            return Ok(());
        }
        // Round and round, so that one long history does not keep the others waiting.
        let (before, after): (Vec<ConnId>, Vec<ConnId>) = self
            .catching_up
            .iter()
            .partition(|conn| **conn <= self.last_pumped);
        for conn in after.into_iter().chain(before) {
            if budget == 0 {
                break;
            }
            self.last_pumped = conn;
            self.catch_up(work, conn, &mut budget)?;
        }
        Ok(())
    }

    /// Sends what changed in this step to a user's devices that have all that came before.
    fn send_live(
        &mut self,
        work: &mut Work<'_>,
        user: &UserId,
        entries: &[(u64, CallId)],
    ) -> StoreResult<()> {
        let Some(here) = self.users.get(user) else {
            return Ok(());
        };
        let conns: Vec<ConnId> = here.devices.values().copied().collect();
        for conn in conns {
            let Some(session) = self.sessions.get(&conn) else {
                continue;
            };
            work.keep(conn, session);
            let mut left = entries;
            while !left.is_empty() && self.is_live_with_room(conn) {
                left = self.send_live_batch(work, conn, user, left)?;
            }
            if !left.is_empty()
                && let Some(device) = self.device_mut(conn)
                && device.phase == Phase::Live
            {
                device.phase = Phase::Behind;
            }
        }
        Ok(())
    }

    fn is_live_with_room(&self, conn: ConnId) -> bool {
        self.sessions.get(&conn).is_some_and(|session| {
            session.queued < FEED_WINDOW_FRAMES
                && session
                    .device
                    .as_ref()
                    .is_some_and(|device| device.phase == Phase::Live)
        })
    }

    /// One frame of what changed; gives what it has no room for.
    fn send_live_batch<'e>(
        &mut self,
        work: &mut Work<'_>,
        conn: ConnId,
        user: &UserId,
        entries: &'e [(u64, CallId)],
    ) -> StoreResult<&'e [(u64, CallId)]> {
        let mut batch = Batch::default();
        let mut left = entries;
        let mut position = None;
        while let Some(((seq, id), rest)) = left.split_first() {
            if let Some(call) = work.record_to_send(id)?
                && work.told.get(&(conn, id.clone())) != Some(&call.revision)
                && !batch.add(call.seen_by(user))
            {
                break;
            }
            position = Some(*seq);
            left = rest;
        }
        if let Some(position) = position {
            self.send_feed(work, conn, Lane::Live, Some(position), false, batch);
        }
        Ok(left)
    }

    /// Sends a device what is open to it, as far as there is room.
    fn open(&mut self, work: &mut Work<'_>, conn: ConnId, budget: &mut usize) -> StoreResult<()> {
        if let Some(session) = self.sessions.get(&conn) {
            work.keep(conn, session);
        }
        let is_open = |device: &Device| matches!(device.phase, Phase::Open(_));
        while *budget > 0 && self.has_room(conn) && self.device(conn).is_some_and(is_open) {
            let read = self.send_open(work, conn)?;
            *budget = budget.saturating_sub(read.max(BATCH_COST));
        }
        self.resume_reading(conn);
        Ok(())
    }

    /// Sends a device what it has not had yet, as far as there is room.
    fn catch_up(
        &mut self,
        work: &mut Work<'_>,
        conn: ConnId,
        budget: &mut usize,
    ) -> StoreResult<()> {
        if let Some(session) = self.sessions.get(&conn) {
            work.keep(conn, session);
        }
        while *budget > 0 && self.has_room(conn) {
            let Some(device) = self.device(conn) else {
                break;
            };
            let read = match device.phase {
                Phase::History => self.send_history(work, conn, Lane::History)?,
                Phase::Behind => self.send_history(work, conn, Lane::Live)?,
                Phase::Open(_) | Phase::Live => break,
            };
            *budget = budget.saturating_sub(read.max(BATCH_COST));
        }
        self.resume_reading(conn);
        Ok(())
    }

    /// Whether there is room for another frame of records.
    fn has_room(&self, conn: ConnId) -> bool {
        self.sessions
            .get(&conn)
            .is_some_and(|session| session.queued < FEED_WINDOW_FRAMES)
    }

    /// Puts a connection among those that are read for, or takes it out.
    pub(super) fn resume_reading(&mut self, conn: ConnId) {
        self.opening.remove(&conn);
        self.catching_up.remove(&conn);
        if !self.has_room(conn) {
            return;
        }
        match self.device(conn).map(|device| &device.phase) {
            Some(Phase::Open(_)) => {
                self.opening.insert(conn);
            }
            Some(phase) if phase.is_reading() => {
                self.catching_up.insert(conn);
            }
            Some(Phase::Live | Phase::History | Phase::Behind) | None => {}
        }
    }

    /// One frame of what is open to the device; gives how many records were read.
    fn send_open(&mut self, work: &mut Work<'_>, conn: ConnId) -> StoreResult<usize> {
        let mut batch = Batch::default();
        let mut read = 0;
        let Some(device) = self.device_mut(conn) else {
            return Ok(0);
        };
        let user = device.row.user.clone();
        let Phase::Open(calls) = &mut device.phase else {
            return Ok(0);
        };
        while let Some(id) = calls.pop_front() {
            read += 1;
            let call = work.record_to_send(&id)?;
            let call = call.filter(|call| call.member(&user).is_some());
            if let Some(call) = call
                && !batch.add(call.seen_by(&user))
            {
                calls.push_front(id);
                break;
            }
        }
        let last = calls.is_empty();
        if last {
            device.phase = Phase::History;
        }
        self.send_feed(work, conn, Lane::Open, None, last, batch);
        Ok(read)
    }

    /// One frame of the feed as the store has it; gives how many records were read.
    fn send_history(
        &mut self,
        work: &mut Work<'_>,
        conn: ConnId,
        lane: Lane,
    ) -> StoreResult<usize> {
        let Some(device) = self.device(conn) else {
            return Ok(0);
        };
        let (user, mut position) = (device.row.user.clone(), device.position);
        let entries = work.read()?.feed_after(&user, position, FEED_CALLS_MAX)?;
        let mut is_all = entries.len() < FEED_CALLS_MAX;
        let mut batch = Batch::default();
        let mut read = 0;
        for (seq, id) in entries {
            read += 1;
            if let Some(call) = work.record_to_send(&id)?
                && !batch.add(call.seen_by(&user))
            {
                is_all = false;
                break;
            }
            position = seq;
        }
        if is_all {
            // Whoever has all that is left has missed nothing of what was removed.
            position = position.max(work.read()?.trimmed(&user)?);
        }
        let is_history = lane == Lane::History;
        if is_all && let Some(device) = self.device_mut(conn) {
            device.phase = Phase::Live;
        }
        if is_history || !batch.calls.is_empty() {
            let last = is_history && is_all;
            self.send_feed(work, conn, lane, Some(position), last, batch);
        }
        Ok(read)
    }

    fn send_feed(
        &mut self,
        work: &mut Work<'_>,
        conn: ConnId,
        lane: Lane,
        position: Option<u64>,
        last: bool,
        batch: Batch,
    ) {
        let epoch = self.epoch;
        let Some(device) = self.device_mut(conn) else {
            return;
        };
        if let Some(position) = position {
            device.position = position;
        }
        let frame = Feed {
            lane,
            cursor: position.map(|seq| cursor(epoch, seq)),
            settled: device.verdict_sent,
            last,
            calls: batch.calls,
        };
        self.send(work, conn, ToDevice::Feed(frame));
    }
}
