//! The carrier over QUIC: one connection at a time, one bidirectional stream on it.
//!
//! Commands go in without waiting, events come out on the link's own thread, in order. The thread
//! runs one loop that owns at most one attempt; the attempt is a single future whose value is the
//! reason of its end, so that no attempt can end twice or without a word. Every attempt has sockets
//! of its own: what made the last one fail (a stale port, a socket that the system took away) does
//! not reach the next. TLS sessions outlive attempts: where there is one to resume, the hello, and
//! nothing else, goes with the first packet.

use std::cell::{Cell, RefCell};
use std::future::{Future, pending};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, IdleTimeout, RecvStream, SendStream, TransportConfig};
use quinn::{Connection, VarInt, WriteError};
use tokio::runtime::{Builder, Runtime};
use tokio::task::yield_now;
use tokio::time::{sleep, timeout};

use self::dial::{Dialled, Progress, Target, dial};
use self::mailbox::{Mailbox, Outgoing, Step};
use self::socket::Sockets;
use crate::client::config::Memory;
use crate::client::roots::Roots;
use crate::client::transport::{
    DownKind, LinkCommand, LinkDown, LinkEvent, OnLinkEvent, Transport,
};
use crate::error::{Code, Error};
use crate::protocol::{ALPN, FROM_SERVER_BYTES_MAX, FrameBuffer, ToDevice};

mod dial;
mod mailbox;
mod socket;
mod why;

pub use mailbox::OUTBOX_BYTES_MAX;

/// How long an attempt may take to become a connection, name resolution included.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// After how long without a packet a connection is lost. Above the 35 s after which the server holds
/// a device to be offline: the word on that is the server's.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(45);
/// How long the server has to take what was still to be sent when an attempt is closed.
pub const CLOSE_WITHIN: Duration = Duration::from_secs(1);
/// How long what is under way has to arrive once the rest is given up. Nothing tells when it has.
const ABANDON_WITHIN: Duration = Duration::from_millis(250);
/// Most bytes that come before they are read: two of the longest frames, so that one can come while
/// the other is worked on.
const RECEIVE_WINDOW: u32 = 2 * (FROM_SERVER_BYTES_MAX as u32 + 1024);
/// Most bytes that are written and not yet acknowledged.
const SEND_WINDOW: u64 = 128 * 1024;
/// The same two of an engine that is to take little memory: one of the longest frames, and two of the
/// longest that go the other way.
const RECEIVE_WINDOW_LOW: u32 = FROM_SERVER_BYTES_MAX as u32 + 1024;
const SEND_WINDOW_LOW: u64 = 32 * 1024;
/// Most bytes that are taken from the stream at once.
const READ_BYTES_MAX: usize = 64 * 1024;
/// Threads for name resolution. The system's resolver cannot be interrupted; a second thread lets an
/// attempt try again while the first one hangs.
const RESOLVER_THREADS_MAX: usize = 2;
/// How often the connection's task is let run to send its last packet.
const LAST_PACKET_TURNS_MAX: usize = 16;
/// The code of an end in good order.
const CODE_DONE: VarInt = VarInt::from_u32(0);
/// The code of an end because of what was said.
const CODE_VIOLATION: VarInt = VarInt::from_u32(1);

/// Where to connect, and how.
#[derive(Clone, Debug)]
pub struct LinkConfig {
    /// `host:port`; the host is a name, an IPv4 address or an IPv6 address in brackets.
    pub server: String,
    /// The name that the server's certificate must be valid for; the host if absent.
    pub server_name: Option<String>,
    /// Whom to trust.
    pub roots: Roots,
    /// See [`HANDSHAKE_TIMEOUT`].
    pub handshake_timeout: Duration,
    /// See [`IDLE_TIMEOUT`]; the smaller of both sides' counts.
    pub idle_timeout: Duration,
    /// How much memory the connection may take.
    pub memory: Memory,
}

impl LinkConfig {
    /// That server with the default times.
    pub fn new(server: impl Into<String>, roots: Roots) -> Self {
        Self {
            server: server.into(),
            server_name: None,
            roots,
            handshake_timeout: HANDSHAKE_TIMEOUT,
            idle_timeout: IDLE_TIMEOUT,
            memory: Memory::Normal,
        }
    }
}

/// Judges whether that can be a server's address, as [`LinkConfig::server`] has it.
///
/// # Errors
/// [`Code::InvalidParameter`], with what is wrong and how it is written.
pub fn check_address(server: &str) -> Result<(), Error> {
    Target::parse(server, None).map(drop)
}

