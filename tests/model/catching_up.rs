//! What a device hears that was away: the net effect of all that happened, every ring closed once,
//! nothing of what it never showed.

use offhook::call::{Mode, UserState};

use crate::scene::{Scene, heard};
use crate::world::{World, accept, cancel, end, join, quit, reject, ring, ring_for};

const NOTHING: [&str; 0] = [];

/// `bob` and `cid` are being rung; `bob2` goes away with the ring on its screen.
fn ringing() -> Scene {
    let mut scene = Scene::ringing(Mode::Advanced, &["bob", "cid"]);
    scene.disconnect(&["bob2"]);
    scene
}

/// `ann`, `bob` and `cid` are in the call; `bob1` goes away in it.
fn talking() -> Scene {
    let mut scene = Scene::talking(&["bob", "cid"]);
    scene.disconnect(&["bob1"]);
    scene
}

/// `ann2`, on which it says that `ann` is calling, goes away.
fn dialling() -> Scene {
    let mut scene = Scene::ringing(Mode::Advanced, &["bob"]);
    scene.disconnect(&["ann2"]);
    scene
}

#[test]
fn a_call_that_never_rang_and_is_over() {
    for how in ["cancel", "timeout", "end", "answered"] {
        let mut scene = Scene::of(World::ringing(Mode::Advanced, &["bob", "cid"]), &["bob"]);
        scene.disconnect(&["bob2"]);
        match how {
            "cancel" => scene.act("ann1", cancel(&[])),
            "timeout" => scene.after(90_000),
            "end" => scene.act("ann1", end()),
            _ => scene.act("bob1", accept()),
        };
        assert_eq!(scene.connect("bob2"), NOTHING, "{how}");
        let missed = scene.world.call().is_missed_by(&crate::world::user("bob"));
        assert_eq!(missed, how != "answered");
    }
}

#[test]
fn a_call_that_rings_still() {
    let mut scene = Scene::of(World::ringing(Mode::Advanced, &["bob", "cid"]), &["cid"]);
    scene.act("cid1", accept());
    scene.world.must("ann1", ring(&["dee"]));
    scene.add("bob");
    assert_eq!(
        scene.connect("bob2"),
        ["received from ann"],
        "no more than that"
    );
}

#[test]
fn an_invitation_that_is_over_by_the_device_s_own_clock_does_not_ring() {
    let mut scene = Scene::of(World::ringing(Mode::General, &["bob"]), &["bob"]);
    scene.world.after(90_000);
    heard(&scene.hear_all(false), &[]);
    assert!(!scene.phones["bob1"].shown.ringing);
}

#[test]
fn rang_and_was_closed_while_away() {
    let mut scene = ringing();
    scene.act("ann1", cancel(&["bob"]));
    assert_eq!(scene.connect("bob2"), ["cancelled, invited by ann: sorry"]);

    let mut scene = ringing();
    scene.after(90_000);
    assert_eq!(scene.connect("bob2"), ["timeout"]);

    let mut scene = ringing();
    scene.act("ann1", end());
    assert_eq!(scene.connect("bob2"), ["ended by ann: over"]);

    let mut scene = ringing();
    scene.act("bob1", reject());
    assert_eq!(
        scene.connect("bob2"),
        ["changed bob=rejected", "elsewhere rejected bob1"]
    );
}

#[test]
fn answered_elsewhere_and_then_more() {
    let mut scene = ringing();
    scene.act("bob1", accept());
    scene.act("cid1", accept());
    assert_eq!(
        scene.connect("bob2"),
        ["changed bob=accepted", "elsewhere accepted bob1"],
        "cid's answer came when it was not open here any more"
    );

    let mut scene = ringing();
    scene.act("bob1", accept());
    scene.act("cid1", accept());
    scene.act("bob3", join());
    assert_eq!(
        scene.connect("bob2"),
        ["changed bob=accepted", "elsewhere accepted bob1"],
        "nor where the call has moved since"
    );

    let mut scene = ringing();
    scene.act("bob1", accept());
    scene.act("bob1", quit());
    assert_eq!(scene.connect("bob2"), ["elsewhere accepted bob1"]);

    let mut scene = ringing();
    scene.act("bob1", accept());
    scene.act("ann1", end());
    assert_eq!(
        scene.connect("bob2"),
        ["changed bob=accepted", "elsewhere accepted bob1"]
    );

    let mut scene = ringing();
    scene.act("bob1", reject());
    scene.act("bob1", join());
    assert_eq!(
        scene.connect("bob2"),
        ["changed bob=accepted", "elsewhere rejected bob1"]
    );
}

