//! The connection: made, kept, and made again when it breaks.

mod ending;
mod logout;

use super::commands::send_effect;
use super::heartbeat::{PONG_TIMEOUT_MS, SeenTold};
use super::tokens::Renewals;
use super::{Core, Effect};
use crate::call::limits::EXTENDED_DATA_BYTES_BELIEVED;
use crate::client::clock::Now;
use crate::client::event::{ConnectionCause, ConnectionChange, ConnectionState};
use crate::client::transport::{LinkCommand, LinkEvent};
use crate::error::Error;
use crate::protocol::{
    COMMANDS_IN_FLIGHT_MAX, Capabilities, Hello, Limits, OPEN_CALLS_MAX, Settled,
    TO_SERVER_BYTES_MAX, ToServer, VERSION_MAX, VERSION_MIN, codec::encoded_len,
};

/// Most letters of a build's name that are said.
const BUILD_CHARS_MAX: usize = 64;
/// How long a hello waits for its answer.
const HELLO_TIMEOUT_MS: i64 = 10_000;
/// How long a logout waits for the server.
const LOGOUT_TIMEOUT_MS: i64 = 5_000;
/// What people are told while the app says that there is no network.
const NO_NETWORK: &str = "the network is off";

/// What is going on with the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// No connection is wanted: not started, logged out, kicked out, or in want of a token.
    Off,
    /// The next attempt begins at that time.
    Waiting { until: i64 },
    /// The link is connecting; the hello waits there, or is on its way already.
    Connecting,
    /// There is a connection, and the hello is on it.
    Greeting { until: i64 },
    /// Welcomed. `open_done`: all that rings or is open has come; `history_done`: all else, too.
    Online { open_done: bool, history_done: bool },
}

/// How the connection is, for a look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkStatus {
    /// Whether there is one.
    pub state: ConnectionState,
    /// Why it is so.
    pub cause: ConnectionCause,
    /// Since when, on the server's clock.
    pub since: i64,
    /// The last error in words.
    pub error: Option<String>,
    /// Round trip in milliseconds, if measured.
    pub rtt_ms: Option<i64>,
}

/// What a core goes on with that has the link of an earlier one.
#[derive(Clone, Copy, Debug)]
pub struct LinkKept {
    /// The link may still have something to say of attempts up to this one.
    attempts: u64,
    /// Whether the app has said last that there is a network.
    network: bool,
}

/// The state of the conversation.
pub(super) struct Session {
    pub(super) phase: Phase,
    attempt: u64,
    /// Whether the link has this attempt's hello, and when it was made.
    hello_made_at: Option<i64>,
    /// When the connection was there.
    pub(super) up_at: i64,
    /// Whether the server has said what is open, and is still to take note of the hello.
    pub(super) previewed: bool,
    pub(super) epoch: u64,
    network: bool,
    pub(super) failures: u32,
    pub(super) handshake_timeouts: u32,
    pub(super) was_connected: bool,
    state: ConnectionState,
    cause: ConnectionCause,
    since: i64,
    pub(super) error: Option<String>,
    /// Why commands wait, as it was noted last with those that did.
    pub(super) why_unsent: Option<String>,
    pub(super) limits: Option<Limits>,
    pub(super) in_flight: usize,
    pub(super) unacknowledged: u32,
    /// What this connection was told last of what is on disk.
    pub(super) settled_told: Option<Settled>,
    /// The line is stopped: from that number on, not before that time.
    pub(super) line_held: Option<(u64, i64)>,
    pub(super) last_sent: i64,
    pub(super) ping_sent: Option<i64>,
    logout_until: Option<i64>,
    /// Whether the user has logged in again while the logout was under way.
    login_follows: bool,
    pub(super) logged_out: bool,
    pub(super) heard_noted: i64,
    pub(super) seen_told: SeenTold,
    /// New tokens that the server has yet to take.
    pub(super) renewing: Renewals,
    /// The token that this connection, or the last, was asked for with.
    pub(super) shown_token: Option<String>,
}

