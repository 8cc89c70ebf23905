//! Calls of the general mode.

use offhook::{CallState, CommandOptions, InviteOptions, UserState};

use crate::support::World;

#[tokio::test]
async fn one_invitee_accepts() {
    let world = World::new();
    let mut alice = world.device("alice", "alice").await;
    let mut bob = world.device("bob", "bob").await;
    let handle = alice
        .engine
        .call_invite(&["bob"], InviteOptions::default())
        .await
        .unwrap();
    let invited = handle.await.unwrap();
    let call = bob.is_rung().await;
    assert_eq!(call, invited.call_id);
    alice.hears_named("callInvitationCreated").await;
    alice.hears_state("bob", UserState::Received).await;
    bob.engine
        .call_accept(&call, CommandOptions::default())
        .await
        .unwrap()
        .await
        .unwrap();
    alice.hears_state("bob", UserState::Accepted).await;
    bob.hears_state("bob", UserState::Accepted).await;
    let page = alice.engine.query_call_invitation_list(20, 0).unwrap();
    assert_eq!(page.calls.len(), 1);
    assert_eq!(page.calls[0].call.state, CallState::Ended);
}
