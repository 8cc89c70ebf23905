//! Who hears what, line by line, live: exactly these events on exactly these devices, in this
//! order. `zoe` is nobody's guest and listens all along.

use offhook::call::{EndKind, Mode};

use crate::scene::{Scene, heard};
use crate::world::{World, accept, cancel, invite_checked, join, quit, reject, ring, ring_for};

#[test]
fn call_invite() {
    let mut scene = Scene::of(
        World::ringing(Mode::General, &["bob", "cid"]),
        &["bob", "cid"],
    );
    let created = "created ann=accepted bob=inviting cid=inviting";
    heard(
        &scene.hear_all(true),
        &[
            ("ann1", &[created]),
            ("ann2", &[created]),
            ("bob1", &["received from ann"]),
            ("bob2", &["received from ann"]),
            ("cid1", &["received from ann"]),
            ("cid2", &["received from ann"]),
        ],
    );
    assert!(scene.phones["ann2"].shown.dialling);
    assert!(!scene.phones["ann1"].shown.dialling);
    assert!(scene.phones["bob2"].shown.ringing);
    heard(&scene.hear_all(true), &[]);
}

#[test]
fn created_is_never_caught_up_on() {
    let mut scene = Scene::of(World::ringing(Mode::General, &["bob"]), &["bob"]);
    heard(
        &scene.hear_all(false),
        &[
            ("bob1", &["received from ann"]),
            ("bob2", &["received from ann"]),
        ],
    );
    assert!(!scene.phones["ann2"].shown.dialling);
    // And what was never shown needs no end.
    heard(
        &scene.act("bob1", accept()),
        &[
            ("ann1", &["changed bob=accepted"]),
            ("bob1", &["changed bob=accepted"]),
            ("bob2", &["changed bob=accepted", "elsewhere accepted bob1"]),
        ],
    );
}

#[test]
fn calling_invite() {
    let mut scene = Scene::talking(&["bob"]);
    scene.add("dee");
    scene.act("bob1", ring(&["cid"])); // no device of cid's listens
    heard(
        &scene.act("bob2", ring(&["dee"])),
        &[
            ("ann1", &["changed dee=inviting"]),
            ("bob1", &["changed dee=inviting"]),
            ("dee1", &["received from bob"]),
            ("dee2", &["received from bob"]),
        ],
    );
    scene.add("eve");
    heard(
        &scene.act("ann1", ring(&["eve"])),
        &[
            ("ann1", &["changed eve=inviting"]),
            ("bob1", &["changed eve=inviting"]),
            ("dee1", &["changed eve=inviting"]),
            ("dee2", &["changed eve=inviting"]),
            ("eve1", &["received from ann"]),
            ("eve2", &["received from ann"]),
        ],
    );
}

#[test]
fn receipts_and_their_absence() {
    let mut world = World::new();
    world.must(
        "ann1",
        invite_checked(Mode::Advanced, &["bob", "cid", "dee"]),
    );
    let mut scene = Scene::of(world, &["bob", "cid", "dee"]);
    scene.hear_all(true);
    scene.act("dee1", reject());
    let changed: &[&str] = &["changed bob=received"];
    heard(
        &scene.receipt("bob"),
        &[
            ("ann1", changed),
            ("bob1", changed),
            ("bob2", changed),
            ("cid1", changed),
            ("cid2", changed),
        ],
    );
    let changed: &[&str] = &["changed cid=not_yet_received"];
    heard(
        &scene.after(5_000),
        &[
            ("ann1", changed),
            ("bob1", changed),
            ("bob2", changed),
            ("cid1", changed),
            ("cid2", changed),
        ],
    );
}

#[test]
fn an_accept() {
    let mut scene = Scene::ringing(Mode::Advanced, &["bob", "cid"]);
    let changed = "changed bob=accepted";
    heard(
        &scene.act("bob2", accept()),
        &[
            ("ann1", &[changed]),
            ("ann2", &["elsewhere accepted ann1"]),
            ("bob1", &[changed, "elsewhere accepted bob2"]),
            ("bob2", &[changed]),
            ("cid1", &[changed]),
            ("cid2", &[changed]),
        ],
    );
    // The creator's other device has no more to hear, and bob's first one neither.
    let changed = "changed cid=accepted";
    heard(
        &scene.act("cid1", accept()),
        &[
            ("ann1", &[changed]),
            ("bob2", &[changed]),
            ("cid1", &[changed]),
            ("cid2", &[changed, "elsewhere accepted cid1"]),
        ],
    );
}

