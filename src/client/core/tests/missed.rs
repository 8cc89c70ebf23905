//! Missed calls: counted until they are seen, and seen on one device is seen on all.

use super::*;

/// Three calls that alice made and took back while bob's device was away.
fn three_missed() -> Device {
    let mut device = Device::connected();
    let mut records = Vec::new();
    for call in ["c1", "c2", "c3"] {
        device.server.invite("alice", call, &["bob"], Mode::General);
        device.server.act("alice", "a1", call, cancel(&[]));
        records.push(device.server.record(call));
    }
    device.feed_live(&records);
    device.forget_what_was_said();
    device
}

fn missed(device: &Device) -> u64 {
    device.readers().counts().unwrap().missed
}

#[test]
fn what_was_seen_is_told_to_the_server_and_counts_no_more() {
    let mut device = three_missed();
    assert_eq!(missed(&device), 3);
    let ids = [call_id("c2")];
    let left = device.act(|core, now| core.mark_seen(now, Some(&ids)));
    assert_eq!(left, Ok(2));
    assert_eq!(device.sent(), ["seen c2"]);
    assert_eq!(missed(&device), 2);
}

#[test]
fn what_was_seen_while_offline_is_told_on_connecting_until_the_record_says_so() {
    let mut device = three_missed();
    device.lose_link();
    let left = device.act(|core, now| core.mark_seen(now, None));
    assert_eq!(left, Ok(0));
    device.reopen();
    assert_eq!(missed(&device), 0, "also after a restart");
    for _ in 0..2 {
        device.start();
        device.up();
        device.welcome();
        assert_eq!(device.sent_of("seen"), ["seen c1,c2,c3"]);
        device.lose_link();
        device.pass(30_000);
    }
    device.up();
    device.welcome();
    device.forget_what_was_said();
    let mut records = Vec::new();
    for call in ["c1", "c2", "c3"] {
        device.server.see(call);
        records.push(device.server.record(call));
    }
    device.feed_open(&[], true);
    device.feed_history(&records, true);
    assert_eq!(
        device.count("SELECT count(*) FROM calls WHERE seen_here = 1"),
        0
    );
    assert_eq!(missed(&device), 0);
    device.lose_link();
    device.reconnect();
    assert!(device.sent_of("seen").is_empty());
    assert!(device.heard().is_empty(), "silently");
}

#[test]
fn what_was_seen_of_a_call_that_the_server_knows_no_more_is_told_until_a_pong_confirms_it() {
    let mut device = three_missed();
    device.lose_link();
    device.act(|core, now| core.mark_seen(now, None)).unwrap();
    device.reconnect();
    assert_eq!(device.sent_of("seen"), ["seen c1,c2,c3"]);
    device.lose_link();
    device.reconnect();
    assert_eq!(device.sent_of("seen"), ["seen c1,c2,c3"], "nothing said so");
    // No record comes of any of them.
    device.pass(60_000);
    assert_eq!(
        device.count("SELECT count(*) FROM calls WHERE seen = 1 AND seen_here = 0"),
        3
    );
    assert_eq!(missed(&device), 0);
    device.lose_link();
    device.reconnect();
    assert!(device.sent_of("seen").is_empty());
    assert!(device.heard().is_empty(), "silently");
}

#[test]
fn a_pong_confirms_nothing_that_was_told_after_its_ping() {
    let mut device = three_missed();
    device.answers_pings = false;
    device.pass(25_000);
    let sent = device.sent_frames();
    let Some(ToServer::Ping(ping)) = sent.last() else {
        panic!("{sent:?}");
    };
    device.act(|core, now| core.mark_seen(now, None)).unwrap();
    let pong = device.server.pong(*ping);
    device.hear(ToDevice::Pong(pong)).unwrap();
    assert_eq!(
        device.count("SELECT count(*) FROM calls WHERE seen_here = 1"),
        3
    );
}

#[test]
fn seen_on_another_device_is_seen_here() {
    let mut device = three_missed();
    device.server.see("c1");
    device.live("c1");
    assert_eq!(missed(&device), 2);
    assert!(device.heard().is_empty());
}

#[test]
fn only_missed_calls_can_be_seen() {
    let mut device = Device::rung("c1");
    let ids = [call_id("c1"), call_id("nowhere")];
    let left = device.act(|core, now| core.mark_seen(now, Some(&ids)));
    assert_eq!(left, Ok(0));
    assert!(device.sent().is_empty());
}

#[test]
fn many_that_were_seen_are_told_in_frames_of_bounded_size() {
    let mut device = three_missed();
    device
        .sql()
        .execute_batch(
            "WITH RECURSIVE more (k) AS (SELECT 1 UNION ALL SELECT k + 1 FROM more WHERE k < 600)
             INSERT INTO calls (sort_key, call_id, epoch, revision, mode, caller, create_time_ms,
                    timeout_s, extended_data, not_received_check, state, my_state, missed)
             SELECT k, 'old' || k, 7, 2, 'general', 'alice', 0, 90, '', 0, 'ended', 'cancelled', 1
               FROM more",
        )
        .unwrap();
    device.act(|core, now| core.mark_seen(now, None)).unwrap();
    let mut told = 0;
    for frame in device.sent_frames() {
        let ToServer::Seen(seen) = frame else {
            panic!("{frame:?}");
        };
        assert!(seen.calls.len() <= crate::protocol::SEEN_CALLS_MAX);
        told += seen.calls.len();
    }
    assert_eq!(told, 603);
}

#[test]
fn missed_and_not_missed() {
    let mut device = Device::connected();
    for call in ["cancelled", "timed out", "rejected", "answered", "ended"] {
        device
            .server
            .invite("alice", call, &["bob", "carl"], Mode::Advanced);
    }
    device
        .server
        .act("alice", "a1", "cancelled", cancel(&["bob"]));
    device.server.act("bob", "b2", "rejected", reject());
    device.server.act("bob", "b2", "answered", accept());
    device.server.act("alice", "a1", "ended", end());
    device.sleep(90_000);
    device.server.pass_time("timed out");
    for call in ["cancelled", "timed out", "rejected", "answered", "ended"] {
        device.live(call);
    }
    let missed: Vec<String> = device
        .sql()
        .prepare("SELECT call_id FROM calls WHERE missed = 1 ORDER BY call_id")
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert_eq!(missed, ["cancelled", "ended", "timed out"]);
}
