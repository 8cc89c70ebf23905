//! Both cores on their real stores, under a clock of the test's own: devices (see [`crate::phone`])
//! and a server, with a network between them that does what the test says.
//!
//! Frames go through the codec. What is on its way waits until [`World::settle`] lets everything
//! happen that can happen at this moment; [`World::pass`] lets time go by.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::PathBuf;
use std::time::Instant;

use offhook::client::clock::Now;
use offhook::client::transport::{DownKind, LinkDown};
use offhook::protocol::{FrameBuffer, ToDevice, ToServer, encode};
use offhook::server::auth::{Auth, Keys};
use offhook::server::core::{ConnId, Core, Effect, Input, Time};
use offhook::server::push::Push;
use offhook::server::settings::Settings;
use offhook::server::store::StoreError;
use offhook::server::store::sqlite::SqliteStore;
use tempfile::TempDir;

use crate::fault::{Fault, Faulty};
use crate::phone::{Item, Phone};
use crate::support::SOON;

/// The server's clock when a test begins.
pub const BEGIN: i64 = 1_800_000_000_000;
pub const MINUTE: i64 = 60_000;
pub const HOUR: i64 = 60 * MINUTE;
pub const DAY: i64 = 24 * HOUR;
/// What the devices' steady clocks say when a test begins.
const BOOTED: i64 = 5_000_000;
const SECRET: &[u8] = b"a secret of more than 16 bytes";
/// More than anything honest needs at one moment.
const TURNS_MAX: usize = 200_000;

pub struct World {
    folder: TempDir,
    /// Milliseconds since the test began.
    pub time: i64,
    server: Option<Core>,
    /// How far the wall clock of the server is off.
    pub server_skew: i64,
    with_tokens: bool,
    /// Makes the commits of the server's store fail.
    pub fault: Fault,
    pub phones: BTreeMap<String, Phone>,
    conns: u64,
    starts: u64,
    /// What was pushed and nobody has taken yet.
    pub pushes: Vec<Push>,
}

impl World {
    pub fn new() -> Self {
        Self::with(false)
    }

    /// A server that wants tokens.
    pub fn with_tokens() -> Self {
        Self::with(true)
    }

    fn with(with_tokens: bool) -> Self {
        let mut world = Self {
            folder: folder(),
            time: 0,
            server: None,
            server_skew: 0,
            with_tokens,
            fault: Fault::default(),
            phones: BTreeMap::new(),
            conns: 0,
            starts: 0,
            pushes: Vec::new(),
        };
        world.start_server();
        world
    }

    // Clocks ---------------------------------------------------------------------------------

    /// The true time.
    pub fn now(&self) -> i64 {
        BEGIN + self.time
    }

    /// The server's clock.
    pub fn server_time(&mut self) -> i64 {
        self.serve(Vec::new());
        self.server.as_ref().unwrap().server_time()
    }

    /// Both clocks of a device.
    pub fn clocks_of(&self, name: &str) -> Now {
        Now {
            mono_ms: BOOTED + self.time,
            wall_ms: self.now() + self.phone(name).skew,
        }
    }

    /// Time passes, and everything that is due happens when it is.
    pub fn pass(&mut self, ms: i64) {
        let end = self.time + ms;
        loop {
            self.settle();
            let next = self.next_moment().filter(|at| *at <= end);
            let Some(next) = next else { break };
            self.time = next.max(self.time);
        }
        self.time = end;
        self.settle();
    }

    fn next_moment(&self) -> Option<i64> {
        let server = self.server.as_ref().and_then(Core::next_wakeup);
        let phones = self.phones.keys().filter_map(|name| self.due_of(name));
        phones.chain(server).min()
    }

    fn due_of(&self, name: &str) -> Option<i64> {
        let phone = self.phone(name);
        let core = phone.core.as_ref().filter(|_| phone.awake)?;
        Some(core.poll_timeout(self.clocks_of(name))? - BOOTED)
    }

