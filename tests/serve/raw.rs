//! A device of nothing but QUIC and frames.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use offhook::protocol::{ALPN, FrameBuffer, ToDevice, ToServer, encode};
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, Connection, Endpoint, RecvStream, SendStream};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(15);

/// A connection with its one stream.
pub struct Device {
    _endpoint: Endpoint,
    connection: Connection,
    send: SendStream,
    receive: RecvStream,
    buffer: FrameBuffer,
}

impl Device {
    /// Connects, trusting that certificate.
    pub async fn connect(server: SocketAddr, ca: &Path) -> Self {
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_file(ca).unwrap())
            .unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        tls.alpn_protocols = vec![ALPN.to_vec()];
        let config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()));
        let mut endpoint = Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
        endpoint.set_default_client_config(config);
        let connection = endpoint
            .connect(server, "localhost")
            .unwrap()
            .await
            .unwrap();
        let (send, receive) = connection.open_bi().await.unwrap();
        Self {
            _endpoint: endpoint,
            connection,
            send,
            receive,
            buffer: FrameBuffer::default(),
        }
    }

    /// Sends a frame.
    pub async fn send(&mut self, frame: &ToServer) {
        self.send_bytes(&encode(frame).unwrap()).await;
    }

    /// Sends bytes.
    pub async fn send_bytes(&mut self, bytes: &[u8]) {
        self.send.write_all(bytes).await.unwrap();
    }

    /// Sends bytes, if the server takes them.
    #[allow(dead_code, reason = "shared with other tests")]
    pub async fn try_send_bytes(&mut self, bytes: &[u8]) -> bool {
        let sent = tokio::time::timeout(PATIENCE, self.send.write_all(bytes)).await;
        sent.is_ok_and(|sent| sent.is_ok())
    }

    /// The next frame.
    pub async fn receive(&mut self) -> ToDevice {
        loop {
            if let Some(frame) = self.buffer.next_frame().unwrap() {
                return frame;
            }
            let chunk = tokio::time::timeout(PATIENCE, self.receive.read_chunk(65_536, true));
            let chunk = chunk.await.unwrap().unwrap().expect("the stream has ended");
            self.buffer.push(&chunk.bytes);
        }
    }

    #[allow(dead_code, reason = "shared with other tests")]
    /// Whether the server closes the connection.
    pub async fn is_closed(&self) -> bool {
        tokio::time::timeout(PATIENCE, self.connection.closed())
            .await
            .is_ok()
    }
}
