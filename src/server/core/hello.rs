//! How a device comes in, stays in by its token, and goes out.
//!
//! A database that was copied or rolled back is noticed by its welcome token. A hello shows the token
//! of the last welcome; where that was lost on the way, the one before. A token that is shown voids
//! all others but those given for it. There can be several: besides lost welcomes, two hellos of one
//! database can be under way at once, and whichever is answered last, its welcome need not be the
//! one that is kept. Whoever brings another token is a copy. One thing looks alike
//! and is not: a *server* restored from a backup does not know its devices' newest tokens. It is
//! told by what the device has that this data cannot have given: a cursor of an unknown epoch or
//! beyond the end of a known one, a welcome token made later than the newest here (it says when), a
//! verdict on a number that was not decided here. Such a device is taken on, once, from where it
//! says it is, and is told that its cursor is not valid: again in each welcome, until it shows the
//! token of one of them.

use std::collections::{BTreeMap, VecDeque};

use super::commands::{COMMANDS_BURST, verdict_with_record};
use super::session::{Bucket, Device, Phase, User};
use super::timers::Timer;
use super::work::Work;
use super::{ConnId, Effect, State};
use crate::call::{CallId, DeviceId, Millis, UserId, passing};
use crate::error::{Code, Error};
use crate::protocol::{
    ClosingReason, Cursor, Hello, OPEN_CALLS_MAX, Ping, Pong, Renew, Renewed, TOKEN_BYTES_MAX,
    ToDevice, TokenNotice, VERSION_MAX, VERSION_MIN, Welcome, negotiate,
};
use crate::server::auth::TokenError;
use crate::server::store::{DeviceRow, KeptVerdict, StoreResult};

/// Within this time a connection says hello.
pub const HELLO_WITHIN_MS: Millis = 10_000;
/// A device is told this long before its token runs out.
pub const TOKEN_NOTICE_MS: Millis = 30_000;
/// Most started calls of a user that a hello is answered with, besides those that it names.
pub const OPEN_LANE_CALLS_MAX: usize = 512;
/// The largest number of a command that is believed. No device comes near it by counting.
const NUMBER_MAX: u64 = 1 << 53;
/// How the welcome token of a device ends that is ahead of this data.
const DOUBT: &str = "x";
/// Most letters of a build's name that are kept.
const BUILD_CHARS_MAX: usize = 64;
/// Most verdicts that are read at once.
pub(super) const VERDICTS_AT_ONCE: usize = 64;

/// What a hello whose form and token are good comes to.
pub(super) struct Introduced {
    version: u16,
    token_expires_at: Option<Millis>,
}

impl State {
    pub(super) fn on_hello(
        &mut self,
        work: &mut Work<'_>,
        conn: ConnId,
        hello: Hello,
    ) -> StoreResult<()> {
        let introduced = match self.check_hello(&hello, work.now) {
            Ok(introduced) => introduced,
            Err(error) => return self.refuse(work, conn, error),
        };
        if let Some(older) = self.connection_of(&hello.user, &hello.device) {
            self.write_row(work, older)?; // what is read next is to have it
        }
        let cursor_valid = work.read()?.knows_cursor(hello.cursor)?;
        let known = work.read()?.device(&hello.user, &hello.device)?;
        let (row, is_ahead) = match self.recognise(&hello, known, cursor_valid) {
            Ok(recognised) => recognised,
            Err(error) => return self.refuse(work, conn, error),
        };
        let has_missed_it = row.as_ref().is_some_and(|row| tells_to_doubt(&hello, row));
        let row = self.renewed_row(&hello, row, is_ahead, work.now);
        let trimmed = work.read()?.trimmed(&hello.user)?;
        let doubted = is_ahead || has_missed_it;
        let cursor_valid = cursor_valid && !doubted && hello.cursor.seq >= trimmed;
        let settled = hello.first_unsettled.saturating_sub(1).min(row.last_number);
        let row = DeviceRow {
            settled_number: row.settled_number.max(settled),
            ..row
        };
        let now = work.now;
        let store = work.write()?;
        store.forget_verdicts(&row.user, &row.device, row.settled_number)?;
        store.put_device(&row)?;
        store.put_user(&row.user, row.capabilities, now)?;
        self.let_in(work, conn, (&hello, introduced), row, cursor_valid)
    }

