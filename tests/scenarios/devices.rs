//! Several devices of a user: the primary one, moving a call, answering twice, fencing.

use offhook::{
    CallEvent, CallId, Code, ConnectionCause, ConnectionState, EventKind, Mode, UserState,
};

use crate::support::{Device, SOON, World, advanced, brief, data, general, of, refused};

/// Alice with two devices, the first of which is in a call with bob, and what they have heard so
/// far out of the way.
async fn moving(world: &mut World) -> (Device, Device, Device, CallId) {
    let (mut phone, mut laptop) = world.two_devices("alice").await;
    let [mut bob] = world.devices(["bob"]).await;
    let call = phone.rings(advanced(), &mut [&mut bob]).await;
    bob.accept(&call).await.unwrap();
    world
        .heard(&mut [
            (&mut phone, "created, bob accepted"),
            (&mut laptop, "created, elsewhere accepted"),
            (&mut bob, "rung by alice, bob accepted"),
        ])
        .await;
    (phone, laptop, bob, call)
}

#[tokio::test]
async fn a_call_that_moves_is_noticed_by_the_device_it_leaves_and_by_nobody_else() {
    let mut world = World::new();
    let (mut phone, mut laptop, mut bob, call) = moving(&mut world).await;
    let before = bob.entry(&call);
    laptop.join(&call).await.unwrap();
    let event = phone.hears_of(&call, "callPrimaryDeviceChanged").await;
    let CallEvent::PrimaryDeviceChanged { device_id, .. } = event else {
        panic!("{event:?}");
    };
    assert_eq!(device_id, laptop.id().await.as_str());
    world
        .heard(&mut [(&mut phone, "moved"), (&mut laptop, ""), (&mut bob, "")])
        .await;
    assert_eq!(bob.entry(&call), before);
    let me = &phone.entry(&call).call.members[0];
    assert_eq!(me.participation, 1);
}

#[tokio::test]
async fn after_a_move_the_new_device_hears_and_the_old_one_does_not() {
    let mut world = World::new();
    let (mut phone, mut laptop, mut bob, call) = moving(&mut world).await;
    laptop.join(&call).await.unwrap();
    bob.invite_more(&["carol"], &call).await.unwrap();
    world
        .heard(&mut [
            (&mut phone, "moved"),
            (&mut laptop, "carol inviting"),
            (&mut bob, "carol inviting"),
        ])
        .await;
    phone.join(&call).await.unwrap();
    bob.cancel(&["carol"], &call).await.unwrap();
    bob.end(&call).await.unwrap();
    world
        .heard(&mut [
            (&mut phone, "carol cancelled, ended by bob"),
            (&mut laptop, "moved"),
            (&mut bob, "carol cancelled, ended by bob"),
        ])
        .await;
}

#[tokio::test]
async fn an_invitee_who_accepted_moves_the_call_likewise() {
    let mut world = World::new();
    let [mut alice] = world.devices(["alice"]).await;
    let (mut phone, mut laptop) = world.two_devices("bob").await;
    let call = alice
        .rings(advanced(), &mut [&mut phone, &mut laptop])
        .await;
    phone.accept(&call).await.unwrap();
    alice.sees(&call, "bob", UserState::Accepted).await;
    laptop.join(&call).await.unwrap();
    world
        .heard(&mut [
            (&mut alice, "created, bob accepted"),
            (&mut phone, "rung by alice, bob accepted, moved"),
            (
                &mut laptop,
                "rung by alice, bob accepted, elsewhere accepted",
            ),
        ])
        .await;
    alice.end(&call).await.unwrap();
    world
        .heard(&mut [(&mut phone, ""), (&mut laptop, "ended by alice")])
        .await;
}

#[tokio::test]
async fn the_primary_device_cannot_join_and_the_other_ones_can() {
    let mut world = World::new();
    let (phone, laptop, bob, call) = moving(&mut world).await;
    for device in [&phone, &bob] {
        refused(device.join(&call).await, Code::AlreadyPrimary, "primary");
    }
    laptop.join(&call).await.unwrap();
    refused(laptop.join(&call).await, Code::AlreadyPrimary, "primary");
}

#[tokio::test]
async fn quitting_from_another_device_is_heard_by_the_primary_one() {
    let mut world = World::new();
    let (mut phone, mut laptop, mut bob, call) = moving(&mut world).await;
    laptop.quit(&call).await.unwrap();
    world
        .heard(&mut [
            (&mut phone, "alice quit"),
            (&mut laptop, ""),
            (&mut bob, "alice quit"),
        ])
        .await;
}

#[tokio::test]
async fn ending_from_another_device_is_heard_by_the_primary_one() {
    let mut world = World::new();
    let (mut phone, mut laptop, mut bob, call) = moving(&mut world).await;
    laptop.end(&call).await.unwrap();
    world
        .heard(&mut [
            (&mut phone, "ended by alice"),
            (&mut laptop, ""),
            (&mut bob, "ended by alice"),
        ])
        .await;
}

