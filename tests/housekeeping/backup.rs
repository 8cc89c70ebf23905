//! Copies made while the database is in use, and what may not be copied to or from.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use offhook::{Code, Engine, EventKind, InviteOptions};

use crate::support::{Place, damage, invites, look, number};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_made_under_constant_writing_is_whole_and_of_one_moment() {
    let place = Place::new();
    let engine = place.engine("alice.db").await;
    let (stop, given) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicI64::new(0)),
    );
    let writer = tokio::spawn({
        let (engine, stop, given) = (engine.clone(), Arc::clone(&stop), Arc::clone(&given));
        async move {
            while !stop.load(Ordering::Acquire) && given.load(Ordering::Acquire) < 900 {
                drop(invites(&engine).await);
                given.fetch_add(1, Ordering::AcqRel);
            }
        }
    });
    for round in 0..12 {
        let copy = place.path(&format!("copy {round}.db"));
        let before = given.load(Ordering::Acquire);
        let made = engine.backup(&copy).await.expect("a copy");
        // One may be on disk and not counted.
        let after = given.load(Ordering::Acquire) + 1;
        assert_eq!(made.bytes, fs::metadata(&copy).expect("a file").len());
        assert_eq!(damage(&copy), "ok");
        let commands = number(&copy, "SELECT count(*) FROM commands");
        assert!(
            (before..=after).contains(&commands),
            "{before} {commands} {after}"
        );
        let last = number(&copy, "SELECT coalesce(max(n), 0) FROM commands");
        assert_eq!(commands, last, "none is left out");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(&copy).expect("a file").permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }
    stop.store(true, Ordering::Release);
    writer.await.expect("it wrote");
    engine.close().await.expect("closed");
    let mut left = place.names();
    left.retain(|name| !name.starts_with("copy") || !name.ends_with(".db"));
    assert_eq!(left, ["alice.db", "alice.db.lock"], "nothing else is left");
}

#[tokio::test]
async fn a_copy_opens_as_another_device_that_gives_up_what_waited_and_says_so() {
    let place = Place::new();
    let engine = place.engine("alice.db").await;
    let op = invites(&engine).await.op().clone();
    let id = engine.status().await.expect("a status").device_id;
    engine.backup(place.path("copy")).await.expect("a copy");
    let restored = Engine::restore(place.path("copy"), place.path("restored.db")).await;
    restored.expect("restored");
    let opened = Engine::open_with_events(place.config("restored.db"));
    let (other, mut events) = opened.expect("an engine");
    let heard = loop {
        let event = events.next().await.expect("open").expect("in time");
        if let EventKind::CommandSettled(settled) = event.kind {
            break (event.position.expect("journaled"), settled);
        }
    };
    assert_eq!(heard.1.op, op);
    assert_eq!(heard.1.result.expect_err("dropped").code, Code::Dropped);
    assert_eq!(other.pending().expect("read"), []);
    let status = other.status().await.expect("a status");
    assert_ne!(status.device_id, id);
    // The original has not noticed.
    assert_eq!(engine.pending().expect("read").len(), 1);
    assert_eq!(engine.status().await.expect("a status").device_id, id);
    // What it tells from now on stands where the copy has nothing.
    let (original, _) = engine.events_since(0, 1_000).await.expect("read");
    assert!(original.iter().all(|event| event.position < Some(heard.0)));
    // Opened once more, it is the device that it became.
    other.close().await.expect("closed");
    let other = place.engine("restored.db").await;
    let again = other.status().await.expect("a status").device_id;
    assert_eq!(again, status.device_id);
}

#[tokio::test]
async fn a_copy_that_was_put_in_place_by_hand_is_another_device_too() {
    let place = Place::new();
    let engine = place.engine("alice.db").await;
    drop(invites(&engine).await);
    let id = engine.status().await.expect("a status").device_id;
    let copy = place.path("copy.db");
    engine.backup(&copy).await.expect("a copy");
    engine.close().await.expect("closed");
    fs::rename(&copy, place.path("alice.db")).expect("renamed");
    let engine = place.engine("alice.db").await;
    assert_ne!(engine.status().await.expect("a status").device_id, id);
    assert_eq!(engine.pending().expect("read"), []);
}

