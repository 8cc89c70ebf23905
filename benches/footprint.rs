//! What is held in memory: by a server for devices that are connected and do nothing, and by an
//! engine with a long history.
//!
//! The server is a process of its own, `offhook serve`; its resident memory is read before and after
//! a thousand devices have logged in and pinged once. The engine is in a child process too, this
//! very bench: it opens a database with a hundred thousand calls, connects, and reads three pages.
//! The raw limit beside it is the same child with an empty database, and one that does nothing.
//!
//! Aim: 45 KiB a device at the server; 15 MiB resident for an engine.

mod common;

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use common::load::Device;
use common::{RUNS, median, wire};
use offhook::{Config, ConnectionState, Engine, Memory as Allowed, Roots};
use rusqlite::Connection;
use tokio::runtime::{Builder, Runtime};

/// Devices that are connected and do nothing.
const DEVICES: usize = 1_000;
/// Devices that share a socket.
const PER_SOCKET: usize = 100;
/// Calls on file.
const CALLS: i64 = 100_000;
/// Calls on a page, and pages.
const PAGE: usize = 100;
const PAGES: usize = 3;
/// Memory has settled when it is the same twice at this distance.
const APART: Duration = Duration::from_millis(300);
/// How often it is looked at before the last look is taken at its word.
const LOOKS_MAX: usize = 20;
/// Says to this program that it is the child.
const CHILD: &str = "OFFHOOK_BENCH_CHILD";

fn main() {
    if let Ok(what) = std::env::var(CHILD) {
        return child(&what);
    }
    if !common::is_asked_for() {
        return;
    }
    common::announce("resident memory of a server and of an engine");
    let runtime = current_thread();
    let folder = common::folder();
    let serving: Vec<Served> = (0..RUNS)
        .map(|run| serve(&runtime, &folder.path().join(format!("server{run}"))))
        .collect();
    println!("                                     before      after   KiB a device");
    println!(
        "server, {DEVICES} devices connected {:10.1} {:10.1} {:10.1}      (aim: 45)",
        median(serving.iter().map(|run| run.before / 1024.0)),
        median(serving.iter().map(|run| run.after / 1024.0)),
        median(
            serving
                .iter()
                .map(|run| (run.after - run.before) / DEVICES as f64)
        ),
    );
    engines(folder.path());
    println!("\nMiB unless said otherwise; anonymous: of its own, the rest is mapped from files.");
}

fn current_thread() -> Runtime {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
}

/// A process that is ended with its guard.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Process {
    /// Starts it, and gives the first line that it prints.
    fn start(command: &mut Command) -> (Self, String) {
        let child = command
            .stdout(Stdio::piped())
            .stdin(Stdio::piped())
            .spawn()
            .expect("a process");
        let mut process = Self(child);
        let stdout = process.0.stdout.as_mut().expect("its output");
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).expect("a line");
        (process, line.trim().to_owned())
    }

    /// Resident memory in KiB: as the process has it, its share where it is shared, and what is
    /// its own.
    fn memory(&self) -> Memory {
        let path = format!("/proc/{}/smaps_rollup", self.0.id());
        let text = std::fs::read_to_string(path).expect("a process of Linux");
        let field = |name: &str| {
            let line = text.lines().find(|line| line.starts_with(name));
            let number = line.and_then(|line| line.split_whitespace().nth(1));
            number.expect("a number").parse().expect("a number")
        };
        Memory {
            resident: field("Rss:"),
            share: field("Pss:"),
            anonymous: field("Anonymous:"),
        }
    }

    /// The same, once it does not move any more.
    fn settled_memory(&self) -> Memory {
        let mut last = self.memory();
        for _ in 0..LOOKS_MAX {
            sleep(APART);
            let now = self.memory();
            if now.resident == last.resident {
                break;
            }
            last = now;
        }
        last
    }
}

/// In KiB.
struct Memory {
    resident: f64,
    share: f64,
    anonymous: f64,
}

/// Resident KiB of a server before and after the devices came.
struct Served {
    before: f64,
    after: f64,
}

fn offhook_serve(data: &Path) -> (Process, SocketAddr) {
    let (process, line) = Process::start(
        Command::new(env!("CARGO_BIN_EXE_offhook"))
            .args(["serve", "--listen", "127.0.0.1:0", "--data"])
            .arg(data)
            .stderr(Stdio::null()), // it says that it trusts names
    );
    let address = line.strip_prefix("listening on ").expect("the address");
    (process, address.parse().expect("an address"))
}

fn serve(runtime: &Runtime, data: &Path) -> Served {
    let (process, address) = offhook_serve(data);
    let certificate = wire::certificate_in(&data.join("cert.pem"));
    let before = process.settled_memory().resident;
    let devices = runtime.block_on(async {
        let mut devices = Vec::with_capacity(DEVICES);
        let mut endpoint = wire::client(&certificate);
        for n in 0..DEVICES {
            if n % PER_SOCKET == 0 {
                endpoint = wire::client(&certificate);
            }
            let mut device = Device::log_in(&endpoint, address, &format!("idle{n:04}")).await;
            device.ping().await;
            devices.push(device);
        }
        tokio::time::sleep(APART).await; // the last acknowledgements go out
        devices
    });
    let after = process.settled_memory().resident;
    drop(devices);
    Served { before, after }
}

