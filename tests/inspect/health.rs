//! Figures and findings: what is said of the story, of every contradiction that is looked for, and
//! of files that are damaged, older, newer, or nothing of ours.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Output;

use rusqlite::Connection;
use serde_json::{Value, json};

use super::{Fixture, NEWEST, STORY, assert_failed, inspect};

fn expected(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// The document, whatever the exit code, which has to fit it.
fn doctor(database: &Path) -> Value {
    let output = inspect(database, &["doctor", "--json"]);
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_exit_code(&output, &document);
    document
}

fn assert_exit_code(output: &Output, document: &Value) {
    let findings = document["findings"].as_array().unwrap();
    let errors = findings.iter().filter(|found| found["severity"] == "error");
    let errors = errors.count();
    assert_eq!(document["ok"], errors == 0);
    let said = String::from_utf8(output.stderr.clone()).unwrap();
    if errors == 0 {
        assert_eq!((output.status.code(), said.as_str()), (Some(0), ""));
    } else {
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(said.contains("errors found"), "{said}");
    }
}

fn codes(document: &Value) -> Vec<&str> {
    let findings = document["findings"].as_array().unwrap();
    let codes = findings.iter().map(|found| found["code"].as_str().unwrap());
    codes.collect()
}

#[test]
fn stats() {
    let fixture = Fixture::new();
    let bytes = fs::metadata(&fixture.database).unwrap().len();
    let mut stats = fixture.json(&["stats"]);
    assert_eq!(stats["file"]["bytes"].take(), json!(bytes));
    assert_eq!(stats, expected(include_str!("expected/stats.json")));
    let text = fixture.text(&["stats"]);
    let text = text.replace(&format!("{bytes} bytes"), "N bytes");
    assert_eq!(text, include_str!("expected/stats.txt"));
}

#[test]
fn stats_of_a_file_in_which_nothing_has_happened_and_of_an_older_one() {
    let fixture = Fixture::empty();
    let stats = fixture.json(&["stats"]);
    assert_eq!(stats["calls"], 0);
    assert_eq!(stats["clock"], json!({"offset_ms": null}));
    assert_eq!(stats["feed"]["heard_at_ms"], 0);
    let older = Fixture::of_version(1);
    assert_eq!(older.json(&["stats"])["lease"], Value::Null);
    assert!(!older.text(&["stats"]).contains("syncs"));
}

#[test]
fn stats_of_a_file_in_use_tell_the_log_beside_it_readers_and_the_lease() {
    let fixture = Fixture::new();
    let app = fixture.app();
    app.execute_batch(
        "INSERT INTO journal_readers VALUES ('widget', 0);
         UPDATE feed SET epoch = -1;
         UPDATE lease SET generation = 3, holder = 'demo 1.0, process 7', taken_at_ms = 1767232700000;",
    )
    .unwrap();
    let stats = fixture.json(&["stats"]);
    assert!(stats["file"]["wal_bytes"].as_u64().unwrap() > 0);
    assert_eq!(stats["feed"]["epoch"], u64::MAX, "as the engine has it");
    assert_eq!(
        stats["readers"],
        json!([
            {"reader": "app", "position": 1, "unread": 1},
            {"reader": "widget", "position": 0, "unread": 2},
        ])
    );
    assert_eq!(stats["lease"]["generation"], 3);
    let text = fixture.text(&["stats"]);
    assert!(
        text.contains("demo 1.0, process 7 since 2026-01-01T01:58:20.000Z, generation 3"),
        "{text}"
    );
}

#[test]
fn doctor_on_the_story() {
    let fixture = Fixture::new();
    assert_eq!(
        doctor(&fixture.database),
        expected(include_str!("expected/doctor.json"))
    );
    assert_eq!(
        fixture.text(&["doctor"]),
        include_str!("expected/doctor.txt")
    );
}

#[test]
fn doctor_finds_nothing_in_a_file_that_a_device_left_after_a_day_but_that_it_is_older() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("alice.db");
    let left = include_str!("../../schema/client/fixtures/0001.sql");
    Connection::open(&path)
        .unwrap()
        .execute_batch(left)
        .unwrap();
    let found = doctor(&path);
    assert_eq!(codes(&found), ["older"], "{found}");
}

