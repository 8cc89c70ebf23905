//! Files with real damage: what can be read beside it is shown, and none of it twice.

use std::collections::BTreeSet;
use std::fs;

use rusqlite::Connection;
use serde_json::Value;

use super::{Fixture, STORY, inspect};

const PAGE: usize = 4096;
/// Calls beside those of the story; `old-7` and the like.
const CALLS: i64 = 600;

/// A database with a long history: every call has two members, every third is missed, every fourth
/// goes on, and of some only commands tell.
fn long() -> Fixture {
    let fixture = Fixture::empty();
    let n = format!(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {CALLS})"
    );
    let members = |position: u8, user: &str| {
        format!(
            "{n} INSERT INTO members SELECT (i * 60000) << 11, {position}, {user}, NULL, 0, 0, 0, 0,
                 '', 'accepted', 1, i, '', NULL, NULL, 0, 0, 0, 1 FROM n;"
        )
    };
    let sql = format!(
        "{STORY}
         {n} INSERT INTO calls (sort_key, call_id, epoch, revision, mode, caller, create_time_ms,
                 timeout_s, extended_data, not_received_check, state, end_kind, end_time_ms, my_state,
                 missed)
             SELECT (i * 60000) << 11, 'old-' || i, 1, 1, 'general', 'bob', i * 60000, 60,
                    hex(zeroblob(100)), 0, iif(i % 4, 'ended', 'started'), iif(i % 4, 'ended', NULL),
                    iif(i % 4, i, 0), 'unknown', i % 3 = 0 FROM n;
         {} {}
         {n} INSERT INTO commands (op, call_id, command, arguments, queued_at_ms, expires_at_ms)
             SELECT 'late-' || i, 'unsent-' || i, 'callInvite', hex(zeroblob(100)), 5, 0 FROM n;",
        members(0, "'bob'"),
        members(1, "'user-' || (i % 5)")
    );
    fixture.app().execute_batch(&sql).unwrap();
    fixture
}

/// The pages that have the rows of a table or index, in its order; SQLite numbers them from one.
fn leaves(fixture: &Fixture, name: &str) -> Vec<usize> {
    let app = fixture.app();
    let mut statement = app
        .prepare("SELECT pageno FROM dbstat WHERE name = ? AND pagetype = 'leaf' ORDER BY path")
        .unwrap();
    let pages = statement.query_map([name], |row| row.get::<_, u32>(0));
    pages
        .unwrap()
        .map(|page| usize::try_from(page.unwrap()).unwrap())
        .collect()
}

fn root(fixture: &Fixture, name: &str) -> usize {
    let sql = "SELECT rootpage FROM sqlite_schema WHERE name = ?";
    let page: u32 = fixture
        .app()
        .query_row(sql, [name], |row| row.get(0))
        .unwrap();
    usize::try_from(page).unwrap()
}

fn damage(fixture: &Fixture, pages: &[usize]) {
    let mut content = fs::read(&fixture.database).unwrap();
    for page in pages {
        content[(page - 1) * PAGE..page * PAGE].fill(0xa5);
    }
    fs::write(&fixture.database, &content).unwrap();
}

/// What a program reads, and what is said on stderr.
fn read(fixture: &Fixture, question: &[&str]) -> (Vec<Value>, String) {
    let output = inspect(&fixture.database, question);
    let note = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(0), "{question:?}: {note}");
    let lines = String::from_utf8(output.stdout).unwrap();
    let documents = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    (documents.collect(), note)
}

/// All calls that match, page by page.
fn pages(fixture: &Fixture, filter: &[&str]) -> Vec<Value> {
    let mut calls = Vec::new();
    let mut flag = 0;
    loop {
        let next_flag = flag.to_string();
        let page = [
            "calls",
            "--json",
            "--count",
            "50",
            "--next-flag",
            &next_flag,
        ];
        let (mut documents, _) = read(fixture, &[&page, filter].concat());
        let document = documents.pop().unwrap();
        calls.extend(document["calls"].as_array().unwrap().iter().cloned());
        flag = document["next_flag"].as_i64().unwrap();
        if flag == 0 {
            return calls;
        }
    }
}

fn ids(calls: &[Value]) -> Vec<String> {
    let ids = calls.iter().map(|call| call["call_id"].as_str().unwrap());
    ids.map(str::to_owned).collect()
}

/// The ids of the calls of which SQLite still finds the row by its key, newest first.
fn readable(fixture: &Fixture, keys: &[i64], fits: &str) -> Vec<String> {
    let connection = fixture.app();
    let sql = format!("SELECT call_id, {fits} FROM calls NOT INDEXED WHERE sort_key = ?");
    let found = keys.iter().rev().filter_map(|key| {
        let row = connection.query_row(&sql, [key], |row| Ok((row.get(0)?, row.get(1)?)));
        row.ok()
    });
    found.filter(|(_, fits)| *fits).map(|(id, _)| id).collect()
}

