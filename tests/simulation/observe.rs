//! What a run of the world saw: one ordered log, and how everything stood at the end. This is all
//! that the checks have to go by, and nothing in here is concluded: it is what was done, said,
//! heard and stored, in the order in which it was so.
//!
//! `checks::check(&Record) -> Vec<Violation>` is what a run is judged by; it is called once, after
//! the last entry.
//!
//! Time: every entry has the world's own time ([`TrueMs`]), which no clock in the world can read.
//! A run begins at 0; the true UTC time is [`BEGIN_MS`] + that. Times of the product (`Millis`) are
//! what the server's clock says, which may be ahead of it: see [`OfServer::Started`].
//!
//! Words. A *handset* is a physical device with one file; a [`DeviceId`] is the name that its file
//! goes by, which changes after a copy. A *run* is one life of the process that has the file open,
//! counted by handset from 1; a *boot* is one life of the handset (its steady clock begins anew
//! with it). While an app has an extension, a second process has the same file open; it is a run of
//! its own, counted with the others, and what it sees is told by [`What::Second`]. An *app* is the listener in that process, counted by handset from 1: it can die and
//! come back within a run, and does with every run. What an app did not survive to see is not in
//! the log: an effect that the core had given out when the process died was heard by nobody.

use std::collections::{BTreeMap, BTreeSet};

use offhook::Error;
use offhook::call::{Call, CallId, Command, DeviceId, Millis, Op, UserId};
use offhook::client::core::{PushTaken, Submitted};
use offhook::client::event::{Event, EventKind};
use offhook::client::store::{CallEntry, PendingCommand, RingEntry};
use offhook::client::transport::DownKind;
use offhook::protocol::{ToDevice, ToServer};
use offhook::server::push::Push;
use offhook::server::store::{DeviceRow, KeptVerdict};

/// Milliseconds since the run began, by no clock of the world's own.
pub type TrueMs = i64;

/// The UTC time at which a run begins, in milliseconds.
pub const BEGIN_MS: Millis = 1_800_000_000_000;

/// A physical device, by its place in [`Record::users`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Handset(pub usize);

/// All of a run.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// Whose each handset is. Handsets that came to be by copying a file are among them.
    pub users: Vec<UserId>,
    /// What happened that the product is not expected to hide.
    pub weakened: Weakened,
    /// What was seen, in order.
    pub log: Vec<Entry>,
    /// How everything stood at the end.
    pub last: Last,
}

/// What happened that weakens what can be demanded. All of it is in the log as well.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Weakened {
    /// Handsets whose file was copied to another, and those it was copied to.
    pub copied: BTreeSet<Handset>,
    /// Handsets whose file was put back to an older state.
    pub rolled_back: BTreeSet<Handset>,
    /// Whether the server's data was put back to an older state.
    pub server_restored: bool,
    /// Handsets whose file was lost or set aside as damaged.
    pub file_lost: BTreeSet<Handset>,
}

/// Something that was seen.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// When.
    pub at: TrueMs,
    /// What.
    pub what: What,
}

/// Something that was seen.
// Matched everywhere, and the large ones are the usual ones.
#[allow(clippy::large_enum_variant)]
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// The storm is over: the network is whole, all handsets are on with their apps running, users
    /// are logged in, nobody does anything any more. Time goes on until all is quiet.
    StormEnds,
    /// Something about a handset, its process, its app or its user.
    Handset(Handset, OfHandset),
    /// The same of the second process on its file.
    Second(Handset, OfHandset),
    /// Something about the way between a handset and the server.
    Network(Handset, OfNetwork),
    /// Something about the server.
    Server(OfServer),
    /// Something was logged as an ERROR, by whichever part.
    LoggedError(String),
}

/// What an asking gave back; `None` when the process died in the middle of it: it may or may not
/// be on the disk.
pub type Answer<T> = Option<Result<T, Error>>;

