//! What a device hears and says, in short words, so that an assertion shows the order of things.

use offhook::protocol::ToServer;
use offhook::{CallEvent, CallUser, Error, EventKind, UserState};

pub fn of_event(event: &EventKind) -> Option<String> {
    match event {
        EventKind::Call(event) => of_call_event(event),
        EventKind::CommandSettled(settled) => {
            let end = of_result(&settled.result);
            Some(format!("verdict {} {end}", settled.op))
        }
        EventKind::ConnectionStateChanged(change) => {
            Some(format!("connection {:?} {:?}", change.state, change.cause))
        }
        EventKind::TokenWillExpire { seconds } => Some(format!("token {seconds}")),
        EventKind::DatabaseSetAside(_) => Some("set aside".to_owned()),
    }
}

pub fn of_result<T>(result: &Result<T, Error>) -> String {
    match result {
        Ok(_) => "ok".to_owned(),
        Err(error) => format!("{} {}", error.code.name(), error.reason),
    }
}

/// `None` for what only says that an invitation reached somebody, or did not: when that becomes
/// known is no part of most stories. The tests that are about it look at the records.
fn of_call_event(event: &CallEvent) -> Option<String> {
    let call = event.call_id();
    Some(match event {
        CallEvent::Created { .. } => format!("created {call}"),
        CallEvent::Received { over: true, .. } => format!("received {call} over"),
        CallEvent::Received { .. } => format!("received {call}"),
        CallEvent::Cancelled { .. } => format!("cancelled {call}"),
        CallEvent::Timeout { local: true, .. } => format!("timeout {call} local"),
        CallEvent::Timeout { .. } => format!("timeout {call}"),
        CallEvent::Ended {
            operated_user_id, ..
        } => format!("ended {call} {operated_user_id}"),
        CallEvent::UserStateChanged { call_user_list, .. } => {
            let told = |one: &&CallUser| {
                ![UserState::Received, UserState::NotYetReceived].contains(&one.state)
            };
            let users: Vec<String> = call_user_list
                .iter()
                .filter(told)
                .map(|one| format!("{}={}", one.user_id, one.state))
                .collect();
            if users.is_empty() {
                return None;
            }
            format!("changed {call} {}", users.join(","))
        }
        CallEvent::HandledElsewhere {
            state, device_id, ..
        } => format!("elsewhere {call} {state} {device_id}"),
        CallEvent::PrimaryDeviceChanged { device_id, .. } => format!("moved {call} {device_id}"),
    })
}

pub fn of_frame(frame: &ToServer) -> String {
    match frame {
        ToServer::Hello(_) => "hello".to_owned(),
        ToServer::Command(command) => {
            let name = command.command.kind().name();
            format!("command {} {} {name}", command.number, command.op)
        }
        ToServer::Receipt(receipt) => format!("receipt {} {}", receipt.call, receipt.invitation),
        ToServer::Ping(_) => "ping".to_owned(),
        ToServer::Settled(settled) => format!("settled {}", settled.number),
        ToServer::Renew(_) => "renew".to_owned(),
        ToServer::Seen(_) => "seen".to_owned(),
        ToServer::Logout => "logout".to_owned(),
    }
}
