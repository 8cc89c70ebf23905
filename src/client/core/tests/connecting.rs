//! The connection: asked for, made, lost, made again.

use super::*;
use crate::client::event::ConnectionState;
use crate::error::Code;
use crate::protocol::{Cursor, Refused};

fn refused(code: Code) -> ToDevice {
    let error = Error::new(code, "test", "refused");
    ToDevice::Refused(Refused { error })
}

#[test]
fn the_first_attempt_is_told_and_the_link_has_the_hello_from_the_beginning() {
    let mut device = Device::new();
    device.start();
    assert_eq!(device.told(), ["connection Connecting ActiveLogin"]);
    assert_eq!(device.links(), ["connect"]);
    assert_eq!(device.sent(), ["hello"]);
    device.up();
    assert!(device.sent().is_empty(), "and has it once");
    device.start();
    assert!(device.links().is_empty(), "a second start asks for nothing");
}

#[test]
fn a_welcome_makes_connected() {
    let mut device = Device::new();
    device.connect();
    assert_eq!(
        device.told(),
        [
            "connection Connecting ActiveLogin",
            "connection Connected Success"
        ]
    );
}

#[test]
fn the_first_hello_knows_of_nothing() {
    let mut device = Device::with(0, Some("token 1"));
    device.start();
    let hello = device.up();
    assert_eq!((hello.next_number, hello.first_unsettled), (1, 1));
    assert_eq!(hello.cursor, Cursor::default());
    assert_eq!(hello.welcome_token, None);
    assert_eq!(hello.token.as_deref(), Some("token 1"));
    assert_eq!(hello.device, DeviceId::trusted("b1"));
    assert_eq!(hello.user, user("bob"));
    assert!(hello.open_calls.is_empty());
}

#[test]
fn a_later_hello_says_how_far_the_file_is() {
    let mut device = Device::rung("c1");
    device
        .submit("o1", "c2", invite(&["carl"], Mode::Advanced))
        .unwrap();
    device.decide();
    device.submit("o2", "c1", accept()).unwrap();
    device.submit("o3", "c3", join()).unwrap();
    device.lose_link();
    device.pass(30_000);
    let hello = device.up();
    assert_eq!((hello.next_number, hello.first_unsettled), (4, 2));
    assert_eq!(hello.cursor, Cursor { epoch: 7, seq: 1 });
    assert_eq!(hello.welcome_token.as_deref(), Some("welcome 1"));
    let mut open = hello.open_calls;
    open.sort();
    assert_eq!(open, [call_id("c1"), call_id("c2")]);
}

#[test]
fn a_lost_welcome_leaves_the_token_of_the_one_before() {
    let mut device = Device::new();
    device.start();
    device.up();
    device.lose_link();
    device.pass(1_000);
    assert_eq!(device.up().welcome_token, None);
    device.welcome();
    device.lose_link();
    device.pass(1_000);
    assert_eq!(device.up().welcome_token.as_deref(), Some("welcome 1"));
    device.server.welcomes += 1; // the second is on its way
    device.lose_link();
    device.pass(1_000);
    assert_eq!(device.up().welcome_token.as_deref(), Some("welcome 1"));
}

#[test]
fn the_welcome_token_survives_a_restart() {
    let mut device = Device::connected();
    device.reopen();
    device.start();
    assert_eq!(device.up().welcome_token.as_deref(), Some("welcome 1"));
}

#[test]
fn a_version_that_is_refused_is_tried_again_after_a_minute() {
    let mut device = Device::new();
    device.start();
    device.up();
    device.forget_what_was_said();
    device.hear(refused(Code::InvalidParameter)).unwrap();
    assert_eq!(device.links(), ["close"]);
    device.pass(59_999);
    assert!(device.links().is_empty());
    device.pass(1);
    assert_eq!(device.links(), ["connect"]);
}

#[test]
fn a_refusal_that_may_pass_is_not_waited_for_as_long() {
    let mut device = Device::new();
    device.start();
    device.up();
    device.forget_what_was_said();
    device.hear(refused(Code::ServerOverloaded)).unwrap();
    device.pass(250);
    assert_eq!(device.links(), ["close", "connect"]);
}

#[test]
fn a_device_that_is_kicked_out_does_not_come_back_by_itself() {
    let mut device = Device::connected();
    device.goodbye(ClosingReason::KickedOut);
    assert_eq!(device.told(), ["connection Disconnected KickedOut"]);
    let error = device.core().link_status().error;
    assert_eq!(error.as_deref(), Some("goodbye"), "what the server said");
    device.lose_link();
    device.pass(3_600_000);
    assert_eq!(device.links(), ["close"]);
    device.start();
    assert_eq!(device.links(), ["connect"]);
    assert_eq!(device.told(), ["connection Connecting ActiveLogin"]);
}

