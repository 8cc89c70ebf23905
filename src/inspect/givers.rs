//! Which device gave a command, and which one's app was told of something.
//!
//! A file that was restored, or that turned out to be a copy, goes on as another device. Its view of
//! what happened names that one everywhere. What is from before is known by its marks: numbers on the
//! wire are below 0, commands that waited are dropped, and the journal of a restored copy goes on far
//! behind where it was.

use rusqlite::{ErrorCode, OptionalExtension};

use super::damage::is_damage;
use super::error::Problem;
use super::model::Entry;
use super::queries::Snapshot;
use super::rows::{Fields, entry};

/// The columns of the view that tell which row of which table an entry is.
pub(super) const RANKED: &[&str] = &["rank", "n"];
/// Commands, and their verdicts.
const COMMAND: i64 = 1;
const VERDICT: i64 = 3;
/// What the app was told.
const EVENT: i64 = 4;

/// All ranks; 2 is of changes.
pub(super) const RANKS: [i64; 4] = [COMMAND, 2, VERDICT, EVENT];

/// A copy's positions are above those of its original by a number with so many bits.
const POSITION_BITS: u32 = 40;

/// An entry and what orders it.
pub(super) struct Ranked {
    pub(super) rank: i64,
    pub(super) n: i64,
    pub(super) entry: Entry,
}

impl Ranked {
    pub(super) fn of(row: &Fields<'_>) -> Self {
        Self {
            rank: row.number("rank"),
            n: row.number("n"),
            entry: entry(row),
        }
    }
}

/// What is from before the file became the device that it is.
#[derive(Debug, Default)]
struct Before {
    /// The last command that was sent then; 0: none.
    command: i64,
    /// When that was over.
    settled_ms: i64,
    /// The first position of the journal that is not from before.
    position: i64,
}

impl Snapshot<'_> {
    /// The entries, with the devices that they are of; empty where the file does not know.
    pub(super) fn with_their_devices(&self, ranked: Vec<Ranked>) -> Result<Vec<Entry>, Problem> {
        let before = self.before()?;
        let mut entries = Vec::with_capacity(ranked.len());
        for Ranked { rank, n, mut entry } in ranked {
            if rank == COMMAND || rank == VERDICT {
                if let Some(device) = self.giver(n, &before)? {
                    entry.device = device;
                }
            } else if rank == EVENT && (n < before.position || entry.at_ms < before.settled_ms) {
                entry.device = String::new();
            }
            entries.push(entry);
        }
        Ok(entries)
    }

    fn before(&self) -> Result<Before, Problem> {
        let least = "SELECT coalesce(min(number), 0) FROM commands WHERE number < 0";
        let least = self.number("commands", least)?.unwrap_or_default();
        let command = least.saturating_neg();
        let settled = format!("SELECT max(settled_at_ms) FROM commands WHERE n = {command}");
        let settled_ms = match command {
            0 => None,
            _ => self.number("commands", &settled)?,
        };
        let last = "SELECT seq FROM sqlite_sequence WHERE name = 'journal'";
        let last: Option<i64> = self.optional(last, [], |row| row.get(0))?;
        let position = (last.unwrap_or_default() >> POSITION_BITS) << POSITION_BITS;
        Ok(Before {
            command,
            settled_ms: settled_ms.unwrap_or_default(),
            position,
        })
    }

    /// The device that gave a command before the file was the device that it is.
    fn giver(&self, n: i64, before: &Before) -> Result<Option<String>, Problem> {
        let sql = "SELECT op, call_id, verdict IS 'dropped' FROM commands WHERE n = ?";
        let found = self.optional(sql, [n], |row| {
            let is_dropped: bool = row.get(2)?;
            Ok((
                row.get::<_, String>(0)?,
                row.get::<_, String>(1)?,
                is_dropped,
            ))
        })?;
        let Some((op, call, is_dropped)) = found else {
            return Ok(None);
        };
        if n > before.command && !is_dropped {
            return Ok(None);
        }
        let sql = "SELECT my_primary_device FROM calls WHERE call_id = ? AND my_primary_op = ?";
        let device = self.optional(sql, [call, op], |row| row.get::<_, Option<String>>(0))?;
        Ok(Some(device.flatten().unwrap_or_default()))
    }

    /// A row; nothing where it cannot be read, or of another layout.
    fn optional<T>(
        &self,
        sql: &str,
        values: impl rusqlite::Params,
        convert: impl FnOnce(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>, Problem> {
        let row = self
            .connection()
            .prepare_cached(sql)
            .and_then(|mut statement| statement.query_row(values, convert).optional());
        match row {
            Ok(row) => Ok(row),
            Err(error) if is_damage(&error) => {
                self.note_damage(error);
                Ok(None)
            }
            // A column that another layout does not have, or a value that no engine writes.
            Err(error) => match error.sqlite_error_code() {
                None | Some(ErrorCode::Unknown) => Ok(None),
                Some(_) => Err(error.into()),
            },
        }
    }
}
