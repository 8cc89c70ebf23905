//! callCancel: whole, targeted, by whom, and what it leaves.

use offhook::Code;
use offhook::call::{EndKind, Mode, Outcome, UserState};

use crate::world::{
    World, accept, cancel, cancel_invitation, join, quit, reject, ring, user, users,
};

fn errors(outcome: Outcome) -> Vec<offhook::call::UserId> {
    match outcome {
        Outcome::Cancelled { error_invitees } => error_invitees,
        other => panic!("not a cancel: {other:?}"),
    }
}

#[test]
fn a_general_cancel_is_whole_whatever_the_list_says() {
    for list in [&[][..], &["bob"], &["zoe"]] {
        let mut world = World::ringing(Mode::General, &["bob", "cid"]);
        let outcome = world.must("ann2", cancel(list));
        assert_eq!(errors(outcome), vec![]);
        assert_eq!(world.state("ann"), UserState::Accepted);
        assert_eq!(world.state("bob"), UserState::Cancelled);
        assert_eq!(world.state("cid"), UserState::Cancelled);
        assert_eq!(world.ending(), Some(EndKind::Cancelled));
        let ending = world.call().ending.clone().expect("an ending");
        assert_eq!(
            (ending.by, ending.data),
            (Some(user("ann")), "sorry".to_owned())
        );
        assert_eq!(world.member("bob").data, "sorry");
    }
}

#[test]
fn a_whole_cancel_leaves_who_had_declined() {
    for mode in [Mode::General, Mode::Advanced] {
        let mut world = World::ringing(mode, &["bob", "cid"]);
        world.must("bob1", reject());
        world.must("ann1", cancel(&[]));
        assert_eq!(world.state("bob"), UserState::Rejected);
        assert_eq!(world.member("bob").data, "no");
        assert_eq!(world.state("cid"), UserState::Cancelled);
    }
}

#[test]
fn a_whole_cancel_of_an_unanswered_call_in_which_nobody_is_pending() {
    let mut world = World::ringing(Mode::Advanced, &["bob"]);
    world.must("bob1", reject());
    assert_eq!(world.ending(), None, "an advanced call goes on");
    world.must("ann1", cancel(&[]));
    assert_eq!(world.ending(), Some(EndKind::Cancelled));
    let mut world = World::ringing(Mode::General, &["bob"]);
    world.must("bob1", reject());
    world.refuses("ann1", cancel(&[]), Code::CallOver, "ended");
}

#[test]
fn an_answer_once_given_bars_the_whole_cancel_for_good() {
    let mut world = World::talking(&["bob"]);
    world.must("ann1", ring(&["cid"]));
    world.must("bob1", quit());
    world.refuses("ann1", cancel(&[]), Code::CancelAnswered, "answered");
    world.must("ann1", cancel(&["cid"]));
    assert_eq!(world.state("cid"), UserState::Cancelled);
    assert_eq!(world.ending(), None);
}

#[test]
fn a_join_from_outside_is_an_answer() {
    let mut world = World::ringing(Mode::Advanced, &["bob"]);
    world.must("zoe1", join());
    world.refuses("ann1", cancel(&[]), Code::CancelAnswered, "answered");
    world.must("ann1", cancel(&["bob"]));
    assert_eq!(
        world.ending(),
        None,
        "answered, so it is not cancelled whole"
    );
}

#[test]
fn a_targeted_cancel_takes_those_who_are_pending() {
    let mut world = World::ringing(Mode::Advanced, &["bob", "cid", "dee", "eve"]);
    world.must("bob1", accept());
    world.must("cid1", reject());
    let outcome = world.must("ann1", cancel(&["bob", "dee", "cid", "zoe", "dee"]));
    assert_eq!(errors(outcome), users(&["bob", "cid", "zoe"]));
    assert_eq!(world.state("dee"), UserState::Cancelled);
    assert_eq!(world.state("eve"), UserState::Inviting);
    assert_eq!(world.ending(), None);
}

#[test]
fn a_targeted_cancel_that_leaves_nobody_pending_is_whole() {
    let mut world = World::ringing(Mode::Advanced, &["bob", "cid", "dee"]);
    world.must("dee1", reject());
    world.must("ann1", cancel(&["bob"]));
    assert_eq!(world.ending(), None);
    let outcome = world.must("ann1", cancel(&["cid", "bob"]));
    assert_eq!(errors(outcome), users(&["bob"]));
    assert_eq!(world.ending(), Some(EndKind::Cancelled));
    assert_eq!(world.state("ann"), UserState::Accepted);
    assert_eq!(world.state("dee"), UserState::Rejected);
}

