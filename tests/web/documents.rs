//! What the page shows is what `--json` shows, and follows the app.

use std::fs;

use rusqlite::Connection;
use serde_json::{Value, json};

use super::{BEGIN_MS, Fixture, LONG, Page, offhook};

#[test]
fn the_documents_are_those_of_json() {
    let fixture = Fixture::new();
    let page = Page::of(&fixture.database);
    let session = page.enter();
    assert_eq!(session.document("/api/calls"), fixture.json(&["calls"]));
    assert_eq!(session.document("/api/pending"), fixture.json(&["pending"]));
    for id in ["call-missed", "call-team", "call-now", "call-unsent"] {
        let mut story = session.document(&format!("/api/call?id={id}"));
        let more = story.as_object_mut().unwrap();
        assert_eq!(more.remove("owner"), Some(json!("alice")));
        assert_eq!(more.remove("cut"), Some(json!(false)));
        assert_eq!(story, fixture.json(&["call", id]));
    }
}

fn ids(calls: &Value) -> Vec<&str> {
    let calls = calls["calls"].as_array().unwrap();
    calls
        .iter()
        .map(|call| call["call_id"].as_str().unwrap())
        .collect()
}

#[test]
fn calls_are_found_by_people_ids_and_data_and_filtered_and_paged() {
    let fixture = Fixture::new();
    let page = Page::of(&fixture.database);
    let session = page.enter();
    for (query, found) in [
        ("q=CAROL", vec!["call-team"]),
        ("q=call-e", vec!["call-erin"]),
        ("q=lunch%3F", vec!["call-missed"]),
        ("q=coming", vec!["call-team"]),
        ("q=%25", vec![]),
        ("q='", vec![]),
        ("state=started", vec!["call-now"]),
        ("missed=1", vec!["call-erin", "call-missed"]),
        ("missed=1&q=erin", vec!["call-erin"]),
        ("with=dave", vec!["call-team"]),
        ("since=1767232800000", vec!["call-now"]),
    ] {
        let calls = session.document(&format!("/api/calls?{query}"));
        assert_eq!(ids(&calls), found, "{query}");
    }
    let mut next = 0;
    let mut paged = Vec::new();
    loop {
        let calls = session.document(&format!("/api/calls?count=1&next_flag={next}"));
        paged.extend(ids(&calls).into_iter().map(str::to_owned));
        next = calls["next_flag"].as_i64().unwrap();
        if next == 0 {
            break;
        }
    }
    assert_eq!(paged, ids(&session.document("/api/calls")));
}

#[test]
fn a_search_looks_at_so_many_calls_a_request_and_says_where_to_go_on() {
    let fixture = Fixture::long();
    let page = Page::of(&fixture.database);
    let session = page.enter();
    let (mut next, mut found, mut steps) = (0, Vec::new(), Vec::new());
    loop {
        let step = session.document(&format!("/api/calls?q=NEEDLE&next_flag={next}"));
        found.extend(ids(&step).into_iter().map(str::to_owned));
        next = step["next_flag"].as_i64().unwrap();
        steps.push(step["searched_to_ms"].clone());
        if next == 0 {
            break;
        }
    }
    assert_eq!(found, ["call-00000"]);
    let looked_back = |calls: i64| json!(BEGIN_MS + (LONG - calls) * 1_000);
    assert_eq!(
        steps,
        [looked_back(20_000), looked_back(40_000), Value::Null]
    );
    // A page that is full goes on where it ended, as any does.
    let full = session.document("/api/calls?q=bob&count=3");
    assert_eq!(ids(&full), ["call-44999", "call-44998", "call-44997"]);
    assert_eq!(full["searched_to_ms"], Value::Null);
    let next = full["next_flag"].as_i64().unwrap();
    let second = session.document(&format!("/api/calls?q=bob&count=2&next_flag={next}"));
    assert_eq!(ids(&second), ["call-44996", "call-44995"]);
    // Nothing is older than what is asked for, so there is nothing to go on with.
    let since = BEGIN_MS + (LONG - 10) * 1_000;
    let recent = session.document(&format!("/api/calls?q=needle&since={since}"));
    assert_eq!((&recent["next_flag"], ids(&recent).len()), (&json!(0), 0));
}

