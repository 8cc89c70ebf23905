//! Plays a scenario in a world of its own, with the server killed after one of its steps.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use offhook::call::{Call, EndKind};
use offhook::{CallId, UserState};

use crate::actor::{Actor, Give, Item};
use crate::check;
use crate::support::World;

/// How many worlds of a scenario exist at a time.
const WORLDS_AT_A_TIME: usize = 3;

/// A step, which is also a moment at which the server is killed.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    /// The device gives a command. It is on its disk then, and perhaps on its way.
    Gives(&'static str, Give),
    /// The command that the device gave last is acknowledged: the server took it.
    Settles(&'static str),
    /// The device hears something.
    Hears(&'static str, Item),
}

/// A story of one call.
#[derive(Debug)]
pub struct Scenario<'a> {
    /// The devices, which are connected before it begins; the first is the creator's.
    pub devices: &'static [&'static str],
    pub steps: &'a [Step],
    /// What each device hears apart from members' states, all of it, in its order. Who is not
    /// named hears nothing of that kind. What is heard live only stands in `check`.
    pub told: &'static [(&'static str, &'static [Item])],
    pub ending: EndKind,
    /// How the members stand in the end, the creator first.
    pub members: &'static [(&'static str, UserState)],
}

/// A world with the devices of a scenario.
pub struct Stage {
    pub world: World,
    pub actors: Vec<Actor>,
    pub call: Option<CallId>,
}

impl Stage {
    pub async fn new(devices: &[&'static str]) -> Self {
        let world = World::new();
        let mut actors = Vec::new();
        for name in devices {
            actors.push(Actor::enter(&world, name).await);
        }
        Self {
            world,
            actors,
            call: None,
        }
    }

    pub fn actor(&mut self, name: &str) -> &mut Actor {
        let actor = self.actors.iter_mut().find(|actor| actor.name == name);
        actor.expect("a device of the scenario")
    }

    pub async fn does(&mut self, step: Step) {
        match step {
            Step::Gives(name, give) => {
                let call = self.call.clone();
                let call = self.actor(name).gives(give, call.as_ref()).await;
                self.call = Some(call);
            }
            Step::Settles(name) => {
                let verdict = self.actor(name).verdict().await;
                verdict.unwrap_or_else(|error| panic!("{name} is refused: {error}"));
            }
            Step::Hears(name, item) => self.actor(name).hears(item).await,
        }
    }

    /// The server is back, and all devices connect anew.
    pub async fn comes_back(&mut self) {
        self.world.start();
        for actor in &self.actors {
            actor.reconnects().await;
        }
    }
}

/// Plays the scenario as often as it has steps, and each time kills the server after another one;
/// and once without, which says what the record is in the end.
pub fn with_a_kill_after_every_step(scenario: &Scenario<'_>) {
    let undisturbed = block_on(play(scenario, None));
    let next = AtomicUsize::new(0);
    let failed = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..WORLDS_AT_A_TIME {
            scope.spawn(|| {
                loop {
                    let kill_after = next.fetch_add(1, Ordering::Relaxed);
                    let Some(step) = scenario.steps.get(kill_after) else {
                        return;
                    };
                    let played = catch_unwind(AssertUnwindSafe(|| {
                        let record = block_on(play(scenario, Some(kill_after)));
                        assert_eq!(record, undisturbed, "another record than undisturbed");
                    }));
                    if played.is_err() {
                        failed.lock().unwrap().push((kill_after, step));
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "a kill after these is felt: {failed:#?}");
}

/// Gives the record of the call in the end, without what differs from world to world.
async fn play(scenario: &Scenario<'_>, kill_after: Option<usize>) -> Call {
    let mut stage = Stage::new(scenario.devices).await;
    for (index, step) in scenario.steps.iter().enumerate() {
        stage.does(*step).await;
        if kill_after == Some(index) {
            stage.world.kill();
            stage.comes_back().await;
        }
    }
    check::end(&mut stage, scenario).await
}

pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime")
        .block_on(future)
}
