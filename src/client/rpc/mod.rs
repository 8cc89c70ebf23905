//! The conversation of another program with an engine: JSON-RPC 2.0, one message a line, whatever
//! carries the lines. `offhook rpc` does by stdin and stdout, bindings do in memory.
//!
//! One loop (`session`, with `slow` beside it) takes requests in their order (`message`, `params`,
//! `methods`) and events in theirs, and hands all that goes out to one writer. A verdict that a request waits for is taken from
//! the stream of events, where it comes before the events that it caused; so it does on the way out.

mod message;
mod methods;
mod open;
mod params;
mod session;
mod slow;

use tokio::sync::oneshot;

pub use message::reply;
pub use open::Opening;
pub use session::Session;

/// Most bytes of a line that is taken; a longer one is answered with an error.
pub const LINE_BYTES_MAX: usize = 1024 * 1024;

/// A line of input.
#[derive(Debug, PartialEq, Eq)]
pub enum Line {
    /// What it says, without its end.
    Text(Vec<u8>),
    /// It has more than [`LINE_BYTES_MAX`] bytes.
    TooLong,
}

/// Something for whoever writes what goes out.
#[derive(Debug)]
pub enum Out {
    /// A line.
    Line(String),
    /// A line that hands over the verdict at that position of the journal: once written, it is
    /// owed to nobody else, see [`crate::Engine::verdict_taken`].
    Verdict(String, u64),
    /// Tells when all before it is written.
    Written(oneshot::Sender<()>),
}
