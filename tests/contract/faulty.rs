//! Stores that are each wrong in one way, to show that the contract finds it out.

use std::cell::RefCell;
use std::collections::BTreeSet;

use offhook::call::{Call, CallId, DeviceId, Millis, UserId};
use offhook::protocol::{Capabilities, Cursor};
use offhook::server::store::{
    DeviceKey, DeviceRow, KeptVerdict, Removed, Store, StoreResult, Transaction,
};

use crate::sqlite;
use crate::suite::Home;

/// What is wrong with a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The verdict of command 3 is gone once the store is opened again.
    ForgetsAVerdict,
    /// Every third change of a call never shows in its first user's feed.
    LosesAFeedEntry,
    /// A call that was due is due once more although it is settled.
    FiresTwice,
}

/// A home whose store is wrong in that way.
pub fn homes(fault: Fault) -> Box<dyn Home> {
    Box::new(FaultyHome {
        inner: sqlite::homes(),
        fault,
        openings: RefCell::new(0),
    })
}

struct FaultyHome {
    inner: Box<dyn Home>,
    fault: Fault,
    openings: RefCell<u32>,
}

impl Home for FaultyHome {
    fn open(&self) -> StoreResult<Box<dyn Store>> {
        *self.openings.borrow_mut() += 1;
        Ok(Box::new(FaultyStore {
            inner: self.inner.open()?,
            fault: self.fault,
            memory: Memory {
                opened_again: *self.openings.borrow() > 1,
                ..Memory::default()
            },
        }))
    }
}

/// What the fault needs to know of what went before.
#[derive(Default)]
struct Memory {
    opened_again: bool,
    appended: u32,
    lost: Vec<(UserId, u64)>,
    fired: Vec<CallId>,
}

struct FaultyStore {
    inner: Box<dyn Store>,
    fault: Fault,
    memory: Memory,
}

impl Store for FaultyStore {
    fn begin(&mut self) -> StoreResult<Box<dyn Transaction + '_>> {
        Ok(Box::new(FaultyTransaction {
            inner: self.inner.begin()?,
            fault: self.fault,
            memory: &mut self.memory,
        }))
    }
}

struct FaultyTransaction<'a> {
    inner: Box<dyn Transaction + 'a>,
    fault: Fault,
    memory: &'a mut Memory,
}

impl FaultyTransaction<'_> {
    fn has_forgotten(&self, number: u64) -> bool {
        self.fault == Fault::ForgetsAVerdict && self.memory.opened_again && number == 3
    }
}

