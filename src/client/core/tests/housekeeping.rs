//! What the file loses, and what it never does.

use std::time::Duration;

use super::*;
use crate::client::housekeeping::Retention;

/// Longer than from one pass of the housekeeping to the end of the next.
const A_PASS_MS: i64 = 3_660_000;
const DAY_MS: i64 = 86_400_000;

/// Keeps so many calls, and nothing else that is too much.
fn keeping(calls: u64) -> Retention {
    Retention {
        calls: Some(calls),
        ..Retention::default()
    }
}

fn for_days(days: u64) -> Retention {
    Retention {
        calls_for: Some(Duration::from_secs(days * 86_400)),
        ..Retention::default()
    }
}

impl Device {
    fn keeps(&mut self, retention: Retention) {
        self.core().set_retention(retention);
    }

    /// Alice rings bob and takes it back; bob sees that on another device. A second each.
    fn missed_and_seen(&mut self, calls: &[&str]) {
        for call in calls {
            self.server.invite("alice", call, &["bob"], Mode::General);
            self.server.act("alice", "a1", call, cancel(&[]));
            self.server.see(call);
            let record = self.server.record(call);
            self.feed_live(&[record]);
            self.pass(1_000);
        }
        self.forget_what_was_said();
    }

    /// The calls of the list, newest first.
    fn list(&self) -> Vec<String> {
        let page = self.readers().page(&crate::client::store::Query::default());
        let calls = page.unwrap().calls;
        calls.iter().map(|one| one.call.id.to_string()).collect()
    }

    fn rows_about(&self, call: &str) -> i64 {
        let tables = ["calls", "rings", "commands", "changes", "journal"];
        let rows = |table| {
            self.count(&format!(
                "SELECT count(*) FROM {table} WHERE call_id = '{call}'"
            ))
        };
        tables.map(rows).iter().sum()
    }

    /// Restored from a copy of its data, the server tells everything from the beginning.
    fn hears_all_again(&mut self, calls: &[&str]) {
        self.lose_link();
        self.server.restore();
        self.reconnect();
        self.feed_open(&[], true);
        let records: Vec<Call> = calls.iter().map(|call| self.server.record(call)).collect();
        self.feed_history(&records, true);
    }
}

#[test]
fn of_more_calls_than_are_kept_the_oldest_go_with_all_there_is_about_them() {
    let mut device = Device::connected();
    device.keeps(keeping(2));
    device.missed_and_seen(&["c1", "c2", "c3", "c4"]);
    assert_eq!(device.list(), ["c4", "c3", "c2", "c1"]);
    device.act(|core, _| core.take_changed());
    device.pass(A_PASS_MS);
    assert_eq!(device.list(), ["c4", "c3"]);
    assert!(device.core().take_changed(), "whoever watches is told");
    assert_eq!((device.rows_about("c1"), device.rows_about("c2")), (0, 0));
    assert!(device.heard().is_empty(), "silently");
    assert_eq!(device.count("SELECT count(*) FROM members"), 4);
}

#[test]
fn many_calls_go_in_steps_of_which_each_is_small() {
    let mut device = Device::connected();
    let names: Vec<String> = (0..160).map(|n| format!("c{n}")).collect();
    device.missed_and_seen(&names.iter().map(String::as_str).collect::<Vec<_>>());
    device.keeps(keeping(10));
    let mut steps = Vec::new();
    let mut left = 160;
    for _ in 0..10_000 {
        let now = device.now;
        let due = device.core().poll_timeout(now).unwrap();
        device.sleep((due - now.mono_ms).max(0));
        device.wake().unwrap();
        let calls = device.count("SELECT count(*) FROM calls");
        if calls < left {
            steps.push(left - calls);
            left = calls;
        }
        if left == 10 {
            break;
        }
    }
    assert_eq!(steps, [50, 50, 50]);
}

