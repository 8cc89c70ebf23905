//! Rows of calls and members as records, for the writer and the readers alike.

use rusqlite::{Row, params};

use super::Tx;
use crate::call::{
    Call, CallId, CallState, Closing, DeviceId, EndKind, Ending, Member, Mode, Op, Own, UserId,
    UserState,
};
use crate::error::Error;

/// The columns of `calls`, in the order in which [`read_call`] takes them.
pub(super) const CALL_COLUMNS: &str = "sort_key, call_id, epoch, revision, mode, caller, \
     create_time_ms, timeout_s, extended_data, not_received_check, state, end_kind, end_time_ms, \
     end_revision, ended_by, end_device, end_data, my_primary_device, my_primary_op, \
     my_primary_revision, my_closings, missed, seen, seen_here";

/// The columns of `members`, in the order in which [`read_member`] takes them.
pub(super) const MEMBER_COLUMNS: &str = "sort_key, user_id, inviter, invitation, invited_at_ms, \
     timeout_s, deadline_ms, invite_data, state, state_revision, state_time_ms, extended_data, \
     changed_by, acting_device, accept_time_ms, join_time_ms, quit_time_ms, participation";

/// A row of `calls`: the record without its members, and what only this file knows.
pub(super) struct CallRow {
    pub sort_key: i64,
    pub epoch: u64,
    pub call: Call,
    pub own: Own,
    pub missed: bool,
    pub seen_here: bool,
}

impl CallRow {
    /// Adds a member, with the own part if it is this database's user.
    pub fn add(&mut self, mut member: Member, user: &UserId) {
        if &member.user == user {
            member.own = Some(self.own.clone());
        }
        self.call.members.push(member);
    }
}

pub(super) fn text<T>(row: &Row<'_>, column: usize, make: fn(String) -> T) -> rusqlite::Result<T> {
    row.get(column).map(make)
}

fn optional<T>(row: &Row<'_>, column: usize, make: fn(String) -> T) -> rusqlite::Result<Option<T>> {
    Ok(row.get::<_, Option<String>>(column)?.map(make))
}

pub(super) fn read_call(row: &Row<'_>) -> rusqlite::Result<CallRow> {
    let end_kind: Option<String> = row.get(11)?;
    let ending = match end_kind {
        None => None,
        Some(kind) => Some(Ending {
            kind: EndKind::from_word(&kind),
            time: row.get(12)?,
            revision: row.get::<_, i64>(13)?.cast_unsigned(),
            by: optional(row, 14, UserId::trusted)?,
            device: optional(row, 15, DeviceId::trusted)?,
            data: row.get(16)?,
        }),
    };
    let closings: String = row.get(20)?;
    let own = Own {
        primary_device: optional(row, 17, DeviceId::trusted)?,
        primary_op: optional(row, 18, Op::trusted)?,
        primary_revision: row.get::<_, i64>(19)?.cast_unsigned(),
        seen: row.get(22)?,
        // Unreadable closings of another build are as good as forgotten ones.
        closings: serde_json::from_str::<Vec<Closing>>(&closings).unwrap_or_default(),
    };
    Ok(CallRow {
        sort_key: row.get(0)?,
        epoch: row.get::<_, i64>(2)?.cast_unsigned(),
        own,
        missed: row.get(21)?,
        seen_here: row.get(23)?,
        call: Call {
            id: text(row, 1, CallId::trusted)?,
            revision: row.get::<_, i64>(3)?.cast_unsigned(),
            mode: text(row, 4, |word| Mode::from_word(&word))?,
            caller: text(row, 5, UserId::trusted)?,
            create_time: row.get(6)?,
            timeout_s: row.get(7)?,
            extended_data: row.get(8)?,
            not_received_check: row.get(9)?,
            state: text(row, 10, |word| CallState::from_word(&word))?,
            ending,
            members: Vec::new(),
        },
    })
}

/// A member, and the sort key of its call.
pub(super) fn read_member(row: &Row<'_>) -> rusqlite::Result<(i64, Member)> {
    let member = Member {
        user: text(row, 1, UserId::trusted)?,
        inviter: optional(row, 2, UserId::trusted)?,
        invitation: row.get(3)?,
        invited_at: row.get(4)?,
        timeout_s: row.get(5)?,
        deadline: row.get(6)?,
        check_at: 0,
        invite_data: row.get(7)?,
        state: text(row, 8, |word| UserState::from_word(&word))?,
        state_revision: row.get::<_, i64>(9)?.cast_unsigned(),
        state_time: row.get(10)?,
        data: row.get(11)?,
        changed_by: optional(row, 12, UserId::trusted)?,
        acting_device: optional(row, 13, DeviceId::trusted)?,
        accept_time: row.get(14)?,
        join_time: row.get(15)?,
        quit_time: row.get(16)?,
        participation: row.get(17)?,
        own: None,
    };
    Ok((row.get(0)?, member))
}

