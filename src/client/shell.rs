//! What is around the core: its thread, the channel into it, and who gets what it tells.
//!
//! One thread owns the core and does one thing at a time: what an app asks, what the link says,
//! what time brings. After each, the core's effects are carried out in their order. Everything
//! comes through one channel, so what is asked first is done first. It is bounded at its ends: who
//! asks waits for a permit without holding a thread, the link waits in its own queue.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::clock::{Now, boot, now};
use super::config::{Config, Memory};
use super::core::{
    Core, CoreSettings, Effect, Entropy, LOOK_EVERY_MS, Submission, Submitted, TokenWanted,
};
use super::event::{Event, EventKind};
use super::link::{LinkConfig, QuicLink};
use super::store::Store;
use super::subscription::{Events, Subscribers, Watch};
use super::token::TokenRequest;
use super::transport::{LinkCommand, LinkEvent, Transport};
use crate::call::{DeviceId, Op, Outcome, UserId};
use crate::error::{Code, Error};

/// Requests that wait for the core, and as many frames.
const INPUTS_MAX: usize = 1_024;
/// The same, of an engine that is to take little memory.
const INPUTS_LOW_MAX: usize = 64;
/// The core looks at the clock at least this often: the thread's own timer does not count sleep.
const WAKE_MAX: Duration = Duration::from_secs(10);
/// How long the end of a connection may take to reach the server.
const LAST_WORDS_MAX: Duration = Duration::from_millis(1_500);
/// Inputs taken before effects are carried out and timers looked at.
const INPUTS_AT_ONCE: usize = 64;

/// A waiting caller of a command.
pub(super) type Waiter = oneshot::Sender<Result<Outcome, Error>>;
type Work = Box<dyn FnOnce(&mut Running) + Send>;
/// Tells a caller that what they asked for is done.
type Done = oneshot::Sender<Result<(), Error>>;

enum Input {
    Work(Work, OwnedSemaphorePermit),
    /// The next one of the link's queue.
    Link,
    /// These verdicts were handed to who waited for them.
    Taken,
    Token {
        request: u64,
        given: Result<String, String>,
    },
    Stop(oneshot::Sender<Result<(), Error>>),
}

/// The way into the core's thread.
#[derive(Clone)]
pub(super) struct Shell {
    inputs: Sender<Input>,
    room: Arc<Semaphore>,
    shared: Arc<Shared>,
    /// Ends the thread when the last handle is dropped.
    _last: Arc<LastHandle>,
}

struct LastHandle {
    inputs: Sender<Input>,
    shared: Arc<Shared>,
}

impl Drop for LastHandle {
    fn drop(&mut self) {
        self.shared.abandoned.store(true, Ordering::Release);
        let (done, _) = oneshot::channel();
        // Without a thread there is nothing left to end.
        let _ = self.inputs.send(Input::Stop(done));
    }
}

/// What handles and the core's thread share.
pub(super) struct Shared {
    subscribers: Subscribers,
    open: AtomicBool,
    /// Nobody holds the engine any more. The channel does not tell: the link has an end of it, too.
    abandoned: AtomicBool,
    database: PathBuf,
    /// Positions of verdicts that were handed over.
    taken: Mutex<Vec<u64>>,
}

impl Shared {
    pub fn subscribe(&self) -> Events {
        self.subscribers.subscribe()
    }

    pub fn watch(&self) -> Watch {
        self.subscribers.watch()
    }

    pub fn database(&self) -> &Path {
        &self.database
    }

    pub fn fresh_op(&self) -> Op {
        Op::trusted(
            uuid::Builder::from_random_bytes(random_bytes())
                .into_uuid()
                .simple()
                .to_string(),
        )
    }

    fn taken(&self) -> MutexGuard<'_, Vec<u64>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn check_open(&self) -> Result<(), Error> {
        if self.open.load(Ordering::Acquire) {
            Ok(())
        } else {
            Err(closed())
        }
    }
}

