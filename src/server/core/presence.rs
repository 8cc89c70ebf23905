//! Who is here, who is not, and since when.
//!
//! A device that was not heard for `offline_after_s` counts as gone, and its user as absent since
//! it was last heard; one that closes its connection, since then. Being absent changes nothing by
//! itself. Only a creator whose call nobody has answered is cancelled after the same time, and an
//! advanced call is ended when all who are in it have been absent for `abandoned_after_s`. Absence
//! is counted in memory: a restart or a stall of the server starts the count anew.

use super::hello::{HELLO_WITHIN_MS, OPEN_LANE_CALLS_MAX, TOKEN_NOTICE_MS};
use super::timers::Timer;
use super::work::Work;
use super::{ConnId, Effect, State};
use crate::call::{Audience, Call, Millis, UserId, UserState, passing};
use crate::server::store::StoreResult;

/// How many users are read at once when the server starts.
const USERS_AT_ONCE: usize = 1_000;

impl State {
    /// The connection is over, and with it the session; its user was last here at `since`.
    pub(super) fn end_session(
        &mut self,
        work: &mut Work<'_>,
        conn: ConnId,
        since: Millis,
    ) -> StoreResult<()> {
        if self.settling.remove(&conn) {
            self.forget_settled_of(work, conn)?;
        }
        self.write_row(work, conn)?;
        let Some(session) = self.sessions.remove(&conn) else {
            return Ok(());
        };
        self.timers.stop(&Timer::Silent(conn));
        self.timers.stop(&Timer::Token(conn));
        self.opening.remove(&conn);
        self.catching_up.remove(&conn);
        let Some(device) = session.device else {
            return Ok(());
        };
        let user = device.row.user;
        let Some(here) = self.users.get_mut(&user) else {
            return Ok(());
        };
        if here.devices.get(&device.row.device) == Some(&conn) {
            here.devices.remove(&device.row.device);
        }
        // Who is found to have been silent may have been so while another device was still here.
        here.left_at = here.left_at.max(since);
        let since = here.left_at;
        if here.devices.is_empty() {
            self.users.remove(&user);
            self.mark_absent(user, since);
        }
        Ok(())
    }

    /// Whether a connection has been silent for too long. What is heard does not move the timer;
    /// it is looked at when the timer fires.
    pub(super) fn on_silent(&mut self, work: &mut Work<'_>, conn: ConnId) -> StoreResult<()> {
        let Some(session) = self.sessions.get(&conn) else {
            return Ok(());
        };
        let most = match session.device {
            Some(_) => self.settings.offline_after_ms(),
            None => HELLO_WITHIN_MS,
        };
        let heard_at = session.heard_at;
        if heard_at + most > work.now {
            self.timers.set(Timer::Silent(conn), heard_at + most);
            return Ok(());
        }
        tracing::debug!(conn = conn.0, peer = %session.peer, "silent; closed");
        self.end_session(work, conn, heard_at)?;
        work.effects.push(Effect::Close {
            conn,
            goodbye: None,
        });
        Ok(())
    }

    /// Sets the timers of a session.
    pub(super) fn arm_session(&mut self, conn: ConnId, now: Millis) {
        let Some(session) = self.sessions.get(&conn) else {
            return;
        };
        let most = match session.device {
            Some(_) => self.settings.offline_after_ms(),
            None => HELLO_WITHIN_MS,
        };
        self.timers
            .set(Timer::Silent(conn), session.heard_at + most);
        self.arm_token(conn, now);
        if !self.timers.is_set(&Timer::Clock) {
            self.arm_clock(now);
        }
    }

    /// Sets the timer of a session's token.
    pub(super) fn arm_token(&mut self, conn: ConnId, now: Millis) {
        match self.device(conn).and_then(|device| device.token_expires_at) {
            Some(expires_at) => {
                let notice_at = (expires_at - TOKEN_NOTICE_MS).max(now);
                self.timers.set(Timer::Token(conn), notice_at);
            }
            None => self.timers.stop(&Timer::Token(conn)),
        }
    }

