//! Opening a database to look at it and for nothing else.
//!
//! SQLite's own read-only mode is not enough for a database in WAL mode: it still makes the files
//! `-wal` and `-shm` where they are missing, and cannot open the database where it may not. So
//! the way in depends on what lies beside the file; see `Access`.

use std::cell::RefCell;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread::Builder;
use std::time::{Duration, SystemTime};

use rusqlite::backup::{Backup, StepResult};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::damage::is_damage;
use super::error::{Error, Problem};
use super::header::Header;
use super::in_use::has_it_open;
use super::schema::APPLICATION_ID;

/// How long a question waits for a lock. An app in WAL mode locks readers out only for the moment
/// in which it opens or closes the file.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a question may take. A file of somebody's making can have views without an end in it.
const QUESTION_WITHIN: Duration = Duration::from_secs(60);
/// How often one that takes longer is stopped. Once is not enough: SQLite forgets it between two
/// statements, and the way past damage is made of millions of short ones.
const INTERRUPT_EVERY: Duration = Duration::from_millis(1);
/// How much memory SQLite may take for an answer.
const HEAP_BYTES_MAX: i64 = 1024 * 1024 * 1024;

/// How often a question is asked anew because an app came in between.
const ATTEMPTS_MAX: u32 = 5;

/// How a file is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    /// With SQLite's locks: an app has it open or may have, or it is not in WAL mode, where
    /// reading makes no files. Nothing that an app does meanwhile can confuse the answer.
    Shared,
    /// A WAL with content, and nobody has it open: a copy, or what a crash left. The index of the
    /// WAL is built in memory, without locks.
    Private,
    /// No WAL: all there is stands in the file itself. Without locks.
    Still,
}

/// A database that is looked at.
#[derive(Debug)]
pub struct Database {
    /// As it was named.
    path: PathBuf,
    connection: Connection,
    access: Access,
    /// What the files looked like when it was opened.
    files: Files,
    version: i64,
    /// How its schema or length contradicts the rest, in SQLite's words.
    damage: Option<String>,
    /// How long a question may take.
    within: Duration,
}

/// What a database was like at some moment, to see whether it still is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    files: Files,
    version: i64,
}

impl Database {
    /// Opens a file, and sees whether it is a database of the engine.
    ///
    /// Not for a process in which an app has the same file open, or another look: on Unix the locks of a process on
    /// a file are gone as soon as it closes any handle of that file, and this closes some.
    ///
    /// # Errors
    /// There is no such file, it cannot be read, is empty, damaged, or something else.
    pub fn open(path: &Path) -> Result<Self, Error> {
        Self::connect(path).map_err(|problem| Error::new(path, problem))
    }

    /// The version of the file's layout (`PRAGMA user_version`).
    pub fn version(&self) -> i64 {
        self.version
    }

    /// What SQLite said when it was to open the file as a sound one. Opened all the same, it shows
    /// the tables that could be made out.
    pub fn damage(&self) -> Option<&str> {
        self.damage.as_deref()
    }

    /// Gives questions another time than usual.
    pub(super) fn within(self, within: Duration) -> Self {
        Self { within, ..self }
    }

    /// Lowers what SQLite may take of memory, for the rest of this process.
    pub(super) fn bound_heap(&self, bytes: i64) -> Result<(), Error> {
        let sql = format!("PRAGMA hard_heap_limit = {bytes}");
        let set = self.connection.query_row(&sql, [], |_| Ok(()));
        set.map_err(|error| Error::new(&self.path, error.into()))
    }

    /// The file, as it was named.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The bytes of the file, and of the WAL beside it.
    pub(super) fn bytes(&self) -> (u64, u64) {
        Files::of(&self.path).bytes()
    }

    /// Something that is another one after anybody wrote to the database.
    ///
    /// # Errors
    /// The file is gone, or locked for long.
    pub(super) fn mark(&mut self) -> Result<Mark, Error> {
        if self.files.identity != Files::of(&self.path).identity || self.is_stale() {
            *self = Self::open(&self.path)?.within(self.within);
        }
        let version = match self.access {
            Access::Shared => self
                .connection
                .pragma_query_value(None, "data_version", |row| row.get(0))
                .map_err(|error| Error::new(&self.path, error.into()))?,
            Access::Private | Access::Still => 0,
        };
        Ok(Mark {
            files: self.files.clone(),
            version,
        })
    }

    /// Copies the database as it stands in one snapshot, page by page, so that a damaged one
    /// keeps its damage. The copy is whole in one file.
    pub(super) fn copy_into(&mut self, copy: &mut Connection) -> Result<(), Error> {
        let copy = RefCell::new(copy);
        self.read(|snapshot| {
            let mut copy = copy.borrow_mut();
            let backup = Backup::new(snapshot, &mut copy)?;
            match backup.step(-1)? {
                StepResult::Done => Ok(()),
                StepResult::More | StepResult::Busy | StepResult::Locked => Err(Problem::Busy),
                _ => Err(Problem::Changing),
            }
        })
    }

