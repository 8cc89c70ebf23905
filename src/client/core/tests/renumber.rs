//! Rows that only a newer build can read, and a server that is older than it was.

use super::*;
use crate::error::Code;

/// Makes a command one that only a newer build can read: by its word, or by its arguments.
fn make_foreign(device: &Device, op: &str, by: &str) {
    let set = match by {
        "word" => "command = 'callHold'",
        _ => "arguments = '{\"newer\": true}'",
    };
    let changed = device
        .sql()
        .execute(&format!("UPDATE commands SET {set} WHERE op = '{op}'"), [])
        .unwrap();
    assert_eq!(changed, 1);
}

fn verdict_of(device: &Device, op: &str) -> Option<String> {
    device
        .sql()
        .query_row("SELECT verdict FROM commands WHERE op = ?", [op], |row| {
            row.get(0)
        })
        .unwrap()
}

fn invite_carl() -> Command {
    invite(&["carl"], Mode::General)
}

#[test]
fn a_row_of_a_newer_build_that_was_never_sent_is_left_alone_and_shown() {
    for by in ["word", "arguments"] {
        let mut device = Device::in_call("c1");
        device.lose_link();
        device.submit("newer", "c1", quit()).unwrap();
        device.submit("o1", "nowhere", join()).unwrap();
        make_foreign(&device, "newer", by);
        device.reopen();
        device.connect();
        device.caught_up();
        assert_eq!(device.sent_of("command"), ["command 2 o1 callJoin"], "{by}");
        assert_eq!(verdict_of(&device, "newer"), None);
        let pending = device.readers().pending().unwrap();
        assert_eq!(pending[0].op.as_str(), "newer");
        let name = if by == "word" { "callHold" } else { "callQuit" };
        assert_eq!(pending[0].name, name);
        assert!(!pending[0].sent && pending[0].command.is_none());
        let why = pending[0].last_error.clone().unwrap();
        assert!(why.starts_with("only a newer build can send it: "), "{why}");
        let shown = crate::client::json::pending(&pending[0]);
        assert_eq!(shown["command"], name);
        assert_eq!(shown["params"]["callID"], "c1");
    }
}

#[test]
fn rows_of_a_newer_build_take_nobodys_place_in_the_line() {
    let mut device = Device::in_call("c1");
    device.lose_link();
    for n in 0..100 {
        let op = format!("newer {n}");
        device.submit(&op, "c1", quit()).unwrap();
        make_foreign(&device, &op, "word");
    }
    device.submit("o1", "nowhere", join()).unwrap();
    device.pass(1_000);
    device.up();
    device.welcome();
    assert_eq!(device.sent_of("command"), ["command 2 o1 callJoin"]);
}

#[test]
fn a_row_of_a_newer_build_expires_like_any_other_and_once() {
    for by in ["word", "arguments"] {
        let mut device = Device::connected();
        device.lose_link();
        device.submit("newer", "c2", invite_carl()).unwrap();
        make_foreign(&device, "newer", by);
        device.forget_what_was_said();
        device.pass(29_999);
        assert_eq!(verdict_of(&device, "newer"), None);
        device.pass(1);
        assert_eq!(verdict_of(&device, "newer").as_deref(), Some("expired"));
        // What has no name here cannot be told here; the journal has it for who can.
        let heard = device.heard();
        if by == "word" {
            assert!(heard.is_empty(), "{heard:?}");
        } else {
            assert_eq!(heard, ["verdict newer Expired notSent"]);
        }
        let kept = "SELECT count(*) FROM journal WHERE name = 'commandSettled'";
        assert_eq!(device.count(kept), 1);
        device.pass(60_000);
        assert_eq!(device.count(kept), 1);
        assert!(device.readers().pending().unwrap().is_empty());
    }
}

/// Three commands sent, none decided as far as the device knows, the middle one of a newer build.
fn sent_and_gone_back(by: &str) -> Device {
    let mut device = Device::in_call("c1");
    device
        .submit("o1", "c1", calling_invite(&["carl"]))
        .unwrap();
    device
        .submit("newer", "c1", calling_invite(&["dora"]))
        .unwrap();
    device.submit("o2", "c1", quit()).unwrap();
    device.lose_link();
    make_foreign(&device, "newer", by);
    device.reopen();
    device
}

#[test]
fn one_that_was_sent_and_decided_gets_its_verdict() {
    for by in ["word", "arguments"] {
        let mut device = Device::in_call("c1");
        device
            .submit("o1", "c1", calling_invite(&["carl"]))
            .unwrap();
        device
            .submit("newer", "c1", calling_invite(&["dora"]))
            .unwrap();
        device.submit("o2", "c1", quit()).unwrap();
        let verdicts = device.decisions();
        device.lose_link();
        make_foreign(&device, "newer", by);
        device.reopen();
        device.connect();
        assert!(device.sent_of("command").is_empty());
        for verdict in verdicts {
            device.hear(ToDevice::Verdict(Box::new(verdict))).unwrap();
        }
        device.caught_up();
        assert_eq!(verdict_of(&device, "newer").as_deref(), Some("accepted"));
        assert_eq!(verdict_of(&device, "o2").as_deref(), Some("accepted"));
        device.submit("o3", "nowhere", join()).unwrap();
        assert_eq!(device.sent_of("command"), ["command 5 o3 callJoin"]);
    }
}

