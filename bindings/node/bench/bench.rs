//! The Rust side of bench/bench.js: the same two questions, without Node.js. Prints the times in
//! microseconds, as JSON. Arguments: folder, server, certificate, warm-up, samples.

use std::path::Path;
use std::time::{Duration, Instant};

use offhook::{
    CallEvent, CommandOptions, Config, ConnectionState, Engine, EventKind, Events, InviteOptions,
    Roots,
};
use serde_json::json;

const RINGS_S: u32 = 600;
/// Between samples, so that what the last one left to do is done.
const PAUSE: Duration = Duration::from_millis(4);

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, folder, server, ca, warm_up, samples] = &arguments[..] else {
        panic!("folder, server, certificate, warm-up, samples");
    };
    let count = |text: &str| text.parse::<usize>().expect("a number");
    let (warm_up, samples) = (count(warm_up), count(samples));
    let folder = Path::new(folder);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime");
    let times = runtime.block_on(async {
        let submit = submit(folder, warm_up, samples).await;
        let ring = ring(folder, server, ca, warm_up, samples).await;
        json!({ "submit": submit, "ring": ring })
    });
    println!("{times}");
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

async fn submit(folder: &Path, warm_up: usize, samples: usize) -> Vec<f64> {
    let config = Config::new("127.0.0.1:9", "alice", folder.join("submit.db"));
    let engine = Engine::open(config).expect("an engine");
    engine.set_network(false).await.expect("taken");
    let mut times = Vec::new();
    for sample in 0..warm_up + samples {
        let began = Instant::now();
        let handle = engine
            .call_invite(&["bob"], options())
            .await
            .expect("taken");
        if sample >= warm_up {
            times.push(micros(began));
        }
        let call = handle.call_id().clone();
        let cancel = engine.call_cancel(&[], &call, CommandOptions::default());
        cancel.await.expect("taken").await.expect("cancelled");
        tokio::time::sleep(PAUSE).await;
    }
    engine.close().await.expect("closed");
    times
}

async fn ring(folder: &Path, server: &str, ca: &str, warm_up: usize, samples: usize) -> Vec<f64> {
    let (alice, _) = phone(folder, server, ca, "alice").await;
    let (bob, mut events) = phone(folder, server, ca, "bob").await;
    let mut times = Vec::new();
    for sample in 0..warm_up + samples {
        let began = Instant::now();
        let handle = alice.call_invite(&["bob"], options()).await.expect("taken");
        until(&mut events, |event| {
            matches!(event, CallEvent::Received { .. })
        })
        .await;
        if sample >= warm_up {
            times.push(micros(began));
        }
        let call = handle.call_id().clone();
        handle.await.expect("invited");
        let cancel = alice.call_cancel(&[], &call, CommandOptions::default());
        cancel.await.expect("taken").await.expect("cancelled");
        until(&mut events, |event| {
            matches!(event, CallEvent::Cancelled { .. })
        })
        .await;
        tokio::time::sleep(PAUSE).await;
    }
    alice.close().await.expect("closed");
    bob.close().await.expect("closed");
    times
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
