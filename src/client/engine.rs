//! The handle that an app holds.

mod file;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::config::Config;
use super::core::{LinkStatus, PushTaken, Submission, Submitted};
use super::event::Event;
use super::live::Live;
use super::options::{CallingInviteOptions, CommandOptions, InviteOptions};
use super::result::{
    self, Answered, CallingInvited, Cancelled, CommandHandle, HasEnded, HasQuit, Invited, Joined,
};
use super::shell::{Shared, Shell};
use super::status::Status;
use super::store::{Page, PendingCommand, Query, Readers, RingEntry, SCHEMA_VERSION, StatusCounts};
use super::subscription::{Changes, Events};
use crate::call::{CallId, Command, Op, Outcome, Target, Under, UserId};
use crate::error::{Code, Error};
use crate::protocol::TOKEN_BYTES_MAX;

/// The reader of the journal that [`Engine::acknowledge`] speaks for.
const APP: &str = "app";
/// How long [`Engine::pause`] may take if the app does not say.
const PAUSE_DEFAULT: Duration = Duration::from_secs(5);

/// The engine: one user on one device. Cheap to clone; all clones are the same engine.
///
/// Every command is on disk when its method returns, connected or not; its handle, awaited, gives
/// the server's verdict. Dropping a handle, or the future of a method that is under way, loses
/// nothing that is on disk.
///
/// # Errors of a command
/// The method that gives a command refuses what no word of the server can change:
/// [`crate::Code::InvalidParameter`] names a malformed parameter, [`crate::Code::NeedsAdvanced`] a
/// call of the wrong mode, [`crate::Code::CallOver`] one that has ended,
/// [`crate::Code::TooManyRequests`] says that too many commands wait already, and
/// [`crate::Code::Expired`] that a start that may not wait has no connection. What keeps the command
/// from the disk is [`crate::Code::DiskFull`], [`crate::Code::ReadOnly`] or
/// [`crate::Code::Corrupt`]. Then nothing was kept, and there is no verdict; only after a disk
/// failed in the middle of it (reason `io`) is that not certain until [`Self::pending`] can be
/// read again. Everything else comes with the verdict, when the handle is awaited.
///
/// A file that was removed, renamed or replaced while it was open is not written to any more
/// ([`crate::Code::ReadOnly`], reason `moved`); [`Self::resume`] opens what has its name then.
///
/// Every method refuses with [`crate::Code::Closed`] while the engine is paused, and once it is
/// closed.
///
/// # Several processes on one file
/// An app and its notification extension may each have an engine on the same file. One of them has
/// the connection; [`Status::role`] says which. The others wait: they read everything, take commands,
/// which go out through the one that is connected, hear every event, and take over within about
/// half a second when that one pauses, closes or dies. A process that is suspended without a pause
/// keeps the connection's place. A start that may not wait ([`InviteOptions::wait_s`] 0) is refused
/// by an engine that waits: it has no connection to start by. Of a command that a handle in one
/// process waits for, the other processes hear [`crate::EventKind::CommandSettled`].
#[derive(Clone)]
pub struct Engine {
    shell: Shell,
    readers: Arc<Readers>,
    shared: Arc<Shared>,
}

impl Engine {
    /// Opens the database, made if it is not there, and begins to connect, or to wait until another
    /// engine on the same file gives up its connection.
    ///
    /// A file that is damaged is set aside as `<name>.corrupt-<n>`, and another one begun under a new
    /// device id: what waited in it and was never sent goes on waiting, what was sent ends with
    /// [`crate::Code::UnknownOutcome`], and the calls come back from the server.
    /// [`crate::EventKind::DatabaseSetAside`] says so.
    ///
    /// # Errors
    /// [`crate::Code::InvalidParameter`] for what the configuration has wrong, or a file that is
    /// another user's; [`crate::Code::InUse`] (another program is writing it for too long),
    /// [`crate::Code::NewerVersion`], [`crate::Code::Corrupt`], [`crate::Code::ReadOnly`],
    /// [`crate::Code::DiskFull`] for the file.
    pub fn open(config: Config) -> Result<Self, Error> {
        Self::open_with_events(config).map(|(engine, _)| engine)
    }

