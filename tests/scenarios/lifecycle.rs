//! How calls begin and end for other reasons than an answer: creators who are gone, calls that
//! everybody left, glare, one call too many, being asked again, coming in time and too late.

use offhook::{
    CallEvent, CallId, CallState, Code, ConnectionCause, ConnectionState, EventKind, InviteOptions,
    Mode, UserState,
};

use crate::support::{Device, World, advanced, brief, general, of, refused};

#[tokio::test]
async fn a_creator_who_logs_out_on_the_primary_device_cancels_the_unanswered_call() {
    for mode in [Mode::General, Mode::Advanced] {
        let mut world = World::new();
        let (mut dialled, mut other) = world.two_devices("alice").await;
        let [mut bob] = world.devices(["bob"]).await;
        let call = dialled.rings(of(mode), &mut [&mut bob]).await;
        dialled.engine.logout().await.unwrap();
        world
            .heard(&mut [
                (&mut other, "created, cancelled"),
                (&mut bob, "rung by alice, cancelled"),
            ])
            .await;
        let over = bob.entry(&call).call;
        assert_eq!(over.state, CallState::Ended);
        assert_eq!(other.state_of(&call, "alice"), UserState::Accepted);
        assert!(bob.entry(&call).missed);
    }
}

#[tokio::test]
async fn a_creator_who_logs_out_on_another_device_cancels_nothing() {
    let mut world = World::new();
    let (mut dialled, other) = world.two_devices("alice").await;
    let [mut bob] = world.devices(["bob"]).await;
    let call = dialled.rings(general(), &mut [&mut bob]).await;
    other.engine.logout().await.unwrap();
    bob.accept(&call).await.unwrap();
    world
        .heard(&mut [
            (&mut dialled, "created, bob accepted"),
            (&mut bob, "rung by alice, bob accepted"),
        ])
        .await;
}

#[tokio::test]
async fn a_creator_who_logs_out_once_there_was_an_answer_changes_no_state() {
    let mut world = World::new();
    let [mut alice, mut bob, mut carol] = world.devices(["alice", "bob", "carol"]).await;
    let call = alice.rings(advanced(), &mut [&mut bob, &mut carol]).await;
    bob.accept(&call).await.unwrap();
    alice.engine.logout().await.unwrap();
    world
        .heard(&mut [
            (&mut bob, "rung by alice, bob accepted"),
            (&mut carol, "rung by alice, bob accepted"),
        ])
        .await;
    carol.accept(&call).await.unwrap();
    assert_eq!(carol.state_of(&call, "alice"), UserState::Accepted);
}

#[tokio::test]
async fn a_creator_whose_app_went_away_for_too_long_is_cancelled_by_the_server() {
    let mut world = World::with(&["offline_after_s=1"]);
    let [mut alice, mut bob] = world.devices(["alice", "bob"]).await;
    let call = alice.rings(general(), &mut [&mut bob]).await;
    let config = alice.closed().await;
    bob.hears_of(&call, "callInvitationCancelled").await;
    world
        .heard(&mut [(&mut bob, "rung by alice, cancelled")])
        .await;
    // On coming back they hear of the cancel that was not theirs.
    let mut alice = Device::open(config);
    alice.hears_of(&call, "callInvitationCancelled").await;
    world.heard(&mut [(&mut alice, "cancelled")]).await;
}

#[tokio::test]
async fn a_creator_whose_network_is_dead_for_too_long_is_cancelled_by_the_server() {
    let mut world = World::with(&["offline_after_s=2"]);
    let (mut dialled, other) = world.two_devices("alice").await;
    let [mut bob] = world.devices(["bob"]).await;
    other.closed().await;
    let call = dialled.rings(general(), &mut [&mut bob]).await;
    dialled.engine.set_network(false).await.unwrap();
    bob.hears_of(&call, "callInvitationCancelled").await;
    dialled.engine.set_network(true).await.unwrap();
    dialled.hears_of(&call, "callInvitationCancelled").await;
    world
        .heard(&mut [
            (&mut dialled, "created, cancelled"),
            (&mut bob, "rung by alice, cancelled"),
        ])
        .await;
}

