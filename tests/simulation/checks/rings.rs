//! "Each ring ends on its device with exactly one closing event": docs/semantics.md 6; and when a
//! ring begins and ends: 8, Coming back and Clocks and deadlines.

use std::collections::{BTreeMap, BTreeSet};

use offhook::call::{Call, CallEvent, CallId, CommandKind, Millis, Op, UserId, UserState};
use offhook::client::event::{CommandSettled, EventKind};

use super::index::{By, Index, Known, by_whom, ends_open_lane, is_preview};
use super::journal::Clocks;
use super::violation;
use crate::observe::{Handset, How, OfHandset, OfServer, TrueMs, Violation, What};
use crate::reference::model::is_pending;
use offhook::protocol::ToDevice;
use offhook::server::push::PushKind;

/// How wrong a device's idea of the server's time may be that has heard from the server in this
/// run: half of the longest round trip that is waited for (a hello and a ping are given up after
/// 10 s), since the answer may have taken all of it and the question none.
pub const CLOCK_ERROR_MS: Millis = 5_000;

/// One invitation as a device told its app of it.
#[derive(Clone, Debug)]
struct Ring {
    call: CallId,
    deadline: Millis,
    began: u64,
    /// The position of what closed it, and what that was.
    closed: Option<(u64, &'static str)>,
}

/// Each ring begins once, ends once, in time; and what still rings on return does ring.
pub fn check(index: &Index<'_>, found: &mut Vec<Violation>) {
    for handset in index.handsets() {
        let rings = in_the_journal(index, handset, found);
        for by in [By::First, By::Second] {
            once_as_it_happens(index, (handset, by), found);
        }
        all_that_ring(index, handset, &rings, found);
        in_time(index, handset, &rings, found);
        at_the_end(index, handset, &rings, found);
    }
}

/// What the journal says of rings, in its order.
struct Journal<'a> {
    handset: Handset,
    me: &'a UserId,
    /// From here on the journal is known to be whole.
    whole_from: u64,
    open: BTreeMap<CallId, usize>,
    rings: Vec<Ring>,
    created: Vec<CallId>,
    /// Calls that this device is in. Who is in one, leaves on another device, is asked again and
    /// does not answer, all unheard of here, hears what became of that.
    inside: BTreeSet<CallId>,
    /// Until when what was answered lasted, as the server was told.
    until: BTreeMap<&'a Op, Millis>,
}

fn in_the_journal(index: &Index<'_>, handset: Handset, found: &mut Vec<Violation>) -> Vec<Ring> {
    let begins = index.file_begins(handset);
    let live = index.of(handset).filter_map(|(at, _, what)| match what {
        OfHandset::Heard {
            how: How::Live | How::Waiting,
            position,
            ..
        } if at >= begins => *position,
        _ => None,
    });
    let whole_from = match index.is_weakened(handset) {
        true => live.min().unwrap_or(u64::MAX),
        false => 0,
    };
    let sent = index.commands().map(|(_, _, frame)| frame);
    let mut journal = Journal {
        handset,
        me: index.user(handset),
        whole_from,
        open: BTreeMap::new(),
        rings: Vec::new(),
        created: Vec::new(),
        inside: BTreeSet::new(),
        until: sent
            .filter(|frame| frame.not_after > 0)
            .map(|frame| (&frame.op, frame.not_after))
            .collect(),
    };
    for (position, event) in index.story(handset) {
        if let Some(text) = journal.take(position, &event) {
            let text = format!("{handset:?} at position {position}: {text}");
            found.push(violation("each ring begins once and ends once", None, text));
        }
    }
    journal.rings
}

