//! Point 3: the record is what the server said, and what is pending stands beside it.

use offhook::{Code, Command, Mode, UserState};

use crate::commands::{accept, cancel, end, id, invite, invite_for, join, more, quit, reject};
use crate::world::{DAY, World};

#[test]
fn point_3_a_pending_accept_is_never_shown_as_accepted() {
    let mut world = World::new();
    world.devices(&["alice", "bob"]);
    world.rings("alice1", "c1", &["bob"], Mode::General);
    world.offline("bob1");
    world.give("bob1", "o1", "c1", accept()).unwrap();
    let looks_pending = |world: &World| {
        let entry = world.entry("bob1", "c1").unwrap();
        assert_eq!(world.state("bob1", "c1", "bob"), UserState::Received);
        assert_eq!(entry.pending.len(), 1);
        let what = format!("{:?}", entry.pending[0].command);
        assert!(what.contains("Accept {"), "{what}");
        assert!(entry.call.is_started());
    };
    looks_pending(&world);
    // Nor when it is sent, and not when the server has taken it and this device does not know.
    world.phone_mut("bob1").up_held = true;
    world.online("bob1");
    looks_pending(&world);
    world.phone_mut("bob1").down_held = true;
    world.phone_mut("bob1").up_held = false;
    world.settle();
    looks_pending(&world);
    world.phone_mut("bob1").down_held = false;
    world.settle();
    assert_eq!(world.state("bob1", "c1", "bob"), UserState::Accepted);
    assert_eq!(world.entry("bob1", "c1").unwrap().pending, []);
}

#[test]
fn point_3_an_invite_stands_before_the_first_page_until_it_enters_history_once_with_the_servers_time()
 {
    let mut world = World::new();
    world.add("alice", "alice1");
    world.phone_mut("alice1").skew = DAY;
    world.start("alice1");
    world.device("bob", "bob1");
    for call in ["old-1", "old-2"] {
        world.rings("alice1", call, &["bob"], Mode::General);
        world.does("alice1", &format!("cancel {call}"), call, cancel(&[]));
    }
    world.offline("alice1");
    world
        .give("alice1", "o1", "c1", invite(&["bob"], Mode::General))
        .unwrap();
    world.pass(10_000);
    let stands_before = |world: &World| {
        let page = world.page("alice1");
        let pending: Vec<&str> = page.pending.iter().map(|one| one.op.as_str()).collect();
        let calls: Vec<&str> = page.calls.iter().map(|one| one.call.id.as_str()).collect();
        assert_eq!((pending, calls), (vec!["o1"], vec!["old-2", "old-1"]));
    };
    stands_before(&world);
    world.phone_mut("alice1").down_held = true;
    world.online("alice1");
    // Up and welcome: it is sent, and taken.
    for _ in 0..2 {
        world.carry_one_down("alice1");
        world.settle();
    }
    let taken_at = world.now();
    assert_eq!(world.ringing("bob1"), [id("c1")]);
    stands_before(&world);
    world.pass(1_000);
    world.crash("alice1");
    world.open("alice1");
    stands_before(&world);
    world.phone_mut("alice1").down_held = false;
    for _ in 0..2 {
        world.crash("alice1");
        world.start("alice1");
    }
    let page = world.page("alice1");
    assert_eq!(page.pending, []);
    let calls: Vec<&str> = page.calls.iter().map(|one| one.call.id.as_str()).collect();
    assert_eq!(calls, ["c1", "old-2", "old-1"]);
    let call = &page.calls[0].call;
    assert_eq!(
        (call.create_time, &page.calls[0].pending[..]),
        (taken_at, &[][..])
    );
}

#[test]
fn point_3_a_device_refuses_malformed_input_and_what_no_server_word_can_change() {
    let mut world = World::new();
    world.devices(&["alice", "bob"]);
    world.rings("alice1", "general", &["bob"], Mode::General);
    world.rings("bob1", "over", &["carol"], Mode::Advanced);
    world.does("bob1", "o", "over", cancel(&[]));
    world.offline("bob1");
    world.forget("bob1");
    let long = || Command::Reject {
        invitation: None,
        extended_data: "x".repeat(2_049),
    };
    let refused: [(&str, Command, Code, &str); 11] = [
        (
            "new",
            invite(&[], Mode::General),
            Code::InvalidParameter,
            "invitees",
        ),
        (
            "new",
            invite(&["bob"], Mode::General),
            Code::InvalidParameter,
            "invitees",
        ),
        (
            "new",
            invite(&["carol"], Mode::Unknown),
            Code::InvalidParameter,
            "mode",
        ),
        (
            "new",
            invite_for(&["carol"], Mode::General, 601),
            Code::InvalidParameter,
            "timeout",
        ),
        ("general", long(), Code::InvalidParameter, "extendedData"),
        ("general", quit(), Code::NeedsAdvanced, ""),
        ("general", more(&["carol"]), Code::NeedsAdvanced, ""),
        ("general", join(), Code::NeedsAdvanced, ""),
        ("over", more(&["carol"]), Code::CallOver, ""),
        ("over", quit(), Code::CallOver, ""),
        ("over", cancel(&[]), Code::CallOver, ""),
    ];
    for (call, command, code, reason) in refused {
        let kind = command.kind();
        let error = world.give("bob1", "o1", call, command).unwrap_err();
        assert_eq!(error.code, code, "{kind:?} {call}: {error}");
        assert!(error.reason.contains(reason), "{kind:?} {call}: {error:?}");
    }
    assert_eq!(world.pending("bob1"), [], "nothing of it was kept");
    assert_eq!(world.heard("bob1"), [""; 0], "and nothing has a verdict");
}

