//! The values that a call is made of: identifiers, states, modes.
//!
//! Enumerations have a number (on every public surface that shows numbers) and a word (in the
//! database and in `inspect`). A number that this build does not know becomes `Unknown`: it is
//! kept, never an error, and in `Unknown` nothing is allowed.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::Error;

/// Milliseconds of the server's clock since 1970 in UTC. An absent time is 0.
pub type Millis = i64;

/// Most bytes of a user id.
pub const USER_ID_BYTES_MAX: usize = 32;
/// Most characters of a call id.
pub const CALL_ID_CHARS_MAX: usize = 32;
/// Most bytes of a device id.
pub const DEVICE_ID_BYTES_MAX: usize = 64;

const USER_ID_MARKS: &str = "!#$%&()+-:;<=.>?@[]^_{}|~";

macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Takes text that this build made or that was checked where it came in.
            pub fn trusted(text: impl Into<String>) -> Self {
                Self(text.into())
            }

            /// The identifier as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, out)
            }
        }
    };
}

identifier! {
    /// A user: 1–32 bytes of letters, digits, space and ``!#$%&()+-:;<=.>?@[]^_{}|~``.
    UserId
}
identifier! {
    /// A call: an opaque string of at most 32 characters. Nothing is concluded from what is in it.
    CallId
}
identifier! {
    /// A device (one local database) of a user.
    DeviceId
}
identifier! {
    /// One asking of a command by an app; stays the same however often the command is sent.
    Op
}

