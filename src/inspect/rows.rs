//! Rows as they become parts of the documents.
//!
//! A file may be older or newer than this build: a column that it does not have reads as absent,
//! and what has another type than expected is converted as far as that makes sense.

use rusqlite::types::ValueRef;
use rusqlite::{Row, RowIndex};
use serde_json::Value;

use super::model::{Call, CallDetails, Command, Entry, Member, PendingCommand, Ring};

pub(super) const CALL_COLUMNS: &[&str] = &[
    "sort_key",
    "call_id",
    "epoch",
    "revision",
    "mode",
    "caller",
    "create_time_ms",
    "timeout_s",
    "extended_data",
    "not_received_check",
    "state",
    "end_kind",
    "end_time_ms",
    "end_revision",
    "ended_by",
    "end_device",
    "end_data",
    "my_state",
    "my_primary_device",
    "my_primary_op",
    "my_primary_revision",
    "my_closings",
    "missed",
    "seen",
    "seen_here",
];

pub(super) const MEMBER_COLUMNS: &[&str] = &[
    "sort_key",
    "user_id",
    "inviter",
    "invitation",
    "invited_at_ms",
    "timeout_s",
    "deadline_ms",
    "invite_data",
    "state",
    "state_revision",
    "state_time_ms",
    "extended_data",
    "changed_by",
    "acting_device",
    "accept_time_ms",
    "join_time_ms",
    "quit_time_ms",
    "participation",
];

pub(super) const RING_COLUMNS: &[&str] = &[
    "invitation",
    "opened_at_ms",
    "deadline_ms",
    "closed_at_ms",
    "closed_how",
];

pub(super) const COMMAND_COLUMNS: &[&str] = &[
    "op",
    "call_id",
    "command",
    "arguments",
    "queued_at_ms",
    "expires_at_ms",
    "number",
    "attempts",
    "last_error",
    "verdict",
    "code",
    "result",
    "settled_at_ms",
];

pub(super) const ENTRY_COLUMNS: &[&str] = &[
    "at_ms",
    "learned_ms",
    "source",
    "what",
    "who",
    "call_id",
    "device",
    "detail",
];

/// A row whose columns are read by name, whatever type they have.
pub(super) struct Fields<'a>(pub(super) &'a Row<'a>);

impl Fields<'_> {
    fn optional_text(&self, column: impl RowIndex) -> Option<String> {
        match self.0.get_ref(column) {
            Err(_) | Ok(ValueRef::Null) => None,
            Ok(ValueRef::Integer(number)) => Some(number.to_string()),
            Ok(ValueRef::Real(number)) => Some(number.to_string()),
            Ok(ValueRef::Text(bytes) | ValueRef::Blob(bytes)) => {
                Some(String::from_utf8_lossy(bytes).into_owned())
            }
        }
    }

    pub(super) fn text(&self, name: &str) -> String {
        self.optional_text(name).unwrap_or_default()
    }

    /// The same of a column that has no name.
    pub(super) fn text_at(&self, column: usize) -> String {
        self.optional_text(column).unwrap_or_default()
    }

    pub(super) fn number(&self, name: &str) -> i64 {
        match self.0.get_ref(name) {
            Ok(ValueRef::Integer(number)) => number,
            _ => self
                .optional_text(name)
                .and_then(|text| text.parse().ok())
                .unwrap_or_default(),
        }
    }

    /// The number in a column that has no name; 0 if there is none.
    pub(super) fn number_at(&self, column: usize) -> i64 {
        match self.0.get_ref(column) {
            Ok(ValueRef::Integer(number)) => number,
            _ => 0,
        }
    }

    /// Whether such a column is a yes.
    pub(super) fn flag_at(&self, column: usize) -> bool {
        self.number_at(column) != 0
    }

    fn flag(&self, name: &str) -> bool {
        self.number(name) != 0
    }

    /// What the column holds as JSON; as a JSON text where it is none.
    pub(super) fn json(&self, name: &str) -> Value {
        self.optional_text(name).map_or(Value::Null, |text| {
            serde_json::from_str(&text).unwrap_or(Value::String(text))
        })
    }

    /// The same, but only objects and lists are taken for JSON, so that text stays text.
    fn json_or_text(&self, name: &str) -> Value {
        let value = self.json(name);
        if value.is_object() || value.is_array() {
            value
        } else {
            Value::String(self.text(name))
        }
    }
}

