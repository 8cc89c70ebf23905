//! A device gets another address while it is in a call or rung, with commands under way: its router
//! forgot it, or it moved to another network itself. QUIC's connection moves along.

use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;

use crate::process::{Device, Server};
use crate::proxy::Weather;
use crate::random::Random;
use crate::sql;

/// Heard often, so that a device that has nothing to say soon says that it is there.
const SETTINGS: &[&str] = &["heartbeat_s=1", "offline_after_s=10"];
/// How often a device gets another address.
const MOVES: i64 = 5;

const ACCEPTED: i64 = 1;
const QUIT: i64 = 7;

/// How a device gets another address.
#[derive(Clone, Copy, Debug)]
enum Move {
    /// Without knowing it.
    Router,
    /// It opens another socket.
    Itself,
}

impl Move {
    fn happens_to(self, device: &mut Device) {
        match self {
            Self::Router => device.proxy.moves(),
            Self::Itself => {
                device.asks("networkChanged", json!({}));
            }
        }
    }
}

/// Alice is in a call with bob; carol is being rung. All of them are far away, so that what they say
/// is under way for a while.
struct Scene {
    server: Server,
    alice: Device,
    bob: Device,
    carol: Device,
    call: String,
    _folder: TempDir,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let server = Server::new(folder.path(), SETTINGS);
        let mut alice = connected("alice", folder.path(), &server);
        let mut bob = connected("bob", folder.path(), &server);
        let mut carol = connected("carol", folder.path(), &server);
        let invite = json!({"invitees": ["bob", "carol"], "config": {"mode": 1, "timeout": 600}});
        let (_, call) = alice.gives("callInvite", invite);
        for invitee in [&mut bob, &mut carol] {
            invitee.hears("a ring", |device| device.rung.contains(&call));
        }
        bob.gives("callAccept", json!({"callID": call}));
        alice.hears("bob's answer", |device| {
            device
                .told
                .contains(&(call.clone(), "bob".into(), ACCEPTED))
        });
        Self {
            server,
            alice,
            bob,
            carol,
            call,
            _folder: folder,
        }
    }

    fn hello_ms(&self, user: &str) -> i64 {
        sql::said_hello_ms(&self.server.database(), user)
    }
}

fn connected(name: &'static str, folder: &Path, server: &Server) -> Device {
    let mut device = Device::new(name, name, folder, server, Random::new(1));
    device.proxy.set_both(Weather {
        delay: Duration::from_millis(15),
        ..Weather::default()
    });
    device.starts();
    device.hears("a connection", |device| {
        device
            .connection
            .last()
            .is_some_and(|last| last["state"] == 2)
    });
    device
}

fn addresses(device: &Device) -> u64 {
    device.proxy.counts().addresses.load(Ordering::Relaxed)
}

/// Commands of a device in a call are under way whenever it moves, and each has its effect once.
fn in_a_call(how: Move) {
    let mut scene = Scene::new();
    let (connection, hello) = (scene.alice.connection.clone(), scene.hello_ms("alice"));
    let before = addresses(&scene.alice);
    let mut given = Vec::new();
    for _ in 0..MOVES {
        let dave = json!({"invitees": ["dave"], "callID": scene.call});
        given.push(scene.alice.gives("callingInvite", dave.clone()).0);
        how.happens_to(&mut scene.alice);
        given.push(scene.alice.gives("callCancel", dave).0);
        scene.alice.hears("the verdicts", |alice| {
            given.iter().all(|op| alice.settled.contains_key(op))
        });
    }
    for op in &given {
        let settled = &scene.alice.settled[op];
        assert!(settled.get("error").is_none(), "{settled}");
    }
    let database = scene.server.database();
    let times = sql::invitations(&database, &scene.call, "dave");
    assert_eq!(times, MOVES, "each invite was done once");
    // What others do reaches it as before.
    scene.bob.gives("callQuit", json!({"callID": scene.call}));
    let call = scene.call.clone();
    scene.alice.hears("bob's leaving", |device| {
        device.told.contains(&(call.clone(), "bob".into(), QUIT))
    });
    assert_eq!(scene.alice.connection, connection, "it was told of it");
    assert_eq!(scene.hello_ms("alice"), hello, "it is another connection");
    let moved = addresses(&scene.alice) - before;
    assert!(moved >= MOVES.cast_unsigned(), "it moved {moved} times");
}

/// A device that rings has nothing to say when it moves; what is said to its old address is lost,
/// and comes again.
fn rung(how: Move) {
    let mut scene = Scene::new();
    let (connection, hello) = (scene.carol.connection.clone(), scene.hello_ms("carol"));
    let before = addresses(&scene.carol);
    how.happens_to(&mut scene.carol);
    let cancel = json!({"invitees": ["carol"], "callID": scene.call});
    scene.alice.gives("callCancel", cancel.clone());
    let call = scene.call.clone();
    scene.carol.hears("the cancel", |carol| {
        carol.has_heard("callInvitationCancelled", &call)
    });
    scene.alice.gives("callingInvite", cancel);
    how.happens_to(&mut scene.carol);
    scene
        .carol
        .hears("another ring", |carol| carol.rung.len() == 2);
    let (accept, _) = scene
        .carol
        .gives("callAccept", json!({"callID": scene.call}));
    how.happens_to(&mut scene.carol);
    scene
        .carol
        .hears("its verdict", |carol| carol.settled.contains_key(&accept));
    scene.alice.hears("carol's answer", |alice| {
        alice
            .told
            .contains(&(call.clone(), "carol".into(), ACCEPTED))
    });
    assert!(scene.carol.settled[&accept].get("error").is_none());
    assert_eq!(scene.carol.rung.len(), 2);
    assert_eq!(scene.carol.connection, connection, "it was told of it");
    assert_eq!(scene.hello_ms("carol"), hello, "it is another connection");
    assert!(addresses(&scene.carol) > before, "it did not move");
}

#[test]
fn in_a_call_when_the_router_forgets_the_device_each_command_has_its_effect_once() {
    in_a_call(Move::Router);
}

#[test]
fn in_a_call_when_the_device_moves_each_command_has_its_effect_once() {
    in_a_call(Move::Itself);
}

#[test]
fn rung_when_the_router_forgets_the_device_nothing_is_lost() {
    rung(Move::Router);
}

#[test]
fn rung_when_the_device_moves_nothing_is_lost() {
    rung(Move::Itself);
}

/// Nothing comes through for a while, less than after which anybody is given up: what was said
/// meanwhile comes through in the end, over the same connection.
#[test]
fn a_cut_that_is_shorter_than_all_patience_is_not_even_told() {
    let mut scene = Scene::new();
    let (connection, hello) = (scene.alice.connection.clone(), scene.hello_ms("alice"));
    scene.alice.proxy.set_both(Weather::CUT);
    let carol = json!({"invitees": ["carol"], "callID": scene.call});
    let (op, _) = scene.alice.gives("callCancel", carol);
    scene.bob.gives("callQuit", json!({"callID": scene.call}));
    scene.alice.asks("networkChanged", json!({}));
    scene.alice.proxy.set_both(Weather::default());
    let call = scene.call.clone();
    scene.alice.hears("what was said", |alice| {
        let quit = (call.clone(), "bob".to_owned(), QUIT);
        alice.settled.contains_key(&op) && alice.told.contains(&quit)
    });
    assert!(scene.alice.settled[&op].get("error").is_none());
    assert_eq!(scene.alice.connection, connection, "it was told of it");
    assert_eq!(scene.hello_ms("alice"), hello, "it is another connection");
}
