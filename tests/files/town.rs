//! A server and two devices, bob's and alice's, each with a disk of its own that can fail at any
//! operation: the real cores and stores, under a clock of the test's own, wired together.

use offhook::client::clock::Now;
use offhook::client::transport::{DownKind, LinkCommand, LinkDown, LinkEvent};
use offhook::protocol::ToDevice;
use offhook::server::auth::Auth;
use offhook::server::core as server;
use offhook::server::settings::Settings;
use offhook::server::store::sqlite::SqliteStore;
use server::{ConnId, Input, Time};

use super::device::{Device, FILE};
use super::disk::{Disk, Snapshot};
use super::look::Look;

/// The server's clock when a story begins.
const BEGIN: i64 = 1_800_000_000_000;
const SERVER_FILE: &str = "server.db";
pub const BOB: usize = 0;
pub const ALICE: usize = 1;

pub struct Town {
    pub server_disk: Disk,
    server: Option<server::Core>,
    pub devices: [Device; 2],
    pub now_ms: i64,
    conns: u64,
    seed: u64,
    /// The revision of each call as a verdict that was sent had it.
    verdicts: Vec<(String, u64)>,
    server_crashes: usize,
}

/// All that is on disk.
#[derive(Clone)]
pub struct State {
    server: Snapshot,
    devices: [Snapshot; 2],
    online: bool,
    now_ms: i64,
    seed: u64,
}

impl Town {
    /// Nothing is opened. `seed` is that of the disks.
    pub fn new(seed: u64, state: Option<&State>) -> Self {
        let disks = [0, 1, 2].map(|n| Disk::new(seed.wrapping_mul(3) + n));
        if let Some(state) = state {
            disks[0].restore(SERVER_FILE, &state.server);
            disks[1].restore(FILE, &state.devices[BOB]);
            disks[2].restore(FILE, &state.devices[ALICE]);
        }
        let [server_disk, bob, alice] = disks;
        let mut devices = [Device::new("bob", bob), Device::new("alice", alice)];
        if let Some(state) = state {
            devices[BOB].remember(state.online);
            devices[ALICE].remember(true);
        }
        Self {
            server_disk,
            server: None,
            devices,
            now_ms: state.map_or(0, |state| state.now_ms),
            conns: 0,
            seed: state.map_or(0, |state| state.seed),
            verdicts: Vec::new(),
            server_crashes: 0,
        }
    }

    /// Everything dies at once, with what was written.
    pub fn die(&mut self) -> State {
        self.server_disk.process_died();
        self.server = None;
        self.devices.iter_mut().for_each(Device::die);
        // It would be read again at each start.
        self.server_look().checkpoint();
        self.devices[ALICE].look().checkpoint();
        State {
            server: self.server_disk.snapshot(SERVER_FILE),
            devices: [0, 1].map(|at| self.devices[at].disk.snapshot(FILE)),
            online: self.devices[BOB].online,
            now_ms: self.now_ms,
            seed: self.seed,
        }
    }

    /// How often the power went, anywhere.
    pub fn crashes(&self) -> usize {
        let devices: usize = self.devices.iter().map(|device| device.crashes).sum();
        devices + self.server_crashes
    }

    pub fn now(&self) -> Now {
        Now {
            mono_ms: self.now_ms,
            wall_ms: BEGIN + self.now_ms,
        }
    }

    pub fn server_look(&self) -> Look {
        Look::at(&self.server_disk, SERVER_FILE)
    }

    /// Server first, then the devices.
    pub fn start(&mut self) {
        self.start_server();
        for at in [BOB, ALICE] {
            let now = self.now();
            self.devices[at].open(now);
        }
        self.settle();
    }

    fn start_server(&mut self) {
        loop {
            self.seed += 1_000_000;
            let mut count = self.seed;
            let entropy = Box::new(move || {
                count += 1;
                count
            });
            let time = Time {
                wall_ms: BEGIN + self.now_ms,
                mono_ms: self.now_ms,
            };
            let path = self.server_disk.path(SERVER_FILE);
            let disk = &self.server_disk;
            let opened = SqliteStore::open_on(disk.vfs(), &path, &|file| disk.write_again(file));
            let core = opened.and_then(|store| {
                let settings = Settings::default();
                server::Core::new(Box::new(store), settings, Auth::TrustNames, time, entropy)
            });
            match core {
                Ok(core) => {
                    self.server = Some(core);
                    return;
                }
                Err(error) => assert!(self.server_disk.is_down(), "{error}"),
            }
            self.recover_server_disk();
        }
    }

    fn recover_server_disk(&mut self) {
        self.server_crashes += 1;
        self.server_disk.power_on();
        let look = self.server_look();
        assert!(look.is_sound(), "the server's file is damaged");
        if !look.has_table("calls") {
            assert_eq!(look.number("PRAGMA user_version"), 0, "half made");
            assert!(self.verdicts.is_empty());
            return;
        }
        for (call, revision) in &self.verdicts {
            let sql = format!("SELECT revision FROM calls WHERE call_id = '{call}'");
            let stored = look.number(&sql).cast_unsigned();
            assert!(stored >= *revision, "{call}: {stored} of {revision}");
        }
    }

    // The wires ----------------------------------------------------------------------------------

    /// All that wants to happen now, until nothing does; whoever loses power gets it back.
    pub fn settle(&mut self) {
        for _ in 0..10_000 {
            if !self.settle_a_bit() {
                return;
            }
        }
        panic!("it never comes to rest");
    }

    /// So many steps of that, whether or not it comes to rest.
    pub fn settle_for(&mut self, steps: usize) {
        for _ in 0..steps {
            self.settle_a_bit();
        }
    }

