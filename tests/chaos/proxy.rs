//! The network between a device and the server: a relay of datagrams that loses, delays, reorders,
//! repeats and cuts them, and that gives a device another address towards the server, as a router
//! does that has forgotten it.
//!
//! A device's socket has a socket of its own towards the server, so that a device that moves to
//! another port comes from another one there as well. One thread a relay; its chance is seeded.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, mpsc};
use std::task::Poll;
use std::time::Duration;

use tokio::io::ReadBuf;
use tokio::net::UdpSocket;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::random::Random;

/// Datagrams on their way through a relay, at most; what comes beyond is lost.
const QUEUE_MAX: usize = 1_024;
/// Sockets of a device at a time; the one that was silent longest goes.
const PATHS_MAX: usize = 4;
/// No datagram is longer.
const DATAGRAM_BYTES_MAX: usize = 64 * 1024;

/// Where the server is, which may change while datagrams are on their way.
pub type Target = Arc<Mutex<SocketAddr>>;

/// What happens to datagrams in one direction. The default is a network that does nothing to them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weather {
    /// Of a thousand, so many are lost.
    pub lost_permille: u64,
    /// Of a thousand, so many come twice.
    pub twice_permille: u64,
    /// All of them take so long.
    pub delay: Duration,
    /// And up to so much longer, each by itself, so that they overtake each other.
    pub jitter: Duration,
    /// None comes through.
    pub cut: bool,
}

impl Weather {
    pub const CUT: Self = Self {
        lost_permille: 0,
        twice_permille: 0,
        delay: Duration::ZERO,
        jitter: Duration::ZERO,
        cut: true,
    };
}

/// What became of datagrams.
#[derive(Debug, Default)]
pub struct Counts {
    pub passed: AtomicU64,
    pub lost: AtomicU64,
    pub twice: AtomicU64,
    /// New addresses towards the server, the first of each of the device's sockets included.
    pub addresses: AtomicU64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Wishes {
    up: Weather,
    down: Weather,
    /// How often a new address towards the server was wished for.
    moves: u64,
    over: bool,
}

#[derive(Debug, Default)]
struct Control {
    wishes: Mutex<Wishes>,
    changed: Notify,
    counts: Counts,
}

impl Control {
    fn wishes(&self) -> MutexGuard<'_, Wishes> {
        self.wishes.lock().expect("nobody panics with it")
    }
}

/// A relay. Dropping it closes it.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    control: Arc<Control>,
}

impl Proxy {
    /// A relay to whatever server is the target.
    pub fn new(target: Target, random: Random) -> Self {
        let control = Arc::new(Control::default());
        let its = Arc::clone(&control);
        let (sender, address) = mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async {
                let front = socket().await;
                let address = front.local_addr().expect("an address");
                sender.send(address).expect("it waits for it");
                Relay::new(front, target, its, random).run().await;
            });
        });
        Self {
            address: address.recv().expect("the relay's address"),
            control,
        }
    }

    /// What the device takes for the server.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on, towards the server and towards the device.
    pub fn set(&self, up: Weather, down: Weather) {
        let mut wishes = self.control.wishes();
        (wishes.up, wishes.down) = (up, down);
    }

    /// From now on, in both directions.
    pub fn set_both(&self, weather: Weather) {
        self.set(weather, weather);
    }

    /// The device comes from another address from now on; what is sent to the old one is lost.
    pub fn moves(&self) {
        self.control.wishes().moves += 1;
        self.control.changed.notify_one();
    }

    pub fn counts(&self) -> &Counts {
        &self.control.counts
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.control.wishes().over = true;
        self.control.changed.notify_one();
    }
}

async fn socket() -> UdpSocket {
    let any = (Ipv4Addr::LOCALHOST, 0);
    UdpSocket::bind(any).await.expect("a socket")
}

/// Where a datagram goes: from or to which of the device's sockets.
#[derive(Clone, Copy, Debug)]
enum Way {
    Up(SocketAddr),
    Down(SocketAddr),
}

/// One of the device's sockets, and the one towards the server that stands for it.
struct Path {
    device: SocketAddr,
    socket: UdpSocket,
}

