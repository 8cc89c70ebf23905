//! callJoin: from outside, back in, and in place of accepting. Moving a call to another device is
//! in [`crate::devices`].

use offhook::{CallId, CallState, Code, Mode, UserState};

use crate::support::{Device, World, advanced, brief, data, refused};

/// Alice and bob in a call, with what they have heard so far out of the way.
async fn two(world: &mut World) -> ([Device; 2], CallId) {
    let [mut alice, mut bob] = world.devices(["alice", "bob"]).await;
    let call = alice.rings(advanced(), &mut [&mut bob]).await;
    bob.accept(&call).await.unwrap();
    world
        .heard(&mut [
            (&mut alice, "created, bob accepted"),
            (&mut bob, "rung by alice, bob accepted"),
        ])
        .await;
    ([alice, bob], call)
}

#[tokio::test]
async fn a_join_from_outside_is_heard_by_members_and_by_the_device_that_joined() {
    let mut world = World::new();
    let ([mut alice, mut bob], call) = two(&mut world).await;
    let (mut carol_1, mut carol_2) = world.two_devices("carol").await;
    // Whoever knows the id can join; a local record is not needed.
    let given = carol_1.engine.call_join(&call, data("hello")).await;
    let joined = given.unwrap().await.unwrap();
    assert_eq!(joined.call_id, call);
    assert_eq!(joined.create_time, alice.entry(&call).call.create_time);
    assert!(joined.create_time <= joined.join_time);
    let users: Vec<_> = joined
        .users
        .iter()
        .map(|one| (one.user_id.as_str(), one.state, one.extended_data.as_str()))
        .collect();
    let expected = [
        ("alice", UserState::Accepted, ""),
        ("bob", UserState::Accepted, ""),
        ("carol", UserState::Accepted, "hello"),
    ];
    assert_eq!(users, expected);
    world
        .heard(&mut [
            (&mut alice, "carol accepted"),
            (&mut bob, "carol accepted"),
            (&mut carol_1, "carol accepted"),
            (&mut carol_2, ""),
        ])
        .await;
    bob.quit(&call).await.unwrap();
    world
        .heard(&mut [
            (&mut alice, "bob quit"),
            (&mut carol_1, "bob quit"),
            (&mut carol_2, ""),
        ])
        .await;
    // The other device sees it in its list.
    assert_eq!(carol_2.state_of(&call, "carol"), UserState::Accepted);
    assert_eq!(carol_2.state_of(&call, "bob"), UserState::Quit);
    assert!(!carol_1.entry(&call).missed);
}

#[tokio::test]
async fn a_join_by_who_is_rung_is_an_accept() {
    let mut world = World::new();
    let [mut alice, mut carol] = world.devices(["alice", "carol"]).await;
    let (mut bob_1, mut bob_2) = world.two_devices("bob").await;
    let call = alice
        .rings(advanced(), &mut [&mut bob_1, &mut bob_2, &mut carol])
        .await;
    bob_1.join(&call).await.unwrap();
    world
        .heard(&mut [
            (&mut alice, "created, bob accepted"),
            (&mut bob_1, "rung by alice, bob accepted"),
            (
                &mut bob_2,
                "rung by alice, bob accepted, elsewhere accepted",
            ),
            (&mut carol, "rung by alice, bob accepted"),
        ])
        .await;
    let cancel = alice.cancel(&[], &call).await;
    refused(cancel, Code::CancelAnswered, "answered");
}

#[tokio::test]
async fn who_rejected_timed_out_was_cancelled_or_quit_comes_back_by_joining() {
    let world = World::new();
    let [mut alice, mut bob, mut carol, mut dave, mut erin] = world
        .devices(["alice", "bob", "carol", "dave", "erin"])
        .await;
    let mut ringing = [&mut bob, &mut carol, &mut dave, &mut erin];
    let call = alice.rings(brief(Mode::Advanced, 3), &mut ringing).await;
    bob.accept(&call).await.unwrap();
    bob.quit(&call).await.unwrap();
    carol.reject(&call).await.unwrap();
    alice.cancel(&["dave"], &call).await.unwrap();
    alice.sees(&call, "erin", UserState::Timeout).await;
    for device in [&bob, &carol, &dave, &erin] {
        device.join(&call).await.unwrap();
        alice.sees(&call, &device.user, UserState::Accepted).await;
        assert!(!device.entry(&call).missed);
    }
    let bobs = bob.entry(&call).call;
    assert_eq!(
        (bobs.members[1].invitation, bobs.members[1].participation),
        (1, 2)
    );
    assert_eq!(alice.entry(&call).call.state, CallState::Started);
}

#[tokio::test]
async fn who_comes_back_after_a_quit_hears_again_and_nothing_of_the_time_between() {
    let mut world = World::new();
    let ([mut alice, mut bob], call) = two(&mut world).await;
    let [mut carol, mut dave] = world.devices(["carol", "dave"]).await;
    bob.quit(&call).await.unwrap();
    carol.join(&call).await.unwrap();
    world
        .heard(&mut [
            (&mut alice, "bob quit, carol accepted"),
            (&mut bob, "bob quit"),
        ])
        .await;
    bob.join(&call).await.unwrap();
    dave.join(&call).await.unwrap();
    let back = "bob accepted, dave accepted";
    world
        .heard(&mut [
            (&mut alice, back),
            (&mut bob, back),
            (&mut carol, &format!("carol accepted, {back}")),
            (&mut dave, "dave accepted"),
        ])
        .await;
}

#[tokio::test]
async fn joining_is_allowed_while_in_another_call_and_leaves_nothing() {
    let mut world = World::new();
    let ([mut alice, bob], first) = two(&mut world).await;
    let [carol, mut dave] = world.devices(["carol", "dave"]).await;
    let mut carol = carol;
    let second = carol.rings(advanced(), &mut [&mut dave]).await;
    dave.accept(&second).await.unwrap();
    dave.join(&first).await.unwrap();
    alice.sees(&first, "dave", UserState::Accepted).await;
    for call in [&first, &second] {
        assert_eq!(dave.state_of(call, "dave"), UserState::Accepted);
    }
    // Each call has its own events.
    carol.quit(&second).await.unwrap();
    dave.sees(&second, "carol", UserState::Quit).await;
    bob.quit(&first).await.unwrap();
    dave.sees(&first, "bob", UserState::Quit).await;
}

#[tokio::test]
async fn where_only_the_invited_may_join_a_stranger_is_refused() {
    let mut world = World::with(&["join=invited"]);
    let ([mut alice, mut bob], call) = two(&mut world).await;
    let [carol] = world.devices(["carol"]).await;
    refused(carol.join(&call).await, Code::NotMember, "member");
    bob.quit(&call).await.unwrap();
    bob.join(&call).await.unwrap();
    let heard = "bob quit, bob accepted";
    world
        .heard(&mut [(&mut alice, heard), (&mut bob, heard)])
        .await;
}
