//! Point 2: what was never sent and can mean nothing any more is not sent; what was ever sent is
//! sent until there is a verdict.

use offhook::{Code, Command, Config, Mode, UserState};

use crate::commands::{accept, cancel, end, id, invite, invite_for, join, more, quit, reject};
use crate::support::{self, general, refused};
use crate::world::{DAY, HOUR, World};

const EXPIRED: &str = "verdict o1 Expired notSent";

/// Bob's device rings by c1 and has no network.
fn rung_and_offline(mode: Mode) -> World {
    let mut world = World::new();
    world.devices(&["alice", "bob", "carol"]);
    world.does("alice1", "make", "c1", invite(&["bob", "carol"], mode));
    world.does("carol1", "carol", "c1", accept());
    world.offline("bob1");
    world.forget_all();
    world
}

#[test]
fn point_2_an_answer_that_was_never_sent_expires_with_its_invitation() {
    for answer in [accept(), reject()] {
        let mut world = rung_and_offline(Mode::Advanced);
        world.pass(60_000);
        world.give("bob1", "o1", "c1", answer).unwrap();
        world.pass(29_999);
        assert_eq!(world.heard("bob1"), [""; 0]);
        world.pass(1);
        assert_eq!(world.heard("bob1"), [EXPIRED, "timeout c1 local"]);
        world.online("bob1");
        assert_eq!(world.sent("bob1", "command"), [""; 0]);
        assert_eq!(world.state("carol1", "c1", "bob"), UserState::Timeout);
    }
}

#[test]
fn point_2_a_cancel_that_was_never_sent_expires_with_its_invitations() {
    let mut world = rung_and_offline(Mode::Advanced);
    world.offline("alice1");
    world.give("alice1", "o1", "c1", cancel(&["bob"])).unwrap();
    // In a call that others are in, so that it is not over for alice's absence.
    world.pass(89_999);
    assert_eq!(world.heard("alice1"), [""; 0]);
    world.pass(1);
    assert_eq!(world.heard("alice1"), [EXPIRED]);
    world.online("alice1");
    assert_eq!(world.sent("alice1", "command"), [""; 0]);
    assert_eq!(world.state("carol1", "c1", "bob"), UserState::Timeout);
}

#[test]
fn point_2_invites_and_joins_wait_for_their_timeout_and_half_a_minute_at_most() {
    let short = || invite_for(&["dora"], Mode::General, 10);
    let long = || invite(&["dora"], Mode::General);
    let cases: [(&str, Command, Option<u32>, i64); 8] = [
        ("new", long(), None, 30_000),
        ("new", short(), None, 10_000),
        ("new", short(), Some(500), 10_000),
        ("new", long(), Some(7), 7_000),
        ("new", long(), Some(500), 90_000),
        ("c1", more(&["dora"]), None, 30_000),
        ("c1", join(), None, 30_000),
        ("unknown", join(), None, 30_000),
    ];
    for (call, command, wait_s, expires) in cases {
        let mut world = rung_and_offline(Mode::Advanced);
        let name = format!("{} {wait_s:?}", command.kind().name());
        world.device("dora", "dora1");
        world
            .give_waiting("bob1", "o1", call, command, wait_s)
            .unwrap();
        world.pass(expires - 1);
        assert!(!world.heard("bob1").contains(&EXPIRED.to_owned()), "{name}");
        world.pass(1);
        assert!(world.heard("bob1").contains(&EXPIRED.to_owned()), "{name}");
        world.online("bob1");
        assert_eq!(world.sent("bob1", "command"), [""; 0], "{name}");
        assert_eq!(world.heard("dora1"), [""; 0], "{name}");
    }
}

#[tokio::test]
async fn point_2_what_may_not_wait_at_all_fails_at_once_without_a_connection() {
    let world = support::World::new();
    let config = Config {
        wait: std::time::Duration::ZERO,
        ..world.config("alice", "alice")
    };
    let mut alice = support::Device::open(config);
    alice.connected().await;
    alice.engine.set_network(false).await.unwrap();
    let given = alice.engine.call_invite(&["bob"], general()).await;
    refused(given, Code::Expired, "offline");
    let mut patient = general();
    patient.wait_s = Some(20);
    let handle = alice.engine.call_invite(&["bob"], patient).await.unwrap();
    let call = handle.call_id().clone();
    alice.engine.set_network(true).await.unwrap();
    handle.await.unwrap();
    let pending = alice.engine.pending().unwrap();
    assert_eq!(pending, [], "what failed at once is not kept");
    assert_eq!(alice.states(&call).len(), 2);
}

