//! What rings, and what is said to.

use offhook::server::push::PushKind;
use offhook::{Command, Mode, PushConfig, UserState};

use crate::commands::{accept, cancel, end, id, invite, invite_for, invite_with_push, reject};
use crate::support::{self, general};
use crate::world::{DAY, HOUR, MINUTE, World};

#[test]
fn rings_after_the_caller_cancelled_minutes_or_hours_later() {
    for away in [2 * MINUTE, 5 * HOUR] {
        let mut world = World::new();
        world.devices(&["alice", "bob", "carol"]);
        // Bob's phone shows one call when it loses its network, and never hears of another; a push
        // of each is on its way for as long.
        let long = |invitees: &[&str]| {
            let mut command = invite_for(invitees, Mode::General, 600);
            if let Command::Invite { push, .. } = &mut command {
                *push = Some(PushConfig::default());
            }
            command
        };
        world.does("alice1", "o1", "shown", long(&["bob"]));
        world.cut("bob1");
        world.does("carol1", "o1", "unheard", long(&["bob"]));
        world.does("alice1", "o2", "shown", cancel(&[]));
        world.does("carol1", "o2", "unheard", cancel(&[]));
        world.forget_all();
        world.suspend("bob1");
        world.pass(away);
        world.phone_mut("bob1").network = true;
        world.wake("bob1");
        world.back("bob1");
        world.pass(1_000);
        let heard = world.heard("bob1");
        let closing = if away > 10 * MINUTE {
            "timeout shown local"
        } else {
            "cancelled shown"
        };
        assert_eq!(heard, [closing], "after {away} ms");
        for push in std::mem::take(&mut world.pushes) {
            let payload = push.payload().to_string();
            let taken = world.act("bob1", |core, now| core.handle_push(now, &payload));
            assert!(!taken.unwrap().ring, "{payload}");
        }
        assert_eq!(world.ringing("bob1"), []);
        assert_eq!(world.heard("bob1"), [""; 0]);
        assert_eq!(world.missed("bob1"), 2);
    }
}

#[tokio::test]
async fn keeps_ringing_on_the_other_device_after_an_answer_or_a_decline() {
    let mut world = support::World::new();
    let mut alice = world.device("alice", "alice").await;
    let (mut phone, mut tablet) = world.two_devices("bob").await;
    for accepts in [true, false] {
        let call = alice.rings(general(), &mut [&mut phone, &mut tablet]).await;
        let answer = if accepts {
            phone.accept(&call).await
        } else {
            phone.reject(&call).await
        };
        answer.unwrap();
        tablet.hears_of(&call, "callHandledElsewhere").await;
        assert_eq!(tablet.engine.ringing().await.unwrap(), []);
        assert_eq!(phone.engine.ringing().await.unwrap(), []);
    }
    // And one that had no network at that moment stops when it is back.
    let call = alice.rings(general(), &mut [&mut phone, &mut tablet]).await;
    tablet.engine.set_network(false).await.unwrap();
    phone.reject(&call).await.unwrap();
    assert_eq!(tablet.engine.ringing().await.unwrap().len(), 1);
    tablet.engine.set_network(true).await.unwrap();
    tablet.hears_of(&call, "callHandledElsewhere").await;
    assert_eq!(tablet.engine.ringing().await.unwrap(), []);
    tablet.heard_since();
    world.heard(&mut [(&mut tablet, "")]).await;
}

#[test]
fn keeps_ringing_on_the_other_device_also_when_what_followed_the_answer_came_with_it() {
    let mut world = World::new();
    world.devices(&["alice", "bob"]);
    world.device("bob", "bob2");
    world.rings("alice1", "c1", &["bob", "carol"], Mode::Advanced);
    world.cut("bob1");
    world.does("bob2", "o1", "c1", accept());
    world.does("bob2", "o2", "c1", crate::commands::quit());
    world.back("bob1");
    world.pass(1_000);
    assert_eq!(world.heard("bob1"), ["elsewhere c1 accepted bob2"]);
    assert_eq!(world.ringing("bob1"), []);
}

#[test]
fn a_skewed_clock_drops_or_prolongs_the_ring() {
    for skew in [DAY, -DAY, 37 * MINUTE, -37 * MINUTE] {
        for by_push in [false, true] {
            let mut world = World::new();
            world.add("bob", "bob1");
            world.phone_mut("bob1").skew = skew;
            world.start("bob1");
            world.devices(&["alice"]);
            world.forget_all();
            if by_push {
                // The app is started by the push, and has no connection yet.
                world.cut("bob1");
                world.crash("bob1");
                world.does("alice1", "o1", "c1", invite_with_push(&["bob"]));
                world.start("bob1");
                let payload = world.pushes.remove(0).payload().to_string();
                let taken = world.act("bob1", |core, now| core.handle_push(now, &payload));
                assert!(taken.unwrap().ring, "{skew}");
            } else {
                world.does("alice1", "o1", "c1", invite(&["bob"], Mode::General));
                world.cut("bob1");
            }
            assert_eq!(world.heard("bob1"), ["received c1"], "{skew}");
            world.pass(89_999);
            assert_eq!(world.ringing("bob1"), [id("c1")], "{skew} {by_push}");
            assert_eq!(world.heard("bob1"), [""; 0], "{skew} {by_push}");
            world.pass(1);
            assert_eq!(
                world.heard("bob1"),
                ["timeout c1 local"],
                "{skew} {by_push}"
            );
        }
    }
}

