//! What an engine is told when it is opened.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::housekeeping::Retention;
use super::roots::Roots;
use super::token::TokenProvider;

/// How much memory an engine may take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Memory {
    /// Enough for long histories and busy users.
    #[default]
    Normal,
    /// As little as does the work, for a notification extension or a small device. Against
    /// [`Memory::Normal`]:
    ///
    /// | | normal | low |
    /// |---|---|---|
    /// | memory for pages of the database: writer; each reader | 2 MiB; 2 MiB | 256 KiB; 128 KiB |
    /// | prepared statements: writer; each reader | 64; 16 | 24; 5 |
    /// | readers kept open between queries | 2 | 1 |
    /// | requests and frames that wait for the core | 1,024 | 64 |
    /// | bytes received ahead | about 514 KiB | about 257 KiB |
    /// | bytes sent and not acknowledged | 128 KiB | 32 KiB |
    ///
    /// Nothing works differently; queries of long histories and catching up take longer.
    Low,
}

/// What an engine is told when it is opened. [`Config::new`] has the three things that have no
/// default; all else can be set on the value.
#[derive(Clone)]
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
    /// Whom to ask for a token: at the start if there is none, before one runs out, and when one was
    /// refused; see [`TokenProvider`]. Absent: the app hears of it by events and calls
    /// [`crate::Engine::renew_token`].
    pub token_provider: Option<Arc<dyn TokenProvider>>,
    /// The database file of this user on this device; made if it is not there.
    pub database: PathBuf,
    /// How long an invite or join waits for a connection, unless it says otherwise; 30 s.
    pub wait: Duration,
    /// The name of the app's build, for the server's log.
    pub build: String,
    /// How much memory the engine may take.
    pub memory: Memory,
    /// How much of the past the database keeps.
    pub retention: Retention,
}

/// Says whether there is a token and nothing of it: it is often what a log shows of an app.
impl fmt::Debug for Config {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            server,
            server_name,
            roots,
            user,
            token,
            token_provider,
            database,
            wait,
            build,
            memory,
            retention,
        } = self;
        formatter
            .debug_struct("Config")
            .field("server", server)
            .field("server_name", server_name)
            .field("roots", roots)
            .field("user", user)
            .field("token", &token.as_ref().map(|_| "…"))
            .field("token_provider", &token_provider.as_ref().map(|_| "…"))
            .field("database", database)
            .field("wait", wait)
            .field("build", build)
            .field("memory", memory)
            .field("retention", retention)
            .finish()
    }
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
            token_provider: None,
            database: database.into(),
            wait: Duration::from_secs(super::core::WAIT_S_DEFAULT.into()),
            build: concat!("offhook ", env!("CARGO_PKG_VERSION")).to_owned(),
            memory: Memory::Normal,
            retention: Retention::default(),
        }
    }
}
