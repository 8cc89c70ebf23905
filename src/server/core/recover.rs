//! What the core makes of a step that failed: nothing of it has happened, and nobody is told
//! anything but to ask again.

use std::collections::{BTreeMap, BTreeSet};

use super::commands::COMMANDS_BURST;
use super::session::{Bucket, User};
use super::work::{Asked, Work};
use super::{ConnId, Effect, FAILED_WAIT_MS, Input, State};
use crate::call::{Millis, UserId};
use crate::error::{Code, Error};
use crate::protocol::{ClosingReason, Goodbye, Refused, Retry, ToDevice};
use crate::server::store::StoreError;

/// What holds whatever becomes of a step.
#[derive(Default)]
pub(super) struct Facts {
    gone: BTreeSet<ConnId>,
    written: BTreeMap<ConnId, usize>,
}

impl Facts {
    /// Those among the inputs of a step.
    pub(super) fn of(inputs: &[Input]) -> Self {
        let mut facts = Self::default();
        for input in inputs {
            match input {
                Input::Disconnected { conn } | Input::Broken { conn, .. } => {
                    facts.gone.insert(*conn);
                }
                Input::Written { conn, frames } => {
                    *facts.written.entry(*conn).or_default() += frames;
                }
                Input::Connected { .. }
                | Input::Confirmed { .. }
                | Input::Frame { .. }
                | Input::Shutdown => {}
            }
        }
        facts
    }
}

impl State {
    /// After a step that failed: everything is as it was before, but for who is gone; and those
    /// who waited for an answer are told to ask again.
    pub(super) fn recover(
        &mut self,
        work: Work<'_>,
        facts: &Facts,
        error: &StoreError,
    ) -> Vec<Effect> {
        for (conn, mut session) in work.before {
            let written = facts.written.get(&conn).copied().unwrap_or(0);
            session.queued = session.queued.saturating_sub(written);
            self.sessions.insert(conn, session);
        }
        let mut effects = Vec::new();
        let refusal = Error::new(
            Code::ServerOverloaded,
            "store",
            format!("the server could not store it: {error}; try again later"),
        );
        for (conn, asked) in work.asked {
            if facts.gone.contains(&conn) || !self.sessions.contains_key(&conn) {
                continue;
            }
            match asked {
                Asked::Commands(number) => {
                    let stopped = self.stop_line(conn, number);
                    if let Some(session) = self.sessions.get_mut(&conn) {
                        session.queued += 1;
                    }
                    let frame = ToDevice::Retry(Retry {
                        number: stopped,
                        after_ms: u32::try_from(FAILED_WAIT_MS).unwrap_or(u32::MAX),
                        error: refusal.clone(),
                    });
                    effects.push(Effect::Send {
                        conn,
                        frame: Box::new(frame),
                    });
                }
                Asked::Hello => {
                    let error = refusal.clone();
                    effects.push(Effect::Send {
                        conn,
                        frame: Box::new(ToDevice::Refused(Refused { error })),
                    });
                    self.sessions.remove(&conn);
                    effects.push(Effect::Close {
                        conn,
                        goodbye: None,
                    });
                }
                Asked::Other => {
                    self.sessions.remove(&conn);
                    effects.push(Effect::Close {
                        conn,
                        goodbye: Some(Goodbye {
                            reason: ClosingReason::ShuttingDown,
                            message: refusal.message.clone(),
                        }),
                    });
                }
            }
        }
        for conn in &facts.gone {
            self.sessions.remove(conn);
        }
        self.rebuild(work.now);
        effects
    }

    /// Derives all that can be derived from the sessions.
    fn rebuild(&mut self, now: Millis) {
        let before = std::mem::take(&mut self.users);
        self.opening.clear();
        self.catching_up.clear();
        self.settling.clear();
        let conns: Vec<ConnId> = self.sessions.keys().copied().collect();
        for conn in conns {
            self.arm_session(conn, now);
            let Some(device) = self.sessions.get(&conn).and_then(|s| s.device.as_ref()) else {
                continue;
            };
            self.settling.insert(conn);
            let user = self.users.entry(device.row.user.clone());
            user.or_insert_with(|| User {
                devices: BTreeMap::new(),
                left_at: 0,
                commands: Bucket::full(COMMANDS_BURST, now),
            })
            .devices
            .insert(device.row.device.clone(), conn);
            self.resume_reading(conn);
        }
        for user in before.into_keys() {
            if !self.users.contains_key(&user) {
                self.mark_absent(user, now);
            }
        }
        let back: Vec<UserId> = self.users.keys().cloned().collect();
        for user in back {
            self.mark_present(&user);
        }
        self.count_absence_anew(now);
        self.absent_unknown = true;
        // What the step had found to be next was so after what it had done.
        self.next_due = Some(now);
    }

    /// Everybody is dropped without a word.
    pub(super) fn halt(&mut self, error: StoreError) -> Vec<Effect> {
        let mut effects: Vec<Effect> = std::mem::take(&mut self.sessions)
            .into_keys()
            .map(|conn| Effect::Close {
                conn,
                goodbye: None,
            })
            .collect();
        effects.push(Effect::Halt(error));
        effects
    }
}
