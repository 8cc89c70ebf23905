//! Records of calls: taken from the server, compared with what the file holds, written, and told
//! as what the difference means to this device.

use super::Work;
use super::commands::ANSWERS;
use crate::call::{
    Call, CallEvent, CallId, CallState, DeviceId, EndKind, Ending, Heard, Member, Shown, UserId,
    UserState, Viewer, hear,
};
use crate::client::event::EventKind;
use crate::client::store::{StoredCall, VERDICT};
use crate::error::Error;
use crate::protocol::{OPEN_CALLS_MAX, Receipt};

impl Work<'_> {
    /// Takes a record if it is newer than what the file holds, so that neither order nor
    /// repetition matters. `live`: as it happens, not on catching up.
    pub(super) fn take_record(&mut self, call: &Call, live: bool) -> Result<(), Error> {
        let stored = self.tx.call(&call.id)?;
        // What was forgotten here has the number of another life of the server.
        let known = stored.as_ref().is_some_and(|stored| {
            stored.epoch == self.epoch
                && stored.call.revision >= call.revision
                && !is_forgotten(&stored.call)
        });
        if stored.is_none() && self.tx.is_left_behind(call)? {
            return Ok(());
        }
        match &stored {
            Some(stored) if known => self.ring_after_all(&stored.call)?,
            stored => self.replace_record(stored.as_ref(), call, live)?,
        }
        self.owe_receipt(call);
        Ok(())
    }

    /// An invitation that came while an own answer was on its way has not rung. If nothing came of
    /// the answer and the server says again how things are, it does.
    fn ring_after_all(&mut self, call: &Call) -> Result<(), Error> {
        let me = call.member(self.tx.user());
        let Some(me) = me.filter(|me| call.is_started() && me.state.is_pending()) else {
            return Ok(());
        };
        let shown = self.tx.shown(&call.id)?;
        if shown.rung >= me.invitation || self.answer_is_under_way(&call.id)? {
            return Ok(());
        }
        let viewer = Viewer {
            user: self.tx.user(),
            device: self.tx.device(),
            shown: &shown,
            live: false,
            entered: false,
            now: self.now,
        };
        let heard = hear(Some(call), call, &viewer);
        self.keep_shown(call, &shown, &heard)?;
        for event in heard.events {
            self.tell(&call.id, EventKind::Call(event))?;
        }
        Ok(())
    }

    /// Ends calls that this life of the server does not know any more.
    fn forget(&mut self, stored: &StoredCall) -> Result<(), Error> {
        let mut call = stored.call.clone();
        call.state = CallState::Ended;
        call.ending = Some(Ending {
            kind: EndKind::Forgotten,
            time: self.now,
            revision: call.revision,
            by: None,
            device: None,
            data: String::new(),
        });
        self.replace_record(Some(stored), &call, false)
    }

    /// A server that was restored numbers invitations anew, so that one of its may have the number of
    /// another that rang here and that it does not know; and one that rings here may have a number
    /// that it has not given. The rings of those are as forgotten as a call would be. Gives the
    /// record as it stands after that, if it was that of a ring.
    fn forget_rings(
        &mut self,
        stored: &StoredCall,
        call: &Call,
    ) -> Result<Option<StoredCall>, Error> {
        let user = self.tx.user();
        let (Some(before), Some(me)) = (stored.call.member(user), call.member(user)) else {
            return Ok(None);
        };
        let shown = self.tx.shown(&call.id)?;
        let rang = self.tx.ring_deadline(&call.id, me.invitation)?;
        let is_another =
            me.state.is_pending() && rang.is_some_and(|deadline| deadline != me.deadline);
        let is_unknown = stored.epoch != self.epoch
            && me.invitation < shown.rung
            && shown.rung <= before.invitation;
        if !is_another && !is_unknown {
            return Ok(None);
        }
        let mut forgotten = None;
        if shown.ringing && stored.call.is_started() {
            self.forget(stored)?;
            forgotten = self.tx.call(&call.id)?;
        }
        let first = me.invitation + u32::from(!is_another);
        self.tx.drop_rings(&call.id, first)?;
        Ok(forgotten)
    }

    /// What the server has not told of on catching up from nothing, in however many sessions, it
    /// does not know. After the first step that holds for calls open to this device, after the
    /// second for all.
    pub(super) fn forget_unknown(&mut self, only_open: bool) -> Result<(), Error> {
        let doubted = self.tx.doubted_calls()?;
        if doubted.is_empty() {
            return Ok(());
        }
        let open = self.tx.open_calls(OPEN_CALLS_MAX)?;
        for id in doubted {
            if only_open && !open.contains(&id) {
                continue;
            }
            // A push may have told of it after the hello, which then did not name it as open.
            let may_come = |stored: &StoredCall| only_open && stored.call.revision == 0;
            if let Some(stored) = self.tx.call(&id)?.filter(|stored| !may_come(stored)) {
                self.forget(&stored)?;
            }
        }
        Ok(())
    }

    /// The server refused a command about a call that it does not know. If only a push has told of
    /// the call, nothing else will end it.
    pub(super) fn forget_partial(&mut self, id: &CallId) -> Result<(), Error> {
        let is_partial =
            |stored: &StoredCall| stored.call.revision == 0 && stored.call.is_started();
        match self.tx.call(id)?.filter(is_partial) {
            Some(stored) => self.forget(&stored),
            None => Ok(()),
        }
    }

    pub(super) fn replace_record(
        &mut self,
        stored: Option<&StoredCall>,
        call: &Call,
        live: bool,
    ) -> Result<(), Error> {
        let forgotten = match stored {
            Some(stored) => self.forget_rings(stored, call)?,
            None => None,
        };
        let mut shown = self.tx.shown(&call.id)?;
        if self.answer_is_under_way(&call.id)? {
            // What is being answered has not to ring any more, if it has not rung yet.
            let me = call.member(self.tx.user());
            let invitation = me.map_or(0, |me| me.invitation);
            if invitation > shown.rung && !shown.ringing {
                shown.rung = invitation;
            }
        }
        if let Some(stored) = stored {
            shown.left = self.has_left(&stored.call, call)?;
        }
        let viewer = Viewer {
            user: self.tx.user(),
            device: self.tx.device(),
            shown: &shown,
            live,
            entered: self.entered.contains(&call.id),
            now: self.now,
        };
        // A partial record, made by a push, tells nothing about what has changed since.
        let before = stored.filter(|stored| stored.call.revision > 0);
        let between_lives = before
            .filter(|stored| stored.epoch != self.epoch)
            .map(|stored| between_lives(&stored.call, call));
        let heard = match &between_lives {
            Some((before, after)) if self.is_told_of(before, after, &shown)? => Heard {
                events: Vec::new(),
                shown: shown.clone(),
            },
            Some((before, after)) => hear(Some(before), after, &viewer),
            None => hear(before.map(|stored| &stored.call), call, &viewer),
        };
        self.tx
            .put_call(forgotten.as_ref().or(stored), call, self.epoch)?;
        self.note_changes(stored.map(|stored| &stored.call), call)?;
        self.keep_shown(call, &shown, &heard)?;
        self.entered.remove(&call.id);
        for event in heard.events {
            self.tell(&call.id, EventKind::Call(event))?;
        }
        Ok(())
    }

    /// Whether a server that was restored tells of a stay with this device that it has heard of in
    /// another life of the server, having had the verdict of the command that began it; and neither
    /// has the device the call open, nor is it open to it now. Then there is no news for the app.
    fn is_told_of(&self, before: &Call, after: &Call, shown: &Shown) -> Result<bool, Error> {
        let (user, device) = (self.tx.user(), self.tx.device());
        let is_in = |call: &Call| {
            let me = call.member(user).filter(|_| call.is_started());
            me.is_some_and(|me| {
                me.state == UserState::Accepted && me.primary_device() == Some(device)
            })
        };
        let Some(me) = after.member(user) else {
            return Ok(false);
        };
        let is_asked = |call: &Call| {
            let me = call.member(user).filter(|_| call.is_started());
            me.is_some_and(|me| me.state.is_pending())
        };
        let rang = shown.ringing || (shown.answered && is_asked(before));
        if rang || shown.dialling || is_asked(after) || is_in(before) || is_in(after) {
            return Ok(false);
        }
        match me.own.as_ref().and_then(|own| own.primary_op.as_ref()) {
            Some(op) if self.decided.as_ref() != Some(op) => self.tx.is_settled(op),
            Some(_) | None => Ok(false),
        }
    }

    /// Whether a quit on this device is between two records. The later one may tell nothing of it
    /// any more, and its verdict did.
    fn has_left(&self, before: &Call, after: &Call) -> Result<bool, Error> {
        let user = self.tx.user();
        let (Some(before), Some(me)) = (before.member(user), after.member(user)) else {
            return Ok(false);
        };
        let stayed = me.state == UserState::Accepted && me.participation == before.participation;
        if before.state != UserState::Accepted || stayed {
            return Ok(false);
        }
        self.tx.was_left(&after.id)
    }

    /// The story of the call, for whoever opens the file.
    fn note_changes(&self, before: Option<&Call>, after: &Call) -> Result<(), Error> {
        let known = before.map_or(0, |before| before.revision);
        let is_new = |member: &&Member| {
            let seen = before.and_then(|before| before.member(&member.user));
            seen.is_none_or(|seen| member.state_revision > known || seen.state != member.state)
        };
        for member in after.members.iter().filter(is_new) {
            self.tx.note_change(
                &after.id,
                (member.state_time, self.now),
                Some(&member.user),
                member.state.word(),
                (member.changed_by.as_ref(), member.acting_device.as_ref()),
            )?;
        }
        if let Some(ending) = &after.ending
            && before.is_none_or(Call::is_started)
        {
            self.tx.note_change(
                &after.id,
                (ending.time, self.now),
                None,
                ending.kind.word(),
                (ending.by.as_ref(), ending.device.as_ref()),
            )?;
        }
        Ok(())
    }

    fn keep_shown(&self, call: &Call, before: &Shown, heard: &Heard) -> Result<(), Error> {
        let after = &heard.shown;
        let how = closed_how(&heard.events);
        if before.ringing && !(after.ringing && after.rung == before.rung) {
            // Whatever else the device hears: if it answered itself, that was the end of the ring.
            let how = if answered_with(call, self.tx.user(), self.tx.device(), before.rung) {
                VERDICT
            } else {
                how
            };
            self.tx.close_ring(&call.id, before.rung, self.now, how)?;
        }
        if after.rung > before.rung {
            let deadline = call.member(self.tx.user()).map_or(0, |me| me.deadline);
            self.tx
                .open_ring(&call.id, after.rung, self.now, deadline)?;
        }
        if after.dialling && !before.dialling {
            self.tx.open_ring(&call.id, 0, self.now, 0)?;
        }
        if before.dialling && !after.dialling {
            self.tx.close_ring(&call.id, 0, self.now, how)?;
        }
        Ok(())
    }

    /// The server learns that an invitation is on this disk, once it is.
    fn owe_receipt(&mut self, call: &Call) {
        let Some(me) = call.member(self.tx.user()) else {
            return;
        };
        if call.is_started() && me.state.is_unreceived() && self.now < me.deadline {
            self.receipts.push(Receipt {
                call: call.id.clone(),
                invitation: me.invitation,
            });
        }
    }

    /// Whether the user has answered on this device, and the server has not decided yet.
    fn answer_is_under_way(&self, call: &CallId) -> Result<bool, Error> {
        let pending = self.tx.pending_commands_of(call)?;
        Ok(pending
            .iter()
            .any(|one| ANSWERS.contains(&one.command.kind())))
    }

    /// Ends rings whose time is over, connection or not, unless an own answer is on its way.
    pub(super) fn rings_run_out(&mut self) -> Result<(), Error> {
        for (id, invitation, deadline) in self.tx.open_rings()? {
            if deadline > self.now {
                break;
            }
            let answered = self.answer_is_under_way(&id)?;
            if answered {
                continue;
            }
            self.tx
                .close_ring(&id, invitation, self.now, "timeout_local")?;
            if let Some(stored) = self.tx.call(&id)? {
                let event = CallEvent::Timeout {
                    call_id: id.clone(),
                    mode: stored.call.mode,
                    local: true,
                };
                self.tell(&id, EventKind::Call(event))?;
                // Known by push only, and the server that is connected has not told of it in all
                // that time: it was put back to before. What it tells after all replaces this.
                if self.heard_all && stored.call.revision == 0 {
                    self.forget(&stored)?;
                }
            }
        }
        Ok(())
    }
}