    fn settle_a_bit(&mut self) -> bool {
        let now = self.now();
        if self.server_disk.is_down() {
            self.server = None;
            self.recover_server_disk();
            self.start_server();
            for device in &mut self.devices {
                device.lose_link();
            }
            return true;
        }
        for at in [BOB, ALICE] {
            let device = &mut self.devices[at];
            if device.disk.is_down() {
                let conn = device.conn.take();
                device.recover(now);
                if let Some(conn) = conn {
                    self.tell_server(vec![Input::Disconnected { conn }]);
                }
                return true;
            }
            if let Some(command) = device.outbox.pop_front() {
                self.carry(at, command);
                return true;
            }
            if let Some(event) = device.inbox.pop_front() {
                device.hear(now, event);
                return true;
            }
            let due = device.wakeup(now).is_some_and(|due| due <= self.now_ms);
            if due {
                device.wake(now);
                return true;
            }
        }
        let due = self.server.as_ref().and_then(server::Core::next_wakeup);
        if due.is_some_and(|due| due <= self.now_ms) {
            self.tell_server(Vec::new());
            return true;
        }
        false
    }

    fn carry(&mut self, at: usize, command: LinkCommand) {
        let device = &mut self.devices[at];
        match command {
            LinkCommand::Connect { attempt } => {
                device.attempt = attempt;
                if !device.online {
                    device.down(attempt, DownKind::Address);
                    return;
                }
                self.conns += 1;
                let (conn, server) = (ConnId(self.conns), "127.0.0.1:1".parse().unwrap());
                device.conn = Some(conn);
                device.inbox.push_back(LinkEvent::Up { attempt, server });
                let peer = server;
                self.tell_server(vec![Input::Connected {
                    conn,
                    peer,
                    early: false,
                }]);
            }
            LinkCommand::Send { attempt, frame } => {
                if let Some(conn) = device.conn.filter(|_| attempt == device.attempt) {
                    self.tell_server(vec![Input::Frame { conn, frame }]);
                }
            }
            LinkCommand::Close { attempt } => {
                if attempt == device.attempt
                    && let Some(conn) = device.conn.take()
                {
                    device.down(attempt, DownKind::Local);
                    self.tell_server(vec![Input::Disconnected { conn }]);
                }
            }
            LinkCommand::SetNetwork(_) | LinkCommand::NetworkChanged | LinkCommand::Shutdown => {}
        }
    }

    fn tell_server(&mut self, inputs: Vec<Input>) {
        let Some(core) = &mut self.server else { return };
        let mut effects = core.step(self.now_ms, inputs);
        loop {
            if self.server_disk.is_down() {
                // It is gone before it can say a word.
                return;
            }
            let mut written = Vec::new();
            for effect in effects {
                match effect {
                    server::Effect::Send { conn, frame } => {
                        written.push(Input::Written { conn, frames: 1 });
                        self.deliver(conn, *frame);
                    }
                    server::Effect::Close { conn, .. } => {
                        if let Some(device) = self.devices.iter_mut().find(|d| d.conn == Some(conn))
                        {
                            device.lose_link();
                        }
                    }
                    server::Effect::Push(_) => {}
                    server::Effect::Halt(error) => panic!("{error}"),
                }
            }
            let Some(core) = self.server.as_mut().filter(|_| !written.is_empty()) else {
                return;
            };
            effects = core.step(self.now_ms, written);
        }
    }

    fn deliver(&mut self, conn: ConnId, frame: ToDevice) {
        if let ToDevice::Verdict(verdict) = &frame
            && let Some(call) = &verdict.call
        {
            self.verdicts.push((call.id.to_string(), call.revision));
        }
        let device = self.devices.iter_mut().find(|one| one.conn == Some(conn));
        if let Some(device) = device {
            let attempt = device.attempt;
            device.inbox.push_back(LinkEvent::Frame { attempt, frame });
        }
    }

    /// The server hears that a connection is gone.
    pub fn disconnect(&mut self, conn: Option<ConnId>) {
        if let Some(conn) = conn {
            self.tell_server(vec![Input::Disconnected { conn }]);
        }
    }

    // What a story does --------------------------------------------------------------------------

    /// Time passes, and everybody is woken when they want to be.
    pub fn pass(&mut self, ms: i64) {
        let end = self.now_ms + ms;
        self.look_at_files();
        loop {
            self.settle();
            let now = self.now();
            let wakeups = self.devices.iter().filter_map(|one| one.wakeup(now));
            let server = self.server.as_ref().and_then(server::Core::next_wakeup);
            match wakeups.chain(server).min().filter(|due| *due <= end) {
                Some(due) => self.now_ms = due.max(self.now_ms),
                None => break,
            }
        }
        self.now_ms = end;
        self.look_at_files();
        self.settle();
    }

    fn look_at_files(&mut self) {
        let now = self.now();
        for device in &mut self.devices {
            device.look_at_file(now);
        }
    }

    /// Bob's network goes, or comes back.
    pub fn set_network(&mut self, online: bool) {
        let now = self.now();
        let device = &mut self.devices[BOB];
        device.online = online;
        device.act(|core| core.set_network(now, online));
        if !online && let Some(conn) = device.conn.take() {
            self.tell_server(vec![Input::Disconnected { conn }]);
        }
    }
}

impl Device {
    fn lose_link(&mut self) {
        if self.conn.take().is_some() && self.is_open() {
            self.down(self.attempt, DownKind::Lost);
        }
    }

    fn down(&mut self, attempt: u64, kind: DownKind) {
        let why = LinkDown::new(kind, "down");
        self.inbox.push_back(LinkEvent::Down { attempt, why });
    }
}
