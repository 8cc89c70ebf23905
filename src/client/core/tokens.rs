//! Tokens: shown, refused, run out, renewed; and when the app is asked for another.
//!
//! Where the app gives a provider, it is asked at the start if there is no token, before one runs
//! out, and when one was refused. One request is under way at a time, and between requests that led
//! to nothing the pauses grow, whatever the provider does: fails, hangs, gives again what was
//! refused. It is not asked while there is no connection for which a token is wanted: whether the
//! one there is still counts is the server's to say.

use std::collections::VecDeque;

use super::session::Phase;
use super::{Core, Effect};
use crate::client::clock::Now;
use crate::client::event::{ConnectionCause, EventKind};
use crate::error::{Code, Error};
use crate::protocol::{Renew, TOKEN_BYTES_MAX, ToServer, TokenNotice};

/// How long a provider may take: a sign-in that wakes up and tries twice.
const TOKEN_WITHIN_MS: i64 = 30_000;
/// The pause after the first request that led to nothing; never less between any two.
const TOKEN_PAUSE_FIRST_MS: i64 = 1_000;
/// The longest pause between requests that lead to nothing.
const TOKEN_PAUSE_MAX_MS: i64 = 5 * 60 * 1_000;
/// A token that runs out so soon after it was asked for is of a kind that lives briefly, and is
/// replaced half-way through what is left of it.
const TOKEN_IS_YOUNG_MS: i64 = 30_000;

/// Why the app is asked for a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenWanted {
    /// There is none.
    Missing,
    /// The one there is runs out; the connection goes on with the new one.
    WillExpire {
        /// In so many seconds.
        seconds: u32,
    },
    /// It has run out.
    Expired {
        /// What the server said.
        error: String,
    },
    /// The server does not take it.
    Refused {
        /// What the server said.
        error: String,
    },
}

/// A token that the server has yet to take.
pub(super) struct Renewing {
    pub(super) token: String,
    /// The app waits to learn what becomes of it.
    by_app: bool,
}

/// What is wanted of the provider, and what was.
#[derive(Default)]
pub(super) struct Tokens {
    has_provider: bool,
    wanted: Option<Wanted>,
    asked: Option<Asked>,
    requests: u64,
    /// Requests since the server last took a token.
    in_vain: u32,
    asked_at: Option<i64>,
    /// What the server refused last.
    refused: Option<String>,
}

struct Wanted {
    why: TokenWanted,
    not_before: i64,
}

struct Asked {
    request: u64,
    until: i64,
}

impl Tokens {
    /// `random`: so that no answer to an earlier core is taken for one to this.
    pub(super) fn new(has_provider: bool, random: u64) -> Self {
        Self {
            has_provider,
            requests: random >> 1,
            ..Self::default()
        }
    }
}

impl Core {
    /// A new token of the app: for this connection, or for the next attempt, which is made at once
    /// if the last one failed for want of it.
    pub fn renew_token(&mut self, now: Now, token: String) {
        self.forget_token_wanted();
        if self.session.is_online() {
            self.show_token(token, true);
            return;
        }
        self.settings.token = Some(token);
        self.effects.push_back(Effect::TokenRenewed(Ok(())));
        self.go_on_with_token(now);
    }

    /// What the provider gave for a request, or why it gave nothing.
    pub fn handle_token(&mut self, now: Now, request: u64, given: Result<String, String>) {
        let is_it = |asked: &mut Asked| asked.request == request;
        if self.tokens.asked.take_if(is_it).is_none() {
            return;
        }
        let token = match given.and_then(|token| self.judge_token(token)) {
            Ok(token) => token,
            Err(why) => return self.no_token(now, &why),
        };
        self.tokens.wanted = None;
        if self.session.is_online() {
            self.show_token(token, false);
            return;
        }
        self.settings.token = Some(token);
        self.go_on_with_token(now);
    }

