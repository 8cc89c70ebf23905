//! What an engine is told when it is opened.

use std::path::PathBuf;
use std::time::Duration;

use super::roots::Roots;

/// What an engine is told when it is opened. [`Config::new`] has the three things that have no
/// default; all else can be set on the value.
#[derive(Clone, Debug)]
pub struct Config {
    /// The server, as `host:port`.
    pub server: String,
    /// The name that the server's certificate is to have; absent: the host of `server`.
    pub server_name: Option<String>,
    /// Whom to trust for the server's certificate; the public authorities unless set.
    pub roots: Roots,
    /// The user.
    pub user: String,
    /// Proof of that: a token of the app's own server. None where the server trusts names.
    pub token: Option<String>,
    /// The database file of this user on this device; made if it is not there.
    pub database: PathBuf,
    /// How long an invite or join waits for a connection, unless it says otherwise; 30 s.
    pub wait: Duration,
    /// The name of the app's build, for the server's log.
    pub build: String,
}

impl Config {
    /// A configuration with the defaults.
    pub fn new(
        server: impl Into<String>,
        user: impl Into<String>,
        database: impl Into<PathBuf>,
    ) -> Self {
        Self {
            server: server.into(),
            server_name: None,
            roots: Roots::Webpki,
            user: user.into(),
            token: None,
            database: database.into(),
            wait: Duration::from_secs(super::core::WAIT_S_DEFAULT.into()),
            build: concat!("offhook ", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }
}
