//! What happens to a call without a command: deadlines, the not-received check, receipts, devices
//! that vanish. Each function gives the changed call, or `None` when nothing changes.

use super::record::{CLOSINGS_KEPT, Call, Closing, Ending, Member};
use super::value::{CallState, DeviceId, EndKind, Millis, Mode, UserId, UserState};

/// Who does something to a call.
#[derive(Clone, Copy, Debug)]
pub enum Doer<'a> {
    /// A user, with a device where one is known.
    User {
        /// Who.
        user: &'a UserId,
        /// With which device.
        device: Option<&'a DeviceId>,
    },
    /// The server, or the passing of time.
    Server,
}

impl Doer<'_> {
    fn user(&self) -> Option<UserId> {
        match self {
            Self::User { user, .. } => Some((*user).clone()),
            Self::Server => None,
        }
    }

    fn device(&self) -> Option<DeviceId> {
        match self {
            Self::User { device, .. } => device.cloned(),
            Self::Server => None,
        }
    }
}

/// When time next does something to this call; `None` when it never will.
pub fn due(call: &Call) -> Option<Millis> {
    next_moment(call, true)
}

fn next_moment(call: &Call, with_checks: bool) -> Option<Millis> {
    if !call.is_started() {
        return None;
    }
    call.members
        .iter()
        .filter(|member| member.state.is_pending())
        .map(|member| {
            if with_checks && member.check_at > 0 {
                member.check_at.min(member.deadline)
            } else {
                member.deadline
            }
        })
        .min()
}

/// Everything that is due: deadlines, and not-received checks.
///
/// `knows_not_received` tells of a user whether the device they last connected with knows the
/// state NotYetReceived; for one that is too old the invitation stays Inviting.
pub fn pass_time(
    call: &Call,
    now: Millis,
    knows_not_received: &dyn Fn(&UserId) -> bool,
) -> Option<Call> {
    run_until(call, now, Some(knows_not_received))
}

/// Only the deadlines that are due: what a command may not overtake.
pub(super) fn fire_deadlines(call: &Call, now: Millis) -> Option<Call> {
    run_until(call, now, None)
}

/// Goes moment by moment, so that each change has the time at which it was due, and a call that
/// ended at one moment is frozen at the next. Every round settles at least one deadline or check.
fn run_until(call: &Call, now: Millis, checks: Option<&dyn Fn(&UserId) -> bool>) -> Option<Call> {
    let mut changed: Option<Call> = None;
    loop {
        let current = changed.as_ref().unwrap_or(call);
        let moment = next_moment(current, checks.is_some());
        let Some(moment) = moment.filter(|moment| *moment <= now) else {
            return changed;
        };
        let call = changed.get_or_insert_with(|| call.clone());
        call.revision += 1;
        let revision = call.revision;
        for member in call
            .members
            .iter_mut()
            .filter(|member| member.state.is_pending())
        {
            if member.deadline <= moment {
                time_out(member, revision);
            } else if let Some(knows) = checks
                && member.check_at > 0
                && member.check_at <= moment
            {
                member.check_at = 0;
                if member.state == UserState::Inviting && knows(&member.user) {
                    set_state(
                        member,
                        UserState::NotYetReceived,
                        revision,
                        moment,
                        &Doer::Server,
                    );
                }
            }
        }
        conclude(call, moment);
    }
}

/// A device of the user has that invitation durably.
pub fn receive(call: &Call, user: &UserId, invitation: u32, now: Millis) -> Option<Call> {
    let member = call.member(user)?;
    let waits = match member.state {
        UserState::Inviting | UserState::NotYetReceived => true,
        UserState::Unknown
        | UserState::Accepted
        | UserState::Rejected
        | UserState::Cancelled
        | UserState::Offline
        | UserState::Received
        | UserState::Timeout
        | UserState::Quit
        | UserState::Ended
        | UserState::BeCancelled => false,
    };
    let over = member.deadline <= now || member.invitation != invitation;
    if !call.is_started() || !waits || over {
        return None;
    }
    let mut call = call.clone();
    call.revision += 1;
    let revision = call.revision;
    let member = call.member_mut(user)?;
    member.check_at = 0;
    set_state(member, UserState::Received, revision, now, &Doer::Server);
    Some(call)
}

