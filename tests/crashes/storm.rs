//! The server killed at any moment while many commands are in flight.

use std::collections::BTreeSet;
use std::time::Duration;

use offhook::call::EndKind;
use offhook::{
    CallId, Cancelled, Code, CommandHandle, CommandOptions, Engine, InviteOptions, Invited,
    UserState,
};

use crate::actor::{Actor, Item};
use crate::check;
use crate::stage::{Stage, block_on};
use crate::support::SOON;

const CALLEE: &str = "zoe";
/// Each caller rings so often in a round, and thinks better of it each time.
const CALLS_A_ROUND: usize = 10;
const ROUNDS: usize = 12;
const KILLS_A_ROUND: usize = 2;
/// How long the server lives at most before it is killed: while most of the commands come in.
const KILL_WITHIN_MS: u64 = 40;

struct Pair {
    invite: CommandHandle<Invited>,
    cancel: CommandHandle<Cancelled>,
}

/// The moments of the kills come from here, so that a run can be done again.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (mixed ^ (mixed >> 27)) % bound
    }
}

/// Without waiting for a verdict, so that commands are on their way whenever the server is killed.
async fn rings_and_thinks_better_of_it(engine: &Engine) -> Pair {
    let invite = engine.call_invite(&[CALLEE], InviteOptions::default());
    let invite = invite.await.expect("on disk");
    let options = CommandOptions::default();
    let cancel = engine.call_cancel(&[], invite.call_id(), options);
    let cancel = cancel.await.expect("on disk");
    Pair { invite, cancel }
}

/// Gives the calls that the server took. A cancel covers an invite that was not sent yet, so it is
/// never refused.
async fn verdicts(pairs: Vec<Pair>) -> BTreeSet<CallId> {
    let mut taken = BTreeSet::new();
    for Pair { invite, cancel } in pairs {
        let both = async { (invite.await, cancel.await) };
        let (invited, cancelled) = tokio::time::timeout(SOON, both).await.expect("verdicts");
        let cancelled = cancelled.expect("never refused");
        match invited {
            Ok(invited) => {
                assert_eq!(invited.call_id, cancelled.call_id);
                assert!(taken.insert(invited.call_id), "taken twice");
            }
            Err(error) => assert_eq!(error.code, Code::Withdrawn, "{error}"),
        }
    }
    taken
}

/// Callers give their commands, each in a thread of its own, while the server is killed.
fn round(stage: &mut Stage, random: &mut Random) -> BTreeSet<CallId> {
    let Stage { world, actors, .. } = stage;
    let engines: Vec<Engine> = actors.iter().map(|one| one.device.engine.clone()).collect();
    let pairs = std::thread::scope(|scope| {
        let (_callee, callers) = engines.split_last().expect("devices");
        let callers: Vec<_> = callers
            .iter()
            .map(|engine| {
                scope.spawn(|| {
                    block_on(async {
                        let mut pairs = Vec::new();
                        for _ in 0..CALLS_A_ROUND {
                            pairs.push(rings_and_thinks_better_of_it(engine).await);
                        }
                        pairs
                    })
                })
            })
            .collect();
        for _ in 0..KILLS_A_ROUND {
            std::thread::sleep(Duration::from_millis(random.below(KILL_WITHIN_MS)));
            world.kill();
            world.start();
            for actor in &*actors {
                block_on(actor.reconnects());
            }
        }
        let given = callers
            .into_iter()
            .map(|caller| caller.join().expect("given"));
        given.flatten().collect()
    });
    block_on(verdicts(pairs))
}

#[test]
fn with_commands_in_flight_each_has_its_verdict_and_its_effect_once() {
    let devices = ["alice", "bob", "carol", "dave", CALLEE];
    let mut stage = block_on(Stage::new(&devices));
    let mut random = Random(20);
    let mut taken = BTreeSet::new();
    for _ in 0..ROUNDS {
        taken.extend(round(&mut stage, &mut random));
    }
    assert!(!taken.is_empty(), "every invite was withdrawn");
    block_on(holds_exactly(stage, taken));
}

/// The callee's list has every call that there is, each made and cancelled once.
async fn holds_exactly(mut stage: Stage, taken: BTreeSet<CallId>) {
    let callee = stage.actors.pop().expect("the callee");
    let records = check::converged(std::slice::from_ref(&callee), taken.len()).await;
    let ids: BTreeSet<CallId> = callee.records().into_iter().map(|call| call.id).collect();
    assert_eq!(ids, taken);
    for record in records {
        let ending = record.ending.as_ref().expect("over");
        assert_eq!(ending.kind, EndKind::Cancelled);
        assert_eq!(record.members[1].state, UserState::Cancelled);
        assert_eq!(record.members[1].invitation, 1);
        // Made, perhaps received, cancelled.
        assert!((2..=3).contains(&record.revision), "{record:?}");
    }
    every_ring_was_closed_once(callee).await;
    let mut own = 0;
    for mut caller in stage.actors {
        caller.has_heard_all().await;
        let records = caller.records();
        own += records.len();
        assert!(records.iter().all(|call| taken.contains(&call.id)));
    }
    assert_eq!(own, taken.len(), "each call is in its caller's list");
}

async fn every_ring_was_closed_once(mut callee: Actor) {
    callee.has_heard_all().await;
    callee.has_heard_all().await;
    let mut rings = BTreeSet::new();
    let mut rung = BTreeSet::new();
    for (call, item) in callee.heard_of() {
        match item {
            Item::Rung => assert!(rung.insert(call.clone()) && rings.insert(call)),
            Item::Cancelled => assert!(rings.remove(&call), "{call} closed without a ring"),
            Item::State(user, state) => {
                assert_eq!((user, state), (CALLEE, UserState::Received));
            }
            other => panic!("{call}: {other:?}"),
        }
    }
    assert!(rings.is_empty(), "these still ring: {rings:?}");
}
