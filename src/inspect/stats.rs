//! How much there is, and how far the file is with the server.

use rusqlite::Connection;
use serde::Serialize;
use serde_json::Value;

use super::database::Database;
use super::error::{Error, Problem};
use super::queries::Snapshot;

/// Most errors that are told.
const LAST_ERRORS_MAX: usize = 5;
/// Of how many changes, the newest, it is told how late the device learned of them.
const LAG_OF_CHANGES: i64 = 100;

/// How much there is. Counts are null where there is no such table, or where it is damaged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// Whose file it is.
    pub user_id: String,
    /// On which device.
    pub device_id: String,
    /// The file itself.
    pub file: FileStats,
    /// All calls.
    pub calls: Option<i64>,
    /// Those that go on.
    pub started: Option<i64>,
    /// Those that the user missed, and has not seen to have missed.
    pub missed_unseen: Option<i64>,
    /// Members of all calls.
    pub members: Option<i64>,
    /// Invitations that ring on this device by the file.
    pub ringing: Option<i64>,
    /// Commands of all times.
    pub commands: Option<i64>,
    /// Those without a verdict.
    pub pending: Option<i64>,
    /// Those that were refused.
    pub refused: Option<i64>,
    /// Changes that this device learned of.
    pub changes: Option<i64>,
    /// Events that are kept for the app.
    pub journal: Option<i64>,
    /// Who reads them.
    pub readers: Vec<ReaderStats>,
    /// How far the file is with the server.
    pub feed: FeedStats,
    /// What is known of the server's clock.
    pub clock: ClockStats,
    /// How late the device learns of changes.
    pub lag: Lag,
    /// Which engine syncs; null in a layout of one engine a file.
    pub lease: Option<LeaseStats>,
    /// Commands that got no further or were refused, the newest first.
    pub last_errors: Vec<LastError>,
    /// Something could not be read: the file is damaged, in SQLite's words.
    #[serde(skip)]
    pub damage: Option<String>,
}

/// A database's files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FileStats {
    /// Of the file.
    pub bytes: u64,
    /// Of the write-ahead log beside it; 0: there is none.
    pub wal_bytes: u64,
    /// Within the file, of pages without content.
    pub free_bytes: i64,
    /// The version of the layout.
    pub schema: i64,
}

/// A reader of the journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReaderStats {
    /// Its name.
    pub reader: String,
    /// The last event that it acknowledged.
    pub position: i64,
    /// Events after that.
    pub unread: i64,
}

/// How far the file is with the server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FeedStats {
    /// The life of the server that counted the cursor; 0: none yet.
    pub epoch: u64,
    /// The last change of the feed that is in the file.
    pub cursor: i64,
    /// When the server was last heard, noted every few minutes; 0: never.
    pub heard_at_ms: i64,
}

/// What is known of the server's clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ClockStats {
    /// The server's clock less this device's; null: not known yet.
    pub offset_ms: Option<i64>,
}

/// How late the device learns of changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Lag {
    /// Of how many changes, the newest, this is.
    pub changes: i64,
    /// The last one.
    pub last_ms: i64,
    /// The latest of them.
    pub worst_ms: i64,
}

/// Which engine syncs, or did last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LeaseStats {
    /// Counts who took it; 0: nobody yet.
    pub generation: i64,
    /// The build and process.
    pub holder: String,
    /// Since when.
    pub taken_at_ms: i64,
}

/// A command that got no further or was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LastError {
    /// When the verdict came; of a pending one, when the app asked for it.
    pub at_ms: i64,
    /// Its identity.
    pub op: String,
    /// The call it is about.
    pub call_id: String,
    /// `callInvite`, `callCancel`, …
    pub command: String,
    /// Null: pending.
    pub verdict: Option<String>,
    /// The code of a refusal; 0: none.
    pub code: i64,
    /// What went wrong.
    pub error: String,
}

impl Database {
    /// How much there is, and how far the file is with the server.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn stats(&mut self) -> Result<Stats, Error> {
        let version = self.version();
        let bytes = self.bytes();
        self.read(|connection| stats(connection, version, bytes))
    }
}

