//! A server that says what it is told to, whatever the protocol says.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use offhook::protocol::{
    ALPN, Cursor, Feed, FrameBuffer, Hello, Lane, Limits, ToDevice, ToServer, Welcome, encode,
};
use offhook::server::certificate;
use quinn::crypto::rustls::QuicServerConfig;
use quinn::{Endpoint, ServerConfig};

/// What it says to a frame, on which of the connections.
pub type Script = dyn Fn(usize, ToServer) -> Vec<ToDevice> + Send + Sync;

pub struct Fake {
    pub address: SocketAddr,
    pub ca: PathBuf,
    /// How many connections there were.
    pub connections: Arc<AtomicUsize>,
    _runtime: tokio::runtime::Runtime,
}

impl Fake {
    pub fn start(
        folder: &Path,
        script: impl Fn(usize, ToServer) -> Vec<ToDevice> + Send + Sync + 'static,
    ) -> Self {
        let folder = folder.join("trusted");
        let identity = certificate::load_or_create(&folder, &[], None, None).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut tls = rustls::ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(identity.chain, identity.key)
            .unwrap();
        tls.alpn_protocols = vec![ALPN.to_vec()];
        let config = ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls).unwrap()));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let endpoint = {
            let _entered = runtime.enter();
            Endpoint::server(config, "127.0.0.1:0".parse().unwrap()).unwrap()
        };
        let address = endpoint.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        let script: Arc<Script> = Arc::new(script);
        runtime.spawn(async move {
            while let Some(incoming) = endpoint.accept().await {
                let number = count.fetch_add(1, Ordering::Relaxed);
                let script = Arc::clone(&script);
                tokio::spawn(async move {
                    let Ok(connection) = incoming.await else {
                        return;
                    };
                    let Ok((mut send, mut receive)) = connection.accept_bi().await else {
                        return;
                    };
                    let mut buffer = FrameBuffer::default();
                    while let Ok(Some(chunk)) = receive.read_chunk(65_536, true).await {
                        buffer.push(&chunk.bytes);
                        while let Some(frame) = buffer.next_frame::<ToServer>().unwrap() {
                            for answer in script(number, frame) {
                                let bytes = encode(&answer).unwrap();
                                if send.write_all(&bytes).await.is_err() {
                                    return;
                                }
                            }
                        }
                    }
                });
            }
        });
        Self {
            address,
            ca: folder.join("cert.pem"),
            connections,
            _runtime: runtime,
        }
    }
}

/// A welcome as an honest server says it.
pub fn welcome(hello: &Hello) -> Welcome {
    Welcome {
        version: 1,
        server_time: 1_700_000_000_000,
        hello_sent_at: hello.sent_at,
        epoch: 7,
        cursor_valid: hello.cursor.epoch == 7,
        last_number: hello.next_number.saturating_sub(1),
        welcome_token: "w".to_owned(),
        limits: Limits {
            heartbeat_s: 10,
            offline_after_s: 35,
            extended_data_bytes_max: 2_048,
        },
    }
}

/// A batch of the feed.
pub fn feed(lane: Lane, seq: Option<u64>, last: bool, calls: Vec<offhook::call::Call>) -> ToDevice {
    ToDevice::Feed(Feed {
        lane,
        cursor: seq.map(|seq| Cursor { epoch: 7, seq }),
        settled: 0,
        last,
        calls,
    })
}
