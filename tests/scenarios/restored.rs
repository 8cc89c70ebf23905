//! A server whose data was put back to an older copy: its devices and what they wait for go on.

use std::fs;
use std::path::{Path, PathBuf};

use offhook::{Code, UserState};

use crate::support::{Device, World, advanced, data, general, refused};

/// A copy of the server's data while it runs and has nothing to do.
fn backup(world: &World) -> PathBuf {
    let copy = world.path("backup");
    copy_files(&world.data(), &copy);
    copy
}

fn copy_files(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_file() {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

/// The server is killed, and started again on the copy.
fn restore(world: &mut World, copy: &Path) {
    world.kill();
    let data = world.data();
    fs::remove_dir_all(&data).unwrap();
    copy_files(copy, &data);
    world.start();
}

/// Connects anew.
async fn comes_back(device: &mut Device) {
    device.engine.set_network(false).await.unwrap();
    device.engine.set_network(true).await.unwrap();
    device.connected().await;
}

#[tokio::test]
async fn devices_that_only_came_back_since_the_backup_keep_their_names_and_what_they_wait_for() {
    let mut world = World::new();
    let [mut alice, mut bob] = world.devices(["alice", "bob"]).await;
    let copy = backup(&world);
    let names = [alice.id().await, bob.id().await];
    // New welcome tokens, and a verdict that no feed tells of.
    for device in [&mut alice, &mut bob] {
        for _ in 0..3 {
            comes_back(device).await;
        }
    }
    let nowhere = offhook::CallId::trusted("nowhere");
    refused(
        alice.cancel(&[], &nowhere).await,
        Code::CallOver,
        "unknownCall",
    );
    alice.engine.set_network(false).await.unwrap();
    let waits = alice.engine.call_invite(&["bob"], general()).await.unwrap();
    let call = waits.call_id().clone();
    restore(&mut world, &copy);
    alice.engine.set_network(true).await.unwrap();
    waits.await.unwrap();
    comes_back(&mut bob).await;
    bob.is_rung(&call).await;
    bob.accept(&call).await.unwrap();
    assert_eq!([alice.id().await, bob.id().await], names);
}

#[tokio::test]
async fn a_call_that_the_backup_does_not_know_is_over_on_its_devices_and_the_next_can_be_made() {
    let mut world = World::new();
    let [mut alice, mut bob] = world.devices(["alice", "bob"]).await;
    let copy = backup(&world);
    let lost = alice.rings(advanced(), &mut [&mut bob]).await;
    bob.accept(&lost).await.unwrap();
    alice.sees(&lost, "bob", UserState::Accepted).await;
    let names = [alice.id().await, bob.id().await];
    restore(&mut world, &copy);
    for device in [&mut alice, &mut bob] {
        comes_back(device).await;
        let over = |entry: &offhook::CallEntry| !entry.call.is_started();
        assert!(over(&device.lists(&lost, over).await));
    }
    let refusal = alice.engine.call_end(&lost, data("")).await.map(drop);
    assert_eq!(refusal.unwrap_err().code, Code::CallOver);
    alice.rings(general(), &mut [&mut bob]).await;
    assert_eq!([alice.id().await, bob.id().await], names);
}
