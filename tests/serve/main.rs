//! `offhook serve` as a process, and a client of nothing but QUIC and frames.

mod raw;

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use offhook::call::{self, CallId, DeviceId, Mode, Op, UserId, UserState};
use offhook::protocol::{
    Capabilities, ClosingReason, CommandFrame, Cursor, Hello, Lane, ToDevice, ToServer, Welcome,
};

use raw::Device;

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(15);

struct Serve {
    child: Child,
    address: SocketAddr,
}

impl Serve {
    fn start(data: &Path, more: &[&str]) -> Self {
        let mut child = command(data, more).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap())
            .read_line(&mut line)
            .unwrap();
        let address = line
            .trim()
            .strip_prefix("listening on ")
            .unwrap_or_else(|| panic!("{line:?}"))
            .parse()
            .unwrap();
        Self { child, address }
    }

    fn terminate(&self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").arg(pid).status().unwrap().success());
    }

    fn exit_code(&mut self) -> i32 {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code().unwrap();
            }
            assert!(start.elapsed() < PATIENCE, "it does not end");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(data: &Path, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_offhook"));
    command
        .args(["serve", "--listen", "127.0.0.1:0", "--data"])
        .arg(data)
        .args(more)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// What a start that fails says, and its exit code.
fn failure(data: &Path, more: &[&str]) -> (i32, String) {
    let output = command(data, more).output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    (output.status.code().unwrap(), text)
}

fn hello(user: &str, device: &str) -> Hello {
    Hello {
        version_min: 1,
        version_max: 1,
        build: "test".to_owned(),
        capabilities: Capabilities::OURS,
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

async fn log_in(device: &mut Device, user: &str, name: &str) -> Welcome {
    device
        .send(&ToServer::Hello(Box::new(hello(user, name))))
        .await;
    let ToDevice::Welcome(welcome) = device.receive().await else {
        panic!("no welcome");
    };
    for (lane, last) in [(Lane::Open, true), (Lane::History, true)] {
        let ToDevice::Feed(feed) = device.receive().await else {
            panic!("no feed");
        };
        assert_eq!((feed.lane, feed.last), (lane, last));
    }
    *welcome
}

fn invite(number: u64, call: &str, invitee: &str) -> ToServer {
    ToServer::Command(Box::new(CommandFrame {
        number,
        op: Op::trusted(format!("op-{number}")),
        call: CallId::trusted(call),
        not_after: 0,
        command: call::Command::Invite {
            invitees: vec![UserId::trusted(invitee)],
            timeout_s: 60,
            mode: Mode::General,
            extended_data: "hi".to_owned(),
            not_received_check: false,
            push: None,
        },
    }))
}

#[tokio::test]
async fn a_call_reaches_the_invitee_and_sigterm_ends_it_all() {
    let data = tempfile::tempdir().unwrap();
    let mut serve = Serve::start(data.path(), &[]);
    let ca = data.path().join("cert.pem");
    let mut alice = Device::connect(serve.address, &ca).await;
    let mut bob = Device::connect(serve.address, &ca).await;
    let welcome = log_in(&mut alice, "alice", "a1").await;
    assert_eq!((welcome.last_number, welcome.hello_sent_at), (0, 7));
    assert_eq!(welcome.limits.offline_after_s, 35);
    log_in(&mut bob, "bob", "b1").await;

    alice.send(&invite(1, "call-1", "bob")).await;
    let ToDevice::Verdict(verdict) = alice.receive().await else {
        panic!("the verdict comes first");
    };
    assert!(verdict.result.is_ok(), "{verdict:?}");
    let ToDevice::Feed(feed) = bob.receive().await else {
        panic!("no ring");
    };
    assert_eq!(feed.lane, Lane::Live);
    let me = feed.calls[0].member(&UserId::trusted("bob")).unwrap();
    assert_eq!(me.state, UserState::Inviting);
    assert_eq!(me.deadline, feed.calls[0].create_time + 60_000);

    let ToDevice::Feed(_) = alice.receive().await else {
        panic!("then her own feed");
    };
    let start = Instant::now();
    serve.terminate();
    let ToDevice::Goodbye(goodbye) = alice.receive().await else {
        panic!("no goodbye");
    };
    assert_eq!(goodbye.reason, ClosingReason::ShuttingDown);
    assert_eq!(serve.exit_code(), 0);
    assert!(start.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_kill() {
    let data = tempfile::tempdir().unwrap();
    let ca = data.path().join("cert.pem");
    {
        let mut serve = Serve::start(data.path(), &[]);
        let mut alice = Device::connect(serve.address, &ca).await;
        log_in(&mut alice, "alice", "a1").await;
        alice.send(&invite(1, "call-1", "bob")).await;
        let ToDevice::Verdict(_) = alice.receive().await else {
            panic!("no verdict");
        };
        serve.child.kill().unwrap();
        serve.child.wait().unwrap();
    }
    let serve = Serve::start(data.path(), &[]);
    let mut bob = Device::connect(serve.address, &ca).await;
    bob.send(&ToServer::Hello(Box::new(hello("bob", "b1"))))
        .await;
    let ToDevice::Welcome(_) = bob.receive().await else {
        panic!("no welcome");
    };
    let ToDevice::Feed(feed) = bob.receive().await else {
        panic!("no feed");
    };
    assert_eq!(feed.lane, Lane::Open);
    assert_eq!(feed.calls[0].id, CallId::trusted("call-1"));
}

#[tokio::test]
async fn bytes_that_are_no_frame_are_answered_with_a_goodbye() {
    let data = tempfile::tempdir().unwrap();
    let serve = Serve::start(data.path(), &[]);
    let mut device = Device::connect(serve.address, &data.path().join("cert.pem")).await;
    device.send_bytes(&[0xff; 64]).await;
    let ToDevice::Goodbye(goodbye) = device.receive().await else {
        panic!("no goodbye");
    };
    assert_eq!(goodbye.reason, ClosingReason::Violation);
    assert!(device.is_closed().await);
}

#[tokio::test]
async fn a_server_runs_inside_another_program_and_stops_when_told() {
    use offhook::server::{Server, ServerConfig, auth::Auth, push::LogSink, settings::Settings};
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(ServerConfig {
        listen: "127.0.0.1:0".parse().unwrap(),
        data_dir: data.path().to_owned(),
        auth: Auth::TrustNames,
        cert: None,
        key: None,
        settings: Settings::default(),
        push: Box::new(LogSink),
    })
    .unwrap();
    let mut device = Device::connect(server.local_addr(), server.certificate_pem_path()).await;
    log_in(&mut device, "alice", "a1").await;
    let stopping = tokio::task::spawn_blocking(move || server.stop());
    let ToDevice::Goodbye(goodbye) = device.receive().await else {
        panic!("no goodbye");
    };
    assert_eq!(goodbye.reason, ClosingReason::ShuttingDown);
    drop(device);
    stopping.await.unwrap().unwrap();
    // The folder is free again.
    let _again = Serve::start(data.path(), &[]);
}

#[tokio::test]
async fn a_device_that_says_nothing_is_closed_and_a_newer_connection_replaces_an_older() {
    let data = tempfile::tempdir().unwrap();
    let more = ["--set", "offline_after_s=1"];
    let serve = Serve::start(data.path(), &more);
    let ca = data.path().join("cert.pem");
    let mut first = Device::connect(serve.address, &ca).await;
    let welcome = log_in(&mut first, "alice", "a1").await;
    assert_eq!(welcome.limits.heartbeat_s, 1);
    let mut second = Device::connect(serve.address, &ca).await;
    let again = Hello {
        welcome_token: Some(welcome.welcome_token),
        ..hello("alice", "a1")
    };
    second.send(&ToServer::Hello(Box::new(again))).await;
    let ToDevice::Welcome(_) = second.receive().await else {
        panic!("no welcome");
    };
    let ToDevice::Goodbye(goodbye) = first.receive().await else {
        panic!("no goodbye");
    };
    assert_eq!(goodbye.reason, ClosingReason::Replaced);
    assert!(second.is_closed().await, "silent");
}

#[test]
fn what_keeps_it_from_starting_is_named() {
    let data = tempfile::tempdir().unwrap();
    let serve = Serve::start(data.path(), &[]);
    let (code, text) = failure(data.path(), &[]);
    assert_eq!(code, 1, "{text}");
    assert!(text.contains(data.path().to_str().unwrap()), "{text}");

    let other = tempfile::tempdir().unwrap();
    let taken = serve.address.to_string();
    let output = Command::new(env!("CARGO_BIN_EXE_offhook"))
        .args(["serve", "--listen", &taken, "--data"])
        .arg(other.path())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text.contains(&taken), "{text}");

    let output = Command::new(env!("CARGO_BIN_EXE_offhook"))
        .args(["serve", "--listen", "0.0.0.0:0", "--data"])
        .arg(other.path())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text.contains("--jwt-key"), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");

    let (code, text) = failure(other.path(), &["--set", "members_max=50"]);
    assert_eq!(code, 2);
    assert!(
        text.contains("members_max") && text.contains("20"),
        "{text}"
    );
}

#[test]
fn nothing_but_its_address_is_on_stdout() {
    let data = tempfile::tempdir().unwrap();
    let mut serve = Serve::start(data.path(), &["-v"]);
    serve.terminate();
    assert_eq!(serve.exit_code(), 0);
    let mut rest = String::new();
    let mut stdout = serve.child.stdout.take().unwrap();
    stdout.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "");
}
