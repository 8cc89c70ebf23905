//! The list of calls as the page reads it: a search in steps.
//!
//! A search looks at every call, which takes seconds where there are very many; so a request looks at
//! so many and says how far it came, and the page goes on from there. What can be found along an
//! index, by the beginning of an id or a user's name, comes with the first of them.

use std::collections::BTreeSet;

use rusqlite::{Connection, ErrorCode, OptionalExtension, Params};
use serde_json::{Value, json};

use super::super::database::Database;
use super::super::error::{Error, Problem};
use super::super::model::Call;
use super::super::queries::{Filter, is_damage};
use super::answers::whole;

/// Calls that one request of a search looks at.
const SEARCHED_MAX: i64 = 20_000;

/// Calls, and users, whose name begins with what is searched for and that are looked up.
const NAMED_MAX: i64 = 5;

/// `sort_key` is the creation time in ms times this, plus a count.
const SORT_KEYS_A_MS: i64 = 1 << 11;

/// The place of the last call that a search looks at; nothing if there are no more after it.
const LAST_SEARCHED: &str =
    "SELECT sort_key FROM calls WHERE sort_key < ?1 ORDER BY sort_key DESC LIMIT 1 OFFSET ?2";

const CALLS_BEGINNING_WITH: &str = "SELECT sort_key FROM calls \
     WHERE call_id >= ?1 AND call_id < ?1 || char(1114111) ORDER BY call_id LIMIT ?2";

/// From one user to the next, however many calls each is in.
const USERS_BEGINNING_WITH: &str = "WITH RECURSIVE named (user_id) AS (\
         SELECT min(user_id) FROM members INDEXED BY members_user WHERE user_id >= ?1 \
         UNION ALL \
         SELECT (SELECT min(user_id) FROM members INDEXED BY members_user \
                  WHERE members.user_id > named.user_id) FROM named \
          WHERE user_id < ?1 || char(1114111)) \
     SELECT user_id FROM named WHERE user_id < ?1 || char(1114111) LIMIT ?2";

/// A page of the list. Of a search it may have fewer calls than were asked for and a `next_flag` all
/// the same; then `searched_to_ms` says how far back it looked. With the first page comes `named`:
/// calls further back, found by their id or a user's.
///
/// # Errors
/// The file cannot be read.
pub(super) fn page(database: &mut Database, mut filter: Filter) -> Result<Value, Error> {
    let Some(words) = filter.search.clone() else {
        let page = database.calls(&filter)?;
        return Ok(whole(&page, page.damage.as_deref()));
    };
    filter.down_to = last_searched(database, &filter)?;
    let mut page = database.calls(&filter)?;
    let mut searched_to = None;
    if let (0, Some(down_to)) = (page.next_flag, filter.down_to) {
        page.next_flag = down_to;
        searched_to = Some(down_to / SORT_KEYS_A_MS);
    }
    let mut named = Vec::new();
    if filter.next_flag == 0 && page.next_flag != 0 {
        let found: BTreeSet<&str> = page
            .calls
            .iter()
            .map(|call| call.call_id.as_str())
            .collect();
        named = named_by(database, &filter, &words)?;
        named.retain(|call| !found.contains(call.call_id.as_str()));
    }
    let mut document = whole(&page, page.damage.as_deref());
    if let Value::Object(fields) = &mut document {
        fields.insert("searched_to_ms".to_owned(), json!(searched_to));
        fields.insert("named".to_owned(), json!(named));
    }
    Ok(document)
}

fn last_searched(database: &mut Database, filter: &Filter) -> Result<Option<i64>, Error> {
    let from = match filter.next_flag {
        0 => i64::MAX,
        flag => flag,
    };
    let values = (from, SEARCHED_MAX - 1);
    let last = database.read(|snapshot| {
        let found = snapshot.query_row(LAST_SEARCHED, values, |row| row.get(0));
        or_nothing(found.optional())
    })?;
    let since = filter.since_ms.unwrap_or_default();
    Ok(last.filter(|last| last / SORT_KEYS_A_MS >= since))
}