    /// Judges the form of a hello, and its token.
    pub(super) fn check_hello(&self, hello: &Hello, now: Millis) -> Result<Introduced, Error> {
        let Some(version) = negotiate(hello.version_min, hello.version_max) else {
            return Err(Error::parameter(
                "version",
                format!(
                    "the device speaks {} to {}, this server {VERSION_MIN} to {VERSION_MAX}; update the older of the two",
                    hello.version_min, hello.version_max
                ),
            ));
        };
        UserId::parse("userID", hello.user.as_str())?;
        DeviceId::parse("deviceID", hello.device.as_str())?;
        if hello.open_calls.len() > OPEN_CALLS_MAX {
            return Err(Error::parameter(
                "open_calls",
                format!(
                    "names {} calls, at most {OPEN_CALLS_MAX} are allowed",
                    hello.open_calls.len()
                ),
            ));
        }
        if hello.next_number > NUMBER_MAX || hello.first_unsettled > hello.next_number.max(1) {
            return Err(Error::parameter(
                "next_number",
                format!(
                    "is {}, and {} is the first that is not settled: no device counts like that",
                    hello.next_number, hello.first_unsettled
                ),
            ));
        }
        let admitted = self.admit(&hello.user, hello.token.as_deref(), now)?;
        Ok(Introduced {
            version,
            token_expires_at: admitted,
        })
    }

    /// Until when that token lets that user in; `None` is for ever.
    fn admit(
        &self,
        user: &UserId,
        token: Option<&str>,
        now: Millis,
    ) -> Result<Option<Millis>, Error> {
        if token.is_some_and(|token| token.len() > TOKEN_BYTES_MAX) {
            let message = format!("the token has more than {TOKEN_BYTES_MAX} bytes");
            return Err(Error::new(Code::TokenInvalid, "token", message));
        }
        match self.auth.admit(user.as_str(), token, now) {
            Ok(admitted) => Ok(admitted.expires_ms),
            Err(error) => Err(token_refusal(&error)),
        }
    }

    /// Its row, if this is the device that it says it is, and not a copy of its database; and
    /// whether it is ahead of this data.
    fn recognise(
        &self,
        hello: &Hello,
        known: Option<DeviceRow>,
        cursor_valid: bool,
    ) -> Result<(Option<DeviceRow>, bool), Error> {
        if fits(hello, known.as_ref()) {
            return Ok((known, false));
        }
        // Once in the life of a server: a second one that comes so is a copy of the first.
        let not_seen_yet = known.as_ref().is_none_or(|row| {
            row.hello_at < self.started_at && hello.next_number > row.last_number
        });
        if not_seen_yet && is_ahead(hello, known.as_ref(), cursor_valid) {
            tracing::warn!(
                user = %hello.user, device = %hello.device,
                "this data is older than the device; taking the device as it is"
            );
            return Ok((known.map(|row| taken_as_it_is(row, hello)), true));
        }
        Err(copied(&hello.device))
    }

    /// The row with which the session begins. A row that did not exist begins where the device is.
    fn renewed_row(
        &mut self,
        hello: &Hello,
        known: Option<DeviceRow>,
        is_ahead: bool,
        now: Millis,
    ) -> DeviceRow {
        let decided = hello.first_unsettled.saturating_sub(1);
        let (last_number, settled_number) = known.as_ref().map_or((decided, decided), |row| {
            (row.last_number, row.settled_number)
        });
        let shown = &hello.welcome_token;
        let again = known.filter(|row| !is_ahead && !shows_newest(hello, row));
        let (welcome_token, previous_welcome_token) = match again {
            Some(row) => (
                next_for_the_same(&row.welcome_token),
                row.previous_welcome_token,
            ),
            None => (self.welcome_token(now, is_ahead), shown.clone()),
        };
        DeviceRow {
            user: hello.user.clone(),
            device: hello.device.clone(),
            capabilities: hello.capabilities,
            build: hello.build.chars().take(BUILD_CHARS_MAX).collect(),
            last_number,
            settled_number,
            welcome_token,
            previous_welcome_token,
            hello_at: now,
        }
    }

    /// Says when it was made, and whether its welcome tells the device to doubt what it has; and
    /// cannot be guessed.
    fn welcome_token(&mut self, now: Millis, is_ahead: bool) -> String {
        let mark = if is_ahead { DOUBT } else { "" };
        format!(
            "{now:x}.{:016x}{:016x}{mark}",
            (self.entropy)(),
            (self.entropy)()
        )
    }

