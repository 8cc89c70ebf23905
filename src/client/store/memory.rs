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