/// What the core's thread owns.
struct Running {
    inputs: Receiver<Input>,
    /// What the link has to say.
    from_link: Receiver<LinkEvent>,
    /// For what works beside the core's thread and has something to say to it.
    from_beside: Sender<Input>,
    /// What came while the end of a connection was waited for.
    postponed: VecDeque<Input>,
    /// The attempt that the link is busy with.
    attempt: Option<u64>,
    core: Option<Core>,
    /// When the core looks at the file again, on the clock of `Now::mono_ms`.
    next_look: i64,
    /// Up to where the journal was told when the engine was paused.
    told: Option<u64>,
    config: Config,
    /// Whether the user was logged out when the engine was paused.
    logged_out: bool,
    user: UserId,
    link: QuicLink,
    shared: Arc<Shared>,
    waiters: BTreeMap<Op, Waiter>,
    /// Who waits for their token to be taken, in the order in which they were given.
    renewing: VecDeque<Done>,
    logging_out: Vec<Done>,
    token_request: Option<TokenRequest>,
}

impl Shell {
    /// Starts the core's thread; the stream that it gives begins before anything is told.
    pub fn start(config: Config, user: UserId) -> Result<(Self, Arc<Shared>, Events), Error> {
        let core = open_core(&config, &user)?;
        let room = match config.memory {
            Memory::Normal => INPUTS_MAX,
            Memory::Low => INPUTS_LOW_MAX,
        };
        let (inputs, receiver) = channel();
        let (frames, from_link) = sync_channel(room);
        let of_link = inputs.clone();
        let mut link_config = LinkConfig::new(config.server.clone(), config.roots.clone());
        link_config.server_name.clone_from(&config.server_name);
        link_config.memory = config.memory;
        let link = QuicLink::start(
            link_config,
            Box::new(move |event| {
                // Blocking holds the server back while the core is busy; without a core, nobody is
                // left to hear.
                let _ = frames.send(event);
                let _ = of_link.send(Input::Link);
            }),
        )?;
        let shared = Arc::new(Shared {
            subscribers: Subscribers::default(),
            open: AtomicBool::new(true),
            abandoned: AtomicBool::new(false),
            database: config.database.clone(),
            taken: Mutex::default(),
        });
        let running = Running {
            inputs: receiver,
            from_link,
            from_beside: inputs.clone(),
            postponed: VecDeque::new(),
            attempt: None,
            core: Some(core),
            next_look: i64::MIN,
            told: None,
            config,
            logged_out: false,
            user,
            link,
            shared: shared.clone(),
            waiters: BTreeMap::new(),
            renewing: VecDeque::new(),
            logging_out: Vec::new(),
            token_request: None,
        };
        let events = shared.subscribe();
        // Not joined by anybody: `close` waits for its work, and a dropped engine for nothing.
        std::thread::Builder::new()
            .name("offhook-core".into())
            .spawn(move || running.run())
            .map_err(|error| {
                Error::new(
                    Code::Internal,
                    "thread",
                    format!("no thread can be started: {error}"),
                )
            })?;
        let last = LastHandle {
            inputs: inputs.clone(),
            shared: Arc::clone(&shared),
        };
        Ok((
            Self {
                inputs,
                room: Arc::new(Semaphore::new(room)),
                shared: Arc::clone(&shared),
                _last: Arc::new(last),
            },
            shared,
            events,
        ))
    }