/// A server that was restored counts on from an older revision, so that a record of its may say
/// something else under a number that is known. Both records, with revisions by which all that
/// differs is news, and nothing else is.
fn between_lives(before: &Call, after: &Call) -> (Call, Call) {
    let is_known = |member: &&Member| is_known_as(before.member(&member.user), member);
    let news = after.members.iter().filter(|member| !is_known(member));
    let first = news.map(|member| member.state_revision.saturating_sub(1));
    let mut before = before.clone();
    before.revision = first.min().unwrap_or(before.revision).min(before.revision);
    let mut after = after.clone();
    for member in &mut after.members {
        let known = before.member(&member.user);
        if is_known_as(known, member) {
            member.state_revision = member.state_revision.min(before.revision);
        }
        let primary_op = known.and_then(|known| known.own.as_ref()?.primary_op.as_ref());
        if let Some(own) = &mut member.own
            && own.primary_op.as_ref() == primary_op
        {
            own.primary_revision = own.primary_revision.min(before.revision);
        }
    }
    (before, after)
}

/// Whether a member stands where they are known to.
fn is_known_as(known: Option<&Member>, member: &Member) -> bool {
    known.is_some_and(|known| {
        (known.state, known.invitation, known.participation)
            == (member.state, member.invitation, member.participation)
    })
}

