//! Time at the edge: what this device's clocks say, and what the server's clock says now.
//!
//! [`now`] is the only reading of a clock in the client. [`ServerClock`] is a value: samples of the
//! server's clock go in with the times they were taken, estimates come out. Once there is a sample,
//! nothing that the wall clock does has any effect on an estimate.

use std::collections::VecDeque;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::call::Millis;

/// Most samples that are compared with each other.
const SAMPLES_MAX: usize = 8;
/// A sample older than this gives way when another comes, in milliseconds: by then two ordinary
/// crystals are up to a few hundred milliseconds apart. Until another comes it goes on counting.
const SAMPLE_AGE_MAX_MS: i64 = 10 * 60 * 1000;
/// How far two clocks may drift apart while both are sound, in parts of a million.
const DRIFT_PPM: i64 = 200;
/// What whole milliseconds may hide in the four times of a sample.
const ROUNDING_MS: i64 = 2;

/// One moment on both clocks of this device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds from an origin that holds until the next boot at most. Never goes back, counts
    /// while the device sleeps.
    pub mono_ms: i64,
    /// Milliseconds since 1970 as the device's wall clock has them; may jump and may be wrong.
    pub wall_ms: Millis,
}

/// Reads both clocks.
pub fn now() -> Now {
    Now {
        mono_ms: mono_ms(),
        wall_ms: wall_ms(),
    }
}

fn wall_ms() -> Millis {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
        Err(before) => {
            i64::try_from(before.duration().as_millis()).map_or(i64::MIN, |before| -before)
        }
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn mono_ms() -> i64 {
    // CLOCK_MONOTONIC stands still during suspend here; this one does not.
    of_timespec(rustix::time::clock_gettime(rustix::time::ClockId::Boottime))
}

#[cfg(target_vendor = "apple")]
fn mono_ms() -> i64 {
    // Here it is the standard library's Instant (CLOCK_UPTIME_RAW) that stands still during sleep,
    // and CLOCK_MONOTONIC that does not.
    of_timespec(rustix::time::clock_gettime(
        rustix::time::ClockId::Monotonic,
    ))
}

#[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
fn of_timespec(time: rustix::time::Timespec) -> i64 {
    time.tv_sec
        .saturating_mul(1000)
        .saturating_add(time.tv_nsec / 1_000_000)
}

/// The standard library's Instant. On Windows that is the performance counter, which is documented
/// to count while the machine sleeps; elsewhere it may not, and then a timer that sleep delayed
/// goes off late by as much, until the next sample of the server's clock puts it right.
#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
fn mono_ms() -> i64 {
    use std::sync::OnceLock;
    use std::time::Instant;
    static ORIGIN: OnceLock<Instant> = OnceLock::new();
    let origin = *ORIGIN.get_or_init(Instant::now);
    i64::try_from(origin.elapsed().as_millis()).unwrap_or(i64::MAX)
}

/// The four times of one exchange with the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// This device's [`Now::mono_ms`] as the request left.
    pub sent_mono_ms: i64,
    /// The server's clock as the request came.
    pub server_received_ms: Millis,
    /// The server's clock as the answer left.
    pub server_sent_ms: Millis,
    /// This device's [`Now::mono_ms`] as the answer came.
    pub received_mono_ms: i64,
}

#[derive(Clone, Copy, Debug)]
struct Sample {
    /// The middle of what the server's clock can be ahead of `mono_ms`.
    offset_ms: i64,
    /// How long the exchange was under way; the truth is within half of it around the middle.
    round_trip_ms: i64,
    /// When it was taken.
    mono_ms: i64,
}

impl Sample {
    fn of(exchange: Exchange) -> Option<Self> {
        let away = exchange
            .received_mono_ms
            .checked_sub(exchange.sent_mono_ms)?;
        let held = exchange
            .server_sent_ms
            .checked_sub(exchange.server_received_ms)?;
        // Rounding can make a stay of the request at the server a little longer than its absence.
        let round_trip_ms = away.checked_sub(held)?;
        if away < 0 || held < 0 || round_trip_ms < -ROUNDING_MS {
            return None;
        }
        let there = exchange
            .server_received_ms
            .checked_sub(exchange.sent_mono_ms)?;
        let back = exchange
            .server_sent_ms
            .checked_sub(exchange.received_mono_ms)?;
        Some(Self {
            offset_ms: there.checked_add(back)? / 2,
            round_trip_ms: round_trip_ms.max(0),
            mono_ms: exchange.received_mono_ms,
        })
    }

