//! The world: what is in it, what time it is, and what happens next.
//!
//! One thread, one queue ordered by time and then by the order in which things were put into it.
//! Whatever is left to chance comes from the scenario's seed, in the order in which it is asked
//! for; so one scenario has one run.

use std::collections::BTreeMap;

use offhook::call::{CallId, UserId};
use offhook::protocol::ToServer;
use offhook::server::push::Push;

use super::handset::Hand;
use super::network::Conn;
use super::observe::{Entry, Handset, OfHandset, OfNetwork, OfServer, Record, TrueMs, What};
use super::scenario::{CALM_MS, STORM_MS, Scenario};
use super::seed::Rng;
use super::server::Server;

/// Most things that happen in a run; more means that something goes round in circles.
const HAPPENINGS_MAX: u64 = 2_000_000;

/// Something that is to happen.
#[derive(Debug)]
pub enum Happens {
    /// An act of the scenario, by its place.
    Act(usize),
    /// A fault of the scenario, by its place.
    Fault(usize),
    /// What a fault of the scenario will need: a copy of a file, made beforehand.
    BackUp(usize),
    /// A process begins and opens its file.
    Open { handset: usize, turn: u64 },
    /// A process that was to be killed at some operation of its disk has not come to it.
    KillAnyway { handset: usize, run: u32 },
    /// A listener begins.
    AppBegins { handset: usize, run: u32 },
    /// A core wants to be woken.
    Wake { handset: usize, turn: u64 },
    /// A handset wakes up.
    Awakes { handset: usize, turn: u64 },
    /// A second process on a file is to be there no longer.
    SecondCloses { seat: usize },
    /// A disk has room again.
    DiskHasRoom { handset: usize },
    /// The app says that there is a network again.
    NetworkIsBack { handset: usize, run: u32 },
    /// A push arrives.
    PushArrives { handset: usize, push: Box<Push> },
    /// A handshake goes on.
    Dials { conn: u64, until: TrueMs },
    /// The first packet of a handshake, with a hello in it, reaches the server.
    HelloAhead { conn: u64 },
    /// One that was recorded reaches it again.
    HelloReplayed { conn: u64, frames: Vec<ToServer> },
    /// The server waits no longer for the end of a handshake.
    NotConfirmed { conn: u64 },
    /// The next piece of what a handset sent reaches the server.
    ReachesServer { conn: u64 },
    /// The next piece of what the server sent reaches the handset.
    ReachesHandset { conn: u64 },
    /// Whether either side has not heard the other for too long.
    Idle { conn: u64 },
    /// The handset notices that a connection is gone.
    HandsetNotices { conn: u64 },
    /// The server notices that a connection is gone.
    ServerNotices { conn: u64 },
    /// Frames of the server were taken by the network.
    Written { conn: u64, frames: usize },
    /// The server's core is to be stepped.
    ServerSteps { turn: u64 },
    /// The server begins.
    ServerOpens { turn: u64 },
    /// The server that was to be killed at some operation of its disk has not come to it.
    ServerKillAnyway { run: u32 },
    /// The server's disk has room again.
    ServerDiskHasRoom,
    /// The storm is over.
    StormEnds,
}

/// The world.
pub struct World {
    pub now: TrueMs,
    order: u64,
    queue: BTreeMap<(TrueMs, u64), Happens>,
    pub rng: Rng,
    pub scenario: Scenario,
    pub hands: Vec<Hand>,
    pub server: Server,
    pub conns: BTreeMap<u64, Conn>,
    pub conns_made: u64,
    /// Every call that anybody ever knew of.
    pub calls: Vec<CallId>,
    /// The calls that each user knows of, by the user's number, the newest last.
    pub known: Vec<Vec<CallId>>,
    pub record: Record,
    /// Whether the storm is over.
    pub calm: bool,
}

/// The name of a user, by number.
pub fn user_id(user: usize) -> UserId {
    const NAMES: [&str; 6] = ["ann", "bob", "cid", "dora", "emil", "fay"];
    UserId::trusted(NAMES.get(user).copied().unwrap_or("nobody"))
}

/// Runs a scenario.
pub fn run(scenario: &Scenario) -> Record {
    let mut world = World::new(scenario.clone());
    world.go();
    world.end()
}