/// Whether the server was found not to know that call.
fn is_forgotten(call: &Call) -> bool {
    let ending = call.ending.as_ref();
    ending.is_some_and(|ending| ending.kind == EndKind::Forgotten)
}

/// Whether that invitation was answered with that device, or the user is in the call on it.
fn answered_with(call: &Call, user: &UserId, device: &DeviceId, invitation: u32) -> bool {
    let Some(me) = call.member(user) else {
        return false;
    };
    let closing = me.closing(invitation);
    let is_in_here = me.state == UserState::Accepted && me.primary_device() == Some(device);
    is_in_here || closing.is_some_and(|closing| closing.device.as_ref() == Some(device))
}

/// What closed a ring, in the word of the database: the event that did, or else the own verdict.
fn closed_how(events: &[CallEvent]) -> &'static str {
    let closing = events.iter().find_map(|event| match event {
        CallEvent::Cancelled { .. } => Some("cancelled"),
        CallEvent::Timeout { .. } => Some("timeout"),
        CallEvent::Ended { .. } => Some("ended"),
        CallEvent::HandledElsewhere { .. } => Some("elsewhere"),
        CallEvent::Created { .. }
        | CallEvent::Received { .. }
        | CallEvent::UserStateChanged { .. }
        | CallEvent::PrimaryDeviceChanged { .. } => None,
    });
    closing.unwrap_or(VERDICT)
}