#[tokio::test]
async fn missed_call_not_recorded_or_answered_elsewhere_recorded_as_missed() {
    let world = support::World::new();
    let [mut alice, mut carol] = world.devices(["alice", "carol"]).await;
    let (phone, mut tablet) = world.two_devices("bob").await;
    let config = phone.closed().await;
    let mut missed = Vec::new();
    let mut handled = Vec::new();
    for answer in ["cancelled", "timeout", "accepted", "rejected"] {
        let options = support::brief(Mode::General, if answer == "timeout" { 1 } else { 60 });
        let call = alice.rings(options, &mut [&mut tablet]).await;
        match answer {
            "cancelled" => drop(alice.cancel(&[], &call).await.unwrap()),
            "timeout" => alice.sees(&call, "bob", UserState::Timeout).await,
            "accepted" => drop(tablet.accept(&call).await.unwrap()),
            _ => drop(tablet.reject(&call).await.unwrap()),
        }
        let list = if ["cancelled", "timeout"].contains(&answer) {
            &mut missed
        } else {
            &mut handled
        };
        list.push(call);
    }
    // Still pending when the call was ended by somebody else.
    let call = carol.rings(support::advanced(), &mut [&mut tablet]).await;
    carol.end(&call).await.unwrap();
    missed.push(call);
    let mut phone = support::Device::open(config);
    for device in [&mut phone, &mut tablet] {
        for call in &missed {
            device
                .lists(call, |entry| !entry.call.is_started() && entry.missed)
                .await;
        }
        for call in &handled {
            device
                .lists(call, |entry| !entry.call.is_started() && !entry.missed)
                .await;
        }
        assert_eq!(device.engine.status().await.unwrap().missed, 3);
    }
    assert_eq!(phone.heard_since(), []);
}

#[test]
fn push_and_connection_ring_twice() {
    // The push is handed to the app before, between and after every word of the connection.
    for when in 0..8 {
        let mut world = World::new();
        world.devices(&["alice", "bob"]);
        world.cut("bob1");
        world.does("alice1", "o1", "c1", invite_with_push(&["bob"]));
        world.forget_all();
        let pushes = std::mem::take(&mut world.pushes);
        assert_eq!(pushes[0].kind, PushKind::Invite);
        let payload = pushes[0].payload().to_string();
        world.phone_mut("bob1").down_held = true;
        while world.carry_one_down("bob1") {}
        world.back("bob1");
        for step in 0..8 {
            if step == when {
                let taken = world.act("bob1", |core, now| core.handle_push(now, &payload));
                taken.unwrap();
            }
            world.carry_one_down("bob1");
            world.settle();
        }
        world.phone_mut("bob1").down_held = false;
        world.pass(5_000);
        assert_eq!(
            world.heard("bob1"),
            ["received c1"],
            "the push came at {when}"
        );
        world.does("bob1", "o2", "c1", accept());
        assert_eq!(world.heard("bob1")[0], "verdict o2 ok");
        assert_eq!(world.ringing("bob1"), []);
    }
}

#[test]
fn cancel_of_an_offline_invitees_call_never_reaches_them() {
    // By connection, hours later or at once; and by push to a phone that a push had made ring.
    for away in [1_000, 3 * HOUR] {
        let mut world = World::new();
        world.devices(&["alice", "bob"]);
        world.does(
            "alice1",
            "o1",
            "c1",
            invite_for(&["bob"], Mode::General, 600),
        );
        world.cut("bob1");
        world.does("alice1", "o2", "c1", cancel(&[]));
        world.forget_all();
        world.pass(away);
        world.back("bob1");
        world.pass(1_000);
        let heard = world.heard("bob1");
        assert_eq!(heard.len(), 1, "{heard:?}");
        assert_eq!(world.state("bob1", "c1", "bob"), UserState::Cancelled);
        assert_eq!(world.ringing("bob1"), []);
        assert!(world.entry("bob1", "c1").unwrap().missed);
    }
    let mut world = World::new();
    world.devices(&["alice", "bob"]);
    world.cut("bob1");
    world.does("alice1", "o1", "c1", invite_with_push(&["bob"]));
    world.does("alice1", "o2", "c1", cancel(&[]));
    world.forget_all();
    let pushes = std::mem::take(&mut world.pushes);
    assert_eq!(pushes.len(), 2);
    for push in &pushes {
        let payload = push.payload().to_string();
        world
            .act("bob1", |core, now| core.handle_push(now, &payload))
            .unwrap();
    }
    assert_eq!(world.heard("bob1"), ["received c1", "cancelled c1"]);
}

