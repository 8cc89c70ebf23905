//! What is wrong with a file, how bad that is, and what to do.
//!
//! Each look is a question of its own, so that none keeps an app waiting, and so that a damaged
//! part keeps nobody from looking at the others.

mod checks;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, ErrorCode};
use serde::Serialize;

use super::database::{Database, beside, real_path};
use super::error::{Error, Problem};
use super::header::Header;
use super::rows::Fields;
use super::schema::{APPLICATION_ID, SCHEMA_KNOWN, expected, objects};
use checks::{CHECKS, Check};

/// Most contradictions of a damaged file that are told.
const DAMAGES_MAX: i64 = 10;
/// Most things that a finding names; the others are counted.
const SUBJECTS_MAX: usize = 3;
/// How the name goes on of what an app leaves beside a file of which it could not read a page.
const SUSPECTED: &str = ".suspected";
/// What an app's write-ahead log never comes near unless something keeps it from being written back.
const WAL_BYTES_LARGE: u64 = 64 * 1024 * 1024;

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Checkup {
    /// Nothing that was found is an error.
    pub ok: bool,
    /// Errors first.
    pub findings: Vec<Finding>,
}

/// How bad something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Something is broken or will be.
    Error,
    /// Something to know, which may be as it should.
    Warning,
}

/// Something that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// A word for it that stays the same.
    pub code: &'static str,
    /// What it is, and where.
    pub text: String,
    /// What to do.
    pub advice: String,
}

impl Checkup {
    /// Looks for all that can be wrong with a file.
    ///
    /// # Errors
    /// There is no such file, or it cannot be read. What it has in it is no error but a finding.
    pub fn of(path: &Path) -> Result<Self, Error> {
        let mut findings = match Database::open(path) {
            Ok(database) => examine(database)?,
            Err(error) => vec![unopened(path, error)?],
        };
        findings.sort_by_key(|finding| finding.severity);
        Ok(Self {
            ok: findings
                .iter()
                .all(|finding| finding.severity != Severity::Error),
            findings,
        })
    }

    /// How many findings are errors.
    pub fn errors(&self) -> usize {
        let errors = self.findings.iter();
        errors
            .filter(|finding| finding.severity == Severity::Error)
            .count()
    }
}

fn error(code: &'static str, text: impl Into<String>, advice: impl Into<String>) -> Finding {
    Finding {
        severity: Severity::Error,
        code,
        text: text.into(),
        advice: advice.into(),
    }
}

fn warning(code: &'static str, text: impl Into<String>, advice: impl Into<String>) -> Finding {
    Finding {
        severity: Severity::Warning,
        ..error(code, text, advice)
    }
}

/// A file that cannot be opened because of what is in it.
fn unopened(path: &Path, failed: Error) -> Result<Finding, Error> {
    let code = match failed.problem {
        Problem::Empty => "empty",
        Problem::NotADatabase => "not_a_database",
        Problem::NotOurs => "not_ours",
        Problem::Damaged(_) => "damaged",
        Problem::Missing
        | Problem::NotAFile
        | Problem::Unreadable(_)
        | Problem::Layout { .. }
        | Problem::Busy
        | Problem::Changing
        | Problem::TooMuch
        | Problem::Sqlite(_)
        | Problem::Copy { .. }
        | Problem::UnknownCall(_) => return Err(failed),
    };
    let said = failed.problem.to_string();
    let (text, advice) = said.split_once("; ").unwrap_or((said.as_str(), ""));
    let text = match Header::of(path).map_or(0, |header| header.mark()) {
        0 => text.to_owned(),
        mark => format!("{text} (application_id is {mark})"),
    };
    Ok(error(code, text, advice))
}

struct Examination {
    database: Database,
    findings: Vec<Finding>,
    /// A look took too long or too much memory; those to come might, too.
    exhausted: bool,
}

fn examine(database: Database) -> Result<Vec<Finding>, Error> {
    let mut examination = Examination {
        database,
        findings: Vec::new(),
        exhausted: false,
    };
    if let Some(why) = examination.database.damage().map(str::to_owned) {
        examination.damaged(&why);
    }
    let tables = examination.layout()?;
    examination.integrity()?;
    for check in CHECKS {
        if check.tables.iter().all(|table| tables.contains(*table)) {
            examination.check(check)?;
        }
    }
    examination.beside();
    Ok(examination.findings)
}

