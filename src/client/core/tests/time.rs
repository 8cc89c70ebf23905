//! Whatever the wall clock does, things last as long as they last.

use super::*;
use crate::protocol::Pong;

const DAY_MS: i64 = 86_400_000;

/// The device's wall clock is changed.
fn turn(device: &mut Device, by_ms: i64) {
    device.now.wall_ms += by_ms;
}

/// Offline for ten seconds, with an invite that waits for 30 s at most.
fn waiting() -> Device {
    let mut device = Device::connected();
    device.lose_link();
    device.sleep(10_000);
    device
        .submit("o1", "c2", invite(&["carl"], Mode::General))
        .unwrap();
    device.forget_what_was_said();
    device
}

fn expires_at(device: &Device, op: &str) -> i64 {
    device.count(&format!(
        "SELECT expires_at_ms FROM commands WHERE op = '{op}'"
    ))
}

fn queued_at(device: &Device, op: &str) -> i64 {
    device.count(&format!(
        "SELECT queued_at_ms FROM commands WHERE op = '{op}'"
    ))
}

/// Says what the app hears at the last millisecond and after it.
fn hears_only_after(device: &mut Device, ms: i64, words: &str) {
    device.pass(ms - 1);
    assert!(device.heard().is_empty(), "{words} came too early");
    device.pass(1);
    assert_eq!(device.heard(), [words]);
}

#[test]
fn a_wall_clock_changed_by_a_day_while_ringing_neither_prolongs_nor_cuts_the_ring() {
    for jump in [-DAY_MS, DAY_MS] {
        let mut device = Device::rung("c1");
        device.lose_link();
        device.pass(40_000);
        device.forget_what_was_said();
        turn(&mut device, jump);
        hears_only_after(&mut device, 50_000, "timeout c1 local");
    }
}

#[test]
fn a_wall_clock_changed_by_a_day_while_a_command_waits_neither_prolongs_nor_cuts_the_waiting() {
    for jump in [-DAY_MS, DAY_MS] {
        let mut device = waiting();
        turn(&mut device, jump);
        hears_only_after(&mut device, 30_000, "verdict o1 Expired notSent");
    }
}

#[test]
fn in_a_run_without_a_sample_time_goes_by_the_steady_clock_from_the_first_reading_on() {
    for jump in [-DAY_MS, DAY_MS] {
        let mut device = Device::connected();
        device.lose_link();
        device.reopen();
        let now = device.now;
        let before = device.core().server_now(now);
        turn(&mut device, jump);
        device.sleep(7_000);
        let now = device.now;
        assert_eq!(device.core().server_now(now), before + 7_000);
    }
}

#[test]
fn a_wall_clock_changed_while_the_app_was_down_changes_nothing_within_a_boot() {
    for jump in [-DAY_MS, DAY_MS] {
        let mut device = Device::rung("c1");
        device.lose_link();
        device
            .submit("o1", "c2", invite(&["carl"], Mode::General))
            .unwrap();
        turn(&mut device, jump);
        device.sleep(20_000);
        device.reopen();
        hears_only_after(&mut device, 10_000, "verdict o1 Expired notSent");
        hears_only_after(&mut device, 60_000, "timeout c1 local");
    }
}

#[test]
fn over_a_boot_with_a_right_wall_clock_time_goes_on() {
    let mut device = waiting();
    device.sleep(20_000);
    device.reboot();
    hears_only_after(&mut device, 10_000, "verdict o1 Expired notSent");
}

#[test]
fn over_a_boot_with_the_wall_clock_behind_what_was_given_before_waits_until_the_server_is_heard() {
    let mut device = waiting();
    turn(&mut device, -DAY_MS);
    device.sleep(100_000);
    device.reboot();
    device.pass(1_000);
    assert!(device.heard().is_empty(), "nobody knows better");
    let now = device.now;
    assert!(device.core().server_now(now) >= BEGIN, "it never goes back");
    device.connect();
    assert!(device.sent_of("command").is_empty());
    device.caught_up();
    assert_eq!(device.heard(), ["verdict o1 Expired notSent"]);
}

