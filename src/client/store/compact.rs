//! Room that nothing takes up any more is given back: a part of it at a time, where the file keeps
//! track of which page belongs to which (all that this build makes), else all at once.

use std::time::Duration;

use rusqlite::{Connection, ErrorCode};

use super::error::{failure, is_certainly_not_committed};
use super::files::beside;
use super::{BUSY_TIMEOUT, LOG, Store, Tx};
use crate::error::Error;

/// Free pages from which giving them back pays, if they are a part of the file that shows: 4 MiB.
const FREE_PAGES_PAYING: u64 = 1_024;
/// They pay when they are more than one in so many of the file's.
const FREE_SHARE: u64 = 8;
/// The largest file that is written anew without having been asked to, in pages: 16 MiB, which is
/// done before anybody notices.
const REWRITTEN_PAGES_MAX: u64 = 4_096;
/// Pages that are given back in one transaction.
const PAGES_A_STEP_MAX: u32 = 128;
/// `PRAGMA auto_vacuum` of a file that gives back what it is asked to.
const INCREMENTAL: i64 = 2;

/// How the pages of a file are used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Space {
    /// Bytes of a page.
    pub page_bytes: u64,
    /// Pages of the file.
    pub pages: u64,
    /// How many of them hold nothing.
    pub free_pages: u64,
    /// Whether some can be given back without the rest.
    pub in_steps: bool,
}

impl Space {
    /// Whether giving back what is free is worth the writing.
    pub fn pays(&self) -> bool {
        let shows = self.free_pages.saturating_mul(FREE_SHARE) >= self.pages;
        let is_cheap = self.in_steps || self.pages <= REWRITTEN_PAGES_MAX;
        self.free_pages >= FREE_PAGES_PAYING && shows && is_cheap
    }

    /// Bytes of the file.
    pub fn bytes(&self) -> u64 {
        self.pages.saturating_mul(self.page_bytes)
    }

    /// Bytes of it that hold nothing.
    pub fn free_bytes(&self) -> u64 {
        self.free_pages.saturating_mul(self.page_bytes)
    }
}

/// How far the write-ahead log is written back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Log {
    /// Its pages, written back or not.
    pub pages: u64,
    /// How many of them are in the database.
    pub written_back: u64,
}

impl Tx<'_> {
    /// How the pages of the file are used.
    pub fn space(&self) -> Result<Space, Error> {
        self.run(space(&self.sql))
    }

    /// Gives back some free pages. Other engines do not notice.
    pub fn give_back_pages(&self) -> Result<(), Error> {
        self.run((|| {
            let sql = format!("PRAGMA incremental_vacuum({PAGES_A_STEP_MAX})");
            let mut statement = self.sql.prepare(&sql)?;
            // It goes on only as far as it is asked for rows.
            let mut rows = statement.query([])?;
            while rows.next()?.is_some() {}
            Ok(())
        })())
    }
}

impl Store {
    /// Writes the whole file anew, so that later it can be given back in parts. Nobody else writes
    /// meanwhile.
    ///
    /// # Errors
    /// [`crate::Code::DiskFull`] and what else the file has against it; it is then as it was.
    pub fn rewrite(&mut self) -> Result<(), Error> {
        let told = rewrite(self.reconnect()?);
        let Err(error) = told else {
            return Ok(());
        };
        let told = failure(&self.path, &error);
        if !is_certainly_not_committed(&error) {
            // As after any commit whose end is not known.
            self.doubts += 1;
            self.set_checkpoint_on_close(false);
            self.connection = None;
        }
        Err(told)
    }

    /// Writes the log back as far as it goes without waiting for anybody; `truncated`: all of it,
    /// and takes its room away, if nobody reads in it.
    ///
    /// # Errors
    /// What the disk has against it.
    pub fn write_log_back(&mut self, truncated: bool) -> Result<Log, Error> {
        let path = self.path.clone();
        let connection = self.reconnect()?;
        write_log_back(connection, truncated).map_err(|error| failure(&path, &error))
    }

    /// Bytes of the write-ahead log.
    pub fn log_bytes(&self) -> u64 {
        let log = beside(&self.file, LOG);
        let start = self.files.start(&log, 0);
        start.map_or(0, |(_, bytes)| bytes)
    }
}

/// Has a file that is still empty keep track of its pages.
pub(super) fn prepare_empty(connection: &Connection) -> rusqlite::Result<()> {
    let pages: i64 = connection.query_row("PRAGMA page_count", [], |row| row.get(0))?;
    match pages {
        0 => connection.pragma_update(None, "auto_vacuum", INCREMENTAL),
        _ => Ok(()),
    }
}

/// The same for what is copied from a file that does not.
pub(super) fn prepare_copy(connection: &Connection) -> rusqlite::Result<()> {
    if space(connection)?.in_steps {
        return Ok(());
    }
    connection.pragma_update(None, "auto_vacuum", INCREMENTAL)
}

fn space(connection: &Connection) -> rusqlite::Result<Space> {
    let number = |name: &str| -> rusqlite::Result<i64> {
        connection
            .prepare_cached(&format!("PRAGMA {name}"))?
            .query_row([], |row| row.get(0))
    };
    Ok(Space {
        page_bytes: number("page_size")?.cast_unsigned(),
        pages: number("page_count")?.cast_unsigned(),
        free_pages: number("freelist_count")?.cast_unsigned(),
        in_steps: number("auto_vacuum")? == INCREMENTAL,
    })
}

fn rewrite(connection: &Connection) -> rusqlite::Result<()> {
    let is_large = space(connection)?.pages > REWRITTEN_PAGES_MAX;
    connection.pragma_update(None, "auto_vacuum", INCREMENTAL)?;
    if is_large {
        // What is made in between is as large as the file.
        connection.pragma_update(None, "temp_store", "FILE")?;
    }
    let done = connection.execute_batch("VACUUM");
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    done
}

fn write_log_back(connection: &Connection, truncated: bool) -> rusqlite::Result<Log> {
    let how = if truncated { "TRUNCATE" } else { "PASSIVE" };
    connection.busy_timeout(Duration::ZERO)?;
    let done = connection.query_row(&format!("PRAGMA wal_checkpoint({how})"), [], |row| {
        let pages = |column| row.get::<_, i64>(column).map(|pages| pages.max(0));
        Ok(Log {
            pages: pages(1)?.cast_unsigned(),
            written_back: pages(2)?.cast_unsigned(),
        })
    });
    connection.busy_timeout(BUSY_TIMEOUT)?;
    match done {
        // It is tried again; what is in the log is on disk.
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::DiskFull) => Ok(Log::default()),
        done => done,
    }
}
