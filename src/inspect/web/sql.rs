//! Questions in SQL, by whoever looks.
//!
//! Nothing can be written whatever stands here: the connection is read-only and `query_only`. This
//! module refuses the rest with words: what would write, other files, settings, transactions. It
//! does so before SQLite sees the text, because PRAGMAs can have their effect already when they are
//! prepared, in a second statement or under EXPLAIN.

use std::time::{Duration, Instant};

use rusqlite::Connection;
use rusqlite::types::ValueRef;
use serde::Serialize;
use serde_json::Value;

use super::super::database::Database;
use super::super::error::{Error, Problem};

/// How long a question in SQL may take; the page waits for it meanwhile.
pub(super) const SQL_WITHIN: Duration = Duration::from_secs(5);

/// Rows of an answer; nobody reads more in a browser.
const SQL_ROWS_MAX: usize = 1_000;

/// Bytes of all the values of an answer.
const SQL_BYTES_MAX: usize = 2 * 1024 * 1024;

/// Bytes of one value that are shown.
const VALUE_BYTES_MAX: usize = 4 * 1024;

/// The largest integer that JavaScript holds exactly; larger ones go as text.
const EXACT_MAX: u64 = 1 << 53;

/// What PRAGMAs may be asked for, without a value.
const PRAGMAS: &[&str] = &[
    "application_id",
    "collation_list",
    "compile_options",
    "database_list",
    "encoding",
    "foreign_key_check",
    "freelist_count",
    "function_list",
    "integrity_check",
    "page_count",
    "page_size",
    "quick_check",
    "schema_version",
    "table_list",
    "user_version",
];

/// Those that take the name of what they tell about.
const PRAGMAS_WITH_NAME: &[&str] = &[
    "foreign_key_check",
    "foreign_key_list",
    "index_info",
    "index_list",
    "index_xinfo",
    "integrity_check",
    "quick_check",
    "table_info",
    "table_list",
    "table_xinfo",
];

/// An answer, as a table.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Rows {
    columns: Vec<String>,
    rows: Vec<Vec<Value>>,
    /// Why there are not more rows: null, `rows` or `bytes`.
    cut: Option<&'static str>,
    took_ms: u64,
}

/// Why there is no answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// It is not a question.
    Writes(String),
    /// There is a mistake in it.
    Wrong(String),
}

/// Asks a question.
///
/// # Errors
/// The file cannot be read. What is wrong with the question is in the answer.
pub(super) fn ask(database: &mut Database, sql: &str) -> Result<Result<Rows, Refused>, Error> {
    if let Err(refused) = check(sql).and_then(|()| check_alone(sql)) {
        return Ok(Err(refused));
    }
    // An empty statement before it would be one of two.
    let sql = without_comments(sql);
    database.read(|snapshot| rows(snapshot, sql))
}

/// The rows of one statement that only reads.
fn rows(snapshot: &Connection, sql: &str) -> Result<Result<Rows, Refused>, Problem> {
    let started = Instant::now();
    let mut statement = match snapshot.prepare(sql) {
        Ok(statement) => statement,
        Err(error) => return mistake(error),
    };
    if !statement.readonly() {
        return Ok(Err(Refused::Writes(format!(
            "{ONLY_READS}; this would write"
        ))));
    }
    let columns: Vec<String> = statement.column_names().map(str::to_owned).collect();
    let width = columns.len();
    let mut answer = Rows {
        columns,
        rows: Vec::new(),
        cut: None,
        took_ms: 0,
    };
    let mut bytes = 0;
    let mut cursor = statement.raw_query();
    loop {
        let row = match cursor.next() {
            Ok(Some(row)) => row,
            Ok(None) => break,
            Err(error) => return mistake(error),
        };
        if answer.rows.len() == SQL_ROWS_MAX {
            answer.cut = Some("rows");
            break;
        }
        let mut values = Vec::with_capacity(width);
        for index in 0..width {
            let (value, length) = shown(row.get_ref(index)?);
            bytes += length;
            values.push(value);
        }
        if bytes > SQL_BYTES_MAX {
            answer.cut = Some("bytes");
            break;
        }
        answer.rows.push(values);
    }
    answer.took_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok(Ok(answer))
}

/// A mistake in the question, or in the file.
fn mistake<T>(error: rusqlite::Error) -> Result<Result<T, Refused>, Problem> {
    let problem = Problem::from(error);
    if matches!(problem, Problem::TooMuch) {
        return Ok(Err(Refused::Wrong(format!(
            "took longer than {} s or too much memory, and was stopped; ask for less, with LIMIT or WHERE",
            SQL_WITHIN.as_secs()
        ))));
    }
    if let Problem::Sqlite(error) = problem {
        return Ok(Err(Refused::Wrong(error.to_string())));
    }
    Err(problem)
}

