//! Coming back: what rings or is open first, then history, and only the net effect of both.

use super::*;
use crate::call::EndKind;
use crate::protocol::{Cursor, Feed, Lane};

fn cursor(device: &Device) -> (i64, i64) {
    (
        device.count("SELECT epoch FROM feed"),
        device.count("SELECT cursor FROM feed"),
    )
}

fn end_kind(device: &Device, call: &str) -> Option<String> {
    device
        .sql()
        .query_row(
            "SELECT end_kind FROM calls WHERE call_id = ?",
            [call],
            |row| row.get(0),
        )
        .unwrap()
}

#[test]
fn nothing_is_heard_before_all_that_is_open_is_on_disk() {
    let mut device = Device::new();
    device.server.invite("alice", "c1", &["bob"], Mode::General);
    device.server.invite("carl", "c2", &["bob"], Mode::General);
    let (first, second) = (device.server.record("c1"), device.server.record("c2"));
    device.connect();
    device.feed_open(&[first], false);
    assert!(device.heard().is_empty());
    assert_eq!(device.journal_words(), ["received c1"], "but it is on disk");
    device.feed_open(&[second], true);
    assert_eq!(device.heard(), ["received c1", "received c2"]);
}

#[test]
fn verdicts_that_were_owed_are_heard_first_of_all() {
    let mut device = Device::in_call("c1");
    device
        .submit("o1", "c1", calling_invite(&["carl"]))
        .unwrap();
    let verdict = device.decisions().remove(0);
    device.lose_link();
    device.server.act("alice", "a1", "c1", accept());
    device.forget_what_was_said();
    device.reconnect();
    let record = device.server.record("c1");
    device.hear(ToDevice::Verdict(Box::new(verdict))).unwrap();
    assert!(device.heard().is_empty());
    device.feed_open(&[record], true);
    assert_eq!(
        device.heard(),
        [
            "verdict o1 ok",
            "changed c1 carl=inviting",
            "changed c1 alice=accepted"
        ]
    );
}

#[test]
fn what_was_held_back_is_heard_when_the_connection_is_lost() {
    let mut device = Device::new();
    device.server.invite("alice", "c1", &["bob"], Mode::General);
    let record = device.server.record("c1");
    device.connect();
    device.feed_open(std::slice::from_ref(&record), false);
    device.lose_link();
    assert_eq!(device.heard(), ["received c1"]);
    device.reconnect();
    device.feed_open(&[record], true);
    assert!(device.heard().is_empty(), "once");
}

#[test]
fn five_calls_missed_while_away_ring_not_at_all() {
    let mut device = Device::connected();
    device.lose_link();
    let mut missed = Vec::new();
    for n in 1..=5 {
        let call = format!("c{n}");
        device
            .server
            .invite("alice", &call, &["bob"], Mode::General);
        device.server.act("alice", "a1", &call, cancel(&[]));
        missed.push(device.server.record(&call));
    }
    device.forget_what_was_said();
    device.reconnect();
    device.feed_open(&[], true);
    device.feed_history(&missed, true);
    assert!(device.heard().is_empty());
    assert_eq!(device.readers().counts().unwrap().missed, 5);
}

#[test]
fn a_call_that_was_open_here_is_told_once_with_all_that_changed_and_then_its_end() {
    let mut device = Device::in_call("c1");
    device
        .submit("o1", "c1", calling_invite(&["carl", "dora"]))
        .unwrap();
    device.decide();
    device.lose_link();
    device.forget_what_was_said();
    device.server.act("alice", "a1", "c1", accept());
    device.server.act("carl", "x1", "c1", reject());
    device.server.act("dora", "x2", "c1", accept());
    device.server.act("dora", "x2", "c1", quit());
    device.server.act("alice", "a1", "c1", end());
    device.reconnect();
    let record = device.server.record("c1");
    device.feed_open(std::slice::from_ref(&record), true);
    device.feed_history(&[record], true);
    assert_eq!(
        device.heard(),
        [
            "changed c1 alice=accepted,carl=rejected,dora=quit",
            "ended c1 alice"
        ]
    );
}

