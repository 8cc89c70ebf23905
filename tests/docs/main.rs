//! What the documents say of the program is so.

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}

/// Names of constants that end like a bound.
fn bounds() -> Vec<(String, PathBuf)> {
    let mut files = Vec::new();
    sources(&root().join("src"), &mut files);
    sources(&root().join("bindings/node/src"), &mut files);
    let mut bounds = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        for line in text.lines() {
            let Some(rest) = line
                .strip_prefix("pub const ")
                .or(line.strip_prefix("const "))
            else {
                continue;
            };
            let name = rest.split(':').next().unwrap();
            if name.ends_with("_MAX") && !name.starts_with("VERSION") {
                bounds.push((name.to_owned(), file.clone()));
            }
        }
    }
    bounds
}

/// Bounds that concern nobody outside the file that has them.
const INNER: &[&str] = &[
    "ATTEMPTS_MAX",
    "BLOCKING_CALLS_MAX",
    "BUILD_CHARS_MAX",
    "CONNECTS_MAX",
    "FORGOTTEN_DEVICES_MAX",
    "INCOMING_MAX",
    "LAST_PACKET_TURNS_MAX",
    "LOOK_BACK_MAX",
    "NAMES_MAX",
    "OTHER_FRAMES_MAX",
    "READ_BYTES_MAX",
    "RESOLVER_THREADS_MAX",
    "SLEEP_MAX",
    "TIME_MAX",
    "SORT_KEY_MILLISECONDS_MAX",
    "WAKE_MAX",
];

#[test]
fn every_bound_is_in_the_table_of_limits() {
    let table = fs::read_to_string(root().join("docs/limits.md")).unwrap();
    let missing: Vec<_> = bounds()
        .into_iter()
        .filter(|(name, _)| !INNER.contains(&name.as_str()))
        .filter(|(name, _)| !table.contains(&format!("`{name}`")))
        .collect();
    assert!(missing.is_empty(), "not in docs/limits.md: {missing:#?}");
}

#[test]
fn the_table_of_limits_names_nothing_that_is_gone() {
    let table = fs::read_to_string(root().join("docs/limits.md")).unwrap();
    let mut files = Vec::new();
    sources(&root().join("src"), &mut files);
    sources(&root().join("bindings/node/src"), &mut files);
    let all: String = files
        .iter()
        .map(|file| fs::read_to_string(file).unwrap())
        .collect();
    let named = table.split('`').skip(1).step_by(2);
    let constants = named
        .filter(|name| name.len() > 3 && name.chars().all(|c| c.is_ascii_uppercase() || c == '_'));
    let gone: Vec<_> = constants
        .filter(|name| !all.contains(&format!("const {name}:")))
        .collect();
    assert!(
        gone.is_empty(),
        "in docs/limits.md but not in the code: {gone:#?}"
    );
}

#[test]
fn every_code_of_a_refusal_is_in_the_contract() {
    let contract = fs::read_to_string(root().join("docs/semantics.md")).unwrap();
    let missing: Vec<_> = offhook::Code::ALL
        .iter()
        .filter(|code| !contract.contains(&code.number().to_string()))
        .collect();
    assert!(missing.is_empty(), "not in docs/semantics.md: {missing:#?}");
}

/// Names of tests below that folder.
fn tests_in(folder: &str) -> Vec<String> {
    let mut files = Vec::new();
    sources(&root().join(folder), &mut files);
    let mut names = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            if !["#[test]", "#[tokio::test]"].contains(&line.trim()) {
                continue;
            }
            let signature = lines.next().unwrap().trim();
            let name = signature.trim_start_matches("async ").strip_prefix("fn ");
            names.push(name.unwrap().split('(').next().unwrap().to_owned());
        }
    }
    names
}

/// What stands in backticks in the last column of the rows that begin with that number.
fn tests_of_row(table: &str, number: usize) -> Vec<&str> {
    let begin = format!("| {number} |");
    let rows = table.lines().filter(|line| line.starts_with(&begin));
    rows.flat_map(|row| row.split('`').skip(1).step_by(2))
        .collect()
}

#[test]
fn every_promise_and_every_complaint_has_tests_and_no_test_of_one_is_missing_from_the_table() {
    let page = fs::read_to_string(root().join("docs/promises.md")).unwrap();
    let contract = fs::read_to_string(root().join("docs/semantics.md")).unwrap();
    let (points, complaints) = page.split_once("## What must never happen").unwrap();
    let (_, never) = contract.split_once("## 9 What must never happen").unwrap();
    let numbered = |line: &&str| line.starts_with(|first: char| first.is_ascii_digit());
    let complaints_there_are = never.lines().filter(numbered).count();
    let mut named = Vec::new();
    for (folder, table, rows) in [
        ("tests/promises/offline", points, 11),
        (
            "tests/promises/complaints",
            complaints,
            complaints_there_are,
        ),
    ] {
        let there = tests_in(folder);
        for number in 1..=rows {
            let tests = tests_of_row(table, number);
            assert!(!tests.is_empty(), "{folder}: {number} has no test");
            for test in tests {
                assert!(
                    there.iter().any(|one| one == test),
                    "{folder} has no {test}"
                );
                named.push(test);
            }
        }
        let unnamed = there.iter().filter(|one| !named.contains(&one.as_str()));
        let unnamed: Vec<_> = unnamed.collect();
        assert!(unnamed.is_empty(), "not in docs/promises.md: {unnamed:#?}");
    }
}
