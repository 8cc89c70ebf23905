//! The Rust side of bench/bench.js: the same questions, without Node.js. Its engines stay open; for each
//! line of input it takes so many samples and prints their times in microseconds, as JSON. A line is
//! `submit N` or `ring N`. Arguments: folder, server, certificate.

use std::io::BufRead;
use std::path::Path;
use std::time::{Duration, Instant};

use offhook::{
    CallEvent, CommandOptions, Config, ConnectionState, Engine, EventKind, Events, InviteOptions,
    Roots,
};
use serde_json::json;

const RINGS_S: u32 = 600;
/// Between samples, so that what the last one left to do is done.
const PAUSE: Duration = Duration::from_millis(25);

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, folder, server, ca] = &arguments[..] else {
        panic!("folder, server, certificate");
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime");
    let mut bench = runtime.block_on(Bench::open(Path::new(folder), server, ca));
    println!("[]");
    for line in std::io::stdin().lock().lines() {
        let line = line.expect("a line");
        let (what, count) = line.split_once(' ').expect("what, and how often");
        let count: usize = count.parse().expect("a number");
        let times = runtime.block_on(async {
            match what {
                "submit" => bench.submit(count).await,
                "ring" => bench.ring(count).await,
                _ => panic!("submit or ring"),
            }
        });
        println!("{}", json!(times));
    }
    runtime.block_on(bench.close());
}

struct Bench {
    /// Without a network.
    alone: Engine,
    alice: Engine,
    bob: Engine,
    heard: Events,
}

impl Bench {
    async fn open(folder: &Path, server: &str, ca: &str) -> Self {
        let (alone, _) = phone(folder, server, ca, "rust alone").await;
        alone.set_network(false).await.expect("taken");
        let (alice, _) = phone(folder, server, ca, "rust alice").await;
        let (bob, heard) = phone(folder, server, ca, "rust bob").await;
        Self {
            alone,
            alice,
            bob,
            heard,
        }
    }

    /// A command on a device without a network, until it is on disk.
    async fn submit(&mut self, count: usize) -> Vec<f64> {
        let mut times = Vec::new();
        for _ in 0..count {
            let began = Instant::now();
            let handle = self.alone.call_invite(&["bob"], options()).await;
            times.push(micros(began));
            let call = handle.expect("taken").call_id().clone();
            let cancel = self
                .alone
                .call_cancel(&[], &call, CommandOptions::default());
            cancel.await.expect("taken").await.expect("cancelled");
            tokio::time::sleep(PAUSE).await;
        }
        times
    }

    /// From giving an invite until the other device's app has the event.
    async fn ring(&mut self, count: usize) -> Vec<f64> {
        let mut times = Vec::new();
        for _ in 0..count {
            let began = Instant::now();
            let handle = self.alice.call_invite(&["rust bob"], options()).await;
            until(&mut self.heard, |event| {
                matches!(event, CallEvent::Received { .. })
            })
            .await;
            times.push(micros(began));
            let handle = handle.expect("taken");
            let call = handle.call_id().clone();
            handle.await.expect("invited");
            let cancel = self
                .alice
                .call_cancel(&[], &call, CommandOptions::default());
            cancel.await.expect("taken").await.expect("cancelled");
            until(&mut self.heard, |event| {
                matches!(event, CallEvent::Cancelled { .. })
            })
            .await;
            tokio::time::sleep(PAUSE).await;
        }
        times
    }

    async fn close(self) {
        for engine in [self.alone, self.alice, self.bob] {
            engine.close().await.expect("closed");
        }
    }
}

fn options() -> InviteOptions {
    InviteOptions {
        timeout_s: RINGS_S,
        wait_s: Some(RINGS_S),
        ..InviteOptions::default()
    }
}

fn micros(began: Instant) -> f64 {
    began.elapsed().as_secs_f64() * 1e6
}

async fn phone(folder: &Path, server: &str, ca: &str, user: &str) -> (Engine, Events) {
    let mut config = Config::new(server, user, folder.join(format!("{user}.db")));
    config.roots = Roots::Pem(ca.into());
    let (engine, mut events) = Engine::open_with_events(config).expect("an engine");
    while let Some(event) = events.next().await {
        if let EventKind::ConnectionStateChanged(change) = event.expect("in time").kind
            && change.state == ConnectionState::Connected
        {
            break;
        }
    }
    (engine, events)
}

async fn until(events: &mut Events, is_it: impl Fn(&CallEvent) -> bool) {
    while let Some(event) = events.next().await {
        if let EventKind::Call(call) = event.expect("in time").kind
            && is_it(&call)
        {
            return;
        }
    }
}
