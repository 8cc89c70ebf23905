//! Commands on their way: numbered, sent, sent again, and settled once.

use super::*;
use crate::call::{CommandKind, Outcome};
use crate::error::Code;
use crate::protocol::{Retry, Verdict};

fn retry(number: u64, after_ms: u32) -> ToDevice {
    let error = Error::new(Code::ServerOverloaded, "busy", "later");
    ToDevice::Retry(Retry {
        number,
        after_ms,
        error,
    })
}

/// Submits joins of calls that nobody knows, named `o<n>`.
fn submit_joins(device: &mut Device, numbers: std::ops::RangeInclusive<u32>) {
    for n in numbers {
        device.submit(&format!("o{n}"), "nowhere", join()).unwrap();
    }
}

#[test]
fn online_a_command_has_its_number_in_the_transaction_that_stores_it() {
    let mut device = Device::connected();
    let submitted = device
        .submit("o1", "c1", invite(&["alice"], Mode::General))
        .unwrap();
    assert_eq!(submitted.call_id, call_id("c1"));
    assert_eq!(device.sent(), ["command 1 o1 callInvite"]);
    assert_eq!(device.count("SELECT number FROM commands"), 1);
    device.reopen();
    device.start();
    let hello = device.up();
    assert_eq!((hello.next_number, hello.first_unsettled), (2, 1));
}

#[test]
fn a_command_that_names_neither_op_nor_call_gets_both() {
    let mut device = Device::with(11, None);
    let given = Submission {
        op: None,
        call_id: None,
        command: invite(&["alice"], Mode::General),
        wait_s: None,
    };
    let submitted = device.act(|core, now| core.submit(now, given)).unwrap();
    assert_eq!(submitted.call_id.as_str().len(), 32);
    assert_eq!(submitted.op.as_str().len(), 32);
}

#[test]
fn offline_commands_wait_and_go_in_their_order_after_the_welcome() {
    let mut device = Device::new();
    submit_joins(&mut device, 1..=3);
    assert!(device.sent().is_empty());
    assert_eq!(
        device.count("SELECT count(*) FROM commands WHERE number IS NULL"),
        3
    );
    device.start();
    device.up();
    assert_eq!(device.sent(), ["hello"]);
    device.welcome();
    assert_eq!(
        device.sent(),
        [
            "command 1 o1 callJoin",
            "command 2 o2 callJoin",
            "command 3 o3 callJoin"
        ]
    );
}

#[test]
fn at_most_sixty_four_commands_are_under_way() {
    let mut device = Device::connected();
    submit_joins(&mut device, 1..=70);
    let mut sent = device.sent_frames();
    assert_eq!(sent.len(), 64);
    let first = sent.remove(0);
    let ToServer::Command(first) = first else {
        panic!("{first:?}");
    };
    let verdict = device.server.decide(&first);
    device.hear(ToDevice::Verdict(Box::new(verdict))).unwrap();
    assert_eq!(device.sent(), ["command 65 o65 callJoin"], "one for one");
}

#[test]
fn after_a_welcome_the_window_counts_what_was_under_way_before() {
    let mut device = Device::connected();
    submit_joins(&mut device, 1..=70);
    device.lose_link();
    device.forget_what_was_said();
    device.reconnect();
    let sent = device.sent_of("command");
    assert_eq!(sent.len(), 64);
    assert_eq!(sent[0], "command 1 o1 callJoin");
}

#[test]
fn after_a_restart_the_window_counts_what_was_under_way_before() {
    let mut device = Device::connected();
    submit_joins(&mut device, 1..=64);
    device.reopen();
    device.connect();
    device.forget_what_was_said();
    submit_joins(&mut device, 65..=65);
    assert!(device.sent().is_empty());
}