    /// Has something done on the core's thread, and waits for what it gives.
    pub async fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Core, Now) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        self.run(move |running| match &mut running.core {
            Some(core) => work(core, now()),
            None => Err(closed()),
        })
        .await
    }

    /// The verdict at that position was handed over.
    pub fn verdict_taken(&self, position: u64) {
        let mut taken = self.shared.taken();
        taken.push(position);
        // One word for all that gather until the core hears it.
        if taken.len() == 1 {
            // Without a thread the engine is closed, and there is nothing left to tell.
            let _ = self.inputs.send(Input::Taken);
        }
    }

    pub async fn submit(
        &self,
        given: Submission,
        waiter: Option<Waiter>,
    ) -> Result<Submitted, Error> {
        self.run(move |running| running.submit(given, waiter)).await
    }

    pub async fn renew_token(&self, token: String) -> Result<(), Error> {
        let (done, renewed) = oneshot::channel();
        self.run(move |running| {
            let core = running.core.as_mut().ok_or_else(closed)?;
            core.renew_token(now(), token);
            running.renewing.push_back(done);
            Ok(())
        })
        .await?;
        renewed.await.unwrap_or_else(|_| Err(closed()))
    }

    pub async fn logout(&self) -> Result<(), Error> {
        let (done, logged_out) = oneshot::channel();
        self.run(move |running| {
            let core = running.core.as_mut().ok_or_else(closed)?;
            core.logout(now());
            running.logging_out.push(done);
            Ok(())
        })
        .await?;
        logged_out.await.unwrap_or_else(|_| Err(closed()))
    }

    pub async fn pause(&self, deadline: Duration) -> Result<(), Error> {
        let until = Instant::now() + deadline;
        self.run(move |running| running.pause(until)).await
    }

    pub async fn resume(&self) -> Result<(), Error> {
        self.run(Running::resume).await
    }

    pub async fn close(&self) -> Result<(), Error> {
        let (done, closed) = oneshot::channel();
        let room = self.room().await;
        if room.is_err() || self.inputs.send(Input::Stop(done)).is_err() {
            return Ok(());
        }
        closed.await.unwrap_or(Ok(()))
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Running) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let (reply, answer) = oneshot::channel();
        let work: Work = Box::new(move |running| {
            // Whoever asked may have gone; what was done is done.
            let _ = reply.send(work(running));
        });
        let room = self.room().await?;
        let sent = self.inputs.send(Input::Work(work, room));
        sent.map_err(|_| closed())?;
        answer.await.unwrap_or_else(|_| Err(closed()))
    }

    /// The right to one place among what waits for the core.
    async fn room(&self) -> Result<OwnedSemaphorePermit, Error> {
        let room = Arc::clone(&self.room).acquire_owned().await;
        room.map_err(|_| closed())
    }
}

impl Running {
    fn run(mut self) {
        if let Some(core) = &mut self.core {
            core.start(now());
        }
        self.carry_out();
        loop {
            let mut next = match self.next_input(self.patience()) {
                Ok(input) => Some(input),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return self.stop(None),
            };
            for _ in 0..INPUTS_AT_ONCE {
                match next {
                    Some(Input::Work(work, room)) => {
                        drop(room);
                        work(&mut self);
                    }
                    Some(Input::Link) => self.handle_link(),
                    Some(Input::Taken) => self.verdicts_taken(),
                    Some(Input::Token { request, given }) => self.handle_token(request, given),
                    Some(Input::Stop(done)) => return self.stop(Some(done)),
                    None => break,
                }
                self.carry_out();
                if self.shared.abandoned.load(Ordering::Acquire) {
                    return self.stop(None);
                }
                next = self.next_input(Duration::ZERO).ok();
            }
            self.postponed.extend(next);
            if let Some(core) = &mut self.core
                && let Err(error) = core.handle_timeout(now())
            {
                report(&error);
            }
            self.carry_out();
            self.look();
        }
    }

    /// Looks at what other engines on the file did, now and then.
    fn look(&mut self) {
        let now = now();
        let Some(core) = self.core.as_mut().filter(|_| self.next_look <= now.mono_ms) else {
            return;
        };
        if let Err(error) = core.look(now) {
            report(&error);
        }
        self.next_look = if core.is_behind() {
            now.mono_ms
        } else {
            now.mono_ms + LOOK_EVERY_MS
        };
        self.carry_out();
    }

    fn next_input(&mut self, patience: Duration) -> Result<Input, RecvTimeoutError> {
        match self.postponed.pop_front() {
            Some(input) => Ok(input),
            None => self.inputs.recv_timeout(patience),
        }
    }

    fn patience(&self) -> Duration {
        let now = now();
        let due = self.core.as_ref().and_then(|core| core.poll_timeout(now));
        let look = self.core.as_ref().map(|_| self.next_look);
        let due = due.into_iter().chain(look).min();
        let wait = due.map_or(WAKE_MAX, |due| {
            Duration::from_millis(u64::try_from(due.saturating_sub(now.mono_ms)).unwrap_or(0))
        });
        wait.min(WAKE_MAX)
    }

    fn verdicts_taken(&mut self) {
        let taken = std::mem::take(&mut *self.shared.taken());
        if let Some(core) = &mut self.core {
            taken.into_iter().for_each(|one| core.verdict_taken(one));
        }
    }

