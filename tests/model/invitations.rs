//! Who may be invited, how often and how many; answers, and answers that come second.

use offhook::Code;
use offhook::call::{CallId, Command, EndKind, Mode, Outcome, UserError, UserState, passing};

use crate::world::{
    World, accept, accept_number, cancel, device, end, invite, join, quit, reject, reject_number,
    ring, ring_for, user, users,
};

fn not_rung(outcome: Outcome) -> Vec<UserError> {
    match outcome {
        Outcome::Invited { errors, .. } | Outcome::CallingInvited { errors } => errors,
        other => panic!("not an invite: {other:?}"),
    }
}

fn strs(names: &[String]) -> Vec<&str> {
    names.iter().map(String::as_str).collect()
}

fn guests(count: usize) -> Vec<String> {
    guests_from(0, count)
}

fn guests_from(first: usize, count: usize) -> Vec<String> {
    (first..first + count)
        .map(|n| format!("guest {n} x"))
        .collect()
}

#[test]
fn an_invite_makes_the_creator_accepted_and_the_rest_inviting() {
    let mut world = World::new();
    let outcome = world.must("ann2", invite(Mode::Advanced, &["bob", "cid"]));
    assert_eq!(
        outcome,
        Outcome::Invited {
            timeout_s: 90,
            errors: vec![]
        }
    );
    let call = world.call();
    assert_eq!((call.revision, call.create_time), (1, world.now));
    assert_eq!((call.mode, call.timeout_s), (Mode::Advanced, 90));
    let ann = world.member("ann");
    assert_eq!((ann.state, ann.participation), (UserState::Accepted, 1));
    assert_eq!(ann.accept_time, call.create_time);
    assert_eq!(ann.primary_device(), Some(&device("ann2")));
    assert_eq!((ann.invitation, &ann.inviter), (0, &None));
    for name in ["bob", "cid"] {
        let member = world.member(name);
        assert_eq!((member.state, member.invitation), (UserState::Inviting, 1));
        assert_eq!(member.inviter, Some(user("ann")));
        assert_eq!(member.deadline, world.now + 90_000);
        assert_eq!(member.invite_data, "hello");
    }
}

#[test]
fn a_user_named_twice_counts_once() {
    let mut world = World::ringing(Mode::Advanced, &["bob", "bob", "cid", "bob"]);
    assert_eq!(world.call().members.len(), 3);
    assert_eq!(world.member("bob").invitation, 1);
    world.must("ann1", ring(&["dee", "dee"]));
    assert_eq!(world.member("dee").invitation, 1);
}

#[test]
fn nine_invitees_and_not_ten() {
    let mut world = World::new();
    let names = guests(10);
    world.refuses(
        "ann1",
        invite(Mode::General, &strs(&names)),
        Code::TooManyMembers,
        "invitees",
    );
    let mut doubled = strs(&names[..9]);
    doubled.extend(strs(&names[..9]));
    world.must("ann1", invite(Mode::Advanced, &doubled));
    assert_eq!(world.call().members.len(), 10);
    world.refuses("ann1", ring(&["bob"]), Code::TooManyMembers, "members");
}

#[test]
fn ten_invitees_are_too_many_for_calling_invite_too() {
    let mut world = World::ringing(Mode::Advanced, &["bob"]);
    let names = guests(10);
    world.rules.members_max = 100;
    world.refuses(
        "ann1",
        ring(&strs(&names)),
        Code::TooManyMembers,
        "invitees",
    );
    world.must("ann1", ring(&strs(&names[..9])));
}

#[test]
fn ten_members_at_a_time() {
    let names = guests(8);
    let mut world = World::ringing(Mode::Advanced, &strs(&names));
    world.refuses(
        "ann1",
        ring(&["bob", "cid"]),
        Code::TooManyMembers,
        "members",
    );
    assert!(world.call().member(&user("bob")).is_none(), "all or nobody");
    world.must("ann1", ring(&["bob"]));
    world.refuses("ann1", ring(&["cid"]), Code::TooManyMembers, "members");
    world.refuses("cid1", join(), Code::TooManyMembers, "members");
    world.must("bob1", join());
    world.must("bob1", quit());
    world.must("cid1", join());
    world.refuses("bob1", join(), Code::TooManyMembers, "members");
    // Those who are in already move as they like.
    world.must("cid2", join());
}

