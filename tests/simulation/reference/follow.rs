//! The account beside the server: transaction by transaction, what should have been written, and
//! what was.

use std::collections::BTreeMap;

use offhook::call::{Call, CallId, Millis, UserId};
use offhook::server::store::KeptVerdict;

use super::decide::{Asked, Expected};
use super::model::{Reference, Talk};

/// Something that a transaction wrote.
#[derive(Clone, Debug)]
pub enum Wrote<'a> {
    /// The record of a call.
    Call {
        before: Option<&'a Call>,
        after: &'a Call,
    },
    /// A verdict, and the command that it is the verdict of, where that is known.
    Verdict {
        verdict: &'a KeptVerdict,
        asked: Option<Box<Asked>>,
    },
}

/// Why a call changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// A command of that name.
    Command(offhook::call::Op),
    /// A deadline or a check.
    Time,
    /// A device of that user has that invitation on its disk.
    Receipt(UserId, u32),
    /// The user has seen that they missed it.
    Seen(UserId),
    /// The creator has gone; of their own will if `true`.
    CreatorGone(bool),
    /// All who were in it have gone for long.
    Abandoned,
    /// By nothing that the contract knows.
    Nothing,
}

/// A change of a call, and why.
#[derive(Clone, Debug)]
pub struct Step {
    pub call: CallId,
    pub cause: Cause,
}

/// The account, and where the server differed.
#[derive(Clone, Debug, Default)]
pub struct Follower {
    pub reference: Reference,
    /// What was found in the last transaction.
    pub differences: Vec<String>,
    /// What happened in the last transaction.
    pub steps: Vec<Step>,
}

