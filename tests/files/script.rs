//! More than two hundred commands that two people give, and what else they, the server and time do
//! between them. Each step is done whole however often the power goes meanwhile.

use offhook::call::{Command, Mode, Target, Under, UserId};

use super::town::{ALICE, BOB, Town};

pub const STEPS: usize = 240;
/// After so many it begins again, with other calls. Every second time it ends in another way.
pub const STEPS_A_CHAPTER: usize = 24;
/// At least so many of the steps are commands.
pub const COMMANDS: usize = 200;

/// Does one step.
pub fn step(town: &mut Town, step: usize) {
    let op = format!("op-{step}");
    let (chapter, number) = (step / STEPS_A_CHAPTER, step % STEPS_A_CHAPTER);
    loop {
        let done = perform(town, chapter, number, &op);
        town.settle();
        if done {
            return;
        }
    }
}

/// What a step does; whether it is done, or the power went instead.
fn perform(town: &mut Town, chapter: usize, number: usize, op: &str) -> bool {
    let now = town.now();
    let call = |name: &str| format!("call-{chapter}-{name}");
    let give = |town: &mut Town, who: usize, name: &str, command: Command| {
        town.devices[who].submit(now, op, &call(name), command)
    };
    match number {
        0 => give(town, BOB, "a", invite("alice", Mode::General)),
        1 => give(town, BOB, "a", cancel()),
        2 => give(town, ALICE, "b", invite("bob", Mode::General)),
        3 => give(town, BOB, "b", accept()),
        4 => give(town, ALICE, "c", invite("bob", Mode::Advanced)),
        5 => give(town, BOB, "c", accept()),
        6 => give(town, BOB, "c", calling_invite("carl")),
        7 => give(town, BOB, "c", quit()),
        8 => give(town, ALICE, "c", end()),
        9 => give(town, ALICE, "h", invite("bob", Mode::Advanced)),
        10 => give(town, BOB, "h", join()),
        11 => give(town, BOB, "h", quit()),
        12 => give(town, ALICE, "h", end()),
        13 => town.devices[BOB].acknowledge(now),
        14 => {
            town.set_network(false);
            true
        }
        15 => give(town, BOB, "d", invite("dave", Mode::General)),
        16 => give(town, BOB, "d", cancel()),
        17 => {
            town.devices[BOB].has_unseen();
            give(town, ALICE, "e", invite("bob", Mode::General))
        }
        18 => give(town, ALICE, "e", cancel()),
        19 => give(town, BOB, "f", invite("alice", Mode::Advanced)),
        20 => {
            town.set_network(true);
            true
        }
        21 => give(town, BOB, "f", end()) && town.devices[BOB].mark_seen(now),
        22 => give(town, ALICE, "g", invite("bob", Mode::General)),
        _ => {
            // Bob's phone rings until it has rung long enough, or he says no.
            if chapter.is_multiple_of(2) {
                town.devices[BOB].has_unseen();
                town.pass(61_000);
            } else if !give(town, BOB, "g", reject()) {
                return false;
            }
            town.devices[BOB].checkpoint(now)
        }
    }
}

pub fn invite(whom: &str, mode: Mode) -> Command {
    Command::Invite {
        invitees: vec![UserId::trusted(whom)],
        timeout_s: 60,
        mode,
        extended_data: "hello".into(),
        not_received_check: false,
        push: None,
    }
}

fn calling_invite(whom: &str) -> Command {
    Command::CallingInvite {
        invitees: vec![UserId::trusted(whom)],
        timeout_s: None,
        extended_data: None,
        push: None,
    }
}

fn cancel() -> Command {
    Command::Cancel {
        invitees: Vec::<Target>::new(),
        extended_data: String::new(),
        push: None,
    }
}

fn accept() -> Command {
    Command::Accept {
        invitation: None,
        extended_data: String::new(),
    }
}

fn reject() -> Command {
    Command::Reject {
        invitation: None,
        extended_data: String::new(),
    }
}

fn join() -> Command {
    Command::Join {
        extended_data: String::new(),
    }
}

fn quit() -> Command {
    Command::Quit {
        under: Under::Unknown,
        extended_data: String::new(),
        push: None,
    }
}

fn end() -> Command {
    Command::End {
        under: Under::Unknown,
        extended_data: String::new(),
        push: None,
    }
}