    fn judge_token(&self, token: String) -> Result<String, String> {
        let running_out = self.session.is_online() && self.settings.token.as_ref() == Some(&token);
        if token.is_empty() {
            Err("the provider gave an empty token".into())
        } else if token.len() > TOKEN_BYTES_MAX {
            let bytes = token.len();
            Err(format!(
                "the provider gave a token of {bytes} bytes, at most {TOKEN_BYTES_MAX} are allowed"
            ))
        } else if running_out || self.tokens.refused.as_ref() == Some(&token) {
            Err("the provider gave the token that is to be replaced".into())
        } else {
            Ok(token)
        }
    }

    fn show_token(&mut self, token: String, by_app: bool) {
        self.session.renewing.push_back(Renewing {
            token: token.clone(),
            by_app,
        });
        self.send(ToServer::Renew(Renew { token }));
    }

    fn go_on_with_token(&mut self, now: Now) {
        if self.session.phase == Phase::Off && self.session.wants_token() {
            self.start(now);
        }
    }

    /// Whether an attempt is to wait for a token, which is then asked for.
    pub(super) fn token_comes_first(&mut self, now: Now) -> bool {
        let comes_first = self.tokens.has_provider && self.settings.token.is_none();
        if comes_first {
            self.provide_token(now, TokenWanted::Missing);
        }
        comes_first
    }

    pub(super) fn handle_token_notice(&mut self, now: Now, notice: &TokenNotice) {
        let seconds = notice.seconds;
        self.effects.push_back(Effect::Event {
            position: None,
            event: EventKind::TokenWillExpire { seconds },
        });
        if self.session.is_online() && self.session.renewing.is_empty() {
            self.provide_token(now, TokenWanted::WillExpire { seconds });
        }
    }

    pub(super) fn handle_renewed(&mut self, now: Now, result: Result<(), Error>) {
        let Some(Renewing { token, by_app }) = self.session.renewing.pop_front() else {
            return;
        };
        match &result {
            Ok(()) => {
                self.settings.token = Some(token.clone());
                self.session.shown_token = Some(token);
                self.token_was_taken();
            }
            // It is forgotten: the one that the server knows may still be good.
            Err(error) if !by_app => {
                self.tokens.refused = Some(token);
                let why = refusal(error.code, error.to_string());
                self.provide_token(now, why);
            }
            Err(_) => {}
        }
        if by_app {
            self.effects.push_back(Effect::TokenRenewed(result));
        }
    }

    /// The connection is lost: tokens that the server did not answer for are shown again.
    pub(super) fn lose_renewals(&mut self) {
        if self.tokens.asked.is_none() {
            self.tokens.wanted = None;
        }
        for Renewing { token, by_app } in std::mem::take(&mut self.session.renewing) {
            self.settings.token = Some(token);
            if by_app {
                let message = "the connection was lost before the server took the token; it is shown again at the next";
                let lost = Error::new(Code::ConnectionLost, "renew", message);
                self.effects.push_back(Effect::TokenRenewed(Err(lost)));
            }
        }
    }

    /// The server does not take the token; one that came meanwhile is shown at once.
    pub(super) fn want_token(&mut self, now: Now, code: Code, why: &str) {
        self.session.error = Some(why.to_owned());
        if self.settings.token == self.session.shown_token {
            self.go_off(now, ConnectionCause::TokenExpired, why);
            self.tokens.refused.clone_from(&self.session.shown_token);
            self.provide_token(now, refusal(code, why.to_owned()));
        } else {
            self.close_link();
            self.wait(now, now.mono_ms, ConnectionCause::LoginInterrupted, why);
        }
    }

    /// The server has let the device in.
    pub(super) fn token_was_taken(&mut self) {
        self.tokens.in_vain = 0;
        self.tokens.refused = None;
        if self.tokens.asked.is_none() {
            self.tokens.wanted = None;
        }
    }

    /// No token is wanted any more, whatever the provider says.
    pub(super) fn forget_token_wanted(&mut self) {
        self.tokens.wanted = None;
        if let Some(Asked { request, .. }) = self.tokens.asked.take() {
            self.effects.push_back(Effect::TokenNotWanted { request });
        }
    }

    /// What kept the provider from its work may be over.
    pub(super) fn hasten_token(&mut self, now: Now) {
        let soon = self.soonest_request(now);
        if let Some(wanted) = &mut self.tokens.wanted {
            wanted.not_before = wanted.not_before.min(soon);
        }
        self.token_timeout(now);
    }

