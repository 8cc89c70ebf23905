//! The outbox: what is not sent any more, what takes another's place, and under what a quit is made.

use super::*;
use crate::error::Code;
use crate::protocol::CommandFrame;

/// Alice rang, and then the connection was lost.
fn rung_then_offline() -> Device {
    let mut device = Device::rung("c1");
    device.lose_link();
    device.act(|core, now| core.set_network(now, false));
    device.forget_what_was_said();
    device
}

fn only_command(device: &mut Device) -> CommandFrame {
    let commands: Vec<CommandFrame> = device
        .sent_frames()
        .into_iter()
        .filter_map(|frame| match frame {
            ToServer::Command(command) => Some(*command),
            _ => None,
        })
        .collect();
    let [command] = commands.as_slice() else {
        panic!("{commands:?}");
    };
    command.clone()
}

fn under_of(frame: &CommandFrame) -> &Under {
    match &frame.command {
        Command::Quit { under, .. } | Command::End { under, .. } => under,
        other => panic!("{other:?}"),
    }
}

// How long what is unsent waits -----------------------------------------------------------------

#[test]
fn an_answer_expires_at_the_deadline_of_its_invitation() {
    for answer in [accept(), reject()] {
        let mut device = rung_then_offline();
        device.pass(30_000);
        device.submit("o1", "c1", answer).unwrap();
        device.pass(59_999);
        assert!(device.told().is_empty());
        device.pass(1);
        assert_eq!(
            device.told(),
            ["verdict o1 Expired notSent", "timeout c1 local"]
        );
    }
}

#[test]
fn an_answer_to_an_invitation_that_is_over_expires_at_once() {
    let mut device = rung_then_offline();
    device.pass(100_000);
    device.forget_what_was_said();
    device.submit("o1", "c1", accept()).unwrap();
    device.pass(0);
    assert_eq!(device.told(), ["verdict o1 Expired notSent"]);
}

#[test]
fn an_answer_to_an_invitation_that_is_not_known_expires_after_half_a_minute() {
    let mut device = Device::new();
    device.submit("o1", "c1", accept()).unwrap();
    device.pass(29_999);
    assert!(device.told().is_empty());
    device.pass(1);
    assert_eq!(device.told(), ["verdict o1 Expired notSent"]);
}

#[test]
fn what_starts_something_waits_half_a_minute_and_no_longer_than_it_would_ring() {
    let short = Command::Invite {
        invitees: vec![user("alice")],
        timeout_s: 10,
        mode: Mode::General,
        extended_data: String::new(),
        not_received_check: false,
        push: None,
    };
    for (command, call, wait_s, expires_ms) in [
        (invite(&["alice"], Mode::General), "new", None, 30_000),
        (short, "new", None, 10_000),
        (invite(&["alice"], Mode::General), "new", Some(7), 7_000),
        (invite(&["alice"], Mode::General), "new", Some(500), 90_000),
        (calling_invite(&["carl"]), "c1", None, 30_000),
        (join(), "c1", None, 30_000),
        (join(), "c1", Some(500), 90_000),
        (join(), "nowhere", None, 30_000),
    ] {
        let mut device = Device::in_call("c1");
        device.lose_link();
        device.act(|core, now| core.set_network(now, false));
        device.forget_what_was_said();
        let name = command.kind().name();
        device.submit_waiting("o1", call, command, wait_s).unwrap();
        device.pass(expires_ms - 1);
        assert!(device.told().is_empty(), "{name} {wait_s:?}");
        device.pass(1);
        assert_eq!(
            device.told(),
            ["verdict o1 Expired notSent"],
            "{name} {wait_s:?}"
        );
    }
}

#[test]
fn what_may_not_wait_fails_at_once_without_a_connection() {
    let mut device = Device::new();
    for command in [
        invite(&["alice"], Mode::General),
        calling_invite(&["alice"]),
        join(),
    ] {
        let error = device
            .submit_waiting("o1", "c1", command, Some(0))
            .unwrap_err();
        assert_eq!(
            (error.code, error.reason.as_str()),
            (Code::Expired, "offline")
        );
    }
    assert_eq!(device.count("SELECT count(*) FROM commands"), 0);
    device
        .submit_waiting("o1", "c1", accept(), Some(0))
        .unwrap();
}

#[test]
fn what_may_not_wait_and_is_sent_at_once_is_given_time_to_get_there() {
    let mut device = Device::connected();
    device
        .submit_waiting("o1", "c1", invite(&["alice"], Mode::General), Some(0))
        .unwrap();
    let not_after = only_command(&mut device).not_after;
    assert_eq!(not_after, device.server_time() + 5_000);
}