fn keys(fixture: &Fixture) -> Vec<i64> {
    let app = fixture.app();
    let mut statement = app
        .prepare("SELECT sort_key FROM calls ORDER BY sort_key")
        .unwrap();
    let keys = statement.query_map([], |row| row.get(0)).unwrap();
    keys.map(Result::unwrap).collect()
}

fn exported(fixture: &Fixture) -> (Vec<Value>, Vec<String>, String) {
    let (stories, note) = read(fixture, &["export"]);
    let recorded = stories.iter().filter(|story| !story["call"].is_null());
    let recorded = recorded.map(|story| story["call"].clone()).collect();
    let others = stories.iter().filter(|story| story["call"].is_null());
    let others = others.map(|story| story["commands"][0]["op"].as_str().unwrap().to_owned());
    (recorded, others.collect(), note)
}

const FILTERS: [(&[&str], &str); 5] = [
    (&[], "TRUE"),
    (&["--state", "started"], "state = 'started'"),
    (&["--missed"], "missed = 1"),
    (
        &["--with", "user-3"],
        "EXISTS (SELECT 1 FROM members WHERE members.sort_key = calls.sort_key AND user_id = 'user-3')",
    ),
    (&["--since", "12000000"], "create_time_ms >= 12000000"),
];

#[test]
fn every_call_beside_damaged_pages_is_paged_and_exported_once() {
    // The first, the last, several in a row, and sound ones between damaged ones, also where more
    // is damaged before and behind than is sound.
    for spoiled in [
        &[0][..],
        &[usize::MAX],
        &[7, 8, 9],
        &[2, 4, 6, 8, 10],
        &[3, 4, 5, 7],
        &[5, 7, 8, 9],
    ] {
        let fixture = long();
        let keys = keys(&fixture);
        let leaves = leaves(&fixture, "calls");
        assert!(leaves.len() > 12, "{leaves:?}");
        let spoiled: Vec<usize> = spoiled
            .iter()
            .map(|leaf| leaves[(*leaf).min(leaves.len() - 1)])
            .collect();
        damage(&fixture, &spoiled);
        for (filter, fits) in FILTERS {
            let expected = readable(&fixture, &keys, fits);
            assert_eq!(ids(&pages(&fixture, filter)), expected, "{filter:?}");
        }
        let mut expected = readable(&fixture, &keys, "TRUE");
        assert!(expected.len() < keys.len() && expected.len() > keys.len() / 2);
        expected.reverse();
        let (recorded, _, note) = exported(&fixture);
        assert_eq!(ids(&recorded), expected);
        assert!(note.contains("is damaged"), "{note}");
        let (_, note) = read(&fixture, &["calls", "--json", "--count", "100", "--missed"]);
        assert_eq!(note.contains("is damaged"), !note.is_empty());
    }
}

#[test]
fn pages_in_the_place_of_others_lead_nobody_in_a_circle() {
    for (from, to) in [(8, 6), (4, 6)] {
        let fixture = long();
        let keys = keys(&fixture);
        let leaves = leaves(&fixture, "calls");
        let mut content = fs::read(&fixture.database).unwrap();
        let from = (leaves[from] - 1) * PAGE;
        content.copy_within(from..from + PAGE, (leaves[to] - 1) * PAGE);
        fs::write(&fixture.database, &content).unwrap();
        let listed = pages(&fixture, &[]);
        let (mut recorded, ..) = exported(&fixture);
        recorded.reverse();
        for calls in [listed, recorded] {
            let times = calls.iter().map(|call| call["create_time_ms"].as_i64());
            let times: Vec<_> = times.collect();
            assert!(times.is_sorted_by(|newer, older| newer >= older));
            let once: BTreeSet<String> = ids(&calls).into_iter().collect();
            assert_eq!(once.len(), calls.len());
            // What was on the page, and what the wrong one hides.
            assert!(calls.len() < keys.len() && calls.len() > keys.len() - 60);
        }
    }
}

#[test]
fn without_members_to_go_by_the_calls_on_the_other_side_are_found_too() {
    let fixture = long();
    fixture.app().execute_batch("DELETE FROM members").unwrap();
    let keys = keys(&fixture);
    let leaves = leaves(&fixture, "calls");
    damage(&fixture, &[leaves[4], leaves[9]]);
    let mut expected = readable(&fixture, &keys, "TRUE");
    assert_eq!(ids(&pages(&fixture, &[])), expected);
    expected.reverse();
    assert_eq!(ids(&exported(&fixture).0), expected);
}

