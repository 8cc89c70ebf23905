//! Whom a command wakes.

use crate::call::{Call, Command, Member, Millis};
use crate::server::push::{Push, PushKind};

/// What a command that was accepted pushes, if it says how: an invitation to whom it rings; at a
/// cancel, quit or end the news that it is over to those for whom it rang until now.
pub(super) fn pushes(
    before: Option<&Call>,
    after: &Call,
    command: &Command,
    now: Millis,
) -> Vec<Push> {
    let Some(config) = command.push() else {
        return Vec::new();
    };
    let kind = match command {
        Command::Invite { .. } | Command::CallingInvite { .. } => PushKind::Invite,
        Command::Cancel { .. } => PushKind::Cancel,
        Command::Quit { .. } => PushKind::Quit,
        Command::End { .. } => PushKind::End,
        Command::Accept { .. } | Command::Reject { .. } | Command::Join { .. } => {
            return Vec::new();
        }
    };
    let concerned = |member: &&Member| match kind {
        PushKind::Invite => {
            member.state.is_pending()
                && member.state_revision == after.revision
                && member.user != after.caller
        }
        PushKind::Cancel | PushKind::Quit | PushKind::End => {
            !after.is_open_to(&member.user)
                && before
                    .and_then(|call| call.member(&member.user))
                    .is_some_and(|member| member.state.is_pending())
        }
    };
    after
        .members
        .iter()
        .filter(concerned)
        .map(|member| Push::new(kind, after, member, config, now))
        .collect()
}
