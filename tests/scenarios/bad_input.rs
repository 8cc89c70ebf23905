//! Bad input, from the app, the network and the disk: each is a clear error that names the thing,
//! and nobody else is disturbed. What is malformed in a command is in [`crate::refusals`].

use std::path::Path;
use std::process::Output;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use offhook::{
    CallEvent, CallId, Code, Config, ConnectionCause, ConnectionState, Engine, Error, EventKind,
    Roots, UserState,
};

use crate::disk::Disk;
use crate::support::{Device, World, brief, general, offhook, refused};

#[tokio::test]
async fn a_barrage_of_bad_commands_disturbs_nobody_and_the_next_good_one_works() {
    let mut world = World::new();
    let [mut alice, mut bob, mut mallory] = world.devices(["alice", "bob", "mallory"]).await;
    let call = alice.rings(general(), &mut [&mut bob]).await;
    let unknown = CallId::trusted("' OR 1=1 --");
    for _ in 0..20 {
        refused(mallory.accept(&call).await, Code::NotMember, "member");
        refused(mallory.cancel(&[], &call).await, Code::NotMember, "member");
        refused(mallory.quit(&call).await, Code::NeedsAdvanced, "mode");
        refused(mallory.join(&unknown).await, Code::CallOver, "unknownCall");
        let invite = mallory.invite(&["a\"b/c\0"], general()).await;
        refused(invite, Code::InvalidParameter, "invitees");
        let invite = mallory.invite(&["bob"], brief(offhook::Mode::General, 601));
        refused(invite.await, Code::InvalidParameter, "timeout");
    }
    bob.accept(&call).await.unwrap();
    world
        .heard(&mut [
            (&mut alice, "created, bob accepted"),
            (&mut bob, "rung by alice, bob accepted"),
            (&mut mallory, ""),
        ])
        .await;
    let call = mallory.rings(general(), &mut [&mut bob]).await;
    bob.accept(&call).await.unwrap();
    assert!(!mallory.lost_the_connection() && !bob.lost_the_connection());
}

#[tokio::test]
async fn an_unknown_user_can_be_rung_and_is_only_never_there() {
    let world = World::new();
    let [alice] = world.devices(["alice"]).await;
    let call = alice.invite(&["nobody"], general()).await.unwrap().call_id;
    assert_eq!(alice.state_of(&call, "nobody"), UserState::Inviting);
}

#[test]
fn an_engine_for_what_is_no_user_id_does_not_open_and_makes_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("it.db");
    for user in ["", "a/b", "a\"b", "a\0b", &"x".repeat(33)] {
        let opened = Engine::open(Config::new("127.0.0.1:9", user, &database)).map(drop);
        refused(opened, Code::InvalidParameter, "user");
    }
    assert!(!database.exists());
}

/// Waits until the device has given up for want of a good token, and gives what it says.
pub async fn wants_a_token(device: &mut Device) -> String {
    device
        .hears(|kind| {
            matches!(kind, EventKind::ConnectionStateChanged(change)
                if change.state == ConnectionState::Disconnected
                    && change.cause == ConnectionCause::TokenExpired)
        })
        .await;
    let status = device.engine.status().await.unwrap();
    status.error.unwrap_or_default()
}

#[tokio::test]
async fn a_token_that_is_missing_forged_expired_or_for_somebody_else_does_not_let_in() {
    let mut world = World::with_tokens();
    let others = World::with_tokens();
    let [mut alice, mut bob] = world.devices(["alice", "bob"]).await;
    let call = alice.rings(general(), &mut [&mut bob]).await;
    let tokens = [
        (None, 6_000_103, "without a token"),
        (Some(String::new()), 6_000_103, "without a token"),
        (Some("no token".to_owned()), 6_000_103, "malformed"),
        (Some(others.token("carol", 60)), 6_000_103, "key"),
        (Some(world.token("carol", -1)), 6_000_106, "expired"),
        (Some(world.token("bob", 60)), 6_000_103, "bob"),
    ];
    for (token, code, word) in tokens {
        let config = Config {
            token,
            ..world.config("carol", "carol")
        };
        let mut carol = Device::open(config);
        let error = wants_a_token(&mut carol).await;
        assert!(error.contains(&code.to_string()), "{error}");
        assert!(error.contains(word), "{error}");
        let good = world.token("carol", 60);
        carol.engine.renew_token(good).await.unwrap();
        carol.connected().await;
        carol.closed().await;
    }
    bob.accept(&call).await.unwrap();
    world
        .heard(&mut [
            (&mut alice, "created, bob accepted"),
            (&mut bob, "rung by alice, bob accepted"),
        ])
        .await;
}