#[tokio::test]
async fn what_was_removed_is_not_in_a_copy() {
    let place = Place::new();
    let engine = place.engine("alice.db").await;
    let secret = "a word that nobody is to find again";
    let options = InviteOptions {
        extended_data: secret.to_owned(),
        ..InviteOptions::default()
    };
    let handle = engine.call_invite(&["bob"], options).await;
    drop(handle.expect("taken"));
    let has = |bytes: &[u8]| {
        bytes
            .windows(secret.len())
            .any(|one| one == secret.as_bytes())
    };
    engine.backup(place.path("with")).await.expect("a copy");
    assert!(has(&fs::read(place.path("with")).expect("read")));
    let by_hand = rusqlite::Connection::open(place.path("alice.db")).expect("by hand");
    by_hand.execute("DELETE FROM commands", []).expect("gone");
    drop(by_hand);
    engine.backup(place.path("without")).await.expect("a copy");
    assert!(!has(&fs::read(place.path("without")).expect("read")));
}

#[tokio::test]
async fn nothing_is_overwritten_and_no_name_of_the_databases_own_is_taken() {
    let place = Place::new();
    let engine = place.engine("alice.db").await;
    fs::write(place.path("taken"), "").expect("written");
    fs::write(place.path("log-wal"), "").expect("written");
    for name in [
        "taken",
        "log",
        "alice.db",
        "alice.db.salvage",
        "nowhere/copy",
    ] {
        let refused = engine.backup(place.path(name)).await.expect_err(name);
        let codes = [Code::InvalidParameter, Code::ReadOnly];
        assert!(codes.contains(&refused.code), "{name}: {refused}");
    }
    assert_eq!(fs::read(place.path("taken")).expect("read"), b"");
    engine.backup(place.path("copy")).await.expect("a copy");
    let bytes = fs::read(place.path("copy")).expect("read");
    engine.backup(place.path("copy")).await.expect_err("taken");
    assert_eq!(fs::read(place.path("copy")).expect("read"), bytes);
    let onto = Engine::restore(place.path("copy"), place.path("alice.db")).await;
    assert_eq!(onto.expect_err("taken").code, Code::InvalidParameter);
}

#[tokio::test]
async fn a_copy_removes_nothing_that_another_did_not_leave() {
    let place = Place::new();
    let engine = place.engine("alice.db").await;
    let endings = [
        ".part",
        ".part-journal",
        ".part.lock",
        ".offhook-part",
        ".offhook-part-journal",
        ".offhook-part.lock",
        ".offhook-part-note",
        ".offhook-part-note.new",
    ];
    for (n, ending) in endings.into_iter().enumerate() {
        let name = format!("copy {n}");
        let theirs = place.path(&format!("{name}{ending}"));
        fs::write(&theirs, "somebody's").expect("written");
        let made = engine.backup(place.path(&name)).await;
        if ending.starts_with(".offhook") {
            let refused = made.expect_err(ending);
            assert_eq!(refused.code, Code::InvalidParameter, "{ending}: {refused}");
            assert!(refused.message.contains("in the way"), "{refused}");
        } else {
            made.expect(ending);
        }
        assert_eq!(fs::read(&theirs).expect(ending), b"somebody's");
        let mut left = place.names();
        left.retain(|left| left.starts_with(&name) && *left != name);
        assert_eq!(left, [format!("{name}{ending}")]);
    }
    // What an interrupted copy left is in nobody's way.
    for ending in ["", "-journal", ".lock", "-note"] {
        let left = place.path(&format!("last.offhook-part{ending}"));
        let is_empty = [".lock", "-note"].contains(&ending);
        fs::write(left, if is_empty { "" } else { "half" }).expect("written");
    }
    engine.backup(place.path("last")).await.expect("a copy");
    let mut left = place.names();
    left.retain(|left| left.starts_with("last"));
    assert_eq!(left, ["last"]);
}

