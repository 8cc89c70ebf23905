//! A run as lines for people: when, who, what. Two runs of one scenario have the same lines.

use std::fmt::Write;

use offhook::call::{Call, CallEvent, Command, Outcome};
use offhook::client::event::EventKind;
use offhook::protocol::{ToDevice, ToServer};
use offhook::{Code, Error};

use super::disk::FILE;
use super::observe::{
    Answer, Change, Entry, LastOfHandset, OfHandset, OfNetwork, OfServer, Record, Stored, What,
};

/// All of it.
pub fn lines(record: &Record) -> Vec<String> {
    let line = |entry: &Entry| {
        let (who, what) = told(record, &entry.what);
        let (s, ms) = (entry.at / 1_000, entry.at % 1_000);
        without_numbers_of_disks(&format!("{s:>4}.{ms:03} {who:<7} {what}"))
    };
    record.log.iter().map(line).collect()
}

/// How everything stood at the end.
pub fn last_lines(record: &Record) -> Vec<String> {
    let mut lines: Vec<String> = record.last.handsets.iter().map(last_of_handset).collect();
    let calls: Vec<String> = record.last.server.calls.values().map(of_call).collect();
    lines.push(format!(
        "   end   server  at {}: {}",
        record.last.server.server_ms,
        calls.join(" ")
    ));
    lines
}

fn last_of_handset(last: &LastOfHandset) -> String {
    let calls: Vec<String> = last
        .calls
        .iter()
        .map(|entry| of_call(&entry.call))
        .collect();
    let ringing: Vec<&str> = last
        .ringing
        .iter()
        .map(|one| one.call_id.as_str())
        .collect();
    let pending: Vec<String> = last
        .pending
        .iter()
        .map(|one| format!("{} {}", one.name, one.call_id))
        .collect();
    format!(
        "   end   {}/{} as {}, run {}, app {}, acknowledged {} of {} events, connected {}, \
         missed {}, ringing {ringing:?}, pending {pending:?}, {}",
        last.user,
        last.handset.0,
        last.device,
        last.run,
        last.app,
        last.acknowledged,
        last.journal.len(),
        last.connected,
        last.missed,
        calls.join(" ")
    )
}

/// Whether an entry says no more than that time goes by.
pub fn is_dull(entry: &Entry) -> bool {
    match &entry.what {
        What::Server(OfServer::Stored(stored)) => {
            let is_clock =
                |change: &Change| matches!(change, Change::Clock(_) | Change::Forgot { .. });
            stored.changes.iter().all(is_clock)
        }
        What::Server(OfServer::Got { frame, .. }) => matches!(**frame, ToServer::Settled(_)),
        What::Handset(_, what) | What::Second(_, what) => {
            matches!(
                what,
                OfHandset::Looked { .. } | OfHandset::Acknowledged { .. }
            )
        }
        _ => false,
    }
}

/// Disks are numbered through all runs of the process, and errors name their files.
fn without_numbers_of_disks(line: &str) -> String {
    let file = format!("/{FILE}");
    let mut parts = line.split(&file);
    let mut clean = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let kept = clean.trim_end_matches(|c: char| c.is_ascii_digit()).len();
        clean.truncate(kept);
        clean.push_str(FILE);
        clean.push_str(part);
    }
    clean
}

/// The name of a handset: its user's, and which of the world's it is.
fn name(record: &Record, handset: usize) -> String {
    let user = record.users.get(handset);
    format!("{}/{handset}", user.map_or("?", |user| user.as_str()))
}

fn told(record: &Record, what: &What) -> (String, String) {
    match what {
        What::StormEnds => ("world".into(), "the storm is over".into()),
        What::LoggedError(message) => ("world".into(), format!("ERROR {message}")),
        What::Handset(handset, what) => (name(record, handset.0), of_handset(record, what)),
        What::Second(handset, what) => {
            let who = format!("{}+", name(record, handset.0));
            (who, of_handset(record, what))
        }
        What::Network(handset, what) => (name(record, handset.0), of_network(*what)),
        What::Server(what) => ("server".into(), of_server(record, what)),
    }
}

