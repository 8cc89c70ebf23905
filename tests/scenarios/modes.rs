//! What general and advanced calls have in common: creating, cancelling, accepting, rejecting,
//! running out, being received. Every story is played in both modes.

use offhook::{CallEvent, CallState, Code, InviteOptions, Mode, UserState};

use crate::support::{Device, World, brief, data, of, refused};

macro_rules! in_both_modes {
    ($($story:ident)+) => {
        mod general {
            $(#[tokio::test]
            async fn $story() {
                super::$story(offhook::Mode::General).await;
            })+
        }
        mod advanced {
            $(#[tokio::test]
            async fn $story() {
                super::$story(offhook::Mode::Advanced).await;
            })+
        }
    };
}

in_both_modes! {
    create_tells_the_creators_devices_and_the_invitees_all_there_is_to_know
    accept_is_heard_by_members_and_by_all_devices_of_who_accepts
    reject_is_heard_by_members_and_by_all_devices_of_who_rejects
    timeout_is_heard_by_members_as_a_state_and_by_the_invitee_as_an_event
    cancel_by_the_creator_stops_every_ring
    cancel_from_another_device_of_the_creator_is_heard_by_the_one_that_dialled
    cancel_after_an_answer_is_refused_and_heard_by_nobody
    of_two_invitees_one_accepts_and_one_rejects
    of_two_invitees_one_accepts_and_one_lets_it_ring
    who_rejected_hears_nothing_of_what_comes_after
    of_nine_invitees_some_accept_some_reject_and_some_let_it_ring
    nine_invitees_hear_of_their_own_cancel_only
    receipts_are_heard_by_members_the_invitee_included
    extended_data_of_an_answer_is_told_and_kept
}

/// What a device of the creator's that did not dial hears by the time one invitee has answered.
/// A general call is over by then, an advanced one only if it was accepted.
fn dialling(mode: Mode, accepted: bool) -> &'static str {
    match (mode, accepted) {
        (Mode::Advanced, false) => "created",
        _ => "created, elsewhere accepted",
    }
}

/// A general call in which nobody is pending is over, an advanced one goes on.
fn once_all_have_answered(mode: Mode) -> CallState {
    match mode {
        Mode::General => CallState::Ended,
        _ => CallState::Started,
    }
}

async fn create_tells_the_creators_devices_and_the_invitees_all_there_is_to_know(mode: Mode) {
    let mut world = World::new();
    let (mut dialled, mut other) = world.two_devices("alice").await;
    let [mut bob] = world.devices(["bob"]).await;
    let options = InviteOptions {
        timeout_s: 200,
        extended_data: "video".into(),
        ..of(mode)
    };
    let invited = dialled.invite(&["bob"], options).await.unwrap();
    assert_eq!((invited.timeout_s, invited.errors.len()), (200, 0));
    let call = invited.call_id;
    for device in [&mut dialled, &mut other] {
        let created = device.hears_of(&call, "callInvitationCreated").await;
        let CallEvent::Created {
            mode: told,
            caller,
            extended_data,
            timeout,
            create_time,
            call_user_list,
            ..
        } = created
        else {
            panic!("{created:?}");
        };
        assert_eq!((told, caller.as_str(), timeout), (mode, "alice", 200));
        assert_eq!(extended_data, "video");
        assert_eq!(create_time, device.entry(&call).call.create_time);
        assert_eq!(call_user_list.len(), 2);
        assert_eq!(call_user_list[0].user_id.as_str(), "alice");
        assert_eq!(call_user_list[0].state, UserState::Accepted);
        assert!(call_user_list[1].state.is_pending());
    }
    let received = bob.is_rung(&call).await;
    let CallEvent::Received {
        mode: told,
        caller,
        inviter,
        extended_data,
        timeout,
        create_time,
        deadline,
        remaining,
        call_user_list,
        over,
        ..
    } = received
    else {
        panic!("{received:?}");
    };
    assert_eq!((told, timeout, over), (mode, 200, false));
    assert_eq!((caller.as_str(), inviter.as_str()), ("alice", "alice"));
    assert_eq!(extended_data, "video");
    assert_eq!(deadline, create_time + 200_000);
    assert!((1..=200_000).contains(&remaining), "{remaining}");
    assert_eq!(call_user_list.len(), 2);
    world
        .heard(&mut [
            (&mut dialled, "created"),
            (&mut other, "created"),
            (&mut bob, "rung by alice"),
        ])
        .await;
}

