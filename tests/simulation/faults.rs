//! What fails, and how it is well again.

use offhook::client::core::Core;

use super::observe::{End, OfHandset, OfNetwork, OfServer, TrueMs};
use super::scenario::Fault;
use super::server::Backup;
use super::world::{Happens, World};

/// When a process that was to die at an operation of its disk dies without one.
const DOOM_MS: i64 = 8_000;
/// How soon everything is on again after the storm, at most.
const BACK_MS: i64 = 3_000;

impl Fault {
    /// How much earlier a copy of a file has to be made for it.
    pub fn back_ms(&self) -> Option<i64> {
        match self {
            Self::RollBack { back_ms, .. } | Self::ServerRestored { back_ms, .. } => Some(*back_ms),
            _ => None,
        }
    }
}

impl Fault {
    /// Whose fault it is, if it is one handset's.
    pub fn handset(&self) -> Option<usize> {
        match self {
            Self::Cut { handset }
            | Self::Block { handset, .. }
            | Self::Slow { handset, .. }
            | Self::SlowReader { handset, .. }
            | Self::Moves { handset, .. }
            | Self::Kill { handset, .. }
            | Self::PowerLoss { handset, .. }
            | Self::KillBetween { handset, .. }
            | Self::Sleep { handset, .. }
            | Self::Clock { handset, .. }
            | Self::DiskFull { handset, .. }
            | Self::SyncFails { handset }
            | Self::OpenTwice { handset, .. }
            | Self::Copy { handset }
            | Self::RollBack { handset, .. } => Some(*handset),
            Self::ServerUnreachable { .. }
            | Self::ServerKill { .. }
            | Self::ServerPowerLoss { .. }
            | Self::ServerSlow { .. }
            | Self::ServerStalls { .. }
            | Self::ServerDiskFull { .. }
            | Self::ServerSyncFails
            | Self::ServerRestored { .. } => None,
        }
    }
}

impl World {
    pub fn fault(&mut self, place: usize) {
        let fault = self.scenario.faults[place].what.clone();
        let now = self.now;
        match fault {
            Fault::Cut { handset } => self.cut(handset),
            Fault::Block {
                handset,
                up,
                down,
                for_ms,
            } => {
                let (is, what) = (
                    now + for_ms,
                    match (up, down) {
                        (true, false) => OfNetwork::UpBlocked,
                        (false, true) => OfNetwork::DownBlocked,
                        (true, true) | (false, false) => OfNetwork::Blocked,
                    },
                );
                self.log_network(handset, what);
                self.block(handset, up.then_some(is), down.then_some(is));
            }
            Fault::Slow {
                handset,
                ms,
                for_ms,
            } => {
                self.log_network(handset, OfNetwork::Slow(ms));
                let way = &mut self.hands[handset].way;
                way.slow_ms = ms;
                way.slow_until = now + for_ms;
            }
            Fault::SlowReader { handset, for_ms } => {
                self.hands[handset].way.reads_slowly_until = now + for_ms;
            }
            Fault::Moves { handset, told } => self.moves(handset, told),
            Fault::ServerUnreachable { for_ms } => {
                for handset in 0..self.hands.len() {
                    self.log_network(handset, OfNetwork::Blocked);
                    self.block(handset, Some(now + for_ms), Some(now + for_ms));
                }
            }
            Fault::Kill {
                handset,
                after_ops,
                off_ms,
            } => self.dooms(handset, End::Killed, after_ops, off_ms),
            Fault::PowerLoss {
                handset,
                after_ops,
                off_ms,
            } => self.dooms(handset, End::PowerLost, after_ops, off_ms),
            Fault::KillBetween {
                handset,
                effects,
                off_ms,
            } => {
                let seat = self.seat(handset, effects);
                if let Some(process) = &mut self.hands[seat].process {
                    process.dies_after = Some((effects, off_ms));
                }
            }
            Fault::Sleep { handset, for_ms } => self.sleeps(handset, for_ms),
            Fault::Clock { handset, skew_ms } => {
                self.log_handset(handset, OfHandset::WallClock { skew_ms });
                for seat in self.seats(handset) {
                    self.hands[seat].skew_ms = skew_ms;
                    self.plan_wake(seat);
                }
            }
            Fault::DiskFull { handset, for_ms } => {
                self.hands[handset].disk.set_full(true);
                self.log_handset(handset, OfHandset::DiskFull(true));
                self.after(for_ms, Happens::DiskHasRoom { handset });
            }
            Fault::SyncFails { handset } => {
                self.hands[handset].disk.fail_a_sync();
                self.log_handset(handset, OfHandset::SyncsFail);
            }
            Fault::OpenTwice {
                handset,
                locks,
                for_ms,
            } => self.opens_twice(handset, locks, for_ms),
            Fault::Copy { handset } => self.copies(handset),
            Fault::RollBack { handset, back_ms } => self.rolls_back(place, handset, back_ms),
            Fault::ServerKill { after_ops, off_ms } => {
                self.server_is_doomed(End::Killed, after_ops, off_ms);
            }
            Fault::ServerPowerLoss { after_ops, off_ms } => {
                self.server_is_doomed(End::PowerLost, after_ops, off_ms);
            }
            Fault::ServerSlow { ms, for_ms } => {
                self.server.slow_ms = ms;
                self.server.slow_until = now + for_ms;
            }
            Fault::ServerStalls { for_ms } => {
                self.log_server(OfServer::Stalls { ms: for_ms });
                self.server.stalled_until = now + for_ms;
            }
            Fault::ServerDiskFull { for_ms } => {
                self.server.may_complain = true;
                self.server.disk.set_full(true);
                self.log_server(OfServer::DiskFull(true));
                self.after(for_ms, Happens::ServerDiskHasRoom);
            }
            Fault::ServerSyncFails => {
                self.server.may_complain = true;
                self.server.disk.fail_a_sync();
                self.log_server(OfServer::SyncFails);
            }
            Fault::ServerRestored { back_ms, off_ms } => {
                self.server_is_restored(place, back_ms, off_ms);
            }
        }
    }

