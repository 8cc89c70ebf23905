//! The documents, with the names that `--json` shows. States, modes and kinds are words as in the
//! file; times are milliseconds and 0 when absent.

use serde::Serialize;
use serde_json::Value;

/// A page of the list of calls, newest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CallPage {
    /// The calls.
    pub calls: Vec<Call>,
    /// Where the next page starts; 0: there is none.
    pub next_flag: i64,
    /// Rows are missing from here: the file is damaged, in SQLite's words.
    #[serde(skip)]
    pub damage: Option<String>,
}

/// A call as the server last told it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Call {
    /// Which call.
    pub call_id: String,
    /// Who created it.
    pub caller: String,
    /// Who last invited the user of this database; empty: nobody.
    pub inviter: String,
    /// `general` or `advanced`.
    pub mode: String,
    /// `started` or `ended`.
    pub state: String,
    /// Where the user of this database stands.
    pub my_state: String,
    /// Invited, over, and answered on no device.
    pub missed: bool,
    /// The user has seen that they missed it.
    pub seen: bool,
    /// When it was created.
    pub create_time_ms: i64,
    /// When it ended.
    pub end_time_ms: i64,
    /// What the creator gave along.
    pub extended_data: String,
    /// The rest of the record, where one call is asked for.
    #[serde(flatten)]
    pub details: Option<CallDetails>,
    /// The creator first, then in the order in which they came in.
    pub members: Vec<Member>,
}

/// What the list leaves out of a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CallDetails {
    /// Its place in the list; the `next_flag` of a page that ends with it.
    pub sort_key: i64,
    /// The life of the server that told this revision.
    pub epoch: u64,
    /// Counts the changes; 0: known by push only.
    pub revision: i64,
    /// How long an invitation lasts unless it says otherwise, in seconds.
    pub timeout_s: i64,
    /// Whether unreached invitees become `not_yet_received`.
    pub not_received_check: bool,
    /// How it ended: `completed`, `cancelled`, `ended`, `abandoned`, `forgotten`.
    pub end_kind: Option<String>,
    /// The revision at which it ended.
    pub end_revision: i64,
    /// Who ended it; null: the server, or nobody yet.
    pub ended_by: Option<String>,
    /// With which of this user's devices.
    pub end_device: Option<String>,
    /// What the end gave along.
    pub end_data: String,
    /// The user's device that last invited, accepted or joined.
    pub my_primary_device: Option<String>,
    /// The command that made it so.
    pub my_primary_op: Option<String>,
    /// The revision at which it became so.
    pub my_primary_revision: i64,
    /// How the user's last invitations ended.
    pub my_closings: Value,
    /// The user saw the miss on this device, and the server does not know it yet.
    pub seen_here: bool,
    /// What rang on this device.
    pub rings: Vec<Ring>,
}

/// Somebody in a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Member {
    /// Who.
    pub user_id: String,
    /// Where they stand.
    pub state: String,
    /// Of their last accept, reject, join or quit, or of the cancel of their invitation.
    pub extended_data: String,
    /// Who invited them last; null: the creator, or joined from outside.
    pub inviter: Option<String>,
    /// The number of their last invitation; 0: never invited.
    pub invitation: i64,
    /// When that was made.
    pub invited_at_ms: i64,
    /// How long it lasts, in seconds.
    pub timeout_s: i64,
    /// When it is over.
    pub deadline_ms: i64,
    /// What it gave along.
    pub invite_data: String,
    /// The revision of the call at which the state came about.
    pub state_revision: i64,
    /// When that was.
    pub state_time_ms: i64,
    /// Whose doing it was; null: the server, or time.
    pub changed_by: Option<String>,
    /// With which of this user's devices.
    pub acting_device: Option<String>,
    /// When they last came in.
    pub accept_time_ms: i64,
    /// When they last came in by callJoin.
    pub join_time_ms: i64,
    /// When they last quit.
    pub quit_time_ms: i64,
    /// The number of their last stay in the call; 0: never was in.
    pub participation: i64,
}

/// An invitation that rang on this device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Ring {
    /// Its number; 0: dialling.
    pub invitation: i64,
    /// When it began.
    pub opened_at_ms: i64,
    /// When it is over at the latest.
    pub deadline_ms: i64,
    /// When it was closed; 0: it still rings.
    pub closed_at_ms: i64,
    /// How it was closed.
    pub closed_how: Option<String>,
}

/// All that the file tells of one call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Story {
    /// The call; null when the server has not taken it yet, so that only commands tell of it.
    pub call: Option<Call>,
    /// The commands of this device, oldest first.
    pub commands: Vec<Command>,
    /// What happened, oldest first.
    pub timeline: Vec<Entry>,
    /// Older entries were left out of the timeline.
    #[serde(skip)]
    pub cut: bool,
    /// Rows are missing from here: the file is damaged, in SQLite's words.
    #[serde(skip)]
    pub damage: Option<String>,
}

/// A command and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Command {
    /// Its identity.
    pub op: String,
    /// `callInvite`, `callCancel`, …
    pub command: String,
    /// When the app asked for it.
    pub queued_at_ms: i64,
    /// When it can mean nothing any more; 0: never.
    pub expires_at_ms: i64,
    /// It was sent at least once.
    pub sent: bool,
    /// How often it was sent.
    pub attempts: i64,
    /// Null: pending; else `accepted`, `refused`, `expired`, `withdrawn`, `dropped`, `unknown`.
    pub verdict: Option<String>,
    /// The code of a refusal; 0: none.
    pub code: i64,
    /// When the verdict came.
    pub settled_at_ms: i64,
    /// What the app asked for.
    pub arguments: Value,
    /// What the verdict said.
    pub result: Value,
    /// What went wrong at the last attempt.
    pub last_error: Option<String>,
}

/// The commands without a verdict, oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Pending {
    /// The commands.
    pub pending: Vec<PendingCommand>,
    /// Rows are missing from here: the file is damaged, in SQLite's words.
    #[serde(skip)]
    pub damage: Option<String>,
}

/// A command without a verdict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PendingCommand {
    /// Its identity.
    pub op: String,
    /// The call it is about.
    pub call_id: String,
    /// `callInvite`, `callCancel`, …
    pub command: String,
    /// When the app asked for it.
    pub queued_at_ms: i64,
    /// When it can mean nothing any more; 0: never.
    pub expires_at_ms: i64,
    /// It was sent at least once.
    pub sent: bool,
    /// How often it was sent.
    pub attempts: i64,
    /// What went wrong at the last attempt.
    pub last_error: Option<String>,
}

/// What happened, oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Timeline {
    /// The entries.
    pub timeline: Vec<Entry>,
    /// There are more than were taken.
    #[serde(skip)]
    pub cut: bool,
    /// Rows are missing from here: the file is damaged, in SQLite's words.
    #[serde(skip)]
    pub damage: Option<String>,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// When it came about.
    pub at_ms: i64,
    /// When this device learned of it.
    pub learned_ms: i64,
    /// `user` (a command), `server` (a verdict, a change), `device` (a verdict of its own) or
    /// `app` (an event it was told).
    pub source: String,
    /// The command, the verdict, the new state or the event.
    pub what: String,
    /// Who did it, or to whom it happened.
    pub who: String,
    /// In which call.
    pub call_id: String,
    /// With which device, where that is known.
    pub device: String,
    /// Arguments, result or parameters as JSON; else text, mostly empty.
    pub detail: Value,
}
