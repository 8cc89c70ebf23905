//! Commands: numbered, decided once, and answered with the same verdict however often they come.

use ring::digest::{SHA256, digest};

use super::hello::copied;
use super::session::Device;
use super::work::{Asked, Work};
use super::{ConnId, State, push};
use crate::call::limits::INVITEES_MAX;
use crate::call::{
    Actor, Audience, Call, CallId, Change, Command, Facts, Millis, UserId, apply, passing,
};
use crate::error::{Code, Error};
use crate::protocol::{
    ClosingReason, CommandFrame, FROM_SERVER_BYTES_MAX, Receipt, Retry, SEEN_CALLS_MAX, Seen,
    Settled, ToDevice, Verdict, codec,
};
use crate::server::store::{KeptVerdict, StoreResult};

/// How many commands a user may send a second, with all devices.
pub const COMMANDS_PER_SECOND: i64 = 200;
/// How many commands a user may send at once.
pub const COMMANDS_BURST: i64 = 400;
/// Most verdicts that are kept for a device: it says that it has those on disk before it sends
/// more commands.
pub const UNSETTLED_MAX: u64 = 128;
/// Most started calls that are open to a user who makes or joins one more.
pub const CALLS_OPEN_MAX: usize = 100;
/// Most bytes of a command's identity.
pub const OP_BYTES_MAX: usize = 64;
/// Most devices whose settled verdicts one step forgets; the rest is for a later one.
const FORGOTTEN_DEVICES_MAX: usize = 256;
/// How often a call that blocks may turn out to be over before the next one is taken at its word.
const BLOCKING_CALLS_MAX: usize = 8;
/// How long a device waits that has too many unsettled verdicts.
const UNSETTLED_WAIT_MS: Millis = 1_000;

impl State {
    pub(super) fn on_command(
        &mut self,
        work: &mut Work<'_>,
        conn: ConnId,
        frame: CommandFrame,
    ) -> StoreResult<()> {
        let Some(device) = self.device_mut(conn) else {
            return Ok(());
        };
        if device.stopped_at.is_some_and(|stop| frame.number > stop) {
            return Ok(()); // it comes again after the one that was put off
        }
        let (last, settled) = (device.row.last_number, device.row.settled_number);
        work.note(conn, Asked::Commands(frame.number));
        if frame.number <= last {
            return self.repeat_verdict(work, conn, &frame, settled);
        }
        if frame.number > last + 1 {
            let why = format!("command {} comes after {last}: a gap", frame.number);
            return self.say_goodbye(work, conn, ClosingReason::Violation, &why);
        }
        if frame.op.as_str().len() > OP_BYTES_MAX {
            let why = format!("the identity of command {} is too long", frame.number);
            return self.say_goodbye(work, conn, ClosingReason::Violation, &why);
        }
        if let Err((after_ms, error)) = self.pace(conn, frame.number, work.now) {
            let number = self.stop_line(conn, frame.number);
            let retry = Retry {
                number,
                after_ms: u32::try_from(after_ms).unwrap_or(u32::MAX),
                error,
            };
            self.send(work, conn, ToDevice::Retry(retry));
            return Ok(());
        }
        self.decide(work, conn, &frame)
    }

    /// Whether that device may send one more command now; if not, in how many milliseconds.
    fn pace(&mut self, conn: ConnId, number: u64, now: Millis) -> Result<(), (Millis, Error)> {
        let Some(device) = self.device(conn) else {
            return Ok(());
        };
        if number > device.row.settled_number + UNSETTLED_MAX {
            let message = format!(
                "{UNSETTLED_MAX} verdicts wait for the device to say that it has them on disk"
            );
            let error = Error::new(Code::TooManyRequests, "unsettled", message);
            return Err((UNSETTLED_WAIT_MS, error));
        }
        let user = device.row.user.clone();
        let Some(user) = self.users.get_mut(&user) else {
            return Ok(());
        };
        user.commands
            .take(COMMANDS_PER_SECOND, COMMANDS_BURST, now)
            .map_err(|after_ms| {
                let message = format!("more than {COMMANDS_PER_SECOND} commands a second");
                (after_ms, Error::new(Code::TooManyRequests, "rate", message))
            })
    }

    /// Stops the line at that number, unless it stands at an earlier one; gives where it stands.
    pub(super) fn stop_line(&mut self, conn: ConnId, number: u64) -> u64 {
        let Some(device) = self.device_mut(conn) else {
            return number;
        };
        // The line begins with the first command that has no verdict.
        let number = number.max(device.row.last_number + 1);
        let stop = device.stopped_at.map_or(number, |stop| stop.min(number));
        device.stopped_at = Some(stop);
        stop
    }

