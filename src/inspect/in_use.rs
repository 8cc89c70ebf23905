//! Whether anybody has a database in WAL mode open, without leaving a trace on it.
//!
//! SQLite itself finds out only by taking the file `-shm` over: the first who comes after a crash
//! writes it anew.

use std::path::Path;

/// Where in the file `-shm` everybody who has the database open holds a lock.
#[cfg(unix)]
const LOCK_OF_ALL: u64 = 128;

/// Whether another process has the database open whose `-shm` that is; yes where that cannot be
/// told. Of this process' own locks the system does not tell, and they are gone then.
#[cfg(unix)]
pub(super) fn has_it_open(shm: &Path) -> bool {
    use rustix::process::{Flock, FlockOffsetType, FlockType, fcntl_getlk};
    let mut asked = Flock::from(FlockType::WriteLock);
    asked.offset_type = FlockOffsetType::Set;
    asked.start = LOCK_OF_ALL;
    asked.length = 1;
    let told = std::fs::File::open(shm).map(|file| fcntl_getlk(&file, &asked));
    !matches!(told, Ok(Ok(None)))
}

#[cfg(not(unix))]
pub(super) fn has_it_open(_: &Path) -> bool {
    true
}
