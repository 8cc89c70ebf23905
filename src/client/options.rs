//! What may be given along with commands.

use crate::call::limits::TIMEOUT_S_DEFAULT;
use crate::call::{Mode, PushConfig};

/// What may be given along with [`crate::Engine::call_invite`].
#[derive(Clone, Debug)]
pub struct InviteOptions {
    /// How long to ring, 1–600 s; 90 unless set.
    pub timeout_s: u32,
    /// General unless set.
    pub mode: Mode,
    /// For the invitees' apps, at most 2,048 bytes.
    pub extended_data: String,
    /// Whether to tell when an invitation reaches nobody.
    pub enable_not_received_check: bool,
    /// What to push to invitees without a connected device.
    pub push: Option<PushConfig>,
    /// How long to wait for a connection, in seconds; 0: not at all. As configured unless set.
    pub wait_s: Option<u32>,
}

impl Default for InviteOptions {
    fn default() -> Self {
        Self {
            timeout_s: TIMEOUT_S_DEFAULT,
            mode: Mode::General,
            extended_data: String::new(),
            enable_not_received_check: false,
            push: None,
            wait_s: None,
        }
    }
}

/// What may be given along with [`crate::Engine::calling_invite`].
#[derive(Clone, Debug, Default)]
pub struct CallingInviteOptions {
    /// How long to ring, 1–600 s; as long as the call's own unless set.
    pub timeout_s: Option<u32>,
    /// For the invitees' apps; the call's own unless set.
    pub extended_data: Option<String>,
    /// What to push to invitees without a connected device.
    pub push: Option<PushConfig>,
    /// How long to wait for a connection, in seconds; 0: not at all. As configured unless set.
    pub wait_s: Option<u32>,
}

/// What may be given along with the other commands.
#[derive(Clone, Debug, Default)]
pub struct CommandOptions {
    /// For the other members' apps, at most 2,048 bytes.
    pub extended_data: String,
    /// What to push to who is not connected; of cancel, quit and end.
    pub push: Option<PushConfig>,
}
