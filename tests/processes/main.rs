//! Several processes on one file, as an app and its notification extension are, against a server
//! process: one has the connection, all give commands and hear what happens.

#[allow(dead_code)]
#[path = "../scenarios/story.rs"]
mod story;
#[allow(dead_code)]
#[path = "../scenarios/support.rs"]
mod support;

mod rpc;

use std::collections::BTreeSet;
use std::path::PathBuf;

use offhook::{CallId, Engine, Page, Query, Role, UserState};
use rpc::Rpc;
use serde_json::{Value, json};
use support::{Device, SOON, World, general};

const QUERY: &str = "queryCallInvitationList";
const RECEIVED: &str = "callInvitationReceived";

/// A server, alice's device, and two processes on bob's file, of which the first is connected.
struct Scene {
    world: World,
    alice: Device,
    file: PathBuf,
    first: Rpc,
    second: Rpc,
}

impl Scene {
    async fn new() -> Self {
        let world = World::new();
        let alice = world.device("alice", "alice").await;
        let file = world.path("bob.db");
        let mut first = Rpc::start(&world, "bob", &file);
        first.connects();
        let mut second = Rpc::start(&world, "bob", &file);
        waits(&mut second);
        Self {
            world,
            alice,
            file,
            first,
            second,
        }
    }
}

async fn rings(alice: &Device) -> String {
    let invited = alice.invite(&["bob"], general()).await.unwrap();
    invited.call_id.to_string()
}

fn waits(process: &mut Rpc) {
    let connection = process.connection();
    assert_eq!(connection["state"], json!(0), "{connection}");
    let error = connection["error"].as_str().expect("a reason");
    assert!(error.contains("another process"), "{error}");
}

fn of(call: &str) -> Value {
    json!({"callID": call})
}

#[tokio::test]
async fn a_command_of_the_second_goes_out_through_the_first_and_its_verdict_answers_in_the_second()
{
    let mut scene = Scene::new().await;
    let invite = json!({"invitees": ["alice"], "config": {"timeout": 60}});
    let invited = scene.second.gets("callInvite", invite);
    assert_eq!(invited["timeout"], json!(60));
    let call = invited["callID"].as_str().unwrap();
    scene.alice.is_rung(&CallId::trusted(call)).await;
    let settled = scene.first.hears("commandSettled", call);
    assert_eq!(settled["command"], "callInvite");
    for process in [&mut scene.first, &mut scene.second] {
        process.hears("callInvitationCreated", call);
        let list = process.gets(QUERY, json!({}));
        assert_eq!(list["callList"][0]["callID"], *call);
        assert_eq!(process.gets("pending", json!({})), json!([]));
    }
    let refused = scene.second.asks("callAccept", of("no such call"));
    let refused = scene.second.answer(&refused);
    assert_eq!(refused["error"]["code"], json!(6_000_276), "{refused}");
    waits(&mut scene.second);
}

#[tokio::test]
async fn both_hear_each_event_once_and_in_one_order_whoever_answers() {
    let mut scene = Scene::new().await;
    for round in 0..4 {
        let call = rings(&scene.alice).await;
        scene.first.hears(RECEIVED, &call);
        scene.second.hears(RECEIVED, &call);
        let who = if round % 2 == 0 {
            &mut scene.first
        } else {
            &mut scene.second
        };
        who.gets("callReject", of(&call));
        let call = CallId::trusted(call);
        scene.alice.sees(&call, "bob", UserState::Rejected).await;
    }
    let last = rings(&scene.alice).await;
    scene.first.hears(RECEIVED, &last);
    scene.second.hears(RECEIVED, &last);
    let heard = scene.first.events();
    assert!(heard.len() >= 5, "{heard:#?}");
    assert_eq!(scene.second.events(), heard);
}

#[tokio::test]
async fn when_the_first_is_killed_the_second_takes_over_and_answers_what_rings() {
    let mut scene = Scene::new().await;
    let call = rings(&scene.alice).await;
    scene.first.hears(RECEIVED, &call);
    scene.second.hears(RECEIVED, &call);
    let id = scene.second.gets("status", json!({}))["deviceID"].clone();
    drop(scene.first);
    scene.second.gets("callAccept", of(&call));
    let answered = CallId::trusted(call);
    scene
        .alice
        .sees(&answered, "bob", UserState::Accepted)
        .await;
    let next = rings(&scene.alice).await;
    scene.second.hears(RECEIVED, &next);
    let status = scene.second.gets("status", json!({}));
    assert_eq!(status["deviceID"], id, "it is the same device");
    // The next one waits for this one.
    let mut third = Rpc::start(&scene.world, "bob", &scene.file);
    waits(&mut third);
    third.gets("callReject", of(&next));
}

