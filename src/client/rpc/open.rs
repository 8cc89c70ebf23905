//! What an engine is opened with, as a program in another language says it.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use super::params::Params;
use crate::client::config::{Config, Memory};
use crate::client::engine::Engine;
use crate::client::housekeeping::Retention;
use crate::client::link::check_address;
use crate::client::roots::Roots;
use crate::client::subscription::Events;
use crate::error::{Code, Error};

/// Bytes of a SHA-256 digest.
const PIN_BYTES: usize = 32;
const DAY_S: u64 = 86_400;

/// An engine that is to be opened.
#[derive(Debug)]
pub struct Opening {
    /// With what.
    pub config: Config,
    /// A copy that is to be put in the database's place first.
    pub restore: Option<PathBuf>,
}

impl Opening {
    /// Reads the JSON object that opens an engine:
    /// `{server, user, database, token, serverName, ca | caText | pin, wait, memory, build, retention,
    /// restore}`. The first three have no default; what is absent or null has one, and other fields are
    /// ignored.
    ///
    /// - `ca` is the path of a PEM file and `caText` its text, `pin` the SHA-256 of the server's
    ///   certificate as 64 hexadecimal digits; without any of them the public authorities are trusted.
    /// - `wait` is in seconds, `memory` `"normal"` or `"low"`.
    /// - `retention` is `{callsKept, callsKeptDays, eventsKept, eventsUnacknowledgedKept}`, whole numbers as
    ///   in [`Retention`]; `callsKept` may be `"all"`, `callsKeptDays` `"forever"`.
    /// - `restore` is the path of a copy made by backup, which is put where `database` says before that is
    ///   opened, as another device; nothing may be there yet.
    ///
    /// # Errors
    /// [`crate::Code::InvalidParameter`], with the field as the reason.
    pub fn read(text: &str) -> Result<Self, Error> {
        let Ok(Value::Object(fields)) = serde_json::from_str(text) else {
            return Err(Error::parameter("config", "is not an object"));
        };
        let mut params = Params::new(fields);
        let server = required(&mut params, "server")?;
        check_address(&server)?;
        let user = required(&mut params, "user")?;
        let database = required(&mut params, "database")?;
        let mut config = Config::new(server, user, database);
        config.token = params.text("token")?;
        config.server_name = params.text("serverName")?;
        config.roots = roots(&mut params)?;
        if let Some(seconds) = params.number::<u32>("wait")? {
            config.wait = Duration::from_secs(seconds.into());
        }
        config.memory = memory(&mut params)?;
        if let Some(build) = params.text("build")? {
            config.build = build;
        }
        config.retention = retention(&mut params)?;
        let restore = params.text("restore")?.map(PathBuf::from);
        Ok(Self { config, restore })
    }

    /// Puts the copy in place if there is one, and opens the engine.
    ///
    /// # Errors
    /// As [`Engine::restore_for`] and [`Engine::open`]; a parameter has the name that it has here.
    pub async fn open(self) -> Result<(Engine, Events), Error> {
        if let Some(copy) = &self.restore {
            let restored = Engine::restore_for(copy, &self.config).await;
            restored.map_err(|error| called(error, "backup", "restore"))?;
        }
        let trusted = match &self.config.roots {
            Roots::Pem(_) => "ca",
            Roots::PemText(_) => "caText",
            Roots::Pinned(_) => "pin",
            Roots::Webpki | Roots::Custom(_) => "roots",
        };
        Engine::open_with_events(self.config).map_err(|error| called(error, "roots", trusted))
    }
}

/// The same refusal, of a parameter that the engine calls otherwise.
fn called(error: Error, by_engine: &str, here: &str) -> Error {
    if error.code != Code::InvalidParameter || error.reason != by_engine {
        return error;
    }
    let named = error.message.strip_prefix(by_engine);
    let message = named.and_then(|rest| rest.strip_prefix(": "));
    Error::parameter(here, message.unwrap_or(&error.message))
}

fn required(params: &mut Params, name: &str) -> Result<String, Error> {
    let text = params.text(name)?;
    params.required(name, text)
}

fn roots(params: &mut Params) -> Result<Roots, Error> {
    let file = params.text("ca")?;
    let text = params.text("caText")?;
    let pin = params.text("pin")?;
    match (file, text, pin) {
        (None, None, None) => Ok(Roots::Webpki),
        (Some(path), None, None) => Ok(Roots::Pem(PathBuf::from(path))),
        (None, Some(text), None) => Ok(Roots::PemText(text)),
        (None, None, Some(pin)) => digest(&pin)
            .map(Roots::Pinned)
            .ok_or_else(|| Error::parameter("pin", "is not a SHA-256; give 64 hexadecimal digits")),
        _ => Err(Error::parameter("ca", "give one of ca, caText and pin")),
    }
}

fn memory(params: &mut Params) -> Result<Memory, Error> {
    match params.text("memory")?.as_deref() {
        None | Some("normal") => Ok(Memory::Normal),
        Some("low") => Ok(Memory::Low),
        Some(other) => {
            let message = format!("{other:?} is neither \"normal\" nor \"low\"");
            Err(Error::parameter("memory", message))
        }
    }
}

