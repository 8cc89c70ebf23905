//! "Events are journaled in the transaction that changes the record, under positions that are never
//! used again": docs/semantics.md 8, Durability and order.

use std::collections::BTreeMap;

use offhook::call::{CallEvent, CallId, CommandKind, Millis, Op, UserId, UserState};
use offhook::client::event::EventKind;

use super::index::{By, Index, call_of};
use super::rings::CLOCK_ERROR_MS;
use super::violation;
use crate::observe::{Handset, How, OfHandset, Violation};

/// Positions, replays, order; nothing is told that is not kept.
pub fn check(index: &Index<'_>, found: &mut Vec<Violation>) {
    for handset in index.handsets() {
        in_order(index, handset, found);
        is_kept(index, handset, found);
        for by in [By::First, By::Second] {
            heard_in_order(index, (handset, by), found);
            replays(index, (handset, by), found);
        }
        all_is_heard(index, handset, found);
        verdict_first(index, handset, found);
    }
}

/// "Under positions that are never used again": they only grow, in the file and as heard.
fn in_order(index: &Index<'_>, handset: Handset, found: &mut Vec<Violation>) {
    let invariant = "positions only grow";
    let mut last = 0;
    for event in index.last(handset).map_or(&[][..], |last| &last.journal) {
        let position = event.position.unwrap_or_default();
        if position <= last {
            let text = format!("{handset:?}: {position} after {last} in the file");
            found.push(violation(invariant, None, text));
        }
        last = position;
    }
}

fn heard_in_order(index: &Index<'_>, (handset, by): (Handset, By), found: &mut Vec<Violation>) {
    let invariant = "positions only grow";
    let begins = index.file_begins(handset);
    let (mut live, mut replayed) = (0, 0);
    let since = index.of_one(handset, by).filter(|(at, ..)| *at >= begins);
    for (at, _, what) in since {
        match what {
            OfHandset::AppBegan { from, .. } => replayed = *from,
            OfHandset::Heard {
                how,
                position: Some(position),
                ..
            } => {
                let last = match how {
                    How::Replayed => &mut replayed,
                    How::Live | How::Waiting => &mut live,
                };
                if position <= last {
                    let text = format!("{handset:?}: {position} after {last} ({how:?})");
                    found.push(violation(invariant, Some(at), text));
                }
                *last = *position;
            }
            _ => {}
        }
    }
}

/// "Nothing is told to the app before the commit that holds it is synced to disk": what an app has
/// heard is in the file, as it was heard; but for verdicts that somebody waited for.
fn is_kept(index: &Index<'_>, handset: Handset, found: &mut Vec<Violation>) {
    let Some(last) = index.last(handset) else {
        return;
    };
    if index.record.weakened.file_lost.contains(&handset) {
        return;
    }
    let rows: BTreeMap<u64, &EventKind> = last
        .journal
        .iter()
        .filter_map(|event| event.position.map(|position| (position, &event.kind)))
        .collect();
    let begins = index.file_begins(handset);
    for (at, _, what) in index.of(handset).filter(|(at, ..)| *at >= begins) {
        let OfHandset::Heard {
            position: Some(position),
            event,
            ..
        } = what
        else {
            continue;
        };
        let kept = match (rows.get(position), event) {
            (Some(row), heard) => same(row, heard),
            (None, EventKind::CommandSettled(_)) => true,
            (None, _) => false,
        };
        if !kept {
            let row = rows.get(position);
            let text = format!("{handset:?} at {position}: {event:?}; the file has {row:?}");
            found.push(violation("what is told is kept", Some(at), text));
        }
    }
}

/// The same event, but for what depends on when it is read.
fn same(one: &EventKind, other: &EventKind) -> bool {
    let timeless = |kind: &EventKind| {
        let mut kind = kind.clone();
        if let EventKind::Call(CallEvent::Received {
            remaining, over, ..
        }) = &mut kind
        {
            (*remaining, *over) = (0, false);
        }
        kind
    };
    timeless(one) == timeless(other)
}

/// One app's reading of what stood in the journal when it began.
struct Replay {
    app: u32,
    from: u64,
    /// The highest position that any app had heard before.
    known: u64,
    read: BTreeMap<u64, EventKind>,
}