#[test]
fn what_was_given_by_a_wrong_estimate_moves_with_it_when_the_server_is_heard() {
    for jump in [-DAY_MS / 2, DAY_MS / 2] {
        // Not heard for a day, so that the estimate can be behind as well.
        let mut device = Device::connected();
        device.lose_link();
        device.sleep(DAY_MS);
        turn(&mut device, jump);
        device.reboot();
        device
            .submit("o1", "c2", invite(&["carl"], Mode::General))
            .unwrap();
        let given_at = device.server_time();
        assert_eq!(queued_at(&device, "o1"), given_at + jump, "wrong");
        device.sleep(12_000);
        device.start();
        device.up();
        // The command stays, and is sent with what is left of its time.
        device.welcome();
        assert_eq!(device.sent_of("command"), ["command 1 o1 callInvite"]);
        assert_eq!(queued_at(&device, "o1"), given_at, "{jump}");
        assert_eq!(expires_at(&device, "o1"), given_at + 30_000, "{jump}");
    }
}

#[test]
fn what_waited_too_long_by_a_wrong_estimate_is_not_sent_when_the_server_is_heard() {
    let mut device = Device::connected();
    device.lose_link();
    device.sleep(DAY_MS);
    turn(&mut device, -DAY_MS / 2);
    device.reboot();
    device
        .submit("o1", "c2", invite(&["carl"], Mode::General))
        .unwrap();
    // Asleep, so that its own timer did not end it.
    device.sleep(31_000);
    device.start();
    device.up();
    device.welcome();
    assert!(device.sent_of("command").is_empty());
    device.caught_up();
    assert_eq!(device.heard(), ["verdict o1 Expired notSent"]);
}

#[test]
fn what_was_given_while_the_estimate_was_right_does_not_move_with_a_wrong_one_after_it() {
    let mut device = Device::connected();
    device.lose_link();
    device
        .submit_waiting("o1", "c2", invite(&["carl"], Mode::General), Some(80))
        .unwrap();
    let right = (queued_at(&device, "o1"), expires_at(&device, "o1"));
    device.sleep(5_000);
    turn(&mut device, -DAY_MS);
    device.reboot();
    device
        .submit_waiting("o2", "c3", invite(&["dora"], Mode::General), Some(80))
        .unwrap();
    let given_at = device.server_time();
    device.sleep(5_000);
    device.start();
    device.up();
    device.welcome();
    assert_eq!((queued_at(&device, "o1"), expires_at(&device, "o1")), right);
    assert_eq!(queued_at(&device, "o2"), given_at);
    assert_eq!(expires_at(&device, "o2"), given_at + 80_000);
}

#[test]
fn what_is_in_doubt_is_so_over_further_runs_and_boots_until_the_server_is_heard() {
    let mut device = Device::connected();
    device.lose_link();
    turn(&mut device, DAY_MS);
    device.reboot();
    device
        .submit("o1", "c2", invite(&["carl"], Mode::General))
        .unwrap();
    let given_at = device.server_time();
    device.sleep(4_000);
    device.reopen();
    device.sleep(4_000);
    device.reboot();
    device.start();
    device.up();
    device.welcome();
    assert_eq!(queued_at(&device, "o1"), given_at);
    assert_eq!(expires_at(&device, "o1"), given_at + 30_000);
}

#[test]
fn an_answer_keeps_the_deadline_of_its_invitation_which_is_the_servers() {
    for answer in [accept(), reject()] {
        let mut device = Device::rung("c1");
        let deadline = device.server_time() + 90_000;
        device.lose_link();
        turn(&mut device, 20_000);
        device.sleep(1_000);
        device.reboot();
        device.submit("o1", "c1", answer).unwrap();
        let given_at = device.server_time();
        assert_eq!(queued_at(&device, "o1"), given_at + 20_000, "wrong");
        device.start();
        device.up();
        device.welcome();
        assert_eq!(queued_at(&device, "o1"), given_at);
        assert_eq!(expires_at(&device, "o1"), deadline);
    }
}

#[test]
fn a_cancel_keeps_the_deadline_of_what_it_cancels() {
    let mut device = Device::in_call("c1");
    let deadline = device.server_time() + 90_000;
    device.lose_link();
    turn(&mut device, 20_000);
    device.reboot();
    device.submit("o1", "c1", cancel(&["alice"])).unwrap();
    device.start();
    device.up();
    device.welcome();
    assert_eq!(expires_at(&device, "o1"), deadline);
}