/// The newest calls whose id, or one of whose users' ids, begins with these words.
fn named_by(database: &mut Database, filter: &Filter, words: &str) -> Result<Vec<Call>, Error> {
    let values = (words, NAMED_MAX);
    let places: Vec<i64> = column(database, CALLS_BEGINNING_WITH, values)?;
    let users: Vec<String> = match filter.with {
        None => column(database, USERS_BEGINNING_WITH, values)?,
        Some(_) => Vec::new(),
    };
    let all = Filter {
        search: None,
        down_to: None,
        ..filter.clone()
    };
    let mut named = Vec::new();
    for place in places {
        let one = Filter {
            next_flag: place.saturating_add(1),
            down_to: Some(place),
            ..all.clone()
        };
        named.extend(database.calls(&one)?.calls);
    }
    for user in users {
        let with = Some(user);
        named.extend(
            database
                .calls(&Filter {
                    with,
                    ..all.clone()
                })?
                .calls,
        );
    }
    named.sort_by(|one, other| {
        let newest = other.create_time_ms.cmp(&one.create_time_ms);
        newest.then_with(|| one.call_id.cmp(&other.call_id))
    });
    named.dedup_by(|one, other| one.call_id == other.call_id);
    named.truncate(usize::try_from(filter.count).unwrap_or(usize::MAX));
    Ok(named)
}

fn column<T: rusqlite::types::FromSql>(
    database: &mut Database,
    sql: &str,
    values: impl Params + Copy,
) -> Result<Vec<T>, Error> {
    database.read(|snapshot| {
        let found = all_of(snapshot, sql, values);
        or_nothing(found.map(Some)).map(Option::unwrap_or_default)
    })
}

fn all_of<T: rusqlite::types::FromSql>(
    snapshot: &Connection,
    sql: &str,
    values: impl Params,
) -> rusqlite::Result<Vec<T>> {
    let mut statement = snapshot.prepare(sql)?;
    let rows = statement.query_map(values, |row| row.get(0))?;
    rows.collect()
}

/// A shortcut that a damaged or older file does not have is not taken.
fn or_nothing<T>(found: rusqlite::Result<Option<T>>) -> Result<Option<T>, Problem> {
    match found {
        Err(error) if is_damage(&error) => Ok(None),
        // No such table, column or index.
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::Unknown) => Ok(None),
        found => Ok(found?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_looked_up_at_once_goes_along_an_index() {
        let connection = Connection::open_in_memory().unwrap();
        for step in [
            include_str!("../../../schema/client/0001_initial.sql"),
            include_str!("../../../schema/client/0002_lease.sql"),
            include_str!("../../../schema/client/0003_lists.sql"),
        ] {
            connection.execute_batch(step).unwrap();
        }
        for (sql, values, expected) in [
            (LAST_SEARCHED, [("9", 1)], "SEARCH calls USING "),
            (
                CALLS_BEGINNING_WITH,
                [("a", 5)],
                "SEARCH calls USING COVERING INDEX sqlite_autoindex_calls_1",
            ),
            (
                USERS_BEGINNING_WITH,
                [("a", 5)],
                "SEARCH members USING COVERING INDEX members_user (user_id>",
            ),
        ] {
            let explained = format!("EXPLAIN QUERY PLAN {sql}");
            let mut statement = connection.prepare(&explained).unwrap();
            let steps = statement.query_map(values[0], |row| row.get::<_, String>(3));
            let steps: Vec<String> = steps.unwrap().map(Result::unwrap).collect();
            let mut looks = steps
                .iter()
                .filter(|step| step.contains("calls") || step.contains("members"));
            assert!(looks.clone().count() > 0, "{steps:?}");
            assert!(looks.all(|step| step.starts_with(expected)), "{steps:?}");
            assert!(
                !steps.iter().any(|step| step.contains("B-TREE")),
                "{steps:?}"
            );
        }
    }
}