#[tokio::test]
async fn what_was_given_while_the_first_had_no_network_goes_out_when_that_one_is_killed() {
    let mut scene = Scene::new().await;
    scene.first.gets("setNetwork", json!({"online": false}));
    let of_first = scene.first.gets(
        "callAccept",
        json!({"callID": "no such call", "wait": "disk"}),
    );
    let invite = json!({"invitees": ["alice"]});
    let given = scene.second.asks("callInvite", invite);
    let pending = scene.second.gets("pending", json!({}));
    assert_eq!(pending.as_array().unwrap().len(), 2, "{pending}");
    drop(scene.first);
    let invited = scene.second.answer(&given);
    let call = invited["result"]["callID"].as_str().expect("a call");
    scene.alice.is_rung(&CallId::trusted(call)).await;
    let settled = scene.second.hears("commandSettled", "no such call");
    assert_eq!(settled["op"], of_first["op"]);
}

#[tokio::test]
async fn a_pause_hands_over_and_who_comes_back_hears_what_the_other_heard_meanwhile() {
    let mut scene = Scene::new().await;
    scene.first.gets("pause", json!({}));
    scene.second.connects();
    let call = rings(&scene.alice).await;
    scene.second.hears(RECEIVED, &call);
    scene.first.gets("resume", json!({}));
    scene.first.hears(RECEIVED, &call);
    waits(&mut scene.first);
    scene.first.gets("callReject", of(&call));
    let rejected = CallId::trusted(call);
    scene
        .alice
        .sees(&rejected, "bob", UserState::Rejected)
        .await;
    let last = rings(&scene.alice).await;
    scene.first.hears(RECEIVED, &last);
    scene.second.hears(RECEIVED, &last);
    assert_eq!(scene.first.events(), scene.second.events());
}

/// Alice rings bob and gives up: a call that he missed.
async fn rings_in_vain(alice: &Device) -> String {
    let call = rings(alice).await;
    let id = CallId::trusted(call.clone());
    alice.cancel(&[], &id).await.unwrap();
    call
}

#[tokio::test]
async fn one_pages_through_the_list_while_another_writes_it_and_gets_every_call_once() {
    let mut scene = Scene::new().await;
    let mut calls = Vec::new();
    for _ in 0..12 {
        calls.push(rings_in_vain(&scene.alice).await);
    }
    let last = calls.last().unwrap();
    scene.second.hears("callInvitationCancelled", last);
    for walk in 0..3 {
        let there = calls.clone();
        let mut listed = Vec::new();
        let mut next_flag = json!(0);
        loop {
            // The first process writes these whenever they reach it.
            calls.push(rings_in_vain(&scene.alice).await);
            let config = json!({"count": 3 + walk, "nextFlag": next_flag});
            let page = scene.second.gets(QUERY, json!({"config": config}));
            let page_calls = page["callList"].as_array().unwrap().iter();
            listed.extend(page_calls.map(|call| call["callID"].as_str().unwrap().to_owned()));
            next_flag = page["nextFlag"].clone();
            if next_flag == json!(0) {
                break;
            }
        }
        let once: BTreeSet<&String> = listed.iter().collect();
        assert_eq!(once.len(), listed.len(), "twice: {listed:?}");
        let newest_first = there.iter().rev();
        let of_then = listed.iter().filter(|call| there.contains(call));
        assert!(of_then.eq(newest_first), "{listed:?} of {there:?}");
        let last = calls.last().unwrap();
        scene.second.hears("callInvitationCancelled", last);
    }
}

#[tokio::test]
async fn what_another_process_writes_reaches_a_page_and_a_count_that_are_watched() {
    let scene = Scene::new().await;
    let engine = Engine::open(scene.world.config("bob", "bob")).unwrap();
    let mut pages = engine.watch(Query::default());
    let mut counts = engine.watch_missed();
    assert_eq!(pages.next().await.unwrap().unwrap(), Page::default());
    assert_eq!(counts.next().await.unwrap().unwrap(), 0);
    let call = rings_in_vain(&scene.alice).await;
    let comes = async {
        while counts.next().await.unwrap().unwrap() != 1 {}
        loop {
            let page = pages.next().await.unwrap().unwrap();
            if let [entry] = page.calls.as_slice()
                && entry.missed
            {
                return entry.call.id.to_string();
            }
        }
    };
    let listed = tokio::time::timeout(SOON, comes).await;
    assert_eq!(listed.expect("the missed call"), call);
    let status = engine.status().await.unwrap();
    assert_eq!(
        status.role,
        Role::Waiting,
        "the other process has written it"
    );
}

