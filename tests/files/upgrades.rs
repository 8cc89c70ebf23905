//! Upgrades that do not come to their end: a step fails, or the power goes. What is there then is the
//! file of the older version, whole, or that of this one.

use std::fs;
use std::path::{Path, PathBuf};

use offhook::Code;
use offhook::call::{DeviceId, UserId};
use offhook::client::store::{SCHEMA_VERSION, Store};
use offhook::server::store::sqlite::SqliteStore;

use super::disk::{Disk, Snapshot};
use super::look::{Contents, Look};

const FILE: &str = "file.db";
/// Each loss of power is tried so often: what is left of what was not synced is chance.
const LOSSES: u64 = 4;

/// A database that upgrades: whose it is, where its steps are, how its build opens it.
struct Kind {
    steps: &'static str,
    mark: u32,
    /// The oldest version that a file with the mark can have; 0: of one that was only begun.
    oldest: u32,
    /// The statements that make what a file of some version has.
    left_by: fn(u32) -> String,
    open: fn(&Disk) -> Result<(), String>,
}

const CLIENT: Kind = Kind {
    steps: "schema/client",
    mark: 0x4f68_6b31,
    oldest: 0,
    left_by: |version| match version {
        0 => String::new(),
        _ => read(&format!("schema/client/fixtures/{version:04}.sql")),
    },
    open: |disk| {
        let (alice, device) = (UserId::trusted("alice"), DeviceId::trusted("fresh"));
        Store::open_on(&disk.files(), &disk.path(FILE), &alice, &device)
            .map(drop)
            .map_err(|error| {
                assert!(disk.is_down() || error.code == Code::Internal, "{error}");
                error.to_string()
            })
    },
};

const SERVER: Kind = Kind {
    steps: "schema/server",
    mark: 0x4f46_4853,
    oldest: 1,
    left_by: |version| {
        let steps: String = (1..=version).map(|to| step("schema/server", to)).collect();
        steps
            + "UPDATE meta SET clock_ms = 7, feed_seq = 3;
               INSERT INTO epochs VALUES (1, '12', 1), (2, '34', 3);
               INSERT INTO users VALUES ('alice', 1, 5), ('bob', 0, 6);
               INSERT INTO devices VALUES ('alice', 'a1', 1, 'b', 4, 3, 't', NULL, 5);
               INSERT INTO verdicts VALUES ('alice', 'a1', 4, 'op', 'c', zeroblob(32), '{}');"
    },
    open: |disk| {
        SqliteStore::open_on(disk.vfs(), &disk.path(FILE), &|file| disk.write_again(file))
            .map(drop)
            .map_err(|error| error.to_string())
    },
};

fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(path: &str) -> String {
    fs::read_to_string(root(path)).unwrap()
}

/// The files that are steps: `NNNN_name.sql`.
fn steps(folder: &str) -> Vec<String> {
    let names = fs::read_dir(root(folder)).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut steps: Vec<_> = names.filter(|name| name.get(4..5) == Some("_")).collect();
    steps.sort();
    steps
}

fn step(folder: &str, to: u32) -> String {
    let name = &steps(folder)[to as usize - 1];
    assert!(
        name.starts_with(&format!("{to:04}_")),
        "{name} is not the next"
    );
    read(&format!("{folder}/{name}"))
}

/// What a step makes, in its order.
fn made_by(step: &str) -> Vec<String> {
    let is_comment = |line: &&str| !line.trim_start().starts_with("--");
    let sql: Vec<&str> = step.lines().filter(is_comment).collect();
    let sql = sql.join(" ").replace("CREATE UNIQUE", "CREATE");
    let words: Vec<&str> = sql.split_whitespace().collect();
    let makes =
        |words: &&[&str]| words[0] == "CREATE" && ["TABLE", "VIEW", "INDEX"].contains(&words[1]);
    let made = words.windows(3).filter(makes);
    made.map(|words| words[2].to_owned()).collect()
}

impl Kind {
    fn newest(&self) -> u32 {
        u32::try_from(steps(self.steps).len()).unwrap()
    }

    /// A file as that version left it.
    fn file_of(&self, version: u32) -> Snapshot {
        let disk = Disk::new(0);
        let look = Look::at(&disk, FILE);
        look.text("PRAGMA journal_mode = WAL");
        look.execute(&(self.left_by)(version));
        look.execute(&format!(
            "PRAGMA user_version = {version}; PRAGMA application_id = {}",
            self.mark
        ));
        look.checkpoint();
        drop(look);
        disk.snapshot(FILE)
    }

