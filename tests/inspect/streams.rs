//! Export, copy and watch; and every question at once while an engine writes.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};

use offhook::{Config, Engine, InviteOptions};
use serde_json::{Value, json};

use super::{Fixture, assert_done, assert_failed, files, inspect, json};

fn lines(text: &str) -> Vec<Value> {
    let lines = text.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn export_is_a_line_a_call_as_call_tells_it_oldest_first() {
    let fixture = Fixture::new();
    let exported = lines(&fixture.text(&["export"]));
    let ids = [
        "call-missed",
        "call-team",
        "call-erin",
        "call-now",
        "call-unsent",
    ];
    let told: Vec<Value> = ids.iter().map(|id| fixture.json(&["call", id])).collect();
    assert_eq!(exported, told);
    assert_eq!(lines(&fixture.text(&["export", "--json"])), told);
    assert_eq!(Fixture::empty().text(&["export"]), "");
}

#[test]
fn export_tells_every_call_of_many_once() {
    let fixture = Fixture::empty();
    fixture
        .app()
        .execute_batch(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 250)
             INSERT INTO calls (sort_key, call_id, epoch, revision, mode, caller, create_time_ms,
                 timeout_s, extended_data, not_received_check, state, my_state)
             SELECT i << 11, 'c' || i, 1, 1, 'general', 'bob', i, 60, '', 0, 'started', 'unknown'
               FROM n;
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 250)
             INSERT INTO commands (op, call_id, command, arguments, queued_at_ms, expires_at_ms)
             SELECT 'op' || i, 'd' || (i / 2), 'callInvite', '{}', i, 0 FROM n;",
        )
        .unwrap();
    let exported = lines(&fixture.text(&["export"]));
    let with_record: Vec<&Value> = exported
        .iter()
        .filter(|story| !story["call"].is_null())
        .map(|story| &story["call"]["call_id"])
        .collect();
    let expected: Vec<Value> = (1..=250).map(|n| json!(format!("c{n}"))).collect();
    assert_eq!(with_record, expected.iter().collect::<Vec<_>>());
    let others: Vec<&Value> = exported
        .iter()
        .filter(|story| story["call"].is_null())
        .map(|story| &story["timeline"][0]["call_id"])
        .collect();
    let expected: Vec<Value> = (0..=125).map(|n| json!(format!("d{n}"))).collect();
    assert_eq!(others, expected.iter().collect::<Vec<_>>());
}

#[test]
fn a_copy_is_whole_and_private_in_one_file_and_the_app_goes_on_writing() {
    let fixture = Fixture::new();
    let app = fixture.app();
    app.execute_batch("UPDATE feed SET cursor = 42").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("copy.db");
    let output = inspect(
        &fixture.database,
        &["export", "--json", "--copy", copy.to_str().unwrap()],
    );
    assert_done(&output);
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(said["bytes"], fs::metadata(&copy).unwrap().len());
    #[cfg(unix)]
    assert_eq!(
        std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&copy).unwrap().permissions())
            & 0o777,
        0o600
    );
    app.execute_batch("UPDATE feed SET cursor = 43").unwrap();
    let before = files(folder.path());
    assert_eq!(before.len(), 1, "{:?}", before.keys());
    for question in [&["calls"][..], &["timeline"], &["pending"], &["doctor"]] {
        assert_eq!(json(&copy, question), fixture.json(question));
    }
    assert_eq!(json(&copy, &["stats"])["feed"]["cursor"], 42);
    assert_eq!(files(folder.path()), before);
}

#[test]
fn a_copy_never_takes_the_place_of_anything_nor_a_name_that_belongs_to_the_database() {
    let fixture = Fixture::new();
    let before = fixture.files();
    let beside = |name: &str| fixture.folder.path().join(name);
    fs::write(beside("bob.db"), "precious").unwrap();
    fs::write(beside("carol.db-wal"), "somebody's").unwrap();
    for (name, said) in [
        ("alice.db", "is there already"),
        ("bob.db", "is there already"),
        ("carol.db", "carol.db-wal is there already"),
        ("alice.db-wal", "database's own belongs to it"),
        ("alice.db-shm", "database's own belongs to it"),
        ("alice.db.lock", "database's own belongs to it"),
        ("alice.db.corrupt-1", "database's own belongs to it"),
        ("nowhere/copy.db", "name another folder"),
    ] {
        let to = beside(name);
        let output = inspect(
            &fixture.database,
            &["export", "--copy", to.to_str().unwrap()],
        );
        assert_failed(&output, &["alice.db: cannot be copied", said]);
    }
    assert_eq!(fs::read(beside("bob.db")).unwrap(), b"precious");
    fs::remove_file(beside("bob.db")).unwrap();
    fs::remove_file(beside("carol.db-wal")).unwrap();
    assert_eq!(fixture.files(), before);
}