impl Journal<'_> {
    fn take(&mut self, position: u64, event: &EventKind) -> Option<String> {
        match event {
            EventKind::Call(event) => self.event(position, event),
            EventKind::CommandSettled(settled) => {
                if settled.result.is_ok() {
                    self.done(settled, position);
                }
                None
            }
            EventKind::ConnectionStateChanged(_)
            | EventKind::TokenWillExpire { .. }
            | EventKind::DatabaseSetAside(_) => None,
        }
    }

    /// An own command was accepted.
    fn done(&mut self, settled: &CommandSettled, position: u64) {
        let call = &settled.call_id;
        match settled.command {
            CommandKind::Accept | CommandKind::Join => {
                self.close(call, position, "verdict");
                self.inside.insert(call.clone());
            }
            CommandKind::Invite => {
                self.inside.insert(call.clone());
            }
            CommandKind::Reject => {
                // Another invitation may ring by now, which it does not answer.
                let until = self.until.get(&settled.op).copied().unwrap_or(Millis::MAX);
                let open = self.open.get(call).map(|open| &self.rings[*open]);
                if open.is_some_and(|ring| ring.deadline <= until) {
                    self.close(call, position, "verdict");
                }
            }
            CommandKind::Quit | CommandKind::End => {
                self.inside.remove(call);
            }
            CommandKind::Cancel | CommandKind::CallingInvite => {}
        }
    }

    fn event(&mut self, position: u64, event: &CallEvent) -> Option<String> {
        let call = event.call_id();
        match event {
            CallEvent::Received { deadline, .. } => self.begin(call, *deadline, position),
            CallEvent::Cancelled { inviter, .. } if inviter != self.me => {
                self.must_close(call, position, "Cancelled")
            }
            CallEvent::Timeout { .. } => self.must_close(call, position, "Timeout"),
            CallEvent::HandledElsewhere { .. } => {
                let dialled = self.created.contains(call);
                let closed = self.must_close(call, position, "HandledElsewhere");
                closed.filter(|_| !dialled)
            }
            CallEvent::Ended { .. } => {
                self.close(call, position, "Ended");
                None
            }
            CallEvent::Created { call_id, .. } => {
                self.created.push(call_id.clone());
                None
            }
            CallEvent::PrimaryDeviceChanged { .. } => {
                self.inside.remove(call);
                None
            }
            CallEvent::Cancelled { .. } | CallEvent::UserStateChanged { .. } => None,
        }
    }

    fn begin(&mut self, call: &CallId, deadline: Millis, position: u64) -> Option<String> {
        let mut same = self.rings.iter();
        let again = same.find(|ring| &ring.call == call && ring.deadline == deadline);
        let open = self.open.get(call).map(|open| &self.rings[*open]);
        // In a file that was put back the verdicts that somebody had waited for are gone.
        let open = open.filter(|open| open.began >= self.whole_from);
        let text = match (again, open) {
            (Some(ring), _) => Some(format!("{call} rings again, after {ring:?}")),
            (None, Some(open)) => Some(format!("{call} rings while it rings: {open:?}")),
            (None, None) => None,
        };
        self.open.insert(call.clone(), self.rings.len());
        self.rings.push(Ring {
            call: call.clone(),
            deadline,
            began: position,
            closed: None,
        });
        text.filter(|_| position >= self.whole_from)
    }

    fn close(&mut self, call: &CallId, position: u64, how: &'static str) -> bool {
        let Some(open) = self.open.remove(call) else {
            return false;
        };
        self.rings[open].closed = Some((position, how));
        true
    }

    /// An event that there is only to close a ring.
    fn must_close(&mut self, call: &CallId, position: u64, how: &'static str) -> Option<String> {
        if self.close(call, position, how) || self.whole_from > 0 || self.inside.remove(call) {
            return None;
        }
        let mut of_call = self.rings.iter().rev();
        let last = of_call.find(|ring| &ring.call == call);
        let me = (self.handset, self.me);
        Some(format!(
            "{how} of {call}, which does not ring on {me:?}; last: {last:?}"
        ))
    }
}

