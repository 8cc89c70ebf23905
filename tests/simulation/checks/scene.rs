//! Small logs, written by hand, for the tests of the checks. Calls are advanced, ring for 60 s, and
//! each handset is called `d` and its number.

mod calls;
mod last;

use std::collections::BTreeMap;

use offhook::call::{
    Call, CallEvent, CallId, CallState, Command, DeviceId, EndKind, Ending, Member, Millis, Mode,
    Op, Outcome, Own, PushConfig, Under, UserId, UserState,
};
use offhook::call::{CallUser, Closing};
use offhook::client::core::{PushTaken, Submitted};
use offhook::client::event::{CommandSettled, Event, EventKind};
use offhook::client::store::{CallEntry, RingEntry};
use offhook::protocol::{
    Capabilities, CommandFrame, Cursor, Feed, Hello, Lane, Limits, ToDevice, ToServer, Verdict,
    Welcome,
};
use offhook::server::push::{Push, PushKind};
use offhook::server::store::KeptVerdict;
use offhook::{CommandKind, Error};

use crate::observe::{
    Answer, BEGIN_MS, Change, Entry, Handset, How, Last, LastOfHandset, LastOfServer, OfHandset,
    OfServer, Record, Stored, Weakened, What,
};

const RING_S: u32 = 60;

/// A run that passes every check.
pub fn holds(record: &Record) {
    let found = super::check(record);
    assert!(found.is_empty(), "{found:#?}");
}

/// A run in which that invariant is found broken.
pub fn breaks(record: &Record, invariant: &str) {
    let found = super::check(record);
    let is_there = found.iter().any(|found| found.invariant == invariant);
    assert!(is_there, "{invariant} is not among {found:#?}");
}

/// A log in the making.
pub struct Scene {
    users: Vec<UserId>,
    log: Vec<Entry>,
    time: i64,
    calls: BTreeMap<CallId, Call>,
    frames: BTreeMap<Op, CommandFrame>,
    verdicts: BTreeMap<Op, KeptVerdict>,
    journals: Vec<Vec<Event>>,
    apps: Vec<u32>,
    stored: u64,
}

fn device(handset: usize) -> DeviceId {
    DeviceId::trusted(format!("d{handset}"))
}

fn op(name: &str) -> Op {
    Op::trusted(name)
}

fn call_id(name: &str) -> CallId {
    CallId::trusted(name)
}

fn invite(invitees: &[&str]) -> Command {
    Command::Invite {
        invitees: invitees.iter().map(|user| UserId::trusted(*user)).collect(),
        timeout_s: RING_S,
        mode: Mode::Advanced,
        extended_data: String::new(),
        not_received_check: false,
        push: None,
    }
}

impl Scene {
    /// A server, and a connected handset for each name.
    pub fn new(users: &[&str]) -> Self {
        let mut scene = Self {
            users: users.iter().map(|user| UserId::trusted(*user)).collect(),
            log: Vec::new(),
            time: 0,
            calls: BTreeMap::new(),
            frames: BTreeMap::new(),
            verdicts: BTreeMap::new(),
            journals: vec![Vec::new(); users.len()],
            apps: vec![1; users.len()],
            stored: 0,
        };
        let server_ms = scene.now();
        scene.note(What::Server(OfServer::Started { server_ms }));
        for handset in 0..users.len() {
            scene.comes(handset);
        }
        scene
    }

    fn comes(&mut self, handset: usize) {
        self.of(
            handset,
            OfHandset::Opened {
                run: 1,
                boot: 1,
                device: device(handset),
                acknowledged: 0,
            },
        );
        let (run, app, from) = (1, 1, 0);
        self.of(handset, OfHandset::AppBegan { run, app, from });
        self.of(handset, OfHandset::AppCaughtUp { run, app });
        let hello = Hello {
            version_min: 1,
            version_max: 1,
            build: String::new(),
            capabilities: Capabilities::OURS,
            user: self.users[handset].clone(),
            token: None,
            device: device(handset),
            welcome_token: None,
            cursor: Cursor::default(),
            next_number: 1,
            first_unsettled: 1,
            open_calls: Vec::new(),
            sent_at: 0,
        };
        self.server_got(handset, ToServer::Hello(Box::new(hello)));
        let welcome = Welcome {
            version: 1,
            server_time: self.now(),
            hello_sent_at: 0,
            epoch: 1,
            cursor_valid: true,
            last_number: 0,
            welcome_token: String::new(),
            limits: Limits {
                heartbeat_s: 10,
                offline_after_s: 35,
                extended_data_bytes_max: 2048,
            },
        };
        let welcome = ToDevice::Welcome(Box::new(welcome));
        self.note(What::Server(OfServer::Said {
            conn: handset as u64,
            handset: Handset(handset),
            frame: Box::new(welcome.clone()),
        }));
        self.gets(handset, welcome);
        self.gets(handset, feed(Lane::Open, Vec::new()));
    }

