//! What is said of the story, word for word.

use std::io::Read;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::{Fixture, assert_failed, inspect};

fn expected(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn calls() {
    let fixture = Fixture::new();
    assert_eq!(
        fixture.json(&["calls"]),
        expected(include_str!("expected/calls.json"))
    );
    assert_eq!(fixture.text(&["calls"]), include_str!("expected/calls.txt"));
}

#[test]
fn a_missed_call() {
    let fixture = Fixture::new();
    assert_eq!(
        fixture.json(&["call", "call-missed"]),
        expected(include_str!("expected/call_missed.json"))
    );
    assert_eq!(
        fixture.text(&["call", "call-missed"]),
        include_str!("expected/call_missed.txt")
    );
}

#[test]
fn a_call_with_many_commands() {
    let fixture = Fixture::new();
    assert_eq!(
        fixture.json(&["call", "call-team"]),
        expected(include_str!("expected/call_team.json"))
    );
    assert_eq!(
        fixture.text(&["call", "call-team"]),
        include_str!("expected/call_team.txt")
    );
}

#[test]
fn a_call_that_rang_here_and_control_characters_from_its_caller() {
    let fixture = Fixture::new();
    assert_eq!(
        fixture.text(&["call", "call-erin"]),
        include_str!("expected/call_erin.txt")
    );
    let call = &fixture.json(&["call", "call-erin"])["call"];
    assert_eq!(call["members"][1]["extended_data"], "sorry\n\u{1b}[2J");
    assert_eq!(
        call["rings"],
        json!([{
            "invitation": 1,
            "opened_at_ms": 1_767_229_200_500_i64,
            "deadline_ms": 1_767_229_230_000_i64,
            "closed_at_ms": 1_767_229_203_100_i64,
            "closed_how": "cancelled",
        }])
    );
}

#[test]
fn a_call_that_only_this_file_knows_of() {
    let fixture = Fixture::new();
    let story = fixture.json(&["call", "call-unsent"]);
    assert_eq!(story["call"], Value::Null);
    assert_eq!(story["commands"][0]["op"], "op-7");
    assert_eq!(story["timeline"][0]["what"], "callInvite");
    let text = fixture.text(&["call", "call-unsent"]);
    assert!(text.starts_with("no record of the call itself: the server has not taken it yet"));
}

#[test]
fn pending() {
    let fixture = Fixture::new();
    assert_eq!(
        fixture.json(&["pending"]),
        json!({"pending": [
            {
                "op": "op-6",
                "call_id": "call-now",
                "command": "callAccept",
                "queued_at_ms": 1_767_232_805_000_i64,
                "expires_at_ms": 1_767_232_890_000_i64,
                "sent": true,
                "attempts": 2,
                "last_error": "connection lost: timed out",
            },
            {
                "op": "op-7",
                "call_id": "call-unsent",
                "command": "callInvite",
                "queued_at_ms": 1_767_232_810_000_i64,
                "expires_at_ms": 1_767_232_840_000_i64,
                "sent": false,
                "attempts": 0,
                "last_error": null,
            },
        ]})
    );
    assert_eq!(
        fixture.text(&["pending"]),
        include_str!("expected/pending.txt")
    );
}

#[test]
fn timeline() {
    let fixture = Fixture::new();
    assert_eq!(
        fixture.json(&["timeline"]),
        expected(include_str!("expected/timeline.json"))
    );
    assert_eq!(
        fixture.text(&["timeline"]),
        include_str!("expected/timeline.txt")
    );
}

#[test]
fn timeline_since() {
    let fixture = Fixture::new();
    let timeline = fixture.json(&["timeline", "--since", "1767232805000"]);
    let ops: Vec<&Value> = timeline["timeline"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| &entry["what"])
        .collect();
    assert_eq!(ops, ["callAccept", "callInvite"]);
}

#[test]
fn who_ended_a_command() {
    let fixture = Fixture::new();
    fixture
        .app()
        .execute_batch(
            "DELETE FROM commands; DELETE FROM changes; DELETE FROM journal;
             INSERT INTO commands (op, call_id, command, arguments, queued_at_ms, expires_at_ms,
                 number, verdict, settled_at_ms) VALUES
             ('a', 'c', 'callInvite', '{}', 1, 0, NULL, 'withdrawn', 11),
             ('b', 'c', 'callCancel', '{}', 1, 0, NULL, 'accepted', 12),
             ('c', 'c', 'callAccept', '{}', 1, 0, 1, 'expired', 13),
             ('d', 'c', 'callQuit', '{}', 1, 0, 2, 'dropped', 14);",
        )
        .unwrap();
    let timeline = fixture.json(&["timeline", "--since", "10"]);
    let ends: Vec<[&Value; 2]> = timeline["timeline"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| [&entry["source"], &entry["what"]])
        .collect();
    assert_eq!(
        ends,
        [
            ["device", "callInvite withdrawn"],
            ["device", "callCancel accepted"],
            ["server", "callAccept expired"],
            ["device", "callQuit dropped"],
        ]
    );
}

#[test]
fn nothing_has_happened_yet() {
    let fixture = Fixture::empty();
    assert_eq!(fixture.text(&["calls"]), "no calls\n");
    assert_eq!(fixture.text(&["pending"]), "nothing is pending\n");
    assert_eq!(fixture.text(&["timeline"]), "nothing happened\n");
    assert_eq!(
        fixture.json(&["calls"]),
        json!({"calls": [], "next_flag": 0})
    );
    assert_eq!(fixture.json(&["pending"]), json!({"pending": []}));
    assert_eq!(fixture.json(&["timeline"]), json!({"timeline": []}));
}

#[test]
fn an_unknown_call_is_a_failure_that_says_how_to_list() {
    let fixture = Fixture::new();
    for json in [&["call", "call-42"][..], &["call", "call-42", "--json"]] {
        let output = inspect(&fixture.database, json);
        assert_failed(&output, &["alice.db", "\"call-42\"", "calls` lists"]);
    }
}

#[test]
fn wrong_usage() {
    let fixture = Fixture::new();
    for question in [
        &[][..],
        &["nonsense"],
        &["call"],
        &["calls", "--count", "0"],
        &["calls", "--count", "many"],
        &["calls", "--with", "no/slash"],
        &["calls", "--next-flag", "-1"],
        &["calls", "--state", "brilliant"],
        &["timeline", "--since", "yesterday"],
    ] {
        let output = inspect(&fixture.database, question);
        assert_eq!(output.status.code(), Some(2), "{question:?}");
        assert!(output.stdout.is_empty(), "{question:?}");
    }
}

#[test]
fn json_is_one_document_on_one_line_wherever_the_flag_stands() {
    let fixture = Fixture::new();
    let before = Command::new(env!("CARGO_BIN_EXE_offhook"))
        .args(["inspect", "--json"])
        .arg(&fixture.database)
        .arg("pending")
        .output()
        .unwrap();
    let after = inspect(&fixture.database, &["pending", "--json"]);
    assert_eq!(before, after);
    assert_eq!(
        after.stdout.iter().filter(|byte| **byte == b'\n').count(),
        1
    );
    assert_eq!(after.stdout.last(), Some(&b'\n'));
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let fixture = Fixture::new();
    // More than fits into a pipe.
    fixture
        .app()
        .execute_batch(
            "WITH RECURSIVE few(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM few WHERE n < 100)
             INSERT INTO journal (at_ms, call_id, name, params)
             SELECT n, 'c', 'e', '\"' || hex(zeroblob(5000)) || '\"' FROM few;",
        )
        .unwrap();
    let mut running = Command::new(env!("CARGO_BIN_EXE_offhook"))
        .arg("inspect")
        .arg(&fixture.database)
        .arg("timeline")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(running.stdout.take());
    let mut said = String::new();
    let mut stderr = running.stderr.take().unwrap();
    stderr.read_to_string(&mut said).unwrap();
    assert_eq!(running.wait().unwrap().code(), Some(0));
    assert_eq!(said, "");
}

#[test]
fn help_teaches_with_examples() {
    for question in [
        &["inspect", "--help"][..],
        &["inspect", "x", "calls", "--help"],
        &["inspect", "x", "call", "--help"],
        &["inspect", "x", "timeline", "--help"],
        &["inspect", "x", "doctor", "--help"],
        &["inspect", "x", "export", "--help"],
        &["inspect", "x", "watch", "--help"],
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_offhook"))
            .args(question)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(0));
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains("offhook inspect alice.db"), "{text}");
    }
}
