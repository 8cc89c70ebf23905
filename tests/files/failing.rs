//! Disks that are full, syncs that fail, files that are taken away, logs that are torn.

use std::fs;
use std::path::Path;

use offhook::call::{DeviceId, UserId};
use offhook::client::clock::Now;
use offhook::client::store::Store;
use offhook::{Code, Config, Engine, Error, InviteOptions, Roots};

use super::device::{Device, FILE};
use super::disk::Disk;
use super::look::Look;
use super::script::{self, invite};
use super::town::{ALICE, BOB, Town};
use offhook::call::Mode;

fn story(seed: u64) -> Town {
    let mut town = Town::new(seed, None);
    town.start();
    (0..2).for_each(|step| script::step(&mut town, step));
    town
}

/// Gives an invite that waits, and says whether it was taken.
fn give(device: &mut Device, now: Now, op: &str) -> Result<(), Error> {
    let command = invite("alice", Mode::General);
    device.try_submit(now, op, op, command)
}

// A full disk ------------------------------------------------------------------------------------

#[test]
fn a_full_disk_refuses_a_command_whole_and_goes_on_by_itself_once_there_is_room() {
    for room in (0..40_000).step_by(1_000) {
        let mut town = story(room);
        let now = town.now();
        let bob = &mut town.devices[BOB];
        bob.disk.set_room(Some(room));
        let (mut taken, mut refused) = (Vec::new(), None);
        for n in 0..200 {
            let op = format!("give-{n}");
            match give(bob, now, &op) {
                Ok(()) => taken.push(op),
                Err(error) => {
                    refused = Some((op, error));
                    break;
                }
            }
        }
        let (op, error) = refused.expect("the disk is never full");
        assert_eq!(
            (error.code, error.reason.as_str()),
            (Code::DiskFull, "diskFull")
        );
        assert!(error.retryable());
        let look = bob.look();
        assert!(look.is_sound());
        let commands = look.commands();
        assert!(taken.iter().all(|op| commands.contains_key(op)));
        assert!(!commands.contains_key(&op), "half written");
        bob.disk.set_room(None);
        give(bob, now, &op).unwrap();
        town.settle();
        town.pass(5_000);
        let pending = "SELECT count(*) FROM commands WHERE verdict IS NULL";
        assert_eq!(town.devices[BOB].look().number(pending), 0);
        town.devices[BOB].check_file();
    }
}

#[test]
fn what_a_full_disk_could_not_take_from_the_server_comes_again() {
    let mut town = story(1);
    let now = town.now();
    town.devices[BOB].disk.set_room(Some(0));
    town.devices[BOB].may_fail = true;
    assert!(town.devices[ALICE].submit(now, "ring", "c", invite("bob", Mode::General)));
    town.settle_for(100);
    assert_eq!(town.devices[BOB].look().rings().len(), 0);
    town.devices[BOB].disk.set_room(None);
    town.pass(5_000);
    assert_eq!(town.devices[BOB].look().rings().len(), 1);
    town.devices[BOB].check_file();
}

// A sync that fails ------------------------------------------------------------------------------

#[test]
fn a_sync_that_fails_costs_no_command_that_was_taken_and_invents_none() {
    let mut kept = 0;
    for seed in 0..60 {
        let mut town = story(seed);
        let now = town.now();
        let bob = &mut town.devices[BOB];
        bob.may_fail = true;
        bob.disk.fail_sync_at(Some(bob.disk.syncs() + 1 + seed % 7));
        for n in 0..8 {
            let op = format!("give-{n}");
            kept += usize::from(give(bob, now, &op).is_ok());
        }
        town.settle();
        town.pass(2_000);
        // What counts as written is on disk, whatever the syncs have said.
        let bob = &mut town.devices[BOB];
        bob.disk.crash();
        bob.recover(now);
        town.settle();
        town.pass(70_000);
        let pending = "SELECT count(*) FROM commands WHERE verdict IS NULL";
        assert_eq!(town.devices[BOB].look().number(pending), 0, "seed {seed}");
        town.devices[BOB].check_file();
    }
    assert!(kept > 60 * 6, "{kept}");
}

