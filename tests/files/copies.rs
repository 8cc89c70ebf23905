//! The power goes at every operation while a file is copied, put in place, or made smaller.

use std::path::Path;
use std::sync::Arc;

use offhook::call::{DeviceId, UserId};
use offhook::client::store::{Copying, Files, Store, back_up, restore};
use offhook::{Code, Error};
use rusqlite::{Connection, OpenFlags};

use super::disk::{Disk, Snapshot};

const FILE: &str = "bob.db";
const COPY: &str = "copy";
const ROWS: i64 = 400;

fn open(files: &Arc<dyn Files>, path: &Path) -> Result<Store, Error> {
    let (user, device) = (UserId::trusted("bob"), DeviceId::trusted("b1"));
    Store::open_on(files, path, &user, &device)
}

fn by_hand(disk: &Disk, name: &str) -> Connection {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE;
    Connection::open_with_flags_and_vfs(disk.path(name), flags, disk.vfs()).expect("by hand")
}

fn number(disk: &Disk, name: &str, sql: &str) -> i64 {
    let found = by_hand(disk, name).query_row(sql, [], |row| row.get(0));
    found.unwrap_or_else(|error| panic!("{sql}: {error}"))
}

/// All rows are there and the file is sound.
fn check(disk: &Disk, name: &str) {
    let found: String = by_hand(disk, name)
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .expect("checked");
    assert_eq!(found, "ok");
    let sum = "SELECT sum(at_ms) FROM journal WHERE name = 'kept'";
    assert_eq!(number(disk, name, sum), ROWS * (ROWS + 1) / 2);
}

/// A disk with a file of some rows, among free pages; `in_steps`: as this build makes it.
fn begun(in_steps: bool) -> Snapshot {
    let disk = Disk::new(0);
    if !in_steps {
        disk.put(FILE, Some(Vec::new()));
        let old = by_hand(&disk, FILE);
        old.execute_batch("PRAGMA auto_vacuum = NONE; CREATE TABLE t (x); DROP TABLE t")
            .expect("a page");
    }
    drop(open(&disk.files(), &disk.path(FILE)).expect("a file"));
    by_hand(&disk, FILE)
        .execute_batch(&format!(
            "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {ROWS})
             INSERT INTO journal (at_ms, call_id, name, params)
             SELECT n, 'c', iif(half, 'kept', 'gone'), '\"' || hex(zeroblob(300)) || '\"'
               FROM n, (SELECT 0 AS half UNION ALL SELECT 1);
             DELETE FROM journal WHERE name = 'gone' OR FALSE;",
        ))
        .expect("filled");
    let vacuum = number(&disk, FILE, "PRAGMA auto_vacuum");
    assert_eq!(vacuum, if in_steps { 2 } else { 0 });
    assert!(number(&disk, FILE, "PRAGMA freelist_count") > 10);
    disk.snapshot(FILE)
}

/// Does something with a fresh disk once undisturbed, then with the power going at every operation.
/// `after` looks at what is there when it is back.
fn crash_everywhere(
    begin: impl Fn(&Disk),
    work: impl Fn(&Disk) -> Result<(), Error>,
    after: impl Fn(&Disk, bool),
) -> u64 {
    let disk = Disk::new(1);
    begin(&disk);
    let before = disk.operations();
    work(&disk).expect("undisturbed");
    after(&disk, true);
    let operations = disk.operations() - before;
    for operation in 1..=operations {
        let disk = Disk::new(operation);
        begin(&disk);
        disk.crash_at(disk.operations() + operation);
        let done = work(&disk);
        assert!(disk.is_down() || done.is_ok(), "{operation}: {done:?}");
        disk.crash();
        disk.power_on();
        after(&disk, done.is_ok());
    }
    operations
}

#[test]
fn a_copy_that_loses_power_at_any_operation_is_whole_or_not_there() {
    let file = begun(true);
    let copy = |disk: &Disk| {
        let copying = Copying::default();
        let (from, to) = (disk.path(FILE), disk.path(COPY));
        back_up(disk.files().as_ref(), &from, &to, &copying.begin()?).map(drop)
    };
    let points = crash_everywhere(
        |disk| disk.restore(FILE, &file),
        copy,
        |disk, done| {
            check(disk, FILE);
            let is_there = disk.read(COPY).is_some();
            assert!(is_there || !done, "it was said to be there");
            if !is_there {
                // What is left of the first is in nobody's way.
                copy(disk).expect("made anew");
            }
            check(disk, COPY);
            let of = "SELECT count(*) FROM meta WHERE key = 'copy_of'";
            assert_eq!(number(disk, COPY, of), 1);
        },
    );
    println!("{points} crash points");
    assert!(points > 50, "{points}");
}

