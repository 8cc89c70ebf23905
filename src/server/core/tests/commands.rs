use super::*;
use crate::call::Outcome;
use crate::protocol::Seen;
use crate::server::push::PushKind;

#[test]
fn the_same_command_again_gets_the_same_verdict() {
    let (mut world, (a, mut alice), (b, _)) = two();
    let command = alice.command("c1", invite(&["bob"], 60, Mode::General));
    world.frame(a, command.clone());
    let first = world.verdict(a);
    world.take(a);
    world.take(b);
    world.frame(a, command.clone());
    let again = world.verdict(a);
    assert_eq!(first, again);
    world.nothing(a);
    world.nothing(b);
    // Also after the server was killed.
    world.restart(1_000);
    let conn = world.hello(&alice);
    assert_eq!(world.welcome(conn).last_number, 1);
    assert_eq!(world.verdict(conn).result, first.result);
    world.take(conn);
    world.frame(conn, command);
    assert_eq!(world.verdict(conn).result, first.result);
}

#[test]
fn another_command_under_the_same_number_is_a_copy() {
    let (mut world, (a, mut alice), _) = two();
    world.ring((a, &mut alice), "c1", "bob", Mode::General);
    alice.next_number = 1;
    let other = alice.command("c2", invite(&["carol"], 60, Mode::General));
    world.frame(a, other);
    assert_eq!(world.refused(a), Code::Dropped);
}

#[test]
fn a_settled_number_is_never_decided_again() {
    let (mut world, (a, mut alice), _) = two();
    let command = alice.command("c1", invite(&["bob"], 60, Mode::General));
    world.frame(a, command.clone());
    world.take(a);
    let settled = Settled {
        number: 1,
        cursor: Cursor::default(),
    };
    world.frame(a, ToServer::Settled(settled));
    world.nothing(a);
    world.frame(a, command);
    assert_eq!(world.refused(a), Code::Dropped);
}

#[test]
fn settled_verdicts_are_forgotten_with_the_next_write() {
    let (mut world, (a, mut alice), _) = two();
    world.ring((a, &mut alice), "c1", "bob", Mode::General);
    let settled = Settled {
        number: 1,
        cursor: Cursor::default(),
    };
    world.frame(a, ToServer::Settled(settled));
    let verdict = world.command(a, &mut alice, "c1", cancel());
    assert!(verdict.result.is_ok());
    let core = world.core.as_mut().unwrap();
    let mut transaction = core.store.begin().unwrap();
    let (user, device) = (UserId::trusted("alice"), DeviceId::trusted("a1"));
    assert_eq!(transaction.verdict(&user, &device, 1).unwrap(), None);
    assert!(transaction.verdict(&user, &device, 2).unwrap().is_some());
    let row = transaction.device(&user, &device).unwrap().unwrap();
    assert_eq!((row.last_number, row.settled_number), (2, 1));
}

#[test]
fn a_verdict_that_was_never_given_cannot_be_settled() {
    let (mut world, (a, _), _) = two();
    let settled = Settled {
        number: 1,
        cursor: Cursor::default(),
    };
    world.frame(a, ToServer::Settled(settled));
    assert_eq!(world.closed(a), Some(ClosingReason::Violation));
}

#[test]
fn a_gap_in_the_numbers_ends_the_session() {
    let (mut world, (a, mut alice), _) = two();
    alice.next_number = 2;
    let command = alice.command("c1", invite(&["bob"], 60, Mode::General));
    world.frame(a, command);
    assert_eq!(world.closed(a), Some(ClosingReason::Violation));
}

#[test]
fn the_verdict_brings_the_record_and_the_feed_names_it_but_does_not_bring_it_again() {
    let (mut world, (a, mut alice), (b, _)) = two();
    let first = alice.command("c1", invite(&["bob"], 60, Mode::General));
    let second = alice.command("c1", cancel());
    world.step(vec![
        Input::Frame {
            conn: a,
            frame: first,
        },
        Input::Frame {
            conn: a,
            frame: second,
        },
    ]);
    assert_eq!(world.verdict(a).number, 1);
    assert_eq!(world.verdict(a).number, 2);
    let feed = world.feed(a);
    assert_eq!((feed.settled, feed.calls.len()), (2, 0));
    assert!(feed.cursor.is_some(), "the feed has moved on all the same");
    world.nothing(a);
    assert!(!world.live(b).is_started(), "one frame with the end of it");
}

