//! What housekeeping costs on a store of a million calls: removing by age and by count, a step at a
//! time, as the engine does it; giving the room back; a copy. The database is made by
//! `offhook generate`.
//!
//! A step is what keeps commands waiting, so its longest and its 99th percentile stand there (ms from
//! BEGIN IMMEDIATE to the end of the COMMIT, sync included), and the sum of all. Between two steps the
//! engine pauses 50 ms, which is not in it. Beside each step, between the samples: the same rows
//! deleted by range, on another copy of the same file, with the same settings. The engine also looks
//! whether a call may go, keeps what is not acknowledged, and notes what went.
//!
//! Beside the room given back in steps: `VACUUM` of the other copy, which keeps everybody waiting for
//! all of it. Beside the copy: `VACUUM INTO` and SQLite's backup of the same file, which neither check
//! nor sync what they wrote.
//!
//! Room for about five such databases is needed, 4 GiB for a million calls. `OFFHOOK_BENCH_CALLS=20000`
//! is for a first look. There are no aims yet but that no step holds the writer for long.

mod common;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use common::{RUNS, Times, median, open_full};
use offhook::client::core::CALLS_A_STEP_MAX;
use offhook::client::store::{CallsCut, Copying, OsFiles, Store, back_up};
use offhook::{DeviceId, UserId};
use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, params};

/// Calls of the database, unless `OFFHOOK_BENCH_CALLS` says otherwise.
const CALLS: u32 = 1_000_000;
/// One in so many calls goes in a run, of either kind.
const SHARE: u32 = 50;
/// Fewest calls of which there are enough steps.
const CALLS_LEAST: u32 = 10_000;

/// The figures of a run: the engine's steps, and those by hand.
type Run = (Times, Times);

fn main() {
    if !common::is_asked_for() {
        return;
    }
    let asked = std::env::var("OFFHOOK_BENCH_CALLS").map(|text| text.parse());
    let calls: u32 = asked.map_or(CALLS, |number| number.expect("a number of calls"));
    let calls = calls.max(CALLS_LEAST);
    common::announce(&format!("housekeeping on a store of {calls} calls, in ms"));
    let folder = common::folder();
    let (database, other) = (folder.path().join("alice.db"), folder.path().join("raw.db"));
    make(&database, &other, calls);
    let mut store = open(&database);
    let by_hand = by_hand(&other);

    println!(
        "removed, a step of {CALLS_A_STEP_MAX} calls   longest      p99      p50   all of a run"
    );
    let each = calls / SHARE / CALLS_A_STEP_MAX as u32 * CALLS_A_STEP_MAX as u32;
    for (name, kept) in [("by age", by_age as Kept), ("by count", by_count as Kept)] {
        let mut looks = Times::default();
        let runs: Vec<Run> = (0..RUNS)
            .map(|_| {
                let (most, age) = kept(&mut store, &by_hand, each);
                let began = Instant::now();
                let cut = store.look(|tx| tx.calls_cut(most, age)).expect("a look");
                looks.add(began.elapsed());
                remove(&mut store, &by_hand, cut, each)
            })
            .collect();
        print_steps(name, &runs);
        println!("  what is to go, looked up: {:.1}\n", ms(looks.at(0.5)));
    }
    let left = "SELECT count(*) FROM calls";
    let engines = Connection::open(&database).expect("a database");
    assert_eq!(number(&engines, left), number(&by_hand, left));
    drop(engines);

    copies(&database, folder.path());
    give_back(&mut store, &by_hand);
}

/// How many calls are to be kept, and for how many ms, so that a number of the oldest goes.
type Kept = fn(&mut Store, &Connection, u32) -> (Option<u64>, Option<i64>);

