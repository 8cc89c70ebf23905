//! Files of all kinds: in use, copied, newer, damaged, and not databases at all. Looking changes
//! none of them.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use rusqlite::{Connection, TransactionBehavior};
use serde_json::Value;

use super::{Fixture, NEWEST, SCHEMA, STORY, assert_done, assert_failed, files, inspect, json};

const QUESTIONS: [&[&str]; 6] = [
    &["calls"],
    &["call", "call-team"],
    &["pending"],
    &["timeline"],
    &["stats"],
    &["export"],
];

fn ids(document: &Value) -> Vec<&str> {
    document["calls"]
        .as_array()
        .unwrap()
        .iter()
        .map(|call| call["call_id"].as_str().unwrap())
        .collect()
}

fn pending_ops(document: &Value) -> Vec<&str> {
    document["pending"]
        .as_array()
        .unwrap()
        .iter()
        .map(|command| command["op"].as_str().unwrap())
        .collect()
}

fn queue(app: &Connection, op: &str) {
    app.execute(
        "INSERT INTO commands (op, call_id, command, arguments, queued_at_ms, expires_at_ms)
         VALUES (?, 'call-now', 'callQuit', '{}', 1767232820000, 0)",
        [op],
    )
    .unwrap();
}

#[test]
fn looking_at_a_closed_file_leaves_no_trace() {
    let fixture = Fixture::new();
    let before = fixture.files();
    assert_eq!(before.len(), 1, "the fixture is closed cleanly");
    for question in QUESTIONS {
        fixture.text(question);
        fixture.text(&[question, &["--json"]].concat());
        assert_eq!(fixture.files(), before);
    }
    fixture.json(&["doctor"]);
    assert_eq!(fixture.files(), before);
}

#[test]
fn a_read_only_file_in_a_read_only_folder() {
    let fixture = Fixture::new();
    let expected = fixture.json(&["calls"]);
    set_writable(&fixture.database, false);
    set_writable(fixture.folder.path(), false);
    let calls = fixture.json(&["calls"]);
    let count = fixture.files().len();
    set_writable(fixture.folder.path(), true);
    set_writable(&fixture.database, true);
    assert_eq!(calls, expected);
    assert_eq!(count, 1);
}

// World-writable only for the moment until the folder is deleted.
#[allow(clippy::permissions_set_readonly_false)]
fn set_writable(path: &Path, writable: bool) {
    let mut permissions = fs::metadata(path).unwrap().permissions();
    permissions.set_readonly(!writable);
    fs::set_permissions(path, permissions).unwrap();
}

#[test]
fn while_the_app_writes() {
    let fixture = Fixture::new();
    let mut app = fixture.app();
    queue(&app, "op-8");
    let transaction = app
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .unwrap();
    queue(&transaction, "op-9");
    for question in QUESTIONS {
        fixture.text(question);
    }
    let pending = fixture.json(&["pending"]);
    assert_eq!(pending_ops(&pending), ["op-6", "op-7", "op-8"]);
    transaction.commit().unwrap();
    let pending = fixture.json(&["pending"]);
    assert_eq!(pending_ops(&pending), ["op-6", "op-7", "op-8", "op-9"]);
    // Nobody is left behind who would keep the app from emptying its WAL.
    let busy: i64 = app
        .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))
        .unwrap();
    assert_eq!(busy, 0);
    let pending = fixture.json(&["pending"]);
    assert_eq!(pending_ops(&pending).len(), 4);
    drop(app);
    assert_eq!(fixture.files().len(), 1);
}

