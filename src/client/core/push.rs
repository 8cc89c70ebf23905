//! An invitation that comes by push, ahead of the connection.
//!
//! It makes a partial record, of revision 0, that any word of the server replaces; the same
//! invitation by connection does not ring again, because a ring is known by call and number.

use serde::Deserialize;

use super::{Core, Work};
use crate::call::{
    Call, CallEvent, CallId, CallState, Member, Millis, Mode, Own, UserId, UserState,
};
use crate::client::clock::Now;
use crate::client::event::EventKind;
use crate::error::Error;

/// Most bytes of a push payload.
pub const PUSH_PAYLOAD_BYTES_MAX: usize = 8 * 1024;
/// Kinds of pushes after which nothing rings any more.
const KINDS_THAT_STOP: [&str; 3] = ["cancel", "quit", "end"];

/// What a push did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushTaken {
    /// Whether it rings now because of this push.
    pub ring: bool,
    /// The call that it was about.
    pub call_id: CallId,
}

/// The server's part of a push, as `server::push` writes it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Payload {
    kind: String,
    #[serde(rename = "callID")]
    call_id: String,
    #[serde(default)]
    mode: i16,
    #[serde(default)]
    caller: String,
    #[serde(default)]
    inviter: String,
    #[serde(default)]
    create_time: Millis,
    #[serde(default)]
    timeout: u32,
    #[serde(default)]
    deadline: Millis,
    #[serde(default)]
    invitation: u32,
    #[serde(default)]
    extended_data: String,
}

impl Core {
    /// Takes the payload of a push.
    ///
    /// # Errors
    /// [`crate::Code::InvalidParameter`] for a payload that is not one of this product's.
    pub fn handle_push(&mut self, now: Now, payload: &str) -> Result<PushTaken, Error> {
        if payload.len() > PUSH_PAYLOAD_BYTES_MAX {
            let message = format!(
                "has {} bytes, at most {PUSH_PAYLOAD_BYTES_MAX} are taken",
                payload.len()
            );
            return Err(Error::parameter("payload", message));
        }
        let payload: Payload = serde_json::from_str(payload).map_err(|error| {
            Error::parameter("payload", format!("is not a push of this product: {error}"))
        })?;
        let call_id = CallId::parse("payload.callID", &payload.call_id)?;
        let ring = self.write(now, |work| {
            if KINDS_THAT_STOP.contains(&payload.kind.as_str()) {
                work.stop_ring(&call_id, &payload)?;
                return Ok(false);
            }
            work.ring_by_push(&call_id, &payload)
        })?;
        Ok(PushTaken { ring, call_id })
    }
}

impl Work<'_> {
    fn ring_by_push(&mut self, id: &CallId, payload: &Payload) -> Result<bool, Error> {
        let shown = self.tx.shown(id)?;
        if self.tx.call(id)?.is_some() || shown.rung >= payload.invitation {
            return Ok(false);
        }
        let call = partial_record(id, payload, self.tx.user())?;
        self.replace_record(None, &call, true)?;
        Ok(self.tx.shown(id)?.ringing)
    }

    /// The invitation is over, says a push: the phone stops. What became of it in the end, the
    /// server says.
    fn stop_ring(&mut self, id: &CallId, payload: &Payload) -> Result<(), Error> {
        let shown = self.tx.shown(id)?;
        let Some(stored) = self.tx.call(id)?.filter(|_| shown.ringing) else {
            return Ok(());
        };
        if payload.invitation != 0 && payload.invitation != shown.rung {
            return Ok(());
        }
        let me = stored.call.member(self.tx.user());
        let inviter = me.and_then(|me| me.inviter.clone());
        self.tx.close_ring(id, shown.rung, self.now, "cancelled")?;
        let event = CallEvent::Cancelled {
            call_id: id.clone(),
            mode: stored.call.mode,
            inviter: inviter.unwrap_or(stored.call.caller),
            extended_data: payload.extended_data.clone(),
        };
        self.tell(id, EventKind::Call(event))
    }
}

fn partial_record(id: &CallId, payload: &Payload, user: &UserId) -> Result<Call, Error> {
    let caller = UserId::parse("payload.caller", &payload.caller)?;
    let inviter = UserId::parse("payload.inviter", &payload.inviter)?;
    let mut creator = Member::new(caller.clone());
    creator.state = UserState::Accepted;
    creator.accept_time = payload.create_time;
    creator.participation = 1;
    creator.own = None;
    let mut me = Member::new(user.clone());
    me.inviter = Some(inviter);
    me.invitation = payload.invitation.max(1);
    me.timeout_s = payload.timeout;
    me.deadline = payload.deadline;
    me.invited_at = payload.deadline - Millis::from(payload.timeout) * 1_000;
    me.invite_data.clone_from(&payload.extended_data);
    me.state = UserState::Inviting;
    me.own = Some(Own::default());
    Ok(Call {
        id: id.clone(),
        revision: 0,
        mode: Mode::from_number(payload.mode),
        caller,
        create_time: payload.create_time,
        timeout_s: payload.timeout,
        extended_data: payload.extended_data.clone(),
        not_received_check: false,
        state: CallState::Started,
        ending: None,
        members: vec![creator, me],
    })
}
