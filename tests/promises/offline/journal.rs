//! Point 7: no event is lost to a crash of the app.

use offhook::{CallEvent, EventKind, Mode};

use crate::commands::{accept, cancel, end, invite, more, quit};
use crate::words;
use crate::world::{MINUTE, World};

/// What an app knows that reads events, and acknowledges what it has done with them.
#[derive(Default)]
struct App {
    taken: Vec<(u64, String)>,
}

impl App {
    /// Takes what the engine tells; dies perhaps before it acknowledges the last.
    fn listen(&mut self, world: &mut World, dies: bool) {
        let events = std::mem::take(&mut world.phone_mut("bob1").events);
        let told = events
            .iter()
            .filter_map(|event| Some((event.position?, event)));
        for (position, event) in told {
            self.take(position, &event.kind);
        }
        if !dies && let Some((position, _)) = self.taken.last() {
            let position = *position;
            let done = world.act("bob1", |core, now| core.acknowledge(now, "app", position));
            done.unwrap();
        }
    }

    /// In its next run: what came after the last that it acknowledged.
    fn read_on(&mut self, world: &World) {
        let acknowledged = world.acknowledged("bob1");
        self.taken.retain(|(position, _)| *position <= acknowledged);
        for event in world.journal_after("bob1", acknowledged) {
            self.take(event.position.unwrap(), &event.kind);
        }
    }

    fn take(&mut self, position: u64, kind: &EventKind) {
        if let EventKind::Call(CallEvent::Received { call_id, .. }) = kind {
            self.taken.push((position, format!("received {call_id}")));
        } else {
            let words = words::of_event(kind).unwrap_or_default();
            self.taken.push((position, words));
        }
    }

    /// How often it was told that.
    fn count(&self, words: &str) -> usize {
        self.taken.iter().filter(|(_, one)| one == words).count()
    }
}

/// The story goes on by one step; each waits for what it needs.
const STEPS: usize = 8;

fn step(world: &mut World, number: usize) {
    match number {
        0 => world.does("alice1", "1", "c1", invite(&["bob"], Mode::Advanced)),
        1 => world.does("bob1", "2", "c1", accept()),
        2 => world.does("alice1", "3", "c1", more(&["carol"])),
        3 => world.does("carol1", "4", "c2", invite(&["bob"], Mode::General)),
        4 => world.does("carol1", "5", "c1", accept()),
        5 => world.does("carol1", "6", "c2", cancel(&[])),
        6 => world.does("carol1", "7", "c1", quit()),
        _ => world.does("alice1", "8", "c1", end()),
    }
}

/// Lets bob's device hear what there is, and dies with it after so many frames: between the commit
/// and the first thing that was to come of it.
fn dies_while_hearing(world: &mut World, frames: usize) -> bool {
    for _ in 0..frames {
        if !world.carry_one_down("bob1") {
            return false;
        }
    }
    let Some(item) = world.phone_mut("bob1").down.pop_front() else {
        return false;
    };
    let event = item.into_event();
    world
        .act_and_die("bob1", |core, now| core.handle_link(now, event))
        .unwrap();
    true
}

#[test]
fn point_7_an_app_that_crashes_at_any_point_reads_on_and_has_every_event() {
    let mut crashes = 0;
    for at in 0..STEPS {
        for frames in 0..4 {
            let mut world = World::new();
            world.devices(&["alice", "bob", "carol"]);
            let mut app = App::default();
            for number in 0..STEPS {
                if number == at {
                    world.phone_mut("bob1").down_held = true;
                    step(&mut world, number);
                    crashes += usize::from(dies_while_hearing(&mut world, frames));
                    app.listen(&mut world, true);
                    world.crash("bob1");
                    world.phone_mut("bob1").down_held = false;
                    world.pass(500);
                    world.open("bob1");
                    app.read_on(&world);
                    world.start_again("bob1");
                } else {
                    step(&mut world, number);
                }
                app.listen(&mut world, false);
            }
            assert!(app.taken.is_sorted_by(|a, b| a.0 < b.0), "{:?}", app.taken);
            let once = [
                "received c1",
                "verdict 2 ok",
                "received c2",
                "cancelled c2",
                "ended c1 alice",
            ];
            for words in once {
                assert_eq!(
                    app.count(words),
                    1,
                    "{words} at {at}, {frames}: {:?}",
                    app.taken
                );
            }
            let of_carol = |words: &&str| words.contains("carol=");
            let words = app.taken.iter().map(|(_, words)| words.as_str());
            let last = words.rev().find(of_carol);
            assert_eq!(last, Some("changed c1 carol=quit"), "{at}, {frames}");
        }
    }
    assert!(
        crashes > STEPS,
        "only {crashes} crashes were in the middle of something"
    );
}

