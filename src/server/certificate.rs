//! The certificate that the server shows, and the key it proves it with.
//!
//! In go the server's data folder and, if the operator has one, a certificate with its key; out
//! comes what TLS needs. Afterwards the folder always holds `cert.pem`, the certificate that is in
//! use, so that a client on the same machine finds what to trust. Nothing here reads a clock, and
//! no private key is ever overwritten.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use pem::{EncodeConfig, LineEnding, Pem};
use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use rcgen::{KeyUsagePurpose, date_time_ymd};
use rustls::client::verify_server_name;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use rustls::{Error as TlsError, InconsistentKeys};

/// The certificate in use, in the data folder. Not secret.
pub const CERTIFICATE_FILE: &str = "cert.pem";
/// The private key of a certificate that was made here, in the data folder.
pub const KEY_FILE: &str = "key.pem";

const CERTIFICATE_MODE: u32 = 0o644;
const KEY_MODE: u32 = 0o600;

/// What a made certificate is good for, whatever the server listens on.
const LOCAL_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// A made certificate is trusted because it is known, not because it is young: it never runs out,
/// and a device whose clock is years off still connects.
const FIRST_YEAR: i32 = 2000;
const LAST_YEAR: i32 = 2999;

/// What TLS needs to be this server.
#[derive(Debug)]
pub struct Identity {
    /// The server's certificate first, then those that vouch for it.
    pub chain: Vec<CertificateDer<'static>>,
    /// The key of the first of them.
    pub key: PrivateKeyDer<'static>,
}

/// Gives the server its identity, made anew only where there was none.
///
/// With `cert` and `key`, both PEM, those are used, and `cert.pem` in `data_dir` becomes a copy of
/// the certificates in `cert`. Without them the pair `cert.pem` and `key.pem` in `data_dir` is used;
/// where neither exists, a self-signed pair is made for localhost, its two addresses and
/// `listen_names` (host names or addresses, without a port). `data_dir` is created if missing.
///
/// A client that trusts a made `cert.pem` connects. Of a given certificate that somebody else signed
/// the copy is only for looking at: its clients trust whoever signed it.
///
/// # Errors
/// [`CertificateError`], which names the file and the way out. Then nothing was overwritten.
pub fn load_or_create(
    data_dir: &Path,
    listen_names: &[String],
    cert: Option<&Path>,
    key: Option<&Path>,
) -> Result<Identity, CertificateError> {
    fs::create_dir_all(data_dir).map_err(|source| unwritable(data_dir, source))?;
    match (cert, key) {
        (Some(cert), Some(key)) => {
            let identity = load(cert, key)?;
            keep_copy(&data_dir.join(CERTIFICATE_FILE), &identity.chain)?;
            Ok(identity)
        }
        (None, None) => load_or_create_own(data_dir, listen_names),
        (Some(_), None) => Err(CertificateError::HalfGiven {
            given: "--cert",
            missing: "--key",
        }),
        (None, Some(_)) => Err(CertificateError::HalfGiven {
            given: "--key",
            missing: "--cert",
        }),
    }
}

fn load_or_create_own(
    data_dir: &Path,
    listen_names: &[String],
) -> Result<Identity, CertificateError> {
    let cert = data_dir.join(CERTIFICATE_FILE);
    let key = data_dir.join(KEY_FILE);
    match (exists(&cert)?, exists(&key)?) {
        (true, true) => {
            let identity = load(&cert, &key)?;
            warn_of_missing_names(&identity, listen_names, &cert);
            Ok(identity)
        }
        (false, false) => create(&cert, &key, listen_names),
        (true, false) => Err(CertificateError::Alone {
            there: cert,
            missing: key,
        }),
        (false, true) => Err(CertificateError::Alone {
            there: key,
            missing: cert,
        }),
    }
}

