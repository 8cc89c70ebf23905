//! Why SQLite did not do what it was asked, in the store's own words. The only place that maps.

use std::io;
use std::path::Path;

use rusqlite::ffi;
use rusqlite::{Error as SqlError, ErrorCode};

use crate::server::store::StoreError;

/// What can go wrong below the interface.
#[derive(Debug)]
pub(super) enum Fault {
    /// SQLite said so.
    Sql(SqlError),
    /// The caller asked for what the store must not do.
    Refused(String),
    /// A row says what no version of this store writes.
    Damaged(String),
}

impl From<SqlError> for Fault {
    fn from(error: SqlError) -> Self {
        Self::Sql(error)
    }
}

/// What a step gives.
pub(super) type Done<T> = Result<T, Fault>;

impl Fault {
    /// The fault in the store's words; `file` and `doing` stand in its text.
    pub(super) fn into_store_error(self, file: &Path, doing: &str) -> StoreError {
        match self {
            Self::Sql(error) => map_sql(&error, file, doing),
            Self::Refused(text) => StoreError::Failed(place(file, doing, &text)),
            Self::Damaged(text) => StoreError::Corrupt(place(file, doing, &text)),
        }
    }

    /// Whether the operating system could not say that what was written is on the disk. Asked
    /// again it may say yes without having written it, so nothing may be built on such a file.
    pub(super) fn is_failed_sync(&self) -> bool {
        match self {
            Self::Sql(SqlError::SqliteFailure(error, _)) => matches!(
                error.extended_code,
                ffi::SQLITE_IOERR_FSYNC | ffi::SQLITE_IOERR_DIR_FSYNC
            ),
            Self::Sql(_) | Self::Refused(_) | Self::Damaged(_) => false,
        }
    }
}

/// Whether a COMMIT that failed so has certainly left nothing. Everything else may have come after
/// the frame that makes it count was written, or after it was synced.
pub(super) fn certainly_not_committed(error: &SqlError) -> bool {
    match error.sqlite_error_code() {
        Some(
            ErrorCode::DatabaseBusy
            | ErrorCode::DatabaseLocked
            | ErrorCode::DiskFull
            | ErrorCode::ReadOnly
            | ErrorCode::ConstraintViolation,
        ) => true,
        Some(_) | None => false,
    }
}

/// Whether a row stood in the way.
pub(super) fn is_constraint(error: &SqlError) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation)
}

/// An error of the file system, in the store's words.
pub(super) fn map_io(error: &io::Error, path: &Path, doing: &str) -> StoreError {
    use io::ErrorKind::{PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    let text = place(path, doing, &error.to_string());
    if matches!(error.kind(), PermissionDenied | ReadOnlyFilesystem) {
        StoreError::ReadOnly(format!(
            "{text}; let the server's user write to the folder, or name another one"
        ))
    } else if matches!(error.kind(), StorageFull | QuotaExceeded) {
        StoreError::Full(format!("{text}; make room on the disk"))
    } else {
        StoreError::Failed(text)
    }
}

fn place(file: &Path, doing: &str, text: &str) -> String {
    format!("{}: {doing}: {text}", file.display())
}

fn map_sql(error: &SqlError, file: &Path, doing: &str) -> StoreError {
    let text = place(file, doing, &error.to_string());
    let unreadable = matches!(
        error,
        SqlError::FromSqlConversionFailure(..)
            | SqlError::IntegralValueOutOfRange(..)
            | SqlError::InvalidColumnType(..)
            | SqlError::Utf8Error(..)
    );
    if unreadable {
        return StoreError::Corrupt(text);
    }
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => StoreError::Full(format!("{text}; make room on the disk")),
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => StoreError::ReadOnly(format!(
            "{text}; let the server's user write to the folder and its files"
        )),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            StoreError::InUse(format!("{text}; end whatever else writes to the file"))
        }
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            StoreError::Corrupt(format!("{text}; set the file aside and restore a backup"))
        }
        Some(ErrorCode::CannotOpen) => StoreError::Failed(format!(
            "{text}; see that the folder exists, that the server's user may write to it, and that \
             the process may open more files"
        )),
        Some(ErrorCode::SystemIoFailure) => StoreError::Failed(format!("{text}; look at the disk")),
        Some(_) | None => StoreError::Failed(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sql(code: i32) -> SqlError {
        SqlError::SqliteFailure(ffi::Error::new(code), None)
    }

    fn mapped(code: i32) -> StoreError {
        Fault::Sql(sql(code)).into_store_error(Path::new("data/server.db"), "commit")
    }

    #[test]
    fn what_sqlite_says_is_told_in_the_stores_words() {
        assert!(matches!(mapped(ffi::SQLITE_FULL), StoreError::Full(_)));
        assert!(matches!(
            mapped(ffi::SQLITE_READONLY_DBMOVED),
            StoreError::ReadOnly(_)
        ));
        assert!(matches!(mapped(ffi::SQLITE_BUSY), StoreError::InUse(_)));
        assert!(matches!(mapped(ffi::SQLITE_LOCKED), StoreError::InUse(_)));
        assert!(matches!(
            mapped(ffi::SQLITE_CORRUPT),
            StoreError::Corrupt(_)
        ));
        assert!(matches!(mapped(ffi::SQLITE_NOTADB), StoreError::Corrupt(_)));
        for code in [ffi::SQLITE_CANTOPEN, ffi::SQLITE_IOERR_READ] {
            let StoreError::Failed(text) = mapped(code) else {
                panic!("{code} is not told as a failure");
            };
            assert!(text.starts_with("data/server.db: commit: "), "{text}");
        }
    }

    #[test]
    fn the_end_of_a_commit_is_known_only_where_nothing_can_be_on_disk() {
        for code in [ffi::SQLITE_FULL, ffi::SQLITE_BUSY, ffi::SQLITE_READONLY] {
            assert!(certainly_not_committed(&sql(code)), "{code}");
        }
        for code in [
            ffi::SQLITE_IOERR_FSYNC,
            ffi::SQLITE_IOERR_WRITE,
            ffi::SQLITE_IOERR_SHMSIZE,
            ffi::SQLITE_NOMEM,
            ffi::SQLITE_CORRUPT,
        ] {
            assert!(!certainly_not_committed(&sql(code)), "{code}");
        }
    }

    #[test]
    fn a_failed_sync_is_told_apart() {
        assert!(Fault::Sql(sql(ffi::SQLITE_IOERR_FSYNC)).is_failed_sync());
        assert!(!Fault::Sql(sql(ffi::SQLITE_IOERR_READ)).is_failed_sync());
    }
}