/// The creator logged out on the primary device, or had no connected device for too long: an
/// unanswered call is cancelled whole. Deadlines that have passed are taken to have fired.
pub fn creator_gone(call: &Call, doer: &Doer<'_>, now: Millis) -> Option<Call> {
    if !call.is_started() || call.is_answered() {
        return None;
    }
    let mut call = fire_deadlines(call, now).unwrap_or_else(|| call.clone());
    if !call.is_started() {
        return Some(call);
    }
    call.revision += 1;
    cancel_whole(&mut call, doer, "", now);
    Some(call)
}

/// All who were in an advanced call have been gone for too long. Deadlines that have passed are
/// taken to have fired.
pub fn abandon(call: &Call, now: Millis) -> Option<Call> {
    match call.mode {
        Mode::Advanced if call.is_started() => {
            let mut call = fire_deadlines(call, now).unwrap_or_else(|| call.clone());
            if !call.is_started() {
                return Some(call);
            }
            call.revision += 1;
            end(&mut call, EndKind::Abandoned, &Doer::Server, "", now);
            Some(call)
        }
        Mode::Advanced | Mode::General | Mode::Unknown => None,
    }
}

/// The user has seen that they missed the call. The only change that an ended call still takes.
pub fn see(call: &Call, user: &UserId) -> Option<Call> {
    if !call.is_missed_by(user) || call.member(user)?.own.as_ref().is_some_and(|own| own.seen) {
        return None;
    }
    let mut call = call.clone();
    call.revision += 1;
    call.member_mut(user)?.own.get_or_insert_default().seen = true;
    Some(call)
}

/// Ends a call that nothing can come of: a general one in which nobody is pending, an advanced one
/// with nobody in it and nobody pending. Every change closes with this.
pub(super) fn conclude(call: &mut Call, now: Millis) {
    if !call.is_started() || call.members.iter().any(|member| member.state.is_pending()) {
        return;
    }
    match call.mode {
        Mode::General => end(call, EndKind::Completed, &Doer::Server, "", now),
        Mode::Advanced => {
            if call
                .members
                .iter()
                .all(|member| member.state != UserState::Accepted)
            {
                end(call, EndKind::Abandoned, &Doer::Server, "", now);
            }
        }
        Mode::Unknown => {}
    }
}

/// Cancels all who are pending, and ends the call.
pub(super) fn cancel_whole(call: &mut Call, doer: &Doer<'_>, data: &str, now: Millis) {
    let pending: Vec<UserId> = call
        .members
        .iter()
        .filter(|member| member.state.is_pending())
        .map(|member| member.user.clone())
        .collect();
    for user in &pending {
        cancel_invitation(call, user, doer, data, now);
    }
    end(call, EndKind::Cancelled, doer, data, now);
}

/// Cancels one who is pending.
pub(super) fn cancel_invitation(
    call: &mut Call,
    user: &UserId,
    doer: &Doer<'_>,
    data: &str,
    now: Millis,
) {
    let revision = call.revision;
    let Some(member) = call.member_mut(user) else {
        return;
    };
    close_invitation(member, UserState::Cancelled, None);
    set_state(member, UserState::Cancelled, revision, now, doer);
    member.data = data.to_owned();
}

/// Ends the call; the members stay as they are.
pub(super) fn end(call: &mut Call, kind: EndKind, doer: &Doer<'_>, data: &str, now: Millis) {
    call.state = CallState::Ended;
    call.ending = Some(Ending {
        kind,
        time: now,
        revision: call.revision,
        by: doer.user(),
        device: doer.device(),
        data: data.to_owned(),
    });
}

/// Notes how the member's present invitation ended.
pub(super) fn close_invitation(member: &mut Member, state: UserState, device: Option<&DeviceId>) {
    let invitation = member.invitation;
    member.check_at = 0;
    let own = member.own.get_or_insert_default();
    if own.closings.len() >= CLOSINGS_KEPT {
        own.closings.remove(0);
    }
    own.closings.push(Closing {
        invitation,
        state,
        device: device.cloned(),
    });
}

fn time_out(member: &mut Member, revision: u64) {
    let deadline = member.deadline;
    close_invitation(member, UserState::Timeout, None);
    set_state(
        member,
        UserState::Timeout,
        revision,
        deadline,
        &Doer::Server,
    );
}

fn set_state(member: &mut Member, state: UserState, revision: u64, time: Millis, doer: &Doer<'_>) {
    member.state = state;
    member.state_revision = revision;
    member.state_time = time;
    member.changed_by = doer.user();
    member.acting_device = doer.device();
}