/// Two files with the same in them.
fn make(database: &Path, other: &Path, calls: u32) {
    let began = Instant::now();
    let made = Command::new(env!("CARGO_BIN_EXE_offhook"))
        .args(["generate", "--calls", &calls.to_string(), "--db"])
        .arg(database)
        .status();
    assert!(made.expect("a process").success());
    let mut store = open(database);
    store.write_log_back(true).expect("written back");
    drop(store);
    let bytes = fs::copy(database, other).expect("a copy");
    let took = began.elapsed().as_secs_f64();
    println!("made in {took:.0} s, {} MiB\n", bytes >> 20);
}

fn open(database: &Path) -> Store {
    let device = DeviceId::trusted("generated");
    Store::open(database, &UserId::trusted("alice"), &device).expect("a store")
}

/// With the settings of the engine's writer.
fn by_hand(database: &Path) -> Connection {
    let connection = open_full(database);
    for (name, value) in [("cache_size", -2_048), ("wal_autocheckpoint", 2_000)] {
        connection
            .pragma_update(None, name, value)
            .expect("a pragma");
    }
    connection
}

fn number(connection: &Connection, sql: &str) -> i64 {
    let number = connection.query_row(sql, [], |row| row.get(0));
    number.expect("a number")
}

/// Up to the end of the call after the last that is to go.
fn by_age(store: &mut Store, by_hand: &Connection, calls: u32) -> (Option<u64>, Option<i64>) {
    let sql = format!("SELECT end_time_ms FROM calls ORDER BY sort_key LIMIT 1 OFFSET {calls}");
    let end = number(by_hand, &sql);
    let heard = number(by_hand, "SELECT max(create_time_ms) FROM calls");
    store.transact(|tx| tx.set_heard(heard)).expect("noted");
    (None, Some(heard - end))
}

fn by_count(_: &mut Store, by_hand: &Connection, calls: u32) -> (Option<u64>, Option<i64>) {
    let all = number(by_hand, "SELECT count(*) FROM calls").cast_unsigned();
    (Some(all - u64::from(calls)), None)
}

/// Both ways take turns, step by step.
fn remove(store: &mut Store, by_hand: &Connection, cut: CallsCut, calls: u32) -> Run {
    let (mut engine, mut raw) = (Times::default(), Times::default());
    let (mut after, mut removed) = (0, 0);
    loop {
        let began = Instant::now();
        let swept = store
            .transact(|tx| tx.remove_calls(cut, after, CALLS_A_STEP_MAX))
            .expect("removed");
        let took = began.elapsed();
        removed += swept.removed;
        let Some(last) = swept.next else {
            assert_eq!((swept.removed, removed), (0, calls as usize));
            return (engine, raw);
        };
        engine.add(took);
        raw.add(delete(by_hand, after, last));
        after = last;
    }
}

fn delete(by_hand: &Connection, after: i64, last: i64) -> Duration {
    let began = Instant::now();
    by_hand.execute_batch("BEGIN IMMEDIATE").expect("begun");
    for sql in [
        "DELETE FROM journal WHERE call_id IN (SELECT call_id FROM calls WHERE sort_key > ?1 AND sort_key <= ?2)",
        "DELETE FROM commands WHERE call_id IN (SELECT call_id FROM calls WHERE sort_key > ?1 AND sort_key <= ?2)",
        "DELETE FROM changes WHERE call_id IN (SELECT call_id FROM calls WHERE sort_key > ?1 AND sort_key <= ?2)",
        "DELETE FROM rings WHERE call_id IN (SELECT call_id FROM calls WHERE sort_key > ?1 AND sort_key <= ?2)",
        "DELETE FROM members WHERE sort_key > ?1 AND sort_key <= ?2",
        "DELETE FROM calls WHERE sort_key > ?1 AND sort_key <= ?2",
    ] {
        let mut statement = by_hand.prepare_cached(sql).expect("a statement");
        statement.execute(params![after, last]).expect("deleted");
    }
    by_hand.execute_batch("COMMIT").expect("committed");
    began.elapsed()
}

fn ms(micros: f64) -> f64 {
    micros / 1e3
}

