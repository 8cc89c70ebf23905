//! The TLS sessions that devices can resume, over restarts of the server as well.
//!
//! rustls puts in what a device will name when it comes back, and takes it out when it does: each is
//! good once, which is what makes rustls allow early data. They are kept in a file of the data folder,
//! written now and then and at the end. After a crash that file may hold sessions that were taken
//! since; so a first packet that somebody has recorded may be taken for a new one, and that is why a
//! hello that it brings has no effect before the handshake is complete.
//!
//! The file belongs to the key of the server's certificate: with another it is ignored, as is one that
//! is damaged. Losing it costs every device one round trip.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use ring::hmac;
use rustls::server::StoresServerSessions;

use super::certificate::{Identity, write_atomically};
use super::clock;
use crate::call::Millis;

/// Where they are kept, in the data folder. Whoever reads it can listen to devices that come back.
pub const SESSIONS_FILE: &str = "tls-sessions";
/// Most TLS sessions that are remembered; the oldest go first. A device has several.
pub const TLS_SESSIONS_MAX: usize = 65_536;
/// A session can be resumed for this long: as long as rustls tells devices.
pub const TLS_SESSION_AGE_MAX: Millis = 24 * 60 * 60 * 1_000;

/// Only the server reads it.
const FILE_MODE: u32 = 0o600;
/// What the file begins with; another form has another number.
const MAGIC: &[u8] = b"offhook tls sessions 1\n";
/// A file that is longer holds something else.
const SESSIONS_FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// See the module.
pub struct TlsSessions {
    path: PathBuf,
    seal: hmac::Key,
    kept: Mutex<Kept>,
    changed: AtomicBool,
    /// Held by whoever writes the file.
    saving: Mutex<()>,
}

#[derive(Default)]
struct Kept {
    sessions: HashMap<Vec<u8>, Session>,
    /// Oldest first; holds names of sessions that are gone as well, but never many.
    order: VecDeque<(u64, Vec<u8>)>,
    count: u64,
}

struct Session {
    /// Tells it from an earlier one of the same name.
    number: u64,
    made_ms: Millis,
    value: Vec<u8>,
}

impl TlsSessions {
    /// Those that the data folder has for the holder of that key, or none.
    pub fn open(data_dir: &Path, identity: &Identity) -> Self {
        let secret = hmac::Key::new(hmac::HMAC_SHA256, identity.key.secret_der());
        let seed = hmac::sign(&secret, b"offhook tls sessions");
        let path = data_dir.join(SESSIONS_FILE);
        let seal = hmac::Key::new(hmac::HMAC_SHA256, seed.as_ref());
        let kept = match read(&path, &seal) {
            Ok(Some(kept)) => kept,
            Ok(None) => Kept::default(),
            Err(reason) => {
                tracing::warn!(
                    file = %path.display(), reason,
                    "the TLS sessions of the last run are not used; devices need a round trip more, once"
                );
                Kept::default()
            }
        };
        tracing::debug!(count = kept.sessions.len(), "TLS sessions");
        Self {
            path,
            seal,
            kept: Mutex::new(kept),
            changed: AtomicBool::new(false),
            saving: Mutex::new(()),
        }
    }

