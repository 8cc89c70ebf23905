//! A run, and what is to be said of it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::observe::{Record, Violation};
use super::scenario::Scenario;
use super::{checks, complaints, world};

/// What came of a run.
pub struct Judged {
    /// What was seen; nothing if it panicked.
    pub record: Record,
    /// What does not hold.
    pub violations: Vec<Violation>,
}

impl Judged {
    /// The invariants that are broken, each once.
    pub fn broken(&self) -> Vec<&'static str> {
        let mut broken: Vec<_> = self.violations.iter().map(|one| one.invariant).collect();
        broken.sort_unstable();
        broken.dedup();
        broken
    }
}

/// Runs a scenario and judges it. A panic is a violation, too.
pub fn judge(scenario: &Scenario) -> Judged {
    let run = || complaints::kept(|| world::run(scenario));
    let record = match catch_unwind(AssertUnwindSafe(run)) {
        Ok(record) => record,
        Err(panic) => return panicked("no panic", &*panic, Record::default()),
    };
    let checked = catch_unwind(AssertUnwindSafe(|| checks::check(&record)));
    match checked {
        Ok(violations) => Judged { record, violations },
        Err(panic) => panicked("no panic in a check", &*panic, record),
    }
}

fn panicked(invariant: &'static str, panic: &(dyn std::any::Any + Send), record: Record) -> Judged {
    let text = panic.downcast_ref::<String>().cloned();
    let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
    let found = text.unwrap_or_else(|| "a panic without words".to_owned());
    let violations = vec![Violation {
        invariant,
        entry: None,
        found,
    }];
    Judged { record, violations }
}
