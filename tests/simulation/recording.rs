//! The server's store, with a note taken of all that it commits.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use offhook::call::{Call, CallId, DeviceId, Millis, UserId};
use offhook::protocol::{Capabilities, Cursor};
use offhook::server::store::{
    DeviceKey, DeviceRow, KeptVerdict, Removed, Store, StoreResult, Transaction,
};

use super::observe::{Change, LastOfServer, Stored};

/// What was committed, for the world to take.
#[derive(Clone, Default)]
pub struct Notes(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    count: u64,
    committed: Vec<Stored>,
    doubted: Option<Vec<Change>>,
    calls: BTreeSet<CallId>,
    devices: BTreeSet<(UserId, DeviceId)>,
}

impl Notes {
    /// What was committed since the last look. The server's time is for the caller to fill in.
    pub fn take(&self) -> Vec<Stored> {
        std::mem::take(&mut self.lock().committed)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was written to a commit whose end was not heard, and not asked for since. A copy of
    /// the file may have it as well.
    pub fn doubted(&self) -> Option<Vec<Change>> {
        self.lock().doubted.clone()
    }

    /// The file is a copy now, which was made when this was doubted.
    pub fn put_back(&self, doubted: Option<Vec<Change>>) {
        self.lock().doubted = doubted;
    }

    fn commit(&self, changes: Vec<Change>, doubted: bool) {
        let mut inner = self.lock();
        for change in &changes {
            match change {
                Change::Call { after, .. } => {
                    inner.calls.insert(after.id.clone());
                }
                Change::Device(row) => {
                    inner.devices.insert((row.user.clone(), row.device.clone()));
                }
                Change::Verdict { .. }
                | Change::Forgot { .. }
                | Change::Fed { .. }
                | Change::Epoch(_)
                | Change::Clock(_) => {}
            }
        }
        if changes.is_empty() {
            return;
        }
        inner.count += 1;
        let number = inner.count;
        inner.committed.push(Stored {
            number,
            server_ms: 0,
            changes,
            doubted,
        });
    }

    /// Reads all that the store has of what was ever put into it.
    pub fn read_all(&self, store: &mut dyn Store) -> StoreResult<LastOfServer> {
        let (calls, devices) = {
            let inner = self.lock();
            (inner.calls.clone(), inner.devices.clone())
        };
        let mut transaction = store.begin()?;
        let mut last = LastOfServer {
            server_ms: 0,
            calls: BTreeMap::new(),
            devices: Vec::new(),
            verdicts: Vec::new(),
        };
        for id in calls {
            if let Some(call) = transaction.call(&id)? {
                last.calls.insert(id, call);
            }
        }
        for (user, device) in devices {
            last.devices.extend(transaction.device(&user, &device)?);
            for verdict in transaction.verdicts_from(&user, &device, 0, usize::MAX >> 1)? {
                last.verdicts.push((user.clone(), device.clone(), verdict));
            }
        }
        Ok(last)
    }
}

/// The store.
pub struct Recording<S> {
    inner: S,
    notes: Notes,
}

impl<S: Store> Recording<S> {
    pub fn new(inner: S, notes: Notes) -> Self {
        Self { inner, notes }
    }
}

impl<S: Store> Store for Recording<S> {
    fn begin(&mut self) -> StoreResult<Box<dyn Transaction + '_>> {
        let mut inner = self.inner.begin()?;
        let doubted = self.notes.lock().doubted.take();
        if let Some(changes) = doubted {
            match has_kept(inner.as_mut(), &changes) {
                Ok(true) => self.notes.commit(changes, true),
                Ok(false) => {}
                Err(error) => {
                    self.notes.lock().doubted = Some(changes);
                    return Err(error);
                }
            }
        }
        Ok(Box::new(RecordingTransaction {
            inner,
            notes: self.notes.clone(),
            changes: Vec::new(),
        }))
    }
}

/// Whether a transaction whose end was not heard is in the store.
fn has_kept(transaction: &mut dyn Transaction, changes: &[Change]) -> StoreResult<bool> {
    // What tells most surely is asked, and of what was written twice the last.
    for how_sure in [verdict_is_kept, call_is_kept, device_is_kept, rest_is_kept] {
        for change in changes.iter().rev() {
            if let Some(kept) = how_sure(transaction, change)? {
                return Ok(kept);
            }
        }
    }
    Ok(false)
}

fn verdict_is_kept(store: &mut dyn Transaction, change: &Change) -> StoreResult<Option<bool>> {
    let Change::Verdict {
        user,
        device,
        verdict,
    } = change
    else {
        return Ok(None);
    };
    let kept = store.verdict(user, device, verdict.number)?;
    Ok(Some(kept.as_ref() == Some(&**verdict)))
}

fn call_is_kept(store: &mut dyn Transaction, change: &Change) -> StoreResult<Option<bool>> {
    let Change::Call { after, .. } = change else {
        return Ok(None);
    };
    Ok(Some(store.call(&after.id)?.as_ref() == Some(&**after)))
}