#[test]
fn only_what_the_server_has_not_decided_is_sent_again() {
    let mut device = Device::connected();
    submit_joins(&mut device, 1..=3);
    let lost = device.decisions();
    device.server.last_number = 2; // it never saw the third
    device.lose_link();
    device.reconnect();
    assert_eq!(device.sent_of("command"), ["command 3 o3 callJoin"]);
    for verdict in lost {
        device.hear(ToDevice::Verdict(Box::new(verdict))).unwrap();
    }
    assert_eq!(
        device.count("SELECT count(*) FROM commands WHERE verdict IS NULL"),
        0
    );
    assert_eq!(
        device.count("SELECT attempts FROM commands WHERE op = 'o3'"),
        2
    );
}

#[test]
fn what_is_sent_again_is_the_same_to_the_last_byte() {
    let mut device = Device::connected();
    device
        .submit("o1", "c1", invite(&["alice"], Mode::General))
        .unwrap();
    let first = device.sent_frames();
    device.lose_link();
    device.reconnect();
    let again: Vec<ToServer> = device
        .sent_frames()
        .into_iter()
        .filter(|frame| matches!(frame, ToServer::Command(_)))
        .collect();
    assert_eq!(first, again);
}

#[test]
fn a_verdict_that_comes_twice_counts_once() {
    let mut device = Device::connected();
    submit_joins(&mut device, 1..=1);
    let verdict = device.decisions().remove(0);
    for _ in 0..2 {
        let frame = ToDevice::Verdict(Box::new(verdict.clone()));
        device.hear(frame).unwrap();
    }
    assert_eq!(device.heard(), ["verdict o1 CallOver unknownCall"]);
    assert_eq!(device.journal_words(), ["verdict o1 CallOver unknownCall"]);
}

#[test]
fn the_verdict_comes_before_the_events_that_it_caused() {
    let mut device = Device::connected();
    device
        .submit("o1", "c1", invite(&["alice"], Mode::General))
        .unwrap();
    device.decide();
    assert_eq!(device.heard(), ["verdict o1 ok", "created c1"]);
    let mut device = Device::rung("c2");
    device.submit("o1", "c2", accept()).unwrap();
    device.decide();
    assert_eq!(device.heard(), ["verdict o1 ok", "changed c2 bob=accepted"]);
    assert_eq!(
        device.journal_words(),
        [
            "received c2 over",
            "verdict o1 ok",
            "changed c2 bob=accepted"
        ]
    );
}

#[test]
fn own_accept_is_not_seen_as_answered_elsewhere_when_the_event_overtakes_the_reply() {
    let mut device = Device::rung("c1");
    device.submit("o1", "c1", accept()).unwrap();
    let verdict = device.decisions().remove(0);
    device.live("c1");
    device.hear(ToDevice::Verdict(Box::new(verdict))).unwrap();
    assert_eq!(device.heard(), ["changed c1 bob=accepted", "verdict o1 ok"]);
    assert!(device.ringing().is_empty());
}

#[test]
fn a_device_hears_that_the_call_moved_on_before_the_verdict_that_brought_it_in() {
    let mut rung = Device::connected();
    rung.server.invite("alice", "c1", &["bob"], Mode::Advanced);
    rung.live("c1");
    let before = [
        (rung, accept(), Some("changed c1 bob=accepted")),
        (
            Device::connected(),
            invite(&["alice"], Mode::Advanced),
            None,
        ),
    ];
    for (mut device, command, changed) in before {
        device.submit("o1", "c1", command).unwrap();
        let mut verdict = device.decisions().remove(0);
        device.server.act("bob", "b2", "c1", join());
        verdict.call = Some(device.server.record("c1"));
        device.reconnect();
        device.forget_what_was_said();
        device.hear(ToDevice::Verdict(Box::new(verdict))).unwrap();
        let record = device.server.record("c1");
        device.feed_open(&[record], true);
        let mut expected = vec!["verdict o1 ok"];
        expected.extend(changed);
        expected.push("moved c1 b2");
        assert_eq!(device.heard(), expected);
    }
}

