//! The list page by page and with filters, and what is cut of a long timeline.

use serde_json::Value;

use super::{Fixture, inspect};

/// Calls 1 to `count`, a ms apart but for the last three, which share one; every third is missed,
/// every fifth goes on, every seventh is with Carol.
fn fixture_of(count: i64) -> Fixture {
    fill(Fixture::empty(), count)
}

fn fill(fixture: Fixture, count: i64) -> Fixture {
    fixture
        .app()
        .execute_batch(&format!(
            "INSERT INTO meta VALUES ('user_id', 'alice');
             CREATE TEMP TABLE plan AS
                 WITH RECURSIVE plan(n) AS
                     (SELECT 1 UNION ALL SELECT n + 1 FROM plan WHERE n < {count})
                 SELECT n, min(n, {count} - 2) AS ms,
                        (min(n, {count} - 2) << 11) + max(0, n - ({count} - 2)) AS sort_key
                   FROM plan;
             INSERT INTO calls (sort_key, call_id, epoch, revision, mode, caller, create_time_ms,
                 timeout_s, extended_data, not_received_check, state, my_state, missed)
             SELECT sort_key, 'c' || n, 1, 1, 'general', 'bob', ms, 60, '', 0,
                    CASE n % 5 WHEN 0 THEN 'started' ELSE 'ended' END, 'timeout', n % 3 = 0
               FROM plan;
             INSERT INTO members
             SELECT sort_key, place, CASE place WHEN 0 THEN 'bob' WHEN 1 THEN 'alice'
                    ELSE 'carol' END, CASE place WHEN 0 THEN NULL ELSE 'bob' END, place, 0, 60, 0,
                    '', 'accepted', 1, 0, 'of c' || n, NULL, NULL, 0, 0, 0, 1
               FROM plan, (SELECT 0 AS place UNION SELECT 1 UNION SELECT 2)
              WHERE place < 2 OR n % 7 = 0;"
        ))
        .unwrap();
    fixture
}

/// All pages of a list: the numbers of the calls, and the sizes of the pages.
fn walk(fixture: &Fixture, filter: &[&str]) -> (Vec<i64>, Vec<usize>) {
    let (mut numbers, mut sizes, mut flag) = (Vec::new(), Vec::new(), 0);
    loop {
        let flag_text = flag.to_string();
        let page =
            fixture.json(&[&["calls", "--next-flag", flag_text.as_str()][..], filter].concat());
        let calls = page["calls"].as_array().unwrap();
        sizes.push(calls.len());
        for call in calls {
            let id = call["call_id"].as_str().unwrap();
            assert_members_of(call, id);
            numbers.push(id[1..].parse().unwrap());
        }
        flag = page["next_flag"].as_i64().unwrap();
        if flag == 0 {
            return (numbers, sizes);
        }
    }
}

fn assert_members_of(call: &Value, id: &str) {
    let members = call["members"].as_array().unwrap();
    assert!(members.len() >= 2, "{call}");
    assert_eq!(call["inviter"], "bob");
    for member in members {
        assert_eq!(member["extended_data"], format!("of {id}"));
    }
}

#[test]
fn pages_follow_each_other_without_gaps_and_end_with_0() {
    let fixture = fixture_of(250);
    let all: Vec<i64> = (1..=250).rev().collect();
    assert_eq!(
        walk(&fixture, &["--count", "100000"]),
        (all.clone(), vec![100, 100, 50])
    );
    assert_eq!(
        walk(&fixture, &["--count", "50"]),
        (all.clone(), vec![50; 5])
    );
    let (numbers, sizes) = walk(&fixture, &[]);
    assert_eq!((numbers, sizes[0], sizes.len()), (all, 20, 13));
}

