//! Why a file could not be looked at: which file, what is wrong with it, and the way out.

use std::io;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

use super::database::BUSY_TIMEOUT;
use super::schema::SCHEMA_KNOWN;

/// Why a question to a database has no answer.
#[derive(Debug, thiserror::Error)]
#[error("{}: {problem}", path.display())]
pub struct Error {
    /// The file, as it was named.
    pub path: PathBuf,
    /// What is wrong with it.
    pub problem: Problem,
}

impl Error {
    pub(super) fn new(path: &Path, problem: Problem) -> Self {
        Self {
            path: path.to_owned(),
            problem,
        }
    }
}

/// What is wrong with a file.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// Nothing has that name.
    #[error("there is no such file; name the database that the app keeps for its user")]
    Missing,
    /// A folder, a device or the like.
    #[error("is not a file; name the database that the app keeps for its user")]
    NotAFile,
    /// The system does not let it be read.
    #[error("cannot be read: {0}; look as a user who may read it, or at a copy")]
    Unreadable(io::Error),
    /// No bytes in it, or no tables.
    #[error(
        "is empty: no app has put anything into it yet, or it was copied without its `-wal`; copy both, or have the copy made (`export --copy`)"
    )]
    Empty,
    /// Some other kind of file.
    #[error("is not an SQLite database, or it is encrypted; name the database that the app keeps")]
    NotADatabase,
    /// An SQLite database with other things in it.
    #[error(
        "is an SQLite database, but none that an app keeps for its user: a signalling server's, or another program's; nothing here works on it, name the app's"
    )]
    NotOurs,
    /// A table or view that the answer needs is not there.
    #[error(
        "has no `{what}` (its layout is version {version}, this build knows {SCHEMA_KNOWN}); look with the offhook that wrote it"
    )]
    Layout {
        /// The missing table or view.
        what: &'static str,
        /// The layout's version.
        version: i64,
    },
    /// Another connection kept it locked.
    #[error(
        "was kept locked by another process for {} s; try again",
        BUSY_TIMEOUT.as_secs()
    )]
    Busy,
    /// An app opened or wrote it at the very moment, again and again.
    #[error("keeps changing while it is opened; try again")]
    Changing,
    /// There was no end to it.
    #[error("takes too long to look at, or too much memory; the file may be of somebody's making")]
    TooMuch,
    /// Its pages contradict each other.
    #[error("is damaged ({0}); `sqlite3 FILE .recover` may save what is left of it")]
    Damaged(rusqlite::Error),
    /// Anything else that SQLite says.
    #[error("cannot be read: {0}")]
    Sqlite(rusqlite::Error),
    /// A copy has no place to go to.
    #[error("cannot be copied to {}: {why}", to.display())]
    Copy {
        /// Where the copy was to be.
        to: PathBuf,
        /// Why it is not there, and the way out.
        why: String,
    },
    /// No trace of that call.
    #[error("knows no call {0:?}; `offhook inspect FILE calls` lists those that it knows")]
    UnknownCall(String),
}

impl From<rusqlite::Error> for Problem {
    fn from(error: rusqlite::Error) -> Self {
        let code = error.sqlite_error_code();
        if code == Some(ErrorCode::NotADatabase) {
            Self::NotADatabase
        } else if code == Some(ErrorCode::DatabaseCorrupt) {
            Self::Damaged(error)
        } else if code == Some(ErrorCode::OperationInterrupted)
            || code == Some(ErrorCode::OutOfMemory)
        {
            Self::TooMuch
        } else if code == Some(ErrorCode::DatabaseBusy) || code == Some(ErrorCode::DatabaseLocked) {
            Self::Busy
        } else {
            Self::Sqlite(error)
        }
    }
}
