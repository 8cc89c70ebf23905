//! QUIC: takes connections, turns bytes into frames and back, and bounds what a peer can pin.
//!
//! A device opens one bidirectional stream on its connection; that is its session. A task a
//! connection reads and writes it. What it reads it hands to the service and waits while that is
//! busy, so a device that sends too much is slowed down by its own flow control; what it writes
//! comes from a bounded queue.

use std::future::Future;
use std::hash::{BuildHasher, RandomState};
use std::net::{SocketAddr, UdpSocket};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use quinn::crypto::rustls::QuicServerConfig;
use quinn::{
    Connection, ConnectionId, ConnectionIdGenerator, Endpoint, EndpointConfig, IdleTimeout,
    Incoming, RecvStream, SendStream, ServerConfig, TokioRuntime, TransportConfig, VarInt,
    ZeroRttAccepted,
};
use ring::hmac;
use rustls::crypto::ring::default_provider;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};

use super::ServerError;
use super::addresses::{Census, Place, token_key, token_rules};
use super::certificate::Identity;
use super::core::{ConnId, Input, QUEUE_FRAMES_MAX};
use super::service::{Message, Out};
use super::sessions::TlsSessions;
use super::settings::Settings;
use crate::protocol::{ALPN, FrameBuffer, ToDevice, ToServer, encode};

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
/// How often a device can try to come back with its hello ahead before it has been connected again:
/// each attempt uses a TLS session up, also one that nobody answers.
const TICKETS: usize = 4;
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
    sessions: Arc<TlsSessions>,
    settings: &Settings,
) -> Result<Endpoint, ServerError> {
    let listen_error = |source| ServerError::Listen { listen, source };
    let socket = UdpSocket::bind(listen).map_err(listen_error)?;
    let endpoint_config = endpoint_config(&identity);
    let config = server_config(identity, sessions, settings)?;
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

fn server_config(
    identity: Identity,
    sessions: Arc<TlsSessions>,
    settings: &Settings,
) -> Result<ServerConfig, ServerError> {
    let token_key = token_key(&identity.key);
    let tls_error = |error: &dyn std::fmt::Display| ServerError::Tls(error.to_string());
    let mut tls = rustls::ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| tls_error(&error))?
        .with_no_client_auth()
        .with_single_cert(identity.chain, identity.key)
        .map_err(|error| tls_error(&error))?;
    tls.alpn_protocols = vec![ALPN.to_vec()];
    // A resumed device may send its hello ahead. Until the handshake is complete it is answered by
    // reading alone, so one that somebody has recorded and sends again has no effect.
    tls.max_early_data_size = u32::MAX;
    tls.session_storage = sessions;
    tls.send_tls13_tickets = TICKETS;
    let crypto = QuicServerConfig::try_from(tls).map_err(|error| tls_error(&error))?;
    let mut config = ServerConfig::new(Arc::new(crypto), Arc::new(token_key));
    config
        .validation_token_config(token_rules())
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

/// Takes connections until the endpoint is closed.
pub(super) async fn accept(endpoint: Endpoint, service: mpsc::Sender<Message>) {
    let census = Arc::new(Mutex::new(Census::default()));
    let mut count = 0;
    while let Some(incoming) = endpoint.accept().await {
        let peer = incoming.remote_address();
        if Census::handshakes(&census) > RETRY_ABOVE_HANDSHAKES
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
    let Some(opened) = open(incoming, &mut place).await else {
        return;
    };
    let connection = opened.connection.clone();
    let (out, queue) = mpsc::channel(QUEUE_FRAMES_MAX + FRAMES_PER_WRITE);
    let connected = Message::Connected {
        conn,
        peer,
        early: opened.unconfirmed.is_some(),
        out,
    };
    if service.send(connected).await.is_ok() {
        talk(conn, opened, &mut place, queue, &service).await;
    }
    connection.close(VarInt::from_u32(0), b"");
}

/// A connection on which the device has opened its stream.
struct Opened {
    connection: Connection,
    send: SendStream,
    receive: RecvStream,
    /// What was read and is not worked on yet: a frame, and then bytes.
    first: Option<ToServer>,
    buffer: FrameBuffer,
    /// What completes the handshake, if that is still to come, and until when it may.
    unconfirmed: Option<(ZeroRttAccepted, Instant)>,
}

/// Boxed, because it is needed for a moment only and a task is as large as its largest moment.
fn open(
    incoming: Incoming,
    place: &mut Place,
) -> Pin<Box<dyn Future<Output = Option<Opened>> + Send + '_>> {
    Box::pin(async move {
        let peer = incoming.remote_address();
        let deadline = Instant::now() + HANDSHAKE_WITHIN;
        let (connection, mut established) = incoming.accept().ok()?.into_0rtt().ok()?;
        // A stream that is there before the handshake is complete came with the first packet.
        let ahead = timeout_at(deadline, async {
            tokio::select! {
                biased;
                _ = &mut established => None,
                stream = connection.accept_bi() => stream.ok(),
            }
        });
        let mut buffer = FrameBuffer::default();
        let (mut first, mut stream) = (None, ahead.await.ok()?);
        if let Some((_, receive)) = &mut stream {
            first = timeout_at(
                deadline,
                first_frame(receive, &mut buffer, &mut established),
            )
            .await
            .ok()??;
        }
        let is_complete = first.is_none() || is_ready(&mut established).await;
        if let Some(error) = connection.close_reason() {
            tracing::debug!(%peer, %error, "a handshake failed");
            return None;
        }
        if is_complete {
            place.handshake_done();
        }
        let (send, receive) = match stream {
            Some(stream) => stream,
            None => match timeout(HANDSHAKE_WITHIN, connection.accept_bi()).await {
                Ok(Ok(stream)) => stream,
                Ok(Err(_)) | Err(_) => {
                    connection.close(VarInt::from_u32(0), b"no stream was opened");
                    return None;
                }
            },
        };
        Some(Opened {
            connection,
            send,
            receive,
            first,
            buffer,
            unconfirmed: (!is_complete).then_some((established, deadline)),
        })
    })
}

/// The first frame, if it comes before the handshake is complete; then there is none, and what has
/// come of it is in the buffer. Nothing at all for a peer that says something else or goes.
async fn first_frame(
    receive: &mut RecvStream,
    buffer: &mut FrameBuffer,
    established: &mut ZeroRttAccepted,
) -> Option<Option<ToServer>> {
    loop {
        let chunk = tokio::select! {
            biased;
            chunk = receive.read_chunk(READ_BYTES, true) => chunk.ok()??,
            _ = &mut *established => return Some(None),
        };
        buffer.push(&chunk.bytes);
        let frame = buffer.next_frame::<ToServer>().ok()?;
        if frame.is_some() {
            return Some(frame);
        }
    }
}

async fn is_ready(established: &mut ZeroRttAccepted) -> bool {
    tokio::select! {
        biased;
        _ = established => true,
        () = std::future::ready(()) => false,
    }
}

/// Reads and writes at once, until the service ends it or the peer is gone.
async fn talk(
    conn: ConnId,
    opened: Opened,
    place: &mut Place,
    queue: mpsc::Receiver<Out>,
    service: &mpsc::Sender<Message>,
) {
    let Opened {
        connection,
        send,
        receive,
        first,
        buffer,
        unconfirmed,
    } = opened;
    let mut writing = std::pin::pin!(write(conn, send, queue, service));
    let reading = async {
        if let Some(frame) = first {
            hand_over(service, Input::Frame { conn, frame }).await?;
        }
        if let Some((established, deadline)) = unconfirmed {
            let is_over = timeout_at(deadline, established).await.is_ok();
            if !is_over || connection.close_reason().is_some() {
                let peer = connection.remote_address();
                tracing::debug!(conn = conn.0, %peer, "an early hello was never confirmed");
                return None;
            }
            place.handshake_done();
            hand_over(service, Input::Confirmed { conn }).await?;
        }
        Some(read(conn, receive, buffer, service).await)
    };
    let end = tokio::select! {
        () = &mut writing => None,
        end = reading => Some(end.unwrap_or(Input::Disconnected { conn })),
    };
    // Nothing more will be read; the service has the last word, if only by dropping the queue.
    if let Some(end) = end
        && hand_over(service, end).await.is_some()
    {
        // A peer that takes longer is cut off by the close that follows.
        let _ = timeout(WRITE_WITHIN + GOODBYE_WITHIN, writing).await;
    }
}

/// Nothing if the service is gone.
async fn hand_over(service: &mpsc::Sender<Message>, input: Input) -> Option<()> {
    service.send(Message::Input(input)).await.ok()
}

/// Hands frames to the service; gives how it ended.
async fn read(
    conn: ConnId,
    mut receive: RecvStream,
    mut buffer: FrameBuffer,
    service: &mpsc::Sender<Message>,
) -> Input {
    loop {
        loop {
            match buffer.next_frame::<ToServer>() {
                Ok(None) => break,
                Ok(Some(frame)) => {
                    if hand_over(service, Input::Frame { conn, frame })
                        .await
                        .is_none()
                    {
                        return Input::Disconnected { conn };
                    }
                }
                Err(error) => {
                    let reason = error.to_string();
                    return Input::Broken { conn, reason };
                }
            }
        }
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
