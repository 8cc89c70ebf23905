//! Deadlines, the not-received check, receipts, creators who vanish, calls that are left alone.

use offhook::Code;
use offhook::call::passing::{self, Doer};
use offhook::call::{EndKind, Mode, UserState};

use crate::world::{
    START, World, accept, cancel, device, end, invite, invite_checked, join, quit, reject, ring,
    ring_for, user,
};

#[test]
fn each_invitation_has_its_own_deadline() {
    let mut world = World::ringing(Mode::Advanced, &["bob", "cid"]);
    world.must("cid1", accept());
    world.after(50_000);
    world.must("cid1", ring_for(&["dee"], 10));
    world.must("ann1", ring(&["eve"]));
    assert_eq!(passing::due(world.call()), Some(START + 60_000));
    world.now = START + 60_000;
    assert!(world.tick());
    assert_eq!(world.state("dee"), UserState::Timeout);
    assert_eq!(world.state("bob"), UserState::Inviting);
    assert_eq!(passing::due(world.call()), Some(START + 90_000));
    world.now = START + 200_000;
    assert!(world.tick());
    assert_eq!(world.member("bob").state_time, START + 90_000);
    assert_eq!(world.member("eve").state_time, START + 140_000);
    assert_eq!(passing::due(world.call()), None);
    assert!(!world.tick(), "a deadline fires once");
}

#[test]
fn an_answer_before_the_deadline_and_one_at_it() {
    for mode in [Mode::General, Mode::Advanced] {
        for late_by in [-1, 0, 1, 3_600_000] {
            let mut world = World::ringing(mode, &["bob"]);
            world.after(90_000 + late_by);
            // No timer has run.
            if late_by < 0 {
                world.must("bob1", accept());
                continue;
            }
            world.refuses("bob1", accept(), Code::CallOver, "timeout");
            world.refuses("bob1", reject(), Code::CallOver, "timeout");
            assert_eq!(
                world.state("bob"),
                UserState::Inviting,
                "a refusal changes nothing"
            );
            world.tick();
            assert_eq!(world.state("bob"), UserState::Timeout);
            assert_eq!(world.member("bob").state_time, START + 90_000);
        }
    }
}

#[test]
fn a_command_takes_passed_deadlines_along() {
    let mut world = World::ringing(Mode::Advanced, &["bob"]);
    world.must("ann1", ring_for(&["cid"], 10));
    world.after(10_000);
    world.must("bob1", accept());
    assert_eq!(world.state("cid"), UserState::Timeout);
    assert_eq!(world.call().revision, 4, "invite, ring, timeout, accept");
    // And may invite again whom the timer has not reached yet.
    world.must("bob1", ring_for(&["cid"], 10));
    world.after(10_000);
    world.must("bob1", ring(&["cid"]));
    assert_eq!(world.member("cid").invitation, 3);
}

#[test]
fn a_join_after_the_deadline_is_a_join_from_outside() {
    let mut world = World::ringing(Mode::Advanced, &["bob"]);
    world.after(90_000);
    world.must("bob1", join());
    let bob = world.member("bob");
    assert_eq!(bob.closing(1).map(|c| c.state), Some(UserState::Timeout));
    assert_eq!(bob.state, UserState::Accepted);
}

#[test]
fn one_time_out_does_not_end_a_call_that_others_accepted() {
    let mut world = World::ringing(Mode::Advanced, &["bob", "cid"]);
    world.must("bob1", accept());
    world.after(90_000).tick();
    assert_eq!(world.state("cid"), UserState::Timeout);
    assert_eq!(world.ending(), None);
}

