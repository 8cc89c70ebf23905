//! What is open, said before the server has taken note of the hello.

use super::*;
use crate::protocol::Cursor;

impl Device {
    fn preview(&mut self, verdicts: Vec<Verdict>, calls: &[&str]) -> Result<(), Error> {
        let calls = calls.iter().map(|call| self.server.record(call)).collect();
        let preview = self.server.preview(verdicts, calls);
        self.hear(ToDevice::Preview(Box::new(preview)))
    }

    /// Away, and on its way back: there is a connection and nothing was heard on it yet.
    fn coming_back(&mut self) {
        self.lose_link();
        self.pass(30_000);
        self.forget_what_was_said();
        self.up();
    }
}

#[test]
fn what_rings_is_heard_before_the_welcome_and_not_again_with_it() {
    let mut device = Device::connected();
    device.coming_back();
    device.server.invite("alice", "c1", &["bob"], Mode::General);
    device.preview(Vec::new(), &["c1"]).unwrap();
    assert_eq!(device.told(), ["received c1"], "and no change of state");
    assert_eq!(device.journal_words(), ["received c1"]);
    assert_eq!(device.ringing(), [call_id("c1")]);
    device.welcome();
    let record = device.server.record("c1");
    device.feed_open(std::slice::from_ref(&record), true);
    device.feed_history(&[record], true);
    assert_eq!(device.told(), ["connection Connected Success"]);
    assert_eq!(device.journal_words(), ["received c1"]);
}

#[test]
fn a_preview_is_no_connection_and_commands_wait_for_the_welcome() {
    let mut device = Device::connected();
    device.coming_back();
    device.server.invite("alice", "c1", &["bob"], Mode::General);
    device.preview(Vec::new(), &["c1"]).unwrap();
    let state = device.core().link_status().state;
    assert_eq!(state, crate::client::event::ConnectionState::Reconnecting);
    device.submit("o1", "c1", accept()).unwrap();
    assert!(device.sent_of("command").is_empty());
    device.welcome();
    assert_eq!(device.sent_of("command"), ["command 1 o1 callAccept"]);
}

#[test]
fn a_receipt_follows_the_hello_and_does_not_wait_for_the_welcome() {
    let mut device = Device::connected();
    device.coming_back();
    device.server.invite("alice", "c1", &["bob"], Mode::General);
    device.forget_what_was_said();
    device.preview(Vec::new(), &["c1"]).unwrap();
    assert_eq!(device.sent(), ["receipt c1 1"]);
}

#[test]
fn owed_verdicts_are_heard_before_what_they_caused_and_once() {
    let mut device = Device::in_call("c1");
    device
        .submit("o1", "c1", calling_invite(&["carl"]))
        .unwrap();
    let verdict = device.decisions().remove(0);
    device.coming_back();
    device.server.act("alice", "a1", "c1", accept());
    device.preview(vec![verdict.clone()], &["c1"]).unwrap();
    assert_eq!(
        device.heard(),
        [
            "verdict o1 ok",
            "changed c1 carl=inviting",
            "changed c1 alice=accepted"
        ]
    );
    device.welcome();
    device.hear(ToDevice::Verdict(Box::new(verdict))).unwrap();
    device.feed_open(&[device.server.record("c1")], true);
    assert!(device.heard().is_empty());
    // And the window is not thrown off by the verdict that came twice.
    device.forget_what_was_said();
    for n in 0..crate::protocol::COMMANDS_IN_FLIGHT_MAX + 1 {
        device.submit(&format!("p{n}"), "x", join()).unwrap();
    }
    let sent = device.sent_of("command").len();
    assert_eq!(sent, crate::protocol::COMMANDS_IN_FLIGHT_MAX);
}

#[test]
fn what_is_over_by_now_stops_ringing_with_the_preview() {
    let mut device = Device::rung("c1");
    device.coming_back();
    device.server.act("alice", "a1", "c1", cancel(&[]));
    device.preview(Vec::new(), &["c1"]).unwrap();
    assert_eq!(device.heard(), ["cancelled c1"]);
    assert!(device.ringing().is_empty());
}

#[test]
fn a_preview_moves_no_cursor_and_takes_no_welcome_token() {
    let mut device = Device::connected();
    device.lose_link();
    device.pass(30_000);
    let before = device.up();
    device.server.invite("alice", "c1", &["bob"], Mode::General);
    device.preview(Vec::new(), &["c1"]).unwrap();
    device.lose_link();
    device.pass(30_000);
    let after = device.up();
    let of = |hello: &Hello| (hello.cursor, hello.welcome_token.clone());
    assert_eq!(of(&before), of(&after));
    assert_ne!(after.cursor, Cursor::default());
    device.welcome();
    device.feed_open(&[device.server.record("c1")], true);
    assert_eq!(device.journal_words(), ["received c1"]);
}

#[test]
fn a_preview_of_a_server_that_started_again_is_followed_by_its_welcome() {
    let mut device = Device::rung("c1");
    device.server.restart();
    device.coming_back();
    device
        .server
        .act("carl", "x1", "c2", invite(&["bob"], Mode::General));
    device.preview(Vec::new(), &["c1", "c2"]).unwrap();
    assert_eq!(device.heard(), ["received c2"]);
    device.welcome();
    let records = ["c1", "c2"].map(|call| device.server.record(call));
    device.feed_open(&records, true);
    device.feed_history(&records, true);
    assert!(device.heard().is_empty());
}

#[test]
fn a_preview_is_a_good_sample_of_the_clock() {
    let mut device = Device::connected();
    device.lose_link();
    device.pass(0);
    let hello_made = device.now.mono_ms;
    // The server's clock was set forward while the device was away.
    device.server.now += 3_600_000;
    let server_now = device.server.now;
    device.now.mono_ms += 400;
    assert_eq!(device.up().sent_at, hello_made);
    let preview = device.server.preview(Vec::new(), Vec::new());
    device.hear(ToDevice::Preview(Box::new(preview))).unwrap();
    let now = device.now;
    let estimate = device.core().server_now(now);
    let middle = server_now + (device.now.mono_ms - hello_made) / 2;
    assert!((estimate - middle).abs() <= 1, "{}", estimate - middle);
}

#[test]
fn a_preview_that_cannot_be_written_costs_the_connection_and_is_not_heard() {
    let mut device = Device::connected();
    device.coming_back();
    device.server.invite("alice", "c1", &["bob"], Mode::General);
    let broken = "CREATE TRIGGER broken BEFORE INSERT ON journal BEGIN
                      SELECT RAISE(ABORT, 'the disk is broken');
                  END";
    device.sql().execute_batch(broken).unwrap();
    device.forget_what_was_said();
    assert!(device.preview(Vec::new(), &["c1"]).is_err());
    assert!(device.heard().is_empty());
    assert_eq!(device.links(), ["close"]);
    assert!(device.sent_of("receipt").is_empty());
}

#[test]
fn a_preview_out_of_turn_ends_the_connection() {
    let mut online = Device::connected();
    assert!(online.preview(Vec::new(), &[]).is_err());
    let mut twice = Device::connected();
    twice.coming_back();
    twice.preview(Vec::new(), &[]).unwrap();
    assert!(twice.preview(Vec::new(), &[]).is_err());
}