#[test]
fn what_goes_on_waits_for_a_verdict_or_was_missed_unseen_is_never_removed() {
    let mut device = Device::connected();
    device.keeps(keeping(1));
    // It goes on.
    device
        .server
        .invite("alice", "on", &["bob"], Mode::Advanced);
    let records = [device.server.record("on")];
    device.feed_live(&records);
    device.submit("o1", "on", accept()).unwrap();
    device.decide();
    device.pass(1_000);
    // Nobody has seen it.
    device
        .server
        .invite("alice", "unseen", &["bob"], Mode::General);
    device.server.act("alice", "a1", "unseen", cancel(&[]));
    device.live("unseen");
    device.pass(1_000);
    // Seen here, which the server does not know.
    device
        .server
        .invite("alice", "told", &["bob"], Mode::General);
    device.server.act("alice", "a1", "told", cancel(&[]));
    device.live("told");
    let ids = [call_id("told")];
    device
        .act(|core, now| core.mark_seen(now, Some(&ids)))
        .unwrap();
    device.pass(1_000);
    // Over, and a quit of it waits.
    device
        .server
        .invite("alice", "quits", &["bob"], Mode::Advanced);
    device.live("quits");
    device.submit("o2", "quits", accept()).unwrap();
    device.decide();
    device.submit("o3", "quits", quit()).unwrap();
    device.server.act("alice", "a1", "quits", end());
    device.live("quits");
    device.pass(1_000);
    device.missed_and_seen(&["gone", "last"]);
    device.lose_link();
    device.pass(2 * A_PASS_MS);
    assert_eq!(device.list(), ["last", "quits", "told", "unseen", "on"]);
    device.reconnect();
    device.caught_up();
    // Nothing of that is so any more.
    for call in ["unseen", "told"] {
        device.server.see(call);
        device.live(call);
    }
    device.server.act("alice", "a1", "on", end());
    device.live("on");
    let frame = crate::protocol::CommandFrame {
        number: 3,
        op: Op::trusted("o3"),
        call: call_id("quits"),
        not_after: 0,
        command: quit(),
    };
    let verdict = device.server.decide(&frame);
    device.hear(ToDevice::Verdict(Box::new(verdict))).unwrap();
    device.pass(A_PASS_MS);
    assert_eq!(device.list(), ["last"]);
}

#[test]
fn the_age_of_a_call_is_the_servers_time_as_it_was_last_heard_and_no_wall_clocks() {
    let mut device = Device::connected();
    device.missed_and_seen(&["c1"]);
    device.keeps(for_days(30));
    device.lose_link();
    device.now.wall_ms += 1_000 * DAY_MS;
    device.reopen();
    device.keeps(for_days(30));
    device.start();
    device.pass(10 * A_PASS_MS);
    assert_eq!(device.list(), ["c1"], "nobody knows what time it is");
    device.now.wall_ms -= 1_000 * DAY_MS;
    device.sleep(29 * DAY_MS);
    device.connect();
    device.caught_up();
    device.missed_and_seen(&["c2"]);
    device.pass(A_PASS_MS);
    assert_eq!(device.list(), ["c2", "c1"]);
    device.lose_link();
    device.sleep(DAY_MS);
    device.reconnect();
    device.caught_up();
    device.pass(2 * A_PASS_MS);
    assert_eq!(device.list(), ["c2"]);
}

#[test]
fn a_call_that_went_on_for_long_is_as_old_as_its_end() {
    let mut device = Device::connected();
    device.keeps(for_days(1));
    device
        .server
        .invite("alice", "long", &["bob"], Mode::Advanced);
    device.live("long");
    device.submit("o1", "long", accept()).unwrap();
    device.decide();
    device.lose_link();
    device.sleep(3 * DAY_MS);
    device.reconnect();
    device.caught_up();
    device.server.act("alice", "a1", "long", end());
    device.live("long");
    device.pass(2 * A_PASS_MS);
    assert_eq!(device.list(), ["long"]);
}

#[test]
fn nothing_is_removed_while_something_rings_or_is_catching_up() {
    let mut device = Device::connected();
    device.missed_and_seen(&["c1", "c2"]);
    device.keeps(keeping(1));
    device
        .server
        .invite("alice", "rings", &["bob"], Mode::General);
    device.live("rings");
    device.pass(50_000);
    assert_eq!(device.list(), ["rings", "c2", "c1"]);
    device.lose_link();
    device.reconnect();
    assert_eq!(device.list(), ["rings", "c2", "c1"], "it rings still");
    device.pass(10_000);
    device.server.pass_time("rings");
    let records = [device.server.record("rings")];
    device.feed_open(&records, true);
    device.pass(A_PASS_MS);
    assert_eq!(device.list(), ["rings", "c2", "c1"], "history is to come");
    device.feed_history(&[], true);
    device.pass(A_PASS_MS);
    // The missed one stays for being unseen.
    assert_eq!(device.list(), ["rings"]);
}

