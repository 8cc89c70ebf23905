//! Every state that a call of three people with two devices each can reach, and every step out of
//! each, heard by every device.
//!
//! States that differ in nothing that a rule asks for are one: times and revisions are left out;
//! of numbers of invitations and stays only whether there were any; of the inviter only while he
//! may still take it back; two invitees are interchangeable, and so are two devices until one of
//! them is the primary one. What is left is finite, so there is no bound on how long a call goes
//! on. What depends on the numbers themselves is tried by hand and at random.

use std::collections::{BTreeSet, VecDeque};

use offhook::call::passing::{self, Doer};
use offhook::call::{
    Actor, Call, CallId, CallState, Closing, Command, CommandKind, DeviceId, EndKind, Ending,
    Facts, Member, Millis, Mode, Own, Rules, Shown, UserId, UserState, Viewer, apply, hear,
};

use crate::allowed::refusal;
use crate::properties::{check_change, check_record};
use crate::scene::short;
use crate::told::{Happened, Listener, came_in, told};
use crate::world::{
    RING, START, accept, cancel, device, end, join, op, owner, quit, reject, ring, user,
};

const NAMES: [&str; 3] = ["ann", "bob", "cid"];
const DEVICES: [&str; 6] = ["ann1", "ann2", "bob1", "bob2", "cid1", "cid2"];
const CHECK: Millis = START + 5_000;
/// Of a state taken up again: whatever changes is later than that.
const REVISION: u64 = 10;

/// Where one user stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Stand {
    state: i16,
    invited: bool,
    came: bool,
    inviter: Option<usize>,
    check: bool,
    /// 0 when there is none.
    primary: u8,
}

/// A call, as far as any rule asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct State {
    mode: i16,
    ending: Option<i16>,
    stands: [Option<Stand>; 3],
    /// Which of the creator's devices says that she is calling.
    dialling: [bool; 2],
}

fn index(name: &UserId) -> usize {
    NAMES
        .iter()
        .position(|known| *known == name.as_str())
        .expect("one of the three")
}

fn stand(member: &Member) -> Stand {
    let own = member.own.as_ref().expect("own");
    let creator = member.user.as_str() == NAMES[0];
    let primary = match &own.primary_device {
        None => 0,
        // Of a user who is not the creator, the device is the first one by name.
        Some(_) if !creator => 1,
        Some(device) if device.as_str().ends_with('1') => 1,
        Some(_) => 2,
    };
    let pending = member.state.is_pending();
    Stand {
        state: member.state.number(),
        invited: member.invitation > 0,
        came: member.participation > 0,
        inviter: member.inviter.as_ref().map(index).filter(|_| pending),
        check: member.check_at > 0,
        primary,
    }
}

fn state(call: &Call, dialling: [bool; 2]) -> State {
    let stands = NAMES.map(|name| call.member(&user(name)).map(stand));
    let one = State {
        mode: call.mode.number(),
        ending: call.ending.as_ref().map(|ending| ending.kind.number()),
        stands,
        dialling,
    };
    one.min(swapped(one))
}

/// The same with the two invitees' names changed about.
fn swapped(mut state: State) -> State {
    state.stands.swap(1, 2);
    for stand in state.stands.iter_mut().flatten() {
        stand.inviter = stand.inviter.map(|at| [0, 2, 1][at]);
    }
    state
}

fn member(at: usize, stand: Stand) -> Member {
    let state = UserState::from_number(stand.state);
    let invitation = u32::from(stand.invited);
    let closing = match state {
        _ if invitation == 0 || state.is_pending() => None,
        UserState::Quit => Some(UserState::Accepted),
        other => Some(other),
    };
    let closings = closing.map(|state| Closing {
        invitation,
        state,
        device: None,
    });
    Member {
        user: user(NAMES[at]),
        inviter: match (stand.inviter, stand.invited) {
            (Some(by), _) => Some(user(NAMES[by])),
            (None, true) => Some(user(NAMES[usize::from(at == 0)])),
            (None, false) => None,
        },
        invitation,
        invited_at: START,
        timeout_s: 90,
        deadline: START + RING,
        check_at: if stand.check { CHECK } else { 0 },
        invite_data: String::new(),
        state,
        state_revision: 1,
        state_time: START,
        data: String::new(),
        changed_by: None,
        acting_device: None,
        accept_time: START,
        join_time: 0,
        quit_time: 0,
        participation: u32::from(stand.came),
        own: Some(Own {
            primary_device: (stand.primary > 0)
                .then(|| device(&format!("{}{}", NAMES[at], stand.primary))),
            primary_op: (stand.primary > 0).then(|| op("before")),
            primary_revision: 1,
            seen: false,
            closings: closings.into_iter().collect(),
        }),
    }
}

