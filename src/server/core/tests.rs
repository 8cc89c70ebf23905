//! The core under virtual time, on the real store.

mod commands;
mod feed;
mod hello;
mod hostile;
mod housekeeping;
mod presence;
mod preview;
mod restored;
mod store;

use std::collections::{BTreeMap, VecDeque};

use tempfile::TempDir;

use super::*;
use crate::call::{self, Call, CallId, DeviceId, Mode, Op, UserState};
use crate::error::Code;
use crate::protocol::{
    Capabilities, CommandFrame, Cursor, Feed, Hello, Lane, Ping, Receipt, Settled, Verdict, Welcome,
};
use crate::server::auth::Keys;
use crate::server::store::sqlite::SqliteStore;

const START: Millis = 1_700_000_000_000;
const SECRET: &[u8] = b"a secret of more than 16 bytes";

/// What a device is told.
#[derive(Clone, Debug)]
enum Told {
    Frame(ToDevice),
    Closed(Option<ClosingReason>),
}

/// A core on a folder of its own, and all the devices that talk to it.
struct World {
    folder: TempDir,
    core: Option<Core>,
    settings: Settings,
    auth: Auth,
    mono: Millis,
    wall: Millis,
    conns: u64,
    seed: u64,
    told: BTreeMap<ConnId, VecDeque<Told>>,
    pushes: Vec<Push>,
    halted: Option<StoreError>,
    /// Devices that read nothing.
    slow: BTreeSet<ConnId>,
    /// Makes the store fail.
    fault: store::Fault,
}

/// What a device has on its disk.
#[derive(Clone, Debug)]
struct Disk {
    user: UserId,
    device: DeviceId,
    token: Option<String>,
    welcome_token: Option<String>,
    cursor: Cursor,
    next_number: u64,
    first_unsettled: u64,
    open_calls: Vec<CallId>,
    capabilities: Capabilities,
}

impl World {
    fn new() -> Self {
        Self::with(&[])
    }

    fn with(settings: &[&str]) -> Self {
        let mut set = Settings::default();
        for text in settings {
            set.set(text).unwrap();
        }
        let mut world = Self {
            folder: tempfile::tempdir().unwrap(),
            core: None,
            settings: set,
            auth: Auth::TrustNames,
            mono: 0,
            wall: START,
            conns: 0,
            seed: 0,
            told: BTreeMap::new(),
            pushes: Vec::new(),
            halted: None,
            slow: BTreeSet::new(),
            fault: store::Fault::default(),
        };
        world.start();
        world
    }

    fn with_tokens() -> Self {
        let mut world = Self::new();
        world.auth = Auth::Keys(Keys::parse(SECRET).unwrap());
        world.restart(0);
        world
    }

    fn start(&mut self) {
        let store = SqliteStore::open(self.folder.path()).unwrap();
        let store = store::Faulty::new(store, self.fault.clone());
        self.seed += 1_000_000;
        let mut count = self.seed;
        let entropy = Box::new(move || {
            count += 1;
            count
        });
        let time = Time {
            wall_ms: self.wall,
            mono_ms: self.mono,
        };
        let core = Core::new(
            Box::new(store),
            self.settings.clone(),
            self.auth.clone(),
            time,
            entropy,
        );
        self.core = Some(core.unwrap());
    }

    /// The server is killed, and started again after that long.
    fn restart(&mut self, after_ms: Millis) {
        self.core = None;
        self.told.clear();
        self.mono += after_ms;
        self.wall += after_ms;
        self.start();
    }

    fn now(&self) -> Millis {
        self.core.as_ref().unwrap().server_time()
    }

    /// One step, and what it tells.
    fn step(&mut self, inputs: Vec<Input>) {
        let effects = self.core.as_mut().unwrap().step(self.mono, inputs);
        let mut written = BTreeMap::new();
        for effect in effects {
            match effect {
                Effect::Send { conn, frame } => {
                    *written.entry(conn).or_default() += 1;
                    let told = self.told.entry(conn).or_default();
                    told.push_back(Told::Frame(*frame));
                }
                Effect::Close { conn, goodbye } => {
                    let told = self.told.entry(conn).or_default();
                    told.push_back(Told::Closed(goodbye.map(|goodbye| goodbye.reason)));
                }
                Effect::Push(push) => self.pushes.push(*push),
                Effect::Halt(error) => self.halted = Some(error),
            }
        }
        written.retain(|conn, _| !self.slow.contains(conn));
        if !written.is_empty() {
            let written = written
                .into_iter()
                .map(|(conn, frames)| Input::Written { conn, frames })
                .collect();
            self.step(written);
        }
    }