#[test]
fn while_the_app_writes_without_a_pause() {
    let fixture = Fixture::new();
    let app = fixture.app();
    app.pragma_update(None, "synchronous", "OFF").unwrap();
    queue(&app, "op-8");
    let (done, writes) = (AtomicBool::new(false), AtomicU64::new(0));
    let (is_done, count) = (&done, &writes);
    let answers: Vec<Output> = thread::scope(|scope| {
        scope.spawn(move || {
            while !is_done.load(Ordering::Relaxed) {
                let written = app.execute("UPDATE feed SET cursor = cursor + 1", []);
                count.fetch_add(u64::from(written.is_ok()), Ordering::Relaxed);
            }
        });
        let answers = (0..5).map(|_| inspect(&fixture.database, &["pending", "--json"]));
        let answers = answers.collect();
        done.store(true, Ordering::Relaxed);
        answers
    });
    assert!(writes.load(Ordering::Relaxed) > 0);
    for answer in answers {
        assert_done(&answer);
        let pending = serde_json::from_slice(&answer.stdout).unwrap();
        assert_eq!(pending_ops(&pending), ["op-6", "op-7", "op-8"]);
    }
}

#[test]
fn through_a_link_while_the_app_writes() {
    let fixture = Fixture::new();
    let app = fixture.app();
    queue(&app, "op-8");
    let elsewhere = tempfile::tempdir().unwrap();
    let link = elsewhere.path().join("link.db");
    #[cfg(unix)]
    std::os::unix::fs::symlink(&fixture.database, &link).unwrap();
    #[cfg(not(unix))]
    std::os::windows::fs::symlink_file(&fixture.database, &link).unwrap();
    let pending = json(&link, &["pending"]);
    assert_eq!(pending_ops(&pending), ["op-6", "op-7", "op-8"]);
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 1);
}

/// Copies those of the app's three files, while it has them open.
fn copy(fixture: &Fixture, endings: &[&str]) -> tempfile::TempDir {
    let app = fixture.app();
    queue(&app, "op-8");
    let folder = tempfile::tempdir().unwrap();
    for ending in endings {
        let name = format!("alice.db{ending}");
        fs::copy(fixture.folder.path().join(&name), folder.path().join(&name)).unwrap();
    }
    folder
}

#[test]
fn a_copy_with_its_wal_tells_all_and_leaves_no_trace() {
    let copy = copy(&Fixture::new(), &["", "-wal"]);
    let before = files(copy.path());
    let pending = json(&copy.path().join("alice.db"), &["pending"]);
    assert_eq!(pending_ops(&pending), ["op-6", "op-7", "op-8"]);
    assert_eq!(files(copy.path()), before);
}

#[test]
fn a_copy_with_its_wal_in_a_read_only_folder() {
    let copy = copy(&Fixture::new(), &["", "-wal"]);
    set_writable(copy.path(), false);
    let pending = json(&copy.path().join("alice.db"), &["pending"]);
    set_writable(copy.path(), true);
    assert_eq!(pending_ops(&pending), ["op-6", "op-7", "op-8"]);
}

#[test]
fn a_copy_without_its_wal_tells_what_it_has() {
    let copy = copy(&Fixture::new(), &[""]);
    let before = files(copy.path());
    let pending = json(&copy.path().join("alice.db"), &["pending"]);
    assert_eq!(pending_ops(&pending), ["op-6", "op-7"]);
    assert_eq!(files(copy.path()), before);
}

#[test]
fn what_a_crash_leaves_behind() {
    let copy = copy(&Fixture::new(), &["", "-wal", "-shm"]);
    let before = files(copy.path());
    let database = copy.path().join("alice.db");
    let pending = json(&database, &["pending"]);
    assert_eq!(pending_ops(&pending), ["op-6", "op-7", "op-8"]);
    let mut after = files(copy.path());
    if !cfg!(unix) {
        // There the -shm is scratch paper for whoever comes first.
        let shm = copy.path().join("alice.db-shm");
        after.insert(shm.clone(), before[&shm].clone());
    }
    assert!(after == before, "a trace was left");
}

#[test]
fn a_copy_of_a_new_file_without_its_wal_is_told_to_be_that() {
    let fixture = Fixture::bare();
    let app = fixture.app();
    app.pragma_update(None, "journal_mode", "WAL").unwrap();
    app.execute_batch(&SCHEMA.concat()).unwrap();
    let copy = fixture.folder.path().join("copy.db");
    fs::copy(&fixture.database, &copy).unwrap();
    for question in QUESTIONS {
        assert_failed(&inspect(&copy, question), &["copied without its `-wal`"]);
    }
    fixture.json(&["calls"]);
    drop(app);
}

