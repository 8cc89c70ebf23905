//! What a device may say that no device of ours says: nobody else is disturbed by it.

use super::*;
use crate::protocol::{SEEN_CALLS_MAX, Seen};

/// Numbers and times at the ends of what the wire can say.
const NUMBERS: [u64; 6] = [
    0,
    2,
    1 << 62,
    i64::MAX as u64,
    i64::MAX as u64 + 1,
    u64::MAX,
];
const TIMES: [Millis; 5] = [Millis::MIN, Millis::MIN + 1, -1, 1, Millis::MAX];

/// Bob is still here, and what he asks for is done.
fn is_undisturbed(world: &mut World, b: ConnId, bob: &mut Disk) {
    let verdict = world.command(b, bob, "nowhere", accept());
    assert_eq!(verdict.result.unwrap_err().code, Code::CallOver);
}

#[test]
fn numbers_of_a_hello_that_cannot_be_are_refused_and_cost_nobody_else_anything() {
    let (mut world, _, (b, mut bob)) = two();
    let mut count = 0;
    for first_unsettled in NUMBERS {
        for next_number in NUMBERS {
            for (epoch, seq) in [(0, 0), (0, u64::MAX), (99, u64::MAX), (u64::MAX, 0)] {
                count += 1;
                let mut disk = Disk::new("mallory", &format!("m{count}"));
                disk.first_unsettled = first_unsettled;
                disk.next_number = next_number;
                disk.cursor = Cursor { epoch, seq };
                let conn = world.open();
                // In one step with somebody else's.
                let hello = ToServer::Hello(Box::new(disk.hello()));
                let number = bob.next_number;
                let frame = bob.command("nowhere", accept());
                world.step(vec![
                    Input::Frame { conn, frame: hello },
                    Input::Frame { conn: b, frame },
                ]);
                world.settle();
                assert_eq!(world.verdict(b).number, number, "{disk:?}");
                bob.first_unsettled = bob.next_number;
                let settled = Settled {
                    number,
                    cursor: Cursor::default(),
                };
                world.frame(b, ToServer::Settled(settled));
                let welcomed = matches!(world.next(conn), Told::Frame(ToDevice::Welcome(_)));
                if welcomed {
                    world.take(conn);
                    world.pass_awake(1_000, &[b]);
                    let mut next = disk;
                    next.next_number = next.first_unsettled.max(1);
                    let verdict = world.command(conn, &mut next, "nowhere", accept());
                    assert!(verdict.result.is_err());
                }
                world.close(conn);
            }
        }
    }
}

#[test]
fn no_time_that_a_device_names_is_too_much() {
    let (mut world, (a, mut alice), (b, mut bob)) = two();
    for time in TIMES {
        let frame = alice.command("c1", invite(&["carl"], 60, Mode::General));
        let ToServer::Command(mut command) = frame else {
            panic!()
        };
        command.not_after = time;
        world.frame(a, ToServer::Command(command));
        let expired = world.verdict(a).result.is_err_and(|error| {
            assert_eq!(error.code, Code::Expired);
            true
        });
        assert_eq!(expired, time < START, "{time}");
        world.take(a);
        world.frame(a, ToServer::Ping(Ping { sent_at: time }));
        let Told::Frame(ToDevice::Pong(pong)) = world.next(a) else {
            panic!("no pong")
        };
        assert_eq!(pong.ping_sent_at, time);
    }
    is_undisturbed(&mut world, b, &mut bob);
}

#[test]
fn the_same_command_again_and_again_is_not_answered_without_end() {
    let (mut world, (a, mut alice), (b, mut bob)) = two();
    let frame = alice.command("c1", invite(&["carl"], 60, Mode::General));
    let mut answers = 0;
    for _ in 0..FRAMES_BURST + 10 {
        world.step(vec![Input::Frame {
            conn: a,
            frame: frame.clone(),
        }]);
        for told in world.take(a) {
            match told {
                Told::Frame(_) => answers += 1,
                Told::Closed(reason) => {
                    assert_eq!(reason, Some(ClosingReason::Violation));
                    assert!(answers > 1_000);
                    return is_undisturbed(&mut world, b, &mut bob);
                }
            }
        }
    }
    panic!("{answers} answers");
}

