//! What an operator may set, with `--set KEY=VALUE`.
//!
//! | key | default | range |
//! |---|---|---|
//! | `heartbeat_s` | 10 | 1–600; devices are told at most a third of `offline_after_s` |
//! | `offline_after_s` | 35 | 1–3600 |
//! | `not_received_check_s` | 5 | 3–5 |
//! | `abandoned_after_s` | 7200 | 1–604800 |
//! | `extended_data_max` | 2048 | 1–4096 bytes |
//! | `devices_max` | 10 | 1–100 |
//! | `members_max` | 10 | 2–20 |
//! | `calls_kept_days` | 365 | 0–36500, after its end; 0: for ever |
//! | `devices_kept_days` | 365 | 0–36500, after its last hello; 0: for ever |
//! | `users` | `open` | `open`: anybody may be rung · `registered`: only who has ever connected |
//! | `join` | `anyone` | `anyone` with a call's id · `invited`: only who was a member |
//! | `glare` | `refuse` | `refuse` · `allow` ringing the one whose ring is pending |

use std::fmt::Display;
use std::ops::RangeInclusive;

use crate::call::limits::{
    EXTENDED_DATA_BYTES_MAX_DEFAULT, MEMBERS_MAX_DEFAULT, USERS_IN_LIFE_MAX,
};
use crate::call::{Millis, Rules};
use crate::protocol::Limits;

/// A device may miss this many heartbeats in a row less one before it counts as offline.
const HEARTBEATS_UNTIL_OFFLINE: u32 = 3;

/// For how many days calls that are over and devices that are gone are kept.
const KEPT_DAYS_DEFAULT: u32 = 365;
const DAY_MS: Millis = 86_400_000;

const HEARTBEAT_S: RangeInclusive<u32> = 1..=600;
const OFFLINE_AFTER_S: RangeInclusive<u32> = 1..=3_600;
const NOT_RECEIVED_CHECK_S: RangeInclusive<u32> = 3..=5;
const ABANDONED_AFTER_S: RangeInclusive<u32> = 1..=604_800;
const EXTENDED_DATA_MAX: RangeInclusive<usize> = 1..=4_096;
const DEVICES_MAX: RangeInclusive<usize> = 1..=100;
const KEPT_DAYS: RangeInclusive<u32> = 0..=36_500;
const MEMBERS_MAX: RangeInclusive<usize> = 2..=USERS_IN_LIFE_MAX;

/// Every key, for the error that answers an unknown one.
const KEYS: &str = "heartbeat_s, offline_after_s, not_received_check_s, abandoned_after_s, \
                    extended_data_max, devices_max, members_max, calls_kept_days, \
                    devices_kept_days, users, join, glare";

/// The settings of a server. [`Default`] is what `docs/semantics.md` says; [`Settings::set`] changes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How often a device is to be heard while an answer is awaited, in seconds.
    pub heartbeat_s: u32,
    /// After how long unheard a device counts as offline, in seconds.
    pub offline_after_s: u32,
    /// How long an invitation may stay unreceived before it is NotYetReceived, in seconds.
    pub not_received_check_s: u32,
    /// After how long with all who were in it gone an advanced call is ended, in seconds.
    pub abandoned_after_s: u32,
    /// Most bytes of extendedData.
    pub extended_data_max: usize,
    /// Most connected devices of a user.
    pub devices_max: usize,
    /// Most members of a call at a time.
    pub members_max: usize,
    /// After how many days a call that is over is removed; 0: never.
    pub calls_kept_days: u32,
    /// After how many days a device that did not say hello is forgotten; 0: never.
    pub devices_kept_days: u32,
    /// Whether only users who have ever connected can be rung.
    pub registered_users_only: bool,
    /// Whether only who was a member may join a call.
    pub join_invited_only: bool,
    /// Whether ringing the one whose own invitation is pending is allowed.
    pub allow_glare: bool,
}

