//! `offhook demo` as a user starts it: the story is told to the end, and what it leaves can be
//! looked into.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

const DEVICES: [&str; 4] = ["alice-phone", "alice-laptop", "bob-phone", "carol-phone"];
const ACTS: u64 = 5;

fn offhook(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_offhook"))
        .args(args)
        .output()
        .unwrap()
}

fn demo(folder: &Path, more: &[&str]) -> Output {
    let mut args = vec!["demo", "--dir", folder.to_str().unwrap()];
    args.extend(more);
    offhook(&args)
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// What a demo that went well printed.
fn told(output: &Output) -> &str {
    assert!(
        output.status.success(),
        "{}\n{}",
        text(&output.stdout),
        text(&output.stderr)
    );
    assert_eq!(text(&output.stderr), "");
    text(&output.stdout)
}

fn calls_in(database: &Path) -> Vec<Value> {
    let file = database.to_str().unwrap();
    let output = offhook(&["inspect", file, "calls", "--json"]);
    let document: Value = serde_json::from_str(told(&output)).unwrap();
    document["calls"].as_array().unwrap().clone()
}

#[test]
fn the_story_is_told_in_columns_and_its_last_lines_can_be_typed() {
    let outer = tempfile::tempdir().unwrap();
    // A name that a shell would take apart.
    let folder = outer.path().join("Bob's calls");
    let output = demo(&folder, &[]);
    let story = told(&output);
    assert!(!story.contains('\x1b'), "no colour unless for a terminal");
    for act in 1..=ACTS {
        let heading = format!("{act}  ");
        let count = story.lines().filter(|line| line.starts_with(&heading));
        assert_eq!(count.count(), 1, "act {act} in\n{story}");
    }
    for part in [
        "callInvite",
        "callInvitationReceived",
        "callAccept",
        "callReject",
        "callingInvite",
        "callJoin",
        "callPrimaryDeviceChanged",
        "callQuit",
        "callEnd",
        "marked missed",
        "did not ring",
        "heard nothing of Alice's change of devices",
    ] {
        assert!(story.contains(part), "{part} in\n{story}");
    }
    let to_type: Vec<&str> = story
        .lines()
        .filter(|line| line.contains(" inspect "))
        .collect();
    assert_eq!(to_type.len(), 2, "{story}");
    #[cfg(unix)]
    for line in to_type {
        let output = Command::new("sh").args(["-c", line]).output().unwrap();
        assert!(told(&output).contains("carol"), "{line}");
    }
}

#[test]
fn a_program_is_told_each_line_as_an_object_and_the_files_at_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let output = demo(folder.path(), &["--json"]);
    let mut lines: Vec<Value> = told(&output)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let summary = lines.pop().unwrap();
    assert_eq!(summary["dir"], folder.path().to_str().unwrap());
    assert_eq!(summary["lines"], lines.len());
    assert!(summary["duration_ms"].is_u64());

    for act in 0..=ACTS {
        assert!(lines.iter().any(|line| line["act"] == act), "act {act}");
    }
    let mut last = (0, 0);
    for line in &lines {
        let now = (
            line["act"].as_u64().unwrap(),
            line["at_ms"].as_u64().unwrap(),
        );
        assert!(now.0 >= last.0 && now.1 >= last.1, "{line} goes back");
        last = now;
        let device = line["device"].as_str().unwrap();
        assert!(device == "server" || DEVICES.contains(&device), "{line}");
        assert!(line["what"].is_string(), "{line}");
    }

    let databases: Vec<PathBuf> = summary["databases"]
        .as_array()
        .unwrap()
        .iter()
        .map(|path| PathBuf::from(path.as_str().unwrap()))
        .collect();
    let expected = DEVICES.map(|name| folder.path().join(name).with_extension("db"));
    assert_eq!(databases, expected);
    for file in &databases {
        let journal = file.with_extension("db-wal");
        assert!(
            !journal.exists(),
            "{} is not complete without it",
            journal.display()
        );
    }
    let counts: Vec<usize> = databases.iter().map(|file| calls_in(file).len()).collect();
    assert_eq!(counts, [4, 4, 4, 1]);
    let missed: Vec<Value> = calls_in(&databases[2])
        .into_iter()
        .filter(|call| call["missed"] == true)
        .collect();
    let told_missed = lines.iter().find(|line| line["missed"] == true).unwrap();
    assert_eq!(missed.len(), 1);
    assert_eq!(missed[0]["call_id"], told_missed["call_id"]);
}

#[test]
fn a_folder_that_cannot_be_used_ends_it_with_a_line_that_names_it() {
    let outer = tempfile::tempdir().unwrap();
    let file = outer.path().join("notes.txt");
    std::fs::write(&file, "buy milk").unwrap();
    for folder in [file.clone(), file.join("below"), outer.path().to_owned()] {
        let output = demo(&folder, &[]);
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(text(&output.stdout), "");
        let why = text(&output.stderr);
        assert_eq!(why.lines().count(), 1, "{why}");
        assert!(why.contains(folder.to_str().unwrap()), "{why}");
        assert!(why.contains("--dir"), "{why}");
    }
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "buy milk");
}

#[test]
fn without_a_folder_it_finds_one_that_stays() {
    let temporary = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_offhook"))
        .args(["demo", "--json"])
        // Each system has a variable of its own for it.
        .env("TMPDIR", temporary.path())
        .env("TMP", temporary.path())
        .output()
        .unwrap();
    let summary: Value = serde_json::from_str(told(&output).lines().last().unwrap()).unwrap();
    let folder = PathBuf::from(summary["dir"].as_str().unwrap());
    assert!(folder.starts_with(temporary.path()), "{}", folder.display());
    assert_eq!(calls_in(&folder.join("bob-phone.db")).len(), 4);
}
