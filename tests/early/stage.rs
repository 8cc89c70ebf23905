//! A server, devices, and a proxy between them.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Condvar, Mutex, Once};
use std::time::Duration;

use offhook::server::auth::Auth;
use offhook::server::push::LogSink;
use offhook::server::settings::Settings;
use offhook::server::{Server, ServerConfig};
use offhook::{
    CallEvent, CallId, CommandOptions, Config, ConnectionState, Engine, Event, EventKind, Events,
    InviteOptions, Roots,
};
use tempfile::TempDir;
use tokio::time::timeout;

use crate::proxy::Proxy;

/// Longer than anything here takes, however busy the machine is.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// How long a datagram is under way, so that all of a flight leaves before anything comes back.
pub const UNDER_WAY: Duration = Duration::from_millis(200);

pub struct Stage {
    pub address: SocketAddr,
    server: Option<Server>,
    pub proxy: Proxy,
    folder: TempDir,
}

impl Stage {
    pub fn new() -> Self {
        listen_to_the_log();
        let folder = tempfile::tempdir().unwrap();
        let server = start("127.0.0.1:0".parse().unwrap(), folder.path().join("server"));
        let address = server.local_addr();
        Self {
            address,
            server: Some(server),
            proxy: Proxy::start(address),
            folder,
        }
    }

    pub fn data(&self) -> PathBuf {
        self.folder.path().join("server")
    }

    pub fn sessions(&self) -> PathBuf {
        self.data().join("tls-sessions")
    }

    /// In good order.
    pub fn stop(&mut self) {
        self.server.take().unwrap().stop().unwrap();
    }

    pub fn start(&mut self) {
        self.server = Some(start(self.address, self.data()));
    }

    /// A connected device behind the proxy.
    pub async fn behind_the_proxy(&self, user: &str) -> Device {
        self.device(user, self.proxy.address()).await
    }

    /// A connected device beside it.
    pub async fn beside_the_proxy(&self, user: &str) -> Device {
        self.device(user, self.address).await
    }

    async fn device(&self, user: &str, server: SocketAddr) -> Device {
        let mut device = self.offline_device(user, server);
        device.connected().await;
        device
    }

    pub fn offline_device(&self, user: &str, server: SocketAddr) -> Device {
        let config = Config {
            roots: Roots::Pem(self.data().join("cert.pem")),
            ..Config::new(
                server.to_string(),
                user,
                self.folder.path().join(format!("{user}.db")),
            )
        };
        let (engine, events) = Engine::open_with_events(config).unwrap();
        Device {
            engine,
            events,
            heard: Vec::new(),
            known: 0,
        }
    }

    /// From now on a device behind the proxy is not heard once it has been handed anything, on flows
    /// from that one on. Gives which that is.
    pub fn hold_all_but_first_flights(&self) -> usize {
        let first = self.proxy.flows();
        self.proxy
            .set_rule(move |one| !(one.from_device && one.is_answered && one.flow >= first));
        first
    }
}

fn start(listen: SocketAddr, data_dir: PathBuf) -> Server {
    Server::start(ServerConfig {
        listen,
        data_dir,
        auth: Auth::TrustNames,
        cert: None,
        key: None,
        settings: Settings::default(),
        push: Box::new(LogSink),
    })
    .unwrap()
}

pub struct Device {
    pub engine: Engine,
    events: Events,
    pub heard: Vec<Event>,
    /// How much of it is not looked at any more.
    known: usize,
}

impl Device {
    /// Rings that device once. Then it has all that there is, and knows how far it is.
    pub async fn greet(&self, other: &mut Device, user: &str) {
        let call = self.ring(user).await;
        other.is_rung(&call).await;
        self.cancel(&call).await;
        other.ring_stops(&call).await;
    }

    pub async fn cancel(&self, call: &CallId) {
        let options = CommandOptions::default();
        let cancel = self.engine.call_cancel(&[], call, options).await;
        cancel.unwrap().await.unwrap();
    }

    pub async fn ring(&self, user: &str) -> CallId {
        let invite = self
            .engine
            .call_invite(&[user], InviteOptions::default())
            .await;
        invite.unwrap().await.unwrap().call_id
    }

    pub async fn pause(&self) {
        self.engine.pause(None).await.unwrap();
    }

    pub async fn resume(&mut self) {
        self.forget();
        self.engine.resume().await.unwrap();
    }

    /// From here on is what is waited for.
    pub fn forget(&mut self) {
        self.known = self.heard.len();
    }

    /// Waits for something, in whatever order things come.
    pub async fn hears(&mut self, is_it: impl Fn(&EventKind) -> bool) {
        while !self.heard[self.known..].iter().any(|one| is_it(&one.kind)) {
            match timeout(PATIENCE, self.events.next()).await {
                Ok(event) => self.heard.push(event.expect("no lag").expect("it is open")),
                Err(_) => {
                    eprintln!("{}", String::from_utf8_lossy(&LOG.lock().unwrap()));
                    panic!("it did not come; what did is {:?}", self.heard);
                }
            }
        }
    }

    pub async fn connected(&mut self) {
        self.hears(|kind| match kind {
            EventKind::ConnectionStateChanged(change) => change.state == ConnectionState::Connected,
            _ => false,
        })
        .await;
    }

    pub async fn is_rung(&mut self, call: &CallId) {
        self.hears(|kind| rings(kind, call)).await;
    }

    pub async fn ring_stops(&mut self, call: &CallId) {
        self.hears(|kind| {
            matches!(kind, EventKind::Call(CallEvent::Cancelled { call_id, .. }) if call_id == call)
        })
        .await;
    }

    /// How often it has rung, of what was heard by now.
    pub fn rang(&self, call: &CallId) -> usize {
        self.heard
            .iter()
            .filter(|one| rings(&one.kind, call))
            .count()
    }

    pub async fn state(&self) -> ConnectionState {
        self.engine.status().await.unwrap().connection
    }
}

fn rings(kind: &EventKind, call: &CallId) -> bool {
    matches!(kind, EventKind::Call(CallEvent::Received { call_id, .. }) if call_id == call)
}

// The log ----------------------------------------------------------------------------------------

static LOG: Mutex<Vec<u8>> = Mutex::new(Vec::new());
static MORE: Condvar = Condvar::new();

struct Log;

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        LOG.lock().unwrap().extend_from_slice(bytes);
        MORE.notify_all();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn listen_to_the_log() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        tracing_subscriber::fmt()
            .with_ansi(false)
            .with_env_filter("offhook=debug")
            .with_writer(|| Log)
            .init();
    });
}

/// Waits until the server has logged a line with all of these in it.
pub fn logged(words: &[&str]) {
    let log = LOG.lock().unwrap();
    let waited = MORE.wait_timeout_while(log, PATIENCE, |log| !is_in(log, words));
    let (log, waited) = waited.unwrap();
    drop(log);
    assert!(!waited.timed_out(), "the server did not log {words:?}");
}

/// Whether it has.
pub fn has_logged(words: &[&str]) -> bool {
    is_in(&LOG.lock().unwrap(), words)
}

fn is_in(log: &[u8], words: &[&str]) -> bool {
    let log = String::from_utf8_lossy(log);
    log.lines()
        .any(|line| words.iter().all(|word| line.contains(word)))
}
