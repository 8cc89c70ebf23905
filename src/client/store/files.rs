//! What the store needs of a file system beside SQLite: the file by its own name, and the lock that
//! says whose it is. [`OsFiles`] is the operating system's; tests bring one that they can break.

use std::any::Any;
use std::fs::{self, OpenOptions, TryLockError};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use super::error::io_failure;
use crate::disk;
use crate::error::{Code, Error};

/// A lock that is held until it is dropped, or until its process dies.
pub type Lock = Box<dyn Any + Send>;

/// How the name of the file goes on that says whose a database is. It is made at the first opening
/// and stays.
pub(super) const LOCK: &str = ".lock";

/// Files, as the store needs them.
pub trait Files: Send + Sync {
    /// The SQLite VFS through which databases are opened; `None` is SQLite's own choice.
    fn vfs(&self) -> Option<&str>;
    /// The file itself, whatever it is called: by all of its names it has one lock. Absolute,
    /// because SQLite takes names such as `file:x` and `:memory:` for something else.
    ///
    /// # Errors
    /// [`Code::ReadOnly`] for what is no file and cannot become one.
    fn resolve(&self, path: &Path) -> Result<PathBuf, Error>;
    /// Takes the lock of a file; `None` while somebody else has it.
    ///
    /// # Errors
    /// [`Code::ReadOnly`] or [`Code::DiskFull`] where there can be no lock.
    fn lock(&self, file: &Path) -> Result<Option<Lock>, Error>;
    /// Makes the file if it is not there, readable for its owner alone.
    ///
    /// # Errors
    /// [`Code::ReadOnly`], [`Code::DiskFull`].
    fn create(&self, file: &Path) -> Result<(), Error>;
    /// Whether there is a file of that name.
    fn exists(&self, file: &Path) -> bool;
    /// Whether there is a folder for a file of that name.
    fn has_folder(&self, _file: &Path) -> bool {
        true
    }
    /// Up to `most` bytes from the start of a file, and how many it has in all.
    ///
    /// # Errors
    /// [`Code::ReadOnly`].
    fn start(&self, file: &Path, most: u64) -> Result<(Vec<u8>, u64), Error>;
    /// Which file has that name now; `None` where there is none, or where files cannot be told
    /// apart.
    fn identity(&self, file: &Path) -> Option<FileId>;
    /// When a file was last written to, in ms since 1970 by the file system's clock; `None` where
    /// that is not known.
    fn written_at(&self, file: &Path) -> Option<i64>;
    /// Gives a file another name, which nothing has. It has that one for good when this returns.
    ///
    /// # Errors
    /// [`Code::ReadOnly`], [`Code::DiskFull`].
    fn rename(&self, from: &Path, to: &Path) -> Result<(), Error>;
    /// Removes a file, if it is there.
    ///
    /// # Errors
    /// [`Code::ReadOnly`].
    fn remove(&self, file: &Path) -> Result<(), Error>;
    /// Writes what can be read of a file once more in its place, and syncs it. After a sync that
    /// failed, systems take for written what is not, and only what is written anew is tried again.
    ///
    /// # Errors
    /// [`Code::ReadOnly`], [`Code::DiskFull`].
    fn write_again(&self, file: &Path) -> Result<(), Error>;
}

/// Tells files apart, whatever they are called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileId(pub u64, pub u64);

/// The operating system's files.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsFiles;

impl Files for OsFiles {
    fn vfs(&self) -> Option<&str> {
        None
    }

    fn resolve(&self, path: &Path) -> Result<PathBuf, Error> {
        let resolved = path.canonicalize().or_else(|_| {
            let absolute = std::path::absolute(path)?;
            // Not there yet; its folder is.
            match (
                absolute.parent().map(Path::canonicalize),
                absolute.file_name(),
            ) {
                (Some(Ok(folder)), Some(name)) => Ok(folder.join(name)),
                (Some(_) | None, _) => Ok(absolute),
            }
        });
        let resolved = resolved.map_err(|error| io_failure(path, &error))?;
        check_is_file(&resolved)?;
        Ok(resolved)
    }

    /// The lock is on a file beside the database, because SQLite's own locks are on that one.
    fn lock(&self, file: &Path) -> Result<Option<Lock>, Error> {
        let name = beside(file, LOCK);
        check_is_file(&name)?;
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&name)
            .map_err(|error| io_failure(&name, &error))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Box::new(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(io_failure(&name, &error)),
        }
    }

    /// SQLite would make the file readable by everybody.
    fn create(&self, file: &Path) -> Result<(), Error> {
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options
            .open(file)
            .map(drop)
            .map_err(|error| io_failure(file, &error))
    }

    fn exists(&self, file: &Path) -> bool {
        file.symlink_metadata().is_ok()
    }

    fn has_folder(&self, file: &Path) -> bool {
        file.parent().is_some_and(Path::is_dir)
    }

    fn start(&self, file: &Path, most: u64) -> Result<(Vec<u8>, u64), Error> {
        read_start(file, most).map_err(|error| io_failure(file, &error))
    }

    #[cfg(unix)]
    fn identity(&self, file: &Path) -> Option<FileId> {
        use std::os::unix::fs::MetadataExt;
        let metadata = file.metadata().ok()?;
        Some(FileId(metadata.dev(), metadata.ino()))
    }

    #[cfg(not(unix))]
    fn identity(&self, _file: &Path) -> Option<FileId> {
        // An open file cannot be taken away there.
        None
    }

    fn written_at(&self, file: &Path) -> Option<i64> {
        let written = file.metadata().ok()?.modified().ok()?;
        let since = written.duration_since(UNIX_EPOCH).ok()?;
        i64::try_from(since.as_millis()).ok()
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), Error> {
        fs::rename(from, to)
            .and_then(|()| sync_folder(to))
            .map_err(|error| io_failure(from, &error))
    }

    fn remove(&self, file: &Path) -> Result<(), Error> {
        match fs::remove_file(file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_failure(file, &error)),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn write_again(&self, file: &Path) -> Result<(), Error> {
        disk::write_again(file).map_err(|error| io_failure(file, &error))
    }
}

fn read_start(path: &Path, most: u64) -> io::Result<(Vec<u8>, u64)> {
    let file = fs::File::open(path)?;
    let size = file.metadata()?.len();
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes)?;
    Ok((bytes, size))
}

#[cfg(unix)]
fn sync_folder(of: &Path) -> io::Result<()> {
    match of.parent() {
        Some(folder) => fs::File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(not(unix))]
fn sync_folder(_of: &Path) -> io::Result<()> {
    Ok(())
}

/// The file beside it whose name goes on like that.
pub(super) fn beside(file: &Path, ending: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

/// Opening a pipe would wait for its other end.
fn check_is_file(path: &Path) -> Result<(), Error> {
    if path.metadata().is_ok_and(|metadata| !metadata.is_file()) {
        return Err(Error::new(
            Code::ReadOnly,
            "notAFile",
            format!("{} is not a file; name another", path.display()),
        ));
    }
    Ok(())
}
