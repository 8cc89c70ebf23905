//! What one step has in hand: its transaction, the records it has read and changed, and what will
//! be told once all of it is durable.

use std::collections::{BTreeMap, BTreeSet};

use super::session::Session;
use super::{ConnId, Effect};
use crate::call::{Audience, Call, CallId, Millis, UserId, passing};
use crate::protocol::Capabilities;
use crate::server::store::{Store, StoreError, StoreResult, Transaction};

/// What a connection asked for in a step, for the answer when the step fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// Commands and nothing else, this number first.
    Commands(u64),
    /// To be let in.
    Hello,
    /// Something that has no answer of its own.
    Other,
}

/// The work of a step.
pub(super) struct Work<'s> {
    store: Option<&'s mut dyn Store>,
    open: Option<Box<dyn Transaction + 's>>,
    wrote: bool,
    records: BTreeMap<CallId, Call>,
    changed: BTreeMap<CallId, BTreeSet<UserId>>,
    /// The server's clock.
    pub(super) now: Millis,
    /// What is done once the step is durable.
    pub(super) effects: Vec<Effect>,
    /// Sessions as they were before the step.
    pub(super) before: BTreeMap<ConnId, Session>,
    /// Who waits for what.
    pub(super) asked: BTreeMap<ConnId, Asked>,
    /// The revisions of records that went with a new verdict, by whom they went to.
    pub(super) told: BTreeMap<(ConnId, CallId), u64>,
    /// Connections that do not read what they are sent.
    pub(super) overflowed: BTreeSet<ConnId>,
}

impl<'s> Work<'s> {
    /// Nothing in hand yet. The transaction begins when it is first needed.
    pub(super) fn new(store: &'s mut dyn Store, now: Millis) -> Self {
        Self {
            store: Some(store),
            open: None,
            wrote: false,
            records: BTreeMap::new(),
            changed: BTreeMap::new(),
            now,
            effects: Vec::new(),
            before: BTreeMap::new(),
            asked: BTreeMap::new(),
            told: BTreeMap::new(),
            overflowed: BTreeSet::new(),
        }
    }

    /// The transaction, to read with.
    pub(super) fn read(&mut self) -> StoreResult<&mut (dyn Transaction + 's)> {
        if let Some(store) = self.store.take() {
            self.open = Some(store.begin()?);
        }
        self.open
            .as_deref_mut()
            .ok_or_else(|| StoreError::Failed("the transaction did not begin".to_owned()))
    }

    /// The transaction, to write with.
    pub(super) fn write(&mut self) -> StoreResult<&mut (dyn Transaction + 's)> {
        self.wrote = true;
        self.read()
    }

    /// Whether the transaction has begun.
    pub(super) fn has_begun(&self) -> bool {
        self.open.is_some()
    }

    /// Whether anything was written.
    pub(super) fn has_written(&self) -> bool {
        self.wrote
    }

    /// Makes it durable. Only then may anybody be told.
    pub(super) fn commit(&mut self) -> StoreResult<()> {
        self.open.take().map_or(Ok(()), |open| open.commit())
    }

    /// Gives the transaction up.
    pub(super) fn roll_back(&mut self) {
        self.open = None;
    }

    /// Keeps a session as it was before the step.
    pub(super) fn keep(&mut self, conn: ConnId, session: &Session) {
        self.before.entry(conn).or_insert_with(|| session.clone());
    }

    /// Notes what a connection asked for.
    pub(super) fn note(&mut self, conn: ConnId, asked: Asked) {
        let noted = self.asked.entry(conn).or_insert(asked);
        *noted = match (*noted, asked) {
            (Asked::Commands(first), Asked::Commands(_)) => Asked::Commands(first),
            (Asked::Hello, _) | (_, Asked::Hello) => Asked::Hello,
            (Asked::Other, _) | (_, Asked::Other) => Asked::Other,
        };
    }

    /// The record of a call as it is now, with all that was due by now done to it.
    pub(super) fn record(&mut self, id: &CallId) -> StoreResult<Option<Call>> {
        let call = match self.records.get(id) {
            Some(call) => call.clone(),
            None => match self.read()?.call(id)? {
                Some(call) => call,
                None => return Ok(None),
            },
        };
        if passing::due(&call).is_none_or(|due| due > self.now) {
            self.records.insert(id.clone(), call.clone());
            return Ok(Some(call));
        }
        let too_old = self.too_old_for_not_received(&call)?;
        match passing::pass_time(&call, self.now, &|user| !too_old.contains(user)) {
            None => Ok(Some(call)),
            Some(after) => {
                self.change(Some(&call), after.clone(), Audience::Members, None)?;
                Ok(Some(after))
            }
        }
    }

    /// The record for sending on, which is not worth keeping for the rest of the step.
    pub(super) fn record_to_send(&mut self, id: &CallId) -> StoreResult<Option<Call>> {
        match self.records.get(id) {
            Some(call) => Ok(Some(call.clone())),
            None => self.read()?.call(id),
        }
    }

    /// Writes a changed record, and notes whose feeds it goes to at the end of the step.
    pub(super) fn change(
        &mut self,
        before: Option<&Call>,
        after: Call,
        audience: Audience,
        actor: Option<&UserId>,
    ) -> StoreResult<()> {
        self.write()?.put_call(before, &after)?;
        let users = self.changed.entry(after.id.clone()).or_default();
        match (audience, actor) {
            (Audience::ActorOnly, Some(actor)) => {
                users.insert(actor.clone());
            }
            (Audience::Members, _) | (Audience::ActorOnly, None) => {
                users.extend(after.members.iter().map(|member| member.user.clone()));
            }
        }
        self.records.insert(after.id.clone(), after);
        Ok(())
    }

    /// Whether the call was changed in this step.
    pub(super) fn has_changed(&self, id: &CallId) -> bool {
        self.changed.contains_key(id)
    }

    /// The changed calls with whose feeds they go to; each is given once.
    pub(super) fn take_changed(&mut self) -> BTreeMap<CallId, BTreeSet<UserId>> {
        std::mem::take(&mut self.changed)
    }

    /// Those who are pending in the call and last connected with a device that does not know
    /// NotYetReceived. Who never connected is taken to know it.
    fn too_old_for_not_received(&mut self, call: &Call) -> StoreResult<BTreeSet<UserId>> {
        let mut too_old = BTreeSet::new();
        for member in &call.members {
            if !member.state.is_pending() || member.check_at == 0 {
                continue;
            }
            let capabilities = self.read()?.user_capabilities(&member.user)?;
            if capabilities.is_some_and(|known| !known.has(Capabilities::NOT_YET_RECEIVED)) {
                too_old.insert(member.user.clone());
            }
        }
        Ok(too_old)
    }
}