/// About a handset.
#[allow(clippy::large_enum_variant)]
#[derive(Clone, Debug, PartialEq)]
pub enum OfHandset {
    // Its process ---------------------------------------------------------------------------------
    /// The process has begun, and has opened the file.
    Opened {
        /// Which run.
        run: u32,
        /// Which boot of the handset.
        boot: u32,
        /// The name by which the file goes.
        device: DeviceId,
        /// How far the app has said that it had read the journal.
        acknowledged: u64,
    },
    /// The file could not be opened; it is tried again later.
    NotOpened {
        /// Why.
        error: Error,
    },
    /// Which of the processes on the file it is that syncs: from now on it is this one.
    Syncs {
        /// In which run.
        run: u32,
    },
    /// It syncs no more, and waits for another one to end.
    Waits {
        /// In which run.
        run: u32,
    },
    /// The process is gone.
    Ended {
        /// Which run.
        run: u32,
        /// In which way.
        how: End,
    },
    /// The file goes by another name from now on, seen after whatever was done last.
    Renamed {
        /// Which run.
        run: u32,
        /// The name.
        device: DeviceId,
    },
    /// No timer runs, nothing is sent or heard until [`Self::Awake`]. The steady clock goes on.
    Asleep,
    /// It goes on.
    Awake,
    /// The wall clock is that far off the true time from now on, to be added to it.
    WallClock {
        /// How far.
        skew_ms: i64,
    },
    /// The disk has no room from now on, or has room again.
    DiskFull(bool),
    /// The next syncs of the disk fail.
    SyncsFail,
    /// The file is a copy of the one of that handset from now on; it was not open.
    CopiedFrom(Handset),
    /// The file was put back to how it was then; it was not open.
    RolledBack {
        /// When that was.
        to: TrueMs,
    },

    // What its user and app ask ---------------------------------------------------------------------
    /// A command was given.
    Submitted {
        /// In which run.
        run: u32,
        /// The identity of the command; always given by the world.
        op: Op,
        /// The call; `None` for callInvite, whose call id the core makes.
        call: Option<CallId>,
        /// The command, before the core has filled anything in.
        command: Command,
        /// How long it may wait, as in [`offhook::client::core::Submission`].
        wait_s: Option<u32>,
        /// Whether the app waits for the verdict: then it comes once, to the waiter, and is not
        /// kept in the journal after that.
        waited_for: bool,
        /// What the core gave back.
        answer: Answer<Submitted>,
    },
    /// Missed calls were marked as seen.
    MarkedSeen {
        /// In which run.
        run: u32,
        /// Which; all when `None`.
        calls: Option<Vec<CallId>>,
        /// How many are unseen then.
        answer: Answer<u64>,
    },
    /// The app said how far it has read.
    Acknowledged {
        /// In which run.
        run: u32,
        /// Which app.
        app: u32,
        /// The position.
        position: u64,
        /// Whether it is kept.
        answer: Answer<()>,
    },
    /// A push was handed in. The network may do so late, twice, never or out of order.
    Pushed {
        /// In which run.
        run: u32,
        /// The push.
        push: Box<Push>,
        /// What came of it.
        answer: Answer<PushTaken>,
    },
    /// The app looked at what rings; what it saw is on the screen until [`Self::Heard`] says
    /// otherwise.
    Looked {
        /// In which run.
        run: u32,
        /// What rings.
        ringing: Vec<RingEntry>,
        /// How many missed calls are unseen.
        missed: u64,
        /// The server's time as this device estimates it.
        server_ms: Millis,
    },
    /// The user logs out.
    LogsOut {
        /// In which run.
        run: u32,
    },
    /// The logout is done.
    LoggedOut {
        /// In which run.
        run: u32,
    },
    /// The user logs in again, after a logout or after having been kicked out.
    LogsIn {
        /// In which run.
        run: u32,
    },
    /// The app said that there is a network, or none.
    SetNetwork {
        /// In which run.
        run: u32,
        /// Whether there is one.
        online: bool,
    },
    /// The app said that the network is another one.
    NetworkChanged {
        /// In which run.
        run: u32,
    },

