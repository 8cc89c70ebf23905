//! A sync that fails once: what is stored after the next start is kept when the power goes.

use offhook::call::{DeviceId, UserId};
use offhook::client::store::Store as ClientStore;
use offhook::server::store::Store;
use offhook::server::store::sqlite::SqliteStore;

use super::disk::Disk;
use super::look::Look;

/// How many disks are tried; what a failed sync and a loss of power leave is different on each.
const DISKS: u64 = 40;

fn server(disk: &Disk) -> SqliteStore {
    SqliteStore::open_on(disk.vfs(), &disk.path("server.db")).expect("does not open")
}

fn stores(store: &mut SqliteStore, clock: i64) -> bool {
    let mut transaction = store.begin().expect("does not begin");
    transaction.set_clock(clock).expect("does not write");
    transaction.commit().is_ok()
}

#[test]
fn what_a_server_stores_after_a_sync_had_failed_outlives_a_loss_of_power() {
    for seed in 0..DISKS {
        let disk = Disk::new(seed);
        let mut store = server(&disk);
        assert!(stores(&mut store, 1));
        disk.fail_sync_at(Some(disk.syncs() + 1));
        assert!(!stores(&mut store, 2), "seed {seed}");
        drop(store);
        disk.fail_sync_at(None);
        let mut store = server(&disk);
        for clock in 3..6 {
            assert!(stores(&mut store, clock), "seed {seed}");
        }
        disk.crash();
        drop(store);
        disk.power_on();
        let mut store = server(&disk);
        let clock = store.begin().expect("does not begin").clock();
        assert_eq!(clock.expect("does not read"), 5, "seed {seed}");
    }
}

#[test]
fn what_a_device_stores_after_a_sync_had_failed_outlives_a_loss_of_power() {
    let (user, device) = (UserId::trusted("anna"), DeviceId::trusted("d"));
    for seed in 0..DISKS {
        let disk = Disk::new(seed);
        let open = || ClientStore::open_on(&disk.files(), &disk.path("anna.db"), &user, &device);
        let mut store = open().expect("does not open");
        let write =
            |store: &mut ClientStore, heard| store.transact(|tx| tx.set_heard(heard)).is_ok();
        assert!(write(&mut store, 1));
        disk.fail_sync_at(Some(disk.syncs() + 1));
        assert!(!write(&mut store, 2), "seed {seed}");
        disk.process_died();
        drop(store);
        disk.fail_sync_at(None);
        let mut store = open().expect("does not open");
        for heard in 3..6 {
            assert!(write(&mut store, heard), "seed {seed}");
        }
        disk.crash();
        drop(store);
        disk.power_on();
        let mut store = open().expect("does not open");
        let feed = store.transact(|tx| tx.feed()).expect("does not read");
        assert_eq!(feed.heard_at, 5, "seed {seed}");
    }
}

#[test]
fn what_a_device_was_told_had_failed_is_not_there_after_its_app_was_killed() {
    let (user, device) = (UserId::trusted("anna"), DeviceId::trusted("d"));
    for seed in 0..DISKS {
        let disk = Disk::new(seed);
        let open = || ClientStore::open_on(&disk.files(), &disk.path("anna.db"), &user, &device);
        let mut store = open().expect("does not open");
        let heard = |store: &mut ClientStore| {
            let feed = store.transact(|tx| tx.feed());
            feed.expect("does not read").heard_at
        };
        store
            .transact(|tx| tx.set_heard(1))
            .expect("does not write");
        // An app that reads its lists.
        let look = Look::at(&disk, "anna.db");
        assert!(look.has_table("calls"));
        disk.fail_sync_at(Some(disk.syncs() + 1));
        let failed = store.transact(|tx| tx.set_heard(2));
        failed.expect_err("the sync did not fail");
        disk.fail_sync_at(None);
        assert_eq!(heard(&mut store), 1, "seed {seed}");
        let killed = disk.snapshot("anna.db");
        drop((store, look));
        disk.restore("anna.db", &killed);
        assert_eq!(heard(&mut open().expect("does not open")), 1, "seed {seed}");
    }
}
