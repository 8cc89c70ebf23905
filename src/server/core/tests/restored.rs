//! Data that was put back to an older copy: the server's, a device's, or both.

use super::*;

/// A copy of the server's data as it is now, while the server runs on.
fn copy_of(world: &World) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(world.folder.path()).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
    }
    copy
}

/// The server is stopped, and started on that copy a second later.
fn restore(world: &mut World, copy: TempDir) {
    world.core = None;
    world.folder = copy;
    world.restart(1_000);
}

/// Alice, logged in, with one command settled.
fn logged_in() -> (World, ConnId, Disk) {
    let mut world = World::new();
    let mut disk = Disk::new("alice", "a1");
    let conn = world.log_in(&mut disk);
    world.command(conn, &mut disk, "c0", cancel());
    (world, conn, disk)
}

/// The device is let in, and told that its data is newer than the server's.
fn taken_as_it_is(world: &mut World, disk: &Disk) -> (ConnId, Welcome) {
    let conn = world.hello(disk);
    let welcome = world.welcome(conn);
    assert!(!welcome.cursor_valid, "all is read anew");
    (conn, welcome)
}

fn next_works(world: &mut World, conn: ConnId, disk: &mut Disk) {
    let verdict = world.command(conn, disk, "next", invite(&["bob"], 60, Mode::General));
    assert!(verdict.result.is_ok(), "{:?}", verdict.result);
}

#[test]
fn a_device_that_only_logged_in_again_since_is_no_copy() {
    let (mut world, _, mut disk) = logged_in();
    let copy = copy_of(&world);
    world.pass(10);
    for _ in 0..3 {
        world.log_in(&mut disk);
        world.pass(10);
    }
    restore(&mut world, copy);
    let (conn, welcome) = taken_as_it_is(&mut world, &disk);
    assert_eq!(welcome.last_number, 1);
    next_works(&mut world, conn, &mut disk);
}

#[test]
fn a_device_that_has_a_verdict_that_was_lost_is_no_copy() {
    let (mut world, conn, mut disk) = logged_in();
    let copy = copy_of(&world);
    // Refused, so that no feed says anything of it.
    world.command(conn, &mut disk, "nowhere", cancel());
    restore(&mut world, copy);
    let (conn, welcome) = taken_as_it_is(&mut world, &disk);
    assert_eq!(welcome.last_number, 2, "it is not asked for a number again");
    next_works(&mut world, conn, &mut disk);
}

#[test]
fn a_device_that_was_made_since_is_no_copy() {
    let mut world = World::new();
    let copy = copy_of(&world);
    let mut disk = Disk::new("alice", "a1");
    let conn = world.log_in(&mut disk);
    world.command(conn, &mut disk, "nowhere", cancel());
    restore(&mut world, copy);
    let (conn, welcome) = taken_as_it_is(&mut world, &disk);
    assert_eq!(welcome.last_number, 1);
    next_works(&mut world, conn, &mut disk);
}

#[test]
fn a_command_that_the_copy_does_not_know_is_decided_anew_and_one_that_it_knows_is_not() {
    for known in [false, true] {
        let (mut world, conn, mut disk) = logged_in();
        let before = copy_of(&world);
        let frame = disk.command("c1", invite(&["bob"], 60, Mode::General));
        world.frame(conn, frame.clone());
        let first = world.verdict(conn);
        let copy = if known { copy_of(&world) } else { before };
        // Its verdict was lost, and so is what the server decided if the copy is older.
        restore(&mut world, copy);
        let conn = world.hello(&disk);
        let welcome = world.welcome(conn);
        assert_eq!(welcome.last_number, if known { 2 } else { 1 });
        let verdict = if known {
            world.verdict(conn)
        } else {
            world.take(conn);
            world.frame(conn, frame);
            world.verdict(conn)
        };
        assert_eq!(verdict.result, first.result);
        assert_eq!(world.stored("c1").members.len(), 2, "made once");
    }
}