#[tokio::test]
async fn a_creator_with_another_device_connected_is_not_gone() {
    let mut world = World::with(&["offline_after_s=1"]);
    let (mut dialled, mut other) = world.two_devices("alice").await;
    let [mut bob, mut carol, mut dave] = world.devices(["bob", "carol", "dave"]).await;
    let call = dialled.rings(general(), &mut [&mut bob]).await;
    // A creator who is gone at the same time shows when it would have happened.
    let gone = carol.rings(general(), &mut [&mut dave]).await;
    dialled.closed().await;
    carol.closed().await;
    dave.hears_of(&gone, "callInvitationCancelled").await;
    bob.accept(&call).await.unwrap();
    world
        .heard(&mut [
            (&mut other, "created, elsewhere accepted"),
            (&mut bob, "rung by alice, bob accepted"),
        ])
        .await;
}

#[tokio::test]
async fn a_creator_who_comes_back_in_time_hears_what_happened_and_the_call_goes_on() {
    let mut world = World::new();
    let [mut alice, mut bob, mut carol] = world.devices(["alice", "bob", "carol"]).await;
    let call = alice.rings(advanced(), &mut [&mut bob, &mut carol]).await;
    alice.engine.set_network(false).await.unwrap();
    bob.accept(&call).await.unwrap();
    carol.reject(&call).await.unwrap();
    alice.engine.set_network(true).await.unwrap();
    alice.sees(&call, "carol", UserState::Rejected).await;
    world
        .heard(&mut [(&mut alice, "created, bob accepted, carol rejected")])
        .await;
}

#[tokio::test]
async fn being_idle_is_not_being_gone_however_short_the_setting() {
    let world = World::with(&["offline_after_s=4"]);
    let [mut alice, mut bob, mut carol] = world.devices(["alice", "bob", "carol"]).await;
    // Carol is idle for longer than that.
    let call = alice.rings(brief(Mode::General, 5), &mut [&mut bob]).await;
    alice.sees(&call, "bob", UserState::Timeout).await;
    let call = alice.rings(general(), &mut [&mut carol]).await;
    carol.accept(&call).await.unwrap();
    for device in [&alice, &bob, &carol] {
        assert!(!device.lost_the_connection(), "{}", device.user);
    }
}

#[tokio::test]
async fn an_advanced_call_that_all_have_been_gone_from_for_too_long_is_ended() {
    let mut world = World::with(&["abandoned_after_s=1"]);
    let [mut alice, mut bob, mut carol] = world.devices(["alice", "bob", "carol"]).await;
    let call = alice.rings(advanced(), &mut [&mut bob, &mut carol]).await;
    bob.accept(&call).await.unwrap();
    carol.sees(&call, "bob", UserState::Accepted).await;
    alice.closed().await;
    let bob = bob.closed().await;
    let event = carol.hears_of(&call, "callInvitationEnded").await;
    let CallEvent::Ended {
        operated_user_id,
        caller,
        ..
    } = event
    else {
        panic!("{event:?}");
    };
    assert_eq!((operated_user_id.as_str(), caller.as_str()), ("", "alice"));
    let mut bob = Device::open(bob);
    bob.hears_of(&call, "callInvitationEnded").await;
    world
        .heard(&mut [
            (&mut bob, "ended by server"),
            (&mut carol, "rung by alice, bob accepted, ended by server"),
        ])
        .await;
    assert!(carol.entry(&call).missed);
}

#[tokio::test]
async fn an_advanced_call_with_one_member_connected_is_not_abandoned() {
    let world = World::with(&["abandoned_after_s=1"]);
    let [mut alice, mut bob, mut carol, mut dave, mut erin] = world
        .devices(["alice", "bob", "carol", "dave", "erin"])
        .await;
    let call = alice.rings(advanced(), &mut [&mut bob]).await;
    bob.accept(&call).await.unwrap();
    // Another call, which all have gone from later, shows when it would have happened.
    let other = carol.rings(advanced(), &mut [&mut dave, &mut erin]).await;
    dave.accept(&other).await.unwrap();
    alice.closed().await;
    carol.closed().await;
    dave.closed().await;
    erin.hears_of(&other, "callInvitationEnded").await;
    let alice = world.device("alice", "alice").await;
    assert_eq!(alice.state_of(&call, "alice"), UserState::Accepted);
    alice.end(&call).await.unwrap();
    bob.hears_of(&call, "callInvitationEnded").await;
}

