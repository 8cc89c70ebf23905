//! Call invitations that survive a bad network: ring someone who may be offline, answer, decline,
//! cancel, time out, invite more people, join, move the call to another device, leave, end.
//!
//! An app opens an [`Engine`] on a database file, gives commands and listens to events. Every
//! command is on disk when its method returns, connected or not, has its effect exactly once, and
//! ends in a verdict.
//!
//! [`Engine::open`] begins; its `call_*` methods give a [`CommandHandle`] that has the call's id and
//! can be awaited for the verdict; [`Engine::events`] tells what happens, [`Engine::events_since`]
//! what happened before, and [`Engine::query_call_invitation_list`] reads the history. Everything
//! that can go wrong is an [`Error`] with a stable [`Code`].
//!
//! Times are milliseconds of the server's clock since 1970 in UTC ([`Millis`]), 0 where there is
//! none; durations in seconds end in `_s`. How a call behaves is in `docs/semantics.md`.

#![forbid(unsafe_code)]
#![warn(missing_docs)]
#![cfg_attr(
    not(test),
    warn(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::wildcard_enum_match_arm
    )
)]

#[doc(hidden)]
pub mod call;
#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod cli;
#[cfg(feature = "client")]
#[doc(hidden)]
pub mod client;
#[cfg(any(feature = "client", feature = "server"))]
mod disk;
mod error;
#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod inspect;
#[doc(hidden)]
pub mod protocol;
#[cfg(feature = "server")]
#[doc(hidden)]
pub mod server;

pub use call::{
    Call, CallEvent, CallId, CallState, CallUser, Closing, Command, CommandKind, DeviceId, EndKind,
    Ending, Member, Millis, Mode, Op, Outcome, Own, PushConfig, Target, Under, UserError, UserId,
    UserState, VoipConfig,
};
#[cfg(feature = "client")]
pub use client::{
    config::{Config, Memory},
    core::{PushTaken, Role, TokenWanted},
    engine::Engine,
    event::{
        CommandSettled, ConnectionCause, ConnectionChange, ConnectionState, Event, EventKind,
        SetAside,
    },
    housekeeping::{Backup, Compacted, Retention, Storage},
    live::Live,
    options::{CallingInviteOptions, CommandOptions, InviteOptions},
    result::{
        Answered, CallingInvited, Cancelled, CommandHandle, HasEnded, HasQuit, Invited, Joined,
    },
    roots::Roots,
    status::Status,
    store::{CallEntry, Filter, Page, PendingCommand, Query, RingEntry},
    subscription::{Changes, Events, Lagged},
    token::{ProvidedToken, TokenProvider},
};
pub use error::{Code, Detail, Error};

/// Compiles what the README shows.
#[cfg(all(doctest, feature = "client"))]
#[doc = include_str!("../README.md")]
struct Readme;
