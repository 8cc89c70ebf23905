//! What only the inside can bring about: a full disk, and a commit whose end is not known.

use super::*;
use crate::call::{CallState, Mode};

fn call(name: &str, data_bytes: usize) -> Call {
    Call {
        id: CallId::trusted(name),
        revision: 1,
        mode: Mode::General,
        caller: UserId::trusted("ann"),
        create_time: 1,
        timeout_s: 90,
        extended_data: "x".repeat(data_bytes),
        not_received_check: false,
        state: CallState::Started,
        ending: None,
        members: Vec::new(),
    }
}

fn store() -> (tempfile::TempDir, SqliteStore) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = SqliteStore::open(folder.path()).expect("a store");
    (folder, store)
}

fn allow_pages(store: &SqliteStore, pages: i64) {
    store
        .connection
        .pragma_update(None, "max_page_count", pages)
        .expect("set");
}

#[test]
fn a_full_disk_is_told_and_leaves_nothing_and_room_helps() {
    let (_folder, mut store) = store();
    let pages: i64 = store
        .connection
        .query_row("PRAGMA page_count", [], |row| row.get(0))
        .expect("read");
    allow_pages(&store, pages + 2);
    let mut transaction = store.begin().expect("begun");
    transaction
        .put_call(None, &call("small", 10))
        .expect("fits");
    let error = transaction.put_call(None, &call("large", 100_000));
    assert!(matches!(error, Err(StoreError::Full(_))), "{error:?}");
    // Once it failed, it stays failed.
    let error = transaction.clock();
    assert!(matches!(error, Err(StoreError::Full(_))), "{error:?}");
    let error = transaction.commit();
    assert!(matches!(error, Err(StoreError::Full(_))), "{error:?}");

    allow_pages(&store, pages + 1_000);
    let mut transaction = store.begin().expect("begun again");
    assert_eq!(transaction.call(&CallId::trusted("small")), Ok(None));
    transaction
        .put_call(None, &call("large", 100_000))
        .expect("fits now");
    transaction.commit().expect("committed");
}

#[test]
fn after_a_commit_whose_end_is_not_known_nothing_more_is_done() {
    let (folder, mut store) = store();
    store.refuse_from_now_on(&StoreError::Unknown("the disk went away".to_owned()));
    let Err(StoreError::Failed(text)) = store.begin().map(drop) else {
        panic!("a transaction was begun");
    };
    assert!(text.contains("the disk went away"), "{text}");
    drop(store);
    let mut store = SqliteStore::open(folder.path()).expect("started anew");
    store.begin().map(drop).expect("begun");
}

#[test]
fn settings_are_in_force() {
    let (_folder, store) = store();
    let number = |pragma: &str| -> i64 {
        store
            .connection
            .query_row(&format!("PRAGMA {pragma}"), [], |row| row.get(0))
            .expect("read")
    };
    assert_eq!(number("synchronous"), 2); // FULL
    assert_eq!(number("wal_autocheckpoint"), CHECKPOINT_PAGES);
    assert_eq!(number("journal_size_limit"), LOG_BYTES_KEPT);
    assert_eq!(number("cache_size"), -CACHE_KIB);
    assert_eq!(number("foreign_keys"), 1);
    assert_eq!(number("trusted_schema"), 0);
    let defensive = DbConfig::SQLITE_DBCONFIG_DEFENSIVE;
    assert_eq!(store.connection.db_config(defensive), Ok(true));
    let keeps_log = DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE;
    assert_eq!(store.connection.db_config(keeps_log), Ok(false));
}