#[tokio::test]
async fn calling_again_right_after_a_cancel_rings_and_can_be_accepted() {
    let mut world = World::new();
    let [mut alice, mut bob] = world.devices(["alice", "bob"]).await;
    let first = alice.invite(&["bob"], general()).await.unwrap().call_id;
    alice.cancel(&[], &first).await.unwrap();
    let second = alice.invite(&["bob"], general()).await.unwrap().call_id;
    bob.is_rung(&second).await;
    bob.accept(&second).await.unwrap();
    world
        .heard(&mut [(&mut alice, "created, created, bob accepted")])
        .await;
    assert_eq!(bob.state_of(&first, "bob"), UserState::Cancelled);
    assert_eq!(bob.state_of(&second, "bob"), UserState::Accepted);
}

#[tokio::test]
async fn ringing_the_one_who_rings_me_is_refused_and_names_their_call() {
    let world = World::new();
    let [mut alice, mut bob] = world.devices(["alice", "bob"]).await;
    let call = alice.rings(general(), &mut [&mut bob]).await;
    let error = refused(
        bob.invite(&["alice"], general()).await,
        Code::WrongState,
        "glare",
    );
    assert_eq!(error.detail.call_id, Some(call.clone()));
    // With somebody else besides, it is another call.
    bob.invite(&["alice", "carol"], general()).await.unwrap();
    bob.accept(&call).await.unwrap();
}

#[tokio::test]
async fn ringing_each_other_at_the_same_instant_makes_one_call() {
    let world = World::new();
    let [mut alice, mut bob] = world.devices(["alice", "bob"]).await;
    let (first, second) = tokio::join!(
        alice.invite(&["bob"], general()),
        bob.invite(&["alice"], general())
    );
    let (called, call, error) = match (first, second) {
        (Ok(call), Err(error)) => (&mut bob, call.call_id, error),
        (Err(error), Ok(call)) => (&mut alice, call.call_id, error),
        both => panic!("one is to win: {both:?}"),
    };
    assert_eq!(
        (error.code, error.reason.as_str()),
        (Code::WrongState, "glare")
    );
    assert_eq!(error.detail.call_id, Some(call.clone()));
    called.is_rung(&call).await;
    called.accept(&call).await.unwrap();
}

#[tokio::test]
async fn where_glare_is_allowed_both_ring() {
    let world = World::with(&["glare=allow"]);
    let [mut alice, mut bob] = world.devices(["alice", "bob"]).await;
    let first = alice.rings(general(), &mut [&mut bob]).await;
    let second = bob.rings(general(), &mut [&mut alice]).await;
    alice.accept(&second).await.unwrap();
    bob.accept(&first).await.unwrap();
}

#[tokio::test]
async fn a_call_while_in_a_call_is_refused_and_names_the_one_that_blocks() {
    let world = World::new();
    let [mut alice, mut bob] = world.devices(["alice", "bob"]).await;
    let other = world.device("bob", "bob-2").await;
    let call = alice.rings(advanced(), &mut [&mut bob]).await;
    bob.accept(&call).await.unwrap();
    for device in [&alice, &bob, &other] {
        let error = device.invite(&["carol"], general()).await;
        let error = refused(error, Code::WrongState, "inCall");
        assert_eq!(error.detail.call_id, Some(call.clone()));
    }
    bob.quit(&call).await.unwrap();
    bob.invite(&["carol"], general()).await.unwrap();
}

#[tokio::test]
async fn who_is_only_being_rung_may_call_somebody_else() {
    let world = World::new();
    let [mut alice, mut bob] = world.devices(["alice", "bob"]).await;
    alice.rings(general(), &mut [&mut bob]).await;
    bob.invite(&["carol"], general()).await.unwrap();
}

