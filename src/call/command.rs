//! The eight commands, their results, and what can be said of a command's form alone.

use serde::{Deserialize, Serialize};

use super::limits::{
    INVITEES_MAX, PUSH_BYTES_MAX, PUSH_RESOURCES_ID_BYTES_MAX, TIMEOUT_S_MAX, TIMEOUT_S_MIN,
};
use super::value::{CallId, DeviceId, Millis, Mode, Op, UserId, UserState};
use crate::error::{Code, Error};

/// What a user asks for. The call it is about and who asks stand beside it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// callInvite: make a call and ring.
    Invite {
        /// Whom to ring.
        invitees: Vec<UserId>,
        /// How long to ring, in seconds.
        timeout_s: u32,
        /// General or advanced.
        mode: Mode,
        /// Given along.
        extended_data: String,
        /// Whether to tell when an invitation reaches nobody.
        not_received_check: bool,
        /// What to push to who is not connected.
        push: Option<PushConfig>,
    },
    /// callCancel: take invitations back.
    Cancel {
        /// Whose; empty is the whole call.
        invitees: Vec<Target>,
        /// Given along.
        extended_data: String,
        /// What to push to who is not connected.
        push: Option<PushConfig>,
    },
    /// callAccept.
    Accept {
        /// The number of the invitation that is answered, where the device knows it.
        invitation: Option<u32>,
        /// Given along.
        extended_data: String,
    },
    /// callReject.
    Reject {
        /// The number of the invitation that is answered, where the device knows it.
        invitation: Option<u32>,
        /// Given along.
        extended_data: String,
    },
    /// callingInvite: ring more people in a call that goes on.
    CallingInvite {
        /// Whom to ring.
        invitees: Vec<UserId>,
        /// How long, in seconds; absent: as long as the call's own.
        timeout_s: Option<u32>,
        /// Given along; absent: the call's own.
        extended_data: Option<String>,
        /// What to push to who is not connected.
        push: Option<PushConfig>,
    },
    /// callJoin: come in, or move here.
    Join {
        /// Given along.
        extended_data: String,
    },
    /// callQuit: leave.
    Quit {
        /// What the quit was made under.
        under: Under,
        /// Given along.
        extended_data: String,
        /// What to push to who is not connected.
        push: Option<PushConfig>,
    },
    /// callEnd: end the call for all.
    End {
        /// What the end was made under.
        under: Under,
        /// Given along.
        extended_data: String,
        /// What to push to who is not connected.
        push: Option<PushConfig>,
    },
}

/// Whom a targeted cancel names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// The user.
    pub user: UserId,
    /// The number of the invitation that is meant, where the device knows it.
    pub invitation: Option<u32>,
}

/// The participation and primary device that a quit or end was made under.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Under {
    /// The device knew nothing of the call. Such a command is not fenced; the device sees to it
    /// that it cannot act late.
    Unknown,
    /// The command that had made the primary device primary, as the device knew it.
    Primary(Op),
}

/// What an app wants pushed to invitees who have no connected device. All of it optional.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PushConfig {
    /// Title of the notification.
    pub title: String,
    /// Text of the notification.
    pub content: String,
    /// The app's own data.
    pub payload: String,
    /// Which of the app's push set-ups to use, at most 32 bytes.
    #[serde(rename = "resourcesID")]
    pub resources_id: String,
    /// Groups notifications.
    #[serde(rename = "threadID")]
    pub thread_id: String,
    /// Whether the badge changes.
    pub enable_badge: bool,
    /// By how much.
    pub badge_increment: i32,
    /// Settings of Apple's VoIP push.
    #[serde(rename = "voIPConfig")]
    pub voip_config: Option<VoipConfig>,
}

/// Settings of Apple's VoIP push.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct VoipConfig {
    /// The kind of handle that CallKit shows.
    #[serde(rename = "iOSVoIPHandleType")]
    pub handle_type: i32,
    /// The handle that CallKit shows.
    #[serde(rename = "iOSVoIPHandleValue")]
    pub handle_value: String,
    /// Whether the call has video.
    #[serde(rename = "iOSVoIPHasVideo")]
    pub has_video: bool,
}

/// Which of the commands, without its arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum CommandKind {
    /// callInvite
    #[serde(rename = "callInvite")]
    Invite,
    /// callCancel
    #[serde(rename = "callCancel")]
    Cancel,
    /// callAccept
    #[serde(rename = "callAccept")]
    Accept,
    /// callReject
    #[serde(rename = "callReject")]
    Reject,
    /// callingInvite
    #[serde(rename = "callingInvite")]
    CallingInvite,
    /// callJoin
    #[serde(rename = "callJoin")]
    Join,
    /// callQuit
    #[serde(rename = "callQuit")]
    Quit,
    /// callEnd
    #[serde(rename = "callEnd")]
    End,
}