/// Why a setting was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingError {
    /// It has no `=`.
    #[error("the setting {text:?} is not of the form KEY=VALUE; the keys are {KEYS}")]
    Form {
        /// What was given.
        text: String,
    },
    /// There is no such key.
    #[error("there is no setting {key:?}; the keys are {KEYS}")]
    Key {
        /// What was given.
        key: String,
    },
    /// The value is not one of those that the key takes.
    #[error("the setting {key} cannot be {value:?}; give {range}")]
    Value {
        /// The key.
        key: &'static str,
        /// What was given.
        value: String,
        /// What can be given.
        range: String,
    },
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            heartbeat_s: 10,
            offline_after_s: 35,
            not_received_check_s: 5,
            abandoned_after_s: 7_200,
            extended_data_max: EXTENDED_DATA_BYTES_MAX_DEFAULT,
            devices_max: 10,
            members_max: MEMBERS_MAX_DEFAULT,
            calls_kept_days: KEPT_DAYS_DEFAULT,
            devices_kept_days: KEPT_DAYS_DEFAULT,
            registered_users_only: false,
            join_invited_only: false,
            allow_glare: false,
        }
    }
}

impl Settings {
    /// Changes one setting, given as `KEY=VALUE`.
    ///
    /// # Errors
    /// [`SettingError`], which names the key, the value and what can be given instead.
    pub fn set(&mut self, text: &str) -> Result<(), SettingError> {
        let Some((key, value)) = text.split_once('=') else {
            return Err(SettingError::Form {
                text: text.to_owned(),
            });
        };
        match key {
            "heartbeat_s" => self.heartbeat_s = number("heartbeat_s", value, HEARTBEAT_S)?,
            "offline_after_s" => {
                self.offline_after_s = number("offline_after_s", value, OFFLINE_AFTER_S)?;
            }
            "not_received_check_s" => {
                self.not_received_check_s =
                    number("not_received_check_s", value, NOT_RECEIVED_CHECK_S)?;
            }
            "abandoned_after_s" => {
                self.abandoned_after_s = number("abandoned_after_s", value, ABANDONED_AFTER_S)?;
            }
            "extended_data_max" => {
                self.extended_data_max = number("extended_data_max", value, EXTENDED_DATA_MAX)?;
            }
            "devices_max" => self.devices_max = number("devices_max", value, DEVICES_MAX)?,
            "members_max" => self.members_max = number("members_max", value, MEMBERS_MAX)?,
            "calls_kept_days" => {
                self.calls_kept_days = number("calls_kept_days", value, KEPT_DAYS)?;
            }
            "devices_kept_days" => {
                self.devices_kept_days = number("devices_kept_days", value, KEPT_DAYS)?;
            }
            "users" => self.registered_users_only = choice("users", value, "open", "registered")?,
            "join" => self.join_invited_only = choice("join", value, "anyone", "invited")?,
            "glare" => self.allow_glare = choice("glare", value, "refuse", "allow")?,
            _ => {
                return Err(SettingError::Key {
                    key: key.to_owned(),
                });
            }
        }
        Ok(())
    }

    /// What the rules of a call take from the settings.
    pub fn rules(&self) -> Rules {
        Rules {
            members_max: self.members_max,
            extended_data_bytes_max: self.extended_data_max,
            not_received_after_ms: Millis::from(self.not_received_check_s) * 1_000,
            join_by_anyone: !self.join_invited_only,
            refuse_glare: !self.allow_glare,
        }
    }

    /// What a device is told of the settings.
    pub fn limits(&self) -> Limits {
        let longest = (self.offline_after_s / HEARTBEATS_UNTIL_OFFLINE).max(1);
        Limits {
            heartbeat_s: self.heartbeat_s.min(longest),
            offline_after_s: self.offline_after_s,
            extended_data_bytes_max: u32::try_from(self.extended_data_max).unwrap_or(u32::MAX),
        }
    }