/// Alice asks bob again in a call that carol keeps going; the invitation is told by that number.
async fn asked_again(world: &mut World, alice: &mut Device, bob: &mut Device, call: &CallId) {
    let before = bob.entry(call).call.members[1].invitation;
    alice.invite_more(&["bob"], call).await.unwrap();
    bob.is_rung(call).await;
    assert_eq!(bob.entry(call).call.members[1].invitation, before + 1);
    alice.sees(call, "bob", UserState::Received).await;
    world
        .heard(&mut [(alice, "bob inviting"), (bob, "rung by alice")])
        .await;
}

#[tokio::test]
async fn who_rejected_was_cancelled_timed_out_or_quit_is_rung_again_under_a_new_number() {
    let mut world = World::new();
    let [mut alice, mut bob, mut carol] = world.devices(["alice", "bob", "carol"]).await;
    let call = alice.rings(advanced(), &mut [&mut bob, &mut carol]).await;
    carol.accept(&call).await.unwrap();
    world
        .heard(&mut [
            (&mut alice, "created, carol accepted"),
            (&mut bob, "rung by alice, carol accepted"),
        ])
        .await;
    bob.reject(&call).await.unwrap();
    world
        .heard(&mut [(&mut alice, "bob rejected"), (&mut bob, "bob rejected")])
        .await;
    asked_again(&mut world, &mut alice, &mut bob, &call).await;
    alice.cancel(&["bob"], &call).await.unwrap();
    world
        .heard(&mut [(&mut alice, "bob cancelled"), (&mut bob, "cancelled")])
        .await;
    asked_again(&mut world, &mut alice, &mut bob, &call).await;
    bob.accept(&call).await.unwrap();
    bob.quit(&call).await.unwrap();
    world
        .heard(&mut [
            (&mut alice, "bob accepted, bob quit"),
            (&mut bob, "bob accepted, bob quit"),
        ])
        .await;
    let options = offhook::CallingInviteOptions {
        timeout_s: Some(1),
        ..Default::default()
    };
    let given = alice.engine.calling_invite(&["bob"], &call, options);
    given.await.unwrap().await.unwrap();
    alice.sees(&call, "bob", UserState::Timeout).await;
    world
        .heard(&mut [
            (&mut alice, "bob inviting, bob timeout"),
            (&mut bob, "rung by alice, timeout"),
        ])
        .await;
    asked_again(&mut world, &mut alice, &mut bob, &call).await;
    bob.accept(&call).await.unwrap();
    let me = &bob.entry(&call).call.members[1];
    assert_eq!((me.invitation, me.participation), (5, 2));
}

#[tokio::test]
async fn one_call_has_ten_members_and_the_eleventh_is_refused_until_somebody_leaves() {
    let world = World::new();
    let [alice, mut bob, carol] = world.devices(["alice", "bob", "carol"]).await;
    let users = ["bob", "c1", "c2", "c3", "c4", "c5", "c6", "c7", "c8"];
    let call = alice.invite(&users, advanced()).await.unwrap().call_id;
    bob.is_rung(&call).await;
    bob.accept(&call).await.unwrap();
    let more = bob.invite_more(&["carol"], &call).await;
    refused(more, Code::TooManyMembers, "members");
    refused(carol.join(&call).await, Code::TooManyMembers, "members");
    alice.cancel(&["c1"], &call).await.unwrap();
    carol.join(&call).await.unwrap();
    let more = bob.invite_more(&["c1"], &call).await;
    refused(more, Code::TooManyMembers, "members");
    carol.quit(&call).await.unwrap();
    bob.invite_more(&["c1"], &call).await.unwrap();
}

#[tokio::test]
async fn one_call_has_twenty_different_users_in_its_life() {
    let world = World::new();
    let [mut alice, mut bob] = world.devices(["alice", "bob"]).await;
    let call = alice.rings(advanced(), &mut [&mut bob]).await;
    bob.accept(&call).await.unwrap();
    let names: Vec<String> = (0..18).map(|number| format!("user {number}")).collect();
    for users in names.chunks(6) {
        let users: Vec<&str> = users.iter().map(String::as_str).collect();
        alice.invite_more(&users, &call).await.unwrap();
        alice.cancel(&users, &call).await.unwrap();
    }
    let more = alice.invite_more(&["one more"], &call).await;
    refused(more, Code::TooManyMembers, "life");
    alice.invite_more(&["user 3"], &call).await.unwrap();
}

