//! What the commands about a call that is there make of it.

use offhook::Code;
use offhook::call::{EndKind, Millis, Mode, Outcome, Target, Under, UserId, UserState};

use super::decide::{Asked, Decided, Refusal, refused};
use super::model::{Person, Talk, is_pending};

impl Talk {
    /// Asks a user, anew if they have been asked before.
    pub(super) fn ask(
        &mut self,
        user: &UserId,
        asked: &Asked,
        (timeout_s, data): (u32, &str),
        check_ms: Millis,
        now: Millis,
    ) {
        let check = self.check;
        if self.person(user).is_none() {
            self.people.push(Person::new(user.clone()));
        }
        let Some(person) = self.person_mut(user) else {
            return;
        };
        person.inviter = Some(asked.user.clone());
        person.invitation += 1;
        person.deadline = now + Millis::from(timeout_s) * 1_000;
        person.check_at = check.then_some(now + check_ms);
        data.clone_into(&mut person.invite_data);
        person.state = UserState::Inviting;
        // Another invitation can be missed anew.
        person.seen = false;
    }

    /// Makes the device's user Accepted, with the device as the primary one.
    pub(super) fn come_in(&mut self, asked: &Asked, data: &str, now: Millis) {
        if self.person(&asked.user).is_none() {
            self.people.push(Person::new(asked.user.clone()));
        }
        let Some(me) = self.person_mut(&asked.user) else {
            return;
        };
        me.state = UserState::Accepted;
        me.stays += 1;
        data.clone_into(&mut me.data);
        me.accept_time = now;
        me.primary = Some((asked.device.clone(), asked.op.clone()));
    }

    pub(super) fn joined_at(&mut self, user: &UserId, now: Millis) {
        if let Some(me) = self.person_mut(user) {
            me.join_time = now;
        }
    }

    /// "This device becomes primary (6000283 if it is)."
    pub(super) fn move_to(&mut self, asked: &Asked) -> Decided<()> {
        let Some(me) = self.person_mut(&asked.user) else {
            return refused(Code::NotMember);
        };
        let primary = Some((asked.device.clone(), asked.op.clone()));
        let device = me.primary.as_ref().map(|(device, _)| device);
        if device == Some(&asked.device) {
            return refused(Code::AlreadyPrimary);
        }
        me.primary = primary;
        Ok(())
    }

    /// What every command but an answer, a join and a cancel needs: an advanced call that goes on,
    /// and oneself in it.
    pub(super) fn must_be_in(&self, asked: &Asked) -> Decided<()> {
        if self.mode != Mode::Advanced {
            return refused(Code::NeedsAdvanced);
        }
        let Some(me) = self.person(&asked.user) else {
            return refused(Code::NotMember);
        };
        let over = [UserState::Timeout, UserState::Cancelled].contains(&me.state);
        if !self.is_started() || over {
            return refused(Code::CallOver);
        }
        if !me.is_in() {
            return Err(Refusal::in_state(me.state).into());
        }
        Ok(())
    }

    /// "Quit and end name the participation and the primary device that they were made under."
    fn must_be_under(&self, asked: &Asked, under: &Under) -> Decided<()> {
        let primary = self.person(&asked.user).and_then(|me| me.primary.as_ref());
        match under {
            Under::Unknown => Ok(()),
            Under::Primary(op) if primary.is_some_and(|(_, made)| made == op) => Ok(()),
            Under::Primary(_) => Err(Refusal::wrong("superseded").into()),
        }
    }

    pub(super) fn answer(
        &mut self,
        asked: &Asked,
        invitation: Option<u32>,
        to: UserState,
        data: &str,
        now: Millis,
    ) -> Decided<()> {
        let Some(me) = self.person(&asked.user) else {
            return refused(Code::NotMember);
        };
        let meant = invitation.unwrap_or(me.invitation);
        let past = me.past(meant);
        // "Two answers to one invitation: the first the server processes wins; also when the first
        // answer was the last one outstanding in a general call and thereby ended it."
        let answered =
            past.filter(|past| [UserState::Accepted, UserState::Rejected].contains(&past.state));
        if let Some(end) = &self.end {
            let completed = end.kind == EndKind::Completed && meant == me.invitation;
            let ended_it = end.last_answer.as_ref() == Some(&asked.user);
            return match answered {
                Some(past) if completed && ended_it => Err(Refusal::answered(past).into()),
                // The end of the call comes first; but the contract's sentence of two answers knows
                // no exception either, where nothing but answers and deadlines ended the call.
                Some(past) if completed => {
                    Err(vec![Refusal::of(Code::CallOver), Refusal::answered(past)])
                }
                Some(_) | None => refused(Code::CallOver),
            };
        }
        if let Some(past) = answered {
            return Err(Refusal::answered(past).into());
        }
        if past.is_some() {
            // Who has come in by a join since is told either of the invitation or of their state.
            let mut either: Vec<Refusal> = Refusal::of(Code::CallOver).into();
            if me.state == UserState::Accepted || me.state == UserState::Quit {
                either.push(Refusal::in_state(me.state));
            }
            return Err(either);
        }
        if meant != me.invitation || meant == 0 {
            // An invitation that the server has no record of.
            let mut either: Vec<Refusal> = Refusal::of(Code::WrongState).into();
            either.push(Refusal::of(Code::CallOver));
            return Err(either);
        }
        if !me.is_pending() {
            return Err(Refusal::in_state(me.state).into());
        }
        let device = asked.device.clone();
        if to == UserState::Accepted {
            self.come_in(asked, data, now);
        }
        if let Some(me) = self.person_mut(&asked.user) {
            me.check_at = None;
            data.clone_into(&mut me.data);
            me.close(to, Some(device));
        }
        self.end_if_nobody(now, Some(&asked.user));
        Ok(())
    }

