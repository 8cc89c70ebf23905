//! QUIC: takes connections, turns bytes into frames and back, and bounds what a peer can pin.
//!
//! A device opens one bidirectional stream on its connection; that is its session. A task a
//! connection reads and writes it. What it reads it hands to the service and waits while that is
//! busy, so a device that sends too much is slowed down by its own flow control; what it writes
//! comes from a bounded queue.

use std::collections::BTreeMap;
use std::future::Future;
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use quinn::crypto::rustls::QuicServerConfig;
use quinn::{
    Connection, ConnectionId, ConnectionIdGenerator, Endpoint, EndpointConfig, IdleTimeout,
    Incoming, RecvStream, SendStream, ServerConfig, TokioRuntime, TransportConfig, VarInt,
};
use ring::hmac;
use rustls::crypto::ring::default_provider;
use rustls::server::ServerSessionMemoryCache;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::ServerError;
use super::certificate::Identity;
use super::core::{ConnId, Input, QUEUE_FRAMES_MAX};
use super::service::{Message, Out};
use super::settings::Settings;
use crate::protocol::{ALPN, FrameBuffer, ToDevice, ToServer, encode};

/// Most connections.
const CONNECTIONS_MAX: usize = 65_536;
/// Most connections from one address.
const CONNECTIONS_PER_ADDRESS_MAX: usize = 4_096;
/// While more handshakes than this are under way, a peer has to show that its address is its own.
const RETRY_ABOVE_HANDSHAKES: usize = 256;
/// Most connections that wait for the service to look at them, and the bytes they may bring along:
/// each, and all together.
const INCOMING_MAX: usize = 1_024;
/// See [`INCOMING_MAX`].
const INCOMING_BYTES: u64 = 32 * 1024;
/// See [`INCOMING_MAX`].
const INCOMING_BYTES_TOTAL: u64 = 8 * 1024 * 1024;
/// Most bytes that a peer may send ahead on its stream; two of the largest frames.
const STREAM_WINDOW_BYTES: u32 = 32 * 1024;
/// Most bytes that a peer may send ahead on the whole.
const CONNECTION_WINDOW_BYTES: u32 = 64 * 1024;
/// Most bytes to a peer that are written and not acknowledged.
const SEND_WINDOW_BYTES: u64 = 512 * 1024;
/// Most bytes of TLS messages that are kept out of order.
const CRYPTO_BUFFER_BYTES: usize = 16 * 1024;
/// Most TLS sessions that are remembered for resumption.
const TLS_SESSIONS_MAX: usize = 16_384;
/// A handshake, and then the opening of the stream, take no longer.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);
/// Of a frame whose beginning has come, more comes within this time. That it comes to an end is the
/// core's to see, which hears whole frames only and closes who is silent.
const FRAME_WITHIN: Duration = Duration::from_secs(20);
/// What is written is taken by the peer within this time.
const WRITE_WITHIN: Duration = Duration::from_secs(20);
/// A last frame is waited for this long to be acknowledged.
const GOODBYE_WITHIN: Duration = Duration::from_secs(1);
/// Resets to connections of an earlier process go out this far apart at least. A reset is shorter
/// than what it answers.
const RESET_EVERY: Duration = Duration::from_millis(1);
/// Bytes of the ids that this side gives to connections.
const CONNECTION_ID_BYTES: usize = 8;
/// The transport forgets a peer this long after the service would have.
const IDLE_BEYOND_OFFLINE: Duration = Duration::from_secs(10);
/// Most bytes that are read at once.
const READ_BYTES: usize = 16 * 1024;
/// Most frames that are encoded for one write.
const FRAMES_PER_WRITE: usize = 32;
/// Frames are written in pieces of about this size.
const WRITE_BYTES: usize = 64 * 1024;
/// The service is told of written frames when there are this many of them. Fewer than the window of
/// the feed, so that a window never stays shut.
const WRITTEN_REPORT_FRAMES: usize = 4;

