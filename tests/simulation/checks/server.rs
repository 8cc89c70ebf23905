//! The server beside the reference: every verdict, every record, and why each record changed.

use std::collections::{BTreeMap, BTreeSet};

use offhook::call::{Call, CallId, UserId};
use offhook::protocol::{ClosingReason, ToDevice, ToServer};

use super::index::Index;
use super::violation;
use crate::observe::{Change, Handset, OfServer, Stored, TrueMs, Violation, What};
use crate::reference::decide::Asked;
use crate::reference::follow::{Cause, Follower, Wrote};
use crate::reference::model::Talk;

/// By how much the server may be late to see that somebody has gone: a step that it takes late by
/// less than 5 s is no stall.
const LATE_MS: TrueMs = 5_000;

/// Who is here, as far as the log tells.
#[derive(Default)]
struct Presence {
    started: TrueMs,
    /// When it last was not there to hear anybody, or could not write.
    trouble: TrueMs,
    /// Whether it does not run.
    away: bool,
    /// Whether it cannot write: every step that fails begins the count anew.
    full: bool,
    /// Whose a connection is, once it was let in.
    here: BTreeMap<u64, UserId>,
    /// When a user's last connection was told to be gone.
    left: BTreeMap<UserId, TrueMs>,
    /// When a user's last connection was over, which may have been silent for long.
    gone_by: BTreeMap<UserId, TrueMs>,
    /// Connections that are over. What was said on one in the same step comes after that.
    over: BTreeSet<u64>,
}

/// The server as the log goes on.
struct Watch<'a> {
    index: &'a Index<'a>,
    follower: Follower,
    presence: Presence,
    backups: BTreeMap<TrueMs, BTreeMap<CallId, Talk>>,
    /// What came in since the last transaction: receipts, missed calls seen, logouts.
    receipts: Vec<(UserId, CallId, u32)>,
    seen: Vec<(UserId, CallId)>,
    logouts: Vec<UserId>,
    /// When the server closed a connection.
    closed: BTreeMap<u64, TrueMs>,
}

/// "Verdicts, records and their causes are those of the contract": docs/semantics.md 3, 4, 5, 7,
/// as the reference has them. At the end the server's calls are the reference's.
pub fn check(index: &Index<'_>, found: &mut Vec<Violation>) {
    let mut watch = Watch {
        index,
        follower: Follower::default(),
        presence: Presence::default(),
        backups: BTreeMap::new(),
        receipts: Vec::new(),
        seen: Vec::new(),
        logouts: Vec::new(),
        closed: BTreeMap::new(),
    };
    for entry in &index.record.log {
        if let What::Server(OfServer::Closed { conn }) = entry.what {
            watch.closed.insert(conn, entry.at);
        }
    }
    for (at, entry) in index.record.log.iter().enumerate() {
        match &entry.what {
            What::Server(what) => watch.take(at, entry.at, what, found),
            What::StormEnds => {
                watch.presence.in_trouble_until(entry.at);
                watch.presence.full = false;
            }
            What::Handset(..) | What::Second(..) | What::Network(..) | What::LoggedError(_) => {}
        }
    }
    for (id, talk) in &watch.follower.reference.calls {
        let differences = match index.record.last.server.calls.get(id) {
            Some(call) => talk.differences(call),
            None => vec!["is gone".to_owned()],
        };
        if !differences.is_empty() {
            let text = format!("{id}: {}", differences.join("; "));
            found.push(violation(
                "the server's calls are the reference's",
                None,
                text,
            ));
        }
    }
}

