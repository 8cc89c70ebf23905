//! One device's disk: names, files, who has them open, and what is to go wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::c_int;
use std::sync::Arc;

use rusqlite::ffi::{
    SQLITE_CANTOPEN, SQLITE_FULL, SQLITE_IOERR_ACCESS, SQLITE_IOERR_CLOSE, SQLITE_IOERR_DELETE,
    SQLITE_IOERR_DELETE_NOENT, SQLITE_IOERR_FSTAT, SQLITE_IOERR_FSYNC, SQLITE_IOERR_LOCK,
    SQLITE_IOERR_READ, SQLITE_IOERR_SHMMAP, SQLITE_IOERR_SHORT_READ, SQLITE_IOERR_TRUNCATE,
    SQLITE_IOERR_UNLOCK, SQLITE_IOERR_WRITE,
};

use super::image::Image;
use super::locks::{FileLocks, HeldShm, Shm, ShmLocks};
use super::random::Random;

/// The error is SQLite's number for it.
pub type Io<T> = Result<T, c_int>;

/// A file, by whatever name or by none any more.
#[derive(Default)]
struct Node {
    image: Image,
    locks: FileLocks,
    shm: Option<Arc<Shm>>,
    shm_users: u32,
    shm_locks: ShmLocks,
    open: u32,
    /// No other file of this disk ever had it.
    serial: u64,
}

/// What a connection has of a file.
pub struct Handle {
    node: usize,
    /// The files of an earlier life of the disk are nobody's any more.
    life: u64,
    lock: c_int,
    shm: Option<Arc<Shm>>,
    shm_held: HeldShm,
    name: Option<String>,
    delete_on_close: bool,
}

pub struct State {
    nodes: Vec<Node>,
    free: Vec<usize>,
    names: BTreeMap<String, usize>,
    /// The names as the disk has them.
    durable_names: BTreeMap<String, usize>,
    /// Files whose engine holds them.
    pub engines: BTreeSet<String>,
    /// Whether every engine gets the lock that it asks for, as where locks do not hold.
    pub locks_are_lost: bool,
    serials: u64,
    pub life: u64,
    pub operations: u64,
    pub crash_at: Option<u64>,
    /// So many operations after it comes back, the power goes again.
    pub crash_again_after: Option<u64>,
    pub is_down: bool,
    syncs: u64,
    pub fail_sync_at: Option<u64>,
    used: usize,
    /// How much may be used; `None`: there is no end.
    capacity: Option<usize>,
    random: Random,
}

/// Whether an operation is done, or is the one at which the power goes.
enum Step {
    Done,
    PowerGoes,
}

impl State {
    pub fn new(seed: u64) -> Self {
        Self {
            nodes: Vec::new(),
            free: Vec::new(),
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            engines: BTreeSet::new(),
            locks_are_lost: false,
            serials: 0,
            life: 0,
            operations: 0,
            crash_at: None,
            crash_again_after: None,
            is_down: false,
            syncs: 0,
            fail_sync_at: None,
            used: 0,
            capacity: None,
            random: Random::new(seed),
        }
    }

    pub fn syncs(&self) -> u64 {
        self.syncs
    }

    pub fn set_room(&mut self, room: Option<usize>) {
        self.capacity = room.map(|room| self.used + room);
    }

    // Names --------------------------------------------------------------------------------------

    pub fn exists(&self, name: &str) -> bool {
        self.names.contains_key(name)
    }

    pub fn names(&self) -> Vec<String> {
        self.names.keys().cloned().collect()
    }

    pub fn bytes(&self, name: &str) -> Option<&[u8]> {
        let node = self.names.get(name)?;
        Some(self.nodes[*node].image.bytes())
    }

    /// What the name stands for: another number is another file.
    pub fn identity(&self, name: &str) -> Option<u64> {
        self.names.get(name).map(|node| self.nodes[*node].serial)
    }

    /// Another file of that name, as if it had always been there.
    pub fn put(&mut self, name: &str, bytes: Option<Vec<u8>>) {
        self.names.remove(name);
        self.durable_names.remove(name);
        if let Some(bytes) = bytes {
            self.used += bytes.len();
            let node = self.add(Image::durable(bytes));
            self.names.insert(name.to_owned(), node);
            self.durable_names.insert(name.to_owned(), node);
        }
        self.sweep();
    }