#[test]
fn rejecting_one_offline_call_rejects_the_next_ones() {
    let mut world = World::new();
    world.devices(&["alice", "bob", "carol", "dora"]);
    world.rings("alice1", "c1", &["bob", "dora"], Mode::Advanced);
    world.does("dora1", "a", "c1", accept());
    world.offline("bob1");
    world.forget_all();
    world.give("bob1", "o1", "c1", reject()).unwrap();
    // Meanwhile another call, and the same one again: the first asking was taken back.
    world.does("carol1", "o1", "c2", invite(&["bob"], Mode::General));
    world.does("alice1", "o2", "c1", cancel(&["bob"]));
    world.does("alice1", "o3", "c1", crate::commands::more(&["bob"]));
    world.online("bob1");
    world.pass(1_000);
    let heard = world.heard("bob1");
    assert!(
        heard
            .iter()
            .any(|one| one.starts_with("verdict o1 CallOver")),
        "{heard:?}"
    );
    let mut ringing = world.ringing("bob1");
    ringing.sort();
    assert_eq!(ringing, [id("c1"), id("c2")]);
    for (name, call) in [("alice1", "c1"), ("carol1", "c2")] {
        assert_eq!(world.state(name, call, "bob"), UserState::Received);
    }
    world.does("bob1", "o2", "c2", accept());
    assert_eq!(world.state("carol1", "c2", "bob"), UserState::Accepted);
}

#[test]
fn the_caller_hears_ringing_while_nothing_rings() {
    // No device at all; one that is connected and cannot keep the invitation; one that was rung by a
    // connection that is dead by now.
    let mut world = World::new();
    world.devices(&["alice", "bob", "carol", "dora"]);
    world.crash("bob1");
    let file = world.phone("carol1").file.clone();
    crate::spoil::commits_fail(&file);
    world.phone_mut("dora1").down_held = true;
    let mut command = invite(&["bob", "carol", "dora"], Mode::Advanced);
    if let Command::Invite {
        not_received_check, ..
    } = &mut command
    {
        *not_received_check = true;
    }
    world.does("alice1", "o1", "c1", command);
    for name in ["bob", "carol", "dora"] {
        assert_eq!(world.state("alice1", "c1", name), UserState::Inviting);
    }
    world.pass(6_000);
    for name in ["bob", "carol", "dora"] {
        assert_eq!(world.state("alice1", "c1", name), UserState::NotYetReceived);
    }
    for name in ["bob1", "carol1", "dora1"] {
        assert_eq!(world.heard(name), [""; 0]);
    }
    // Whoever does ring is said to.
    crate::spoil::commits_succeed(&file);
    world.phone_mut("dora1").down_held = false;
    world.pass(31_000);
    for (name, device) in [("carol", "carol1"), ("dora", "dora1")] {
        assert_eq!(world.ringing(device), [id("c1")]);
        assert_eq!(world.state("alice1", "c1", name), UserState::Received);
    }
    assert_eq!(
        world.state("alice1", "c1", "bob"),
        UserState::NotYetReceived
    );
    world.does("alice1", "o2", "c1", end());
}

#[test]
fn duplicate_invite_after_a_retry() {
    // The reply is lost again and again, the app is started again in between, and so is the server.
    let mut world = World::new();
    world.devices(&["alice", "bob"]);
    world.phone_mut("alice1").down_held = true;
    world.does("alice1", "o1", "c1", invite(&["bob"], Mode::General));
    for round in 0..4 {
        match round % 3 {
            0 => {
                world.cut("alice1");
                world.back("alice1");
            }
            1 => {
                world.crash("alice1");
                world.start("alice1");
            }
            _ => {
                world.restart_server();
                world.pass(3_000);
            }
        }
        // Up and welcome get there.
        for _ in 0..3 {
            world.carry_one_down("alice1");
        }
        world.settle();
    }
    world.phone_mut("alice1").down_held = false;
    world.pass(5_000);
    let heard = world.heard("alice1");
    assert_eq!(
        heard
            .iter()
            .filter(|one| one.starts_with("verdict"))
            .count(),
        1,
        "{heard:?}"
    );
    assert_eq!(world.heard("bob1"), ["received c1"]);
    for name in ["alice1", "bob1"] {
        let page = world.page(name);
        assert_eq!(page.calls.len(), 1, "{name}");
        assert_eq!(page.calls[0].call.members[1].invitation, 1, "{name}");
    }
}
