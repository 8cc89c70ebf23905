//! Commands: from the app into the file, from the file to the server, and back as verdicts.

use super::meaning::{
    asks_for_more, cancels_all_of, enters, expiry, fill_in, follows, refuse_for_certain,
    starts_something,
};
use super::{Core, Effect, Work, defect};
use crate::call::limits::{EXTENDED_DATA_BYTES_MAX_DEFAULT, TIMEOUT_S_MAX};
use crate::call::{Actor, CallId, Command, CommandKind, Millis, Op, Outcome};
use crate::client::clock::Now;
use crate::client::event::{CommandSettled, EventKind};
use crate::client::store::{NewCommand, OutboxRow, StoredCommand};
use crate::client::transport::LinkCommand;
use crate::error::{Code, Error};
use crate::protocol::{COMMANDS_IN_FLIGHT_MAX, CommandFrame, Retry, ToServer, Verdict};

/// How long an invite or join waits for a connection unless it is set otherwise, in seconds: no
/// call starts and no microphone opens an hour late.
pub const WAIT_S_DEFAULT: u32 = 30;
/// What is sent at once is still good for this long, in seconds, however short it may wait: it has
/// to get there, and the server's clock is only estimated.
const ON_ITS_WAY_S: u32 = 5;
/// Most commands without a verdict in a file.
const PENDING_MAX: usize = 1_000;

/// What answers an invitation.
pub(super) const ANSWERS: [CommandKind; 3] =
    [CommandKind::Accept, CommandKind::Reject, CommandKind::Join];

/// A command as an app gives it.
#[derive(Clone, Debug)]
pub struct Submission {
    /// Its identity; absent: made here.
    pub op: Option<Op>,
    /// The call; absent for callInvite, whose call id is made here.
    pub call_id: Option<CallId>,
    /// What is asked. Invitation numbers and what a quit was made under are filled in here.
    pub command: Command,
    /// How long an invite or join waits for a connection, in seconds; absent: as set for the
    /// engine; 0: it fails at once without one.
    pub wait_s: Option<u32>,
}

/// A command that is on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submitted {
    /// Its identity.
    pub op: Op,
    /// The call it is about.
    pub call_id: CallId,
}

impl Core {
    /// Takes a command: when this returns, it is on disk and will have a verdict.
    ///
    /// # Errors
    /// Only what no server word can change: a malformed parameter, a command that the call's mode
    /// does not have, a call that has ended; and what keeps it from the disk.
    pub fn submit(&mut self, now: Now, given: Submission) -> Result<Submitted, Error> {
        let Submission {
            op,
            call_id,
            mut command,
            wait_s,
        } = given;
        let data_max = self
            .session
            .extended_data_bytes_max(EXTENDED_DATA_BYTES_MAX_DEFAULT);
        command.check_form(self.user(), data_max)?;
        let op = op.unwrap_or_else(|| self.fresh_op(now));
        let call_id = call_id.unwrap_or_else(|| CallId::trusted(self.fresh_id(now)));
        let wait_s = wait_s.unwrap_or(self.settings.wait_s);
        if self.is_logged_out() {
            let message = format!("nobody is logged in; log in to {}", command.kind().name());
            return Err(Error::new(Code::NotLoggedIn, "loggedOut", message));
        }
        let ready = self.session.is_ready();
        if !ready {
            // Connected, the server says it: there may be a reason that comes before this one.
            command.check_count()?;
        }
        if wait_s == 0 && !ready && starts_something(command.kind()) {
            let message = format!(
                "{} cannot wait and there is no connection",
                command.kind().name()
            );
            return Err(Error::new(Code::Expired, "offline", message));
        }
        let wait_s = if ready {
            wait_s.max(ON_ITS_WAY_S)
        } else {
            wait_s
        };
        let room = self.session.room_in_flight();
        let actor = Actor {
            user: self.user().clone(),
            device: self.device().clone(),
            op: op.clone(),
            call: call_id.clone(),
        };
        // It gets no further than those before it.
        let why = self.session.why_unsent.clone().filter(|_| !ready);
        let doubts = self.store.doubts();
        let sent = self.write(now, |work| {
            let why = why.filter(|_| work.syncing);
            let queued = work.queue(&actor, command, wait_s, why)?;
            if !queued || !ready || room == 0 || !work.syncing {
                return Ok(Vec::new());
            }
            work.number_unsent(room)
        });
        match sent {
            Ok(sent) => self.send_commands(sent),
            // What is on disk is taken, whatever the commit said: it will be sent.
            Err(error) => {
                let in_doubt = self.store.doubts() != doubts;
                // If that cannot be read either, the first error says that nothing is known.
                let is_taken = in_doubt && self.has_command(now, &op).unwrap_or(false);
                if !is_taken {
                    return Err(error);
                }
            }
        }
        Ok(Submitted { op, call_id })
    }

