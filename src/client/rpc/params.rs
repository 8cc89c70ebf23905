//! Parameters by name. What is missing or of the wrong type is refused with the name as the
//! reason; null counts as absent; what nobody asks for is ignored.

use serde_json::{Map, Value};

use crate::call::{PushConfig, VoipConfig};
use crate::error::Error;

/// The fields of an object.
#[derive(Debug, Default)]
pub struct Params {
    fields: Map<String, Value>,
    /// What the errors put before a name.
    prefix: &'static str,
}

impl Params {
    /// The fields of a request.
    pub fn new(fields: Map<String, Value>) -> Self {
        Self { fields, prefix: "" }
    }

    fn take<T>(
        &mut self,
        name: &str,
        kind: &str,
        read: impl FnOnce(Value) -> Option<T>,
    ) -> Result<Option<T>, Error> {
        match self.fields.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => {
                let found = kind_of(&value);
                read(value)
                    .map(Some)
                    .ok_or_else(|| self.error(name, &format!("is {found}; give {kind}")))
            }
        }
    }

    fn error(&self, name: &str, message: &str) -> Error {
        Error::parameter(&format!("{}{name}", self.prefix), message)
    }

    /// A parameter that there must be.
    pub fn required<T>(&self, name: &str, value: Option<T>) -> Result<T, Error> {
        value.ok_or_else(|| self.error(name, "is missing"))
    }

    /// An object; absent: one without fields. Errors name what is in it with `prefix` before it.
    pub fn object(&mut self, name: &str, prefix: &'static str) -> Result<Self, Error> {
        Ok(self.object_if_any(name, prefix)?.unwrap_or_default())
    }

    fn object_if_any(&mut self, name: &str, prefix: &'static str) -> Result<Option<Self>, Error> {
        let fields = self.take(name, "an object", |value| match value {
            Value::Object(fields) => Some(fields),
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_) => None,
        })?;
        Ok(fields.map(|fields| Self { fields, prefix }))
    }

    /// Text.
    pub fn text(&mut self, name: &str) -> Result<Option<String>, Error> {
        self.take(name, "a string", |value| text(&value))
    }

    /// Text, or an object that stands for its own JSON.
    pub fn text_or_object(&mut self, name: &str) -> Result<Option<String>, Error> {
        self.take(name, "a string or an object", |value| {
            text(&value).or_else(|| value.is_object().then(|| value.to_string()))
        })
    }

    /// A list of texts.
    pub fn texts(&mut self, name: &str) -> Result<Option<Vec<String>>, Error> {
        self.take(name, "a list of strings", |value| {
            value.as_array()?.iter().map(text).collect()
        })
    }

    /// Yes or no.
    pub fn flag(&mut self, name: &str) -> Result<Option<bool>, Error> {
        self.take(name, "true or false", |value| value.as_bool())
    }

    /// A whole number of whichever type is asked for; another one is out of range.
    pub fn number<N: TryFrom<i128>>(&mut self, name: &str) -> Result<Option<N>, Error> {
        let number = self.take(name, "a whole number", |value| whole(&value))?;
        number.map(|number| self.in_range(name, number)).transpose()
    }

    /// A whole number, or a word that stands for none.
    pub fn number_or<N: TryFrom<i128>>(
        &mut self,
        name: &str,
        word: &str,
    ) -> Result<Option<Option<N>>, Error> {
        let kind = format!("a whole number or {word:?}");
        let number = self.take(name, &kind, |value| {
            let is_word = value.as_str() == Some(word);
            is_word.then_some(None).or_else(|| whole(&value).map(Some))
        })?;
        number
            .map(|number| number.map(|number| self.in_range(name, number)).transpose())
            .transpose()
    }

    fn in_range<N: TryFrom<i128>>(&self, name: &str, number: i128) -> Result<N, Error> {
        N::try_from(number).map_err(|_| self.error(name, &format!("{number} is out of range")))
    }

    /// A whole number of which any is taken: one that does not fit is some unknown one.
    pub fn enumeration<E: From<i16>>(&mut self, name: &str) -> Result<Option<E>, Error> {
        let number: Option<i64> = self.number(name)?;
        Ok(number.map(|number| E::from(i16::try_from(number).unwrap_or(i16::MIN))))
    }

    /// `pushConfig`.
    pub fn push(&mut self) -> Result<Option<PushConfig>, Error> {
        let Some(mut push) = self.object_if_any("pushConfig", "pushConfig.")? else {
            return Ok(None);
        };
        let voip = push.object_if_any("voIPConfig", "pushConfig.voIPConfig.")?;
        let voip_config = voip
            .map(|mut voip| {
                Ok::<_, Error>(VoipConfig {
                    handle_type: voip.number("iOSVoIPHandleType")?.unwrap_or_default(),
                    handle_value: voip.text("iOSVoIPHandleValue")?.unwrap_or_default(),
                    has_video: voip.flag("iOSVoIPHasVideo")?.unwrap_or_default(),
                })
            })
            .transpose()?;
        Ok(Some(PushConfig {
            title: push.text("title")?.unwrap_or_default(),
            content: push.text("content")?.unwrap_or_default(),
            payload: push.text("payload")?.unwrap_or_default(),
            resources_id: push.text("resourcesID")?.unwrap_or_default(),
            thread_id: push.text("threadID")?.unwrap_or_default(),
            enable_badge: push.flag("enableBadge")?.unwrap_or_default(),
            badge_increment: push.number("badgeIncrement")?.unwrap_or_default(),
            voip_config,
        }))
    }
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

fn whole(value: &Value) -> Option<i128> {
    let unsigned = value.as_u64().map(i128::from);
    unsigned.or_else(|| value.as_i64().map(i128::from))
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
