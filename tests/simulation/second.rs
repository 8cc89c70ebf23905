//! A second process on the file of a handset, as an app's notification extension is one. It has a
//! place of its own among the world's hands, and shares the disk and the clocks of the first.

use offhook::client::core::{Core, Role};

use super::handset::Hand;
use super::observe::{End, OfHandset, TrueMs};
use super::world::{Happens, World};

/// The name by which the second process reads the journal.
pub const EXTENSION: &str = "extension";
/// How soon the second one is there again when both died.
const AGAIN_MS: i64 = 2_000;

/// That a process is the second one on its file.
#[derive(Clone, Copy)]
pub struct Beside {
    /// The place of the first.
    pub first: usize,
    /// How long it is wanted.
    until: TrueMs,
}

impl World {
    /// The places of the processes of a handset, by that of one of them; the first one first.
    pub fn seats(&self, seat: usize) -> Vec<usize> {
        let first = self.first(seat);
        let second = self.hands[first].second;
        [Some(first), second].into_iter().flatten().collect()
    }

    pub fn first(&self, seat: usize) -> usize {
        self.hands[seat].beside.map_or(seat, |beside| beside.first)
    }

    /// Which of the processes of a handset something is for.
    pub fn seat(&self, handset: usize, pick: u64) -> usize {
        let second = self.hands[handset].second;
        let there = second.filter(|second| self.hands[*second].process.is_some());
        there.filter(|_| pick % 2 == 1).unwrap_or(handset)
    }

    /// Whether another process has the same file open.
    pub fn is_shared(&self, seat: usize) -> bool {
        let open = |one: &usize| *one != seat && self.hands[*one].process.is_some();
        self.seats(seat).iter().any(open)
    }

    pub fn opens_twice(&mut self, handset: usize, locks: bool, for_ms: i64) {
        let until = self.now + for_ms;
        if self.hands[handset].runs == 0 {
            return;
        }
        let second = match self.hands[handset].second {
            Some(second) if self.is_wanted(second) => return,
            Some(second) => second,
            None => self.add_second(handset),
        };
        self.hands[handset].disk.lose_locks(!locks);
        let first = handset;
        self.hands[second].beside = Some(Beside { first, until });
        self.opens(second, 0);
        self.at(until, Happens::SecondCloses { seat: second });
    }

    fn add_second(&mut self, first: usize) -> usize {
        let second = self.hands.len();
        let (user, handset) = (self.hands[first].user, self.hands[first].handset);
        let mut hand = Hand::new(user, handset, second, self.scenario.seed, &mut self.rng);
        hand.disk = self.hands[first].disk.clone();
        self.hands.push(hand);
        self.hands[first].second = Some(second);
        second
    }

    /// Whether a process is to be there at all.
    pub fn is_wanted(&self, seat: usize) -> bool {
        let beside = self.hands[seat].beside;
        beside.is_none_or(|beside| self.now < beside.until)
    }

    /// The second process has the clocks that the first has, and is logged out with it.
    pub fn sits_beside(&mut self, seat: usize) {
        let first = &self.hands[self.first(seat)];
        let process = first.process.as_ref();
        let logged_out =
            first.logged_out || process.is_some_and(|process| process.core.is_logged_out());
        let clocks = (first.boots, first.booted_at, first.skew_ms);
        let hand = &mut self.hands[seat];
        (hand.boots, hand.booted_at, hand.skew_ms) = clocks;
        hand.logged_out = logged_out;
    }

    /// It is wanted no more, or the storm is over.
    pub fn second_closes(&mut self, seat: usize, at_once: bool) {
        if self.is_wanted(seat) && !at_once {
            return;
        }
        let first = self.first(seat);
        let until = self.now;
        self.hands[seat].beside = Some(Beside { first, until });
        self.hands[first].disk.lose_locks(false);
        self.closes(seat);
    }

    /// Closes a file in good order; gives whether its user is logged out, unless the process did
    /// not live to see it.
    pub fn closes(&mut self, seat: usize) -> Option<bool> {
        self.ask(seat, Core::close);
        self.carry_out(seat);
        // Whatever becomes of it, the file is closed.
        self.ask(seat, |core, now| core.checkpoint(now));
        self.carry_out(seat);
        let process = self.hands[seat].process.as_ref()?;
        let logged_out = process.core.is_logged_out();
        self.process_ends(seat, End::Closed);
        Some(logged_out)
    }

    /// The disk has stopped, and all who had the file open with it.
    pub fn dies_with_its_disk(&mut self, seat: usize) {
        let first = self.first(seat);
        let doom = self.hands[first].doom.take();
        let (end, off_ms) = doom.unwrap_or((End::Killed, 1_000));
        self.all_end(first, end);
        let disk = &self.hands[first].disk;
        if disk.has_crashed() {
            // It did so with nobody there, but for one that was about to be.
            disk.process_ends(end == End::PowerLost);
        }
        self.opens(first, off_ms);
    }

    /// All processes of a handset are gone.
    pub fn all_end(&mut self, seat: usize, how: End) {
        let seats = self.seats(seat);
        for seat in &seats {
            self.process_ends(*seat, how);
        }
        for second in seats.into_iter().skip(1) {
            self.opens(second, AGAIN_MS);
        }
    }

    /// Tells when another process than before is the one that syncs.
    pub fn note_role(&mut self, seat: usize) {
        let Some(process) = &mut self.hands[seat].process else {
            return;
        };
        let syncs = process.core.role() == Role::Syncing;
        if std::mem::replace(&mut process.syncs, syncs) == syncs {
            return;
        }
        let run = process.run;
        self.log_handset(
            seat,
            match syncs {
                true => OfHandset::Syncs { run },
                false => OfHandset::Waits { run },
            },
        );
    }
}
