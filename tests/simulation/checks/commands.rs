//! "Every command … takes effect exactly once" and has a verdict: docs/semantics.md 8, Commands.
//! Whether the server's verdict is the right one, and has the effect that it says, is the
//! reference's affair ([`super::server`]).

use std::collections::BTreeMap;

use offhook::call::{CallId, CallState, Command, CommandKind, DeviceId, Mode, Op, Outcome, UserId};
use offhook::client::core::Submitted;
use offhook::client::event::{CommandSettled, EventKind};
use offhook::{Code, Error};

use super::index::{By, Index, by_whom};
use super::violation;
use crate::observe::{Answer, Change, Handset, How, OfHandset, OfServer, TrueMs, Violation, What};

/// Most invitees of one command.
const INVITEES_MAX: usize = 9;

/// A verdict that the server stored.
struct Served<'a> {
    at: usize,
    user: &'a UserId,
    device: &'a DeviceId,
    op: &'a Op,
    result: &'a Result<Outcome, Error>,
    /// Whether no restore has undone it.
    stands: bool,
}

/// A command, where its user gave it.
struct Asked<'a> {
    at: usize,
    handset: Handset,
    command: &'a Command,
    answer: &'a Answer<Submitted>,
}

/// A verdict, where an app heard it.
struct Heard<'a> {
    at: usize,
    handset: Handset,
    by: By,
    how: How,
    settled: &'a CommandSettled,
}

/// All that is known of the commands of a run.
struct Commands<'a> {
    index: &'a Index<'a>,
    served: BTreeMap<&'a Op, Vec<Served<'a>>>,
    asked: BTreeMap<&'a Op, Vec<Asked<'a>>>,
    heard: BTreeMap<&'a Op, Vec<Heard<'a>>>,
}

/// One verdict a command, and the verdict is what happened.
pub fn check(index: &Index<'_>, found: &mut Vec<Violation>) {
    let commands = Commands::new(index);
    for (op, served) in &commands.served {
        commands.decided_once(op, served, found);
    }
    for asked in commands.asked.values().flatten() {
        commands.has_a_verdict(asked, found);
    }
    for heard in commands.heard.values() {
        commands.told_the_same(heard, found);
        for heard in heard {
            commands.is_what_happened(heard, found);
        }
    }
    nothing_waits(index, found);
}

impl<'a> Commands<'a> {
    fn new(index: &'a Index<'a>) -> Self {
        let mut commands = Self {
            index,
            served: BTreeMap::new(),
            asked: BTreeMap::new(),
            heard: BTreeMap::new(),
        };
        let mut backed_up: BTreeMap<TrueMs, usize> = BTreeMap::new();
        for (at, entry) in index.record.log.iter().enumerate() {
            match &entry.what {
                What::Server(OfServer::BackedUp) => {
                    backed_up.insert(entry.at, at);
                }
                What::Server(OfServer::Restored { to }) => {
                    let since = backed_up.get(to).copied().unwrap_or_default();
                    for served in commands.served.values_mut().flatten() {
                        served.stands &= served.at < since;
                    }
                }
                What::Server(OfServer::Stored(stored)) => {
                    for change in &stored.changes {
                        commands.note_verdict(at, change);
                    }
                }
                What::Handset(..) | What::Second(..) => {
                    if let Some((handset, by, what)) = by_whom(&entry.what) {
                        commands.note(at, (handset, by), what);
                    }
                }
                What::Server(_) | What::StormEnds | What::Network(..) | What::LoggedError(_) => {}
            }
        }
        commands
    }

    fn note_verdict(&mut self, at: usize, change: &'a Change) {
        if let Change::Verdict {
            user,
            device,
            verdict,
        } = change
        {
            self.served.entry(&verdict.op).or_default().push(Served {
                at,
                user,
                device,
                op: &verdict.op,
                result: &verdict.result,
                stands: true,
            });
        }
    }