/// Binds the socket.
pub(super) fn bind(
    listen: SocketAddr,
    identity: Identity,
    settings: &Settings,
) -> Result<Endpoint, ServerError> {
    let listen_error = |source| ServerError::Listen { listen, source };
    let socket = UdpSocket::bind(listen).map_err(listen_error)?;
    let endpoint_config = endpoint_config(&identity);
    let config = server_config(identity, settings)?;
    Endpoint::new(
        endpoint_config,
        Some(config),
        socket,
        Arc::new(TokioRuntime),
    )
    .map_err(listen_error)
}

/// After a restart the devices' connections are unknown, and none of them is told by itself: what a
/// device sends is answered with a stateless reset, so that it connects anew at once and not after
/// the time in which it gives up waiting. That takes a key which outlives the process; it is made of
/// the certificate's. Servers that share a certificate's key and an address must not share this one.
fn endpoint_config(identity: &Identity) -> EndpointConfig {
    let secret = hmac::Key::new(hmac::HMAC_SHA256, identity.key.secret_der());
    let seed = hmac::sign(&secret, b"offhook stateless reset");
    let reset_key = hmac::Key::new(hmac::HMAC_SHA256, seed.as_ref());
    let mut config = EndpointConfig::new(Arc::new(reset_key));
    config
        .cid_generator(|| Box::new(ConnectionIds))
        .min_reset_interval(RESET_EVERY);
    config
}

/// Random, and without a mark that only one process knows: those of an earlier one are to be
/// answered.
struct ConnectionIds;

impl ConnectionIdGenerator for ConnectionIds {
    fn generate_cid(&mut self) -> ConnectionId {
        let mut bytes = [0; CONNECTION_ID_BYTES];
        if getrandom::fill(&mut bytes).is_err() {
            // As random as the rest of this process is: std seeds its hashers once a thread.
            bytes = RandomState::new().hash_one(()).to_ne_bytes();
        }
        ConnectionId::new(&bytes)
    }

    fn cid_len(&self) -> usize {
        CONNECTION_ID_BYTES
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}

fn server_config(identity: Identity, settings: &Settings) -> Result<ServerConfig, ServerError> {
    let tls_error = |error: &dyn std::fmt::Display| ServerError::Tls(error.to_string());
    let mut tls = rustls::ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| tls_error(&error))?
        .with_no_client_auth()
        .with_single_cert(identity.chain, identity.key)
        .map_err(|error| tls_error(&error))?;
    tls.alpn_protocols = vec![ALPN.to_vec()];
    // A resumed device may send its hello ahead. It is looked at when the handshake is complete,
    // so one that somebody has recorded and sends again has no effect.
    tls.max_early_data_size = u32::MAX;
    tls.session_storage = ServerSessionMemoryCache::new(TLS_SESSIONS_MAX);
    tls.send_tls13_tickets = 1;
    let crypto = QuicServerConfig::try_from(tls).map_err(|error| tls_error(&error))?;
    let mut config = ServerConfig::with_crypto(Arc::new(crypto));
    config
        .transport_config(Arc::new(transport_config(settings)?))
        .max_incoming(INCOMING_MAX)
        .incoming_buffer_size(INCOMING_BYTES)
        .incoming_buffer_size_total(INCOMING_BYTES_TOTAL);
    Ok(config)
}

fn transport_config(settings: &Settings) -> Result<TransportConfig, ServerError> {
    let idle = Duration::from_secs(settings.offline_after_s.into()) + IDLE_BEYOND_OFFLINE;
    let idle = IdleTimeout::try_from(idle).map_err(|error| ServerError::Tls(error.to_string()))?;
    let mut config = TransportConfig::default();
    config
        .max_concurrent_bidi_streams(VarInt::from_u32(1))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW_BYTES))
        .receive_window(VarInt::from_u32(CONNECTION_WINDOW_BYTES))
        .send_window(SEND_WINDOW_BYTES)
        .crypto_buffer_size(CRYPTO_BUFFER_BYTES)
        .datagram_receive_buffer_size(None)
        .max_idle_timeout(Some(idle));
    Ok(config)
}

