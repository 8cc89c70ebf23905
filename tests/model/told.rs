//! A second account of who hears what, live. The code under test compares two records; this one
//! goes by what somebody did, the way the rule is told.

use offhook::call::{Call, CallState, DeviceId, EndKind, UserId, UserState};

/// What happened.
#[derive(Clone, Debug)]
pub enum Happened {
    /// Those are being rung anew.
    Asked { whom: Vec<UserId> },
    /// A receipt came, or did not.
    Reached { whom: UserId },
    /// One who was being rung accepted, joined or declined.
    Answered { who: UserId, with: DeviceId },
    /// Those let it ring to the end.
    TimedOut { whom: Vec<UserId> },
    /// Those are not wanted any more; the call goes on.
    Uninvited {
        by: UserId,
        with: DeviceId,
        whom: Vec<UserId>,
    },
    /// The call is cancelled whole; without a device, by the server.
    CalledOff { with: Option<DeviceId> },
    /// The creator leaves a call that nobody has answered.
    CreatorLeft { with: DeviceId },
    /// One came in who was not being rung.
    Joined { who: UserId, with: DeviceId },
    /// One took the call to another device.
    Moved { who: UserId },
    /// One left.
    Left { who: UserId },
    /// The call was ended; without a device, by the server.
    Ended { with: Option<DeviceId> },
}

/// One device, and whether it says that its user is calling.
pub struct Listener<'a> {
    pub who: &'a UserId,
    pub with: &'a DeviceId,
    pub dialling: bool,
}

struct Account<'a> {
    before: &'a Call,
    after: &'a Call,
    listener: &'a Listener<'a>,
}

/// What the listener hears, in few words.
pub fn told(
    happened: &Happened,
    before: &Call,
    after: &Call,
    listener: &Listener<'_>,
) -> Vec<String> {
    let account = Account {
        before,
        after,
        listener,
    };
    let mut words = account.of(happened);
    words.extend(account.dialling_over(happened));
    words
}