#[test]
fn where_the_members_are_damaged_as_well_all_sound_calls_are_shown() {
    let fixture = long();
    let keys = keys(&fixture);
    let (calls, members) = (leaves(&fixture, "calls"), leaves(&fixture, "members"));
    damage(&fixture, &[calls[4], members[3], root(&fixture, "members")]);
    let expected = readable(&fixture, &keys, "TRUE");
    assert_eq!(ids(&pages(&fixture, &[])), expected);
}

#[test]
fn calls_whose_members_are_sound_have_them_beside_others() {
    let fixture = long();
    let members = leaves(&fixture, "members");
    damage(&fixture, &[members[4]]);
    let calls = pages(&fixture, &[]);
    assert_eq!(calls.len(), keys(&fixture).len());
    let of = |call: &&Value| call["members"].as_array().unwrap().is_empty();
    let bare = calls.iter().filter(of).count();
    // What one page holds, and no more.
    assert!((1..60).contains(&bare), "{bare}");
}

#[test]
fn a_damaged_index_keeps_no_call_from_being_found() {
    for index in [
        "calls_open",
        "calls_missed",
        "members_user",
        "sqlite_autoindex_calls_1",
    ] {
        let fixture = long();
        let sound = FILTERS.map(|(filter, _)| pages(&fixture, filter));
        damage(&fixture, &[root(&fixture, index)]);
        for ((filter, _), sound) in FILTERS.iter().zip(&sound) {
            assert!(!sound.is_empty());
            assert_eq!(pages(&fixture, filter), *sound, "{index} {filter:?}");
        }
        let mut expected = ids(&sound[0]);
        expected.reverse();
        assert_eq!(ids(&exported(&fixture).0), expected, "{index}");
        let (story, _) = read(&fixture, &["call", "old-77", "--json"]);
        assert_eq!(story[0]["call"]["call_id"], "old-77", "{index}");
        assert_eq!(story[0]["call"]["members"][1]["user_id"], "user-2");
    }
}

#[test]
fn calls_that_only_commands_tell_of_are_exported_beside_damaged_ones() {
    let fixture = long();
    let leaves = leaves(&fixture, "commands");
    damage(&fixture, &[leaves[3], leaves[5]]);
    let connection = fixture.app();
    let sql = "SELECT op FROM commands NOT INDEXED WHERE n = ?";
    let expected: BTreeSet<String> = (1..CALLS + 10)
        .filter_map(|n| connection.query_row(sql, [n], |row| row.get(0)).ok())
        .filter(|op: &String| op.starts_with("late-"))
        .collect();
    assert!(expected.len() > 500 && expected.len() < 600);
    let (_, others, told) = exported(&fixture);
    let found: BTreeSet<String> = others.iter().cloned().collect();
    assert_eq!(others.len(), found.len(), "one twice");
    let (pending, note) = read(&fixture, &["pending", "--json"]);
    let pending = pending[0]["pending"].as_array().unwrap();
    let pending = pending
        .iter()
        .map(|command| command["op"].as_str().unwrap());
    let waiting: Vec<&str> = pending.filter(|op| op.starts_with("late-")).collect();
    assert_eq!(waiting.len(), expected.len());
    assert!(note.contains("is damaged"), "{note}");
    let late: BTreeSet<String> = found
        .into_iter()
        .filter(|op| op.starts_with("late-"))
        .collect();
    assert_eq!(late, expected);
    assert!(told.contains("is damaged"), "{told}");
}

#[test]
fn where_the_journal_is_damaged_the_rest_of_what_happened_is_told() {
    let fixture = Fixture::new();
    let entries = |document: &Value| document["timeline"].as_array().unwrap().clone();
    for question in [
        &["timeline", "--json"][..],
        &["timeline", "--json", "--since", "1767229200500"],
        &["call", "call-team", "--json"],
    ] {
        let mut expected = entries(&read(&fixture, question).0[0]);
        let all = expected.len();
        expected.retain(|entry| entry["source"] != "app");
        assert!(expected.len() > 5 && expected.len() < all);
        let whole = fs::read(&fixture.database).unwrap();
        damage(&fixture, &[root(&fixture, "journal")]);
        let (documents, note) = read(&fixture, question);
        assert_eq!(entries(&documents[0]), expected, "{question:?}");
        assert!(note.contains("is damaged"), "{note}");
        fs::write(&fixture.database, whole).unwrap();
    }
}