/// "An invitation … rings once": Received is told as it happens once at most.
fn once_as_it_happens(index: &Index<'_>, (handset, by): (Handset, By), found: &mut Vec<Violation>) {
    let begins = index.file_begins(handset);
    let mut heard: BTreeMap<(&CallId, Millis), usize> = BTreeMap::new();
    for (at, _, what) in index.of_one(handset, by) {
        let OfHandset::Heard {
            how: How::Live,
            event:
                EventKind::Call(CallEvent::Received {
                    call_id,
                    deadline,
                    over,
                    ..
                }),
            ..
        } = what
        else {
            continue;
        };
        if at < begins {
            continue;
        }
        if let Some(before) = heard.insert((call_id, *deadline), at) {
            let text = format!("{handset:?}: {call_id} until {deadline}, first at entry {before}");
            found.push(violation("an invitation rings once", Some(at), text));
        }
        if *over {
            let text = format!("{handset:?}: {call_id}");
            found.push(violation("a live invitation is never over", Some(at), text));
        }
    }
}

/// Whether a command answers an invitation.
pub fn is_answer(kind: CommandKind) -> bool {
    [CommandKind::Accept, CommandKind::Reject, CommandKind::Join].contains(&kind)
}

/// Own answers that a handset's file has without a verdict, as the log goes on.
#[derive(Default)]
struct Answers<'a> {
    open: BTreeMap<&'a Op, &'a CallId>,
    /// All that were ever given.
    given: BTreeMap<&'a Op, &'a CallId>,
}

impl<'a> Answers<'a> {
    fn take(&mut self, index: &Index<'a>, at: usize, what: &'a OfHandset) {
        match what {
            OfHandset::Submitted {
                op,
                call: Some(call),
                command,
                answer: Some(Ok(_)) | None,
                ..
            } if is_answer(command.kind()) => {
                self.open.insert(op, call);
                self.given.insert(op, call);
            }
            OfHandset::Heard {
                event: EventKind::CommandSettled(settled),
                ..
            } => {
                self.open.remove(&settled.op);
            }
            // With the file came what the other one had given.
            OfHandset::CopiedFrom(other) => {
                *self = Self::default();
                for (when, _, what) in index.of(*other).take_while(|(when, _, _)| *when < at) {
                    self.take(index, when, what);
                }
            }
            // The verdicts may be gone.
            OfHandset::RolledBack { .. } => self.open.clone_from(&self.given),
            _ => {}
        }
    }

    fn has(&self, call: &CallId) -> bool {
        self.open.values().any(|of| *of == call)
    }
}

/// "For each invitation that still rings, one Received": whatever was pending and in time when the
/// device took it in (on coming back: when the first step was done) has rung, unless an own answer
/// was on its way.
fn all_that_ring(index: &Index<'_>, handset: Handset, rings: &[Ring], found: &mut Vec<Violation>) {
    let me = index.user(handset);
    let mut known = Known::default();
    let mut answers = Answers::default();
    // Invitations that a push told to be over, which may overtake what tells of them.
    let mut stopped: BTreeSet<(&CallId, u32)> = BTreeSet::new();
    let mut catching_up = true;
    for (at, time, what) in index.of(handset) {
        answers.take(index, at, what);
        if let OfHandset::Pushed { push, .. } = what
            && push.kind != PushKind::Invite
        {
            stopped.insert((&push.call, push.invitation));
        }
        if let OfHandset::Got { frame, .. } = what
            && let ToDevice::Welcome(_) | ToDevice::Preview(_) = frame.as_ref()
        {
            catching_up = true;
        }
        let taken: Vec<Call> = known
            .take(what)
            .iter()
            .map(|one| one.after.clone())
            .collect();
        let ends = match what {
            OfHandset::Got {
                frame,
                survived: true,
                error: None,
                ..
            } => ends_open_lane(frame) || is_preview(frame),
            _ => false,
        };
        let calls: Vec<Call> = match (catching_up, ends) {
            (true, true) => known.calls().cloned().collect(),
            (true, false) => continue,
            (false, _) => taken,
        };
        catching_up &= !ends;
        let Some(now) = index.server_time(time) else {
            continue;
        };
        for call in calls {
            let Some(deadline) = rings_for(&call, me) else {
                continue;
            };
            let soon_over = now + CLOCK_ERROR_MS >= deadline;
            let number = call.member(me).map_or(0, |member| member.invitation);
            if stopped.contains(&(&call.id, number)) {
                continue;
            }
            let rang = rings
                .iter()
                .any(|ring| ring.call == call.id && ring.deadline == deadline);
            if !soon_over && !rang && !answers.has(&call.id) && at >= index.file_begins(handset) {
                let text = format!("{handset:?} of {me}: {} until {deadline}", call.id);
                let invariant = "what still rings on return does ring";
                found.push(violation(invariant, Some(at), text));
            }
        }
    }
}

