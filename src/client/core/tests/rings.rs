//! Rings: each begins once, and ends with exactly one closing event.

use super::*;

const DAY_MS: i64 = 24 * 3_600_000;

fn closings(device: &Device) -> Vec<String> {
    let mut words = device.journal_words();
    words.retain(|one| {
        ["cancelled", "timeout", "ended", "elsewhere"]
            .iter()
            .any(|closing| one.starts_with(closing))
    });
    words
}

#[test]
fn a_ring_stops_at_its_deadline_without_a_connection() {
    let mut device = Device::rung("c1");
    device.lose_link();
    device.act(|core, now| core.set_network(now, false));
    device.forget_what_was_said();
    device.pass(89_999);
    assert!(device.told().is_empty());
    assert_eq!(device.ringing(), [call_id("c1")]);
    device.pass(1);
    assert_eq!(device.told(), ["timeout c1 local"]);
    assert!(device.ringing().is_empty());
}

#[test]
fn a_ring_stops_at_its_deadline_while_the_first_step_of_catching_up_is_yet_to_end() {
    let mut device = Device::rung("c1");
    device.pass(50_000);
    device.reconnect();
    device.forget_what_was_said();
    device.pass(9_000);
    assert!(device.heard().is_empty());
    device.pass(1_500);
    assert_eq!(device.heard(), ["timeout c1 local"]);
}

#[test]
fn what_the_server_then_says_corrects_the_record_without_a_second_closing() {
    let mut device = Device::rung("c1");
    device.pass(90_000);
    assert_eq!(device.heard(), ["timeout c1 local"]);
    device.server.pass_time("c1");
    device.live("c1");
    assert!(device.heard().is_empty());
    assert_eq!(device.readers().counts().unwrap().missed, 1);
    assert_eq!(closings(&device), ["timeout c1 local"]);
}

#[test]
fn answered_elsewhere_after_the_own_timer_is_no_second_closing_and_not_missed() {
    let mut device = Device::rung("c1");
    device.server.act("bob", "b2", "c1", accept());
    device.pass(90_000);
    device.live("c1");
    assert_eq!(closings(&device), ["timeout c1 local"]);
    assert_eq!(device.readers().counts().unwrap().missed, 0);
}

#[test]
fn a_ring_does_not_stop_by_itself_while_an_own_answer_is_on_its_way() {
    for answer in [accept(), reject(), join()] {
        let mut device = Device::connected();
        device
            .server
            .invite("alice", "c1", &["bob", "carl"], Mode::Advanced);
        device.live("c1");
        device.submit("o1", "c1", answer).unwrap();
        let verdict = device.decisions().remove(0);
        device.forget_what_was_said();
        device.pass(100_000);
        assert!(device.heard().is_empty());
        device.hear(ToDevice::Verdict(Box::new(verdict))).unwrap();
        assert_eq!(device.heard()[0], "verdict o1 ok");
        assert!(closings(&device).is_empty());
    }
}

#[test]
fn a_ring_that_was_answered_here_is_closed_by_that_also_when_the_call_is_over_by_then() {
    for answer in [accept(), join()] {
        let mut device = Device::connected();
        device
            .server
            .invite("alice", "c1", &["bob", "carl"], Mode::Advanced);
        device.live("c1");
        device.submit("o1", "c1", answer).unwrap();
        let mut verdict = device.decisions().remove(0);
        device.server.act("alice", "a1", "c1", end());
        verdict.call = Some(device.server.record("c1"));
        device.hear(ToDevice::Verdict(Box::new(verdict))).unwrap();
        assert_eq!(device.heard().last().unwrap(), "ended c1 alice");
        let closed = "SELECT count(*) FROM rings WHERE closed_how = 'verdict'";
        assert_eq!(device.count(closed), 1);
    }
}

/// Rung; joined and left here while the server does nothing, until after the deadline. What the
/// server says then: the first verdict without a record, since another one is to follow.
fn joined_and_left_after_its_deadline() -> (Device, Vec<Verdict>) {
    let mut device = Device::connected();
    device
        .server
        .invite("alice", "c1", &["bob", "carl"], Mode::Advanced);
    device.server.act("carl", "x1", "c1", accept());
    device.live("c1");
    device.pass(89_000);
    device.submit("o1", "c1", join()).unwrap();
    device.submit("o2", "c1", quit()).unwrap();
    device.sleep(5_000);
    device.server.pass_time("c1");
    let mut verdicts = device.decisions();
    verdicts[0].call = None;
    device.forget_what_was_said();
    (device, verdicts)
}

