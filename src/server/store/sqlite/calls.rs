//! Calls, their members, and who is busy with what.
//!
//! A record goes in as the difference to the one that was read in the same transaction. `places`
//! follows calls and members in the same write: it has a row exactly for each member who is
//! pending or Accepted in a started call.

use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::{Deserialize, Serialize};

use super::fault::{Done, Fault, is_constraint};
use super::number::{read, row_limit, stored};
use crate::call::passing::due as due_of;
use crate::call::{
    Call, CallId, CallState, Closing, DeviceId, EndKind, Ending, Member, Millis, Mode, Op, Own,
    UserId, UserState,
};

/// The row of a call by which its other rows are found.
pub(super) fn key_of(connection: &Connection, id: &CallId) -> Done<Option<i64>> {
    let mut statement =
        connection.prepare_cached("SELECT call_key FROM calls WHERE call_id = ?1")?;
    Ok(statement
        .query_row([id.as_str()], |row| row.get(0))
        .optional()?)
}

/// The whole record.
pub(super) fn call(connection: &Connection, id: &CallId) -> Done<Option<Call>> {
    let mut statement = connection.prepare_cached(
        "SELECT call_key, revision, mode, caller, create_time_ms, timeout_s, extended_data, \
         not_received_check, state, end_kind, end_time_ms, end_revision, ended_by, end_device, \
         end_data FROM calls WHERE call_id = ?1",
    )?;
    let found = statement
        .query_row([id.as_str()], |row| {
            let ending = match row.get_ref(9)?.as_str_or_null()? {
                None => None,
                Some(kind) => Some(Ending {
                    kind: EndKind::from_word(kind),
                    time: row.get(10)?,
                    revision: read(row, 11)?,
                    by: user(row, 12)?,
                    device: device(row, 13)?,
                    data: row.get(14)?,
                }),
            };
            let call = Call {
                id: id.clone(),
                revision: read(row, 1)?,
                mode: Mode::from_word(row.get_ref(2)?.as_str()?),
                caller: UserId::trusted(row.get::<_, String>(3)?),
                create_time: row.get(4)?,
                timeout_s: row.get(5)?,
                extended_data: row.get(6)?,
                not_received_check: row.get(7)?,
                state: CallState::from_word(row.get_ref(8)?.as_str()?),
                ending,
                members: Vec::new(),
            };
            Ok((row.get::<_, i64>(0)?, call))
        })
        .optional()?;
    let Some((key, mut call)) = found else {
        return Ok(None);
    };
    call.members = members(connection, key)?;
    Ok(Some(call))
}

fn members(connection: &Connection, key: i64) -> Done<Vec<Member>> {
    let mut statement = connection.prepare_cached(
        "SELECT user, inviter, invitation, invited_at_ms, timeout_s, deadline_ms, check_at_ms, \
         invite_data, state, state_revision, state_time_ms, data, changed_by, acting_device, \
         accept_time_ms, join_time_ms, quit_time_ms, participation, primary_device, primary_op, \
         primary_revision, seen, closings FROM members WHERE call_key = ?1 ORDER BY position",
    )?;
    let mut rows = statement.query([key])?;
    let mut members = Vec::new();
    while let Some(row) = rows.next()? {
        members.push(Member {
            user: UserId::trusted(row.get::<_, String>(0)?),
            inviter: user(row, 1)?,
            invitation: row.get(2)?,
            invited_at: row.get(3)?,
            timeout_s: row.get(4)?,
            deadline: row.get(5)?,
            check_at: row.get(6)?,
            invite_data: row.get(7)?,
            state: UserState::from_word(row.get_ref(8)?.as_str().map_err(rusqlite::Error::from)?),
            state_revision: read(row, 9)?,
            state_time: row.get(10)?,
            data: row.get(11)?,
            changed_by: user(row, 12)?,
            acting_device: device(row, 13)?,
            accept_time: row.get(14)?,
            join_time: row.get(15)?,
            quit_time: row.get(16)?,
            participation: row.get(17)?,
            own: own(row)?,
        });
    }
    Ok(members)
}

