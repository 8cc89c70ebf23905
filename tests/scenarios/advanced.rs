//! What only advanced calls have: targeted cancels, inviting into a call, quitting and ending.
//! Joining is in [`crate::joining`].

use offhook::{CallEvent, CallId, CallState, CallingInviteOptions, Code, Mode, UserState};

use crate::support::{Device, World, advanced, brief, data, refused};

/// Alice, bob, carol and dave, of whom alice has invited the other three, who ring.
async fn four(world: &World) -> ([Device; 4], CallId) {
    let [mut alice, mut bob, mut carol, mut dave] =
        world.devices(["alice", "bob", "carol", "dave"]).await;
    let call = alice
        .rings(advanced(), &mut [&mut bob, &mut carol, &mut dave])
        .await;
    ([alice, bob, carol, dave], call)
}

/// Alice and bob in a call, with what they have heard so far out of the way; and carol.
async fn two_and_one(world: &mut World) -> ([Device; 3], CallId) {
    let [mut alice, mut bob, mut carol] = world.devices(["alice", "bob", "carol"]).await;
    let call = alice.rings(advanced(), &mut [&mut bob]).await;
    bob.accept(&call).await.unwrap();
    world
        .heard(&mut [
            (&mut alice, "created, bob accepted"),
            (&mut bob, "rung by alice, bob accepted"),
            (&mut carol, ""),
        ])
        .await;
    ([alice, bob, carol], call)
}

#[tokio::test]
async fn a_targeted_cancel_is_heard_by_the_cancelled_as_such_and_by_members_as_a_state() {
    let mut world = World::new();
    let (mut dialled, mut other) = world.two_devices("alice").await;
    let (mut bob_1, mut bob_2) = world.two_devices("bob").await;
    let [mut carol] = world.devices(["carol"]).await;
    let call = dialled
        .rings(advanced(), &mut [&mut bob_1, &mut bob_2, &mut carol])
        .await;
    let cancelled = dialled.cancel(&["bob"], &call).await.unwrap();
    assert_eq!(cancelled.error_invitees, []);
    world
        .heard(&mut [
            (&mut dialled, "created, bob cancelled"),
            (&mut other, "created, cancelled"),
            (&mut bob_1, "rung by alice, cancelled"),
            (&mut bob_2, "rung by alice, cancelled"),
            (&mut carol, "rung by alice, bob cancelled"),
        ])
        .await;
    assert_eq!(carol.entry(&call).call.state, CallState::Started);
}

#[tokio::test]
async fn a_targeted_cancel_works_after_an_answer_and_names_whom_it_could_not_cancel() {
    let mut world = World::new();
    let ([mut alice, mut bob, mut carol, mut dave], call) = four(&world).await;
    bob.accept(&call).await.unwrap();
    carol.sees(&call, "bob", UserState::Accepted).await;
    dave.sees(&call, "bob", UserState::Accepted).await;
    let cancelled = alice
        .cancel(&["bob", "carol", "erin"], &call)
        .await
        .unwrap();
    let errors = cancelled.error_invitees;
    let errors: Vec<&str> = errors.iter().map(offhook::UserId::as_str).collect();
    assert_eq!(errors, ["bob", "erin"]);
    world
        .heard(&mut [
            (&mut alice, "created, bob accepted, carol cancelled"),
            (&mut bob, "rung by alice, bob accepted, carol cancelled"),
            (&mut carol, "rung by alice, bob accepted, cancelled"),
            (&mut dave, "rung by alice, bob accepted, carol cancelled"),
        ])
        .await;
}

#[tokio::test]
async fn a_targeted_cancel_of_nobody_fails_for_the_reason_of_the_first() {
    let world = World::new();
    let ([alice, bob, carol, _dave], call) = four(&world).await;
    bob.accept(&call).await.unwrap();
    carol.reject(&call).await.unwrap();
    let cancel = alice.cancel(&["carol", "bob"], &call).await;
    let error = refused(cancel, Code::WrongState, "state");
    assert_eq!(error.detail.state, Some(UserState::Rejected));
    let cancel = alice.cancel(&["bob", "carol"], &call).await;
    refused(cancel, Code::CancelAnswered, "answered");
    let cancel = alice.cancel(&["erin", "bob"], &call).await;
    refused(cancel, Code::NotMember, "member");
}

