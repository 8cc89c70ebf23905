//! The questions, in SQL.

mod list;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use rusqlite::{Connection, ErrorCode, Params};

pub(super) use super::damage::is_damage;
use super::damage::{CALLS, COMMANDS, Towards, Wanted, missing};
use super::database::Database;
use super::error::{Error, Problem};
use super::givers::{RANKED, RANKS, Ranked};
use super::model::{Call, CallPage, Entry, Member, Pending, Story, Timeline};
use super::rows::{
    CALL_COLUMNS, COMMAND_COLUMNS, ENTRY_COLUMNS, Fields, MEMBER_COLUMNS, RING_COLUMNS, call,
    command, details, member, pending_command, ring,
};

/// Most calls on a page; more is read as that.
const PAGE_MAX: u32 = 100;

/// Most entries of a timeline.
pub const TIMELINE_MAX: usize = 10_000;

/// Most pending commands that are looked for in a damaged file; the engine takes no more either.
const PENDING_MAX: usize = 1_000;

/// Which calls a list has in it. By default the newest twenty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// How many at most; more than a hundred are read as a hundred.
    pub count: u32,
    /// The `next_flag` of the page before; 0: the first page.
    pub next_flag: i64,
    /// Only calls in that state.
    pub state: Option<StateFilter>,
    /// Only missed calls, seen or not.
    pub missed: bool,
    /// Only calls that this user is or was in.
    pub with: Option<String>,
    /// Only calls in whose id, members or data this stands, in capitals or not.
    pub search: Option<String>,
    /// Only calls created then or later, in ms.
    pub since_ms: Option<i64>,
    /// Only calls down to this place, itself included: where to stop for now. A `next_flag` is one.
    pub down_to: Option<i64>,
}

impl Default for Filter {
    fn default() -> Self {
        Self {
            count: 20,
            next_flag: 0,
            state: None,
            missed: false,
            with: None,
            search: None,
            since_ms: None,
            down_to: None,
        }
    }
}

/// The states of a call that can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateFilter {
    /// Calls that go on.
    Started,
    /// Calls that are over.
    Ended,
}

impl Database {
    /// A page of the list of calls, newest first.
    ///
    /// # Errors
    /// The file cannot be read, or has no such tables.
    pub fn calls(&mut self, filter: &Filter) -> Result<CallPage, Error> {
        let version = self.version();
        self.read(|snapshot| Snapshot::of(snapshot, version).calls(filter))
    }

    /// All that the file tells of one call.
    ///
    /// # Errors
    /// As [`Database::calls`]; and when the file has no trace of that call.
    pub fn story(&mut self, call_id: &str) -> Result<Story, Error> {
        let version = self.version();
        self.read(|snapshot| Snapshot::of(snapshot, version).story(call_id, None))
    }

    /// The commands without a verdict, oldest first.
    ///
    /// # Errors
    /// As [`Database::calls`].
    pub fn pending(&mut self) -> Result<Pending, Error> {
        let version = self.version();
        self.read(|snapshot| Snapshot::of(snapshot, version).pending())
    }

    /// The user whose database this is; empty where it does not say.
    ///
    /// # Errors
    /// As [`Database::calls`].
    pub fn owner(&mut self) -> Result<String, Error> {
        let version = self.version();
        self.read(|snapshot| Snapshot::of(snapshot, version).me())
    }

    /// What happened, oldest first: the first [`TIMELINE_MAX`] entries from a time on, or else the
    /// last so many.
    ///
    /// # Errors
    /// As [`Database::calls`].
    pub fn timeline(&mut self, since_ms: Option<i64>) -> Result<Timeline, Error> {
        let version = self.version();
        self.read(|snapshot| Snapshot::of(snapshot, version).timeline(since_ms))
    }
}

pub(super) struct Snapshot<'a> {
    connection: &'a Connection,
    version: i64,
    /// What was damaged of the rows that were wanted.
    damage: RefCell<Option<rusqlite::Error>>,
    /// The columns of what was asked already: an export asks for each call.
    known: RefCell<BTreeMap<&'static str, Rc<[String]>>>,
}

impl<'a> Snapshot<'a> {
    pub(super) fn of(connection: &'a Connection, version: i64) -> Self {
        Self {
            connection,
            version,
            damage: RefCell::new(None),
            known: RefCell::default(),
        }
    }

    pub(super) fn connection(&self) -> &Connection {
        self.connection
    }

    pub(super) fn take_damage(&self) -> Option<rusqlite::Error> {
        self.damage.take()
    }

    pub(super) fn note_damage(&self, error: rusqlite::Error) {
        self.damage.replace(Some(error));
    }

    /// What was damaged, in SQLite's words; a problem if there is nothing to tell beside it.
    pub(super) fn damage(&self, nothing: bool) -> Result<Option<String>, Problem> {
        match self.damage.take() {
            Some(error) if nothing => Err(Problem::Damaged(error)),
            damage => Ok(damage.map(|error| error.to_string())),
        }
    }

