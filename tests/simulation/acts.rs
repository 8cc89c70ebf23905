//! What users and their apps do. An act says little; what it means is decided here, by its own
//! number and by what its user knows when the time has come.

use offhook::call::{CallId, Command, Mode, Op, PushConfig, Target, Under, UserId};
use offhook::client::core::{Core, Submission};
use offhook::client::store::StatusCounts;
use offhook::server::push::Push;

use super::observe::OfHandset;
use super::scenario::{Act, ActKind};
use super::seed::Rng;
use super::world::{Happens, World, user_id};

impl World {
    pub fn act(&mut self, place: usize) {
        let Act {
            handset,
            kind,
            pick,
        } = self.scenario.acts[place].what;
        let mut rng = Rng::new(pick);
        let handset = self.who_acts(handset, kind, pick);
        if self.hands[handset].asleep && rng.percent(50) {
            self.awakes(handset, None);
        }
        let hand = &self.hands[handset];
        if hand.process.is_none() || hand.asleep {
            return;
        }
        let run = hand.run();
        match kind {
            ActKind::Invite => {
                let command = self.invite(handset, &mut rng);
                self.submits(handset, None, command, &mut rng);
            }
            ActKind::Cancel
            | ActKind::Accept
            | ActKind::Reject
            | ActKind::CallingInvite
            | ActKind::Join
            | ActKind::Quit
            | ActKind::End => {
                let call = self.some_call(handset, kind, &mut rng);
                let command = self.about(handset, kind, &mut rng);
                self.submits(handset, Some(call), command, &mut rng);
            }
            ActKind::MarkSeen => self.marks_seen(handset, &mut rng),
            ActKind::Acknowledge => self.acknowledges(handset, &mut rng),
            ActKind::Look => self.looks(handset),
            ActKind::LogOut => {
                self.log_handset(handset, OfHandset::LogsOut { run });
                self.ask(handset, Core::logout);
                self.carry_out(handset);
            }
            ActKind::LogIn => self.logs_in(handset),
            ActKind::Pause(away_ms) => self.pauses(handset, away_ms),
            ActKind::NetworkChanged => self.tells_of_move(handset),
            ActKind::NoNetwork(for_ms) => {
                self.sets_network(handset, false);
                self.after(for_ms, Happens::NetworkIsBack { handset, run });
            }
            ActKind::AppDies(away_ms) => self.app_dies(handset, away_ms),
        }
    }

    /// The extension gives some of the commands, and reads the journal for itself.
    fn who_acts(&self, handset: usize, kind: ActKind, pick: u64) -> usize {
        match kind {
            ActKind::Invite
            | ActKind::Cancel
            | ActKind::Accept
            | ActKind::Reject
            | ActKind::CallingInvite
            | ActKind::Join
            | ActKind::Quit
            | ActKind::End
            | ActKind::MarkSeen
            | ActKind::Acknowledge
            | ActKind::Look
            | ActKind::AppDies(_) => self.seat(handset, pick),
            ActKind::LogOut
            | ActKind::LogIn
            | ActKind::Pause(_)
            | ActKind::NetworkChanged
            | ActKind::NoNetwork(_) => handset,
        }
    }

    fn submits(&mut self, handset: usize, call: Option<CallId>, command: Command, rng: &mut Rng) {
        let run = self.hands[handset].run();
        let op = Op::trusted(format!("op{:016x}", rng.next()));
        let wait_s = rng.weighted(&[
            (12, None),
            (2, Some(0)),
            (3, Some(5)),
            (2, Some(20)),
            (1, Some(60)),
        ]);
        let waits = rng.percent(50);
        let given = Submission {
            op: Some(op.clone()),
            call_id: call.clone(),
            command: command.clone(),
            wait_s,
        };
        let answer = self.ask(handset, |core, now| core.submit(now, given));
        if let Some(Ok(submitted)) = &answer {
            let id = submitted.call_id.clone();
            self.knows(self.hands[handset].user, id);
        }
        let app = self.hands[handset]
            .process
            .as_mut()
            .and_then(|process| process.app.as_mut());
        let waited_for = match app {
            Some(app) if waits && matches!(answer, Some(Ok(_))) => app.waits.insert(op.clone()),
            _ => false,
        };
        self.log_handset(
            handset,
            OfHandset::Submitted {
                run,
                op,
                call,
                command,
                wait_s,
                waited_for,
                answer,
            },
        );
        self.carry_out(handset);
    }