#[test]
fn nothing_is_removed_by_a_device_that_lost_the_link_before_it_had_heard_all() {
    let mut device = Device::connected();
    // Bob is asked into an old call, away, and misses it: that is told late, as its last change.
    device
        .server
        .invite("alice", "old", &["carl"], Mode::Advanced);
    device.pass(1_000);
    device.missed_and_seen(&["c1"]);
    device.lose_link();
    device
        .server
        .act("alice", "a1", "old", calling_invite(&["bob"]));
    device.sleep(1_000);
    let mut young = Vec::new();
    for call in ["c2", "c3"] {
        device.server.invite("alice", call, &["bob"], Mode::General);
        device.server.act("alice", "a1", call, cancel(&[]));
        device.server.see(call);
        young.push(device.server.record(call));
        device.sleep(1_000);
    }
    device.server.act("alice", "a1", "old", end());
    device.keeps(keeping(1));
    device.reconnect();
    device.feed_open(&[], true);
    device.feed_history(&young, false);
    device.lose_link();
    device.pass(2 * A_PASS_MS);
    assert_eq!(device.list(), ["c3", "c2", "c1"], "more is to come");
    // Nor after a restart, when nobody remembers that.
    device.reopen();
    device.keeps(keeping(1));
    device.start();
    device.pass(2 * A_PASS_MS);
    assert_eq!(device.list(), ["c3", "c2", "c1"], "more is to come");
    device.connect();
    device.feed_open(&[], true);
    let late = [device.server.record("old")];
    device.feed_history(&late, false);
    assert_eq!(device.readers().missed().unwrap(), 1);
    device.feed_history(&[], true);
    // What was put off is done soon, whether or not anything is written.
    device.pass(20_000);
    assert_eq!(device.list(), ["c3", "old"], "it is missed and not seen");
}

#[test]
fn what_was_removed_does_not_come_back_from_the_server_however_it_tells_of_it() {
    let mut device = Device::connected();
    device.keeps(keeping(2));
    device.missed_and_seen(&["c1", "c2", "c3", "c4"]);
    device.pass(A_PASS_MS);
    assert_eq!(device.list(), ["c4", "c3"]);
    device.hears_all_again(&["c1", "c2", "c3", "c4"]);
    assert_eq!(device.list(), ["c4", "c3"], "from nothing");
    device.live("c1");
    assert_eq!(device.list(), ["c4", "c3"], "live");
    device.reopen();
    device.connect();
    device.feed_open(&[], true);
    let records = [device.server.record("c2")];
    device.feed_history(&records, true);
    assert_eq!(device.list(), ["c4", "c3"], "after a restart");
    assert!(device.heard().is_empty());
}

#[test]
fn an_old_call_that_was_never_here_and_goes_on_is_taken_for_it_is_no_past() {
    let mut device = Device::connected();
    device.keeps(keeping(1));
    device
        .server
        .invite("alice", "old", &["carl"], Mode::Advanced);
    device.pass(1_000);
    device.missed_and_seen(&["c1", "c2"]);
    device.pass(A_PASS_MS);
    assert_eq!(device.list(), ["c2"]);
    device.submit("o1", "old", join()).unwrap();
    device.decide();
    assert_eq!(device.list(), ["c2", "old"]);
}

impl Device {
    /// Of a call that carl has had since before all that was removed, bob knows nothing yet.
    fn has_lost_what_is_younger_than_old(&mut self) {
        self.keeps(keeping(1));
        self.server
            .invite("alice", "old", &["carl"], Mode::Advanced);
        self.pass(1_000);
        self.missed_and_seen(&["c1", "c2"]);
        self.pass(A_PASS_MS);
        assert_eq!(self.list(), ["c2"]);
    }

