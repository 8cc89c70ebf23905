//! The table of docs/semantics.md 6: nobody hears what they must not, and what is heard is so.

use std::collections::{BTreeMap, BTreeSet};

use offhook::call::{
    Call, CallEvent, CallId, CommandKind, DeviceId, EndKind, Millis, Op, UserId, UserState,
};
use offhook::client::event::EventKind;
use offhook::protocol::{ToDevice, Verdict};

use super::index::{By, Index, Known, ends_open_lane};
use super::violation;
use crate::observe::{Change, Handset, How, OfHandset, OfServer, Violation, What};
use crate::reference::model::Talk;

/// What was ever true on the server.
#[derive(Default)]
struct History<'a> {
    states: BTreeSet<(&'a CallId, &'a UserId, UserState)>,
    invited: BTreeSet<(&'a CallId, &'a UserId, Millis)>,
    ended: BTreeSet<&'a CallId>,
    cancelled: BTreeSet<&'a CallId>,
}

impl<'a> History<'a> {
    fn of(index: &Index<'a>) -> Self {
        let mut history = Self::default();
        for entry in &index.record.log {
            let What::Server(OfServer::Stored(stored)) = &entry.what else {
                continue;
            };
            for change in &stored.changes {
                if let Change::Call { after, .. } = change {
                    history.note(after);
                }
            }
        }
        history
    }

    fn note(&mut self, call: &'a Call) {
        for member in &call.members {
            self.states.insert((&call.id, &member.user, member.state));
            self.invited
                .insert((&call.id, &member.user, member.deadline));
        }
        match call.ending.as_ref().map(|ending| ending.kind) {
            Some(EndKind::Ended | EndKind::Abandoned) => {
                self.ended.insert(&call.id);
            }
            Some(EndKind::Cancelled) => {
                self.cancelled.insert(&call.id);
            }
            Some(EndKind::Completed | EndKind::Forgotten | EndKind::Unknown) | None => {}
        }
    }
}

/// A device as it comes to know of things.
struct Device<'a> {
    handset: Handset,
    me: &'a UserId,
    name: Option<&'a DeviceId>,
    known: Known,
    catching_up: bool,
    /// Whether a call was open here, before or after what was last taken in of it.
    was_open: BTreeMap<CallId, bool>,
    /// Calls whose record was last taken in while catching up.
    caught_up: BTreeSet<CallId>,
    /// Calls that ended while this device was in them, and that moved away from it.
    must_end: BTreeSet<CallId>,
    must_move: BTreeSet<CallId>,
    /// Commands of this device that bring it into a call, and calls that by their verdicts it came
    /// into of which this run has taken in no record since.
    entering: BTreeMap<&'a Op, CallId>,
    entered: BTreeSet<CallId>,
    /// Calls that this device heard its user make on another one.
    dialled: BTreeSet<CallId>,
    /// Calls that were heard of by push.
    pushed: BTreeSet<&'a CallId>,
    /// Those that began to ring by push since their record was last taken in.
    rang: BTreeSet<&'a CallId>,
}

/// What is heard is so, and is for this device.
pub fn check(index: &Index<'_>, found: &mut Vec<Violation>) {
    let history = History::of(index);
    for handset in index.handsets() {
        let mut device = Device {
            handset,
            me: index.user(handset),
            name: None,
            known: Known::default(),
            catching_up: true,
            was_open: BTreeMap::new(),
            caught_up: BTreeSet::new(),
            must_end: BTreeSet::new(),
            must_move: BTreeSet::new(),
            entering: BTreeMap::new(),
            entered: BTreeSet::new(),
            dialled: BTreeSet::new(),
            pushed: BTreeSet::new(),
            rang: BTreeSet::new(),
        };
        let begins = index.file_begins(handset);
        let mut created: BTreeSet<&CallId> = BTreeSet::new();
        let mut syncs = By::First;
        for (at, _, by, what) in index.by(handset) {
            device.take(what);
            if let OfHandset::Syncs { .. } = what {
                syncs = by;
            }
            if let OfHandset::CopiedFrom(other) = what {
                device.pushed = pushed(index, *other, at);
            }
            let OfHandset::Heard {
                how,
                event: EventKind::Call(event),
                ..
            } = what
            else {
                continue;
            };
            if at < begins {
                continue;
            }
            if let Some(text) = untrue(&history, &device, event, index) {
                let text = format!("{handset:?} of {}: {text}: {event:?}", device.me);
                found.push(violation("what is heard is so", Some(at), text));
            }
            // Of what was in a file that was copied or put back the log does not tell; and what
            // another process took in is heard a while after.
            if *how != How::Live || index.is_weakened(handset) || by != syncs {
                continue;
            }
            if let CallEvent::Created { call_id, .. } = event {
                let made_here = device
                    .known
                    .call(call_id)
                    .is_some_and(|call| device.is_in(call));
                if !made_here {
                    device.dialled.insert(call_id.clone());
                }
            }
            let twice =
                matches!(event, CallEvent::Created { call_id, .. } if !created.insert(call_id));
            let not_for_it = device.not_for_it(event);
            let why = twice.then_some("heard before").or(not_for_it);
            if let Some(why) = why {
                let text = format!("{handset:?} of {}: {why}: {event:?}", device.me);
                found.push(violation(
                    "nobody hears what is not for them",
                    Some(at),
                    text,
                ));
            }
        }
        heard_what_it_must(index, &device, found);
    }
}