impl Tx<'_> {
    pub(super) fn write_call_row(
        &self,
        sort_key: i64,
        epoch: u64,
        call: &Call,
        seen_here: bool,
    ) -> Result<(), Error> {
        let ending = call.ending.as_ref();
        let me = call.member(self.user);
        let own = me.and_then(|me| me.own.clone()).unwrap_or_default();
        let closings = serde_json::to_string(&own.closings).unwrap_or_else(|_| "[]".into());
        let missed = call.is_missed_by(self.user);
        self.cached(
            "INSERT INTO calls (sort_key, call_id, epoch, revision, mode, caller, create_time_ms,
                 timeout_s, extended_data, not_received_check, state, end_kind, end_time_ms,
                 end_revision, ended_by, end_device, end_data, my_state, my_primary_device,
                 my_primary_op, my_primary_revision, my_closings, missed, seen, seen_here)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
             ON CONFLICT (sort_key) DO UPDATE SET
                 epoch = excluded.epoch, revision = excluded.revision, mode = excluded.mode,
                 caller = excluded.caller, create_time_ms = excluded.create_time_ms,
                 timeout_s = excluded.timeout_s, extended_data = excluded.extended_data,
                 not_received_check = excluded.not_received_check, state = excluded.state,
                 end_kind = excluded.end_kind, end_time_ms = excluded.end_time_ms,
                 end_revision = excluded.end_revision, ended_by = excluded.ended_by,
                 end_device = excluded.end_device, end_data = excluded.end_data,
                 my_state = excluded.my_state, my_primary_device = excluded.my_primary_device,
                 my_primary_op = excluded.my_primary_op,
                 my_primary_revision = excluded.my_primary_revision,
                 my_closings = excluded.my_closings, missed = excluded.missed,
                 seen = excluded.seen, seen_here = excluded.seen_here",
            params![
                sort_key,
                call.id.as_str(),
                epoch.cast_signed(),
                call.revision.cast_signed(),
                call.mode.word(),
                call.caller.as_str(),
                call.create_time,
                call.timeout_s,
                call.extended_data,
                call.not_received_check,
                call.state.word(),
                ending.map(|ending| ending.kind.word()),
                call.end_time(),
                ending.map_or(0, |ending| ending.revision.cast_signed()),
                ending
                    .and_then(|ending| ending.by.as_ref())
                    .map(UserId::as_str),
                ending
                    .and_then(|ending| ending.device.as_ref())
                    .map(DeviceId::as_str),
                ending.map_or("", |ending| ending.data.as_str()),
                me.map_or(UserState::Unknown, |me| me.state).word(),
                own.primary_device.as_ref().map(DeviceId::as_str),
                own.primary_op.as_ref().map(Op::as_str),
                own.primary_revision.cast_signed(),
                closings,
                missed,
                own.seen,
                seen_here && missed && !own.seen,
            ],
        )
        .map(drop)
    }

    pub(super) fn write_member_row(
        &self,
        sort_key: i64,
        position: usize,
        member: &Member,
    ) -> Result<(), Error> {
        let position = i64::try_from(position).unwrap_or(i64::MAX);
        self.cached(
            "INSERT INTO members (sort_key, position, user_id, inviter, invitation, invited_at_ms,
                 timeout_s, deadline_ms, invite_data, state, state_revision, state_time_ms,
                 extended_data, changed_by, acting_device, accept_time_ms, join_time_ms,
                 quit_time_ms, participation)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
             ON CONFLICT (sort_key, position) DO UPDATE SET
                 user_id = excluded.user_id, inviter = excluded.inviter,
                 invitation = excluded.invitation, invited_at_ms = excluded.invited_at_ms,
                 timeout_s = excluded.timeout_s, deadline_ms = excluded.deadline_ms,
                 invite_data = excluded.invite_data, state = excluded.state,
                 state_revision = excluded.state_revision,
                 state_time_ms = excluded.state_time_ms, extended_data = excluded.extended_data,
                 changed_by = excluded.changed_by, acting_device = excluded.acting_device,
                 accept_time_ms = excluded.accept_time_ms, join_time_ms = excluded.join_time_ms,
                 quit_time_ms = excluded.quit_time_ms, participation = excluded.participation",
            params![
                sort_key,
                position,
                member.user.as_str(),
                member.inviter.as_ref().map(UserId::as_str),
                member.invitation,
                member.invited_at,
                member.timeout_s,
                member.deadline,
                member.invite_data,
                member.state.word(),
                member.state_revision.cast_signed(),
                member.state_time,
                member.data,
                member.changed_by.as_ref().map(UserId::as_str),
                member.acting_device.as_ref().map(DeviceId::as_str),
                member.accept_time,
                member.join_time,
                member.quit_time,
                member.participation,
            ],
        )
        .map(drop)
    }
}
