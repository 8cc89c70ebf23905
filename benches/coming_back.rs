//! How long a device that comes back takes until what still rings rings, whatever else has changed
//! meanwhile.
//!
//! A device loses its network without a word. While it is away somebody rings it, and a number of
//! calls of its history change. A sample begins when the network is there again
//! (`Engine::set_network(true)`) and ends when the app hears callInvitationReceived, which is after
//! the invitation was committed and synced. Between: a new QUIC connection that resumes the last
//! session, the hello, the server's look, the first step of catching up, the device's commit.
//!
//! The floor, measured between the samples: a bare QUIC connection that resumes a session, one
//! request in its first flight, an answer, and one synced commit of a small row.
//!
//! Aims: the same with a backlog of 0, 1,000 and 100,000 changed calls, within 1.2; within 1.5 of
//! the floor.

mod common;

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use common::history::History;
use common::rows::Outbox;
use common::{RUNS, Times, median, wire};
use offhook::server::auth::Auth;
use offhook::server::push::LogSink;
use offhook::server::settings::Settings;
use offhook::server::{Server, ServerConfig};
use offhook::{
    CallEvent, CallId, CommandOptions, Config, ConnectionState, Engine, EventKind, Events,
    InviteOptions, Roots,
};
use quinn::{ClientConfig, Endpoint};
use tokio::runtime::{Builder, Runtime};
use tokio::time::sleep;

/// How many calls have changed.
const BACKLOGS: [i64; 3] = [0, 1_000, 100_000];
/// Samples of a run for each backlog.
const SAMPLES: usize = 12;
/// How often to look whether something has happened.
const PAUSE: Duration = Duration::from_millis(5);
/// How long an invitation lasts: longer than a sample.
const TIMEOUT_S: u32 = 600;
/// About as many bytes as a hello and its answer have.
const REQUEST_BYTES: usize = 300;
const ANSWER_BYTES: usize = 700;

fn main() {
    if !common::is_asked_for() {
        return;
    }
    common::announce("from the network's return until it rings, with a backlog of changed calls");
    let folder = common::folder();
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let floor = Floor::start(folder.path());
    let mut rows: Vec<Row> = BACKLOGS
        .iter()
        .map(|calls| Row::measure(&runtime, &floor, folder.path(), *calls))
        .collect();
    rows.sort_by_key(|row| row.calls);
    let base = &rows[0];
    println!(
        "changed calls    floor p50 µs    ring p50 µs    p99 µs    of the floor    of no backlog"
    );
    for row in &rows {
        let of = |figure: &dyn Fn(&(Times, Times)) -> f64| median(row.runs.iter().map(figure));
        let ratios = row.runs.iter().zip(&base.runs);
        println!(
            "{:13} {:15.0} {:14.0} {:9.0} {:15.2} {:16.2}",
            row.calls,
            of(&|run| run.0.at(0.5)),
            of(&|run| run.1.at(0.5)),
            of(&|run| run.1.at(0.99)),
            of(&|run| run.1.at(0.5) / run.0.at(0.5)),
            median(ratios.map(|(run, base)| run.1.at(0.5) / base.1.at(0.5))),
        );
    }
    println!("\naims: within 1.5 of the floor, within 1.2 of no backlog. {SAMPLES} samples a run.");
}

/// The figures of one backlog: times of the floor, and of the ring.
struct Row {
    calls: i64,
    runs: Vec<(Times, Times)>,
}