    /// The same number again: the same verdict if it is the same command.
    fn repeat_verdict(
        &mut self,
        work: &mut Work<'_>,
        conn: ConnId,
        frame: &CommandFrame,
        settled: u64,
    ) -> StoreResult<()> {
        let Some(device) = self.device(conn) else {
            return Ok(());
        };
        let (user, name) = (device.row.user.clone(), device.row.device.clone());
        let kept = if frame.number > settled {
            work.read()?.verdict(&user, &name, frame.number)?
        } else {
            None
        };
        let Some(kept) = kept.filter(|kept| digest_of(frame) == Some(kept.digest)) else {
            tracing::warn!(
                %user, device = %name, number = frame.number,
                "another command under a number that is decided; the device is a copy"
            );
            return self.refuse(work, conn, copied(&name));
        };
        self.send_verdict(work, conn, &kept).map(drop)
    }

    fn decide(
        &mut self,
        work: &mut Work<'_>,
        conn: ConnId,
        frame: &CommandFrame,
    ) -> StoreResult<()> {
        let Some(device) = self.device(conn) else {
            return Ok(());
        };
        let Some(digest) = digest_of(frame) else {
            let why = format!("command {} cannot be encoded again", frame.number);
            return self.say_goodbye(work, conn, ClosingReason::Violation, &why);
        };
        let actor = Actor {
            user: device.row.user.clone(),
            device: device.row.device.clone(),
            op: frame.op.clone(),
            call: frame.call.clone(),
        };
        let result = self.judge(work, &actor, frame)?;
        tracing::debug!(
            user = %actor.user, device = %actor.device, number = frame.number, call = ?frame.call,
            command = frame.command.kind().name(),
            refused = result.as_ref().err().map(|error| error.code.number()),
            "decided"
        );
        let result = match result {
            Ok((before, change)) => {
                self.push_for(work, before.as_ref(), &change.call, frame);
                work.change(
                    before.as_ref(),
                    change.call,
                    change.audience,
                    Some(&actor.user),
                )?;
                Ok(change.outcome)
            }
            Err(error) => Err(error),
        };
        let kept = KeptVerdict {
            number: frame.number,
            op: frame.op.clone(),
            call: frame.call.clone(),
            digest,
            result,
        };
        work.write()?
            .put_verdict(&actor.user, &actor.device, &kept)?;
        if let Some(device) = self.device_mut(conn) {
            device.row.last_number = frame.number;
            device.row_changed = true;
            device.stopped_at = None;
        }
        // A device takes a record with a new verdict, so the feed need not bring it the same again.
        // It does not with a repeated one, which it may have settled before.
        if let Some(revision) = self.send_verdict(work, conn, &kept)? {
            work.told.insert((conn, kept.call), revision);
        }
        Ok(())
    }

    /// What becomes of it: the call before, and the change; or why not.
    fn judge(
        &mut self,
        work: &mut Work<'_>,
        actor: &Actor,
        frame: &CommandFrame,
    ) -> StoreResult<Result<(Option<Call>, Change), Error>> {
        if let Err(error) = CallId::parse("callID", frame.call.as_str()) {
            return Ok(Err(error));
        }
        let too_late = frame.not_after != 0 && work.now > frame.not_after;
        if too_late && !is_judged_by_the_call(&frame.command) {
            return Ok(Err(expired(frame, work.now)));
        }
        let before = work.record(&frame.call)?;
        let facts = self.facts(work, actor, &frame.command)?;
        let change = apply(
            before.as_ref(),
            actor,
            &frame.command,
            &facts,
            &self.rules,
            work.now,
        );
        if too_late && change.is_ok() {
            return Ok(Err(expired(frame, work.now)));
        }
        let change = match change {
            Ok(change) => change,
            Err(error) => return Ok(Err(error)),
        };
        if let Some(error) = self.too_many_calls(work, actor, before.as_ref(), &frame.command)? {
            return Ok(Err(error));
        }
        Ok(Ok((before, change)))
    }

    fn facts(
        &mut self,
        work: &mut Work<'_>,
        actor: &Actor,
        command: &Command,
    ) -> StoreResult<Facts> {
        let mut facts = Facts::default();
        let invitees = match command {
            Command::Invite { invitees, .. } => {
                facts.in_call = in_call(work, actor)?;
                if let [invitee, rest @ ..] = invitees.as_slice()
                    && rest.iter().all(|other| other == invitee)
                {
                    facts.glare = glare(work, invitee, &actor.user)?;
                }
                invitees
            }
            Command::CallingInvite { invitees, .. } => invitees,
            Command::Cancel { .. }
            | Command::Accept { .. }
            | Command::Reject { .. }
            | Command::Join { .. }
            | Command::Quit { .. }
            | Command::End { .. } => return Ok(facts),
        };
        if self.settings.registered_users_only {
            facts.unknown_users = unknown(work, invitees)?;
        }
        Ok(facts)
    }

