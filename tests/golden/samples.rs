//! Named frames: each kind in both directions, with every variant of what can be inside.

mod commands;

use offhook::call::{Call, Closing, EndKind, Ending, Member, Outcome, Own};
use offhook::protocol::{
    Capabilities, ClosingReason, CommandFrame, Cursor, Feed, Goodbye, Hello, Lane, Limits, Ping,
    Pong, Preview, Receipt, Refused, Renew, Renewed, Retry, Seen, Settled, ToDevice, ToServer,
    TokenNotice, Verdict, Welcome,
};
use offhook::{CallId, CallState, Code, DeviceId, Error, Mode, Op, UserId, UserState};

pub use commands::{commands, outcomes};

/// 2026-03-01 12:00:00 UTC.
const NOON: i64 = 1_772_366_400_000;

pub type Sample<F> = (String, F);

fn user(name: &str) -> UserId {
    UserId::trusted(name)
}

fn call_id() -> CallId {
    CallId::trusted("0199c0dec0de70008000000000000001")
}

fn device() -> DeviceId {
    DeviceId::trusted("phone")
}

fn op() -> Op {
    Op::trusted("op-7")
}

fn cursor() -> Cursor {
    Cursor {
        epoch: u64::MAX,
        seq: 251,
    }
}

fn named<T, const N: usize>(all: [(&str, T); N]) -> Vec<Sample<T>> {
    all.map(|(name, one)| (name.to_owned(), one)).into()
}

fn member(name: &str, state: UserState) -> Member {
    let mut member = bare_member(name);
    member.inviter = Some(user("alice"));
    member.invitation = 2;
    member.invited_at = NOON;
    member.timeout_s = 90;
    member.deadline = NOON + 90_000;
    member.check_at = NOON + 5_000;
    member.invite_data = "come".into();
    member.state = state;
    member.state_revision = 7;
    member.state_time = NOON + 250;
    member.data = "on my way".into();
    member.changed_by = Some(user(name));
    member.acting_device = Some(device());
    member.accept_time = NOON + 251;
    member.join_time = NOON + 252;
    member.quit_time = NOON + 253;
    member.participation = 3;
    member.own = Some(Own {
        primary_device: Some(device()),
        primary_op: Some(op()),
        primary_revision: 65_536,
        seen: true,
        closings: vec![
            Closing {
                invitation: 1,
                state: UserState::Timeout,
                device: None,
            },
            Closing {
                invitation: 2,
                state: UserState::Accepted,
                device: Some(device()),
            },
        ],
    });
    member
}

fn bare_member(name: &str) -> Member {
    Member {
        user: user(name),
        inviter: None,
        invitation: 0,
        invited_at: 0,
        timeout_s: 0,
        deadline: 0,
        check_at: 0,
        invite_data: String::new(),
        state: UserState::Accepted,
        state_revision: 1,
        state_time: -1,
        data: String::new(),
        changed_by: None,
        acting_device: None,
        accept_time: 0,
        join_time: 0,
        quit_time: 0,
        participation: 1,
        own: None,
    }
}

/// A call with a member in every state, and with all that a record can have.
fn rich_call(state: CallState, mode: Mode, ending: Option<EndKind>) -> Call {
    let mut members = vec![bare_member("alice")];
    members.extend(
        UserState::ALL
            .iter()
            .map(|state| member(state.word(), *state)),
    );
    Call {
        id: call_id(),
        revision: u64::from(u32::MAX) + 1,
        mode,
        caller: user("alice"),
        create_time: NOON,
        timeout_s: 90,
        extended_data: "{\"topic\":\"lunch\"}".into(),
        not_received_check: true,
        state,
        ending: ending.map(|kind| Ending {
            kind,
            time: NOON + 60_000,
            revision: 9,
            by: Some(user("alice")),
            device: Some(device()),
            data: "bye".into(),
        }),
        members,
    }
}

fn plain_call(mode: Mode, state: CallState, ending: Option<EndKind>) -> Call {
    Call {
        members: vec![bare_member("alice")],
        not_received_check: false,
        extended_data: String::new(),
        ending: ending.map(|kind| Ending {
            kind,
            time: NOON,
            revision: 2,
            by: None,
            device: None,
            data: String::new(),
        }),
        ..rich_call(state, mode, None)
    }
}

/// A call of as many members as can be, of whom there is as little to say as can be.
pub fn terse_call() -> Call {
    Call {
        members: (0..20).map(|_| bare_member("a")).collect(),
        ..plain_call(Mode::Advanced, CallState::Started, None)
    }
}

/// Calls of every mode and state, ended in every way.
fn every_call() -> Vec<Call> {
    let mut calls: Vec<Call> = EndKind::ALL
        .iter()
        .map(|kind| plain_call(Mode::General, CallState::Ended, Some(*kind)))
        .collect();
    calls.extend(
        Mode::ALL
            .iter()
            .map(|mode| plain_call(*mode, CallState::Started, None)),
    );
    calls.push(plain_call(Mode::General, CallState::Unknown, None));
    calls.push(rich_call(
        CallState::Ended,
        Mode::Advanced,
        Some(EndKind::Ended),
    ));
    calls
}

fn full_error() -> Error {
    Error::new(
        Code::WrongState,
        "answered",
        "the invitation was accepted before",
    )
    .with_call(call_id())
    .with_state(UserState::Accepted)
    .with_device(Some(device()))
}

fn hello(token: Option<&str>, open_calls: Vec<CallId>) -> ToServer {
    ToServer::Hello(Box::new(Hello {
        version_min: 1,
        version_max: 300,
        build: "app 1.2".into(),
        capabilities: Capabilities::OURS,
        user: user("alice"),
        token: token.map(str::to_owned),
        device: device(),
        welcome_token: token.map(|_| "welcome-3".to_owned()),
        cursor: cursor(),
        next_number: 8,
        first_unsettled: 5,
        open_calls,
        sent_at: -NOON,
    }))
}