#[test]
fn a_name_too_long_for_a_copy_is_told_as_that_and_leaves_nothing() {
    let fixture = Fixture::new();
    let before = fixture.files();
    let copy_to = |bytes: usize| {
        let to = fixture.folder.path().join("n".repeat(bytes));
        let question = ["export", "--copy", to.to_str().unwrap()];
        inspect(&fixture.database, &question)
    };
    // SQLite needs a name beside it, which goes on with `-journal`.
    for bytes in [248, 255, 256, 1000] {
        let said = format!("its name is {} bytes too long", bytes - 247);
        assert_failed(&copy_to(bytes), &["cannot be copied", &said, "shorter"]);
        assert_eq!(fixture.files(), before);
    }
    assert_done(&copy_to(247));
    assert_eq!(fixture.files().len(), 2);
}

#[test]
fn a_copy_of_a_file_that_was_cut_off_is_one_of_what_is_left() {
    let fixture = Fixture::new();
    let whole = fs::read(&fixture.database).unwrap();
    let left = &whole[..whole.len() - 4096];
    fs::write(&fixture.database, left).unwrap();
    let copy = fixture.folder.path().join("copy.db");
    let question = ["export", "--copy", copy.to_str().unwrap()];
    let output = inspect(&fixture.database, &question);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(fs::read(&copy).unwrap()[4096..], left[4096..]);
}

#[test]
fn a_copy_of_a_damaged_file_keeps_the_damage_for_whoever_looks_into_it() {
    let fixture = Fixture::new();
    let mut damaged = fs::read(&fixture.database).unwrap();
    let last = damaged.len() - 4096;
    damaged[last..].fill(0xa5);
    fs::write(&fixture.database, &damaged).unwrap();
    let copy = fixture.folder.path().join("copy.db");
    assert_done(&inspect(
        &fixture.database,
        &["export", "--copy", copy.to_str().unwrap()],
    ));
    assert_eq!(fs::read(&copy).unwrap()[last..], damaged[last..]);
}

/// `watch`, from the moment on at which it says that it watches.
struct Watch {
    child: Child,
    stdout: Option<BufReader<ChildStdout>>,
    _stderr: BufReader<ChildStderr>,
}

impl Watch {
    fn of(database: &Path, more: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_offhook"))
            .arg("inspect")
            .arg(database)
            .arg("watch")
            .args(more)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut said = String::new();
        stderr.read_line(&mut said).unwrap();
        assert!(said.contains("watching"), "{said}");
        Self {
            child,
            stdout: Some(stdout),
            _stderr: stderr,
        }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.as_mut().unwrap().read_line(&mut line).unwrap();
        line
    }

    fn entry(&mut self) -> Value {
        serde_json::from_str(&self.line()).unwrap()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn watch_tells_what_happens_in_order_each_once_and_verdicts_of_what_waited_before() {
    let fixture = Fixture::new();
    let mut watch = Watch::of(&fixture.database, &["--json"]);
    // Nobody has the file open; now an app comes.
    let app = fixture.app();
    app.execute_batch(
        "BEGIN;
         UPDATE commands SET verdict = 'accepted', settled_at_ms = 1767232820000 WHERE op = 'op-6';
         INSERT INTO journal (at_ms, call_id, name, params)
         VALUES (1767232820001, 'call-now', 'callUserStateChanged', '{}');
         INSERT INTO commands (op, call_id, command, arguments, queued_at_ms, expires_at_ms,
             verdict, settled_at_ms)
         VALUES ('op-8', 'call-now', 'callQuit', '{}', 1767232819000, 0, 'withdrawn', 1767232819500);
         COMMIT;",
    )
    .unwrap();
    let whats: Vec<Value> = (0..4).map(|_| watch.entry()["what"].take()).collect();
    assert_eq!(
        whats,
        [
            "callQuit",
            "callQuit withdrawn",
            "callAccept accepted",
            "callUserStateChanged"
        ]
    );
    // Learned of late: it came about before all of these.
    app.execute_batch(
        "INSERT INTO changes (call_id, at_ms, learned_ms, user_id, state)
         VALUES ('call-now', 1767232800001, 1767232830000, 'bob', 'quit')",
    )
    .unwrap();
    let entry = watch.entry();
    assert_eq!(
        (&entry["what"], &entry["who"]),
        (&json!("quit"), &json!("bob"))
    );
    assert_eq!(entry["learned_ms"], 1_767_232_830_000_i64);
    // Nobody keeps the app from emptying its log.
    let busy: i64 = app
        .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))
        .unwrap();
    assert_eq!(busy, 0);
    // The app goes and another one comes.
    drop(app);
    let app = fixture.app();
    app.execute_batch(
        "UPDATE commands SET verdict = 'expired', settled_at_ms = 1767232840000 WHERE op = 'op-7'",
    )
    .unwrap();
    assert_eq!(watch.entry()["what"], "callInvite expired");
}

