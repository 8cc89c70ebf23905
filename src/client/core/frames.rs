//! What the server says: taken in, written, acted upon.

use super::commands::frame_of;
use super::session::Phase;
use super::{Core, defect};
use crate::call::DeviceId;
use crate::client::clock::{Exchange, Now};
use crate::client::event::{ConnectionCause, ConnectionState};
use crate::error::{Code, Error};
use crate::protocol::{ClosingReason, Cursor, Feed, Goodbye, Lane, ToDevice, Welcome};

/// Most bytes of a welcome token.
const WELCOME_TOKEN_BYTES_MAX: usize = 256;
/// The pause after a refusal that only a change elsewhere can lift.
const BACKOFF_REFUSED_MS: i64 = 60_000;

impl Core {
    pub(super) fn handle_frame(&mut self, now: Now, frame: ToDevice) -> Result<(), Error> {
        self.check_turn(&frame)?;
        match frame {
            ToDevice::Welcome(welcome) => self.handle_welcome(now, &welcome),
            ToDevice::Preview(preview) => self.handle_preview(now, *preview),
            ToDevice::Refused(refused) => self.handle_refused(now, refused.error),
            ToDevice::Verdict(verdict) => self.handle_verdict(now, *verdict),
            ToDevice::Retry(retry) => self.handle_retry(now, &retry),
            ToDevice::Feed(feed) => self.handle_feed(now, feed),
            ToDevice::Pong(pong) => self.handle_pong(now, pong),
            ToDevice::TokenNotice(notice) => {
                self.handle_token_notice(now, &notice);
                Ok(())
            }
            ToDevice::Renewed(renewed) => {
                self.handle_renewed(now, renewed.result);
                Ok(())
            }
            ToDevice::Goodbye(goodbye) => {
                self.handle_goodbye(now, &goodbye);
                Ok(())
            }
            ToDevice::LoggedOut => {
                // Said unasked, it is no reason to leave.
                if self.is_logging_out() {
                    self.logged_out(now);
                }
                Ok(())
            }
        }
    }

    /// One welcome answers the hello; what belongs to a session comes after it.
    fn check_turn(&self, frame: &ToDevice) -> Result<(), Error> {
        let greeting = match self.session.phase {
            Phase::Greeting { .. } => true,
            Phase::Off | Phase::Waiting { .. } | Phase::Connecting | Phase::Online { .. } => false,
        };
        let online = self.session.is_online();
        let (in_turn, name) = match frame {
            ToDevice::Welcome(_) => (greeting, "welcome"),
            ToDevice::Preview(_) => (greeting && !self.session.previewed, "preview"),
            ToDevice::Verdict(_) => (online, "verdict"),
            ToDevice::Retry(_) => (online, "retry"),
            ToDevice::Feed(_) => (online, "feed"),
            ToDevice::Pong(_) => (online, "pong"),
            ToDevice::Renewed(_) => (online, "renewed"),
            ToDevice::Refused(_)
            | ToDevice::TokenNotice(_)
            | ToDevice::Goodbye(_)
            | ToDevice::LoggedOut => return Ok(()),
        };
        if in_turn {
            return Ok(());
        }
        let message = format!("the server sent a {name} out of turn");
        Err(defect(name, message))
    }

    fn handle_welcome(&mut self, now: Now, welcome: &Welcome) -> Result<(), Error> {
        if welcome.welcome_token.len() > WELCOME_TOKEN_BYTES_MAX {
            // It is to fit into the next hello.
            return Err(defect(
                "welcome",
                "the server gave a welcome token that is too long",
            ));
        }
        self.sample_clock(Exchange {
            // The hello may have been made well before; it is answered no earlier than this.
            sent_mono_ms: self.session.up_at,
            server_received_ms: welcome.server_time,
            server_sent_ms: welcome.server_time,
            received_mono_ms: now.mono_ms,
        });
        self.session.epoch = welcome.epoch;
        self.session.limits = Some(welcome.limits);
        self.session.handshake_timeouts = 0;
        self.session.unacknowledged = 0;
        self.session.settled_told = None;
        if !welcome.cursor_valid {
            self.cursor_due = None;
        }
        // From here on until the first step is on disk, nothing of it is heard.
        self.held = Some(Vec::new());
        let (in_flight, commands) = self.write_synced(now, |work| {
            work.tx.set_welcome_token(&welcome.welcome_token)?;
            work.tx.set_heard(work.now)?;
            if !welcome.cursor_valid {
                work.tx.doubt_started(welcome.epoch)?;
                // The server says this once, and what is doubted needs all the history, in however
                // many sessions.
                let seq = 0;
                let epoch = welcome.epoch;
                work.tx.advance(Cursor { epoch, seq }, work.now)?;
            }
            work.tx.doubt_partial()?;
            work.commands_of_welcome(welcome.last_number)
        })?;
        self.session.in_flight = in_flight;
        self.session.heard_noted = now.mono_ms;
        self.session.phase = Phase::Online {
            open_done: false,
            history_done: false,
        };
        self.session.was_connected = true;
        self.begins_to_catch_up();
        self.token_was_taken();
        self.change(
            now,
            ConnectionState::Connected,
            ConnectionCause::Success,
            "",
        );
        for command in commands {
            self.send(frame_of(command));
        }
        self.send_seen(now)?;
        self.say_logout();
        Ok(())
    }

