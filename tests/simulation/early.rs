//! A hello that goes ahead of the end of its handshake, as the first packet of a connection that
//! resumes a TLS session.
//!
//! Such a hello is taken early, or refused and said again after the handshake. What was taken early
//! is confirmed when the handshake is complete, which the end of the handset's part says, or never.
//! And whoever has recorded the packet sends it again, on a connection that nobody ever confirms.

use offhook::protocol::ToServer;
use offhook::server::core::{ConnId, Input};

use super::network::{Conn, Piece, Side};
use super::observe::OfServer;
use super::world::{Happens, World};

/// How long the server waits for the end of a handshake.
const CONFIRMED_WITHIN_MS: i64 = 10_000;
/// Of a hundred early hellos, how many are refused: sessions are forgotten, and packets lost.
const REFUSED_PERCENT: u64 = 15;
/// Of a hundred early hellos that were taken, how many somebody sends again.
const REPLAYED_PERCENT: u64 = 30;

/// How far a connection's hello is ahead of its handshake.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ahead {
    /// It is not.
    #[default]
    No,
    /// It is under way with the first packet.
    Offered,
    /// The server has it.
    Taken,
    /// The server has it, and knows that the handshake is complete.
    Confirmed,
}

impl World {
    /// An attempt begins: its hello goes ahead if there is a session to resume.
    pub fn goes_ahead(&mut self, id: u64, handset: usize) {
        let Some(process) = &mut self.hands[handset].process else {
            return;
        };
        // A session is good once.
        if process.tls_session.take() != Some(self.server.tls_key) {
            return;
        }
        if self.rng.percent(REFUSED_PERCENT) {
            return;
        }
        if let Some(conn) = self.conns.get_mut(&id) {
            conn.ahead = Ahead::Offered;
        }
        let delay = self.delay(handset);
        self.after(delay, Happens::HelloAhead { conn: id });
    }

    /// A first packet reaches the server, perhaps after whoever sent it has given up.
    pub fn hello_ahead(&mut self, id: u64) {
        let Some(conn) = self.conns.get(&id) else {
            return;
        };
        if conn.ahead != Ahead::Offered || conn.there != Side::Dialing || conn.before.is_empty() {
            return;
        }
        let (handset, dials) = (conn.handset, conn.here == Side::Dialing);
        let blocked = self.hands[handset].way.up_blocked_until > self.now;
        if blocked || !self.server.is_up() {
            if dials {
                let wait = self.rng.ms(300, 1_000);
                self.after(wait, Happens::HelloAhead { conn: id });
            }
            return;
        }
        let Some(conn) = self.conns.get_mut(&id) else {
            return;
        };
        conn.ahead = Ahead::Taken;
        let frames = std::mem::take(&mut conn.before);
        if self.rng.percent(REPLAYED_PERCENT) {
            let wait = self.rng.spread_ms(50, 150_000);
            let frames = frames.clone();
            self.after(wait, Happens::HelloReplayed { conn: id, frames });
        }
        self.taken_early(id, frames);
    }

    /// A recorded first packet reaches the server again.
    pub fn hello_replayed(&mut self, of: u64, frames: Vec<ToServer>) {
        let Some(conn) = self.conns.get(&of) else {
            return;
        };
        if !self.server.is_up() {
            return;
        }
        let (handset, run, attempt) = (conn.handset, conn.run, conn.attempt);
        self.conns_made += 1;
        let id = self.conns_made;
        let mut conn = Conn::new(handset, run, attempt, self.now);
        conn.here = Side::Gone;
        conn.ahead = Ahead::Taken;
        self.conns.insert(id, conn);
        self.taken_early(id, frames);
    }

    fn taken_early(&mut self, id: u64, frames: Vec<ToServer>) {
        self.reaches_server_first(id, true);
        let handset = self
            .conns
            .get(&id)
            .map(|conn| self.hands[conn.handset].handset);
        for frame in frames {
            if let Some(handset) = handset {
                let frame = Box::new(frame.clone());
                self.log_server(OfServer::Got {
                    conn: id,
                    handset,
                    frame,
                });
            }
            let conn = ConnId(id);
            self.server_input(Input::Frame { conn, frame });
        }
        self.after(CONFIRMED_WITHIN_MS, Happens::NotConfirmed { conn: id });
    }

    /// The handset has a connection; what completes it at the server is under way.
    pub fn completes_handshake(&mut self, id: u64) {
        if self.conns[&id].ahead == Ahead::Taken {
            self.put_up(id, Piece::HandshakeEnd);
        }
    }

    /// A handshake whose hello was ahead is complete at the server.
    pub fn confirmed(&mut self, id: u64) {
        if let Some(conn) = self.conns.get_mut(&id) {
            conn.ahead = Ahead::Confirmed;
        }
        self.log_server(OfServer::Confirmed { conn: id });
        let conn = ConnId(id);
        self.server_input(Input::Confirmed { conn });
    }

    /// The server has waited long enough for the end of a handshake.
    pub fn not_confirmed(&mut self, id: u64) {
        if self.conns[&id].ahead == Ahead::Taken {
            self.server_notices(id);
        }
    }
}
