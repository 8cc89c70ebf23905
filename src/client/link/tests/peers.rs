//! A server and a device for the tests of the link.

use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, Sender, channel};

use quinn::{ConnectionError, Endpoint, ServerConfig};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use tempfile::TempDir;
use tokio::sync::oneshot;

use super::super::*;
use crate::protocol::{Ping, Pong, Renew, Renewed, ToServer, encode};

/// Longer than anything here takes, however busy the machine is.
pub const PATIENCE: Duration = Duration::from_secs(20);
/// The length of the longest frame that the test server sends.
pub const LONG_BYTES: usize = 250 * 1024;
/// A token that asks the test server for something.
pub const SEND_LONG: &str = "send long";
pub const SEND_GARBAGE: &str = "send garbage";
pub const SEND_LAST_AND_CLOSE: &str = "send last and close";

/// What the test server noticed.
#[derive(Debug)]
pub enum Noticed {
    Connected(Connection),
    Frame(ToServer),
    StreamEnded,
    Gone(ConnectionError),
}

#[derive(Clone, Copy)]
pub struct Manners {
    pub alpn: &'static [u8],
    pub idle: Duration,
    pub window: u32,
    pub reads: bool,
}

impl Default for Manners {
    fn default() -> Self {
        Self {
            alpn: ALPN,
            idle: IDLE_TIMEOUT,
            window: 64 * 1024,
            reads: true,
        }
    }
}

/// A server that answers pings, on a thread of its own.
pub struct Server {
    pub folder: TempDir,
    pub address: SocketAddr,
    pub noticed: Receiver<Noticed>,
    pub chain: Vec<CertificateDer<'static>>,
    _stop: oneshot::Sender<()>,
}

const CERTIFICATE: &str = "cert.pem";

impl Server {
    pub fn start(manners: Manners) -> Self {
        Self::start_on("127.0.0.1:0", manners)
    }

    pub fn start_on(listen: &str, manners: Manners) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        std::fs::write(folder.path().join(CERTIFICATE), made.cert.pem()).unwrap();
        let chain = vec![made.cert.der().clone()];
        let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        let mut tls = rustls::ServerConfig::builder_with_provider(Arc::new(
            rustls::crypto::ring::default_provider(),
        ))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain.clone(), key.into())
        .unwrap();
        tls.alpn_protocols = vec![manners.alpn.to_vec()];
        let tls = quinn::crypto::rustls::QuicServerConfig::try_from(tls).unwrap();
        let mut config = ServerConfig::with_crypto(Arc::new(tls));
        let mut transport = TransportConfig::default();
        transport
            .max_idle_timeout(Some(manners.idle.try_into().unwrap()))
            .stream_receive_window(manners.window.into());
        config.transport_config(Arc::new(transport));
        let (notice, noticed) = channel();
        let (stop, stopped) = oneshot::channel();
        let (bound, address) = channel();
        let listen = listen.parse().unwrap();
        thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let endpoint = Endpoint::server(config, listen).unwrap();
                bound.send(endpoint.local_addr().unwrap()).unwrap();
                tokio::select! {
                    () = accept(endpoint, notice, manners.reads) => {}
                    _ = stopped => {}
                }
            });
        });
        Self {
            folder,
            address: address.recv_timeout(PATIENCE).unwrap(),
            noticed,
            chain,
            _stop: stop,
        }
    }

    pub fn roots(&self) -> Roots {
        Roots::Pem(self.folder.path().join(CERTIFICATE))
    }

    pub fn next(&self) -> Noticed {
        self.noticed.recv_timeout(PATIENCE).unwrap()
    }

    pub fn connected(&self) -> Connection {
        match self.next() {
            Noticed::Connected(connection) => connection,
            other => panic!("{other:?}"),
        }
    }

    pub fn frame(&self) -> ToServer {
        match self.next() {
            Noticed::Frame(frame) => frame,
            other => panic!("{other:?}"),
        }
    }

    pub fn gone(&self) -> ConnectionError {
        match self.next() {
            Noticed::Gone(why) => why,
            other => panic!("{other:?}"),
        }
    }
}

async fn accept(endpoint: Endpoint, notice: Sender<Noticed>, reads: bool) {
    while let Some(incoming) = endpoint.accept().await {
        let notice = notice.clone();
        tokio::spawn(async move {
            let Ok(connection) = incoming.await else {
                return;
            };
            let _ = notice.send(Noticed::Connected(connection.clone()));
            let serving = async {
                if reads {
                    serve(&connection, &notice).await;
                }
                pending::<()>().await;
            };
            let why = tokio::select! {
                why = connection.closed() => why,
                () = serving => return,
            };
            let _ = notice.send(Noticed::Gone(why));
        });
    }
}