#[tokio::test]
async fn an_invitee_who_comes_in_time_is_rung_with_what_is_left() {
    let mut world = World::new();
    let [mut alice] = world.devices(["alice"]).await;
    let call = alice.invite(&["bob"], general()).await.unwrap().call_id;
    let mut bob = world.device("bob", "bob").await;
    let event = bob.is_rung(&call).await;
    let CallEvent::Received {
        deadline,
        create_time,
        remaining,
        ..
    } = event
    else {
        panic!("{event:?}");
    };
    assert_eq!(deadline, create_time + 90_000);
    assert!((1..90_000).contains(&remaining), "{remaining}");
    alice.sees(&call, "bob", UserState::Received).await;
    bob.accept(&call).await.unwrap();
    world
        .heard(&mut [
            (&mut alice, "created, bob accepted"),
            (&mut bob, "rung by alice, bob accepted"),
        ])
        .await;
}

#[tokio::test]
async fn an_invitee_who_comes_too_late_finds_a_missed_call_and_is_not_rung() {
    let mut world = World::new();
    let [mut alice] = world.devices(["alice"]).await;
    let late = alice.invite(&["bob"], brief(Mode::General, 1)).await;
    let late = late.unwrap().call_id;
    alice.sees(&late, "bob", UserState::Timeout).await;
    let cancelled = alice.invite(&["bob"], general()).await.unwrap().call_id;
    alice.cancel(&[], &cancelled).await.unwrap();
    let ended = alice.invite(&["bob"], advanced()).await.unwrap().call_id;
    alice.end(&ended).await.unwrap();
    let mut bob = world.device("bob", "bob").await;
    for call in [&late, &cancelled, &ended] {
        assert!(bob.lists(call, |_| true).await.missed);
    }
    assert_eq!(bob.engine.ringing().await.unwrap(), []);
    world.heard(&mut [(&mut bob, "")]).await;
}

#[tokio::test]
async fn inviting_somebody_twice_in_one_command_rings_them_once() {
    let mut world = World::new();
    let [alice, mut bob] = world.devices(["alice", "bob"]).await;
    let call = alice.invite(&["bob", "bob"], advanced()).await.unwrap();
    let call = call.call_id;
    bob.is_rung(&call).await;
    assert_eq!(alice.states(&call).len(), 2);
    assert_eq!(bob.entry(&call).call.members[1].invitation, 1);
    world.heard(&mut [(&mut bob, "rung by alice")]).await;
}

#[tokio::test]
async fn an_invite_whose_verdict_was_lost_on_the_way_is_sent_again_and_has_one_effect() {
    let mut world = World::new();
    let [alice, mut bob] = world.devices(["alice", "bob"]).await;
    for _ in 0..3 {
        let given = alice.engine.call_invite(&["bob"], general()).await.unwrap();
        // It is on its way, or not even that, or has been answered already.
        alice.engine.set_network(false).await.unwrap();
        alice.engine.set_network(true).await.unwrap();
        let call = given.await.unwrap().call_id;
        bob.is_rung(&call).await;
        alice.cancel(&[], &call).await.unwrap();
        world
            .heard(&mut [(&mut bob, "rung by alice, cancelled")])
            .await;
    }
    let page = alice.engine.query_call_invitation_list(100, 0).unwrap();
    assert_eq!(page.calls.len(), 3);
}

#[tokio::test]
async fn what_is_rejected_in_one_call_leaves_the_next_one_alone() {
    let world = World::new();
    let [mut alice, mut carol, mut bob] = world.devices(["alice", "carol", "bob"]).await;
    let first = alice.rings(general(), &mut [&mut bob]).await;
    let second = carol.rings(general(), &mut [&mut bob]).await;
    bob.reject(&first).await.unwrap();
    let ringing = bob.engine.ringing().await.unwrap();
    assert_eq!(ringing.len(), 1);
    assert_eq!(ringing[0].call_id, second);
    bob.accept(&second).await.unwrap();
    carol.sees(&second, "bob", UserState::Accepted).await;
}

