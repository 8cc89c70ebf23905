//! A device on the stage: what it gave, what it heard, and what its database says.

use std::future::Future;
use std::pin::Pin;

use offhook::call::Call;
use offhook::{
    CallEvent, CallId, CallingInviteOptions, Code, CommandOptions, Error, EventKind, Events,
    InviteOptions, Mode, UserState,
};

use crate::support::{Device, SOON, World};

/// A command that a scenario gives.
#[derive(Clone, Copy, Debug)]
pub enum Give {
    /// callInvite, which makes the call of the scenario.
    Invite {
        whom: &'static [&'static str],
        mode: Mode,
        timeout_s: u32,
    },
    CallingInvite(&'static [&'static str]),
    Cancel(&'static [&'static str]),
    Accept,
    Reject,
    Join,
    Quit,
    End,
}

/// What a device hears, down to what tells two events of a scenario apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item {
    Created,
    Rung,
    Cancelled,
    TimedOut,
    Ended,
    Elsewhere(UserState),
    Moved,
    State(&'static str, UserState),
}

/// The users of all scenarios.
const USERS: [&str; 5] = ["alice", "bob", "carol", "dave", "zoe"];

type Verdict = Pin<Box<dyn Future<Output = Result<(), Error>>>>;

struct Noted {
    call: CallId,
    item: Item,
    waited_for: bool,
}

/// A device with what it heard.
pub struct Actor {
    pub name: &'static str,
    pub device: Device,
    live: Events,
    positions: Vec<u64>,
    log: Vec<Noted>,
    given: Option<Verdict>,
}

impl Actor {
    /// A connected device; its user is its name without the number.
    pub async fn enter(world: &World, name: &'static str) -> Self {
        let user = name.trim_end_matches(|c: char| c.is_ascii_digit());
        let device = world.device(user, name).await;
        let live = device.engine.events();
        Self {
            name,
            device,
            live,
            positions: Vec::new(),
            log: Vec::new(),
            given: None,
        }
    }

    /// Gives a command: when this returns it is on this device's disk. Gives the call's id.
    pub async fn gives(&mut self, give: Give, call: Option<&CallId>) -> CallId {
        assert!(self.given.is_none(), "{} waits for a verdict", self.name);
        let engine = self.device.engine.clone();
        let options = CommandOptions::default;
        macro_rules! given {
            ($handle:expr) => {{
                let handle = $handle.await.expect("on disk");
                let call = handle.call_id().clone();
                self.given = Some(Box::pin(async move { handle.await.map(drop) }));
                call
            }};
        }
        let known = || call.expect("a call was made before");
        match give {
            Give::Invite {
                whom,
                mode,
                timeout_s,
            } => {
                let options = InviteOptions {
                    mode,
                    timeout_s,
                    ..InviteOptions::default()
                };
                given!(engine.call_invite(whom, options))
            }
            Give::CallingInvite(whom) => {
                let options = CallingInviteOptions::default();
                given!(engine.calling_invite(whom, known(), options))
            }
            Give::Cancel(whom) => given!(engine.call_cancel(whom, known(), options())),
            Give::Accept => given!(engine.call_accept(known(), options())),
            Give::Reject => given!(engine.call_reject(known(), options())),
            Give::Join => given!(engine.call_join(known(), options())),
            Give::Quit => given!(engine.call_quit(known(), options())),
            Give::End => given!(engine.call_end(known(), options())),
        }
    }

    /// The verdict of the command that was given last.
    pub async fn verdict(&mut self) -> Result<(), Error> {
        let given = self.given.take().expect("a command was given");
        let verdict = tokio::time::timeout(SOON, given).await;
        verdict.unwrap_or_else(|_| panic!("{} has no verdict: {}", self.name, self.story()))
    }

    /// Waits until it has heard that, once for every time it is waited for.
    pub async fn hears(&mut self, item: Item) {
        loop {
            let mut new = self.log.iter_mut().filter(|noted| !noted.waited_for);
            if let Some(noted) = new.find(|noted| noted.item == item) {
                noted.waited_for = true;
                return;
            }
            self.listen(item).await;
        }
    }

