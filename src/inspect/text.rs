//! The documents as text for people. Times in UTC.

mod health;

use chrono::DateTime;

use super::model::{
    Call, CallDetails, CallPage, Command, Entry, Member, Pending, Ring, Story, Timeline,
};
use super::table::{Column, Style, fixed, flexible, pairs, table};

pub use health::{checkup, entry, stats};

/// Stands where there is no value.
const NONE: &str = "-";

/// The list of calls.
pub fn calls(page: &CallPage, style: Style) -> String {
    const COLUMNS: [Column; 8] = [
        fixed("CREATED"),
        fixed("CALL"),
        fixed("CALLER"),
        fixed("MODE"),
        fixed("STATE"),
        fixed("MINE"),
        fixed("MISSED"),
        flexible("MEMBERS"),
    ];
    if page.calls.is_empty() {
        return "no calls\n".to_owned();
    }
    let rows: Vec<_> = page.calls.iter().map(call_row).collect();
    let mut out = table(&COLUMNS, &rows, style);
    if page.next_flag != 0 {
        out.push_str(&format!("older ones: --next-flag {}\n", page.next_flag));
    }
    out
}

/// All that is known of one call.
pub fn story(story: &Story, style: Style) -> String {
    let mut out = match &story.call {
        None => "no record of the call itself: the server has not taken it yet, or it was cleared away\n"
            .to_owned(),
        Some(call) => {
            let mut out = pairs(&header(call));
            let rows: Vec<_> = call.members.iter().map(member_row).collect();
            section(&mut out, "Members", &MEMBER_COLUMNS, &rows, style);
            if let Some(details) = &call.details {
                let rows: Vec<_> = details.rings.iter().map(ring_row).collect();
                section(
                    &mut out,
                    "Rings on this device",
                    &RING_COLUMNS,
                    &rows,
                    style,
                );
            }
            out
        }
    };
    let rows: Vec<_> = story.commands.iter().map(command_row).collect();
    section(
        &mut out,
        "Commands of this device",
        &COMMAND_COLUMNS,
        &rows,
        style,
    );
    let rows: Vec<_> = story.timeline.iter().map(short_entry_row).collect();
    section(&mut out, "Timeline", &SHORT_ENTRY_COLUMNS, &rows, style);
    out
}

/// The commands without a verdict.
pub fn pending(pending: &Pending, style: Style) -> String {
    const COLUMNS: [Column; 8] = [
        fixed("QUEUED"),
        fixed("COMMAND"),
        fixed("CALL"),
        fixed("OP"),
        fixed("SENT"),
        fixed("ATTEMPTS"),
        fixed("EXPIRES"),
        flexible("LAST ERROR"),
    ];
    if pending.pending.is_empty() {
        return "nothing is pending\n".to_owned();
    }
    let rows: Vec<_> = pending
        .pending
        .iter()
        .map(|command| {
            [
                iso(command.queued_at_ms),
                command.command.clone(),
                command.call_id.clone(),
                command.op.clone(),
                yes_or_no(command.sent),
                command.attempts.to_string(),
                expiry(command.expires_at_ms),
                or_none(command.last_error.as_deref()),
            ]
        })
        .collect();
    table(&COLUMNS, &rows, style)
}

/// What happened.
pub fn timeline(timeline: &Timeline, style: Style) -> String {
    const COLUMNS: [Column; 7] = [
        fixed("AT"),
        fixed("SOURCE"),
        fixed("WHAT"),
        fixed("WHO"),
        fixed("CALL"),
        fixed("DEVICE"),
        flexible("DETAIL"),
    ];
    if timeline.timeline.is_empty() {
        return "nothing happened\n".to_owned();
    }
    let rows: Vec<_> = timeline
        .timeline
        .iter()
        .map(|entry| {
            [
                iso(entry.at_ms),
                entry.source.clone(),
                entry.what.clone(),
                or_none(Some(&entry.who)),
                or_none(Some(&entry.call_id)),
                or_none(Some(&entry.device)),
                detail(entry),
            ]
        })
        .collect();
    table(&COLUMNS, &rows, style)
}

fn section<const N: usize>(
    out: &mut String,
    title: &str,
    columns: &[Column; N],
    rows: &[[String; N]],
    style: Style,
) {
    out.push('\n');
    out.push_str(&style.heading(title));
    if rows.is_empty() {
        out.push_str(": none\n");
        return;
    }
    out.push('\n');
    out.push_str(&table(columns, rows, style));
}

fn call_row(call: &Call) -> [String; 8] {
    let members: Vec<String> = call
        .members
        .iter()
        .map(|member| format!("{} {}", member.user_id, member.state))
        .collect();
    [
        iso(call.create_time_ms),
        call.call_id.clone(),
        call.caller.clone(),
        call.mode.clone(),
        call.state.clone(),
        call.my_state.clone(),
        missed(call),
        members.join(", "),
    ]
}

fn header(call: &Call) -> Vec<(&'static str, String)> {
    let mut lines = vec![
        ("call", call.call_id.clone()),
        ("mode", call.mode.clone()),
        ("caller", call.caller.clone()),
        ("inviter", or_none(Some(&call.inviter))),
        ("created", iso(call.create_time_ms)),
        ("extended data", or_none(Some(&call.extended_data))),
        ("state", call.state.clone()),
    ];
    if let Some(details) = &call.details {
        lines.extend(ending(call, details));
        let device = or_none(details.my_primary_device.as_deref());
        let op = or_none(details.my_primary_op.as_deref());
        let check = yes_or_no(details.not_received_check);
        lines.extend([
            ("my state", call.my_state.clone()),
            ("missed", missed(call)),
            ("my primary device", device),
            ("made so by", op),
            ("timeout", format!("{} s", details.timeout_s)),
            ("not-received check", check),
            ("revision", details.revision.to_string()),
        ]);
    }
    lines
}