impl UserId {
    /// Checks text from outside; the error names the parameter and the value.
    pub fn parse(parameter: &str, text: &str) -> Result<Self, Error> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || c == ' ' || USER_ID_MARKS.contains(c);
        if text.is_empty() || text.len() > USER_ID_BYTES_MAX || !text.chars().all(allowed) {
            return Err(Error::parameter(
                parameter,
                format!(
                    "{:?} is not a user id: 1 to {USER_ID_BYTES_MAX} bytes of letters, digits, space and {USER_ID_MARKS}",
                    told(text)
                ),
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

impl CallId {
    /// Checks text from outside; the error names the parameter and the value.
    pub fn parse(parameter: &str, text: &str) -> Result<Self, Error> {
        if text.is_empty()
            || text.chars().count() > CALL_ID_CHARS_MAX
            || text.chars().any(char::is_control)
        {
            return Err(Error::parameter(
                parameter,
                format!(
                    "{:?} is not a call id: 1 to {CALL_ID_CHARS_MAX} characters, none of them a control character",
                    told(text)
                ),
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

impl DeviceId {
    /// Checks text from outside; the error names the parameter and the value.
    pub fn parse(parameter: &str, text: &str) -> Result<Self, Error> {
        if text.is_empty() || text.len() > DEVICE_ID_BYTES_MAX || text.chars().any(char::is_control)
        {
            return Err(Error::parameter(
                parameter,
                format!(
                    "{:?} is not a device id: 1 to {DEVICE_ID_BYTES_MAX} bytes of plain text",
                    told(text)
                ),
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

/// As much of what was given as an error repeats: it may be as long as a request, and the rest helps nobody.
fn told(text: &str) -> String {
    const TOLD_CHARS_MAX: usize = 64;
    let mut chars = text.chars();
    let mut told: String = chars.by_ref().take(TOLD_CHARS_MAX).collect();
    if chars.next().is_some() {
        told.push('…');
    }
    told
}

macro_rules! enumeration {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $number:literal, $word:literal;)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(into = "i16", from = "i16")]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)+
        }

        impl $name {
            /// Every value, in the order of the declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The number on public surfaces.
            pub const fn number(self) -> i16 {
                match self { $(Self::$variant => $number,)+ }
            }

            /// The word in the database and in `inspect`.
            pub const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }

            /// The value of a number; one that this build does not know is `Unknown`.
            pub const fn from_number(number: i16) -> Self {
                match number { $($number => Self::$variant,)+ _ => Self::Unknown }
            }

            /// The value of a word; one that this build does not know is `Unknown`.
            pub fn from_word(word: &str) -> Self {
                match word { $($word => Self::$variant,)+ _ => Self::Unknown }
            }
        }

        impl From<$name> for i16 {
            fn from(value: $name) -> i16 {
                value.number()
            }
        }

        impl From<i16> for $name {
            fn from(number: i16) -> Self {
                Self::from_number(number)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str(self.word())
            }
        }
    };
}

enumeration! {
    /// Where a user stands in a call.
    ///
    /// ```text
    ///              ┌────────────────────── invited again ───────────────────────┐
    ///              v                                                            │
    /// (invited) Inviting ──> NotYetReceived ──┐                                 │
    ///              │  └────────> Received <───┘   any of the three is "pending" │
    ///              │                │                                           │
    ///              ├─ accept, join ─┴─> Accepted ── quit ──> Quit ──────────────┤
    ///              ├─ reject ─────────> Rejected ───────────────────────────────┤
    ///              ├─ cancel ─────────> Cancelled ──────────────────────────────┤
    ///              └─ deadline ───────> Timeout ────────────────────────────────┘
    ///
    /// callJoin leads to Accepted from anywhere, also from outside the call.
    /// ```
    UserState {
        /// A value of a newer build.
        Unknown = -1, "unknown";
        /// Asked; no device is known to have the invitation.
        Inviting = 0, "inviting";
        /// In the call. The creator is from the start.
        Accepted = 1, "accepted";
        /// Declined.
        Rejected = 2, "rejected";
        /// The invitation was taken back.
        Cancelled = 3, "cancelled";
        /// Reserved; never produced.
        Offline = 4, "offline";
        /// A device has the invitation on its disk.
        Received = 5, "received";
        /// The deadline passed without an answer.
        Timeout = 6, "timeout";
        /// Was in the call and left it.
        Quit = 7, "quit";
        /// Reserved; never produced.
        Ended = 8, "ended";
        /// No device took the invitation within the not-received check.
        NotYetReceived = 9, "not_yet_received";
        /// Reserved; never produced.
        BeCancelled = 10, "be_cancelled";
    }
}

/// What a state means, apart from its name. The one place that a new state has to be added to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// Asked, and on no device's disk that the server knows of.
    Unreceived,
    /// Asked, and on a device's disk.
    Received,
    /// In the call.
    In,
    /// Answered with no.
    Declined,
    /// The invitation is over without an answer.
    Over,
    /// Was in the call.
    Left,
    /// Reserved, or of a newer build: allows nothing.
    Nothing,
}

impl UserState {
    const fn standing(self) -> Standing {
        match self {
            Self::Inviting | Self::NotYetReceived => Standing::Unreceived,
            Self::Received => Standing::Received,
            Self::Accepted => Standing::In,
            Self::Rejected => Standing::Declined,
            Self::Cancelled | Self::Timeout => Standing::Over,
            Self::Quit => Standing::Left,
            Self::Unknown | Self::Offline | Self::Ended | Self::BeCancelled => Standing::Nothing,
        }
    }

    /// Asked, and no device is known to have the invitation.
    pub fn is_unreceived(self) -> bool {
        self.standing() == Standing::Unreceived
    }

    /// Asked, and neither answered nor over.
    pub fn is_pending(self) -> bool {
        self.is_unreceived() || self.standing() == Standing::Received
    }

    /// Pending or in the call: takes one of the places that a call has at a time.
    pub fn takes_place(self) -> bool {
        self.is_pending() || self.standing() == Standing::In
    }

    /// In the call, or was in it and left.
    pub fn is_in_or_left(self) -> bool {
        [Standing::In, Standing::Left].contains(&self.standing())
    }

    /// What an invitation comes to by an answer of its user.
    pub fn is_answer(self) -> bool {
        [Standing::In, Standing::Declined].contains(&self.standing())
    }

    /// What an invitation comes to without an answer of its user.
    pub fn is_unanswered_end(self) -> bool {
        self.standing() == Standing::Over
    }
}

enumeration! {
    /// Whether a call goes on.
    CallState {
        /// A value of a newer build.
        Unknown = -1, "unknown";
        /// It goes on.
        Started = 1, "started";
        /// It is over, and frozen.
        Ended = 2, "ended";
    }
}

enumeration! {
    /// What kind of call it is.
    Mode {
        /// A value of a newer build.
        Unknown = -1, "unknown";
        /// Over as soon as nobody is pending any more.
        General = 0, "general";
        /// Goes on until it is ended; has callingInvite, callJoin, callQuit and callEnd.
        Advanced = 1, "advanced";
    }
}

enumeration! {
    /// What ended a call.
    EndKind {
        /// A value of a newer build.
        Unknown = -1, "unknown";
        /// A general call in which nobody is pending any more.
        Completed = 1, "completed";
        /// A whole cancel, by command or by the server.
        Cancelled = 2, "cancelled";
        /// callEnd.
        Ended = 3, "ended";
        /// The server ended an advanced call that nobody was in, or that all had been gone from.
        Abandoned = 4, "abandoned";
        /// The server does not know the call any more (it was restored from a backup).
        Forgotten = 5, "forgotten";
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_words_lead_back() {
        for state in UserState::ALL {
            assert_eq!(UserState::from_number(state.number()), *state);
            assert_eq!(UserState::from_word(state.word()), *state);
        }
        assert_eq!(UserState::from_number(77), UserState::Unknown);
        assert_eq!(Mode::from_word("brand new"), Mode::Unknown);
    }

    #[test]
    fn an_error_repeats_no_more_of_an_id_than_helps() {
        let long = "x".repeat(300_000);
        let told = [
            UserId::parse("userID", &long).unwrap_err(),
            CallId::parse("callID", &long).unwrap_err(),
            DeviceId::parse("deviceID", &long).unwrap_err(),
        ];
        for error in told {
            assert!(error.message.contains("xxx…"), "{}", error.message);
            assert!(error.message.len() < 300, "{}", error.message);
        }
        let short = UserId::parse("userID", "a/b").unwrap_err();
        assert!(
            short.message.contains("\"a/b\" is not"),
            "{}",
            short.message
        );
    }

    #[test]
    fn user_ids_are_checked() {
        assert!(UserId::parse("userID", "Al ice_{1}~").is_ok());
        for bad in ["", "a'b", "a/b", "a\0b", "a\"b", "ünï", &"x".repeat(33)] {
            assert!(UserId::parse("userID", bad).is_err(), "{bad:?}");
        }
    }
}