#[test]
fn a_search_finds_ids_and_users_however_far_back_at_once() {
    let fixture = Fixture::long();
    let page = Page::of(&fixture.database);
    let session = page.enter();
    let named = |query: &str| {
        let step = session.document(&format!("/api/calls?{query}"));
        assert_eq!(ids(&step), Vec::<&str>::new(), "{query}");
        let named = step["named"].as_array().unwrap();
        let named = named.iter().map(|call| call["call_id"].as_str().unwrap());
        named.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(named("q=call-00007"), ["call-00007"]);
    assert_eq!(named("q=call-0000").len(), 5, "a few of them are enough");
    assert_eq!(named("q=zoe"), ["call-00000"]);
    assert_eq!(named("q=zo"), ["call-00000"]);
    assert_eq!(named("q=zo&state=started"), Vec::<String>::new());
    assert_eq!(named("q=zoe&missed=1"), Vec::<String>::new());
    assert_eq!(named("q=needle"), Vec::<String>::new());
    assert_eq!(named("q=%25"), Vec::<String>::new());
    let story = Fixture::new();
    let other = Page::of(&story.database);
    let all = other.enter().document("/api/calls?q=carol");
    assert_eq!(all["named"], json!([]), "it is found already");
}

#[test]
fn what_is_asked_in_a_wrong_way_is_refused_with_words() {
    let fixture = Fixture::new();
    let page = Page::of(&fixture.database);
    let session = page.enter();
    for path in [
        "/api/calls?count=x",
        "/api/calls?next_flag=-1",
        "/api/calls?state=over",
        "/api/calls?q=%ff",
        "/api/call",
        "/api/call?id=",
        "/api/table?name=nothing",
        "/api/table?name=calls&offset=-1",
    ] {
        let answer = session.get(path);
        assert_eq!(answer.status, 400, "{path}: {answer:?}");
        assert!(!answer.error().is_empty());
    }
    let long = session.get(&format!("/api/calls?q={}", "a".repeat(201)));
    assert_eq!(long.status, 400);
    let unknown = session.get("/api/call?id=nobody");
    assert_eq!(unknown.status, 404);
    assert!(unknown.error().contains("knows no call \"nobody\""));
    assert_eq!(session.get("/api/nothing").status, 404);
    assert_eq!(session.get("/../Cargo.toml").status, 404);
}

#[test]
fn health_and_tables_tell_what_is_in_the_file() {
    let fixture = Fixture::new();
    let page = Page::of(&fixture.database);
    let session = page.enter();
    let health = session.document("/api/health");
    assert_eq!(health["user_id"], "alice");
    assert_eq!(health["feed"]["cursor"], 41);
    assert_eq!(health["clock"]["offset_ms"], -120);
    assert_eq!(health["lease"]["generation"], 0);
    assert_eq!(health["pending"], 2);
    assert_eq!(health["missed_unseen"], 1);
    assert_eq!(health["epoch"], "7");
    assert_eq!(
        health["oldest_pending"]["last_error"],
        "connection lost: timed out"
    );
    assert_eq!(health["delays"].as_array().unwrap().len(), 12);
    let tables = session.document("/api/tables");
    let calls = &tables["tables"][0];
    assert_eq!(
        (&calls["name"], &calls["rows"]),
        (&json!("calls"), &json!(4))
    );
    assert!(calls["sql"].as_str().unwrap().contains("-- One row a call"));
    let commands = session.document("/api/table?name=commands");
    assert_eq!(commands["columns"][1], "op");
    assert_eq!(commands["rows"][0][1], "op-7");
    let rest = session.document("/api/table?name=commands&offset=6");
    assert_eq!(rest["rows"].as_array().unwrap().len(), 1);
}

#[test]
fn health_is_told_where_the_commands_are_missing_or_damaged() {
    for break_them in [
        "DROP TABLE commands",
        // Behind the end of the file.
        "PRAGMA writable_schema = ON;
         UPDATE sqlite_schema SET rootpage = 99999 WHERE tbl_name = 'commands'",
    ] {
        let fixture = Fixture::new();
        fixture.app().execute_batch(break_them).unwrap();
        let page = Page::of(&fixture.database);
        let health = page.enter().document("/api/health");
        assert_eq!(health["user_id"], "alice", "{break_them}");
        assert_eq!(health["feed"]["cursor"], 41);
        assert_eq!(health["missed_unseen"], 1);
        assert_eq!(health["oldest_pending"], Value::Null);
        assert_eq!(health["delays"], json!([]));
    }
}

#[test]
fn a_page_that_is_looked_at_leaves_no_trace_beside_a_closed_database() {
    let fixture = Fixture::new();
    let before = fixture.files();
    let page = Page::of(&fixture.database);
    let session = page.enter();
    for path in [
        "calls",
        "call?id=call-team",
        "pending",
        "health",
        "tables",
        "table?name=meta",
        "changes",
    ] {
        session.document(&format!("/api/{path}"));
    }
    session.sql("SELECT * FROM timeline_view");
    assert_eq!(fixture.files(), before);
}

#[test]
fn what_the_app_writes_is_noticed_and_shown_while_it_has_the_file_open() {
    let fixture = Fixture::new();
    let page = Page::of(&fixture.database);
    let session = page.enter();
    let app = fixture.app();
    let changes = || {
        session.document("/api/changes")["changes"]
            .as_u64()
            .unwrap()
    };
    let mut before = changes();
    for number in 0..20 {
        let ms = 1_767_240_000_000_i64 + number;
        app.execute(
            "INSERT INTO calls (sort_key, call_id, epoch, revision, mode, caller, create_time_ms,
                timeout_s, extended_data, not_received_check, state, my_state)
             VALUES (?1 << 11, ?2, 7, 1, 'general', 'frank', ?1, 60, '', 0, 'started', 'inviting')",
            (ms, format!("call-{number}")),
        )
        .unwrap();
        let now = changes();
        assert_ne!(now, before, "change {number} was not noticed");
        before = now;
        let calls = session.document("/api/calls");
        assert_eq!(ids(&calls)[0], format!("call-{number}"));
    }
    // The page holds nothing open: the app, closing last, clears its WAL away.
    drop(app);
    let names: Vec<_> = fixture.files().into_keys().collect();
    assert_eq!(names, std::slice::from_ref(&fixture.database));
}

