//! "How long a command that was never sent waits": docs/semantics.md 8, Commands.

use std::collections::BTreeMap;

use offhook::Code;
use offhook::call::{CallId, Command, CommandKind, Op};
use offhook::client::core::WAIT_S_DEFAULT;
use offhook::client::event::EventKind;
use offhook::server::push::PushKind;

use super::index::{By, Index, Known};
use super::violation;
use crate::observe::{Handset, How, OfHandset, TrueMs, Violation};

/// By how much a timer that the world runs may be late: it runs them to the millisecond, and what
/// is due together is done one after the other.
const TIMER_MS: TrueMs = 100;

/// A command as its handset took it.
struct Given<'a> {
    call: Option<&'a CallId>,
    at: usize,
    time: TrueMs,
    run: u32,
    command: &'a Command,
    wait_s: Option<u32>,
    /// How long the ring of the call was, where the device had a record of it: one of these, as
    /// the log does not tell what was in a file that was put back or copied.
    call_timeouts_s: Vec<Option<u32>>,
    /// Whether the device knew that its user is or was in the call: only then a quit can say what
    /// it leaves.
    was_in: bool,
    /// Commands for the same call that had no verdict yet.
    follows: Vec<&'a Op>,
}

/// What expired was never sent, and waited for as long as it may, and no longer.
pub fn check(index: &Index<'_>, found: &mut Vec<Violation>) {
    for handset in index.handsets() {
        let begins = index.file_begins(handset);
        let mut known = Known::default();
        // What pushes told, and whether there is a record of it for sure: one that did not ring may
        // have come after the push that says that it is over, and then leaves none.
        // A later one can be of another invitation, which leaves the call's own time as it was.
        let mut pushed: BTreeMap<&CallId, (Vec<u32>, bool)> = BTreeMap::new();
        let mut given: Vec<(&Op, Given<'_>)> = Vec::new();
        let mut settled: Vec<&Op> = Vec::new();
        let mut syncs = By::First;
        for (at, time, by, what) in index.by(handset) {
            if let OfHandset::Syncs { .. } = what {
                syncs = by;
            }
            known.take(what);
            if let OfHandset::Pushed { push, answer, .. } = what
                && push.kind == PushKind::Invite
            {
                let rang = matches!(answer, Some(Ok(taken)) if taken.ring);
                let (timeouts_s, sure) = pushed.entry(&push.call).or_default();
                timeouts_s.push(push.timeout_s);
                *sure |= rang;
            }
            match what {
                OfHandset::Submitted {
                    run,
                    op,
                    call,
                    command,
                    wait_s,
                    answer: answer @ (Some(Ok(_)) | None),
                    ..
                } => {
                    let made = answer.as_ref().and_then(|answer| answer.as_ref().ok());
                    let call = call.as_ref().or(made.map(|made| &made.call_id));
                    let record = call.and_then(|call| known.call(call));
                    let me = record.and_then(|record| record.member(index.user(handset)));
                    let primary = me.and_then(|me| me.own.as_ref()?.primary_op.as_ref());
                    let before = given.iter().filter(|(earlier, given)| {
                        given.call == call && !settled.contains(earlier)
                    });
                    let follows = before.map(|(op, _)| *op).collect();
                    let told = call.and_then(|call| pushed.get(call));
                    let told = told.filter(|_| record.is_none());
                    let mut call_timeouts_s: Vec<Option<u32>> = match (record, told) {
                        (Some(record), _) => vec![Some(record.timeout_s)],
                        (None, Some((timeouts_s, _))) => {
                            timeouts_s.iter().copied().map(Some).collect()
                        }
                        (None, None) => vec![None],
                    };
                    if told.is_some_and(|(_, sure)| !sure) {
                        call_timeouts_s.push(None);
                    }
                    let is_told = record.is_some() || told.is_some();
                    if !is_told && (index.is_weakened(handset) || known.doubted) {
                        let may = call.and_then(|call| index.timeout_s(call));
                        call_timeouts_s.extend(may.map(Some));
                    }
                    given.push((
                        op,
                        Given {
                            call,
                            at,
                            time,
                            run: *run,
                            command,
                            wait_s: *wait_s,
                            call_timeouts_s,
                            was_in: primary.is_some(),
                            follows,
                        },
                    ));
                }
                OfHandset::Heard {
                    run,
                    how,
                    event: EventKind::CommandSettled(verdict),
                    ..
                } => {
                    let first = !settled.contains(&&verdict.op);
                    settled.push(&verdict.op);
                    let expired = matches!(&verdict.result, Err(error)
                        if error.code == Code::Expired && error.reason == "notSent");
                    let asked = given.iter().find(|(op, _)| *op == &verdict.op);
                    if let Some((op, asked)) = asked.filter(|_| expired && first && at > begins) {
                        // Another process that ends the wait has its own idea of the time.
                        let live = *how != How::Replayed && *run == asked.run && by == syncs;
                        let texts = [
                            was_sent(index, handset, op),
                            may_not_expire(asked),
                            live.then(|| waited_wrong(index, handset, asked, (at, time)))
                                .flatten(),
                        ];
                        for text in texts.into_iter().flatten() {
                            let invariant = "what expires was never sent and waited as it may";
                            found.push(violation(invariant, Some(at), format!("{op}: {text}")));
                        }
                    }
                }
                _ => {}
            }
        }
    }
}

/// A command that reached the server had been sent.
fn was_sent(index: &Index<'_>, handset: Handset, op: &Op) -> Option<String> {
    let mut reached = index.commands().filter(|(device, _, frame)| {
        &frame.op == op && index.handsets_of(device).any(|one| one == handset)
    });
    let (_, at, _) = reached.next()?;
    (!index.is_weakened(handset)).then(|| format!("had reached the server at entry {at}"))
}

/// "Quit, end: without end; 30 s where the device has no record of the call": unless it was to
/// leave what an earlier command that expired was to begin.
fn may_not_expire(asked: &Given<'_>) -> Option<String> {
    let leaves = [CommandKind::Quit, CommandKind::End].contains(&asked.command.kind());
    let wrong = leaves && asked.was_in && asked.follows.is_empty();
    wrong.then(|| {
        format!(
            "a {} of a call that the device knows",
            asked.command.kind().name()
        )
    })
}

/// "The shorter of timeout and 30 s; a setting." By how much it was not. Looked at only where
/// nothing moved the device's idea of the time meanwhile: then the beginning and the end of the
/// wait were read from the same line, however wrong that is.
fn waited_wrong(
    index: &Index<'_>,
    handset: Handset,
    asked: &Given<'_>,
    (until, time): (usize, TrueMs),
) -> Option<String> {
    let moved = index.of(handset).any(|(at, _, what)| {
        (asked.at..until).contains(&at)
            && matches!(
                what,
                OfHandset::Got { .. }
                    | OfHandset::Syncs { .. }
                    | OfHandset::Waits { .. }
                    | OfHandset::Asleep
                    | OfHandset::Awake
                    | OfHandset::WallClock { .. }
                    | OfHandset::DiskFull(_)
                    | OfHandset::SyncsFail
                    | OfHandset::TimeoutFailed { .. }
                    | OfHandset::AppDied { .. }
                    | OfHandset::Ended { .. }
            )
    });
    let wait_s = asked.wait_s.unwrap_or(WAIT_S_DEFAULT);
    let most_s = |call_timeout_s: Option<u32>| match asked.command {
        Command::Invite { timeout_s, .. } => Some(wait_s.min(*timeout_s)),
        Command::CallingInvite { timeout_s, .. } => {
            let timeout_s = timeout_s.or(call_timeout_s);
            Some(wait_s.min(timeout_s.unwrap_or(90)))
        }
        Command::Join { .. } => Some(call_timeout_s.map_or(wait_s, |s| wait_s.min(s))),
        Command::Cancel { .. }
        | Command::Accept { .. }
        | Command::Reject { .. }
        | Command::Quit { .. }
        | Command::End { .. } => None,
    };
    let most: Option<Vec<TrueMs>> = asked
        .call_timeouts_s
        .iter()
        .map(|call_timeout_s| Some(i64::from(most_s(*call_timeout_s)?) * 1_000))
        .collect();
    let most = most?;
    // What follows an earlier command that expires goes with it.
    if moved || !asked.follows.is_empty() {
        return None;
    }
    let waited = time - asked.time;
    let is_right = |most: &TrueMs| (*most..=*most + TIMER_MS).contains(&waited);
    let wrong = !most.iter().any(is_right);
    wrong.then(|| format!("waited {waited} ms, was to wait one of {most:?} ms"))
}

#[cfg(test)]
mod tests {
    use super::super::scene::{Scene, breaks, holds};
    use offhook::{Code, Error};

    const INVARIANT: &str = "what expires was never sent and waited as it may";

    fn expired() -> Error {
        Error::new(Code::Expired, "notSent", "late")
    }

    #[test]
    fn an_invite_that_waited_as_long_as_it_may_passes_and_longer_or_shorter_does_not() {
        for (waits, is_right) in [(30_000, true), (30_500, false), (29_000, false)] {
            let mut scene = Scene::new(&["anna", "bob"]);
            scene.asks_to_invite(0, "i1", "c1", &["bob"]);
            scene.passes(waits);
            scene.settles(0, "i1", Err(expired()));
            match is_right {
                true => holds(&scene.record()),
                false => breaks(&scene.record(), INVARIANT),
            }
        }
    }

    #[test]
    fn a_command_that_expired_after_it_was_sent_is_found() {
        let mut scene = Scene::new(&["anna", "bob"]);
        scene.asks_to_invite(0, "i1", "c1", &["bob"]);
        scene.sends(0, "i1");
        scene.passes(30_000);
        scene.settles(0, "i1", Err(expired()));
        breaks(&scene.record(), INVARIANT);
    }

    #[test]
    fn a_quit_that_expires_though_the_device_knows_the_call_is_found() {
        let mut scene = Scene::new(&["anna", "bob"]);
        scene.invite(0, "i1", "c1", &["bob"]);
        scene.asks_to_quit(0, "q1", "c1");
        scene.passes(30_000);
        scene.settles(0, "q1", Err(expired()));
        breaks(&scene.record(), INVARIANT);
    }
}
