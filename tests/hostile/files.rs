//! Files that are damaged, or written by somebody else: an error or an answer, never a panic or a
//! hang.

use std::fs;
use std::panic;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use offhook::inspect::{Database, Filter};
use offhook::{Code, CommandOptions, Config, Engine, InviteOptions, Roots};
use rusqlite::Connection;

use super::fake::Fake;
use super::server::{call, caught_up_with, config};

/// How many damaged files are tried; more with OFFHOOK_SEEDS.
const SEEDS: u64 = 40;

static PANICS: AtomicUsize = AtomicUsize::new(0);

fn count_panics() {
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        PANICS.fetch_add(1, Ordering::Relaxed);
        before(info);
    }));
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

/// A file with a bit of everything in it.
fn made(folder: &Path) -> PathBuf {
    let calls = (0..40).map(|n| call(&format!("c{n}"))).collect();
    let fake = Fake::start(folder, caught_up_with(calls));
    runtime().block_on(async {
        let engine = Engine::open(config(&fake, folder)).unwrap();
        let start = Instant::now();
        while engine.ringing().await.unwrap().len() < 40 {
            assert!(start.elapsed() < Duration::from_secs(20));
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        for n in 0..10 {
            let id = offhook::CallId::trusted(format!("c{n}"));
            let reject = engine.call_reject(&id, CommandOptions::default()).await;
            reject.unwrap();
        }
        let invite = engine.call_invite(&["carl"], InviteOptions::default());
        invite.await.unwrap();
        engine.close().await.unwrap();
    });
    folder.join("bob.db")
}

/// Everything that reads the file. Gives whether it could be opened.
async fn use_all_of_it(file: &Path, ca: &Path) -> bool {
    if let Ok(mut database) = Database::open(file) {
        let _ = database.calls(&Filter::default());
        let _ = database.story("c1");
        let _ = database.pending();
        let _ = database.timeline(None);
    }
    let mut config = Config::new("127.0.0.1:1", "bob", file);
    config.roots = Roots::Pem(ca.to_owned());
    let Ok(engine) = Engine::open(config) else {
        return false;
    };
    let status = engine.status().await;
    assert!(
        status.is_ok() || status.is_err_and(|error| error.code != Code::Closed),
        "the core is gone"
    );
    let _ = engine.ringing().await;
    let _ = engine.pending();
    let _ = engine.events_since(0, 1_000).await;
    let _ = engine.mark_seen(None).await;
    let mut next_flag = 0;
    for _ in 0..100 {
        match engine.query_call_invitation_list(7, next_flag) {
            Ok(page) if page.next_flag != 0 => next_flag = page.next_flag,
            Ok(_) | Err(_) => break,
        }
    }
    let _ = engine
        .call_invite(&["carl"], InviteOptions::default())
        .await;
    let id = offhook::CallId::trusted("c1");
    let _ = engine.call_accept(&id, CommandOptions::default()).await;
    let _ = engine.close().await;
    true
}

fn remove_others(file: &Path) {
    for ending in ["-wal", "-shm"] {
        let mut name = file.as_os_str().to_owned();
        name.push(ending);
        let _ = fs::remove_file(name);
    }
}

/// A generator of numbers that is good enough here.
struct Random(u64);

impl Random {
    fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % below as u64).unwrap()
    }
}

#[test]
fn damaged_bytes_are_an_error_at_most() {
    count_panics();
    let folder = tempfile::tempdir().unwrap();
    let whole = fs::read(made(folder.path())).unwrap();
    let file = folder.path().join("damaged.db");
    let ca = folder.path().join("trusted/cert.pem");
    let seeds = std::env::var("OFFHOOK_SEEDS").map_or(SEEDS, |text| text.parse().unwrap());
    let mut opened = 0;
    for seed in 1..=seeds {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut bytes = whole.clone();
        if seed % 5 == 0 {
            bytes.truncate(random.next(whole.len()));
        }
        // The pages that hold most lie at the front.
        for _ in 0..=random.next(60) {
            if let Some(length) = Some(bytes.len()).filter(|length| *length > 0) {
                let within = if seed % 2 == 0 {
                    length
                } else {
                    length.min(8_192)
                };
                let at = random.next(within);
                bytes[at] ^= 1 << random.next(8);
            }
        }
        remove_others(&file);
        fs::write(&file, &bytes).unwrap();
        let start = Instant::now();
        let done = runtime().block_on(async {
            tokio::time::timeout(Duration::from_secs(30), use_all_of_it(&file, &ca)).await
        });
        opened += usize::from(done.unwrap_or_else(|_| panic!("seed {seed} hangs")));
        assert!(start.elapsed() < Duration::from_secs(30), "seed {seed}");
        assert_eq!(PANICS.load(Ordering::Relaxed), 0, "seed {seed}");
    }
    assert!(opened > 0, "none could be opened");
}

#[test]
fn rows_that_nobody_of_us_writes_are_an_error_at_most() {
    count_panics();
    let folder = tempfile::tempdir().unwrap();
    let whole = made(folder.path());
    let file = folder.path().join("strange.db");
    let ca = folder.path().join("trusted/cert.pem");
    let numbers = [
        "-1",
        "9223372036854775807",
        "-9223372036854775808",
        "4294967296",
    ];
    let texts = [
        "''",
        "'{'",
        "'\u{0}'",
        "hex(zeroblob(100000))",
        "'[[[[[['",
        "'null'",
    ];
    let columns: Vec<(String, String, String)> = {
        let sql = Connection::open(&whole).unwrap();
        let mut statement = sql
            .prepare(
                "SELECT m.name, c.name, c.type FROM sqlite_schema AS m, pragma_table_info(m.name) AS c
                  WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite%'",
            )
            .unwrap();
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)));
        rows.unwrap().collect::<Result<_, _>>().unwrap()
    };
    assert!(columns.len() > 60);
    let mut tried = 0;
    for (table, column, kind) in &columns {
        let values: &[&str] = if kind == "INTEGER" { &numbers } else { &texts };
        for value in values {
            remove_others(&file);
            fs::copy(&whole, &file).unwrap();
            let sql = Connection::open(&file).unwrap();
            sql.pragma_update(None, "foreign_keys", false).unwrap();
            // One row, because many columns are unique.
            let changed = sql.execute_batch(&format!(
                "UPDATE OR IGNORE {table} SET {column} = {value}
                  WHERE {column} = (SELECT {column} FROM {table} LIMIT 1)"
            ));
            let _ = sql.execute_batch(&format!(
                "UPDATE meta SET value = '{}' WHERE key = 'next_number'",
                u64::MAX
            ));
            if table == "meta" {
                let _ = sql.execute_batch(
                    "INSERT OR REPLACE INTO meta VALUES ('clock_offset_ms', '9223372036854775807')",
                );
            }
            drop(sql);
            if changed.is_err() {
                continue;
            }
            tried += 1;
            let done = runtime().block_on(async {
                tokio::time::timeout(Duration::from_secs(30), use_all_of_it(&file, &ca)).await
            });
            assert!(done.is_ok(), "{table}.{column} = {value} hangs");
            let panics = PANICS.load(Ordering::Relaxed);
            assert_eq!(panics, 0, "{table}.{column} = {value}");
        }
    }
    assert!(tried > 200, "{tried}");
}
