//! Read-only looks at the local database of an app, also while the app runs and on a copy from a
//! bug report.
//!
//! Comes in: the path of a file. Goes out: documents ([`CallPage`], [`Story`], [`Pending`],
//! [`Timeline`], [`Stats`], [`Checkup`]), which [`text`] lays out for people; stories one after
//! another ([`Export`]); entries as they come ([`Follow`]); a copy. What always holds: of what is
//! looked at nothing is created, changed, migrated or locked for longer than one question takes (where
//! the system is not a Unix, SQLite writes its scratch file `-shm` anew after a crash). Nothing of the
//! engine is used here, so that a file can be looked at which the engine refuses.

mod copy;
mod damage;
mod database;
mod doctor;
mod error;
mod export;
mod follow;
mod givers;
mod header;
mod in_use;
mod model;
mod queries;
mod rows;
mod schema;
mod stats;
mod table;
pub mod text;
pub mod web;

pub use database::Database;
pub use doctor::{Checkup, Finding, Severity};
pub use error::{Error, Problem};
pub use export::Export;
pub use follow::{FOLLOW_EVERY, Follow};
pub use model::{
    Call, CallDetails, CallPage, Command, Entry, Member, Pending, PendingCommand, Ring, Story,
    Timeline,
};
pub use queries::{Filter, StateFilter, TIMELINE_MAX};
pub use schema::SCHEMA_KNOWN;
pub use stats::{ClockStats, FeedStats, FileStats, Lag, LastError, LeaseStats, ReaderStats, Stats};
pub use table::Style;