/// Who is connected from where.
#[derive(Default)]
struct Census {
    per_address: BTreeMap<IpAddr, usize>,
    total: usize,
    handshakes: usize,
}

/// A connection's place in the census, given back when dropped.
struct Place {
    census: Arc<Mutex<Census>>,
    address: IpAddr,
    in_handshake: bool,
}

impl Place {
    /// Takes a place, or says which bound is reached.
    fn take(census: &Arc<Mutex<Census>>, address: IpAddr) -> Result<Self, &'static str> {
        let mut counts = census.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.total >= CONNECTIONS_MAX {
            return Err("too many connections");
        }
        let here = counts.per_address.entry(address).or_default();
        if *here >= CONNECTIONS_PER_ADDRESS_MAX {
            return Err("too many connections from this address");
        }
        *here += 1;
        counts.total += 1;
        counts.handshakes += 1;
        Ok(Self {
            census: Arc::clone(census),
            address,
            in_handshake: true,
        })
    }

    fn handshake_done(&mut self) {
        if std::mem::take(&mut self.in_handshake) {
            let mut counts = self.census.lock().unwrap_or_else(PoisonError::into_inner);
            counts.handshakes -= 1;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.handshake_done();
        let mut counts = self.census.lock().unwrap_or_else(PoisonError::into_inner);
        counts.total -= 1;
        if let Some(here) = counts.per_address.get_mut(&self.address) {
            *here -= 1;
            if *here == 0 {
                counts.per_address.remove(&self.address);
            }
        }
    }
}

/// Takes connections until the endpoint is closed.
pub(super) async fn accept(endpoint: Endpoint, service: mpsc::Sender<Message>) {
    let census = Arc::new(Mutex::new(Census::default()));
    let mut count = 0;
    while let Some(incoming) = endpoint.accept().await {
        let peer = incoming.remote_address();
        let handshakes = census
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .handshakes;
        if handshakes > RETRY_ABOVE_HANDSHAKES
            && !incoming.remote_address_validated()
            && incoming.may_retry()
        {
            // It can, so this does not fail.
            let _ = incoming.retry();
            continue;
        }
        match Place::take(&census, peer.ip()) {
            Ok(place) => {
                count += 1;
                tokio::spawn(serve(incoming, ConnId(count), place, service.clone()));
            }
            Err(why) => {
                tracing::warn!(%peer, why, "refused a connection");
                incoming.refuse();
            }
        }
    }
}

/// A connection's life.
async fn serve(incoming: Incoming, conn: ConnId, mut place: Place, service: mpsc::Sender<Message>) {
    let peer = incoming.remote_address();
    let connection = match timeout(HANDSHAKE_WITHIN, handshake(incoming)).await {
        Ok(Some(connection)) => connection,
        Ok(None) | Err(_) => return,
    };
    place.handshake_done();
    let stream = timeout(HANDSHAKE_WITHIN, connection.accept_bi()).await;
    let Ok(Ok((send, receive))) = stream else {
        connection.close(VarInt::from_u32(0), b"no stream was opened");
        return;
    };
    let (out, queue) = mpsc::channel(QUEUE_FRAMES_MAX + FRAMES_PER_WRITE);
    if service
        .send(Message::Connected { conn, peer, out })
        .await
        .is_ok()
    {
        talk(conn, send, receive, queue, &service).await;
    }
    connection.close(VarInt::from_u32(0), b"");
}

/// Boxed, because it is needed for a moment only and a task is as large as its largest moment.
fn handshake(
    incoming: Incoming,
) -> std::pin::Pin<Box<dyn Future<Output = Option<Connection>> + Send>> {
    Box::pin(async move {
        let peer = incoming.remote_address();
        let connecting = incoming.accept().ok()?;
        match connecting.await {
            Ok(connection) => Some(connection),
            Err(error) => {
                tracing::debug!(%peer, %error, "a handshake failed");
                None
            }
        }
    })
}

