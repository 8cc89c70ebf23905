//! What every scenario needs: a server process, devices, and waiting for what they hear.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use offhook::{
    Answered, CallEntry, CallEvent, CallId, CallingInviteOptions, CallingInvited, Cancelled, Code,
    CommandOptions, Config, ConnectionState, DeviceId, Engine, Error, Event, EventKind, Events,
    HasEnded, HasQuit, InviteOptions, Invited, Joined, Mode, Roots, UserState,
};
use tempfile::TempDir;

use crate::story::Story;

/// How long something may take that is expected to happen at once. Generous: it only bounds how
/// long a failing test takes.
pub const SOON: Duration = Duration::from_secs(20);

/// The user who rings everybody so that it shows what they have heard by then.
const MARKER: &str = "marker";

/// Most invitees of one command.
const INVITEES_MAX: usize = 9;

/// A folder with a server's data and the databases of devices.
pub struct World {
    dir: TempDir,
    arguments: Vec<String>,
    key: Option<PathBuf>,
    address: String,
    process: Option<Child>,
    marker: Option<Device>,
}

impl World {
    /// A server with the default settings.
    pub fn new() -> Self {
        Self::with(&[])
    }

    /// A server with some settings changed, as `KEY=VALUE`.
    pub fn with(settings: &[&str]) -> Self {
        let mut world = Self::stopped();
        for setting in settings {
            world.arguments.push("--set".to_owned());
            world.arguments.push((*setting).to_owned());
        }
        world.start();
        world
    }

    /// A server that wants tokens; devices come with one.
    pub fn with_tokens() -> Self {
        let mut world = Self::stopped();
        let key = world.path("auth.key");
        run(offhook().arg("keygen").arg(&key));
        let public = world.path("auth.key.pub");
        world.arguments.push("--jwt-key".to_owned());
        world
            .arguments
            .push(public.to_str().expect("a plain path").to_owned());
        world.key = Some(key);
        world.start();
        world
    }

    fn stopped() -> Self {
        Self {
            dir: tempfile::tempdir().expect("a folder"),
            arguments: Vec::new(),
            key: None,
            address: "127.0.0.1:0".to_owned(),
            process: None,
            marker: None,
        }
    }

    /// Starts the server, at the address it had before.
    pub fn start(&mut self) {
        let log = File::options().create(true).append(true).open(self.log());
        let mut process = offhook()
            .args(["serve", "--listen", &self.address, "--data"])
            .arg(self.data())
            .args(&self.arguments)
            .stdout(Stdio::piped())
            .stderr(log.expect("a log"))
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

    fn log(&self) -> PathBuf {
        self.path("server.log")
    }

    pub fn data(&self) -> PathBuf {
        self.dir.path().join("server")
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A token for that user, good for so many seconds.
    pub fn token(&self, user: &str, ttl: i64) -> String {
        let key = self.key.as_ref().expect("a world with tokens");
        run(offhook()
            .args(["token", "--user", user, "--ttl", &ttl.to_string()])
            .arg("--jwt-key")
            .arg(key))
    }

    /// What a device of that user is opened with.
    pub fn config(&self, user: &str, name: &str) -> Config {
        Config {
            roots: Roots::Pem(self.data().join("cert.pem")),
            token: self.key.as_ref().map(|_| self.token(user, 3_600)),
            ..Config::new(&self.address, user, self.path(&format!("{name}.db")))
        }
    }

    /// A device of that user, connected.
    pub async fn device(&self, user: &str, name: &str) -> Device {
        let mut device = self.offline_device(user, name);
        device.connected().await;
        device
    }

    /// A device of that user, which may not have connected yet.
    pub fn offline_device(&self, user: &str, name: &str) -> Device {
        Device::open(self.config(user, name))
    }

    /// A connected device each, named as their users.
    pub async fn devices<const N: usize>(&self, users: [&str; N]) -> [Device; N] {
        let mut devices = users.map(|user| self.offline_device(user, user));
        for device in &mut devices {
            device.connected().await;
        }
        devices
    }

    /// Two connected devices of a user.
    pub async fn two_devices(&self, user: &str) -> (Device, Device) {
        let first = self.device(user, &format!("{user}-1")).await;
        let second = self.device(user, &format!("{user}-2")).await;
        (first, second)
    }

    /// Asserts what each device has heard since it was asked last, and that it was nothing else:
    /// each is rung by somebody, and that ring comes after whatever else there was to hear. How a
    /// story is written is in [`Story`].
    pub async fn heard(&mut self, stories: &mut [(&mut Device, &str)]) {
        let mut users: Vec<String> = stories.iter().map(|(one, _)| one.user.clone()).collect();
        users.sort();
        users.dedup();
        for users in users.chunks(INVITEES_MAX) {
            self.mark(users, stories).await;
        }
        for (device, story) in stories {
            device.told(story);
        }
    }

    async fn mark(&mut self, users: &[String], stories: &mut [(&mut Device, &str)]) {
        let marker = match self.marker.take() {
            Some(marker) => marker,
            None => self.device(MARKER, MARKER).await,
        };
        let names: Vec<&str> = users.iter().map(String::as_str).collect();
        let call = marker.invite(&names, general()).await.unwrap().call_id;
        for (device, _) in stories.iter_mut() {
            if users.contains(&device.user) {
                device.hears_marker(&call).await;
            }
        }
        marker.cancel(&[], &call).await.unwrap();
        self.marker = Some(marker);
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.log()).unwrap_or_default();
            eprintln!("the server said:\n{log}");
        }
    }
}

