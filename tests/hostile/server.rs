//! An engine and a server that is not honest: whatever it says, the engine answers its app, and its
//! file can be read afterwards.

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use offhook::call::{
    Call, CallId, Closing, DeviceId, EndKind, Ending, Member, Millis, Op, Outcome, Own,
};
use offhook::protocol::{
    ClosingReason, Goodbye, Hello, Lane, Pong, Refused, Renewed, Retry, ToDevice, ToServer,
    TokenNotice, Verdict,
};
use offhook::{
    CallState, Code, CommandOptions, Config, Engine, Error, InviteOptions, Mode, Role, Roots,
    UserId, UserState,
};

use super::fake::{Fake, feed, welcome};

/// How long a server is given to do harm.
const HARM: Duration = Duration::from_millis(700);

pub fn config(fake: &Fake, folder: &Path) -> Config {
    let mut config = Config::new(fake.address.to_string(), "bob", folder.join("bob.db"));
    config.server_name = Some("localhost".to_owned());
    config.roots = Roots::Pem(fake.ca.clone());
    config
}

fn member(user: &str, state: UserState) -> Member {
    Member {
        user: UserId::trusted(user),
        inviter: Some(UserId::trusted("alice")),
        invitation: 1,
        invited_at: 1_700_000_000_000,
        timeout_s: 60,
        deadline: 1_700_000_060_000,
        check_at: 0,
        invite_data: String::new(),
        state,
        state_revision: 1,
        state_time: 1_700_000_000_000,
        data: String::new(),
        changed_by: None,
        acting_device: None,
        accept_time: 0,
        join_time: 0,
        quit_time: 0,
        participation: 0,
        own: (user == "bob").then(Own::default),
    }
}

/// Alice rings Bob.
pub fn call(id: &str) -> Call {
    Call {
        id: CallId::trusted(id),
        revision: 1,
        mode: Mode::General,
        caller: UserId::trusted("alice"),
        create_time: 1_700_000_000_000,
        timeout_s: 60,
        extended_data: String::new(),
        not_received_check: false,
        state: CallState::Started,
        ending: None,
        members: vec![
            member("alice", UserState::Accepted),
            member("bob", UserState::Inviting),
        ],
    }
}

/// To a hello a welcome and that; to all else nothing.
pub fn caught_up_with(calls: Vec<Call>) -> impl Fn(usize, ToServer) -> Vec<ToDevice> {
    move |_, frame| match frame {
        ToServer::Hello(hello) => vec![
            ToDevice::Welcome(Box::new(welcome(&hello))),
            feed(Lane::Open, None, true, calls.clone()),
            feed(Lane::History, Some(1), true, calls.clone()),
            feed(Lane::Live, Some(2), false, calls.clone()),
        ],
        _ => Vec::new(),
    }
}

/// Lets a server do what it does, uses the engine meanwhile, and opens the file once more.
fn survives(
    name: &str,
    script: impl Fn(usize, ToServer) -> Vec<ToDevice> + Send + Sync + 'static,
) -> usize {
    let folder = tempfile::tempdir().unwrap();
    let fake = Fake::start(folder.path(), script);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let engine = Engine::open(config(&fake, folder.path())).unwrap();
        let mut asked = Vec::new();
        let start = Instant::now();
        while start.elapsed() < HARM {
            let options = InviteOptions::default();
            asked.push(engine.call_invite(&["carl"], options).await);
            look(name, &engine).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        for asked in asked {
            asked.unwrap_or_else(|error| panic!("{name}: {error}"));
        }
        engine.close().await.unwrap();
        drop(engine);
        let again = Config {
            server: "127.0.0.1:1".to_owned(),
            ..config(&fake, folder.path())
        };
        let engine = Engine::open(again).unwrap_or_else(|error| panic!("{name}: {error}"));
        look(name, &engine).await;
        engine.close().await.unwrap();
    });
    fake.connections.load(Ordering::Relaxed)
}

/// Everything that an app can look at.
async fn look(name: &str, engine: &Engine) {
    fn done<T>(name: &str, result: Result<T, Error>) -> T {
        result.unwrap_or_else(|error| panic!("{name}: {error}"))
    }
    done(name, engine.status().await);
    done(name, engine.ringing().await);
    done(name, engine.pending());
    done(name, engine.events_since(0, 1_000).await);
    done(name, engine.mark_seen(None).await);
    let mut next_flag = 0;
    let mut pages = 0;
    loop {
        let page = engine.query_call_invitation_list(100, next_flag);
        let page = done(name, page);
        next_flag = page.next_flag;
        pages += 1;
        assert!(pages < 1_000, "{name}: the list has no end");
        if next_flag == 0 {
            break;
        }
    }
}

