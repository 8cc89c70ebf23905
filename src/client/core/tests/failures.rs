//! What cannot be written is not told, not acknowledged, and not lost.

use super::*;

/// From now on no event can be journaled.
fn break_journal(device: &Device) {
    device
        .sql()
        .execute_batch(
            "CREATE TRIGGER broken BEFORE INSERT ON journal BEGIN
                 SELECT RAISE(ABORT, 'the disk is broken');
             END",
        )
        .unwrap();
}

fn mend_journal(device: &Device) {
    device.sql().execute_batch("DROP TRIGGER broken").unwrap();
}

#[test]
fn a_record_that_cannot_be_written_is_not_told_and_comes_again() {
    let mut device = Device::connected();
    device.server.invite("alice", "c1", &["bob"], Mode::General);
    let record = device.server.record("c1");
    break_journal(&device);
    let feed = device.server.live(std::slice::from_ref(&record));
    assert!(device.hear(ToDevice::Feed(feed)).is_err());
    assert_eq!(device.told(), ["connection Reconnecting LoginInterrupted"]);
    assert_eq!(device.links(), ["close"]);
    assert!(device.sent().is_empty(), "no receipt");
    assert_eq!(device.count("SELECT count(*) FROM calls"), 0);
    assert_eq!(device.count("SELECT cursor FROM feed"), 0);
    mend_journal(&device);
    device.reconnect();
    device.feed_open(&[record], true);
    assert_eq!(device.heard(), ["received c1"]);
    assert_eq!(device.sent_of("receipt"), ["receipt c1 1"]);
}

#[test]
fn a_verdict_that_cannot_be_written_is_not_told_and_not_acknowledged() {
    let mut device = Device::connected();
    device.submit("o1", "nowhere", join()).unwrap();
    let verdict = device.decisions().remove(0);
    break_journal(&device);
    let frame = ToDevice::Verdict(Box::new(verdict.clone()));
    assert!(device.hear(frame).is_err());
    assert!(device.heard().is_empty());
    mend_journal(&device);
    device.pass(1_000);
    let hello = device.up();
    assert_eq!(hello.first_unsettled, 1);
    device.welcome();
    device.hear(ToDevice::Verdict(Box::new(verdict))).unwrap();
    device.feed_open(&[], true);
    assert_eq!(device.heard(), ["verdict o1 CallOver unknownCall"]);
}

#[test]
fn a_welcome_that_cannot_be_written_is_no_welcome() {
    let mut device = Device::new();
    device.start();
    device.up();
    let broken = "CREATE TRIGGER broken BEFORE INSERT ON meta BEGIN
                      SELECT RAISE(ABORT, 'the disk is broken');
                  END";
    device.sql().execute_batch(broken).unwrap();
    let welcome = device.server.welcome(device.now.mono_ms);
    assert!(device.hear(ToDevice::Welcome(Box::new(welcome))).is_err());
    assert!(
        !device
            .told()
            .contains(&"connection Connected Success".into())
    );
    device.sql().execute_batch("DROP TRIGGER broken").unwrap();
    device.pass(1_000);
    assert_eq!(device.up().welcome_token, None);
}

#[test]
fn a_disk_that_stays_broken_does_not_make_the_device_knock_without_end() {
    let mut device = Device::with(31_999, None);
    device.server.invite("alice", "c1", &["bob"], Mode::General);
    let record = device.server.record("c1");
    break_journal(&device);
    device.start();
    let mut pauses = Vec::new();
    for _ in 0..3 {
        device.up();
        device.welcome();
        let feed = device.server.open(std::slice::from_ref(&record), true);
        assert!(device.hear(ToDevice::Feed(feed)).is_err());
        let now = device.now;
        pauses.push(device.core().poll_timeout(now).unwrap() - now.mono_ms);
        device.pass(30_000);
    }
    assert_eq!(pauses, [249, 499, 999]);
}

#[test]
fn a_command_that_cannot_be_stored_is_refused_and_not_sent() {
    let mut device = Device::connected();
    let broken = "CREATE TRIGGER broken BEFORE INSERT ON commands BEGIN
                      SELECT RAISE(ABORT, 'the disk is broken');
                  END";
    device.sql().execute_batch(broken).unwrap();
    assert!(device.submit("o1", "nowhere", join()).is_err());
    assert!(device.sent().is_empty());
    device.sql().execute_batch("DROP TRIGGER broken").unwrap();
    device.submit("o1", "nowhere", join()).unwrap();
    assert_eq!(device.sent(), ["command 1 o1 callJoin"], "without a gap");
}

#[test]
fn a_command_that_was_stored_but_could_not_be_numbered_is_not_stored_either() {
    let mut device = Device::connected();
    let broken = "CREATE TRIGGER broken BEFORE UPDATE OF number ON commands BEGIN
                      SELECT RAISE(ABORT, 'the disk is broken');
                  END";
    device.sql().execute_batch(broken).unwrap();
    assert!(device.submit("o1", "nowhere", join()).is_err());
    assert_eq!(device.count("SELECT count(*) FROM commands"), 0);
}

#[test]
fn a_ring_that_cannot_be_closed_is_tried_again_and_costs_no_connection() {
    let mut device = Device::rung("c1");
    device.sleep(90_000);
    break_journal(&device);
    assert!(device.wake().is_err());
    let now = device.now;
    let again = device.core().poll_timeout(now).unwrap();
    assert_eq!(again - now.mono_ms, 1_000, "not at once");
    assert_eq!(
        device.sent_of("ping"),
        ["ping"],
        "the server hears the device"
    );
    device.pass(5_000);
    assert!(device.heard().is_empty());
    mend_journal(&device);
    device.pass(1_000);
    assert_eq!(device.heard(), ["timeout c1 local"]);
}

#[test]
fn a_line_that_cannot_be_started_again_is_not_forgotten() {
    let mut device = Device::connected();
    device.submit("o1", "nowhere", join()).unwrap();
    let error = Error::new(crate::error::Code::ServerOverloaded, "busy", "later");
    let retry = crate::protocol::Retry {
        number: 1,
        after_ms: 500,
        error,
    };
    device.hear(ToDevice::Retry(retry)).unwrap();
    device.forget_what_was_said();
    let broken = "CREATE TRIGGER broken BEFORE UPDATE OF attempts ON commands BEGIN
                      SELECT RAISE(ABORT, 'the disk is broken');
                  END";
    device.sql().execute_batch(broken).unwrap();
    device.pass(500);
    assert!(device.sent_of("command").is_empty());
    assert_eq!(device.links(), ["close", "connect"]);
    device.sql().execute_batch("DROP TRIGGER broken").unwrap();
    device.reconnect();
    assert_eq!(device.sent_of("command"), ["command 1 o1 callJoin"]);
}

#[test]
fn a_hello_that_cannot_be_made_gives_the_link_up() {
    let mut device = Device::new();
    let sql = "ALTER TABLE feed RENAME TO feed_elsewhere";
    device.sql().execute_batch(sql).unwrap();
    device.start();
    assert_eq!(device.links(), ["connect"], "it may be readable by then");
    let (attempt, server) = (device.attempt, "127.0.0.1:1".parse().unwrap());
    let up = device.act(|core, now| core.handle_link(now, LinkEvent::Up { attempt, server }));
    assert!(up.is_err());
    assert_eq!(device.links(), ["close"]);
    let sql = "ALTER TABLE feed_elsewhere RENAME TO feed";
    device.sql().execute_batch(sql).unwrap();
    device.reconnect();
    assert!(
        device
            .told()
            .contains(&"connection Connected Success".into())
    );
}