    /// All that wants to happen now.
    fn settle(&mut self) {
        for _ in 0..1_000 {
            match self.core.as_ref().unwrap().next_wakeup() {
                Some(at) if at <= self.mono => self.step(Vec::new()),
                Some(_) | None => return,
            }
        }
        panic!("the core never comes to rest");
    }

    /// Lets time pass, wakeup by wakeup.
    fn pass(&mut self, ms: Millis) {
        let end = self.mono + ms;
        loop {
            self.settle();
            match self.core.as_ref().unwrap().next_wakeup() {
                Some(at) if at <= end => {
                    self.wall += at - self.mono;
                    self.mono = at;
                    self.step(Vec::new());
                }
                Some(_) | None => break,
            }
        }
        self.wall += end - self.mono;
        self.mono = end;
        self.step(Vec::new());
        self.settle();
    }

    /// Lets time pass in which these devices go on sending pings.
    fn pass_awake(&mut self, ms: Millis, awake: &[ConnId]) {
        let mut left = ms;
        while left > 0 {
            let part = left.min(5_000);
            self.pass(part);
            for conn in awake {
                self.frame(*conn, ToServer::Ping(Ping { sent_at: 0 }));
            }
            left -= part;
        }
        for conn in awake {
            self.told
                .entry(*conn)
                .or_default()
                .retain(|told| !matches!(told, Told::Frame(ToDevice::Pong(_))));
        }
    }

    fn open(&mut self) -> ConnId {
        self.conns += 1;
        let conn = ConnId(self.conns);
        let peer = "127.0.0.1:9".parse().unwrap();
        let early = false;
        self.step(vec![Input::Connected { conn, peer, early }]);
        conn
    }

    fn frame(&mut self, conn: ConnId, frame: ToServer) {
        self.step(vec![Input::Frame { conn, frame }]);
        self.settle();
    }

    fn hello(&mut self, disk: &Disk) -> ConnId {
        let conn = self.open();
        self.frame(conn, ToServer::Hello(Box::new(disk.hello())));
        conn
    }

    /// Says hello, and is let in; all that comes with it is taken.
    fn log_in(&mut self, disk: &mut Disk) -> ConnId {
        let conn = self.hello(disk);
        let welcome = self.welcome(conn);
        disk.welcome_token = Some(welcome.welcome_token);
        for told in self.take(conn) {
            match told {
                Told::Frame(ToDevice::Feed(feed)) => {
                    disk.cursor = feed.cursor.unwrap_or(disk.cursor);
                }
                Told::Frame(ToDevice::Verdict(verdict)) => {
                    disk.first_unsettled = verdict.number + 1;
                }
                other => panic!("{other:?}"),
            }
        }
        conn
    }

    fn close(&mut self, conn: ConnId) {
        self.step(vec![Input::Disconnected { conn }]);
        self.settle();
    }

    fn take(&mut self, conn: ConnId) -> Vec<Told> {
        self.told.remove(&conn).unwrap_or_default().into()
    }

    fn next(&mut self, conn: ConnId) -> Told {
        let told = self.told.entry(conn).or_default().pop_front();
        told.expect("nothing was told")
    }

    fn nothing(&mut self, conn: ConnId) {
        let told = self.take(conn);
        assert!(told.is_empty(), "{told:?}");
    }

    fn welcome(&mut self, conn: ConnId) -> Welcome {
        match self.next(conn) {
            Told::Frame(ToDevice::Welcome(welcome)) => *welcome,
            other => panic!("no welcome: {other:?}"),
        }
    }

    fn verdict(&mut self, conn: ConnId) -> Verdict {
        match self.next(conn) {
            Told::Frame(ToDevice::Verdict(verdict)) => *verdict,
            other => panic!("no verdict: {other:?}"),
        }
    }

    fn feed(&mut self, conn: ConnId) -> Feed {
        match self.next(conn) {
            Told::Frame(ToDevice::Feed(feed)) => feed,
            other => panic!("no feed: {other:?}"),
        }
    }

    /// The only call of the only frame.
    fn live(&mut self, conn: ConnId) -> Call {
        let feed = self.feed(conn);
        assert_eq!((feed.lane, feed.calls.len()), (Lane::Live, 1));
        self.nothing(conn);
        feed.calls[0].clone()
    }