const TIMES: [Millis; 9] = [
    Millis::MIN,
    Millis::MIN / 2,
    Millis::MIN / 3,
    -1,
    0,
    1 << 53,
    Millis::MAX / 3,
    Millis::MAX / 2,
    Millis::MAX,
];

#[test]
fn any_time_may_stand_in_a_record() {
    let mut calls = Vec::new();
    for (n, time) in TIMES.into_iter().enumerate() {
        let mut created = call(&format!("created-{n}"));
        created.create_time = time;
        let mut rung = call(&format!("rung-{n}"));
        rung.members[1].deadline = time;
        rung.members[1].invited_at = time;
        let mut long = call(&format!("long-{n}"));
        long.timeout_s = u32::MAX;
        long.members[1].timeout_s = u32::MAX;
        long.members[1].deadline = Millis::MAX;
        let mut ended = call(&format!("ended-{n}"));
        ended.state = CallState::Ended;
        ended.ending = Some(Ending {
            kind: EndKind::Unknown,
            time,
            revision: u64::MAX,
            by: Some(UserId::trusted("")),
            device: Some(DeviceId::trusted("\0")),
            data: "\0".to_owned(),
        });
        calls.extend([created, rung, long, ended]);
    }
    assert_eq!(survives("times", caught_up_with(calls)), 1);
}

#[test]
fn the_clock_of_a_server_may_say_anything() {
    for time in TIMES {
        let until = |id: &str, deadline| {
            let mut call = call(id);
            call.members[1].deadline = deadline;
            call
        };
        let calls = vec![
            call("a"),
            until("b", Millis::MAX),
            until("c", Millis::MIN),
            until("d", time.saturating_add(100)),
        ];
        survives(&format!("clock {time}"), move |_, frame| match frame {
            ToServer::Hello(hello) => {
                let mut welcome = welcome(&hello);
                welcome.server_time = time;
                vec![
                    ToDevice::Welcome(Box::new(welcome)),
                    feed(Lane::Open, None, true, calls.clone()),
                    ToDevice::Pong(Pong {
                        ping_sent_at: hello.sent_at,
                        received_at: time,
                        sent_at: Millis::MAX,
                    }),
                ]
            }
            ToServer::Ping(ping) => vec![ToDevice::Pong(Pong {
                ping_sent_at: ping.sent_at,
                received_at: time,
                sent_at: time,
            })],
            _ => Vec::new(),
        });
    }
}

#[test]
fn any_number_may_stand_in_a_record() {
    let mut calls = Vec::new();
    let mut nobody = call("nobody");
    nobody.members.clear();
    let mut stranger = call("stranger");
    stranger.caller = UserId::trusted("nobody at all");
    let mut twice = call("twice");
    twice.members.extend(twice.members.clone());
    let mut crowd = call("crowd");
    crowd.members = (0..2_000)
        .map(|n| member(&format!("u{n}"), UserState::Unknown))
        .collect();
    crowd.members.push(member("bob", UserState::Inviting));
    let mut last = call("last");
    last.revision = u64::MAX;
    for member in &mut last.members {
        member.state_revision = u64::MAX;
        member.invitation = u32::MAX;
        member.participation = u32::MAX;
    }
    last.members[1].own = Some(Own {
        primary_device: None,
        primary_op: None,
        primary_revision: u64::MAX,
        seen: true,
        closings: vec![
            Closing {
                invitation: u32::MAX,
                state: UserState::Unknown,
                device: None,
            };
            300
        ],
    });
    let mut strange = call("strange");
    strange.mode = Mode::Unknown;
    strange.state = CallState::Unknown;
    strange.members[1].state = UserState::BeCancelled;
    calls.extend([nobody, stranger, twice, crowd, last, strange]);
    calls.push(call(&"x".repeat(10_000)));
    calls.push(call(""));
    calls.push(call("\0"));
    let mut ended = call("last");
    ended.state = CallState::Ended;
    calls.push(ended);
    assert_eq!(survives("numbers", caught_up_with(calls)), 1);
}

