//! Room that is given back, the write-ahead log, and others on the same file.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use rusqlite::Connection;
use serde_json::{Value, json};

use crate::support::{Place, damage, invites, number};

/// Rows that are there and gone again: `pages` of the file hold nothing then.
fn make_free(connection: &Connection, pages: u32) {
    connection
        .execute_batch(&format!(
            "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {pages})
             INSERT INTO journal (at_ms, call_id, name, params)
             SELECT n, 'c', 'x', '\"' || hex(zeroblob(1900)) || '\"' FROM n;
             DELETE FROM journal WHERE call_id = 'c';",
        ))
        .expect("filled");
}

#[tokio::test]
async fn compacting_gives_back_all_that_is_free_and_keeps_all_that_is_there() {
    let place = Place::new();
    let engine = place.engine("alice.db").await;
    for _ in 0..20 {
        drop(invites(&engine).await);
    }
    make_free(
        &Connection::open(place.path("alice.db")).expect("by hand"),
        700,
    );
    let before = engine.storage().await.expect("told");
    assert!(before.free_bytes > 600 * 4_096, "{before:?}");
    let compacted = engine.compact().await.expect("compacted");
    let after = engine.storage().await.expect("told");
    assert_eq!((after.free_bytes, after.wal_bytes), (0, 0));
    assert_eq!(
        (compacted.bytes_before, compacted.bytes_after),
        (before.bytes, after.bytes)
    );
    let file = std::fs::metadata(place.path("alice.db")).expect("a file");
    assert_eq!(file.len(), after.bytes);
    assert_eq!(engine.pending().expect("read").len(), 20);
    assert_eq!(damage(&place.path("alice.db")), "ok");
}

#[tokio::test]
async fn a_file_of_an_older_build_is_written_anew_once_and_gives_back_in_steps_from_then_on() {
    let place = Place::new();
    let file = place.path("alice.db");
    let old = Connection::open(&file).expect("by hand");
    old.execute_batch(include_str!("../../schema/client/fixtures/0001.sql"))
        .expect("a database of version 1");
    drop(old);
    let calls = number(&file, "SELECT count(*) FROM calls");
    let user: String = crate::support::look(&file)
        .query_row("SELECT value FROM meta WHERE key = 'user_id'", [], |row| {
            row.get(0)
        })
        .expect("a user");
    let mut config = place.config("alice.db");
    config.user = user;
    let engine = offhook::Engine::open(config).expect("an engine");
    engine.set_network(false).await.expect("taken");
    assert_eq!(number(&file, "PRAGMA auto_vacuum"), 0);
    make_free(&Connection::open(&file).expect("by hand"), 300);
    engine.compact().await.expect("compacted");
    assert_eq!(number(&file, "PRAGMA auto_vacuum"), 2);
    assert_eq!(number(&file, "SELECT count(*) FROM calls"), calls);
    assert_eq!(damage(&file), "ok");
    assert_eq!(engine.storage().await.expect("told").free_bytes, 0);
}

#[tokio::test]
async fn a_log_that_somebody_reads_in_is_told_of_and_is_small_again_after_that() {
    let place = Place::new();
    let engine = place.engine("alice.db").await;
    let reader = crate::support::look(&place.path("alice.db"));
    reader.execute_batch("BEGIN").expect("begun");
    let seen = |reader: &Connection| -> i64 {
        let rows = reader.query_row("SELECT count(*) FROM journal", [], |row| row.get(0));
        rows.expect("read")
    };
    assert_eq!(seen(&reader), 0);
    let writer = Connection::open(place.path("alice.db")).expect("by hand");
    for _ in 0..4 {
        make_free(&writer, 1_500);
    }
    drop(writer);
    drop(invites(&engine).await);
    let held = engine.storage().await.expect("told");
    assert!(held.wal_bytes > 16 * 1_024 * 1_024, "{held:?}");
    assert_eq!(seen(&reader), 0, "it is what the reader goes by");
    reader.execute_batch("COMMIT").expect("ended");
    engine.compact().await.expect("compacted");
    let free = engine.storage().await.expect("told");
    assert_eq!(free.wal_bytes, 0);
    drop(invites(&engine).await);
    assert_eq!(engine.pending().expect("read").len(), 2);
}

#[tokio::test]
async fn another_process_gives_commands_while_the_file_is_copied_and_made_smaller() {
    let place = Place::new();
    let engine = place.engine("alice.db").await;
    let mut process = Command::new(env!("CARGO_BIN_EXE_offhook"))
        .args(["rpc", "--server", "127.0.0.1:9", "--user", "alice", "--ca"])
        .arg(pem(&place))
        .arg("--db")
        .arg(place.path("alice.db"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut stdin = process.stdin.take().expect("stdin");
    let lines = BufReader::new(process.stdout.take().expect("stdout")).lines();
    let theirs = std::thread::spawn(move || {
        let config = json!({"timeout": 600});
        for id in 0..200 {
            let request = json!({
                "jsonrpc": "2.0", "id": id, "method": "callInvite",
                "params": {"invitees": ["bob"], "config": config, "wait": "disk"},
            });
            writeln!(stdin, "{request}").expect("it reads");
        }
        let answers = lines
            .map(|line| serde_json::from_str::<Value>(&line.expect("a line")).expect("JSON"))
            .filter(|answer| answer.get("id").is_some());
        let answers: Vec<_> = answers.take(200).collect();
        drop(stdin);
        answers
    });
    for round in 0..5 {
        let by_hand = Connection::open(place.path("alice.db")).expect("by hand");
        by_hand
            .busy_timeout(std::time::Duration::from_secs(5))
            .expect("set");
        make_free(&by_hand, 200);
        drop(by_hand);
        engine.compact().await.expect("compacted");
        let copy = place.path(&format!("copy {round}"));
        engine.backup(&copy).await.expect("a copy");
        assert_eq!(damage(&copy), "ok");
    }
    let answers = theirs.join().expect("it answered");
    assert!(process.wait().expect("gone").success());
    for answer in &answers {
        assert_eq!(answer["result"]["pending"], true, "{answer}");
    }
    let all = number(&place.path("alice.db"), "SELECT count(*) FROM commands");
    assert_eq!(all, 200);
    assert_eq!(damage(&place.path("alice.db")), "ok");
}

/// A certificate to trust, of nobody.
fn pem(place: &Place) -> std::path::PathBuf {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("made");
    let path = place.path("cert.pem");
    std::fs::write(&path, made.cert.pem()).expect("written");
    path
}
