//! Engines used from many threads, dropped at any moment, opened and closed again and again.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use offhook::{Code, CommandOptions, Engine, InviteOptions};

use super::fake::Fake;
use super::server::{call, caught_up_with, config};

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

#[cfg(target_os = "linux")]
fn count(of: &str) -> usize {
    fs::read_dir(format!("/proc/self/{of}")).unwrap().count()
}

#[test]
fn clones_in_many_threads_and_futures_that_are_dropped_lose_nothing_and_hang_nowhere() {
    let folder = tempfile::tempdir().unwrap();
    let fake = Fake::start(folder.path(), caught_up_with(vec![call("a")]));
    let engine = Engine::open(config(&fake, folder.path())).unwrap();
    let threads: Vec<_> = (0..8_u64)
        .map(|thread| {
            let engine = engine.clone();
            std::thread::spawn(move || {
                runtime().block_on(async {
                    let mut asked = 0;
                    for n in 0..60_u64 {
                        let invite = engine.call_invite(&["carl"], InviteOptions::default());
                        let within = Duration::from_micros((thread * 37 + n * 101) % 900);
                        match tokio::time::timeout(within, invite).await {
                            Ok(Ok(handle)) => {
                                asked += 1;
                                drop(handle);
                            }
                            Ok(Err(error)) => assert!(
                                [Code::Closed, Code::TooManyRequests].contains(&error.code),
                                "{error}"
                            ),
                            Err(_) => {}
                        }
                        let _ = engine.pending();
                        let _ = engine.events();
                        let _ = engine.query_call_invitation_list(5, 0);
                        if n == 40 && thread == 0 {
                            engine.pause(None).await.unwrap();
                            engine.resume().await.unwrap();
                        }
                        if n == 50 && thread == 1 {
                            let _ = engine.logout().await;
                        }
                    }
                    asked
                })
            })
        })
        .collect();
    let asked: usize = threads.into_iter().map(|one| one.join().unwrap()).sum();
    runtime().block_on(async {
        let kept = engine.pending().unwrap().len();
        assert!(kept >= asked, "{kept} of {asked} are on disk");
        let closing = Arc::new(engine);
        let other = closing.clone();
        let (one, two) = tokio::join!(closing.close(), other.close());
        one.unwrap();
        two.unwrap();
        let id = offhook::CallId::trusted("a");
        let error = closing.call_accept(&id, CommandOptions::default()).await;
        assert_eq!(error.err().unwrap().code, Code::Closed);
    });
}

#[cfg(target_os = "linux")]
#[test]
fn opening_and_closing_leaves_no_thread_and_no_file_open() {
    let folder = tempfile::tempdir().unwrap();
    let fake = Fake::start(folder.path(), caught_up_with(vec![call("a")]));
    let rounds = std::env::var("OFFHOOK_ROUNDS").map_or(30, |text| text.parse().unwrap());
    let mut before = (0, 0);
    for round in 0..rounds {
        // The one before may still be on its way out.
        let engine = Engine::open(config(&fake, folder.path())).unwrap();
        runtime().block_on(async move {
            engine.status().await.unwrap();
            if round % 3 == 0 {
                drop(engine); // inside a runtime
            } else {
                engine.close().await.unwrap();
            }
        });
        if round == 5 {
            std::thread::sleep(Duration::from_secs(3));
            before = (count("task"), count("fd"));
        }
    }
    std::thread::sleep(Duration::from_secs(3));
    let after = (count("task"), count("fd"));
    // Other tests run in this process, too.
    assert!(after.0 <= before.0 + 20, "threads: {before:?} {after:?}");
    assert!(after.1 <= before.1 + 40, "files: {before:?} {after:?}");
}