fn create(cert: &Path, key: &Path, listen_names: &[String]) -> Result<Identity, CertificateError> {
    let pair = KeyPair::generate().map_err(not_made)?;
    let certificate = parameters(listen_names)?
        .self_signed(&pair)
        .map_err(not_made)?;
    // The key first: a crash between the two leaves a key that nobody trusts yet.
    write_atomically(key, pair.serialize_pem().as_bytes(), KEY_MODE)?;
    write_atomically(cert, certificate.pem().as_bytes(), CERTIFICATE_MODE)?;
    load(cert, key)
}

fn parameters(listen_names: &[String]) -> Result<CertificateParams, CertificateError> {
    let mut names: Vec<String> = LOCAL_NAMES.map(str::to_owned).to_vec();
    for name in listen_names {
        if !is_wildcard_address(name) && !names.contains(name) {
            names.push(name.clone());
        }
    }
    let mut parameters = CertificateParams::new(names).map_err(not_made)?;
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, "Offhook server");
    parameters.distinguished_name = subject;
    // It is a root to those who trust it and still no authority: one marked as such would be
    // refused where a server's own certificate is expected.
    parameters.is_ca = IsCa::ExplicitNoCa;
    parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    parameters.not_before = date_time_ymd(FIRST_YEAR, 1, 1);
    parameters.not_after = date_time_ymd(LAST_YEAR, 12, 31);
    Ok(parameters)
}

/// `0.0.0.0` and `::` are where a server listens, never where a client goes.
fn is_wildcard_address(name: &str) -> bool {
    name.parse::<IpAddr>()
        .is_ok_and(|address| address.is_unspecified())
}

fn load(cert: &Path, key: &Path) -> Result<Identity, CertificateError> {
    let chain = read_chain(cert)?;
    let private = PrivateKeyDer::from_pem_slice(&read(key)?)
        .map_err(|error| malformed(key, error.to_string()))?;
    let signing = rustls::crypto::ring::sign::any_supported_type(&private)
        .map_err(|error| malformed(key, error.to_string()))?;
    match CertifiedKey::new(chain.clone(), signing).keys_match() {
        // Unknown means that the key cannot tell its public half: nothing speaks against it.
        Ok(()) | Err(TlsError::InconsistentKeys(InconsistentKeys::Unknown)) => {}
        Err(TlsError::InconsistentKeys(InconsistentKeys::KeyMismatch)) => {
            return Err(CertificateError::Mismatch {
                cert: cert.to_owned(),
                key: key.to_owned(),
            });
        }
        Err(error) => return Err(malformed(cert, error.to_string())),
    }
    Ok(Identity {
        chain,
        key: private,
    })
}

fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let text = read(path)?;
    let chain = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| malformed(path, error.to_string()))?;
    let Some(own) = chain.first() else {
        return Err(malformed(path, "no certificate in it".to_owned()));
    };
    ParsedCertificate::try_from(own).map_err(|error| malformed(path, error.to_string()))?;
    Ok(chain)
}

/// The copy is written from what was parsed: the operator's file may hold the private key as well.
fn keep_copy(path: &Path, chain: &[CertificateDer<'static>]) -> Result<(), CertificateError> {
    if exists(path)? && read_chain(path).is_ok_and(|kept| kept == chain) {
        return Ok(());
    }
    let config = EncodeConfig::new().set_line_ending(LineEnding::LF);
    let blocks: Vec<Pem> = chain
        .iter()
        .map(|certificate| Pem::new("CERTIFICATE", certificate.to_vec()))
        .collect();
    write_atomically(
        path,
        pem::encode_many_config(&blocks, config).as_bytes(),
        CERTIFICATE_MODE,
    )
}

/// A pair that was made for another listen address is kept: clients may have it pinned.
fn warn_of_missing_names(identity: &Identity, listen_names: &[String], cert: &Path) {
    let Some(parsed) = identity
        .chain
        .first()
        .and_then(|own| ParsedCertificate::try_from(own).ok())
    else {
        return;
    };
    for name in listen_names
        .iter()
        .filter(|name| !is_wildcard_address(name))
    {
        let covered = ServerName::try_from(name.as_str())
            .is_ok_and(|name| verify_server_name(&parsed, &name).is_ok());
        if !covered {
            tracing::warn!(
                name,
                file = %cert.display(),
                "the certificate is not valid for this listen address, clients that use it will \
                 refuse; delete cert.pem and key.pem to have a new pair made"
            );
        }
    }
}

/// Writes beside the target, syncs, renames over it and syncs the folder: at any instant there is
/// either nothing, the old file, or the whole new one, and never a key that others could read.
pub(super) fn write_atomically(
    path: &Path,
    content: &[u8],
    mode: u32,
) -> Result<(), CertificateError> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    let temporary = PathBuf::from(temporary);
    let written = (|| {
        // One that a crash left behind may have another mode.
        match fs::remove_file(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let mut file = create_with_mode(&temporary, mode)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        sync_folder_of(path)
    })();
    written.map_err(|source| unwritable(path, source))
}

#[cfg(unix)]
fn create_with_mode(path: &Path, mode: u32) -> io::Result<File> {
    use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)?;
    // The process's umask may have taken bits away that readers of cert.pem need.
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    Ok(file)
}