#[test]
fn what_happened_while_it_rang_is_heard_together() {
    let mut scene = Scene::ringing(Mode::Advanced, &["bob", "cid", "dee"]);
    scene.disconnect(&["bob2"]);
    scene.act("cid1", accept());
    scene.act("dee1", reject());
    scene.act("cid1", quit());
    assert_eq!(scene.connect("bob2"), ["changed cid=quit dee=rejected"]);
    assert!(scene.phones["bob2"].shown.ringing);
    scene.disconnect(&["bob2"]);
    scene.act("zoe1", join());
    scene.act("ann1", cancel(&["bob"]));
    scene.act("zoe1", quit());
    assert_eq!(
        scene.connect("bob2"),
        ["cancelled, invited by ann: sorry"],
        "zoe came while it rang and left after"
    );
}

#[test]
fn closed_and_asked_again() {
    let mut scene = ringing();
    scene.act("cid1", accept());
    scene.after(90_000);
    scene.act("ann1", ring(&["bob"]));
    assert_eq!(scene.connect("bob2"), ["timeout", "received from ann"]);

    let mut scene = ringing();
    scene.act("ann1", cancel(&["bob"]));
    scene.act("ann1", ring(&["bob"]));
    assert_eq!(
        scene.connect("bob2"),
        ["cancelled, invited by ann: ", "received from ann"]
    );

    let mut scene = ringing();
    scene.act("cid1", accept());
    scene.act("ann1", cancel(&["bob"]));
    scene.act("cid1", ring(&["bob"]));
    assert_eq!(
        scene.connect("bob2"),
        ["cancelled, invited by ann: ", "received from cid"],
        "each by who made it"
    );

    let mut scene = ringing();
    scene.act("bob1", accept());
    scene.act("bob1", quit());
    scene.act("ann1", ring(&["bob"]));
    assert_eq!(
        scene.connect("bob2"),
        ["elsewhere accepted bob1", "received from ann"]
    );

    let mut scene = ringing();
    scene.act("bob1", reject());
    scene.act("ann1", ring(&["bob"]));
    scene.act("bob1", reject());
    assert_eq!(
        scene.connect("bob2"),
        ["changed bob=rejected", "elsewhere rejected bob1"],
        "the second never rang here"
    );
}

#[test]
fn closed_asked_again_and_over() {
    let mut scene = ringing();
    scene.act("ann1", cancel(&["bob"]));
    scene.act("ann1", ring(&["bob"]));
    scene.act("ann1", end());
    assert_eq!(scene.connect("bob2"), ["cancelled, invited by ann: "]);

    let mut scene = ringing();
    for _ in 0..12 {
        scene.act("ann1", cancel(&["bob"]));
        scene.act("ann1", ring(&["bob"]));
    }
    assert_eq!(
        scene.connect("bob2"),
        ["cancelled, invited by ann: ", "received from ann"],
        "longer ago than the record remembers"
    );
}

#[test]
fn in_the_call_while_away() {
    let mut scene = talking();
    scene.act("cid1", quit());
    scene.act("ann1", ring(&["dee"]));
    assert_eq!(scene.connect("bob1"), ["changed cid=quit dee=inviting"]);

    let mut scene = talking();
    scene.act("cid1", quit());
    scene.act("ann1", end());
    assert_eq!(
        scene.connect("bob1"),
        ["changed cid=quit", "ended by ann: over"]
    );

    let mut scene = talking();
    scene.act("cid1", quit());
    scene.act("bob2", quit());
    scene.act("zoe1", join());
    assert_eq!(scene.connect("bob1"), ["changed bob=quit cid=quit"]);
}

#[test]
fn moved_while_away() {
    let mut scene = talking();
    scene.act("bob2", join());
    scene.act("cid1", quit());
    assert_eq!(scene.connect("bob1"), ["moved to bob2"]);

    let mut scene = talking();
    scene.act("bob2", join());
    scene.act("ann1", end());
    assert_eq!(scene.connect("bob1"), ["moved to bob2"]);

    let mut scene = talking();
    scene.act("bob2", join());
    scene.act("bob2", quit());
    assert_eq!(scene.connect("bob1"), ["moved to bob2"]);

    let mut scene = talking();
    scene.act("bob2", quit());
    scene.act("bob2", join());
    assert_eq!(scene.connect("bob1"), ["moved to bob2"]);
}

