//! From a server's name to a connection.
//!
//! The addresses of a name are tried in the order they came in, each with a head start over the
//! next; the first handshake that succeeds wins. So a family of addresses that leads nowhere costs
//! a moment, not the whole time of the attempt.
//!
//! Only the first address gets the hello ahead of its handshake. It is closed in the same moment in
//! which another wins: a server that takes the same hello from two connections would believe in a
//! copy of the device.

use std::cell::RefCell;
use std::future::{Future, pending};
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use quinn::{ClientConfig, Connecting, Connection, ConnectionError};
use quinn::{RecvStream, SendStream, ZeroRttAccepted};
use rustls::pki_types::ServerName;
use tokio::net::lookup_host;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::mailbox::Mailbox;
use super::socket::Sockets;
use super::why;
use crate::client::transport::{DownKind, LinkDown};
use crate::error::Error;

/// Most addresses of a name that are tried.
const ADDRESSES_MAX: usize = 4;
/// How long an address is tried alone (RFC 8305 recommends as much).
const HEAD_START: Duration = Duration::from_millis(250);

/// Where the server is, and by which name it proves itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Name or address.
    pub host: String,
    /// UDP port.
    pub port: u16,
    /// The name that its certificate must be valid for.
    pub server_name: String,
}

impl Target {
    /// From `host:port`, `[v6]:port`, and another name for the certificate if it has one.
    ///
    /// # Errors
    /// [`crate::Code::InvalidParameter`], naming the parameter and what was given.
    pub fn parse(server: &str, server_name: Option<&str>) -> Result<Self, Error> {
        let wrong = |why: &str| {
            Error::parameter(
                "server",
                format!("{server:?} {why}; write host:port, 192.0.2.1:port or [2001:db8::1]:port"),
            )
        };
        let (host, port) = server
            .rsplit_once(':')
            .ok_or_else(|| wrong("has no port"))?;
        let port = port
            .parse()
            .ok()
            .filter(|port| *port != 0)
            .ok_or_else(|| wrong("has no port from 1 to 65535"))?;
        let bare = match host.strip_prefix('[') {
            Some(rest) => rest
                .strip_suffix(']')
                .ok_or_else(|| wrong("has a bracket that does not close"))?,
            None if host.contains(':') => {
                return Err(wrong("has an IPv6 address without brackets"));
            }
            None => host,
        };
        if bare.is_empty() {
            return Err(wrong("has no host"));
        }
        let name = server_name.unwrap_or(bare);
        ServerName::try_from(name).map_err(|_| {
            Error::parameter(
                "serverName",
                format!("{name:?} is no name of a host and no IP address"),
            )
        })?;
        Ok(Self {
            host: bare.to_owned(),
            port,
            server_name: name.to_owned(),
        })
    }
}

/// What is known of an attempt that has not succeeded yet, for whoever loses patience with it.
#[derive(Debug, Default)]
pub struct Progress {
    resolved: bool,
    failure: Option<LinkDown>,
}

impl Progress {
    /// The end of the attempt if nothing more is waited for.
    pub fn into_timeout(self, target: &Target, patience: Duration) -> LinkDown {
        let Target { host, port, .. } = target;
        if !self.resolved {
            return LinkDown::new(
                DownKind::Address,
                format!("the name {host} was not resolved within {patience:?}"),
            );
        }
        // A server that said no says more than an address of its that said nothing.
        self.failure.filter(says_something).unwrap_or_else(|| {
            LinkDown::new(
                DownKind::HandshakeTimeout,
                format!("no answer from {host}, UDP port {port}, within {patience:?}"),
            )
        })
    }
}

/// What comes of an attempt that succeeds.
#[derive(Debug)]
pub struct Dialled {
    /// The connection; its handshake is complete.
    pub connection: Connection,
    /// The stream that the hello went ahead on, if the server took it so.
    pub stream: Option<(SendStream, RecvStream)>,
}

/// A handshake that brings the hello along.
type Early<'a> = Pin<Box<dyn Future<Output = Result<Dialled, ConnectionError>> + 'a>>;

