//! What happens in a storm: users who do everything at every moment, also what makes no sense, on
//! networks that change, with processes that are killed and come back. Seeded, as far as processes
//! can be: the same seed makes the same choices from the same news.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::process::{Device, Server, until};
use crate::proxy::Weather;
use crate::random::Random;
use crate::sql;

/// Who has which devices.
const DEVICES: [(&str, &str); 7] = [
    ("alice", "alice-1"),
    ("alice", "alice-2"),
    ("bob", "bob-1"),
    ("bob", "bob-2"),
    ("carol", "carol"),
    ("dave", "dave"),
    ("erin", "erin"),
];
const USERS: [&str; 5] = ["alice", "bob", "carol", "dave", "erin"];

/// Devices are heard often, so that they notice soon that their server was killed, and taken for
/// gone soon.
const SETTINGS: &[&str] = &[
    "heartbeat_s=1",
    "offline_after_s=4",
    "not_received_check_s=3",
];

/// The longest that anybody rings.
const TIMEOUT_S_MAX: u64 = 8;
/// Of the calls that a device knows, those that its user thinks of.
const REMEMBERED_CALLS: usize = 3;
/// Of all calls, those that anybody thinks of.
const RECENT_CALLS: usize = 12;
/// Every so many rounds nobody is killed for a while, and nobody hears anything: what rings then is
/// the device's own to end.
const SILENCE_EVERY: u64 = 150;
/// Longer than a ring of that while may be late, so that one that only the server ends is found.
const SILENCE: Duration = Duration::from_secs(10);
/// How often somebody does something before that.
const SILENT_CALLS: usize = 12;
/// How long those who are to ring then are given before.
const BEFORE_SILENCE: Duration = Duration::from_secs(1);
/// How long one who ended a call at the end of a storm is given before somebody does so again.
const END_AGAIN: Duration = Duration::from_secs(3);

/// How often what was done.
#[derive(Debug, Default)]
pub struct Tally {
    pub rounds: u64,
    pub server_kills: u64,
    pub device_kills: u64,
    pub moves: u64,
    pub commands: u64,
}

pub struct Storm {
    pub tally: Tally,
    pub server: Server,
    pub devices: Vec<Device>,
    random: Random,
    /// Devices whose network is off.
    dark: BTreeSet<usize>,
    /// Of each device's journal, up to where its app has acknowledged.
    acknowledged: BTreeMap<usize, u64>,
}

impl Storm {
    pub fn new(folder: &Path, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let server = Server::new(folder, SETTINGS);
        let mut devices: Vec<Device> = DEVICES
            .iter()
            .map(|(user, name)| Device::new(user, name, folder, &server, random.branch()))
            .collect();
        devices.iter_mut().for_each(Device::starts);
        Self {
            tally: Tally::default(),
            server,
            devices,
            random,
            dark: BTreeSet::new(),
            acknowledged: BTreeMap::new(),
        }
    }

    /// One round: some things happen, then, after a random time, something is killed; things go on
    /// without it; it comes back, mostly.
    pub fn round(&mut self) {
        self.tally.rounds += 1;
        for _ in 0..self.random.below(8) {
            self.somebody_acts();
        }
        if self.random.permille(400) {
            self.weather_changes();
        }
        if self.random.permille(250) {
            self.a_network_changes();
        }
        std::thread::sleep(self.a_while());
        self.something_is_killed();
        for _ in 0..self.random.below(3) {
            self.somebody_acts();
        }
        self.most_come_back();
        if self.tally.rounds.is_multiple_of(SILENCE_EVERY) {
            self.falls_silent();
        }
        for device in &mut self.devices {
            device.listens();
        }
    }

