//! A disk as the client's store uses it.

use std::path::{Path, PathBuf};

use offhook::client::store::{Files, Lock};
use offhook::{Code, Error};

use super::Disk;

/// The files of a [`Disk`]. They do not keep its contents when the disk itself is gone.
#[derive(Clone)]
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
        if !state.engines.insert(name.clone()) {
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
