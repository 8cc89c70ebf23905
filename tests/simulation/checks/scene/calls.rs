//! What the server makes of calls in a scene.

use super::*;

impl Scene {
    pub(super) fn new_call(
        &self,
        handset: usize,
        frame: &CommandFrame,
        invitees: &[UserId],
    ) -> Call {
        let mut caller = member(&self.users[handset]);
        caller.state = UserState::Accepted;
        caller.participation = 1;
        caller.accept_time = self.now();
        caller.own = Some(Own {
            primary_device: Some(device(handset)),
            primary_op: Some(frame.op.clone()),
            primary_revision: 1,
            ..Own::default()
        });
        let mut members = vec![caller];
        for user in invitees {
            let mut invitee = member(user);
            invitee.inviter = Some(self.users[handset].clone());
            invitee.invitation = 1;
            invitee.deadline = self.now() + Millis::from(RING_S) * 1_000;
            members.push(invitee);
        }
        Call {
            id: frame.call.clone(),
            revision: 1,
            mode: Mode::Advanced,
            caller: self.users[handset].clone(),
            create_time: self.now(),
            timeout_s: RING_S,
            extended_data: String::new(),
            not_received_check: false,
            state: CallState::Started,
            ending: None,
            members,
        }
    }

    /// Time passes until all who were asked have not answered.
    pub fn runs_out(&mut self, call: &str) {
        let before = self.calls[&call_id(call)].clone();
        self.time = before.members[1].deadline - BEGIN_MS;
        let mut after = before.clone();
        after.revision += 1;
        for member in after.members.iter_mut().skip(1) {
            member.state = UserState::Timeout;
            member.state_revision = after.revision;
            member.own = Some(Own {
                closings: vec![Closing {
                    invitation: 1,
                    state: UserState::Timeout,
                    device: None,
                }],
                ..Own::default()
            });
        }
        self.changes(before, after);
    }

    /// Who did not answer is asked again.
    pub fn asks_again(&mut self, call: &str) {
        let before = self.calls[&call_id(call)].clone();
        let mut after = before.clone();
        after.revision += 1;
        let deadline = self.now() + Millis::from(RING_S) * 1_000;
        for member in after.members.iter_mut().skip(1) {
            member.state = UserState::Inviting;
            member.state_revision = after.revision;
            member.invitation += 1;
            member.deadline = deadline;
        }
        self.changes(before, after);
    }

    /// Ends a call, by nobody's command.
    pub fn ends(&mut self, call: &str) {
        let before = self.calls[&call_id(call)].clone();
        let mut after = before.clone();
        after.revision += 1;
        after.state = CallState::Ended;
        after.ending = Some(Ending {
            kind: EndKind::Ended,
            time: self.now(),
            revision: after.revision,
            by: None,
            device: None,
            data: String::new(),
        });
        self.changes(before, after);
    }

    /// The call goes on with another device of its creator's.
    pub fn moves_to(&mut self, handset: usize, call: &str) {
        let before = self.calls[&call_id(call)].clone();
        let mut after = before.clone();
        after.revision += 1;
        let own = after.members[0].own.as_mut().expect("the creator's own");
        own.primary_device = Some(device(handset));
        own.primary_op = Some(op("moves"));
        own.primary_revision = after.revision;
        self.changes(before, after);
    }

    /// Is not connected any more.
    pub fn goes(&mut self, handset: usize) {
        let conn = handset as u64;
        self.note(What::Server(OfServer::Disconnected { conn }));
    }

    /// Cancels a call as if its creator had gone.
    pub fn loses_its_creator(&mut self, call: &str) {
        let before = self.calls[&call_id(call)].clone();
        let mut after = before.clone();
        after.revision += 1;
        for member in after.members.iter_mut().skip(1) {
            member.state = UserState::Cancelled;
            member.state_revision = after.revision;
            member.own = Some(Own {
                closings: vec![Closing {
                    invitation: 1,
                    state: UserState::Cancelled,
                    device: None,
                }],
                ..Own::default()
            });
        }
        after.state = CallState::Ended;
        after.ending = Some(Ending {
            kind: EndKind::Cancelled,
            time: self.now(),
            revision: after.revision,
            by: None,
            device: None,
            data: String::new(),
        });
        self.changes(before, after);
    }

    /// The last change, as if it had kept the revision of before.
    pub fn with_old_revision(&mut self, call: &str) {
        let changed = self
            .log
            .iter_mut()
            .rev()
            .find_map(|entry| match &mut entry.what {
                What::Server(OfServer::Stored(stored)) => Some(stored),
                _ => None,
            });
        for change in &mut changed.expect("a change").changes {
            if let Change::Call { after, .. } = change
                && after.id == call_id(call)
            {
                after
                    .members
                    .iter_mut()
                    .for_each(|member| member.state_revision = 1);
            }
        }
    }

    fn changes(&mut self, before: Call, after: Call) {
        self.calls.insert(after.id.clone(), after.clone());
        self.stores(vec![Change::Call {
            before: Some(Box::new(before)),
            after: Box::new(after),
        }]);
    }
}

fn member(user: &UserId) -> Member {
    Member {
        user: user.clone(),
        inviter: None,
        invitation: 0,
        invited_at: 0,
        timeout_s: RING_S,
        deadline: 0,
        check_at: 0,
        invite_data: String::new(),
        state: UserState::Inviting,
        state_revision: 1,
        state_time: 0,
        data: String::new(),
        changed_by: None,
        acting_device: None,
        accept_time: 0,
        join_time: 0,
        quit_time: 0,
        participation: 0,
        own: Some(Own::default()),
    }
}
