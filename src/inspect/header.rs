//! The first bytes of a file, which say what it is before SQLite opens it.
//!
//! SQLite would tell most of this too, but not which of the reasons it was, and it takes an empty
//! file for a database without tables.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use super::database::{Files, unreadable};
use super::error::Problem;

const HEADER_BYTES: usize = 100;
const MAGIC: &[u8] = b"SQLite format 3\0";
/// Where the bytes of a page stand.
const PAGE_BYTES: usize = 16;
/// Where the version of the format stands that readers must know.
const READ_VERSION: usize = 19;
/// Its value for databases in WAL mode.
const WAL: u8 = 2;
/// Where it is counted how often the file was changed.
const CHANGES: usize = 24;
/// Where it stands how many pages there are; good if that was at the same count of changes.
const PAGES: usize = 28;
const PAGES_AT: usize = 92;
/// Where the mark stands of whose database it is (`PRAGMA application_id`).
const MARK: usize = 68;

pub(super) struct Header([u8; HEADER_BYTES]);

impl Header {
    /// Reads it; an error if the file cannot be a database.
    pub(super) fn of(path: &Path) -> Result<Self, Problem> {
        let metadata = fs::metadata(path).map_err(unreadable)?;
        if !metadata.is_file() {
            return Err(Problem::NotAFile);
        }
        if metadata.len() == 0 {
            return Err(Problem::Empty);
        }
        let mut header = [0; HEADER_BYTES];
        let read = File::open(path).and_then(|mut file| file.read_exact(&mut header));
        match read {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Err(Problem::NotADatabase)
            }
            Err(error) => Err(unreadable(error)),
            Ok(()) if !header.starts_with(MAGIC) => Err(Problem::NotADatabase),
            Ok(()) => Ok(Self(header)),
        }
    }

    pub(super) fn is_wal_mode(&self) -> bool {
        self.0.get(READ_VERSION) == Some(&WAL)
    }

    /// The mark of whose database it is; 0: none.
    pub(super) fn mark(&self) -> u32 {
        self.number(MARK)
    }

    /// In words, that the file ends before it says that it does. What is missing may be in a WAL yet.
    pub(super) fn cut_off(&self, files: &Files) -> Option<String> {
        let page_bytes = match self.number(PAGE_BYTES) >> 16 {
            1 => 1 << 16,
            bytes => u64::from(bytes),
        };
        let wanted = u64::from(self.number(PAGES)) * page_bytes;
        let (bytes, wal_bytes) = files.bytes();
        let is_short = wal_bytes == 0 && bytes < wanted;
        (is_short && self.number(CHANGES) == self.number(PAGES_AT))
            .then(|| format!("it was cut off after {bytes} of its {wanted} bytes"))
    }

    fn number(&self, at: usize) -> u32 {
        let bytes = self.0.get(at..).and_then(|rest| rest.first_chunk());
        bytes.map_or(0, |bytes| u32::from_be_bytes(*bytes))
    }
}