#[test]
fn history_is_silent() {
    let mut device = Device::new();
    device
        .server
        .invite("bob", "c1", &["alice"], Mode::Advanced);
    device
        .server
        .invite("alice", "c2", &["bob", "carl"], Mode::Advanced);
    device.server.act("bob", "b2", "c2", reject());
    let records = [device.server.record("c1"), device.server.record("c2")];
    device.connect();
    device.feed_open(&[], true);
    device.feed_history(&records, true);
    assert!(device.heard().is_empty());
    assert!(device.journal().is_empty());
    assert_eq!(device.count("SELECT count(*) FROM calls"), 2);
}

#[test]
fn a_call_made_on_another_device_is_told_live_and_not_on_catching_up() {
    let mut device = Device::connected();
    device.server.invite("bob", "c1", &["alice"], Mode::General);
    device.live("c1");
    assert_eq!(device.heard(), ["created c1"]);
    let mut device = Device::connected();
    device.lose_link();
    device.forget_what_was_said();
    device.server.invite("bob", "c2", &["alice"], Mode::General);
    device.reconnect();
    let record = device.server.record("c2");
    device.feed_open(&[record], true);
    assert!(device.heard().is_empty());
}

#[test]
fn the_cursor_moves_with_history_and_with_what_is_live() {
    let mut device = Device::new();
    device.server.invite("alice", "c1", &["bob"], Mode::General);
    let record = device.server.record("c1");
    device.connect();
    device.feed_open(std::slice::from_ref(&record), true);
    assert_eq!(cursor(&device), (0, 0));
    device.feed_history(&[record], true);
    assert_eq!(cursor(&device), (7, 2));
    device.server.act("alice", "a1", "c1", cancel(&[]));
    device.live("c1");
    assert_eq!(cursor(&device), (7, 3));
}

#[test]
fn a_place_in_the_feed_that_comes_with_what_is_open_is_not_believed() {
    let mut device = Device::new();
    device.connect();
    let feed = Feed {
        lane: Lane::Open,
        cursor: Some(Cursor { epoch: 7, seq: 99 }),
        settled: 0,
        last: true,
        calls: Vec::new(),
    };
    device.hear(ToDevice::Feed(feed)).unwrap();
    assert_eq!(cursor(&device), (0, 0));
}

#[test]
fn the_same_record_again_or_an_older_one_tells_nothing() {
    let mut device = Device::rung("c1");
    let older = device.server.record("c1");
    device.server.act("alice", "a1", "c1", cancel(&[]));
    let newer = device.server.record("c1");
    device.feed_live(std::slice::from_ref(&newer));
    assert_eq!(device.heard(), ["cancelled c1"]);
    device.feed_live(&[older, newer]);
    assert!(device.heard().is_empty());
    assert_eq!(end_kind(&device, "c1").as_deref(), Some("cancelled"));
}

#[test]
fn a_record_of_a_later_revision_may_come_before_those_between() {
    let mut device = Device::in_call("c1");
    device.server.act("alice", "a1", "c1", accept());
    let between = device.server.record("c1");
    device.server.act("alice", "a1", "c1", quit());
    device.live("c1");
    assert_eq!(device.heard(), ["changed c1 alice=quit"]);
    device.feed_live(&[between]);
    assert!(device.heard().is_empty());
}

#[test]
fn a_server_that_started_again_and_says_the_same_tells_nothing() {
    let mut device = Device::rung("c1");
    device.lose_link();
    device.server.restart();
    device.forget_what_was_said();
    device.reconnect();
    let record = device.server.record("c1");
    device.feed_open(std::slice::from_ref(&record), true);
    device.feed_history(&[record], true);
    assert!(device.heard().is_empty());
    assert_eq!(device.ringing(), [call_id("c1")]);
    assert_eq!(cursor(&device).0, 8);
}

