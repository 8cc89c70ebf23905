//! The connections, and what each may take of time and memory.
//!
//! Whoever connects and asks nothing keeps nobody out: of more connections without a request than there
//! is room for, the oldest is closed.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::AbortHandle;

use super::{Shared, routes};

/// Requests that are answered at a time; a browser asks six. One more is refused.
const REQUESTS_MAX: usize = 32;

/// Connections at a time whose request has yet to come, or was refused for want of room.
const CONNECTIONS_WAITING_MAX: usize = 32;

/// How long a request may take from its connection to the last byte of the answer. A connection
/// carries one, so that this bounds everything that a slow or silent peer can do.
const REQUEST_WITHIN: Duration = Duration::from_secs(30);

/// Bytes of the head of a request, its address included.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// Lines of it; a browser sends about fifteen.
const HEAD_LINES_MAX: usize = 64;

/// A pause after a connection that could not be taken, such as when files run out.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// The connections that may be closed for another, the oldest first.
#[derive(Default)]
struct Waiting(Mutex<VecDeque<(u64, AbortHandle)>>);

impl Waiting {
    fn queue(&self) -> MutexGuard<'_, VecDeque<(u64, AbortHandle)>> {
        self.0.lock().unwrap_or_else(|poison| poison.into_inner())
    }

    fn leave(&self, number: u64) {
        self.queue().retain(|(own, _)| *own != number);
    }
}

/// A connection's place among those that wait; dropped, it has left.
struct Place {
    waiting: Arc<Waiting>,
    number: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.waiting.leave(self.number);
    }
}

pub(super) async fn serve(listener: &TcpListener, shared: &Arc<Shared>) {
    let waiting = Arc::new(Waiting::default());
    let room = Arc::new(Semaphore::new(REQUESTS_MAX));
    let mut number = 0;
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                number += 1;
                begin(stream, number, &waiting, &room, shared);
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be taken");
                tokio::time::sleep(ACCEPT_AGAIN_AFTER).await;
            }
        }
    }
}

fn begin(
    stream: TcpStream,
    number: u64,
    waiting: &Arc<Waiting>,
    room: &Arc<Semaphore>,
    shared: &Arc<Shared>,
) {
    let place = Place {
        waiting: Arc::clone(waiting),
        number,
    };
    let answered = answer(stream, place, Arc::clone(room), Arc::clone(shared));
    let mut queue = waiting.queue();
    // It cannot leave before it stands there: that takes the queue, too.
    let task = tokio::spawn(async move {
        let _ = tokio::time::timeout(REQUEST_WITHIN, answered).await;
    });
    queue.push_back((number, task.abort_handle()));
    let oldest = if queue.len() > CONNECTIONS_WAITING_MAX {
        queue.pop_front()
    } else {
        None
    };
    drop(queue);
    if let Some((_, task)) = oldest {
        task.abort();
    }
}

async fn answer(stream: TcpStream, place: Place, room: Arc<Semaphore>, shared: Arc<Shared>) {
    // Held until the last byte of the answer.
    let taken: Mutex<Option<OwnedSemaphorePermit>> = Mutex::new(None);
    let service = service_fn(|request| {
        let shared = Arc::clone(&shared);
        let permit = Arc::clone(&room).try_acquire_owned().ok();
        let has_room = permit.is_some();
        if has_room {
            place.waiting.leave(place.number);
            *taken.lock().unwrap_or_else(|poison| poison.into_inner()) = permit;
        }
        async move {
            Ok::<_, Infallible>(if has_room {
                routes::respond(request, &shared).await
            } else {
                routes::busy(REQUESTS_MAX)
            })
        }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(REQUEST_WITHIN)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEAD_LINES_MAX)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a connection ended early");
    }
}
