//! `offhook token`: signs a token, so that a client can log in.

use std::io::Write;
use std::path::PathBuf;

use chrono::Utc;

use super::failure::Failure;
use super::user_id;
use crate::server::auth;

/// Sign a token that lets a user log in, and print it.
///
/// A token is a JWT: it says who the user is (`sub`) and until when that holds (`exp`). It is meant
/// for trying things out; in production your own backend signs tokens, with the same key.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    offhook keygen auth.key\n  \
    offhook serve --listen 127.0.0.1:7443 --data data --jwt-key auth.key.pub\n  \
    offhook token --user alice --jwt-key auth.key --ttl 86400")]
pub struct Args {
    /// Who the token is for: 1-32 letters, digits, spaces and !#$%&()+-:;<=.>?@[]^_{}|~
    #[arg(long, value_name = "USER", value_parser = user_id)]
    pub user: String,
    /// The private key that `offhook keygen` made, or a file with a secret of 16 bytes or more.
    ///
    /// A PEM private key signs with EdDSA, a secret with HS256. The server is started with the same
    /// file, or with the public half of the key. A public key cannot sign.
    #[arg(long, value_name = "FILE")]
    pub jwt_key: PathBuf,
    /// For how many seconds from now the token is good; 0 or less gives one that has expired
    /// already, to see how an app takes it.
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = 3600,
        allow_negative_numbers = true
    )]
    pub ttl: i64,
}

/// Prints the token on stdout, alone on its line.
///
/// # Errors
/// The key file cannot be read, is no key, or is a public one.
pub fn run(args: Args) -> Result<(), Failure> {
    let now_ms = Utc::now().timestamp_millis();
    let token = auth::issue(&args.jwt_key, &args.user, args.ttl, now_ms)
        .map_err(|error| Failure::new(format_args!("no token was made: {error}")))?;
    writeln!(std::io::stdout(), "{token}")
        .map_err(|error| Failure::new(format_args!("cannot write the token to stdout: {error}")))
}