    /// Writes them down if they have changed since. What cannot be written is lost with the process.
    pub fn save(&self) {
        let _saving = self.saving.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.changed.swap(false, Ordering::AcqRel) {
            return;
        }
        let bytes = self.lock().to_bytes(clock::wall_ms(), &self.seal);
        if let Err(error) = write_atomically(&self.path, &bytes, FILE_MODE) {
            self.changed.store(true, Ordering::Release);
            tracing::warn!(%error, "the TLS sessions are not kept");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for TlsSessions {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("TlsSessions")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl StoresServerSessions for TlsSessions {
    fn put(&self, name: Vec<u8>, value: Vec<u8>) -> bool {
        self.lock().put(name, value, clock::wall_ms());
        self.changed.store(true, Ordering::Release);
        true
    }

    fn get(&self, name: &[u8]) -> Option<Vec<u8>> {
        let kept = self.lock();
        let session = kept.sessions.get(name)?;
        is_young(session.made_ms, clock::wall_ms()).then(|| session.value.clone())
    }

    fn take(&self, name: &[u8]) -> Option<Vec<u8>> {
        let session = self.lock().sessions.remove(name)?;
        self.changed.store(true, Ordering::Release);
        is_young(session.made_ms, clock::wall_ms()).then_some(session.value)
    }

    fn can_cache(&self) -> bool {
        true
    }
}

/// What comes from the future was made before the wall clock was set back, and is as old as that.
fn is_young(made_ms: Millis, now: Millis) -> bool {
    now.abs_diff(made_ms) <= TLS_SESSION_AGE_MAX.unsigned_abs()
}

impl Kept {
    fn put(&mut self, name: Vec<u8>, value: Vec<u8>, made_ms: Millis) {
        self.count += 1;
        let number = self.count;
        self.order.push_back((number, name.clone()));
        let session = Session {
            number,
            made_ms,
            value,
        };
        self.sessions.insert(name, session);
        // Those that were taken are in the order still. What is dropped here was taken, or is the oldest.
        while self.order.len() > TLS_SESSIONS_MAX
            && let Some((number, name)) = self.order.pop_front()
        {
            if self
                .sessions
                .get(&name)
                .is_some_and(|it| it.number == number)
            {
                self.sessions.remove(&name);
            }
        }
    }

    fn to_bytes(&self, now: Millis, seal: &hmac::Key) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        for (number, name) in &self.order {
            let Some(session) = self.sessions.get(name).filter(|it| it.number == *number) else {
                continue;
            };
            let lengths = (
                u16::try_from(name.len()),
                u16::try_from(session.value.len()),
            );
            let (Ok(name_bytes), Ok(value_bytes)) = lengths else {
                continue; // rustls makes none as long as that
            };
            if !is_young(session.made_ms, now) {
                continue;
            }
            bytes.extend_from_slice(&session.made_ms.to_be_bytes());
            bytes.extend_from_slice(&name_bytes.to_be_bytes());
            bytes.extend_from_slice(name);
            bytes.extend_from_slice(&value_bytes.to_be_bytes());
            bytes.extend_from_slice(&session.value);
        }
        let tag = hmac::sign(seal, &bytes);
        bytes.extend_from_slice(tag.as_ref());
        bytes
    }

    fn from_bytes(bytes: &[u8], seal: &hmac::Key) -> Result<Self, &'static str> {
        let tag_bytes = seal.algorithm().digest_algorithm().output_len();
        let (content, tag) = bytes
            .len()
            .checked_sub(tag_bytes)
            .and_then(|at| bytes.split_at_checked(at))
            .ok_or("it is too short")?;
        let mut rest = content.strip_prefix(MAGIC).ok_or("it is of another form")?;
        hmac::verify(seal, content, tag)
            .map_err(|_| "it is damaged, or was written under another certificate")?;
        let mut kept = Self::default();
        while !rest.is_empty() {
            let (made_ms, name, value) = entry(&mut rest).ok_or("it ends too early")?;
            kept.put(name.to_vec(), value.to_vec(), made_ms);
        }
        Ok(kept)
    }
}

fn entry<'b>(rest: &mut &'b [u8]) -> Option<(Millis, &'b [u8], &'b [u8])> {
    let made_ms = Millis::from_be_bytes(array(rest)?);
    let name = text(rest)?;
    let value = text(rest)?;
    Some((made_ms, name, value))
}

fn text<'b>(rest: &mut &'b [u8]) -> Option<&'b [u8]> {
    let bytes = u16::from_be_bytes(array(rest)?);
    let (text, after) = rest.split_at_checked(usize::from(bytes))?;
    *rest = after;
    Some(text)
}

fn array<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (array, after) = rest.split_first_chunk::<N>()?;
    *rest = after;
    Some(*array)
}

