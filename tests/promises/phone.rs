//! A device of a [`World`]: the engine's core on a real file, and what came out of it.

use std::collections::VecDeque;
use std::path::PathBuf;

use offhook::client::clock::Now;
use offhook::client::core::{Core, CoreSettings, Effect, Submission, Submitted, WAIT_S_DEFAULT};
use offhook::client::store::{Readers, Store};
use offhook::client::transport::{DownKind, LinkCommand, LinkDown, LinkEvent};
use offhook::protocol::{ToDevice, ToServer};
use offhook::server::core::ConnId;
use offhook::{
    CallEntry, CallId, Code, Command, DeviceId, Error, Event, EventKind, Mode, Op, Page,
    PendingCommand, Query, UserState,
};

use crate::commands::{id, invite, user};
use crate::words;
use crate::world::{World, once_let_go, over_the_wire_down, over_the_wire_up};

/// Something that is on its way to a device.
pub enum Item {
    Up { attempt: u64 },
    Frame { attempt: u64, frame: Box<ToDevice> },
    Down { attempt: u64, why: LinkDown },
}

impl Item {
    pub fn into_event(self) -> LinkEvent {
        match self {
            Self::Up { attempt } => LinkEvent::Up {
                attempt,
                server: "127.0.0.1:9".parse().unwrap(),
            },
            Self::Frame { attempt, frame } => LinkEvent::Frame {
                attempt,
                frame: *frame,
            },
            Self::Down { attempt, why } => LinkEvent::Down { attempt, why },
        }
    }
}

pub struct Phone {
    pub user: String,
    pub file: PathBuf,
    /// `None` while the app does not run.
    pub core: Option<Core>,
    /// How far its wall clock is off.
    pub skew: i64,
    pub network: bool,
    /// Whether the app is run by its system.
    pub awake: bool,
    pub attempt: u64,
    pub conn: Option<ConnId>,
    pub up: VecDeque<ToServer>,
    pub down: VecDeque<Item>,
    /// Whether what is said, or heard, stays on its way.
    pub up_held: bool,
    pub down_held: bool,
    told: Vec<String>,
    /// What was told, as the journal has it.
    pub events: Vec<Event>,
    sent: Vec<String>,
    token: Option<String>,
}

impl Phone {
    pub fn is_on(&self, conn: ConnId) -> bool {
        self.conn == Some(conn)
    }

    /// The server says something.
    pub fn hears(&mut self, frame: &ToDevice) {
        let frame = Box::new(over_the_wire_down(frame));
        let attempt = self.attempt;
        self.down.push_back(Item::Frame { attempt, frame });
    }

    /// The server has ended the connection in good order.
    pub fn is_closed(&mut self) {
        self.conn = None;
        let why = LinkDown::new(DownKind::Closed, "the server closed");
        let attempt = self.attempt;
        self.down.push_back(Item::Down { attempt, why });
    }

    /// What is on its way is lost with the connection.
    pub fn lose_connection(&mut self, kind: DownKind) {
        self.up.clear();
        self.down.clear();
        if self.conn.take().is_some() {
            let why = LinkDown::new(kind, "lost");
            let attempt = self.attempt;
            self.down.push_back(Item::Down { attempt, why });
        }
    }
}

/// Opening, running, dying.
impl World {
    pub fn phone(&self, name: &str) -> &Phone {
        self.phones.get(name).unwrap()
    }

    pub fn phone_mut(&mut self, name: &str) -> &mut Phone {
        self.phones.get_mut(name).unwrap()
    }

    /// A device that has not been opened yet.
    pub fn add(&mut self, user: &str, name: &str) {
        let phone = Phone {
            user: user.to_owned(),
            file: self.folder().join(format!("{name}.db")),
            core: None,
            skew: 0,
            network: true,
            awake: true,
            attempt: 0,
            conn: None,
            up: VecDeque::new(),
            down: VecDeque::new(),
            up_held: false,
            down_held: false,
            told: Vec::new(),
            events: Vec::new(),
            sent: Vec::new(),
            token: self.first_token(user),
        };
        self.phones.insert(name.to_owned(), phone);
    }

    /// Opens the file; nothing is begun.
    pub fn open(&mut self, name: &str) {
        let seed = u64::try_from(self.time).unwrap() + 1;
        let letters = name.bytes().fold(seed, |sum, byte| {
            sum.wrapping_mul(31).wrapping_add(u64::from(byte))
        });
        let mut random = letters;
        let entropy = move || {
            random = random.wrapping_add(0x9e37_79b9_7f4a_7c15);
            random ^ (random >> 29)
        };
        let now = self.clocks_of(name);
        let phone = self.phone_mut(name);
        let device = DeviceId::trusted(name);
        let open = || {
            let mut store = Store::open(&phone.file, &user(&phone.user), &device)?;
            match store.lock()? {
                true => Ok(store),
                false => Err(Error::new(Code::InUse, "locked", "another test has it")),
            }
        };
        let store = once_let_go(open, |error| error.code == Code::InUse);
        let settings = CoreSettings {
            token: phone.token.clone(),
            build: "promises".to_owned(),
            wait_s: WAIT_S_DEFAULT,
            provides_tokens: false,
            boot: "one boot".to_owned(),
        };
        let core = Core::new(now, store, settings, Box::new(entropy));
        let mut core = core.unwrap();
        core.look(now).unwrap();
        phone.core = Some(core);
    }

