//! The server killed, and started again only after the deadline of an invitation has passed.

use std::time::Duration;

use offhook::call::EndKind;
use offhook::{Code, Mode, UserState};

use crate::actor::{Give, Item};
use crate::check;
use crate::stage::{Stage, Step, block_on};

const TIMEOUT_S: u32 = 2;

/// What has happened when the server is killed, each with what comes before it.
const STEPS: [Step; 5] = [
    Step::Gives(
        "alice",
        Give::Invite {
            whom: &["bob"],
            mode: Mode::General,
            timeout_s: TIMEOUT_S,
        },
    ),
    Step::Settles("alice"),
    Step::Hears("bob", Item::Rung),
    Step::Hears("alice", Item::State("bob", UserState::Received)),
    // Nobody but bob's own timer says so, if the server was killed just before.
    Step::Hears("bob", Item::TimedOut),
];

/// Kills the server after so many of the steps; brings it back when the invitation is over.
async fn stage_killed_after(steps: usize) -> Stage {
    let mut stage = Stage::new(&["alice", "bob"]).await;
    for step in STEPS.iter().take(steps) {
        stage.does(*step).await;
    }
    stage.world.kill();
    // Whatever the server took, it took before now.
    tokio::time::sleep(Duration::from_secs(TIMEOUT_S.into())).await;
    stage
}

/// One call that ran out, known to both; alice heard so, bob was rung at most once and has missed
/// it.
async fn has_timed_out(mut stage: Stage, rang_for_certain: bool) {
    let timed_out = Item::State("bob", UserState::Timeout);
    stage.actor("alice").hears(timed_out).await;
    let record = check::converged(&stage.actors, 1).await.remove(0);
    assert_eq!(record.ending.expect("over").kind, EndKind::Completed);
    assert_eq!(record.members[1].state, UserState::Timeout);
    for actor in &mut stage.actors {
        actor.has_heard_all().await;
        actor.has_heard_all().await;
    }
    let alice = stage.actor("alice").heard();
    let times = alice.iter().filter(|item| **item == timed_out).count();
    assert_eq!(times, 1, "{alice:?}");
    let bob = stage.actor("bob");
    let mut heard = bob.heard();
    heard.retain(|item| *item != Item::State("bob", UserState::Received));
    if rang_for_certain || !heard.is_empty() {
        assert_eq!(heard, [Item::Rung, Item::TimedOut]);
    }
    assert_eq!(bob.device.engine.status().await.unwrap().missed, 1);
}

#[test]
fn passed_after_the_invite_was_given_it_is_expired_or_its_call_has_timed_out() {
    block_on(async {
        let mut stage = stage_killed_after(1).await;
        stage.comes_back().await;
        match stage.actor("alice").verdict().await {
            Ok(()) => has_timed_out(stage, false).await,
            Err(error) => {
                assert_eq!(error.code, Code::Expired, "{error}");
                for actor in &mut stage.actors {
                    actor.has_heard_all().await;
                    actor.has_heard_all().await;
                    assert!(actor.records().is_empty());
                    assert!(actor.heard().is_empty());
                }
            }
        }
    });
}

#[test]
fn passed_after_the_invite_was_acknowledged_the_call_has_timed_out() {
    block_on(async {
        let mut stage = stage_killed_after(2).await;
        stage.comes_back().await;
        has_timed_out(stage, false).await;
    });
}

#[test]
fn passed_after_the_ring_the_call_has_timed_out() {
    for steps in [3, 4] {
        block_on(async {
            let mut stage = stage_killed_after(steps).await;
            // Its own timer stops the ring, while nobody is there to say so.
            stage.does(STEPS[4]).await;
            stage.comes_back().await;
            has_timed_out(stage, true).await;
        });
    }
}

#[test]
fn passed_before_the_kill_the_call_has_timed_out() {
    block_on(async {
        let mut stage = stage_killed_after(5).await;
        stage.comes_back().await;
        has_timed_out(stage, true).await;
    });
}

/// An answer given while the server is down, and after which the deadline passes before it is back.
#[test]
fn an_answer_that_could_not_be_sent_in_time_expires_and_the_call_was_missed() {
    block_on(async {
        let mut stage = Stage::new(&["alice", "bob"]).await;
        for step in &STEPS[..4] {
            stage.does(*step).await;
        }
        stage.world.kill();
        // Without a network it is not even sent into the void.
        let bob = stage.actor("bob").device.engine.clone();
        bob.set_network(false).await.unwrap();
        stage.does(Step::Gives("bob", Give::Accept)).await;
        let expired = stage.actor("bob").verdict().await.unwrap_err();
        assert_eq!(expired.code, Code::Expired, "{expired}");
        stage.does(STEPS[4]).await;
        stage.comes_back().await;
        bob.set_network(true).await.unwrap();
        has_timed_out(stage, true).await;
    });
}

/// Sent again when the server is back, and judged there by the server's clock.
#[test]
fn an_answer_that_was_sent_to_nobody_is_too_late_when_it_comes() {
    block_on(async {
        let mut stage = Stage::new(&["alice", "bob"]).await;
        for step in &STEPS[..4] {
            stage.does(*step).await;
        }
        stage.world.kill();
        // It believes to be connected and sends it.
        stage.does(Step::Gives("bob", Give::Accept)).await;
        tokio::time::sleep(Duration::from_secs(TIMEOUT_S.into())).await;
        stage.comes_back().await;
        let refused = stage.actor("bob").verdict().await.unwrap_err();
        let too_late = [Code::CallOver, Code::Expired];
        assert!(too_late.contains(&refused.code), "{refused}");
        stage.does(STEPS[4]).await;
        has_timed_out(stage, true).await;
    });
}
