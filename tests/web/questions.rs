//! The box for SQL: what may be asked, and that nothing can be changed.

use std::io::{ErrorKind, Read};

use serde_json::{Value, json};

use super::{Fixture, Page};

#[test]
fn a_question_is_answered_with_its_columns_and_rows() {
    let fixture = Fixture::new();
    let page = Page::of(&fixture.database);
    let session = page.enter();
    let answer = session.sql("SELECT call_id, end_time_ms, ended_by, x'00ff' AS bytes, 1 << 60 AS big FROM calls ORDER BY sort_key LIMIT 1;");
    assert_eq!(answer.status, 200, "{answer:?}");
    let answer = answer.json();
    assert_eq!(
        answer["columns"],
        json!(["call_id", "end_time_ms", "ended_by", "bytes", "big"])
    );
    assert_eq!(
        answer["rows"],
        json!([[
            "call-missed",
            1_767_225_660_000_i64,
            null,
            "x'00ff'",
            "1152921504606846976"
        ]])
    );
    assert_eq!(answer["cut"], Value::Null);
    for sql in [
        "PRAGMA integrity_check",
        "PRAGMA table_info('calls')",
        "EXPLAIN QUERY PLAN SELECT * FROM calls",
        "; -- why\n ;WITH a AS (VALUES (1)) SELECT * FROM a",
        "SELECT * FROM pragma_table_info('calls')",
    ] {
        assert_eq!(session.sql(sql).status, 200, "{sql}");
    }
}

#[test]
fn writes_other_files_and_settings_are_refused_and_the_files_stay_as_they_are() {
    let fixture = Fixture::new();
    let beside = fixture.folder.path().join("other.db");
    let beside = beside.to_str().unwrap();
    let before = fixture.files();
    let page = Page::of(&fixture.database);
    let session = page.enter();
    let refused = [
        "DELETE FROM calls".to_owned(),
        "INSERT INTO meta VALUES ('a', 'b')".to_owned(),
        "UPDATE calls SET state = 'ended'".to_owned(),
        "REPLACE INTO meta VALUES ('a', 'b')".to_owned(),
        "WITH a AS (SELECT 1) DELETE FROM calls".to_owned(),
        "/* x */ DROP TABLE calls".to_owned(),
        "CREATE TABLE x (y)".to_owned(),
        "CREATE TEMP TABLE x (y)".to_owned(),
        "ALTER TABLE calls ADD COLUMN x".to_owned(),
        "VACUUM".to_owned(),
        format!("VACUUM INTO '{beside}'"),
        format!("ATTACH '{beside}' AS other"),
        "DETACH main".to_owned(),
        "REINDEX".to_owned(),
        "ANALYZE".to_owned(),
        "BEGIN IMMEDIATE".to_owned(),
        "COMMIT".to_owned(),
        "ROLLBACK".to_owned(),
        "SAVEPOINT x".to_owned(),
        "PRAGMA query_only = 0".to_owned(),
        "PRAGMA query_only(0)".to_owned(),
        "PRAGMA main.user_version = 7".to_owned(),
        "PRAGMA journal_mode = DELETE".to_owned(),
        "PRAGMA wal_checkpoint(TRUNCATE)".to_owned(),
        "PRAGMA hard_heap_limit = 0".to_owned(),
        "PRAGMA temp_store_directory = '/'".to_owned(),
        "PRAGMA incremental_vacuum".to_owned(),
        "PRAGMA optimize".to_owned(),
        "PRAGMA writable_schema = 1".to_owned(),
        "EXPLAIN PRAGMA temp_store_directory = '/'".to_owned(),
    ];
    for sql in &refused {
        let answer = session.sql(sql);
        assert_eq!(answer.status, 403, "{sql}: {answer:?}");
        assert!(answer.error().starts_with("this page only reads"), "{sql}");
    }
    for sql in [
        "SELECT load_extension('x')",
        "SELECT writefile('x', 'y')",
        "SELECT 1; DELETE FROM calls",
        "SELECT 1; SELECT 2",
        "SELECT 1; PRAGMA query_only = 0",
        "SELECT $a(') ; PRAGMA query_only = 0 --'",
        "SELECT * FROM pragma_optimize",
        "SELECT ?",
        "SELEC 1",
        "SELECT * FROM nothing",
        "",
        " -- nothing",
        "SELECT '\u{0}'",
    ] {
        let answer = session.sql(sql);
        assert_eq!(answer.status, 400, "{sql}: {answer:?}");
        assert!(!answer.error().is_empty());
    }
    assert_eq!(fixture.files(), before);
}

