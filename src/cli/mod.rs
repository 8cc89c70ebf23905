//! The command line, one file a subcommand.

pub mod failure;
pub mod inspect;
pub mod keygen;
pub mod token;
