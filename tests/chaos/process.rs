//! The server and the devices as processes, which are killed and started again on what they left.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::proxy::{Proxy, Target};
use crate::random::Random;

/// How long something may take that is expected to happen at once. Generous: it only bounds how
/// long a failing test takes.
pub const SOON: Duration = Duration::from_secs(60);

/// How long is waited between two looks at something that nobody tells of.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Looks until it is so. What is awaited is said if it is not in time.
pub fn until(awaited: &dyn Fn() -> String, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + SOON;
    while !is_so() {
        assert!(Instant::now() < deadline, "not in {SOON:?}: {}", awaited());
        std::thread::sleep(LOOK_AGAIN);
    }
}

fn offhook(log: &Path) -> Command {
    let log = File::options().create(true).append(true).open(log);
    let mut command = Command::new(env!("CARGO_BIN_EXE_offhook"));
    command.arg("-v").stderr(log.expect("a log"));
    command
}

fn ends_well(process: &mut Child, who: &str) {
    let mut status = None;
    until(&|| format!("the end of {who}"), || {
        status = process.try_wait().expect("a child");
        status.is_some()
    });
    let status = status.expect("it ended");
    assert!(status.success(), "{who} ended with {status}");
}

/// SIGKILL. One that ended by itself before is a failure.
fn kills(process: &mut Child, who: &str) {
    let ended = process.try_wait().expect("a child");
    assert!(ended.is_none(), "{who} ended by itself: {ended:?}");
    process.kill().expect("killed");
    process.wait().expect("gone");
}

/// `offhook serve` on a folder that is kept. Each life has a port of its own, which the relays know
/// as soon as the server says it.
pub struct Server {
    folder: PathBuf,
    settings: &'static [&'static str],
    target: Target,
    listening: Arc<Mutex<u64>>,
    lives: u64,
    process: Option<Child>,
}

