//! The log, looked up.

use std::collections::{BTreeMap, BTreeSet};

use offhook::call::{Call, CallId, DeviceId, Millis, Op, UserId};
use offhook::client::event::EventKind;
use offhook::protocol::{CommandFrame, Lane, ToDevice, ToServer};

use crate::observe::{
    Change, Entry, FENCED, Handset, LastOfHandset, OfHandset, OfServer, Record, TrueMs, What,
};

/// Which of the processes that had a handset's file open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    First,
    Second,
}

/// The log with what several checks look up in it.
pub struct Index<'a> {
    pub record: &'a Record,
    /// Commands that reached the server: by device and number, in the order in which they came.
    commands: BTreeMap<(DeviceId, u64), Vec<(usize, &'a CommandFrame)>>,
    /// Whose a device id was: a copy goes by the name of what it was copied from.
    names: BTreeMap<DeviceId, BTreeSet<Handset>>,
    /// When the storm was over.
    pub calm: Option<usize>,
}

impl<'a> Index<'a> {
    pub fn new(record: &'a Record) -> Self {
        let mut index = Self {
            record,
            commands: BTreeMap::new(),
            names: BTreeMap::new(),
            calm: None,
        };
        let mut devices: BTreeMap<u64, DeviceId> = BTreeMap::new();
        for (at, entry) in record.log.iter().enumerate() {
            match &entry.what {
                What::StormEnds => index.calm = Some(at),
                What::Server(OfServer::Got { conn, frame, .. }) => match frame.as_ref() {
                    ToServer::Hello(hello) => {
                        devices.insert(*conn, hello.device.clone());
                    }
                    ToServer::Command(command) => {
                        if let Some(device) = devices.get(conn) {
                            let key = (device.clone(), command.number);
                            let came = index.commands.entry(key).or_default();
                            came.push((at, command.as_ref()));
                        }
                    }
                    _ => {}
                },
                What::Handset(
                    handset,
                    OfHandset::Opened { device, .. } | OfHandset::Renamed { device, .. },
                )
                | What::Second(
                    handset,
                    OfHandset::Opened { device, .. } | OfHandset::Renamed { device, .. },
                ) => {
                    let names = index.names.entry(device.clone()).or_default();
                    names.insert(*handset);
                }
                _ => {}
            }
        }
        index
    }

    pub fn user(&self, handset: Handset) -> &UserId {
        &self.record.users[handset.0]
    }

    pub fn handsets(&self) -> impl Iterator<Item = Handset> + use<> {
        (0..self.record.users.len()).map(Handset)
    }

