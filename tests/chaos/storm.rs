//! Hundreds of kills in a storm, and what the files say after it.
//!
//! `OFFHOOK_CHAOS_ROUNDS` makes it longer or shorter, `OFFHOOK_CHAOS_SEED` another one. Processes
//! and datagrams are never twice as fast, so a seed gives the same choices, not the same run.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Instant;

use serde_json::Value;
use tempfile::TempDir;

use crate::driver::Storm;
use crate::process::{Device, ReadOn};
use crate::sql::{self, Entry, Files};

const ROUNDS: u64 = 300;
const SEED: u64 = 2026;
/// How long after a deadline a device that runs has to have closed a ring. It does so within a few
/// milliseconds; this is for a machine and a disk that are busy. Lives here mostly are shorter, and
/// each begins the time anew, so it is the silences that show who closes nothing.
const RINGS_OUT_WITHIN_MS: i64 = 6_000;
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
        findings.extend(rang_on(device));
        findings.extend(errors(device.name, &device.log()));
        let counts = device.proxy.counts();
        let count = |count: &std::sync::atomic::AtomicU64| count.load(Ordering::Relaxed);
        println!(
            "{}: {} heard, {} read on, {} given, {} refused at once; datagrams: {} passed, {} lost, \
             {} twice, {} addresses",
            device.name,
            device.heard.len(),
            device.read_on.len(),
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
    let read_on = storm.devices.iter().flat_map(|device| &device.read_on);
    let read: usize = read_on.map(|one| one.events.len()).sum();
    assert!(rounds < ROUNDS || read > 0, "nothing was read on");
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
        let written = journal.get(position);
        let written = written.map(|entry| (entry.name.clone(), entry.call.clone()));
        if written.as_ref() != Some(heard) {
            findings.push(format!(
                "{name}: heard {heard:?} at {position}: {written:?}"
            ));
        }
    }
    for read in &device.read_on {
        findings.extend(read_and_written(read, &journal).map(|what| format!("{name}: {what}")));
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

/// What was read of the journal after a restart is all that it has behind that position, in its
/// order, up to where it then ended, or as much of it as was asked for. A verdict that a request had
/// waited for went to that one.
fn read_and_written(read: &ReadOn, journal: &BTreeMap<u64, Entry>) -> Option<String> {
    let from = read.position;
    let last = read.events.last().map_or(from, |(position, ..)| *position);
    let is_full = read.events.len() as u64 == read.limit;
    if read.more && !is_full || !read.more && last < read.known.max(from) {
        let known = read.known;
        return Some(format!(
            "read on from {from}: ends at {last}, {known} was known"
        ));
    }
    let events = read.events.iter().map(|(position, name, params)| {
        let params = comparable(name, params);
        (*position, name.as_str(), params)
    });
    let behind = journal.range(from + 1..=last.max(from + 1));
    let told = behind.filter(|(at, entry)| **at <= last && entry.name != "commandAnswered");
    let written = told.map(|(position, entry)| {
        let params = comparable(&entry.name, &entry.params);
        (*position, entry.name.as_str(), params)
    });
    let (events, written): (Vec<_>, Vec<_>) = (events.collect(), written.collect());
    let apart = events.iter().zip(&written).find(|(read, is)| read != is);
    (events != written).then(|| {
        let counts = (events.len(), written.len());
        format!("read on from {from}: {counts:?} events, the first that differ: {apart:?}")
    })
}

/// The fields that are the same whenever the journal is read: whether a ring is over is judged then,
/// and how a verdict is written is another than how it is told.
fn comparable(name: &str, params: &Value) -> Value {
    if name == "commandSettled" {
        return params["op"].clone();
    }
    let mut params = params.clone();
    params.as_object_mut().expect("fields").remove("over");
    params
}

/// Nothing rings after its deadline, as far as the device runs. Time that it is given: until its
/// process says something again, when that was killed; until the verdict of an answer that is on its way;
/// and then [`RINGS_OUT_WITHIN_MS`].
fn rang_on(device: &Device) -> Vec<String> {
    let (mut findings, mut latest) = (Vec::new(), 0);
    for ring in sql::rings(&device.database()) {
        let mut excused = [device.away_ms.as_slice(), &ring.answers_ms].concat();
        excused.sort_unstable();
        let mut due = ring.deadline_ms;
        for (since, until) in excused {
            // What begins before the time is over begins that anew.
            if since < due + RINGS_OUT_WITHIN_MS {
                due = due.max(until);
            }
        }
        let late = ring.closed_ms - due;
        latest = latest.max(late);
        if late > RINGS_OUT_WITHIN_MS {
            findings.push(format!(
                "{}: {} rang for the {}. time, {late} ms too long",
                device.name, ring.call, ring.invitation
            ));
        }
    }
    println!("{}: no ring was closed later than {latest} ms", device.name);
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