#[tokio::test]
async fn a_targeted_cancel_that_leaves_nobody_pending_cancels_the_whole_call() {
    let mut world = World::new();
    let (mut dialled, mut other) = world.two_devices("alice").await;
    let [mut bob, mut carol] = world.devices(["bob", "carol"]).await;
    let call = dialled.rings(advanced(), &mut [&mut bob, &mut carol]).await;
    carol.reject(&call).await.unwrap();
    bob.sees(&call, "carol", UserState::Rejected).await;
    dialled.cancel(&["bob"], &call).await.unwrap();
    world
        .heard(&mut [
            (&mut dialled, "created, carol rejected"),
            (&mut other, "created, cancelled"),
            (&mut bob, "rung by alice, carol rejected, cancelled"),
            (&mut carol, "rung by alice, carol rejected"),
        ])
        .await;
    assert_eq!(dialled.entry(&call).call.state, CallState::Ended);
    assert_eq!(dialled.state_of(&call, "alice"), UserState::Accepted);
}

#[tokio::test]
async fn after_an_answer_the_last_pending_one_can_be_cancelled_and_the_call_goes_on() {
    let mut world = World::new();
    let ([mut alice, mut bob, carol, dave], call) = four(&world).await;
    bob.accept(&call).await.unwrap();
    alice.cancel(&["carol", "dave"], &call).await.unwrap();
    world
        .heard(&mut [
            (
                &mut alice,
                "created, bob accepted, carol cancelled, dave cancelled",
            ),
            (
                &mut bob,
                "rung by alice, bob accepted, carol cancelled, dave cancelled",
            ),
        ])
        .await;
    assert_eq!(bob.entry(&call).call.state, CallState::Started);
    drop((carol, dave));
}

#[tokio::test]
async fn a_later_invitee_hears_a_ring_and_the_members_that_they_are_invited() {
    let mut world = World::new();
    let ([mut alice, mut bob, mut carol], call) = two_and_one(&mut world).await;
    let options = CallingInviteOptions {
        timeout_s: Some(60),
        extended_data: Some("come in".into()),
        ..CallingInviteOptions::default()
    };
    let given = bob
        .engine
        .calling_invite(&["carol", "carol"], &call, options);
    let invited = given.await.unwrap().await.unwrap();
    assert_eq!(invited.errors, []);
    let event = carol.is_rung(&call).await;
    let CallEvent::Received {
        caller,
        inviter,
        timeout,
        extended_data,
        deadline,
        call_user_list,
        ..
    } = event
    else {
        panic!("{event:?}");
    };
    assert_eq!((caller.as_str(), inviter.as_str()), ("alice", "bob"));
    assert_eq!((timeout, extended_data.as_str()), (60, "come in"));
    let me = &carol.entry(&call).call.members[2];
    assert_eq!(deadline, me.invited_at + 60_000);
    assert_eq!(call_user_list.len(), 3);
    for device in [&mut alice, &mut bob] {
        device.sees(&call, "carol", UserState::Received).await;
    }
    carol.accept(&call).await.unwrap();
    let heard = "carol inviting, carol accepted";
    world
        .heard(&mut [
            (&mut alice, heard),
            (&mut bob, heard),
            (&mut carol, "rung by bob, carol accepted"),
        ])
        .await;
    assert_eq!(carol.entry(&call).inviter.as_str(), "bob");
}

#[tokio::test]
async fn a_later_invitation_is_as_long_and_says_the_same_as_the_calls_own_unless_it_is_told() {
    let world = World::new();
    let [mut alice, mut bob, mut carol] = world.devices(["alice", "bob", "carol"]).await;
    let options = offhook::InviteOptions {
        extended_data: "topic".into(),
        ..brief(Mode::Advanced, 77)
    };
    let call = alice.rings(options, &mut [&mut bob]).await;
    bob.accept(&call).await.unwrap();
    bob.invite_more(&["carol"], &call).await.unwrap();
    let event = carol.is_rung(&call).await;
    let CallEvent::Received {
        timeout,
        extended_data,
        ..
    } = event
    else {
        panic!("{event:?}");
    };
    assert_eq!((timeout, extended_data.as_str()), (77, "topic"));
}