#[test]
fn a_restored_server_that_counts_on_from_an_older_revision_is_heard() {
    let mut device = Device::in_call("c1");
    let saved = device.server.whole_record("c1");
    device.server.act("alice", "a1", "c1", accept());
    device.live("c1");
    device.lose_link();
    device.forget_what_was_said();
    device.server.restore();
    device.server.put_back(saved);
    device.server.act("alice", "a1", "c1", reject());
    device.reconnect();
    let record = device.server.record("c1");
    device.feed_open(&[record], true);
    assert_eq!(device.heard(), ["changed c1 alice=rejected"]);
}

#[test]
fn what_a_restored_server_says_as_it_was_known_is_not_heard_again() {
    let mut device = Device::in_call("c1");
    device.server.act("alice", "a1", "c1", accept());
    device.live("c1");
    for (op, command) in [("o1", quit()), ("o2", join()), ("o3", quit())] {
        device.submit(op, "c1", command).unwrap();
        device.decide();
    }
    let saved = device.server.whole_record("c1");
    device.server.act("alice", "a1", "c1", quit());
    device.live("c1");
    device.lose_link();
    device.forget_what_was_said();
    device.server.restore();
    device.server.put_back(saved);
    device.reconnect();
    let record = device.server.record("c1");
    device.feed_open(&[], true);
    device.feed_history(&[record], true);
    assert!(device.heard().is_empty());
}

#[test]
fn calls_that_a_restored_server_has_forgotten_are_closed_with_one_event() {
    let mut device = Device::rung("c1");
    device
        .submit("o1", "c2", invite(&["carl"], Mode::Advanced))
        .unwrap();
    device.decide();
    device.lose_link();
    device.forget_what_was_said();
    device.server.restore();
    device.server.lose("c1");
    device.server.lose("c2");
    device.reconnect();
    device.feed_open(&[], true);
    assert_eq!(device.heard(), ["ended c1 ", "ended c2 "]);
    device.feed_history(&[], true);
    assert!(device.heard().is_empty());
    for call in ["c1", "c2"] {
        assert_eq!(
            end_kind(&device, call).as_deref(),
            Some(EndKind::Forgotten.word())
        );
    }
    device.pass(200_000);
    assert!(device.heard().is_empty(), "and no timer ends it again");
}

#[test]
fn a_forgotten_call_that_is_not_open_here_is_ended_silently_after_the_history() {
    let mut device = Device::connected();
    device
        .server
        .invite("alice", "c1", &["bob", "carl"], Mode::Advanced);
    device.server.act("bob", "b2", "c1", reject());
    device.live("c1");
    device.lose_link();
    device.forget_what_was_said();
    device.server.restore();
    device.reconnect();
    device.feed_open(&[], true);
    assert_eq!(end_kind(&device, "c1"), None);
    device.feed_history(&[], true);
    assert_eq!(end_kind(&device, "c1").as_deref(), Some("forgotten"));
    assert!(device.heard().is_empty());
}

#[test]
fn what_is_forgotten_is_found_even_when_catching_up_was_interrupted() {
    let mut device = Device::connected();
    for call in ["c1", "c2"] {
        device
            .server
            .invite("alice", call, &["bob", "carl"], Mode::Advanced);
        device.server.act("bob", "b2", call, reject());
        device.live(call);
    }
    device.lose_link();
    device.server.restore();
    device.reconnect();
    device.feed_open(&[], true);
    let known = device.server.record("c2");
    device.feed_history(&[known], false);
    device.lose_link();
    // The cursor that is on disk now is one of the restored server's, and so is good.
    device.server.cursor_valid = true;
    device.server.restart();
    device.reconnect();
    device.caught_up();
    assert_eq!(end_kind(&device, "c1").as_deref(), Some("forgotten"));
    assert_eq!(end_kind(&device, "c2"), None);
}

