//! Many seeds, on all cores; and what is said of one that fails.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::judge::{Judged, judge};
use super::observe::{OfHandset, OfServer, What};
use super::scenario::{CALM_MS, STORM_MS, Scenario};
use super::shrink::shrink;
use super::trace;

/// How often a long sweep says how far it is.
const SAYS_EVERY: Duration = Duration::from_secs(10);
/// Failing seeds that are told in full; the others are named.
const TOLD_MAX: usize = 3;
/// Characters of what was found that are told.
const FOUND_CHARS: usize = 600;
/// Lines of a trace that are told.
const TAIL_LINES: usize = 150;

/// What was run.
#[derive(Default)]
struct Sums {
    seeds: AtomicU64,
    entries: AtomicU64,
    actions: AtomicU64,
    commits: AtomicU64,
}

impl Sums {
    fn add(&self, judged: &Judged) {
        let (mut actions, mut commits) = (0, 0);
        for entry in &judged.record.log {
            match &entry.what {
                What::Handset(_, OfHandset::Submitted { .. })
                | What::Second(_, OfHandset::Submitted { .. }) => actions += 1,
                What::Server(OfServer::Stored(_)) => commits += 1,
                _ => {}
            }
        }
        self.seeds.fetch_add(1, Ordering::Relaxed);
        self.actions.fetch_add(actions, Ordering::Relaxed);
        self.commits.fetch_add(commits, Ordering::Relaxed);
        let entries = judged.record.log.len() as u64;
        self.entries.fetch_add(entries, Ordering::Relaxed);
    }

    fn say(&self, since: Instant) -> String {
        let seeds = self.seeds.load(Ordering::Relaxed);
        let hours = seeds as f64 * (STORM_MS + CALM_MS) as f64 / 3_600_000.0;
        format!(
            "{seeds} seeds, {hours:.1} virtual hours, {} commands, {} server commits, {} entries, \
             {:.1} s",
            self.actions.load(Ordering::Relaxed),
            self.commits.load(Ordering::Relaxed),
            self.entries.load(Ordering::Relaxed),
            since.elapsed().as_secs_f64()
        )
    }
}

/// How much a sweep says and does.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// Only what fails, in the end.
    Quiet,
    /// How far it is, and each seed that fails as it does.
    Telling,
    /// The first seed that fails ends it, untold.
    ToTheFirst,
}

/// Runs seeds and panics with what is to be known of those that fail.
pub fn sweep(seeds: impl Iterator<Item = u64> + Send, manner: Manner) {
    let says = manner != Manner::Quiet;
    let since = Instant::now();
    let sums = Sums::default();
    let seeds = Mutex::new(seeds);
    let failed = Mutex::new(Vec::new());
    let done = AtomicBool::new(false);
    let threads = std::thread::available_parallelism().map_or(1, |count| count.get());
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    while manner != Manner::ToTheFirst || failed.lock().unwrap().is_empty() {
                        let next = seeds.lock().unwrap().next();
                        let Some(seed) = next else {
                            return;
                        };
                        let judged = judge(&Scenario::of(seed));
                        sums.add(&judged);
                        if !judged.violations.is_empty() {
                            if says {
                                println!("seed {seed} broke {:?}", judged.broken());
                            }
                            failed.lock().unwrap().push((seed, judged.broken()));
                        }
                    }
                })
            })
            .collect();
        if says {
            scope.spawn(|| {
                let mut said = Instant::now();
                while !done.load(Ordering::Relaxed) {
                    std::thread::sleep(Duration::from_millis(200));
                    if said.elapsed() >= SAYS_EVERY {
                        println!("{}", sums.say(since));
                        said = Instant::now();
                    }
                }
            });
        }
        for worker in workers {
            // A panic of a run is caught; one of ours ends all.
            worker.join().unwrap();
        }
        done.store(true, Ordering::Relaxed);
    });
    println!("{}", sums.say(since));
    let mut failed = failed.into_inner().unwrap();
    failed.sort();
    let Some((seed, broken)) = failed.first() else {
        return;
    };
    if manner == Manner::ToTheFirst {
        let broken = broken.join(", ");
        println!("first: seed {seed}: {broken}");
        panic!("seed {seed} failed: {broken}");
    }
    for (seed, _) in failed.iter().take(TOLD_MAX) {
        println!("{}", report(*seed));
    }
    let all: Vec<String> = failed
        .iter()
        .map(|(seed, broken)| format!("{seed}: {}", broken.join(", ")))
        .collect();
    panic!("{} seeds failed:\n{}", failed.len(), all.join("\n"));
}

/// What is to be known of a seed that fails: what broke, how to see it again, and the smallest
/// scenario that breaks the same.
pub fn report(seed: u64) -> String {
    let scenario = Scenario::of(seed);
    let judged = judge(&scenario);
    let Some(first) = judged.violations.first() else {
        return format!("seed {seed} holds");
    };
    let mut text = format!("\n==== seed {seed} ====\n");
    for violation in judged.violations.iter().take(10) {
        text.push_str(&format!("broken: {}\n", say(violation, &judged)));
    }
    text.push_str(&format!(
        "again: OFFHOOK_SIM_SEED={seed} cargo test --test simulation -- --nocapture one_seed\n"
    ));
    let fails = |scenario: &Scenario| judge(scenario).broken().contains(&first.invariant);
    let (smaller, runs) = shrink(&scenario, fails);
    let judged = judge(&smaller);
    text.push_str(&format!(
        "the smallest scenario of {runs} runs with the same invariant broken:\n{smaller}"
    ));
    for violation in judged.violations.iter().take(10) {
        text.push_str(&format!("broken: {}\n", say(violation, &judged)));
    }
    text.push_str(&tail(&judged));
    text
}

/// The last lines before the first thing that broke, without those that say nothing.
fn tail(judged: &Judged) -> String {
    let lines = trace::lines(&judged.record);
    let broken_at = judged.violations.iter().filter_map(|one| one.entry).min();
    let to = broken_at.map_or(lines.len(), |entry| entry + 1);
    let entries = judged.record.log.iter().take(to);
    let told: Vec<String> = lines
        .iter()
        .zip(entries)
        .enumerate()
        .filter(|(_, (_, entry))| !trace::is_dull(entry))
        .map(|(number, (line, _))| format!("{number:>5} {line}\n"))
        .collect();
    let from = told.len().saturating_sub(TAIL_LINES);
    let mut text = format!("its trace up to line {to}:\n{}", told[from..].concat());
    if broken_at.is_none() {
        for line in trace::last_lines(&judged.record) {
            text.push_str(&format!("      {line}\n"));
        }
    }
    text
}

fn say(violation: &super::observe::Violation, judged: &Judged) -> String {
    let at = violation.entry.and_then(|entry| {
        let entry_at = judged.record.log.get(entry)?.at;
        Some(format!(" at {entry_at} ms (line {entry})"))
    });
    let found: String = violation.found.chars().take(FOUND_CHARS).collect();
    format!("{}{}: {found}", violation.invariant, at.unwrap_or_default())
}
