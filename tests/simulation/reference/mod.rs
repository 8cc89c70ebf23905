//! A second account of what a call is and how it may change, written from `docs/semantics.md` and
//! from nothing else: simple, slow, obvious. It is fed with what the server committed, in order,
//! and says where the server differs.
//!
//! - [`model`]: a call, its people, their invitations and stays
//! - [`time`]: what happens without a command: deadlines, receipts, absences
//! - [`decide`], [`rules`]: what a command makes of a call, or why it is refused
//! - [`follow`]: the account beside the server's transactions

pub mod decide;
pub mod follow;
pub mod model;
mod rules;
pub mod time;

#[cfg(test)]
mod tests;
