use super::*;

const OFFLINE: Millis = 35_000;

fn started(world: &mut World, id: &str) -> bool {
    world.stored(id).is_started()
}

#[test]
fn a_creator_who_is_gone_for_35_s_cancels_an_unanswered_call() {
    let (mut world, (a, mut alice), (b, _)) = two();
    world.ring((a, &mut alice), "c1", "bob", Mode::General);
    world.take(b);
    world.close(a);
    world.pass_awake(OFFLINE - 1, &[b]);
    assert!(started(&mut world, "c1"));
    world.pass(1);
    assert_eq!(world.state_of("c1", "bob"), UserState::Cancelled);
    let call = world.live(b);
    assert_eq!(call.ending.unwrap().by, None);
}

#[test]
fn a_silent_creator_counts_from_when_they_were_last_heard() {
    let (mut world, (a, mut alice), (b, _)) = two();
    world.ring((a, &mut alice), "c1", "bob", Mode::General);
    world.pass_awake(OFFLINE - 1, &[b]);
    assert!(started(&mut world, "c1"));
    world.pass(1);
    assert_eq!(world.closed(a), None);
    assert!(!started(&mut world, "c1"));
}

#[test]
fn a_drop_shorter_than_35_s_changes_nothing() {
    let (mut world, (a, mut alice), (b, _)) = two();
    world.ring((a, &mut alice), "c1", "bob", Mode::General);
    let revision = world.stored("c1").revision;
    world.close(a);
    world.pass_awake(OFFLINE - 1, &[b]);
    let a = world.log_in(&mut alice);
    world.pass_awake(20_000, &[a, b]);
    assert_eq!(world.stored("c1").revision, revision);
}

#[test]
fn a_second_device_of_the_creator_keeps_the_call() {
    let (mut world, (a, mut alice), (b, _)) = two();
    let c = world.log_in(&mut Disk::new("alice", "a2"));
    world.ring((a, &mut alice), "c1", "bob", Mode::General);
    world.close(a);
    world.pass_awake(50_000, &[b, c]);
    assert!(started(&mut world, "c1"));
}

#[test]
fn a_creators_absence_counts_from_when_the_last_of_their_devices_went() {
    let (mut world, (a, mut alice), (b, _)) = two();
    let c = world.log_in(&mut Disk::new("alice", "a2"));
    world.ring((a, &mut alice), "c1", "bob", Mode::General);
    world.pass_awake(20_000, &[b, c]);
    world.close(c);
    world.pass_awake(OFFLINE - 1, &[b]);
    assert!(started(&mut world, "c1"), "though the other was silent");
    world.pass(1);
    assert!(!started(&mut world, "c1"));
}

#[test]
fn a_restart_starts_the_count_anew() {
    let (mut world, (a, mut alice), _) = two();
    world.ring((a, &mut alice), "c1", "bob", Mode::General);
    world.close(a);
    world.pass(20_000);
    world.restart(1_000);
    world.pass(OFFLINE - 1);
    assert!(started(&mut world, "c1"));
    world.pass(1);
    assert!(!started(&mut world, "c1"));
}

#[test]
fn a_stall_starts_the_count_anew() {
    let (mut world, (a, mut alice), _) = two();
    let command = invite(&["bob"], 600, Mode::General);
    world.command(a, &mut alice, "c1", command);
    world.close(a);
    world.pass(20_000);
    // The server sleeps through the wakeup it asked for.
    world.mono += 60_000;
    world.step(Vec::new());
    assert!(started(&mut world, "c1"));
    world.pass(OFFLINE - 1);
    assert!(started(&mut world, "c1"));
    world.pass(1);
    assert!(!started(&mut world, "c1"));
}

#[test]
fn a_stall_closes_nobody_whose_ping_is_still_queued() {
    let (mut world, (a, _), _) = two();
    world.mono += 60_000;
    world.step(Vec::new());
    world.nothing(a);
    world.frame(a, ToServer::Ping(Ping { sent_at: 0 }));
    assert!(matches!(world.next(a), Told::Frame(ToDevice::Pong(_))));
}