    fn note(&mut self, at: usize, (handset, by): (Handset, By), what: &'a OfHandset) {
        match what {
            OfHandset::Submitted {
                op,
                command,
                answer,
                ..
            } => self.asked.entry(op).or_default().push(Asked {
                at,
                handset,
                command,
                answer,
            }),
            OfHandset::Heard {
                how,
                event: EventKind::CommandSettled(settled),
                ..
            } => self.heard.entry(&settled.op).or_default().push(Heard {
                at,
                handset,
                by,
                how: *how,
                settled,
            }),
            _ => {}
        }
    }

    /// None is applied twice, none without its user having asked: what the server decided was asked
    /// for by that user, as it was decided, and is decided once; again only after a restore.
    fn decided_once(&self, op: &Op, served: &[Served<'_>], found: &mut Vec<Violation>) {
        let standing: Vec<_> = served.iter().filter(|served| served.stands).collect();
        if standing.len() > 1 {
            let text = format!(
                "{op} has {} verdicts, as of {} and {}",
                standing.len(),
                standing[0].device,
                standing[1].device
            );
            let at = Some(standing[1].at);
            found.push(violation("a command is decided once", at, text));
        }
        for served in served {
            let asked = self.asked.get(op).into_iter().flatten();
            let frames = self.index.commands();
            let frame = frames
                .filter(|(device, at, frame)| {
                    &frame.op == op && *device == served.device && *at < served.at
                })
                .map(|(_, _, frame)| frame)
                .last();
            let meant = asked.filter(|asked| {
                asked.at < served.at
                    && self.index.user(asked.handset) == served.user
                    && !matches!(asked.answer, Some(Err(_)))
                    && frame.is_some_and(|frame| is_meant(asked.command, &frame.command))
            });
            if meant.count() == 0 {
                let text = format!(
                    "{} of {} by {}: {:?}",
                    served.op,
                    served.user,
                    served.device,
                    frame.map(|frame| &frame.command)
                );
                let invariant = "nothing is done that its user did not ask for";
                found.push(violation(invariant, Some(served.at), text));
            }
        }
    }

    /// "The app gets a handle at once", and a verdict later, in this run or the next; what was
    /// refused at once has none.
    fn has_a_verdict(&self, asked: &Asked<'_>, found: &mut Vec<Violation>) {
        let index = self.index;
        let entry = &index.record.log[asked.at];
        let Some((_, _, OfHandset::Submitted { op, call, .. })) = by_whom(&entry.what) else {
            return;
        };
        let heard = of(&self.heard, op);
        let here = heard.iter().filter(|heard| heard.handset == asked.handset);
        match asked.answer {
            None => {}
            Some(Err(error)) => {
                if here.count() > 0 {
                    let text = format!("{op} was refused at once, and has a verdict");
                    let invariant = "a command that was not taken has no verdict";
                    found.push(violation(invariant, Some(asked.at), text));
                }
                if let Some(text) = self.refused_rashly(asked, call.as_ref(), error) {
                    let invariant = "a device refuses only what no server word can change";
                    found.push(violation(
                        invariant,
                        Some(asked.at),
                        format!("{op}: {text}"),
                    ));
                }
            }
            Some(Ok(_)) => {
                let begins = index.file_begins(asked.handset);
                let lost = index.is_weakened(asked.handset) && asked.at < begins;
                let gone = index.record.weakened.file_lost.contains(&asked.handset);
                if here.count() == 0 && !lost && !gone && index.calm.is_some() {
                    let text = format!("{op} of {:?}: {:?}", asked.handset, asked.command);
                    let invariant = "every command has a verdict";
                    found.push(violation(invariant, Some(asked.at), text));
                }
            }
        }
    }

    /// Why the device could not know that.
    fn refused_rashly(
        &self,
        asked: &Asked<'_>,
        call: Option<&CallId>,
        error: &Error,
    ) -> Option<String> {
        let by_the_call = match error.code {
            Code::WrongState if error.reason == "answerPending" => {
                return (!self.answer_waits(asked, call?)).then(|| "nothing waits".to_owned());
            }
            Code::CallOver
            | Code::NeedsAdvanced
            | Code::NotMember
            | Code::NotInviter
            | Code::CancelAnswered
            | Code::WrongState
            | Code::AlreadyPrimary => true,
            _ => false,
        };
        if !by_the_call || self.index.record.weakened.server_restored {
            return None;
        }
        let call = self.index.record.last.server.calls.get(call?);
        let certain = call.is_some_and(|call| {
            let other_mode = call.mode == Mode::General && asked.command.kind().needs_advanced();
            call.state == CallState::Ended || other_mode
        });
        (!certain).then(|| format!("{error}, of a call that goes on"))
    }

    /// Whether an answer to that call that was given on that handset had no verdict yet, as far as
    /// its file can have known.
    fn answer_waits(&self, asked: &Asked<'_>, call: &CallId) -> bool {
        let begins = self.index.file_begins_before(asked.handset, asked.at);
        let mut answers = self.asked.iter().flat_map(|(op, all)| {
            let all = all.iter();
            all.map(move |one| (op, one))
        });
        answers.any(|(op, one)| {
            let is_answer =
                [CommandKind::Accept, CommandKind::Reject].contains(&one.command.kind());
            let entry = &self.index.record.log[one.at].what;
            let same_call = match by_whom(entry) {
                Some((_, _, OfHandset::Submitted { call: of, .. })) => of.as_ref() == Some(call),
                _ => false,
            };
            let heard = of(&self.heard, op).iter();
            let settled = heard
                .filter(|heard| heard.handset == asked.handset)
                .filter(|heard| (begins..asked.at).contains(&heard.at))
                .count();
            is_answer
                && same_call
                && one.at < asked.at
                && (one.handset == asked.handset || begins > 0)
                && !matches!(one.answer, Some(Err(_)))
                && settled == 0
        })
    }

    /// The verdict is one, however often it is told: live once, and the same on every replay.
    fn told_the_same(&self, heard: &[Heard<'_>], found: &mut Vec<Violation>) {
        for (at, later) in heard.iter().enumerate() {
            let begins = self.index.file_begins(later.handset);
            let here = heard[..at]
                .iter()
                .filter(|one| one.handset == later.handset && one.at >= begins);
            for earlier in here {
                if later.at < begins {
                    continue;
                }
                if earlier.settled != later.settled {
                    let text = format!("{:?}, before: {:?}", later.settled, earlier.settled);
                    let invariant = "a verdict stays what it was";
                    found.push(violation(invariant, Some(later.at), text));
                }
                let same = earlier.by == later.by;
                if same && earlier.how != How::Replayed && later.how != How::Replayed {
                    let text = format!("{} on {:?}", later.settled.op, later.handset);
                    let invariant = "a verdict is heard once as it happens";
                    found.push(violation(invariant, Some(later.at), text));
                }
            }
        }
    }

    /// "A refused one had no effect, an accepted one had it once; expired and withdrawn ones never
    /// reached the server; dropped and unknown only after a clone, a salvage or a restore."
    fn is_what_happened(&self, heard: &Heard<'_>, found: &mut Vec<Violation>) {
        let settled = heard.settled;
        let served = of(&self.served, &settled.op);
        let weakened = &self.index.record.weakened;
        let shaken = self.index.is_weakened(heard.handset) || weakened.server_restored;
        let wrong = match &settled.result {
            Err(error) if [Code::Dropped, Code::UnknownOutcome].contains(&error.code) => {
                (!shaken).then_some("given up without a reason")
            }
            Err(error) if is_of_the_device(error) => {
                let decided = !served.is_empty() && !self.index.is_weakened(heard.handset);
                decided.then_some("decided by the server as well")
            }
            Ok(Outcome::Cancelled { error_invitees })
                if served.is_empty() && error_invitees.is_empty() =>
            {
                (!self.invite_was_withdrawn(heard)).then_some("the server never heard of it")
            }
            result => {
                let same = served.iter().any(|served| served.result == result);
                (!same).then_some("not what the server decided")
            }
        };
        if let Some(wrong) = wrong {
            let decided: Vec<_> = served.iter().map(|served| served.result).collect();
            let text = format!("{settled:?} on {:?}: {wrong}: {decided:?}", heard.handset);
            found.push(violation(
                "the verdict is what happened",
                Some(heard.at),
                text,
            ));
        }
    }

    /// "An invite that is cancelled before it was sent never goes out. The cancel succeeds, the
    /// invite is withdrawn."
    fn invite_was_withdrawn(&self, cancel: &Heard<'_>) -> bool {
        let mut all = self.heard.values().flatten();
        all.any(|heard| {
            heard.settled.call_id == cancel.settled.call_id
                && heard.settled.command == CommandKind::Invite
                && matches!(&heard.settled.result, Err(error) if error.code == Code::Withdrawn)
        })
    }
}

fn of<'m, T>(map: &'m BTreeMap<&Op, Vec<T>>, op: &Op) -> &'m [T] {
    map.get(op).map(Vec::as_slice).unwrap_or_default()
}

