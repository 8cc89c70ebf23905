//! The two clocks that the service reads, and where its randomness comes from.

use std::time::{SystemTime, UNIX_EPOCH};

use ring::digest::{SHA256, digest};

use crate::call::Millis;

/// The wall clock, in UTC milliseconds.
pub(super) fn wall_ms() -> Millis {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|since| Millis::try_from(since.as_millis()).ok())
        .unwrap_or(0)
}

/// A clock that only grows, in milliseconds from anywhere. It counts the time that the machine
/// sleeps, where the system has such a clock: a deadline does not wait for a lid to open.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) fn mono_ms() -> Millis {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    now.tv_sec * 1_000 + now.tv_nsec / 1_000_000
}

/// See the other one.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(super) fn mono_ms() -> Millis {
    use std::sync::OnceLock;
    use std::time::Instant;
    static START: OnceLock<Instant> = OnceLock::new();
    let passed = START.get_or_init(Instant::now).elapsed();
    Millis::try_from(passed.as_millis()).unwrap_or(Millis::MAX)
}

/// Random numbers from a seed that the system gave once: from then on nothing can fail.
pub(super) fn entropy() -> Result<impl FnMut() -> u64 + Send + 'static, getrandom::Error> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed)?;
    let mut count = 0_u64;
    Ok(move || {
        count += 1;
        let mut bytes = seed.to_vec();
        bytes.extend_from_slice(&count.to_be_bytes());
        let hash = digest(&SHA256, &bytes);
        let first = hash.as_ref().first_chunk::<8>().copied();
        u64::from_be_bytes(first.unwrap_or_default())
    })
}