/// What a device can tell the time by.
#[derive(Default)]
pub(super) struct Clocks {
    boot: u32,
    skew_ms: i64,
    /// Both as they were when the server was heard last, and that was noted.
    heard: (u32, i64),
}

impl Clocks {
    pub(super) fn take(&mut self, what: &OfHandset) {
        match what {
            OfHandset::Opened { boot, .. } => self.boot = *boot,
            OfHandset::WallClock { skew_ms } => self.skew_ms = *skew_ms,
            OfHandset::Got {
                survived: true,
                error: None,
                ..
            } => self.heard = (self.boot, self.skew_ms),
            _ => {}
        }
    }

    /// Whether the steady clock began anew and the wall clock was set since: nothing on the device
    /// says how long it was off.
    pub(super) fn are_lost(&self) -> bool {
        self.boot != self.heard.0 && self.skew_ms != self.heard.1
    }
}

/// "The app reads on behind what it acknowledged last and gets each event at least once, so a crash
/// of the app loses none. A replayed invitation that no longer rings is marked over."
fn replays(index: &Index<'_>, (handset, by): (Handset, By), found: &mut Vec<Violation>) {
    let begins = index.file_begins(handset);
    let (mut acknowledged, mut maybe_acknowledged, mut heard) = (0, 0, 0);
    let mut replay: Option<Replay> = None;
    let weakened = index.is_weakened(handset);
    let mut clocks = Clocks::default();
    for (at, time, one, what) in index.by(handset).filter(|(at, ..)| *at >= begins) {
        clocks.take(what);
        if one != by {
            continue;
        }
        match what {
            OfHandset::Acknowledged {
                position, answer, ..
            } => {
                maybe_acknowledged = maybe_acknowledged.max(*position);
                if let Some(Ok(())) = answer {
                    acknowledged = acknowledged.max(*position);
                }
            }
            OfHandset::AppBegan { app, from, .. } => {
                let wrong = *from < acknowledged || *from > maybe_acknowledged;
                if wrong && !weakened {
                    let text = format!("{handset:?} reads on from {from}, not {acknowledged}");
                    let invariant = "an app reads on from what it acknowledged";
                    found.push(violation(invariant, Some(at), text));
                }
                replay = Some(Replay {
                    app: *app,
                    from: *from,
                    known: heard,
                    read: BTreeMap::new(),
                });
            }
            OfHandset::Heard {
                how,
                position: Some(position),
                event,
                app,
                ..
            } => {
                heard = heard.max(*position);
                if let (How::Replayed, Some(replay)) = (how, &mut replay)
                    && replay.app == *app
                {
                    replay.read.insert(*position, event.clone());
                }
            }
            OfHandset::AppCaughtUp { .. } => {
                let Some(replay) = replay.take() else {
                    continue;
                };
                let now = index.server_time(time).filter(|_| !clocks.are_lost());
                judge(index, (handset, at), &replay, now, found);
            }
            OfHandset::AppDied { .. } | OfHandset::Ended { .. } => replay = None,
            _ => {}
        }
    }
}

fn judge(
    index: &Index<'_>,
    (handset, at): (Handset, usize),
    replay: &Replay,
    now: Option<Millis>,
    found: &mut Vec<Violation>,
) {
    let rows = index.last(handset).map_or(&[][..], |last| &last.journal);
    for row in rows {
        let position = row.position.unwrap_or_default();
        let was_there = position > replay.from && position <= replay.known;
        if was_there && !replay.read.contains_key(&position) {
            let text = format!("{handset:?}: {position} is not read after {}", replay.from);
            found.push(violation(
                "no event is lost to a crash of the app",
                Some(at),
                text,
            ));
        }
    }
    let me = index.user(handset);
    for (position, event) in &replay.read {
        let EventKind::Call(CallEvent::Received {
            call_id,
            deadline,
            over,
            ..
        }) = event
        else {
            continue;
        };
        let later = replay.read.range(position + 1..);
        let closed = later
            .map(|(_, event)| event)
            .any(|event| closes(event, call_id, me));
        let expired = now.is_some_and(|now| *deadline + CLOCK_ERROR_MS < now);
        if !over && (closed || expired) {
            let text = format!("{handset:?}: {call_id} at {position} until {deadline}");
            let invariant = "a replayed invitation that rings no more is marked over";
            found.push(violation(invariant, Some(at), text));
        }
    }
}

