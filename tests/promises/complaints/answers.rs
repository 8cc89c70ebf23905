//! Answers on bad networks.

use offhook::{Code, Mode, UserState};

use crate::commands::{accept, end, invite, join, quit, reject};
use crate::world::World;

/// The order of frames that no honest server sends: the record that an answer changed comes before
/// the verdict of that answer.
#[test]
fn own_accept_seen_as_answered_elsewhere_because_the_event_overtook_the_reply() {
    // So is an own decline.
    for answer in [accept(), join(), reject()] {
        let mut world = World::new();
        world.devices(&["alice", "bob", "carol"]);
        world.rings("alice1", "c1", &["bob", "carol"], Mode::Advanced);
        world.phone_mut("bob1").down_held = true;
        world.does("bob1", "o1", "c1", answer);
        // Something that others did brings the record once more, with the own accept in it.
        world.does("carol1", "o2", "c1", reject());
        let frames = &mut world.phone_mut("bob1").down;
        assert!(frames.len() > 1, "the verdict, and behind it the record");
        frames.rotate_left(1);
        world.phone_mut("bob1").down_held = false;
        world.settle();
        let heard = world.heard("bob1");
        assert!(
            !heard.iter().any(|one| one.starts_with("elsewhere")),
            "{heard:?}"
        );
        assert!(heard.contains(&"verdict o1 ok".to_owned()), "{heard:?}");
        assert!(!world.entry("bob1", "c1").unwrap().missed);
        assert_eq!(world.ringing("bob1"), []);
    }
}

#[test]
fn own_accept_seen_as_answered_elsewhere_when_the_reply_was_lost_with_the_connection() {
    let mut world = World::new();
    world.devices(&["alice", "bob"]);
    world.rings("alice1", "c1", &["bob", "carol"], Mode::Advanced);
    world.phone_mut("bob1").down_held = true;
    world.does("bob1", "o1", "c1", accept());
    world.cut("bob1");
    world.phone_mut("bob1").down_held = false;
    world.back("bob1");
    world.pass(1_000);
    assert_eq!(
        world.heard("bob1"),
        ["verdict o1 ok", "changed c1 bob=accepted"]
    );
}

#[test]
fn accept_acknowledgement_lost_the_queued_decline_then_kills_the_live_call() {
    let mut world = World::new();
    world.devices(&["alice", "bob"]);
    world.rings("alice1", "c1", &["bob", "carol"], Mode::Advanced);
    world.phone_mut("bob1").down_held = true;
    world.does("bob1", "o1", "c1", accept());
    world.cut("bob1");
    // The user sees nothing happen, declines, kills the app, declines again.
    for _ in 0..2 {
        let error = world.give("bob1", "o2", "c1", reject()).unwrap_err();
        assert_eq!(
            (error.code, &*error.reason),
            (Code::WrongState, "answerPending")
        );
        world.crash("bob1");
        world.open("bob1");
    }
    let bob = world.phone_mut("bob1");
    (bob.network, bob.down_held) = (true, false);
    world.start_again("bob1");
    world.pass(1_000);
    assert_eq!(
        world.heard("bob1"),
        ["verdict o1 ok", "changed c1 bob=accepted"]
    );
    assert_eq!(world.state("alice1", "c1", "bob"), UserState::Accepted);
    assert!(!world.is_over("alice1", "c1"));
}

#[test]
fn accept_lost_during_a_reconnect() {
    // Given after so many words of the new connection; then that connection breaks, too.
    for words in 0..7 {
        for breaks in [false, true] {
            let mut world = World::new();
            world.devices(&["alice", "bob"]);
            world.rings("alice1", "c1", &["bob", "carol"], Mode::Advanced);
            world.cut("bob1");
            world.phone_mut("bob1").down_held = true;
            world.back("bob1");
            for _ in 0..words {
                world.carry_one_down("bob1");
                world.settle();
            }
            world.give("bob1", "o1", "c1", accept()).unwrap();
            if breaks {
                world.cut("bob1");
                world.back("bob1");
            }
            world.phone_mut("bob1").down_held = false;
            world.pass(30_000);
            let heard = world.heard("bob1");
            let verdicts = heard.iter().filter(|one| *one == "verdict o1 ok").count();
            assert_eq!(verdicts, 1, "{words} {breaks}: {heard:?}");
            assert_eq!(world.state("alice1", "c1", "bob"), UserState::Accepted);
            assert!(!world.is_over("alice1", "c1"));
        }
    }
}

#[test]
fn an_old_devices_queued_hang_up_ends_the_call_on_the_new_one() {
    for hang_up in [quit(), end()] {
        for left_and_rejoined in [false, true] {
            let mut world = World::new();
            world.devices(&["alice", "bob"]);
            world.device("bob", "bob2");
            world.does("alice1", "make", "c1", invite(&["bob"], Mode::Advanced));
            world.does("bob1", "a", "c1", accept());
            world.offline("bob1");
            world.forget_all();
            world.give("bob1", "o1", "c1", hang_up.clone()).unwrap();
            world.does("bob2", "j", "c1", join());
            if left_and_rejoined {
                world.does("bob2", "q", "c1", quit());
                world.does("bob2", "j2", "c1", join());
            }
            world.forget_all();
            world.online("bob1");
            world.pass(1_000);
            let heard = world.heard("bob1");
            let superseded = "verdict o1 WrongState superseded".to_owned();
            assert!(heard.contains(&superseded), "{heard:?}");
            for name in ["alice1", "bob2"] {
                assert_eq!(world.state(name, "c1", "bob"), UserState::Accepted);
                assert!(!world.is_over(name, "c1"));
                assert_eq!(world.heard(name), [""; 0], "nobody else hears of it");
            }
            // The new one can.
            world.does("bob2", "o2", "c1", quit());
            assert_eq!(world.state("alice1", "c1", "bob"), UserState::Quit);
        }
    }
}
