//! `offhook inspect FILE web`: a page that shows the database, on a loopback port.

use std::io::Write;
use std::path::Path;

use super::super::failure::Failure;
use super::super::signals::Signals;
use crate::inspect::web::{self, Web};

/// Serve a page that shows the database, until stopped.
///
/// Prints a link on stdout; it opens the page once, in one browser. Nobody else gets in, and the
/// page follows the app as it runs. Ctrl-C and SIGTERM end it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: offhook inspect alice.db web --port 8080")]
pub struct Args {
    /// The port on 127.0.0.1; 0 takes a free one.
    #[arg(long, value_name = "P", default_value_t = 0)]
    pub port: u16,
}

/// Serves the page; returns when it was told to stop.
///
/// # Errors
/// The port is taken, or the link cannot be printed.
pub fn run(file: &Path, args: &Args) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(format_args!("cannot start: {error}")))?;
    let served = runtime.block_on(async {
        let mut signals = Signals::new()
            .map_err(|error| Failure::new(format_args!("cannot listen for signals: {error}")))?;
        let web = Web::bind(file, args.port).await.map_err(Failure::new)?;
        let mut stdout = std::io::stdout();
        writeln!(stdout, "{}", web.link())
            .and_then(|()| stdout.flush())
            .map_err(|error| Failure::new(format_args!("cannot write to stdout: {error}")))?;
        tokio::select! {
            () = signals.any() => tracing::info!("told to stop"),
            () = web.serve() => {}
        }
        Ok(())
    });
    // A question that is being answered changes nothing and need not be waited for.
    runtime.shutdown_background();
    served
}

/// Answers one question on stdin, for a page.
///
/// # Errors
/// It is none, or stdout takes nothing.
pub fn answer(file: &Path) -> Result<(), Failure> {
    web::answer(file).map_err(|error| Failure::new(format_args!("cannot answer: {error}")))
}
