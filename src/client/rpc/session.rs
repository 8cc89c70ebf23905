//! The conversation: requests in their order, events in theirs, everything out through one writer.
//!
//! Always holds: a line is done, or on its way to the engine, before the next one is looked at. A
//! verdict that a request waits for is said when it comes by in the stream of events, so it is
//! said before the events that it caused.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinError;
use tokio::time::timeout;

use super::message::{self, Id, Request};
use super::methods::{self, Local, Method, Wait};
use super::params::Params;
use super::slow::{Answer, Kind, Slow, Work, ready};
use super::{Line, Out};
use crate::call::{CommandKind, Op};
use crate::client::engine::Engine;
use crate::client::event::{CommandSettled, ConnectionChange, Event, EventKind};
use crate::client::json;
use crate::client::status::Status;
use crate::client::store::{EVENTS_MAX, Query};
use crate::client::subscription::{Events, Lagged};
use crate::error::Error;

/// How long the end of the input waits for those.
const SLOW_ENDS_WITHIN: Duration = Duration::from_secs(6);
/// Events that are read from the journal at a time when the stream could not keep up.
const CATCH_UP_EVENTS: usize = 500;
/// Pages that one eventsSince reads at most, to pass over verdicts that requests wait for. There are no
/// more of those than commands without a verdict and events in the stream, about 2,000, and a page
/// that is filled with them has 1,000.
const EVENT_PAGES_MAX: usize = 4;

/// Nobody reads what is written: there is nothing left to do.
#[derive(Debug)]
struct Unheard;

/// What follows on a line.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    Line,
    /// The end; with the request that asked for it.
    End(Option<Id>),
}

/// A conversation.
pub struct Session {
    engine: Engine,
    events: Events,
    output: mpsc::Sender<Out>,
    /// Requests that wait for a verdict.
    waiting: BTreeMap<Op, Id>,
    /// Requests that wait for something else.
    slow: Slow,
    /// Where in the journal the stream is; what was there before this run is for eventsSince.
    position: u64,
    /// Whether the journal has events that the stream lost.
    behind: bool,
    /// What was said last of the connection.
    connection: Option<ConnectionChange>,
}

impl Session {
    /// A conversation about an engine whose events begin with that stream.
    pub fn new(engine: Engine, events: Events, output: mpsc::Sender<Out>) -> Self {
        Self {
            position: engine.events_begin_after(),
            engine,
            events,
            output,
            waiting: BTreeMap::new(),
            slow: Slow::default(),
            behind: false,
            connection: None,
        }
    }

    /// Until the input ends, shutdown is asked for, or nobody reads the output.
    ///
    /// # Errors
    /// What kept the engine from closing in good order.
    pub async fn run(mut self, mut input: mpsc::Receiver<Line>) -> Result<(), Error> {
        let asked = match self.converse(&mut input).await {
            Ok(asked) => asked,
            Err(Unheard) => return self.engine.close().await,
        };
        match self.end(asked).await {
            Ok(closed) => closed,
            Err(Unheard) => self.engine.close().await,
        }
    }

    async fn converse(&mut self, input: &mut mpsc::Receiver<Line>) -> Result<Option<Id>, Unheard> {
        loop {
            tokio::select! {
                // What has happened is said before more is done.
                biased;
                event = self.events.next() => match event {
                    Some(event) => self.hear(event).await?,
                    None => return Ok(None),
                },
                Some(done) = self.slow.next() => self.slow_done(done).await?,
                line = input.recv() => {
                    let Some(line) = line else { return Ok(None) };
                    match self.take(line).await? {
                        Next::Line => {}
                        Next::End(id) => return Ok(id),
                    }
                }
                () = self.output.closed() => return Err(Unheard),
            }
        }
    }