#[test]
fn not_received_after_five_seconds_or_what_is_set() {
    for seconds in [3, 4, 5] {
        let mut world = World::new();
        world.rules.not_received_after_ms = seconds * 1_000;
        world.must("ann1", invite_checked(Mode::General, &["bob", "cid"]));
        world.receipt("cid");
        assert_eq!(passing::due(world.call()), Some(START + seconds * 1_000));
        world.now = START + seconds * 1_000 - 1;
        assert!(!world.tick());
        world.after(1);
        assert!(world.tick());
        assert_eq!(world.state("bob"), UserState::NotYetReceived);
        assert_eq!(world.state("cid"), UserState::Received);
        assert_eq!(passing::due(world.call()), Some(START + 90_000));
        assert!(world.receipt("bob"), "reached in time after all");
        assert_eq!(world.state("bob"), UserState::Received);
    }
}

#[test]
fn no_check_where_none_was_asked_for() {
    let mut world = World::ringing(Mode::General, &["bob"]);
    world.after(60_000);
    assert!(!world.tick());
    assert_eq!(world.state("bob"), UserState::Inviting);
}

#[test]
fn later_invitees_are_checked_as_well() {
    let mut world = World::new();
    world.must("ann1", invite_checked(Mode::Advanced, &["bob"]));
    world.must("bob1", accept());
    world.after(20_000);
    world.must("bob1", ring(&["cid"]));
    world.after(5_000);
    assert!(world.tick());
    assert_eq!(world.state("cid"), UserState::NotYetReceived);
    world.must("cid1", reject());
    world.must("bob1", ring(&["cid"]));
    world.after(5_000).tick();
    assert_eq!(world.state("cid"), UserState::NotYetReceived);
    assert_eq!(world.member("cid").invitation, 2);
}

#[test]
fn an_old_client_stays_inviting() {
    let mut world = World::new();
    world.must("ann1", invite_checked(Mode::General, &["bob", "cid"]));
    world.after(6_000);
    let knows = |who: &offhook::call::UserId| who == &user("cid");
    let changed = passing::pass_time(world.call(), world.now, &knows);
    world.becomes(changed);
    assert_eq!(world.state("bob"), UserState::Inviting);
    assert_eq!(world.state("cid"), UserState::NotYetReceived);
    world.after(60_000);
    assert!(!world.tick(), "the check is made once");
    assert_eq!(passing::due(world.call()), Some(START + 90_000));
    assert!(world.receipt("bob"));
}

#[test]
fn a_check_that_comes_after_the_deadline_says_nothing() {
    let mut world = World::new();
    world.must("ann1", invite_checked(Mode::Advanced, &["bob"]));
    world.must("ann1", ring_for(&["cid"], 3));
    world.after(4_000).tick();
    assert_eq!(world.state("cid"), UserState::Timeout);
    assert_eq!(world.member("cid").state_time, START + 3_000);
    world.after(60_000).tick();
    assert_eq!(world.state("cid"), UserState::Timeout);
}

#[test]
fn a_receipt_names_the_invitation_and_comes_in_time() {
    let mut world = World::talking(&["bob"]);
    world.must("ann1", ring_for(&["cid"], 10));
    let receive = |world: &World, number| {
        passing::receive(world.call(), &user("cid"), number, world.now).is_some()
    };
    assert!(receive(&world, 1));
    assert!(!receive(&world, 0) && !receive(&world, 2));
    world.receipt("cid");
    assert_eq!(world.state("cid"), UserState::Received);
    assert!(!receive(&world, 1), "once is enough");
    world.must("cid1", reject());
    world.must("ann1", ring_for(&["cid"], 10));
    assert!(!receive(&world, 1), "of an invitation that is over");
    assert!(receive(&world, 2));
    world.after(10_000);
    assert!(!receive(&world, 2), "at the deadline it is too late");
    world.tick();
    world.must("ann1", ring(&["cid"]));
    world.must("ann1", end());
    assert!(!receive(&world, 3), "an ended call is frozen");
    assert_eq!(
        passing::receive(world.call(), &user("zoe"), 1, world.now),
        None
    );
    assert_eq!(
        passing::receive(world.call(), &user("bob"), 1, world.now),
        None
    );
}