    fn let_in(
        &mut self,
        work: &mut Work<'_>,
        conn: ConnId,
        (hello, introduced): (&Hello, Introduced),
        row: DeviceRow,
        cursor_valid: bool,
    ) -> StoreResult<()> {
        let Introduced {
            version,
            token_expires_at,
        } = introduced;
        let (user, name) = (row.user.clone(), row.device.clone());
        tracing::debug!(
            conn = conn.0, %user, device = %name, build = row.build, cursor_valid,
            last_number = row.last_number, "hello"
        );
        let welcome = Welcome {
            version,
            server_time: work.now,
            hello_sent_at: hello.sent_at,
            epoch: self.epoch,
            cursor_valid,
            last_number: row.last_number,
            welcome_token: row.welcome_token.clone(),
            limits: self.settings.limits(),
        };
        let open = self.open_lane(work, &user, &hello.open_calls)?;
        self.replace_older(work, &user, &name)?;
        self.hellos += 1;
        let device = Device {
            verdict_sent: row.last_number,
            row,
            row_changed: false,
            hello_order: self.hellos,
            stopped_at: None,
            phase: Phase::Open(open),
            position: if cursor_valid { hello.cursor.seq } else { 0 },
            token_expires_at,
        };
        let after = device.row.settled_number + 1;
        if let Some(session) = self.sessions.get_mut(&conn) {
            session.device = Some(device);
        }
        let entry = self.users.entry(user.clone()).or_insert_with(|| User {
            devices: BTreeMap::new(),
            left_at: 0,
            commands: Bucket::full(COMMANDS_BURST, work.now),
        });
        entry.devices.insert(name.clone(), conn);
        self.mark_present(&user);
        self.arm_session(conn, work.now);
        self.send(work, conn, ToDevice::Welcome(Box::new(welcome)));
        self.send_verdicts_from(work, conn, &user, &name, after)?;
        self.opening.insert(conn);
        self.kick_oldest(work, &user)
    }

    /// What is sent first: all started calls open to the user, and what the device names.
    pub(super) fn open_lane(
        &self,
        work: &mut Work<'_>,
        user: &UserId,
        named: &[CallId],
    ) -> StoreResult<VecDeque<CallId>> {
        let open = work.read()?.open_calls_of(user, OPEN_LANE_CALLS_MAX)?;
        let mut calls: VecDeque<CallId> = open.into();
        for call in named {
            if CallId::parse("callID", call.as_str()).is_ok() && !calls.contains(call) {
                calls.push_back(call.clone());
            }
        }
        Ok(calls)
    }

    fn send_verdicts_from(
        &mut self,
        work: &mut Work<'_>,
        conn: ConnId,
        user: &UserId,
        device: &DeviceId,
        first: u64,
    ) -> StoreResult<()> {
        let mut from = first;
        loop {
            let kept = work
                .read()?
                .verdicts_from(user, device, from, VERDICTS_AT_ONCE)?;
            let Some(last) = kept.last() else {
                return Ok(());
            };
            from = last.number + 1;
            for (verdict, has_record) in which_have_records(kept) {
                let call = if has_record {
                    work.record(&verdict.call)?
                } else {
                    None
                };
                let verdict = verdict_with_record(verdict, call, user);
                self.send(work, conn, ToDevice::Verdict(Box::new(verdict)));
            }
        }
    }

    fn replace_older(
        &mut self,
        work: &mut Work<'_>,
        user: &UserId,
        device: &DeviceId,
    ) -> StoreResult<()> {
        let Some(older) = self.connection_of(user, device) else {
            return Ok(());
        };
        let why = "a newer connection of this device took over";
        self.say_goodbye(work, older, ClosingReason::Replaced, why)
    }

    /// By which connection that device is here.
    pub(super) fn connection_of(&self, user: &UserId, device: &DeviceId) -> Option<ConnId> {
        self.users.get(user)?.devices.get(device).copied()
    }