#[test]
fn a_welcome_may_say_anything() {
    for number in [0, 1, 1 << 63, u64::MAX] {
        for seconds in [0, u32::MAX] {
            survives(&format!("welcome {number} {seconds}"), move |_, frame| {
                let ToServer::Hello(hello) = frame else {
                    return Vec::new();
                };
                let mut welcome = welcome(&hello);
                welcome.version = u16::MAX;
                welcome.last_number = number;
                welcome.epoch = number;
                welcome.limits.heartbeat_s = seconds;
                welcome.limits.offline_after_s = seconds;
                welcome.limits.extended_data_bytes_max = seconds;
                vec![
                    ToDevice::Welcome(Box::new(welcome)),
                    feed(Lane::Open, Some(number), true, vec![call("a")]),
                    feed(Lane::History, Some(number), true, vec![call("a")]),
                    feed(Lane::History, Some(0), true, vec![call("b")]),
                ]
            });
        }
    }
}

#[test]
fn a_server_that_wants_no_heartbeat_at_all_is_not_asked_without_end() {
    let pings = std::sync::Arc::new(Mutex::new(0));
    let count = pings.clone();
    survives("heartbeat", move |_, frame| match frame {
        ToServer::Hello(hello) => {
            let mut welcome = welcome(&hello);
            welcome.limits.heartbeat_s = 0;
            vec![
                ToDevice::Welcome(Box::new(welcome)),
                feed(Lane::Open, None, true, vec![call("a")]),
            ]
        }
        ToServer::Ping(ping) => {
            *count.lock().unwrap() += 1;
            vec![ToDevice::Pong(Pong {
                ping_sent_at: ping.sent_at,
                received_at: 0,
                sent_at: 0,
            })]
        }
        _ => Vec::new(),
    });
    assert!(*pings.lock().unwrap() < 20, "{pings:?}");
}

#[test]
fn what_nobody_asked_for_is_taken_or_ends_the_connection() {
    let error = || Error::new(Code::Internal, "x".repeat(1_000), "y".repeat(100_000));
    let verdict = |number| {
        ToDevice::Verdict(Box::new(Verdict {
            number,
            op: Op::trusted("o"),
            result: Ok(Outcome::Accepted),
            call: Some(call("v")),
        }))
    };
    let frames: Vec<ToDevice> = vec![
        feed(Lane::Live, Some(9), true, vec![call("early")]),
        verdict(0),
        verdict(1),
        verdict(u64::MAX),
        ToDevice::Retry(Retry {
            number: 0,
            after_ms: 0,
            error: error(),
        }),
        ToDevice::Retry(Retry {
            number: u64::MAX,
            after_ms: u32::MAX,
            error: error(),
        }),
        ToDevice::Pong(Pong {
            ping_sent_at: Millis::MIN,
            received_at: Millis::MAX,
            sent_at: Millis::MIN,
        }),
        ToDevice::TokenNotice(TokenNotice { seconds: u32::MAX }),
        ToDevice::Renewed(Renewed {
            result: Err(error()),
        }),
        ToDevice::LoggedOut,
        ToDevice::Goodbye(Goodbye {
            reason: ClosingReason::Replaced,
            message: "z".repeat(100_000),
        }),
    ];
    for (n, frame) in frames.into_iter().enumerate() {
        for welcomed in [false, true] {
            let frame = frame.clone();
            survives(&format!("frame {n} {welcomed}"), move |_, said| {
                let ToServer::Hello(hello) = said else {
                    return Vec::new();
                };
                let mut frames = Vec::new();
                if welcomed {
                    frames.push(ToDevice::Welcome(Box::new(welcome(&hello))));
                    frames.push(ToDevice::Welcome(Box::new(welcome(&hello))));
                }
                frames.extend([frame.clone(), frame.clone()]);
                frames
            });
        }
    }
}

#[test]
fn a_server_that_sends_away_everybody_is_not_come_back_to_without_end() {
    let goodbye = || {
        ToDevice::Goodbye(Goodbye {
            reason: ClosingReason::ShuttingDown,
            message: String::new(),
        })
    };
    let refused = |code| {
        ToDevice::Refused(Refused {
            error: Error::new(code, "x", "y"),
        })
    };
    let most = 25;
    let came = survives("goodbye", move |_, frame| match frame {
        ToServer::Hello(hello) => {
            vec![ToDevice::Welcome(Box::new(welcome(&hello))), goodbye()]
        }
        _ => Vec::new(),
    });
    assert!(came < most, "goodbye: {came}");
    for code in [
        Code::Dropped,
        Code::Internal,
        Code::ServerOverloaded,
        Code::TokenExpired,
    ] {
        let came = survives("refused", move |_, _| vec![refused(code)]);
        assert!(came < most, "{code:?}: {came}");
    }
}