/// Whether a verdict is the device's own, of a command that was never sent.
pub fn is_of_the_device(error: &Error) -> bool {
    match error.code {
        Code::Expired => error.reason != "notAfter",
        Code::Withdrawn => true,
        _ => false,
    }
}

/// Whether what the server decided is what the user asked for, with nothing filled in but the
/// numbers of invitations and what a quit was made under.
fn is_meant(asked: &Command, decided: &Command) -> bool {
    match (asked, decided) {
        (
            Command::Invite {
                invitees: asked_whom,
                timeout_s: asked_s,
                mode: asked_mode,
                extended_data: asked_data,
                ..
            },
            Command::Invite {
                invitees,
                timeout_s,
                mode,
                extended_data,
                ..
            },
        ) => {
            same_people(asked_whom, invitees)
                && (asked_s, asked_mode, asked_data) == (timeout_s, mode, extended_data)
        }
        (
            Command::CallingInvite {
                invitees: asked_whom,
                timeout_s: asked_s,
                extended_data: asked_data,
                ..
            },
            Command::CallingInvite {
                invitees,
                timeout_s,
                extended_data,
                ..
            },
        ) => {
            same_people(asked_whom, invitees) && (asked_s, asked_data) == (timeout_s, extended_data)
        }
        (
            Command::Cancel {
                invitees: asked_whom,
                extended_data: asked_data,
                ..
            },
            Command::Cancel {
                invitees,
                extended_data,
                ..
            },
        ) => {
            let named = |user: &UserId| asked_whom.iter().any(|target| &target.user == user);
            invitees.is_empty() == asked_whom.is_empty()
                && invitees.iter().all(|target| named(&target.user))
                && asked_data == extended_data
        }
        (asked, decided) => asked.kind() == decided.kind() && data_of(asked) == data_of(decided),
    }
}