    /// The app goes away: what was asked and is decided is said, then the engine is closed.
    async fn end(&mut self, asked: Option<Id>) -> Result<Result<(), Error>, Unheard> {
        let ended = timeout(SLOW_ENDS_WITHIN, async {
            while !self.slow.may_end(asked.is_some()) {
                tokio::select! {
                    biased;
                    Some(event) = self.events.next() => self.hear(event).await?,
                    Some(done) = self.slow.next() => self.slow_done(done).await?,
                    else => break,
                }
            }
            Ok(())
        });
        ended.await.unwrap_or(Ok(()))?;
        // Verdicts that are in the stream already: once written, nothing is owed for them.
        while let Some(Some(event)) = ready(self.events.next()).await {
            self.hear(event).await?;
        }
        let (done, written) = oneshot::channel();
        self.put(Out::Written(done)).await?;
        // It comes, or the writer has gone.
        let _ = written.await;
        let closed = self.engine.close().await;
        while let Some(event) = self.events.next().await {
            match event {
                Ok(event) => self.tell(event).await?,
                // The journal has the rest; the next run can read it there.
                Err(Lagged) => break,
            }
        }
        while let Some(done) = self.slow.next().await {
            self.slow_done(done).await?;
        }
        if let Some(id) = asked {
            let result = closed.clone().map(|()| json!({}));
            self.say(message::reply(&id, result)).await?;
        }
        Ok(closed)
    }

    async fn hear(&mut self, event: Result<Event, Lagged>) -> Result<(), Unheard> {
        if event.is_err() {
            self.events = self.engine.events();
            self.behind = true;
        }
        if self.behind {
            self.behind = !self.catch_up().await?;
        }
        match event {
            // A journaled one has its turn when those before it are read.
            Ok(event) if event.position.is_none() || !self.behind => self.tell(event).await,
            Ok(_) | Err(Lagged) => Ok(()),
        }
    }

    /// Says an event: to the request that waits for it, or to all. One that was said already, from
    /// the journal, is not said again.
    async fn tell(&mut self, event: Event) -> Result<(), Unheard> {
        if event
            .position
            .is_some_and(|position| position <= self.position)
        {
            return Ok(());
        }
        self.position = event.position.unwrap_or(self.position);
        if let (EventKind::CommandSettled(settled), Some(position)) = (&event.kind, event.position)
            && let Some(id) = self.waiting.remove(&settled.op)
        {
            let line = message::reply(&id, verdict(settled));
            return self.put(Out::Verdict(line, position)).await;
        }
        if let EventKind::ConnectionStateChanged(change) = &event.kind {
            self.connection = Some(change.clone());
        }
        let line = message::notification(event.name(), event.params(), event.position);
        self.say(line).await
    }

    /// The stream broke off because too much happened at once: on with a new one, after what the
    /// journal has meanwhile. `false` if that cannot be read, as of a paused engine.
    async fn catch_up(&mut self) -> Result<bool, Unheard> {
        tracing::info!(
            position = self.position,
            "fell behind the events; reading on in the journal"
        );
        loop {
            let Ok((events, more)) = self
                .engine
                .events_since(self.position, CATCH_UP_EVENTS)
                .await
            else {
                return Ok(false);
            };
            for event in events {
                self.tell(event).await?;
            }
            if !more {
                break;
            }
        }
        // Not journaled, so it may have been lost.
        if let Ok(status) = self.engine.status().await {
            let now = ConnectionChange {
                state: status.connection,
                cause: status.cause,
                detail: status.error.unwrap_or_default(),
            };
            let told = self.connection.as_ref();
            if told.is_none_or(|told| (told.state, told.cause) != (now.state, now.cause)) {
                let kind = EventKind::ConnectionStateChanged(now);
                let position = None;
                self.tell(Event { position, kind }).await?;
            }
        }
        Ok(true)
    }

    async fn take(&mut self, line: Line) -> Result<Next, Unheard> {
        let request = match line {
            Line::Text(text) => message::parse(&text),
            Line::TooLong => Err(message::too_long()),
        };
        let Request { id, method, params } = match request {
            Ok(request) => request,
            Err(reply) => {
                self.say(reply).await?;
                return Ok(Next::Line);
            }
        };
        let Some(known) = Method::named(&method) else {
            if let Some(id) = &id {
                self.say(message::unknown_method(id, &method)).await?;
            }
            return Ok(Next::Line);
        };
        let mut params = match params {
            Ok(params) => params,
            Err(error) => {
                self.answer(id, Err(error)).await?;
                return Ok(Next::Line);
            }
        };
        match known {
            Method::Shutdown => return Ok(Next::End(id)),
            Method::Command(kind) => self.command(id, kind, &mut params).await?,
            Method::Local(local) => {
                let result = self.local(local, &mut params).await;
                self.answer(id, result).await?;
            }
            Method::Compact => self.compact(id).await?,
            Method::Backup => self.backup(id, &mut params).await?,
            Method::RenewToken => self.renew_token(id, &mut params).await?,
            Method::Logout => self.logout(id).await?,
        }
        Ok(Next::Line)
    }

