//! The server's side of a story: it keeps calls by the rules, decides commands, and says what a
//! server says. What of it reaches the device, and when, is up to the test.

use std::collections::BTreeMap;

use super::{BEGIN, call_id, invite, user};
use crate::call::{
    Actor, Call, CallId, Command, DeviceId, Facts, Mode, Op, Rules, UserId, apply, passing,
};
use crate::error::Error;
use crate::protocol::{
    CommandFrame, Cursor, Feed, Lane, Limits, Ping, Pong, Preview, Verdict, Welcome,
};

pub struct Server {
    pub now: i64,
    pub epoch: u64,
    pub cursor_valid: bool,
    /// The last number that was decided.
    pub last_number: u64,
    pub welcomes: u32,
    pub heartbeat_s: u32,
    seq: u64,
    ops: u32,
    calls: BTreeMap<CallId, Call>,
}

impl Server {
    pub fn new() -> Self {
        Self {
            now: BEGIN,
            epoch: 7,
            cursor_valid: true,
            last_number: 0,
            welcomes: 0,
            heartbeat_s: 10,
            seq: 0,
            ops: 0,
            calls: BTreeMap::new(),
        }
    }

    pub fn welcome(&mut self, hello_sent_at: i64) -> Welcome {
        self.welcomes += 1;
        Welcome {
            version: 1,
            server_time: self.now,
            hello_sent_at,
            epoch: self.epoch,
            cursor_valid: self.cursor_valid,
            last_number: self.last_number,
            welcome_token: format!("welcome {}", self.welcomes),
            limits: self.limits(),
        }
    }

    fn limits(&self) -> Limits {
        Limits {
            heartbeat_s: self.heartbeat_s,
            offline_after_s: 35,
            extended_data_bytes_max: 2048,
        }
    }

    /// What is said ahead of the welcome.
    pub fn preview(&self, verdicts: Vec<Verdict>, calls: Vec<Call>) -> Preview {
        Preview {
            server_time: self.now,
            epoch: self.epoch,
            limits: self.limits(),
            verdicts,
            calls,
        }
    }

    pub fn pong(&self, ping: Ping) -> Pong {
        Pong {
            ping_sent_at: ping.sent_at,
            received_at: self.now,
            sent_at: self.now,
        }
    }

    /// Starts again: counts its feeds in another epoch.
    pub fn restart(&mut self) {
        self.epoch += 1;
    }

    /// Starts again on data that is older than the device.
    pub fn restore(&mut self) {
        self.restart();
        self.cursor_valid = false;
    }

    /// The call never was.
    pub fn lose(&mut self, call: &str) {
        self.calls.remove(&call_id(call));
    }

    /// The record as it was at another time.
    pub fn put_back(&mut self, call: Call) {
        self.calls.insert(call.id.clone(), call);
    }

    pub fn whole_record(&self, call: &str) -> Call {
        self.calls[&call_id(call)].clone()
    }

    /// The record as bob may see it.
    pub fn record(&self, call: &str) -> Call {
        self.calls[&call_id(call)].seen_by(&user("bob"))
    }

    fn feed(&mut self, lane: Lane, calls: &[Call], last: bool) -> Feed {
        self.seq += calls.len() as u64;
        let cursor = Cursor {
            epoch: self.epoch,
            seq: self.seq,
        };
        Feed {
            lane,
            cursor: (lane != Lane::Open).then_some(cursor),
            settled: self.last_number,
            last,
            calls: calls.to_vec(),
        }
    }

    pub fn open(&mut self, calls: &[Call], last: bool) -> Feed {
        self.feed(Lane::Open, calls, last)
    }

    pub fn history(&mut self, calls: &[Call], last: bool) -> Feed {
        self.feed(Lane::History, calls, last)
    }

    pub fn live(&mut self, calls: &[Call]) -> Feed {
        self.feed(Lane::Live, calls, false)
    }

    // What others do -----------------------------------------------------------------------------

    pub fn invite(&mut self, who: &str, call: &str, invitees: &[&str], mode: Mode) {
        self.act(who, "a1", call, invite(invitees, mode));
    }

    /// Somebody does something with a device; it must be allowed.
    pub fn act(&mut self, who: &str, device: &str, call: &str, command: Command) {
        self.ops += 1;
        let op = Op::trusted(format!("theirs {}", self.ops));
        self.try_act(
            &user(who),
            &DeviceId::trusted(device),
            &op,
            &call_id(call),
            &command,
        )
        .unwrap();
    }

    fn try_act(
        &mut self,
        who: &UserId,
        device: &DeviceId,
        op: &Op,
        call: &CallId,
        command: &Command,
    ) -> Result<crate::call::Outcome, Error> {
        let actor = Actor {
            user: who.clone(),
            device: device.clone(),
            op: op.clone(),
            call: call.clone(),
        };
        let change = apply(
            self.calls.get(call),
            &actor,
            command,
            &Facts::default(),
            &Rules::default(),
            self.now,
        )?;
        self.calls.insert(call.clone(), change.call);
        Ok(change.outcome)
    }

    /// A device of the user has the invitation on disk.
    pub fn receive(&mut self, call: &str, who: &str, invitation: u32) {
        let id = call_id(call);
        let after = passing::receive(&self.calls[&id], &user(who), invitation, self.now).unwrap();
        self.calls.insert(id, after);
    }

    /// What is due in the call by now.
    pub fn pass_time(&mut self, call: &str) {
        let id = call_id(call);
        let after = passing::pass_time(&self.calls[&id], self.now, &|_| true).unwrap();
        self.calls.insert(id, after);
    }

    /// The user has seen that they missed the call.
    pub fn see(&mut self, call: &str) {
        let id = call_id(call);
        let after = passing::see(&self.calls[&id], &user("bob")).unwrap();
        self.calls.insert(id, after);
    }

    /// Decides a command of the device.
    pub fn decide(&mut self, frame: &CommandFrame) -> Verdict {
        assert_eq!(frame.number, self.last_number + 1, "{frame:?} leaves a gap");
        self.last_number = frame.number;
        let device = DeviceId::trusted("b1");
        let me = user("bob");
        let result = self.try_act(&me, &device, &frame.op, &frame.call, &frame.command);
        let call = self.calls.get(&frame.call);
        Verdict {
            number: frame.number,
            op: frame.op.clone(),
            result,
            call: call
                .filter(|call| call.member(&me).is_some())
                .map(|call| call.seen_by(&me)),
        }
    }
}