    /// Everything that can happen at this moment happens.
    pub fn settle(&mut self) {
        let names: Vec<String> = self.phones.keys().cloned().collect();
        for _ in 0..TURNS_MAX {
            let mut idle = true;
            for name in &names {
                idle &= !self.carry_up(name);
                idle &= !self.carry_down(name);
            }
            if self.server_is_due() {
                self.serve(Vec::new());
                idle = false;
            }
            for name in &names {
                if self.due_of(name).is_some_and(|at| at <= self.time) {
                    // What could not be written is tried again.
                    let _ = self.act(name, |core, now| core.handle_timeout(now));
                    idle = false;
                }
            }
            if idle {
                return;
            }
        }
        panic!("it never comes to rest");
    }

    fn server_is_due(&self) -> bool {
        let wakeup = self.server.as_ref().and_then(Core::next_wakeup);
        wakeup.is_some_and(|at| at <= self.time)
    }

    // The server -----------------------------------------------------------------------------

    fn data(&self) -> PathBuf {
        self.folder.path().join("server")
    }

    pub fn folder(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    pub fn start_server(&mut self) {
        let open = || SqliteStore::open(&self.data());
        let store = once_let_go(open, |error| matches!(error, StoreError::InUse(_)));
        let store = Faulty {
            store,
            fault: self.fault.clone(),
        };
        self.starts += 1;
        let mut random = self.starts << 32;
        let entropy = move || {
            random += 1;
            random
        };
        let auth = if self.with_tokens {
            Auth::Keys(Keys::parse(SECRET).unwrap())
        } else {
            Auth::TrustNames
        };
        let time = Time {
            wall_ms: self.now() + self.server_skew,
            mono_ms: self.time,
        };
        let settings = Settings::default();
        let core = Core::new(Box::new(store), settings, auth, time, Box::new(entropy));
        self.server = Some(core.unwrap());
    }

    /// It is killed: nobody is told anything, all connections are lost.
    pub fn kill_server(&mut self) {
        self.server = None;
        for phone in self.phones.values_mut() {
            phone.lose_connection(DownKind::Lost);
        }
    }

    pub fn restart_server(&mut self) {
        self.kill_server();
        self.start_server();
    }

    pub fn token(&self, user: &str, good_for_ms: i64) -> String {
        let keys = Keys::parse(SECRET).unwrap();
        keys.sign(user, self.now() + good_for_ms).unwrap()
    }

    /// One step of the server.
    fn serve(&mut self, inputs: Vec<Input>) {
        let Some(server) = &mut self.server else {
            return;
        };
        let mut written = BTreeMap::new();
        for effect in server.step(self.time, inputs) {
            match effect {
                Effect::Send { conn, frame } => {
                    *written.entry(conn).or_insert(0) += 1;
                    if let Some(phone) = self.phones.values_mut().find(|one| one.is_on(conn)) {
                        phone.hears(&frame);
                    }
                }
                Effect::Close { conn, goodbye } => {
                    if let Some(phone) = self.phones.values_mut().find(|one| one.is_on(conn)) {
                        if let Some(goodbye) = goodbye {
                            phone.hears(&ToDevice::Goodbye(goodbye));
                        }
                        phone.is_closed();
                    }
                }
                Effect::Push(push) => self.pushes.push(*push),
                Effect::Halt(error) => panic!("{error}"),
            }
        }
        if !written.is_empty() {
            let written = written.into_iter();
            self.serve(
                written
                    .map(|(conn, frames)| Input::Written { conn, frames })
                    .collect(),
            );
        }
    }

    /// Frames of several devices come in one step, in that order: the first that each has said.
    pub fn arrive_together(&mut self, names: &[&str]) {
        let mut inputs = Vec::new();
        for name in names {
            let phone = self.phone_mut(name);
            let conn = phone.conn.unwrap();
            let frame = phone.up.pop_front().unwrap();
            inputs.push(Input::Frame { conn, frame });
        }
        self.serve(inputs);
        self.settle();
    }

    // The network ----------------------------------------------------------------------------

    /// One frame towards the server.
    fn carry_up(&mut self, name: &str) -> bool {
        let phone = self.phone_mut(name);
        let Some(conn) = phone.conn.filter(|_| !phone.up_held) else {
            return false;
        };
        let Some(frame) = phone.up.pop_front() else {
            return false;
        };
        self.serve(vec![Input::Frame { conn, frame }]);
        true
    }

    /// One frame, or one word of the link, towards the device.
    pub fn carry_down(&mut self, name: &str) -> bool {
        let phone = self.phone_mut(name);
        if phone.down_held || !phone.awake || phone.core.is_none() {
            return false;
        }
        self.carry_one_down(name)
    }

    /// The same, although everything is held.
    pub fn carry_one_down(&mut self, name: &str) -> bool {
        let Some(item) = self.phone_mut(name).down.pop_front() else {
            return false;
        };
        let event = item.into_event();
        // An error costs the connection, which the core itself sees to.
        let _ = self.act(name, |core, now| core.handle_link(now, event));
        true
    }

    /// A device wants a connection.
    pub fn dial(&mut self, name: &str, attempt: u64) {
        self.hang_up(name);
        let can = self.server.is_some() && self.phone(name).network;
        if !can {
            let why = LinkDown::new(DownKind::HandshakeTimeout, "nobody answers");
            let down = &mut self.phone_mut(name).down;
            down.push_back(Item::Down { attempt, why });
            return;
        }
        self.conns += 1;
        let conn = ConnId(self.conns);
        let peer = "127.0.0.1:9".parse().unwrap();
        let phone = self.phone_mut(name);
        phone.conn = Some(conn);
        phone.attempt = attempt;
        phone.down.push_back(Item::Up { attempt });
        let early = false;
        self.serve(vec![Input::Connected { conn, peer, early }]);
    }

    /// A device ends its connection, after what it has said.
    pub fn hang_up(&mut self, name: &str) {
        while self.carry_up(name) {}
        if let Some(conn) = self.phone_mut(name).conn.take() {
            self.serve(vec![Input::Disconnected { conn }]);
        }
    }

    /// The connection breaks and both sides notice. What is on its way is lost, and there is no
    /// network until [`World::back`].
    pub fn cut(&mut self, name: &str) {
        let phone = self.phone_mut(name);
        let conn = phone.conn;
        phone.lose_connection(DownKind::Lost);
        phone.network = false;
        if let Some(conn) = conn {
            self.serve(vec![Input::Disconnected { conn }]);
        }
        self.settle();
    }

    /// There is a network again, and the device is told so.
    pub fn back(&mut self, name: &str) {
        self.phone_mut(name).network = true;
        self.act(name, |core, now| core.network_changed(now));
        self.settle();
    }

    /// A token of this world's, if it wants any.
    pub fn first_token(&self, user: &str) -> Option<String> {
        self.with_tokens.then(|| self.token(user, DAY))
    }
}

/// In memory where that is to be had: no machine here loses its power, so nothing is learned from
/// how long a disk takes to sync.
fn folder() -> TempDir {
    tempfile::tempdir_in("/dev/shm")
        .or_else(|_| tempfile::tempdir())
        .unwrap()
}

/// Opens what was closed a moment ago. While another test begins a process, that has all the locks
/// of this one for as long as it takes to become another program.
pub fn once_let_go<T, E: Debug>(
    open: impl Fn() -> Result<T, E>,
    is_held: impl Fn(&E) -> bool,
) -> T {
    let begun = Instant::now();
    loop {
        match open() {
            Err(error) if is_held(&error) && begun.elapsed() < SOON => std::thread::yield_now(),
            opened => return opened.unwrap(),
        }
    }
}

/// A frame as the other side reads it.
pub fn over_the_wire_up(frame: &ToServer) -> ToServer {
    let mut buffer = FrameBuffer::default();
    buffer.push(&encode(frame).unwrap());
    buffer.next_frame().unwrap().unwrap()
}

/// A frame as the other side reads it.
pub fn over_the_wire_down(frame: &ToDevice) -> ToDevice {
    let mut buffer = FrameBuffer::default();
    buffer.push(&encode(frame).unwrap());
    buffer.next_frame().unwrap().unwrap()
}
