//! How an app hears: streams of events, and a sign that the database changed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{mpsc, watch};

use super::event::Event;

/// How many events an app may be behind before its stream ends.
pub const EVENTS_BEHIND_MAX: usize = 1_024;
/// Most streams of events at a time.
const SUBSCRIBERS_MAX: usize = 64;

/// Events as they happen.
#[derive(Debug)]
pub struct Events {
    receiver: mpsc::Receiver<Event>,
    lagged: Arc<AtomicBool>,
}

/// The app fell more than [`EVENTS_BEHIND_MAX`] events behind. None is lost: read on with
/// [`crate::Engine::events_since`] and take a new stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("more than {EVENTS_BEHIND_MAX} events behind; read on from the journal")]
pub struct Lagged;

impl Events {
    /// The next event; `None` once the engine is closed. Safe to cancel.
    pub async fn next(&mut self) -> Option<Result<Event, Lagged>> {
        let event = self.receiver.recv().await;
        self.or_lagged(event)
    }

    /// The next event, waiting for it on this thread.
    pub fn blocking_next(&mut self) -> Option<Result<Event, Lagged>> {
        let event = self.receiver.blocking_recv();
        self.or_lagged(event)
    }

    fn or_lagged(&self, event: Option<Event>) -> Option<Result<Event, Lagged>> {
        match event {
            Some(event) => Some(Ok(event)),
            None => self
                .lagged
                .swap(false, Ordering::Relaxed)
                .then_some(Err(Lagged)),
        }
    }
}

/// Tells when the database changed.
#[derive(Clone, Debug)]
pub struct Changes {
    receiver: watch::Receiver<u64>,
}

impl Changes {
    /// The same, for whom all that is there is new.
    pub(super) fn all_new(mut self) -> Self {
        self.receiver.mark_changed();
        self
    }

    /// Waits for the next change, several at once count as one; `false` once the engine is closed.
    /// Safe to cancel.
    pub async fn changed(&mut self) -> bool {
        self.receiver.changed().await.is_ok()
    }
}

/// Those who listen.
#[derive(Debug)]
pub(super) struct Subscribers {
    streams: Mutex<Vec<(mpsc::Sender<Event>, Arc<AtomicBool>)>>,
    /// `None` once the engine is closed.
    changes: Mutex<Option<watch::Sender<u64>>>,
}

impl Default for Subscribers {
    fn default() -> Self {
        Self {
            streams: Mutex::default(),
            changes: Mutex::new(Some(watch::Sender::new(0))),
        }
    }
}

impl Subscribers {
    pub fn subscribe(&self) -> Events {
        let (sender, receiver) = mpsc::channel(EVENTS_BEHIND_MAX);
        let lagged = Arc::new(AtomicBool::new(false));
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        streams.retain(|(sender, _)| !sender.is_closed());
        if streams.len() < SUBSCRIBERS_MAX {
            streams.push((sender, lagged.clone()));
        } else {
            lagged.store(true, Ordering::Relaxed);
        }
        Events { receiver, lagged }
    }

    pub fn changes(&self) -> Changes {
        let changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        let receiver = match &*changes {
            Some(sender) => sender.subscribe(),
            // Of one that is gone already.
            None => watch::Sender::new(0).subscribe(),
        };
        Changes { receiver }
    }

    pub fn tell(&self, event: &Event) {
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        streams.retain(|(sender, lagged)| match sender.try_send(event.clone()) {
            Ok(()) => true,
            Err(mpsc::error::TrySendError::Full(_)) => {
                lagged.store(true, Ordering::Relaxed);
                false
            }
            Err(mpsc::error::TrySendError::Closed(_)) => false,
        });
    }

    pub fn tell_changed(&self) {
        let changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = &*changes {
            sender.send_modify(|count| *count = count.wrapping_add(1));
        }
    }

    pub fn close(&self) {
        self.streams
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
        *self.changes.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}
