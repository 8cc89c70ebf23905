//! A call as the contract has it. Nothing here is shared with the code under test but the words
//! (ids, states, codes).

use std::collections::BTreeMap;

use offhook::call::{
    Call, CallId, CallState, CallUser, DeviceId, EndKind, Millis, Mode, Op, UserId, UserState,
};

/// How many closed invitations a record has to show; the account itself keeps them all.
const CLOSINGS_SHOWN: usize = 8;

/// What the server was set to.
#[derive(Clone, Debug)]
pub struct House {
    /// Most members at a time.
    pub members_max: usize,
    /// Most different users in the life of a call.
    pub users_max: usize,
    /// Most bytes of extendedData.
    pub data_max: usize,
    /// After how long unreceived an invitation is NotYetReceived.
    pub check_ms: Millis,
    /// Whether anyone may join.
    pub join_by_anyone: bool,
    /// Whether glare is refused.
    pub refuse_glare: bool,
    /// After how long a creator without a connected device loses an unanswered call.
    pub offline_ms: Millis,
    /// After how long an advanced call is ended whose people have all gone.
    pub abandoned_ms: Millis,
}

impl Default for House {
    fn default() -> Self {
        Self {
            members_max: 10,
            users_max: 20,
            data_max: 2048,
            check_ms: 5_000,
            join_by_anyone: true,
            refuse_glare: true,
            offline_ms: 35_000,
            abandoned_ms: 7_200_000,
        }
    }
}

/// All calls.
#[derive(Clone, Debug, Default)]
pub struct Reference {
    pub house: House,
    pub calls: BTreeMap<CallId, Talk>,
}

/// A call.
#[derive(Clone, Debug, PartialEq)]
pub struct Talk {
    pub id: CallId,
    pub mode: Mode,
    pub caller: UserId,
    pub created: Millis,
    pub timeout_s: u32,
    pub data: String,
    pub check: bool,
    pub end: Option<End>,
    /// The creator first, then in the order in which they came.
    pub people: Vec<Person>,
}

/// How it ended.
#[derive(Clone, Debug, PartialEq)]
pub struct End {
    pub kind: EndKind,
    pub at: Millis,
    pub by: Option<UserId>,
    pub data: String,
    /// Whose answer it was that left nobody pending.
    pub last_answer: Option<UserId>,
}

/// A user in a call.
#[derive(Clone, Debug, PartialEq)]
pub struct Person {
    pub user: UserId,
    pub inviter: Option<UserId>,
    pub invitation: u32,
    pub deadline: Millis,
    pub check_at: Option<Millis>,
    pub invite_data: String,
    pub state: UserState,
    pub data: String,
    /// How often they came in.
    pub stays: u32,
    pub accept_time: Millis,
    pub join_time: Millis,
    pub quit_time: Millis,
    /// The device that has the call, and the command that gave it to it.
    pub primary: Option<(DeviceId, Op)>,
    /// Invitations that are over.
    pub past: Vec<Past>,
    pub seen: bool,
}

/// An invitation that is over.
#[derive(Clone, Debug, PartialEq)]
pub struct Past {
    pub invitation: u32,
    pub state: UserState,
    pub device: Option<DeviceId>,
}

pub fn is_pending(state: UserState) -> bool {
    [
        UserState::Inviting,
        UserState::NotYetReceived,
        UserState::Received,
    ]
    .contains(&state)
}

impl Person {
    pub fn new(user: UserId) -> Self {
        Self {
            user,
            inviter: None,
            invitation: 0,
            deadline: 0,
            check_at: None,
            invite_data: String::new(),
            state: UserState::Unknown,
            data: String::new(),
            stays: 0,
            accept_time: 0,
            join_time: 0,
            quit_time: 0,
            primary: None,
            past: Vec::new(),
            seen: false,
        }
    }

    pub fn is_pending(&self) -> bool {
        is_pending(self.state)
    }

    pub fn is_in(&self) -> bool {
        self.state == UserState::Accepted
    }

    pub fn is_open(&self) -> bool {
        self.is_pending() || self.is_in()
    }

    pub fn past(&self, invitation: u32) -> Option<&Past> {
        self.past.iter().find(|past| past.invitation == invitation)
    }

    /// The invitation that was pending is over.
    pub fn close(&mut self, state: UserState, device: Option<DeviceId>) {
        self.state = state;
        self.past.push(Past {
            invitation: self.invitation,
            state,
            device,
        });
    }
}

impl Talk {
    pub fn is_started(&self) -> bool {
        self.end.is_none()
    }

    pub fn person(&self, user: &UserId) -> Option<&Person> {
        self.people.iter().find(|person| &person.user == user)
    }

    pub fn person_mut(&mut self, user: &UserId) -> Option<&mut Person> {
        self.people.iter_mut().find(|person| &person.user == user)
    }

    pub fn state_of(&self, user: &UserId) -> Option<UserState> {
        self.person(user).map(|person| person.state)
    }

    /// Somebody besides the creator has ever been in it.
    pub fn is_answered(&self) -> bool {
        self.people
            .iter()
            .any(|person| person.user != self.caller && person.stays > 0)
    }

    pub fn is_open_to(&self, user: &UserId) -> bool {
        self.is_started() && self.person(user).is_some_and(Person::is_open)
    }

