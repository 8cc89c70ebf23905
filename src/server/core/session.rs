//! What the core knows of a connection, and of the device at its other end.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

use super::ConnId;
use crate::call::{CallId, DeviceId, Millis};
use crate::protocol::Hello;
use crate::server::store::DeviceRow;

/// A connection.
#[derive(Clone, Debug)]
pub(super) struct Session {
    /// Where it comes from.
    pub(super) peer: SocketAddr,
    /// Whether it is certain that somebody is there.
    pub(super) handshake: Handshake,
    /// When it was last heard.
    pub(super) heard_at: Millis,
    /// Frames that were handed out and not yet reported as written.
    pub(super) queued: usize,
    /// How many frames other than commands it may still send now.
    pub(super) frames: Bucket,
    /// Who it is, once it has said hello.
    pub(super) device: Option<Device>,
}

/// How far the handshake of a connection is.
#[derive(Clone, Debug)]
pub(super) enum Handshake {
    /// Complete: what comes was said just now, and to this server.
    Done,
    /// Not complete. What has come is one hello at most, which waits.
    Pending(Option<Box<Hello>>),
}

impl Handshake {
    /// That of a new connection.
    pub(super) fn of(early: bool) -> Self {
        if early {
            Self::Pending(None)
        } else {
            Self::Done
        }
    }

    /// Whether it is not complete.
    pub(super) fn is_pending(&self) -> bool {
        match self {
            Self::Pending(_) => true,
            Self::Done => false,
        }
    }
}

/// A device that has said hello.
#[derive(Clone, Debug)]
pub(super) struct Device {
    /// What the store has of it, or will have at the end of the step.
    pub(super) row: DeviceRow,
    /// Whether the row is not written yet.
    pub(super) row_changed: bool,
    /// Counts hellos: the device of a user with the smallest is connected the longest.
    pub(super) hello_order: u64,
    /// The command that was put off: until it comes again, later ones are passed over.
    pub(super) stopped_at: Option<u64>,
    /// The number of the last verdict that was sent on this connection, or that the device had
    /// before.
    pub(super) verdict_sent: u64,
    /// How far it is with catching up.
    pub(super) phase: Phase,
    /// The last number of its user's feed that was sent.
    pub(super) position: u64,
    /// When its token runs out.
    pub(super) token_expires_at: Option<Millis>,
}

/// How far a device is with catching up.
///
/// ```text
/// Open ──> History ──> Live <──> Behind
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// These are to be sent first.
    Open(VecDeque<CallId>),
    /// Then the feed from where the device is.
    History,
    /// All that is in the store was sent; what changes is sent in the step that changes it.
    Live,
    /// It reads more slowly than things happen: the feed is read from the store again.
    Behind,
}

impl Phase {
    /// Whether there is something to be read from the store for it.
    pub(super) fn is_reading(&self) -> bool {
        match self {
            Self::Open(_) | Self::History | Self::Behind => true,
            Self::Live => false,
        }
    }
}

/// A user with at least one device that has said hello.
#[derive(Clone, Debug)]
pub(super) struct User {
    /// By which connection each device is here.
    pub(super) devices: BTreeMap<DeviceId, ConnId>,
    /// Until when a device was here that is so no more; the latest of them.
    pub(super) left_at: Millis,
    /// How many commands they may still send now.
    pub(super) commands: Bucket,
}

/// So many at once, and so many a second.
#[derive(Clone, Debug)]
pub(super) struct Bucket {
    /// Thousandths of what is left.
    left: i64,
    at: Millis,
}

impl Bucket {
    /// A full one.
    pub(super) fn full(burst: i64, now: Millis) -> Self {
        Self {
            left: burst * 1_000,
            at: now,
        }
    }

    /// Takes one, or says in how many milliseconds there is one.
    pub(super) fn take(&mut self, per_s: i64, burst: i64, now: Millis) -> Result<(), Millis> {
        self.take_many(1, per_s, burst, now)
    }

    /// Takes so many, or none of them.
    pub(super) fn take_many(
        &mut self,
        count: i64,
        per_s: i64,
        burst: i64,
        now: Millis,
    ) -> Result<(), Millis> {
        let wanted = count * 1_000;
        let gained = (now - self.at).max(0).saturating_mul(per_s);
        self.left = self.left.saturating_add(gained).min(burst * 1_000);
        self.at = now;
        if self.left >= wanted {
            self.left -= wanted;
            return Ok(());
        }
        Err((wanted - self.left) / per_s + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_gives_its_burst_and_then_its_rate() {
        let mut bucket = Bucket::full(3, 0);
        for _ in 0..3 {
            assert_eq!(bucket.take(10, 3, 0), Ok(()));
        }
        assert_eq!(bucket.take(10, 3, 0), Err(101));
        assert_eq!(bucket.take(10, 3, 99), Err(2));
        assert_eq!(bucket.take(10, 3, 101), Ok(()));
        assert!(bucket.take(10, 3, 101).is_err());
    }
}
