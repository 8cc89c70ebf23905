//! Frames to bytes and back. The only place that knows the serialization crate.

mod growing;

use bincode::config::{Configuration, standard};
use serde::Serialize;
use serde::de::DeserializeOwned;

use self::growing::Growing;
use super::frame::{ToDevice, ToServer};
use super::{FROM_SERVER_BYTES_MAX, PREVIEW_BYTES_MAX, TO_SERVER_BYTES_MAX};

/// Bytes of the length field.
const LENGTH_BYTES: usize = 4;
/// What decoding may claim towards the server. Claims are counted in the widths that values have in
/// memory, texts in their bytes, before any of it is allocated; a frame whose texts are not all
/// empty claims less than twice its own length.
const TO_SERVER_CLAIMS_MAX: usize = TO_SERVER_BYTES_MAX * 2;
/// See [`TO_SERVER_CLAIMS_MAX`]; records are full of small numbers, which are shorter on the wire.
const FROM_SERVER_CLAIMS_MAX: usize = FROM_SERVER_BYTES_MAX * 4;
/// See [`TO_SERVER_CLAIMS_MAX`]; twice that of other records, because the rest of it claims, too.
const PREVIEW_CLAIMS_MAX: usize = PREVIEW_BYTES_MAX * 8;
/// Most memory that decoding a frame takes at a time towards the server, whatever its bytes are:
/// what a collection of empty elements, grown by doubling, makes of the claims.
pub const TO_SERVER_MEMORY_MAX: usize = 256 * 1024;
/// See [`TO_SERVER_MEMORY_MAX`].
pub const FROM_SERVER_MEMORY_MAX: usize = 12 * 1024 * 1024;

/// Why bytes are not a frame. The connection that brought them cannot go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// Longer than the side's bound.
    #[error("a frame of {bytes} bytes; at most {most} are allowed")]
    TooLong {
        /// What the length field said.
        bytes: usize,
        /// The bound.
        most: usize,
    },
    /// Without even a kind.
    #[error("a frame of no bytes")]
    Empty,
    /// The body is not what its kind says.
    #[error("a malformed frame of kind {kind}: {reason}")]
    Malformed {
        /// The kind.
        kind: u8,
        /// What the decoder said.
        reason: String,
    },
    /// A frame of ours that cannot be said.
    #[error("a frame that cannot be encoded: {0}")]
    Unsayable(String),
}

/// One direction of the conversation.
pub trait Frame: Sized {
    /// Most bytes of a frame, its length field not counted.
    const BYTES_MAX: usize;

    /// The kind, and the body in bytes.
    fn to_body(&self) -> Result<(u8, Vec<u8>), CodecError>;

    /// The frame of that kind; `None` for a kind that this build does not know.
    fn from_body(kind: u8, body: &[u8]) -> Result<Option<Self>, CodecError>;
}

/// A whole frame in bytes, its length first.
pub fn encode<F: Frame>(frame: &F) -> Result<Vec<u8>, CodecError> {
    let (kind, body) = frame.to_body()?;
    let bytes = body.len() + 1;
    if bytes > F::BYTES_MAX {
        return Err(CodecError::TooLong {
            bytes,
            most: F::BYTES_MAX,
        });
    }
    let length = u32::try_from(bytes).map_err(|error| CodecError::Unsayable(error.to_string()))?;
    let mut out = Vec::with_capacity(LENGTH_BYTES + bytes);
    out.extend_from_slice(&length.to_be_bytes());
    out.push(kind);
    out.extend_from_slice(&body);
    Ok(out)
}

/// How many bytes that value has on the wire.
pub fn encoded_len<T: Serialize>(value: &T) -> Result<usize, CodecError> {
    body(value).map(|bytes| bytes.len())
}

/// The bytes of a value, for a digest of what a device sent. Never compare what was decoded and
/// encoded again with bytes from a peer: the format has several spellings of a number.
pub fn canonical<T: Serialize>(value: &T) -> Result<Vec<u8>, CodecError> {
    body(value)
}

/// Bytes come in as they please; frames go out whole.
///
/// Holds at most one frame's bytes more than it was given at once.
#[derive(Debug, Default)]
pub struct FrameBuffer {
    bytes: Vec<u8>,
    read: usize,
}

impl FrameBuffer {
    /// Takes bytes from the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.read > 0 {
            self.bytes.drain(..self.read);
            self.read = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole frame; `None` until more bytes come. Frames of unknown kinds are passed
    /// over.
    pub fn next_frame<F: Frame>(&mut self) -> Result<Option<F>, CodecError> {
        loop {
            let waiting = self.bytes.get(self.read..).unwrap_or_default();
            let Some((length, rest)) = waiting.split_first_chunk::<LENGTH_BYTES>() else {
                return Ok(None);
            };
            let length = u32::from_be_bytes(*length) as usize;
            if length > F::BYTES_MAX {
                return Err(CodecError::TooLong {
                    bytes: length,
                    most: F::BYTES_MAX,
                });
            }
            let Some(frame) = rest.get(..length) else {
                return Ok(None);
            };
            let Some((kind, body)) = frame.split_first() else {
                return Err(CodecError::Empty);
            };
            let decoded = F::from_body(*kind, body)?;
            self.read += LENGTH_BYTES + length;
            if decoded.is_some() {
                return Ok(decoded);
            }
        }
    }

