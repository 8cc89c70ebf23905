//! The whole matrix of own state, command, mode and state of the call, against tables written by
//! hand. The records are made by hand too, so that also those are tried that no history leads to.

use offhook::call::{
    Actor, Call, CallId, CallState, Closing, Command, EndKind, Ending, Facts, Member, Mode, Own,
    Rules, UserState, apply,
};

use crate::matrix_tables::{COLUMNS, TABLES, Table};
use crate::world::{
    RING, START, accept, cancel, device, end, invite, join, op, quit, reject, ring, user,
};

fn member(name: &str, state: UserState) -> Member {
    Member {
        user: user(name),
        inviter: Some(user("ann")),
        invitation: 1,
        invited_at: START,
        timeout_s: 90,
        deadline: START + RING,
        check_at: 0,
        invite_data: "hello".to_owned(),
        state,
        state_revision: 1,
        state_time: START,
        data: String::new(),
        changed_by: None,
        acting_device: None,
        accept_time: 0,
        join_time: 0,
        quit_time: 0,
        participation: 0,
        own: Some(Own::default()),
    }
}

fn closed(mut member: Member, by: Option<&str>) -> Member {
    let state = match member.state {
        UserState::Quit => UserState::Accepted,
        state => state,
    };
    member.own.get_or_insert_default().closings = vec![Closing {
        invitation: 1,
        state,
        device: by.map(device),
    }];
    member
}

fn came_in(name: &str, state: UserState, primary: &str) -> Member {
    let mut member = closed(member(name, state), Some(primary));
    member.participation = 1;
    member.accept_time = START;
    let own = member.own.get_or_insert_default();
    own.primary_device = Some(device(primary));
    own.primary_op = Some(op("came in"));
    own.primary_revision = 1;
    member
}

fn creator(state: UserState, primary: &str) -> Member {
    let mut ann = came_in("ann", state, primary);
    ann.inviter = None;
    ann.invitation = 0;
    ann.own.get_or_insert_default().closings.clear();
    ann
}

/// The member whom a row is about, unless it is the creator.
fn subject(row: &str) -> Option<Member> {
    let bob = |state| member("bob", state);
    Some(match row {
        "inviting" => bob(UserState::Inviting),
        "not_yet_received" => bob(UserState::NotYetReceived),
        "received" => bob(UserState::Received),
        "here" | "inviter" => came_in("bob", UserState::Accepted, "bob1"),
        "elsewhere" => came_in("bob", UserState::Accepted, "bob2"),
        "rejected" => closed(bob(UserState::Rejected), Some("bob2")),
        "cancelled" => closed(bob(UserState::Cancelled), None),
        "timeout" => closed(bob(UserState::Timeout), None),
        "quit" | "inviter_left" => came_in("bob", UserState::Quit, "bob1"),
        "unknown" => bob(UserState::Unknown),
        "creator" | "creator_moves" | "creator_left" | "stranger" => return None,
        other => panic!("no such row: {other}"),
    })
}

fn kind(call: &str) -> Option<EndKind> {
    match call {
        "unanswered" | "answered" => None,
        "cancelled" => Some(EndKind::Cancelled),
        "completed" => Some(EndKind::Completed),
        "ended" => Some(EndKind::Ended),
        "abandoned" => Some(EndKind::Abandoned),
        "forgotten" => Some(EndKind::Forgotten),
        other => panic!("no such call: {other}"),
    }
}

fn record(table: &Table, row: &str) -> Option<Call> {
    if table.call == "none" {
        return None;
    }
    let ann = match row {
        "creator_left" => creator(UserState::Quit, "ann1"),
        "creator_moves" => creator(UserState::Accepted, "ann2"),
        _ => creator(UserState::Accepted, "ann1"),
    };
    let mut cid = match table.call {
        "completed" => closed(member("cid", UserState::Rejected), Some("cid1")),
        "cancelled" => closed(member("cid", UserState::Cancelled), None),
        _ => member("cid", UserState::Inviting),
    };
    if row.starts_with("inviter") {
        cid.inviter = Some(user("bob"));
    }
    let mut members = vec![ann];
    members.extend(subject(row));
    members.push(cid);
    if !["unanswered", "cancelled"].contains(&table.call) {
        members.push(came_in("dee", UserState::Accepted, "dee1"));
    }
    let ending = kind(table.call).map(|kind| Ending {
        kind,
        time: START + 10,
        revision: 2,
        by: None,
        device: None,
        data: String::new(),
    });
    Some(Call {
        id: CallId::trusted("call"),
        revision: 2,
        mode: Mode::from_word(table.mode),
        caller: user("ann"),
        create_time: START,
        timeout_s: 90,
        extended_data: "hello".to_owned(),
        not_received_check: false,
        state: if ending.is_some() {
            CallState::Ended
        } else {
            CallState::Started
        },
        ending,
        members,
    })
}