pub fn to_server() -> Vec<Sample<ToServer>> {
    let mut all = named([
        (
            "hello",
            hello(Some("eyJ.e30.c2ln"), vec![call_id(), CallId::trusted("2")]),
        ),
        ("hello_first", hello(None, Vec::new())),
    ]);
    for (name, command) in commands() {
        let frame = CommandFrame {
            number: 64,
            op: op(),
            call: call_id(),
            not_after: if name.ends_with("_unfenced") { 0 } else { NOON },
            command,
        };
        all.push((
            format!("command_{name}"),
            ToServer::Command(Box::new(frame)),
        ));
    }
    all.extend(named([
        (
            "receipt",
            ToServer::Receipt(Receipt {
                call: call_id(),
                invitation: 3,
            }),
        ),
        ("ping", ToServer::Ping(Ping { sent_at: 12_345 })),
        (
            "settled",
            ToServer::Settled(Settled {
                number: 70_000,
                cursor: cursor(),
            }),
        ),
        (
            "renew",
            ToServer::Renew(Renew {
                token: "eyJ.e30.c2ln".into(),
            }),
        ),
        (
            "seen",
            ToServer::Seen(Seen {
                calls: vec![call_id()],
            }),
        ),
        ("logout", ToServer::Logout),
    ]));
    all
}

fn verdict(result: Result<Outcome, Error>, call: Option<Call>) -> ToDevice {
    ToDevice::Verdict(Box::new(Verdict {
        number: 64,
        op: op(),
        result,
        call,
    }))
}

pub fn feed(lane: Lane, cursor: Option<Cursor>, last: bool, calls: Vec<Call>) -> ToDevice {
    ToDevice::Feed(Feed {
        lane,
        cursor,
        settled: 3,
        last,
        calls,
    })
}

fn goodbye(reason: ClosingReason) -> ToDevice {
    ToDevice::Goodbye(Goodbye {
        reason,
        message: "so long".into(),
    })
}

/// As short on the wire as a verdict can be.
pub fn terse_verdict() -> Verdict {
    Verdict {
        number: 1,
        op: Op::trusted("1"),
        result: Ok(Outcome::Accepted),
        call: None,
    }
}

fn limits() -> Limits {
    Limits {
        heartbeat_s: 10,
        offline_after_s: 35,
        extended_data_bytes_max: 2_048,
    }
}

pub fn preview(verdicts: Vec<Verdict>, calls: Vec<Call>) -> ToDevice {
    ToDevice::Preview(Box::new(Preview {
        server_time: NOON,
        epoch: 0x0123_4567_89ab_cdef,
        limits: limits(),
        verdicts,
        calls,
    }))
}

pub fn to_device() -> Vec<Sample<ToDevice>> {
    let a_verdict = Verdict {
        number: 64,
        op: op(),
        result: Ok(Outcome::Accepted),
        call: Some(every_call().remove(0)),
    };
    let welcome = Welcome {
        version: 1,
        server_time: NOON,
        hello_sent_at: -NOON,
        epoch: 0x0123_4567_89ab_cdef,
        cursor_valid: true,
        last_number: 7,
        welcome_token: "welcome-4".into(),
        limits: limits(),
    };
    let mut all = named([
        ("welcome", ToDevice::Welcome(Box::new(welcome))),
        (
            "refused",
            ToDevice::Refused(Refused {
                error: full_error(),
            }),
        ),
        ("verdict_refused", verdict(Err(full_error()), None)),
        (
            "verdict_refused_plainly",
            verdict(
                Err(Error::parameter("timeout", "0 s")),
                Some(every_call().remove(0)),
            ),
        ),
        (
            "retry",
            ToDevice::Retry(Retry {
                number: 5,
                after_ms: 1_000,
                error: full_error(),
            }),
        ),
        ("feed_open", feed(Lane::Open, None, true, Vec::new())),
        (
            "feed_history",
            feed(Lane::History, Some(cursor()), false, every_call()),
        ),
        (
            "feed_live",
            feed(
                Lane::Live,
                Some(Cursor::default()),
                false,
                vec![rich_call(CallState::Started, Mode::General, None)],
            ),
        ),
        (
            "pong",
            ToDevice::Pong(Pong {
                ping_sent_at: 12_345,
                received_at: NOON,
                sent_at: NOON + 1,
            }),
        ),
        (
            "token_notice",
            ToDevice::TokenNotice(TokenNotice { seconds: 30 }),
        ),
        ("renewed", ToDevice::Renewed(Renewed { result: Ok(()) })),
        (
            "not_renewed",
            ToDevice::Renewed(Renewed {
                result: Err(full_error()),
            }),
        ),
        ("goodbye_kicked_out", goodbye(ClosingReason::KickedOut)),
        (
            "goodbye_token_expired",
            goodbye(ClosingReason::TokenExpired),
        ),
        ("goodbye_replaced", goodbye(ClosingReason::Replaced)),
        (
            "goodbye_shutting_down",
            goodbye(ClosingReason::ShuttingDown),
        ),
        ("goodbye_violation", goodbye(ClosingReason::Violation)),
        ("logged_out", ToDevice::LoggedOut),
        ("preview", preview(vec![a_verdict], every_call())),
        ("preview_of_nothing", preview(Vec::new(), Vec::new())),
    ]);
    for (name, outcome) in outcomes() {
        all.push((format!("verdict_{name}"), verdict(Ok(outcome), None)));
    }
    all
}