#[test]
fn it_hears_that_also_where_the_record_comes_later_than_the_verdict() {
    let mut device = Device::connected();
    for (op, command) in [
        ("o1", invite(&["alice"], Mode::Advanced)),
        ("o2", calling_invite(&["carol"])),
    ] {
        device.submit(op, "c1", command).unwrap();
    }
    let mut verdicts = device.decisions();
    device.server.act("bob", "b2", "c1", join());
    verdicts[0].call = None;
    verdicts[1].call = Some(device.server.record("c1"));
    device.reconnect();
    device.forget_what_was_said();
    for verdict in verdicts {
        device.hear(ToDevice::Verdict(Box::new(verdict))).unwrap();
    }
    let record = device.server.record("c1");
    device.feed_open(&[record], true);
    assert_eq!(
        device.heard(),
        ["verdict o1 ok", "verdict o2 ok", "moved c1 b2"]
    );
}

#[test]
fn a_verdict_for_another_command_under_that_number_harms_nothing() {
    let mut device = Device::connected();
    submit_joins(&mut device, 1..=1);
    let right = device.decisions().remove(0);
    let wrong = Verdict {
        op: Op::trusted("another"),
        ..right.clone()
    };
    let refused = device.hear(ToDevice::Verdict(Box::new(wrong))).unwrap_err();
    assert_eq!(refused.code, Code::Internal);
    assert_eq!(device.told(), ["connection Reconnecting LoginInterrupted"]);
    assert_eq!(device.links(), ["close"]);
    device.reconnect();
    device.hear(ToDevice::Verdict(Box::new(right))).unwrap();
    device.feed_open(&[], true);
    assert_eq!(device.heard(), ["verdict o1 CallOver unknownCall"]);
}

#[test]
fn a_retry_stops_the_line_and_begins_again_with_that_number() {
    let mut device = Device::connected();
    submit_joins(&mut device, 1..=3);
    let first = device.decisions().remove(0);
    device.server.last_number = 1;
    device.hear(ToDevice::Verdict(Box::new(first))).unwrap();
    device.forget_what_was_said();
    device.hear(retry(2, 500)).unwrap();
    submit_joins(&mut device, 4..=4);
    device.pass(499);
    assert!(device.sent().is_empty());
    let pending = device.readers().pending().unwrap();
    assert!(pending[2].last_error.as_deref().unwrap().contains("later"));
    device.pass(1);
    assert_eq!(
        device.sent(),
        [
            "command 2 o2 callJoin",
            "command 3 o3 callJoin",
            "command 4 o4 callJoin"
        ]
    );
    let pending = device.readers().pending().unwrap();
    assert!(pending[0].last_error.as_deref().unwrap().contains("later"));
}

#[test]
fn of_two_retries_the_line_begins_with_the_lower_number() {
    let mut device = Device::connected();
    submit_joins(&mut device, 1..=2);
    device.forget_what_was_said();
    device.hear(retry(1, 500)).unwrap();
    device.hear(retry(2, 500)).unwrap();
    device.pass(500);
    assert_eq!(device.sent_of("command").len(), 2);
}

#[test]
fn a_line_that_was_stopped_begins_anew_with_the_next_connection() {
    let mut device = Device::connected();
    submit_joins(&mut device, 1..=1);
    device.hear(retry(1, 600_000)).unwrap();
    device.lose_link();
    device.forget_what_was_said();
    device.reconnect();
    submit_joins(&mut device, 2..=2);
    assert_eq!(
        device.sent_of("command"),
        ["command 1 o1 callJoin", "command 2 o2 callJoin"]
    );
}