    fn invite(&self, handset: usize, rng: &mut Rng) -> Command {
        let mode = if rng.percent(55) {
            Mode::Advanced
        } else {
            Mode::General
        };
        Command::Invite {
            invitees: self.whom(handset, rng),
            timeout_s: some_timeout(rng),
            mode,
            extended_data: some_data(rng),
            not_received_check: rng.percent(40),
            push: some_push(rng),
        }
    }

    fn about(&self, handset: usize, kind: ActKind, rng: &mut Rng) -> Command {
        let extended_data = some_data(rng);
        let push = some_push(rng);
        let under = Under::Unknown;
        match kind {
            ActKind::Accept => Command::Accept {
                invitation: None,
                extended_data,
            },
            ActKind::Reject => Command::Reject {
                invitation: None,
                extended_data,
            },
            ActKind::Join => Command::Join { extended_data },
            ActKind::Quit => Command::Quit {
                under,
                extended_data,
                push,
            },
            ActKind::End => Command::End {
                under,
                extended_data,
                push,
            },
            ActKind::CallingInvite => Command::CallingInvite {
                invitees: self.whom(handset, rng),
                timeout_s: rng.percent(70).then(|| some_timeout(rng)),
                extended_data: rng.percent(50).then_some(extended_data),
                push,
            },
            _ => {
                let targets = if rng.percent(50) {
                    Vec::new()
                } else {
                    self.whom(handset, rng)
                };
                let target = |user| Target {
                    user,
                    invitation: None,
                };
                Command::Cancel {
                    invitees: targets.into_iter().map(target).collect(),
                    extended_data,
                    push,
                }
            }
        }
    }

    /// Mostly one or two others; at times oneself, nobody, somebody twice, or too many.
    fn whom(&self, handset: usize, rng: &mut Rng) -> Vec<UserId> {
        let me = self.hands[handset].user;
        let users = self.known.len();
        let others: Vec<usize> = (0..users).filter(|user| *user != me).collect();
        let other = |rng: &mut Rng| user_id(rng.pick(&others).copied().unwrap_or(me));
        match rng.below(40) {
            0 => vec![user_id(me)],
            1 => Vec::new(),
            2 => vec![user_id(usize::MAX)],
            3 => (0..11)
                .map(|n| UserId::trusted(format!("stranger{n}")))
                .collect(),
            4 => {
                let twice = other(rng);
                vec![twice.clone(), twice]
            }
            5..=10 => others.iter().map(|user| user_id(*user)).collect(),
            11..=18 => vec![other(rng), other(rng)],
            _ => vec![other(rng)],
        }
    }

    /// What the command is about: mostly what makes sense, at times what is over, of others, or
    /// never was.
    fn some_call(&self, handset: usize, kind: ActKind, rng: &mut Rng) -> CallId {
        let hand = &self.hands[handset];
        let answers = [ActKind::Accept, ActKind::Reject].contains(&kind);
        let rings = hand
            .process
            .as_ref()
            .and_then(|process| process.app.as_ref());
        if answers && rng.percent(75) {
            let ringing: Vec<&CallId> = rings.iter().flat_map(|app| app.ringing.iter()).collect();
            if let Some(call) = rng.pick(&ringing) {
                return (*call).clone();
            }
        }
        let known = &self.known[hand.user];
        let recent = |calls: &[CallId], most: usize, rng: &mut Rng| {
            let from = calls.len().saturating_sub(most);
            calls.get(from..).and_then(|calls| rng.pick(calls)).cloned()
        };
        let of_all = if kind == ActKind::Join { 30 } else { 10 };
        let choice = rng.below(100);
        let call = if choice < 2 {
            None
        } else if choice < of_all {
            recent(&self.calls, 5, rng)
        } else if choice < 70 {
            recent(known, 1, rng)
        } else {
            recent(known, 6, rng)
        };
        call.unwrap_or_else(|| CallId::trusted(format!("no{:016x}", rng.next())))
    }

