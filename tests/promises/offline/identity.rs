//! Point 9: a database that was copied, or set back, is noticed, and does nothing twice.

use std::fs;

use offhook::{Code, EventKind, Mode, UserState};

use crate::commands::{accept, end, invite, more};
use crate::support::{self, general};
use crate::world::{MINUTE, World};

/// Bob's file has a history, and a command that waits. It is closed.
fn bobs_file_with_something_pending() -> World {
    let mut world = World::new();
    world.devices(&["alice", "bob", "carol"]);
    world.rings("alice1", "c1", &["bob"], Mode::Advanced);
    world.does("bob1", "a", "c1", accept());
    world.offline("bob1");
    world.give("bob1", "o1", "c1", more(&["carol"])).unwrap();
    world.close("bob1");
    world.forget_all();
    world
}

fn copy(world: &mut World, from: &str, to: &str) {
    let (from, user) = (
        world.phone(from).file.clone(),
        world.phone(from).user.clone(),
    );
    world.add(&user, to);
    fs::copy(from, &world.phone(to).file).unwrap();
}

#[test]
fn point_9_of_two_copies_one_takes_a_new_identity_keeps_its_history_and_drops_what_was_pending() {
    let mut world = bobs_file_with_something_pending();
    copy(&mut world, "bob1", "copy");
    world.phone_mut("bob1").network = true;
    world.start("bob1");
    assert_eq!(world.heard("bob1")[0], "verdict o1 ok");
    assert_eq!(world.heard("carol1"), ["received c1"]);
    world.start("copy");
    world.pass(MINUTE / 2);
    assert_eq!(world.device_id("bob1"), "bob1");
    assert_ne!(world.device_id("copy"), "bob1", "a new identity");
    let heard = world.heard("copy");
    assert!(
        heard[0].starts_with("verdict o1 Dropped "),
        "it hears of it: {heard:?}"
    );
    assert_eq!(world.pending("copy"), []);
    assert_eq!(
        world.state("copy", "c1", "bob"),
        UserState::Accepted,
        "its history"
    );
    // No second effect.
    assert_eq!(world.heard("carol1"), [""; 0]);
    let carol = world.entry("copy", "c1").unwrap().call.members[2].clone();
    assert_eq!(carol.invitation, 1);
    // Both go on, each as a device of bob's.
    for (name, call) in [("copy", "c2"), ("bob1", "c3")] {
        world.does(
            name,
            &format!("new {call}"),
            call,
            invite(&["dora"], Mode::General),
        );
        let heard = world.heard(name);
        let verdict = format!("verdict new {call} ");
        assert!(
            heard.iter().any(|words| words.starts_with(&verdict)),
            "{heard:?}"
        );
    }
}

#[test]
fn point_9_a_copy_that_comes_first_costs_the_other_one_its_identity_and_nothing_happens_twice() {
    let mut world = bobs_file_with_something_pending();
    copy(&mut world, "bob1", "copy");
    world.start("copy");
    assert_eq!(world.heard("copy")[0], "verdict o1 ok");
    world.phone_mut("bob1").network = true;
    world.start("bob1");
    world.pass(MINUTE / 2);
    assert_ne!(world.device_id("bob1"), world.device_id("copy"));
    assert!(world.heard("bob1")[0].starts_with("verdict o1 Dropped "));
    assert_eq!(world.heard("carol1"), ["received c1"]);
    assert_eq!(
        world.entry("bob1", "c1").unwrap().call.members[2].invitation,
        1
    );
}

#[test]
fn point_9_a_file_that_was_set_back_is_noticed_and_what_it_had_sent_is_not_done_again() {
    let mut world = bobs_file_with_something_pending();
    copy(&mut world, "bob1", "backup");
    world.phone_mut("bob1").network = true;
    world.start("bob1");
    world.does("bob1", "o2", "c1", more(&["dora"]));
    world.does("alice1", "o3", "c1", end());
    world.does("bob1", "o4", "c2", invite(&["carol"], Mode::General));
    world.close("bob1");
    world.forget_all();
    fs::copy(&world.phone("backup").file, &world.phone("bob1").file).unwrap();
    world.start("bob1");
    world.pass(MINUTE / 2);
    assert_ne!(world.device_id("bob1"), "bob1");
    let heard = world.heard("bob1");
    assert!(heard[0].starts_with("verdict o1 Dropped "), "{heard:?}");
    for name in ["alice1", "carol1"] {
        assert_eq!(world.heard(name), [""; 0]);
    }
    // And it is brought up to date.
    assert!(world.is_over("bob1", "c1"));
    assert_eq!(world.entry("bob1", "c2").unwrap().call.members.len(), 2);
    world.does("bob1", "o5", "c3", invite(&["dora"], Mode::General));
    assert!(!world.heard("bob1").is_empty());
}

#[tokio::test]
async fn point_9_a_copied_file_in_a_second_engine_hears_that_its_commands_were_dropped() {
    let world = support::World::new();
    let [alice, mut bob] = world.devices(["alice", "bob"]).await;
    alice.engine.set_network(false).await.unwrap();
    let handle = alice.engine.call_invite(&["bob"], general()).await.unwrap();
    let (op, call) = (handle.op().clone(), handle.call_id().clone());
    let config = alice.closed().await;
    let mut second = config.clone();
    second.database = world.path("copy.db");
    fs::copy(&config.database, &second.database).unwrap();
    let mut alice = support::Device::open(config);
    alice.connected().await;
    bob.is_rung(&call).await;
    let mut copy = support::Device::open(second);
    copy.hears(|kind| match kind {
        EventKind::CommandSettled(settled) => {
            let dropped = settled
                .result
                .as_ref()
                .is_err_and(|error| error.code == Code::Dropped);
            settled.op == op && dropped
        }
        _ => false,
    })
    .await;
    copy.connected().await;
    assert_ne!(copy.id().await, alice.id().await);
    copy.lists(&call, |entry| entry.call.is_started()).await;
    let rings = bob.heard_since();
    let rings = rings
        .iter()
        .filter(|event| event.name() == "callInvitationReceived");
    assert_eq!(rings.count(), 1);
}
