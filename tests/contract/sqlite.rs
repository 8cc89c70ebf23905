//! SQLite under the contract, and what is asked of it alone.

use std::fs;
use std::path::Path;

use offhook::call::{Mode, UserState};
use offhook::server::store::sqlite::{DATABASE_FILE, SqliteStore};
use offhook::server::store::{Store, StoreError, StoreResult};
use rusqlite::Connection;
use tempfile::TempDir;

use crate::generate::{ringing, settled, user};
use crate::suite::{Home, look, write};

struct Folder(TempDir);

impl Home for Folder {
    fn open(&self) -> StoreResult<Box<dyn Store>> {
        Ok(Box::new(SqliteStore::open(self.0.path())?))
    }
}

/// An empty folder.
pub fn homes() -> Box<dyn Home> {
    Box::new(Folder(folder()))
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

fn refusal(folder: &Path) -> StoreError {
    match SqliteStore::open(folder) {
        Ok(_) => panic!("the folder {} was opened", folder.display()),
        Err(error) => error,
    }
}

/// By hand, as an operator would.
fn by_hand(folder: &Path, sql: &str) {
    let connection = Connection::open(folder.join(DATABASE_FILE)).expect("opened by hand");
    connection.execute_batch(sql).expect("done by hand");
}

#[test]
fn a_second_server_on_the_same_folder_is_told_so() {
    let folder = folder();
    let first = SqliteStore::open(folder.path()).expect("the first server");
    let StoreError::InUse(text) = refusal(folder.path()) else {
        panic!("it is not told that the folder is in use");
    };
    assert!(text.contains(&*folder.path().to_string_lossy()), "{text}");
    drop(first);
    SqliteStore::open(folder.path()).expect("the next server, once the first is gone");
}

#[test]
fn a_folder_that_is_not_there_is_made_and_closed_to_others() {
    let parent = folder();
    let folder = parent.path().join("deep").join("data");
    let store = SqliteStore::open(&folder).expect("a new folder");
    assert_eq!(store.file(), folder.join(DATABASE_FILE));
    #[cfg(unix)]
    for (path, mode) in [(folder.clone(), 0o700), (store.file().to_owned(), 0o600)] {
        use std::os::unix::fs::PermissionsExt;
        let found = fs::metadata(&path).expect("it is there").permissions();
        assert_eq!(found.mode() & 0o777, mode, "{}", path.display());
    }
}

#[test]
fn a_database_of_a_newer_version_is_left_as_it_was() {
    let folder = folder();
    drop(SqliteStore::open(folder.path()).expect("a database of this version"));
    by_hand(folder.path(), "PRAGMA user_version = 99");
    let file = folder.path().join(DATABASE_FILE);
    let before = fs::read(&file).expect("the file");
    let StoreError::NewerVersion(text) = refusal(folder.path()) else {
        panic!("it is not told that the version is newer");
    };
    assert!(text.contains("99"), "{text}");
    assert_eq!(fs::read(&file).expect("the file"), before);
}

#[test]
fn a_file_that_is_no_database_is_left_as_it_was() {
    let folder = folder();
    let file = folder.path().join(DATABASE_FILE);
    let before = "minutes of a meeting\n".repeat(400);
    fs::write(&file, &before).expect("written");
    assert!(matches!(refusal(folder.path()), StoreError::Corrupt(_)));
    assert_eq!(fs::read(&file).expect("the file"), before.as_bytes());
}

#[test]
fn a_database_of_something_else_is_left_as_it_was() {
    let folder = folder();
    by_hand(folder.path(), "CREATE TABLE recipes (name TEXT)");
    let file = folder.path().join(DATABASE_FILE);
    let before = fs::read(&file).expect("the file");
    assert!(matches!(refusal(folder.path()), StoreError::Failed(_)));
    assert_eq!(fs::read(&file).expect("the file"), before);
}

const PAGE_BYTES: usize = 4096;

#[test]
fn a_damaged_page_is_told_as_damage() {
    let folder = folder();
    let mut store = SqliteStore::open(folder.path()).expect("a store");
    write(&mut store, |transaction| {
        Ok(transaction.put_call(None, &ringing("a", 90_000))?)
    })
    .expect("written");
    drop(store);
    let file = folder.path().join(DATABASE_FILE);
    let page: usize = Connection::open(&file)
        .expect("opened by hand")
        .query_row(
            "SELECT rootpage FROM sqlite_schema WHERE name = 'members'",
            [],
            |row| row.get::<_, i64>(0),
        )
        .expect("the page")
        .try_into()
        .expect("from 1");
    let mut bytes = fs::read(&file).expect("the file");
    bytes[(page - 1) * PAGE_BYTES..page * PAGE_BYTES].fill(0xa5);
    fs::write(&file, bytes).expect("damaged");
    let mut store = SqliteStore::open(folder.path()).expect("the rest is whole");
    let mut transaction = store.begin().expect("begun");
    let error = transaction.call(&ringing("a", 0).id);
    assert!(matches!(error, Err(StoreError::Corrupt(_))), "{error:?}");
    let error = transaction.commit();
    assert!(matches!(error, Err(StoreError::Corrupt(_))), "{error:?}");
}

#[test]
fn a_word_of_a_newer_build_is_unknown_and_stays() {
    let folder = folder();
    let mut store = SqliteStore::open(folder.path()).expect("a store");
    let call = ringing("a", 90_000);
    write(&mut store, |transaction| {
        Ok(transaction.put_call(None, &call)?)
    })
    .expect("written");
    drop(store);
    by_hand(
        folder.path(),
        "UPDATE calls SET mode = 'holographic'; \
         UPDATE members SET state = 'levitating' WHERE position = 0",
    );
    let mut store = SqliteStore::open(folder.path()).expect("opened again");
    write(&mut store, |transaction| {
        let found = transaction.call(&call.id)?.expect("the call");
        assert_eq!(found.mode, Mode::Unknown);
        assert_eq!(found.members[0].state, UserState::Unknown);
        Ok(transaction.put_call(Some(&found), &settled(&found))?)
    })
    .expect("changed");
    drop(store);
    let connection = Connection::open(folder.path().join(DATABASE_FILE)).expect("by hand");
    let word: String = connection
        .query_row("SELECT state FROM members WHERE position = 0", [], |row| {
            row.get(0)
        })
        .expect("the word");
    assert_eq!(word, "levitating");
}

#[test]
fn a_record_is_changed_only_from_what_is_stored() {
    let folder = folder();
    let mut store = SqliteStore::open(folder.path()).expect("a store");
    let call = ringing("a", 90_000);
    let ended = settled(&call);
    write(&mut store, |transaction| {
        transaction.put_call(None, &call)?;
        Ok(transaction.put_call(Some(&call), &ended)?)
    })
    .expect("written");
    for (before, after) in [(None, &ended), (Some(&call), &ended)] {
        let mut transaction = store.begin().expect("begun");
        let error = transaction.put_call(before, after);
        assert!(matches!(error, Err(StoreError::Failed(_))), "{error:?}");
        // What came before the error does not get through either.
        assert_eq!(transaction.commit(), error);
    }
    look(&mut store, |transaction| {
        assert_eq!(transaction.call(&call.id)?, Some(ended));
        Ok(())
    })
    .expect("read");
}

/// Set for the process that plays the server without rights.
#[cfg(unix)]
const WITHOUT_RIGHTS: &str = "OFFHOOK_TEST_READ_ONLY_FOLDER";

#[cfg(unix)]
#[test]
fn a_folder_that_cannot_be_written_is_told_so() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use std::os::unix::process::CommandExt;

    if let Some(folder) = std::env::var_os(WITHOUT_RIGHTS) {
        let StoreError::ReadOnly(text) = refusal(Path::new(&folder)) else {
            panic!("it is not told that the folder cannot be written");
        };
        assert!(text.contains(&*folder.to_string_lossy()), "{text}");
        return;
    }
    let folder = folder();
    let metadata = fs::metadata(folder.path()).expect("the folder");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o555)).expect("set");
    let mut server = std::process::Command::new(std::env::current_exe().expect("this test"));
    server
        .args([
            "--exact",
            "sqlite::a_folder_that_cannot_be_written_is_told_so",
        ])
        .env(WITHOUT_RIGHTS, folder.path());
    if metadata.uid() == 0 {
        // Nothing is read-only for root.
        const NOBODY: u32 = 65_534;
        server.uid(NOBODY).gid(NOBODY);
    }
    match server.output() {
        Ok(output) => assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stdout)
        ),
        Err(error) => eprintln!("not tested: nobody may not run this test ({error})"),
    }
}

