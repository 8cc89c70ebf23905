//! The core's thread: takes what comes in, one thing at a time, and carries out what the core wants
//! done, in its order.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::{Done, INPUTS_MAX, Input, Shared, Waiter, closed, open_core};
use crate::call::{Op, UserId};
use crate::client::clock::now;
use crate::client::config::Config;
use crate::client::core::{
    Core, Effect, LOOK_EVERY_MS, LinkKept, Submission, Submitted, TokenWanted,
};
use crate::client::event::{Event, EventKind};
use crate::client::link::QuicLink;
use crate::client::store::Readers;
use crate::client::token::TokenRequest;
use crate::client::transport::{LinkCommand, LinkEvent, Transport};
use crate::error::{Code, Error};

/// The core looks at the clock at least this often: the thread's own timer does not count sleep.
const WAKE_MAX: Duration = Duration::from_secs(10);
/// How long the end of a connection may take to reach the server.
const LAST_WORDS_MAX: Duration = Duration::from_millis(1_500);
/// Inputs taken before effects are carried out and timers looked at.
const INPUTS_AT_ONCE: usize = 64;
/// What the core's thread owns.
pub(super) struct Running {
    pub(super) inputs: Receiver<Input>,
    /// What the link has to say.
    pub(super) from_link: Receiver<LinkEvent>,
    /// For what works beside the core's thread and has something to say to it.
    pub(super) from_beside: Sender<Input>,
    /// What came while the end of a connection was waited for.
    pub(super) postponed: VecDeque<Input>,
    /// The attempt that the link is busy with.
    pub(super) attempt: Option<u64>,
    pub(super) core: Option<Core>,
    /// When the core looks at the file again, on the clock of `Now::mono_ms`.
    pub(super) next_look: i64,
    /// Up to where the journal was told when the engine was paused.
    pub(super) told: Option<u64>,
    /// What the core that was paused knew of the link.
    pub(super) link_kept: Option<LinkKept>,
    pub(super) config: Config,
    /// Whether the user was logged out when the engine was paused.
    pub(super) logged_out: bool,
    pub(super) user: UserId,
    pub(super) link: QuicLink,
    pub(super) readers: Arc<Readers>,
    pub(super) shared: Arc<Shared>,
    pub(super) waiters: BTreeMap<Op, Waiter>,
    /// Who waits for their token to be taken, in the order in which they were given.
    pub(super) renewing: VecDeque<Done>,
    pub(super) logging_out: Vec<Done>,
    pub(super) token_request: Option<TokenRequest>,
}

impl Running {
    pub(super) fn run(mut self) {
        if let Some(core) = &mut self.core {
            core.start(now());
        }
        self.carry_out();
        loop {
            let mut next = match self.next_input(self.patience()) {
                Ok(input) => Some(input),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return self.stop(None),
            };
            for _ in 0..INPUTS_AT_ONCE {
                match next {
                    Some(Input::Work(work, room)) => {
                        drop(room);
                        work(&mut self);
                    }
                    Some(Input::Link) => self.handle_link(),
                    Some(Input::Taken) => self.verdicts_taken(),
                    Some(Input::Token { request, given }) => self.handle_token(request, given),
                    Some(Input::Stop(done)) => return self.stop(Some(done)),
                    None => break,
                }
                self.carry_out();
                if self.shared.abandoned.load(Ordering::Acquire) {
                    return self.stop(None);
                }
                next = self.next_input(Duration::ZERO).ok();
            }
            self.postponed.extend(next);
            if let Some(core) = &mut self.core
                && let Err(error) = core.handle_timeout(now())
            {
                report(&error);
            }
            self.carry_out();
            self.look();
        }
    }

    /// Looks at what other engines on the file did, now and then.
    fn look(&mut self) {
        let now = now();
        let Some(core) = self.core.as_mut().filter(|_| self.next_look <= now.mono_ms) else {
            return;
        };
        if let Err(error) = core.look(now) {
            report(&error);
        }
        self.next_look = if core.is_behind() {
            now.mono_ms
        } else {
            now.mono_ms + LOOK_EVERY_MS
        };
        self.carry_out();
    }

