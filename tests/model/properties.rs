//! Random histories: up to four users with two devices each, connected or not, and time.

use std::collections::BTreeMap;

use offhook::call::passing::{self, Doer};
use offhook::call::{
    Call, CallState, Command, CommandKind, EndKind, Mode, Shown, UserState, Viewer, hear,
};
use proptest::prelude::*;

use crate::scene::{closes_ring, short};
use crate::showing::Screen;
use crate::world::{
    World, accept, accept_number, cancel, device, end, invite_checked, join, owner, quit,
    quit_under, reject, ring_for, user,
};

const USERS: [&str; 4] = ["ann", "bob", "cid", "dee"];
const DEVICES: [&str; 8] = [
    "ann1", "ann2", "bob1", "bob2", "cid1", "cid2", "dee1", "dee2",
];

#[derive(Clone, Debug)]
enum Step {
    Do { with: usize, what: What },
    Wait { ms: i64, tick: bool },
    Receipt { who: usize },
    CreatorGone { server: bool },
    Abandon,
    See { who: usize },
}

#[derive(Clone, Debug)]
enum What {
    CancelAll,
    Cancel {
        whom: usize,
    },
    Accept,
    AcceptOld,
    Reject,
    Ring {
        whom: usize,
        more: usize,
        seconds: u32,
    },
    Join,
    Quit,
    QuitFenced,
    End,
}

fn what() -> impl Strategy<Value = What> {
    prop_oneof![
        1 => Just(What::CancelAll),
        3 => (0..4usize).prop_map(|whom| What::Cancel { whom }),
        5 => Just(What::Accept),
        1 => Just(What::AcceptOld),
        3 => Just(What::Reject),
        6 => (0..4usize, 0..4usize, 1..40u32)
            .prop_map(|(whom, more, seconds)| What::Ring { whom, more, seconds }),
        4 => Just(What::Join),
        4 => Just(What::Quit),
        1 => Just(What::QuitFenced),
        1 => Just(What::End),
    ]
}

/// A step, and which devices are connected when it happens.
fn step() -> impl Strategy<Value = (Step, u8)> {
    let step = prop_oneof![
        20 => (0..8usize, what()).prop_map(|(with, what)| Step::Do { with, what }),
        3 => (prop::sample::select(vec![10, 1_000, 5_000, 30_000, 90_000]), any::<bool>())
            .prop_map(|(ms, tick)| Step::Wait { ms, tick }),
        3 => (0..4usize).prop_map(|who| Step::Receipt { who }),
        1 => any::<bool>().prop_map(|server| Step::CreatorGone { server }),
        1 => Just(Step::Abandon),
        1 => (0..4usize).prop_map(|who| Step::See { who }),
    ];
    (step, any::<u8>())
}

/// A device: what it holds and shows, what its app shows, and the records it has not heard of yet.
#[derive(Clone, Default)]
struct Phone {
    record: Option<Call>,
    shown: Shown,
    screen: Screen,
    unheard: Vec<(Call, i64)>,
}

struct History {
    world: World,
    phones: BTreeMap<&'static str, Phone>,
}

impl History {
    fn new(mode: Mode, invitees: &[&str]) -> Self {
        let mut history = Self {
            world: World::new(),
            phones: DEVICES
                .iter()
                .map(|name| (*name, Phone::default()))
                .collect(),
        };
        let command = invite_checked(mode, invitees);
        history.world.must("ann1", command.clone());
        history.note();
        history.sync("ann1", Some(command.kind()));
        history
    }

    fn command(&self, with: usize, what: &What) -> Command {
        let name = owner(DEVICES[with]);
        let member = self.world.call().member(&name);
        match what {
            What::CancelAll => cancel(&[]),
            What::Cancel { whom } => cancel(&[USERS[*whom]]),
            What::Accept => accept(),
            What::AcceptOld => {
                accept_number(member.map_or(1, |member| member.invitation.saturating_sub(1)))
            }
            What::Reject => reject(),
            What::Ring {
                whom,
                more,
                seconds,
            } => ring_for(&[USERS[*whom], USERS[*more]], *seconds),
            What::Join => join(),
            What::Quit => quit(),
            What::QuitFenced => match member.and_then(|member| member.primary_device()) {
                Some(_) => quit_under(self.world.primary_op(name.as_str())),
                None => quit(),
            },
            What::End => end(),
        }
    }