impl World {
    fn new(scenario: Scenario) -> Self {
        let mut rng = Rng::of(scenario.seed, 2);
        let users = scenario.handsets.iter().max().map_or(0, |most| most + 1);
        let mut world = Self {
            now: 0,
            order: 0,
            queue: BTreeMap::new(),
            hands: Vec::new(),
            server: Server::new(scenario.seed),
            conns: BTreeMap::new(),
            conns_made: 0,
            calls: Vec::new(),
            known: vec![Vec::new(); users],
            record: Record::default(),
            calm: false,
            rng: rng.clone(),
            scenario,
        };
        world.at(0, Happens::ServerOpens { turn: 0 });
        for user in world.scenario.handsets.clone() {
            let handset = world.add_handset(user);
            let at = rng.spread_ms(50, 10_000);
            if !world.scenario.left_out.contains(&handset) {
                world.opens(handset, at);
            }
        }
        for (place, act) in world.scenario.acts.iter().enumerate() {
            let key = (act.at, world.order);
            world.order += 1;
            world.queue.insert(key, Happens::Act(place));
        }
        for place in 0..world.scenario.faults.len() {
            let fault = &world.scenario.faults[place];
            let (at, back) = (fault.at, fault.what.back_ms());
            if let Some(back) = back {
                world.at((at - back).max(500), Happens::BackUp(place));
            }
            world.at(at, Happens::Fault(place));
        }
        world.at(STORM_MS, Happens::StormEnds);
        world.rng = rng;
        world
    }

    /// A handset that is off, with an empty disk.
    pub fn add_handset(&mut self, user: usize) -> usize {
        let seat = self.hands.len();
        let handset = Handset(self.record.users.len());
        let hand = Hand::new(user, handset, seat, self.scenario.seed, &mut self.rng);
        self.hands.push(hand);
        self.record.users.push(user_id(user));
        seat
    }

    /// Has something happen at a time.
    pub fn at(&mut self, at: TrueMs, what: Happens) {
        let key = (at.max(self.now), self.order);
        self.order += 1;
        self.queue.insert(key, what);
    }

    /// Has something happen after a time.
    pub fn after(&mut self, ms: i64, what: Happens) {
        self.at(self.now + ms.max(0), what);
    }

    pub fn log(&mut self, what: What) {
        let at = self.now;
        self.record.log.push(Entry { at, what });
    }

    pub fn log_handset(&mut self, handset: usize, what: OfHandset) {
        let hand = &self.hands[handset];
        self.log(match hand.beside {
            Some(_) => What::Second(hand.handset, what),
            None => What::Handset(hand.handset, what),
        });
    }

    pub fn log_network(&mut self, handset: usize, what: OfNetwork) {
        self.log(What::Network(self.hands[handset].handset, what));
    }

    pub fn log_server(&mut self, what: OfServer) {
        self.log(What::Server(what));
    }

    fn go(&mut self) {
        let end = STORM_MS + CALM_MS;
        let mut count = 0;
        while let Some(((at, _), what)) = self.queue.pop_first() {
            if at > end {
                break;
            }
            count += 1;
            assert!(
                count < HAPPENINGS_MAX,
                "the world goes round in circles at {at} ms, with {what:?}"
            );
            self.now = at;
            self.happens(what);
        }
        self.now = end;
    }

    fn happens(&mut self, what: Happens) {
        match what {
            Happens::Act(place) => self.act(place),
            Happens::Fault(place) => self.fault(place),
            Happens::BackUp(place) => self.back_up(place),
            Happens::Open { handset, turn } => self.open(handset, turn),
            Happens::KillAnyway { handset, run } => self.kill_anyway(handset, run),
            Happens::AppBegins { handset, run } => self.app_begins(handset, run),
            Happens::Wake { handset, turn } => self.wake(handset, turn),
            Happens::Awakes { handset, turn } => self.awakes(handset, Some(turn)),
            Happens::SecondCloses { seat } => self.second_closes(seat, false),
            Happens::DiskHasRoom { handset } => self.disk_has_room(handset),
            Happens::NetworkIsBack { handset, run } => self.network_is_back(handset, run),
            Happens::PushArrives { handset, push } => self.push_arrives(handset, push),
            Happens::Dials { conn, until } => self.dials(conn, until),
            Happens::HelloAhead { conn } => self.hello_ahead(conn),
            Happens::HelloReplayed { conn, frames } => self.hello_replayed(conn, frames),
            Happens::NotConfirmed { conn } => self.not_confirmed(conn),
            Happens::ReachesServer { conn } => self.reaches_server(conn),
            Happens::ReachesHandset { conn } => self.reaches_handset(conn),
            Happens::Idle { conn } => self.idle(conn),
            Happens::HandsetNotices { conn } => self.handset_notices(conn),
            Happens::ServerNotices { conn } => self.server_notices(conn),
            Happens::Written { conn, frames } => self.written(conn, frames),
            Happens::ServerSteps { turn } => self.server_steps(turn),
            Happens::ServerOpens { turn } => self.server_opens(turn),
            Happens::ServerKillAnyway { run } => self.server_kill_anyway(run),
            Happens::ServerDiskHasRoom => self.server_disk_has_room(),
            Happens::StormEnds => self.storm_ends(),
        }
    }

    /// The network is whole, everything is on, everybody is logged in and does nothing any more.
    fn storm_ends(&mut self) {
        self.calm = true;
        self.log(What::StormEnds);
        self.server_is_well();
        for handset in 0..self.hands.len() {
            if self.hands[handset].beside.is_some() {
                self.second_closes(handset, true);
            } else if !self.scenario.left_out.contains(&handset) {
                self.handset_is_well(handset);
            }
        }
    }
}