#[test]
fn left_elsewhere_and_asked_again() {
    let mut scene = talking();
    scene.act("bob2", quit());
    scene.act("ann1", ring(&["bob"]));
    assert_eq!(scene.connect("bob1"), ["received from ann"]);
}

#[test]
fn left_elsewhere_asked_again_and_that_is_over_too() {
    let asked_again = || {
        let mut scene = talking();
        scene.act("bob2", quit());
        scene.act("ann1", ring_for(&["bob"], 20));
        scene
    };
    let mut scene = asked_again();
    scene.after(20_000);
    assert_eq!(scene.connect("bob1"), ["timeout"]);

    let mut scene = asked_again();
    scene.act("ann1", cancel(&["bob"]));
    assert_eq!(scene.connect("bob1"), ["cancelled, invited by ann: sorry"]);

    let mut scene = asked_again();
    scene.act("bob2", reject());
    assert_eq!(scene.connect("bob1"), ["changed bob=rejected"]);

    let mut scene = asked_again();
    scene.act("ann1", end());
    assert_eq!(
        scene.connect("bob1"),
        ["changed bob=inviting", "ended by ann: over"]
    );

    let mut scene = asked_again();
    scene.act("bob2", accept());
    assert_eq!(scene.connect("bob1"), ["moved to bob2"]);

    // Too late to ring by this device's own clock, and the server has not said so yet.
    let mut scene = asked_again();
    scene.world.after(20_000);
    assert_eq!(scene.connect("bob1"), ["changed bob=inviting"]);
}

#[test]
fn dialling_while_away() {
    let mut scene = dialling();
    scene.act("bob1", accept());
    assert_eq!(scene.connect("ann2"), ["elsewhere accepted ann1"]);

    let mut scene = dialling();
    scene.act("ann1", cancel(&[]));
    assert_eq!(scene.connect("ann2"), ["cancelled, invited by ann: sorry"]);

    let mut scene = dialling();
    scene.after(90_000);
    assert_eq!(scene.connect("ann2"), NOTHING, "an advanced call goes on");
    scene.act("ann1", end());
    assert!(!scene.phones["ann2"].shown.dialling);

    let mut scene = dialling();
    scene.act("bob1", accept());
    scene.act("ann1", quit());
    assert_eq!(scene.connect("ann2"), ["elsewhere accepted ann1"]);
    scene.disconnect(&["ann2"]);
    scene.act("ann1", join());
    assert_eq!(scene.connect("ann2"), NOTHING);
}

#[test]
fn dialling_while_away_and_then_rung_by_the_same_call() {
    let mut scene = dialling();
    scene.act("bob1", accept());
    scene.act("ann1", quit());
    scene.act("bob1", ring(&["ann"]));
    assert_eq!(
        scene.connect("ann2"),
        ["elsewhere accepted ann1", "received from bob"]
    );
    let shown = &scene.phones["ann2"].shown;
    assert!(shown.ringing && !shown.dialling);
}

#[test]
fn a_ring_is_the_last_that_is_heard() {
    let mut scene = talking();
    scene.act("bob2", ring(&["dee"]));
    scene.act("bob2", cancel(&["dee"]));
    scene.act("bob2", quit());
    scene.act("ann1", ring(&["bob"]));
    assert_eq!(
        scene.connect("bob1"),
        ["cancelled, invited by bob: sorry", "received from ann"]
    );
}

#[test]
fn the_creator_s_primary_device_was_away() {
    let mut scene = Scene::ringing(Mode::General, &["bob", "cid"]);
    scene.disconnect(&["ann1", "ann2"]);
    scene.act("bob1", accept());
    scene.after(90_000);
    assert_eq!(scene.connect("ann1"), ["changed bob=accepted cid=timeout"]);
    assert_eq!(scene.connect("ann2"), ["elsewhere accepted ann1"]);

    let mut scene = Scene::ringing(Mode::General, &["bob", "cid"]);
    scene.disconnect(&["ann1", "ann2"]);
    scene.act("bob1", reject());
    scene.creator_gone(None);
    let gone = "cancelled, invited by ann: ";
    assert_eq!(scene.connect("ann1"), ["changed bob=rejected", gone]);
    assert_eq!(scene.connect("ann2"), [gone]);
}

