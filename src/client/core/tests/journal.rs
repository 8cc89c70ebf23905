//! The journal: positions grow and are never used again; an app reads on from where it was.

use super::*;

fn positions(device: &Device) -> Vec<u64> {
    let journal = device.journal();
    journal.iter().filter_map(|event| event.position).collect()
}

#[test]
fn positions_grow_and_are_not_used_again_after_rows_went_and_the_file_was_opened_again() {
    let mut device = Device::connected();
    for n in 1..=3 {
        device.submit(&format!("o{n}"), "nowhere", join()).unwrap();
        device.decide();
    }
    let before = positions(&device);
    assert!(before.is_sorted_by(|a, b| a < b));
    for position in &before {
        device.core().verdict_taken(*position);
    }
    device.act(Core::checkpoint).unwrap();
    assert!(positions(&device).is_empty());
    device.reopen();
    device.submit("o4", "nowhere", join()).unwrap();
    device.connect();
    device.decide();
    let after = positions(&device);
    assert_eq!(after.len(), 1);
    assert!(after[0] > before[2]);
}

#[test]
fn what_is_told_has_the_position_that_the_journal_has() {
    let mut device = Device::connected();
    device.submit("o1", "nowhere", join()).unwrap();
    device.decide();
    assert_eq!(device.verdict_positions, positions(&device));
}

#[test]
fn an_acknowledgement_never_goes_back_and_each_reader_has_its_own() {
    let mut device = Device::connected();
    for n in 1..=5 {
        device.submit(&format!("o{n}"), "nowhere", join()).unwrap();
        device.decide();
    }
    for (reader, position) in [("app", 5), ("app", 3), ("widget", 2)] {
        device
            .act(|core, now| core.acknowledge(now, reader, position))
            .unwrap();
    }
    device.reopen();
    let readers = device.readers();
    assert_eq!(readers.acknowledged("app"), Ok(5));
    assert_eq!(readers.acknowledged("widget"), Ok(2));
    assert_eq!(readers.acknowledged("nobody"), Ok(0));
}

#[test]
fn what_is_yet_to_come_cannot_be_acknowledged() {
    let mut device = Device::connected();
    device.submit("o1", "nowhere", join()).unwrap();
    device.decide();
    let last = positions(&device)[0];
    for position in [last + 1, u64::MAX] {
        device
            .act(|core, now| core.acknowledge(now, "app", position))
            .unwrap();
        assert_eq!(device.readers().acknowledged("app"), Ok(last));
    }
}

#[test]
fn a_reader_goes_on_after_the_last_it_has() {
    let mut device = Device::connected();
    for n in 1..=5 {
        device.submit(&format!("o{n}"), "nowhere", join()).unwrap();
        device.decide();
    }
    let readers = device.readers();
    let now = device.server_time();
    let (first, more) = readers.events_since(0, 3, now).unwrap();
    assert_eq!((first.len(), more), (3, true));
    let last = first[2].position.unwrap();
    let (rest, more) = readers.events_since(last, 3, now).unwrap();
    assert_eq!((rest.len(), more), (2, false));
}

#[test]
fn rows_of_a_newer_build_are_passed_over_and_do_not_end_the_reading() {
    let mut device = Device::connected();
    let sql = device.sql();
    for _ in 0..10 {
        sql.execute(
            "INSERT INTO journal (at_ms, call_id, name, params) VALUES (0, 'c1', 'callSang', '{}')",
            [],
        )
        .unwrap();
    }
    device.submit("o1", "nowhere", join()).unwrap();
    device.decide();
    let now = device.server_time();
    let (events, more) = device.readers().events_since(0, 3, now).unwrap();
    assert_eq!((events.len(), more), (1, false));
}

#[test]
fn the_connection_and_the_token_are_not_journaled() {
    let mut device = Device::connected();
    device.lose_link();
    device.reconnect();
    assert!(device.journal().is_empty());
}