#[test]
fn point_3_a_device_leaves_to_the_server_what_a_word_of_its_could_change() {
    let mut world = World::new();
    world.devices(&["alice", "bob"]);
    world.rings("alice1", "c1", &["bob", "carol"], Mode::Advanced);
    world.does("bob1", "r", "c1", reject());
    world.offline("bob1");
    world.offline("alice1");
    world.forget_all();
    // As the records are now the server would refuse each of them.
    let bobs = [
        ("o1", "c1", accept()),
        ("o2", "unknown", accept()),
        ("o3", "unknown", cancel(&[])),
        ("o4", "c1", quit()),
    ];
    for (op, call, command) in bobs {
        world.give("bob1", op, call, command).unwrap();
    }
    world
        .give("alice1", "o1", "c2", invite(&["bob"], Mode::General))
        .unwrap();
    world.give("alice1", "o2", "c1", accept()).unwrap();
    // While they wait, bob is asked again, so that one of them is right after all.
    world.device("alice", "alice2");
    world.does("alice2", "again", "c1", more(&["bob"]));
    world.online("alice1");
    let heard = world.heard("alice1");
    assert!(
        heard.contains(&"verdict o1 WrongState inCall".to_owned()),
        "{heard:?}"
    );
    assert!(
        heard
            .iter()
            .any(|one| one.starts_with("verdict o2 WrongState")),
        "{heard:?}"
    );
    world.online("bob1");
    let heard = world.heard("bob1");
    for op in ["o1", "o2", "o3", "o4"] {
        let verdict = format!("verdict {op} ");
        assert!(
            heard.iter().any(|one| one.starts_with(&verdict)),
            "{op}: {heard:?}"
        );
    }
    let bob = world.state("alice2", "c1", "bob");
    assert!(
        bob.is_pending(),
        "that answer was to the first asking: {bob}"
    );
}

#[test]
fn point_3_queued_quits_ends_and_cancels_count_as_done_when_the_device_judges() {
    for leaving in [quit(), end(), cancel(&[])] {
        let kind = leaving.kind();
        let mut world = World::new();
        world.devices(&["alice", "bob"]);
        world.rings("alice1", "c1", &["bob"], Mode::Advanced);
        world.offline("alice1");
        world.give("alice1", "o1", "c1", leaving).unwrap();
        world
            .give("alice1", "o2", "c2", invite(&["bob"], Mode::Advanced))
            .unwrap();
        world.online("alice1");
        let heard = world.heard("alice1");
        for verdict in ["verdict o1 ok", "verdict o2 ok"] {
            assert!(heard.contains(&verdict.to_owned()), "{kind:?}: {heard:?}");
        }
        assert_eq!(world.ringing("bob1"), [id("c2")], "{kind:?}");
    }
}

#[test]
fn point_3_who_has_queued_a_quit_can_come_in_again_behind_it() {
    let mut world = World::new();
    world.devices(&["alice", "bob"]);
    world.rings("alice1", "c1", &["bob"], Mode::Advanced);
    world.does("bob1", "a", "c1", accept());
    world.offline("bob1");
    world.forget_all();
    world.give("bob1", "o1", "c1", quit()).unwrap();
    world.give("bob1", "o2", "c1", join()).unwrap();
    world.online("bob1");
    let mut verdicts = world.heard("bob1");
    verdicts.retain(|words| words.starts_with("verdict "));
    assert_eq!(verdicts, ["verdict o1 ok", "verdict o2 ok"]);
    let call = world.entry("alice1", "c1").unwrap().call;
    assert_eq!(
        (call.members[1].state, call.members[1].participation),
        (UserState::Accepted, 2)
    );
}

#[test]
fn point_3_a_join_by_id_needs_no_local_record() {
    let mut world = World::new();
    world.devices(&["alice", "bob", "dora"]);
    world.rings("alice1", "c1", &["bob"], Mode::Advanced);
    world.offline("dora1");
    assert_eq!(world.entry("dora1", "c1"), None);
    world.give("dora1", "o1", "c1", join()).unwrap();
    world.online("dora1");
    assert!(world.heard("dora1").contains(&"verdict o1 ok".to_owned()));
    assert_eq!(world.state("alice1", "c1", "dora"), UserState::Accepted);
}
