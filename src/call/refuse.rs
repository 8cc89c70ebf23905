//! Why a command is refused. The first that applies wins, in this order: a malformed parameter
//! (6000001) · unknown call (6000276) · advanced-only (6000286) · not a member (6000274) · not the
//! inviter (6000273) · cancel of an answered call (6000271) · call ended, invitation timed out or
//! cancelled (6000276) · any other state (6000270) · limits (6000272).
//!
//! Two things bend it. callJoin skips the member, timed-out and cancelled tests (the member test
//! only where anyone may join). And of two answers to one invitation the second is told that the
//! first won (6000270) even where the first, being the last that was awaited, has completed a
//! general call: otherwise the commonest race of all, two devices answering a one-to-one call,
//! would tell the loser nothing of the winner.

use super::apply::Facts;
use super::command::{Actor, CommandKind, Target, Under, UserError};
use super::limits::{Rules, USERS_IN_LIFE_MAX};
use super::record::{Call, Member};
use super::value::{CallId, EndKind, Mode, UserId, UserState};
use crate::error::{Code, Error};

pub(super) fn unknown_call(call: &CallId) -> Error {
    Error::new(
        Code::CallOver,
        "unknownCall",
        format!("there is no call {call}"),
    )
}

pub(super) fn call_exists(call: &CallId) -> Error {
    Error::new(
        Code::CallExists,
        "callID",
        format!("a call {call} exists already"),
    )
}

pub(super) fn too_many_members(most: usize) -> Error {
    Error::new(
        Code::TooManyMembers,
        "members",
        format!("the call would have more than {most} members at a time"),
    )
}

pub(super) fn nobody_left(errors: &[UserError]) -> Error {
    let Some(first) = errors.first() else {
        return Error::parameter("invitees", "is empty; name whom to ring");
    };
    if let Some(open) = errors.iter().find(|error| error.code != Code::NoSuchUser) {
        return state_error(&open.user, open.state);
    }
    Error::new(
        Code::NoSuchUser,
        "invitees",
        format!("none of the invitees is known here, {} for one", first.user),
    )
}

fn state_error(user: &UserId, state: UserState) -> Error {
    Error::new(
        Code::WrongState,
        "state",
        format!("{user} is {state} in this call"),
    )
    .with_state(state)
}

/// callInvite by a user who is in a call, or whom the only invitee is ringing.
pub(super) fn busy(facts: &Facts, rules: &Rules, invitees: &[UserId]) -> Result<(), Error> {
    if let Some(call) = &facts.in_call {
        return Err(Error::new(
            Code::WrongState,
            "inCall",
            format!("you are in call {call}; end it or leave it first"),
        )
        .with_call(call.clone()));
    }
    match (&facts.glare, invitees) {
        (Some(call), [invitee]) if rules.refuse_glare => Err(Error::new(
            Code::WrongState,
            "glare",
            format!("{invitee} is ringing you by call {call}; accept that one instead"),
        )
        .with_call(call.clone())),
        (Some(_) | None, _) => Ok(()),
    }
}

/// The command does not go with the call's mode.
pub(super) fn mode(call: &Call, kind: CommandKind) -> Result<(), Error> {
    match call.mode {
        Mode::Advanced => Ok(()),
        Mode::General if kind.needs_advanced() => Err(Error::new(
            Code::NeedsAdvanced,
            "mode",
            format!(
                "{} needs an advanced call, {} is a general one",
                kind.name(),
                call.id
            ),
        )),
        Mode::General => Ok(()),
        Mode::Unknown => Err(Error::new(
            Code::WrongState,
            "mode",
            format!(
                "call {} is of a mode that this build does not know",
                call.id
            ),
        )),
    }
}

pub(super) fn not_member<'a>(call: &'a Call, user: &UserId) -> Result<&'a Member, Error> {
    call.member(user).ok_or_else(|| {
        Error::new(
            Code::NotMember,
            "member",
            format!(
                "{user} is neither an invitee nor a member of call {}",
                call.id
            ),
        )
    })
}

/// The call is over for everybody.
fn ended(call: &Call) -> Result<(), Error> {
    if call.is_started() {
        return Ok(());
    }
    Err(Error::new(
        Code::CallOver,
        "ended",
        format!("call {} has ended", call.id),
    ))
}

/// The call is over for that member: ended, or their invitation timed out or was cancelled.
fn over(call: &Call, member: &Member) -> Result<(), Error> {
    match member.state {
        UserState::Timeout => Err(Error::new(
            Code::CallOver,
            "timeout",
            format!("the invitation to call {} has timed out", call.id),
        )),
        UserState::Cancelled => Err(Error::new(
            Code::CallOver,
            "cancelled",
            format!("the invitation to call {} was cancelled", call.id),
        )),
        UserState::Unknown
        | UserState::Inviting
        | UserState::Accepted
        | UserState::Rejected
        | UserState::Offline
        | UserState::Received
        | UserState::Quit
        | UserState::Ended
        | UserState::NotYetReceived
        | UserState::BeCancelled => ended(call),
    }
}

/// The actor is not in the call.
pub(super) fn not_in_call<'a>(call: &'a Call, user: &UserId) -> Result<&'a Member, Error> {
    let member = not_member(call, user)?;
    over(call, member)?;
    if member.state == UserState::Accepted {
        Ok(member)
    } else {
        Err(state_error(user, member.state))
    }
}

