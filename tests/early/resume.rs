//! Coming back in one round trip.

use offhook::ConnectionState;

use crate::database::last_hello;
use crate::proxy::Datagram;
use crate::quic::has_early_data;
use crate::stage::{Stage, UNDER_WAY};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_rings_is_heard_after_one_round_trip_where_a_session_is_resumed() {
    let stage = Stage::new();
    let alice = stage.beside_the_proxy("alice").await;
    let mut bob = stage.behind_the_proxy("bob").await;
    alice.greet(&mut bob, "bob").await;
    bob.pause().await;
    let call = alice.ring("bob").await;
    let before = last_hello(&stage.data(), "bob");
    stage.proxy.set_delay(UNDER_WAY);
    let flow = stage.hold_all_but_first_flights();
    bob.resume().await;
    bob.is_rung(&call).await;
    // Nothing that the device said after it was first answered has reached the server.
    for one in stage.proxy.record() {
        let is_later = one.flow == flow && one.from_device && one.is_answered;
        assert!(!(is_later && one.has_passed));
    }
    assert_ne!(bob.state().await, ConnectionState::Connected);
    assert_eq!(last_hello(&stage.data(), "bob"), before, "nothing is noted");
    stage.proxy.pass_all();
    bob.connected().await;
    assert_ne!(last_hello(&stage.data(), "bob"), before);
    alice.cancel(&call).await;
    bob.ring_stops(&call).await;
    assert_eq!(bob.rang(&call), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_session_it_takes_a_second_round_trip() {
    let stage = Stage::new();
    let alice = stage.beside_the_proxy("alice").await;
    let mut bob = stage.behind_the_proxy("bob").await;
    alice.greet(&mut bob, "bob").await;
    bob.engine.close().await.unwrap();
    drop(bob);
    let call = alice.ring("bob").await;
    stage.proxy.set_delay(UNDER_WAY);
    let flow = stage.hold_all_but_first_flights();
    // The app was killed and is started again: sessions are in memory only.
    let mut bob = stage.offline_device("bob", stage.proxy.address());
    stage.proxy.wait_for(|record| {
        let held = |one: &&Datagram| one.flow >= flow && !one.has_passed;
        record.iter().filter(held).count() >= 3
    });
    assert!(bob.engine.ringing().await.unwrap().is_empty());
    stage.proxy.pass_all();
    bob.is_rung(&call).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_are_good_after_a_restart_of_the_server_in_good_order() {
    let mut stage = Stage::new();
    let alice = stage.beside_the_proxy("alice").await;
    let mut bob = stage.behind_the_proxy("bob").await;
    alice.greet(&mut bob, "bob").await;
    bob.pause().await;
    let call = alice.ring("bob").await;
    alice.pause().await;
    stage.stop();
    assert!(stage.sessions().exists());
    stage.start();
    stage.proxy.set_delay(UNDER_WAY);
    stage.hold_all_but_first_flights();
    bob.resume().await;
    bob.is_rung(&call).await;
    stage.proxy.pass_all();
    bob.connected().await;
    assert_eq!(bob.rang(&call), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hello_that_the_server_refuses_ahead_of_time_is_said_again_by_itself() {
    let mut stage = Stage::new();
    let alice = stage.beside_the_proxy("alice").await;
    let mut bob = stage.behind_the_proxy("bob").await;
    alice.greet(&mut bob, "bob").await;
    bob.pause().await;
    let call = alice.ring("bob").await;
    alice.pause().await;
    stage.stop();
    std::fs::remove_file(stage.sessions()).unwrap();
    stage.start();
    stage.proxy.set_delay(UNDER_WAY);
    let flow = stage.hold_all_but_first_flights();
    bob.resume().await;
    let record = stage.proxy.wait_for(|record| {
        let held = |one: &&Datagram| one.flow >= flow && !one.has_passed;
        record.iter().filter(held).count() >= 3
    });
    let ahead = |one: &Datagram| {
        one.flow >= flow && one.from_device && !one.is_answered && has_early_data(&one.bytes)
    };
    assert!(record.iter().any(ahead), "it was tried");
    assert!(bob.engine.ringing().await.unwrap().is_empty(), "in vain");
    stage.proxy.pass_all();
    bob.connected().await;
    bob.is_rung(&call).await;
    assert_eq!(bob.rang(&call), 1);
}
