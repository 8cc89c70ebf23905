//! What a device is to hear next.

use std::fmt;

use crate::call::{CallEvent, CallId, UserState};

/// An event that the story has come to.
#[derive(Clone, Copy, Debug)]
pub enum Expected {
    /// Another device of the user's made a call.
    Created,
    /// The device rings.
    Ring {
        /// Who called.
        inviter: &'static str,
    },
    /// A member came to stand so.
    State {
        /// Who.
        user: &'static str,
        /// Where they stand.
        state: UserState,
    },
    /// Another device of the user's answered, or has the call.
    Elsewhere,
    /// The call went to another device of the user's.
    Moved,
    /// The call was ended.
    Ended {
        /// By whom.
        by: &'static str,
    },
}

/// What an event is to who waits for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judged {
    /// It is the one.
    Met,
    /// It may come before.
    OnTheWay,
    /// It must not come here.
    Other,
}

impl Expected {
    /// Judges what was heard while this was awaited of that call.
    pub fn judge(self, call: &CallId, event: &CallEvent) -> Judged {
        if event.call_id() != call {
            return Judged::Other;
        }
        match event {
            CallEvent::Created { .. } => met(matches!(self, Self::Created)),
            CallEvent::Received { inviter, over, .. } => {
                met(matches!(self, Self::Ring { inviter: by } if inviter.as_str() == by && !over))
            }
            CallEvent::UserStateChanged { call_user_list, .. } => {
                let Self::State { user, state } = self else {
                    return Judged::Other;
                };
                match call_user_list.as_slice() {
                    [one] if one.user_id.as_str() == user && one.state == state => Judged::Met,
                    // That somebody is invited and that a device has it may be told at once, or
                    // one after the other.
                    [one]
                        if one.user_id.as_str() == user
                            && one.state == UserState::Inviting
                            && state == UserState::Received =>
                    {
                        Judged::OnTheWay
                    }
                    _ => Judged::Other,
                }
            }
            CallEvent::HandledElsewhere { .. } => met(matches!(self, Self::Elsewhere)),
            CallEvent::PrimaryDeviceChanged { .. } => met(matches!(self, Self::Moved)),
            CallEvent::Ended {
                operated_user_id, ..
            } => met(matches!(self, Self::Ended { by } if operated_user_id == by)),
            CallEvent::Cancelled { .. } | CallEvent::Timeout { .. } => Judged::Other,
        }
    }
}

const fn met(is_met: bool) -> Judged {
    if is_met { Judged::Met } else { Judged::Other }
}

impl fmt::Display for Expected {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Created => out.write_str("callInvitationCreated"),
            Self::Ring { inviter } => write!(out, "callInvitationReceived from {inviter}"),
            Self::State { user, state } => write!(out, "callUserStateChanged, {user} {state}"),
            Self::Elsewhere => out.write_str("callHandledElsewhere"),
            Self::Moved => out.write_str("callPrimaryDeviceChanged"),
            Self::Ended { by } => write!(out, "callInvitationEnded by {by}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::{CallUser, UserId};

    fn bob(state: UserState) -> CallEvent {
        CallEvent::UserStateChanged {
            call_id: CallId::trusted("c1"),
            call_user_list: vec![CallUser {
                user_id: UserId::trusted("bob"),
                state,
                extended_data: String::new(),
            }],
        }
    }

    #[test]
    fn only_the_right_change_of_the_right_user_in_the_right_call_is_it() {
        let call = CallId::trusted("c1");
        let received = Expected::State {
            user: "bob",
            state: UserState::Received,
        };
        let carol = Expected::State {
            user: "carol",
            state: UserState::Received,
        };
        let heard = bob(UserState::Received);
        assert_eq!(received.judge(&call, &heard), Judged::Met);
        assert_eq!(
            received.judge(&call, &bob(UserState::Inviting)),
            Judged::OnTheWay
        );
        assert_eq!(
            received.judge(&call, &bob(UserState::Timeout)),
            Judged::Other
        );
        assert_eq!(carol.judge(&call, &heard), Judged::Other);
        assert_eq!(Expected::Moved.judge(&call, &heard), Judged::Other);
        assert_eq!(
            received.judge(&CallId::trusted("c2"), &heard),
            Judged::Other
        );
    }
}