/// Reads and writes at once, until the service ends it or the peer is gone.
async fn talk(
    conn: ConnId,
    send: SendStream,
    receive: RecvStream,
    queue: mpsc::Receiver<Out>,
    service: &mpsc::Sender<Message>,
) {
    let mut writing = std::pin::pin!(write(conn, send, queue, service));
    let end = tokio::select! {
        () = &mut writing => None,
        end = read(conn, receive, service) => Some(end),
    };
    // Nothing more will be read; the service has the last word, if only by dropping the queue.
    if let Some(end) = end
        && service.send(Message::Input(end)).await.is_ok()
    {
        // A peer that takes longer is cut off by the close that follows.
        let _ = timeout(WRITE_WITHIN + GOODBYE_WITHIN, writing).await;
    }
}

/// Hands frames to the service; gives how it ended.
async fn read(conn: ConnId, mut receive: RecvStream, service: &mpsc::Sender<Message>) -> Input {
    let mut buffer = FrameBuffer::default();
    loop {
        let chunk = if buffer.is_partial() {
            match timeout(FRAME_WITHIN, receive.read_chunk(READ_BYTES, true)).await {
                Ok(chunk) => chunk,
                Err(_) => {
                    let reason = "the rest of a frame did not come".to_owned();
                    return Input::Broken { conn, reason };
                }
            }
        } else {
            buffer = FrameBuffer::default(); // an idle connection holds no buffer
            receive.read_chunk(READ_BYTES, true).await
        };
        let Ok(Some(chunk)) = chunk else {
            return Input::Disconnected { conn };
        };
        buffer.push(&chunk.bytes);
        loop {
            match buffer.next_frame::<ToServer>() {
                Ok(None) => break,
                Ok(Some(frame)) => {
                    let input = Message::Input(Input::Frame { conn, frame });
                    if service.send(input).await.is_err() {
                        return Input::Disconnected { conn };
                    }
                }
                Err(error) => {
                    let reason = error.to_string();
                    return Input::Broken { conn, reason };
                }
            }
        }
    }
}

/// Writes what the service hands out, several frames at once where they have queued up.
async fn write(
    conn: ConnId,
    mut send: SendStream,
    mut queue: mpsc::Receiver<Out>,
    service: &mpsc::Sender<Message>,
) {
    let mut outs = Vec::new();
    let mut unreported = 0;
    loop {
        outs.clear();
        if queue.recv_many(&mut outs, FRAMES_PER_WRITE).await == 0 {
            return; // the service has dropped it
        }
        let mut bytes = Vec::new();
        let mut is_last = false;
        for out in outs.drain(..) {
            let frame = match out {
                Out::Frame(frame) => *frame,
                Out::Close(goodbye) => {
                    is_last = true;
                    match goodbye {
                        Some(goodbye) => ToDevice::Goodbye(goodbye),
                        None => break,
                    }
                }
            };
            unreported += 1;
            match encode(&frame) {
                Ok(encoded) => bytes.extend_from_slice(&encoded),
                Err(error) => {
                    tracing::error!(conn = conn.0, %error, "a frame of ours cannot be sent");
                    return;
                }
            }
            if bytes.len() >= WRITE_BYTES {
                if !write_bytes(&mut send, &bytes).await {
                    return;
                }
                bytes.clear();
            }
        }
        if !bytes.is_empty() && !write_bytes(&mut send, &bytes).await {
            return;
        }
        if is_last {
            return finish(send).await;
        }
        if unreported >= WRITTEN_REPORT_FRAMES {
            let frames = std::mem::take(&mut unreported);
            let written = Message::Input(Input::Written { conn, frames });
            if service.send(written).await.is_err() {
                return;
            }
        }
    }
}

/// Whether the peer took it in time.
async fn write_bytes(send: &mut SendStream, bytes: &[u8]) -> bool {
    matches!(
        timeout(WRITE_WITHIN, send.write_all(bytes)).await,
        Ok(Ok(()))
    )
}

/// Ends the stream, and gives its last frame time to arrive.
async fn finish(mut send: SendStream) {
    if send.finish().is_ok() {
        // Acknowledged or not, there is nothing more to do for it.
        let _ = timeout(GOODBYE_WITHIN, send.stopped()).await;
    }
}
