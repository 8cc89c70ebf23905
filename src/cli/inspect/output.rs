//! How answers reach whoever asked.

use std::io::{self, IsTerminal, Write};

use serde::Serialize;

use super::super::failure::Failure;
use super::How;
use crate::inspect::Style;

/// A remark about the answer; a reader that has gone away misses nothing.
pub(super) fn note(text: std::fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr().lock(), "offhook: note: {text}");
}

/// Says that rows are missing from the answer.
pub(super) fn note_damage(damage: Option<&str>) {
    if let Some(damage) = damage {
        note(format_args!(
            "the file is damaged ({damage}); what could be read is shown, `doctor` says more"
        ));
    }
}

pub(super) fn shown(
    how: How,
    document: &impl Serialize,
    text: impl FnOnce(Style) -> String,
) -> Result<String, Failure> {
    if !how.json {
        return Ok(text(how.style));
    }
    let written = if io::stdout().is_terminal() {
        serde_json::to_string_pretty(document)
    } else {
        serde_json::to_string(document)
    };
    written
        .map(|text| text + "\n")
        .map_err(|error| Failure::new(format_args!("cannot write the answer as JSON: {error}")))
}

/// A reader that stops reading, such as `head`, has what it wanted.
pub(super) fn print(answer: &str) -> Result<(), Failure> {
    print_on(answer).map(drop)
}

/// The same where more is to come; whether anybody still reads.
pub(super) fn print_on(answer: &str) -> Result<bool, Failure> {
    let mut stdout = io::stdout().lock();
    let written = stdout
        .write_all(answer.as_bytes())
        .and_then(|()| stdout.flush());
    match written {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Failure::new(format_args!(
            "cannot write the answer to stdout: {error}"
        ))),
    }
}

/// Whether whoever read stdout has gone away. Who only writes when there is something to tell would
/// not notice before that.
#[cfg(unix)]
pub(super) fn reader_is_gone() -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let stdout = io::stdout();
    let mut asked = [PollFd::new(&stdout, PollFlags::empty())];
    let at_once = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    let gone = PollFlags::ERR | PollFlags::HUP;
    poll(&mut asked, Some(&at_once)).is_ok()
        && asked.iter().any(|asked| asked.revents().intersects(gone))
}

#[cfg(not(unix))]
pub(super) fn reader_is_gone() -> bool {
    false
}

/// Colour and width follow the terminal; what reads from a pipe gets whole lines.
pub(super) fn style() -> Style {
    let stdout = io::stdout();
    if !stdout.is_terminal() {
        return Style::default();
    }
    let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    Style {
        width: Some(terminal_width().unwrap_or(WIDTH_DEFAULT)),
        colour: !no_colour,
    }
}

/// The width of a terminal that does not say how wide it is.
const WIDTH_DEFAULT: usize = 80;

#[cfg(unix)]
fn terminal_width() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
    match usize::from(size.ws_col) {
        0 => None,
        width => Some(width),
    }
}

#[cfg(not(unix))]
fn terminal_width() -> Option<usize> {
    None
}
