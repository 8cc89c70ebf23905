//! Read-only looks at the local database of an app, also while the app runs and on a copy from a
//! bug report.
//!
//! Comes in: the path of a file. Goes out: documents ([`CallPage`], [`Story`], [`Pending`],
//! [`Timeline`]), which [`text`] lays out for people. What always holds: nothing is created,
//! changed, migrated or locked for longer than one question takes. Nothing of the engine is used
//! here, so that a file can be looked at which the engine refuses.

mod database;
mod error;
mod model;
mod queries;
mod rows;
mod table;
pub mod text;
pub mod web;

pub use database::{Database, SCHEMA_KNOWN};
pub use error::{Error, Problem};
pub use model::{
    Call, CallDetails, CallPage, Command, Entry, Member, Pending, PendingCommand, Ring, Story,
    Timeline,
};
pub use queries::{Filter, StateFilter, TIMELINE_MAX};
pub use table::Style;
