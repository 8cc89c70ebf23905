//! Files whose bytes are not what was written.

use std::fs;
use std::path::{Path, PathBuf};

use offhook::call::{CallId, Command, DeviceId, Mode, UserId};
use offhook::client::event::EventKind;
use offhook::{
    Code, CommandOptions, Config, ConnectionState, Engine, Error, Events, InviteOptions, Roots,
    SetAside,
};

use super::device::FILE;
use super::disk::Disk;
use super::look::{Look, Place};
use super::script;
use super::town::{BOB, Town};

const PAGE: usize = 4_096;
/// How many invites wait in the damaged file, so many that they take several pages.
const WAITING: usize = 60;
/// After so many steps of the script there are calls and nothing rings, so that opening a file has
/// nothing to write.
const CALM: usize = 9;

/// What damages a file.
type Harm = fn(Vec<u8>, &Place) -> Vec<u8>;

/// The database of a bob with a past: calls, one command sent and not decided, many not yet sent.
struct Past {
    bytes: Vec<u8>,
    device: String,
    place: Place,
}

fn past() -> Past {
    let mut town = Town::new(1, None);
    town.start();
    (0..CALM).for_each(|step| script::step(&mut town, step));
    let now = town.now();
    let join = Command::Join {
        extended_data: String::new(),
    };
    let bob = &mut town.devices[BOB];
    assert!(bob.submit(now, "sent", "elsewhere", join));
    bob.online = false;
    bob.die();
    bob.open(now);
    for n in 0..WAITING {
        let invite = Command::Invite {
            invitees: vec![UserId::trusted("alice")],
            timeout_s: 60,
            mode: Mode::General,
            extended_data: "a long word about why".repeat(20),
            not_received_check: false,
            push: None,
        };
        assert!(bob.submit(now, &format!("unsent-{n:02}"), &format!("c{n}"), invite));
    }
    assert!(bob.checkpoint(now));
    let look = bob.look();
    Past {
        bytes: bob.disk.read(FILE).unwrap(),
        device: look.text("SELECT value FROM meta WHERE key = 'device_id'"),
        place: look.places(),
    }
}

fn config(folder: &Path) -> Config {
    let mut config = Config::new("127.0.0.1:1", "bob", folder.join("bob.db"));
    config.roots = Roots::Pinned([7; 32]);
    config
}

fn open(folder: &Path) -> Result<(Engine, Events), Error> {
    Engine::open_with_events(config(folder))
}

fn aside(folder: &Path, number: usize) -> PathBuf {
    folder.join(format!("bob.db.corrupt-{number}"))
}

fn garbage(bytes: &mut [u8]) {
    bytes.iter_mut().for_each(|byte| *byte ^= 0xa5);
}

fn page(bytes: &mut [u8], number: i64) -> &mut [u8] {
    let at = (usize::try_from(number).unwrap() - 1) * PAGE;
    &mut bytes[at..at + PAGE]
}

fn header(mut bytes: Vec<u8>, _: &Place) -> Vec<u8> {
    garbage(&mut bytes[..16]);
    bytes
}

fn schema(mut bytes: Vec<u8>, _: &Place) -> Vec<u8> {
    garbage(&mut page(&mut bytes, 1)[100..200]);
    bytes
}

fn calls(mut bytes: Vec<u8>, place: &Place) -> Vec<u8> {
    garbage(page(&mut bytes, place.root("calls")));
    bytes
}

fn journal(mut bytes: Vec<u8>, place: &Place) -> Vec<u8> {
    garbage(page(&mut bytes, place.root("journal")));
    bytes
}

fn index(mut bytes: Vec<u8>, place: &Place) -> Vec<u8> {
    garbage(page(&mut bytes, place.root("journal_call")));
    bytes
}

fn part_of_the_outbox(mut bytes: Vec<u8>, place: &Place) -> Vec<u8> {
    let leaf = place.leaves("commands")[2];
    garbage(page(&mut bytes, leaf));
    bytes
}

fn tail_cut_off(mut bytes: Vec<u8>, _: &Place) -> Vec<u8> {
    bytes.truncate(bytes.len() - PAGE - 100);
    bytes
}

fn nearly_all_cut_off(mut bytes: Vec<u8>, _: &Place) -> Vec<u8> {
    bytes.truncate(PAGE + 77);
    bytes
}

fn first_page(mut bytes: Vec<u8>, _: &Place) -> Vec<u8> {
    garbage(page(&mut bytes, 1));
    bytes
}

