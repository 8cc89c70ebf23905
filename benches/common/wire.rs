//! QUIC by hand: an endpoint of either side with one certificate, and a stream of frames.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use offhook::protocol::{ALPN, Frame, FrameBuffer, encode};
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{ClientConfig, Connection, Endpoint, RecvStream, SendStream, ServerConfig};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

/// Most bytes that are read at once.
const READ_BYTES: usize = 64 * 1024;

/// A server's endpoint on a free port of the loopback, and its certificate.
pub fn server() -> (Endpoint, CertificateDer<'static>) {
    server_with(0)
}

/// The same, with sessions that can be resumed with data in the first flight.
pub fn server_that_resumes() -> (Endpoint, CertificateDer<'static>) {
    server_with(u32::MAX)
}

fn server_with(early_bytes: u32) -> (Endpoint, CertificateDer<'static>) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()])
        .expect("a certificate of our own");
    let certificate = made.cert.der().clone();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("TLS 1.3")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .expect("the certificate");
    tls.alpn_protocols = vec![ALPN.to_vec()];
    tls.max_early_data_size = early_bytes;
    let crypto = QuicServerConfig::try_from(tls).expect("QUIC");
    let config = ServerConfig::with_crypto(Arc::new(crypto));
    let endpoint = Endpoint::server(config, loopback()).expect("a server's socket");
    (endpoint, certificate)
}

/// A device's endpoint, which trusts that certificate.
pub fn client(certificate: &CertificateDer<'static>) -> Endpoint {
    let mut endpoint = Endpoint::client(loopback()).expect("a device's socket");
    endpoint.set_default_client_config(client_config(certificate, false));
    endpoint
}

/// How a device connects that keeps sessions and sends its first data with the first flight.
pub fn client_that_resumes(certificate: &CertificateDer<'static>) -> ClientConfig {
    client_config(certificate, true)
}

fn client_config(certificate: &CertificateDer<'static>, early: bool) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).expect("the certificate");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("TLS 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    tls.alpn_protocols = vec![ALPN.to_vec()];
    tls.enable_early_data = early;
    ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).expect("QUIC")))
}

/// The certificate in a PEM file.
pub fn certificate_in(file: &Path) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(file).expect("the server's certificate")
}

fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

/// A connection with its one stream, which carries frames.
pub struct Line {
    connection: Connection,
    send: SendStream,
    receive: RecvStream,
    buffer: FrameBuffer,
}

impl Line {
    pub async fn open(endpoint: &Endpoint, server: SocketAddr) -> Self {
        let connecting = endpoint.connect(server, "localhost").expect("an attempt");
        let connection = connecting.await.expect("a connection");
        let (send, receive) = connection.open_bi().await.expect("a stream");
        Self {
            connection,
            send,
            receive,
            buffer: FrameBuffer::default(),
        }
    }

    /// Both halves, for who reads and writes at once.
    pub fn into_halves(self) -> (Connection, SendStream, Incoming) {
        let incoming = Incoming {
            receive: self.receive,
            buffer: self.buffer,
        };
        (self.connection, self.send, incoming)
    }

    pub async fn send<F: Frame>(&mut self, frame: &F) {
        let bytes = encode(frame).expect("a frame");
        self.send.write_all(&bytes).await.expect("a stream");
    }

    pub async fn send_bytes(&mut self, bytes: &[u8]) {
        self.send.write_all(bytes).await.expect("a stream");
    }

    /// The next frame, waiting for bytes only if there is none.
    pub async fn receive<F: Frame>(&mut self) -> F {
        loop {
            if let Some(frame) = self.buffer.next_frame().expect("a frame") {
                return frame;
            }
            let chunk = self.receive.read_chunk(READ_BYTES, true).await;
            let chunk = chunk.expect("a stream").expect("more of it");
            self.buffer.push(&chunk.bytes);
        }
    }

    /// A frame that has come already.
    pub fn at_hand<F: Frame>(&mut self) -> Option<F> {
        self.buffer.next_frame().expect("a frame")
    }
}

/// The reading half.
pub struct Incoming {
    receive: RecvStream,
    buffer: FrameBuffer,
}

impl Incoming {
    pub fn new(receive: RecvStream) -> Self {
        Self {
            receive,
            buffer: FrameBuffer::default(),
        }
    }

    /// The next frame; `None` when the peer is gone.
    pub async fn receive<F: Frame>(&mut self) -> Option<F> {
        loop {
            if let Some(frame) = self.buffer.next_frame().expect("a frame") {
                return Some(frame);
            }
            let chunk = self.receive.read_chunk(READ_BYTES, true).await.ok()??;
            self.buffer.push(&chunk.bytes);
        }
    }
}