#[test]
fn what_is_refused_is_refused_on_a_file_that_an_app_has_open_too() {
    let fixture = Fixture::new();
    let app = fixture.app();
    app.execute("UPDATE feed SET cursor = 42", []).unwrap();
    let page = Page::of(&fixture.database);
    let session = page.enter();
    for sql in [
        "DELETE FROM calls",
        "WITH a AS (SELECT 1) UPDATE feed SET cursor = 0",
    ] {
        assert_eq!(session.sql(sql).status, 403, "{sql}");
    }
    let answer = session.sql("SELECT cursor FROM feed").json();
    assert_eq!(answer["rows"], json!([[42]]));
    // Nothing of the question is left that could stand in the app's way.
    app.execute_batch("BEGIN EXCLUSIVE; UPDATE feed SET cursor = 43; COMMIT")
        .unwrap();
}

#[test]
fn an_answer_has_bounds_in_rows_bytes_memory_and_time() {
    let fixture = Fixture::new();
    let page = Page::of(&fixture.database);
    let session = page.enter();
    let numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)";
    let many = session.sql(&format!("{numbers} SELECT i FROM n")).json();
    assert_eq!(many["rows"].as_array().unwrap().len(), 1000);
    assert_eq!(many["cut"], "rows");
    let wide = session.sql(&format!(
        "{numbers} SELECT printf('%.*c', 9000, 'x') FROM n"
    ));
    assert!(wide.body.len() < 3_000_000, "{}", wide.body.len());
    assert_eq!(wide.json()["cut"], "bytes");
    let long = session.sql("SELECT printf('%.*c', 1000000, 'x')");
    assert!(long.body.len() < 5_000, "{}", long.body.len());
    for endless in [
        format!("{numbers} SELECT count(*) FROM n"),
        "SELECT length(hex(zeroblob(400000000)))".to_owned(),
        format!("{numbers} SELECT i FROM n ORDER BY i"),
    ] {
        let answer = session.sql(&endless);
        assert_eq!(answer.status, 400, "{endless}: {answer:?}");
        assert!(answer.error().contains("was stopped"), "{answer:?}");
    }
    assert_eq!(session.sql("SELECT 1").json()["rows"], json!([[1]]));
}

#[test]
fn what_is_no_question_at_all_is_refused() {
    let fixture = Fixture::new();
    let page = Page::of(&fixture.database);
    let session = page.enter();
    for body in ["", "x", "{}", "[]", r#"{"sql":1}"#, r#"{"sql":"#] {
        assert_eq!(session.post(body).status, 400, "{body}");
    }
    let cookie = ("Cookie", session.cookie.as_str());
    let form = [cookie, ("Content-Type", "text/plain")];
    let body = r#"{"sql":"SELECT 1"}"#;
    assert_eq!(page.request("POST /api/sql", &form, body).status, 415);
    assert_eq!(page.request("GET /api/sql", &[cookie], "").status, 405);
    assert_eq!(page.request("POST /api/calls", &[cookie], body).status, 405);
    assert_eq!(page.request("DELETE /api/calls", &[cookie], "").status, 405);
}

const ENDLESS: &str =
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";

/// Asks a short question until it is answered in that way.
fn ask_until(session: &super::Session<'_>, status: u16) -> super::Answer {
    for _ in 0..10_000 {
        let answer = session.sql("SELECT 1");
        if answer.status == status {
            return answer;
        }
    }
    panic!("never answered with {status}");
}

#[test]
fn questions_keep_no_documents_waiting_and_one_too_many_is_refused() {
    let fixture = Fixture::new();
    let page = Page::of(&fixture.database);
    let session = page.enter();
    let mut asked = [ENDLESS, ENDLESS].map(|sql| session.begin_sql(sql));
    let busy = ask_until(&session, 429);
    assert!(busy.error().contains("busy: 2 questions"), "{busy:?}");
    for path in ["calls", "call?id=call-team", "pending", "health", "tables"] {
        session.document(&format!("/api/{path}"));
    }
    session.document("/api/table?name=calls");
    for stream in &mut asked {
        stream.set_nonblocking(true).unwrap();
        let error = stream.read(&mut [0]).expect_err("it is not answered yet");
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
    }
    // Whoever goes away is not answered, and makes room.
    drop(asked);
    ask_until(&session, 200);
}