fn engines(folder: &Path) {
    let (_server, address) = offhook_serve(&folder.join("server"));
    println!("\n                                   resident      share  anonymous");
    let rows = [
        ("a process that does nothing", None, "normal"),
        ("an engine, no calls on file", Some(0), "normal"),
        ("an engine, 100,000 calls on file", Some(CALLS), "normal"),
        ("the same, Memory::Low", Some(CALLS), "low"),
    ];
    for (name, calls, memory) in rows {
        let database = folder.join(format!("engine{}.db", calls.unwrap_or(0)));
        if let Some(calls) = calls
            && !database.exists()
        {
            fill(&database, &format!("user{calls}"), calls);
        }
        let what = calls.map_or_else(String::new, |calls| {
            format!("{memory} {address} user{calls} {}", database.display())
        });
        let looks: Vec<Memory> = (0..RUNS).map(|_| look(&what, folder)).collect();
        let of = |figure: fn(&Memory) -> f64| median(looks.iter().map(figure)) / 1024.0;
        println!(
            "{name:32} {:10.1} {:10.1} {:10.1}{}",
            of(|memory| memory.resident),
            of(|memory| memory.share),
            of(|memory| memory.anonymous),
            if calls == Some(CALLS) && memory == "normal" {
                "      (aim: 15 resident)"
            } else {
                ""
            },
        );
    }
}

fn look(what: &str, folder: &Path) -> Memory {
    let program = std::env::current_exe().expect("this program");
    let (process, line) = Process::start(
        Command::new(program)
            .env(CHILD, what)
            .env("OFFHOOK_BENCH_CERT", folder.join("server/cert.pem")),
    );
    assert_eq!(line, "ready");
    let memory = process.settled_memory();
    drop(process);
    memory
}

/// The child: an engine that is connected and has read pages, until its input ends.
fn child(what: &str) {
    let parts: Vec<&str> = what.splitn(4, ' ').collect();
    let engine = match parts.as_slice() {
        [memory, server, user, database] => {
            let memory = match *memory {
                "low" => Allowed::Low,
                _ => Allowed::Normal,
            };
            Some(engine(memory, server, user, Path::new(database)))
        }
        _ => None,
    };
    println!("ready");
    let _ = std::io::stdin().read(&mut [0; 1]);
    drop(engine);
}

fn engine(memory: Allowed, server: &str, user: &str, database: &Path) -> Engine {
    let certificate = PathBuf::from(std::env::var_os("OFFHOOK_BENCH_CERT").expect("a certificate"));
    let config = Config {
        roots: Roots::Pem(certificate),
        memory,
        ..Config::new(server, user, database)
    };
    let engine = Engine::open(config).expect("an engine");
    current_thread().block_on(async {
        while engine.status().await.expect("a status").connection != ConnectionState::Connected {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    let mut flag = 0;
    for _ in 0..PAGES {
        let page = engine
            .query_call_invitation_list(PAGE, flag)
            .expect("a page");
        flag = page.next_flag;
    }
    engine
}

/// A history in the shape of the schema: calls of two that ended, some of them missed.
fn fill(database: &Path, user: &str, calls: i64) {
    // The engine makes the file, so the schema is its own.
    let made = Engine::open(Config::new("127.0.0.1:9", user, database)).expect("an engine");
    current_thread().block_on(made.close()).expect("closed");
    let mut connection = Connection::open(database).expect("a database");
    let transaction = connection.transaction().expect("a transaction");
    let count = "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < ?2)";
    let calls_sql = format!(
        "{count} INSERT INTO calls (sort_key, call_id, epoch, revision, mode, caller, \
         create_time_ms, timeout_s, extended_data, not_received_check, state, end_kind, \
         end_time_ms, end_revision, ended_by, my_state, my_closings, missed) \
         SELECT (1767225600000 + n * 60000) << 11, printf('call-%08d', n), 7, 3, 'general', \
         CASE n % 2 WHEN 0 THEN ?1 ELSE printf('friend-%03d', n % 200) END, \
         1767225600000 + n * 60000, 90, '{{\"room\":\"b7f0c2d4\",\"video\":true}}', 0, 'ended', \
         'completed', 1767225600000 + n * 60000 + 30000, 3, NULL, \
         CASE WHEN n % 10 = 1 THEN 'timeout' ELSE 'accepted' END, '[]', n % 10 = 1 FROM n"
    );
    let member_sql = |position: u8| {
        format!(
            "{count} INSERT INTO members SELECT (1767225600000 + n * 60000) << 11, {position}, \
             CASE WHEN n % 2 = {position} THEN ?1 ELSE printf('friend-%03d', n % 200) END, NULL, \
             {position}, 1767225600000 + n * 60000, 90, 1767225600000 + n * 60000 + 90000, '', \
             CASE WHEN n % 10 = 1 AND {position} = 1 THEN 'timeout' ELSE 'accepted' END, \
             {position} + 1, 1767225600000 + n * 60000 + 5000, '', NULL, NULL, \
             1767225600000 + n * 60000 + 5000, 0, 0, 1 FROM n"
        )
    };
    if calls > 0 {
        for sql in [calls_sql, member_sql(0), member_sql(1)] {
            transaction
                .execute(&sql, rusqlite::params![user, calls])
                .expect("rows");
        }
    }
    transaction.commit().expect("a commit");
}
