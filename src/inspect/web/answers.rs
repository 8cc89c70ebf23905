//! The documents of the page: those of `--json`, and what only the page shows.

use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;
use serde::Serialize;
use serde_json::{Value, json};

use super::super::database::Database;
use super::super::error::{Error, Problem};
use super::super::queries::{Filter, StateFilter};
use super::query::Query;
use super::question::{self, Question};
use super::routes::{Answer, Refusal, json as answer};
use super::{Shared, health, search};

/// How long a look may take.
pub(super) const LOOK_WITHIN: Duration = Duration::from_secs(10);

/// What SQLite may take for the looks of a page. It holds for the whole process, once set.
pub(super) const LOOK_HEAP_BYTES_MAX: i64 = 256 * 1024 * 1024;

/// Characters of what is searched for.
const SEARCH_CHARS_MAX: usize = 200;

/// Answers what is asked below `/api/`.
///
/// # Errors
/// There is no such document, it was asked for in a wrong way, or the file cannot be read.
pub(super) async fn document(
    shared: &Shared,
    name: &str,
    query: &Query,
) -> Result<Answer, Refusal> {
    match name {
        "changes" => {
            let mut changes = shared
                .changes
                .lock()
                .unwrap_or_else(|poison| poison.into_inner());
            Ok(ok(&json!({ "changes": changes.look(&shared.file) })))
        }
        "calls" => {
            let filter = filter(query).map_err(bad)?;
            looked(shared, move |database| search::page(database, filter)).await
        }
        "call" => {
            let id = needed(query, "id")?;
            looked(shared, move |database| {
                let story = database.story(&id)?;
                let mut document = whole(&story, story.damage.as_deref());
                if let Value::Object(fields) = &mut document {
                    fields.insert("cut".to_owned(), Value::Bool(story.cut));
                    fields.insert("owner".to_owned(), json!(database.owner()?));
                }
                Ok(document)
            })
            .await
        }
        "pending" => {
            looked(shared, |database| {
                let pending = database.pending()?;
                Ok(whole(&pending, pending.damage.as_deref()))
            })
            .await
        }
        "health" => looked(shared, health::look).await,
        "tables" => question::ask(shared, Question::Tables).await,
        "table" => {
            let name = needed(query, "name")?;
            let offset = query.number("offset").map_err(bad)?.unwrap_or_default();
            question::ask(shared, Question::Table { name, offset }).await
        }
        other => Err(Refusal::new(
            StatusCode::NOT_FOUND,
            format!("there is no document {other:?}"),
        )),
    }
}

/// Answers a question in SQL.
///
/// # Errors
/// It would change something, is no SQL, or the file cannot be read; there are enough of them.
pub(super) async fn sql(shared: &Shared, question: &[u8]) -> Result<Answer, Refusal> {
    #[derive(serde::Deserialize)]
    struct Asked {
        sql: String,
    }
    let asked: Asked = serde_json::from_slice(question)
        .map_err(|error| bad(format!("the question is not {{\"sql\": \"…\"}}: {error}")))?;
    question::ask(shared, Question::Sql(asked.sql)).await
}

/// A document as `--json` has it; of a damaged file, with what SQLite says of that.
pub(super) fn whole(document: &impl Serialize, damage: Option<&str>) -> Value {
    let mut document = serde_json::to_value(document).unwrap_or_default();
    if let (Value::Object(fields), Some(damage)) = (&mut document, damage) {
        fields.insert("damage".to_owned(), Value::from(damage));
    }
    document
}

async fn looked<T: Serialize + Send + 'static>(
    shared: &Shared,
    question: impl FnOnce(&mut Database) -> Result<T, Error> + Send + 'static,
) -> Result<Answer, Refusal> {
    let document = look(shared, |database| {
        question(&mut database.within(LOOK_WITHIN))
    });
    Ok(ok(&document.await?))
}

/// Opens the file, asks, and lets go of it.
async fn look<T: Send + 'static>(
    shared: &Shared,
    question: impl FnOnce(Database) -> Result<T, Error> + Send + 'static,
) -> Result<T, Refusal> {
    let stopped = |_| Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "the look was cut short");
    let turn = Arc::clone(&shared.looks).acquire_owned().await;
    let file = shared.file.clone();
    let looked = tokio::task::spawn_blocking(move || {
        // Kept until the end of the look, also when nobody waits for its answer any more.
        let _turn = turn;
        let database = Database::open(&file)?;
        database.bound_heap(LOOK_HEAP_BYTES_MAX)?;
        question(database)
    });
    looked.await.map_err(stopped)?.map_err(unreadable)
}

/// What keeps a file from being looked at, as an answer.
pub(super) fn unreadable(error: Error) -> Refusal {
    let status = match error.problem {
        Problem::UnknownCall(_) => StatusCode::NOT_FOUND,
        Problem::Missing
        | Problem::NotAFile
        | Problem::Unreadable(_)
        | Problem::Empty
        | Problem::NotADatabase
        | Problem::NotOurs
        | Problem::Layout { .. }
        | Problem::Busy
        | Problem::Changing
        | Problem::TooMuch
        | Problem::Damaged(_)
        | Problem::Copy { .. }
        | Problem::Sqlite(_) => StatusCode::SERVICE_UNAVAILABLE,
    };
    Refusal::new(status, error.to_string())
}

fn filter(query: &Query) -> Result<Filter, String> {
    let count = query.number("count")?.unwrap_or(50);
    let search = query.text("q").map(str::to_owned);
    if search
        .as_ref()
        .is_some_and(|words| words.chars().count() > SEARCH_CHARS_MAX)
    {
        return Err(format!("q is longer than {SEARCH_CHARS_MAX} characters"));
    }
    Ok(Filter {
        count: u32::try_from(count).unwrap_or(u32::MAX).max(1),
        next_flag: query.number("next_flag")?.unwrap_or_default(),
        state: match query.text("state") {
            None => None,
            Some("started") => Some(StateFilter::Started),
            Some("ended") => Some(StateFilter::Ended),
            Some(other) => return Err(format!("state is {other:?}, not started or ended")),
        },
        missed: query.flag("missed"),
        with: query.text("with").map(str::to_owned),
        search,
        since_ms: query.number("since")?,
        down_to: None,
    })
}

fn needed(query: &Query, name: &str) -> Result<String, Refusal> {
    let value = query.text(name).map(str::to_owned);
    value.ok_or_else(|| bad(format!("say which, with {name}=…")))
}

fn bad(text: String) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, text)
}

fn ok(document: &impl Serialize) -> Answer {
    answer(StatusCode::OK, document)
}