#[test]
fn one_that_was_sent_and_not_decided_gives_its_number_to_the_next_that_can_be_sent() {
    for by in ["word", "arguments"] {
        let mut device = sent_and_gone_back(by);
        device.connect();
        device.caught_up();
        assert_eq!(
            device.sent_of("command"),
            ["command 2 o1 callingInvite", "command 3 o2 callQuit"]
        );
        assert_eq!(verdict_of(&device, "newer"), None);
        let pending = device.readers().pending().unwrap();
        assert_eq!(
            pending
                .iter()
                .map(|one| (one.op.as_str(), one.sent))
                .collect::<Vec<_>>(),
            [("o1", true), ("newer", false), ("o2", true)]
        );
    }
}

#[test]
fn what_was_given_a_new_number_is_decided_once_and_keeps_it() {
    let mut device = sent_and_gone_back("word");
    device.connect();
    device.caught_up();
    device.lose_link();
    device.forget_what_was_said();
    let hello = device.reconnect();
    assert_eq!((hello.next_number, hello.first_unsettled), (4, 2));
    device.decide();
    assert_eq!(verdict_of(&device, "o1").as_deref(), Some("accepted"));
    assert_eq!(verdict_of(&device, "o2").as_deref(), Some("accepted"));
}

#[test]
fn a_newer_build_that_comes_back_sends_what_waited_for_it() {
    let mut device = sent_and_gone_back("word");
    device.connect();
    device.caught_up();
    device.decide();
    device
        .sql()
        .execute(
            "UPDATE commands SET command = 'callingInvite' WHERE op = 'newer'",
            [],
        )
        .unwrap();
    device.reopen();
    device.connect();
    assert_eq!(device.sent_of("command"), ["command 4 newer callingInvite"]);
}

#[test]
fn a_copy_gives_up_what_only_a_newer_build_can_read_too() {
    let mut device = sent_and_gone_back("word");
    device.start();
    device.up();
    let error = Error::new(Code::Dropped, "copied", "this one is a copy");
    device
        .hear(ToDevice::Refused(crate::protocol::Refused { error }))
        .unwrap();
    assert_eq!(verdict_of(&device, "newer").as_deref(), Some("dropped"));
    assert!(device.readers().pending().unwrap().is_empty());
}

#[test]
fn a_command_whose_verdict_the_server_does_not_know_any_more_ends_as_unknown() {
    let mut device = Device::in_call("c1");
    device
        .submit("o1", "c1", calling_invite(&["carl"]))
        .unwrap();
    device.lose_link();
    device.forget_what_was_said();
    // Decided, and forgotten, by a server that takes it for settled.
    device.server.last_number = 2;
    device.reconnect();
    assert!(device.heard().is_empty());
    device.submit("o2", "c1", quit()).unwrap();
    device.feed_open(&[], true);
    assert_eq!(device.heard(), ["verdict o1 UnknownOutcome forgotten"]);
    device.feed_history(&[], true);
    assert_eq!(device.sent_of("command"), ["command 3 o2 callQuit"]);
    device.decide();
    device.lose_link();
    let hello = device.reconnect();
    assert_eq!(hello.first_unsettled, 3, "it is done with");
}

#[test]
fn a_server_that_was_restored_decides_again_what_it_does_not_know_and_nothing_twice() {
    let mut device = Device::in_call("c1");
    device
        .submit("o1", "c1", calling_invite(&["carl"]))
        .unwrap();
    device
        .submit("o2", "c1", calling_invite(&["dora"]))
        .unwrap();
    let before = device.server.whole_record("c1");
    device.decisions();
    device.lose_link();
    device.submit("o3", "c1", quit()).unwrap();
    device.server.restore();
    device.server.put_back(before);
    device.server.last_number = 1;
    device.reconnect();
    assert_eq!(
        device.sent_of("command"),
        [
            "command 2 o1 callingInvite",
            "command 3 o2 callingInvite",
            "command 4 o3 callQuit"
        ]
    );
}

#[test]
fn verdicts_that_are_under_way_while_calls_change_are_waited_for() {
    let mut device = Device::in_call("c1");
    device
        .submit("o1", "c1", calling_invite(&["carl"]))
        .unwrap();
    let verdicts = device.decisions();
    device.live("c1");
    assert_eq!(verdict_of(&device, "o1"), None);
    for verdict in verdicts {
        device.hear(ToDevice::Verdict(Box::new(verdict))).unwrap();
    }
    assert_eq!(verdict_of(&device, "o1").as_deref(), Some("accepted"));
}
