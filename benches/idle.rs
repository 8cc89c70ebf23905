//! What an hour costs in which nothing happens.
//!
//! An engine is connected to a server through a relay that counts datagrams, and waits. Heartbeats
//! come faster than in life, so that enough of them can be seen; what each one costs does not depend
//! on how long the pause before it was. Both sides are real, over QUIC on loopback; 28 bytes for the
//! headers of UDP and IPv4 are added to each datagram.
//!
//! An hour is 144 heartbeats while nothing is awaited (one in 25 s) and 360 while somebody rings (one
//! in 10 s). The raw limit beside it: one datagram of one byte there, one back, as bare a sign of life
//! as there can be. Not in the figures: what the two say when they connect, and quinn's probes for a
//! larger packet size, which it repeats every ten minutes at most while there is traffic.

mod common;

use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{sleep, spawn};
use std::time::{Duration, Instant};

use offhook::{Config, ConnectionState, Engine, InviteOptions, Roots};
use tokio::runtime::{Builder, Runtime};

/// Heartbeats that are looked at in each state.
const HEARTBEATS: u32 = 12;
/// The server's settings that make them come so often: idle every 5/7 of the second.
const HEARTBEAT_S: u32 = 1;
const OFFLINE_AFTER_S: u32 = 4;
/// Datagrams that are further apart belong to different heartbeats.
const APART: Duration = Duration::from_millis(400);
/// Headers of IPv4 and UDP.
const HEADERS: usize = 20 + 8;
/// How long the beginning of a state is left to itself: probes for the packet size, receipts.
const SETTLES: Duration = Duration::from_secs(4);
/// Heartbeats in an hour of life.
const IDLE_HOUR: f64 = 3600.0 / 25.0;
const AWAITED_HOUR: f64 = 3600.0 / 10.0;

fn main() {
    if !common::is_asked_for() {
        return;
    }
    println!("bytes of an hour in which nothing happens");
    println!("{HEARTBEATS} heartbeats in each state, with headers of IPv4 and UDP\n");
    let folder = common::folder();
    let (_server, address) = serve(folder.path());
    let relay = Relay::start(address);
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let engine = connected(&runtime, folder.path(), relay.address);

    println!("                          datagrams      bytes   an hour   KiB an hour");
    let idle_s = f64::from(OFFLINE_AFTER_S) * 5.0 / 7.0;
    let idle = relay.watch(idle_s);
    idle.print("nothing is awaited", IDLE_HOUR);
    let call = runtime
        .block_on(engine.call_invite(&["nobody"], rings_for_long()))
        .expect("an invite");
    runtime.block_on(async { call.await }).expect("it rings");
    let awaited = relay.watch(f64::from(HEARTBEAT_S));
    awaited.print("somebody rings", AWAITED_HOUR);
    runtime.block_on(engine.pause(None)).expect("paused");
    let paused = relay.watch(f64::from(HEARTBEAT_S));
    println!(
        "{:24} {:10.1} {:10.1} {:9} {:13.1}",
        "paused",
        paused.datagrams as f64,
        paused.bytes as f64,
        0,
        paused.bytes as f64 / 1024.0
    );
    let bare = 2.0 * (HEADERS as f64 + 1.0);
    println!(
        "{:24} {:10.1} {:10.1} {:9.0} {:13.1}",
        "raw: a byte and back",
        2.0,
        bare,
        IDLE_HOUR,
        bare * IDLE_HOUR / 1024.0
    );
    println!("\ndatagrams and bytes: of one heartbeat, both ways; an hour: heartbeats in one");
}

fn rings_for_long() -> InviteOptions {
    InviteOptions {
        timeout_s: 600,
        ..InviteOptions::default()
    }
}

