//! Feeds, the epochs that count them, and the clock: what the whole store has one of.

use std::collections::BTreeSet;

use rusqlite::{Connection, OptionalExtension, params};

use super::calls;
use super::fault::{Done, Fault, is_constraint};
use super::number::{bound, read, row_limit};
use crate::call::{CallId, Millis, UserId};
use crate::protocol::Cursor;

/// The clock as last stored.
pub(super) fn clock(connection: &Connection) -> Done<Millis> {
    let mut statement = connection.prepare_cached("SELECT clock_ms FROM meta")?;
    Ok(statement.query_row([], |row| row.get(0))?)
}

/// Stores the clock, never an earlier one.
pub(super) fn set_clock(connection: &Connection, now: Millis) -> Done<()> {
    connection
        .prepare_cached("UPDATE meta SET clock_ms = ?1 WHERE clock_ms < ?1")?
        .execute([now])?;
    Ok(())
}

/// Begins an epoch at the next number.
pub(super) fn begin_epoch(connection: &Connection, epoch: u64) -> Done<()> {
    if epoch == 0 {
        return Err(Fault::Refused(
            "epoch 0 stands for none; draw another".to_owned(),
        ));
    }
    let written = connection
        .prepare_cached("INSERT INTO epochs (epoch, first_seq) SELECT ?1, feed_seq + 1 FROM meta")?
        .execute([epoch.to_string()]);
    match written {
        Ok(_) => Ok(()),
        Err(error) if is_constraint(&error) => Err(Fault::Refused(format!(
            "epoch {epoch} was begun before; draw another"
        ))),
        Err(error) => Err(error.into()),
    }
}

/// Whether this data has given that cursor: the epoch ends where the next one begins, the last
/// one at the last number given.
pub(super) fn knows_cursor(connection: &Connection, cursor: Cursor) -> Done<bool> {
    let mut statement = connection.prepare_cached(
        "SELECT coalesce((SELECT next.first_seq - 1 FROM epochs AS next \
         WHERE next.epoch_key > this.epoch_key ORDER BY next.epoch_key LIMIT 1), \
         (SELECT feed_seq FROM meta)) FROM epochs AS this WHERE this.epoch = ?1",
    )?;
    let end: Option<i64> = statement
        .query_row([cursor.epoch.to_string()], |row| row.get(0))
        .optional()?;
    Ok(end.is_some_and(|end| i64::try_from(cursor.seq).is_ok_and(|seq| seq <= end)))
}

/// Puts the call at the end of those feeds.
pub(super) fn append(
    connection: &Connection,
    call: &CallId,
    users: &BTreeSet<UserId>,
) -> Done<Vec<(UserId, u64)>> {
    let Some(key) = calls::key_of(connection, call)? else {
        return Err(Fault::Refused(format!(
            "there is no call {call:?} to put into a feed; write it first"
        )));
    };
    let mut last = take_numbers(connection, users.len())? - row_limit(users.len());
    let mut statement = connection.prepare_cached(
        "INSERT INTO feed (user, call_key, seq) VALUES (?1, ?2, ?3) \
         ON CONFLICT (call_key, user) DO UPDATE SET seq = excluded.seq",
    )?;
    let mut given = Vec::with_capacity(users.len());
    for user in users {
        last += 1;
        statement.execute(params![user.as_str(), key, last])?;
        given.push((user.clone(), last.unsigned_abs()));
    }
    Ok(given)
}

/// Takes that many numbers, and gives the last of them.
fn take_numbers(connection: &Connection, count: usize) -> Done<i64> {
    let mut statement =
        connection.prepare_cached("UPDATE meta SET feed_seq = feed_seq + ?1 RETURNING feed_seq")?;
    Ok(statement.query_row([row_limit(count)], |row| row.get(0))?)
}

/// The feed of a user after a number.
pub(super) fn after(
    connection: &Connection,
    user: &UserId,
    seq: u64,
    limit: usize,
) -> Done<Vec<(u64, CallId)>> {
    let mut statement = connection.prepare_cached(
        "SELECT seq, call_id FROM feed JOIN calls USING (call_key) \
         WHERE user = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3",
    )?;
    let rows = statement.query_map(
        params![user.as_str(), bound(seq), row_limit(limit)],
        |row| Ok((read(row, 0)?, CallId::trusted(row.get::<_, String>(1)?))),
    )?;
    Ok(rows.collect::<Result<_, _>>()?)
}
