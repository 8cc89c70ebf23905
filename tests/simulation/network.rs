//! The way between the handsets and the server: connections that are two ordered streams of bytes
//! over a network that loses, delays and cuts.
//!
//! What a packet network does to packets shows here as time: what is lost is sent again, later; what
//! is reordered waits for what comes before it. A connection dies when either side has heard nothing
//! for too long, when it is cut, or when a side ends it; what was under way then arrives up to any
//! byte, late, perhaps after the next connection of the same handset.

mod arriving;

use std::collections::VecDeque;

use offhook::client::transport::{DownKind, LinkCommand, LinkDown, LinkEvent};
use offhook::protocol::{FrameBuffer, ToDevice, ToServer, encode};
use offhook::server::core::{ConnId, Input};

use super::early::Ahead;
use super::observe::{OfHandset, OfNetwork, OfServer, TrueMs, What};
use super::world::{Happens, World};

/// How long a handshake is tried for.
const HANDSHAKE_MS: i64 = 10_000;
/// How long either side goes on without hearing the other.
const IDLE_MS: i64 = 45_000;
/// The first pause before something lost is sent again.
const AGAIN_MS: i64 = 150;

/// A connection, or an attempt at one.
pub struct Conn {
    pub handset: usize,
    pub run: u32,
    pub attempt: u64,
    pub up: Stream,
    pub down: Stream,
    /// How it stands at the handset.
    pub here: Side,
    /// How it stands at the server.
    pub there: Side,
    heard_here: TrueMs,
    heard_there: TrueMs,
    /// What was given before the connection was there.
    pub before: Vec<ToServer>,
    /// Whether it goes ahead of the handshake.
    pub ahead: Ahead,
}

impl Conn {
    /// An attempt that has just begun.
    pub fn new(handset: usize, run: u32, attempt: u64, now: TrueMs) -> Self {
        Self {
            handset,
            run,
            attempt,
            up: Stream::default(),
            down: Stream::default(),
            here: Side::Dialing,
            there: Side::Dialing,
            heard_here: now,
            heard_there: now,
            before: Vec::new(),
            ahead: Ahead::No,
        }
    }
}

/// How a connection stands at one of its ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Being made.
    Dialing,
    /// It is there.
    Open,
    /// Gone; nothing more is said or heard.
    Gone,
}

/// One direction.
#[derive(Default)]
pub struct Stream {
    waiting: VecDeque<Piece>,
    /// When the last of it arrives.
    last: TrueMs,
    /// Nothing more is taken.
    shut: bool,
    buffer: FrameBuffer,
}

pub enum Piece {
    Bytes(Vec<u8>),
    /// What completes a handshake that a hello was ahead of.
    HandshakeEnd,
    /// The end, said in good order. Said once: lost is lost.
    End,
}

impl World {
    /// Does what a core asks of its link.
    pub fn link(&mut self, handset: usize, command: LinkCommand) {
        let Some(process) = &self.hands[handset].process else {
            return;
        };
        let (run, conn) = (process.run, process.conn);
        match command {
            LinkCommand::Connect { attempt } => {
                if let Some(conn) = conn {
                    self.abandon(conn, true);
                }
                self.connect(handset, run, attempt);
            }
            LinkCommand::Send { attempt, frame } => {
                if let Some(id) = conn.filter(|id| self.conns[id].attempt == attempt) {
                    self.send_up(id, &frame);
                }
            }
            LinkCommand::Close { attempt } => {
                if let Some(id) = conn.filter(|id| self.conns[id].attempt == attempt) {
                    self.abandon(id, true);
                }
            }
            LinkCommand::SetNetwork(online) => {
                if let Some(process) = &mut self.hands[handset].process {
                    process.no_network = !online;
                }
                if let Some(conn) = conn.filter(|_| !online) {
                    self.abandon(conn, false);
                }
            }
            LinkCommand::NetworkChanged => {
                // The way is another one; whether the connection lives through it is decided by
                // the fault that it comes with.
                self.hands[handset].way.delay_ms = self.rng.spread_ms(2, 200);
            }
            LinkCommand::Shutdown => {}
        }
    }