#[test]
fn of_two_devices_that_come_with_the_same_past_one_is_a_copy() {
    for acts in [false, true] {
        let (mut world, _, mut disk) = logged_in();
        let copy = copy_of(&world);
        world.pass(10);
        world.log_in(&mut disk);
        world.pass(10);
        world.log_in(&mut disk);
        restore(&mut world, copy);
        let second = disk.clone();
        let (conn, welcome) = taken_as_it_is(&mut world, &disk);
        disk.welcome_token = Some(welcome.welcome_token);
        if acts {
            next_works(&mut world, conn, &mut disk);
            let conn = world.hello(&second);
            assert_eq!(world.refused(conn), Code::Dropped);
        } else {
            // As if its welcome had been lost: then the one that comes later once more is the copy.
            let mut second = second;
            world.log_in(&mut second);
            world.log_in(&mut disk);
            let conn = world.hello(&second);
            assert_eq!(world.refused(conn), Code::Dropped);
        }
    }
}

#[test]
fn a_device_that_is_older_than_the_copy_is_a_copy_itself() {
    let (mut world, _, mut disk) = logged_in();
    let old = disk.clone();
    world.pass(10);
    for _ in 0..2 {
        world.log_in(&mut disk);
        world.pass(10);
    }
    let copy = copy_of(&world);
    world.log_in(&mut disk);
    restore(&mut world, copy);
    let conn = world.hello(&old);
    assert_eq!(world.refused(conn), Code::Dropped);
}

#[test]
fn a_device_that_is_older_than_it_was_but_newer_than_the_copy_goes_on_from_where_it_is() {
    let (mut world, conn, mut disk) = logged_in();
    let copy = copy_of(&world);
    world.pass(10);
    world.close(conn);
    for _ in 0..2 {
        world.log_in(&mut disk);
        world.pass(10);
    }
    let mut old = disk.clone();
    let conn = world.log_in(&mut disk);
    world.command(conn, &mut disk, "c1", invite(&["bob"], 60, Mode::General));
    restore(&mut world, copy);
    let (conn, welcome) = taken_as_it_is(&mut world, &old);
    assert_eq!(welcome.last_number, 1);
    next_works(&mut world, conn, &mut old);
}

#[test]
fn a_device_whose_verdicts_were_forgotten_because_it_had_them_is_a_copy() {
    let (mut world, conn, mut disk) = logged_in();
    // Rolled back to when the command was sent and its verdict had not come.
    let frame = disk.command("c1", invite(&["bob"], 60, Mode::General));
    let old = disk.clone();
    world.frame(conn, frame);
    world.take(conn);
    let cursor = Cursor::default();
    world.frame(conn, ToServer::Settled(Settled { number: 2, cursor }));
    world.close(conn);
    let conn = world.hello(&old);
    assert_eq!(
        world.refused(conn),
        Code::Dropped,
        "no verdict would ever come"
    );
}

#[test]
fn a_cursor_beyond_the_end_of_a_copied_life_is_not_valid() {
    let (mut world, conn, mut disk) = logged_in();
    let copy = copy_of(&world);
    world.command(conn, &mut disk, "c1", invite(&["bob"], 60, Mode::General));
    let conn = world.log_in(&mut disk);
    assert!(disk.cursor.seq > 0);
    world.close(conn);
    restore(&mut world, copy);
    let (conn, welcome) = taken_as_it_is(&mut world, &disk);
    assert_eq!(welcome.last_number, 2);
    next_works(&mut world, conn, &mut disk);
}

#[test]
fn a_device_whose_welcome_was_given_again_after_the_copy_is_taken_as_it_is() {
    let (mut world, _, mut disk) = logged_in();
    world.log_in(&mut disk);
    world.pass(10);
    world.log_in(&mut disk.clone()); // its welcome is lost
    let copy = copy_of(&world);
    world.pass(10);
    world.log_in(&mut disk); // another for the same token
    restore(&mut world, copy);
    let conn = world.hello(&disk);
    world.welcome(conn);
}

#[test]
fn a_device_that_did_not_hear_that_its_cursor_is_not_valid_is_told_again() {
    let (mut world, _, mut disk) = logged_in();
    let copy = copy_of(&world);
    world.pass(10);
    world.log_in(&mut disk);
    restore(&mut world, copy);
    for _ in 0..3 {
        let conn = world.hello(&disk);
        assert!(!world.welcome(conn).cursor_valid);
    }
    let (conn, welcome) = taken_as_it_is(&mut world, &disk);
    disk.welcome_token = Some(welcome.welcome_token);
    world.close(conn);
    let conn = world.hello(&disk);
    assert!(world.welcome(conn).cursor_valid, "it was told");
}
