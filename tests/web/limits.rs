//! Peers that ask too much, too slowly, or nothing that makes sense.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;

use super::{Fixture, Page, Session, offhook};

#[test]
fn what_is_too_long_is_refused_and_the_page_goes_on() {
    let fixture = Fixture::new();
    let page = Page::of(&fixture.database);
    let session = page.enter();
    let question = format!(r#"{{"sql":"SELECT '{}'"}}"#, "x".repeat(64 * 1024));
    assert_eq!(session.post(&question).status, 413);
    let address = session.get(&format!("/api/calls?q={}", "x".repeat(20_000)));
    assert!(matches!(address.status, 414 | 431), "{address:?}");
    let lines = "X-A: b\r\n".repeat(200);
    let request = format!(
        "GET / HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n{lines}\r\n",
        page.port
    );
    assert_eq!(page.send(request.as_bytes()).status, 431);
    session.document("/api/calls");
}

#[test]
fn what_is_no_http_is_closed_and_the_page_goes_on() {
    let fixture = Fixture::new();
    let page = Page::of(&fixture.database);
    let session = page.enter();
    for bytes in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"[..],
        b"\0\0\0\0\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /%00%ff%zz?%=%&&& HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET http://[::1 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: \xff\xfe\r\n\r\n",
        b"POST /api/sql HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /api/sql HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
        b"CONNECT 127.0.0.1:22 HTTP/1.1\r\nHost: 127.0.0.1:22\r\n\r\n",
    ] {
        let answer = page.send(bytes);
        assert!(!(200..400).contains(&answer.status), "{answer:?}");
    }
    session.document("/api/calls");
}

#[test]
fn peers_that_say_nothing_keep_nobody_out_and_the_oldest_of_too_many_are_let_go() {
    let fixture = Fixture::new();
    let page = Page::of(&fixture.database);
    let session = page.enter();
    // More than may wait at a time, some silent and some in the middle of a line.
    let request = format!("GET / HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n\r\n", page.port);
    let (first, rest) = request.split_at(8);
    let mut silent: Vec<TcpStream> = (0..40)
        .map(|number| {
            let mut stream = TcpStream::connect(("127.0.0.1", page.port)).unwrap();
            if number % 2 == 0 {
                stream.write_all(first.as_bytes()).unwrap();
            }
            stream
        })
        .collect();
    session.document("/api/calls");
    // The newer ones are still there, and can still ask.
    let mut newer = silent.split_off(20);
    for (number, stream) in newer.iter_mut().enumerate() {
        if number % 2 == 1 {
            stream.write_all(first.as_bytes()).unwrap();
        }
        stream.write_all(rest.as_bytes()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 401"), "{number}");
    }
    // Ends without an answer.
    for mut stream in silent.into_iter().take(8) {
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        assert!(answer.is_empty());
    }
}

#[test]
fn a_port_that_is_taken_is_told_and_another_page_can_be_open() {
    let fixture = Fixture::new();
    let page = Page::of(&fixture.database);
    let output = offhook()
        .arg("inspect")
        .arg(&fixture.database)
        .args(["web", "--port", &page.port.to_string()])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("choose another with --port"), "{stderr}");
    let other = Page::of(&fixture.database);
    assert_ne!(other.way_in(), page.way_in());
    let cookie = page.enter().cookie;
    let answer = other.get("/api/calls", &[("Cookie", &cookie)]);
    assert_eq!(answer.status, 401);
    other.enter().document("/api/calls");
}

#[cfg(unix)]
#[test]
fn a_signal_ends_it_cleanly_also_in_the_middle_of_a_question() {
    let fixture = Fixture::new();
    let mut page = Page::of(&fixture.database);
    let cookie = page.enter().cookie;
    let session = Session {
        page: &page,
        cookie,
    };
    let _asked = session.begin_sql(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n",
    );
    let id = page.process.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-TERM", &id])
            .status()
            .unwrap()
            .success()
    );
    assert_eq!(page.process.wait().unwrap().code(), Some(0));
}