#[test]
fn what_comes_after_its_time_has_expired() {
    let (mut world, (a, mut alice), (b, mut bob)) = two();
    let now = world.now();
    let late = |frame: ToServer| match frame {
        ToServer::Command(mut frame) => {
            frame.not_after = now;
            ToServer::Command(frame)
        }
        other => other,
    };
    world.pass_awake(1, &[a, b]);
    let command = late(alice.command("c1", invite(&["bob"], 1, Mode::General)));
    world.frame(a, command);
    assert_eq!(world.verdict(a).result.unwrap_err().code, Code::Expired);

    world.command(a, &mut alice, "c2", invite(&["bob"], 1, Mode::General));
    world.take(b);
    let answer = late(bob.command("c2", accept()));
    world.frame(b, answer);
    assert_eq!(world.verdict(b).result.unwrap_err().code, Code::Expired);
    // After the deadline the call knows better why.
    world.pass_awake(1_000, &[a, b]);
    world.take(b);
    let answer = late(bob.command("c2", accept()));
    world.frame(b, answer);
    assert_eq!(world.verdict(b).result.unwrap_err().code, Code::CallOver);
}

#[test]
fn an_answer_at_the_deadline_is_too_late_even_if_no_timer_ran() {
    let (mut world, (a, mut alice), (b, mut bob)) = two();
    world.command(a, &mut alice, "c1", invite(&["bob"], 1, Mode::General));
    world.take(b);
    world.mono += 1_000;
    let answer = bob.command("c1", accept());
    world.frame(b, answer);
    assert_eq!(world.verdict(b).result.unwrap_err().code, Code::CallOver);
    assert_eq!(world.state_of("c1", "bob"), UserState::Timeout);
}

#[test]
fn two_devices_answer_and_the_first_wins() {
    let (mut world, (a, mut alice), (b, mut bob)) = two();
    let mut other = Disk::new("bob", "b2");
    let c = world.log_in(&mut other);
    world.ring((a, &mut alice), "c1", "bob", Mode::General);
    world.take(b);
    world.take(c);
    let (first, second) = (bob.command("c1", accept()), other.command("c1", accept()));
    world.step(vec![
        Input::Frame {
            conn: b,
            frame: first,
        },
        Input::Frame {
            conn: c,
            frame: second,
        },
    ]);
    assert!(world.verdict(b).result.is_ok());
    let refusal = world.verdict(c).result.unwrap_err();
    assert_eq!(refusal.reason, "answered");
    assert_eq!(refusal.detail.device_id, Some(DeviceId::trusted("b1")));
}

#[test]
fn who_is_in_a_call_or_rung_by_the_invitee_cannot_call() {
    let (mut world, (a, mut alice), (b, mut bob)) = two();
    world.ring((a, &mut alice), "c1", "bob", Mode::General);
    let refusal = world
        .command(a, &mut alice, "c2", invite(&["carol"], 60, Mode::General))
        .result
        .unwrap_err();
    assert_eq!(refusal.reason, "inCall");
    assert_eq!(refusal.detail.call_id, Some(CallId::trusted("c1")));
    world.take(b);
    let refusal = world
        .command(b, &mut bob, "c3", invite(&["alice"], 60, Mode::General))
        .result
        .unwrap_err();
    assert_eq!(refusal.reason, "glare");
}

#[test]
fn with_a_register_only_who_has_connected_can_be_rung() {
    let (mut world, (a, mut alice), _) = two_in(World::with(&["users=registered"]));
    let refusal = world
        .command(a, &mut alice, "c1", invite(&["carol"], 60, Mode::General))
        .result
        .unwrap_err();
    assert_eq!(refusal.code, Code::NoSuchUser);
    let verdict = world.command(
        a,
        &mut alice,
        "c1",
        invite(&["bob", "carol"], 60, Mode::General),
    );
    match verdict.result.unwrap() {
        Outcome::Invited { errors, .. } => assert_eq!(errors[0].code, Code::NoSuchUser),
        other => panic!("{other:?}"),
    }
}

#[test]
fn too_many_commands_stop_the_line_until_the_first_comes_again() {
    let (mut world, (a, mut alice), _) = two();
    let mut put_off = None;
    for count in 0..=COMMANDS_BURST {
        let command = alice.command(&format!("none-{count}"), accept());
        world.frame(a, command.clone());
        match world.next(a) {
            Told::Frame(ToDevice::Verdict(verdict)) => {
                let settled = Settled {
                    number: verdict.number,
                    cursor: Cursor::default(),
                };
                world.frame(a, ToServer::Settled(settled));
            }
            Told::Frame(ToDevice::Retry(retry)) => {
                assert_eq!(retry.error.code, Code::TooManyRequests);
                assert!(retry.after_ms > 0);
                put_off = Some((command, retry.after_ms));
            }
            other => panic!("{other:?}"),
        }
    }
    let (command, after_ms) = put_off.expect("no bound");
    let later = alice.command("none", accept());
    world.frame(a, later.clone());
    world.nothing(a);
    world.pass(after_ms.into());
    world.frame(a, later);
    world.nothing(a);
    world.frame(a, command);
    world.verdict(a);
}

