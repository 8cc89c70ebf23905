//! How much of the past the database keeps, as `--set KEY=VALUE`.

use std::time::Duration;

use crate::client::housekeeping::Retention;

const DAY_S: u64 = 86_400;

/// Changes one setting.
///
/// # Errors
/// What can be given instead.
pub fn set(retention: &mut Retention, text: &str) -> Result<(), String> {
    let Some((key, value)) = text.split_once('=') else {
        return Err(format!("{text:?} is no KEY=VALUE"));
    };
    match key {
        "calls_kept" => retention.calls = number_or(key, value, "all")?,
        "calls_kept_days" => {
            let days = number_or(key, value, "forever")?;
            retention.calls_for = days.map(|days| Duration::from_secs(days.saturating_mul(DAY_S)));
        }
        "events_kept" => retention.events = number(key, value, "")?,
        "events_unacknowledged_kept" => {
            retention.events_unacknowledged = number(key, value, "")?;
        }
        _ => {
            return Err(format!(
                "{key:?} is no setting; there are calls_kept, calls_kept_days, events_kept, \
                 events_unacknowledged_kept"
            ));
        }
    }
    Ok(())
}

fn number_or(key: &str, value: &str, all: &str) -> Result<Option<u64>, String> {
    if value == all {
        return Ok(None);
    }
    number(key, value, &format!(", or {all:?}")).map(Some)
}

fn number(key: &str, value: &str, or: &str) -> Result<u64, String> {
    let number = value.parse();
    number.map_err(|_| format!("{key}: {value:?} is no whole number{or}"))
}

/// One setting, checked for form.
///
/// # Errors
/// As [`set`].
pub fn setting(text: &str) -> Result<String, String> {
    set(&mut Retention::default(), text).map(|()| text.to_owned())
}