/// A quit or end by who is not in the call, or made before the call moved or was left and
/// rejoined.
pub(super) fn fenced(call: &Call, actor: &Actor, under: &Under) -> Result<(), Error> {
    let member = not_in_call(call, &actor.user)?;
    let now = member.own.as_ref().and_then(|own| own.primary_op.as_ref());
    match under {
        Under::Unknown => Ok(()),
        Under::Primary(op) if Some(op) == now => Ok(()),
        Under::Primary(_) => Err(Error::new(
            Code::WrongState,
            "superseded",
            format!(
                "call {} has moved to another device or was rejoined since",
                call.id
            ),
        )
        .with_device(member.primary_device().cloned())),
    }
}

/// An answer to an invitation that is not pending.
pub(super) fn answer(call: &Call, user: &UserId, invitation: Option<u32>) -> Result<(), Error> {
    let member = not_member(call, user)?;
    let number = invitation.unwrap_or(member.invitation);
    let answered = member
        .closing(number)
        .filter(|closing| closing.state.is_answer());
    let completed = call
        .ending
        .as_ref()
        .is_some_and(|ending| ending.kind == EndKind::Completed);
    match answered {
        None => over(call, member)?,
        Some(_) if completed => {}
        // What became of a later invitation says nothing about this one.
        Some(_) => ended(call)?,
    }
    if let Some(closing) = answered {
        let (state, device) = (closing.state, closing.device.clone());
        return Err(Error::new(
            Code::WrongState,
            "answered",
            format!("the invitation to call {} was {state} before", call.id),
        )
        .with_state(state)
        .with_device(device));
    }
    if number != member.invitation {
        return Err(Error::new(
            Code::CallOver,
            "invitation",
            format!("invitation {number} to call {} is over", call.id),
        ));
    }
    if member.state.is_pending() {
        Ok(())
    } else {
        Err(state_error(user, member.state))
    }
}

/// A join by who may not, or from the device that is primary already.
pub(super) fn join(call: &Call, actor: &Actor, rules: &Rules) -> Result<(), Error> {
    let member = call.member(&actor.user);
    if !rules.join_by_anyone {
        not_member(call, &actor.user)?;
    }
    ended(call)?;
    let Some(member) = member else {
        return places(call, &[&actor.user], rules);
    };
    match member.state {
        UserState::Inviting | UserState::NotYetReceived | UserState::Received => Ok(()),
        UserState::Accepted if member.primary_device() == Some(&actor.device) => Err(Error::new(
            Code::AlreadyPrimary,
            "primary",
            format!(
                "this device is the primary device of call {} already",
                call.id
            ),
        )),
        UserState::Accepted => Ok(()),
        UserState::Rejected | UserState::Cancelled | UserState::Timeout | UserState::Quit => {
            places(call, &[&actor.user], rules)
        }
        UserState::Unknown | UserState::Offline | UserState::Ended | UserState::BeCancelled => {
            Err(state_error(&actor.user, member.state))
        }
    }
}

/// More members than a call may have, at a time or in its life.
pub(super) fn places(call: &Call, coming: &[&UserId], rules: &Rules) -> Result<(), Error> {
    let taken = call
        .members
        .iter()
        .filter(|member| member.state.takes_place())
        .count();
    if taken + coming.len() > rules.members_max {
        return Err(too_many_members(rules.members_max));
    }
    let new = coming
        .iter()
        .filter(|user| call.member(user).is_none())
        .count();
    if call.members.len() + new > USERS_IN_LIFE_MAX {
        return Err(Error::new(
            Code::TooManyMembers,
            "life",
            format!(
                "call {} would have had more than {USERS_IN_LIFE_MAX} users",
                call.id
            ),
        ));
    }
    Ok(())
}

fn not_inviter(call: &Call) -> Error {
    Error::new(
        Code::NotInviter,
        "inviter",
        format!("only who invited may cancel in call {}", call.id),
    )
}

fn cancel_answered(call: &Call) -> Error {
    Error::new(
        Code::CancelAnswered,
        "answered",
        format!(
            "call {} was answered; it cannot be cancelled any more",
            call.id
        ),
    )
}

/// A whole cancel by another than the creator, after an answer, or of an ended call.
pub(super) fn whole_cancel(call: &Call, user: &UserId) -> Result<(), Error> {
    if user != &call.caller {
        return Err(not_inviter(call));
    }
    if call.is_answered() {
        return Err(cancel_answered(call));
    }
    let member = not_member(call, user)?;
    over(call, member)
}

/// A targeted cancel that would cancel nobody: refused for the first one's reason.
pub(super) fn targeted_cancel(call: &Call, user: &UserId, targets: &[Target]) -> Result<(), Error> {
    let mut first = None;
    for target in targets {
        match cancel_of(call, user, target) {
            Ok(()) => return Ok(()),
            Err(error) => first = first.or(Some(error)),
        }
    }
    Err(first.unwrap_or_else(|| not_inviter(call)))
}

/// Whether that one invitation can be cancelled by that user.
pub(super) fn cancel_of(call: &Call, user: &UserId, target: &Target) -> Result<(), Error> {
    let member = not_member(call, &target.user)?;
    if user != &call.caller && member.inviter.as_ref() != Some(user) {
        return Err(not_inviter(call));
    }
    if member.state == UserState::Accepted {
        return Err(Error::new(
            Code::CancelAnswered,
            "answered",
            format!("{} is in call {} already", target.user, call.id),
        ));
    }
    over(call, member)?;
    if target
        .invitation
        .is_some_and(|number| number != member.invitation)
    {
        return Err(Error::new(
            Code::CallOver,
            "invitation",
            format!(
                "that invitation of {} to call {} is over",
                target.user, call.id
            ),
        ));
    }
    if member.state.is_pending() {
        Ok(())
    } else {
        Err(state_error(&target.user, member.state))
    }
}