/// Resolves the name and connects; `hello` is where the hello comes from, and of which attempt. Does
/// not end by itself where nobody answers.
pub async fn dial(
    target: &Target,
    config: &ClientConfig,
    sockets: &RefCell<Sockets>,
    hello: (&Mailbox, u64),
    progress: &mut Progress,
) -> Result<Dialled, LinkDown> {
    let addresses = resolve(target).await?;
    progress.resolved = true;
    let mut addresses = addresses.into_iter();
    let mut handshakes = JoinSet::new();
    let mut early: Option<Early<'_>> = None;
    let mut is_first = true;
    let mut next = addresses.next();
    loop {
        if let Some(address) = next.take() {
            let started =
                sockets
                    .borrow_mut()
                    .connect(config.clone(), address, &target.server_name);
            match started {
                Ok(connecting) => {
                    if std::mem::take(&mut is_first) {
                        early = go_ahead(connecting, hello, &mut handshakes);
                    } else {
                        handshakes.spawn(connecting);
                    }
                }
                Err(down) => {
                    note(&mut progress.failure, down);
                    next = addresses.next();
                    if next.is_some() {
                        continue;
                    }
                }
            }
        }
        tokio::select! {
            // Looked at first: if it is complete, the server may have its hello already.
            biased;
            Some(ended) = ended(&mut early), if early.is_some() => {
                early = None;
                match ended {
                    Ok(dialled) => {
                        let server = dialled.connection.remote_address();
                        sockets.borrow_mut().keep_only(server);
                        return Ok(dialled);
                    }
                    Err(error) => note(&mut progress.failure, why::of_handshake(&error)),
                }
            }
            Some(ended) = handshakes.join_next() => match ended {
                Ok(Ok(connection)) => {
                    drop(early);
                    sockets.borrow_mut().keep_only(connection.remote_address());
                    return Ok(Dialled { connection, stream: None });
                }
                Ok(Err(error)) => note(&mut progress.failure, why::of_handshake(&error)),
                Err(error) => note(
                    &mut progress.failure,
                    LinkDown::new(DownKind::Lost, format!("the handshake was given up: {error}")),
                ),
            },
            () = sleep(HEAD_START), if addresses.len() > 0 => {}
            else => {
                return Err(progress.failure.take().unwrap_or_else(|| no_address(target)));
            }
        }
        next = addresses.next();
    }
}

/// Goes on with the hello where there is a session to resume, and without one elsewhere.
fn go_ahead<'a>(
    connecting: Connecting,
    hello: (&'a Mailbox, u64),
    handshakes: &mut JoinSet<Result<Connection, ConnectionError>>,
) -> Option<Early<'a>> {
    match connecting.into_0rtt() {
        Ok((connection, accepted)) => Some(Box::pin(bring_hello(connection, accepted, hello))),
        Err(connecting) => {
            handshakes.spawn(connecting);
            None
        }
    }
}

async fn bring_hello(
    connection: Connection,
    mut accepted: ZeroRttAccepted,
    (mailbox, attempt): (&Mailbox, u64),
) -> Result<Dialled, ConnectionError> {
    let (mut send, receive) = connection.open_bi().await?;
    let mut went = false;
    let is_accepted = tokio::select! {
        biased;
        hello = mailbox.hello(attempt) => {
            // A refusal is what `accepted` says, and an end what the connection does.
            went = send.write_all(&hello).await.is_ok();
            accepted.await
        }
        is_accepted = &mut accepted => is_accepted,
    };
    if let Some(error) = connection.close_reason() {
        return Err(error);
    }
    if !is_accepted {
        tracing::debug!("the server wants the hello after the handshake");
        let stream = None;
        return Ok(Dialled { connection, stream });
    }
    if went {
        mailbox.hello_went(attempt);
    }
    let stream = Some((send, receive));
    Ok(Dialled { connection, stream })
}

async fn ended(early: &mut Option<Early<'_>>) -> Option<Result<Dialled, ConnectionError>> {
    match early {
        Some(early) => Some(early.as_mut().await),
        None => pending().await,
    }
}

async fn resolve(target: &Target) -> Result<Vec<SocketAddr>, LinkDown> {
    let found = lookup_host((target.host.as_str(), target.port))
        .await
        .map_err(|error| {
            LinkDown::new(
                DownKind::Address,
                format!("the name {} was not resolved: {error}", target.host),
            )
        })?;
    let addresses: Vec<_> = found.take(ADDRESSES_MAX).collect();
    if addresses.is_empty() {
        return Err(no_address(target));
    }
    Ok(addresses)
}

fn no_address(target: &Target) -> LinkDown {
    LinkDown::new(
        DownKind::Address,
        format!("the name {} has no address", target.host),
    )
}

/// What a server said stays; what no server said gives way.
fn note(kept: &mut Option<LinkDown>, new: LinkDown) {
    if !kept.as_ref().is_some_and(says_something) {
        *kept = Some(new);
    }
}

/// Whether a server had a part in that end.
fn says_something(down: &LinkDown) -> bool {
    match down.kind {
        DownKind::Refused | DownKind::Certificate | DownKind::Protocol | DownKind::Closed => true,
        DownKind::HandshakeTimeout
        | DownKind::Lost
        | DownKind::Local
        | DownKind::Address
        | DownKind::Overflow => false,
    }
}