impl Session {
    pub(super) fn new(epoch: u64) -> Self {
        Self {
            phase: Phase::Off,
            attempt: 0,
            hello_made_at: None,
            up_at: 0,
            previewed: false,
            epoch,
            network: true,
            failures: 0,
            handshake_timeouts: 0,
            was_connected: false,
            state: ConnectionState::Disconnected,
            cause: ConnectionCause::Success,
            since: 0,
            error: None,
            why_unsent: None,
            limits: None,
            in_flight: 0,
            unacknowledged: 0,
            settled_told: None,
            line_held: None,
            last_sent: 0,
            ping_sent: None,
            logout_until: None,
            login_follows: false,
            logged_out: false,
            renewing: Renewals::new(),
            heard_noted: 0,
            seen_told: SeenTold::default(),
            shown_token: None,
        }
    }

    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Whether commands can be sent.
    pub(super) fn is_ready(&self) -> bool {
        match self.phase {
            Phase::Online { .. } => self.line_held.is_none(),
            Phase::Off | Phase::Waiting { .. } | Phase::Connecting | Phase::Greeting { .. } => {
                false
            }
        }
    }

    /// Whether catching up is over on this connection.
    pub(super) fn has_heard_all(&self) -> bool {
        matches!(
            self.phase,
            Phase::Online {
                history_done: true,
                ..
            }
        )
    }

    pub(super) fn is_online(&self) -> bool {
        match self.phase {
            Phase::Online { .. } => true,
            Phase::Off | Phase::Waiting { .. } | Phase::Connecting | Phase::Greeting { .. } => {
                false
            }
        }
    }

    pub(super) fn has_network(&self) -> bool {
        self.network
    }

    /// Whether it is for want of a token that there is no connection.
    pub(super) fn wants_token(&self) -> bool {
        self.cause == ConnectionCause::TokenExpired || self.state == ConnectionState::Connecting
    }

    pub(super) fn room_in_flight(&self) -> usize {
        COMMANDS_IN_FLIGHT_MAX.saturating_sub(self.in_flight)
    }

    pub(super) fn count_sent(&mut self) {
        self.in_flight += 1;
    }

    pub(super) fn count_settled(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.unacknowledged += 1;
    }

    pub(super) fn hold_line(&mut self, number: u64, until: i64) {
        let first = self.line_held.map_or(number, |(held, _)| held.min(number));
        self.line_held = Some((first, until));
    }

    pub(super) fn extended_data_bytes_max(&self, default: usize) -> usize {
        let limit = self
            .limits
            .map(|limits| limits.extended_data_bytes_max as usize);
        limit.unwrap_or(default).min(EXTENDED_DATA_BYTES_BELIEVED)
    }

    /// When the session next has something to do.
    pub(super) fn next_timeout(&self, heartbeat_ms: i64) -> impl Iterator<Item = i64> {
        let phase = match self.phase {
            Phase::Off | Phase::Connecting => None,
            Phase::Waiting { until } => self.network.then_some(until),
            Phase::Greeting { until } => Some(until),
            Phase::Online { .. } => Some(match self.ping_sent {
                Some(sent) => sent + PONG_TIMEOUT_MS,
                None => self.last_sent + heartbeat_ms,
            }),
        };
        let held = self
            .line_held
            .filter(|_| self.is_online())
            .map(|(_, until)| until);
        phase.into_iter().chain(held).chain(self.logout_until)
    }
}

impl Core {
    /// How the connection is.
    pub fn link_status(&self) -> LinkStatus {
        LinkStatus {
            state: self.session.state,
            cause: self.session.cause,
            since: self.session.since,
            error: self.session.error.clone(),
            rtt_ms: self.clock.rtt_ms(),
        }
    }

    /// What the next core with the same link is to go on with.
    pub fn link_kept(&self) -> LinkKept {
        LinkKept {
            attempts: self.session.attempt,
            network: self.session.network,
        }
    }

    /// Goes on with the link of an earlier core. To be called before [`Self::start`].
    pub fn keep_link(&mut self, kept: LinkKept) {
        self.session.attempt = kept.attempts;
        self.session.network = kept.network;
    }

    /// Begins to connect, and to keep connected; as soon as no other engine on the file does.
    pub fn start(&mut self, now: Now) {
        self.session.login_follows = self.is_logging_out();
        if self.session.phase == Phase::Off {
            self.session.logged_out = false;
            self.begin_to_sync(now);
        }
    }

