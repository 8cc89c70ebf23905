//! Tokens that the app is asked for: the device stays connected, or comes back, by itself.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use offhook::{Config, EventKind, TokenWanted};

use crate::bad_input::wants_a_token;
use crate::support::{Device, SOON, World, general};

/// A provider of tokens, and why it was asked for each.
#[derive(Clone, Default)]
struct Provider {
    asked: Arc<Mutex<Vec<TokenWanted>>>,
}

impl Provider {
    fn asked(&self) -> Vec<TokenWanted> {
        self.asked.lock().unwrap().clone()
    }

    /// A configuration that has nothing but this to log in with.
    fn config(&self, world: &Arc<World>, give: fn(&World, usize) -> Option<String>) -> Config {
        // An engine that is dropped ends a while later, and is not to keep the server until then: at
        // the end of the tests nobody would stop it.
        let (asked, its_world) = (Arc::clone(&self.asked), Arc::downgrade(world));
        let provider = move |why| {
            let (asked, world) = (Arc::clone(&asked), its_world.clone());
            async move {
                // It runs where timers and sockets do.
                tokio::time::sleep(Duration::from_millis(1)).await;
                let times = {
                    let mut asked = asked.lock().unwrap();
                    asked.push(why);
                    asked.len()
                };
                let given = world.upgrade().and_then(|world| give(&world, times));
                given.ok_or("the app's own server is down")
            }
        };
        Config {
            token: None,
            token_provider: Some(Arc::new(provider)),
            ..world.config("alice", "alice")
        }
    }
}

#[tokio::test]
async fn a_provider_of_short_lived_tokens_keeps_the_device_connected_by_itself() {
    let world = Arc::new(World::with_tokens());
    let provider = Provider::default();
    let config = provider.config(&world, |world, _| Some(world.token("alice", 3)));
    let mut alice = Device::open(config);
    alice.connected().await;
    let mut bob = world.device("bob", "bob").await;
    // Each is of another token: together they are good for far longer than one.
    for _ in 0..4 {
        alice
            .hears(|kind| matches!(kind, EventKind::TokenWillExpire { .. }))
            .await;
    }
    alice.connected().await;
    alice.rings(general(), &mut [&mut bob]).await;
    let asked = provider.asked();
    assert_eq!(asked.first(), Some(&TokenWanted::Missing));
    let in_place = |why: &TokenWanted| matches!(why, TokenWanted::WillExpire { .. });
    assert!(asked.iter().any(in_place), "{asked:?}");
}

#[tokio::test]
async fn a_token_that_ran_out_while_offline_is_replaced_by_the_provider_on_return() {
    let world = Arc::new(World::with_tokens());
    let provider = Provider::default();
    let config = provider.config(&world, |world, times| {
        // The first has run out by the time that it is shown, the next request fails.
        match times {
            1 => Some(world.token("alice", -1)),
            2 => None,
            _ => Some(world.token("alice", 3_600)),
        }
    });
    let mut alice = Device::open(config);
    let given = alice.engine.call_invite(&["bob"], general()).await.unwrap();
    let error = wants_a_token(&mut alice).await;
    assert!(
        error.contains("expired") || error.contains("down"),
        "{error}"
    );
    given.await.unwrap();
    alice.connected().await;
    let asked = provider.asked();
    assert!(
        matches!(
            asked.as_slice(),
            [
                TokenWanted::Missing,
                TokenWanted::Expired { .. },
                TokenWanted::Expired { .. }
            ]
        ),
        "{asked:?}"
    );
    // It outlives a pause of the app, without another question.
    alice.engine.pause(None).await.unwrap();
    alice.engine.resume().await.unwrap();
    alice.connected().await;
    assert_eq!(provider.asked().len(), 3);
}

#[tokio::test]
async fn a_provider_that_panics_or_hangs_keeps_nobody_from_closing() {
    let world = World::with_tokens();
    for hangs in [false, true] {
        let (asked, mut was_asked) = tokio::sync::mpsc::unbounded_channel();
        let provider = move |_| {
            asked.send(()).unwrap();
            async move {
                assert!(hangs, "a provider that panics on purpose");
                std::future::pending::<Result<String, String>>().await
            }
        };
        let config = Config {
            token: None,
            token_provider: Some(Arc::new(provider)),
            ..world.config("alice", "alice")
        };
        let alice = Device::open(config);
        // One that panics is asked again.
        for _ in 0..if hangs { 1 } else { 2 } {
            let next = tokio::time::timeout(SOON, was_asked.recv()).await;
            next.expect("asked in time").expect("asked");
        }
        alice.closed().await;
        // Its future is dropped, and with the last clone of the provider the channel ends.
        let end = tokio::time::timeout(SOON, was_asked.recv()).await;
        assert_eq!(end.expect("given up in time"), None);
    }
}