/// What `doctor` finds; it has to be an error.
fn doctor(fixture: &Fixture) -> String {
    let output = inspect(&fixture.database, &["doctor", "--json"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let findings = document["findings"].as_array().unwrap();
    let found = findings.iter().find(|found| found["code"] == "damaged");
    let found = found.unwrap_or_else(|| panic!("{document}"));
    assert_eq!(found["severity"], "error");
    assert!(found["advice"].as_str().unwrap().contains(".recover"));
    found["text"].as_str().unwrap().to_owned()
}

#[test]
fn a_file_that_is_short_by_a_page_is_shown_as_far_as_it_goes() {
    let fixture = long();
    let whole = fs::read(&fixture.database).unwrap();
    let sound = [pages(&fixture, &[]), pages(&fixture, &["--missed"])];
    let (_, note) = read(&fixture, &["calls", "--json"]);
    assert_eq!(note, "");
    for missing in [1, PAGE, PAGE * 3 + 100] {
        let rest = &whole[..whole.len() - missing];
        fs::write(&fixture.database, rest).unwrap();
        let (_, note) = read(&fixture, &["calls", "--json"]);
        let cut = format!("cut off after {} of its {} bytes", rest.len(), whole.len());
        assert!(note.contains(&cut) && note.contains("doctor"), "{note}");
        // What is missing is of the commands, which came last.
        assert_eq!(pages(&fixture, &[]), sound[0]);
        assert_eq!(pages(&fixture, &["--missed"]), sound[1]);
        assert!(doctor(&fixture).contains(&cut));
        assert!(
            fs::read(&fixture.database).unwrap() == rest,
            "it was changed"
        );
        assert_eq!(fixture.files().len(), 1);
    }
}

#[test]
fn a_file_of_which_much_is_gone_shows_the_calls_that_are_left() {
    let fixture = long();
    let keys = keys(&fixture);
    let whole = fs::read(&fixture.database).unwrap();
    let third = whole.len() / PAGE / 3 * PAGE;
    // Also in the middle of a page, of which the rest then reads as zeros.
    for bytes in (third..third + PAGE).step_by(100) {
        fs::write(&fixture.database, &whole[..third]).unwrap();
        let connection = Connection::open(&fixture.database).unwrap();
        connection
            .execute_batch("PRAGMA writable_schema = ON; PRAGMA query_only = ON")
            .unwrap();
        let sql = "SELECT call_id FROM calls NOT INDEXED WHERE sort_key = ?";
        let expected: Vec<String> = keys
            .iter()
            .rev()
            .filter_map(|key| connection.query_row(sql, [key], |row| row.get(0)).ok())
            .collect();
        assert!(!expected.is_empty() && expected.len() < keys.len());
        drop(connection);
        fs::write(&fixture.database, &whole[..bytes]).unwrap();
        let found = ids(&pages(&fixture, &[]));
        if bytes == third {
            assert_eq!(found, expected);
        }
        let missed: Vec<&String> = expected.iter().filter(|id| !found.contains(id)).collect();
        assert!(missed.is_empty(), "{bytes}: {missed:?}");
        assert!(found.iter().all(|id| !id.is_empty()), "{bytes}: {found:?}");
        doctor(&fixture);
    }
}

#[test]
fn a_row_of_the_schema_that_makes_no_sense_hides_nothing_else() {
    for ghost in [
        "'table', 'ghost', 'ghost', 99999, 'CREATE TABLE ghost (a)'",
        "'table', 'ghost', 'ghost', 3, 'CREATE TABLE ghost (a'",
        "'index', 'ghost', 'nowhere', 3, 'CREATE INDEX ghost ON nowhere (a)'",
        "'view', NULL, NULL, NULL, NULL",
    ] {
        let fixture = long();
        let sound = pages(&fixture, &[]);
        let (stories, _) = read(&fixture, &["call", "call-team", "--json"]);
        let sql =
            format!("PRAGMA writable_schema = ON; INSERT INTO sqlite_schema VALUES ({ghost})");
        fixture.app().execute_batch(&sql).unwrap();
        let before = fixture.files();
        assert_eq!(pages(&fixture, &[]), sound, "{ghost}");
        let (again, note) = read(&fixture, &["call", "call-team", "--json"]);
        assert_eq!(again, stories);
        assert!(
            note.contains("is damaged") && note.contains("doctor"),
            "{note}"
        );
        for question in [&["pending"][..], &["timeline"], &["stats"], &["export"]] {
            let output = inspect(&fixture.database, question);
            assert_eq!(output.status.code(), Some(0), "{ghost}: {output:?}");
        }
        let said = doctor(&fixture);
        assert!(said.contains("malformed"), "{said}");
        assert!(fixture.files() == before, "it was changed");
    }
}
