//! Several engines on one file: one syncs, the others give commands, hear, and take over.

use super::*;
use crate::client::core::Role;
use crate::client::core::lease::LOCK_RETRY_MS;
use crate::error::Code;

/// Two engines on one file, the first one connected, and nothing left to read.
fn two() -> (Device, Device) {
    let first = Device::connected();
    let second = waiting_beside(&first);
    (first, second)
}

fn waiting_beside(first: &Device) -> Device {
    let mut second = Device::beside(first);
    second.start();
    second.forget_what_was_said();
    second
}

impl Device {
    fn look(&mut self) {
        self.act(Core::look).unwrap();
    }

    fn role(&mut self) -> Role {
        self.core().role()
    }

    /// The process dies; the server goes on, with whoever comes next.
    fn dies(mut self, next: &mut Self) {
        self.core = None;
        std::mem::swap(&mut self.server, &mut next.server);
    }

    /// Somebody else takes the file over, whatever the lock says.
    fn fence(&self) {
        let sql = "UPDATE lease SET generation = generation + 1";
        self.sql().execute_batch(sql).unwrap();
    }

    fn lose_lock_file(&self) {
        std::fs::remove_file(self.lock_file()).unwrap();
    }

    fn lock_file(&self) -> std::ffi::OsString {
        let mut lock = self.file.clone().into_os_string();
        lock.push(".lock");
        lock
    }
}

fn push_of(call: &str) -> String {
    format!(
        r#"{{"kind":"invite","userID":"bob","callID":"{call}","mode":0,"caller":"carl",
            "inviter":"carl","createTime":{BEGIN},"timeout":90,"deadline":{},"invitation":1,
            "sentAt":{BEGIN},"extendedData":""}}"#,
        BEGIN + 90_000
    )
}

#[test]
fn a_second_engine_opens_waits_and_says_why_it_has_no_connection() {
    let first = Device::connected();
    let mut second = Device::beside(&first);
    second.start();
    assert_eq!(second.role(), Role::Waiting);
    assert_eq!(
        second.told(),
        ["connection Disconnected LoginInterrupted"],
        "once"
    );
    let status = second.core().link_status();
    assert!(status.error.unwrap().contains("another process"));
    second.pass(60_000);
    second.look();
    assert!(second.told().is_empty() && second.sent().is_empty());
    assert!(!second.links().contains(&"connect".into()));
}

#[test]
fn that_another_process_has_the_connection_is_said_only_as_long_as_it_does() {
    let (first, mut second) = two();
    let error = |device: &mut Device| device.core().link_status().error;
    assert!(error(&mut second).is_some());
    first.dies(&mut second);
    second.look();
    assert_eq!(error(&mut second), None);
    let mut third = waiting_beside(&second);
    assert!(error(&mut third).is_some());
    third.act(Core::logout);
    assert_eq!(error(&mut third), None);
}

#[test]
fn what_keeps_an_engine_from_the_lock_is_said_as_it_is() {
    let first = Device::connected();
    let mut second = Device::beside(&first);
    second.lose_lock_file();
    let lock = second.lock_file();
    std::fs::create_dir(&lock).unwrap();
    second.start();
    assert_eq!(
        second.told(),
        ["connection Disconnected LoginInterrupted"],
        "once"
    );
    let error = |device: &mut Device| device.core().link_status().error;
    assert!(error(&mut second).unwrap().contains("not a file"));
    second.look();
    assert!(error(&mut second).unwrap().contains("not a file"));
    std::fs::remove_dir(&lock).unwrap();
    second.pass(LOCK_RETRY_MS);
    second.look();
    assert_eq!(second.role(), Role::Syncing);
    assert_eq!(error(&mut second), None);
}

#[test]
fn what_the_waiting_one_asks_goes_out_through_the_other_and_settles_in_both() {
    let (mut first, mut second) = two();
    second
        .submit("o1", "c1", invite(&["alice"], Mode::General))
        .unwrap();
    assert!(second.sent().is_empty());
    first.look();
    let verdicts = first.decisions();
    assert_eq!(verdicts.len(), 1);
    for verdict in verdicts {
        first.hear(ToDevice::Verdict(Box::new(verdict))).unwrap();
    }
    second.look();
    assert_eq!(first.told(), ["verdict o1 ok", "created c1"]);
    assert_eq!(second.told(), ["verdict o1 ok", "created c1"]);
    assert_eq!(first.positions, second.positions);
}