/// Calls that a handset's file had heard of by push until then, also before it was copied there.
fn pushed<'a>(index: &Index<'a>, handset: Handset, until: usize) -> BTreeSet<&'a CallId> {
    let mut pushed = BTreeSet::new();
    for (at, _, what) in index.of(handset).take_while(|(at, _, _)| *at < until) {
        match what {
            OfHandset::CopiedFrom(other) => pushed = self::pushed(index, *other, at),
            OfHandset::Pushed { push, .. } => {
                pushed.insert(&push.call);
            }
            _ => {}
        }
    }
    pushed
}

/// Why an event tells of something that never was.
fn untrue(
    history: &History<'_>,
    device: &Device<'_>,
    event: &CallEvent,
    index: &Index<'_>,
) -> Option<String> {
    let call = event.call_id();
    let me = device.me;
    let was = |user: &UserId, state: UserState| history.states.contains(&(call, user, state));
    match event {
        CallEvent::Created { caller, .. } => {
            (caller != me).then(|| "somebody else's call".to_owned())
        }
        CallEvent::Received { deadline, .. } => {
            let asked = history.invited.contains(&(call, me, *deadline));
            (!asked).then(|| "never invited so".to_owned())
        }
        CallEvent::Cancelled { inviter, .. } => {
            let cancelled = was(me, UserState::Cancelled) || history.cancelled.contains(call);
            // A ring that a restored server has forgotten is closed so as well.
            let forgotten = index.record.weakened.server_restored;
            // A push says that the ringing is over, and not why.
            let pushed = device.pushed.contains(call);
            (!cancelled && !forgotten && !pushed && inviter != me)
                .then(|| "never cancelled".to_owned())
        }
        CallEvent::Timeout { local, .. } => {
            (!local && !was(me, UserState::Timeout)).then(|| "never timed out".to_owned())
        }
        CallEvent::Ended { .. } => {
            let ended = history.ended.contains(call) || index.record.weakened.server_restored;
            (!ended).then(|| "never ended so".to_owned())
        }
        CallEvent::UserStateChanged { call_user_list, .. } => {
            call_user_list.iter().find_map(|user| {
                let own = [UserState::Timeout, UserState::Cancelled].contains(&user.state);
                let wrong = if &user.user_id == me && own {
                    "one's own Timeout and Cancelled have events of their own"
                } else if !was(&user.user_id, user.state) {
                    "never in that state"
                } else {
                    return None;
                };
                Some(format!("{}: {wrong}", user.user_id))
            })
        }
        CallEvent::HandledElsewhere { device_id, .. }
        | CallEvent::PrimaryDeviceChanged { device_id, .. } => {
            let here = device.name.is_some_and(|name| name.as_str() == device_id);
            here.then(|| "it was this device".to_owned())
        }
    }
}

