//! What a call is and how it may change.
//!
//! Values in, values out: no clock, no disk, no network, no async. Two functions decide everything:
//!
//! - `apply` says what a command makes of a call, or why it is refused. Beside it stand the
//!   changes that are nobody's command: time that passes, receipts, devices that vanish
//!   (`passing`).
//! - `hear` says what a change of the record means to one device of one user.
//!
//! Both are pure, and always hold: a change never leaves the record half changed; the revision
//! grows by one for every moment at which something changed; an ended call is frozen but for the
//! mark that its user has seen it.

mod apply;
mod command;
mod event;
mod hear;
pub mod limits;
pub mod passing;
mod record;
mod refuse;
mod value;

pub use apply::{Audience, Change, Facts, apply};
pub use command::{
    Actor, CallUser, Command, CommandKind, Outcome, PushConfig, Target, Under, UserError,
    VoipConfig,
};
pub use event::CallEvent;
pub use hear::{Heard, Shown, Viewer, hear};
pub use limits::Rules;
pub use record::{CLOSINGS_KEPT, Call, Closing, Ending, Member, Own};
pub use value::{
    CALL_ID_CHARS_MAX, CallId, CallState, DEVICE_ID_BYTES_MAX, DeviceId, EndKind, Millis, Mode, Op,
    USER_ID_BYTES_MAX, UserId, UserState,
};
