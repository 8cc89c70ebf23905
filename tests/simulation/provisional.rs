//! The plainest of what has to hold.

use super::observe::{Record, Violation, What};

pub fn check(record: &Record) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut say = |invariant, entry, text: String| {
        found.push(Violation {
            invariant,
            entry,
            found: text,
        });
    };
    for (at, entry) in record.log.iter().enumerate() {
        if let What::LoggedError(text) = &entry.what {
            say("nothing is logged as an ERROR", Some(at), text.clone());
        }
    }
    if record.last.handsets.len() != record.users.len() {
        say("every file can be read at the end", None, String::new());
    }
    for hand in &record.last.handsets {
        let who = format!("{}/{}", hand.user, hand.handset.0);
        if !hand.connected {
            say("everybody is connected at the end", None, who.clone());
            continue;
        }
        if !hand.pending.is_empty() {
            let text = format!("{who}: {:?}", hand.pending);
            say("nothing is pending at the end", None, text);
        }
        if record.weakened.server_restored {
            continue;
        }
        for entry in &hand.calls {
            let theirs = record.last.server.calls.get(&entry.call.id);
            let mut theirs = theirs.map(|call| call.seen_by(&hand.user));
            if let Some(theirs) = &mut theirs {
                theirs.revision = entry.call.revision;
            }
            if theirs.as_ref() != Some(&entry.call) {
                let text = format!("{who}: {:?}\nserver: {theirs:?}", entry.call);
                say("records are equal", None, text);
            }
        }
        for call in record.last.server.calls.values() {
            let is_member = call.member(&hand.user).is_some();
            if is_member && hand.calls.iter().all(|entry| entry.call.id != call.id) {
                say("no record is missing", None, format!("{who} {}", call.id));
            }
        }
    }
    found
}
