//! What happens in a run, as an explicit list: who acts when, and what fails when. A seed is
//! expanded into one of these before anything runs, so that a failing one can be made smaller by
//! leaving things out. What the network does to each packet comes from the seed alone.

use std::collections::BTreeSet;
use std::fmt;

use super::observe::TrueMs;
use super::seed::Rng;

/// Raised whenever the same seed gives another scenario or another run than before: seeds that were
/// written down for an older number are worth nothing any more.
pub const WORLD_VERSION: u32 = 4;

/// How long the storm lasts.
pub const STORM_MS: TrueMs = 10 * 60 * 1_000;
/// How long it is waited for quiet after the storm. Longer than any deadline set in it, than the
/// longest pause of a device before it connects again, and than anybody's absence counts.
pub const CALM_MS: TrueMs = 5 * 60 * 1_000;
/// User actions of a run.
const ACTIONS: usize = 200;
/// Faults of a run.
const FAULTS: usize = 10;

/// A run before it is run.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Of what the network and all else that is left to chance is made.
    pub seed: u64,
    /// The user of each handset, by number.
    pub handsets: Vec<usize>,
    /// Handsets that are left out; the others keep their numbers.
    pub left_out: BTreeSet<usize>,
    /// How much is lost and delayed all the time.
    pub weather: Weather,
    /// Who does what when, in the order of time.
    pub acts: Vec<Timed<Act>>,
    /// What fails when, in the order of time.
    pub faults: Vec<Timed<Fault>>,
}

/// How the network is all the time.
#[derive(Clone, Copy, Debug)]
pub struct Weather {
    /// Packets of a hundred that are lost, and sent again.
    pub loss_percent: u64,
    /// Pushes of a hundred that never come.
    pub pushes_lost_percent: u64,
}

/// Something at a time.
#[derive(Clone, Debug)]
pub struct Timed<T> {
    /// When.
    pub at: TrueMs,
    /// What.
    pub what: T,
}

/// What a user or an app does.
#[derive(Clone, Debug)]
pub struct Act {
    /// On which handset.
    pub handset: usize,
    /// What.
    pub kind: ActKind,
    /// Decides what is left open: which call, whom, for how long.
    pub pick: u64,
}

/// What a user or an app does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActKind {
    Invite,
    Cancel,
    Accept,
    Reject,
    CallingInvite,
    Join,
    Quit,
    End,
    MarkSeen,
    Acknowledge,
    Look,
    LogOut,
    LogIn,
    /// The app goes to sleep in good order, and comes back after so long.
    Pause(i64),
    NetworkChanged,
    /// The app says that there is no network for so long.
    NoNetwork(i64),
    /// The listener dies and comes back after so long.
    AppDies(i64),
}

