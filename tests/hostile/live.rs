//! A server as a process, and peers that say what they like: whoever else is there goes on.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use offhook::call::{self, CallId, DeviceId, Mode, Op, UserId};
use offhook::protocol::{
    Capabilities, CommandFrame, Cursor, Hello, Ping, Renew, Seen, ToDevice, ToServer, encode,
};

use super::raw::Device;

struct Serve {
    child: Child,
    address: SocketAddr,
    ca: PathBuf,
}

impl Serve {
    fn start(data: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_offhook"))
            .args(["serve", "--listen", "127.0.0.1:0", "--data"])
            .arg(data)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap())
            .read_line(&mut line)
            .unwrap();
        let address = line.trim().strip_prefix("listening on ").unwrap();
        Self {
            address: address.parse().unwrap(),
            child,
            ca: data.join("cert.pem"),
        }
    }

    async fn connect(&self) -> Device {
        Device::connect(self.address, &self.ca).await
    }

    /// In KiB.
    fn memory(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:"));
        let number = line.unwrap().split_whitespace().nth(1);
        number.unwrap().parse().unwrap()
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn hello(user: &str, device: &str) -> Hello {
    Hello {
        version_min: 1,
        version_max: 1,
        build: "test".to_owned(),
        capabilities: Capabilities(u32::MAX),
        user: UserId::trusted(user),
        token: None,
        device: DeviceId::trusted(device),
        welcome_token: None,
        cursor: Cursor::default(),
        next_number: 1,
        first_unsettled: 1,
        open_calls: Vec::new(),
        sent_at: 7,
    }
}

async fn log_in(serve: &Serve, user: &str, name: &str) -> Device {
    let mut device = serve.connect().await;
    let frame = ToServer::Hello(Box::new(hello(user, name)));
    device.send(&frame).await;
    loop {
        if let ToDevice::Feed(feed) = device.receive().await
            && feed.last
            && feed.cursor.is_some()
        {
            return device;
        }
    }
}

fn command(number: u64, call: &str, command: call::Command) -> ToServer {
    ToServer::Command(Box::new(CommandFrame {
        number,
        op: Op::trusted(format!("op-{number}")),
        call: CallId::trusted(call),
        not_after: 0,
        command,
    }))
}

fn invite(invitees: &[&str], mode: Mode, data: &str) -> call::Command {
    call::Command::Invite {
        invitees: invitees.iter().copied().map(UserId::trusted).collect(),
        timeout_s: 60,
        mode,
        extended_data: data.to_owned(),
        not_received_check: false,
        push: None,
    }
}

/// How long a ping takes: the way there, the core's queue, and the way back.
async fn ping(device: &mut Device) -> Duration {
    let start = Instant::now();
    device
        .send(&ToServer::Ping(Ping { sent_at: i64::MIN }))
        .await;
    while !matches!(device.receive().await, ToDevice::Pong(_)) {}
    start.elapsed()
}

#[tokio::test]
async fn whatever_bytes_come_somebody_else_is_served() {
    let data = tempfile::tempdir().unwrap();
    let serve = Serve::start(data.path());
    let mut witness = log_in(&serve, "witness", "w1").await;
    let good = encode(&ToServer::Hello(Box::new(hello("mallory", "m1")))).unwrap();
    let mut sayings: Vec<Vec<u8>> = vec![
        vec![0; 4],
        vec![0xff; 4_096],
        u32::MAX.to_be_bytes().to_vec(),
        16_385_u32.to_be_bytes().to_vec(),
        [&[0, 0, 0, 1][..], &[0xff]].concat().repeat(5_000),
        [&[0, 0, 0, 1][..], &[8]].concat(),
        [&good[..], &good].concat(),
        encode(&ToServer::Logout).unwrap(),
    ];
    // A hello whose texts say that they are longer than anything.
    for cut in 5..good.len() {
        let mut bytes = good.clone();
        bytes[cut] = 0xfd;
        sayings.push(bytes);
    }
    let mut hellos = Vec::new();
    for user in ["", "\0", "a/b", &"x".repeat(33), &"x".repeat(16_000)] {
        hellos.push(hello(user, "m1"));
        hellos.push(hello("mallory", user));
    }
    let mut none = hello("mallory", "m1");
    none.version_min = u16::MAX;
    let mut many = hello("mallory", "m1");
    many.open_calls = vec![CallId::trusted(""); 10_000];
    many.welcome_token = Some("\0".repeat(100));
    hellos.extend([none, many]);
    sayings.extend(
        hellos
            .into_iter()
            .map(|hello| encode(&ToServer::Hello(Box::new(hello))).unwrap()),
    );
    // What takes many times its room when it is decoded, before any hello.
    let crowd = invite(&vec![""; 14_000], Mode::General, "");
    sayings.push(encode(&command(u64::MAX, "c", crowd)).unwrap());
    let mut open = Vec::new();
    for bytes in sayings {
        let mut device = serve.connect().await;
        device.send_bytes(&bytes).await;
        open.push(device);
        assert!(ping(&mut witness).await < Duration::from_secs(2));
    }
    drop(open);
    for _ in 0..20 {
        // Replaced again and again.
        drop(serve.connect().await);
        let mut device = serve.connect().await;
        device.send_bytes(&good).await;
    }
    assert!(ping(&mut witness).await < Duration::from_secs(2));
}

#[tokio::test]
async fn a_flood_of_one_user_is_cut_off_and_slows_nobody_down_for_long() {
    let data = tempfile::tempdir().unwrap();
    let serve = Serve::start(data.path());
    let mut witness = log_in(&serve, "witness", "w1").await;
    let calls = |from: usize| (from..from + 250).map(|n| CallId::trusted(format!("{n:x}")));
    let mut floods = tokio::task::JoinSet::new();
    for n in 0..10 {
        let mut device = log_in(&serve, "mallory", &format!("m{n}")).await;
        floods.spawn(async move {
            let quit = call::Command::Join {
                extended_data: "x".repeat(2_000),
            };
            let mut bytes = encode(&command(1, "nowhere", quit)).unwrap();
            for more in 0..20 {
                let seen = Seen {
                    calls: calls(n * 1_000_000 + more * 250).collect(),
                };
                bytes.extend(encode(&ToServer::Seen(seen)).unwrap());
                let token = "t".repeat(4_000);
                bytes.extend(encode(&ToServer::Renew(Renew { token })).unwrap());
            }
            bytes.extend(bytes.clone());
            for _ in 0..50 {
                if !device.try_send_bytes(&bytes).await {
                    break;
                }
            }
        });
    }
    let mut worst = Duration::ZERO;
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(4) {
        worst = worst.max(ping(&mut witness).await);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    floods.abort_all();
    println!("the worst ping took {worst:?}; {} KiB", serve.memory());
    assert!(worst < Duration::from_secs(3), "{worst:?}");
}

#[tokio::test]
async fn who_never_reads_pins_a_bounded_amount_of_memory() {
    let data = tempfile::tempdir().unwrap();
    let serve = Serve::start(data.path());
    let before = serve.memory();
    let mut devices = Vec::new();
    for n in 0..10 {
        let mut device = log_in(&serve, "mallory", &format!("m{n}")).await;
        let invitees: Vec<String> = (0..9).map(|n| format!("u{n}")).collect();
        let invitees: Vec<&str> = invitees.iter().map(String::as_str).collect();
        let data = "x".repeat(2_048);
        let call = format!("c{n}");
        let frame = command(1, &call, invite(&invitees, Mode::Advanced, &data));
        let quit = call::Command::Quit {
            under: call::Under::Unknown,
            extended_data: String::new(),
            push: None,
        };
        device.send(&frame).await;
        device.send(&command(2, &call, quit)).await;
        for _ in 0..3_000 {
            let bytes = encode(&frame).unwrap();
            if !device.try_send_bytes(&bytes).await {
                break;
            }
        }
        devices.push(device);
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let after = serve.memory();
    println!("{before} KiB before, {after} KiB after");
    assert!(after < before + 150_000, "{before} KiB, {after} KiB");
    let mut witness = log_in(&serve, "witness", "w1").await;
    assert!(ping(&mut witness).await < Duration::from_secs(2));
}
