//! The frames.

use serde::{Deserialize, Serialize};

use crate::call::{Call, CallId, Command, DeviceId, Millis, Op, Outcome, UserId};
use crate::error::Error;

/// A frame towards the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToServer {
    /// The first frame.
    Hello(Box<Hello>),
    /// Decide this.
    Command(Box<CommandFrame>),
    /// An invitation is on this device's disk.
    Receipt(Receipt),
    /// Still here; also a sample of the clock.
    Ping(Ping),
    /// So far everything is on this device's disk.
    Settled(Settled),
    /// A new token for this connection.
    Renew(Renew),
    /// The user has seen missed calls.
    Seen(Seen),
    /// The user logs out on this device.
    Logout,
}

/// A frame from the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToDevice {
    /// The hello was taken.
    Welcome(Box<Welcome>),
    /// The hello was refused; the connection ends.
    Refused(Refused),
    /// What became of a command.
    Verdict(Box<Verdict>),
    /// Not now: the command, and what follows it, is to be sent again.
    Retry(Retry),
    /// Records that changed.
    Feed(Feed),
    /// The answer to a ping.
    Pong(Pong),
    /// The token runs out soon.
    TokenNotice(TokenNotice),
    /// What became of a new token.
    Renewed(Renewed),
    /// The connection ends.
    Goodbye(Goodbye),
    /// The logout is done.
    LoggedOut,
    /// What is open, ahead of the welcome.
    Preview(Box<Preview>),
}

/// What a build can do that older ones cannot; a set of bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Capabilities(pub u32);

impl Capabilities {
    /// Knows the user state NotYetReceived.
    pub const NOT_YET_RECEIVED: Self = Self(1);
    /// All that this build can do.
    pub const OURS: Self = Self::NOT_YET_RECEIVED;

    /// Whether all of `other` is in this set.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// A place in a user's feed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// Which life of which server counted it; 0 is none.
    pub epoch: u64,
    /// The last entry that is on the device's disk.
    pub seq: u64,
}

/// A device introduces itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The oldest version the device speaks.
    pub version_min: u16,
    /// The newest version the device speaks.
    pub version_max: u16,
    /// The name of the build, for the server's log.
    pub build: String,
    /// What it can do.
    pub capabilities: Capabilities,
    /// Whose device it is.
    pub user: UserId,
    /// Proof of that.
    pub token: Option<String>,
    /// Which device it is.
    pub device: DeviceId,
    /// What the last welcome gave; `None` on the first hello of a device.
    pub welcome_token: Option<String>,
    /// Where the device is in its user's feed.
    pub cursor: Cursor,
    /// The number that its next new command will have.
    pub next_number: u64,
    /// The first number whose verdict is not on its disk: all below are settled.
    pub first_unsettled: u64,
    /// Calls that are open to this device, at most [`super::OPEN_CALLS_MAX`].
    pub open_calls: Vec<CallId>,
    /// The device's own clock, for a first sample; any origin.
    pub sent_at: Millis,
}

/// A command on its way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandFrame {
    /// Counts the commands of the device, from 1, without gaps.
    pub number: u64,
    /// The command's identity.
    pub op: Op,
    /// The call that it is about.
    pub call: CallId,
    /// After this time, on the server's clock, it can mean nothing any more; 0 is never.
    pub not_after: Millis,
    /// What is asked.
    pub command: Command,
}

/// An invitation is on the device's disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The call.
    pub call: CallId,
    /// The number of the invitation.
    pub invitation: u32,
}

/// Still here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ping {
    /// The device's own clock; any origin.
    pub sent_at: Millis,
}

/// What is on the device's disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settled {
    /// Verdicts of all commands up to this number; 0 is none.
    pub number: u64,
    /// The feed up to here.
    pub cursor: Cursor,
}

/// A new token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Renew {
    /// The token.
    pub token: String,
}

/// The user has seen that they missed these calls.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// At most [`super::SEEN_CALLS_MAX`].
    pub calls: Vec<CallId>,
}

