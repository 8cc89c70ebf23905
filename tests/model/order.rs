//! The order of refusals: wherever two apply, the first of this list is given.
//!
//! malformed · unknown call · advanced only · not a member · not the inviter · cancel of an
//! answered call · ended, timed out or cancelled · other state · limits

use offhook::Code;
use offhook::call::{Command, Mode, Target};

use crate::world::{
    World, accept, cancel, cancel_invitation, end, invite, join, quit, ring, ring_for, user,
};

const LONG: usize = 2049;

fn accept_with(bytes: usize) -> Command {
    Command::Accept {
        invitation: None,
        extended_data: "x".repeat(bytes),
    }
}

fn join_with(bytes: usize) -> Command {
    Command::Join {
        extended_data: "x".repeat(bytes),
    }
}

fn guests(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("guest {n} x")).collect()
}

fn strs(names: &[String]) -> Vec<&str> {
    names.iter().map(String::as_str).collect()
}

/// A general call that completed: `bob` accepted.
fn completed() -> World {
    let mut world = World::ringing(Mode::General, &["bob"]);
    world.must("bob1", accept());
    world
}

#[test]
fn malformed_before_unknown_call() {
    let mut world = World::new();
    world.refuses(
        "bob1",
        accept_with(LONG),
        Code::InvalidParameter,
        "extendedData",
    );
    world.refuses("bob1", accept_with(LONG - 1), Code::CallOver, "unknownCall");
}

#[test]
fn malformed_before_everything_else() {
    let mut world = completed();
    // Advanced only, not a member, ended.
    world.refuses(
        "zoe1",
        join_with(LONG),
        Code::InvalidParameter,
        "extendedData",
    );
    world.refuses(
        "zoe1",
        ring_for(&["eve"], 601),
        Code::InvalidParameter,
        "timeout",
    );
    world.refuses("zoe1", cancel(&["zoe"]), Code::InvalidParameter, "invitees");
}

#[test]
fn oneself_in_a_list_before_too_many() {
    let mut names = guests(12);
    names.push("ann".to_owned());
    let mut world = World::new();
    let command = invite(Mode::General, &strs(&names));
    world.refuses("ann1", command, Code::InvalidParameter, "invitees");
}

#[test]
fn unknown_call_before_limits() {
    let names = guests(10);
    let mut world = World::new();
    world.refuses("ann1", ring(&strs(&names)), Code::CallOver, "unknownCall");
}

#[test]
fn advanced_only_before_not_a_member() {
    let mut world = World::ringing(Mode::General, &["bob"]);
    for command in [ring(&["eve"]), join(), quit(), end()] {
        world.refuses("zoe1", command, Code::NeedsAdvanced, "mode");
    }
}

#[test]
fn advanced_only_before_ended() {
    let mut world = completed();
    for command in [ring(&["eve"]), join(), quit(), end()] {
        world.refuses("bob1", command, Code::NeedsAdvanced, "mode");
    }
}

#[test]
fn advanced_only_before_timed_out_and_other_state() {
    let mut world = World::ringing(Mode::General, &["bob", "cid"]);
    world.refuses("bob1", quit(), Code::NeedsAdvanced, "mode");
    world.after(90_000);
    world.refuses("bob1", quit(), Code::NeedsAdvanced, "mode");
}

#[test]
fn not_a_member_before_not_the_inviter() {
    let mut world = World::talking(&["bob"]);
    world.refuses("zoe1", cancel(&["bob"]), Code::NotMember, "member");
    // The one that is named: no member, and not invited by the actor.
    world.refuses("bob1", cancel(&["zoe"]), Code::NotMember, "member");
}

#[test]
fn not_a_member_before_answered() {
    let mut world = World::talking(&["bob"]);
    world.refuses("zoe1", cancel(&[]), Code::NotMember, "member");
}

#[test]
fn not_a_member_before_ended() {
    let mut world = World::talking(&["bob"]);
    world.must("ann1", end());
    for command in [accept(), ring(&["eve"]), quit(), end(), cancel(&[])] {
        world.refuses("zoe1", command, Code::NotMember, "member");
    }
    world.refuses("zoe1", join(), Code::CallOver, "ended");
    world.rules.join_by_anyone = false;
    world.refuses("zoe1", join(), Code::NotMember, "member");
}

#[test]
fn not_a_member_before_limits() {
    let mut world = World::talking(&["bob"]);
    let names = guests(10);
    world.refuses("zoe1", ring(&strs(&names)), Code::NotMember, "member");
    world.rules.join_by_anyone = false;
    world.rules.members_max = 2;
    world.refuses("zoe1", join(), Code::NotMember, "member");
}

#[test]
fn not_the_inviter_before_answered() {
    let mut world = World::talking(&["bob", "cid"]);
    world.refuses("bob1", cancel(&[]), Code::NotInviter, "inviter");
    world.refuses("bob1", cancel(&["cid"]), Code::NotInviter, "inviter");
}

#[test]
fn not_the_inviter_before_ended_and_timed_out() {
    let mut world = World::ringing(Mode::Advanced, &["bob", "cid"]);
    world.after(90_000);
    world.refuses("bob1", cancel(&["cid"]), Code::NotInviter, "inviter");
    world.tick();
    world.must("ann1", end());
    world.refuses("bob1", cancel(&[]), Code::NotInviter, "inviter");
    world.refuses("bob1", cancel(&["cid"]), Code::NotInviter, "inviter");
}