    /// The same, with a stream of events that begins before the first of them: nothing that
    /// happens between opening and listening is missed.
    ///
    /// # Errors
    /// As for [`Self::open`].
    pub fn open_with_events(config: Config) -> Result<(Self, Events), Error> {
        let user = UserId::parse("user", &config.user)?;
        check_token(config.token.as_deref())?;
        let readers = Readers::new(&config.database, &user).with_memory(config.memory);
        let readers = Arc::new(readers);
        let (shell, shared, events) = Shell::start(config, user, Arc::clone(&readers))?;
        let engine = Self {
            shell,
            readers,
            shared,
        };
        Ok((engine, events))
    }

    /// callInvite: makes a call and rings 1 to 9 users. The call id is this device's own making, and
    /// known at once.
    ///
    /// # Errors
    /// See [`Engine`]. The verdict can be [`crate::Code::WrongState`] (in a call already, or rung by
    /// the one invitee) and [`crate::Code::NoSuchUser`], among others.
    pub async fn call_invite(
        &self,
        invitees: &[&str],
        options: InviteOptions,
    ) -> Result<CommandHandle<Invited>, Error> {
        let command = Command::Invite {
            invitees: users(invitees)?,
            timeout_s: options.timeout_s,
            mode: options.mode,
            extended_data: options.extended_data,
            not_received_check: options.enable_not_received_check,
            push: options.push,
        };
        self.give(None, command, options.wait_s, result::invited)
            .await
    }

    /// callCancel: takes invitations back; an empty list is the whole call. Of an invite that was
    /// never sent nothing is sent either: the cancel succeeds, and the invite's verdict is
    /// [`crate::Code::Withdrawn`].
    ///
    /// # Errors
    /// See [`Engine`].
    pub async fn call_cancel(
        &self,
        invitees: &[&str],
        call: &CallId,
        options: CommandOptions,
    ) -> Result<CommandHandle<Cancelled>, Error> {
        let target = |user| Target {
            user,
            invitation: None,
        };
        let command = Command::Cancel {
            invitees: users(invitees)?.into_iter().map(target).collect(),
            extended_data: options.extended_data,
            push: options.push,
        };
        self.give(Some(call), command, None, result::cancelled)
            .await
    }

    /// callAccept: answers this user's pending invitation with yes, and makes this the device that
    /// has the call. Expires at the invitation's deadline if it could not be sent.
    ///
    /// # Errors
    /// See [`Engine`]; [`crate::Code::WrongState`] while another answer is on its way.
    pub async fn call_accept(
        &self,
        call: &CallId,
        options: CommandOptions,
    ) -> Result<CommandHandle<Answered>, Error> {
        let command = Command::Accept {
            invitation: None,
            extended_data: options.extended_data,
        };
        self.give(Some(call), command, None, result::answered).await
    }

    /// callReject: answers this user's pending invitation with no. Expires at the invitation's
    /// deadline if it could not be sent.
    ///
    /// # Errors
    /// See [`Engine`]; [`crate::Code::WrongState`] while another answer is on its way.
    pub async fn call_reject(
        &self,
        call: &CallId,
        options: CommandOptions,
    ) -> Result<CommandHandle<Answered>, Error> {
        let command = Command::Reject {
            invitation: None,
            extended_data: options.extended_data,
        };
        self.give(Some(call), command, None, result::answered).await
    }

    /// callingInvite: rings more people in an advanced call that goes on, by whoever is in it.
    ///
    /// # Errors
    /// See [`Engine`].
    pub async fn calling_invite(
        &self,
        invitees: &[&str],
        call: &CallId,
        options: CallingInviteOptions,
    ) -> Result<CommandHandle<CallingInvited>, Error> {
        let command = Command::CallingInvite {
            invitees: users(invitees)?,
            timeout_s: options.timeout_s,
            extended_data: options.extended_data,
            push: options.push,
        };
        self.give(Some(call), command, options.wait_s, result::calling_invited)
            .await
    }

    /// callJoin: comes into an advanced call, or moves it to this device. The call need not be
    /// known here.
    ///
    /// # Errors
    /// See [`Engine`].
    pub async fn call_join(
        &self,
        call: &CallId,
        options: CommandOptions,
    ) -> Result<CommandHandle<Joined>, Error> {
        let command = Command::Join {
            extended_data: options.extended_data,
        };
        self.give(Some(call), command, None, result::joined).await
    }

