//! What is removed: calls that are over, what is left of commands, events that were heard. In steps
//! of a bounded number of rows, a transaction each.

use rusqlite::{OptionalExtension, params};

use super::Tx;
use super::calls::SORT_KEY_BITS;
use super::meta::{KEPT_FROM, KEPT_FROM_INVITED};
use super::rows::text;
use crate::call::{Call, CallId, Millis};
use crate::error::Error;

/// Most missed calls without the user having seen them that are kept beyond the rest.
const UNSEEN_KEPT_MAX: u64 = 10_000;
/// Most commands about calls that are not in the file, refused invites above all, that are kept.
const STRAY_COMMANDS_MAX: u64 = 10_000;

/// Which calls are too many or too old. Neither: 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CallsCut {
    /// Calls before that place are too many.
    pub before: i64,
    /// Calls that ended before that time are too old.
    pub ended_before: Millis,
    /// Missed calls before that place may go unseen.
    unseen_before: i64,
}

impl CallsCut {
    /// Whether nothing is to be removed.
    pub fn is_empty(&self) -> bool {
        self.before == 0 && self.ended_before == 0
    }
}

/// What a step came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Where the next step goes on; `None`: this was the last.
    pub next: Option<i64>,
    /// How many rows it removed.
    pub removed: usize,
}

/// A call that is removed.
struct Gone {
    sort_key: i64,
    call: CallId,
    created: Millis,
    /// When this user was last invited to it; 0 if never.
    invited: Millis,
}

