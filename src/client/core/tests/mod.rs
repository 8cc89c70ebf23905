//! The core as the machine that it is: a real file, hand-fed link events and frames, time as an
//! argument, effects drained and read.
//!
//! A test reads as a story of one device: `bob`'s, named `b1`. The other side is [`Server`], which
//! makes its records with the rules themselves. What comes out is put into short words, so that an
//! assertion shows the order of things: see [`words`].

mod catching_up;
mod commands;
mod connecting;
mod failures;
mod heartbeat;
mod housekeeping;
mod identity;
mod journal;
mod lease;
mod missed;
mod outbox;
mod preview;
mod provider;
mod push;
mod renumber;
mod rings;
mod server;
mod time;
mod tokens;
mod words;

use std::path::PathBuf;
use std::rc::Rc;

use server::Server;
use tempfile::TempDir;
use words::{words_of_end, words_of_event, words_of_frame, words_of_link, words_of_want};

use super::{Core, CoreSettings, Effect, Submission, Submitted};
use crate::call::{Call, CallId, Command, DeviceId, Mode, Op, PushConfig, Target, Under, UserId};
use crate::client::clock::Now;
use crate::client::event::{Event, EventKind};
use crate::client::store::{ByHand, Readers, Store};
use crate::client::transport::{DownKind, LinkCommand, LinkDown, LinkEvent};
use crate::error::Error;
use crate::protocol::{ClosingReason, Goodbye, Hello, ToDevice, ToServer, Verdict};

/// The server's clock when a story begins; the device's wall clock says the same.
pub const BEGIN: i64 = 1_800_000_000_000;
const MONO_BEGIN: i64 = 5_000_000;

pub fn user(name: &str) -> UserId {
    UserId::trusted(name)
}

pub fn call_id(name: &str) -> CallId {
    CallId::trusted(name)
}

/// One device, and the server it speaks to.
pub struct Device {
    /// `None` only while the file is opened again.
    core: Option<Core>,
    pub server: Server,
    pub now: Now,
    pub file: PathBuf,
    folder: Rc<TempDir>,
    entropy: u64,
    token: Option<String>,
    provides_tokens: bool,
    /// Which boot of the device this is.
    boot: String,
    /// What the steady clock said when the story began; another number after a boot.
    origin: i64,
    /// The attempt that the link was last asked for.
    attempt: u64,
    /// The hello of that attempt.
    hello: Option<Hello>,
    frames: Vec<ToServer>,
    links: Vec<String>,
    told: Vec<String>,
    /// Positions of verdicts that were told.
    pub verdict_positions: Vec<u64>,
    /// Positions of all that was told.
    pub positions: Vec<u64>,
    /// Whether the server answers pings at once.
    pub answers_pings: bool,
}

impl Device {
    /// Not started.
    pub fn new() -> Self {
        Self::with(0, None)
    }

    /// `entropy`: the only random number there is.
    pub fn with(entropy: u64, token: Option<&str>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut device = Self {
            core: None,
            server: Server::new(),
            now: Now {
                mono_ms: MONO_BEGIN,
                wall_ms: BEGIN,
            },
            file: folder.path().join("bob.db"),
            folder: Rc::new(folder),
            entropy,
            token: token.map(str::to_owned),
            provides_tokens: false,
            boot: "boot".into(),
            origin: MONO_BEGIN,
            attempt: 0,
            hello: None,
            frames: Vec::new(),
            links: Vec::new(),
            told: Vec::new(),
            verdict_positions: Vec::new(),
            positions: Vec::new(),
            answers_pings: true,
        };
        device.open();
        device
    }

    /// Another engine on the same file, and not started.
    pub fn beside(first: &Self) -> Self {
        let mut device = Self::with(0, None);
        device.core = None;
        device.file.clone_from(&first.file);
        device.now = first.now;
        device.folder = Rc::clone(&first.folder);
        device.open();
        device
    }

    /// Not started; the app can be asked for tokens.
    pub fn with_provider(token: Option<&str>) -> Self {
        let mut device = Self::with(0, token);
        device.provides_tokens = true;
        device.reopen();
        device
    }

    /// Connected, caught up with nothing, and nothing left to read.
    pub fn connected() -> Self {
        let mut device = Self::new();
        device.connect();
        device.caught_up();
        device.forget_what_was_said();
        device
    }