/// A released migration is never edited: what a fresh database looks like changes only by a new
/// file, and then this text gets a successor.
#[test]
fn a_fresh_schema_is_the_released_one() {
    let folder = folder();
    let released = include_str!("../../schema/server/0002.golden.sql");
    assert_eq!(schema_of(folder.path()).trim_end(), released.trim_end());
}

/// Opens the store, and gives the schema that it has then.
fn schema_of(folder: &Path) -> String {
    drop(SqliteStore::open(folder).expect("opens"));
    let connection = Connection::open(folder.join(DATABASE_FILE)).expect("by hand");
    let mut statement = connection
        .prepare("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name")
        .expect("prepared");
    let found = statement.query_map([], |row| row.get::<_, String>(0));
    let found = found.expect("read");
    found.map(|sql| sql.expect("text") + ";\n\n").collect()
}

#[test]
fn a_database_of_version_1_becomes_what_a_fresh_one_is_and_keeps_what_is_in_it() {
    let folder = folder();
    let old = Connection::open(folder.path().join(DATABASE_FILE)).expect("by hand");
    old.execute_batch(include_str!("../../schema/server/0001_initial.sql"))
        .expect("version 1");
    old.execute_batch(
        "PRAGMA user_version = 1; PRAGMA application_id = 0x4f464853;
         UPDATE meta SET clock_ms = 7, feed_seq = 3; INSERT INTO users VALUES ('ann', 1, 5);",
    )
    .expect("with something in it");
    drop(old);
    let released = include_str!("../../schema/server/0002.golden.sql");
    assert_eq!(schema_of(folder.path()).trim_end(), released.trim_end());
    let mut store = SqliteStore::open(folder.path()).expect("opens");
    let mut transaction = store.begin().expect("begins");
    assert_eq!(transaction.clock(), Ok(7));
    let ann = transaction.user_capabilities(&user("ann"));
    assert_eq!(ann.expect("read").map(|one| one.0), Some(1));
}