/// More than may be rung need not all be named, to be told that they are too many.
fn same_people(asked: &[UserId], decided: &[UserId]) -> bool {
    let too_many = decided.len() > INVITEES_MAX;
    decided.iter().all(|user| asked.contains(user))
        && (too_many || asked.iter().all(|user| decided.contains(user)))
}

fn data_of(command: &Command) -> Option<&str> {
    match command {
        Command::Accept { extended_data, .. }
        | Command::Reject { extended_data, .. }
        | Command::Join { extended_data }
        | Command::Quit { extended_data, .. }
        | Command::End { extended_data, .. } => Some(extended_data),
        Command::Invite { .. } | Command::CallingInvite { .. } | Command::Cancel { .. } => None,
    }
}

/// "What was ever sent is sent again until it has its verdict": with the network whole nothing
/// waits for long.
fn nothing_waits(index: &Index<'_>, found: &mut Vec<Violation>) {
    for last in &index.record.last.handsets {
        if !last.connected {
            let text = format!("{:?} of {}", last.handset, last.user);
            let invariant = "once all is well, every device is connected and caught up";
            found.push(violation(invariant, None, text));
        } else if let Some(first) = last.pending.first() {
            let text = format!("{:?} of {}: {first:?}", last.handset, last.user);
            found.push(violation("every command has a verdict", None, text));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::scene::{Scene, breaks, holds};
    use offhook::{Code, Error};

    #[test]
    fn a_command_with_one_verdict_passes_and_one_without_does_not() {
        let mut scene = Scene::new(&["anna", "bob"]);
        scene.invite(0, "i1", "c1", &["bob"]);
        holds(&scene.record());
        let mut silent = Scene::new(&["anna", "bob"]);
        silent.asks_to_invite(0, "i1", "c1", &["bob"]);
        breaks(&silent.record(), "every command has a verdict");
    }

    #[test]
    fn a_verdict_heard_twice_as_it_happens_is_found() {
        let mut scene = Scene::new(&["anna", "bob"]);
        scene.invite(0, "i1", "c1", &["bob"]);
        scene.hears_last_again(0);
        breaks(&scene.record(), "a verdict is heard once as it happens");
    }

    #[test]
    fn a_verdict_other_than_the_servers_is_found() {
        let mut scene = Scene::new(&["anna", "bob"]);
        scene.asks_to_invite(0, "i1", "c1", &["bob"]);
        scene.sends(0, "i1");
        scene.server_decides(0, "i1");
        let refused = Error::new(Code::WrongState, "inCall", "no");
        scene.settles(0, "i1", Err(refused.clone()));
        breaks(&scene.record(), "the verdict is what happened");
        scene.settles(0, "i1", Err(refused));
        breaks(&scene.record(), "a verdict is heard once as it happens");
    }

    #[test]
    fn expired_and_dropped_are_told_only_of_what_the_server_has_not_decided() {
        let expired = Error::new(Code::Expired, "notSent", "late");
        let mut scene = Scene::new(&["anna", "bob"]);
        scene.asks_to_invite(0, "i1", "c1", &["bob"]);
        scene.passes(30_000);
        scene.settles(0, "i1", Err(expired.clone()));
        holds(&scene.record());
        let mut scene = Scene::new(&["anna", "bob"]);
        scene.asks_to_invite(0, "i1", "c1", &["bob"]);
        scene.sends(0, "i1");
        scene.server_decides(0, "i1");
        scene.passes(30_000);
        scene.settles(0, "i1", Err(expired));
        breaks(&scene.record(), "the verdict is what happened");
        let dropped = Error::new(Code::Dropped, "copied", "a copy");
        let mut scene = Scene::new(&["anna", "bob"]);
        scene.asks_to_invite(0, "i1", "c1", &["bob"]);
        scene.settles(0, "i1", Err(dropped));
        breaks(&scene.record(), "the verdict is what happened");
    }

    #[test]
    fn a_command_that_is_decided_twice_or_that_nobody_gave_is_found() {
        let mut scene = Scene::new(&["anna", "bob"]);
        scene.invite(0, "i1", "c1", &["bob"]);
        scene.decided_again();
        breaks(&scene.record(), "a command is decided once");
        let mut scene = Scene::new(&["anna", "bob"]);
        scene.sends_unasked(0, "i1", "c1", &["bob"]);
        scene.server_decides(0, "i1");
        breaks(
            &scene.record(),
            "nothing is done that its user did not ask for",
        );
    }

    #[test]
    fn a_device_that_refuses_what_the_server_could_have_accepted_is_found() {
        let mut scene = Scene::new(&["anna", "bob"]);
        scene.invite(0, "i1", "c1", &["bob"]);
        let over = Error::new(Code::CallOver, "ended", "over");
        scene.is_refused_at_once(1, "a1", "c1", over);
        breaks(
            &scene.record(),
            "a device refuses only what no server word can change",
        );
    }
}
