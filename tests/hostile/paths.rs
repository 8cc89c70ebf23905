//! Names of databases that are no ordinary names of files.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use offhook::{Code, Config, Engine, Error, InviteOptions, Role, Roots};
use tempfile::TempDir;

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// An engine that never reaches its server.
fn open(folder: &Path, database: PathBuf) -> Result<Engine, Error> {
    let trusted = folder.join("trusted");
    let made = offhook::server::certificate::load_or_create(&trusted, &[], None, None);
    made.unwrap();
    let mut config = Config::new("127.0.0.1:1", "alice", database);
    config.roots = Roots::Pem(trusted.join("cert.pem"));
    Engine::open(config)
}

async fn role(engine: &Engine) -> Role {
    engine.status().await.unwrap().role
}

/// Waits until the engine is the one that syncs. Another test may have started a process at that
/// moment, which holds what was open for as long as it has not become another program.
async fn syncs(engine: &Engine) {
    let start = Instant::now();
    while role(engine).await != Role::Syncing {
        assert!(start.elapsed() < PATIENCE, "it goes on waiting");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn invite(engine: &Engine) -> Result<(), Error> {
    engine
        .call_invite(&["bob"], InviteOptions::default())
        .await
        .map(drop)
}

#[tokio::test]
async fn no_name_means_anything_to_the_database_but_a_file() {
    let folder = tempfile::tempdir().unwrap();
    // Names are relative here, and the folder of the process is shared with other tests.
    let folder_name = pathdiff(folder.path());
    for name in [
        "file:x.db",
        "file:y.db?mode=memory",
        "file:::memory:",
        "a b'c\"d?e%25f#.db",
        "通话.db",
    ] {
        for database in [folder_name.join(name), folder.path().join(name)] {
            let engine = open(folder.path(), database.clone()).unwrap();
            invite(&engine).await.unwrap();
            assert!(!engine.pending().unwrap().is_empty(), "{name}");
            engine.close().await.unwrap();
            let bytes = std::fs::metadata(folder.path().join(name)).unwrap().len();
            assert!(bytes > 0, "{name} is empty");
        }
    }
}

/// The folder, by a relative name.
fn pathdiff(folder: &Path) -> PathBuf {
    let here = std::env::current_dir().unwrap();
    let mut relative: PathBuf = here.iter().skip(1).map(|_| "..").collect();
    relative.extend(folder.iter().skip(1));
    relative
}

#[test]
fn a_relative_name_is_no_address_of_a_database_either() {
    let folder = tempfile::tempdir().unwrap();
    for name in [":memory:", "file:x.db", "file:x.db?mode=memory"] {
        let output = Command::new(env!("CARGO_BIN_EXE_offhook"))
            .current_dir(folder.path())
            .args(["serve", "--listen", "127.0.0.1:0", "--data", name])
            .arg("--cert=missing")
            .arg("--key=missing")
            .output()
            .unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.contains("missing"), "it came as far as that: {text}");
        let database = folder.path().join(name).join("server.db");
        assert!(std::fs::metadata(database).unwrap().len() > 0, "{name}");
    }
}

#[test]
fn what_is_no_file_is_refused_at_once_and_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let made = Command::new("mkfifo").arg(path("pipe")).status().unwrap();
    assert!(made.success());
    let made = Command::new("mkfifo")
        .arg(path("a.db.lock"))
        .status()
        .unwrap();
    assert!(made.success());
    std::os::unix::fs::symlink("loop", path("loop")).unwrap();
    std::fs::create_dir(path("folder")).unwrap();
    let databases = [
        path("pipe"),
        path("a.db"),
        path("loop"),
        path("folder"),
        path("missing/a.db"),
        PathBuf::new(),
    ];
    for database in databases {
        let (done, opened) = channel();
        let (folder, name) = (folder.path().to_owned(), database.clone());
        std::thread::spawn(move || {
            let _ = done.send(open(&folder, name).map(drop));
        });
        let opened = opened.recv_timeout(PATIENCE);
        let error = opened.expect("it hangs").unwrap_err();
        assert_eq!(error.code, Code::ReadOnly, "{database:?}: {error}");
    }
    let left = std::fs::read_dir(folder.path()).unwrap();
    let mut left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    left.retain(|name| name != "loop.lock");
    assert_eq!(
        left,
        ["a.db.lock", "folder", "loop", "pipe", "trusted"],
        "{left:?}"
    );
}

#[tokio::test]
async fn a_file_has_one_lock_by_all_of_its_names() {
    let folder: TempDir = tempfile::tempdir().unwrap();
    let first = open(folder.path(), folder.path().join("a.db")).unwrap();
    let link = folder.path().join("b.db");
    std::os::unix::fs::symlink(folder.path().join("a.db"), &link).unwrap();
    syncs(&first).await;
    let second = open(folder.path(), link).unwrap();
    invite(&second).await.unwrap();
    assert_eq!(role(&second).await, Role::Waiting);
    assert_eq!(first.pending().unwrap().len(), 1, "it is one file");
    first.close().await.unwrap();
    syncs(&second).await;
}
