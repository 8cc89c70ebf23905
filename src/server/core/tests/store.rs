//! A store that fails when it is told to, and what the core makes of that.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use super::*;
use crate::call::Millis;
use crate::server::store::sqlite::SqliteStore;
use crate::server::store::{
    DeviceKey, DeviceRow, KeptVerdict, Removed, Store, StoreError, StoreResult, Transaction,
};

/// The error that the next commits end with.
#[derive(Clone, Default)]
pub(super) struct Fault(Arc<Mutex<Option<StoreError>>>);

impl Fault {
    pub(super) fn set(&self, error: Option<StoreError>) {
        *self.0.lock().unwrap() = error;
    }
}

pub(super) struct Faulty {
    store: SqliteStore,
    fault: Fault,
}

impl Faulty {
    pub(super) fn new(store: SqliteStore, fault: Fault) -> Self {
        Self { store, fault }
    }
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
    ($(fn $name:ident(&mut self $(, $argument:ident: $type:ty)*) -> $result:ty;)+) => {
        $(fn $name(&mut self $(, $argument: $type)*) -> StoreResult<$result> {
            self.inner.$name($($argument),*)
        })+
    };
}

impl Transaction for FaultyTransaction<'_> {
    pass_on! {
        fn clock(&mut self) -> Millis;
        fn set_clock(&mut self, now: Millis) -> ();
        fn begin_epoch(&mut self, epoch: u64) -> ();
        fn knows_cursor(&mut self, cursor: Cursor) -> bool;
        fn call(&mut self, id: &CallId) -> Option<Call>;
        fn put_call(&mut self, before: Option<&Call>, after: &Call) -> ();
        fn open_calls_of(&mut self, user: &UserId, limit: usize) -> Vec<CallId>;
        fn call_of(&mut self, user: &UserId, except: &CallId) -> Option<CallId>;
        fn ring_of(&mut self, inviter: &UserId, invitee: &UserId) -> Option<CallId>;
        fn due(&mut self, now: Millis, limit: usize) -> Vec<CallId>;
        fn next_due(&mut self) -> Option<Millis>;
        fn users_in_calls(&mut self, after: Option<&UserId>, limit: usize) -> Vec<UserId>;
        fn append_feed(&mut self, call: &CallId, users: &BTreeSet<UserId>) -> Vec<(UserId, u64)>;
        fn feed_after(&mut self, user: &UserId, seq: u64, limit: usize) -> Vec<(u64, CallId)>;
        fn device(&mut self, user: &UserId, device: &DeviceId) -> Option<DeviceRow>;
        fn put_device(&mut self, row: &DeviceRow) -> ();
        fn user_capabilities(&mut self, user: &UserId) -> Option<Capabilities>;
        fn put_user(&mut self, user: &UserId, capabilities: Capabilities, now: Millis) -> ();
        fn verdict(&mut self, user: &UserId, device: &DeviceId, number: u64) -> Option<KeptVerdict>;
        fn put_verdict(&mut self, user: &UserId, device: &DeviceId, verdict: &KeptVerdict) -> ();
        fn verdicts_from(
            &mut self,
            user: &UserId,
            device: &DeviceId,
            number: u64,
            limit: usize
        ) -> Vec<KeptVerdict>;
        fn forget_verdicts(&mut self, user: &UserId, device: &DeviceId, up_to: u64) -> ();
        fn remove_ended(&mut self, after: u64, ended_before: Millis, limit: usize) -> Removed<u64>;
        fn trimmed(&mut self, user: &UserId) -> u64;
        fn remove_devices(&mut self, after: Option<&DeviceKey>, hello_before: Millis, limit: usize) -> Removed<DeviceKey>;
    }

    fn commit(self: Box<Self>) -> StoreResult<()> {
        let fault = self.fault.0.lock().unwrap().clone();
        match fault {
            None => self.inner.commit(),
            Some(error) => Err(error),
        }
    }
}

