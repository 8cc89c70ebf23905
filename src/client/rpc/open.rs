//! What an engine is opened with, as a program in another language says it.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use super::params::Params;
use crate::client::config::{Config, Memory};
use crate::client::link::check_address;
use crate::client::roots::Roots;
use crate::error::Error;

/// Bytes of a SHA-256 digest.
const PIN_BYTES: usize = 32;

/// Reads the JSON object that opens an engine:
/// `{server, user, database, token, serverName, ca | caText | pin, wait, memory, build}`. `ca` is the path
/// of a PEM file and `caText` its text, `pin` the SHA-256 of the server's certificate as 64 hexadecimal
/// digits; without any of them the public authorities are trusted. `wait` is in seconds, `memory`
/// `"normal"` or `"low"`. The first three have no default.
///
/// # Errors
/// [`crate::Code::InvalidParameter`], with the field as the reason.
pub fn config(text: &str) -> Result<Config, Error> {
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
    config.memory = match params.text("memory")?.as_deref() {
        None | Some("normal") => Memory::Normal,
        Some("low") => Memory::Low,
        Some(other) => {
            let message = format!("{other:?} is neither \"normal\" nor \"low\"");
            return Err(Error::parameter("memory", message));
        }
    };
    if let Some(build) = params.text("build")? {
        config.build = build;
    }
    Ok(config)
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
        config(&format!("{LEAST}{rest}}}"))
    }

    #[test]
    fn three_fields_are_enough_and_the_rest_has_defaults() {
        let config = opened("").unwrap();
        assert_eq!(config.server, "localhost:1");
        assert_eq!(config.user, "alice");
        assert_eq!(config.database, PathBuf::from("a.db"));
        assert!(matches!(config.roots, Roots::Webpki));
        assert_eq!(config.memory, Memory::Normal);
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
    fn what_is_wrong_is_named() {
        let reason = |rest: &str| opened(rest).unwrap_err().reason;
        assert_eq!(config("[]").unwrap_err().reason, "config");
        assert_eq!(config("{}").unwrap_err().reason, "server");
        assert_eq!(reason(r#","pin":"+a""#), "pin");
        assert_eq!(reason(&format!(r#","pin":"{}""#, "+a".repeat(32))), "pin");
        assert_eq!(reason(r#","ca":"a","caText":"b""#), "ca");
        assert_eq!(reason(r#","memory":"none""#), "memory");
        assert_eq!(reason(r#","wait":-1"#), "wait");
        assert_eq!(reason(r#","token":5"#), "token");
    }
}
