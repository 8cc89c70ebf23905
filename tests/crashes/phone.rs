//! A device in a process of its own, so that it can be killed.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

use serde_json::{Value, json};

use crate::support::{SOON, World};

/// Most events of a reading of the journal.
const EVENTS_MAX: u64 = 1_000;

/// What an app has heard: the name of each event and what it says, by its position.
pub type Journal = BTreeMap<u64, (String, Value)>;

/// An engine behind `offhook rpc`.
pub struct Phone {
    command: Vec<String>,
    process: Child,
    stdin: ChildStdin,
    lines: Receiver<Value>,
    asked: u64,
    pub journal: Journal,
}

impl Phone {
    pub fn new(world: &World, user: &str) -> Self {
        let text = |path: PathBuf| path.to_str().expect("plain text").to_owned();
        let (ca, database) = (world.data().join("cert.pem"), world.path("phone.db"));
        let command = [
            "rpc".to_owned(),
            "--server".to_owned(),
            world.address().to_owned(),
            "--ca".to_owned(),
            text(ca),
            "--user".to_owned(),
            user.to_owned(),
            "--db".to_owned(),
            text(database),
        ];
        let command = command.to_vec();
        let (process, stdin, lines) = start(&command);
        Self {
            command,
            process,
            stdin,
            lines,
            asked: 0,
            journal: Journal::new(),
        }
    }

    /// SIGKILL, and a new process on the same file, which reads the journal from its beginning.
    pub fn crashes(&mut self) {
        self.process.kill().expect("killed");
        self.process.wait().expect("gone");
        // What it had said before it died was said.
        while let Ok(line) = self.lines.recv() {
            self.note(&line);
        }
        (self.process, self.stdin, self.lines) = start(&self.command);
        self.reads_journal();
    }

    /// Compares the journal with what was heard of it, and takes in what was not.
    pub fn reads_journal(&mut self) {
        let params = json!({"position": 0, "limit": EVENTS_MAX});
        let told = self.asks("eventsSince", params);
        assert_eq!(told["more"], json!(false));
        for event in told["events"].as_array().expect("events") {
            self.note_event(&event["name"], &event["params"], &event["position"]);
        }
    }

    /// Asks something, and gives its result.
    pub fn asks(&mut self, method: &str, params: Value) -> Value {
        self.asked += 1;
        let id = json!(self.asked);
        let request = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        writeln!(self.stdin, "{request}").expect("it reads");
        loop {
            let line = self.hears_line(method);
            if line["id"] == id {
                assert!(line.get("error").is_none(), "{method}: {line}");
                return line["result"].clone();
            }
        }
    }

    /// Gives a command: when this returns it is on the device's disk. Gives its identity and call.
    pub fn gives(&mut self, method: &str, mut params: Value) -> (String, String) {
        params["wait"] = json!("disk");
        let given = self.asks(method, params);
        let text = |field: &str| given[field].as_str().expect("text").to_owned();
        (text("op"), text("callID"))
    }

    /// Waits until it has heard something of that name that is as wanted.
    pub fn hears(&mut self, name: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        loop {
            let mut heard = self.journal.values();
            if let Some((_, params)) = heard.find(|(one, params)| one == name && wanted(params)) {
                return params.clone();
            }
            self.hears_line(name);
        }
    }

    fn hears_line(&mut self, awaited: &str) -> Value {
        let line = self.lines.recv_timeout(SOON);
        let line = line.unwrap_or_else(|_| panic!("{awaited} awaited: {:#?}", self.journal));
        self.note(&line);
        line
    }

    fn note(&mut self, line: &Value) {
        let params = &line["params"];
        if line.get("method").is_some() && !params["position"].is_null() {
            self.note_event(&line["method"], params, &params["position"]);
        }
    }

    /// The same position is the same event, live and in the journal, before a crash and after.
    fn note_event(&mut self, name: &Value, params: &Value, position: &Value) {
        let position = position.as_u64().expect("a position");
        let name = name.as_str().expect("a name").to_owned();
        let same = (name.clone(), params["callID"].clone());
        let noted = self
            .journal
            .entry(position)
            .or_insert((name, params.clone()));
        assert_eq!((noted.0.clone(), noted.1["callID"].clone()), same);
    }
}

impl Drop for Phone {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn start(command: &[String]) -> (Child, ChildStdin, Receiver<Value>) {
    let mut process = Command::new(env!("CARGO_BIN_EXE_offhook"))
        .args(command)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the device starts");
    let stdin = process.stdin.take().expect("stdin");
    let stdout = BufReader::new(process.stdout.take().expect("stdout"));
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        // The last line of a killed process may be cut off; it was not said then.
        let said = stdout.lines().map_while(Result::ok);
        for line in said.map_while(|line| serde_json::from_str(&line).ok()) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    (process, stdin, lines)
}
