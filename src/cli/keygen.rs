//! `offhook keygen`: makes the key pair that tokens are signed and checked with.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::failure::Failure;
use crate::server::auth;

/// Make an Ed25519 key pair to sign and check tokens with.
///
/// FILE is the private key (only you can read it; whoever has it can log in as anybody), FILE.pub
/// the public one, which is all that a server needs. Both are PEM, as other tools read and write
/// it. An existing file is never overwritten.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    offhook keygen auth.key\n  \
    offhook serve --listen 127.0.0.1:7443 --data data --jwt-key auth.key.pub\n  \
    offhook token --user alice --jwt-key auth.key")]
pub struct Args {
    /// Where the private key goes; the public key goes beside it, with .pub at the end of its name.
    pub file: PathBuf,
}

/// Writes the pair; prints nothing.
///
/// # Errors
/// One of the files exists or cannot be written. Then neither is left behind.
pub fn run(args: Args) -> Result<(), Failure> {
    let private = args.file;
    let mut public = private.clone().into_os_string();
    public.push(".pub");
    let public = PathBuf::from(public);
    let pair = auth::generate().map_err(Failure::new)?;
    write_new(&private, &pair.private_pem, 0o600)?;
    write_new(&public, &pair.public_pem, 0o644).inspect_err(|_| {
        // Ours, written a moment ago. If even that fails there is nothing better to say than the
        // failure itself.
        let _ = fs::remove_file(&private);
    })
}

fn write_new(path: &Path, text: &str, mode: u32) -> Result<(), Failure> {
    let mut file = create_new(path, mode).map_err(|error| {
        if error.kind() == io::ErrorKind::AlreadyExists {
            Failure::new(format_args!(
                "{} exists and is not overwritten; name another file, or delete it if no token or server needs it",
                path.display()
            ))
        } else {
            unwritable(path, &error)
        }
    })?;
    file.write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(|error| {
            // Half a key would only be in the way of the next try.
            let _ = fs::remove_file(path);
            unwritable(path, &error)
        })
}

fn unwritable(path: &Path, error: &io::Error) -> Failure {
    Failure::new(format_args!(
        "cannot write {}: {error}; check that its folder exists and may be written",
        path.display()
    ))
}

#[cfg(unix)]
fn create_new(path: &Path, mode: u32) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
}

#[cfg(not(unix))]
fn create_new(path: &Path, _mode: u32) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::auth::Keys;

    #[test]
    fn the_public_half_checks_what_the_private_half_signs() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("auth.key");
        run(Args { file: file.clone() }).unwrap();
        let token = Keys::load(&file).unwrap().sign("alice", 2_000).unwrap();
        let public = Keys::load(&folder.path().join("auth.key.pub")).unwrap();
        assert_eq!(public.verify(&token, 1_000).unwrap().user, "alice");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(
                fs::metadata(&file).unwrap().permissions().mode() & 0o777,
                0o600
            );
        }
    }

    #[test]
    fn an_existing_file_is_left_alone_and_nothing_else_is_made() {
        for taken in ["auth.key", "auth.key.pub"] {
            let folder = tempfile::tempdir().unwrap();
            fs::write(folder.path().join(taken), "precious").unwrap();
            let failure = run(Args {
                file: folder.path().join("auth.key"),
            })
            .unwrap_err();
            assert!(failure.message.contains(taken), "{failure}");
            assert_eq!(
                fs::read_to_string(folder.path().join(taken)).unwrap(),
                "precious"
            );
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        }
    }
}