    fn connect(&mut self, handset: usize, run: u32, attempt: u64) {
        self.conns_made += 1;
        let id = self.conns_made;
        let now = self.now;
        self.conns.insert(id, Conn::new(handset, run, attempt, now));
        self.log_handset(handset, OfHandset::Connects { run, attempt });
        let Some(process) = &mut self.hands[handset].process else {
            return;
        };
        process.conn = Some(id);
        if process.no_network {
            return self.after(0, Happens::HandsetNotices { conn: id });
        }
        self.goes_ahead(id, handset);
        let round_trip = 2 * self.delay(handset);
        let until = now + HANDSHAKE_MS;
        self.after(round_trip, Happens::Dials { conn: id, until });
    }

    pub fn dials(&mut self, id: u64, until: TrueMs) {
        let Some(conn) = self.conns.get(&id) else {
            return;
        };
        if conn.here != Side::Dialing {
            return;
        }
        let handset = conn.handset;
        let way = &self.hands[handset].way;
        let blocked = way.up_blocked_until > self.now || way.down_blocked_until > self.now;
        if self.now >= until {
            return self.goes_down(id, DownKind::HandshakeTimeout);
        }
        if self.hands[handset].asleep || blocked || !self.server.is_up() {
            let wait = self.rng.ms(300, 1_000);
            return self.after(wait, Happens::Dials { conn: id, until });
        }
        self.comes_up(id);
    }

    /// The handshake is complete for the handset.
    fn comes_up(&mut self, id: u64) {
        let now = self.now;
        let Some(conn) = self.conns.get_mut(&id) else {
            return;
        };
        conn.here = Side::Open;
        conn.heard_here = now;
        conn.heard_there = now;
        let (handset, run, attempt) = (conn.handset, conn.run, conn.attempt);
        self.completes_handshake(id);
        self.after(IDLE_MS, Happens::Idle { conn: id });
        self.log_handset(handset, OfHandset::Up { run, attempt });
        let before = self
            .conns
            .get_mut(&id)
            .map(|conn| std::mem::take(&mut conn.before));
        for frame in before.into_iter().flatten() {
            self.send_up(id, &frame);
        }
        let server = ([127, 0, 0, 1], 4433).into();
        self.tell_core(handset, LinkEvent::Up { attempt, server });
    }

    fn tell_core(&mut self, handset: usize, event: LinkEvent) {
        let done = self.ask(handset, |core, now| core.handle_link(now, event));
        if let Some(Err(error)) = &done {
            self.report(error);
        }
        self.carry_out(handset);
    }

    /// The handset learns that the attempt is over.
    fn goes_down(&mut self, id: u64, kind: DownKind) {
        let Some(conn) = self.conns.get_mut(&id) else {
            return;
        };
        if conn.here == Side::Gone {
            return;
        }
        conn.here = Side::Gone;
        conn.up.shut = true;
        let (handset, run, attempt) = (conn.handset, conn.run, conn.attempt);
        let hand = &mut self.hands[handset];
        let Some(process) = hand.process.as_mut().filter(|process| process.run == run) else {
            return;
        };
        if process.conn == Some(id) {
            process.conn = None;
        }
        let why = kind;
        self.log_handset(handset, OfHandset::Down { run, attempt, why });
        let why = LinkDown::new(kind, "down");
        self.tell_core(handset, LinkEvent::Down { attempt, why });
    }

