//! A server's store whose commits fail when they are told to.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use offhook::call::{Call, CallId, DeviceId, Millis, UserId};
use offhook::protocol::{Capabilities, Cursor};
use offhook::server::store::sqlite::SqliteStore;
use offhook::server::store::{
    DeviceKey, DeviceRow, KeptVerdict, Removed, Store, StoreError, StoreResult, Transaction,
};

/// Whether commits fail.
#[derive(Clone, Default)]
pub struct Fault(Arc<AtomicBool>);

impl Fault {
    pub fn set(&self, fails: bool) {
        self.0.store(fails, Ordering::Relaxed);
    }
}

pub struct Faulty {
    pub store: SqliteStore,
    pub fault: Fault,
}

impl Store for Faulty {
    fn begin(&mut self) -> StoreResult<Box<dyn Transaction + '_>> {
        Ok(Box::new(FaultyTransaction {
            inner: self.store.begin()?,
            fault: self.fault.clone(),
        }))
    }
}

struct FaultyTransaction<'s> {
    inner: Box<dyn Transaction + 's>,
    fault: Fault,
}

macro_rules! pass_on {
    ($(fn $name:ident($($argument:ident: $type:ty),*) -> $result:ty;)+) => {
        $(fn $name(&mut self $(, $argument: $type)*) -> StoreResult<$result> {
            self.inner.$name($($argument),*)
        })+
    };
}

impl Transaction for FaultyTransaction<'_> {
    pass_on! {
        fn clock() -> Millis;
        fn set_clock(now: Millis) -> ();
        fn begin_epoch(epoch: u64) -> ();
        fn knows_cursor(cursor: Cursor) -> bool;
        fn call(id: &CallId) -> Option<Call>;
        fn put_call(before: Option<&Call>, after: &Call) -> ();
        fn open_calls_of(user: &UserId, limit: usize) -> Vec<CallId>;
        fn call_of(user: &UserId, except: &CallId) -> Option<CallId>;
        fn ring_of(inviter: &UserId, invitee: &UserId) -> Option<CallId>;
        fn due(now: Millis, limit: usize) -> Vec<CallId>;
        fn next_due() -> Option<Millis>;
        fn users_in_calls(after: Option<&UserId>, limit: usize) -> Vec<UserId>;
        fn append_feed(call: &CallId, users: &BTreeSet<UserId>) -> Vec<(UserId, u64)>;
        fn feed_after(user: &UserId, seq: u64, limit: usize) -> Vec<(u64, CallId)>;
        fn device(user: &UserId, device: &DeviceId) -> Option<DeviceRow>;
        fn put_device(row: &DeviceRow) -> ();
        fn user_capabilities(user: &UserId) -> Option<Capabilities>;
        fn put_user(user: &UserId, capabilities: Capabilities, now: Millis) -> ();
        fn verdict(user: &UserId, device: &DeviceId, number: u64) -> Option<KeptVerdict>;
        fn put_verdict(user: &UserId, device: &DeviceId, verdict: &KeptVerdict) -> ();
        fn verdicts_from(user: &UserId, device: &DeviceId, number: u64, limit: usize) -> Vec<KeptVerdict>;
        fn forget_verdicts(user: &UserId, device: &DeviceId, up_to: u64) -> ();
        fn remove_ended(after: u64, ended_before: Millis, limit: usize) -> Removed<u64>;
        fn trimmed(user: &UserId) -> u64;
        fn remove_devices(after: Option<&DeviceKey>, hello_before: Millis, limit: usize) -> Removed<DeviceKey>;
    }

    fn commit(self: Box<Self>) -> StoreResult<()> {
        if self.fault.0.load(Ordering::Relaxed) {
            return Err(StoreError::Full("no room".to_owned()));
        }
        self.inner.commit()
    }
}
