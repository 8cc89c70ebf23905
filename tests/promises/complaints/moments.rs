//! Two things in the same moment. Frames are handed to the server together and in both orders, which
//! no network can be made to do.

use offhook::{Code, Mode, UserState};

use crate::commands::{accept, cancel, end, id, invite, join, quit, reject};
use crate::support::{self, general};
use crate::world::World;

#[test]
fn both_call_each_other_at_once_and_nobody_connects() {
    for order in [["alice1", "bob1"], ["bob1", "alice1"]] {
        let mut world = World::new();
        world.devices(&["alice", "bob"]);
        world
            .give(
                "alice1",
                "o1",
                "from-alice",
                invite(&["bob"], Mode::General),
            )
            .unwrap();
        world
            .give("bob1", "o1", "from-bob", invite(&["alice"], Mode::General))
            .unwrap();
        world.arrive_together(&order);
        let [first, second] = order;
        let call = if first == "alice1" {
            "from-alice"
        } else {
            "from-bob"
        };
        assert!(world.heard(first).contains(&"verdict o1 ok".to_owned()));
        let heard = world.heard(second);
        assert!(
            heard.contains(&"verdict o1 WrongState glare".to_owned()),
            "{heard:?}"
        );
        // The refusal names the call that is there, so that it can be accepted.
        let refusal = world.last_refusal(second);
        assert_eq!(refusal.detail.call_id, Some(id(call)));
        world.does(second, "o2", call, accept());
        for name in order {
            for user in ["alice", "bob"] {
                assert_eq!(world.state(name, call, user), UserState::Accepted);
            }
            assert_eq!(world.ringing(name), []);
            assert_eq!(world.page(name).calls.len(), 1);
        }
    }
}

#[tokio::test]
async fn both_call_each_other_at_once_over_a_real_network_and_one_call_comes_of_it() {
    let world = support::World::new();
    let [mut alice, mut bob] = world.devices(["alice", "bob"]).await;
    let (of_alice, of_bob) = tokio::join!(
        alice.invite(&["bob"], general()),
        bob.invite(&["alice"], general())
    );
    let (loser, winner, error, call) = match (of_alice, of_bob) {
        (Ok(invited), Err(error)) => (&mut bob, &mut alice, error, invited.call_id),
        (Err(error), Ok(invited)) => (&mut alice, &mut bob, error, invited.call_id),
        other => panic!("{other:?}"),
    };
    assert_eq!((error.code, &*error.reason), (Code::WrongState, "glare"));
    assert_eq!(error.detail.call_id, Some(call.clone()));
    loser.accept(&call).await.unwrap();
    let user = loser.user.clone();
    winner.sees(&call, &user, UserState::Accepted).await;
    assert_eq!(loser.engine.ringing().await.unwrap(), []);
}

#[test]
fn two_devices_accept_at_the_same_instant() {
    let answers = [
        (accept(), accept()),
        (accept(), reject()),
        (join(), accept()),
    ];
    for (first, second) in answers {
        let mut world = World::new();
        world.devices(&["alice"]);
        world.device("bob", "bob1");
        world.device("bob", "bob2");
        world.rings("alice1", "c1", &["bob", "carol"], Mode::Advanced);
        world.give("bob1", "o1", "c1", first).unwrap();
        world.give("bob2", "o2", "c1", second).unwrap();
        world.arrive_together(&["bob1", "bob2"]);
        assert_eq!(
            world.heard("bob1"),
            ["verdict o1 ok", "changed c1 bob=accepted"]
        );
        // The other one is told who won, and stops to ring, once.
        let heard = world.heard("bob2");
        assert_eq!(heard[0], "verdict o2 WrongState answered");
        let closings = heard
            .iter()
            .filter(|one| *one == "elsewhere c1 accepted bob1");
        assert_eq!(closings.count(), 1, "{heard:?}");
        let refusal = world.last_refusal("bob2");
        assert_eq!(refusal.detail.state, Some(UserState::Accepted));
        assert_eq!(refusal.detail.device_id.unwrap().to_string(), "bob1");
        assert_eq!(world.ringing("bob2"), []);
        assert_eq!(world.heard("alice1"), ["changed c1 bob=accepted"]);
    }
}