struct Relay {
    front: UdpSocket,
    target: Target,
    control: Arc<Control>,
    random: Random,
    /// The one that was used last is last.
    paths: Vec<Path>,
    moves: u64,
    /// By the time at which they arrive, and in their order.
    queue: BTreeMap<(Instant, u64), (Way, Vec<u8>)>,
    taken: u64,
}

impl Relay {
    fn new(front: UdpSocket, target: Target, control: Arc<Control>, random: Random) -> Self {
        Self {
            front,
            target,
            control,
            random,
            paths: Vec::new(),
            moves: 0,
            queue: BTreeMap::new(),
            taken: 0,
        }
    }

    async fn run(mut self) {
        let (mut from_device, mut from_server_side) =
            (vec![0; DATAGRAM_BYTES_MAX], vec![0; DATAGRAM_BYTES_MAX]);
        loop {
            let wishes = *self.control.wishes();
            if wishes.over {
                return;
            }
            if wishes.moves > self.moves {
                self.moves = wishes.moves;
                self.paths.clear();
            }
            let next = self.queue.first_key_value().map(|((at, _), _)| *at);
            tokio::select! {
                () = self.control.changed.notified() => {}
                received = self.front.recv_from(&mut from_device) => {
                    let (len, device) = received.expect("a datagram");
                    self.takes(wishes.up, Way::Up(device), &from_device[..len]);
                }
                received = from_server(&self.paths, &mut from_server_side) => {
                    let (len, device) = received.expect("a datagram");
                    self.takes(wishes.down, Way::Down(device), &from_server_side[..len]);
                }
                () = at(next) => self.delivers().await,
            }
        }
    }

    /// Decides what becomes of a datagram.
    fn takes(&mut self, weather: Weather, way: Way, datagram: &[u8]) {
        let counts = &self.control.counts;
        if weather.cut || self.random.permille(weather.lost_permille) {
            counts.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let copies = 1 + u64::from(self.random.permille(weather.twice_permille));
        counts.twice.fetch_add(copies - 1, Ordering::Relaxed);
        for _ in 0..copies {
            if self.queue.len() >= QUEUE_MAX {
                counts.lost.fetch_add(1, Ordering::Relaxed);
                return;
            }
            let jitter = u64::try_from(weather.jitter.as_micros()).expect("short");
            let later = Duration::from_micros(self.random.below(jitter + 1));
            let arrives = Instant::now() + weather.delay + later;
            self.taken += 1;
            let parcel = (way, datagram.to_vec());
            self.queue.insert((arrives, self.taken), parcel);
        }
    }

    /// Hands over what has arrived by now.
    async fn delivers(&mut self) {
        let now = Instant::now();
        while let Some(first) = self.queue.first_entry() {
            if first.key().0 > now {
                return;
            }
            let (way, datagram) = first.remove();
            self.control.counts.passed.fetch_add(1, Ordering::Relaxed);
            // Nobody there, or no room: it is lost, as datagrams are.
            match way {
                Way::Up(device) => {
                    let server = *self.target.lock().expect("nobody panics with it");
                    let path = self.path_of(device).await;
                    let _ = path.socket.send_to(&datagram, server).await;
                }
                Way::Down(device) => {
                    let _ = self.front.send_to(&datagram, device).await;
                }
            }
        }
    }

    async fn path_of(&mut self, device: SocketAddr) -> &Path {
        let known = self.paths.iter().position(|path| path.device == device);
        let path = match known {
            Some(index) => self.paths.remove(index),
            None => {
                let addresses = &self.control.counts.addresses;
                addresses.fetch_add(1, Ordering::Relaxed);
                let socket = socket().await;
                Path { device, socket }
            }
        };
        if self.paths.len() >= PATHS_MAX {
            self.paths.remove(0);
        }
        self.paths.push(path);
        self.paths.last().expect("it was put there")
    }
}

/// The next datagram from the server, and which of the device's sockets it is for.
async fn from_server(paths: &[Path], buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
    poll_fn(|context| {
        for path in paths {
            let mut room = ReadBuf::new(buffer);
            if let Poll::Ready(received) = path.socket.poll_recv_from(context, &mut room) {
                return Poll::Ready(received.map(|_| (room.filled().len(), path.device)));
            }
        }
        Poll::Pending
    })
    .await
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}