/// Until when a call rings for a user, if it does.
pub fn rings_for(call: &Call, me: &UserId) -> Option<Millis> {
    let member = call.member(me)?;
    (call.is_started() && is_pending(member.state)).then_some(member.deadline)
}

/// "The device ends a ring at the deadline with a timer of its own, connected or not."
fn in_time(index: &Index<'_>, handset: Handset, rings: &[Ring], found: &mut Vec<Violation>) {
    for ring in rings {
        let Some(late) = late(index, handset, ring) else {
            continue;
        };
        let text = format!("{handset:?}: {late} ms too long: {ring:?}");
        found.push(violation("nothing rings after its deadline", None, text));
    }
}

/// By how much a ring was heard to end too late, the time taken off in which nobody could end it or
/// hear of it: no process, no app, asleep, a disk that takes nothing.
fn late(index: &Index<'_>, handset: Handset, ring: &Ring) -> Option<TrueMs> {
    let begins = index.file_begins(handset);
    let mut server: Option<(TrueMs, Millis)> = None;
    let mut awake_since: Option<TrueMs> = None;
    let mut began: Option<TrueMs> = None;
    let mut answers = Answers::default();
    let mut answered = false;
    let mut started: Option<(TrueMs, Millis)> = None;
    let (mut full, mut broken) = (false, false);
    let mut clocks = Clocks::default();
    let mut late = None;
    for (at, entry) in index.record.log.iter().enumerate() {
        if let What::Server(OfServer::Started { server_ms }) = &entry.what {
            started = Some((entry.at, *server_ms));
        }
        let Some((of, by, what)) = by_whom(&entry.what) else {
            continue;
        };
        if of != handset {
            continue;
        }
        answers.take(index, at, what);
        answered |= answers.has(&ring.call);
        clocks.take(what);
        if by == By::Second {
            if let OfHandset::Syncs { .. } = what {
                server = None;
            }
            continue;
        }
        match what {
            OfHandset::Got { frame, .. } => {
                if let ToDevice::Welcome(_) = frame.as_ref() {
                    server = started;
                }
            }
            OfHandset::AppBegan { .. } | OfHandset::Awake => awake_since = Some(entry.at),
            OfHandset::AppDied { .. } | OfHandset::Asleep => awake_since = None,
            OfHandset::Ended { .. } => awake_since = None,
            // Its idea of the time is that of the file from then on.
            OfHandset::Waits { .. } => server = None,
            OfHandset::DiskFull(is_full) => {
                full = *is_full;
                awake_since = awake_since.map(|_| entry.at);
            }
            OfHandset::SyncsFail => broken = true,
            OfHandset::TimeoutFailed { .. } => broken |= !full,
            OfHandset::Heard {
                position: Some(position),
                event,
                ..
            } if at >= begins => {
                // Read afterwards and told to be over, it does not ring.
                let rings = matches!(
                    event,
                    EventKind::Call(CallEvent::Received { over: false, .. })
                );
                if *position == ring.began && rings {
                    began.get_or_insert(entry.at);
                }
                let closes = ring.closed.is_some_and(|(closed, _)| closed == *position);
                if closes && clocks.are_lost() {
                    return None;
                }
                if closes && let EventKind::Call(_) = event {
                    let over = server.map(|(at, ms)| at + (ring.deadline - ms));
                    let from = over?.max(began?).max(awake_since?);
                    late = Some(entry.at - from);
                    break;
                }
            }
            _ => {}
        }
    }
    late.filter(|late| *late > CLOCK_ERROR_MS && !answered && !broken && !full)
}

