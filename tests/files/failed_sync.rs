//! A sync that fails once: what is stored after the next start is kept when the power goes.

use std::cell::RefCell;
use std::path::Path;

use offhook::EventKind;
use offhook::call::{CallId, DeviceId, UserId};
use offhook::client::store::Store as ClientStore;
use offhook::protocol::Capabilities;
use offhook::server::store::sqlite::SqliteStore;
use offhook::server::store::{Store, StoreResult};

use super::disk::Disk;
use super::look::Look;

/// How many disks are tried; what a failed sync and a loss of power leave is different on each.
const DISKS: u64 = 40;
/// How many rests of what was not synced are tried for each operation.
const RESTS: u64 = 20;

fn open_server(disk: &Disk) -> StoreResult<SqliteStore> {
    let write_again = |file: &Path| disk.write_again(file);
    SqliteStore::open_on(disk.vfs(), &disk.path("server.db"), &write_again)
}

fn server(disk: &Disk) -> SqliteStore {
    open_server(disk).expect("does not open")
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

/// So many rows that the log has many pages.
fn writes_much(store: &mut ClientStore, from: i64) -> bool {
    let written = store.transact(|tx| {
        for number in from..from + 300 {
            let event = EventKind::TokenWillExpire { seconds: 7 };
            tx.append_journal(number, &CallId::trusted(format!("call-{number}")), &event)?;
        }
        Ok(())
    });
    written.is_ok()
}

fn open_client(disk: &Disk) -> Result<ClientStore, offhook::Error> {
    let (user, device) = (UserId::trusted("anna"), DeviceId::trusted("d"));
    ClientStore::open_on(&disk.files(), &disk.path("anna.db"), &user, &device)
}

/// A database with a past, and a log in which a large commit is whose sync failed.
fn in_doubt(seed: u64) -> (Disk, ClientStore) {
    let disk = Disk::new(seed);
    let mut store = open_client(&disk).expect("does not open");
    assert!(writes_much(&mut store, 0));
    store.checkpoint().expect("is not written back");
    store
        .transact(|tx| tx.set_heard(9))
        .expect("does not write");
    disk.fail_sync_at(Some(disk.syncs() + 1));
    assert!(!writes_much(&mut store, 1_000), "the sync did not fail");
    disk.fail_sync_at(None);
    (disk, store)
}

/// Has the power go at every operation of what is done to a disk, several runs each.
fn loses_power_at_each(make: impl Fn(u64) -> Disk, work: impl Fn(&Disk), name: &str) {
    let mut cut = 0;
    for seed in 0.. {
        let after = seed / RESTS + 1;
        let disk = make(seed);
        disk.crash_at(disk.operations() + after);
        work(&disk);
        if !disk.is_down() {
            break;
        }
        cut += 1;
        disk.power_on();
        assert!(
            Look::at(&disk, name).is_sound(),
            "operation {after}, seed {seed}"
        );
    }
    println!("{cut} crash points");
    assert!(cut >= 8 * RESTS, "{cut}");
}

#[test]
fn a_device_may_lose_power_while_it_opens_behind_a_failed_sync() {
    let make = |seed| {
        let (disk, store) = in_doubt(seed);
        disk.process_died();
        drop(store);
        disk
    };
    loses_power_at_each(make, |disk| drop(open_client(disk)), "anna.db");
}

#[test]
fn a_server_may_lose_power_while_it_opens_behind_a_failed_sync() {
    let users = |store: &mut SqliteStore, from: i64| {
        let mut transaction = store.begin().expect("does not begin");
        for number in from..from + 300 {
            let user = UserId::trusted(format!("user-{}", number * 7_919 % 10_007));
            let put = transaction.put_user(&user, Capabilities::OURS, number);
            put.expect("does not write");
        }
        transaction.commit().is_ok()
    };
    let make = |seed| {
        let disk = Disk::new(seed);
        let mut store = server(&disk);
        assert!(users(&mut store, 0));
        drop(store);
        let mut store = server(&disk);
        assert!(stores(&mut store, 5));
        disk.fail_sync_at(Some(disk.syncs() + 1));
        assert!(!users(&mut store, 1_000));
        drop(store);
        disk.fail_sync_at(None);
        disk
    };
    loses_power_at_each(make, |disk| drop(open_server(disk)), "server.db");
}

#[test]
fn a_device_may_lose_power_while_it_looks_what_a_failed_sync_left_and_syncs_fail_again() {
    for fails_again in [1, 2] {
        let stores = RefCell::new(Vec::new());
        let make = |seed| {
            let (disk, store) = in_doubt(seed);
            disk.fail_sync_at(Some(disk.syncs() + fails_again));
            stores.borrow_mut().push(store);
            disk
        };
        let looks = |disk: &Disk| {
            let mut store = stores.borrow_mut().pop().expect("made before");
            for _ in 0..2 {
                let _ = store.transact(|tx| tx.feed());
            }
            if disk.is_down() {
                return;
            }
            let feed = store.transact(|tx| tx.feed());
            assert_eq!(feed.expect("does not read").heard_at, 9);
            assert!(!store.has_moved());
        };
        loses_power_at_each(make, looks, "anna.db");
    }
}

#[test]
fn a_disk_that_is_full_after_a_failed_sync_is_read_nevertheless() {
    for seed in 0..DISKS {
        let disk = Disk::new(seed);
        let mut store = open_client(&disk).expect("does not open");
        store
            .transact(|tx| tx.set_heard(1))
            .expect("does not write");
        disk.fail_sync_at(Some(disk.syncs() + 1));
        let failed = store.transact(|tx| tx.set_heard(2));
        failed.expect_err("the sync did not fail");
        disk.fail_sync_at(None);
        disk.set_room(Some(0));
        let found = store
            .transact(|tx| tx.feed())
            .expect("does not read")
            .heard_at;
        disk.set_room(None);
        let then = store
            .transact(|tx| tx.feed())
            .expect("does not read")
            .heard_at;
        assert_eq!(then, found, "seed {seed}");
    }
}

#[test]
fn a_log_that_another_engine_took_away_during_a_doubt_is_told_as_moved() {
    let (disk, mut store) = in_doubt(1);
    drop(open_client(&disk).expect("does not open"));
    store
        .transact(|tx| tx.feed())
        .map(drop)
        .expect_err("has moved");
    assert!(store.has_moved(), "only opening anew helps");
}