#[test]
fn an_ended_call_is_frozen() {
    let mut world = World::new();
    world.must("ann1", invite_checked(Mode::Advanced, &["bob", "cid"]));
    world.must("cid1", accept());
    world.must("ann1", end());
    world.after(500_000);
    assert_eq!(passing::due(world.call()), None);
    assert!(!world.tick());
    assert_eq!(world.state("bob"), UserState::Inviting);
    assert_eq!(
        passing::creator_gone(world.call(), &Doer::Server, world.now),
        None
    );
    assert_eq!(passing::abandon(world.call(), world.now), None);
}

#[test]
fn a_creator_who_logs_out_cancels_an_unanswered_call() {
    for mode in [Mode::General, Mode::Advanced] {
        let mut world = World::ringing(mode, &["bob", "cid"]);
        world.must("cid1", reject());
        world.after(100);
        let (ann, ann1) = (user("ann"), device("ann1"));
        let doer = Doer::User {
            user: &ann,
            device: Some(&ann1),
        };
        let gone = passing::creator_gone(world.call(), &doer, world.now);
        assert!(world.becomes(gone));
        assert_eq!(world.ending(), Some(EndKind::Cancelled));
        assert_eq!(world.state("ann"), UserState::Accepted);
        assert_eq!(world.state("bob"), UserState::Cancelled);
        assert_eq!(world.state("cid"), UserState::Rejected);
        let ending = world.call().ending.clone().expect("an ending");
        assert_eq!((ending.by, ending.time), (Some(ann), world.now));
    }
}

#[test]
fn a_creator_unheard_of_cancels_for_the_server() {
    let mut world = World::ringing(Mode::General, &["bob"]);
    let gone = passing::creator_gone(world.call(), &Doer::Server, world.now);
    assert!(world.becomes(gone));
    assert_eq!(world.member("bob").changed_by, None);
    assert_eq!(
        world.call().ending.as_ref().and_then(|e| e.by.clone()),
        None
    );
}

#[test]
fn once_answered_a_creator_may_vanish() {
    let mut world = World::ringing(Mode::General, &["bob", "cid"]);
    world.must("bob1", accept());
    assert_eq!(
        passing::creator_gone(world.call(), &Doer::Server, world.now),
        None
    );
    let mut world = World::talking(&["bob"]);
    world.must("ann1", ring(&["cid"]));
    assert_eq!(
        passing::creator_gone(world.call(), &Doer::Server, world.now),
        None
    );
}

#[test]
fn a_creator_who_vanishes_after_the_deadline_cancels_nothing() {
    let mut world = World::ringing(Mode::General, &["bob"]);
    world.after(95_000);
    let gone = passing::creator_gone(world.call(), &Doer::Server, world.now);
    world.becomes(gone);
    assert_eq!(world.state("bob"), UserState::Timeout);
    assert_eq!(world.ending(), Some(EndKind::Completed));
    assert_eq!(world.call().end_time(), START + 90_000);
    let mut world = World::ringing(Mode::Advanced, &["bob"]);
    world.must("ann1", ring_for(&["cid"], 200));
    world.after(95_000);
    let gone = passing::creator_gone(world.call(), &Doer::Server, world.now);
    world.becomes(gone);
    assert_eq!(world.state("bob"), UserState::Timeout);
    assert_eq!(world.state("cid"), UserState::Cancelled);
    assert_eq!(world.ending(), Some(EndKind::Cancelled));
}

#[test]
fn a_creator_who_quits_unanswered_cancels_the_rest() {
    for acting in ["ann1", "ann2"] {
        let mut world = World::ringing(Mode::Advanced, &["bob", "cid"]);
        world.must("cid1", reject());
        world.must(acting, quit());
        assert_eq!(world.state("ann"), UserState::Quit);
        assert_eq!(world.state("bob"), UserState::Cancelled);
        assert_eq!(world.state("cid"), UserState::Rejected);
        assert_eq!(world.ending(), Some(EndKind::Cancelled));
        let ending = world.call().ending.clone().expect("an ending");
        assert_eq!(
            (ending.by, ending.data.as_str()),
            (Some(user("ann")), "bye")
        );
        assert_eq!(world.member("bob").data, "bye");
    }
}

