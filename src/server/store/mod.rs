//! What the server keeps, at the level of its transactions.
//!
//! Every decision of the core happens in one [`Transaction`], many commands may share one, and
//! nothing is told to anybody before [`Transaction::commit`] has returned. Nothing above this
//! interface knows what is below it: embedded SQLite today, a distributed engine for whoever
//! outgrows one machine. What an implementation has to do is a suite of tests that any can be put
//! through (`tests/contract/`).
//!
//! An implementation that locks takes the users of a feed in sorted order; [`Transaction::append_feed`]
//! hands them over so. Numbers in feeds come from one counter of the store and only grow.

pub mod sqlite;

use std::collections::BTreeSet;

use crate::call::{Call, CallId, DeviceId, Millis, Op, Outcome, UserId};
use crate::error::Error;
use crate::protocol::{Capabilities, Cursor};

/// Why the store did not do what it was asked. Nothing of the transaction is kept, except where
/// it says that this is unknown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The end of a commit was not heard: it may or may not be kept. Nobody may be told a verdict.
    #[error("the end of a commit was not heard: {0}")]
    Unknown(String),
    /// The disk is full.
    #[error("the disk is full: {0}")]
    Full(String),
    /// The data cannot be written.
    #[error("the data cannot be written: {0}")]
    ReadOnly(String),
    /// Another server holds the data.
    #[error("the data is in use: {0}")]
    InUse(String),
    /// The data was written by a newer version.
    #[error("the data was written by a newer version: {0}")]
    NewerVersion(String),
    /// The data is damaged.
    #[error("the data is damaged: {0}")]
    Corrupt(String),
    /// Anything else.
    #[error("the store failed: {0}")]
    Failed(String),
}

/// A result of the store.
pub type StoreResult<T> = Result<T, StoreError>;

/// A store, held by one writer.
pub trait Store: Send {
    /// Begins a transaction that sees all that was committed and may write. One at a time.
    fn begin(&mut self) -> StoreResult<Box<dyn Transaction + '_>>;
}

/// What the server knows of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceRow {
    /// Whose it is.
    pub user: UserId,
    /// Which.
    pub device: DeviceId,
    /// What its build can do.
    pub capabilities: Capabilities,
    /// The name of its build.
    pub build: String,
    /// The number of the last command that was decided; 0 is none.
    pub last_number: u64,
    /// Verdicts up to this number are on the device's disk and forgotten here.
    pub settled_number: u64,
    /// The newest welcome token.
    pub welcome_token: String,
    /// The one that was shown for it, good until the newest is.
    pub previous_welcome_token: Option<String>,
    /// When it last said hello.
    pub hello_at: Millis,
}

/// A verdict that is kept until the device has it on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptVerdict {
    /// The number of the command.
    pub number: u64,
    /// The command's identity.
    pub op: Op,
    /// The call it was about.
    pub call: CallId,
    /// A digest of the command: the same number with another digest is another device.
    pub digest: [u8; 32],
    /// What became of it.
    pub result: Result<Outcome, Error>,
}

/// Names a device.
pub type DeviceKey = (UserId, DeviceId);

/// What looking through something for what is to be removed came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removed<K> {
    /// Behind which one to go on; `None`: there are no more.
    pub next: Option<K>,
    /// How many were removed.
    pub count: usize,
}

/// One transaction. Dropped without commit, it leaves nothing behind.
pub trait Transaction {
    /// The last time that was stored with [`Self::set_clock`]; 0 when none was.
    fn clock(&mut self) -> StoreResult<Millis>;
    /// Stores the server's clock. It never goes back: an earlier time than the stored one is
    /// ignored.
    fn set_clock(&mut self, now: Millis) -> StoreResult<()>;

    /// Begins an epoch: every number given from now on belongs to it.
    fn begin_epoch(&mut self, epoch: u64) -> StoreResult<()>;
    /// Whether that cursor is one that this data has given: its epoch is listed, and its number
    /// not beyond what that epoch has given. Number 0 of a listed epoch is valid.
    fn knows_cursor(&mut self, cursor: Cursor) -> StoreResult<bool>;

