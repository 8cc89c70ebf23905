//! What an app does with the database file as a whole: its room, and copies of it.

use std::path::Path;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::{Engine, check_token};
use crate::call::UserId;
use crate::client::config::Config;
use crate::client::housekeeping::{Backup, Compacted, Storage};
use crate::client::link::check_config;
use crate::client::shell::link_config;
use crate::client::store::{OsFiles, back_up, restore};
use crate::error::{Code, Error};

impl Engine {
    /// How much room the database takes.
    ///
    /// # Errors
    /// What keeps the file from being read.
    pub async fn storage(&self) -> Result<Storage, Error> {
        self.shell.ask(|core, _| core.storage()).await
    }

    /// Gives back what the database has room for and does not use, in small steps between which
    /// everything else goes on. The engine does it by itself when it pays (see `docs/limits.md`);
    /// this does it now, and down to the last page. A file that was made by a build that could not do
    /// it in steps is written anew once, during which commands wait.
    ///
    /// # Errors
    /// What keeps the file from being written; what was given back stays so.
    pub async fn compact(&self) -> Result<Compacted, Error> {
        let before = self.storage().await?;
        while self.shell.ask(|core, now| core.compact_step(now)).await? {}
        let after = self.storage().await?;
        Ok(Compacted {
            bytes_before: before.bytes,
            bytes_after: after.bytes,
        })
    }

    /// Copies the database, as it is at one moment, into a file that is not there yet, readable for
    /// its owner alone. Everything else goes on meanwhile; a pause ends it. What was removed from
    /// the database is not in the copy. For [`Self::restore`].
    ///
    /// A process that is killed meanwhile leaves files beside it, whose names go on with
    /// `.offhook-part`. The next copy of the same name takes their place.
    ///
    /// # Errors
    /// [`crate::Code::InvalidParameter`] for a name that is taken or belongs to the database itself;
    /// [`crate::Code::InUse`] while another copy is being made, [`crate::Code::DiskFull`],
    /// [`crate::Code::ReadOnly`], [`crate::Code::Corrupt`]. Then there is no copy.
    pub async fn backup(&self, path: impl AsRef<Path>) -> Result<Backup, Error> {
        self.shared.check_open()?;
        let path = path.as_ref().to_owned();
        let shared = Arc::clone(&self.shared);
        beside(move || {
            let turn = shared.copying().begin()?;
            back_up(&OsFiles, shared.database(), &path, &turn)
        })
        .await
    }

    /// Puts a copy where a database is to be and nothing is yet; [`Self::open`] opens it.
    ///
    /// What comes back is a copy, and the device that it was made of may go on: opened for the first
    /// time it is another device, with its history. Commands that waited in it end with
    /// [`crate::Code::Dropped`], whether or not they were sent since, so nothing is done twice; calls
    /// that were on the other device are not on this one; what happened since comes from the server.
    ///
    /// # Errors
    /// [`crate::Code::InvalidParameter`] for a place that is taken, if there is no such copy, or if it
    /// is the copy of a copy thousands of times over; [`crate::Code::InUse`] while an engine has the
    /// place; [`crate::Code::NewerVersion`], [`crate::Code::Corrupt`], [`crate::Code::DiskFull`],
    /// [`crate::Code::ReadOnly`]. Then nothing is there.
    pub async fn restore(
        backup: impl AsRef<Path>,
        database: impl AsRef<Path>,
    ) -> Result<Backup, Error> {
        let (backup, database) = (backup.as_ref().to_owned(), database.as_ref().to_owned());
        beside(move || restore(&OsFiles, &backup, &database, None)).await
    }

    /// The same for an engine that is to be opened with this configuration. What that would refuse is
    /// refused before anything is put in place.
    ///
    /// # Errors
    /// As [`Self::restore`] and [`Self::open`].
    pub async fn restore_for(backup: &Path, config: &Config) -> Result<Backup, Error> {
        let user = UserId::parse("user", &config.user)?;
        check_token(config.token.as_deref())?;
        check_config(&link_config(config))?;
        let (backup, database) = (backup.to_owned(), config.database.clone());
        beside(move || restore(&OsFiles, &backup, &database, Some(&user))).await
    }
}

/// Does what takes long on a thread of its own, and waits for it.
async fn beside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let (done, answer) = oneshot::channel();
    let failed = |why: &str| Error::new(Code::Internal, "thread", why);
    std::thread::Builder::new()
        .name("offhook-copy".into())
        .spawn(move || {
            // Whoever asked may have gone; what was done is done.
            let _ = done.send(work());
        })
        .map_err(|error| failed(&format!("no thread can be started: {error}")))?;
    answer
        .await
        .unwrap_or_else(|_| Err(failed("the thread ended")))
}
