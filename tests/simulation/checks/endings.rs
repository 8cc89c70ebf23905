//! "How a call becomes Ended": docs/semantics.md 5. What must not go on for ever.

use offhook::call::{Millis, Mode};

use super::index::Index;
use super::violation;
use crate::observe::Violation;
use crate::reference::model::{Person, Talk};

/// By how much the server may be late with what is due: a step that failed is tried again after a
/// second.
const LATE_MS: Millis = 1_000;

/// "Nobody is pending any more: general." "Nobody is Accepted and nobody pending: advanced." And
/// deadlines take effect.
pub fn check(index: &Index<'_>, found: &mut Vec<Violation>) {
    if index.calm.is_none() {
        return;
    }
    let server = &index.record.last.server;
    for call in server.calls.values() {
        let talk = Talk::adopt(call);
        if !talk.is_started() {
            continue;
        }
        let pending = talk.people.iter().any(Person::is_pending);
        let anybody = pending || talk.people.iter().any(Person::is_in);
        let wrong = match call.mode {
            Mode::General if !pending => Some("is general, and nobody is pending"),
            Mode::Advanced if !anybody => Some("is advanced, and nobody is in it"),
            Mode::General | Mode::Advanced | Mode::Unknown => None,
        };
        let late = talk.due().filter(|due| due + LATE_MS < server.server_ms);
        let late = late.map(|_| "has a deadline that is past");
        if let Some(wrong) = wrong.or(late) {
            let text = format!("{} {wrong} at {}: {talk:?}", call.id, server.server_ms);
            found.push(violation("no call goes on for ever", None, text));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::scene::{Scene, breaks, holds};

    #[test]
    fn a_call_that_goes_on_with_nobody_in_it_or_past_its_deadline_is_found() {
        let mut scene = Scene::new(&["anna", "bob"]);
        scene.invite(0, "i1", "c1", &["bob"]);
        scene.rings(1, "c1");
        let record = scene.record();
        holds(&record);
        let mut late = record.clone();
        late.last.server.server_ms += 600_000;
        breaks(&late, "no call goes on for ever");
        let mut empty = record;
        for call in empty.last.server.calls.values_mut() {
            for member in &mut call.members {
                member.state = offhook::UserState::Quit;
            }
        }
        breaks(&empty, "no call goes on for ever");
    }
}