#[test]
fn a_reject() {
    for mode in [Mode::General, Mode::Advanced] {
        let mut scene = Scene::ringing(mode, &["bob", "cid"]);
        let changed = "changed bob=rejected";
        heard(
            &scene.act("bob2", reject()),
            &[
                ("ann1", &[changed]),
                ("bob1", &[changed, "elsewhere rejected bob2"]),
                ("bob2", &[changed]),
                ("cid1", &[changed]),
                ("cid2", &[changed]),
            ],
        );
    }
}

#[test]
fn a_pending_user_joins() {
    let mut scene = Scene::ringing(Mode::Advanced, &["bob"]);
    scene.receipt("bob");
    let changed = "changed bob=accepted";
    heard(
        &scene.act("bob1", join()),
        &[
            ("ann1", &[changed]),
            ("ann2", &["elsewhere accepted ann1"]),
            ("bob1", &[changed]),
            ("bob2", &[changed, "elsewhere accepted bob1"]),
        ],
    );
}

#[test]
fn timeout() {
    let mut scene = Scene::talking(&["bob"]);
    scene.add("cid");
    scene.add("dee");
    scene.act("ann1", ring_for(&["cid"], 20));
    scene.act("ann1", ring_for(&["dee"], 30));
    let changed = "changed cid=timeout";
    heard(
        &scene.after(20_000),
        &[
            ("ann1", &[changed]),
            ("bob1", &[changed]),
            ("cid1", &["timeout"]),
            ("cid2", &["timeout"]),
            ("dee1", &[changed]),
            ("dee2", &[changed]),
        ],
    );
    scene.after(10_000);
    assert_eq!(scene.world.ending(), None);
}

#[test]
fn all_time_out_at_once() {
    let mut scene = Scene::ringing(Mode::General, &["bob", "cid"]);
    heard(
        &scene.after(90_000),
        &[
            ("ann1", &["changed bob=timeout cid=timeout"]),
            ("ann2", &["elsewhere accepted ann1"]),
            ("bob1", &["timeout"]),
            ("bob2", &["timeout"]),
            ("cid1", &["timeout"]),
            ("cid2", &["timeout"]),
        ],
    );
    assert_eq!(scene.world.ending(), Some(EndKind::Completed));
}

#[test]
fn targeted_cancel() {
    let mut scene = Scene::ringing(Mode::Advanced, &["bob", "cid", "dee"]);
    scene.act("dee1", accept());
    let changed = "changed bob=cancelled";
    let gone = "cancelled, invited by ann: sorry";
    heard(
        &scene.act("ann1", cancel(&["bob"])),
        &[
            ("ann1", &[changed]),
            ("ann2", &[gone]),
            ("bob1", &[gone]),
            ("bob2", &[gone]),
            ("cid1", &[changed]),
            ("cid2", &[changed]),
            ("dee1", &[changed]),
        ],
    );
    heard(
        &scene.act("ann2", cancel(&["cid"])),
        &[
            ("ann1", &["changed cid=cancelled", gone]),
            ("cid1", &[gone]),
            ("cid2", &[gone]),
            ("dee1", &["changed cid=cancelled"]),
        ],
    );
}

#[test]
fn targeted_cancel_of_another_s_invitee() {
    let mut scene = Scene::talking(&["bob"]);
    scene.add("cid");
    scene.act("bob1", ring(&["cid"]));
    heard(
        &scene.act("ann1", cancel(&["cid"])),
        &[
            ("ann1", &["changed cid=cancelled"]),
            ("ann2", &["cancelled, invited by ann: sorry"]),
            ("bob1", &["changed cid=cancelled"]),
            ("cid1", &["cancelled, invited by bob: sorry"]),
            ("cid2", &["cancelled, invited by bob: sorry"]),
        ],
    );
}