#[test]
fn a_command_of_the_waiting_one_goes_out_with_the_next_of_the_other_and_in_their_order() {
    let (mut first, mut second) = two();
    second.submit("o1", "nowhere", join()).unwrap();
    first.submit("o2", "nowhere", quit()).unwrap();
    assert_eq!(
        first.sent(),
        ["command 1 o1 callJoin", "command 2 o2 callQuit"]
    );
    first.look();
    assert!(first.sent_of("command").is_empty(), "once");
}

#[test]
fn both_hear_each_event_once_and_in_the_order_of_positions() {
    let (mut first, mut second) = two();
    first.server.invite("alice", "c1", &["bob"], Mode::General);
    first.live("c1");
    let taken = second.act(|core, now| core.handle_push(now, &push_of("c2")));
    assert!(taken.unwrap().ring);
    first.server.act("alice", "a1", "c1", cancel(&[]));
    first.live("c1");
    second.submit("o1", "c2", reject()).unwrap();
    for _ in 0..2 {
        first.look();
        second.look();
    }
    let all = ["received c1", "received c2", "cancelled c1"];
    assert_eq!(first.heard(), all);
    assert_eq!(second.heard(), all);
    assert_eq!(first.positions, second.positions);
    assert!(first.positions.is_sorted_by(|a, b| a < b));
}

#[test]
fn a_verdict_of_its_own_making_by_the_waiting_one_is_heard_by_the_other() {
    let (mut first, mut second) = two();
    first.lose_link();
    first.forget_what_was_said();
    first
        .submit("o1", "c1", invite(&["alice"], Mode::General))
        .unwrap();
    second.submit("o2", "c1", cancel(&[])).unwrap();
    let ends = ["verdict o1 Withdrawn cancelled", "verdict o2 ok"];
    assert_eq!(second.heard(), ends);
    first.look();
    assert_eq!(first.heard(), ends);
    first.reconnect();
    assert!(first.sent_of("command").is_empty());
}

#[test]
fn a_verdict_that_a_caller_took_leaves_the_journal_and_no_other_does() {
    let (mut first, mut second) = two();
    second.submit("o1", "nowhere", join()).unwrap();
    first.submit("o2", "nowhere", join()).unwrap();
    first.decide();
    second.look();
    let (of_second, of_first) = (second.verdict_positions[0], first.verdict_positions[1]);
    second.core().verdict_taken(of_second);
    second.act(Core::flush).unwrap();
    let left: Vec<_> = first.journal().iter().map(|one| one.position).collect();
    assert_eq!(left, [Some(of_first)]);
}

#[test]
fn what_the_waiting_one_marks_as_seen_is_told_to_the_server() {
    let (mut first, mut second) = two();
    first.server.invite("alice", "c1", &["bob"], Mode::General);
    first.server.act("alice", "a1", "c1", cancel(&[]));
    first.live("c1");
    let left = second.act(|core, now| core.mark_seen(now, None));
    assert_eq!(left, Ok(0));
    assert!(second.sent().is_empty());
    first.look();
    assert_eq!(first.sent_of("seen"), ["seen c1"]);
}

#[test]
fn the_waiting_one_ends_no_ring_and_no_command_that_is_the_others_to_end() {
    let (mut first, mut second) = two();
    first.server.invite("alice", "c1", &["bob"], Mode::General);
    first.live("c1");
    first.lose_link();
    second.submit("o1", "c2", join()).unwrap();
    second.look();
    second.forget_what_was_said();
    second.pass(100_000);
    second.look();
    assert!(second.told().is_empty());
    first.look();
    first.forget_what_was_said();
    first.pass(100_000);
    let ends = ["verdict o1 Expired notSent", "timeout c1 local"];
    assert_eq!(first.heard(), ends);
    second.look();
    assert_eq!(second.heard(), ends);
}