pub(super) fn call(row: &Fields<'_>) -> Call {
    Call {
        call_id: row.text("call_id"),
        caller: row.text("caller"),
        inviter: String::new(),
        mode: row.text("mode"),
        state: row.text("state"),
        my_state: row.text("my_state"),
        missed: row.flag("missed"),
        seen: row.flag("seen") || row.flag("seen_here"),
        create_time_ms: row.number("create_time_ms"),
        end_time_ms: row.number("end_time_ms"),
        extended_data: row.text("extended_data"),
        details: None,
        members: Vec::new(),
    }
}

pub(super) fn details(row: &Fields<'_>) -> CallDetails {
    CallDetails {
        sort_key: row.number("sort_key"),
        epoch: row.number("epoch").cast_unsigned(),
        revision: row.number("revision"),
        timeout_s: row.number("timeout_s"),
        not_received_check: row.flag("not_received_check"),
        end_kind: row.optional_text("end_kind"),
        end_revision: row.number("end_revision"),
        ended_by: row.optional_text("ended_by"),
        end_device: row.optional_text("end_device"),
        end_data: row.text("end_data"),
        my_primary_device: row.optional_text("my_primary_device"),
        my_primary_op: row.optional_text("my_primary_op"),
        my_primary_revision: row.number("my_primary_revision"),
        my_closings: row.json("my_closings"),
        seen_here: row.flag("seen_here"),
        rings: Vec::new(),
    }
}

pub(super) fn member(row: &Fields<'_>) -> Member {
    Member {
        user_id: row.text("user_id"),
        state: row.text("state"),
        extended_data: row.text("extended_data"),
        inviter: row.optional_text("inviter"),
        invitation: row.number("invitation"),
        invited_at_ms: row.number("invited_at_ms"),
        timeout_s: row.number("timeout_s"),
        deadline_ms: row.number("deadline_ms"),
        invite_data: row.text("invite_data"),
        state_revision: row.number("state_revision"),
        state_time_ms: row.number("state_time_ms"),
        changed_by: row.optional_text("changed_by"),
        acting_device: row.optional_text("acting_device"),
        accept_time_ms: row.number("accept_time_ms"),
        join_time_ms: row.number("join_time_ms"),
        quit_time_ms: row.number("quit_time_ms"),
        participation: row.number("participation"),
    }
}

pub(super) fn ring(row: &Fields<'_>) -> Ring {
    Ring {
        invitation: row.number("invitation"),
        opened_at_ms: row.number("opened_at_ms"),
        deadline_ms: row.number("deadline_ms"),
        closed_at_ms: row.number("closed_at_ms"),
        closed_how: row.optional_text("closed_how"),
    }
}

pub(super) fn command(row: &Fields<'_>) -> Command {
    Command {
        op: row.text("op"),
        command: row.text("command"),
        queued_at_ms: row.number("queued_at_ms"),
        expires_at_ms: row.number("expires_at_ms"),
        sent: row.optional_text("number").is_some(),
        attempts: row.number("attempts"),
        verdict: row.optional_text("verdict"),
        code: row.number("code"),
        settled_at_ms: row.number("settled_at_ms"),
        arguments: row.json("arguments"),
        result: row.json("result"),
        last_error: row.optional_text("last_error"),
    }
}

pub(super) fn pending_command(row: &Fields<'_>) -> PendingCommand {
    PendingCommand {
        op: row.text("op"),
        call_id: row.text("call_id"),
        command: row.text("command"),
        queued_at_ms: row.number("queued_at_ms"),
        expires_at_ms: row.number("expires_at_ms"),
        sent: row.optional_text("number").is_some(),
        attempts: row.number("attempts"),
        last_error: row.optional_text("last_error"),
    }
}

pub(super) fn entry(row: &Fields<'_>) -> Entry {
    Entry {
        at_ms: row.number("at_ms"),
        learned_ms: row.number("learned_ms"),
        source: row.text("source"),
        what: row.text("what"),
        who: row.text("who"),
        call_id: row.text("call_id"),
        device: row.text("device"),
        detail: row.json_or_text("detail"),
    }
}
