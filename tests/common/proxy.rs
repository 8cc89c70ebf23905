//! A UDP proxy that stands between devices and a server on loopback.
//!
//! Every address that a device sends from is a flow, with a socket of its own towards the server.
//! Every datagram is recorded as it comes; a rule says whether it goes on; all that goes on can be
//! delayed by a fixed time. Nothing here knows QUIC.

// Several tests use a part of this each.
#![allow(dead_code)]

use std::collections::VecDeque;
use std::net::{SocketAddr, UdpSocket};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

/// How long a datagram can be.
const DATAGRAM_BYTES_MAX: usize = 2048;
/// How often threads look whether they are still wanted.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Longer than anything here takes, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(30);

/// A datagram on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// Counts the addresses that devices have sent from, from 0.
    pub flow: usize,
    pub from_device: bool,
    /// Whether the device had been handed anything on this flow when this one came. What a device
    /// sends before that is its first flight.
    pub is_answered: bool,
    /// Whether the rule let it go on.
    pub has_passed: bool,
    pub bytes: Vec<u8>,
}

/// Says of a datagram whether it goes on.
pub type Rule = Box<dyn FnMut(&Datagram) -> bool + Send>;

pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    front: UdpSocket,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    server: SocketAddr,
    rule: Option<Rule>,
    delay: Duration,
    flows: Vec<Flow>,
    record: Vec<Datagram>,
    /// Under way, in the order in which it arrives.
    under_way: VecDeque<(Instant, Datagram)>,
    stopped: bool,
}

struct Flow {
    device: SocketAddr,
    upstream: Arc<UdpSocket>,
    is_answered: bool,
}

impl Proxy {
    /// Stands before that server from now on.
    pub fn start(server: SocketAddr) -> Self {
        let front = bound();
        let address = front.local_addr().unwrap();
        let shared = Arc::new(Shared {
            front,
            state: Mutex::new(State {
                server,
                rule: None,
                delay: Duration::ZERO,
                flows: Vec::new(),
                record: Vec::new(),
                under_way: VecDeque::new(),
                stopped: false,
            }),
            changed: Condvar::new(),
        });
        let (taking, handing) = (Arc::clone(&shared), Arc::clone(&shared));
        thread::spawn(move || taking.take_from_devices());
        thread::spawn(move || handing.hand_over());
        Self { address, shared }
    }

    /// Where devices find it.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where new flows go.
    pub fn set_server(&self, server: SocketAddr) {
        self.shared.lock().server = server;
    }

    /// How long a datagram takes in either direction, from now on.
    pub fn set_delay(&self, delay: Duration) {
        self.shared.lock().delay = delay;
    }

    /// Which datagrams go on, from now on.
    pub fn set_rule(&self, rule: impl FnMut(&Datagram) -> bool + Send + 'static) {
        self.shared.lock().rule = Some(Box::new(rule));
    }

    /// All of them.
    pub fn pass_all(&self) {
        self.shared.lock().rule = None;
    }

    /// None of them, and none that is under way.
    pub fn cut(&self) {
        let mut state = self.shared.lock();
        state.rule = Some(Box::new(|_| false));
        state.under_way.clear();
    }

    /// How many flows there were.
    pub fn flows(&self) -> usize {
        self.shared.lock().flows.len()
    }

    /// Everything that came, in order.
    pub fn record(&self) -> Vec<Datagram> {
        self.shared.lock().record.clone()
    }

    /// Waits until what came is as wanted, and gives it.
    pub fn wait_for(&self, is_wanted: impl Fn(&[Datagram]) -> bool) -> Vec<Datagram> {
        let state = self.shared.lock();
        let (state, waited) = self
            .shared
            .changed
            .wait_timeout_while(state, PATIENCE, |state| !is_wanted(&state.record))
            .unwrap();
        assert!(!waited.timed_out(), "what was waited for did not come");
        state.record.clone()
    }

    /// What the device sent on that flow before it was handed anything.
    pub fn first_flight(&self, flow: usize) -> Vec<Vec<u8>> {
        let mut record = self.record();
        record.retain(|one| one.flow == flow && one.from_device && !one.is_answered);
        record.into_iter().map(|one| one.bytes).collect()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.lock().stopped = true;
        self.shared.changed.notify_all();
    }
}

/// Sends datagrams from a new socket of its own, which is given to hear what comes back.
pub fn replay(server: SocketAddr, datagrams: &[Vec<u8>]) -> UdpSocket {
    let socket = bound();
    for bytes in datagrams {
        socket.send_to(bytes, server).unwrap();
    }
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

fn bound() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(LOOK_EVERY)).unwrap();
    socket
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn take_from_devices(self: Arc<Self>) {
        let mut bytes = [0; DATAGRAM_BYTES_MAX];
        while !self.lock().stopped {
            let Ok((length, device)) = self.front.recv_from(&mut bytes) else {
                continue;
            };
            let known = self.lock().flows.iter().position(|it| it.device == device);
            let flow = known.unwrap_or_else(|| self.new_flow(device));
            self.take(flow, true, &bytes[..length]);
        }
    }

    fn new_flow(self: &Arc<Self>, device: SocketAddr) -> usize {
        let upstream = Arc::new(bound());
        let mut state = self.lock();
        upstream.connect(state.server).unwrap();
        let flow = state.flows.len();
        state.flows.push(Flow {
            device,
            upstream: Arc::clone(&upstream),
            is_answered: false,
        });
        drop(state);
        let shared = Arc::clone(self);
        thread::spawn(move || shared.take_from_server(flow, &upstream));
        flow
    }

    fn take_from_server(&self, flow: usize, upstream: &UdpSocket) {
        let mut bytes = [0; DATAGRAM_BYTES_MAX];
        while !self.lock().stopped {
            // An error is also that nobody listens there at the moment.
            if let Ok(length) = upstream.recv(&mut bytes) {
                self.take(flow, false, &bytes[..length]);
            }
        }
    }

    fn take(&self, flow: usize, from_device: bool, bytes: &[u8]) {
        let mut state = self.lock();
        let mut datagram = Datagram {
            flow,
            from_device,
            is_answered: state.flows[flow].is_answered,
            has_passed: true,
            bytes: bytes.to_vec(),
        };
        if let Some(rule) = &mut state.rule {
            datagram.has_passed = rule(&datagram);
        }
        if datagram.has_passed {
            let at = Instant::now() + state.delay;
            state.under_way.push_back((at, datagram.clone()));
        }
        state.record.push(datagram);
        drop(state);
        self.changed.notify_all();
    }

    fn hand_over(&self) {
        let mut state = self.lock();
        while !state.stopped {
            let now = Instant::now();
            let wait = match state.under_way.front() {
                Some((at, _)) if *at <= now => None,
                Some((at, _)) => Some((*at - now).min(LOOK_EVERY)),
                None => Some(LOOK_EVERY),
            };
            if let Some(wait) = wait {
                state = self.changed.wait_timeout(state, wait).unwrap().0;
                continue;
            }
            let Some((_, datagram)) = state.under_way.pop_front() else {
                continue;
            };
            let flow = &mut state.flows[datagram.flow];
            // What cannot be sent is lost, as anything can be.
            if datagram.from_device {
                let _ = flow.upstream.send(&datagram.bytes);
            } else {
                flow.is_answered = true;
                let _ = self.front.send_to(&datagram.bytes, flow.device);
            }
        }
    }
}
