//! What is removed: calls that ended long ago, devices that were not here for long.

use rusqlite::{Connection, OptionalExtension, params};

use super::fault::Done;
use super::number::{bound, read, row_limit};
use crate::call::{DeviceId, Millis, UserId};
use crate::server::store::{DeviceKey, Removed};

/// Looks at some calls in the order in which they were made, and removes those that ended before.
pub(super) fn remove_ended(
    connection: &Connection,
    after: u64,
    ended_before: Millis,
    limit: usize,
) -> Done<Removed<u64>> {
    let mut statement = connection.prepare_cached(
        "SELECT call_key, create_time_ms < ?1, coalesce(end_time_ms < ?1, FALSE) FROM calls \
         WHERE call_key > ?2 ORDER BY call_key LIMIT ?3",
    )?;
    let rows = statement.query_map(
        params![ended_before, bound(after), row_limit(limit)],
        |row| Ok((read(row, 0)?, row.get(1)?, row.get(2)?)),
    )?;
    let looked_at: Vec<(u64, bool, bool)> = rows.collect::<Result<_, _>>()?;
    let mut count = 0;
    for (key, _, is_over) in &looked_at {
        if *is_over {
            remove_call(connection, bound(*key))?;
            count += 1;
        }
    }
    // The clock never goes back: behind a call that is too young there is none that is not.
    let goes_on = |(_, is_old, _): &&(u64, bool, bool)| *is_old && looked_at.len() == limit;
    Ok(Removed {
        next: looked_at.last().filter(goes_on).map(|one| one.0),
        count,
    })
}

fn remove_call(connection: &Connection, key: i64) -> Done<()> {
    for sql in [
        "INSERT INTO trimmed (user, seq) SELECT user, seq FROM feed WHERE call_key = ?1 \
         ON CONFLICT (user) DO UPDATE SET seq = max(seq, excluded.seq)",
        "DELETE FROM feed WHERE call_key = ?1",
        "DELETE FROM members WHERE call_key = ?1",
        "DELETE FROM calls WHERE call_key = ?1",
    ] {
        connection.prepare_cached(sql)?.execute([key])?;
    }
    Ok(())
}

/// The largest number that is in the user's feed no more.
pub(super) fn trimmed(connection: &Connection, user: &UserId) -> Done<u64> {
    let mut statement = connection.prepare_cached("SELECT seq FROM trimmed WHERE user = ?1")?;
    let seq = statement
        .query_row([user.as_str()], |row| read(row, 0))
        .optional()?;
    Ok(seq.unwrap_or(0))
}

/// Looks at some devices in their order, and removes those that said hello last before that and have
/// all their verdicts.
pub(super) fn remove_devices(
    connection: &Connection,
    after: Option<&DeviceKey>,
    hello_before: Millis,
    limit: usize,
) -> Done<Removed<DeviceKey>> {
    let mut statement = connection.prepare_cached(
        "SELECT user, device, hello_at_ms < ?1 AND NOT EXISTS (SELECT 1 FROM verdicts \
         WHERE verdicts.user = devices.user AND verdicts.device = devices.device) \
         FROM devices WHERE (user, device) > (?2, ?3) ORDER BY user, device LIMIT ?4",
    )?;
    // Names are not empty.
    let (user, device) = after.map_or(("", ""), |(user, device)| (user.as_str(), device.as_str()));
    let rows = statement.query_map(
        params![hello_before, user, device, row_limit(limit)],
        |row| {
            let user = UserId::trusted(row.get::<_, String>(0)?);
            let device = DeviceId::trusted(row.get::<_, String>(1)?);
            Ok(((user, device), row.get(2)?))
        },
    )?;
    let looked_at: Vec<(DeviceKey, bool)> = rows.collect::<Result<_, _>>()?;
    let mut count = 0;
    for ((user, device), _) in looked_at.iter().filter(|(_, is_unused)| *is_unused) {
        count += connection
            .prepare_cached("DELETE FROM devices WHERE user = ?1 AND device = ?2")?
            .execute([user.as_str(), device.as_str()])?;
    }
    let is_last = looked_at.len() < limit;
    let last = looked_at.into_iter().last().map(|(key, _)| key);
    Ok(Removed {
        next: last.filter(|_| !is_last),
        count,
    })
}
