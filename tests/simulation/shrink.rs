//! Makes a failing scenario smaller: what can be left out with the same invariant still broken, is.

use super::judge::judge;
use super::scenario::{Scenario, Timed};

/// Most runs that are spent on it.
const RUNS_MAX: usize = 400;

/// The smallest failing scenario that was found, and how many runs that took.
pub fn shrink(scenario: &Scenario, invariant: &str) -> (Scenario, usize) {
    let mut smaller = Smaller {
        best: scenario.clone(),
        invariant,
        runs: 0,
    };
    loop {
        let before = smaller.size();
        smaller.leave_out(|scenario| &mut scenario.acts);
        smaller.leave_out(|scenario| &mut scenario.faults);
        smaller.leave_out_handsets();
        smaller.calm_down();
        if smaller.size() == before || smaller.runs >= RUNS_MAX {
            return (smaller.best, smaller.runs);
        }
    }
}

struct Smaller<'a> {
    best: Scenario,
    invariant: &'a str,
    runs: usize,
}

impl Smaller<'_> {
    fn size(&self) -> usize {
        self.best.acts.len() + self.best.faults.len() + self.best.handsets.len()
    }

    /// Takes it if it still fails in the same way.
    fn try_it(&mut self, scenario: Scenario) -> bool {
        if self.runs >= RUNS_MAX {
            return false;
        }
        self.runs += 1;
        let fails = judge(&scenario).broken().contains(&self.invariant);
        if fails {
            self.best = scenario;
        }
        fails
    }

    /// Leaves out ever smaller parts of a list.
    fn leave_out<T: Clone>(&mut self, list: fn(&mut Scenario) -> &mut Vec<Timed<T>>) {
        let mut part = list(&mut self.best).len().div_ceil(2);
        while part > 0 {
            let mut from = 0;
            while from < list(&mut self.best).len() {
                let mut scenario = self.best.clone();
                let items = list(&mut scenario);
                let to = (from + part).min(items.len());
                items.drain(from..to);
                if !self.try_it(scenario) {
                    from += part;
                }
                if self.runs >= RUNS_MAX {
                    return;
                }
            }
            part /= 2;
        }
    }

    /// Leaves out handsets, and what they do, from the last on: the others keep their numbers.
    fn leave_out_handsets(&mut self) {
        while self.best.handsets.len() > 1 {
            let mut scenario = self.best.clone();
            scenario.handsets.pop();
            let left = scenario.handsets.len();
            scenario.acts.retain(|act| act.what.handset < left);
            let stays = |handset: Option<usize>| handset.is_none_or(|handset| handset < left);
            scenario.faults.retain(|fault| stays(fault.what.handset()));
            if !self.try_it(scenario) {
                return;
            }
        }
    }

    fn calm_down(&mut self) {
        if self.best.weather.loss_percent > 0 {
            let mut scenario = self.best.clone();
            scenario.weather.loss_percent = 0;
            self.try_it(scenario);
        }
    }
}
