//! The bytes of one file: what a reader sees, and what of it a loss of power leaves.
//!
//! Between two syncs every write keeps what it overwrote. A sync forgets that. A loss of power
//! decides by the disk's seed, sector by sector, which of the versions that a sector had since the
//! last sync is there afterwards.

use std::collections::{BTreeMap, BTreeSet};

use super::random::Random;

/// What a disk writes whole or not at all.
pub const SECTOR: usize = 512;
/// What an operating system marks as dirty, and writes, as one.
const PAGE_SECTORS: usize = 8;

type Sector = [u8; SECTOR];

/// One write or truncation since the last sync.
struct Undo {
    at: usize,
    /// How far it reached; beyond the file's end for what was added.
    end: usize,
    /// Where in [`Image::overwritten`] begins what was there before.
    kept_at: usize,
    length_before: usize,
    /// A truncation changes the length alone, and that as a whole: file systems see to it.
    is_write: bool,
}

#[derive(Default)]
pub struct Image {
    bytes: Vec<u8>,
    undo: Vec<Undo>,
    overwritten: Vec<u8>,
    /// Sectors that a failed sync left unwritten and clean, with what the disk has of them.
    lost: BTreeMap<usize, Sector>,
    /// Nobody has synced it since it was made: its name may be lost, too.
    pub fresh: bool,
}

impl Image {
    /// A file that is on the disk as it stands.
    pub fn durable(bytes: Vec<u8>) -> Self {
        Self {
            bytes,
            ..Self::default()
        }
    }

    pub fn fresh() -> Self {
        Self {
            fresh: true,
            ..Self::default()
        }
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Reads into `into`, zeros beyond the end; whether there was enough.
    pub fn read(&self, at: usize, into: &mut [u8]) -> bool {
        let there = self.bytes.get(at..).unwrap_or_default();
        let count = there.len().min(into.len());
        let (read, beyond) = into.split_at_mut(count);
        read.copy_from_slice(&there[..count]);
        beyond.fill(0);
        beyond.is_empty()
    }

    pub fn write(&mut self, at: usize, data: &[u8]) {
        let end = at + data.len();
        let length_before = self.bytes.len();
        let kept_at = self.overwritten.len();
        if at < length_before {
            let old = &self.bytes[at..end.min(length_before)];
            self.overwritten.extend_from_slice(old);
        }
        self.undo.push(Undo {
            at,
            end,
            kept_at,
            length_before,
            is_write: true,
        });
        if at == length_before {
            self.bytes.extend_from_slice(data);
            return;
        }
        if end > length_before {
            self.bytes.resize(end, 0);
        }
        self.bytes[at..end].copy_from_slice(data);
    }

    pub fn set_length(&mut self, length: usize) {
        let length_before = self.bytes.len();
        let kept_at = self.overwritten.len();
        if length < length_before {
            self.overwritten.extend_from_slice(&self.bytes[length..]);
        }
        self.undo.push(Undo {
            at: length.min(length_before),
            end: length_before.max(length),
            kept_at,
            length_before,
            is_write: false,
        });
        self.bytes.resize(length, 0);
    }

    pub fn sync(&mut self) {
        if !self.lost.is_empty() {
            for page in self.dirty_sectors().iter().map(|one| one / PAGE_SECTORS) {
                for sector in page * PAGE_SECTORS..(page + 1) * PAGE_SECTORS {
                    self.lost.remove(&sector);
                }
            }
        }
        self.undo.clear();
        self.overwritten.clear();
        self.fresh = false;
    }

    /// As Linux does it: what could not be written counts as clean from now on, and either goes on
    /// to be seen until the power goes, or is read back as the disk has it.
    pub fn fail_sync(&mut self, random: &mut Random) {
        if random.below(2) == 0 {
            self.undo_down_to(0);
            return;
        }
        let after = std::mem::take(&mut self.bytes);
        self.bytes.clone_from(&after);
        let dirty = self.dirty_sectors();
        self.undo_down_to(0);
        for sector in dirty {
            let on_disk = self.sector(sector);
            self.lost.entry(sector).or_insert(on_disk);
        }
        self.bytes = after;
    }

    /// The power goes; what is left is durable.
    pub fn lose_power(mut self, random: &mut Random) -> Self {
        let keeps = random.below(4);
        let undo = self.undo.len();
        if self.lost.is_empty() && (undo == 0 || keeps == 0) {
            return Self::durable(self.bytes);
        }
        if self.lost.is_empty() && keeps == 1 {
            // In order, up to a point.
            self.undo_down_to(random.below(undo + 1));
            return Self::durable(self.bytes);
        }
        self.scatter(random)
    }

    /// Each sector has one of the versions that it had since the last sync.
    fn scatter(mut self, random: &mut Random) -> Self {
        let mut versions: BTreeMap<usize, Vec<Sector>> = BTreeMap::new();
        let mut lengths = vec![self.bytes.len()];
        while let Some(last) = self.undo.last() {
            let sectors = last.at / SECTOR..last.end.div_ceil(SECTOR);
            for sector in sectors.filter(|_| last.is_write) {
                versions
                    .entry(sector)
                    .or_default()
                    .push(self.sector(sector));
            }
            lengths.push(last.length_before);
            self.undo_down_to(self.undo.len() - 1);
        }
        let length = lengths[random.below(lengths.len())];
        let end = lengths.into_iter().max().unwrap_or(0);
        self.bytes.resize(end.next_multiple_of(SECTOR), 0);
        for (sector, on_disk) in std::mem::take(&mut self.lost) {
            self.put_sector(sector, &on_disk);
        }
        let keep_of_eight = random.below(9);
        for (sector, versions) in versions {
            if random.below(8) < keep_of_eight {
                let version = versions[random.below(versions.len())];
                self.put_sector(sector, &version);
            }
        }
        self.bytes.resize(length, 0);
        Self::durable(self.bytes)
    }

    fn dirty_sectors(&self) -> BTreeSet<usize> {
        let sectors = |one: &Undo| one.at / SECTOR..one.end.div_ceil(SECTOR);
        self.undo.iter().flat_map(sectors).collect()
    }

    fn sector(&self, sector: usize) -> Sector {
        let mut bytes = [0; SECTOR];
        self.read(sector * SECTOR, &mut bytes);
        bytes
    }

    /// Within the file; what lies beyond its end is cut off.
    fn put_sector(&mut self, sector: usize, bytes: &Sector) {
        let at = sector * SECTOR;
        let Some(there) = self.bytes.get_mut(at..) else {
            return;
        };
        let count = there.len().min(SECTOR);
        there[..count].copy_from_slice(&bytes[..count]);
    }

    /// Takes back all but the first `count` writes since the last sync.
    fn undo_down_to(&mut self, count: usize) {
        while self.undo.len() > count {
            let Some(last) = self.undo.pop() else { return };
            self.bytes.resize(last.length_before, 0);
            let kept = &self.overwritten[last.kept_at..];
            self.bytes[last.at.min(last.length_before)..][..kept.len()].copy_from_slice(kept);
            self.overwritten.truncate(last.kept_at);
        }
    }
}