    fn handle_link(&mut self) {
        let Ok(event) = self.from_link.try_recv() else {
            return;
        };
        self.note_end(&event);
        if let Some(core) = &mut self.core
            && let Err(error) = core.handle_link(now(), event)
        {
            report(&error);
        }
    }

    fn note_end(&mut self, event: &LinkEvent) {
        if let LinkEvent::Down { attempt, .. } = event
            && self.attempt == Some(*attempt)
        {
            self.attempt = None;
        }
    }

    fn submit(&mut self, given: Submission, waiter: Option<Waiter>) -> Result<Submitted, Error> {
        let core = self.core.as_mut().ok_or_else(closed)?;
        let submitted = core.submit(now(), given)?;
        if let Some(waiter) = waiter {
            self.waiters.insert(submitted.op.clone(), waiter);
        }
        Ok(submitted)
    }

    /// Does what the core wants done, in its order: a verdict reaches its caller before the events
    /// that it caused reach anybody.
    fn carry_out(&mut self) {
        while let Some(effect) = self.core.as_mut().and_then(Core::poll_effect) {
            match effect {
                Effect::Link(command) => {
                    if let LinkCommand::Connect { attempt } = command {
                        self.attempt = Some(attempt);
                    }
                    self.link.command(command);
                }
                Effect::Settled { position, settled } => {
                    let waiter = self.waiters.remove(&settled.op);
                    let result = settled.result.clone();
                    if waiter.is_some_and(|waiter| waiter.send(result).is_ok()) {
                        if let Some(core) = &mut self.core {
                            core.verdict_taken(position);
                        }
                    } else {
                        let kind = EventKind::CommandSettled(settled);
                        self.publish(Event {
                            position: Some(position),
                            kind,
                        });
                    }
                }
                Effect::Event { position, event } => {
                    self.publish(Event {
                        position,
                        kind: event,
                    });
                }
                Effect::TokenRenewed(result) => {
                    if let Some(done) = self.renewing.pop_front() {
                        // Whoever asked may have gone; the token counts all the same.
                        let _ = done.send(result);
                    }
                }
                Effect::TokenWanted { request, why } => self.ask_for_token(request, why),
                Effect::TokenNotWanted { .. } => {
                    if let Some(request) = &mut self.token_request {
                        request.give_up();
                    }
                }
                Effect::LoggedOut => {
                    for done in self.logging_out.drain(..) {
                        // Whoever asked may have gone; the logout is done all the same.
                        let _ = done.send(Ok(()));
                    }
                }
            }
        }
        if self.core.as_mut().is_some_and(Core::take_changed) {
            self.shared.subscribers.tell_changed();
        }
    }

    fn ask_for_token(&mut self, request: u64, why: TokenWanted) {
        let from_beside = self.from_beside.clone();
        let answer = move |given| {
            // Without the core's thread nobody wants it any more.
            let _ = from_beside.send(Input::Token { request, given });
        };
        let is_busy = self
            .token_request
            .as_ref()
            .is_some_and(TokenRequest::is_under_way);
        let asked = match &self.config.token_provider {
            // One that blocks its thread cannot be given up.
            Some(_) if is_busy => Err("the provider is still busy with the last request".into()),
            Some(provider) => TokenRequest::start(Arc::clone(provider), why, answer),
            None => Err("there is no provider".into()),
        };
        match asked {
            Ok(asked) => self.token_request = Some(asked),
            Err(error) => self.postponed.push_back(Input::Token {
                request,
                given: Err(error),
            }),
        }
    }

    fn handle_token(&mut self, request: u64, given: Result<String, String>) {
        if let Some(core) = &mut self.core {
            core.handle_token(now(), request, given);
        }
    }

    fn publish(&self, event: Event) {
        self.shared.subscribers.tell(&event);
    }