    /// Makes the file if there is none.
    pub fn create(&mut self, name: &str) -> Io<()> {
        if self.is_down {
            return Err(SQLITE_CANTOPEN);
        }
        if !self.exists(name) {
            let node = self.add(Image::fresh());
            self.names.insert(name.to_owned(), node);
        }
        Ok(())
    }

    pub fn access(&self, name: &str, not_empty: bool) -> Io<bool> {
        if self.is_down {
            return Err(SQLITE_IOERR_ACCESS);
        }
        Ok(self
            .bytes(name)
            .is_some_and(|bytes| !not_empty || !bytes.is_empty()))
    }

    pub fn delete(&mut self, name: &str, sync: bool) -> Io<()> {
        let step = self.step(SQLITE_IOERR_DELETE)?;
        if self.names.remove(name).is_none() {
            return Err(SQLITE_IOERR_DELETE_NOENT);
        }
        if sync && matches!(step, Step::Done) {
            self.durable_names.clone_from(&self.names);
        }
        self.sweep();
        self.end(step, SQLITE_IOERR_DELETE)
    }

    /// One name after the other, and on the disk when it is done.
    pub fn rename(&mut self, from: &str, to: &str) -> Io<()> {
        let step = self.step(SQLITE_IOERR_DELETE)?;
        if matches!(step, Step::Done) || self.random.below(2) == 0 {
            let node = self.names.remove(from).ok_or(SQLITE_IOERR_DELETE_NOENT)?;
            self.names.insert(to.to_owned(), node);
            self.durable_names.clone_from(&self.names);
        }
        self.sweep();
        self.end(step, SQLITE_IOERR_DELETE)
    }

    /// Writes a file over itself, and syncs it.
    pub fn write_again(&mut self, name: &str) -> Io<()> {
        let bytes = self.bytes(name).ok_or(SQLITE_CANTOPEN)?.to_vec();
        let mut handle = self.open(Some(name), false, false, false)?;
        let written = self.write(&handle, 0, &bytes);
        let done = written.and_then(|()| self.sync(&handle));
        self.close(&mut handle)?;
        done
    }