#[test]
fn a_cancel_expires_when_the_last_invitation_does() {
    let mut device = Device::in_call("c1");
    device.act(|core, now| core.set_network(now, false));
    device.pass(30_000);
    device.forget_what_was_said();
    device.submit("o1", "c1", cancel(&[])).unwrap();
    device.pass(59_999);
    assert!(device.told().is_empty());
    device.pass(1);
    assert_eq!(device.told(), ["verdict o1 Expired notSent"]);
}

#[test]
fn a_hang_up_waits_for_as_long_as_it_takes() {
    for command in [quit(), end()] {
        let mut device = Device::in_call("c1");
        device.act(|core, now| core.set_network(now, false));
        device.submit("o1", "c1", command).unwrap();
        device.pass(30 * 24 * 3_600_000);
        device.forget_what_was_said();
        device.act(|core, now| core.set_network(now, true));
        device.up();
        device.welcome();
        assert_eq!(device.sent_of("command").len(), 1);
    }
}

#[test]
fn what_was_ever_sent_does_not_expire_here() {
    let mut device = Device::connected();
    device
        .submit("o1", "c1", invite(&["alice"], Mode::General))
        .unwrap();
    device.act(|core, now| core.set_network(now, false));
    device.pass(3_600_000);
    assert!(device.heard().is_empty());
    device.act(|core, now| core.set_network(now, true));
    device.up();
    device.welcome();
    let sent = only_command_after_hello(&mut device);
    assert!(sent.not_after < device.server_time(), "the server judges");
}