    async fn logout(&mut self, id: Option<Id>) -> Result<(), Unheard> {
        let engine = self.engine.clone();
        let logged_out = async move { engine.logout().await.map(|()| json!({})) };
        self.begin_slow(Kind::Logout, id, Box::pin(logged_out))
            .await
    }

    async fn compact(&mut self, id: Option<Id>) -> Result<(), Unheard> {
        let engine = self.engine.clone();
        let compacted = async move {
            let done = engine.compact().await?;
            Ok(json!({ "bytesBefore": done.bytes_before, "bytesAfter": done.bytes_after }))
        };
        self.begin_slow(Kind::File, id, Box::pin(compacted)).await
    }

    async fn backup(&mut self, id: Option<Id>, params: &mut Params) -> Result<(), Unheard> {
        let path = match methods::path(params) {
            Ok(path) => path,
            Err(error) => return self.answer(id, Err(error)).await,
        };
        let engine = self.engine.clone();
        let copied = async move {
            let copy = engine.backup(&path).await?;
            Ok(json!({ "path": path, "bytes": copy.bytes }))
        };
        self.begin_slow(Kind::File, id, Box::pin(copied)).await
    }

    async fn renew_token(&mut self, id: Option<Id>, params: &mut Params) -> Result<(), Unheard> {
        let token = match methods::token(params) {
            Ok(token) => token,
            Err(error) => return self.answer(id, Err(error)).await,
        };
        let engine = self.engine.clone();
        let renewed = async move { engine.renew_token(token).await.map(|()| json!({})) };
        self.begin_slow(Kind::Renewal, id, Box::pin(renewed)).await
    }

    async fn command(
        &mut self,
        id: Option<Id>,
        kind: CommandKind,
        params: &mut Params,
    ) -> Result<(), Unheard> {
        let (mut given, wait) = match methods::command(kind, params) {
            Ok(given) => given,
            Err(error) => return self.answer(id, Err(error)).await,
        };
        let op = self.engine.fresh_op();
        given.op = Some(op.clone());
        // Before it is given, so that the verdict finds it however soon it comes.
        if let (Wait::Verdict, Some(id)) = (wait, &id) {
            self.waiting.insert(op.clone(), id.clone());
        }
        match self.engine.submit(given).await {
            Ok(submitted) if wait == Wait::Disk => {
                let result = json!({
                    "callID": submitted.call_id,
                    "op": submitted.op,
                    "pending": true,
                });
                self.answer(id, Ok(result)).await
            }
            Ok(_) => Ok(()),
            Err(error) => {
                self.waiting.remove(&op);
                self.answer(id, Err(error)).await
            }
        }
    }

    async fn local(&self, method: Local, params: &mut Params) -> Result<Value, Error> {
        let engine = &self.engine;
        let done = |()| json!({});
        match method {
            Local::Query => self.query(&methods::query(params)?),
            Local::Pending => Ok(engine.pending()?.iter().map(json::pending).collect()),
            Local::Ringing => Ok(engine.ringing().await?.iter().map(json::ringing).collect()),
            Local::Status => Ok(status(&engine.status().await?)),
            Local::EventsSince => {
                let (position, limit) = methods::events_since(params)?;
                self.events_since(position, limit).await
            }
            Local::Acknowledge => {
                let position = methods::position(params)?;
                engine.acknowledge(position).await.map(done)
            }
            Local::MarkSeen => {
                let missed = engine.mark_seen(methods::call_ids(params)?).await?;
                Ok(json!({ "missed": missed }))
            }
            Local::SetNetwork => engine.set_network(methods::online(params)?).await.map(done),
            Local::NetworkChanged => engine.network_changed().await.map(done),
            Local::Pause => engine.pause(None).await.map(done),
            Local::Resume => engine.resume().await.map(done),
            Local::HandlePush => {
                let taken = engine.handle_push(methods::payload(params)?).await?;
                Ok(json!({ "ring": taken.ring, "callID": taken.call_id }))
            }
            Local::Storage => {
                let storage = engine.storage().await?;
                Ok(json!({
                    "bytes": storage.bytes,
                    "freeBytes": storage.free_bytes,
                    "walBytes": storage.wal_bytes,
                }))
            }
        }
    }