/// What somebody does to a sound file, what is found then, how bad it is, and a part of the text.
const CASES: &[(&str, &str, &str, &str)] = &[
    ("DELETE FROM meta WHERE key = 'user_id'; UPDATE calls SET my_state = 'unknown'",
     "identity", "error", "user_id"),
    ("DELETE FROM feed", "one_row", "error", "feed has 0"),
    ("DELETE FROM lease", "one_row", "error", "lease has 0"),
    ("PRAGMA foreign_keys = OFF; INSERT INTO members SELECT 7, 0, 'zoe', inviter, invitation,
      invited_at_ms, timeout_s, deadline_ms, invite_data, state, state_revision, state_time_ms,
      extended_data, changed_by, acting_device, accept_time_ms, join_time_ms, quit_time_ms,
      participation FROM members LIMIT 1", "orphans", "error", "zoe of 7"),
    ("INSERT INTO rings VALUES ('gone', 1, 1, 1, 1, 'timeout')", "orphans", "warning", "gone 1"),
    ("INSERT INTO changes (call_id, at_ms, learned_ms, user_id, state) VALUES ('gone', 1, 1, 'a', 'x')",
     "orphans", "warning", "gone"),
    ("DELETE FROM members WHERE sort_key = 1767229200000 << 11;
      UPDATE calls SET my_state = 'unknown' WHERE call_id = 'call-team'",
     "no_members", "error", "call-team"),
    ("UPDATE members SET user_id = 'bob' WHERE user_id = 'carol'",
     "member_twice", "error", "bob in call-team"),
    ("UPDATE calls SET my_state = 'quit' WHERE call_id = 'call-team'",
     "my_state", "error", "call-team (quit)"),
    ("UPDATE calls SET end_kind = NULL WHERE call_id = 'call-team'", "call_end", "error", "call-team"),
    ("UPDATE calls SET end_time_ms = 5 WHERE call_id = 'call-now'", "call_end", "error", "call-now"),
    ("UPDATE calls SET create_time_ms = create_time_ms + 1 WHERE call_id = 'call-team'",
     "sort_key", "warning", "call-team"),
    ("UPDATE rings SET closed_how = NULL WHERE call_id = 'call-erin'",
     "ring_end", "error", "call-erin 1"),
    ("UPDATE rings SET closed_how = NULL, closed_at_ms = 0, deadline_ms = 0 WHERE call_id = 'call-erin'",
     "ring_of_ended", "error", "call-erin 1"),
    ("UPDATE commands SET settled_at_ms = 0 WHERE op = 'op-2'", "verdict", "error", "op-2"),
    ("UPDATE commands SET attempts = 0 WHERE op = 'op-2'", "number", "error", "op-2"),
    ("INSERT INTO meta VALUES ('next_number', '5')", "number", "error", "op-6"),
    ("INSERT INTO meta VALUES ('next_number', '9x')", "next_number", "error", "9x"),
    ("UPDATE journal_readers SET position = 3", "reader_ahead", "error", "app at 3"),
    ("UPDATE journal SET params = '{' WHERE position = 1", "json", "error", "journal 1"),
    ("UPDATE commands SET result = 'yes' WHERE op = 'op-2'", "json", "error", "commands op-2"),
    ("UPDATE calls SET mode = 'solemn' WHERE call_id = 'call-team'",
     "words", "warning", "calls.mode solemn"),
    ("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 998)
      INSERT INTO commands (op, call_id, command, arguments, queued_at_ms, expires_at_ms)
      SELECT 'x' || i, 'c', 'callQuit', '{}', 4000000000000, 0 FROM n",
     "outbox_full", "error", "1000"),
    ("INSERT INTO commands (op, call_id, command, arguments, queued_at_ms, expires_at_ms, last_error)
      VALUES ('x', 'c', 'callQuit', '{}', 1, 0, 'refused')",
     "stuck", "warning", "callQuit x, refused"),
    ("DELETE FROM commands WHERE op = 'op-6'",
     "ring_overdue", "warning", "call-now since 2026-01-01T02:01:30.000Z"),
    ("UPDATE calls SET epoch = 0 WHERE call_id = 'call-now'", "doubted", "warning", "call-now"),
    ("UPDATE feed SET heard_at_ms = 0", "never_heard", "warning", "never heard"),
    ("INSERT INTO meta VALUES ('set_aside', '/data/alice.db.corrupt-1')",
     "set_aside", "warning", "/data/alice.db.corrupt-1"),
    ("UPDATE meta SET value = '-400000' WHERE key = 'clock_offset_ms'", "clock", "warning", "-400 s"),
    ("UPDATE lease SET generation = 1, holder = 'demo, process 7', taken_at_ms = 1767232802000",
     "lease", "warning", "demo, process 7, since 2026-01-01T02:00:02.000Z"),
    ("DROP INDEX calls_open", "schema", "error", "index calls_open"),
    ("ALTER TABLE rings ADD COLUMN mood TEXT", "schema", "error", "table rings"),
    ("CREATE TRIGGER mine AFTER INSERT ON calls BEGIN DELETE FROM rings; END",
     "schema_more", "warning", "trigger mine"),
    ("PRAGMA application_id = 0", "mark", "error", "application_id is 0"),
    ("PRAGMA user_version = 0", "version", "error", "user_version is 0"),
    ("PRAGMA user_version = 7", "newer", "warning", "version 7"),
];

#[test]
fn each_contradiction_is_found_by_name_and_nothing_else_with_it() {
    let sound = doctor(&Fixture::new().database);
    let sound = sound["findings"].as_array().unwrap();
    for (done, code, severity, part) in CASES {
        let fixture = Fixture::new();
        fixture.app().execute_batch(done).unwrap();
        let found = doctor(&fixture.database);
        let found = found["findings"].as_array().unwrap();
        let known: BTreeSet<String> = sound.iter().map(Value::to_string).collect();
        let fresh: Vec<&Value> = found
            .iter()
            .filter(|found| !known.contains(&found.to_string()))
            .collect();
        assert_eq!(fresh.len(), 1, "{done}: {fresh:#?}");
        assert_eq!(fresh[0]["code"], *code, "{done}");
        assert_eq!(fresh[0]["severity"], *severity, "{done}");
        let text = fresh[0]["text"].as_str().unwrap();
        assert!(text.contains(part), "{done}: {text}");
        assert!(!fresh[0]["advice"].as_str().unwrap().is_empty(), "{done}");
    }
}

#[test]
fn what_an_app_left_beside_the_file_and_a_log_that_grew_are_findings_too() {
    let fixture = Fixture::new();
    let sound = codes(&doctor(&fixture.database)).len();
    let mark = fixture.folder.path().join("alice.db.suspected");
    fs::write(&mark, "").unwrap();
    let found = doctor(&fixture.database);
    assert_eq!(codes(&found).len(), sound + 1);
    assert!(codes(&found).contains(&"suspected"), "{found}");
    fs::remove_file(mark).unwrap();
    // Nothing is in it that SQLite would take for its own: it is long, that is all.
    let log = fs::File::create(fixture.folder.path().join("alice.db-wal")).unwrap();
    log.set_len(64 * 1024 * 1024 + 1).unwrap();
    let found = doctor(&fixture.database);
    assert!(codes(&found).contains(&"wal_large"), "{found}");
}

#[test]
fn a_server_s_database_and_what_cannot_be_opened_are_findings_too() {
    let fixture = Fixture::new();
    let app = fixture.app();
    app.execute_batch("PRAGMA application_id = 1330006099")
        .unwrap();
    drop(app);
    assert_eq!(codes(&doctor(&fixture.database)), ["not_ours"]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("alice.db");
    for (content, code) in [(&b""[..], "empty"), (&[7; 8192], "not_a_database")] {
        fs::write(&path, content).unwrap();
        let found = doctor(&path);
        assert_eq!(codes(&found), [code]);
        assert_ne!(found["findings"][0]["advice"], "");
        assert_eq!(fs::read(&path).unwrap(), content);
    }
    let missing = inspect(&folder.path().join("bob.db"), &["doctor", "--json"]);
    assert_failed(&missing, &["bob.db: there is no such file"]);
}

#[test]
fn damage_is_an_error_wherever_it_is_and_looking_for_it_changes_nothing() {
    let fixture = Fixture::new();
    let whole = fs::read(&fixture.database).unwrap();
    let page = 4096;
    for first in (page..whole.len()).step_by(page) {
        let mut damaged = whole.clone();
        damaged[first..first + page].fill(0xa5);
        fs::write(&fixture.database, &damaged).unwrap();
        let found = doctor(&fixture.database);
        assert!(
            codes(&found).contains(&"damaged"),
            "page at {first}: {found}"
        );
        assert_eq!(fs::read(&fixture.database).unwrap(), damaged);
    }
    assert_eq!(fixture.files().len(), 1);
}

#[test]
fn what_can_be_read_of_a_damaged_file_is_shown_with_a_note() {
    let fixture = Fixture::empty();
    fixture
        .app()
        .execute_batch(&format!(
            "{STORY}
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 400)
             INSERT INTO calls (sort_key, call_id, epoch, revision, mode, caller, create_time_ms,
                 timeout_s, extended_data, not_received_check, state, my_state)
             SELECT i << 11, 'old-' || i, 1, 1, 'general', 'bob', i, 60, hex(zeroblob(200)), 0,
                    'started', 'unknown' FROM n"
        ))
        .unwrap();
    let page: u32 = fixture
        .app()
        .query_row(
            // A page near the end of the table; SQLite numbers them from one.
            "SELECT pageno FROM dbstat WHERE name = 'calls' AND pagetype = 'leaf'
              ORDER BY path DESC LIMIT 1 OFFSET 3",
            [],
            |row| row.get(0),
        )
        .unwrap();
    let page = usize::try_from(page).unwrap();
    let mut content = fs::read(&fixture.database).unwrap();
    content[(page - 1) * 4096..page * 4096].fill(0xa5);
    fs::write(&fixture.database, &content).unwrap();
    for question in [
        &["calls", "--count", "100", "--state", "started"][..],
        &["export"],
    ] {
        let output = inspect(&fixture.database, question);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let note = String::from_utf8(output.stderr).unwrap();
        assert!(
            note.contains("is damaged") && note.contains("doctor"),
            "{note}"
        );
        assert!(String::from_utf8(output.stdout).unwrap().contains("old-"));
    }
}

#[test]
fn every_version_of_the_layout_that_there_was_is_what_this_build_expects_of_it() {
    for version in 1..=NEWEST {
        let fixture = Fixture::of_version(version);
        fixture.app().execute_batch(STORY).unwrap();
        let found = doctor(&fixture.database);
        assert!(!codes(&found).contains(&"schema"), "{found}");
        assert_eq!(codes(&found).contains(&"older"), version < NEWEST);
    }
}