    pub(super) fn log_in(&mut self, now: Now) {
        self.session.was_connected = false;
        let (state, cause) = (ConnectionState::Connecting, ConnectionCause::ActiveLogin);
        self.change(now, state, cause, "");
        if self.token_comes_first(now) {
            return;
        }
        if self.session.network {
            self.connect(now);
        } else {
            self.session.phase = Phase::Waiting { until: now.mono_ms };
            self.session.error = Some(NO_NETWORK.to_owned());
            self.note_why(now, NO_NETWORK);
        }
    }

    /// The app says whether there is a network. Without one, nothing is sent or heard, and nobody
    /// is told.
    pub fn set_network(&mut self, now: Now, online: bool) {
        self.session.network = online;
        self.effects
            .push_back(Effect::Link(LinkCommand::SetNetwork(online)));
        if online {
            self.session.failures = 0;
            self.hasten_token(now);
            // Said once more, it is no reason to give up what there is.
            if let Phase::Waiting { .. } = self.session.phase {
                self.connect(now);
            }
        } else if self.session.phase != Phase::Off {
            // What is still in the pipe is not listened to.
            self.session.attempt += 1;
            self.leave_online();
            self.session.phase = Phase::Waiting { until: now.mono_ms };
            self.session.error = Some(NO_NETWORK.to_owned());
            self.note_why(now, NO_NETWORK);
            if !self.is_syncing() {
                // Another engine was found to sync.
                return;
            }
            let cause = ConnectionCause::LoginInterrupted;
            self.change(now, ConnectionState::Reconnecting, cause, NO_NETWORK);
        }
    }

    /// The device moved to another network: nothing that was known of the old one holds.
    pub fn network_changed(&mut self, now: Now) {
        self.session.failures = 0;
        self.session.handshake_timeouts = 0;
        self.hasten_token(now);
        match self.session.phase {
            Phase::Online { .. } => {
                self.effects
                    .push_back(Effect::Link(LinkCommand::NetworkChanged));
                self.ping(now);
            }
            Phase::Connecting | Phase::Greeting { .. } => {
                self.effects
                    .push_back(Effect::Link(LinkCommand::NetworkChanged));
            }
            Phase::Waiting { .. } if self.session.network => self.connect(now),
            Phase::Off | Phase::Waiting { .. } => {}
        }
    }

    /// Ends the connection in good order, without a logout: the app goes away.
    pub fn close(&mut self, now: Now) {
        self.forget_token_wanted();
        if self.session.phase != Phase::Off {
            self.acknowledge_now(now);
            self.go_off(now, ConnectionCause::Success, "");
        }
    }

    /// What the link has to say.
    pub fn handle_link(&mut self, now: Now, event: LinkEvent) -> Result<(), Error> {
        let current = self.session.attempt;
        match event {
            LinkEvent::Up { attempt, .. } if attempt == current => {
                let done = self.link_up(now);
                self.or_drop_link(now, done)
            }
            LinkEvent::Frame { attempt, frame } if attempt == current => {
                let done = self.handle_frame(now, frame);
                self.or_drop_link(now, done)
            }
            LinkEvent::Down { attempt, why } if attempt == current => {
                self.link_down(now, &why);
                Ok(())
            }
            LinkEvent::Up { .. } | LinkEvent::Frame { .. } | LinkEvent::Down { .. } => Ok(()),
        }
    }

    /// What could not be written is not acknowledged, and comes again with another connection.
    fn or_drop_link(&mut self, now: Now, done: Result<(), Error>) -> Result<(), Error> {
        if let Err(error) = &done
            && self.is_syncing()
        {
            self.drop_link(now, &error.to_string());
        }
        self.unless_fenced(done)
    }

