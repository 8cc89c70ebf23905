//! What a command makes of a call, or why it is refused.

use offhook::Code;
use offhook::call::{
    CallId, Command, DeviceId, Millis, Mode, Op, Outcome, UserError, UserId, UserState,
};
use offhook::{Error, call::CallUser};

use super::model::{Past, Person, Reference, Talk};

/// Who asks for what.
#[derive(Clone, Debug)]
pub struct Asked {
    pub user: UserId,
    pub device: DeviceId,
    pub op: Op,
    pub call: CallId,
    /// After that the command means nothing; 0 is never.
    pub not_after: Millis,
    pub command: Command,
}

/// A verdict as it should be.
#[derive(Clone, Debug, PartialEq)]
pub enum Expected {
    /// Accepted, with this result.
    Done(Outcome),
    /// Refused; where the contract leaves room, for any of these.
    Refused(Vec<Refusal>),
}

/// A refusal as it should be. What is `None` is not said by the contract.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    pub code: Code,
    pub reason: Option<&'static str>,
    pub call: Option<CallId>,
    pub state: Option<UserState>,
    pub device: Option<Option<DeviceId>>,
}

impl Refusal {
    pub(super) fn of(code: Code) -> Self {
        Self {
            code,
            reason: None,
            call: None,
            state: None,
            device: None,
        }
    }

    /// 6000270 for that reason.
    pub(super) fn wrong(reason: &'static str) -> Self {
        Self {
            reason: Some(reason),
            ..Self::of(Code::WrongState)
        }
    }

    pub(super) fn in_state(state: UserState) -> Self {
        Self {
            state: Some(state),
            ..Self::wrong("state")
        }
    }

    fn blocked(reason: &'static str, call: &CallId) -> Self {
        Self {
            call: Some(call.clone()),
            ..Self::wrong(reason)
        }
    }

    pub(super) fn answered(past: &Past) -> Self {
        Self {
            state: Some(past.state),
            device: Some(past.device.clone()),
            ..Self::wrong("answered")
        }
    }

    pub fn is(&self, error: &Error) -> bool {
        let detail = &error.detail;
        self.code == error.code
            && self.reason.is_none_or(|reason| reason == error.reason)
            && (self.call.is_none() || self.call == detail.call_id)
            && (self.state.is_none() || self.state == detail.state)
            && self
                .device
                .as_ref()
                .is_none_or(|device| *device == detail.device_id)
    }
}

impl From<Refusal> for Vec<Refusal> {
    fn from(refusal: Refusal) -> Self {
        vec![refusal]
    }
}

pub(super) type Decided<T> = Result<T, Vec<Refusal>>;

pub(super) fn refused<T>(code: Code) -> Decided<T> {
    Err(Refusal::of(code).into())
}

impl Expected {
    /// Whether that is the verdict that should be.
    pub fn is(&self, told: &Result<Outcome, Error>) -> bool {
        match (self, told) {
            (Self::Done(expected), Ok(told)) => sorted(expected) == sorted(told),
            (Self::Refused(any_of), Err(error)) => any_of.iter().any(|one| one.is(error)),
            (Self::Done(_), Err(_)) | (Self::Refused(_), Ok(_)) => false,
        }
    }
}

/// The order of a list says nothing.
fn sorted(outcome: &Outcome) -> Outcome {
    let mut outcome = outcome.clone();
    match &mut outcome {
        Outcome::Joined { users, .. } => users.sort_by(by_user),
        Outcome::Cancelled { error_invitees } => error_invitees.sort(),
        Outcome::Invited { errors, .. } | Outcome::CallingInvited { errors } => {
            errors.sort_by(|one, other| one.user.cmp(&other.user));
        }
        Outcome::Accepted | Outcome::Rejected | Outcome::Quit { .. } | Outcome::Ended { .. } => {}
    }
    outcome
}

fn by_user(one: &CallUser, other: &CallUser) -> std::cmp::Ordering {
    one.user_id.cmp(&other.user_id)
}

impl Reference {
    /// Decides a command, and changes the call if it is accepted.
    pub fn decide(&mut self, asked: &Asked, now: Millis) -> Expected {
        let too_late = asked.not_after != 0 && now > asked.not_after;
        let before = self.calls.get(&asked.call).cloned();
        match self.try_to(asked, now) {
            Ok(_) if too_late => {
                match before {
                    Some(before) => self.calls.insert(asked.call.clone(), before),
                    None => self.calls.remove(&asked.call),
                };
                Expected::Refused(Refusal::of(Code::Expired).into())
            }
            Ok(outcome) => Expected::Done(outcome),
            // Which of two reasons is given for a command that has both is not said.
            Err(mut refusals) => {
                if too_late {
                    refusals.push(Refusal::of(Code::Expired));
                }
                Expected::Refused(refusals)
            }
        }
    }

