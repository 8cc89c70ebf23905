//! Clients and a server live under virtual time, on disks and a network that fail: the two cores,
//! the real rules, the real stores and the real frames. One seed is one run, twice the same.
//!
//! What happens to them is in `scenario`, `acts` and `faults`; what they live in is in `world`,
//! `handset`, `second`, `server`, `network`, `early` and `disk`; what was seen is in `observe`; what must hold of it
//! is in `checks`, against the rules as `reference` has them, which is not the code under test.
//!
//! `OFFHOOK_SIM_SEEDS=0..100000` runs those seeds instead of the usual ones,
//! `OFFHOOK_SIM_SEED=7` prints the run of one.

mod acts;
mod checks;
mod complaints;
mod disk;
mod early;
mod end;
mod faults;
mod handset;
mod judge;
#[path = "../common/disk/mod.rs"]
mod memory;
mod mutants;
mod network;
mod observe;
mod recording;
mod reference;
mod scenario;
mod second;
mod seed;
mod server;
mod shrink;
mod sweep;
mod trace;
mod world;

use std::ops::Range;

use judge::judge;
use scenario::{Scenario, WORLD_VERSION};
use sweep::{Manner, sweep};

/// Seeds of an ordinary test run: as many as take half a minute on two cores without optimization.
const SEEDS: Range<u64> = 0..300;
/// Seeds whose runs are compared with themselves.
const TWICE: Range<u64> = 1_000..1_012;

#[test]
fn after_the_storm_everything_holds_for_every_seed() {
    match std::env::var("OFFHOOK_SIM_SEEDS") {
        Ok(text) if std::env::var_os("OFFHOOK_SIM_FIRST").is_some() => {
            sweep(seeds_of(&text), Manner::ToTheFirst);
        }
        Ok(text) => sweep(seeds_of(&text), Manner::Telling),
        Err(_) => sweep(SEEDS, Manner::Quiet),
    }
}

/// Each line of the file is a seed, and after `#` what it once broke. A first line names the
/// version of the world that the seeds are for.
#[test]
fn seeds_that_once_failed_hold() {
    let mut lines = include_str!("seeds.txt").lines();
    let version = lines.next().and_then(|line| line.strip_prefix("world "));
    assert_eq!(
        version.and_then(|version| version.parse().ok()),
        Some(WORLD_VERSION),
        "the seeds were written down for another world: drop those that mean nothing any more"
    );
    let seeds = lines.filter_map(|line| line.split('#').next()?.trim().parse().ok());
    sweep(seeds, Manner::Quiet);
}

#[test]
fn a_seed_gives_the_same_run_twice() {
    for seed in TWICE {
        let scenario = Scenario::of(seed);
        let lines = || {
            let record = judge(&scenario).record;
            let mut lines = trace::lines(&record);
            lines.extend(trace::last_lines(&record));
            lines
        };
        let (first, second) = (lines(), lines());
        assert!(!first.is_empty(), "seed {seed} panicked");
        for (one, other) in first.iter().zip(&second) {
            assert_eq!(one, other, "seed {seed}");
        }
        assert_eq!(first.len(), second.len(), "seed {seed}");
    }
}

/// Prints the run of the seed in `OFFHOOK_SIM_SEED`.
#[test]
fn one_seed() {
    let Ok(seed) = std::env::var("OFFHOOK_SIM_SEED") else {
        return;
    };
    let seed = seed.parse().expect("OFFHOOK_SIM_SEED is no number");
    let judged = judge(&Scenario::of(seed));
    for (number, line) in trace::lines(&judged.record).iter().enumerate() {
        println!("{number:>5} {line}");
    }
    for line in trace::last_lines(&judged.record) {
        println!("      {line}");
    }
    if judged.violations.is_empty() {
        println!("seed {seed} holds");
        return;
    }
    panic!("{}", sweep::report(seed));
}

/// `from..to`, or how many from 0 on.
fn seeds_of(text: &str) -> Range<u64> {
    let number = |text: &str| {
        let number = text.trim().parse();
        number.expect("OFFHOOK_SIM_SEEDS is neither a number nor from..to")
    };
    match text.split_once("..") {
        Some((from, to)) => number(from)..number(to),
        None => 0..number(text),
    }
}
