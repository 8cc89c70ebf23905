//! What a command makes of a call.
//!
//! Who may call what, by the user's own state in a started call (in an ended one nothing):
//!
//! | state | accept, reject | callingInvite, quit, end (advanced) | join (advanced) |
//! |---|---|---|---|
//! | Inviting, NotYetReceived, Received | yes | no | as accepting |
//! | Accepted | no | yes, from any device | this device becomes primary |
//! | Rejected, Cancelled, Timeout, Quit, not a member | no | no | becomes Accepted |
//!
//! callInvite is for whoever is not in a call; callCancel for the creator, and for a member who
//! invited, about those they invited. Why something is refused, and in which order, is in
//! [`super::refuse`].

use super::command::{Actor, CallUser, Command, Outcome, Target, UserError};
use super::limits::Rules;
use super::passing::{self, Doer};
use super::record::{Call, Member, Own};
use super::refuse;
use super::value::{CallId, CallState, EndKind, Millis, Mode, UserId, UserState};
use crate::error::{Code, Error};

/// What a decision needs to know that is not in the call itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// A started call that the actor is in.
    pub in_call: Option<CallId>,
    /// A started call by which the only invitee is ringing the actor.
    pub glare: Option<CallId>,
    /// Those of the invitees that the register of users does not have.
    pub unknown_users: Vec<UserId>,
}

/// What a command did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The call as it is now.
    pub call: Call,
    /// What the command gives back.
    pub outcome: Outcome,
    /// Whose record changed.
    pub audience: Audience,
}

/// Whose record a change touches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// Every member's.
    Members,
    /// Only that of the user who acted: others see nothing of it.
    ActorOnly,
}

/// Decides a command.
///
/// `call` is the call of that id as it is stored, `None` if there is none; `now` is the server's
/// clock. Deadlines that have passed are taken to have fired, whether or not a timer has run.
pub fn apply(
    call: Option<&Call>,
    actor: &Actor,
    command: &Command,
    facts: &Facts,
    rules: &Rules,
    now: Millis,
) -> Result<Change, Error> {
    let mut command = command.clone();
    command.check_form(&actor.user, rules.extended_data_bytes_max)?;
    if let Command::Invite { .. } = command {
        return create(call, actor, &command, facts, rules, now);
    }
    let Some(call) = call else {
        return Err(refuse::unknown_call(&actor.call));
    };
    let call = passing::fire_deadlines(call, now).unwrap_or_else(|| call.clone());
    refuse::mode(&call, command.kind())?;
    match command {
        Command::Invite { .. } => Err(refuse::call_exists(&actor.call)),
        Command::Cancel {
            invitees,
            extended_data,
            ..
        } => cancel(call, actor, &invitees, &extended_data, now),
        Command::Accept {
            invitation,
            extended_data,
        } => answer(
            call,
            actor,
            invitation,
            UserState::Accepted,
            extended_data,
            now,
        ),
        Command::Reject {
            invitation,
            extended_data,
        } => answer(
            call,
            actor,
            invitation,
            UserState::Rejected,
            extended_data,
            now,
        ),
        Command::CallingInvite { .. } => invite_more(call, actor, &command, facts, rules, now),
        Command::Join { extended_data } => join(call, actor, extended_data, rules, now),
        Command::Quit {
            under,
            extended_data,
            ..
        } => {
            refuse::fenced(&call, actor, &under)?;
            quit(call, actor, extended_data, now)
        }
        Command::End {
            under,
            extended_data,
            ..
        } => {
            refuse::fenced(&call, actor, &under)?;
            end(call, actor, extended_data, now)
        }
    }
}

/// One asking: whose, for how long, with what.
struct Asking<'a> {
    actor: &'a Actor,
    timeout_s: u32,
    data: &'a str,
    check_at: Millis,
    now: Millis,
}