/// At the end, what rings is what is pending; all else has been closed.
fn at_the_end(index: &Index<'_>, handset: Handset, rings: &[Ring], found: &mut Vec<Violation>) {
    let Some(last) = index.last(handset).filter(|last| last.connected) else {
        return;
    };
    let server = &index.record.last.server;
    for ring in rings.iter().filter(|ring| ring.closed.is_none()) {
        let call = server.calls.get(&ring.call);
        let rings_still = call.and_then(|call| rings_for(call, &last.user));
        let weakened = index.is_weakened(handset);
        if rings_still != Some(ring.deadline) && !weakened {
            let state: Option<UserState> = call
                .and_then(|call| call.member(&last.user))
                .map(|member| member.state);
            let text = format!("{handset:?} of {}: {ring:?}, who is {state:?}", last.user);
            found.push(violation("each ring begins once and ends once", None, text));
        }
    }
    for shown in &last.ringing {
        let call = server.calls.get(&shown.call_id);
        if call.and_then(|call| rings_for(call, &last.user)) != Some(shown.deadline) {
            let text = format!("{handset:?} of {}: {shown:?}", last.user);
            found.push(violation("nothing rings that is over", None, text));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::scene::{Scene, breaks, holds};

    const ONCE: &str = "each ring begins once and ends once";

    #[test]
    fn a_ring_that_begins_and_ends_once_passes() {
        let mut scene = Scene::new(&["anna", "bob"]);
        scene.invite(0, "i1", "c1", &["bob"]);
        scene.rings(1, "c1");
        scene.runs_out("c1");
        scene.times_out(1, "c1");
        holds(&scene.record());
    }

    #[test]
    fn a_ring_that_begins_twice_is_found() {
        let mut scene = Scene::new(&["anna", "bob"]);
        scene.invite(0, "i1", "c1", &["bob"]);
        scene.rings(1, "c1");
        scene.rings(1, "c1");
        breaks(&scene.record(), ONCE);
        breaks(&scene.record(), "an invitation rings once");
    }

    #[test]
    fn a_ring_that_ends_twice_or_never_is_found() {
        let mut scene = Scene::new(&["anna", "bob"]);
        scene.invite(0, "i1", "c1", &["bob"]);
        scene.rings(1, "c1");
        scene.runs_out("c1");
        breaks(&scene.record(), ONCE);
        scene.times_out(1, "c1");
        holds(&scene.record());
        scene.times_out(1, "c1");
        breaks(&scene.record(), ONCE);
    }

    #[test]
    fn a_ring_that_goes_on_after_its_deadline_is_found() {
        let mut scene = Scene::new(&["anna", "bob"]);
        scene.invite(0, "i1", "c1", &["bob"]);
        scene.rings(1, "c1");
        scene.runs_out("c1");
        scene.passes(6_000);
        scene.times_out(1, "c1");
        breaks(&scene.record(), "nothing rings after its deadline");
    }

    #[test]
    fn an_invitation_that_came_and_did_not_ring_is_found() {
        let mut scene = Scene::new(&["anna", "bob"]);
        scene.invite(0, "i1", "c1", &["bob"]);
        scene.gets_record(1, "c1");
        breaks(&scene.record(), "what still rings on return does ring");
    }

    #[test]
    fn what_is_shown_to_ring_at_the_end_and_is_over_is_found() {
        let mut scene = Scene::new(&["anna", "bob"]);
        scene.invite(0, "i1", "c1", &["bob"]);
        scene.rings(1, "c1");
        let mut record = scene.record();
        holds(&record);
        record.last.handsets[1].ringing[0].deadline -= 1;
        breaks(&record, "nothing rings that is over");
    }
}