#[test]
fn catching_up_from_nothing_goes_on_from_nothing_when_it_was_interrupted_before_the_history() {
    let mut device = Device::connected();
    device
        .server
        .invite("alice", "c1", &["bob", "carl"], Mode::Advanced);
    device.server.act("bob", "b2", "c1", reject());
    device.live("c1");
    device.lose_link();
    device.server.restore();
    device.reconnect();
    device.feed_open(&[], true);
    device.lose_link();
    // It knows the device now, and does not say again that it is older.
    device.server.cursor_valid = true;
    let hello = device.reconnect();
    let epoch = device.server.epoch;
    assert_eq!(hello.cursor, Cursor { epoch, seq: 0 });
    device.feed_open(&[], true);
    let known = device.server.record("c1");
    device.feed_history(&[known], true);
    assert_eq!(end_kind(&device, "c1"), None);
}

#[test]
fn an_invitation_of_a_restored_server_rings_under_a_number_that_rang_before() {
    let mut device = Device::rung("c1");
    device.lose_link();
    device.forget_what_was_said();
    device.server.restore();
    device.server.lose("c1");
    device.pass(2_000);
    device.server.invite("alice", "c1", &["bob"], Mode::General);
    device.reconnect();
    let record = device.server.record("c1");
    device.feed_open(&[record], true);
    let heard = device.heard();
    assert_eq!(heard.len(), 2, "{heard:?}");
    assert!(heard[0].starts_with("ended c1"), "{heard:?}");
    assert!(heard[1].starts_with("received c1"), "{heard:?}");
}

#[test]
fn a_ring_that_a_restored_server_has_not_given_ends_although_the_call_ended_meanwhile() {
    let mut device = Device::connected();
    let invitees = ["bob", "carl"];
    device
        .server
        .invite("alice", "c1", &invitees, Mode::Advanced);
    device.server.act("carl", "c9", "c1", accept());
    device.server.act("bob", "b2", "c1", reject());
    device.live("c1");
    let kept = device.server.whole_record("c1");
    device
        .server
        .act("alice", "a1", "c1", calling_invite(&["bob"]));
    device.live("c1");
    assert_eq!(device.ringing(), [call_id("c1")]);
    device.lose_link();
    device.forget_what_was_said();
    device.server.restore();
    device.server.put_back(kept);
    device.server.act("carl", "c9", "c1", end());
    device.reconnect();
    device.feed_open(&[device.server.record("c1")], true);
    let heard = device.heard();
    assert_eq!(heard.len(), 1, "{heard:?}");
    assert!(heard[0].starts_with("ended c1"), "{heard:?}");
    assert!(device.ringing().is_empty());
}

#[test]
fn a_call_that_a_restored_server_told_nothing_of_rings_when_it_asks_again() {
    let mut device = Device::rung("c1");
    device.server.receive("c1", "bob", 1);
    device.live("c1");
    device.lose_link();
    device.server.restore();
    device.server.lose("c1");
    device.reconnect();
    device.caught_up();
    assert_eq!(end_kind(&device, "c1").as_deref(), Some("forgotten"));
    device.forget_what_was_said();
    device.pass(2_000);
    device.server.invite("alice", "c1", &["bob"], Mode::General);
    device.live("c1");
    assert_eq!(device.heard(), ["received c1"]);
}

#[test]
fn a_stay_that_was_heard_of_is_no_news_from_a_server_that_was_restored_to_when_it_was_over() {
    let mut device = Device::in_call("c1");
    device.server.act("alice", "a1", "c1", accept());
    for (op, command) in [("o1", quit()), ("o2", join()), ("o3", quit())] {
        device.submit(op, "c1", command).unwrap();
        device.decide();
    }
    let saved = device.server.whole_record("c1");
    device.submit("o4", "c1", join()).unwrap();
    device.decide();
    device.server.act("alice", "a1", "c1", quit());
    device.live("c1");
    device.submit("o5", "c1", end()).unwrap();
    device.decide();
    device.lose_link();
    device.forget_what_was_said();
    device.server.restore();
    device.server.put_back(saved);
    device.reconnect();
    device.feed_open(&[], true);
    let record = device.server.record("c1");
    device.feed_history(&[record], true);
    assert!(device.heard().is_empty(), "{:?}", device.journal_words());
}

