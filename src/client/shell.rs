//! What is around the core: its thread, the channel into it, and who gets what it tells.
//!
//! One thread owns the core and does one thing at a time: what an app asks, what the link says,
//! what time brings. After each, the core's effects are carried out in their order. Everything
//! comes through one channel, so what is asked first is done first. It is bounded at its ends: who
//! asks waits for a permit without holding a thread, the link waits in its own queue.

mod running;

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use self::running::Running;
use super::clock::{Now, boot, now};
use super::config::{Config, Memory};
use super::core::{Core, CoreSettings, Entropy, Submission, Submitted};
use super::link::{LinkConfig, QuicLink};
use super::store::{Copying, Readers, Store};
use super::subscription::{Changes, Events, Subscribers};
use crate::call::{DeviceId, Op, Outcome, UserId};
use crate::error::{Code, Error};

/// Requests that wait for the core, and as many frames.
const INPUTS_MAX: usize = 1_024;
/// The same, of an engine that is to take little memory.
const INPUTS_LOW_MAX: usize = 64;

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
    /// The copy that is being made of the file.
    copying: Copying,
    /// After which position of the journal the first stream of events begins.
    begins_after: u64,
    /// Positions of verdicts that were handed over.
    taken: Mutex<Vec<u64>>,
}

impl Shared {
    pub fn subscribe(&self) -> Events {
        self.subscribers.subscribe()
    }

    pub fn changes(&self) -> Changes {
        self.subscribers.changes()
    }

    pub fn database(&self) -> &Path {
        &self.database
    }

    pub fn copying(&self) -> &Copying {
        &self.copying
    }

    pub fn begins_after(&self) -> u64 {
        self.begins_after
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

impl Shell {
    /// Starts the core's thread; the stream that it gives begins before anything is told.
    pub fn start(
        config: Config,
        user: UserId,
        readers: Arc<Readers>,
    ) -> Result<(Self, Arc<Shared>, Events), Error> {
        let core = open_core(&config, &user)?;
        let room = match config.memory {
            Memory::Normal => INPUTS_MAX,
            Memory::Low => INPUTS_LOW_MAX,
        };
        let (inputs, receiver) = channel();
        let (frames, from_link) = sync_channel(room);
        let of_link = inputs.clone();
        let link = QuicLink::start(
            link_config(&config),
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
            copying: Copying::default(),
            begins_after: core.events_begin_after(),
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
            link_kept: None,
            config,
            logged_out: false,
            user,
            link,
            readers,
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

/// How the link is to be, by what the app said.
pub fn link_config(config: &Config) -> LinkConfig {
    let mut link = LinkConfig::new(config.server.clone(), config.roots.clone());
    link.server_name.clone_from(&config.server_name);
    link.memory = config.memory;
    link
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
    let mut core = Core::new(now(), store, settings, entropy)?;
    core.set_retention(config.retention);
    Ok(core)
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

fn closed() -> Error {
    Error::new(
        Code::Closed,
        "closed",
        "the engine is paused or closed; resume it, or open it again",
    )
}
