//! One device of a [`Town`](super::town::Town): the client's core on a disk, and all that it ever
//! promised.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use offhook::call::{CallId, Command, DeviceId, Op, UserId};
use offhook::client::clock::Now;
use offhook::client::core::{Core, CoreSettings, Effect, Submission};
use offhook::client::event::{Event, EventKind};
use offhook::client::store::Store;
use offhook::client::transport::{LinkCommand, LinkEvent};
use offhook::protocol::{Cursor, ToServer};
use offhook::server::core::ConnId;

use super::disk::Disk;
use super::look::Look;

/// The name of the database on a device's disk.
pub const FILE: &str = "user.db";
/// A multiple of every ceiling of the pauses between attempts: there are no pauses.
const NO_PAUSE: u64 = 240_000;

/// What a device has said, to its app and to the server, that its file has to bear out.
#[derive(Default)]
pub struct Said {
    /// Position, name and fields.
    told: Vec<(i64, String, String)>,
    frames: Vec<ToServer>,
    /// Commands that were given, and those that were taken.
    given: BTreeSet<String>,
    taken: BTreeSet<String>,
    acknowledged: i64,
    seen: bool,
}

pub struct Device {
    user: &'static str,
    pub disk: Disk,
    core: Option<Core>,
    /// Whether there is a network.
    pub online: bool,
    pub attempt: u64,
    pub conn: Option<ConnId>,
    /// What the network has for the device.
    pub inbox: VecDeque<LinkEvent>,
    /// What the device has for the network.
    pub outbox: VecDeque<LinkCommand>,
    said: Said,
    entropy: u64,
    /// How often the power went.
    pub crashes: usize,
    /// Whether its disk fails without the power going.
    pub may_fail: bool,
}

impl Device {
    /// Not opened.
    pub fn new(user: &'static str, disk: Disk) -> Self {
        Self {
            user,
            disk,
            core: None,
            online: true,
            attempt: 0,
            conn: None,
            inbox: VecDeque::new(),
            outbox: VecDeque::new(),
            said: Said::default(),
            entropy: 0,
            crashes: 0,
            may_fail: false,
        }
    }

    fn store(&self) -> Result<Store, offhook::Error> {
        let (user, device) = (UserId::trusted(self.user), format!("{}-1", self.user));
        let path = self.disk.path(FILE);
        Store::open_on(&self.disk.files(), &path, &user, &DeviceId::trusted(device))
    }

    /// Opens the file and begins to connect. If the power goes meanwhile, it comes back and the
    /// device begins again.
    pub fn open(&mut self, now: Now) {
        self.core = None;
        self.inbox.clear();
        self.outbox.clear();
        self.attempt = 0;
        loop {
            self.entropy += 1_000_000;
            let mut count = self.entropy;
            let entropy = move || {
                count += 1;
                count * NO_PAUSE
            };
            let settings = CoreSettings {
                token: None,
                provides_tokens: false,
                build: String::new(),
                wait_s: 30,
                boot: "one".into(),
            };
            let opened = self
                .store()
                .and_then(|store| Core::new(now, store, settings, Box::new(entropy)));
            match opened {
                Ok(core) => {
                    self.core = Some(core);
                    break;
                }
                Err(error) => assert!(self.disk.is_down(), "{error}"),
            }
            self.power_on();
        }
        if !self.online {
            self.act(|core| core.set_network(now, false));
        }
        self.act(|core| core.start(now));
    }

    /// The power went; it comes back. What the device had said is held against its file.
    pub fn recover(&mut self, now: Now) {
        self.core = None;
        self.power_on();
        self.open(now);
    }

    fn power_on(&mut self) {
        self.crashes += 1;
        self.disk.power_on();
        self.check_file();
    }

    /// Kills the app.
    pub fn die(&mut self) {
        self.disk.process_died();
        self.core = None;
    }

    pub fn is_open(&self) -> bool {
        self.core.is_some()
    }

