//! What is kept for too long is removed, and whoever was away meanwhile finds things as they are.

use super::*;

const DAY_MS: Millis = 86_400_000;
/// From a connection to the end of a pass.
const A_PASS_MS: Millis = 70_000;

/// Calls and devices are kept for so many days; alice and bob are here.
fn keeping(days: u32) -> (World, (ConnId, Disk), (ConnId, Disk)) {
    let calls = format!("calls_kept_days={days}");
    let devices = format!("devices_kept_days={days}");
    two_in(World::with(&[&calls, &devices]))
}

fn is_there(world: &mut World, id: &str) -> bool {
    let core = world.core.as_mut().unwrap();
    let mut transaction = core.store.begin().unwrap();
    transaction.call(&CallId::trusted(id)).unwrap().is_some()
}

fn knows_device(world: &mut World, disk: &Disk) -> bool {
    let core = world.core.as_mut().unwrap();
    let mut transaction = core.store.begin().unwrap();
    transaction
        .device(&disk.user, &disk.device)
        .unwrap()
        .is_some()
}

/// The ids of all records that a device is told when it says hello, and whether its cursor was good.
fn told_at_hello(world: &mut World, disk: &mut Disk) -> (bool, Vec<String>) {
    let conn = world.hello(disk);
    let welcome = world.welcome(conn);
    disk.welcome_token = Some(welcome.welcome_token);
    let mut ids = Vec::new();
    for told in world.take(conn) {
        if let Told::Frame(ToDevice::Feed(feed)) = told {
            disk.cursor = feed.cursor.unwrap_or(disk.cursor);
            ids.extend(feed.calls.iter().map(|call| call.id.to_string()));
        }
    }
    (welcome.cursor_valid, ids)
}

/// Somebody is here for as long as a pass takes.
fn a_pass(world: &mut World) {
    let mut carl = Disk::new("carl", &format!("c{}", world.conns));
    let conn = world.log_in(&mut carl);
    world.pass_awake(A_PASS_MS, &[conn]);
    world.close(conn);
}

#[test]
fn a_call_that_ended_long_ago_is_told_to_nobody_any_more_and_one_that_goes_on_is() {
    let (mut world, (a, mut alice), _) = keeping(2);
    world.ring((a, &mut alice), "old", "bob", Mode::General);
    world.command(a, &mut alice, "old", cancel());
    world.ring((a, &mut alice), "on", "bob", Mode::Advanced);
    let b = world.log_in(&mut Disk::new("bob", "b3"));
    world.command(b, &mut Disk::new("bob", "b3"), "on", accept());
    world.settings.abandoned_after_s = 604_800;
    world.restart(DAY_MS);
    a_pass(&mut world);
    assert!(is_there(&mut world, "old"), "a day is not too long");
    world.restart(DAY_MS);
    a_pass(&mut world);
    assert!(!is_there(&mut world, "old") && is_there(&mut world, "on"));
    let (_, told) = told_at_hello(&mut world, &mut Disk::new("bob", "b2"));
    assert!(!told.contains(&"old".to_owned()), "{told:?}");
    assert!(told.contains(&"on".to_owned()), "{told:?}");
}

#[test]
fn who_was_away_when_a_call_was_removed_reads_all_from_the_beginning_once() {
    let (mut world, (a, mut alice), (b, mut bob)) = keeping(2);
    world.ring((a, &mut alice), "old", "bob", Mode::General);
    world.close(b);
    world.command(a, &mut alice, "old", cancel());
    world.close(a);
    world.restart(3 * DAY_MS);
    world.log_in(&mut Disk::new("alice", "a2"));
    a_pass(&mut world);
    assert!(!is_there(&mut world, "old"));
    // To bob's phone it goes on still.
    bob.open_calls = vec![CallId::trusted("old")];
    assert_eq!(told_at_hello(&mut world, &mut bob), (false, Vec::new()));
    assert_eq!(told_at_hello(&mut world, &mut bob), (true, Vec::new()));
}

