//! Requests that take long without being commands, and how many there may be.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

use serde_json::Value;
use tokio::task::{JoinError, JoinSet};

use super::message::Id;
use crate::error::{Code, Error};

/// Requests at a time that take long without being commands (renewToken, compact, backup).
pub const SLOW_MAX: usize = 16;
/// Requests for a logout that one logout answers. They have room beside the others, because an end is
/// never refused for what else is under way.
const LOGOUTS_MAX: usize = 16;

/// What a request does.
pub type Work = Pin<Box<dyn Future<Output = Result<Value, Error>> + Send>>;
/// Whom to answer, if anybody, and what.
pub type Answer = (Option<Id>, Result<Value, Error>);

/// Those that are under way.
#[derive(Default)]
pub struct Slow {
    requests: JoinSet<Answer>,
    logouts: JoinSet<Answer>,
}

impl Slow {
    /// Has the engine asked now, in the order of the lines. Gives the answer if there is one at once; else
    /// it comes by [`Self::next`].
    pub async fn begin(&mut self, id: Option<Id>, work: Work) -> Option<Answer> {
        begin(&mut self.requests, SLOW_MAX, id, work).await
    }

    /// The same for a logout.
    pub async fn begin_logout(&mut self, id: Option<Id>, work: Work) -> Option<Answer> {
        begin(&mut self.logouts, LOGOUTS_MAX, id, work).await
    }

    /// Whether nothing is under way.
    pub fn is_empty(&self) -> bool {
        self.requests.is_empty() && self.logouts.is_empty()
    }

    /// What is done next; nothing if nothing is under way. Safe to cancel.
    pub async fn next(&mut self) -> Option<Result<Answer, JoinError>> {
        tokio::select! {
            Some(done) = self.requests.join_next() => Some(done),
            Some(done) = self.logouts.join_next() => Some(done),
            else => None,
        }
    }
}

async fn begin(
    under_way: &mut JoinSet<Answer>,
    most: usize,
    id: Option<Id>,
    mut work: Work,
) -> Option<Answer> {
    if under_way.len() >= most {
        let message = format!("{most} requests are under way already; wait for one");
        return Some((
            id,
            Err(Error::new(Code::TooManyRequests, "waiting", message)),
        ));
    }
    match ready(work.as_mut()).await {
        Some(result) => Some((id, result)),
        None => {
            under_way.spawn(async move { (id, work.await) });
            None
        }
    }
}

/// What a future gives at once, if it does. It is polled, which is what makes the engine begin.
pub async fn ready<T>(work: impl Future<Output = T>) -> Option<T> {
    let mut work = std::pin::pin!(work);
    poll_fn(|context| match work.as_mut().poll(context) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}