    /// Asks something within one snapshot of the database.
    ///
    /// Where no locks are held, an app can open and write the file under the question's feet; then
    /// the answer is thrown away and the question asked anew, with locks by then.
    pub(super) fn read<T>(
        &mut self,
        question: impl Fn(&Connection) -> Result<T, Problem>,
    ) -> Result<T, Error> {
        for _ in 0..ATTEMPTS_MAX {
            if self.is_stale() {
                *self = Self::open(&self.path)?.within(self.within);
            }
            let answer = self.ask(&question, self.within);
            if !self.is_stale() {
                return answer.map_err(|problem| Error::new(&self.path, problem));
            }
        }
        Err(Error::new(&self.path, Problem::Changing))
    }

    fn ask<T>(
        &self,
        question: &impl Fn(&Connection) -> Result<T, Problem>,
        within: Duration,
    ) -> Result<T, Problem> {
        let interrupt = self.connection.get_interrupt_handle();
        // Dropped at the end of the question, which ends the thread.
        let (_done, ended) = channel::<()>();
        Builder::new()
            .name("offhook-watch".into())
            .spawn(move || {
                let mut wait = within;
                while ended.recv_timeout(wait) == Err(RecvTimeoutError::Timeout) {
                    interrupt.interrupt();
                    wait = INTERRUPT_EVERY;
                }
            })
            .map_err(Problem::Unreadable)?;
        // Dropped at the end of the question: a reader that stays keeps the app from starting
        // its WAL over.
        let snapshot = self.connection.unchecked_transaction()?;
        question(&snapshot)
    }

    fn is_stale(&self) -> bool {
        match self.access {
            Access::Shared => false,
            Access::Private | Access::Still => self.files != Files::of(&self.path),
        }
    }

    fn connect(path: &Path) -> Result<Self, Problem> {
        let files = Files::of(path);
        let header = Header::of(path)?;
        let access = if header.is_wal_mode() {
            files.access(path)
        } else {
            Access::Shared
        };
        let (access, (connection, damage)) = match open_as(path, access) {
            // `-shm` lies there, but in a folder that takes no files or under another owner.
            Err(Problem::Sqlite(error)) if access == Access::Shared && cannot_share(&error) => {
                let fallback = files.access_without_locks();
                (fallback, open_as(path, fallback)?)
            }
            other => (access, other?),
        };
        let version = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
        refuse_foreign(&connection)?;
        // Without a log, what keeps a file from being shared is a change that has to be taken back,
        // which is not for us to do.
        let cut_short = (!header.is_wal_mode() && access != Access::Shared).then(|| {
            "a change to it was cut short, half of it may be there; its `-journal` can take it back"
                .to_owned()
        });
        let damage = header
            .cut_off(&files)
            .or(damage.map(|error| error.to_string()))
            .or(cut_short);
        Ok(Self {
            path: path.to_owned(),
            connection,
            access,
            files,
            version,
            damage,
            within: QUESTION_WITHIN,
        })
    }
}

/// Refuses what no app keeps for its user. What has lost its mark is taken by its tables.
fn refuse_foreign(connection: &Connection) -> Result<(), Problem> {
    let mark: i64 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    if mark == APPLICATION_ID {
        return Ok(());
    }
    let (has_calls, is_empty): (bool, bool) = connection.query_row(
        "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'calls' AND type = 'table')
                AND EXISTS (SELECT 1 FROM pragma_table_info('calls') WHERE name = 'sort_key'),
                NOT EXISTS (SELECT 1 FROM sqlite_schema)",
        [],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    match (mark, has_calls) {
        (0, true) => Ok(()),
        _ if is_empty => Err(Problem::Empty),
        _ => Err(Problem::NotOurs),
    }
}

/// Opens the file in one of the ways and reads its schema, because SQLite opens lazily. Gives also
/// what is wrong with that, if anything is.
fn open_as(path: &Path, access: Access) -> Result<(Connection, Option<rusqlite::Error>), Problem> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let real = real_path(path)?;
    let connection = match access {
        Access::Shared => Connection::open_with_flags(&real, flags)?,
        Access::Private => {
            let without_locks = if cfg!(windows) {
                c"win32-none"
            } else {
                c"unix-none"
            };
            let connection = Connection::open_with_flags_and_vfs(&real, flags, without_locks)?;
            // Only then is the index of the WAL kept in memory and not in a file.
            connection.query_row("PRAGMA locking_mode = EXCLUSIVE", [], |_| Ok(()))?;
            connection
        }
        Access::Still => {
            let uri = format!("file:{}?immutable=1", percent_encoded(&real)?);
            Connection::open_with_flags(uri, flags | OpenFlags::SQLITE_OPEN_URI)?
        }
    };
    connection.busy_timeout(BUSY_TIMEOUT)?;
    // Whoever closes a database last empties and deletes its WAL. Never us.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    // The file may come from anybody: what its schema says must have no effect beyond it.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.pragma_update(None, "query_only", true)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    connection.query_row(
        &format!("PRAGMA hard_heap_limit = {HEAP_BYTES_MAX}"),
        [],
        |_| Ok(()),
    )?;
    // Sorting a long timeline would otherwise put files somewhere.
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    let schema = "SELECT count(*) FROM sqlite_schema";
    match connection.query_row(schema, [], |_| Ok(())) {
        Err(damage) if is_damage(&damage) => {
            tolerate(&connection)?;
            Ok((connection, Some(damage)))
        }
        other => other.map(|()| (connection, None)).map_err(Problem::from),
    }
}