    /// The handset is done with a connection; `politely`: it tells the server, which may hear it.
    pub fn abandon(&mut self, id: u64, politely: bool) {
        let Some(conn) = self.conns.get_mut(&id) else {
            return;
        };
        let (was, handset, run, attempt) = (conn.here, conn.handset, conn.run, conn.attempt);
        if was == Side::Gone {
            return;
        }
        if was == Side::Open && politely {
            self.put_up(id, Piece::End);
        }
        let Some(conn) = self.conns.get_mut(&id) else {
            return;
        };
        conn.here = Side::Gone;
        conn.up.shut = true;
        if let Some(process) = &mut self.hands[handset].process
            && process.conn == Some(id)
        {
            process.conn = None;
            let why = DownKind::Local;
            self.log_handset(handset, OfHandset::Down { run, attempt, why });
            // The core has turned away from it before, so it has nothing to say to this.
        }
        if was == Side::Open && !politely {
            self.after(IDLE_MS, Happens::ServerNotices { conn: id });
        }
    }

    /// The connection breaks: what is under way arrives up to any byte, and late.
    pub fn cut(&mut self, handset: usize) {
        let process = self.hands[handset].process.as_ref();
        let Some(id) = process.and_then(|process| process.conn) else {
            return;
        };
        self.log_network(handset, OfNetwork::Cut);
        self.break_conn(id);
        let (here, there) = (self.notices_after(), self.notices_after());
        self.after(here, Happens::HandsetNotices { conn: id });
        self.after(there, Happens::ServerNotices { conn: id });
    }

    fn notices_after(&mut self) -> i64 {
        let soon = self.rng.spread_ms(1, 5_000);
        self.rng.weighted(&[(1, 0), (2, soon), (1, IDLE_MS)])
    }

    /// Nothing more gets through, but for some of what is under way.
    pub fn break_conn(&mut self, id: u64) {
        let late = self.rng.spread_ms(1, 8_000);
        let keep = self.rng.next();
        let Some(conn) = self.conns.get_mut(&id) else {
            return;
        };
        for (stream, keep) in [(&mut conn.up, keep >> 32), (&mut conn.down, keep)] {
            stream.shut = true;
            let sum = |piece: &Piece| match piece {
                Piece::Bytes(bytes) => bytes.len(),
                Piece::HandshakeEnd => 1,
                Piece::End => 0,
            };
            let total: usize = stream.waiting.iter().map(sum).sum();
            let mut left = (keep as u32 as usize) % (total + 1);
            stream.waiting.retain_mut(|piece| match piece {
                Piece::Bytes(bytes) => {
                    bytes.truncate(left);
                    left -= bytes.len();
                    !bytes.is_empty()
                }
                Piece::HandshakeEnd => {
                    let arrives = left > 0;
                    left = left.saturating_sub(1);
                    arrives
                }
                Piece::End => false,
            });
        }
        let (up, down) = (conn.up.waiting.len(), conn.down.waiting.len());
        for _ in 0..up {
            self.after(late, Happens::ReachesServer { conn: id });
        }
        for _ in 0..down {
            self.after(late, Happens::ReachesHandset { conn: id });
        }
    }

    fn send_up(&mut self, id: u64, frame: &ToServer) {
        if let Some(conn) = self.conns.get_mut(&id)
            && conn.here == Side::Dialing
        {
            return conn.before.push(frame.clone());
        }
        match encode(frame) {
            Ok(bytes) => self.put_in_pieces(id, bytes, true),
            Err(error) => self.log(What::LoggedError(format!("a frame of ours: {error}"))),
        }
    }

    /// The server's core sends a frame.
    pub fn send_down(&mut self, id: u64, frame: &ToDevice) {
        match encode(frame) {
            Ok(bytes) => self.put_in_pieces(id, bytes, false),
            Err(error) => self.log(What::LoggedError(format!("a frame of ours: {error}"))),
        }
    }

    fn put_in_pieces(&mut self, id: u64, mut bytes: Vec<u8>, up: bool) {
        if self.rng.percent(10) {
            let rest = bytes.split_off(self.rng.index(bytes.len()));
            self.put(id, Piece::Bytes(bytes), up);
            bytes = rest;
        }
        self.put(id, Piece::Bytes(bytes), up);
    }

    pub fn put_up(&mut self, id: u64, piece: Piece) {
        self.put(id, piece, true);
    }