impl<'a> Device<'a> {
    fn take(&mut self, what: &'a OfHandset) {
        match what {
            OfHandset::Opened { device, .. } | OfHandset::Renamed { device, .. } => {
                self.name = Some(device);
            }
            OfHandset::Pushed { push, answer, .. } => {
                self.pushed.insert(&push.call);
                if matches!(answer, Some(Ok(taken)) if taken.ring) {
                    self.rang.insert(&push.call);
                }
            }
            OfHandset::Submitted {
                op,
                call,
                command,
                answer,
                ..
            } => {
                let enters = [CommandKind::Invite, CommandKind::Accept, CommandKind::Join];
                let made = answer.as_ref().and_then(|answer| answer.as_ref().ok());
                let call = call.as_ref().or(made.map(|made| &made.call_id));
                if let Some(call) = call.filter(|_| enters.contains(&command.kind())) {
                    self.entering.insert(op, call.clone());
                }
            }
            OfHandset::Ended { .. } => self.entered.clear(),
            OfHandset::Got {
                frame,
                survived,
                error,
                ..
            } => {
                if let ToDevice::Welcome(_) | ToDevice::Preview(_) = frame.as_ref() {
                    self.catching_up = true;
                }
                let is_kept = *survived && error.is_none();
                let done = verdicts(frame).filter(|verdict| is_kept && verdict.result.is_ok());
                // Said once more, it is news no more.
                let calls = done.filter_map(|verdict| self.entering.remove(&verdict.op));
                self.entered.extend(calls);
            }
            _ => {}
        }
        let was_doubted = self.known.doubted;
        for taken in self.known.take(what) {
            let id = &taken.after.id;
            let before = taken.before.as_ref();
            let rang = self.rang.remove(id);
            let open_before = rang || before.is_some_and(|call| self.is_open(call));
            let open = open_before || self.is_open(taken.after) || self.was_in(before, taken.after);
            // While catching up, what is heard is the net effect of all that came in.
            let earlier = self.catching_up && self.was_open.get(id).copied().unwrap_or_default();
            // Of what the process died over the file may have a ring that the log does not know of.
            self.was_open
                .insert(id.clone(), open || earlier || was_doubted);
            match self.catching_up {
                true => self.caught_up.insert(id.clone()),
                false => self.caught_up.remove(id),
            };
            if self.entered.remove(id) && !was_doubted && self.is_elsewhere(taken.after) {
                self.must_move.insert(id.clone());
            }
            let Some(before) = before.filter(|_| !was_doubted) else {
                continue;
            };
            if self.is_in(before) && self.is_in(taken.after) {
                let kind = taken.after.ending.as_ref().map(|ending| ending.kind);
                if let Some(EndKind::Ended | EndKind::Abandoned) = kind {
                    self.must_end.insert(id.clone());
                }
            } else if self.is_in(before) && self.moved(before, taken.after) {
                self.must_move.insert(id.clone());
            }
        }
        if let OfHandset::Got {
            frame,
            survived: true,
            error: None,
            ..
        } = what
            && ends_open_lane(frame)
        {
            self.catching_up = false;
        }
    }

    /// Whether this device has the call: its user is in it, with this device.
    fn is_in(&self, call: &Call) -> bool {
        let Some(member) = call.member(self.me) else {
            return false;
        };
        member.state == UserState::Accepted && member.primary_device() == self.name
    }

    /// Whether events of the call are for this device: its user is pending, or in it with this
    /// device.
    fn is_open(&self, call: &Call) -> bool {
        let pending = call
            .member(self.me)
            .is_some_and(|member| crate::reference::model::is_pending(member.state));
        call.is_started() && (pending || self.is_in(call))
    }

    /// Whether this device had the call in between: its user came in with it and left again, or the
    /// call ended, before the device heard of either.
    fn was_in(&self, before: Option<&Call>, after: &Call) -> bool {
        let known = before.map_or(0, |before| before.revision);
        after.member(self.me).is_some_and(|member| {
            let own = member.own.as_ref();
            let became = own.is_some_and(|own| own.primary_revision > known);
            became && member.primary_device() == self.name
        })
    }

    /// Whether the user is in a call that goes on, with another device.
    fn is_elsewhere(&self, call: &Call) -> bool {
        let member = call.member(self.me).filter(|_| call.is_started());
        member.is_some_and(|member| {
            member.state == UserState::Accepted && member.primary_device() != self.name
        })
    }

    /// Whether the same stay went on with another device.
    fn moved(&self, before: &Call, after: &Call) -> bool {
        match (before.member(self.me), after.member(self.me)) {
            (Some(before), Some(now)) => {
                after.is_started()
                    && now.state == UserState::Accepted
                    && now.participation == before.participation
                    && now.primary_device() != self.name
            }
            _ => false,
        }
    }

    /// Why an event that is heard as it happens is not for this device.
    fn not_for_it(&self, event: &CallEvent) -> Option<&'static str> {
        match event {
            CallEvent::Created { call_id, .. } => self
                .caught_up
                .contains(call_id)
                .then_some("heard on catching up"),
            CallEvent::UserStateChanged { call_id, .. } => {
                let open = self.was_open.get(call_id).copied();
                (open == Some(false) && !self.known.doubted).then_some("the call is not open here")
            }
            // The rest is for who rings or rang, which is the affair of the rings.
            CallEvent::Received { .. }
            | CallEvent::Cancelled { .. }
            | CallEvent::Timeout { .. }
            | CallEvent::Ended { .. }
            | CallEvent::HandledElsewhere { .. }
            | CallEvent::PrimaryDeviceChanged { .. } => None,
        }
    }
}

/// The verdicts that came with a frame.
fn verdicts(frame: &ToDevice) -> impl Iterator<Item = &Verdict> {
    let (one, several) = match frame {
        ToDevice::Verdict(verdict) => (Some(verdict.as_ref()), [].as_slice()),
        ToDevice::Preview(preview) => (None, preview.verdicts.as_slice()),
        _ => (None, [].as_slice()),
    };
    one.into_iter().chain(several)
}