#[test]
fn what_was_sent_is_sent_again_as_it_was() {
    let mut device = Device::connected();
    device
        .submit("o1", "c2", invite(&["carl"], Mode::General))
        .unwrap();
    let sent = (queued_at(&device, "o1"), expires_at(&device, "o1"));
    device.lose_link();
    turn(&mut device, DAY_MS);
    device.reboot();
    device.forget_what_was_said();
    device.start();
    device.up();
    device.welcome();
    assert_eq!(device.sent_of("command"), ["command 1 o1 callInvite"]);
    assert_eq!((queued_at(&device, "o1"), expires_at(&device, "o1")), sent);
}

#[test]
fn quits_that_wait_for_as_long_as_it_takes_go_on_doing_so() {
    let mut device = Device::in_call("c1");
    device.lose_link();
    turn(&mut device, DAY_MS);
    device.reboot();
    device.submit("o1", "c1", quit()).unwrap();
    device.start();
    device.up();
    device.welcome();
    assert_eq!(expires_at(&device, "o1"), 0);
}

#[test]
fn a_device_that_never_met_a_server_goes_by_its_wall_clock_until_it_does() {
    for jump in [-DAY_MS, DAY_MS] {
        let mut device = Device::new();
        turn(&mut device, jump);
        device.reopen();
        device
            .submit("o1", "c2", invite(&["carl"], Mode::General))
            .unwrap();
        let given_at = device.server_time();
        // Put right by hand, and the app started again: the command waits no longer for that.
        turn(&mut device, -jump);
        device.sleep(10_000);
        device.reopen();
        device.pass(9_000);
        assert!(device.heard().is_empty(), "{jump}");
        device.start();
        device.up();
        device.welcome();
        assert_eq!(device.sent_of("command"), ["command 1 o1 callInvite"]);
        assert_eq!(expires_at(&device, "o1"), given_at + 30_000, "{jump}");
    }
}

#[test]
fn a_server_whose_clock_was_set_takes_what_waits_along() {
    let mut device = waiting();
    let given_at = queued_at(&device, "o1");
    device.pass(30_000 - 1);
    device.up();
    device.server.now += 3_600_000;
    device.welcome();
    assert_eq!(queued_at(&device, "o1"), given_at + 3_600_000);
    assert_eq!(expires_at(&device, "o1"), given_at + 3_630_000);
    assert_eq!(device.sent_of("command"), ["command 1 o1 callInvite"]);
}

#[test]
fn samples_that_agree_move_nothing() {
    let mut device = waiting();
    device.pass(5_000);
    device.up();
    let given = (queued_at(&device, "o1"), expires_at(&device, "o1"));
    device.welcome();
    let now = device.now;
    device
        .hear(ToDevice::Pong(Pong {
            ping_sent_at: now.mono_ms - 400,
            received_at: device.server_time() - 50,
            sent_at: device.server_time() - 50,
        }))
        .unwrap();
    assert_eq!((queued_at(&device, "o1"), expires_at(&device, "o1")), given);
}

#[test]
fn on_start_after_a_long_time_what_has_passed_its_deadline_has_passed() {
    for boots in [false, true] {
        let mut device = Device::rung("c1");
        device.lose_link();
        device
            .submit("o1", "c2", invite(&["carl"], Mode::General))
            .unwrap();
        device.submit("o2", "c1", accept()).unwrap();
        device.sleep(40 * DAY_MS);
        if boots {
            device.reboot();
        } else {
            device.reopen();
        }
        device.pass(0);
        assert_eq!(
            device.heard(),
            [
                "verdict o1 Expired notSent",
                "verdict o2 Expired notSent",
                "timeout c1 local"
            ],
            "after a boot: {boots}"
        );
        assert!(device.ringing().is_empty());
    }
}

#[test]
fn a_wall_clock_that_was_changed_is_noted_before_the_device_is_started_anew() {
    for jump in [-DAY_MS, DAY_MS] {
        let mut device = waiting();
        turn(&mut device, jump);
        device.act(|core, now| core.flush(now)).unwrap();
        device.sleep(20_000);
        device.reboot();
        hears_only_after(&mut device, 10_000, "verdict o1 Expired notSent");
    }
}