    fn put(&mut self, id: u64, piece: Piece, up: bool) {
        let Some(conn) = self.conns.get(&id) else {
            return;
        };
        let delay = self.delay(conn.handset);
        let now = self.now;
        let Some(conn) = self.conns.get_mut(&id) else {
            return;
        };
        let stream = if up { &mut conn.up } else { &mut conn.down };
        if stream.shut {
            return;
        }
        stream.waiting.push_back(piece);
        stream.last = stream.last.max(now + delay);
        let at = stream.last;
        let arrives = if up {
            Happens::ReachesServer { conn: id }
        } else {
            Happens::ReachesHandset { conn: id }
        };
        self.at(at, arrives);
    }

    /// How long something is under way now, with all its losses.
    pub fn delay(&mut self, handset: usize) -> i64 {
        let way = &self.hands[handset].way;
        let most = if way.slow_until > self.now {
            way.slow_ms
        } else {
            way.delay_ms / 4 + 3
        };
        let base = way.delay_ms / 2;
        let mut delay = base + self.rng.ms(0, most);
        if !self.calm {
            let mut again = AGAIN_MS;
            while self.rng.percent(self.scenario.weather.loss_percent) && again < 5_000 {
                delay += again;
                again *= 2;
            }
        }
        delay
    }

    /// Ends what has not been heard for too long, at either side.
    pub fn idle(&mut self, id: u64) {
        let Some(conn) = self.conns.get(&id) else {
            return;
        };
        let (here, there) = (conn.heard_here + IDLE_MS, conn.heard_there + IDLE_MS);
        let asleep = self.hands[conn.handset].asleep;
        if conn.here == Side::Gone && conn.there == Side::Gone {
            return;
        }
        let mut next = TrueMs::MAX;
        if conn.there == Side::Open && there > self.now {
            next = next.min(there);
        }
        if conn.here == Side::Open {
            next = next.min(if asleep { self.now + 1_000 } else { here });
        }
        if here <= self.now && !asleep {
            self.goes_down(id, DownKind::Lost);
        }
        if there <= self.now {
            self.server_notices(id);
        }
        if next < TrueMs::MAX {
            self.at(next.max(self.now + 1), Happens::Idle { conn: id });
        }
    }

    pub fn handset_notices(&mut self, id: u64) {
        let Some(conn) = self.conns.get(&id) else {
            return;
        };
        let kind = if conn.here == Side::Dialing {
            DownKind::Address
        } else {
            DownKind::Lost
        };
        if self.hands[conn.handset].asleep {
            return self.after(900, Happens::HandsetNotices { conn: id });
        }
        self.goes_down(id, kind);
    }

    pub fn server_notices(&mut self, id: u64) {
        let Some(conn) = self.conns.get_mut(&id) else {
            return;
        };
        let was = std::mem::replace(&mut conn.there, Side::Gone);
        conn.down.shut = true;
        if was == Side::Open && self.server.is_up() {
            self.log_server(OfServer::Disconnected { conn: id });
            let conn = ConnId(id);
            self.server_input(Input::Disconnected { conn });
        }
    }

    /// The server's core closes a connection, once what was sent before has been written.
    pub fn server_closes(&mut self, id: u64) {
        self.log_server(OfServer::Closed { conn: id });
        self.put(id, Piece::End, false);
        if let Some(conn) = self.conns.get_mut(&id) {
            conn.there = Side::Gone;
            conn.down.shut = true;
        }
    }

    /// The server is gone: its connections are, too, and the handsets find out in their own time.
    pub fn server_is_gone(&mut self) {
        let ids: Vec<u64> = self.conns.keys().copied().collect();
        for id in ids {
            let Some(conn) = self.conns.get_mut(&id) else {
                continue;
            };
            if conn.here == Side::Dialing && conn.there == Side::Dialing {
                continue; // whoever is there then answers
            }
            conn.there = Side::Gone;
            if conn.here != Side::Gone {
                self.break_conn(id);
                let wait = self.notices_after();
                self.after(wait, Happens::HandsetNotices { conn: id });
            }
        }
    }
}