impl Tx<'_> {
    /// Which calls a file is to lose that keeps so many, and each for so long after its end.
    pub fn calls_cut(&self, most: Option<u64>, age: Option<Millis>) -> Result<CallsCut, Error> {
        let before = match most {
            Some(most) => self.place_of_first_kept(most)?,
            None => 0,
        };
        let ended_before = match age {
            Some(age) => self.feed()?.heard_at.saturating_sub(age).max(0),
            None => 0,
        };
        let mut cut = CallsCut {
            before,
            ended_before,
            unseen_before: 0,
        };
        if !cut.is_empty() {
            cut.unseen_before = self.number(
                "SELECT sort_key FROM calls INDEXED BY calls_unseen
                  WHERE missed = 1 AND seen = 0 AND seen_here = 0
                  ORDER BY sort_key DESC LIMIT 1 OFFSET ?",
                [whole(UNSEEN_KEPT_MAX - 1)],
            )?;
        }
        Ok(cut)
    }

    /// The place of the oldest of so many calls; 0 if there are no more.
    fn place_of_first_kept(&self, most: u64) -> Result<i64, Error> {
        let all = self.number("SELECT count(*) FROM calls", [])?;
        let excess = all.cast_unsigned().saturating_sub(most);
        match excess {
            0 => Ok(0),
            _ if most == 0 => Ok(i64::MAX),
            // From the nearer end.
            _ if excess < most => self.number(
                "SELECT sort_key FROM calls ORDER BY sort_key LIMIT 1 OFFSET ?",
                [whole(excess)],
            ),
            _ => self.number(
                "SELECT sort_key FROM calls ORDER BY sort_key DESC LIMIT 1 OFFSET ?",
                [whole(most - 1)],
            ),
        }
    }

    /// Removes calls that are over, after a place and before the cut, with all that there is about
    /// them. What goes on, rings, waits for a verdict or was missed and not seen stays, and so does
    /// an event that the app has not acknowledged.
    pub fn remove_calls(&self, cut: CallsCut, after: i64, limit: usize) -> Result<Swept, Error> {
        let last = match cut.ended_before {
            0 => cut.before,
            // It ended after it began.
            ended => cut.before.max(ended.saturating_mul(1 << SORT_KEY_BITS)),
        };
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let found: Vec<Gone> = self.run(
            self.sql
                .prepare_cached(
                    "SELECT sort_key, call_id, create_time_ms,
                            (SELECT invited_at_ms FROM members
                              WHERE members.sort_key = calls.sort_key AND user_id = ?7)
                       FROM calls
                      WHERE sort_key > ?1 AND sort_key < ?2 AND state = 'ended'
                        AND (sort_key < ?3 OR end_time_ms < ?4)
                        AND (missed = 0 OR seen = 1 OR seen_here = 0 AND sort_key < ?5)
                        AND NOT EXISTS (SELECT 1 FROM commands
                             WHERE commands.call_id = calls.call_id AND verdict IS NULL)
                        AND NOT EXISTS (SELECT 1 FROM rings
                             WHERE rings.call_id = calls.call_id AND closed_at_ms = 0)
                      ORDER BY sort_key LIMIT ?6",
                )
                .and_then(|mut statement| {
                    let cuts = (cut.before, cut.ended_before, cut.unseen_before);
                    let me = self.user().as_str();
                    statement
                        .query_map(
                            params![after, last, cuts.0, cuts.1, cuts.2, limit, me],
                            |row| {
                                Ok(Gone {
                                    sort_key: row.get(0)?,
                                    call: text(row, 1, CallId::trusted)?,
                                    created: row.get(2)?,
                                    invited: row.get::<_, Option<Millis>>(3)?.unwrap_or(0),
                                })
                            },
                        )?
                        .collect()
                }),
        )?;
        let acknowledged = self.acknowledged_by_all()?;
        for gone in &found {
            self.remove_call(gone.sort_key, &gone.call, acknowledged)?;
        }
        self.raise(KEPT_FROM, found.iter().map(|gone| gone.created).max())?;
        let invited = found.iter().map(|gone| gone.invited).max();
        self.raise(KEPT_FROM_INVITED, invited)?;
        let is_last = i64::try_from(found.len()).unwrap_or(i64::MAX) < limit;
        Ok(Swept {
            next: found.last().map(|gone| gone.sort_key).filter(|_| !is_last),
            removed: found.len(),
        })
    }

    fn remove_call(&self, sort_key: i64, call: &CallId, acknowledged: u64) -> Result<(), Error> {
        let call = call.as_str();
        self.cached(
            "DELETE FROM journal WHERE call_id = ? AND position <= ?",
            params![call, acknowledged.cast_signed()],
        )?;
        // Its verdict is told from there.
        self.cached(
            "DELETE FROM commands WHERE call_id = ?1 AND verdict IS NOT NULL AND NOT EXISTS (
                 SELECT 1 FROM journal WHERE journal.call_id = ?1 AND name IN ('commandSettled', 'commandAnswered'))",
            [call],
        )?;
        self.cached("DELETE FROM changes WHERE call_id = ?", [call])?;
        self.cached("DELETE FROM rings WHERE call_id = ?", [call])?;
        // Its members go with it.
        self.cached("DELETE FROM calls WHERE sort_key = ?", [sort_key])
            .map(drop)
    }

    /// Whether a call that is not in the file was, or would have been, removed from it: what the
    /// server tells of it again is not to bring it back. What the user missed and has not seen is
    /// not removed for being old: only the invitation says whether it can have been here.
    pub fn is_left_behind(&self, call: &Call) -> Result<bool, Error> {
        if call.is_started() {
            return Ok(false);
        }
        match call.member(self.user()) {
            Some(me)
                if call.is_missed_by(&me.user) && me.own.as_ref().is_none_or(|own| !own.seen) =>
            {
                self.is_invitation_left_behind(call.create_time, me.invited_at)
            }
            Some(_) | None => self.is_before_what_is_kept(call.create_time),
        }
    }

    /// Whether calls of that time were removed.
    pub fn is_before_what_is_kept(&self, create_time: Millis) -> Result<bool, Error> {
        self.is_within(KEPT_FROM, create_time)
    }

    /// Whether calls of that time were removed, and one to which this user was invited no earlier:
    /// an invitation may be much younger than its call.
    pub fn is_invitation_left_behind(
        &self,
        create_time: Millis,
        invited_at: Millis,
    ) -> Result<bool, Error> {
        Ok(self.is_before_what_is_kept(create_time)?
            && self.is_within(KEPT_FROM_INVITED, invited_at)?)
    }

    /// Whether a time is no later than one that is noted.
    fn is_within(&self, key: &str, time: Millis) -> Result<bool, Error> {
        let noted = self.meta(key)?;
        let noted = noted.and_then(|text| text.parse::<Millis>().ok());
        Ok(noted.is_some_and(|noted| time <= noted))
    }

    /// Notes a time, if there is one and none as late is noted.
    fn raise(&self, key: &str, time: Option<Millis>) -> Result<(), Error> {
        match time {
            Some(time) if !self.is_within(key, time)? => self.set_meta(key, &time.to_string()),
            Some(_) | None => Ok(()),
        }
    }

    /// Up to where the journal is to go, if so many acknowledged events are kept and so many at all;
    /// 0: nothing is too much.
    pub fn journal_cut(&self, acknowledged_kept: u64, all_kept: u64) -> Result<u64, Error> {
        let acknowledged = self.acknowledged_by_all()?;
        let beyond = |kept: u64| {
            // Each from its end, which is at hand; there may be gaps between.
            let last = self.number("SELECT max(position) FROM journal", [])?;
            let first = self.number("SELECT min(position) FROM journal", [])?;
            if last.saturating_sub(first).cast_unsigned() < kept {
                return Ok(0);
            }
            self.number(
                "SELECT position FROM journal ORDER BY position DESC LIMIT 1 OFFSET ?",
                [whole(kept)],
            )
            .map(i64::cast_unsigned)
        };
        let heard = beyond(acknowledged_kept)?.min(acknowledged);
        Ok(heard.max(beyond(all_kept)?))
    }

    /// Removes events up to a position, the oldest first.
    pub fn remove_events(&self, up_to: u64, limit: usize) -> Result<usize, Error> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.cached(
            "DELETE FROM journal WHERE position IN (
                 SELECT position FROM journal WHERE position <= ? ORDER BY position LIMIT ?)",
            params![up_to.cast_signed(), limit],
        )
    }

    /// Up to where every reader of the journal has come.
    fn acknowledged_by_all(&self) -> Result<u64, Error> {
        self.number("SELECT min(position) FROM journal_readers", [])
            .map(i64::cast_unsigned)
    }

    /// Looks through so many commands before a place, newest first, for those that are settled and
    /// about calls that are not in the file, and removes what is too much of them. `known` is how
    /// many were found before.
    pub fn remove_stray_commands(
        &self,
        before: i64,
        limit: usize,
        known: &mut u64,
    ) -> Result<Swept, Error> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let acknowledged = self.acknowledged_by_all()?.cast_signed();
        let looked_at: Vec<(i64, bool, Millis)> = self.run(
            self.sql
                .prepare_cached(
                    "SELECT n, verdict IS NOT NULL
                               AND NOT EXISTS (SELECT 1 FROM calls
                                    WHERE calls.call_id = commands.call_id)
                               AND NOT EXISTS (SELECT 1 FROM journal
                                    WHERE journal.call_id = commands.call_id
                                      AND name IN ('commandSettled', 'commandAnswered')
                                      AND position > ?1),
                            queued_at_ms
                       FROM commands WHERE n < ?2 ORDER BY n DESC LIMIT ?3",
                )
                .and_then(|mut statement| {
                    statement
                        .query_map(params![acknowledged, before, limit], |row| {
                            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
                        })?
                        .collect()
                }),
        )?;
        let mut removed = 0;
        for (n, is_stray, queued_at) in &looked_at {
            if !is_stray {
                continue;
            }
            *known += 1;
            if *known > STRAY_COMMANDS_MAX || self.is_before_what_is_kept(*queued_at)? {
                removed += self.cached("DELETE FROM commands WHERE n = ?", [n])?;
            }
        }
        let is_last = i64::try_from(looked_at.len()).unwrap_or(i64::MAX) < limit;
        Ok(Swept {
            next: looked_at.last().map(|one| one.0).filter(|_| !is_last),
            removed,
        })
    }

    /// Whether there are so many commands that the strays among them may be too many.
    pub fn may_have_stray_commands(&self) -> Result<bool, Error> {
        let most = [whole(STRAY_COMMANDS_MAX)];
        let beyond = self.number("SELECT 1 FROM commands LIMIT 1 OFFSET ?", most)?;
        Ok(beyond == 1)
    }

    /// One number; 0 if there is none.
    fn number(&self, sql: &str, params: impl rusqlite::Params) -> Result<i64, Error> {
        let found: Option<Option<i64>> =
            self.run(self.sql.prepare_cached(sql).and_then(|mut statement| {
                statement.query_row(params, |row| row.get(0)).optional()
            }))?;
        Ok(found.flatten().unwrap_or(0))
    }
}

fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
