//! What the file knows of the server's clock.

use super::Tx;
use crate::call::Millis;
use crate::client::clock::KeptClock;
use crate::error::Error;

const WALL_OFFSET: &str = "clock_offset_ms";
const BOOT: &str = "clock_boot";
const STEADY_OFFSET: &str = "clock_steady_offset_ms";
const DOUBTED_FROM: &str = "clock_doubted_from";

impl Tx<'_> {
    /// What was kept of the clock.
    pub fn kept_clock(&self) -> Result<KeptClock, Error> {
        let number = |key| {
            let text = self.meta(key)?;
            Ok::<_, Error>(text.and_then(|text| text.parse().ok()))
        };
        let steady = number(STEADY_OFFSET)?;
        let boot = self.meta(BOOT)?.filter(|_| steady.is_some());
        Ok(KeptClock {
            wall_offset_ms: number(WALL_OFFSET)?.unwrap_or(0),
            boot: boot.unwrap_or_default(),
            steady_offset_ms: steady.unwrap_or(0),
        })
    }

    /// Keeps what is known of the clock.
    pub fn keep_clock(&self, clock: &KeptClock) -> Result<(), Error> {
        self.set_meta(WALL_OFFSET, &clock.wall_offset_ms.to_string())?;
        self.set_meta(BOOT, &clock.boot)?;
        self.set_meta(STEADY_OFFSET, &clock.steady_offset_ms.to_string())
    }

    /// The first command that was given by an estimate that no sample has confirmed; `None` when
    /// the estimate was confirmed. Of a file that never heard the server that is the first there is.
    pub fn doubted_from(&self) -> Result<Option<i64>, Error> {
        match self.meta(DOUBTED_FROM)? {
            Some(text) => Ok(text.parse().ok()),
            None => Ok((self.feed()?.heard_at == 0).then_some(0)),
        }
    }

    /// Notes from which command on the estimate is in doubt.
    pub fn set_doubted_from(&self, n: Option<i64>) -> Result<(), Error> {
        let text = n.map_or_else(|| "none".to_owned(), |n| n.to_string());
        self.set_meta(DOUBTED_FROM, &text)
    }

    /// A number that is after all commands given so far.
    pub fn after_last_command(&self) -> Result<i64, Error> {
        self.run(
            self.sql
                .query_row("SELECT coalesce(max(n), 0) + 1 FROM commands", [], |row| {
                    row.get(0)
                }),
        )
    }

    /// Moves a command that was never sent in time.
    pub fn move_command(&self, n: i64, queued_at: Millis, expires_at: Millis) -> Result<(), Error> {
        self.cached(
            "UPDATE commands SET queued_at_ms = ?, expires_at_ms = ?
              WHERE n = ? AND number IS NULL AND verdict IS NULL",
            rusqlite::params![queued_at, expires_at, n],
        )
        .map(drop)
    }
}
