//! The server as a whole: one thread that owns the core, and a small runtime that moves bytes.
//!
//! The thread takes all that has queued up, gives it to the core as one step, and hands out the
//! effects. It waits for nothing but its queue and the store's commits; what queues up during a
//! commit shares the next one.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use quinn::{Endpoint, VarInt};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, watch};
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

use super::auth::Auth;
use super::certificate::{self, CERTIFICATE_FILE, CertificateError};
use super::core::{ConnId, Core, Effect, Input, Time};
use super::push::PushSink;
use super::sessions::TlsSessions;
use super::settings::Settings;
use super::store::StoreError;
use super::store::sqlite::SqliteStore;
use super::{clock, listener};
use crate::protocol::{Goodbye, ToDevice};

/// Most inputs that share one step, and so one commit.
pub const INPUTS_PER_STEP_MAX: usize = 512;
/// Most inputs that wait for the core; whoever brings more waits.
pub const INPUTS_WAITING_MAX: usize = 4_096;
/// Threads that move bytes.
const RUNTIME_THREADS: usize = 2;
/// The core is woken at least this often: the runtime's timers do not count the time that the
/// machine sleeps, the core's clock does.
const SLEEP_MAX: Duration = Duration::from_secs(5);
/// TLS sessions are written down this often while they change: a crash costs the devices that came
/// since a round trip, once.
const SESSIONS_SAVED_EVERY: Duration = Duration::from_secs(60);
/// How long a stop waits for connections to take their goodbye.
const DRAIN_WITHIN: Duration = Duration::from_secs(5);
/// How long a stop waits for what is left after that.
const CLOSE_WITHIN: Duration = Duration::from_secs(1);

/// What the tasks tell the thread of the core.
pub(super) enum Message {
    /// A device has opened its stream.
    Connected {
        /// Its number from now on.
        conn: ConnId,
        /// Where it comes from.
        peer: SocketAddr,
        /// Whether its handshake is not complete yet.
        early: bool,
        /// Where what it is sent goes.
        out: mpsc::Sender<Out>,
    },
    /// Something else.
    Input(Input),
}

/// What the thread of the core tells a task.
pub(super) enum Out {
    /// Send this.
    Frame(Box<ToDevice>),
    /// Say this, if anything, and close.
    Close(Option<Goodbye>),
}

/// What a server is started with.
pub struct ServerConfig {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where the data is; made if it is not there.
    pub data_dir: PathBuf,
    /// How it knows who is calling.
    pub auth: Auth,
    /// A PEM file with a certificate, instead of the one in the data folder. Needs the key.
    pub cert: Option<PathBuf>,
    /// The PEM file with its key.
    pub key: Option<PathBuf>,
    /// The settings.
    pub settings: Settings,
    /// Where pushes go.
    pub push: Box<dyn PushSink>,
}

/// Why a server did not start, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// It would let everybody in from everywhere.
    #[error(
        "without a key for tokens everybody is who they say they are, which is only for a loopback \
         address, and {listen} is none; give --jwt-key FILE, or listen on 127.0.0.1"
    )]
    TrustsNames {
        /// Where it was to listen.
        listen: SocketAddr,
    },
    /// The address cannot be listened on.
    #[error(
        "cannot listen on {listen}: {source}; stop what listens there, or choose another --listen address (port 0 takes a free one)"
    )]
    Listen {
        /// Where it was to listen.
        listen: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The data cannot be used.
    #[error("cannot keep the data in {}: {source}", data_dir.display())]
    Store {
        /// The folder.
        data_dir: PathBuf,
        /// What the store said.
        source: StoreError,
    },
    /// The certificate cannot be used.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The certificate is no good for TLS.
    #[error("TLS could not be set up: {0}; check the files given with --cert and --key")]
    Tls(String),
    /// The system gives no threads or no randomness.
    #[error("the system refused what a server needs: {0}; look at its limits")]
    System(io::Error),
    /// The store failed while it ran, in a way that leaves open what is on the disk.
    #[error(
        "stopped, because the store cannot be trusted any more: {0}; look at the disk, then start the server again"
    )]
    Halted(StoreError),
}

/// A server that runs. Dropping it stops it.
pub struct Server {
    local_addr: SocketAddr,
    certificate: PathBuf,
    stop: watch::Sender<bool>,
    ended: watch::Receiver<bool>,
    thread: Option<JoinHandle<Option<StoreError>>>,
}

