//! `offhook inspect`: looks at the local database of an app, as text or as JSON.

mod output;
mod stream;
mod web;

use std::path::{Path, PathBuf};

use super::failure::Failure;
use super::user_id;
use crate::inspect::{
    Checkup, Database, Filter, SCHEMA_KNOWN, StateFilter, Style, TIMELINE_MAX, text,
};
use output::{note, note_damage, print, shown, style};

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
    offhook inspect alice.db doctor\n  \
    offhook inspect alice.db watch\n  \
    offhook inspect alice.db web\n  \
    offhook inspect alice.db export --copy bug-report.db\n  \
    offhook inspect alice.db timeline --json | jq '.timeline[] | select(.source == \"app\")'")]
pub struct Args {
    /// The database.
    pub file: PathBuf,
    /// Print JSON instead of tables: one document, of export and watch one a line.
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
    /// Count what there is, and tell how far the file is with the server: sizes, cursor, when the
    /// server was last heard, its clock, how late changes are learned of, the last errors.
    Stats,
    Doctor(DoctorArgs),
    Export(ExportArgs),
    Watch(WatchArgs),
    Web(web::Args),
    /// Answer a question of the page that `web` serves, which runs this.
    #[command(hide = true)]
    Answer,
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

/// Look for all that can be wrong with the file, and say how bad it is and what to do.
///
/// Damage, a layout that is not what it should be, rows that contradict each other, commands and
/// rings that are stuck, a write-ahead log that grows. The exit code is 1 if there is any error;
/// warnings may be as they should.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: offhook inspect alice.db doctor --json | jq '.findings[].code'")]
pub struct DoctorArgs {}

/// Print all calls, a line of JSON each, as `call ID --json` tells it; or copy the whole file.
///
/// Oldest first; at the end those that only commands tell of. Each line is of one moment. A copy is
/// of one moment altogether, also while the app writes, and needs no other file beside it. It has
/// in it what the calls were about: look at it before it goes to anybody. It is for looking at: an
/// app that opened it would be the same device once more. To have a copy to go on with, the app makes
/// it (`Engine::backup`).
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    offhook inspect alice.db export > calls.jsonl\n  \
    offhook inspect alice.db export --copy bug-report.db")]
pub struct ExportArgs {
    /// Copy the database into this new file instead. One that is there already is refused.
    #[arg(long, value_name = "FILE")]
    pub copy: Option<PathBuf>,
}

/// Print what happens as it happens, until it is stopped (Ctrl-C).
///
/// An entry of the timeline a line. What this device learns of late comes late, with the time at
/// which it came about.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example: offhook inspect alice.db watch --json | jq -c 'select(.source == \"app\")'"
)]
pub struct WatchArgs {}

/// Prints the answer on stdout, and what limits it on stderr.
///
/// # Errors
/// The file cannot be read or is something else, the call is unknown, something is wrong with the
/// file that is examined, or stdout takes nothing.
pub fn run(args: Args) -> Result<(), Failure> {
    let Args {
        file,
        json,
        question,
    } = args;
    let style = if json { Style::default() } else { style() };
    let how = How { json, style };
    match question {
        Question::Calls(args) => calls(&mut open(&file)?, args, how),
        Question::Call(args) => call(&mut open(&file)?, &args.id, how),
        Question::Pending => pending(&mut open(&file)?, how),
        Question::Timeline(args) => timeline(&mut open(&file)?, &file, args.since, how),
        Question::Stats => stats(&mut open(&file)?, how),
        Question::Doctor(DoctorArgs {}) => doctor(&file, how),
        Question::Export(ExportArgs { copy: None }) => stream::export(&mut open(&file)?),
        Question::Export(ExportArgs { copy: Some(to) }) => {
            stream::copy(&mut open(&file)?, &to, how)
        }
        Question::Watch(WatchArgs {}) => stream::watch(open(&file)?, &file, how),
        // It opens the file for each look.
        Question::Web(args) => web::run(&file, &args),
        Question::Answer => web::answer(&file),
    }
}

/// How an answer is to look.
#[derive(Clone, Copy)]
struct How {
    json: bool,
    style: Style,
}

fn open(file: &Path) -> Result<Database, Failure> {
    let database = Database::open(file).map_err(Failure::new)?;
    if database.version() > SCHEMA_KNOWN {
        note(format_args!(
            "{} has a newer layout, version {}; what this build (version {SCHEMA_KNOWN}) does not know of it is left out",
            file.display(),
            database.version()
        ));
    }
    Ok(database)
}

fn calls(database: &mut Database, args: CallsArgs, how: How) -> Result<(), Failure> {
    let page = database.calls(&filter(args)).map_err(Failure::new)?;
    note_damage(database.damage().or(page.damage.as_deref()));
    print(&shown(how, &page, |style| text::calls(&page, style))?)
}

fn call(database: &mut Database, id: &str, how: How) -> Result<(), Failure> {
    let story = database.story(id).map_err(Failure::new)?;
    note_damage(database.damage().or(story.damage.as_deref()));
    if story.cut {
        note(format_args!(
            "only the last {TIMELINE_MAX} entries of the call's timeline are shown"
        ));
    }
    print(&shown(how, &story, |style| text::story(&story, style))?)
}

fn pending(database: &mut Database, how: How) -> Result<(), Failure> {
    let pending = database.pending().map_err(Failure::new)?;
    note_damage(database.damage().or(pending.damage.as_deref()));
    print(&shown(how, &pending, |style| {
        text::pending(&pending, style)
    })?)
}

fn timeline(
    database: &mut Database,
    file: &Path,
    since: Option<i64>,
    how: How,
) -> Result<(), Failure> {
    let timeline = database.timeline(since).map_err(Failure::new)?;
    note_damage(database.damage().or(timeline.damage.as_deref()));
    if timeline.cut {
        let last_ms = timeline.timeline.last().map(|entry| entry.at_ms);
        note_cut(file, since, last_ms);
    }
    print(&shown(how, &timeline, |style| {
        text::timeline(&timeline, style)
    })?)
}

fn stats(database: &mut Database, how: How) -> Result<(), Failure> {
    let stats = database.stats().map_err(Failure::new)?;
    note_damage(database.damage().or(stats.damage.as_deref()));
    print(&shown(how, &stats, |style| text::stats(&stats, style))?)
}

/// What is wrong with a file is the answer; if it is an error, it is a failure, too.
fn doctor(file: &Path, how: How) -> Result<(), Failure> {
    let checkup = Checkup::of(file).map_err(Failure::new)?;
    print(&shown(how, &checkup, |style| {
        text::checkup(&checkup, style)
    })?)?;
    match checkup.errors() {
        0 => Ok(()),
        errors => Err(Failure::new(format_args!(
            "{}: errors found: {errors}; do what is said beside each",
            file.display()
        ))),
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
        down_to: None,
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
