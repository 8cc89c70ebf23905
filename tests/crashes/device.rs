//! A device killed after each of its steps, and started again on the same database.

use std::collections::BTreeMap;

use offhook::call::EndKind;
use offhook::{CallId, UserState};
use serde_json::{Value, json};

use crate::actor::{Actor, Give, Item};
use crate::check;
use crate::phone::{Journal, Phone};
use crate::stage::block_on;
use crate::support::World;

/// A world with one device in a process of its own, which is killed after one of its steps.
struct Play {
    phone: Phone,
    other: Actor,
    step: usize,
    kill_after: usize,
    _world: World,
}

impl Play {
    async fn new(user: &str, other: &'static str, kill_after: usize) -> Self {
        let world = World::new();
        let other = Actor::enter(&world, other).await;
        let mut phone = Phone::new(&world, user);
        while phone.asks("status", json!({}))["connection"]["state"] != json!(2) {}
        Self {
            phone,
            other,
            step: 0,
            kill_after,
            _world: world,
        }
    }

    /// The moment after a step.
    fn then(&mut self) {
        if self.step == self.kill_after {
            self.phone.crashes();
        }
        self.step += 1;
    }

    /// A command that is given, may be cut short by a kill, and is taken all the same.
    fn commands(&mut self, method: &str, params: Value) -> (String, String) {
        let (op, call) = self.phone.gives(method, params);
        self.then();
        let settled = self
            .phone
            .hears("commandSettled", |params| params["op"] == op);
        assert!(settled.get("error").is_none_or(Value::is_null), "{settled}");
        self.then();
        (op, call)
    }

    fn hears(&mut self, name: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let heard = self.phone.hears(name, wanted);
        self.then();
        heard
    }
}

fn counts(journal: &Journal) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    for (name, _) in journal.values() {
        *counts.entry(name.as_str()).or_insert(0) += 1;
    }
    counts
}

fn is_now(user: &str, state: UserState) -> impl Fn(&Value) -> bool {
    let member = json!([user, state.number()]);
    move |params| {
        let users = params["callUserList"].as_array().expect("users");
        users
            .iter()
            .any(|one| json!([one["userID"], one["state"]]) == member)
    }
}

/// Gives how many steps there were: all of them are played.
async fn a_caller_is_killed_after(step: usize) -> usize {
    let mut play = Play::new("alice", "bob", step).await;
    let (_, call) = play.commands(
        "callInvite",
        json!({"invitees": ["bob"], "config": {"mode": 1}}),
    );
    play.other.hears(Item::Rung).await;
    play.hears("callUserStateChanged", is_now("bob", UserState::Received));
    let id = CallId::trusted(call.as_str());
    play.other.gives(Give::Accept, Some(&id)).await;
    play.other.verdict().await.expect("taken");
    play.hears("callUserStateChanged", is_now("bob", UserState::Accepted));
    play.commands("callEnd", json!({"callID": call}));
    play.other.hears(Item::Ended).await;
    ends(&mut play, EndKind::Ended).await;

    let counts = counts(&play.phone.journal);
    assert_eq!(counts["commandSettled"], 2);
    assert_eq!(counts["callInvitationEnded"], 1);
    // Live only: a verdict that comes on catching up tells of no news.
    assert!(
        counts
            .get("callInvitationCreated")
            .is_none_or(|times| *times == 1)
    );
    let told = [
        "callInvitationReceived",
        "callInvitationCancelled",
        "callInvitationTimeout",
    ];
    assert!(
        told.iter().all(|name| !counts.contains_key(name)),
        "{counts:?}"
    );
    play.step
}

async fn an_invitee_is_killed_after(step: usize) -> usize {
    let mut play = Play::new("bob", "alice", step).await;
    let invite = Give::Invite {
        whom: &["bob"],
        mode: offhook::Mode::General,
        timeout_s: 90,
    };
    let call = play.other.gives(invite, None).await;
    play.other.verdict().await.expect("taken");
    play.hears("callInvitationReceived", |_| true);
    let received = Item::State("bob", UserState::Received);
    play.other.hears(received).await;
    play.commands("callAccept", json!({"callID": call.as_str()}));
    play.hears("callUserStateChanged", is_now("bob", UserState::Accepted));
    play.other
        .hears(Item::State("bob", UserState::Accepted))
        .await;
    ends(&mut play, EndKind::Completed).await;

    let counts = counts(&play.phone.journal);
    assert_eq!(
        (counts["commandSettled"], counts["callInvitationReceived"]),
        (1, 1)
    );
    // Its own verdict closed the ring.
    let told = [
        "callInvitationCancelled",
        "callInvitationTimeout",
        "callHandledElsewhere",
    ];
    assert!(
        told.iter().all(|name| !counts.contains_key(name)),
        "{counts:?}"
    );
    play.step
}

/// The other side's record is over as expected, and the killed device has the same one; nothing is
/// pending there, and nothing is told twice.
async fn ends(play: &mut Play, kind: EndKind) {
    let record = check::converged(std::slice::from_ref(&play.other), 1).await;
    assert_eq!(record[0].ending.as_ref().expect("over").kind, kind);
    let query = json!({"config": {"count": 20, "nextFlag": 0}});
    // It hears of what changed at most as late as of its own next command.
    let nowhere = json!({"callID": "no such call"});
    let (op, _) = play.phone.gives("callAccept", nowhere);
    play.phone
        .hears("commandSettled", |params| params["op"] == op);
    let list = play.phone.asks("queryCallInvitationList", query);
    let calls = list["callList"].as_array().expect("calls");
    assert_eq!(calls.len(), 1, "{list}");
    assert_eq!(calls[0]["state"], json!(2), "{list}");
    let members: Vec<(&str, i64)> = calls[0]["callUserList"]
        .as_array()
        .expect("users")
        .iter()
        .map(|one| {
            (
                one["userID"].as_str().unwrap(),
                one["state"].as_i64().unwrap(),
            )
        })
        .collect();
    assert_eq!(members, [("alice", 1), ("bob", 1)]);
    assert_eq!(play.phone.asks("pending", json!({})), json!([]));
    play.phone.reads_journal();
    let is_last = |(_, event): &(&u64, &(String, Value))| event.1["op"] == op;
    let last = play.phone.journal.iter().find(is_last).map(|(at, _)| *at);
    play.phone.journal.remove(&last.expect("heard"));
    play.other.has_heard_all().await;
}

/// Kills after every step in turn, until there is none.
fn at_every_step<F: Future<Output = usize>>(play: impl Fn(usize) -> F) {
    let mut kill_after = 0;
    while block_on(play(kill_after)) > kill_after + 1 {
        kill_after += 1;
    }
    assert!(kill_after >= 3, "that few steps");
}

#[test]
fn a_caller_killed_at_any_step_hears_and_does_everything_once() {
    at_every_step(a_caller_is_killed_after);
}

#[test]
fn an_invitee_killed_at_any_step_hears_and_does_everything_once() {
    at_every_step(an_invitee_is_killed_after);
}
