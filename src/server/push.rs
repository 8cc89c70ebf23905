//! Waking devices that are not connected.
//!
//! What goes to a push service is up to a [`PushSink`]; the one here writes a line to the log. In
//! each push is a payload that the app hands to its engine (`handlePush`), which then shows the
//! ring, or stops it, before it is connected. The payload is one JSON object:
//!
//! | field | |
//! |---|---|
//! | `offhook` | 1: the version of this form |
//! | `kind` | `invite`, `cancel`, `quit` or `end` |
//! | `userID` | whom it is for |
//! | `callID`, `caller`, `inviter`, `mode` | which call, as in callInvitationReceived |
//! | `invitation` | the number of the invitation: the same ring by push and by connection is one |
//! | `extendedData` | of the invitation; of the cancel, quit or end where it is one |
//! | `timeout` | how long the invitation lasts on the whole, in seconds |
//! | `createTime`, `deadline` | when the call was made and the invitation is over, server time in ms |
//! | `sentAt`, `remaining` | server time when this was sent, and what then remained, in ms |

use serde_json::{Value, json};

use crate::call::{Call, CallId, Member, Millis, Mode, PushConfig, UserId};

/// The version of the payload's form.
const PAYLOAD_VERSION: u32 = 1;

/// What a push is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PushKind {
    /// The user is rung.
    Invite,
    /// The invitation was taken back.
    Cancel,
    /// Who had invited has left, and that ended it.
    Quit,
    /// The call was ended.
    End,
}

impl PushKind {
    /// The word in the payload.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Invite => "invite",
            Self::Cancel => "cancel",
            Self::Quit => "quit",
            Self::End => "end",
        }
    }
}

/// A push to one user, for all their devices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Push {
    /// Whom to wake.
    pub user: UserId,
    /// What about.
    pub kind: PushKind,
    /// Which call.
    pub call: CallId,
    /// Who made it.
    pub caller: UserId,
    /// Who invited this user.
    pub inviter: UserId,
    /// General or advanced.
    pub mode: Mode,
    /// The number of the invitation.
    pub invitation: u32,
    /// How long it lasts, in seconds.
    pub timeout_s: u32,
    /// When it is over.
    pub deadline: Millis,
    /// When the call was made.
    pub create_time: Millis,
    /// What is given along.
    pub extended_data: String,
    /// What the app wants shown.
    pub config: PushConfig,
    /// When this was made.
    pub sent_at: Millis,
}

impl Push {
    /// A push to that member of that call.
    pub fn new(
        kind: PushKind,
        call: &Call,
        member: &Member,
        config: &PushConfig,
        now: Millis,
    ) -> Self {
        let extended_data = match kind {
            PushKind::Invite => member.invite_data.clone(),
            PushKind::Cancel => member.data.clone(),
            PushKind::Quit | PushKind::End => call
                .ending
                .as_ref()
                .map_or_else(String::new, |ending| ending.data.clone()),
        };
        Self {
            user: member.user.clone(),
            kind,
            call: call.id.clone(),
            caller: call.caller.clone(),
            inviter: member
                .inviter
                .clone()
                .unwrap_or_else(|| call.caller.clone()),
            mode: call.mode,
            invitation: member.invitation,
            timeout_s: member.timeout_s,
            deadline: member.deadline,
            create_time: call.create_time,
            extended_data,
            config: config.clone(),
            sent_at: now,
        }
    }

    /// What the app hands to its engine; see the module.
    pub fn payload(&self) -> Value {
        json!({
            "offhook": PAYLOAD_VERSION,
            "kind": self.kind.word(),
            "userID": self.user,
            "callID": self.call,
            "caller": self.caller,
            "inviter": self.inviter,
            "mode": self.mode,
            "invitation": self.invitation,
            "extendedData": self.extended_data,
            "timeout": self.timeout_s,
            "createTime": self.create_time,
            "deadline": self.deadline,
            "sentAt": self.sent_at,
            "remaining": self.deadline.saturating_sub(self.sent_at).max(0),
        })
    }
}

/// Where pushes go. Called from the thread that decides commands: it must not wait for anything.
pub trait PushSink: Send {
    /// Takes a push; what becomes of it is the sink's affair.
    fn push(&mut self, push: &Push);
}

/// Writes a line to the log for every push and wakes nobody.
#[derive(Clone, Copy, Debug, Default)]
pub struct LogSink;

impl PushSink for LogSink {
    fn push(&mut self, push: &Push) {
        tracing::info!(
            user = %push.user,
            kind = push.kind.word(),
            call = %push.call,
            title = push.config.title,
            payload = %push.payload(),
            "push"
        );
    }
}
