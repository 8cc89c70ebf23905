//! What may take long: questions in SQL, and the tables themselves. A process of its own answers each
//! (`offhook inspect FILE answer`), so that the documents wait for none of them, nor run short of memory
//! with them, and that a question can be stopped.
//!
//! The question goes in as a line of JSON; out comes a line with the status, then the document. The
//! process ends when its input does, so none outlives whoever asked.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::thread::Builder;

use hyper::StatusCode;
use serde::{Deserialize, Serialize};
use tokio::sync::OwnedSemaphorePermit;

use super::super::database::Database;
use super::super::error::Error;
use super::answers::{LOOK_HEAP_BYTES_MAX, LOOK_WITHIN, unreadable};
use super::routes::{Answer, Refusal, bytes};
use super::{Shared, sql, tables};

/// Questions in SQL that are answered at a time; another one is refused.
pub(super) const QUESTIONS_MAX: usize = 2;

/// Pages of tables that are read at a time; another one waits.
pub(super) const TABLES_AT_ONCE: usize = 1;

/// Bytes of an answer: its values as JSON, in which a byte has six at most.
const ANSWER_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// What is asked.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Question {
    /// Rows for a question in SQL.
    Sql(String),
    /// What tables there are.
    Tables,
    /// A page of one.
    Table { name: String, offset: i64 },
}

/// Has a question answered. It is given up when nobody waits for the answer any more.
///
/// # Errors
/// What is wrong with the question or the file; that enough is asked already.
pub(super) async fn ask(shared: &Shared, question: Question) -> Result<Answer, Refusal> {
    let place = place(shared, &question).await?;
    let file = shared.file.clone();
    // The place is kept until the process has ended, also when nobody waits any more.
    let began = tokio::task::spawn_blocking(move || Ok((begin(&file, &question)?, place)));
    let failed = |error: io::Error| {
        let text = format!("cannot start a process for the question: {error}");
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, text)
    };
    let ((asked, answering), place) = began.await.map_err(|_| cut_short())?.map_err(failed)?;
    let answered = tokio::task::spawn_blocking(move || {
        let _place = place;
        answering.finish()
    });
    let answer = answered.await.map_err(|_| cut_short())?;
    drop(asked);
    answer.ok_or_else(cut_short)
}

async fn place(shared: &Shared, question: &Question) -> Result<OwnedSemaphorePermit, Refusal> {
    match question {
        Question::Sql(_) => Arc::clone(&shared.questions)
            .try_acquire_owned()
            .map_err(|_| {
                let text = format!(
                    "busy: {QUESTIONS_MAX} questions are being answered; wait for one, or stop it"
                );
                Refusal::new(StatusCode::TOO_MANY_REQUESTS, text)
            }),
        Question::Tables | Question::Table { .. } => Arc::clone(&shared.tables)
            .acquire_owned()
            .await
            .map_err(|_| cut_short()),
    }
}

fn cut_short() -> Refusal {
    let text = "the question was cut short";
    Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, text)
}

/// A process that answers. Dropped, it is ended.
struct Answering {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Drop for Answering {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Answering {
    /// Waits for the answer; none came if the process was stopped.
    fn finish(mut self) -> Option<Answer> {
        let mut status = String::new();
        self.output.read_line(&mut status).ok()?;
        let status = StatusCode::from_bytes(status.trim_end().as_bytes()).ok()?;
        let mut document = Vec::new();
        let mut rest = self.output.by_ref().take(ANSWER_BYTES_MAX + 1);
        rest.read_to_end(&mut document).ok()?;
        let is_whole = u64::try_from(document.len()).is_ok_and(|all| all <= ANSWER_BYTES_MAX);
        is_whole.then(|| bytes(status, document))
    }
}

/// Starts a process that answers, and ends when its input, which comes first here, is dropped.
fn begin(file: &Path, question: &Question) -> io::Result<(ChildStdin, Answering)> {
    let mut command = Command::new(this_program()?);
    #[cfg(unix)]
    std::os::unix::process::CommandExt::arg0(&mut command, "offhook");
    let mut child = command
        .arg("inspect")
        .arg(std::path::absolute(file)?)
        .arg("answer")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let (input, output) = (child.stdin.take(), child.stdout.take());
    let (Some(mut input), Some(output)) = (input, output) else {
        return Err(io::Error::other("it has no input or no output"));
    };
    let output = BufReader::new(output);
    let answering = Answering { child, output };
    let mut line = serde_json::to_vec(question)?;
    line.push(b'\n');
    input.write_all(&line)?;
    Ok((input, answering))
}

/// On Linux it can be started also when its file was replaced by a newer one.
fn this_program() -> io::Result<PathBuf> {
    if cfg!(target_os = "linux") {
        return Ok(PathBuf::from("/proc/self/exe"));
    }
    std::env::current_exe()
}

/// Answers the question on stdin, for the page of another process.
///
/// # Errors
/// It is none, or stdout takes nothing.
pub fn answer(file: &Path) -> io::Result<()> {
    let mut line = String::new();
    let mut input = BufReader::new(io::stdin());
    input.read_line(&mut line)?;
    let question = serde_json::from_str(&line)?;
    Builder::new().name("offhook-asked".into()).spawn(move || {
        // Whoever asks keeps it open for as long as they wait.
        let _ = io::copy(&mut input, &mut io::sink());
        std::process::exit(0);
    })?;
    let (status, document) = match look(file, question) {
        Ok(document) => (StatusCode::OK, document),
        Err(Refusal { status, text }) => (status, serde_json::json!({ "error": text }).to_string()),
    };
    let mut output = io::stdout().lock();
    writeln!(output, "{}", status.as_u16())?;
    output.write_all(document.as_bytes())?;
    output.flush()
}

fn look(file: &Path, question: Question) -> Result<String, Refusal> {
    let mut database = Database::open(file).map_err(unreadable)?;
    database
        .bound_heap(LOOK_HEAP_BYTES_MAX)
        .map_err(unreadable)?;
    match question {
        Question::Sql(text) => {
            let asked = sql::ask(&mut database.within(sql::SQL_WITHIN), &text);
            rows(asked)
        }
        Question::Tables => {
            database = database.within(LOOK_WITHIN);
            let tables = tables::list(&mut database).map_err(unreadable)?;
            written(&tables)
        }
        Question::Table { name, offset } => {
            database = database.within(sql::SQL_WITHIN);
            rows(tables::rows(&mut database, &name, offset))
        }
    }
}

fn rows(asked: Result<Result<sql::Rows, sql::Refused>, Error>) -> Result<String, Refusal> {
    match asked.map_err(unreadable)? {
        Ok(rows) => written(&rows),
        Err(sql::Refused::Writes(text)) => Err(Refusal::new(StatusCode::FORBIDDEN, text)),
        Err(sql::Refused::Wrong(text)) => Err(Refusal::new(StatusCode::BAD_REQUEST, text)),
    }
}

fn written(document: &impl Serialize) -> Result<String, Refusal> {
    serde_json::to_string(document).map_err(|error| {
        let text = format!("the answer cannot be written as JSON: {error}");
        Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, text)
    })
}