/// A value as the page shows it, and how many bytes that takes.
fn shown(value: ValueRef<'_>) -> (Value, usize) {
    let value = match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) if number.unsigned_abs() <= EXACT_MAX => Value::from(number),
        ValueRef::Integer(number) => Value::String(number.to_string()),
        ValueRef::Real(number) if number.is_finite() => Value::from(number),
        ValueRef::Real(number) => Value::String(number.to_string()),
        ValueRef::Text(bytes) => {
            let (head, cut) = head(bytes, VALUE_BYTES_MAX);
            let text = String::from_utf8_lossy(head);
            Value::String(if cut {
                format!("{text}…")
            } else {
                text.into_owned()
            })
        }
        ValueRef::Blob(bytes) => {
            let (head, cut) = head(bytes, VALUE_BYTES_MAX / 2);
            let digits: String = head.iter().map(|byte| format!("{byte:02x}")).collect();
            Value::String(format!("x'{digits}{}'", if cut { "…" } else { "" }))
        }
    };
    let length = value.as_str().map_or(8, str::len);
    // Empty values take room too.
    (value, length.max(8))
}

fn head(bytes: &[u8], most: usize) -> (&[u8], bool) {
    match bytes.get(..most) {
        Some(head) if bytes.len() > most => (head, true),
        Some(_) | None => (bytes, false),
    }
}

const ONLY_READS: &str = "this page only reads";

/// Sees by the first words whether it can be a question.
fn check(sql: &str) -> Result<(), Refused> {
    let sql = without_comments(sql);
    let (verb, rest) = word(sql);
    let refused = |why: &str| Err(Refused::Writes(format!("{ONLY_READS}: {why}")));
    match verb.to_ascii_uppercase().as_str() {
        "" if sql.is_empty() => Err(Refused::Wrong("there is no question".to_owned())),
        "SELECT" | "WITH" | "VALUES" => Ok(()),
        "EXPLAIN" if explains_a_question(rest) => Ok(()),
        "EXPLAIN" => refused("EXPLAIN explains SELECT, WITH and VALUES"),
        "PRAGMA" => check_pragma(rest),
        "ATTACH" | "DETACH" => {
            refused("ATTACH and DETACH are refused, it shows this file and no other")
        }
        "BEGIN" | "COMMIT" | "END" | "ROLLBACK" | "SAVEPOINT" | "RELEASE" => {
            refused("each question has a transaction of its own")
        }
        other @ ("INSERT" | "UPDATE" | "DELETE" | "REPLACE" | "CREATE" | "DROP" | "ALTER"
        | "VACUUM" | "REINDEX" | "ANALYZE") => refused(&format!("{other} is refused")),
        _ => Err(Refused::Wrong(
            "a question begins with SELECT, WITH, VALUES, EXPLAIN or PRAGMA".to_owned(),
        )),
    }
}

fn explains_a_question(rest: &str) -> bool {
    let (mut verb, rest) = word(rest);
    if verb.eq_ignore_ascii_case("QUERY") {
        let (plan, rest) = word(rest);
        if !plan.eq_ignore_ascii_case("PLAN") {
            return false;
        }
        (verb, _) = word(rest);
    }
    let questions = ["SELECT", "WITH", "VALUES"];
    questions.iter().any(|one| verb.eq_ignore_ascii_case(one))
}

/// Sees that there is one statement, and nothing whose end SQLite could see elsewhere.
fn check_alone(sql: &str) -> Result<(), Refused> {
    let wrong = |why: &str| Err(Refused::Wrong(why.to_owned()));
    let mut rest = without_comments(sql);
    if sql.contains('\0') {
        return wrong("there is a NUL in the question");
    }
    while let Some(first) = rest.chars().next() {
        let after = rest.get(first.len_utf8()..).unwrap_or_default();
        let quote = match first {
            '\'' | '"' | '`' => Some(first),
            '[' => Some(']'),
            _ => None,
        };
        rest = if let Some(quote) = quote {
            // A doubled one ends this and begins the next, which comes to the same.
            after.split_once(quote).map_or("", |(_, after)| after)
        } else if first == ';' {
            return match without_comments(after) {
                "" => Ok(()),
                _ => wrong("one question at a time"),
            };
        } else if matches!(first, '$' | '?' | '@' | '#' | ':') {
            return wrong("the question has parameters ($, ?, @, # or :); put their values in");
        } else if let Some(after) = after_comment(rest) {
            after
        } else {
            after
        };
    }
    Ok(())
}

fn check_pragma(rest: &str) -> Result<(), Refused> {
    let (mut name, mut rest) = word(rest);
    if let Some(after_schema) = rest.strip_prefix('.') {
        (name, rest) = word(after_schema);
    }
    let name = name.to_ascii_lowercase();
    let has_value = rest.starts_with(['=', '(']);
    let allowed = if has_value {
        PRAGMAS_WITH_NAME
    } else {
        PRAGMAS
    };
    if allowed.contains(&name.as_str()) {
        return Ok(());
    }
    Err(Refused::Writes(format!(
        "{ONLY_READS}: PRAGMA {name} is refused{}",
        if has_value { " with a value" } else { "" }
    )))
}

