//! From a request to its answer.

use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Body, Bytes};
use hyper::header::{self, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use serde::Serialize;

use super::assets::{ASSETS, Asset, INDEX};
use super::query::Query;
use super::session::Exchange;
use super::{Shared, answers};

/// Bytes of the body of a request, which is a question in SQL.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// Nothing from elsewhere, nothing inline, no markup made of text, in no other page's frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
    require-trusted-types-for 'script'; trusted-types 'none'";

const ALWAYS: [(&str, &str); 8] = [
    ("content-security-policy", POLICY),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    (
        "permissions-policy",
        "camera=(), geolocation=(), microphone=()",
    ),
    ("cache-control", "no-store"),
];

pub(super) type Answer = Response<Full<Bytes>>;

/// An answer that is no document: why not, and its status.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) text: String,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, text: impl Into<String>) -> Self {
        let text = text.into();
        Self { status, text }
    }
}

pub(super) async fn respond<B>(request: Request<B>, shared: &Shared) -> Answer
where
    B: Body,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    guarded(admitted(request, shared).await)
}

/// The answer to one request more than are taken at a time.
pub(super) fn busy(most: usize) -> Answer {
    let text = format!("busy: {most} requests are being answered; ask again in a moment");
    guarded(Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, text)))
}

fn guarded(answer: Result<Answer, Refusal>) -> Answer {
    let mut answer = answer.unwrap_or_else(|Refusal { status, text }| {
        json(status, &serde_json::json!({ "error": text }))
    });
    for (name, value) in ALWAYS {
        answer
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    answer
}

async fn admitted<B>(request: Request<B>, shared: &Shared) -> Result<Answer, Refusal>
where
    B: Body,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (head, body) = request.into_parts();
    shared
        .guard
        .check(&head.uri, &head.headers)
        .map_err(|text| Refusal::new(StatusCode::FORBIDDEN, text))?;
    let bad = |text: String| Refusal::new(StatusCode::BAD_REQUEST, text);
    let query = Query::parse(head.uri.query().unwrap_or_default()).map_err(bad)?;
    let path = head.uri.path();
    let cookies = head.headers.get_all(header::COOKIE).iter();
    let mut cookies = cookies.filter_map(|value| value.to_str().ok());
    let in_session = cookies.any(|cookies| shared.session.is_in(cookies));
    let writes_sql = path == "/api/sql";
    let method = if writes_sql {
        Method::POST
    } else {
        Method::GET
    };
    if head.method != method {
        let text = format!("{path} takes {method} only");
        return Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, text));
    }
    if path == "/"
        && let Some(token) = query.text("token")
    {
        return Ok(enter(token, in_session, shared));
    }
    if !in_session && path == "/" {
        let words = "Open the link that the command printed: its token lets this browser in, once.";
        return Ok(refused(
            StatusCode::UNAUTHORIZED,
            "The link is missing",
            words,
        ));
    }
    if !in_session {
        return Err(Refusal::new(
            StatusCode::UNAUTHORIZED,
            "open the link that the command printed: its token lets this browser in",
        ));
    }
    if writes_sql {
        let kind = head.headers.get(header::CONTENT_TYPE);
        if kind.is_none_or(|kind| kind != "application/json") {
            let text = "the question comes as application/json";
            return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, text));
        }
        let question = whole(body).await?;
        return answers::sql(shared, &question).await;
    }
    if let Some(name) = path.strip_prefix("/api/") {
        return answers::document(shared, name, &query).await;
    }
    if path == "/" {
        return Ok(file(&INDEX));
    }
    let asset = ASSETS.iter().find(|asset| asset.path == path);
    let nothing = || Refusal::new(StatusCode::NOT_FOUND, format!("there is no {path} here"));
    asset.map(file).ok_or_else(nothing)
}

/// Opens the session for whoever comes with the link, and takes the token out of the address.
fn enter(token: &str, in_session: bool, shared: &Shared) -> Answer {
    let to_the_page = || {
        let mut answer = text(StatusCode::SEE_OTHER, "text/plain; charset=utf-8", "");
        let headers = answer.headers_mut();
        headers.insert(header::LOCATION, HeaderValue::from_static("/"));
        answer
    };
    match shared.session.exchange(token) {
        Exchange::Session(cookie) => {
            let mut answer = to_the_page();
            if let Ok(cookie) = HeaderValue::from_str(&cookie) {
                answer.headers_mut().insert(header::SET_COOKIE, cookie);
            }
            answer
        }
        Exchange::Spent if in_session => to_the_page(),
        Exchange::Spent => refused(
            StatusCode::FORBIDDEN,
            "This link was used already",
            "It opens the page once, in one browser. If that was not yours, somebody else on this \
             machine was faster. Stop the command and start it again for a new link.",
        ),
        Exchange::Wrong => refused(
            StatusCode::FORBIDDEN,
            "This link is not the one",
            "Its token is of another run, or incomplete. Open the link that the command printed.",
        ),
    }
}

fn refused(status: StatusCode, title: &str, words: &str) -> Answer {
    let page = format!(
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport \
         content=\"width=device-width\"><meta name=color-scheme content=\"light dark\">\
         <title>{title}</title><h1>{title}</h1><p>{words}</p>"
    );
    text(status, "text/html; charset=utf-8", page)
}

async fn whole<B>(body: B) -> Result<Bytes, Refusal>
where
    B: Body,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    match Limited::new(body, BODY_BYTES_MAX).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Refusal::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("a question has {BODY_BYTES_MAX} bytes at most"),
        )),
        Err(_) => Err(Refusal::new(
            StatusCode::BAD_REQUEST,
            "the question did not arrive whole",
        )),
    }
}

pub(super) fn json(status: StatusCode, document: &impl Serialize) -> Answer {
    match serde_json::to_vec(document) {
        Ok(document) => bytes(status, document),
        Err(error) => {
            tracing::error!(%error, "an answer cannot be written as JSON");
            let error = "{\"error\":\"the answer cannot be written as JSON\"}";
            bytes(StatusCode::INTERNAL_SERVER_ERROR, error)
        }
    }
}

/// A document that is JSON already.
pub(super) fn bytes(status: StatusCode, document: impl Into<Bytes>) -> Answer {
    text(status, "application/json; charset=utf-8", document)
}

fn file(asset: &Asset) -> Answer {
    text(StatusCode::OK, asset.kind, asset.text)
}

fn text(status: StatusCode, kind: &'static str, text: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(text.into()));
    *answer.status_mut() = status;
    let kind = HeaderValue::from_static(kind);
    answer.headers_mut().insert(header::CONTENT_TYPE, kind);
    answer
}