    fn has_command(&mut self, now: Now, op: &Op) -> Result<bool, Error> {
        self.write_quietly(now, |work| work.tx.has_command(op))
    }

    /// Sends what waits, as far as the window goes.
    pub(super) fn pump(&mut self, now: Now) -> Result<(), Error> {
        let room = self.session.room_in_flight();
        if room == 0 || !self.session.is_ready() {
            return Ok(());
        }
        let sent = self.write_synced(now, |work| {
            work.expire_commands()?;
            work.number_unsent(room)
        })?;
        self.send_commands(sent);
        Ok(())
    }

    /// Sends again what was sent before and has no verdict, from a number on.
    pub(super) fn resend(&mut self, now: Now, from: u64) -> Result<(), Error> {
        let (_, commands) = self.write_synced(now, |work| work.unsettled_from(from))?;
        for command in commands {
            self.send(frame_of(command));
        }
        Ok(())
    }

    fn send_commands(&mut self, commands: Vec<StoredCommand>) {
        for command in commands {
            self.session.count_sent();
            self.send(frame_of(command));
        }
    }

    /// The server has decided a command.
    pub(super) fn handle_verdict(&mut self, now: Now, verdict: Verdict) -> Result<(), Error> {
        // A verdict of catching up tells of a record that is old news by now.
        let live = self.held.is_none();
        let ready = self.session.is_ready();
        // The place of this one is free with it.
        let room = self.session.room_in_flight() + 1;
        let number = verdict.number;
        let mut is_copy = false;
        let sent = self.write_synced(now, |work| {
            if !live && work.is_of_another(&verdict)? {
                // Owed to whoever else goes by this name.
                is_copy = true;
                return Ok(None);
            }
            if !work.take_verdict(verdict, live)? {
                return Ok(None);
            }
            if !ready {
                work.rings_run_out()?;
                return Ok(Some(Vec::new()));
            }
            work.expire_commands()?;
            work.number_unsent(room).map(Some)
        })?;
        if is_copy {
            let message = format!("command {number} of this device is another one; this is a copy");
            return self.take_new_identity(now, Error::new(Code::Dropped, "copied", message));
        }
        if let Some(sent) = sent {
            self.session.count_settled();
            self.acknowledge_verdicts(now);
            self.send_commands(sent);
        }
        Ok(())
    }

    /// The server cannot decide now: the line stops until the command is sent again.
    pub(super) fn handle_retry(&mut self, now: Now, retry: &Retry) -> Result<(), Error> {
        let why = retry.error.to_string();
        self.write_synced(now, |work| work.tx.note_error(&why))?;
        self.session.why_unsent = Some(why);
        self.session
            .hold_line(retry.number, now.mono_ms + i64::from(retry.after_ms));
        Ok(())
    }
}

