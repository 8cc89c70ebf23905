//! Reading the list of a million calls: a page at the top, at the bottom and in between, and pages
//! that a filter leaves little of, beside the same rows selected and decoded by hand, and beside
//! pages by OFFSET. The database is made by `offhook generate`.
//!
//! The ways take turns, page by page, all on warm pages of the same file. By hand means: two prepared
//! statements on a connection that is kept, the columns of a page decoded into the same records, and
//! nothing looked up of what is pending.
//!
//! Aims: within 1.2 of by hand; the deepest page within 1.1 of the first.

mod common;

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use common::{RUNS, Times, median};
use offhook::client::store::{Filter, Page, Query, Readers};
use offhook::{Call, CallId, CallState, EndKind, Ending, Member, Mode, Own, UserId, UserState};
use rusqlite::{Connection, OpenFlags, Row, params};

/// Calls of the database.
const CALLS: u32 = 1_000_000;
/// Calls of a page.
const PAGE: usize = 100;
/// Samples of each kind in a run.
const SAMPLES: usize = 200;
/// Samples of a page by OFFSET, which takes thousands of times as long.
const SAMPLES_BY_OFFSET: usize = 5;

/// A kind of page, and how it is asked for by hand.
struct Kind {
    name: &'static str,
    query: Query,
    by_hand: &'static str,
}

fn main() {
    if !common::is_asked_for() {
        return;
    }
    common::announce("a page of 100 calls of a million, in µs");
    let folder = common::folder();
    let database = folder.path().join("alice.db");
    let began = Instant::now();
    let made = Command::new(env!("CARGO_BIN_EXE_offhook"))
        .args(["generate", "--calls", &CALLS.to_string(), "--db"])
        .arg(&database)
        .status();
    assert!(made.expect("a process").success());
    let bytes = std::fs::metadata(&database).expect("a file").len();
    println!(
        "made in {:.0} s, {} MiB\n",
        began.elapsed().as_secs_f64(),
        bytes >> 20
    );
    let readers = Readers::new(&database, &UserId::trusted("alice"));
    let by_hand = ByHand::open(&database);
    let kinds = kinds(&by_hand);
    println!("page                     p50 µs    by hand   ratio   calls");
    let mut firsts = Vec::new();
    for kind in &kinds {
        let runs: Vec<(Times, Times)> = (0..RUNS)
            .map(|_| samples(kind, &readers, &by_hand))
            .collect();
        let of = |figure: &dyn Fn(&(Times, Times)) -> f64| median(runs.iter().map(figure));
        let engine = of(&|run| run.0.at(0.5));
        println!(
            "{:22} {:8.0}   {:8.0}  {:6.2}  {:6}",
            kind.name,
            engine,
            of(&|run| run.1.at(0.5)),
            of(&|run| run.0.at(0.5) / run.1.at(0.5)),
            readers.page(&kind.query).expect("a page").calls.len(),
        );
        firsts.push(engine);
    }
    println!("\ndeepest of first: {:.2}", firsts[2] / firsts[0]);
    let mut offset = Times::default();
    for _ in 0..SAMPLES_BY_OFFSET {
        let began = Instant::now();
        assert_eq!(by_hand.by_offset(CALLS as usize - PAGE).len(), PAGE);
        offset.add(began.elapsed());
    }
    println!("the deepest by OFFSET: {:.0} µs", offset.at(0.5));
    println!("\naims: within 1.2 of by hand, the deepest within 1.1 of the first.");
}

/// Both ways take turns.
fn samples(kind: &Kind, readers: &Readers, by_hand: &ByHand) -> (Times, Times) {
    let (mut engine, mut bare) = (Times::default(), Times::default());
    for sample in 0..=SAMPLES {
        let began = Instant::now();
        let page: Page = readers.page(&kind.query).expect("a page");
        let first = began.elapsed();
        let began = Instant::now();
        let calls = by_hand.page(kind.by_hand, kind.query.next_flag);
        let second = began.elapsed();
        assert!(page.calls.iter().map(|entry| &entry.call).eq(&calls));
        // The first does not count.
        if sample > 0 {
            engine.add(first);
            bare.add(second);
        }
    }
    (engine, bare)
}

fn kinds(by_hand: &ByHand) -> Vec<Kind> {
    let at = |next_flag, filter| Query {
        count: PAGE,
        next_flag,
        filter,
    };
    let all = "SELECT calls.* FROM calls WHERE sort_key < ?1 ORDER BY sort_key DESC LIMIT 100";
    let missed = "SELECT calls.* FROM calls INDEXED BY calls_missed
         WHERE sort_key < ?1 AND missed = 1 ORDER BY sort_key DESC LIMIT 100";
    let stranger = "SELECT calls.* FROM
         (SELECT sort_key AS place FROM members INDEXED BY members_user WHERE user_id = 'stranger')
         CROSS JOIN calls ON sort_key = place WHERE place < ?1 ORDER BY place DESC LIMIT 100";
    let with = |user: &str| Filter {
        with: Some(UserId::trusted(user)),
        ..Filter::default()
    };
    let only_missed = Filter {
        missed: Some(true),
        ..Filter::default()
    };
    let started = Filter {
        state: Some(CallState::Started),
        ..Filter::default()
    };
    let open = "SELECT calls.* FROM calls INDEXED BY calls_open
         WHERE sort_key < ?1 AND state = 'started' ORDER BY sort_key DESC LIMIT 100";
    let (deepest, middle) = (by_hand.place(100), by_hand.place(CALLS / 2));
    let kinds = [
        ("the first", at(0, Filter::default()), all),
        ("in the middle", at(middle, Filter::default()), all),
        ("the deepest", at(deepest, Filter::default()), all),
        ("missed, the first", at(0, only_missed.clone()), missed),
        ("missed, in the middle", at(middle, only_missed), missed),
        ("with one in 10,000", at(0, with("stranger")), stranger),
        ("those that go on", at(0, started), open),
    ];
    let kind = |(name, query, by_hand)| Kind {
        name,
        query,
        by_hand,
    };
    kinds.into_iter().map(kind).collect()
}

