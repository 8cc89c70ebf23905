//! Point 1: durable before sent, a handle at once, a verdict that is not lost.

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;
use std::time::Duration;

use offhook::{CallId, CommandOptions, EventKind, Mode, Op, UserState};
use serde_json::{Value, json};

use crate::commands::{accept, cancel, end, id, invite, join, more, quit, reject};
use crate::support::{self, Device, SOON, general};
use crate::world::World;

#[test]
fn point_1_every_command_is_durable_before_it_is_sent() {
    let commands = [
        ("new", invite(&["bob"], Mode::General)),
        ("c1", cancel(&["bob"])),
        ("c1", accept()),
        ("c1", reject()),
        ("c1", more(&["carol"])),
        ("elsewhere", join()),
        ("c1", quit()),
        ("c1", end()),
    ];
    for (call, command) in commands {
        let kind = command.kind();
        let mut world = World::new();
        world.devices(&["alice", "bob"]);
        world.rings("alice1", "c1", &["bob"], Mode::Advanced);
        let submission = offhook::client::core::Submission {
            op: Some(Op::trusted("o1")),
            call_id: Some(id(call)),
            command,
            wait_s: None,
        };
        // The app dies with the frame in its hands.
        let given = world.act_and_die("alice1", |core, now| core.submit(now, submission));
        assert_eq!(given.unwrap().call_id, id(call));
        let pending = world.pending("alice1");
        assert_eq!(pending.len(), 1, "{kind:?}");
        assert_eq!(
            (&pending[0].op, pending[0].sent),
            (&Op::trusted("o1"), true)
        );
        world.crash("alice1");
        world.start("alice1");
        assert_eq!(world.sent("alice1", "command").len(), 1, "{kind:?}");
        let heard = world.heard("alice1");
        assert!(heard[0].starts_with("verdict o1 "), "{kind:?}: {heard:?}");
    }
}

#[test]
fn point_1_what_is_durable_makes_the_effect_happen_exactly_once() {
    // Where the command, or its verdict, is when app and server die.
    for (reaches_the_server, server_dies) in
        [(false, false), (false, true), (true, false), (true, true)]
    {
        let mut world = World::new();
        world.devices(&["alice", "bob"]);
        world.phone_mut("alice1").up_held = !reaches_the_server;
        world.phone_mut("alice1").down_held = true;
        world.does("alice1", "o1", "c1", invite(&["bob"], Mode::General));
        world.crash("alice1");
        if server_dies {
            world.restart_server();
        }
        let alice = world.phone_mut("alice1");
        (alice.up_held, alice.down_held) = (false, false);
        world.pass(1_000);
        world.start("alice1");
        world.pass(1_000);
        let mut heard = world.heard("alice1");
        heard.retain(|words| words.starts_with("verdict"));
        assert_eq!(heard, ["verdict o1 ok"]);
        assert_eq!(world.heard("bob1"), ["received c1"]);
        assert_eq!(world.page("bob1").calls.len(), 1);
        assert_eq!(
            world.entry("bob1", "c1").unwrap().call.members[1].invitation,
            1
        );
        assert_eq!(world.pending("alice1"), []);
    }
}