impl CommandKind {
    /// Every command.
    pub const ALL: &'static [Self] = &[
        Self::Invite,
        Self::Cancel,
        Self::Accept,
        Self::Reject,
        Self::CallingInvite,
        Self::Join,
        Self::Quit,
        Self::End,
    ];

    /// The method's name on public surfaces.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Invite => "callInvite",
            Self::Cancel => "callCancel",
            Self::Accept => "callAccept",
            Self::Reject => "callReject",
            Self::CallingInvite => "callingInvite",
            Self::Join => "callJoin",
            Self::Quit => "callQuit",
            Self::End => "callEnd",
        }
    }

    /// The command of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.name() == name)
    }

    /// Whether an advanced call is needed.
    pub const fn needs_advanced(self) -> bool {
        match self {
            Self::Invite | Self::Cancel | Self::Accept | Self::Reject => false,
            Self::CallingInvite | Self::Join | Self::Quit | Self::End => true,
        }
    }
}

impl Command {
    /// Which of the commands.
    pub const fn kind(&self) -> CommandKind {
        match self {
            Self::Invite { .. } => CommandKind::Invite,
            Self::Cancel { .. } => CommandKind::Cancel,
            Self::Accept { .. } => CommandKind::Accept,
            Self::Reject { .. } => CommandKind::Reject,
            Self::CallingInvite { .. } => CommandKind::CallingInvite,
            Self::Join { .. } => CommandKind::Join,
            Self::Quit { .. } => CommandKind::Quit,
            Self::End { .. } => CommandKind::End,
        }
    }

    /// What to push along with it.
    pub const fn push(&self) -> Option<&PushConfig> {
        match self {
            Self::Invite { push, .. }
            | Self::Cancel { push, .. }
            | Self::CallingInvite { push, .. }
            | Self::Quit { push, .. }
            | Self::End { push, .. } => push.as_ref(),
            Self::Accept { .. } | Self::Reject { .. } | Self::Join { .. } => None,
        }
    }

    /// Judges the form, which no state of a call can change, and names whoever is named twice
    /// once. The first error wins.
    pub fn check_form(&mut self, actor: &UserId, data_bytes_max: usize) -> Result<(), Error> {
        match self {
            Self::Invite {
                invitees,
                timeout_s,
                mode,
                extended_data,
                push,
                ..
            } => {
                check_timeout(*timeout_s)?;
                check_mode(*mode)?;
                check_data(extended_data, data_bytes_max)?;
                check_push(push.as_ref())?;
                check_invitees(invitees, actor)
            }
            Self::CallingInvite {
                invitees,
                timeout_s,
                extended_data,
                push,
            } => {
                check_timeout(timeout_s.unwrap_or(TIMEOUT_S_MIN))?;
                check_data(extended_data.as_deref().unwrap_or_default(), data_bytes_max)?;
                check_push(push.as_ref())?;
                check_invitees(invitees, actor)
            }
            Self::Cancel {
                invitees,
                extended_data,
                push,
            } => {
                check_data(extended_data, data_bytes_max)?;
                check_push(push.as_ref())?;
                check_targets(invitees, actor)
            }
            Self::Quit {
                extended_data,
                push,
                ..
            }
            | Self::End {
                extended_data,
                push,
                ..
            } => {
                check_data(extended_data, data_bytes_max)?;
                check_push(push.as_ref())
            }
            Self::Accept { extended_data, .. }
            | Self::Reject { extended_data, .. }
            | Self::Join { extended_data } => check_data(extended_data, data_bytes_max),
        }
    }

    /// Judges how many are rung at once. Apart from the form because it comes last in the order
    /// of refusals, after the state of the call.
    pub fn check_count(&self) -> Result<(), Error> {
        match self {
            Self::Invite { invitees, .. } | Self::CallingInvite { invitees, .. } => {
                if invitees.len() <= INVITEES_MAX {
                    return Ok(());
                }
                Err(Error::new(
                    Code::TooManyMembers,
                    "invitees",
                    format!(
                        "more than {INVITEES_MAX} invitees; one command rings at most {INVITEES_MAX}"
                    ),
                ))
            }
            Self::Cancel { .. }
            | Self::Accept { .. }
            | Self::Reject { .. }
            | Self::Join { .. }
            | Self::Quit { .. }
            | Self::End { .. } => Ok(()),
        }
    }
}

fn check_timeout(timeout_s: u32) -> Result<(), Error> {
    if (TIMEOUT_S_MIN..=TIMEOUT_S_MAX).contains(&timeout_s) {
        return Ok(());
    }
    Err(Error::parameter(
        "timeout",
        format!("{timeout_s} s is out of range: {TIMEOUT_S_MIN} to {TIMEOUT_S_MAX}"),
    ))
}