fn own(row: &Row<'_>) -> Done<Option<Own>> {
    let Some(seen) = row.get::<_, Option<bool>>(21)? else {
        return Ok(None);
    };
    Ok(Some(Own {
        primary_device: device(row, 18)?,
        primary_op: row.get::<_, Option<String>>(19)?.map(Op::trusted),
        primary_revision: read(row, 20)?,
        seen,
        closings: closings_of_text(
            row.get_ref(22)?
                .as_str_or_null()
                .map_err(rusqlite::Error::from)?
                .unwrap_or(NO_CLOSINGS),
        )?,
    }))
}

fn user(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<UserId>> {
    Ok(row.get::<_, Option<String>>(column)?.map(UserId::trusted))
}

fn device(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<DeviceId>> {
    Ok(row.get::<_, Option<String>>(column)?.map(DeviceId::trusted))
}

/// Writes what differs between the two.
pub(super) fn put(connection: &Connection, before: Option<&Call>, after: &Call) -> Done<()> {
    let key = match before {
        None => insert(connection, after)?,
        Some(before) => update(connection, before, after)?,
    };
    put_members(connection, key, before, after)?;
    put_places(connection, key, before, after)
}

fn insert(connection: &Connection, call: &Call) -> Done<i64> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO calls (call_id, revision, mode, caller, create_time_ms, timeout_s, \
         extended_data, not_received_check, state, end_kind, end_time_ms, end_revision, ended_by, \
         end_device, end_data, due_ms) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)",
    )?;
    let ending = call.ending.as_ref();
    let written = statement.execute(params![
        call.id.as_str(),
        stored("the revision of a call", call.revision)?,
        call.mode.word(),
        call.caller.as_str(),
        call.create_time,
        call.timeout_s,
        call.extended_data,
        call.not_received_check,
        call.state.word(),
        ending.map(|ending| ending.kind.word()),
        ending.map(|ending| ending.time),
        end_revision(ending)?,
        ending
            .and_then(|ending| ending.by.as_ref())
            .map(UserId::as_str),
        ending
            .and_then(|ending| ending.device.as_ref())
            .map(DeviceId::as_str),
        ending.map(|ending| ending.data.as_str()),
        due_of(call),
    ]);
    match written {
        Ok(_) => Ok(connection.last_insert_rowid()),
        Err(error) if is_constraint(&error) => Err(Fault::Refused(format!(
            "call {:?} cannot be written as a new one: {error}",
            call.id
        ))),
        Err(error) => Err(error.into()),
    }
}

fn update(connection: &Connection, before: &Call, after: &Call) -> Done<i64> {
    let key = match key_of(connection, &after.id)? {
        Some(key) if before.id == after.id => key,
        Some(_) | None => return Err(not_as_read(before, after)),
    };
    let mut statement = connection.prepare_cached(
        "UPDATE calls SET revision = ?2, mode = ?3, caller = ?4, create_time_ms = ?5, \
         timeout_s = ?6, extended_data = ?7, not_received_check = ?8, state = ?9, end_kind = ?10, \
         end_time_ms = ?11, end_revision = ?12, ended_by = ?13, end_device = ?14, end_data = ?15, \
         due_ms = ?16 WHERE call_key = ?1 AND revision = ?17",
    )?;
    let ending = after.ending.as_ref();
    let written = statement.execute(params![
        key,
        stored("the revision of a call", after.revision)?,
        after.mode.word(),
        after.caller.as_str(),
        after.create_time,
        after.timeout_s,
        after.extended_data,
        after.not_received_check,
        after.state.word(),
        ending.map(|ending| ending.kind.word()),
        ending.map(|ending| ending.time),
        end_revision(ending)?,
        ending
            .and_then(|ending| ending.by.as_ref())
            .map(UserId::as_str),
        ending
            .and_then(|ending| ending.device.as_ref())
            .map(DeviceId::as_str),
        ending.map(|ending| ending.data.as_str()),
        due_of(after),
        stored("the revision of a call", before.revision)?,
    ])?;
    if written == 1 {
        Ok(key)
    } else {
        Err(not_as_read(before, after))
    }
}

fn end_revision(ending: Option<&Ending>) -> Done<Option<i64>> {
    ending
        .map(|ending| stored("the revision of an ending", ending.revision))
        .transpose()
}

