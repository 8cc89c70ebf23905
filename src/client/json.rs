//! The JSON of the public surfaces: the product's names, enumerations as numbers, times in
//! milliseconds, absent times 0. In the journal, over rpc and in bindings alike.

use serde_json::{Map, Value, json};

use super::event::{CommandSettled, EventKind, SetAside};
use super::store::{CallEntry, PendingCommand, RingEntry};
use crate::call::{CallId, Command, Op, Outcome, UserError};
use crate::error::Error;

/// The fields of an event.
pub fn event_params(kind: &EventKind) -> Value {
    match kind {
        EventKind::Call(event) => match serde_json::to_value(event) {
            Ok(Value::Object(mut tagged)) => tagged.remove("params").unwrap_or_default(),
            Ok(_) | Err(_) => Value::Null,
        },
        EventKind::CommandSettled(CommandSettled {
            op,
            call_id,
            command,
            result,
        }) => settled_params(op, call_id, command.name(), result),
        EventKind::ConnectionStateChanged(change) => json!({
            "state": change.state,
            "event": change.cause,
            "extendedData": change.detail,
        }),
        EventKind::TokenWillExpire { seconds } => json!({ "second": seconds }),
        EventKind::DatabaseSetAside(aside) => json!({
            "path": aside.path.to_string_lossy(),
            "pending": aside.pending,
            "ended": aside.ended,
            "lost": aside.lost,
        }),
    }
}

/// What [`event_params`] wrote of a database that was set aside.
pub fn set_aside(params: &Value) -> SetAside {
    let count = |field| params.get(field).and_then(Value::as_u64).unwrap_or(0);
    let path = params.get("path").and_then(Value::as_str);
    SetAside {
        path: path.unwrap_or_default().into(),
        pending: count("pending"),
        ended: count("ended"),
        lost: count("lost"),
    }
}

/// The fields of commandSettled.
pub fn settled_params(
    op: &Op,
    call: &CallId,
    command: &str,
    result: &Result<Outcome, Error>,
) -> Value {
    let mut params = json!({ "op": op, "callID": call, "command": command });
    if let Some(params) = params.as_object_mut() {
        match result {
            Ok(outcome) => params.insert("result".into(), self::outcome(call, outcome)),
            Err(error) => params.insert("error".into(), self::error(error)),
        };
    }
    params
}

/// What a command gave back.
pub fn outcome(call: &CallId, outcome: &Outcome) -> Value {
    match outcome {
        Outcome::Invited { timeout_s, errors } => json!({
            "callID": call,
            "timeout": timeout_s,
            "errorUserList": error_users(errors),
            // The same users in the older shape.
            "errorInvitees": errors.iter().map(|error| json!({
                "userID": error.user,
                "state": error.state,
                "extendedData": error.data,
            })).collect::<Vec<_>>(),
        }),
        Outcome::Cancelled { error_invitees } => {
            json!({ "callID": call, "errorInvitees": error_invitees })
        }
        Outcome::Accepted | Outcome::Rejected => json!({ "callID": call }),
        Outcome::CallingInvited { errors } => {
            json!({ "callID": call, "errorUserList": error_users(errors) })
        }
        Outcome::Joined {
            extended_data,
            create_time,
            join_time,
            users,
        } => json!({
            "callID": call,
            "extendedData": extended_data,
            "createTime": create_time,
            "joinTime": join_time,
            "callUserList": users,
        }),
        Outcome::Quit {
            create_time,
            accept_time,
            quit_time,
        } => json!({
            "callID": call,
            "createTime": create_time,
            "acceptTime": accept_time,
            "quitTime": quit_time,
        }),
        Outcome::Ended {
            create_time,
            accept_time,
            end_time,
        } => json!({
            "callID": call,
            "createTime": create_time,
            "acceptTime": accept_time,
            "endTime": end_time,
        }),
    }
}

fn error_users(errors: &[UserError]) -> Vec<Value> {
    errors
        .iter()
        .map(|error| json!({ "userID": error.user, "reason": error.code.number() }))
        .collect()
}

/// An error: code, message, and the reason in data.
pub fn error(error: &Error) -> Value {
    let mut data = Map::new();
    data.insert("name".into(), error.code.name().into());
    data.insert("reason".into(), error.reason.clone().into());
    data.insert("retryable".into(), error.retryable().into());
    if let Some(call) = &error.detail.call_id {
        data.insert("callID".into(), call.as_str().into());
    }
    if let Some(state) = error.detail.state {
        data.insert("state".into(), state.number().into());
    }
    if let Some(device) = &error.detail.device_id {
        data.insert("deviceID".into(), device.as_str().into());
    }
    json!({ "code": error.code.number(), "message": error.message, "data": data })
}

/// A call of a history page.
pub fn call(entry: &CallEntry) -> Value {
    let call = &entry.call;
    json!({
        "callID": call.id,
        "caller": call.caller,
        "inviter": entry.inviter,
        "createTime": call.create_time,
        "endTime": call.end_time(),
        "state": call.state,
        "mode": call.mode,
        "extendedData": call.extended_data,
        "callUserList": call.users(),
        "missed": entry.missed,
        "pending": entry.pending.iter().map(pending).collect::<Vec<_>>(),
    })
}

/// A command without a verdict.
pub fn pending(command: &PendingCommand) -> Value {
    json!({
        "op": command.op,
        "callID": command.call_id,
        "command": command.name,
        "params": command.command.as_ref().map_or_else(
            || json!({ "callID": command.call_id }),
            |known| command_params(&command.call_id, known),
        ),
        "queuedAt": command.queued_at,
        "expiresAt": command.expires_at,
        "sent": command.sent,
        "attempts": command.attempts,
        "lastError": command.last_error,
    })
}

/// An invitation that rings.
pub fn ringing(ring: &RingEntry) -> Value {
    json!({
        "callID": ring.call_id,
        "inviter": ring.inviter,
        "caller": ring.caller,
        "mode": ring.mode,
        "extendedData": ring.extended_data,
        "deadline": ring.deadline,
        "remaining": ring.remaining,
    })
}

/// A command's parameters as an app gave them.
fn command_params(call: &CallId, command: &Command) -> Value {
    match command {
        Command::Invite {
            invitees,
            timeout_s,
            mode,
            extended_data,
            not_received_check,
            push,
        } => {
            json!({
                "invitees": invitees,
                "config": {
                    "timeout": timeout_s,
                    "mode": mode,
                    "extendedData": extended_data,
                    "enableNotReceivedCheck": not_received_check,
                    "pushConfig": push,
                },
            })
        }
        Command::Cancel {
            invitees,
            extended_data,
            push,
        } => json!({
            "callID": call,
            "invitees": invitees.iter().map(|target| &target.user).collect::<Vec<_>>(),
            "config": { "extendedData": extended_data, "pushConfig": push },
        }),
        Command::CallingInvite {
            invitees,
            timeout_s,
            extended_data,
            push,
        } => json!({
            "callID": call,
            "invitees": invitees,
            "config": { "timeout": timeout_s, "extendedData": extended_data, "pushConfig": push },
        }),
        Command::Quit {
            extended_data,
            push,
            ..
        }
        | Command::End {
            extended_data,
            push,
            ..
        } => {
            json!({
                "callID": call,
                "config": { "extendedData": extended_data, "pushConfig": push },
            })
        }
        Command::Accept { extended_data, .. }
        | Command::Reject { extended_data, .. }
        | Command::Join { extended_data } => {
            json!({ "callID": call, "config": { "extendedData": extended_data } })
        }
    }
}