/// Uses all of an engine until something of it finds the damage.
async fn find_damage(engine: &Engine) -> Error {
    let id = CallId::trusted("call-0-b");
    loop {
        if let Err(error) = engine.pending() {
            return error;
        }
        let invite = engine.call_invite(&["carl"], InviteOptions::default());
        let invited = match invite.await {
            Ok(invited) => invited,
            Err(error) => return error,
        };
        // Never sent, both end at once, and their verdicts are journaled.
        let cancel = engine.call_cancel(&[], invited.call_id(), CommandOptions::default());
        if let Err(error) = cancel.await {
            return error;
        }
        if let Err(error) = engine.call_accept(&id, CommandOptions::default()).await
            && error.code == Code::Corrupt
        {
            return error;
        }
        if let Err(error) = engine.query_call_invitation_list(100, 0) {
            return error;
        }
        if let Err(error) = engine.events_since(0, 1_000).await {
            return error;
        }
        if let Err(error) = engine.mark_seen(None).await {
            return error;
        }
    }
}

/// Opens the damaged file until it is set aside, and says what became of it: the verdicts told
/// live, and the commands that wait.
async fn opened_anew(name: &str, folder: &Path) -> (Vec<String>, Vec<String>, String) {
    for _ in 0..2 {
        let (engine, mut events) = open(folder).unwrap();
        if !aside(folder, 1).exists() {
            // Opening did not come across it. Using it does.
            let error = find_damage(&engine).await;
            assert_eq!(error.code, Code::Corrupt, "{name}: {error}");
            engine.close().await.ok();
            continue;
        }
        let status = engine.status().await.unwrap();
        let waiting = engine.pending().unwrap();
        let waiting = waiting.iter().map(|one| one.op.to_string()).collect();
        engine.close().await.unwrap();
        let mut told = Vec::new();
        while let Some(event) = events.next().await {
            if let Ok(event) = event
                && let EventKind::CommandSettled(settled) = event.kind
            {
                let error = settled.result.unwrap_err();
                told.push(format!("{} {}", settled.op, error.code.number()));
            }
        }
        return (told, waiting, status.device_id.to_string());
    }
    panic!("the damage is never found");
}

fn all_waiting() -> Vec<String> {
    (0..WAITING).map(|n| format!("unsent-{n:02}")).collect()
}

/// Damage, whether the outbox can be read whole, in part or not at all, and whether its end of a
/// command that was sent is told.
const HARMS: [(&str, Harm, Readable); 9] = [
    ("header", header, Readable::Nothing),
    ("schema", schema, Readable::Any),
    ("calls", calls, Readable::All),
    ("journal", journal, Readable::All),
    ("index", index, Readable::All),
    ("part of the outbox", part_of_the_outbox, Readable::Part),
    ("tail cut off", tail_cut_off, Readable::Any),
    ("nearly all cut off", nearly_all_cut_off, Readable::Any),
    ("first page", first_page, Readable::Nothing),
];

#[derive(Clone, Copy, PartialEq)]
enum Readable {
    All,
    Part,
    Nothing,
    Any,
}

#[tokio::test]
async fn a_damaged_file_is_set_aside_and_its_outbox_goes_on_under_another_device() {
    let past = past();
    for (name, harm, readable) in HARMS {
        let folder = tempfile::tempdir().unwrap();
        let bytes = harm(past.bytes.clone(), &past.place);
        fs::write(folder.path().join("bob.db"), &bytes).unwrap();
        let (told, waiting, device) = opened_anew(name, folder.path()).await;
        assert_ne!(device, past.device, "{name}");
        assert!(aside(folder.path(), 1).exists(), "{name}");
        let saved: Vec<String> = all_waiting()
            .into_iter()
            .filter(|op| waiting.contains(op))
            .collect();
        match readable {
            Readable::All => {
                assert_eq!(saved, all_waiting(), "{name}");
                assert_eq!(told, ["sent 6100003"], "{name}");
            }
            Readable::Part => {
                assert!(
                    saved.len() >= WAITING / 2 && saved.len() < WAITING,
                    "{name}"
                );
                assert_eq!(told, ["sent 6100003"], "{name}");
            }
            Readable::Nothing => assert_eq!((saved.len(), told.len()), (0, 0), "{name}"),
            Readable::Any => {}
        }
        let look = Look::in_folder(&folder.path().join("bob.db"));
        assert!(look.is_sound(), "{name}");
        // Opened once more, it is a file like any other.
        let (engine, _) = open(folder.path()).unwrap();
        assert_eq!(engine.status().await.unwrap().device_id.as_str(), device);
        assert!(!aside(folder.path(), 2).exists(), "{name}");
    }
}

