//! Copies that are put in the place of a database that was lost, or beside one that goes on.

use offhook::{
    CallEvent, CallId, Code, CommandKind, CommandOptions, Engine, EventKind, Retention, UserState,
};

use crate::support::{Device, World, advanced, general};

/// How the quit of a call ended on a device: accepted, or the code of its refusal.
async fn ends_of_quit(device: &Device, call: &CallId) -> Vec<Option<Code>> {
    let (events, _) = device.engine.events_since(0, 1_000).await.unwrap();
    let ends = events.into_iter().filter_map(|event| match event.kind {
        EventKind::CommandSettled(settled) => (settled.call_id == *call
            && settled.command == CommandKind::Quit)
            .then(|| settled.result.err().map(|error| error.code)),
        EventKind::Call(_)
        | EventKind::ConnectionStateChanged(_)
        | EventKind::TokenWillExpire { .. }
        | EventKind::DatabaseSetAside(_) => None,
    });
    ends.collect()
}

/// How often that user was heard to have quit.
async fn quits_of(user: &str, call: &CallId, device: &Device) -> usize {
    let (heard, _) = device.engine.events_since(0, 1_000).await.unwrap();
    let quits = heard.iter().filter(|event| match &event.kind {
        EventKind::Call(CallEvent::UserStateChanged {
            call_id,
            call_user_list,
        }) => {
            let mut users = call_user_list.iter();
            *call_id == *call
                && users.any(|one| one.user_id.as_str() == user && one.state == UserState::Quit)
        }
        _ => false,
    });
    quits.count()
}

/// Bob's phone with a past, in a call that it wants to quit without a connection.
async fn a_phone_that_wants_to_quit(alice: &mut Device, bob: &mut Device) -> (CallId, CallId) {
    let past = alice.rings(general(), &mut [bob]).await;
    bob.reject(&past).await.unwrap();
    alice.sees(&past, "bob", UserState::Rejected).await;
    let call = alice.rings(advanced(), &mut [bob]).await;
    bob.accept(&call).await.unwrap();
    alice.sees(&call, "bob", UserState::Accepted).await;
    bob.engine.set_network(false).await.unwrap();
    let quit = bob.engine.call_quit(&call, CommandOptions::default());
    drop(quit.await.unwrap());
    (past, call)
}

#[tokio::test]
async fn a_copy_in_the_place_of_a_lost_phone_has_its_past_and_does_nothing_that_was_done_again() {
    let world = World::new();
    let [mut alice, mut bob] = world.devices(["alice", "bob"]).await;
    let (past, call) = a_phone_that_wants_to_quit(&mut alice, &mut bob).await;
    let id = bob.id().await;
    bob.engine.backup(world.path("copy.db")).await.unwrap();
    // Life goes on: the quit is done, and bob comes back into the call.
    bob.engine.set_network(true).await.unwrap();
    alice.sees(&call, "bob", UserState::Quit).await;
    bob.join(&call).await.unwrap();
    alice.sees(&call, "bob", UserState::Accepted).await;
    let mut config = bob.closed().await;
    // And the phone falls into the sea.
    config.database = world.path("new.db");
    Engine::restore(world.path("copy.db"), &config.database)
        .await
        .unwrap();
    let mut bob = Device::open(config);
    let settled = bob
        .hears(|event| matches!(event, EventKind::CommandSettled(_)))
        .await;
    let EventKind::CommandSettled(settled) = settled else {
        panic!("{settled:?}");
    };
    assert_eq!(settled.result.unwrap_err().code, Code::Dropped);
    bob.connected().await;
    assert_ne!(bob.id().await, id);
    assert_eq!(ends_of_quit(&bob, &call).await, [Some(Code::Dropped)]);
    assert_eq!(bob.state_of(&past, "bob"), UserState::Rejected, "the past");
    bob.lists(&call, |entry| {
        let mut members = entry.call.members.iter();
        members.any(|one| one.user.as_str() == "bob" && one.state == UserState::Accepted)
    })
    .await;
    // The call is moved to the new phone, and left on it once.
    bob.join(&call).await.unwrap();
    bob.quit(&call).await.unwrap();
    alice.sees(&call, "bob", UserState::Quit).await;
    assert_eq!(quits_of("bob", &call, &alice).await, 2);
    alice.end(&call).await.unwrap();
    let next = alice.rings(general(), &mut [&mut bob]).await;
    bob.reject(&next).await.unwrap();
    alice.sees(&next, "bob", UserState::Rejected).await;
}

