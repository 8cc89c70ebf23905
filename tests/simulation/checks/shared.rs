//! "One of them is connected, the others wait": of the processes that have a handset's file open, one syncs,
//! and one that lost its place to another changes nothing any more. docs/semantics.md 8.

use std::collections::BTreeSet;

use super::index::{By, Index, by_whom, is_fenced, records};
use super::violation;
use crate::observe::{Handset, OfHandset, Violation};

/// Each life of a process has its own number, and only the last that began to sync takes in what
/// the server says.
pub fn check(index: &Index<'_>, found: &mut Vec<Violation>) {
    for handset in index.handsets() {
        one_takes_in(index, handset, found);
    }
}

fn one_takes_in(index: &Index<'_>, handset: Handset, found: &mut Vec<Violation>) {
    let mut runs = BTreeSet::new();
    let mut syncs: Option<(By, u32)> = None;
    for (at, entry) in index.record.log.iter().enumerate() {
        let Some((of, by, what)) = by_whom(&entry.what) else {
            continue;
        };
        if of != handset {
            continue;
        }
        match what {
            OfHandset::Opened { run, .. } if !runs.insert(*run) => {
                let text = format!("{handset:?}: run {run} of {by:?}");
                found.push(violation("each run has its number", Some(at), text));
            }
            OfHandset::Syncs { run } => syncs = Some((by, *run)),
            OfHandset::Got {
                run,
                frame,
                survived: true,
                ..
            } if !is_fenced(what) && !records(frame).is_empty() => {
                let late = syncs.filter(|syncing| *syncing != (by, *run));
                if let Some(syncing) = late {
                    let text = format!("{handset:?}: run {run} of {by:?}, after {syncing:?} began");
                    let invariant = "a process that lost its place changes nothing";
                    found.push(violation(invariant, Some(at), text));
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use offhook::call::DeviceId;

    use super::super::index::{by_whom, records};
    use super::super::scene::{Scene, breaks, holds};
    use crate::observe::{Entry, Handset, OfHandset, Record, What};

    /// A handset rings; gives the place in the log at which it took that in.
    fn ringing() -> (Record, usize) {
        let mut scene = Scene::new(&["anna", "bob"]);
        scene.invite(0, "i1", "c1", &["bob"]);
        scene.rings(1, "c1");
        let record = scene.record();
        let takes = |entry: &Entry| match by_whom(&entry.what) {
            Some((Handset(1), _, OfHandset::Got { frame, .. })) => !records(frame).is_empty(),
            _ => false,
        };
        let at = record.log.iter().position(takes).unwrap();
        (record, at)
    }

    fn put(record: &mut Record, at: usize, what: What) {
        record.log.insert(at, Entry { at: 0, what });
    }

    #[test]
    fn a_process_that_takes_in_after_another_began_to_sync_is_found() {
        let (mut record, at) = ringing();
        put(
            &mut record,
            at,
            What::Handset(Handset(1), OfHandset::Syncs { run: 1 }),
        );
        holds(&record);
        put(
            &mut record,
            at + 1,
            What::Second(Handset(1), OfHandset::Syncs { run: 2 }),
        );
        breaks(&record, "a process that lost its place changes nothing");
    }

    #[test]
    fn a_second_process_with_the_number_of_the_first_is_found() {
        let (mut record, at) = ringing();
        let opened = |run| OfHandset::Opened {
            run,
            boot: 1,
            device: DeviceId::trusted("d1"),
            acknowledged: 0,
        };
        put(&mut record, at, What::Second(Handset(1), opened(2)));
        holds(&record);
        put(&mut record, at, What::Second(Handset(1), opened(1)));
        breaks(&record, "each run has its number");
    }
}