/// What an engine tells of a damaged file, live and from its journal: what became of it, and the
/// commands that ended.
async fn told_of_damage(engine: &Engine, events: &mut Events) -> (SetAside, Vec<String>) {
    engine.status().await.unwrap();
    let (journal, _) = engine.events_since(0, 1_000).await.unwrap();
    let mut live = Vec::new();
    while live.len() < journal.len() {
        let event = events.next().await.unwrap().unwrap();
        live.extend(event.position.is_some().then_some(event));
    }
    assert_eq!(live, journal);
    let mut told = journal.into_iter().map(|event| event.kind);
    let Some(EventKind::DatabaseSetAside(aside)) = told.next() else {
        panic!("it is not told");
    };
    let ended = told.map(|kind| match kind {
        EventKind::CommandSettled(settled) => settled.op.to_string(),
        other => panic!("{other:?}"),
    });
    (aside, ended.collect())
}

#[tokio::test]
async fn what_could_not_be_taken_over_is_counted_and_all_of_it_is_told() {
    let past = past();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bob.db");
    fs::write(&file, &past.bytes).unwrap();
    let look = Look::in_folder(&file);
    // As much as a server may allow; more than any may; of a newer build; no command at all.
    look.execute(
        "UPDATE commands SET arguments = json_set(arguments, '$.extended_data', hex(zeroblob(4096)))
          WHERE op = 'unsent-00';
         UPDATE commands SET arguments = json_set(arguments, '$.extended_data', hex(zeroblob(4097)))
          WHERE op = 'unsent-01';
         UPDATE commands SET command = 'callLater' WHERE op = 'unsent-02';
         UPDATE commands SET arguments = '{' WHERE op = 'unsent-03';",
    );
    let place = look.places();
    drop(look);
    fs::write(&file, calls(fs::read(&file).unwrap(), &place)).unwrap();
    fs::write(folder.path().join("bob.db.suspected"), "").unwrap();
    let (engine, mut events) = open(folder.path()).unwrap();
    let (told, ended) = told_of_damage(&engine, &mut events).await;
    let expected = SetAside {
        path: aside(&folder.path().canonicalize().unwrap(), 1),
        pending: WAITING as u64 - 3,
        ended: 1,
        lost: 3,
    };
    assert_eq!((told, ended), (expected, vec!["sent".to_owned()]));
    let waiting = engine.pending().unwrap();
    assert_eq!(waiting.len(), WAITING - 3);
    assert_eq!(waiting[0].op.as_str(), "unsent-00");
}

#[tokio::test]
async fn a_file_that_was_damaged_during_a_pause_is_told_of_once() {
    let past = past();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bob.db");
    fs::write(&file, &past.bytes).unwrap();
    let (engine, mut events) = open(folder.path()).unwrap();
    engine.pause(None).await.unwrap();
    fs::write(&file, calls(fs::read(&file).unwrap(), &past.place)).unwrap();
    fs::write(folder.path().join("bob.db.suspected"), "").unwrap();
    engine.resume().await.unwrap();
    let (told, ended) = told_of_damage(&engine, &mut events).await;
    assert_eq!((told.ended, ended), (1, vec!["sent".to_owned()]));
    engine.close().await.unwrap();
    while let Some(event) = events.next().await {
        assert_eq!(event.unwrap().position, None, "once");
    }
}

#[tokio::test]
async fn damage_that_is_found_while_running_leaves_status_an_answer_and_resume_sets_the_file_aside()
{
    let past = past();
    // Who finds it first: a reader, or the writer.
    for (name, first) in [("calls_unseen", "reader"), ("commands_call", "writer")] {
        let folder = tempfile::tempdir().unwrap();
        let mut bytes = past.bytes.clone();
        garbage(page(&mut bytes, past.place.root(name)));
        fs::write(folder.path().join("bob.db"), &bytes).unwrap();
        let (engine, mut events) = open(folder.path()).unwrap();
        if first == "writer" {
            let invite = engine.call_invite(&["carl"], InviteOptions::default());
            let error = invite.await.map(drop).unwrap_err();
            assert_eq!(error.code, Code::Corrupt);
            assert!(error.message.contains("resume"), "{error}");
        }
        let status = engine.status().await.unwrap();
        if first == "reader" {
            assert!(status.error.unwrap().contains("damaged"));
        }
        assert_eq!(status.device_id.as_str(), past.device);
        assert!(!aside(folder.path(), 1).exists());
        engine.resume().await.unwrap();
        let (told, ended) = told_of_damage(&engine, &mut events).await;
        assert!(told.path.exists());
        assert_eq!(
            (told.pending, ended),
            (WAITING as u64, vec!["sent".to_owned()])
        );
        assert_ne!(engine.status().await.unwrap().device_id, status.device_id);
        assert_eq!(engine.pending().unwrap().len(), WAITING);
    }
}

