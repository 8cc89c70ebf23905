//! What looking costs the app: how long a command takes to be durable while nobody looks at the
//! file, and while `offhook inspect` follows it and asks one question after another.
//!
//! Blocks of either kind take turns within a run. The lookers are processes of their own, as they
//! are for a developer, and take processor time as well; on a machine whose cores are all busy that
//! is in the figure, too.
//!
//! Aim: the median within 1.2 of the undisturbed one's.

mod common;

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{JoinHandle, spawn};
use std::time::{Duration, Instant};

use common::{RUNS, Times, median};
use offhook::{CommandOptions, Config, Engine, InviteOptions};
use tokio::runtime::Builder;

/// Blocks of a run, of either kind.
const BLOCKS: usize = 4;
/// Samples of a block.
const SAMPLES: usize = 100;
/// Between two questions: faster than anybody types.
const ASK_EVERY: Duration = Duration::from_millis(250);
/// How long an invite may wait: none expires while this runs.
const WAIT_S: u32 = 600;

fn main() {
    if !common::is_asked_for() {
        return;
    }
    common::announce("a command until it is durable, with and without somebody who looks");
    let folder = common::folder();
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let runs: Vec<(Times, Times)> = (0..RUNS)
        .map(|run| {
            let database = folder.path().join(format!("engine{run}.db"));
            runtime.block_on(blocks(&database))
        })
        .collect();
    println!("                      p50 µs    p99 µs   of the undisturbed: p50      p99");
    let of = |figure: &dyn Fn(&(Times, Times)) -> f64| median(runs.iter().map(figure));
    println!(
        "nobody looks        {:8.0}  {:8.0}",
        of(&|run| run.0.at(0.5)),
        of(&|run| run.0.at(0.99)),
    );
    println!(
        "somebody looks      {:8.0}  {:8.0}  {:22.2} {:8.2}",
        of(&|run| run.1.at(0.5)),
        of(&|run| run.1.at(0.99)),
        of(&|run| run.1.at(0.5) / run.0.at(0.5)),
        of(&|run| run.1.at(0.99) / run.0.at(0.99)),
    );
    println!(
        "\naim: within 1.2 in the median. {} samples a run.",
        BLOCKS * SAMPLES
    );
}

/// The times of both kinds.
async fn blocks(database: &Path) -> (Times, Times) {
    let engine = Engine::open(Config::new("127.0.0.1:9", "alice", database)).expect("an engine");
    engine.set_network(false).await.expect("taken");
    let (mut alone, mut watched) = (Times::default(), Times::default());
    // The first does not count.
    samples(&engine, &mut Times::default()).await;
    for _ in 0..BLOCKS {
        samples(&engine, &mut alone).await;
        let lookers = Lookers::at(database);
        samples(&engine, &mut watched).await;
        lookers.leave();
    }
    engine.close().await.expect("closed");
    (alone, watched)
}

async fn samples(engine: &Engine, times: &mut Times) {
    for _ in 0..SAMPLES {
        let options = InviteOptions {
            wait_s: Some(WAIT_S),
            timeout_s: WAIT_S,
            ..InviteOptions::default()
        };
        let began = Instant::now();
        let handle = engine.call_invite(&["bob"], options).await.expect("taken");
        times.add(began.elapsed());
        // Taken back before it was sent, it leaves the outbox as empty as it was.
        let call = handle.call_id().clone();
        let cancel = engine.call_cancel(&[], &call, CommandOptions::default());
        cancel.await.expect("taken").await.expect("withdrawn");
    }
}

/// Somebody who follows a file and asks one question after another.
struct Lookers {
    watch: Child,
    stop: Sender<()>,
    asks: JoinHandle<()>,
}

impl Lookers {
    fn at(database: &Path) -> Self {
        let (stop, stopped) = channel();
        let database = database.to_owned();
        Self {
            watch: inspect(&database, "watch"),
            stop,
            asks: spawn(move || {
                let questions = ["stats", "calls", "timeline", "pending", "doctor"];
                for question in questions.iter().cycle() {
                    let answered = inspect(&database, question).wait().expect("an end");
                    assert!(answered.success(), "{question}: {answered}");
                    if stopped.recv_timeout(ASK_EVERY) != Err(RecvTimeoutError::Timeout) {
                        return;
                    }
                }
            }),
        }
    }

    fn leave(mut self) {
        self.stop.send(()).expect("somebody still asks");
        self.asks.join().expect("every question was answered");
        self.watch.kill().expect("it still watches");
        self.watch.wait().expect("an end");
    }
}

fn inspect(database: &Path, question: &str) -> Child {
    Command::new(env!("CARGO_BIN_EXE_offhook"))
        .arg("inspect")
        .arg(database)
        .arg(question)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("a process")
}
