//! Being in a call: the primary device, moving, leaving, coming back, and commands that were made
//! under what is no more. And what a user has missed, and may see of others.

use offhook::Code;
use offhook::call::{Mode, Outcome, UserState, passing};

use crate::world::{
    World, accept, cancel, device, end, end_under, invite_checked, join, op, quit, quit_under,
    reject, ring, user,
};

#[test]
fn who_last_invited_accepted_or_joined_is_primary() {
    let mut world = World::ringing(Mode::Advanced, &["bob"]);
    assert_eq!(world.member("ann").primary_device(), Some(&device("ann1")));
    assert_eq!(world.member("bob").primary_device(), None);
    world.must("bob2", accept());
    assert_eq!(world.member("bob").primary_device(), Some(&device("bob2")));
    world.must("bob1", join());
    assert_eq!(world.member("bob").primary_device(), Some(&device("bob1")));
    // callingInvite, cancel and the like from another device move nothing.
    world.must("ann2", ring(&["cid"]));
    world.must("ann2", cancel(&["cid"]));
    assert_eq!(world.member("ann").primary_device(), Some(&device("ann1")));
}

#[test]
fn a_move_is_not_another_participation() {
    let mut world = World::talking(&["bob"]);
    let before = world.member("bob").clone();
    world.after(10);
    let outcome = world.must("bob2", join());
    let Outcome::Joined {
        join_time,
        create_time,
        users,
        extended_data,
    } = outcome
    else {
        panic!("not a join")
    };
    assert_eq!(join_time, world.now);
    assert_eq!(create_time, world.call().create_time);
    assert_eq!((users.len(), extended_data.as_str()), (2, "hello"));
    let after = world.member("bob").clone();
    assert_eq!(after.participation, before.participation);
    assert_eq!(after.state_revision, before.state_revision);
    assert_eq!(after.accept_time, before.accept_time);
    assert_eq!(
        world.call().revision,
        world
            .call()
            .member(&user("bob"))
            .and_then(|m| m.own.as_ref())
            .expect("own")
            .primary_revision
    );
    world.refuses("bob2", join(), Code::AlreadyPrimary, "primary");
}

#[test]
fn rejoining_is_another_participation_on_the_same_device_too() {
    let mut world = World::talking(&["bob"]);
    let first = world.primary_op("bob");
    world.must("bob1", quit());
    world.must("bob1", join());
    assert_eq!(world.member("bob").participation, 2);
    assert_ne!(world.primary_op("bob"), first);
}

#[test]
fn a_hang_up_made_before_the_call_moved_changes_nothing() {
    let mut world = World::talking(&["bob"]);
    let stale = world.primary_op("bob");
    world.must("bob2", join());
    for late in [quit_under(stale.clone()), end_under(stale)] {
        let error = world.refuses("bob1", late, Code::WrongState, "superseded");
        assert_eq!(error.detail.device_id, Some(device("bob2")));
    }
    assert_eq!(world.state("bob"), UserState::Accepted);
    // One made since is good, from whichever device.
    let fresh = world.primary_op("bob");
    world.must("bob1", quit_under(fresh));
    assert_eq!(world.state("bob"), UserState::Quit);
}

#[test]
fn a_hang_up_made_before_leaving_and_coming_back_changes_nothing() {
    let mut world = World::talking(&["bob"]);
    let stale = world.primary_op("bob");
    world.must("bob2", quit());
    world.must("bob1", join());
    world.refuses(
        "bob1",
        quit_under(stale.clone()),
        Code::WrongState,
        "superseded",
    );
    world.refuses("bob1", end_under(stale), Code::WrongState, "superseded");
    world.refuses(
        "bob1",
        end_under(op("never")),
        Code::WrongState,
        "superseded",
    );
}

#[test]
fn a_call_that_moved_there_and_back_is_not_the_same_either() {
    let mut world = World::talking(&["bob"]);
    let stale = world.primary_op("bob");
    world.must("bob2", join());
    world.must("bob1", join());
    world.refuses("bob1", quit_under(stale), Code::WrongState, "superseded");
}

#[test]
fn a_hang_up_that_knew_nothing_is_not_fenced() {
    let mut world = World::talking(&["bob"]);
    world.must("bob2", join());
    world.must("bob1", quit());
    let mut world = World::talking(&["bob"]);
    world.must("bob3", end());
}

#[test]
fn the_creator_s_hang_up_is_fenced_by_the_invite() {
    let mut world = World::talking(&["bob"]);
    let made = world.primary_op("ann");
    world.must("ann2", quit_under(made.clone()));
    world.must("ann2", join());
    world.refuses("ann1", quit_under(made), Code::WrongState, "superseded");
}

#[test]
fn times_of_a_stay() {
    let mut world = World::ringing(Mode::Advanced, &["bob"]);
    let created = world.now;
    world.after(1_000);
    world.must("bob1", accept());
    world.after(1_000);
    assert_eq!(
        world.must("bob1", quit()),
        Outcome::Quit {
            create_time: created,
            accept_time: created + 1_000,
            quit_time: created + 2_000
        }
    );
    world.after(1_000);
    world.must("bob2", join());
    world.after(1_000);
    assert_eq!(
        world.must("ann2", end()),
        Outcome::Ended {
            create_time: created,
            accept_time: created,
            end_time: created + 4_000
        }
    );
    let bob = world.member("bob");
    assert_eq!(
        (bob.accept_time, bob.join_time, bob.quit_time),
        (created + 3_000, created + 3_000, created + 2_000)
    );
}

