//! A hello ahead of the end of its handshake: answered by reading alone, taken when it is confirmed.

use super::*;
use crate::protocol::{PREVIEW_BYTES_MAX, Preview};
use crate::server::store::DeviceRow;

impl World {
    /// A connection whose handshake is not complete, and its hello.
    fn early_hello(&mut self, disk: &Disk) -> ConnId {
        self.conns += 1;
        let conn = ConnId(self.conns);
        let peer = "127.0.0.1:9".parse().unwrap();
        let early = true;
        self.step(vec![Input::Connected { conn, peer, early }]);
        self.frame(conn, ToServer::Hello(Box::new(disk.hello())));
        conn
    }

    fn confirm(&mut self, conn: ConnId) {
        self.step(vec![Input::Confirmed { conn }]);
        self.settle();
    }

    fn preview(&mut self, conn: ConnId) -> Preview {
        match self.next(conn) {
            Told::Frame(ToDevice::Preview(preview)) => *preview,
            other => panic!("no preview: {other:?}"),
        }
    }

    fn row(&mut self, disk: &Disk) -> DeviceRow {
        let core = self.core.as_mut().unwrap();
        let mut transaction = core.store.begin().unwrap();
        let row = transaction.device(&disk.user, &disk.device).unwrap();
        row.unwrap()
    }
}

fn ids(preview: &Preview) -> Vec<&str> {
    preview.calls.iter().map(|call| call.id.as_str()).collect()
}

/// Alice is here; bob was, is away, and was rung meanwhile.
fn rung_while_away() -> (World, (ConnId, Disk), Disk) {
    let (mut world, (a, mut alice), (b, bob)) = two();
    world.close(b);
    world.ring((a, &mut alice), "c1", "bob", Mode::General);
    (world, (a, alice), bob)
}

#[test]
fn what_rings_is_told_before_the_handshake_is_complete_and_everything_after_it() {
    let (mut world, _, mut bob) = rung_while_away();
    let conn = world.early_hello(&bob);
    let preview = world.preview(conn);
    assert_eq!(ids(&preview), ["c1"]);
    assert_eq!(preview.server_time, world.now());
    world.nothing(conn);
    world.confirm(conn);
    let welcome = world.welcome(conn);
    assert_eq!(welcome.epoch, preview.epoch);
    let open = world.feed(conn);
    assert_eq!((open.lane, &open.calls), (Lane::Open, &preview.calls));
    assert_eq!(world.feed(conn).lane, Lane::History);
    world.nothing(conn);
    // The welcome token is the newest, and the device goes on with it.
    bob.welcome_token = Some(welcome.welcome_token);
    world.close(conn);
    world.log_in(&mut bob);
}

#[test]
fn a_hello_that_is_never_confirmed_has_no_effect_an_hour_later_either() {
    let (mut world, (a, _), mut bob) = rung_while_away();
    let recorded = bob.clone();
    let live = world.log_in(&mut bob);
    let before = world.row(&bob);
    for after_ms in [0, 3_600_000] {
        world.pass_awake(after_ms, &[a, live]);
        world.take(a);
        world.take(live);
        let replayed = world.early_hello(&recorded);
        // What was recorded is not the newest any more: not even an answer.
        world.nothing(replayed);
        world.pass_awake(HELLO_WITHIN_MS, &[a, live]);
        assert_eq!(world.closed(replayed), None);
        world.nothing(a);
        world.nothing(live);
        assert_eq!(world.row(&bob), before);
    }
    // The device is not disturbed: it is here, and its token is still the newest.
    world.frame(live, ToServer::Ping(Ping { sent_at: 3 }));
    assert!(matches!(world.next(live), Told::Frame(ToDevice::Pong(_))));
    world.close(live);
    world.log_in(&mut bob);
}

#[test]
fn a_hello_that_is_never_confirmed_makes_nobody_present() {
    // Bob, who rings alice, goes away, and somebody sends again what his device is to say next.
    let (mut world, (a, _), (b, mut bob)) = two();
    world.ring((b, &mut bob), "c1", "alice", Mode::General);
    world.take(a);
    world.close(b);
    let before = world.row(&bob);
    for _ in 0..7 {
        let replayed = world.early_hello(&bob);
        assert_eq!(ids(&world.preview(replayed)), ["c1"]);
        world.pass_awake(5_000, &[a]);
        world.close(replayed);
    }
    // A creator who is gone for 35 s cancels the call, whoever says to be him.
    assert_eq!(world.state_of("c1", "alice"), UserState::Cancelled);
    assert_eq!(world.row(&bob), before);
}

#[test]
fn a_preview_settles_no_verdict() {
    let (mut world, (a, mut alice), _) = two();
    world.command(a, &mut alice, "c1", invite(&["bob"], 60, Mode::General));
    world.close(a);
    alice.first_unsettled = 1;
    for _ in 0..2 {
        let conn = world.early_hello(&alice);
        let preview = world.preview(conn);
        assert_eq!(preview.verdicts.len(), 1);
        assert_eq!(preview.verdicts[0].number, 1);
        assert!(preview.verdicts[0].call.is_some());
        world.close(conn);
    }
    // One that says that it has the verdict is not believed before it is confirmed.
    alice.first_unsettled = 2;
    let conn = world.early_hello(&alice);
    assert!(world.preview(conn).verdicts.is_empty());
    world.close(conn);
    assert_eq!(world.row(&alice).settled_number, 0);
    let conn = world.early_hello(&alice);
    world.confirm(conn);
    assert_eq!(world.row(&alice).settled_number, 1);
}