/// Whether an event closes a ring of that call.
fn closes(event: &EventKind, call: &CallId, me: &UserId) -> bool {
    if call_of(event) != Some(call) {
        return false;
    }
    match event {
        EventKind::Call(event) => match event {
            CallEvent::Cancelled { inviter, .. } => inviter != me,
            CallEvent::Timeout { .. }
            | CallEvent::Ended { .. }
            | CallEvent::HandledElsewhere { .. } => true,
            CallEvent::Created { .. }
            | CallEvent::Received { .. }
            | CallEvent::UserStateChanged { .. }
            | CallEvent::PrimaryDeviceChanged { .. } => false,
        },
        EventKind::CommandSettled(settled) => {
            let answers = [CommandKind::Accept, CommandKind::Reject];
            settled.result.is_ok() && answers.contains(&settled.command)
        }
        EventKind::ConnectionStateChanged(_)
        | EventKind::TokenWillExpire { .. }
        | EventKind::DatabaseSetAside(_) => false,
    }
}

/// With all that apps heard as it happened and read afterwards, nothing that stands in the journal
/// is missing.
fn all_is_heard(index: &Index<'_>, handset: Handset, found: &mut Vec<Violation>) {
    let Some(last) = index.last(handset) else {
        return;
    };
    if index.calm.is_none() || !last.connected {
        return;
    }
    let begins = index.file_begins(handset);
    let mut entries = index
        .of_one(handset, By::First)
        .filter(|(at, ..)| *at >= begins);
    let from = entries
        .find_map(|(_, _, what)| match what {
            OfHandset::AppBegan { from, .. } => Some(*from),
            _ => None,
        })
        .unwrap_or_default();
    let heard: Vec<u64> = index
        .of_one(handset, By::First)
        .filter(|(at, ..)| *at >= begins)
        .filter_map(|(_, _, what)| match what {
            OfHandset::Heard { position, .. } => *position,
            _ => None,
        })
        .collect();
    for row in &last.journal {
        let position = row.position.unwrap_or_default();
        if position > from && !heard.contains(&position) && !may_be_over(index, handset, &row.kind)
        {
            let text = format!("{handset:?}: {position} was never heard: {:?}", row.kind);
            found.push(violation(
                "no event is lost to a crash of the app",
                None,
                text,
            ));
        }
    }
}

/// What another process took in of a ring that was over before this one noticed is not told here.
fn may_be_over(index: &Index<'_>, handset: Handset, event: &EventKind) -> bool {
    let of_a_ring = match event {
        EventKind::Call(event) => matches!(
            event,
            CallEvent::Received { .. } | CallEvent::UserStateChanged { .. }
        ),
        _ => false,
    };
    of_a_ring && index.is_shared(handset)
}

/// "On the device that acted, the verdict comes before the events that it caused."
fn verdict_first(index: &Index<'_>, handset: Handset, found: &mut Vec<Violation>) {
    if index.is_weakened(handset) {
        return;
    }
    let me = index.user(handset);
    let story = index.story(handset);
    let heard = first_heard(index, handset);
    let asked = asked(index, handset);
    for (position, event) in &story {
        let EventKind::CommandSettled(settled) = event else {
            continue;
        };
        if settled.result.is_err() {
            continue;
        }
        let mut since_begun = Vec::new();
        for (before, event) in story.range(..position) {
            if call_of(event) != Some(&settled.call_id) {
                continue;
            }
            match event {
                EventKind::Call(CallEvent::Received { .. }) => since_begun.clear(),
                EventKind::CommandSettled(earlier)
                    if earlier.result.is_ok() && enters(earlier.command) =>
                {
                    since_begun.clear();
                }
                EventKind::Call(event) => since_begun.push((before, event)),
                _ => {}
            }
        }
        // What was heard before the command was given is the effect of another one.
        let given = asked.get(&settled.op).copied().unwrap_or_default();
        let early = since_begun.iter().find(|(before, event)| {
            let since = heard.get(before).is_none_or(|heard| *heard > given);
            since && is_effect(settled.command, event, me)
        });
        if let Some((before, event)) = early {
            let text = format!("{handset:?}: {event:?} at {before}, {settled:?} at {position}");
            found.push(violation("the verdict comes before its events", None, text));
        }
    }
}

