use super::*;

#[test]
fn a_new_device_is_welcomed_and_caught_up_with_nothing() {
    let mut world = World::new();
    let conn = world.hello(&Disk::new("alice", "a1"));
    let welcome = world.welcome(conn);
    assert_eq!((welcome.version, welcome.last_number), (1, 0));
    assert_eq!((welcome.server_time, welcome.hello_sent_at), (START, 7));
    assert!(!welcome.cursor_valid && !welcome.welcome_token.is_empty());
    let open = world.feed(conn);
    assert_eq!(
        (open.lane, open.last, open.cursor),
        (Lane::Open, true, None)
    );
    let history = world.feed(conn);
    assert_eq!((history.lane, history.last), (Lane::History, true));
    assert_eq!(history.cursor.unwrap().epoch, welcome.epoch);
    world.nothing(conn);
}

#[test]
fn a_welcome_that_was_lost_is_given_again_and_each_is_good_until_one_is_shown() {
    for kept in 0..3 {
        let mut world = World::new();
        let mut disk = Disk::new("alice", "a1");
        world.log_in(&mut disk);
        let given: Vec<Disk> = (0..3)
            .map(|_| {
                let mut disk = disk.clone();
                world.log_in(&mut disk);
                disk
            })
            .collect();
        let mut disk = given[kept].clone();
        world.log_in(&mut disk);
        for other in (0..3).filter(|other| *other != kept) {
            let conn = world.hello(&given[other]);
            assert_eq!(world.refused(conn), Code::Dropped);
        }
        // The one that was kept is good until what was given for it is shown.
        world.log_in(&mut given[kept].clone());
        world.log_in(&mut disk);
        let conn = world.hello(&given[kept]);
        assert_eq!(world.refused(conn), Code::Dropped);
    }
}

#[test]
fn a_hello_that_arrives_behind_the_next_one_of_the_same_database_costs_nobody_its_identity() {
    let mut world = World::new();
    let mut disk = Disk::new("alice", "a1");
    world.log_in(&mut disk);
    let late = disk.clone();
    let conn = world.log_in(&mut disk);
    let behind = world.hello(&late);
    world.welcome(behind);
    assert_eq!(world.closed(conn), Some(ClosingReason::Replaced));
    let conn = world.log_in(&mut disk);
    world.nothing(conn);
    let behind = world.hello(&late);
    assert_eq!(world.refused(behind), Code::Dropped);
    world.nothing(conn);
}

#[test]
fn of_two_copies_that_begin_alike_one_is_told_so() {
    let mut world = World::new();
    let mut disk = Disk::new("alice", "a1");
    world.log_in(&mut disk);
    let mut copy = disk.clone();
    world.log_in(&mut disk);
    world.log_in(&mut copy);
    world.log_in(&mut disk);
    let conn = world.hello(&copy);
    assert_eq!(world.refused(conn), Code::Dropped);
}

#[test]
fn a_copy_of_a_database_that_went_on_is_told_so() {
    let mut world = World::new();
    let mut disk = Disk::new("alice", "a1");
    world.log_in(&mut disk);
    let copy = disk.clone();
    world.log_in(&mut disk);
    world.log_in(&mut disk);
    let conn = world.hello(&copy);
    assert_eq!(world.refused(conn), Code::Dropped);
}

#[test]
fn a_first_welcome_that_was_lost_is_given_again() {
    let mut world = World::new();
    let disk = Disk::new("alice", "a1");
    world.hello(&disk);
    let conn = world.hello(&disk);
    world.welcome(conn);
}

#[test]
fn a_device_that_has_a_past_here_is_not_new() {
    let mut world = World::new();
    let mut disk = Disk::new("alice", "a1");
    let a = world.log_in(&mut disk);
    world.command(a, &mut disk, "c1", invite(&["bob"], 60, Mode::General));
    let conn = world.hello(&Disk::new("alice", "a1"));
    assert_eq!(world.refused(conn), Code::Dropped);
}

#[test]
fn a_database_that_was_rolled_back_is_noticed_by_its_numbers() {
    let mut world = World::new();
    let mut disk = Disk::new("alice", "a1");
    let a = world.log_in(&mut disk);
    let backup = disk.clone();
    world.command(a, &mut disk, "c1", invite(&["bob"], 60, Mode::General));
    let conn = world.hello(&backup);
    assert_eq!(world.refused(conn), Code::Dropped);
}