/// Judges whether a link can start so, before anything comes of it.
///
/// # Errors
/// [`Code::InvalidParameter`], as [`QuicLink::start`].
pub fn check_config(config: &LinkConfig) -> Result<(), Error> {
    Target::parse(&config.server, config.server_name.as_deref())?;
    client_config(config).map(drop)
}

/// The carrier over QUIC. Dropping it is [`LinkCommand::Shutdown`]; nobody waits for the thread.
#[derive(Debug)]
pub struct QuicLink {
    mailbox: Arc<Mailbox>,
}

impl QuicLink {
    /// Starts the link's thread. Nothing is connected until [`LinkCommand::Connect`].
    ///
    /// # Errors
    /// [`Code::InvalidParameter`] for a server, a server name, roots or an idle timeout that cannot
    /// be; [`Code::Internal`] if the system gives no thread.
    pub fn start(config: LinkConfig, on_event: OnLinkEvent) -> Result<Self, Error> {
        let target = Target::parse(&config.server, config.server_name.as_deref())?;
        let client_config = client_config(&config)?;
        let runtime = Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(RESOLVER_THREADS_MAX)
            .build()
            .map_err(|error| internal(&error))?;
        let mailbox = Arc::new(Mailbox::default());
        let its_mailbox = Arc::clone(&mailbox);
        thread::Builder::new()
            .name("offhook-link".to_owned())
            .spawn(move || {
                let shared = Shared {
                    target,
                    client_config,
                    handshake_timeout: config.handshake_timeout,
                    mailbox: its_mailbox,
                    on_event,
                };
                run(runtime, shared);
            })
            .map_err(|error| internal(&error))?;
        Ok(Self { mailbox })
    }
}

impl Transport for QuicLink {
    fn command(&mut self, command: LinkCommand) {
        self.mailbox.post(command);
    }
}

impl Drop for QuicLink {
    fn drop(&mut self) {
        self.mailbox.post(LinkCommand::Shutdown);
    }
}

fn internal(error: &std::io::Error) -> Error {
    Error::new(
        Code::Internal,
        "link",
        format!("the system gives no thread for the connection: {error}"),
    )
}

fn client_config(config: &LinkConfig) -> Result<ClientConfig, Error> {
    let mut tls = config.roots.client_config(ALPN)?;
    tls.enable_early_data = true;
    let tls = QuicClientConfig::try_from(tls)
        .map_err(|error| Error::new(Code::Internal, "tls", format!("QUIC: {error}")))?;
    let idle = IdleTimeout::try_from(config.idle_timeout).map_err(|_| {
        Error::parameter(
            "idleTimeout",
            format!("{:?} is too long; 45 s is usual", config.idle_timeout),
        )
    })?;
    let (receive_window, send_window) = match config.memory {
        Memory::Normal => (RECEIVE_WINDOW, SEND_WINDOW),
        Memory::Low => (RECEIVE_WINDOW_LOW, SEND_WINDOW_LOW),
    };
    let mut transport = TransportConfig::default();
    // The device opens the one stream there is; the core's pings keep the connection alive.
    transport
        .max_concurrent_bidi_streams(VarInt::from_u32(0))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .stream_receive_window(VarInt::from_u32(receive_window))
        .receive_window(VarInt::from_u32(receive_window))
        .send_window(send_window)
        .datagram_receive_buffer_size(None)
        .max_idle_timeout(Some(idle));
    let mut client_config = ClientConfig::new(Arc::new(tls));
    client_config.transport_config(Arc::new(transport));
    Ok(client_config)
}

/// What the loop and the attempt both need.
struct Shared {
    target: Target,
    client_config: ClientConfig,
    handshake_timeout: Duration,
    mailbox: Arc<Mailbox>,
    on_event: OnLinkEvent,
}

impl Shared {
    fn down(&self, attempt: u64, why: LinkDown) {
        tracing::debug!(attempt, kind = ?why.kind, message = why.message, "link down");
        // Before the event: the core may begin the next attempt at once.
        self.mailbox.over(attempt);
        (self.on_event)(LinkEvent::Down { attempt, why });
    }
}

/// The attempt that is going on.
struct Attempt {
    number: u64,
    is_up: Rc<Cell<bool>>,
    sockets: Rc<RefCell<Sockets>>,
    end: Pin<Box<dyn Future<Output = LinkDown>>>,
}

