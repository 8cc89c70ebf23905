//! What comes out of a core, in short words, so that an assertion shows the order of things.

use crate::call::{CallEvent, CallId};
use crate::client::core::TokenWanted;
use crate::client::event::EventKind;
use crate::client::transport::LinkCommand;
use crate::error::Error;
use crate::protocol::{CommandFrame, ToServer};

pub fn words_of_link(command: &LinkCommand) -> String {
    match command {
        LinkCommand::Connect { .. } => "connect".into(),
        LinkCommand::Send { .. } => "send".into(),
        LinkCommand::Close { .. } => "close".into(),
        LinkCommand::SetNetwork(on) => format!("network {on}"),
        LinkCommand::NetworkChanged => "network changed".into(),
        LinkCommand::Shutdown => "shutdown".into(),
    }
}

pub fn words_of_frame(frame: &ToServer) -> String {
    match frame {
        ToServer::Hello(_) => "hello".into(),
        ToServer::Command(command) => {
            let CommandFrame {
                number,
                op,
                command,
                ..
            } = command.as_ref();
            format!("command {number} {op} {}", command.kind().name())
        }
        ToServer::Receipt(receipt) => format!("receipt {} {}", receipt.call, receipt.invitation),
        ToServer::Ping(_) => "ping".into(),
        ToServer::Settled(settled) => format!("settled {}", settled.number),
        ToServer::Renew(renew) => format!("renew {}", renew.token),
        ToServer::Seen(seen) => {
            let calls: Vec<&str> = seen.calls.iter().map(CallId::as_str).collect();
            format!("seen {}", calls.join(","))
        }
        ToServer::Logout => "logout".into(),
    }
}

pub fn words_of_end<T>(result: &Result<T, Error>) -> String {
    match result {
        Ok(_) => "ok".into(),
        Err(error) => format!("{} {}", error.code.name(), error.reason),
    }
}

pub fn words_of_event(event: &EventKind) -> String {
    match event {
        EventKind::Call(event) => words_of_call_event(event),
        EventKind::CommandSettled(settled) => {
            format!("verdict {} {}", settled.op, words_of_end(&settled.result))
        }
        EventKind::ConnectionStateChanged(change) => {
            format!("connection {:?} {:?}", change.state, change.cause)
        }
        EventKind::TokenWillExpire { seconds } => format!("token {seconds}"),
        EventKind::DatabaseSetAside(_) => "set aside".into(),
    }
}

fn words_of_call_event(event: &CallEvent) -> String {
    let call = event.call_id();
    match event {
        CallEvent::Created { .. } => format!("created {call}"),
        CallEvent::Received { over, .. } if *over => format!("received {call} over"),
        CallEvent::Received { .. } => format!("received {call}"),
        CallEvent::Cancelled { .. } => format!("cancelled {call}"),
        CallEvent::Timeout { local: true, .. } => format!("timeout {call} local"),
        CallEvent::Timeout { local: false, .. } => format!("timeout {call}"),
        CallEvent::Ended {
            operated_user_id, ..
        } => format!("ended {call} {operated_user_id}"),
        CallEvent::UserStateChanged { call_user_list, .. } => {
            let users: Vec<String> = call_user_list
                .iter()
                .map(|one| format!("{}={}", one.user_id, one.state))
                .collect();
            format!("changed {call} {}", users.join(","))
        }
        CallEvent::HandledElsewhere {
            state, device_id, ..
        } => format!("elsewhere {call} {state} {device_id}"),
        CallEvent::PrimaryDeviceChanged { device_id, .. } => format!("moved {call} {device_id}"),
    }
}

pub fn words_of_want(request: u64, why: &TokenWanted) -> String {
    match why {
        TokenWanted::Missing => format!("request {request} missing"),
        TokenWanted::WillExpire { seconds } => format!("request {request} expires in {seconds}"),
        TokenWanted::Expired { .. } => format!("request {request} expired"),
        TokenWanted::Refused { .. } => format!("request {request} refused"),
    }
}
