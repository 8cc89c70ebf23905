//! How everything stands at the end of a scene.

use super::*;

impl Scene {
    /// The run, as far as it has come, with every device caught up.
    pub fn record(&self) -> Record {
        let mut log = self.log.clone();
        log.push(Entry {
            at: self.time,
            what: What::StormEnds,
        });
        let handsets = (0..self.users.len()).map(|handset| self.last(handset));
        Record {
            users: self.users.clone(),
            weakened: Weakened::default(),
            log,
            last: Last {
                handsets: handsets.collect(),
                server: LastOfServer {
                    server_ms: self.now(),
                    calls: self.calls.clone(),
                    devices: Vec::new(),
                    verdicts: Vec::new(),
                },
            },
        }
    }

    fn last(&self, handset: usize) -> LastOfHandset {
        let user = &self.users[handset];
        let own = self
            .calls
            .values()
            .filter(|call| call.member(user).is_some());
        let calls: Vec<CallEntry> = own
            .map(|call| CallEntry {
                call: call.seen_by(user),
                inviter: call.caller.clone(),
                missed: call.is_missed_by(user),
                seen: false,
                pending: Vec::new(),
            })
            .collect();
        let rings = calls.iter().filter(|entry| {
            let me = entry.call.member(user);
            me.is_some_and(|me| me.state.is_pending())
        });
        LastOfHandset {
            handset: Handset(handset),
            user: user.clone(),
            device: device(handset),
            run: 1,
            app: self.apps[handset],
            connected: true,
            ringing: rings
                .map(|entry| self.ring(handset, entry.call.id.as_str()))
                .collect(),
            missed: calls.iter().filter(|entry| entry.missed).count() as u64,
            calls,
            pending: Vec::new(),
            journal: self.journals[handset].clone(),
            acknowledged: 0,
        }
    }
}
