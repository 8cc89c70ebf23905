//! The server killed after every step: a command given, acknowledged, or an event heard.

use offhook::Mode;
use offhook::UserState::{Accepted, Cancelled, Quit, Received, Rejected, Timeout};
use offhook::call::EndKind;

use crate::actor::{Give, Item};
use crate::stage::Step::{Gives, Hears, Settles};
use crate::stage::{Scenario, Step, with_a_kill_after_every_step};

/// Longer than a scenario takes.
const LONG_S: u32 = 90;

const fn general(whom: &'static [&'static str]) -> Give {
    Give::Invite {
        whom,
        mode: Mode::General,
        timeout_s: LONG_S,
    }
}

const fn advanced(whom: &'static [&'static str]) -> Give {
    Give::Invite {
        whom,
        mode: Mode::Advanced,
        timeout_s: LONG_S,
    }
}

const fn state(who: &'static str, user: &'static str, state: offhook::UserState) -> Step {
    Hears(who, Item::State(user, state))
}

#[test]
fn a_general_call_that_is_accepted() {
    with_a_kill_after_every_step(&Scenario {
        devices: &["alice", "bob"],
        steps: &[
            Gives("alice", general(&["bob"])),
            Settles("alice"),
            Hears("bob", Item::Rung),
            state("alice", "bob", Received),
            Gives("bob", Give::Accept),
            Settles("bob"),
            state("alice", "bob", Accepted),
            state("bob", "bob", Accepted),
        ],
        told: &[("bob", &[Item::Rung])],
        ending: EndKind::Completed,
        members: &[("alice", Accepted), ("bob", Accepted)],
    });
}

#[test]
fn a_general_call_that_one_rejects_and_another_accepts() {
    with_a_kill_after_every_step(&Scenario {
        devices: &["alice", "bob", "carol"],
        steps: &[
            Gives("alice", general(&["bob", "carol"])),
            Settles("alice"),
            Hears("bob", Item::Rung),
            Hears("carol", Item::Rung),
            state("alice", "bob", Received),
            state("alice", "carol", Received),
            Gives("carol", Give::Reject),
            Settles("carol"),
            state("alice", "carol", Rejected),
            state("bob", "carol", Rejected),
            Gives("bob", Give::Accept),
            Settles("bob"),
            state("alice", "bob", Accepted),
        ],
        told: &[("bob", &[Item::Rung]), ("carol", &[Item::Rung])],
        ending: EndKind::Completed,
        members: &[("alice", Accepted), ("bob", Accepted), ("carol", Rejected)],
    });
}

#[test]
fn a_call_that_is_cancelled_whole() {
    with_a_kill_after_every_step(&Scenario {
        devices: &["alice", "bob", "carol"],
        steps: &[
            Gives("alice", general(&["bob", "carol"])),
            Settles("alice"),
            Hears("bob", Item::Rung),
            Hears("carol", Item::Rung),
            state("alice", "bob", Received),
            state("alice", "carol", Received),
            Gives("alice", Give::Cancel(&[])),
            Settles("alice"),
            Hears("bob", Item::Cancelled),
            Hears("carol", Item::Cancelled),
        ],
        told: &[
            ("bob", &[Item::Rung, Item::Cancelled]),
            ("carol", &[Item::Rung, Item::Cancelled]),
        ],
        ending: EndKind::Cancelled,
        members: &[
            ("alice", Accepted),
            ("bob", Cancelled),
            ("carol", Cancelled),
        ],
    });
}

#[test]
fn an_invitation_that_times_out() {
    with_a_kill_after_every_step(&Scenario {
        devices: &["alice", "bob"],
        steps: &[
            Gives(
                "alice",
                Give::Invite {
                    whom: &["bob"],
                    mode: Mode::General,
                    timeout_s: 5,
                },
            ),
            Settles("alice"),
            Hears("bob", Item::Rung),
            state("alice", "bob", Received),
            Hears("bob", Item::TimedOut),
            state("alice", "bob", Timeout),
        ],
        told: &[("bob", &[Item::Rung, Item::TimedOut])],
        ending: EndKind::Completed,
        members: &[("alice", Accepted), ("bob", Timeout)],
    });
}

#[test]
fn two_devices_of_one_invitee_one_of_which_accepts() {
    with_a_kill_after_every_step(&Scenario {
        devices: &["alice", "bob", "bob2"],
        steps: &[
            Gives("alice", general(&["bob"])),
            Settles("alice"),
            Hears("bob", Item::Rung),
            Hears("bob2", Item::Rung),
            state("alice", "bob", Received),
            Gives("bob2", Give::Accept),
            Settles("bob2"),
            Hears("bob", Item::Elsewhere(Accepted)),
            state("alice", "bob", Accepted),
            state("bob2", "bob", Accepted),
        ],
        told: &[
            ("bob", &[Item::Rung, Item::Elsewhere(Accepted)]),
            ("bob2", &[Item::Rung]),
        ],
        ending: EndKind::Completed,
        members: &[("alice", Accepted), ("bob", Accepted)],
    });
}