/// A program that holds an engine, and is killed.
fn rpc_that_is_killed(world: &support::World, lines: &[Value]) -> Vec<Value> {
    let mut child = support::offhook()
        .args([
            "rpc",
            "--server",
            world.address(),
            "--user",
            "alice",
            "--ca",
        ])
        .arg(world.data().join("cert.pem"))
        .arg("--db")
        .arg(world.path("alice.db"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let stdout = BufReader::new(child.stdout.take().unwrap());
    for line in lines {
        writeln!(stdin, "{line}").unwrap();
    }
    let said = stdout.lines().map(|line| line.unwrap());
    let said = said.map(|line| serde_json::from_str::<Value>(&line).unwrap());
    let replies = said.filter(|one| one.get("id").is_some());
    let replies = replies.take(lines.len()).collect();
    child.kill().unwrap();
    child.wait().unwrap();
    replies
}

#[tokio::test]
async fn point_1_a_command_outlives_the_app_that_is_killed_right_after_its_handle() {
    let mut world = support::World::new();
    world.kill();
    let line = json!({"jsonrpc": "2.0", "id": 1, "method": "callInvite",
                      "params": {"invitees": ["bob"], "wait": "disk"}});
    let replies = rpc_that_is_killed(&world, &[line]);
    let call = CallId::trusted(replies[0]["result"]["callID"].as_str().unwrap());
    world.start();
    let mut bob = world.device("bob", "bob").await;
    let mut alice = world.offline_device("alice", "alice");
    bob.is_rung(&call).await;
    alice.sees(&call, "bob", UserState::Received).await;
    assert_eq!(alice.states(&call).len(), 2);
    let (events, _) = alice.engine.events_since(0, 10).await.unwrap();
    let EventKind::CommandSettled(settled) = &events[0].kind else {
        panic!("{events:?}");
    };
    assert_eq!(replies[0]["result"]["op"], settled.op.as_str());
    assert!(settled.result.is_ok());
}

#[tokio::test]
async fn point_1_it_comes_back_at_once_with_a_handle_and_the_verdict_is_a_second_step() {
    let world = support::World::new();
    let [alice, mut bob] = world.devices(["alice", "bob"]).await;
    alice.engine.set_network(false).await.unwrap();
    let handle = alice.engine.call_invite(&["bob"], general()).await.unwrap();
    let call = handle.call_id().clone();
    let pending = alice.engine.pending().unwrap();
    assert_eq!((&pending[0].call_id, pending[0].sent), (&call, false));
    let mut verdict = std::future::IntoFuture::into_future(handle);
    let early = tokio::time::timeout(Duration::ZERO, &mut verdict).await;
    assert!(early.is_err(), "a verdict without a server: {early:?}");
    alice.engine.set_network(true).await.unwrap();
    assert_eq!(verdict.await.unwrap().call_id, call);
    bob.is_rung(&call).await;
    assert_eq!(alice.engine.pending().unwrap(), []);
}

#[tokio::test]
async fn point_1_the_verdict_survives_a_restart_of_the_app() {
    let world = support::World::new();
    let [mut alice, mut bob] = world.devices(["alice", "bob"]).await;
    let call = alice.rings(general(), &mut [&mut bob]).await;
    bob.engine.set_network(false).await.unwrap();
    let options = CommandOptions::default();
    let handle = bob.engine.call_accept(&call, options).await.unwrap();
    let op = handle.op().clone();
    let mut bob = bob.reopened().await;
    let is_its = |kind: &EventKind| match kind {
        EventKind::CommandSettled(settled) => settled.op == op && settled.result.is_ok(),
        _ => false,
    };
    bob.hears(is_its).await;
    alice.sees(&call, "bob", UserState::Accepted).await;
    // Nobody has acknowledged it, so it is still there in the run after that.
    let mut bob = bob.reopened().await;
    bob.connected().await;
    let (events, _) = bob.engine.events_since(0, 100).await.unwrap();
    assert_eq!(events.iter().filter(|one| is_its(&one.kind)).count(), 1);
    assert_eq!(bob.state_of(&call, "bob"), UserState::Accepted);
    fails_to_wait_for_a_closed_engine(bob).await;
}

/// The handle of a run that is over says so, and that the verdict is not lost.
async fn fails_to_wait_for_a_closed_engine(bob: Device) {
    bob.engine.set_network(false).await.unwrap();
    let handle = bob.engine.call_invite(&["alice"], general()).await.unwrap();
    let op = handle.op().clone();
    let mut bob = bob.reopened().await;
    let verdict = tokio::time::timeout(SOON, std::future::IntoFuture::into_future(handle));
    let error = verdict.await.unwrap().unwrap_err();
    assert_eq!(error.code, offhook::Code::Closed);
    bob.hears(|kind| match kind {
        EventKind::CommandSettled(settled) => settled.op == op,
        _ => false,
    })
    .await;
}
