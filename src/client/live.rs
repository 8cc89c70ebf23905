//! Answers that come again when they have become others.

use std::fmt;
use std::sync::Weak;

use super::shell::Shared;
use super::subscription::Changes;
use crate::error::Error;

/// An answer from the database: as it is, and then each time it has become another.
///
/// Changes between two calls of [`Self::next`] count as one, and the last is never missed; nothing
/// waits in a queue, so one may be taken seldom. The file is read by whoever calls, for as long as
/// reading a page takes, and after a change that leaves the answer as it was nothing comes.
pub struct Live<T> {
    changes: Changes,
    engine: Weak<Shared>,
    read: Box<dyn Fn() -> Result<T, Error> + Send + Sync>,
    last: Option<T>,
}

impl<T> fmt::Debug for Live<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Live").finish_non_exhaustive()
    }
}

impl<T: Clone + PartialEq> Live<T> {
    pub(super) fn new(
        changes: Changes,
        engine: Weak<Shared>,
        read: impl Fn() -> Result<T, Error> + Send + Sync + 'static,
    ) -> Self {
        Self {
            changes: changes.all_new(),
            engine,
            read: Box::new(read),
            last: None,
        }
    }

    /// The answer, the first at once; `None` once the engine is closed. While it is paused nothing
    /// comes. Safe to cancel.
    ///
    /// # Errors
    /// What keeps the file from being read. The next change has it read again.
    pub async fn next(&mut self) -> Option<Result<T, Error>> {
        // Nothing is awaited between a change that was taken and what is given for it.
        while self.changes.changed().await {
            let engine = self.engine.upgrade()?;
            if engine.check_open().is_err() {
                continue;
            }
            match (self.read)() {
                Ok(answer) if self.last.as_ref() == Some(&answer) => {}
                Ok(answer) => {
                    self.last = Some(answer.clone());
                    return Some(Ok(answer));
                }
                // One that was paused or closed meanwhile says so another time.
                Err(_) if engine.check_open().is_err() => {}
                Err(error) => return Some(Err(error)),
            }
        }
        None
    }
}