fn of_handset(record: &Record, what: &OfHandset) -> String {
    match what {
        OfHandset::Opened {
            run,
            boot,
            device,
            acknowledged,
        } => format!("opened as {device}: run {run}, boot {boot}, acknowledged {acknowledged}"),
        OfHandset::NotOpened { error } => format!("could not open: {error}"),
        OfHandset::Syncs { run } => format!("run {run} syncs"),
        OfHandset::Waits { run } => format!("run {run} waits"),
        OfHandset::Ended { how, .. } => format!("process ended: {how:?}"),
        OfHandset::Renamed { device, .. } => format!("goes by {device} now"),
        OfHandset::Asleep => "asleep".into(),
        OfHandset::Awake => "awake".into(),
        OfHandset::WallClock { skew_ms } => format!("wall clock off by {skew_ms} ms"),
        OfHandset::DiskFull(full) => format!("disk full: {full}"),
        OfHandset::SyncsFail => "a sync will fail".into(),
        OfHandset::CopiedFrom(from) => format!("file copied from {}", name(record, from.0)),
        OfHandset::RolledBack { to } => format!("file put back to how it was at {to} ms"),
        OfHandset::Submitted {
            op,
            call,
            command,
            wait_s,
            waited_for,
            answer,
            ..
        } => {
            let call = call.as_ref().map_or("new", |call| call.as_str());
            let wait = wait_s.map_or(String::new(), |wait_s| format!(" wait {wait_s}"));
            let waited = if *waited_for { " (waits)" } else { "" };
            let command = of_command(command);
            let answer = of_answer(answer, |done| done.call_id.to_string());
            format!("{command} {call} as {op}{wait}{waited} -> {answer}")
        }
        OfHandset::MarkedSeen { calls, answer, .. } => {
            let answer = of_answer(answer, |missed| format!("{missed} missed"));
            format!("marks seen {calls:?} -> {answer}")
        }
        OfHandset::Acknowledged {
            position, answer, ..
        } => format!(
            "acknowledges {position} -> {}",
            of_answer(answer, |()| "done".into())
        ),
        OfHandset::Pushed { push, answer, .. } => format!(
            "push {} {} #{} -> {}",
            push.kind.word(),
            push.call,
            push.invitation,
            of_answer(answer, |taken| format!("ring {}", taken.ring))
        ),
        OfHandset::Looked {
            ringing, missed, ..
        } => {
            let ringing: Vec<&str> = ringing.iter().map(|ring| ring.call_id.as_str()).collect();
            format!("looks: ringing {ringing:?}, missed {missed}")
        }
        OfHandset::LogsOut { .. } => "logs out".into(),
        OfHandset::LoggedOut { .. } => "is logged out".into(),
        OfHandset::LogsIn { .. } => "logs in".into(),
        OfHandset::SetNetwork { online, .. } => format!("app says network: {online}"),
        OfHandset::NetworkChanged { .. } => "app says network changed".into(),
        OfHandset::AppBegan { app, from, .. } => format!("app {app} begins after {from}"),
        OfHandset::AppCaughtUp { app, .. } => format!("app {app} has read the journal"),
        OfHandset::AppDied { app, .. } => format!("app {app} died"),
        OfHandset::Heard {
            how,
            position,
            event,
            ..
        } => {
            let position = position.map_or(String::new(), |at| format!(" @{at}"));
            format!("heard {how:?}{position} {}", of_event(event))
        }
        OfHandset::Connects { attempt, .. } => format!("connects #{attempt}"),
        OfHandset::Up { attempt, .. } => format!("up #{attempt}"),
        OfHandset::Down { attempt, why, .. } => format!("down #{attempt} {why:?}"),
        OfHandset::Got {
            conn,
            frame,
            survived,
            error,
            ..
        } => {
            let mut line = format!("got c{conn} {}", to_device(frame));
            if !survived {
                line.push_str(" and died over it");
            }
            if let Some(error) = error {
                let _ = write!(line, " FAILED {error}");
            }
            line
        }
        OfHandset::TimeoutFailed { error, .. } => format!("timer FAILED {error}"),
    }
}

fn of_answer<T>(answer: &Answer<T>, say: impl Fn(&T) -> String) -> String {
    match answer {
        None => "died over it".into(),
        Some(Ok(value)) => say(value),
        Some(Err(error)) => of_error(error),
    }
}

fn of_error(error: &Error) -> String {
    let code: Code = error.code;
    format!("{} ({})", code.name(), error.reason)
}

fn of_network(what: OfNetwork) -> String {
    match what {
        OfNetwork::Cut => "connection cut".into(),
        OfNetwork::UpBlocked => "way up blocked".into(),
        OfNetwork::DownBlocked => "way down blocked".into(),
        OfNetwork::Blocked => "way blocked".into(),
        OfNetwork::Healed => "way healed".into(),
        OfNetwork::Slow(ms) => format!("way slow: {ms} ms"),
    }
}

