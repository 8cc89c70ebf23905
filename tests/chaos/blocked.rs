//! A network that lets no UDP through.

use serde_json::{Value, json};

use crate::process::{Device, Server};
use crate::proxy::Weather;
use crate::random::Random;

const CONNECTING: i64 = 1;
const CONNECTED: i64 = 2;
const ACTIVE_LOGIN: i64 = 1;
const LOGIN_TIMEOUT: i64 = 2;

fn state_and_event(change: &Value) -> (i64, i64) {
    let number = |field: &str| change[field].as_i64().expect("a number");
    (number("state"), number("event"))
}

/// Takes as long as three handshakes are given.
#[test]
fn where_udp_is_blocked_the_status_says_so_and_it_connects_by_itself_when_it_is_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::new(folder.path(), &[]);
    let mut alice = Device::new("alice", "alice", folder.path(), &server, Random::new(1));
    alice.proxy.set_both(Weather::CUT);
    alice.starts();
    let mut last = Value::Null;
    crate::process::until(&|| "that UDP seems blocked".to_owned(), || {
        last = alice.asks("status", json!({}))["connection"].clone();
        last["error"]
            .as_str()
            .is_some_and(|error| error.contains("UDP seems to be blocked"))
    });
    assert_eq!(
        state_and_event(&last),
        (CONNECTING, LOGIN_TIMEOUT),
        "{last}"
    );
    // What is asked meanwhile waits, and says what for.
    let (op, _) = alice.gives("callInvite", json!({"invitees": ["bob"]}));
    let waits = alice.asks("pending", json!({}));
    assert_eq!(waits[0]["op"], op, "{waits}");
    // Never an error of the token, and no logout.
    let told: Vec<_> = alice.connection.iter().map(state_and_event).collect();
    let expected = [(CONNECTING, ACTIVE_LOGIN), (CONNECTING, LOGIN_TIMEOUT)];
    assert_eq!(told, expected);

    alice.proxy.set_both(Weather::default());
    alice.hears("the verdict", |alice| alice.settled.contains_key(&op));
    assert!(alice.settled[&op].get("error").is_none());
    let change = alice.connection.last().expect("a change");
    assert_eq!(state_and_event(change), (CONNECTED, 0));
    let status = alice.asks("status", json!({}));
    assert_eq!(status["connection"]["error"], Value::Null);
}