/// Has SQLite go on where the file is shorter than it says, or where a row of its schema makes no
/// sense. What the setting is named for stays barred: the connection only reads.
fn tolerate(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, false)?;
    connection.pragma_update(None, "writable_schema", true)?;
    connection.query_row(
        "SELECT EXISTS (SELECT 1 FROM sqlite_schema)",
        [],
        |_| Ok(()),
    )
}

fn cannot_share(error: &rusqlite::Error) -> bool {
    let code = error.sqlite_error_code();
    code == Some(ErrorCode::CannotOpen) || code == Some(ErrorCode::ReadOnly)
}

pub(super) fn unreadable(error: io::Error) -> Problem {
    if error.kind() == io::ErrorKind::NotFound {
        Problem::Missing
    } else {
        Problem::Unreadable(error)
    }
}

/// The file itself where a link was named: SQLite keeps the other files beside that.
pub(super) fn real_path(path: &Path) -> Result<PathBuf, Problem> {
    let real = if cfg!(windows) {
        // Its canonical paths are of a kind that has no URI.
        std::path::absolute(path)
    } else {
        fs::canonicalize(path)
    };
    real.map_err(unreadable)
}

/// A path as it stands in a `file:` URI.
fn percent_encoded(path: &Path) -> Result<String, Problem> {
    let mut encoded = String::new();
    if cfg!(windows) {
        encoded.push('/');
    }
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'\\' if cfg!(windows) => encoded.push('/'),
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'.' | b'_' | b'~' | b':' => {
                encoded.push(char::from(*byte));
            }
            other => encoded.push_str(&format!("%{other:02X}")),
        }
    }
    // Two slashes at the start would make a host's name of the first folder.
    if encoded.starts_with("//") {
        encoded.insert_str(0, "//");
    }
    Ok(encoded)
}

/// What can be seen of the files from outside; changes when an app opens or writes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Files {
    database: Option<Stamp>,
    wal: Option<Stamp>,
    has_shm: bool,
    /// Which file it is; 0 where the system does not say.
    identity: (u64, u64),
}

/// Length and time of the last change.
type Stamp = (u64, Option<SystemTime>);

impl Files {
    pub(super) fn of(path: &Path) -> Self {
        let real = real_path(path).unwrap_or_else(|_| path.to_owned());
        Self {
            database: stamp(&real),
            wal: stamp(&beside(&real, "-wal")),
            has_shm: stamp(&beside(&real, "-shm")).is_some(),
            identity: identity(&real),
        }
    }

    /// The bytes of the file, and of the WAL beside it.
    pub(super) fn bytes(&self) -> (u64, u64) {
        let bytes = |stamp: Option<Stamp>| stamp.map_or(0, |(bytes, _)| bytes);
        (bytes(self.database), bytes(self.wal))
    }

    /// The last change of any of them, where the file system tells.
    pub(super) fn changed(&self) -> Option<SystemTime> {
        let stamps = [self.database, self.wal];
        stamps.into_iter().flatten().filter_map(|(_, at)| at).max()
    }

    /// Whoever has the database open in WAL mode has both files beside it, and a lock on one.
    fn access(&self, path: &Path) -> Access {
        let real = real_path(path).unwrap_or_else(|_| path.to_owned());
        if self.wal.is_some() && self.has_shm && has_it_open(&beside(&real, "-shm")) {
            Access::Shared
        } else {
            self.access_without_locks()
        }
    }

    fn access_without_locks(&self) -> Access {
        match self.wal {
            Some((bytes, _)) if bytes > 0 => Access::Private,
            Some(_) | None => Access::Still,
        }
    }
}

#[cfg(unix)]
fn identity(path: &Path) -> (u64, u64) {
    use std::os::unix::fs::MetadataExt;
    fs::metadata(path).map_or((0, 0), |metadata| (metadata.dev(), metadata.ino()))
}