#[test]
fn a_command_is_called_not_kept_only_if_it_is_not_also_where_the_disk_fills_up_behind_a_failed_sync()
 {
    let mut in_doubt = 0;
    for room in (20_000..80_000).step_by(1_000) {
        let mut town = story(room);
        let now = town.now();
        let bob = &mut town.devices[BOB];
        bob.disk.set_room(Some(room));
        bob.disk.fail_sync_at(Some(bob.disk.syncs() + 1));
        let given = give(bob, now, "give");
        bob.die();
        let is_kept = bob.look().commands().contains_key("give");
        match given {
            Ok(()) => assert!(is_kept, "room for {room}"),
            Err(error) if error.code == Code::DiskFull => assert!(!is_kept, "room for {room}"),
            Err(error) => assert_eq!(error.reason, "io", "{error}"),
        }
        in_doubt += usize::from(is_kept);
    }
    assert!(in_doubt > 20, "{in_doubt}");
}

#[test]
fn what_came_of_a_commit_whose_sync_failed_is_told_once_it_is_known() {
    for seed in 0..20 {
        let mut town = story(seed);
        let now = town.now();
        let bob = &mut town.devices[BOB];
        bob.may_fail = true;
        bob.disk.fail_sync_at(Some(bob.disk.syncs() + 1));
        assert!(town.devices[ALICE].submit(now, "ring", "c", invite("bob", Mode::General)));
        town.settle();
        town.pass(5_000);
        let bob = &town.devices[BOB];
        let rings: Vec<_> = bob.heard("callInvitationReceived");
        assert_eq!(rings.len(), 1, "seed {seed}: {rings:?}");
        assert_eq!(bob.look().rings().len(), 1);
        bob.check_file();
    }
}

// A file that is taken away ----------------------------------------------------------------------

fn store(folder: &Path) -> Store {
    let (user, device) = (UserId::trusted("bob"), DeviceId::trusted("b1"));
    Store::open(&folder.join("bob.db"), &user, &device).unwrap()
}

/// Writes something that can be told apart.
fn write(store: &mut Store, heard_at: i64) -> Result<(), Error> {
    store.transact(|tx| tx.set_heard(heard_at))
}

#[test]
fn nothing_is_written_into_a_file_that_lost_its_name() {
    let away: [fn(&Path); 5] = [
        |folder| fs::remove_file(folder.join("bob.db")).unwrap(),
        |folder| fs::rename(folder.join("bob.db"), folder.join("old.db")).unwrap(),
        |folder| {
            fs::copy(folder.join("bob.db"), folder.join("copy.db")).unwrap();
            fs::rename(folder.join("copy.db"), folder.join("bob.db")).unwrap();
        },
        |folder| fs::remove_file(folder.join("bob.db-wal")).unwrap(),
        |folder| fs::remove_dir_all(folder).unwrap(),
    ];
    for take_away in away {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("data");
        fs::create_dir(&folder).unwrap();
        let mut store = store(&folder);
        write(&mut store, 1).unwrap();
        assert!(!store.has_moved());
        take_away(&folder);
        for _ in 0..2 {
            let error = write(&mut store, 2).unwrap_err();
            assert_eq!(
                (error.code, error.reason.as_str()),
                (Code::ReadOnly, "moved")
            );
            assert!(store.has_moved());
        }
    }
}

#[tokio::test]
async fn an_engine_whose_file_was_taken_away_says_so_and_begins_anew_on_resume() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bob.db");
    let mut config = Config::new("127.0.0.1:1", "bob", &file);
    config.roots = Roots::Pinned([7; 32]);
    let engine = Engine::open(config).unwrap();
    let give = || engine.call_invite(&["carl"], InviteOptions::default());
    give().await.unwrap();
    assert_eq!(engine.pending().unwrap().len(), 1);
    let device = engine.status().await.unwrap().device_id;
    for ending in ["", "-wal", "-shm"] {
        let [from, to] =
            ["bob", "old"].map(|name| folder.path().join(format!("{name}.db{ending}")));
        fs::rename(from, to).unwrap();
    }
    let error = give().await.map(drop).unwrap_err();
    assert_eq!(
        (error.code, error.reason.as_str()),
        (Code::ReadOnly, "moved")
    );
    assert!(error.message.contains("bob.db") && error.retryable());
    assert!(!file.exists(), "no new one behind the app's back");
    engine.resume().await.unwrap();
    assert_eq!(engine.pending().unwrap(), [], "the old one is not read");
    give().await.unwrap();
    assert_eq!(engine.pending().unwrap().len(), 1);
    assert_ne!(engine.status().await.unwrap().device_id, device);
    engine.close().await.unwrap();
    // The old one is as good as it was.
    let look = Look::in_folder(&folder.path().join("old.db"));
    assert!(look.is_sound());
}