    /// Does something with the core and takes what comes of it.
    pub fn act<T>(&mut self, act: impl FnOnce(&mut Core) -> T) -> T {
        let core = self.core.as_mut().unwrap();
        let done = act(core);
        let is_down = self.disk.is_down();
        while let Some(effect) = core.poll_effect() {
            match effect {
                Effect::Link(LinkCommand::Send { attempt, frame }) => {
                    self.said.frames.push(frame.clone());
                    self.outbox.push_back(LinkCommand::Send { attempt, frame });
                }
                Effect::Link(command) => self.outbox.push_back(command),
                Effect::Settled { position, settled } => {
                    self.said.tell(position, EventKind::CommandSettled(settled));
                }
                Effect::Event {
                    position: Some(position),
                    event,
                } => self.said.tell(position, event),
                Effect::Event { position: None, .. }
                | Effect::TokenRenewed(_)
                | Effect::TokenWanted { .. }
                | Effect::TokenNotWanted { .. }
                | Effect::LoggedOut => {}
            }
        }
        if is_down {
            // Nobody hears it any more.
            self.outbox.clear();
        }
        done
    }

    /// Goes on from a file of which everything was said.
    pub fn remember(&mut self, online: bool) {
        self.online = online;
        let look = self.look();
        let ops: BTreeSet<String> = look.commands().into_keys().collect();
        let told = look.journal().into_iter();
        self.said = Said {
            told: told
                .map(|(at, (name, params))| (at, name, params))
                .collect(),
            given: ops.clone(),
            taken: ops,
            acknowledged: look.number("SELECT max(position) FROM journal_readers"),
            ..Said::default()
        };
    }

    /// Its file is to be another one.
    pub fn forget_what_was_said(&mut self) {
        self.said = Said::default();
    }

    /// When the core wants to be woken.
    pub fn wakeup(&self, now: Now) -> Option<i64> {
        self.core.as_ref().and_then(|core| core.poll_timeout(now))
    }

    pub fn wake(&mut self, now: Now) {
        // What fails here fails because the power went, or is tried again.
        let _ = self.act(|core| core.handle_timeout(now));
    }

    /// What its shell has it do again and again.
    pub fn look_at_file(&mut self, now: Now) {
        // The same.
        let _ = self.act(|core| core.look(now));
    }

    pub fn hear(&mut self, now: Now, event: LinkEvent) {
        let heard = self.act(|core| core.handle_link(now, event));
        if let Err(error) = heard {
            assert!(self.may_fail || self.disk.is_down(), "{error}");
        }
    }

    // What its user does. Each gives whether it is done, or the power went instead. ---------------

    pub fn submit(&mut self, now: Now, op: &str, call: &str, command: Command) -> bool {
        // Given before, it may be in the file although nobody said so.
        if !self.said.given.insert(op.to_owned()) && self.look().commands().contains_key(op) {
            return true;
        }
        match self.try_submit(now, op, call, command) {
            Ok(()) => true,
            Err(error) => {
                assert!(self.disk.is_down(), "{op}: {error}");
                false
            }
        }
    }

    pub fn try_submit(
        &mut self,
        now: Now,
        op: &str,
        call: &str,
        command: Command,
    ) -> Result<(), offhook::Error> {
        self.said.given.insert(op.to_owned());
        let given = Submission {
            op: Some(Op::trusted(op)),
            call_id: Some(CallId::trusted(call)),
            command,
            wait_s: None,
        };
        self.act(|core| core.submit(now, given))?;
        self.said.taken.insert(op.to_owned());
        Ok(())
    }

    /// The fields of all events of that name that were told.
    pub fn heard(&self, name: &str) -> Vec<String> {
        let told = self.said.told.iter().filter(|told| told.1 == name);
        told.map(|told| told.2.clone()).collect()
    }

    /// All that was told so far.
    pub fn acknowledge(&mut self, now: Now) -> bool {
        let position = self.said.told.last().map_or(0, |told| told.0);
        let done = self.act(|core| core.acknowledge(now, "app", position.cast_unsigned()));
        if done.is_ok() {
            self.said.acknowledged = position;
        }
        done.is_ok()
    }

    /// All missed calls.
    pub fn mark_seen(&mut self, now: Now) -> bool {
        let done = self.act(|core| core.mark_seen(now, None)).is_ok();
        self.said.seen |= done;
        done
    }

    /// Another call was missed since.
    pub fn has_unseen(&mut self) {
        self.said.seen = false;
    }