fn call(state: &State) -> Call {
    let ending = state.ending.map(|kind| Ending {
        kind: EndKind::from_number(kind),
        time: START,
        revision: 2,
        by: None,
        device: None,
        data: String::new(),
    });
    Call {
        id: CallId::trusted("call"),
        revision: REVISION,
        mode: Mode::from_number(state.mode),
        caller: user(NAMES[0]),
        create_time: START,
        timeout_s: 90,
        extended_data: String::new(),
        not_received_check: true,
        state: if ending.is_some() {
            CallState::Ended
        } else {
            CallState::Started
        },
        ending,
        members: (0..3)
            .filter_map(|at| state.stands[at].map(|stand| member(at, stand)))
            .collect(),
    }
}

fn shown(call: &Call, name: &str, dialling: [bool; 2]) -> Shown {
    let member = call.member(&owner(name));
    Shown {
        rung: member.map_or(0, |member| member.invitation),
        ringing: call.state == CallState::Started
            && member.is_some_and(|member| member.state.is_pending()),
        dialling: match name {
            "ann1" => dialling[0],
            "ann2" => dialling[1],
            _ => false,
        },
        ..Shown::default()
    }
}

/// Has every device hear it, and checks what each heard against the other account.
fn listen(before: &Call, after: &Call, happened: &Happened, dialling: [bool; 2]) -> State {
    let mut goes_on = [false; 2];
    for (at, name) in DEVICES.iter().enumerate() {
        let (who, with) = (owner(name), device(name));
        let shows = shown(before, name, dialling);
        let viewer = Viewer {
            user: &who,
            device: &with,
            shown: &shows,
            live: true,
            entered: false,
            now: START,
        };
        let known = before.member(&who).map(|_| before.seen_by(&who));
        let news = after.seen_by(&who);
        let heard = hear(known.as_ref(), &news, &viewer);
        let words: Vec<String> = heard.events.iter().map(short).collect();
        let listener = Listener {
            who: &who,
            with: &with,
            dialling: shows.dialling,
        };
        let expected = told(happened, before, after, &listener);
        assert_eq!(words, expected, "{name}, {happened:?} in {before:#?}");
        if at < 2 {
            goes_on[at] = heard.shown.dialling;
        }
        let shows = shown(after, name, goes_on);
        assert_eq!(heard.shown, shows, "{name}, {happened:?} in {before:#?}");
        let viewer = Viewer {
            shown: &shows,
            ..viewer
        };
        let again = hear(Some(&news), &news, &viewer);
        assert!(
            again.events.is_empty() && again.shown == shows,
            "heard twice"
        );
    }
    state(after, goes_on)
}

fn commands() -> Vec<Command> {
    vec![
        cancel(&[]),
        cancel(&["ann"]),
        cancel(&["bob"]),
        cancel(&["cid"]),
        cancel(&["bob", "cid"]),
        accept(),
        reject(),
        ring(&["ann"]),
        ring(&["bob"]),
        ring(&["cid"]),
        ring(&["bob", "cid"]),
        join(),
        quit(),
        end(),
    ]
}

fn those(call: &Call, is: impl Fn(&Member) -> bool) -> Vec<UserId> {
    let members = call.members.iter().filter(|member| is(member));
    members.map(|member| member.user.clone()).collect()
}

