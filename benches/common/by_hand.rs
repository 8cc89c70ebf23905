//! A server by hand, for the same load generator: the limit that a real one cannot pass.
//!
//! It decodes commands, writes the rows that the real server writes for them, into the same schema,
//! with cached statements, everything that has queued up in one transaction, and answers after the
//! commit with verdicts as large as the real ones. It decides nothing, reads nothing, has no rules,
//! no deadlines, no feeds to send and no limits.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread::JoinHandle;

use offhook::call::{Actor, Call, Command, Facts, Outcome, Rules, UserId, apply};
use offhook::protocol::{
    CommandFrame, Cursor, Feed, Hello, Lane, Limits, ToDevice, ToServer, Verdict, Welcome, encode,
};
use quinn::{Endpoint, SendStream};
use rusqlite::{Connection, params};
use rustls::pki_types::CertificateDer;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc as queue;

use super::load::{cancel, invite};
use super::wire::{self, Incoming};

/// Threads that move bytes, as many as the real server has.
const THREADS: usize = 2;
/// Most frames that share a transaction, as in the real server.
const BATCH_MAX: usize = 512;
/// A moment; which one does not matter.
const NOW: i64 = 1_767_225_600_000;

/// What a connection asks of the writer.
enum Ask {
    Enter {
        user: String,
        device: String,
        answers: queue::UnboundedSender<ToDevice>,
    },
    Command {
        user: String,
        frame: Box<CommandFrame>,
    },
    Settled {
        user: String,
        number: i64,
    },
}

/// The server by hand. Dropping it stops it.
pub struct ByHand {
    pub address: SocketAddr,
    pub certificate: CertificateDer<'static>,
    pub database: PathBuf,
    endpoint: Endpoint,
    runtime: Option<Runtime>,
    writer: Option<JoinHandle<()>>,
}

impl ByHand {
    pub fn start(folder: &Path) -> Self {
        let database = folder.join("by-hand.db");
        let connection = super::open_full(&database);
        connection
            .execute_batch(include_str!("../../schema/server/0001_initial.sql"))
            .expect("the schema");
        let runtime = Builder::new_multi_thread()
            .worker_threads(THREADS)
            .enable_all()
            .build()
            .expect("threads");
        let (endpoint, certificate) = {
            let _entered = runtime.enter();
            wire::server()
        };
        let (asks, asked) = mpsc::channel();
        let writer = std::thread::spawn(move || Writer::new(connection).run(&asked));
        runtime.spawn(accept(endpoint.clone(), asks));
        Self {
            address: endpoint.local_addr().expect("an address"),
            certificate,
            database,
            endpoint,
            runtime: Some(runtime),
            writer: Some(writer),
        }
    }
}

impl Drop for ByHand {
    fn drop(&mut self) {
        self.endpoint.close(0_u32.into(), b"");
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background(); // and with its tasks go all who ask
        }
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

async fn accept(endpoint: Endpoint, asks: mpsc::Sender<Ask>) {
    while let Some(incoming) = endpoint.accept().await {
        let asks = asks.clone();
        tokio::spawn(async move {
            let connection = incoming.await.expect("a connection");
            if let Ok((send, receive)) = connection.accept_bi().await {
                let (answers, waiting) = queue::unbounded_channel();
                let writing = tokio::spawn(write(send, waiting));
                read(Incoming::new(receive), &asks, answers).await;
                let _ = writing.await;
            }
        });
    }
}

async fn read(
    mut incoming: Incoming,
    asks: &mpsc::Sender<Ask>,
    answers: queue::UnboundedSender<ToDevice>,
) {
    let mut name = String::new();
    while let Some(frame) = incoming.receive::<ToServer>().await {
        let ask = match frame {
            ToServer::Hello(hello) => {
                name = hello.user.as_str().to_owned();
                for frame in [welcome(&hello), nothing_to_catch_up_with()] {
                    let _ = answers.send(frame);
                }
                Ask::Enter {
                    user: name.clone(),
                    device: hello.device.as_str().to_owned(),
                    answers: answers.clone(),
                }
            }
            ToServer::Command(frame) => Ask::Command {
                user: name.clone(),
                frame,
            },
            ToServer::Settled(settled) => Ask::Settled {
                user: name.clone(),
                number: settled.number.cast_signed(),
            },
            _ => continue,
        };
        if asks.send(ask).is_err() {
            return;
        }
    }
}

async fn write(mut send: SendStream, mut waiting: queue::UnboundedReceiver<ToDevice>) {
    let mut frames = Vec::new();
    while waiting.recv_many(&mut frames, 32).await > 0 {
        let mut bytes = Vec::new();
        for frame in frames.drain(..) {
            bytes.extend(encode(&frame).expect("a frame"));
        }
        if send.write_all(&bytes).await.is_err() {
            return;
        }
    }
}

fn welcome(hello: &Hello) -> ToDevice {
    ToDevice::Welcome(Box::new(Welcome {
        version: hello.version_max,
        server_time: NOW,
        hello_sent_at: hello.sent_at,
        epoch: 1,
        cursor_valid: false,
        last_number: 0,
        welcome_token: "welcome".to_owned(),
        limits: Limits {
            heartbeat_s: 10,
            offline_after_s: 35,
            extended_data_bytes_max: 2_048,
        },
    }))
}

fn nothing_to_catch_up_with() -> ToDevice {
    ToDevice::Feed(Feed {
        lane: Lane::History,
        cursor: Some(Cursor { epoch: 1, seq: 0 }),
        settled: 0,
        last: true,
        calls: Vec::new(),
    })
}

/// What the writer knows of a device.
struct Entered {
    device: String,
    answers: queue::UnboundedSender<ToDevice>,
    settled: i64,
    /// The call that was made last.
    call_key: i64,
}

/// The thread that owns the database.
struct Writer {
    connection: Connection,
    devices: BTreeMap<String, Entered>,
    invited: (Outcome, Call),
    cancelled: (Outcome, Call),
    seq: i64,
}

impl Writer {
    fn new(connection: Connection) -> Self {
        let (invited, cancelled) = verdicts();
        Self {
            connection,
            devices: BTreeMap::new(),
            invited,
            cancelled,
            seq: 0,
        }
    }