    /// The app is started: opens the file and begins to connect.
    pub fn start(&mut self, name: &str) {
        self.open(name);
        self.start_again(name);
    }

    /// Begins to connect, with a file that is open.
    pub fn start_again(&mut self, name: &str) {
        self.act(name, Core::start);
        self.settle();
    }

    /// A device that is connected and has heard nothing.
    pub fn device(&mut self, user: &str, name: &str) {
        self.add(user, name);
        self.start(name);
        self.forget(name);
    }

    /// Devices called as their users, with a 1 after them.
    pub fn devices(&mut self, users: &[&str]) {
        for user in users {
            self.device(user, &format!("{user}1"));
        }
    }

    /// The app is killed. What it had not done it never does; the server notices nothing yet.
    pub fn crash(&mut self, name: &str) {
        let phone = self.phone_mut(name);
        phone.core = None;
        phone.conn = None;
        phone.up.clear();
        phone.down.clear();
    }

    /// The app goes away in good order.
    pub fn close(&mut self, name: &str) {
        self.act(name, Core::close);
        self.settle();
        let closed = self.act(name, Core::checkpoint);
        closed.unwrap();
        self.crash(name);
    }

    /// The app's system stops running it; it notices nothing, not even time.
    pub fn suspend(&mut self, name: &str) {
        self.phone_mut(name).awake = false;
    }

    pub fn wake(&mut self, name: &str) {
        self.phone_mut(name).awake = true;
        self.settle();
    }

    /// The app knows that there is no network.
    pub fn offline(&mut self, name: &str) {
        self.act(name, |core, now| core.set_network(now, false));
        self.settle();
    }

    pub fn online(&mut self, name: &str) {
        self.act(name, |core, now| core.set_network(now, true));
        self.settle();
    }

    /// Does something with the core, and carries out its effects.
    pub fn act<T>(&mut self, name: &str, act: impl FnOnce(&mut Core, Now) -> T) -> T {
        let value = self.act_and_die(name, act);
        self.carry_out(name);
        value
    }

    /// The same without the effects: the app may die before it comes to them.
    pub fn act_and_die<T>(&mut self, name: &str, act: impl FnOnce(&mut Core, Now) -> T) -> T {
        let now = self.clocks_of(name);
        act(self.phone_mut(name).core.as_mut().unwrap(), now)
    }

    fn carry_out(&mut self, name: &str) {
        while let Some(effect) = self.next_effect(name) {
            match effect {
                Effect::Link(LinkCommand::Connect { attempt }) => self.dial(name, attempt),
                Effect::Link(LinkCommand::Close { .. }) => self.hang_up(name),
                Effect::Link(LinkCommand::Send { attempt, frame }) => {
                    self.say(name, attempt, &frame);
                }
                Effect::Link(LinkCommand::SetNetwork(on)) => self.switch_network(name, on),
                Effect::Settled { position, settled } => {
                    let kind = EventKind::CommandSettled(settled);
                    self.tell(name, Some(position), kind);
                }
                Effect::Event { position, event } => self.tell(name, position, event),
                _ => {}
            }
        }
    }

    fn next_effect(&mut self, name: &str) -> Option<Effect> {
        self.phone_mut(name).core.as_mut()?.poll_effect()
    }

    fn say(&mut self, name: &str, attempt: u64, frame: &ToServer) {
        let phone = self.phone_mut(name);
        if phone.conn.is_some() && phone.attempt == attempt {
            phone.sent.push(words::of_frame(frame));
            phone.up.push_back(over_the_wire_up(frame));
        }
    }

    /// A network that is switched off tells nobody, the server least of all.
    fn switch_network(&mut self, name: &str, on: bool) {
        let phone = self.phone_mut(name);
        phone.network = on;
        if !on {
            phone.conn = None;
            phone.up.clear();
            phone.down.clear();
        }
    }

    fn tell(&mut self, name: &str, position: Option<u64>, kind: EventKind) {
        let phone = self.phone_mut(name);
        phone.told.extend(words::of_event(&kind));
        phone.events.push(Event { position, kind });
    }
}

