//! The tests' own disks: that SQLite works on them, and that they break as told.

use std::path::Path;
use std::time::Duration;

use offhook::call::{DeviceId, UserId};
use offhook::client::store::{Readers, Store};
use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};

use super::disk::Disk;

fn connect(disk: &Disk, name: &str) -> Connection {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags_and_vfs(disk.path(name), flags, disk.vfs()).unwrap()
}

/// In WAL mode, with a table of numbers.
fn numbers(disk: &Disk) -> Connection {
    let connection = connect(disk, "n.db");
    let journal: String = connection
        .query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))
        .unwrap();
    assert_eq!(journal, "wal");
    connection
        .execute_batch("PRAGMA synchronous = FULL; CREATE TABLE IF NOT EXISTS t (n INTEGER, pad)")
        .unwrap();
    connection
}

fn add(connection: &Connection, n: i64) -> rusqlite::Result<()> {
    connection
        .execute("INSERT INTO t VALUES (?1, zeroblob(700))", [n])
        .map(drop)
}

fn all(connection: &Connection) -> Vec<i64> {
    let mut statement = connection
        .prepare("SELECT n FROM t ORDER BY rowid")
        .unwrap();
    let rows = statement.query_map([], |row| row.get(0)).unwrap();
    rows.map(Result::unwrap).collect()
}

fn is_sound(connection: &Connection) -> bool {
    connection
        .query_row("PRAGMA integrity_check", [], |row| row.get::<_, String>(0))
        .is_ok_and(|said| said == "ok")
}

#[test]
fn several_connections_read_and_write_one_database_in_wal_mode() {
    let disk = Disk::new(1);
    let first = numbers(&disk);
    let second = connect(&disk, "n.db");
    add(&first, 1).unwrap();
    assert_eq!(all(&second), [1]);
    add(&second, 2).unwrap();
    assert_eq!(all(&first), [1, 2]);
    // A reader sees what was there when it began.
    second.execute_batch("BEGIN").unwrap();
    assert_eq!(all(&second), [1, 2]);
    add(&first, 3).unwrap();
    assert_eq!(all(&second), [1, 2]);
    second.execute_batch("COMMIT").unwrap();
    assert_eq!(all(&second), [1, 2, 3]);
    first
        .execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")
        .unwrap();
    assert_eq!(disk.read("n.db-wal").unwrap().len(), 0);
    drop((first, second));
    assert_eq!(disk.names(), ["n.db"], "the last one clears up");
    assert_eq!(all(&connect(&disk, "n.db")), [1, 2, 3]);
}

#[test]
fn of_two_writers_one_waits() {
    let disk = Disk::new(1);
    let mut first = numbers(&disk);
    let second = connect(&disk, "n.db");
    second.busy_timeout(Duration::ZERO).unwrap();
    let writing = first
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .unwrap();
    let refused = add(&second, 2).unwrap_err();
    assert_eq!(refused.sqlite_error_code(), Some(ErrorCode::DatabaseBusy));
    drop(writing);
    add(&second, 2).unwrap();
}

#[test]
fn writers_in_several_threads_lose_nothing() {
    let disk = Disk::new(1);
    let first = numbers(&disk);
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let disk = &disk;
            scope.spawn(move || {
                let connection = connect(disk, "n.db");
                connection.busy_timeout(Duration::from_secs(60)).unwrap();
                for n in 0..50 {
                    add(&connection, writer * 50 + n).unwrap();
                }
            });
        }
    });
    let mut found = all(&first);
    found.sort_unstable();
    assert_eq!(found, (0..200).collect::<Vec<i64>>());
    assert!(is_sound(&first));
}

#[test]
fn a_rollback_journal_works_as_well() {
    let disk = Disk::new(1);
    let connection = connect(&disk, "n.db");
    connection
        .execute_batch("CREATE TABLE t (n INTEGER, pad); BEGIN; INSERT INTO t VALUES (1, 'a')")
        .unwrap();
    connection.execute_batch("ROLLBACK").unwrap();
    add(&connection, 2).unwrap();
    assert_eq!(all(&connection), [2]);
    assert_eq!(disk.names(), ["n.db"]);
}

#[test]
fn what_was_synced_survives_a_loss_of_power_and_what_was_not_may_not() {
    let (mut lost, mut kept) = (0, 0);
    for seed in 0..40 {
        let disk = Disk::new(seed);
        let connection = numbers(&disk);
        add(&connection, 1).unwrap();
        connection
            .execute_batch("PRAGMA synchronous = OFF")
            .unwrap();
        add(&connection, 2).unwrap();
        disk.crash();
        assert!(add(&connection, 3).is_err());
        drop(connection);
        disk.power_on();
        let connection = numbers(&disk);
        assert!(is_sound(&connection));
        match all(&connection).as_slice() {
            [1] => lost += 1,
            [1, 2] => kept += 1,
            other => panic!("seed {seed}: {other:?}"),
        }
    }
    assert!(lost > 0 && kept > 0, "{lost} lost, {kept} kept");
}

