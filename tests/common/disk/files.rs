//! A disk as the client's store uses it.

use std::path::{Path, PathBuf};

use offhook::client::store::{FileId, Files, Lock};
use offhook::{Code, Error};

use super::Disk;

/// The files of a [`Disk`]. They do not keep its contents when the disk itself is gone.
pub struct DiskFiles(pub(super) Disk);

impl DiskFiles {
    fn name<'a>(&self, file: &'a Path) -> Result<&'a str, Error> {
        file.strip_prefix(&self.0.0.folder)
            .ok()
            .and_then(Path::to_str)
            .ok_or_else(|| failure(file, "it is on another disk"))
    }
}

impl Files for DiskFiles {
    fn vfs(&self) -> Option<&str> {
        Some(self.0.vfs())
    }

    fn resolve(&self, path: &Path) -> Result<PathBuf, Error> {
        self.name(path).map(|_| path.to_owned())
    }

    fn lock(&self, file: &Path) -> Result<Option<Lock>, Error> {
        let name = self.name(file)?.to_owned();
        let mut state = self.0.0.state();
        if state.is_down {
            return Err(failure(file, "the disk is gone"));
        }
        if !state.engines.insert(name.clone()) && !state.locks_are_lost {
            return Ok(None);
        }
        let life = state.life;
        let disk = self.0.clone();
        Ok(Some(Box::new(Held { disk, name, life })))
    }

    fn create(&self, file: &Path) -> Result<(), Error> {
        let created = self.0.0.state().create(self.name(file)?);
        created.map_err(|_| failure(file, "the disk is gone"))
    }

    fn exists(&self, file: &Path) -> bool {
        self.name(file)
            .is_ok_and(|name| self.0.0.state().exists(name))
    }

    fn start(&self, file: &Path, most: u64) -> Result<(Vec<u8>, u64), Error> {
        let state = self.0.0.state();
        let bytes = state.bytes(self.name(file)?);
        let bytes = bytes.ok_or_else(|| failure(file, "it is not there"))?;
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        Ok((bytes[..bytes.len().min(most)].to_vec(), bytes.len() as u64))
    }

    fn identity(&self, file: &Path) -> Option<FileId> {
        let serial = self.0.0.state().identity(self.name(file).ok()?)?;
        Some(FileId(self.0.0.number, serial))
    }

    fn written_at(&self, file: &Path) -> Option<i64> {
        let serial = self.0.0.state().identity(self.name(file).ok()?)?;
        Some(serial.cast_signed())
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), Error> {
        let (from_name, to_name) = (self.name(from)?, self.name(to)?);
        let renamed = self.0.0.state().rename(from_name, to_name);
        renamed.map_err(|_| failure(from, "it cannot be renamed"))
    }

    fn remove(&self, file: &Path) -> Result<(), Error> {
        let mut state = self.0.0.state();
        let name = self.name(file)?;
        if !state.exists(name) {
            return Ok(());
        }
        let removed = state.delete(name, false);
        removed.map_err(|_| failure(file, "it cannot be removed"))
    }

    fn write_again(&self, file: &Path) -> Result<(), Error> {
        let written = self.0.write_again(file);
        written.map_err(|error| failure(file, &error.to_string()))
    }
}

/// A lock; that of a process that died is nobody's already.
struct Held {
    disk: Disk,
    name: String,
    life: u64,
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut state = self.disk.0.state();
        if state.life == self.life {
            state.engines.remove(&self.name);
        }
    }
}

fn failure(file: &Path, why: &str) -> Error {
    let message = format!("{}: {why}", file.display());
    Error::new(Code::ReadOnly, "cannotOpen", message)
}