    fn query(&self, query: &Query) -> Result<Value, Error> {
        let page = self.engine.query_calls(query)?;
        let mut result = json!({
            "callList": page.calls.iter().map(json::call).collect::<Value>(),
            "nextFlag": page.next_flag,
        });
        if let Some(fields) = result.as_object_mut()
            && query.next_flag == 0
        {
            let pending = page.pending.iter().map(json::pending).collect();
            fields.insert("pending".into(), pending);
        }
        Ok(result)
    }

    /// A verdict that a request still waits for is that request's, and is passed over.
    async fn events_since(&self, position: u64, limit: usize) -> Result<Value, Error> {
        let is_waited_for = |event: &Event| match &event.kind {
            EventKind::CommandSettled(settled) => self.waiting.contains_key(&settled.op),
            EventKind::Call(_)
            | EventKind::ConnectionStateChanged(_)
            | EventKind::TokenWillExpire { .. }
            | EventKind::DatabaseSetAside(_) => false,
        };
        let limit = limit.min(EVENTS_MAX);
        let mut from = position;
        let mut events = Vec::new();
        let mut more = true;
        for _ in 0..EVENT_PAGES_MAX {
            if !more || !events.is_empty() {
                break;
            }
            // As many more as may have to be passed over.
            let asked = limit.saturating_add(self.waiting.len());
            (events, more) = self.engine.events_since(from, asked).await?;
            from = events.last().and_then(|last| last.position).unwrap_or(from);
            events.retain(|event| !is_waited_for(event));
        }
        more |= events.len() > limit;
        events.truncate(limit);
        let events: Value = events.iter().map(told).collect();
        Ok(json!({ "events": events, "more": more }))
    }

    async fn begin_slow(&mut self, kind: Kind, id: Option<Id>, work: Work) -> Result<(), Unheard> {
        match self.slow.begin(kind, id, work).await {
            Some((id, result)) => self.answer(id, result).await,
            None => Ok(()),
        }
    }

    async fn slow_done(&mut self, done: Result<Answer, JoinError>) -> Result<(), Unheard> {
        match done {
            Ok((id, result)) => self.answer(id, result).await,
            // It neither panics nor is it aborted.
            Err(error) => {
                tracing::error!(%error, "a request was lost");
                Ok(())
            }
        }
    }

    /// Answers a request; a notification is not answered, whatever came of it.
    async fn answer(&self, id: Option<Id>, result: Result<Value, Error>) -> Result<(), Unheard> {
        match (id, result) {
            (Some(id), result) => self.say(message::reply(&id, result)).await,
            (None, Ok(_)) => Ok(()),
            (None, Err(error)) => {
                tracing::warn!(%error, "a notification could not be done");
                Ok(())
            }
        }
    }

    async fn say(&self, line: String) -> Result<(), Unheard> {
        self.put(Out::Line(line)).await
    }

    async fn put(&self, out: Out) -> Result<(), Unheard> {
        self.output.send(out).await.map_err(|_| Unheard)
    }
}

fn verdict(settled: &CommandSettled) -> Result<Value, Error> {
    match &settled.result {
        Ok(outcome) => Ok(json::outcome(&settled.call_id, outcome)),
        Err(error) => Err(error.clone()),
    }
}

/// An event of the journal, as eventsSince gives it.
fn told(event: &Event) -> Value {
    json!({
        "position": event.position,
        "name": event.name(),
        "params": event.params(),
    })
}

fn status(status: &Status) -> Value {
    json!({
        "userID": status.user_id,
        "deviceID": status.device_id,
        "connection": {
            "state": status.connection,
            "event": status.cause,
            "since": status.since,
            "error": status.error,
        },
        "epoch": status.epoch,
        "cursor": status.cursor,
        "clockOffset": status.clock_offset,
        "rtt": status.rtt.unwrap_or_default(),
        "pending": status.pending,
        "missed": status.missed,
        "schema": status.schema,
        "version": status.version,
    })
}