/// The first word, and what comes after it and its blanks.
fn word(text: &str) -> (&str, &str) {
    let text = without_comments(text);
    let end = text
        .find(|character: char| !character.is_ascii_alphanumeric() && character != '_')
        .unwrap_or(text.len());
    let (word, rest) = text.split_at_checked(end).unwrap_or((text, ""));
    (word, without_comments(rest))
}

/// What comes after blanks, comments and empty statements.
fn without_comments(text: &str) -> &str {
    let mut rest = text;
    loop {
        rest = rest
            .trim_start_matches(|character: char| character.is_whitespace() || character == ';');
        match after_comment(rest) {
            Some(after) => rest = after,
            None => return rest,
        }
    }
}

/// What comes after the comment that it begins with; `None` when it begins with something else.
fn after_comment(text: &str) -> Option<&str> {
    let (comment, end) = match text.strip_prefix("--") {
        Some(comment) => (comment, "\n"),
        None => (text.strip_prefix("/*")?, "*/"),
    };
    Some(comment.split_once(end).map_or("", |(_, after)| after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_pass() {
        for sql in [
            "select 1",
            "  -- why\n /* and how */ ; SELECT * FROM calls",
            "with a as (select 1) select * from a",
            "VALUES (1)",
            "explain query plan select 1",
            "explain values (1)",
            "pragma user_version",
            "pragma table_info(calls)",
            "PRAGMA main.index_list ( 'calls' )",
        ] {
            assert_eq!(check(sql), Ok(()), "{sql}");
        }
    }

    #[test]
    fn what_is_no_question_is_refused_by_name() {
        for (sql, names) in [
            ("DELETE FROM calls", "DELETE"),
            ("/**/insert into meta values (1, 2)", "INSERT"),
            ("attach 'x' as y", "ATTACH"),
            ("pragma query_only = 0", "query_only"),
            ("pragma query_only(0)", "query_only"),
            ("pragma user_version = 3", "user_version"),
            ("pragma main . journal_mode", "journal_mode"),
            ("pragma/**/wal_checkpoint", "wal_checkpoint"),
            ("VACUUM INTO 'x'", "VACUUM"),
            ("explain pragma temp_store_directory = 'x'", "EXPLAIN"),
            ("explain query plan/**/attach 'x' as y", "EXPLAIN"),
            ("begin", "transaction"),
        ] {
            match check(sql) {
                Err(Refused::Writes(text)) => assert!(text.contains(names), "{sql}: {text}"),
                other => panic!("{sql}: {other:?}"),
            }
        }
        for sql in ["", " ; -- nothing", "/* open", "hello", "通话", "'a'"] {
            assert!(matches!(check(sql), Err(Refused::Wrong(_))), "{sql}");
        }
    }

    #[test]
    fn there_is_one_statement_and_it_ends_where_it_seems_to() {
        for one in [
            "select 1",
            "select 1 ; -- end\n ;; /* ; */",
            "select ';', \"a;\", `b;`, [c;] -- ; \n from x",
            "select 'it''s; fine' /* ; ' */ -- '",
            "select 1 - -1, 4 / 2, '通;话'",
        ] {
            assert_eq!(check_alone(one), Ok(()), "{one}");
        }
        for two in [
            "select 1; pragma query_only = 0",
            "select ''';' ; select 2",
            "select [a] ; select 2",
            "select 1 /**/;/**/ select 2",
            "select 1 -- \n ; select 2",
            // To SQLite the quote is part of the parameter's name.
            "select $a(') ; pragma query_only = 0 --'",
            "select @a(') ; pragma query_only = 0 --'",
            "select ?1",
            "select :a",
        ] {
            let refused = check_alone(two);
            assert!(matches!(refused, Err(Refused::Wrong(_))), "{two}");
        }
    }

    #[test]
    fn values_are_exact_and_long_ones_are_cut() {
        assert_eq!(shown(ValueRef::Integer(5)).0, Value::from(5));
        assert_eq!(shown(ValueRef::Integer(i64::MIN)).0, i64::MIN.to_string());
        assert_eq!(shown(ValueRef::Real(f64::INFINITY)).0, "inf");
        assert_eq!(shown(ValueRef::Blob(&[0, 255])).0, "x'00ff'");
        assert_eq!(shown(ValueRef::Text(&[b'a', 255])).0, "a\u{fffd}");
        let (long, length) = shown(ValueRef::Text("通".repeat(10_000).as_bytes()));
        assert!(length < VALUE_BYTES_MAX + 16, "{length}");
        assert!(long.as_str().unwrap().ends_with('…'));
    }
}