/// What the server wants a device to know about its settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// How often the device is to be heard while an answer is awaited, in seconds.
    pub heartbeat_s: u32,
    /// After how long unheard it counts as offline, in seconds.
    pub offline_after_s: u32,
    /// Most bytes of extendedData.
    pub extended_data_bytes_max: u32,
}

/// The hello was taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// The version that both speak from now on.
    pub version: u16,
    /// The server's clock.
    pub server_time: Millis,
    /// What the hello said of the device's clock.
    pub hello_sent_at: Millis,
    /// The epoch in which this server counts its feeds now.
    pub epoch: u64,
    /// Whether the device's cursor is good. If not, the feed starts from nothing: what is not in
    /// it the server does not know any more.
    pub cursor_valid: bool,
    /// The number of the last command of this device that the server has decided.
    pub last_number: u64,
    /// To be kept and shown with the next hello.
    pub welcome_token: String,
    /// The server's settings.
    pub limits: Limits,
}

/// The answer to a hello that came ahead of the end of the handshake, where there is nothing to
/// decide: the first step of catching up, in one frame, from a server that has not yet taken note of
/// the device. The handshake may be somebody's who has recorded it, so the hello itself is still to be
/// answered, with a [`Welcome`] and everything that follows one, this again included.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preview {
    /// The server's clock.
    pub server_time: Millis,
    /// The epoch in which this server counts its feeds now. The device's cursor is good in it.
    pub epoch: u64,
    /// The server's settings.
    pub limits: Limits,
    /// All verdicts that are owed to the device.
    pub verdicts: Vec<Verdict>,
    /// All of [`Lane::Open`], each call as this user may see it now.
    pub calls: Vec<Call>,
}

/// The hello was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// Why. [`crate::error::Code::Dropped`] says that this database is a copy: it takes a new
    /// identity.
    pub error: Error,
}

/// What became of a command. Comes before every record that the command changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// The number of the command.
    pub number: u64,
    /// The command's identity.
    pub op: Op,
    /// What it gave back, or why it was refused.
    pub result: Result<Outcome, Error>,
    /// The record of the call as it is now, if the user may see it.
    pub call: Option<Call>,
}

/// The server cannot decide now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retry {
    /// The number of the command; it and all later ones are to be sent again.
    pub number: u64,
    /// Not before this many milliseconds.
    pub after_ms: u32,
    /// Why.
    pub error: Error,
}

/// Which part of the feed a batch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Lane {
    /// On catching up, first: all that is started or that the device names as open. Moves no
    /// cursor.
    Open,
    /// On catching up, then: all that changed since the cursor, in order.
    History,
    /// As it happens, in order.
    Live,
}

/// A batch of records that changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Feed {
    /// Which part of the feed this is.
    pub lane: Lane,
    /// Where the device is once this batch is on its disk; absent in [`Lane::Open`].
    pub cursor: Option<Cursor>,
    /// Verdicts up to this number were sent before this batch and are to be on disk with it.
    pub settled: u64,
    /// Whether this is the last batch of its lane on catching up.
    pub last: bool,
    /// Each call as this user may see it now.
    pub calls: Vec<Call>,
}

/// The answer to a ping.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pong {
    /// What the ping said.
    pub ping_sent_at: Millis,
    /// The server's clock when the ping came.
    pub received_at: Millis,
    /// The server's clock when this was sent.
    pub sent_at: Millis,
}

/// The token runs out soon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenNotice {
    /// In this many seconds.
    pub seconds: u32,
}

/// What became of a new token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Renewed {
    /// Whether it was taken.
    pub result: Result<(), Error>,
}

/// Why the server ends a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ClosingReason {
    /// The user has too many devices, and this one is connected the longest. It does not come
    /// back by itself.
    KickedOut,
    /// The token ran out.
    TokenExpired,
    /// A newer connection of the same device took over.
    Replaced,
    /// The server goes away; come back.
    ShuttingDown,
    /// The device broke the protocol, or fell too far behind in reading.
    Violation,
}

/// The connection ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Goodbye {
    /// Why.
    pub reason: ClosingReason,
    /// In a sentence.
    pub message: String,
}
