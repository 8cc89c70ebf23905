//! A database that was copied or set back goes on under another name.

use super::*;
use crate::error::Code;
use crate::protocol::Refused;

fn dropped() -> ToDevice {
    let error = Error::new(Code::Dropped, "copied", "this one is a copy");
    ToDevice::Refused(Refused { error })
}

/// In a call, with one command sent, one not, and one settled; then the hello is refused.
fn copy() -> Device {
    let mut device = Device::in_call("c1");
    device
        .submit("o1", "c1", calling_invite(&["carl"]))
        .unwrap();
    device.lose_link();
    device.submit("o2", "c1", quit()).unwrap();
    device.pass(1_000);
    device.up();
    device.forget_what_was_said();
    device.hear(dropped()).unwrap();
    device
}

#[test]
fn unsettled_commands_end_as_dropped_and_are_not_sent_again() {
    let mut device = copy();
    assert_eq!(
        device.heard(),
        ["verdict o1 Dropped copied", "verdict o2 Dropped copied"]
    );
    device.pass(0);
    device.up();
    device.server.last_number = 0;
    device.welcome();
    assert!(device.sent_of("command").is_empty());
    assert_eq!(
        device.count("SELECT count(*) FROM commands WHERE verdict IS NULL"),
        0
    );
}

#[test]
fn the_device_says_hello_under_a_new_name_as_if_for_the_first_time() {
    let mut device = copy();
    device.pass(0);
    let hello = device.up();
    assert_ne!(hello.device, DeviceId::trusted("b1"));
    assert_eq!(hello.device.as_str().len(), 32);
    assert_eq!((hello.next_number, hello.first_unsettled), (1, 1));
    assert_eq!(hello.welcome_token, None);
    assert_eq!(hello.cursor, crate::protocol::Cursor::default());
}

#[test]
fn the_new_name_and_the_history_are_in_the_file() {
    let mut device = copy();
    let name = device.core().device().clone();
    device.reopen();
    assert_eq!(device.core().device(), &name);
    assert_eq!(device.count("SELECT count(*) FROM calls"), 1);
    assert_eq!(device.count("SELECT count(*) FROM commands"), 3);
    assert_eq!(
        device.journal_words(),
        [
            "verdict make ok",
            "created c1",
            "verdict o1 Dropped copied",
            "verdict o2 Dropped copied"
        ]
    );
}

#[test]
fn new_commands_are_numbered_from_one() {
    let mut device = copy();
    device.pass(0);
    device.up();
    device.server.last_number = 0;
    device.welcome();
    device.caught_up();
    device.forget_what_was_said();
    device.submit("o3", "nowhere", join()).unwrap();
    assert_eq!(device.sent(), ["command 1 o3 callJoin"]);
}

#[test]
fn a_copy_that_is_found_in_the_middle_of_a_session_goes_on_under_a_new_name_too() {
    let mut device = Device::rung("c1");
    device.submit("o1", "c1", accept()).unwrap();
    device.forget_what_was_said();
    device.hear(dropped()).unwrap();
    assert_eq!(
        device.told(),
        [
            "verdict o1 Dropped copied",
            "connection Reconnecting LoginInterrupted"
        ]
    );
    device.pass(0);
    assert_eq!(device.links(), ["close", "connect"]);
    assert_eq!(
        device.ringing(),
        [call_id("c1")],
        "what rings goes on ringing"
    );
}

#[test]
fn a_file_whose_numbers_are_taken_by_other_commands_goes_on_under_a_new_name() {
    let mut device = Device::connected();
    let name = device.core().device().clone();
    device.submit("o1", "c1", join()).unwrap();
    let right = device.decisions().remove(0);
    device.reconnect();
    device.forget_what_was_said();
    let other = Verdict {
        op: Op::trusted("another"),
        ..right
    };
    device.hear(ToDevice::Verdict(Box::new(other))).unwrap();
    assert_ne!(device.core().device(), &name);
    assert_eq!(device.heard(), ["verdict o1 Dropped copied"]);
    assert_eq!(device.links()[0], "close");
}

#[test]
fn the_story_goes_on_saying_what_the_server_decided_under_the_old_name() {
    let mut device = copy();
    device.pass(0);
    device.up();
    device.server.last_number = 0;
    device.welcome();
    device.caught_up();
    device.submit("o3", "nowhere", join()).unwrap();
    device.decide();
    let who = |what: &str| -> Vec<String> {
        let sql = device.sql();
        let mut rows = sql
            .prepare("SELECT source FROM timeline_view WHERE what = ? ORDER BY n")
            .unwrap();
        let rows = rows.query_map([what], |row| row.get(0)).unwrap();
        rows.map(Result::unwrap).collect()
    };
    assert_eq!(who("callInvite accepted"), ["server"]);
    assert_eq!(who("callingInvite dropped"), ["device"]);
    assert_eq!(who("callQuit dropped"), ["device"]);
    assert_eq!(who("callJoin refused"), ["server"]);
}
