//! The record of a call: all that the server knows of it, and all that a device gets.
//!
//! Everything that a device ever tells its app is derived by comparing two of these records, so a
//! record carries the numbers that make two situations tell apart which look the same: the number
//! of an invitation, the number of a participation, and the revision at which each member's state
//! last changed.

use serde::{Deserialize, Serialize};

use super::value::{CallId, CallState, DeviceId, EndKind, Millis, Mode, Op, UserId, UserState};

/// How many of a user's closed invitations in one call the record remembers.
pub const CLOSINGS_KEPT: usize = 8;

/// A call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// Which call.
    pub id: CallId,
    /// Counts the changes of this call, from 1.
    pub revision: u64,
    /// General or advanced.
    pub mode: Mode,
    /// Who created it.
    pub caller: UserId,
    /// When it was created.
    pub create_time: Millis,
    /// How long an invitation lasts unless it says otherwise, in seconds.
    pub timeout_s: u32,
    /// What the creator gave along.
    pub extended_data: String,
    /// Whether invitations that reach nobody become NotYetReceived.
    pub not_received_check: bool,
    /// Started or ended.
    pub state: CallState,
    /// How it ended; present exactly when it has.
    pub ending: Option<Ending>,
    /// The creator first, then in the order in which they came in. Never empty.
    pub members: Vec<Member>,
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ending {
    /// What ended it.
    pub kind: EndKind,
    /// When.
    pub time: Millis,
    /// The revision at which it ended.
    pub revision: u64,
    /// Who ended it; `None` is the server.
    pub by: Option<UserId>,
    /// With which device; shown to that user only.
    pub device: Option<DeviceId>,
    /// What was given along.
    pub data: String,
}

/// A user in a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Who.
    pub user: UserId,
    /// Who invited them last; `None` for the creator and for who joined from outside.
    pub inviter: Option<UserId>,
    /// The number of their last invitation in this call, from 1; 0 when never invited.
    pub invitation: u32,
    /// When that invitation was made.
    pub invited_at: Millis,
    /// How long it lasts, in seconds.
    pub timeout_s: u32,
    /// When it is over.
    pub deadline: Millis,
    /// When the not-received check is due; 0 when there is none or it is done. Known to the
    /// server only.
    pub check_at: Millis,
    /// What the invitation gave along.
    pub invite_data: String,
    /// Where they stand.
    pub state: UserState,
    /// The revision of the call at which that state came about.
    pub state_revision: u64,
    /// When it came about.
    pub state_time: Millis,
    /// What their last accept, reject, join or quit gave along, or the cancel of their invitation.
    pub data: String,
    /// Whose doing that state is; `None` is the server or the passing of time.
    pub changed_by: Option<UserId>,
    /// The device it was done with; shown to the user who did it only.
    pub acting_device: Option<DeviceId>,
    /// When they last came into the call; the creator's is the call's create time.
    pub accept_time: Millis,
    /// When they last came in by callJoin.
    pub join_time: Millis,
    /// When they last quit.
    pub quit_time: Millis,
    /// The number of their last participation, from 1; 0 when they never were in the call.
    pub participation: u32,
    /// What only the user themselves may see; `None` in records made for others.
    pub own: Option<Own>,
}

/// What a member's own devices need to know, and nobody else.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Own {
    /// The device that last invited, accepted or joined.
    pub primary_device: Option<DeviceId>,
    /// The command that made it the primary device. Names the participation and the device at
    /// once, so a quit or end says with it under what it was made.
    pub primary_op: Option<Op>,
    /// The revision of the call at which it became the primary device.
    pub primary_revision: u64,
    /// Whether the user has seen that they missed this call.
    pub seen: bool,
    /// How the user's last invitations in this call ended, oldest first, at most
    /// [`CLOSINGS_KEPT`].
    pub closings: Vec<Closing>,
}

/// How an invitation ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closing {
    /// The number of the invitation.
    pub invitation: u32,
    /// Accepted, Rejected, Cancelled or Timeout.
    pub state: UserState,
    /// The device that answered; `None` when none did.
    pub device: Option<DeviceId>,
}

impl Call {
    /// The member of that name.
    pub fn member(&self, user: &UserId) -> Option<&Member> {
        self.members.iter().find(|member| &member.user == user)
    }

    pub(crate) fn member_mut(&mut self, user: &UserId) -> Option<&mut Member> {
        self.members.iter_mut().find(|member| &member.user == user)
    }

    /// Whether the call goes on.
    pub fn is_started(&self) -> bool {
        match self.state {
            CallState::Started => true,
            CallState::Ended | CallState::Unknown => false,
        }
    }

    /// Whether somebody besides the creator has ever been in the call.
    pub fn is_answered(&self) -> bool {
        self.members
            .iter()
            .any(|member| member.user != self.caller && member.participation > 0)
    }

    /// When it ended; 0 while it goes on.
    pub fn end_time(&self) -> Millis {
        self.ending.as_ref().map_or(0, |ending| ending.time)
    }

    /// Whether the call goes on and the user is pending or in it.
    pub fn is_open_to(&self, user: &UserId) -> bool {
        self.is_started()
            && self
                .member(user)
                .is_some_and(|member| member.state.takes_place())
    }

    /// Whether the user was invited, the invitation is over, and no device of theirs answered it.
    pub fn is_missed_by(&self, user: &UserId) -> bool {
        let Some(member) = self.member(user) else {
            return false;
        };
        if member.invitation == 0 {
            return false;
        }
        let over_pending = member.state.is_pending() && !self.is_started();
        member.state.is_unanswered_end() || over_pending
    }

    /// The record as that user may see it: their own part and what they did with which device,
    /// but nobody else's devices, and nothing that is the server's alone.
    pub fn seen_by(&self, user: &UserId) -> Call {
        let mut seen = self.clone();
        if let Some(ending) = &mut seen.ending
            && ending.by.as_ref() != Some(user)
        {
            ending.device = None;
        }
        for member in &mut seen.members {
            member.check_at = 0;
            if &member.user != user {
                member.own = None;
            }
            if member.changed_by.as_ref() != Some(user) {
                member.acting_device = None;
            }
        }
        seen
    }
}

impl Member {
    /// A member before anything happened to them.
    pub(crate) fn new(user: UserId) -> Self {
        Self {
            user,
            inviter: None,
            invitation: 0,
            invited_at: 0,
            timeout_s: 0,
            deadline: 0,
            check_at: 0,
            invite_data: String::new(),
            state: UserState::Unknown,
            state_revision: 0,
            state_time: 0,
            data: String::new(),
            changed_by: None,
            acting_device: None,
            accept_time: 0,
            join_time: 0,
            quit_time: 0,
            participation: 0,
            own: Some(Own::default()),
        }
    }

    /// The device of this member's own that is primary, where the record shows it.
    pub fn primary_device(&self) -> Option<&DeviceId> {
        self.own
            .as_ref()
            .and_then(|own| own.primary_device.as_ref())
    }

    /// How that invitation of theirs ended, where the record shows it.
    pub fn closing(&self, invitation: u32) -> Option<&Closing> {
        let own = self.own.as_ref()?;
        own.closings
            .iter()
            .find(|closing| closing.invitation == invitation)
    }
}