fn read(path: &Path, seal: &hmac::Key) -> Result<Option<Kept>, String> {
    let bytes = match fs::metadata(path) {
        Ok(file) if file.len() > SESSIONS_FILE_BYTES_MAX => return Err("it is too long".to_owned()),
        Ok(_) => fs::read(path).map_err(|error| error.to_string())?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    Kept::from_bytes(&bytes, seal)
        .map(Some)
        .map_err(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::certificate::load_or_create;

    fn opened(folder: &Path) -> TlsSessions {
        TlsSessions::open(folder, &load_or_create(folder, &[], None, None).unwrap())
    }

    fn name(number: usize) -> Vec<u8> {
        number.to_be_bytes().to_vec()
    }

    #[test]
    fn a_session_is_given_once() {
        let folder = tempfile::tempdir().unwrap();
        let sessions = opened(folder.path());
        assert!(sessions.put(b"one".to_vec(), b"1".to_vec()));
        assert_eq!(sessions.take(b"one"), Some(b"1".to_vec()));
        assert_eq!(sessions.take(b"one"), None);
    }

    #[test]
    fn sessions_are_there_after_a_restart_and_those_that_were_taken_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let sessions = opened(folder.path());
        for number in 0..3 {
            sessions.put(name(number), vec![7; 100]);
        }
        sessions.take(&name(1));
        sessions.save();
        let file = folder.path().join(SESSIONS_FILE);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(&file).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, FILE_MODE);
        }
        let again = opened(folder.path());
        let there: Vec<bool> = (0..3).map(|n| again.take(&name(n)).is_some()).collect();
        assert_eq!(there, [true, false, true]);
    }

    #[test]
    fn what_has_not_changed_is_not_written() {
        let folder = tempfile::tempdir().unwrap();
        let sessions = opened(folder.path());
        sessions.put(name(1), Vec::new());
        sessions.save();
        let file = folder.path().join(SESSIONS_FILE);
        fs::remove_file(&file).unwrap();
        sessions.save();
        assert!(!file.exists());
        sessions.take(&name(1));
        sessions.save();
        assert!(file.exists());
    }

    #[test]
    fn the_oldest_give_way_and_a_name_that_comes_again_is_the_newer() {
        let mut kept = Kept::default();
        kept.put(name(0), b"old".to_vec(), 0);
        kept.put(name(0), b"new".to_vec(), 0);
        for number in 1..TLS_SESSIONS_MAX {
            kept.put(name(number), Vec::new(), 0);
        }
        assert_eq!(kept.sessions.len(), TLS_SESSIONS_MAX);
        assert_eq!(kept.sessions[&name(0)].value, b"new");
        kept.put(name(TLS_SESSIONS_MAX), Vec::new(), 0);
        assert!(!kept.sessions.contains_key(&name(0)));
        assert_eq!(kept.sessions.len(), TLS_SESSIONS_MAX);
        assert_eq!(kept.order.len(), TLS_SESSIONS_MAX);
    }

    #[test]
    fn a_session_ages() {
        let folder = tempfile::tempdir().unwrap();
        let sessions = opened(folder.path());
        let now = clock::wall_ms();
        let long_ago = now - TLS_SESSION_AGE_MAX - 60_000;
        sessions.lock().put(name(1), Vec::new(), long_ago);
        sessions.lock().put(name(2), Vec::new(), long_ago);
        assert_eq!(sessions.take(&name(1)), None);
        let bytes = sessions.lock().to_bytes(now, &sessions.seal);
        let kept = Kept::from_bytes(&bytes, &sessions.seal).unwrap();
        assert!(kept.sessions.is_empty());
    }

    #[test]
    fn a_file_with_any_byte_wrong_is_ignored_whole() {
        let folder = tempfile::tempdir().unwrap();
        let sessions = opened(folder.path());
        sessions.put(name(1), b"secret".to_vec());
        sessions.save();
        let file = folder.path().join(SESSIONS_FILE);
        let whole = fs::read(&file).unwrap();
        for at in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 1;
            assert!(Kept::from_bytes(&flipped, &sessions.seal).is_err(), "{at}");
            assert!(Kept::from_bytes(&whole[..at], &sessions.seal).is_err());
        }
        fs::write(&file, &whole[1..]).unwrap();
        assert_eq!(opened(folder.path()).take(&name(1)), None);
    }

    #[test]
    fn sessions_of_another_certificate_are_not_resumed() {
        let folder = tempfile::tempdir().unwrap();
        let sessions = opened(folder.path());
        sessions.put(name(1), Vec::new());
        sessions.save();
        for file in ["cert.pem", "key.pem"] {
            fs::remove_file(folder.path().join(file)).unwrap();
        }
        assert_eq!(opened(folder.path()).take(&name(1)), None);
    }
}