    /// Says what was done by whom, if anything changed.
    fn step(&mut self, step: &Step) -> Option<Option<(&'static str, CommandKind)>> {
        let call = self.world.call().clone();
        let now = self.world.now;
        let changed = match step {
            Step::Do { with, what } => {
                let command = self.command(*with, what);
                let kind = command.kind();
                self.world.act(DEVICES[*with], command).ok()?;
                return Some(Some((DEVICES[*with], kind)));
            }
            Step::Wait { ms, tick } => {
                self.world.after(*ms);
                return (*tick && self.world.tick()).then_some(None);
            }
            Step::Receipt { who } => {
                let number = call.member(&user(USERS[*who]))?.invitation;
                passing::receive(&call, &user(USERS[*who]), number, now)
            }
            Step::CreatorGone { server: true } => passing::creator_gone(&call, &Doer::Server, now),
            Step::CreatorGone { server: false } => {
                let primary = self.world.member("ann").primary_device()?.clone();
                let doer = Doer::User {
                    user: &user("ann"),
                    device: Some(&primary),
                };
                let changed = passing::creator_gone(&call, &doer, now);
                let name = DEVICES.iter().find(|name| **name == primary.as_str())?;
                // Logging out is an act of that device, and it knows.
                return self
                    .world
                    .becomes(changed)
                    .then_some(Some((*name, CommandKind::Cancel)));
            }
            Step::Abandon => passing::abandon(&call, now),
            Step::See { who } => passing::see(&call, &user(USERS[*who])),
        };
        self.world.becomes(changed).then_some(None)
    }

    fn note(&mut self) {
        let call = self.world.call().clone();
        for (name, phone) in &mut self.phones {
            let who = owner(name);
            if call.member(&who).is_some() {
                phone.unheard.push((call.seen_by(&who), self.world.now));
            }
        }
    }

    /// The device hears all that it has not heard, at once; one that acted, after its verdict.
    fn sync(&mut self, name: &str, acted: Option<CommandKind>) {
        let now = self.world.now;
        let (who, with) = (owner(name), device(name));
        let phone = self.phones.get_mut(name).expect("a device");
        let Some((after, _)) = phone.unheard.last().cloned() else {
            return;
        };
        let live = phone.unheard.len() == 1;
        let viewer = |shown| Viewer {
            user: &who,
            device: &with,
            shown,
            live,
            entered: false,
            now,
        };
        let heard = hear(phone.record.as_ref(), &after, &viewer(&phone.shown));
        check_rings(name, &phone.shown, &heard.events, &heard.shown, acted);
        let words: Vec<String> = heard.events.iter().map(short).collect();
        if let Some(kind) = acted {
            phone.screen.verdict(kind);
        } else {
            check_silence(name, phone, &after, &words);
        }
        for event in &heard.events {
            let fits = phone.screen.hear(event, &who, &after);
            assert_eq!(fits, Ok(()), "{name} heard {words:?}");
        }
        if let Some(kind) = acted {
            phone.screen.left(kind, &after);
        }
        assert!(
            phone.screen.is_true(&after, &who, &with, now),
            "{name} shows {:?} after {words:?}",
            phone.screen
        );
        check_one_by_one(name, phone, now, &heard.shown);
        phone.record = Some(after);
        phone.shown = heard.shown;
        phone.unheard.clear();
    }
}