impl Watch<'_> {
    fn take(&mut self, at: usize, time: TrueMs, what: &OfServer, found: &mut Vec<Violation>) {
        match what {
            OfServer::Started { .. } => {
                self.presence = Presence {
                    started: time,
                    // Whatever makes it stall may go on over a start.
                    trouble: self.presence.trouble.max(time),
                    full: self.presence.full,
                    ..Presence::default()
                };
            }
            OfServer::Ended { .. } => {
                self.presence.here.clear();
                self.presence.away = true;
            }
            OfServer::BackedUp => {
                let calls = self.follower.reference.calls.clone();
                self.backups.insert(time, calls);
            }
            OfServer::Restored { to } => {
                let calls = self.backups.get(to).cloned().unwrap_or_default();
                self.follower.put_back(calls);
            }
            OfServer::Stored(stored) => self.stored(at, time, stored, found),
            OfServer::Got { handset, frame, .. } => self.got(*handset, frame),
            OfServer::Said {
                conn,
                handset,
                frame,
            } => self.said(*conn, *handset, time, frame),
            OfServer::Disconnected { conn } => self.presence.gone(*conn, time),
            OfServer::Closed { conn } => {
                self.presence.over.insert(*conn);
                if let Some(user) = self.presence.here.remove(conn) {
                    self.presence.gone_by.insert(user, time);
                }
            }
            OfServer::Stalls { ms } => self.presence.in_trouble_until(time + ms),
            OfServer::DiskFull(full) => {
                self.presence.in_trouble_until(time);
                self.presence.full = *full;
            }
            OfServer::SyncFails => self.presence.in_trouble_until(time),
            OfServer::NotStarted { .. }
            | OfServer::Connected { .. }
            | OfServer::Confirmed { .. }
            | OfServer::Pushes(_) => {}
        }
    }

    fn got(&mut self, handset: Handset, frame: &ToServer) {
        let user = self.index.user(handset).clone();
        match frame {
            ToServer::Receipt(receipt) => {
                self.receipts
                    .push((user, receipt.call.clone(), receipt.invitation));
            }
            ToServer::Seen(seen) => {
                let calls = seen.calls.iter().cloned();
                self.seen.extend(calls.map(|call| (user.clone(), call)));
            }
            ToServer::Logout => self.logouts.push(user),
            ToServer::Hello(_)
            | ToServer::Command(_)
            | ToServer::Ping(_)
            | ToServer::Settled(_)
            | ToServer::Renew(_) => {}
        }
    }

    fn said(&mut self, conn: u64, handset: Handset, time: TrueMs, frame: &ToDevice) {
        match frame {
            ToDevice::Welcome(_) => {
                let user = self.index.user(handset).clone();
                if self.presence.over.contains(&conn) {
                    // Taken in its absence: they come and go in one step.
                    self.presence.gone_by.insert(user, time);
                } else {
                    self.presence.here.insert(conn, user);
                }
            }
            ToDevice::LoggedOut | ToDevice::Refused(_) => self.presence.gone(conn, time),
            ToDevice::Goodbye(goodbye) if goodbye.reason != ClosingReason::ShuttingDown => {
                self.presence.gone(conn, time);
            }
            ToDevice::Goodbye(_)
            | ToDevice::Verdict(_)
            | ToDevice::Retry(_)
            | ToDevice::Feed(_)
            | ToDevice::Pong(_)
            | ToDevice::TokenNotice(_)
            | ToDevice::Renewed(_)
            | ToDevice::Preview(_) => {}
        }
    }

    fn stored(&mut self, at: usize, time: TrueMs, stored: &Stored, found: &mut Vec<Violation>) {
        let index = self.index;
        let writes = stored.changes.iter().filter_map(|change| match change {
            Change::Call { before, after } => Some(Wrote::Call {
                before: before.as_deref(),
                after,
            }),
            Change::Verdict {
                user,
                device,
                verdict,
            } => {
                let frame = index.command(device, verdict.number, &verdict.op, at);
                let asked = frame.map(|frame| {
                    Box::new(Asked {
                        user: user.clone(),
                        device: device.clone(),
                        op: frame.op.clone(),
                        call: frame.call.clone(),
                        not_after: frame.not_after,
                        command: frame.command.clone(),
                    })
                });
                Some(Wrote::Verdict { verdict, asked })
            }
            Change::Forgot { .. }
            | Change::Device(_)
            | Change::Fed { .. }
            | Change::Epoch(_)
            | Change::Clock(_) => None,
        });
        let writes: Vec<Wrote<'_>> = writes.collect();
        // One whose end was not heard is told of when it was found to be there.
        let stored_clock = stored.changes.iter().find_map(|change| match change {
            Change::Clock(ms) => Some(*ms),
            _ => None,
        });
        let now = stored_clock.unwrap_or(stored.server_ms);
        let begins = stored.changes.iter();
        let begins = begins
            .filter(|change| matches!(change, Change::Epoch(_)))
            .count()
            > 0;
        self.follower.transaction(now, &writes);
        if !begins {
            self.follower.nothing_is_overdue(now);
        }
        for text in &self.follower.differences {
            found.push(violation(
                "the server does what the reference does",
                Some(at),
                text.clone(),
            ));
        }
        for change in &stored.changes {
            if let Change::Call { before, after } = change
                && let Some(text) = bad_revisions(before.as_deref(), after)
            {
                let invariant = "a state that changed has the revision at which it did";
                found.push(violation(invariant, Some(at), text));
            }
        }
        if stored.doubted {
            // Of another life of the server, and told in this one.
            self.logouts.clear();
            return;
        }
        self.nobody_waits_for_who_is_gone((at, time), found);
        for step in &self.follower.steps {
            if let Some(why) = self.has_no_reason(&step.cause, &step.call, time) {
                let text = format!("{}: {:?}, {why}", step.call, step.cause);
                found.push(violation(
                    "a call changes by itself only for what the contract names",
                    Some(at),
                    text,
                ));
            }
        }
        self.logouts.clear();
    }

    /// "The creator has no connected device for 35 s, before any answer": the call is over.
    fn nobody_waits_for_who_is_gone(
        &self,
        (at, time): (usize, TrueMs),
        found: &mut Vec<Violation>,
    ) {
        let reference = &self.follower.reference;
        let calls = reference.calls.values();
        for talk in calls.filter(|talk| talk.is_started() && !talk.is_answered()) {
            let gone_by = self.presence.gone_by.get(&talk.caller).copied();
            let since = gone_by.unwrap_or_default().max(self.presence.trouble);
            let here = self.presence.here.values().any(|user| user == &talk.caller);
            let works = !self.presence.away && !self.presence.full;
            if !here && works && time - since > reference.house.offline_ms + LATE_MS {
                let text = format!("{} of {}, gone since {since} ms", talk.id, talk.caller);
                let invariant = "a call ends whose creator has gone before any answer";
                found.push(violation(invariant, Some(at), text));
            }
        }
    }

    /// Why what is said to have changed a call cannot have.
    fn has_no_reason(&self, cause: &Cause, call: &CallId, time: TrueMs) -> Option<String> {
        let house = &self.follower.reference.house;
        match cause {
            Cause::Command(_) | Cause::Time | Cause::Nothing => None,
            Cause::Receipt(user, invitation) => {
                let said = self
                    .receipts
                    .iter()
                    .any(|said| said == &(user.clone(), call.clone(), *invitation));
                (!said).then(|| "and no device of theirs said so".to_owned())
            }
            Cause::Seen(user) => {
                let said = self.seen.contains(&(user.clone(), call.clone()));
                (!said).then(|| "and no device of theirs said so".to_owned())
            }
            Cause::CreatorGone(true) => {
                let caller = &self.follower.reference.calls.get(call)?.caller;
                let said = self.logouts.contains(caller);
                (!said).then(|| "and did not log out".to_owned())
            }
            Cause::CreatorGone(false) => {
                let caller = &self.follower.reference.calls.get(call)?.caller;
                let here = self.presence.here.iter();
                // A connection that is closed in the same step is told after what was stored.
                let still = here.filter(|(conn, _)| self.closed.get(conn) != Some(&time));
                if still.map(|(_, user)| user).any(|user| user == caller) {
                    return Some("who is connected".to_owned());
                }
                self.presence.not_gone_for(caller, house.offline_ms, time)
            }
            Cause::Abandoned => {
                (time < house.abandoned_ms).then(|| "long before anybody could be".to_owned())
            }
        }
    }
}

