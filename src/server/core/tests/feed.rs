use super::*;

/// Many calls from alice to bob, each over at once.
fn past_calls(world: &mut World, a: ConnId, alice: &mut Disk, count: usize) {
    for number in 0..count {
        let id = format!("past-{number}");
        world.ring((a, alice), &id, "bob", Mode::General);
        world.command(a, alice, &id, cancel());
        let settled = Settled {
            number: alice.next_number - 1,
            cursor: Cursor::default(),
        };
        world.frame(a, ToServer::Settled(settled));
        world.take(a);
        world.mono += 100;
    }
}

#[test]
fn what_rings_comes_first_and_then_history_in_order() {
    let mut world = World::new();
    let mut alice = Disk::new("alice", "a1");
    let a = world.log_in(&mut alice);
    past_calls(&mut world, a, &mut alice, 3);
    world.ring((a, &mut alice), "rings", "bob", Mode::General);
    let mut bob = Disk::new("bob", "b1");
    // A call that the device shows and that is over by now; another that it has no part in.
    bob.open_calls = vec![CallId::trusted("past-1"), CallId::trusted("none")];
    let b = world.hello(&bob);
    let welcome = world.welcome(b);
    let open = world.feed(b);
    let ids: Vec<&str> = open.calls.iter().map(|call| call.id.as_str()).collect();
    assert_eq!(ids, ["rings", "past-1"]);
    assert!(open.last && open.cursor.is_none());
    let history = world.feed(b);
    let ids: Vec<&str> = history.calls.iter().map(|call| call.id.as_str()).collect();
    assert_eq!(ids, ["past-0", "past-1", "past-2", "rings"]);
    assert!(history.last);
    world.nothing(b);

    // From there on only what is new.
    bob.cursor = history.cursor.unwrap();
    bob.open_calls.clear();
    bob.welcome_token = Some(welcome.welcome_token);
    world.close(b);
    world.command(a, &mut alice, "rings", cancel());
    let b = world.hello(&bob);
    assert!(world.welcome(b).cursor_valid);
    assert_eq!(world.feed(b).calls.len(), 0);
    let history = world.feed(b);
    assert_eq!((history.calls.len(), history.last), (1, true));
    assert!(history.cursor.unwrap().seq > bob.cursor.seq);
}

#[test]
fn what_rings_does_not_wait_for_the_reading_of_a_history() {
    let mut world = World::new();
    let mut alice = Disk::new("alice", "a1");
    let a = world.log_in(&mut alice);
    past_calls(&mut world, a, &mut alice, 3);
    world.ring((a, &mut alice), "rings", "bob", Mode::General);
    let b = world.open();
    let hello = ToServer::Hello(Box::new(Disk::new("bob", "b1").hello()));
    let mono = world.mono;
    let step = |world: &mut World, inputs| world.core.as_mut().unwrap().step(mono, inputs);
    let lanes = |effects: &[Effect]| -> Vec<Lane> {
        let lane = |effect: &Effect| match effect {
            Effect::Send { frame, .. } => match frame.as_ref() {
                ToDevice::Feed(feed) => Some(feed.lane),
                _ => None,
            },
            _ => None,
        };
        effects.iter().filter_map(lane).collect()
    };
    let frame = Input::Frame {
        conn: b,
        frame: hello,
    };
    assert_eq!(lanes(&step(&mut world, vec![frame])), [Lane::Open]);
    let wakeup = world.core.as_ref().unwrap().next_wakeup();
    assert_eq!(wakeup, Some(mono), "the history is due at once");
    // Not even if there is always something else to tell.
    let ping = Input::Frame {
        conn: a,
        frame: ToServer::Ping(Ping { sent_at: 0 }),
    };
    assert_eq!(lanes(&step(&mut world, vec![ping])), [Lane::History]);
}

#[test]
fn a_cursor_of_an_earlier_life_of_the_server_goes_on_being_good() {
    let (mut world, (a, mut alice), (_, mut bob)) = two();
    past_calls(&mut world, a, &mut alice, 2);
    let b = world.log_in(&mut bob);
    let epoch = bob.cursor.epoch;
    world.close(b);
    world.restart(1_000);
    let b = world.hello(&bob);
    let welcome = world.welcome(b);
    assert!(welcome.cursor_valid);
    assert_ne!(welcome.epoch, epoch);
    world.feed(b);
    let history = world.feed(b);
    assert_eq!(history.calls.len(), 0);
    assert_eq!(
        history.cursor,
        Some(Cursor {
            epoch: welcome.epoch,
            seq: bob.cursor.seq
        })
    );
}