    /// Invited, the invitation over, and answered on no device.
    pub fn is_missed_by(&self, user: &UserId) -> bool {
        self.person(user).is_some_and(|person| {
            let unanswered = [UserState::Timeout, UserState::Cancelled].contains(&person.state);
            let left_pending = person.is_pending() && !self.is_started();
            person.invitation > 0 && (unanswered || left_pending)
        })
    }

    pub fn users(&self) -> Vec<CallUser> {
        let shown = |person: &Person| CallUser {
            user_id: person.user.clone(),
            state: person.state,
            extended_data: person.data.clone(),
        };
        self.people.iter().map(shown).collect()
    }

    /// Takes the server's word for it, where the account has no other: after a difference was
    /// told, and for what was there before the account began.
    pub fn adopt(call: &Call) -> Self {
        let person = |member: &offhook::call::Member| {
            let own = member.own.clone().unwrap_or_default();
            let past = own.closings.into_iter().map(|closing| Past {
                invitation: closing.invitation,
                state: closing.state,
                device: closing.device,
            });
            Person {
                user: member.user.clone(),
                inviter: member.inviter.clone(),
                invitation: member.invitation,
                deadline: member.deadline,
                check_at: (member.check_at > 0).then_some(member.check_at),
                invite_data: member.invite_data.clone(),
                state: member.state,
                data: member.data.clone(),
                stays: member.participation,
                accept_time: member.accept_time,
                join_time: member.join_time,
                quit_time: member.quit_time,
                primary: own.primary_device.zip(own.primary_op),
                past: past.collect(),
                seen: own.seen,
            }
        };
        let end = call.ending.as_ref().map(|ending| End {
            kind: ending.kind,
            at: ending.time,
            by: ending.by.clone(),
            data: ending.data.clone(),
            last_answer: None,
        });
        Self {
            id: call.id.clone(),
            mode: call.mode,
            caller: call.caller.clone(),
            created: call.create_time,
            timeout_s: call.timeout_s,
            data: call.extended_data.clone(),
            check: call.not_received_check,
            end,
            people: call.members.iter().map(person).collect(),
        }
    }

    /// Where the server's record says something else. Empty when it says the same.
    pub fn differences(&self, call: &Call) -> Vec<String> {
        let mut found = Differences::default();
        found.note("id", &self.id, &call.id);
        found.note("mode", &self.mode, &call.mode);
        found.note("caller", &self.caller, &call.caller);
        found.note("createTime", &self.created, &call.create_time);
        found.note("timeout", &self.timeout_s, &call.timeout_s);
        found.note("extendedData", &self.data, &call.extended_data);
        let state = match self.end {
            None => CallState::Started,
            Some(_) => CallState::Ended,
        };
        found.note("state", &state, &call.state);
        let end = |end: &End| (end.kind, end.at, end.by.clone(), end.data.clone());
        let ending = call.ending.as_ref();
        let ending = ending.map(|told| (told.kind, told.time, told.by.clone(), told.data.clone()));
        found.note("end", &self.end.as_ref().map(end), &ending);
        let names: Vec<_> = self.people.iter().map(|person| &person.user).collect();
        let told: Vec<_> = call.members.iter().map(|member| &member.user).collect();
        found.note("members", &names, &told);
        for person in &self.people {
            if let Some(member) = call.member(&person.user) {
                person.differences(self.is_started(), member, &mut found);
            }
        }
        found.0
    }
}

#[derive(Default)]
struct Differences(Vec<String>);

impl Differences {
    fn note<T: PartialEq + std::fmt::Debug>(&mut self, what: &str, expected: &T, told: &T) {
        if expected != told {
            self.0
                .push(format!("{what} is {told:?}, should be {expected:?}"));
        }
    }
}

impl Person {
    fn differences(&self, started: bool, member: &offhook::call::Member, found: &mut Differences) {
        let who = &self.user;
        let mut note = |what: &str, expected: String, told: String| {
            found.note(&format!("{who}'s {what}"), &expected, &told);
        };
        let text = |value: &dyn std::fmt::Debug| format!("{value:?}");
        note("state", text(&self.state), text(&member.state));
        note("inviter", text(&self.inviter), text(&member.inviter));
        note(
            "invitation",
            text(&self.invitation),
            text(&member.invitation),
        );
        note("deadline", text(&self.deadline), text(&member.deadline));
        note(
            "invite data",
            text(&self.invite_data),
            text(&member.invite_data),
        );
        note("data", text(&self.data), text(&member.data));
        note(
            "participation",
            text(&self.stays),
            text(&member.participation),
        );
        note(
            "acceptTime",
            text(&self.accept_time),
            text(&member.accept_time),
        );
        note("joinTime", text(&self.join_time), text(&member.join_time));
        note("quitTime", text(&self.quit_time), text(&member.quit_time));
        if started {
            let check_at = (member.check_at > 0).then_some(member.check_at);
            note("check", text(&self.check_at), text(&check_at));
        }
        let Some(own) = &member.own else { return };
        let told = own.primary_device.clone().zip(own.primary_op.clone());
        note("primary device", text(&self.primary), text(&told));
        note("seen", text(&self.seen), text(&own.seen));
        let told = own.closings.iter();
        let told: Vec<_> = told
            .map(|one| (one.invitation, one.state, one.device.clone()))
            .collect();
        let first = self.past.len().saturating_sub(CLOSINGS_SHOWN);
        let kept: Vec<_> = self.past[first..]
            .iter()
            .map(|one| (one.invitation, one.state, one.device.clone()))
            .collect();
        note("closed invitations", text(&kept), text(&told));
    }
}
