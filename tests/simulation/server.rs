//! The server: its disk and clocks, and the process that has the server core in it.

use std::collections::BTreeMap;

use offhook::server::auth::Auth;
use offhook::server::core::{ConnId, Core, Effect, Input, Time};
use offhook::server::push::Push;
use offhook::server::settings::Settings;

use super::complaints;
use super::disk::{Disk, Snapshot};
use super::observe::{BEGIN_MS, Change, End, OfServer, TrueMs, What};
use super::recording::{Notes, Recording};
use super::seed::Rng;
use super::world::{Happens, World};
use offhook::protocol::ToDevice;

/// Where the server's steady clock stands when the run begins.
const MONO_BEGIN: TrueMs = 77_000_000;
/// How long a server that cannot start waits.
const OPEN_AGAIN_MS: i64 = 2_000;

/// A copy of the server's file.
pub struct Backup {
    pub snapshot: Snapshot,
    /// What was in doubt when it was made.
    pub doubted: Option<Vec<Change>>,
}

/// The server.
pub struct Server {
    pub disk: Disk,
    core: Option<Core>,
    pub notes: Notes,
    pub run: u32,
    inputs: Vec<Input>,
    step_turn: u64,
    steps_at: TrueMs,
    open_turn: u64,
    pub slow_ms: i64,
    pub slow_until: TrueMs,
    pub stalled_until: TrueMs,
    /// Counts the times at which all TLS sessions were forgotten.
    pub tls_key: u64,
    pub doom: Option<(End, i64)>,
    pub backups: BTreeMap<usize, Backup>,
    /// Whether its store was made to fail since it began, so that it may complain.
    pub may_complain: bool,
    rng: Rng,
}

impl Server {
    pub fn new(seed: u64) -> Self {
        let mut rng = Rng::of(seed, 3);
        Self {
            disk: Disk::new(rng.next()),
            core: None,
            notes: Notes::default(),
            run: 0,
            inputs: Vec::new(),
            step_turn: 0,
            steps_at: TrueMs::MAX,
            open_turn: 0,
            slow_ms: 0,
            slow_until: 0,
            stalled_until: 0,
            tls_key: 0,
            doom: None,
            backups: BTreeMap::new(),
            may_complain: false,
            rng,
        }
    }

    /// Whether its disk fails, or is yet to.
    fn is_made_to_fail(&self) -> bool {
        self.doom.is_some() || self.disk.is_failing()
    }

    pub fn is_up(&self) -> bool {
        self.core.is_some()
    }

    pub fn server_ms(&self) -> i64 {
        self.core.as_ref().map_or(0, Core::server_time)
    }
}

impl World {
    pub fn server_opens(&mut self, turn: u64) {
        let mono_ms = self.now + MONO_BEGIN;
        let wall_ms = self.now + BEGIN_MS;
        let server = &mut self.server;
        if server.is_up() || server.open_turn != turn {
            return;
        }
        let mut entropy = Rng::new(server.rng.next());
        let notes = server.notes.clone();
        let opened = server.disk.open_server().and_then(|store| {
            Core::new(
                Box::new(Recording::new(store, notes)),
                Settings::default(),
                Auth::TrustNames,
                Time { wall_ms, mono_ms },
                Box::new(move || entropy.next()),
            )
        });
        if server.disk.has_crashed() {
            drop(opened);
            let (end, off_ms) = server.doom.take().unwrap_or((End::Killed, 1_000));
            server.disk.process_ends(end == End::PowerLost);
            self.note_stored();
            let error = "killed while opening the file".to_owned();
            self.log_server(OfServer::NotStarted { error });
            return self.server_opens_in(off_ms);
        }
        match opened {
            Ok(core) => {
                server.run += 1;
                server.inputs.clear();
                server.steps_at = TrueMs::MAX;
                let server_ms = core.server_time();
                server.core = Some(core);
                self.server_complains();
                self.server.may_complain = self.server.is_made_to_fail();
                self.log_server(OfServer::Started { server_ms });
                self.note_stored();
                self.plan_step();
            }
            Err(error) => {
                self.note_stored();
                let error = error.to_string();
                self.log_server(OfServer::NotStarted { error });
                self.server_opens_in(OPEN_AGAIN_MS);
            }
        }
    }

    pub fn server_opens_in(&mut self, ms: i64) {
        self.server.open_turn += 1;
        let turn = self.server.open_turn;
        self.after(ms, Happens::ServerOpens { turn });
    }

    /// Something for the server's core; it is stepped soon.
    pub fn server_input(&mut self, input: Input) {
        if !self.server.is_up() {
            return;
        }
        self.server.inputs.push(input);
        let wait = if self.server.slow_until > self.now {
            let most = self.server.slow_ms;
            self.rng.ms(1, most)
        } else {
            self.rng.ms(0, 3)
        };
        self.step_at(self.now + wait);
    }

