//! A recorded first flight that is sent again after an hour. The hour passes for the whole process,
//! the server's and TLS' clocks with it: a library that is loaded before the system's puts the wall
//! clock forward. So the test runs itself once more, with that.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use crate::database::rows;
use crate::proxy::replay;
use crate::replay::{asks_for_versions, is_answered, name_of, recorded};
use crate::stage::{Stage, has_logged, logged};

/// The file whose being there lets the hour pass; known to the library as well.
const LATER: &str = "OFFHOOK_TEST_LATER";
/// The test that is run so.
const STORY: &str = "hour::the_story_of_the_hour";

/// Built by the compiler that builds SQLite.
fn library(folder: &Path) -> PathBuf {
    let library = folder.join("later.so");
    let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".to_owned());
    let built = Command::new(compiler)
        .args(["-shared", "-fPIC", "-o"])
        .arg(&library)
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/early/later.c"))
        .status();
    assert!(built.is_ok_and(|status| status.success()), "no C compiler");
    library
}

#[test]
fn a_flight_that_had_its_effect_has_none_when_it_is_sent_again_an_hour_later() {
    let folder = tempfile::tempdir().unwrap();
    let told = Command::new(std::env::current_exe().unwrap())
        .args([STORY, "--exact", "--ignored"])
        .env("LD_PRELOAD", library(folder.path()))
        .env(LATER, folder.path().join("later"))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&told.stdout);
    let errors = String::from_utf8_lossy(&told.stderr);
    assert!(told.status.success(), "{text}\n{errors}");
    assert!(text.contains("1 passed"), "{text}");
}

/// Sends a flight that was recorded, and gives what the server calls its sender, once the server has
/// worked it off. Nothing may have come of it.
fn sent_again(stage: &Stage, flight: &[Vec<u8>]) -> String {
    let before = rows(&stage.data());
    let thief = replay(stage.address, flight);
    is_answered(&thief);
    asks_for_versions(&thief, stage.address);
    is_answered(&thief);
    assert_eq!(rows(&stage.data()), before);
    name_of(&thief)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "is run by the test above, in a process that can let an hour pass"]
async fn the_story_of_the_hour() {
    let later = std::env::var_os(LATER).expect("run by the test above");
    let mut stage = Stage::new();
    let (mut bob, sessions, flight) = recorded(&mut stage).await;
    bob.pause().await;
    let forgets = |stage: &mut Stage| {
        // As by a crash: it does not know any more that the session was taken.
        stage.stop();
        std::fs::write(stage.sessions(), &sessions).unwrap();
        stage.start();
    };

    // At once it is read: it is a good one.
    forgets(&mut stage);
    let peer = sent_again(&stage, &flight);
    logged(&["early hello", &peer]);
    logged(&["never confirmed", &peer]);

    // After an hour it is not even that: TLS finds it too old for early data.
    stage.stop();
    let before = SystemTime::now();
    std::fs::write(later, "").unwrap();
    let passed = before.elapsed().unwrap();
    assert!(passed >= Duration::from_secs(3_600), "{passed:?} passed");
    stage.start();
    forgets(&mut stage);
    let peer = sent_again(&stage, &flight);
    let before = rows(&stage.data());
    assert!(!has_logged(&["early hello", &peer]));

    // The device comes back as if nothing had been.
    bob.resume().await;
    bob.connected().await;
    assert_ne!(rows(&stage.data()), before);
    let alice = stage.beside_the_proxy("alice").await;
    let call = alice.ring("bob").await;
    bob.is_rung(&call).await;
    assert_eq!(bob.rang(&call), 1);
    // What was sent before all this has long been worked off.
    assert!(!has_logged(&["early hello", &peer]));
}
