//! Being heard, and hearing: pings with samples of the clock, and the small things that are told
//! along the way: verdicts that are on disk, receipts, missed calls that were seen.

use super::Core;
use crate::call::CallId;
use crate::client::clock::{Exchange, Now};
use crate::error::Error;
use crate::protocol::{Ping, Pong, Receipt, SEEN_CALLS_MAX, Seen, Settled, ToServer};

/// How long a ping waits for its answer.
pub(super) const PONG_TIMEOUT_MS: i64 = 10_000;
/// How often the device is heard while nothing is awaited.
const HEARTBEAT_IDLE_MS: i64 = 25_000;
/// How often it is heard while something is, unless the server says otherwise.
const HEARTBEAT_MS_DEFAULT: i64 = 10_000;
/// However often the server wants to hear the device.
const HEARTBEAT_MS_MIN: i64 = 250;
/// How often the file notes when the server was heard: a device that only lies there does not
/// write with every heartbeat.
const HEARD_NOTED_EVERY_MS: i64 = 5 * 60 * 1_000;
/// After that many verdicts the server is told at once that it may forget them.
const VERDICTS_UNACKNOWLEDGED_MAX: u32 = 16;
/// Most calls marked as seen of which it is remembered that the server was told; what is beyond is
/// told again by the next connection.
const SEEN_TOLD_MAX: usize = 16 * SEEN_CALLS_MAX;

/// What this connection was told of as seen. The server takes frames in their order and stores what
/// they say before it answers a later one, so the answer to a ping confirms what was told before the
/// ping: also of calls that the server knows no more, of which no record will ever say so.
#[derive(Default)]
pub(super) struct SeenTold {
    calls: Vec<CallId>,
    /// How many of those were told before the last ping.
    before_ping: usize,
}

impl Core {
    /// How often the device is to be heard now: well before the server takes it for gone, whatever
    /// that is set to.
    pub(super) fn heartbeat_ms(&self) -> i64 {
        let limits = self.session.limits;
        let idle = limits.map_or(HEARTBEAT_IDLE_MS, |limits| {
            let gone_ms = i64::from(limits.offline_after_s) * 1_000;
            (gone_ms * 5 / 7).clamp(HEARTBEAT_MS_MIN, HEARTBEAT_IDLE_MS)
        });
        if !self.due.answer_awaited && self.session.in_flight == 0 {
            return idle;
        }
        let told = limits.map(|limits| i64::from(limits.heartbeat_s) * 1_000);
        told.unwrap_or(HEARTBEAT_MS_DEFAULT)
            .clamp(HEARTBEAT_MS_MIN, idle)
    }

    pub(super) fn keep_alive(&mut self, now: Now) {
        match self.session.ping_sent {
            Some(sent) if sent + PONG_TIMEOUT_MS <= now.mono_ms => {
                self.drop_link(now, "the server was not heard in time");
            }
            Some(_) => {}
            None if self.session.last_sent + self.heartbeat_ms() <= now.mono_ms => self.ping(now),
            None => {}
        }
    }

    pub(super) fn handle_pong(&mut self, now: Now, pong: Pong) -> Result<(), Error> {
        let is_last = self.session.ping_sent == Some(pong.ping_sent_at);
        self.session.ping_sent = None;
        self.sample_clock(Exchange {
            sent_mono_ms: pong.ping_sent_at,
            server_received_ms: pong.received_at,
            server_sent_ms: pong.sent_at,
            received_mono_ms: now.mono_ms,
        });
        if is_last {
            self.confirm_seen(now)?;
        }
        let noted_lately = now.mono_ms < self.session.heard_noted + HEARD_NOTED_EVERY_MS;
        if noted_lately && !self.clock_was_corrected() {
            return Ok(());
        }
        self.session.heard_noted = now.mono_ms;
        self.write_synced(now, |work| work.tx.set_heard(work.now))
    }

    pub(super) fn ping(&mut self, now: Now) {
        self.acknowledge_now(now);
        self.session.ping_sent = Some(now.mono_ms);
        self.session.seen_told.before_ping = self.session.seen_told.calls.len();
        self.send_at(
            now,
            ToServer::Ping(Ping {
                sent_at: now.mono_ms,
            }),
        );
    }

    /// Tells the server now and then which verdicts it may forget.
    pub(super) fn acknowledge_verdicts(&mut self, now: Now) {
        if self.session.unacknowledged >= VERDICTS_UNACKNOWLEDGED_MAX {
            self.acknowledge_now(now);
        }
    }

    pub(super) fn acknowledge_now(&mut self, now: Now) {
        if !self.session.is_online() {
            return;
        }
        // Only a courtesy to the server: the next hello says it again.
        let known = self.on_file_synced(now, |tx| Ok((tx.first_unsettled()?, tx.feed()?.cursor)));
        if let Ok((first_unsettled, cursor)) = known {
            self.session.unacknowledged = 0;
            let number = first_unsettled.saturating_sub(1);
            let settled = Settled { number, cursor };
            if self.session.settled_told != Some(settled) {
                self.session.settled_told = Some(settled);
                self.send_at(now, ToServer::Settled(settled));
            }
        }
    }

    /// Tells the server of missed calls that were marked as seen here.
    pub(super) fn send_seen(&mut self, now: Now) -> Result<(), Error> {
        if !self.session.is_online() {
            return Ok(());
        }
        self.session.seen_told = SeenTold::default();
        let mut after = 0;
        loop {
            let marked = self.on_file_synced(now, |tx| tx.seen_here(after, SEEN_CALLS_MAX))?;
            let Some((last, _)) = marked.last() else {
                return Ok(());
            };
            after = *last;
            let calls: Vec<CallId> = marked.into_iter().map(|(_, call)| call).collect();
            let told = &mut self.session.seen_told.calls;
            let room = SEEN_TOLD_MAX.saturating_sub(told.len());
            told.extend(calls.iter().take(room).cloned());
            self.send(ToServer::Seen(Seen { calls }));
        }
    }

    /// The server has taken what it was told before the last ping.
    fn confirm_seen(&mut self, now: Now) -> Result<(), Error> {
        let told = &mut self.session.seen_told;
        let confirmed: Vec<CallId> = told.calls.drain(..told.before_ping).collect();
        told.before_ping = 0;
        // Of most, a record has said so meanwhile.
        if confirmed.is_empty()
            || self
                .on_file_synced(now, |tx| tx.seen_here(0, 1))?
                .is_empty()
        {
            return Ok(());
        }
        self.write_synced(now, |work| work.tx.confirm_seen(&confirmed))
    }

    pub(super) fn send_receipt(&mut self, receipt: Receipt) {
        // After a preview the hello is on its way, and whatever follows it comes after it.
        if self.session.is_online() || self.session.previewed {
            self.send(ToServer::Receipt(receipt));
        }
    }
}
