//! Point 6: time. Rings end by the device's own timer and by the server's clock, whatever the wall
//! clocks say.

use offhook::{CallEvent, CallState, Mode, UserState};

use crate::commands::{accept, cancel, id, invite, reject};
use crate::support::{self, brief};
use crate::world::{BEGIN, DAY, HOUR, MINUTE, World};

const RUN_OUT: &str = "timeout c1 local";

/// Bob's device rings by c1; carol is in that call, so that it goes on.
fn ringing(bobs_skew: i64) -> World {
    let mut world = World::new();
    world.devices(&["alice", "carol"]);
    world.add("bob", "bob1");
    world.phone_mut("bob1").skew = bobs_skew;
    world.start("bob1");
    world.rings("alice1", "c1", &["bob", "carol"], Mode::Advanced);
    world.does("carol1", "c", "c1", accept());
    world.forget_all();
    world
}

#[test]
fn point_6_a_ring_stops_at_its_deadline_by_the_devices_own_timer_connection_or_not() {
    for connected in [true, false] {
        let mut world = ringing(0);
        if connected {
            // The server is late with its word.
            world.phone_mut("bob1").down_held = true;
        } else {
            world.cut("bob1");
        }
        world.pass(89_999);
        assert_eq!(world.heard("bob1"), [""; 0]);
        assert_eq!(world.ringing("bob1"), [id("c1")]);
        world.pass(1);
        assert_eq!(world.heard("bob1"), [RUN_OUT]);
        assert_eq!(world.ringing("bob1"), []);
    }
}

#[tokio::test]
async fn point_6_a_ring_of_a_device_without_a_network_stops_with_local_true() {
    let world = support::World::new();
    let [mut alice, mut bob] = world.devices(["alice", "bob"]).await;
    let call = alice.rings(brief(Mode::General, 2), &mut [&mut bob]).await;
    bob.engine.set_network(false).await.unwrap();
    let timeout = bob.hears_of(&call, "callInvitationTimeout").await;
    assert!(matches!(timeout, CallEvent::Timeout { local: true, .. }));
    assert_eq!(bob.engine.ringing().await.unwrap(), []);
    // The server's own word of it changes the record and closes nothing once more.
    alice.sees(&call, "bob", UserState::Timeout).await;
    bob.heard_since();
    bob.engine.set_network(true).await.unwrap();
    bob.lists(&call, |entry| entry.missed && !entry.call.is_started())
        .await;
    let mut carol = world.device("carol", "carol").await;
    carol.rings(support::general(), &mut [&mut bob]).await;
    let heard = bob.heard_since();
    assert!(
        heard.iter().all(|event| event.call_id() != &call),
        "{heard:#?}"
    );
}

#[test]
fn point_6_a_ring_goes_on_while_an_own_answer_is_on_its_way() {
    for answer in [accept(), reject()] {
        let mut world = ringing(0);
        world.device("dora", "dora1");
        world.rings("dora1", "c2", &["bob"], Mode::General);
        world.pass(80_000);
        world.phone_mut("bob1").down_held = true;
        world.does("bob1", "o1", "c1", answer);
        world.pass(19_000);
        assert_eq!(world.heard("bob1"), ["timeout c2 local"], "that one alone");
        world.phone_mut("bob1").down_held = false;
        world.pass(1_000);
        let heard = world.heard("bob1");
        assert_eq!(heard[0], "verdict o1 ok");
        assert!(
            !heard.iter().any(|words| words.starts_with("timeout")),
            "{heard:?}"
        );
    }
}

#[test]
fn point_6_a_suspended_app_stops_the_ring_on_waking() {
    let mut world = ringing(0);
    world.cut("bob1");
    world.suspend("bob1");
    world.pass(8 * HOUR);
    assert_eq!(
        world.ringing("bob1"),
        [],
        "who asks before it woke is not told either"
    );
    world.wake("bob1");
    assert_eq!(world.heard("bob1"), [RUN_OUT]);
}

#[test]
fn point_6_what_the_server_then_says_corrects_record_and_missed_mark_and_closes_nothing_twice() {
    let cases = [
        (None, UserState::Timeout, true),
        (
            Some(("alice1", cancel(&["bob"]))),
            UserState::Cancelled,
            true,
        ),
        (Some(("bob2", accept())), UserState::Accepted, false),
    ];
    for (meanwhile, state, missed) in cases {
        let mut world = ringing(0);
        world.device("bob", "bob2");
        world.cut("bob1");
        world.pass(60_000);
        if let Some((name, command)) = meanwhile {
            world.does(name, "x", "c1", command);
        }
        world.pass(30_000);
        assert_eq!(world.heard("bob1"), [RUN_OUT]);
        world.back("bob1");
        world.pass(1_000);
        assert_eq!(world.heard("bob1"), [""; 0], "{state}");
        assert_eq!(world.state("bob1", "c1", "bob"), state);
        assert_eq!(world.entry("bob1", "c1").unwrap().missed, missed, "{state}");
    }
}

#[test]
fn point_6_rings_run_by_server_time_estimated_over_the_connection() {
    for skew in [DAY, -DAY, 40 * MINUTE] {
        let mut world = ringing(skew);
        assert_eq!(world.estimate("bob1"), world.now());
        world.cut("bob1");
        world.pass(89_999);
        assert_eq!(world.heard("bob1"), [""; 0], "{skew}");
        world.pass(1);
        assert_eq!(world.heard("bob1"), [RUN_OUT], "{skew}");
    }
}

