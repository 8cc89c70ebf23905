//! A handset: its disk and clocks, the process that has the client core in it, and the listener in
//! that process.

use std::collections::{BTreeMap, BTreeSet};

use offhook::call::{CallEvent, CallId, DeviceId, Op, UserId};
use offhook::client::clock::Now;
use offhook::client::core::{Core, CoreSettings, Effect, LOOK_EVERY_MS, Role, WAIT_S_DEFAULT};
use offhook::client::event::{ConnectionState, Event, EventKind};
use offhook::client::store::Readers;
use offhook::{Code, Error};

use super::complaints;
use super::disk::{Disk, Snapshot};
use super::observe::{BEGIN_MS, End, Handset, How, OfHandset, TrueMs, What};
use super::second::{Beside, EXTENSION};
use super::seed::Rng;
use super::world::{Happens, World, user_id};

/// The name by which the listener of an app reads the journal.
pub const APP: &str = "app";
/// A process looks at the clock at least this often, and at what others did to its file. The real
/// one does the latter every half second, which makes a difference only while somebody else is there.
const WAKE_MAX_MS: i64 = 10_000;
/// How often it is tried whether one that is asleep hears what came for it.
pub const NAP_MS: i64 = 700;
/// How long a file that cannot be opened is left alone.
const OPEN_AGAIN_MS: i64 = 5_000;
/// Events of one reading of the journal.
const PAGE: usize = 50;

/// A handset; or what a second process on its file has for itself.
pub struct Hand {
    /// Its place among all handsets.
    pub handset: Handset,
    /// Set for a second process.
    pub beside: Option<Beside>,
    /// The place of the second process, if there ever was one.
    pub second: Option<usize>,
    pub user: usize,
    pub user_id: UserId,
    pub disk: Disk,
    pub process: Option<Process>,
    pub runs: u32,
    pub boots: u32,
    pub apps: u32,
    pub booted_at: TrueMs,
    /// Of the wall clock, to be added to the true time.
    pub skew_ms: i64,
    /// The name by which the file went last.
    pub device: Option<DeviceId>,
    pub asleep: bool,
    pub asleep_turn: u64,
    pub open_turn: u64,
    /// Whether the user stays logged out when the file is opened again.
    pub logged_out: bool,
    /// How the process is to end when its disk stops, and how long it stays away.
    pub doom: Option<(End, i64)>,
    pub backups: BTreeMap<usize, Snapshot>,
    pub way: Way,
    rng: Rng,
}

/// The way to the server.
#[derive(Clone, Debug, Default)]
pub struct Way {
    pub delay_ms: i64,
    pub up_blocked_until: TrueMs,
    pub down_blocked_until: TrueMs,
    pub slow_ms: i64,
    pub slow_until: TrueMs,
    pub reads_slowly_until: TrueMs,
}

/// A process with the core in it.
pub struct Process {
    pub core: Core,
    pub readers: Readers,
    pub run: u32,
    pub app: Option<App>,
    /// The connection of the link's present attempt.
    pub conn: Option<u64>,
    /// Whether it was the one that syncs, as far as that was logged.
    pub syncs: bool,
    /// Whether the link was told that there is no network.
    pub no_network: bool,
    /// It dies when so many more effects were carried out; and stays away for so long.
    pub dies_after: Option<(u64, i64)>,
    /// A TLS session that can be resumed, by the key of the server that gave it out.
    pub tls_session: Option<u64>,
    wake_turn: u64,
    wakes_at: TrueMs,
}

/// A listener.
pub struct App {
    pub number: u32,
    /// The last position that it has taken in.
    pub heard: u64,
    /// Commands whose verdicts are waited for.
    pub waits: BTreeSet<Op>,
    /// What rings, as far as it was told.
    pub ringing: BTreeSet<CallId>,
}