impl Attempt {
    fn begin(number: u64, sockets: Sockets, shared: &Rc<Shared>) -> Self {
        let is_up = Rc::new(Cell::new(false));
        let sockets = Rc::new(RefCell::new(sockets));
        Self {
            number,
            end: Box::pin(attempt(
                number,
                Rc::clone(shared),
                Rc::clone(&sockets),
                Rc::clone(&is_up),
            )),
            is_up,
            sockets,
        }
    }
}

fn run(runtime: Runtime, shared: Shared) {
    runtime.block_on(Link::new(shared).run());
    // A name that is still being resolved is not waited for.
    runtime.shutdown_background();
}

struct Link {
    shared: Rc<Shared>,
    current: Option<Attempt>,
}

impl Link {
    fn new(shared: Shared) -> Self {
        Self {
            shared: Rc::new(shared),
            current: None,
        }
    }

    async fn run(mut self) {
        let shared = Rc::clone(&self.shared);
        let mut leaving = false;
        while !(leaving && self.current.is_none()) {
            tokio::select! {
                biased;
                step = shared.mailbox.next_step() => match step {
                    Step::Cut => self.end(DownKind::Local, "the network was switched off"),
                    Step::Rebind => self.rebind(),
                    Step::Connect { attempt, gate } => {
                        self.connect(attempt, gate.map(Sockets::new));
                    }
                    Step::Leave => leaving = true,
                },
                (attempt, why) = ended(&mut self.current) => {
                    self.current = None;
                    shared.down(attempt, why);
                }
            }
        }
    }

    fn connect(&mut self, attempt: u64, sockets: Option<Sockets>) {
        self.end(DownKind::Local, "a newer attempt replaces this one");
        if let Some(sockets) = sockets {
            self.current = Some(Attempt::begin(attempt, sockets, &self.shared));
        } else {
            let why = LinkDown::new(
                DownKind::Address,
                "there is no network: it was switched off; connect when it is on again",
            );
            self.shared.down(attempt, why);
        }
    }

    fn rebind(&mut self) {
        let Some(current) = &self.current else {
            return;
        };
        if !current.is_up.get() {
            // QUIC lets nobody move before the handshake is done: begin it again from where the
            // device is now.
            let sockets = current.sockets.borrow().anew();
            self.current = Some(Attempt::begin(current.number, sockets, &self.shared));
            return;
        }
        let rebound = current.sockets.borrow().rebind();
        if let Err(error) = rebound {
            // Without a socket on this network there is no way to tell the server either.
            self.shared.mailbox.cut();
            self.end(
                DownKind::Lost,
                format!("the network changed, and there is no socket on the new one: {error}"),
            );
        }
    }

    fn end(&mut self, kind: DownKind, message: impl std::fmt::Display) {
        if let Some(current) = self.current.take() {
            let attempt = current.number;
            drop(current);
            self.shared.down(attempt, LinkDown::new(kind, message));
        }
    }
}

async fn ended(current: &mut Option<Attempt>) -> (u64, LinkDown) {
    match current {
        Some(attempt) => (attempt.number, attempt.end.as_mut().await),
        None => pending().await,
    }
}

/// One attempt, from the name of the server to the reason of the end.
async fn attempt(
    number: u64,
    shared: Rc<Shared>,
    sockets: Rc<RefCell<Sockets>>,
    is_up: Rc<Cell<bool>>,
) -> LinkDown {
    let opened = tokio::select! {
        opened = open(number, &shared, &sockets) => opened,
        () = shared.mailbox.closing(number) => return closed_here(),
        why = shared.mailbox.broken(number) => return why,
    };
    let (connection, mut send, receive) = match opened {
        Ok(opened) => opened,
        Err(why) => return why,
    };
    is_up.set(true);
    let server = connection.remote_address();
    tracing::debug!(attempt = number, %server, "link up");
    (shared.on_event)(LinkEvent::Up {
        attempt: number,
        server,
    });
    let why = tokio::select! {
        why = read(number, &shared, receive) => why,
        why = write(number, &shared.mailbox, &mut send) => why,
        why = shared.mailbox.broken(number) => why,
        () = async {
            shared.mailbox.closing(number).await;
            sleep(CLOSE_WITHIN).await;
        } => closed_here(),
    };
    close(&connection, send, &why).await;
    // Once this side is closing it is the one that ended it, however the server took its leave.
    if shared.mailbox.is_closing(number) {
        return closed_here();
    }
    why
}

