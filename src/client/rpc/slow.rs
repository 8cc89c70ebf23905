//! Requests that take long without being commands, and how many there may be.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

use serde_json::Value;
use tokio::task::{JoinError, JoinSet};

use super::message::Id;
use crate::error::{Code, Error};

/// Requests of a kind that are under way at a time; each kind has its own room, so that an end is not
/// refused for what else is under way.
pub const SLOW_MAX: usize = 16;

/// What takes long.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// renewToken: waits for the server.
    Renewal,
    /// compact and backup: work on files.
    File,
    /// logout: waits for the server, for a while.
    Logout,
}

/// What a request does.
pub type Work = Pin<Box<dyn Future<Output = Result<Value, Error>> + Send>>;
/// Whom to answer, if anybody, and what.
pub type Answer = (Option<Id>, Result<Value, Error>);

/// Those that are under way.
#[derive(Default)]
pub struct Slow {
    renewals: JoinSet<Answer>,
    files: JoinSet<Answer>,
    logouts: JoinSet<Answer>,
}

impl Slow {
    /// Has the engine asked now, in the order of the lines. Gives the answer if there is one at once; else
    /// it comes by [`Self::next`].
    pub async fn begin(&mut self, kind: Kind, id: Option<Id>, mut work: Work) -> Option<Answer> {
        let under_way = match kind {
            Kind::Renewal => &mut self.renewals,
            Kind::File => &mut self.files,
            Kind::Logout => &mut self.logouts,
        };
        if under_way.len() >= SLOW_MAX {
            let message = format!("{SLOW_MAX} requests are under way already; wait for one");
            let error = Error::new(Code::TooManyRequests, "waiting", message);
            return Some((id, Err(error)));
        }
        match ready(work.as_mut()).await {
            Some(result) => Some((id, result)),
            None => {
                under_way.spawn(async move { (id, work.await) });
                None
            }
        }
    }

    /// Whether nothing is under way that an end waits for. One that was asked for does not wait for a new
    /// token, of which there is no use any more.
    pub fn may_end(&self, is_asked: bool) -> bool {
        self.files.is_empty() && self.logouts.is_empty() && (is_asked || self.renewals.is_empty())
    }

    /// What is done next; nothing if nothing is under way. Safe to cancel.
    pub async fn next(&mut self) -> Option<Result<Answer, JoinError>> {
        tokio::select! {
            Some(done) = self.renewals.join_next() => Some(done),
            Some(done) = self.files.join_next() => Some(done),
            Some(done) = self.logouts.join_next() => Some(done),
            else => None,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_end_that_is_asked_for_waits_for_files_and_a_logout_and_for_no_new_token() {
        for (kind, asked, unasked) in [
            (Kind::Renewal, true, false),
            (Kind::File, false, false),
            (Kind::Logout, false, false),
        ] {
            let mut slow = Slow::default();
            assert!(slow.may_end(false) && slow.may_end(true));
            let never = Box::pin(std::future::pending());
            assert!(slow.begin(kind, None, never).await.is_none());
            assert_eq!(
                (slow.may_end(true), slow.may_end(false)),
                (asked, unasked),
                "{kind:?}"
            );
        }
    }
}
