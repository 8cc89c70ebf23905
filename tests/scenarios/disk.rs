//! Disks that are small or cannot be written.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A file system of its own, in memory. Mounting one takes privileges. A test that cannot have it
/// says so and is skipped, except where `CI` is set: there it fails, unless [`MAY_BE_SKIPPED`] says
/// that it may.
pub struct Disk {
    path: PathBuf,
}

impl Disk {
    /// One of that size, on that folder.
    pub fn of(folder: &Path, size: &str) -> Option<Self> {
        Self::mount(folder, &format!("size={size}"))
    }

    /// One that nobody can write, on that folder.
    pub fn read_only(folder: &Path) -> Option<Self> {
        Self::mount(folder, "ro")
    }

    fn mount(folder: &Path, options: &str) -> Option<Self> {
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "tmpfs"])
            .arg(folder)
            .stderr(Stdio::null())
            .status();
        if !mounted.is_ok_and(|status| status.success()) {
            is_skipped();
            return None;
        }
        Some(Self {
            path: folder.to_owned(),
        })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    fn filler(&self) -> PathBuf {
        self.path.join("filler")
    }

    /// Leaves no room.
    pub fn fill(&self) {
        let mut file = File::create(self.filler()).expect("a file");
        while file.write_all(&[0; 4_096]).is_ok() {}
    }

    /// Lets nobody write to it, or everybody again.
    pub fn set_read_only(&self, read_only: bool) {
        let options = if read_only {
            "remount,ro"
        } else {
            "remount,rw"
        };
        let done = Command::new("mount")
            .args(["-o", options])
            .arg(&self.path)
            .status();
        assert!(done.is_ok_and(|status| status.success()));
    }

    /// Makes room again.
    pub fn free(&self) {
        std::fs::remove_file(self.filler()).expect("removed");
    }
}

/// The variable, and its value, that lets a machine that checks changes go without these tests.
const MAY_BE_SKIPPED: (&str, &str) = ("OFFHOOK_MOUNT_TEST", "optional");

fn is_skipped() {
    let (variable, allows) = MAY_BE_SKIPPED;
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let may_be = std::env::var(variable).is_ok_and(|value| value == allows);
    assert!(
        may_be || !is_set("CI"),
        "a file system cannot be mounted here (run as root, or set {variable}={allows})"
    );
    // Past what the test runner keeps to itself.
    let _ = writeln!(
        std::io::stderr(),
        "SKIPPED a test of a small disk: a file system cannot be mounted here"
    );
}

impl Drop for Disk {
    fn drop(&mut self) {
        // At once or when the last file on it is closed.
        let _ = Command::new("umount").arg("-l").arg(&self.path).status();
    }
}