    /// How far from the middle the truth can be.
    fn uncertainty_ms(&self) -> i64 {
        self.round_trip_ms / 2
    }

    /// Whether one pair of clocks can have given both.
    fn agrees_with(&self, newer: &Self) -> bool {
        let apart = self.offset_ms.abs_diff(newer.offset_ms);
        let age = newer.mono_ms.saturating_sub(self.mono_ms).max(0);
        let drift =
            (age / 1_000_000).saturating_mul(DRIFT_PPM) + (age % 1_000_000) * DRIFT_PPM / 1_000_000;
        let allowed = self
            .uncertainty_ms()
            .saturating_add(newer.uncertainty_ms())
            .saturating_add(drift)
            .saturating_add(ROUNDING_MS);
        apart <= allowed.unsigned_abs()
    }
}

/// What the server's clock says, estimated from exchanges with it.
///
/// Of the last eight samples the one with the shortest round trip counts; those older than ten
/// minutes give way to a new one. A sample that cannot come from the clock that the others came
/// from (the server started again, on another machine) voids them.
///
/// Between samples the estimate runs with the device's own steady clock and never goes back. A new
/// sample moves it forward to its middle, but back only as far as the sample demands: to the latest
/// time that its round trip still allows. So an estimate goes back only if it was proved wrong, and
/// is never further off than half the counting round trip, plus drift since.
#[derive(Clone, Debug, Default)]
pub struct ServerClock {
    stored_wall_offset_ms: i64,
    samples: VecDeque<Sample>,
    /// The server's clock less the device's steady one, once there was a sample.
    offset_ms: Option<i64>,
}

impl ServerClock {
    /// A clock without samples. `stored_wall_offset_ms` is what [`Self::wall_offset`] gave in an
    /// earlier run, 0 if there was none.
    pub fn new(stored_wall_offset_ms: i64) -> Self {
        Self {
            stored_wall_offset_ms,
            samples: VecDeque::new(),
            offset_ms: None,
        }
    }

    /// Takes a sample; `false` for four times that cannot be true, which change nothing.
    pub fn sample(&mut self, exchange: Exchange) -> bool {
        let Some(sample) = Sample::of(exchange) else {
            return false;
        };
        if self.best().is_some_and(|best| !best.agrees_with(&sample)) {
            self.samples.clear();
        }
        let oldest = sample.mono_ms.saturating_sub(SAMPLE_AGE_MAX_MS);
        self.samples.retain(|kept| kept.mono_ms >= oldest);
        while self.samples.len() >= SAMPLES_MAX {
            self.samples.pop_front();
        }
        self.samples.push_back(sample);
        let best = self.best().unwrap_or(sample);
        self.offset_ms = Some(match self.offset_ms {
            Some(offset) if offset > best.offset_ms => {
                offset.min(best.offset_ms.saturating_add(best.uncertainty_ms()))
            }
            Some(_) | None => best.offset_ms,
        });
        true
    }

    /// The server's clock now. Before the first sample that is the wall clock and the offset that
    /// was stored.
    pub fn estimate(&self, now: Now) -> Millis {
        match self.offset_ms {
            Some(offset) => now.mono_ms.saturating_add(offset),
            None => now.wall_ms.saturating_add(self.stored_wall_offset_ms),
        }
    }

    /// How far the server's clock is ahead of the wall clock, to be stored for the next run; `None`
    /// before the first sample.
    pub fn wall_offset(&self, now: Now) -> Option<i64> {
        let offset = self.offset_ms?;
        Some(
            now.mono_ms
                .saturating_add(offset)
                .saturating_sub(now.wall_ms),
        )
    }

    /// The round trip of the sample that counts.
    pub fn rtt_ms(&self) -> Option<i64> {
        self.best().map(|best| best.round_trip_ms)
    }

    /// Of equal round trips the newest.
    fn best(&self) -> Option<Sample> {
        let newest_first = self.samples.iter().rev().copied();
        newest_first.min_by_key(|sample| sample.round_trip_ms)
    }
}

#[cfg(test)]
mod tests;