#[test]
fn a_backup_that_is_not_in_wal_mode() {
    let fixture = Fixture::new();
    let backup = fixture.folder.path().join("backup.db");
    fixture
        .app()
        .execute("VACUUM INTO ?", [backup.to_str().unwrap()])
        .unwrap();
    let before = fixture.files();
    assert_eq!(json(&backup, &["calls"]), fixture.json(&["calls"]));
    assert_eq!(fixture.files(), before);
}

#[test]
fn a_change_that_was_cut_short_is_told_and_not_taken_back() {
    let fixture = Fixture::new();
    let app = fixture.app();
    app.execute_batch(
        "PRAGMA journal_mode = DELETE; PRAGMA cache_size = 1; BEGIN;
         INSERT INTO journal (at_ms, call_id, name, params)
             SELECT 1, '', 'x', hex(zeroblob(5000)) FROM journal, journal AS more;",
    )
    .unwrap();
    let cut = Fixture::bare();
    for ending in ["", "-journal"] {
        let name = |fixture: &Fixture| format!("{}{ending}", fixture.database.display());
        fs::copy(name(&fixture), name(&cut)).unwrap();
    }
    let before = cut.files();
    assert_eq!(before.len(), 2);
    let output = inspect(&cut.database, &["calls", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let note = String::from_utf8(output.stderr).unwrap();
    assert!(
        note.contains("cut short") && note.contains("doctor"),
        "{note}"
    );
    let calls: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(ids(&calls), ids(&Fixture::new().json(&["calls"])));
    let output = inspect(&cut.database, &["doctor"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("cut short"), "{said}");
    assert!(cut.files() == before, "it was changed");
}

#[test]
fn an_older_layout_is_read_like_the_newest() {
    let newest = Fixture::new();
    for version in 1..NEWEST {
        let older = Fixture::of_version(version);
        older.app().execute_batch(STORY).unwrap();
        for question in [&["calls"][..], &["timeline"], &["pending"]] {
            assert_eq!(older.json(question), newest.json(question), "{question:?}");
        }
    }
}

#[test]
fn a_newer_layout_is_read_as_far_as_it_is_known() {
    let fixture = Fixture::new();
    let calls = fixture.json(&["calls"]);
    fixture
        .app()
        .execute_batch(
            "PRAGMA user_version = 7;
             ALTER TABLE calls ADD COLUMN mood TEXT NOT NULL DEFAULT 'good';
             ALTER TABLE members DROP COLUMN invite_data;
             UPDATE calls SET state = 'on_hold' WHERE call_id = 'call-now';",
        )
        .unwrap();
    let before = fixture.files();
    let output = inspect(&fixture.database, &["calls", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let note = String::from_utf8(output.stderr).unwrap();
    assert!(
        note.contains("version 7") && note.lines().count() == 1,
        "{note}"
    );
    let newer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(ids(&newer), ids(&calls));
    assert_eq!(newer["calls"][0]["state"], "on_hold");
    assert_eq!(newer["calls"][0]["members"][1]["invite_data"], "");
    for question in QUESTIONS.iter().chain(&[&["doctor"][..]]) {
        let output = inspect(&fixture.database, question);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert!(!output.stdout.is_empty());
    }
    assert_eq!(fixture.files(), before);
}

#[test]
fn a_layout_without_the_table_that_is_asked_for() {
    let fixture = Fixture::new();
    fixture
        .app()
        .execute_batch("DROP VIEW timeline_view")
        .unwrap();
    let output = inspect(&fixture.database, &["timeline"]);
    assert_failed(&output, &["`timeline_view`", "version 3"]);
    fixture.json(&["calls"]);
}

#[test]
fn what_a_missing_table_only_adds_to_keeps_nothing_else_from_being_told() {
    let whole = Fixture::new();
    let calls = whole.json(&["calls"]);
    let call = whole.json(&["call", "call-team"]);
    let exported = whole.text(&["export"]).lines().count();
    for (what, lines_left) in [
        ("TABLE rings", exported),
        ("TABLE members", exported),
        ("TABLE meta", exported),
        ("TABLE changes", exported),
        ("TABLE journal", exported),
        ("VIEW timeline_view", exported),
        // Of some calls only commands tell.
        ("TABLE commands", ids(&calls).len()),
    ] {
        let fixture = Fixture::new();
        fixture
            .app()
            .execute_batch(&format!("DROP {what}"))
            .unwrap();
        let before = fixture.files();
        let noted = |question: &[&str]| {
            let output = inspect(&fixture.database, question);
            assert_eq!(output.status.code(), Some(0), "{what}: {output:?}");
            let note = String::from_utf8(output.stderr).unwrap();
            assert!(note.lines().count() <= 1, "{what}: {note}");
            (String::from_utf8(output.stdout).unwrap(), note)
        };
        let (listed, _) = noted(&["calls", "--json"]);
        let listed: Value = serde_json::from_str(&listed).unwrap();
        assert_eq!(ids(&listed), ids(&calls), "{what}");
        let (told, note) = noted(&["call", "call-team", "--json"]);
        let told: Value = serde_json::from_str(&told).unwrap();
        assert_eq!(
            told["call"]["create_time_ms"],
            call["call"]["create_time_ms"]
        );
        let (_, name) = what.split_once(' ').unwrap();
        assert!(note.contains(name) && note.contains("doctor"), "{note}");
        let (lines, note) = noted(&["export"]);
        assert_eq!(lines.lines().count(), lines_left, "{what}");
        assert!(note.contains(name), "{what}: {note}");
        let output = inspect(&fixture.database, &["doctor"]);
        assert_eq!(output.status.code(), Some(1), "{what}: {output:?}");
        assert!(String::from_utf8(output.stdout).unwrap().contains(name));
        assert_eq!(fixture.files(), before, "{what}");
    }
}

#[test]
fn no_such_file_and_none_is_made() {
    let folder = tempfile::tempdir().unwrap();
    for question in QUESTIONS {
        let output = inspect(&folder.path().join("alice.db"), question);
        assert_failed(&output, &["alice.db: there is no such file"]);
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn files_that_are_no_databases() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("alice.db");
    for (content, said) in [
        (&b""[..], "is empty"),
        (b"hello", "is not an SQLite database"),
        (b"SQLite format 3\0", "is not an SQLite database"),
        (&[7; 8192], "is not an SQLite database"),
    ] {
        fs::write(&path, content).unwrap();
        for question in QUESTIONS {
            assert_failed(&inspect(&path, question), &["alice.db: ", said]);
        }
        assert_eq!(fs::read(&path).unwrap(), content);
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    let output = inspect(folder.path(), &["calls"]);
    assert_failed(&output, &["is not a file"]);
}

#[test]
fn a_database_of_something_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bookmarks.db");
    Connection::open(&path)
        .unwrap()
        .execute_batch("CREATE TABLE bookmarks (url TEXT)")
        .unwrap();
    for question in QUESTIONS {
        let said = ["bookmarks.db: ", "another program's", "name the app's"];
        assert_failed(&inspect(&path, question), &said);
    }
}

#[test]
fn a_signalling_server_s_database() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("server.db");
    let server = Connection::open(&path).unwrap();
    let schema = include_str!("../../schema/server/0001_initial.sql");
    server.execute_batch(schema).unwrap();
    for mark in [0x4f46_4853, 0] {
        server.pragma_update(None, "application_id", mark).unwrap();
        for question in QUESTIONS {
            let said = ["server.db: ", "a signalling server's", "name the app's"];
            assert_failed(&inspect(&path, question), &said);
        }
    }
}

#[test]
fn a_damaged_file_is_a_failure_and_no_panic() {
    let fixture = Fixture::new();
    let whole = fs::read(&fixture.database).unwrap();
    let page = 4096;
    for first in (page..whole.len()).step_by(page) {
        let mut damaged = whole.clone();
        damaged[first..first + page].fill(0xa5);
        fs::write(&fixture.database, &damaged).unwrap();
        for question in QUESTIONS {
            let output = inspect(&fixture.database, question);
            if output.status.code() != Some(0) {
                assert_failed(&output, &["alice.db"]);
            }
        }
    }
    let half = &whole[..whole.len() / 2];
    fs::write(&fixture.database, half).unwrap();
    for question in QUESTIONS {
        let output = inspect(&fixture.database, question);
        let said = String::from_utf8(output.stderr.clone()).unwrap();
        assert!(said.contains("is damaged"), "{output:?}");
    }
    assert_eq!(fs::read(&fixture.database).unwrap(), half);
}

#[test]
fn this_build_knows_the_newest_layout_of_the_tree() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema/client");
    let migrations = fs::read_dir(folder)
        .unwrap()
        .filter(|entry| {
            let name = entry.as_ref().unwrap().file_name();
            let name = name.to_str().unwrap();
            // Beside the migrations lie the layouts that they lead to, to compare with.
            name.ends_with(".sql") && !name.ends_with(".golden.sql")
        })
        .count();
    assert_eq!(
        i64::try_from(migrations).unwrap(),
        offhook::inspect::SCHEMA_KNOWN
    );
}

/// The shell that a developer has at hand is older than the SQLite in this build.
#[test]
fn the_shell_of_the_system_reads_every_view_while_the_app_has_the_file_open() {
    let fixture = Fixture::new();
    let app = fixture.app();
    // Stands in the log, which nobody writes back meanwhile.
    app.execute_batch("UPDATE calls SET extended_data = 'just now'")
        .unwrap();
    let schema = SCHEMA.concat();
    let views: Vec<&str> = schema
        .lines()
        .filter_map(|line| line.strip_prefix("CREATE VIEW ")?.strip_suffix(" AS"))
        .collect();
    assert!(views.len() >= 3, "{views:?}");
    for view in views {
        let output = Command::new("sqlite3")
            .args(["-bail", "-readonly"])
            .arg(&fixture.database)
            .arg(format!("SELECT * FROM {view}"))
            .output();
        let Ok(output) = output else {
            eprintln!("no sqlite3 shell here: not seen whether it reads {view}");
            continue;
        };
        assert!(
            output.status.success() && !output.stdout.is_empty(),
            "{output:?}"
        );
        assert!(output.stderr.is_empty(), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(text.contains("just now"), view == "calls_view", "{text}");
    }
}

#[test]
fn a_file_of_somebodys_making_is_looked_at_or_refused_but_never_without_end() {
    let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)
                   SELECT i AS sort_key, 'c' AS call_id, 'd' AS user_id, 'started' AS state FROM n";
    for table in ["calls", "members", "commands", "rings", "meta"] {
        let fixture = Fixture::empty();
        fixture
            .app()
            .execute_batch(&format!(
                "INSERT INTO calls (sort_key, call_id, epoch, revision, mode, caller,
                     create_time_ms, timeout_s, extended_data, not_received_check, state, my_state)
                 VALUES (1, 'call-team', 1, 1, 'x', 'y', -1, -1, '', 7, 'z', 'w');
                 PRAGMA legacy_alter_table = ON;
                 ALTER TABLE {table} RENAME TO was_{table};
                 CREATE VIEW {table} AS {endless};"
            ))
            .unwrap();
        for question in QUESTIONS.iter().chain(&[&["doctor"][..]]) {
            let output = inspect(&fixture.database, question);
            assert!([Some(0), Some(1)].contains(&output.status.code()));
        }
    }
    let fixture = Fixture::empty();
    fixture
        .app()
        .execute_batch(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 9000)
             INSERT INTO journal (at_ms, call_id, name, params) SELECT i, 'c', 'x', '{}' FROM n;
             INSERT INTO journal (at_ms, call_id, name, params)
             VALUES (5, hex(zeroblob(500000)), 'x', '{}');",
        )
        .unwrap();
    assert!(fixture.text(&["timeline"]).len() < 20_000_000);
}