    fn open(&mut self) {
        let store = Store::open(&self.file, &user("bob"), &DeviceId::trusted("b1")).unwrap();
        let settings = CoreSettings {
            token: self.token.clone(),
            provides_tokens: self.provides_tokens,
            build: "test 1".into(),
            wait_s: super::WAIT_S_DEFAULT,
            boot: self.boot.clone(),
        };
        let entropy = self.entropy;
        let now = self.now;
        let mut core = Core::new(now, store, settings, Box::new(move || entropy)).unwrap();
        core.look(now).unwrap();
        self.core = Some(core);
    }

    /// The app goes away without a word and comes back to the same file.
    pub fn reopen(&mut self) {
        self.core = None;
        self.forget_what_was_said();
        self.attempt = 0;
        self.open();
    }

    /// The device is started anew, and the app after it. Its steady clock begins again.
    pub fn reboot(&mut self) {
        let passed = self.server_time() - BEGIN;
        self.boot.push_str(" again");
        self.now.mono_ms = 1_000;
        self.origin = self.now.mono_ms - passed;
        self.reopen();
    }

    pub fn core(&mut self) -> &mut Core {
        self.core.as_mut().unwrap()
    }

    /// Does something with the core and takes its effects.
    pub fn act<T>(&mut self, act: impl FnOnce(&mut Core, Now) -> T) -> T {
        let now = self.now;
        let value = act(self.core(), now);
        self.drain();
        value
    }

    fn drain(&mut self) {
        while let Some(effect) = self.core().poll_effect() {
            match effect {
                Effect::Link(LinkCommand::Send { attempt, frame }) => {
                    assert_eq!(
                        attempt, self.attempt,
                        "{frame:?} is sent on another attempt"
                    );
                    if let ToServer::Hello(hello) = &frame {
                        self.hello = Some(hello.as_ref().clone());
                    }
                    self.frames.push(frame);
                }
                Effect::Link(command) => {
                    if let LinkCommand::Connect { attempt } = command {
                        self.attempt = attempt;
                        self.hello = None;
                    }
                    self.links.push(words_of_link(&command));
                }
                Effect::Settled { position, settled } => {
                    self.verdict_positions.push(position);
                    self.positions.push(position);
                    self.told
                        .push(words_of_event(&EventKind::CommandSettled(settled)));
                }
                Effect::Event { position, event } => {
                    self.positions.extend(position);
                    self.told.push(words_of_event(&event));
                }
                Effect::TokenRenewed(result) => {
                    self.told.push(format!("renewed {}", words_of_end(&result)));
                }
                Effect::TokenWanted { request, why } => {
                    self.told.push(words_of_want(request, &why));
                }
                Effect::TokenNotWanted { request } => {
                    self.told.push(format!("request {request} given up"));
                }
                Effect::LoggedOut => self.told.push("logged out".into()),
            }
        }
    }

    // What came out ------------------------------------------------------------------------------

    /// All that the app was told since the last look.
    pub fn told(&mut self) -> Vec<String> {
        std::mem::take(&mut self.told)
    }

    /// The same without the connection's ups and downs.
    pub fn heard(&mut self) -> Vec<String> {
        let mut told = self.told();
        told.retain(|words| !words.starts_with("connection "));
        told
    }

    /// All frames that were sent since the last look, in words.
    pub fn sent(&mut self) -> Vec<String> {
        self.sent_frames().iter().map(words_of_frame).collect()
    }

    /// The same, only those that begin with a word.
    pub fn sent_of(&mut self, word: &str) -> Vec<String> {
        let mut sent = self.sent();
        sent.retain(|words| words.starts_with(word));
        sent
    }

    pub fn sent_frames(&mut self) -> Vec<ToServer> {
        std::mem::take(&mut self.frames)
    }

    pub fn links(&mut self) -> Vec<String> {
        std::mem::take(&mut self.links)
    }

    pub fn forget_what_was_said(&mut self) {
        self.frames.clear();
        self.links.clear();
        self.told.clear();
    }

    pub fn readers(&self) -> Readers {
        Readers::new(&self.file, &user("bob"))
    }