    fn try_to(&mut self, asked: &Asked, now: Millis) -> Decided<Outcome> {
        self.check_form(asked)?;
        match &asked.command {
            Command::Invite { .. } => return self.invite(asked, now),
            Command::Join { extended_data } => return self.join(asked, extended_data, now),
            Command::CallingInvite { .. } => return self.inviting_more(asked, now),
            Command::Cancel { .. }
            | Command::Accept { .. }
            | Command::Reject { .. }
            | Command::Quit { .. }
            | Command::End { .. } => {}
        }
        let Some(talk) = self.calls.get_mut(&asked.call) else {
            return refused(Code::CallOver);
        };
        match &asked.command {
            Command::Cancel {
                invitees,
                extended_data,
                ..
            } => talk.cancel(asked, invitees, extended_data, now),
            Command::Accept {
                invitation,
                extended_data,
            } => {
                talk.answer(asked, *invitation, UserState::Accepted, extended_data, now)?;
                Ok(Outcome::Accepted)
            }
            Command::Reject {
                invitation,
                extended_data,
            } => {
                talk.answer(asked, *invitation, UserState::Rejected, extended_data, now)?;
                Ok(Outcome::Rejected)
            }
            Command::Quit {
                under,
                extended_data,
                ..
            } => talk.quit(asked, under, extended_data, now),
            Command::End {
                under,
                extended_data,
                ..
            } => talk.end(asked, under, extended_data, now),
            Command::Invite { .. } | Command::Join { .. } | Command::CallingInvite { .. } => {
                unreachable!("decided above")
            }
        }
    }

    /// "A parameter is malformed, missing, out of range, empty or too long." The device refuses
    /// those by itself; to be safe the server does as well.
    fn check_form(&self, asked: &Asked) -> Decided<()> {
        let (data, timeout_s, named): (&str, u32, Option<Vec<&UserId>>) = match &asked.command {
            Command::Invite {
                invitees,
                timeout_s,
                extended_data,
                ..
            } => (extended_data, *timeout_s, Some(invitees.iter().collect())),
            Command::CallingInvite {
                invitees,
                timeout_s,
                extended_data,
                ..
            } => (
                extended_data.as_deref().unwrap_or_default(),
                timeout_s.unwrap_or(90),
                Some(invitees.iter().collect()),
            ),
            Command::Cancel {
                invitees,
                extended_data,
                ..
            } => {
                let named: Vec<_> = invitees.iter().map(|target| &target.user).collect();
                (extended_data, 90, (!named.is_empty()).then_some(named))
            }
            Command::Accept { extended_data, .. }
            | Command::Reject { extended_data, .. }
            | Command::Join { extended_data }
            | Command::Quit { extended_data, .. }
            | Command::End { extended_data, .. } => (extended_data, 90, None),
        };
        let bad_list = named.is_some_and(|named| named.is_empty() || named.contains(&&asked.user));
        if data.len() > self.house.data_max || !(1..=600).contains(&timeout_s) || bad_list {
            return refused(Code::InvalidParameter);
        }
        Ok(())
    }

    /// "callInvite: whenever the user is not in a call."
    fn invite(&mut self, asked: &Asked, now: Millis) -> Decided<Outcome> {
        let Command::Invite {
            invitees,
            timeout_s,
            mode,
            extended_data,
            not_received_check,
            ..
        } = &asked.command
        else {
            unreachable!("an invite")
        };
        if self.calls.contains_key(&asked.call) {
            return refused(Code::CallExists);
        }
        let invitees = once(invitees);
        let started = || self.calls.values().filter(|talk| talk.is_started());
        let is_in = |talk: &&Talk| talk.state_of(&asked.user) == Some(UserState::Accepted);
        let in_call: Vec<_> = started().filter(is_in).collect();
        if !in_call.is_empty() {
            return Err(blocked_by("inCall", &in_call));
        }
        if let [invitee] = invitees.as_slice()
            && self.house.refuse_glare
        {
            let rings = |talk: &&Talk| {
                talk.person(&asked.user)
                    .is_some_and(|me| me.is_pending() && me.inviter.as_ref() == Some(invitee))
            };
            let glare: Vec<_> = started().filter(rings).collect();
            if !glare.is_empty() {
                return Err(blocked_by("glare", &glare));
            }
        }
        if invitees.len() > 9 || invitees.len() + 1 > self.house.members_max {
            return refused(Code::TooManyMembers);
        }
        let mut creator = Person::new(asked.user.clone());
        creator.state = UserState::Accepted;
        creator.stays = 1;
        creator.accept_time = now;
        creator.primary = Some((asked.device.clone(), asked.op.clone()));
        let mut talk = Talk {
            id: asked.call.clone(),
            mode: *mode,
            caller: asked.user.clone(),
            created: now,
            timeout_s: *timeout_s,
            data: extended_data.clone(),
            check: *not_received_check,
            end: None,
            people: vec![creator],
        };
        let check_ms = self.house.check_ms;
        for user in invitees {
            talk.ask(&user, asked, (*timeout_s, extended_data), check_ms, now);
        }
        self.calls.insert(asked.call.clone(), talk);
        Ok(Outcome::Invited {
            timeout_s: *timeout_s,
            errors: Vec::new(),
        })
    }

