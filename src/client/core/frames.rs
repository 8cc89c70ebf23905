//! What the server says: taken in, written, acted upon.

use super::session::Phase;
use super::{Core, Effect, defect};
use crate::call::DeviceId;
use crate::client::clock::{Exchange, Now};
use crate::client::event::{ConnectionCause, ConnectionState, EventKind};
use crate::error::{Code, Error};
use crate::protocol::{ClosingReason, Cursor, Feed, Goodbye, Lane, ToDevice, Welcome};

/// The pause after a refusal that only a change elsewhere can lift.
const BACKOFF_REFUSED_MS: i64 = 60_000;

impl Core {
    pub(super) fn handle_frame(&mut self, now: Now, frame: ToDevice) -> Result<(), Error> {
        match frame {
            ToDevice::Welcome(welcome) => self.handle_welcome(now, &welcome),
            ToDevice::Refused(refused) => self.handle_refused(now, refused.error),
            ToDevice::Verdict(verdict) => self.handle_verdict(now, *verdict),
            ToDevice::Retry(retry) => self.handle_retry(now, &retry),
            ToDevice::Feed(feed) => self.handle_feed(now, feed),
            ToDevice::Pong(pong) => self.handle_pong(now, pong),
            ToDevice::TokenNotice(notice) => {
                let event = EventKind::TokenWillExpire {
                    seconds: notice.seconds,
                };
                self.effects.push_back(Effect::Event {
                    position: None,
                    event,
                });
                Ok(())
            }
            ToDevice::Renewed(renewed) => {
                let token = self.session.renewing.pop_front();
                if renewed.result.is_ok() && token.is_some() {
                    self.settings.token = token;
                }
                self.effects.push_back(Effect::TokenRenewed(renewed.result));
                Ok(())
            }
            ToDevice::Goodbye(goodbye) => {
                self.handle_goodbye(now, &goodbye);
                Ok(())
            }
            ToDevice::LoggedOut => {
                self.logged_out(now);
                Ok(())
            }
        }
    }

    fn handle_welcome(&mut self, now: Now, welcome: &Welcome) -> Result<(), Error> {
        self.clock.sample(Exchange {
            sent_mono_ms: welcome.hello_sent_at,
            server_received_ms: welcome.server_time,
            server_sent_ms: welcome.server_time,
            received_mono_ms: now.mono_ms,
        });
        let offset = self.clock.wall_offset(now);
        self.session.epoch = welcome.epoch;
        self.session.limits = Some(welcome.limits);
        self.session.failures = 0;
        self.session.handshake_timeouts = 0;
        self.session.line_held = None;
        self.session.unacknowledged = 0;
        self.session.ping_sent = None;
        let unsettled = self.write(now, |work| {
            work.tx.set_welcome_token(&welcome.welcome_token)?;
            work.tx.set_heard(work.now)?;
            if let Some(offset) = offset {
                work.tx.set_clock_offset(offset)?;
            }
            Ok(work.tx.unsettled_commands()?.len())
        })?;
        self.session.in_flight = unsettled;
        self.session.heard_noted = now.mono_ms;
        self.session.phase = Phase::Online {
            open_done: false,
            history_done: false,
            cursor_valid: welcome.cursor_valid,
        };
        self.session.was_connected = true;
        self.change(
            now,
            ConnectionState::Connected,
            ConnectionCause::Success,
            "",
        );
        // From here on until the first step is on disk, nothing of it is heard.
        self.held = Some(Vec::new());
        self.resend(now, welcome.last_number + 1)?;
        self.pump(now)?;
        self.send_seen()?;
        self.say_logout();
        Ok(())
    }

    fn handle_refused(&mut self, now: Now, error: Error) -> Result<(), Error> {
        let why = error.to_string();
        if [Code::TokenExpired, Code::TokenInvalid].contains(&error.code) {
            self.session.error = Some(why.clone());
            self.go_off(now, ConnectionCause::TokenExpired, &why);
            return Ok(());
        }
        if error.code == Code::Dropped {
            return self.take_new_identity(now, error);
        }
        self.write(now, |work| work.tx.note_error(&why))?;
        self.close_link();
        let until = now.mono_ms + BACKOFF_REFUSED_MS;
        self.wait(now, until, ConnectionCause::LoginInterrupted, &why);
        Ok(())
    }

    /// This file is a copy of another, or older than it was: it goes on under another name. What
    /// was under way may or may not have had an effect, and is given up.
    fn take_new_identity(&mut self, now: Now, error: Error) -> Result<(), Error> {
        let device = DeviceId::trusted(self.fresh_id(now));
        self.write(now, |work| {
            for command in work.tx.pending_commands()? {
                work.settle(&command, Err(error.clone()))?;
            }
            work.tx.set_identity(&device)
        })?;
        self.store.set_device(device);
        self.close_link();
        let until = now.mono_ms;
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
            cursor_valid,
        } = self.session.phase
        else {
            return Err(defect("feed", "a feed before the welcome"));
        };
        let (live, open_ends, history_ends) = match feed.lane {
            Lane::Open => (false, feed.last, false),
            Lane::History => (false, false, feed.last),
            Lane::Live => (true, false, false),
        };
        let epoch = self.session.epoch;
        self.write(now, |work| {
            for call in &feed.calls {
                work.take_record(call, live)?;
            }
            if !cursor_valid && (open_ends || history_ends) {
                work.forget_unknown(open_ends)?;
            }
            if let Some(Cursor { seq, .. }) = feed.cursor {
                work.tx.set_cursor(Cursor { epoch, seq })?;
            }
            work.tx.set_heard(work.now)
        })?;
        self.session.phase = Phase::Online {
            open_done: open_done || open_ends,
            history_done: history_done || history_ends,
            cursor_valid,
        };
        if open_ends {
            self.release_held();
        }
        Ok(())
    }

    fn handle_goodbye(&mut self, now: Now, goodbye: &Goodbye) {
        match goodbye.reason {
            ClosingReason::KickedOut => {
                self.go_off(now, ConnectionCause::KickedOut, &goodbye.message);
            }
            ClosingReason::TokenExpired => {
                self.go_off(now, ConnectionCause::TokenExpired, &goodbye.message);
            }
            ClosingReason::Replaced | ClosingReason::ShuttingDown | ClosingReason::Violation => {
                self.drop_link(now, &goodbye.message);
            }
        }
    }
}
