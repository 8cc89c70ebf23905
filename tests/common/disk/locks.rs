//! SQLite's locks on a file, and the memory that the connections of a WAL database share.

use std::ffi::{c_int, c_void};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};

use rusqlite::ffi::{
    SQLITE_BUSY, SQLITE_LOCK_EXCLUSIVE, SQLITE_LOCK_NONE, SQLITE_LOCK_PENDING,
    SQLITE_LOCK_RESERVED, SQLITE_LOCK_SHARED,
};

use super::state::Io;

/// How many locks there are in shared memory.
pub const SHM_LOCKS: usize = 8;
/// The size in which SQLite asks for shared memory, in words of eight bytes.
const REGION_WORDS: usize = 32 * 1024 / 8;

/// The five levels, as all connections together have them.
#[derive(Default)]
pub struct FileLocks {
    shared: u32,
    reserved: bool,
    pending: bool,
    exclusive: bool,
}

impl FileLocks {
    /// A connection that has level `held` wants `wanted`.
    pub fn lock(&mut self, held: &mut c_int, wanted: c_int) -> Io<()> {
        if *held >= wanted {
            return Ok(());
        }
        if wanted == SQLITE_LOCK_SHARED {
            if self.pending || self.exclusive {
                return Err(SQLITE_BUSY);
            }
            self.shared += 1;
            *held = SQLITE_LOCK_SHARED;
            return Ok(());
        }
        if *held < SQLITE_LOCK_RESERVED {
            if self.reserved || self.pending || self.exclusive {
                return Err(SQLITE_BUSY);
            }
            if wanted == SQLITE_LOCK_RESERVED {
                self.reserved = true;
                *held = SQLITE_LOCK_RESERVED;
                return Ok(());
            }
        }
        self.reserved = true;
        self.pending = true;
        *held = SQLITE_LOCK_PENDING;
        if self.shared > 1 {
            return Err(SQLITE_BUSY);
        }
        self.exclusive = true;
        *held = SQLITE_LOCK_EXCLUSIVE;
        Ok(())
    }

    /// Down to shared, or to nothing.
    pub fn unlock(&mut self, held: &mut c_int, wanted: c_int) {
        if *held <= wanted {
            return;
        }
        if *held >= SQLITE_LOCK_RESERVED {
            (self.reserved, self.pending, self.exclusive) = (false, false, false);
        }
        if wanted == SQLITE_LOCK_NONE {
            self.shared -= 1;
        }
        *held = wanted;
    }

    pub fn is_reserved(&self) -> bool {
        self.reserved || self.pending || self.exclusive
    }
}

/// Which of the locks in shared memory a connection has.
#[derive(Default)]
pub struct HeldShm {
    shared: u8,
    exclusive: u8,
}

/// The locks in shared memory, as all connections together have them.
#[derive(Default)]
pub struct ShmLocks {
    shared: [u32; SHM_LOCKS],
    exclusive: u8,
}

impl ShmLocks {
    pub fn lock_shared(&mut self, held: &mut HeldShm, at: usize) -> Io<()> {
        let bit = 1 << at;
        if held.shared & bit != 0 {
            return Ok(());
        }
        if self.exclusive & bit != 0 {
            return Err(SQLITE_BUSY);
        }
        self.shared[at] += 1;
        held.shared |= bit;
        Ok(())
    }

    /// All of them, or none.
    pub fn lock_exclusive(&mut self, held: &mut HeldShm, at: usize, count: usize) -> Io<()> {
        let wanted = bits(at, count);
        let taken =
            (at..at + count).any(|one| self.shared[one] > u32::from(held.shared & (1 << one) != 0));
        if taken || self.exclusive & wanted & !held.exclusive != 0 {
            return Err(SQLITE_BUSY);
        }
        self.exclusive |= wanted;
        held.exclusive |= wanted;
        Ok(())
    }

    pub fn unlock(&mut self, held: &mut HeldShm, at: usize, count: usize) {
        let wanted = bits(at, count);
        for one in at..at + count {
            if held.shared & (1 << one) != 0 {
                self.shared[one] -= 1;
            }
        }
        self.exclusive &= !(held.exclusive & wanted);
        held.shared &= !wanted;
        held.exclusive &= !wanted;
    }
}

fn bits(at: usize, count: usize) -> u8 {
    (at..at + count).fold(0, |bits, one| bits | 1 << one)
}

type Region = Box<[AtomicU64]>;

/// Shared memory. It stays for as long as anybody points into it.
#[derive(Default)]
pub struct Shm(Mutex<Vec<Region>>);

impl Shm {
    /// The region's beginning; null if it is not there and is not to be made.
    pub fn region(self: &Arc<Self>, number: usize, make: bool) -> *mut c_void {
        let mut regions = self.0.lock().unwrap();
        while make && regions.len() <= number {
            regions.push((0..REGION_WORDS).map(|_| AtomicU64::new(0)).collect());
        }
        regions.get(number).map_or(std::ptr::null_mut(), |region| {
            region.as_ptr() as *mut c_void
        })
    }
}
