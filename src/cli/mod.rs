//! The command line, one file a subcommand.

pub mod demo;
pub mod failure;
pub mod inspect;
pub mod keygen;
pub mod serve;
pub mod token;

use self::failure::Failure;

/// The subcommands.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    // Its help is the one that its arguments come with; words here would take that one's place.
    #[expect(missing_docs)]
    Demo(demo::Args),
    /// The signalling server.
    Serve(serve::Args),
    /// Looks into a local database, without touching it.
    Inspect(inspect::Args),
    /// A token for a user.
    Token(token::Args),
    /// A key pair for tokens.
    Keygen(keygen::Args),
}

impl Command {
    /// Runs it.
    ///
    /// # Errors
    /// What failed and what to do, in one line.
    pub fn run(self) -> Result<(), Failure> {
        match self {
            Self::Demo(args) => demo::run(args),
            Self::Serve(args) => serve::run(args),
            Self::Inspect(args) => inspect::run(args),
            Self::Token(args) => token::run(args),
            Self::Keygen(args) => keygen::run(args),
        }
    }
}