/// Whoever shows nothing and to whom nothing is open hears nothing. While they listen, a creator's
/// devices hear of calls being made and cancelled, and so do those of others who cancel.
fn check_silence(name: &str, phone: &Phone, after: &Call, words: &[String]) {
    let (who, with) = (owner(name), device(name));
    let shows = phone.screen != Screen::default();
    let member = after.member(&who);
    let rings = member.is_some_and(|member| member.state.is_pending());
    let here = member.is_some_and(|member| member.primary_device() == Some(&with));
    let cancels = words
        .iter()
        .all(|word| word.starts_with("cancelled, invited by") || word.starts_with("created"));
    if !shows && !rings && !here && !cancels {
        assert!(words.is_empty(), "{name} heard {words:?}");
    }
}

fn check_rings(
    name: &str,
    before: &Shown,
    events: &[offhook::call::CallEvent],
    after: &Shown,
    acted: Option<CommandKind>,
) {
    let who = owner(name);
    let closing = events
        .iter()
        .filter(|event| closes_ring(event, who.as_str()))
        .count();
    let opening = events
        .iter()
        .filter(|event| event.name() == "callInvitationReceived")
        .count();
    let goes_on = before.ringing && after.ringing && before.rung == after.rung;
    let own = acted.is_some_and(|kind| {
        [CommandKind::Accept, CommandKind::Reject, CommandKind::Join].contains(&kind)
    });
    if before.ringing && !goes_on && !own {
        let dialled = usize::from(before.dialling && !after.dialling);
        assert!(closing == 1 || closing == 1 + dialled, "{name}: {events:?}");
    }
    if goes_on {
        assert_eq!((closing, opening), (0, 0), "{name}: {events:?}");
    }
    assert!(opening <= 1);
    assert_eq!(opening == 1, after.rung > before.rung, "{name}: {events:?}");
    if opening == 1 {
        assert_eq!(
            events.last().map(|event| event.name()),
            Some("callInvitationReceived")
        );
    }
}

/// Heard record by record, it ends the same, and every ring has one end there too.
fn check_one_by_one(name: &str, phone: &Phone, now: i64, at_once: &Shown) {
    let (who, with) = (owner(name), device(name));
    let mut record = phone.record.clone();
    let mut shown = phone.shown.clone();
    let mut open = i32::from(shown.ringing);
    for (after, at) in &phone.unheard {
        let viewer = Viewer {
            user: &who,
            device: &with,
            shown: &shown,
            live: phone.unheard.len() == 1,
            entered: false,
            now: *at,
        };
        let heard = hear(record.as_ref(), after, &viewer);
        let answered_here = shown.ringing
            && !heard.shown.ringing
            && !heard
                .events
                .iter()
                .any(|event| closes_ring(event, who.as_str()));
        for event in &heard.events {
            if event.name() == "callInvitationReceived" {
                open += 1;
            } else if open > 0 && closes_ring(event, who.as_str()) {
                open -= 1;
            }
            assert!((0..=1).contains(&open), "{name}: {:?}", heard.events);
        }
        open -= i32::from(answered_here);
        assert_eq!(open == 1, heard.shown.ringing, "{name}: {:?}", heard.events);
        shown = heard.shown;
        record = Some(after.clone());
    }
    assert_eq!(shown.dialling, at_once.dialling, "{name}");
    // Past its deadline a ring is for the device's own timer to stop, and does not open.
    let undecided = record.is_some_and(|record| {
        let member = record.member(&who);
        member.is_some_and(|member| member.state.is_pending() && member.deadline <= now)
    });
    if !undecided {
        assert_eq!(shown.ringing, at_once.ringing, "{name}");
        assert!(!shown.ringing || shown.rung == at_once.rung, "{name}");
    }
}

