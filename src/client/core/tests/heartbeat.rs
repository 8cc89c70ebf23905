//! Being heard, and hearing.

use super::*;
use crate::protocol::Pong;

#[test]
fn a_device_that_waits_for_nothing_is_heard_every_twenty_five_seconds() {
    let mut device = Device::connected();
    device.pass(24_999);
    assert!(device.sent().is_empty());
    device.pass(1);
    assert_eq!(device.sent(), ["settled 0", "ping"]);
    device.pass(25_000);
    assert_eq!(device.sent(), ["ping"], "what was told is not told again");
}

#[test]
fn while_this_device_dials_it_is_heard_every_ten_seconds_and_in_a_call_that_goes_on_it_is_not() {
    let mut device = Device::in_call("c1");
    device.pass(10_000);
    assert_eq!(device.sent_of("ping"), ["ping"]);
    device.server.act("alice", "a1", "c1", accept());
    device.live("c1");
    device.forget_what_was_said();
    device.pass(24_999);
    assert!(device.sent_of("ping").is_empty());
    device.pass(1);
    assert_eq!(device.sent_of("ping"), ["ping"]);
}

#[test]
fn a_device_that_was_paused_or_logged_out_sends_nothing() {
    for leave in [Core::close, Core::logout] {
        let mut device = Device::rung("c1");
        device.act(leave);
        let _ = device.hear(ToDevice::LoggedOut);
        device.forget_what_was_said();
        device.pass(3_600_000);
        assert!(device.sent().is_empty());
        assert!(device.links().is_empty());
    }
}

#[test]
fn without_a_network_nothing_is_sent_and_nothing_tried() {
    let mut device = Device::rung("c1");
    device.act(|core, now| core.set_network(now, false));
    device.forget_what_was_said();
    device.pass(3_600_000);
    assert!(device.sent().is_empty());
    assert!(device.links().is_empty());
}

#[test]
fn while_it_is_not_connected_it_does_not_ping() {
    let mut device = Device::rung("c1");
    device.lose_link();
    device.forget_what_was_said();
    for _ in 0..20 {
        device.pass(30_000);
        device.down(DownKind::HandshakeTimeout);
    }
    assert!(device.sent_of("ping").is_empty());
}

#[test]
fn while_somebody_rings_it_is_heard_every_ten_seconds() {
    let mut device = Device::rung("c1");
    device.pass(9_999);
    assert!(device.sent().is_empty());
    device.pass(1);
    assert_eq!(device.sent_of("ping"), ["ping"]);
    device.server.act("alice", "a1", "c1", cancel(&[]));
    device.live("c1");
    device.pass(24_999);
    assert!(device.sent_of("ping").is_empty());
    device.pass(1);
    assert_eq!(device.sent_of("ping"), ["ping"]);
}

#[test]
fn while_a_verdict_is_awaited_it_is_heard_every_ten_seconds() {
    let mut device = Device::connected();
    device.submit("o1", "c1", join()).unwrap();
    device.pass(10_000);
    assert_eq!(device.sent_of("ping"), ["ping"]);
}

#[test]
fn the_server_says_how_often_but_not_any_number() {
    for (said_s, kept_ms) in [(4, 4_000), (0, 250), (3_600, 25_000)] {
        let mut device = Device::new();
        device.server.heartbeat_s = said_s;
        device.connect();
        device.caught_up();
        device.server.invite("alice", "c1", &["bob"], Mode::General);
        device.live("c1");
        device.forget_what_was_said();
        device.pass(kept_ms - 1);
        assert!(device.sent_of("ping").is_empty(), "{said_s}");
        device.pass(1);
        assert_eq!(device.sent_of("ping"), ["ping"], "{said_s}");
    }
}

#[test]
fn a_server_that_does_not_answer_a_ping_is_given_up() {
    let mut device = Device::connected();
    device.answers_pings = false;
    device.pass(25_000);
    assert_eq!(device.sent_of("ping"), ["ping"]);
    device.pass(9_999);
    assert!(device.told().is_empty());
    device.pass(1);
    assert_eq!(device.told(), ["connection Reconnecting LoginInterrupted"]);
    assert_eq!(device.links(), ["close", "connect"]);
}

#[test]
fn a_pong_is_a_sample_of_the_clock() {
    let mut device = Device::connected();
    let now = device.now;
    assert_eq!(device.core().server_now(now), device.server_time());
    let ahead = device.server_time() + 3_000;
    device
        .hear(ToDevice::Pong(Pong {
            ping_sent_at: now.mono_ms - 80,
            received_at: ahead - 60,
            sent_at: ahead - 20,
        }))
        .unwrap();
    assert_eq!(device.core().link_status().rtt_ms, Some(40));
    assert_eq!(device.core().server_now(now), ahead);
}

#[test]
fn a_heartbeat_alone_writes_nothing() {
    let mut device = Device::connected();
    let before = device.count("SELECT heard_at_ms FROM feed");
    device.pass(250_000);
    assert_eq!(device.count("SELECT heard_at_ms FROM feed"), before);
    device.pass(50_000);
    assert_eq!(
        device.count("SELECT heard_at_ms FROM feed"),
        device.server_time(),
        "but every five minutes"
    );
}

#[test]
fn after_sixteen_verdicts_the_server_is_told_at_once_that_it_may_forget_them() {
    let mut device = Device::connected();
    for n in 1..=16 {
        device.submit(&format!("o{n}"), "nowhere", join()).unwrap();
        device.decide();
        let settled = device.sent_of("settled");
        if n < 16 {
            assert!(settled.is_empty());
        } else {
            assert_eq!(settled, ["settled 16"]);
        }
    }
}