impl fmt::Debug for Server {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Server")
            .field("local_addr", &self.local_addr)
            .finish_non_exhaustive()
    }
}

impl Server {
    /// Starts a server on threads of its own. When this returns, it accepts connections.
    ///
    /// # Errors
    /// [`ServerError`], which names the thing and the way out.
    pub fn start(config: ServerConfig) -> Result<Self, ServerError> {
        trust_check(&config)?;
        let runtime = Builder::new_multi_thread()
            .worker_threads(RUNTIME_THREADS)
            .thread_name("offhook-net")
            .enable_all()
            .build()
            .map_err(ServerError::System)?;
        let store = SqliteStore::open(&config.data_dir)
            .map_err(|source| store_error(&config.data_dir, source))?;
        let identity = certificate::load_or_create(
            &config.data_dir,
            &[config.listen.ip().to_string()],
            config.cert.as_deref(),
            config.key.as_deref(),
        )?;
        let sessions = Arc::new(TlsSessions::open(&config.data_dir, &identity));
        let endpoint = {
            let _entered = runtime.enter();
            let sessions = Arc::clone(&sessions);
            listener::bind(config.listen, identity, sessions, &config.settings)?
        };
        let local_addr = endpoint
            .local_addr()
            .map_err(|source| ServerError::Listen {
                listen: config.listen,
                source,
            })?;
        let core = new_core(store, &config)?;
        let trusts_names = match config.auth {
            Auth::TrustNames => true,
            Auth::Keys(_) => false,
        };
        let (stop, stopping) = watch::channel(false);
        let (ending, ended) = watch::channel(false);
        let (service, inputs) = mpsc::channel(INPUTS_WAITING_MAX);
        runtime.spawn(listener::accept(endpoint.clone(), service));
        runtime.spawn(save_now_and_then(Arc::clone(&sessions)));
        let core_thread = CoreThread {
            core,
            runtime,
            endpoint,
            sessions,
            inputs,
            stopping,
            queues: BTreeMap::new(),
            push: config.push,
            halted: None,
        };
        let thread = std::thread::Builder::new()
            .name("offhook-core".to_owned())
            .spawn(move || {
                let halted = core_thread.run();
                ending.send_replace(true);
                halted
            })
            .map_err(ServerError::System)?;
        if trusts_names {
            tracing::warn!(
                %local_addr,
                "no key for tokens: everybody is who they say they are; for development only"
            );
        }
        tracing::info!(%local_addr, data_dir = %config.data_dir.display(), "listening");
        Ok(Self {
            local_addr,
            certificate: config.data_dir.join(CERTIFICATE_FILE),
            stop,
            ended,
            thread: Some(thread),
        })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// The certificate that a client on the same machine can trust.
    pub fn certificate_pem_path(&self) -> &Path {
        &self.certificate
    }

    /// Waits until the server has stopped by itself, which it does only if the store fails.
    pub async fn ended(&self) {
        let mut ended = self.ended.clone();
        // An error is the end, too: its thread is gone.
        let _ = ended.wait_for(|ended| *ended).await;
    }

    /// Stops it: everybody is told, and what was acknowledged is on disk. Takes at most 10 s.
    ///
    /// # Errors
    /// [`ServerError::Halted`] if it had stopped before because the store failed.
    pub fn stop(mut self) -> Result<(), ServerError> {
        match self.join() {
            None => Ok(()),
            Some(error) => Err(ServerError::Halted(error)),
        }
    }

    fn join(&mut self) -> Option<StoreError> {
        self.stop.send_replace(true);
        self.thread.take()?.join().unwrap_or_else(|_| {
            Some(StoreError::Failed(
                "the thread of the core panicked".to_owned(),
            ))
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.join();
    }
}

fn trust_check(config: &ServerConfig) -> Result<(), ServerError> {
    match &config.auth {
        Auth::Keys(_) => Ok(()),
        Auth::TrustNames if config.listen.ip().is_loopback() => Ok(()),
        Auth::TrustNames => Err(ServerError::TrustsNames {
            listen: config.listen,
        }),
    }
}

fn store_error(data_dir: &Path, source: StoreError) -> ServerError {
    ServerError::Store {
        data_dir: data_dir.to_owned(),
        source,
    }
}

fn new_core(store: SqliteStore, config: &ServerConfig) -> Result<Core, ServerError> {
    let entropy = clock::entropy().map_err(|error| ServerError::System(error.into()))?;
    let time = Time {
        wall_ms: clock::wall_ms(),
        mono_ms: clock::mono_ms(),
    };
    Core::new(
        Box::new(store),
        config.settings.clone(),
        config.auth.clone(),
        time,
        Box::new(entropy),
    )
    .map_err(|source| store_error(&config.data_dir, source))
}

async fn save_now_and_then(sessions: Arc<TlsSessions>) {
    loop {
        sleep(SESSIONS_SAVED_EVERY).await;
        let sessions = Arc::clone(&sessions);
        // It says itself what goes wrong.
        let _ = spawn_blocking(move || sessions.save()).await;
    }
}

/// The thread that owns the core.
struct CoreThread {
    core: Core,
    runtime: Runtime,
    endpoint: Endpoint,
    sessions: Arc<TlsSessions>,
    inputs: mpsc::Receiver<Message>,
    stopping: watch::Receiver<bool>,
    queues: BTreeMap<ConnId, mpsc::Sender<Out>>,
    push: Box<dyn PushSink>,
    halted: Option<StoreError>,
}

impl CoreThread {
    /// Runs until it is to stop, or the store fails; gives how.
    fn run(mut self) -> Option<StoreError> {
        let mut messages = Vec::with_capacity(INPUTS_PER_STEP_MAX);
        while self.halted.is_none() && self.wait(&mut messages) {
            let inputs: Vec<Input> = messages
                .drain(..)
                .map(|message| self.take(message))
                .collect();
            self.step(inputs);
        }
        if self.halted.is_none() {
            self.endpoint.set_server_config(None); // nobody new
            self.step(vec![Input::Shutdown]);
            self.queues.clear();
            self.drain(DRAIN_WITHIN);
        }
        self.endpoint
            .close(VarInt::from_u32(0), b"the server goes away");
        self.drain(CLOSE_WITHIN);
        self.sessions.save();
        self.runtime.shutdown_timeout(CLOSE_WITHIN);
        tracing::info!("stopped");
        self.halted
    }

    /// Waits for something to do; false when it is to stop.
    fn wait(&mut self, messages: &mut Vec<Message>) -> bool {
        let wait = self.core.next_wakeup().map_or(SLEEP_MAX, |at| {
            let ms = u64::try_from(at - clock::mono_ms()).unwrap_or(0);
            Duration::from_millis(ms).min(SLEEP_MAX)
        });
        let (inputs, stopping) = (&mut self.inputs, &mut self.stopping);
        self.runtime.block_on(async {
            tokio::select! {
                biased;
                _ = stopping.wait_for(|stop| *stop) => false,
                _ = timeout(wait, inputs.recv_many(messages, INPUTS_PER_STEP_MAX)) => true,
            }
        })
    }

    fn take(&mut self, message: Message) -> Input {
        match message {
            Message::Connected {
                conn,
                peer,
                early,
                out,
            } => {
                self.queues.insert(conn, out);
                Input::Connected { conn, peer, early }
            }
            Message::Input(input) => {
                if let Input::Disconnected { conn } = &input {
                    self.queues.remove(conn);
                }
                input
            }
        }
    }

    fn step(&mut self, inputs: Vec<Input>) {
        for effect in self.core.step(clock::mono_ms(), inputs) {
            match effect {
                Effect::Send { conn, frame } => self.hand_out(conn, Out::Frame(frame)),
                Effect::Close { conn, goodbye } => {
                    self.hand_out(conn, Out::Close(goodbye));
                    self.queues.remove(&conn);
                }
                Effect::Push(push) => self.push.push(&push),
                Effect::Halt(error) => self.halted = Some(error),
            }
        }
    }

    /// Never waits. A queue that is full is one that the core has given up; dropping it closes the
    /// connection.
    fn hand_out(&mut self, conn: ConnId, out: Out) {
        if let Some(queue) = self.queues.get(&conn)
            && queue.try_send(out).is_err()
        {
            self.queues.remove(&conn);
        }
    }

    fn drain(&self, within: Duration) {
        // Connections that take longer are cut off by what comes next.
        let _ = self
            .runtime
            .block_on(async { timeout(within, self.endpoint.wait_idle()).await });
    }
}
