//! The bounds of a call, and those of them that a server may set.

use super::value::Millis;

/// Shortest and longest time an invitation may last, in seconds.
pub const TIMEOUT_S_MIN: u32 = 1;
/// See [`TIMEOUT_S_MIN`].
pub const TIMEOUT_S_MAX: u32 = 600;
/// How long an invitation lasts that does not say, in seconds.
pub const TIMEOUT_S_DEFAULT: u32 = 90;
/// Most invitees of one command.
pub const INVITEES_MAX: usize = 9;
/// Most different users in the life of a call.
pub const USERS_IN_LIFE_MAX: usize = 20;
/// Most members at a time (pending and in the call, creator included), unless set otherwise.
pub const MEMBERS_MAX_DEFAULT: usize = 10;
/// Most bytes of extendedData, unless set otherwise.
pub const EXTENDED_DATA_BYTES_MAX_DEFAULT: usize = 2048;
/// A server may allow so many: with more a command would not fit into a frame.
pub const EXTENDED_DATA_BYTES_BELIEVED: usize = 8 * 1024;
/// Most bytes of all the text of a pushConfig together.
pub const PUSH_BYTES_MAX: usize = 4096;
/// Most bytes of a pushConfig's resourcesID.
pub const PUSH_RESOURCES_ID_BYTES_MAX: usize = 32;

/// What a server may set of the rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Most members at a time.
    pub members_max: usize,
    /// Most bytes of extendedData.
    pub extended_data_bytes_max: usize,
    /// How long an invitation may stay unreceived before it is NotYetReceived.
    pub not_received_after_ms: Millis,
    /// Whether anyone may join a call whose id they know, or only who was a member.
    pub join_by_anyone: bool,
    /// Whether inviting the one person whose own invitation to you is pending is refused.
    pub refuse_glare: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            members_max: MEMBERS_MAX_DEFAULT,
            extended_data_bytes_max: EXTENDED_DATA_BYTES_MAX_DEFAULT,
            not_received_after_ms: 5_000,
            join_by_anyone: true,
            refuse_glare: true,
        }
    }
}
