//! Hundreds of kills in a storm, and what the files say after it.
//!
//! `OFFHOOK_CHAOS_ROUNDS` makes it longer or shorter, `OFFHOOK_CHAOS_SEED` another one. Processes
//! and datagrams are never twice as fast, so a seed gives the same choices, not the same run.

use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Instant;

use tempfile::TempDir;

use crate::driver::Storm;
use crate::process::Device;
use crate::sql::{self, Files};

const ROUNDS: u64 = 300;
const SEED: u64 = 2026;
/// Lines of each log that a failure shows; all of them are kept.
const TAIL_LINES: usize = 10;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

/// Says how to do it again when it failed, and keeps what there is to see.
struct Evidence {
    folder: Option<TempDir>,
    seed: u64,
    rounds: u64,
}

impl Drop for Evidence {
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Some(folder) = self.folder.take()
        {
            let Self { seed, rounds, .. } = self;
            for entry in std::fs::read_dir(folder.path()).into_iter().flatten() {
                let path = entry.expect("an entry").path();
                if path.extension().is_some_and(|extension| extension == "log") {
                    eprintln!("{}: … {}", path.display(), tail(&path));
                }
            }
            eprintln!(
                "the files and logs are in {}; again: OFFHOOK_CHAOS_SEED={seed} \
                 OFFHOOK_CHAOS_ROUNDS={rounds} cargo test --test chaos kills",
                folder.keep().display()
            );
        }
    }
}

/// The last that a process had to say.
fn tail(log: &Path) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text).into_owned();
    let from = text.lines().count().saturating_sub(TAIL_LINES);
    text.lines().skip(from).collect::<Vec<_>>().join("\n")
}

#[test]
fn after_hundreds_of_kills_in_bad_weather_the_files_agree_and_each_command_had_its_effect_once() {
    let (rounds, seed) = (
        setting("OFFHOOK_CHAOS_ROUNDS", ROUNDS),
        setting("OFFHOOK_CHAOS_SEED", SEED),
    );
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().to_owned();
    let _evidence = Evidence {
        folder: Some(folder),
        seed,
        rounds,
    };
    let began = Instant::now();
    let mut storm = Storm::new(&path, seed);
    for _ in 0..rounds {
        storm.round();
    }
    let stormed = began.elapsed();
    storm.clears_up();
    storm.stops();
    let files = Files {
        server: storm.server.database(),
        devices: storm
            .devices
            .iter()
            .map(|device| (device.name.to_owned(), device.database()))
            .collect(),
    };
    let verdicts = files.verdicts();
    println!(
        "{:?}, {stormed:.1?} and {:.1?} in all",
        storm.tally,
        began.elapsed()
    );
    println!("{verdicts:#?}");
    let mut findings = files.findings();
    let mut lost = 0;
    for device in &storm.devices {
        findings.extend(said_and_written(device));
        findings.extend(errors(device.name, &device.log()));
        let counts = device.proxy.counts();
        let count = |count: &std::sync::atomic::AtomicU64| count.load(Ordering::Relaxed);
        println!(
            "{}: {} heard, {} given, {} refused at once; datagrams: {} passed, {} lost, {} twice, \
             {} addresses",
            device.name,
            device.heard.len(),
            device.given.len(),
            device.refused,
            count(&counts.passed),
            count(&counts.lost),
            count(&counts.twice),
            count(&counts.addresses),
        );
        lost += count(&counts.lost);
    }
    findings.extend(errors("the server", &storm.server.log()));
    assert!(
        findings.is_empty(),
        "{} findings: {findings:#?}",
        findings.len()
    );
    assert!(lost > 0, "it was fair weather");
    // It was a storm in which things were achieved, of every kind.
    let kinds = [
        "callInvite",
        "callCancel",
        "callAccept",
        "callReject",
        "callingInvite",
        "callJoin",
        "callQuit",
        "callEnd",
    ];
    for kind in kinds {
        let accepted = verdicts.get(&format!("{kind} accepted")).copied();
        assert!(
            rounds < ROUNDS || accepted > Some(0),
            "no {kind} was accepted"
        );
    }
}

/// What was said to the app is what the file has: every event, and one verdict of every command
/// that was said to be on disk.
fn said_and_written(device: &Device) -> Vec<String> {
    let mut findings = Vec::new();
    let name = device.name;
    let journal = sql::journal(&device.database());
    for (position, heard) in &device.heard {
        if journal.get(position) != Some(heard) {
            let written = journal.get(position);
            findings.push(format!(
                "{name}: heard {heard:?} at {position}: {written:?}"
            ));
        }
    }
    let told = sql::told_verdicts(&device.database());
    for (op, method) in &device.given {
        match told.get(op) {
            Some(1) => {}
            Some(times) => findings.push(format!("{name}: {method} {op} was told {times} times")),
            None => findings.push(format!("{name}: {method} {op} was given, and is not there")),
        }
    }
    findings
}

fn errors(who: &str, log: &Path) -> Vec<String> {
    let log = std::fs::read(log).expect("a log");
    String::from_utf8_lossy(&log)
        .lines()
        .filter(|line| line.contains("ERROR") || line.contains("panicked"))
        .map(|line| format!("{who} logs: {line}"))
        .collect()
}