#[test]
fn point_6_a_round_trip_that_takes_long_puts_the_estimate_off_by_half_of_it_at_most() {
    let mut world = World::new();
    world.add("bob", "bob1");
    world.phone_mut("bob1").down_held = true;
    world.start("bob1");
    world.carry_one_down("bob1");
    world.settle();
    // The welcome was made then, and is heard now.
    world.pass(4_000);
    world.carry_one_down("bob1");
    let off = world.estimate("bob1") - world.now();
    assert!(off.abs() <= 2_000, "{off}");
}

#[test]
fn point_6_a_wall_clock_that_is_changed_by_a_day_changes_nothing_on_the_device() {
    for jump in [DAY, -DAY] {
        for offline in [false, true] {
            let mut world = ringing(0);
            if offline {
                world.offline("bob1");
            }
            // It rings, an invite waits and a quit waits: each for as long as it should.
            world.pass(10_000);
            world.phone_mut("bob1").skew += jump;
            assert_eq!(world.ringing("bob1"), [id("c1")], "{jump}");
            assert_eq!(world.estimate("bob1"), world.now());
            if offline {
                let waits = invite(&["dora"], Mode::General);
                world.give("bob1", "o1", "c2", waits).unwrap();
                world.pass(10_000);
                world.phone_mut("bob1").skew -= 2 * jump;
                world.pass(19_999);
                assert_eq!(world.heard("bob1"), [""; 0], "{jump}");
                world.pass(1);
                assert_eq!(
                    world.heard("bob1"),
                    ["verdict o1 Expired notSent"],
                    "{jump}"
                );
                world.pass(49_999);
            } else {
                world.phone_mut("bob1").down_held = true;
                world.pass(79_999);
            }
            assert_eq!(world.heard("bob1"), [""; 0], "{jump}");
            world.pass(1);
            assert_eq!(world.heard("bob1"), [RUN_OUT], "{jump}");
            world.phone_mut("bob1").down_held = false;
            world.online("bob1");
            world.pass(1_000);
            assert_eq!(world.state("bob1", "c1", "bob"), UserState::Timeout);
            let entry = world.entry("bob1", "c1").unwrap();
            assert_eq!(entry.call.create_time, BEGIN, "{jump}");
        }
    }
}

#[test]
fn point_6_the_servers_clock_does_not_go_back_while_it_runs_or_when_it_starts_again() {
    let mut world = World::new();
    world.devices(&["alice", "bob"]);
    world.pass(MINUTE);
    let mut last = world.server_time();
    // Whatever its wall clock says when it starts; and while it runs nobody asks that clock.
    for (n, skew) in [-DAY, HOUR, -HOUR, -30 * DAY, 0].into_iter().enumerate() {
        world.server_skew = skew;
        world.pass(1_000);
        assert!(world.server_time() >= last + 1_000, "{skew}: while it runs");
        let call = format!("c{n}");
        world.does(
            "alice1",
            &format!("o{n}"),
            &call,
            invite(&["bob"], Mode::General),
        );
        let made = world.entry("bob1", &call).unwrap().call.create_time;
        assert_eq!(made, world.server_time());
        world.restart_server();
        last = world.server_time();
        assert!(last > made, "{skew}: over a start");
        assert!(
            last >= world.now() + skew,
            "{skew}: no earlier than the wall clock"
        );
        // It is over by then, at the latest, so that the next can be made.
        world.pass(100_000);
        let over = world.entry("bob1", &call).unwrap().call.end_time();
        assert_eq!(over, made + 90_000, "{skew}");
        last = world.server_time();
    }
}

#[test]
fn point_6_deadlines_that_passed_while_the_server_was_away_fire_when_it_starts() {
    for skew in [0, DAY] {
        let mut world = World::new();
        world.devices(&["alice", "bob"]);
        world.rings("alice1", "c1", &["bob"], Mode::General);
        let deadline = world.entry("bob1", "c1").unwrap().call.members[1].deadline;
        world.kill_server();
        world.pass(10 * MINUTE);
        world.server_skew = skew;
        world.start_server();
        // Both come back, and the server needs no more than its start to know.
        world.pass(30_000);
        for name in ["alice1", "bob1"] {
            let call = world.entry(name, "c1").unwrap().call;
            assert_eq!(
                (call.state, call.end_time()),
                (CallState::Ended, deadline),
                "{name}"
            );
        }
        assert_eq!(world.heard("bob1"), [RUN_OUT]);
        assert_eq!(world.heard("alice1"), ["changed c1 bob=timeout"]);
    }
}

#[test]
fn point_6_a_wall_clock_that_is_changed_while_the_app_does_not_run_changes_nothing_either() {
    for jump in [DAY, -DAY] {
        let mut world = ringing(0);
        world.cut("bob1");
        world.close("bob1");
        world.phone_mut("bob1").skew += jump;
        world.pass(30_000);
        // The same boot, and no connection.
        world.start("bob1");
        assert_eq!(world.ringing("bob1"), [id("c1")], "{jump}");
        world.pass(59_999);
        assert_eq!(world.heard("bob1"), [""; 0], "{jump}");
        world.pass(1);
        assert_eq!(world.heard("bob1"), [RUN_OUT], "{jump}");
    }
}
