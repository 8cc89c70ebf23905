//! How the story is put on the page: columns for people, JSON lines for programs.
//!
//! Who calls [`Teller::line`] has seen happen what it says; nothing here checks anything.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use crate::call::CallId;
use crate::cli::failure::Failure;

const MS_WIDTH: usize = 6;
const DEVICE_WIDTH: usize = 14;
const ROW_INDENT: usize = 4;
const WHAT_WIDTH: usize = 48;

const BOLD: &str = "\x1b[1m";
const DIM: &str = "\x1b[2m";
const PLAIN: &str = "\x1b[0m";

/// Somebody of whom there is something to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Role {
    /// The user; empty for the server.
    pub user: &'static str,
    /// For people.
    pub label: &'static str,
    /// For programs and files.
    pub name: &'static str,
}

/// The server.
pub const SERVER: Role = Role {
    user: "",
    label: "server",
    name: "server",
};

/// Something that happened, in words, and what it is called in the product.
pub struct Line<'a> {
    who: Role,
    what: String,
    api: &'static str,
    call: Option<&'a CallId>,
    more: Map<String, Value>,
}

impl<'a> Line<'a> {
    /// A line about a device, or the server.
    pub fn new(who: Role, what: impl Into<String>) -> Self {
        Self {
            who,
            what: what.into(),
            api: "",
            call: None,
            more: Map::new(),
        }
    }

    /// The command, event or query that it was.
    pub fn api(mut self, name: &'static str) -> Self {
        self.api = name;
        self
    }

    /// The call that it was about.
    pub fn call(mut self, call: &'a CallId) -> Self {
        self.call = Some(call);
        self
    }

    /// Something that only programs are told.
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.more.insert(key.to_owned(), value.into());
        self
    }
}

/// Tells the story on stdout.
pub struct Teller {
    out: Box<dyn Write>,
    started: Instant,
    json: bool,
    colour: bool,
    act: u32,
    lines: u32,
}

impl Teller {
    /// Begins to count the time.
    pub fn new(json: bool) -> Self {
        let plain_wanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self {
            out: Box::new(io::stdout()),
            started: Instant::now(),
            json,
            colour: !json && !plain_wanted && io::stdout().is_terminal(),
            act: 0,
            lines: 0,
        }
    }

    /// Tells nobody.
    #[cfg(test)]
    pub fn silent() -> Self {
        Self {
            out: Box::new(io::sink()),
            ..Self::new(true)
        }
    }

    /// The act that is on; 0 before the first.
    pub fn act(&self) -> u32 {
        self.act
    }

    /// How many lines were told.
    pub fn lines(&self) -> u32 {
        self.lines
    }

    /// How long it has taken so far.
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// The next act begins.
    pub fn begin_act(&mut self, heading: &str) -> Result<(), Failure> {
        self.act += 1;
        let heading = self.styled(BOLD, &format!("{}  {heading}", self.act));
        self.text(&format!("\n{heading}\n"))
    }

    /// Something happened.
    pub fn line(&mut self, line: Line<'_>) -> Result<(), Failure> {
        self.lines += 1;
        let at_ms = self.started.elapsed().as_millis();
        if self.json {
            let object = self.as_json(at_ms, line);
            return self.write(&format!("{object}\n"));
        }
        let Line { who, what, api, .. } = line;
        let start = format!("{at_ms:>MS_WIDTH$}  {:<DEVICE_WIDTH$}  ", who.label);
        if api.is_empty() {
            return self.write(&format!("{start}{what}\n"));
        }
        let api = self.styled(DIM, api);
        self.write(&format!("{start}{what:<WHAT_WIDTH$}  {api}\n"))
    }

    /// A row of a table below a line: text for people, fields for programs.
    pub fn row(&mut self, text: &str, line: Line<'_>) -> Result<(), Failure> {
        if self.json {
            return self.line(line);
        }
        self.lines += 1;
        self.indented(text)
    }

    /// Text below a line; programs are spared it.
    pub fn indented(&mut self, text: &str) -> Result<(), Failure> {
        self.text(&format!("{:ROW_INDENT$}{text}\n", ""))
    }

    /// Text as it is; programs are spared it.
    pub fn text(&mut self, text: &str) -> Result<(), Failure> {
        if self.json { Ok(()) } else { self.write(text) }
    }

    /// The last line for programs; people are told in words.
    pub fn summary(&mut self, summary: &Value) -> Result<(), Failure> {
        if self.json {
            self.write(&format!("{summary}\n"))
        } else {
            Ok(())
        }
    }

    /// Text that stands out, where colours are wanted.
    pub fn bold(&self, text: &str) -> String {
        self.styled(BOLD, text)
    }

    fn write(&mut self, text: &str) -> Result<(), Failure> {
        self.out
            .write_all(text.as_bytes())
            .and_then(|()| self.out.flush())
            .map_err(|error| {
                Failure::new(format_args!(
                    "cannot write to stdout: {error}; the story needs a reader to the end"
                ))
            })
    }

    fn styled(&self, style: &str, text: &str) -> String {
        if self.colour {
            format!("{style}{text}{PLAIN}")
        } else {
            text.to_owned()
        }
    }

    fn as_json(&self, at_ms: u128, line: Line<'_>) -> Value {
        let Line {
            who,
            what,
            api,
            call,
            more,
        } = line;
        let mut object = Map::new();
        let mut put = |key: &str, value: Value| object.insert(key.to_owned(), value);
        put("at_ms", json!(u64::try_from(at_ms).unwrap_or(u64::MAX)));
        put("act", json!(self.act));
        put("device", json!(who.name));
        put("what", json!(what));
        if !who.user.is_empty() {
            put("user", json!(who.user));
        }
        if !api.is_empty() {
            put("api", json!(api));
        }
        if let Some(call) = call {
            put("call_id", json!(call));
        }
        object.extend(more);
        Value::Object(object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_for_programs_has_only_what_there_is() {
        let teller = Teller::new(true);
        assert_eq!(
            teller.as_json(7, Line::new(SERVER, "listens").with("port", 1)),
            json!({"at_ms": 7, "act": 0, "device": "server", "what": "listens", "port": 1})
        );
        let role = Role {
            user: "bob",
            label: "Bob's phone",
            name: "bob-phone",
        };
        let call = CallId::trusted("c1");
        assert_eq!(
            teller.as_json(8, Line::new(role, "accepts").api("callAccept").call(&call)),
            json!({
                "at_ms": 8, "act": 0, "device": "bob-phone", "user": "bob", "what": "accepts",
                "api": "callAccept", "call_id": "c1"
            })
        );
    }
}