async fn serve(connection: &Connection, notice: &Sender<Noticed>) {
    let Ok((mut send, mut receive)) = connection.accept_bi().await else {
        return;
    };
    let mut frames = FrameBuffer::default();
    while let Ok(chunk) = receive.read_chunk(4096, true).await {
        let Some(chunk) = chunk else {
            let _ = notice.send(Noticed::StreamEnded);
            return;
        };
        frames.push(&chunk.bytes);
        while let Some(frame) = frames.next_frame::<ToServer>().unwrap() {
            let _ = notice.send(Noticed::Frame(frame.clone()));
            let token = match frame {
                ToServer::Ping(Ping { sent_at }) => {
                    send.write_all(&encode(&pong(sent_at)).unwrap())
                        .await
                        .unwrap();
                    continue;
                }
                ToServer::Renew(Renew { token }) => token,
                other => panic!("{other:?}"),
            };
            match token.as_str() {
                SEND_LONG => send
                    .write_all(&encode(&long_frame()).unwrap())
                    .await
                    .unwrap(),
                SEND_GARBAGE => send.write_all(&[0xff; 8]).await.unwrap(),
                SEND_LAST_AND_CLOSE => {
                    send.write_all(&encode(&pong(99)).unwrap()).await.unwrap();
                    send.finish().unwrap();
                    let _ = send.stopped().await;
                    connection.close(CODE_DONE, b"that is all");
                }
                _ => {}
            }
        }
    }
}

pub fn pong(ping_sent_at: i64) -> ToDevice {
    ToDevice::Pong(Pong {
        ping_sent_at,
        received_at: 1,
        sent_at: 2,
    })
}

pub fn long_frame() -> ToDevice {
    let message = "x".repeat(LONG_BYTES);
    ToDevice::Renewed(Renewed {
        result: Err(Error::new(Code::TokenInvalid, "token", message)),
    })
}

pub fn ping(sent_at: i64) -> ToServer {
    ToServer::Ping(Ping { sent_at })
}

pub fn ask(token: &str) -> ToServer {
    ToServer::Renew(Renew {
        token: token.to_owned(),
    })
}

/// A link and what it tells.
pub struct Device {
    pub link: QuicLink,
    pub events: Receiver<LinkEvent>,
}

impl Device {
    pub fn start(config: LinkConfig) -> Self {
        let (tell, events) = channel();
        let on_event = Box::new(move |event| {
            let _ = tell.send(event);
        });
        Self {
            link: QuicLink::start(config, on_event).unwrap(),
            events,
        }
    }

    pub fn of(server: &Server) -> Self {
        Self::start(LinkConfig::new(server.address.to_string(), server.roots()))
    }

    pub fn connect(&mut self, attempt: u64) {
        self.link.command(LinkCommand::Connect { attempt });
    }

    pub fn send(&mut self, attempt: u64, frame: ToServer) {
        self.link.command(LinkCommand::Send { attempt, frame });
    }

    pub fn next(&self) -> LinkEvent {
        self.events.recv_timeout(PATIENCE).unwrap()
    }

    pub fn up(&self) -> (u64, SocketAddr) {
        match self.next() {
            LinkEvent::Up { attempt, server } => (attempt, server),
            other => panic!("{other:?}"),
        }
    }

    pub fn frame(&self) -> ToDevice {
        match self.next() {
            LinkEvent::Frame { frame, .. } => frame,
            other => panic!("{other:?}"),
        }
    }

    pub fn down(&self) -> (u64, LinkDown) {
        match self.next() {
            LinkEvent::Down { attempt, why } => (attempt, why),
            other => panic!("{other:?}"),
        }
    }

    /// Asks for an attempt that is to fail, and says how.
    pub fn fails(config: LinkConfig) -> LinkDown {
        let mut device = Self::start(config);
        device.connect(1);
        let (attempt, why) = device.down();
        assert_eq!(attempt, 1);
        device.ends_silently();
        why
    }

    /// Nothing comes after the last event, to the end of the thread.
    pub fn ends_silently(self) {
        let Self { link, events } = self;
        drop(link);
        let left: Vec<_> = events.iter().collect();
        assert_eq!(left, []);
    }
}
