//! What happens, as it happens.

use std::collections::BTreeSet;
use std::time::Duration;

use super::database::{Database, Mark};
use super::error::{Error, Problem};
use super::givers::{RANKED, Ranked};
use super::model::Entry;
use super::queries::Snapshot;
use super::rows::ENTRY_COLUMNS;

/// How often it is looked whether anybody wrote: often enough that a person sees no delay, and a
/// look that finds nothing costs microseconds.
pub const FOLLOW_EVERY: Duration = Duration::from_millis(200);

/// Most entries that are taken at a time. More come at the next look.
const ENTRIES_AT_ONCE: usize = 1_000;

/// Where somebody who follows is.
#[derive(Debug)]
pub struct Follow {
    /// What the database was like when it was last read to the end.
    seen: Option<Mark>,
    place: Place,
}

/// The last rows that were told of. By their numbers and not by their times: what the device learns
/// of late comes late.
#[derive(Clone, Debug, Default)]
struct Place {
    command: i64,
    change: i64,
    position: i64,
    /// Told commands without a verdict.
    pending: BTreeSet<i64>,
}

impl Follow {
    /// Begins with what happens from now on.
    ///
    /// # Errors
    /// The file cannot be read, or has no such tables.
    pub fn from_now(database: &mut Database) -> Result<Self, Error> {
        let version = database.version();
        let place = database.read(|connection| Snapshot::of(connection, version).place())?;
        Ok(Self { seen: None, place })
    }

    /// What happened since the last time, in order; nothing, and at no cost, when nobody wrote.
    ///
    /// # Errors
    /// The file is gone or cannot be read.
    pub fn next(&mut self, database: &mut Database) -> Result<Vec<Entry>, Error> {
        // Before the reading: what is written meanwhile is seen the next time.
        let mark = database.mark()?;
        if self.seen.as_ref() == Some(&mark) {
            return Ok(Vec::new());
        }
        let version = database.version();
        let place = &self.place;
        let (entries, place) =
            database.read(|connection| Snapshot::of(connection, version).after(place))?;
        self.place = place;
        self.seen = (entries.len() < ENTRIES_AT_ONCE).then_some(mark);
        Ok(entries)
    }
}

impl Snapshot<'_> {
    fn place(&self) -> Result<Place, Problem> {
        let last = |table, column| {
            let query = format!("SELECT coalesce(max({column}), 0) FROM {table}");
            Ok::<_, Problem>(self.number(table, &query)?.unwrap_or_default())
        };
        Ok(Place {
            command: last("commands", "n")?,
            change: last("changes", "n")?,
            position: last("journal", "position")?,
            pending: self.pending_after(0)?,
        })
    }

    fn pending_after(&self, n: i64) -> Result<BTreeSet<i64>, Problem> {
        let rest = "WHERE verdict IS NULL AND n > ? ORDER BY n";
        let rows = self.rows(("commands", &["n"]), rest, [n], |row| row.number("n"))?;
        Ok(rows.into_iter().collect())
    }

    /// What comes after a place, and the place after that.
    fn after(&self, place: &Place) -> Result<(Vec<Entry>, Place), Problem> {
        let mut found = Vec::new();
        let mut next = place.clone();
        // A database that was put back to an earlier state counts on from there.
        let now = self.place()?;
        next.command = next.command.min(now.command);
        next.change = next.change.min(now.change);
        next.position = next.position.min(now.position);

        let commands = self.ranked(1, next.command)?;
        next.pending.extend(commands.iter().map(|keyed| keyed.n));
        next.command = commands.last().map_or(next.command, |keyed| keyed.n);
        found.extend(commands);
        let settled: Vec<i64> = next.pending.difference(&now.pending).copied().collect();
        for n in settled {
            next.pending.remove(&n);
            found.extend(self.settled(n)?);
        }
        let changes = self.ranked(2, next.change)?;
        next.change = changes.last().map_or(next.change, |keyed| keyed.n);
        found.extend(changes);
        let events = self.ranked(4, next.position)?;
        next.position = events.last().map_or(next.position, |keyed| keyed.n);
        found.extend(events);

        found.sort_by_key(|keyed| (keyed.entry.at_ms, keyed.rank, keyed.n));
        self.damage(found.is_empty())?;
        Ok((self.with_their_devices(found)?, next))
    }

    /// Entries of one kind after a number. A condition on the number alone reaches the tables
    /// behind the view, and on the kind leaves all but one of them unread.
    fn ranked(&self, rank: i64, after: i64) -> Result<Vec<Ranked>, Problem> {
        self.keyed(
            "WHERE rank = ? AND n > ? ORDER BY n LIMIT ?",
            [rank, after, ENTRIES_AT_ONCE as i64],
        )
    }

    fn settled(&self, n: i64) -> Result<Vec<Ranked>, Problem> {
        self.keyed("WHERE rank = 3 AND n = ?", [n])
    }

    fn keyed(&self, rest: &str, values: impl rusqlite::Params) -> Result<Vec<Ranked>, Problem> {
        let columns = [ENTRY_COLUMNS, RANKED].concat();
        self.rows(("timeline_view", &columns), rest, values, Ranked::of)
    }
}
