//! How long an invitation takes from the app that gives it to the disk of the other device.
//!
//! A server and two engines, each with its own database on one disk, all in this process. A sample
//! begins with the call of `Engine::call_invite` and ends when the callee's app hears
//! callInvitationReceived, which comes after the callee's commit. Between: the caller's commit, a
//! hop to the server, its commit, a hop to the callee, the callee's commit.
//!
//! The floor is exactly that by hand, measured between the samples: three threads, three databases
//! with one transition each the size of a row of the outbox, and QUIC. No rules, no feeds, no
//! threads to hand over to.
//!
//! Aim: the median within 1.3 of the floor's.

mod common;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use common::rows::Outbox;
use common::wire;
use common::{RUNS, Times, commits, median};
use offhook::server::auth::Auth;
use offhook::server::push::LogSink;
use offhook::server::settings::Settings;
use offhook::server::{Server, ServerConfig};
use offhook::{
    CallEvent, CallId, CommandOptions, Config, ConnectionState, Engine, EventKind, Events,
    InviteOptions, Roots,
};
use quinn::{Endpoint, RecvStream, SendStream};
use rustls::pki_types::CertificateDer;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc as queue;
use tokio::time::sleep;

/// Which times of a run.
type Of = fn(&Run) -> &Times;

/// Samples of a run, of either kind.
const SAMPLES: usize = 200;
/// Samples before the first run, which do not count.
const WARM_UP: usize = 30;
/// Between samples, so that what the last one left to do is done.
const PAUSE: Duration = Duration::from_millis(4);
/// About as many bytes as a command has on the wire.
const MESSAGE_BYTES: usize = 220;

fn main() {
    if !common::is_asked_for() {
        return;
    }
    common::announce(
        "invite → received on disk at the other device: engines beside a floor by hand",
    );
    let folder = common::folder();
    let runtime = current_thread();
    let server = start(&folder.path().join("server"));
    let mut pair = runtime.block_on(Pair::open(&server, folder.path()));
    let mut floor = Floor::start(folder.path());
    runtime.block_on(run(&mut pair, &mut floor, WARM_UP));
    let databases = ["alice.db", "server/server.db", "bob.db"].map(|name| folder.path().join(name));
    let before = databases.each_ref().map(|database| commits(database));
    let runs: Vec<Run> = (0..RUNS)
        .map(|_| runtime.block_on(run(&mut pair, &mut floor, SAMPLES)))
        .collect();
    let after = databases.each_ref().map(|database| commits(database));
    print(&runs);
    let samples = (RUNS * SAMPLES) as f64;
    let [caller, decider, callee] =
        std::array::from_fn(|n| f64::from(after[n] - before[n]) / samples);
    println!(
        "Commits to ring and take it back, receipts and all: {caller:.1} at the caller, \
         {decider:.1} at the server, {callee:.1} at the callee."
    );
    runtime.block_on(pair.close());
    server.stop().expect("a server that stops");
}

fn print(runs: &[Run]) {
    let of = |figure: &dyn Fn(&Run) -> f64| median(runs.iter().map(figure));
    println!("                                   p50 µs    p99 µs   of the floor: p50      p99");
    let rows: [(&str, Of); 3] = [
        ("floor: 3 commits, 2 hops", |run| &run.floor),
        ("invite → received on disk", |run| &run.received),
        ("invite → the caller's verdict", |run| &run.verdict),
    ];
    for (name, times) in rows {
        println!(
            "{name:32} {:8.0}  {:8.0}  {:18.2} {:8.2}",
            of(&|run| times(run).at(0.5)),
            of(&|run| times(run).at(0.99)),
            of(&|run| times(run).at(0.5) / run.floor.at(0.5)),
            of(&|run| times(run).at(0.99) / run.floor.at(0.99)),
        );
    }
    println!(
        "\naim: received on disk within 1.3 of the floor in the median. {SAMPLES} samples a run."
    );
}