#[test]
fn point_2_no_call_starts_and_nobody_comes_in_an_hour_late() {
    for (call, command) in [("new", invite(&["dora"], Mode::General)), ("c1", join())] {
        let mut world = rung_and_offline(Mode::Advanced);
        world.device("dora", "dora1");
        world.does("bob1", "o1", call, command);
        world.suspend("bob1");
        world.pass(HOUR);
        world.phone_mut("bob1").network = true;
        world.wake("bob1");
        world.online("bob1");
        assert!(world.heard("bob1").contains(&EXPIRED.to_owned()));
        assert_eq!(world.sent("bob1", "command"), [""; 0]);
        assert_eq!(world.heard("dora1"), [""; 0]);
        assert_eq!(world.state("carol1", "c1", "bob"), UserState::Timeout);
    }
}

#[test]
fn point_2_quits_and_ends_wait_for_as_long_as_it_takes() {
    for command in [quit(), end()] {
        let kind = command.kind();
        let mut world = rung_and_offline(Mode::Advanced);
        world.offline("alice1");
        world.give("alice1", "o1", "c1", command).unwrap();
        world.pass(3 * HOUR);
        assert_eq!(world.heard("alice1"), [""; 0], "{kind:?}");
        assert_eq!(world.pending("alice1")[0].expires_at, 0);
        world.online("alice1");
        assert!(world.heard("alice1").contains(&"verdict o1 ok".to_owned()));
        let over = kind == offhook::CommandKind::End;
        assert_eq!(world.is_over("carol1", "c1"), over);
        let left = world.state("carol1", "c1", "alice");
        assert_eq!(left == UserState::Quit, !over);
    }
}

#[test]
fn point_2_what_was_ever_sent_is_sent_again_until_the_server_gives_its_verdict() {
    let mut world = World::new();
    world.devices(&["alice", "bob"]);
    world.phone_mut("alice1").up_held = true;
    world.does("alice1", "o1", "c1", invite(&["bob"], Mode::General));
    assert_eq!(world.sent("alice1", "command").len(), 1);
    for _ in 0..5 {
        world.cut("alice1");
        world.pass(2_000);
        // The hello gets there, and the command does not.
        world.back("alice1");
        world.phone_mut("alice1").up_held = false;
        world.phone_mut("alice1").down_held = true;
        world.settle();
        world.phone_mut("alice1").up_held = true;
        while world.carry_one_down("alice1") {}
        world.phone_mut("alice1").down_held = false;
        assert_eq!(world.sent("alice1", "command").len(), 1);
        assert_eq!(world.heard("bob1"), [""; 0]);
    }
    let pending = &world.pending("alice1")[0];
    assert_eq!((pending.sent, pending.attempts), (true, 6));
    world.phone_mut("alice1").up_held = false;
    world.settle();
    assert_eq!(world.heard("alice1"), ["verdict o1 ok", "created c1"]);
    assert_eq!(world.heard("bob1"), ["received c1"]);
}

#[test]
fn point_2_it_is_sent_again_over_a_restart_of_the_server_and_done_once() {
    for decided in [false, true] {
        let mut world = World::new();
        world.devices(&["alice", "bob"]);
        world.phone_mut("alice1").up_held = !decided;
        world.phone_mut("alice1").down_held = true;
        world.does("alice1", "o1", "c1", invite(&["bob"], Mode::General));
        world.restart_server();
        let alice = world.phone_mut("alice1");
        (alice.up_held, alice.down_held) = (false, false);
        world.pass(5_000);
        assert_eq!(world.heard("alice1")[0], "verdict o1 ok");
        assert_eq!(world.heard("bob1"), ["received c1"]);
        assert_eq!(world.pending("alice1"), []);
    }
}

#[test]
fn point_2_what_was_sent_carries_its_not_after_and_the_server_judges_by_it() {
    let mut world = World::new();
    world.devices(&["alice", "bob"]);
    world.phone_mut("alice1").up_held = true;
    world.does("alice1", "o1", "c1", invite(&["bob"], Mode::General));
    world.cut("alice1");
    world.phone_mut("alice1").up_held = false;
    world.pass(HOUR);
    assert_eq!(world.heard("alice1"), [""; 0], "it may have got there");
    world.back("alice1");
    assert_eq!(world.sent("alice1", "command").len(), 2);
    let heard = world.heard("alice1");
    assert_eq!(heard.len(), 1, "{heard:?}");
    assert!(heard[0].starts_with("verdict o1 Expired "), "{heard:?}");
    assert_eq!(world.heard("bob1"), [""; 0]);
    assert_eq!(world.page("alice1").calls, []);
}

#[test]
fn point_2_an_invite_that_is_cancelled_before_it_was_sent_is_never_sent() {
    let mut world = World::new();
    world.devices(&["alice", "bob"]);
    world.offline("alice1");
    world
        .give("alice1", "o1", "c1", invite(&["bob"], Mode::Advanced))
        .unwrap();
    world.give("alice1", "o2", "c1", cancel(&["bob"])).unwrap();
    assert_eq!(
        world.heard("alice1"),
        ["verdict o1 Withdrawn cancelled", "verdict o2 ok"]
    );
    world.online("alice1");
    world.pass(1_000);
    assert_eq!(world.sent("alice1", "command"), [""; 0]);
    assert_eq!(world.heard("bob1"), [""; 0]);
    assert_eq!(world.page("bob1").calls, []);
}

