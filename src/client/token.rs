//! Asking the app for a token.

use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};

use tokio::sync::oneshot;

use super::core::TokenWanted;

/// A token, or why there is none, some time later.
pub type ProvidedToken =
    Pin<Box<dyn Future<Output = Result<String, Box<dyn Error + Send + Sync>>> + Send>>;

/// Gives tokens, as an app gets them from its own server.
///
/// Any closure that takes a [`TokenWanted`] and gives a future of a `Result<String, E>` is one:
///
/// ```no_run
/// # #[derive(Clone)] struct MyServer;
/// # impl MyServer { async fn sign_in(&self) -> Result<String, std::io::Error> { Ok(String::new()) } }
/// # let my_server = MyServer;
/// let mut config = offhook::Config::new("calls.example.com:7443", "alice", "alice.db");
/// config.token_provider = Some(std::sync::Arc::new(move |_why| {
///     let my_server = my_server.clone();
///     async move { my_server.sign_in().await }
/// }));
/// ```
///
/// One request is under way at a time. It runs on a thread of its own with a tokio runtime of its
/// own, which last as long as it does, and is given up after 30 s, or when the engine is paused,
/// closed or logged out: then the future is dropped. Requests that lead to nothing (an error, a
/// panic, no answer, a token that the server refuses, the refused token once more) are repeated
/// after pauses that double from about a second up to five minutes, for as long as there is a
/// network; nothing is lost meanwhile and nobody is logged out. The last error is in
/// [`crate::Status::error`]. A token that came through here is used in place: a connection that
/// stands goes on, one that was refused is made again by itself. What the provider does must not
/// block the thread; one that does is not asked again before it has returned.
pub trait TokenProvider: Send + Sync {
    /// A token for the engine's user, at most 4,096 bytes.
    fn token(&self, why: TokenWanted) -> ProvidedToken;
}

impl<F, G, E> TokenProvider for F
where
    F: Fn(TokenWanted) -> G + Send + Sync,
    G: Future<Output = Result<String, E>> + Send + 'static,
    E: Into<Box<dyn Error + Send + Sync>>,
{
    fn token(&self, why: TokenWanted) -> ProvidedToken {
        let given = self(why);
        Box::pin(async move { given.await.map_err(Into::into) })
    }
}

/// A provider at work. Dropping it gives the request up.
pub(super) struct TokenRequest {
    thread: JoinHandle<()>,
    wanted: Option<oneshot::Sender<()>>,
}

impl TokenRequest {
    /// Asks. Whatever happens, the answer is called once, unless the request is given up.
    pub(super) fn start(
        provider: Arc<dyn TokenProvider>,
        why: TokenWanted,
        answer: impl FnOnce(Result<String, String>) + Send + 'static,
    ) -> Result<Self, String> {
        let (wanted, given_up) = oneshot::channel();
        let mut answer = Answer(Some(answer));
        let thread = Builder::new()
            .name("offhook-token".into())
            .spawn(move || {
                let given = ask(provider.as_ref(), why, given_up);
                answer.give(given);
            })
            .map_err(|error| format!("no thread can be started: {error}"))?;
        Ok(Self {
            thread,
            wanted: Some(wanted),
        })
    }

    /// Whether the provider is still at it, given up or not.
    pub(super) fn is_under_way(&self) -> bool {
        !self.thread.is_finished()
    }

    /// Its answer is not wanted any more.
    pub(super) fn give_up(&mut self) {
        self.wanted = None;
    }
}

/// `None`: it was given up.
fn ask(
    provider: &dyn TokenProvider,
    why: TokenWanted,
    given_up: oneshot::Receiver<()>,
) -> Option<Result<String, String>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return Some(Err(format!("no runtime can be started: {error}"))),
    };
    let given = runtime.block_on(async {
        tokio::select! {
            given = provider.token(why) => Some(given.map_err(|error| error.to_string())),
            _ = given_up => None,
        }
    });
    runtime.shutdown_background();
    given
}

/// Says so if the provider panicked.
struct Answer<F: FnOnce(Result<String, String>)>(Option<F>);

impl<F: FnOnce(Result<String, String>)> Answer<F> {
    fn give(&mut self, given: Option<Result<String, String>>) {
        if let (Some(answer), Some(given)) = (self.0.take(), given) {
            answer(given);
        }
    }
}

impl<F: FnOnce(Result<String, String>)> Drop for Answer<F> {
    fn drop(&mut self) {
        self.give(Some(Err("the provider panicked".into())));
    }
}
