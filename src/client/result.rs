//! What commands give back, once the server has decided.

use std::future::{Future, IntoFuture};
use std::pin::Pin;

use tokio::sync::oneshot;

use crate::call::{CallId, CallUser, Millis, Op, Outcome, UserError, UserId};
use crate::error::{Code, Error};

/// A command that is on disk. Awaited, it gives the server's verdict; dropped, it loses nothing:
/// the verdict then comes as [`crate::EventKind::CommandSettled`].
#[derive(Debug)]
pub struct CommandHandle<T> {
    op: Op,
    call_id: CallId,
    verdict: oneshot::Receiver<Result<Outcome, Error>>,
    shape: fn(CallId, Outcome) -> Option<T>,
}

impl<T> CommandHandle<T> {
    pub(super) fn new(
        op: Op,
        call_id: CallId,
        verdict: oneshot::Receiver<Result<Outcome, Error>>,
        shape: fn(CallId, Outcome) -> Option<T>,
    ) -> Self {
        Self {
            op,
            call_id,
            verdict,
            shape,
        }
    }

    /// The call that it is about; of callInvite the one that it makes.
    pub fn call_id(&self) -> &CallId {
        &self.call_id
    }

    /// The command's identity.
    pub fn op(&self) -> &Op {
        &self.op
    }
}

impl<T: Send + 'static> IntoFuture for CommandHandle<T> {
    type Output = Result<T, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let closed = |_| {
                Error::new(
                    Code::Closed,
                    "closed",
                    "the engine was closed; the verdict will be in the journal",
                )
            };
            let outcome = self.verdict.await.map_err(closed)??;
            (self.shape)(self.call_id, outcome).ok_or_else(|| {
                Error::new(
                    Code::Internal,
                    "verdict",
                    "the verdict is that of another command",
                )
            })
        })
    }
}

/// Of callInvite.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invited {
    /// The call.
    pub call_id: CallId,
    /// How long it rings, in seconds.
    pub timeout_s: u32,
    /// Who of the invitees was not rung, and why.
    pub errors: Vec<UserError>,
}

/// Of callCancel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cancelled {
    /// The call.
    pub call_id: CallId,
    /// Who of those named was not cancelled.
    pub error_invitees: Vec<UserId>,
}

/// Of callAccept and callReject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// The call.
    pub call_id: CallId,
}

/// Of callingInvite.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallingInvited {
    /// The call.
    pub call_id: CallId,
    /// Who of the invitees was not rung, and why.
    pub errors: Vec<UserError>,
}

/// Of callJoin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joined {
    /// The call.
    pub call_id: CallId,
    /// The call's own extendedData.
    pub extended_data: String,
    /// When the call was created.
    pub create_time: Millis,
    /// When this device joined.
    pub join_time: Millis,
    /// Everybody in the call.
    pub users: Vec<CallUser>,
}

/// Of callQuit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HasQuit {
    /// The call.
    pub call_id: CallId,
    /// When the call was created.
    pub create_time: Millis,
    /// When the user had come in.
    pub accept_time: Millis,
    /// When they left.
    pub quit_time: Millis,
}

/// Of callEnd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HasEnded {
    /// The call.
    pub call_id: CallId,
    /// When the call was created.
    pub create_time: Millis,
    /// When the user had come in.
    pub accept_time: Millis,
    /// When the call ended.
    pub end_time: Millis,
}

macro_rules! shapes {
    ($($name:ident: $result:ty, $pattern:pat => $value:expr, $call:ident;)+) => {
        $(pub(super) fn $name($call: CallId, outcome: Outcome) -> Option<$result> {
            if let $pattern = outcome { Some($value) } else { None }
        })+
    };
}

shapes! {
    invited: Invited, Outcome::Invited { timeout_s, errors } =>
        Invited { call_id, timeout_s, errors }, call_id;
    cancelled: Cancelled, Outcome::Cancelled { error_invitees } =>
        Cancelled { call_id, error_invitees }, call_id;
    answered: Answered, Outcome::Accepted | Outcome::Rejected => Answered { call_id }, call_id;
    calling_invited: CallingInvited, Outcome::CallingInvited { errors } =>
        CallingInvited { call_id, errors }, call_id;
    joined: Joined, Outcome::Joined { extended_data, create_time, join_time, users } =>
        Joined { call_id, extended_data, create_time, join_time, users }, call_id;
    has_quit: HasQuit, Outcome::Quit { create_time, accept_time, quit_time } =>
        HasQuit { call_id, create_time, accept_time, quit_time }, call_id;
    has_ended: HasEnded, Outcome::Ended { create_time, accept_time, end_time } =>
        HasEnded { call_id, create_time, accept_time, end_time }, call_id;
}
