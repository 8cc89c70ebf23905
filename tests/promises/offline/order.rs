//! Points 8 and 11: the verdict before its events, and everything after its commit.

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

use offhook::{Code, Mode, UserState};
use serde_json::{Value, json};

use crate::commands::{accept, cancel, end, id, invite, join, more, quit, reject};
use crate::support;
use crate::world::World;
use crate::{spoil, world};

/// Bob's device is in c1, an advanced call of alice's, and rung by c2.
fn in_a_call_and_rung() -> World {
    let mut world = World::new();
    world.devices(&["alice", "bob", "carol"]);
    world.device("bob", "bob2");
    world.rings("alice1", "c1", &["bob"], Mode::Advanced);
    world.does("bob1", "a", "c1", accept());
    world.rings("carol1", "c2", &["bob"], Mode::Advanced);
    world.forget_all();
    world
}

#[test]
fn point_8_on_the_acting_device_the_verdict_comes_before_the_events_that_it_caused() {
    let commands = [
        ("c1", more(&["dora"])),
        ("c1", quit()),
        ("c1", end()),
        ("c2", accept()),
        ("c2", reject()),
        ("c2", join()),
    ];
    for (call, command) in commands {
        for lost in [false, true] {
            let kind = command.kind();
            let mut world = in_a_call_and_rung();
            if lost {
                // The verdict is not heard before the device comes back.
                world.phone_mut("bob1").down_held = true;
                world.does("bob1", "o1", call, command.clone());
                world.cut("bob1");
                world.phone_mut("bob1").down_held = false;
                world.back("bob1");
            } else {
                world.does("bob1", "o1", call, command.clone());
            }
            world.pass(1_000);
            let heard = world.heard("bob1");
            assert_eq!(heard[0], "verdict o1 ok", "{kind:?} lost: {lost}");
        }
    }
}

#[test]
fn point_8_also_when_others_act_on_the_call_in_the_same_moment() {
    let mut world = in_a_call_and_rung();
    world.does("bob1", "more", "c1", more(&["carol"]));
    world.forget_all();
    world.give("bob1", "o1", "c1", more(&["dora"])).unwrap();
    world.give("carol1", "o2", "c1", accept()).unwrap();
    world.arrive_together(&["carol1", "bob1"]);
    assert_eq!(
        world.heard("bob1"),
        ["verdict o1 ok", "changed c1 carol=accepted,dora=inviting"]
    );
    assert_eq!(world.heard("carol1")[0], "verdict o2 ok");
}

#[test]
fn point_8_a_program_reads_the_reply_before_the_notifications() {
    let world = support::World::new();
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
    let line = json!({"jsonrpc": "2.0", "id": 1, "method": "callInvite",
                      "params": {"invitees": ["bob"]}});
    writeln!(stdin, "{line}").unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let said = lines.map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap());
    let about_the_call = said.filter(|one| one["method"] != "connectionStateChanged");
    let first: Vec<Value> = about_the_call.take(2).collect();
    assert!(first[0]["result"]["callID"].is_string(), "{first:?}");
    assert_eq!(first[1]["method"], "callInvitationCreated");
    drop(stdin);
    assert!(child.wait().unwrap().success());
}

#[test]
fn point_11_what_cannot_be_committed_is_neither_told_to_the_app_nor_acknowledged_to_the_server() {
    let mut world = World::new();
    world.devices(&["alice", "bob"]);
    let bobs_file = world.phone("bob1").file.clone();
    spoil::commits_fail(&bobs_file);
    world.does("alice1", "o1", "c1", invite(&["bob"], Mode::General));
    world.pass(20_000);
    // Not rung, no receipt, no cursor, no call in the list; and so alice is told of no ringing.
    assert_eq!(world.heard("bob1"), [""; 0]);
    assert_eq!(world.sent("bob1", "receipt"), [""; 0]);
    assert_eq!(world.page("bob1").calls, []);
    assert_eq!(world.journal("bob1"), [""; 0]);
    assert_eq!(world.state("alice1", "c1", "bob"), UserState::Inviting);
    spoil::commits_succeed(&bobs_file);
    world.pass(30_000);
    assert_eq!(world.heard("bob1"), ["received c1"]);
    assert!(!world.sent("bob1", "receipt c1 1").is_empty());
    assert_eq!(world.state("alice1", "c1", "bob"), UserState::Received);
}

#[test]
fn point_11_a_verdict_is_told_and_acknowledged_only_after_its_commit() {
    let mut world = in_a_call_and_rung();
    let file = world.phone("bob1").file.clone();
    world.phone_mut("bob1").down_held = true;
    world.does("bob1", "o1", "c2", reject());
    world.sent("bob1", "");
    spoil::commits_fail(&file);
    world.phone_mut("bob1").down_held = false;
    world.pass(40_000);
    assert_eq!(world.heard("bob1"), [""; 0]);
    assert_eq!(world.pending("bob1").len(), 1);
    assert_eq!(world.sent("bob1", "settled 3"), [""; 0]);
    assert_eq!(world.state("carol1", "c2", "bob"), UserState::Rejected);
    spoil::commits_succeed(&file);
    world.pass(61_000);
    assert_eq!(world.heard("bob1")[0], "verdict o1 ok");
    assert_eq!(world.pending("bob1"), []);
}

#[test]
fn point_11_a_command_that_cannot_be_committed_is_refused_and_never_sent() {
    let mut world = in_a_call_and_rung();
    let file = world.phone("bob1").file.clone();
    spoil::commits_fail(&file);
    let error = world.give("bob1", "o1", "c2", accept()).unwrap_err();
    assert_eq!(
        error.code,
        Code::Internal,
        "what the file has to say: {error}"
    );
    world.settle();
    assert_eq!(world.sent("bob1", "command"), [""; 0]);
    spoil::commits_succeed(&file);
    world.pass(1_000);
    assert_eq!(world.pending("bob1"), []);
    assert!(world.state("carol1", "c2", "bob").is_pending());
}

#[test]
fn point_11_the_server_gives_no_verdict_and_tells_nobody_before_its_commit() {
    let mut world = World::new();
    world.devices(&["alice", "bob"]);
    world.fault.set(true);
    world.does("alice1", "o1", "c1", invite(&["bob"], Mode::General));
    world.pass(5_000);
    assert_eq!(world.heard("alice1"), [""; 0]);
    assert_eq!(world.heard("bob1"), [""; 0]);
    world.fault.set(false);
    world.pass(5_000);
    assert_eq!(world.heard("alice1"), ["verdict o1 ok", "created c1"]);
    assert_eq!(world.heard("bob1"), ["received c1"]);
    assert_eq!(
        world.entry("bob1", "c1").unwrap().call.members[1].invitation,
        1
    );
    let made = world.entry("bob1", "c1").unwrap().call.create_time;
    assert!(made > world::BEGIN + 4_000, "made when it was kept");
    world.does("alice1", "o2", "c1", cancel(&[]));
    assert_eq!(world.ringing("bob1"), []);
    assert_eq!(world.page("bob1").calls[0].call.id, id("c1"));
}
