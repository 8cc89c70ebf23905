//! Tokens.

use offhook::Mode;

use crate::commands::{accept, invite};
use crate::support::{self, general};
use crate::world::{DAY, HOUR, MINUTE, World};

#[test]
fn token_expired_while_offline_loops_or_logs_out() {
    let mut world = World::with_tokens();
    world.devices(&["alice", "bob"]);
    world.rings("alice1", "c1", &["bob", "carol"], Mode::Advanced);
    world.does("bob1", "a", "c1", accept());
    world.offline("bob1");
    world.pass(DAY + HOUR);
    let fresh = world.token("alice", DAY);
    world.act("alice1", |core, now| core.renew_token(now, fresh));
    world.told("bob1");
    world.online("bob1");
    assert_eq!(
        world.told("bob1"),
        ["connection Disconnected TokenExpired"],
        "once, with the reason"
    );
    // It does not try again and again with what was refused, and nobody is logged out.
    world.sent("bob1", "");
    world.pass(6 * HOUR);
    assert_eq!(world.sent("bob1", ""), [""; 0]);
    assert_eq!(world.told("bob1"), [""; 0]);
    let logged_out = world.act("bob1", |core, _| core.is_logged_out());
    assert!(!logged_out);
    // Commands are still taken, and all that is known is still there.
    world
        .give("bob1", "o1", "c2", invite(&["carol"], Mode::General))
        .unwrap();
    assert_eq!(world.pending("bob1").len(), 1);
    assert!(world.entry("bob1", "c1").is_some());
    let fresh = world.token("bob", DAY);
    world.act("bob1", |core, now| core.renew_token(now, fresh));
    world.settle();
    let told = world.told("bob1");
    assert!(
        told.contains(&"connection Connected Success".to_owned()),
        "{told:?}"
    );
    assert!(
        told.iter().any(|one| one.starts_with("verdict o1 ")),
        "{told:?}"
    );
    assert_eq!(world.device_id("bob1"), "bob1", "the same device");
}

#[test]
fn token_expired_while_offline_and_a_new_one_given_before_the_network_is_back_is_no_event_at_all() {
    let mut world = World::with_tokens();
    world.devices(&["alice", "bob"]);
    world.offline("bob1");
    world.pass(DAY + MINUTE);
    let fresh = world.token("bob", DAY);
    world.act("bob1", |core, now| core.renew_token(now, fresh));
    world.told("bob1");
    world.online("bob1");
    assert_eq!(world.told("bob1"), ["connection Connected Success"]);
}

#[tokio::test]
async fn token_expired_while_offline_is_told_and_renewed_in_place() {
    let world = support::World::with_tokens();
    let mut bob = world.device("bob", "bob").await;
    let mut config = world.config("alice", "alice");
    config.token = Some(world.token("alice", 1));
    let mut alice = support::Device::open(config);
    let handle = alice.engine.call_invite(&["bob"], general()).await.unwrap();
    // However short it was good, at first or later it is refused, and that is where it stays.
    alice.is(offhook::ConnectionState::Disconnected).await;
    let status = alice.engine.status().await.unwrap();
    assert_eq!(status.cause, offhook::ConnectionCause::TokenExpired);
    alice
        .engine
        .renew_token(world.token("alice", 600))
        .await
        .unwrap();
    alice.connected().await;
    let call = handle.await.unwrap().call_id;
    bob.is_rung(&call).await;
}
