//! Points 4 and 5: coming back in two steps, and what is heard of them.

use offhook::server::core::FEED_CALLS_MAX;
use offhook::{Mode, UserState};

use crate::commands::{accept, cancel, end, id, invite, join, more, quit, reject};
use crate::support::{self, general};
use crate::world::World;

/// Bob is in c1, has a verdict owed, is rung by c2, and c3 was missed.
fn bob_has_been_away() -> World {
    let mut world = World::new();
    world.devices(&["alice", "bob", "carol", "dora"]);
    world.rings("alice1", "c1", &["bob"], Mode::Advanced);
    world.does("bob1", "a", "c1", accept());
    world.phone_mut("bob1").down_held = true;
    world.does("bob1", "o1", "c1", more(&["carol"]));
    world.cut("bob1");
    world.does("dora1", "j", "c1", join());
    world.does("carol1", "c", "c1", reject());
    world.does("carol1", "make c2", "c2", invite(&["bob"], Mode::General));
    world.does("dora1", "q", "c1", quit());
    world.does("dora1", "make c3", "c3", invite(&["bob"], Mode::General));
    world.does("dora1", "cancel c3", "c3", cancel(&[]));
    while world.carry_one_down("bob1") {}
    world.forget_all();
    world
}

#[test]
fn point_4_verdicts_and_all_that_is_open_are_on_disk_before_any_of_it_is_heard() {
    let mut world = bob_has_been_away();
    world.back("bob1");
    // Up, welcome, verdict.
    for _ in 0..3 {
        assert!(world.carry_one_down("bob1"));
        world.pass(0);
    }
    assert_eq!(world.heard("bob1"), [""; 0]);
    assert!(world.journal("bob1").contains(&"verdict o1 ok".to_owned()));
    // The app dies here, and has it all the same.
    world.crash("bob1");
    world.open("bob1");
    assert!(world.journal("bob1").contains(&"verdict o1 ok".to_owned()));
    assert_eq!(world.pending("bob1"), []);
}

#[test]
fn point_4_first_verdicts_then_what_is_open_then_history_silently() {
    let mut world = bob_has_been_away();
    world.back("bob1");
    let mut heard = Vec::new();
    while world.carry_one_down("bob1") {
        heard.push((world.heard("bob1"), world.missed("bob1")));
        world.pass(0);
    }
    let speaking: Vec<_> = heard
        .iter()
        .filter(|(words, _)| !words.is_empty())
        .collect();
    let [(words, missed)] = speaking[..] else {
        panic!("{heard:?}");
    };
    assert_eq!(
        words[..],
        [
            "verdict o1 ok",
            "changed c1 carol=rejected,dora=quit",
            "received c2",
        ]
    );
    assert_eq!(*missed, 0, "history had not come");
    assert_eq!(world.missed("bob1"), 1, "and then it had, without a word");
    assert_eq!(heard.last().unwrap().0, [""; 0]);
}

#[test]
fn point_4_what_rings_now_rings_first_whatever_the_backlog() {
    let mut first = Vec::new();
    for backlog in [0, 2 * FEED_CALLS_MAX + 1] {
        let mut world = World::new();
        world.devices(&["alice", "carol", "bob"]);
        world.cut("bob1");
        for n in 0..backlog {
            let call = format!("old-{n}");
            world.does(
                "alice1",
                &format!("i{n}"),
                &call,
                invite(&["bob"], Mode::General),
            );
            world.does("alice1", &format!("c{n}"), &call, cancel(&[]));
            world.pass(50);
        }
        world.does("carol1", "now", "now", invite(&["bob"], Mode::General));
        world.phone_mut("bob1").down_held = true;
        while world.carry_one_down("bob1") {}
        world.back("bob1");
        let mut frames = 0;
        while world.heard("bob1") != ["received now"] {
            assert!(world.carry_one_down("bob1"), "it never rings");
            world.pass(0);
            frames += 1;
        }
        first.push(frames);
        assert_eq!(world.ringing("bob1"), [id("now")]);
        assert_eq!(world.missed("bob1"), 0, "the backlog comes after it");
        world.phone_mut("bob1").down_held = false;
        world.pass(1_000);
        assert_eq!(world.missed("bob1"), u64::try_from(backlog).unwrap());
        assert_eq!(world.heard("bob1"), [""; 0]);
    }
    assert_eq!(first[0], first[1]);
}

#[test]
fn point_5_for_each_invitation_that_still_rings_one_received() {
    let mut world = World::new();
    world.devices(&["alice", "bob", "carol", "dora"]);
    world.cut("bob1");
    world.does("alice1", "o1", "c1", invite(&["bob"], Mode::General));
    // This one was taken back and given again, and others have come and gone meanwhile.
    world.does(
        "carol1",
        "o1",
        "c2",
        invite(&["bob", "dora"], Mode::Advanced),
    );
    world.does("dora1", "o1", "c2", accept());
    world.does("carol1", "o2", "c2", cancel(&["bob"]));
    world.does("dora1", "o2", "c2", more(&["bob"]));
    world.does("dora1", "o3", "c2", quit());
    world.back("bob1");
    world.pass(1_000);
    let mut heard = world.heard("bob1");
    heard.sort();
    assert_eq!(heard, ["received c1", "received c2"]);
    world.cut("bob1");
    world.back("bob1");
    assert_eq!(world.heard("bob1"), [""; 0], "not on the next return");
}

