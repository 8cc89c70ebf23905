//! The last act: what stays of the calls, and how to look at it.

use std::path::Path;

use chrono::{DateTime, SecondsFormat};

use super::cast::Device;
use super::stage::Stage;
use super::story::Calls;
use super::tell::{Line, Teller};
use crate::call::{CallId, Mode, UserId, UserState};
use crate::cli::failure::Failure;
use crate::client::store::CallEntry;

/// As many as the demo made.
const PAGE_CALLS: usize = 4;

/// Tells a page of Bob's history, and the lines to type.
pub async fn tell(stage: &mut Stage<'_>, calls: &Calls) -> Result<(), Failure> {
    stage
        .tell
        .begin_act("What Bob's phone remembers, newest first")?;
    // The last event was told when it was on disk, and the page is read from there.
    let page = stage.bob.engine.query_call_invitation_list(PAGE_CALLS, 0);
    let page = stage.bob.given("a page of its history", page)?;
    if page.next_flag != 0 || !page.pending.is_empty() {
        return Err(stage.bob.came(
            &format!("to have {PAGE_CALLS} calls and nothing pending"),
            "has more",
        ));
    }
    let expected = [
        (
            &calls.conference,
            Mode::Advanced,
            UserState::Accepted,
            false,
        ),
        (&calls.missed, Mode::General, UserState::Timeout, true),
        (&calls.declined, Mode::General, UserState::Rejected, false),
        (&calls.accepted, Mode::General, UserState::Accepted, false),
    ];
    if page.calls.len() != expected.len() {
        return Err(stage.bob.came(
            &format!("to have {} calls in its history", expected.len()),
            &format!("has {}", page.calls.len()),
        ));
    }
    stage.tell.line(
        Line::new(stage.bob.role, format!("has a page of {PAGE_CALLS} calls"))
            .api("queryCallInvitationList"),
    )?;
    stage.tell.indented(&row([
        "created (UTC)",
        "mode",
        "state",
        "bob was",
        "with",
        "call",
    ]))?;
    for (entry, (id, mode, state, missed)) in page.calls.iter().zip(expected) {
        check(&stage.bob, entry, id, mode, state, missed)?;
        tell_row(stage.tell, &stage.bob, entry, state)?;
    }
    look_for_yourself(stage.tell, stage.bob.database(), &calls.conference)
}

fn check(
    device: &Device,
    entry: &CallEntry,
    id: &CallId,
    mode: Mode,
    state: UserState,
    missed: bool,
) -> Result<(), Failure> {
    let call = &entry.call;
    let member = call.member(&UserId::trusted(device.role.user));
    let is_so = &call.id == id
        && call.mode == mode
        && !call.is_started()
        && entry.missed == missed
        && member.is_some_and(|member| member.state == state);
    if is_so {
        return Ok(());
    }
    Err(device.came(
        &format!("to remember call {id} as {mode}, ended, {state}, missed: {missed}"),
        &format!(
            "remembers call {} as {}, {}, {:?}, missed: {}",
            call.id,
            call.mode,
            call.state,
            member.map(|member| member.state),
            entry.missed
        ),
    ))
}

fn tell_row(
    tell: &mut Teller,
    device: &Device,
    entry: &CallEntry,
    state: UserState,
) -> Result<(), Failure> {
    let call = &entry.call;
    let others: Vec<&str> = call
        .members
        .iter()
        .map(|member| member.user.as_str())
        .filter(|user| *user != device.role.user)
        .collect();
    let with = others.join(", ");
    let was = if entry.missed {
        format!("{state}, missed")
    } else {
        state.word().to_owned()
    };
    let text = row([
        &time(call.create_time),
        call.mode.word(),
        call.state.word(),
        &was,
        &with,
        call.id.as_str(),
    ]);
    let line = Line::new(device.role, format!("remembers a call with {with}"))
        .call(&call.id)
        .with("create_time_ms", call.create_time)
        .with("end_time_ms", call.end_time())
        .with("mode", call.mode.word())
        .with("state", call.state.word())
        .with("my_state", state.word())
        .with("missed", entry.missed)
        .with("with", others);
    tell.row(&text, line)
}

fn row([created, mode, state, was, with, call]: [&str; 6]) -> String {
    format!("{created:<13}  {mode:<8}  {state:<5}  {was:<15}  {with:<12}  {call}")
}

fn time(ms: i64) -> String {
    // A time that no calendar has is shown as it is.
    DateTime::from_timestamp_millis(ms).map_or_else(
        || ms.to_string(),
        |at| {
            let text = at.to_rfc3339_opts(SecondsFormat::Millis, true);
            let time = text.split_once('T').map_or(text.as_str(), |(_, time)| time);
            time.trim_end_matches('Z').to_owned()
        },
    )
}

fn look_for_yourself(tell: &mut Teller, database: &Path, call: &CallId) -> Result<(), Failure> {
    let program = std::env::args_os().next();
    let program = program.map_or_else(|| "offhook".into(), |name| quoted(&name.to_string_lossy()));
    let file = quoted(&database.display().to_string());
    let title = tell.bold("Look into it yourself");
    tell.text(&format!(
        "\n{title}\n  {program} inspect {file} calls\n  {program} inspect {file} call {}\n",
        quoted(call.as_str())
    ))
}

/// As a shell takes it for one word.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "/._-+:@%=,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_with_blanks_or_quotes_stays_one_word() {
        assert_eq!(quoted("/tmp/a-1.db"), "/tmp/a-1.db");
        assert_eq!(quoted("my calls"), "'my calls'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted(""), "''");
    }

    #[test]
    fn a_time_is_shown_without_its_day() {
        assert_eq!(time(1_767_225_600_123), "00:00:00.123");
        assert_eq!(time(i64::MAX), i64::MAX.to_string());
    }
}
