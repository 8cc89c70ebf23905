//! `offhook inspect`: looks at the local database of an app, as text or as JSON.

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::failure::Failure;
use super::{inspect_web, user_id};
use crate::inspect::{Database, Filter, SCHEMA_KNOWN, StateFilter, Style, TIMELINE_MAX, text};

/// Look at the local database of an app.
///
/// FILE is the one that the app keeps for its user. Nothing is ever written to it, so it may be in
/// use meanwhile, and it may be a copy from a bug report. Tables for people, or with --json one
/// document for programs; times are UTC, in JSON milliseconds since 1970.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    offhook inspect alice.db calls --missed\n  \
    offhook inspect alice.db call 0190f6e2a1b37c5d8e9f001122334455\n  \
    offhook inspect alice.db pending\n  \
    offhook inspect alice.db timeline --json | jq '.timeline[] | select(.source == \"app\")'")]
pub struct Args {
    /// The database.
    pub file: PathBuf,
    /// Print one JSON document instead of tables.
    #[arg(long, global = true)]
    pub json: bool,
    /// What to look at.
    #[command(subcommand)]
    pub question: Question,
}

/// What can be asked.
#[derive(Debug, clap::Subcommand)]
pub enum Question {
    Calls(CallsArgs),
    Call(CallArgs),
    /// List the commands that wait for the server's verdict, oldest first, and why they wait.
    Pending,
    Timeline(TimelineArgs),
    Web(inspect_web::Args),
}

/// List the calls that the user made, was invited to or joined, newest first.
///
/// A call that the server has not taken yet is not among them: see `pending`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    offhook inspect alice.db calls --count 50\n  \
    offhook inspect alice.db calls --state started\n  \
    offhook inspect alice.db calls --missed --with bob --since 1767225600000")]
pub struct CallsArgs {
    /// How many at most; more than 100 is read as 100.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    pub count: u32,
    /// Go on where a page ended: its next flag.
    #[arg(long, value_name = "F", default_value_t = 0, value_parser = clap::value_parser!(i64).range(0..))]
    pub next_flag: i64,
    /// Only calls in this state.
    #[arg(long, value_name = "STATE")]
    pub state: Option<State>,
    /// Only calls that the user missed, seen since or not.
    #[arg(long)]
    pub missed: bool,
    /// Only calls that this user is or was in.
    #[arg(long, value_name = "USER", value_parser = user_id)]
    pub with: Option<String>,
    /// Only calls created at this time or later, in ms since 1970.
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(i64).range(0..))]
    pub since: Option<i64>,
}

/// The states of a call that can be asked for.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub enum State {
    /// Calls that go on.
    Started,
    /// Calls that are over.
    Ended,
}

/// Tell all about one call: its record, members and deadlines, commands and verdicts, and what
/// happened in order.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example: offhook inspect alice.db call 0190f6e2a1b37c5d8e9f001122334455\n\n\
    In the timeline, `user` is what the app asked for, `server` what the server said, `device` what \
    this device decided by itself, and `app` what the app was told."
)]
pub struct CallArgs {
    /// The id of the call, as `calls` lists it.
    pub id: String,
}

/// List what happened in all calls, oldest first.
///
/// Too much for one look is cut, and stderr says so: without --since the newest entries are shown,
/// with it those that come first.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: offhook inspect alice.db timeline --since 1767225600000")]
pub struct TimelineArgs {
    /// Only what happened at this time or later, in ms since 1970.
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(i64).range(0..))]
    pub since: Option<i64>,
}

/// Prints the answer on stdout, and what limits it on stderr.
///
/// # Errors
/// The file cannot be read or is something else, the call is unknown, or stdout takes nothing.
pub fn run(args: Args) -> Result<(), Failure> {
    let Args {
        file,
        json,
        question,
    } = args;
    if let Question::Web(args) = &question {
        return inspect_web::run(&file, args);
    }
    let mut database = Database::open(&file).map_err(Failure::new)?;
    if database.version() > SCHEMA_KNOWN {
        note(format_args!(
            "{} has a newer layout, version {}; what this build (version {SCHEMA_KNOWN}) does not know of it is left out",
            file.display(),
            database.version()
        ));
    }
    let answer = answer(&mut database, &file, question, json)?;
    print(&answer)
}

fn answer(
    database: &mut Database,
    file: &Path,
    question: Question,
    json: bool,
) -> Result<String, Failure> {
    let style = if json { Style::default() } else { style() };
    match question {
        Question::Calls(args) => {
            let page = database.calls(&filter(args)).map_err(Failure::new)?;
            shown(json, &page, || text::calls(&page, style))
        }
        Question::Call(args) => {
            let story = database.story(&args.id).map_err(Failure::new)?;
            if story.cut {
                note(format_args!(
                    "only the last {TIMELINE_MAX} entries of the call's timeline are shown"
                ));
            }
            shown(json, &story, || text::story(&story, style))
        }
        Question::Pending => {
            let pending = database.pending().map_err(Failure::new)?;
            shown(json, &pending, || text::pending(&pending, style))
        }
        Question::Timeline(args) => {
            let timeline = database.timeline(args.since).map_err(Failure::new)?;
            if timeline.cut {
                note_cut(
                    file,
                    args.since,
                    timeline.timeline.last().map(|entry| entry.at_ms),
                );
            }
            shown(json, &timeline, || text::timeline(&timeline, style))
        }
        // Serves and answers nothing; see `run`.
        Question::Web(_) => Ok(String::new()),
    }
}

fn filter(args: CallsArgs) -> Filter {
    Filter {
        count: args.count,
        next_flag: args.next_flag,
        state: args.state.map(|state| match state {
            State::Started => StateFilter::Started,
            State::Ended => StateFilter::Ended,
        }),
        missed: args.missed,
        with: args.with,
        since_ms: args.since,
        search: None,
    }
}

fn note_cut(file: &Path, since: Option<i64>, last_ms: Option<i64>) {
    match (since, last_ms) {
        (Some(_), Some(last_ms)) => note(format_args!(
            "only the first {TIMELINE_MAX} entries are shown; go on with --since {last_ms}"
        )),
        (None, _) | (Some(_), None) => note(format_args!(
            "only the last {TIMELINE_MAX} entries of {} are shown; for older ones say from when on, with --since MS",
            file.display()
        )),
    }
}

/// A remark about the answer; a reader that has gone away misses nothing.
fn note(text: std::fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr().lock(), "offhook: note: {text}");
}

fn shown(
    json: bool,
    document: &impl Serialize,
    text: impl FnOnce() -> String,
) -> Result<String, Failure> {
    if !json {
        return Ok(text());
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
fn print(answer: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    let written = stdout
        .write_all(answer.as_bytes())
        .and_then(|()| stdout.flush());
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::new(format_args!(
            "cannot write the answer to stdout: {error}"
        ))),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Colour and width follow the terminal; what reads from a pipe gets whole lines.
fn style() -> Style {
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
