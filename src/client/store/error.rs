//! What SQLite says, as the engine's errors. The one place that maps them.

use std::io;
use std::path::Path;

use rusqlite::{ErrorCode, ffi};

use crate::error::{Code, Error};

/// The reason within [`Code::Corrupt`] that SQLite gave.
const DAMAGED: &str = "corrupt";

/// A failure while the file is in use.
pub(super) fn failure(path: &Path, error: &rusqlite::Error) -> Error {
    let file = path.display();
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => Error::new(
            Code::DiskFull,
            "diskFull",
            format!("the disk of {file} is full; nothing was lost, free some space and try again"),
        ),
        Some(ErrorCode::SystemIoFailure) => Error::new(
            Code::ReadOnly,
            "io",
            format!("the disk of {file} failed: {error}; see to the disk and try again"),
        ),
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => Error::new(
            Code::ReadOnly,
            "readOnly",
            format!("{file} cannot be written: {error}; check its permissions and its folder's"),
        ),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Error::new(
            Code::Corrupt,
            DAMAGED,
            format!(
                "{file} is damaged: {error}; resume, or open it again: it is set aside and another \
                 one begun"
            ),
        ),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Error::new(
            Code::InUse,
            "busy",
            format!("{file} is being written by another program: {error}; close that one"),
        ),
        Some(_) | None => Error::new(
            Code::Internal,
            "store",
            format!("{file} could not be used: {error}"),
        ),
    }
}

/// Whether a sync failed: then nothing is known any more of what is on disk.
pub(super) fn is_failed_sync(error: &rusqlite::Error) -> bool {
    let failed = [ffi::SQLITE_IOERR_FSYNC, ffi::SQLITE_IOERR_DIR_FSYNC];
    error
        .sqlite_error()
        .is_some_and(|error| failed.contains(&error.extended_code))
}

/// Whether nothing of a commit that failed so can be on disk.
pub(super) fn is_certainly_not_committed(error: &rusqlite::Error) -> bool {
    let certain = [
        ErrorCode::DatabaseBusy,
        ErrorCode::DatabaseLocked,
        ErrorCode::DiskFull,
        ErrorCode::ReadOnly,
        ErrorCode::ConstraintViolation,
    ];
    error
        .sqlite_error_code()
        .is_some_and(|code| certain.contains(&code))
}

/// Whether the file was found to be damaged, and is this engine's own.
pub(super) fn is_damage(error: &Error) -> bool {
    error.code == Code::Corrupt && error.reason == DAMAGED
}

/// The name that the file had is another file's now, or nobody's.
pub(super) fn moved(path: &Path) -> Error {
    Error::new(
        Code::ReadOnly,
        "moved",
        format!(
            "{} was removed, renamed or replaced while it was open; put it back and resume, or \
             resume to begin a new one",
            path.display()
        ),
    )
}

/// A failure while the file is opened: what cannot be opened cannot be written.
pub(super) fn open_failure(path: &Path, error: &rusqlite::Error) -> Error {
    if error.sqlite_error_code() == Some(ErrorCode::CannotOpen) {
        return Error::new(
            Code::ReadOnly,
            "cannotOpen",
            format!(
                "{} cannot be opened: {error}; check the folder and its permissions",
                path.display()
            ),
        );
    }
    failure(path, error)
}

/// A failure of the file system.
pub(super) fn io_failure(path: &Path, error: &io::Error) -> Error {
    let full = [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded].contains(&error.kind());
    let code = if full { Code::DiskFull } else { Code::ReadOnly };
    Error::new(
        code,
        "cannotOpen",
        format!(
            "{} cannot be opened: {error}; check the folder and its permissions",
            path.display()
        ),
    )
}
