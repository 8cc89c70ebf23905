//! What an app hears. As JSON, `{"name": …, "params": …}` with the product's names.

use serde::{Deserialize, Serialize};

use super::command::CallUser;
use super::value::{CallId, Millis, Mode, UserId, UserState};

/// Something that happened to a call, as one device of one user hears it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "name", content = "params", rename_all_fields = "camelCase")]
pub enum CallEvent {
    /// The user made a call, on whichever device.
    #[serde(rename = "callInvitationCreated")]
    Created {
        /// The call.
        #[serde(rename = "callID")]
        call_id: CallId,
        /// General or advanced.
        mode: Mode,
        /// Who made it: the user themselves.
        caller: UserId,
        /// What was given along.
        extended_data: String,
        /// How long it rings, in seconds.
        timeout: u32,
        /// When it was made.
        create_time: Millis,
        /// Everybody in it.
        call_user_list: Vec<CallUser>,
    },
    /// The user is being rung.
    #[serde(rename = "callInvitationReceived")]
    Received {
        /// The call.
        #[serde(rename = "callID")]
        call_id: CallId,
        /// General or advanced.
        mode: Mode,
        /// Who made the call.
        caller: UserId,
        /// Who invited this user.
        inviter: UserId,
        /// What was given along.
        extended_data: String,
        /// How long the invitation lasts on the whole, in seconds.
        timeout: u32,
        /// When the call was made.
        create_time: Millis,
        /// When the invitation is over, on the server's clock.
        deadline: Millis,
        /// How much of it is left when this is told, in milliseconds.
        remaining: Millis,
        /// Everybody in the call.
        call_user_list: Vec<CallUser>,
        /// Set on a replay of the journal when the invitation rings no more.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        over: bool,
    },
    /// An invitation was taken back.
    #[serde(rename = "callInvitationCancelled")]
    Cancelled {
        /// The call.
        #[serde(rename = "callID")]
        call_id: CallId,
        /// General or advanced.
        mode: Mode,
        /// Who had invited.
        inviter: UserId,
        /// What the cancel gave along.
        extended_data: String,
    },
    /// The user's invitation ran out.
    #[serde(rename = "callInvitationTimeout")]
    Timeout {
        /// The call.
        #[serde(rename = "callID")]
        call_id: CallId,
        /// General or advanced.
        mode: Mode,
        /// Set when the device's own timer ended it, ahead of the server's word.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        local: bool,
    },
    /// The call is over.
    #[serde(rename = "callInvitationEnded")]
    Ended {
        /// The call.
        #[serde(rename = "callID")]
        call_id: CallId,
        /// General or advanced.
        mode: Mode,
        /// Who made the call.
        caller: UserId,
        /// Who ended it; empty when the server did.
        #[serde(rename = "operatedUserID")]
        operated_user_id: String,
        /// What the end gave along.
        extended_data: String,
        /// When it ended.
        end_time: Millis,
    },
    /// Members changed.
    #[serde(rename = "callUserStateChanged")]
    UserStateChanged {
        /// The call.
        #[serde(rename = "callID")]
        call_id: CallId,
        /// Those who changed, and nobody else.
        call_user_list: Vec<CallUser>,
    },
    /// Another device of the user's answered, or has the call.
    #[serde(rename = "callHandledElsewhere")]
    HandledElsewhere {
        /// The call.
        #[serde(rename = "callID")]
        call_id: CallId,
        /// What the other device made of it.
        state: UserState,
        /// Which device.
        #[serde(rename = "deviceID")]
        device_id: String,
    },
    /// The call moved from this device to another one of the user's.
    #[serde(rename = "callPrimaryDeviceChanged")]
    PrimaryDeviceChanged {
        /// The call.
        #[serde(rename = "callID")]
        call_id: CallId,
        /// Which device has it now.
        #[serde(rename = "deviceID")]
        device_id: String,
    },
}

impl CallEvent {
    /// The event's name on public surfaces.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Created { .. } => "callInvitationCreated",
            Self::Received { .. } => "callInvitationReceived",
            Self::Cancelled { .. } => "callInvitationCancelled",
            Self::Timeout { .. } => "callInvitationTimeout",
            Self::Ended { .. } => "callInvitationEnded",
            Self::UserStateChanged { .. } => "callUserStateChanged",
            Self::HandledElsewhere { .. } => "callHandledElsewhere",
            Self::PrimaryDeviceChanged { .. } => "callPrimaryDeviceChanged",
        }
    }

    /// The call it is about.
    pub const fn call_id(&self) -> &CallId {
        match self {
            Self::Created { call_id, .. }
            | Self::Received { call_id, .. }
            | Self::Cancelled { call_id, .. }
            | Self::Timeout { call_id, .. }
            | Self::Ended { call_id, .. }
            | Self::UserStateChanged { call_id, .. }
            | Self::HandledElsewhere { call_id, .. }
            | Self::PrimaryDeviceChanged { call_id, .. } => call_id,
        }
    }
}
