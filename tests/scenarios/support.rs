//! What every scenario needs: a server process, devices, and waiting for what they hear.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use offhook::{CallEvent, CallId, Config, Engine, Event, EventKind, Events, Roots, UserState};
use tempfile::TempDir;

/// How long something may take that is expected to happen at once. Generous: it only bounds how
/// long a failing test takes.
pub const SOON: Duration = Duration::from_secs(20);

/// A folder with a server's data and the databases of devices.
pub struct World {
    dir: TempDir,
    settings: Vec<String>,
    address: String,
    process: Option<Child>,
}

impl World {
    /// A server with the default settings.
    pub fn new() -> Self {
        Self::with(&[])
    }

    /// A server with some settings changed, as `KEY=VALUE`.
    pub fn with(settings: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let settings = settings.iter().map(|set| (*set).to_owned()).collect();
        let mut world = Self {
            dir,
            settings,
            address: "127.0.0.1:0".into(),
            process: None,
        };
        world.start();
        world
    }

    /// Starts the server, at the address it had before.
    pub fn start(&mut self) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_offhook"));
        command
            .args(["serve", "--listen", &self.address, "--data"])
            .arg(self.data());
        for setting in &self.settings {
            command.args(["--set", setting]);
        }
        let mut process = command
            .stdout(Stdio::piped())
            .spawn()
            .expect("the server starts");
        let stdout = process.stdout.take().expect("stdout");
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).expect("a line");
        let address = line
            .trim()
            .strip_prefix("listening on ")
            .expect("the address");
        self.address = address.to_owned();
        self.process = Some(process);
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        let mut process = self.process.take().expect("a running server");
        process.kill().expect("killed");
        process.wait().expect("gone");
    }

    pub fn address(&self) -> &str {
        &self.address
    }

    pub fn data(&self) -> PathBuf {
        self.dir.path().join("server")
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A device of that user, connected.
    pub async fn device(&self, user: &str, name: &str) -> Device {
        let mut device = self.offline_device(user, name);
        device.connected().await;
        device
    }

    /// A device of that user, which may not have connected yet.
    pub fn offline_device(&self, user: &str, name: &str) -> Device {
        let path = self.path(&format!("{name}.db"));
        Device::open(&self.address, &self.data().join("cert.pem"), user, &path)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// A device: an engine and what it has heard.
pub struct Device {
    pub engine: Engine,
    pub user: String,
    events: Events,
    heard: Vec<Event>,
}

impl Device {
    fn open(address: &str, certificate: &Path, user: &str, database: &Path) -> Self {
        let config = Config {
            roots: Roots::Pem(certificate.to_owned()),
            ..Config::new(address, user, database)
        };
        let engine = Engine::open(config).expect("the engine opens");
        let events = engine.events();
        Self {
            engine,
            user: user.to_owned(),
            events,
            heard: Vec::new(),
        }
    }

    /// Waits until the server has taken the login.
    pub async fn connected(&mut self) {
        let deadline = tokio::time::Instant::now() + SOON;
        loop {
            let status = self.engine.status().await.expect("a status");
            if status.connection == offhook::ConnectionState::Connected {
                return;
            }
            assert!(
                tokio::time::Instant::now() < deadline,
                "{}: {status:?}",
                self.user
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// The next event about a call.
    pub async fn hears(&mut self) -> CallEvent {
        loop {
            let next = tokio::time::timeout(SOON, self.events.next()).await;
            let event =
                next.unwrap_or_else(|_| panic!("{} hears nothing: {:#?}", self.user, self.heard));
            let event = event.expect("the engine is open").expect("not behind");
            self.heard.push(event.clone());
            if let EventKind::Call(event) = event.kind {
                return event;
            }
        }
    }

    /// Waits for an event of that name; what comes before it must be of the skippable kind.
    pub async fn hears_named(&mut self, name: &str) -> CallEvent {
        loop {
            let event = self.hears().await;
            if event.name() == name {
                return event;
            }
            assert_eq!(
                event.name(),
                "callUserStateChanged",
                "{} waits for {name}: {event:?}",
                self.user
            );
        }
    }

    /// Waits until it has heard that that user is in that state.
    pub async fn hears_state(&mut self, user: &str, state: UserState) {
        loop {
            if let CallEvent::UserStateChanged { call_user_list, .. } = self.hears().await
                && call_user_list
                    .iter()
                    .any(|one| one.user_id.as_str() == user && one.state == state)
            {
                return;
            }
        }
    }

    /// Waits until it is rung, and gives the call.
    pub async fn is_rung(&mut self) -> CallId {
        self.hears_named("callInvitationReceived")
            .await
            .call_id()
            .clone()
    }
}