    fn add(&mut self, image: Image) -> usize {
        self.serials += 1;
        let node = Node {
            image,
            serial: self.serials,
            ..Node::default()
        };
        if let Some(free) = self.free.pop() {
            self.nodes[free] = node;
            return free;
        }
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    /// Forgets files that have neither a name nor a user.
    fn sweep(&mut self) {
        let named: BTreeSet<usize> = self
            .names
            .values()
            .chain(self.durable_names.values())
            .copied()
            .collect();
        for (number, node) in self.nodes.iter_mut().enumerate() {
            if node.open == 0 && !named.contains(&number) && !self.free.contains(&number) {
                self.used -= node.image.len();
                *node = Node::default();
                self.free.push(number);
            }
        }
    }

    // Files --------------------------------------------------------------------------------------

    pub fn open(
        &mut self,
        name: Option<&str>,
        create: bool,
        exclusive: bool,
        delete_on_close: bool,
    ) -> Io<Handle> {
        if self.is_down {
            return Err(SQLITE_CANTOPEN);
        }
        let there = name.and_then(|name| self.names.get(name).copied());
        let node = match there {
            Some(_) if exclusive => return Err(SQLITE_CANTOPEN),
            Some(node) => node,
            None if !create => return Err(SQLITE_CANTOPEN),
            None => {
                let node = self.add(Image::fresh());
                if let Some(name) = name {
                    self.names.insert(name.to_owned(), node);
                }
                node
            }
        };
        self.nodes[node].open += 1;
        Ok(Handle {
            node,
            life: self.life,
            lock: 0,
            shm: None,
            shm_held: HeldShm::default(),
            name: name.map(str::to_owned),
            delete_on_close,
        })
    }

    pub fn close(&mut self, handle: &mut Handle) -> Io<()> {
        self.shm_unmap(handle, false);
        let Ok(node) = self.node(handle, SQLITE_IOERR_CLOSE) else {
            return Ok(());
        };
        let mut lock = handle.lock;
        node.locks.unlock(&mut lock, 0);
        node.open -= 1;
        if node.open == 0 {
            if let (true, Some(name)) = (handle.delete_on_close, &handle.name) {
                self.names.remove(name);
            }
            self.sweep();
        }
        Ok(())
    }

    pub fn read(&mut self, handle: &Handle, at: usize, into: &mut [u8]) -> Io<()> {
        let node = self.node(handle, SQLITE_IOERR_READ)?;
        if node.image.read(at, into) {
            return Ok(());
        }
        Err(SQLITE_IOERR_SHORT_READ)
    }

    pub fn length(&mut self, handle: &Handle) -> Io<usize> {
        Ok(self.node(handle, SQLITE_IOERR_FSTAT)?.image.len())
    }

    pub fn write(&mut self, handle: &Handle, at: usize, data: &[u8]) -> Io<()> {
        self.node(handle, SQLITE_IOERR_WRITE)?;
        let step = self.step(SQLITE_IOERR_WRITE)?;
        let image = &mut self.nodes[handle.node].image;
        let grows = (at + data.len()).saturating_sub(image.len());
        let room = self
            .capacity
            .map_or(usize::MAX, |capacity| capacity.saturating_sub(self.used));
        if grows > room {
            let fits = data.len().saturating_sub(grows - room);
            let length = image.len();
            if fits > 0 && at <= length {
                image.write(at, &data[..fits]);
                self.used += image.len() - length;
            }
            return Err(SQLITE_FULL);
        }
        image.write(at, data);
        self.used += grows;
        self.end(step, SQLITE_IOERR_WRITE)
    }

    pub fn truncate(&mut self, handle: &Handle, length: usize) -> Io<()> {
        self.node(handle, SQLITE_IOERR_TRUNCATE)?;
        let step = self.step(SQLITE_IOERR_TRUNCATE)?;
        let image = &mut self.nodes[handle.node].image;
        self.used = self.used - image.len() + length;
        image.set_length(length);
        self.end(step, SQLITE_IOERR_TRUNCATE)
    }

    pub fn sync(&mut self, handle: &Handle) -> Io<()> {
        self.node(handle, SQLITE_IOERR_FSYNC)?;
        let step = self.step(SQLITE_IOERR_FSYNC)?;
        self.syncs += 1;
        let image = &mut self.nodes[handle.node].image;
        if self.fail_sync_at.is_some_and(|at| self.syncs == at) {
            let length = image.len();
            image.fail_sync(&mut self.random);
            self.used = self.used - length + image.len();
            return Err(SQLITE_IOERR_FSYNC);
        }
        if matches!(step, Step::Done) {
            let fresh = image.fresh;
            image.sync();
            if fresh {
                self.durable_names.clone_from(&self.names);
                self.sweep();
            }
        }
        self.end(step, SQLITE_IOERR_FSYNC)
    }

    /// Whether the file has its name no more.
    pub fn has_moved(&mut self, handle: &Handle) -> bool {
        let node = handle.name.as_ref().and_then(|name| self.names.get(name));
        handle.life != self.life || node != Some(&handle.node)
    }

    // Locks --------------------------------------------------------------------------------------

    pub fn lock(&mut self, handle: &mut Handle, level: c_int) -> Io<()> {
        let mut held = handle.lock;
        let locked = self
            .node(handle, SQLITE_IOERR_LOCK)?
            .locks
            .lock(&mut held, level);
        handle.lock = held;
        locked
    }

    pub fn unlock(&mut self, handle: &mut Handle, level: c_int) -> Io<()> {
        let mut held = handle.lock;
        self.node(handle, SQLITE_IOERR_UNLOCK)?
            .locks
            .unlock(&mut held, level);
        handle.lock = held;
        Ok(())
    }

    pub fn is_reserved(&mut self, handle: &Handle) -> Io<bool> {
        Ok(self.node(handle, SQLITE_IOERR_LOCK)?.locks.is_reserved())
    }

    pub fn shm(&mut self, handle: &mut Handle) -> Io<Arc<Shm>> {
        let node = self.node(handle, SQLITE_IOERR_SHMMAP)?;
        if let Some(shm) = &handle.shm {
            return Ok(Arc::clone(shm));
        }
        let shm = Arc::clone(node.shm.get_or_insert_default());
        node.shm_users += 1;
        handle.shm = Some(Arc::clone(&shm));
        Ok(shm)
    }

    pub fn shm_lock(
        &mut self,
        handle: &mut Handle,
        at: usize,
        count: usize,
        exclusive: bool,
    ) -> Io<()> {
        let mut held = std::mem::take(&mut handle.shm_held);
        let locked = self.node(handle, SQLITE_IOERR_LOCK).and_then(|node| {
            if exclusive {
                node.shm_locks.lock_exclusive(&mut held, at, count)
            } else {
                node.shm_locks.lock_shared(&mut held, at)
            }
        });
        handle.shm_held = held;
        locked
    }

    pub fn shm_unlock(&mut self, handle: &mut Handle, at: usize, count: usize) -> Io<()> {
        let mut held = std::mem::take(&mut handle.shm_held);
        let node = self.node(handle, SQLITE_IOERR_UNLOCK);
        let unlocked = node.map(|node| node.shm_locks.unlock(&mut held, at, count));
        handle.shm_held = held;
        unlocked
    }

    pub fn shm_unmap(&mut self, handle: &mut Handle, delete: bool) {
        if handle.shm.take().is_none() {
            return;
        }
        let mut held = std::mem::take(&mut handle.shm_held);
        let Ok(node) = self.node(handle, SQLITE_IOERR_CLOSE) else {
            return;
        };
        node.shm_locks.unlock(&mut held, 0, super::locks::SHM_LOCKS);
        node.shm_users -= 1;
        if node.shm_users == 0 || delete {
            node.shm = None;
        }
    }

    // Faults -------------------------------------------------------------------------------------

    /// Counts one operation that changes the disk.
    fn step(&mut self, failure: c_int) -> Io<Step> {
        if self.is_down {
            return Err(failure);
        }
        self.operations += 1;
        if self.crash_at.is_some_and(|at| self.operations >= at) {
            return Ok(Step::PowerGoes);
        }
        Ok(Step::Done)
    }

    fn end(&mut self, step: Step, failure: c_int) -> Io<()> {
        match step {
            Step::Done => Ok(()),
            Step::PowerGoes => {
                self.is_down = true;
                Err(failure)
            }
        }
    }

    fn node(&mut self, handle: &Handle, failure: c_int) -> Io<&mut Node> {
        if self.is_down || handle.life != self.life {
            return Err(failure);
        }
        Ok(&mut self.nodes[handle.node])
    }

    /// Takes all files from those who have them, with what is in memory only.
    pub fn kill(&mut self) {
        self.live_on(|image, _| image);
    }

    pub fn power_on(&mut self) {
        let names = std::mem::take(&mut self.names);
        let durable = std::mem::take(&mut self.durable_names);
        let all: BTreeSet<String> = names.keys().chain(durable.keys()).cloned().collect();
        for name in all {
            let (new, old) = (names.get(&name), durable.get(&name));
            let kept = if new != old && self.random.below(2) == 0 {
                old
            } else {
                new
            };
            if let Some(node) = kept {
                self.names.insert(name.clone(), *node);
            }
        }
        self.durable_names.clone_from(&self.names);
        self.live_on(Image::lose_power);
        self.is_down = false;
        let again = self.crash_again_after.take();
        self.crash_at = again.map(|after| self.operations + after);
    }

    fn live_on(&mut self, mut fate: impl FnMut(Image, &mut Random) -> Image) {
        self.life += 1;
        self.engines.clear();
        self.used = 0;
        for node in &mut self.nodes {
            let image = fate(std::mem::take(&mut node.image), &mut self.random);
            *node = Node {
                image,
                serial: node.serial,
                ..Node::default()
            };
            self.used += node.image.len();
        }
        self.sweep();
    }
}