#[test]
fn a_device_from_nowhere_is_a_copy() {
    let mut world = World::new();
    let mut disk = Disk::new("alice", "a1");
    disk.next_number = 4;
    let conn = world.hello(&disk);
    assert_eq!(world.refused(conn), Code::Dropped);
    disk.next_number = 1;
    disk.welcome_token = Some("of another server".to_owned());
    let conn = world.hello(&disk);
    assert_eq!(world.refused(conn), Code::Dropped);
}

#[test]
fn a_server_restored_from_a_backup_takes_its_devices_as_they_are_once() {
    let mut world = World::new();
    let mut disk = Disk::new("alice", "a1");
    let a = world.log_in(&mut disk);
    world.command(a, &mut disk, "c1", invite(&["bob"], 60, Mode::General));
    world.command(a, &mut disk, "c1", cancel());
    disk.cursor = Cursor {
        epoch: world.core.as_ref().unwrap().state.epoch,
        seq: 3,
    };
    let copy = disk.clone();
    // Nothing is left of the data, which is as old as a backup can be.
    world.core = None;
    world.folder = tempfile::tempdir().unwrap();
    world.start();
    let conn = world.hello(&disk);
    let welcome = world.welcome(conn);
    assert!(!welcome.cursor_valid);
    assert_eq!(welcome.last_number, 2);
    world.take(conn);
    let verdict = world.command(conn, &mut disk, "c2", invite(&["bob"], 60, Mode::General));
    assert!(verdict.result.is_ok());
    // A second one that comes the same way is a copy of the first.
    let conn = world.hello(&copy);
    assert_eq!(world.refused(conn), Code::Dropped);
}

#[test]
fn versions_and_forms_are_refused_by_name() {
    let mut world = World::new();
    let good = Disk::new("alice", "a1").hello();
    let newer = Hello {
        version_min: 9,
        version_max: 9,
        ..good.clone()
    };
    let user = Hello {
        user: UserId::trusted("a/b"),
        ..good.clone()
    };
    let device = Hello {
        device: DeviceId::trusted(""),
        ..good.clone()
    };
    let calls = Hello {
        open_calls: vec![CallId::trusted("c"); 129],
        ..good
    };
    for hello in [newer, user, device, calls] {
        let conn = world.open();
        world.frame(conn, ToServer::Hello(Box::new(hello)));
        assert_eq!(world.refused(conn), Code::InvalidParameter);
    }
}

#[test]
fn the_first_frame_is_a_hello_and_the_only_one() {
    let mut world = World::new();
    let conn = world.open();
    world.frame(conn, ToServer::Ping(Ping { sent_at: 0 }));
    assert_eq!(world.closed(conn), Some(ClosingReason::Violation));
    let mut disk = Disk::new("alice", "a1");
    let conn = world.log_in(&mut disk);
    world.frame(conn, ToServer::Hello(Box::new(disk.hello())));
    assert_eq!(world.closed(conn), Some(ClosingReason::Violation));
}

#[test]
fn who_says_no_hello_in_time_is_closed() {
    let mut world = World::new();
    let conn = world.open();
    world.pass(HELLO_WITHIN_MS - 1);
    world.nothing(conn);
    world.pass(1);
    assert_eq!(world.closed(conn), None);
}

#[test]
fn bytes_that_are_no_frame_end_the_session() {
    let mut world = World::new();
    let conn = world.log_in(&mut Disk::new("alice", "a1"));
    let reason = "a frame of no bytes".to_owned();
    world.step(vec![Input::Broken { conn, reason }]);
    assert_eq!(world.closed(conn), Some(ClosingReason::Violation));
}

#[test]
fn a_newer_connection_of_the_same_device_takes_over() {
    let mut world = World::new();
    let mut disk = Disk::new("alice", "a1");
    let first = world.log_in(&mut disk);
    // In one step with the hello: the command is decided, and its verdict is owed.
    let command = disk.command("c1", invite(&["bob"], 60, Mode::General));
    let second = world.open();
    world.step(vec![
        Input::Frame {
            conn: first,
            frame: command,
        },
        Input::Frame {
            conn: second,
            frame: ToServer::Hello(Box::new(disk.hello())),
        },
    ]);
    world.settle();
    world.verdict(first);
    assert_eq!(world.closed(first), Some(ClosingReason::Replaced));
    assert_eq!(world.welcome(second).last_number, 1);
    assert_eq!(world.verdict(second).number, 1);
    let verdict = {
        world.take(second);
        world.command(second, &mut disk, "c1", cancel())
    };
    assert!(verdict.result.is_ok());
}

#[test]
fn one_device_too_many_costs_the_one_that_was_connected_the_longest() {
    let mut world = World::with(&["devices_max=2"]);
    let first = world.log_in(&mut Disk::new("alice", "a1"));
    let second = world.log_in(&mut Disk::new("alice", "a2"));
    let third = world.log_in(&mut Disk::new("alice", "a3"));
    assert_eq!(world.closed(first), Some(ClosingReason::KickedOut));
    world.nothing(second);
    world.nothing(third);
}

