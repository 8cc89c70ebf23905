//! How a database is with its server: the document of `stats`, and what the page draws besides.

use std::time::{SystemTime, UNIX_EPOCH};

use rusqlite::ErrorCode;
use serde_json::{Value, json};

use super::super::database::Database;
use super::super::error::{Error, Problem};
use super::super::model::PendingCommand;
use super::super::queries::is_damage;
use super::super::schema::SCHEMA_KNOWN;
use super::answers::whole;

/// Changes and verdicts whose delays are shown.
const DELAYS_MAX: usize = 200;

/// Tells how the database is.
///
/// # Errors
/// The file cannot be read.
pub(super) fn look(database: &mut Database) -> Result<Value, Error> {
    let stats = database.stats()?;
    let mut document = whole(&stats, stats.damage.as_deref());
    let now = now_ms().saturating_add(stats.clock.offset_ms.unwrap_or_default());
    let oldest = oldest_pending(database)?;
    if let Value::Object(fields) = &mut document {
        let more = [
            ("path", json!(database.path().to_string_lossy())),
            ("schema_known", json!(SCHEMA_KNOWN)),
            // Epochs are random: larger than what JavaScript holds exactly.
            ("epoch", json!(stats.feed.epoch.to_string())),
            ("now_ms", json!(now)),
            ("oldest_pending", json!(oldest)),
            ("delays", delays(database)?),
        ];
        fields.extend(more.map(|(name, value)| (name.to_owned(), value)));
    }
    Ok(document)
}

/// The command that waits longest; nothing where there is no such table, or none of it can be read.
fn oldest_pending(database: &mut Database) -> Result<Option<PendingCommand>, Error> {
    match database.pending() {
        Ok(pending) => Ok(pending.pending.into_iter().next()),
        Err(error) if matches!(error.problem, Problem::Layout { .. } | Problem::Damaged(_)) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// The server's time, by this machine's clock, goes with the offset that the file has.
fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    })
}

/// How long changes took to be known here, and commands to have a verdict, the newest first; empty
/// where the file has no such tables, or they are damaged.
fn delays(database: &mut Database) -> Result<Value, Error> {
    let sql = format!(
        "SELECT json_group_array(json_object('at_ms', at_ms, 'delay_ms', delay_ms, 'what', what))
           FROM (SELECT * FROM (
                   SELECT learned_ms AS at_ms, learned_ms - at_ms AS delay_ms, 'change' AS what
                     FROM (SELECT * FROM changes ORDER BY n DESC LIMIT {DELAYS_MAX})
                   UNION ALL
                   SELECT settled_at_ms, settled_at_ms - queued_at_ms, 'verdict'
                     FROM (SELECT * FROM commands WHERE verdict IS NOT NULL
                            ORDER BY n DESC LIMIT {DELAYS_MAX}))
                  ORDER BY at_ms DESC LIMIT {DELAYS_MAX})"
    );
    database.read(|snapshot| {
        let text = snapshot.query_row(&sql, [], |row| row.get::<_, String>(0));
        match text.map(|text| serde_json::from_str(&text).unwrap_or_default()) {
            Ok(delays) => Ok(delays),
            // The code of "no such table" and "no such column".
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::Unknown) => Ok(json!([])),
            Err(error) if is_damage(&error) => Ok(json!([])),
            Err(error) => Err(error.into()),
        }
    })
}
