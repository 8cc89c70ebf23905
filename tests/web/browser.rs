//! The page in a headless Chromium (`page.mjs`), on a database with a story in it and on one that
//! an engine writes meanwhile.
//!
//! Needs Chromium, node, and `npm ci` in `tests/web`; where one is missing it says so and does
//! nothing, unless `OFFHOOK_PAGE_TEST=required`. Screenshots go into `target/page`.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use super::{Fixture, Page, offhook};

/// A process that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_developer_sees_a_call_in_the_browser_asks_in_sql_and_watches_one_arrive() {
    let Some(chromium) = found() else {
        return;
    };
    let fixture = Fixture::new();
    let story = Page::of(&fixture.database);
    let long = Fixture::long();
    let long = Page::of(&long.database);
    let folder = tempfile::tempdir().unwrap();
    let (_server, address) = serve(folder.path());
    let database = folder.path().join("alice.db");
    let (_engine, mut commands) = engine(folder.path(), &address, &database);
    let mut live = Page::of(&database);
    let screenshots = root().join("target/page");
    fs::create_dir_all(&screenshots).unwrap();
    let mut browser = Running(
        Command::new("node")
            .arg(root().join("tests/web/page.mjs"))
            .args([
                chromium.as_path(),
                Path::new(&story.link),
                Path::new(&live.link),
                Path::new(&long.link),
            ])
            .args([&screenshots, &folder.path().join("profile")])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    // What it sees, line by line; at some of them it waits for us.
    for line in BufReader::new(browser.0.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        println!("{line}");
        if line == "waits for a call" {
            let invite = r#"{"jsonrpc":"2.0","id":2,"method":"callInvite","params":{"invitees":["bob"],"config":{"timeout":60}}}"#;
            writeln!(commands, "{invite}").unwrap();
        }
        if line == "waits for the end" {
            live.process.kill().unwrap();
        }
    }
    assert!(browser.0.wait().unwrap().success());
    assert!(fs::read_dir(&screenshots).unwrap().count() >= 6);
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Where Chromium is, when all that is needed is there.
fn found() -> Option<PathBuf> {
    let chromium = PathBuf::from("/usr/bin/chromium");
    let node = Command::new("node").arg("--version").output();
    let missing = if !chromium.exists() {
        "there is no /usr/bin/chromium (Debian: apt-get install chromium)"
    } else if !node.is_ok_and(|output| output.status.success()) {
        "there is no node"
    } else if !root()
        .join("tests/web/node_modules/playwright-core")
        .exists()
    {
        "playwright-core is missing (npm ci --prefix tests/web)"
    } else {
        return Some(chromium);
    };
    let required = std::env::var("OFFHOOK_PAGE_TEST").is_ok_and(|value| value == "required");
    assert!(!required, "{missing}");
    // Past what the test runner keeps to itself.
    let _ = writeln!(
        std::io::stderr(),
        "SKIPPED the test of the page in a browser: {missing}"
    );
    None
}

fn serve(folder: &Path) -> (Running, String) {
    let mut server = offhook()
        .args(["serve", "--listen", "127.0.0.1:0", "--data"])
        .arg(folder.join("server"))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut stdout = BufReader::new(server.stdout.take().unwrap());
    stdout.read_line(&mut line).unwrap();
    let address = line
        .trim()
        .strip_prefix("listening on ")
        .unwrap()
        .to_owned();
    (Running(server), address)
}

/// An engine that has the file open, from its first answer on.
fn engine(folder: &Path, address: &str, database: &Path) -> (Running, ChildStdin) {
    let mut engine = offhook()
        .args(["rpc", "--server", address, "--user", "alice", "--ca"])
        .arg(folder.join("server/cert.pem"))
        .arg("--db")
        .arg(database)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut commands = engine.stdin.take().unwrap();
    let mut answers = BufReader::new(engine.stdout.take().unwrap()).lines();
    writeln!(
        commands,
        r#"{{"jsonrpc":"2.0","id":1,"method":"status","params":{{}}}}"#
    )
    .unwrap();
    let is_answer = |line: &String| line.contains(r#""id":1"#);
    assert!(
        answers
            .by_ref()
            .map(Result::unwrap)
            .any(|line| is_answer(&line))
    );
    // Somebody must read what it says, or it would wait.
    std::thread::spawn(move || answers.for_each(drop));
    (Running(engine), commands)
}