/// What a command was, told as what happened.
fn deed(kind: CommandKind, with: &DeviceId, before: &Call, after: &Call) -> Happened {
    let who = owner(with.as_str());
    let with = with.clone();
    let stood = before.member(&who).map(|member| member.state);
    let pending = stood.is_some_and(UserState::is_pending);
    match kind {
        CommandKind::Accept | CommandKind::Reject => Happened::Answered { who, with },
        CommandKind::Join if pending => Happened::Answered { who, with },
        CommandKind::Join if stood == Some(UserState::Accepted) => Happened::Moved { who },
        CommandKind::Join => Happened::Joined { who, with },
        CommandKind::Quit if who == before.caller && !came_in(before) => {
            Happened::CreatorLeft { with }
        }
        CommandKind::Quit => Happened::Left { who },
        CommandKind::End => Happened::Ended { with: Some(with) },
        CommandKind::CallingInvite => Happened::Asked {
            whom: those(after, |member| {
                let earlier = before.member(&member.user);
                member.invitation > earlier.map_or(0, |earlier| earlier.invitation)
            }),
        },
        CommandKind::Cancel => {
            let whom = those(before, |member| {
                let later = after.member(&member.user).expect("still there");
                member.state.is_pending() && later.state == UserState::Cancelled
            });
            if after.ending.as_ref().map(|ending| ending.kind) == Some(EndKind::Cancelled) {
                Happened::CalledOff { with: Some(with) }
            } else {
                Happened::Uninvited {
                    by: who,
                    with,
                    whom,
                }
            }
        }
        CommandKind::Invite => unreachable!(),
    }
}

/// Every command from every device.
fn by_command(state: &State, found: &mut Vec<State>) {
    let before = call(state);
    let (facts, rules) = (Facts::default(), Rules::default());
    for name in DEVICES {
        for command in commands() {
            let actor = Actor {
                user: owner(name),
                device: device(name),
                op: op("now"),
                call: before.id.clone(),
            };
            let expected = refusal(&before, name, &command);
            match apply(Some(&before), &actor, &command, &facts, &rules, START) {
                Err(error) => {
                    let code = Some(error.code.number());
                    assert_eq!(code, expected, "{name} {command:?} in {before:#?}");
                }
                Ok(change) => {
                    assert_eq!(None, expected, "{name} {command:?} in {before:#?}");
                    check_change(&before, &change.call);
                    check_record(&change.call);
                    assert_eq!(change.call.revision, REVISION + 1);
                    let happened = deed(command.kind(), &device(name), &before, &change.call);
                    found.push(listen(&before, &change.call, &happened, state.dialling));
                }
            }
        }
    }
}

/// Whatever else can happen: time, receipts, those who vanish.
fn by_itself(state: &State, found: &mut Vec<State>) {
    let before = call(state);
    let mut changes: Vec<(Option<Call>, Happened)> = Vec::new();
    let pending = those(&before, |member| member.state.is_pending());
    let mut groups: Vec<Vec<UserId>> = pending.iter().map(|who| vec![who.clone()]).collect();
    groups.push(pending.clone());
    for whom in groups.into_iter().filter(|whom| !whom.is_empty()) {
        let mut due = before.clone();
        for member in &mut due.members {
            member.check_at = 0;
            if whom.contains(&member.user) {
                member.deadline = START;
            }
        }
        let changed = passing::pass_time(&due, START, &|_| true);
        changes.push((changed, Happened::TimedOut { whom }));
    }
    for who in pending {
        let number = before.member(&who).map_or(0, |member| member.invitation);
        let received = passing::receive(&before, &who, number, START);
        let unreached = state.ending.is_none()
            && before
                .member(&who)
                .is_some_and(|member| member.check_at > 0);
        let mut due = before.clone();
        for member in due.members.iter_mut().filter(|member| member.user != who) {
            member.check_at = 0;
        }
        let reached = Happened::Reached { whom: who.clone() };
        if unreached {
            let mut changed = passing::pass_time(&due, CHECK, &|_| true).expect("a check is due");
            for (member, kept) in changed.members.iter_mut().zip(&before.members) {
                if member.user != who {
                    member.check_at = kept.check_at;
                }
            }
            changes.push((Some(changed), reached.clone()));
        }
        changes.push((received, reached));
    }
    let creator = before.members[0].clone();
    let primary = creator.primary_device().cloned();
    let doer = Doer::User {
        user: &creator.user,
        device: primary.as_ref(),
    };
    let logged_out = passing::creator_gone(&before, &doer, START);
    let unheard = passing::creator_gone(&before, &Doer::Server, START);
    assert_eq!(
        logged_out.is_some(),
        state.ending.is_none() && !came_in(&before)
    );
    assert_eq!(unheard.is_some(), logged_out.is_some());
    changes.push((logged_out, Happened::CalledOff { with: primary }));
    changes.push((unheard, Happened::CalledOff { with: None }));
    let left = passing::abandon(&before, START);
    let advanced = before.mode == Mode::Advanced;
    assert_eq!(left.is_some(), advanced && state.ending.is_none());
    changes.push((left, Happened::Ended { with: None }));
    for (changed, happened) in changes {
        let Some(after) = changed else { continue };
        check_change(&before, &after);
        check_record(&after);
        found.push(listen(&before, &after, &happened, state.dialling));
    }
}

