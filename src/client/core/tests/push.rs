//! An invitation that comes by push: before, after, beside the connection, and out of order.

use super::*;
use crate::error::Code;

struct Push {
    kind: &'static str,
    user: &'static str,
    invitation: u32,
    created: i64,
    deadline: i64,
    sent: i64,
}

fn push(kind: &'static str) -> Push {
    Push {
        kind,
        user: "bob",
        invitation: 1,
        created: BEGIN,
        deadline: BEGIN + 90_000,
        sent: BEGIN,
    }
}

impl Push {
    fn text(&self) -> String {
        let Self {
            kind,
            user,
            invitation,
            created,
            deadline,
            sent,
        } = self;
        serde_json::json!({
            "offhook": 1, "kind": kind, "userID": user, "callID": "c1", "caller": "alice",
            "inviter": "alice", "mode": 0, "invitation": invitation, "extendedData": "",
            "timeout": 90, "createTime": created, "deadline": deadline, "sentAt": sent,
            "remaining": deadline - sent,
        })
        .to_string()
    }
}

/// Whether it rings because of that push.
fn take(device: &mut Device, push: &Push) -> bool {
    let text = push.text();
    let taken = device
        .act(|core, now| core.handle_push(now, &text))
        .unwrap();
    assert_eq!(taken.call_id, call_id("c1"));
    taken.ring
}

fn refusal(device: &mut Device, text: &str) -> Error {
    device
        .act(|core, now| core.handle_push(now, text))
        .unwrap_err()
}

#[test]
fn push_and_then_connection_ring_once() {
    let mut device = Device::new();
    assert!(take(&mut device, &push("invite")));
    assert_eq!(device.heard(), ["received c1"]);
    device.server.invite("alice", "c1", &["bob"], Mode::General);
    let hello = device.connect();
    assert_eq!(hello.open_calls, [call_id("c1")]);
    let record = device.server.record("c1");
    device.feed_open(&[record], true);
    assert!(device.heard().is_empty());
    assert_eq!(device.sent_of("receipt"), ["receipt c1 1"]);
    assert_eq!(device.count("SELECT revision FROM calls"), 1);
    assert_eq!(device.count("SELECT count(*) FROM calls"), 1);
}

#[test]
fn connection_and_then_push_ring_once() {
    let mut device = Device::rung("c1");
    assert!(!take(&mut device, &push("invite")));
    assert!(device.heard().is_empty());
    assert_eq!(device.count("SELECT revision FROM calls"), 1);
}

#[test]
fn the_same_push_twice_rings_once() {
    let mut device = Device::new();
    assert!(take(&mut device, &push("invite")));
    assert!(!take(&mut device, &push("invite")));
    assert_eq!(device.heard(), ["received c1"]);
}

#[test]
fn a_push_that_comes_after_the_end_does_not_ring() {
    let mut device = Device::rung("c1");
    device.server.act("alice", "a1", "c1", cancel(&[]));
    device.live("c1");
    device.forget_what_was_said();
    assert!(!take(&mut device, &push("invite")));
    assert!(device.heard().is_empty());
}

#[test]
fn an_answer_to_a_push_of_a_call_that_the_server_does_not_know_ends_the_ring_and_the_record() {
    for answer in [accept(), reject()] {
        let mut device = Device::connected();
        assert!(take(&mut device, &push("invite")));
        device.submit("o1", "c1", answer).unwrap();
        device.decide();
        assert_eq!(
            device.heard(),
            [
                "received c1",
                "verdict o1 CallOver unknownCall",
                "ended c1 "
            ]
        );
        assert!(device.ringing().is_empty());
        assert_eq!(
            device.count("SELECT count(*) FROM calls WHERE end_kind = 'forgotten'"),
            1
        );
    }
}

#[test]
fn a_push_that_comes_after_its_deadline_does_not_ring() {
    let mut device = Device::new();
    device.sleep(90_000);
    assert!(!take(&mut device, &push("invite")));
    assert!(device.heard().is_empty());
}

#[test]
fn a_ring_by_push_stops_at_its_deadline_without_a_connection() {
    let mut device = Device::new();
    take(&mut device, &push("invite"));
    device.pass(90_000);
    assert_eq!(device.heard(), ["received c1", "timeout c1 local"]);
}