#[test]
fn who_has_heard_of_the_end_of_what_was_removed_goes_on_from_where_they_are() {
    let (mut world, (a, mut alice), _) = keeping(2);
    world.ring((a, &mut alice), "old", "bob", Mode::General);
    world.command(a, &mut alice, "old", cancel());
    world.close(a);
    let (_, told) = told_at_hello(&mut world, &mut alice);
    assert_eq!(told, ["old"]);
    world.restart(3 * DAY_MS);
    world.settings.devices_kept_days = 0;
    world.restart(0);
    a_pass(&mut world);
    assert!(!is_there(&mut world, "old"));
    assert_eq!(told_at_hello(&mut world, &mut alice), (true, Vec::new()));
}

#[test]
fn a_device_that_was_away_for_long_is_forgotten_and_taken_as_it_is_when_it_comes_back() {
    let (mut world, (a, mut alice), (b, bob)) = keeping(2);
    world.ring((a, &mut alice), "c1", "bob", Mode::General);
    // Bob has not said that its verdict is on his disk.
    let frame = bob.clone().command("nowhere", cancel());
    world.frame(b, frame);
    world.close(a);
    // Alice has.
    let a = world.log_in(&mut alice);
    world.close(a);
    world.close(b);
    world.restart(3 * DAY_MS);
    a_pass(&mut world);
    assert!(!knows_device(&mut world, &alice));
    assert!(knows_device(&mut world, &bob), "it is owed a verdict");
    let conn = world.hello(&alice);
    let welcome = world.welcome(conn);
    assert!(!welcome.cursor_valid, "all is read anew");
    assert_eq!(welcome.last_number, alice.first_unsettled - 1);
    let verdict = world.command(conn, &mut alice, "c2", invite(&["bob"], 60, Mode::General));
    assert!(verdict.result.is_ok(), "{:?}", verdict.result);
}

#[test]
fn a_device_that_leaves_right_after_it_acknowledged_its_verdict_is_owed_none() {
    let (mut world, _, (b, mut bob)) = keeping(2);
    world.command(b, &mut bob, "nowhere", cancel());
    let settled = Settled {
        number: bob.first_unsettled - 1,
        cursor: bob.cursor,
    };
    world.frame(b, ToServer::Settled(settled));
    world.close(b);
    world.restart(3 * DAY_MS);
    a_pass(&mut world);
    assert!(!knows_device(&mut world, &bob));
}

#[test]
fn nothing_is_removed_while_somebody_is_told_what_they_have_missed() {
    let (mut world, (a, mut alice), (b, mut bob)) = keeping(2);
    world.close(b);
    for n in 0..600 {
        let mut invite = invite(&["bob"], 60, Mode::General);
        if let call::Command::Invite { extended_data, .. } = &mut invite {
            *extended_data = "x".repeat(2_000);
        }
        world.command(a, &mut alice, &format!("c{n}"), invite);
        world.command(a, &mut alice, &format!("c{n}"), cancel());
        let settled = Settled {
            number: alice.first_unsettled - 1,
            cursor: alice.cursor,
        };
        world.frame(a, ToServer::Settled(settled));
        world.pass_awake(20, &[a]);
    }
    world.close(a);
    world.restart(3 * DAY_MS);
    // It takes nothing in, so that most of its history waits.
    let conn = world.open();
    world.slow.insert(conn);
    bob.cursor = Cursor::default();
    world.frame(conn, ToServer::Hello(Box::new(bob.hello())));
    world.pass_awake(A_PASS_MS, &[conn]);
    assert!(is_there(&mut world, "c0"));
    world.close(conn);
    a_pass(&mut world);
    assert!(!is_there(&mut world, "c0"));
}

#[test]
fn what_is_kept_for_ever_is_not_looked_at() {
    let (mut world, (a, mut alice), _) = keeping(0);
    world.ring((a, &mut alice), "old", "bob", Mode::General);
    world.command(a, &mut alice, "old", cancel());
    world.restart(10_000 * DAY_MS);
    a_pass(&mut world);
    assert!(is_there(&mut world, "old") && knows_device(&mut world, &alice));
}
