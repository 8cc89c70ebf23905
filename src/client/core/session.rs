//! The conversation with the server: connecting, hello, catching up, live; and what is done when
//! it breaks.

use std::collections::VecDeque;

use super::commands::send_effect;
use super::{Core, Effect, defect};
use crate::call::{CallId, DeviceId};
use crate::client::clock::{Exchange, Now};
use crate::client::event::{ConnectionCause, ConnectionChange, ConnectionState, EventKind};
use crate::client::transport::{DownKind, LinkCommand, LinkDown, LinkEvent};
use crate::error::{Code, Error};
use crate::protocol::{
    COMMANDS_IN_FLIGHT_MAX, Capabilities, ClosingReason, Cursor, Feed, Goodbye, Hello, Lane,
    Limits, OPEN_CALLS_MAX, Ping, Pong, Receipt, Renew, SEEN_CALLS_MAX, Seen, Settled, ToDevice,
    ToServer, VERSION_MAX, VERSION_MIN, Welcome,
};

/// The first pause before another attempt, at most.
const BACKOFF_FIRST_MS: i64 = 250;
/// The longest pause before another attempt.
const BACKOFF_MAX_MS: i64 = 30_000;
/// The pause after a refusal that only a change elsewhere can lift.
const BACKOFF_REFUSED_MS: i64 = 60_000;
/// How long a hello waits for its answer.
const HELLO_TIMEOUT_MS: i64 = 10_000;
/// How long a ping waits for its answer.
const PONG_TIMEOUT_MS: i64 = 10_000;
/// How long a logout waits for the server.
const LOGOUT_TIMEOUT_MS: i64 = 5_000;
/// How often the device is heard while nothing is awaited.
const HEARTBEAT_IDLE_MS: i64 = 25_000;
/// How often it is heard while something is, unless the server says otherwise.
const HEARTBEAT_MS_DEFAULT: i64 = 10_000;
/// How often the file notes when the server was heard: a device that only lies there does not
/// write with every heartbeat.
const HEARD_NOTED_EVERY_MS: i64 = 5 * 60 * 1_000;
/// After that many verdicts the server is told at once that it may forget them.
const VERDICTS_UNACKNOWLEDGED_MAX: u32 = 16;
/// After so many unanswered attempts in a row, UDP is likely to be blocked.
const HANDSHAKE_TIMEOUTS_TELLING: u32 = 3;

/// What is going on with the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Phase {
    /// No connection is wanted: not started, logged out, kicked out, or in want of a token.
    Off,
    /// The next attempt begins at that time.
    Waiting { until: i64 },
    /// The link is connecting.
    Connecting,
    /// The hello is sent.
    Greeting { until: i64 },
    /// Welcomed. `open_done`: all that rings or is open has come; `history_done`: all else, too.
    Online {
        open_done: bool,
        history_done: bool,
        cursor_valid: bool,
    },
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

/// The state of the conversation.
pub(super) struct Session {
    phase: Phase,
    attempt: u64,
    epoch: u64,
    network: bool,
    failures: u32,
    handshake_timeouts: u32,
    was_connected: bool,
    state: ConnectionState,
    cause: ConnectionCause,
    since: i64,
    error: Option<String>,
    limits: Option<Limits>,
    in_flight: usize,
    unacknowledged: u32,
    /// The line is stopped: from that number on, not before that time.
    line_held: Option<(u64, i64)>,
    last_sent: i64,
    ping_sent: Option<i64>,
    logout_until: Option<i64>,
    /// New tokens that the server has yet to take, in the order in which they were shown to it.
    renewing: VecDeque<String>,
    heard_noted: i64,
}