    /// callQuit: leaves an advanced call. Waits for a connection for as long as it takes, and is
    /// refused by the verdict ([`crate::Code::WrongState`], superseded) if the call has moved to
    /// another device since.
    ///
    /// # Errors
    /// See [`Engine`].
    pub async fn call_quit(
        &self,
        call: &CallId,
        options: CommandOptions,
    ) -> Result<CommandHandle<HasQuit>, Error> {
        let command = Command::Quit {
            under: Under::Unknown,
            extended_data: options.extended_data,
            push: options.push,
        };
        self.give(Some(call), command, None, result::has_quit).await
    }

    /// callEnd: ends an advanced call for all. Waits and is superseded like [`Self::call_quit`].
    ///
    /// # Errors
    /// See [`Engine`].
    pub async fn call_end(
        &self,
        call: &CallId,
        options: CommandOptions,
    ) -> Result<CommandHandle<HasEnded>, Error> {
        let command = Command::End {
            under: Under::Unknown,
            extended_data: options.extended_data,
            push: options.push,
        };
        self.give(Some(call), command, None, result::has_ended)
            .await
    }

    async fn give<T>(
        &self,
        call: Option<&CallId>,
        command: Command,
        wait_s: Option<u32>,
        shape: fn(CallId, Outcome) -> Option<T>,
    ) -> Result<CommandHandle<T>, Error> {
        let call_id = match call {
            Some(call) => Some(CallId::parse("callID", call.as_str())?),
            None => None,
        };
        let given = Submission {
            op: None,
            call_id,
            command,
            wait_s,
        };
        let (waiter, verdict) = oneshot::channel();
        let Submitted { op, call_id } = self.shell.submit(given, Some(waiter)).await?;
        Ok(CommandHandle::new(op, call_id, verdict, shape))
    }

    /// Gives a command that the caller has put together; its verdict comes as
    /// [`super::event::EventKind::CommandSettled`] in the stream of [`Self::events`], in order with
    /// what it caused. For bindings that tell everything through one channel.
    #[doc(hidden)]
    pub async fn submit(&self, given: Submission) -> Result<Submitted, Error> {
        self.shell.submit(given, None).await
    }

    /// An identity for [`Self::submit`].
    #[doc(hidden)]
    pub fn fresh_op(&self) -> Op {
        self.shared.fresh_op()
    }

    /// After which position of the journal the stream begins that [`Self::open_with_events`] gives.
    #[doc(hidden)]
    pub fn events_begin_after(&self) -> u64 {
        self.shared.begins_after()
    }

    /// The verdict at that position was handed to who waited for it: it is owed to nobody else.
    #[doc(hidden)]
    pub fn verdict_taken(&self, position: u64) {
        self.shell.verdict_taken(position);
    }

    /// A page of the calls that the user created, was invited to or joined, newest first, from the
    /// local database. `next_flag` 0 is the first page; a page's own `next_flag` is the next one's,
    /// 0 when there is none. At most 100 calls a page, more is read as 100 and 0 as 1.
    ///
    /// # Errors
    /// What keeps the file from being read.
    pub fn query_call_invitation_list(&self, count: usize, next_flag: i64) -> Result<Page, Error> {
        self.query_calls(&Query {
            count,
            next_flag,
            ..Query::default()
        })
    }

    /// The same, of the calls that a filter lets through.
    ///
    /// # Errors
    /// As for [`Self::query_call_invitation_list`].
    pub fn query_calls(&self, query: &Query) -> Result<Page, Error> {
        self.shared.check_open()?;
        self.readers.page(query)
    }

    /// What happens from now on, in order. An app that falls more than a bounded number of events
    /// behind is told so and reads on with [`Self::events_since`].
    pub fn events(&self) -> Events {
        self.shared.subscribe()
    }

    /// Events after a position of the journal (0: from the beginning), oldest first, and whether
    /// there are more. Gives 1 to 1,000 of them; a `limit` outside of that is read as its end. An
    /// invitation that rings no more is marked as over.
    ///
    /// # Errors
    /// What keeps the file from being read.
    pub async fn events_since(
        &self,
        position: u64,
        limit: usize,
    ) -> Result<(Vec<Event>, bool), Error> {
        let now = self
            .shell
            .ask(|core, now| {
                core.flush(now)?;
                Ok(core.server_now(now))
            })
            .await?;
        self.readers.events_since(position, limit, now)
    }