fn acting(row: &str) -> (&'static str, &'static str) {
    match row {
        "creator" | "creator_moves" | "creator_left" => ("ann", "ann1"),
        "stranger" => ("zoe", "zoe1"),
        _ => ("bob", "bob1"),
    }
}

fn command(column: &str) -> Command {
    match column {
        "invite" => invite(Mode::General, &["eve"]),
        "cancel" => cancel(&[]),
        "one" => cancel(&["cid"]),
        "accept" => accept(),
        "reject" => reject(),
        "ring" => ring(&["eve"]),
        "join" => join(),
        "quit" => quit(),
        "end" => end(),
        other => panic!("no such column: {other}"),
    }
}

/// What a cell says, worked out by the code under test.
fn outcome(call: Option<&Call>, row: &str, column: &str) -> String {
    let (who, with) = acting(row);
    let invites = column == "invite";
    let in_call = call.is_some_and(|call| {
        call.state == CallState::Started
            && call
                .member(&user(who))
                .is_some_and(|member| member.state == UserState::Accepted)
    });
    let facts = Facts {
        in_call: in_call.then(|| CallId::trusted("call")),
        ..Facts::default()
    };
    let actor = Actor {
        user: user(who),
        device: device(with),
        op: op("asked now"),
        call: CallId::trusted(if invites { "another call" } else { "call" }),
    };
    let subject = if invites { None } else { call };
    let rules = Rules::default();
    match apply(
        subject,
        &actor,
        &command(column),
        &facts,
        &rules,
        START + 1_000,
    ) {
        Ok(_) if invites => "=".to_owned(),
        Ok(change) => {
            let state = change.call.member(&user(who)).expect("the actor").state;
            let over = if change.call.state == CallState::Ended {
                "!"
            } else {
                ""
            };
            format!("={state}{over}")
        }
        Err(error) => format!("{:03} {}", error.code.number() % 1_000, error.reason),
    }
}

#[test]
fn every_command_in_every_state() {
    let mut cells = 0;
    let mut wrong = Vec::new();
    for table in TABLES {
        for line in table.rows.lines().filter(|line| !line.is_empty()) {
            let mut parts = line.split('|').map(str::trim);
            let row = parts.next().expect("a row has a name");
            let call = record(table, row);
            for (column, expected) in COLUMNS.iter().zip(parts.by_ref()) {
                cells += 1;
                let found = outcome(call.as_ref(), row, column);
                if found != expected {
                    wrong.push(format!(
                        "{} {}, {row}, {column}: {found}, not {expected}",
                        table.mode, table.call
                    ));
                }
            }
            assert_eq!(parts.next(), None, "{row} has too many cells");
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(cells % COLUMNS.len(), 0, "a row has too few cells");
    assert!(cells > 900, "only {cells} cells");
}

#[test]
fn reserved_states_allow_nothing() {
    for state in [
        UserState::Offline,
        UserState::Ended,
        UserState::BeCancelled,
        UserState::Unknown,
    ] {
        let table = Table {
            mode: "advanced",
            call: "answered",
            rows: "",
        };
        let mut call = record(&table, "inviting").expect("a call");
        call.members[1].state = state;
        for column in &COLUMNS[1..] {
            let found = outcome(Some(&call), "inviting", column);
            assert!(!found.starts_with('='), "{state} {column}: {found}");
        }
    }
}

#[test]
fn a_call_of_an_unknown_state_is_as_good_as_over() {
    let table = Table {
        mode: "advanced",
        call: "answered",
        rows: "",
    };
    let mut call = record(&table, "here").expect("a call");
    call.state = CallState::Unknown;
    for column in ["accept", "ring", "join", "quit", "end"] {
        let found = outcome(Some(&call), "here", column);
        assert_eq!(found, "276 ended", "{column}");
    }
}