impl Examination {
    /// Asks something; nothing if the file is too damaged for an answer, which becomes a finding.
    fn ask<T>(
        &mut self,
        question: impl Fn(&Connection) -> Result<T, Problem>,
    ) -> Result<Option<T>, Error> {
        if self.exhausted {
            return Ok(None);
        }
        let failed = match self.database.read(question) {
            Ok(answer) => return Ok(Some(answer)),
            Err(failed) => failed,
        };
        match failed.problem {
            Problem::Damaged(why) => {
                self.damaged(&why.to_string());
                Ok(None)
            }
            Problem::TooMuch => {
                self.exhausted = true;
                self.findings.push(error(
                    "too_much",
                    "The file is too large, or made to be, to look at all of it",
                    "Look at a copy on a faster machine, with `PRAGMA integrity_check` in the sqlite3 shell",
                ));
                Ok(None)
            }
            // The table has other columns than this build knows; the layout's finding tells.
            Problem::Sqlite(error) if error.sqlite_error_code() == Some(ErrorCode::Unknown) => {
                Ok(None)
            }
            // The disk, say: what could not be looked at is not sound.
            Problem::Sqlite(_)
            | Problem::Missing
            | Problem::NotAFile
            | Problem::Unreadable(_)
            | Problem::Empty
            | Problem::NotADatabase
            | Problem::NotOurs
            | Problem::Layout { .. }
            | Problem::Busy
            | Problem::Changing
            | Problem::Copy { .. }
            | Problem::UnknownCall(_) => Err(failed),
        }
    }

    fn damaged(&mut self, why: &str) {
        if self
            .findings
            .iter()
            .any(|finding| finding.code == "damaged")
        {
            return;
        }
        self.findings.push(error(
            "damaged",
            format!("The file is damaged: {why}"),
            "Keep a copy (`export --copy`). An app that comes upon it sets it aside as FILE.corrupt-N and goes on in a new one with what it can save; the server tells the calls. `sqlite3 FILE .recover` may save more",
        ));
    }

    /// Whether SQLite's own bookkeeping is right, and no value is of a type that its column bars.
    fn integrity(&mut self) -> Result<(), Error> {
        let said = self.ask(|connection| {
            let sql = format!("PRAGMA integrity_check({DAMAGES_MAX})");
            let mut statement = connection.prepare(&sql)?;
            let lines = statement.query_map([], |row| row.get(0))?;
            Ok(lines.collect::<Result<Vec<String>, _>>()?)
        })?;
        let said = said.unwrap_or_default();
        if !said.is_empty() && said != ["ok"] {
            self.damaged(&said.join("; "));
        }
        Ok(())
    }

    /// Whether the tables are those of its version. Gives the tables that there are.
    fn layout(&mut self) -> Result<BTreeSet<String>, Error> {
        let version = self.database.version();
        let Some((mark, there)) = self.ask(|connection| {
            let mark = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
            Ok::<(i64, _), _>((mark, objects(connection)?))
        })?
        else {
            return Ok(BTreeSet::new());
        };
        if mark == 0 {
            self.findings.push(error(
                "mark",
                "The file is not marked as the engine's (application_id is 0)",
                format!("No engine opens it. If it is a copy whose mark was lost: `PRAGMA application_id = {APPLICATION_ID}`"),
            ));
        }
        let tables = there
            .keys()
            .filter_map(|name| name.strip_prefix("table "))
            .map(str::to_owned)
            .collect();
        if version > SCHEMA_KNOWN {
            self.findings.push(warning(
                "newer",
                format!("The layout is version {version}, this build knows {SCHEMA_KNOWN}"),
                "What is new in it was not looked at: use the offhook that wrote it",
            ));
            return Ok(tables);
        }
        if version < 1 {
            self.findings.push(error(
                "version",
                format!("The layout has no version (user_version is {version})"),
                "No engine opens it. If it is a copy whose version was lost, name the one it had: `PRAGMA user_version = N`",
            ));
            return Ok(tables);
        }
        if version < SCHEMA_KNOWN {
            self.findings.push(warning(
                "older",
                format!("The layout is version {version}, this build writes {SCHEMA_KNOWN}"),
                "Nothing: a newer app changes the layout when it opens the file next",
            ));
        }
        let path = self.database.path().to_owned();
        let wanted = expected(version).map_err(|error| Error::new(&path, error.into()))?;
        let named = |names: Vec<&String>| {
            let names: Vec<&str> = names.into_iter().map(String::as_str).collect();
            names.join(", ")
        };
        let differ = |(name, sql): &(&String, &String)| there.get(*name) != Some(sql);
        let differing = wanted.iter().filter(differ).map(|(name, _)| name).collect();
        let differing = named(differing);
        if !differing.is_empty() {
            self.findings.push(error(
                "schema",
                format!("Missing or not as version {version} has it: {differing}"),
                "Somebody changed the layout by hand. Put that back, or start with a new file",
            ));
        }
        let more = there.keys().filter(|name| !wanted.contains_key(*name));
        let more = named(more.collect());
        if !more.is_empty() {
            self.findings.push(warning(
                "schema_more",
                format!("Nothing of version {version}: {more}"),
                "Somebody added it; a trigger can break the engine, the rest may break a later change of layout",
            ));
        }
        Ok(tables)
    }

