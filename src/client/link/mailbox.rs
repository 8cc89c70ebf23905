//! What the core has asked for and the link's thread has not yet done.
//!
//! Commands come in on the caller's thread and never wait. Nothing here grows without a bound: the
//! state of the network and the wish to end are kept as they are now, not as a list, and frames are
//! kept as the bytes that one write will take.

use std::collections::VecDeque;
use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::socket::Gate;
use crate::client::transport::{DownKind, LinkCommand, LinkDown};
use crate::protocol::{COMMANDS_IN_FLIGHT_MAX, TO_SERVER_BYTES_MAX, ToServer, encode};

/// Most bytes of frames that wait to be written; as many again may be with the writer. Room for all
/// that a device says at once after a reconnect: every command under way, each as long as a frame can
/// be, and `OTHER_FRAMES_MAX` more. A connection that is behind by more is better given up.
pub const OUTBOX_BYTES_MAX: usize =
    (COMMANDS_IN_FLIGHT_MAX + OTHER_FRAMES_MAX) * (TO_SERVER_BYTES_MAX + 4);
/// The longest frames that fit beside the commands: a hello, a token, and some thousand receipts.
const OTHER_FRAMES_MAX: usize = 16;
/// Most attempts that wait to be begun. The core begins one at a time, so a second is a defect.
const CONNECTS_MAX: usize = 16;

/// What the link's thread is to do next, apart from frames.
#[derive(Debug)]
pub enum Step {
    /// The network is gone, and all that there was is cut off from it already.
    Cut,
    /// Go on from a new socket.
    Rebind,
    /// Begin an attempt.
    Connect {
        /// Its number.
        attempt: u64,
        /// What its sockets are behind; `None` while there is no network.
        gate: Option<Gate>,
    },
    /// Begin nothing more.
    Leave,
}

/// What the writer of an attempt is to do next.
#[derive(Debug, PartialEq, Eq)]
pub enum Outgoing {
    /// Write this.
    Bytes(Vec<u8>),
    /// There will be no more.
    Finish,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Mailbox {
    waiting: Mutex<Waiting>,
    bell: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    /// Everything since the network was last there is behind this one, connections that are still
    /// saying their goodbyes too.
    gate: Gate,
    cut: bool,
    offline: bool,
    rebind: bool,
    connects: VecDeque<u64>,
    outbox: Outbox,
    leave: bool,
    leave_taken: bool,
}

/// The frames of the newest attempt.
#[derive(Debug, Default)]
struct Outbox {
    attempt: Option<u64>,
    /// The first frame, until it is known to have gone or the connection is there.
    hello: Option<Vec<u8>>,
    /// Whether what comes now goes behind what went before.
    begun: bool,
    bytes: Vec<u8>,
    closing: bool,
    broken: Option<LinkDown>,
}

impl Mailbox {
    /// Takes a command.
    pub fn post(&self, command: LinkCommand) {
        let mut waiting = self.lock();
        match command {
            LinkCommand::Connect { attempt } => waiting.connect(attempt),
            LinkCommand::Send { attempt, frame } => waiting.outbox.send(attempt, &frame),
            LinkCommand::Close { attempt } => {
                if waiting.outbox.attempt == Some(attempt) {
                    waiting.outbox.closing = true;
                }
            }
            LinkCommand::SetNetwork(online) => {
                waiting.offline = !online;
                if !online {
                    // Here and not on the link's thread: once this returns, nothing is sent.
                    mem::take(&mut waiting.gate).shut();
                    waiting.cut = true;
                }
            }
            LinkCommand::NetworkChanged => waiting.rebind = true,
            LinkCommand::Shutdown => {
                waiting.leave = true;
                waiting.outbox.closing = true;
            }
        }
        drop(waiting);
        self.bell.notify_waiters();
    }

    /// Waits for what is to be done next. The network comes first: an attempt asked for after it
    /// went and came back begins on what came back.
    pub async fn next_step(&self) -> Step {
        let step = self.when(Waiting::next_step).await;
        // The writer waits while the network is about to change.
        self.bell.notify_waiters();
        step
    }

    /// Cuts everything off from the network, as if it had gone and come back.
    pub fn cut(&self) {
        mem::take(&mut self.lock().gate).shut();
    }

    /// Waits for the hello of that attempt, to send it ahead. It stays here until
    /// [`Self::hello_went`], because the server may refuse it so.
    pub async fn hello(&self, attempt: u64) -> Vec<u8> {
        self.when(|waiting| {
            if waiting.cut || waiting.rebind {
                return None;
            }
            waiting.outbox.of(attempt)?.hello.clone()
        })
        .await
    }