async fn two_devices_answer_at_once(mode: Mode, accepting: bool) {
    let mut world = World::new();
    let [mut alice] = world.devices(["alice"]).await;
    let (mut bob_1, mut bob_2) = world.two_devices("bob").await;
    let call = alice.rings(of(mode), &mut [&mut bob_1, &mut bob_2]).await;
    let second = async {
        match accepting {
            true => bob_2.accept(&call).await,
            false => bob_2.reject(&call).await,
        }
    };
    let (first, second) = tokio::join!(bob_1.accept(&call), second);
    let other = match accepting {
        true => UserState::Accepted,
        false => UserState::Rejected,
    };
    let (won, lost, state, error) = match (first, second) {
        (Ok(_), Err(error)) => (&mut bob_1, &mut bob_2, UserState::Accepted, error),
        (Err(error), Ok(_)) => (&mut bob_2, &mut bob_1, other, error),
        both => panic!("one is to win: {both:?}"),
    };
    assert_eq!(
        (error.code, error.reason.as_str()),
        (Code::WrongState, "answered")
    );
    assert_eq!(error.detail.state, Some(state));
    assert_eq!(error.detail.device_id, Some(won.id().await));
    let state = state.word();
    let heard = format!("rung by alice, bob {state}");
    world
        .heard(&mut [
            (&mut alice, &format!("created, bob {state}")),
            (won, &heard),
            (lost, &format!("{heard}, elsewhere {state}")),
        ])
        .await;
}

#[tokio::test]
async fn two_devices_accept_at_the_same_instant_and_the_loser_is_told_who_won() {
    two_devices_answer_at_once(Mode::General, true).await;
    two_devices_answer_at_once(Mode::Advanced, true).await;
}

#[tokio::test]
async fn one_device_accepts_and_one_rejects_at_the_same_instant_and_one_of_them_wins() {
    two_devices_answer_at_once(Mode::General, false).await;
    two_devices_answer_at_once(Mode::Advanced, false).await;
}

#[tokio::test]
async fn handled_elsewhere_names_the_device_that_answered() {
    let world = World::new();
    let [mut alice] = world.devices(["alice"]).await;
    let (mut bob_1, mut bob_2) = world.two_devices("bob").await;
    let call = alice.rings(general(), &mut [&mut bob_1, &mut bob_2]).await;
    bob_1.reject(&call).await.unwrap();
    let event = bob_2.hears_of(&call, "callHandledElsewhere").await;
    let CallEvent::HandledElsewhere {
        state, device_id, ..
    } = event
    else {
        panic!("{event:?}");
    };
    assert_eq!(state, UserState::Rejected);
    assert_eq!(device_id, bob_1.id().await.as_str());
    assert_eq!(bob_2.engine.ringing().await.unwrap(), []);
}

#[tokio::test]
async fn a_quit_made_before_the_call_moved_is_refused_and_changes_nothing() {
    let mut world = World::new();
    let (mut phone, mut laptop, mut bob, call) = moving(&mut world).await;
    phone.engine.set_network(false).await.unwrap();
    let quit = phone.engine.call_quit(&call, data("")).await.unwrap();
    laptop.join(&call).await.unwrap();
    phone.engine.set_network(true).await.unwrap();
    let error = refused(quit.await, Code::WrongState, "superseded");
    assert_eq!(error.detail.device_id, Some(laptop.id().await));
    world
        .heard(&mut [(&mut phone, "moved"), (&mut laptop, ""), (&mut bob, "")])
        .await;
    assert_eq!(bob.state_of(&call, "alice"), UserState::Accepted);
}

#[tokio::test]
async fn an_end_made_before_the_call_moved_is_refused_and_the_call_goes_on() {
    let mut world = World::new();
    let (phone, laptop, mut bob, call) = moving(&mut world).await;
    phone.engine.set_network(false).await.unwrap();
    let end = phone.engine.call_end(&call, data("")).await.unwrap();
    laptop.join(&call).await.unwrap();
    phone.engine.set_network(true).await.unwrap();
    refused(end.await, Code::WrongState, "superseded");
    // Made under the present circumstances it works, from either device.
    phone.end(&call).await.unwrap();
    world.heard(&mut [(&mut bob, "ended by alice")]).await;
}

#[tokio::test]
async fn a_quit_made_before_the_user_left_and_came_back_is_refused() {
    let mut world = World::new();
    let (phone, laptop, mut bob, call) = moving(&mut world).await;
    phone.engine.set_network(false).await.unwrap();
    let quit = phone.engine.call_quit(&call, data("")).await.unwrap();
    laptop.quit(&call).await.unwrap();
    laptop.join(&call).await.unwrap();
    bob.sees(&call, "alice", UserState::Accepted).await;
    phone.engine.set_network(true).await.unwrap();
    refused(quit.await, Code::WrongState, "superseded");
    world
        .heard(&mut [(&mut bob, "alice quit, alice accepted")])
        .await;
}