#[tokio::test]
async fn resume_of_a_suspected_file_that_is_whole_goes_on_with_it_and_logs_in() {
    let past = past();
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("bob.db"), &past.bytes).unwrap();
    let (engine, _) = open(folder.path()).unwrap();
    engine.logout().await.unwrap();
    let mark = folder.path().join("bob.db.suspected");
    fs::write(&mark, "").unwrap();
    engine.resume().await.unwrap();
    let status = engine.status().await.unwrap();
    assert_eq!(status.device_id.as_str(), past.device);
    assert_eq!(status.connection, ConnectionState::Connecting);
    assert!(!mark.exists() && !aside(folder.path(), 1).exists());
}

#[tokio::test]
async fn what_was_set_aside_is_what_was_there_byte_for_byte() {
    let past = past();
    let folder = tempfile::tempdir().unwrap();
    let bytes = schema(past.bytes.clone(), &past.place);
    fs::write(folder.path().join("bob.db"), &bytes).unwrap();
    drop(open(folder.path()).unwrap());
    assert!(fs::read(aside(folder.path(), 1)).unwrap() == bytes);
}

#[tokio::test]
async fn a_file_that_was_emptied_is_set_aside_with_its_log() {
    let past = past();
    let folder = tempfile::tempdir().unwrap();
    let [file, log] = ["bob.db", "bob.db-wal"].map(|name| folder.path().join(name));
    fs::write(&file, &past.bytes).unwrap();
    let (engine, _) = open(folder.path()).unwrap();
    let invite = engine.call_invite(&["carl"], InviteOptions::default());
    invite.await.unwrap();
    let unsaved = fs::read(&log).unwrap();
    assert!(!unsaved.is_empty());
    engine.close().await.unwrap();
    fs::write(&file, "").unwrap();
    fs::write(&log, &unsaved).unwrap();
    let (engine, mut events) = open(folder.path()).unwrap();
    let (told, ended) = told_of_damage(&engine, &mut events).await;
    assert_eq!((told.pending, ended), (0, Vec::new()));
    let kept = fs::read(folder.path().join("bob.db.corrupt-1-wal")).unwrap();
    assert!(kept == unsaved);
}

#[tokio::test]
async fn the_second_damaged_file_is_set_aside_beside_the_first() {
    let past = past();
    let folder = tempfile::tempdir().unwrap();
    for number in 1..=3 {
        let bytes = header(past.bytes.clone(), &past.place);
        fs::write(folder.path().join("bob.db"), &bytes).unwrap();
        let (engine, _) = open(folder.path()).unwrap();
        engine.close().await.unwrap();
        assert!(aside(folder.path(), number).exists());
    }
}

#[tokio::test]
async fn positions_of_the_journal_go_on_after_a_damaged_file() {
    let past = past();
    for harm in [calls as Harm, header, journal] {
        let folder = tempfile::tempdir().unwrap();
        let bytes = harm(past.bytes.clone(), &past.place);
        fs::write(folder.path().join("bob.db"), &bytes).unwrap();
        opened_anew("again", folder.path()).await;
        let look = Look::in_folder(&folder.path().join("bob.db"));
        let next = look.number("SELECT seq FROM sqlite_sequence WHERE name = 'journal'");
        assert!(next >= past.place.last_position, "{next}");
    }
}

#[tokio::test]
async fn positions_only_grow_however_often_a_file_is_damaged_and_what_was_set_aside_deleted() {
    let past = past();
    let folder = tempfile::tempdir().unwrap();
    let mut last = past.place.last_position;
    for _ in 0..3 {
        let bytes = first_page(past.bytes.clone(), &past.place);
        fs::write(folder.path().join("bob.db"), bytes).unwrap();
        let (engine, _) = open(folder.path()).unwrap();
        let (events, _) = engine.events_since(0, 1_000).await.unwrap();
        let first = events[0].position.unwrap().cast_signed();
        assert!(first > last && first < 1 << 53, "{first} after {last}");
        engine.close().await.unwrap();
        let look = Look::in_folder(&folder.path().join("bob.db"));
        last = look.number("SELECT seq FROM sqlite_sequence WHERE name = 'journal'");
        fs::remove_file(aside(folder.path(), 1)).unwrap();
    }
}