async fn accept_is_heard_by_members_and_by_all_devices_of_who_accepts(mode: Mode) {
    let mut world = World::new();
    let (mut dialled, mut other) = world.two_devices("alice").await;
    let (mut answering, mut silent) = world.two_devices("bob").await;
    let call = dialled
        .rings(of(mode), &mut [&mut answering, &mut silent])
        .await;
    answering.accept(&call).await.unwrap();
    world
        .heard(&mut [
            (&mut dialled, "created, bob accepted"),
            (&mut other, dialling(mode, true)),
            (&mut answering, "rung by alice, bob accepted"),
            (
                &mut silent,
                "rung by alice, bob accepted, elsewhere accepted",
            ),
        ])
        .await;
    let entry = dialled.entry(&call);
    assert_eq!(entry.call.state, once_all_have_answered(mode));
    assert_eq!(dialled.state_of(&call, "bob"), UserState::Accepted);
    assert!(!silent.entry(&call).missed && !answering.entry(&call).missed);
}

async fn reject_is_heard_by_members_and_by_all_devices_of_who_rejects(mode: Mode) {
    let mut world = World::new();
    let (mut dialled, mut other) = world.two_devices("alice").await;
    let (mut answering, mut silent) = world.two_devices("bob").await;
    let call = dialled
        .rings(of(mode), &mut [&mut answering, &mut silent])
        .await;
    answering.reject(&call).await.unwrap();
    world
        .heard(&mut [
            (&mut dialled, "created, bob rejected"),
            (&mut other, dialling(mode, false)),
            (&mut answering, "rung by alice, bob rejected"),
            (
                &mut silent,
                "rung by alice, bob rejected, elsewhere rejected",
            ),
        ])
        .await;
    let entry = dialled.entry(&call);
    assert_eq!(entry.call.state, once_all_have_answered(mode));
    assert!(!silent.entry(&call).missed && !answering.entry(&call).missed);
}

async fn timeout_is_heard_by_members_as_a_state_and_by_the_invitee_as_an_event(mode: Mode) {
    let mut world = World::new();
    let (mut dialled, mut other) = world.two_devices("alice").await;
    let (mut bob_1, mut bob_2) = world.two_devices("bob").await;
    let call = dialled
        .rings(brief(mode, 2), &mut [&mut bob_1, &mut bob_2])
        .await;
    dialled.sees(&call, "bob", UserState::Timeout).await;
    world
        .heard(&mut [
            (&mut dialled, "created, bob timeout"),
            (&mut other, dialling(mode, false)),
            (&mut bob_1, "rung by alice, timeout"),
            (&mut bob_2, "rung by alice, timeout"),
        ])
        .await;
    let entry = dialled.entry(&call);
    assert_eq!(entry.call.state, once_all_have_answered(mode));
    for bob in [&bob_1, &bob_2] {
        assert!(bob.entry(&call).missed);
        assert_eq!(bob.state_of(&call, "bob"), UserState::Timeout);
    }
    let member = entry.call.members.last().unwrap();
    assert_eq!(member.state_time, member.deadline);
}

async fn cancel_by_the_creator_stops_every_ring(mode: Mode) {
    let mut world = World::new();
    let (mut dialled, mut other) = world.two_devices("alice").await;
    let (mut bob_1, mut bob_2) = world.two_devices("bob").await;
    let call = dialled.rings(of(mode), &mut [&mut bob_1, &mut bob_2]).await;
    let cancelled = dialled.cancel_with(&[], &call, "sorry").await.unwrap();
    assert_eq!(cancelled.error_invitees, []);
    for bob in [&mut bob_1, &mut bob_2] {
        let event = bob.hears_of(&call, "callInvitationCancelled").await;
        let CallEvent::Cancelled {
            mode: told,
            inviter,
            extended_data,
            ..
        } = event
        else {
            panic!("{event:?}");
        };
        assert_eq!((told, inviter.as_str()), (mode, "alice"));
        assert_eq!(extended_data, "sorry");
    }
    world
        .heard(&mut [
            (&mut dialled, "created"),
            (&mut other, "created, cancelled"),
            (&mut bob_1, "rung by alice, cancelled"),
            (&mut bob_2, "rung by alice, cancelled"),
        ])
        .await;
    assert_eq!(dialled.entry(&call).call.state, CallState::Ended);
    assert_eq!(dialled.state_of(&call, "alice"), UserState::Accepted);
    assert_eq!(bob_2.state_of(&call, "bob"), UserState::Cancelled);
    assert!(bob_1.entry(&call).missed);
}

async fn cancel_from_another_device_of_the_creator_is_heard_by_the_one_that_dialled(mode: Mode) {
    let mut world = World::new();
    let (mut dialled, mut other) = world.two_devices("alice").await;
    let [mut bob] = world.devices(["bob"]).await;
    let call = dialled.rings(of(mode), &mut [&mut bob]).await;
    other.hears_of(&call, "callInvitationCreated").await;
    other.cancel(&[], &call).await.unwrap();
    world
        .heard(&mut [
            (&mut dialled, "created, cancelled"),
            (&mut other, "created"),
            (&mut bob, "rung by alice, cancelled"),
        ])
        .await;
}

