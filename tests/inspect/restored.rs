//! Files that became another device: what was done before is not said to be that one's.

use offhook::{Config, Engine, InviteOptions};
use serde_json::Value;

use super::{Fixture, json};

/// `source what` and the device of each entry of the timeline.
fn devices(story: &Value) -> Vec<(String, String)> {
    let entries = story["timeline"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let devices = entries.map(|entry| {
        let what = format!("{} {}", text(&entry["source"]), text(&entry["what"]));
        (what, text(&entry["device"]))
    });
    devices.collect()
}

fn device<'a>(devices: &'a [(String, String)], what: &str) -> &'a str {
    let found = devices.iter().find(|(found, _)| found == what);
    &found
        .unwrap_or_else(|| panic!("no {what:?} in {devices:?}"))
        .1
}

#[test]
fn what_a_copy_s_original_did_is_told_by_its_name_or_none() {
    let fixture = Fixture::new();
    let app = fixture.app();
    // What the engine does to a file that goes on as another device.
    app.execute_batch(
        "UPDATE commands SET verdict = 'dropped', code = 6100004, settled_at_ms = 1767232811000
          WHERE verdict IS NULL;
         UPDATE meta SET value = 'tablet' WHERE key = 'device_id';
         UPDATE commands SET number = -n WHERE number IS NOT NULL;
         INSERT INTO commands (op, call_id, command, arguments, queued_at_ms, expires_at_ms)
         VALUES ('op-8', 'call-team', 'callQuit', '{}', 1767232820000, 0);
         INSERT INTO journal (at_ms, call_id, name, params)
         VALUES (1767232821000, 'call-team', 'callInvitationEnded', '{}');",
    )
    .unwrap();
    let team = devices(&fixture.json(&["call", "call-team"]));
    // The record says whose command made it the one that is in the call.
    assert_eq!(device(&team, "user callInvite"), "phone");
    assert_eq!(device(&team, "server callInvite accepted"), "phone");
    assert_eq!(device(&team, "user callCancel"), "");
    assert_eq!(device(&team, "server callCancel refused"), "");
    assert_eq!(device(&team, "server accepted"), "phone");
    assert_eq!(device(&team, "app callUserStateChanged"), "");
    assert_eq!(device(&team, "user callQuit"), "tablet");
    assert_eq!(device(&team, "app callInvitationEnded"), "tablet");
    // Never sent, and given up then.
    let unsent = devices(&fixture.json(&["call", "call-unsent"]));
    assert_eq!(device(&unsent, "user callInvite"), "");
    assert_eq!(device(&unsent, "device callInvite dropped"), "");
    let all = devices(&fixture.json(&["timeline"]));
    assert_eq!(device(&all, "user callQuit"), "tablet");
    assert_eq!(device(&all, "user callAccept"), "");
}

#[test]
fn what_the_original_s_app_was_told_is_known_by_its_place_in_the_journal() {
    let fixture = Fixture::new();
    let app = fixture.app();
    // As in the copy of a device that never sent anything.
    app.execute_batch(
        "DELETE FROM commands;
         UPDATE meta SET value = 'tablet' WHERE key = 'device_id';
         UPDATE sqlite_sequence SET seq = seq + (1 << 40) WHERE name = 'journal';
         INSERT INTO journal (at_ms, call_id, name, params)
         VALUES (1767229210201, 'call-team', 'callInvitationEnded', '{}');",
    )
    .unwrap();
    let team = devices(&fixture.json(&["call", "call-team"]));
    assert_eq!(device(&team, "app callUserStateChanged"), "");
    assert_eq!(device(&team, "app callInvitationEnded"), "tablet");
}

#[tokio::test]
async fn a_restored_file_names_its_device_for_its_own_commands_alone() {
    let fixture = Fixture::bare();
    let place = |name: &str| fixture.folder.path().join(name);
    let open = async |name: &str| {
        let engine = Engine::open(Config::new("127.0.0.1:9", "alice", place(name))).unwrap();
        engine.set_network(false).await.unwrap();
        engine
    };
    let options = InviteOptions {
        wait_s: Some(600),
        ..InviteOptions::default()
    };
    let original = open("alice.db").await;
    let before = original.call_invite(&["bob"], options.clone()).await;
    let before = before.unwrap().call_id().to_string();
    original.backup(place("copy.db")).await.unwrap();
    original.close().await.unwrap();
    Engine::restore(place("copy.db"), place("restored.db"))
        .await
        .unwrap();
    let restored = open("restored.db").await;
    let after = restored.call_invite(&["bob"], options).await;
    let after = after.unwrap().call_id().to_string();
    restored.close().await.unwrap();
    let path = place("restored.db");
    let own = json(&path, &["stats"])["device_id"].clone();
    let old = json(&place("alice.db"), &["stats"])["device_id"].clone();
    assert_ne!(own, old);
    let story = devices(&json(&path, &["call", &before]));
    assert_eq!(device(&story, "user callInvite"), "");
    assert_eq!(device(&story, "device callInvite dropped"), "");
    let story = devices(&json(&path, &["call", &after]));
    assert_eq!(device(&story, "user callInvite"), own);
    let story = devices(&json(&place("alice.db"), &["call", &before]));
    assert_eq!(device(&story, "user callInvite"), old);
}
