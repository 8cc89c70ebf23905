//! Who hears what when somebody leaves and when a call is over; who hears nothing any more; and what
//! is in an event. Live, as in [`crate::hears`].

use offhook::call::{CallEvent, CallUser, EndKind, Mode, UserState};

use crate::scene::{Scene, heard};
use crate::world::{
    START, World, accept, cancel, device, end, invite, quit, reject, ring, ring_for, user,
};

#[test]
fn leaving() {
    let mut scene = Scene::talking(&["bob", "cid", "dee"]);
    scene.add("eve");
    scene.act("ann1", ring(&["eve"]));
    scene.act("dee1", quit());
    let changed: &[&str] = &["changed bob=quit"];
    // Also by another device than the primary one: that one acted, this one hears.
    heard(
        &scene.act("bob2", quit()),
        &[
            ("ann1", changed),
            ("bob1", changed),
            ("cid1", changed),
            ("eve1", changed),
            ("eve2", changed),
        ],
    );
}

#[test]
fn the_last_one_leaves() {
    let mut scene = Scene::talking(&["bob"]);
    scene.act("ann1", quit());
    heard(
        &scene.act("bob1", quit()),
        &[("bob1", &["changed bob=quit"])],
    );
    assert_eq!(scene.world.ending(), Some(EndKind::Abandoned));
}

#[test]
fn call_end() {
    let mut scene = Scene::ringing(Mode::Advanced, &["bob", "cid", "dee", "eve"]);
    scene.act("bob1", accept());
    scene.act("cid1", reject());
    scene.act("dee1", accept());
    scene.act("dee1", quit());
    let over: &[&str] = &["ended by bob: over"];
    heard(
        &scene.act("bob1", end()),
        &[
            ("ann1", over),
            ("bob1", over),
            ("eve1", over),
            ("eve2", over),
        ],
    );
    heard(&scene.hear_all(true), &[]);
}

#[test]
fn an_unanswered_call_is_ended() {
    let over: &[&str] = &["ended by ann: over"];
    let mut scene = Scene::ringing(Mode::Advanced, &["bob"]);
    heard(
        &scene.act("ann1", end()),
        &[
            ("ann1", over),
            ("ann2", &["elsewhere accepted ann1"]),
            ("bob1", over),
            ("bob2", over),
        ],
    );
    let mut scene = Scene::ringing(Mode::Advanced, &["bob"]);
    heard(
        &scene.act("ann2", end()),
        &[("ann1", over), ("bob1", over), ("bob2", over)],
    );
}

#[test]
fn the_server_ends_a_call() {
    let mut scene = Scene::talking(&["bob"]);
    scene.add("cid");
    scene.act("ann1", ring(&["cid"]));
    let over: &[&str] = &["ended by : "];
    heard(
        &scene.abandoned(),
        &[
            ("ann1", over),
            ("bob1", over),
            ("cid1", over),
            ("cid2", over),
        ],
    );
}

#[test]
fn a_general_call_that_all_answered_has_no_end_of_its_own() {
    let mut scene = Scene::ringing(Mode::General, &["bob", "cid"]);
    scene.act("bob1", accept());
    heard(
        &scene.act("cid1", reject()),
        &[
            ("ann1", &["changed cid=rejected"]),
            ("bob1", &["changed cid=rejected"]),
            ("cid1", &["changed cid=rejected"]),
            ("cid2", &["changed cid=rejected", "elsewhere rejected cid1"]),
        ],
    );
    assert_eq!(scene.world.ending(), Some(EndKind::Completed));
}

#[test]
fn the_dialling_device_at_a_general_call_that_nobody_took() {
    let mut scene = Scene::ringing(Mode::General, &["bob"]);
    heard(
        &scene.act("bob1", reject()),
        &[
            ("ann1", &["changed bob=rejected"]),
            ("ann2", &["elsewhere accepted ann1"]),
            ("bob1", &["changed bob=rejected"]),
            ("bob2", &["changed bob=rejected", "elsewhere rejected bob1"]),
        ],
    );
}