    /// Has no connected device any more.
    pub(super) fn mark_absent(&mut self, user: UserId, since: Millis) {
        let first = self
            .settings
            .offline_after_ms()
            .min(self.settings.abandoned_after_ms());
        self.timers.set(Timer::Absent(user.clone()), since + first);
        self.absent.insert(user, since);
    }

    /// Has a connected device. Coming back in time changes nothing.
    pub(super) fn mark_present(&mut self, user: &UserId) {
        if self.absent.remove(user).is_some() {
            self.timers.stop(&Timer::Absent(user.clone()));
        }
    }

    /// The server was not there to hear anybody: all counts start now.
    pub(super) fn count_absence_anew(&mut self, now: Millis) {
        for session in self.sessions.values_mut() {
            session.heard_at = now;
        }
        let absent: Vec<UserId> = self.absent.keys().cloned().collect();
        for user in absent {
            self.mark_absent(user, now);
        }
    }

    /// After a start everybody who is in a started call and not here is absent from now on.
    pub(super) fn find_absent(&mut self, work: &mut Work<'_>) -> StoreResult<()> {
        let mut after: Option<UserId> = None;
        loop {
            let users = work.read()?.users_in_calls(after.as_ref(), USERS_AT_ONCE)?;
            after = users.last().cloned();
            if after.is_none() {
                self.absent_unknown = false;
                return Ok(());
            }
            for user in users {
                if !self.users.contains_key(&user) && !self.absent.contains_key(&user) {
                    self.mark_absent(user, work.now);
                }
            }
        }
    }

    /// What becomes of an absent user's calls now. Who is in none any more is forgotten.
    pub(super) fn on_absent(&mut self, work: &mut Work<'_>, user: &UserId) -> StoreResult<()> {
        let Some(since) = self.absent.get(user).copied() else {
            return Ok(());
        };
        let mut is_in_call = false;
        for id in work.read()?.open_calls_of(user, OPEN_LANE_CALLS_MAX)? {
            let Some(call) = work.record(&id)? else {
                continue;
            };
            if !is_in(&call, user) {
                continue;
            }
            match self.gone_too_long(&call, user, since, work.now) {
                Some(after) => {
                    tracing::debug!(call = %id, %user, since_ms = since, "ended for absence");
                    work.change(Some(&call), after, Audience::Members, None)?;
                }
                None => is_in_call = true,
            }
        }
        if !is_in_call {
            self.absent.remove(user);
            return Ok(());
        }
        let next = [
            since + self.settings.offline_after_ms(),
            since + self.settings.abandoned_after_ms(),
        ]
        .into_iter()
        .filter(|at| *at > work.now)
        .min();
        if let Some(next) = next {
            self.timers.set(Timer::Absent(user.clone()), next);
        }
        Ok(())
    }

    /// The call as it is once this absence has ended it, if it does.
    fn gone_too_long(
        &self,
        call: &Call,
        user: &UserId,
        since: Millis,
        now: Millis,
    ) -> Option<Call> {
        let too_long = since + self.settings.offline_after_ms() <= now;
        if too_long && &call.caller == user && !call.is_answered() {
            return passing::creator_gone(call, &passing::Doer::Server, now);
        }
        let abandoned = call
            .members
            .iter()
            .filter(|member| member.state == UserState::Accepted)
            .all(|member| {
                self.absent
                    .get(&member.user)
                    .is_some_and(|since| since + self.settings.abandoned_after_ms() <= now)
            });
        abandoned.then(|| passing::abandon(call, now)).flatten()
    }

    /// A call has changed: it may be over for those of its members who are absent, or there may be
    /// nobody left in it but them.
    pub(super) fn look_at_absent_again(&mut self, call: &Call, now: Millis) {
        for member in &call.members {
            if self.absent.contains_key(&member.user) {
                self.timers.set(Timer::Absent(member.user.clone()), now);
            }
        }
    }
}

/// Whether the call goes on with that user in it, not only asked.
fn is_in(call: &Call, user: &UserId) -> bool {
    call.is_started()
        && call
            .member(user)
            .is_some_and(|member| member.state == UserState::Accepted)
}