    /// Closes the connection and the file. What keeps it from being tidy is told, and does not keep
    /// it from being closed.
    fn pause(&mut self, until: Instant) -> Result<(), Error> {
        let Some(core) = &mut self.core else {
            return Ok(());
        };
        core.close(now());
        let written = if Instant::now() < until {
            core.checkpoint(now())
        } else {
            core.flush(now())
        };
        self.carry_out();
        self.await_last_words(until.min(Instant::now() + LAST_WORDS_MAX));
        if let Some(core) = self.core.take() {
            // It may be a newer one than the app began with.
            self.config.token = core.token().map(str::to_owned);
            self.logged_out = core.is_logged_out();
            self.told = Some(core.told_position());
        }
        self.waiters.clear();
        self.shared.open.store(false, Ordering::Release);
        written
    }

    /// The server is to know that the device went; what else comes meanwhile is done later.
    fn await_last_words(&mut self, until: Instant) {
        while self.attempt.is_some() && self.postponed.len() < INPUTS_MAX {
            let patience = until.saturating_duration_since(Instant::now());
            match self.inputs.recv_timeout(patience) {
                Ok(Input::Link) => {
                    if let Ok(event) = self.from_link.try_recv() {
                        self.note_end(&event);
                    }
                }
                Ok(input) => self.postponed.push_back(input),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Opens the file again after a pause, in which nobody was logged in or out. Of an engine that
    /// is not paused it logs in the user who was logged out or kicked out.
    fn resume(&mut self) -> Result<(), Error> {
        if self.core.as_ref().is_some_and(Core::must_be_reopened) {
            // What keeps the old file from being tidy is no reason not to begin anew.
            let _ = self.pause(Instant::now());
            // Another file has positions of its own.
            self.told = None;
        }
        if let Some(core) = &mut self.core {
            core.start(now());
            return Ok(());
        }
        let mut core = open_core(&self.config, &self.user)?;
        if let Some(told) = self.told {
            core.tell_on_from(told);
        }
        if self.logged_out {
            core.stay_logged_out();
        } else {
            core.start(now());
        }
        self.core = Some(core);
        self.next_look = i64::MIN;
        self.shared.open.store(true, Ordering::Release);
        Ok(())
    }

    fn stop(mut self, done: Option<oneshot::Sender<Result<(), Error>>>) {
        let closed = self.pause(Instant::now() + WAKE_MAX);
        self.link.command(LinkCommand::Shutdown);
        self.shared.subscribers.close();
        if let Some(done) = done {
            // A dropped engine waits for no answer.
            let _ = done.send(closed);
        }
    }
}

fn open_core(config: &Config, user: &UserId) -> Result<Core, Error> {
    match try_open_core(config, user) {
        // Found to be damaged by the first reading: opened once more, it is set aside.
        Err(error) if error.code == Code::Corrupt => try_open_core(config, user),
        opened => opened,
    }
}

fn try_open_core(config: &Config, user: &UserId) -> Result<Core, Error> {
    let fresh = uuid::Builder::from_random_bytes(random_bytes())
        .into_uuid()
        .simple()
        .to_string();
    let mut store = Store::open(&config.database, user, &DeviceId::trusted(fresh))?;
    store.limit_memory(config.memory)?;
    let settings = CoreSettings {
        token: config.token.clone(),
        provides_tokens: config.token_provider.is_some(),
        build: config.build.clone(),
        wait_s: u32::try_from(config.wait.as_secs()).unwrap_or(u32::MAX),
        boot: boot().to_owned(),
    };
    let entropy: Entropy = Box::new(|| {
        let [a, b, c, d, e, f, g, h, ..] = random_bytes();
        u64::from_ne_bytes([a, b, c, d, e, f, g, h])
    });
    Core::new(now(), store, settings, entropy)
}

/// Without the system's randomness an identifier is made of the time; it only has to be new.
fn random_bytes() -> [u8; 16] {
    let mut bytes = [0; 16];
    if getrandom::fill(&mut bytes).is_err() {
        let time = now();
        bytes = (i128::from(time.mono_ms) << 64 | i128::from(time.wall_ms)).to_ne_bytes();
    }
    bytes
}

fn report(error: &Error) {
    if error.code == Code::Internal {
        tracing::error!(%error, "the core failed");
    } else {
        tracing::warn!(%error, "not done");
    }
}

fn closed() -> Error {
    Error::new(
        Code::Closed,
        "closed",
        "the engine is paused or closed; resume it, or open it again",
    )
}