    fn kick_oldest(&mut self, work: &mut Work<'_>, user: &UserId) -> StoreResult<()> {
        let Some(here) = self.users.get(user) else {
            return Ok(());
        };
        if here.devices.len() <= self.settings.devices_max {
            return Ok(());
        }
        let oldest = here.devices.values().copied().min_by_key(|conn| {
            let session = self.sessions.get(conn);
            session
                .and_then(|session| session.device.as_ref())
                .map_or(0, |device| device.hello_order)
        });
        let Some(oldest) = oldest else { return Ok(()) };
        let why = format!(
            "{user} has more than {} devices; this one was connected the longest",
            self.settings.devices_max
        );
        self.say_goodbye(work, oldest, ClosingReason::KickedOut, &why)
    }

    pub(super) fn on_ping(&mut self, work: &mut Work<'_>, conn: ConnId, ping: Ping) {
        let pong = Pong {
            ping_sent_at: ping.sent_at,
            received_at: work.now,
            sent_at: work.now,
        };
        self.send(work, conn, ToDevice::Pong(pong));
    }

    pub(super) fn on_renew(&mut self, work: &mut Work<'_>, conn: ConnId, renew: &Renew) {
        let Some(user) = self.user_of(conn) else {
            return;
        };
        let admitted = self.admit(&user, Some(&renew.token), work.now);
        let result = match admitted {
            Ok(expires_at) => {
                if let Some(device) = self.device_mut(conn) {
                    device.token_expires_at = expires_at;
                }
                self.arm_token(conn, work.now);
                Ok(())
            }
            Err(error) => Err(error),
        };
        self.send(work, conn, ToDevice::Renewed(Renewed { result }));
    }

    /// A token is about to run out, or has.
    pub(super) fn on_token_time(&mut self, work: &mut Work<'_>, conn: ConnId) -> StoreResult<()> {
        let expires_at = self.device(conn).and_then(|device| device.token_expires_at);
        let Some(expires_at) = expires_at else {
            return Ok(());
        };
        if work.now >= expires_at {
            let why = TokenError::Expired { at_ms: expires_at }.to_string();
            return self.say_goodbye(work, conn, ClosingReason::TokenExpired, &why);
        }
        let seconds = u32::try_from((expires_at - work.now + 999) / 1_000).unwrap_or(u32::MAX);
        self.timers.set(Timer::Token(conn), expires_at);
        self.send(work, conn, ToDevice::TokenNotice(TokenNotice { seconds }));
        Ok(())
    }

    /// Logs out: unanswered calls that the user made with this device are cancelled.
    pub(super) fn on_logout(&mut self, work: &mut Work<'_>, conn: ConnId) -> StoreResult<()> {
        let Some(device) = self.device(conn) else {
            return Ok(());
        };
        let (user, name) = (device.row.user.clone(), device.row.device.clone());
        let open = work.read()?.open_calls_of(&user, OPEN_LANE_CALLS_MAX)?;
        for id in open {
            let Some(call) = work.record(&id)? else {
                continue;
            };
            let primary = call
                .member(&user)
                .and_then(|member| member.primary_device());
            if call.caller != user || primary != Some(&name) {
                continue;
            }
            let doer = passing::Doer::User {
                user: &user,
                device: Some(&name),
            };
            if let Some(after) = passing::creator_gone(&call, &doer, work.now) {
                work.change(Some(&call), after, crate::call::Audience::Members, None)?;
            }
        }
        tracing::debug!(conn = conn.0, %user, device = %name, "logged out");
        self.send(work, conn, ToDevice::LoggedOut);
        self.end_session(work, conn, work.now)?;
        work.effects.push(Effect::Close {
            conn,
            goodbye: None,
        });
        Ok(())
    }
}

/// Whether that device can have been left as its row says.
pub(super) fn fits(hello: &Hello, known: Option<&DeviceRow>) -> bool {
    match (known, &hello.welcome_token) {
        (None, None) => hello.next_number <= 1,
        (None, Some(_)) => false,
        // Its first welcome was lost.
        (Some(row), None) => row.last_number == 0 && row.previous_welcome_token.is_none(),
        (Some(row), Some(token)) => {
            let newest = shows_newest(hello, row);
            let before = Some(token) == row.previous_welcome_token.as_ref();
            // Verdicts up to the settled number are forgotten here, because it had them on disk.
            let settled = row.settled_number + 1..=row.last_number + 1;
            (newest || before)
                && hello.next_number > row.last_number
                && settled.contains(&hello.first_unsettled)
        }
    }
}