#[tokio::test]
async fn events_that_were_not_acknowledged_are_read_again_after_a_restart() {
    let world = World::new();
    let [mut alice, mut bob] = world.devices(["alice", "bob"]).await;
    let first = alice.rings(general(), &mut [&mut bob]).await;
    alice.cancel(&[], &first).await.unwrap();
    bob.hears_of(&first, "callInvitationCancelled").await;
    let options = InviteOptions {
        extended_data: "second".into(),
        ..general()
    };
    let second = alice.rings(options, &mut [&mut bob]).await;
    let names = async |bob: &Device, position| {
        let (events, more) = bob.engine.events_since(position, 100).await.unwrap();
        assert!(!more);
        let named = events
            .iter()
            .filter(|one| one.name() != "callUserStateChanged");
        let named: Vec<_> = named
            .map(|one| (one.name(), one.position.unwrap()))
            .collect();
        assert!(named.is_sorted_by_key(|one| one.1));
        named
    };
    let before = names(&bob, 0).await;
    let words: Vec<&str> = before.iter().map(|one| one.0).collect();
    let expected = [
        "callInvitationReceived",
        "callInvitationCancelled",
        "callInvitationReceived",
    ];
    assert_eq!(words, expected);
    bob.engine.acknowledge(before[1].1).await.unwrap();
    let mut bob = bob.reopened().await;
    assert_eq!(bob.engine.acknowledged().unwrap(), before[1].1);
    assert_eq!(names(&bob, before[1].1).await, before[2..]);
    bob.connected().await;
    alice.cancel(&[], &second).await.unwrap();
    bob.hears_of(&second, "callInvitationCancelled").await;
    let (events, _) = bob.engine.events_since(before[1].1, 100).await.unwrap();
    let ring = events.first().unwrap().params();
    assert_eq!(ring["callID"], second.as_str());
    assert_eq!(ring["over"], true, "it rings no more");
    let last = events.last().unwrap();
    assert!(
        last.position.unwrap() > before[2].1,
        "positions are not used again"
    );
}

#[tokio::test]
async fn the_end_of_the_old_connection_is_not_taken_for_that_of_the_one_after_resume() {
    let world = World::new();
    let mut alice = world.device("alice", "alice").await;
    // Of a file that has moved the old connection is given up without waiting for its end.
    let file = alice.database().to_owned();
    for end in ["", "-wal"] {
        let name = |file: &std::path::Path| format!("{}{end}", file.display());
        std::fs::rename(name(&file), name(&world.path("moved"))).unwrap();
    }
    let given = alice.engine.call_invite(&["bob"], general()).await;
    assert_eq!(given.map(drop).unwrap_err().code, Code::ReadOnly);
    alice.engine.resume().await.unwrap();
    let mut after = Vec::new();
    while after.last() != Some(&(ConnectionState::Connected, ConnectionCause::Success)) {
        if let EventKind::ConnectionStateChanged(change) = alice.hears(|_| true).await {
            after.push((change.state, change.cause));
        }
        if let Some((ConnectionState::Disconnected, _)) = after.first() {
            continue;
        }
        // Of the connection before.
        after.clear();
    }
    assert_eq!(
        after,
        [
            (ConnectionState::Disconnected, ConnectionCause::Success),
            (ConnectionState::Connecting, ConnectionCause::ActiveLogin),
            (ConnectionState::Connected, ConnectionCause::Success),
        ]
    );
}

#[tokio::test]
async fn that_there_is_no_network_is_still_known_after_a_pause() {
    let world = World::new();
    let mut alice = world.device("alice", "alice").await;
    alice.engine.set_network(false).await.unwrap();
    alice.engine.pause(None).await.unwrap();
    alice.engine.resume().await.unwrap();
    let status = alice.engine.status().await.unwrap();
    assert_eq!(status.error.as_deref(), Some("the network is off"));
    alice.engine.set_network(true).await.unwrap();
    alice.connected().await;
}
