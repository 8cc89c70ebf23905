//! "So whatever rings now rings first", and what is over rings no more: what an app is shown to
//! ring is what the device has taken in. docs/semantics.md 8, Coming back.

use std::collections::BTreeSet;

use offhook::call::{Call, CallId};
use offhook::server::push::{Push, PushKind};

use super::index::{Index, Known};
use super::rings::{CLOCK_ERROR_MS, is_answer, rings_for};
use super::violation;
use crate::observe::{OfHandset, Violation};

/// Nothing is shown to ring that the device knows to be over, nothing rings past the time that the
/// device believes it to be, and all that it knows to ring is shown.
pub fn check(index: &Index<'_>, found: &mut Vec<Violation>) {
    for handset in index.handsets() {
        let me = index.user(handset);
        let mut known = Known::default();
        let mut answered: BTreeSet<&CallId> = BTreeSet::new();
        let mut asked_by_push: Vec<&Push> = Vec::new();
        for (at, _, what) in index.of(handset) {
            known.take(what);
            if let OfHandset::Pushed { push, .. } = what
                && push.kind == PushKind::Invite
            {
                asked_by_push.push(push);
            }
            if let OfHandset::Submitted {
                call: Some(call),
                command,
                ..
            } = what
                && is_answer(command.kind())
            {
                answered.insert(call);
            }
            match what {
                OfHandset::Looked {
                    ringing, server_ms, ..
                } if !known.doubted => {
                    for call in known.calls().filter(|call| !answered.contains(&call.id)) {
                        // The estimate of the time may have gone back since a ring was closed.
                        let rings = rings_for(call, me)
                            .is_some_and(|deadline| deadline > *server_ms + CLOCK_ERROR_MS);
                        let shown = ringing.iter().any(|ring| ring.call_id == call.id);
                        if rings && !shown && known.is_current(&call.id) {
                            let text = format!("{handset:?} of {me} at {server_ms}: {call:?}");
                            let invariant = "what is known to ring is shown to ring";
                            found.push(violation(invariant, Some(at), text));
                        }
                    }
                    for ring in ringing {
                        let record = known.call(&ring.call_id);
                        // A push may tell of an invitation that the record does not have yet.
                        let is_news = |call: &Call, push: &Push| {
                            let known = call.member(me).map_or(0, |member| member.invitation);
                            push.call == call.id
                                && push.deadline == ring.deadline
                                && push.invitation > known
                                && call.is_started()
                        };
                        let over = record.is_some_and(|call| {
                            rings_for(call, me) != Some(ring.deadline)
                                && !asked_by_push.iter().any(|push| is_news(call, push))
                        });
                        let late = ring.deadline <= *server_ms;
                        if over || late {
                            let text = format!(
                                "{handset:?} of {me} at {server_ms}: {ring:?}; the record: {record:?}"
                            );
                            let invariant = "nothing is shown to ring that is known to be over";
                            found.push(violation(invariant, Some(at), text));
                        }
                    }
                }
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::scene::{Scene, breaks, holds};

    #[test]
    fn a_ring_on_the_screen_passes_and_one_that_is_known_to_be_over_does_not() {
        let mut scene = Scene::new(&["anna", "bob"]);
        scene.invite(0, "i1", "c1", &["bob"]);
        scene.rings(1, "c1");
        scene.looks(1, &["c1"]);
        holds(&scene.record());
        scene.looks(1, &[]);
        breaks(&scene.record(), "what is known to ring is shown to ring");
        scene.runs_out("c1");
        scene.gets_record(1, "c1");
        scene.looks(1, &["c1"]);
        breaks(
            &scene.record(),
            "nothing is shown to ring that is known to be over",
        );
    }
}
