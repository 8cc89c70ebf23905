//! Pages of the list of calls.
//!
//! A page is a walk along one index, newest first, from where the page before ended; the place of a
//! call never changes. So calls that come meanwhile are in front of what is read, and no page costs
//! more than another, however deep it lies. Each filter has an index to walk along; of several at
//! once the rarer is walked, and the others are looked up on the way.

use std::collections::BTreeMap;

use rusqlite::{Connection, ToSql};

use super::calls::SORT_KEY_BITS;
use super::commands::{COMMAND_COLUMNS, read_command};
use super::read::{PendingCommand, Readers};
use super::rows::{CALL_COLUMNS, CallRow, MEMBER_COLUMNS, read_call, read_member, text};
use crate::call::{Call, CallId, CallState, CommandKind, Millis, UserId};
use crate::error::Error;

/// Most calls of a page; more is read as this.
pub const PAGE_MAX: usize = 100;

/// Which page of which calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// How many calls: 1 to 100, more is read as 100 and 0 as 1.
    pub count: usize,
    /// The `next_flag` of the page before; 0 is the first page.
    pub next_flag: i64,
    /// Only calls that it lets through.
    pub filter: Filter,
}

impl Default for Query {
    fn default() -> Self {
        Self {
            count: PAGE_MAX,
            next_flag: 0,
            filter: Filter::default(),
        }
    }
}

/// Which calls a page has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only calls in this state.
    pub state: Option<CallState>,
    /// Only calls that the user missed, or only others.
    pub missed: Option<bool>,
    /// Only calls with this user in them.
    pub with: Option<UserId>,
    /// Only calls created at this time or later.
    pub since: Option<Millis>,
}

/// A page of history, newest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page {
    /// The calls.
    pub calls: Vec<CallEntry>,
    /// Invites that the server has not taken yet; on the first page without a filter only.
    pub pending: Vec<PendingCommand>,
    /// Where the next page begins; 0 when there is none.
    pub next_flag: i64,
}

/// A call of a page.
#[derive(Clone, Debug, PartialEq)]
pub struct CallEntry {
    /// What the server said.
    pub call: Call,
    /// Who invited this user; the user themselves in calls they created.
    pub inviter: UserId,
    /// Whether the user missed it.
    pub missed: bool,
    /// Whether the user saw that, on this device or another.
    pub seen: bool,
    /// What the user has asked for since, and the server has not decided.
    pub pending: Vec<PendingCommand>,
}

impl Readers {
    /// A page of calls.
    pub fn page(&self, query: &Query) -> Result<Page, Error> {
        let count = query.count.clamp(1, PAGE_MAX);
        let filter = &query.filter;
        let is_first = query.next_flag <= 0 && *filter == Filter::default();
        self.read(|sql| {
            let mut rows = call_rows(sql, (count + 1, query.next_flag), filter, &self.user)?;
            let more = rows.len() > count;
            rows.truncate(count);
            add_members(sql, &mut rows, &self.user)?;
            let next_flag = rows.last().filter(|_| more).map_or(0, |last| last.sort_key);
            let mut calls: Vec<_> = rows.into_iter().map(|row| self.entry(row)).collect();
            let pending = add_pending(sql, &mut calls, is_first)?;
            Ok(Page {
                calls,
                pending,
                next_flag,
            })
        })
    }

    fn entry(&self, row: CallRow) -> CallEntry {
        let me = row.call.member(&self.user);
        let inviter = me.and_then(|me| me.inviter.clone());
        CallEntry {
            inviter: inviter.unwrap_or_else(|| row.call.caller.clone()),
            missed: row.missed,
            seen: row.own.seen || row.seen_here,
            pending: Vec::new(),
            call: row.call,
        }
    }
}

impl Filter {
    /// Whether a page walks along the calls with a user: fewer than others, unless it is the user
    /// themselves, who is in nearly all.
    fn is_by_user(&self, me: &UserId) -> bool {
        self.state != Some(CallState::Started) && self.with.as_ref().is_some_and(|user| user != me)
    }