impl Server {
    pub fn new(folder: &Path, settings: &'static [&'static str]) -> Self {
        let nowhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 9));
        let mut server = Self {
            folder: folder.to_owned(),
            settings,
            target: Arc::new(Mutex::new(nowhere)),
            listening: Arc::default(),
            lives: 0,
            process: None,
        };
        server.starts();
        server.listens();
        server
    }

    pub fn target(&self) -> Target {
        Arc::clone(&self.target)
    }

    pub fn data(&self) -> PathBuf {
        self.folder.join("server")
    }

    pub fn database(&self) -> PathBuf {
        self.data().join("server.db")
    }

    pub fn log(&self) -> PathBuf {
        self.folder.join("server.log")
    }

    pub fn is_up(&self) -> bool {
        self.process.is_some()
    }

    /// Returns at once: it may be killed before it listens.
    pub fn starts(&mut self) {
        let mut command = offhook(&self.log());
        command.args(["serve", "--listen", "127.0.0.1:0", "--data"]);
        command.arg(self.data()).stdout(Stdio::piped());
        for setting in self.settings {
            command.args(["--set", setting]);
        }
        let mut process = command.spawn().expect("the server starts");
        let stdout = process.stdout.take().expect("stdout");
        self.lives += 1;
        let (life, target) = (self.lives, self.target());
        let listening = Arc::clone(&self.listening);
        std::thread::spawn(move || {
            let mut line = String::new();
            let said = BufReader::new(stdout).read_line(&mut line);
            let address = line.trim().strip_prefix("listening on ");
            // Killed before it said so, or in the middle of the line.
            let (Ok(_), true, Some(address)) = (said, line.ends_with('\n'), address) else {
                return;
            };
            let mut listening = listening.lock().expect("nobody panics with it");
            // A line of an earlier life may come after one of a later.
            if life > *listening {
                *listening = life;
                let mut target = target.lock().expect("nobody panics with it");
                *target = address.parse().expect("an address");
            }
        });
        self.process = Some(process);
    }

    /// Waits until this life listens.
    pub fn listens(&self) {
        let is_listening = || *self.listening.lock().expect("nobody panics with it") == self.lives;
        until(&|| "the server listens".to_owned(), is_listening);
    }

    pub fn is_killed(&mut self) {
        if let Some(mut process) = self.process.take() {
            kills(&mut process, "the server");
        }
    }

    /// SIGTERM, and its end in good order.
    pub fn stops(&mut self) {
        let mut process = self.process.take().expect("it runs");
        let pid = process.id().to_string();
        let told = Command::new("kill").arg(pid).status().expect("told");
        assert!(told.success());
        ends_well(&mut process, "the server");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

struct Running {
    process: Child,
    stdin: ChildStdin,
    lines: Receiver<Value>,
    /// When it said its first line, by this machine's clock; 0: not yet.
    awake_ms: Arc<AtomicI64>,
}

impl Running {
    /// When it was there again, or else is no more.
    fn awake_or_now_ms(&self) -> i64 {
        match self.awake_ms.load(Ordering::Acquire) {
            0 => now_ms(),
            awake => awake,
        }
    }
}

/// What a question was, until it is answered.
struct Asked {
    method: String,
    params: Value,
    /// Of one that reads on after a restart: the last position that was heard by then.
    known: Option<u64>,
}

/// What was read of the journal after a restart, before anything else was asked.
pub struct ReadOn {
    /// Behind which position, and how much at most.
    pub position: u64,
    pub limit: u64,
    /// The last position that earlier lives had told.
    pub known: u64,
    /// Position, name and fields.
    pub events: Vec<(u64, String, Value)>,
    pub more: bool,
}

/// `offhook rpc` on a file that is kept, behind a relay of its own, with all that it ever said.
pub struct Device {
    pub user: &'static str,
    pub name: &'static str,
    pub proxy: Proxy,
    /// The call of every event, and its name, by position: over all lives.
    pub heard: BTreeMap<u64, (String, String)>,
    /// Commands of which it was said that they are on disk, and which of them they are.
    pub given: BTreeMap<String, String>,
    /// How many it refused at once.
    pub refused: u64,
    /// The states of the connection, in the order in which they were told, over all lives.
    pub connection: Vec<Value>,
    /// Calls that were heard to ring, the newest last.
    pub rung: Vec<String>,
    /// Calls that it made, the newest last.
    pub made: Vec<String>,
    /// The call that its user is in, as far as was told.
    pub inside: Option<String>,
    /// Commands whose verdict was told.
    pub settled: BTreeMap<String, Value>,
    /// Who was told to stand how in which call, in the order in which it was told.
    pub told: Vec<(String, String, i64)>,
    /// What was answered to [`Device::reads_on`].
    pub read_on: Vec<ReadOn>,
    /// When it did not run, by this machine's clock: since it was killed, until it said something.
    pub away_ms: Vec<(i64, i64)>,
    died_ms: i64,
    folder: PathBuf,
    ca: PathBuf,
    running: Option<Running>,
    asked: BTreeMap<u64, Asked>,
    answered: BTreeMap<u64, Value>,
    awaited: BTreeSet<u64>,
    ids: u64,
}

impl Device {
    /// One that is not started yet.
    pub fn new(
        user: &'static str,
        name: &'static str,
        folder: &Path,
        server: &Server,
        random: Random,
    ) -> Self {
        Self {
            user,
            name,
            proxy: Proxy::new(server.target(), random),
            heard: BTreeMap::new(),
            given: BTreeMap::new(),
            refused: 0,
            connection: Vec::new(),
            rung: Vec::new(),
            made: Vec::new(),
            inside: None,
            settled: BTreeMap::new(),
            told: Vec::new(),
            read_on: Vec::new(),
            away_ms: Vec::new(),
            died_ms: 0,
            folder: folder.to_owned(),
            ca: server.data().join("cert.pem"),
            running: None,
            asked: BTreeMap::new(),
            answered: BTreeMap::new(),
            awaited: BTreeSet::new(),
            ids: 0,
        }
    }

    pub fn database(&self) -> PathBuf {
        self.folder.join(format!("{}.db", self.name))
    }

    pub fn log(&self) -> PathBuf {
        self.folder.join(format!("{}.log", self.name))
    }

    pub fn is_up(&self) -> bool {
        self.running.is_some()
    }

    /// Returns at once: it may be killed before it has opened its file.
    pub fn starts(&mut self) {
        let mut command = offhook(&self.log());
        command.args(["rpc", "--server", &self.proxy.address().to_string()]);
        command.arg("--ca").arg(&self.ca);
        command.args(["--user", self.user, "--db"]);
        command.arg(self.database());
        let mut process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the device starts");
        let awake_ms = Arc::new(AtomicI64::new(0));
        let stdout = process.stdout.take().expect("stdout");
        self.running = Some(Running {
            stdin: process.stdin.take().expect("stdin"),
            lines: lines_of(stdout, Arc::clone(&awake_ms)),
            process,
            awake_ms,
        });
    }

    /// SIGKILL. What it had said before it died was said.
    pub fn is_killed(&mut self) {
        if let Some(mut running) = self.running.take() {
            self.away_ms.push((self.died_ms, running.awake_or_now_ms()));
            self.died_ms = now_ms();
            kills(&mut running.process, self.name);
            while let Ok(line) = running.lines.recv() {
                self.note(line);
            }
            self.asked.clear();
        }
    }

    /// The app goes away in good order.
    pub fn stops(&mut self) {
        self.asks("shutdown", json!({}));
        let mut running = self.running.take().expect("it runs");
        self.away_ms.push((self.died_ms, running.awake_or_now_ms()));
        ends_well(&mut running.process, self.name);
        while let Ok(line) = running.lines.recv() {
            self.note(line);
        }
    }

    /// Asks something without waiting for the answer. Gives the number of the question.
    pub fn tells(&mut self, method: &str, params: Value) -> u64 {
        self.ids += 1;
        let id = self.ids;
        let line = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        let running = self.running.as_mut().expect("it runs");
        writeln!(running.stdin, "{line}").expect("it reads");
        let asked = Asked {
            method: method.to_owned(),
            params,
            known: None,
        };
        self.asked.insert(id, asked);
        id
    }

    /// Has the app go on in the journal from where it was. To be asked before anything else in a
    /// life: nothing waits for a verdict then, which would be kept out of the answer.
    pub fn reads_on(&mut self, position: u64, limit: u64) {
        let known = self.heard.keys().next_back().copied().unwrap_or(0);
        let id = self.tells("eventsSince", json!({"position": position, "limit": limit}));
        let asked = self.asked.get_mut(&id).expect("just asked");
        asked.known = Some(known);
    }

    /// Asks something, and gives its result.
    pub fn asks(&mut self, method: &str, params: Value) -> Value {
        let id = self.tells(method, params);
        self.answers(id)
    }

    /// Waits for the answer to a question.
    pub fn answers(&mut self, id: u64) -> Value {
        self.awaited.insert(id);
        self.hears(&format!("the answer to {id}"), |device| {
            device.answered.contains_key(&id)
        });
        self.awaited.remove(&id);
        let line = self.answered.remove(&id).expect("answered");
        assert!(line.get("error").is_none(), "{}: {line}", self.name);
        line["result"].clone()
    }

    /// Gives a command: when this returns it is on the device's disk. Gives its identity and call.
    pub fn gives(&mut self, method: &str, mut params: Value) -> (String, String) {
        params["wait"] = json!("disk");
        let given = self.asks(method, params);
        (text(&given["op"]), text(&given["callID"]))
    }

    /// Takes in what it says until it is as wanted.
    pub fn hears(&mut self, awaited: &str, is_so: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + SOON;
        while !is_so(self) {
            let left = deadline.saturating_duration_since(Instant::now());
            let lines = &self.running.as_ref().expect("it runs").lines;
            match lines.recv_timeout(left) {
                Ok(line) => self.note(line),
                Err(RecvTimeoutError::Timeout) => {
                    panic!("{} waits for {awaited}: {:#?}", self.name, self.heard)
                }
                Err(RecvTimeoutError::Disconnected) => {
                    panic!("{} ended by itself, waiting for {awaited}", self.name)
                }
            }
        }
    }

    /// Takes in what it has said by now.
    pub fn listens(&mut self) {
        while let Some(running) = &self.running {
            match running.lines.try_recv() {
                Ok(line) => self.note(line),
                Err(TryRecvError::Empty) => return,
                Err(TryRecvError::Disconnected) => panic!("{} ended by itself", self.name),
            }
        }
    }

    /// Whether an event of that name about that call was heard in any life.
    pub fn has_heard(&self, name: &str, call: &str) -> bool {
        self.heard
            .values()
            .any(|(one, about)| one == name && about == call)
    }

    fn note(&mut self, line: Value) {
        if let Some(method) = line.get("method") {
            self.note_event(&text(method), &line["params"]);
        } else {
            self.note_answer(line);
        }
    }

    fn note_event(&mut self, name: &str, params: &Value) {
        if name == "connectionStateChanged" {
            self.connection.push(params.clone());
        }
        let Some(position) = params.get("position").and_then(Value::as_u64) else {
            return;
        };
        let call = text(&params["callID"]);
        let last = self.heard.keys().next_back().copied().unwrap_or(0);
        assert!(
            position > last,
            "{}: {name} of {call} at {position}, after {last}",
            self.name
        );
        if name == "callInvitationReceived" {
            self.rung.push(call.clone());
        }
        if name == "callUserStateChanged" {
            for one in params["callUserList"].as_array().expect("users") {
                let state = one["state"].as_i64().expect("a state");
                self.told.push((call.clone(), text(&one["userID"]), state));
            }
        }
        if name == "commandSettled" {
            self.note_verdict(params);
            let before = self.settled.insert(text(&params["op"]), params.clone());
            assert!(before.is_none(), "{}: settled twice: {params}", self.name);
        }
        self.heard.insert(position, (name.to_owned(), call));
    }

    fn note_verdict(&mut self, settled: &Value) {
        let error = &settled["error"];
        if error["data"]["reason"] == "inCall" {
            self.inside = Some(text(&error["data"]["callID"]));
        } else if error.is_null() {
            match settled["command"].as_str() {
                Some("callInvite" | "callAccept" | "callJoin") => {
                    self.inside = Some(text(&settled["callID"]));
                }
                Some("callQuit" | "callEnd") => self.inside = None,
                _ => {}
            }
        }
    }

    fn note_answer(&mut self, line: Value) {
        let id = line["id"].as_u64();
        let Some((id, asked)) = id.and_then(|id| Some((id, self.asked.remove(&id)?))) else {
            panic!("{}: an answer that nobody waits for: {line}", self.name);
        };
        let about = format!("{}: {} {}: {line}", self.name, asked.method, asked.params);
        if line.get("error").is_some() {
            let code = line["error"]["code"].as_i64().expect("a code");
            assert!(
                code > 0 && code != 6_100_022 && code != 6_000_001,
                "{about}"
            );
            self.refused += 1;
        } else if let Some(op) = line["result"].get("op") {
            let before = self.given.insert(text(op), asked.method.clone());
            assert!(before.is_none(), "given twice: {about}");
        }
        if let Some(known) = asked.known {
            self.read_on
                .push(read_on(&asked.params, known, &line["result"]));
        }
        if asked.method == "callInvite" && line.get("result").is_some() {
            self.made.push(text(&line["result"]["callID"]));
        }
        if self.awaited.contains(&id) {
            self.answered.insert(id, line);
        }
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        if let Some(mut running) = self.running.take() {
            let _ = running.process.kill();
            let _ = running.process.wait();
        }
    }
}

fn read_on(asked: &Value, known: u64, answer: &Value) -> ReadOn {
    let number = |value: &Value| value.as_u64().expect("a number");
    let event = |one: &Value| {
        let (position, name) = (number(&one["position"]), text(&one["name"]));
        (position, name, one["params"].clone())
    };
    let events = answer["events"].as_array().expect("events");
    ReadOn {
        position: number(&asked["position"]),
        limit: number(&asked["limit"]),
        known,
        events: events.iter().map(event).collect(),
        more: answer["more"].as_bool().expect("whether there is more"),
    }
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    i64::try_from(since.expect("after 1970").as_millis()).expect("not for long")
}

fn text(value: &Value) -> String {
    value.as_str().expect("text").to_owned()
}

fn lines_of(stdout: ChildStdout, awake_ms: Arc<AtomicI64>) -> Receiver<Value> {
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        // The last line of a killed process may be cut off; it was not said then.
        let said = BufReader::new(stdout).lines().map_while(Result::ok);
        for line in said.map_while(|line| serde_json::from_str(&line).ok()) {
            let _ = awake_ms.compare_exchange(0, now_ms(), Ordering::AcqRel, Ordering::Relaxed);
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    lines
}
