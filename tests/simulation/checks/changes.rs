//! "Members: UserStateChanged. Intermediate states may be skipped; the last never is":
//! docs/semantics.md 6. Who has a call open hears what becomes of the others in it.

use std::collections::BTreeMap;

use offhook::call::{Call, CallEvent, CallId, DeviceId, EndKind, UserId, UserState};
use offhook::client::event::EventKind;
use offhook::protocol::ToDevice;

use super::index::{Index, Known, ends_open_lane};
use super::violation;
use crate::observe::{Handset, OfHandset, Violation};

/// How often a device has to hear, and hears, that somebody came to be in a state.
type Times = BTreeMap<(CallId, UserId, UserState), usize>;

/// Each change of another member, between two records that a device took in while the call was open
/// to it, is in an event that it journaled; of what came in on coming back, the net effect.
pub fn check(index: &Index<'_>, found: &mut Vec<Violation>) {
    if index.record.weakened.server_restored {
        return;
    }
    for handset in index.handsets().filter(|one| !index.is_weakened(*one)) {
        let heard = heard(index, handset);
        for (key, times) in to_be_heard(index, handset) {
            let told = heard.get(&key).copied().unwrap_or_default();
            if told < times {
                let (call, user, state) = key;
                let text = format!(
                    "{handset:?} of {}: {call}: {user} {state} is told {told} times, not {times}",
                    index.user(handset)
                );
                let invariant = "who has a call open hears of the others in it";
                found.push(violation(invariant, None, text));
            }
        }
    }
}

fn heard(index: &Index<'_>, handset: Handset) -> Times {
    let mut times = Times::new();
    for event in index.story(handset).into_values() {
        if let EventKind::Call(CallEvent::UserStateChanged {
            call_id,
            call_user_list,
        }) = event
        {
            for user in call_user_list {
                let key = (call_id.clone(), user.user_id, user.state);
                *times.entry(key).or_default() += 1;
            }
        }
    }
    times
}

fn to_be_heard(index: &Index<'_>, handset: Handset) -> Times {
    let me = index.user(handset);
    let mut known = Known::default();
    let mut name: Option<&DeviceId> = None;
    // What was known when catching up began.
    let mut baseline: Option<BTreeMap<CallId, Call>> = None;
    let mut times = Times::new();
    for (_, _, what) in index.of(handset) {
        match what {
            OfHandset::Opened { device, .. } | OfHandset::Renamed { device, .. } => {
                name = Some(device);
                baseline = None;
            }
            OfHandset::Got { frame, .. } => {
                if let ToDevice::Welcome(_) = frame.as_ref() {
                    let calls = known.calls().map(|call| (call.id.clone(), call.clone()));
                    baseline = Some(calls.collect());
                }
            }
            _ => {}
        }
        let Some(name) = name else { continue };
        let was_doubted = known.doubted;
        let taken = known.take(what);
        let ended = match what {
            OfHandset::Got { frame, .. } => ends_open_lane(frame) && !known.doubted,
            _ => false,
        };
        if was_doubted {
            // What the file had before is not known.
            baseline = baseline.map(|_| BTreeMap::new());
        }
        let pairs: Vec<(Call, Call)> = match &baseline {
            Some(before) if ended => before
                .values()
                .filter_map(|before| Some((before.clone(), known.call(&before.id)?.clone())))
                .collect(),
            Some(_) => Vec::new(),
            None => taken
                .into_iter()
                .filter_map(|taken| Some((taken.before?, taken.after.clone())))
                .collect(),
        };
        if ended {
            baseline = None;
        }
        for (before, after) in pairs.iter().filter(|_| !was_doubted) {
            for (user, state) in changes((me, name), before, after) {
                *times.entry((after.id.clone(), user, state)).or_default() += 1;
            }
        }
    }
    times
}

/// What a device that is in the call before and after hears of others. Of a ring that was closed
/// here ahead of the server's word nothing more is heard, so who is pending is left out.
fn changes(
    (me, name): (&UserId, &DeviceId),
    before: &Call,
    after: &Call,
) -> Vec<(UserId, UserState)> {
    let is_in = |call: &Call| {
        call.member(me).is_some_and(|member| {
            member.state == UserState::Accepted && member.primary_device() == Some(name)
        })
    };
    if !before.is_started() || !is_in(before) || !is_in(after) {
        return Vec::new();
    }
    let whole = after.ending.as_ref();
    let whole = whole.filter(|ending| ending.kind == EndKind::Cancelled);
    let news = after.members.iter().filter(|member| {
        let known = before.member(&member.user);
        let changed = known.is_none_or(|known| known.state_revision != member.state_revision);
        // Of a cancel of the whole call each hears their own.
        let by_whole = whole.is_some_and(|ending| ending.revision == member.state_revision);
        let own_affair = by_whole && member.state == UserState::Cancelled;
        &member.user != me && changed && !own_affair
    });
    news.map(|member| (member.user.clone(), member.state))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::scene::{Scene, breaks};

    #[test]
    fn a_change_that_a_device_in_the_call_does_not_hear_of_is_found() {
        let mut scene = Scene::new(&["anna", "bob"]);
        scene.invite(0, "i1", "c1", &["bob"]);
        scene.rings(1, "c1");
        scene.runs_out("c1");
        scene.times_out(1, "c1");
        scene.gets_record(0, "c1");
        breaks(
            &scene.record(),
            "who has a call open hears of the others in it",
        );
    }
}