#[tokio::test]
async fn the_damaged_database_of_another_user_is_left_alone() {
    let past = past();
    let folder = tempfile::tempdir().unwrap();
    let bytes = tail_cut_off(past.bytes.clone(), &past.place);
    let file = folder.path().join("bob.db");
    fs::write(&file, &bytes).unwrap();
    fs::write(folder.path().join("bob.db.suspected"), "").unwrap();
    let mut carls = config(folder.path());
    carls.user = "carl".into();
    let refused = Engine::open(carls).map(drop).unwrap_err();
    assert_eq!(refused.code, Code::InvalidParameter, "{refused}");
    assert!(fs::read(&file).unwrap() == bytes);
}

#[test]
fn other_programs_databases_and_newer_ones_are_left_alone_damaged_or_not() {
    let past = past();
    for damaged in [false, true] {
        for (at, mark, code) in [
            (68, 0x1234_u32, Code::Corrupt),
            (60, 99, Code::NewerVersion),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let mut bytes = past.bytes.clone();
            bytes[at..at + 4].copy_from_slice(&mark.to_be_bytes());
            if damaged {
                bytes = schema(bytes, &past.place);
            }
            let file = folder.path().join("bob.db");
            fs::write(&file, &bytes).unwrap();
            let refused = open(folder.path()).map(drop).unwrap_err();
            assert_eq!(refused.code, code, "{refused}");
            assert!(fs::read(&file).unwrap() == bytes);
            assert!(!aside(folder.path(), 1).exists());
        }
    }
}

#[test]
fn calls_come_back_from_the_server_after_damage() {
    let mut town = Town::new(1, None);
    town.start();
    (0..CALM).for_each(|step| script::step(&mut town, step));
    let now = town.now();
    let bob = &mut town.devices[BOB];
    assert!(bob.checkpoint(now));
    let before = bob.look().calls();
    assert!(before.len() > 5);
    let place = bob.look().places();
    bob.die();
    let bytes = calls(bob.disk.read(FILE).unwrap(), &place);
    bob.disk.put(FILE, Some(bytes));
    bob.disk.put("user.db-wal", None);
    bob.disk.put("user.db.suspected", Some(Vec::new()));
    bob.forget_what_was_said();
    let conn = bob.conn.take();
    bob.open(now);
    town.disconnect(conn);
    town.settle();
    assert_eq!(town.devices[BOB].look().calls(), before);
}

#[test]
fn the_power_can_go_at_any_moment_of_setting_a_file_aside() {
    let past = past();
    let bytes = calls(past.bytes.clone(), &past.place);
    let (user, device) = (UserId::trusted("bob"), DeviceId::trusted("another"));
    let run = |seed: u64, crash_at: Option<u64>| {
        let disk = Disk::new(seed);
        disk.put(FILE, Some(bytes.clone()));
        disk.put("user.db.suspected", Some(Vec::new()));
        if let Some(operation) = crash_at {
            disk.crash_at(operation);
        }
        let open = || {
            let path = disk.path(FILE);
            offhook::client::store::Store::open_on(&disk.files(), &path, &user, &device)
        };
        let store = match open() {
            Ok(store) => store,
            Err(error) => {
                assert!(disk.is_down(), "{error}");
                disk.power_on();
                open().unwrap()
            }
        };
        assert_eq!(store.device(), &device);
        drop(store);
        disk
    };
    let operations = run(0, None).operations();
    assert!(operations > 30, "{operations}");
    for operation in 1..=operations {
        let disk = run(operation, Some(operation));
        disk.power_on();
        let look = Look::at(&disk, FILE);
        assert!(look.is_sound());
        let commands = look.commands();
        for op in all_waiting() {
            assert_eq!(commands[&op], (None, None), "power lost at {operation}");
        }
        assert_eq!(commands["sent"].1.as_deref(), Some("unknown"));
        assert!(disk.read("user.db.corrupt-1").unwrap() == bytes);
        assert!(disk.read("user.db.corrupt-2").is_none());
        assert!(disk.read("user.db.salvage").is_none());
    }
    println!("{operations} crash points");
}