/// What fails. `for_ms` is how long it lasts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The connection breaks, after any byte, and either side is told in its own time.
    Cut { handset: usize },
    /// Nothing passes in one direction or both.
    Block {
        handset: usize,
        up: bool,
        down: bool,
        for_ms: i64,
    },
    /// Everything is under way for up to so long.
    Slow {
        handset: usize,
        ms: i64,
        for_ms: i64,
    },
    /// The handset is slow to take what it is sent, so the server's queue for it fills.
    SlowReader { handset: usize, for_ms: i64 },
    /// The handset moves to another network in the middle of a connection; `told`: its app says so.
    Moves { handset: usize, told: bool },
    /// Nobody reaches the server.
    ServerUnreachable { for_ms: i64 },
    /// The process is killed at that operation of its disk, and begins again after so long.
    Kill {
        handset: usize,
        after_ops: u64,
        off_ms: i64,
    },
    /// The same, and what was not synced is lost in part.
    PowerLoss {
        handset: usize,
        after_ops: u64,
        off_ms: i64,
    },
    /// The process is killed after so many effects of the core were carried out.
    KillBetween {
        handset: usize,
        effects: u64,
        off_ms: i64,
    },
    /// No timer runs and nothing is heard.
    Sleep { handset: usize, for_ms: i64 },
    /// The wall clock jumps, to so much off the truth.
    Clock { handset: usize, skew_ms: i64 },
    /// The disk has no room.
    DiskFull { handset: usize, for_ms: i64 },
    /// A sync of the disk fails.
    SyncFails { handset: usize },
    /// A second process has the file open for so long; `locks`: whether only one may have the lock.
    OpenTwice {
        handset: usize,
        locks: bool,
        for_ms: i64,
    },
    /// The file is copied to another handset, and both go on.
    Copy { handset: usize },
    /// The file is put back to how it was so long before.
    RollBack { handset: usize, back_ms: i64 },
    /// The server is killed at that operation of its disk.
    ServerKill { after_ops: u64, off_ms: i64 },
    /// The same, and what was not synced is lost in part.
    ServerPowerLoss { after_ops: u64, off_ms: i64 },
    /// The server takes so long for each step.
    ServerSlow { ms: i64, for_ms: i64 },
    /// The server does nothing for so long.
    ServerStalls { for_ms: i64 },
    /// The server's disk has no room.
    ServerDiskFull { for_ms: i64 },
    /// A sync of the server's disk fails.
    ServerSyncFails,
    /// The server's data is put back to how it was so long before.
    ServerRestored { back_ms: i64, off_ms: i64 },
}

/// How rough a run is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Only the network fails.
    Network,
    /// Processes, disks and clocks do, too.
    Rough,
    /// Files are copied and put back, too.
    Wild,
}

impl fmt::Display for Scenario {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let handsets: Vec<String> = self
            .handsets
            .iter()
            .enumerate()
            .filter(|(number, _)| !self.left_out.contains(number))
            .map(|(number, user)| format!("{}/{number}", super::world::user_id(*user)))
            .collect();
        writeln!(out, "  handsets {}", handsets.join(" "))?;
        writeln!(out, "  {:?}", self.weather)?;
        for fault in &self.faults {
            writeln!(out, "  {:>7} ms fault {:?}", fault.at, fault.what)?;
        }
        for act in &self.acts {
            let Act { handset, kind, .. } = act.what;
            let user = self.handsets.get(handset).copied().unwrap_or(usize::MAX);
            let user = super::world::user_id(user);
            writeln!(out, "  {:>7} ms {user}/{handset} {kind:?}", act.at)?;
        }
        Ok(())
    }
}

impl Scenario {
    /// What a seed stands for.
    pub fn of(seed: u64) -> Self {
        let mut rng = Rng::of(seed, 1);
        let kind = rng.weighted(&[(25, Kind::Network), (50, Kind::Rough), (25, Kind::Wild)]);
        let handsets = cast(&mut rng);
        let weather = Weather {
            loss_percent: rng.weighted(&[(2, 0), (2, 2), (1, 10)]),
            pushes_lost_percent: rng.weighted(&[(2, 0), (2, 30), (1, 100)]),
        };
        let mut acts = acts(&mut rng, &handsets);
        acts.sort_by_key(|act| act.at);
        let mut faults: Vec<_> = (0..FAULTS)
            .map(|_| Timed {
                at: rng.ms(5_000, STORM_MS - 10_000),
                what: fault(&mut rng, kind, handsets.len()),
            })
            .collect();
        faults.extend(opened_twice(seed, kind, handsets.len()));
        faults.sort_by_key(|fault| fault.at);
        Self {
            seed,
            handsets,
            left_out: BTreeSet::new(),
            weather,
            acts,
            faults,
        }
    }
}

/// Three or four users with one to three handsets each.
fn cast(rng: &mut Rng) -> Vec<usize> {
    let users = rng.weighted(&[(3, 3), (1, 4)]);
    let mut handsets = Vec::new();
    for user in 0..users {
        let count = rng.weighted(&[(2, 1), (3, 2), (1, 3)]);
        handsets.extend(std::iter::repeat_n(user, count));
    }
    handsets
}

