//! The token of the link, and the session that it is exchanged for.

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};

/// Random bytes of the token, and of the session.
const SECRET_BYTES: usize = 32;

/// One link, one session: the page is for the person who started the command.
///
/// Cookies know no ports, so the name has the port in it: several pages can be open. The same lack
/// lets another server on this machine, if this browser asks it, see the cookie; it can then read
/// what this page shows, as any program of this user can read the file.
pub(super) struct Session {
    token: String,
    spent: AtomicBool,
    cookie_name: String,
    cookie: String,
}

/// What came of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Exchange {
    /// The value of a `Set-Cookie`.
    Session(String),
    /// The right one, but the second time.
    Spent,
    /// Another one.
    Wrong,
}

impl Session {
    pub(super) fn new(port: u16) -> Result<Self, getrandom::Error> {
        Ok(Self {
            token: secret()?,
            spent: AtomicBool::new(false),
            cookie_name: format!("offhook_{port}"),
            cookie: secret()?,
        })
    }

    pub(super) fn token(&self) -> &str {
        &self.token
    }

    /// Takes the token of a link, and spends it.
    pub(super) fn exchange(&self, token: &str) -> Exchange {
        if !same(&self.token, token) {
            return Exchange::Wrong;
        }
        if self.spent.swap(true, Ordering::SeqCst) {
            return Exchange::Spent;
        }
        Exchange::Session(format!(
            "{}={}; HttpOnly; SameSite=Strict; Path=/",
            self.cookie_name, self.cookie
        ))
    }

    /// Whether a `Cookie` header has the session in it.
    pub(super) fn is_in(&self, cookies: &str) -> bool {
        cookies.split(';').any(|pair| {
            let value = pair.trim().split_once('=');
            value.is_some_and(|(name, value)| name == self.cookie_name && same(&self.cookie, value))
        })
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Session")
    }
}

fn secret() -> Result<String, getrandom::Error> {
    let mut bytes = [0; SECRET_BYTES];
    getrandom::fill(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Compares in a time that does not tell where the first difference is.
fn same(secret: &str, given: &str) -> bool {
    let differences = secret
        .bytes()
        .zip(given.bytes())
        .fold(0, |all, (one, other)| black_box(all | (one ^ other)));
    secret.len() == given.len() && differences == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_opens_one_session_and_no_other_does() {
        let session = Session::new(4000).unwrap();
        let token = session.token().to_owned();
        for wrong in [
            "",
            "x",
            &token[1..],
            &format!("{token}0"),
            &token.to_uppercase(),
        ] {
            if wrong != token {
                assert_eq!(session.exchange(wrong), Exchange::Wrong);
            }
        }
        let Exchange::Session(cookie) = session.exchange(&token) else {
            panic!("the token was not taken");
        };
        assert_eq!(session.exchange(&token), Exchange::Spent);
        let (pair, rest) = cookie.split_once(';').unwrap();
        assert_eq!(rest, " HttpOnly; SameSite=Strict; Path=/");
        assert!(session.is_in(pair));
        assert!(session.is_in(&format!("a=b; {pair}; c=d")));
        assert!(!session.is_in(&pair.replace("4000", "4001")));
        assert!(!session.is_in(&format!("offhook_4000={token}")));
        assert!(!session.is_in(""));
    }
}
