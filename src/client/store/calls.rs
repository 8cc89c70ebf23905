//! Records of calls, and what this device showed of them.

use rusqlite::{OptionalExtension, params};

use super::Tx;
use super::rows::{CALL_COLUMNS, CallRow, MEMBER_COLUMNS, read_call, read_member, text};
use crate::call::{Call, CallId, DeviceId, Member, Millis, Shown, UserId};
use crate::error::{Code, Error};

/// Bits of a sort key that tell calls of one millisecond apart.
pub(super) const SORT_KEY_BITS: u32 = 11;
/// The latest time that a sort key has room for.
const SORT_KEY_TIME_MAX: i64 = (1 << 42) - SORT_KEY_MILLISECONDS_MAX;
/// How many milliseconds a sort key may be moved on when all places of one are taken.
const SORT_KEY_MILLISECONDS_MAX: i64 = 1_000;

/// A record as the file holds it.
#[derive(Clone, Debug)]
pub struct StoredCall {
    /// Its place in the list.
    pub sort_key: i64,
    /// The life of the server that told it.
    pub epoch: u64,
    /// The record.
    pub call: Call,
    /// Marked as seen on this device, and the server not yet told.
    pub seen_here: bool,
}

/// What closed a ring where no event did.
pub const VERDICT: &str = "verdict";

/// Counts the missed calls that the user has not seen.
pub(super) const MISSED_COUNT: &str = "SELECT count(*) FROM calls INDEXED BY calls_unseen
     WHERE missed = 1 AND seen = 0 AND seen_here = 0";