#[test]
fn a_ring_that_was_joined_here_is_closed_by_that_also_when_it_had_run_out_and_the_call_was_left() {
    let told = ["verdict o1 ok", "verdict o2 ok", "changed c1 bob=quit"];
    let (mut device, verdicts) = joined_and_left_after_its_deadline();
    for verdict in verdicts {
        device.hear(ToDevice::Verdict(Box::new(verdict))).unwrap();
        assert!(device.ringing().is_empty());
    }
    assert_eq!(device.heard(), told);
    let (mut device, mut verdicts) = joined_and_left_after_its_deadline();
    let calls = verdicts[1].call.take().into_iter().collect();
    device.lose_link();
    device.pass(30_000);
    device.up();
    let preview = device.server.preview(verdicts, calls);
    device.hear(ToDevice::Preview(Box::new(preview))).unwrap();
    assert_eq!(device.heard(), told);
}

#[test]
fn what_others_did_while_it_rang_is_told_although_the_verdict_of_the_answer_came_before() {
    let mut device = Device::connected();
    device
        .server
        .invite("alice", "c1", &["bob", "carl"], Mode::Advanced);
    device.live("c1");
    device.server.act("carl", "x1", "c1", accept());
    device.submit("o1", "c1", accept()).unwrap();
    let mut verdict = device.decisions().remove(0);
    verdict.call = None;
    device.forget_what_was_said();
    device.hear(ToDevice::Verdict(Box::new(verdict))).unwrap();
    device.live("c1");
    assert_eq!(
        device.heard(),
        ["verdict o1 ok", "changed c1 bob=accepted,carl=accepted"]
    );
}

#[test]
fn who_left_here_hears_nothing_of_an_invitation_that_was_over_before_it_could_ring() {
    for moves in [false, true] {
        let mut device = Device::in_call("c1");
        device.server.act("alice", "a1", "c1", accept());
        device.live("c1");
        device.submit("o1", "c1", quit()).unwrap();
        let mut verdict = device.decisions().remove(0);
        device.forget_what_was_said();
        if moves {
            device.server.act("bob", "b2", "c1", join());
        } else {
            device
                .server
                .act("alice", "a1", "c1", calling_invite(&["bob"]));
            device.sleep(90_000);
            device.server.pass_time("c1");
        }
        verdict.call = Some(device.server.record("c1"));
        device.hear(ToDevice::Verdict(Box::new(verdict))).unwrap();
        let closing = |one: &String| one.starts_with("timeout") || one.starts_with("moved");
        let heard = device.heard();
        assert_eq!(heard[0], "verdict o1 ok");
        assert!(!heard.iter().any(closing), "{heard:?}");
    }
}

#[test]
fn an_answer_that_came_too_late_closes_the_ring_with_what_the_server_says() {
    let mut device = Device::rung("c1");
    device.pass(89_000);
    device.submit("o1", "c1", accept()).unwrap();
    device.sleep(5_000);
    device.server.pass_time("c1");
    device.decide();
    assert_eq!(
        device.heard(),
        ["verdict o1 CallOver timeout", "timeout c1"]
    );
}

#[test]
fn an_answer_that_is_refused_without_a_record_leaves_the_ring_to_its_timer() {
    let mut device = Device::rung("c1");
    device.pass(89_000);
    device.submit("o1", "c1", accept()).unwrap();
    device.sleep(5_000);
    let mut verdict = device.decisions().remove(0);
    verdict.result = Err(Error::new(crate::error::Code::CallOver, "timeout", "late"));
    verdict.call = None;
    device.hear(ToDevice::Verdict(Box::new(verdict))).unwrap();
    assert_eq!(
        device.heard(),
        ["verdict o1 CallOver timeout", "timeout c1 local"]
    );
}