    pub(super) fn session_timeout(&mut self, now: Now) -> Result<(), Error> {
        let time = now.mono_ms;
        if self.session.logout_until.is_some_and(|until| until <= time) {
            self.logged_out(now);
        }
        match self.session.phase {
            Phase::Waiting { until } if until <= time && self.session.network => self.connect(now),
            Phase::Greeting { until } if until <= time => {
                self.drop_link(now, "the server did not answer the hello in time");
            }
            Phase::Online { .. } => self.keep_alive(now),
            Phase::Off | Phase::Waiting { .. } | Phase::Connecting | Phase::Greeting { .. } => {}
        }
        if let Some((number, until)) = self.session.line_held
            && until <= time
            && self.session.is_online()
        {
            self.session.line_held = None;
            let done = self.resend(now, number).and_then(|()| self.pump(now));
            return self.or_drop_link(now, done);
        }
        Ok(())
    }

    fn connect(&mut self, now: Now) {
        if !self.is_syncing() {
            return;
        }
        self.session.attempt += 1;
        self.session.phase = Phase::Connecting;
        self.session.hello_made_at = None;
        self.session.previewed = false;
        let attempt = self.session.attempt;
        self.effects
            .push_back(Effect::Link(LinkCommand::Connect { attempt }));
        // At once, so that it can go with the first packet. A file that cannot be read now is read
        // when the connection is there, and then it is an error.
        let _ = self.say_hello(now);
    }

    fn link_up(&mut self, now: Now) -> Result<(), Error> {
        self.session.up_at = now.mono_ms;
        self.session.last_sent = now.mono_ms;
        self.session.phase = Phase::Greeting {
            until: now.mono_ms + HELLO_TIMEOUT_MS,
        };
        if self.session.hello_made_at.is_none() {
            return self.say_hello(now);
        }
        // The hello is on its way; whether this engine is still the one to say more, the file knows.
        self.on_file_synced(now, |_| Ok(()))
    }

    /// When the hello of this attempt was made.
    pub(super) fn hello_made_at(&self) -> i64 {
        self.session.hello_made_at.unwrap_or(self.session.up_at)
    }

    fn say_hello(&mut self, now: Now) -> Result<(), Error> {
        let hello = self.on_file_synced(now, |tx| {
            Ok(Hello {
                version_min: VERSION_MIN,
                version_max: VERSION_MAX,
                build: String::new(),
                capabilities: Capabilities::OURS,
                user: tx.user().clone(),
                token: None,
                device: tx.device().clone(),
                welcome_token: tx.welcome_token()?,
                cursor: tx.feed()?.cursor,
                next_number: tx.next_number()?,
                first_unsettled: tx.first_unsettled()?,
                open_calls: tx.open_calls(OPEN_CALLS_MAX)?,
                sent_at: now.mono_ms,
            })
        })?;
        let mut hello = Hello {
            build: self.settings.build.chars().take(BUILD_CHARS_MAX).collect(),
            token: self.settings.token.clone(),
            ..hello
        };
        // What is not named comes with the history. Names can be long enough for a frame not to hold
        // them all; such a hello could never be said.
        while encoded_len(&hello).is_ok_and(|bytes| bytes >= TO_SERVER_BYTES_MAX)
            && hello.open_calls.pop().is_some()
        {}
        self.session.shown_token.clone_from(&hello.token);
        self.session.hello_made_at = Some(now.mono_ms);
        self.send_at(now, ToServer::Hello(Box::new(hello)));
        Ok(())
    }

    pub(super) fn change(
        &mut self,
        now: Now,
        state: ConnectionState,
        cause: ConnectionCause,
        why: &str,
    ) {
        let same = self.session.state == state && self.session.cause == cause;
        self.session.state = state;
        self.session.cause = cause;
        if state == ConnectionState::Connected {
            self.session.error = None;
            self.session.why_unsent = None;
        }
        if !same {
            self.session.since = self.server_now(now);
            self.tell_connection(ConnectionChange {
                state,
                cause,
                detail: why.to_owned(),
            });
        }
    }

    pub(super) fn send_at(&mut self, now: Now, frame: ToServer) {
        self.session.last_sent = now.mono_ms;
        self.send(frame);
    }

    /// An engine that waits for its turn has nobody to speak to.
    pub(super) fn send(&mut self, frame: ToServer) {
        if self.is_syncing() {
            self.effects
                .push_back(send_effect(self.session.attempt, frame));
        }
    }
}