/// The bare statements.
struct ByHand {
    connection: Connection,
}

impl ByHand {
    fn open(database: &Path) -> Self {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(database, flags).expect("a database");
        Self { connection }
    }

    /// Before which so many of the oldest calls lie.
    fn place(&self, calls: u32) -> i64 {
        let sql = "SELECT sort_key FROM calls ORDER BY sort_key LIMIT 1 OFFSET ?1";
        let place = self
            .connection
            .query_row(sql, params![calls], |row| row.get(0));
        place.expect("a place")
    }

    fn page(&self, sql: &str, next_flag: i64) -> Vec<Call> {
        let before = if next_flag == 0 { i64::MAX } else { next_flag };
        self.calls(sql, before)
    }

    fn by_offset(&self, offset: usize) -> Vec<Call> {
        let sql = "SELECT calls.* FROM calls ORDER BY sort_key DESC LIMIT 100 OFFSET ?1";
        self.calls(sql, i64::try_from(offset).expect("not so many"))
    }

    fn calls(&self, sql: &str, parameter: i64) -> Vec<Call> {
        self.connection.execute_batch("BEGIN").expect("a snapshot");
        let mut statement = self.connection.prepare_cached(sql).expect("a statement");
        let rows = statement.query_map([parameter], |row| Ok((row.get(0)?, call(row)?, own(row)?)));
        let mut calls: Vec<(i64, Call, Own)> = rows
            .expect("rows")
            .collect::<Result<_, _>>()
            .expect("calls");
        let mut members = self
            .connection
            .prepare_cached("SELECT * FROM members WHERE sort_key = ?1 ORDER BY position")
            .expect("a statement");
        for (key, call, own) in &mut calls {
            let rows = members.query_map([*key], member).expect("rows");
            call.members = rows.collect::<Result<_, _>>().expect("members");
            let me = call
                .members
                .iter_mut()
                .find(|one| one.user.as_str() == "alice");
            me.expect("alice").own = Some(std::mem::take(own));
        }
        self.connection.execute_batch("COMMIT").expect("its end");
        calls.into_iter().map(|(_, call, _)| call).collect()
    }
}

fn call(row: &Row<'_>) -> rusqlite::Result<Call> {
    let word: String = row.get(10)?;
    let kind: Option<String> = row.get(11)?;
    let ending = kind.map(|kind| -> rusqlite::Result<Ending> {
        Ok(Ending {
            kind: EndKind::from_word(&kind),
            time: row.get(12)?,
            revision: row.get::<_, i64>(13)?.cast_unsigned(),
            by: row.get::<_, Option<String>>(14)?.map(UserId::trusted),
            device: None,
            data: row.get(16)?,
        })
    });
    Ok(Call {
        id: CallId::trusted(row.get::<_, String>(1)?),
        revision: row.get::<_, i64>(3)?.cast_unsigned(),
        mode: Mode::from_word(&row.get::<_, String>(4)?),
        caller: UserId::trusted(row.get::<_, String>(5)?),
        create_time: row.get(6)?,
        timeout_s: row.get(7)?,
        extended_data: row.get(8)?,
        not_received_check: row.get(9)?,
        state: CallState::from_word(&word),
        ending: ending.transpose()?,
        members: Vec::new(),
    })
}

fn own(row: &Row<'_>) -> rusqlite::Result<Own> {
    let closings: String = row.get(21)?;
    Ok(Own {
        primary_device: None,
        primary_op: None,
        primary_revision: row.get::<_, i64>(20)?.cast_unsigned(),
        seen: row.get(23)?,
        closings: serde_json::from_str(&closings).expect("a list"),
    })
}

fn member(row: &Row<'_>) -> rusqlite::Result<Member> {
    Ok(Member {
        user: UserId::trusted(row.get::<_, String>(2)?),
        inviter: row.get::<_, Option<String>>(3)?.map(UserId::trusted),
        invitation: row.get(4)?,
        invited_at: row.get(5)?,
        timeout_s: row.get(6)?,
        deadline: row.get(7)?,
        check_at: 0,
        invite_data: row.get(8)?,
        state: UserState::from_word(&row.get::<_, String>(9)?),
        state_revision: row.get::<_, i64>(10)?.cast_unsigned(),
        state_time: row.get(11)?,
        data: row.get(12)?,
        changed_by: row.get::<_, Option<String>>(13)?.map(UserId::trusted),
        acting_device: None,
        accept_time: row.get(15)?,
        join_time: row.get(16)?,
        quit_time: row.get(17)?,
        participation: row.get(18)?,
        own: None,
    })
}