#[tokio::test]
async fn only_a_sound_database_of_this_engines_is_put_in_place() {
    let place = Place::new();
    let engine = place.engine("alice.db").await;
    drop(invites(&engine).await);
    engine.backup(place.path("copy")).await.expect("a copy");
    let to = place.path("restored.db");
    let refused = |name: &'static str| {
        let (from, to) = (place.path(name), to.clone());
        async move {
            let error = Engine::restore(from, &to).await.expect_err(name);
            assert!(!to.exists(), "{name}");
            error.code
        }
    };
    assert_eq!(refused("nobody").await, Code::InvalidParameter);
    fs::write(place.path("text"), "no database at all, but text").expect("written");
    assert_eq!(refused("text").await, Code::Corrupt);
    let stranger = rusqlite::Connection::open(place.path("stranger")).expect("by hand");
    stranger.execute_batch("CREATE TABLE t (x)").expect("made");
    drop(stranger);
    assert_eq!(refused("stranger").await, Code::Corrupt);
    fs::copy(place.path("copy"), place.path("newer")).expect("copied");
    let newer = rusqlite::Connection::open(place.path("newer")).expect("by hand");
    newer
        .execute_batch("PRAGMA user_version = 999")
        .expect("made");
    drop(newer);
    assert_eq!(refused("newer").await, Code::NewerVersion);
    let mut damaged = fs::read(place.path("copy")).expect("read");
    let half = damaged.len() / 2;
    damaged[half..].fill(0x55);
    fs::write(place.path("damaged"), damaged).expect("written");
    assert_eq!(refused("damaged").await, Code::Corrupt);
    // A log of another database beside it would be taken for its own.
    fs::write(place.path("restored.db-wal"), "x").expect("written");
    assert_eq!(refused("copy").await, Code::InvalidParameter);
    fs::remove_file(place.path("restored.db-wal")).expect("removed");
    Engine::restore(place.path("copy"), &to)
        .await
        .expect("sound");
    assert_eq!(damage(&to), "ok");
}

#[tokio::test]
async fn a_copy_is_not_put_where_it_has_its_own_log_or_lock() {
    let place = Place::new();
    let engine = place.engine("alice.db").await;
    engine.backup(place.path("bk.db")).await.expect("a copy");
    let before = place.names();
    for ending in ["-wal", "-shm", "-journal", ".lock", ".salvage"] {
        let to = place.path(&format!("bk.db{ending}"));
        let refused = Engine::restore(place.path("bk.db"), to).await;
        let refused = refused.expect_err(ending);
        assert_eq!(refused.code, Code::InvalidParameter, "{ending}: {refused}");
        assert_eq!(place.names(), before, "{ending}");
    }
}

#[tokio::test]
async fn a_name_that_cannot_be_and_what_is_no_copy_are_refused_as_what_they_are() {
    let place = Place::new();
    let engine = place.engine("alice.db").await;
    let targets = [
        "".into(),
        "nul\0".into(),
        place.path("nul\0"),
        place.path("nowhere/copy"),
    ];
    for to in targets {
        let refused = engine.backup(&to).await.expect_err("no name");
        assert_eq!(refused.code, Code::InvalidParameter, "{to:?}: {refused}");
        assert!(!refused.message.contains("part"), "{refused}");
    }
    engine.backup(place.path("copy")).await.expect("a copy");
    let bytes = fs::read(place.path("copy")).expect("read");
    let samples = [&b""[..], b"text", &bytes[..bytes.len() / 2], &bytes[..5000]];
    for (n, content) in samples.into_iter().enumerate() {
        fs::write(place.path("bad"), content).expect("written");
        let before = place.names();
        let refused = Engine::restore(place.path("bad"), place.path("to.db")).await;
        let refused = refused.expect_err("no copy");
        assert_eq!(refused.code, Code::Corrupt, "{n}: {refused}");
        assert!(
            refused.message.contains("no copy of an Offhook"),
            "{refused}"
        );
        assert_eq!(place.names(), before);
    }
    let nameless = rusqlite::Connection::open(place.path("copy")).expect("by hand");
    let delete = "DELETE FROM meta WHERE key = 'device_id'";
    nameless.execute(delete, []).expect("gone");
    drop(nameless);
    let restored = Engine::restore(place.path("copy"), place.path("to.db")).await;
    restored.expect("it becomes another device anyway");
    place.engine("to.db").await;
}