    /// The story of a call; with its key, the index that leads to it need not be sound.
    pub(super) fn story(&self, call_id: &str, key: Option<i64>) -> Result<Story, Problem> {
        let source = ("calls", CALL_COLUMNS);
        let both = |row: &Fields<'_>| (call(row), details(row));
        let found = match key {
            Some(key) => self.rows(source, "WHERE sort_key = ?", [key], both)?,
            None => self.rows(source, "WHERE call_id = ?", [call_id], both)?,
        };
        let mut found = found.into_iter().next();
        if found.is_none()
            && key.is_none()
            && let Some(damage) = self.take_damage()
        {
            // What is damaged is perhaps only the index.
            let wanted = Wanted {
                numbered: CALLS,
                columns: CALL_COLUMNS,
                fits: ("call_id = ?".to_owned(), vec![call_id.to_owned().into()]),
                towards: Towards::Smaller,
                until: i64::MIN,
                count: 1,
            };
            let gathered = self.gather(&wanted, i64::MAX, both)?.rows;
            found = gathered.into_iter().next().map(|(_, both)| both);
            self.note_damage(damage);
        }
        let call = match found {
            None => None,
            Some((mut call, mut details)) => {
                let members = self.members(details.sort_key, details.sort_key)?;
                call.members = members.into_iter().map(|(_, member)| member).collect();
                call.inviter = inviter(&call, &self.me()?);
                details.rings = self.part(self.rows(
                    ("rings", RING_COLUMNS),
                    "WHERE call_id = ? ORDER BY invitation",
                    [call_id],
                    ring,
                ))?;
                call.details = Some(details);
                Some(call)
            }
        };
        let commands = self.part(self.rows(
            ("commands", COMMAND_COLUMNS),
            "WHERE call_id = ? ORDER BY n",
            [call_id],
            command,
        ))?;
        let entries = self.entries("call_id = ?", [call_id], false);
        let (timeline, cut) = self.part(entries)?;
        let nothing = call.is_none() && commands.is_empty() && timeline.is_empty();
        let damage = self.damage(nothing)?;
        if nothing {
            return Err(Problem::UnknownCall(call_id.to_owned()));
        }
        Ok(Story {
            call,
            commands,
            timeline,
            cut,
            damage,
        })
    }

    fn pending(&self) -> Result<Pending, Problem> {
        let mut pending = self.rows(
            ("commands", COMMAND_COLUMNS),
            "WHERE verdict IS NULL ORDER BY n",
            [],
            pending_command,
        )?;
        if let Some(damage) = self.take_damage() {
            let wanted = Wanted {
                numbered: COMMANDS,
                columns: COMMAND_COLUMNS,
                fits: ("verdict IS NULL".to_owned(), Vec::new()),
                towards: Towards::Larger,
                until: i64::MAX,
                count: PENDING_MAX,
            };
            let found = self.gather(&wanted, i64::MIN, pending_command)?.rows;
            pending = found.into_iter().map(|(_, command)| command).collect();
            self.note_damage(damage);
        }
        let damage = self.damage(pending.is_empty())?;
        Ok(Pending { pending, damage })
    }

    fn timeline(&self, since_ms: Option<i64>) -> Result<Timeline, Problem> {
        let since = since_ms.unwrap_or(i64::MIN);
        let (timeline, cut) = self.entries("at_ms >= ?", [since], since_ms.is_some())?;
        let damage = self.damage(timeline.is_empty())?;
        Ok(Timeline {
            timeline,
            cut,
            damage,
        })
    }

    /// Entries of the timeline, oldest first, and whether there are more; then the first ones are
    /// kept, or the last.
    fn entries(
        &self,
        condition: &str,
        values: impl Params + Clone,
        keep_first: bool,
    ) -> Result<(Vec<Entry>, bool), Problem> {
        let has = self.columns("timeline_view")?;
        let direction = if keep_first { "" } else { " DESC" };
        let order: Vec<String> = ["at_ms", "rank", "n"]
            .iter()
            .filter(|column| has.iter().any(|name| name == *column))
            .map(|column| format!("{column}{direction}"))
            .collect();
        let columns = [ENTRY_COLUMNS, RANKED].concat();
        let read = |kind: &str| {
            let order = order.join(", ");
            let limit = TIMELINE_MAX + 1;
            let rest = format!("WHERE {kind}{condition} ORDER BY {order} LIMIT {limit}");
            self.rows(
                ("timeline_view", &columns),
                &rest,
                values.clone(),
                Ranked::of,
            )
        };
        let mut entries = read("")?;
        if let Some(damage) = self.take_damage() {
            // Where one table is damaged, the entries of the others are told.
            entries.clear();
            for rank in RANKS {
                entries.extend(read(&format!("rank = {rank} AND "))?);
            }
            entries.sort_by_key(|ranked| (ranked.entry.at_ms, ranked.rank, ranked.n));
            if !keep_first {
                entries.reverse();
            }
            self.note_damage(damage);
        }
        let cut = entries.len() > TIMELINE_MAX;
        entries.truncate(TIMELINE_MAX);
        if !keep_first {
            entries.reverse();
        }
        Ok((self.with_their_devices(entries)?, cut))
    }