    /// Whether a build of that version opens it: more than this it does not ask of a file.
    fn is_taken_by_the_build_of(&self, version: u32, now: &Contents) -> bool {
        now.mark == i64::from(self.mark) && now.version <= i64::from(version)
    }

    fn older(&self) -> impl Iterator<Item = (u32, Snapshot)> {
        (self.oldest..self.newest()).map(|version| (version, self.file_of(version)))
    }
}

fn contents(disk: &Disk) -> Contents {
    let look = Look::at(disk, FILE);
    assert!(look.is_sound());
    look.contents()
}

fn a_step_that_fails(kind: &Kind) {
    for (version, file) in kind.older() {
        let lacking = version + 1..=kind.newest();
        let made = lacking.flat_map(|to| made_by(&step(kind.steps, to)));
        // The last object of the last step is among them: by then all the rest has been done.
        let made: Vec<String> = made.collect();
        assert!(!made.is_empty());
        for in_the_way in made {
            let disk = Disk::new(0);
            disk.restore(FILE, &file);
            Look::at(&disk, FILE).execute(&format!("CREATE TABLE {in_the_way} (something)"));
            let before = contents(&disk);
            for _ in 0..2 {
                let error = (kind.open)(&disk).unwrap_err();
                assert!(error.contains(&in_the_way), "{error}");
                let now = contents(&disk);
                assert!(kind.is_taken_by_the_build_of(version, &now));
                assert_eq!(now, before, "from {version}, {in_the_way}");
                assert!(!disk.names().iter().any(|name| name.contains("corrupt")));
            }
            // Once nothing is in the way any more, it goes on.
            Look::at(&disk, FILE).execute(&format!("DROP TABLE {in_the_way}"));
            (kind.open)(&disk).unwrap();
            assert_eq!(contents(&disk).version, i64::from(kind.newest()));
        }
    }
}

fn a_loss_of_power(kind: &Kind) {
    // How a file is made is another story: who it is comes into it after its tables.
    for (version, file) in kind.older().filter(|(version, _)| *version > 0) {
        let disk = Disk::new(0);
        disk.restore(FILE, &file);
        let old = contents(&disk);
        let begin = disk.operations();
        (kind.open)(&disk).unwrap();
        let operations = disk.operations() - begin;
        let new = contents(&disk);
        assert_eq!(new.version, i64::from(kind.newest()));
        let mut found = [0, 0];
        for (operation, seed) in
            (1..=operations).flat_map(|one| (0..LOSSES).map(move |seed| (one, seed)))
        {
            let disk = Disk::new(operation * LOSSES + seed);
            disk.restore(FILE, &file);
            disk.crash_at(operation);
            // It may have been done with all that matters.
            let _ = (kind.open)(&disk);
            assert!(disk.is_down(), "{operation} of {operations} was never done");
            disk.power_on();
            let now = contents(&disk);
            if now.version == i64::from(version) {
                assert!(kind.is_taken_by_the_build_of(version, &now));
                assert_eq!(now, old, "from {version}, at {operation}");
                found[0] += 1;
            } else {
                assert_eq!(now, new, "from {version}, at {operation}");
                found[1] += 1;
            }
            (kind.open)(&disk).unwrap();
            assert_eq!(contents(&disk), new, "from {version}, at {operation}");
        }
        println!("from {version}: {operations} operations, {found:?} old and new");
        assert!(found[0] > 0 && found[1] > 0, "{found:?}");
    }
}

#[test]
fn a_step_that_fails_leaves_a_devices_file_as_its_older_build_left_it() {
    assert_eq!(CLIENT.newest(), SCHEMA_VERSION);
    a_step_that_fails(&CLIENT);
}

#[test]
fn a_step_that_fails_leaves_a_servers_file_as_its_older_build_left_it() {
    a_step_that_fails(&SERVER);
}

#[test]
fn a_loss_of_power_in_an_upgrade_leaves_a_devices_file_of_the_older_version_or_of_this_one() {
    a_loss_of_power(&CLIENT);
}

#[test]
fn a_loss_of_power_in_an_upgrade_leaves_a_servers_file_of_the_older_version_or_of_this_one() {
    a_loss_of_power(&SERVER);
}