    /// The app has taken in all events up to a position; it is kept over restarts and never goes
    /// back. A position that no event has had yet is read as the last one.
    ///
    /// # Errors
    /// What keeps it from the disk.
    pub async fn acknowledge(&self, position: u64) -> Result<(), Error> {
        self.shell
            .ask(move |core, now| core.acknowledge(now, APP, position))
            .await
    }

    /// The position that the app acknowledged last; 0 if it never did.
    ///
    /// # Errors
    /// What keeps the file from being read.
    pub fn acknowledged(&self) -> Result<u64, Error> {
        self.shared.check_open()?;
        self.readers.acknowledged(APP)
    }

    /// Tells when the database changed, so that what was read from it can be read again. For pages
    /// of calls there is [`Self::watch`], for the count of missed ones [`Self::watch_missed`].
    pub fn changes(&self) -> Changes {
        self.shared.changes()
    }

    /// A page as it is, and again each time it has become another, whoever changed it: the server,
    /// this app or another process on the file.
    pub fn watch(&self, query: Query) -> Live<Page> {
        let (engine, readers) = (Arc::downgrade(&self.shared), Arc::clone(&self.readers));
        Live::new(self.changes(), engine, move || readers.page(&query))
    }

    /// How many missed calls the user has not seen, and again each time it has become another number.
    pub fn watch_missed(&self) -> Live<u64> {
        let (engine, readers) = (Arc::downgrade(&self.shared), Arc::clone(&self.readers));
        Live::new(self.changes(), engine, move || readers.missed())
    }

    /// Commands without a verdict, oldest first.
    ///
    /// # Errors
    /// What keeps the file from being read.
    pub fn pending(&self) -> Result<Vec<PendingCommand>, Error> {
        self.shared.check_open()?;
        self.readers.pending()
    }

    /// Invitations that ring on this device, the first to run out first.
    ///
    /// # Errors
    /// What keeps the file from being read.
    pub async fn ringing(&self) -> Result<Vec<RingEntry>, Error> {
        let now = self.shell.ask(|core, now| Ok(core.server_now(now))).await?;
        self.readers.ringing(now)
    }

    /// How the engine is. Of a database that is damaged, nothing is counted, and the error says why.
    ///
    /// # Errors
    /// What keeps the file from being read.
    pub async fn status(&self) -> Result<Status, Error> {
        let (user_id, device_id, role, link, clock_offset) = self
            .shell
            .ask(|core, now| {
                let offset = core.server_now(now).saturating_sub(now.wall_ms);
                Ok((
                    core.user().clone(),
                    core.device().clone(),
                    core.role(),
                    core.link_status(),
                    offset,
                ))
            })
            .await?;
        let LinkStatus {
            state,
            cause,
            since,
            mut error,
            rtt_ms,
        } = link;
        let counts = match self.readers.counts() {
            Err(damage) if damage.code == Code::Corrupt => {
                error = Some(damage.to_string());
                StatusCounts::default()
            }
            counts => counts?,
        };
        Ok(Status {
            user_id,
            device_id,
            role,
            connection: state,
            cause,
            since,
            error,
            epoch: counts.cursor.epoch,
            cursor: counts.cursor.seq,
            clock_offset,
            rtt: rtt_ms,
            pending: counts.pending,
            missed: counts.missed,
            schema: SCHEMA_VERSION,
            version: env!("CARGO_PKG_VERSION"),
        })
    }

    /// Marks missed calls as seen, those named or all; gives how many are unseen now. Seen on one
    /// device is seen on all.
    ///
    /// # Errors
    /// What keeps it from the disk.
    pub async fn mark_seen(&self, calls: Option<Vec<CallId>>) -> Result<u64, Error> {
        self.shell
            .ask(move |core, now| core.mark_seen(now, calls.as_deref()))
            .await
    }

    /// Whether there is a network. Without one nothing is sent, nothing is heard, and nobody is
    /// told; with one again, the engine reconnects at once. An engine that waits for another's
    /// connection keeps it for its own, and one that is paused knows it after [`Self::resume`].
    ///
    /// # Errors
    /// Only [`crate::Code::Closed`].
    pub async fn set_network(&self, online: bool) -> Result<(), Error> {
        self.shell
            .ask(move |core, now| {
                core.set_network(now, online);
                Ok(())
            })
            .await
    }

