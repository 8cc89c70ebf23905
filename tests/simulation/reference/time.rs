//! What happens to a call without a command.

use offhook::call::{EndKind, Millis, Mode, UserId, UserState};

use super::model::{End, Reference, Talk, is_pending};

impl Reference {
    /// Whether time has something to do to a call at or before `now`.
    pub fn overdue(&self, now: Millis) -> Vec<&Talk> {
        let overdue = |talk: &&Talk| talk.due().is_some_and(|due| due <= now);
        self.calls.values().filter(overdue).collect()
    }
}

impl Talk {
    /// When time next does something to the call: a deadline, or a check that is not done yet.
    pub fn due(&self) -> Option<Millis> {
        if !self.is_started() {
            return None;
        }
        let pending = self.people.iter().filter(|person| person.is_pending());
        pending
            .flat_map(|person| [Some(person.deadline), person.check_at])
            .flatten()
            .min()
    }

    /// "At the deadline a pending invitee becomes Timeout." "With enableNotReceivedCheck, still
    /// Inviting after 5 s becomes NotYetReceived." Moment by moment, as if nobody had been late.
    pub fn pass_time(&mut self, now: Millis) {
        while let Some(moment) = self.due().filter(|due| *due <= now) {
            for person in &mut self.people {
                if !is_pending(person.state) {
                    continue;
                }
                if person.deadline <= moment {
                    person.check_at = None;
                    person.close(UserState::Timeout, None);
                } else if person.check_at.is_some_and(|check| check <= moment) {
                    person.check_at = None;
                    if person.state == UserState::Inviting {
                        person.state = UserState::NotYetReceived;
                    }
                }
            }
            self.end_if_nobody(moment, None);
        }
    }

    /// "Received when a device of theirs has the invitation durably on disk and says so." Whether
    /// that changed anything.
    pub fn receive(&mut self, user: &UserId, invitation: u32, now: Millis) -> bool {
        let started = self.is_started();
        let Some(person) = self.person_mut(user) else {
            return false;
        };
        let waits = [UserState::Inviting, UserState::NotYetReceived].contains(&person.state);
        if !started || !waits || person.invitation != invitation || now >= person.deadline {
            return false;
        }
        person.state = UserState::Received;
        person.check_at = None;
        true
    }

    /// "While not answered: the creator logging out on the primary device, quitting, or having no
    /// connected device for 35 s cancels the whole call." `by`: the creator, or the server.
    pub fn creator_gone(&mut self, by: Option<UserId>, now: Millis) -> bool {
        if !self.is_started() || self.is_answered() {
            return false;
        }
        self.cancel_whole(by, now, "");
        true
    }

    /// "One whose Accepted members have all been without a connected device for 2 h", an advanced
    /// call, is ended by the server.
    pub fn abandon(&mut self, now: Millis) -> bool {
        if !self.is_started() || self.mode != Mode::Advanced {
            return false;
        }
        self.finish(EndKind::Abandoned, None, now, "");
        true
    }

    /// The user has seen that they missed the call.
    pub fn see(&mut self, user: &UserId) -> bool {
        let missed = self.is_missed_by(user);
        let Some(person) = self.person_mut(user) else {
            return false;
        };
        let news = missed && !person.seen;
        person.seen |= missed;
        news
    }

    /// "A whole cancel makes the invitees Cancelled, leaves the creator Accepted, and the call is
    /// Ended."
    pub fn cancel_whole(&mut self, by: Option<UserId>, now: Millis, data: &str) {
        for person in &mut self.people {
            if is_pending(person.state) {
                person.check_at = None;
                data.clone_into(&mut person.data);
                person.close(UserState::Cancelled, None);
            }
        }
        self.finish(EndKind::Cancelled, by, now, data);
    }

    pub fn finish(&mut self, kind: EndKind, by: Option<UserId>, now: Millis, data: &str) {
        self.end = Some(End {
            kind,
            at: now,
            by,
            data: data.to_owned(),
            last_answer: None,
        });
    }

    /// "General mode: the call is Ended as soon as nobody is pending." "An advanced call with
    /// nobody Accepted and nobody pending is Ended by the server."
    pub fn end_if_nobody(&mut self, now: Millis, answer: Option<&UserId>) {
        let nobody_pending = !self.people.iter().any(super::model::Person::is_pending);
        let nobody_in = !self.people.iter().any(super::model::Person::is_in);
        let kind = match self.mode {
            Mode::General if nobody_pending => EndKind::Completed,
            Mode::Advanced if nobody_pending && nobody_in => EndKind::Abandoned,
            Mode::General | Mode::Advanced | Mode::Unknown => return,
        };
        if !self.is_started() {
            return;
        }
        self.finish(kind, None, now, "");
        if let Some(end) = &mut self.end {
            end.last_answer = answer.cloned();
        }
    }
}