    fn step_at(&mut self, at: TrueMs) {
        let at = at.max(self.server.stalled_until).max(self.now);
        if self.server.steps_at <= at && self.server.steps_at >= self.now {
            return;
        }
        self.server.steps_at = at;
        self.server.step_turn += 1;
        let turn = self.server.step_turn;
        self.at(at, Happens::ServerSteps { turn });
    }

    fn plan_step(&mut self) {
        let wakeup = self.server.core.as_ref().and_then(Core::next_wakeup);
        if let Some(at) = wakeup {
            self.step_at(at - MONO_BEGIN);
        }
    }

    pub fn server_steps(&mut self, turn: u64) {
        if turn != self.server.step_turn {
            return;
        }
        if self.server.stalled_until > self.now {
            self.server.steps_at = TrueMs::MAX;
            return self.step_at(self.server.stalled_until);
        }
        let mono_ms = self.now + MONO_BEGIN;
        let server = &mut self.server;
        server.steps_at = TrueMs::MAX;
        let inputs = std::mem::take(&mut server.inputs);
        let Some(core) = &mut server.core else {
            return;
        };
        let effects = core.step(mono_ms, inputs);
        self.server_complains();
        let server = &mut self.server;
        if server.disk.has_crashed() {
            let (end, off_ms) = server.doom.unwrap_or((End::Killed, 1_000));
            self.server_ends(end, false);
            return self.server_opens_in(off_ms);
        }
        self.note_stored();
        let mut halted = false;
        for effect in effects {
            match effect {
                Effect::Send { conn, frame } => self.server_says(conn, *frame),
                Effect::Close { conn, goodbye } => {
                    if let Some(goodbye) = goodbye {
                        self.server_says(conn, ToDevice::Goodbye(goodbye));
                    }
                    self.server_closes(conn.0);
                }
                Effect::Push(push) => self.server_pushes(&push),
                Effect::Halt(_) => halted = true,
            }
        }
        if halted {
            self.server_ends(End::Closed, true);
            let wait = self.rng.spread_ms(500, 20_000);
            return self.server_opens_in(wait);
        }
        self.plan_step();
    }

    /// Notes what the server has committed.
    fn note_stored(&mut self) {
        let server_ms = self.server.server_ms();
        for mut stored in self.server.notes.take() {
            stored.server_ms = server_ms;
            self.log_server(OfServer::Stored(stored));
        }
    }

    fn server_says(&mut self, conn: ConnId, frame: ToDevice) {
        let Some(handset) = self.conns.get(&conn.0).map(|conn| conn.handset) else {
            return;
        };
        self.send_down(conn.0, &frame);
        if !matches!(frame, ToDevice::Pong(_)) {
            let frame = Box::new(frame);
            self.log_server(OfServer::Said {
                conn: conn.0,
                handset: self.hands[handset].handset,
                frame,
            });
        }
        let late = if self.hands[handset].way.reads_slowly_until > self.now {
            self.rng.ms(200, 6_000)
        } else {
            self.rng.ms(0, 4)
        };
        self.after(
            late,
            Happens::Written {
                conn: conn.0,
                frames: 1,
            },
        );
    }

    pub fn written(&mut self, id: u64, frames: usize) {
        let open = self
            .conns
            .get(&id)
            .is_some_and(|conn| conn.there == super::network::Side::Open);
        if open {
            let conn = ConnId(id);
            self.server_input(Input::Written { conn, frames });
        }
    }

    fn server_pushes(&mut self, push: &Push) {
        self.log_server(OfServer::Pushes(Box::new(push.clone())));
        for handset in 0..self.hands.len() {
            let hand = &self.hands[handset];
            if hand.user_id != push.user || hand.beside.is_some() {
                continue;
            }
            for _ in 0..self.rng.weighted(&[(4, 1), (1, 2)]) {
                if self.rng.percent(self.scenario.weather.pushes_lost_percent) {
                    continue;
                }
                let wait = self.rng.spread_ms(50, 100_000);
                let push = Box::new(push.clone());
                self.after(wait, Happens::PushArrives { handset, push });
            }
        }
    }

    /// The server runs no more.
    pub fn server_ends(&mut self, how: End, halted: bool) {
        let server = &mut self.server;
        if server.core.take().is_none() {
            return;
        }
        server.inputs.clear();
        server.doom = None;
        if how != End::Closed {
            server.tls_key += 1;
            server.disk.process_ends(how == End::PowerLost);
        }
        self.note_stored();
        self.log_server(OfServer::Ended { how, halted });
        self.server_is_gone();
    }

    /// Whatever the server's part logged as an ERROR counts, unless its disk was made to fail.
    pub fn server_complains(&mut self) {
        for message in complaints::take() {
            if !self.server.may_complain {
                self.log(What::LoggedError(message));
            }
        }
    }
}
