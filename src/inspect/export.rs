//! All calls, one after another, oldest first.

use super::damage::{CALLS, COMMANDS, Numbered, Towards, Wanted};
use super::database::Database;
use super::error::{Error, Problem};
use super::model::Story;
use super::queries::Snapshot;

/// How many calls are read at a time. Each time is a snapshot of its own, so that an app's
/// write-ahead log need not wait for the end of the export.
const CALLS_AT_ONCE: usize = 100;

/// Where an export is.
///
/// Calls never move, so that none is told twice and none is left out that was there at the start.
#[derive(Debug, Default)]
pub struct Export {
    /// The last call that was told.
    after: i64,
    /// The last of the calls that only commands tell of, in the order of these.
    after_command: i64,
    calls_done: bool,
    /// Something was told.
    told: bool,
    damage: Option<rusqlite::Error>,
}

impl Export {
    /// The next calls, each as [`Database::story`] tells it: those with a record, then those that
    /// only commands tell of. None: that was all.
    ///
    /// # Errors
    /// The file cannot be read. Of a damaged one that is said only if nothing could be told.
    pub fn next(&mut self, database: &mut Database) -> Result<Vec<Story>, Error> {
        if !self.calls_done {
            let stories = self.batch(database, Part::Calls)?;
            if !stories.is_empty() {
                return Ok(stories);
            }
            self.calls_done = true;
        }
        let stories = self.batch(database, Part::Commands)?;
        match self.damage.take() {
            Some(damage) if !self.told => {
                Err(Error::new(database.path(), Problem::Damaged(damage)))
            }
            damage => {
                self.damage = damage;
                Ok(stories)
            }
        }
    }

    /// Calls or parts of them were left out: the file is damaged, in SQLite's words.
    pub fn damage(&self) -> Option<String> {
        self.damage.as_ref().map(ToString::to_string)
    }

    /// The next stories of a part. What is damaged is passed over.
    fn batch(&mut self, database: &mut Database, part: Part) -> Result<Vec<Story>, Error> {
        let version = database.version();
        loop {
            let after = match part {
                Part::Calls => self.after,
                Part::Commands => self.after_command,
            };
            let batch =
                database.read(|connection| Snapshot::of(connection, version).batch(part, after))?;
            match part {
                Part::Calls => self.after = batch.last,
                Part::Commands => self.after_command = batch.last,
            }
            self.damage = self.damage.take().or(batch.damage);
            self.told |= !batch.stories.is_empty();
            if !batch.stories.is_empty() || batch.ended {
                return Ok(batch.stories);
            }
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Calls,
    /// Calls that only commands tell of, each with the first of its commands.
    Commands,
}

impl Part {
    fn source(self) -> (Numbered, [&'static str; 2], &'static str) {
        match self {
            Self::Calls => (CALLS, ["sort_key", "call_id"], "TRUE"),
            Self::Commands => (
                COMMANDS,
                ["n", "call_id"],
                "NOT EXISTS (SELECT 1 FROM calls WHERE calls.call_id = commands.call_id)
                 AND n = (SELECT min(n) FROM commands AS others
                           WHERE others.call_id = commands.call_id)",
            ),
        }
    }
}

struct Batch {
    stories: Vec<Story>,
    /// The number of the last call that was looked at.
    last: i64,
    ended: bool,
    damage: Option<rusqlite::Error>,
}

impl Snapshot<'_> {
    fn batch(&self, part: Part, after: i64) -> Result<Batch, Problem> {
        let (numbered, columns, fits) = part.source();
        let wanted = Wanted {
            numbered,
            columns: &columns,
            fits: (fits.to_owned(), Vec::new()),
            towards: Towards::Larger,
            until: i64::MAX,
            count: CALLS_AT_ONCE,
        };
        let found = self.gather(&wanted, after, |row| row.text("call_id"));
        let found = match part {
            Part::Calls => found?,
            Part::Commands => self.part(found)?,
        };
        let mut damage = self.take_damage();
        let mut stories = Vec::with_capacity(found.rows.len());
        for (number, id) in &found.rows {
            let key = (part == Part::Calls).then_some(*number);
            match self.story(id, key) {
                Ok(story) => stories.push(story),
                Err(Problem::Damaged(error)) => damage = Some(error),
                Err(Problem::UnknownCall(_)) => {}
                Err(problem) => return Err(problem),
            }
        }
        Ok(Batch {
            stories,
            last: found.reached,
            ended: found.ended,
            damage,
        })
    }
}