    fn marks_seen(&mut self, handset: usize, rng: &mut Rng) {
        let run = self.hands[handset].run();
        let user = self.hands[handset].user;
        let calls = if rng.percent(50) {
            None
        } else {
            Some(self.known[user].iter().rev().take(3).cloned().collect())
        };
        let given: Option<Vec<CallId>> = calls.clone();
        let answer = self.ask(handset, |core, now| core.mark_seen(now, given.as_deref()));
        self.log_handset(handset, OfHandset::MarkedSeen { run, calls, answer });
        self.carry_out(handset);
    }

    fn acknowledges(&mut self, handset: usize, rng: &mut Rng) {
        let process = self.hands[handset].process.as_ref();
        let Some(app) = process.and_then(|process| process.app.as_ref()) else {
            return;
        };
        let (run, number) = (self.hands[handset].run(), app.number);
        let position = app.heard.saturating_sub(rng.below(3));
        let reader = self.hands[handset].reader();
        let answer = self.ask(handset, |core, now| core.acknowledge(now, reader, position));
        self.log_handset(
            handset,
            OfHandset::Acknowledged {
                run,
                app: number,
                position,
                answer,
            },
        );
        self.carry_out(handset);
    }

    fn looks(&mut self, handset: usize) {
        let run = self.hands[handset].run();
        let Some(server_ms) = self.ask(handset, |core, now| core.server_now(now)) else {
            return;
        };
        let Some(process) = &self.hands[handset].process else {
            return;
        };
        let (Ok(ringing), Ok(StatusCounts { missed, .. })) =
            (process.readers.ringing(server_ms), process.readers.counts())
        else {
            return;
        };
        self.log_handset(
            handset,
            OfHandset::Looked {
                run,
                ringing,
                missed,
                server_ms,
            },
        );
    }

    pub fn logs_in(&mut self, handset: usize) {
        let run = self.hands[handset].run();
        self.hands[handset].logged_out = false;
        self.log_handset(handset, OfHandset::LogsIn { run });
        self.ask(handset, Core::start);
        self.carry_out(handset);
    }

    /// The file is closed, and opened again after a time.
    pub fn pauses(&mut self, handset: usize, away_ms: i64) {
        if let Some(logged_out) = self.closes(handset) {
            self.hands[handset].logged_out = logged_out;
            self.opens(handset, away_ms);
        }
    }

    fn sets_network(&mut self, handset: usize, online: bool) {
        let run = self.hands[handset].run();
        self.log_handset(handset, OfHandset::SetNetwork { run, online });
        self.ask(handset, |core, now| core.set_network(now, online));
        self.carry_out(handset);
    }

    pub fn network_is_back(&mut self, handset: usize, run: u32) {
        let process = self.hands[handset].process.as_ref();
        if process.is_some_and(|process| process.run == run && process.no_network) {
            self.sets_network(handset, true);
        }
    }

    /// A push arrives; a handset that is asleep is woken by it, and at times an app that does not
    /// run is begun for it.
    pub fn push_arrives(&mut self, handset: usize, push: Box<Push>) {
        self.awakes(handset, None);
        let is_there = !self.scenario.left_out.contains(&handset);
        if self.hands[handset].process.is_none() && self.rng.percent(60) && is_there {
            self.opens(handset, 0);
            let turn = self.hands[handset].open_turn;
            self.open(handset, turn);
        }
        let handset = match self.is_shared(handset) {
            true => {
                let pick = self.rng.next();
                self.seat(handset, pick)
            }
            false => handset,
        };
        let run = self.hands[handset].run();
        if run == 0 {
            return;
        }
        let payload = push.payload().to_string();
        let answer = self.ask(handset, |core, now| core.handle_push(now, &payload));
        self.log_handset(handset, OfHandset::Pushed { run, push, answer });
        self.carry_out(handset);
    }
}

/// Short ones mostly, so that deadlines fall into the run; at times one that cannot be.
fn some_timeout(rng: &mut Rng) -> u32 {
    let short = rng.ms(1, 12);
    let usual = rng.ms(12, 45);
    let long = rng.ms(45, 120);
    let timeout = rng.weighted(&[(30, short), (45, usual), (20, long), (1, 0), (1, 601)]);
    u32::try_from(timeout).unwrap_or(0)
}

fn some_data(rng: &mut Rng) -> String {
    if rng.percent(60) {
        String::new()
    } else {
        format!("data {}", rng.below(1_000))
    }
}

fn some_push(rng: &mut Rng) -> Option<PushConfig> {
    rng.percent(80).then(PushConfig::default)
}
