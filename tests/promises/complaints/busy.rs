//! Calls that end too early, and calls that never end.

use offhook::{Mode, UserState};

use crate::commands::{accept, end, id, invite, invite_for, quit};
use crate::support::{self, advanced};
use crate::world::{HOUR, MINUTE, World};

#[test]
fn one_invitees_timeout_ends_a_call_that_others_accepted() {
    let mut world = World::new();
    world.devices(&["alice", "bob", "carol"]);
    world.rings("alice1", "c1", &["bob", "carol", "dora"], Mode::Advanced);
    world.does("bob1", "o1", "c1", accept());
    world.forget_all();
    world.pass(10 * MINUTE);
    assert_eq!(world.state("alice1", "c1", "carol"), UserState::Timeout);
    assert_eq!(world.state("alice1", "c1", "dora"), UserState::Timeout);
    for name in ["alice1", "bob1"] {
        assert!(!world.is_over(name, "c1"));
        assert_eq!(world.state(name, "c1", "bob"), UserState::Accepted);
        assert_eq!(world.heard(name), ["changed c1 carol=timeout,dora=timeout"]);
    }
    world.does("bob1", "o2", "c1", quit());
    assert_eq!(world.heard("bob1")[0], "verdict o2 ok");
}

/// A general call is over when nobody is pending any more; who accepted hears of no end by that.
#[test]
fn one_invitees_timeout_takes_nobody_out_of_a_general_call_either() {
    let mut world = World::new();
    world.devices(&["alice", "bob", "carol"]);
    world.rings("alice1", "c1", &["bob", "carol"], Mode::General);
    world.does("bob1", "o1", "c1", accept());
    world.forget_all();
    world.pass(2 * MINUTE);
    assert_eq!(world.heard("bob1"), ["changed c1 carol=timeout"]);
    assert_eq!(world.heard("alice1"), ["changed c1 carol=timeout"]);
    assert_eq!(world.state("bob1", "c1", "bob"), UserState::Accepted);
    let ending = world.entry("bob1", "c1").unwrap().call.ending.unwrap();
    assert_eq!(ending.kind, offhook::EndKind::Completed);
}

#[test]
fn a_stale_call_keeps_its_user_busy_for_ever() {
    // Everybody who was in it is gone without a word.
    let mut world = World::new();
    world.devices(&["alice", "bob", "carol"]);
    world.rings("alice1", "c1", &["bob"], Mode::Advanced);
    world.does("bob1", "a", "c1", accept());
    world.crash("alice1");
    world.crash("bob1");
    world.pass(2 * HOUR + MINUTE);
    world.start("alice1");
    world.does("alice1", "o1", "c2", invite(&["carol"], Mode::General));
    assert!(world.heard("alice1").contains(&"verdict o1 ok".to_owned()));
    assert!(world.is_over("alice1", "c1"));
    assert_eq!(world.heard("carol1"), ["received c2"]);
}

#[test]
fn a_stale_call_of_a_caller_who_vanished_while_it_rang_keeps_nobody_busy() {
    let mut world = World::new();
    world.devices(&["alice", "bob", "carol"]);
    world.does(
        "alice1",
        "o1",
        "c1",
        invite_for(&["bob"], Mode::Advanced, 600),
    );
    world.crash("alice1");
    world.forget_all();
    world.pass(MINUTE + 20_000);
    assert_eq!(world.heard("bob1"), ["cancelled c1"]);
    world.start("alice1");
    world.does("alice1", "o2", "c2", invite(&["carol"], Mode::General));
    assert!(world.heard("alice1").contains(&"verdict o2 ok".to_owned()));
}

#[test]
fn a_stale_call_with_nobody_in_it_is_ended_at_once() {
    let mut world = World::new();
    world.devices(&["alice", "bob"]);
    world.rings("alice1", "c1", &["bob"], Mode::Advanced);
    world.does("bob1", "a", "c1", accept());
    world.does("bob1", "o1", "c1", quit());
    world.does("alice1", "o2", "c1", quit());
    for name in ["alice1", "bob1"] {
        assert!(world.is_over(name, "c1"));
    }
    world.does("alice1", "o3", "c2", invite(&["bob"], Mode::General));
    assert_eq!(world.ringing("bob1"), [id("c2")]);
}

#[tokio::test]
async fn a_stale_call_is_named_by_the_refusal_so_that_its_user_can_end_it() {
    let world = support::World::new();
    let [mut alice, mut bob] = world.devices(["alice", "bob"]).await;
    let call = alice.rings(advanced(), &mut [&mut bob]).await;
    bob.accept(&call).await.unwrap();
    // The app has lost everything that it knew of the call, and its database with it.
    drop(alice.closed().await);
    let alice = world.device("alice", "another").await;
    let refused = alice.invite(&["carol"], advanced()).await.unwrap_err();
    assert_eq!(
        (refused.code, &*refused.reason),
        (offhook::Code::WrongState, "inCall")
    );
    let named = refused.detail.call_id.unwrap();
    assert_eq!(named, call);
    alice.join(&named).await.unwrap();
    alice.end(&named).await.unwrap();
    alice.invite(&["carol"], advanced()).await.unwrap();
}

#[test]
fn a_stale_call_that_the_server_was_killed_in_does_not_stay() {
    let mut world = World::new();
    world.devices(&["alice", "bob"]);
    world.rings("alice1", "c1", &["bob"], Mode::Advanced);
    world.does("bob1", "a", "c1", accept());
    world.crash("alice1");
    world.crash("bob1");
    world.kill_server();
    world.pass(MINUTE);
    world.start_server();
    world.pass(2 * HOUR + MINUTE);
    world.start("bob1");
    assert!(world.is_over("bob1", "c1"));
    world.does("bob1", "o1", "c2", invite(&["carol"], Mode::General));
    assert!(world.heard("bob1").contains(&"verdict o1 ok".to_owned()));
    world.does("bob1", "o2", "c2", crate::commands::cancel(&[]));
    world.does("bob1", "o3", "c3", invite(&["carol"], Mode::Advanced));
    world.does("bob1", "o4", "c3", end());
    assert_eq!(world.page("bob1").calls[0].call.id, id("c3"));
}