fn token(user: &str, expires_ms: Millis) -> Option<String> {
    let keys = Keys::parse(SECRET).unwrap();
    Some(keys.sign(user, expires_ms).unwrap())
}

#[test]
fn only_good_tokens_let_in() {
    let mut world = World::with_tokens();
    let mut disk = Disk::new("alice", "a1");
    let later = START + 3_600_000;
    for (token, code) in [
        (None, Code::TokenInvalid),
        (Some("x".to_owned()), Code::TokenInvalid),
        (token("bob", later), Code::TokenInvalid),
        (token("alice", START - 1_000), Code::TokenExpired),
    ] {
        disk.token = token;
        let conn = world.hello(&disk);
        assert_eq!(world.refused(conn), code);
    }
    disk.token = token("alice", later);
    world.log_in(&mut disk);
}

#[test]
fn a_token_that_runs_out_is_announced_and_then_ends_the_session() {
    let mut world = World::with_tokens();
    let mut disk = Disk::new("alice", "a1");
    disk.token = token("alice", START + 60_000);
    let conn = world.log_in(&mut disk);
    world.pass_awake(29_000, &[conn]);
    world.nothing(conn);
    world.pass_awake(1_500, &[conn]);
    match world.next(conn) {
        Told::Frame(ToDevice::TokenNotice(notice)) => assert_eq!(notice.seconds, 30),
        other => panic!("{other:?}"),
    }
    world.pass_awake(30_000, &[conn]);
    assert_eq!(world.closed(conn), Some(ClosingReason::TokenExpired));
}

#[test]
fn a_token_is_renewed_in_place() {
    let mut world = World::with_tokens();
    let mut disk = Disk::new("alice", "a1");
    disk.token = token("alice", START + 60_000);
    let conn = world.log_in(&mut disk);
    for (user, is_good) in [("bob", false), ("alice", true)] {
        let token = token(user, START + 600_000).unwrap();
        world.frame(conn, ToServer::Renew(crate::protocol::Renew { token }));
        match world.next(conn) {
            Told::Frame(ToDevice::Renewed(renewed)) => {
                assert_eq!(renewed.result.is_ok(), is_good);
            }
            other => panic!("{other:?}"),
        }
    }
    world.pass_awake(100_000, &[conn]);
    world.nothing(conn);
}

#[test]
fn a_shutdown_is_told_to_everybody() {
    let (mut world, (a, _), (b, _)) = two();
    world.step(vec![Input::Shutdown]);
    assert_eq!(world.closed(a), Some(ClosingReason::ShuttingDown));
    assert_eq!(world.closed(b), Some(ClosingReason::ShuttingDown));
}

#[test]
fn the_servers_clock_never_goes_back() {
    let (mut world, (a, mut alice), _) = two();
    world.pass_awake(5_000, &[a]);
    world.ring((a, &mut alice), "c1", "bob", Mode::General);
    let told = world.now();
    world.wall = START - 3_600_000;
    world.restart(0);
    assert!(world.now() > told);
}

#[test]
fn of_verdicts_still_owed_only_the_last_of_a_call_brings_its_record() {
    let (mut world, (a, mut alice), (_, _)) = two();
    let first = alice.command("c1", invite(&["bob"], 60, Mode::Advanced));
    let other = alice.command("c2", accept());
    let last = alice.command("c1", quit());
    for command in [first, other, last] {
        world.frame(a, command);
    }
    let conn = world.hello(&alice); // none of the verdicts came
    world.welcome(conn);
    let owed: Vec<_> = (0..3).map(|_| world.verdict(conn)).collect();
    assert!(owed[0].result.is_ok() && owed[2].result.is_ok());
    let brings = |verdict: &Verdict| verdict.call.is_some();
    assert_eq!(
        owed.iter().map(brings).collect::<Vec<_>>(),
        [false, false, true]
    );
}

#[test]
fn a_device_that_does_not_know_of_a_verdict_that_was_settled_is_a_copy() {
    let (mut world, (a, mut alice), (_, _)) = two();
    let asked = alice.command("c1", invite(&["bob"], 60, Mode::Advanced));
    world.frame(a, asked);
    let older = alice.clone();
    alice.first_unsettled = 2;
    world.hello(&alice); // its welcome is lost, so the token before it is still good
    let conn = world.hello(&older);
    assert_eq!(world.refused(conn), Code::Dropped);
}