#[test]
fn a_wall_clock_that_jumps_by_a_day_changes_nothing() {
    for jump in [DAY_MS, -DAY_MS] {
        let mut device = Device::rung("c1");
        device.now.wall_ms += jump;
        device.pass(89_999);
        assert!(device.heard().is_empty(), "{jump}");
        device.pass(1);
        assert_eq!(device.heard(), ["timeout c1 local"], "{jump}");
    }
}

#[test]
fn a_wall_clock_that_is_a_day_off_neither_drops_nor_prolongs_a_ring() {
    for skew in [DAY_MS, -DAY_MS] {
        let mut device = Device::new();
        device.now.wall_ms += skew;
        device.connect();
        device.caught_up();
        device.server.invite("alice", "c1", &["bob"], Mode::General);
        device.live("c1");
        assert_eq!(device.heard(), ["received c1"], "{skew}");
        device.pass(90_000);
        assert_eq!(device.heard(), ["timeout c1 local"], "{skew}");
    }
}

#[test]
fn the_offset_of_a_wrong_wall_clock_is_known_after_a_restart() {
    let mut device = Device::new();
    device.now.wall_ms -= DAY_MS;
    device.connect();
    device.reopen();
    let now = device.now;
    assert_eq!(device.core().server_now(now), device.server_time());
}

#[test]
fn a_suspended_app_stops_the_ring_on_waking() {
    let mut device = Device::rung("c1");
    device.sleep(3_600_000);
    device.wake().unwrap();
    assert_eq!(device.heard()[0], "timeout c1 local");
}

#[test]
fn a_restart_while_it_rings_goes_on_ringing_until_the_deadline() {
    let mut device = Device::rung("c1");
    device.sleep(30_000);
    device.reopen();
    assert_eq!(device.journal_words(), ["received c1"]);
    assert_eq!(device.ringing(), [call_id("c1")]);
    device.pass(59_999);
    assert!(device.told().is_empty());
    device.pass(1);
    assert_eq!(device.told(), ["timeout c1 local"]);
}

#[test]
fn a_replay_marks_what_rings_no_more() {
    let mut device = Device::rung("c1");
    device.sleep(90_000);
    device.reopen();
    assert_eq!(
        device.journal_words(),
        ["received c1 over"],
        "by its deadline"
    );
    let mut device = Device::rung("c1");
    device.server.act("alice", "a1", "c1", cancel(&[]));
    device.live("c1");
    device.reopen();
    assert_eq!(device.journal_words(), ["received c1 over", "cancelled c1"]);
}

#[test]
fn answered_elsewhere_and_left_before_this_device_heard_of_it_closes_once() {
    let mut device = Device::connected();
    device
        .server
        .invite("alice", "c1", &["bob", "carl"], Mode::Advanced);
    device.live("c1");
    device.lose_link();
    device.forget_what_was_said();
    device.server.act("bob", "b2", "c1", accept());
    device.server.act("bob", "b2", "c1", quit());
    device.reconnect();
    let record = device.server.record("c1");
    device.feed_open(std::slice::from_ref(&record), true);
    device.feed_history(&[record], true);
    assert_eq!(closings(&device), ["elsewhere c1 accepted b2"]);
    assert!(device.ringing().is_empty());
    device.pass(200_000);
    assert_eq!(closings(&device), ["elsewhere c1 accepted b2"]);
}

#[test]
fn each_way_in_which_a_ring_ends_is_told_once() {
    let ends: [(&str, &str, Command, &str); 4] = [
        ("alice", "a1", cancel(&["bob"]), "cancelled c1"),
        ("bob", "b2", reject(), "elsewhere c1 rejected b2"),
        ("bob", "b2", join(), "elsewhere c1 accepted b2"),
        ("alice", "a1", end(), "ended c1 alice"),
    ];
    for (who, device_name, command, closing) in ends {
        let mut device = Device::connected();
        device
            .server
            .invite("alice", "c1", &["bob", "carl"], Mode::Advanced);
        device.live("c1");
        device.server.act(who, device_name, "c1", command);
        device.live("c1");
        device.pass(200_000);
        assert_eq!(closings(&device), [closing]);
        assert!(device.ringing().is_empty());
    }
}

