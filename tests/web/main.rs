//! The page of `offhook inspect FILE web`: asked over HTTP as a browser and as an attacker would,
//! and looked at in a headless Chromium.

mod browser;
mod documents;
mod limits;
mod questions;
mod strangers;

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rusqlite::Connection;
use serde_json::Value;
use tempfile::TempDir;

const SCHEMA: [&str; 3] = [
    include_str!("../../schema/client/0001_initial.sql"),
    include_str!("../../schema/client/0002_lease.sql"),
    include_str!("../../schema/client/0003_lists.sql"),
];
/// More calls than one request of a search looks at; when the first of them was made.
const LONG: i64 = 45_000;
const BEGIN_MS: i64 = 1_767_225_600_000;
const STORY: &str = include_str!("../inspect/story.sql");

fn offhook() -> Command {
    Command::new(env!("CARGO_BIN_EXE_offhook"))
}

/// A folder with a database in it, closed cleanly.
struct Fixture {
    folder: TempDir,
    database: PathBuf,
}

impl Fixture {
    fn new() -> Self {
        let fixture = Self::empty();
        fixture.app().execute_batch(STORY).unwrap();
        fixture
    }

    /// A database in which nothing has happened yet.
    fn empty() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("alice.db");
        let app = Connection::open(&database).unwrap();
        app.pragma_update(None, "journal_mode", "WAL").unwrap();
        for schema in SCHEMA {
            app.execute_batch(schema).unwrap();
        }
        app.pragma_update(None, "user_version", 3).unwrap();
        app.pragma_update(None, "application_id", 0x4f68_6b31)
            .unwrap();
        Self { folder, database }
    }

    /// Alice rang bob [`LONG`] times, a second each. The oldest call has a note in it, and was with zoe.
    fn long() -> Self {
        let fixture = Self::empty();
        let sql = format!(
            "BEGIN;
             WITH RECURSIVE n (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM n WHERE n < {LONG} - 1)
             INSERT INTO calls (sort_key, call_id, epoch, revision, mode, caller, create_time_ms, timeout_s,
                 extended_data, not_received_check, state, end_time_ms, my_state)
             SELECT ({BEGIN_MS} + n * 1000) << 11, printf('call-%05d', n), 7, 1, 'general', 'alice',
                    {BEGIN_MS} + n * 1000, 60, iif(n = 0, 'the needle', ''), 0, 'ended',
                    {BEGIN_MS} + n * 1000, 'accepted' FROM n;
             INSERT INTO members SELECT sort_key, 0, 'alice', NULL, 0, 0, 0, 0, '', 'accepted', 1,
                    create_time_ms, '', 'alice', NULL, create_time_ms, 0, 0, 1 FROM calls;
             INSERT INTO members SELECT sort_key, 1, iif(create_time_ms = {BEGIN_MS}, 'zoe', 'bob'),
                    'alice', 1, create_time_ms, 60, create_time_ms, '', 'rejected', 1,
                    create_time_ms, '', NULL, NULL, 0, 0, 0, 0 FROM calls;
             COMMIT;"
        );
        fixture.app().execute_batch(&sql).unwrap();
        fixture
    }

    /// A connection such as the app has.
    fn app(&self) -> Connection {
        Connection::open(&self.database).unwrap()
    }

    /// All files of the folder, with what is in them.
    fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        fs::read_dir(self.folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .map(|path| (path.clone(), fs::read(path).unwrap()))
            .collect()
    }

    fn json(&self, question: &[&str]) -> Value {
        let output = offhook()
            .arg("inspect")
            .arg(&self.database)
            .args(question)
            .arg("--json")
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

/// The command, serving a page.
struct Page {
    process: Child,
    link: String,
    port: u16,
}

impl Page {
    fn of(database: &Path) -> Self {
        let mut process = offhook()
            .arg("inspect")
            .arg(database)
            .arg("web")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut link = String::new();
        let mut stdout = BufReader::new(process.stdout.take().unwrap());
        stdout.read_line(&mut link).unwrap();
        let link = link.trim_end().to_owned();
        let rest = link.strip_prefix("http://127.0.0.1:").unwrap();
        let port = rest.split('/').next().unwrap().parse().unwrap();
        Self {
            process,
            link,
            port,
        }
    }

    /// The address of the link without the host.
    fn way_in(&self) -> String {
        let start = self.link.find("/?token=").unwrap();
        self.link[start..].to_owned()
    }

    /// Sends bytes and reads until the connection is closed; an empty answer when it just is.
    fn send(&self, bytes: &[u8]) -> Answer {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        // A server that has had enough closes before it has read all, which is its right.
        let _ = stream.write_all(bytes);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        Answer::parse(&answer)
    }

    fn request(&self, line: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut text = format!("{line} HTTP/1.1\r\n");
        if !headers.iter().any(|(name, _)| *name == "Host") {
            text.push_str(&format!("Host: 127.0.0.1:{}\r\n", self.port));
        }
        for (name, value) in headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        if !body.is_empty() {
            text.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        text.push_str("\r\n");
        text.push_str(body);
        self.send(text.as_bytes())
    }

    fn get(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.request(&format!("GET {path}"), headers, "")
    }

    /// Goes in by the link.
    fn enter(&self) -> Session<'_> {
        let answer = self.get(&self.way_in(), &[]);
        assert_eq!(answer.status, 303, "{answer:?}");
        let cookie = answer.header("set-cookie").unwrap();
        let cookie = cookie.split(';').next().unwrap().to_owned();
        Session { page: self, cookie }
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A browser that is in.
struct Session<'a> {
    page: &'a Page,
    cookie: String,
}

impl Session<'_> {
    fn get(&self, path: &str) -> Answer {
        self.page.get(path, &[("Cookie", &self.cookie)])
    }

    /// A document that is there.
    fn document(&self, path: &str) -> Value {
        let answer = self.get(path);
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        answer.json()
    }

    fn post(&self, body: &str) -> Answer {
        let headers = [
            ("Cookie", self.cookie.as_str()),
            ("Content-Type", "application/json"),
        ];
        self.page.request("POST /api/sql", &headers, body)
    }

    /// Asks a question and goes on without its answer.
    fn begin_sql(&self, sql: &str) -> TcpStream {
        let body = serde_json::json!({ "sql": sql }).to_string();
        let mut stream = TcpStream::connect(("127.0.0.1", self.page.port)).unwrap();
        let request = format!(
            "POST /api/sql HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nCookie: {}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.page.port,
            self.cookie,
            body.len()
        );
        stream.write_all(request.as_bytes()).unwrap();
        stream
    }

    fn sql(&self, sql: &str) -> Answer {
        self.post(&serde_json::json!({ "sql": sql }).to_string())
    }
}

#[derive(Debug)]
struct Answer {
    /// 0: the connection was closed without one.
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

impl Answer {
    fn parse(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1));
        let headers = lines.filter_map(|line| line.split_once(": "));
        Self {
            status: status.map_or(0, |status| status.parse().unwrap()),
            headers: headers
                .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
                .collect(),
            body: body.to_owned(),
        }
    }

    fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(own, _)| own == name);
        found.map(|(_, value)| value.as_str())
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The words of a refusal.
    fn error(&self) -> String {
        self.json()["error"].as_str().unwrap().to_owned()
    }
}
