//! Time at the edge: what this device's clocks say, and what the server's clock says now.
//!
//! [`now`] is the only reading of a clock in the client, [`boot`] says for how long its steady half
//! holds. [`ServerClock`] is a value: what the file kept and one reading go in, then samples of the
//! server's clock with the times they were taken; estimates come out. The wall clock counts once at
//! most, for that first reading, and only where the steady clock has begun anew since the last.

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
/// Most letters of a boot's name: twice what systems give.
#[cfg(any(target_os = "linux", target_os = "android"))]
const BOOT_BYTES_MAX: usize = 72;

/// One moment on both clocks of this device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds from an origin that holds until the next boot at most. Never goes back, counts
    /// while the device sleeps.
    pub mono_ms: i64,
    /// Milliseconds since 1970 as the device's wall clock has them; may jump and may be wrong.
    pub wall_ms: Millis,
}

/// Names the time for which [`Now::mono_ms`] counts from one origin.
///
/// On Linux and Android that is the boot of the system, so the steady clock leads over the end of a
/// process. Elsewhere, and where the system does not say which boot this is, it is the life of this
/// process: macOS and iOS have `kern.bootsessionuuid`, which cannot be asked for without unsafe
/// code, and `kern.boottime`, which changes of the wall clock move. There, from one process to the
/// next the wall clock counts as it does over a boot.
pub fn boot() -> &'static str {
    use std::sync::OnceLock;
    static BOOT: OnceLock<String> = OnceLock::new();
    BOOT.get_or_init(|| boot_of_the_system().unwrap_or_else(boot_of_this_process))
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn boot_of_the_system() -> Option<String> {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let id = text.trim();
    (!id.is_empty() && id.len() <= BOOT_BYTES_MAX).then(|| id.to_owned())
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn boot_of_the_system() -> Option<String> {
    None
}

fn boot_of_this_process() -> String {
    let mut bytes = [0; 16];
    if getrandom::fill(&mut bytes).is_err() {
        bytes = (i128::from(std::process::id()) << 64 | i128::from(wall_ms())).to_ne_bytes();
    }
    format!("process {:032x}", u128::from_ne_bytes(bytes))
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

/// What a file keeps of the clock for the next run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeptClock {
    /// The server's clock less the wall clock.
    pub wall_offset_ms: i64,
    /// The boot in which the steady clock was read; empty: never.
    pub boot: String,
    /// The server's clock less the steady one, in that boot.
    pub steady_offset_ms: i64,
}

/// What the server's clock says, estimated from exchanges with it.
///
/// It begins with what the file kept. Within one boot that leads on by the steady clock alone; over
/// a boot by the wall clock, but never to before what the server's clock had passed already. From
/// then on nothing that the wall clock does has any effect.
///
/// Of the last eight samples the one with the shortest round trip counts; those older than ten
/// minutes give way to a new one. A sample that cannot come from the clock that the others came
/// from (the server started again, on another machine) voids them.
///
/// Between samples the estimate runs with the device's own steady clock and never goes back. A new
/// sample moves it forward to its middle, but back only as far as the sample demands: to the latest
/// time that its round trip still allows, unless it is the first or voids the others. So an estimate
/// goes back only if it was proved wrong, and once there was a sample it is never further off than
/// half the counting round trip, plus drift since.
#[derive(Clone, Debug)]
pub struct ServerClock {
    samples: VecDeque<Sample>,
    /// The server's clock less the device's steady one.
    offset_ms: i64,
}

impl ServerClock {
    /// A clock without samples, at the first reading of a run. `passed_ms`: a time that the server's
    /// clock has passed for certain; 0: it never was heard.
    pub fn new(kept: &KeptClock, passed_ms: Millis, boot: &str, now: Now) -> Self {
        let estimate = if kept.boot == boot {
            now.mono_ms.saturating_add(kept.steady_offset_ms)
        } else {
            now.wall_ms.saturating_add(kept.wall_offset_ms)
        };
        Self {
            samples: VecDeque::new(),
            offset_ms: estimate.max(passed_ms).saturating_sub(now.mono_ms),
        }
    }

    /// Takes a sample. Gives by how much it proves the estimate so far wrong, in milliseconds, 0 if
    /// it does not; `None` for four times that cannot be true, which change nothing.
    pub fn sample(&mut self, exchange: Exchange) -> Option<i64> {
        let sample = Sample::of(exchange)?;
        let first = self.samples.is_empty();
        let voids = self.best().is_some_and(|best| !best.agrees_with(&sample));
        if voids {
            self.samples.clear();
        }
        let oldest = sample.mono_ms.saturating_sub(SAMPLE_AGE_MAX_MS);
        self.samples.retain(|kept| kept.mono_ms >= oldest);
        while self.samples.len() >= SAMPLES_MAX {
            self.samples.pop_front();
        }
        self.samples.push_back(sample);
        let best = self.best().unwrap_or(sample);
        let before = self.offset_ms;
        let apart = best.offset_ms.saturating_sub(before);
        let doubtful = best.uncertainty_ms().saturating_add(ROUNDING_MS);
        if (first || voids) && apart.unsigned_abs() > doubtful.unsigned_abs() {
            self.offset_ms = best.offset_ms;
            return Some(apart);
        }
        let latest = best.offset_ms.saturating_add(best.uncertainty_ms());
        self.offset_ms = before.clamp(best.offset_ms, latest);
        Some(0)
    }

    /// The server's clock has passed that time for certain. Gives by how much that moves the
    /// estimate, in milliseconds: forward, before the first sample, or not at all.
    pub fn pass(&mut self, passed_ms: Millis, now: Now) -> i64 {
        let behind = passed_ms.saturating_sub(self.estimate(now)).max(0);
        if !self.samples.is_empty() {
            return 0;
        }
        self.offset_ms = self.offset_ms.saturating_add(behind);
        behind
    }

    /// The server's clock now.
    pub fn estimate(&self, now: Now) -> Millis {
        now.mono_ms.saturating_add(self.offset_ms)
    }

    /// What is to be kept for the next run.
    pub fn kept(&self, boot: &str, now: Now) -> KeptClock {
        KeptClock {
            wall_offset_ms: self.estimate(now).saturating_sub(now.wall_ms),
            boot: boot.to_owned(),
            steady_offset_ms: self.offset_ms,
        }
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