fn ending(call: &Call, details: &CallDetails) -> Vec<(&'static str, String)> {
    if call.end_time_ms == 0 && details.end_kind.is_none() {
        return Vec::new();
    }
    let by = details.ended_by.as_deref().unwrap_or("the server");
    vec![
        ("ended", iso(call.end_time_ms)),
        ("how", or_none(details.end_kind.as_deref())),
        ("ended by", by.to_owned()),
        ("end device", or_none(details.end_device.as_deref())),
        ("end data", or_none(Some(&details.end_data))),
    ]
}

const MEMBER_COLUMNS: [Column; 9] = [
    fixed("USER"),
    fixed("STATE"),
    fixed("SINCE"),
    fixed("BY"),
    fixed("DEVICE"),
    fixed("INVITER"),
    fixed("INVITATION"),
    fixed("DEADLINE"),
    flexible("EXTENDED DATA"),
];

fn member_row(member: &Member) -> [String; 9] {
    [
        member.user_id.clone(),
        member.state.clone(),
        iso(member.state_time_ms),
        or_none(member.changed_by.as_deref()),
        or_none(member.acting_device.as_deref()),
        or_none(member.inviter.as_deref()),
        number(member.invitation),
        iso(member.deadline_ms),
        or_none(Some(&member.extended_data)),
    ]
}

const RING_COLUMNS: [Column; 5] = [
    fixed("INVITATION"),
    fixed("OPENED"),
    fixed("DEADLINE"),
    fixed("CLOSED"),
    fixed("HOW"),
];

fn ring_row(ring: &Ring) -> [String; 5] {
    let closed = match ring.closed_at_ms {
        0 => "still rings".to_owned(),
        at_ms => iso(at_ms),
    };
    [
        match ring.invitation {
            0 => "dialling".to_owned(),
            number => number.to_string(),
        },
        iso(ring.opened_at_ms),
        iso(ring.deadline_ms),
        closed,
        or_none(ring.closed_how.as_deref()),
    ]
}

const COMMAND_COLUMNS: [Column; 10] = [
    fixed("QUEUED"),
    fixed("COMMAND"),
    fixed("OP"),
    fixed("SENT"),
    fixed("ATTEMPTS"),
    fixed("VERDICT"),
    fixed("SETTLED"),
    fixed("EXPIRES"),
    flexible("ARGUMENTS"),
    flexible("RESULT OR LAST ERROR"),
];

fn command_row(command: &Command) -> [String; 10] {
    let verdict = match (command.verdict.as_deref(), command.code) {
        (None, _) => "pending".to_owned(),
        (Some(verdict), 0) => verdict.to_owned(),
        (Some(verdict), code) => format!("{verdict} {code}"),
    };
    let outcome = if command.result.is_null() {
        or_none(command.last_error.as_deref())
    } else {
        command.result.to_string()
    };
    [
        iso(command.queued_at_ms),
        command.command.clone(),
        command.op.clone(),
        yes_or_no(command.sent),
        command.attempts.to_string(),
        verdict,
        iso(command.settled_at_ms),
        expiry(command.expires_at_ms),
        command.arguments.to_string(),
        outcome,
    ]
}

const SHORT_ENTRY_COLUMNS: [Column; 6] = [
    fixed("AT"),
    fixed("SOURCE"),
    fixed("WHAT"),
    fixed("WHO"),
    fixed("DEVICE"),
    flexible("DETAIL"),
];

fn short_entry_row(entry: &Entry) -> [String; 6] {
    [
        iso(entry.at_ms),
        entry.source.clone(),
        entry.what.clone(),
        or_none(Some(&entry.who)),
        or_none(Some(&entry.device)),
        detail(entry),
    ]
}

/// The detail of an entry, and how late this device learned of it where that was late.
fn detail(entry: &Entry) -> String {
    let mut parts = Vec::new();
    let said = match entry.detail.as_str() {
        Some(text) => text.to_owned(),
        None => entry.detail.to_string(),
    };
    if !said.is_empty() {
        parts.push(said);
    }
    let late_ms = entry.learned_ms.saturating_sub(entry.at_ms);
    if entry.learned_ms != 0 && late_ms >= LATE_MS {
        parts.push(format!("learned {} s later", late_ms / 1000));
    }
    parts.join(", ")
}

/// From here on it is told that a device learned of something late.
const LATE_MS: i64 = 1000;

fn missed(call: &Call) -> String {
    match (call.missed, call.seen) {
        (false, _) => NONE,
        (true, false) => "missed",
        (true, true) => "seen",
    }
    .to_owned()
}

fn iso(at_ms: i64) -> String {
    if at_ms == 0 {
        return NONE.to_owned();
    }
    match DateTime::from_timestamp_millis(at_ms) {
        Some(time) => time.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string(),
        // Not a time that any calendar has.
        None => format!("{at_ms} ms"),
    }
}

fn expiry(at_ms: i64) -> String {
    match at_ms {
        0 => "never".to_owned(),
        at_ms => iso(at_ms),
    }
}

fn number(number: i64) -> String {
    match number {
        0 => NONE.to_owned(),
        number => number.to_string(),
    }
}

fn yes_or_no(value: bool) -> String {
    if value { "yes" } else { "no" }.to_owned()
}

fn or_none(text: Option<&str>) -> String {
    match text {
        None | Some("") => NONE.to_owned(),
        Some(text) => text.to_owned(),
    }
}