/// The times of one run.
#[derive(Default)]
struct Run {
    floor: Times,
    received: Times,
    verdict: Times,
}

async fn run(pair: &mut Pair, floor: &mut Floor, samples: usize) -> Run {
    let mut run = Run::default();
    for _ in 0..samples {
        let (received, verdict) = pair.invite().await;
        run.received.add(received);
        run.verdict.add(verdict);
        sleep(PAUSE).await;
        run.floor.add(floor.sample());
        sleep(PAUSE).await;
    }
    run
}

fn current_thread() -> Runtime {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
}

fn start(data_dir: &Path) -> Server {
    Server::start(ServerConfig {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        data_dir: data_dir.to_owned(),
        auth: Auth::TrustNames,
        cert: None,
        key: None,
        settings: Settings::default(),
        push: Box::new(LogSink),
    })
    .expect("a server")
}

/// Two users with a device each.
struct Pair {
    caller: Engine,
    callee: Engine,
    heard: Events,
}

impl Pair {
    async fn open(server: &Server, folder: &Path) -> Self {
        let open = |user: &str| {
            let database = folder.join(format!("{user}.db"));
            let config = Config {
                roots: Roots::Pem(server.certificate_pem_path().to_owned()),
                ..Config::new(server.local_addr().to_string(), user, database)
            };
            Engine::open(config).expect("an engine")
        };
        let (caller, callee) = (open("alice"), open("bob"));
        for engine in [&caller, &callee] {
            while engine.status().await.expect("a status").connection != ConnectionState::Connected
            {
                sleep(PAUSE).await;
            }
        }
        let heard = callee.events();
        Self {
            caller,
            callee,
            heard,
        }
    }

    /// Rings, and takes it back when all of it has been told. Gives how long it took until it was
    /// received, and until the caller had the verdict.
    async fn invite(&mut self) -> (Duration, Duration) {
        let began = Instant::now();
        let caller = &self.caller;
        let verdict = async {
            let handle = caller.call_invite(&["bob"], InviteOptions::default()).await;
            handle.expect("taken").await.expect("accepted");
            began.elapsed()
        };
        let received = async {
            let call = heard(&mut self.heard, "callInvitationReceived").await;
            (began.elapsed(), call)
        };
        let (verdict, (received, call)) = tokio::join!(verdict, received);
        sleep(PAUSE).await;
        let cancel = caller.call_cancel(&[], &call, CommandOptions::default());
        cancel.await.expect("taken").await.expect("accepted");
        heard(&mut self.heard, "callInvitationCancelled").await;
        (received, verdict)
    }

    async fn close(self) {
        self.caller.close().await.expect("closed");
        self.callee.close().await.expect("closed");
    }
}

/// Waits for an event of that name, and gives its call.
async fn heard(events: &mut Events, name: &str) -> CallId {
    loop {
        let event = events
            .next()
            .await
            .expect("an open engine")
            .expect("in time");
        if let EventKind::Call(event) = event.kind
            && CallEvent::name(&event) == name
        {
            return event.call_id().clone();
        }
    }
}

/// Three threads with a database each: a caller, a server, a callee.
struct Floor {
    go: Option<queue::UnboundedSender<()>>,
    times: mpsc::Receiver<Instant>,
    threads: Vec<JoinHandle<()>>,
}

impl Floor {
    fn start(folder: &Path) -> Self {
        let (go, gone) = queue::unbounded_channel();
        let (stamp, times) = mpsc::channel();
        let (ready, is_ready) = mpsc::channel();
        let of = |name: &str| Outbox::new(&folder.join(format!("floor-{name}.db")));
        let (caller, server, callee) = (of("caller"), of("server"), of("callee"));
        let mut threads = Vec::new();
        threads.push(std::thread::spawn(move || {
            current_thread().block_on(relay(server, &ready));
        }));
        let (address, certificate) = is_ready.recv().expect("a server");
        let to = (address, certificate.clone());
        let stamp_end = stamp.clone();
        threads.push(std::thread::spawn(move || {
            current_thread().block_on(receive(callee, to, &stamp_end));
        }));
        is_ready.recv().expect("a callee that is connected");
        let to = (address, certificate);
        threads.push(std::thread::spawn(move || {
            current_thread().block_on(invite(caller, to, gone, &stamp));
        }));
        is_ready.recv().expect("a caller that is connected");
        Self {
            go: Some(go),
            times,
            threads,
        }
    }

