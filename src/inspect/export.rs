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
}

impl Export {
    /// The next calls, each as [`Database::story`] tells it: those with a record, then those that
    /// only commands tell of. None: that was all.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn next(&mut self, database: &mut Database) -> Result<Vec<Story>, Error> {
        let version = database.version();
        if !self.calls_done {
            let after = self.after;
            let (stories, last) = database.read(|connection| {
                let snapshot = Snapshot::of(connection, version);
                snapshot.stories(
                    ("calls", &["sort_key", "call_id"]),
                    "WHERE sort_key > ? ORDER BY sort_key",
                    after,
                )
            })?;
            self.after = last;
            if !stories.is_empty() {
                return Ok(stories);
            }
            self.calls_done = true;
        }
        let after = self.after_command;
        let (stories, last) = database.read(|connection| {
            let snapshot = Snapshot::of(connection, version);
            snapshot.stories(
                ("commands", &["n", "call_id"]),
                "WHERE n > ? AND NOT EXISTS (SELECT 1 FROM calls
                     WHERE calls.call_id = commands.call_id)
                 AND n = (SELECT min(n) FROM commands AS others
                           WHERE others.call_id = commands.call_id)
                 ORDER BY n",
                after,
            )
        })?;
        self.after_command = last;
        Ok(stories)
    }
}

impl Snapshot<'_> {
    /// The stories of the calls that a query names, beside a number that they are ordered by; and
    /// the last such number.
    fn stories(
        &self,
        (table, columns): (&'static str, &[&str; 2]),
        rest: &str,
        after: i64,
    ) -> Result<(Vec<Story>, i64), Problem> {
        let [key, id] = *columns;
        let found = self.rows(
            (table, columns),
            &format!("{rest} LIMIT {CALLS_AT_ONCE}"),
            [after],
            |row| (row.number(key), row.text(id)),
        )?;
        let mut stories = Vec::with_capacity(found.len());
        for (_, id) in &found {
            match self.story(id) {
                Ok(story) => stories.push(story),
                // Its id is not what the damaged index says, or nothing of it can be read.
                Err(Problem::UnknownCall(_) | Problem::Damaged(_)) => {}
                Err(problem) => return Err(problem),
            }
        }
        let damage = self.damage(found.is_empty())?;
        if let Some(story) = stories.last_mut() {
            story.damage = story.damage.take().or(damage);
        }
        Ok((stories, found.last().map_or(after, |(key, _)| *key)))
    }
}