fn acts(rng: &mut Rng, handsets: &[usize]) -> Vec<Timed<Act>> {
    let mut acts = Vec::new();
    while acts.len() < ACTIONS {
        if rng.percent(60) {
            scene(rng, handsets, &mut acts);
        } else {
            let at = rng.ms(1_000, STORM_MS);
            let handset = rng.index(handsets.len());
            let kind = anything(rng);
            acts.push(act(rng, at, handset, kind));
        }
    }
    acts.truncate(ACTIONS);
    acts
}

fn act(rng: &mut Rng, at: TrueMs, handset: usize, kind: ActKind) -> Timed<Act> {
    let pick = rng.next();
    Timed {
        at,
        what: Act {
            handset,
            kind,
            pick,
        },
    }
}

/// Somebody rings, and what people do about that in the seconds after.
fn scene(rng: &mut Rng, handsets: &[usize], acts: &mut Vec<Timed<Act>>) {
    let begin = rng.ms(1_000, STORM_MS - 20_000);
    let caller = rng.index(handsets.len());
    acts.push(act(rng, begin, caller, ActKind::Invite));
    if rng.percent(10) {
        // Both at once.
        let other = rng.index(handsets.len());
        acts.push(act(rng, begin + 5, other, ActKind::Invite));
    }
    let mut at = begin;
    for _ in 0..rng.ms(2, 7) {
        at += rng.spread_ms(5, 12_000);
        let handset = if rng.percent(30) {
            caller
        } else {
            rng.index(handsets.len())
        };
        let kind = if handsets[handset] == handsets[caller] {
            rng.weighted(&[
                (4, ActKind::Cancel),
                (3, ActKind::CallingInvite),
                (3, ActKind::Join),
                (3, ActKind::Quit),
                (2, ActKind::End),
            ])
        } else {
            rng.weighted(&[
                (8, ActKind::Accept),
                (4, ActKind::Reject),
                (2, ActKind::Join),
                (2, ActKind::Quit),
                (1, ActKind::End),
                (1, ActKind::CallingInvite),
            ])
        };
        acts.push(act(rng, at, handset, kind));
    }
}

fn anything(rng: &mut Rng) -> ActKind {
    let away = rng.spread_ms(200, 60_000);
    rng.weighted(&[
        (6, ActKind::Invite),
        (3, ActKind::Cancel),
        (4, ActKind::Accept),
        (3, ActKind::Reject),
        (3, ActKind::CallingInvite),
        (3, ActKind::Join),
        (3, ActKind::Quit),
        (2, ActKind::End),
        (2, ActKind::MarkSeen),
        (6, ActKind::Acknowledge),
        (3, ActKind::Look),
        (1, ActKind::LogOut),
        (2, ActKind::LogIn),
        (4, ActKind::Pause(away)),
        (1, ActKind::NetworkChanged),
        (1, ActKind::NoNetwork(away)),
        (2, ActKind::AppDies(away.min(5_000))),
    ])
}

/// Files that two processes have open, and what becomes of the first one soon after. Of a stream of
/// its own: the rest of a seed is the same with them and without.
fn opened_twice(seed: u64, kind: Kind, handsets: usize) -> Vec<Timed<Fault>> {
    let mut rng = Rng::of(seed, 4);
    let count = match kind {
        Kind::Network => 0,
        Kind::Rough | Kind::Wild => rng.weighted(&[(5, 0), (2, 1), (2, 2), (1, 4)]),
    };
    let mut faults = Vec::new();
    for _ in 0..count {
        let at = rng.ms(15_000, STORM_MS - 30_000);
        let handset = rng.index(handsets);
        let twice = Fault::OpenTwice {
            handset,
            locks: rng.percent(50),
            for_ms: rng.spread_ms(5_000, 240_000),
        };
        faults.push(Timed { at, what: twice });
        let sleeps = Fault::Sleep {
            handset,
            for_ms: rng.spread_ms(500, 60_000),
        };
        let dies = Fault::KillBetween {
            handset,
            effects: rng.below(12),
            off_ms: rng.spread_ms(500, 60_000),
        };
        let soon = at + rng.spread_ms(1, 20_000) - 500;
        match rng.below(5) {
            0 | 1 => faults.push(Timed {
                at: soon,
                what: sleeps,
            }),
            2 => faults.push(Timed {
                at: soon,
                what: dies,
            }),
            _ => {}
        }
    }
    faults
}