#[test]
fn a_push_stops_the_ring_and_the_record_adds_no_second_closing() {
    for kind in ["cancel", "quit", "end"] {
        let mut device = Device::new();
        take(&mut device, &push("invite"));
        assert!(!take(&mut device, &push(kind)));
        assert_eq!(device.heard(), ["received c1", "cancelled c1"], "{kind}");
        device.server.invite("alice", "c1", &["bob"], Mode::General);
        device.server.act("alice", "a1", "c1", cancel(&[]));
        device.connect();
        let record = device.server.record("c1");
        device.feed_open(std::slice::from_ref(&record), true);
        device.feed_history(&[record], true);
        assert!(device.heard().is_empty(), "{kind}");
        assert_eq!(device.readers().counts().unwrap().missed, 1, "{kind}");
    }
}

#[test]
fn a_cancel_that_overtakes_its_invitation_keeps_it_from_ringing() {
    let mut device = Device::new();
    assert!(!take(&mut device, &push("cancel")));
    assert!(!take(&mut device, &push("invite")));
    device.pass(200_000);
    assert!(device.heard().is_empty());
    assert!(device.ringing().is_empty());
}

#[test]
fn a_cancel_of_an_earlier_invitation_does_not_stop_a_later_one() {
    let mut device = Device::new();
    let second = Push {
        invitation: 2,
        ..push("invite")
    };
    assert!(take(&mut device, &second));
    take(&mut device, &push("cancel"));
    assert_eq!(device.heard(), ["received c1"]);
    assert_eq!(device.ringing(), [call_id("c1")]);
}

#[test]
fn an_answer_to_a_ring_by_push_names_its_invitation() {
    let mut device = Device::new();
    let third = Push {
        invitation: 3,
        ..push("invite")
    };
    take(&mut device, &third);
    device.submit("o1", "c1", accept()).unwrap();
    let pending = device.readers().pending().unwrap();
    let Some(Command::Accept { invitation, .. }) = pending[0].command else {
        panic!("{pending:?}");
    };
    assert_eq!(invitation, Some(3));
    assert_eq!(pending[0].expires_at, BEGIN + 90_000);
}

/// An advanced call in which bob's first invitation has timed out, and no connection any more.
fn invitation_timed_out() -> Device {
    let mut device = Device::connected();
    device
        .server
        .invite("alice", "c1", &["bob", "carl"], Mode::Advanced);
    device.server.act("carl", "x1", "c1", accept());
    device.live("c1");
    device.pass(90_000);
    device.server.pass_time("c1");
    device.live("c1");
    device.lose_link();
    device.forget_what_was_said();
    device
}

fn second_push(device: &Device) -> Push {
    Push {
        invitation: 2,
        deadline: device.server_time() + 90_000,
        sent: device.server_time(),
        ..push("invite")
    }
}

#[test]
fn a_second_invitation_to_a_known_call_rings_by_push_too_and_once() {
    let mut device = invitation_timed_out();
    device
        .server
        .act("alice", "a1", "c1", calling_invite(&["bob"]));
    let second = second_push(&device);
    assert!(take(&mut device, &second));
    assert_eq!(device.heard(), ["received c1"]);
    device.reconnect();
    let record = device.server.record("c1");
    device.feed_open(&[record], true);
    assert!(device.heard().is_empty());
    assert!(!take(&mut device, &second));
    device.server.act("alice", "a1", "c1", cancel(&["bob"]));
    device.live("c1");
    assert_eq!(device.heard(), ["cancelled c1"]);
}

#[test]
fn a_second_invitation_rings_by_push_when_the_end_of_the_first_is_not_known_here() {
    let mut device = Device::new();
    take(&mut device, &push("invite"));
    device.pass(90_000);
    assert_eq!(device.heard(), ["received c1", "timeout c1 local"]);
    let second = second_push(&device);
    assert!(take(&mut device, &second));
    assert_eq!(device.heard(), ["received c1"]);
    // Nor does it matter whether the first still rings: it cannot any more.
    let third = Push {
        invitation: 3,
        ..second
    };
    assert!(take(&mut device, &third));
    assert_eq!(device.heard(), ["cancelled c1", "received c1"]);
    let again = second_push(&device);
    assert!(!take(&mut device, &again));
    assert_eq!(device.ringing(), [call_id("c1")]);
}

#[test]
fn a_push_for_a_call_that_is_known_to_be_over_does_not_ring() {
    let mut device = invitation_timed_out();
    device.server.act("alice", "a1", "c1", end());
    device.reconnect();
    device.feed_open(&[], true);
    let record = device.server.record("c1");
    device.feed_history(&[record], true);
    let second = second_push(&device);
    assert!(!take(&mut device, &second));
    assert!(device.heard().is_empty());
}

#[test]
fn before_any_sample_a_push_corrects_a_clock_that_is_behind() {
    let mut device = Device::new();
    device.now.wall_ms -= 24 * 3_600_000;
    assert!(take(&mut device, &push("invite")));
    device.pass(90_000);
    assert_eq!(device.heard(), ["received c1", "timeout c1 local"]);
}