#[test]
fn when_the_first_is_gone_the_second_takes_over_with_all_that_was_under_way() {
    let (mut first, mut second) = two();
    first.server.invite("alice", "c1", &["bob"], Mode::General);
    first.live("c1");
    second.look();
    assert_eq!(second.heard(), ["received c1"]);
    first.submit("o1", "c1", accept()).unwrap();
    let device = first.core().device().clone();
    first.dies(&mut second);
    second.submit("o2", "nowhere", join()).unwrap();
    second.look();
    assert_eq!(second.role(), Role::Syncing);
    assert_eq!(second.told(), ["connection Connecting ActiveLogin"]);
    let hello = second.up();
    assert_eq!(hello.device, device);
    assert_eq!(hello.welcome_token.as_deref(), Some("welcome 1"));
    assert_eq!(hello.open_calls, [call_id("c1")]);
    second.forget_what_was_said();
    second.welcome();
    assert_eq!(
        second.sent_of("command"),
        ["command 1 o1 callAccept", "command 2 o2 callJoin"]
    );
}

#[test]
fn rings_that_ran_out_while_nobody_synced_are_closed_by_who_takes_over_and_once() {
    let (mut first, mut second) = two();
    first.server.invite("alice", "c1", &["bob"], Mode::General);
    first.live("c1");
    second.look();
    first.dies(&mut second);
    second.sleep(100_000);
    second.forget_what_was_said();
    second.look();
    second.wake().unwrap();
    assert_eq!(second.heard(), ["timeout c1 local"]);
    let mut third = waiting_beside(&second);
    second.core = None;
    third.now = second.now;
    third.look();
    third.wake().unwrap();
    assert!(third.heard().is_empty());
    assert_eq!(
        third.journal_words(),
        ["received c1 over", "timeout c1 local"],
        "each once"
    );
}

#[test]
fn a_pause_hands_over() {
    let (mut first, mut second) = two();
    first.act(Core::close);
    first.act(Core::checkpoint).unwrap();
    second.look();
    assert_eq!(second.role(), Role::Waiting, "the file is still open");
    first.dies(&mut second);
    second.look();
    assert_eq!(second.role(), Role::Syncing);
}

#[test]
fn what_the_server_says_to_one_that_was_fenced_is_not_written_and_nothing_is_lost() {
    let mut first = Device::connected();
    let record = {
        first.server.invite("alice", "c1", &["bob"], Mode::General);
        first.server.record("c1")
    };
    first.fence();
    first.feed_live(std::slice::from_ref(&record));
    assert_eq!(first.role(), Role::Waiting);
    assert_eq!(first.told(), ["connection Disconnected LoginInterrupted"]);
    assert_eq!(first.links(), ["close"]);
    assert_eq!(first.count("SELECT count(*) FROM calls"), 0);
    assert_eq!(first.count("SELECT cursor FROM feed"), 0);
    first.look();
    assert_eq!(first.role(), Role::Waiting, "not at once");
    first.pass(30_000);
    first.look();
    assert_eq!(first.role(), Role::Syncing);
    first.up();
    first.welcome();
    first.feed_open(&[record], true);
    assert_eq!(first.heard(), ["received c1"]);
}

#[test]
fn a_command_given_to_one_that_was_fenced_is_kept_and_not_sent() {
    let mut first = Device::connected();
    first.fence();
    first.submit("o1", "nowhere", join()).unwrap();
    assert!(first.sent().is_empty());
    assert_eq!(first.count("SELECT count(number) FROM commands"), 0);
    assert_eq!(first.count("SELECT count(*) FROM commands"), 1);
}

#[test]
fn one_that_was_fenced_says_nothing_more_to_the_server() {
    let verdict = {
        let mut first = Device::connected();
        first.submit("o1", "nowhere", join()).unwrap();
        first.decisions().remove(0)
    };
    for step in 0..5 {
        let mut first = Device::connected();
        first.submit("o1", "nowhere", join()).unwrap();
        if step == 4 {
            first.lose_link();
            first.pass(30_000);
        }
        first.forget_what_was_said();
        first.fence();
        match step {
            0 => first.pass(60_000),
            1 => first
                .hear(ToDevice::Verdict(Box::new(verdict.clone())))
                .unwrap(),
            2 => first.act(Core::network_changed),
            3 => first.look(),
            _ => {
                let (attempt, server) = (first.attempt, "127.0.0.1:1".parse().unwrap());
                let up = LinkEvent::Up { attempt, server };
                first.act(|core, now| core.handle_link(now, up)).unwrap();
            }
        }
        assert!(first.sent().is_empty(), "{step}");
        assert_eq!(first.role(), Role::Waiting, "{step}");
        assert!(first.heard().is_empty(), "{step}");
    }
}

