//! The envelope: JSON-RPC 2.0 messages, without what is in them.

use serde_json::{Value, json};

use super::LINE_BYTES_MAX;
use super::params::Params;
use crate::client::json;
use crate::error::Error;

const PARSE_ERROR: i32 = -32700;
const INVALID_REQUEST: i32 = -32600;
const METHOD_NOT_FOUND: i32 = -32601;

/// The id of a request: a string, a number or null, given back as it came.
pub type Id = Value;

/// A request, or a notification if it has no id.
#[derive(Debug)]
pub struct Request {
    /// Whom to answer; absent: nobody.
    pub id: Option<Id>,
    /// What is asked.
    pub method: String,
    /// With what; the refusal, if it is by position.
    pub params: Result<Params, Error>,
}

/// Reads a line.
///
/// # Errors
/// The reply to a line that is not a request.
pub fn parse(line: &[u8]) -> Result<Request, String> {
    let value: Value = serde_json::from_slice(line).map_err(|error| {
        let message =
            format!("the line is not JSON ({error}); send one JSON-RPC 2.0 request a line");
        failure(&Value::Null, PARSE_ERROR, &message)
    })?;
    let invalid = |id: &Id, message: &str| failure(id, INVALID_REQUEST, message);
    let mut fields = match value {
        Value::Object(fields) => fields,
        Value::Array(_) => {
            let message = "batches are not taken; send one request a line";
            return Err(invalid(&Value::Null, message));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            let message = "a request is an object with jsonrpc, id, method and params";
            return Err(invalid(&Value::Null, message));
        }
    };
    let id = fields.remove("id");
    if matches!(
        &id,
        Some(Value::Bool(_) | Value::Array(_) | Value::Object(_))
    ) {
        let message = "id is neither a string, a number nor null";
        return Err(invalid(&Value::Null, message));
    }
    let told = id.clone().unwrap_or_default();
    if fields.get("jsonrpc").and_then(Value::as_str) != Some("2.0") {
        return Err(invalid(&told, "jsonrpc is not \"2.0\""));
    }
    let Some(Value::String(method)) = fields.remove("method") else {
        return Err(invalid(&told, "method is missing or not a string"));
    };
    let params = match fields.remove("params") {
        None | Some(Value::Null) => Ok(Params::default()),
        Some(Value::Object(fields)) => Ok(Params::new(fields)),
        Some(Value::Array(list)) if list.is_empty() => Ok(Params::default()),
        Some(Value::Array(_)) => Err(Error::parameter(
            "params",
            "is a list; parameters are taken by name: give an object",
        )),
        Some(Value::Bool(_) | Value::Number(_) | Value::String(_)) => {
            return Err(invalid(&told, "params is not an object"));
        }
    };
    Ok(Request { id, method, params })
}

/// The reply to a line that is too long.
pub fn too_long() -> String {
    let message = format!("the line is longer than {LINE_BYTES_MAX} bytes and was skipped");
    failure(&Value::Null, INVALID_REQUEST, &message)
}

/// The reply to a method that there is not.
pub fn unknown_method(id: &Id, method: &str) -> String {
    /// As much of the name as is told: the rest helps nobody.
    const TOLD_CHARS_MAX: usize = 64;
    let name: String = method.chars().take(TOLD_CHARS_MAX).collect();
    let message = format!("there is no method {name:?}; `offhook rpc --help` names all");
    failure(id, METHOD_NOT_FOUND, &message)
}

/// The reply with a result or a refusal.
pub fn reply(id: &Id, result: Result<Value, Error>) -> String {
    match result {
        Ok(result) => json!({ "jsonrpc": "2.0", "id": id, "result": result }),
        Err(error) => json!({ "jsonrpc": "2.0", "id": id, "error": json::error(&error) }),
    }
    .to_string()
}

/// An event; `position` absent for what is not journaled.
pub fn notification(name: &str, mut params: Value, position: Option<u64>) -> String {
    if let (Some(fields), Some(position)) = (params.as_object_mut(), position) {
        fields.insert("position".into(), position.into());
    }
    json!({ "jsonrpc": "2.0", "method": name, "params": params }).to_string()
}

fn failure(id: &Id, code: i32, message: &str) -> String {
    let error = json!({ "code": code, "message": message });
    json!({ "jsonrpc": "2.0", "id": id, "error": error }).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(line: &str) -> (i64, Value) {
        let reply: Value = serde_json::from_str(&parse(line.as_bytes()).unwrap_err()).unwrap();
        (
            reply["error"]["code"].as_i64().unwrap(),
            reply["id"].clone(),
        )
    }

    #[test]
    fn what_is_not_json_is_a_parse_error() {
        for line in ["", " ", "{", "nonsense", "{\"a\":1}}", "\u{fffd}"] {
            assert_eq!(refused(line), (-32700, Value::Null), "{line}");
        }
        assert!(parse(b"\xff\xfe").is_err());
        assert_eq!(refused(&"[".repeat(10_000)), (-32700, Value::Null));
    }

    #[test]
    fn what_is_json_and_no_request_is_an_invalid_request() {
        for (line, id) in [
            ("1", Value::Null),
            ("[]", Value::Null),
            (
                r#"[{"jsonrpc":"2.0","id":1,"method":"status"}]"#,
                Value::Null,
            ),
            (
                r#"{"jsonrpc":"2.0","id":{},"method":"status"}"#,
                Value::Null,
            ),
            (r#"{"id":1,"method":"status"}"#, json!(1)),
            (
                r#"{"jsonrpc":"1.0","id":"a","method":"status"}"#,
                json!("a"),
            ),
            (r#"{"jsonrpc":"2.0","id":2.5}"#, json!(2.5)),
            (r#"{"jsonrpc":"2.0","id":3,"method":7}"#, json!(3)),
            (
                r#"{"jsonrpc":"2.0","id":4,"method":"status","params":5}"#,
                json!(4),
            ),
        ] {
            assert_eq!(refused(line), (-32600, id), "{line}");
        }
    }

    #[test]
    fn a_request_without_an_id_is_a_notification_and_one_with_null_is_not() {
        let id = |line: &str| parse(line.as_bytes()).unwrap().id;
        assert_eq!(id(r#"{"jsonrpc":"2.0","method":"a"}"#), None);
        assert_eq!(
            id(r#"{"jsonrpc":"2.0","method":"a","id":null}"#),
            Some(Value::Null)
        );
        assert_eq!(
            id(r#"{"jsonrpc":"2.0","method":"a","id":"x"}"#),
            Some(json!("x"))
        );
    }
}