#[test]
fn a_targeted_cancel_that_cancels_nobody_fails_for_the_first_reason() {
    let mut world = World::ringing(Mode::Advanced, &["bob", "cid", "dee", "eve"]);
    world.must("bob1", accept());
    world.must("cid1", reject());
    world.must("ann1", cancel(&["dee"]));
    world.must("eve1", accept());
    world.must("eve1", quit());
    for (list, code) in [
        (&["bob"][..], Code::CancelAnswered),
        (&["cid"], Code::WrongState),
        (&["dee"], Code::CallOver),
        (&["eve"], Code::WrongState),
        (&["zoe"], Code::NotMember),
        (&["dee", "bob", "zoe"], Code::CallOver),
        (&["cid", "dee"], Code::WrongState),
        (&["zoe", "bob"], Code::NotMember),
    ] {
        assert_eq!(world.refused("ann1", cancel(list)).code, code, "{list:?}");
    }
    world.after(90_000);
    world.must("ann1", ring(&["zoe"]));
    world.after(90_000);
    world.refuses("ann1", cancel(&["zoe"]), Code::CallOver, "timeout");
}

#[test]
fn a_member_cancels_whom_they_invited_and_nobody_else() {
    let mut world = World::talking(&["bob", "cid"]);
    world.must("bob1", ring(&["dee", "eve"]));
    world.must("ann1", ring(&["fay"]));
    world.refuses("cid1", cancel(&["dee"]), Code::NotInviter, "inviter");
    world.refuses("bob1", cancel(&["fay"]), Code::NotInviter, "inviter");
    world.refuses("bob1", cancel(&[]), Code::NotInviter, "inviter");
    let outcome = world.must("bob2", cancel(&["fay", "dee"]));
    assert_eq!(errors(outcome), users(&["fay"]));
    world.must("ann1", cancel(&["eve"]));
    assert_eq!(world.state("eve"), UserState::Cancelled);
}

#[test]
fn who_invited_last_is_the_inviter() {
    let mut world = World::talking(&["bob"]);
    world.must("bob1", ring(&["dee"]));
    world.must("dee1", reject());
    world.must("ann1", ring(&["dee"]));
    world.refuses("bob1", cancel(&["dee"]), Code::NotInviter, "inviter");
    world.must("ann1", cancel(&["dee"]));
}

#[test]
fn an_inviter_who_left_may_still_take_back() {
    let mut world = World::talking(&["bob"]);
    world.must("bob1", ring(&["dee"]));
    world.must("bob1", quit());
    world.must("bob1", cancel(&["dee"]));
    assert_eq!(world.state("dee"), UserState::Cancelled);
    assert_eq!(world.ending(), None, "ann is in the call");
}

#[test]
fn taking_back_the_last_invitation_of_a_call_with_nobody_in_it_ends_it() {
    let mut world = World::talking(&["bob"]);
    world.must("ann1", ring(&["dee"]));
    world.must("bob1", quit());
    world.must("ann1", quit());
    assert_eq!(world.ending(), None, "dee is being rung");
    world.must("ann1", cancel(&["dee"]));
    assert_eq!(world.ending(), Some(EndKind::Abandoned));
    assert_eq!(
        world.call().ending.as_ref().and_then(|e| e.by.clone()),
        None
    );
}

#[test]
fn a_cancel_names_an_invitation() {
    let mut world = World::talking(&["bob"]);
    world.must("ann1", ring(&["dee"]));
    world.must("ann1", cancel_invitation("dee", 1));
    world.must("ann1", ring(&["dee"]));
    world.refuses(
        "ann1",
        cancel_invitation("dee", 1),
        Code::CallOver,
        "invitation",
    );
    assert_eq!(world.state("dee"), UserState::Inviting);
    world.must("ann1", cancel_invitation("dee", 2));
}

#[test]
fn a_cancel_at_the_deadline_is_too_late() {
    for mode in [Mode::General, Mode::Advanced] {
        let mut world = World::ringing(mode, &["bob"]);
        world.after(90_000);
        let error = world.refused("ann1", cancel(&["bob"]));
        match mode {
            Mode::General => assert_eq!(error.reason, "ended"),
            Mode::Advanced | Mode::Unknown => assert_eq!(error.reason, "timeout"),
        }
        assert_eq!(error.code, Code::CallOver);
    }
}