fn device_is_kept(store: &mut dyn Transaction, change: &Change) -> StoreResult<Option<bool>> {
    let Change::Device(row) = change else {
        return Ok(None);
    };
    let kept = store.device(&row.user, &row.device)?;
    Ok(Some(kept.as_ref() == Some(&**row)))
}

fn rest_is_kept(store: &mut dyn Transaction, change: &Change) -> StoreResult<Option<bool>> {
    match change {
        Change::Epoch(epoch) => store
            .knows_cursor(Cursor {
                epoch: *epoch,
                seq: 0,
            })
            .map(Some),
        Change::Clock(now) => store.clock().map(|stored| Some(stored >= *now)),
        Change::Call { .. }
        | Change::Verdict { .. }
        | Change::Device(_)
        | Change::Forgot { .. }
        | Change::Fed { .. } => Ok(None),
    }
}

struct RecordingTransaction<'a> {
    inner: Box<dyn Transaction + 'a>,
    notes: Notes,
    changes: Vec<Change>,
}

impl Transaction for RecordingTransaction<'_> {
    fn clock(&mut self) -> StoreResult<Millis> {
        self.inner.clock()
    }

    fn set_clock(&mut self, now: Millis) -> StoreResult<()> {
        self.changes.push(Change::Clock(now));
        self.inner.set_clock(now)
    }

    fn begin_epoch(&mut self, epoch: u64) -> StoreResult<()> {
        self.changes.push(Change::Epoch(epoch));
        self.inner.begin_epoch(epoch)
    }

    fn knows_cursor(&mut self, cursor: Cursor) -> StoreResult<bool> {
        self.inner.knows_cursor(cursor)
    }

    fn call(&mut self, id: &CallId) -> StoreResult<Option<Call>> {
        self.inner.call(id)
    }

    fn put_call(&mut self, before: Option<&Call>, after: &Call) -> StoreResult<()> {
        self.changes.push(Change::Call {
            before: before.cloned().map(Box::new),
            after: Box::new(after.clone()),
        });
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

    fn due(&mut self, now: Millis, limit: usize) -> StoreResult<Vec<CallId>> {
        self.inner.due(now, limit)
    }

    fn next_due(&mut self) -> StoreResult<Option<Millis>> {
        self.inner.next_due()
    }

    fn users_in_calls(&mut self, after: Option<&UserId>, limit: usize) -> StoreResult<Vec<UserId>> {
        self.inner.users_in_calls(after, limit)
    }

    fn append_feed(
        &mut self,
        call: &CallId,
        users: &BTreeSet<UserId>,
    ) -> StoreResult<Vec<(UserId, u64)>> {
        let numbers = self.inner.append_feed(call, users)?;
        self.changes.push(Change::Fed {
            call: call.clone(),
            users: numbers.clone(),
        });
        Ok(numbers)
    }

    fn feed_after(
        &mut self,
        user: &UserId,
        seq: u64,
        limit: usize,
    ) -> StoreResult<Vec<(u64, CallId)>> {
        self.inner.feed_after(user, seq, limit)
    }

    fn device(&mut self, user: &UserId, device: &DeviceId) -> StoreResult<Option<DeviceRow>> {
        self.inner.device(user, device)
    }

    fn put_device(&mut self, row: &DeviceRow) -> StoreResult<()> {
        self.changes.push(Change::Device(Box::new(row.clone())));
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

    fn verdict(
        &mut self,
        user: &UserId,
        device: &DeviceId,
        number: u64,
    ) -> StoreResult<Option<KeptVerdict>> {
        self.inner.verdict(user, device, number)
    }

    fn put_verdict(
        &mut self,
        user: &UserId,
        device: &DeviceId,
        verdict: &KeptVerdict,
    ) -> StoreResult<()> {
        self.changes.push(Change::Verdict {
            user: user.clone(),
            device: device.clone(),
            verdict: Box::new(verdict.clone()),
        });
        self.inner.put_verdict(user, device, verdict)
    }

    fn verdicts_from(
        &mut self,
        user: &UserId,
        device: &DeviceId,
        number: u64,
        limit: usize,
    ) -> StoreResult<Vec<KeptVerdict>> {
        self.inner.verdicts_from(user, device, number, limit)
    }

    fn forget_verdicts(&mut self, user: &UserId, device: &DeviceId, up_to: u64) -> StoreResult<()> {
        self.changes.push(Change::Forgot {
            user: user.clone(),
            device: device.clone(),
            up_to,
        });
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
        let Self {
            inner,
            notes,
            changes,
        } = *self;
        match inner.commit() {
            Ok(()) => {
                notes.commit(changes, false);
                Ok(())
            }
            Err(error) => {
                // Also where the store says that nothing is kept: whether that is so, is asked.
                if !changes.is_empty() {
                    notes.lock().doubted = Some(changes);
                }
                Err(error)
            }
        }
    }
}
