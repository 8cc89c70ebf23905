//! All calls, one after another, oldest first.

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
            let after = self.after;
            let batch = self.batch(
                database,
                ("calls", &["sort_key", "call_id"]),
                "WHERE sort_key > ? ORDER BY sort_key",
                after,
            )?;
            self.after = batch.last;
            if !batch.stories.is_empty() {
                return Ok(batch.stories);
            }
            self.calls_done = true;
        }
        let after = self.after_command;
        let batch = self.batch(
            database,
            ("commands", &["n", "call_id"]),
            "WHERE n > ? AND NOT EXISTS (SELECT 1 FROM calls
                 WHERE calls.call_id = commands.call_id)
             AND n = (SELECT min(n) FROM commands AS others
                       WHERE others.call_id = commands.call_id)
             ORDER BY n",
            after,
        )?;
        self.after_command = batch.last;
        match self.damage.take() {
            Some(damage) if !self.told => {
                Err(Error::new(database.path(), Problem::Damaged(damage)))
            }
            damage => {
                self.damage = damage;
                Ok(batch.stories)
            }
        }
    }

    /// Calls or parts of them were left out: the file is damaged, in SQLite's words.
    pub fn damage(&self) -> Option<String> {
        self.damage.as_ref().map(ToString::to_string)
    }

    /// The stories of the calls that a query names, beside a number that they are ordered by.
    /// Damaged calls are passed over.
    fn batch(
        &mut self,
        database: &mut Database,
        source: (&'static str, &[&str; 2]),
        rest: &str,
        after: i64,
    ) -> Result<Batch, Error> {
        let version = database.version();
        let mut last = after;
        loop {
            let mut batch = database
                .read(|connection| Snapshot::of(connection, version).batch(source, rest, last))?;
            self.damage = self.damage.take().or(batch.damage.take());
            self.told |= !batch.stories.is_empty();
            if !batch.stories.is_empty() || batch.last == last {
                return Ok(batch);
            }
            last = batch.last;
        }
    }
}

struct Batch {
    stories: Vec<Story>,
    /// The number of the last call, or where it began if there was none.
    last: i64,
    damage: Option<rusqlite::Error>,
}

impl Snapshot<'_> {
    fn batch(
        &self,
        (table, columns): (&'static str, &[&str; 2]),
        rest: &str,
        after: i64,
    ) -> Result<Batch, Problem> {
        let [key, id] = *columns;
        let found = self.rows(
            (table, columns),
            &format!("{rest} LIMIT {CALLS_AT_ONCE}"),
            [after],
            |row| (row.number(key), row.text(id)),
        )?;
        let mut damage = self.take_damage();
        let mut stories = Vec::with_capacity(found.len());
        for (_, id) in &found {
            match self.story(id) {
                Ok(story) => stories.push(story),
                Err(Problem::Damaged(error)) => damage = Some(error),
                // A damaged index does not lead to it.
                Err(Problem::UnknownCall(_)) => {}
                Err(problem) => return Err(problem),
            }
        }
        let last = found.last().map_or(after, |(key, _)| *key);
        Ok(Batch {
            stories,
            last,
            damage,
        })
    }
}