    /// Whether this would be one call too many for the user who makes or joins it.
    fn too_many_calls(
        &self,
        work: &mut Work<'_>,
        actor: &Actor,
        before: Option<&Call>,
        command: &Command,
    ) -> StoreResult<Option<Error>> {
        let opens_one = match command {
            Command::Invite { .. } => true,
            Command::Join { .. } => !before.is_some_and(|call| call.is_open_to(&actor.user)),
            Command::CallingInvite { .. }
            | Command::Cancel { .. }
            | Command::Accept { .. }
            | Command::Reject { .. }
            | Command::Quit { .. }
            | Command::End { .. } => false,
        };
        if !opens_one {
            return Ok(None);
        }
        let open = work.read()?.open_calls_of(&actor.user, CALLS_OPEN_MAX)?;
        Ok((open.len() >= CALLS_OPEN_MAX).then(|| {
            Error::new(
                Code::TooManyRequests,
                "calls",
                format!(
                    "{CALLS_OPEN_MAX} calls are open to {}; answer or leave some",
                    actor.user
                ),
            )
        }))
    }

    /// Gives the revision of the record that goes with it.
    fn send_verdict(
        &mut self,
        work: &mut Work<'_>,
        conn: ConnId,
        kept: &KeptVerdict,
    ) -> StoreResult<Option<u64>> {
        let Some(user) = self.user_of(conn) else {
            return Ok(None);
        };
        let call = work.record(&kept.call)?;
        if let Some(device) = self.device_mut(conn) {
            device.verdict_sent = device.verdict_sent.max(kept.number);
        }
        let verdict = verdict_with_record(kept.clone(), call, &user);
        let revision = verdict.call.as_ref().map(|call| call.revision);
        self.send(work, conn, ToDevice::Verdict(Box::new(verdict)));
        Ok(revision)
    }

    /// Pushes to those without a connected device, where the command asks for it.
    fn push_for(
        &self,
        work: &mut Work<'_>,
        before: Option<&Call>,
        after: &Call,
        frame: &CommandFrame,
    ) {
        let pushes = push::pushes(before, after, &frame.command, work.now);
        for push in pushes {
            if !self.users.contains_key(&push.user) {
                work.effects.push(super::Effect::Push(Box::new(push)));
            }
        }
    }

    /// A device has an invitation on its disk.
    pub(super) fn on_receipt(
        &mut self,
        work: &mut Work<'_>,
        conn: ConnId,
        receipt: &Receipt,
    ) -> StoreResult<()> {
        let Some(user) = self.user_of(conn) else {
            return Ok(());
        };
        let Some(call) = work.record(&receipt.call)? else {
            return Ok(());
        };
        match passing::receive(&call, &user, receipt.invitation, work.now) {
            None => Ok(()),
            Some(after) => work.change(Some(&call), after, Audience::Members, None),
        }
    }

    /// The user has seen that they missed calls.
    pub(super) fn on_seen(
        &mut self,
        work: &mut Work<'_>,
        conn: ConnId,
        seen: &Seen,
    ) -> StoreResult<()> {
        let Some(user) = self.user_of(conn) else {
            return Ok(());
        };
        if seen.calls.len() > SEEN_CALLS_MAX {
            let why = format!("more than {SEEN_CALLS_MAX} calls seen in one frame");
            return self.say_goodbye(work, conn, ClosingReason::Violation, &why);
        }
        for id in &seen.calls {
            let Some(call) = work.record(id)? else {
                continue;
            };
            if let Some(after) = passing::see(&call, &user) {
                work.change(Some(&call), after, Audience::ActorOnly, Some(&user))?;
            }
        }
        Ok(())
    }

    /// Verdicts are on the device's disk. What that frees is written along with something else, or
    /// when the session ends: should it be lost, the next hello says it again.
    pub(super) fn on_settled(
        &mut self,
        work: &mut Work<'_>,
        conn: ConnId,
        settled: Settled,
    ) -> StoreResult<()> {
        let Some(device) = self.device_mut(conn) else {
            return Ok(());
        };
        if settled.number > device.row.last_number {
            let why = format!(
                "verdict {} is settled, and {} was the last that was given",
                settled.number, device.row.last_number
            );
            return self.say_goodbye(work, conn, ClosingReason::Violation, &why);
        }
        if settled.number > device.row.settled_number {
            device.row.settled_number = settled.number;
            device.row_changed = true;
            self.settling.insert(conn);
        }
        Ok(())
    }

    pub(super) fn forget_settled(&mut self, work: &mut Work<'_>) -> StoreResult<()> {
        for _ in 0..FORGOTTEN_DEVICES_MAX {
            let Some(conn) = self.settling.pop_first() else {
                break;
            };
            self.forget_settled_of(work, conn)?;
            self.write_row(work, conn)?;
        }
        Ok(())
    }

