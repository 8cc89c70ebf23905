//! `offhook demo`: a server and four devices in one process, and a story that they tell.
//!
//! Every line of the story is told after it was seen to happen: an event that a device heard, a
//! verdict, or a row in a database. What does not happen as told ends the demo with exit code 1.

mod cast;
mod expect;
mod folder;
mod history;
mod stage;
mod story;
mod tell;

use std::path::PathBuf;

use serde_json::json;

use self::folder::Folder;
use self::stage::Stage;
use self::tell::Teller;
use super::failure::Failure;
use crate::server::auth::{Auth, Keys, generate};
use crate::server::push::LogSink;
use crate::server::settings::Settings;
use crate::server::{Server, ServerConfig};

/// Watch four devices ring each other through a real server.
///
/// Starts a server and the devices of Alice, Bob and Carol in this process and tells what they do
/// and hear, with the time in ms since the start. They talk over QUIC on loopback; no network is
/// needed. Each device keeps its calls in a database of its own, and all files stay afterwards.
///
/// What is told has happened: the demo ends with exit code 1, and says why, if anything does not
/// happen as it should.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    offhook demo\n  \
    offhook demo --dir /tmp/calls\n  \
    offhook inspect /tmp/calls/bob-phone.db calls")]
pub struct Args {
    /// Where the databases go: a folder that is empty or not there yet [default: a new folder
    /// among the system's temporary files]
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Tell it to a program: a JSON object a line, and a summary on the last.
    #[arg(long)]
    pub json: bool,
}

/// Plays the story.
///
/// # Errors
/// The folder cannot be used, the server cannot start, or something did not happen as told.
pub fn run(args: Args) -> Result<(), Failure> {
    let mut tell = Teller::new(args.json);
    let folder = Folder::prepare(args.dir)?;
    greet(&mut tell, &folder)?;
    on_stage(&mut tell, &folder, async |stage| story::tell(stage).await)?;
    farewell(&mut tell, &folder)
}

fn greet(tell: &mut Teller, folder: &Folder) -> Result<(), Failure> {
    let title = tell.bold("Offhook, told by its devices");
    tell.text(&format!(
        "{title}\n\
         A server and four devices in this process, over QUIC on loopback; times are ms since the start.\n\
         Each device keeps its calls in a database of its own, in {}\n\n",
        folder.path().display()
    ))
}

/// Opens server and devices, plays a story with them, and closes them, whatever became of it.
fn on_stage(
    tell: &mut Teller,
    folder: &Folder,
    story: impl AsyncFnOnce(&mut Stage<'_>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    // Only ever in memory: nobody else is to speak for these users.
    let keys = generate().map_err(Failure::new)?;
    let keys = Keys::parse(keys.private_pem.as_bytes()).map_err(Failure::new)?;
    let server = Server::start(ServerConfig {
        listen: ([127, 0, 0, 1], 0).into(),
        data_dir: folder.path().join("server"),
        auth: Auth::Keys(keys.clone()),
        cert: None,
        key: None,
        settings: Settings::default(),
        push: Box::new(LogSink),
    })
    .map_err(|error| Failure::new(format_args!("the demo's server did not start: {error}")))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(format_args!("cannot wait for events: {error}")))?;
    let played = runtime.block_on(async {
        let mut stage = Stage::set(tell, &server, &keys, folder).await?;
        let told = story(&mut stage).await;
        let cleared = stage.clear().await;
        told.and(cleared)
    });
    // Not before the devices are closed, so that none of them looks for it.
    let stopped = server
        .stop()
        .map_err(|error| Failure::new(format_args!("the demo's server: {error}")));
    played.map_err(|failure| {
        let part = match tell.act() {
            0 => "the beginning".to_owned(),
            act => format!("act {act}"),
        };
        Failure::new(format_args!(
            "{part} did not go as it should: {failure}; the databases are in {}",
            folder.path().display()
        ))
    })?;
    stopped
}

fn farewell(tell: &mut Teller, folder: &Folder) -> Result<(), Failure> {
    let seconds = tell.elapsed().as_secs_f64();
    let lines = tell.lines();
    tell.text(&format!(
        "\nAll of it was checked as it was told: {lines} lines in {seconds:.1} s. The files stay in\n{}\n",
        folder.path().display()
    ))?;
    let summary = json!({
        "dir": folder.path().display().to_string(),
        "duration_ms": u64::try_from(tell.elapsed().as_millis()).unwrap_or(u64::MAX),
        "lines": lines,
        "databases": stage::ROLES
            .iter()
            .map(|role| folder.database(*role).display().to_string())
            .collect::<Vec<_>>(),
    });
    tell.summary(&summary)
}

#[cfg(test)]
mod tests {
    use super::expect::Expected;
    use super::*;
    use crate::client::options::InviteOptions;

    #[test]
    fn what_comes_instead_of_what_was_expected_ends_it_and_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let folder = Folder::prepare(Some(folder.path().join("demo"))).unwrap();
        let failure = on_stage(&mut Teller::silent(), &folder, async |stage| {
            let engine = &stage.phone.engine;
            let handle = engine.call_invite(&["bob"], InviteOptions::default()).await;
            let call = handle.unwrap().call_id().clone();
            stage.laptop.hears(&call, Expected::Moved).await.map(drop)
        })
        .unwrap_err();
        for part in [
            "Alice's laptop was to hear callPrimaryDeviceChanged",
            "but heard {\"name\":\"callInvitationCreated\"",
            "the databases are in",
        ] {
            assert!(failure.message.contains(part), "{failure}");
        }
    }
}