/// Whether that is the newest token of a device, or was given before it for the same one.
fn shows_newest(hello: &Hello, row: &DeviceRow) -> bool {
    shown_beside_newest(hello, row).is_some_and(|(shown, newest)| shown <= newest)
}

/// Whether the welcome that the device has not heard told it that its cursor is not valid.
fn tells_to_doubt(hello: &Hello, row: &DeviceRow) -> bool {
    numbered(&row.welcome_token).0.ends_with(DOUBT) && !shows_newest(hello, row)
}

/// Whether that was given for the same token as the newest, and after it.
fn shows_later(hello: &Hello, row: &DeviceRow) -> bool {
    shown_beside_newest(hello, row).is_some_and(|(shown, newest)| shown > newest)
}

/// The numbers of the token that is shown and the newest, if they were given for the same one.
fn shown_beside_newest(hello: &Hello, row: &DeviceRow) -> Option<(u64, u64)> {
    let (shown, number) = numbered(hello.welcome_token.as_ref()?);
    let (newest, given) = numbered(&row.welcome_token);
    (shown == newest).then_some((number, given))
}

/// A welcome token without its number, which is that of the welcome among those that were given for
/// the same token; the first has none.
fn numbered(token: &str) -> (&str, u64) {
    let parts = token.rsplit_once('-').and_then(|(token, text)| {
        let number: u64 = text.parse().ok()?;
        (number > 0 && number.to_string() == text).then_some((token, number))
    });
    parts.unwrap_or((token, 0))
}

/// The token of another welcome for what the newest was given for.
fn next_for_the_same(newest: &str) -> String {
    let (token, number) = numbered(newest);
    format!("{token}-{}", number.saturating_add(1))
}

/// Whether the device has what this data cannot have given.
fn is_ahead(hello: &Hello, known: Option<&DeviceRow>, cursor_valid: bool) -> bool {
    let cursor = hello.cursor.epoch != 0 && !cursor_valid;
    let made_at = hello.welcome_token.as_deref().and_then(made_at);
    let token = made_at.is_some_and(|at| known.is_none_or(|row| at > row.hello_at))
        || known.is_some_and(|row| shows_later(hello, row));
    let verdict = known.is_some_and(|row| hello.first_unsettled > row.last_number + 1);
    cursor || token || verdict
}

/// When a welcome token was made.
fn made_at(token: &str) -> Option<Millis> {
    let (at, _) = token.split_once('.')?;
    Millis::from_str_radix(at, 16).ok()
}

/// The row of a device that is ahead of this data: what the device has is taken as decided.
fn taken_as_it_is(row: DeviceRow, hello: &Hello) -> DeviceRow {
    let decided = hello.first_unsettled.saturating_sub(1);
    DeviceRow {
        last_number: row.last_number.max(decided),
        settled_number: row.settled_number.max(decided),
        ..row
    }
}

/// Which of the verdicts that a device is sent in one go come with the record of their call. It is
/// that of now: with an earlier verdict it would bring about what a later command of the same device
/// did, ahead of that one's verdict.
pub(super) fn which_have_records(
    verdicts: Vec<KeptVerdict>,
) -> impl Iterator<Item = (KeptVerdict, bool)> {
    let mut verdicts = VecDeque::from(verdicts);
    std::iter::from_fn(move || {
        let verdict = verdicts.pop_front()?;
        let is_last = verdicts.iter().all(|later| later.call != verdict.call);
        Some((verdict, is_last))
    })
}

/// This database is a copy of one that went on, or an older state of it.
pub(super) fn copied(device: &DeviceId) -> Error {
    Error::new(
        Code::Dropped,
        "copied",
        format!(
            "device {device} is known here by a later state of its database; this one is a copy and goes on under a new identity"
        ),
    )
}

fn token_refusal(error: &TokenError) -> Error {
    let code = match error {
        TokenError::Expired { .. } => Code::TokenExpired,
        TokenError::Missing
        | TokenError::Malformed(_)
        | TokenError::Forged
        | TokenError::NotYetValid { .. }
        | TokenError::OtherUser { .. } => Code::TokenInvalid,
    };
    Error::new(code, "token", error.to_string())
}

/// Where in its feed a device is, in the epoch of this server.
pub(super) fn cursor(epoch: u64, seq: u64) -> Cursor {
    Cursor { epoch, seq }
}