#[test]
fn point_2_a_second_answer_replaces_a_first_that_was_not_sent() {
    let mut world = rung_and_offline(Mode::Advanced);
    world.give("bob1", "o1", "c1", reject()).unwrap();
    world.give("bob1", "o2", "c1", accept()).unwrap();
    assert_eq!(world.heard("bob1"), ["verdict o1 Withdrawn replaced"]);
    world.online("bob1");
    assert_eq!(world.heard("bob1")[0], "verdict o2 ok");
    assert_eq!(world.state("carol1", "c1", "bob"), UserState::Accepted);
}

#[test]
fn point_2_a_second_answer_is_refused_until_a_first_that_was_sent_has_its_verdict() {
    let mut world = rung_and_offline(Mode::Advanced);
    world.online("bob1");
    world.phone_mut("bob1").down_held = true;
    world.does("bob1", "o1", "c1", accept());
    for dies in [false, true] {
        if dies {
            world.crash("bob1");
            world.open("bob1");
        }
        let error = world.give("bob1", "o2", "c1", reject()).unwrap_err();
        assert_eq!(
            (error.code, &*error.reason),
            (Code::WrongState, "answerPending")
        );
    }
    world.phone_mut("bob1").down_held = false;
    world.start_again("bob1");
    assert_eq!(world.heard("bob1")[0], "verdict o1 ok");
    world.does("bob1", "o3", "c1", reject());
    assert_eq!(world.heard("bob1"), ["verdict o3 WrongState answered"]);
    assert_eq!(world.state("carol1", "c1", "bob"), UserState::Accepted);
}

#[test]
fn point_2_the_commands_of_a_call_are_decided_in_the_order_in_which_they_were_given() {
    let mut world = World::new();
    world.devices(&["alice", "bob", "carol"]);
    world.offline("alice1");
    let given = [
        ("o1", invite(&["bob"], Mode::Advanced)),
        ("o2", more(&["carol"])),
        ("o3", cancel(&["carol"])),
        ("o4", more(&["carol"])),
        ("o5", end()),
    ];
    for (op, command) in given {
        world.give("alice1", op, "c1", command).unwrap();
    }
    let ops: Vec<String> = world
        .pending("alice1")
        .iter()
        .map(|one| one.op.to_string())
        .collect();
    assert_eq!(ops, ["o1", "o2", "o3", "o4", "o5"]);
    world.online("alice1");
    let mut verdicts = world.heard("alice1");
    verdicts.retain(|one| one.starts_with("verdict "));
    assert_eq!(
        verdicts,
        ["o1", "o2", "o3", "o4", "o5"].map(|op| format!("verdict {op} ok"))
    );
    let member = world.entry("alice1", "c1").unwrap().call.members[2].clone();
    assert_eq!(member.invitation, 2);
}

#[test]
fn pending_says_what_waits_since_when_until_when_how_often_tried_and_why_it_failed_last() {
    let mut world = World::new();
    world.devices(&["alice", "bob"]);
    world.phone_mut("alice1").skew = -DAY;
    // Nothing is tried before the next attempt is due.
    world.cut("alice1");
    world.suspend("alice1");
    let given_at = world.now();
    world
        .give("alice1", "o1", "c1", invite(&["bob"], Mode::General))
        .unwrap();
    let waiting = world.pending("alice1").remove(0);
    let what = format!("{:?}", waiting.command);
    assert!(
        what.contains(r#"Invite { invitees: ["bob"], timeout_s: 90"#),
        "{what}"
    );
    assert_eq!((waiting.op.as_str(), waiting.call_id), ("o1", id("c1")));
    assert_eq!(
        (waiting.queued_at, waiting.expires_at),
        (given_at, given_at + 30_000)
    );
    let why_not = waiting.last_error.as_deref();
    assert_eq!(
        (waiting.sent, waiting.attempts, why_not),
        (false, 0, Some("lost"))
    );
    world.wake("alice1");
    world.pass(5_000);
    let why = |world: &World| world.pending("alice1").remove(0).last_error.unwrap();
    assert!(why(&world).starts_with("nobody answers"), "{}", why(&world));
    // Then there is one that cannot decide now; so often as it is sent it is counted.
    world.back("alice1");
    assert_eq!(world.pending("alice1"), []);
    world.fault.set(true);
    world.does("alice1", "o2", "c1", cancel(&[]));
    let waiting = world.pending("alice1").remove(0);
    assert_eq!((waiting.sent, waiting.attempts), (true, 1));
    let text = waiting.last_error.unwrap();
    assert!(text.contains("the disk is full"), "{text}");
    world.pass(2_500);
    let waiting = world.pending("alice1").remove(0);
    assert!(waiting.attempts > 1, "{waiting:?}");
    world.fault.set(false);
    world.pass(5_000);
    assert_eq!(world.pending("alice1"), []);
}