    /// The index along which a page walks. Left to itself, SQLite takes others.
    fn index(&self) -> &'static str {
        if self.state == Some(CallState::Started) {
            return "INDEXED BY calls_open";
        }
        match self.missed {
            Some(true) => "INDEXED BY calls_missed",
            Some(false) => "INDEXED BY calls_not_missed",
            None => "NOT INDEXED",
        }
    }

    /// The question for a page: who it is with, before and from which place, since when, how many.
    fn question(&self, me: &UserId) -> String {
        let is_by_user = self.is_by_user(me);
        let (walk, place) = if is_by_user {
            let walk = "(SELECT sort_key AS place FROM members INDEXED BY members_user
                          WHERE user_id = ?1) CROSS JOIN calls ON sort_key = place";
            (walk.to_owned(), "place")
        } else {
            (format!("calls {}", self.index()), "sort_key")
        };
        let mut conditions = format!("{place} < ?2 AND {place} >= ?3 AND create_time_ms >= ?4");
        // Not bound: an index of some calls is for queries that say in their text which.
        if let Some(state) = self.state {
            conditions.push_str(" AND state = '");
            conditions.push_str(state.word());
            conditions.push('\'');
        }
        match self.missed {
            Some(true) => conditions.push_str(" AND missed = 1"),
            Some(false) => conditions.push_str(" AND missed = 0"),
            None => {}
        }
        if self.with.is_some() && !is_by_user {
            conditions.push_str(
                " AND EXISTS (SELECT 1 FROM members INDEXED BY members_user
                               WHERE members.user_id = ?1 AND members.sort_key = calls.sort_key)",
            );
        }
        format!(
            "SELECT {CALL_COLUMNS} FROM {walk} WHERE {conditions} ORDER BY {place} DESC LIMIT ?5"
        )
    }
}

fn call_rows(
    sql: &Connection,
    (limit, next_flag): (usize, i64),
    filter: &Filter,
    me: &UserId,
) -> rusqlite::Result<Vec<CallRow>> {
    let before = if next_flag <= 0 { i64::MAX } else { next_flag };
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    // A call never stands before the time of its creation.
    let from = filter.since.map_or(i64::MIN, |since| {
        since.clamp(0, Millis::MAX >> SORT_KEY_BITS) << SORT_KEY_BITS
    });
    let since = filter.since.unwrap_or(Millis::MIN);
    let with = filter.with.as_ref().map(UserId::as_str);
    let values: [&dyn ToSql; 5] = [&with, &before, &from, &since, &limit];
    let mut statement = sql.prepare_cached(&filter.question(me))?;
    // Which of them the question asks by depends on the filter.
    for (n, value) in (1..=statement.parameter_count()).zip(values) {
        statement.raw_bind_parameter(n, value)?;
    }
    let mut found = statement.raw_query();
    let mut rows = Vec::new();
    while let Some(row) = found.next()? {
        rows.push(read_call(row)?);
    }
    Ok(rows)
}

/// Adds the members. Call by call is as fast as all at once, and reads nobody else's.
fn add_members(sql: &Connection, rows: &mut [CallRow], user: &UserId) -> rusqlite::Result<()> {
    let mut statement = sql.prepare_cached(&format!(
        "SELECT {MEMBER_COLUMNS} FROM members WHERE sort_key = ? ORDER BY position"
    ))?;
    for row in rows {
        let mut members = statement.query([row.sort_key])?;
        while let Some(member) = members.next()? {
            row.add(read_member(member)?.1, user);
        }
    }
    Ok(())
}

/// Adds to the calls what is pending of them; gives the invites of calls that the server has not
/// told of, if they are wanted. Only what a page shows is taken apart.
fn add_pending(
    sql: &Connection,
    calls: &mut [CallEntry],
    with_invites: bool,
) -> rusqlite::Result<Vec<PendingCommand>> {
    let waiting = waiting(sql)?;
    if waiting.is_empty() {
        return Ok(Vec::new());
    }
    let places: BTreeMap<CallId, usize> = (0..)
        .zip(calls.iter())
        .map(|(place, entry)| (entry.call.id.clone(), place))
        .collect();
    let mut command = sql.prepare_cached(&format!(
        "SELECT {COMMAND_COLUMNS} FROM commands WHERE n = ?"
    ))?;
    let mut is_told =
        sql.prepare_cached("SELECT EXISTS (SELECT 1 FROM calls WHERE call_id = ?)")?;
    let mut invites = Vec::new();
    for (n, call, is_invite) in waiting {
        let place = places.get(&call);
        let is_wanted = with_invites
            && is_invite
            && !is_told.query_row([call.as_str()], |row| row.get::<_, bool>(0))?;
        if place.is_none() && !is_wanted {
            continue;
        }
        let pending = PendingCommand::from(command.query_row([n], read_command)?);
        match place.and_then(|place| calls.get_mut(*place)) {
            Some(entry) => entry.pending.push(pending),
            None => invites.push(pending),
        }
    }
    Ok(invites)
}

/// Commands without a verdict, oldest first: number, call, whether it is an invite.
fn waiting(sql: &Connection) -> rusqlite::Result<Vec<(i64, CallId, bool)>> {
    let mut statement = sql.prepare_cached(
        "SELECT n, call_id, command = ? FROM commands INDEXED BY commands_pending
          WHERE verdict IS NULL ORDER BY n",
    )?;
    let rows = statement.query_map([CommandKind::Invite.name()], |row| {
        Ok((row.get(0)?, text(row, 1, CallId::trusted)?, row.get(2)?))
    })?;
    rows.collect()
}

#[cfg(test)]
mod tests;