    fn now(&self) -> Millis {
        BEGIN_MS + self.time
    }

    fn note(&mut self, what: What) {
        let at = self.time;
        self.log.push(Entry { at, what });
    }

    fn of(&mut self, handset: usize, what: OfHandset) {
        self.note(What::Handset(Handset(handset), what));
    }

    fn server_got(&mut self, handset: usize, frame: ToServer) {
        self.note(What::Server(OfServer::Got {
            conn: handset as u64,
            handset: Handset(handset),
            frame: Box::new(frame),
        }));
    }

    fn gets(&mut self, handset: usize, frame: ToDevice) {
        let got = OfHandset::Got {
            run: 1,
            conn: handset as u64,
            frame: Box::new(frame),
            survived: true,
            error: None,
        };
        self.of(handset, got);
    }

    fn stores(&mut self, changes: Vec<Change>) {
        self.stored += 1;
        let stored = Stored {
            number: self.stored,
            server_ms: self.now(),
            changes,
            doubted: false,
        };
        self.note(What::Server(OfServer::Stored(stored)));
    }

    pub fn passes(&mut self, ms: i64) {
        self.time += ms;
    }

    fn submits(
        &mut self,
        handset: usize,
        name: &str,
        call: Option<CallId>,
        command: Command,
        answer: Answer<Submitted>,
    ) {
        let submitted = OfHandset::Submitted {
            run: 1,
            op: op(name),
            call,
            command,
            wait_s: None,
            waited_for: false,
            answer,
        };
        self.of(handset, submitted);
    }

    fn asks(&mut self, handset: usize, name: &str, call: &str, command: Command) {
        let submitted = Submitted {
            op: op(name),
            call_id: call_id(call),
        };
        let given = (command.kind() != CommandKind::Invite).then(|| call_id(call));
        self.frame(name, call, command.clone());
        self.submits(handset, name, given, command, Some(Ok(submitted)));
    }

    fn frame(&mut self, name: &str, call: &str, command: Command) {
        let frame = CommandFrame {
            number: self.frames.len() as u64 + 1,
            op: op(name),
            call: call_id(call),
            not_after: 0,
            command,
        };
        self.frames.insert(op(name), frame);
    }

    pub fn asks_to_invite(&mut self, handset: usize, name: &str, call: &str, whom: &[&str]) {
        self.asks(handset, name, call, invite(whom));
    }

    pub fn asks_to_quit(&mut self, handset: usize, name: &str, call: &str) {
        let quit = Command::Quit {
            under: Under::Unknown,
            extended_data: String::new(),
            push: None,
        };
        self.asks(handset, name, call, quit);
    }

    pub fn is_refused_at_once(&mut self, handset: usize, name: &str, call: &str, error: Error) {
        let accept = Command::Accept {
            invitation: None,
            extended_data: String::new(),
        };
        self.submits(handset, name, Some(call_id(call)), accept, Some(Err(error)));
    }

    pub fn sends(&mut self, handset: usize, name: &str) {
        let frame = self.frames[&op(name)].clone();
        self.server_got(handset, ToServer::Command(Box::new(frame)));
    }

    pub fn sends_unasked(&mut self, handset: usize, name: &str, call: &str, whom: &[&str]) {
        self.frame(name, call, invite(whom));
        self.sends(handset, name);
    }