#[test]
fn answered_before_ended() {
    let mut world = World::talking(&["bob"]);
    world.must("ann1", end());
    world.refuses("ann1", cancel(&[]), Code::CancelAnswered, "answered");
    world.refuses("ann1", cancel(&["bob"]), Code::CancelAnswered, "answered");
    let mut world = completed();
    world.refuses("ann1", cancel(&[]), Code::CancelAnswered, "answered");
}

#[test]
fn answered_before_other_state_of_the_creator() {
    let mut world = World::talking(&["bob", "cid"]);
    world.must("ann1", quit());
    world.refuses("ann1", cancel(&[]), Code::CancelAnswered, "answered");
}

#[test]
fn over_before_other_state() {
    let mut world = World::ringing(Mode::Advanced, &["bob", "cid"]);
    world.must("cid1", accept());
    world.after(90_000);
    // Timeout is also a state in which these are not for bob to call.
    for command in [quit(), end(), ring(&["eve"])] {
        world.refuses("bob1", command, Code::CallOver, "timeout");
    }
    // Ended wins over an invitation that was rejected.
    let mut world = World::ringing(Mode::Advanced, &["bob", "cid"]);
    world.must("bob1", crate::world::reject());
    world.must("ann1", end());
    world.refuses("bob2", accept(), Code::CallOver, "ended");
    world.refuses("ann1", cancel(&["bob"]), Code::CallOver, "ended");
}

#[test]
fn over_before_superseded_and_primary() {
    let mut world = World::talking(&["bob"]);
    let made_under = world.primary_op("bob");
    world.must("bob2", join());
    world.must("ann1", end());
    let late = crate::world::quit_under(made_under);
    world.refuses("bob1", late, Code::CallOver, "ended");
    world.refuses("bob2", join(), Code::CallOver, "ended");
}

#[test]
fn over_before_limits() {
    let mut world = World::ringing(Mode::Advanced, &["bob", "cid"]);
    world.must("cid1", accept());
    let names = guests(10);
    world.must("ann1", end());
    world.refuses("ann1", ring(&strs(&names)), Code::CallOver, "ended");
    world.rules.members_max = 2;
    world.refuses("zoe1", join(), Code::CallOver, "ended");
}

#[test]
fn other_state_before_limits() {
    let mut world = World::talking(&["bob", "cid"]);
    let names = guests(10);
    world.must("bob1", quit());
    world.refuses("bob1", ring(&strs(&names)), Code::WrongState, "state");
    world.rules.members_max = 2;
    world.refuses("ann1", ring(&["cid"]), Code::WrongState, "state");
    world.facts.in_call = Some(world.call().id.clone());
    world.call = None;
    let command = invite(Mode::General, &strs(&names));
    world.refuses("ann1", command, Code::WrongState, "inCall");
}

#[test]
fn an_invitation_that_is_over_before_its_state() {
    let mut world = World::talking(&["bob"]);
    world.must("ann1", ring(&["cid"]));
    world.must("cid1", crate::world::reject());
    world.must("ann1", ring(&["cid"]));
    world.must("cid1", crate::world::reject());
    world.refuses(
        "ann1",
        cancel_invitation("cid", 1),
        Code::CallOver,
        "invitation",
    );
    world.refuses(
        "ann1",
        cancel_invitation("cid", 2),
        Code::WrongState,
        "state",
    );
}

#[test]
fn a_call_id_that_exists_is_refused() {
    let mut world = World::ringing(Mode::General, &["bob"]);
    world.facts.in_call = Some(world.call().id.clone());
    world.refuses(
        "ann1",
        invite(Mode::General, &["cid"]),
        Code::CallExists,
        "callID",
    );
}

#[test]
fn malformed_parameters_are_named() {
    let mut world = World::new();
    let with = |timeout_s: u32, mode: Mode, data: usize, invitees: &[&str]| Command::Invite {
        invitees: invitees.iter().map(|name| user(name)).collect(),
        timeout_s,
        mode,
        extended_data: "x".repeat(data),
        not_received_check: false,
        push: None,
    };
    for (command, parameter) in [
        (with(0, Mode::General, 0, &["bob"]), "timeout"),
        (with(601, Mode::General, 0, &["bob"]), "timeout"),
        (with(90, Mode::Unknown, 0, &["bob"]), "mode"),
        (with(90, Mode::General, LONG, &["bob"]), "extendedData"),
        (with(90, Mode::General, 0, &[]), "invitees"),
        (with(90, Mode::General, 0, &["ann"]), "invitees"),
        (with(90, Mode::General, 0, &["bob", "b/b"]), "invitees"),
        (with(90, Mode::General, 0, &[""]), "invitees"),
        (ring_for(&["bob"], 0), "timeout"),
        (ring(&[]), "invitees"),
        (cancel(&["b\"b"]), "invitees"),
    ] {
        world.refuses("ann1", command, Code::InvalidParameter, parameter);
    }
    for fine in [
        with(1, Mode::General, LONG - 1, &["bob"]),
        with(600, Mode::Advanced, 0, &["bob"]),
    ] {
        assert!(world.ask("ann1", &fine).is_ok());
    }
    let target = Target {
        user: user("bob"),
        invitation: None,
    };
    let many = Command::Cancel {
        invitees: (0..21)
            .map(|n| Target {
                user: user(&format!("u{n}x")),
                ..target.clone()
            })
            .collect(),
        extended_data: String::new(),
        push: None,
    };
    world.refuses("ann1", many, Code::InvalidParameter, "invitees");
}
