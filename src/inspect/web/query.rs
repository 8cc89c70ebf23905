//! What stands after the question mark of an address.

/// The pairs of a query. Names that nobody asks for are ignored.
#[derive(Debug)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    /// Takes a query apart.
    ///
    /// # Errors
    /// Something in it is not text in UTF-8.
    pub(super) fn parse(query: &str) -> Result<Self, String> {
        let pairs = query.split('&').filter(|pair| !pair.is_empty());
        let decoded = pairs.map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((decoded(name)?, decoded(value)?))
        });
        decoded.collect::<Result<_, _>>().map(Self)
    }

    /// The value of that name, when there is one and it is not empty.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(own, _)| own == name);
        found
            .map(|(_, value)| value.as_str())
            .filter(|value| !value.is_empty())
    }

    /// The same as a number that is not negative.
    ///
    /// # Errors
    /// It is something else.
    pub(super) fn number(&self, name: &str) -> Result<Option<i64>, String> {
        let Some(text) = self.text(name) else {
            return Ok(None);
        };
        match text.parse() {
            Ok(number) if number >= 0 => Ok(Some(number)),
            Ok(_) | Err(_) => Err(format!("{name} is {text:?}, not a number from 0 on")),
        }
    }

    /// Whether it is `1`.
    pub(super) fn flag(&self, name: &str) -> bool {
        self.text(name) == Some("1")
    }
}

fn decoded(text: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => match (rest.next().and_then(digit), rest.next().and_then(digit)) {
                (Some(high), Some(low)) => high << 4 | low,
                (None, _) | (_, None) => return Err(format!("{text:?} has a lone % in it")),
            },
            other => other,
        });
    }
    String::from_utf8(bytes).map_err(|_| format!("{text:?} is not text in UTF-8"))
}

fn digit(byte: u8) -> Option<u8> {
    let digit = char::from(byte).to_digit(16)?;
    u8::try_from(digit).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_decoded_and_empty_ones_are_absent() {
        let query =
            Query::parse("id=a+b%2Fc%E9%80%9A&n=12&&missed=1&empty=&alone&id=second").unwrap();
        assert_eq!(query.text("id"), Some("a b/c通"));
        assert_eq!(query.number("n"), Ok(Some(12)));
        assert_eq!(query.number("none"), Ok(None));
        assert!(query.flag("missed"));
        assert!(!query.flag("alone"));
        assert_eq!(query.text("empty"), None);
    }

    #[test]
    fn what_is_no_text_or_no_number_is_refused() {
        for broken in ["a=%", "a=%4", "a=%zz", "a=%ff", "%c3=1"] {
            assert!(Query::parse(broken).is_err(), "{broken}");
        }
        let query = Query::parse("a=-1&b=x&c=99999999999999999999").unwrap();
        for name in ["a", "b", "c"] {
            assert!(query.number(name).is_err(), "{name}");
        }
    }
}
