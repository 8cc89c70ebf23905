//! What QUIC says of an end, in the link's words.

use quinn::{ConnectionError, ReadError};

use crate::client::transport::{DownKind, LinkDown};

/// TLS alerts travel as QUIC error codes from here on.
const TLS_ALERTS: u64 = 0x100;
/// The alerts with which this side refuses a certificate: bad, unsupported, revoked, expired,
/// unknown, of an unknown authority, refused by a verifier of ours, with a signature that is wrong,
/// with a wrong proof that it is not revoked (RFC 8446, appendix B.2).
const CERTIFICATE_ALERTS: [u64; 9] = [42, 43, 44, 45, 46, 48, 49, 51, 113];

/// Why a handshake failed.
pub fn of_handshake(error: &ConnectionError) -> LinkDown {
    let kind = match error {
        ConnectionError::TransportError(ours) => {
            let alert = u64::from(ours.code).checked_sub(TLS_ALERTS);
            if alert.is_some_and(|alert| CERTIFICATE_ALERTS.contains(&alert)) {
                return LinkDown::new(
                    DownKind::Certificate,
                    format!(
                        "the server's certificate is not trusted: {}; check the roots and the \
                         server's name",
                        ours.reason
                    ),
                );
            }
            DownKind::Refused
        }
        ConnectionError::VersionMismatch
        | ConnectionError::ConnectionClosed(_)
        | ConnectionError::ApplicationClosed(_) => DownKind::Refused,
        ConnectionError::Reset => DownKind::Lost,
        ConnectionError::TimedOut => DownKind::HandshakeTimeout,
        ConnectionError::LocallyClosed => DownKind::Local,
        ConnectionError::CidsExhausted => DownKind::Address,
    };
    LinkDown::new(kind, format!("the handshake failed: {error}"))
}

/// Why a connection ended.
fn of_connection(error: &ConnectionError) -> LinkDown {
    let kind = match error {
        ConnectionError::ApplicationClosed(_) => DownKind::Closed,
        ConnectionError::ConnectionClosed(_)
        | ConnectionError::Reset
        | ConnectionError::TimedOut
        | ConnectionError::VersionMismatch
        | ConnectionError::CidsExhausted => DownKind::Lost,
        ConnectionError::TransportError(_) => DownKind::Protocol,
        ConnectionError::LocallyClosed => DownKind::Local,
    };
    LinkDown::new(kind, format!("the connection ended: {error}"))
}

/// Why nothing more can be read.
pub fn of_read(error: &ReadError) -> LinkDown {
    match error {
        ReadError::ConnectionLost(error) => of_connection(error),
        ReadError::Reset(_)
        | ReadError::ClosedStream
        | ReadError::IllegalOrderedRead
        | ReadError::ZeroRttRejected => {
            LinkDown::new(DownKind::Lost, format!("the stream ended: {error}"))
        }
    }
}
