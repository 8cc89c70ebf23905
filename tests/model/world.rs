//! One call, a clock and short ways to say what somebody does.
//!
//! A device is named after its user and a digit: `bob2` is the second device of `bob`.

use offhook::call::{
    Actor, Call, CallId, Change, Command, DeviceId, EndKind, Facts, Member, Millis, Mode, Op,
    Outcome, Rules, Target, Under, UserId, UserState, apply, passing,
};
use offhook::{Code, Error};

/// When every test's first call is made.
pub const START: Millis = 1_000_000;
/// The ring of a call that does not say otherwise, in milliseconds.
pub const RING: Millis = 90_000;

pub fn user(name: &str) -> UserId {
    UserId::trusted(name)
}

pub fn device(name: &str) -> DeviceId {
    DeviceId::trusted(name)
}

pub fn op(name: &str) -> Op {
    Op::trusted(name)
}

/// The user of a device.
pub fn owner(device: &str) -> UserId {
    user(device.trim_end_matches(|c: char| c.is_ascii_digit()))
}

pub fn users(names: &[&str]) -> Vec<UserId> {
    names.iter().map(|name| user(name)).collect()
}

pub fn invite(mode: Mode, invitees: &[&str]) -> Command {
    Command::Invite {
        invitees: users(invitees),
        timeout_s: 90,
        mode,
        extended_data: "hello".to_owned(),
        not_received_check: false,
        push: None,
    }
}

/// An invite that asks for the not-received check.
pub fn invite_checked(mode: Mode, invitees: &[&str]) -> Command {
    match invite(mode, invitees) {
        Command::Invite {
            invitees,
            timeout_s,
            mode,
            extended_data,
            push,
            ..
        } => Command::Invite {
            invitees,
            timeout_s,
            mode,
            extended_data,
            not_received_check: true,
            push,
        },
        other => other,
    }
}

/// callingInvite.
pub fn ring(invitees: &[&str]) -> Command {
    Command::CallingInvite {
        invitees: users(invitees),
        timeout_s: None,
        extended_data: None,
        push: None,
    }
}

/// callingInvite with a time of its own.
pub fn ring_for(invitees: &[&str], timeout_s: u32) -> Command {
    Command::CallingInvite {
        invitees: users(invitees),
        timeout_s: Some(timeout_s),
        extended_data: Some("come in".to_owned()),
        push: None,
    }
}

pub fn cancel(invitees: &[&str]) -> Command {
    Command::Cancel {
        invitees: invitees
            .iter()
            .map(|name| Target {
                user: user(name),
                invitation: None,
            })
            .collect(),
        extended_data: "sorry".to_owned(),
        push: None,
    }
}

pub fn cancel_invitation(invitee: &str, number: u32) -> Command {
    Command::Cancel {
        invitees: vec![Target {
            user: user(invitee),
            invitation: Some(number),
        }],
        extended_data: "sorry".to_owned(),
        push: None,
    }
}

pub fn accept() -> Command {
    Command::Accept {
        invitation: None,
        extended_data: "yes".to_owned(),
    }
}

pub fn accept_number(number: u32) -> Command {
    Command::Accept {
        invitation: Some(number),
        extended_data: "yes".to_owned(),
    }
}

pub fn reject() -> Command {
    Command::Reject {
        invitation: None,
        extended_data: "no".to_owned(),
    }
}

pub fn reject_number(number: u32) -> Command {
    Command::Reject {
        invitation: Some(number),
        extended_data: "no".to_owned(),
    }
}

pub fn join() -> Command {
    Command::Join {
        extended_data: "me too".to_owned(),
    }
}

pub fn quit() -> Command {
    Command::Quit {
        under: Under::Unknown,
        extended_data: "bye".to_owned(),
        push: None,
    }
}

pub fn quit_under(made_under: Op) -> Command {
    Command::Quit {
        under: Under::Primary(made_under),
        extended_data: "bye".to_owned(),
        push: None,
    }
}

pub fn end() -> Command {
    Command::End {
        under: Under::Unknown,
        extended_data: "over".to_owned(),
        push: None,
    }
}

pub fn end_under(made_under: Op) -> Command {
    Command::End {
        under: Under::Primary(made_under),
        extended_data: "over".to_owned(),
        push: None,
    }
}

