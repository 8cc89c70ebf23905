//! Calls that ended long ago and devices that were not here for long are removed: a few at a time,
//! with a pause in between, and never while a device is being told what it has missed.

use super::State;
use super::timers::Timer;
use super::work::Work;
use crate::call::Millis;
use crate::server::store::{DeviceKey, StoreResult};

/// A pass begins so long after the first connection.
const FIRST_AFTER_MS: Millis = 60_000;
/// A pass follows the end of the one before after so long.
const PASS_EVERY_MS: Millis = 3_600_000;
/// Between two steps.
const STEP_PAUSE_MS: Millis = 250;
/// A step that cannot be done now is put off for so long.
const PUT_OFF_MS: Millis = 10_000;
/// Calls that one step looks at.
const CALLS_A_STEP_MAX: usize = 20;
/// Devices that one step looks at.
const DEVICES_A_STEP_MAX: usize = 200;

/// Where a pass is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Chore {
    /// It has not begun.
    #[default]
    Rest,
    /// At the calls, behind that one.
    Calls(u64),
    /// At the devices, behind that one.
    Devices(Option<DeviceKey>),
}

impl State {
    /// Somebody is here. A server that nobody speaks to is not woken.
    pub(super) fn arm_housekeeping(&mut self, now: Millis) {
        if !self.timers.is_set(&Timer::Housekeeping) {
            self.timers.set(Timer::Housekeeping, now + FIRST_AFTER_MS);
        }
    }

    /// The next step of a pass.
    pub(super) fn on_housekeeping(&mut self, work: &mut Work<'_>) -> StoreResult<()> {
        let now = work.now;
        // Whatever becomes of this step.
        self.timers.set(Timer::Housekeeping, now + PUT_OFF_MS);
        // What is removed before its turn comes would never be told.
        if self.sessions.values().any(|session| {
            let device = session.device.as_ref();
            device.is_some_and(|device| device.phase.is_reading())
        }) {
            return Ok(());
        }
        let next = self.next_chore(work)?;
        let is_over = next == Chore::Rest;
        self.chore = next;
        if is_over && self.sessions.is_empty() {
            self.timers.stop(&Timer::Housekeeping);
            return Ok(());
        }
        let pause = if is_over {
            PASS_EVERY_MS
        } else {
            STEP_PAUSE_MS
        };
        self.timers.set(Timer::Housekeeping, now + pause);
        Ok(())
    }

    fn next_chore(&mut self, work: &mut Work<'_>) -> StoreResult<Chore> {
        let calls_before = self.settings.calls_kept_since(work.now);
        let devices_before = self.settings.devices_kept_since(work.now);
        let after = match &self.chore {
            Chore::Rest => 0,
            Chore::Calls(after) => *after,
            Chore::Devices(after) => {
                let Some(before) = devices_before else {
                    return Ok(Chore::Rest);
                };
                let store = work.write()?;
                let removed = store.remove_devices(after.as_ref(), before, DEVICES_A_STEP_MAX)?;
                let next = removed.next.map(|next| Chore::Devices(Some(next)));
                return Ok(next.unwrap_or_default());
            }
        };
        let Some(before) = calls_before else {
            return Ok(Chore::Devices(None));
        };
        let store = work.write()?;
        let removed = store.remove_ended(after, before, CALLS_A_STEP_MAX)?;
        if removed.count > 0 {
            tracing::debug!(calls = removed.count, "removed");
        }
        Ok(removed.next.map_or(Chore::Devices(None), Chore::Calls))
    }
}
