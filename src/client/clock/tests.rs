use super::*;

/// The server's clock less the device's steady one, in these tests.
const AHEAD: i64 = 1_700_000_000_000;

const DAY_MS: i64 = 86_400_000;

/// An exchange that left at `sent`, took `there` and `back`, and stayed for 1 ms.
fn exchange(ahead: i64, sent: i64, there: i64, back: i64) -> Exchange {
    Exchange {
        sent_mono_ms: sent,
        server_received_ms: sent + there + ahead,
        server_sent_ms: sent + there + 1 + ahead,
        received_mono_ms: sent + there + 1 + back,
    }
}

/// A clock that nobody ever kept anything of, on a device whose wall clock stood at 0.
fn unset() -> ServerClock {
    ServerClock::new(&KeptClock::default(), 0, "boot", at(0, 0))
}

fn taken(sampled: Option<i64>) {
    assert_ne!(sampled, None, "a sample that can be true");
}

fn at(mono_ms: i64, wall_ms: i64) -> Now {
    Now { mono_ms, wall_ms }
}

#[test]
fn both_clocks_run() {
    let first = now();
    let second = now();
    assert!(first.mono_ms > 0 || second.mono_ms >= first.mono_ms);
    assert!(second.mono_ms >= first.mono_ms);
    assert!(first.wall_ms > 1_600_000_000_000);
}

#[test]
fn the_boot_has_one_name_in_one_process() {
    assert!(!boot().is_empty());
    assert_eq!(boot(), boot());
}

#[test]
fn before_the_first_sample_the_wall_clock_counts_once_and_from_then_on_the_steady_one() {
    let kept = KeptClock {
        wall_offset_ms: -250,
        ..KeptClock::default()
    };
    let clock = ServerClock::new(&kept, 0, "boot", at(5, 10_000));
    assert_eq!(clock.estimate(at(5, 10_000)), 9_750);
    for wall in [i64::MIN, -DAY_MS, 0, DAY_MS, i64::MAX] {
        assert_eq!(clock.estimate(at(1_005, wall)), 10_750, "{wall}");
    }
    assert_eq!(clock.rtt_ms(), None);
}

#[test]
fn with_a_sample_the_wall_clock_has_no_effect() {
    let mut clock = unset();
    taken(clock.sample(exchange(AHEAD, 1000, 20, 20)));
    for wall in [i64::MIN, -1, 0, 12_345, AHEAD * 2, i64::MAX] {
        assert_eq!(clock.estimate(at(5000, wall)), 5000 + AHEAD, "{wall}");
    }
    assert_eq!(clock.rtt_ms(), Some(40));
}

#[test]
fn another_run_within_a_boot_goes_on_by_the_steady_clock_whatever_the_wall_clock_does() {
    let mut clock = unset();
    taken(clock.sample(exchange(AHEAD, 1000, 5, 5)));
    let kept = clock.kept("boot", at(2000, 900_000));
    for jump in [-DAY_MS, 0, DAY_MS] {
        let now = at(62_000, 960_000 + jump);
        let next = ServerClock::new(&kept, 0, "boot", now);
        assert_eq!(next.estimate(now), 62_000 + AHEAD, "{jump}");
    }
}

#[test]
fn over_a_boot_the_wall_clock_and_the_kept_offset_count() {
    let mut clock = unset();
    taken(clock.sample(exchange(AHEAD, 1000, 5, 5)));
    let kept = clock.kept("boot", at(2000, 900_000));
    let now = at(3, 900_000 + 60_000);
    let next = ServerClock::new(&kept, 0, "another boot", now);
    assert_eq!(next.estimate(now), 2000 + 60_000 + AHEAD);
}

#[test]
fn over_a_boot_with_the_wall_clock_set_back_the_estimate_is_not_before_what_the_server_had_passed()
{
    let mut clock = unset();
    taken(clock.sample(exchange(AHEAD, 1000, 5, 5)));
    let kept = clock.kept("boot", at(2000, 900_000));
    let passed = 2000 + AHEAD;
    let now = at(3, 900_000 - DAY_MS);
    let next = ServerClock::new(&kept, passed, "another boot", now);
    assert_eq!(next.estimate(now), passed);
    assert_eq!(next.estimate(at(1003, now.wall_ms)), passed + 1000);
}

#[test]
fn a_sample_tells_by_how_much_it_proves_the_estimate_wrong() {
    for wrong in [-DAY_MS, -200, 200, DAY_MS] {
        let begin = at(1000, AHEAD + 1000 + wrong);
        let mut clock = ServerClock::new(&KeptClock::default(), 0, "boot", begin);
        assert_eq!(clock.sample(exchange(AHEAD, 2000, 50, 50)), Some(-wrong));
        assert_eq!(clock.estimate(at(3000, 0)), 3000 + AHEAD, "{wrong}");
    }
    let begin = at(1000, AHEAD + 1040);
    let mut clock = ServerClock::new(&KeptClock::default(), 0, "boot", begin);
    let within = exchange(AHEAD, 2000, 50, 50);
    assert_eq!(clock.sample(within), Some(0), "that close it may be right");
    assert_eq!(clock.estimate(at(3000, 0)), 3040 + AHEAD);
}