    // What its app hears --------------------------------------------------------------------------
    /// An app has begun to listen, in a run that had begun, and reads the journal from there.
    AppBegan {
        /// In which run.
        run: u32,
        /// Which app.
        app: u32,
        /// The position that the file says an app acknowledged last.
        from: u64,
    },
    /// The app has read what stood in the journal when it began; what it hears from now on is live.
    AppCaughtUp {
        /// In which run.
        run: u32,
        /// Which app.
        app: u32,
    },
    /// The app is gone; the process goes on without one until the next [`Self::AppBegan`].
    AppDied {
        /// In which run.
        run: u32,
        /// Which app.
        app: u32,
    },
    /// The app has heard something: an event, or a verdict ([`EventKind::CommandSettled`]).
    Heard {
        /// In which run.
        run: u32,
        /// Which app.
        app: u32,
        /// In which way.
        how: How,
        /// Its position in the journal, where it has one.
        position: Option<u64>,
        /// What.
        event: EventKind,
    },

    // Its link ------------------------------------------------------------------------------------
    /// It tries to connect.
    Connects {
        /// In which run.
        run: u32,
        /// Which attempt of that run.
        attempt: u64,
    },
    /// The attempt has a connection.
    Up {
        /// In which run.
        run: u32,
        /// Which attempt of that run.
        attempt: u64,
    },
    /// The attempt is over.
    Down {
        /// In which run.
        run: u32,
        /// Which attempt of that run.
        attempt: u64,
        /// Why.
        why: DownKind,
    },
    /// A frame reached the core. Pongs are left out.
    Got {
        /// In which run.
        run: u32,
        /// By which connection.
        conn: u64,
        /// The frame.
        frame: Box<ToDevice>,
        /// Whether the process lived through the taking in of it. If not, it may or may not be on
        /// disk.
        survived: bool,
        /// What the core had to say against it, or that it was fenced: then nothing was taken in.
        error: Option<Error>,
    },
    /// What time brought could not be done.
    TimeoutFailed {
        /// In which run.
        run: u32,
        /// Why.
        error: Error,
    },
}

/// The reason of the error of a frame that came to a process which lost its place to another one.
pub const FENCED: &str = "fenced";

/// How a process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Killed. What it had written to its file is there, synced or not.
    Killed,
    /// The handset lost its power: of what was not synced, any part is there.
    PowerLost,
    /// In good order: paused or closed.
    Closed,
}

/// How an app hears something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// As it happens.
    Live,
    /// From the journal, after it had begun.
    Replayed,
    /// A verdict, as the one who waits for it.
    Waiting,
}

/// About the way between a handset and the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OfNetwork {
    /// The connection broke; either side is told in its own time.
    Cut,
    /// Nothing from the handset reaches the server until healed.
    UpBlocked,
    /// Nothing from the server reaches the handset until healed.
    DownBlocked,
    /// Neither.
    Blocked,
    /// Both do again.
    Healed,
    /// It has become slow: up to that many milliseconds one way.
    Slow(i64),
}

/// About the server.
#[derive(Clone, Debug, PartialEq)]
pub enum OfServer {
    /// It runs.
    Started {
        /// Its clock then: true time + [`BEGIN_MS`], or later.
        server_ms: Millis,
    },
    /// It could not start; it is tried again later.
    NotStarted {
        /// Why.
        error: String,
    },
    /// It runs no more.
    Ended {
        /// Crashed, lost its power, or shut down in good order.
        how: End,
        /// Whether it stopped by itself because its store could not be trusted.
        halted: bool,
    },
    /// Its data was copied.
    BackedUp,
    /// Its data was put back to how it was then; it was not running.
    Restored {
        /// When that was.
        to: TrueMs,
    },
    /// It takes nothing in for so long.
    Stalls {
        /// How long.
        ms: i64,
    },
    /// Its disk has no room from now on, or has room again.
    DiskFull(bool),
    /// The next sync of its disk fails.
    SyncFails,
    /// A connection reached it.
    Connected {
        /// Its number.
        conn: u64,
        /// Whose it is.
        handset: Handset,
        /// Of which run.
        run: u32,
        /// Which attempt of that run.
        attempt: u64,
        /// Whether it came ahead of the end of its handshake. Such a one may be a recorded one, sent
        /// again by somebody else.
        early: bool,
    },
    /// The handshake of a connection that came early is complete.
    Confirmed {
        /// Its number.
        conn: u64,
    },
    /// It was told that a connection is gone.
    Disconnected {
        /// Its number.
        conn: u64,
    },
    /// A frame was given to the core, in the next step. Pings are left out.
    Got {
        /// By which connection.
        conn: u64,
        /// Whose it is.
        handset: Handset,
        /// The frame.
        frame: Box<ToServer>,
    },
    /// A frame was given out by the core. Pongs are left out.
    Said {
        /// By which connection.
        conn: u64,
        /// Whose it is.
        handset: Handset,
        /// The frame.
        frame: Box<ToDevice>,
    },
    /// It closed a connection.
    Closed {
        /// Its number.
        conn: u64,
    },
    /// A push was given out by the core.
    Pushes(Box<Push>),
    /// A transaction was committed. Comes before what it let out.
    Stored(Stored),
}

