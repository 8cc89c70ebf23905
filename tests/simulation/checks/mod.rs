//! What has to hold after a run, whatever happened in it. Every check is a pure function of the
//! log, names the sentence of `docs/semantics.md` that it holds the product to, and has a test with
//! a log that it passes and a log that it does not.
//!
//! - [`server`]: the server beside the reference: verdicts, records, causes
//! - [`commands`]: every command has one verdict, and the verdict is what happened
//! - [`expiry`]: what was never sent, and how long it waited
//! - [`records`]: what the devices have at the end is what the server has
//! - [`rings`]: each ring begins once, ends once, and in time
//! - [`screens`]: what is seen to ring is what the device knows to ring
//! - [`journal`]: positions, replays, nothing told before it is kept
//! - [`changes`]: who has a call open hears what becomes of the others in it
//! - [`told`]: nobody hears what they must not, everybody hears what they must
//! - [`shared`]: of two processes on a file, one takes in what the server says
//! - [`early`]: what is said ahead of its handshake has no effect until that is complete
//! - [`endings`]: what must not go on for ever

mod changes;
mod commands;
mod early;
mod endings;
mod expiry;
mod index;
mod journal;
mod records;
mod rings;
#[cfg(test)]
mod scene;
mod screens;
mod server;
mod shared;
mod told;

use crate::observe::{Record, Violation, What};
use index::Index;

/// All that does not hold in a run.
pub fn check(record: &Record) -> Vec<Violation> {
    let index = Index::new(record);
    let mut found = Vec::new();
    let checks = [
        errors,
        server::check,
        commands::check,
        expiry::check,
        records::check,
        rings::check,
        screens::check,
        journal::check,
        told::check,
        changes::check,
        shared::check,
        early::check,
        endings::check,
    ];
    for check in checks {
        check(&index, &mut found);
    }
    found
}

/// Something that does not hold.
fn violation(invariant: &'static str, entry: Option<usize>, text: impl Into<String>) -> Violation {
    Violation {
        invariant,
        entry,
        found: text.into(),
    }
}

/// No ERROR in any log.
fn errors(index: &Index<'_>, found: &mut Vec<Violation>) {
    for (at, entry) in index.record.log.iter().enumerate() {
        if let What::LoggedError(text) = &entry.what {
            found.push(violation(
                "nothing is logged as an ERROR",
                Some(at),
                text.clone(),
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::scene::{Scene, breaks};
    use crate::observe::{Entry, What};

    #[test]
    fn an_error_in_a_log_is_found() {
        let mut record = Scene::new(&["anna"]).record();
        record.log.push(Entry {
            at: 0,
            what: What::LoggedError("oh".to_owned()),
        });
        breaks(&record, "nothing is logged as an ERROR");
    }
}