#[tokio::test]
async fn a_bad_new_token_is_refused_and_the_old_one_goes_on_counting() {
    let world = World::with_tokens();
    let others = World::with_tokens();
    let mut alice = world.device("alice", "alice").await;
    let tokens = [
        (world.token("alice", -1), Code::TokenExpired),
        (others.token("alice", 60), Code::TokenInvalid),
        (world.token("bob", 60), Code::TokenInvalid),
        (String::new(), Code::TokenInvalid),
    ];
    for (token, code) in tokens {
        let error = refused(alice.engine.renew_token(token).await, code, "token");
        assert_eq!(error.retryable(), code == Code::TokenExpired);
        alice.engine.set_network(false).await.unwrap();
        alice.engine.set_network(true).await.unwrap();
        alice.connected().await;
    }
}

#[tokio::test]
async fn a_token_that_runs_out_is_told_before_and_a_new_one_brings_the_device_back() {
    let world = World::with_tokens();
    let config = Config {
        token: Some(world.token("alice", 3)),
        ..world.config("alice", "alice")
    };
    let mut alice = Device::open(config);
    let notice = alice
        .hears(|kind| matches!(kind, EventKind::TokenWillExpire { .. }))
        .await;
    let EventKind::TokenWillExpire { seconds } = notice else {
        panic!("{notice:?}");
    };
    assert!((1..=3).contains(&seconds), "{seconds}");
    wants_a_token(&mut alice).await;
    // What is asked meanwhile waits.
    let given = alice.engine.call_invite(&["bob"], general()).await.unwrap();
    assert_eq!(alice.engine.pending().unwrap().len(), 1);
    let token = world.token("alice", 60);
    alice.engine.renew_token(token).await.unwrap();
    given.await.unwrap();
    // The new token outlives a pause of the app.
    alice.engine.pause(None).await.unwrap();
    alice.engine.resume().await.unwrap();
    alice.connected().await;
}

/// Waits until the connection has an error to tell.
async fn connection_error(device: &mut Device) -> String {
    let told = device
        .hears(|kind| {
            matches!(kind, EventKind::ConnectionStateChanged(change) if !change.detail.is_empty())
        })
        .await;
    let EventKind::ConnectionStateChanged(change) = told else {
        panic!("{told:?}");
    };
    assert_ne!(change.state, ConnectionState::Connected);
    change.detail
}

#[tokio::test]
async fn a_certificate_that_is_not_trusted_is_named_and_nothing_is_sent() {
    let world = World::new();
    let others = World::new();
    let [mut alice] = world.devices(["alice"]).await;
    let another = Roots::Pem(others.data().join("cert.pem"));
    for (name, roots) in [("bob-1", another), ("bob-2", Roots::Webpki)] {
        let config = Config {
            roots,
            ..world.config("bob", name)
        };
        let mut bob = Device::open(config);
        let given = bob.engine.call_invite(&["alice"], general()).await.unwrap();
        let error = connection_error(&mut bob).await;
        assert!(error.contains("certificate"), "{error}");
        assert!(!bob.engine.pending().unwrap()[0].sent);
        drop(given);
        bob.closed().await;
    }
    let config = Config {
        server_name: Some("elsewhere.example".into()),
        ..world.config("bob", "bob-3")
    };
    let error = connection_error(&mut Device::open(config)).await;
    assert!(error.contains("certificate"), "{error}");
    // With the right roots it works, and what waited is sent.
    let mut bob = world.device("bob", "bob-1").await;
    let event = alice
        .hears(|kind| matches!(kind, EventKind::Call(CallEvent::Received { .. })))
        .await;
    let EventKind::Call(event) = event else {
        panic!("{event:?}");
    };
    bob.sees(event.call_id(), "alice", UserState::Received)
        .await;
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named_and_waited_for() {
    let mut world = World::new();
    world.kill();
    let mut alice = world.offline_device("alice", "alice");
    let error = connection_error(&mut alice).await;
    let (host, port) = world.address().split_once(':').unwrap();
    assert!(error.contains(host) && error.contains(port), "{error}");
    world.start();
    alice.connected().await;
}

/// What a server says that cannot start.
fn does_not_start(listen: &str, data: &Path) -> String {
    let output = offhook()
        .args(["serve", "--listen", listen, "--data"])
        .arg(data)
        .output()
        .unwrap();
    failed(&output)
}

/// The error of a process that ends with 1 and says why in one line.
fn failed(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert_eq!(output.stdout, b"", "nothing but the result is on stdout");
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.contains(" WARN "))
        .collect();
    assert_eq!(lines.len(), 1, "{text}");
    lines[0].to_owned()
}