/// A change that was not made from what is stored would silently undo another one.
fn not_as_read(before: &Call, after: &Call) -> Fault {
    Fault::Refused(format!(
        "call {:?} is not stored at revision {} of {:?}; change what was read in this transaction",
        after.id, before.revision, before.id
    ))
}

fn put_members(connection: &Connection, key: i64, before: Option<&Call>, after: &Call) -> Done<()> {
    let old = before.map_or(&[][..], |call| &call.members);
    for (position, member) in after.members.iter().enumerate() {
        if old.get(position) != Some(member) {
            put_member(connection, key, row_limit(position), member)?;
        }
    }
    if old.len() > after.members.len() {
        connection
            .prepare_cached("DELETE FROM members WHERE call_key = ?1 AND position >= ?2")?
            .execute(params![key, row_limit(after.members.len())])?;
    }
    Ok(())
}

fn put_member(connection: &Connection, key: i64, position: i64, member: &Member) -> Done<()> {
    let mut statement = connection.prepare_cached(
        "INSERT OR REPLACE INTO members (call_key, position, user, inviter, invitation, \
         invited_at_ms, timeout_s, deadline_ms, check_at_ms, invite_data, state, state_revision, \
         state_time_ms, data, changed_by, acting_device, accept_time_ms, join_time_ms, \
         quit_time_ms, participation, primary_device, primary_op, primary_revision, seen, \
         closings) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, \
         ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24, ?25)",
    )?;
    let own = member.own.as_ref();
    let primary_revision = own
        .map(|own| stored("the revision of a primary device", own.primary_revision))
        .transpose()?;
    statement.execute(params![
        key,
        position,
        member.user.as_str(),
        member.inviter.as_ref().map(UserId::as_str),
        member.invitation,
        member.invited_at,
        member.timeout_s,
        member.deadline,
        member.check_at,
        member.invite_data,
        member.state.word(),
        stored("the revision of a state", member.state_revision)?,
        member.state_time,
        member.data,
        member.changed_by.as_ref().map(UserId::as_str),
        member.acting_device.as_ref().map(DeviceId::as_str),
        member.accept_time,
        member.join_time,
        member.quit_time,
        member.participation,
        own.and_then(|own| own.primary_device.as_ref())
            .map(DeviceId::as_str),
        own.and_then(|own| own.primary_op.as_ref()).map(Op::as_str),
        primary_revision,
        own.map(|own| own.seen),
        own.map(|own| text_of_closings(&own.closings)).transpose()?,
    ])?;
    Ok(())
}

/// How a closing is written: words, as in the columns.
#[derive(Serialize, Deserialize)]
struct ClosingText {
    invitation: u32,
    state: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    device: Option<DeviceId>,
}

const NO_CLOSINGS: &str = "[]";

fn text_of_closings(closings: &[Closing]) -> Done<String> {
    if closings.is_empty() {
        return Ok(NO_CLOSINGS.to_owned());
    }
    let texts: Vec<ClosingText> = closings
        .iter()
        .map(|closing| ClosingText {
            invitation: closing.invitation,
            state: closing.state.word().to_owned(),
            device: closing.device.clone(),
        })
        .collect();
    serde_json::to_string(&texts)
        .map_err(|error| Fault::Refused(format!("closings cannot be written: {error}")))
}

fn closings_of_text(text: &str) -> Done<Vec<Closing>> {
    if text == NO_CLOSINGS {
        return Ok(Vec::new());
    }
    let texts: Vec<ClosingText> = serde_json::from_str(text)
        .map_err(|error| Fault::Damaged(format!("closings {text:?} cannot be read: {error}")))?;
    Ok(texts
        .into_iter()
        .map(|closing| Closing {
            invitation: closing.invitation,
            state: UserState::from_word(&closing.state),
            device: closing.device,
        })
        .collect())
}

const PENDING: &str = "pending";
const IN: &str = "in";

/// The row of `places` that this member has; `None` when they are not busy with the call.
fn place_of<'a>(call: &Call, member: &'a Member) -> Option<(&'static str, Option<&'a UserId>)> {
    if !call.is_started() || !member.state.takes_place() {
        return None;
    }
    let place = if member.state.is_pending() {
        PENDING
    } else {
        IN
    };
    Some((place, member.inviter.as_ref()))
}