#[test]
fn after_a_goodbye_for_any_passing_reason_the_device_comes_back() {
    for reason in [
        ClosingReason::Replaced,
        ClosingReason::ShuttingDown,
        ClosingReason::Violation,
    ] {
        let mut device = Device::connected();
        device.goodbye(reason);
        assert_eq!(device.told(), ["connection Reconnecting LoginInterrupted"]);
        device.pass(250);
        assert_eq!(device.links(), ["close", "connect"], "{reason:?}");
    }
}

#[test]
fn a_hello_without_an_answer_is_given_up_after_ten_seconds() {
    let mut device = Device::new();
    device.start();
    device.up();
    device.forget_what_was_said();
    device.pass(9_999);
    assert!(device.links().is_empty());
    device.pass(1);
    assert_eq!(device.links(), ["close", "connect"]);
    assert_eq!(device.told(), ["connection Connecting LoginTimeout"]);
}

#[test]
fn before_the_first_welcome_the_state_stays_connecting() {
    let mut device = Device::new();
    device.start();
    device.down(DownKind::HandshakeTimeout);
    assert_eq!(
        device.told(),
        [
            "connection Connecting ActiveLogin",
            "connection Connecting LoginTimeout"
        ]
    );
    device.pass(1_000);
    device.up();
    device.welcome();
    device.lose_link();
    assert_eq!(
        device.told(),
        [
            "connection Connected Success",
            "connection Reconnecting LoginInterrupted"
        ]
    );
}

#[test]
fn several_unanswered_attempts_say_that_udp_seems_blocked() {
    let mut device = Device::new();
    device.start();
    for _ in 0..3 {
        let status = device.core().link_status();
        assert!(!status.error.unwrap_or_default().contains("UDP"));
        device.down(DownKind::HandshakeTimeout);
        device.pass(30_000);
    }
    let status = device.core().link_status();
    assert!(status.error.unwrap().contains("UDP"));
}

#[test]
fn on_another_network_or_after_an_answer_udp_is_not_said_to_be_blocked() {
    let moved = |device: &mut Device| device.act(|core, now| core.network_changed(now));
    let refused = |device: &mut Device| {
        device.down(DownKind::Refused);
        device.pass(30_000);
    };
    for passes in [&moved as &dyn Fn(&mut Device), &refused] {
        let mut device = Device::new();
        device.start();
        for _ in 0..2 {
            device.down(DownKind::HandshakeTimeout);
            device.pass(30_000);
        }
        passes(&mut device);
        device.down(DownKind::HandshakeTimeout);
        let status = device.core().link_status();
        assert_eq!(status.error.unwrap(), "down");
    }
}

/// The pauses before each of so many attempts that fail.
fn pauses(device: &mut Device, attempts: usize) -> Vec<i64> {
    let mut pauses = Vec::new();
    for _ in 0..attempts {
        device.down(DownKind::HandshakeTimeout);
        let now = device.now;
        pauses.push(device.core().poll_timeout(now).unwrap() - now.mono_ms);
        device.pass(30_000);
    }
    pauses
}

#[test]
fn pauses_between_attempts_grow_to_half_a_minute_and_no_further() {
    // One less than every ceiling but the last.
    let mut device = Device::with(31_999, None);
    device.start();
    assert_eq!(
        pauses(&mut device, 9),
        [249, 499, 999, 1_999, 3_999, 7_999, 15_999, 1_999, 1_999]
    );
}

#[test]
fn a_pause_may_be_nothing_at_all() {
    let mut device = Device::with(0, None);
    device.start();
    assert_eq!(pauses(&mut device, 5), [0; 5]);
}

#[test]
fn a_welcome_alone_does_not_make_the_pauses_short_again() {
    let mut device = Device::with(31_999, None);
    device.start();
    let mut pauses = Vec::new();
    for _ in 0..5 {
        device.up();
        device.welcome();
        device.lose_link();
        let now = device.now;
        pauses.push(device.core().poll_timeout(now).unwrap() - now.mono_ms);
        device.pass(30_000);
    }
    assert_eq!(pauses, [249, 499, 999, 1_999, 3_999]);
    device.up();
    device.welcome();
    device.caught_up();
    device.lose_link();
    let now = device.now;
    let pause = device.core().poll_timeout(now).unwrap() - now.mono_ms;
    assert_eq!(pause, 249, "after the first step of catching up they are");
}

