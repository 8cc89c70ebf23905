//! Who may ask at all: a browser that shows our own page under our own name.
//!
//! Any page that the developer has open can send requests to a loopback port, and with a name that
//! it lets point here (DNS rebinding) also read the answers. So the name must be ours, and the
//! browser must not say that the request comes from elsewhere, another port of this machine
//! included.

use hyper::header::{self, HeaderName};
use hyper::{HeaderMap, Uri};

/// What the browser says of where a request comes from.
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

#[derive(Debug)]
pub(super) struct Guard {
    port: u16,
    /// The names under which the page may be asked for.
    hosts: Vec<String>,
}

impl Guard {
    pub(super) fn new(port: u16) -> Self {
        let mut hosts = vec![format!("127.0.0.1:{port}"), format!("localhost:{port}")];
        if port == HTTP_PORT {
            // Which browsers leave away.
            hosts.extend(["127.0.0.1".to_owned(), "localhost".to_owned()]);
        }
        Self { port, hosts }
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// Lets a request in.
    ///
    /// # Errors
    /// What is wrong with it, for the person who reads the answer.
    pub(super) fn check(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), &'static str> {
        const OTHER_HOST: &str = "this page answers under 127.0.0.1 and localhost with its port, and under no other name";
        const OTHER_ORIGIN: &str = "this page answers to itself only, not to other pages; paste the link into the address bar";
        let host = only(headers, &header::HOST).ok_or(OTHER_HOST)?;
        if !self.is_ours(host)
            || uri
                .authority()
                .is_some_and(|name| !self.is_ours(name.as_str()))
        {
            return Err(OTHER_HOST);
        }
        if headers.contains_key(header::ORIGIN) {
            let origin = only(headers, &header::ORIGIN).ok_or(OTHER_ORIGIN)?;
            let own = origin.strip_prefix("http://").ok_or(OTHER_ORIGIN)?;
            if !own.eq_ignore_ascii_case(host) {
                return Err(OTHER_ORIGIN);
            }
        }
        if headers.contains_key(SEC_FETCH_SITE) {
            match only(headers, &SEC_FETCH_SITE) {
                Some("same-origin" | "none") => {}
                Some(_) | None => return Err(OTHER_ORIGIN),
            }
        }
        Ok(())
    }

    fn is_ours(&self, host: &str) -> bool {
        self.hosts.iter().any(|own| own.eq_ignore_ascii_case(host))
    }
}

const HTTP_PORT: u16 = 80;

/// The value of a header that is there once and is text.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    match values.next() {
        None => value.to_str().ok(),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    fn check(uri: &str, lines: &[(&'static str, &str)]) -> bool {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        let uri = uri.parse().unwrap();
        Guard::new(4000).check(&uri, &headers).is_ok()
    }

    #[test]
    fn only_our_own_names_with_our_port_are_answered() {
        assert!(check("/", &[("host", "127.0.0.1:4000")]));
        assert!(check("/", &[("host", "LocalHost:4000")]));
        for other in [
            "127.0.0.1",
            "127.0.0.1:4001",
            "127.0.0.1.evil.example:4000",
            "evil.example:4000",
            "[::1]:4000",
            "localhost.:4000",
            "0.0.0.0:4000",
            "",
        ] {
            assert!(!check("/", &[("host", other)]), "{other}");
        }
        assert!(!check("/", &[]));
        let twice = [("host", "127.0.0.1:4000"), ("host", "evil.example:4000")];
        assert!(!check("/", &twice));
        assert!(!check(
            "http://evil.example/",
            &[("host", "127.0.0.1:4000")]
        ));
    }

    #[test]
    fn requests_that_come_from_elsewhere_are_refused() {
        let with = |name, value| check("/", &[("host", "127.0.0.1:4000"), (name, value)]);
        assert!(with("origin", "http://127.0.0.1:4000"));
        assert!(!with("origin", "http://localhost:4000"));
        assert!(!with("origin", "https://127.0.0.1:4000"));
        assert!(!with("origin", "http://evil.example"));
        assert!(!with("origin", "null"));
        assert!(with("sec-fetch-site", "same-origin"));
        assert!(with("sec-fetch-site", "none"));
        assert!(!with("sec-fetch-site", "same-site"));
        assert!(!with("sec-fetch-site", "cross-site"));
    }
}
