//! What is particular to general calls, the not-received check, and the list of calls.

use offhook::{CallState, Code, Config, InviteOptions, Memory, Mode, UserState};

use crate::support::{Device, World, advanced, brief, data, general, of, refused};

/// More than the frames that wait for the core of an engine that is to take little memory.
const CALLS_MISSED: usize = 80;

#[tokio::test]
async fn the_call_is_over_at_the_moment_of_the_last_answer_and_not_before() {
    let world = World::new();
    let [mut alice, mut bob, mut carol] = world.devices(["alice", "bob", "carol"]).await;
    let call = alice.rings(general(), &mut [&mut bob, &mut carol]).await;
    bob.accept(&call).await.unwrap();
    assert_eq!(bob.entry(&call).call.state, CallState::Started);
    assert_eq!(bob.entry(&call).call.end_time(), 0);
    carol.reject(&call).await.unwrap();
    let over = carol.entry(&call).call;
    assert_eq!(over.state, CallState::Ended);
    assert_eq!(over.end_time(), over.members[2].state_time);
    let bobs = bob
        .lists(&call, |entry| entry.call.state == CallState::Ended)
        .await;
    assert_eq!(bobs.call.end_time(), over.end_time());
}

#[tokio::test]
async fn a_cancel_that_names_one_of_two_cancels_the_whole_call() {
    let mut world = World::new();
    let [mut alice, mut bob, mut carol] = world.devices(["alice", "bob", "carol"]).await;
    let call = alice.rings(general(), &mut [&mut bob, &mut carol]).await;
    let cancelled = alice.cancel(&["bob"], &call).await.unwrap();
    assert_eq!(cancelled.error_invitees, []);
    world
        .heard(&mut [
            (&mut alice, "created"),
            (&mut bob, "rung by alice, cancelled"),
            (&mut carol, "rung by alice, cancelled"),
        ])
        .await;
    assert_eq!(carol.entry(&call).call.state, CallState::Ended);
}

#[tokio::test]
async fn who_was_in_a_call_that_is_over_can_call_again_at_once() {
    let world = World::new();
    let [mut alice, mut bob] = world.devices(["alice", "bob"]).await;
    let first = alice.rings(general(), &mut [&mut bob]).await;
    bob.accept(&first).await.unwrap();
    let second = alice.rings(general(), &mut [&mut bob]).await;
    bob.reject(&second).await.unwrap();
    let third = bob.rings(general(), &mut [&mut alice]).await;
    alice.accept(&third).await.unwrap();
    assert_eq!(alice.entry(&third).call.state, CallState::Ended);
}

#[tokio::test]
async fn an_answer_to_a_call_that_is_over_is_refused() {
    let world = World::new();
    let [mut alice, mut bob] = world.devices(["alice", "bob"]).await;
    let call = alice.rings(brief(Mode::General, 2), &mut [&mut bob]).await;
    alice.sees(&call, "bob", UserState::Timeout).await;
    refused(bob.accept(&call).await, Code::CallOver, "timeout");
    refused(bob.reject(&call).await, Code::CallOver, "timeout");
    let call = alice.rings(general(), &mut [&mut bob]).await;
    alice.cancel(&[], &call).await.unwrap();
    refused(bob.accept(&call).await, Code::CallOver, "cancelled");
}

#[tokio::test]
async fn who_did_not_get_it_in_time_is_not_yet_received_and_received_when_they_come() {
    let mut world = World::with(&["not_received_check_s=3"]);
    let [mut alice, mut bob] = world.devices(["alice", "bob"]).await;
    let (dave_1, _dave_2) = world.two_devices("dave").await;
    // The state is for users whose last device knows it, so carol has been here before.
    world.device("carol", "carol").await.closed().await;
    dave_1.engine.set_network(false).await.unwrap();
    let options = InviteOptions {
        enable_not_received_check: true,
        ..general()
    };
    let invitees = ["bob", "carol", "dave", "erin"];
    let call = alice.invite(&invitees, options).await.unwrap().call_id;
    for device in [&mut alice, &mut bob] {
        device.sees(&call, "carol", UserState::NotYetReceived).await;
        // On dave's other device it has arrived.
        device.sees(&call, "dave", UserState::Received).await;
        device.sees(&call, "bob", UserState::Received).await;
    }
    let mut carol = world.device("carol", "carol").await;
    carol.is_rung(&call).await;
    for device in [&mut alice, &mut bob] {
        device.sees(&call, "carol", UserState::Received).await;
    }
    carol.accept(&call).await.unwrap();
    world
        .heard(&mut [
            (&mut alice, "created, carol accepted"),
            (&mut bob, "rung by alice, carol accepted"),
            (&mut carol, "rung by alice, carol accepted"),
        ])
        .await;
}

#[tokio::test]
async fn without_the_check_who_does_not_come_stays_inviting() {
    let world = World::with(&["not_received_check_s=3"]);
    let [mut alice, mut bob, carol] = world.devices(["alice", "bob", "carol"]).await;
    carol.closed().await;
    let options = InviteOptions {
        enable_not_received_check: true,
        ..general()
    };
    let unchecked = alice.invite(&["carol"], general()).await.unwrap().call_id;
    // A checked call of somebody else's, made later, shows when the check would have been done.
    let checked = bob.invite(&["carol"], options).await.unwrap().call_id;
    bob.sees(&checked, "carol", UserState::NotYetReceived).await;
    assert_eq!(alice.state_of(&unchecked, "carol"), UserState::Inviting);
    alice.cancel(&[], &unchecked).await.unwrap();
    let heard = alice.heard_since();
    assert!(
        heard
            .iter()
            .all(|event| event.name() != "callUserStateChanged"),
        "{heard:?}"
    );
}

