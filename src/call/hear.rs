//! What a change of a call's record means to one device of one user.
//!
//! The device holds the record as it was and gets the record as it is now. What lies between may
//! be one change or a week's; what the device hears is the net effect: at most one
//! callUserStateChanged with all that changed while the call was open to this device, then what
//! closes what it showed, then what opens anew. Intermediate states may be skipped; the last never
//! is. It works for a live change and for catching up alike, because a record carries the revision
//! at which each member last changed, and so tells which changes fell into the time in which the
//! call was open here.
//!
//! A user who is pending hears on every device. One who is in the call hears on the primary device
//! only. Everyone else hears nothing: their history is brought up to date silently.

use super::command::CallUser;
use super::event::CallEvent;
use super::record::{Call, Closing, Ending, Member};
use super::value::{DeviceId, EndKind, Millis, UserId, UserState};

/// Who listens.
#[derive(Clone, Debug)]
pub struct Viewer<'a> {
    /// The user.
    pub user: &'a UserId,
    /// Which of their devices.
    pub device: &'a DeviceId,
    /// What this device shows of the call.
    pub shown: &'a Shown,
    /// Whether the change comes as it happens, and not on catching up.
    pub live: bool,
    /// Whether this is the first record since the verdict by which this device came into the call. It
    /// may tell nothing of that any more: since then the call may have moved on.
    pub entered: bool,
    /// The server's clock, as well as this device knows it.
    pub now: Millis,
}

/// What a device shows of a call. Kept by the device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// The number of the last invitation that rang here; 0 when none did. None rings twice.
    pub rung: u32,
    /// Whether that one still rings here.
    pub ringing: bool,
    /// Whether the verdict of an own answer closed it; the record that says so may be yet to come.
    pub answered: bool,
    /// Whether, by the last verdict that says so, this device has left the call; the record that
    /// says so may be yet to come.
    pub left: bool,
    /// Whether this device, not the primary one, heard callInvitationCreated and nothing since.
    pub dialling: bool,
}

/// What a device hears, and what it shows from then on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// In the order in which the app hears them.
    pub events: Vec<CallEvent>,
    /// What the device shows now.
    pub shown: Shown,
}

/// Derives what a device hears of a change.
///
/// `before` is the record as this device holds it, `None` when it holds none; both records are as
/// [`Call::seen_by`] makes them for this user.
pub fn hear(before: Option<&Call>, after: &Call, viewer: &Viewer<'_>) -> Heard {
    let mut heard = Heard {
        events: Vec::new(),
        shown: viewer.shown.clone(),
    };
    let Some(me) = after.member(viewer.user) else {
        return heard;
    };
    let change = Compared {
        before,
        after,
        me,
        viewer,
    };
    heard.events.extend(change.created(&mut heard.shown));
    let ring = change.opens_ring(&heard.shown);
    if !ring {
        heard.events.extend(change.users_changed());
    }
    heard.events.extend(change.ring_closed(&mut heard.shown));
    heard
        .events
        .extend(change.asked_again_in_vain(&heard.shown));
    heard.events.extend(change.moved_away());
    heard.events.extend(change.ended());
    heard.events.extend(change.cancelled_by_us());
    heard.events.extend(change.dialling_over(&mut heard.shown));
    // Last, so that nothing that closes is taken to be about the ring that opens.
    if ring {
        heard.shown.rung = me.invitation;
        heard.shown.ringing = true;
        heard.events.push(received(after, me, viewer.now));
    }
    heard
}

/// callInvitationReceived, for an invitation that is pending.
pub fn received(call: &Call, me: &Member, now: Millis) -> CallEvent {
    CallEvent::Received {
        call_id: call.id.clone(),
        mode: call.mode,
        caller: call.caller.clone(),
        inviter: me.inviter.clone().unwrap_or_else(|| call.caller.clone()),
        extended_data: me.invite_data.clone(),
        timeout: me.timeout_s,
        create_time: call.create_time,
        deadline: me.deadline,
        remaining: me
            .deadline
            .saturating_sub(now)
            .clamp(0, Millis::from(me.timeout_s) * 1_000),
        call_user_list: call.users(),
        over: false,
    }
}

struct Compared<'a> {
    before: Option<&'a Call>,
    after: &'a Call,
    me: &'a Member,
    viewer: &'a Viewer<'a>,
}

