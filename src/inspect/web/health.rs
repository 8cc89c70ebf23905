//! How a database is with its server: how far it is, when it last heard, what waits.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, ErrorCode, OptionalExtension};
use serde_json::{Value, json};

use super::super::database::{Database, Files, SCHEMA_KNOWN};
use super::super::error::{Error, Problem};

/// Changes and verdicts whose delays are shown.
const DELAYS_MAX: usize = 200;

/// Tells how the database is; what a file of another version does not have is null.
///
/// # Errors
/// The file cannot be read.
pub(super) fn look(database: &mut Database, file: &Path) -> Result<Value, Error> {
    let (bytes, wal_bytes) = Files::of(file).bytes();
    let schema = database.version();
    database.read(|snapshot| {
        let count = |table: &str| value(snapshot, &format!("SELECT count(*) FROM {table}"));
        let meta = |key: &str| {
            value(
                snapshot,
                &format!("SELECT value FROM meta WHERE key = '{key}'"),
            )
        };
        let clock_offset = number(&meta("clock_offset_ms")?);
        Ok(json!({
            "file": {
                "path": file.to_string_lossy(),
                "bytes": bytes,
                "wal_bytes": wal_bytes,
                "schema": schema,
                "schema_known": SCHEMA_KNOWN,
            },
            "user_id": meta("user_id")?,
            "device_id": meta("device_id")?,
            "calls": count("calls")?,
            "started": count("calls WHERE state = 'started'")?,
            "missed": count("calls WHERE missed = 1 AND seen = 0 AND seen_here = 0")?,
            "members": count("members")?,
            "pending": count("commands WHERE verdict IS NULL")?,
            "journal": count("journal")?,
            "oldest_pending": object(
                snapshot,
                "SELECT json_object('op', op, 'call_id', call_id, 'command', command,
                        'queued_at_ms', queued_at_ms, 'attempts', attempts,
                        'last_error', last_error)
                   FROM commands WHERE verdict IS NULL ORDER BY n LIMIT 1",
            )?,
            // Epochs are random: larger than what JavaScript holds exactly.
            "feed": object(
                snapshot,
                "SELECT json_object('epoch', CAST(epoch AS TEXT), 'cursor', cursor, 'heard_at_ms', heard_at_ms)
                   FROM feed",
            )?,
            "lease": object(
                snapshot,
                "SELECT json_object('generation', generation, 'holder', holder,
                        'taken_at_ms', taken_at_ms)
                   FROM lease",
            )?,
            "clock": { "offset_ms": clock_offset },
            "now_ms": now_ms().saturating_add(clock_offset.unwrap_or_default()),
            "delays": object(
                snapshot,
                &format!(
                    "SELECT json_group_array(json_object('at_ms', at_ms, 'delay_ms', delay_ms,
                            'what', what))
                       FROM (SELECT * FROM (
                               SELECT learned_ms AS at_ms, learned_ms - at_ms AS delay_ms,
                                      'change' AS what
                                 FROM (SELECT * FROM changes ORDER BY n DESC LIMIT {DELAYS_MAX})
                               UNION ALL
                               SELECT settled_at_ms, settled_at_ms - queued_at_ms, 'verdict'
                                 FROM (SELECT * FROM commands WHERE verdict IS NOT NULL
                                        ORDER BY n DESC LIMIT {DELAYS_MAX}))
                              ORDER BY at_ms DESC LIMIT {DELAYS_MAX})"
                ),
            )?,
        }))
    })
}

/// The server's time by this machine's clock goes with the offset that the file has.
fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    })
}

/// One value, null when there is none or the file has no such table or column.
fn value(snapshot: &Connection, sql: &str) -> Result<Value, Problem> {
    let read = snapshot.query_row(sql, [], |row| {
        Ok(match row.get_ref(0)? {
            rusqlite::types::ValueRef::Null => Value::Null,
            rusqlite::types::ValueRef::Integer(number) => Value::from(number),
            rusqlite::types::ValueRef::Real(number) => Value::from(number),
            rusqlite::types::ValueRef::Text(bytes) | rusqlite::types::ValueRef::Blob(bytes) => {
                Value::String(String::from_utf8_lossy(bytes).into_owned())
            }
        })
    });
    match read.optional() {
        // The code of "no such table" and "no such column", and of no damage.
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::Unknown) => Ok(Value::Null),
        other => Ok(other?.unwrap_or_default()),
    }
}

/// The same for a value that is JSON.
fn object(snapshot: &Connection, sql: &str) -> Result<Value, Problem> {
    let text = value(snapshot, sql)?;
    let parsed = text
        .as_str()
        .and_then(|text| serde_json::from_str(text).ok());
    Ok(parsed.unwrap_or_default())
}

fn number(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.parse().ok())
}