#[tokio::test]
async fn a_later_invitation_has_a_deadline_of_its_own() {
    let mut world = World::new();
    let ([mut alice, mut bob, mut carol], call) = two_and_one(&mut world).await;
    let options = CallingInviteOptions {
        timeout_s: Some(1),
        ..CallingInviteOptions::default()
    };
    let given = alice.engine.calling_invite(&["carol"], &call, options);
    given.await.unwrap().await.unwrap();
    alice.sees(&call, "carol", UserState::Timeout).await;
    bob.sees(&call, "carol", UserState::Timeout).await;
    let heard = "carol inviting, carol timeout";
    world
        .heard(&mut [
            (&mut alice, heard),
            (&mut bob, heard),
            (&mut carol, "rung by alice, timeout"),
        ])
        .await;
    assert_eq!(alice.entry(&call).call.state, CallState::Started);
    assert!(carol.entry(&call).missed);
}

#[tokio::test]
async fn later_invitees_are_checked_for_receipt_where_the_call_asks_for_it() {
    let world = World::with(&["not_received_check_s=3"]);
    let [mut alice, mut bob, carol] = world.devices(["alice", "bob", "carol"]).await;
    carol.closed().await;
    let options = offhook::InviteOptions {
        enable_not_received_check: true,
        ..advanced()
    };
    let call = alice.rings(options, &mut [&mut bob]).await;
    bob.accept(&call).await.unwrap();
    bob.invite_more(&["carol"], &call).await.unwrap();
    for device in [&mut alice, &mut bob] {
        device.sees(&call, "carol", UserState::NotYetReceived).await;
    }
    let mut carol = world.device("carol", "carol").await;
    carol.is_rung(&call).await;
    alice.sees(&call, "carol", UserState::Received).await;
}

#[tokio::test]
async fn who_is_in_the_call_already_comes_back_as_an_error_and_the_others_are_rung() {
    let world = World::new();
    let ([alice, bob, mut carol, dave], call) = four(&world).await;
    let mut erin = world.device("erin", "erin").await;
    bob.accept(&call).await.unwrap();
    let given = carol.engine.call_accept(&call, data("hm")).await;
    given.unwrap().await.unwrap();
    let invited = bob.invite_more(&["carol", "erin", "dave"], &call).await;
    let errors: Vec<_> = invited.unwrap().errors;
    let told: Vec<_> = errors
        .iter()
        .map(|one| (one.user.as_str(), one.code, one.state, one.data.as_str()))
        .collect();
    assert_eq!(
        told,
        [
            ("carol", Code::WrongState, UserState::Accepted, "hm"),
            ("dave", Code::WrongState, UserState::Received, ""),
        ]
    );
    erin.is_rung(&call).await;
    carol.sees(&call, "erin", UserState::Received).await;
    let again = bob.invite_more(&["dave", "carol"], &call).await;
    let error = refused(again, Code::WrongState, "state");
    assert_eq!(error.detail.state, Some(UserState::Received));
    drop((alice, dave));
}

#[tokio::test]
async fn a_member_invites_from_any_device_and_cancels_whom_they_invited_and_no_others() {
    let mut world = World::new();
    let [mut alice, mut carol, mut dave] = world.devices(["alice", "carol", "dave"]).await;
    let (mut bob_1, mut bob_2) = world.two_devices("bob").await;
    let call = alice
        .rings(advanced(), &mut [&mut bob_1, &mut bob_2, &mut carol])
        .await;
    bob_1.accept(&call).await.unwrap();
    bob_2.invite_more(&["dave"], &call).await.unwrap();
    dave.is_rung(&call).await;
    for user in ["alice", "carol"] {
        let cancel = bob_2.cancel(&[user], &call).await;
        refused(cancel, Code::NotInviter, "inviter");
    }
    refused(bob_1.cancel(&[], &call).await, Code::NotInviter, "inviter");
    bob_1.sees(&call, "dave", UserState::Received).await;
    alice.sees(&call, "dave", UserState::Received).await;
    carol.sees(&call, "dave", UserState::Received).await;
    bob_2.cancel(&["dave"], &call).await.unwrap();
    world
        .heard(&mut [
            (
                &mut alice,
                "created, bob accepted, dave inviting, dave cancelled",
            ),
            // The device in the call hears it twice over: of the member, and of the own command.
            (
                &mut bob_1,
                "rung by alice, bob accepted, dave inviting, dave cancelled, cancelled",
            ),
            (
                &mut bob_2,
                "rung by alice, bob accepted, elsewhere accepted",
            ),
            (
                &mut carol,
                "rung by alice, bob accepted, dave inviting, dave cancelled",
            ),
            (&mut dave, "rung by bob, cancelled"),
        ])
        .await;
}