impl Transaction for FaultyTransaction<'_> {
    fn due(&mut self, now: Millis, limit: usize) -> StoreResult<Vec<CallId>> {
        let mut due = self.inner.due(now, limit)?;
        if self.fault == Fault::FiresTwice {
            let ever = self.inner.due(Millis::MAX, usize::MAX)?;
            let fired = std::mem::replace(&mut self.memory.fired, due.clone());
            due.extend(fired.into_iter().filter(|call| !ever.contains(call)));
        }
        Ok(due)
    }

    fn append_feed(
        &mut self,
        call: &CallId,
        users: &BTreeSet<UserId>,
    ) -> StoreResult<Vec<(UserId, u64)>> {
        let given = self.inner.append_feed(call, users)?;
        self.memory.appended += 1;
        if self.fault == Fault::LosesAFeedEntry && self.memory.appended.is_multiple_of(3) {
            self.memory.lost.extend(given.first().cloned());
        }
        Ok(given)
    }

    fn feed_after(
        &mut self,
        user: &UserId,
        seq: u64,
        limit: usize,
    ) -> StoreResult<Vec<(u64, CallId)>> {
        let mut feed = self.inner.feed_after(user, seq, limit)?;
        let lost = &self.memory.lost;
        feed.retain(|(seq, _)| !lost.contains(&(user.clone(), *seq)));
        Ok(feed)
    }

    fn verdict(
        &mut self,
        user: &UserId,
        device: &DeviceId,
        number: u64,
    ) -> StoreResult<Option<KeptVerdict>> {
        if self.has_forgotten(number) {
            return Ok(None);
        }
        self.inner.verdict(user, device, number)
    }

    fn verdicts_from(
        &mut self,
        user: &UserId,
        device: &DeviceId,
        number: u64,
        limit: usize,
    ) -> StoreResult<Vec<KeptVerdict>> {
        let mut verdicts = self.inner.verdicts_from(user, device, number, limit)?;
        verdicts.retain(|verdict| !self.has_forgotten(verdict.number));
        Ok(verdicts)
    }

    // From here on nothing is wrong.

    fn clock(&mut self) -> StoreResult<Millis> {
        self.inner.clock()
    }

    fn set_clock(&mut self, now: Millis) -> StoreResult<()> {
        self.inner.set_clock(now)
    }

    fn begin_epoch(&mut self, epoch: u64) -> StoreResult<()> {
        self.inner.begin_epoch(epoch)
    }

    fn knows_cursor(&mut self, cursor: Cursor) -> StoreResult<bool> {
        self.inner.knows_cursor(cursor)
    }

    fn call(&mut self, id: &CallId) -> StoreResult<Option<Call>> {
        self.inner.call(id)
    }

    fn put_call(&mut self, before: Option<&Call>, after: &Call) -> StoreResult<()> {
        self.inner.put_call(before, after)
    }

    fn open_calls_of(&mut self, user: &UserId, limit: usize) -> StoreResult<Vec<CallId>> {
        self.inner.open_calls_of(user, limit)
    }

    fn call_of(&mut self, user: &UserId, except: &CallId) -> StoreResult<Option<CallId>> {
        self.inner.call_of(user, except)
    }

    fn ring_of(&mut self, inviter: &UserId, invitee: &UserId) -> StoreResult<Option<CallId>> {
        self.inner.ring_of(inviter, invitee)
    }

    fn next_due(&mut self) -> StoreResult<Option<Millis>> {
        self.inner.next_due()
    }

    fn users_in_calls(&mut self, after: Option<&UserId>, limit: usize) -> StoreResult<Vec<UserId>> {
        self.inner.users_in_calls(after, limit)
    }

    fn device(&mut self, user: &UserId, device: &DeviceId) -> StoreResult<Option<DeviceRow>> {
        self.inner.device(user, device)
    }

    fn put_device(&mut self, row: &DeviceRow) -> StoreResult<()> {
        self.inner.put_device(row)
    }

    fn user_capabilities(&mut self, user: &UserId) -> StoreResult<Option<Capabilities>> {
        self.inner.user_capabilities(user)
    }

    fn put_user(
        &mut self,
        user: &UserId,
        capabilities: Capabilities,
        now: Millis,
    ) -> StoreResult<()> {
        self.inner.put_user(user, capabilities, now)
    }

    fn put_verdict(
        &mut self,
        user: &UserId,
        device: &DeviceId,
        verdict: &KeptVerdict,
    ) -> StoreResult<()> {
        self.inner.put_verdict(user, device, verdict)
    }

    fn forget_verdicts(&mut self, user: &UserId, device: &DeviceId, up_to: u64) -> StoreResult<()> {
        self.inner.forget_verdicts(user, device, up_to)
    }

    fn remove_ended(
        &mut self,
        after: u64,
        ended_before: Millis,
        limit: usize,
    ) -> StoreResult<Removed<u64>> {
        self.inner.remove_ended(after, ended_before, limit)
    }

    fn trimmed(&mut self, user: &UserId) -> StoreResult<u64> {
        self.inner.trimmed(user)
    }

    fn remove_devices(
        &mut self,
        after: Option<&DeviceKey>,
        hello_before: Millis,
        limit: usize,
    ) -> StoreResult<Removed<DeviceKey>> {
        self.inner.remove_devices(after, hello_before, limit)
    }

    fn commit(self: Box<Self>) -> StoreResult<()> {
        self.inner.commit()
    }
}
