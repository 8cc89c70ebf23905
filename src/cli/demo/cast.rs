//! The devices: each an engine with a database of its own.
//!
//! A device hears its events strictly in order: what comes while something else is awaited ends
//! the demo. Nothing waits longer than [`STEP_WITHIN`], and nothing sleeps.

use std::collections::VecDeque;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::timeout;

use super::expect::{Expected, Judged};
use super::tell::Role;
use crate::call::{CallEvent, CallId};
use crate::cli::failure::Failure;
use crate::client::config::Config;
use crate::client::engine::Engine;
use crate::client::event::{ConnectionState, Event, EventKind};
use crate::client::result::CommandHandle;
use crate::client::store::{CallEntry, Page};
use crate::client::subscription::{Changes, Events};
use crate::error::Error;

/// How long the demo waits for any one thing. Far more than a slow machine needs.
const STEP_WITHIN: Duration = Duration::from_secs(15);
/// Most events of a device that the demo looks back on.
const LOOK_BACK_MAX: usize = 100;
/// More than the demo makes calls.
const PAGE_CALLS: usize = 20;

/// A device of the story.
pub struct Device {
    /// Whose, and which.
    pub role: Role,
    /// What an app would hold.
    pub engine: Engine,
    config: Config,
    events: Events,
    unheard: VecDeque<CallEvent>,
    position: u64,
    connected: bool,
    on: bool,
}

impl Device {
    /// Opens a device; it begins to connect.
    pub fn open(role: Role, config: Config) -> Result<Self, Failure> {
        let engine = open(role, config.clone())?;
        let events = engine.events();
        Ok(Self {
            role,
            engine,
            config,
            events,
            unheard: VecDeque::new(),
            position: 0,
            connected: false,
            on: true,
        })
    }

    /// Its database.
    pub fn database(&self) -> &Path {
        &self.config.database
    }

    /// Its database's name in the folder of the demo.
    pub fn file_name(&self) -> String {
        PathBuf::from(self.role.name)
            .with_extension("db")
            .display()
            .to_string()
    }

    /// Closes the app, as a phone that is switched off.
    pub async fn switch_off(&mut self) -> Result<(), Failure> {
        let closed = self.engine.close();
        self.in_time("the engine to close", closed)
            .await?
            .map_err(|error| self.failed("could not close its engine", &error))?;
        self.connected = false;
        self.on = false;
        Ok(())
    }

    /// Opens the app again, on the same database.
    pub async fn switch_on(&mut self) -> Result<(), Failure> {
        self.engine = open(self.role, self.config.clone())?;
        self.events = self.engine.events();
        self.on = true;
        self.connection().await
    }

    /// Whether it is open.
    pub fn is_on(&self) -> bool {
        self.on
    }

    /// Takes the network away.
    pub async fn lose_network(&mut self) -> Result<(), Failure> {
        self.set_network(false).await?;
        let state = self.state().await?;
        if state == ConnectionState::Connected {
            return Err(self.came("to be without a connection", "is Connected"));
        }
        self.connected = false;
        Ok(())
    }

    /// Gives the network back.
    pub async fn regain_network(&mut self) -> Result<(), Failure> {
        self.set_network(true).await
    }

    /// Waits until the server has taken the login. Events of calls that come before are kept.
    pub async fn connection(&mut self) -> Result<(), Failure> {
        // It may have been made before the events were listened to.
        if self.state().await? == ConnectionState::Connected {
            self.connected = true;
        }
        while !self.connected {
            self.take_event("a connection").await?;
        }
        Ok(())
    }