/// An ended call takes nothing any more but that it was seen.
fn stays_over(state: &State) {
    let before = call(state);
    assert_eq!(passing::due(&before), None);
    assert_eq!(
        passing::pass_time(&before, START + 10 * RING, &|_| true),
        None
    );
    for name in NAMES {
        let missed = before.member(&user(name)).is_some_and(|member| {
            let open = member.state.is_pending();
            let over = [UserState::Timeout, UserState::Cancelled].contains(&member.state);
            open || over
        });
        assert_eq!(
            before.is_missed_by(&user(name)),
            missed,
            "{name} {before:#?}"
        );
        assert_eq!(passing::see(&before, &user(name)).is_some(), missed);
        assert_eq!(passing::receive(&before, &user(name), 1, START), None);
    }
}

fn start(mode: Mode, invitees: &[usize]) -> State {
    let invited = Stand {
        state: UserState::Inviting.number(),
        invited: true,
        came: false,
        inviter: Some(0),
        check: true,
        primary: 0,
    };
    let creator = Stand {
        state: UserState::Accepted.number(),
        invited: false,
        came: true,
        inviter: None,
        check: false,
        primary: 1,
    };
    let mut stands = [Some(creator), None, None];
    for at in invitees {
        stands[*at] = Some(invited);
    }
    let one = State {
        mode: mode.number(),
        ending: None,
        stands,
        dialling: [false, true],
    };
    one.min(swapped(one))
}

/// All that can be reached; how many of them are over; how many steps there are.
fn explore(mode: Mode) -> (usize, usize, usize) {
    let mut seen = BTreeSet::new();
    let mut waiting: VecDeque<State> = [start(mode, &[1]), start(mode, &[1, 2])].into();
    seen.extend(waiting.iter().copied());
    let mut steps = 0;
    while let Some(state) = waiting.pop_front() {
        let mut found = Vec::new();
        by_command(&state, &mut found);
        by_itself(&state, &mut found);
        if state.ending.is_some() {
            assert_eq!(found, [], "an ended call is frozen");
            stays_over(&state);
        }
        steps += found.len();
        for next in found {
            if seen.insert(next) {
                waiting.push_back(next);
            }
        }
    }
    let over = seen.iter().filter(|state| state.ending.is_some()).count();
    (seen.len(), over, steps)
}

#[test]
fn every_state_of_a_general_call() {
    let (states, over, steps) = explore(Mode::General);
    println!("general: {states} states visited, {over} of them over, {steps} steps");
    assert_eq!((states, over, steps), (31, 13, 311));
}

#[test]
fn every_state_of_an_advanced_call() {
    let (states, over, steps) = explore(Mode::Advanced);
    println!("advanced: {states} states visited, {over} of them over, {steps} steps");
    assert_eq!((states, over, steps), (8_361, 5_248, 72_122));
}