#[test]
fn one_that_has_the_lock_and_could_not_write_tries_again_soon() {
    let (first, mut second) = two();
    let broken = "CREATE TRIGGER broken BEFORE UPDATE ON lease BEGIN
                      SELECT RAISE(ABORT, 'the disk is broken');
                  END";
    first.sql().execute_batch(broken).unwrap();
    first.dies(&mut second);
    assert!(second.act(Core::look).is_err());
    second.sql().execute_batch("DROP TRIGGER broken").unwrap();
    second.look();
    assert_eq!(second.role(), Role::Waiting, "not at once");
    second.pass(1_000);
    second.look();
    assert_eq!(second.role(), Role::Syncing);
}

#[test]
fn a_lock_file_that_was_deleted_makes_one_of_two_step_down() {
    let (mut first, mut second) = two();
    first.lose_lock_file();
    second.look();
    assert_eq!(second.role(), Role::Syncing);
    first.look();
    assert_eq!(first.role(), Role::Waiting);
    first.pass(60_000);
    for _ in 0..3 {
        first.look();
        second.look();
    }
    assert_eq!(
        (first.role(), second.role()),
        (Role::Waiting, Role::Syncing)
    );
}

#[test]
fn a_new_identity_of_the_file_is_everybodys() {
    let (mut first, mut second) = two();
    let dropped = Error::new(Code::Dropped, "copied", "a copy");
    let refused = ToDevice::Refused(crate::protocol::Refused { error: dropped });
    first.hear(refused).unwrap();
    second.look();
    let device = first.core().device().clone();
    assert_ne!(device, DeviceId::trusted("b1"));
    assert_eq!(second.core().device(), &device);
}

#[test]
fn the_waiting_one_tells_the_time_by_the_offset_that_the_other_learned() {
    let first = Device::connected();
    let mut second = waiting_beside(&first);
    second
        .sql()
        .execute_batch("UPDATE meta SET value = value + 7000 WHERE key = 'clock_steady_offset_ms'")
        .unwrap();
    second.look();
    let now = second.now;
    let server_time = second.server_time();
    assert_eq!(second.core().server_now(now), server_time + 7_000);
}

#[test]
fn a_logout_of_the_waiting_one_is_its_own_and_it_does_not_come_back_by_itself() {
    let (mut first, mut second) = two();
    second.act(Core::logout);
    assert_eq!(
        second.told(),
        ["connection Disconnected Success", "logged out"]
    );
    let refused = second.submit("o1", "nowhere", join()).unwrap_err();
    assert_eq!(refused.code, Code::NotLoggedIn);
    first.look();
    first.submit("o2", "nowhere", join()).unwrap();
    assert_eq!(first.sent(), ["command 1 o2 callJoin"]);
    first.dies(&mut second);
    second.look();
    assert!(!second.links().contains(&"connect".into()));
    second.start();
    assert!(second.links().contains(&"connect".into()));
}

#[test]
fn a_token_that_the_waiting_one_was_given_is_shown_once_it_syncs() {
    let (first, mut second) = two();
    second.act(|core, now| core.renew_token(now, "newer".into()));
    assert_eq!(second.told(), ["renewed ok"]);
    first.dies(&mut second);
    second.look();
    assert_eq!(second.up().token.as_deref(), Some("newer"));
}

#[test]
fn an_invitation_that_is_over_before_it_is_noticed_does_not_ring_and_its_end_is_told() {
    let (mut first, mut second) = two();
    first.server.invite("alice", "c1", &["bob"], Mode::General);
    first.live("c1");
    first.lose_link();
    first.pass(100_000);
    second.sleep(100_000);
    second.look();
    assert_eq!(second.heard(), ["timeout c1 local"]);
}

#[test]
fn an_invitation_that_was_taken_back_before_it_is_noticed_does_not_ring_and_nothing_but_its_end_is_told()
 {
    let (mut first, mut second) = two();
    first
        .server
        .invite("alice", "c1", &["bob", "carl"], Mode::Advanced);
    first.live("c1");
    first.server.act("carl", "c1", "c1", reject());
    first.live("c1");
    first.server.act("alice", "a1", "c1", cancel(&[]));
    first.live("c1");
    second.look();
    assert_eq!(
        first.heard(),
        ["received c1", "changed c1 carl=rejected", "cancelled c1"]
    );
    assert_eq!(second.heard(), ["cancelled c1"]);
}