/// The program.
pub fn offhook() -> Command {
    Command::new(env!("CARGO_BIN_EXE_offhook"))
}

/// Runs it, and gives what it prints.
fn run(command: &mut Command) -> String {
    let output = command.output().expect("it runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let text = String::from_utf8(output.stdout).expect("text");
    text.trim().to_owned()
}

pub fn general() -> InviteOptions {
    InviteOptions::default()
}

pub fn advanced() -> InviteOptions {
    of(Mode::Advanced)
}

pub fn of(mode: Mode) -> InviteOptions {
    InviteOptions {
        mode,
        ..InviteOptions::default()
    }
}

/// Rings for so many seconds only.
pub fn brief(mode: Mode, timeout_s: u32) -> InviteOptions {
    InviteOptions {
        timeout_s,
        ..of(mode)
    }
}

pub fn data(text: &str) -> CommandOptions {
    CommandOptions {
        extended_data: text.to_owned(),
        push: None,
    }
}

/// A refusal with that code and reason.
pub fn refused<T: std::fmt::Debug>(result: Result<T, Error>, code: Code, reason: &str) -> Error {
    let error = result.expect_err("it is refused");
    assert_eq!(
        (error.code, error.reason.as_str()),
        (code, reason),
        "{error}"
    );
    error
}

/// A device: an engine and what it has heard.
pub struct Device {
    pub engine: Engine,
    pub user: String,
    config: Config,
    events: Events,
    heard: Vec<Event>,
    /// How much of it [`Device::told`] has looked at.
    told: usize,
    /// What it has been told of where everybody stands.
    known: BTreeMap<(CallId, String), UserState>,
    /// Calls of the marker.
    markers: BTreeSet<CallId>,
    /// Connection states, in order.
    connections: Vec<ConnectionState>,
}

impl Device {
    pub fn open(config: Config) -> Self {
        let engine = Engine::open(config.clone()).expect("the engine opens");
        let events = engine.events();
        Self {
            engine,
            user: config.user.clone(),
            config,
            events,
            heard: Vec::new(),
            told: 0,
            known: BTreeMap::new(),
            markers: BTreeSet::new(),
            connections: Vec::new(),
        }
    }

    /// Closes the engine and opens the same file again, as an app that is started again.
    pub async fn reopened(self) -> Self {
        let config = self.closed().await;
        Self::open(config)
    }

    /// Closes the engine; what it can be opened again with.
    pub async fn closed(self) -> Config {
        self.engine.close().await.expect("closed");
        self.config
    }

    pub fn database(&self) -> &Path {
        self.engine.database()
    }

    pub async fn id(&self) -> DeviceId {
        self.engine.status().await.expect("a status").device_id
    }

    /// Waits until the server has taken the login.
    pub async fn connected(&mut self) {
        self.is(ConnectionState::Connected).await;
    }

    /// Waits until the connection is in that state.
    pub async fn is(&mut self, state: ConnectionState) {
        let mut look_again = tokio::time::interval(Duration::from_millis(5));
        let deadline = tokio::time::Instant::now() + SOON;
        loop {
            let status = self.engine.status().await.expect("a status");
            if status.connection == state {
                return;
            }
            let in_time = tokio::time::Instant::now() < deadline;
            assert!(in_time, "{} is not {state:?}: {status:?}", self.user);
            look_again.tick().await;
        }
    }

    /// Whether the connection was ever lost, as far as was heard.
    pub fn lost_the_connection(&self) -> bool {
        self.connections.contains(&ConnectionState::Reconnecting)
    }

    /// The next event of any kind.
    async fn next(&mut self) -> Event {
        let next = tokio::time::timeout(SOON, self.events.next()).await;
        let event =
            next.unwrap_or_else(|_| panic!("{} hears nothing: {:#?}", self.user, self.heard));
        let event = event.expect("the engine is open").expect("not behind");
        self.heard.push(event.clone());
        match &event.kind {
            EventKind::Call(call) => self.learn(call),
            EventKind::ConnectionStateChanged(change) => self.connections.push(change.state),
            EventKind::CommandSettled(_)
            | EventKind::TokenWillExpire { .. }
            | EventKind::DatabaseSetAside(_) => {}
        }
        event
    }

    /// Notes where everybody stands.
    fn learn(&mut self, event: &CallEvent) {
        if let CallEvent::Received {
            caller, call_id, ..
        } = event
            && caller.as_str() == MARKER
        {
            self.markers.insert(call_id.clone());
        }
        let users = match event {
            CallEvent::Created { call_user_list, .. }
            | CallEvent::Received { call_user_list, .. }
            | CallEvent::UserStateChanged { call_user_list, .. } => call_user_list,
            _ => return,
        };
        for one in users {
            let key = (event.call_id().clone(), one.user_id.to_string());
            self.known.insert(key, one.state);
        }
    }

    /// Waits for an event that fits.
    pub async fn hears(&mut self, fits: impl Fn(&EventKind) -> bool) -> EventKind {
        loop {
            let event = self.next().await;
            if fits(&event.kind) {
                return event.kind;
            }
        }
    }

    /// Waits for an event of that name about that call.
    pub async fn hears_of(&mut self, call: &CallId, name: &str) -> CallEvent {
        let event = self
            .hears(|kind| match kind {
                EventKind::Call(event) => event.call_id() == call && event.name() == name,
                _ => false,
            })
            .await;
        let EventKind::Call(event) = event else {
            unreachable!("it is about a call");
        };
        event
    }

    async fn hears_marker(&mut self, call: &CallId) {
        self.hears_of(call, "callInvitationReceived").await;
    }

    /// Waits until it has been told that that user is in that state.
    pub async fn sees(&mut self, call: &CallId, user: &str, state: UserState) {
        let key = (call.clone(), user.to_owned());
        while self.known.get(&key) != Some(&state) {
            self.next().await;
        }
    }

    /// Waits until it is rung by that call, and until it has been told that it has received it.
    pub async fn is_rung(&mut self, call: &CallId) -> CallEvent {
        let event = self.hears_of(call, "callInvitationReceived").await;
        let user = self.user.clone();
        self.sees(call, &user, UserState::Received).await;
        event
    }

    /// What was heard since it was asked last, except of the marker.
    pub fn heard_since(&mut self) -> Vec<CallEvent> {
        let new = self.heard.get(self.told..).unwrap_or_default();
        let events = new.iter().filter_map(|event| match &event.kind {
            EventKind::Call(event) if !self.markers.contains(event.call_id()) => {
                Some(event.clone())
            }
            _ => None,
        });
        let events = events.collect();
        self.told = self.heard.len();
        events
    }

    fn told(&mut self, story: &str) {
        let events = self.heard_since();
        Story::of(&events).assert_is(&self.user, story);
    }

    /// Everybody's state in a call, as the list has it, in its order.
    pub fn states(&self, call: &CallId) -> Vec<(String, UserState)> {
        let entry = self.entry(call);
        let users = entry.call.users();
        let states = users.iter().map(|one| (one.user_id.to_string(), one.state));
        states.collect()
    }

    /// That user's state in a call, as the list has it.
    pub fn state_of(&self, call: &CallId, user: &str) -> UserState {
        let states = self.states(call);
        let state = states.iter().find(|(name, _)| name == user);
        state
            .unwrap_or_else(|| panic!("{user} is not in {states:?}"))
            .1
    }

    /// A call of the list.
    pub fn entry(&self, call: &CallId) -> CallEntry {
        let page = self.engine.query_call_invitation_list(100, 0).unwrap();
        let entry = page.calls.into_iter().find(|one| &one.call.id == call);
        entry.unwrap_or_else(|| panic!("{call} is not in the list of {}", self.user))
    }

    /// Waits until the list has that of the call.
    pub async fn lists(&mut self, call: &CallId, fits: impl Fn(&CallEntry) -> bool) -> CallEntry {
        let mut watch = self.engine.changes();
        let found = tokio::time::timeout(SOON, async {
            loop {
                let page = self.engine.query_call_invitation_list(100, 0).unwrap();
                let entry = page.calls.into_iter().find(|one| &one.call.id == call);
                if let Some(entry) = entry.filter(|entry| fits(entry)) {
                    return entry;
                }
                assert!(watch.changed().await, "the engine is closed");
            }
        });
        let found = found.await;
        found.unwrap_or_else(|_| panic!("the list of {} has no such {call}", self.user))
    }
}

/// The commands, with their verdicts.
impl Device {
    pub async fn invite(
        &self,
        invitees: &[&str],
        options: InviteOptions,
    ) -> Result<Invited, Error> {
        self.engine.call_invite(invitees, options).await?.await
    }

    pub async fn cancel(&self, invitees: &[&str], call: &CallId) -> Result<Cancelled, Error> {
        self.cancel_with(invitees, call, "").await
    }

    pub async fn cancel_with(
        &self,
        invitees: &[&str],
        call: &CallId,
        text: &str,
    ) -> Result<Cancelled, Error> {
        let given = self.engine.call_cancel(invitees, call, data(text)).await?;
        given.await
    }

    pub async fn accept(&self, call: &CallId) -> Result<Answered, Error> {
        self.engine.call_accept(call, data("")).await?.await
    }

    pub async fn reject(&self, call: &CallId) -> Result<Answered, Error> {
        self.engine.call_reject(call, data("")).await?.await
    }

    pub async fn invite_more(
        &self,
        invitees: &[&str],
        call: &CallId,
    ) -> Result<CallingInvited, Error> {
        let options = CallingInviteOptions::default();
        let given = self.engine.calling_invite(invitees, call, options).await?;
        given.await
    }

    pub async fn join(&self, call: &CallId) -> Result<Joined, Error> {
        self.engine.call_join(call, data("")).await?.await
    }

    pub async fn quit(&self, call: &CallId) -> Result<HasQuit, Error> {
        self.engine.call_quit(call, data("")).await?.await
    }

    pub async fn end(&self, call: &CallId) -> Result<HasEnded, Error> {
        self.engine.call_end(call, data("")).await?.await
    }

    /// Invites, and waits until all the devices named ring and the caller has been told so.
    pub async fn rings(&mut self, options: InviteOptions, devices: &mut [&mut Device]) -> CallId {
        let mut users: Vec<&str> = Vec::new();
        for device in devices.iter() {
            if !users.contains(&device.user.as_str()) {
                users.push(&device.user);
            }
        }
        let call = self.invite(&users, options).await.unwrap().call_id;
        for device in devices.iter_mut() {
            device.is_rung(&call).await;
            self.sees(&call, &device.user, UserState::Received).await;
        }
        call
    }
}
