//! What has come through, at either end.

use offhook::client::core::{Core, Role};
use offhook::client::transport::{DownKind, LinkEvent};
use offhook::protocol::{ToDevice, ToServer};
use offhook::server::core::{ConnId, Input};
use offhook::{Code, Error};

use super::{Piece, Side};
use crate::handset::NAP_MS;
use crate::observe::{FENCED, OfHandset, OfServer, What};
use crate::world::{Happens, World};

impl World {
    /// The next piece of what a handset sent is there.
    pub fn reaches_server(&mut self, id: u64) {
        let Some(conn) = self.conns.get(&id) else {
            return;
        };
        let handset = conn.handset;
        let way = &self.hands[handset].way;
        if way.up_blocked_until > self.now {
            let again = way.up_blocked_until + self.rng.ms(1, 500);
            return self.at(again, Happens::ReachesServer { conn: id });
        }
        let acknowledged = way.down_blocked_until <= self.now;
        let now = self.now;
        let Some(conn) = self.conns.get_mut(&id) else {
            return;
        };
        let Some(piece) = conn.up.waiting.pop_front() else {
            return;
        };
        if !self.server.is_up() || conn.there == Side::Gone {
            return;
        }
        conn.heard_there = now;
        if acknowledged {
            conn.heard_here = now;
        }
        if conn.there == Side::Dialing {
            self.reaches_server_first(id, false);
        }
        match piece {
            Piece::Bytes(bytes) => self.server_reads(id, handset, &bytes),
            Piece::HandshakeEnd => self.confirmed(id),
            Piece::End => self.server_notices(id),
        }
    }

    /// The server learns of a connection.
    pub fn reaches_server_first(&mut self, id: u64, early: bool) {
        let Some(conn) = self.conns.get_mut(&id) else {
            return;
        };
        conn.there = Side::Open;
        let (run, attempt) = (conn.run, conn.attempt);
        let handset = self.hands[conn.handset].handset;
        self.log_server(OfServer::Connected {
            conn: id,
            handset,
            run,
            attempt,
            early,
        });
        let conn = ConnId(id);
        let peer = ([127, 0, 0, 1], 9).into();
        self.server_input(Input::Connected { conn, peer, early });
    }

    fn server_reads(&mut self, id: u64, handset: usize, bytes: &[u8]) {
        let mut frames = Vec::new();
        let mut broken = None;
        if let Some(conn) = self.conns.get_mut(&id) {
            conn.up.buffer.push(bytes);
            loop {
                match conn.up.buffer.next_frame::<ToServer>() {
                    Ok(Some(frame)) => frames.push(frame),
                    Ok(None) => break,
                    Err(error) => {
                        broken = Some(error.to_string());
                        break;
                    }
                }
            }
        }
        for frame in frames {
            if !matches!(frame, ToServer::Ping(_)) {
                let handset = self.hands[handset].handset;
                let frame = Box::new(frame.clone());
                self.log_server(OfServer::Got {
                    conn: id,
                    handset,
                    frame,
                });
            }
            self.server_input(Input::Frame {
                conn: ConnId(id),
                frame,
            });
        }
        if let Some(reason) = broken {
            self.log(What::LoggedError(format!("a broken stream: {reason}")));
            let conn = ConnId(id);
            self.server_input(Input::Broken { conn, reason });
        }
    }

    /// The next piece of what the server sent is there.
    pub fn reaches_handset(&mut self, id: u64) {
        let Some(conn) = self.conns.get(&id) else {
            return;
        };
        let (handset, run) = (conn.handset, conn.run);
        let hand = &self.hands[handset];
        if hand.asleep {
            return self.after(NAP_MS, Happens::ReachesHandset { conn: id });
        }
        if hand.way.down_blocked_until > self.now {
            let again = hand.way.down_blocked_until + self.rng.ms(1, 500);
            return self.at(again, Happens::ReachesHandset { conn: id });
        }
        let acknowledged = hand.way.up_blocked_until <= self.now;
        let now = self.now;
        if conn.here == Side::Dialing {
            // What comes back completes the handshake.
            self.comes_up(id);
        }
        let Some(conn) = self.conns.get_mut(&id) else {
            return;
        };
        let Some(piece) = conn.down.waiting.pop_front() else {
            return;
        };
        if conn.here != Side::Open {
            return;
        }
        conn.heard_here = now;
        if acknowledged {
            conn.heard_there = now;
        }
        let bytes = match piece {
            Piece::Bytes(bytes) => bytes,
            Piece::HandshakeEnd => return,
            Piece::End => return self.goes_down(id, DownKind::Closed),
        };
        conn.down.buffer.push(&bytes);
        loop {
            let Some(conn) = self.conns.get_mut(&id) else {
                return;
            };
            if conn.here != Side::Open {
                return;
            }
            let attempt = conn.attempt;
            match conn.down.buffer.next_frame::<ToDevice>() {
                Ok(Some(frame)) => self.handset_gets(handset, run, id, attempt, frame),
                Ok(None) => return,
                Err(error) => {
                    self.log(What::LoggedError(format!("a broken stream: {error}")));
                    return self.goes_down(id, DownKind::Protocol);
                }
            }
        }
    }

    fn handset_gets(&mut self, handset: usize, run: u32, id: u64, attempt: u64, frame: ToDevice) {
        let event = LinkEvent::Frame {
            attempt,
            frame: frame.clone(),
        };
        let done = self.ask(handset, |core: &mut Core, now| core.handle_link(now, event));
        let survived = done.is_some();
        // The server gives out sessions as soon as a handshake is complete.
        if let Some(process) = &mut self.hands[handset].process
            && !matches!(frame, ToDevice::Preview(_))
        {
            process.tls_session = Some(self.server.tls_key);
        }
        let mut error = done.and_then(Result::err);
        if let Some(error) = &error {
            self.report(error);
        }
        let process = self.hands[handset].process.as_ref();
        if process.is_some_and(|process| process.core.role() == Role::Waiting) {
            let message = "another process has the file by now";
            error = Some(Error::new(Code::InUse, FENCED, message));
        }
        if !matches!(frame, ToDevice::Pong(_)) || error.is_some() {
            let frame = Box::new(frame);
            self.log_handset(
                handset,
                OfHandset::Got {
                    run,
                    conn: id,
                    frame,
                    survived,
                    error,
                },
            );
        }
        self.carry_out(handset);
    }
}