#[test]
fn catching_up_without_an_end_is_heard_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let fake = Fake::start(folder.path(), |_, frame| {
        let ToServer::Hello(hello) = frame else {
            return Vec::new();
        };
        let mut frames = vec![ToDevice::Welcome(Box::new(welcome(&hello)))];
        for batch in 0..60 {
            let calls = (0..200).map(|n| {
                let mut call = call(&format!("c-{batch}-{n}"));
                call.members[1].deadline = 1 << 41;
                call
            });
            frames.push(feed(Lane::Open, None, false, calls.collect()));
        }
        frames
    });
    let (engine, mut events) = Engine::open_with_events(config(&fake, folder.path())).unwrap();
    let start = Instant::now();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        loop {
            let event = tokio::time::timeout(Duration::from_secs(60), events.next());
            match event.await.expect("nothing is heard") {
                Some(Ok(event)) if event.name() == "callInvitationReceived" => break,
                Some(Ok(_)) => {}
                Some(Err(_)) => break,
                None => panic!("the engine has ended"),
            }
        }
        look("open lane", &engine).await;
    });
    // Sooner than the connection is given up for want of a pong.
    assert!(start.elapsed() < Duration::from_secs(15));
}

#[test]
fn an_engine_that_is_dropped_while_it_catches_up_lets_its_file_go() {
    let folder = tempfile::tempdir().unwrap();
    let fake = Fake::start(folder.path(), |_, frame| {
        let ToServer::Hello(hello) = frame else {
            return Vec::new();
        };
        let mut frames = vec![
            ToDevice::Welcome(Box::new(welcome(&hello))),
            feed(Lane::Open, None, true, Vec::new()),
        ];
        for n in 0..20_000 {
            let calls = vec![call(&format!("c{n}"))];
            frames.push(feed(Lane::History, Some(n), false, calls));
        }
        frames
    });
    let engine = Engine::open(config(&fake, folder.path())).unwrap();
    std::thread::sleep(Duration::from_millis(1_500));
    drop(engine);
    let next = Engine::open(config(&fake, folder.path())).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let start = Instant::now();
    while runtime.block_on(next.status()).unwrap().role != Role::Syncing {
        assert!(start.elapsed() < Duration::from_secs(8), "it stays open");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_hello_fits_into_its_frame_whatever_rings() {
    let hellos = std::sync::Arc::new(Mutex::new(Vec::<Hello>::new()));
    let seen = hellos.clone();
    let folder = tempfile::tempdir().unwrap();
    let fake = Fake::start(folder.path(), move |_, frame| {
        let ToServer::Hello(hello) = frame else {
            return Vec::new();
        };
        seen.lock().unwrap().push(*hello.clone());
        let mut welcome = welcome(&hello);
        // So that they still ring.
        welcome.server_time = 1_700_000_000_000;
        let calls = (0..128).map(|n| call(&format!("{n:03}{}", "\u{1f4de}".repeat(29))));
        vec![
            ToDevice::Welcome(Box::new(welcome)),
            feed(Lane::Open, None, true, calls.collect()),
            feed(Lane::History, Some(1), true, Vec::new()),
        ]
    });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut config = config(&fake, folder.path());
        config.token = Some("t".repeat(4_096));
        let engine = Engine::open(config).unwrap();
        let start = Instant::now();
        while engine.ringing().await.unwrap().len() < 128 {
            assert!(
                start.elapsed() < Duration::from_secs(20),
                "it does not ring"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        engine.set_network(false).await.unwrap();
        engine.set_network(true).await.unwrap();
        while hellos.lock().unwrap().len() < 2 {
            let why = engine.status().await.unwrap().error;
            assert!(start.elapsed() < Duration::from_secs(20), "{why:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let call = engine.ringing().await.unwrap().remove(0).call_id;
        let reject = engine.call_reject(&call, CommandOptions::default()).await;
        reject.unwrap();
        engine.close().await.unwrap();
    });
}