    /// While bob is away he is asked into that call, and it ends.
    fn misses_old_while_away(&mut self) {
        self.lose_link();
        self.server
            .act("alice", "a1", "old", calling_invite(&["bob"]));
        self.sleep(1_000);
        self.server.act("alice", "a1", "old", end());
        self.reconnect();
        self.feed_open(&[], true);
        let records = [self.server.record("old")];
        self.feed_history(&records, true);
    }
}

#[test]
fn a_missed_call_that_is_older_than_its_invitation_comes_in_whatever_was_removed() {
    let mut device = Device::connected();
    device.has_lost_what_is_younger_than_old();
    device.misses_old_while_away();
    assert_eq!(device.list(), ["c2", "old"]);
    assert_eq!(device.readers().missed().unwrap(), 1);
    device.pass(2 * A_PASS_MS);
    assert_eq!(device.list(), ["c2", "old"], "nobody has seen it");
    device.hears_all_again(&["c1", "c2", "old"]);
    assert_eq!(device.list(), ["c2", "old"], "c1 was over before");
}

#[test]
fn a_missed_call_that_was_removed_stays_away_also_if_the_server_lost_that_it_was_seen() {
    let mut device = Device::connected();
    device.has_lost_what_is_younger_than_old();
    let c1 = device.server.whole_record("c1");
    device.misses_old_while_away();
    let unseen = device.server.whole_record("old");
    device.server.see("old");
    device.live("old");
    device.pass(2 * A_PASS_MS);
    assert_eq!(device.list(), ["c2"]);
    for mut call in [c1, unseen] {
        for own in call.members.iter_mut().filter_map(|one| one.own.as_mut()) {
            own.seen = false;
        }
        device.server.put_back(call);
    }
    device.hears_all_again(&["c1", "c2", "old"]);
    assert_eq!(device.list(), ["c2"]);
}

#[test]
fn a_late_push_of_an_invitation_after_all_that_was_removed_is_taken() {
    let mut device = Device::connected();
    device.has_lost_what_is_younger_than_old();
    device.lose_link();
    let deadline = device.server.now - 1_000;
    let text = format!(
        r#"{{"kind":"invite","userID":"bob","callID":"old","mode":1,"caller":"alice",
            "inviter":"alice","createTime":{BEGIN},"timeout":90,"deadline":{deadline},
            "invitation":1,"sentAt":{deadline},"extendedData":""}}"#,
    );
    let taken = device.act(|core, now| core.handle_push(now, &text));
    assert!(!taken.unwrap().ring, "it is too late");
    assert_eq!(device.list(), ["c2", "old"]);
}

#[test]
fn a_push_that_comes_much_too_late_does_not_bring_a_call_back() {
    let mut device = Device::connected();
    device.keeps(keeping(1));
    device.missed_and_seen(&["c1", "c2"]);
    device.pass(A_PASS_MS);
    assert_eq!(device.list(), ["c2"]);
    let text = format!(
        r#"{{"kind":"invite","userID":"bob","callID":"c1","mode":0,"caller":"alice",
            "inviter":"alice","createTime":{BEGIN},"timeout":90,"deadline":{},"invitation":1,
            "sentAt":{BEGIN},"extendedData":""}}"#,
        BEGIN + 90_000
    );
    let taken = device.act(|core, now| core.handle_push(now, &text));
    assert!(!taken.unwrap().ring);
    assert_eq!(device.list(), ["c2"]);
}

#[test]
fn acknowledged_events_go_beyond_their_bound_and_the_others_stay() {
    let mut device = Device::connected();
    device.keeps(Retention {
        events: 2,
        ..Retention::default()
    });
    for call in ["c1", "c2", "c3"] {
        device.server.invite("alice", call, &["bob"], Mode::General);
        device.live(call);
        device.server.act("alice", "a1", call, cancel(&[]));
        device.live(call);
    }
    let words = device.journal_words();
    assert_eq!(words.len(), 6);
    device.pass(2 * A_PASS_MS);
    assert_eq!(device.journal_words(), words, "none is acknowledged");
    let third = device.journal()[2].position.unwrap();
    device
        .act(|core, now| core.acknowledge(now, "app", third))
        .unwrap();
    device.pass(2 * A_PASS_MS);
    assert_eq!(device.journal_words(), words[3..]);
    let last = device.journal()[2].position.unwrap();
    device
        .act(|core, now| core.acknowledge(now, "app", last))
        .unwrap();
    device.pass(2 * A_PASS_MS);
    assert_eq!(device.journal_words(), words[4..]);
}

