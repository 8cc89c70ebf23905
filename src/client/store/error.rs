//! What SQLite says, as the engine's errors. The one place that maps them.

use std::io;
use std::path::Path;

use rusqlite::ErrorCode;

use crate::error::{Code, Error};

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
            "corrupt",
            format!("{file} is damaged or not a database: {error}; set it aside and start anew"),
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