    async fn listen(&mut self, awaited: impl std::fmt::Debug) {
        let next = tokio::time::timeout(SOON, self.live.next()).await;
        let event = next.unwrap_or_else(|_| {
            panic!("{} waits for {awaited:?}: {}", self.name, self.story());
        });
        let event = event.expect("the engine is open").expect("not behind");
        match event.kind {
            EventKind::Call(call) => {
                self.positions.push(event.position.expect("journaled"));
                let noted = items(&call).into_iter().map(|item| Noted {
                    call: call.call_id().clone(),
                    item,
                    waited_for: false,
                });
                self.log.extend(noted);
            }
            EventKind::CommandSettled(settled) => {
                panic!(
                    "{} has a verdict that was waited for: {settled:?}",
                    self.name
                )
            }
            EventKind::ConnectionStateChanged(_)
            | EventKind::TokenWillExpire { .. }
            | EventKind::DatabaseSetAside(_) => {}
        }
    }

    /// All it has heard.
    pub fn heard(&self) -> Vec<Item> {
        self.log.iter().map(|noted| noted.item).collect()
    }

    /// The same, each with its call.
    pub fn heard_of(&self) -> Vec<(CallId, Item)> {
        let both = |noted: &Noted| (noted.call.clone(), noted.item);
        self.log.iter().map(both).collect()
    }

    fn story(&self) -> String {
        format!("heard {:?}", self.heard())
    }

    /// The app says that the network is another one: the device says something at once, hears that
    /// the server does not know its connection, and does not wait long until it tries again.
    pub async fn reconnects(&self) {
        let told = self.device.engine.network_changed().await;
        told.expect("the engine is open");
    }

    /// All calls in this device's list, newest first.
    pub fn records(&self) -> Vec<Call> {
        let mut calls = Vec::new();
        let mut next = 0;
        loop {
            let page = self.device.engine.query_call_invitation_list(100, next);
            let page = page.expect("a page");
            calls.extend(page.calls.into_iter().map(|entry| entry.call));
            next = page.next_flag;
            if next == 0 {
                return calls;
            }
        }
    }

    /// Asks the server for something that changes nothing: when it has answered, all that it had
    /// to say before is here. Then hears all of it, and compares it with the journal.
    pub async fn has_heard_all(&mut self) {
        let engine = self.device.engine.clone();
        let nowhere = CallId::trusted("no such call");
        let handle = engine.call_accept(&nowhere, CommandOptions::default());
        let refused = tokio::time::timeout(SOON, handle.await.expect("on disk")).await;
        let refused = refused.expect("a verdict").expect_err("no such call");
        assert_eq!(refused.code, Code::CallOver);
        let pending = engine.pending().expect("read");
        assert!(pending.is_empty(), "{}: {pending:?}", self.name);

        let (journal, more) = engine.events_since(0, 1_000).await.expect("read");
        assert!(!more);
        let mut positions = Vec::new();
        for event in journal {
            match event.kind {
                EventKind::Call(_) => positions.push(event.position.expect("journaled")),
                kind => panic!("{}: a verdict told twice: {kind:?}", self.name),
            }
        }
        while self.positions.len() < positions.len() {
            self.listen("the rest of the journal").await;
        }
        assert_eq!(self.positions, positions, "{}: live and journal", self.name);
        assert!(positions.is_sorted_by(|a, b| a < b), "{positions:?}");
    }
}

fn items(event: &CallEvent) -> Vec<Item> {
    vec![match event {
        CallEvent::UserStateChanged { call_user_list, .. } => {
            return call_user_list
                .iter()
                .map(|one| Item::State(known(one.user_id.as_str()), one.state))
                .collect();
        }
        CallEvent::Created { .. } => Item::Created,
        CallEvent::Received { .. } => Item::Rung,
        CallEvent::Cancelled { .. } => Item::Cancelled,
        CallEvent::Timeout { .. } => Item::TimedOut,
        CallEvent::Ended { .. } => Item::Ended,
        CallEvent::HandledElsewhere { state, .. } => Item::Elsewhere(*state),
        CallEvent::PrimaryDeviceChanged { .. } => Item::Moved,
    }]
}

fn known(user: &str) -> &'static str {
    let known = USERS.into_iter().find(|known| *known == user);
    known.unwrap_or_else(|| panic!("nobody is called {user}"))
}