fn create(
    existing: Option<&Call>,
    actor: &Actor,
    command: &Command,
    facts: &Facts,
    rules: &Rules,
    now: Millis,
) -> Result<Change, Error> {
    let Command::Invite {
        invitees,
        timeout_s,
        mode,
        extended_data,
        not_received_check,
        ..
    } = command
    else {
        return Err(refuse::unknown_call(&actor.call));
    };
    if existing.is_some() {
        return Err(refuse::call_exists(&actor.call));
    }
    refuse::busy(facts, rules, invitees)?;
    command.check_count()?;
    let (known, errors) = registered(invitees, facts);
    if known.is_empty() {
        return Err(refuse::nobody_left(&errors));
    }
    if known.len() + 1 > rules.members_max {
        return Err(refuse::too_many_members(rules.members_max));
    }
    let mut call = Call {
        id: actor.call.clone(),
        revision: 1,
        mode: *mode,
        caller: actor.user.clone(),
        create_time: now,
        timeout_s: *timeout_s,
        extended_data: extended_data.clone(),
        not_received_check: *not_received_check,
        state: CallState::Started,
        ending: None,
        members: vec![creator(actor, now)],
    };
    let asking = Asking {
        actor,
        timeout_s: *timeout_s,
        data: extended_data,
        check_at: check_at(*not_received_check, rules, now),
        now,
    };
    for user in known {
        ask(&mut call, user, &asking);
    }
    let outcome = Outcome::Invited {
        timeout_s: *timeout_s,
        errors,
    };
    Ok(Change {
        call,
        outcome,
        audience: Audience::Members,
    })
}

/// The first member of a call that begins now.
fn creator(actor: &Actor, now: Millis) -> Member {
    let mut member = Member::new(actor.user.clone());
    act(&mut member, actor, UserState::Accepted, 1, now);
    member.accept_time = now;
    member.participation = 1;
    member.own = Some(primary(actor, 1));
    member
}

/// When the not-received check of an invitation made now is due; 0 where there is none.
fn check_at(wanted: bool, rules: &Rules, now: Millis) -> Millis {
    if wanted {
        now + rules.not_received_after_ms
    } else {
        0
    }
}

/// Splits invitees into those that the register has and errors for the rest.
fn registered<'a>(invitees: &'a [UserId], facts: &Facts) -> (Vec<&'a UserId>, Vec<UserError>) {
    let (unknown, known): (Vec<&UserId>, Vec<&UserId>) = invitees
        .iter()
        .partition(|user| facts.unknown_users.contains(user));
    let errors = unknown
        .into_iter()
        .map(|user| UserError {
            user: user.clone(),
            code: Code::NoSuchUser,
            state: UserState::Unknown,
            data: String::new(),
        })
        .collect();
    (known, errors)
}

fn ask(call: &mut Call, user: &UserId, asking: &Asking<'_>) {
    if call.member(user).is_none() {
        call.members.push(Member::new(user.clone()));
    }
    let revision = call.revision;
    let Some(member) = call.member_mut(user) else {
        return;
    };
    member.inviter = Some(asking.actor.user.clone());
    member.invitation += 1;
    member.invited_at = asking.now;
    member.timeout_s = asking.timeout_s;
    member.deadline = asking.now + Millis::from(asking.timeout_s) * 1_000;
    member.check_at = asking.check_at;
    member.invite_data = asking.data.to_owned();
    member.state = UserState::Inviting;
    member.state_revision = revision;
    member.state_time = asking.now;
    member.changed_by = Some(asking.actor.user.clone());
    member.acting_device = Some(asking.actor.device.clone());
    member.own.get_or_insert_default().seen = false;
}

