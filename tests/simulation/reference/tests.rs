//! The reference says what the contract says, and notices a server that does otherwise.

use offhook::call::{
    CallId, Command, DeviceId, EndKind, Mode, Op, Outcome, Under, UserId, UserState,
};
use offhook::{Code, Error};

use super::decide::{Asked, Expected};
use super::follow::{Follower, Wrote};
use super::model::Reference;
use offhook::server::store::KeptVerdict;

fn asked(device: &str, op: &str, command: Command) -> Asked {
    Asked {
        user: UserId::trusted(device.trim_end_matches(|c: char| c.is_ascii_digit())),
        device: DeviceId::trusted(device),
        op: Op::trusted(op),
        call: CallId::trusted("c"),
        not_after: 0,
        command,
    }
}

fn invite(mode: Mode, invitees: &[&str]) -> Command {
    Command::Invite {
        invitees: invitees.iter().map(|user| UserId::trusted(*user)).collect(),
        timeout_s: 60,
        mode,
        extended_data: String::new(),
        not_received_check: false,
        push: None,
    }
}

fn accept() -> Command {
    Command::Accept {
        invitation: None,
        extended_data: String::new(),
    }
}

fn quit(under: &str) -> Command {
    Command::Quit {
        under: Under::Primary(Op::trusted(under)),
        extended_data: String::new(),
        push: None,
    }
}

fn join() -> Command {
    Command::Join {
        extended_data: String::new(),
    }
}

fn started(mode: Mode, invitees: &[&str]) -> Reference {
    let mut reference = Reference::default();
    let verdict = reference.decide(&asked("anna1", "i", invite(mode, invitees)), 1_000);
    assert!(matches!(verdict, Expected::Done(_)), "{verdict:?}");
    reference
}

fn codes(expected: Expected) -> Vec<(Code, Option<&'static str>)> {
    match expected {
        Expected::Done(outcome) => panic!("done: {outcome:?}"),
        Expected::Refused(any_of) => any_of.iter().map(|one| (one.code, one.reason)).collect(),
    }
}

fn end_of(reference: &Reference) -> Option<EndKind> {
    let talk = &reference.calls[&CallId::trusted("c")];
    talk.end.as_ref().map(|end| end.kind)
}

#[test]
fn a_general_call_ends_when_all_have_answered_and_a_second_answer_is_told_of_the_first() {
    let mut reference = started(Mode::General, &["bob"]);
    assert_eq!(
        reference.decide(&asked("bob1", "a", accept()), 2_000),
        Expected::Done(Outcome::Accepted)
    );
    assert_eq!(end_of(&reference), Some(EndKind::Completed));
    let second = reference.decide(&asked("bob2", "a2", accept()), 2_001);
    assert_eq!(codes(second), [(Code::WrongState, Some("answered"))]);
}

#[test]
fn an_answer_at_the_deadline_is_too_late() {
    let mut reference = started(Mode::Advanced, &["bob"]);
    let talk = reference.calls.values_mut().next().expect("a call");
    talk.pass_time(61_000);
    assert_eq!(
        talk.state_of(&UserId::trusted("bob")),
        Some(UserState::Timeout)
    );
    let late = reference.decide(&asked("bob1", "a", accept()), 61_000);
    assert_eq!(codes(late), [(Code::CallOver, None)]);
}

#[test]
fn a_quit_from_before_the_call_moved_is_superseded() {
    let mut reference = started(Mode::Advanced, &["bob"]);
    reference.decide(&asked("bob1", "a", accept()), 2_000);
    reference.decide(&asked("bob2", "j", join()), 3_000);
    let old = reference.decide(&asked("bob1", "q", quit("a")), 4_000);
    assert_eq!(codes(old), [(Code::WrongState, Some("superseded"))]);
    let new = reference.decide(&asked("bob2", "q2", quit("j")), 4_000);
    assert!(matches!(new, Expected::Done(_)));
}

#[test]
fn the_creators_quit_before_an_answer_cancels_the_call() {
    let mut reference = started(Mode::Advanced, &["bob"]);
    let done = reference.decide(&asked("anna1", "q", quit("i")), 2_000);
    assert!(matches!(done, Expected::Done(_)));
    assert_eq!(end_of(&reference), Some(EndKind::Cancelled));
    let talk = reference.calls.values().next().expect("a call");
    assert_eq!(
        talk.state_of(&UserId::trusted("bob")),
        Some(UserState::Cancelled)
    );
    assert_eq!(
        talk.state_of(&UserId::trusted("anna")),
        Some(UserState::Quit)
    );
}

#[test]
fn what_comes_after_its_time_is_expired_and_leaves_nothing() {
    let mut reference = Reference::default();
    let mut late = asked("anna1", "i", invite(Mode::General, &["bob"]));
    late.not_after = 500;
    assert_eq!(codes(reference.decide(&late, 501)), [(Code::Expired, None)]);
    assert!(reference.calls.is_empty());
}

#[test]
fn a_verdict_that_should_be_another_is_noticed() {
    let mut follower = Follower::default();
    let asked = asked("bob1", "a", accept());
    let mut verdict = KeptVerdict {
        number: 1,
        op: asked.op.clone(),
        call: asked.call.clone(),
        digest: [0; 32],
        result: Err(Error::new(Code::CallOver, "unknown", "no such call")),
    };
    let follow = |follower: &mut Follower, verdict: &KeptVerdict| {
        let asked = Some(Box::new(asked.clone()));
        follower.transaction(5, &[Wrote::Verdict { verdict, asked }]);
        follower.differences.clone()
    };
    assert!(follow(&mut follower, &verdict).is_empty());
    verdict.result = Err(Error::new(Code::NotMember, "member", "no member"));
    assert_eq!(follow(&mut follower, &verdict).len(), 1);
    verdict.result = Ok(Outcome::Accepted);
    assert_eq!(follow(&mut follower, &verdict).len(), 1);
}
