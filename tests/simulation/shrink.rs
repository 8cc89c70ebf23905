//! Makes a failing scenario smaller: what can be left out while it still fails, is.

use super::scenario::{Scenario, Timed};

/// Most runs that are spent on it.
const RUNS_MAX: usize = 400;

/// The smallest failing scenario that was found, and how many runs that took.
pub fn shrink(scenario: &Scenario, fails: impl Fn(&Scenario) -> bool) -> (Scenario, usize) {
    let mut smaller = Smaller {
        best: scenario.clone(),
        fails,
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

struct Smaller<F> {
    best: Scenario,
    fails: F,
    runs: usize,
}

impl<F: Fn(&Scenario) -> bool> Smaller<F> {
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
        let fails = (self.fails)(&scenario);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_scenario_is_made_as_small_as_what_it_fails_for() {
        let whole = Scenario::of(1);
        let wanted = whole.acts[whole.acts.len() / 2].at;
        let fails = |scenario: &Scenario| scenario.acts.iter().any(|act| act.at == wanted);
        let (smallest, runs) = shrink(&whole, fails);
        let times: Vec<_> = smallest.acts.iter().map(|act| act.at).collect();
        assert_eq!(times, [wanted]);
        assert!(smallest.faults.is_empty());
        let left = smallest.handsets.len() - smallest.left_out.len();
        assert_eq!(left, 1);
        assert!(runs <= RUNS_MAX);
    }

    #[test]
    fn a_scenario_of_which_all_is_needed_stays_whole() {
        let whole = Scenario::of(2);
        let needed = whole.to_string();
        let (smallest, _) = shrink(&whole, |scenario| scenario.to_string() == needed);
        assert_eq!(smallest.to_string(), needed);
    }
}