#[tokio::test]
async fn the_list_is_paged_from_the_newest_and_every_call_is_in_it_once() {
    let world = World::new();
    let [alice, bob] = world.devices(["alice", "bob"]).await;
    let mut calls = Vec::new();
    for number in 0..5 {
        let options = InviteOptions {
            extended_data: number.to_string(),
            ..of([Mode::General, Mode::Advanced][number % 2])
        };
        let call = alice.invite(&["bob"], options).await.unwrap().call_id;
        alice.cancel(&[], &call).await.unwrap();
        calls.insert(0, call);
    }
    let mut bob = bob;
    bob.lists(&calls[0], |entry| entry.call.state == CallState::Ended)
        .await;
    for device in [&alice, &bob] {
        let mut listed = Vec::new();
        let mut pages = Vec::new();
        let mut next_flag = 0;
        loop {
            let page = device
                .engine
                .query_call_invitation_list(2, next_flag)
                .unwrap();
            pages.push(page.calls.len());
            listed.extend(page.calls.into_iter().map(|entry| entry.call.id));
            next_flag = page.next_flag;
            if next_flag == 0 {
                break;
            }
        }
        assert_eq!(pages, [2, 2, 1]);
        assert_eq!(listed, calls);
        let whole = device.engine.query_call_invitation_list(101, 0).unwrap();
        assert_eq!((whole.calls.len(), whole.next_flag), (5, 0));
    }
}

#[tokio::test]
async fn a_page_of_more_than_a_hundred_is_read_as_a_hundred() {
    let world = World::new();
    let [alice] = world.devices(["alice"]).await;
    for _ in 0..101 {
        let call = alice.invite(&["bob"], general()).await.unwrap().call_id;
        alice.cancel(&[], &call).await.unwrap();
    }
    for count in [100, 101, 5_000] {
        let page = alice.engine.query_call_invitation_list(count, 0).unwrap();
        assert_eq!(page.calls.len(), 100);
        let rest = alice
            .engine
            .query_call_invitation_list(count, page.next_flag);
        let rest = rest.unwrap();
        assert_eq!((rest.calls.len(), rest.next_flag), (1, 0));
    }
}

#[tokio::test]
async fn the_list_has_the_calls_created_invited_to_and_joined_and_no_others() {
    let world = World::new();
    let [mut alice, mut bob, carol] = world.devices(["alice", "bob", "carol"]).await;
    let options = InviteOptions {
        extended_data: "topic".into(),
        ..advanced()
    };
    let joined = alice.rings(options, &mut [&mut bob]).await;
    bob.accept(&joined).await.unwrap();
    let given = carol.engine.call_join(&joined, data("here I am")).await;
    given.unwrap().await.unwrap();
    let created = carol.invite(&["dave"], general()).await;
    refused(created, Code::WrongState, "inCall");
    let entry = carol.entry(&joined);
    assert_eq!(entry.call.caller.as_str(), "alice");
    assert_eq!(entry.call.mode, Mode::Advanced);
    assert_eq!(entry.call.extended_data, "topic");
    let users = entry.call.users();
    let names: Vec<&str> = users.iter().map(|one| one.user_id.as_str()).collect();
    assert_eq!(names, ["alice", "bob", "carol"]);
    assert_eq!(users[2].extended_data, "here I am");
    assert_eq!(bob.entry(&joined).inviter.as_str(), "alice");
    carol.quit(&joined).await.unwrap();
    let created = carol.invite(&["dave"], general()).await.unwrap().call_id;
    assert_eq!(carol.entry(&created).inviter.as_str(), "carol");
    let page = bob.engine.query_call_invitation_list(20, 0).unwrap();
    assert_eq!(page.calls.len(), 1);
}

#[tokio::test]
async fn devices_that_take_little_memory_live_through_calls_lists_and_restarts_as_others_do() {
    let world = World::new();
    let small = |name: &str| Config {
        memory: Memory::Low,
        ..world.config(name, name)
    };
    let mut alice = Device::open(small("alice"));
    let mut bob = Device::open(small("bob"));
    let mut carol = world.device("carol", "carol").await;
    alice.connected().await;
    bob.connected().await;
    let call = alice.rings(advanced(), &mut [&mut bob, &mut carol]).await;
    bob.accept(&call).await.unwrap();
    carol.reject(&call).await.unwrap();
    bob.end(&call).await.unwrap();
    alice.hears_of(&call, "callInvitationEnded").await;
    // More calls than wait for the core at once, while the device is away.
    let config = bob.closed().await;
    let mut calls = vec![call];
    for _ in 0..CALLS_MISSED {
        let missed = alice.invite(&["bob"], general()).await.unwrap().call_id;
        alice.cancel(&[], &missed).await.unwrap();
        calls.push(missed);
    }
    let mut bob = Device::open(config);
    bob.connected().await;
    let last = calls.last().unwrap().clone();
    bob.lists(&calls[1], |entry| entry.missed).await;
    bob.lists(&last, |entry| entry.missed).await;
    let mut listed = Vec::new();
    let mut next_flag = 0;
    loop {
        let page = bob.engine.query_call_invitation_list(7, next_flag).unwrap();
        listed.extend(page.calls.into_iter().map(|entry| entry.call.id));
        next_flag = page.next_flag;
        if next_flag == 0 {
            break;
        }
    }
    calls.reverse();
    assert_eq!(listed, calls);
    // And it still rings.
    let call = alice.rings(general(), &mut [&mut bob]).await;
    bob.accept(&call).await.unwrap();
    alice.sees(&call, "bob", UserState::Accepted).await;
}