async fn cancel_after_an_answer_is_refused_and_heard_by_nobody(mode: Mode) {
    let mut world = World::new();
    let [mut alice, mut bob, mut carol] = world.devices(["alice", "bob", "carol"]).await;
    let call = alice.rings(of(mode), &mut [&mut bob, &mut carol]).await;
    bob.accept(&call).await.unwrap();
    world
        .heard(&mut [
            (&mut alice, "created, bob accepted"),
            (&mut bob, "rung by alice, bob accepted"),
            (&mut carol, "rung by alice, bob accepted"),
        ])
        .await;
    refused(
        alice.cancel(&[], &call).await,
        Code::CancelAnswered,
        "answered",
    );
    world
        .heard(&mut [(&mut alice, ""), (&mut bob, ""), (&mut carol, "")])
        .await;
    assert_eq!(alice.state_of(&call, "carol"), UserState::Received);
}

async fn of_two_invitees_one_accepts_and_one_rejects(mode: Mode) {
    let mut world = World::new();
    let [mut alice, mut bob] = world.devices(["alice", "bob"]).await;
    let (mut carol_1, mut carol_2) = world.two_devices("carol").await;
    let call = alice
        .rings(of(mode), &mut [&mut bob, &mut carol_1, &mut carol_2])
        .await;
    bob.accept(&call).await.unwrap();
    carol_1.sees(&call, "bob", UserState::Accepted).await;
    carol_1.reject(&call).await.unwrap();
    world
        .heard(&mut [
            (&mut alice, "created, bob accepted, carol rejected"),
            (&mut bob, "rung by alice, bob accepted, carol rejected"),
            (&mut carol_1, "rung by alice, bob accepted, carol rejected"),
            (
                &mut carol_2,
                "rung by alice, bob accepted, carol rejected, elsewhere rejected",
            ),
        ])
        .await;
    let state = bob.entry(&call).call.state;
    assert_eq!(state, once_all_have_answered(mode));
}

async fn of_two_invitees_one_accepts_and_one_lets_it_ring(mode: Mode) {
    let mut world = World::new();
    let [mut alice, mut bob, mut carol] = world.devices(["alice", "bob", "carol"]).await;
    let call = alice
        .rings(brief(mode, 3), &mut [&mut bob, &mut carol])
        .await;
    bob.accept(&call).await.unwrap();
    bob.sees(&call, "carol", UserState::Timeout).await;
    world
        .heard(&mut [
            (&mut alice, "created, bob accepted, carol timeout"),
            (&mut bob, "rung by alice, bob accepted, carol timeout"),
            (&mut carol, "rung by alice, bob accepted, timeout"),
        ])
        .await;
    let state = alice.entry(&call).call.state;
    assert_eq!(state, once_all_have_answered(mode));
    assert_eq!(alice.state_of(&call, "bob"), UserState::Accepted);
    assert!(carol.entry(&call).missed && !bob.entry(&call).missed);
}

async fn who_rejected_hears_nothing_of_what_comes_after(mode: Mode) {
    let mut world = World::new();
    let [mut alice, mut bob, mut carol] = world.devices(["alice", "bob", "carol"]).await;
    let (mut dave_1, mut dave_2) = world.two_devices("dave").await;
    let call = alice
        .rings(
            of(mode),
            &mut [&mut bob, &mut carol, &mut dave_1, &mut dave_2],
        )
        .await;
    dave_1.reject(&call).await.unwrap();
    world
        .heard(&mut [
            (&mut dave_1, "rung by alice, dave rejected"),
            (
                &mut dave_2,
                "rung by alice, dave rejected, elsewhere rejected",
            ),
        ])
        .await;
    bob.accept(&call).await.unwrap();
    carol.reject(&call).await.unwrap();
    world
        .heard(&mut [(&mut dave_1, ""), (&mut dave_2, "")])
        .await;
    // It is brought up to date all the same.
    assert_eq!(dave_2.state_of(&call, "bob"), UserState::Accepted);
    assert_eq!(dave_2.state_of(&call, "carol"), UserState::Rejected);
}

const NINE: [&str; 9] = ["b", "c", "d", "e", "f", "g", "h", "i", "j"];

/// Alice rings nine others, and all of them ring.
async fn nine_ring(
    world: &World,
    options: InviteOptions,
) -> (Device, [Device; 9], offhook::CallId) {
    let mut alice = world.device("alice", "alice").await;
    let mut nine = world.devices(NINE).await;
    let mut ringing: Vec<&mut Device> = nine.iter_mut().collect();
    let call = alice.rings(options, &mut ringing).await;
    (alice, nine, call)
}

