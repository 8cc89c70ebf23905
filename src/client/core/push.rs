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
/// The kind of push that rings.
const KIND_THAT_RINGS: &str = "invite";
/// Kinds of pushes after which nothing rings any more.
const KINDS_THAT_STOP: [&str; 3] = ["cancel", "quit", "end"];

/// Times of a push are before this, in the year 2109: later ones have no place in the order of the
/// list.
const TIME_MAX: Millis = 1 << 42;

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
    #[serde(rename = "userID", default)]
    user_id: String,
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
    sent_at: Millis,
    #[serde(default)]
    extended_data: String,
}

impl Payload {
    fn parse(text: &str, user: &UserId) -> Result<Self, Error> {
        if text.len() > PUSH_PAYLOAD_BYTES_MAX {
            let message = format!(
                "has {} bytes, at most {PUSH_PAYLOAD_BYTES_MAX} are taken",
                text.len()
            );
            return Err(Error::parameter("payload", message));
        }
        let mut payload: Self = serde_json::from_str(text).map_err(|error| {
            Error::parameter("payload", format!("is not a push of this product: {error}"))
        })?;
        if !payload.user_id.is_empty() && payload.user_id != user.as_str() {
            let message = format!("is for {}; this engine is of {user}", payload.user_id);
            return Err(Error::parameter("payload.userID", message));
        }
        let times = [
            ("payload.createTime", payload.create_time),
            ("payload.deadline", payload.deadline),
            ("payload.sentAt", payload.sent_at),
        ];
        for (name, time) in times {
            if !(0..TIME_MAX).contains(&time) {
                return Err(Error::parameter(name, format!("{time} is no time")));
            }
        }
        payload.invitation = payload.invitation.max(1);
        Ok(payload)
    }
}

impl Core {
    /// Takes the payload of a push.
    ///
    /// # Errors
    /// [`crate::Code::InvalidParameter`] for a payload that is not one of this product's.
    pub fn handle_push(&mut self, now: Now, payload: &str) -> Result<PushTaken, Error> {
        let payload = Payload::parse(payload, self.user())?;
        let call_id = CallId::parse("payload.callID", &payload.call_id)?;
        self.learn_time(now, payload.sent_at);
        let ring = self.write(now, |work| match payload.kind.as_str() {
            KIND_THAT_RINGS => work.ring_by_push(&call_id, &payload),
            kind if KINDS_THAT_STOP.contains(&kind) => {
                work.stop_ring(&call_id, &payload).map(|()| false)
            }
            // Of a newer server; whatever it means, it is not to ring.
            _ => Ok(false),
        })?;
        Ok(PushTaken { ring, call_id })
    }

    /// Before the first sample of its clock, the server's time is no earlier than that of a push:
    /// with a wall clock that is behind, a ring would go on past its deadline.
    fn learn_time(&mut self, now: Now, sent_at: Millis) {
        let by = self.clock.pass(sent_at, now);
        self.correct_clock(by);
    }
}

impl Work<'_> {
    fn ring_by_push(&mut self, id: &CallId, payload: &Payload) -> Result<bool, Error> {
        let shown = self.tx.shown(id)?;
        if shown.rung >= payload.invitation {
            return Ok(false);
        }
        let stored = self.tx.call(id)?;
        let is_over = payload.deadline <= self.now;
        let call = match &stored {
            // The server that is connected would have told of it, unless it was put back to before.
            None if is_over
                && (self.heard_all
                    || self
                        .tx
                        .is_invitation_left_behind(payload.create_time, invited_at(payload))?) =>
            {
                return Ok(false);
            }
            None => partial_record(id, payload, self.tx.user())?,
            Some(stored) => match asked_again(&stored.call, payload, self.tx.user())? {
                Some(call) => call,
                None => return Ok(false),
            },
        };
        // The record stays as old as it was, so that the server's own replaces it.
        let epoch = stored.as_ref().map_or(self.epoch, |stored| stored.epoch);
        let epoch = std::mem::replace(&mut self.epoch, epoch);
        // A push wakes for what rings; all else is heard by connection.
        let written = self.replace_record(stored.as_ref(), &call, false);
        self.epoch = epoch;
        written?;
        Ok(self.tx.shown(id)?.ringing)
    }

    /// The invitation is over, says a push: the phone stops. What became of it in the end, the
    /// server says.
    fn stop_ring(&mut self, id: &CallId, payload: &Payload) -> Result<(), Error> {
        let shown = self.tx.shown(id)?;
        if payload.invitation > shown.rung {
            // It overtook the push that rings: that one is not to ring any more.
            self.tx
                .open_ring(id, payload.invitation, self.now, payload.deadline)?;
            return self
                .tx
                .close_ring(id, payload.invitation, self.now, "cancelled");
        }
        let Some(stored) = self.tx.call(id)?.filter(|_| shown.ringing) else {
            return Ok(());
        };
        if payload.invitation != shown.rung {
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
    let mut members = Vec::new();
    // Whoever left the call that they made can be asked to come back.
    if &caller != user {
        let mut creator = Member::new(caller.clone());
        creator.state = UserState::Accepted;
        creator.accept_time = payload.create_time;
        creator.participation = 1;
        creator.own = None;
        members.push(creator);
    }
    let mut me = Member::new(user.clone());
    me.own = Some(Own::default());
    ask(&mut me, inviter, payload);
    members.push(me);
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
        members,
    })
}

/// A call that is known and goes on, with a later invitation of this user; `None` when there is
/// none in it. An earlier one that is still pending here is over: nobody is asked twice at a time.
fn asked_again(call: &Call, payload: &Payload, user: &UserId) -> Result<Option<Call>, Error> {
    let inviter = UserId::parse("payload.inviter", &payload.inviter)?;
    let mut call = call.clone();
    let is_started = call.is_started();
    let me = call
        .member_mut(user)
        .filter(|me| is_started && payload.invitation > me.invitation)
        .filter(|me| me.state != UserState::Accepted);
    let Some(me) = me else {
        return Ok(None);
    };
    ask(me, inviter, payload);
    Ok(Some(call))
}

fn invited_at(payload: &Payload) -> Millis {
    let lasts = Millis::from(payload.timeout) * 1_000;
    payload.deadline.saturating_sub(lasts)
}

fn ask(me: &mut Member, inviter: UserId, payload: &Payload) {
    me.inviter = Some(inviter);
    me.invitation = payload.invitation;
    me.timeout_s = payload.timeout;
    me.deadline = payload.deadline;
    me.invited_at = invited_at(payload);
    me.invite_data.clone_from(&payload.extended_data);
    me.state = UserState::Inviting;
}
