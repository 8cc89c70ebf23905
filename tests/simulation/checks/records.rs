//! "It says what the server said": docs/semantics.md 8, The local record; and missed calls, 5.

use std::collections::BTreeMap;

use offhook::call::{Call, CallState, UserId};

use super::index::Index;
use super::violation;
use crate::observe::{LastOfHandset, OfHandset, Violation, What};
use crate::reference::model::Talk;

/// Once all is well, every device's record of every call is the server's, as that user may see it.
pub fn check(index: &Index<'_>, found: &mut Vec<Violation>) {
    if index.calm.is_none() {
        return;
    }
    for last in &index.record.last.handsets {
        if last.connected {
            same_as_the_server(index, last, found);
            missed(index, last, found);
        }
    }
    seen_everywhere(index, found);
}

fn same_as_the_server(index: &Index<'_>, last: &LastOfHandset, found: &mut Vec<Violation>) {
    let server = &index.record.last.server;
    let here: BTreeMap<_, _> = last
        .calls
        .iter()
        .map(|entry| (&entry.call.id, entry))
        .collect();
    let mut say = |text: String| {
        let text = format!("{:?} of {}: {text}", last.handset, last.user);
        found.push(violation("a device's record is the server's", None, text));
    };
    if here.len() != last.calls.len() {
        say("a call stands in the list twice".to_owned());
    }
    let mut newest_first = last.calls.iter().map(|entry| entry.call.create_time);
    if !newest_first
        .clone()
        .zip(newest_first.by_ref().skip(1))
        .all(|(one, next)| one >= next)
    {
        say("the list is not sorted by the time of creation".to_owned());
    }
    for call in server.calls.values() {
        if call.member(&last.user).is_none() {
            continue;
        }
        match here.get(&call.id) {
            None => say(format!("{} is not there", call.id)),
            Some(entry) if !is_as_seen(&entry.call, call, &last.user) => say(format!(
                "{} is {:?}, on the server {:?}",
                call.id,
                entry.call,
                call.seen_by(&last.user)
            )),
            Some(_) => {}
        }
    }
    for (id, entry) in here {
        let known = server.calls.get(id);
        if known.is_some_and(|call| call.member(&last.user).is_some()) {
            continue;
        }
        // One that the server forgot ends as forgotten; one that had ended before stays as it was.
        let forgotten =
            entry.call.state == CallState::Ended && index.record.weakened.server_restored;
        if !forgotten {
            say(format!("the server does not have {:?}", entry.call));
        }
    }
}

/// Whether that is the server's record as the user may see it. What only somebody else may see
/// counts the revision up without a word to this user.
fn is_as_seen(here: &Call, server: &Call, user: &UserId) -> bool {
    let mut seen = server.seen_by(user);
    let behind = seen.revision.checked_sub(here.revision);
    seen.revision = here.revision;
    behind.is_some() && &seen == here
}

/// "Missed is a call to which the user was invited, whose invitation is over, and which no device
/// of theirs answered." "Missed calls count until they are seen; seen on one device is seen on
/// all."
fn missed(index: &Index<'_>, last: &LastOfHandset, found: &mut Vec<Violation>) {
    let mut unseen = 0;
    for entry in &last.calls {
        let talk = Talk::adopt(&entry.call);
        let missed = talk.is_missed_by(&last.user);
        let seen = talk.person(&last.user).is_some_and(|me| me.seen);
        if entry.missed != missed {
            let text = format!(
                "{:?} of {}: {} is missed: {}; {:?}",
                last.handset, last.user, entry.call.id, entry.missed, entry.call
            );
            found.push(violation(
                "missed is missed, and nothing else is",
                None,
                text,
            ));
        }
        unseen += u64::from(missed && !seen);
    }
    // What only this device had known of is counted on it alone.
    if unseen != last.missed && !index.record.weakened.server_restored {
        let text = format!(
            "{:?} of {}: {} are counted, {unseen} are unseen",
            last.handset, last.user, last.missed
        );
        found.push(violation(
            "missed calls count until they are seen",
            None,
            text,
        ));
    }
}

/// "Seen on one device is seen on all", with equal counts.
fn seen_everywhere(index: &Index<'_>, found: &mut Vec<Violation>) {
    let mut counts: BTreeMap<&UserId, Vec<&LastOfHandset>> = BTreeMap::new();
    for last in index
        .record
        .last
        .handsets
        .iter()
        .filter(|last| last.connected)
    {
        counts.entry(&last.user).or_default().push(last);
    }
    for (user, lasts) in counts {
        let differ = lasts.iter().any(|last| last.missed != lasts[0].missed);
        if differ && !index.record.weakened.server_restored {
            let counts: Vec<_> = lasts
                .iter()
                .map(|last| (last.handset, last.missed))
                .collect();
            let text = format!("{user}: {counts:?}");
            found.push(violation("seen on one device is seen on all", None, text));
        }
    }
    for (at, entry) in index.record.log.iter().enumerate() {
        if let What::Handset(_, what) | What::Second(_, what) = &entry.what
            && let OfHandset::MarkedSeen {
                calls: None,
                answer: Some(Ok(unseen)),
                ..
            } = what
            && *unseen != 0
        {
            let text = format!("{unseen} are left when all are marked");
            found.push(violation(
                "missed calls count until they are seen",
                Some(at),
                text,
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::scene::{Scene, breaks, holds};

    #[test]
    fn a_record_that_is_the_servers_passes_and_another_does_not() {
        let mut scene = Scene::new(&["anna", "bob"]);
        scene.invite(0, "i1", "c1", &["bob"]);
        scene.rings(1, "c1");
        let mut record = scene.record();
        holds(&record);
        record.last.handsets[1].calls[0].call.revision += 1;
        breaks(&record, "a device's record is the server's");
        record.last.handsets[1].calls.clear();
        breaks(&record, "a device's record is the server's");
    }

    #[test]
    fn a_call_that_only_a_device_has_is_found() {
        let mut scene = Scene::new(&["anna", "bob"]);
        scene.invite(0, "i1", "c1", &["bob"]);
        scene.rings(1, "c1");
        let mut record = scene.record();
        let known = record.last.handsets[0].calls[0].clone();
        record.last.handsets[0].calls.push(known);
        record.last.handsets[0].calls[1].call.id = offhook::CallId::trusted("c2");
        breaks(&record, "a device's record is the server's");
    }

    #[test]
    fn a_missed_call_that_is_not_marked_or_counted_so_is_found() {
        let mut scene = Scene::new(&["anna", "bob"]);
        scene.invite(0, "i1", "c1", &["bob"]);
        scene.rings(1, "c1");
        scene.runs_out("c1");
        scene.times_out(1, "c1");
        let record = scene.record();
        holds(&record);
        let mut unmarked = record.clone();
        unmarked.last.handsets[1].calls[0].missed = false;
        breaks(&unmarked, "missed is missed, and nothing else is");
        let mut uncounted = record;
        uncounted.last.handsets[1].missed = 0;
        breaks(&uncounted, "missed calls count until they are seen");
    }

    #[test]
    fn counts_that_differ_between_devices_are_found() {
        let mut scene = Scene::new(&["anna", "bob", "bob"]);
        scene.invite(0, "i1", "c1", &["bob"]);
        for device in [1, 2] {
            scene.rings(device, "c1");
        }
        scene.runs_out("c1");
        for device in [1, 2] {
            scene.times_out(device, "c1");
        }
        let mut record = scene.record();
        holds(&record);
        record.last.handsets[2].missed = 0;
        breaks(&record, "seen on one device is seen on all");
    }
}