#[tokio::test]
async fn a_user_who_comes_back_on_another_device_has_left_nothing_on_the_first() {
    let mut world = World::new();
    let (mut phone, mut laptop, mut bob, call) = moving(&mut world).await;
    phone.quit(&call).await.unwrap();
    bob.sees(&call, "alice", UserState::Quit).await;
    laptop.join(&call).await.unwrap();
    bob.quit(&call).await.unwrap();
    world
        .heard(&mut [
            (&mut phone, "alice quit"),
            (&mut laptop, "alice accepted, bob quit"),
            (&mut bob, "alice quit, alice accepted, bob quit"),
        ])
        .await;
}

#[tokio::test]
async fn a_missed_call_that_is_seen_on_one_device_is_seen_on_all() {
    let world = World::new();
    let [mut alice] = world.devices(["alice"]).await;
    let (mut bob_1, mut bob_2) = world.two_devices("bob").await;
    let mut calls = Vec::new();
    for _ in 0..3 {
        let mut ringing = [&mut bob_1, &mut bob_2];
        let call = alice.rings(general(), &mut ringing).await;
        alice.cancel(&[], &call).await.unwrap();
        calls.push(call);
    }
    for bob in [&mut bob_1, &mut bob_2] {
        bob.hears_of(&calls[2], "callInvitationCancelled").await;
        assert_eq!(bob.engine.status().await.unwrap().missed, 3);
    }
    let unseen = bob_1.engine.mark_seen(Some(vec![calls[0].clone()])).await;
    assert_eq!(unseen.unwrap(), 2);
    missed(&bob_2, 2).await;
    assert_eq!(bob_2.engine.mark_seen(None).await.unwrap(), 0);
    missed(&bob_1, 0).await;
    // The calls stay missed ones; they are only not counted any more.
    let is_seen = |call| {
        let [one, other] = [&bob_1, &bob_2].map(|bob| bob.entry(call));
        one.missed && one.seen && other.missed && other.seen
    };
    assert!(calls.iter().all(is_seen));
}

/// Waits until the device counts so many missed calls.
async fn missed(device: &Device, count: u64) {
    let mut counts = device.engine.watch_missed();
    let counted = tokio::time::timeout(SOON, async {
        while counts.next().await.expect("an engine").expect("read") != count {}
    });
    counted.await.expect("the count of missed calls");
    assert_eq!(device.engine.status().await.unwrap().missed, count);
}

#[tokio::test]
async fn one_device_too_many_kicks_the_one_that_was_connected_the_longest() {
    let mut world = World::with(&["devices_max=2"]);
    let [mut alice] = world.devices(["alice"]).await;
    let (mut first, mut second) = world.two_devices("bob").await;
    let mut third = world.device("bob", "bob-3").await;
    first
        .hears(|kind| {
            matches!(kind, EventKind::ConnectionStateChanged(change)
                if change.state == ConnectionState::Disconnected
                    && change.cause == ConnectionCause::KickedOut)
        })
        .await;
    let call = alice.rings(general(), &mut [&mut second, &mut third]).await;
    third.accept(&call).await.unwrap();
    world
        .heard(&mut [
            (
                &mut second,
                "rung by alice, bob accepted, elsewhere accepted",
            ),
            (&mut third, "rung by alice, bob accepted"),
        ])
        .await;
    let status = first.engine.status().await.unwrap();
    assert_eq!(status.connection, ConnectionState::Disconnected);
    assert!(
        !first.lost_the_connection(),
        "it does not come back by itself"
    );
    assert_eq!(first.heard_since(), []);
    // It does when the app asks for it, and then another one has to go.
    first.engine.resume().await.unwrap();
    first.connected().await;
    second.is(ConnectionState::Disconnected).await;
    first.lists(&call, |_| true).await;
    assert_eq!(first.state_of(&call, "bob"), UserState::Accepted);
}

#[tokio::test]
async fn ten_devices_of_a_user_all_ring_and_all_stop() {
    let mut world = World::new();
    let [mut alice] = world.devices(["alice"]).await;
    let mut bobs = Vec::new();
    for number in 0..10 {
        bobs.push(world.device("bob", &format!("bob-{number}")).await);
    }
    let mut ringing: Vec<&mut Device> = bobs.iter_mut().collect();
    let call = alice.rings(brief(Mode::General, 30), &mut ringing).await;
    bobs[4].accept(&call).await.unwrap();
    let mut stories = vec![(&mut alice, "created, bob accepted")];
    for (number, bob) in bobs.iter_mut().enumerate() {
        stories.push(match number {
            4 => (bob, "rung by alice, bob accepted"),
            _ => (bob, "rung by alice, bob accepted, elsewhere accepted"),
        });
    }
    world.heard(&mut stories).await;
}