#[tokio::test]
async fn the_creator_cancels_whom_others_invited() {
    let mut world = World::new();
    let ([mut alice, mut bob, mut carol], call) = two_and_one(&mut world).await;
    bob.invite_more(&["carol"], &call).await.unwrap();
    carol.is_rung(&call).await;
    alice.sees(&call, "carol", UserState::Received).await;
    bob.sees(&call, "carol", UserState::Received).await;
    alice.cancel(&["carol"], &call).await.unwrap();
    let heard = "carol inviting, carol cancelled";
    world
        .heard(&mut [
            (&mut alice, heard),
            (&mut bob, heard),
            (&mut carol, "rung by bob, cancelled"),
        ])
        .await;
}

#[tokio::test]
async fn a_quit_is_heard_by_members_and_by_the_device_that_was_in_the_call() {
    let mut world = World::new();
    let [mut alice, mut carol, mut dave] = world.devices(["alice", "carol", "dave"]).await;
    let (mut bob_1, mut bob_2) = world.two_devices("bob").await;
    let call = alice
        .rings(
            advanced(),
            &mut [&mut bob_1, &mut bob_2, &mut carol, &mut dave],
        )
        .await;
    dave.reject(&call).await.unwrap();
    bob_1.accept(&call).await.unwrap();
    world
        .heard(&mut [
            (&mut alice, "created, dave rejected, bob accepted"),
            (&mut bob_1, "rung by alice, dave rejected, bob accepted"),
            (
                &mut bob_2,
                "rung by alice, dave rejected, bob accepted, elsewhere accepted",
            ),
            (&mut carol, "rung by alice, dave rejected, bob accepted"),
            (&mut dave, "rung by alice, dave rejected"),
        ])
        .await;
    let given = bob_1.engine.call_quit(&call, data("bye")).await;
    let quit = given.unwrap().await.unwrap();
    let member = &bob_1.entry(&call).call.members[1];
    assert_eq!(quit.create_time, bob_1.entry(&call).call.create_time);
    assert_eq!(quit.accept_time, member.accept_time);
    assert_eq!(quit.quit_time, member.quit_time);
    assert!(quit.create_time <= quit.accept_time && quit.accept_time <= quit.quit_time);
    world
        .heard(&mut [
            (&mut alice, "bob quit"),
            (&mut bob_1, "bob quit"),
            (&mut bob_2, ""),
            (&mut carol, "bob quit"),
            (&mut dave, ""),
        ])
        .await;
    assert_eq!(alice.entry(&call).call.users()[1].extended_data, "bye");
    assert_eq!(bob_2.state_of(&call, "bob"), UserState::Quit);
}

#[tokio::test]
async fn the_creator_quits_an_answered_call_and_it_goes_on() {
    let mut world = World::new();
    let ([mut alice, mut bob, mut carol], call) = two_and_one(&mut world).await;
    let quit = alice.quit(&call).await.unwrap();
    assert_eq!(quit.accept_time, quit.create_time);
    world
        .heard(&mut [(&mut alice, "alice quit"), (&mut bob, "alice quit")])
        .await;
    bob.invite_more(&["carol"], &call).await.unwrap();
    carol.is_rung(&call).await;
    bob.sees(&call, "carol", UserState::Received).await;
    world
        .heard(&mut [
            (&mut alice, ""),
            (&mut bob, "carol inviting"),
            (&mut carol, "rung by bob"),
        ])
        .await;
}

#[tokio::test]
async fn the_creator_quits_an_unanswered_call_and_it_is_cancelled() {
    let mut world = World::new();
    let (mut dialled, mut other) = world.two_devices("alice").await;
    let [mut bob] = world.devices(["bob"]).await;
    let call = dialled.rings(advanced(), &mut [&mut bob]).await;
    dialled.quit(&call).await.unwrap();
    world
        .heard(&mut [
            (&mut dialled, "created, alice quit"),
            (&mut other, "created, cancelled"),
            (&mut bob, "rung by alice, cancelled"),
        ])
        .await;
    assert_eq!(dialled.entry(&call).call.state, CallState::Ended);
    assert!(bob.entry(&call).missed);
}

