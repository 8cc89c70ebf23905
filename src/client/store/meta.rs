//! What the file knows of itself and of where it is with the server.

use std::path::Path;

use rusqlite::{OptionalExtension, params};

use super::Tx;
use crate::call::{DeviceId, Millis, UserId};
use crate::error::{Code, Error};
use crate::protocol::Cursor;

pub(super) const USER_ID: &str = "user_id";
const DEVICE_ID: &str = "device_id";
const WELCOME_TOKEN: &str = "welcome_token";
const NEXT_NUMBER: &str = "next_number";
const SET_ASIDE: &str = "set_aside";
/// The creation time of the newest call that was removed.
pub(super) const KEPT_FROM: &str = "kept_from_ms";
/// When the user was last invited to a call that was removed.
pub(super) const KEPT_FROM_INVITED: &str = "kept_from_invited_ms";
/// Says that a file is a copy, and of which device's.
pub(super) const COPY_OF: &str = "copy_of";

/// The largest number of a command that a file is believed; none comes near it by counting.
const NUMBER_MAX: u64 = 1 << 53;

/// How far the file is with the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FeedPosition {
    /// The last change of the feed that is in the file.
    pub cursor: Cursor,
    /// When the server was last heard.
    pub heard_at: Millis,
}

pub(super) fn another_users(path: &Path, whose: &str, user: &UserId) -> Error {
    let message = format!(
        "{} is the database of {whose}, not of {user}; use one file a user",
        path.display()
    );
    Error::parameter("user", message)
}

impl Tx<'_> {
    /// Makes the file this user's if it is nobody's yet, and gives the device that it is.
    pub(super) fn identify(&self, fresh_device: &DeviceId) -> Result<DeviceId, Error> {
        match self.meta(USER_ID)? {
            Some(user) if user == self.user.as_str() => {}
            Some(user) => return Err(another_users(self.path, &user, self.user)),
            None => self.set_meta(USER_ID, self.user.as_str())?,
        }
        match self.meta(DEVICE_ID)? {
            Some(device) => Ok(DeviceId::trusted(device)),
            None => {
                self.set_meta(DEVICE_ID, fresh_device.as_str())?;
                Ok(fresh_device.clone())
            }
        }
    }

    /// The device that the file is by now: another engine may have given it a new identity.
    pub fn stored_device(&self) -> Result<Option<DeviceId>, Error> {
        Ok(self.meta(DEVICE_ID)?.map(DeviceId::trusted))
    }

    /// Gives the file a new identity: nothing that the server knew of the old one holds.
    pub fn set_identity(&self, device: &DeviceId) -> Result<(), Error> {
        self.set_meta(DEVICE_ID, device.as_str())?;
        self.set_meta(NEXT_NUMBER, "1")?;
        self.run(
            self.sql
                .execute("DELETE FROM meta WHERE key = ?", [WELCOME_TOKEN]),
        )?;
        // Numbers count from one again. What was sent under the old name stays marked as sent.
        self.run(self.sql.execute(
            "UPDATE commands SET number = CASE WHEN verdict IS NULL THEN NULL ELSE -n END
              WHERE number IS NOT NULL",
            [],
        ))?;
        self.set_cursor(Cursor::default())
    }

    /// What the last welcome gave.
    pub fn welcome_token(&self) -> Result<Option<String>, Error> {
        self.meta(WELCOME_TOKEN)
    }

    /// Keeps what the welcome gave.
    pub fn set_welcome_token(&self, token: &str) -> Result<(), Error> {
        self.set_meta(WELCOME_TOKEN, token)
    }

    /// The number that the next new command will have on the wire.
    pub fn next_number(&self) -> Result<u64, Error> {
        let Some(text) = self.meta(NEXT_NUMBER)? else {
            return Ok(1);
        };
        let number = text.parse::<u64>().ok();
        number.filter(|number| *number < NUMBER_MAX).ok_or_else(|| {
            Error::new(
                Code::Corrupt,
                NEXT_NUMBER,
                format!(
                    "{}: meta.next_number is {text:?}, not a number",
                    self.path.display()
                ),
            )
        })
    }

    pub(super) fn set_next_number(&self, number: u64) -> Result<(), Error> {
        self.set_meta(NEXT_NUMBER, &number.to_string())
    }

    /// Notes in the place of which damaged file this one was made.
    pub(super) fn set_set_aside(&self, damaged: &Path) -> Result<(), Error> {
        self.set_meta(SET_ASIDE, &damaged.to_string_lossy())
    }

    /// How far the file is with the server.
    pub fn feed(&self) -> Result<FeedPosition, Error> {
        self.run(
            self.sql
                .query_row("SELECT epoch, cursor, heard_at_ms FROM feed", [], |row| {
                    Ok(FeedPosition {
                        cursor: Cursor {
                            epoch: row.get::<_, i64>(0)?.cast_unsigned(),
                            seq: row.get::<_, i64>(1)?.cast_unsigned(),
                        },
                        heard_at: row.get(2)?,
                    })
                }),
        )
    }

    fn set_cursor(&self, cursor: Cursor) -> Result<(), Error> {
        let (epoch, seq) = (cursor.epoch.cast_signed(), cursor.seq.cast_signed());
        self.cached("UPDATE feed SET epoch = ?, cursor = ?", params![epoch, seq])
            .map(drop)
    }

    /// Moves the cursor with what the server has said now.
    pub fn advance(&self, cursor: Cursor, heard_at: Millis) -> Result<(), Error> {
        let (epoch, seq) = (cursor.epoch.cast_signed(), cursor.seq.cast_signed());
        self.cached(
            "UPDATE feed SET epoch = ?, cursor = ?, heard_at_ms = ?",
            params![epoch, seq, heard_at],
        )
        .map(drop)
    }

    /// Notes when the server was heard.
    pub fn set_heard(&self, at: Millis) -> Result<(), Error> {
        self.cached("UPDATE feed SET heard_at_ms = ?", params![at])
            .map(drop)
    }

    pub(super) fn meta(&self, key: &str) -> Result<Option<String>, Error> {
        self.run(
            self.sql
                .prepare_cached("SELECT value FROM meta WHERE key = ?")
                .and_then(|mut statement| statement.query_row([key], |row| row.get(0)).optional()),
        )
    }

    pub(super) fn set_meta(&self, key: &str, value: &str) -> Result<(), Error> {
        self.cached(
            "INSERT INTO meta (key, value) VALUES (?1, ?2)
             ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            params![key, value],
        )
        .map(drop)
    }

    /// Runs a statement that is kept prepared; gives how many rows it touched.
    pub(super) fn cached(&self, sql: &str, params: impl rusqlite::Params) -> Result<usize, Error> {
        self.run(
            self.sql
                .prepare_cached(sql)
                .and_then(|mut statement| statement.execute(params)),
        )
    }
}