#[test]
fn a_file_that_is_no_database_ends_the_command_with_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.db");
    let refused = |words: &str| {
        let output = offhook()
            .arg("inspect")
            .arg(&path)
            .arg("web")
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(output.stdout.is_empty());
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        assert!(stderr.contains(words), "{stderr}");
    };
    refused("no such file");
    fs::write(&path, "").unwrap();
    refused("is empty");
    fs::write(&path, "hello ".repeat(100)).unwrap();
    refused("is not an SQLite database");
    fs::remove_file(&path).unwrap();
    Connection::open(&path)
        .unwrap()
        .execute_batch("CREATE TABLE other (x)")
        .unwrap();
    refused("another program");
}

#[test]
fn a_file_that_breaks_later_is_told_of_and_seen_again_when_it_is_whole() {
    let fixture = Fixture::new();
    let whole = fs::read(&fixture.database).unwrap();
    let page = Page::of(&fixture.database);
    let session = page.enter();
    let mut damaged = whole.clone();
    for byte in damaged.iter_mut().skip(4096) {
        *byte = 0xff;
    }
    for (content, words) in [
        (&b""[..], "is empty"),
        (
            &b"not a database, and shorter than its header"[..],
            "is not an SQLite database",
        ),
        (&damaged, "is damaged"),
        (&whole[..5000], "is damaged"),
    ] {
        fs::write(&fixture.database, content).unwrap();
        let answer = session.get("/api/calls");
        assert_eq!(answer.status, 503, "{words}: {answer:?}");
        assert!(answer.error().contains(words), "{answer:?}");
        for path in [
            "/api/call?id=call-team",
            "/api/pending",
            "/api/health",
            "/api/table?name=calls",
        ] {
            assert_ne!(session.get(path).status, 0, "{path}");
        }
        session.sql("SELECT * FROM timeline_view");
        session.document("/api/changes");
    }
    fs::remove_file(&fixture.database).unwrap();
    assert!(session.get("/api/calls").error().contains("no such file"));
    fs::write(&fixture.database, &whole).unwrap();
    assert_eq!(session.document("/api/calls"), fixture.json(&["calls"]));
}

#[test]
fn a_file_of_a_newer_version_is_shown_as_far_as_it_is_known() {
    let fixture = Fixture::new();
    fixture
        .app()
        .execute_batch(
            "ALTER TABLE calls ADD COLUMN topic TEXT; DROP TABLE lease; DROP TABLE feed;
             PRAGMA user_version = 99;",
        )
        .unwrap();
    let page = Page::of(&fixture.database);
    let session = page.enter();
    assert_eq!(ids(&session.document("/api/calls")).len(), 4);
    let health = session.document("/api/health");
    assert_eq!(health["file"]["schema"], 99);
    assert_eq!(
        (&health["lease"], &health["feed"]["cursor"]),
        (&Value::Null, &json!(0))
    );
}