/// A committed transaction that changed something.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    /// Counts the committed transactions of the run, those that a restore undid included.
    pub number: u64,
    /// The server's time in it.
    pub server_ms: Millis,
    /// What it wrote, in order.
    pub changes: Vec<Change>,
    /// Set when the end of the commit was not heard; the store was asked afterwards, and had it.
    /// What was not kept is not in the log.
    pub doubted: bool,
}

/// Something that a transaction wrote.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// The record of a call.
    Call {
        /// What stood there before.
        before: Option<Box<Call>>,
        /// What stands there now.
        after: Box<Call>,
    },
    /// The verdict of a command.
    Verdict {
        /// Whose.
        user: UserId,
        /// By which device.
        device: DeviceId,
        /// What was decided.
        verdict: Box<KeptVerdict>,
    },
    /// Verdicts were forgotten, because the device has them.
    Forgot {
        /// Whose.
        user: UserId,
        /// Which device.
        device: DeviceId,
        /// Up to this number.
        up_to: u64,
    },
    /// The row of a device.
    Device(Box<DeviceRow>),
    /// The call went to the end of those users' feeds.
    Fed {
        /// The call.
        call: CallId,
        /// Whose feeds, and the number there.
        users: Vec<(UserId, u64)>,
    },
    /// A life of the server began.
    Epoch(u64),
    /// The clock was stored.
    Clock(Millis),
}

/// How everything stood at the end.
#[derive(Clone, Debug, Default)]
pub struct Last {
    /// The handsets in their order.
    pub handsets: Vec<LastOfHandset>,
    /// The server.
    pub server: LastOfServer,
}

/// How a handset stood at the end.
#[derive(Clone, Debug)]
pub struct LastOfHandset {
    /// Which.
    pub handset: Handset,
    /// Whose.
    pub user: UserId,
    /// The name by which its file goes.
    pub device: DeviceId,
    /// Its last run.
    pub run: u32,
    /// Its last app.
    pub app: u32,
    /// Whether it is connected, with all that there was to catch up with.
    pub connected: bool,
    /// Every call in its list, newest first.
    pub calls: Vec<CallEntry>,
    /// Commands without a verdict.
    pub pending: Vec<PendingCommand>,
    /// What rings.
    pub ringing: Vec<RingEntry>,
    /// How many missed calls are unseen.
    pub missed: u64,
    /// The whole journal, as far as it is kept.
    pub journal: Vec<Event>,
    /// How far the app has acknowledged it.
    pub acknowledged: u64,
}

/// How the server stood at the end.
#[derive(Clone, Debug, Default)]
pub struct LastOfServer {
    /// Its clock.
    pub server_ms: Millis,
    /// Every call that it knows, whole; [`Call::seen_by`] is what a user may see of it.
    pub calls: BTreeMap<CallId, Call>,
    /// The devices that it knows.
    pub devices: Vec<DeviceRow>,
    /// Verdicts that it still keeps.
    pub verdicts: Vec<(UserId, DeviceId, KeptVerdict)>,
}

/// Something that should hold and does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The invariant, in a few words that stay the same from run to run.
    pub invariant: &'static str,
    /// The entry of the log with which it was broken, if it was one.
    pub entry: Option<usize>,
    /// What was found, and what should have been.
    pub found: String,
}