/// What it was told and has said, and what is in its file.
impl World {
    /// What the app was told since it was asked last, without the ups and downs of the connection.
    pub fn heard(&mut self, name: &str) -> Vec<String> {
        let mut told = self.told(name);
        told.retain(|words| !words.starts_with("connection "));
        told
    }

    /// The same with them.
    pub fn told(&mut self, name: &str) -> Vec<String> {
        std::mem::take(&mut self.phone_mut(name).told)
    }

    /// The frames that were sent since it was asked last, of those that begin with that word.
    pub fn sent(&mut self, name: &str, word: &str) -> Vec<String> {
        let mut sent = std::mem::take(&mut self.phone_mut(name).sent);
        sent.retain(|words| words.starts_with(word));
        sent
    }

    pub fn forget(&mut self, name: &str) {
        let phone = self.phone_mut(name);
        phone.told.clear();
        phone.sent.clear();
        phone.events.clear();
    }

    pub fn forget_all(&mut self) {
        let names: Vec<String> = self.phones.keys().cloned().collect();
        for name in names {
            self.forget(&name);
        }
    }

    fn readers(&self, name: &str) -> Readers {
        let phone = self.phone(name);
        Readers::new(&phone.file, &user(&phone.user))
    }

    /// Reads the file as an app does that asks what rings now.
    pub fn ringing(&self, name: &str) -> Vec<CallId> {
        let rings = self.readers(name).ringing(self.estimate(name)).unwrap();
        rings.into_iter().map(|ring| ring.call_id).collect()
    }

    /// The server's clock as the device believes it to be.
    pub fn estimate(&self, name: &str) -> i64 {
        let core = self.phone(name).core.as_ref().unwrap();
        core.server_now(self.clocks_of(name))
    }

    pub fn pending(&self, name: &str) -> Vec<PendingCommand> {
        self.readers(name).pending().unwrap()
    }

    pub fn page(&self, name: &str) -> Page {
        let readers = self.readers(name);
        readers.page(&Query::default()).unwrap()
    }

    pub fn entry(&self, name: &str, call: &str) -> Option<CallEntry> {
        let mut calls = self.page(name).calls.into_iter();
        calls.find(|entry| entry.call.id == id(call))
    }

    /// The state of a user as the device's record has it.
    pub fn state(&self, name: &str, call: &str, who: &str) -> UserState {
        let entry = self.entry(name, call).unwrap();
        entry.call.member(&user(who)).unwrap().state
    }

    pub fn is_over(&self, name: &str, call: &str) -> bool {
        !self.entry(name, call).unwrap().call.is_started()
    }

    pub fn missed(&self, name: &str) -> u64 {
        self.readers(name).counts().unwrap().missed
    }

    pub fn journal_after(&self, name: &str, position: u64) -> Vec<Event> {
        let now = self.estimate(name);
        let events = self.readers(name).events_since(position, 1_000, now);
        events.unwrap().0
    }

    pub fn journal(&self, name: &str) -> Vec<String> {
        let events = self.journal_after(name, 0).into_iter();
        events
            .filter_map(|event| words::of_event(&event.kind))
            .collect()
    }

    /// The last refusal that was told.
    pub fn last_refusal(&self, name: &str) -> Error {
        let events = self.phone(name).events.iter().rev();
        let mut refusals = events.filter_map(|event| match &event.kind {
            EventKind::CommandSettled(settled) => settled.result.clone().err(),
            _ => None,
        });
        refusals.next().unwrap()
    }

    pub fn acknowledged(&self, name: &str) -> u64 {
        self.readers(name).acknowledged("app").unwrap()
    }

    pub fn device_id(&self, name: &str) -> String {
        let core = self.phone(name).core.as_ref().unwrap();
        core.device().to_string()
    }
}

/// Commands.
impl World {
    /// Gives a command; what it sets going is on its way.
    pub fn give(
        &mut self,
        name: &str,
        op: &str,
        call: &str,
        command: Command,
    ) -> Result<Submitted, Error> {
        self.give_waiting(name, op, call, command, None)
    }

    /// The same, with how long it may wait for a connection.
    pub fn give_waiting(
        &mut self,
        name: &str,
        op: &str,
        call: &str,
        command: Command,
        wait_s: Option<u32>,
    ) -> Result<Submitted, Error> {
        let given = Submission {
            op: Some(Op::trusted(op)),
            call_id: Some(id(call)),
            command,
            wait_s,
        };
        self.act(name, |core, now| core.submit(now, given))
    }

    /// Gives a command and lets everything come of it that does.
    pub fn does(&mut self, name: &str, op: &str, call: &str, command: Command) {
        self.give(name, op, call, command).unwrap();
        self.settle();
    }

    /// Rings, and forgets what was heard of it.
    pub fn rings(&mut self, name: &str, call: &str, invitees: &[&str], mode: Mode) {
        self.does(name, &format!("make {call}"), call, invite(invitees, mode));
        self.forget_all();
    }
}
