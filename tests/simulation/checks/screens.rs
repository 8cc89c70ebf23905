//! "So whatever rings now rings first", and what is over rings no more: what an app is shown to
//! ring is what the device has taken in. docs/semantics.md 8, Coming back.

use std::collections::{BTreeMap, BTreeSet};

use offhook::call::{CallEvent, CallId, Millis};
use offhook::client::event::EventKind;
use offhook::server::push::PushKind;

use super::index::{By, Index, Known};
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
        // Invitations that a push told of, with when they are over.
        let mut pushed: BTreeMap<(&CallId, Millis), u32> = BTreeMap::new();
        // Invitations whose rings were closed, and in which life of the server.
        let mut closed: BTreeMap<&CallId, (u32, u64)> = BTreeMap::new();
        // Invitations of which a push said that they are over.
        let mut ended: BTreeSet<(&CallId, u32)> = BTreeSet::new();
        let mut syncs = By::First;
        for (at, _, by, what) in index.by(handset) {
            if let OfHandset::Syncs { .. } = what {
                syncs = by;
            }
            known.take(what);
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
                OfHandset::Heard {
                    event: EventKind::Call(event),
                    ..
                } if closes(event) => {
                    let id = event.call_id();
                    let invitation = known.call(id).and_then(|call| call.member(me));
                    let number = invitation.map_or(0, |member| member.invitation);
                    closed.insert(id, (number, known.epoch()));
                }
                OfHandset::Pushed { push, .. } if push.kind == PushKind::Invite => {
                    pushed.insert((&push.call, push.deadline), push.invitation);
                }
                OfHandset::Pushed { push, .. } => {
                    ended.insert((&push.call, push.invitation));
                }
                // One that does not sync has the time from the file.
                OfHandset::Looked {
                    ringing, server_ms, ..
                } if !known.doubted && syncs == by => {
                    for call in known.calls().filter(|call| !answered.contains(&call.id)) {
                        // The estimate of the time may have gone back since a ring was closed.
                        let rings = rings_for(call, me)
                            .is_some_and(|deadline| deadline > *server_ms + CLOCK_ERROR_MS);
                        let shown = ringing.iter().any(|ring| ring.call_id == call.id);
                        // An invitation rings once, also if the server was put back to before its end.
                        let invitation = call.member(me).map_or(0, |me| me.invitation);
                        let was_over = ended.contains(&(&call.id, invitation))
                            || closed.get(&call.id).is_some_and(|(number, epoch)| {
                                *epoch != known.epoch() && invitation <= *number
                            });
                        if rings && !shown && !was_over && known.is_current(&call.id) {
                            let text = format!("{handset:?} of {me} at {server_ms}: {call:?}");
                            let invariant = "what is known to ring is shown to ring";
                            found.push(violation(invariant, Some(at), text));
                        }
                    }
                    for ring in ringing {
                        let record = known.call(&ring.call_id);
                        let number = pushed.get(&(&ring.call_id, ring.deadline));
                        let over = record.is_some_and(|call| {
                            let known = call.member(me).map_or(0, |member| member.invitation);
                            // The push may be ahead of the record.
                            let is_later = number.is_some_and(|number| *number > known);
                            rings_for(call, me) != Some(ring.deadline) && !is_later
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

/// Whether an event may close a ring.
fn closes(event: &CallEvent) -> bool {
    match event {
        CallEvent::Cancelled { .. }
        | CallEvent::Timeout { .. }
        | CallEvent::HandledElsewhere { .. }
        | CallEvent::Ended { .. } => true,
        CallEvent::Created { .. }
        | CallEvent::Received { .. }
        | CallEvent::UserStateChanged { .. }
        | CallEvent::PrimaryDeviceChanged { .. } => false,
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

    #[test]
    fn what_a_push_told_of_rings_although_the_record_is_of_an_earlier_invitation() {
        let mut scene = Scene::new(&["anna", "bob"]);
        scene.invite(0, "i1", "c1", &["bob"]);
        scene.rings(1, "c1");
        scene.runs_out("c1");
        scene.times_out(1, "c1");
        scene.asks_again("c1");
        scene.looks(1, &["c1"]);
        let over = "nothing is shown to ring that is known to be over";
        breaks(&scene.record(), over);
        let mut scene = Scene::new(&["anna", "bob"]);
        scene.invite(0, "i1", "c1", &["bob"]);
        scene.rings(1, "c1");
        scene.runs_out("c1");
        scene.times_out(1, "c1");
        scene.asks_again("c1");
        scene.gets_push(1, "c1");
        scene.looks(1, &["c1"]);
        let found = super::super::check(&scene.record());
        assert!(found.iter().all(|found| found.invariant != over));
    }
}
