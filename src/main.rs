//! The `offhook` binary: exit code 0 done, 1 failed (one line on stderr), 2 wrong usage.

#![forbid(unsafe_code)]

use std::io::Write;
use std::process::ExitCode;

use clap::{ArgAction, Parser};
use offhook::cli::Command;
use tracing_subscriber::EnvFilter;

/// Call invitations that survive a bad network.
#[derive(Parser)]
#[command(name = "offhook", version)]
struct Cli {
    /// Say more on stderr; twice for decisions, three times for everything.
    #[arg(short, long, global = true, action = ArgAction::Count)]
    verbose: u8,
    #[command(subcommand)]
    command: Command,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let filter = match cli.verbose {
        0 => "warn",
        1 => "warn,offhook=info",
        2 => "warn,offhook=debug",
        _ => "debug,offhook=trace",
    };
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(filter))
        .with_writer(std::io::stderr)
        // It would say so on stderr, and panic where nobody reads that any more.
        .log_internal_errors(false)
        .init();
    match cli.command.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Where nobody reads stderr, the exit code still tells.
            let _ = writeln!(std::io::stderr(), "offhook: {failure}");
            ExitCode::FAILURE
        }
    }
}
