//! The folder in which the demo leaves its files.

use std::fs::{self, DirBuilder};
use std::io;
use std::path::{Path, PathBuf};

use super::tell::Role;
use crate::cli::failure::Failure;

/// How many names are tried for a new folder before something else must be wrong.
const NAMES_MAX: u32 = 1_000;

/// An empty folder that can be written.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
}

impl Folder {
    /// Makes the folder, or takes the one that was named if it is empty.
    ///
    /// # Errors
    /// It cannot be made or read, or has files in it: an earlier demo's calls would be part of
    /// this one's history.
    pub fn prepare(wanted: Option<PathBuf>) -> Result<Self, Failure> {
        let path = match wanted {
            Some(path) => {
                take(&path)?;
                path
            }
            None => fresh(&std::env::temp_dir())?,
        };
        // What is printed is to be typed from anywhere.
        let path = std::path::absolute(&path).map_err(|error| unusable(&path, &error))?;
        Ok(Self { path })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where a device's database is.
    pub fn database(&self, role: Role) -> PathBuf {
        self.path.join(role.name).with_extension("db")
    }
}

fn take(path: &Path) -> Result<(), Failure> {
    match fs::read_dir(path) {
        Ok(mut entries) => match entries.next() {
            None => Ok(()),
            Some(_) => Err(Failure::new(format_args!(
                "{} is not empty, and the demo begins without calls; name another folder, or leave out --dir",
                path.display()
            ))),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => builder()
            .recursive(true)
            .create(path)
            .map_err(|error| unusable(path, &error)),
        Err(error) => Err(unusable(path, &error)),
    }
}

fn fresh(parent: &Path) -> Result<PathBuf, Failure> {
    let id = std::process::id();
    for number in 1..=NAMES_MAX {
        let path = parent.join(match number {
            1 => format!("offhook-demo-{id}"),
            _ => format!("offhook-demo-{id}-{number}"),
        });
        match builder().create(&path) {
            Ok(()) => return Ok(path),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(unusable(&path, &error)),
        }
    }
    Err(Failure::new(format_args!(
        "{} is full of earlier demos (offhook-demo-{id}-…); delete them, or name a folder with --dir",
        parent.display()
    )))
}

/// Temporary files are in a place that all users of a machine share; calls are for their owner.
fn builder() -> DirBuilder {
    #[cfg_attr(not(unix), expect(unused_mut))]
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt;
        builder.mode(0o700);
    }
    builder
}

fn unusable(path: &Path, error: &io::Error) -> Failure {
    Failure::new(format_args!(
        "the demo cannot keep its files in {}: {error}; name a folder that you may write with --dir",
        path.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_or_new_folder_is_taken_and_a_full_one_left_alone() {
        let outer = tempfile::tempdir().unwrap();
        let inner = outer.path().join("a").join("b");
        assert_eq!(Folder::prepare(Some(inner.clone())).unwrap().path(), inner);
        assert!(Folder::prepare(Some(inner.clone())).is_ok());
        let failure = Folder::prepare(Some(outer.path().to_owned())).unwrap_err();
        assert!(
            failure.message.contains(outer.path().to_str().unwrap()),
            "{failure}"
        );
    }

    #[test]
    fn a_new_folder_is_another_one_each_time() {
        let parent = tempfile::tempdir().unwrap();
        let first = fresh(parent.path()).unwrap();
        assert_ne!(first, fresh(parent.path()).unwrap());
    }
}
