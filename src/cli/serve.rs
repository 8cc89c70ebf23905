//! `offhook serve`: the signalling server.

use std::io::Write;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;

use super::failure::Failure;
use super::signals::Signals;
use crate::server::auth::{Auth, Keys};
use crate::server::push::LogSink;
use crate::server::settings::Settings;
use crate::server::{Server, ServerConfig};

/// Run the signalling server until it is stopped.
///
/// Prints "listening on ADDRESS" once it accepts connections. Ctrl-C and SIGTERM end it cleanly.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    offhook serve --listen 127.0.0.1:7443 --data data\n  \
    offhook serve --listen 0.0.0.0:7443 --data data --jwt-key auth.key.pub\n\n\
    Settings (--set KEY=VALUE):\n  \
    heartbeat_s 10, offline_after_s 35, not_received_check_s 5 (3-5), abandoned_after_s 7200,\n  \
    extended_data_max 2048 (at most 4096), devices_max 10, members_max 10 (at most 20),\n  \
    calls_kept_days 365 after their end, devices_kept_days 365 after their last hello (0: for ever),\n  \
    users open|registered, join anyone|invited, glare refuse|allow")]
pub struct Args {
    /// Where to listen; port 0 takes a free port and prints it.
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    pub listen: SocketAddr,
    /// The folder for the data and the certificate; made if it is not there.
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// The key that tokens are checked with: PEM (EdDSA) or a file with a secret (HS256).
    ///
    /// Without it everybody is who they say they are, which is allowed on a loopback address only.
    #[arg(long, value_name = "FILE")]
    pub jwt_key: Option<PathBuf>,
    /// A certificate in PEM, instead of the one that is made in DIR.
    #[arg(long, value_name = "FILE", requires = "key")]
    pub cert: Option<PathBuf>,
    /// The certificate's key in PEM.
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub key: Option<PathBuf>,
    /// Change a setting; may be given several times.
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = setting)]
    pub settings: Vec<String>,
}

/// Runs the server; returns when it was told to stop and has.
///
/// # Errors
/// It cannot start, or its store failed.
pub fn run(args: Args) -> Result<(), Failure> {
    let mut settings = Settings::default();
    for text in &args.settings {
        settings.set(text).map_err(Failure::new)?;
    }
    let auth = match &args.jwt_key {
        Some(file) => Auth::Keys(Keys::load(file).map_err(Failure::new)?),
        None => Auth::TrustNames,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(format_args!("cannot wait for signals: {error}")))?;
    // Before anything is promised, so that no signal is missed.
    let mut signals = runtime
        .block_on(async { Signals::new() })
        .map_err(|error| Failure::new(format_args!("cannot listen for signals: {error}")))?;
    let server = Server::start(ServerConfig {
        listen: args.listen,
        data_dir: args.data,
        auth,
        cert: args.cert,
        key: args.key,
        settings,
        push: Box::new(LogSink),
    })
    .map_err(Failure::new)?;
    let mut stdout = std::io::stdout();
    writeln!(stdout, "listening on {}", server.local_addr())
        .and_then(|()| stdout.flush())
        .map_err(|error| Failure::new(format_args!("cannot write to stdout: {error}")))?;
    runtime.block_on(async {
        tokio::select! {
            () = signals.any() => tracing::info!("told to stop"),
            () = server.ended() => {}
        }
    });
    server.stop().map_err(Failure::new)
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.to_socket_addrs()
        .ok()
        .and_then(|mut addresses| addresses.next())
        .ok_or_else(|| format!("{text} is not HOST:PORT, such as 127.0.0.1:7443"))
}

fn setting(text: &str) -> Result<String, String> {
    Settings::default()
        .set(text)
        .map(|()| text.to_owned())
        .map_err(|error| error.to_string())
}