fn invite_more(
    mut call: Call,
    actor: &Actor,
    command: &Command,
    facts: &Facts,
    rules: &Rules,
    now: Millis,
) -> Result<Change, Error> {
    let Command::CallingInvite {
        invitees,
        timeout_s,
        extended_data,
        ..
    } = command
    else {
        return Err(refuse::unknown_call(&actor.call));
    };
    refuse::not_in_call(&call, &actor.user)?;
    let (known, mut errors) = registered(invitees, facts);
    let (open, asked): (Vec<&UserId>, Vec<&UserId>) =
        known.into_iter().partition(|user| call.is_open_to(user));
    for user in open {
        let member = call.member(user);
        errors.push(UserError {
            user: user.clone(),
            code: Code::WrongState,
            state: member.map_or(UserState::Unknown, |member| member.state),
            data: member.map_or_else(String::new, |member| member.data.clone()),
        });
    }
    if asked.is_empty() {
        return Err(refuse::nobody_left(&errors));
    }
    command.check_count()?;
    refuse::places(&call, &asked, rules)?;
    call.revision += 1;
    let data = extended_data
        .clone()
        .unwrap_or_else(|| call.extended_data.clone());
    let asking = Asking {
        actor,
        timeout_s: timeout_s.unwrap_or(call.timeout_s),
        data: &data,
        check_at: check_at(call.not_received_check, rules, now),
        now,
    };
    for user in asked {
        ask(&mut call, user, &asking);
    }
    Ok(Change {
        call,
        outcome: Outcome::CallingInvited { errors },
        audience: Audience::Members,
    })
}

fn cancel(
    mut call: Call,
    actor: &Actor,
    targets: &[Target],
    data: &str,
    now: Millis,
) -> Result<Change, Error> {
    refuse::not_member(&call, &actor.user)?;
    let doer = Doer::User {
        user: &actor.user,
        device: Some(&actor.device),
    };
    let whole = match call.mode {
        Mode::General => true,
        Mode::Advanced => targets.is_empty(),
        Mode::Unknown => false, // refused before
    };
    if whole {
        refuse::whole_cancel(&call, &actor.user)?;
        call.revision += 1;
        passing::cancel_whole(&mut call, &doer, data, now);
        let outcome = Outcome::Cancelled {
            error_invitees: Vec::new(),
        };
        return Ok(Change {
            call,
            outcome,
            audience: Audience::Members,
        });
    }
    refuse::targeted_cancel(&call, &actor.user, targets)?;
    call.revision += 1;
    let mut error_invitees = Vec::new();
    for target in targets {
        if refuse::cancel_of(&call, &actor.user, target).is_err() {
            error_invitees.push(target.user.clone());
            continue;
        }
        passing::cancel_invitation(&mut call, &target.user, &doer, data, now);
    }
    let pending = call.members.iter().any(|member| member.state.is_pending());
    if !pending && !call.is_answered() {
        passing::cancel_whole(&mut call, &doer, data, now);
    }
    passing::conclude(&mut call, now);
    let outcome = Outcome::Cancelled { error_invitees };
    Ok(Change {
        call,
        outcome,
        audience: Audience::Members,
    })
}

fn answer(
    mut call: Call,
    actor: &Actor,
    invitation: Option<u32>,
    state: UserState,
    data: String,
    now: Millis,
) -> Result<Change, Error> {
    refuse::answer(&call, &actor.user, invitation)?;
    call.revision += 1;
    let accepted = state == UserState::Accepted;
    if accepted {
        enter(&mut call, actor, data, now);
    } else {
        let revision = call.revision;
        if let Some(member) = call.member_mut(&actor.user) {
            passing::close_invitation(member, state, Some(&actor.device));
            act(member, actor, state, revision, now);
            member.data = data;
        }
    }
    passing::conclude(&mut call, now);
    let outcome = if accepted {
        Outcome::Accepted
    } else {
        Outcome::Rejected
    };
    Ok(Change {
        call,
        outcome,
        audience: Audience::Members,
    })
}