fn put_places(connection: &Connection, key: i64, before: Option<&Call>, after: &Call) -> Done<()> {
    let place_before = |user: &UserId| {
        let call = before?;
        place_of(call, call.member(user)?)
    };
    for member in &after.members {
        let Some(place) = place_of(after, member) else {
            continue;
        };
        if place_before(&member.user) != Some(place) {
            connection
                .prepare_cached(
                    "INSERT OR REPLACE INTO places (user, call_key, place, inviter) \
                     VALUES (?1, ?2, ?3, ?4)",
                )?
                .execute(params![
                    member.user.as_str(),
                    key,
                    place.0,
                    place.1.map(UserId::as_str)
                ])?;
        }
    }
    for member in before.iter().flat_map(|call| &call.members) {
        let stays = after
            .member(&member.user)
            .is_some_and(|member| place_of(after, member).is_some());
        if !stays && place_before(&member.user).is_some() {
            connection
                .prepare_cached("DELETE FROM places WHERE user = ?1 AND call_key = ?2")?
                .execute(params![member.user.as_str(), key])?;
        }
    }
    Ok(())
}

/// Started calls that are open to the user, newest first.
pub(super) fn open_of(connection: &Connection, user: &UserId, limit: usize) -> Done<Vec<CallId>> {
    let mut statement = connection.prepare_cached(
        "SELECT call_id FROM places JOIN calls USING (call_key) WHERE user = ?1 \
         ORDER BY call_key DESC LIMIT ?2",
    )?;
    let rows = statement.query_map(params![user.as_str(), row_limit(limit)], call_id)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The newest started call that the user is in, other than `except`.
pub(super) fn in_call(
    connection: &Connection,
    user: &UserId,
    except: &CallId,
) -> Done<Option<CallId>> {
    let mut statement = connection.prepare_cached(
        "SELECT call_id FROM places JOIN calls USING (call_key) \
         WHERE user = ?1 AND place = 'in' AND call_id <> ?2 ORDER BY call_key DESC LIMIT 1",
    )?;
    Ok(statement
        .query_row([user.as_str(), except.as_str()], call_id)
        .optional()?)
}

/// The newest started call in which one rings the other.
pub(super) fn ring(
    connection: &Connection,
    inviter: &UserId,
    invitee: &UserId,
) -> Done<Option<CallId>> {
    let mut statement = connection.prepare_cached(
        "SELECT call_id FROM places JOIN calls USING (call_key) \
         WHERE user = ?1 AND place = 'pending' AND inviter = ?2 ORDER BY call_key DESC LIMIT 1",
    )?;
    Ok(statement
        .query_row([invitee.as_str(), inviter.as_str()], call_id)
        .optional()?)
}

/// Users who are in a started call, after the given one.
pub(super) fn users_in(
    connection: &Connection,
    after: Option<&UserId>,
    limit: usize,
) -> Done<Vec<UserId>> {
    let mut statement = connection.prepare_cached(
        "SELECT DISTINCT user FROM places WHERE place = 'in' AND user > ?1 ORDER BY user LIMIT ?2",
    )?;
    // The empty text stands before every user.
    let after = after.map_or("", UserId::as_str);
    let rows = statement.query_map(params![after, row_limit(limit)], |row| {
        Ok(UserId::trusted(row.get::<_, String>(0)?))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Calls that are due, the earliest first.
pub(super) fn due(connection: &Connection, now: Millis, limit: usize) -> Done<Vec<CallId>> {
    let mut statement = connection
        .prepare_cached("SELECT call_id FROM calls WHERE due_ms <= ?1 ORDER BY due_ms LIMIT ?2")?;
    let rows = statement.query_map(params![now, row_limit(limit)], call_id)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// When the next call is due.
pub(super) fn next_due(connection: &Connection) -> Done<Option<Millis>> {
    let mut statement = connection.prepare_cached(
        "SELECT due_ms FROM calls WHERE due_ms IS NOT NULL ORDER BY due_ms LIMIT 1",
    )?;
    Ok(statement.query_row([], |row| row.get(0)).optional()?)
}

fn call_id(row: &Row<'_>) -> rusqlite::Result<CallId> {
    Ok(CallId::trusted(row.get::<_, String>(0)?))
}