impl Account<'_> {
    fn of(&self, happened: &Happened) -> Vec<String> {
        let me = self.listener.who;
        match happened {
            Happened::Asked { whom } if whom.contains(me) => {
                vec![format!("received from {}", self.inviter())]
            }
            Happened::Asked { whom } => self.to_members(whom),
            Happened::Reached { whom } => self.to_members(std::slice::from_ref(whom)),
            Happened::Answered { who, with } => self.answered(who, with),
            Happened::TimedOut { whom } if whom.contains(me) => vec!["timeout".to_owned()],
            Happened::TimedOut { whom } => self.to_members(whom),
            Happened::Uninvited { by, with, whom } => self.uninvited(by, with, whom),
            Happened::CalledOff { with } => self.called_off(with.as_ref()),
            Happened::CreatorLeft { with } => {
                let mut words = Vec::new();
                if self.was_primary() && *me == self.after.caller {
                    words.push(self.changed(std::slice::from_ref(me)));
                }
                words.extend(self.called_off(Some(with)));
                words
            }
            Happened::Joined { who, with } => {
                let joins = who == me && with == self.listener.with;
                if joins || (who != me && self.is_member()) {
                    vec![self.changed(std::slice::from_ref(who))]
                } else {
                    vec![]
                }
            }
            Happened::Moved { who } => {
                if who == me && self.was_primary() {
                    vec![format!("moved to {}", self.primary())]
                } else {
                    vec![]
                }
            }
            Happened::Left { who } => {
                let leaves = who == me && self.was_primary();
                if leaves || self.is_member() {
                    vec![self.changed(std::slice::from_ref(who))]
                } else {
                    vec![]
                }
            }
            Happened::Ended { .. } => {
                if self.was_pending(me) || self.was_primary() {
                    let ending = self.after.ending.as_ref().expect("an ending");
                    let by = ending.by.as_ref().map_or("", |by| by.as_str());
                    vec![format!("ended by {by}: {}", ending.data)]
                } else {
                    vec![]
                }
            }
        }
    }

    fn answered(&self, who: &UserId, with: &DeviceId) -> Vec<String> {
        let changed = self.changed(std::slice::from_ref(who));
        if who != self.listener.who {
            return if self.is_member() {
                vec![changed]
            } else {
                vec![]
            };
        }
        if with == self.listener.with {
            return vec![changed];
        }
        let state = self.after.member(who).expect("who answered").state;
        vec![changed, format!("elsewhere {state} {with}")]
    }

    fn uninvited(&self, by: &UserId, with: &DeviceId, whom: &[UserId]) -> Vec<String> {
        let me = self.listener.who;
        if whom.contains(me) {
            return vec![self.cancelled(self.inviter())];
        }
        let mut words = self.to_members(whom);
        if me == by && with != self.listener.with {
            words.push(self.cancelled(by));
        }
        words
    }

    fn called_off(&self, with: Option<&DeviceId>) -> Vec<String> {
        let me = self.listener.who;
        let caller = &self.after.caller;
        let acted = with == Some(self.listener.with);
        if self.was_pending(me) || (me == caller && !acted) {
            vec![self.cancelled(caller)]
        } else {
            vec![]
        }
    }

    /// The creator's device that is not primary: at the first answer, or when the call is over,
    /// unless it heard that the call was called off, or did it itself.
    fn dialling_over(&self, happened: &Happened) -> Option<String> {
        let over = self.after.state == CallState::Ended;
        let answered = came_in(self.after) && !came_in(self.before);
        let own = match happened {
            Happened::Ended { with } => with.as_ref() == Some(self.listener.with),
            Happened::CalledOff { .. } | Happened::CreatorLeft { .. } => true,
            Happened::Moved { who } => who == self.listener.who && self.is_primary(),
            Happened::Asked { .. }
            | Happened::Reached { .. }
            | Happened::Answered { .. }
            | Happened::TimedOut { .. }
            | Happened::Uninvited { .. }
            | Happened::Joined { .. }
            | Happened::Left { .. } => false,
        };
        (self.listener.dialling && !own && (over || answered))
            .then(|| format!("elsewhere accepted {}", self.primary()))
    }

    fn to_members(&self, changed: &[UserId]) -> Vec<String> {
        if self.is_member() {
            vec![self.changed(changed)]
        } else {
            vec![]
        }
    }

    fn changed(&self, users: &[UserId]) -> String {
        let words: Vec<String> = self
            .after
            .members
            .iter()
            .filter(|member| users.contains(&member.user))
            .map(|member| format!("{}={}", member.user, member.state))
            .collect();
        format!("changed {}", words.join(" "))
    }

    fn cancelled(&self, inviter: &UserId) -> String {
        format!("cancelled, invited by {inviter}: {}", self.cancel_data())
    }

    fn cancel_data(&self) -> &str {
        match &self.after.ending {
            Some(ending) if ending.kind == EndKind::Cancelled => &ending.data,
            Some(_) | None => "sorry",
        }
    }

    fn inviter(&self) -> &UserId {
        let me = self.after.member(self.listener.who).expect("an invitee");
        me.inviter.as_ref().expect("an inviter")
    }

    fn primary(&self) -> &str {
        let me = self.after.member(self.listener.who).expect("a member");
        me.primary_device().expect("a primary device").as_str()
    }

    fn is_primary(&self) -> bool {
        self.in_call_here(self.after)
    }

    fn was_primary(&self) -> bool {
        self.in_call_here(self.before)
    }

    fn in_call_here(&self, call: &Call) -> bool {
        call.member(self.listener.who).is_some_and(|me| {
            me.state == UserState::Accepted && me.primary_device() == Some(self.listener.with)
        })
    }

    fn was_pending(&self, who: &UserId) -> bool {
        self.before
            .member(who)
            .is_some_and(|member| member.state.is_pending())
    }

    /// Open to the listener after the change; the answer that completes a general call is heard
    /// all the same.
    fn is_member(&self) -> bool {
        let me = self.after.member(self.listener.who);
        let ending = self.after.ending.as_ref();
        if ending.is_some_and(|ending| ending.kind != EndKind::Completed) {
            return false;
        }
        me.is_some_and(|me| me.state.is_pending()) || self.is_primary()
    }
}

/// Whether anybody but the creator has ever been in the call.
pub fn came_in(call: &Call) -> bool {
    call.members
        .iter()
        .any(|member| member.user != call.caller && member.participation > 0)
}