#[cfg(test)]
mod tests {
    use super::super::slow::SLOW_MAX;
    use super::*;
    use crate::client::config::Config;
    use crate::client::options::{CommandOptions, InviteOptions};
    use crate::client::roots::Roots;

    fn alice(folder: &tempfile::TempDir) -> (Engine, Events) {
        let file = folder.path().join("alice.db");
        let mut config = Config::new("127.0.0.1:1", "alice", file);
        config.roots = Roots::Pinned([7; 32]);
        Engine::open_with_events(config).unwrap()
    }

    fn line(method: &str, params: Value) -> Line {
        let line = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        Line::Text(line.to_string().into_bytes())
    }

    /// Gives an invite and takes it back, so that both are settled; whether a request waits for each.
    async fn invite_and_take_back(session: &mut Session, wait: &str) {
        let invite = json!({ "invitees": ["bob"], "wait": wait });
        session.take(line("callInvite", invite)).await.unwrap();
        let pending = session.engine.pending().unwrap();
        let call = pending[0].call_id.as_str();
        let cancel = json!({ "invitees": [], "callID": call, "wait": wait });
        session.take(line("callCancel", cancel)).await.unwrap();
    }

    #[tokio::test]
    async fn events_that_requests_wait_for_take_no_place_of_the_others() {
        let folder = tempfile::tempdir().unwrap();
        let (engine, events) = alice(&folder);
        let (output, _said) = mpsc::channel(64);
        let mut session = Session::new(engine, events, output);
        for wait in ["verdict", "verdict", "disk", "verdict"] {
            invite_and_take_back(&mut session, wait).await;
        }
        let mut told = Vec::new();
        let mut position = 0;
        loop {
            let page = session.events_since(position, 1).await.unwrap();
            let events = page["events"].as_array().unwrap().clone();
            let Some(event) = events.first() else {
                assert_eq!(page["more"], json!(false));
                break;
            };
            position = event["position"].as_u64().unwrap();
            told.push(event["params"]["command"].clone());
        }
        assert_eq!(told, ["callInvite", "callCancel"]);
    }

    #[tokio::test]
    async fn a_logout_is_not_refused_for_what_else_is_under_way() {
        let folder = tempfile::tempdir().unwrap();
        let (engine, events) = alice(&folder);
        let (output, mut said) = mpsc::channel(64);
        let mut session = Session::new(engine, events, output);
        for _ in 0..SLOW_MAX {
            for kind in [Kind::Renewal, Kind::File] {
                let never = Box::pin(std::future::pending());
                session.begin_slow(kind, None, never).await.unwrap();
            }
        }
        let renewal = line("renewToken", json!({ "token": "t" }));
        session.take(renewal).await.unwrap();
        let Some(Out::Line(refused)) = said.recv().await else {
            panic!("no answer");
        };
        assert!(refused.contains("6000004"), "{refused}");

        session.take(line("logout", json!({}))).await.unwrap();
        // It tries to reach the server, which takes its time.
        assert!(said.try_recv().is_err(), "it is under way");
    }

    #[tokio::test]
    async fn falling_behind_before_the_first_event_tells_nothing_of_earlier_runs() {
        let folder = tempfile::tempdir().unwrap();
        let (engine, _) = alice(&folder);
        let invited = engine.call_invite(&["bob"], InviteOptions::default());
        let call = invited.await.unwrap().call_id().clone();
        let taken_back = engine.call_cancel(&[], &call, CommandOptions::default());
        drop(taken_back.await.unwrap());
        engine.close().await.unwrap();

        let (engine, events) = alice(&folder);
        let (journal, _) = engine.events_since(0, 10).await.unwrap();
        assert!(!journal.is_empty());
        let (output, mut said) = mpsc::channel(64);
        let mut session = Session::new(engine, events, output);
        session.catch_up().await.unwrap();
        drop(session);
        while let Some(out) = said.recv().await {
            let Out::Line(line) = out else {
                panic!("{out:?}");
            };
            assert!(line.contains("connectionStateChanged"), "{line}");
        }
    }
}