impl Hand {
    pub fn new(user: usize, handset: Handset, seat: usize, seed: u64, rng: &mut Rng) -> Self {
        Self {
            handset,
            beside: None,
            second: None,
            user,
            user_id: user_id(user),
            disk: Disk::new(rng.next()),
            process: None,
            runs: 0,
            boots: 1,
            apps: 0,
            booted_at: -rng.ms(1_000, 10_000_000),
            skew_ms: 0,
            device: None,
            asleep: false,
            asleep_turn: 0,
            open_turn: 0,
            logged_out: false,
            doom: None,
            backups: BTreeMap::new(),
            way: Way {
                delay_ms: rng.spread_ms(2, 120),
                ..Way::default()
            },
            rng: Rng::of(seed, 1_000 + seat as u64),
        }
    }

    pub fn run(&self) -> u32 {
        self.process.as_ref().map_or(0, |process| process.run)
    }

    /// The name by which its listener reads the journal.
    pub fn reader(&self) -> &'static str {
        match self.beside {
            Some(_) => EXTENSION,
            None => APP,
        }
    }

    fn clocks(&self, now: TrueMs) -> Now {
        Now {
            mono_ms: now - self.booted_at,
            wall_ms: BEGIN_MS + now + self.skew_ms,
        }
    }
}

impl World {
    /// A process begins after a time.
    pub fn opens(&mut self, handset: usize, after_ms: i64) {
        let hand = &mut self.hands[handset];
        hand.open_turn += 1;
        let turn = hand.open_turn;
        self.after(after_ms, Happens::Open { handset, turn });
    }