async fn of_nine_invitees_some_accept_some_reject_and_some_let_it_ring(mode: Mode) {
    let mut world = World::new();
    let (mut alice, mut nine, call) = nine_ring(&world, brief(mode, 5)).await;
    for one in &nine[..3] {
        one.accept(&call).await.unwrap();
    }
    for one in &nine[3..6] {
        one.reject(&call).await.unwrap();
    }
    for user in &NINE[6..] {
        alice.sees(&call, user, UserState::Timeout).await;
    }
    let all = "b accepted, c accepted, d accepted, e rejected, f rejected, g rejected";
    let out = "h timeout, i timeout, j timeout";
    let (in_call, others) = nine.split_at_mut(3);
    let (rejected, late) = others.split_at_mut(3);
    let mut stories: Vec<(&mut Device, String)> = Vec::new();
    stories.push((&mut alice, format!("created, {all}, {out}")));
    for one in in_call {
        stories.push((one, format!("rung by alice, {all}, {out}")));
    }
    let until = [
        "b accepted, c accepted, d accepted, e rejected",
        "b accepted, c accepted, d accepted, e rejected, f rejected",
        all,
    ];
    for (one, until) in rejected.iter_mut().zip(until) {
        stories.push((one, format!("rung by alice, {until}")));
    }
    for one in late {
        stories.push((one, format!("rung by alice, {all}, timeout")));
    }
    let mut stories: Vec<(&mut Device, &str)> = stories
        .iter_mut()
        .map(|(device, story)| (&mut **device, story.as_str()))
        .collect();
    world.heard(&mut stories).await;
    let state = alice.entry(&call).call.state;
    assert_eq!(state, once_all_have_answered(mode));
}

async fn nine_invitees_hear_of_their_own_cancel_only(mode: Mode) {
    let mut world = World::new();
    let (mut alice, mut nine, call) = nine_ring(&world, of(mode)).await;
    alice.cancel(&[], &call).await.unwrap();
    let mut stories: Vec<(&mut Device, &str)> = vec![(&mut alice, "created")];
    stories.extend(nine.iter_mut().map(|one| (one, "rung by alice, cancelled")));
    world.heard(&mut stories).await;
    assert_eq!(alice.entry(&call).call.state, CallState::Ended);
    for (user, state) in nine[8].states(&call) {
        let expected = match user.as_str() {
            "alice" => UserState::Accepted,
            _ => UserState::Cancelled,
        };
        assert_eq!(state, expected, "{user}");
    }
}

async fn receipts_are_heard_by_members_the_invitee_included(mode: Mode) {
    let world = World::new();
    let [mut alice, mut bob] = world.devices(["alice", "bob"]).await;
    let call = alice.invite(&["bob", "carol"], of(mode)).await.unwrap();
    let call = call.call_id;
    // Each of these waits for it, and for nothing else.
    bob.sees(&call, "bob", UserState::Received).await;
    alice.sees(&call, "bob", UserState::Received).await;
    assert_eq!(alice.state_of(&call, "carol"), UserState::Inviting);
    let mut carol = world.device("carol", "carol").await;
    alice.sees(&call, "carol", UserState::Received).await;
    bob.sees(&call, "carol", UserState::Received).await;
    carol.sees(&call, "carol", UserState::Received).await;
}

async fn extended_data_of_an_answer_is_told_and_kept(mode: Mode) {
    let world = World::new();
    let [mut alice, mut bob, mut carol] = world.devices(["alice", "bob", "carol"]).await;
    let call = alice.rings(of(mode), &mut [&mut bob, &mut carol]).await;
    let engine = &bob.engine;
    let accept = engine.call_accept(&call, data("in a minute")).await;
    accept.unwrap().await.unwrap();
    let engine = &carol.engine;
    let reject = engine.call_reject(&call, data("busy")).await;
    reject.unwrap().await.unwrap();
    let mut told = std::collections::BTreeMap::new();
    while told.len() < 2 {
        let event = alice.hears_of(&call, "callUserStateChanged").await;
        let CallEvent::UserStateChanged { call_user_list, .. } = event else {
            panic!("{event:?}");
        };
        for one in call_user_list {
            if !one.state.is_pending() {
                told.insert(one.user_id.to_string(), (one.state, one.extended_data));
            }
        }
    }
    assert_eq!(told["bob"], (UserState::Accepted, "in a minute".to_owned()));
    assert_eq!(told["carol"], (UserState::Rejected, "busy".to_owned()));
    let users = alice.entry(&call).call.users();
    assert_eq!(users[1].extended_data, "in a minute");
    assert_eq!(users[2].extended_data, "busy");
}