    /// "callingInvite: any user not open in the call, so also one who rejected, timed out, was
    /// cancelled or quit."
    fn inviting_more(&mut self, asked: &Asked, now: Millis) -> Decided<Outcome> {
        let Command::CallingInvite {
            invitees,
            timeout_s,
            extended_data,
            ..
        } = &asked.command
        else {
            unreachable!("a callingInvite")
        };
        let house = self.house.clone();
        let Some(talk) = self.calls.get_mut(&asked.call) else {
            return refused(Code::CallOver);
        };
        talk.must_be_in(asked)?;
        let mut errors = Vec::new();
        let mut fresh = Vec::new();
        for user in once(invitees) {
            match talk.person(&user).filter(|person| person.is_open()) {
                Some(there) => errors.push(UserError {
                    user,
                    code: Code::WrongState,
                    state: there.state,
                    data: there.data.clone(),
                }),
                None => fresh.push(user),
            }
        }
        if fresh.is_empty() {
            return Err(Refusal::of(Code::WrongState).into());
        }
        let here = talk.people.iter().filter(|person| person.is_open()).count();
        let strangers = fresh.iter().filter(|user| talk.person(user).is_none());
        let ever = talk.people.len() + strangers.count();
        let too_many = once(invitees).len() > 9;
        if too_many || here + fresh.len() > house.members_max || ever > house.users_max {
            return refused(Code::TooManyMembers);
        }
        let timeout_s = timeout_s.unwrap_or(talk.timeout_s);
        let data = extended_data.clone().unwrap_or_else(|| talk.data.clone());
        for user in fresh {
            talk.ask(&user, asked, (timeout_s, &data), house.check_ms, now);
        }
        Ok(Outcome::CallingInvited { errors })
    }

    /// "callJoin skips the member, timed-out and cancelled tests."
    fn join(&mut self, asked: &Asked, data: &str, now: Millis) -> Decided<Outcome> {
        let house = self.house.clone();
        let opened = self.calls.values();
        let open_calls = opened.filter(|talk| talk.is_open_to(&asked.user)).count();
        let Some(talk) = self.calls.get_mut(&asked.call) else {
            return refused(Code::CallOver);
        };
        if talk.mode != Mode::Advanced {
            return refused(Code::NeedsAdvanced);
        }
        if talk.person(&asked.user).is_none() && !house.join_by_anyone {
            return refused(Code::NotMember);
        }
        if !talk.is_started() {
            return refused(Code::CallOver);
        }
        let here = talk.people.iter().filter(|person| person.is_open()).count();
        let ever = talk.people.len();
        let mut join_time = now;
        match talk.state_of(&asked.user) {
            Some(UserState::Accepted) => {
                talk.move_to(asked)?;
                join_time = now;
            }
            Some(state) if super::model::is_pending(state) => {
                talk.answer(asked, None, UserState::Accepted, data, now)?;
                talk.joined_at(&asked.user, now);
            }
            Some(UserState::Unknown) => return Err(Refusal::wrong("state").into()),
            known => {
                if here + 1 > house.members_max
                    || (known.is_none() && ever + 1 > house.users_max)
                    || open_calls >= 100
                {
                    return refused(Code::TooManyMembers);
                }
                talk.come_in(asked, data, now);
                talk.joined_at(&asked.user, now);
            }
        }
        Ok(Outcome::Joined {
            extended_data: talk.data.clone(),
            create_time: talk.created,
            join_time,
            users: talk.users(),
        })
    }
}

/// "A user named twice counts once."
fn once(users: &[UserId]) -> Vec<UserId> {
    let mut seen: Vec<UserId> = Vec::new();
    for user in users {
        if !seen.contains(user) {
            seen.push(user.clone());
        }
    }
    seen
}

fn blocked_by(reason: &'static str, calls: &[&Talk]) -> Vec<Refusal> {
    calls
        .iter()
        .map(|talk| Refusal::blocked(reason, &talk.id))
        .collect()
}