/// What holds of every record.
pub fn check_record(call: &Call) {
    let started = call.state == CallState::Started;
    assert_eq!(started, call.ending.is_none());
    let open = call
        .members
        .iter()
        .filter(|member| member.state.takes_place())
        .count();
    assert!(open <= 10 && call.members.len() <= 20);
    assert_eq!(call.members[0].user, call.caller);
    let pending = call.members.iter().any(|member| member.state.is_pending());
    let present = call
        .members
        .iter()
        .any(|member| member.state == UserState::Accepted);
    match call.mode {
        Mode::General => assert_eq!(
            pending, started,
            "a general call goes on while one is pending"
        ),
        Mode::Advanced => assert!(!started || pending || present, "nobody is left"),
        Mode::Unknown => unreachable!(),
    }
    for member in &call.members {
        let own = member.own.as_ref().expect("own");
        let in_it = [UserState::Accepted, UserState::Quit].contains(&member.state);
        assert!(!in_it || (member.participation > 0 && own.primary_device.is_some()));
        assert_eq!(own.primary_device.is_some(), member.participation > 0);
        assert!(member.state_revision <= call.revision && own.primary_revision <= call.revision);
        let closed = own
            .closings
            .iter()
            .filter(|closing| closing.invitation == member.invitation);
        let asked = member.invitation > 0;
        assert_eq!(
            closed.count(),
            usize::from(asked && !member.state.is_pending())
        );
        assert!(
            ![
                UserState::Unknown,
                UserState::Offline,
                UserState::Ended,
                UserState::BeCancelled
            ]
            .contains(&member.state)
        );
    }
}

/// What holds of every change.
pub fn check_change(before: &Call, after: &Call) {
    assert!(after.revision > before.revision);
    if before.state == CallState::Ended {
        assert_eq!(before.ending, after.ending);
    }
    for member in &before.members {
        let now = after.member(&member.user).expect("nobody is forgotten");
        assert!(now.invitation >= member.invitation && now.participation >= member.participation);
        assert!(now.state_revision >= member.state_revision);
        if now.state != member.state {
            assert!(
                before.state == CallState::Started,
                "an ended call is frozen"
            );
            assert!(now.state_revision > before.revision);
            let asked = now.invitation > member.invitation;
            let came_in = now.participation > member.participation;
            match member.state {
                UserState::Rejected
                | UserState::Cancelled
                | UserState::Timeout
                | UserState::Quit => assert!(asked || came_in, "{member:?} {now:?}"),
                UserState::Accepted => assert_eq!(now.state, UserState::Quit),
                _ => {}
            }
        }
    }
    if let Some(ending) = after.ending.as_ref().filter(|_| before.ending.is_none()) {
        match ending.kind {
            EndKind::Completed => assert_eq!(after.mode, Mode::General),
            EndKind::Cancelled => assert!(!after.is_answered()),
            EndKind::Ended | EndKind::Abandoned => assert_eq!(after.mode, Mode::Advanced),
            EndKind::Forgotten | EndKind::Unknown => panic!("{ending:?}"),
        }
    }
}

fn play(mode: Mode, invited: usize, steps: &[(Step, u8)]) {
    let mut history = History::new(mode, &USERS[1..=invited]);
    for (step, connected) in steps {
        let before = history.world.call().clone();
        let Some(done) = history.step(step) else {
            assert_eq!(history.world.call(), &before, "a refusal changes nothing");
            continue;
        };
        check_change(&before, history.world.call());
        check_record(history.world.call());
        assert_eq!(
            passing::pass_time(history.world.call(), history.world.now, &|_| true)
                .and_then(|call| passing::pass_time(&call, history.world.now, &|_| true)),
            None,
            "what is due fires once"
        );
        history.note();
        for (at, name) in DEVICES.iter().enumerate() {
            let acted = done
                .filter(|(acting, _)| acting == name)
                .map(|(_, kind)| kind);
            if acted.is_some() || connected & (1 << at) != 0 {
                history.sync(name, acted);
            }
        }
    }
    for name in DEVICES {
        history.sync(name, None);
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 1_500,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn advanced_calls(invited in 1..=3usize, steps in prop::collection::vec(step(), 1..60)) {
        play(Mode::Advanced, invited, &steps);
    }

    #[test]
    fn general_calls(invited in 1..=3usize, steps in prop::collection::vec(step(), 1..25)) {
        play(Mode::General, invited, &steps);
    }
}
