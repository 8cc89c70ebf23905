//! The command line, one file a subcommand.

pub mod failure;
pub mod inspect;
pub mod keygen;
pub mod serve;
pub mod token;

use self::failure::Failure;

/// The subcommands.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Run the signalling server until it is stopped.
    Serve(serve::Args),
    /// Look into a local database, without touching it.
    Inspect(inspect::Args),
    /// Sign a token that lets a user log in, and print it.
    Token(token::Args),
    /// Make an Ed25519 key pair to sign and check tokens with.
    Keygen(keygen::Args),
}

impl Command {
    /// Runs it.
    ///
    /// # Errors
    /// What failed and what to do, in one line.
    pub fn run(self) -> Result<(), Failure> {
        match self {
            Self::Serve(args) => serve::run(args),
            Self::Inspect(args) => inspect::run(args),
            Self::Token(args) => token::run(args),
            Self::Keygen(args) => keygen::run(args),
        }
    }
}
