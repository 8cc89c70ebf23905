//! Whether the database changed, seen from outside: without opening it.

use std::path::Path;
use std::time::{Duration, SystemTime};

use super::super::database::Files;

/// File systems count time in steps of some milliseconds: what was written less than this ago can
/// have been written again under the same time.
const UNSETTLED: Duration = Duration::from_millis(100);

/// Counts the changes that were noticed.
#[derive(Debug, Default)]
pub(super) struct Changes {
    count: u64,
    seen: Option<Files>,
    unsettled: bool,
}

impl Changes {
    /// Looks, and gives a number that is another one whenever something may have changed.
    pub(super) fn look(&mut self, file: &Path) -> u64 {
        let now = Files::of(file);
        if self.unsettled || self.seen.as_ref() != Some(&now) {
            self.count += 1;
        }
        self.unsettled = now.changed().is_some_and(is_fresh);
        self.seen = Some(now);
        self.count
    }
}

fn is_fresh(changed: SystemTime) -> bool {
    // A file of the future is fresh until then.
    changed.elapsed().map_or(true, |age| age < UNSETTLED)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};

    use super::*;

    #[test]
    fn the_count_moves_when_a_file_changes_and_else_stands_still() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("alice.db");
        let old = SystemTime::now() - Duration::from_secs(60);
        let write = |text: &str, at: SystemTime| {
            fs::write(&path, text).unwrap();
            File::options()
                .write(true)
                .open(&path)
                .unwrap()
                .set_modified(at)
                .unwrap();
        };
        let mut changes = Changes::default();
        write("a", old);
        let first = changes.look(&path);
        assert_eq!(changes.look(&path), first);
        write("ab", old);
        let second = changes.look(&path);
        assert_ne!(second, first);
        assert_eq!(changes.look(&path), second);
        // Written this very moment, so that it can be written again without a trace.
        write("ac", SystemTime::now() + Duration::from_secs(60));
        let third = changes.look(&path);
        assert_ne!(third, second);
        assert_ne!(changes.look(&path), third);
        fs::remove_file(&path).unwrap();
        let gone = changes.look(&path);
        assert_eq!(changes.look(&path), gone);
    }
}