    fn block(&mut self, handset: usize, up: Option<TrueMs>, down: Option<TrueMs>) {
        let way = &mut self.hands[handset].way;
        way.up_blocked_until = way.up_blocked_until.max(up.unwrap_or(0));
        way.down_blocked_until = way.down_blocked_until.max(down.unwrap_or(0));
    }

    /// Another network in the middle of a connection, which may or may not live through it.
    fn moves(&mut self, handset: usize, told: bool) {
        let lives = self.rng.percent(50);
        let gap = self.now + self.rng.spread_ms(20, 3_000);
        self.block(handset, Some(gap), Some(gap));
        self.log_network(handset, OfNetwork::Blocked);
        if !lives {
            self.cut(handset);
        }
        if told {
            self.tells_of_move(handset);
        }
    }

    pub fn tells_of_move(&mut self, handset: usize) {
        let run = self.hands[handset].run();
        if run == 0 {
            return;
        }
        self.log_handset(handset, OfHandset::NetworkChanged { run });
        self.ask(handset, Core::network_changed);
        self.carry_out(handset);
    }

    /// The process ends at that operation of its disk, or a while later if there is none.
    fn dooms(&mut self, handset: usize, how: End, after_ops: u64, off_ms: i64) {
        let hand = &mut self.hands[handset];
        if hand.doom.is_some() {
            return;
        }
        hand.doom = Some((how, off_ms));
        hand.disk.crash_after(after_ops);
        let run = hand.run();
        if run > 0 {
            self.after(DOOM_MS, Happens::KillAnyway { handset, run });
        }
    }

    pub fn kill_anyway(&mut self, handset: usize, run: u32) {
        let hand = &self.hands[handset];
        if hand.run() != run {
            return;
        }
        if let Some((how, off_ms)) = hand.doom {
            match how {
                End::PowerLost => self.all_end(handset, how),
                End::Killed | End::Closed => self.process_ends(handset, how),
            }
            self.opens(handset, off_ms);
        }
    }

    fn sleeps(&mut self, handset: usize, for_ms: i64) {
        let hand = &mut self.hands[handset];
        if hand.asleep || hand.process.is_none() {
            return;
        }
        hand.asleep = true;
        hand.asleep_turn += 1;
        let turn = hand.asleep_turn;
        self.log_handset(handset, OfHandset::Asleep);
        self.after(for_ms, Happens::Awakes { handset, turn });
    }

    pub fn disk_has_room(&mut self, handset: usize) {
        self.hands[handset].disk.set_full(false);
        self.log_handset(handset, OfHandset::DiskFull(false));
    }

    pub fn server_disk_has_room(&mut self) {
        self.server.disk.set_full(false);
        self.log_server(OfServer::DiskFull(false));
    }