#[tokio::test]
async fn a_copy_beside_the_original_is_a_device_of_its_own_and_what_waited_is_done_once() {
    let world = World::new();
    let [mut alice, mut bob] = world.devices(["alice", "bob"]).await;
    let (past, call) = a_phone_that_wants_to_quit(&mut alice, &mut bob).await;
    let id = bob.id().await;
    bob.engine.backup(world.path("copy.db")).await.unwrap();
    let mut config = world.config("bob", "other");
    config.database = world.path("other.db");
    Engine::restore(world.path("copy.db"), &config.database)
        .await
        .unwrap();
    let mut other = Device::open(config);
    other.connected().await;
    assert_eq!(ends_of_quit(&other, &call).await, [Some(Code::Dropped)]);
    assert_eq!(alice.state_of(&call, "bob"), UserState::Accepted);
    bob.engine.set_network(true).await.unwrap();
    alice.sees(&call, "bob", UserState::Quit).await;
    bob.connected().await;
    assert_eq!(ends_of_quit(&bob, &call).await, [None]);
    assert_eq!(bob.id().await, id, "it keeps its name");
    assert_ne!(other.id().await, id);
    assert_eq!(other.state_of(&past, "bob"), UserState::Rejected);
    alice.end(&call).await.unwrap();
    let next = alice.rings(general(), &mut [&mut bob, &mut other]).await;
    other.reject(&next).await.unwrap();
    alice.sees(&next, "bob", UserState::Rejected).await;
    assert_eq!(quits_of("bob", &call, &alice).await, 1);
}

#[tokio::test]
async fn what_retention_removed_does_not_come_back_to_a_device_that_reads_all_from_the_beginning() {
    let world = World::new();
    let mut alice = world.device("alice", "alice").await;
    let mut config = world.config("bob", "bob");
    config.retention = Retention {
        calls: Some(2),
        ..Retention::default()
    };
    let mut bob = Device::open(config);
    bob.connected().await;
    let mut calls = Vec::new();
    for _ in 0..5 {
        let call = alice.rings(general(), &mut [&mut bob]).await;
        bob.reject(&call).await.unwrap();
        alice.sees(&call, "bob", UserState::Rejected).await;
        calls.push(call);
    }
    let listed = |bob: &Device| {
        let page = bob.engine.query_call_invitation_list(100, 0).unwrap();
        let ids = page.calls.into_iter().map(|entry| entry.call.id);
        ids.collect::<Vec<_>>()
    };
    let kept: Vec<_> = calls.iter().rev().take(2).cloned().collect();
    let mut changes = bob.engine.changes();
    let removed = tokio::time::timeout(crate::support::SOON, async {
        while listed(&bob) != kept {
            assert!(changes.changed().await);
        }
    });
    removed.await.expect("the oldest are removed");
    // A copy has no cursor: it reads everything anew.
    bob.engine.backup(world.path("copy.db")).await.unwrap();
    let mut config = bob.closed().await;
    config.database = world.path("new.db");
    Engine::restore(world.path("copy.db"), &config.database)
        .await
        .unwrap();
    let mut bob = Device::open(config);
    bob.connected().await;
    let next = alice.rings(general(), &mut [&mut bob]).await;
    bob.reject(&next).await.unwrap();
    alice.sees(&next, "bob", UserState::Rejected).await;
    let all = listed(&bob);
    assert_eq!(all, [next, kept[0].clone(), kept[1].clone()]);
}
