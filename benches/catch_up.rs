//! How fast a device catches up with 10,000 calls that it does not know: from the network's
//! return until all of them are on its disk.
//!
//! The raw limit, measured between the samples, is the same wire and the same SQLite by hand: a
//! thread reads the calls and their members from a server's database and sends them in frames of
//! the product's own encoding and size over QUIC; another decodes them and inserts the rows of
//! calls, members and changes, a synced transaction a frame. It looks nothing up, derives no events
//! and judges nothing.
//!
//! Aim: above 0.7 of the raw limit, in calls a second.

mod common;

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use common::history::{History, Rows, Source};
use common::wire::{self, Incoming, Line};
use common::{RUNS, median, open_full};
use offhook::protocol::{Feed, Lane, ToDevice, encode};
use offhook::server::auth::Auth;
use offhook::server::core::FEED_CALLS_MAX;
use offhook::server::push::LogSink;
use offhook::server::settings::Settings;
use offhook::server::{Server, ServerConfig};
use offhook::{Config, Engine, Roots};
use quinn::Endpoint;
use tokio::runtime::Builder;
use tokio::time::sleep;

/// How many calls there are.
const CALLS: i64 = 10_000;
/// Samples of a run, of either kind.
const SAMPLES: usize = 3;
/// How often to look whether something has happened.
const PAUSE: Duration = Duration::from_millis(2);

fn main() {
    if !common::is_asked_for() {
        return;
    }
    common::announce("catching up with 10,000 calls, to disk");
    let folder = common::folder();
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let data = folder.path().join("server");
    let database = data.join("server.db");
    start(&data)
        .stop()
        .expect("a server that has made its file");
    drop(History::fill(&database, "bob", CALLS));
    let server = start(&data);
    let sample = |name: String| {
        let (to, device) = (format!("{name}-raw.db"), format!("{name}.db"));
        let raw = by_hand(&database, &folder.path().join(to));
        let engine = runtime.block_on(catch_up(&server, &folder.path().join(device)));
        (raw, engine)
    };
    sample("warm-up".to_owned());
    let runs: Vec<(f64, f64)> = (0..RUNS)
        .map(|run| {
            let times: Vec<(Duration, Duration)> = (0..SAMPLES)
                .map(|number| sample(format!("{run}-{number}")))
                .collect();
            let rate = |time: Duration| CALLS as f64 * SAMPLES as f64 / time.as_secs_f64();
            (
                rate(times.iter().map(|time| time.0).sum()),
                rate(times.iter().map(|time| time.1).sum()),
            )
        })
        .collect();
    server.stop().expect("a server that stops");
    println!(
        "raw limit by hand   {:10.0} calls/s",
        median(runs.iter().map(|run| run.0))
    );
    println!(
        "an engine           {:10.0} calls/s   {:.2} of the raw limit (aim: above 0.7)",
        median(runs.iter().map(|run| run.1)),
        median(runs.iter().map(|run| run.1 / run.0)),
    );
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

/// A device that knows nothing yet.
async fn catch_up(server: &Server, database: &Path) -> Duration {
    let config = Config {
        roots: Roots::Pem(server.certificate_pem_path().to_owned()),
        ..Config::new(server.local_addr().to_string(), "bob", database)
    };
    let engine = Engine::open(config).expect("an engine");
    engine.set_network(false).await.expect("taken");
    let began = Instant::now();
    engine.set_network(true).await.expect("taken");
    while engine.status().await.expect("a status").cursor < CALLS.unsigned_abs() {
        sleep(PAUSE).await;
    }
    let took = began.elapsed();
    engine.close().await.expect("closed");
    took
}

/// The raw limit.
fn by_hand(from: &Path, to: &Path) -> Duration {
    let runtime = || {
        Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime")
    };
    let connection = open_full(to);
    connection
        .execute_batch(include_str!("../schema/client/0001_initial.sql"))
        .expect("the schema");
    let (tell, told) = std::sync::mpsc::channel();
    let source = Source::new(open_full(from), "bob");
    let sender = std::thread::spawn(move || {
        runtime().block_on(async {
            let (endpoint, certificate) = wire::server();
            let address = endpoint.local_addr().expect("an address");
            tell.send((address, certificate))
                .expect("somebody who waits");
            send_all(endpoint, source).await;
        });
    });
    let (address, certificate) = told.recv().expect("an address");
    let began = Instant::now();
    runtime().block_on(async {
        let endpoint = wire::client(&certificate);
        let mut line = Line::open(&endpoint, address).await;
        line.send_bytes(&[0]).await;
        let (_connection, _send, incoming) = line.into_halves();
        take_all(Rows::new(connection), incoming).await;
    });
    let took = began.elapsed();
    sender.join().expect("a sender");
    took
}

async fn take_all(mut rows: Rows, mut incoming: Incoming) {
    while let Some(ToDevice::Feed(feed)) = incoming.receive().await {
        rows.put(&feed.calls);
        if feed.last {
            return;
        }
    }
    panic!("the sender went before the last frame");
}

async fn send_all(endpoint: Endpoint, mut source: Source) {
    let incoming = endpoint.accept().await.expect("somebody who connects");
    let connection = incoming.await.expect("a connection");
    let (mut send, mut receive) = connection.accept_bi().await.expect("a stream");
    receive.read_exact(&mut [0; 1]).await.expect("its opening");
    loop {
        let calls = source.next(FEED_CALLS_MAX);
        let last = calls.len() < FEED_CALLS_MAX;
        let frame = ToDevice::Feed(Feed {
            lane: Lane::History,
            cursor: None,
            settled: 0,
            last,
            calls,
        });
        let bytes = encode(&frame).expect("a frame");
        send.write_all(&bytes).await.expect("a stream");
        if last {
            break;
        }
    }
    connection.closed().await;
}
