//! Devices, users, and the verdicts that are kept for them.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::fault::{Done, Fault, is_constraint};
use super::number::{bound, read, row_limit, stored};
use crate::call::{CallId, DeviceId, Millis, Op, UserId};
use crate::protocol::Capabilities;
use crate::server::store::{DeviceRow, KeptVerdict};

/// What is known of a device.
pub(super) fn device(
    connection: &Connection,
    user: &UserId,
    device: &DeviceId,
) -> Done<Option<DeviceRow>> {
    let mut statement = connection.prepare_cached(
        "SELECT capabilities, build, last_number, settled_number, welcome_token, \
         previous_welcome_token, hello_at_ms FROM devices WHERE user = ?1 AND device = ?2",
    )?;
    Ok(statement
        .query_row([user.as_str(), device.as_str()], |row| {
            Ok(DeviceRow {
                user: user.clone(),
                device: device.clone(),
                capabilities: Capabilities(row.get(0)?),
                build: row.get(1)?,
                last_number: read(row, 2)?,
                settled_number: read(row, 3)?,
                welcome_token: row.get(4)?,
                previous_welcome_token: row.get(5)?,
                hello_at: row.get(6)?,
            })
        })
        .optional()?)
}

/// Writes what is known of a device.
pub(super) fn put_device(connection: &Connection, row: &DeviceRow) -> Done<()> {
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO devices (user, device, capabilities, build, last_number, \
             settled_number, welcome_token, previous_welcome_token, hello_at_ms) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?
        .execute(params![
            row.user.as_str(),
            row.device.as_str(),
            row.capabilities.0,
            row.build,
            stored("the number of a command", row.last_number)?,
            stored("the number of a command", row.settled_number)?,
            row.welcome_token,
            row.previous_welcome_token,
            row.hello_at,
        ])?;
    Ok(())
}

/// What the build can do with which the user last connected.
pub(super) fn user_capabilities(
    connection: &Connection,
    user: &UserId,
) -> Done<Option<Capabilities>> {
    let mut statement =
        connection.prepare_cached("SELECT capabilities FROM users WHERE user = ?1")?;
    Ok(statement
        .query_row([user.as_str()], |row| Ok(Capabilities(row.get(0)?)))
        .optional()?)
}

/// Registers the user.
pub(super) fn put_user(
    connection: &Connection,
    user: &UserId,
    capabilities: Capabilities,
    now: Millis,
) -> Done<()> {
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO users (user, capabilities, connected_at_ms) \
             VALUES (?1, ?2, ?3)",
        )?
        .execute(params![user.as_str(), capabilities.0, now])?;
    Ok(())
}

/// Kept verdicts from a number on, in order.
pub(super) fn verdicts_from(
    connection: &Connection,
    user: &UserId,
    device: &DeviceId,
    number: u64,
    limit: usize,
) -> Done<Vec<KeptVerdict>> {
    let mut statement = connection.prepare_cached(
        "SELECT number, op, call_id, digest, result FROM verdicts \
         WHERE user = ?1 AND device = ?2 AND number >= ?3 ORDER BY number LIMIT ?4",
    )?;
    let mut rows = statement.query(params![
        user.as_str(),
        device.as_str(),
        bound(number),
        row_limit(limit)
    ])?;
    let mut verdicts = Vec::new();
    while let Some(row) = rows.next()? {
        verdicts.push(verdict_of(row)?);
    }
    Ok(verdicts)
}

/// The verdict of that number.
pub(super) fn verdict(
    connection: &Connection,
    user: &UserId,
    device: &DeviceId,
    number: u64,
) -> Done<Option<KeptVerdict>> {
    let found = verdicts_from(connection, user, device, number, 1)?;
    Ok(found
        .into_iter()
        .next()
        .filter(|verdict| verdict.number == number))
}

fn verdict_of(row: &Row<'_>) -> Done<KeptVerdict> {
    let result = row.get_ref(4)?.as_str().map_err(rusqlite::Error::from)?;
    let result = serde_json::from_str(result)
        .map_err(|error| Fault::Damaged(format!("verdict {result:?} cannot be read: {error}")))?;
    Ok(KeptVerdict {
        number: read(row, 0)?,
        op: Op::trusted(row.get::<_, String>(1)?),
        call: CallId::trusted(row.get::<_, String>(2)?),
        digest: row.get(3)?,
        result,
    })
}

/// Keeps a verdict, once.
pub(super) fn put_verdict(
    connection: &Connection,
    user: &UserId,
    device: &DeviceId,
    verdict: &KeptVerdict,
) -> Done<()> {
    let result = serde_json::to_string(&verdict.result)
        .map_err(|error| Fault::Refused(format!("a verdict cannot be written: {error}")))?;
    let written = connection
        .prepare_cached(
            "INSERT INTO verdicts (user, device, number, op, call_id, digest, result) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![
            user.as_str(),
            device.as_str(),
            stored("the number of a command", verdict.number)?,
            verdict.op.as_str(),
            verdict.call.as_str(),
            verdict.digest,
            result,
        ]);
    match written {
        Ok(_) => Ok(()),
        Err(error) if is_constraint(&error) => Err(Fault::Refused(format!(
            "command {} of device {device:?} of user {user:?} has a verdict already",
            verdict.number
        ))),
        Err(error) => Err(error.into()),
    }
}

/// Forgets verdicts that the device has on disk.
pub(super) fn forget_verdicts(
    connection: &Connection,
    user: &UserId,
    device: &DeviceId,
    up_to: u64,
) -> Done<()> {
    connection
        .prepare_cached("DELETE FROM verdicts WHERE user = ?1 AND device = ?2 AND number <= ?3")?
        .execute(params![user.as_str(), device.as_str(), bound(up_to)])?;
    Ok(())
}