impl Session {
    pub(super) fn new(epoch: u64) -> Self {
        Self {
            phase: Phase::Off,
            attempt: 0,
            epoch,
            network: true,
            failures: 0,
            handshake_timeouts: 0,
            was_connected: false,
            state: ConnectionState::Disconnected,
            cause: ConnectionCause::Success,
            since: 0,
            error: None,
            limits: None,
            in_flight: 0,
            unacknowledged: 0,
            line_held: None,
            last_sent: 0,
            ping_sent: None,
            logout_until: None,
            renewing: VecDeque::new(),
            heard_noted: 0,
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

    fn is_online(&self) -> bool {
        match self.phase {
            Phase::Online { .. } => true,
            Phase::Off | Phase::Waiting { .. } | Phase::Connecting | Phase::Greeting { .. } => {
                false
            }
        }
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
        limit.unwrap_or(default)
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

    /// How often the device is to be heard now: well before the server takes it for gone, whatever
    /// that is set to.
    pub(super) fn heartbeat_ms(&self) -> i64 {
        let limits = self.session.limits;
        let idle = limits.map_or(HEARTBEAT_IDLE_MS, |limits| {
            let gone_ms = i64::from(limits.offline_after_s) * 1_000;
            HEARTBEAT_IDLE_MS.min(gone_ms * 5 / 7)
        });
        if !self.due.answer_awaited && self.session.in_flight == 0 {
            return idle;
        }
        let told = limits.map(|limits| i64::from(limits.heartbeat_s) * 1_000);
        told.unwrap_or(HEARTBEAT_MS_DEFAULT).min(idle)
    }

    /// Begins to connect, and to keep connected.
    pub fn start(&mut self, now: Now) {
        if self.session.phase == Phase::Off {
            self.change(
                now,
                ConnectionState::Connecting,
                ConnectionCause::ActiveLogin,
                "",
            );
            self.connect();
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
            if self.session.phase != Phase::Off {
                self.connect();
            }
        } else if self.session.phase != Phase::Off {
            self.leave_online();
            self.session.phase = Phase::Waiting { until: now.mono_ms };
            let cause = ConnectionCause::LoginInterrupted;
            self.change(
                now,
                ConnectionState::Reconnecting,
                cause,
                "the network is off",
            );
        }
    }

    /// The device moved to another network: nothing that was known of the old one holds.
    pub fn network_changed(&mut self, now: Now) {
        self.session.failures = 0;
        match self.session.phase {
            Phase::Online { .. } => {
                self.effects
                    .push_back(Effect::Link(LinkCommand::NetworkChanged));
                self.ping(now);
            }
            Phase::Waiting { .. } if self.session.network => self.connect(),
            Phase::Off | Phase::Waiting { .. } | Phase::Connecting | Phase::Greeting { .. } => {}
        }
    }

    /// A new token: for this connection, or for the next attempt, which is made at once if the
    /// last one failed for want of it.
    pub fn renew_token(&mut self, now: Now, token: String) {
        if self.session.is_online() {
            self.session.renewing.push_back(token.clone());
            self.send(ToServer::Renew(Renew { token }));
            return;
        }
        self.settings.token = Some(token);
        self.effects.push_back(Effect::TokenRenewed(Ok(())));
        if self.session.phase == Phase::Off && self.session.cause == ConnectionCause::TokenExpired {
            self.start(now);
        }
    }

    /// The user logs out on this device: told to the server, and no connection is wanted then.
    pub fn logout(&mut self, now: Now) {
        if self.session.is_online() {
            self.session.logout_until = Some(now.mono_ms + LOGOUT_TIMEOUT_MS);
            self.send(ToServer::Logout);
        } else {
            self.logged_out(now);
        }
    }

    fn logged_out(&mut self, now: Now) {
        self.session.logout_until = None;
        self.go_off(now, ConnectionCause::Success, "");
        self.effects.push_back(Effect::LoggedOut);
    }

    /// Ends the connection in good order, without a logout: the app goes away.
    pub fn close(&mut self, now: Now) {
        if self.session.phase != Phase::Off {
            self.acknowledge_now(now);
            self.go_off(now, ConnectionCause::Success, "");
        }
    }

    /// What the link has to say.
    pub fn handle_link(&mut self, now: Now, event: LinkEvent) -> Result<(), Error> {
        let current = self.session.attempt;
        match event {
            LinkEvent::Up { attempt, .. } if attempt == current => self.greet(now),
            LinkEvent::Frame { attempt, frame } if attempt == current => {
                let done = self.handle_frame(now, frame);
                if let Err(error) = &done {
                    // What could not be written is not acknowledged, and comes again.
                    self.drop_link(now, &error.to_string());
                }
                done
            }
            LinkEvent::Down { attempt, why } if attempt == current => {
                self.link_down(now, &why);
                Ok(())
            }
            LinkEvent::Up { .. } | LinkEvent::Frame { .. } | LinkEvent::Down { .. } => Ok(()),
        }
    }

    pub(super) fn session_timeout(&mut self, now: Now) -> Result<(), Error> {
        let time = now.mono_ms;
        if self.session.logout_until.is_some_and(|until| until <= time) {
            self.logged_out(now);
        }
        match self.session.phase {
            Phase::Waiting { until } if until <= time && self.session.network => self.connect(),
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
            self.resend(now, number)?;
            self.pump(now)?;
        }
        Ok(())
    }

    fn keep_alive(&mut self, now: Now) {
        match self.session.ping_sent {
            Some(sent) if sent + PONG_TIMEOUT_MS <= now.mono_ms => {
                self.drop_link(now, "the server was not heard in time");
            }
            Some(_) => {}
            None if self.session.last_sent + self.heartbeat_ms() <= now.mono_ms => self.ping(now),
            None => {}
        }
    }

    fn connect(&mut self) {
        self.session.attempt += 1;
        self.session.phase = Phase::Connecting;
        let attempt = self.session.attempt;
        self.effects
            .push_back(Effect::Link(LinkCommand::Connect { attempt }));
    }

    fn greet(&mut self, now: Now) -> Result<(), Error> {
        let hello = self.store.transact(|tx| {
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
        let hello = Hello {
            build: self.settings.build.clone(),
            token: self.settings.token.clone(),
            ..hello
        };
        self.session.phase = Phase::Greeting {
            until: now.mono_ms + HELLO_TIMEOUT_MS,
        };
        self.send_at(now, ToServer::Hello(Box::new(hello)));
        Ok(())
    }

    fn handle_frame(&mut self, now: Now, frame: ToDevice) -> Result<(), Error> {
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
        self.send_seen()
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

    fn handle_pong(&mut self, now: Now, pong: Pong) -> Result<(), Error> {
        self.session.ping_sent = None;
        self.clock.sample(Exchange {
            sent_mono_ms: pong.ping_sent_at,
            server_received_ms: pong.received_at,
            server_sent_ms: pong.sent_at,
            received_mono_ms: now.mono_ms,
        });
        if now.mono_ms < self.session.heard_noted + HEARD_NOTED_EVERY_MS {
            return Ok(());
        }
        self.session.heard_noted = now.mono_ms;
        let offset = self.clock.wall_offset(now);
        self.write(now, |work| {
            work.tx.set_heard(work.now)?;
            offset.map_or(Ok(()), |offset| work.tx.set_clock_offset(offset))
        })
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

    fn link_down(&mut self, now: Now, why: &LinkDown) {
        self.leave_online();
        if self.session.phase == Phase::Off {
            return;
        }
        let mut message = why.message.clone();
        if why.kind == DownKind::HandshakeTimeout {
            self.session.handshake_timeouts += 1;
            if self.session.handshake_timeouts >= HANDSHAKE_TIMEOUTS_TELLING {
                message.push_str("; UDP seems to be blocked on this network");
            }
        }
        let cause = if self.session.was_connected {
            ConnectionCause::LoginInterrupted
        } else {
            ConnectionCause::LoginTimeout
        };
        let until = now.mono_ms + self.backoff();
        self.wait(now, until, cause, &message);
    }

    /// Full jitter: anything between nothing and a ceiling that doubles.
    fn backoff(&mut self) -> i64 {
        let doublings = self.session.failures.min(16);
        self.session.failures = self.session.failures.saturating_add(1);
        let ceiling = (BACKOFF_FIRST_MS << doublings).min(BACKOFF_MAX_MS);
        i64::try_from((self.entropy)() % ceiling.cast_unsigned()).unwrap_or(ceiling)
    }

    fn drop_link(&mut self, now: Now, why: &str) {
        self.close_link();
        let until = now.mono_ms + self.backoff();
        self.wait(now, until, ConnectionCause::LoginInterrupted, why);
    }

    fn wait(&mut self, now: Now, until: i64, cause: ConnectionCause, why: &str) {
        self.leave_online();
        self.session.phase = Phase::Waiting { until };
        self.session.error = Some(why.to_owned());
        self.change(now, ConnectionState::Reconnecting, cause, why);
    }

    fn go_off(&mut self, now: Now, cause: ConnectionCause, why: &str) {
        self.close_link();
        self.leave_online();
        self.session.phase = Phase::Off;
        self.change(now, ConnectionState::Disconnected, cause, why);
    }

    fn close_link(&mut self) {
        let attempt = self.session.attempt;
        // What this attempt has to say from now on is not listened to.
        self.session.attempt += 1;
        self.effects
            .push_back(Effect::Link(LinkCommand::Close { attempt }));
    }

    /// What holds only while online ends. What was held back is on disk, so it may be heard.
    fn leave_online(&mut self) {
        self.session.ping_sent = None;
        self.session.line_held = None;
        self.release_held();
        if let Some(token) = self.session.renewing.pop_back() {
            self.session.renewing.clear();
            self.settings.token = Some(token);
            let message = "the connection was lost before the server took the token; it is shown again at the next";
            let lost = Error::new(Code::ConnectionLost, "renew", message);
            self.effects.push_back(Effect::TokenRenewed(Err(lost)));
        }
    }

    fn change(&mut self, now: Now, state: ConnectionState, cause: ConnectionCause, why: &str) {
        let same = self.session.state == state && self.session.cause == cause;
        self.session.state = state;
        self.session.cause = cause;
        if state == ConnectionState::Connected {
            self.session.error = None;
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

    fn ping(&mut self, now: Now) {
        self.acknowledge_now(now);
        self.session.ping_sent = Some(now.mono_ms);
        self.send_at(
            now,
            ToServer::Ping(Ping {
                sent_at: now.mono_ms,
            }),
        );
    }

    /// Tells the server now and then which verdicts it may forget.
    pub(super) fn acknowledge_verdicts(&mut self, now: Now) -> Result<(), Error> {
        if self.session.unacknowledged >= VERDICTS_UNACKNOWLEDGED_MAX {
            self.acknowledge_now(now);
        }
        Ok(())
    }

    fn acknowledge_now(&mut self, now: Now) {
        if !self.session.is_online() {
            return;
        }
        // Only a courtesy to the server: the next hello says it again.
        let known = self
            .store
            .transact(|tx| Ok((tx.first_unsettled()?, tx.feed()?.cursor)));
        if let Ok((first_unsettled, cursor)) = known {
            self.session.unacknowledged = 0;
            let number = first_unsettled.saturating_sub(1);
            self.send_at(now, ToServer::Settled(Settled { number, cursor }));
        }
    }

    /// Tells the server of missed calls that were marked as seen here.
    pub(super) fn send_seen(&mut self) -> Result<(), Error> {
        if !self.session.is_online() {
            return Ok(());
        }
        let mut after = 0;
        loop {
            let marked = self
                .store
                .transact(|tx| tx.seen_here(after, SEEN_CALLS_MAX))?;
            let Some((last, _)) = marked.last() else {
                return Ok(());
            };
            after = *last;
            let calls: Vec<CallId> = marked.into_iter().map(|(_, call)| call).collect();
            self.send(ToServer::Seen(Seen { calls }));
        }
    }

    pub(super) fn send_receipt(&mut self, receipt: Receipt) {
        if self.session.is_online() {
            self.send(ToServer::Receipt(receipt));
        }
    }

    fn send_at(&mut self, now: Now, frame: ToServer) {
        self.session.last_sent = now.mono_ms;
        self.send(frame);
    }

    pub(super) fn send(&mut self, frame: ToServer) {
        self.effects
            .push_back(send_effect(self.session.attempt, frame));
    }
}
