//! What an app shows that knows nothing but verdicts and events: the judge of whether events say
//! enough, and not too much.

use offhook::call::{
    Call, CallEvent, CallState, CommandKind, DeviceId, EndKind, Millis, UserId, UserState,
};

/// The screens that one call can have on one device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Screen {
    pub ringing: bool,
    pub in_call: bool,
    pub dialling: bool,
}

impl Screen {
    fn is_blank(&self) -> bool {
        !self.ringing && !self.in_call && !self.dialling
    }

    /// The verdict of an own command comes before its events.
    pub fn verdict(&mut self, kind: CommandKind) {
        match kind {
            CommandKind::Invite | CommandKind::Accept | CommandKind::Join => {
                *self = Self {
                    in_call: true,
                    ..Self::default()
                };
            }
            CommandKind::Cancel
            | CommandKind::Reject
            | CommandKind::CallingInvite
            | CommandKind::Quit
            | CommandKind::End => {}
        }
    }

    /// An own command that leaves the call or declines it, once its events are heard.
    pub fn left(&mut self, kind: CommandKind, record: &Call) {
        let over = record.state == CallState::Ended;
        match kind {
            CommandKind::Quit | CommandKind::End => *self = Self::default(),
            CommandKind::Reject => self.ringing = false,
            CommandKind::Cancel if over => *self = Self::default(),
            CommandKind::Cancel
            | CommandKind::Invite
            | CommandKind::Accept
            | CommandKind::Join
            | CommandKind::CallingInvite => {}
        }
    }

    /// Takes an event in; an error is one that no app could make sense of.
    pub fn hear(&mut self, event: &CallEvent, who: &UserId, record: &Call) -> Result<(), String> {
        match event {
            CallEvent::Created { .. } => self.dialling = !self.in_call,
            CallEvent::Received { .. } => {
                if self.ringing {
                    return Err("rings while it rings".to_owned());
                }
                self.ringing = true;
                self.in_call = false;
            }
            CallEvent::Cancelled { inviter, .. } if inviter == who => {
                // Own invitations were taken back; the record says whether all of them.
                if record.state == CallState::Ended {
                    *self = Self::default();
                }
            }
            CallEvent::Cancelled { .. } | CallEvent::Timeout { .. } => {
                if !self.ringing && !self.in_call {
                    return Err("closes what is not shown".to_owned());
                }
                self.ringing = false;
                self.in_call = false;
            }
            CallEvent::Ended { .. } => {
                // One who left and was asked again has heard just now that they are being asked.
                let asked = record.member(who).is_some_and(|me| me.state.is_pending());
                if self.is_blank() && !asked {
                    return Err("ends what is not shown".to_owned());
                }
                *self = Self::default();
            }
            CallEvent::HandledElsewhere { .. } => {
                if !self.ringing && !self.dialling {
                    return Err("was handled elsewhere, and not shown here".to_owned());
                }
                self.ringing = false;
                self.dialling = false;
            }
            CallEvent::PrimaryDeviceChanged { .. } => {
                if !self.in_call {
                    return Err("moved away from where it was not".to_owned());
                }
                self.in_call = false;
            }
            CallEvent::UserStateChanged { call_user_list, .. } => {
                if self.is_blank() {
                    return Err("changes what is not shown".to_owned());
                }
                let me = call_user_list.iter().find(|user| &user.user_id == who);
                if me.is_some_and(|me| me.state != UserState::Accepted) {
                    self.in_call = false;
                }
            }
        }
        Ok(())
    }

    /// Whether the screen is what the record says. What a general call that completed goes on as
    /// is not for these events to say.
    pub fn is_true(&self, record: &Call, who: &UserId, with: &DeviceId, now: Millis) -> bool {
        let started = record.state == CallState::Started;
        let completed = record
            .ending
            .as_ref()
            .is_some_and(|ending| ending.kind == EndKind::Completed);
        let member = record.member(who);
        let pending = started && member.is_some_and(|member| member.state.is_pending());
        // Past the deadline it is for the device's own timer to stop.
        let late = member.is_some_and(|member| member.deadline <= now);
        let in_call = started
            && member.is_some_and(|member| {
                member.state == UserState::Accepted && member.primary_device() == Some(with)
            });
        (self.ringing == pending || (pending && late))
            && (self.in_call == in_call || completed)
            && (!self.dialling || (started && !record.is_answered()))
    }
}
