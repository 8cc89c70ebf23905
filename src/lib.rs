//! Placeholder.

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
mod error;
#[doc(hidden)]
pub mod protocol;
#[cfg(feature = "server")]
#[doc(hidden)]
pub mod server;

pub use error::{Code, Detail, Error};