#[test]
fn a_verdict_survives_a_restart_of_the_app() {
    let mut device = Device::connected();
    device
        .submit("o1", "c1", invite(&["alice"], Mode::General))
        .unwrap();
    device.reopen();
    device.connect();
    device.decide();
    device.caught_up();
    device.reopen();
    let journal = device.journal();
    let [event] = journal.as_slice() else {
        panic!("{journal:?}");
    };
    let EventKind::CommandSettled(settled) = &event.kind else {
        panic!("{event:?}");
    };
    assert_eq!(settled.op, Op::trusted("o1"));
    assert_eq!(settled.call_id, call_id("c1"));
    assert_eq!(settled.command, CommandKind::Invite);
    let invited = Outcome::Invited {
        timeout_s: 90,
        errors: Vec::new(),
    };
    assert_eq!(settled.result, Ok(invited));
}

#[test]
fn a_verdict_that_a_caller_has_taken_leaves_the_journal() {
    let mut device = Device::connected();
    submit_joins(&mut device, 1..=2);
    device.decide();
    let taken = device.verdict_positions[0];
    device.core().verdict_taken(taken);
    device.act(Core::flush).unwrap();
    assert_eq!(device.journal_words(), ["verdict o2 CallOver unknownCall"]);
    device.act(Core::flush).unwrap();
}

#[test]
fn what_is_malformed_is_refused_before_it_is_stored() {
    let mut device = Device::connected();
    let error = device
        .submit("o1", "c1", invite(&["bob"], Mode::General))
        .unwrap_err();
    assert_eq!(error.code, Code::InvalidParameter);
    assert_eq!(device.count("SELECT count(*) FROM commands"), 0);
}

#[test]
fn too_many_invitees_are_refused_here_only_without_a_server_to_say_what_comes_before_it() {
    let everybody: Vec<String> = (0..10).map(|n| format!("u{n}")).collect();
    let everybody: Vec<&str> = everybody.iter().map(String::as_str).collect();
    let mut device = Device::connected();
    device.act(|core, now| core.set_network(now, false));
    let error = device
        .submit("o1", "c1", invite(&everybody, Mode::General))
        .unwrap_err();
    assert_eq!(error.code, Code::TooManyMembers);
    assert_eq!(device.count("SELECT count(*) FROM commands"), 0);
    let mut device = Device::connected();
    let decided = device.submit("o1", "c1", invite(&everybody, Mode::General));
    assert!(decided.is_ok(), "{decided:?}");
}

#[test]
fn what_no_word_of_the_server_can_change_is_refused_here() {
    let mut device = Device::rung("c1");
    let error = device.submit("o1", "c1", quit()).unwrap_err();
    assert_eq!(error.code, Code::NeedsAdvanced);
    device.server.act("alice", "a1", "c1", cancel(&[]));
    device.live("c1");
    for command in [accept(), reject()] {
        let error = device.submit("o1", "c1", command).unwrap_err();
        assert_eq!(error.code, Code::CallOver);
    }
    assert_eq!(device.count("SELECT count(*) FROM commands"), 0);
}

#[test]
fn what_a_word_of_the_server_can_change_is_left_to_it() {
    let mut device = Device::in_call("c1");
    // In a call already; not a member; never heard of.
    for (op, call, command) in [
        ("o1", "c2", invite(&["carl"], Mode::General)),
        ("o2", "c1", accept()),
        ("o3", "nowhere", reject()),
        ("o4", "nowhere", end()),
    ] {
        device.submit(op, call, command).unwrap();
    }
    assert_eq!(device.sent_of("command").len(), 4);
}

#[test]
fn a_file_holds_a_thousand_pending_commands_and_no_more() {
    let mut device = Device::new();
    submit_joins(&mut device, 1..=1);
    device
        .sql()
        .execute_batch(
            "WITH RECURSIVE more (k) AS (SELECT 2 UNION ALL SELECT k + 1 FROM more WHERE k < 1000)
             INSERT INTO commands (op, call_id, command, arguments, queued_at_ms, expires_at_ms)
             SELECT 'o' || k, call_id, command, arguments, 0, 0 FROM commands, more",
        )
        .unwrap();
    let error = device.submit("one more", "nowhere", join()).unwrap_err();
    assert_eq!(
        (error.code, error.reason.as_str()),
        (Code::TooManyRequests, "pending")
    );
}
