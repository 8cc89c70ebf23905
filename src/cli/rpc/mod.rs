//! `offhook rpc`: an engine that another program drives, in JSON-RPC 2.0, one message a line.
//!
//! The conversation itself is `client::rpc`; here are the lines that carry it.

mod lines;
mod retention;

use std::path::PathBuf;

use super::failure::Failure;
use super::user_id;
use crate::client::config::Config;
use crate::client::housekeeping::Retention;
use crate::client::link::check_address;
use crate::client::roots::Roots;
use crate::client::rpc::{Opening, Session};

/// Run a client engine that another program drives over stdin and stdout.
///
/// It speaks JSON-RPC 2.0, one message a line, and is ready as soon as the database file is open,
/// connected or not. Commands take effect in the order of their lines; replies may come in any
/// order. Events are notifications. End of input, or the method shutdown, ends it cleanly: that is
/// the app going away, not a logout.
///
/// Commands: callInvite, callCancel, callAccept, callReject, callingInvite, callJoin, callQuit,
/// callEnd. Each is on disk before anything else happens to it. "wait": "verdict" (the default)
/// beside "config" answers when the server has decided; "wait": "disk" answers at once, and the
/// verdict comes as the notification commandSettled.
///
/// More: queryCallInvitationList, pending, ringing, status, eventsSince, acknowledge, markSeen,
/// setNetwork, networkChanged, pause, resume, renewToken, handlePush, logout, shutdown.
///
/// Of the database: storage gives {bytes, freeBytes, walBytes}; compact gives back what it has room for
/// and does not use, {bytesBefore, bytesAfter}; backup {"path"} copies it while it is in use, {path,
/// bytes}, to a file that is not there yet. --restore puts such a copy in place.
///
/// A logout is this process's own. Where another one has the connection of the same file (status
/// says so), it is answered at once, the server hears nothing, and that process stays logged in:
/// log out there.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    offhook serve --listen 127.0.0.1:7443 --data data\n  \
    offhook rpc --server 127.0.0.1:7443 --ca data/cert.pem --user alice --db alice.db\n\n\
    Then, on stdin:\n  \
    {\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"callInvite\",\"params\":{\"invitees\":[\"bob\"],\"config\":{\"timeout\":30}}}\n  \
    {\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"status\"}\n  \
    {\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"shutdown\"}\n\n\
    Settings (--set KEY=VALUE), how much of the past the database keeps:\n  \
    calls_kept 1000000 (or all), calls_kept_days forever, events_kept 10000 (acknowledged ones),\n  \
    events_unacknowledged_kept 100000 (at least 1000)")]
pub struct Args {
    /// The server, as HOST:PORT.
    #[arg(long, value_name = "ADDR", value_parser = server_address)]
    pub server: String,
    /// The certificates to trust, in PEM: the server's own cert.pem, or that of who signed it.
    #[arg(long, value_name = "FILE")]
    pub ca: PathBuf,
    /// Who this is: 1-32 letters, digits, spaces and !#$%&()+-:;<=.>?@[]^_{}|~
    #[arg(long, value_parser = user_id)]
    pub user: String,
    /// The database of this user on this device; made if it is not there. Several processes
    /// may have it open: one is connected, the others wait and take over.
    #[arg(long, value_name = "FILE")]
    pub db: PathBuf,
    /// Proof of who this is (see `offhook token`); not needed where the server trusts names.
    #[arg(long)]
    pub token: Option<String>,
    /// A copy made by backup, to be put where --db is; nothing may be there yet. It is another device.
    #[arg(long, value_name = "FILE")]
    pub restore: Option<PathBuf>,
    /// Change a setting; may be given several times.
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = retention::setting)]
    pub settings: Vec<String>,
}

/// Runs until stdin ends, shutdown is asked for, or nobody reads stdout any more.
///
/// # Errors
/// The engine cannot be opened with these arguments, or could not write its file at the end.
pub fn run(args: Args) -> Result<(), Failure> {
    let mut retention = Retention::default();
    for text in &args.settings {
        retention::set(&mut retention, text).map_err(Failure::new)?;
    }
    let mut config = Config::new(args.server, args.user, args.db);
    config.retention = retention;
    config.roots = Roots::Pem(args.ca);
    config.token = args.token;
    config.build = concat!("offhook rpc ", env!("CARGO_PKG_VERSION")).to_owned();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .map_err(|error| Failure::new(format_args!("cannot start: {error}")))?;
    let restore = args.restore;
    let opened = runtime.block_on(Opening { config, restore }.open());
    let (engine, events) = opened.map_err(Failure::new)?;
    let input = lines::read_stdin()?;
    let (output, writer) = lines::write_stdout(engine.clone())?;
    let ended = runtime.block_on(Session::new(engine, events, output).run(input));
    // All that was said is written, or there is nobody to read it.
    let _ = writer.join();
    ended.map_err(Failure::new)
}

fn server_address(text: &str) -> Result<String, String> {
    check_address(text)
        .map(|()| text.to_owned())
        .map_err(|error| error.message)
}
