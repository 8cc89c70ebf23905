//! The `offhook` binary. Placeholder with the subcommands that exist.
use std::process::ExitCode;

use clap::Parser;
use offhook::cli::{inspect, keygen, token};

/// Call invitations that survive a bad network.
#[derive(Parser)]
#[command(name = "offhook", version)]
enum Command {
    Token(token::Args),
    Keygen(keygen::Args),
    Inspect(inspect::Args),
}

fn main() -> ExitCode {
    let done = match Command::parse() {
        Command::Token(args) => token::run(args),
        Command::Keygen(args) => keygen::run(args),
        Command::Inspect(args) => inspect::run(args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("offhook: {failure}");
            ExitCode::from(1)
        }
    }
}