#[test]
fn nothing_of_a_failed_step_is_told_and_commands_are_asked_for_again() {
    let (mut world, (a, mut alice), (b, _)) = two();
    world
        .fault
        .set(Some(StoreError::Full("no room".to_owned())));
    let command = alice.command("c1", invite(&["bob"], 60, Mode::General));
    world.frame(a, command.clone());
    match world.next(a) {
        Told::Frame(ToDevice::Retry(retry)) => {
            assert_eq!(retry.number, 1);
            assert_eq!(retry.error.code, Code::ServerOverloaded);
        }
        other => panic!("{other:?}"),
    }
    world.nothing(a);
    world.nothing(b);
    // What comes behind it waits for it.
    let later = alice.command("c1", cancel());
    world.frame(a, later.clone());
    world.nothing(a);

    world.fault.set(None);
    world.frame(a, later.clone());
    world.nothing(a);
    world.frame(a, command);
    assert!(world.verdict(a).result.is_ok());
    assert_eq!(world.live(b).id, CallId::trusted("c1"));
    world.take(a);
    world.frame(a, later);
    assert!(world.verdict(a).result.is_ok());
}

#[test]
fn a_hello_in_a_failed_step_is_refused_and_leaves_nothing_behind() {
    let (mut world, (a, mut alice), _) = two();
    let old = alice.clone();
    world
        .fault
        .set(Some(StoreError::Full("no room".to_owned())));
    let conn = world.hello(&alice);
    assert_eq!(world.refused(conn), Code::ServerOverloaded);
    world.nothing(a); // not replaced
    world.fault.set(None);
    assert_eq!(alice.welcome_token, old.welcome_token);
    world.log_in(&mut alice);
    assert_eq!(world.closed(a), Some(ClosingReason::Replaced));
}

#[test]
fn a_commit_whose_end_was_not_heard_ends_everything_without_a_word() {
    let (mut world, (a, mut alice), (b, _)) = two();
    world
        .fault
        .set(Some(StoreError::Unknown("sync failed".to_owned())));
    let command = alice.command("c1", invite(&["bob"], 60, Mode::General));
    world.step(vec![Input::Frame {
        conn: a,
        frame: command,
    }]);
    assert_eq!(world.closed(a), None);
    assert_eq!(world.closed(b), None);
    assert!(matches!(world.halted, Some(StoreError::Unknown(_))));
    assert!(world.core.as_ref().unwrap().is_halted());
    world.open();
    world.nothing(ConnId(world.conns));
}

#[test]
fn frames_that_were_written_during_a_failed_step_are_not_forgotten() {
    let (mut world, (a, mut alice), (b, _)) = two();
    world.slow.insert(b);
    world.ring((a, &mut alice), "c1", "bob", Mode::General);
    world
        .fault
        .set(Some(StoreError::Full("no room".to_owned())));
    let seen = crate::protocol::Seen {
        calls: vec![CallId::trusted("c1")],
    };
    let command = alice.command("c1", cancel());
    world.step(vec![
        Input::Frame {
            conn: b,
            frame: ToServer::Ping(Ping { sent_at: 0 }),
        },
        Input::Frame {
            conn: a,
            frame: command,
        },
        Input::Written { conn: b, frames: 1 },
    ]);
    let core = world.core.as_ref().unwrap();
    assert_eq!(core.state.sessions.get(&b).unwrap().queued, 0);
    drop(seen);
}

#[test]
fn an_absence_that_a_failed_step_had_ended_is_not_forgotten() {
    let (mut world, (a, mut alice), (b, _)) = two();
    let command = invite(&["bob"], 600, Mode::General);
    world.command(a, &mut alice, "c1", command);
    world.close(a);
    world.pass_awake(30_000, &[b]);
    world
        .fault
        .set(Some(StoreError::Full("no room".to_owned())));
    world.mono += 5_000;
    world.step(Vec::new());
    assert!(world.stored("c1").is_started());
    world.fault.set(None);
    world.pass_awake(36_000, &[b]);
    assert!(
        !world.stored("c1").is_started(),
        "counted anew, and then ended"
    );
}

#[test]
fn a_deadline_that_a_failed_step_had_done_is_done_again_without_anybody_asking() {
    let (mut world, (a, mut alice), (b, _)) = two();
    world.command(a, &mut alice, "c1", invite(&["bob"], 60, Mode::Advanced));
    world.pass_awake(59_000, &[a, b]);
    world
        .fault
        .set(Some(StoreError::Full("no room".to_owned())));
    world.mono += 1_500;
    world.step(Vec::new());
    world.fault.set(None);
    assert_ne!(world.state_of("c1", "bob"), UserState::Timeout);
    world.mono += 1_000;
    world.step(Vec::new());
    assert_eq!(world.state_of("c1", "bob"), UserState::Timeout);
}