#[cfg(not(unix))]
fn create_with_mode(path: &Path, _mode: u32) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).open(path)
}

#[cfg(unix)]
fn sync_folder_of(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => File::open(folder)?.sync_all(),
        Some(_) | None => File::open(".")?.sync_all(),
    }
}

#[cfg(not(unix))]
fn sync_folder_of(_path: &Path) -> io::Result<()> {
    Ok(())
}

fn exists(path: &Path) -> Result<bool, CertificateError> {
    path.try_exists().map_err(|source| unreadable(path, source))
}

fn read(path: &Path) -> Result<Vec<u8>, CertificateError> {
    fs::read(path).map_err(|source| unreadable(path, source))
}

fn unreadable(path: &Path, source: io::Error) -> CertificateError {
    CertificateError::Unreadable {
        path: path.to_owned(),
        source,
    }
}

fn unwritable(path: &Path, source: io::Error) -> CertificateError {
    CertificateError::Unwritable {
        path: path.to_owned(),
        source,
    }
}

fn malformed(path: &Path, reason: String) -> CertificateError {
    CertificateError::Malformed {
        path: path.to_owned(),
        reason,
    }
}

fn not_made(error: rcgen::Error) -> CertificateError {
    CertificateError::NotMade {
        reason: error.to_string(),
    }
}

/// Why the server has no identity, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// One of `--cert` and `--key` without the other.
    #[error("{given} was given without {missing}; give both, or neither to have a pair made")]
    HalfGiven {
        /// The option that is there.
        given: &'static str,
        /// The option that is not.
        missing: &'static str,
    },
    /// One half of the pair in the data folder is gone.
    #[error(
        "{} is there and {} is not, so the pair is of no use; put the missing file back, give \
         --cert and --key, or delete {} to have a new pair made, which clients must then trust anew",
        there.display(), missing.display(), there.display()
    )]
    Alone {
        /// The file that exists.
        there: PathBuf,
        /// The file that belongs to it.
        missing: PathBuf,
    },
    /// A file that is not what it should be.
    #[error(
        "{} is not usable PEM ({reason}); restore it from a backup, or, if it was made by this \
         server, delete cert.pem and key.pem to have a new pair made", path.display()
    )]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A certificate of one key with another key.
    #[error(
        "the key in {} does not belong to the certificate in {}; give the two that belong together \
         with --cert and --key, or delete cert.pem and key.pem in the data folder to have a new \
         pair made", key.display(), cert.display()
    )]
    Mismatch {
        /// The file of the certificate.
        cert: PathBuf,
        /// The file of the key.
        key: PathBuf,
    },
    /// A file that the system would not let be read.
    #[error("cannot read {}: {source}; check that it exists and that this user may read it", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file or folder that the system would not let be written.
    #[error("cannot write {}: {source}; check the folder's permissions and the free space", path.display())]
    Unwritable {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A certificate could not be made; the reason is mostly a listen name that is not one.
    #[error(
        "no certificate could be made ({reason}); check the listen address, or give --cert and --key"
    )]
    NotMade {
        /// What went wrong.
        reason: String,
    },
}

#[cfg(test)]
mod tests;
