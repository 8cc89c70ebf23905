//! The way past what cannot be read of a table.
//!
//! SQLite ends a scan at the first page that makes no sense. What lies beyond is found by its key:
//! a search that starts there does not come through that page.

use rusqlite::types::Value as Sql;
use rusqlite::{Connection, ErrorCode, OptionalExtension, ffi, params_from_iter};

use super::error::Problem;
use super::queries::Snapshot;
use super::rows::Fields;

/// Most keys that are tried one after another before the search takes longer and longer steps, in
/// which it can miss what stands alone between two damaged pages. More calls than hang on one inner
/// page, so that the loss of one costs no more than what is on it.
const KEYS_TRIED_MAX: u32 = 10_000;

/// Most times that one answer goes on behind damage; then it ends there, and the next begins there.
const RESUMED_MAX: u32 = 1_000;

/// A table whose rows are read in the order of a number.
#[derive(Clone, Copy, Debug)]
pub(super) struct Numbered {
    table: &'static str,
    key: &'static str,
    /// A column that has text in every row, unless what is taken for a row is none.
    text: &'static str,
    /// Another table that has the same numbers, and its text; without one they are taken to be dense.
    also_in: Option<(&'static str, &'static str)>,
}

pub(super) const CALLS: Numbered = Numbered {
    table: "calls",
    key: "sort_key",
    text: "call_id",
    also_in: Some(("members", "user_id")),
};

pub(super) const COMMANDS: Numbered = Numbered {
    table: "commands",
    key: "n",
    text: "call_id",
    also_in: None,
};

/// Where a scan goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Towards {
    Smaller,
    Larger,
}

impl Towards {
    fn moved(self, key: i64, by: i64) -> i64 {
        match self {
            Self::Smaller => key.saturating_sub(by),
            Self::Larger => key.saturating_add(by),
        }
    }

    /// Whether a key comes after another one.
    fn is_after(self, key: i64, other: i64) -> bool {
        match self {
            Self::Smaller => key < other,
            Self::Larger => key > other,
        }
    }

    /// Whether each of these comes after the one before it, and the first after `from`.
    pub(super) fn is_order<T>(self, from: i64, rows: &[(i64, T)]) -> bool {
        let before = std::iter::once(from).chain(rows.iter().map(|(key, _)| *key));
        let mut both = before.zip(rows);
        both.all(|(before, (key, _))| self.is_after(*key, before))
    }

    /// How a question begins with a key and goes on.
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Smaller => ("<=", "DESC"),
            Self::Larger => (">=", "ASC"),
        }
    }
}

/// Rows that are wanted of a table, however damaged it is.
pub(super) struct Wanted<'a> {
    pub(super) numbered: Numbered,
    pub(super) columns: &'a [&'a str],
    /// What holds of those that are wanted, in SQL, and its values.
    pub(super) fits: (String, Vec<Sql>),
    pub(super) towards: Towards,
    /// Behind this key, nothing is looked for.
    pub(super) until: i64,
    pub(super) count: usize,
}

/// What was found of it. Damage on the way is noted.
pub(super) struct Gathered<T> {
    pub(super) rows: Vec<(i64, T)>,
    /// The last key that was looked at, whether it fits or not.
    pub(super) reached: i64,
    /// There is nothing behind that.
    pub(super) ended: bool,
}

/// Where there is no such table.
impl<T> Default for Gathered<T> {
    fn default() -> Self {
        Self {
            rows: Vec::new(),
            reached: 0,
            ended: true,
        }
    }
}

/// What an attempt to read found.
enum Tried {
    /// The first key there is, if there is one.
    Found(Option<i64>),
    Damaged,
}

/// Whether SQLite says that what it read makes no sense.
pub(super) fn is_damage(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::DatabaseCorrupt)
}