#[test]
fn former_members_hear_nothing() {
    let mut scene = Scene::ringing(Mode::Advanced, &["bob", "cid", "dee", "eve", "fay"]);
    scene.act("bob1", reject());
    scene.act("ann1", cancel(&["cid"]));
    scene.act("dee1", accept());
    scene.act("dee1", quit());
    scene.act("fay1", accept());
    scene.after(90_000);
    for found in [
        scene.act("ann1", ring(&["eve"])),
        scene.receipt("eve"),
        scene.act("ann1", cancel(&["eve"])),
        scene.act("fay1", quit()),
        scene.act("ann1", end()),
    ] {
        for (name, words) in found {
            assert!(
                ["ann1", "ann2", "fay1", "eve1", "eve2"].contains(&name.as_str()),
                "{name} heard {words:?}"
            );
        }
    }
}

#[test]
fn ringing_anew_after_everything() {
    let mut scene = Scene::talking(&["bob"]);
    scene.add("cid");
    for closing in ["reject", "cancel", "timeout"] {
        scene.act("ann1", ring(&["cid"]));
        match closing {
            "reject" => scene.act("cid1", reject()),
            "cancel" => scene.act("ann1", cancel(&["cid"])),
            _ => scene.after(90_000),
        };
        heard(
            &scene.act("bob1", ring(&["cid"])),
            &[
                ("ann1", &["changed cid=inviting"]),
                ("bob1", &["changed cid=inviting"]),
                ("cid1", &["received from bob"]),
                ("cid2", &["received from bob"]),
            ],
        );
        scene.act("bob1", cancel(&["cid"]));
    }
}

#[test]
fn every_field_of_a_ring() {
    let mut world = World::ringing(Mode::Advanced, &["bob"]);
    world.must("bob1", accept());
    world.after(10_000);
    world.must("bob1", ring_for(&["cid"], 20));
    let mut scene = Scene::of(world, &["bob", "cid"]);
    scene.world.after(3_000);
    assert_eq!(
        scene.hear_one("cid1", true),
        [CallEvent::Received {
            call_id: scene.world.call().id.clone(),
            mode: Mode::Advanced,
            caller: user("ann"),
            inviter: user("bob"),
            extended_data: "come in".to_owned(),
            timeout: 20,
            create_time: START,
            deadline: START + 30_000,
            remaining: 17_000,
            call_user_list: scene.world.call().users(),
            over: false,
        }]
    );
}

#[test]
fn every_field_of_the_rest() {
    let mut scene = Scene::ringing(Mode::Advanced, &["bob"]);
    let call_id = scene.world.call().id.clone();
    scene.world.must("bob1", accept());
    let changed = CallEvent::UserStateChanged {
        call_id: call_id.clone(),
        call_user_list: vec![CallUser {
            user_id: user("bob"),
            state: UserState::Accepted,
            extended_data: "yes".to_owned(),
        }],
    };
    let elsewhere = CallEvent::HandledElsewhere {
        call_id: call_id.clone(),
        state: UserState::Accepted,
        device_id: device("bob1").to_string(),
    };
    assert_eq!(scene.hear_one("bob2", true), [changed, elsewhere]);
    scene.world.after(1_234).must("ann1", end());
    assert_eq!(
        scene.hear_one("ann1", true).last(),
        Some(&CallEvent::Ended {
            call_id: call_id.clone(),
            mode: Mode::Advanced,
            caller: user("ann"),
            operated_user_id: "ann".to_owned(),
            extended_data: "over".to_owned(),
            end_time: START + 1_234,
        })
    );
    let mut world = World::new();
    world.must("ann1", invite(Mode::General, &["bob"]));
    let mut scene = Scene::of(world, &["bob"]);
    assert_eq!(
        scene.hear_one("ann2", true),
        [CallEvent::Created {
            call_id: call_id.clone(),
            mode: Mode::General,
            caller: user("ann"),
            extended_data: "hello".to_owned(),
            timeout: 90,
            create_time: START,
            call_user_list: scene.world.call().users(),
        }]
    );
    scene.hear_all(true);
    scene.world.after(90_000).tick();
    assert_eq!(
        scene.hear_one("bob1", true),
        [CallEvent::Timeout {
            call_id,
            mode: Mode::General,
            local: false,
        }]
    );
}
