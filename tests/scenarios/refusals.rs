//! Every refusal that a client can get, in the order of their numbers: code, name, reason, and
//! whether trying again can help. Those of the file and of tokens are in [`crate::bad_input`].

use std::fmt::Debug;

use offhook::client::core::Submission;
use offhook::{
    CallId, CallingInviteOptions, Code, CommandOptions, Error, EventKind, InviteOptions, Mode,
    PushConfig, UserState,
};

use crate::support::{Device, World, advanced, brief, data, general};

/// Asserts all that is stable about a refusal.
fn is<T: Debug>(
    result: Result<T, Error>,
    (number, name, reason): (u32, &str, &str),
    retryable: bool,
) -> Error {
    let error = result.expect_err("it is refused");
    let told = (
        error.code.number(),
        error.code.name(),
        error.reason.as_str(),
    );
    assert_eq!(told, (number, name, reason), "{error}");
    assert_eq!(error.retryable(), retryable, "{error}");
    assert_eq!(Code::from_number(number), error.code);
    assert!(!error.message.is_empty() && !error.message.contains('\n'));
    error
}

/// A refusal that stands.
fn stands<T: Debug>(result: Result<T, Error>, number: u32, name: &str, reason: &str) -> Error {
    is(result, (number, name, reason), false)
}

/// [`Code::InvalidParameter`], which names the parameter.
fn malformed<T: Debug>(result: Result<T, Error>, parameter: &str) {
    let error = stands(result, 6_000_001, "InvalidParameter", parameter);
    assert!(error.message.contains(parameter), "{error}");
}

fn long(text_bytes: usize) -> CommandOptions {
    data(&"x".repeat(text_bytes))
}

#[tokio::test]
async fn r6000001_every_malformed_parameter_is_named() {
    let world = World::new();
    let [alice] = world.devices(["alice"]).await;
    let engine = &alice.engine;
    for timeout_s in [0, 601] {
        malformed(
            alice
                .invite(&["bob"], brief(Mode::General, timeout_s))
                .await,
            "timeout",
        );
    }
    malformed(
        alice.invite(&["bob"], brief(Mode::Unknown, 60)).await,
        "mode",
    );
    let options = InviteOptions {
        extended_data: "x".repeat(2_049),
        ..general()
    };
    malformed(alice.invite(&["bob"], options).await, "extendedData");
    for invitees in [&[][..], &["alice"], &["bob", "alice"], &["bob", ""]] {
        malformed(alice.invite(invitees, general()).await, "invitees");
    }
    for bad in ["b/b", "b\"b", "b\0b", "b'b", "b\u{e9}", &"b".repeat(33)] {
        malformed(alice.invite(&[bad], general()).await, "invitees");
    }
    for (push, parameter) in malformed_pushes() {
        let options = InviteOptions {
            push: Some(push),
            ..general()
        };
        malformed(alice.invite(&["bob"], options).await, parameter);
    }
    let call = alice.invite(&["bob"], advanced()).await.unwrap().call_id;
    malformed(alice.cancel(&["alice"], &call).await, "invitees");
    malformed(
        engine.call_cancel(&[], &call, long(2_049)).await,
        "extendedData",
    );
    malformed(engine.call_accept(&call, long(2_049)).await, "extendedData");
    malformed(engine.call_reject(&call, long(2_049)).await, "extendedData");
    malformed(engine.call_join(&call, long(2_049)).await, "extendedData");
    malformed(engine.call_quit(&call, long(2_049)).await, "extendedData");
    malformed(engine.call_end(&call, long(2_049)).await, "extendedData");
    let more = |timeout_s, bytes| CallingInviteOptions {
        timeout_s,
        extended_data: Some("x".repeat(bytes)),
        ..CallingInviteOptions::default()
    };
    for timeout_s in [0, 601] {
        let given = engine.calling_invite(&["carol"], &call, more(Some(timeout_s), 0));
        malformed(given.await, "timeout");
    }
    let given = engine.calling_invite(&["carol"], &call, more(None, 2_049));
    malformed(given.await, "extendedData");
    for invitees in [&[][..], &["alice"]] {
        malformed(alice.invite_more(invitees, &call).await, "invitees");
    }
    for bad in ["", "a\nb", &"x".repeat(33)] {
        malformed(alice.accept(&CallId::trusted(bad)).await, "callID");
    }
    assert_eq!(engine.pending().unwrap(), []);
}