#[test]
fn without_a_network_nothing_is_tried_and_with_it_at_once() {
    let mut device = Device::connected();
    device.act(|core, now| core.set_network(now, false));
    assert_eq!(device.told(), ["connection Reconnecting LoginInterrupted"]);
    assert_eq!(device.links(), ["network false"]);
    device.pass(600_000);
    assert!(device.links().is_empty());
    device.act(|core, now| core.set_network(now, true));
    assert_eq!(device.links(), ["network true", "connect"]);
}

#[test]
fn a_network_that_is_said_to_be_there_once_more_costs_no_connection() {
    let mut device = Device::connected();
    device.act(|core, now| core.set_network(now, true));
    assert_eq!(device.links(), ["network true"]);
    device.server.invite("alice", "c1", &["bob"], Mode::General);
    device.live("c1");
    assert_eq!(device.heard(), ["received c1"]);
}

#[test]
fn what_was_still_in_the_pipe_when_the_network_went_is_not_heard() {
    let mut device = Device::new();
    device.start();
    device.up();
    let attempt = device.attempt;
    let welcome = device.server.welcome(device.now.mono_ms);
    device.act(|core, now| core.set_network(now, false));
    let frame = ToDevice::Welcome(Box::new(welcome));
    device
        .act(|core, now| core.handle_link(now, LinkEvent::Frame { attempt, frame }))
        .unwrap();
    let state = device.core().link_status().state;
    assert_ne!(state, ConnectionState::Connected);
}

#[test]
fn what_an_earlier_attempt_says_is_not_listened_to() {
    let mut device = Device::connected();
    let old = device.attempt;
    device.goodbye(ClosingReason::ShuttingDown);
    device.reconnect();
    device.caught_up();
    device.forget_what_was_said();
    let why = LinkDown::new(DownKind::Lost, "late");
    device
        .act(|core, now| core.handle_link(now, LinkEvent::Down { attempt: old, why }))
        .unwrap();
    assert!(device.told().is_empty());
    assert!(device.core().session.is_online());
}

#[test]
fn on_another_network_the_link_moves_and_is_tried() {
    let mut device = Device::connected();
    device.act(Core::network_changed);
    assert_eq!(device.links(), ["network changed"]);
    assert_eq!(device.sent_of("ping").len(), 1);
    device.forget_what_was_said();
    device.lose_link();
    device.act(Core::network_changed);
    assert_eq!(device.links(), ["connect"], "waiting is over at once");
}

#[test]
fn on_another_network_a_handshake_begins_again() {
    let mut device = Device::new();
    device.start();
    device.act(Core::network_changed);
    device.up();
    device.act(Core::network_changed);
    assert_eq!(
        device.links(),
        ["connect", "network changed", "network changed"]
    );
}

#[test]
fn frames_out_of_turn_end_the_connection_and_change_nothing() {
    let mut device = Device::new();
    device.start();
    device.up();
    device.server.invite("alice", "c1", &["bob"], Mode::General);
    let record = device.server.record("c1");
    let feed = device.server.live(&[record]);
    assert!(device.hear(ToDevice::Feed(feed)).is_err());
    assert_eq!(device.count("SELECT count(*) FROM calls"), 0);
    assert_eq!(device.links().last().map(String::as_str), Some("close"));
    device.reconnect();
    let second = device.server.welcome(0);
    assert!(device.hear(ToDevice::Welcome(Box::new(second))).is_err());
    assert_eq!(device.links().last().map(String::as_str), Some("close"));
}

#[test]
fn logging_out_online_is_told_to_the_server_and_done_when_it_answers() {
    let mut device = Device::connected();
    device.act(Core::logout);
    assert_eq!(device.sent(), ["logout"]);
    assert!(device.told().is_empty());
    device.hear(ToDevice::LoggedOut).unwrap();
    assert_eq!(
        device.told(),
        ["connection Disconnected Success", "logged out"]
    );
    device.pass(3_600_000);
    assert_eq!(device.links(), ["close"], "and does not come back");
}

#[test]
fn logging_out_does_not_wait_for_ever_for_the_server() {
    let mut device = Device::connected();
    device.act(Core::logout);
    device.pass(4_999);
    assert!(device.told().is_empty());
    device.pass(1);
    assert_eq!(
        device.told(),
        ["connection Disconnected Success", "logged out"]
    );
}

#[test]
fn logging_out_offline_is_done_at_once() {
    let mut device = Device::connected();
    device.act(|core, now| core.set_network(now, false));
    device.forget_what_was_said();
    device.act(Core::logout);
    assert_eq!(
        device.told(),
        ["connection Disconnected Success", "logged out"]
    );
    device.act(Core::logout);
    assert_eq!(device.told().last().map(String::as_str), Some("logged out"));
}

#[test]
fn logging_out_while_connecting_is_told_to_the_server_once_it_is_there() {
    let mut device = Device::new();
    device.start();
    device.act(Core::logout);
    device.up();
    assert_eq!(device.sent(), ["hello"]);
    device.welcome();
    assert_eq!(device.sent(), ["logout"]);
}