#[test]
fn of_the_verdicts_of_a_preview_only_the_last_of_a_call_brings_its_record() {
    let (mut world, (a, mut alice), _) = two();
    world.command(a, &mut alice, "c1", invite(&["bob"], 60, Mode::Advanced));
    world.command(a, &mut alice, "c1", quit());
    world.close(a);
    alice.first_unsettled = 1;
    let conn = world.early_hello(&alice);
    let verdicts = world.preview(conn).verdicts;
    let brings: Vec<_> = verdicts.iter().map(|one| one.call.is_some()).collect();
    assert_eq!(brings, [false, true]);
}

#[test]
fn an_early_hello_replaces_an_older_connection_only_when_it_is_confirmed() {
    let (mut world, _, (b, bob)) = two();
    let conn = world.early_hello(&bob);
    world.preview(conn);
    world.nothing(b);
    world.confirm(conn);
    assert_eq!(world.closed(b), Some(ClosingReason::Replaced));
    world.welcome(conn);
}

#[test]
fn what_is_out_of_the_ordinary_waits_for_the_confirmation() {
    let (mut world, _, bob) = rung_while_away();
    let mut unknown = Disk::new("bob", "b2");
    unknown.welcome_token = Some("of nobody".to_owned());
    let strange = |change: &dyn Fn(&mut Disk)| {
        let mut disk = bob.clone();
        change(&mut disk);
        disk
    };
    let refused = [
        unknown,
        strange(&|disk| disk.welcome_token = Some("another".to_owned())),
        strange(&|disk| disk.first_unsettled = 9),
    ];
    for disk in refused {
        let conn = world.early_hello(&disk);
        world.nothing(conn);
        world.confirm(conn);
        world.refused(conn);
    }
    for disk in [
        Disk::new("bob", "b3"),
        strange(&|disk| disk.cursor.seq = 1_000),
    ] {
        let conn = world.early_hello(&disk);
        world.nothing(conn);
        world.confirm(conn);
        world.welcome(conn);
    }
}

#[test]
fn a_token_that_is_not_good_gets_no_preview() {
    let mut world = World::with_tokens();
    let mut disk = Disk::new("alice", "a1");
    disk.token = Some("forged".to_owned());
    let conn = world.early_hello(&disk);
    world.nothing(conn);
    world.confirm(conn);
    assert_eq!(world.refused(conn), Code::TokenInvalid);
}

#[test]
fn what_would_not_fit_the_first_flight_is_not_previewed_at_all() {
    let (mut world, _, (b, bob)) = two();
    world.close(b);
    let long = |n: usize| call::Command::Invite {
        invitees: vec![UserId::trusted("bob")],
        timeout_s: 60,
        mode: Mode::General,
        extended_data: n.to_string().repeat(2_000),
        not_received_check: false,
        push: None,
    };
    let mut fits = true;
    for n in 0..8 {
        let mut caller = Disk::new(&format!("caller {n}"), "d1");
        let conn = world.log_in(&mut caller);
        let verdict = world.command(conn, &mut caller, &format!("c{n}"), long(n));
        assert!(verdict.result.is_ok(), "{:?}", verdict.result);
        let conn = world.early_hello(&bob);
        let told = world.take(conn);
        world.close(conn);
        let previewed = match told.as_slice() {
            [] => false,
            [Told::Frame(ToDevice::Preview(preview))] => {
                let bytes = crate::protocol::codec::encoded_len(preview.as_ref()).unwrap();
                assert!(bytes <= PREVIEW_BYTES_MAX + 64, "{bytes}");
                true
            }
            other => panic!("{other:?}"),
        };
        assert!(fits || !previewed, "it fits again");
        fits = previewed;
    }
    assert!(!fits);
}

#[test]
fn before_the_handshake_is_complete_nothing_but_one_hello_is_listened_to() {
    let (mut world, _, bob) = rung_while_away();
    let conn = world.early_hello(&bob);
    world.preview(conn);
    world.frame(conn, ToServer::Hello(Box::new(bob.hello())));
    assert_eq!(world.closed(conn), Some(ClosingReason::Violation));
    let mut eager = bob.clone();
    let conn = world.early_hello(&eager);
    world.preview(conn);
    let command = eager.command("c1", accept());
    world.frame(conn, command);
    assert_eq!(world.closed(conn), Some(ClosingReason::Violation));
    assert_eq!(world.state_of("c1", "bob"), UserState::Inviting);
}

#[test]
fn a_preview_that_could_not_be_read_is_refused_until_later() {
    let (mut world, _, bob) = rung_while_away();
    let full = || Some(StoreError::Failed("the disk is full".to_owned()));
    world.fault.set(full());
    let conn = world.early_hello(&bob);
    world.fault.set(None);
    assert_eq!(world.refused(conn), Code::ServerOverloaded);
    let conn = world.early_hello(&bob);
    world.preview(conn);
    world.fault.set(full());
    world.confirm(conn);
    world.fault.set(None);
    assert_eq!(world.refused(conn), Code::ServerOverloaded);
    let conn = world.early_hello(&bob);
    world.preview(conn);
    world.confirm(conn);
    world.welcome(conn);
}

#[test]
fn a_copy_is_not_told_the_verdicts_of_the_other_ahead_of_its_hello() {
    let mut world = World::new();
    let mut disk = Disk::new("alice", "a1");
    world.log_in(&mut disk);
    let (mut one, mut other) = (disk.clone(), disk);
    world.log_in(&mut one);
    one.command("c1", cancel()); // numbered, and lost on the way
    let conn = world.log_in(&mut other);
    let frame = other.command("c2", cancel());
    world.frame(conn, frame);
    let early = world.early_hello(&one);
    world.nothing(early);
}
