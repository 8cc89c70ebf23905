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