    /// The journal from its beginning.
    pub fn journal(&self) -> Vec<Event> {
        let now = self.server_time();
        self.readers().events_since(0, 1_000, now).unwrap().0
    }

    pub fn journal_words(&self) -> Vec<String> {
        let events = self.journal();
        events.iter().map(|e| words_of_event(&e.kind)).collect()
    }

    pub fn ringing(&self) -> Vec<CallId> {
        let rings = self.readers().ringing(self.server_time()).unwrap();
        rings.into_iter().map(|ring| ring.call_id).collect()
    }

    /// A connection of the test's own to the same file.
    pub fn sql(&self) -> ByHand {
        ByHand::open(&self.file).unwrap()
    }

    /// One number from the file.
    pub fn count(&self, sql: &str) -> i64 {
        self.sql().query_row(sql, [], |row| row.get(0)).unwrap()
    }

    // Time ---------------------------------------------------------------------------------------

    /// What the server's clock says.
    pub fn server_time(&self) -> i64 {
        BEGIN + self.now.mono_ms - self.origin
    }

    /// Time passes and the core is asleep.
    pub fn sleep(&mut self, ms: i64) {
        self.now.mono_ms += ms;
        self.now.wall_ms += ms;
        self.server.now = self.server_time();
    }

    /// Time passes and the core is woken whenever it wants to be.
    pub fn pass(&mut self, ms: i64) {
        let end = self.now.mono_ms + ms;
        for _ in 0..10_000 {
            let now = self.now;
            let due = self.core().poll_timeout(now).filter(|due| *due <= end);
            let Some(due) = due else {
                self.sleep(end - now.mono_ms);
                return;
            };
            self.sleep((due - now.mono_ms).max(0));
            let _ = self.wake();
        }
        panic!("the core wants to be woken again and again");
    }

    /// The core is woken.
    pub fn wake(&mut self) -> Result<(), Error> {
        let done = self.act(Core::handle_timeout);
        if self.answers_pings {
            self.pong();
        }
        done
    }

    /// The server answers the pings that were sent and not answered.
    pub fn pong(&mut self) {
        let pings: Vec<_> = self
            .frames
            .iter()
            .filter_map(|frame| match frame {
                ToServer::Ping(ping) => Some(*ping),
                _ => None,
            })
            .collect();
        for ping in pings {
            if ping.sent_at == self.now.mono_ms {
                let pong = self.server.pong(ping);
                self.hear(ToDevice::Pong(pong)).unwrap();
            }
        }
    }

    // The link -----------------------------------------------------------------------------------

    pub fn start(&mut self) {
        self.act(Core::start);
    }

    /// The link is up, and the device's hello with it.
    pub fn up(&mut self) -> Hello {
        let attempt = self.attempt;
        let server = "127.0.0.1:1".parse().unwrap();
        self.act(|core, now| core.handle_link(now, LinkEvent::Up { attempt, server }))
            .unwrap();
        self.hello.clone().expect("no hello")
    }

    pub fn hear(&mut self, frame: ToDevice) -> Result<(), Error> {
        let attempt = self.attempt;
        self.act(|core, now| core.handle_link(now, LinkEvent::Frame { attempt, frame }))
    }

    pub fn welcome(&mut self) {
        let sent_at = self.hello.as_ref().map_or(0, |hello| hello.sent_at);
        let welcome = self.server.welcome(sent_at);
        self.hear(ToDevice::Welcome(Box::new(welcome))).unwrap();
    }

    /// From nothing, or from waiting, to the welcome; catching up is left to do.
    pub fn connect(&mut self) -> Hello {
        self.start();
        let hello = self.up();
        self.welcome();
        hello
    }

    /// Connects again after the link was lost.
    pub fn reconnect(&mut self) -> Hello {
        self.pass(30_000);
        let hello = self.up();
        self.welcome();
        hello
    }

    /// Both steps of catching up, with nothing in them.
    pub fn caught_up(&mut self) {
        self.feed_open(&[], true);
        self.feed_history(&[], true);
    }

    pub fn feed_open(&mut self, calls: &[Call], last: bool) {
        let feed = self.server.open(calls, last);
        self.hear(ToDevice::Feed(feed)).unwrap();
    }

    pub fn feed_history(&mut self, calls: &[Call], last: bool) {
        let feed = self.server.history(calls, last);
        self.hear(ToDevice::Feed(feed)).unwrap();
    }

