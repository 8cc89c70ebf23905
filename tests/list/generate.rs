//! The generator of large databases.

use std::path::Path;
use std::process::{Command, Output};

use offhook::client::store::{Filter, Query, Readers};
use offhook::{CallState, UserId};

fn offhook(arguments: &[&str], database: &Path) -> Output {
    let mut offhook = Command::new(env!("CARGO_BIN_EXE_offhook"));
    let output = offhook.args(arguments).arg(database).output();
    output.expect("a process")
}

#[test]
fn a_generated_database_is_a_sound_one_with_as_many_calls_as_were_asked_for_of_every_kind() {
    let folder = tempfile::tempdir().expect("a folder");
    let database = folder.path().join("alice.db");
    let asked = ["generate", "--calls", "10100", "--db"];
    assert!(offhook(&asked, &database).status.success());
    let doctor = Command::new(env!("CARGO_BIN_EXE_offhook"))
        .arg("inspect")
        .arg(&database)
        .arg("doctor")
        .output()
        .expect("a process");
    assert!(doctor.status.success(), "{doctor:?}");

    let readers = Readers::new(&database, &UserId::trusted("alice"));
    let count = |filter: Filter| {
        let mut query = Query {
            filter,
            ..Query::default()
        };
        let mut calls = 0;
        loop {
            let page = readers.page(&query).expect("read");
            calls += page.calls.len();
            query.next_flag = page.next_flag;
            if query.next_flag == 0 {
                return calls;
            }
        }
    };
    let missed = Filter {
        missed: Some(true),
        ..Filter::default()
    };
    let started = Filter {
        state: Some(CallState::Started),
        ..Filter::default()
    };
    let with = Filter {
        with: Some(UserId::trusted("stranger")),
        ..Filter::default()
    };
    assert_eq!(count(Filter::default()), 10_100);
    let kinds = [missed, started, with].map(count);
    assert_eq!(kinds, [1_010, 18, 2]);
    assert_eq!(readers.missed().expect("read"), 2);

    let again = offhook(&asked, &database);
    assert_eq!(again.status.code(), Some(1), "{again:?}");
    assert_eq!(count(Filter::default()), 10_100);
}

#[test]
fn the_help_does_not_speak_of_it() {
    let help = Command::new(env!("CARGO_BIN_EXE_offhook"))
        .arg("--help")
        .output()
        .expect("a process");
    let help = String::from_utf8(help.stdout).expect("text");
    assert!(
        help.contains("inspect") && !help.contains("generate"),
        "{help}"
    );
}