/// At which entry each position was first heard.
fn first_heard(index: &Index<'_>, handset: Handset) -> BTreeMap<u64, usize> {
    let mut first = BTreeMap::new();
    for (at, _, what) in index.of(handset) {
        if let OfHandset::Heard {
            position: Some(position),
            ..
        } = what
        {
            first.entry(*position).or_insert(at);
        }
    }
    first
}

/// At which entry each command was given.
fn asked<'a>(index: &Index<'a>, handset: Handset) -> BTreeMap<&'a Op, usize> {
    let given = index.of(handset).filter_map(|(at, _, what)| match what {
        OfHandset::Submitted { op, .. } => Some((op, at)),
        _ => None,
    });
    given.collect()
}

fn enters(kind: CommandKind) -> bool {
    [CommandKind::Invite, CommandKind::Accept, CommandKind::Join].contains(&kind)
}

/// Whether that is what the command of the device's own user has brought about.
fn is_effect(command: CommandKind, event: &CallEvent, me: &UserId) -> bool {
    let became = |state: UserState| match event {
        CallEvent::UserStateChanged { call_user_list, .. } => call_user_list
            .iter()
            .any(|user| &user.user_id == me && user.state == state),
        _ => false,
    };
    match command {
        CommandKind::Invite => true,
        CommandKind::Accept => {
            became(UserState::Accepted) || matches!(event, CallEvent::HandledElsewhere { .. })
        }
        CommandKind::Reject => {
            became(UserState::Rejected) || matches!(event, CallEvent::HandledElsewhere { .. })
        }
        CommandKind::Quit => became(UserState::Quit),
        CommandKind::End => matches!(event, CallEvent::Ended { .. }),
        // What others were brought to can be of an earlier command as well.
        CommandKind::Cancel | CommandKind::CallingInvite | CommandKind::Join => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::scene::{Scene, breaks, holds};
    use crate::observe::{How, OfHandset, What};

    fn ringing() -> Scene {
        let mut scene = Scene::new(&["anna", "bob"]);
        scene.invite(0, "i1", "c1", &["bob"]);
        scene.rings(1, "c1");
        scene
    }

    #[test]
    fn a_position_that_is_used_again_is_found() {
        let mut record = ringing().record();
        holds(&record);
        record.last.handsets[0]
            .journal
            .iter_mut()
            .for_each(|event| event.position = Some(1));
        let first = record.last.handsets[0].journal[0].clone();
        record.last.handsets[0].journal.push(first);
        breaks(&record, "positions only grow");
    }

    #[test]
    fn an_event_that_was_told_and_is_not_kept_is_found() {
        let mut record = ringing().record();
        record.last.handsets[1].journal.clear();
        breaks(&record, "what is told is kept");
    }

    #[test]
    fn an_event_that_no_app_ever_heard_is_found() {
        let mut record = ringing().record();
        record.log.retain(|entry| {
            !matches!(&entry.what, What::Handset(of, OfHandset::Heard { how: How::Live, .. }) if of.0 == 1)
        });
        breaks(&record, "no event is lost to a crash of the app");
    }

    #[test]
    fn an_app_that_reads_on_from_elsewhere_or_not_all_is_found() {
        let mut scene = ringing();
        scene.app_begins_again(1, 0, &[1]);
        holds(&scene.record());
        let mut scene = ringing();
        scene.app_begins_again(1, 1, &[]);
        breaks(&scene.record(), "an app reads on from what it acknowledged");
        let mut scene = ringing();
        scene.app_begins_again(1, 0, &[]);
        breaks(&scene.record(), "no event is lost to a crash of the app");
    }

    #[test]
    fn a_replayed_invitation_that_is_over_and_not_marked_so_is_found() {
        let mut scene = ringing();
        scene.runs_out("c1");
        scene.times_out(1, "c1");
        scene.app_begins_again(1, 0, &[1, 2]);
        breaks(
            &scene.record(),
            "a replayed invitation that rings no more is marked over",
        );
    }

    #[test]
    fn an_event_before_the_verdict_that_caused_it_is_found() {
        let mut scene = Scene::new(&["anna", "bob"]);
        scene.asks_to_invite(0, "i1", "c1", &["bob"]);
        scene.sends(0, "i1");
        scene.server_decides(0, "i1");
        scene.hears_created(0, "c1");
        scene.hears_verdict(0, "i1");
        breaks(&scene.record(), "the verdict comes before its events");
    }
}