fn of_server(record: &Record, what: &OfServer) -> String {
    match what {
        OfServer::Started { server_ms } => format!("started, its clock says {server_ms}"),
        OfServer::NotStarted { error } => format!("could not start: {error}"),
        OfServer::Ended { how, halted } => format!("ended: {how:?}, halted {halted}"),
        OfServer::BackedUp => "data copied".into(),
        OfServer::Restored { to } => format!("data put back to how it was at {to} ms"),
        OfServer::Stalls { ms } => format!("stalls for {ms} ms"),
        OfServer::DiskFull(full) => format!("disk full: {full}"),
        OfServer::SyncFails => "a sync will fail".into(),
        OfServer::Connected {
            conn,
            handset,
            early,
            ..
        } => {
            let early = if *early { ", early" } else { "" };
            format!("c{conn} connected: {}{early}", name(record, handset.0))
        }
        OfServer::Confirmed { conn } => format!("c{conn} confirmed"),
        OfServer::Disconnected { conn } => format!("c{conn} disconnected"),
        OfServer::Got {
            conn,
            handset,
            frame,
        } => format!(
            "got c{conn} {}: {}",
            name(record, handset.0),
            to_server(frame)
        ),
        OfServer::Said {
            conn,
            handset,
            frame,
        } => format!(
            "said c{conn} {}: {}",
            name(record, handset.0),
            to_device(frame)
        ),
        OfServer::Closed { conn } => format!("c{conn} closed"),
        OfServer::Pushes(push) => format!(
            "pushes {} {} #{} to {}",
            push.kind.word(),
            push.call,
            push.invitation,
            push.user
        ),
        OfServer::Stored(stored) => of_stored(stored),
    }
}

fn of_stored(stored: &Stored) -> String {
    let mut line = format!("stored {} at {}", stored.number, stored.server_ms);
    if stored.doubted {
        line.push_str(" (doubted)");
    }
    for change in &stored.changes {
        line.push_str("; ");
        match change {
            Change::Call { after, .. } => line.push_str(&of_call(after)),
            Change::Verdict {
                device, verdict, ..
            } => {
                let result = of_result(&verdict.result);
                let _ = write!(
                    line,
                    "verdict {device} {} {} {}: {result}",
                    verdict.number, verdict.op, verdict.call
                );
            }
            Change::Forgot { device, up_to, .. } => {
                let _ = write!(line, "forgot {device} up to {up_to}");
            }
            Change::Device(row) => {
                let _ = write!(
                    line,
                    "device {} last {} settled {} token {}",
                    row.device, row.last_number, row.settled_number, row.welcome_token
                );
            }
            Change::Fed { call, users } => {
                let _ = write!(line, "fed {call} {users:?}");
            }
            Change::Epoch(epoch) => {
                let _ = write!(line, "epoch {epoch}");
            }
            Change::Clock(now) => {
                let _ = write!(line, "clock {now}");
            }
        }
    }
    line
}

fn of_result(result: &Result<Outcome, Error>) -> String {
    match result {
        Ok(_) => "done".into(),
        Err(error) => of_error(error),
    }
}

/// A call as one word a member.
pub fn of_call(call: &Call) -> String {
    let mut line = format!(
        "[{} r{} {} {}",
        call.id, call.revision, call.mode, call.state
    );
    for member in &call.members {
        let _ = write!(
            line,
            " {}:{}#{}",
            member.user, member.state, member.invitation
        );
    }
    line.push(']');
    line
}

pub fn of_command(command: &Command) -> String {
    let name = command.kind().name();
    match command {
        Command::Invite {
            invitees,
            timeout_s,
            mode,
            ..
        } => format!("{name} {invitees:?} {mode} {timeout_s}s"),
        Command::CallingInvite {
            invitees,
            timeout_s,
            ..
        } => format!("{name} {invitees:?} {timeout_s:?}s"),
        Command::Cancel { invitees, .. } => {
            let users: Vec<String> = invitees
                .iter()
                .map(|target| format!("{}#{:?}", target.user, target.invitation))
                .collect();
            format!("{name} {users:?}")
        }
        Command::Accept { invitation, .. } | Command::Reject { invitation, .. } => {
            format!("{name} #{invitation:?}")
        }
        Command::Join { .. } => name.into(),
        Command::Quit { under, .. } | Command::End { under, .. } => format!("{name} {under:?}"),
    }
}

