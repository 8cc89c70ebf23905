use super::*;

/// The server's clock less the device's steady one, in these tests.
const AHEAD: i64 = 1_700_000_000_000;

/// An exchange that left at `sent`, took `there` and `back`, and stayed for 1 ms.
fn exchange(ahead: i64, sent: i64, there: i64, back: i64) -> Exchange {
    Exchange {
        sent_mono_ms: sent,
        server_received_ms: sent + there + ahead,
        server_sent_ms: sent + there + 1 + ahead,
        received_mono_ms: sent + there + 1 + back,
    }
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
fn without_a_sample_the_wall_clock_and_the_stored_offset_count() {
    let clock = ServerClock::new(-250);
    assert_eq!(clock.estimate(at(5, 10_000)), 9_750);
    assert_eq!(clock.wall_offset(at(5, 10_000)), None);
    assert_eq!(clock.rtt_ms(), None);
}

#[test]
fn with_a_sample_the_wall_clock_has_no_effect() {
    let mut clock = ServerClock::new(77);
    assert!(clock.sample(exchange(AHEAD, 1000, 20, 20)));
    for wall in [i64::MIN, -1, 0, 12_345, AHEAD * 2, i64::MAX] {
        assert_eq!(clock.estimate(at(5000, wall)), 5000 + AHEAD, "{wall}");
    }
    assert_eq!(clock.rtt_ms(), Some(40));
    assert_eq!(clock.wall_offset(at(5000, 4000)), Some(AHEAD + 1000));
}

#[test]
fn what_was_stored_gives_the_same_time_in_the_next_run() {
    let mut clock = ServerClock::new(0);
    assert!(clock.sample(exchange(AHEAD, 1000, 5, 5)));
    let stored = clock.wall_offset(at(2000, 900_000)).unwrap();
    let next = ServerClock::new(stored);
    assert_eq!(
        next.estimate(at(3, 900_000 + 60_000)),
        2000 + 60_000 + AHEAD
    );
}

#[test]
fn the_shortest_round_trip_of_the_last_eight_counts() {
    let mut clock = ServerClock::new(0);
    assert!(clock.sample(exchange(AHEAD, 0, 10, 10)));
    // Crooked and slow: alone it would put the estimate 200 ms ahead.
    for number in 1..8 {
        assert!(clock.sample(exchange(AHEAD, number * 1000, 500, 100)));
    }
    assert_eq!(clock.rtt_ms(), Some(20));
    assert_eq!(clock.estimate(at(9000, 0)), 9000 + AHEAD);
    // The ninth drives the first out.
    assert!(clock.sample(exchange(AHEAD, 9000, 500, 100)));
    assert_eq!(clock.rtt_ms(), Some(600));
}

#[test]
fn an_old_sample_gives_way_to_a_worse_one_but_not_to_none() {
    let mut clock = ServerClock::new(0);
    assert!(clock.sample(exchange(AHEAD, 0, 1, 1)));
    let later = SAMPLE_AGE_MAX_MS * 50;
    assert_eq!(clock.estimate(at(later, 0)), later + AHEAD);
    assert!(clock.sample(exchange(AHEAD, later, 30, 30)));
    assert_eq!(clock.rtt_ms(), Some(60));
}

#[test]
fn the_estimate_goes_back_only_as_far_as_a_better_sample_demands() {
    let mut clock = ServerClock::new(0);
    // All of the delay on the way there: the middle is 300 ms late.
    assert!(clock.sample(exchange(AHEAD, 0, 600, 0)));
    assert_eq!(clock.estimate(at(1000, 0)), 1000 + AHEAD + 300);
    // Better, but it allows 100 ms either way: only what it rules out is taken back.
    assert!(clock.sample(exchange(AHEAD, 1000, 100, 100)));
    assert_eq!(clock.estimate(at(2000, 0)), 2000 + AHEAD + 100);
    // Better again.
    assert!(clock.sample(exchange(AHEAD, 2000, 4, 4)));
    assert_eq!(clock.estimate(at(3000, 0)), 3000 + AHEAD + 4);
}

#[test]
fn the_estimate_goes_forward_at_once() {
    let mut clock = ServerClock::new(0);
    assert!(clock.sample(exchange(AHEAD, 0, 0, 600)));
    assert_eq!(clock.estimate(at(1000, 0)), 1000 + AHEAD - 300);
    assert!(clock.sample(exchange(AHEAD, 1000, 4, 4)));
    assert_eq!(clock.estimate(at(2000, 0)), 2000 + AHEAD);
}

#[test]
fn a_server_whose_clock_jumped_is_believed_at_once_either_way() {
    for jump in [3_600_000, -3_600_000] {
        let mut clock = ServerClock::new(0);
        assert!(clock.sample(exchange(AHEAD, 0, 1, 1)));
        assert!(clock.sample(exchange(AHEAD + jump, 1000, 50, 50)));
        let off = clock.estimate(at(2000, 0)) - (2000 + AHEAD + jump);
        assert!((0..=50).contains(&off), "{jump}: {off}");
    }
}

#[test]
fn drift_is_no_jump() {
    let mut clock = ServerClock::new(0);
    assert!(clock.sample(exchange(AHEAD, 0, 1, 1)));
    // 50 parts of a million in five minutes.
    assert!(clock.sample(exchange(AHEAD + 15, 300_000, 40, 40)));
    assert_eq!(clock.rtt_ms(), Some(2), "the first still counts");
}

#[test]
fn times_that_cannot_be_true_change_nothing() {
    let mut clock = ServerClock::new(0);
    assert!(clock.sample(exchange(AHEAD, 1000, 20, 20)));
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
        assert!(!clock.sample(exchange), "{exchange:?}");
    }
    assert_eq!(clock.estimate(at(3000, 0)), 3000 + AHEAD);
    assert_eq!(clock.rtt_ms(), Some(40));
}
