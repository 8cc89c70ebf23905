//! Sockets that can be cut off from the network at once and for good.

use std::fmt;
use std::io::{self, IoSliceMut};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use quinn::udp::{RecvMeta, Transmit};
use quinn::{
    AsyncUdpSocket, ClientConfig, Connecting, Endpoint, EndpointConfig, Runtime, TokioRuntime,
    UdpPoller,
};

use crate::client::transport::{DownKind, LinkDown};

/// Stands between sockets and the network; once shut it never opens again.
#[derive(Clone, Debug, Default)]
pub struct Gate(Arc<AtomicBool>);

impl Gate {
    /// From now on nothing goes out and nothing comes in.
    pub fn shut(&self) {
        self.0.store(true, Ordering::Release);
    }

    fn is_shut(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// A socket behind a gate. Behind a shut one the connection above believes that it sends, so that it
/// can say its goodbyes to nobody and go.
struct GatedSocket {
    inner: Arc<dyn AsyncUdpSocket>,
    gate: Gate,
}

impl AsyncUdpSocket for GatedSocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Arc::clone(&self.inner).create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        if self.gate.is_shut() {
            return Ok(());
        }
        self.inner.try_send(transmit)
    }

    fn poll_recv(
        &self,
        context: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        // What arrives stays in the system's buffer, which goes with the socket. No waker is left
        // behind: there is nothing to wake for, and the endpoint's other events still wake it.
        if self.gate.is_shut() {
            return Poll::Pending;
        }
        self.inner.poll_recv(context, buffers, meta)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.inner.max_transmit_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.inner.max_receive_segments()
    }

    fn may_fragment(&self) -> bool {
        self.inner.may_fragment()
    }
}

impl fmt::Debug for GatedSocket {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("GatedSocket")
            .field("gate", &self.gate)
            .finish_non_exhaustive()
    }
}

/// The sockets of one attempt: one for each family of addresses, opened when first needed, because
/// not every system lets one socket reach both.
#[derive(Debug)]
pub struct Sockets {
    gate: Gate,
    v4: Option<Endpoint>,
    v6: Option<Endpoint>,
}

impl Sockets {
    /// None yet; all of them will be behind that gate.
    pub fn new(gate: Gate) -> Self {
        Self {
            gate,
            v4: None,
            v6: None,
        }
    }

    /// Begins a handshake.
    pub fn connect(
        &mut self,
        config: ClientConfig,
        server: SocketAddr,
        server_name: &str,
    ) -> Result<Connecting, LinkDown> {
        let no_way = |error: &dyn fmt::Display| {
            LinkDown::new(DownKind::Address, format!("no way to {server}: {error}"))
        };
        let kept = if server.is_ipv4() {
            &mut self.v4
        } else {
            &mut self.v6
        };
        let endpoint = match kept {
            Some(endpoint) => endpoint,
            None => {
                let socket = open(&self.gate, server.is_ipv4()).map_err(|error| no_way(&error))?;
                let endpoint = Endpoint::new_with_abstract_socket(
                    EndpointConfig::default(),
                    None,
                    socket,
                    Arc::new(TokioRuntime),
                )
                .map_err(|error| no_way(&error))?;
                kept.insert(endpoint)
            }
        };
        endpoint
            .connect_with(config, server, server_name)
            .map_err(|error| no_way(&error))
    }

    /// Lets go of what the connection to `server` does not need.
    pub fn keep_only(&mut self, server: SocketAddr) {
        if server.is_ipv4() {
            self.v6 = None;
        } else {
            self.v4 = None;
        }
    }

    /// None any more, and the next behind the same gate.
    pub fn anew(&self) -> Self {
        Self::new(self.gate.clone())
    }

    /// Moves every connection to a new local address.
    pub fn rebind(&self) -> io::Result<()> {
        for (endpoint, is_v4) in [(&self.v4, true), (&self.v6, false)] {
            if let Some(endpoint) = endpoint {
                endpoint.rebind_abstract(open(&self.gate, is_v4)?)?;
            }
        }
        Ok(())
    }
}

fn open(gate: &Gate, is_v4: bool) -> io::Result<Arc<dyn AsyncUdpSocket>> {
    let any = if is_v4 {
        SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))
    } else {
        SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0))
    };
    let inner = TokioRuntime.wrap_udp_socket(UdpSocket::bind(any)?)?;
    Ok(Arc::new(GatedSocket {
        inner,
        gate: gate.clone(),
    }))
}
