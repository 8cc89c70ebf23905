//! A call and the devices that listen to it, each with its own record and what it shows.

use std::collections::{BTreeMap, BTreeSet};

use offhook::call::passing::{self, Doer};
use offhook::call::{Call, CallEvent, CallUser, Command, Mode, Shown, UserState, Viewer, hear};

use crate::world::{World, accept, device, owner, user};

/// What a device holds.
#[derive(Clone, Default)]
pub struct Phone {
    pub record: Option<Call>,
    pub shown: Shown,
}

/// A world and its devices.
#[derive(Clone)]
pub struct Scene {
    pub world: World,
    pub phones: BTreeMap<String, Phone>,
    offline: BTreeSet<String>,
}

/// An event in a few words.
pub fn short(event: &CallEvent) -> String {
    match event {
        CallEvent::Created { call_user_list, .. } => format!("created {}", list(call_user_list)),
        CallEvent::Received { inviter, over, .. } => {
            assert!(!over, "live events are never over");
            format!("received from {inviter}")
        }
        CallEvent::Cancelled {
            inviter,
            extended_data,
            ..
        } => format!("cancelled, invited by {inviter}: {extended_data}"),
        CallEvent::Timeout { local, .. } => {
            assert!(!local, "this is the server's word");
            "timeout".to_owned()
        }
        CallEvent::Ended {
            operated_user_id,
            extended_data,
            ..
        } => format!("ended by {operated_user_id}: {extended_data}"),
        CallEvent::UserStateChanged { call_user_list, .. } => {
            format!("changed {}", list(call_user_list))
        }
        CallEvent::HandledElsewhere {
            state, device_id, ..
        } => format!("elsewhere {state} {device_id}"),
        CallEvent::PrimaryDeviceChanged { device_id, .. } => format!("moved to {device_id}"),
    }
}

fn list(users: &[CallUser]) -> String {
    let words: Vec<String> = users
        .iter()
        .map(|user| format!("{}={}", user.user_id, user.state))
        .collect();
    words.join(" ")
}

/// Whether that event closes a ring of its user's. A Cancelled that names the user as inviter is
/// about invitations which that user took back.
pub fn closes_ring(event: &CallEvent, who: &str) -> bool {
    match event {
        CallEvent::Cancelled { inviter, .. } => inviter != &user(who),
        CallEvent::Timeout { .. }
        | CallEvent::Ended { .. }
        | CallEvent::HandledElsewhere { .. } => true,
        CallEvent::Created { .. }
        | CallEvent::Received { .. }
        | CallEvent::UserStateChanged { .. }
        | CallEvent::PrimaryDeviceChanged { .. } => false,
    }
}

impl Scene {
    /// Two devices each for those named and for `zoe`, who is nobody here; `ann1` calls the rest.
    pub fn ringing(mode: Mode, invitees: &[&str]) -> Self {
        let mut scene = Self::of(World::ringing(mode, invitees), invitees);
        scene.hear_all(true);
        scene
    }

    /// All accepted, each on their first device, and everybody has heard of it.
    pub fn talking(members: &[&str]) -> Self {
        let mut scene = Self::ringing(Mode::Advanced, members);
        for name in members {
            scene.act(&format!("{name}1"), accept());
        }
        scene
    }

    pub fn of(world: World, others: &[&str]) -> Self {
        let mut scene = Self {
            world,
            phones: BTreeMap::new(),
            offline: BTreeSet::new(),
        };
        scene.add("ann");
        scene.add("zoe");
        for name in others {
            scene.add(name);
        }
        scene
    }

    pub fn add(&mut self, name: &str) {
        for number in 1..=2 {
            self.phones
                .insert(format!("{name}{number}"), Phone::default());
        }
    }

    pub fn hear_one(&mut self, name: &str, live: bool) -> Vec<CallEvent> {
        let who = owner(name);
        let Some(call) = &self.world.call else {
            return Vec::new();
        };
        if call.member(&who).is_none() {
            return Vec::new();
        }
        let after = call.seen_by(&who);
        let with = device(name);
        let phone = self.phones.entry(name.to_owned()).or_default();
        let viewer = Viewer {
            user: &who,
            device: &with,
            shown: &phone.shown,
            live,
            entered: false,
            now: self.world.now,
        };
        let heard = hear(phone.record.as_ref(), &after, &viewer);
        phone.shown = heard.shown;
        phone.record = Some(after);
        heard.events
    }

    /// What every connected device hears of where things stand, in few words; silent ones left
    /// out.
    pub fn hear_all(&mut self, live: bool) -> Vec<(String, Vec<String>)> {
        let names: Vec<String> = self
            .phones
            .keys()
            .filter(|name| !self.offline.contains(*name))
            .cloned()
            .collect();
        names
            .into_iter()
            .map(|name| {
                let words = self.hear_one(&name, live).iter().map(short).collect();
                (name, words)
            })
            .filter(|(_, words): &(_, Vec<String>)| !words.is_empty())
            .collect()
    }

    pub fn act(&mut self, acting: &str, command: Command) -> Vec<(String, Vec<String>)> {
        self.world.must(acting, command);
        self.hear_all(true)
    }

    pub fn receipt(&mut self, name: &str) -> Vec<(String, Vec<String>)> {
        assert!(self.world.receipt(name), "nothing to receive for {name}");
        self.hear_all(true)
    }

    pub fn after(&mut self, ms: i64) -> Vec<(String, Vec<String>)> {
        self.world.after(ms);
        assert!(self.world.tick(), "nothing was due");
        self.hear_all(true)
    }

    /// The creator is gone: with a device, logged out there; without, unheard of.
    pub fn creator_gone(&mut self, with: Option<&str>) -> Vec<(String, Vec<String>)> {
        let who = user("ann");
        let with = with.map(device);
        let doer = match &with {
            Some(device) => Doer::User {
                user: &who,
                device: Some(device),
            },
            None => Doer::Server,
        };
        let changed = passing::creator_gone(self.world.call(), &doer, self.world.now);
        assert!(self.world.becomes(changed));
        self.hear_all(true)
    }

    pub fn abandoned(&mut self) -> Vec<(String, Vec<String>)> {
        let changed = passing::abandon(self.world.call(), self.world.now);
        assert!(self.world.becomes(changed));
        self.hear_all(true)
    }

    pub fn disconnect(&mut self, names: &[&str]) {
        self.offline
            .extend(names.iter().map(|name| (*name).to_owned()));
    }

    /// What a device hears that comes back.
    pub fn connect(&mut self, name: &str) -> Vec<String> {
        self.offline.remove(name);
        self.hear_one(name, false).iter().map(short).collect()
    }

    pub fn state(&self, name: &str) -> UserState {
        self.world.state(name)
    }
}

/// These devices heard this, in this order; nobody else anything.
#[track_caller]
pub fn heard(found: &[(String, Vec<String>)], expected: &[(&str, &[&str])]) {
    let found: Vec<(&str, Vec<&str>)> = found
        .iter()
        .map(|(name, words)| (name.as_str(), words.iter().map(String::as_str).collect()))
        .collect();
    let mut expected: Vec<(&str, Vec<&str>)> = expected
        .iter()
        .map(|(name, words)| (*name, words.to_vec()))
        .collect();
    expected.sort();
    assert_eq!(found, expected);
}