    /// Whether part of a frame is waiting for its rest.
    pub fn is_partial(&self) -> bool {
        self.bytes.len() > self.read
    }
}

fn body<T: Serialize>(value: &T) -> Result<Vec<u8>, CodecError> {
    bincode::serde::encode_to_vec(value, standard())
        .map_err(|error| CodecError::Unsayable(error.to_string()))
}

fn value<T: DeserializeOwned, const LIMIT: usize>(kind: u8, body: &[u8]) -> Result<T, CodecError> {
    let limited: Configuration<_, _, bincode::config::Limit<LIMIT>> = standard().with_limit();
    let (Growing(value), used) =
        bincode::serde::decode_from_slice(body, limited).map_err(|error| {
            CodecError::Malformed {
                kind,
                reason: error.to_string(),
            }
        })?;
    if used != body.len() {
        let reason = format!("{} bytes left over", body.len() - used);
        return Err(CodecError::Malformed { kind, reason });
    }
    Ok(value)
}

impl Frame for ToServer {
    const BYTES_MAX: usize = TO_SERVER_BYTES_MAX;

    fn to_body(&self) -> Result<(u8, Vec<u8>), CodecError> {
        Ok(match self {
            Self::Hello(hello) => (1, body(hello)?),
            Self::Command(command) => (2, body(command)?),
            Self::Receipt(receipt) => (3, body(receipt)?),
            Self::Ping(ping) => (4, body(ping)?),
            Self::Settled(settled) => (5, body(settled)?),
            Self::Renew(renew) => (6, body(renew)?),
            Self::Seen(seen) => (7, body(seen)?),
            Self::Logout => (8, Vec::new()),
        })
    }

    fn from_body(kind: u8, body: &[u8]) -> Result<Option<Self>, CodecError> {
        const MAX: usize = TO_SERVER_CLAIMS_MAX;
        Ok(Some(match kind {
            1 => Self::Hello(Box::new(value::<_, MAX>(kind, body)?)),
            2 => Self::Command(Box::new(value::<_, MAX>(kind, body)?)),
            3 => Self::Receipt(value::<_, MAX>(kind, body)?),
            4 => Self::Ping(value::<_, MAX>(kind, body)?),
            5 => Self::Settled(value::<_, MAX>(kind, body)?),
            6 => Self::Renew(value::<_, MAX>(kind, body)?),
            7 => Self::Seen(value::<_, MAX>(kind, body)?),
            8 => nothing(kind, body, Self::Logout)?,
            _ => return Ok(None),
        }))
    }
}

impl Frame for ToDevice {
    const BYTES_MAX: usize = FROM_SERVER_BYTES_MAX;

    fn to_body(&self) -> Result<(u8, Vec<u8>), CodecError> {
        Ok(match self {
            Self::Welcome(welcome) => (1, body(welcome)?),
            Self::Refused(refused) => (2, body(refused)?),
            Self::Verdict(verdict) => (3, body(verdict)?),
            Self::Retry(retry) => (4, body(retry)?),
            Self::Feed(feed) => (5, body(feed)?),
            Self::Pong(pong) => (6, body(pong)?),
            Self::TokenNotice(notice) => (7, body(notice)?),
            Self::Renewed(renewed) => (8, body(renewed)?),
            Self::Goodbye(goodbye) => (9, body(goodbye)?),
            Self::LoggedOut => (10, Vec::new()),
            Self::Preview(preview) => (11, body(preview)?),
        })
    }

    fn from_body(kind: u8, body: &[u8]) -> Result<Option<Self>, CodecError> {
        const MAX: usize = FROM_SERVER_CLAIMS_MAX;
        Ok(Some(match kind {
            1 => Self::Welcome(Box::new(value::<_, MAX>(kind, body)?)),
            2 => Self::Refused(value::<_, MAX>(kind, body)?),
            3 => Self::Verdict(Box::new(value::<_, MAX>(kind, body)?)),
            4 => Self::Retry(value::<_, MAX>(kind, body)?),
            5 => Self::Feed(value::<_, MAX>(kind, body)?),
            6 => Self::Pong(value::<_, MAX>(kind, body)?),
            7 => Self::TokenNotice(value::<_, MAX>(kind, body)?),
            8 => Self::Renewed(value::<_, MAX>(kind, body)?),
            9 => Self::Goodbye(value::<_, MAX>(kind, body)?),
            10 => nothing(kind, body, Self::LoggedOut)?,
            11 => Self::Preview(Box::new(value::<_, PREVIEW_CLAIMS_MAX>(kind, body)?)),
            _ => return Ok(None),
        }))
    }
}

fn nothing<F>(kind: u8, body: &[u8], frame: F) -> Result<F, CodecError> {
    if body.is_empty() {
        return Ok(frame);
    }
    Err(CodecError::Malformed {
        kind,
        reason: format!("{} bytes left over", body.len()),
    })
}