async fn open(
    number: u64,
    shared: &Shared,
    sockets: &RefCell<Sockets>,
) -> Result<(Connection, SendStream, RecvStream), LinkDown> {
    let patience = shared.handshake_timeout;
    let mut progress = Progress::default();
    let opened = timeout(patience, async {
        let hello = (&*shared.mailbox, number);
        let config = &shared.client_config;
        let Dialled { connection, stream } =
            dial(&shared.target, config, sockets, hello, &mut progress).await?;
        let (send, receive) = match stream {
            Some(stream) => stream,
            None => connection
                .open_bi()
                .await
                .map_err(|error| why::of_handshake(&error))?,
        };
        Ok((connection, send, receive))
    })
    .await;
    opened.unwrap_or_else(|_| Err(progress.into_timeout(&shared.target, patience)))
}

/// Ends with the connection, with the server's half of the stream, or with a frame that is none.
async fn read(number: u64, shared: &Shared, mut receive: RecvStream) -> LinkDown {
    let mut frames = FrameBuffer::default();
    loop {
        match receive.read_chunk(READ_BYTES_MAX, true).await {
            Ok(Some(chunk)) => frames.push(&chunk.bytes),
            Ok(None) => {
                return LinkDown::new(DownKind::Closed, "the server ended the conversation");
            }
            Err(error) => return why::of_read(&error),
        }
        loop {
            match frames.next_frame::<ToDevice>() {
                Ok(Some(frame)) => (shared.on_event)(LinkEvent::Frame {
                    attempt: number,
                    frame,
                }),
                Ok(None) => break,
                Err(error) => return LinkDown::new(DownKind::Protocol, error),
            }
        }
    }
}

/// Ends once all is written, the stream is finished and the server has it.
async fn write(number: u64, mailbox: &Mailbox, send: &mut SendStream) -> LinkDown {
    while let Outgoing::Bytes(bytes) = mailbox.outgoing(number).await {
        if let Err(error) = send.write_all(&bytes).await {
            return cannot_write(error).await;
        }
    }
    // Both fail only if the server wants no more or is gone, and then there is nothing to wait for.
    if send.finish().is_ok() {
        let _ = send.stopped().await;
    }
    closed_here()
}

/// What the server said last may still be waiting to be read, and says more than that it stopped
/// listening: the reader has the last word, if it has one soon.
async fn cannot_write(error: WriteError) -> LinkDown {
    match error {
        WriteError::ConnectionLost(_) => pending().await,
        WriteError::Stopped(_) | WriteError::ClosedStream | WriteError::ZeroRttRejected => {
            sleep(CLOSE_WITHIN).await;
            LinkDown::new(
                DownKind::Lost,
                format!("the server does not listen any more: {error}"),
            )
        }
    }
}

fn closed_here() -> LinkDown {
    LinkDown::new(DownKind::Local, "closed by this side")
}

/// Closes the connection and lets the packet that says so leave: the process may end right after
/// the attempt.
async fn close(connection: &Connection, mut send: SendStream, why: &LinkDown) {
    if connection.close_reason().is_some() {
        return;
    }
    let code = match why.kind {
        DownKind::Protocol | DownKind::Overflow => CODE_VIOLATION,
        DownKind::HandshakeTimeout
        | DownKind::Refused
        | DownKind::Certificate
        | DownKind::Lost
        | DownKind::Closed
        | DownKind::Local
        | DownKind::Address => CODE_DONE,
    };
    // quinn holds the last packet back together with data that congestion control holds back, and
    // then forgets it (quinn-rs/quinn#2785): what was not written is given up first. A server that
    // ended the conversation itself needs no such care.
    let is_abandoned = match why.kind {
        DownKind::Protocol | DownKind::Overflow | DownKind::Local => send.reset(code).is_ok(),
        DownKind::HandshakeTimeout
        | DownKind::Refused
        | DownKind::Certificate
        | DownKind::Lost
        | DownKind::Closed
        | DownKind::Address => false,
    };
    if is_abandoned {
        sleep(ABANDON_WITHIN).await;
    }
    let sent = |connection: &Connection| connection.stats().udp_tx.datagrams;
    let before = sent(connection);
    connection.close(code, why.message.as_bytes());
    for _ in 0..LAST_PACKET_TURNS_MAX {
        if sent(connection) > before {
            return;
        }
        yield_now().await;
    }
}

#[cfg(all(test, feature = "server"))]
mod tests;
