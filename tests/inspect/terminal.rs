//! What a person at a terminal sees: colour and width are the terminal's.
#![cfg(unix)]

use std::path::Path;
use std::process::Command;

use super::{Fixture, assert_done};

/// Runs a question at a terminal of that many columns, and gives what it shows.
fn at_a_terminal(database: &Path, columns: u16, question: &[&str], no_colour: &str) -> String {
    let output = Command::new("python3")
        .args(["-c", include_str!("terminal.py"), &columns.to_string()])
        .arg(env!("CARGO_BIN_EXE_offhook"))
        .arg("inspect")
        .arg(database)
        .args(question)
        .env("NO_COLOR", no_colour)
        .output()
        .unwrap();
    assert_done(&output);
    String::from_utf8(output.stdout)
        .unwrap()
        .replace("\r\n", "\n")
}

fn longest(text: &str) -> usize {
    let lines = text.lines().map(|line| line.chars().count());
    lines.max().unwrap()
}

#[test]
fn headings_and_severities_stand_out_at_a_terminal_unless_told_not_to() {
    let database = &Fixture::new();
    for (question, mark) in [
        (&["calls"][..], "\u{1b}[1mCREATED"),
        (&["stats"], "\u{1b}[1mLast errors"),
        (&["doctor"], "\u{1b}[1;33mwarning\u{1b}[0m"),
    ] {
        let shown = at_a_terminal(&database.database, 500, question, "");
        assert!(shown.contains(mark), "{shown:?}");
        let shown = at_a_terminal(&database.database, 500, question, "1");
        assert_eq!(shown, database.text(question));
        assert!(!shown.contains('\u{1b}'), "{shown:?}");
    }
}

#[test]
fn a_narrow_terminal_cuts_what_may_be_cut_and_a_pipe_cuts_nothing() {
    let fixture = Fixture::new();
    let piped = fixture.text(&["timeline"]);
    let narrow = at_a_terminal(&fixture.database, 120, &["timeline"], "1");
    assert!(longest(&piped) > 150);
    assert_eq!(longest(&narrow), 120);
    assert_eq!(narrow.lines().count(), piped.lines().count());
    assert!(narrow.contains('…') && !piped.contains('…'));
}

#[test]
fn json_at_a_terminal_is_for_reading_and_has_no_colour() {
    let fixture = Fixture::new();
    let shown = at_a_terminal(&fixture.database, 80, &["stats", "--json"], "");
    assert!(shown.lines().count() > 20 && !shown.contains('\u{1b}'));
    let document: serde_json::Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(document, fixture.json(&["stats"]));
}