/// "callEnd, or the server ends an advanced call: everybody to whom it was open: Ended." "The call
/// moves to another device: the device that was primary: PrimaryDeviceChanged."
fn heard_what_it_must(index: &Index<'_>, device: &Device<'_>, found: &mut Vec<Violation>) {
    let handset = device.handset;
    if index.is_weakened(handset) || index.record.weakened.server_restored {
        return;
    }
    let story = index.story(handset);
    let heard = |of: &CallId, is: fn(&CallEvent) -> bool| {
        story.values().any(|event| match event {
            EventKind::Call(event) => event.call_id() == of && is(event),
            _ => false,
        })
    };
    let ended: fn(&CallEvent) -> bool = |event| matches!(event, CallEvent::Ended { .. });
    let moved: fn(&CallEvent) -> bool =
        |event| matches!(event, CallEvent::PrimaryDeviceChanged { .. });
    let must = device.must_end.iter().map(|call| (call, "Ended", ended));
    let must = must.chain(
        device
            .must_move
            .iter()
            .map(|call| (call, "PrimaryDeviceChanged", moved)),
    );
    // "The first answer, or the end of the call: the creator's devices that heard Created and are
    // not primary: HandledElsewhere", and Cancelled if that was the end.
    let server = &index.record.last.server.calls;
    let dialled = device.dialled.iter().filter(|call| {
        let known = server.get(*call);
        let caught_up = index.last(handset).is_some_and(|last| last.connected);
        let over = known.is_some_and(|call| !call.is_started() || Talk::adopt(call).is_answered());
        let joined = story.values().any(|event| match event {
            EventKind::CommandSettled(settled) => {
                &settled.call_id == *call && settled.result.is_ok()
            }
            _ => false,
        });
        caught_up && over && !joined && index.calm.is_some()
    });
    let closed: fn(&CallEvent) -> bool = |event| {
        matches!(
            event,
            CallEvent::HandledElsewhere { .. } | CallEvent::Cancelled { .. }
        )
    };
    let must = must.chain(dialled.map(|call| (call, "end of dialling", closed)));
    for (call, what, is) in must {
        if !heard(call, is) {
            let text = format!("{handset:?} of {}: no {what} of {call}", device.me);
            let invariant = "a device to which a call was open hears its end";
            found.push(violation(invariant, None, text));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::scene::{Scene, breaks, holds};

    #[test]
    fn a_ring_that_the_server_never_asked_for_is_found() {
        let mut scene = Scene::new(&["anna", "bob"]);
        scene.invite(0, "i1", "c1", &["bob"]);
        scene.rings(1, "c1");
        holds(&scene.record());
        scene.rings_until(1, "c1", 5);
        breaks(&scene.record(), "what is heard is so");
    }

    #[test]
    fn a_device_that_hears_of_a_call_that_is_not_open_to_it_is_found() {
        let mut scene = Scene::new(&["anna", "anna", "bob"]);
        scene.invite(0, "i1", "c1", &["bob"]);
        scene.gets_record(1, "c1");
        holds(&scene.record());
        scene.hears_change(1, "c1", "bob");
        breaks(&scene.record(), "nobody hears what is not for them");
    }

    #[test]
    fn a_device_that_came_in_and_does_not_hear_that_the_call_moved_is_found() {
        let mut scene = Scene::new(&["anna", "anna", "bob"]);
        scene.asks_to_invite(0, "i1", "c1", &["bob"]);
        scene.sends(0, "i1");
        scene.server_decides(0, "i1");
        scene.moves_to(1, "c1");
        scene.hears_verdict(0, "i1");
        breaks(
            &scene.record(),
            "a device to which a call was open hears its end",
        );
    }

    #[test]
    fn a_device_that_hears_of_its_own_answer_as_of_another_is_found() {
        let mut scene = Scene::new(&["anna", "bob"]);
        scene.invite(0, "i1", "c1", &["bob"]);
        scene.rings(1, "c1");
        scene.hears_elsewhere(1, "c1");
        breaks(&scene.record(), "what is heard is so");
    }

    #[test]
    fn a_device_that_dials_for_ever_is_found() {
        let mut scene = Scene::new(&["anna", "anna", "bob"]);
        scene.invite(0, "i1", "c1", &["bob"]);
        scene.gets_record(1, "c1");
        scene.hears_created(1, "c1");
        holds(&scene.record());
        scene.loses_its_creator("c1");
        scene.gets_record(1, "c1");
        breaks(
            &scene.record(),
            "a device to which a call was open hears its end",
        );
    }

    #[test]
    fn a_device_in_a_call_that_does_not_hear_its_end_is_found() {
        let mut scene = Scene::new(&["anna", "bob"]);
        scene.invite(0, "i1", "c1", &["bob"]);
        scene.ends("c1");
        scene.gets_record(0, "c1");
        breaks(
            &scene.record(),
            "a device to which a call was open hears its end",
        );
    }
}
