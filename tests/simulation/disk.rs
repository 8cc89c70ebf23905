//! The disks of the world: each handset has one, and the server. They are in memory.

use std::path::PathBuf;

use offhook::Error;
use offhook::call::{DeviceId, UserId};
use offhook::client::store::{Readers, Store};
use offhook::server::store::StoreResult;
use offhook::server::store::sqlite::SqliteStore;

use super::memory;
pub use super::memory::Snapshot;

/// The only file.
pub const FILE: &str = "offhook.db";
/// What room a full disk has.
const ROOM_BYTES: u64 = 6_000;

/// A disk with one database on it. Clones are the same disk.
#[derive(Clone)]
pub struct Disk(memory::Disk);

impl Disk {
    pub fn new(seed: u64) -> Self {
        Self(memory::Disk::new(seed))
    }

    fn file(&self) -> PathBuf {
        self.0.path(FILE)
    }

    pub fn open_client(&self, user: &UserId, fresh: &DeviceId) -> Result<Store, Error> {
        Store::open_on(&self.0.files(), &self.file(), user, fresh)
    }

    pub fn readers(&self, user: &UserId) -> Readers {
        Readers::new_on(&*self.0.files(), &self.file(), user)
    }

    pub fn open_server(&self) -> StoreResult<SqliteStore> {
        SqliteStore::open_on(self.0.vfs(), &self.file())
    }

    /// After so many more operations it does nothing any more, until [`Self::process_ends`].
    pub fn crash_after(&self, operations: u64) {
        self.0.crash_at(self.0.operations() + operations + 1);
    }

    pub fn has_crashed(&self) -> bool {
        self.0.is_down()
    }

    /// The process that had the file open is gone. All that it wrote is there, unless the power was
    /// lost: then all that was synced, and any part of the rest.
    pub fn process_ends(&self, power_lost: bool) {
        if power_lost {
            self.0.crash();
            self.0.power_on();
            return;
        }
        if self.0.is_down() {
            let written = self.0.snapshot(FILE);
            self.0.power_on();
            self.0.restore(FILE, &written);
        }
        self.0.process_died();
    }

    pub fn set_full(&self, full: bool) {
        self.0.set_room(full.then_some(ROOM_BYTES));
    }

    /// Whether two processes may have the lock at once.
    pub fn lose_locks(&self, lost: bool) {
        self.0.lose_locks(lost);
    }

    /// The next sync fails.
    pub fn fail_a_sync(&self) {
        self.0.fail_sync_at(Some(self.0.syncs() + 1));
    }

    /// Nothing fails any more.
    pub fn is_well(&self) {
        self.0.set_room(None);
        self.0.lose_locks(false);
        self.0.fail_sync_at(None);
        self.0.crash_at(u64::MAX);
    }

    pub fn snapshot(&self) -> Snapshot {
        self.0.snapshot(FILE)
    }

    pub fn restore(&self, snapshot: &Snapshot) {
        self.0.restore(FILE, snapshot);
    }
}
