//! A page of the list of calls, also of one with holes in it.

use rusqlite::params_from_iter;
use rusqlite::types::Value as Sql;

use super::super::damage::{CALLS, Gathered, Towards, Wanted, is_damage, no_row};
use super::super::error::Problem;
use super::super::model::{Call, CallPage, Member};
use super::super::rows::{CALL_COLUMNS, call};
use super::{Filter, PAGE_MAX, Snapshot, StateFilter, inviter};

/// `sort_key` is the creation time in ms times this, plus a count.
const SORT_KEYS_A_MS: i64 = 1 << 11;

/// How the schema makes the index that calls with somebody are found by. Files of versions 1 and 2
/// have none, and one of that name that is not made so may be of something else.
pub(super) const MEMBERS_USER: &str = "CREATE INDEX members_user ON members (user_id, sort_key)";
/// The calls that somebody was in, along that index; stands behind `calls`.
const WITH: &str = "NOT INDEXED JOIN (SELECT sort_key AS with_key FROM members INDEXED BY members_user \
     WHERE user_id = ?) ON sort_key = with_key";

/// Calls with their keys.
type Keyed = Vec<(i64, Call)>;

impl Snapshot<'_> {
    pub(super) fn calls(&self, filter: &Filter) -> Result<CallPage, Problem> {
        let (mut keyed, next_flag) = self.keyed_calls(filter)?;
        let mut members = self.members_of(filter, &keyed)?.into_iter().peekable();
        let me = self.me()?;
        let mut calls = Vec::with_capacity(keyed.len());
        for (key, mut call) in keyed.drain(..) {
            // A range can have calls in it that the page leaves out.
            while let Some((of, member)) = members.next_if(|(of, _)| *of >= key) {
                if of == key {
                    call.members.push(member);
                }
            }
            call.inviter = inviter(&call, &me);
            calls.push(call);
        }
        // Behind a first page there may be nothing left that could be read, nor in a part of it.
        let is_all = filter.next_flag == 0 && filter.down_to.is_none();
        let nothing = calls.is_empty() && next_flag == 0 && is_all;
        let damage = self.damage(nothing)?;
        Ok(CallPage {
            calls,
            next_flag,
            damage,
        })
    }

    /// The calls of a page, and where the next one starts.
    fn keyed_calls(&self, filter: &Filter) -> Result<(Keyed, i64), Problem> {
        let count = usize::try_from(filter.count.min(PAGE_MAX)).unwrap_or_default();
        let below = match filter.next_flag {
            0 => i64::MAX,
            flag => flag,
        };
        let (rest, mut values) = page(filter, below, self.has_members_user()?);
        // One more than the page holds tells whether there is a next one.
        values.push(Sql::Integer(i64::from(filter.count.min(PAGE_MAX)) + 1));
        let mut keyed = self.rows(
            ("calls", CALL_COLUMNS),
            &rest,
            params_from_iter(values),
            |row| (row.number("sort_key"), call(row)),
        )?;
        // A page in another one's place leads on from there, so that the list would have no end.
        if !Towards::Smaller.is_order(below, &keyed) {
            self.note_damage(no_row());
        }
        let mut reached = 0;
        if let Some(damage) = self.take_damage() {
            let gathered = self.calls_in_spite(filter, below, count + 1)?;
            keyed = gathered.rows;
            if !gathered.ended {
                reached = gathered.reached;
            }
            self.note_damage(damage);
        }
        if keyed.len() > count {
            keyed.truncate(count);
            reached = keyed.last().map_or(0, |(key, _)| *key);
        }
        Ok((keyed, reached))
    }

    /// The calls of a page of which not all can be read.
    fn calls_in_spite(
        &self,
        filter: &Filter,
        below: i64,
        count: usize,
    ) -> Result<Gathered<Call>, Problem> {
        let (mut conditions, mut values) = (vec!["TRUE".to_owned()], Vec::new());
        narrow(filter, "sort_key", false, &mut conditions, &mut values);
        let wanted = Wanted {
            numbered: CALLS,
            columns: CALL_COLUMNS,
            fits: (conditions.join(" AND "), values),
            towards: Towards::Smaller,
            until: until(filter),
            count,
        };
        self.gather(&wanted, below, call)
    }

    /// The members of the calls of a page, in its order.
    fn members_of(&self, filter: &Filter, calls: &Keyed) -> Result<Vec<(i64, Member)>, Problem> {
        let last = calls.last().map_or(0, |(key, _)| *key);
        let first = calls.first().map_or(0, |(key, _)| *key);
        // The calls of a page without filters lie side by side, and so do their members.
        if is_unfiltered(filter) {
            let damage = self.take_damage();
            let members = self.members(last, first)?;
            let stopped = self.take_damage();
            let whole = stopped.is_none();
            if let Some(damage) = damage.or(stopped) {
                self.note_damage(damage);
            }
            if whole {
                return Ok(members);
            }
        }
        let mut members = Vec::new();
        for (key, _) in calls {
            members.extend(self.members(*key, *key)?);
        }
        Ok(members)
    }

    /// Whether the file has the index of who was in which call, as version 3 has it.
    pub(super) fn has_members_user(&self) -> Result<bool, Problem> {
        let mut statement = self.connection.prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM sqlite_schema
              WHERE type = 'index' AND name = 'members_user' AND sql = ?)",
        )?;
        match statement.query_row([MEMBERS_USER], |row| row.get(0)) {
            Err(error) if is_damage(&error) => Ok(false),
            other => Ok(other?),
        }
    }
}