    /// Three commits and two hops.
    fn sample(&mut self) -> Duration {
        let go = self.go.as_ref().expect("it runs");
        go.send(()).expect("a caller");
        let began = self.times.recv().expect("a beginning");
        let ended = self.times.recv().expect("an end");
        ended - began
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        self.go = None; // the caller ends, then the server, then the callee
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// Where the floor's server is, and its certificate.
type Whereto = (SocketAddr, CertificateDer<'static>);

async fn invite(
    mut transitions: Outbox,
    (address, certificate): Whereto,
    mut go: queue::UnboundedReceiver<()>,
    stamp: &mpsc::Sender<Instant>,
) {
    let endpoint = wire::client(&certificate);
    let connection = endpoint.connect(address, "localhost").expect("an attempt");
    let connection = connection.await.expect("a connection");
    let (mut send, _receive) = connection.open_bi().await.expect("a stream");
    send.write_all(&[0; 1]).await.expect("a stream"); // opens it on the other side
    while go.recv().await.is_some() {
        stamp.send(Instant::now()).expect("somebody who waits");
        transitions.commit_one();
        send_message(&mut send).await;
    }
    connection.close(0_u32.into(), b"");
    endpoint.wait_idle().await;
}

async fn relay(mut transitions: Outbox, ready: &mpsc::Sender<Whereto>) {
    let (endpoint, certificate) = wire::server();
    let whereto = (endpoint.local_addr().expect("an address"), certificate);
    ready.send(whereto.clone()).expect("somebody who waits");
    // The callee comes first, then the caller.
    let (_callee, mut to_callee, _from_callee) = accept(&endpoint).await;
    ready.send(whereto.clone()).expect("somebody who waits");
    let (_caller, _to_caller, mut from_caller) = accept(&endpoint).await;
    ready.send(whereto).expect("somebody who waits");
    while receive_message(&mut from_caller).await {
        transitions.commit_one();
        send_message(&mut to_callee).await;
    }
    endpoint.close(0_u32.into(), b"");
    endpoint.wait_idle().await;
}

async fn accept(endpoint: &Endpoint) -> (quinn::Connection, SendStream, RecvStream) {
    let incoming = endpoint.accept().await.expect("somebody who connects");
    let connection = incoming.await.expect("a connection");
    let (send, mut receive) = connection.accept_bi().await.expect("a stream");
    receive.read_exact(&mut [0; 1]).await.expect("its opening");
    (connection, send, receive)
}

async fn receive(
    mut transitions: Outbox,
    (address, certificate): Whereto,
    stamp: &mpsc::Sender<Instant>,
) {
    let endpoint = wire::client(&certificate);
    let connection = endpoint.connect(address, "localhost").expect("an attempt");
    let connection = connection.await.expect("a connection");
    let (mut send, mut receive) = connection.open_bi().await.expect("a stream");
    send.write_all(&[0; 1]).await.expect("a stream");
    while receive_message(&mut receive).await {
        transitions.commit_one();
        stamp.send(Instant::now()).expect("somebody who waits");
    }
}

async fn send_message(send: &mut SendStream) {
    send.write_all(&[7; MESSAGE_BYTES]).await.expect("a stream");
}

/// False when the other side is gone.
async fn receive_message(receive: &mut RecvStream) -> bool {
    receive.read_exact(&mut [0; MESSAGE_BYTES]).await.is_ok()
}
