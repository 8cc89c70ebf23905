//! Who may come in: tokens, checked against a key file.
//!
//! In go a token and the time, out comes who it speaks for and until when, or why not. Nothing
//! here reads a clock. Two things always hold: the key decides the algorithm, never the token; and
//! nothing that a token says is looked at, its expiry included, before its signature is good.

mod keys;
mod provider;

use std::path::Path;

use jsonwebtoken::errors::{Error as JwtError, ErrorKind};
use jsonwebtoken::{Header, Validation};
use serde::{Deserialize, Serialize};

pub use keys::{KeyError, KeyFiles, KeyProblem, Keys, NoRandomness, SECRET_MIN_BYTES, generate};

const MS_PER_S: i64 = 1000;

/// How far the issuer's clock may be ahead of ours before a token's `nbf` keeps it out.
const NOT_BEFORE_LEEWAY_MS: i64 = 60_000;

/// How a server knows who is calling.
#[derive(Debug, Clone)]
pub enum Auth {
    /// Everybody is who they say they are. Only for a loopback address, while developing.
    TrustNames,
    /// A token signed with this key says who they are.
    Keys(Keys),
}

/// Somebody who may come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Admitted {
    /// When they have to show a newer token, in UTC milliseconds; `None` is never.
    pub expires_ms: Option<i64>,
}

impl Auth {
    /// Decides whether `user` may come in with `token` at `now_ms` (UTC milliseconds).
    ///
    /// # Errors
    /// Everything of [`Keys::verify`]; [`TokenError::Missing`] without a token and
    /// [`TokenError::OtherUser`] with somebody else's. Without keys nobody is refused.
    pub fn admit(
        &self,
        user: &str,
        token: Option<&str>,
        now_ms: i64,
    ) -> Result<Admitted, TokenError> {
        let keys = match self {
            Self::TrustNames => return Ok(Admitted { expires_ms: None }),
            Self::Keys(keys) => keys,
        };
        let token = token
            .filter(|token| !token.is_empty())
            .ok_or(TokenError::Missing)?;
        let claims = keys.verify(token, now_ms)?;
        if claims.user != user {
            return Err(TokenError::OtherUser {
                token_user: claims.user,
            });
        }
        Ok(Admitted {
            expires_ms: Some(claims.expires_ms),
        })
    }
}

/// What a good token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// `sub`: the user it speaks for. Compared byte for byte; its form is not checked here.
    pub user: String,
    /// `exp`, in UTC milliseconds: the first instant at which it is no longer good.
    pub expires_ms: i64,
}

/// Why a token was refused.
///
/// [`TokenError::Expired`] is 6000106 on the outer surfaces, all others are 6000103.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// There is none, and this server asks for one.
    #[error("this server admits nobody without a token; get one from its operator")]
    Missing,
    /// It is not a token of the kind this server reads.
    #[error("the token is malformed: {0}; get a new one from its issuer")]
    Malformed(String),
    /// It was not signed with the server's key, or says an algorithm that is not the key's.
    #[error("the token was not signed with this server's key; get one from the issuer that has it")]
    Forged,
    /// It was good, until it ran out.
    #[error("the token expired at {at_ms} (UTC ms); get a new one from its issuer")]
    Expired {
        /// When, in UTC milliseconds.
        at_ms: i64,
    },
    /// It will be good, and is not yet.
    #[error(
        "the token is not valid before {from_ms} (UTC ms); compare the clocks of server and issuer"
    )]
    NotYetValid {
        /// From when, in UTC milliseconds.
        from_ms: i64,
    },
    /// It is good, for somebody else.
    #[error(
        "the token is for the user `{token_user}`; log in as that user, or get a token for this one"
    )]
    OtherUser {
        /// Whom it speaks for.
        token_user: String,
    },
}

/// Why no token could be made.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// The key can only check.
    #[error("a public key can only check tokens; sign with the private key that it belongs to")]
    PublicKey,
    /// The key file is no use.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The token crate refused; not known to happen with a key that was loaded.
    #[error("the token could not be signed: {0}; make a new key with `offhook keygen FILE`")]
    Refused(String),
}