#[test]
fn looking_at_many_calls_costs_more_than_looking_at_one() {
    let (mut world, (a, _), (b, mut bob)) = two();
    let seen = |prefix: i64| {
        let calls = (0..SEEN_CALLS_MAX).map(|n| CallId::trusted(format!("{prefix}-{n}")));
        ToServer::Seen(Seen {
            calls: calls.collect(),
        })
    };
    for n in 0..FRAMES_BURST {
        world.step(vec![Input::Frame {
            conn: a,
            frame: seen(n),
        }]);
        if let Some(Told::Closed(reason)) = world.take(a).pop() {
            assert_eq!(reason, Some(ClosingReason::Violation));
            // Enough for whoever has missed tens of thousands of calls.
            assert!((200..1_000).contains(&n), "{n}");
            return is_undisturbed(&mut world, b, &mut bob);
        }
    }
    panic!("all were looked at");
}

#[test]
fn what_a_hello_names_of_others_is_not_shown() {
    let (mut world, (a, mut alice), (_, _)) = two();
    world.ring((a, &mut alice), "c1", "bob", Mode::Advanced);
    let mut mallory = Disk::new("mallory", "m1");
    mallory.open_calls = vec![CallId::trusted("c1"), CallId::trusted("c2")];
    let m = world.hello(&mallory);
    world.welcome(m);
    assert!(world.feed(m).calls.is_empty());
    assert!(world.feed(m).calls.is_empty());
    let receipt = Receipt {
        call: CallId::trusted("c1"),
        invitation: 1,
    };
    world.frame(m, ToServer::Receipt(receipt));
    let seen = Seen {
        calls: vec![CallId::trusted("c1")],
    };
    world.frame(m, ToServer::Seen(seen));
    for command in [accept(), cancel(), quit()] {
        let verdict = world.command(m, &mut mallory, "c1", command);
        assert_eq!(verdict.result.unwrap_err().code, Code::NotMember);
        assert!(verdict.call.is_none());
    }
    assert_eq!(world.state_of("c1", "bob"), UserState::Inviting);
}

#[test]
fn settling_what_was_never_decided_ends_the_connection_and_nothing_else() {
    for number in NUMBERS.into_iter().filter(|number| *number > 0) {
        let (mut world, (a, _), (b, mut bob)) = two();
        let settled = Settled {
            number,
            cursor: Cursor {
                epoch: number,
                seq: number,
            },
        };
        world.frame(a, ToServer::Settled(settled));
        assert_eq!(world.closed(a), Some(ClosingReason::Violation));
        is_undisturbed(&mut world, b, &mut bob);
    }
}

#[test]
fn numbers_of_commands_that_leave_gaps_end_the_connection_and_nothing_else() {
    for number in NUMBERS.into_iter().filter(|number| *number != 1) {
        let (mut world, (a, mut alice), (b, mut bob)) = two();
        let ToServer::Command(mut frame) = alice.command("c1", accept()) else {
            panic!()
        };
        frame.number = number;
        world.frame(a, ToServer::Command(frame));
        assert!(
            world
                .take(a)
                .iter()
                .any(|told| matches!(told, Told::Closed(_))),
            "{number}"
        );
        is_undisturbed(&mut world, b, &mut bob);
    }
}

#[test]
fn a_stored_clock_that_cannot_be_is_an_error_and_no_overflow() {
    for clock in [Millis::MAX, Millis::MAX - 1, Millis::MAX / 2] {
        let world = World::new();
        let folder = world.folder.path().to_owned();
        let mut store = SqliteStore::open(&folder).err();
        assert!(store.take().is_some(), "it is in use");
        let (settings, auth) = (world.settings.clone(), world.auth.clone());
        let kept = world.folder;
        drop(world.core);
        let mut store = SqliteStore::open(&folder).unwrap();
        let mut transaction = store.begin().unwrap();
        transaction.set_clock(clock).unwrap();
        transaction.commit().unwrap();
        let time = Time {
            wall_ms: START,
            mono_ms: 0,
        };
        let mut count = 0;
        let entropy = Box::new(move || {
            count += 1_000;
            count
        });
        let Err(error) = Core::new(Box::new(store), settings, auth, time, entropy) else {
            panic!("it started")
        };
        assert!(matches!(error, StoreError::Corrupt(_)), "{error:?}");
        drop(kept);
    }
}
