//! What SQLite does not do for a file.

use std::fs::OpenOptions;
use std::io::{self, Read, Seek, Write};
use std::path::Path;

/// Writes a file over itself, and syncs it. Where a sync failed, systems take for written what is
/// not, and only what is written anew is tried again.
///
/// # Errors
/// What the system has against it; [`io::ErrorKind::NotFound`] where there is no such file.
pub(crate) fn write_again(file: &Path) -> io::Result<()> {
    let mut file = OpenOptions::new().read(true).write(true).open(file)?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    file.rewind()?;
    file.write_all(&bytes)?;
    file.sync_all()
}
