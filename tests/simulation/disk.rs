//! The disks of the world: each handset has one, and the server. They are in memory.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::rc::Rc;

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
pub struct Disk {
    disk: memory::Disk,
    is_full: Rc<Cell<bool>>,
    /// The number of the sync that fails, if one does.
    fails_at: Rc<Cell<u64>>,
    /// The number of the operation at which it stops, if it does. A process that is killed before
    /// that leaves it to the next.
    stops_at: Rc<Cell<u64>>,
}

impl Disk {
    pub fn new(seed: u64) -> Self {
        Self {
            disk: memory::Disk::new(seed),
            is_full: Rc::new(Cell::new(false)),
            fails_at: Rc::new(Cell::new(0)),
            stops_at: Rc::new(Cell::new(0)),
        }
    }

    fn file(&self) -> PathBuf {
        self.disk.path(FILE)
    }

    pub fn open_client(&self, user: &UserId, fresh: &DeviceId) -> Result<Store, Error> {
        Store::open_on(&self.disk.files(), &self.file(), user, fresh)
    }

    pub fn readers(&self, user: &UserId) -> Readers {
        Readers::new_on(&*self.disk.files(), &self.file(), user)
    }

    pub fn open_server(&self) -> StoreResult<SqliteStore> {
        let write_again = |file: &Path| self.disk.write_again(file);
        SqliteStore::open_on(self.disk.vfs(), &self.file(), &write_again)
    }

    /// After so many more operations it does nothing any more, until [`Self::process_ends`].
    pub fn crash_after(&self, operations: u64) {
        self.stops_at.set(self.disk.operations() + operations + 1);
        self.disk.crash_at(self.stops_at.get());
    }

    pub fn has_crashed(&self) -> bool {
        self.disk.is_down()
    }

    /// The process that had the file open is gone. All that it wrote is there, unless the power was
    /// lost: then all that was synced, and any part of the rest.
    pub fn process_ends(&self, power_lost: bool) {
        if power_lost {
            self.stops_at.set(0);
            self.disk.crash();
            self.disk.power_on();
            return;
        }
        if self.disk.is_down() {
            self.stops_at.set(0);
            let written = self.disk.snapshot(FILE);
            self.disk.power_on();
            self.disk.restore(FILE, &written);
        }
        self.disk.process_died();
    }

    pub fn set_full(&self, full: bool) {
        self.is_full.set(full);
        self.disk.set_room(full.then_some(ROOM_BYTES));
    }

    /// Whether two processes may have the lock at once.
    pub fn lose_locks(&self, lost: bool) {
        self.disk.lose_locks(lost);
    }

    /// The next sync fails.
    pub fn fail_a_sync(&self) {
        self.fails_at.set(self.disk.syncs() + 1);
        self.disk.fail_sync_at(Some(self.fails_at.get()));
    }

    /// Whether it is full, or is yet to fail or to stop.
    pub fn is_failing(&self) -> bool {
        let will_fail = self.disk.syncs() < self.fails_at.get();
        self.is_full.get() || will_fail || self.stops_at.get() > 0
    }

    /// Nothing fails any more.
    pub fn is_well(&self) {
        self.is_full.set(false);
        self.fails_at.set(0);
        self.stops_at.set(0);
        self.disk.set_room(None);
        self.disk.lose_locks(false);
        self.disk.fail_sync_at(None);
        self.disk.crash_at(u64::MAX);
    }

    pub fn snapshot(&self) -> Snapshot {
        self.disk.snapshot(FILE)
    }

    pub fn restore(&self, snapshot: &Snapshot) {
        self.disk.restore(FILE, snapshot);
    }
}