    /// After how long unheard a device counts as offline, in milliseconds.
    pub fn offline_after_ms(&self) -> Millis {
        Millis::from(self.offline_after_s) * 1_000
    }

    /// Calls that ended before that are removed; `None`: none are.
    pub fn calls_kept_since(&self, now: Millis) -> Option<Millis> {
        kept_since(self.calls_kept_days, now)
    }

    /// Devices that said hello last before that are forgotten; `None`: none are.
    pub fn devices_kept_since(&self, now: Millis) -> Option<Millis> {
        kept_since(self.devices_kept_days, now)
    }

    /// After how long an advanced call that all are gone from is ended, in milliseconds.
    pub fn abandoned_after_ms(&self) -> Millis {
        Millis::from(self.abandoned_after_s) * 1_000
    }
}

fn kept_since(days: u32, now: Millis) -> Option<Millis> {
    (days > 0).then(|| now.saturating_sub(Millis::from(days) * DAY_MS))
}

fn number<N>(key: &'static str, value: &str, range: RangeInclusive<N>) -> Result<N, SettingError>
where
    N: std::str::FromStr + PartialOrd + Display,
{
    match value.parse::<N>() {
        Ok(number) if range.contains(&number) => Ok(number),
        Ok(_) | Err(_) => Err(SettingError::Value {
            key,
            value: value.to_owned(),
            range: format!("a number from {} to {}", range.start(), range.end()),
        }),
    }
}

/// Whether it is the second of two words.
fn choice(key: &'static str, value: &str, first: &str, second: &str) -> Result<bool, SettingError> {
    if value == first || value == second {
        return Ok(value == second);
    }
    Err(SettingError::Value {
        key,
        value: value.to_owned(),
        range: format!("{first} or {second}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_takes_the_ends_of_its_range_and_nothing_beyond() {
        for (key, good, bad) in [
            ("heartbeat_s", ["1", "600"], ["0", "601"]),
            ("offline_after_s", ["1", "3600"], ["0", "3601"]),
            ("not_received_check_s", ["3", "5"], ["2", "6"]),
            ("abandoned_after_s", ["1", "604800"], ["0", "604801"]),
            ("extended_data_max", ["1", "4096"], ["0", "4097"]),
            ("devices_max", ["1", "100"], ["0", "x"]),
            ("members_max", ["2", "20"], ["1", "21"]),
            ("calls_kept_days", ["0", "36500"], ["-1", "36501"]),
            ("devices_kept_days", ["0", "36500"], ["-1", "36501"]),
            ("users", ["open", "registered"], ["", "closed"]),
            ("join", ["anyone", "invited"], ["", "Anyone"]),
            ("glare", ["refuse", "allow"], ["", "maybe"]),
        ] {
            let mut settings = Settings::default();
            for value in good {
                assert_eq!(
                    settings.set(&format!("{key}={value}")),
                    Ok(()),
                    "{key}={value}"
                );
            }
            for value in bad {
                let error = settings
                    .set(&format!("{key}={value}"))
                    .unwrap_err()
                    .to_string();
                assert!(error.contains(key) && error.contains(value), "{error}");
            }
        }
    }

    #[test]
    fn unknown_keys_and_other_forms_are_named() {
        let mut settings = Settings::default();
        assert!(
            settings
                .set("heartbeat")
                .unwrap_err()
                .to_string()
                .contains("heartbeat")
        );
        assert!(
            settings
                .set("colour=blue")
                .unwrap_err()
                .to_string()
                .contains("colour")
        );
        assert_eq!(settings, Settings::default());
    }

    #[test]
    fn a_short_offline_time_shortens_the_heartbeat_that_devices_are_told() {
        let mut settings = Settings::default();
        assert_eq!(settings.limits().heartbeat_s, 10);
        settings.set("offline_after_s=3").unwrap();
        assert_eq!(settings.limits().heartbeat_s, 1);
    }
}
