//! Where nobody reads what a process says.

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};
use std::time::Duration;

fn offhook(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_offhook"));
    command.args(args).stdin(Stdio::null());
    command
}

#[test]
fn a_failure_that_nobody_reads_of_is_still_a_failure_and_no_panic() {
    let mut child = offhook(&["inspect", "missing.db", "calls"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stderr.take());
    assert_eq!(child.wait().unwrap().code(), Some(1));
}

#[test]
fn a_server_whose_log_nobody_reads_any_more_goes_on() {
    let data = tempfile::tempdir().unwrap();
    let mut child = offhook(&["-vv", "serve", "--listen", "127.0.0.1:0", "--data"])
        .arg(data.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stderr.take());
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    assert!(line.starts_with("listening on "), "{line:?}");
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(child.try_wait().unwrap(), None, "it has ended");
    let pid = child.id().to_string();
    assert!(Command::new("kill").arg(pid).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).unwrap();
}
