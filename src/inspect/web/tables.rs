//! The tables themselves: how they are made, and what is in them.

use rusqlite::{Connection, OptionalExtension};
use serde::Serialize;

use super::super::database::Database;
use super::super::error::{Error, Problem};
use super::sql::{self, Refused, Rows};

/// Tables and views that are listed; the engine has fifteen or so.
const TABLES_MAX: usize = 200;

/// Rows of a page of a table.
const TABLE_PAGE_ROWS: u32 = 100;

/// Rows that are counted. Beyond that, the number is a lower bound: a count reads the whole table.
const COUNTED_MAX: i64 = 1_000_000;

/// What is in a database.
#[derive(Debug, Serialize)]
pub(super) struct Tables {
    tables: Vec<Table>,
}

#[derive(Debug, Serialize)]
struct Table {
    name: String,
    /// `table` or `view`.
    kind: String,
    /// How it was made, with its comments.
    sql: String,
    /// At most [`COUNTED_MAX`]; null for a view, or when it cannot be counted.
    rows: Option<i64>,
}

/// Lists tables and views.
///
/// # Errors
/// The file cannot be read.
pub(super) fn list(database: &mut Database) -> Result<Tables, Error> {
    database.read(|snapshot| {
        let mut statement = snapshot.prepare(&format!(
            "SELECT name, type, coalesce(sql, '') FROM sqlite_schema \
              WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' \
              ORDER BY type, name LIMIT {TABLES_MAX}"
        ))?;
        let named = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        let named: Vec<(String, String, String)> = named.collect::<Result<_, _>>()?;
        let tables = named.into_iter().map(|(name, kind, sql)| Table {
            rows: count(snapshot, &name, &kind),
            name,
            kind,
            sql,
        });
        Ok(Tables {
            tables: tables.collect(),
        })
    })
}

/// A table that cannot be counted is listed all the same.
fn count(snapshot: &Connection, name: &str, kind: &str) -> Option<i64> {
    if kind != "table" {
        return None;
    }
    let sql = format!(
        "SELECT count(*) FROM (SELECT 1 FROM {} LIMIT {COUNTED_MAX})",
        quoted(name)
    );
    snapshot.query_row(&sql, [], |row| row.get(0)).ok()
}

/// A page of a table, what came last first; of a view, in its own order.
///
/// # Errors
/// The file cannot be read. That there is no such table is in the answer.
pub(super) fn rows(
    database: &mut Database,
    name: &str,
    offset: i64,
) -> Result<Result<Rows, Refused>, Error> {
    let kind = database.read(|snapshot| kind(snapshot, name))?;
    let order = match kind.as_deref() {
        None => {
            let text = format!("there is no table or view {name:?}");
            return Ok(Err(Refused::Wrong(text)));
        }
        // All tables of the engine begin with what they are clustered on.
        Some("table") => "ORDER BY 1 DESC",
        Some(_) => "",
    };
    let page = format!(
        "SELECT * FROM {} {order} LIMIT {TABLE_PAGE_ROWS} OFFSET {offset}",
        quoted(name)
    );
    sql::ask(database, &page)
}

fn kind(snapshot: &Connection, name: &str) -> Result<Option<String>, Problem> {
    let sql = "SELECT type FROM sqlite_schema WHERE name = ? AND type IN ('table', 'view')";
    Ok(snapshot
        .query_row(sql, [name], |row| row.get(0))
        .optional()?)
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
