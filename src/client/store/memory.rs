//! How much memory connections to the file may take.

use rusqlite::Connection;

use super::Store;
use super::error::failure;
use crate::client::config::Memory;
use crate::error::Error;

/// Connections that are kept for the next reading.
const READERS_KEPT: usize = 2;
/// The same, of an engine that is to take little memory.
const READERS_KEPT_LOW: usize = 1;
/// Memory for the writer's pages then, in KiB: what one transaction touches.
const CACHE_LOW_KIB: i32 = 256;
/// Memory for a reader's pages then, in KiB: a page of calls and the way to it.
const READER_CACHE_LOW_KIB: i32 = 128;
/// Prepared statements that the writer keeps then: those of one command and its verdict.
const STATEMENTS_KEPT_LOW: usize = 24;
/// Prepared statements that a reader keeps then: those of a page with something pending.
const READER_STATEMENTS_KEPT_LOW: usize = 5;

impl Store {
    /// Has the writing connection take as much memory as is allowed.
    ///
    /// # Errors
    /// What keeps SQLite from it.
    pub fn limit_memory(&mut self, memory: Memory) -> Result<(), Error> {
        self.memory = memory;
        self.connection
            .iter()
            .try_for_each(|connection| limit_writer(connection, memory))
            .map_err(|error| failure(&self.path, &error))
    }
}

/// Has the connection that writes take as much memory as is allowed.
pub(super) fn limit_writer(connection: &Connection, memory: Memory) -> rusqlite::Result<()> {
    match memory {
        Memory::Normal => Ok(()),
        Memory::Low => limit(connection, CACHE_LOW_KIB, STATEMENTS_KEPT_LOW),
    }
}

/// The same, of a reader.
pub(super) fn limit_reader(connection: &Connection, memory: Memory) -> rusqlite::Result<()> {
    match memory {
        Memory::Normal => Ok(()),
        Memory::Low => limit(connection, READER_CACHE_LOW_KIB, READER_STATEMENTS_KEPT_LOW),
    }
}

/// How many connections are kept for the next reading.
pub(super) const fn readers_kept(memory: Memory) -> usize {
    match memory {
        Memory::Normal => READERS_KEPT,
        Memory::Low => READERS_KEPT_LOW,
    }
}

fn limit(connection: &Connection, cache_kib: i32, statements: usize) -> rusqlite::Result<()> {
    connection.set_prepared_statement_cache_capacity(statements);
    connection.pragma_update(None, "cache_size", -cache_kib)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::{DeviceId, UserId};
    use crate::client::store::Readers;

    /// KiB are negative, pages positive.
    fn cache(connection: &Connection) -> i64 {
        let asked = connection.query_row("PRAGMA cache_size", [], |row| row.get(0));
        asked.expect("a number")
    }

    fn opened(folder: &tempfile::TempDir, memory: Memory) -> (Store, Readers) {
        let (path, user) = (folder.path().join("bob.db"), UserId::trusted("bob"));
        let device = DeviceId::trusted("b1");
        let mut store = Store::open(&path, &user, &device).expect("opened");
        store.limit_memory(memory).expect("limited");
        (store, Readers::new(&path, &user).with_memory(memory))
    }

    #[test]
    fn an_engine_that_is_to_take_little_memory_has_small_caches_also_after_a_doubt() {
        // What a reader has otherwise is SQLite's own.
        for (memory, writer, reader) in
            [(Memory::Normal, -2_048, -2_000), (Memory::Low, -256, -128)]
        {
            let folder = tempfile::tempdir().expect("a folder");
            let (mut store, readers) = opened(&folder, memory);
            let caches = |store: &Store| store.connection.as_ref().map(cache);
            assert_eq!(caches(&store), Some(writer), "{memory:?}");
            // As after a commit of which nobody knows what it came to.
            store.set_checkpoint_on_close(false);
            store.connection = None;
            store.transact(|tx| tx.next_number()).expect("opened again");
            assert_eq!(caches(&store), Some(writer), "{memory:?}, opened again");
            // One that is opened for it, and one that was kept.
            for _ in 0..2 {
                let found = readers.read(|connection| Ok(cache(connection)));
                assert_eq!(found.expect("read"), reader, "{memory:?}");
            }
        }
    }

    #[test]
    fn of_readers_that_read_at_once_as_many_are_kept_as_memory_allows() {
        for (memory, kept) in [(Memory::Normal, 2), (Memory::Low, 1)] {
            let folder = tempfile::tempdir().expect("a folder");
            let (_store, readers) = opened(&folder, memory);
            let mark = |n: i64| format!("PRAGMA analysis_limit = {n}");
            let at_once = |readers: &Readers, work: &dyn Fn(&Connection)| {
                let nested = readers.read(|first| {
                    let nested = readers.read(|second| {
                        let nested = readers.read(|third| {
                            [first, second, third].into_iter().for_each(work);
                            Ok(())
                        });
                        nested.expect("read");
                        Ok(())
                    });
                    nested.expect("read");
                    Ok(())
                });
                nested.expect("read");
            };
            at_once(&readers, &|connection| {
                connection.execute_batch(&mark(7)).expect("marked");
            });
            let marked = std::cell::Cell::new(0);
            at_once(&readers, &|connection| {
                let limit = connection.query_row("PRAGMA analysis_limit", [], |row| row.get(0));
                marked.set(marked.get() + usize::from(limit == Ok(7)));
            });
            assert_eq!(marked.get(), kept, "{memory:?}");
        }
    }
}