#[test]
fn whole_cancel() {
    for mode in [Mode::General, Mode::Advanced] {
        for (acting, other) in [("ann1", "ann2"), ("ann2", "ann1")] {
            let mut scene = Scene::ringing(mode, &["bob", "cid", "dee"]);
            scene.act("dee1", reject());
            let gone: &[&str] = &["cancelled, invited by ann: sorry"];
            heard(
                &scene.act(acting, cancel(&[])),
                &[
                    (other, gone),
                    ("bob1", gone),
                    ("bob2", gone),
                    ("cid1", gone),
                    ("cid2", gone),
                ],
            );
        }
    }
}

#[test]
fn a_targeted_cancel_that_is_whole() {
    let mut scene = Scene::ringing(Mode::Advanced, &["bob", "cid"]);
    let gone: &[&str] = &["cancelled, invited by ann: sorry"];
    heard(
        &scene.act("ann1", cancel(&["cid", "bob"])),
        &[
            ("ann2", gone),
            ("bob1", gone),
            ("bob2", gone),
            ("cid1", gone),
            ("cid2", gone),
        ],
    );
}

#[test]
fn the_creator_vanishes() {
    let gone: &[&str] = &["cancelled, invited by ann: "];
    let mut scene = Scene::ringing(Mode::General, &["bob"]);
    heard(
        &scene.creator_gone(None),
        &[
            ("ann1", gone),
            ("ann2", gone),
            ("bob1", gone),
            ("bob2", gone),
        ],
    );
    let mut scene = Scene::ringing(Mode::General, &["bob"]);
    heard(
        &scene.creator_gone(Some("ann1")),
        &[("ann2", gone), ("bob1", gone), ("bob2", gone)],
    );
}

#[test]
fn the_creator_quits_unanswered() {
    let gone = "cancelled, invited by ann: bye";
    let mut scene = Scene::ringing(Mode::Advanced, &["bob"]);
    heard(
        &scene.act("ann1", quit()),
        &[
            ("ann1", &["changed ann=quit"]),
            ("ann2", &[gone]),
            ("bob1", &[gone]),
            ("bob2", &[gone]),
        ],
    );
    let mut scene = Scene::ringing(Mode::Advanced, &["bob"]);
    heard(
        &scene.act("ann2", quit()),
        &[
            ("ann1", &["changed ann=quit", gone]),
            ("bob1", &[gone]),
            ("bob2", &[gone]),
        ],
    );
}

#[test]
fn join_from_outside() {
    let mut scene = Scene::ringing(Mode::Advanced, &["bob", "cid"]);
    scene.act("cid1", reject());
    let changed = "changed zoe=accepted";
    heard(
        &scene.act("zoe2", join()),
        &[
            ("ann1", &[changed]),
            ("ann2", &["elsewhere accepted ann1"]),
            ("bob1", &[changed]),
            ("bob2", &[changed]),
            ("zoe2", &[changed]),
        ],
    );
    let changed: &[&str] = &["changed cid=accepted"];
    heard(
        &scene.act("cid2", join()),
        &[
            ("ann1", changed),
            ("bob1", changed),
            ("bob2", changed),
            ("cid2", changed),
            ("zoe2", changed),
        ],
    );
}

#[test]
fn the_call_moves() {
    let mut scene = Scene::talking(&["bob", "cid"]);
    heard(&scene.act("bob2", join()), &[("bob1", &["moved to bob2"])]);
    heard(&scene.act("ann2", join()), &[("ann1", &["moved to ann2"])]);
    // From now on the new devices hear, and the old ones do not.
    heard(
        &scene.act("cid1", quit()),
        &[
            ("ann2", &["changed cid=quit"]),
            ("bob2", &["changed cid=quit"]),
            ("cid1", &["changed cid=quit"]),
        ],
    );
}

#[test]
fn a_call_that_is_still_dialled_moves() {
    let mut scene = Scene::ringing(Mode::Advanced, &["bob"]);
    heard(&scene.act("ann2", join()), &[("ann1", &["moved to ann2"])]);
    heard(
        &scene.act("bob1", accept()),
        &[
            ("ann2", &["changed bob=accepted"]),
            ("bob1", &["changed bob=accepted"]),
            ("bob2", &["changed bob=accepted", "elsewhere accepted bob1"]),
        ],
    );
}
