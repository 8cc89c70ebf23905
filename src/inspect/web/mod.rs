//! A page that shows a database in a browser, on a loopback port.
//!
//! Comes in: requests from the browser that opened the link, and the files as they change. Goes
//! out: the page (`page/`, compiled in, nothing loaded from elsewhere) and the documents that
//! `--json` shows. What always holds: nobody else gets an answer (`guard`, `session`); a request
//! can only read, and has bounds in size, time and memory; between two looks nothing of the
//! database is held open, so that the app does not notice; and what may take long (`question`) is
//! done elsewhere, so that no document waits for it.
//!
//! hyper speaks HTTP here, without a framework above it: the bounds are all at the connection, and
//! a dozen routes are one `match`.

mod answers;
mod assets;
mod changes;
mod guard;
mod health;
mod listener;
mod query;
mod question;
mod routes;
mod search;
mod session;
mod sql;
mod tables;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use self::changes::Changes;
use self::guard::Guard;
pub use self::question::answer;
use self::question::{QUESTIONS_MAX, TABLES_AT_ONCE};
use self::session::Session;
use super::database::Database;
use super::error::Error;

/// Why the page cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum WebError {
    /// The file cannot be looked at.
    #[error(transparent)]
    File(#[from] Error),
    /// The port cannot be had.
    #[error("cannot listen on 127.0.0.1:{port}: {error}; choose another with --port, or 0 for any")]
    Port {
        /// The port that was asked for.
        port: u16,
        /// What the system says.
        error: io::Error,
    },
    /// The system gives no random bytes for the token.
    #[error("cannot make a token: {0}")]
    Random(getrandom::Error),
}

/// A page that waits for its browser.
#[derive(Debug)]
pub struct Web {
    listener: TcpListener,
    shared: Arc<Shared>,
}

/// What every request needs.
#[derive(Debug)]
struct Shared {
    file: PathBuf,
    guard: Guard,
    session: Session,
    changes: Mutex<Changes>,
    /// One look at a time: SQLite's bounds on memory are the process's, and on Unix a process that
    /// closes a file loses its locks on it, those of its other connections included.
    looks: Arc<Semaphore>,
    /// Places for questions in SQL, and for pages of tables; other processes answer them.
    questions: Arc<Semaphore>,
    tables: Arc<Semaphore>,
}

impl Web {
    /// Takes the port and makes the link.
    ///
    /// # Errors
    /// The file is not a database of the engine, or the port is taken.
    pub async fn bind(file: &Path, port: u16) -> Result<Self, WebError> {
        drop(Database::open(file)?);
        let asked = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let failed = |error| WebError::Port { port, error };
        let listener = TcpListener::bind(asked).await.map_err(failed)?;
        let port = listener.local_addr().map_err(failed)?.port();
        Ok(Self {
            listener,
            shared: Arc::new(Shared {
                file: file.to_owned(),
                guard: Guard::new(port),
                session: Session::new(port).map_err(WebError::Random)?,
                changes: Mutex::new(Changes::default()),
                looks: Arc::new(Semaphore::new(1)),
                questions: Arc::new(Semaphore::new(QUESTIONS_MAX)),
                tables: Arc::new(Semaphore::new(TABLES_AT_ONCE)),
            }),
        })
    }

    /// The link that opens the page, once.
    pub fn link(&self) -> String {
        let Shared { guard, session, .. } = &*self.shared;
        format!(
            "http://127.0.0.1:{}/?token={}",
            guard.port(),
            session.token()
        )
    }

    /// Answers requests until it is dropped.
    pub async fn serve(self) {
        listener::serve(&self.listener, &self.shared).await;
    }
}