impl Tx<'_> {
    /// The record of a call.
    pub fn call(&self, id: &CallId) -> Result<Option<StoredCall>, Error> {
        let sql = format!("SELECT {CALL_COLUMNS} FROM calls WHERE call_id = ?");
        let found =
            self.run(self.sql.prepare_cached(&sql).and_then(|mut statement| {
                statement.query_row([id.as_str()], read_call).optional()
            }))?;
        let Some(mut row) = found else {
            return Ok(None);
        };
        self.add_members(&mut row)?;
        Ok(Some(StoredCall {
            sort_key: row.sort_key,
            epoch: row.epoch,
            call: row.call,
            seen_here: row.seen_here,
        }))
    }

    fn add_members(&self, row: &mut CallRow) -> Result<(), Error> {
        let sql =
            format!("SELECT {MEMBER_COLUMNS} FROM members WHERE sort_key = ? ORDER BY position");
        let members: Vec<(i64, Member)> =
            self.run(self.sql.prepare_cached(&sql).and_then(|mut statement| {
                statement.query_map([row.sort_key], read_member)?.collect()
            }))?;
        for (_, member) in members {
            row.add(member, self.user);
        }
        Ok(())
    }

    /// Writes a record: enters the call if it is new, else what changed of it.
    pub fn put_call(
        &self,
        before: Option<&StoredCall>,
        call: &Call,
        epoch: u64,
    ) -> Result<(), Error> {
        let sort_key = match before {
            Some(before) => before.sort_key,
            None => self.free_sort_key(call.create_time)?,
        };
        let seen_here = before.is_some_and(|before| before.seen_here);
        self.write_call_row(sort_key, epoch, call, seen_here)?;
        let known = before
            .map(|before| before.call.members.as_slice())
            .unwrap_or_default();
        for (position, member) in call.members.iter().enumerate() {
            if known.get(position) != Some(member) {
                self.write_member_row(sort_key, position, member)?;
            }
        }
        if known.len() > call.members.len() {
            let rest = i64::try_from(call.members.len()).unwrap_or(i64::MAX);
            self.cached(
                "DELETE FROM members WHERE sort_key = ? AND position >= ?",
                params![sort_key, rest],
            )?;
        }
        Ok(())
    }

    /// The place of a new call: its creation time, and the next free number within it.
    fn free_sort_key(&self, create_time: Millis) -> Result<i64, Error> {
        // A time that no honest server gives has a place, too: a positive one, of 53 bits.
        let create_time = create_time.clamp(1, SORT_KEY_TIME_MAX);
        for time in create_time..create_time.saturating_add(SORT_KEY_MILLISECONDS_MAX) {
            let first = time << SORT_KEY_BITS;
            let last = first | ((1 << SORT_KEY_BITS) - 1);
            let taken: Option<i64> = self.run(
                self.sql
                    .prepare_cached(
                        "SELECT max(sort_key) FROM calls WHERE sort_key BETWEEN ? AND ?",
                    )
                    .and_then(|mut statement| statement.query_row([first, last], |row| row.get(0))),
            )?;
            match taken {
                None => return Ok(first),
                Some(taken) if taken < last => return Ok(taken + 1),
                Some(_) => {}
            }
        }
        Err(Error::new(
            Code::Internal,
            "sortKey",
            format!("too many calls were created at {create_time} ms"),
        ))
    }

    /// Started calls that are open to this device: it rings, dials or is in them.
    pub fn open_calls(&self, limit: usize) -> Result<Vec<CallId>, Error> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.run(
            self.sql
                .prepare_cached(
                    "SELECT call_id FROM calls WHERE state = 'started' AND (
                         my_state IN ('inviting', 'not_yet_received', 'received')
                         OR my_state = 'accepted' AND my_primary_device = ?1
                         OR call_id IN (SELECT call_id FROM rings WHERE closed_at_ms = 0))
                     ORDER BY sort_key DESC LIMIT ?2",
                )
                .and_then(|mut statement| {
                    statement
                        .query_map(params![self.device.as_str(), limit], |row| {
                            text(row, 0, CallId::trusted)
                        })?
                        .collect()
                }),
        )
    }

    /// Doubts all that goes on and that this life of the server has not told of: its data may be
    /// older than the file. Told of again, a call is doubted no more.
    pub fn doubt_started(&self, epoch: u64) -> Result<(), Error> {
        self.cached(
            "UPDATE calls SET epoch = 0 WHERE state = 'started' AND epoch <> ?",
            [epoch.cast_signed()],
        )
        .map(drop)
    }

    /// What only a push has told of is doubted until the server tells of it, too.
    pub fn doubt_partial(&self) -> Result<(), Error> {
        self.cached(
            "UPDATE calls SET epoch = 0 WHERE state = 'started' AND revision = 0",
            [],
        )
        .map(drop)
    }

    /// Started calls that are doubted.
    pub fn doubted_calls(&self) -> Result<Vec<CallId>, Error> {
        self.run(
            self.sql
                .prepare_cached(
                    "SELECT call_id FROM calls WHERE state = 'started' AND epoch = 0
                     ORDER BY sort_key",
                )
                .and_then(|mut statement| {
                    statement
                        .query_map([], |row| text(row, 0, CallId::trusted))?
                        .collect()
                }),
        )
    }

    /// Whether somebody's answer is awaited in a call that is open to this user: theirs or
    /// another's.
    pub fn answer_is_awaited(&self) -> Result<bool, Error> {
        self.run(
            self.sql
                .prepare_cached(
                    "SELECT EXISTS (
                         SELECT 1 FROM calls JOIN members USING (sort_key)
                          WHERE calls.state = 'started'
                            AND calls.my_state IN
                                ('inviting', 'not_yet_received', 'received', 'accepted')
                            AND members.state IN ('inviting', 'not_yet_received', 'received'))",
                )
                .and_then(|mut statement| statement.query_row([], |row| row.get(0))),
        )
    }

    /// Notes a change that this device learned of; `user` is `None` for the call itself.
    pub fn note_change(
        &self,
        call: &CallId,
        times: (Millis, Millis),
        user: Option<&UserId>,
        state: &str,
        by: (Option<&UserId>, Option<&DeviceId>),
    ) -> Result<(), Error> {
        self.cached(
            "INSERT INTO changes (call_id, at_ms, learned_ms, user_id, state, by_user, device)
             VALUES (?, ?, ?, ?, ?, ?, ?)",
            params![
                call.as_str(),
                times.0,
                times.1,
                user.map_or("", UserId::as_str),
                state,
                by.0.map(UserId::as_str),
                by.1.map(DeviceId::as_str),
            ],
        )
        .map(drop)
    }

    /// What this device shows of a call, as far as that is in its rings.
    pub fn shown(&self, call: &CallId) -> Result<Shown, Error> {
        let rings: Vec<(u32, bool, bool)> = self.run(
            self.sql
                .prepare_cached(
                    "SELECT invitation, closed_at_ms = 0, closed_how IS ?2 FROM rings
                      WHERE call_id = ?1 ORDER BY invitation",
                )
                .and_then(|mut statement| {
                    statement
                        .query_map([call.as_str(), VERDICT], |row| {
                            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
                        })?
                        .collect()
                }),
        )?;
        let mut shown = Shown::default();
        for (invitation, open, answered) in rings {
            if invitation == 0 {
                shown.dialling = open;
            } else {
                shown.rung = invitation;
                shown.ringing = open;
                shown.answered = answered;
            }
        }
        Ok(shown)
    }

    /// Whether what this device last did about its own part in a call was to leave it.
    pub fn was_left(&self, call: &CallId) -> Result<bool, Error> {
        let left: Option<bool> = self.run(
            self.sql
                .prepare_cached(
                    "SELECT command = 'callQuit' FROM commands
                      WHERE call_id = ? AND verdict = 'accepted' AND command IN
                            ('callInvite', 'callAccept', 'callJoin', 'callQuit')
                      ORDER BY n DESC LIMIT 1",
                )
                .and_then(|mut statement| {
                    statement
                        .query_row([call.as_str()], |row| row.get(0))
                        .optional()
                }),
        )?;
        Ok(left.unwrap_or_default())
    }

    /// Something is shown from now on: an invitation, or with number 0 the user's own dialling.
    pub fn open_ring(
        &self,
        call: &CallId,
        invitation: u32,
        now: Millis,
        deadline: Millis,
    ) -> Result<(), Error> {
        self.cached(
            "INSERT INTO rings (call_id, invitation, opened_at_ms, deadline_ms)
             VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
            params![call.as_str(), invitation, now, deadline],
        )
        .map(drop)
    }

    /// Until when that invitation rings or rang here, if it ever did.
    pub fn ring_deadline(&self, call: &CallId, invitation: u32) -> Result<Option<Millis>, Error> {
        self.run(
            self.sql
                .prepare_cached(
                    "SELECT deadline_ms FROM rings
                      WHERE call_id = ? AND invitation = ? AND invitation > 0",
                )
                .and_then(|mut statement| {
                    statement
                        .query_row(params![call.as_str(), invitation], |row| row.get(0))
                        .optional()
                }),
        )
    }

    /// That invitation and later ones never rang.
    pub fn drop_rings(&self, call: &CallId, first: u32) -> Result<(), Error> {
        self.cached(
            "DELETE FROM rings WHERE call_id = ? AND invitation >= max(?, 1)",
            params![call.as_str(), first],
        )
        .map(drop)
    }

    /// It is shown no more.
    pub fn close_ring(
        &self,
        call: &CallId,
        invitation: u32,
        now: Millis,
        how: &str,
    ) -> Result<(), Error> {
        self.cached(
            "UPDATE rings SET closed_at_ms = max(?, 1), closed_how = ?
              WHERE call_id = ? AND invitation = ? AND closed_at_ms = 0",
            params![now, how, call.as_str(), invitation],
        )
        .map(drop)
    }

    /// An answer that was given at a time has its verdict: what rang by then is shown no more. What
    /// began to ring later is another invitation.
    pub fn close_answered(&self, call: &CallId, given: Millis, now: Millis) -> Result<(), Error> {
        self.cached(
            "UPDATE rings SET closed_at_ms = max(?, 1), closed_how = ?
              WHERE call_id = ? AND invitation > 0 AND closed_at_ms = 0 AND opened_at_ms <= ?",
            params![now, VERDICT, call.as_str(), given],
        )
        .map(drop)
    }

    /// Invitations that ring here, the first to run out first.
    pub fn open_rings(&self) -> Result<Vec<(CallId, u32, Millis)>, Error> {
        self.run(
            self.sql
                .prepare_cached(
                    "SELECT call_id, invitation, deadline_ms FROM rings
                      WHERE closed_at_ms = 0 AND invitation > 0 ORDER BY deadline_ms, call_id",
                )
                .and_then(|mut statement| {
                    statement
                        .query_map([], |row| {
                            let call = text(row, 0, CallId::trusted)?;
                            Ok((call, row.get(1)?, row.get(2)?))
                        })?
                        .collect()
                }),
        )
    }

    /// When the next invitation runs out that rings here and has no own answer on its way.
    pub fn next_ring_deadline(&self) -> Result<Option<Millis>, Error> {
        self.run(
            self.sql
                .prepare_cached(
                    "SELECT min(deadline_ms) FROM rings
                      WHERE closed_at_ms = 0 AND invitation > 0 AND NOT EXISTS (
                          SELECT 1 FROM commands
                           WHERE verdict IS NULL AND call_id = rings.call_id
                             AND command IN ('callAccept', 'callReject', 'callJoin'))",
                )
                .and_then(|mut statement| statement.query_row([], |row| row.get(0))),
        )
    }

    /// Marks missed calls as seen on this device: those named, or all. Gives those marked.
    pub fn mark_seen_here(&self, calls: Option<&[CallId]>) -> Result<usize, Error> {
        const UNSEEN: &str = "missed = 1 AND seen = 0 AND seen_here = 0";
        let Some(calls) = calls else {
            return self.cached(
                &format!("UPDATE calls INDEXED BY calls_unseen SET seen_here = 1 WHERE {UNSEEN}"),
                [],
            );
        };
        let mut marked = 0;
        for call in calls {
            marked += self.cached(
                &format!("UPDATE calls SET seen_here = 1 WHERE {UNSEEN} AND call_id = ?"),
                [call.as_str()],
            )?;
        }
        Ok(marked)
    }

    /// The server was told that those were seen. One that goes on there may have to be missed first.
    pub fn confirm_seen(&self, calls: &[CallId]) -> Result<(), Error> {
        for call in calls {
            self.cached(
                "UPDATE calls SET seen = 1, seen_here = 0
                  WHERE call_id = ? AND seen_here = 1 AND state = 'ended'",
                [call.as_str()],
            )?;
        }
        Ok(())
    }

    /// Calls marked as seen that the server does not know to be, after a given place.
    pub fn seen_here(&self, after: i64, limit: usize) -> Result<Vec<(i64, CallId)>, Error> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.run(
            self.sql
                .prepare_cached(
                    "SELECT sort_key, call_id FROM calls
                      WHERE seen_here = 1 AND sort_key > ? ORDER BY sort_key LIMIT ?",
                )
                .and_then(|mut statement| {
                    statement
                        .query_map([after, limit], |row| {
                            Ok((row.get(0)?, text(row, 1, CallId::trusted)?))
                        })?
                        .collect()
                }),
        )
    }

    /// Missed calls that the user has not seen.
    pub fn missed_count(&self) -> Result<u64, Error> {
        self.run(
            self.sql
                .prepare_cached(MISSED_COUNT)
                .and_then(|mut statement| {
                    statement
                        .query_row([], |row| row.get::<_, i64>(0))
                        .map(i64::cast_unsigned)
                }),
        )
    }
}