/// The longest, the 99th percentile, the median and the sum.
fn figures(times: &Times) -> [f64; 4] {
    [times.at(1.0), times.at(0.99), times.at(0.5), times.sum()]
}

fn print_steps(name: &str, runs: &[Run]) {
    let of = |figure: &dyn Fn(&Run, usize) -> f64| {
        [0, 1, 2, 3].map(|at| median(runs.iter().map(|run| figure(run, at))))
    };
    let print = |name: &str, [longest, p99, p50, all]: [f64; 4]| {
        println!("{name:29} {longest:8.2} {p99:8.2} {p50:8.2} {all:14.2}");
    };
    print(name, of(&|run, at| ms(figures(&run.0)[at])));
    print("  by hand", of(&|run, at| ms(figures(&run.1)[at])));
    let ratio = |run: &Run, at: usize| figures(&run.0)[at] / figures(&run.1)[at];
    print("  ratio", of(&ratio));
    println!("  steps of a run: {}", runs[0].0.len());
}

/// A copy as the engine makes it, and two that SQLite makes.
fn copies(database: &Path, folder: &Path) {
    let (mut engine, mut into, mut pages) = (Times::default(), Times::default(), Times::default());
    let place = folder.join("copy.db");
    for _ in 0..RUNS {
        let copying = Copying::default();
        let turn = copying.begin().expect("nobody else copies");
        engine.add(timed(&place, || {
            back_up(&OsFiles, database, &place, &turn).expect("a copy");
        }));
        into.add(timed(&place, || {
            let source = Connection::open(database).expect("a database");
            let path = place.to_str().expect("a name");
            source.execute("VACUUM INTO ?", [path]).expect("a copy");
        }));
        pages.add(timed(&place, || {
            let source = Connection::open(database).expect("a database");
            let mut copy = Connection::open(&place).expect("a file");
            let backup = Backup::new(&source, &mut copy).expect("begun");
            assert_eq!(backup.step(-1).expect("copied"), StepResult::Done);
        }));
    }
    println!("{:29}      p50   engine to it", "a copy");
    for (name, times) in [
        ("Engine::backup", &engine),
        ("  VACUUM INTO", &into),
        ("  SQLite's backup", &pages),
    ] {
        let (own, ratio) = (times.at(0.5), engine.at(0.5) / times.at(0.5));
        println!("{name:29} {:8.0} {ratio:14.2}", ms(own));
    }
}

/// How long something takes that makes a file, which is then removed.
fn timed(place: &Path, work: impl FnOnce()) -> Duration {
    let began = Instant::now();
    work();
    let took = began.elapsed();
    fs::remove_file(place).expect("it was made");
    took
}

/// The room of all that was removed.
fn give_back(store: &mut Store, by_hand: &Connection) {
    let mut steps = Times::default();
    let space = |store: &mut Store| store.look(|tx| tx.space()).expect("a look");
    let before = space(store);
    while space(store).free_pages > 0 {
        let began = Instant::now();
        store
            .transact(|tx| tx.give_back_pages())
            .expect("given back");
        steps.add(began.elapsed());
    }
    let began = Instant::now();
    store.write_log_back(true).expect("written back");
    let log = began.elapsed();
    let began = Instant::now();
    by_hand.execute_batch("VACUUM").expect("written anew");
    let vacuum = began.elapsed();
    let name = "room given back";
    println!("\n{name:29}  longest      p99      p50            all");
    let [longest, p99, p50, all] = figures(&steps).map(ms);
    let name = format!("in {} steps", steps.len());
    println!("{name:29} {longest:8.2} {p99:8.2} {p50:8.2} {all:14.2}");
    let alone = |name: &str, took: Duration| {
        println!("{name:29} {:>41.2}", took.as_secs_f64() * 1e3);
    };
    alone("  and its log written back", log);
    alone("  VACUUM, which is one step", vacuum);
    println!(
        "\n{} MiB of {} MiB were free.",
        before.free_bytes() >> 20,
        before.bytes() >> 20
    );
}