    /// The whole record of a call, with the own part of every member.
    fn call(&mut self, id: &CallId) -> StoreResult<Option<Call>>;
    /// Writes a record, and with it when time next does something to it
    /// ([`crate::call::passing::due`]). `before` is what [`Self::call`] gave in this transaction.
    fn put_call(&mut self, before: Option<&Call>, after: &Call) -> StoreResult<()>;
    /// Started calls that are open to the user (pending or Accepted), newest first.
    fn open_calls_of(&mut self, user: &UserId, limit: usize) -> StoreResult<Vec<CallId>>;
    /// A started call that the user is Accepted in, other than `except`; the newest.
    fn call_of(&mut self, user: &UserId, except: &CallId) -> StoreResult<Option<CallId>>;
    /// A started call in which `invitee` is pending on an invitation by `inviter`; the newest.
    fn ring_of(&mut self, inviter: &UserId, invitee: &UserId) -> StoreResult<Option<CallId>>;
    /// Calls to which time does something at or before `now`, the earliest first.
    fn due(&mut self, now: Millis, limit: usize) -> StoreResult<Vec<CallId>>;
    /// When time next does something to any call.
    fn next_due(&mut self) -> StoreResult<Option<Millis>>;
    /// Users who are Accepted in a started call, in order, after the given one.
    fn users_in_calls(&mut self, after: Option<&UserId>, limit: usize) -> StoreResult<Vec<UserId>>;

    /// Puts the call at the end of each of those users' feeds; where it stood before, it stands no
    /// more. Gives each user's new number.
    fn append_feed(
        &mut self,
        call: &CallId,
        users: &BTreeSet<UserId>,
    ) -> StoreResult<Vec<(UserId, u64)>>;
    /// The feed of a user after a number, in order.
    fn feed_after(
        &mut self,
        user: &UserId,
        seq: u64,
        limit: usize,
    ) -> StoreResult<Vec<(u64, CallId)>>;

    /// What is known of a device.
    fn device(&mut self, user: &UserId, device: &DeviceId) -> StoreResult<Option<DeviceRow>>;
    /// Writes what is known of a device.
    fn put_device(&mut self, row: &DeviceRow) -> StoreResult<()>;
    /// What the build can do with which the user last connected; `None` if they never did. This
    /// is also the register of users.
    fn user_capabilities(&mut self, user: &UserId) -> StoreResult<Option<Capabilities>>;
    /// Writes that, and so registers the user.
    fn put_user(
        &mut self,
        user: &UserId,
        capabilities: Capabilities,
        now: Millis,
    ) -> StoreResult<()>;

    /// The verdict of that number, if it is still kept.
    fn verdict(
        &mut self,
        user: &UserId,
        device: &DeviceId,
        number: u64,
    ) -> StoreResult<Option<KeptVerdict>>;
    /// Keeps a verdict. A number that is kept already is an error.
    fn put_verdict(
        &mut self,
        user: &UserId,
        device: &DeviceId,
        verdict: &KeptVerdict,
    ) -> StoreResult<()>;
    /// Kept verdicts from a number on, in order.
    fn verdicts_from(
        &mut self,
        user: &UserId,
        device: &DeviceId,
        number: u64,
        limit: usize,
    ) -> StoreResult<Vec<KeptVerdict>>;
    /// Forgets the verdicts up to a number.
    fn forget_verdicts(&mut self, user: &UserId, device: &DeviceId, up_to: u64) -> StoreResult<()>;

    /// Looks at so many calls in the order in which they were made, behind a place (0: from the
    /// first), and removes those that ended before that time, from every feed, too.
    fn remove_ended(
        &mut self,
        after: u64,
        ended_before: Millis,
        limit: usize,
    ) -> StoreResult<Removed<u64>>;
    /// The largest number of what was so removed from a user's feed; 0 if nothing was. A device whose
    /// cursor is not at or beyond it may have missed that.
    fn trimmed(&mut self, user: &UserId) -> StoreResult<u64>;
    /// Looks at so many devices in their order, behind one, and removes those that said hello last
    /// before that time. Never one that is owed a verdict.
    fn remove_devices(
        &mut self,
        after: Option<&DeviceKey>,
        hello_before: Millis,
        limit: usize,
    ) -> StoreResult<Removed<DeviceKey>>;

    /// Makes all of it durable. Only then may anybody be told.
    fn commit(self: Box<Self>) -> StoreResult<()>;
}