fn stats(
    connection: &Connection,
    version: i64,
    (bytes, wal_bytes): (u64, u64),
) -> Result<Stats, Problem> {
    let snapshot = Snapshot::of(connection, version);
    let pragma = |name| connection.pragma_query_value::<i64, _>(None, name, |row| row.get(0));
    let count = |table, condition| {
        let query = format!("SELECT count(*) FROM {table} WHERE {condition}");
        snapshot.number(table, &query)
    };
    let stats = Stats {
        user_id: snapshot.meta("user_id")?.unwrap_or_default(),
        device_id: snapshot.meta("device_id")?.unwrap_or_default(),
        file: FileStats {
            bytes,
            wal_bytes,
            free_bytes: pragma("freelist_count")?.saturating_mul(pragma("page_size")?),
            schema: version,
        },
        calls: count("calls", "TRUE")?,
        started: count("calls", "state = 'started'")?,
        missed_unseen: count("calls", "missed = 1 AND seen = 0 AND seen_here = 0")?,
        members: count("members", "TRUE")?,
        ringing: count("rings", "closed_at_ms = 0 AND invitation > 0")?,
        commands: count("commands", "TRUE")?,
        pending: count("commands", "verdict IS NULL")?,
        refused: count("commands", "verdict = 'refused'")?,
        changes: count("changes", "TRUE")?,
        journal: count("journal", "TRUE")?,
        readers: snapshot.readers()?,
        feed: snapshot.feed()?,
        clock: ClockStats {
            offset_ms: snapshot
                .meta("clock_offset_ms")?
                .and_then(|text| text.parse().ok()),
        },
        lag: snapshot.lag()?,
        lease: snapshot.lease()?,
        last_errors: snapshot.last_errors()?,
        damage: None,
    };
    let damage = snapshot.damage(stats.calls.is_none() && stats.commands.is_none())?;
    Ok(Stats { damage, ..stats })
}

/// Nothing where the table is not there.
fn if_there<T: Default>(answer: Result<T, Problem>) -> Result<T, Problem> {
    match answer {
        Err(Problem::Layout { .. }) => Ok(T::default()),
        other => other,
    }
}

impl Snapshot<'_> {
    fn meta(&self, key: &str) -> Result<Option<String>, Problem> {
        let values = self.rows(("meta", &["value"]), "WHERE key = ?", [key], |row| {
            row.text("value")
        });
        Ok(if_there(values)?.pop())
    }

    fn readers(&self) -> Result<Vec<ReaderStats>, Problem> {
        let mut readers = if_there(self.rows(
            ("journal_readers", &["reader", "position"]),
            "ORDER BY reader",
            [],
            |row| ReaderStats {
                reader: row.text("reader"),
                position: row.number("position"),
                unread: 0,
            },
        ))?;
        for reader in &mut readers {
            let query = format!(
                "SELECT count(*) FROM journal WHERE position > {}",
                reader.position
            );
            reader.unread = self.number("journal", &query)?.unwrap_or_default();
        }
        Ok(readers)
    }

    fn feed(&self) -> Result<FeedStats, Problem> {
        let columns = &["epoch", "cursor", "heard_at_ms"];
        let rows = self.rows(("feed", columns), "LIMIT 1", [], |row| FeedStats {
            epoch: row.number("epoch").cast_unsigned(),
            cursor: row.number("cursor"),
            heard_at_ms: row.number("heard_at_ms"),
        });
        Ok(if_there(rows)?.pop().unwrap_or_default())
    }

    fn lag(&self) -> Result<Lag, Problem> {
        let rest = format!("ORDER BY n DESC LIMIT {LAG_OF_CHANGES}");
        let columns = &["n", "at_ms", "learned_ms"];
        let late = if_there(self.rows(("changes", columns), &rest, [], |row| {
            let late_ms = row.number("learned_ms").saturating_sub(row.number("at_ms"));
            late_ms.max(0)
        }))?;
        Ok(Lag {
            changes: i64::try_from(late.len()).unwrap_or(i64::MAX),
            last_ms: late.first().copied().unwrap_or_default(),
            worst_ms: late.iter().copied().max().unwrap_or_default(),
        })
    }

    fn lease(&self) -> Result<Option<LeaseStats>, Problem> {
        let columns = &["generation", "holder", "taken_at_ms"];
        let rows = self.rows(("lease", columns), "LIMIT 1", [], |row| LeaseStats {
            generation: row.number("generation"),
            holder: row.text("holder"),
            taken_at_ms: row.number("taken_at_ms"),
        });
        Ok(if_there(rows)?.pop())
    }

    fn last_errors(&self) -> Result<Vec<LastError>, Problem> {
        let columns = &[
            "op",
            "call_id",
            "command",
            "queued_at_ms",
            "settled_at_ms",
            "verdict",
            "code",
            "result",
            "last_error",
        ];
        let rest = format!(
            "WHERE verdict IS NULL AND last_error IS NOT NULL OR verdict IN ('refused', 'unknown')
             ORDER BY iif(verdict IS NULL, queued_at_ms, settled_at_ms) DESC, n DESC
             LIMIT {LAST_ERRORS_MAX}"
        );
        if_there(self.rows(("commands", columns), &rest, [], |row| {
            let verdict = Some(row.text("verdict")).filter(|word| !word.is_empty());
            let (time, error) = match verdict {
                None => ("queued_at_ms", row.text("last_error")),
                Some(_) => ("settled_at_ms", refusal(&row.json("result"))),
            };
            LastError {
                at_ms: row.number(time),
                op: row.text("op"),
                call_id: row.text("call_id"),
                command: row.text("command"),
                verdict,
                code: row.number("code"),
                error,
            }
        }))
    }
}

/// Why something was refused, in words.
fn refusal(result: &Value) -> String {
    let message = result.get("message").and_then(Value::as_str);
    message.map_or_else(|| result.to_string(), str::to_owned)
}
