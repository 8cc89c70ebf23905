//! What the core wants to be woken for, apart from deadlines, which the store knows.

use std::collections::{BTreeMap, BTreeSet};

use super::ConnId;
use crate::call::{Millis, UserId};

/// A reason to wake up.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// The connection may have said no hello, or have been silent, for too long.
    Silent(ConnId),
    /// The connection's token runs out soon, or has.
    Token(ConnId),
    /// The user may have been absent for too long.
    Absent(UserId),
    /// The server's clock is to be stored again.
    Clock,
    /// What is kept for too long is to be removed.
    Housekeeping,
}

/// Timers by reason and by time: each reason is set once, and at one time.
#[derive(Debug, Default)]
pub(super) struct Timers {
    queue: BTreeSet<(Millis, Timer)>,
    times: BTreeMap<Timer, Millis>,
}

impl Timers {
    /// Sets the timer, in place of when it was set for.
    pub(super) fn set(&mut self, timer: Timer, at: Millis) {
        if let Some(before) = self.times.insert(timer.clone(), at) {
            self.queue.remove(&(before, timer.clone()));
        }
        self.queue.insert((at, timer));
    }

    /// Stops the timer, if it is set.
    pub(super) fn stop(&mut self, timer: &Timer) {
        if let Some(at) = self.times.remove(timer) {
            self.queue.remove(&(at, timer.clone()));
        }
    }

    /// Whether the timer is set.
    pub(super) fn is_set(&self, timer: &Timer) -> bool {
        self.times.contains_key(timer)
    }

    /// The next timer that is due by now; it is stopped with that.
    pub(super) fn pop(&mut self, now: Millis) -> Option<Timer> {
        let (at, timer) = self.queue.first()?.clone();
        if at > now {
            return None;
        }
        self.stop(&timer);
        Some(timer)
    }

    /// When the first one is due.
    pub(super) fn next(&self) -> Option<Millis> {
        self.queue.first().map(|(at, _)| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timer_that_is_set_again_fires_once_and_at_the_later_time() {
        let mut timers = Timers::default();
        timers.set(Timer::Silent(ConnId(1)), 10);
        timers.set(Timer::Token(ConnId(1)), 20);
        timers.set(Timer::Silent(ConnId(1)), 30);
        assert_eq!(timers.next(), Some(20));
        assert_eq!(timers.pop(19), None);
        assert_eq!(timers.pop(30), Some(Timer::Token(ConnId(1))));
        assert_eq!(timers.pop(30), Some(Timer::Silent(ConnId(1))));
        assert_eq!(timers.pop(30), None);
        assert!(!timers.is_set(&Timer::Silent(ConnId(1))));
    }
}