    pub fn feed_live(&mut self, calls: &[Call]) {
        let feed = self.server.live(calls);
        self.hear(ToDevice::Feed(feed)).unwrap();
    }

    /// The server's present record of a call, live.
    pub fn live(&mut self, call: &str) {
        let record = self.server.record(call);
        self.feed_live(&[record]);
    }

    pub fn goodbye(&mut self, reason: ClosingReason) {
        let message = "goodbye".to_owned();
        self.hear(ToDevice::Goodbye(Goodbye { reason, message }))
            .unwrap();
    }

    pub fn down(&mut self, kind: DownKind) {
        let attempt = self.attempt;
        let why = LinkDown::new(kind, "down");
        self.act(|core, now| core.handle_link(now, LinkEvent::Down { attempt, why }))
            .unwrap();
    }

    pub fn lose_link(&mut self) {
        self.down(DownKind::Lost);
    }

    // Commands -----------------------------------------------------------------------------------

    pub fn submit(&mut self, op: &str, call: &str, command: Command) -> Result<Submitted, Error> {
        self.submit_waiting(op, call, command, None)
    }

    pub fn submit_waiting(
        &mut self,
        op: &str,
        call: &str,
        command: Command,
        wait_s: Option<u32>,
    ) -> Result<Submitted, Error> {
        let given = Submission {
            op: Some(Op::trusted(op)),
            call_id: Some(call_id(call)),
            command,
            wait_s,
        };
        self.act(|core, now| core.submit(now, given))
    }

    /// The server decides the commands that were sent since the last look; the device hears the
    /// verdicts.
    pub fn decide(&mut self) {
        for verdict in self.decisions() {
            self.hear(ToDevice::Verdict(Box::new(verdict))).unwrap();
        }
    }

    /// The server decides the commands that were sent since the last look; the device hears
    /// nothing of it.
    pub fn decisions(&mut self) -> Vec<Verdict> {
        let mut verdicts = Vec::new();
        for frame in self.sent_frames() {
            if let ToServer::Command(command) = frame {
                verdicts.push(self.server.decide(&command));
            }
        }
        verdicts
    }

    /// Alice rings bob by a general call, live.
    pub fn rung(call: &str) -> Self {
        let mut device = Self::connected();
        device.server.invite("alice", call, &["bob"], Mode::General);
        device.live(call);
        assert_eq!(device.heard(), [format!("received {call}")]);
        device.forget_what_was_said();
        device
    }

    /// Bob made an advanced call and its verdict is there.
    pub fn in_call(call: &str) -> Self {
        let mut device = Self::connected();
        device
            .submit("make", call, invite(&["alice"], Mode::Advanced))
            .unwrap();
        device.decide();
        device.forget_what_was_said();
        device
    }
}

// Commands in few words --------------------------------------------------------------------------

pub fn invite(invitees: &[&str], mode: Mode) -> Command {
    Command::Invite {
        invitees: invitees.iter().copied().map(user).collect(),
        timeout_s: 90,
        mode,
        extended_data: String::new(),
        not_received_check: false,
        push: None::<PushConfig>,
    }
}

pub fn calling_invite(invitees: &[&str]) -> Command {
    Command::CallingInvite {
        invitees: invitees.iter().copied().map(user).collect(),
        timeout_s: None,
        extended_data: None,
        push: None,
    }
}

pub fn cancel(invitees: &[&str]) -> Command {
    let target = |name: &&str| Target {
        user: user(name),
        invitation: None,
    };
    Command::Cancel {
        invitees: invitees.iter().map(target).collect(),
        extended_data: String::new(),
        push: None,
    }
}

pub fn accept() -> Command {
    Command::Accept {
        invitation: None,
        extended_data: String::new(),
    }
}

pub fn reject() -> Command {
    Command::Reject {
        invitation: None,
        extended_data: String::new(),
    }
}

pub fn join() -> Command {
    Command::Join {
        extended_data: String::new(),
    }
}

pub fn quit() -> Command {
    Command::Quit {
        under: Under::Unknown,
        extended_data: String::new(),
        push: None,
    }
}

pub fn end() -> Command {
    Command::End {
        under: Under::Unknown,
        extended_data: String::new(),
        push: None,
    }
}