#[test]
fn filters_page_the_same_way() {
    let fixture = fixture_of(250);
    let down =
        |keep: &dyn Fn(i64) -> bool| -> Vec<i64> { (1..=250).rev().filter(|n| keep(*n)).collect() };
    for (filter, expected) in [
        (&["--missed"][..], down(&|n| n % 3 == 0)),
        (&["--state", "started"], down(&|n| n % 5 == 0)),
        (&["--state", "ended"], down(&|n| n % 5 != 0)),
        (&["--with", "carol"], down(&|n| n % 7 == 0)),
        (&["--with", "nobody"], vec![]),
        (&["--since", "200"], down(&|n| n >= 200)),
        (&["--since", "249"], vec![]),
        (
            &["--missed", "--with", "carol", "--since", "42"],
            down(&|n| n % 21 == 0 && n >= 42),
        ),
    ] {
        for count in ["1", "7", "100"] {
            let (numbers, _) = walk(&fixture, &[filter, &["--count", count]].concat());
            assert_eq!(numbers, expected, "{filter:?} by {count}");
            if count == "1" && expected.len() > 20 {
                break;
            }
        }
    }
}

#[test]
fn calls_with_somebody_are_the_same_without_the_index_of_newer_files() {
    let of_version = |version| {
        let fixture = fill(Fixture::of_version(version), 60);
        let twice = "INSERT INTO members SELECT sort_key, 9, user_id, inviter, invitation,
                 invited_at_ms, timeout_s, deadline_ms, invite_data, state, state_revision,
                 state_time_ms, extended_data, changed_by, acting_device, accept_time_ms,
                 join_time_ms, quit_time_ms, participation
            FROM members WHERE user_id = 'carol' AND extended_data = 'of c14'";
        assert_eq!(fixture.app().execute(twice, []).unwrap(), 1);
        fixture
    };
    for filter in [
        &["--with", "carol"][..],
        &["--with", "bob", "--missed"],
        &["--with", "carol", "--state", "started"],
    ] {
        let (older, newer) = (of_version(2), of_version(3));
        let found = walk(&newer, &[filter, &["--count", "7"]].concat());
        assert_eq!(
            walk(&older, &[filter, &["--count", "7"]].concat()),
            found,
            "{filter:?}"
        );
        assert!(!found.0.is_empty() && found.0.is_sorted_by(|a, b| a > b));
    }
}

#[test]
fn a_next_flag_is_exact_in_javascript() {
    let fixture = Fixture::new();
    let page = fixture.json(&["calls", "--count", "1"]);
    let flag = page["next_flag"].as_i64().unwrap();
    assert_eq!(flag, 1_767_232_800_000 << 11);
    assert!(flag < 1 << 53);
    let text = fixture.text(&["calls", "--count", "1"]);
    assert!(text.ends_with(&format!("\nolder ones: --next-flag {flag}\n")));
}

#[test]
fn a_timeline_that_is_too_long_is_cut_and_says_so() {
    let fixture = Fixture::empty();
    fixture
        .app()
        .execute_batch(
            "WITH RECURSIVE many(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM many WHERE n < 10005)
             INSERT INTO changes (call_id, at_ms, learned_ms, user_id, state)
             SELECT 'c', n, n, 'u' || n, 'accepted' FROM many;",
        )
        .unwrap();
    for (question, first, last, advice) in [
        (&["timeline", "--json"][..], 6, 10_005, "--since MS"),
        (
            &["timeline", "--since", "3", "--json"],
            3,
            10_002,
            "--since 10002",
        ),
        (
            &["call", "c", "--json"],
            6,
            10_005,
            "the last 10000 entries",
        ),
    ] {
        let output = inspect(&fixture.database, question);
        assert_eq!(output.status.code(), Some(0));
        let note = String::from_utf8(output.stderr).unwrap();
        assert_eq!(note.lines().count(), 1, "{note}");
        assert!(note.contains("10000") && note.contains(advice), "{note}");
        let document: Value = serde_json::from_slice(&output.stdout).unwrap();
        let entries = document["timeline"].as_array().unwrap();
        assert_eq!(entries.len(), 10_000);
        assert_eq!(entries[0]["at_ms"], first);
        assert_eq!(entries[9_999]["at_ms"], last);
    }
    let rest = fixture.json(&["timeline", "--since", "10002"]);
    assert_eq!(rest["timeline"].as_array().unwrap().len(), 4);
}