    /// Takes an invite.
    pub fn server_decides(&mut self, handset: usize, name: &str) {
        let frame = self.frames[&op(name)].clone();
        let Command::Invite { invitees, .. } = &frame.command else {
            panic!("only invites are decided here");
        };
        let call = self.new_call(handset, &frame, invitees);
        self.calls.insert(call.id.clone(), call.clone());
        let verdict = KeptVerdict {
            number: frame.number,
            op: frame.op.clone(),
            call: call.id.clone(),
            digest: [0; 32],
            result: Ok(Outcome::Invited {
                timeout_s: RING_S,
                errors: Vec::new(),
            }),
        };
        self.verdicts.insert(op(name), verdict.clone());
        let changes = vec![
            Change::Call {
                before: None,
                after: Box::new(call),
            },
            self.verdict_change(handset, verdict),
        ];
        self.stores(changes);
    }

    fn verdict_change(&self, handset: usize, verdict: KeptVerdict) -> Change {
        Change::Verdict {
            user: self.users[handset].clone(),
            device: device(handset),
            verdict: Box::new(verdict),
        }
    }

    pub fn decided_again(&mut self) {
        let verdict = self.verdicts.values().next().expect("a verdict").clone();
        let change = self.verdict_change(0, verdict);
        self.stores(vec![change]);
    }

    /// A whole invite, taken and told.
    pub fn invite(&mut self, handset: usize, name: &str, call: &str, whom: &[&str]) {
        self.asks_to_invite(handset, name, call, whom);
        self.sends(handset, name);
        self.server_decides(handset, name);
        self.hears_verdict(handset, name);
        self.hears_created(handset, call);
    }

    pub fn hears_verdict(&mut self, handset: usize, name: &str) {
        let kept = self.verdicts[&op(name)].clone();
        let verdict = Verdict {
            number: kept.number,
            op: kept.op.clone(),
            result: kept.result.clone(),
            call: Some(self.calls[&kept.call].seen_by(&self.users[handset])),
        };
        self.gets(handset, ToDevice::Verdict(Box::new(verdict)));
        self.settles(handset, name, kept.result);
    }

    pub fn settles(&mut self, handset: usize, name: &str, result: Result<Outcome, Error>) {
        let frame = &self.frames[&op(name)];
        let settled = CommandSettled {
            op: op(name),
            call_id: frame.call.clone(),
            command: frame.command.kind(),
            result,
        };
        self.hears(handset, EventKind::CommandSettled(settled));
    }

    /// The next event of the journal, as it happens.
    fn hears(&mut self, handset: usize, event: EventKind) {
        let position = self.journals[handset].len() as u64 + 1;
        self.journals[handset].push(Event {
            position: Some(position),
            kind: event.clone(),
        });
        self.heard(handset, How::Live, position, event);
    }

    fn heard(&mut self, handset: usize, how: How, position: u64, event: EventKind) {
        let heard = OfHandset::Heard {
            run: 1,
            app: self.apps[handset],
            how,
            position: Some(position),
            event,
        };
        self.of(handset, heard);
    }

    pub fn hears_last_again(&mut self, handset: usize) {
        let settled = self.journals[handset].iter();
        let mut settled = settled.filter(|event| event.name() == "commandSettled");
        let last = settled.next_back().expect("a verdict").clone();
        self.heard(
            handset,
            How::Live,
            last.position.unwrap_or_default(),
            last.kind,
        );
    }

    pub fn hears_created(&mut self, handset: usize, call: &str) {
        let call = self.calls[&call_id(call)].clone();
        let created = CallEvent::Created {
            call_id: call.id,
            mode: call.mode,
            caller: call.caller,
            extended_data: String::new(),
            timeout: RING_S,
            create_time: call.create_time,
            call_user_list: Vec::new(),
        };
        self.hears(handset, EventKind::Call(created));
    }

    pub fn gets_record(&mut self, handset: usize, call: &str) {
        let call = self.calls[&call_id(call)].seen_by(&self.users[handset]);
        self.gets(handset, feed(Lane::Live, vec![call]));
    }