#[test]
fn the_record_may_come_before_the_verdict_does() {
    // The invite was taken, its verdict lost: the device that made the call holds no record.
    let mut scene = Scene::of(World::ringing(Mode::Advanced, &["bob"]), &["bob"]);
    scene.world.must("bob1", accept());
    assert_eq!(scene.connect("ann1"), ["changed bob=accepted"]);
    scene.disconnect(&["ann1"]);
    let mut scene = Scene::of(World::ringing(Mode::Advanced, &["bob"]), &["bob"]);
    scene.world.must("bob1", accept());
    scene.world.must("bob1", end());
    assert_eq!(
        scene.connect("ann1"),
        ["changed bob=accepted", "ended by bob: over"]
    );
    // The join was taken, and others have moved on.
    let mut scene = Scene::talking(&["bob"]);
    scene.world.must("zoe1", join());
    scene.world.must("bob1", quit());
    assert_eq!(scene.connect("zoe1"), ["changed bob=quit zoe=accepted"]);
    assert_eq!(scene.connect("zoe2"), NOTHING);
}

#[test]
fn whoever_left_hears_nothing_on_coming_back() {
    let mut scene = Scene::talking(&["bob", "cid"]);
    scene.act("bob1", quit());
    scene.disconnect(&["bob1", "bob2", "zoe1"]);
    scene.act("cid1", quit());
    scene.act("ann1", ring(&["dee"]));
    scene.act("ann1", end());
    for name in ["bob1", "bob2", "zoe1"] {
        assert_eq!(scene.connect(name), NOTHING, "{name}");
    }
    assert_eq!(scene.state("bob"), UserState::Quit);
}

#[test]
fn a_device_that_comes_in_late_is_not_told_that_its_ring_is_over() {
    let mut scene = ringing();
    scene.after(90_000);
    scene.world.must("bob2", join());
    assert_eq!(scene.connect("bob2"), ["changed bob=accepted cid=timeout"]);

    let mut scene = ringing();
    scene.act("bob1", reject());
    scene.world.must("bob2", join());
    assert_eq!(scene.connect("bob2"), ["changed bob=accepted"]);
}

#[test]
fn one_is_cancelled_and_then_the_rest() {
    let mut scene = Scene::ringing(Mode::Advanced, &["bob", "cid"]);
    scene.disconnect(&["ann1"]);
    scene.act("ann2", cancel(&["bob"]));
    scene.act("ann2", cancel(&[]));
    assert_eq!(
        scene.connect("ann1"),
        ["changed bob=cancelled", "cancelled, invited by ann: sorry"]
    );
}

#[test]
fn a_call_that_was_over_before_it_was_heard_of() {
    for command in [cancel(&[]), end()] {
        let mut scene = Scene::of(World::ringing(Mode::Advanced, &["bob"]), &["bob"]);
        scene.world.must("ann1", command);
        let found = scene.hear_all(true);
        let names: Vec<_> = found.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["ann1"], "only where it was made: {found:?}");
    }
    // Answered at once: what opens closes.
    let mut scene = Scene::of(World::ringing(Mode::Advanced, &["bob"]), &["bob"]);
    scene.world.must("bob1", accept());
    let created = "created ann=accepted bob=accepted";
    heard(
        &scene.hear_all(true),
        &[
            ("ann1", &[created, "changed bob=accepted"]),
            ("ann2", &[created, "elsewhere accepted ann1"]),
            ("bob1", &["changed bob=accepted"]),
        ],
    );
}

#[test]
fn a_ring_that_the_device_has_closed_by_its_own_timer_is_not_closed_again() {
    let mut scene = talking();
    scene.act("bob2", quit());
    scene.act("ann1", ring_for(&["bob"], 20));
    // It came by push, without the record, and rang until its time was up.
    let number = scene.world.member("bob").invitation;
    let phone = scene.phones.get_mut("bob1").expect("a device");
    phone.shown.rung = number;
    scene.after(20_000);
    assert_eq!(scene.connect("bob1"), NOTHING);
}