#[test]
fn a_push_does_not_move_a_clock_that_was_sampled() {
    let mut device = Device::connected();
    let ahead = Push {
        sent: BEGIN + 60_000,
        ..push("invite")
    };
    take(&mut device, &ahead);
    let now = device.now;
    assert_eq!(device.core().server_now(now), BEGIN);
}

#[test]
fn a_push_for_another_user_of_the_phone_is_refused() {
    let mut device = Device::new();
    let other = Push {
        user: "carl",
        ..push("invite")
    };
    let error = refusal(&mut device, &other.text());
    assert_eq!(
        (error.code, error.reason.as_str()),
        (Code::InvalidParameter, "payload.userID")
    );
    assert!(device.heard().is_empty());
}

#[test]
fn a_kind_of_push_that_only_a_newer_server_knows_does_not_ring() {
    let mut device = Device::new();
    assert!(!take(&mut device, &push("reminder")));
    assert!(device.heard().is_empty());
    assert!(take(&mut device, &push("invite")));
}

#[test]
fn a_push_that_makes_no_sense_is_refused_and_changes_nothing() {
    let mut device = Device::new();
    let long = format!("{{\"kind\":\"{}\"}}", "x".repeat(9_000));
    for text in [
        "",
        "[]",
        "{}",
        "null",
        "{\"kind\":\"invite\"}",
        long.as_str(),
    ] {
        assert_eq!(refusal(&mut device, text).code, Code::InvalidParameter);
    }
    for time in [i64::MIN, -1, 1 << 42, i64::MAX] {
        for broken in [
            Push {
                deadline: time,
                sent: 0,
                ..push("invite")
            },
            Push {
                created: time,
                ..push("invite")
            },
        ] {
            let text = broken.text_without_remaining();
            assert_eq!(
                refusal(&mut device, &text).code,
                Code::InvalidParameter,
                "{time}"
            );
        }
    }
    assert_eq!(device.count("SELECT count(*) FROM calls"), 0);
}

impl Push {
    /// The difference of absurd times is no number.
    fn text_without_remaining(&self) -> String {
        serde_json::json!({
            "kind": self.kind, "callID": "c1", "caller": "alice", "inviter": "alice",
            "invitation": self.invitation, "timeout": u32::MAX, "createTime": self.created,
            "deadline": self.deadline,
        })
        .to_string()
    }
}

#[test]
fn who_made_the_call_and_left_it_can_be_rung_back_by_push() {
    let mut device = Device::new();
    let text = push("invite")
        .text()
        .replace("\"caller\":\"alice\"", "\"caller\":\"bob\"");
    let taken = device
        .act(|core, now| core.handle_push(now, &text))
        .unwrap();
    assert!(taken.ring);
    assert_eq!(device.heard(), ["received c1"]);
}

#[test]
fn what_only_a_push_told_of_is_over_when_the_server_turns_out_not_to_know_it() {
    let mut device = Device::connected();
    device.lose_link();
    let text = push("invite").text();
    device
        .act(|core, now| core.handle_push(now, &text))
        .unwrap();
    device.forget_what_was_said();
    device.reconnect();
    device.caught_up();
    assert!(device.ringing().is_empty());
    let started = "SELECT count(*) FROM calls WHERE state = 'started'";
    assert_eq!(device.count(started), 0);
}

#[test]
fn what_only_a_push_told_of_does_not_stay_when_a_connected_server_does_not_know_it() {
    let mut late = Device::connected();
    late.pass(95_000);
    assert!(!take(&mut late, &push("invite")));
    assert_eq!(late.count("SELECT count(*) FROM calls"), 0);
    let mut device = Device::connected();
    assert!(take(&mut device, &push("invite")));
    device.pass(91_000);
    assert_eq!(device.heard(), ["received c1", "timeout c1 local"]);
    assert_eq!(
        device.count("SELECT count(*) FROM calls WHERE state = 'started'"),
        0
    );
}

#[test]
fn a_push_that_overtakes_the_welcome_ends_as_the_history_says() {
    let mut device = Device::new();
    device.start();
    device.up();
    let text = push("invite").text();
    device
        .act(|core, now| core.handle_push(now, &text))
        .unwrap();
    device.server.invite("alice", "c1", &["bob"], Mode::General);
    device.server.act("alice", "a1", "c1", cancel(&[]));
    device.told();
    device.welcome();
    device.feed_open(&[], true);
    assert_eq!(device.heard(), [""; 0]);
    let record = device.server.record("c1");
    device.feed_history(&[record], true);
    assert_eq!(device.heard(), ["cancelled c1"]);
}