    /// The hello of that attempt has gone ahead, and the server took it so.
    pub fn hello_went(&self, attempt: u64) {
        if let Some(outbox) = self.lock().outbox.of(attempt) {
            outbox.hello = None;
            outbox.begun = true;
        }
    }

    /// Waits for frames of that attempt to write, or for its end. What was sent after a change of
    /// the network is not written before it.
    pub async fn outgoing(&self, attempt: u64) -> Outgoing {
        self.when(|waiting| {
            if waiting.cut || waiting.rebind {
                return None;
            }
            waiting.outbox.of(attempt)?.outgoing()
        })
        .await
    }

    /// Waits until that attempt is to be closed.
    pub async fn closing(&self, attempt: u64) {
        self.when(|waiting| waiting.outbox.of(attempt)?.closing.then_some(()))
            .await;
    }

    /// Whether that attempt is to be closed.
    pub fn is_closing(&self, attempt: u64) -> bool {
        let mut waiting = self.lock();
        waiting
            .outbox
            .of(attempt)
            .is_some_and(|outbox| outbox.closing)
    }

    /// Waits until no more can be taken for that attempt.
    pub async fn broken(&self, attempt: u64) -> LinkDown {
        self.when(|waiting| waiting.outbox.of(attempt)?.broken.take())
            .await
    }

    /// That attempt is over: its frames are dropped.
    pub fn over(&self, attempt: u64) {
        let mut waiting = self.lock();
        if waiting.outbox.attempt == Some(attempt) {
            waiting.outbox = Outbox::default();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn when<T>(&self, mut look: impl FnMut(&mut Waiting) -> Option<T>) -> T {
        loop {
            // Made before looking: what rings in between is not missed.
            let rung = self.bell.notified();
            let found = look(&mut self.lock());
            if let Some(found) = found {
                return found;
            }
            rung.await;
        }
    }
}

impl Waiting {
    fn connect(&mut self, attempt: u64) {
        if self.leave || self.connects.len() >= CONNECTS_MAX {
            tracing::error!(attempt, "an attempt was asked for that is not begun");
            return;
        }
        self.connects.push_back(attempt);
        self.outbox = Outbox {
            attempt: Some(attempt),
            ..Outbox::default()
        };
    }

    fn next_step(&mut self) -> Option<Step> {
        if mem::take(&mut self.cut) {
            return Some(Step::Cut);
        }
        if mem::take(&mut self.rebind) {
            return Some(Step::Rebind);
        }
        if let Some(attempt) = self.connects.pop_front() {
            return Some(Step::Connect {
                attempt,
                gate: (!self.offline).then(|| self.gate.clone()),
            });
        }
        if self.leave && !mem::replace(&mut self.leave_taken, true) {
            return Some(Step::Leave);
        }
        None
    }
}

impl Outbox {
    fn of(&mut self, attempt: u64) -> Option<&mut Self> {
        (self.attempt == Some(attempt)).then_some(self)
    }

    fn send(&mut self, attempt: u64, frame: &ToServer) {
        if self.attempt != Some(attempt) || self.closing || self.broken.is_some() {
            return;
        }
        match encode(frame) {
            Err(error) => self.broken = Some(LinkDown::new(DownKind::Protocol, error)),
            Ok(bytes) if self.bytes.len() + bytes.len() > OUTBOX_BYTES_MAX => {
                self.broken = Some(LinkDown::new(
                    DownKind::Overflow,
                    format!(
                        "{} bytes of frames wait for a server that does not read, and {} more would \
                         be over the {OUTBOX_BYTES_MAX} that may; connect again",
                        self.bytes.len(),
                        bytes.len()
                    ),
                ));
            }
            Ok(bytes) => self.keep(frame, bytes),
        }
    }

    fn keep(&mut self, frame: &ToServer, bytes: Vec<u8>) {
        match frame {
            ToServer::Hello(_) if !self.begun && self.hello.is_none() => self.hello = Some(bytes),
            ToServer::Hello(_)
            | ToServer::Command(_)
            | ToServer::Receipt(_)
            | ToServer::Ping(_)
            | ToServer::Settled(_)
            | ToServer::Renew(_)
            | ToServer::Seen(_)
            | ToServer::Logout => self.bytes.extend_from_slice(&bytes),
        }
    }

    fn outgoing(&mut self) -> Option<Outgoing> {
        self.begun = true;
        if let Some(mut bytes) = self.hello.take() {
            bytes.append(&mut self.bytes);
            return Some(Outgoing::Bytes(bytes));
        }
        if !self.bytes.is_empty() {
            return Some(Outgoing::Bytes(mem::take(&mut self.bytes)));
        }
        self.closing.then_some(Outgoing::Finish)
    }
}
