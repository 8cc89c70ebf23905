//! The server's clock: never goes back, over restarts included.

use crate::call::Millis;
use crate::server::store::{Store, StoreError, StoreResult};

/// The server's clock stays below this, in the year 2109: later calls would have no place in the
/// order of a device's list.
const CLOCK_MAX: Millis = 1 << 42;

/// Server time from the time that steps are given.
pub(super) struct Clock {
    pub(super) server_ms: Millis,
    pub(super) mono_ms: Millis,
}

impl Clock {
    pub(super) fn advance(&mut self, mono_ms: Millis) -> Millis {
        let passed = (mono_ms - self.mono_ms).max(0);
        self.mono_ms += passed;
        self.server_ms += passed;
        self.server_ms
    }

    pub(super) fn mono_of(&self, server_ms: Millis) -> Millis {
        self.mono_ms
            .saturating_add(server_ms.saturating_sub(self.server_ms))
    }
}

/// Begins an epoch, and gives the server's time: the wall clock, or what was stored if that is
/// later.
pub(super) fn begin(store: &mut dyn Store, epoch: u64, wall_ms: Millis) -> StoreResult<Millis> {
    let mut transaction = store.begin()?;
    let stored = transaction.clock()?;
    if wall_ms >= CLOCK_MAX {
        return Err(StoreError::Failed(format!(
            "the wall clock says {wall_ms} ms since 1970, which cannot be; set it"
        )));
    }
    if stored >= CLOCK_MAX {
        return Err(StoreError::Corrupt(format!(
            "the stored clock says {stored} ms since 1970, which cannot be; restore the data from a backup"
        )));
    }
    let now = wall_ms.max(stored + 1);
    if stored > wall_ms {
        tracing::warn!(
            behind_ms = stored - wall_ms,
            "the wall clock is behind the time that was stored; going on from the latter"
        );
    }
    transaction.begin_epoch(epoch)?;
    transaction.set_clock(now)?;
    transaction.commit()?;
    Ok(now)
}