#[test]
fn fewer_members_where_the_server_says_so() {
    let mut world = World::new();
    world.rules.members_max = 3;
    world.refuses(
        "ann1",
        invite(Mode::General, &["bob", "cid", "dee"]),
        Code::TooManyMembers,
        "members",
    );
    world.must("ann1", invite(Mode::General, &["bob", "cid"]));
}

#[test]
fn twenty_users_in_the_life_of_a_call() {
    let names = guests(19);
    let mut world = World::ringing(Mode::Advanced, &strs(&names[..9]));
    world.must("ann1", cancel(&strs(&names[..8])));
    world.must("ann1", ring(&strs(&names[9..17])));
    world.must("ann1", cancel(&strs(&names[9..16])));
    world.must("ann1", ring(&strs(&names[17..])));
    assert_eq!(world.call().members.len(), 20);
    world.refuses("ann1", ring(&["bob"]), Code::TooManyMembers, "life");
    world.refuses("bob1", join(), Code::TooManyMembers, "life");
    // Who was in it before may come again.
    world.must("ann1", ring(&strs(&names[..1])));
    world.must("guest 0 x1", accept());
    assert_eq!(world.call().members.len(), 20);
}

#[test]
fn whoever_is_not_open_can_be_invited_again() {
    let mut world = World::ringing(Mode::Advanced, &["bob", "cid", "dee", "eve"]);
    world.must("bob1", reject());
    world.must("cid1", accept());
    world.must("cid1", quit());
    world.must("ann1", cancel(&["dee"]));
    world.after(90_000).tick();
    assert_eq!(world.state("eve"), UserState::Timeout);
    world.after(10);
    let outcome = world.must("ann1", ring_for(&["bob", "cid", "dee", "eve"], 20));
    assert_eq!(not_rung(outcome), vec![]);
    for name in ["bob", "cid", "dee", "eve"] {
        let member = world.member(name);
        assert_eq!((member.state, member.invitation), (UserState::Inviting, 2));
        assert_eq!(member.deadline, world.now + 20_000);
        assert_eq!(
            (member.timeout_s, member.invite_data.as_str()),
            (20, "come in")
        );
    }
    assert_eq!(world.member("cid").participation, 1);
    world.must("cid2", accept());
    assert_eq!(world.member("cid").participation, 2);
}

#[test]
fn those_already_open_come_back() {
    let mut world = World::talking(&["bob"]);
    world.must("ann1", ring(&["cid"]));
    world.receipt("cid");
    let before = world.call().clone();
    let outcome = world.must("bob1", ring(&["cid", "ann", "dee"]));
    let back: Vec<_> = not_rung(outcome)
        .into_iter()
        .map(|error| (error.user, error.code, error.state))
        .collect();
    assert_eq!(
        back,
        vec![
            (user("cid"), Code::WrongState, UserState::Received),
            (user("ann"), Code::WrongState, UserState::Accepted),
        ]
    );
    assert_eq!(
        world.member("cid"),
        before.member(&user("cid")).expect("cid")
    );
    world.refuses("bob1", ring(&["cid", "ann"]), Code::WrongState, "state");
}

#[test]
fn oneself_is_not_invited() {
    let mut world = World::talking(&["bob"]);
    world.refuses(
        "bob1",
        ring(&["cid", "bob"]),
        Code::InvalidParameter,
        "invitees",
    );
}

#[test]
fn the_call_s_own_time_and_data_unless_the_invite_says_otherwise() {
    let mut world = World::new();
    let Command::Invite { invitees, .. } = invite(Mode::Advanced, &["bob"]) else {
        unreachable!()
    };
    world.must(
        "ann1",
        Command::Invite {
            invitees,
            timeout_s: 33,
            mode: Mode::Advanced,
            extended_data: "first".to_owned(),
            not_received_check: false,
            push: None,
        },
    );
    world.after(500);
    world.must("ann1", ring(&["cid"]));
    let cid = world.member("cid");
    assert_eq!((cid.timeout_s, cid.invite_data.as_str()), (33, "first"));
    assert_eq!(cid.deadline, world.now + 33_000);
    world.must("ann1", ring_for(&["dee"], 7));
    assert_eq!(world.member("dee").deadline, world.now + 7_000);
    let call = world.call();
    assert_eq!((call.timeout_s, call.extended_data.as_str()), (33, "first"));
}

