//! What a command means on this device: by the record of its call, and by what waits before it.
//! Values in, values out.

use super::commands::WAIT_S_DEFAULT;
use crate::call::limits::{TIMEOUT_S_DEFAULT, TIMEOUT_S_MAX};
use crate::call::{
    Actor, Call, Command, CommandKind, Facts, Member, Millis, Mode, Op, Rules, Target, Under,
    UserId, apply,
};
use crate::client::store::{StoredCall, StoredCommand};
use crate::error::Error;

/// Whether a command starts or enters something, and so must not act late.
pub(super) fn starts_something(kind: CommandKind) -> bool {
    match kind {
        CommandKind::Invite | CommandKind::CallingInvite | CommandKind::Join => true,
        CommandKind::Cancel
        | CommandKind::Accept
        | CommandKind::Reject
        | CommandKind::Quit
        | CommandKind::End => false,
    }
}

/// Refuses what no word of the server can change: what the call's mode does not have, and
/// anything about a call that has ended.
pub(super) fn refuse_for_certain(
    call: &Call,
    actor: &Actor,
    command: &Command,
    now: Millis,
) -> Result<(), Error> {
    if command.kind() == CommandKind::Invite {
        return Ok(());
    }
    let certain =
        !call.is_started() || (command.kind().needs_advanced() && call.mode == Mode::General);
    if !certain || call.revision == 0 {
        return Ok(());
    }
    apply(
        Some(call),
        actor,
        command,
        &Facts::default(),
        &Rules::default(),
        now,
    )
    .map(drop)
}

/// Fills in what the device knows and the app need not: numbers of invitations, and what a quit
/// or end is made under.
pub(super) fn fill_in(
    command: &mut Command,
    stored: Option<&StoredCall>,
    pending: &[StoredCommand],
    user: &UserId,
) {
    let call = stored.map(|stored| &stored.call);
    let number_of = |user: &UserId| {
        call.and_then(|call| call.member(user))
            .map(|member| member.invitation)
    };
    match command {
        Command::Accept { invitation, .. } | Command::Reject { invitation, .. } => {
            *invitation = number_of(user);
        }
        Command::Cancel { invitees, .. } => {
            for target in invitees {
                let member = call.and_then(|call| call.member(&target.user));
                target.invitation = if is_asked_by(pending, &target.user, member) {
                    None
                } else {
                    number_of(&target.user)
                };
            }
        }
        Command::Quit { under, .. } | Command::End { under, .. } => {
            let entering = pending
                .iter()
                .rev()
                .find(|earlier| enters(earlier.command.kind()));
            let known = call.and_then(|call| call.member(user)).and_then(primary_op);
            *under = match (entering, known) {
                (Some(entering), _) => Under::Primary(entering.op.clone()),
                (None, Some(op)) => Under::Primary(op.clone()),
                (None, None) => Under::Unknown,
            };
        }
        Command::Invite { .. } | Command::CallingInvite { .. } | Command::Join { .. } => {}
    }
}

/// Whether the invitation that somebody has when all that is pending is done is one that is yet to
/// be made: its number is the server's to give.
fn is_asked_by(pending: &[StoredCommand], user: &UserId, member: Option<&Member>) -> bool {
    let mut is_open = member.is_some_and(|member| member.state.takes_place());
    let mut is_asked = false;
    for earlier in pending {
        match &earlier.command {
            Command::CallingInvite { invitees, .. } if !is_open && invitees.contains(user) => {
                (is_open, is_asked) = (true, true);
            }
            Command::Cancel { invitees, .. }
                if invitees.iter().any(|target| &target.user == user) =>
            {
                (is_open, is_asked) = (false, false);
            }
            Command::CallingInvite { .. }
            | Command::Cancel { .. }
            | Command::Invite { .. }
            | Command::Accept { .. }
            | Command::Reject { .. }
            | Command::Join { .. }
            | Command::Quit { .. }
            | Command::End { .. } => {}
        }
    }
    is_asked
}

pub(super) fn asks_for_more(pending: &[StoredCommand]) -> bool {
    let mut kinds = pending.iter().map(|earlier| earlier.command.kind());
    kinds.any(|kind| kind == CommandKind::CallingInvite)
}