#[tokio::test]
async fn what_two_do_at_the_same_time_is_told_by_both_all_of_it_once_and_in_one_order() {
    const EACH: usize = 150;
    let mut scene = Scene::new().await;
    scene.first.gets("setNetwork", json!({"online": false}));
    let both = [&mut scene.first, &mut scene.second];
    let invite = json!({"invitees": ["alice"], "wait": "disk"});
    let asked = both.map(|one| {
        let asked = (0..EACH).map(|_| one.asks("callInvite", invite.clone()));
        let asked: Vec<Value> = asked.collect();
        (one, asked)
    });
    let cancels = asked.map(|(one, asked)| {
        let answers: Vec<Value> = asked.iter().map(|id| one.answer(id)).collect();
        let calls = answers.iter().map(|answer| &answer["result"]["callID"]);
        let calls: Vec<&Value> = calls.collect();
        let asked: Vec<Value> = calls
            .iter()
            .map(|call| json!({"callID": call, "invitees": [], "wait": "disk"}))
            .map(|cancel| one.asks("callCancel", cancel))
            .collect();
        (one, asked)
    });
    for (one, asked) in cancels {
        for id in asked {
            assert_eq!(one.answer(&id)["result"]["pending"], json!(true));
        }
        while one.told.len() < 4 * EACH {
            one.next_line("a verdict");
        }
        let params = json!({"position": 0, "limit": 1_000});
        let journal = one.gets("eventsSince", params)["events"].clone();
        let told: Value = one
            .told
            .iter()
            .map(|(position, name, _)| json!([position, name]))
            .collect();
        let journal: Value = journal
            .as_array()
            .unwrap()
            .iter()
            .map(|event| json!([event["position"], event["name"]]))
            .collect();
        assert_eq!(told, journal);
    }
}

#[tokio::test]
async fn of_many_that_make_the_file_at_once_one_connects_and_all_get_their_verdicts() {
    let world = World::new();
    let file = world.path("bob.db");
    let mut all: Vec<Rpc> = (0..5).map(|_| Rpc::start(&world, "bob", &file)).collect();
    let asked: Vec<Value> = all
        .iter_mut()
        .enumerate()
        .map(|(n, one)| one.asks("callAccept", of(&format!("no such call {n}"))))
        .collect();
    for (one, asked) in all.iter_mut().zip(&asked) {
        let answer = one.answer(asked);
        assert_eq!(answer["error"]["code"], json!(6_000_276), "{answer}");
    }
    let connected = all.iter_mut().map(|one| one.connection()["state"].clone());
    let connected = connected.filter(|state| state == &json!(2)).count();
    assert_eq!(connected, 1);
}

/// Bob, alone and without a server to hear from: an invite is withdrawn, which takes two verdicts.
fn withdraws(bob: &mut Rpc) -> Value {
    let invite = json!({"invitees": ["alice"], "wait": "disk"});
    let call = bob.gets("callInvite", invite)["callID"].clone();
    let cancel = json!({"callID": call, "invitees": [], "wait": "disk"});
    bob.gets("callCancel", cancel);
    let id = call.as_str().unwrap();
    for command in ["callInvite", "callCancel"] {
        let settled = bob.hears("commandSettled", id);
        assert_eq!(settled["command"], command);
    }
    call
}

#[tokio::test]
async fn a_file_that_was_deleted_while_open_begins_anew_on_resume_and_all_is_told_behind_the_old() {
    let world = World::new();
    let file = world.path("bob.db");
    let mut bob = Rpc::start(&world, "bob", &file);
    bob.gets("setNetwork", json!({"online": false}));
    for _ in 0..3 {
        withdraws(&mut bob);
    }
    let last = bob.told.last().unwrap().0;
    std::fs::remove_file(&file).unwrap();
    let refused = bob.asks("callInvite", json!({"invitees": ["alice"]}));
    let refused = bob.answer(&refused);
    assert_eq!(refused["error"]["data"]["reason"], "moved", "{refused}");
    bob.gets("resume", json!({}));
    bob.gets("setNetwork", json!({"online": false}));
    withdraws(&mut bob);
    let told: Vec<u64> = bob.told.iter().map(|told| told.0).collect();
    assert_eq!(told[6..], [last + 1, last + 2]);
    let since = json!({"position": last});
    let since = bob.gets("eventsSince", since)["events"].clone();
    assert_eq!(since.as_array().unwrap().len(), 2, "{since}");
}