#[tokio::test]
async fn a_name_too_long_for_what_lies_beside_a_copy_is_refused_and_leaves_nothing() {
    let place = Place::new();
    let engine = place.engine("alice.db").await;
    engine.backup(place.path("copy")).await.expect("a copy");
    let before = place.names();
    for bytes in [234, 250, 255, 256, 1000] {
        let to = place.path(&"n".repeat(bytes));
        let refusals = [
            engine.backup(&to).await.expect_err("too long"),
            Engine::restore(place.path("copy"), &to)
                .await
                .expect_err("too long"),
        ];
        for refused in refusals {
            assert_eq!(refused.code, Code::InvalidParameter, "{bytes}: {refused}");
            let said = format!("a name of {bytes} bytes");
            assert!(refused.message.contains(&said), "{refused}");
            assert!(refused.message.contains("233 at most"), "{refused}");
        }
        assert_eq!(place.names(), before);
    }
    let longest = place.path(&"n".repeat(233));
    engine.backup(&longest).await.expect("a copy");
    let longest = place.path(&"m".repeat(233));
    Engine::restore(place.path("copy"), longest)
        .await
        .expect("restored");
}

#[tokio::test]
async fn a_copy_of_copies_without_positions_left_is_refused() {
    let place = Place::new();
    let engine = place.engine("alice.db").await;
    engine.backup(place.path("copy")).await.expect("a copy");
    let set = |position: u64| {
        let copy = rusqlite::Connection::open(place.path("copy")).expect("by hand");
        let set = format!(
            "DELETE FROM sqlite_sequence WHERE name = 'journal';
             INSERT INTO sqlite_sequence (name, seq) VALUES ('journal', {position})"
        );
        copy.execute_batch(&set).expect("set");
    };
    set((1 << 53) - (2 << 40) + 1);
    let to = place.path("restored.db");
    let refused = Engine::restore(place.path("copy"), &to).await;
    let refused = refused.expect_err("beyond count");
    assert_eq!(refused.code, Code::InvalidParameter);
    assert!(refused.message.contains("new database"), "{refused}");
    assert!(!to.exists());
    fs::copy(place.path("copy"), place.path("by hand.db")).expect("copied");
    let by_hand = Engine::open(place.config("by hand.db"));
    assert_eq!(by_hand.err().expect("it too").code, Code::InvalidParameter);
    set((1 << 53) - (2 << 40));
    let restored = Engine::restore(place.path("copy"), &to).await;
    restored.expect("the last one");
    place.engine("restored.db").await;
}

#[tokio::test]
async fn another_users_engine_does_not_open_the_copy_and_it_stays_one() {
    let place = Place::new();
    let engine = place.engine("alice.db").await;
    engine.backup(place.path("copy")).await.expect("a copy");
    let mut config = place.config("copy");
    config.user = "bob".to_owned();
    let refused = Engine::open(config).err().expect("alice's");
    assert_eq!(refused.code, Code::InvalidParameter);
    let of = look(&place.path("copy")).query_row(
        "SELECT value FROM meta WHERE key = 'copy_of'",
        [],
        |row| row.get::<_, String>(0),
    );
    let id = engine.status().await.expect("a status").device_id;
    assert_eq!(of.expect("marked still"), id.as_str());
}

#[tokio::test]
async fn a_pause_ends_a_copy_and_leaves_nothing_of_it() {
    let place = Place::new();
    let engine = place.engine("alice.db").await;
    let by_hand = rusqlite::Connection::open(place.path("alice.db")).expect("by hand");
    by_hand
        .execute_batch(
            "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 20000)
             INSERT INTO journal (at_ms, call_id, name, params)
             SELECT n, 'c', 'x', '\"' || hex(zeroblob(500)) || '\"' FROM n",
        )
        .expect("filled");
    drop(by_hand);
    let copy = place.path("copy");
    let copying = tokio::spawn({
        let (engine, copy) = (engine.clone(), copy.clone());
        async move { engine.backup(copy).await }
    });
    // Sooner or later it is there, in the making or made.
    while !place.names().iter().any(|name| name.starts_with("copy")) {
        tokio::task::yield_now().await;
    }
    engine.pause(None).await.expect("paused");
    let names = place.names();
    match copying.await.expect("it ran") {
        Ok(_) => assert_eq!(damage(&copy), "ok"),
        Err(error) => {
            assert_eq!(error.code, Code::Closed, "{error}");
            assert!(!copy.exists());
        }
    }
    assert!(!names.iter().any(|name| name.contains("part")), "{names:?}");
    engine
        .backup(place.path("later"))
        .await
        .expect_err("paused");
    engine.resume().await.expect("resumed");
    engine.backup(place.path("later")).await.expect("a copy");
    assert_eq!(damage(&place.path("later")), "ok");
}