#[test]
fn a_device_that_never_says_what_it_has_is_put_off() {
    let (mut world, (a, mut alice), _) = two();
    for _ in 0..UNSETTLED_MAX {
        world.command(a, &mut alice, "none", accept());
    }
    let command = alice.command("none", accept());
    world.frame(a, command.clone());
    assert!(matches!(world.next(a), Told::Frame(ToDevice::Retry(_))));
    let settled = Settled {
        number: 10,
        cursor: Cursor::default(),
    };
    world.frame(a, ToServer::Settled(settled));
    world.frame(a, command);
    world.verdict(a);
}

#[test]
fn a_receipt_and_its_lack_are_told_to_the_caller() {
    let (mut world, (a, mut alice), (b, _)) = two();
    let call::Command::Invite {
        invitees,
        timeout_s,
        mode,
        extended_data,
        push,
        ..
    } = invite(&["bob", "carol", "dave"], 60, Mode::General)
    else {
        unreachable!()
    };
    // Dave's build is too old to know the state.
    let mut dave = Disk::new("dave", "d1");
    dave.capabilities = Capabilities(0);
    let d = world.log_in(&mut dave);
    let command = call::Command::Invite {
        invitees,
        timeout_s,
        mode,
        extended_data,
        not_received_check: true,
        push,
    };
    world.command(a, &mut alice, "c1", command);
    world.take(a);
    world.take(b);
    let receipt = Receipt {
        call: CallId::trusted("c1"),
        invitation: 1,
    };
    world.frame(b, ToServer::Receipt(receipt.clone()));
    let call = world.live(a);
    let state = |call: &Call, user: &str| call.member(&UserId::trusted(user)).unwrap().state;
    assert_eq!(state(&call, "bob"), UserState::Received);
    world.frame(b, ToServer::Receipt(receipt));
    world.nothing(a);
    world.pass(4_999);
    world.nothing(a);
    world.pass(1);
    let call = world.live(a);
    assert_eq!(state(&call, "carol"), UserState::NotYetReceived);
    assert_eq!(state(&call, "dave"), UserState::Inviting);
    world.take(d);
}

#[test]
fn seen_on_one_device_is_seen_on_all_and_by_nobody_else() {
    let (mut world, (a, mut alice), (b, mut bob)) = two();
    let c = world.log_in(&mut Disk::new("bob", "b2"));
    world.ring((a, &mut alice), "c1", "bob", Mode::General);
    world.command(a, &mut alice, "c1", cancel());
    for conn in [a, b, c] {
        world.take(conn);
    }
    let seen = Seen {
        calls: vec![CallId::trusted("c1"), CallId::trusted("unknown")],
    };
    world.frame(b, ToServer::Seen(seen));
    for conn in [b, c] {
        let call = world.live(conn);
        assert!(call.member(&bob.user).unwrap().own.as_ref().unwrap().seen);
    }
    world.nothing(a);
    bob.open_calls.clear();
}

#[test]
fn a_push_goes_to_who_is_not_connected_and_again_when_it_is_over() {
    let (mut world, (a, mut alice), _) = two();
    let config = call::PushConfig {
        title: "ring".to_owned(),
        ..call::PushConfig::default()
    };
    let command = call::Command::Invite {
        invitees: vec![UserId::trusted("bob"), UserId::trusted("carol")],
        timeout_s: 60,
        mode: Mode::General,
        extended_data: "data".to_owned(),
        not_received_check: false,
        push: Some(config.clone()),
    };
    world.command(a, &mut alice, "c1", command);
    let command = call::Command::Cancel {
        invitees: Vec::new(),
        extended_data: "bye".to_owned(),
        push: Some(config),
    };
    world.command(a, &mut alice, "c1", command);
    let pushes: Vec<(PushKind, &str)> = world
        .pushes
        .iter()
        .map(|push| (push.kind, push.user.as_str()))
        .collect();
    assert_eq!(
        pushes,
        [(PushKind::Invite, "carol"), (PushKind::Cancel, "carol")]
    );
    let payload = world.pushes[0].payload();
    assert_eq!(payload["callID"], "c1");
    assert_eq!(payload["remaining"], 60_000);
    assert_eq!(payload["invitation"], 1);
    assert_eq!(world.pushes[1].payload()["extendedData"], "bye");
}

#[test]
fn a_call_id_from_outside_is_checked() {
    let (mut world, (a, mut alice), _) = two();
    let long = "x".repeat(33);
    let refusal = world
        .command(a, &mut alice, &long, invite(&["bob"], 60, Mode::General))
        .result
        .unwrap_err();
    assert_eq!(refusal.code, Code::InvalidParameter);
}
