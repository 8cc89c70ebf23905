//! Answers that come bit by bit, and a copy of the file.

use std::fmt::Write as _;
use std::path::Path;

use serde::Serialize;
use serde_json::json;

use super::super::failure::Failure;
use super::super::signals::Signals;
use super::How;
use super::output::{note, note_damage, print, print_on, reader_is_gone, shown};
use crate::inspect::{Database, Export, FOLLOW_EVERY, Follow, Problem, TIMELINE_MAX, text};

/// Prints every call, a line each.
pub(super) fn export(database: &mut Database) -> Result<(), Failure> {
    let mut export = Export::default();
    let mut damage = None;
    loop {
        let stories = export.next(database).map_err(Failure::new)?;
        if stories.is_empty() {
            break;
        }
        let mut lines = String::new();
        for story in stories {
            add_line(&mut lines, &story)?;
            if story.cut {
                note(format_args!(
                    "a timeline has its last {TIMELINE_MAX} entries only"
                ));
            }
            damage = damage.or(story.damage);
        }
        if !print_on(&lines)? {
            break;
        }
    }
    let damage = damage.or(export.damage());
    note_damage(database.damage().or(damage.as_deref()));
    Ok(())
}

/// Copies the file.
pub(super) fn copy(database: &mut Database, to: &Path, how: How) -> Result<(), Failure> {
    let bytes = database.copy(to).map_err(Failure::new)?;
    let document = json!({"copy": to.to_string_lossy(), "bytes": bytes});
    print(&shown(how, &document, |_| {
        format!("copied to {}, {bytes} bytes\n", to.display())
    })?)
}

/// Prints what happens until somebody stops it or nobody reads it.
pub(super) fn watch(mut database: Database, file: &Path, how: How) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(format_args!("cannot wait for signals: {error}")))?;
    let mut signals = runtime
        .block_on(async { Signals::new() })
        .map_err(|error| Failure::new(format_args!("cannot listen for signals: {error}")))?;
    let mut follow = Follow::from_now(&mut database).map_err(Failure::new)?;
    note_damage(database.damage());
    note(format_args!("watching {}; Ctrl-C ends", file.display()));
    while !reader_is_gone() {
        let entries = match follow.next(&mut database) {
            Ok(entries) => entries,
            // An app that opens or closes it just now.
            Err(error) if matches!(error.problem, Problem::Busy | Problem::Changing) => Vec::new(),
            Err(error) => return Err(Failure::new(error)),
        };
        let mut lines = String::new();
        for entry in &entries {
            if how.json {
                add_line(&mut lines, entry)?;
            } else {
                lines.push_str(&text::entry(entry, how.style));
            }
        }
        if !lines.is_empty() && !print_on(&lines)? {
            break;
        }
        let told = runtime.block_on(async {
            tokio::time::timeout(FOLLOW_EVERY, signals.any())
                .await
                .is_ok()
        });
        if told {
            break;
        }
    }
    Ok(())
}

fn add_line(lines: &mut String, document: &impl Serialize) -> Result<(), Failure> {
    let line = serde_json::to_string(document)
        .map_err(|error| Failure::new(format_args!("cannot write the answer as JSON: {error}")))?;
    writeln!(lines, "{line}").map_err(Failure::new)
}