#[test]
fn deadlines_that_passed_while_the_server_was_down_fire_on_start() {
    let (mut world, (a, mut alice), _) = two();
    let command = invite(&["bob"], 10, Mode::General);
    world.command(a, &mut alice, "c1", command);
    let deadline = world.stored("c1").members[1].deadline;
    world.restart(3_600_000);
    let call = world.stored("c1");
    assert_eq!(call.members[1].state, UserState::Timeout);
    assert_eq!(call.end_time(), deadline);
}

#[test]
fn an_answered_call_survives_its_creators_absence() {
    let (mut world, (a, mut alice), (b, mut bob)) = two();
    world.ring((a, &mut alice), "c1", "bob", Mode::Advanced);
    world.command(b, &mut bob, "c1", accept());
    world.close(a);
    world.pass_awake(600_000, &[b]);
    assert!(started(&mut world, "c1"));
}

#[test]
fn an_advanced_call_that_all_have_been_gone_from_is_ended() {
    let (mut world, (a, mut alice), (b, mut bob)) = two_in(World::with(&["abandoned_after_s=100"]));
    world.ring((a, &mut alice), "c1", "bob", Mode::Advanced);
    world.command(b, &mut bob, "c1", accept());
    world.close(a);
    world.pass_awake(90_000, &[b]);
    world.close(b);
    // Alice has been gone for long enough, bob has not.
    world.pass(99_999);
    assert!(started(&mut world, "c1"));
    world.pass(1);
    let call = world.stored("c1");
    assert_eq!(call.ending.unwrap().kind, call::EndKind::Abandoned);
    assert!(world.core.as_ref().unwrap().state.absent.is_empty());
}

#[test]
fn an_advanced_call_that_is_left_to_who_is_long_gone_is_ended() {
    let (mut world, (a, mut alice), (b, mut bob)) = two_in(World::with(&["abandoned_after_s=100"]));
    world.ring((a, &mut alice), "c1", "bob", Mode::Advanced);
    world.command(b, &mut bob, "c1", accept());
    world.close(a);
    world.close(b);
    world.pass(99_000);
    let b = world.log_in(&mut bob);
    world.pass_awake(50_000, &[b]);
    assert!(started(&mut world, "c1"));
    world.command(b, &mut bob, "c1", quit());
    world.settle();
    assert!(!started(&mut world, "c1"), "alice alone, gone for too long");
}

#[test]
fn who_leaves_without_a_call_is_forgotten() {
    let (mut world, (a, _), (b, _)) = two();
    world.close(a);
    world.close(b);
    world.pass(OFFLINE);
    assert!(world.core.as_ref().unwrap().state.absent.is_empty());
    assert!(world.core.as_ref().unwrap().state.users.is_empty());
}

#[test]
fn a_logout_on_the_primary_device_cancels_what_nobody_answered() {
    let (mut world, (a, mut alice), (b, _)) = two();
    let c = world.log_in(&mut Disk::new("alice", "a2"));
    world.ring((a, &mut alice), "c1", "bob", Mode::General);
    world.take(b);
    world.take(c);
    world.frame(c, ToServer::Logout);
    assert!(matches!(world.next(c), Told::Frame(ToDevice::LoggedOut)));
    assert_eq!(world.closed(c), None);
    assert!(started(&mut world, "c1"), "made with another device");
    world.frame(a, ToServer::Logout);
    assert!(matches!(world.next(a), Told::Frame(ToDevice::LoggedOut)));
    let call = world.live(b);
    let ending = call.ending.unwrap();
    assert_eq!(ending.by, Some(UserId::trusted("alice")));
    assert_eq!(ending.device, None);
}

#[test]
fn an_idle_server_asks_for_no_wakeup() {
    let world = World::new();
    assert_eq!(world.core.as_ref().unwrap().next_wakeup(), None);
}

#[test]
fn an_absent_member_of_a_call_that_ended_is_forgotten() {
    let (mut world, (a, mut alice), (b, mut bob)) = two();
    world.ring((a, &mut alice), "c1", "bob", Mode::Advanced);
    world.command(b, &mut bob, "c1", accept());
    world.close(a);
    world.pass_awake(OFFLINE, &[b]);
    assert_eq!(world.core.as_ref().unwrap().state.absent.len(), 1);
    let end = call::Command::End {
        under: call::Under::Unknown,
        extended_data: String::new(),
        push: None,
    };
    world.command(b, &mut bob, "c1", end);
    world.settle();
    assert!(world.core.as_ref().unwrap().state.absent.is_empty());
}
