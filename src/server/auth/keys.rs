//! The key file: what it may hold, how it is read, and how a new one is made.
//!
//! In goes the content of a file, out comes a [`Keys`] that can check tokens and, unless it is a
//! public key, sign them. The kind of the key alone decides the algorithm.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey};
use pem::{EncodeConfig, LineEnding, Pem};
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{Ed25519KeyPair, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{PrivatePkcs8KeyDer, SubjectPublicKeyInfoDer};

/// The fewest bytes a shared secret may have. Shorter ones can be guessed offline from one token.
pub const SECRET_MIN_BYTES: usize = 16;

const ED25519_KEY_BYTES: usize = 32;

/// DER of an Ed25519 public key up to the key itself (RFC 8410, section 4).
const SPKI_PREFIX: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];

/// DER of an Ed25519 private key, version 1, up to the seed (RFC 8410, section 7).
///
/// Version 2, which ring writes by itself, repeats the public key; several tools cannot read it.
const PKCS8_PREFIX: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

const PEM_START: &[u8] = b"-----BEGIN ";
const PUBLIC_LABEL: &str = "PUBLIC KEY";
const PRIVATE_LABEL: &str = "PRIVATE KEY";

/// What a server checks tokens with, and the command line signs them with.
#[derive(Clone)]
pub enum Keys {
    /// An Ed25519 public key: checks EdDSA tokens, signs none. The right choice for a server whose
    /// tokens somebody else issues.
    Public(DecodingKey),
    /// An Ed25519 private key and the public half derived from it: signs and checks EdDSA tokens.
    Private {
        /// Signs.
        signing: EncodingKey,
        /// Checks.
        checking: DecodingKey,
    },
    /// A secret that issuer and server share: signs and checks HS256 tokens.
    Secret {
        /// Signs.
        signing: EncodingKey,
        /// Checks.
        checking: DecodingKey,
    },
}

/// Says which kind of key it is and nothing of the key.
impl fmt::Debug for Keys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Public(_) => "Keys::Public",
            Self::Private { .. } => "Keys::Private",
            Self::Secret { .. } => "Keys::Secret",
        })
    }
}

impl Keys {
    /// Reads a key file.
    ///
    /// A PEM `PUBLIC KEY` or `PRIVATE KEY` (PKCS #8) is an Ed25519 key; a file without any PEM
    /// header is a secret, less one line end at its end. A file with another PEM header is refused:
    /// taken for a secret, a certificate or a public RSA key would let everybody sign who has it.
    ///
    /// # Errors
    /// [`KeyError`], with the file's name and what to do.
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        let content = fs::read(path).map_err(|source| KeyError::Unreadable {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(&content).map_err(|problem| KeyError::Unusable {
            path: path.to_owned(),
            problem,
        })
    }

    /// As [`Keys::load`], of a content that is in memory already.
    ///
    /// # Errors
    /// What is wrong with the content.
    pub fn parse(content: &[u8]) -> Result<Self, KeyProblem> {
        let Some(label) = first_pem_label(content) else {
            return Self::from_secret(content);
        };
        if label == PUBLIC_LABEL.as_bytes() {
            Self::from_public_pem(content)
        } else if label == PRIVATE_LABEL.as_bytes() {
            Self::from_private_pem(content)
        } else {
            Err(KeyProblem::OtherPem {
                label: String::from_utf8_lossy(label).into_owned(),
            })
        }
    }

    fn from_secret(content: &[u8]) -> Result<Self, KeyProblem> {
        let secret = match content.strip_suffix(b"\n") {
            Some(line) => line.strip_suffix(b"\r").unwrap_or(line),
            None => content,
        };
        if secret.len() < SECRET_MIN_BYTES {
            return Err(KeyProblem::ShortSecret {
                bytes: secret.len(),
            });
        }
        Ok(Self::Secret {
            signing: EncodingKey::from_secret(secret),
            checking: DecodingKey::from_secret(secret),
        })
    }

    fn from_public_pem(content: &[u8]) -> Result<Self, KeyProblem> {
        let der = SubjectPublicKeyInfoDer::from_pem_slice(content).map_err(|error| {
            KeyProblem::BadPem {
                reason: error.to_string(),
            }
        })?;
        let key = der
            .as_ref()
            .strip_prefix(&SPKI_PREFIX)
            .filter(|key| key.len() == ED25519_KEY_BYTES)
            .ok_or(KeyProblem::NotEd25519)?;
        Ok(Self::Public(DecodingKey::from_ed_der(key)))
    }

    fn from_private_pem(content: &[u8]) -> Result<Self, KeyProblem> {
        let der =
            PrivatePkcs8KeyDer::from_pem_slice(content).map_err(|error| KeyProblem::BadPem {
                reason: error.to_string(),
            })?;
        // Unchecked means only that the file need not repeat the public key; openssl leaves it out.
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der.secret_pkcs8_der())
            .map_err(|_| KeyProblem::NotEd25519)?;
        Ok(Self::Private {
            signing: EncodingKey::from_ed_der(der.secret_pkcs8_der()),
            checking: DecodingKey::from_ed_der(pair.public_key().as_ref()),
        })
    }

