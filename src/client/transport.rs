//! What the core's shell and the carrier of its frames say to each other.
//!
//! Commands go to the carrier, events come back. An *attempt* is one try at a connection, numbered
//! by whoever asks for it, with all that becomes of it: at most one [`LinkEvent::Up`], then frames,
//! and always exactly one [`LinkEvent::Down`], after which the attempt says nothing more. Nothing
//! here knows QUIC, so that another carrier can take its place.

use std::fmt;
use std::net::SocketAddr;

use crate::protocol::{ToDevice, ToServer};

/// Carries frames to the server and back.
pub trait Transport: Send {
    /// Takes a command. Never blocks; what comes of it is told as [`LinkEvent`]s.
    fn command(&mut self, command: LinkCommand);
}

/// What the carrier is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkCommand {
    /// Connect. An attempt that is still going on is dropped first ([`DownKind::Local`]).
    Connect {
        /// The number of the new attempt.
        attempt: u64,
    },
    /// Send a frame. What is sent before [`LinkEvent::Up`] waits for it, but for a hello, which goes
    /// ahead where the carrier can, and again where the server did not take it so; it is the first
    /// frame in any case. What is sent to an attempt that is over is dropped.
    Send {
        /// The attempt it belongs to.
        attempt: u64,
        /// The frame.
        frame: ToServer,
    },
    /// Send what is waiting, tell the server, end. Takes a bounded time.
    Close {
        /// The attempt that ends.
        attempt: u64,
    },
    /// Whether there is a network; at first there is. Without one nothing is sent, nothing is heard
    /// and nobody is told, from when the command was taken: what goes on ends ([`DownKind::Local`]),
    /// and an attempt asked for ends at once ([`DownKind::Address`]).
    SetNetwork(bool),
    /// The device moved to another network: go on from a new local address. What is sent after this
    /// leaves from there; a handshake that is under way begins again.
    NetworkChanged,
    /// Close the attempt that is going on, if any, and end. Later commands do nothing.
    Shutdown,
}

/// What the carrier tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkEvent {
    /// The attempt has a connection; frames can go both ways.
    Up {
        /// Which attempt.
        attempt: u64,
        /// Where the server is.
        server: SocketAddr,
    },
    /// A frame came.
    Frame {
        /// On which attempt.
        attempt: u64,
        /// The frame.
        frame: ToDevice,
    },
    /// The attempt is over.
    Down {
        /// Which attempt.
        attempt: u64,
        /// Why.
        why: LinkDown,
    },
}

/// Takes the events of a carrier, on the carrier's thread. It may block for a while: then the
/// server is held back as well.
pub type OnLinkEvent = Box<dyn Fn(LinkEvent) + Send>;

/// Why an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkDown {
    /// The kind, to act on.
    pub kind: DownKind,
    /// A sentence, to read.
    pub message: String,
}

impl LinkDown {
    /// An end of that kind.
    pub fn new(kind: DownKind, message: impl fmt::Display) -> Self {
        Self {
            kind,
            message: message.to_string(),
        }
    }
}

/// The kinds of ends of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DownKind {
    /// Nobody answered in time. Several in a row may mean that UDP is blocked.
    HandshakeTimeout,
    /// There is a server, and it does not want this connection, or speaks no protocol of ours.
    Refused,
    /// The server's certificate is not trusted.
    Certificate,
    /// The connection was lost: unheard for too long, reset, cut off.
    Lost,
    /// The server ended the connection in good order.
    Closed,
    /// What was said is not the protocol.
    Protocol,
    /// This side ended it.
    Local,
    /// No way to the server: its name has no address, there is no socket, or no network.
    Address,
    /// Frames were given faster than the connection could take them.
    Overflow,
}