/// A call, as the server holds it, and the time.
#[derive(Clone)]
pub struct World {
    pub call: Option<Call>,
    pub now: Millis,
    pub rules: Rules,
    pub facts: Facts,
    ops: u32,
}

impl World {
    pub fn new() -> Self {
        Self {
            call: None,
            now: START,
            rules: Rules::default(),
            facts: Facts::default(),
            ops: 0,
        }
    }

    /// `ann1` calls; nobody has answered.
    pub fn ringing(mode: Mode, invitees: &[&str]) -> Self {
        let mut world = Self::new();
        world.must("ann1", invite(mode, invitees));
        world
    }

    /// `ann1` calls, and everybody named accepts on their first device. Advanced, so that it goes
    /// on.
    pub fn talking(members: &[&str]) -> Self {
        let mut world = Self::ringing(Mode::Advanced, members);
        for name in members {
            world.must(&format!("{name}1"), accept());
        }
        world
    }

    fn actor(&mut self, acting: &str) -> Actor {
        self.ops += 1;
        Actor {
            user: owner(acting),
            device: device(acting),
            op: op(&format!("op{}", self.ops)),
            call: CallId::trusted("call"),
        }
    }

    /// What would come of it, without its happening.
    pub fn ask(&mut self, acting: &str, command: &Command) -> Result<Change, Error> {
        let actor = self.actor(acting);
        apply(
            self.call.as_ref(),
            &actor,
            command,
            &self.facts,
            &self.rules,
            self.now,
        )
    }

    /// Does it; a refusal leaves the call as it was.
    pub fn act(&mut self, acting: &str, command: Command) -> Result<Outcome, Error> {
        let change = self.ask(acting, &command)?;
        self.call = Some(change.call);
        Ok(change.outcome)
    }

    pub fn must(&mut self, acting: &str, command: Command) -> Outcome {
        let what = format!("{acting} {}", command.kind().name());
        self.act(acting, command)
            .unwrap_or_else(|error| panic!("{what}: {error}"))
    }

    pub fn refused(&mut self, acting: &str, command: Command) -> Error {
        let what = format!("{acting} {}", command.kind().name());
        match self.ask(acting, &command) {
            Ok(change) => panic!("{what} was accepted: {:?}", change.outcome),
            Err(error) => error,
        }
    }

    /// Refused with that code and reason.
    #[track_caller]
    pub fn refuses(&mut self, acting: &str, command: Command, code: Code, reason: &str) -> Error {
        let error = self.refused(acting, command);
        assert_eq!((error.code, error.reason.as_str()), (code, reason));
        error
    }

    pub fn call(&self) -> &Call {
        self.call.as_ref().expect("there is a call")
    }

    pub fn member(&self, name: &str) -> &Member {
        self.call()
            .member(&user(name))
            .unwrap_or_else(|| panic!("{name} is in no such call"))
    }

    pub fn state(&self, name: &str) -> UserState {
        self.member(name).state
    }

    pub fn ending(&self) -> Option<EndKind> {
        self.call().ending.as_ref().map(|ending| ending.kind)
    }

    /// The command under which the user's primary device became that.
    pub fn primary_op(&self, name: &str) -> Op {
        self.member(name)
            .own
            .as_ref()
            .and_then(|own| own.primary_op.clone())
            .unwrap_or_else(|| panic!("{name} has no primary device"))
    }

    pub fn after(&mut self, ms: Millis) -> &mut Self {
        self.now += ms;
        self
    }

    /// Takes over what a change without a command made; says whether it made anything.
    pub fn becomes(&mut self, changed: Option<Call>) -> bool {
        let any = changed.is_some();
        if any {
            self.call = changed;
        }
        any
    }

    /// Fires what is due, for devices that know every state.
    pub fn tick(&mut self) -> bool {
        let changed = passing::pass_time(self.call(), self.now, &|_| true);
        self.becomes(changed)
    }

    pub fn receipt(&mut self, name: &str) -> bool {
        let number = self.member(name).invitation;
        let changed = passing::receive(self.call(), &user(name), number, self.now);
        self.becomes(changed)
    }
}