impl Row {
    fn measure(runtime: &Runtime, floor: &Floor, folder: &Path, calls: i64) -> Self {
        let data = folder.join(format!("server{calls}"));
        start(&data)
            .stop()
            .expect("a server that has made its file");
        let history = History::fill(&data.join("server.db"), "bob", calls);
        let server = start(&data);
        let mut pair = runtime.block_on(Pair::open(
            &server,
            &folder.join(calls.to_string()),
            history,
        ));
        runtime.block_on(pair.samples(floor, 2)); // do not count
        let runs = (0..RUNS)
            .map(|_| runtime.block_on(pair.samples(floor, SAMPLES)))
            .collect();
        runtime.block_on(pair.close());
        server.stop().expect("a server that stops");
        Self { calls, runs }
    }
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

/// Who rings, and who comes back.
struct Pair {
    caller: Engine,
    callee: Engine,
    heard: Events,
    history: History,
}

impl Pair {
    async fn open(server: &Server, folder: &Path, history: History) -> Self {
        std::fs::create_dir_all(folder).expect("a folder");
        let open = |user: &str| {
            let config = Config {
                roots: Roots::Pem(server.certificate_pem_path().to_owned()),
                ..Config::new(
                    server.local_addr().to_string(),
                    user,
                    folder.join(format!("{user}.db")),
                )
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
            history,
        }
    }

    async fn samples(&mut self, floor: &Floor, samples: usize) -> (Times, Times) {
        let (mut floors, mut rings) = (Times::default(), Times::default());
        for _ in 0..samples {
            floors.add(floor.sample().await);
            rings.add(self.come_back().await);
        }
        (floors, rings)
    }

    async fn come_back(&mut self) -> Duration {
        self.callee.set_network(false).await.expect("taken");
        self.history.change_all();
        let options = InviteOptions {
            timeout_s: TIMEOUT_S,
            ..InviteOptions::default()
        };
        let handle = self.caller.call_invite(&["bob"], options).await;
        let invited = handle.expect("taken").await.expect("accepted");
        sleep(PAUSE).await;
        let began = Instant::now();
        self.callee.set_network(true).await.expect("taken");
        heard(&mut self.heard, &invited.call_id).await;
        let took = began.elapsed();
        // The rest of the backlog is not waited for: it stays one.
        self.callee.set_network(false).await.expect("taken");
        let cancel = self
            .caller
            .call_cancel(&[], &invited.call_id, CommandOptions::default());
        cancel.await.expect("taken").await.expect("accepted");
        took
    }

    async fn close(self) {
        self.caller.close().await.expect("closed");
        self.callee.close().await.expect("closed");
    }
}

/// Waits for the ring of that call.
async fn heard(events: &mut Events, call: &CallId) {
    loop {
        let event = events
            .next()
            .await
            .expect("an open engine")
            .expect("in time");
        if let EventKind::Call(event @ CallEvent::Received { .. }) = event.kind
            && event.call_id() == call
        {
            return;
        }
    }
}

/// A server that answers one request a connection, and a client that resumes its session.
struct Floor {
    // Its thread serves until the end.
    _runtime: Runtime,
    server: SocketAddr,
    config: ClientConfig,
    outbox: std::sync::Mutex<Outbox>,
}

impl Floor {
    fn start(folder: &Path) -> Self {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let (endpoint, certificate) = {
            let _inside = runtime.enter();
            wire::server_that_resumes()
        };
        let server = endpoint.local_addr().expect("an address");
        runtime.spawn(answer(endpoint));
        Self {
            _runtime: runtime,
            server,
            config: wire::client_that_resumes(&certificate),
            outbox: std::sync::Mutex::new(Outbox::new(&folder.join("floor.db"))),
        }
    }

    async fn sample(&self) -> Duration {
        // The first connection has nothing to resume.
        let _ = self.connect().await;
        self.connect().await
    }

    async fn connect(&self) -> Duration {
        let began = Instant::now();
        let endpoint = Endpoint::client(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a socket");
        let connecting = endpoint
            .connect_with(self.config.clone(), self.server, "localhost")
            .expect("an attempt");
        let connection = match connecting.into_0rtt() {
            Ok((connection, _)) => connection,
            Err(connecting) => connecting.await.expect("a connection"),
        };
        let (mut send, mut receive) = connection.open_bi().await.expect("a stream");
        send.write_all(&[7; REQUEST_BYTES]).await.expect("a stream");
        receive
            .read_exact(&mut [0; ANSWER_BYTES])
            .await
            .expect("an answer");
        self.outbox.lock().expect("an outbox").commit_one();
        let took = began.elapsed();
        sleep(PAUSE).await; // the session's ticket comes after the answer
        connection.close(0_u32.into(), b"");
        endpoint.wait_idle().await;
        took
    }
}

async fn answer(endpoint: Endpoint) {
    while let Some(incoming) = endpoint.accept().await {
        tokio::spawn(async move {
            let Ok(connecting) = incoming.accept() else {
                return;
            };
            let Ok((connection, _)) = connecting.into_0rtt() else {
                return;
            };
            if let Ok((mut send, mut receive)) = connection.accept_bi().await
                && receive.read_exact(&mut [0; REQUEST_BYTES]).await.is_ok()
            {
                let _ = send.write_all(&[7; ANSWER_BYTES]).await;
                connection.closed().await;
            }
        });
    }
}