    /// The device moved to another network: the connection goes on from there, and an attempt that
    /// waits is made at once.
    ///
    /// # Errors
    /// Only [`crate::Code::Closed`].
    pub async fn network_changed(&self) -> Result<(), Error> {
        self.shell
            .ask(|core, now| {
                core.network_changed(now);
                Ok(())
            })
            .await
    }

    /// A new token, checked by the server if there is a connection; otherwise it is kept for the
    /// next. Each engine on a file has its own: one that waits shows it when it takes over.
    ///
    /// # Errors
    /// [`crate::Code::TokenInvalid`], [`crate::Code::TokenExpired`]; the old one then goes on
    /// counting. [`crate::Code::ConnectionLost`] if the server did not say; the new one is then shown
    /// to it again.
    pub async fn renew_token(&self, token: String) -> Result<(), Error> {
        check_token(Some(&token))?;
        self.shell.renew_token(token).await
    }

    /// Takes the payload of a push: the JSON text that the server put into it, at most 8 KiB. The
    /// same invitation by connection does not ring again.
    ///
    /// # Errors
    /// [`crate::Code::InvalidParameter`] for what is no such payload or another user's; what keeps it
    /// from the disk.
    pub async fn handle_push(&self, payload: String) -> Result<PushTaken, Error> {
        self.shell
            .ask(move |core, now| core.handle_push(now, &payload))
            .await
    }

    /// The app goes to sleep: the connection is closed in good order, all is written, the file is
    /// closed. Until [`Self::resume`] everything is refused with [`crate::Code::Closed`]. `deadline`
    /// is how long it may take, 5 s unless given. Another engine that waits takes over.
    ///
    /// # Errors
    /// What could not be written; the file is closed nevertheless.
    pub async fn pause(&self, deadline: Option<Duration>) -> Result<(), Error> {
        let paused = self.shell.pause(deadline.unwrap_or(PAUSE_DEFAULT)).await;
        self.readers.close();
        paused
    }

    /// The app is awake again: the file is opened and a connection is made, if no other engine has
    /// one. Streams of events go on with what others journaled meanwhile. Also logs in again after a
    /// logout or after having been kicked out, and opens a file anew that lost its name or in which
    /// damage was found.
    ///
    /// # Errors
    /// As for [`Self::open`].
    pub async fn resume(&self) -> Result<(), Error> {
        self.shell.resume().await
    }

    /// The user logs out on this device. Waits until the server knows, at most 5 s; then, and
    /// without a connection, it holds for this device alone. [`Self::resume`] logs in again.
    ///
    /// A logout belongs to the engine. One that waits takes no more commands and, should it get the
    /// place of the one that is connected, keeps it without connecting; that one goes on until it is
    /// logged out itself. One that was connected keeps its place, so that no other brings the device
    /// back by itself.
    ///
    /// # Errors
    /// Only [`crate::Code::Closed`].
    pub async fn logout(&self) -> Result<(), Error> {
        self.shell.logout().await
    }

    /// The app goes away, which is not a logout: all is written, the connection is closed in good
    /// order.
    ///
    /// # Errors
    /// What could not be written; the file is closed nevertheless.
    pub async fn close(&self) -> Result<(), Error> {
        // Before, too: SQLite removes the -wal file with the last connection, if that one may write.
        self.readers.close();
        let closed = self.shell.close().await;
        self.readers.close();
        closed
    }

    /// The database file.
    pub fn database(&self) -> &Path {
        self.shared.database()
    }
}

/// One that is longer would not fit into a hello.
pub(super) fn check_token(token: Option<&str>) -> Result<(), Error> {
    let bytes = token.map_or(0, str::len);
    if bytes <= TOKEN_BYTES_MAX {
        return Ok(());
    }
    let message = format!("has {bytes} bytes, at most {TOKEN_BYTES_MAX} are allowed");
    Err(Error::parameter("token", message))
}

fn users(texts: &[&str]) -> Result<Vec<UserId>, Error> {
    texts
        .iter()
        .map(|text| UserId::parse("invitees", text))
        .collect()
}