    pub fn open(&mut self, handset: usize, turn: u64) {
        let now = self.now;
        let hand = &self.hands[handset];
        if hand.process.is_some() || hand.open_turn != turn || !self.is_wanted(handset) {
            return;
        }
        let reader = hand.reader();
        if hand.beside.is_some() {
            self.sits_beside(handset);
        }
        let hand = &mut self.hands[handset];
        hand.asleep = false;
        let clocks = hand.clocks(now);
        let fresh = DeviceId::trusted(format!("d{:016x}", hand.rng.next()));
        let mut entropy = Rng::new(hand.rng.next());
        let settings = CoreSettings {
            token: None,
            provides_tokens: false,
            boot: format!("boot {} of {}", hand.boots, hand.handset.0),
            build: "simulation".into(),
            wait_s: WAIT_S_DEFAULT,
        };
        let opened = hand
            .disk
            .open_client(&hand.user_id, &fresh)
            .and_then(|store| Core::new(clocks, store, settings, Box::new(move || entropy.next())));
        let readers = hand.disk.readers(&hand.user_id);
        let opened = opened.and_then(|core| Ok((core, readers.acknowledged(reader)?)));
        if hand.disk.has_crashed() {
            drop((opened, readers));
            let error = Error::new(Code::Internal, "killed", "killed while opening the file");
            self.log_handset(handset, OfHandset::NotOpened { error });
            return self.dies_with_its_disk(handset);
        }
        let (core, acknowledged) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                self.log_handset(handset, OfHandset::NotOpened { error });
                return self.opens(handset, OPEN_AGAIN_MS);
            }
        };
        let boot = hand.boots;
        let first = self.first(handset);
        self.hands[first].runs += 1;
        let run = self.hands[first].runs;
        let hand = &mut self.hands[handset];
        let device = core.device().clone();
        hand.device = Some(device.clone());
        hand.process = Some(Process {
            core,
            readers,
            run,
            app: None,
            conn: None,
            syncs: false,
            no_network: false,
            dies_after: None,
            tls_session: None,
            wake_turn: 0,
            wakes_at: now,
        });
        let stays_out = hand.logged_out;
        self.log_handset(
            handset,
            OfHandset::Opened {
                run,
                boot,
                device,
                acknowledged,
            },
        );
        self.ask(handset, |core, now| {
            if stays_out {
                core.stay_logged_out();
            } else {
                core.start(now);
            }
        });
        self.carry_out(handset);
        for seat in self.seats(handset) {
            self.plan_wake(seat);
        }
        let wait = self.rng.spread_ms(1, 500);
        self.after(wait, Happens::AppBegins { handset, run });
    }

    /// Has the core do something. `None` when the process did not live through it, or there is
    /// none; [`Self::carry_out`] is to be called then as well.
    pub fn ask<T>(&mut self, handset: usize, work: impl FnOnce(&mut Core, Now) -> T) -> Option<T> {
        let hand = &mut self.hands[handset];
        let now = hand.clocks(self.now);
        let value = work(&mut hand.process.as_mut()?.core, now);
        let lives = !hand.disk.has_crashed();
        for message in complaints::take() {
            self.log(What::LoggedError(message));
        }
        lives.then_some(value)
    }

    /// Does what the core wants done, in its order, unless the process dies over it.
    pub fn carry_out(&mut self, handset: usize) {
        if self.hands[handset].process.is_none() {
            return;
        }
        if self.hands[handset].disk.has_crashed() {
            return self.dies_with_its_disk(handset);
        }
        loop {
            let Some(process) = &mut self.hands[handset].process else {
                return;
            };
            let Some(effect) = process.core.poll_effect() else {
                break;
            };
            match &mut process.dies_after {
                Some((0, off_ms)) => {
                    let off_ms = *off_ms;
                    self.process_ends(handset, End::Killed);
                    return self.opens(handset, off_ms);
                }
                Some((left, _)) => *left -= 1,
                None => {}
            }
            self.carry_out_one(handset, effect);
        }
        self.note_name(handset);
        self.note_role(handset);
        self.plan_wake(handset);
    }

    fn carry_out_one(&mut self, handset: usize, effect: Effect) {
        match effect {
            Effect::Link(command) => self.link(handset, command),
            Effect::Settled { position, settled } => {
                let Some(process) = &mut self.hands[handset].process else {
                    return;
                };
                let waits = process
                    .app
                    .as_mut()
                    .is_some_and(|app| app.waits.remove(&settled.op));
                if waits {
                    process.core.verdict_taken(position);
                }
                let how = if waits { How::Waiting } else { How::Live };
                let kind = EventKind::CommandSettled(settled);
                self.hears(handset, how, Some(position), kind);
            }
            Effect::Event { position, event } => {
                self.hears(handset, How::Live, position, event);
            }
            // Nobody shows a token here.
            Effect::TokenRenewed(_)
            | Effect::TokenWanted { .. }
            | Effect::TokenNotWanted { .. } => {}
            Effect::LoggedOut => {
                let run = self.hands[handset].run();
                self.log_handset(handset, OfHandset::LoggedOut { run });
            }
        }
    }

    /// The listener hears something, if there is one.
    fn hears(&mut self, handset: usize, how: How, position: Option<u64>, event: EventKind) {
        let hand = &mut self.hands[handset];
        let run = hand.run();
        let user = hand.user;
        let Some(app) = hand
            .process
            .as_mut()
            .and_then(|process| process.app.as_mut())
        else {
            return;
        };
        app.heard = app.heard.max(position.unwrap_or(0));
        let call = match &event {
            EventKind::Call(event) => {
                let call = event.call_id();
                match event {
                    CallEvent::Received { over: false, .. } => {
                        app.ringing.insert(call.clone());
                    }
                    CallEvent::Received { .. }
                    | CallEvent::Cancelled { .. }
                    | CallEvent::Timeout { .. }
                    | CallEvent::Ended { .. }
                    | CallEvent::HandledElsewhere { .. } => {
                        app.ringing.remove(call);
                    }
                    CallEvent::Created { .. }
                    | CallEvent::UserStateChanged { .. }
                    | CallEvent::PrimaryDeviceChanged { .. } => {}
                }
                Some(call.clone())
            }
            EventKind::CommandSettled(settled) => Some(settled.call_id.clone()),
            EventKind::ConnectionStateChanged(_)
            | EventKind::TokenWillExpire { .. }
            | EventKind::DatabaseSetAside(_) => None,
        };
        let app = app.number;
        if let Some(call) = call {
            self.knows(user, call);
        }
        self.log_handset(
            handset,
            OfHandset::Heard {
                run,
                app,
                how,
                position,
                event,
            },
        );
    }

    /// A user learns of a call.
    pub fn knows(&mut self, user: usize, call: CallId) {
        if !self.calls.contains(&call) {
            self.calls.push(call.clone());
        }
        let known = &mut self.known[user];
        known.retain(|other| other != &call);
        known.push(call);
    }

    /// A listener begins: it reads what the journal has after what was acknowledged last.
    pub fn app_begins(&mut self, handset: usize, run: u32) {
        let hand = &self.hands[handset];
        if hand.run() != run || hand.asleep {
            return;
        }
        if hand
            .process
            .as_ref()
            .is_none_or(|process| process.app.is_some())
        {
            return;
        }
        let server_now = self.ask(handset, |core, now| {
            core.flush(now).map(|()| core.server_now(now))
        });
        self.carry_out(handset);
        let begun = server_now.and_then(|done| {
            let server_now = done.ok()?;
            let hand = &self.hands[handset];
            let process = hand.process.as_ref()?;
            Some((
                server_now,
                process.readers.acknowledged(hand.reader()).ok()?,
            ))
        });
        let Some((server_now, from)) = begun else {
            return self.after(1_000, Happens::AppBegins { handset, run });
        };
        let first = self.first(handset);
        self.hands[first].apps += 1;
        let app = self.hands[first].apps;
        let hand = &mut self.hands[handset];
        if let Some(process) = &mut hand.process {
            process.app = Some(App {
                number: app,
                heard: from,
                waits: BTreeSet::new(),
                ringing: BTreeSet::new(),
            });
        }
        self.log_handset(handset, OfHandset::AppBegan { run, app, from });
        let mut position = from;
        loop {
            let Some(process) = &self.hands[handset].process else {
                return;
            };
            let Ok((events, more)) = process.readers.events_since(position, PAGE, server_now)
            else {
                return self.app_dies(handset, 1_000);
            };
            for Event { position: at, kind } in events {
                position = at.unwrap_or(position);
                self.hears(handset, How::Replayed, at, kind);
            }
            if !more {
                break;
            }
        }
        self.log_handset(handset, OfHandset::AppCaughtUp { run, app });
    }

    /// The listener is gone, and another begins after a time.
    pub fn app_dies(&mut self, handset: usize, away_ms: i64) {
        let Some(process) = &mut self.hands[handset].process else {
            return;
        };
        let run = process.run;
        if let Some(app) = process.app.take() {
            let app = app.number;
            self.log_handset(handset, OfHandset::AppDied { run, app });
            self.after(away_ms, Happens::AppBegins { handset, run });
        }
    }

    /// The process is gone, with all that was in memory.
    pub fn process_ends(&mut self, handset: usize, how: End) {
        let now = self.now;
        let hand = &mut self.hands[handset];
        let Some(process) = hand.process.take() else {
            return;
        };
        let run = process.run;
        let conn = process.conn;
        drop(process);
        hand.doom = None;
        if how != End::Closed {
            hand.logged_out = false;
        }
        // Where another process has the file open, it goes on or ends next.
        if !self.is_shared(handset) && how != End::Closed {
            self.hands[handset].disk.process_ends(how == End::PowerLost);
        }
        if how == End::PowerLost {
            let first = self.first(handset);
            let booted_at = now - self.rng.ms(0, 60_000);
            let hand = &mut self.hands[first];
            hand.boots += 1;
            hand.booted_at = booted_at;
        }
        self.log_handset(handset, OfHandset::Ended { run, how });
        if let Some(conn) = conn {
            self.abandon(conn, how == End::Closed);
        }
    }

    fn note_name(&mut self, handset: usize) {
        let hand = &mut self.hands[handset];
        let Some(process) = &hand.process else {
            return;
        };
        if hand.device.as_ref() != Some(process.core.device()) {
            let (run, device) = (process.run, process.core.device().clone());
            hand.device = Some(device.clone());
            self.log_handset(handset, OfHandset::Renamed { run, device });
        }
    }

    /// Sees to it that the core is woken in time.
    pub fn plan_wake(&mut self, handset: usize) {
        let shared = self.is_shared(handset);
        let hand = &mut self.hands[handset];
        let clocks = hand.clocks(self.now);
        let Some(process) = &mut hand.process else {
            return;
        };
        let due = process.core.poll_timeout(clocks);
        let most = match process.core.role() {
            // One that could not begin to sync looks whether it can.
            Role::Syncing if shared => LOOK_EVERY_MS,
            Role::Syncing if process.core.link_status().state != ConnectionState::Disconnected => {
                WAKE_MAX_MS
            }
            Role::Syncing | Role::Waiting => LOOK_EVERY_MS,
        };
        let wait = due.map_or(most, |due| {
            due.saturating_sub(clocks.mono_ms).clamp(0, most)
        });
        self.wakes_in(handset, wait);
    }

    fn wakes_in(&mut self, handset: usize, wait_ms: i64) {
        let at = self.now + wait_ms;
        let Some(process) = &mut self.hands[handset].process else {
            return;
        };
        if process.wakes_at == at && process.wake_turn > 0 {
            return;
        }
        process.wakes_at = at;
        process.wake_turn += 1;
        let turn = (u64::from(process.run) << 32) | process.wake_turn;
        self.at(at, Happens::Wake { handset, turn });
    }

    pub fn wake(&mut self, handset: usize, turn: u64) {
        let hand = &mut self.hands[handset];
        let asleep = hand.asleep;
        let Some(process) = &mut hand.process else {
            return;
        };
        if turn != (u64::from(process.run) << 32) | process.wake_turn {
            return;
        }
        // Whatever time it is planned for, the next plan is another one.
        process.wakes_at = TrueMs::MIN;
        let run = process.run;
        if asleep {
            return;
        }
        for work in [Core::look, Core::handle_timeout] {
            self.does_what_is_due(handset, run, work);
        }
    }

    fn does_what_is_due(
        &mut self,
        handset: usize,
        run: u32,
        work: fn(&mut Core, Now) -> Result<(), Error>,
    ) {
        if self.hands[handset].run() != run {
            return;
        }
        let done = self.ask(handset, work);
        if let Some(Err(error)) = done {
            self.report(&error);
            self.log_handset(handset, OfHandset::TimeoutFailed { run, error });
        }
        self.carry_out(handset);
    }

    /// What the shell around a core logs as an ERROR.
    pub fn report(&mut self, error: &Error) {
        if error.code == Code::Internal {
            self.log(What::LoggedError(format!("the core failed: {error}")));
        }
    }

    pub fn awakes(&mut self, handset: usize, turn: Option<u64>) {
        let hand = &mut self.hands[handset];
        if !hand.asleep || turn.is_some_and(|turn| turn != hand.asleep_turn) {
            return;
        }
        hand.asleep = false;
        let run = hand.run();
        let has_app = hand
            .process
            .as_ref()
            .is_some_and(|process| process.app.is_some());
        let sockets_first = hand.asleep_turn % 2 == 1;
        self.log_handset(handset, OfHandset::Awake);
        if sockets_first && self.is_shared(handset) {
            // What came in the meantime is ahead of its own look at what the other one did.
            self.wakes_in(handset, NAP_MS);
        } else {
            self.plan_wake(handset);
        }
        if run > 0 && !has_app {
            self.after(100, Happens::AppBegins { handset, run });
        }
    }
}