#[tokio::test]
async fn what_was_refused_because_the_file_was_away_is_not_there_when_it_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let (file, away) = (folder.path().join("bob.db"), folder.path().join("old.db"));
    let mut config = Config::new("127.0.0.1:1", "bob", &file);
    config.roots = Roots::Pinned([7; 32]);
    let engine = Engine::open(config).unwrap();
    let give = || engine.call_invite(&["carl"], InviteOptions::default());
    let op = give().await.unwrap().op().clone();
    fs::rename(&file, &away).unwrap();
    assert_eq!(give().await.map(drop).unwrap_err().reason, "moved");
    fs::rename(&away, &file).unwrap();
    engine.resume().await.unwrap();
    let pending = engine.pending().unwrap().into_iter().map(|one| one.op);
    assert_eq!(pending.collect::<Vec<_>>(), [op]);
}

// Logs -------------------------------------------------------------------------------------------

/// A database and its log, of two writes that were synced one after the other.
fn with_log(folder: &Path) -> (Vec<u8>, Vec<u8>) {
    let mut store = store(folder);
    write(&mut store, 1).unwrap();
    store.checkpoint().unwrap();
    for heard_at in 2..10 {
        write(&mut store, heard_at).unwrap();
    }
    let read = |name: &str| fs::read(folder.join(name)).unwrap();
    (read("bob.db"), read("bob.db-wal"))
}

fn opened_with(log: Option<&[u8]>, shm: Option<&[u8]>, database: &[u8]) -> i64 {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("bob.db"), database).unwrap();
    for (name, bytes) in [("bob.db-wal", log), ("bob.db-shm", shm)] {
        if let Some(bytes) = bytes {
            fs::write(folder.path().join(name), bytes).unwrap();
        }
    }
    let mut store = store(folder.path());
    assert_eq!(store.device().as_str(), "b1");
    let found = store.transact(|tx| tx.feed()).unwrap().heard_at;
    drop(store);
    assert!(Look::in_folder(&folder.path().join("bob.db")).is_sound());
    assert!(!folder.path().join("bob.db.corrupt-1").exists());
    found
}

#[test]
fn a_missing_log_leaves_what_was_checkpointed() {
    let folder = tempfile::tempdir().unwrap();
    let (database, log) = with_log(folder.path());
    assert_eq!(opened_with(None, None, &database), 1);
    assert_eq!(opened_with(Some(&log), None, &database), 9);
}

#[test]
fn a_torn_log_counts_up_to_where_it_is_torn() {
    let folder = tempfile::tempdir().unwrap();
    let (database, log) = with_log(folder.path());
    let mut last = 1;
    for cut in (0..=log.len()).step_by(1_000) {
        let found = opened_with(Some(&log[..cut]), None, &database);
        assert!(found >= last, "{found} at {cut}");
        last = found;
    }
    assert!(last >= 8, "{last}");
    for at in (40..log.len()).step_by(3_000) {
        let mut torn = log.clone();
        torn[at] ^= 0xff;
        let found = opened_with(Some(&torn), None, &database);
        assert!((1..=9).contains(&found));
    }
}

#[test]
fn garbage_in_the_logs_index_is_no_matter() {
    let folder = tempfile::tempdir().unwrap();
    let (database, log) = with_log(folder.path());
    for garbage in [vec![0xa5; 32_768], vec![0; 32_768], vec![7; 100]] {
        assert_eq!(opened_with(Some(&log), Some(&garbage), &database), 9);
    }
}

// Files that cannot be written -------------------------------------------------------------------

#[test]
fn a_disk_that_is_gone_is_told_and_asked_again() {
    let disk = Disk::new(1);
    let (user, device) = (UserId::trusted("bob"), DeviceId::trusted("b1"));
    let path = disk.path(FILE);
    let mut store = Store::open_on(&disk.files(), &path, &user, &device).unwrap();
    disk.crash();
    let error = write(&mut store, 1).unwrap_err();
    assert_eq!(error.code, Code::ReadOnly);
    drop(store);
    assert!(Store::open_on(&disk.files(), &path, &user, &device).is_err());
    disk.power_on();
    let mut store = Store::open_on(&disk.files(), &path, &user, &device).unwrap();
    write(&mut store, 1).unwrap();
    assert!(disk.files().exists(&path));
}
