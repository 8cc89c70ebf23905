//! How long a command takes to be durable: from the call of `Engine::call_invite` until the handle
//! with the call's id is there, on a device without a network.
//!
//! Beside it, between the samples: a row like the outbox's, inserted by hand and committed with a
//! sync, on the same disk, in the calling thread. The engine also hands the command to the thread
//! that writes, judges it by what this device knows, and looks for what else is due.
//!
//! Aim: the median within 1.3 of the raw commit's.

mod common;

use std::path::Path;
use std::time::Instant;

use common::rows::Outbox;
use common::{RUNS, Times, median};
use offhook::{CommandOptions, Config, Engine, InviteOptions};
use tokio::runtime::Builder;

/// Samples of a run, of either kind.
const SAMPLES: usize = 400;
/// Samples before those of a run, which do not count.
const WARM_UP: usize = 50;
/// How long an invite may wait: none expires while this runs.
const WAIT_S: u32 = 600;

fn main() {
    if !common::is_asked_for() {
        return;
    }
    common::announce("a command until it is durable: the engine beside one raw commit");
    let folder = common::folder();
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let runs: Vec<(Times, Times)> = (0..RUNS)
        .map(|run| {
            let mut raw = Outbox::new(&folder.path().join(format!("raw{run}.db")));
            let database = folder.path().join(format!("engine{run}.db"));
            runtime.block_on(samples(&mut raw, &database))
        })
        .collect();
    println!("                          p50 µs    p99 µs   of the raw commit: p50      p99");
    let of = |figure: &dyn Fn(&(Times, Times)) -> f64| median(runs.iter().map(figure));
    println!(
        "a raw FULL commit       {:8.0}  {:8.0}",
        of(&|run| run.0.at(0.5)),
        of(&|run| run.0.at(0.99)),
    );
    println!(
        "callInvite, durable     {:8.0}  {:8.0}  {:22.2} {:8.2}",
        of(&|run| run.1.at(0.5)),
        of(&|run| run.1.at(0.99)),
        of(&|run| run.1.at(0.5) / run.0.at(0.5)),
        of(&|run| run.1.at(0.99) / run.0.at(0.99)),
    );
    println!("\naim: within 1.3 in the median. {SAMPLES} samples a run.");
}

/// The times of both kinds.
async fn samples(raw: &mut Outbox, database: &Path) -> (Times, Times) {
    let engine = Engine::open(Config::new("127.0.0.1:9", "alice", database)).expect("an engine");
    engine.set_network(false).await.expect("taken");
    let (mut by_hand, mut by_engine) = (Times::default(), Times::default());
    for sample in 0..WARM_UP + SAMPLES {
        let began = Instant::now();
        raw.commit_one();
        let raw_time = began.elapsed();
        let options = InviteOptions {
            wait_s: Some(WAIT_S),
            timeout_s: WAIT_S,
            ..InviteOptions::default()
        };
        let began = Instant::now();
        let handle = engine.call_invite(&["bob"], options).await.expect("taken");
        let engine_time = began.elapsed();
        // Taken back before it was sent, it leaves the outbox as empty as it was.
        let call = handle.call_id().clone();
        let cancel = engine.call_cancel(&[], &call, CommandOptions::default());
        cancel.await.expect("taken").await.expect("withdrawn");
        if sample >= WARM_UP {
            by_hand.add(raw_time);
            by_engine.add(engine_time);
        }
    }
    engine.close().await.expect("closed");
    (by_hand, by_engine)
}