    /// The command of that number as it had come by then.
    pub fn command(
        &self,
        device: &DeviceId,
        number: u64,
        op: &Op,
        by: usize,
    ) -> Option<&'a CommandFrame> {
        let came = self.commands.get(&(device.clone(), number))?;
        let of_op = came
            .iter()
            .filter(|(at, frame)| *at < by && &frame.op == op);
        of_op.map(|(_, frame)| *frame).next_back()
    }

    /// All commands that ever reached the server, with the device that sent them.
    pub fn commands(&self) -> impl Iterator<Item = (&DeviceId, usize, &'a CommandFrame)> {
        self.commands.iter().flat_map(|((device, _), came)| {
            came.iter().map(move |(at, frame)| (device, *at, *frame))
        })
    }

    /// Handsets whose file went by that name.
    pub fn handsets_of(&self, device: &DeviceId) -> impl Iterator<Item = Handset> {
        self.names.get(device).into_iter().flatten().copied()
    }

    /// What happened to a handset, in order, by whichever process: what either takes in is in the
    /// one file that they have.
    pub fn of(&self, handset: Handset) -> impl Iterator<Item = (usize, TrueMs, &'a OfHandset)> {
        let all = self.by(handset);
        all.map(|(at, time, _, what)| (at, time, what))
    }

    /// The same of one process.
    pub fn of_one(
        &self,
        handset: Handset,
        by: By,
    ) -> impl Iterator<Item = (usize, TrueMs, &'a OfHandset)> {
        let all = self.by(handset).filter(move |(_, _, one, _)| *one == by);
        all.map(|(at, time, _, what)| (at, time, what))
    }

    /// The same with which process it was. What came to one that was fenced had no effect, and is
    /// not among it.
    pub fn by(&self, handset: Handset) -> impl Iterator<Item = (usize, TrueMs, By, &'a OfHandset)> {
        let entries = self.record.log.iter().enumerate();
        entries.filter_map(move |(at, Entry { at: time, what })| {
            let (of, by, what) = by_whom(what)?;
            (of == handset && !is_fenced(what)).then_some((at, *time, by, what))
        })
    }

    /// Whether two processes ever had the handset's file open.
    pub fn is_shared(&self, handset: Handset) -> bool {
        self.of_one(handset, By::Second).next().is_some()
    }

    pub fn last(&self, handset: Handset) -> Option<&'a LastOfHandset> {
        let mut all = self.record.last.handsets.iter();
        all.find(|last| last.handset == handset)
    }

    /// Whether the handset's file was ever put back, copied, or lost.
    pub fn is_weakened(&self, handset: Handset) -> bool {
        let weakened = &self.record.weakened;
        weakened.copied.contains(&handset)
            || weakened.rolled_back.contains(&handset)
            || weakened.file_lost.contains(&handset)
    }

    /// How long a call rings, by what the server ever wrote of it.
    pub fn timeout_s(&self, call: &CallId) -> Option<u32> {
        let mut stored = self
            .record
            .log
            .iter()
            .filter_map(|entry| match &entry.what {
                What::Server(OfServer::Stored(stored)) => Some(&stored.changes),
                _ => None,
            });
        stored.find_map(|changes| {
            changes.iter().find_map(|change| match change {
                Change::Call { after, .. } if &after.id == call => Some(after.timeout_s),
                _ => None,
            })
        })
    }

    /// The lives of a handset's file: from where in the log the file is one that was written in
    /// order. The first begins with the log.
    pub fn file_begins(&self, handset: Handset) -> usize {
        self.file_begins_before(handset, usize::MAX)
    }

    /// The same of the file as it was at a place in the log.
    pub fn file_begins_before(&self, handset: Handset, place: usize) -> usize {
        let turned = self.of(handset).filter_map(|(at, _, what)| match what {
            OfHandset::CopiedFrom(_) | OfHandset::RolledBack { .. } => Some(at),
            _ => None,
        });
        let last = turned.take_while(|at| *at < place).last();
        last.map_or(0, |at| at + 1)
    }

    /// What the journal of a handset said, by position, as far as anybody heard it or it is still
    /// there: since the file was last put back.
    pub fn story(&self, handset: Handset) -> BTreeMap<u64, EventKind> {
        let from = self.file_begins(handset);
        let mut story = BTreeMap::new();
        if let Some(last) = self.last(handset) {
            for event in &last.journal {
                if let Some(position) = event.position {
                    story.insert(position, event.kind.clone());
                }
            }
        }
        for (at, _, what) in self.of(handset) {
            if let OfHandset::Heard {
                position: Some(position),
                event,
                ..
            } = what
                && at >= from
            {
                story.entry(*position).or_insert_with(|| event.clone());
            }
        }
        story
    }

    /// The server's time at a moment, by the life of the server that was last begun.
    pub fn server_time(&self, at: TrueMs) -> Option<Millis> {
        let started = self.record.log.iter().rev().find_map(|entry| {
            if entry.at > at {
                return None;
            }
            match entry.what {
                What::Server(OfServer::Started { server_ms }) => Some((entry.at, server_ms)),
                _ => None,
            }
        });
        started.map(|(begun, server_ms)| server_ms + (at - begun))
    }
}

/// Which handset, and which of its processes, something is about.
pub fn by_whom(what: &What) -> Option<(Handset, By, &OfHandset)> {
    match what {
        What::Handset(handset, what) => Some((*handset, By::First, what)),
        What::Second(handset, what) => Some((*handset, By::Second, what)),
        What::StormEnds | What::Network(..) | What::Server(_) | What::LoggedError(_) => None,
    }
}