    pub(super) fn quit(
        &mut self,
        asked: &Asked,
        under: &Under,
        data: &str,
        now: Millis,
    ) -> Decided<Outcome> {
        self.must_be_in(asked)?;
        self.must_be_under(asked, under)?;
        let answered = self.is_answered();
        let create_time = self.created;
        let Some(me) = self.person_mut(&asked.user) else {
            return refused(Code::NotMember);
        };
        me.state = UserState::Quit;
        me.quit_time = now;
        data.clone_into(&mut me.data);
        let accept_time = me.accept_time;
        if asked.user == self.caller && !answered {
            self.cancel_whole(Some(asked.user.clone()), now, data);
        } else {
            self.end_if_nobody(now, None);
        }
        Ok(Outcome::Quit {
            create_time,
            accept_time,
            quit_time: now,
        })
    }

    pub(super) fn end(
        &mut self,
        asked: &Asked,
        under: &Under,
        data: &str,
        now: Millis,
    ) -> Decided<Outcome> {
        self.must_be_in(asked)?;
        self.must_be_under(asked, under)?;
        self.finish(EndKind::Ended, Some(asked.user.clone()), now, data);
        let accept_time = self.person(&asked.user).map_or(0, |me| me.accept_time);
        Ok(Outcome::Ended {
            create_time: self.created,
            accept_time,
            end_time: now,
        })
    }

    pub(super) fn cancel(
        &mut self,
        asked: &Asked,
        targets: &[Target],
        data: &str,
        now: Millis,
    ) -> Decided<Outcome> {
        if self.person(&asked.user).is_none() {
            return refused(Code::NotMember);
        }
        if self.mode == Mode::General || targets.is_empty() {
            if asked.user != self.caller {
                return refused(Code::NotInviter);
            }
            if self.is_answered() {
                return refused(Code::CancelAnswered);
            }
            if !self.is_started() {
                return refused(Code::CallOver);
            }
            self.cancel_whole(Some(asked.user.clone()), now, data);
            return Ok(Outcome::Cancelled {
                error_invitees: Vec::new(),
            });
        }
        self.cancel_some(asked, targets, data, now)
    }

    fn cancel_some(
        &mut self,
        asked: &Asked,
        targets: &[Target],
        data: &str,
        now: Millis,
    ) -> Decided<Outcome> {
        let mut first: Option<Vec<Refusal>> = None;
        let mut error_invitees = Vec::new();
        let mut cancelled = Vec::new();
        for target in targets {
            if error_invitees.contains(&target.user) || cancelled.contains(&target.user) {
                continue;
            }
            match self.may_cancel(asked, target) {
                Ok(()) => cancelled.push(target.user.clone()),
                Err(why) => {
                    error_invitees.push(target.user.clone());
                    first.get_or_insert(why);
                }
            }
        }
        if cancelled.is_empty() {
            return Err(first.unwrap_or_default());
        }
        for user in &cancelled {
            if let Some(person) = self.person_mut(user) {
                person.check_at = None;
                data.clone_into(&mut person.data);
                person.close(UserState::Cancelled, None);
            }
        }
        // "If a targeted cancel leaves nobody pending in a call not answered, the call is cancelled
        // whole."
        if !self.is_answered() && !self.people.iter().any(Person::is_pending) {
            self.cancel_whole(Some(asked.user.clone()), now, data);
        }
        self.end_if_nobody(now, None);
        Ok(Outcome::Cancelled { error_invitees })
    }

    fn may_cancel(&self, asked: &Asked, target: &Target) -> Decided<()> {
        let Some(person) = self.person(&target.user) else {
            return refused(Code::NotMember);
        };
        if asked.user != self.caller && person.inviter.as_ref() != Some(&asked.user) {
            return refused(Code::NotInviter);
        }
        let meant = target.invitation.unwrap_or(person.invitation);
        if meant != person.invitation && self.is_started() {
            // An invitation that is over, in whichever way, or that the server has no record of.
            return Err([Code::CallOver, Code::WrongState, Code::CancelAnswered]
                .map(Refusal::of)
                .to_vec());
        }
        let state = person.state;
        if state == UserState::Accepted {
            return refused(Code::CancelAnswered);
        }
        let over = [UserState::Timeout, UserState::Cancelled].contains(&state);
        if !self.is_started() || over {
            return refused(Code::CallOver);
        }
        if !is_pending(state) {
            return Err(Refusal::wrong("state").into());
        }
        Ok(())
    }
}