    fn check(&mut self, check: &Check) -> Result<(), Error> {
        let now = now_ms();
        let found = self.ask(|connection| {
            let mut statement = connection.prepare_cached(check.sql)?;
            let mut rows = match statement.parameter_count() {
                0 => statement.query([])?,
                _ => statement.query([now])?,
            };
            let (mut named, mut count) = (Vec::new(), 0_usize);
            while let Some(row) = rows.next()? {
                count += 1;
                if named.len() < SUBJECTS_MAX {
                    named.push(Fields(row).text_at(0));
                }
            }
            Ok((named, count))
        })?;
        if let Some((named, count @ 1..)) = found {
            let others = match count - named.len() {
                0 => String::new(),
                others => format!(" and {others} more"),
            };
            self.findings.push(Finding {
                severity: check.severity,
                code: check.code,
                text: format!("{}: {}{others}", check.text, named.join(", ")),
                advice: check.advice.to_owned(),
            });
        }
        Ok(())
    }

    /// What lies beside the file.
    fn beside(&mut self) {
        let real = real_path(self.database.path());
        if real.is_ok_and(|real| beside(&real, SUSPECTED).exists()) {
            self.findings.push(warning(
                "suspected",
                "An app could not read a page of the file",
                "It looks through all of the file when it opens it next. If nothing else is found here, the disk may be at fault",
            ));
        }
        let (_, wal_bytes) = self.database.bytes();
        if wal_bytes > WAL_BYTES_LARGE {
            self.findings.push(warning(
                "wal_large",
                format!("The write-ahead log beside the file has grown to {wal_bytes} bytes"),
                "Something keeps a reading transaction open, often a tool for SQLite files: close it, and the app writes the log back at its next chance",
            ));
        }
    }
}

/// This device's clock: whether something waits for minutes may be a little wrong.
fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    })
}

#[cfg(test)]
mod tests {
    use rusqlite::ffi;

    use super::*;

    #[test]
    fn a_disk_that_does_not_give_a_page_is_no_clean_bill() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("alice.db");
        let sql = format!(
            "PRAGMA application_id = {APPLICATION_ID}; CREATE TABLE calls (sort_key INTEGER)"
        );
        Connection::open(&path)
            .unwrap()
            .execute_batch(&sql)
            .unwrap();
        let mut examination = Examination {
            database: Database::open(&path).unwrap(),
            findings: Vec::new(),
            exhausted: false,
        };
        let failed = |code| {
            let error = rusqlite::Error::SqliteFailure(ffi::Error::new(code), None);
            Err::<(), _>(Problem::from(error))
        };
        let looked = examination.ask(|_| failed(ffi::SQLITE_IOERR_READ));
        assert!(looked.is_err());
        let other_layout = examination.ask(|_| failed(ffi::SQLITE_ERROR));
        assert!(matches!(other_layout, Ok(None)));
    }
}