    /// The server's push, which comes before its record does.
    pub fn gets_push(&mut self, handset: usize, call: &str) {
        let call = &self.calls[&call_id(call)];
        let member = call.member(&self.users[handset]).expect("is no member");
        let push = Push {
            user: member.user.clone(),
            kind: PushKind::Invite,
            call: call.id.clone(),
            caller: call.caller.clone(),
            inviter: call.caller.clone(),
            mode: call.mode,
            invitation: member.invitation,
            timeout_s: RING_S,
            deadline: member.deadline,
            create_time: call.create_time,
            extended_data: String::new(),
            config: PushConfig::default(),
            sent_at: self.now(),
        };
        let call_id = call.id.clone();
        let pushed = OfHandset::Pushed {
            run: 1,
            push: Box::new(push),
            answer: Some(Ok(PushTaken {
                ring: true,
                call_id,
            })),
        };
        self.of(handset, pushed);
    }

    pub fn rings(&mut self, handset: usize, call: &str) {
        self.gets_record(handset, call);
        let deadline = self.deadline(handset, call);
        self.rings_until(handset, call, deadline);
    }

    fn deadline(&self, handset: usize, call: &str) -> Millis {
        let member = self.calls[&call_id(call)].member(&self.users[handset]);
        member.expect("is no member").deadline
    }

    pub fn rings_until(&mut self, handset: usize, call: &str, deadline: Millis) {
        let call = self.calls[&call_id(call)].clone();
        let received = CallEvent::Received {
            call_id: call.id,
            mode: call.mode,
            caller: call.caller.clone(),
            inviter: call.caller,
            extended_data: String::new(),
            timeout: RING_S,
            create_time: call.create_time,
            deadline,
            remaining: deadline - self.now(),
            call_user_list: Vec::new(),
            over: false,
        };
        self.hears(handset, EventKind::Call(received));
    }

    pub fn times_out(&mut self, handset: usize, call: &str) {
        self.gets_record(handset, call);
        let timeout = CallEvent::Timeout {
            call_id: call_id(call),
            mode: Mode::Advanced,
            local: false,
        };
        self.hears(handset, EventKind::Call(timeout));
    }

    pub fn hears_change(&mut self, handset: usize, call: &str, user: &str) {
        let changed = CallEvent::UserStateChanged {
            call_id: call_id(call),
            call_user_list: vec![CallUser {
                user_id: UserId::trusted(user),
                state: UserState::Inviting,
                extended_data: String::new(),
            }],
        };
        self.hears(handset, EventKind::Call(changed));
    }

    /// Hears that it was answered elsewhere, by the device itself.
    pub fn hears_elsewhere(&mut self, handset: usize, call: &str) {
        let elsewhere = CallEvent::HandledElsewhere {
            call_id: call_id(call),
            state: UserState::Accepted,
            device_id: device(handset).to_string(),
        };
        self.hears(handset, EventKind::Call(elsewhere));
    }

    pub fn looks(&mut self, handset: usize, ringing: &[&str]) {
        let ringing = ringing.iter().map(|call| self.ring(handset, call));
        let looked = OfHandset::Looked {
            run: 1,
            ringing: ringing.collect(),
            missed: 0,
            server_ms: self.now(),
        };
        self.of(handset, looked);
    }

    fn ring(&self, handset: usize, call: &str) -> RingEntry {
        let deadline = self.deadline(handset, call);
        let call = &self.calls[&call_id(call)];
        RingEntry {
            call_id: call.id.clone(),
            inviter: call.caller.clone(),
            caller: call.caller.clone(),
            mode: call.mode,
            extended_data: String::new(),
            deadline,
            remaining: deadline - self.now(),
        }
    }

    /// The app dies; another reads on from there, and reads what stands at those positions.
    pub fn app_begins_again(&mut self, handset: usize, from: u64, reads: &[u64]) {
        let (run, app) = (1, self.apps[handset]);
        self.of(handset, OfHandset::AppDied { run, app });
        self.apps[handset] += 1;
        let app = app + 1;
        self.of(handset, OfHandset::AppBegan { run, app, from });
        for position in reads {
            let at = usize::try_from(*position).expect("a small number") - 1;
            let event = self.journals[handset][at].kind.clone();
            self.heard(handset, How::Replayed, *position, event);
        }
        self.of(handset, OfHandset::AppCaughtUp { run, app });
    }
}

fn feed(lane: Lane, calls: Vec<Call>) -> ToDevice {
    ToDevice::Feed(Feed {
        last: lane == Lane::Open,
        lane,
        cursor: None,
        settled: 0,
        calls,
    })
}