    fn next_input(&mut self, patience: Duration) -> Result<Input, RecvTimeoutError> {
        match self.postponed.pop_front() {
            Some(input) => Ok(input),
            None => self.inputs.recv_timeout(patience),
        }
    }

    fn patience(&self) -> Duration {
        let now = now();
        let due = self.core.as_ref().and_then(|core| core.poll_timeout(now));
        let look = self.core.as_ref().map(|_| self.next_look);
        let due = due.into_iter().chain(look).min();
        let wait = due.map_or(WAKE_MAX, |due| {
            Duration::from_millis(u64::try_from(due.saturating_sub(now.mono_ms)).unwrap_or(0))
        });
        wait.min(WAKE_MAX)
    }

    fn verdicts_taken(&mut self) {
        let taken = std::mem::take(&mut *self.shared.taken());
        if let Some(core) = &mut self.core {
            taken.into_iter().for_each(|one| core.verdict_taken(one));
        }
    }

    fn handle_link(&mut self) {
        let Ok(event) = self.from_link.try_recv() else {
            return;
        };
        self.note_end(&event);
        if let Some(core) = &mut self.core
            && let Err(error) = core.handle_link(now(), event)
        {
            report(&error);
        }
    }

    fn note_end(&mut self, event: &LinkEvent) {
        if let LinkEvent::Down { attempt, .. } = event
            && self.attempt == Some(*attempt)
        {
            self.attempt = None;
        }
    }

    pub(super) fn submit(
        &mut self,
        given: Submission,
        waiter: Option<Waiter>,
    ) -> Result<Submitted, Error> {
        let core = self.core.as_mut().ok_or_else(closed)?;
        let submitted = core.submit(now(), given)?;
        if let Some(waiter) = waiter {
            self.waiters.insert(submitted.op.clone(), waiter);
        }
        Ok(submitted)
    }

    /// Does what the core wants done, in its order: a verdict reaches its caller before the events
    /// that it caused reach anybody.
    fn carry_out(&mut self) {
        while let Some(effect) = self.core.as_mut().and_then(Core::poll_effect) {
            match effect {
                Effect::Link(command) => {
                    if let LinkCommand::Connect { attempt } = command {
                        self.attempt = Some(attempt);
                    }
                    self.link.command(command);
                }
                Effect::Settled { position, settled } => {
                    let waiter = self.waiters.remove(&settled.op);
                    let result = settled.result.clone();
                    if waiter.is_some_and(|waiter| waiter.send(result).is_ok()) {
                        if let Some(core) = &mut self.core {
                            core.verdict_taken(position);
                        }
                    } else {
                        let kind = EventKind::CommandSettled(settled);
                        self.publish(Event {
                            position: Some(position),
                            kind,
                        });
                    }
                }
                Effect::Event { position, event } => {
                    self.publish(Event {
                        position,
                        kind: event,
                    });
                }
                Effect::TokenRenewed(result) => {
                    if let Some(done) = self.renewing.pop_front() {
                        // Whoever asked may have gone; the token counts all the same.
                        let _ = done.send(result);
                    }
                }
                Effect::TokenWanted { request, why } => self.ask_for_token(request, why),
                Effect::TokenNotWanted { .. } => {
                    if let Some(request) = &mut self.token_request {
                        request.give_up();
                    }
                }
                Effect::LoggedOut => {
                    for done in self.logging_out.drain(..) {
                        // Whoever asked may have gone; the logout is done all the same.
                        let _ = done.send(Ok(()));
                    }
                }
            }
        }
        if self.core.as_mut().is_some_and(Core::take_changed) {
            self.shared.subscribers.tell_changed();
        }
    }