#[tokio::test]
async fn an_end_is_heard_by_everyone_to_whom_the_call_was_open_and_changes_no_state() {
    let mut world = World::new();
    let (mut alice_1, mut alice_2) = world.two_devices("alice").await;
    let (mut bob_1, mut bob_2) = world.two_devices("bob").await;
    let (mut carol_1, mut carol_2) = world.two_devices("carol").await;
    let [mut dave] = world.devices(["dave"]).await;
    let mut ringing = [
        &mut bob_1,
        &mut bob_2,
        &mut carol_1,
        &mut carol_2,
        &mut dave,
    ];
    let call = alice_1.rings(advanced(), &mut ringing).await;
    dave.reject(&call).await.unwrap();
    bob_1.accept(&call).await.unwrap();
    let all: &mut [&mut Device] = &mut [&mut alice_1, &mut alice_2, &mut carol_1, &mut carol_2];
    for device in all.iter_mut().filter(|one| one.user == "carol") {
        device.sees(&call, "bob", UserState::Accepted).await;
    }
    bob_2.hears_of(&call, "callHandledElsewhere").await;
    let given = bob_1.engine.call_end(&call, data("done")).await;
    let ended = given.unwrap().await.unwrap();
    let event = alice_1.hears_of(&call, "callInvitationEnded").await;
    let CallEvent::Ended {
        caller,
        operated_user_id,
        extended_data,
        end_time,
        mode,
        ..
    } = event
    else {
        panic!("{event:?}");
    };
    assert_eq!((mode, caller.as_str()), (Mode::Advanced, "alice"));
    assert_eq!(
        (operated_user_id.as_str(), extended_data.as_str()),
        ("bob", "done")
    );
    assert_eq!(end_time, ended.end_time);
    assert!(ended.create_time <= ended.accept_time && ended.accept_time <= ended.end_time);
    let ring = "rung by alice, dave rejected, bob accepted";
    world
        .heard(&mut [
            (
                &mut alice_1,
                "created, dave rejected, bob accepted, ended by bob",
            ),
            (&mut alice_2, "created, elsewhere accepted"),
            (&mut bob_1, &format!("{ring}, ended by bob")),
            (&mut bob_2, &format!("{ring}, elsewhere accepted")),
            (&mut carol_1, &format!("{ring}, ended by bob")),
            (&mut carol_2, &format!("{ring}, ended by bob")),
            (&mut dave, "rung by alice, dave rejected"),
        ])
        .await;
    let states: Vec<UserState> = dave.states(&call).into_iter().map(|one| one.1).collect();
    let expected = [
        UserState::Accepted,
        UserState::Accepted,
        UserState::Received,
        UserState::Rejected,
    ];
    assert_eq!(states, expected);
    assert_eq!(dave.entry(&call).call.state, CallState::Ended);
    assert!(carol_1.entry(&call).missed && !dave.entry(&call).missed);
}

#[tokio::test]
async fn a_call_that_everybody_quit_is_ended_by_the_server() {
    let mut world = World::new();
    let ([mut alice, mut bob, _carol], call) = two_and_one(&mut world).await;
    bob.quit(&call).await.unwrap();
    alice.sees(&call, "bob", UserState::Quit).await;
    alice.quit(&call).await.unwrap();
    world
        .heard(&mut [(&mut alice, "bob quit, alice quit"), (&mut bob, "bob quit")])
        .await;
    for device in [&alice, &bob] {
        let over = device.entry(&call).call;
        assert_eq!(over.state, CallState::Ended);
        assert_eq!(over.ending.unwrap().by, None);
    }
}

#[tokio::test]
async fn a_call_in_which_all_have_answered_goes_on_until_it_is_ended() {
    let mut world = World::new();
    let ([mut alice, mut bob, mut carol, mut dave], call) = four(&world).await;
    for device in [&bob, &carol, &dave] {
        device.reject(&call).await.unwrap();
    }
    for user in ["bob", "carol", "dave"] {
        alice.sees(&call, user, UserState::Rejected).await;
    }
    assert_eq!(alice.entry(&call).call.state, CallState::Started);
    world
        .heard(&mut [
            (
                &mut alice,
                "created, bob rejected, carol rejected, dave rejected",
            ),
            (&mut bob, "rung by alice, bob rejected"),
            (&mut carol, "rung by alice, bob rejected, carol rejected"),
            (
                &mut dave,
                "rung by alice, bob rejected, carol rejected, dave rejected",
            ),
        ])
        .await;
    alice.end(&call).await.unwrap();
    world
        .heard(&mut [(&mut alice, "ended by alice"), (&mut dave, "")])
        .await;
    assert_eq!(alice.entry(&call).call.state, CallState::Ended);
}