#[test]
fn an_invitation_that_was_answered_before_it_is_noticed_does_not_ring_and_the_call_is_told() {
    let (mut first, mut second) = two();
    first.server.invite("alice", "c1", &["bob"], Mode::General);
    first.live("c1");
    first.submit("o1", "c1", accept()).unwrap();
    first.decide();
    second.look();
    assert_eq!(second.heard(), ["verdict o1 ok", "changed c1 bob=accepted"]);
}

#[test]
fn an_answer_that_was_waited_for_in_one_closes_the_ring_in_the_other() {
    let (mut first, mut second) = two();
    first.server.invite("alice", "c1", &["bob"], Mode::General);
    first.live("c1");
    second.look();
    assert_eq!(second.heard(), ["received c1"]);
    first.submit("o1", "c1", reject()).unwrap();
    first.decide();
    let taken = first.verdict_positions[0];
    first.core().verdict_taken(taken);
    first.act(Core::flush).unwrap();
    second.look();
    assert_eq!(second.heard(), ["verdict o1 ok", "changed c1 bob=rejected"]);
    for device in [&first, &second] {
        let owed = ["received c1 over", "changed c1 bob=rejected"];
        assert_eq!(device.journal_words(), owed);
    }
}

#[test]
fn a_position_that_is_no_verdicts_is_not_marked_as_answered() {
    let (mut first, mut second) = two();
    first.server.invite("alice", "c1", &["bob"], Mode::General);
    first.live("c1");
    first.core().verdict_taken(1);
    first.act(Core::flush).unwrap();
    second.look();
    assert_eq!(second.heard(), ["received c1"]);
    assert_eq!(first.journal_words(), ["received c1"]);
}

#[test]
fn more_events_than_can_be_taken_in_at_once_come_in_order_and_none_twice() {
    let (mut first, mut second) = two();
    first.server.invite("alice", "c1", &["bob"], Mode::General);
    first.live("c1");
    second.look();
    let many =
        "WITH RECURSIVE more (k) AS (SELECT 1 UNION ALL SELECT k + 1 FROM more WHERE k < 2500)
                INSERT INTO journal (at_ms, call_id, name, params)
                SELECT at_ms, call_id, 'callPrimaryDeviceChanged', json_object('callID', call_id, 'deviceID', 'b2') FROM more, journal WHERE position = 1";
    second.sql().execute_batch(many).unwrap();
    first.server.act("alice", "a1", "c1", cancel(&[]));
    first.live("c1");
    second.act(Core::checkpoint).unwrap();
    for device in [&mut first, &mut second] {
        let mut looks = 0;
        while looks == 0 || device.core().is_behind() {
            device.look();
            looks += 1;
        }
        let all: Vec<u64> = (1..=2_502).collect();
        assert_eq!(device.positions, all);
        assert_eq!(device.heard().last().unwrap(), "cancelled c1");
    }
}

#[test]
fn an_app_that_comes_back_from_a_pause_hears_what_others_journaled_meanwhile() {
    let (mut first, mut second) = two();
    second.look();
    let told = second.core().told_position();
    second.core = None;
    first.server.invite("alice", "c1", &["bob"], Mode::General);
    first.live("c1");
    second.open();
    second
        .act(|core, now| core.tell_on_from(now, told))
        .unwrap();
    second.look();
    assert_eq!(second.heard(), ["received c1"]);
}

#[test]
fn two_apps_that_acknowledge_what_they_hear_do_not_wake_each_other_for_ever() {
    let (mut first, mut second) = two();
    for device in [&mut first, &mut second] {
        let acknowledged = device.act(|core, now| core.acknowledge(now, "app", 9));
        acknowledged.unwrap();
    }
    first.look();
    second.look();
    first.core().take_changed();
    second.core().take_changed();
    for device in [&mut first, &mut second] {
        let acknowledged = device.act(|core, now| core.acknowledge(now, "app", 9));
        acknowledged.unwrap();
        device.look();
    }
    first.look();
    assert!(!first.core().take_changed() && !second.core().take_changed());
}

#[test]
fn a_write_by_hand_is_noticed_like_any_other() {
    let mut first = Device::rung("c1");
    first.core().take_changed();
    first.look();
    assert!(!first.core().take_changed());
    let sql = "UPDATE rings SET deadline_ms = deadline_ms - 60000";
    first.sql().execute_batch(sql).unwrap();
    first.look();
    assert!(first.core().take_changed());
    first.pass(30_000);
    assert_eq!(first.heard(), ["timeout c1 local"]);
}