/// A process that is ended with its guard.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn serve(folder: &Path) -> (Process, SocketAddr) {
    use std::io::{BufRead, BufReader};
    let mut child = Command::new(env!("CARGO_BIN_EXE_offhook"))
        .args(["serve", "--listen", "127.0.0.1:0", "--data"])
        .arg(folder.join("server"))
        .args(["--set", &format!("heartbeat_s={HEARTBEAT_S}")])
        .args(["--set", &format!("offline_after_s={OFFLINE_AFTER_S}")])
        .stdout(Stdio::piped())
        .stderr(Stdio::null()) // it says that it trusts names
        .spawn()
        .expect("a server");
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().expect("its output"))
        .read_line(&mut line)
        .expect("a line");
    let address = line.trim().strip_prefix("listening on ").expect("ready");
    let address = address.parse().expect("an address");
    (Process(child), address)
}

fn connected(runtime: &Runtime, folder: &Path, server: SocketAddr) -> Engine {
    let config = Config {
        roots: Roots::Pem(folder.join("server/cert.pem")),
        ..Config::new(server.to_string(), "alice", folder.join("alice.db"))
    };
    let engine = Engine::open(config).expect("an engine");
    runtime.block_on(async {
        while engine.status().await.expect("a status").connection != ConnectionState::Connected {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    engine
}

/// Passes datagrams on between one client and the server, and notes when each came and how long it
/// was.
struct Relay {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<(Instant, usize)>>>,
}

impl Relay {
    fn start(server: SocketAddr) -> Self {
        let front = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        let back = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        back.connect(server).expect("the server");
        let address = front.local_addr().expect("its address");
        let seen = Arc::new(Mutex::new(Vec::new()));
        let client = Arc::new(Mutex::new(None));
        let (front_too, back_too) = (
            front.try_clone().expect("it"),
            back.try_clone().expect("it"),
        );
        let (seen_too, client_too) = (Arc::clone(&seen), Arc::clone(&client));
        // Both threads end with the bench.
        spawn(move || {
            let mut bytes = [0; 65_536];
            while let Ok((length, from)) = front.recv_from(&mut bytes) {
                *client.lock().expect("whole") = Some(from);
                note(&seen_too, length);
                let _ = back.send(&bytes[..length]);
            }
        });
        let seen_back = Arc::clone(&seen);
        spawn(move || {
            let mut bytes = [0; 65_536];
            while let Ok(length) = back_too.recv(&mut bytes) {
                let client = *client_too.lock().expect("whole");
                note(&seen_back, length);
                if let Some(client) = client {
                    let _ = front_too.send_to(&bytes[..length], client);
                }
            }
        });
        Self { address, seen }
    }

    /// What comes by in so many heartbeats, once the state has settled.
    fn watch(&self, heartbeat_s: f64) -> Seen {
        sleep(SETTLES);
        self.seen.lock().expect("whole").clear();
        sleep(Duration::from_secs_f64(heartbeat_s * f64::from(HEARTBEATS)));
        let seen = self.seen.lock().expect("whole").clone();
        let mut bursts = 0;
        let mut last = None;
        for (at, _) in &seen {
            if last.is_none_or(|last: Instant| at.duration_since(last) > APART) {
                bursts += 1;
            }
            last = Some(*at);
        }
        Seen {
            bursts,
            datagrams: seen.len(),
            bytes: seen.iter().map(|(_, length)| length + HEADERS).sum(),
        }
    }
}

fn note(seen: &Mutex<Vec<(Instant, usize)>>, length: usize) {
    seen.lock().expect("whole").push((Instant::now(), length));
}

/// What came by.
struct Seen {
    bursts: usize,
    datagrams: usize,
    bytes: usize,
}

impl Seen {
    fn print(&self, name: &str, an_hour: f64) {
        let of_one = |count: usize| count as f64 / self.bursts.max(1) as f64;
        println!(
            "{name:24} {:10.1} {:10.1} {an_hour:9.0} {:13.1}      ({} heartbeats seen)",
            of_one(self.datagrams),
            of_one(self.bytes),
            of_one(self.bytes) * an_hour / 1024.0,
            self.bursts,
        );
    }
}