impl Follower {
    /// Takes a committed transaction, in the order of its writes.
    pub fn transaction(&mut self, now: Millis, writes: &[Wrote<'_>]) {
        self.differences.clear();
        self.steps.clear();
        for (at, write) in writes.iter().enumerate() {
            match write {
                Wrote::Call { before, after } => {
                    self.check_before(*before, after);
                    let next = writes.get(at + 1);
                    if !is_of_command(after, next) {
                        self.change_without_command(after, now);
                    }
                }
                Wrote::Verdict { verdict, asked } => {
                    let wrote = at.checked_sub(1).and_then(|last| writes.get(last));
                    self.verdict(verdict, asked.as_deref(), wrote, now);
                }
            }
        }
    }

    /// Whatever a transaction is about, what is due is done in it; but for the one that begins a
    /// life of the server, which is followed by the one that does.
    pub fn nothing_is_overdue(&mut self, now: Millis) {
        let late = self.reference.overdue(now);
        let late = late.iter().map(|talk| {
            let due = talk.due();
            format!("{}: what was due at {due:?} is not done at {now}", talk.id)
        });
        let late: Vec<String> = late.collect();
        self.differences.extend(late);
    }

    /// What stood there before is what was last written there.
    fn check_before(&mut self, before: Option<&Call>, after: &Call) {
        let known = self.reference.calls.get(&after.id);
        match (known, before) {
            (None, None) => {}
            (Some(talk), Some(before)) => {
                let differences = talk.differences(before);
                if !differences.is_empty() {
                    let text = format!("{}: changed unseen: {}", after.id, differences.join("; "));
                    self.differences.push(text);
                    self.adopt(before);
                }
                if after.revision <= before.revision {
                    let text = format!(
                        "{}: revision {} after {}",
                        after.id, after.revision, before.revision
                    );
                    self.differences.push(text);
                }
            }
            (None, Some(before)) => {
                let text = format!("{}: was never written and is there", after.id);
                self.differences.push(text);
                self.adopt(before);
            }
            (Some(_), None) => {
                let text = format!("{}: made anew", after.id);
                self.differences.push(text);
                self.reference.calls.remove(&after.id);
            }
        }
    }

    /// The server's word is taken, so that one difference is told once.
    fn adopt(&mut self, call: &Call) {
        self.reference
            .calls
            .insert(call.id.clone(), Talk::adopt(call));
    }

    fn verdict(
        &mut self,
        verdict: &KeptVerdict,
        asked: Option<&Asked>,
        wrote: Option<&Wrote<'_>>,
        now: Millis,
    ) {
        let Some(asked) = asked else {
            let text = format!("a verdict of {}, which no device has sent", verdict.op);
            self.differences.push(text);
            return;
        };
        let before = self.reference.calls.get(&asked.call).cloned();
        let was_due = before
            .as_ref()
            .and_then(Talk::due)
            .filter(|due| *due <= now);
        let expected = self.reference.decide(asked, now);
        if let Some(due) = was_due
            && expected.is(&verdict.result)
            && verdict.result.is_ok()
        {
            let text = format!("{}: decided before time did at {due}", asked.call);
            self.differences.push(text);
        }
        if !expected.is(&verdict.result) {
            self.differences.push(format!(
                "{} of {} on {} for {} at {now}: the verdict is {:?}, should be {expected:?}; {:?}; before: {before:?}",
                verdict.op, asked.user, asked.device, asked.call, verdict.result, asked.command,
            ));
        }
        match wrote {
            Some(Wrote::Call { after, .. })
                if verdict.result.is_ok() && after.id == verdict.call =>
            {
                self.compare(
                    after,
                    &format!("after {:?} of {}", asked.command.kind(), asked.user),
                );
                self.steps.push(Step {
                    call: after.id.clone(),
                    cause: Cause::Command(verdict.op.clone()),
                });
            }
            Some(_) | None => {
                if let Expected::Done(_) = expected {
                    let text = format!("{}: accepted, and nothing was written", verdict.op);
                    self.differences.push(text);
                    match before {
                        Some(before) => self.reference.calls.insert(asked.call.clone(), before),
                        None => self.reference.calls.remove(&asked.call),
                    };
                }
            }
        }
    }

    fn compare(&mut self, after: &Call, when: &str) {
        let differences = match self.reference.calls.get(&after.id) {
            Some(talk) => talk.differences(after),
            None => vec!["should not be there".to_owned()],
        };
        if !differences.is_empty() {
            let text = format!("{} {when}: {}", after.id, differences.join("; "));
            self.differences.push(text);
            self.adopt(after);
        }
    }

    /// A change that is no command's: which of those that the contract has was it?
    fn change_without_command(&mut self, after: &Call, now: Millis) {
        let Some(talk) = self.reference.calls.get(&after.id) else {
            let text = format!("{}: made by no command", after.id);
            self.differences.push(text);
            self.adopt(after);
            return;
        };
        let due = talk.due().is_some_and(|due| due <= now);
        let candidates = if due {
            let mut passed = talk.clone();
            passed.pass_time(now);
            vec![(Cause::Time, passed)]
        } else {
            candidates(talk, now)
        };
        let found = candidates
            .iter()
            .find(|(_, talk)| talk.differences(after).is_empty());
        let cause = match found {
            Some((cause, talk)) => {
                let (cause, talk) = (cause.clone(), talk.clone());
                self.reference.calls.insert(after.id.clone(), talk);
                cause
            }
            None => {
                // Told against what comes nearest.
                let nearest = candidates
                    .iter()
                    .map(|(cause, talk)| (cause, talk.differences(after)))
                    .min_by_key(|(_, differences)| differences.len());
                let text = format!(
                    "{}: changed by nothing that is allowed at {now}; nearest is {nearest:?}; before: {talk:?}",
                    after.id
                );
                self.differences.push(text);
                self.adopt(after);
                Cause::Nothing
            }
        };
        self.steps.push(Step {
            call: after.id.clone(),
            cause,
        });
    }

    /// The data was put back: so is the account.
    pub fn put_back(&mut self, calls: BTreeMap<CallId, Talk>) {
        self.reference.calls = calls;
    }
}

/// Whether that record was written for the verdict that follows.
fn is_of_command(after: &Call, next: Option<&Wrote<'_>>) -> bool {
    match next {
        Some(Wrote::Verdict { verdict, .. }) => verdict.result.is_ok() && verdict.call == after.id,
        Some(Wrote::Call { .. }) | None => false,
    }
}

/// All that may happen to a call now without a command and without a deadline.
fn candidates(talk: &Talk, now: Millis) -> Vec<(Cause, Talk)> {
    let mut all = Vec::new();
    let mut consider = |cause: Cause, change: &dyn Fn(&mut Talk) -> bool| {
        let mut changed = talk.clone();
        if change(&mut changed) {
            all.push((cause, changed));
        }
    };
    for person in &talk.people {
        let (user, invitation) = (&person.user, person.invitation);
        consider(Cause::Receipt(user.clone(), invitation), &|talk| {
            talk.receive(user, invitation, now)
        });
        consider(Cause::Seen(user.clone()), &|talk| talk.see(user));
    }
    let caller = &talk.caller;
    consider(Cause::CreatorGone(false), &|talk| {
        talk.creator_gone(None, now)
    });
    consider(Cause::CreatorGone(true), &|talk| {
        talk.creator_gone(Some(caller.clone()), now)
    });
    consider(Cause::Abandoned, &|talk| talk.abandon(now));
    all
}