/// What bob's device hears that goes away, when `meanwhile` has been done, and comes back.
fn net_effect(world: &mut World, name: &str, meanwhile: impl FnOnce(&mut World)) -> Vec<String> {
    world.cut(name);
    world.forget_all();
    meanwhile(world);
    world.back(name);
    world.pass(1_000);
    world.heard(name)
}

#[test]
fn point_5_for_a_call_that_was_dialling_here_one_change_and_then_its_closing() {
    let mut world = World::new();
    world.devices(&["alice", "bob", "carol"]);
    world.device("alice", "alice2");
    world.rings("alice1", "c1", &["bob", "carol"], Mode::Advanced);
    let heard = net_effect(&mut world, "alice1", |world| {
        world.does("bob1", "o1", "c1", reject());
        world.does("carol1", "o1", "c1", accept());
        world.does("carol1", "o2", "c1", quit());
    });
    assert_eq!(heard, ["changed c1 bob=rejected,carol=quit"]);
    world.does("alice1", "o2", "c1", quit());
    world.rings("alice1", "c2", &["bob"], Mode::General);
    let heard = net_effect(&mut world, "alice1", |world| {
        world.does("alice2", "o1", "c2", cancel(&[]));
    });
    assert_eq!(heard, ["cancelled c2"], "to nobody is it open any more");
}

#[test]
fn point_5_for_a_call_that_was_ringing_here_its_closing() {
    let endings = [
        ("alice1", cancel(&["bob"]), "cancelled c1"),
        ("alice1", end(), "ended c1 alice"),
        ("bob2", reject(), "elsewhere c1 rejected bob2"),
    ];
    for (who, command, closing) in endings {
        let mut world = World::new();
        world.devices(&["alice", "bob", "carol"]);
        world.device("bob", "bob2");
        world.rings("alice1", "c1", &["bob", "carol"], Mode::Advanced);
        let heard = net_effect(&mut world, "bob1", |world| {
            world.does("carol1", "o1", "c1", accept());
            world.does(who, "o2", "c1", command);
        });
        assert_eq!(heard.last().unwrap(), closing);
        assert!(heard.len() <= 2, "one change at most before it: {heard:?}");
        assert_eq!(world.ringing("bob1"), []);
    }
}

#[test]
fn point_5_for_a_call_that_this_device_was_in_one_change_and_then_its_closing() {
    let mut world = World::new();
    world.devices(&["alice", "bob", "carol", "dora"]);
    world.rings("alice1", "c1", &["bob", "carol"], Mode::Advanced);
    world.does("bob1", "a", "c1", accept());
    let heard = net_effect(&mut world, "bob1", |world| {
        world.does("carol1", "o1", "c1", reject());
        world.does("dora1", "o1", "c1", join());
        world.does("dora1", "o2", "c1", quit());
        world.does("alice1", "o2", "c1", end());
    });
    assert_eq!(
        heard,
        ["changed c1 carol=rejected,dora=quit", "ended c1 alice"]
    );
}

#[test]
fn point_5_of_a_call_that_it_never_showed_and_that_is_over_nothing_is_heard() {
    let mut world = World::new();
    world.devices(&["alice", "bob", "carol"]);
    world.device("bob", "bob2");
    let heard = net_effect(&mut world, "bob1", |world| {
        world.does("alice1", "o1", "missed", invite(&["bob"], Mode::General));
        world.does("alice1", "o2", "missed", cancel(&[]));
        world.does("alice1", "o3", "handled", invite(&["bob"], Mode::General));
        world.does("bob2", "o1", "handled", accept());
        world.does("carol1", "o1", "own", cancel(&[]));
        world.does("bob2", "o2", "own", invite(&["carol"], Mode::General));
        world.does("bob2", "o3", "own", cancel(&[]));
    });
    assert_eq!(heard, [""; 0]);
    let missed = |call| world.entry("bob1", call).unwrap().missed;
    assert_eq!(
        ["missed", "handled", "own"].map(missed),
        [true, false, false]
    );
    assert_eq!(world.state("bob1", "handled", "bob"), UserState::Accepted);
}

#[tokio::test]
async fn point_5_five_calls_missed_while_away_are_five_missed_and_no_ring() {
    let world = support::World::new();
    let [alice, mut bob, mut carol] = world.devices(["alice", "bob", "carol"]).await;
    let config = bob.closed().await;
    for _ in 0..5 {
        let call = alice.invite(&["bob"], general()).await.unwrap().call_id;
        alice.cancel(&[], &call).await.unwrap();
    }
    bob = support::Device::open(config);
    // One that does ring comes after all that is told of those.
    let sixth = carol.rings(general(), &mut [&mut bob]).await;
    let rung = bob.heard_since();
    assert!(
        rung.iter().all(|event| event.call_id() == &sixth),
        "{rung:#?}"
    );
    let page = bob.engine.query_call_invitation_list(10, 0).unwrap();
    assert_eq!(page.calls.iter().filter(|entry| entry.missed).count(), 5);
    assert_eq!(bob.engine.status().await.unwrap().missed, 5);
}