impl Snapshot<'_> {
    /// The wanted rows after a key. Looks at each row, because the indexes may be damaged, too.
    pub(super) fn gather<T>(
        &self,
        wanted: &Wanted<'_>,
        from: i64,
        convert: impl Fn(&Fields<'_>) -> T,
    ) -> Result<Gathered<T>, Problem> {
        let mut gathered = Gathered {
            rows: Vec::new(),
            reached: from,
            ended: false,
        };
        let (mut start, mut resumed_at, mut damage) = (from, None, None);
        for _ in 0..RESUMED_MAX {
            let last = self.scan(wanted, start, &mut gathered.rows, &convert)?;
            let stopped = self.take_damage();
            // Where nothing could be read, the key itself is of a damaged row.
            gathered.reached = last.or(resumed_at).unwrap_or(gathered.reached);
            gathered.ended = stopped.is_none() && gathered.rows.len() < wanted.count;
            if stopped.is_none() {
                break;
            }
            damage = damage.or(stopped);
            resumed_at = self.beyond(wanted.numbered, gathered.reached, wanted.towards)?;
            let Some(key) = resumed_at else {
                gathered.ended = true;
                break;
            };
            start = wanted.towards.moved(key, -1);
        }
        if let Some(damage) = damage {
            self.note_damage(damage);
        }
        Ok(gathered)
    }

    /// The same up to the first damage; gives the last key that was looked at.
    fn scan<T>(
        &self,
        wanted: &Wanted<'_>,
        after: i64,
        rows: &mut Vec<(i64, T)>,
        convert: &impl Fn(&Fields<'_>) -> T,
    ) -> Result<Option<i64>, Problem> {
        let Numbered {
            table, key, text, ..
        } = wanted.numbered;
        let list = self.select_list(table, wanted.columns)?;
        let (fits, values) = &wanted.fits;
        let (compares, order) = wanted.towards.words();
        let sql = format!(
            "SELECT {list}, {key}, typeof({text}) = 'text', {fits} FROM {table} NOT INDEXED
              WHERE {key} {compares} ? AND ? {compares} {key} ORDER BY {key} {order}"
        );
        let mut last = None;
        let next = wanted.towards.moved(after, 1);
        if !wanted.towards.is_after(next, after) {
            return Ok(last);
        }
        let bounds = [Sql::Integer(next), Sql::Integer(wanted.until)];
        let values = values.iter().cloned().chain(bounds);
        let mut statement = self.connection().prepare_cached(&sql)?;
        let fit = statement.column_count().saturating_sub(1);
        let (is_row, at) = (fit.saturating_sub(1), fit.saturating_sub(2));
        let mut found = statement.query(params_from_iter(values))?;
        while rows.len() < wanted.count {
            let row = match found.next() {
                Ok(None) => break,
                Ok(Some(row)) => row,
                Err(error) if is_damage(&error) => {
                    self.note_damage(error);
                    break;
                }
                Err(error) => return Err(error.into()),
            };
            let number = Fields(row).number_at(at);
            let is_after = wanted.towards.is_after(number, last.unwrap_or(after));
            if !is_after || !Fields(row).flag_at(is_row) {
                self.note_damage(no_row());
                break;
            }
            last = Some(number);
            if Fields(row).flag_at(fit) {
                rows.push((number, convert(&Fields(row))));
            }
        }
        Ok(last)
    }

    /// The first key after `from` that can be read, where the one next to it cannot; none if that was
    /// all.
    fn beyond(
        &self,
        numbered: Numbered,
        from: i64,
        towards: Towards,
    ) -> Result<Option<i64>, Problem> {
        let mut near = from;
        for _ in 0..KEYS_TRIED_MAX {
            let Some(key) = next_key(self.connection(), numbered, near, towards)? else {
                break;
            };
            if let Tried::Found(found) = first(self.connection(), numbered, key, towards)? {
                return Ok(found);
            }
            near = key;
        }
        self.leap(numbered, near, towards)
    }

    /// The same by steps that double, and from the first one that leads behind the damage back.
    fn leap(
        &self,
        numbered: Numbered,
        from: i64,
        towards: Towards,
    ) -> Result<Option<i64>, Problem> {
        let (mut near, mut step) = (from, 1_i64);
        let (mut far, mut found) = loop {
            let key = towards.moved(from, step);
            if !towards.is_after(key, near) {
                return Ok(None);
            }
            match first(self.connection(), numbered, key, towards)? {
                Tried::Found(found) => break (key, found),
                Tried::Damaged => near = key,
            }
            step = step.saturating_mul(2);
        };
        while near.abs_diff(far) > 1 {
            let middle = near.midpoint(far);
            match first(self.connection(), numbered, middle, towards)? {
                Tried::Found(nearer) => {
                    far = middle;
                    found = nearer;
                }
                Tried::Damaged => near = middle,
            }
        }
        Ok(found)
    }
}

/// SQLite trusts the pages in that rows are in order and as its tables have them, so a damaged one
/// could lead in a circle, or be taken for rows of nothing.
pub(super) fn no_row() -> rusqlite::Error {
    corrupt("what stands for a row is none".to_owned())
}

/// A table or view that should be there is not.
pub(super) fn missing(what: &str) -> rusqlite::Error {
    corrupt(format!("it has no `{what}`"))
}

fn corrupt(text: String) -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_CORRUPT), Some(text))
}

/// The key after another one that there should be; nothing if that cannot be told.
fn next_key(
    connection: &Connection,
    numbered: Numbered,
    after: i64,
    towards: Towards,
) -> Result<Option<i64>, Problem> {
    let next = towards.moved(after, 1);
    if !towards.is_after(next, after) {
        return Ok(None);
    }
    let Some((table, text)) = numbered.also_in else {
        return Ok(Some(next));
    };
    let also = Numbered {
        table,
        text,
        ..numbered
    };
    match first(connection, also, next, towards) {
        Ok(Tried::Found(found)) => Ok(found),
        Ok(Tried::Damaged) => Ok(None),
        // No such table: this one is all that there is.
        Err(Problem::Sqlite(_)) => Ok(None),
        Err(problem) => Err(problem),
    }
}

/// Reads the first row from a key on.
fn first(
    connection: &Connection,
    numbered: Numbered,
    from: i64,
    towards: Towards,
) -> Result<Tried, Problem> {
    let (compares, order) = towards.words();
    let Numbered {
        table, key, text, ..
    } = numbered;
    let sql = format!(
        "SELECT {key}, typeof({text}) = 'text' FROM {table} NOT INDEXED WHERE {key} {compares} ? ORDER BY {key} {order} LIMIT 1"
    );
    let row = connection.prepare_cached(&sql).and_then(|mut statement| {
        statement
            .query_row([from], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()
    });
    match row {
        Ok(None) => Ok(Tried::Found(None)),
        Ok(Some((found, is_row))) if is_row && !towards.is_after(from, found) => {
            Ok(Tried::Found(Some(found)))
        }
        Ok(Some(_)) => Ok(Tried::Damaged),
        Err(error) if is_damage(&error) => Ok(Tried::Damaged),
        Err(error) => Err(error.into()),
    }
}