impl Work<'_> {
    /// Whether that number stands for another command here.
    pub(super) fn is_of_another(&self, verdict: &Verdict) -> Result<bool, Error> {
        let row = self.tx.command_of_number(verdict.number)?;
        Ok(row.is_some_and(|row| row.op() != &verdict.op))
    }

    /// Takes a verdict and the record that comes with it. Whether it is news: what is said again
    /// changes nothing.
    pub(super) fn take_verdict(&mut self, verdict: Verdict, live: bool) -> Result<bool, Error> {
        let Verdict {
            number,
            op,
            result,
            call,
        } = verdict;
        let Some(row) = self.tx.command_of_number(number)? else {
            return Ok(false);
        };
        if row.op() != &op {
            return Err(defect(
                "verdict",
                format!(
                    "the verdict of number {number} is for {op}, not for {}",
                    row.op()
                ),
            ));
        }
        let is_over = matches!(&result, Err(error) if error.code == Code::CallOver);
        let is_done = result.is_ok();
        self.settle_row(&row, result)?;
        if let OutboxRow::Known(command) = &row
            && is_done
            && ANSWERS.contains(&command.command.kind())
        {
            // The record that comes in the end may not tell any more how this ring was closed.
            self.tx
                .close_answered(&command.call_id, command.queued_at, self.now)?;
        }
        if let OutboxRow::Known(command) = &row
            && is_done
            && enters(command.command.kind())
        {
            self.entered.insert(command.call_id.clone());
        }
        self.decided = Some(op);
        match &call {
            Some(call) => self.take_record(call, live)?,
            None if is_over => self.forget_partial(row.call_id())?,
            None => {}
        }
        self.decided = None;
        Ok(true)
    }

    /// What a welcome sets going: what the server has not decided is sent again, and after it what
    /// was never sent. How many are under way then, and what to send.
    pub(super) fn commands_of_welcome(
        &mut self,
        last_number: u64,
    ) -> Result<(usize, Vec<StoredCommand>), Error> {
        self.take_back_foreign(last_number)?;
        let (unsettled, mut commands) = self.unsettled_from(last_number.saturating_add(1))?;
        self.expire_commands()?;
        let new = self.number_unsent(COMMANDS_IN_FLIGHT_MAX.saturating_sub(unsettled))?;
        let in_flight = unsettled + new.len();
        commands.extend(new);
        Ok((in_flight, commands))
    }

    /// How many commands are under way, and those of them from a number on, noted as sent again.
    fn unsettled_from(&mut self, from: u64) -> Result<(usize, Vec<StoredCommand>), Error> {
        let rows = self.tx.unsettled_commands()?;
        let unsettled = rows.len();
        let mut commands: Vec<_> = rows.into_iter().filter_map(OutboxRow::known).collect();
        commands.retain(|command| command.number.is_some_and(|number| number >= from));
        for command in &commands {
            self.tx.note_attempt(command.n)?;
        }
        Ok((unsettled, commands))
    }

    /// Puts a command into the outbox. `false` when it has its verdict already: a cancel of an
    /// invite that was never sent.
    fn queue(
        &mut self,
        actor: &Actor,
        mut command: Command,
        wait_s: u32,
        why: Option<String>,
    ) -> Result<bool, Error> {
        let stored = self.tx.call(&actor.call)?;
        let pending = self.tx.pending_commands_of(&actor.call)?;
        if self.tx.pending_count()? >= PENDING_MAX {
            return Err(Error::new(
                Code::TooManyRequests,
                "pending",
                format!("{PENDING_MAX} commands wait for their verdicts already"),
            ));
        }
        if let Some(stored) = &stored {
            refuse_for_certain(&stored.call, actor, &command, self.now)?;
        }
        self.replace_answer(&pending, &command)?;
        fill_in(&mut command, stored.as_ref(), &pending, &actor.user);
        let mut expires_at = expiry(&command, stored.as_ref(), self.now, wait_s, &actor.user);
        if command.kind() == CommandKind::Cancel && asks_for_more(&pending) {
            // How long those are to ring is not in the record yet.
            expires_at = self.now.saturating_add(Millis::from(TIMEOUT_S_MAX) * 1_000);
        }
        let new = NewCommand {
            op: actor.op.clone(),
            call_id: actor.call.clone(),
            queued_at: self.now,
            expires_at,
            command,
            last_error: why,
        };
        self.tx.insert_command(&new)?;
        let unsent = pending.iter().find(|earlier| earlier.number.is_none());
        match unsent.filter(|invite| cancels_all_of(&new.command, &invite.command)) {
            Some(invite) => {
                self.withdraw(invite, &new.op)?;
                Ok(false)
            }
            None => Ok(true),
        }
    }

    /// An invite cancelled before it was sent is never sent: the cancel succeeds, the invite is
    /// withdrawn.
    fn withdraw(&mut self, invite: &StoredCommand, cancel: &Op) -> Result<(), Error> {
        let pending = self.tx.pending_commands_of(&invite.call_id)?;
        let withdrawn = || {
            Err(Error::new(
                Code::Withdrawn,
                "cancelled",
                "the invite was cancelled before it was sent",
            ))
        };
        for command in pending {
            if &command.op == cancel {
                self.settle(
                    &command,
                    Ok(Outcome::Cancelled {
                        error_invitees: Vec::new(),
                    }),
                )?;
            } else {
                self.settle(&command, withdrawn())?;
            }
        }
        Ok(())
    }

    /// A second answer to an invitation replaces a first that was not sent; once sent, it is
    /// refused until the first has its verdict.
    fn replace_answer(&mut self, pending: &[StoredCommand], new: &Command) -> Result<(), Error> {
        let is_answer = |kind| [CommandKind::Accept, CommandKind::Reject].contains(&kind);
        if !is_answer(new.kind()) {
            return Ok(());
        }
        for first in pending
            .iter()
            .filter(|command| is_answer(command.command.kind()))
        {
            if first.number.is_some() {
                let message = format!(
                    "{} is on its way to the server; wait for its verdict",
                    first.command.kind().name()
                );
                return Err(Error::new(Code::WrongState, "answerPending", message));
            }
            let replaced = "another answer took its place before it was sent";
            self.settle(
                first,
                Err(Error::new(Code::Withdrawn, "replaced", replaced)),
            )?;
        }
        Ok(())
    }

    /// Numbers commands that were never sent, as many as there is room for.
    fn number_unsent(&mut self, room: usize) -> Result<Vec<StoredCommand>, Error> {
        let mut commands = self.tx.unsent_commands(room.min(COMMANDS_IN_FLIGHT_MAX))?;
        for command in &mut commands {
            command.number = Some(self.tx.number_command(command.n)?);
        }
        Ok(commands)
    }

    /// Ends commands that were never sent and can mean nothing any more.
    pub(super) fn expire_commands(&mut self) -> Result<(), Error> {
        for row in self.tx.expired_commands(self.now)? {
            let command = match row {
                OutboxRow::Known(command) => command,
                OutboxRow::Foreign(foreign) => {
                    self.settle_foreign(&foreign, Err(not_sent(&foreign.name)))?;
                    continue;
                }
            };
            // One that follows another has gone with it.
            let pending = self.tx.pending_commands_of(&command.call_id)?;
            if pending.iter().all(|one| one.n != command.n) {
                continue;
            }
            self.expire(&command)?;
            for later in pending.iter().filter(|later| later.number.is_none()) {
                if follows(&later.command, &command) {
                    self.expire(later)?;
                }
            }
        }
        // A ring may have been kept going for the sake of an answer that has just expired.
        self.rings_run_out()
    }

    fn expire(&mut self, command: &StoredCommand) -> Result<(), Error> {
        self.settle(command, Err(not_sent(command.command.kind().name())))
    }

    /// Writes a verdict, and tells it.
    pub(super) fn settle(
        &mut self,
        command: &StoredCommand,
        result: Result<Outcome, Error>,
    ) -> Result<(), Error> {
        self.tx.settle(command.n, &result, self.now)?;
        let settled = CommandSettled {
            op: command.op.clone(),
            call_id: command.call_id.clone(),
            command: command.command.kind(),
            result,
        };
        self.tell(&command.call_id, EventKind::CommandSettled(settled))
    }
}

fn not_sent(name: &str) -> Error {
    let message = format!("{name} could not be sent before it lost its meaning");
    Error::new(Code::Expired, "notSent", message)
}

pub(super) fn frame_of(command: StoredCommand) -> ToServer {
    ToServer::Command(Box::new(CommandFrame {
        number: command.number.unwrap_or_default(),
        op: command.op,
        call: command.call_id,
        not_after: command.expires_at,
        command: command.command,
    }))
}

/// The command for the link that sends a frame.
pub(super) fn send_effect(attempt: u64, frame: ToServer) -> Effect {
    Effect::Link(LinkCommand::Send { attempt, frame })
}