    pub(super) fn forget_settled_of(&self, work: &mut Work<'_>, conn: ConnId) -> StoreResult<()> {
        let Some(device) = self.device(conn) else {
            return Ok(());
        };
        let row = &device.row;
        work.write()?
            .forget_verdicts(&row.user, &row.device, row.settled_number)
    }

    pub(super) fn write_row(&mut self, work: &mut Work<'_>, conn: ConnId) -> StoreResult<()> {
        let Some(session) = self.sessions.get_mut(&conn) else {
            return Ok(());
        };
        work.keep(conn, session);
        match &mut session.device {
            Some(device) if device.row_changed => {
                device.row_changed = false;
                work.write()?.put_device(&device.row)
            }
            Some(_) | None => Ok(()),
        }
    }

    pub(super) fn device(&self, conn: ConnId) -> Option<&Device> {
        self.sessions.get(&conn)?.device.as_ref()
    }

    pub(super) fn device_mut(&mut self, conn: ConnId) -> Option<&mut Device> {
        self.sessions.get_mut(&conn)?.device.as_mut()
    }

    pub(super) fn user_of(&self, conn: ConnId) -> Option<UserId> {
        self.device(conn).map(|device| device.row.user.clone())
    }
}

/// A verdict as it is sent: with the record, if the user may see it and both have room in a frame.
/// Where they have not, the record comes by the feed alone.
pub(super) fn verdict_with_record(kept: KeptVerdict, call: Option<Call>, user: &UserId) -> Verdict {
    let mut verdict = Verdict {
        number: kept.number,
        op: kept.op,
        result: kept.result,
        call: call
            .filter(|call| call.member(user).is_some())
            .map(|call| call.seen_by(user)),
    };
    if codec::encoded_len(&verdict).is_ok_and(|bytes| bytes >= FROM_SERVER_BYTES_MAX) {
        verdict.call = None;
    }
    verdict
}

/// A digest of what the device asked for.
fn digest_of(frame: &CommandFrame) -> Option<[u8; 32]> {
    let bytes = codec::canonical(frame).ok()?;
    digest(&SHA256, &bytes).as_ref().try_into().ok()
}

/// Those whose call tells better than a clock why they come too late.
fn is_judged_by_the_call(command: &Command) -> bool {
    match command {
        Command::Accept { .. } | Command::Reject { .. } | Command::Cancel { .. } => true,
        Command::Invite { .. }
        | Command::CallingInvite { .. }
        | Command::Join { .. }
        | Command::Quit { .. }
        | Command::End { .. } => false,
    }
}

fn expired(frame: &CommandFrame, now: Millis) -> Error {
    Error::new(
        Code::Expired,
        "notAfter",
        format!(
            "{} came {} ms after it could still mean something; ask again if it is still meant",
            frame.command.kind().name(),
            now.saturating_sub(frame.not_after)
        ),
    )
}

/// A started call that the actor is in. What is due in a call that blocks is done first, so that
/// none blocks that should be over.
fn in_call(work: &mut Work<'_>, actor: &Actor) -> StoreResult<Option<CallId>> {
    let mut found = None;
    for _ in 0..BLOCKING_CALLS_MAX {
        found = work.read()?.call_of(&actor.user, &actor.call)?;
        let Some(id) = &found else { break };
        let still = work.record(id)?;
        if still.is_some_and(|call| call.is_open_to(&actor.user)) {
            break;
        }
    }
    Ok(found)
}

/// A started call by which `inviter` is ringing `invitee`.
fn glare(work: &mut Work<'_>, inviter: &UserId, invitee: &UserId) -> StoreResult<Option<CallId>> {
    let mut found = None;
    for _ in 0..BLOCKING_CALLS_MAX {
        found = work.read()?.ring_of(inviter, invitee)?;
        let Some(id) = &found else { break };
        let still = work.record(id)?;
        if still.is_some_and(|call| call.is_open_to(invitee)) {
            break;
        }
    }
    Ok(found)
}

/// Those of the invitees who have never connected. More than may be rung are not looked up: there
/// the number of them is what is refused.
fn unknown(work: &mut Work<'_>, invitees: &[UserId]) -> StoreResult<Vec<UserId>> {
    let mut looked_up: Vec<&UserId> = Vec::new();
    let mut unknown = Vec::new();
    for user in invitees {
        if looked_up.contains(&user) {
            continue;
        }
        if looked_up.len() > INVITEES_MAX {
            break;
        }
        looked_up.push(user);
        if work.read()?.user_capabilities(user)?.is_none() {
            unknown.push(user.clone());
        }
    }
    Ok(unknown)
}