    /// The members of the calls in a range, in the order of the list, each with the call's key.
    fn members(&self, lowest: i64, highest: i64) -> Result<Vec<(i64, Member)>, Problem> {
        self.part(self.rows(
            ("members", MEMBER_COLUMNS),
            "WHERE sort_key BETWEEN ? AND ? ORDER BY sort_key DESC, position",
            [lowest, highest],
            |row| (row.number("sort_key"), member(row)),
        ))
    }

    /// The user whose database this is; empty where it does not say.
    pub(super) fn me(&self) -> Result<String, Problem> {
        let values = self.rows(("meta", &["value"]), "WHERE key = 'user_id'", [], |row| {
            row.text("value")
        });
        Ok(self.part(values)?.pop().unwrap_or_default())
    }

    /// What only adds to an answer: nothing where its table is missing, or one behind its view,
    /// which is noted as damage.
    pub(super) fn part<T: Default>(&self, answer: Result<T, Problem>) -> Result<T, Problem> {
        match answer {
            Err(Problem::Layout { what, .. }) => self.note_damage(missing(what)),
            Err(Problem::Sqlite(error))
                if error.sqlite_error_code() == Some(ErrorCode::Unknown) =>
            {
                self.note_damage(error);
            }
            other => return other,
        }
        Ok(T::default())
    }

    /// Rows of a table or view, with `NULL` for those of the columns that it does not have. Of a
    /// damaged one, those before the damage, which is noted. `rest` begins where its name ends.
    pub(super) fn rows<T>(
        &self,
        (table, wanted): (&'static str, &[&str]),
        rest: &str,
        values: impl Params,
        convert: impl Fn(&Fields<'_>) -> T,
    ) -> Result<Vec<T>, Problem> {
        let list = self.select_list(table, wanted)?;
        let sql = format!("SELECT {list} FROM {table} {rest}");
        let mut statement = self.connection.prepare_cached(&sql)?;
        let mut found = Vec::new();
        for row in statement.query_map(values, |row| Ok(convert(&Fields(row))))? {
            match row {
                Ok(row) => found.push(row),
                Err(error) if is_damage(&error) => {
                    self.damage.replace(Some(error));
                    break;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(found)
    }

    /// The columns as they are asked for, with `NULL` for those that the table does not have.
    pub(super) fn select_list(
        &self,
        table: &'static str,
        wanted: &[&str],
    ) -> Result<String, Problem> {
        let has = self.columns(table)?;
        let list = wanted.iter().map(|column| {
            if has.iter().any(|name| name == column) {
                (*column).to_owned()
            } else {
                format!("NULL AS {column}")
            }
        });
        Ok(list.collect::<Vec<_>>().join(", "))
    }

    /// The one number that a query gives; nothing where its table is missing or damaged.
    pub(super) fn number(&self, table: &'static str, query: &str) -> Result<Option<i64>, Problem> {
        match self.columns(table) {
            Err(Problem::Layout { .. }) => return Ok(None),
            other => other?,
        };
        match self.connection.query_row(query, [], |row| row.get(0)) {
            Err(error) if is_damage(&error) => {
                self.damage.replace(Some(error));
                Ok(None)
            }
            // A column that another layout does not have.
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::Unknown) => Ok(None),
            number => Ok(number?),
        }
    }

    /// The names of a table's or view's columns.
    pub(super) fn columns(&self, table: &'static str) -> Result<Rc<[String]>, Problem> {
        if let Some(names) = self.known.borrow().get(table) {
            return Ok(Rc::clone(names));
        }
        // What is a table with us and a view in the file need not come to an end.
        let mut statement = self.connection.prepare_cached(
            "SELECT name FROM pragma_table_info(?1)
              WHERE EXISTS (SELECT 1 FROM sqlite_schema
                             WHERE name = ?1 AND type = iif(?1 LIKE '%_view', 'view', 'table'))",
        )?;
        let names: Vec<String> = statement
            .query_map([table], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        if names.is_empty() {
            return Err(Problem::Layout {
                what: table,
                version: self.version,
            });
        }
        let names: Rc<[String]> = names.into();
        self.known.borrow_mut().insert(table, Rc::clone(&names));
        Ok(names)
    }
}

/// Who invited this database's user; whom nobody did, the caller, as the app's list has it.
fn inviter(call: &Call, me: &str) -> String {
    let me = call.members.iter().find(|member| member.user_id == me);
    me.and_then(|member| member.inviter.clone())
        .unwrap_or_else(|| call.caller.clone())
}

#[cfg(test)]
mod tests;