/// The claims as they stand in a token: seconds, whole or not (RFC 7519, NumericDate).
#[derive(Deserialize)]
struct CheckedClaims {
    sub: String,
    exp: f64,
    nbf: Option<f64>,
}

#[derive(Serialize)]
struct SignedClaims<'a> {
    sub: &'a str,
    exp: i64,
}

impl Keys {
    /// Checks a token at `now_ms` (UTC milliseconds).
    ///
    /// `sub` and `exp` are required, `nbf` is heeded, `aud` and `iss` are not: the key itself says
    /// whose tokens they are.
    ///
    /// # Errors
    /// [`TokenError`]. One that is both forged and expired is forged.
    pub fn verify(&self, token: &str, now_ms: i64) -> Result<Claims, TokenError> {
        provider::install();
        let header = jsonwebtoken::decode_header(token).map_err(refusal)?;
        if header.crit.is_some() {
            // RFC 7515, 4.1.11: whoever does not understand a critical extension must refuse.
            return Err(TokenError::Malformed(
                "its header has critical extensions".to_owned(),
            ));
        }
        let claims =
            jsonwebtoken::decode::<CheckedClaims>(token, self.checking(), &self.validation())
                .map_err(refusal)?
                .claims;
        if claims.sub.is_empty() {
            return Err(TokenError::Malformed("its `sub` is empty".to_owned()));
        }
        let expires_ms = milliseconds(claims.exp);
        if now_ms >= expires_ms {
            return Err(TokenError::Expired { at_ms: expires_ms });
        }
        if let Some(from_ms) = claims.nbf.map(milliseconds)
            && now_ms.saturating_add(NOT_BEFORE_LEEWAY_MS) < from_ms
        {
            return Err(TokenError::NotYetValid { from_ms });
        }
        Ok(Claims {
            user: claims.sub,
            expires_ms,
        })
    }

    /// Signs a token for `user` that is good until `expires_ms` (UTC milliseconds), rounded down to
    /// the second.
    ///
    /// # Errors
    /// [`SignError::PublicKey`] if that is what this is.
    pub fn sign(&self, user: &str, expires_ms: i64) -> Result<String, SignError> {
        provider::install();
        let key = self.signing().ok_or(SignError::PublicKey)?;
        let claims = SignedClaims {
            sub: user,
            exp: expires_ms.div_euclid(MS_PER_S),
        };
        jsonwebtoken::encode(&Header::new(self.algorithm()), &claims, key)
            .map_err(|error| SignError::Refused(error.to_string()))
    }

    /// Only the signature and its algorithm: the crate judges times by the system clock, so those
    /// are judged here.
    fn validation(&self) -> Validation {
        let mut validation = Validation::new(self.algorithm());
        validation.required_spec_claims.clear();
        validation.validate_exp = false;
        validation.validate_nbf = false;
        validation.validate_aud = false;
        validation
    }
}

/// Signs a token with the key in a file: `user`, good for `ttl_s` seconds from `now_ms` on. Not more than
/// 0 makes one that has expired already.
///
/// # Errors
/// [`SignError`]: the file is no key, or a public one.
pub fn issue(key_file: &Path, user: &str, ttl_s: i64, now_ms: i64) -> Result<String, SignError> {
    let keys = Keys::load(key_file)?;
    keys.sign(user, now_ms.saturating_add(ttl_s.saturating_mul(MS_PER_S)))
}

/// JSON cannot say NaN, and `as` takes what is too large for the largest there is.
fn milliseconds(seconds: f64) -> i64 {
    (seconds * 1000.0).floor() as i64
}

/// What the token crate's error means here; its text names claims and JSON positions only.
fn refusal(error: JwtError) -> TokenError {
    let kind = error.kind();
    if matches!(
        kind,
        ErrorKind::InvalidSignature | ErrorKind::InvalidAlgorithm
    ) {
        TokenError::Forged
    } else if matches!(kind, ErrorKind::InvalidToken) {
        TokenError::Malformed("it does not have three parts with dots between".to_owned())
    } else {
        TokenError::Malformed(error.to_string())
    }
}

#[cfg(test)]
mod tests;