#[test]
fn of_later_samples_only_one_that_voids_the_others_proves_anything_wrong() {
    let mut clock = unset();
    taken(clock.sample(exchange(AHEAD, 0, 600, 0)));
    assert_eq!(clock.sample(exchange(AHEAD, 1000, 4, 4)), Some(0), "closer");
    let jumped = exchange(AHEAD + 3_600_000, 2000, 4, 4);
    let by = clock.sample(jumped).unwrap();
    assert!((3_599_990..=3_600_000).contains(&by), "{by}");
}

#[test]
fn the_shortest_round_trip_of_the_last_eight_counts() {
    let mut clock = unset();
    taken(clock.sample(exchange(AHEAD, 0, 10, 10)));
    // Crooked and slow: alone it would put the estimate 200 ms ahead.
    for number in 1..8 {
        taken(clock.sample(exchange(AHEAD, number * 1000, 500, 100)));
    }
    assert_eq!(clock.rtt_ms(), Some(20));
    assert_eq!(clock.estimate(at(9000, 0)), 9000 + AHEAD);
    // The ninth drives the first out.
    taken(clock.sample(exchange(AHEAD, 9000, 500, 100)));
    assert_eq!(clock.rtt_ms(), Some(600));
}

#[test]
fn an_old_sample_gives_way_to_a_worse_one_but_not_to_none() {
    let mut clock = unset();
    taken(clock.sample(exchange(AHEAD, 0, 1, 1)));
    let later = SAMPLE_AGE_MAX_MS * 50;
    assert_eq!(clock.estimate(at(later, 0)), later + AHEAD);
    taken(clock.sample(exchange(AHEAD, later, 30, 30)));
    assert_eq!(clock.rtt_ms(), Some(60));
}

#[test]
fn the_estimate_goes_back_only_as_far_as_a_better_sample_demands() {
    let mut clock = unset();
    // All of the delay on the way there: the middle is 300 ms late.
    taken(clock.sample(exchange(AHEAD, 0, 600, 0)));
    assert_eq!(clock.estimate(at(1000, 0)), 1000 + AHEAD + 300);
    // Better, but it allows 100 ms either way: only what it rules out is taken back.
    taken(clock.sample(exchange(AHEAD, 1000, 100, 100)));
    assert_eq!(clock.estimate(at(2000, 0)), 2000 + AHEAD + 100);
    // Better again.
    taken(clock.sample(exchange(AHEAD, 2000, 4, 4)));
    assert_eq!(clock.estimate(at(3000, 0)), 3000 + AHEAD + 4);
}

#[test]
fn the_estimate_goes_forward_at_once() {
    let mut clock = unset();
    taken(clock.sample(exchange(AHEAD, 0, 0, 600)));
    assert_eq!(clock.estimate(at(1000, 0)), 1000 + AHEAD - 300);
    taken(clock.sample(exchange(AHEAD, 1000, 4, 4)));
    assert_eq!(clock.estimate(at(2000, 0)), 2000 + AHEAD);
}

#[test]
fn a_server_whose_clock_jumped_is_believed_at_once_either_way() {
    for jump in [3_600_000, -3_600_000] {
        let mut clock = unset();
        taken(clock.sample(exchange(AHEAD, 0, 1, 1)));
        taken(clock.sample(exchange(AHEAD + jump, 1000, 50, 50)));
        let off = clock.estimate(at(2000, 0)) - (2000 + AHEAD + jump);
        assert!((0..=50).contains(&off), "{jump}: {off}");
    }
}

#[test]
fn drift_is_no_jump() {
    let mut clock = unset();
    taken(clock.sample(exchange(AHEAD, 0, 1, 1)));
    // 50 parts of a million in five minutes.
    taken(clock.sample(exchange(AHEAD + 15, 300_000, 40, 40)));
    assert_eq!(clock.rtt_ms(), Some(2), "the first still counts");
}

#[test]
fn times_that_cannot_be_true_change_nothing() {
    let mut clock = unset();
    taken(clock.sample(exchange(AHEAD, 1000, 20, 20)));
    let good = exchange(AHEAD, 2000, 10, 10);
    let wrong = [
        Exchange {
            received_mono_ms: 1999,
            ..good
        },
        Exchange {
            server_sent_ms: good.server_received_ms - 1,
            ..good
        },
        Exchange {
            server_sent_ms: good.server_received_ms + 60_000,
            ..good
        },
        Exchange {
            server_received_ms: i64::MIN,
            ..good
        },
        Exchange {
            server_received_ms: i64::MAX,
            server_sent_ms: i64::MAX,
            sent_mono_ms: -2,
            received_mono_ms: -1,
        },
    ];
    for exchange in wrong {
        assert_eq!(clock.sample(exchange), None, "{exchange:?}");
    }
    assert_eq!(clock.estimate(at(3000, 0)), 3000 + AHEAD);
    assert_eq!(clock.rtt_ms(), Some(40));
}
