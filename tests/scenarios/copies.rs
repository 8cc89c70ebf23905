//! Databases that were copied, or set back to what they had been.

use std::fs;
use std::path::Path;

use offhook::{CallEvent, CallId, Code, CommandOptions, Engine, EventKind, UserState};

use crate::support::{Device, World, advanced, general};

/// Bob's phone with a past, and with a quit that waits for a connection. The call that is in the
/// past, and the one that bob wants to leave.
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
    assert_eq!(bob.engine.pending().unwrap().len(), 1);
    (past, call)
}

fn copy(from: &Path, to: &Path) {
    for ending in ["", "-wal"] {
        let name = |path: &Path| format!("{}{ending}", path.display());
        match fs::copy(name(from), name(to)) {
            Ok(_) => {}
            Err(_) => drop(fs::remove_file(name(to))),
        }
    }
}

/// How the quit of a call ended on a device: accepted, or the code of its refusal.
async fn end_of_quit(engine: &Engine, call: &CallId) -> Vec<Option<Code>> {
    let (events, _) = engine.events_since(0, 1_000).await.unwrap();
    let ends = events.into_iter().filter_map(|event| match event.kind {
        EventKind::CommandSettled(settled) => (settled.call_id == *call
            && settled.command == offhook::CommandKind::Quit)
            .then(|| settled.result.err().map(|error| error.code)),
        EventKind::Call(_)
        | EventKind::ConnectionStateChanged(_)
        | EventKind::TokenWillExpire { .. }
        | EventKind::DatabaseSetAside(_) => None,
    });
    ends.collect()
}

async fn has_settled_down(devices: &mut [&mut Device]) {
    let mut look_again = tokio::time::interval(std::time::Duration::from_millis(10));
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(30);
    loop {
        let mut ids = Vec::new();
        for device in devices.iter_mut() {
            device.connected().await;
            ids.push(device.id().await);
        }
        ids.dedup();
        let pending = devices
            .iter()
            .map(|one| one.engine.pending().unwrap().len());
        if ids.len() == devices.len() && pending.sum::<usize>() == 0 {
            return;
        }
        assert!(tokio::time::Instant::now() < deadline, "{ids:?}");
        look_again.tick().await;
    }
}

#[tokio::test]
async fn of_a_database_and_its_copy_one_goes_on_under_a_new_name_and_nothing_happens_twice() {
    let world = World::new();
    let [mut alice, mut bob] = world.devices(["alice", "bob"]).await;
    let (past, call) = a_phone_that_wants_to_quit(&mut alice, &mut bob).await;
    let id = bob.id().await;
    let original = bob.closed().await;
    let mut copied = original.clone();
    copied.database = world.path("copy.db");
    copy(&original.database, &copied.database);
    let (mut bob, mut other) = (Device::open(original), Device::open(copied));
    has_settled_down(&mut [&mut bob, &mut other]).await;
    alice.sees(&call, "bob", UserState::Quit).await;
    let (ids, mut ends) = ([bob.id().await, other.id().await], Vec::new());
    assert!(ids.contains(&id) && ids[0] != ids[1], "{ids:?}");
    for device in [&bob, &other] {
        let end = end_of_quit(&device.engine, &call).await;
        assert_eq!(end.len(), 1, "one verdict, told once");
        ends.extend(end);
        assert_eq!(
            device.state_of(&past, "bob"),
            UserState::Rejected,
            "the past"
        );
    }
    assert!(ends.contains(&None), "it was done: {ends:?}");
    assert!(
        ends.iter()
            .all(|end| [None, Some(Code::Dropped)].contains(end)),
        "{ends:?}"
    );
    alice.end(&call).await.unwrap();
    // Both can be used, and both are rung.
    let next = alice.rings(general(), &mut [&mut bob, &mut other]).await;
    other.reject(&next).await.unwrap();
    alice.sees(&next, "bob", UserState::Rejected).await;
    let (heard, _) = alice.engine.events_since(0, 1_000).await.unwrap();
    let quits = heard.iter().filter(|event| match &event.kind {
        EventKind::Call(CallEvent::UserStateChanged {
            call_id,
            call_user_list,
        }) => {
            let mut users = call_user_list.iter();
            *call_id == call && users.any(|user| user.state == UserState::Quit)
        }
        _ => false,
    });
    assert_eq!(quits.count(), 1);
}

#[tokio::test]
async fn a_database_that_was_set_back_goes_on_under_a_new_name_and_gives_up_what_it_wanted() {
    let world = World::new();
    let [mut alice, mut bob] = world.devices(["alice", "bob"]).await;
    let (past, call) = a_phone_that_wants_to_quit(&mut alice, &mut bob).await;
    let id = bob.id().await;
    let config = bob.closed().await;
    let backup = world.path("backup.db");
    copy(&config.database, &backup);
    // Life goes on: the quit is done, and bob comes back into the call.
    let mut bob = Device::open(config);
    bob.connected().await;
    alice.sees(&call, "bob", UserState::Quit).await;
    let mut bob = bob.reopened().await;
    bob.connected().await;
    bob.join(&call).await.unwrap();
    alice.sees(&call, "bob", UserState::Accepted).await;
    let config = bob.closed().await;
    // And back.
    copy(&backup, &config.database);
    let mut bob = Device::open(config);
    let dropped = bob
        .hears(|event| matches!(event, EventKind::CommandSettled(_)))
        .await;
    let EventKind::CommandSettled(settled) = dropped else {
        panic!("{dropped:?}");
    };
    assert_eq!(settled.result.unwrap_err().code, Code::Dropped);
    has_settled_down(&mut [&mut bob]).await;
    assert_ne!(bob.id().await, id);
    assert_eq!(end_of_quit(&bob.engine, &call).await, [Some(Code::Dropped)]);
    assert_eq!(bob.state_of(&past, "bob"), UserState::Rejected, "the past");
    bob.lists(&call, |entry| {
        let bob = entry
            .call
            .members
            .iter()
            .find(|one| one.user.as_str() == "bob");
        bob.is_some_and(|bob| bob.state == UserState::Accepted)
    })
    .await;
    // The quit of then has not thrown bob out of the call of now.
    alice.end(&call).await.unwrap();
    assert_eq!(alice.state_of(&call, "bob"), UserState::Accepted);
}