fn missed(world: &World, name: &str) -> bool {
    world.call().is_missed_by(&user(name))
}

#[test]
fn missed_is_what_nobody_answered() {
    let mut world = World::ringing(Mode::Advanced, &["bob", "cid", "dee", "eve", "fay"]);
    for name in ["ann", "bob", "cid", "dee", "eve", "fay", "zoe"] {
        assert!(!missed(&world, name), "{name} while it rings");
    }
    world.must("bob1", accept());
    world.must("cid1", reject());
    world.must("ann1", cancel(&["dee"]));
    assert!(
        missed(&world, "dee"),
        "the call goes on, his invitation does not"
    );
    world.after(90_000).tick();
    world.must("ann1", ring(&["fay"]));
    assert!(missed(&world, "eve"));
    assert!(!missed(&world, "fay"), "asked again");
    world.must("zoe1", join());
    world.must("bob1", quit());
    world.must("ann1", end());
    let all = ["ann", "bob", "cid", "dee", "eve", "fay", "zoe"];
    let those: Vec<_> = all
        .into_iter()
        .filter(|name| missed(&world, name))
        .collect();
    assert_eq!(those, ["dee", "eve", "fay"], "and fay was still being rung");
}

#[test]
fn who_came_after_all_has_not_missed_it() {
    let mut world = World::ringing(Mode::Advanced, &["bob"]);
    world.after(90_000);
    world.must("bob1", join());
    assert!(!missed(&world, "bob"));
    world.must("bob1", quit());
    assert!(!missed(&world, "bob"));
}

#[test]
fn seen_is_the_user_s_own_and_once() {
    let mut world = World::ringing(Mode::General, &["bob"]);
    assert_eq!(
        passing::see(world.call(), &user("bob")),
        None,
        "it still rings"
    );
    world.must("ann1", cancel(&[]));
    let revision = world.call().revision;
    let seen = passing::see(world.call(), &user("bob"));
    assert!(world.becomes(seen));
    assert_eq!(world.call().revision, revision + 1);
    assert!(world.member("bob").own.as_ref().expect("own").seen);
    assert_eq!(passing::see(world.call(), &user("bob")), None);
    assert_eq!(passing::see(world.call(), &user("ann")), None);
    assert_eq!(passing::see(world.call(), &user("zoe")), None);
    assert!(missed(&world, "bob"), "seen or not, it was missed");
}

#[test]
fn asked_again_it_is_not_seen_any_more() {
    let mut world = World::talking(&["cid"]);
    for _ in 0..2 {
        world.must("ann1", ring(&["bob"]));
        world.after(90_000).tick();
        let seen = passing::see(world.call(), &user("bob"));
        assert!(world.becomes(seen));
    }
}

#[test]
fn others_do_not_see_whose_device_it_was() {
    let mut world = World::new();
    world.must(
        "ann1",
        invite_checked(Mode::Advanced, &["bob", "cid", "dee"]),
    );
    assert_ne!(world.member("dee").check_at, 0);
    world.must("bob2", accept());
    world.must("cid1", reject());
    world.must("bob1", ring(&["eve"]));
    world.must("bob3", end());
    for name in ["ann", "bob", "cid", "dee", "eve", "zoe"] {
        let seen = world.call().seen_by(&user(name));
        let ending = seen.ending.expect("an ending");
        assert_eq!(ending.device.is_some(), name == "bob", "{name}");
        for member in &seen.members {
            let own = member.user == user(name);
            assert_eq!(member.own.is_some(), own, "{name} of {}", member.user);
            assert_eq!(member.check_at, 0);
            let doing = member.changed_by == Some(user(name));
            assert_eq!(
                member.acting_device.is_some(),
                doing,
                "{name} of {}",
                member.user
            );
        }
        let text = format!("{:?}", world.call().seen_by(&user(name)));
        for other in ["ann", "bob", "cid"].iter().filter(|other| **other != name) {
            for digit in 1..=3 {
                assert!(!text.contains(&format!("{other}{digit}")), "{name}: {text}");
            }
        }
    }
}

#[test]
fn what_a_user_sees_is_the_rest_of_the_record() {
    let world = World::talking(&["bob", "cid"]);
    let seen = world.call().seen_by(&user("bob"));
    assert_eq!(seen.revision, world.call().revision);
    for (theirs, whole) in seen.members.iter().zip(&world.call().members) {
        assert_eq!(theirs.as_user(), whole.as_user());
        assert_eq!(theirs.state_revision, whole.state_revision);
        assert_eq!(theirs.participation, whole.participation);
        assert_eq!(theirs.deadline, whole.deadline);
    }
    let bob = seen.member(&user("bob")).expect("bob");
    assert_eq!(bob.own, world.member("bob").own);
}
