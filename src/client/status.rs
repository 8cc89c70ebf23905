//! How an engine is.

use super::core::Role;
use super::event::{ConnectionCause, ConnectionState};
use crate::call::{DeviceId, Millis, UserId};

/// How an engine is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The user.
    pub user_id: UserId,
    /// This device.
    pub device_id: DeviceId,
    /// Whether this engine has the connection, or waits because another one on the same file has.
    pub role: Role,
    /// Whether there is a connection.
    pub connection: ConnectionState,
    /// Why it is so.
    pub cause: ConnectionCause,
    /// Since when, on the server's clock.
    pub since: Millis,
    /// What went wrong with the connection last.
    pub error: Option<String>,
    /// Which life of the server the cursor belongs to; 0 before the first welcome.
    pub epoch: u64,
    /// Where this device is in its user's feed.
    pub cursor: u64,
    /// The server's clock minus this device's wall clock, in milliseconds.
    pub clock_offset: Millis,
    /// Round trip to the server in milliseconds, if measured.
    pub rtt: Option<Millis>,
    /// Commands without a verdict.
    pub pending: u64,
    /// Missed calls that the user has not seen.
    pub missed: u64,
    /// The schema's version of the database.
    pub schema: u32,
    /// The engine's version.
    pub version: &'static str,
}