#[tokio::test]
async fn call_again_right_after_cancelling_cannot_be_accepted() {
    let world = support::World::new();
    let [alice, mut bob] = world.devices(["alice", "bob"]).await;
    for _ in 0..5 {
        // All in one go, with no verdict waited for.
        let first = alice.engine.call_invite(&["bob"], general()).await.unwrap();
        let gone = first.call_id().clone();
        let cancel = alice
            .engine
            .call_cancel(&[], &gone, support::data(""))
            .await
            .unwrap();
        let second = alice.engine.call_invite(&["bob"], general()).await.unwrap();
        let call = second.call_id().clone();
        cancel.await.unwrap();
        second.await.unwrap();
        bob.is_rung(&call).await;
        bob.accept(&call).await.unwrap();
        assert_eq!(bob.state_of(&call, "bob"), UserState::Accepted);
        let ringing = bob.engine.ringing().await.unwrap();
        assert_eq!(ringing, [], "neither rings any more");
    }
}

#[test]
fn call_again_right_after_cancelling_within_the_same_call_can_be_accepted() {
    let mut world = World::new();
    world.devices(&["alice", "bob", "carol"]);
    world.rings("alice1", "c1", &["bob", "carol"], Mode::Advanced);
    world.does("carol1", "a", "c1", accept());
    world.offline("bob1");
    world.forget_all();
    world.does("alice1", "o1", "c1", cancel(&["bob"]));
    world.does("alice1", "o2", "c1", crate::commands::more(&["bob"]));
    world.online("bob1");
    world.pass(1_000);
    assert_eq!(world.heard("bob1"), ["cancelled c1", "received c1"]);
    world.does("bob1", "o3", "c1", accept());
    assert_eq!(world.heard("bob1")[0], "verdict o3 ok");
    assert_eq!(world.state("alice1", "c1", "bob"), UserState::Accepted);
}

#[test]
fn hang_up_at_the_instant_of_the_answer_leaves_the_other_side_alone() {
    // Whichever comes first, both know the same in the end, and whoever is left is told so.
    for mode in [Mode::General, Mode::Advanced] {
        for hang_up in [cancel(&[]), quit(), end()] {
            if mode == Mode::General && hang_up.kind().needs_advanced() {
                continue;
            }
            for order in [["alice1", "bob1"], ["bob1", "alice1"]] {
                let kind = hang_up.kind();
                let mut world = World::new();
                world.devices(&["alice", "bob"]);
                world.rings("alice1", "c1", &["bob"], mode);
                world.give("alice1", "o1", "c1", hang_up.clone()).unwrap();
                world.give("bob1", "o2", "c1", accept()).unwrap();
                world.arrive_together(&order);
                let at = format!("{mode} {kind:?} {order:?}");
                let (alice, bob) = (world.heard("alice1"), world.heard("bob1"));
                let records = ["alice1", "bob1"].map(|name| world.entry(name, "c1").unwrap().call);
                let states = |index: usize| {
                    let members = &records[index].members;
                    (records[index].state, members[0].state, members[1].state)
                };
                assert_eq!(states(0), states(1), "{at}");
                let hung_up_first = order[0] == "alice1";
                let accepted = records[0].members[1].state == UserState::Accepted;
                assert_eq!(accepted, !hung_up_first, "{at}");
                if hung_up_first {
                    assert!(bob[0].starts_with("verdict o2 CallOver"), "{at}: {bob:?}");
                    assert!(bob.len() == 2, "and its ring is closed: {at}: {bob:?}");
                    assert_eq!(world.ringing("bob1"), [], "{at}");
                } else if kind == offhook::CommandKind::Cancel {
                    let refused = [
                        "verdict o1 CancelAnswered answered",
                        "changed c1 bob=accepted",
                    ];
                    assert_eq!(alice, refused, "{at}");
                } else {
                    let told = ["changed c1 alice=quit", "ended c1 alice"];
                    let last = bob.last().unwrap().as_str();
                    assert!(told.contains(&last), "{at}: {bob:?}");
                }
            }
        }
    }
}
