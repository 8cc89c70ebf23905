//! What an engine tells its app besides the calls themselves.

use std::path::PathBuf;

use serde::Serialize;
use serde_json::Value;

use super::json;
use crate::call::{CallEvent, CallId, CommandKind, Op, Outcome};
use crate::error::Error;

/// The name of [`EventKind::DatabaseSetAside`], by which it is found in the journal, too.
pub(super) const DATABASE_SET_ASIDE: &str = "databaseSetAside";

/// Something an app hears.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Where it stands in the journal: strictly increasing, never used again. `None` for what is
    /// not journaled ([`EventKind::ConnectionStateChanged`], [`EventKind::TokenWillExpire`]).
    pub position: Option<u64>,
    /// What happened.
    pub kind: EventKind,
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum EventKind {
    /// Something about a call.
    Call(CallEvent),
    /// A command that nobody waited for has its verdict.
    CommandSettled(CommandSettled),
    /// The connection to the server changed.
    ConnectionStateChanged(ConnectionChange),
    /// The token runs out in this many seconds; renew it.
    TokenWillExpire {
        /// In this many seconds.
        seconds: u32,
    },
    /// The database was damaged and set aside, and another one begun in its place: this device is
    /// another one since, and its calls come back from the server.
    DatabaseSetAside(SetAside),
}

/// What became of a damaged database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetAside {
    /// Where it is now.
    pub path: PathBuf,
    /// Commands that were never sent and go on waiting.
    pub pending: u64,
    /// Commands that had been sent, of which nobody can know what became. The verdict of each,
    /// [`crate::Code::UnknownOutcome`], follows.
    pub ended: u64,
    /// Commands that were found without a verdict and could not be taken over: damaged, or only
    /// for a newer build. What was in pages that cannot be read at all is not counted.
    pub lost: u64,
}

/// The verdict of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandSettled {
    /// The command's identity.
    pub op: Op,
    /// The call it was about.
    pub call_id: CallId,
    /// Which of the commands.
    pub command: CommandKind,
    /// What it gave back, or why it was refused.
    pub result: Result<Outcome, Error>,
}

/// Whether there is a connection, as numbers of the public surfaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(into = "i16")]
pub enum ConnectionState {
    /// There is none, and none is tried for.
    Disconnected,
    /// The first is being made.
    Connecting,
    /// The server has taken the login.
    Connected,
    /// There was one, and the next is being made.
    Reconnecting,
}

/// Why the connection state changed, as numbers of the public surfaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(into = "i16")]
pub enum ConnectionCause {
    /// It went as it should.
    Success,
    /// The app asked for it.
    ActiveLogin,
    /// The server could not be reached in time.
    LoginTimeout,
    /// The connection broke.
    LoginInterrupted,
    /// The user has too many devices; this one does not come back by itself.
    KickedOut,
    /// The token ran out or is not valid.
    TokenExpired,
}

impl From<ConnectionState> for i16 {
    fn from(state: ConnectionState) -> i16 {
        match state {
            ConnectionState::Disconnected => 0,
            ConnectionState::Connecting => 1,
            ConnectionState::Connected => 2,
            ConnectionState::Reconnecting => 3,
        }
    }
}

impl From<ConnectionCause> for i16 {
    fn from(cause: ConnectionCause) -> i16 {
        match cause {
            ConnectionCause::Success => 0,
            ConnectionCause::ActiveLogin => 1,
            ConnectionCause::LoginTimeout => 2,
            ConnectionCause::LoginInterrupted => 3,
            ConnectionCause::KickedOut => 4,
            ConnectionCause::TokenExpired => 5,
        }
    }
}

/// A change of the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionChange {
    /// What it is now.
    pub state: ConnectionState,
    /// Why.
    pub cause: ConnectionCause,
    /// The reason in words; empty when all is well.
    pub detail: String,
}

impl EventKind {
    /// The event's name on public surfaces.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Call(event) => event.name(),
            Self::CommandSettled(_) => "commandSettled",
            Self::ConnectionStateChanged(_) => "connectionStateChanged",
            Self::TokenWillExpire { .. } => "tokenWillExpire",
            Self::DatabaseSetAside(_) => DATABASE_SET_ASIDE,
        }
    }
}

impl Event {
    /// The event's name on public surfaces.
    pub const fn name(&self) -> &'static str {
        self.kind.name()
    }

    /// Its fields as JSON, with the product's names.
    pub fn params(&self) -> Value {
        json::event_params(&self.kind)
    }
}