impl Compared<'_> {
    fn is_here(&self, device: Option<&DeviceId>) -> bool {
        device == Some(self.viewer.device)
    }

    fn is_creator(&self) -> bool {
        &self.after.caller == self.viewer.user
    }

    /// Whether this device is the primary one now.
    fn primary_here(&self) -> bool {
        self.is_here(self.me.primary_device())
    }

    /// The member's own part in the record before, if the call went on then.
    fn me_before(&self) -> Option<&Member> {
        let before = self.before.filter(|before| before.is_started())?;
        before.member(self.viewer.user)
    }

    /// Whether this device was in the call, as the primary one.
    fn in_call_here_before(&self) -> bool {
        self.me_before()
            .is_some_and(|me| me.state == UserState::Accepted && self.is_here(me.primary_device()))
    }

    /// Whether this device was in the call at some time before the record as it is now.
    fn was_in_call_here(&self) -> bool {
        self.viewer.entered || self.in_call_here_before()
    }

    fn open_here_before(&self) -> bool {
        self.rang_here_before() || self.in_call_here_before()
    }

    /// Whether the user was pending, and this device showed it: once a ring is closed here, by the
    /// device's own timer ahead of the server's word, nothing more is heard of the call. What it
    /// answered itself it does hear of: the verdict was only ahead of the record.
    fn rang_here_before(&self) -> bool {
        let shown = self.viewer.shown;
        let showed = shown.ringing || shown.answered;
        self.me_before()
            .is_some_and(|me| me.state.is_pending() && showed && me.invitation == shown.rung)
    }

    /// Whether that ending is the doing of this very device, which has the verdict instead.
    fn is_ours(&self, ending: &Ending) -> bool {
        ending.by.as_ref() == Some(self.viewer.user) && self.is_here(ending.device.as_ref())
    }

    /// The ending, if it is new to this device.
    fn new_ending(&self) -> Option<&Ending> {
        if self.before.is_some_and(|before| !before.is_started()) {
            return None;
        }
        self.after.ending.as_ref()
    }

    /// Made by this user. Live only: on catching up it is no news, and no more is a call of another
    /// device's that is over already.
    fn created(&self, shown: &mut Shown) -> Option<CallEvent> {
        if self.before.is_some() || !self.viewer.live || !self.is_creator() {
            return None;
        }
        shown.dialling = !self.primary_here();
        if shown.dialling && !self.after.is_started() {
            shown.dialling = false;
            return None;
        }
        Some(CallEvent::Created {
            call_id: self.after.id.clone(),
            mode: self.after.mode,
            caller: self.after.caller.clone(),
            extended_data: self.after.extended_data.clone(),
            timeout: self.after.timeout_s,
            create_time: self.after.create_time,
            call_user_list: self.after.users(),
        })
    }

    fn opens_ring(&self, shown: &Shown) -> bool {
        self.me.state.is_pending()
            && self.after.is_started()
            && self.me.invitation > shown.rung
            && self.viewer.now < self.me.deadline
    }

    fn users_changed(&self) -> Option<CallEvent> {
        let from = self.first_heard()?;
        let others_until = self.others_heard_until();
        let users: Vec<CallUser> = self
            .after
            .members
            .iter()
            .filter(|member| member.state_revision >= from)
            .filter(|member| !self.cancelled_whole(member))
            .filter(|member| {
                if member.user == self.me.user {
                    self.hears_own_state(from)
                } else {
                    member.state_revision < others_until
                }
            })
            .map(Member::as_user)
            .collect();
        if users.is_empty() {
            return None;
        }
        Some(CallEvent::UserStateChanged {
            call_id: self.after.id.clone(),
            call_user_list: users,
        })
    }

    /// The first revision whose change is news here: the next one where the call was open here
    /// before, the one after this device came in where it came in since.
    fn first_heard(&self) -> Option<u64> {
        if self.open_here_before() {
            return self.before.map(|before| before.revision + 1);
        }
        if !self.primary_here() || !self.me.state.is_in_or_left() {
            return None;
        }
        let since = self.me.own.as_ref().map_or(0, |own| own.primary_revision);
        let known = self.before.map_or(0, |before| before.revision);
        // Who comes in hears that they did; who created the call has heard Created.
        let first = if since > 1 { since } else { since + 1 };
        (since > known || self.before.is_none()).then_some(first)
    }

    /// The revision from which on other members' changes are not for this device any more.
    fn others_heard_until(&self) -> u64 {
        match self.me.state {
            UserState::Accepted => {
                let since = self.me.own.as_ref().map_or(0, |own| own.primary_revision);
                match self.me_before() {
                    // Accepted on another device: what came after is for that one.
                    _ if self.primary_here() => u64::MAX,
                    Some(before) if before.state.is_pending() => self.me.state_revision,
                    Some(_) | None => since,
                }
            }
            UserState::Inviting | UserState::NotYetReceived | UserState::Received => u64::MAX,
            UserState::Quit if !self.primary_here() => {
                self.me.own.as_ref().map_or(0, |own| own.primary_revision)
            }
            UserState::Unknown
            | UserState::Rejected
            | UserState::Cancelled
            | UserState::Offline
            | UserState::Timeout
            | UserState::Quit
            | UserState::Ended
            | UserState::BeCancelled => self.me.state_revision,
        }
    }

    /// Own Timeout and Cancelled come as events of their own, own Inviting as Received.
    fn hears_own_state(&self, from: u64) -> bool {
        match self.me.state {
            UserState::Received | UserState::NotYetReceived | UserState::Rejected => true,
            // An accept on whichever device is heard by all that rang; a join by the joining one.
            UserState::Accepted => {
                self.primary_here() || self.me_before().is_some_and(|me| me.state.is_pending())
            }
            UserState::Quit => self.primary_here() && self.me.state_revision >= from,
            // Left on another device and asked again too late to ring: in the call no more.
            UserState::Inviting => self.in_call_here_before(),
            UserState::Unknown
            | UserState::Cancelled
            | UserState::Offline
            | UserState::Timeout
            | UserState::Ended
            | UserState::BeCancelled => false,
        }
    }

    /// Whether that member was cancelled by the cancel of the whole call: each of those hears of
    /// their own, and nobody of the others'.
    fn cancelled_whole(&self, member: &Member) -> bool {
        member.state == UserState::Cancelled
            && self.after.ending.as_ref().is_some_and(|ending| {
                ending.kind == EndKind::Cancelled && ending.revision == member.state_revision
            })
    }

    /// Closes the ring that this device shows, if it is over.
    fn ring_closed(&self, shown: &mut Shown) -> Option<CallEvent> {
        let same = self.me.invitation == shown.rung;
        if !shown.ringing || (same && self.me.state.is_pending() && self.after.is_started()) {
            return None;
        }
        shown.ringing = false;
        if self.me.state == UserState::Accepted && self.primary_here() {
            // Its own accept or join closed it, however the invitation had ended until then.
            return None;
        }
        let closing = self.me.closing(shown.rung);
        let state = closing.map_or(UserState::Unknown, |closing| closing.state);
        match state {
            UserState::Accepted | UserState::Rejected => self.answered_elsewhere(closing),
            UserState::Timeout => Some(self.timeout_event()),
            UserState::Cancelled => Some(self.own_cancelled(shown.rung, same)),
            UserState::Unknown
            | UserState::Inviting
            | UserState::Offline
            | UserState::Received
            | UserState::Quit
            | UserState::Ended
            | UserState::NotYetReceived
            | UserState::BeCancelled => match &self.after.ending {
                Some(ending) if same => Some(self.ended_event(ending)),
                // Longer ago than the record remembers.
                Some(_) | None => Some(self.own_cancelled(shown.rung, false)),
            },
        }
    }

    /// This device was in the call; the user has left it on another one and was asked again, and
    /// that invitation was over before it could ring here. What closes it closes the call here,
    /// unless the verdict of a quit has done that.
    fn asked_again_in_vain(&self, shown: &Shown) -> Option<CallEvent> {
        if !self.was_in_call_here() || shown.left || self.me.invitation <= shown.rung {
            return None;
        }
        match self.me.state {
            UserState::Timeout => Some(self.timeout_event()),
            UserState::Cancelled => Some(self.own_cancelled(self.me.invitation, true)),
            UserState::Inviting | UserState::NotYetReceived | UserState::Received => self
                .after
                .ending
                .as_ref()
                .map(|ending| self.ended_event(ending)),
            UserState::Unknown
            | UserState::Accepted
            | UserState::Rejected
            | UserState::Offline
            | UserState::Quit
            | UserState::Ended
            | UserState::BeCancelled => None,
        }
    }

    fn timeout_event(&self) -> CallEvent {
        CallEvent::Timeout {
            call_id: self.after.id.clone(),
            mode: self.after.mode,
            local: false,
        }
    }

    fn answered_elsewhere(&self, closing: Option<&Closing>) -> Option<CallEvent> {
        let closing = closing.filter(|closing| !self.is_here(closing.device.as_ref()))?;
        Some(CallEvent::HandledElsewhere {
            call_id: self.after.id.clone(),
            state: closing.state,
            device_id: closing
                .device
                .as_ref()
                .map_or_else(String::new, DeviceId::to_string),
        })
    }

    fn own_cancelled(&self, invitation: u32, data_is_known: bool) -> CallEvent {
        // Another invitation may have been made by somebody else.
        let before = self.before.and_then(|call| call.member(self.viewer.user));
        let asked = [Some(self.me), before].into_iter().flatten();
        let inviter = asked
            .filter(|member| member.invitation == invitation)
            .find_map(|member| member.inviter.as_ref())
            .unwrap_or(&self.after.caller);
        let data = if data_is_known {
            self.me.data.clone()
        } else {
            String::new()
        };
        self.cancelled_event(inviter, data)
    }

    fn cancelled_event(&self, inviter: &UserId, extended_data: String) -> CallEvent {
        CallEvent::Cancelled {
            call_id: self.after.id.clone(),
            mode: self.after.mode,
            inviter: inviter.clone(),
            extended_data,
        }
    }

    fn ended_event(&self, ending: &Ending) -> CallEvent {
        CallEvent::Ended {
            call_id: self.after.id.clone(),
            mode: self.after.mode,
            caller: self.after.caller.clone(),
            operated_user_id: ending
                .by
                .as_ref()
                .map_or_else(String::new, UserId::to_string),
            extended_data: ending.data.clone(),
            end_time: ending.time,
        }
    }

    /// The call moved from this device to another one.
    fn moved_away(&self) -> Option<CallEvent> {
        let was_here = self.me.state.is_in_or_left() && self.in_call_here_before();
        let primary = self
            .me
            .primary_device()
            .filter(|device| *device != self.viewer.device)?;
        let moved = self.viewer.entered || (was_here && !self.viewer.shown.left);
        moved.then(|| CallEvent::PrimaryDeviceChanged {
            call_id: self.after.id.clone(),
            device_id: primary.to_string(),
        })
    }

    /// The call that this device was in is over; a ring's end is told by [`Self::ring_closed`].
    fn ended(&self) -> Option<CallEvent> {
        let ending = self.new_ending()?;
        if self.me.state != UserState::Accepted || !self.primary_here() {
            return None;
        }
        match ending.kind {
            EndKind::Ended | EndKind::Abandoned | EndKind::Forgotten | EndKind::Unknown => {
                Some(self.ended_event(ending))
            }
            EndKind::Completed | EndKind::Cancelled => None,
        }
    }

    /// This user took invitations back, on another device, or the server did it for them.
    fn cancelled_by_us(&self) -> Option<CallEvent> {
        let concerned =
            self.in_call_here_before() || (self.viewer.live && self.me_before().is_some());
        let dialled_here = self.before.is_none() && self.primary_here();
        if let Some(ending) = self.new_ending()
            && ending.kind == EndKind::Cancelled
        {
            let hears = self.is_creator()
                && (concerned || dialled_here || self.viewer.shown.dialling)
                && !self.is_ours(ending);
            return hears.then(|| self.cancelled_event(&self.after.caller, ending.data.clone()));
        }
        if !concerned {
            return None;
        }
        let known = self.before.map_or(0, |before| before.revision);
        let member = self.after.members.iter().find(|member| {
            member.state == UserState::Cancelled
                && member.state_revision > known
                && member.changed_by.as_ref() == Some(self.viewer.user)
                && !self.is_here(member.acting_device.as_ref())
        })?;
        Some(self.cancelled_event(self.viewer.user, member.data.clone()))
    }

    /// A device of the creator's that heard Created and is not the primary one learns that there
    /// is nothing to show any more: at the first answer, or when the call is over.
    fn dialling_over(&self, shown: &mut Shown) -> Option<CallEvent> {
        if !shown.dialling {
            return None;
        }
        if self.primary_here() {
            shown.dialling = false;
            return None;
        }
        let ending = self.after.ending.as_ref();
        if ending.is_none() && !self.after.is_answered() {
            return None;
        }
        shown.dialling = false;
        // A whole cancel was told as Cancelled; what this device did itself, by its verdict.
        if ending.is_some_and(|ending| ending.kind == EndKind::Cancelled || self.is_ours(ending)) {
            return None;
        }
        Some(CallEvent::HandledElsewhere {
            call_id: self.after.id.clone(),
            // So it was at that moment, whatever the creator has done since.
            state: UserState::Accepted,
            device_id: self
                .me
                .primary_device()
                .map_or_else(String::new, DeviceId::to_string),
        })
    }
}