    fn run(mut self, asked: &mpsc::Receiver<Ask>) {
        while let Ok(first) = asked.recv() {
            let batch: Vec<Ask> = std::iter::once(first)
                .chain(asked.try_iter().take(BATCH_MAX - 1))
                .collect();
            let answers = self.batch(batch);
            for (user, verdict) in answers {
                // Who has gone needs no answer.
                let _ = self.devices[&user].answers.send(verdict);
            }
        }
    }

    /// Writes what there is to write as one transaction; gives what is to be answered.
    fn batch(&mut self, batch: Vec<Ask>) -> Vec<(String, ToDevice)> {
        let (mut answers, mut calls) = (Vec::new(), BTreeMap::new());
        let (mut writes, mut settled) = (false, BTreeMap::new());
        self.run_sql("BEGIN IMMEDIATE", params![]);
        for ask in batch {
            match ask {
                Ask::Enter {
                    user,
                    device,
                    answers,
                } => {
                    let entered = Entered {
                        device,
                        answers,
                        settled: 0,
                        call_key: 0,
                    };
                    self.devices.insert(user, entered);
                }
                Ask::Settled { user, number } => {
                    settled.insert(user, number);
                }
                Ask::Command { user, frame } => {
                    writes = true;
                    let key = self.write_command(&user, &frame);
                    calls.insert(key, user.clone());
                    answers.push((user, self.verdict(*frame)));
                }
            }
        }
        if writes {
            self.write_rest(&calls, &answers);
        }
        for (user, number) in settled {
            self.forget(&user, number);
        }
        self.run_sql("COMMIT", params![]);
        answers
    }

    /// The rows of a call, its members, who is busy, and the verdict; gives the call's key.
    fn write_command(&mut self, user: &str, frame: &CommandFrame) -> i64 {
        let away = format!("{user}-away");
        let key = match &frame.command {
            Command::Invite { extended_data, .. } => {
                let key = self.write_call(user, frame, extended_data);
                self.write_member(key, 0, user, None, "accepted", "");
                self.write_member(key, 1, &away, Some(user), "inviting", extended_data);
                for (who, place) in [(user, "in"), (away.as_str(), "pending")] {
                    self.run_sql(
                        "INSERT OR REPLACE INTO places VALUES (?1, ?2, ?3, ?4)",
                        params![who, key, place, user],
                    );
                }
                key
            }
            _ => {
                let key = self.devices[user].call_key;
                self.run_sql(
                    "UPDATE calls SET revision = 2, state = 'ended', end_kind = 'cancelled', \
                     end_time_ms = ?2, end_revision = 2, ended_by = ?3, end_data = '', \
                     due_ms = NULL WHERE call_key = ?1",
                    params![key, NOW, user],
                );
                self.write_member(key, 1, &away, Some(user), "cancelled", "");
                for who in [user, &away] {
                    self.run_sql(
                        "DELETE FROM places WHERE user = ?1 AND call_key = ?2",
                        params![who, key],
                    );
                }
                key
            }
        };
        let device = self.devices.get_mut(user).expect("it said hello");
        device.call_key = key;
        let device = device.device.clone();
        self.run_sql(
            "INSERT INTO verdicts VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            params![
                user,
                device,
                frame.number.cast_signed(),
                frame.op.as_str(),
                frame.call.as_str(),
                [7_u8; 32],
                r#"{"Ok":{"Invited":{"timeout_s":90,"errors":[],"invitees":[]}}}"#,
            ],
        );
        key
    }