#[tokio::test]
async fn a_port_or_folder_that_another_server_has_is_named_and_that_one_goes_on() {
    let world = World::new();
    let [mut alice, mut bob] = world.devices(["alice", "bob"]).await;
    let call = alice.rings(general(), &mut [&mut bob]).await;
    let elsewhere = world.path("elsewhere");
    let error = does_not_start(world.address(), &elsewhere);
    assert!(error.contains(world.address()), "{error}");
    let data = world.data();
    let error = does_not_start("127.0.0.1:0", &data);
    assert!(error.contains(data.to_str().unwrap()), "{error}");
    bob.accept(&call).await.unwrap();
    alice.sees(&call, "bob", UserState::Accepted).await;
    assert!(!alice.lost_the_connection() && !bob.lost_the_connection());
}

#[test]
fn a_folder_that_is_a_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "precious").unwrap();
    let error = does_not_start("127.0.0.1:0", &file);
    assert!(error.contains(file.to_str().unwrap()), "{error}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "precious");
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_is_named_by_server_and_engine() {
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = Disk::read_only(folder.path()) else {
        return;
    };
    let error = does_not_start("127.0.0.1:0", disk.path());
    assert!(error.contains(disk.path().to_str().unwrap()), "{error}");
    let database = disk.path().join("it.db");
    let opened = Engine::open(Config::new("127.0.0.1:9", "alice", &database)).map(drop);
    let error = refused(opened, Code::ReadOnly, "cannotOpen");
    assert!(error.retryable() && names(&error, &database), "{error}");
}

#[tokio::test]
async fn a_database_that_cannot_be_written_is_refused_and_is_as_it_was_afterwards() {
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = Disk::of(folder.path(), "4m") else {
        return;
    };
    let database = disk.path().join("it.db");
    let open = || Engine::open(Config::new("127.0.0.1:9", "alice", &database));
    let alice = open().unwrap();
    drop(alice.call_invite(&["bob"], general()).await.unwrap());
    alice.close().await.unwrap();
    let before = std::fs::read(&database).unwrap();
    disk.set_read_only(true);
    let error = open().map(drop).expect_err("it does not open");
    assert_eq!(error.code, Code::ReadOnly, "{error}");
    assert!(error.retryable() && names(&error, &database), "{error}");
    assert!(std::fs::read(&database).unwrap() == before);
    disk.set_read_only(false);
    assert_eq!(open().unwrap().pending().unwrap().len(), 1);
}

#[tokio::test]
async fn a_folder_that_is_full_is_named_by_server_and_engine() {
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = Disk::of(folder.path(), "1m") else {
        return;
    };
    disk.fill();
    let error = does_not_start("127.0.0.1:0", disk.path());
    assert!(error.contains(disk.path().to_str().unwrap()), "{error}");
    let database = disk.path().join("it.db");
    let opened = Engine::open(Config::new("127.0.0.1:9", "alice", &database)).map(drop);
    let error = opened.expect_err("it does not open");
    assert_eq!(error.code, Code::DiskFull, "{error}");
    assert!(error.retryable() && names(&error, &database), "{error}");
    disk.free();
    Engine::open(Config::new("127.0.0.1:9", "alice", &database)).unwrap();
}

#[tokio::test]
async fn a_disk_that_fills_up_refuses_commands_and_loses_none_that_it_took() {
    let world = World::new();
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = Disk::of(folder.path(), "2m") else {
        return;
    };
    let config = Config {
        database: disk.path().join("it.db"),
        ..world.config("alice", "alice")
    };
    let mut alice = Device::open(config);
    alice.connected().await;
    alice.engine.set_network(false).await.unwrap();
    disk.fill();
    let mut taken = 0;
    let error = loop {
        match alice.engine.call_invite(&["bob"], general()).await {
            Ok(_) => taken += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(
        (error.code, error.retryable()),
        (Code::DiskFull, true),
        "{error}"
    );
    assert!(names(&error, alice.database()), "{error}");
    assert_eq!(alice.engine.pending().unwrap().len(), taken);
    disk.free();
    let given = alice.engine.call_invite(&["bob"], general()).await.unwrap();
    assert_eq!(alice.engine.pending().unwrap().len(), taken + 1);
    let call = given.call_id().clone();
    alice.engine.set_network(true).await.unwrap();
    // The first of them begins a call; what comes after it has its verdict like that one.
    let verdict = given.await;
    assert_eq!(verdict.is_ok(), taken == 0, "{verdict:?}");
    alice.cancel(&[], &call).await.ok();
    assert_eq!(alice.engine.pending().unwrap(), []);
}

/// Whether the error says which file it is about.
fn names(error: &Error, file: &Path) -> bool {
    error.message.contains(file.to_str().unwrap())
}

fn raise_version(database: &Path) {
    let sql = rusqlite::Connection::open(database).unwrap();
    sql.pragma_update(None, "user_version", 1_000).unwrap();
}

#[tokio::test]
async fn r6100015_a_file_that_another_program_writes_for_longer_than_a_command_can_wait() {
    let world = World::new();
    let [alice] = world.devices(["alice"]).await;
    let other = rusqlite::Connection::open(alice.database()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let invite = alice.invite(&["bob"], general()).await;
    let error = refused(invite, Code::InUse, "busy");
    assert_eq!(error.code.number(), 6_100_015);
    assert!(error.retryable() && names(&error, alice.database()));
    other.execute_batch("ROLLBACK").unwrap();
    alice.invite(&["bob"], general()).await.unwrap();
}

#[tokio::test]
async fn more_requests_than_can_wait_for_the_core_hold_no_thread_of_the_executor() {
    let world = World::new();
    let [alice] = world.devices(["alice"]).await;
    let other = rusqlite::Connection::open(alice.database()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut asked = tokio::task::JoinSet::new();
    let begun = Arc::new(AtomicUsize::new(0));
    // A few more than there is room for: each costs a failing test the time of a lock.
    for _ in 0..1_040 {
        let (engine, begun) = (alice.engine.clone(), begun.clone());
        asked.spawn(async move {
            begun.fetch_add(1, Ordering::Relaxed);
            engine.acknowledge(9).await
        });
    }
    // Every one of them has its turn on the only thread before this one goes on.
    while begun.load(Ordering::Relaxed) < asked.len() {
        tokio::task::yield_now().await;
    }
    other.execute_batch("ROLLBACK").unwrap();
    while let Some(acknowledged) = asked.join_next().await {
        acknowledged.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_database_of_a_newer_version_is_left_alone() {
    let mut world = World::new();
    let [alice, bob] = world.devices(["alice", "bob"]).await;
    let config = alice.closed().await;
    raise_version(&config.database);
    let before = std::fs::read(&config.database).unwrap();
    let error = refused(
        Engine::open(config.clone()).map(drop),
        Code::NewerVersion,
        "schema",
    );
    assert!(
        !error.retryable() && names(&error, &config.database),
        "{error}"
    );
    assert!(error.message.contains("1000"), "{error}");
    assert_eq!(std::fs::read(&config.database).unwrap(), before);
    bob.invite(&["alice"], general()).await.unwrap();
    bob.closed().await;
    world.kill();
    let database = world.data().join("server.db");
    raise_version(&database);
    let error = does_not_start("127.0.0.1:0", &world.data());
    assert!(error.contains(world.data().to_str().unwrap()), "{error}");
    assert!(error.contains("1000"), "{error}");
}

#[tokio::test]
async fn the_database_of_another_program_is_left_alone() {
    let world = World::new();
    let [alice] = world.devices(["alice"]).await;
    let mut config = alice.closed().await;
    config.database = world.path("notes.db");
    let notes = rusqlite::Connection::open(&config.database).unwrap();
    notes.execute_batch("CREATE TABLE notes (text)").unwrap();
    drop(notes);
    let servers_own = Config {
        database: world.data().join("server.db"),
        ..config.clone()
    };
    for config in [config, servers_own] {
        let before = std::fs::read(&config.database).unwrap();
        let error = refused(
            Engine::open(config.clone()).map(drop),
            Code::Corrupt,
            "foreign",
        );
        assert!(names(&error, &config.database), "{error}");
        assert_eq!(std::fs::read(&config.database).unwrap(), before);
    }
}

#[tokio::test]
async fn a_file_that_is_no_database_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("it.db");
    std::fs::write(&database, "precious ".repeat(1_000)).unwrap();
    let opened = Engine::open(Config::new("127.0.0.1:9", "alice", &database)).map(drop);
    let error = refused(opened, Code::Corrupt, "foreign");
    assert!(!error.retryable() && names(&error, &database), "{error}");
    let text = std::fs::read_to_string(&database).unwrap();
    assert_eq!(text, "precious ".repeat(1_000));
}

#[tokio::test]
async fn a_database_of_another_user_is_refused_and_left_alone() {
    let world = World::new();
    let [alice] = world.devices(["alice"]).await;
    let id = alice.id().await;
    let config = alice.closed().await;
    let other = Config {
        user: "bob".into(),
        ..config.clone()
    };
    let error = refused(
        Engine::open(other).map(drop),
        Code::InvalidParameter,
        "user",
    );
    assert!(error.message.contains("alice"), "{error}");
    let mut alice = Device::open(config);
    alice.connected().await;
    assert_eq!(alice.id().await, id);
}

#[test]
fn a_token_for_what_is_no_user_id_is_not_made() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("auth.key");
    assert!(
        offhook()
            .arg("keygen")
            .arg(&key)
            .status()
            .unwrap()
            .success()
    );
    let output = offhook()
        .args(["token", "--user", "a/b", "--jwt-key"])
        .arg(&key)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("a/b") && output.stdout.is_empty(), "{text}");
}