fn fault(rng: &mut Rng, kind: Kind, handsets: usize) -> Fault {
    match kind {
        Kind::Network => network_fault(rng, handsets),
        Kind::Rough if rng.percent(40) => network_fault(rng, handsets),
        Kind::Rough => rough_fault(rng, handsets),
        Kind::Wild if rng.percent(25) => network_fault(rng, handsets),
        Kind::Wild if rng.percent(70) => rough_fault(rng, handsets),
        Kind::Wild => wild_fault(rng, handsets),
    }
}

fn network_fault(rng: &mut Rng, handsets: usize) -> Fault {
    let handset = rng.index(handsets);
    let for_ms = rng.spread_ms(500, 180_000);
    match rng.below(10) {
        0..=2 => Fault::Cut { handset },
        3 => Fault::Block {
            handset,
            up: true,
            down: true,
            for_ms,
        },
        4 => {
            let up = rng.percent(50);
            Fault::Block {
                handset,
                up,
                down: !up,
                for_ms,
            }
        }
        5 => Fault::Slow {
            handset,
            ms: rng.spread_ms(200, 8_000),
            for_ms,
        },
        6 => Fault::SlowReader { handset, for_ms },
        7 | 8 => Fault::Moves {
            handset,
            told: rng.percent(70),
        },
        _ => Fault::ServerUnreachable { for_ms },
    }
}

fn rough_fault(rng: &mut Rng, handsets: usize) -> Fault {
    let handset = rng.index(handsets);
    let for_ms = rng.spread_ms(500, 120_000);
    let off_ms = rng.spread_ms(100, 120_000);
    let after_ops = rng.below(60);
    match rng.below(14) {
        0 => Fault::Kill {
            handset,
            after_ops,
            off_ms,
        },
        1 | 2 => Fault::PowerLoss {
            handset,
            after_ops,
            off_ms,
        },
        3 | 4 => Fault::KillBetween {
            handset,
            effects: rng.below(12),
            off_ms,
        },
        5 => Fault::Sleep { handset, for_ms },
        6 => {
            let most = 3 * 24 * 3_600 * 1_000;
            let skew_ms = rng.spread_ms(1_000, most);
            let skew_ms = if rng.percent(50) { skew_ms } else { -skew_ms };
            Fault::Clock { handset, skew_ms }
        }
        7 => Fault::DiskFull { handset, for_ms },
        8 => Fault::SyncFails { handset },
        9 => Fault::ServerKill { after_ops, off_ms },
        10 => Fault::ServerPowerLoss { after_ops, off_ms },
        11 => Fault::ServerSlow {
            ms: rng.spread_ms(20, 4_000),
            for_ms,
        },
        12 => Fault::ServerStalls {
            for_ms: rng.spread_ms(3_000, 50_000),
        },
        _ if rng.percent(60) => Fault::ServerDiskFull { for_ms },
        _ => Fault::ServerSyncFails,
    }
}

fn wild_fault(rng: &mut Rng, handsets: usize) -> Fault {
    let handset = rng.index(handsets);
    let back_ms = rng.spread_ms(1_000, 300_000);
    match rng.below(3) {
        0 => Fault::Copy { handset },
        1 => Fault::RollBack { handset, back_ms },
        _ => Fault::ServerRestored {
            back_ms,
            off_ms: rng.spread_ms(100, 60_000),
        },
    }
}
