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
        smaller.leave_out(|scenario| &mut scenario.faults);
        smaller.leave_out(|scenario| &mut scenario.acts);
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
        let handsets = self.best.handsets.len() - self.best.left_out.len();
        self.best.acts.len() + self.best.faults.len() + handsets
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

    /// Leaves out handsets, with what they do.
    fn leave_out_handsets(&mut self) {
        for handset in 0..self.best.handsets.len() {
            if self.best.left_out.contains(&handset) {
                continue;
            }
            let mut scenario = self.best.clone();
            scenario.left_out.insert(handset);
            scenario.acts.retain(|act| act.what.handset != handset);
            scenario
                .faults
                .retain(|fault| fault.what.handset() != Some(handset));
            self.try_it(scenario);
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