    /// The file goes to a new handset of the same user, as a backup would have it, and both go on.
    fn copies(&mut self, from: usize) {
        if self.hands[from].runs == 0 {
            return;
        }
        let snapshot = self.hands[from].disk.snapshot();
        let to = self.add_handset(self.hands[from].user);
        self.hands[to].disk.restore(&snapshot);
        self.hands[to].skew_ms = self.hands[from].skew_ms;
        let (of_from, of_to) = (self.hands[from].handset, self.hands[to].handset);
        let weakened = &mut self.record.weakened;
        weakened.copied.extend([of_from, of_to]);
        self.log_handset(to, OfHandset::CopiedFrom(of_from));
        let wait = self.rng.spread_ms(100, 30_000);
        self.opens(to, wait);
    }

    pub fn back_up(&mut self, place: usize) {
        match self.scenario.faults[place].what {
            Fault::RollBack { handset, .. } => {
                let hand = &mut self.hands[handset];
                if hand.runs > 0 {
                    hand.backups.insert(place, hand.disk.snapshot());
                }
            }
            Fault::ServerRestored { .. } if self.server.run > 0 => {
                let backup = Backup {
                    snapshot: self.server.disk.snapshot(),
                    doubted: self.server.notes.doubted(),
                };
                self.server.backups.insert(place, backup);
                self.log_server(OfServer::BackedUp);
            }
            _ => {}
        }
    }

    fn rolls_back(&mut self, place: usize, handset: usize, back_ms: i64) {
        let Some(snapshot) = self.hands[handset].backups.remove(&place) else {
            return;
        };
        self.all_end(handset, End::Killed);
        self.hands[handset].doom = None;
        self.hands[handset].disk.process_ends(false);
        self.hands[handset].disk.restore(&snapshot);
        let of = self.hands[handset].handset;
        self.record.weakened.rolled_back.insert(of);
        let to = (self.now - back_ms).max(500);
        self.log_handset(handset, OfHandset::RolledBack { to });
        let wait = self.rng.spread_ms(100, 30_000);
        self.opens(handset, wait);
    }

    fn server_is_doomed(&mut self, how: End, after_ops: u64, off_ms: i64) {
        if self.server.doom.is_some() {
            return;
        }
        self.server.may_complain = true;
        self.server.doom = Some((how, off_ms));
        self.server.disk.crash_after(after_ops);
        let run = self.server.run;
        self.after(DOOM_MS, Happens::ServerKillAnyway { run });
    }

    pub fn server_kill_anyway(&mut self, run: u32) {
        if self.server.run != run || !self.server.is_up() {
            return;
        }
        if let Some((how, off_ms)) = self.server.doom {
            self.server_ends(how, false);
            self.server_opens_in(off_ms);
        }
    }

    fn server_is_restored(&mut self, place: usize, back_ms: i64, off_ms: i64) {
        let Some(backup) = self.server.backups.remove(&place) else {
            return;
        };
        self.server_ends(End::Killed, false);
        self.server.doom = None;
        self.server.disk.process_ends(false);
        self.server.disk.restore(&backup.snapshot);
        self.server.notes.put_back(backup.doubted);
        self.record.weakened.server_restored = true;
        let to = (self.now - back_ms).max(500);
        self.log_server(OfServer::Restored { to });
        self.server_opens_in(off_ms);
    }

    /// Nothing fails any more at the server.
    pub fn server_is_well(&mut self) {
        self.server_complains();
        self.server.may_complain = false;
        let server = &mut self.server;
        server.disk.is_well();
        server.doom = None;
        server.slow_until = 0;
        server.stalled_until = self.now;
        if !server.is_up() {
            let wait = self.rng.ms(0, BACK_MS);
            self.server_opens_in(wait);
        }
    }

    /// Nothing fails any more at a handset, and it is on.
    pub fn handset_is_well(&mut self, handset: usize) {
        let now = self.now;
        let hand = &mut self.hands[handset];
        hand.disk.is_well();
        hand.doom = None;
        hand.way.up_blocked_until = now;
        hand.way.down_blocked_until = now;
        hand.way.slow_until = now;
        hand.way.reads_slowly_until = now;
        hand.logged_out = false;
        self.log_network(handset, OfNetwork::Healed);
        self.awakes(handset, None);
        if let Some(process) = &mut self.hands[handset].process {
            process.dies_after = None;
            let run = process.run;
            self.network_is_back(handset, run);
            self.logs_in(handset);
        } else {
            let wait = self.rng.ms(0, BACK_MS);
            self.opens(handset, wait);
        }
    }
}