/// What follows the table in the question for a page, up to its limit, and its values. With the
/// index, the calls with somebody are found along it; without, each call is looked at.
pub(super) fn page(filter: &Filter, below: i64, has_members_user: bool) -> (String, Vec<Sql>) {
    let (mut conditions, mut values) = (Vec::new(), Vec::new());
    let along = filter.with.as_ref().filter(|_| has_members_user);
    let (from, key) = match along {
        None => ("", "sort_key"),
        Some(user) => {
            values.push(Sql::Text(user.clone()));
            (WITH, "with_key")
        }
    };
    conditions.push(format!("{key} < ?"));
    values.push(Sql::Integer(below));
    narrow(filter, key, along.is_some(), &mut conditions, &mut values);
    let conditions = conditions.join(" AND ");
    // Of somebody who stands in a call twice, it is one call.
    let once = if along.is_some() {
        "GROUP BY with_key "
    } else {
        ""
    };
    let rest = format!("{from} WHERE {conditions} {once}ORDER BY {key} DESC LIMIT ?");
    (rest, values)
}

/// What holds of the calls that a filter lets through.
fn narrow(
    filter: &Filter,
    key: &str,
    is_along: bool,
    conditions: &mut Vec<String>,
    values: &mut Vec<Sql>,
) {
    // Words in the text and not as values: so the partial indexes can be used.
    match filter.state {
        None => {}
        Some(StateFilter::Started) => conditions.push("state = 'started'".to_owned()),
        Some(StateFilter::Ended) => conditions.push("state = 'ended'".to_owned()),
    }
    if filter.missed {
        conditions.push("missed = 1".to_owned());
    }
    if let Some(user) = filter.with.as_ref().filter(|_| !is_along) {
        // The sign keeps the index of members out, which may be what is damaged.
        conditions.push(
            "EXISTS (SELECT 1 FROM members \
             WHERE members.sort_key = calls.sort_key AND +members.user_id = ?)"
                .to_owned(),
        );
        values.push(Sql::Text(user.clone()));
    }
    if let Some(words) = &filter.search {
        conditions.push(
            "(instr(lower(call_id), lower(?)) OR instr(lower(extended_data), lower(?)) \
              OR instr(lower(end_data), lower(?)) \
              OR EXISTS (SELECT 1 FROM members WHERE members.sort_key = calls.sort_key \
                          AND (instr(lower(members.user_id), lower(?)) \
                               OR instr(lower(members.extended_data), lower(?)))))"
                .to_owned(),
        );
        values.extend((0..5).map(|_| Sql::Text(words.clone())));
    }
    if let Some(since_ms) = filter.since_ms {
        // The key alone ends the scan early; it may be of a later ms than the call.
        conditions.push(format!("{key} >= ? AND create_time_ms >= ?"));
        values.push(Sql::Integer(first_key_of(since_ms)));
        values.push(Sql::Integer(since_ms));
    }
    if let Some(down_to) = filter.down_to {
        conditions.push(format!("{key} >= ?"));
        values.push(Sql::Integer(down_to));
    }
}

/// The last key that can be of a call that fits.
fn until(filter: &Filter) -> i64 {
    let since = filter.since_ms.map_or(i64::MIN, first_key_of);
    since.max(filter.down_to.unwrap_or(i64::MIN))
}

fn first_key_of(ms: i64) -> i64 {
    ms.saturating_mul(SORT_KEYS_A_MS)
}

fn is_unfiltered(filter: &Filter) -> bool {
    // `since` and `down_to` only say where the range ends.
    filter.state.is_none() && !filter.missed && filter.with.is_none() && filter.search.is_none()
}