#[test]
fn an_answer_that_one_restored_server_lost_and_the_next_one_knows_is_not_heard_again() {
    let mut device = Device::rung("c1");
    let ringing = device.server.whole_record("c1");
    device.submit("o1", "c1", accept()).unwrap();
    device.decide();
    let answered = device.server.whole_record("c1");
    device.lose_link();
    device.server.restore();
    device.server.put_back(ringing);
    device.pass(90_000);
    device.server.pass_time("c1");
    for saved in [None, Some(answered)] {
        device.forget_what_was_said();
        device.server.restore();
        if let Some(saved) = saved {
            device.server.put_back(saved);
        }
        device.reconnect();
        device.feed_open(&[], true);
        let record = device.server.record("c1");
        device.feed_history(&[record], true);
        assert!(device.heard().is_empty(), "{:?}", device.journal_words());
        device.lose_link();
    }
}

#[test]
fn a_stay_that_begins_and_ends_unheard_at_a_server_that_was_restored_is_heard_with_its_end() {
    let mut device = Device::in_call("c1");
    device.server.act("alice", "a1", "c1", accept());
    device.submit("o1", "c1", quit()).unwrap();
    device.decide();
    device.lose_link();
    device.server.restore();
    device.reconnect();
    device.feed_open(&[], true);
    device.submit("o2", "c1", join()).unwrap();
    let mut verdict = device.decisions().remove(0);
    device.server.act("alice", "a1", "c1", end());
    verdict.call = Some(device.server.record("c1"));
    device.lose_link();
    device.forget_what_was_said();
    device.server.cursor_valid = true;
    device.reconnect();
    device.hear(ToDevice::Verdict(Box::new(verdict))).unwrap();
    device.feed_open(&[], true);
    assert_eq!(
        device.heard(),
        ["verdict o2 ok", "changed c1 bob=accepted", "ended c1 alice"]
    );
}

#[test]
fn a_server_that_only_started_again_makes_nothing_forgotten() {
    let mut device = Device::connected();
    device
        .server
        .invite("alice", "c1", &["bob", "carl"], Mode::Advanced);
    device.server.act("bob", "b2", "c1", reject());
    device.live("c1");
    device.lose_link();
    device.server.restart();
    device.reconnect();
    device.caught_up();
    assert_eq!(end_kind(&device, "c1"), None);
}

// Receipts --------------------------------------------------------------------------------------

#[test]
fn an_invitation_that_is_on_disk_is_acknowledged() {
    let mut device = Device::connected();
    device.server.invite("alice", "c1", &["bob"], Mode::General);
    device.live("c1");
    assert_eq!(device.sent(), ["receipt c1 1"]);
}

#[test]
fn a_receipt_that_may_have_been_lost_is_sent_again() {
    let mut device = Device::rung("c1");
    device.lose_link();
    device.forget_what_was_said();
    device.reconnect();
    let record = device.server.record("c1");
    device.feed_open(&[record], true);
    assert_eq!(device.sent_of("receipt"), ["receipt c1 1"]);
    device.server.receive("c1", "bob", 1);
    device.live("c1");
    assert!(device.sent_of("receipt").is_empty(), "until it is received");
    assert_eq!(device.heard(), ["changed c1 bob=received"]);
}

#[test]
fn an_invitation_that_is_over_is_not_acknowledged() {
    let mut device = Device::connected();
    device.server.invite("alice", "c1", &["bob"], Mode::General);
    let record = device.server.record("c1");
    device.sleep(90_000);
    device.feed_live(&[record]);
    assert!(device.sent_of("receipt").is_empty());
    assert!(device.heard().is_empty());
}