fn only_command_after_hello(device: &mut Device) -> CommandFrame {
    let mut frames = device.sent_frames();
    match frames.pop() {
        Some(ToServer::Command(command)) => *command,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_expired_while_the_app_slept_is_not_sent_when_it_wakes() {
    let mut device = Device::new();
    device
        .submit("o1", "c1", invite(&["alice"], Mode::General))
        .unwrap();
    device.start();
    device.sleep(40_000);
    device.up();
    device.welcome();
    device.feed_open(&[], true);
    assert_eq!(device.sent(), ["hello"]);
    assert_eq!(device.heard(), ["verdict o1 Expired notSent"]);
}

#[test]
fn what_was_to_follow_an_expired_command_goes_with_it() {
    let mut device = Device::new();
    device
        .submit("o1", "c1", invite(&["alice", "carl"], Mode::Advanced))
        .unwrap();
    device
        .submit("o2", "c1", calling_invite(&["dora"]))
        .unwrap();
    device.submit("o3", "c1", cancel(&["carl"])).unwrap();
    device.submit("o4", "c1", quit()).unwrap();
    device.submit("o5", "other", end()).unwrap();
    device.pass(30_000);
    let mut told = device.told();
    told.sort();
    assert_eq!(
        told,
        [
            "verdict o1 Expired notSent",
            "verdict o2 Expired notSent",
            "verdict o3 Expired notSent",
            "verdict o4 Expired notSent",
            "verdict o5 Expired notSent",
        ]
    );
}

// Taken back ------------------------------------------------------------------------------------

#[test]
fn an_invite_that_is_cancelled_whole_before_it_was_sent_never_is() {
    for (mode, whom) in [
        (Mode::General, vec![]),
        (Mode::General, vec!["alice"]),
        (Mode::Advanced, vec![]),
        (Mode::Advanced, vec!["carl", "alice"]),
    ] {
        let mut device = Device::new();
        device
            .submit("o1", "c1", invite(&["alice", "carl"], mode))
            .unwrap();
        device.submit("o2", "c1", cancel(&whom)).unwrap();
        assert_eq!(
            device.told(),
            ["verdict o1 Withdrawn cancelled", "verdict o2 ok"],
            "{mode} {whom:?}"
        );
        device.connect();
        assert_eq!(device.sent(), ["hello"]);
    }
}

#[test]
fn an_advanced_invite_that_is_cancelled_for_some_is_sent_and_then_the_cancel() {
    let mut device = Device::new();
    device
        .submit("o1", "c1", invite(&["alice", "carl"], Mode::Advanced))
        .unwrap();
    device.submit("o2", "c1", cancel(&["carl"])).unwrap();
    assert!(device.told().is_empty());
    device.connect();
    assert_eq!(
        device.sent_of("command"),
        ["command 1 o1 callInvite", "command 2 o2 callCancel"]
    );
}

#[test]
fn an_invite_that_was_sent_is_not_withdrawn() {
    let mut device = Device::connected();
    device
        .submit("o1", "c1", invite(&["alice"], Mode::General))
        .unwrap();
    device.submit("o2", "c1", cancel(&[])).unwrap();
    assert_eq!(device.sent_of("command").len(), 2);
    assert!(device.told().is_empty());
}

// Why it waits ----------------------------------------------------------------------------------

#[test]
fn what_waits_says_why_the_connection_failed_last() {
    let mut device = Device::new();
    device.start();
    device.submit("o1", "c1", quit()).unwrap();
    let why = |device: &Device| device.readers().pending().unwrap()[0].last_error.clone();
    assert_eq!(why(&device), None);
    device.down(DownKind::HandshakeTimeout);
    assert_eq!(why(&device).as_deref(), Some("down"));
    device.submit("o2", "c1", quit()).unwrap();
    let pending = device.readers().pending().unwrap();
    let later = pending[1].last_error.as_deref();
    assert_eq!(later, Some("down"), "given after the failure");
    device.pass(1_000);
    device.up();
    let error = Error::new(Code::TokenExpired, "expired", "the token has expired");
    let refused = crate::protocol::Refused {
        error: error.clone(),
    };
    device.hear(ToDevice::Refused(refused)).unwrap();
    assert_eq!(why(&device), Some(error.to_string()));
}

// Two answers -----------------------------------------------------------------------------------

#[test]
fn a_second_answer_takes_the_place_of_one_that_was_not_sent() {
    let mut device = rung_then_offline();
    device.submit("o1", "c1", reject()).unwrap();
    device.submit("o2", "c1", accept()).unwrap();
    assert_eq!(device.told(), ["verdict o1 Withdrawn replaced"]);
    device.act(|core, now| core.set_network(now, true));
    device.up();
    device.welcome();
    assert_eq!(device.sent_of("command"), ["command 1 o2 callAccept"]);
}

#[test]
fn a_second_answer_is_refused_while_the_first_is_under_way() {
    let mut device = Device::rung("c1");
    device.submit("o1", "c1", accept()).unwrap();
    for _ in 0..2 {
        let error = device.submit("o2", "c1", reject()).unwrap_err();
        assert_eq!(
            (error.code, error.reason.as_str()),
            (Code::WrongState, "answerPending")
        );
        device.lose_link(); // nor when nobody knows whether it got there
        device.pass(1_000);
    }
    assert_eq!(device.count("SELECT count(*) FROM commands"), 1);
}

#[test]
fn an_answer_to_one_call_does_not_touch_the_answer_to_another() {
    let mut device = Device::rung("c1");
    device.server.invite("carl", "c2", &["bob"], Mode::General);
    device.live("c2");
    device.act(|core, now| core.set_network(now, false));
    device.forget_what_was_said();
    device.submit("o1", "c1", reject()).unwrap();
    device.submit("o2", "c2", reject()).unwrap();
    assert!(device.told().is_empty());
}

// What is filled in -----------------------------------------------------------------------------

#[test]
fn an_answer_names_the_invitation_that_the_device_knows() {
    let mut device = Device::connected();
    device
        .server
        .invite("alice", "c1", &["bob", "carl"], Mode::Advanced);
    device.server.act("alice", "a1", "c1", cancel(&["bob"]));
    device
        .server
        .act("alice", "a1", "c1", calling_invite(&["bob"]));
    device.live("c1");
    device.submit("o1", "c1", accept()).unwrap();
    let frame = only_command(&mut device);
    let Command::Accept { invitation, .. } = frame.command else {
        panic!("{frame:?}");
    };
    assert_eq!(invitation, Some(2));
}

#[test]
fn a_cancel_names_the_invitations_that_the_device_knows() {
    let mut device = Device::in_call("c1");
    device
        .submit("o1", "c1", cancel(&["alice", "carl"]))
        .unwrap();
    let frame = only_command(&mut device);
    let Command::Cancel { invitees, .. } = frame.command else {
        panic!("{frame:?}");
    };
    let numbers: Vec<Option<u32>> = invitees.iter().map(|target| target.invitation).collect();
    assert_eq!(numbers, [Some(1), None]);
}

/// Bob has asked alice again, who was cancelled before, and takes that back as well.
fn asked_again_and_taken_back(device: &mut Device) {
    device
        .submit("o2", "c1", calling_invite(&["alice", "carl"]))
        .unwrap();
    device.submit("o3", "c1", cancel(&["alice"])).unwrap();
}

#[test]
fn a_cancel_of_who_is_just_being_asked_again_takes_that_back() {
    let mut device = Device::in_call("c1");
    device
        .submit("o0", "c1", calling_invite(&["dora"]))
        .unwrap();
    device.submit("o1", "c1", cancel(&["alice"])).unwrap();
    device.decide();
    device.forget_what_was_said();
    asked_again_and_taken_back(&mut device);
    device.decide();
    let told = device.told();
    let verdicts: Vec<&String> = told.iter().filter(|one| one.contains("verdict")).collect();
    assert_eq!(verdicts, ["verdict o2 ok", "verdict o3 ok"]);
    let states = "SELECT count(*) FROM members
                   WHERE user_id = 'alice' AND state = 'cancelled' AND invitation = 2";
    assert_eq!(device.count(states), 1);
}

#[test]
fn a_cancel_of_who_was_to_be_asked_again_expires_with_that() {
    let mut device = Device::in_call("c1");
    device
        .submit("o0", "c1", calling_invite(&["dora"]))
        .unwrap();
    device.submit("o1", "c1", cancel(&["alice"])).unwrap();
    device.decide();
    device.lose_link();
    device.act(|core, now| core.set_network(now, false));
    device.forget_what_was_said();
    asked_again_and_taken_back(&mut device);
    device.pass(29_999);
    assert!(device.told().is_empty());
    device.pass(1);
    assert_eq!(
        device.told(),
        ["verdict o2 Expired notSent", "verdict o3 Expired notSent"]
    );
}

#[test]
fn a_cancel_of_who_rings_already_means_that_ring_whatever_else_is_asked() {
    let mut device = Device::in_call("c1");
    device.lose_link();
    device.act(|core, now| core.set_network(now, false));
    device.forget_what_was_said();
    asked_again_and_taken_back(&mut device);
    device.pass(30_000);
    assert_eq!(device.told(), ["verdict o2 Expired notSent"]);
    device.act(|core, now| core.set_network(now, true));
    device.up();
    device.welcome();
    let frame = only_command(&mut device);
    let Command::Cancel { invitees, .. } = frame.command else {
        panic!("{frame:?}");
    };
    assert_eq!(invitees[0].invitation, Some(1));
}

#[test]
fn a_hang_up_is_made_under_what_made_the_device_primary_in_the_record() {
    for command in [quit(), end()] {
        let mut device = Device::in_call("c1");
        device.submit("o1", "c1", command).unwrap();
        let frame = only_command(&mut device);
        assert_eq!(under_of(&frame), &Under::Primary(Op::trusted("make")));
        assert_eq!(frame.not_after, 0);
    }
}

#[test]
fn a_hang_up_is_made_under_the_own_answer_that_is_on_its_way() {
    let mut device = Device::connected();
    device
        .server
        .invite("alice", "c1", &["bob", "carl"], Mode::Advanced);
    device.live("c1");
    device.submit("o1", "c1", accept()).unwrap();
    device.forget_what_was_said();
    device.submit("o2", "c1", quit()).unwrap();
    let frame = only_command(&mut device);
    assert_eq!(under_of(&frame), &Under::Primary(Op::trusted("o1")));
    assert_eq!(frame.not_after, 0);
}

#[test]
fn a_hang_up_in_a_call_that_is_not_known_must_not_act_late() {
    let mut device = Device::new();
    device.submit("o1", "c1", quit()).unwrap();
    device.pass(29_999);
    assert!(device.told().is_empty());
    device.connect();
    let frame = only_command_after_hello(&mut device);
    assert_eq!(under_of(&frame), &Under::Unknown);
    assert_eq!(frame.not_after, device.server_time() + 1);
}

#[test]
fn the_hang_up_of_the_old_device_does_not_end_the_call_on_the_new_one() {
    let mut device = Device::in_call("c1");
    device.act(|core, now| core.set_network(now, false));
    device.submit("o1", "c1", end()).unwrap();
    device.server.act("alice", "a1", "c1", accept());
    device.server.act("bob", "b2", "c1", join());
    device.forget_what_was_said();
    device.act(|core, now| core.set_network(now, true));
    device.up();
    device.welcome();
    device.decide();
    device.caught_up();
    assert_eq!(
        device.heard(),
        [
            "verdict o1 WrongState superseded",
            "changed c1 alice=accepted",
            "moved c1 b2"
        ]
    );
}