    fn falls_silent(&mut self) {
        if !self.server.is_up() {
            self.server.starts();
        }
        for index in 0..self.devices.len() {
            self.devices[index].proxy.set_both(Weather::default());
            if self.devices[index].is_up() {
                self.devices[index].tells("networkChanged", json!({}));
            } else {
                self.comes_back(index);
            }
        }
        for _ in 0..SILENT_CALLS {
            self.somebody_acts();
        }
        std::thread::sleep(BEFORE_SILENCE);
        for device in &self.devices {
            device.proxy.set_both(Weather::CUT);
        }
        std::thread::sleep(SILENCE);
        for device in &self.devices {
            device.proxy.set_both(Weather::default());
        }
    }

    /// Kills come in bursts, with calmer times between them, in which something can be achieved.
    fn a_while(&mut self) -> Duration {
        match self.random.below(20) {
            0..10 => self.random.millis_below(60),
            10..17 => self.random.millis_below(300),
            _ => self.random.millis_below(1_000),
        }
    }

    fn something_is_killed(&mut self) {
        let what = self.random.below(20);
        let mut killed = false;
        if (12..19).contains(&what) && self.server.is_up() {
            self.server.is_killed();
            self.tally.server_kills += 1;
            killed = true;
        }
        let mut up = self.up();
        let devices = match what {
            0..12 => 1,
            12..17 => usize::from(!killed),
            17..19 => 1,
            _ => 3,
        };
        for _ in 0..devices.min(up.len()) {
            let victim = up.remove(self.random.index(up.len()));
            self.devices[victim].is_killed();
            self.dark.remove(&victim);
            self.tally.device_kills += 1;
            killed = true;
        }
        assert!(killed, "a round without a kill");
    }

    fn most_come_back(&mut self) {
        if !self.server.is_up() && (self.random.permille(850) || self.up().is_empty()) {
            self.server.starts();
            // Some notice because they move; the others find out by themselves.
            for device in self.up() {
                if self.random.permille(600) {
                    self.devices[device].tells("networkChanged", json!({}));
                }
            }
        }
        for index in 0..self.devices.len() {
            if !self.devices[index].is_up() && self.random.permille(800) {
                self.comes_back(index);
            }
        }
        if self.up().is_empty() && !self.server.is_up() {
            self.server.starts();
        }
    }

    /// The app reads on from where it was.
    fn comes_back(&mut self, index: usize) {
        let limit = if self.random.permille(500) { 50 } else { 1_000 };
        let device = &mut self.devices[index];
        device.starts();
        let position = self.acknowledged.get(&index).copied().unwrap_or(0);
        device.reads_on(position, limit);
    }

    fn up(&self) -> Vec<usize> {
        let all = 0..self.devices.len();
        all.filter(|index| self.devices[*index].is_up()).collect()
    }

    fn somebody_acts(&mut self) {
        let up = self.up();
        if up.is_empty() {
            return;
        }
        let index = *self.random.one_of(&up);
        self.devices[index].listens();
        for _ in 0..=self.random.below(3) {
            if self.random.permille(850) {
                self.commands(index);
            } else {
                self.asks_something(index);
            }
        }
    }

    /// What makes sense, as far as the user knows, or anything.
    fn commands(&mut self, index: usize) {
        let device = &self.devices[index];
        let (rung, inside) = (device.rung.last().cloned(), device.inside.clone());
        let chosen = match (self.random.below(10), rung, inside) {
            (0..3, Some(call), _) => {
                let answers = ["callAccept", "callAccept", "callReject", "callJoin"];
                Some((*self.random.one_of(&answers), call))
            }
            (3..8, _, Some(call)) => {
                let goings = [
                    "callingInvite",
                    "callCancel",
                    "callJoin",
                    "callQuit",
                    "callEnd",
                ];
                Some((*self.random.one_of(&goings), call))
            }
            _ => None,
        };
        match chosen {
            Some((method, call)) => self.gives(index, method, Some(call)),
            None => {
                let method = self.any_command();
                let call = (method != "callInvite").then(|| self.a_call(index));
                match call {
                    Some(None) => {}
                    Some(call) => self.gives(index, method, call),
                    None => self.gives(index, method, None),
                }
            }
        }
    }