    fn write_call(&self, user: &str, frame: &CommandFrame, extended_data: &str) -> i64 {
        self.run_sql(
            "INSERT INTO calls (call_id, revision, mode, caller, create_time_ms, timeout_s, \
             extended_data, not_received_check, state, due_ms) \
             VALUES (?1, 1, 'general', ?2, ?3, 90, ?4, 0, 'started', ?5)",
            params![frame.call.as_str(), user, NOW, extended_data, NOW + 90_000],
        );
        self.connection.last_insert_rowid()
    }

    fn write_member(
        &self,
        key: i64,
        position: i64,
        user: &str,
        inviter: Option<&str>,
        state: &str,
        data: &str,
    ) {
        self.run_sql(
            "INSERT OR REPLACE INTO members VALUES (?1, ?2, ?3, ?4, 1, ?5, 90, ?6, 0, ?7, ?8, 1, \
             ?5, '', ?3, NULL, ?5, 0, 0, 1, NULL, NULL, 0, 0, '[]')",
            params![key, position, user, inviter, NOW, NOW + 90_000, data, state],
        );
    }

    /// What a transaction writes once: feeds, rows of devices, the clock.
    fn write_rest(&mut self, calls: &BTreeMap<i64, String>, answers: &[(String, ToDevice)]) {
        for (key, user) in calls {
            self.run_sql("UPDATE meta SET feed_seq = feed_seq + 2", params![]);
            for who in [user, &format!("{user}-away")] {
                self.seq += 1;
                self.run_sql(
                    "INSERT INTO feed (call_key, user, seq) VALUES (?1, ?2, ?3) \
                     ON CONFLICT (call_key, user) DO UPDATE SET seq = excluded.seq",
                    params![key, who, self.seq],
                );
            }
        }
        let users: BTreeSet<&String> = answers.iter().map(|(user, _)| user).collect();
        for user in users {
            let device = &self.devices[user];
            self.run_sql(
                "INSERT OR REPLACE INTO devices VALUES (?1, ?2, 1, 'load', ?3, ?4, \
                 '0123456789abcdef0123456789abcdef', NULL, ?5)",
                params![user, device.device, self.seq, device.settled, NOW],
            );
        }
        self.run_sql("UPDATE meta SET clock_ms = clock_ms + 1", params![]);
    }

    fn forget(&mut self, user: &str, number: i64) {
        let device = self.devices.get_mut(user).expect("it said hello");
        device.settled = number;
        let device = device.device.clone();
        self.run_sql(
            "DELETE FROM verdicts WHERE user = ?1 AND device = ?2 AND number <= ?3",
            params![user, device, number],
        );
    }

    fn verdict(&self, frame: CommandFrame) -> ToDevice {
        let (outcome, call) = match frame.command {
            Command::Invite { .. } => self.invited.clone(),
            _ => self.cancelled.clone(),
        };
        ToDevice::Verdict(Box::new(Verdict {
            number: frame.number,
            op: frame.op,
            result: Ok(outcome),
            call: Some(Call {
                id: frame.call,
                ..call
            }),
        }))
    }

    fn run_sql(&self, sql: &str, params: &[&dyn rusqlite::ToSql]) {
        let mut statement = self.connection.prepare_cached(sql).expect("a statement");
        statement.execute(params).expect("a row");
    }
}

/// What the two commands of the load come to, as the caller is told.
fn verdicts() -> ((Outcome, Call), (Outcome, Call)) {
    let user = UserId::trusted("somebody00");
    let actor = Actor {
        user: user.clone(),
        device: offhook::DeviceId::trusted("somebody00-device"),
        op: offhook::Op::trusted("somebody00-op-0000000000000000"),
        call: offhook::CallId::trusted("somebody00-call-00000000"),
    };
    let decide = |call: Option<&Call>, command: &Command| {
        let (facts, rules) = (Facts::default(), Rules::default());
        apply(call, &actor, command, &facts, &rules, NOW).expect("a change")
    };
    let invited = decide(None, &invite("somebody00-away"));
    let cancelled = decide(Some(&invited.call), &cancel());
    (
        (invited.outcome, invited.call.seen_by(&user)),
        (cancelled.outcome, cancelled.call.seen_by(&user)),
    )
}