    fn ask_for_token(&mut self, request: u64, why: TokenWanted) {
        let from_beside = self.from_beside.clone();
        let answer = move |given| {
            // Without the core's thread nobody wants it any more.
            let _ = from_beside.send(Input::Token { request, given });
        };
        let is_busy = self
            .token_request
            .as_ref()
            .is_some_and(TokenRequest::is_under_way);
        let asked = match &self.config.token_provider {
            // One that blocks its thread cannot be given up.
            Some(_) if is_busy => Err("the provider is still busy with the last request".into()),
            Some(provider) => TokenRequest::start(Arc::clone(provider), why, answer),
            None => Err("there is no provider".into()),
        };
        match asked {
            Ok(asked) => self.token_request = Some(asked),
            Err(error) => self.postponed.push_back(Input::Token {
                request,
                given: Err(error),
            }),
        }
    }

    fn handle_token(&mut self, request: u64, given: Result<String, String>) {
        if let Some(core) = &mut self.core {
            core.handle_token(now(), request, given);
        }
    }

    fn publish(&self, event: Event) {
        self.shared.subscribers.tell(&event);
    }

    /// Closes the connection and the file. What keeps it from being tidy is told, and does not keep
    /// it from being closed.
    pub(super) fn pause(&mut self, until: Instant) -> Result<(), Error> {
        self.shared.copying().stop();
        let Some(core) = &mut self.core else {
            return Ok(());
        };
        core.close(now());
        let written = if Instant::now() < until {
            core.checkpoint(now())
        } else {
            core.flush(now())
        };
        self.carry_out();
        self.await_last_words(until.min(Instant::now() + LAST_WORDS_MAX));
        if let Some(core) = self.core.take() {
            // It may be a newer one than the app began with.
            self.config.token = core.token().map(str::to_owned);
            self.logged_out = core.is_logged_out();
            self.told = Some(core.told_position());
            self.link_kept = Some(core.link_kept());
        }
        self.waiters.clear();
        self.shared.open.store(false, Ordering::Release);
        written
    }

    /// The server is to know that the device went; what else comes meanwhile is done later.
    fn await_last_words(&mut self, until: Instant) {
        while self.attempt.is_some() && self.postponed.len() < INPUTS_MAX {
            let patience = until.saturating_duration_since(Instant::now());
            match self.inputs.recv_timeout(patience) {
                Ok(Input::Link) => {
                    if let Ok(event) = self.from_link.try_recv() {
                        self.note_end(&event);
                    }
                }
                Ok(input) => self.postponed.push_back(input),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Opens the file again after a pause, in which nobody was logged in or out. Of an engine that
    /// is not paused it logs in the user who was logged out or kicked out.
    pub(super) fn resume(&mut self) -> Result<(), Error> {
        if self.core.as_ref().is_some_and(Core::must_be_reopened) {
            // What keeps the old file from being tidy is no reason not to begin anew.
            let _ = self.pause(Instant::now());
            // It is not paused to the app, so this logs in.
            self.logged_out = false;
        }
        if let Some(core) = &mut self.core {
            core.start(now());
            return Ok(());
        }
        let mut core = open_core(&self.config, &self.user)?;
        // What has the old one open is not to be read with any more.
        self.readers.close();
        if let Some(told) = self.told {
            core.tell_on_from(now(), told)?;
        }
        if let Some(kept) = self.link_kept {
            core.keep_link(kept);
        }
        if self.logged_out {
            core.stay_logged_out();
        } else {
            core.start(now());
        }
        self.core = Some(core);
        self.next_look = i64::MIN;
        self.shared.copying().go_on();
        self.shared.open.store(true, Ordering::Release);
        // Others may have written while nobody looked.
        self.shared.subscribers.tell_changed();
        Ok(())
    }

    fn stop(mut self, done: Option<oneshot::Sender<Result<(), Error>>>) {
        let closed = self.pause(Instant::now() + WAKE_MAX);
        self.link.command(LinkCommand::Shutdown);
        self.shared.subscribers.close();
        if let Some(done) = done {
            // A dropped engine waits for no answer.
            let _ = done.send(closed);
        }
    }
}

fn report(error: &Error) {
    if error.code == Code::Internal {
        tracing::error!(%error, "the core failed");
    } else {
        tracing::warn!(%error, "not done");
    }
}