#[test]
fn who_reads_slowly_loses_nothing_and_pins_a_window_at_most() {
    let (mut world, (a, mut alice), (b, _)) = two();
    world.slow.insert(b);
    past_calls(&mut world, a, &mut alice, 10);
    let told = world.take(b);
    assert_eq!(told.len(), FEED_WINDOW_FRAMES);
    world.step(vec![Input::Written {
        conn: b,
        frames: told.len(),
    }]);
    world.settle();
    let mut ids = BTreeSet::new();
    let mut last_seq = 0;
    for told in told.into_iter().chain(world.take(b)) {
        let Told::Frame(ToDevice::Feed(feed)) = told else {
            panic!("{told:?}");
        };
        assert_eq!(feed.lane, Lane::Live);
        assert!(feed.cursor.unwrap().seq > last_seq);
        last_seq = feed.cursor.unwrap().seq;
        ids.extend(
            feed.calls
                .into_iter()
                .filter(|call| !call.is_started())
                .map(|call| call.id),
        );
    }
    assert_eq!(ids.len(), 10);
    // And it is live again.
    world.slow.clear();
    world.step(vec![Input::Written { conn: b, frames: 9 }]);
    world.ring((a, &mut alice), "new", "bob", Mode::General);
    assert_eq!(world.live(b).id, CallId::trusted("new"));
}

#[test]
fn who_reads_nothing_at_all_is_closed() {
    let (mut world, (a, _), _) = two();
    world.slow.insert(a);
    for _ in 0..=QUEUE_FRAMES_MAX {
        world.frame(a, ToServer::Ping(Ping { sent_at: 0 }));
    }
    let told = world.take(a);
    assert!(matches!(
        told.last(),
        Some(Told::Closed(Some(ClosingReason::Violation)))
    ));
    assert_eq!(told.len(), QUEUE_FRAMES_MAX + 1);
}

#[test]
fn a_long_history_comes_in_batches_and_moves_the_cursor() {
    let mut world = World::new();
    let mut alice = Disk::new("alice", "a1");
    let a = world.log_in(&mut alice);
    past_calls(&mut world, a, &mut alice, FEED_CALLS_MAX + 5);
    let b = world.hello(&Disk::new("bob", "b1"));
    world.welcome(b);
    world.feed(b);
    let first = world.feed(b);
    assert_eq!((first.calls.len(), first.last), (FEED_CALLS_MAX, false));
    let second = world.feed(b);
    assert_eq!((second.calls.len(), second.last), (5, true));
    assert!(second.cursor.unwrap().seq > first.cursor.unwrap().seq);
    world.nothing(b);
}

#[test]
fn nobody_is_shown_anothers_devices() {
    let (mut world, (a, mut alice), (b, _)) = two();
    world.ring((a, &mut alice), "c1", "bob", Mode::General);
    let call = world.live(b);
    let alice = call.member(&alice.user).unwrap();
    assert!(alice.own.is_none() && alice.acting_device.is_none());
    assert!(call.member(&UserId::trusted("bob")).unwrap().own.is_some());
}

#[test]
fn a_move_to_another_device_is_for_the_movers_feed_only() {
    let (mut world, (a, mut alice), (b, mut bob)) = two();
    let mut other = Disk::new("alice", "a2");
    let c = world.log_in(&mut other);
    world.ring((a, &mut alice), "c1", "bob", Mode::Advanced);
    world.command(b, &mut bob, "c1", accept());
    for conn in [a, b, c] {
        world.take(conn);
    }
    let join = call::Command::Join {
        extended_data: String::new(),
    };
    assert!(world.command(c, &mut other, "c1", join).result.is_ok());
    assert_eq!(world.live(a).id, CallId::trusted("c1"));
    assert_eq!(world.feed(c).calls, [], "it came with the verdict");
    world.nothing(b);
}
