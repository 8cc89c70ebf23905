//! The command line, one file or folder a subcommand.

pub mod demo;
pub mod failure;
pub mod generate;
pub mod inspect;
pub mod keygen;
pub mod rpc;
pub mod serve;
mod signals;
pub mod token;

use self::failure::Failure;
use crate::call::UserId;

/// The subcommands. Each one's help is what its arguments come with; a word at the variant would
/// take its place.
#[derive(Debug, clap::Subcommand)]
#[expect(missing_docs)]
pub enum Command {
    Demo(demo::Args),
    Serve(serve::Args),
    Rpc(rpc::Args),
    Inspect(inspect::Args),
    Token(token::Args),
    Keygen(keygen::Args),
    #[command(hide = true)]
    Generate(generate::Args),
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
            Self::Rpc(args) => rpc::run(args),
            Self::Inspect(args) => inspect::run(args),
            Self::Token(args) => token::run(args),
            Self::Keygen(args) => keygen::run(args),
            Self::Generate(args) => generate::run(args),
        }
    }
}

/// Takes what can be a user id: anything else is wrong usage, not a failure of what would follow.
fn user_id(text: &str) -> Result<String, String> {
    UserId::parse("user", text)
        .map(|user| user.to_string())
        .map_err(|error| error.message)
}