#[test]
fn in_a_call_no_other_is_made() {
    let mut world = World::new();
    world.facts.in_call = Some(CallId::trusted("other"));
    let error = world.refuses(
        "ann1",
        invite(Mode::General, &["bob"]),
        Code::WrongState,
        "inCall",
    );
    assert_eq!(error.detail.call_id, Some(CallId::trusted("other")));
    // Accepting and joining are allowed while in another call.
    let facts = world.facts.clone();
    for command in [accept(), join()] {
        let mut world = World::ringing(Mode::Advanced, &["bob"]);
        world.facts = facts.clone();
        world.must("bob1", command);
    }
}

#[test]
fn calling_the_one_who_is_ringing_you_is_refused() {
    let mut world = World::new();
    world.facts.glare = Some(CallId::trusted("theirs"));
    let error = world.refuses(
        "ann1",
        invite(Mode::General, &["bob"]),
        Code::WrongState,
        "glare",
    );
    assert_eq!(error.detail.call_id, Some(CallId::trusted("theirs")));
    assert!(
        world
            .ask("ann1", &invite(Mode::General, &["bob", "cid"]))
            .is_ok()
    );
    world.facts.in_call = Some(CallId::trusted("other"));
    world.refuses(
        "ann1",
        invite(Mode::General, &["bob"]),
        Code::WrongState,
        "inCall",
    );
    world.facts.in_call = None;
    world.rules.refuse_glare = false;
    world.must("ann1", invite(Mode::General, &["bob"]));
}

#[test]
fn a_register_of_users() {
    let mut world = World::new();
    world.facts.unknown_users = users(&["bob", "cid"]);
    world.refuses(
        "ann1",
        invite(Mode::Advanced, &["bob", "cid"]),
        Code::NoSuchUser,
        "invitees",
    );
    let outcome = world.must("ann1", invite(Mode::Advanced, &["bob", "dee", "cid"]));
    let errors: Vec<_> = not_rung(outcome)
        .into_iter()
        .map(|error| (error.user, error.code))
        .collect();
    assert_eq!(
        errors,
        vec![
            (user("bob"), Code::NoSuchUser),
            (user("cid"), Code::NoSuchUser)
        ]
    );
    assert_eq!(world.call().members.len(), 2);
    world.refuses("ann1", ring(&["bob"]), Code::NoSuchUser, "invitees");
    // One of these exists, and is in the call already.
    world.refuses("ann1", ring(&["bob", "dee"]), Code::WrongState, "state");
}

#[test]
fn joining_by_those_invited_only() {
    let mut world = World::ringing(Mode::Advanced, &["bob", "cid"]);
    world.must("bob1", reject());
    world.must("cid1", accept());
    world.rules.join_by_anyone = false;
    world.refuses("zoe1", join(), Code::NotMember, "member");
    world.must("bob1", join());
    world.rules.join_by_anyone = true;
    world.must("zoe1", join());
    let zoe = world.member("zoe");
    assert_eq!((zoe.state, zoe.participation), (UserState::Accepted, 1));
    assert_eq!((zoe.invitation, &zoe.inviter), (0, &None));
    assert_eq!((zoe.join_time, zoe.data.as_str()), (world.now, "me too"));
}

#[test]
fn two_answers_to_one_invitation() {
    for mode in [Mode::General, Mode::Advanced] {
        for (first, state) in [
            (accept(), UserState::Accepted),
            (reject(), UserState::Rejected),
        ] {
            let mut world = World::ringing(mode, &["bob"]);
            world.must("bob1", first);
            for second in [accept(), reject(), accept_number(1), reject_number(1)] {
                let error = world.refuses("bob2", second, Code::WrongState, "answered");
                assert_eq!(error.detail.state, Some(state));
                assert_eq!(error.detail.device_id, Some(device("bob1")));
            }
        }
    }
}