fn malformed_pushes() -> [(PushConfig, &'static str); 2] {
    let resources = PushConfig {
        resources_id: "x".repeat(33),
        ..PushConfig::default()
    };
    let text = PushConfig {
        payload: "x".repeat(4_097),
        ..PushConfig::default()
    };
    [(resources, "pushConfig.resourcesID"), (text, "pushConfig")]
}

#[tokio::test]
async fn the_largest_and_the_smallest_that_is_allowed_is_taken() {
    let world = World::new();
    let [alice, mut bob] = world.devices(["alice", "bob"]).await;
    for timeout_s in [1, 600] {
        let options = InviteOptions {
            extended_data: "x".repeat(2_048),
            ..brief(Mode::General, timeout_s)
        };
        let call = alice.invite(&["bob"], options).await.unwrap().call_id;
        bob.is_rung(&call).await;
        let given = alice.engine.call_cancel(&[], &call, long(2_048)).await;
        given.unwrap().await.unwrap();
    }
    let name = "Az 09!#$%&()+-:;<=.>?@[]^_{}|~ab";
    assert_eq!(name.len(), 32);
    let mut strange = world.device(name, "strange").await;
    let call = alice.invite(&[name], general()).await.unwrap().call_id;
    strange.is_rung(&call).await;
}

#[tokio::test]
async fn r6000004_more_commands_than_a_file_may_hold_without_a_verdict() {
    let world = World::new();
    let alice = world.offline_device("alice", "alice");
    alice.engine.set_network(false).await.unwrap();
    let mut refusal = None;
    for number in 0..=1_000 {
        match alice.engine.call_invite(&["bob"], general()).await {
            Ok(_) => assert!(number < 1_000),
            Err(error) => refusal = Some(error),
        }
    }
    let refusal: Result<(), Error> = Err(refusal.expect("the last is refused"));
    is(refusal, (6_000_004, "TooManyRequests", "pending"), true);
}

#[tokio::test]
async fn r6100001_an_invite_that_may_not_wait_for_a_connection() {
    let world = World::new();
    let [alice] = world.devices(["alice"]).await;
    alice.engine.set_network(false).await.unwrap();
    let options = InviteOptions {
        wait_s: Some(0),
        ..general()
    };
    let invite = alice.invite(&["bob"], options).await;
    is(invite, (6_100_001, "Expired", "offline"), false);
    assert_eq!(alice.engine.pending().unwrap(), []);
}

/// Alice and bob in an advanced call; carol rings; dave is a stranger.
async fn meeting(world: &World) -> ([Device; 4], CallId) {
    let [mut alice, mut bob, mut carol, dave] =
        world.devices(["alice", "bob", "carol", "dave"]).await;
    let call = alice.rings(advanced(), &mut [&mut bob, &mut carol]).await;
    bob.accept(&call).await.unwrap();
    alice.sees(&call, "bob", UserState::Accepted).await;
    carol.sees(&call, "bob", UserState::Accepted).await;
    ([alice, bob, carol, dave], call)
}

#[tokio::test]
async fn of_several_reasons_the_first_in_the_order_of_the_contract_is_given() {
    let world = World::new();
    let [mut alice, mut bob, mut carol, dave] =
        world.devices(["alice", "bob", "carol", "dave"]).await;
    let call = alice.rings(general(), &mut [&mut bob, &mut carol]).await;
    bob.accept(&call).await.unwrap();
    carol.reject(&call).await.unwrap();
    // The call is over. A malformed parameter comes before all else.
    let unknown = CallId::trusted("no such call");
    let given = dave.engine.call_join(&unknown, long(2_049)).await;
    malformed(given, "extendedData");
    // An unknown call before one of the wrong mode.
    let join = dave.join(&unknown).await;
    stands(join, 6_000_276, "CallOver", "unknownCall");
    // The wrong mode before not being a member.
    stands(dave.join(&call).await, 6_000_286, "NeedsAdvanced", "mode");
    // Not being a member before the end of the call.
    stands(dave.accept(&call).await, 6_000_274, "NotMember", "member");
    // Not being the inviter before the answer.
    let cancel = bob.cancel(&[], &call).await;
    stands(cancel, 6_000_273, "NotInviter", "inviter");
    // The answer before the end of the call.
    let cancel = alice.cancel(&[], &call).await;
    stands(cancel, 6_000_271, "CancelAnswered", "answered");
    let call = alice.rings(advanced(), &mut [&mut bob, &mut carol]).await;
    carol.reject(&call).await.unwrap();
    // Any other state before the limits.
    let more = bob.invite_more(&["a", "b", "c", "d", "e", "f", "g", "h"], &call);
    stands(more.await, 6_000_270, "WrongState", "state");
    alice.end(&call).await.unwrap();
    // The end of the call before any other state.
    stands(carol.quit(&call).await, 6_000_276, "CallOver", "ended");
}

#[tokio::test]
async fn r6000270_state() {
    let world = World::new();
    let ([alice, bob, carol, _dave], call) = meeting(&world).await;
    let wrong = |result: Result<(), Error>, state| {
        let error = stands(result, 6_000_270, "WrongState", "state");
        assert_eq!(error.detail.state, Some(state), "{error}");
    };
    wrong(carol.quit(&call).await.map(drop), UserState::Received);
    wrong(carol.end(&call).await.map(drop), UserState::Received);
    wrong(
        carol.invite_more(&["erin"], &call).await.map(drop),
        UserState::Received,
    );
    wrong(
        bob.invite_more(&["carol"], &call).await.map(drop),
        UserState::Received,
    );
    wrong(alice.accept(&call).await.map(drop), UserState::Accepted);
    carol.reject(&call).await.unwrap();
    bob.quit(&call).await.unwrap();
    wrong(carol.quit(&call).await.map(drop), UserState::Rejected);
    wrong(bob.quit(&call).await.map(drop), UserState::Quit);
    wrong(bob.end(&call).await.map(drop), UserState::Quit);
}

#[tokio::test]
async fn r6000270_in_call_glare_and_answered() {
    let world = World::new();
    let ([mut alice, bob, mut carol, mut dave], call) = meeting(&world).await;
    let error = alice.invite(&["erin"], general()).await;
    let error = stands(error, 6_000_270, "WrongState", "inCall");
    assert_eq!(error.detail.call_id, Some(call.clone()));
    let ring = dave.rings(general(), &mut [&mut carol]).await;
    let error = carol.invite(&["dave"], general()).await;
    let error = stands(error, 6_000_270, "WrongState", "glare");
    assert_eq!(error.detail.call_id, Some(ring));
    for result in [bob.accept(&call).await, bob.reject(&call).await] {
        let error = stands(result, 6_000_270, "WrongState", "answered");
        assert_eq!(error.detail.state, Some(UserState::Accepted));
        assert_eq!(error.detail.device_id, Some(bob.id().await));
    }
    carol.reject(&call).await.unwrap();
    let error = carol.accept(&call).await;
    let error = stands(error, 6_000_270, "WrongState", "answered");
    assert_eq!(error.detail.state, Some(UserState::Rejected));
    alice.sees(&call, "carol", UserState::Rejected).await;
}

#[tokio::test]
async fn r6000270_superseded() {
    let world = World::new();
    let (phone, laptop) = world.two_devices("alice").await;
    let call = phone.invite(&["bob"], advanced()).await.unwrap().call_id;
    phone.engine.set_network(false).await.unwrap();
    let quit = phone.engine.call_quit(&call, data("")).await.unwrap();
    laptop.join(&call).await.unwrap();
    phone.engine.set_network(true).await.unwrap();
    let error = stands(quit.await, 6_000_270, "WrongState", "superseded");
    assert_eq!(error.detail.device_id, Some(laptop.id().await));
}

#[tokio::test]
async fn r6000271_cancel_of_an_answered_call() {
    let world = World::new();
    let ([alice, _bob, _carol, _dave], call) = meeting(&world).await;
    let cancel = alice.cancel(&[], &call).await;
    stands(cancel, 6_000_271, "CancelAnswered", "answered");
    let cancel = alice.cancel(&["bob"], &call).await;
    stands(cancel, 6_000_271, "CancelAnswered", "answered");
}

#[tokio::test]
async fn r6000272_too_many_at_once_and_at_a_time() {
    let world = World::with(&["members_max=3"]);
    let ([alice, bob, _carol, dave], call) = meeting(&world).await;
    let ten = ["b", "c", "d", "e", "f", "g", "h", "i", "j", "k"];
    let invite = dave.invite(&ten, general()).await;
    stands(invite, 6_000_272, "TooManyMembers", "invitees");
    let more = alice.invite_more(&ten, &call).await;
    stands(more, 6_000_272, "TooManyMembers", "invitees");
    let invite = dave.invite(&["b", "c", "d"], general()).await;
    stands(invite, 6_000_272, "TooManyMembers", "members");
    let more = bob.invite_more(&["dave"], &call).await;
    stands(more, 6_000_272, "TooManyMembers", "members");
    let join = dave.join(&call).await;
    stands(join, 6_000_272, "TooManyMembers", "members");
}

#[tokio::test]
async fn r6000273_cancel_by_who_did_not_invite() {
    let world = World::new();
    let ([_alice, bob, carol, _dave], call) = meeting(&world).await;
    for user in [&bob, &carol] {
        let cancel = user.cancel(&[], &call).await;
        stands(cancel, 6_000_273, "NotInviter", "inviter");
    }
    let cancel = bob.cancel(&["carol"], &call).await;
    stands(cancel, 6_000_273, "NotInviter", "inviter");
}

#[tokio::test]
async fn r6000274_commands_of_a_stranger() {
    let world = World::new();
    let ([_alice, _bob, _carol, dave], call) = meeting(&world).await;
    let stranger = |result: Result<(), Error>| {
        stands(result, 6_000_274, "NotMember", "member");
    };
    stranger(dave.accept(&call).await.map(drop));
    stranger(dave.reject(&call).await.map(drop));
    stranger(dave.cancel(&[], &call).await.map(drop));
    stranger(dave.cancel(&["carol"], &call).await.map(drop));
    stranger(dave.invite_more(&["erin"], &call).await.map(drop));
    stranger(dave.quit(&call).await.map(drop));
    stranger(dave.end(&call).await.map(drop));
}

#[tokio::test]
async fn r6000275_a_call_id_that_exists() {
    let world = World::new();
    let [alice, mut bob] = world.devices(["alice", "bob"]).await;
    let call = alice.invite(&["carol"], general()).await.unwrap().call_id;
    let given = Submission {
        op: None,
        call_id: Some(call.clone()),
        command: offhook::call::Command::Invite {
            invitees: vec![offhook::UserId::trusted("carol")],
            timeout_s: 60,
            mode: Mode::General,
            extended_data: String::new(),
            not_received_check: false,
            push: None,
        },
        wait_s: None,
    };
    bob.engine.submit(given).await.unwrap();
    let settled = bob
        .hears(|kind| matches!(kind, EventKind::CommandSettled(_)))
        .await;
    let EventKind::CommandSettled(settled) = settled else {
        panic!("{settled:?}");
    };
    stands(settled.result, 6_000_275, "CallExists", "callID");
    assert_eq!(alice.state_of(&call, "carol"), UserState::Inviting);
}

#[tokio::test]
async fn r6000276_no_such_call_or_it_is_over() {
    let world = World::new();
    let [mut alice, mut bob, mut carol] = world.devices(["alice", "bob", "carol"]).await;
    let over = |result: Result<(), Error>, reason| {
        stands(result, 6_000_276, "CallOver", reason);
    };
    let unknown = CallId::trusted("no such call");
    over(bob.accept(&unknown).await.map(drop), "unknownCall");
    over(bob.reject(&unknown).await.map(drop), "unknownCall");
    over(bob.cancel(&[], &unknown).await.map(drop), "unknownCall");
    over(bob.join(&unknown).await.map(drop), "unknownCall");
    over(bob.quit(&unknown).await.map(drop), "unknownCall");
    over(bob.end(&unknown).await.map(drop), "unknownCall");
    let more = bob.invite_more(&["carol"], &unknown).await;
    over(more.map(drop), "unknownCall");
    let options = brief(Mode::Advanced, 2);
    let call = alice.rings(options, &mut [&mut bob, &mut carol]).await;
    alice.cancel(&["carol"], &call).await.unwrap();
    over(carol.accept(&call).await.map(drop), "cancelled");
    over(carol.quit(&call).await.map(drop), "cancelled");
    alice.sees(&call, "bob", UserState::Timeout).await;
    over(bob.accept(&call).await.map(drop), "timeout");
    over(bob.end(&call).await.map(drop), "timeout");
    let cancel = alice.cancel(&["bob"], &call).await;
    over(cancel.map(drop), "timeout");
    alice.end(&call).await.unwrap();
    over(alice.end(&call).await.map(drop), "ended");
    over(alice.cancel(&[], &call).await.map(drop), "ended");
    let more = alice.invite_more(&["bob"], &call).await;
    over(more.map(drop), "ended");
    // A join skips the tests of the invitation, not that of the call.
    over(bob.join(&call).await.map(drop), "ended");
}

#[tokio::test]
async fn r6000281_none_of_the_invitees_exists() {
    let world = World::with(&["users=registered"]);
    let [alice, mut bob] = world.devices(["alice", "bob"]).await;
    let invite = alice.invite(&["carol", "dave"], general()).await;
    let error = stands(invite, 6_000_281, "NoSuchUser", "invitees");
    assert!(error.message.contains("carol"), "{error}");
    let invited = alice.invite(&["carol", "bob"], advanced()).await.unwrap();
    let errors: Vec<_> = invited
        .errors
        .iter()
        .map(|one| (one.user.as_str(), one.code))
        .collect();
    assert_eq!(errors, [("carol", Code::NoSuchUser)]);
    let call = invited.call_id;
    bob.is_rung(&call).await;
    assert_eq!(alice.states(&call).len(), 2);
    let more = alice.invite_more(&["carol"], &call).await;
    stands(more, 6_000_281, "NoSuchUser", "invitees");
}

#[tokio::test]
async fn r6000283_the_device_is_the_primary_one_already() {
    let world = World::new();
    let ([alice, bob, _carol, _dave], call) = meeting(&world).await;
    for device in [&alice, &bob] {
        let join = device.join(&call).await;
        stands(join, 6_000_283, "AlreadyPrimary", "primary");
    }
}

#[tokio::test]
async fn r6000286_commands_that_need_an_advanced_call() {
    let world = World::new();
    let [mut alice, mut bob, dave] = world.devices(["alice", "bob", "dave"]).await;
    let call = alice.rings(general(), &mut [&mut bob]).await;
    let general_only = |result: Result<(), Error>| {
        stands(result, 6_000_286, "NeedsAdvanced", "mode");
    };
    // Of a stranger, too: the mode comes before the membership.
    for device in [&alice, &bob, &dave] {
        general_only(device.join(&call).await.map(drop));
        general_only(device.quit(&call).await.map(drop));
        general_only(device.end(&call).await.map(drop));
        general_only(device.invite_more(&["carol"], &call).await.map(drop));
    }
    bob.accept(&call).await.unwrap();
    // And before the end of the call.
    general_only(alice.end(&call).await.map(drop));
}

#[tokio::test]
async fn r6100001_what_was_never_sent_and_means_nothing_any_more() {
    let world = World::new();
    let ([alice, _bob, carol, mut dave], call) = meeting(&world).await;
    let expired = |result: Result<(), Error>| {
        stands(result, 6_100_001, "Expired", "notSent");
    };
    dave.engine.set_network(false).await.unwrap();
    let options = InviteOptions {
        wait_s: Some(1),
        ..general()
    };
    let invite = dave.engine.call_invite(&["erin"], options).await.unwrap();
    expired(invite.await.map(drop));
    alice.engine.set_network(false).await.unwrap();
    let options = CallingInviteOptions {
        wait_s: Some(1),
        ..CallingInviteOptions::default()
    };
    let given = alice.engine.calling_invite(&["erin"], &call, options);
    expired(given.await.unwrap().await.map(drop));
    dave.engine.set_network(true).await.unwrap();
    alice.engine.set_network(true).await.unwrap();
    // An accept means something until the ring is over.
    let ring = {
        dave.connected().await;
        let mut carol = carol;
        let ring = dave.rings(brief(Mode::General, 2), &mut [&mut carol]).await;
        carol.engine.set_network(false).await.unwrap();
        let accept = carol.engine.call_accept(&ring, data("")).await.unwrap();
        expired(accept.await.map(drop));
        ring
    };
    dave.sees(&ring, "carol", UserState::Timeout).await;
    assert_eq!(alice.states(&call).len(), 3);
}

#[tokio::test]
async fn r6100002_what_was_cancelled_or_replaced_before_it_was_sent() {
    let world = World::new();
    let [mut alice, mut bob] = world.devices(["alice", "bob"]).await;
    let ring = alice.rings(general(), &mut [&mut bob]).await;
    bob.engine.set_network(false).await.unwrap();
    let invite = bob.engine.call_invite(&["carol"], general()).await.unwrap();
    let call = invite.call_id().clone();
    let cancel = bob.engine.call_cancel(&[], &call, data("")).await.unwrap();
    assert_eq!(cancel.await.unwrap().error_invitees, []);
    stands(invite.await, 6_100_002, "Withdrawn", "cancelled");
    let accept = bob.engine.call_accept(&ring, data("")).await.unwrap();
    let reject = bob.engine.call_reject(&ring, data("")).await.unwrap();
    stands(accept.await, 6_100_002, "Withdrawn", "replaced");
    bob.engine.set_network(true).await.unwrap();
    reject.await.unwrap();
    alice.sees(&ring, "bob", UserState::Rejected).await;
    // The call that was withdrawn never was.
    let join = bob.accept(&call).await;
    stands(join, 6_000_276, "CallOver", "unknownCall");
}

#[tokio::test]
async fn r6100004_what_a_copy_of_a_database_had_not_settled() {
    let world = World::new();
    let [alice, mut bob] = world.devices(["alice", "bob"]).await;
    let id = alice.id().await;
    let config = alice.closed().await;
    let copy = world.path("copy.db");
    std::fs::copy(&config.database, &copy).unwrap();
    // The original goes on.
    let alice = Device::open(config.clone());
    let call = alice.invite(&["bob"], general()).await.unwrap().call_id;
    bob.is_rung(&call).await;
    let mut copied = Device::open(offhook::Config {
        server: "127.0.0.1:9".into(),
        database: copy.clone(),
        ..config.clone()
    });
    let reject = copied.engine.call_invite(&["bob"], general()).await;
    let dropped = reject.unwrap().call_id().clone();
    copied.engine.close().await.unwrap();
    copied = Device::open(offhook::Config {
        database: copy,
        ..config
    });
    let settled = copied
        .hears(|kind| matches!(kind, EventKind::CommandSettled(_)))
        .await;
    let EventKind::CommandSettled(settled) = settled else {
        panic!("{settled:?}");
    };
    assert_eq!(settled.call_id, dropped);
    stands(settled.result, 6_100_004, "Dropped", "copied");
    copied.connected().await;
    assert_ne!(copied.id().await, id);
    assert_eq!(alice.id().await, id);
    copied.cancel(&[], &call).await.unwrap();
    bob.hears_of(&call, "callInvitationCancelled").await;
}

#[tokio::test]
async fn r6100021_an_engine_that_is_paused_or_closed() {
    let world = World::new();
    let [mut alice] = world.devices(["alice"]).await;
    let paused = |result: Result<(), Error>| {
        is(result, (6_100_021, "Closed", "closed"), true);
    };
    alice.engine.pause(None).await.unwrap();
    paused(alice.invite(&["bob"], general()).await.map(drop));
    paused(alice.engine.status().await.map(drop));
    paused(alice.engine.pending().map(drop));
    let page = alice.engine.query_call_invitation_list(20, 0);
    paused(page.map(drop));
    alice.engine.resume().await.unwrap();
    alice.connected().await;
    let call = alice.invite(&["bob"], general()).await.unwrap().call_id;
    alice.engine.close().await.unwrap();
    paused(alice.cancel(&[], &call).await.map(drop));
    paused(alice.engine.ringing().await.map(drop));
}
