//! The server killed at any moment while many commands are in flight.

use std::collections::BTreeSet;
use std::time::Duration;

use offhook::call::EndKind;
use offhook::{
    CallId, Cancelled, Code, CommandHandle, CommandOptions, InviteOptions, Invited, UserState,
};

use crate::actor::{Actor, Item};
use crate::check;
use crate::stage::{Stage, block_on};
use crate::support::SOON;

const CALLERS: [&str; 4] = ["alice", "bob", "carol", "dave"];
const CALLEE: &str = "zoe";
/// Each caller gives so many invites in a round, and after each its cancel: 40 commands.
const CALLS_A_ROUND: usize = 5;
const ROUNDS: u64 = 4;
const KILLS_A_ROUND: usize = 3;
/// Kills come at most so long one after another: about what the commands of a round take.
const KILL_WITHIN_MS: u64 = 60;

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

async fn rings_and_thinks_better_of_it(caller: &Actor) -> Pair {
    let engine = &caller.device.engine;
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

async fn round(stage: &mut Stage, random: &mut Random) -> BTreeSet<CallId> {
    let mut pairs = Vec::new();
    for _ in 0..CALLS_A_ROUND {
        for name in CALLERS {
            pairs.push(rings_and_thinks_better_of_it(stage.actor(name)).await);
        }
    }
    for _ in 0..KILLS_A_ROUND {
        tokio::time::sleep(Duration::from_millis(random.below(KILL_WITHIN_MS))).await;
        stage.world.kill();
        stage.comes_back().await;
    }
    verdicts(pairs).await
}

#[test]
fn with_forty_commands_in_flight_each_has_its_verdict_and_its_effect_once() {
    block_on(async {
        let mut stage = Stage::new(&["alice", "bob", "carol", "dave", CALLEE]).await;
        let mut random = Random(20);
        let mut taken = BTreeSet::new();
        for _ in 0..ROUNDS {
            taken.extend(round(&mut stage, &mut random).await);
        }
        assert!(!taken.is_empty(), "every invite was withdrawn");
        let callee = stage.actors.pop().expect("the callee");
        // The callee's list has every call that there is.
        let records = check::converged(std::slice::from_ref(&callee), taken.len()).await;
        let ids: BTreeSet<CallId> = callee.records().into_iter().map(|call| call.id).collect();
        assert_eq!(ids, taken);
        for record in records {
            assert_eq!(
                record.ending.as_ref().expect("over").kind,
                EndKind::Cancelled
            );
            assert_eq!(record.members[1].state, UserState::Cancelled);
            assert_eq!(record.members[1].invitation, 1);
            // Made, perhaps received, cancelled: each once.
            assert!((2..=3).contains(&record.revision), "{record:?}");
        }
        every_ring_was_closed_once(callee).await;
        for mut caller in stage.actors {
            caller.has_heard_all().await;
            let own: BTreeSet<CallId> = caller.records().into_iter().map(|call| call.id).collect();
            assert!(own.is_subset(&taken), "{}", caller.name);
        }
    });
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