#[test]
fn a_second_answer_after_a_quit_or_a_move_names_the_first() {
    let mut world = World::talking(&["bob"]);
    world.must("bob3", join());
    let error = world.refuses("bob2", reject(), Code::WrongState, "answered");
    assert_eq!(error.detail.device_id, Some(device("bob1")));
    world.must("bob3", quit());
    let error = world.refuses("bob2", accept(), Code::WrongState, "answered");
    assert_eq!(error.detail.state, Some(UserState::Accepted));
}

#[test]
fn an_answer_to_an_older_invitation() {
    let mut world = World::ringing(Mode::Advanced, &["bob", "cid"]);
    world.must("cid1", accept());
    world.must("bob1", reject());
    world.must("cid1", ring(&["bob"]));
    // The first was rejected on another device; what becomes of the second changes nothing of it.
    for _ in 0..2 {
        let error = world.refuses("bob2", accept_number(1), Code::WrongState, "answered");
        assert_eq!(error.detail.device_id, Some(device("bob1")));
        world.after(90_000).tick();
    }
    assert_eq!(world.state("bob"), UserState::Timeout);
    world.refuses("bob2", accept_number(2), Code::CallOver, "timeout");
    world.must("cid1", ring(&["bob"]));
    world.refuses("bob2", accept_number(2), Code::CallOver, "invitation");
    world.refuses("bob2", reject_number(7), Code::CallOver, "invitation");
    world.must("bob2", accept_number(3));
    world.must("ann1", end());
    world.refuses("bob2", accept_number(1), Code::CallOver, "ended");
}

#[test]
fn rejecting_one_invitation_does_not_reject_the_next() {
    let mut world = World::talking(&["cid"]);
    world.must("ann1", ring(&["bob"]));
    world.must("ann1", cancel(&["bob"]));
    world.must("ann1", ring(&["bob"]));
    world.refuses("bob1", reject_number(1), Code::CallOver, "invitation");
    assert_eq!(world.state("bob"), UserState::Inviting);
}

#[test]
fn a_general_call_ends_as_soon_as_nobody_is_pending() {
    let mut world = World::ringing(Mode::General, &["bob", "cid", "dee"]);
    world.must("bob1", accept());
    world.must("cid1", reject());
    assert_eq!(world.ending(), None);
    world.after(90_000);
    let due = passing::due(world.call());
    assert_eq!(due, Some(world.now));
    world.tick();
    assert_eq!(world.ending(), Some(EndKind::Completed));
    assert_eq!(world.state("bob"), UserState::Accepted);
    assert_eq!(world.state("dee"), UserState::Timeout);
    assert_eq!(world.call().end_time(), world.now);
}

#[test]
fn an_advanced_call_goes_on_until_it_is_ended() {
    let mut world = World::ringing(Mode::Advanced, &["bob", "cid", "dee"]);
    world.must("bob1", reject());
    world.must("cid1", accept());
    world.after(90_000).tick();
    assert_eq!(world.ending(), None, "one invitee's timeout ends nothing");
    world.must("ann1", ring(&["dee"]));
    let before = world.call().clone();
    world.must("cid2", end());
    assert_eq!(world.ending(), Some(EndKind::Ended));
    assert_eq!(world.call().members, before.members, "states stay");
    let ending = world.call().ending.clone().expect("an ending");
    assert_eq!(ending.by, Some(user("cid")));
    assert_eq!((ending.time, ending.data.as_str()), (world.now, "over"));
}

#[test]
fn the_last_word_is_the_members_data() {
    let mut world = World::ringing(Mode::Advanced, &["bob"]);
    assert_eq!(world.member("bob").data, "");
    world.must("bob1", reject());
    assert_eq!(world.member("bob").data, "no");
    world.must("bob1", join());
    assert_eq!(world.member("bob").data, "me too");
    world.must("bob1", quit());
    assert_eq!(world.member("bob").data, "bye");
    world.must("ann1", ring(&["bob"]));
    assert_eq!(world.member("bob").data, "bye", "an invite is not his word");
    world.must("ann1", cancel(&["bob"]));
    assert_eq!(world.member("bob").data, "sorry");
}