fn retention(params: &mut Params) -> Result<Retention, Error> {
    let mut fields = params.object("retention", "retention.")?;
    let mut retention = Retention::default();
    if let Some(calls) = fields.number_or("callsKept", "all")? {
        retention.calls = calls;
    }
    if let Some(days) = fields.number_or::<u64>("callsKeptDays", "forever")? {
        retention.calls_for = days.map(|days| Duration::from_secs(days.saturating_mul(DAY_S)));
    }
    if let Some(events) = fields.number("eventsKept")? {
        retention.events = events;
    }
    if let Some(events) = fields.number("eventsUnacknowledgedKept")? {
        retention.events_unacknowledged = events;
    }
    Ok(retention)
}

fn digest(hex: &str) -> Option<[u8; PIN_BYTES]> {
    if hex.len() != 2 * PIN_BYTES || !hex.is_ascii() {
        return None;
    }
    let bytes: Option<Vec<u8>> = (0..PIN_BYTES)
        .map(|at| {
            let digits = hex.get(2 * at..2 * at + 2)?;
            let is_hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
            is_hex.then(|| u8::from_str_radix(digits, 16).ok())?
        })
        .collect();
    bytes?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: &str = r#"{"server":"localhost:1","user":"alice","database":"a.db""#;

    fn opened(rest: &str) -> Result<Config, Error> {
        Opening::read(&format!("{LEAST}{rest}}}")).map(|opening| opening.config)
    }

    fn kept(fields: &str) -> Result<Retention, Error> {
        opened(&format!(r#","retention":{fields}"#)).map(|config| config.retention)
    }

    #[test]
    fn three_fields_are_enough_and_the_rest_has_defaults() {
        let config = opened("").unwrap();
        assert_eq!(config.server, "localhost:1");
        assert_eq!(config.user, "alice");
        assert_eq!(config.database, PathBuf::from("a.db"));
        assert!(matches!(config.roots, Roots::Webpki));
        assert_eq!(config.memory, Memory::Normal);
        assert_eq!(config.retention, Retention::default());
    }

    #[test]
    fn every_field_arrives() {
        let pin = "0aFF".repeat(16);
        let rest =
            format!(r#","token":"t","serverName":"n","pin":"{pin}","wait":0,"memory":"low""#);
        let config = opened(&rest).unwrap();
        assert_eq!(config.token.as_deref(), Some("t"));
        assert_eq!(config.server_name.as_deref(), Some("n"));
        assert_eq!(config.wait, Duration::ZERO);
        assert_eq!(config.memory, Memory::Low);
        let Roots::Pinned(digest) = config.roots else {
            panic!("pinned: {:?}", config.roots);
        };
        assert_eq!(digest, [0x0a, 0xff].repeat(16)[..]);
    }

    #[test]
    fn every_setting_of_retention_arrives_and_those_that_are_absent_have_their_defaults() {
        let all =
            r#"{"callsKept":7,"callsKeptDays":30,"eventsKept":0,"eventsUnacknowledgedKept":2000}"#;
        let expected = Retention {
            calls_for: Some(Duration::from_secs(30 * 24 * 60 * 60)),
            calls: Some(7),
            events: 0,
            events_unacknowledged: 2_000,
        };
        assert_eq!(kept(all).unwrap(), expected);
        let without_end = kept(r#"{"callsKept":"all","callsKeptDays":"forever"}"#).unwrap();
        let expected = Retention {
            calls: None,
            ..Retention::default()
        };
        assert_eq!(without_end, expected);
        let of_nothing = kept(r#"{"callsKept":null,"maxCount":1}"#).unwrap();
        assert_eq!(of_nothing, Retention::default());
        assert_eq!(kept("null").unwrap(), Retention::default());
    }

    #[test]
    fn what_is_to_be_restored_arrives() {
        let rest = r#","restore":"copy.db""#;
        let opening = Opening::read(&format!("{LEAST}{rest}}}")).unwrap();
        assert_eq!(opening.restore, Some(PathBuf::from("copy.db")));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let reason = |rest: &str| opened(rest).unwrap_err().reason;
        assert_eq!(Opening::read("[]").unwrap_err().reason, "config");
        assert_eq!(Opening::read("{}").unwrap_err().reason, "server");
        assert_eq!(reason(r#","pin":"+a""#), "pin");
        assert_eq!(reason(&format!(r#","pin":"{}""#, "+a".repeat(32))), "pin");
        assert_eq!(reason(r#","ca":"a","caText":"b""#), "ca");
        assert_eq!(reason(r#","memory":"none""#), "memory");
        assert_eq!(reason(r#","wait":-1"#), "wait");
        assert_eq!(reason(r#","token":5"#), "token");
        assert_eq!(reason(r#","restore":5"#), "restore");
        assert_eq!(reason(r#","retention":5"#), "retention");
    }

    #[test]
    fn a_wrong_setting_of_retention_is_named_with_what_can_be_given_instead() {
        for (name, value, says) in [
            ("callsKept", "-1", "out of range"),
            ("callsKept", r#""none""#, r#"a whole number or "all""#),
            ("callsKept", "1.5", r#"a whole number or "all""#),
            ("callsKeptDays", "[]", r#"a whole number or "forever""#),
            (
                "callsKeptDays",
                r#""all""#,
                r#"a whole number or "forever""#,
            ),
            ("eventsKept", r#""all""#, "a whole number"),
            ("eventsUnacknowledgedKept", "-5", "out of range"),
        ] {
            let error = kept(&format!(r#"{{"{name}":{value}}}"#)).unwrap_err();
            assert_eq!(error.reason, format!("retention.{name}"));
            assert!(error.message.contains(says), "{name}: {}", error.message);
        }
    }
}