fn of_event(event: &EventKind) -> String {
    match event {
        EventKind::Call(event) => of_call_event(event),
        EventKind::CommandSettled(settled) => format!(
            "{} {} {}: {}",
            settled.command.name(),
            settled.op,
            settled.call_id,
            of_result(&settled.result)
        ),
        EventKind::ConnectionStateChanged(change) => {
            format!("{:?} {:?} {}", change.state, change.cause, change.detail)
        }
        EventKind::TokenWillExpire { seconds } => format!("token expires in {seconds} s"),
        EventKind::DatabaseSetAside(aside) => format!("set aside: {aside:?}"),
    }
}

fn of_call_event(event: &CallEvent) -> String {
    let name = event.name();
    let call = event.call_id();
    match event {
        CallEvent::Received {
            deadline,
            remaining,
            over,
            ..
        } => format!("{name} {call} until {deadline}, {remaining} left, over {over}"),
        CallEvent::UserStateChanged { call_user_list, .. } => {
            let users: Vec<String> = call_user_list
                .iter()
                .map(|user| format!("{}:{}", user.user_id, user.state))
                .collect();
            format!("{name} {call} {users:?}")
        }
        CallEvent::HandledElsewhere {
            state, device_id, ..
        } => format!("{name} {call} {state} {device_id}"),
        CallEvent::PrimaryDeviceChanged { device_id, .. } => format!("{name} {call} {device_id}"),
        CallEvent::Timeout { local, .. } => format!("{name} {call} local {local}"),
        CallEvent::Ended {
            operated_user_id, ..
        } => format!("{name} {call} by {operated_user_id:?}"),
        CallEvent::Created { .. } | CallEvent::Cancelled { .. } => format!("{name} {call}"),
    }
}

fn to_server(frame: &ToServer) -> String {
    match frame {
        ToServer::Hello(hello) => format!(
            "hello {} token {:?} cursor {}/{} next {} unsettled {} open {:?}",
            hello.device,
            hello.welcome_token,
            hello.cursor.epoch,
            hello.cursor.seq,
            hello.next_number,
            hello.first_unsettled,
            hello.open_calls
        ),
        ToServer::Command(command) => format!(
            "{} {} {} {} until {}",
            command.number,
            of_command(&command.command),
            command.call,
            command.op,
            command.not_after
        ),
        ToServer::Receipt(receipt) => format!("receipt {} #{}", receipt.call, receipt.invitation),
        ToServer::Ping(_) => "ping".into(),
        ToServer::Settled(settled) => {
            format!("settled {} cursor {}", settled.number, settled.cursor.seq)
        }
        ToServer::Renew(_) => "renew".into(),
        ToServer::Seen(seen) => format!("seen {:?}", seen.calls),
        ToServer::Logout => "logout".into(),
    }
}

fn to_device(frame: &ToDevice) -> String {
    match frame {
        ToDevice::Welcome(welcome) => format!(
            "welcome {} epoch {} cursor good {} last {}",
            welcome.welcome_token, welcome.epoch, welcome.cursor_valid, welcome.last_number
        ),
        ToDevice::Preview(preview) => {
            let calls: Vec<String> = preview.calls.iter().map(of_call).collect();
            let verdicts = preview.verdicts.iter();
            let verdicts: Vec<String> = verdicts
                .map(|verdict| format!("{} {}", verdict.number, verdict.op))
                .collect();
            format!("preview {verdicts:?} {}", calls.join(" "))
        }
        ToDevice::Refused(refused) => format!("refused {}", of_error(&refused.error)),
        ToDevice::Verdict(verdict) => format!(
            "verdict {} {}: {} {}",
            verdict.number,
            verdict.op,
            of_result(&verdict.result),
            verdict.call.as_ref().map_or(String::new(), of_call)
        ),
        ToDevice::Retry(retry) => format!("retry {} {}", retry.number, of_error(&retry.error)),
        ToDevice::Feed(feed) => {
            let calls: Vec<String> = feed.calls.iter().map(of_call).collect();
            format!(
                "feed {:?} to {:?} settled {} last {} {}",
                feed.lane,
                feed.cursor.map(|cursor| cursor.seq),
                feed.settled,
                feed.last,
                calls.join(" ")
            )
        }
        ToDevice::Pong(_) => "pong".into(),
        ToDevice::TokenNotice(notice) => format!("token notice {}", notice.seconds),
        ToDevice::Renewed(renewed) => format!("renewed {}", renewed.result.is_ok()),
        ToDevice::Goodbye(goodbye) => format!("goodbye {:?} {}", goodbye.reason, goodbye.message),
        ToDevice::LoggedOut => "logged out".into(),
    }
}