fn join(
    mut call: Call,
    actor: &Actor,
    data: String,
    rules: &Rules,
    now: Millis,
) -> Result<Change, Error> {
    refuse::join(&call, actor, rules)?;
    call.revision += 1;
    let revision = call.revision;
    let moves = call
        .member(&actor.user)
        .is_some_and(|m| m.state == UserState::Accepted);
    if moves {
        if let Some(member) = call.member_mut(&actor.user) {
            let own = member.own.get_or_insert_default();
            *own = Own {
                seen: own.seen,
                closings: own.closings.clone(),
                ..primary(actor, revision)
            };
        }
    } else {
        if call.member(&actor.user).is_none() {
            call.members.push(Member::new(actor.user.clone()));
        }
        enter(&mut call, actor, data, now);
        if let Some(member) = call.member_mut(&actor.user) {
            member.join_time = now;
        }
    }
    let outcome = Outcome::Joined {
        extended_data: call.extended_data.clone(),
        create_time: call.create_time,
        join_time: now,
        users: call.users(),
    };
    let audience = if moves {
        Audience::ActorOnly
    } else {
        Audience::Members
    };
    Ok(Change {
        call,
        outcome,
        audience,
    })
}

fn quit(mut call: Call, actor: &Actor, data: String, now: Millis) -> Result<Change, Error> {
    call.revision += 1;
    let revision = call.revision;
    let mut accept_time = 0;
    if let Some(member) = call.member_mut(&actor.user) {
        accept_time = member.accept_time;
        act(member, actor, UserState::Quit, revision, now);
        member.quit_time = now;
        member.data.clone_from(&data);
    }
    if actor.user == call.caller && !call.is_answered() {
        let doer = Doer::User {
            user: &actor.user,
            device: Some(&actor.device),
        };
        passing::cancel_whole(&mut call, &doer, &data, now);
    }
    passing::conclude(&mut call, now);
    let outcome = Outcome::Quit {
        create_time: call.create_time,
        accept_time,
        quit_time: now,
    };
    Ok(Change {
        call,
        outcome,
        audience: Audience::Members,
    })
}

fn end(mut call: Call, actor: &Actor, data: String, now: Millis) -> Result<Change, Error> {
    call.revision += 1;
    let accept_time = call
        .member(&actor.user)
        .map_or(0, |member| member.accept_time);
    let doer = Doer::User {
        user: &actor.user,
        device: Some(&actor.device),
    };
    passing::end(&mut call, EndKind::Ended, &doer, &data, now);
    let outcome = Outcome::Ended {
        create_time: call.create_time,
        accept_time,
        end_time: now,
    };
    Ok(Change {
        call,
        outcome,
        audience: Audience::Members,
    })
}

/// Brings the actor into the call, with the acting device as the primary one.
fn enter(call: &mut Call, actor: &Actor, data: String, now: Millis) {
    let revision = call.revision;
    let Some(member) = call.member_mut(&actor.user) else {
        return;
    };
    if member.state.is_pending() {
        passing::close_invitation(member, UserState::Accepted, Some(&actor.device));
    }
    act(member, actor, UserState::Accepted, revision, now);
    member.accept_time = now;
    member.participation += 1;
    member.data = data;
    let own = member.own.get_or_insert_default();
    *own = Own {
        seen: own.seen,
        closings: own.closings.clone(),
        ..primary(actor, revision)
    };
}

fn act(member: &mut Member, actor: &Actor, state: UserState, revision: u64, now: Millis) {
    member.state = state;
    member.state_revision = revision;
    member.state_time = now;
    member.changed_by = Some(actor.user.clone());
    member.acting_device = Some(actor.device.clone());
}

fn primary(actor: &Actor, revision: u64) -> Own {
    Own {
        primary_device: Some(actor.device.clone()),
        primary_op: Some(actor.op.clone()),
        primary_revision: revision,
        ..Own::default()
    }
}

impl Call {
    /// Everybody in the call, as events and lists show them.
    pub fn users(&self) -> Vec<CallUser> {
        self.members.iter().map(Member::as_user).collect()
    }
}

impl Member {
    /// The member as events and lists show them.
    pub fn as_user(&self) -> CallUser {
        CallUser {
            user_id: self.user.clone(),
            state: self.state,
            extended_data: self.data.clone(),
        }
    }
}
