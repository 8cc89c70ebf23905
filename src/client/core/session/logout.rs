//! Logging out: told to the server, as far as there is one, and remembered until the next login.

use super::{LOGOUT_TIMEOUT_MS, Phase};
use crate::client::clock::Now;
use crate::client::core::{Core, Effect};
use crate::client::event::ConnectionCause;
use crate::protocol::ToServer;

impl Core {
    /// The user logs out on this device: told to the server, and no connection is wanted then.
    pub fn logout(&mut self, now: Now) {
        self.session.login_follows = false;
        if self.session.phase == Phase::Off || !self.session.network {
            self.logged_out(now);
            return;
        }
        self.session.logout_until = Some(now.mono_ms + LOGOUT_TIMEOUT_MS);
        if let Phase::Waiting { .. } = self.session.phase {
            self.connect(now);
        }
        self.say_logout();
    }

    /// Tells the server of a logout that is under way, now or as soon as it is there.
    pub(in crate::client::core) fn say_logout(&mut self) {
        if self.session.is_online() && self.session.logout_until.is_some() {
            self.send(ToServer::Logout);
        }
    }

    pub(in crate::client::core) fn logged_out(&mut self, now: Now) {
        self.session.logout_until = None;
        self.session.logged_out = true;
        self.forget_why_it_waits();
        self.go_off(now, ConnectionCause::Success, "");
        self.effects.push_back(Effect::LoggedOut);
        if std::mem::take(&mut self.session.login_follows) {
            self.start(now);
        }
    }

    /// Whether a logout is under way.
    pub(in crate::client::core) fn is_logging_out(&self) -> bool {
        self.session.logout_until.is_some()
    }

    /// Whether the user is logged out on this device, by themselves or by the server that kicked
    /// it out. Only [`Self::start`] logs in again.
    pub fn is_logged_out(&self) -> bool {
        self.session.logged_out
    }

    /// Goes on being logged out, after the file was closed and opened again.
    pub fn stay_logged_out(&mut self) {
        self.session.logged_out = true;
    }
}