#[test]
fn events_that_nobody_acknowledges_are_kept_up_to_a_bound() {
    let mut device = Device::connected();
    device.keeps(Retention {
        events_unacknowledged: 1,
        ..Retention::default()
    });
    device
        .sql()
        .execute_batch(
            "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 2600)
             INSERT INTO journal (at_ms, call_id, name, params) SELECT n, 'c', 'x', '{}' FROM n",
        )
        .unwrap();
    device.pass(2 * A_PASS_MS);
    assert_eq!(device.count("SELECT count(*) FROM journal"), 1_000);
    assert_eq!(device.count("SELECT max(position) FROM journal"), 2_600);
}

#[test]
fn a_verdict_that_the_app_has_not_acknowledged_outlives_its_call() {
    let mut device = Device::connected();
    device.keeps(keeping(1));
    device
        .submit("o1", "mine", invite(&["alice"], Mode::General))
        .unwrap();
    device.decide();
    device.submit("o2", "mine", cancel(&[])).unwrap();
    device.decide();
    device.pass(1_000);
    device.missed_and_seen(&["c1"]);
    device.pass(A_PASS_MS);
    assert_eq!(device.list(), ["c1"]);
    let words = device.journal_words();
    assert_eq!(words, ["verdict o1 ok", "created mine", "verdict o2 ok"]);
    let last = device.journal()[2].position.unwrap();
    device
        .act(|core, now| core.acknowledge(now, "app", last))
        .unwrap();
    device.missed_and_seen(&["c2"]);
    device.pass(2 * A_PASS_MS);
    assert_eq!(device.count("SELECT count(*) FROM commands"), 0);
}

#[test]
fn commands_about_calls_that_never_were_do_not_pile_up() {
    let mut device = Device::connected();
    device
        .sql()
        .execute_batch(
            "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 10700)
             INSERT INTO commands (op, call_id, command, arguments, queued_at_ms, expires_at_ms,
                                   verdict)
             SELECT 'op' || n, 'call' || n, 'callQuit', '{}', n, 0, 'refused' FROM n;
             UPDATE commands SET verdict = NULL WHERE n = 1;",
        )
        .unwrap();
    device.pass(2 * A_PASS_MS);
    assert_eq!(device.count("SELECT count(*) FROM commands"), 10_001);
    assert_eq!(device.count("SELECT min(n) FROM commands"), 1, "pending");
}

#[test]
fn an_engine_that_waits_removes_nothing() {
    let mut first = Device::connected();
    first.missed_and_seen(&["c1", "c2"]);
    let mut second = Device::beside(&first);
    second.start();
    second.keeps(keeping(1));
    second.pass(2 * A_PASS_MS);
    assert_eq!(second.list(), ["c2", "c1"]);
}

#[test]
fn free_room_is_given_back_when_it_pays_and_by_and_by() {
    let mut device = Device::connected();
    device
        .sql()
        .execute_batch(
            "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 2000)
             INSERT INTO journal (at_ms, call_id, name, params)
             SELECT n, 'c', 'x', '\"' || hex(zeroblob(2000)) || '\"' FROM n;
             DELETE FROM journal WHERE position > 100;",
        )
        .unwrap();
    let free = |device: &mut Device| {
        let storage = device.core().storage().unwrap();
        storage.free_bytes / 4_096
    };
    let before = free(&mut device);
    assert!(before > 1_500, "{before}");
    let mut most = 0;
    let mut last = before;
    let end = device.now.mono_ms + 2 * A_PASS_MS;
    while device.now.mono_ms < end {
        let now = device.now;
        let due = device.core().poll_timeout(now).unwrap();
        device.sleep((due - now.mono_ms).max(0));
        device.wake().unwrap();
        let left = free(&mut device);
        most = most.max(last.saturating_sub(left));
        last = left;
    }
    assert_eq!(most, 128, "pages in one transaction");
    assert!(last < 1_024, "{last}");
    // What is left does not pay; asked for, it goes.
    while device.act(|core, now| core.compact_step(now)).unwrap() {}
    assert_eq!(free(&mut device), 0);
}