    fn handle_refused(&mut self, now: Now, error: Error) -> Result<(), Error> {
        let why = error.to_string();
        if [Code::TokenExpired, Code::TokenInvalid].contains(&error.code) {
            self.want_token(now, error.code, &why);
            return Ok(());
        }
        if error.code == Code::Dropped {
            return self.take_new_identity(now, error);
        }
        self.close_link();
        if error.retryable() {
            self.wait_a_while(now, &why);
            return Ok(());
        }
        let until = now.mono_ms + BACKOFF_REFUSED_MS;
        self.wait(now, until, ConnectionCause::LoginInterrupted, &why);
        Ok(())
    }

    /// This file is a copy of another, or older than it was: it goes on under another name. What
    /// was under way may or may not have had an effect, and is given up.
    pub(super) fn take_new_identity(&mut self, now: Now, error: Error) -> Result<(), Error> {
        let device = DeviceId::trusted(self.fresh_id(now));
        self.cursor_due = None;
        self.write_synced(now, |work| {
            for row in work.tx.pending_commands()? {
                work.settle_row(&row, Err(error.clone()))?;
            }
            work.tx.set_identity(&device)
        })?;
        self.store.set_device(device);
        self.close_link();
        // Said again and again it must not be obeyed without a pause.
        let until = now.mono_ms + self.backoff();
        self.wait(
            now,
            until,
            ConnectionCause::LoginInterrupted,
            &error.to_string(),
        );
        Ok(())
    }

    fn handle_feed(&mut self, now: Now, feed: Feed) -> Result<(), Error> {
        let Phase::Online {
            open_done,
            history_done,
        } = self.session.phase
        else {
            return Err(defect("feed", "a feed before the welcome"));
        };
        let (live, open_ends, history_ends) = match feed.lane {
            Lane::Open => (false, feed.last, false),
            Lane::History => (false, false, feed.last),
            Lane::Live => (true, false, false),
        };
        // What is open is sent out of order, so it says nothing of how far the device is.
        let cursor = feed.cursor.filter(|_| feed.lane != Lane::Open);
        let epoch = self.session.epoch;
        let due = self.cursor_due;
        if live {
            // What this device did itself came with the verdict: then only the cursor is news, and
            // that is not worth a synced write of its own.
            self.cursor_due = cursor.map(|Cursor { seq, .. }| Cursor { epoch, seq });
        }
        let taken = self.write_synced(now, |work| {
            let unknown = if live {
                0
            } else {
                work.settle_unknown(feed.settled)?
            };
            for call in &feed.calls {
                work.take_record(call, live)?;
            }
            if open_ends || history_ends {
                work.forget_unknown(open_ends)?;
            }
            if let Some(Cursor { seq, .. }) = cursor.filter(|_| !live) {
                work.tx.advance(Cursor { epoch, seq }, work.now)?;
            }
            Ok(unknown)
        });
        if taken.is_err() && self.is_syncing() {
            // The cursor may not pass over what is not in the file.
            self.cursor_due = due;
        }
        for _ in 0..taken? {
            self.session.count_settled();
        }
        self.session.phase = Phase::Online {
            open_done: open_done || open_ends,
            history_done: history_done || history_ends,
        };
        if history_ends {
            self.has_caught_up(now);
        }
        if open_ends {
            // Only now is it shown that this server and this file get on.
            self.session.failures = 0;
            self.release_held();
        }
        Ok(())
    }

    fn handle_goodbye(&mut self, now: Now, goodbye: &Goodbye) {
        match goodbye.reason {
            ClosingReason::KickedOut => {
                self.session.logged_out = true;
                self.go_off(now, ConnectionCause::KickedOut, &goodbye.message);
            }
            ClosingReason::TokenExpired => {
                self.want_token(now, Code::TokenExpired, &goodbye.message);
            }
            ClosingReason::Replaced | ClosingReason::ShuttingDown | ClosingReason::Violation => {
                self.drop_link(now, &goodbye.message);
            }
        }
    }
}