    fn any_command(&mut self) -> &'static str {
        match self.random.below(100) {
            0..40 => "callInvite",
            40..52 => "callAccept",
            52..60 => "callReject",
            60..71 => "callCancel",
            71..77 => "callingInvite",
            77..84 => "callJoin",
            84..93 => "callQuit",
            _ => "callEnd",
        }
    }

    fn gives(&mut self, index: usize, method: &str, call: Option<String>) {
        let mut params = json!({"config": {"extendedData": self.some_data()}});
        match call {
            Some(call) => params["callID"] = json!(call),
            None => {
                let config = &mut params["config"];
                config["timeout"] = json!(1 + self.random.below(TIMEOUT_S_MAX));
                config["mode"] = json!(u8::from(self.random.permille(650)));
                config["enableNotReceivedCheck"] = json!(self.random.permille(300));
            }
        }
        let others = self.others(self.devices[index].user);
        match method {
            "callInvite" | "callingInvite" => params["invitees"] = json!(others),
            "callCancel" if self.random.permille(500) => params["invitees"] = json!(others),
            "callCancel" => params["invitees"] = json!([]),
            _ => {}
        }
        // Who waits for the verdict takes it from the journal; if nobody is there then, it stays.
        if self.random.permille(920) {
            params["wait"] = json!("disk");
        }
        self.tally.commands += 1;
        self.devices[index].tells(method, params);
    }

    fn some_data(&mut self) -> String {
        "x".repeat(self.random.index(40))
    }

    /// One to all of the others.
    fn others(&mut self, user: &str) -> Vec<&'static str> {
        let mut others: Vec<_> = USERS.into_iter().filter(|one| *one != user).collect();
        for _ in 0..self.random.below(3) {
            others.remove(self.random.index(others.len()));
        }
        others
    }

    /// Mostly one that concerns the device, else any.
    fn a_call(&mut self, index: usize) -> Option<String> {
        let device = &self.devices[index];
        let last = |calls: &[String], most| -> Vec<String> {
            calls.iter().rev().take(most).cloned().collect()
        };
        let mut own = last(&device.rung, REMEMBERED_CALLS);
        own.extend(last(&device.made, REMEMBERED_CALLS));
        let mut all: Vec<String> = self
            .devices
            .iter()
            .flat_map(|device| last(&device.made, RECENT_CALLS / 4))
            .collect();
        all.truncate(RECENT_CALLS);
        let calls = if self.random.permille(700) && !own.is_empty() {
            own
        } else {
            all
        };
        (!calls.is_empty()).then(|| self.random.one_of(&calls).clone())
    }

    fn asks_something(&mut self, index: usize) {
        let device = &mut self.devices[index];
        let (method, params) = match self.random.below(7) {
            0 => ("markSeen", json!({})),
            1 => {
                let position = device.heard.keys().next_back().copied().unwrap_or(0);
                self.acknowledged.insert(index, position);
                ("acknowledge", json!({"position": position}))
            }
            2 => {
                let position = self.acknowledged.get(&index).copied().unwrap_or(0);
                ("eventsSince", json!({"position": position, "limit": 20}))
            }
            3 => ("queryCallInvitationList", json!({"config": {"count": 20}})),
            4 => ("pending", json!({})),
            5 => ("ringing", json!({})),
            _ => ("status", json!({})),
        };
        device.tells(method, params);
    }

    fn weather_changes(&mut self) {
        let index = self.random.index(self.devices.len());
        let (up, down) = (self.some_weather(), self.some_weather());
        let proxy = &self.devices[index].proxy;
        match self.random.below(10) {
            0 => proxy.set_both(Weather::CUT),
            1 => proxy.set(Weather::CUT, down),
            2 => proxy.set(up, Weather::CUT),
            3..6 => proxy.set_both(Weather::default()),
            _ => proxy.set(up, down),
        }
    }

    fn some_weather(&mut self) -> Weather {
        Weather {
            lost_permille: self.random.below(250),
            twice_permille: self.random.below(200),
            delay: self.random.millis_below(40),
            jitter: self.random.millis_below(40),
            cut: false,
        }
    }

    fn a_network_changes(&mut self) {
        let up = self.up();
        if up.is_empty() {
            return;
        }
        let index = *self.random.one_of(&up);
        let device = &mut self.devices[index];
        match self.random.below(5) {
            0 if self.dark.insert(index) => {
                device.tells("setNetwork", json!({"online": false}));
            }
            0 | 1 => {
                self.dark.remove(&index);
                device.tells("setNetwork", json!({"online": true}));
            }
            2 | 3 => {
                device.tells("networkChanged", json!({}));
            }
            _ => {
                device.proxy.moves();
                self.tally.moves += 1;
            }
        }
    }

    /// The weather clears, everybody is up and connected, every call comes to its end, and
    /// everybody has heard of it.
    pub fn clears_up(&mut self) {
        if !self.server.is_up() {
            self.server.starts();
        }
        self.server.listens();
        for index in 0..self.devices.len() {
            self.devices[index].proxy.set_both(Weather::default());
            if self.devices[index].is_up() {
                let device = &mut self.devices[index];
                device.tells("setNetwork", json!({"online": true}));
                // The others come back by themselves.
                if self.random.permille(500) {
                    device.tells("networkChanged", json!({}));
                }
            } else {
                self.comes_back(index);
            }
        }
        // What waited may make calls yet.
        for device in &mut self.devices {
            has_all_verdicts(device);
        }
        self.all_calls_end();
        for device in &mut self.devices {
            is_caught_up(device, &self.server.database());
        }
    }

    fn all_calls_end(&mut self) {
        let database = self.server.database();
        let mut ended: BTreeMap<String, Instant> = BTreeMap::new();
        let devices = &mut self.devices;
        until(
            &|| format!("an end of {:?}", sql::going_on(&database)),
            || {
                let going_on = sql::going_on(&database);
                for (call, mode, inside) in &going_on {
                    let again = ended
                        .get(call)
                        .is_none_or(|told| told.elapsed() > END_AGAIN);
                    if mode == "advanced"
                        && again
                        && let Some(user) = inside
                    {
                        ended.insert(call.clone(), Instant::now());
                        let theirs = devices.iter_mut().find(|device| device.user == user);
                        let params = json!({"callID": call, "wait": "disk"});
                        theirs.expect("a device").tells("callEnd", params);
                    }
                }
                devices.iter_mut().for_each(Device::listens);
                going_on.is_empty()
            },
        );
    }

    /// Everything ends in good order.
    pub fn stops(&mut self) {
        for device in &mut self.devices {
            device.stops();
        }
        self.server.stops();
    }
}

fn has_all_verdicts(device: &mut Device) {
    let shown = std::cell::RefCell::new(String::new());
    until(&|| shown.borrow().clone(), || {
        let status = device.asks("status", json!({}));
        *shown.borrow_mut() = format!("{}: {status}", device.name);
        status["pending"] == 0 && status["connection"]["state"] == 2
    });
}

/// Nothing waits for a verdict, nothing rings, and all records are the server's.
fn is_caught_up(device: &mut Device, server: &Path) {
    let (name, file) = (device.name, device.database());
    let shown = std::cell::RefCell::new(String::new());
    until(&|| format!("{name}: {}", shown.borrow()), || {
        let status = device.asks("status", json!({}));
        let ringing = device.asks("ringing", json!({}));
        let differences = sql::differences(server, &file);
        *shown.borrow_mut() = format!("{status}, {ringing}, {differences:#?}");
        status["pending"] == 0
            && status["connection"]["state"] == 2
            && ringing == json!([])
            && differences.is_empty()
    });
}