/// Whether it is a frame that came to a process which had lost its place to another one.
pub fn is_fenced(what: &OfHandset) -> bool {
    match what {
        OfHandset::Got { error, .. } => error.as_ref().is_some_and(|error| error.reason == FENCED),
        _ => false,
    }
}

/// The records that a frame brings.
pub fn records(frame: &ToDevice) -> Vec<&Call> {
    match frame {
        ToDevice::Feed(feed) => feed.calls.iter().collect(),
        ToDevice::Verdict(verdict) => verdict.call.iter().collect(),
        ToDevice::Preview(preview) => {
            let of_verdicts = preview.verdicts.iter().filter_map(|one| one.call.as_ref());
            of_verdicts.chain(&preview.calls).collect()
        }
        ToDevice::Welcome(_)
        | ToDevice::Refused(_)
        | ToDevice::Retry(_)
        | ToDevice::Pong(_)
        | ToDevice::TokenNotice(_)
        | ToDevice::Renewed(_)
        | ToDevice::Goodbye(_)
        | ToDevice::LoggedOut => Vec::new(),
    }
}

/// Whether it ends the first step of catching up.
pub fn ends_open_lane(frame: &ToDevice) -> bool {
    match frame {
        ToDevice::Feed(feed) => feed.lane == Lane::Open && feed.last,
        _ => false,
    }
}

/// Whether it is all that is open at once, ahead of the welcome.
pub fn is_preview(frame: &ToDevice) -> bool {
    matches!(frame, ToDevice::Preview(_))
}

/// The call that an event is about, if it is about one.
pub fn call_of(event: &EventKind) -> Option<&CallId> {
    match event {
        EventKind::Call(event) => Some(event.call_id()),
        EventKind::CommandSettled(settled) => Some(&settled.call_id),
        EventKind::ConnectionStateChanged(_)
        | EventKind::TokenWillExpire { .. }
        | EventKind::DatabaseSetAside(_) => None,
    }
}

/// The records that a device has taken in, one after the other, as its file has them.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// The life of the server that is connected.
    epoch: u64,
    calls: BTreeMap<CallId, (u64, Call)>,
    /// Nothing more can be said of what the file has: the process died while it took something in.
    pub doubted: bool,
}

/// A record that was taken in.
pub struct Taken<'a> {
    pub before: Option<Call>,
    pub after: &'a Call,
}

impl Known {
    /// Takes in what a handset got; gives the records that were news.
    pub fn take<'a>(&mut self, what: &'a OfHandset) -> Vec<Taken<'a>> {
        let OfHandset::Got {
            frame,
            survived,
            error,
            ..
        } = what
        else {
            if let OfHandset::CopiedFrom(_) | OfHandset::RolledBack { .. } = what {
                *self = Self {
                    doubted: true,
                    ..Self::default()
                };
            }
            return Vec::new();
        };
        if !survived || error.is_some() {
            self.doubted = true;
            return Vec::new();
        }
        match frame.as_ref() {
            ToDevice::Welcome(welcome) => self.epoch = welcome.epoch,
            ToDevice::Preview(preview) => self.epoch = preview.epoch,
            _ => {}
        }
        if ends_open_lane(frame) {
            self.doubted = false;
        }
        let mut taken = Vec::new();
        for call in records(frame) {
            let known = self.calls.get(&call.id);
            if known.is_some_and(|(epoch, known)| {
                *epoch == self.epoch && known.revision >= call.revision
            }) {
                continue;
            }
            taken.push(Taken {
                before: known.map(|(_, known)| known.clone()),
                after: call,
            });
            self.calls
                .insert(call.id.clone(), (self.epoch, call.clone()));
        }
        taken
    }

    pub fn calls(&self) -> impl Iterator<Item = &Call> {
        self.calls.values().map(|(_, call)| call)
    }

    pub fn call(&self, id: &CallId) -> Option<&Call> {
        self.calls.get(id).map(|(_, call)| call)
    }

    /// The life of the server that was connected last.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Whether the server that is connected has told of it: one that was restored may know nothing.
    pub fn is_current(&self, id: &CallId) -> bool {
        self.calls
            .get(id)
            .is_some_and(|(epoch, _)| *epoch == self.epoch)
    }
}
