//! A first flight that somebody has recorded and sends again.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use offhook::ConnectionState;

use crate::database::rows;
use crate::proxy::{Datagram, replay};
use crate::quic::has_early_data;
use crate::stage::{Device, Stage, UNDER_WAY, has_logged, logged};

/// The server's log calls it so.
pub fn name_of(socket: &UdpSocket) -> String {
    format!("peer={}", socket.local_addr().unwrap())
}

pub fn is_answered(socket: &UdpSocket) {
    socket
        .recv(&mut [0; 2048])
        .expect("the server says something");
}

/// A packet of a version that there is not: a server answers it at once, after whatever came before.
pub fn asks_for_versions(socket: &UdpSocket, server: SocketAddr) {
    let mut packet = [0; 1200];
    packet[..6].copy_from_slice(&[0xc0, 0x0a, 0x0a, 0x0a, 0x0a, 8]);
    socket.send_to(&packet, server).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flight_that_never_arrived_and_is_sent_by_somebody_else_has_no_effect() {
    let stage = Stage::new();
    let alice = stage.beside_the_proxy("alice").await;
    let mut bob = stage.behind_the_proxy("bob").await;
    alice.greet(&mut bob, "bob").await;
    bob.pause().await;
    let call = alice.ring("bob").await;
    // It is what the device is expected to say, word by word, and the session is still good.
    stage.proxy.cut();
    let flow = stage.proxy.flows();
    bob.resume().await;
    stage.proxy.wait_for(|record| {
        let hello = |one: &Datagram| one.flow == flow && has_early_data(&one.bytes);
        record.iter().any(hello)
    });
    let flight = stage.proxy.first_flight(flow);
    bob.pause().await;
    let before = rows(&stage.data());
    let thief = replay(stage.address, &flight);
    let peer = name_of(&thief);
    logged(&["early hello", &peer, "answered=true"]);
    is_answered(&thief);
    assert_eq!(rows(&stage.data()), before);
    logged(&["never confirmed", &peer]);
    assert_eq!(rows(&stage.data()), before);
    // The device comes back as if nothing had been.
    stage.proxy.pass_all();
    bob.resume().await;
    bob.is_rung(&call).await;
    bob.connected().await;
    assert_eq!(bob.rang(&call), 1);
}

/// A device that came back with a hello in its first flight; what the server kept of its sessions
/// before that, and the flight.
pub async fn recorded(stage: &mut Stage) -> (Device, Vec<u8>, Vec<Vec<u8>>) {
    let mut bob = stage.behind_the_proxy("bob").await;
    bob.pause().await;
    stage.stop();
    let sessions = std::fs::read(stage.sessions()).unwrap();
    stage.start();
    let flow = stage.proxy.flows();
    stage.proxy.set_delay(UNDER_WAY);
    bob.resume().await;
    bob.connected().await;
    stage.proxy.set_delay(Duration::ZERO);
    let flight = stage.proxy.first_flight(flow);
    (bob, sessions, flight)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flight_that_had_its_effect_has_none_when_it_is_sent_again() {
    let mut stage = Stage::new();
    let (mut bob, old_sessions, flight) = recorded(&mut stage).await;

    // At once: the session was taken, so nobody can read it.
    let before = rows(&stage.data());
    let thief = replay(stage.address, &flight);
    asks_for_versions(&thief, stage.address);
    is_answered(&thief);
    assert_eq!(rows(&stage.data()), before);
    assert!(!has_logged(&["early hello", &name_of(&thief)]));

    // After a crash, by which the server forgot that it was taken; the device is here.
    stage.stop();
    std::fs::write(stage.sessions(), &old_sessions).unwrap();
    bob.forget();
    stage.start();
    bob.connected().await;
    let before = rows(&stage.data());
    let thief = replay(stage.address, &flight);
    let peer = name_of(&thief);
    logged(&["early hello", &peer, "answered=false"]);
    logged(&["never confirmed", &peer]);
    assert_eq!(rows(&stage.data()), before);
    assert_eq!(bob.state().await, ConnectionState::Connected);
    let heard = bob.heard.len();
    // Its connection is the one that is rung.
    let alice = stage.beside_the_proxy("alice").await;
    let call = alice.ring("bob").await;
    bob.is_rung(&call).await;
    assert_eq!(bob.heard.len(), heard + 1, "{:?}", bob.heard);

    // And once more, when the device is gone.
    bob.pause().await;
    alice.pause().await;
    stage.stop();
    std::fs::write(stage.sessions(), &old_sessions).unwrap();
    stage.start();
    let before = rows(&stage.data());
    let thief = replay(stage.address, &flight);
    let peer = name_of(&thief);
    logged(&["early hello", &peer]);
    logged(&["never confirmed", &peer]);
    assert_eq!(rows(&stage.data()), before);
}