#[test]
fn logging_out_while_waiting_for_the_next_attempt_makes_it_at_once() {
    let mut device = Device::with(31_999, None);
    device.start();
    for _ in 0..9 {
        device.down(DownKind::Address);
        device.pass(30_000);
    }
    device.down(DownKind::Address);
    device.forget_what_was_said();
    device.act(Core::logout);
    assert_eq!(device.links(), ["connect"]);
    device.up();
    device.welcome();
    assert_eq!(device.sent(), ["hello", "logout"]);
}

#[test]
fn a_logout_that_something_else_overtakes_is_done_and_ends_no_later_session() {
    let mut device = Device::connected();
    device.act(Core::logout);
    device.goodbye(ClosingReason::KickedOut);
    assert_eq!(
        device.told(),
        ["connection Disconnected KickedOut", "logged out"]
    );
    device.connect();
    device.caught_up();
    device.forget_what_was_said();
    device.pass(10_000);
    assert!(device.told().is_empty());
}

#[test]
fn a_new_login_that_fails_counts_as_a_first_one() {
    let mut device = Device::connected();
    device.act(Core::logout);
    device.hear(ToDevice::LoggedOut).unwrap();
    device.start();
    device.forget_what_was_said();
    device.down(DownKind::Address);
    assert_eq!(device.told(), ["connection Connecting LoginTimeout"]);
}

#[test]
fn closing_says_what_is_settled_and_no_more() {
    let mut device = Device::connected();
    device
        .submit("o1", "c1", invite(&["alice"], Mode::General))
        .unwrap();
    device.decide();
    device.forget_what_was_said();
    device.act(Core::close);
    assert_eq!(device.sent(), ["settled 1"]);
    assert_eq!(device.links(), ["close"]);
}

#[test]
fn a_login_during_a_logout_follows_it() {
    let mut device = Device::connected();
    device.act(Core::logout);
    device.act(Core::start);
    device.forget_what_was_said();
    device.hear(ToDevice::LoggedOut).unwrap();
    assert!(!device.core().is_logged_out());
    assert_eq!(device.links(), ["close", "connect"]);
    device.act(Core::logout);
    device.act(Core::start);
    device.act(Core::logout);
    device.hear(ToDevice::LoggedOut).unwrap();
    assert!(device.core().is_logged_out(), "the last word counts");
}

#[test]
fn logged_out_or_kicked_out_nobody_is_there_to_give_commands() {
    let mut logged_out = Device::connected();
    logged_out.act(Core::logout);
    logged_out.hear(ToDevice::LoggedOut).unwrap();
    let mut kicked_out = Device::connected();
    kicked_out.goodbye(ClosingReason::KickedOut);
    for mut device in [logged_out, kicked_out] {
        let error = device
            .submit("o1", "c1", invite(&["alice"], Mode::General))
            .unwrap_err();
        assert_eq!(error.code, Code::NotLoggedIn);
        device.start();
        let again = device.submit("o1", "c1", invite(&["alice"], Mode::General));
        assert!(again.is_ok(), "{again:?}");
    }
}

#[test]
fn the_end_of_an_earlier_cores_attempt_is_not_that_of_one_of_its_own() {
    let mut device = Device::connected();
    let ended = device.attempt;
    let kept = device.core().link_kept();
    device.reopen();
    device.core().keep_link(kept);
    device.start();
    let begun = device.attempt;
    assert_eq!(device.links(), ["connect"]);
    device.attempt = ended;
    device.lose_link();
    device.attempt = begun;
    assert_eq!(device.told(), ["connection Connecting ActiveLogin"]);
    device.up();
}

#[test]
fn without_a_network_a_login_waits_for_one() {
    let mut device = Device::new();
    device.act(|core, now| core.set_network(now, false));
    device.start();
    assert_eq!(device.told(), ["connection Connecting ActiveLogin"]);
    device.pass(600_000);
    assert_eq!(device.links(), ["network false"]);
    device.act(|core, now| core.set_network(now, true));
    assert_eq!(device.links(), ["network true", "connect"]);
    device.up();
    device.welcome();
    assert_eq!(device.told(), ["connection Connected Success"]);
}

#[test]
fn a_core_that_follows_another_knows_that_there_is_no_network() {
    let mut device = Device::connected();
    device.act(|core, now| core.set_network(now, false));
    let kept = device.core().link_kept();
    device.reopen();
    device.core().keep_link(kept);
    device.start();
    assert!(device.links().is_empty());
    device.act(|core, now| core.set_network(now, true));
    assert_eq!(device.links(), ["network true", "connect"]);
}
