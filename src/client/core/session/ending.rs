//! How a connection ends, and what is waited for before the next attempt.

use super::Phase;
use crate::client::clock::Now;
use crate::client::core::{Core, Effect};
use crate::client::event::{ConnectionCause, ConnectionState};
use crate::client::transport::{DownKind, LinkCommand, LinkDown};

/// The first pause before another attempt, at most.
const BACKOFF_FIRST_MS: i64 = 250;
/// The longest pause before another attempt.
const BACKOFF_MAX_MS: i64 = 30_000;
/// After so many unanswered attempts in a row, UDP is likely to be blocked.
const HANDSHAKE_TIMEOUTS_TELLING: u32 = 3;

impl Core {
    pub(super) fn link_down(&mut self, now: Now, why: &LinkDown) {
        self.leave_online();
        if self.session.phase == Phase::Off {
            return;
        }
        let mut message = why.message.clone();
        match why.kind {
            DownKind::HandshakeTimeout => {
                self.session.handshake_timeouts += 1;
                if self.session.handshake_timeouts >= HANDSHAKE_TIMEOUTS_TELLING {
                    message.push_str("; UDP seems to be blocked on this network");
                }
            }
            // There was an answer, so UDP comes through.
            DownKind::Refused | DownKind::Certificate | DownKind::Protocol | DownKind::Closed => {
                self.session.handshake_timeouts = 0;
            }
            DownKind::Lost | DownKind::Local | DownKind::Address | DownKind::Overflow => {}
        }
        self.wait_a_while(now, &message);
    }

    /// Waits for as long as the failures before demand.
    pub(in crate::client::core) fn wait_a_while(&mut self, now: Now, why: &str) {
        let cause = if self.session.was_connected {
            ConnectionCause::LoginInterrupted
        } else {
            ConnectionCause::LoginTimeout
        };
        let until = now.mono_ms + self.backoff();
        self.wait(now, until, cause, why);
    }

    /// Full jitter: anything between nothing and a ceiling that doubles.
    pub(in crate::client::core) fn backoff(&mut self) -> i64 {
        let doublings = self.session.failures.min(16);
        self.session.failures = self.session.failures.saturating_add(1);
        let ceiling = (BACKOFF_FIRST_MS << doublings).min(BACKOFF_MAX_MS);
        i64::try_from((self.entropy)() % ceiling.cast_unsigned()).unwrap_or(ceiling)
    }

    pub(in crate::client::core) fn drop_link(&mut self, now: Now, why: &str) {
        self.close_link();
        self.wait_a_while(now, why);
    }

    pub(in crate::client::core) fn wait(
        &mut self,
        now: Now,
        until: i64,
        cause: ConnectionCause,
        why: &str,
    ) {
        if !self.is_syncing() {
            return;
        }
        self.leave_online();
        self.session.phase = Phase::Waiting { until };
        self.session.error = Some(why.to_owned());
        self.note_why(now, why);
        if !self.is_syncing() {
            // Another engine was found to sync.
            return;
        }
        let state = if self.session.was_connected {
            ConnectionState::Reconnecting
        } else {
            ConnectionState::Connecting
        };
        self.change(now, state, cause, why);
    }

    /// So that a look at what is pending says why it waits. No more than that: a disk that cannot
    /// take it costs nothing.
    pub(in crate::client::core) fn note_why(&mut self, now: Now, why: &str) {
        if !self.is_syncing() {
            return;
        }
        self.session.why_unsent = Some(why.to_owned());
        if let Err(error) = self.write_synced(now, |work| work.tx.note_error(why)) {
            tracing::debug!(%error, "why commands wait could not be noted");
        }
    }

    pub(in crate::client::core) fn go_off(&mut self, now: Now, cause: ConnectionCause, why: &str) {
        self.close_link();
        self.leave_online();
        if cause != ConnectionCause::TokenExpired {
            self.forget_token_wanted();
        }
        self.session.phase = Phase::Off;
        if !why.is_empty() {
            self.session.error = Some(why.to_owned());
            self.note_why(now, why);
        }
        self.change(now, ConnectionState::Disconnected, cause, why);
        // Whatever ended the connection, nothing is left to log out of.
        if self.session.logout_until.take().is_some() {
            self.effects.push_back(Effect::LoggedOut);
        }
    }

    pub(in crate::client::core) fn close_link(&mut self) {
        let attempt = self.session.attempt;
        // What this attempt has to say from now on is not listened to.
        self.session.attempt += 1;
        self.effects
            .push_back(Effect::Link(LinkCommand::Close { attempt }));
    }

    /// What holds only while online ends. What was held back is on disk, so it may be heard.
    pub(super) fn leave_online(&mut self) {
        self.session.previewed = false;
        self.session.ping_sent = None;
        self.session.line_held = None;
        self.release_held();
        self.lose_renewals();
    }
}
