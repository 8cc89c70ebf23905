//! The power goes at every single write, truncation, sync and deletion of a script, one run each.
//!
//! The script is run once undisturbed, in sections, with all that is on disk kept between them. A
//! crash point's run begins with its section and goes on to that section's end, where what matters
//! of all files has to be as it was; some go on to the end of the script.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::disk::Disk;
use super::script::{self, COMMANDS, STEPS, STEPS_A_CHAPTER};
use super::town::{BOB, State, Town};

/// Steps of a section.
const SECTION: usize = 4;
const SECTIONS: usize = STEPS / SECTION;
/// Of so many crash points, one is followed by all of the rest of the script.
const TO_THE_END: u64 = 200;

/// How a section goes if nothing fails.
struct Section {
    /// What is on disk before it.
    before: Option<State>,
    /// How many operations it takes, of the disk in question.
    operations: u64,
    outcome: Vec<String>,
}

/// Chapters after which the script has shown all that it does: the making of the files, and both ways
/// to end.
const FIRST_CHAPTERS: usize = 2;
/// Of a server's crash points in later chapters, which bring nothing but larger files, one of so many
/// is tried; those of a device are all.
const LATER_ONE_OF: u64 = 4;

/// Whose machine fails.
type Victim = fn(&Town) -> &Disk;

fn bobs(town: &Town) -> &Disk {
    &town.devices[BOB].disk
}

fn servers(town: &Town) -> &Disk {
    &town.server_disk
}

fn undisturbed(victim: Victim) -> Vec<Section> {
    let mut before = None;
    let sections = (0..SECTIONS).map(|section| {
        let mut town = Town::new(0, before.as_ref());
        town.start();
        run(&mut town, section);
        Section {
            operations: victim(&town).operations(),
            outcome: outcome(&town),
            before: before.replace(town.die()),
        }
    });
    sections.collect()
}

fn run(town: &mut Town, section: usize) {
    (section * SECTION..(section + 1) * SECTION).for_each(|step| script::step(town, step));
}

fn outcome(town: &Town) -> Vec<String> {
    let looks = town.devices.iter().map(|device| device.look());
    looks.flat_map(|look| look.outcome()).collect()
}

/// One run, with the power going at that operation of a section.
fn crash(plan: &[Section], victim: Victim, section: usize, operation: u64) {
    let seed = (section as u64) << 32 | operation;
    let mut town = Town::new(seed, plan[section].before.as_ref());
    victim(&town).crash_at(operation);
    if operation.is_multiple_of(3) {
        // Also while it gets over the first time.
        victim(&town).crash_again_after(operation % 29 + 1);
    }
    town.start();
    run(&mut town, section);
    assert!(town.crashes() > 0, "the power never went");
    assert_eq!(outcome(&town), plan[section].outcome);
    if seed.is_multiple_of(TO_THE_END) {
        (section + 1..SECTIONS).for_each(|section| run(&mut town, section));
        assert_eq!(outcome(&town), plan[SECTIONS - 1].outcome);
    }
}

/// The crash points of all sections; behind the first chapters one of so many. Gives how many there
/// are.
fn crash_everywhere(victim: Victim, later_one_of: u64) -> usize {
    let plan = undisturbed(victim);
    let given = plan[SECTIONS - 1].outcome.iter();
    let commands = given.filter(|line| line.starts_with("command ")).count();
    assert!(commands >= COMMANDS, "{commands} commands");
    let is_tried = |section: usize, operation: u64| {
        section * SECTION < FIRST_CHAPTERS * STEPS_A_CHAPTER
            || (operation + section as u64).is_multiple_of(later_one_of)
    };
    let points: Vec<(usize, u64)> = (0..SECTIONS)
        .flat_map(|section| (1..=plan[section].operations).map(move |one| (section, one)))
        .filter(|(section, operation)| is_tried(*section, *operation))
        .collect();
    let next = AtomicUsize::new(0);
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(&(section, operation)) =
                    points.get(next.fetch_add(1, Ordering::Relaxed))
                {
                    let case = Case(section, operation);
                    crash(&plan, victim, section, operation);
                    drop(case);
                }
            });
        }
    });
    points.len()
}

/// Says which run it was that failed.
struct Case(usize, u64);

impl Drop for Case {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!(
                "the power went at operation {} of section {}",
                self.1, self.0
            );
        }
    }
}

#[test]
fn a_device_loses_power_at_every_operation_of_two_hundred_commands_and_keeps_its_word() {
    let points = crash_everywhere(bobs, 1);
    println!("{points} crash points");
    assert!(points >= 5_000, "{points}");
}

/// Every operation of the first two chapters, in which all steps there are occur. The later ones show
/// the same steps on larger files, and all of them would make these tests a quarter longer; one of four
/// is taken, others in each section.
#[test]
fn a_server_loses_power_at_every_operation_and_what_it_acknowledged_is_there() {
    let points = crash_everywhere(servers, LATER_ONE_OF);
    println!("{points} crash points");
    assert!(points >= 1_500, "{points}");
}