    fn refused(&mut self, conn: ConnId) -> Code {
        let Told::Frame(ToDevice::Refused(refused)) = self.next(conn) else {
            panic!("it was not refused");
        };
        assert!(matches!(self.next(conn), Told::Closed(None)));
        refused.error.code
    }

    fn closed(&mut self, conn: ConnId) -> Option<ClosingReason> {
        match self.next(conn) {
            Told::Closed(reason) => reason,
            other => panic!("not closed: {other:?}"),
        }
    }

    /// A command, and its verdict. What the device was told before is taken, too.
    fn command(
        &mut self,
        conn: ConnId,
        disk: &mut Disk,
        call: &str,
        command: call::Command,
    ) -> Verdict {
        self.take(conn);
        let frame = disk.command(call, command);
        self.frame(conn, frame);
        let verdict = self.verdict(conn);
        disk.first_unsettled = verdict.number + 1;
        verdict
    }

    /// A call by which one rings the other; what either hears of it is taken.
    fn ring(&mut self, caller: (ConnId, &mut Disk), id: &str, invitee: &str, mode: Mode) {
        let command = invite(&[invitee], 60, mode);
        let verdict = self.command(caller.0, caller.1, id, command);
        assert!(verdict.result.is_ok(), "{:?}", verdict.result);
        self.take(caller.0);
    }

    /// The record as the store has it.
    fn stored(&mut self, id: &str) -> Call {
        let core = self.core.as_mut().unwrap();
        let mut transaction = core.store.begin().unwrap();
        transaction.call(&CallId::trusted(id)).unwrap().unwrap()
    }

    fn state_of(&mut self, id: &str, user: &str) -> UserState {
        let call = self.stored(id);
        call.member(&UserId::trusted(user)).unwrap().state
    }
}

impl Disk {
    fn new(user: &str, device: &str) -> Self {
        Self {
            user: UserId::trusted(user),
            device: DeviceId::trusted(device),
            token: None,
            welcome_token: None,
            cursor: Cursor::default(),
            next_number: 1,
            first_unsettled: 1,
            open_calls: Vec::new(),
            capabilities: Capabilities::OURS,
        }
    }

    fn hello(&self) -> Hello {
        Hello {
            version_min: 1,
            version_max: 1,
            build: "test".to_owned(),
            capabilities: self.capabilities,
            user: self.user.clone(),
            token: self.token.clone(),
            device: self.device.clone(),
            welcome_token: self.welcome_token.clone(),
            cursor: self.cursor,
            next_number: self.next_number,
            first_unsettled: self.first_unsettled,
            open_calls: self.open_calls.clone(),
            sent_at: 7,
        }
    }

    /// The next command.
    fn command(&mut self, call: &str, command: call::Command) -> ToServer {
        let number = self.next_number;
        self.next_number += 1;
        ToServer::Command(Box::new(CommandFrame {
            number,
            op: Op::trusted(format!("{}-{number}", self.device)),
            call: CallId::trusted(call),
            not_after: 0,
            command,
        }))
    }
}

fn invite(invitees: &[&str], timeout_s: u32, mode: Mode) -> call::Command {
    call::Command::Invite {
        invitees: invitees.iter().copied().map(UserId::trusted).collect(),
        timeout_s,
        mode,
        extended_data: String::new(),
        not_received_check: false,
        push: None,
    }
}

fn accept() -> call::Command {
    call::Command::Accept {
        invitation: None,
        extended_data: String::new(),
    }
}

fn cancel() -> call::Command {
    call::Command::Cancel {
        invitees: Vec::new(),
        extended_data: String::new(),
        push: None,
    }
}

fn quit() -> call::Command {
    call::Command::Quit {
        under: call::Under::Unknown,
        extended_data: String::new(),
        push: None,
    }
}

/// Two users with a device each, logged in.
fn two() -> (World, (ConnId, Disk), (ConnId, Disk)) {
    two_in(World::new())
}

fn two_in(mut world: World) -> (World, (ConnId, Disk), (ConnId, Disk)) {
    let (mut alice, mut bob) = (Disk::new("alice", "a1"), Disk::new("bob", "b1"));
    let a = world.log_in(&mut alice);
    let b = world.log_in(&mut bob);
    (world, (a, alice), (b, bob))
}