    pub fn checkpoint(&mut self, now: Now) -> bool {
        self.act(|core| core.checkpoint(now)).is_ok()
    }

    // What its file says. ------------------------------------------------------------------------

    pub fn look(&self) -> Look {
        Look::at(&self.disk, FILE)
    }

    /// Holds the file against what was said.
    pub fn check_file(&self) {
        let look = self.look();
        assert!(look.is_sound(), "the file is damaged");
        if !look.has_table("commands") {
            assert_eq!(look.number("PRAGMA user_version"), 0, "half made");
            assert_eq!(look.number("SELECT count(*) FROM sqlite_schema"), 0);
            assert!(self.said.taken.is_empty() && self.said.told.is_empty());
            return;
        }
        let commands = look.commands();
        for op in &self.said.taken {
            assert!(commands.contains_key(op), "{op} was taken and is lost");
        }
        for op in commands.keys() {
            assert!(self.said.given.contains(op), "nobody gave {op}");
        }
        let journal = look.journal();
        for (position, name, params) in &self.said.told {
            assert_eq!(
                journal.get(position),
                Some(&(name.clone(), params.clone())),
                "told at {position}"
            );
        }
        let acknowledged = look.number("SELECT max(position) FROM journal_readers");
        assert!(acknowledged >= self.said.acknowledged);
        if self.said.seen {
            let unseen =
                "SELECT count(*) FROM calls WHERE missed = 1 AND seen = 0 AND seen_here = 0";
            assert_eq!(look.number(unseen), 0, "seen and forgotten");
        }
        let promised = Promised {
            unsettled: commands
                .values()
                .filter(|(_, verdict)| verdict.is_none())
                .filter_map(|(number, _)| *number)
                .min(),
            rings: look.rings(),
            seen: look.seen(),
            epoch: look.number("SELECT epoch FROM feed"),
            cursor: look.number("SELECT cursor FROM feed"),
            next: look.next_number(),
            commands,
        };
        for frame in &self.said.frames {
            assert!(promised.bears_out(frame), "{frame:?}");
        }
    }
}

/// What a file has of all that a device may tell a server.
struct Promised {
    commands: BTreeMap<String, (Option<i64>, Option<String>)>,
    unsettled: Option<i64>,
    rings: BTreeSet<(String, i64)>,
    seen: BTreeSet<String>,
    epoch: i64,
    cursor: i64,
    next: i64,
}

impl Promised {
    fn bears_out(&self, frame: &ToServer) -> bool {
        let settled_below = |number: u64| {
            self.unsettled
                .is_none_or(|unsettled| unsettled >= number.cast_signed())
        };
        let has_cursor = |cursor: Cursor| {
            self.epoch != cursor.epoch.cast_signed() || self.cursor >= cursor.seq.cast_signed()
        };
        match frame {
            ToServer::Hello(hello) => {
                settled_below(hello.first_unsettled)
                    && has_cursor(hello.cursor)
                    && self.next >= hello.next_number.cast_signed()
            }
            ToServer::Command(command) => {
                let there = self.commands.get(command.op.as_str());
                there.is_some_and(|(number, _)| *number == Some(command.number.cast_signed()))
            }
            ToServer::Receipt(receipt) => {
                let ring = (receipt.call.to_string(), i64::from(receipt.invitation));
                self.rings.contains(&ring)
            }
            ToServer::Settled(settled) => {
                settled_below(settled.number + 1) && has_cursor(settled.cursor)
            }
            ToServer::Seen(seen) => {
                let mut calls = seen.calls.iter();
                calls.all(|call| self.seen.contains(call.as_str()))
            }
            ToServer::Ping(_) | ToServer::Renew(_) | ToServer::Logout => true,
        }
    }
}

impl Said {
    fn tell(&mut self, position: u64, kind: EventKind) {
        let event = Event {
            position: Some(position),
            kind,
        };
        let position = position.cast_signed();
        if let Some((last, name, _)) = self.told.last() {
            assert!(position > *last, "{position} after {last} ({name})");
        }
        let (name, params) = (event.name().to_owned(), event.params().to_string());
        self.told.push((position, name, params));
    }
}