#[test]
fn two_devices_of_one_invitee_one_of_which_rejects() {
    with_a_kill_after_every_step(&Scenario {
        devices: &["alice", "bob", "bob2"],
        steps: &[
            Gives("alice", general(&["bob"])),
            Settles("alice"),
            Hears("bob", Item::Rung),
            Hears("bob2", Item::Rung),
            state("alice", "bob", Received),
            Gives("bob", Give::Reject),
            Settles("bob"),
            Hears("bob2", Item::Elsewhere(Rejected)),
            state("alice", "bob", Rejected),
        ],
        told: &[
            ("bob", &[Item::Rung]),
            ("bob2", &[Item::Rung, Item::Elsewhere(Rejected)]),
        ],
        ending: EndKind::Completed,
        members: &[("alice", Accepted), ("bob", Rejected)],
    });
}

#[test]
fn an_advanced_call_with_more_people_a_join_a_move_a_quit_and_an_end() {
    with_a_kill_after_every_step(&Scenario {
        devices: &["alice", "alice2", "bob", "carol", "dave"],
        steps: &[
            Gives("alice", advanced(&["bob"])),
            Settles("alice"),
            Hears("bob", Item::Rung),
            state("alice", "bob", Received),
            Gives("bob", Give::Accept),
            Settles("bob"),
            state("alice", "bob", Accepted),
            Gives("bob", Give::CallingInvite(&["carol"])),
            Settles("bob"),
            Hears("carol", Item::Rung),
            state("alice", "carol", Received),
            state("bob", "carol", Received),
            Gives("carol", Give::Accept),
            Settles("carol"),
            state("alice", "carol", Accepted),
            state("bob", "carol", Accepted),
            Gives("dave", Give::Join),
            Settles("dave"),
            state("dave", "dave", Accepted),
            state("alice", "dave", Accepted),
            state("carol", "dave", Accepted),
            Gives("alice2", Give::Join),
            Settles("alice2"),
            Hears("alice", Item::Moved),
            Gives("bob", Give::Quit),
            Settles("bob"),
            state("alice2", "bob", Quit),
            state("carol", "bob", Quit),
            Gives("alice2", Give::End),
            Settles("alice2"),
            Hears("carol", Item::Ended),
            Hears("dave", Item::Ended),
        ],
        told: &[
            ("alice", &[Item::Moved]),
            ("alice2", &[Item::Elsewhere(Accepted), Item::Ended]),
            ("bob", &[Item::Rung]),
            ("carol", &[Item::Rung, Item::Ended]),
            ("dave", &[Item::Ended]),
        ],
        ending: EndKind::Ended,
        members: &[
            ("alice", Accepted),
            ("bob", Quit),
            ("carol", Accepted),
            ("dave", Accepted),
        ],
    });
}

#[test]
fn an_advanced_call_with_one_who_is_invited_again_and_again() {
    with_a_kill_after_every_step(&Scenario {
        devices: &["alice", "bob", "carol"],
        steps: &[
            Gives("alice", advanced(&["bob", "carol"])),
            Settles("alice"),
            Hears("bob", Item::Rung),
            Hears("carol", Item::Rung),
            state("alice", "bob", Received),
            state("alice", "carol", Received),
            Gives("bob", Give::Accept),
            Settles("bob"),
            state("alice", "bob", Accepted),
            Gives("carol", Give::Reject),
            Settles("carol"),
            state("alice", "carol", Rejected),
            Gives("bob", Give::CallingInvite(&["carol"])),
            Settles("bob"),
            Hears("carol", Item::Rung),
            state("alice", "carol", Received),
            Gives("carol", Give::Accept),
            Settles("carol"),
            state("bob", "carol", Accepted),
            Gives("carol", Give::Quit),
            Settles("carol"),
            state("alice", "carol", Quit),
            Gives("alice", Give::CallingInvite(&["carol"])),
            Settles("alice"),
            Hears("carol", Item::Rung),
            state("alice", "carol", Received),
            Gives("alice", Give::Cancel(&["carol"])),
            Settles("alice"),
            Hears("carol", Item::Cancelled),
            state("bob", "carol", Cancelled),
            Gives("alice", Give::End),
            Settles("alice"),
            Hears("bob", Item::Ended),
        ],
        told: &[
            ("alice", &[Item::Ended]),
            ("bob", &[Item::Rung, Item::Ended]),
            (
                "carol",
                &[Item::Rung, Item::Rung, Item::Rung, Item::Cancelled],
            ),
        ],
        ending: EndKind::Ended,
        members: &[("alice", Accepted), ("bob", Accepted), ("carol", Cancelled)],
    });
}