#[test]
fn a_restore_that_loses_power_at_any_operation_is_whole_or_not_there() {
    let original = Disk::new(0);
    original.restore(FILE, &begun(true));
    let copying = Copying::default();
    let (from, to) = (original.path(FILE), original.path(COPY));
    let turn = copying.begin().expect("the first");
    back_up(original.files().as_ref(), &from, &to, &turn).expect("a copy");
    let copy = original.snapshot(COPY);
    let put = |disk: &Disk| {
        let (from, to) = (disk.path(COPY), disk.path(FILE));
        restore(disk.files().as_ref(), &from, &to, None).map(drop)
    };
    let points = crash_everywhere(
        |disk| disk.restore(COPY, &copy),
        put,
        |disk, done| {
            check(disk, COPY);
            let is_there = disk.read(FILE).is_some();
            assert!(is_there || !done, "it was said to be there");
            if !is_there {
                put(disk).expect("put anew");
            }
            check(disk, FILE);
            let user = UserId::trusted("bob");
            let fresh = DeviceId::trusted("b2");
            let mut store =
                Store::open_on(&disk.files(), &disk.path(FILE), &user, &fresh).expect("opens");
            assert_eq!(store.device(), &fresh);
            assert!(store.take_restored().is_some());
        },
    );
    println!("{points} crash points");
    assert!(points > 50, "{points}");
}

#[test]
fn a_copy_that_is_opened_and_loses_power_at_any_operation_is_another_device_once() {
    let original = Disk::new(0);
    original.restore(FILE, &begun(true));
    let copying = Copying::default();
    let (from, to) = (original.path(FILE), original.path(COPY));
    let turn = copying.begin().expect("the first");
    back_up(original.files().as_ref(), &from, &to, &turn).expect("a copy");
    let copy = original.snapshot(COPY);
    let opens = |disk: &Disk, name: &str| {
        let user = UserId::trusted("bob");
        Store::open_on(
            &disk.files(),
            &disk.path(FILE),
            &user,
            &DeviceId::trusted(name),
        )
    };
    crash_everywhere(
        |disk| disk.restore(FILE, &copy),
        |disk| opens(disk, "b2").map(drop),
        |disk, done| {
            let store = opens(disk, "b3").expect("opens");
            let device = store.device().as_str();
            assert!(device == "b2" || !done && device == "b3", "{device}");
            drop(store);
            check(disk, FILE);
        },
    );
}

fn compacts(disk: &Disk) -> Result<(), Error> {
    let mut store = open(&disk.files(), &disk.path(FILE))?;
    loop {
        let space = store.look(|tx| tx.space())?;
        if space.in_steps && space.free_pages == 0 {
            return store.write_log_back(true).map(drop);
        }
        if space.in_steps {
            store.transact(|tx| tx.give_back_pages())?;
        } else {
            store.rewrite()?;
        }
    }
}

fn is_compact(disk: &Disk, done: bool) {
    check(disk, FILE);
    if !done {
        compacts(disk).expect("compacted anew");
        check(disk, FILE);
    }
    assert_eq!(number(disk, FILE, "PRAGMA freelist_count"), 0);
}

#[test]
fn a_file_that_gives_room_back_and_loses_power_at_any_operation_keeps_all_that_is_in_it() {
    for in_steps in [true, false] {
        let file = begun(in_steps);
        let points = crash_everywhere(|disk| disk.restore(FILE, &file), compacts, is_compact);
        println!("{points} crash points");
        assert!(points > 50, "{points}");
    }
}

#[test]
fn where_there_is_no_room_a_copy_and_a_rewriting_are_refused_and_leave_everything_as_it_was() {
    for in_steps in [true, false] {
        let disk = Disk::new(7);
        disk.restore(FILE, &begun(in_steps));
        disk.set_room(Some(40_000));
        let copying = Copying::default();
        let (from, to) = (disk.path(FILE), disk.path(COPY));
        let turn = copying.begin().expect("the first");
        let refused = back_up(disk.files().as_ref(), &from, &to, &turn).expect_err("no room");
        assert_eq!(refused.code, Code::DiskFull, "{refused}");
        let names = disk.names();
        assert!(
            !names.iter().any(|name| name.starts_with(COPY)),
            "{names:?}"
        );
        if !in_steps {
            assert_eq!(compacts(&disk).expect_err("no room").code, Code::DiskFull);
        }
        disk.set_room(None);
        check(&disk, FILE);
    }
}
