//! What passes between a device and the signalling server.
//!
//! Both sides exchange frames over one ordered stream of bytes: a bidirectional QUIC stream today,
//! and nothing here would notice if it were TLS over TCP. A frame is
//!
//! ```text
//! length: u32, big-endian, of all that follows │ kind: u8 │ body: bincode, standard configuration
//! ```
//!
//! with at most [`TO_SERVER_BYTES_MAX`] towards the server and [`FROM_SERVER_BYTES_MAX`] from it.
//! A kind that this build does not know is skipped, so that a newer peer may say more; a body with
//! bytes left over, or one that would decode to more than its bound, ends the connection.
//!
//! The first frame is the device's [`Hello`]. It names the versions the device speaks; the
//! [`Welcome`] names the one that both do, the newest.

pub mod codec;
mod frame;

pub use codec::{CodecError, Frame, FrameBuffer, encode};
pub use frame::{
    Capabilities, ClosingReason, CommandFrame, Cursor, Feed, Goodbye, Hello, Lane, Limits, Ping,
    Pong, Preview, Receipt, Refused, Renew, Renewed, Retry, Seen, Settled, ToDevice, ToServer,
    TokenNotice, Verdict, Welcome,
};

/// The name of the protocol in the TLS handshake.
pub const ALPN: &[u8] = b"offhook/1";
/// The oldest version of the frames that this build speaks.
pub const VERSION_MIN: u16 = 1;
/// The newest version of the frames that this build speaks.
pub const VERSION_MAX: u16 = 1;
/// Most bytes of a frame towards the server, its length field not counted.
pub const TO_SERVER_BYTES_MAX: usize = 16 * 1024;
/// Most bytes of a frame from the server, its length field not counted.
pub const FROM_SERVER_BYTES_MAX: usize = 256 * 1024;
/// Most bytes of verdicts and records in a [`Preview`]: about what a connection may send before it
/// hears anything. More would not be there sooner than the welcome.
pub const PREVIEW_BYTES_MAX: usize = 10 * 1024;
/// Most commands of a device that are under way at once.
pub const COMMANDS_IN_FLIGHT_MAX: usize = 64;
/// Most calls that a hello names as open to the device.
pub const OPEN_CALLS_MAX: usize = 128;
/// Most calls that one frame marks as seen.
pub const SEEN_CALLS_MAX: usize = 256;
/// Most bytes of a token.
pub const TOKEN_BYTES_MAX: usize = 4096;

/// The newest version that both sides speak.
pub fn negotiate(version_min: u16, version_max: u16) -> Option<u16> {
    let newest = version_max.min(VERSION_MAX);
    (newest >= version_min.max(VERSION_MIN)).then_some(newest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_common_version_is_spoken() {
        assert_eq!(negotiate(1, 1), Some(1));
        assert_eq!(negotiate(1, 9), Some(VERSION_MAX));
        assert_eq!(negotiate(VERSION_MAX + 1, 9), None);
        assert_eq!(negotiate(3, 2), None);
    }
}