    /// The one algorithm that this key stands for.
    pub(super) fn algorithm(&self) -> Algorithm {
        match self {
            Self::Public(_) | Self::Private { .. } => Algorithm::EdDSA,
            Self::Secret { .. } => Algorithm::HS256,
        }
    }

    /// The half that checks.
    pub(super) fn checking(&self) -> &DecodingKey {
        match self {
            Self::Public(checking)
            | Self::Private { checking, .. }
            | Self::Secret { checking, .. } => checking,
        }
    }

    /// The half that signs, where there is one.
    pub(super) fn signing(&self) -> Option<&EncodingKey> {
        match self {
            Self::Public(_) => None,
            Self::Private { signing, .. } | Self::Secret { signing, .. } => Some(signing),
        }
    }
}

/// The label of the first PEM header at the start of a line, if there is any.
fn first_pem_label(content: &[u8]) -> Option<&[u8]> {
    content.split(|byte| *byte == b'\n').find_map(|line| {
        let label = line.trim_ascii().strip_prefix(PEM_START)?;
        Some(label.strip_suffix(b"-----").unwrap_or(label))
    })
}

/// A new Ed25519 key pair, as the two texts that `offhook keygen` writes.
pub struct KeyFiles {
    /// PKCS #8, PEM. Whoever has it can sign for every user.
    pub private_pem: String,
    /// SubjectPublicKeyInfo, PEM. May be shown to anybody.
    pub public_pem: String,
}

/// Makes a key pair from the system's randomness.
///
/// # Errors
/// [`NoRandomness`] when the system gives none.
pub fn generate() -> Result<KeyFiles, NoRandomness> {
    let mut seed = [0u8; ED25519_KEY_BYTES];
    SystemRandom::new()
        .fill(&mut seed)
        .map_err(|_| NoRandomness)?;
    let pair = Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|_| NoRandomness)?;
    let private = [PKCS8_PREFIX.as_slice(), &seed].concat();
    let public = [SPKI_PREFIX.as_slice(), pair.public_key().as_ref()].concat();
    Ok(KeyFiles {
        private_pem: pem_text(PRIVATE_LABEL, private),
        public_pem: pem_text(PUBLIC_LABEL, public),
    })
}

fn pem_text(label: &str, der: Vec<u8>) -> String {
    let config = EncodeConfig::new().set_line_ending(LineEnding::LF);
    pem::encode_config(&Pem::new(label, der), config)
}

/// The system refused to give random bytes, so that no key can be made.
#[derive(Debug, thiserror::Error)]
#[error(
    "the system gives no random bytes to make a key from; see whether /dev/urandom can be read"
)]
pub struct NoRandomness;

/// Why a key file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file could not be read.
    #[error("cannot read the key file {}: {source}; make one with `offhook keygen FILE`", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file was read and is not a usable key.
    #[error("the key file {} cannot be used: {problem}", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong with its content.
        problem: KeyProblem,
    },
}

/// What is wrong with the content of a key file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyProblem {
    /// A secret that is too short to be one.
    #[error(
        "a secret needs at least {SECRET_MIN_BYTES} bytes and it has {bytes}; \
         `openssl rand -hex 32` prints a good one"
    )]
    ShortSecret {
        /// How many it has, without a line end at its end.
        bytes: usize,
    },
    /// A PEM file of something else.
    #[error(
        "it is a PEM file of a `{label}`; an Ed25519 `PUBLIC KEY` or `PRIVATE KEY` is needed, \
         `offhook keygen FILE` makes both"
    )]
    OtherPem {
        /// What its header says it is.
        label: String,
    },
    /// A PEM header with something unreadable after it.
    #[error("its PEM is damaged ({reason}); copy it again from where it came from")]
    BadPem {
        /// What the parser said.
        reason: String,
    },
    /// A key of another kind.
    #[error(
        "its key is not an Ed25519 key, or damaged; `offhook keygen FILE` makes a pair of the right kind"
    )]
    NotEd25519,
}