    /// Waits for a command to be on disk and for the server's verdict.
    pub async fn verdict<T: Send + 'static>(
        &self,
        command: &str,
        handle: CommandHandle<T>,
    ) -> Result<T, Failure> {
        self.in_time(&format!("the verdict of {command}"), async { handle.await })
            .await?
            .map_err(|error| self.failed(&format!("was to be granted {command}"), &error))
    }

    /// What the engine gave, or why the demo ends.
    pub fn given<T>(&self, what: &str, result: Result<T, Error>) -> Result<T, Failure> {
        result.map_err(|error| self.failed(&format!("was to give {what}"), &error))
    }

    /// Waits for the next event of a call, which must be this one of that call.
    pub async fn hears(&mut self, call: &CallId, expected: Expected) -> Result<CallEvent, Failure> {
        loop {
            let event = self.next(&format!("{expected} of call {call}")).await?;
            match expected.judge(call, &event) {
                Judged::Met => return Ok(event),
                Judged::OnTheWay => {}
                Judged::Other => {
                    return Err(self.came(
                        &format!("to hear {expected} of call {call}"),
                        &format!("heard {}", in_words(&event)),
                    ));
                }
            }
        }
    }

    /// Where the device is in its journal.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The events of calls that its journal has after a position.
    pub async fn journal_since(&self, position: u64) -> Result<Vec<CallEvent>, Failure> {
        let (events, _) = self
            .engine
            .events_since(position, LOOK_BACK_MAX)
            .await
            .map_err(|error| self.failed("was to read its journal", &error))?;
        Ok(events.into_iter().filter_map(call_event).collect())
    }

    /// Makes sure that the journal has nothing that was not awaited.
    pub async fn has_heard_all(&self) -> Result<(), Failure> {
        let later = self.journal_since(self.position).await?;
        match self.unheard.front().or(later.first()) {
            None => Ok(()),
            Some(event) => Err(self.came(
                "to hear nothing more",
                &format!("heard {}", in_words(event)),
            )),
        }
    }

    /// The first page of its calls.
    pub fn page(&self) -> Result<Page, Failure> {
        self.engine
            .query_call_invitation_list(PAGE_CALLS, 0)
            .map_err(|error| self.failed("was to list its calls", &error))
    }

    /// Waits until a call in the list is so.
    pub async fn finds(
        &self,
        call: &CallId,
        how: &str,
        is_so: impl Fn(&CallEntry) -> bool,
    ) -> Result<CallEntry, Failure> {
        let mut watch: Changes = self.engine.changes();
        let mut found = None;
        let search = async {
            loop {
                found = (self.page()?.calls.into_iter()).find(|entry| &entry.call.id == call);
                if found.as_ref().is_some_and(&is_so) || !watch.changed().await {
                    return Ok(());
                }
            }
        };
        let searched = timeout(STEP_WITHIN, search).await.unwrap_or(Ok(()));
        searched?;
        match found {
            Some(entry) if is_so(&entry) => Ok(entry),
            other => Err(self.came(
                &format!("to find call {call} in its list, {how}"),
                &match other {
                    Some(entry) => format!(
                        "found it {}, missed: {}, with {}",
                        entry.call.state,
                        entry.missed,
                        members(&entry)
                    ),
                    None => "has no such call".to_owned(),
                },
            )),
        }
    }

    /// Why the demo ends: what was expected of this device, and what came instead.
    pub fn came(&self, expected: &str, instead: &str) -> Failure {
        Failure::new(format_args!(
            "{} was {expected}, but {instead}",
            self.role.label
        ))
    }

    fn failed(&self, what: &str, error: &Error) -> Failure {
        Failure::new(format_args!("{} {what}: {error}", self.role.label))
    }

    async fn set_network(&self, online: bool) -> Result<(), Failure> {
        self.engine
            .set_network(online)
            .await
            .map_err(|error| self.failed("was to change its network", &error))
    }

    async fn state(&self) -> Result<ConnectionState, Failure> {
        let status = self.given("its status", self.engine.status().await)?;
        Ok(status.connection)
    }

    async fn next(&mut self, awaited: &str) -> Result<CallEvent, Failure> {
        loop {
            if let Some(event) = self.unheard.pop_front() {
                return Ok(event);
            }
            self.take_event(awaited).await?;
        }
    }

    async fn take_event(&mut self, awaited: &str) -> Result<(), Failure> {
        let Ok(next) = timeout(STEP_WITHIN, self.events.next()).await else {
            return Err(self.too_late(awaited));
        };
        let event = match next {
            Some(Ok(event)) => event,
            Some(Err(lagged)) => {
                return Err(self.came(&format!("waiting for {awaited}"), &lagged.to_string()));
            }
            None => {
                return Err(self.came(&format!("waiting for {awaited}"), "its engine closed"));
            }
        };
        self.position = event.position.unwrap_or(self.position);
        match event.kind {
            EventKind::Call(event) => self.unheard.push_back(event),
            EventKind::ConnectionStateChanged(change) => {
                self.connected = change.state == ConnectionState::Connected;
            }
            EventKind::CommandSettled(settled) => {
                return Err(self.came(
                    &format!("waiting for {awaited}"),
                    &format!("a verdict came that nobody had asked for: {settled:?}"),
                ));
            }
            EventKind::TokenWillExpire { .. } | EventKind::DatabaseSetAside(_) => {}
        }
        Ok(())
    }

    async fn in_time<T>(
        &self,
        awaited: &str,
        future: impl Future<Output = T>,
    ) -> Result<T, Failure> {
        timeout(STEP_WITHIN, future)
            .await
            .map_err(|_| self.too_late(awaited))
    }

    fn too_late(&self, awaited: &str) -> Failure {
        self.came(
            &format!("waiting for {awaited}"),
            &format!("nothing came within {} s", STEP_WITHIN.as_secs()),
        )
    }
}

fn open(role: Role, config: Config) -> Result<Engine, Failure> {
    Engine::open(config).map_err(|error| {
        Failure::new(format_args!(
            "{} could not open its engine: {error}",
            role.label
        ))
    })
}

fn call_event(event: Event) -> Option<CallEvent> {
    match event.kind {
        EventKind::Call(event) => Some(event),
        EventKind::CommandSettled(_)
        | EventKind::ConnectionStateChanged(_)
        | EventKind::TokenWillExpire { .. }
        | EventKind::DatabaseSetAside(_) => None,
    }
}

fn in_words(event: &CallEvent) -> String {
    match serde_json::to_string(event) {
        Ok(text) => text,
        Err(_) => format!("{} of call {}", event.name(), event.call_id()),
    }
}

fn members(entry: &CallEntry) -> String {
    let states: Vec<String> = (entry.call.members.iter())
        .map(|member| format!("{} {}", member.user, member.state))
        .collect();
    states.join(", ")
}