impl Presence {
    /// One trouble may end while another goes on.
    fn in_trouble_until(&mut self, time: TrueMs) {
        self.trouble = self.trouble.max(time);
    }

    fn gone(&mut self, conn: u64, time: TrueMs) {
        self.over.insert(conn);
        if let Some(user) = self.here.remove(&conn) {
            self.left.insert(user.clone(), time);
            self.gone_by.insert(user, time);
        }
    }

    /// Why a user who is not connected cannot have been so for that long. When a connection was
    /// last heard that was closed for its silence, the log does not tell.
    fn not_gone_for(&self, user: &UserId, ms: TrueMs, time: TrueMs) -> Option<String> {
        if time - self.started < ms {
            let since = time - self.started;
            return Some(format!("{since} ms after the server began to count"));
        }
        let left = self.left.get(user).copied().filter(|at| time - at < ms);
        left.map(|at| format!("{} ms after they left", time - at))
    }
}

/// What revisions say of a change: a record counts up by at least one, and a member's state carries
/// the revision at which it came about.
fn bad_revisions(before: Option<&Call>, after: &Call) -> Option<String> {
    let known = before.map_or(0, |before| before.revision);
    for member in &after.members {
        let earlier = before.and_then(|before| before.member(&member.user));
        let is_news = earlier.is_none_or(|earlier| {
            (earlier.state, earlier.invitation, earlier.participation)
                != (member.state, member.invitation, member.participation)
        });
        let says_news = member.state_revision > known && member.state_revision <= after.revision;
        let says_old = earlier.is_some_and(|old| old.state_revision == member.state_revision);
        if (is_news && !says_news) || (!is_news && !says_old) {
            return Some(format!(
                "{}: {} is {:?} with revision {}, the record went from {known} to {}",
                after.id, member.user, member.state, member.state_revision, after.revision
            ));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::scene::{Scene, breaks, holds};

    #[test]
    fn a_call_that_the_server_changes_for_no_reason_is_found() {
        let mut scene = Scene::new(&["anna", "bob"]);
        scene.invite(0, "i1", "c1", &["bob"]);
        holds(&scene.record());
        scene.ends("c1");
        breaks(&scene.record(), "the server does what the reference does");
    }

    #[test]
    fn a_call_that_is_cancelled_though_its_creator_is_there_is_found() {
        let mut scene = Scene::new(&["anna", "bob"]);
        scene.invite(0, "i1", "c1", &["bob"]);
        scene.loses_its_creator("c1");
        breaks(
            &scene.record(),
            "a call changes by itself only for what the contract names",
        );
    }

    #[test]
    fn a_call_that_goes_on_though_its_creator_is_gone_is_found() {
        let mut scene = Scene::new(&["anna", "bob"]);
        scene.invite(0, "i1", "c1", &["bob"]);
        scene.goes(0);
        scene.runs_out("c1");
        breaks(
            &scene.record(),
            "a call ends whose creator has gone before any answer",
        );
    }

    #[test]
    fn a_state_that_changed_under_an_old_revision_is_found() {
        let mut scene = Scene::new(&["anna", "bob"]);
        scene.invite(0, "i1", "c1", &["bob"]);
        scene.rings(1, "c1");
        scene.runs_out("c1");
        scene.times_out(1, "c1");
        holds(&scene.record());
        scene.with_old_revision("c1");
        breaks(
            &scene.record(),
            "a state that changed has the revision at which it did",
        );
    }

    #[test]
    fn a_server_that_has_other_calls_than_it_stored_is_found() {
        let mut scene = Scene::new(&["anna", "bob"]);
        scene.invite(0, "i1", "c1", &["bob"]);
        let mut record = scene.record();
        for call in record.last.server.calls.values_mut() {
            call.members.pop();
        }
        breaks(&record, "the server's calls are the reference's");
    }
}