#[test]
fn watch_tells_people_a_line_an_entry() {
    let fixture = Fixture::new();
    let mut watch = Watch::of(&fixture.database, &[]);
    fixture
        .app()
        .execute_batch(
            "INSERT INTO changes (call_id, at_ms, learned_ms, user_id, state, by_user)
             VALUES ('call-now', 1767232800001, 1767232830000, 'bob', 'cancelled', 'eve\u{1b}[2J')",
        )
        .unwrap();
    assert_eq!(
        watch.line(),
        "2026-01-01T02:00:00.001Z  server  cancelled                 bob  call-now  -  \
         by eve\\u{1b}[2J, learned 29 s later\n"
    );
}

#[cfg(unix)]
#[test]
fn watch_ends_well_when_it_is_interrupted() {
    let fixture = Fixture::new();
    let mut watch = Watch::of(&fixture.database, &[]);
    let killed = Command::new("kill")
        .args(["-INT", &watch.child.id().to_string()])
        .status()
        .unwrap();
    assert!(killed.success());
    assert_eq!(watch.line(), "");
    assert_eq!(watch.child.wait().unwrap().code(), Some(0));
}

#[cfg(unix)]
#[test]
fn watch_ends_when_nobody_reads_it_although_nothing_happens() {
    let fixture = Fixture::new();
    let mut watch = Watch::of(&fixture.database, &["--json"]);
    drop(watch.stdout.take());
    assert_eq!(watch.child.wait().unwrap().code(), Some(0));
}

#[test]
fn watch_of_a_file_that_goes_away_fails_and_says_so() {
    let fixture = Fixture::new();
    let mut watch = Watch::of(&fixture.database, &[]);
    fs::remove_file(&fixture.database).unwrap();
    assert_eq!(watch.line(), "");
    assert_eq!(watch.child.wait().unwrap().code(), Some(1));
}

/// All that can be asked of a file that an engine is writing.
const QUESTIONS: [&[&str]; 7] = [
    &["calls"],
    &["pending"],
    &["timeline"],
    &["stats"],
    &["export"],
    &["doctor"],
    &["calls", "--missed", "--with", "bob"],
];

#[test]
fn an_engine_writes_and_every_question_is_answered_and_nobody_waits_for_a_lock() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("alice.db");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    // Nobody listens there: the engine keeps what it is told, and notes why it waits.
    let engine =
        runtime.block_on(async { Engine::open(Config::new("127.0.0.1:9", "alice", &database)) });
    let engine = engine.unwrap();
    let mut watch = Watch::of(&database, &["--json"]);
    let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
    let writer = runtime.spawn({
        let engine = engine.clone();
        async move {
            let mut calls = Vec::new();
            // The outbox takes a thousand.
            while calls.len() < 900 && stopped.try_recv().is_err() {
                let handle = engine.call_invite(&["bob"], InviteOptions::default()).await;
                calls.push(handle.unwrap().call_id().to_string());
            }
            calls
        }
    });
    for question in QUESTIONS {
        assert_done(&inspect(&database, question));
        assert_done(&inspect(&database, &[question, &["--json"]].concat()));
    }
    let copy = folder.path().join("copy.db");
    assert_done(&inspect(
        &database,
        &["export", "--copy", copy.to_str().unwrap()],
    ));
    assert_eq!(json(&copy, &["doctor"])["ok"], true);
    let _ = stop.send(());
    let calls = runtime.block_on(writer).unwrap();
    assert!(!calls.is_empty());
    let pending = json(&database, &["pending"]);
    assert_eq!(pending["pending"].as_array().unwrap().len(), calls.len());
    for call in &calls {
        let entry = watch.entry();
        assert_eq!(
            (&entry["what"], &entry["call_id"]),
            (&json!("callInvite"), &json!(call))
        );
    }
    runtime.block_on(engine.close()).unwrap();
    drop(watch);
    assert_done(&inspect(&database, &["doctor"]));
}