#[test]
fn the_death_of_a_process_loses_nothing_and_frees_its_locks() {
    let disk = Disk::new(1);
    let mut connection = numbers(&disk);
    connection
        .execute_batch("PRAGMA synchronous = OFF")
        .unwrap();
    add(&connection, 1).unwrap();
    let writing = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .unwrap();
    disk.process_died();
    let after = connect(&disk, "n.db");
    add(&after, 2).unwrap();
    assert_eq!(all(&after), [1, 2]);
    // The dead one does nothing any more, not even on closing.
    let _ = add(&writing, 9);
    assert!(writing.commit().is_err());
    drop(connection);
    assert_eq!(all(&after), [1, 2]);
    assert!(is_sound(&after));
}

#[test]
fn the_power_can_go_at_every_operation_and_nothing_synced_is_lost() {
    let script = |disk: &Disk| {
        let connection = numbers(disk);
        connection
            .execute_batch("PRAGMA wal_autocheckpoint = 8")
            .unwrap();
        (0..30).take_while(|n| add(&connection, *n).is_ok()).count()
    };
    let disk = Disk::new(0);
    script(&disk);
    let operations = disk.operations();
    assert!(operations > 150, "{operations}");
    for operation in 1..=operations {
        let disk = Disk::new(operation);
        let connection = numbers(&disk);
        drop(connection);
        disk.crash_at(disk.operations() + operation);
        let done = std::panic::catch_unwind(|| script(&disk)).unwrap_or(0);
        disk.power_on();
        let connection = numbers(&disk);
        assert!(is_sound(&connection), "crash at {operation}");
        let found = all(&connection);
        assert!(found.len() >= done, "crash at {operation}: {done} done");
        assert!(found.iter().copied().eq(0..found.len() as i64), "{found:?}");
    }
}

#[test]
fn the_same_seed_leaves_the_same() {
    let rest = |seed| {
        let disk = Disk::new(seed);
        let connection = connect(&disk, "n.db");
        connection
            .execute_batch(
                "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; CREATE TABLE t (n, pad)",
            )
            .unwrap();
        (0..200).for_each(|n| add(&connection, n).unwrap());
        disk.crash();
        drop(connection);
        disk.power_on();
        disk.read("n.db")
    };
    for seed in 0..10 {
        assert_eq!(rest(seed), rest(seed));
    }
    assert!((1..10).any(|seed| rest(seed) != rest(0)));
}

#[test]
fn a_full_disk_refuses_and_the_database_goes_on_when_there_is_room() {
    let disk = Disk::new(1);
    let connection = numbers(&disk);
    disk.set_room(Some(9_000));
    let full = (0..100)
        .find_map(|n| add(&connection, n).err())
        .expect("never full");
    assert_eq!(full.sqlite_error_code(), Some(ErrorCode::DiskFull));
    let before = all(&connection);
    disk.set_room(None);
    add(&connection, 100).unwrap();
    assert_eq!(all(&connection).len(), before.len() + 1);
    assert!(is_sound(&connection));
}

#[test]
fn a_sync_that_failed_is_said_to_be_fine_the_next_time_and_its_data_is_gone() {
    let mut lost = 0;
    for seed in 0..20 {
        let disk = Disk::new(seed);
        let connection = numbers(&disk);
        add(&connection, 1).unwrap();
        disk.fail_sync_at(Some(disk.syncs() + 1));
        let failed = add(&connection, 2).unwrap_err();
        assert_eq!(failed.sqlite_error_code(), Some(ErrorCode::SystemIoFailure));
        disk.crash();
        drop(connection);
        disk.power_on();
        let connection = numbers(&disk);
        assert!(is_sound(&connection));
        lost += usize::from(all(&connection) == [1]);
    }
    assert!(lost > 0);
}

#[test]
fn a_file_that_was_taken_away_is_known_to_be() {
    let disk = Disk::new(1);
    let connection = numbers(&disk);
    add(&connection, 1).unwrap();
    let before = disk.snapshot("n.db");
    add(&connection, 2).unwrap();
    disk.copy("n.db", "copy.db");
    disk.restore("n.db", &before);
    add(&connection, 3).unwrap();
    assert_eq!(all(&connect(&disk, "n.db")), [1]);
    assert_eq!(all(&connect(&disk, "copy.db")), [1, 2]);
}

#[test]
fn the_store_of_a_client_opens_on_it_and_is_held_by_one() {
    let disk = Disk::new(1);
    let (user, device) = (UserId::trusted("bob"), DeviceId::trusted("b1"));
    let open = || Store::open_on(&disk.files(), &disk.path("bob.db"), &user, &device);
    let mut store = open().unwrap();
    assert!(store.lock().unwrap());
    assert!(!open().unwrap().lock().unwrap());
    let readers = Readers::new_on(disk.files().as_ref(), &disk.path("bob.db"), &user);
    assert_eq!(readers.pending().unwrap().len(), 0);
    drop(readers);
    disk.process_died();
    let mut second = open().unwrap();
    assert!(second.lock().unwrap());
    drop(store);
    let mut third = open().unwrap();
    assert!(
        !third.lock().unwrap(),
        "the dead one's lock was not this one's"
    );
    drop(second);
    assert!(third.lock().unwrap());
}

#[test]
fn a_disk_is_gone_with_its_last_clone() {
    let disk = Disk::new(1);
    let path = disk.path("n.db");
    let vfs = disk.vfs();
    let clone = disk.clone();
    drop(numbers(&disk));
    drop(disk);
    drop(connect(&clone, "n.db"));
    drop(clone);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
    assert!(Connection::open_with_flags_and_vfs(Path::new(&path), flags, vfs).is_err());
}