/// Whether a cancel is about nothing but what that command was to ask for.
fn takes_back(cancelled: &[Target], earlier: &Command) -> bool {
    let Command::CallingInvite { invitees, .. } = earlier else {
        return false;
    };
    let is_asked = |target: &Target| target.invitation.is_none() && invitees.contains(&target.user);
    !cancelled.is_empty() && cancelled.iter().all(is_asked)
}

/// Whether a cancel leaves nothing of an invite.
pub(super) fn cancels_all_of(cancel: &Command, invite: &Command) -> bool {
    let Command::Cancel {
        invitees: cancelled,
        ..
    } = cancel
    else {
        return false;
    };
    let Command::Invite { invitees, mode, .. } = invite else {
        return false;
    };
    let named = |user| cancelled.iter().any(|target| &target.user == user);
    *mode == Mode::General || cancelled.is_empty() || invitees.iter().all(named)
}

fn primary_op(member: &Member) -> Option<&Op> {
    member.own.as_ref().and_then(|own| own.primary_op.as_ref())
}

/// Whether a command makes its device the primary one.
pub(super) fn enters(kind: CommandKind) -> bool {
    match kind {
        CommandKind::Invite | CommandKind::Accept | CommandKind::Join => true,
        CommandKind::Cancel
        | CommandKind::Reject
        | CommandKind::CallingInvite
        | CommandKind::Quit
        | CommandKind::End => false,
    }
}

/// Whether a command means something only if an earlier one was done: all about a call that was to
/// be made by it, what leaves a stay that was to begin with it, and what takes back invitations that
/// it was to make.
pub(super) fn follows(later: &Command, earlier: &StoredCommand) -> bool {
    match later {
        Command::Quit { under, .. } | Command::End { under, .. } => {
            under == &Under::Primary(earlier.op.clone())
        }
        Command::Invite { .. } => false,
        Command::Cancel { invitees, .. } if takes_back(invitees, &earlier.command) => true,
        Command::Cancel { .. }
        | Command::Accept { .. }
        | Command::Reject { .. }
        | Command::CallingInvite { .. }
        | Command::Join { .. } => earlier.command.kind() == CommandKind::Invite,
    }
}

/// After when a command can mean nothing any more, on the server's clock; 0 is never.
pub(super) fn expiry(
    command: &Command,
    stored: Option<&StoredCall>,
    now: Millis,
    wait_s: u32,
    user: &UserId,
) -> Millis {
    let seconds = |s: u32| now.saturating_add(Millis::from(s) * 1_000);
    let call = stored.map(|stored| &stored.call);
    match command {
        Command::Invite { timeout_s, .. } => seconds(wait_s.min(*timeout_s)),
        Command::CallingInvite { timeout_s, .. } => {
            let timeout_s = timeout_s.or(call.map(|call| call.timeout_s));
            seconds(wait_s.min(timeout_s.unwrap_or(TIMEOUT_S_DEFAULT)))
        }
        Command::Join { .. } => {
            let timeout_s = call.map_or(wait_s, |call| call.timeout_s);
            seconds(wait_s.min(timeout_s))
        }
        Command::Accept { .. } | Command::Reject { .. } => {
            let me = call.and_then(|call| call.member(user));
            let ringing = me.filter(|me| me.state.is_pending());
            ringing.map_or(seconds(WAIT_S_DEFAULT), |me| me.deadline)
        }
        Command::Cancel { .. } => {
            let pending = |call: &Call| {
                let pending = call
                    .members
                    .iter()
                    .filter(|member| member.state.is_pending());
                pending.map(|member| member.deadline).max()
            };
            call.and_then(pending).unwrap_or(seconds(TIMEOUT_S_MAX))
        }
        // Not fenced, so it must not act late.
        Command::Quit {
            under: Under::Unknown,
            ..
        }
        | Command::End {
            under: Under::Unknown,
            ..
        } => seconds(WAIT_S_DEFAULT),
        Command::Quit { .. } | Command::End { .. } => 0,
    }
}