fn check_mode(mode: Mode) -> Result<(), Error> {
    match mode {
        Mode::General | Mode::Advanced => Ok(()),
        Mode::Unknown => Err(Error::parameter(
            "mode",
            "is neither 0 (general) nor 1 (advanced)",
        )),
    }
}

fn check_data(data: &str, bytes_max: usize) -> Result<(), Error> {
    if data.len() <= bytes_max {
        return Ok(());
    }
    Err(Error::parameter(
        "extendedData",
        format!("has {} bytes, at most {bytes_max} are allowed", data.len()),
    ))
}

fn check_push(push: Option<&PushConfig>) -> Result<(), Error> {
    let Some(push) = push else { return Ok(()) };
    if push.resources_id.len() > PUSH_RESOURCES_ID_BYTES_MAX {
        return Err(Error::parameter(
            "pushConfig.resourcesID",
            format!(
                "has {} bytes, at most {PUSH_RESOURCES_ID_BYTES_MAX} are allowed",
                push.resources_id.len()
            ),
        ));
    }
    let handle = push
        .voip_config
        .as_ref()
        .map_or(0, |voip| voip.handle_value.len());
    let bytes =
        push.title.len() + push.content.len() + push.payload.len() + push.thread_id.len() + handle;
    if bytes > PUSH_BYTES_MAX {
        return Err(Error::parameter(
            "pushConfig",
            format!("has {bytes} bytes of text, at most {PUSH_BYTES_MAX} are allowed"),
        ));
    }
    Ok(())
}

fn check_invitees(invitees: &mut Vec<UserId>, actor: &UserId) -> Result<(), Error> {
    if invitees.is_empty() {
        return Err(Error::parameter("invitees", "is empty; name whom to ring"));
    }
    let mut once: Vec<UserId> = Vec::with_capacity(INVITEES_MAX);
    for user in invitees.iter() {
        check_user(user, actor)?;
        // One too many is enough for the refusal; which one does not matter.
        if once.len() <= INVITEES_MAX && !once.contains(user) {
            once.push(user.clone());
        }
    }
    *invitees = once;
    Ok(())
}

fn check_targets(targets: &mut Vec<Target>, actor: &UserId) -> Result<(), Error> {
    let mut once: Vec<Target> = Vec::new();
    for target in targets.iter() {
        check_user(&target.user, actor)?;
        if !once.iter().any(|earlier| earlier.user == target.user) {
            once.push(target.clone());
        }
        if once.len() > super::limits::USERS_IN_LIFE_MAX {
            return Err(Error::parameter(
                "invitees",
                "names more users than a call can have",
            ));
        }
    }
    *targets = once;
    Ok(())
}

fn check_user(user: &UserId, actor: &UserId) -> Result<(), Error> {
    UserId::parse("invitees", user.as_str())?;
    if user == actor {
        return Err(Error::parameter("invitees", format!("{actor} is yourself")));
    }
    Ok(())
}

/// What a command that was accepted gives back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// Of callInvite.
    Invited {
        /// How long it rings, in seconds.
        timeout_s: u32,
        /// Who of the invitees was not rung.
        errors: Vec<UserError>,
    },
    /// Of callCancel.
    Cancelled {
        /// Who of those named was not cancelled.
        error_invitees: Vec<UserId>,
    },
    /// Of callAccept.
    Accepted,
    /// Of callReject.
    Rejected,
    /// Of callingInvite.
    CallingInvited {
        /// Who of the invitees was not rung.
        errors: Vec<UserError>,
    },
    /// Of callJoin.
    Joined {
        /// The call's own extendedData.
        extended_data: String,
        /// When the call was created.
        create_time: Millis,
        /// When this device joined.
        join_time: Millis,
        /// Everybody in the call.
        users: Vec<CallUser>,
    },
    /// Of callQuit.
    Quit {
        /// When the call was created.
        create_time: Millis,
        /// When the user had come in.
        accept_time: Millis,
        /// When they left.
        quit_time: Millis,
    },
    /// Of callEnd.
    Ended {
        /// When the call was created.
        create_time: Millis,
        /// When the user had come in.
        accept_time: Millis,
        /// When the call ended.
        end_time: Millis,
    },
}

/// An invitee who was not rung, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserError {
    /// Who.
    pub user: UserId,
    /// Why.
    pub code: Code,
    /// Where they stand in the call; Unknown when they are not in it.
    pub state: UserState,
    /// What they last gave along.
    pub data: String,
}

/// A member as events and lists show them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallUser {
    /// Who.
    #[serde(rename = "userID")]
    pub user_id: UserId,
    /// Where they stand.
    pub state: UserState,
    /// What they last gave along.
    #[serde(rename = "extendedData")]
    pub extended_data: String,
}

/// Who asks, with which device, by which command, about which call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// The user.
    pub user: UserId,
    /// The device.
    pub device: DeviceId,
    /// The identity of the command.
    pub op: Op,
    /// The call.
    pub call: CallId,
}
