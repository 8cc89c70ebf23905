//! What holds at the end of a scenario, wherever the server was killed.

use std::collections::BTreeMap;

use offhook::call::Call;
use offhook::{CallState, UserState};
use tokio::time::{Instant, timeout_at};

use crate::actor::{Actor, Give, Item};
use crate::stage::{Scenario, Stage, Step};
use crate::support::SOON;

/// Everybody has the same record, the one expected; everybody has heard what there was to hear,
/// once. Gives the record without what differs from world to world.
pub async fn end(stage: &mut Stage, scenario: &Scenario<'_>) -> Call {
    let record = converged(&stage.actors, 1).await.remove(0);
    assert_eq!(record.state, CallState::Ended);
    let ending = record.ending.as_ref().expect("an ending");
    assert_eq!(ending.kind, scenario.ending);
    let members: Vec<(&str, UserState)> = record
        .members
        .iter()
        .map(|member| (member.user.as_str(), member.state))
        .collect();
    assert_eq!(members, scenario.members);
    for actor in &mut stage.actors {
        actor.has_heard_all().await;
        actor.has_heard_all().await;
        told_once(actor, scenario);
    }
    record
}

/// Waits until all devices have that many calls, all over, and agree about them.
pub async fn converged(actors: &[Actor], calls: usize) -> Vec<Call> {
    let deadline = Instant::now() + SOON;
    let mut watches: Vec<_> = actors
        .iter()
        .map(|one| one.device.engine.changes())
        .collect();
    loop {
        let lists: Vec<Vec<Call>> = actors
            .iter()
            .map(|actor| actor.records().iter().map(comparable).collect())
            .collect();
        let settled = actors
            .iter()
            .all(|actor| actor.device.engine.pending().expect("read").is_empty());
        let over = |list: &Vec<Call>| list.len() == calls && !list.iter().any(Call::is_started);
        if settled && lists.iter().all(over) && lists.windows(2).all(|two| two[0] == two[1]) {
            return lists.into_iter().next().expect("a device");
        }
        let change = futures_of(&mut watches);
        if timeout_at(deadline, change).await.is_err() {
            let names: Vec<&str> = actors.iter().map(|actor| actor.name).collect();
            panic!("{names:?} do not agree on {calls} calls that are over: {lists:#?}");
        }
    }
}

/// The first change that any of them tells of.
async fn futures_of(watches: &mut [offhook::Changes]) {
    let mut changes: Vec<_> = watches
        .iter_mut()
        .map(|watch| Box::pin(watch.changed()))
        .collect();
    std::future::poll_fn(|context| {
        let changed = changes
            .iter_mut()
            .any(|change| change.as_mut().poll(context).is_ready());
        if changed {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
}

/// A record without what is each user's own, and without what differs from world to world.
fn comparable(call: &Call) -> Call {
    let mut call = call.clone();
    call.id = offhook::CallId::trusted("call");
    call.create_time = 0;
    if let Some(ending) = &mut call.ending {
        ending.time = 0;
        ending.device = None;
    }
    for member in &mut call.members {
        member.own = None;
        member.acting_device = None;
        member.deadline = 0;
        member.invited_at = 0;
        member.state_time = 0;
        member.accept_time = member.accept_time.signum();
        member.join_time = member.join_time.signum();
        member.quit_time = member.quit_time.signum();
    }
    call
}

/// Every ring, and what closed it, was told exactly as the scenario has it; no member's state was
/// told more often than it came about.
fn told_once(actor: &Actor, scenario: &Scenario<'_>) {
    let heard = actor.heard();
    let is_creators = actor.name.starts_with(scenario.devices[0]);
    let created = heard.iter().filter(|item| **item == Item::Created).count();
    assert!(created <= usize::from(is_creators), "{}", actor.name);
    let mut told: Vec<Item> = Vec::new();
    for (name, items) in scenario.told {
        if *name == actor.name {
            told.extend(*items);
        }
    }
    // Who of the creator's devices did not hear live that it is dialling has nothing to close.
    if is_creators && actor.name != scenario.devices[0] && created == 0 {
        let closes = |item: &Item| matches!(item, Item::Elsewhere(_));
        if let Some(closing) = told.iter().position(closes) {
            told.remove(closing);
        }
    }
    let others = |item: &&Item| !matches!(item, Item::Created | Item::State(..));
    let has_told: Vec<Item> = heard.iter().filter(others).copied().collect();
    assert_eq!(has_told, told, "{} of {heard:?}", actor.name);

    let came_about = came_about(scenario);
    let mut counts = BTreeMap::new();
    for item in heard {
        if let Item::State(user, state) = item {
            *counts.entry((user, state)).or_insert(0) += 1;
        }
    }
    for (what, times) in counts {
        let most = came_about.get(&what).copied().unwrap_or(0);
        assert!(times <= most, "{}: {what:?} {times} times", actor.name);
    }
}

/// How often which member came into which state.
fn came_about(scenario: &Scenario<'_>) -> BTreeMap<(&'static str, UserState), usize> {
    let mut counts = BTreeMap::new();
    let mut inside = Vec::new();
    for step in scenario.steps {
        let (device, give) = match step {
            Step::Gives(device, give) => (*device, give),
            Step::Hears(device, Item::TimedOut) => {
                *counts.entry((*device, UserState::Timeout)).or_insert(0) += 1;
                continue;
            }
            Step::Settles(_) | Step::Hears(..) => continue,
        };
        let user = device.trim_end_matches(|c: char| c.is_ascii_digit());
        let mut came = |user, state| *counts.entry((user, state)).or_insert(0) += 1;
        match give {
            Give::Invite { whom, .. } | Give::CallingInvite(whom) => {
                for user in *whom {
                    came(user, UserState::Inviting);
                    came(user, UserState::Received);
                }
            }
            Give::Cancel(whom) => whom
                .iter()
                .for_each(|user| came(user, UserState::Cancelled)),
            Give::Accept => came(user, UserState::Accepted),
            Give::Reject => came(user, UserState::Rejected),
            Give::Join if inside.contains(&user) => {} // moves only
            Give::Join => came(user, UserState::Accepted),
            Give::Quit => came(user, UserState::Quit),
            Give::End => {}
        }
        match give {
            Give::Invite { .. } | Give::Accept | Give::Join => inside.push(user),
            Give::Quit => inside.retain(|one| *one != user),
            Give::CallingInvite(_) | Give::Cancel(_) | Give::Reject | Give::End => {}
        }
    }
    counts
}
