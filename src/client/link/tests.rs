use std::net::UdpSocket;
use std::time::Instant;

use quinn::ConnectionError;
use ring::digest;

use self::peers::*;
use super::*;
use crate::protocol::{COMMANDS_IN_FLIGHT_MAX, TO_SERVER_BYTES_MAX, ToServer};

mod peers;

#[test]
fn frames_go_both_ways() {
    let server = Server::start(Manners::default());
    let mut device = Device::of(&server);
    device.connect(1);
    assert_eq!(device.up(), (1, server.address));
    server.connected();
    device.send(1, ping(7));
    assert_eq!(server.frame(), ping(7));
    assert_eq!(device.frame(), pong(7));
    device.send(1, ask(SEND_LONG));
    assert_eq!(device.frame(), long_frame());
}

#[test]
fn what_is_sent_before_the_connection_is_up_waits_for_it() {
    let server = Server::start(Manners::default());
    let mut device = Device::of(&server);
    device.connect(1);
    for number in 0..100 {
        device.send(1, ping(number));
    }
    device.up();
    for number in 0..100 {
        assert_eq!(device.frame(), pong(number));
    }
}

#[test]
fn a_close_sends_what_waits_and_tells_the_server() {
    let server = Server::start(Manners::default());
    let mut device = Device::of(&server);
    device.connect(1);
    device.up();
    server.connected();
    for number in 0..50 {
        device.send(1, ping(number));
    }
    device.link.command(LinkCommand::Close { attempt: 1 });
    device.send(1, ping(99));
    for number in 0..50 {
        assert_eq!(server.frame(), ping(number));
    }
    assert!(matches!(server.next(), Noticed::StreamEnded));
    match server.gone() {
        ConnectionError::ApplicationClosed(close) => assert_eq!(close.error_code, CODE_DONE),
        other => panic!("{other:?}"),
    }
    let why = loop {
        match device.next() {
            LinkEvent::Frame { .. } => {}
            LinkEvent::Down { attempt: 1, why } => break why,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(why.kind, DownKind::Local);
    // And the same link connects again.
    device.connect(2);
    assert_eq!(device.up().0, 2);
}

#[test]
fn a_close_takes_a_bounded_time_where_the_server_does_not_answer() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let mut device = Device::start(LinkConfig::new(address, Roots::Webpki));
    device.connect(1);
    device.link.command(LinkCommand::Close { attempt: 1 });
    assert_eq!(device.down().1.kind, DownKind::Local);
    device.ends_silently();
}

#[test]
fn a_shutdown_closes_in_good_order() {
    let server = Server::start(Manners::default());
    let mut device = Device::of(&server);
    device.connect(1);
    device.up();
    server.connected();
    device.send(1, ping(1));
    drop(device.link);
    assert_eq!(server.frame(), ping(1));
    assert!(matches!(server.next(), Noticed::StreamEnded));
    assert!(matches!(
        server.gone(),
        ConnectionError::ApplicationClosed(_)
    ));
    let last = device.events.iter().last().unwrap();
    assert!(matches!(last, LinkEvent::Down { attempt: 1, .. }));
}

#[test]
fn the_last_words_of_a_server_are_heard() {
    let server = Server::start(Manners::default());
    let mut device = Device::of(&server);
    device.connect(1);
    device.up();
    device.send(1, ask(SEND_LAST_AND_CLOSE));
    assert_eq!(device.frame(), pong(99));
    assert_eq!(device.down().1.kind, DownKind::Closed);
    device.ends_silently();
}

#[test]
fn bytes_that_are_no_frame_end_the_connection() {
    let server = Server::start(Manners::default());
    let mut device = Device::of(&server);
    device.connect(1);
    device.up();
    server.connected();
    device.send(1, ask(SEND_GARBAGE));
    assert_eq!(device.down().1.kind, DownKind::Protocol);
    server.frame();
    match server.gone() {
        ConnectionError::ApplicationClosed(close) => assert_eq!(close.error_code, CODE_VIOLATION),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_certificate_that_nobody_here_trusts_is_refused() {
    let server = Server::start(Manners::default());
    let other = Server::start(Manners::default());
    let config = |roots| LinkConfig::new(server.address.to_string(), roots);
    for roots in [other.roots(), Roots::Webpki, Roots::Pinned([7; 32])] {
        let why = Device::fails(config(roots));
        assert_eq!(why.kind, DownKind::Certificate, "{}", why.message);
    }
    let mut misnamed = config(server.roots());
    misnamed.server_name = Some("elsewhere.example".to_owned());
    assert_eq!(Device::fails(misnamed).kind, DownKind::Certificate);
}

#[test]
fn a_pinned_certificate_is_trusted_under_any_name() {
    let server = Server::start(Manners::default());
    let mut pin = [0; 32];
    pin.copy_from_slice(digest::digest(&digest::SHA256, &server.chain[0]).as_ref());
    let mut config = LinkConfig::new(server.address.to_string(), Roots::Pinned(pin));
    config.server_name = Some("elsewhere.example".to_owned());
    let mut device = Device::start(config);
    device.connect(1);
    device.up();
}

#[test]
fn a_name_with_several_addresses_finds_the_one_that_answers() {
    let server = Server::start(Manners::default());
    let address = format!("localhost:{}", server.address.port());
    let mut device = Device::start(LinkConfig::new(address, server.roots()));
    device.connect(1);
    assert_eq!(device.up(), (1, server.address));
}

#[test]
fn an_ipv6_server_is_reached() {
    if UdpSocket::bind("[::1]:0").is_err() {
        eprintln!("this machine has no IPv6: not tried");
        return;
    }
    let server = Server::start_on("[::1]:0", Manners::default());
    let mut device = Device::of(&server);
    device.connect(1);
    assert_eq!(device.up(), (1, server.address));
}

#[test]
fn a_server_of_another_protocol_refuses() {
    let server = Server::start(Manners {
        alpn: b"other/1",
        ..Manners::default()
    });
    let why = Device::fails(LinkConfig::new(server.address.to_string(), server.roots()));
    assert_eq!(why.kind, DownKind::Refused, "{}", why.message);
}

#[test]
fn where_nobody_listens_the_handshake_times_out() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut config = LinkConfig::new(silent.local_addr().unwrap().to_string(), Roots::Webpki);
    config.handshake_timeout = Duration::from_millis(100);
    let why = Device::fails(config);
    assert_eq!(why.kind, DownKind::HandshakeTimeout, "{}", why.message);
}

#[test]
fn a_name_without_an_address_is_said_so() {
    let mut config = LinkConfig::new("no-such-host.invalid:7", Roots::Webpki);
    config.handshake_timeout = Duration::from_secs(2);
    assert_eq!(Device::fails(config).kind, DownKind::Address);
}

#[test]
fn a_dead_network_ends_the_attempt_and_tells_nobody() {
    let server = Server::start(Manners {
        idle: Duration::from_secs(1),
        ..Manners::default()
    });
    let mut device = Device::of(&server);
    device.connect(1);
    device.up();
    let connection = server.connected();
    device.send(1, ping(1));
    assert_eq!(device.frame(), pong(1));
    server.frame();

    device.link.command(LinkCommand::SetNetwork(false));
    device.send(1, ping(2));
    let (attempt, why) = device.down();
    assert_eq!((attempt, why.kind), (1, DownKind::Local));
    assert_eq!(connection.close_reason(), None);
    device.send(1, ping(3));
    device.connect(2);
    let (attempt, why) = device.down();
    assert_eq!((attempt, why.kind), (2, DownKind::Address));

    // The next that the server notices is silence: no frame, no end of the stream, no close.
    assert_eq!(server.gone(), ConnectionError::TimedOut);
    assert_eq!(connection.stats().frame_rx.connection_close, 0);

    device.link.command(LinkCommand::SetNetwork(true));
    device.connect(3);
    assert_eq!(device.up().0, 3);
    server.connected();
    device.send(3, ping(4));
    assert_eq!(device.frame(), pong(4));
    assert_eq!(server.frame(), ping(4));
}

#[test]
fn a_network_that_came_back_at_once_still_was_dead() {
    let server = Server::start(Manners::default());
    let mut device = Device::of(&server);
    device.connect(1);
    device.up();
    let first = server.connected();
    device.link.command(LinkCommand::SetNetwork(false));
    device.link.command(LinkCommand::SetNetwork(true));
    device.connect(2);
    assert_eq!(device.down().1.kind, DownKind::Local);
    assert_eq!(device.up().0, 2);
    let second = server.connected();
    assert_ne!(first.remote_address(), second.remote_address());
    assert_eq!(first.close_reason(), None);
}

#[test]
fn a_connection_moves_to_another_network() {
    let server = Server::start(Manners::default());
    let mut device = Device::of(&server);
    device.connect(1);
    device.up();
    let connection = server.connected();
    let mut before = connection.remote_address();
    for number in 0..3 {
        device.link.command(LinkCommand::NetworkChanged);
        device.send(1, ping(number));
        assert_eq!(device.frame(), pong(number));
        assert_eq!(server.frame(), ping(number));
        let after = connection.remote_address();
        assert_ne!(before, after);
        before = after;
    }
}

#[test]
fn a_network_change_during_the_handshake_begins_it_again() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    silent.set_read_timeout(Some(PATIENCE)).unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let mut device = Device::start(LinkConfig::new(address, Roots::Webpki));
    let mut packet = [0; 2048];
    device.connect(1);
    let (_, first) = silent.recv_from(&mut packet).unwrap();
    device.link.command(LinkCommand::NetworkChanged);
    let deadline = Instant::now() + PATIENCE;
    while silent.recv_from(&mut packet).unwrap().1 == first {
        assert!(Instant::now() < deadline);
    }
    device.link.command(LinkCommand::Close { attempt: 1 });
    assert_eq!(device.down().1.kind, DownKind::Local);
    device.ends_silently();
}

#[test]
fn a_server_that_does_not_read_overflows_the_outbox() {
    let server = Server::start(Manners {
        reads: false,
        ..Manners::default()
    });
    let mut device = Device::of(&server);
    device.connect(1);
    device.up();
    server.connected();
    let token = "x".repeat(8 * 1024);
    // What waits, what the writer has, and what the connection takes unread: more than all of it.
    let window = usize::try_from(Manners::default().window).unwrap();
    let bytes_max = 4 * OUTBOX_BYTES_MAX + window;
    for _ in 0..=bytes_max / token.len() {
        device.send(1, ask(&token));
    }
    let (_, why) = device.down();
    assert_eq!(why.kind, DownKind::Overflow, "{}", why.message);
    match server.gone() {
        ConnectionError::ApplicationClosed(close) => assert_eq!(close.error_code, CODE_VIOLATION),
        other => panic!("{other:?}"),
    }
    device.ends_silently();
}

#[test]
fn a_close_takes_a_bounded_time_where_the_server_does_not_read() {
    let server = Server::start(Manners {
        window: 4 * 1024,
        reads: false,
        ..Manners::default()
    });
    let mut device = Device::of(&server);
    device.connect(1);
    device.up();
    server.connected();
    for _ in 0..8 {
        device.send(1, ask(&"x".repeat(4 * 1024)));
    }
    device.link.command(LinkCommand::Close { attempt: 1 });
    let began = Instant::now();
    assert_eq!(device.down().1.kind, DownKind::Local);
    assert!(began.elapsed() > CLOSE_WITHIN / 2, "it is waited for");
    assert!(matches!(
        server.gone(),
        ConnectionError::ApplicationClosed(_)
    ));
    device.ends_silently();
}

#[test]
fn a_full_reconnect_does_not_overflow() {
    let server = Server::start(Manners::default());
    let mut device = Device::of(&server);
    device.connect(1);
    // The longest token that fits a frame stands for the longest command.
    let longest = TO_SERVER_BYTES_MAX - 4;
    for _ in 0..COMMANDS_IN_FLIGHT_MAX {
        device.send(1, ask(&"x".repeat(longest)));
    }
    for number in 0..1000 {
        device.send(1, ping(number));
    }
    device.up();
    server.connected();
    for _ in 0..COMMANDS_IN_FLIGHT_MAX {
        assert!(matches!(server.frame(), ToServer::Renew(_)));
    }
    for number in 0..1000 {
        assert_eq!(server.frame(), ping(number));
    }
}

#[test]
fn a_connection_that_is_silent_for_too_long_is_lost() {
    let server = Server::start(Manners::default());
    let mut config = LinkConfig::new(server.address.to_string(), server.roots());
    config.idle_timeout = Duration::from_millis(300);
    let mut device = Device::start(config);
    device.connect(1);
    device.up();
    assert_eq!(device.down().1.kind, DownKind::Lost);
    device.ends_silently();
}

#[test]
fn a_frame_that_cannot_be_said_ends_the_attempt() {
    let server = Server::start(Manners::default());
    let mut device = Device::of(&server);
    device.connect(1);
    device.up();
    device.send(1, ask(&"x".repeat(20 * 1024)));
    assert_eq!(device.down().1.kind, DownKind::Protocol);
}

#[test]
fn a_newer_attempt_replaces_the_one_that_goes_on() {
    let server = Server::start(Manners::default());
    let mut device = Device::of(&server);
    device.connect(1);
    device.up();
    device.connect(2);
    device.send(1, ping(1));
    device.send(2, ping(2));
    let (attempt, why) = device.down();
    assert_eq!((attempt, why.kind), (1, DownKind::Local));
    assert_eq!(device.up().0, 2);
    assert_eq!(device.frame(), pong(2));
}

#[test]
fn a_server_that_cannot_be_is_refused_with_the_way_out() {
    let wrong = [
        "",
        "calls.example",
        "calls.example:",
        "calls.example:0",
        "calls.example:70000",
        ":7",
        "::1:7",
        "[::1:7",
        "[]:7",
    ];
    for server in wrong {
        let config = LinkConfig::new(server, Roots::Webpki);
        let error = QuicLink::start(config, Box::new(|_| {})).unwrap_err();
        assert_eq!(error.code, Code::InvalidParameter, "{server:?}");
        assert_eq!(error.reason, "server", "{server:?}");
        assert!(error.message.contains("host:port"), "{error}");
    }
    let mut config = LinkConfig::new("calls.example:7", Roots::Webpki);
    config.server_name = Some("not a name".to_owned());
    let error = QuicLink::start(config, Box::new(|_| {})).unwrap_err();
    assert_eq!(error.reason, "serverName");
}

#[test]
fn servers_are_named_in_three_ways() {
    for (server, host) in [
        ("calls.example:7400", "calls.example"),
        ("192.0.2.1:7400", "192.0.2.1"),
        ("[2001:db8::1]:7400", "2001:db8::1"),
    ] {
        let target = Target::parse(server, None).unwrap();
        assert_eq!((target.host.as_str(), target.port), (host, 7400));
        assert_eq!(target.server_name, host);
    }
}
