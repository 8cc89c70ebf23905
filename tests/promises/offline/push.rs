//! Point 10: the same invitation by push and by connection rings once.

use offhook::Mode;
use offhook::server::push::PushKind;

use crate::commands::{accept, cancel, end, id, invite, invite_with_push, more};
use crate::world::{DAY, HOUR, MINUTE, World};

/// Alice's call has been pushed to bob, who has no connection.
fn pushed() -> (World, String) {
    let mut world = World::new();
    world.devices(&["alice", "bob"]);
    world.cut("bob1");
    world.does("alice1", "o1", "c1", invite_with_push(&["bob"]));
    world.forget_all();
    let payload = taken(&mut world, PushKind::Invite);
    (world, payload)
}

/// The payload of the only push that was sent.
fn taken(world: &mut World, kind: PushKind) -> String {
    let pushes = std::mem::take(&mut world.pushes);
    let [push] = &pushes[..] else {
        panic!("{pushes:?}");
    };
    assert_eq!((push.kind, push.user.as_str()), (kind, "bob"));
    push.payload().to_string()
}

fn push(world: &mut World, payload: &str) -> bool {
    let taken = world.act("bob1", |core, now| core.handle_push(now, payload));
    taken.unwrap().ring
}

/// What can bring the invitation to the device, or bring it there again.
#[derive(Clone, Copy, Debug)]
enum Way {
    Push,
    Connection,
    Reconnection,
    AppRestart,
}

#[test]
fn point_10_by_push_and_by_connection_in_every_order_and_twice_it_rings_once() {
    use Way::{AppRestart, Connection, Push, Reconnection};
    let mut orders = Vec::new();
    let ways = [Push, Connection, Reconnection, AppRestart];
    for first in ways {
        for second in ways {
            for third in ways {
                orders.push([first, second, third, Push, Connection]);
            }
        }
    }
    for order in orders {
        let (mut world, payload) = pushed();
        let mut rung = 0;
        for way in order {
            match way {
                Push => rung += usize::from(push(&mut world, &payload)),
                Connection => world.back("bob1"),
                Reconnection => {
                    world.cut("bob1");
                    world.back("bob1");
                }
                AppRestart => {
                    world.crash("bob1");
                    world.start("bob1");
                }
            }
            world.pass(500);
        }
        assert_eq!(world.heard("bob1"), ["received c1"], "{order:?}");
        assert!(rung <= 1, "the push says that it rings: {order:?}");
        assert_eq!(world.ringing("bob1"), [id("c1")]);
        world.does("alice1", "o2", "c1", cancel(&[]));
        world.pass(500);
        assert_eq!(world.heard("bob1"), ["cancelled c1"], "{order:?}");
    }
}

#[test]
fn point_10_a_push_that_comes_late_does_not_ring() {
    // After its deadline, with the clock right or wrong; after it was answered; after its cancel.
    for skew in [0, DAY] {
        let (mut world, payload) = pushed();
        world.phone_mut("bob1").skew = skew;
        world.pass(2 * HOUR);
        assert!(!push(&mut world, &payload));
        assert_eq!(world.heard("bob1"), [""; 0]);
    }
    let (mut world, payload) = pushed();
    world.back("bob1");
    world.does("bob1", "a", "c1", accept());
    world.forget_all();
    assert!(!push(&mut world, &payload));
    let (mut world, payload) = pushed();
    world.back("bob1");
    world.does("alice1", "o2", "c1", cancel(&[]));
    world.forget_all();
    assert!(!push(&mut world, &payload));
    assert_eq!(world.heard("bob1"), [""; 0]);
}

#[test]
fn point_10_a_cancel_by_push_that_overtakes_the_invitation_keeps_it_from_ringing() {
    let (mut world, payload) = pushed();
    world.does("alice1", "o2", "c1", cancel(&[]));
    let stop = taken(&mut world, PushKind::Cancel);
    assert!(!push(&mut world, &stop));
    assert!(!push(&mut world, &payload));
    world.back("bob1");
    world.pass(MINUTE);
    assert_eq!(world.heard("bob1"), [""; 0]);
    assert_eq!(world.missed("bob1"), 1);
}

#[test]
fn point_10_a_push_that_stops_the_ring_closes_it_once() {
    let (mut world, payload) = pushed();
    assert!(push(&mut world, &payload));
    world.does("alice1", "o2", "c1", cancel(&[]));
    let stop = taken(&mut world, PushKind::Cancel);
    push(&mut world, &stop);
    push(&mut world, &stop);
    assert_eq!(world.heard("bob1"), ["received c1", "cancelled c1"]);
    world.back("bob1");
    world.pass(MINUTE * 2);
    assert_eq!(world.heard("bob1"), [""; 0]);
    assert_eq!(world.missed("bob1"), 1);
}

#[test]
fn point_10_a_second_asking_rings_again_and_the_push_of_the_first_does_not() {
    let mut world = World::new();
    world.devices(&["alice", "bob", "carol"]);
    world.cut("bob1");
    let mut command = invite(&["bob", "carol"], Mode::Advanced);
    if let offhook::Command::Invite { push, .. } = &mut command {
        *push = Some(offhook::PushConfig::default());
    }
    world.does("alice1", "o1", "c1", command);
    world.does("carol1", "a", "c1", accept());
    let first = taken(&mut world, PushKind::Invite);
    assert!(push(&mut world, &first));
    world.pass(90_000);
    assert_eq!(world.heard("bob1"), ["received c1", "timeout c1 local"]);
    let mut command = more(&["bob"]);
    if let offhook::Command::CallingInvite { push, .. } = &mut command {
        *push = Some(offhook::PushConfig::default());
    }
    world.does("alice1", "o2", "c1", command);
    let second = taken(&mut world, PushKind::Invite);
    assert!(!push(&mut world, &first));
    assert!(push(&mut world, &second));
    world.back("bob1");
    assert!(!push(&mut world, &first));
    assert_eq!(world.heard("bob1"), ["received c1"]);
    world.does("alice1", "o3", "c1", end());
    assert_eq!(world.heard("bob1"), ["ended c1 alice"]);
}