#[test]
fn a_creator_who_quits_once_answered_leaves_the_call_running() {
    let mut world = World::talking(&["bob"]);
    world.must("ann1", ring(&["cid"]));
    world.must("ann1", quit());
    assert_eq!(world.ending(), None);
    assert_eq!(world.state("cid"), UserState::Inviting);
    world.must("bob1", ring(&["ann"]));
    assert_eq!(world.state("ann"), UserState::Inviting);
    assert_eq!(world.member("ann").invitation, 1);
    world.must("ann2", accept());
    assert_eq!(world.member("ann").participation, 2);
}

#[test]
fn a_call_with_nobody_in_it_and_nobody_pending_is_ended() {
    let mut world = World::talking(&["bob"]);
    world.must("ann1", ring(&["cid"]));
    world.must("ann1", quit());
    world.must("bob1", quit());
    assert_eq!(world.ending(), None, "cid may still come");
    let mut declined = world.clone();
    declined.must("cid1", reject());
    assert_eq!(declined.ending(), Some(EndKind::Abandoned));
    let mut late = world.clone();
    late.after(90_000).tick();
    assert_eq!(late.ending(), Some(EndKind::Abandoned));
    assert_eq!(late.call().end_time(), START + 90_000);
    assert_eq!(late.call().ending.as_ref().and_then(|e| e.by.clone()), None);
    world.must("cid1", accept());
    assert_eq!(world.ending(), None);
    world.must("cid1", quit());
    assert_eq!(world.ending(), Some(EndKind::Abandoned));
}

#[test]
fn a_call_that_all_have_been_gone_from_is_ended_as_it_stands() {
    let mut world = World::talking(&["bob"]);
    world.must("ann1", ring(&["cid"]));
    world.must("ann1", ring_for(&["dee"], 5));
    world.after(10_000);
    let left = passing::abandon(world.call(), world.now);
    assert!(world.becomes(left));
    assert_eq!(world.ending(), Some(EndKind::Abandoned));
    assert_eq!(world.state("bob"), UserState::Accepted);
    assert_eq!(world.state("cid"), UserState::Inviting);
    assert_eq!(
        world.state("dee"),
        UserState::Timeout,
        "before it was abandoned"
    );
    let general = World::ringing(Mode::General, &["bob"]);
    assert_eq!(passing::abandon(general.call(), general.now), None);
}

#[test]
fn a_clock_that_jumps_ahead_fires_each_moment_in_turn() {
    let mut world = World::new();
    world.must("ann1", invite_checked(Mode::Advanced, &["bob"]));
    world.must("ann1", ring_for(&["cid"], 20));
    world.must("zoe1", join());
    world.after(1_000);
    world.must("zoe1", quit());
    world.must("ann1", quit());
    let before = world.call().revision;
    world.after(10_000_000).tick();
    assert_eq!(world.call().revision, before + 3, "checks, cid, bob");
    assert_eq!(world.member("cid").state_time, START + 20_000);
    assert_eq!(world.call().end_time(), START + 90_000);
    assert_eq!(world.ending(), Some(EndKind::Abandoned));
}

#[test]
fn calling_again_right_after_cancelling() {
    let mut world = World::ringing(Mode::General, &["bob"]);
    world.must("ann1", cancel(&[]));
    let mut again = World::new();
    again.now = world.now;
    again.must("ann1", invite(Mode::General, &["bob"]));
    again.must("bob1", accept());
    assert_eq!(again.state("bob"), UserState::Accepted);
}
