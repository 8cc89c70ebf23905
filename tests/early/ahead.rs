//! What the link sends ahead of the handshake.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use offhook::client::link::{LinkConfig, QuicLink};
use offhook::client::transport::{LinkCommand, LinkEvent, Transport};
use offhook::protocol::{ALPN, Capabilities, Cursor, FrameBuffer, Hello, Ping, ToServer};
use offhook::server::certificate;
use offhook::{DeviceId, Roots, UserId};
use quinn::crypto::rustls::QuicServerConfig;
use quinn::{Endpoint, ServerConfig, TransportConfig};

use crate::proxy::Proxy;
use crate::stage::{PATIENCE, UNDER_WAY};

/// Ends a conversation in which the server hears nothing more.
const IDLE: Duration = Duration::from_secs(1);

fn hello() -> ToServer {
    ToServer::Hello(Box::new(Hello {
        version_min: 1,
        version_max: 1,
        build: "test".to_owned(),
        capabilities: Capabilities::OURS,
        user: UserId::parse("userID", "bob").unwrap(),
        token: None,
        device: DeviceId::parse("deviceID", "b1").unwrap(),
        welcome_token: None,
        cursor: Cursor::default(),
        next_number: 1,
        first_unsettled: 1,
        open_calls: Vec::new(),
        sent_at: 1,
    }))
}

fn ping(sent_at: i64) -> ToServer {
    ToServer::Ping(Ping { sent_at })
}

/// A server that takes early data and tells what it read on each connection until it ended.
fn server(config: ServerConfig, heard: Sender<Vec<ToServer>>) -> std::net::SocketAddr {
    let (tell, address) = channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async move {
            let endpoint = Endpoint::server(config, "127.0.0.1:0".parse().unwrap()).unwrap();
            tell.send(endpoint.local_addr().unwrap()).unwrap();
            while let Some(incoming) = endpoint.accept().await {
                let heard = heard.clone();
                let connecting = incoming.accept().unwrap();
                let Ok((connection, _)) = connecting.into_0rtt() else {
                    continue;
                };
                tokio::spawn(async move {
                    let mut frames = Vec::new();
                    let mut buffer = FrameBuffer::default();
                    if let Ok((_send, mut receive)) = connection.accept_bi().await {
                        while let Ok(Some(chunk)) = receive.read_chunk(4096, true).await {
                            buffer.push(&chunk.bytes);
                            while let Some(frame) = buffer.next_frame::<ToServer>().unwrap() {
                                frames.push(frame);
                            }
                        }
                    }
                    let _ = heard.send(frames);
                });
            }
        });
    });
    address.recv_timeout(PATIENCE).unwrap()
}

fn up(events: &Receiver<LinkEvent>, wanted: u64) {
    loop {
        match events.recv_timeout(PATIENCE).unwrap() {
            LinkEvent::Up { attempt, .. } if attempt == wanted => return,
            LinkEvent::Up { .. } | LinkEvent::Frame { .. } | LinkEvent::Down { .. } => {}
        }
    }
}

#[test]
fn the_hello_goes_ahead_and_nothing_else_does() {
    let folder = tempfile::tempdir().unwrap();
    let identity = certificate::load_or_create(folder.path(), &[], None, None).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(identity.chain, identity.key)
        .unwrap();
    tls.alpn_protocols = vec![ALPN.to_vec()];
    tls.max_early_data_size = u32::MAX;
    let mut config = ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls).unwrap()));
    let mut transport = TransportConfig::default();
    transport.max_idle_timeout(Some(IDLE.try_into().unwrap()));
    config.transport_config(Arc::new(transport));
    let (tell, heard) = channel();
    let proxy = Proxy::start(server(config, tell));

    let (tell, events) = channel();
    let roots = Roots::Pem(folder.path().join("cert.pem"));
    let link_config = LinkConfig::new(proxy.address().to_string(), roots);
    let on_event = Box::new(move |event| {
        let _ = tell.send(event);
    });
    let mut link = QuicLink::start(link_config, on_event).unwrap();
    let mut say_all = |attempt| {
        link.command(LinkCommand::Connect { attempt });
        for number in 0..10 {
            link.command(LinkCommand::Send {
                attempt,
                frame: ping(number),
            });
        }
        link.command(LinkCommand::Send {
            attempt,
            frame: hello(),
        });
        for number in 10..20 {
            link.command(LinkCommand::Send {
                attempt,
                frame: ping(number),
            });
        }
    };
    let everything: Vec<ToServer> = std::iter::once(hello()).chain((0..20).map(ping)).collect();

    // The first time there is no session: all of it comes after the handshake, the hello first.
    say_all(1);
    up(&events, 1);
    proxy.wait_for(|record| record.iter().filter(|one| !one.from_device).count() > 3);
    assert_eq!(heard.recv_timeout(PATIENCE).unwrap(), everything);

    // Then there is one. What the device says after it was answered does not arrive.
    proxy.set_delay(UNDER_WAY);
    let flow = proxy.flows();
    proxy.set_rule(move |one| !(one.from_device && one.is_answered && one.flow >= flow));
    say_all(2);
    up(&events, 2);
    assert_eq!(heard.recv_timeout(PATIENCE).unwrap(), [hello()]);

    // And with nothing held back all of it does, the hello once.
    proxy.pass_all();
    say_all(3);
    up(&events, 3);
    assert_eq!(heard.recv_timeout(PATIENCE).unwrap(), everything);
}
