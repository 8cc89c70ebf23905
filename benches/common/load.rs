//! A load generator: devices that speak the protocol and have no database.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use offhook::call::{CallId, Command, DeviceId, Mode, Op, UserId};
use offhook::protocol::{
    Capabilities, CommandFrame, Cursor, Hello, Lane, Ping, Settled, ToDevice, ToServer,
    VERSION_MAX, VERSION_MIN, encode,
};
use quinn::Endpoint;
use rustls::pki_types::CertificateDer;
use tokio::task::JoinSet;

use super::Times;
use super::wire::{self, Line};

/// After so many verdicts a device says that it has them, as the engine does.
const SETTLED_EVERY: u64 = 16;
/// What an invitation carries.
const EXTENDED_DATA: &str = r#"{"room":"b7f0c2d4","video":true,"title":"Weekly","lang":"en"}"#;

/// A device that is let in and has nothing to catch up with.
pub struct Device {
    line: Line,
    name: String,
    cursor: Cursor,
    // Last, so that the connection is closed before its socket is.
    _endpoint: Endpoint,
}

impl Device {
    /// Connects by that endpoint and says hello as a new device of a user of that name.
    pub async fn log_in(endpoint: &Endpoint, server: SocketAddr, name: &str) -> Self {
        let mut line = Line::open(endpoint, server).await;
        line.send(&ToServer::Hello(Box::new(hello(name)))).await;
        let mut cursor = Cursor::default();
        loop {
            match line.receive().await {
                ToDevice::Welcome(_) => {}
                ToDevice::Feed(feed) => {
                    cursor = feed.cursor.unwrap_or(cursor);
                    if feed.lane == Lane::History && feed.last {
                        break;
                    }
                }
                other => panic!("{name} is not let in: {other:?}"),
            }
        }
        Self {
            line,
            name: name.to_owned(),
            cursor,
            _endpoint: endpoint.clone(),
        }
    }

    /// A ping and its answer.
    pub async fn ping(&mut self) {
        self.line.send(&ToServer::Ping(Ping { sent_at: 0 })).await;
        loop {
            if let ToDevice::Pong(_) = self.line.receive().await {
                return;
            }
        }
    }

    /// Sends that many commands, of which so many wait for their verdicts at a time: rings a user
    /// who is away, takes it back, rings again. Gives how long each verdict took.
    pub async fn ring_and_cancel(&mut self, commands: u64, in_flight: u64) -> Times {
        let mut times = Times::default();
        let mut sent_at = Vec::with_capacity(usize::try_from(commands).expect("not so many"));
        let (mut sent, mut decided, mut settled) = (0, 0, 0);
        while decided < commands {
            let mut bytes = Vec::new();
            while sent < commands && sent - decided < in_flight {
                sent += 1;
                let frame = ToServer::Command(Box::new(self.command(sent)));
                bytes.extend(encode(&frame).expect("a frame"));
                sent_at.push(Instant::now());
            }
            if decided - settled >= SETTLED_EVERY {
                settled = decided;
                let frame = ToServer::Settled(Settled {
                    number: settled,
                    cursor: self.cursor,
                });
                bytes.extend(encode(&frame).expect("a frame"));
            }
            self.line.send_bytes(&bytes).await;
            let mut frame = Some(self.line.receive().await);
            while let Some(come) = frame {
                if self.take(come, decided + 1) {
                    decided += 1;
                    let index = usize::try_from(decided - 1).expect("not so many");
                    times.add(sent_at[index].elapsed());
                }
                frame = self.line.at_hand();
            }
        }
        times
    }

    /// Whether that was the verdict that is next.
    fn take(&mut self, frame: ToDevice, next: u64) -> bool {
        match frame {
            ToDevice::Verdict(verdict) => {
                assert_eq!(verdict.number, next, "verdicts come in order");
                if let Err(error) = verdict.result {
                    panic!("{}: command {next} was refused: {error}", self.name);
                }
                true
            }
            ToDevice::Feed(feed) => {
                self.cursor = feed.cursor.unwrap_or(self.cursor);
                false
            }
            other => panic!("{}: {other:?}", self.name),
        }
    }

    /// Odd numbers ring, the even one after it takes that call back.
    fn command(&self, number: u64) -> CommandFrame {
        let command = if number % 2 == 1 {
            invite(&format!("{}-away", self.name))
        } else {
            cancel()
        };
        CommandFrame {
            number,
            op: Op::trusted(format!("{}-op-{number:016}", self.name)),
            call: CallId::trusted(format!("{}-call-{:08}", self.name, number.div_ceil(2))),
            not_after: 0,
            command,
        }
    }
}

/// A General call to that user.
pub fn invite(invitee: &str) -> Command {
    Command::Invite {
        invitees: vec![UserId::trusted(invitee)],
        timeout_s: 90,
        mode: Mode::General,
        extended_data: EXTENDED_DATA.to_owned(),
        not_received_check: false,
        push: None,
    }
}

/// The whole call is taken back.
pub fn cancel() -> Command {
    Command::Cancel {
        invitees: Vec::new(),
        extended_data: String::new(),
        push: None,
    }
}

fn hello(name: &str) -> Hello {
    Hello {
        version_min: VERSION_MIN,
        version_max: VERSION_MAX,
        build: "load".to_owned(),
        capabilities: Capabilities::OURS,
        user: UserId::trusted(name),
        token: None,
        device: DeviceId::trusted(format!("{name}-device")),
        welcome_token: None,
        cursor: Cursor::default(),
        next_number: 1,
        first_unsettled: 1,
        open_calls: Vec::new(),
        sent_at: 0,
    }
}

/// What a load came to.
pub struct Load {
    pub commands_per_second: f64,
    pub times: Times,
}

/// That many new devices, each with a socket of its own; all ring and cancel at once, after
/// `connected` was called.
pub async fn ring_and_cancel(
    server: SocketAddr,
    certificate: &CertificateDer<'static>,
    names: &str,
    devices: u64,
    commands: u64,
    in_flight: u64,
    connected: impl FnOnce(),
) -> Load {
    let mut logged_in = Vec::new();
    for n in 0..devices {
        let endpoint = wire::client(certificate);
        logged_in.push(Device::log_in(&endpoint, server, &format!("{names}{n:02}")).await);
    }
    connected();
    let began = Instant::now();
    let mut all = JoinSet::new();
    for mut device in logged_in {
        all.spawn(async move {
            let times = device.ring_and_cancel(commands, in_flight).await;
            (times, device)
        });
    }
    let mut times = Times::default();
    let mut done_devices = Vec::new();
    while let Some(done) = all.join_next().await {
        let (its, device) = done.expect("a device that is done");
        times.0.extend(its.0);
        done_devices.push(device);
    }
    let took: Duration = began.elapsed();
    Load {
        commands_per_second: (devices * commands) as f64 / took.as_secs_f64(),
        times,
    }
}