#[cfg(not(unix))]
fn identity(_: &Path) -> (u64, u64) {
    (0, 0)
}

fn stamp(path: &Path) -> Option<Stamp> {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.len(), metadata.modified().ok()))
}

pub(super) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use std::cell::OnceCell;

    use super::*;

    fn app(path: &Path) -> Connection {
        let app = Connection::open(path).unwrap();
        app.execute_batch(
            "PRAGMA journal_mode = WAL; CREATE TABLE IF NOT EXISTS calls (sort_key INTEGER PRIMARY KEY, call_id TEXT) STRICT;",
        )
        .unwrap();
        app
    }

    fn count(snapshot: &Connection) -> Result<i64, Problem> {
        Ok(snapshot.query_row("SELECT count(*) FROM calls", [], |row| row.get(0))?)
    }

    #[test]
    fn an_app_that_starts_in_the_middle_of_a_question_does_not_confuse_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("alice.db");
        drop(app(&path));
        let mut database = Database::open(&path).unwrap();
        assert_eq!(database.access, Access::Still);
        let started = OnceCell::new();
        let seen = database.read(|snapshot| {
            let seen = count(snapshot);
            started.get_or_init(|| {
                let app = app(&path);
                let insert = "INSERT INTO calls (call_id) VALUES ('a')";
                app.execute(insert, []).unwrap();
                app
            });
            seen
        });
        assert_eq!(seen.unwrap(), 1);
        assert_ne!(database.access, Access::Still);
    }

    #[test]
    fn a_file_that_never_comes_to_rest_is_given_up() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("alice.db");
        drop(app(&path));
        let mut database = Database::open(&path).unwrap();
        let error = database
            .read(|snapshot| {
                // Opened, written and closed: by the time of the next look nobody has it open.
                app(&path)
                    .execute(
                        "INSERT INTO calls (call_id) VALUES (hex(zeroblob(5000)))",
                        [],
                    )
                    .unwrap();
                count(snapshot)
            })
            .unwrap_err();
        assert!(error.to_string().contains("try again"), "{error}");
    }

    #[test]
    fn a_question_without_an_end_is_given_up() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("alice.db");
        drop(app(&path));
        let database = Database::open(&path).unwrap();
        let endless = |snapshot: &Connection| {
            let sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) \
                       SELECT count(*) FROM n";
            Ok(snapshot.query_row(sql, [], |row| row.get::<_, i64>(0))?)
        };
        let problem = database.ask(&endless, Duration::from_millis(100));
        assert!(matches!(problem, Err(Problem::TooMuch)), "{problem:?}");
        let greedy = |snapshot: &Connection| {
            let sql = "SELECT length(hex(zeroblob(499999999)) || 'x')";
            Ok(snapshot.query_row(sql, [], |row| row.get::<_, i64>(0))?)
        };
        let problem = database.ask(&greedy, QUESTION_WITHIN);
        assert!(matches!(problem, Err(Problem::TooMuch)), "{problem:?}");
        assert_eq!(database.ask(&count, QUESTION_WITHIN).unwrap(), 0);
    }

    #[test]
    fn a_question_of_short_statements_without_an_end_is_given_up() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("alice.db");
        drop(app(&path));
        let database = Database::open(&path).unwrap();
        let endless = |snapshot: &Connection| -> Result<(), Problem> {
            loop {
                // Most of the time none of them is at work.
                count(snapshot)?;
                std::thread::sleep(Duration::from_micros(20));
            }
        };
        let problem = database.ask(&endless, Duration::from_millis(50));
        assert!(matches!(problem, Err(Problem::TooMuch)), "{problem:?}");
        assert_eq!(database.ask(&count, QUESTION_WITHIN).unwrap(), 0);
    }

    #[test]
    fn a_look_that_stays_sees_what_came_later() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("alice.db");
        drop(app(&path));
        let mut database = Database::open(&path).unwrap();
        assert_eq!(database.read(count).unwrap(), 0);
        let app = app(&path);
        for rows in 1..4 {
            app.execute("INSERT INTO calls (call_id) VALUES ('a')", [])
                .unwrap();
            assert_eq!(database.read(count).unwrap(), rows);
        }
    }

    #[test]
    fn paths_of_all_kinds_stand_in_a_uri() {
        let folder = tempfile::tempdir().unwrap();
        let odd = folder.path().join("a b?c#d%e&f=通话");
        fs::create_dir(&odd).unwrap();
        let path = odd.join("alice.db?mode=rwc");
        drop(app(&path));
        let mut database = Database::open(&path).unwrap();
        assert_eq!(database.access, Access::Still);
        assert_eq!(database.read(count).unwrap(), 0);
    }
}
