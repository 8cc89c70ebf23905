//! A second account of what is refused, in the order in which refusals count.

use offhook::call::{Call, CallState, Command, CommandKind, EndKind, Mode, UserId, UserState};

use crate::told::came_in;
use crate::world::{device, owner, user};

/// The code of the refusal, if there is one.
pub fn refusal(call: &Call, with: &str, command: &Command) -> Option<u32> {
    let who = owner(with);
    let kind = command.kind();
    let me = call.member(&who).map(|member| member.state);
    if names(command).contains(&who) {
        return Some(6_000_001);
    }
    if call.mode == Mode::General && kind.needs_advanced() {
        return Some(6_000_286);
    }
    if kind == CommandKind::Join {
        return join(call, with);
    }
    let Some(me) = me else {
        return Some(6_000_274);
    };
    match kind {
        CommandKind::Cancel => cancel(call, &who, &names(command)),
        CommandKind::Accept | CommandKind::Reject => {
            let completed =
                call.ending.as_ref().map(|ending| ending.kind) == Some(EndKind::Completed);
            let invited = call
                .member(&who)
                .is_some_and(|member| member.invitation > 0);
            let answered = [UserState::Accepted, UserState::Rejected].contains(&me) && invited;
            if answered && completed {
                return Some(6_000_270);
            }
            is_over(call, me).or((!me.is_pending()).then_some(6_000_270))
        }
        CommandKind::CallingInvite => {
            let open = |who: &UserId| call.member(who).is_some_and(|m| m.state.takes_place());
            let nobody_left = names(command).iter().all(open);
            is_over(call, me).or((me != UserState::Accepted || nobody_left).then_some(6_000_270))
        }
        CommandKind::Quit | CommandKind::End => {
            is_over(call, me).or((me != UserState::Accepted).then_some(6_000_270))
        }
        CommandKind::Invite | CommandKind::Join => unreachable!(),
    }
}

fn is_over(call: &Call, state: UserState) -> Option<u32> {
    let gone = [UserState::Timeout, UserState::Cancelled].contains(&state);
    (gone || call.state == CallState::Ended).then_some(6_000_276)
}

fn join(call: &Call, with: &str) -> Option<u32> {
    if call.state == CallState::Ended {
        return Some(6_000_276);
    }
    let me = call.member(&owner(with))?;
    let primary = me.state == UserState::Accepted && me.primary_device() == Some(&device(with));
    primary.then_some(6_000_283)
}

fn cancel(call: &Call, who: &UserId, whom: &[UserId]) -> Option<u32> {
    let creator = who == &user("ann");
    if call.mode == Mode::General || whom.is_empty() {
        let over = call.state == CallState::Ended;
        return match (creator, came_in(call), over) {
            (false, _, _) => Some(6_000_273),
            (true, true, _) => Some(6_000_271),
            (true, false, true) => Some(6_000_276),
            (true, false, false) => None,
        };
    }
    let mut reasons = whom.iter().map(|one| match call.member(one) {
        None => Some(6_000_274),
        Some(member) if !creator && member.inviter.as_ref() != Some(who) => Some(6_000_273),
        Some(member) if member.state == UserState::Accepted => Some(6_000_271),
        Some(member) => {
            is_over(call, member.state).or((!member.state.is_pending()).then_some(6_000_270))
        }
    });
    let first = reasons.next().flatten()?;
    if reasons.any(|reason| reason.is_none()) {
        return None;
    }
    Some(first)
}

fn names(command: &Command) -> Vec<UserId> {
    match command {
        Command::Invite { invitees, .. } | Command::CallingInvite { invitees, .. } => {
            invitees.clone()
        }
        Command::Cancel { invitees, .. } => {
            invitees.iter().map(|target| target.user.clone()).collect()
        }
        Command::Accept { .. }
        | Command::Reject { .. }
        | Command::Join { .. }
        | Command::Quit { .. }
        | Command::End { .. } => Vec::new(),
    }
}