    fn provide_token(&mut self, now: Now, why: TokenWanted) {
        if !self.tokens.has_provider {
            return;
        }
        if self.tokens.asked.is_some() {
            let not_before = now.mono_ms;
            self.tokens.wanted = Some(Wanted { why, not_before });
            return;
        }
        let half_of_what_is_left = match why {
            TokenWanted::WillExpire { seconds } => i64::from(seconds) * 500,
            TokenWanted::Missing | TokenWanted::Expired { .. } | TokenWanted::Refused { .. } => 0,
        };
        let asked_at = self.tokens.asked_at;
        let is_young = asked_at.is_some_and(|at| now.mono_ms < at + TOKEN_IS_YOUNG_MS);
        let not_before = if self.tokens.in_vain > 0 {
            now.mono_ms + self.token_pause()
        } else if is_young {
            now.mono_ms + half_of_what_is_left
        } else {
            now.mono_ms
        };
        let not_before = not_before.max(self.soonest_request(now));
        self.tokens.wanted = Some(Wanted { why, not_before });
        self.token_timeout(now);
    }

    fn no_token(&mut self, now: Now, why: &str) {
        tracing::warn!(why, "no token");
        let error = format!("no token: {why}");
        self.note_why(now, &error);
        self.session.error = Some(error);
        let not_before = now.mono_ms + self.token_pause();
        if let Some(wanted) = &mut self.tokens.wanted {
            wanted.not_before = not_before;
        }
    }

    /// Half of a ceiling that doubles, and as much again at most.
    fn token_pause(&mut self) -> i64 {
        let doublings = self.tokens.in_vain.min(16);
        let ceiling = (TOKEN_PAUSE_FIRST_MS << doublings).min(TOKEN_PAUSE_MAX_MS);
        let half = ceiling / 2;
        half + i64::try_from((self.entropy)() % half.cast_unsigned()).unwrap_or(0)
    }

    fn soonest_request(&self, now: Now) -> i64 {
        let last = self.tokens.asked_at;
        last.map_or(now.mono_ms, |at| at + TOKEN_PAUSE_FIRST_MS)
    }

    /// When something is due about tokens.
    pub(super) fn next_token_timeout(&self) -> Option<i64> {
        if let Some(asked) = &self.tokens.asked {
            return Some(asked.until);
        }
        let wanted = self.tokens.wanted.as_ref();
        wanted
            .filter(|_| self.may_ask())
            .map(|wanted| wanted.not_before)
    }

    /// Without a network, and between connections, a token is of no use.
    fn may_ask(&self) -> bool {
        let idle = self.session.phase == Phase::Off;
        self.session.has_network() && (idle || self.session.is_online())
    }

    pub(super) fn token_timeout(&mut self, now: Now) {
        if self
            .next_token_timeout()
            .is_none_or(|due| now.mono_ms < due)
        {
            return;
        }
        if let Some(Asked { request, .. }) = self.tokens.asked.take() {
            self.effects.push_back(Effect::TokenNotWanted { request });
            let seconds = TOKEN_WITHIN_MS / 1_000;
            self.no_token(
                now,
                &format!("the provider did not answer within {seconds} s"),
            );
        } else if let Some(Wanted { why, .. }) = &self.tokens.wanted {
            self.tokens.requests += 1;
            self.tokens.in_vain = self.tokens.in_vain.saturating_add(1);
            self.tokens.asked_at = Some(now.mono_ms);
            let request = self.tokens.requests;
            self.tokens.asked = Some(Asked {
                request,
                until: now.mono_ms + TOKEN_WITHIN_MS,
            });
            let why = why.clone();
            self.effects.push_back(Effect::TokenWanted { request, why });
        }
    }
}

/// Renewals that wait for the server, in the order in which they were shown to it.
pub(super) type Renewals = VecDeque<Renewing>;

fn refusal(code: Code, error: String) -> TokenWanted {
    if code == Code::TokenExpired {
        TokenWanted::Expired { error }
    } else {
        TokenWanted::Refused { error }
    }
}