#[test]
fn a_second_invitation_to_the_same_call_is_another_ring() {
    let mut device = Device::connected();
    device
        .server
        .invite("alice", "c1", &["bob", "carl"], Mode::Advanced);
    device.server.act("carl", "x1", "c1", accept());
    device.live("c1");
    device.pass(90_000);
    device.server.pass_time("c1");
    device
        .server
        .act("alice", "a1", "c1", calling_invite(&["bob"]));
    device.live("c1");
    assert_eq!(
        device.heard(),
        ["received c1", "timeout c1 local", "received c1"]
    );
    device.pass(90_000);
    assert_eq!(device.heard(), ["timeout c1 local"]);
}

#[test]
fn of_several_rings_each_ends_at_its_own_deadline() {
    let mut device = Device::connected();
    for call in ["c1", "c2", "c3"] {
        device.server.invite("alice", call, &["bob"], Mode::General);
        device.live(call);
        device.pass(1_000);
    }
    device.forget_what_was_said();
    device.pass(87_000);
    assert_eq!(device.heard(), ["timeout c1 local"]);
    device.pass(1_000);
    assert_eq!(device.heard(), ["timeout c2 local"]);
    device.pass(1_000);
    assert_eq!(device.heard(), ["timeout c3 local"]);
}

#[test]
fn a_device_that_only_shows_the_dialling_is_told_when_there_is_nothing_to_show() {
    let mut device = Device::connected();
    device
        .server
        .act("bob", "b2", "c1", invite(&["alice"], Mode::General));
    device.live("c1");
    device.server.act("alice", "a1", "c1", accept());
    device.live("c1");
    assert_eq!(device.heard(), ["created c1", "elsewhere c1 accepted b2"]);
}

#[test]
fn the_end_of_one_ring_does_not_end_another_that_has_its_answer_on_its_way() {
    let mut device = Device::rung("c1");
    device.server.invite("carl", "c2", &["bob"], Mode::General);
    device.live("c2");
    device.submit("o1", "c1", accept()).unwrap();
    device.forget_what_was_said();
    device.pass(100_000);
    assert_eq!(device.heard(), ["timeout c2 local"]);
}

#[test]
fn after_the_own_timer_has_closed_a_ring_nothing_more_is_heard_of_that_call() {
    let mut device = Device::connected();
    device
        .server
        .invite("alice", "c1", &["bob", "carl"], Mode::Advanced);
    device.live("c1");
    device.server.act("carl", "c", "c1", accept());
    device.pass(90_000);
    device.forget_what_was_said();
    device.live("c1");
    assert!(
        device.heard().is_empty(),
        "carl came in behind a closed ring"
    );
}

#[test]
fn what_is_being_answered_when_the_record_comes_does_not_ring() {
    let mut device = Device::new();
    device.submit("o1", "c1", accept()).unwrap();
    device.server.invite("alice", "c1", &["bob"], Mode::General);
    device.connect();
    let record = device.server.record("c1");
    device.feed_open(&[record], true);
    device.decide();
    let heard = device.journal_words();
    assert!(
        heard.iter().all(|one| !one.starts_with("received")),
        "{heard:?}"
    );
    assert!(heard.contains(&"verdict o1 ok".to_owned()), "{heard:?}");
}

#[test]
fn an_invitation_that_came_during_an_answer_that_is_refused_rings_after_it() {
    let mut device = Device::connected();
    device
        .server
        .invite("alice", "c1", &["bob", "carl"], Mode::General);
    device.submit("o1", "c1", join()).unwrap();
    device.live("c1");
    assert!(device.heard().is_empty(), "it is being answered");
    let refused = device.decisions().remove(0);
    assert!(refused.result.is_err());
    device.hear(ToDevice::Verdict(Box::new(refused))).unwrap();
    let heard = device.heard();
    assert!(heard[0].starts_with("verdict o1"), "{heard:?}");
    assert!(heard[1].starts_with("received c1"), "{heard:?}");
    assert_eq!(heard.len(), 2, "{heard:?}");
    assert_eq!(device.ringing(), [call_id("c1")]);
    device.live("c1");
    assert!(device.heard().is_empty(), "and rings once");
}
