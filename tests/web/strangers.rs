//! Who gets in, and who does not.

use super::{Fixture, Page};

/// One of every kind of thing there is.
const PATHS: [&str; 9] = [
    "/app.js",
    "/style.css",
    "/icon.svg",
    "/api/changes",
    "/api/calls",
    "/api/health",
    "/api/tables",
    "/api/nothing",
    "/nothing",
];

#[test]
fn the_link_opens_the_page_once_and_the_second_time_says_so() {
    let fixture = Fixture::new();
    let page = Page::of(&fixture.database);
    let first = page.get(&page.way_in(), &[("Sec-Fetch-Site", "none")]);
    assert_eq!(first.status, 303, "{first:?}");
    assert_eq!(first.header("location"), Some("/"));
    let cookie = first.header("set-cookie").unwrap();
    assert!(
        cookie.ends_with("; HttpOnly; SameSite=Strict; Path=/"),
        "{cookie}"
    );
    let second = page.get(&page.way_in(), &[]);
    assert_eq!(second.status, 403);
    assert!(second.body.contains("was used already"), "{second:?}");
    assert_eq!(second.header("set-cookie"), None);
    // The browser that is in may follow its link again.
    let pair = cookie.split(';').next().unwrap();
    let again = page.get(&page.way_in(), &[("Cookie", pair)]);
    assert_eq!((again.status, again.header("location")), (303, Some("/")));
    let index = page.get("/", &[("Cookie", pair)]);
    assert_eq!(index.status, 200);
    assert!(index.body.contains("<main"), "{index:?}");
}

#[test]
fn nobody_gets_in_without_the_token() {
    let fixture = Fixture::new();
    let page = Page::of(&fixture.database);
    let way_in = page.way_in();
    let token = way_in.strip_prefix("/?token=").unwrap();
    for wrong in ["x", &token[1..], &token.to_uppercase(), &token.repeat(2)] {
        let answer = page.get(&format!("/?token={wrong}"), &[]);
        assert_eq!(answer.status, 403, "{wrong}");
        assert_eq!(answer.header("set-cookie"), None);
    }
    assert_eq!(page.get("/", &[]).status, 401);
    let guesses = [
        String::new(),
        format!("offhook_{}={token}", page.port),
        format!("offhook_{}=", page.port),
        "offhook=1".to_owned(),
    ];
    for path in PATHS {
        for guess in &guesses {
            let answer = page.get(path, &[("Cookie", guess)]);
            assert_eq!(answer.status, 401, "{path} {guess}");
        }
    }
    let body = r#"{"sql":"SELECT 1"}"#;
    let headers = [("Content-Type", "application/json")];
    assert_eq!(page.request("POST /api/sql", &headers, body).status, 401);
    // None of that has spent the token; a HEAD does not, either.
    let head = page.request(&format!("HEAD {way_in}"), &[], "");
    assert_eq!(head.status, 405);
    page.enter();
}

#[test]
fn other_hosts_names_and_other_origins_are_refused_although_they_have_the_cookie() {
    let fixture = Fixture::new();
    let page = Page::of(&fixture.database);
    let session = page.enter();
    let cookie = ("Cookie", session.cookie.as_str());
    let port = page.port;
    for host in [
        format!("evil.example:{port}"),
        "127.0.0.1".to_owned(),
        format!("127.0.0.1:{}", port ^ 1),
        format!("[::1]:{port}"),
    ] {
        let answer = page.get("/api/calls", &[("Host", &host), cookie]);
        assert_eq!(answer.status, 403, "{host}");
        let entrance = page.get(&page.way_in(), &[("Host", &host)]);
        assert_eq!(entrance.status, 403, "{host}");
    }
    for origin in [
        "http://evil.example".to_owned(),
        "null".to_owned(),
        format!("http://localhost:{port}"),
        format!("https://127.0.0.1:{port}"),
        format!("http://127.0.0.1:{}", port ^ 1),
    ] {
        let answer = page.get("/api/calls", &[("Origin", &origin), cookie]);
        assert_eq!(answer.status, 403, "{origin}");
    }
    for site in ["cross-site", "same-site", "whatever"] {
        let answer = page.get("/api/calls", &[("Sec-Fetch-Site", site), cookie]);
        assert_eq!(answer.status, 403, "{site}");
    }
    let own = format!("http://127.0.0.1:{port}");
    let lines = [
        ("Origin", own.as_str()),
        ("Sec-Fetch-Site", "same-origin"),
        cookie,
    ];
    assert_eq!(page.get("/api/calls", &lines).status, 200);
    let localhost = format!("localhost:{port}");
    let answer = page.get("/api/calls", &[("Host", &localhost), cookie]);
    assert_eq!(answer.status, 200);
}

#[test]
fn every_answer_says_what_a_browser_may_do_with_it() {
    let fixture = Fixture::new();
    let page = Page::of(&fixture.database);
    let refused = page.get("/api/calls", &[]);
    let session = page.enter();
    let mut answers = vec![refused, session.get("/")];
    answers.extend(PATHS.iter().map(|path| session.get(path)));
    for answer in answers {
        let policy = answer.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'; script-src 'self'"));
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
        assert_eq!(answer.header("access-control-allow-origin"), None);
    }
}

#[test]
fn what_the_page_is_made_of_is_all_here() {
    let fixture = Fixture::new();
    let page = Page::of(&fixture.database);
    let session = page.enter();
    let index = session.get("/").body;
    let mut to_see = named_in(&index);
    let mut seen = Vec::new();
    while let Some(path) = to_see.pop() {
        if seen.contains(&path) {
            continue;
        }
        let answer = session.get(&path);
        assert_eq!(answer.status, 200, "{path}");
        assert!(answer.body.lines().count() < 400, "{path} is too long");
        let elsewhere = answer.body.replace("http://www.w3.org/2000/svg", "");
        assert!(!elsewhere.contains("://"), "{path} names another place");
        to_see.extend(named_in(&answer.body));
        seen.push(path);
    }
    assert!(seen.len() > 10, "{seen:?}");
}

/// Scripts, styles and pictures that a file names.
fn named_in(text: &str) -> Vec<String> {
    let quoted = text.split(['"', '\'']);
    let files = quoted.filter(|one| {
        let ends = [".js", ".css", ".svg"].iter().any(|end| one.ends_with(end));
        ends && !one.contains(' ')
    });
    files
        .map(|one| format!("/{}", one.trim_start_matches(['.', '/'])))
        .collect()
}