#[test]
fn point_7_what_was_not_acknowledged_comes_again_at_the_same_positions() {
    let mut world = World::new();
    world.devices(&["alice", "bob"]);
    world.does("alice1", "1", "c1", invite(&["bob"], Mode::Advanced));
    world.does("bob1", "2", "c1", accept());
    let told: Vec<u64> = world
        .phone("bob1")
        .events
        .iter()
        .filter_map(|one| one.position)
        .collect();
    assert!(told.len() >= 3, "{told:?}");
    for _ in 0..3 {
        world.crash("bob1");
        world.start("bob1");
        let read = world.journal_after("bob1", 0).into_iter();
        let read: Vec<u64> = read.filter_map(|one| one.position).collect();
        assert_eq!(read, told);
    }
    let done = world.act("bob1", |core, now| core.acknowledge(now, "app", told[0]));
    done.unwrap();
    world.crash("bob1");
    world.start("bob1");
    assert_eq!(world.acknowledged("bob1"), told[0]);
}

#[test]
fn point_7_positions_are_never_used_again() {
    let mut world = World::new();
    world.devices(&["alice", "bob"]);
    let mut used = Vec::new();
    for n in 0..6 {
        let call = format!("c{n}");
        world.does(
            "bob1",
            &format!("o{n}"),
            &call,
            invite(&["alice"], Mode::General),
        );
        world.does("bob1", &format!("x{n}"), &call, cancel(&[]));
        let events = std::mem::take(&mut world.phone_mut("bob1").events);
        for event in events {
            let Some(position) = event.position else {
                continue;
            };
            assert!(
                used.last().is_none_or(|last| *last < position),
                "{used:?} {position}"
            );
            used.push(position);
            // Somebody waited for the verdicts, so their rows go; the last ones of the journal, too.
            if let EventKind::CommandSettled(_) = event.kind {
                world.act("bob1", |core, _| core.verdict_taken(position));
            }
        }
        if n % 2 == 0 {
            world.close("bob1");
        } else {
            world.crash("bob1");
        }
        world.start("bob1");
    }
    assert!(used.len() >= 12, "{used:?}");
}

#[test]
fn point_7_on_a_replay_an_invitation_that_rings_no_more_is_over_and_live_never() {
    let ends: [fn(&mut World); 3] = [
        |world| world.does("alice1", "x", "c1", cancel(&[])),
        |world| world.does("bob2", "x", "c1", accept()),
        |world| world.pass(2 * MINUTE),
    ];
    for end in ends {
        let mut world = World::new();
        world.devices(&["alice", "bob"]);
        world.device("bob", "bob2");
        world.does("alice1", "1", "c1", invite(&["bob"], Mode::General));
        assert_eq!(world.heard("bob1"), ["received c1"]);
        world.crash("bob1");
        world.open("bob1");
        assert_eq!(world.journal("bob1"), ["received c1"], "it still rings");
        end(&mut world);
        world.start_again("bob1");
        assert_eq!(world.journal("bob1")[0], "received c1 over");
        let live = world.heard("bob1");
        assert!(
            !live.iter().any(|words| words.ends_with(" over")),
            "{live:?}"
        );
    }
}
