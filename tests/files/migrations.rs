//! Files of every version that ever was.

use std::fs;
use std::path::{Path, PathBuf};

use offhook::call::{DeviceId, UserId};
use offhook::client::store::{SCHEMA_VERSION, Store};

use super::look::Look;

/// What marks a file as the engine's.
const APPLICATION_ID: u32 = 0x4f68_6b31;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("schema/client")
}

/// The step that leads to a version.
fn step(version: u32) -> String {
    let prefix = format!("{version:04}_");
    let mut files = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap());
    let file = files.find(|file| file.file_name().to_string_lossy().starts_with(&prefix));
    fs::read_to_string(file.expect("a step").path()).unwrap()
}

/// A file of that version with a few rows; version 0 is one that was begun and has nothing.
fn file_of(version: u32, file: &Path) {
    let look = Look::in_folder(file);
    for version in 1..=version {
        look.execute(&step(version));
    }
    if version > 0 {
        look.execute(
            "INSERT INTO meta VALUES ('user_id', 'bob'), ('device_id', 'b1'), ('next_number', '5');
             INSERT INTO commands (op, call_id, command, arguments, queued_at_ms, expires_at_ms)
             VALUES ('kept', 'c', 'callJoin', '{\"extended_data\":\"\"}', 7, 0);
             INSERT INTO journal (at_ms, call_id, name, params) VALUES (1, 'c', 'x', '{}');",
        );
    }
    look.execute(&format!(
        "PRAGMA user_version = {version}; PRAGMA application_id = {APPLICATION_ID}"
    ));
}

fn open(file: &Path) -> Result<Store, offhook::Error> {
    Store::open(file, &UserId::trusted("bob"), &DeviceId::trusted("fresh"))
}

#[test]
fn a_file_of_every_older_version_is_led_to_this_one_with_all_that_is_in_it() {
    let fresh = tempfile::tempdir().unwrap();
    drop(open(&fresh.path().join("bob.db")).unwrap());
    let fresh = Look::in_folder(&fresh.path().join("bob.db")).schema();
    for version in 0..=SCHEMA_VERSION {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("bob.db");
        file_of(version, &file);
        let mut store = open(&file).unwrap();
        if version > 0 {
            assert_eq!(store.device().as_str(), "b1");
            let pending = store.transact(|tx| tx.pending_commands()).unwrap();
            assert_eq!(pending.len(), 1);
            assert_eq!(pending[0].op().as_str(), "kept");
            assert_eq!(store.transact(|tx| tx.next_number()).unwrap(), 5);
            assert_eq!(store.transact(|tx| tx.last_position()).unwrap(), 1);
        }
        drop(store);
        let look = Look::in_folder(&file);
        assert_eq!(look.schema(), fresh, "from version {version}");
        assert_eq!(look.version(), i64::from(SCHEMA_VERSION));
        assert!(look.is_sound());
    }
}

#[test]
fn the_frozen_schema_of_every_version_is_what_its_steps_make() {
    let mut seen = 0;
    for version in 1..=SCHEMA_VERSION {
        let frozen = self::folder().join(format!("{version:04}.golden.sql"));
        let Ok(frozen) = fs::read_to_string(&frozen) else {
            continue;
        };
        seen += 1;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("bob.db");
        file_of(version, &file);
        assert_eq!(
            Look::in_folder(&file).schema().join(";\n\n") + ";\n",
            frozen
        );
    }
    assert!(seen > 0);
}
