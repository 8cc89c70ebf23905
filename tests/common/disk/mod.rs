//! Disks in memory that break when told to: a SQLite VFS for tests.
//!
//! What SQLite writes is there for every reader at once, as on a real machine, and is on the disk
//! only when it was synced. When the power goes, of what was written since a random part is there,
//! sector by sector and in any order; the same seed and the same operations give the same rest.
//! Connections that were open then get I/O errors for the rest of their lives, whatever happens
//! to the disk afterwards.
//!
//! The disks of different numbers have nothing in common: several threads can each have theirs.

// Each test crate uses its part of it.
#![allow(dead_code)]

mod files;
mod image;
mod locks;
mod random;
mod state;
mod vfs;

use std::collections::HashMap;
use std::ffi::CStr;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, RwLock, Weak};

use offhook::client::store::Files;
use state::State;

/// The name by which SQLite knows the disks.
const VFS: &CStr = c"offhook_disk";

static DISKS: LazyLock<RwLock<HashMap<u64, Weak<Inner>>>> = LazyLock::new(RwLock::default);

/// One device's disk. Clones are the same disk; it is gone with the last of them, and with the last
/// connection to it.
#[derive(Clone)]
pub struct Disk(Arc<Inner>);

struct Inner {
    number: u64,
    folder: PathBuf,
    state: Mutex<State>,
}

/// What a database consists of. The index of its log is in memory.
const PARTS: [&str; 3] = ["", "-wal", "-journal"];

/// What a database was at a time: each of its [`PARTS`] that was there.
#[derive(Clone)]
pub struct Snapshot(Arc<[Option<Vec<u8>>; PARTS.len()]>);

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn find(number: u64) -> Option<Arc<Self>> {
        DISKS.read().unwrap().get(&number)?.upgrade()
    }

    /// A disk that nobody finds.
    fn nowhere() -> Arc<Self> {
        Arc::new(Self {
            number: 0,
            folder: PathBuf::new(),
            state: Mutex::new(State::new(0)),
        })
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if self.number != 0 {
            DISKS.write().unwrap().remove(&self.number);
        }
    }
}

impl Disk {
    /// An empty one.
    pub fn new(seed: u64) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        vfs::register();
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let inner = Arc::new(Inner {
            number,
            folder: PathBuf::from(format!("/{number}")),
            state: Mutex::new(State::new(seed)),
        });
        DISKS
            .write()
            .unwrap()
            .insert(number, Arc::downgrade(&inner));
        Self(inner)
    }

    /// For `Connection::open_with_flags_and_vfs`, with a [`Self::path`].
    pub fn vfs(&self) -> &'static str {
        VFS.to_str().unwrap()
    }

    /// The path of a file on this disk, there or not.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.folder.join(name)
    }

    /// The files, for the client's store.
    pub fn files(&self) -> Arc<dyn Files> {
        Arc::new(files::DiskFiles(self.clone()))
    }

    /// Writes a file over itself and syncs it, for the server's store.
    pub fn write_again(&self, file: &Path) -> io::Result<()> {
        let name = file
            .strip_prefix(&self.0.folder)
            .ok()
            .and_then(Path::to_str);
        let name = name.ok_or(io::ErrorKind::InvalidInput)?;
        let mut state = self.0.state();
        if !state.exists(name) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let written = state.write_again(name);
        written.map_err(|code| io::Error::other(format!("SQLite error {code}")))
    }

    // What goes wrong ----------------------------------------------------------------------------

    /// Writes, truncations, syncs, deletions and renamings so far.
    pub fn operations(&self) -> u64 {
        self.0.state().operations
    }

    /// The power goes at that operation, counted from 1; what of it is done is left to chance.
    pub fn crash_at(&self, operation: u64) {
        self.0.state().crash_at = Some(operation);
    }

    /// Once it has come back the power goes again, at that operation counted from then.
    pub fn crash_again_after(&self, operations: u64) {
        self.0.state().crash_again_after = Some(operations);
    }

    /// The power goes now.
    pub fn crash(&self) {
        self.0.state().is_down = true;
    }

    pub fn is_down(&self) -> bool {
        self.0.state().is_down
    }

    /// What was synced is there, and some of what was not.
    pub fn power_on(&self) {
        self.0.state().power_on();
    }

    /// Kills the process that has files open: all that was written is there, its locks are gone.
    pub fn process_died(&self) {
        self.0.state().kill();
    }

    /// How much more can be written than there is now; `None`: as much as one likes.
    pub fn set_room(&self, bytes: Option<u64>) {
        self.0.state().set_room(bytes.map(|bytes| bytes as usize));
    }

    /// Whether engines get the lock of a file also while another one has it.
    pub fn lose_locks(&self, lost: bool) {
        self.0.state().locks_are_lost = lost;
    }

    /// Syncs so far.
    pub fn syncs(&self) -> u64 {
        self.0.state().syncs()
    }

    /// That sync, counted from 1, fails; what it should have written is never written, and later
    /// syncs say that all is well.
    pub fn fail_sync_at(&self, sync: Option<u64>) {
        self.0.state().fail_sync_at = sync;
    }

    // Files by hand ------------------------------------------------------------------------------

    /// The names that there are.
    pub fn names(&self) -> Vec<String> {
        self.0.state().names()
    }

    /// The file as a reader sees it.
    pub fn read(&self, name: &str) -> Option<Vec<u8>> {
        self.0.state().bytes(name).map(<[u8]>::to_vec)
    }

    /// Another file of that name, or none, as if it had been so for long. Who has the file open
    /// keeps the old one.
    pub fn put(&self, name: &str, bytes: Option<Vec<u8>>) {
        self.0.state().put(name, bytes);
    }

    pub fn rename(&self, from: &str, to: &str) {
        self.0.state().rename(from, to).unwrap();
    }

    /// The database as it stands, with what is not synced.
    pub fn snapshot(&self, name: &str) -> Snapshot {
        let state = self.0.state();
        let bytes = |part| state.bytes(&format!("{name}{part}")).map(<[u8]>::to_vec);
        Snapshot(Arc::new(PARTS.map(bytes)))
    }

    /// The database as it was, under any name and on any disk.
    pub fn restore(&self, name: &str, snapshot: &Snapshot) {
        let mut state = self.0.state();
        for (part, bytes) in PARTS.iter().zip(snapshot.0.iter()) {
            state.put(&format!("{name}{part}"), bytes.clone());
        }
    }

    pub fn copy(&self, from: &str, to: &str) {
        self.restore(to, &self.snapshot(from));
    }
}
