//! The connections, and what each may take of time and memory.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::{Shared, routes};

/// Most connections at a time; a browser opens six. More wait in the system's queue.
const WEB_CONNECTIONS_MAX: usize = 32;

/// How long a request may take from its first byte to the last of the answer. A connection carries
/// one, so that this bounds everything that a slow or silent peer can do.
const REQUEST_WITHIN: Duration = Duration::from_secs(30);

/// How long the head of a request may take to arrive.
const HEAD_WITHIN: Duration = Duration::from_secs(5);

/// Bytes of the head of a request, its address included.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// Lines of it; a browser sends about fifteen.
const HEAD_LINES_MAX: usize = 64;

/// A pause after a connection that could not be taken, such as when files run out.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(100);

pub(super) async fn serve(listener: &TcpListener, shared: &Arc<Shared>) {
    let room = Arc::new(Semaphore::new(WEB_CONNECTIONS_MAX));
    loop {
        // Never closed, so that this does not fail.
        let Ok(place) = Arc::clone(&room).acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                let shared = Arc::clone(shared);
                tokio::spawn(async move {
                    let _ = tokio::time::timeout(REQUEST_WITHIN, answer(stream, shared)).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be taken");
                tokio::time::sleep(ACCEPT_AGAIN_AFTER).await;
            }
        }
    }
}

async fn answer(stream: TcpStream, shared: Arc<Shared>) {
    let service = service_fn(|request| {
        let shared = Arc::clone(&shared);
        async move { Ok::<_, Infallible>(routes::respond(request, &shared).await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEAD_LINES_MAX)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a connection ended early");
    }
}
