//! The one error type: a stable code, a stable name, a sentence, a reason in data, and whether
//! trying again can help.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::call::{CallId, DeviceId, UserState};

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $retryable:literal;)+) => {
        /// Why something was refused. The number and the name are stable.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(into = "u32", from = "u32")]
        pub enum Code {
            $($(#[$doc])* $name,)+
        }

        impl Code {
            /// Every code, by number.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The number on public surfaces.
            pub const fn number(self) -> u32 {
                match self { $(Self::$name => $number,)+ }
            }

            /// The stable name.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)+ }
            }

            /// Whether the same again may be accepted later.
            pub const fn retryable(self) -> bool {
                match self { $(Self::$name => $retryable,)+ }
            }

            /// The code of a number; one of a newer build is [`Code::Internal`].
            pub const fn from_number(number: u32) -> Self {
                match number { $($number => Self::$name,)+ _ => Self::Internal }
            }
        }

        impl From<Code> for u32 {
            fn from(code: Code) -> u32 {
                code.number()
            }
        }

        impl From<u32> for Code {
            fn from(number: u32) -> Self {
                Self::from_number(number)
            }
        }
    };
}

codes! {
    /// A parameter is malformed, missing, out of range, empty or too long; the reason names it.
    InvalidParameter = 6000001, false;
    /// This client sent too many requests.
    TooManyRequests = 6000004, true;
    /// The server has too much to do.
    ServerOverloaded = 6000005, true;
    /// The connection was lost.
    ConnectionLost = 6000009, true;
    /// The token is not valid.
    TokenInvalid = 6000103, false;
    /// The network failed.
    NetworkError = 6000104, true;
    /// No answer in time.
    NoAnswer = 6000105, true;
    /// The token has expired.
    TokenExpired = 6000106, true;
    /// Nobody is logged in.
    NotLoggedIn = 6000121, true;
    /// Refused in this state; the reason says which.
    WrongState = 6000270, false;
    /// The cancel is refused: there was an answer.
    CancelAnswered = 6000271, false;
    /// Too many invitees, or the call would exceed its members.
    TooManyMembers = 6000272, false;
    /// Only who invited may cancel.
    NotInviter = 6000273, false;
    /// Not an invitee or member of this call.
    NotMember = 6000274, false;
    /// The call id exists already.
    CallExists = 6000275, false;
    /// No such call, or it has ended, or the invitation is over.
    CallOver = 6000276, false;
    /// None of the invitees exists, where the server keeps a register of users.
    NoSuchUser = 6000281, false;
    /// This device is the primary device already.
    AlreadyPrimary = 6000283, false;
    /// The command needs an advanced-mode call.
    NeedsAdvanced = 6000286, false;
    /// The command could no longer mean anything and was not sent, or came too late.
    Expired = 6100001, false;
    /// The invite was cancelled before it was sent.
    Withdrawn = 6100002, false;
    /// What became of the command cannot be known.
    UnknownOutcome = 6100003, false;
    /// This database got a new identity; its unsettled commands were given up.
    Dropped = 6100004, false;
    /// The disk is full.
    DiskFull = 6100011, true;
    /// The database file cannot be written.
    ReadOnly = 6100012, true;
    /// The database file is damaged.
    Corrupt = 6100013, false;
    /// The database file was written by a newer version.
    NewerVersion = 6100014, false;
    /// Another process or engine holds the database file.
    InUse = 6100015, true;
    /// The engine is paused or closed.
    Closed = 6100021, true;
    /// A defect of the engine.
    Internal = 6100022, false;
}

/// A refusal, or a failure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Error {
    /// The stable code.
    pub code: Code,
    /// One sentence: the thing, the value and the way out.
    pub message: String,
    /// The reason within the code, stable: `"inCall"`, `"superseded"`, `"timeout"`, … or the name
    /// of the parameter.
    pub reason: String,
    /// What the reason points at.
    pub detail: Detail,
}

/// What the reason of an [`Error`] points at; mostly empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Detail {
    /// The call that blocks (`inCall`, `glare`).
    pub call_id: Option<CallId>,
    /// The state that refuses (`state`) or that won (`answered`).
    pub state: Option<UserState>,
    /// The device that won (`answered`).
    pub device_id: Option<DeviceId>,
}

impl Error {
    /// An error without details.
    pub fn new(code: Code, reason: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            reason: reason.into(),
            detail: Detail::default(),
        }
    }

    /// [`Code::InvalidParameter`], with the parameter as the reason.
    pub fn parameter(parameter: &str, message: impl fmt::Display) -> Self {
        Self::new(
            Code::InvalidParameter,
            parameter,
            format!("{parameter}: {message}"),
        )
    }

    /// Adds the call that the reason points at.
    pub fn with_call(mut self, call: CallId) -> Self {
        self.detail.call_id = Some(call);
        self
    }

    /// Adds the state that the reason points at.
    pub fn with_state(mut self, state: UserState) -> Self {
        self.detail.state = Some(state);
        self
    }

    /// Adds the device that the reason points at.
    pub fn with_device(mut self, device: Option<DeviceId>) -> Self {
        self.detail.device_id = device;
        self
    }

    /// Whether the same again may be accepted later.
    pub fn retryable(&self) -> bool {
        self.code.retryable()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "{} {}: {}",
            self.code.number(),
            self.code.name(),
            self.message
        )
    }
}

impl std::error::Error for Error {}
