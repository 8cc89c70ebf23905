//! An engine in a process of its own, behind `offhook rpc`.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Instant;

use serde_json::{Value, json};

use crate::support::{SOON, World};

/// An event that it told: where it stands, its name, what it says.
pub type Told = (u64, String, Value);

pub struct Rpc {
    process: Child,
    stdin: ChildStdin,
    lines: Receiver<Value>,
    asked: u64,
    answers: Vec<Value>,
    /// All events of the journal that it told, in the order in which it did.
    pub told: Vec<Told>,
    /// How many of them were looked at.
    heard: usize,
}

impl Rpc {
    pub fn start(world: &World, user: &str, database: &Path) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_offhook"))
            .args(["rpc", "--server", world.address(), "--user", user, "--ca"])
            .arg(world.data().join("cert.pem"))
            .arg("--db")
            .arg(database)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let stdin = process.stdin.take().expect("stdin");
        let stdout = BufReader::new(process.stdout.take().expect("stdout"));
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                // The last line of a killed process may be cut off.
                let Ok(line) = serde_json::from_str(&line) else {
                    return;
                };
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self {
            process,
            stdin,
            lines,
            asked: 0,
            answers: Vec::new(),
            told: Vec::new(),
            heard: 0,
        }
    }

    /// Asks, and waits for no answer.
    pub fn asks(&mut self, method: &str, params: Value) -> Value {
        self.asked += 1;
        let id = json!(self.asked);
        let request = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        writeln!(self.stdin, "{request}").expect("it reads");
        id
    }

    /// Waits for an answer: a result or an error.
    pub fn answer(&mut self, id: &Value) -> Value {
        loop {
            if let Some(at) = self.answers.iter().position(|one| &one["id"] == id) {
                return self.answers.remove(at);
            }
            self.next_line("an answer");
        }
    }

    /// Asks, and waits for the result.
    pub fn gets(&mut self, method: &str, params: Value) -> Value {
        let id = self.asks(method, params);
        let answer = self.answer(&id);
        assert!(answer.get("error").is_none(), "{method}: {answer}");
        answer["result"].clone()
    }

    /// Waits for an event of that name about a call, after those that were waited for.
    pub fn hears(&mut self, name: &str, call: &str) -> Value {
        loop {
            while self.heard < self.told.len() {
                let (_, one, params) = &self.told[self.heard];
                self.heard += 1;
                if one == name && params["callID"] == call {
                    return params.clone();
                }
            }
            self.next_line(name);
        }
    }

    pub fn connection(&mut self) -> Value {
        self.gets("status", json!({}))["connection"].clone()
    }

    /// Waits until it has the connection.
    pub fn connects(&mut self) {
        let start = Instant::now();
        while self.connection()["state"] != json!(2) {
            assert!(start.elapsed() < SOON, "{}", self.connection());
        }
    }

    /// What it told but for verdicts: of one that a process waits for, the others may hear or not.
    pub fn events(&self) -> Vec<Told> {
        let events = self
            .told
            .iter()
            .filter(|(_, name, _)| name != "commandSettled");
        let without_time = events.map(|(position, name, params)| {
            let mut params = params.clone();
            if let Some(fields) = params.as_object_mut() {
                fields.remove("remaining");
            }
            (*position, name.clone(), params)
        });
        without_time.collect()
    }

    pub fn next_line(&mut self, awaited: &str) {
        let line = self.lines.recv_timeout(SOON);
        let line = line.unwrap_or_else(|_| panic!("{awaited} awaited: {:#?}", self.told));
        let Some(name) = line["method"].as_str() else {
            self.answers.push(line);
            return;
        };
        let Some(position) = line["params"]["position"].as_u64() else {
            return;
        };
        let last = self.told.last().map_or(0, |(last, _, _)| *last);
        assert!(position > last, "{line} comes after {last}");
        let told = (position, name.to_owned(), line["params"].clone());
        self.told.push(told);
    }
}

impl Drop for Rpc {
    /// SIGKILL.
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
