//! A copy of a database, of one moment, while an app may be writing it.

use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

use super::database::{Database, beside};
use super::error::{Error, Problem};

/// What lies beside a database, by how its name ends.
const COMPANIONS: [&str; 4] = ["-wal", "-shm", "-journal", ".lock"];

/// What file systems take for a name. A copy's own, which go on from there, have to fit in, too.
const FILE_NAME_BYTES_MAX: usize = 255;

impl Database {
    /// Copies the database, as it is now, into a new file; gives its bytes. The copy needs no other
    /// file beside it and is readable for its owner alone.
    ///
    /// # Errors
    /// There is something of that name already, it cannot be written, or the database cannot be
    /// read. Then there is no copy.
    pub fn copy(&mut self, to: &Path) -> Result<u64, Error> {
        let from = self.path().to_owned();
        let refused = |why: String| {
            let to = to.to_owned();
            Error::new(&from, Problem::Copy { to, why })
        };
        let place = self.place_of_copy(to).map_err(&refused)?;
        create(&place).map_err(&refused)?;
        let copied = self.copy_pages(&place).and_then(|()| {
            let metadata = fs::metadata(&place).map_err(|error| refused(error.to_string()))?;
            Ok(metadata.len())
        });
        if copied.is_err() {
            // A part of a copy is none. Where it cannot be taken away, the error still tells.
            let _ = fs::remove_file(&place);
        }
        copied
    }

    /// The copy's own name, by an absolute path; why it may not have that one.
    fn place_of_copy(&self, to: &Path) -> Result<PathBuf, String> {
        let name = to.file_name().ok_or("that is no name of a file")?;
        let bytes = name.len()
            + COMPANIONS
                .iter()
                .map(|ending| ending.len())
                .max()
                .unwrap_or(0);
        if bytes > FILE_NAME_BYTES_MAX {
            return Err(format!(
                "its name is {} bytes too long; name a shorter one",
                bytes - FILE_NAME_BYTES_MAX
            ));
        }
        let folder = match to.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            Some(_) | None => Path::new("."),
        };
        let folder = fs::canonicalize(folder)
            .map_err(|error| format!("{}: {error}; name another folder", folder.display()))?;
        let place = folder.join(name);
        let taken = |ending: &str| {
            let path = beside(&place, ending);
            fs::symlink_metadata(&path).is_ok().then_some(path)
        };
        if let Some(path) = [""]
            .iter()
            .chain(&COMPANIONS)
            .find_map(|ending| taken(ending))
        {
            return Err(format!(
                "{} is there already; name a file that is not there yet",
                path.display()
            ));
        }
        // There, SQLite or an engine would take it for a part of the database that is looked at.
        let real = fs::canonicalize(self.path()).map_err(|error| error.to_string())?;
        let begins = |own: &OsStr| name.as_encoded_bytes().starts_with(own.as_encoded_bytes());
        if real.parent() == place.parent() && real.file_name().is_some_and(begins) {
            return Err(
                "a name that begins with the database's own belongs to it; name another file"
                    .to_owned(),
            );
        }
        Ok(place)
    }

    fn copy_pages(&mut self, place: &Path) -> Result<(), Error> {
        let of_copy = |error: rusqlite::Error| {
            let why = format!("{error}; look whether the disk is full");
            let to = place.to_owned();
            Error::new(place, Problem::Copy { to, why })
        };
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut copy = Connection::open_with_flags(place, flags).map_err(of_copy)?;
        self.copy_into(&mut copy)?;
        // Of a database that keeps a write-ahead log it would be one that needs such a file, too.
        // One that is too damaged for that is a copy all the same.
        let _ = copy.pragma_update(None, "journal_mode", "DELETE");
        copy.close().map_err(|(_, error)| of_copy(error))
    }
}

/// Makes an empty file where there is nothing.
fn create(place: &Path) -> Result<(), String> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(place).map(drop).map_err(|error| {
        if error.kind() == io::ErrorKind::AlreadyExists {
            "that is there already; name a file that is not there yet".to_owned()
        } else {
            format!("{error}; name a place that can be written")
        }
    })
}
