//! The query of a request: names and values, and how Docker's clients write switches, numbers and filters.

use crate::fault::Fault;
use serde_json::Value;
use std::collections::BTreeMap;

/// `key → values`, as the engine takes filters.
pub type Filters = BTreeMap<String, Vec<String>>;

/// What stands behind the question mark.
#[derive(Clone, Debug, Default)]
pub struct Query(Vec<(String, String)>);

impl Query {
    pub fn parse(text: &str) -> Query {
        Query(form_urlencoded::parse(text.as_bytes()).into_owned().collect())
    }

    /// A value; an empty one counts as absent.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(name, value)| name == key && !value.is_empty()).map(|(_, value)| value.as_str())
    }

    /// All values of a key.
    pub fn all(&self, key: &str) -> Vec<String> {
        self.0.iter().filter(|(name, value)| name == key && !value.is_empty()).map(|(_, value)| value.clone()).collect()
    }

    /// As dockerd reads a switch: anything but these words is yes.
    pub fn switch(&self, key: &str) -> bool {
        self.switch_or(key, false)
    }

    pub fn switch_or(&self, key: &str, default: bool) -> bool {
        match self.0.iter().find(|(name, _)| name == key) {
            None => default,
            Some((_, value)) => {
                !matches!(value.trim().to_ascii_lowercase().as_str(), "" | "0" | "no" | "false" | "none")
            }
        }
    }

    pub fn number(&self, key: &str) -> Result<Option<i64>, Fault> {
        let parse = |text: &str| {
            text.parse().map_err(|_| Fault::bad(format!("invalid value for {key}: {text:?} is not a number")))
        };
        self.text(key).map(parse).transpose()
    }

    /// `filters={"label":["a=b"]}`, or with `{"a=b":true}` in place of the list.
    pub fn filters(&self) -> Result<Filters, Fault> {
        let Some(text) = self.text("filters") else { return Ok(Filters::new()) };
        let refuse = || Fault::bad(format!("invalid filter: {text}"));
        let map = match serde_json::from_str(text) {
            Ok(Value::Object(map)) => map,
            Ok(Value::Null) => return Ok(Filters::new()),
            _ => return Err(refuse()),
        };
        map.into_iter().map(|(key, value)| Ok((key, filter_values(value).ok_or_else(refuse)?))).collect()
    }
}

fn filter_values(value: Value) -> Option<Vec<String>> {
    match value {
        Value::Array(list) => list.into_iter().map(filter_word).collect(),
        Value::Object(map) => {
            Some(map.into_iter().filter(|(_, on)| *on != Value::Bool(false)).map(|(key, _)| key).collect())
        }
        single => filter_word(single).map(|word| vec![word]),
    }
}

fn filter_word(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        Value::Bool(on) => Some(on.to_string()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// Seconds since 1970, perhaps with a fraction, in nanoseconds.
pub fn timestamp(key: &str, text: Option<&str>) -> Result<u64, Fault> {
    let Some(text) = text else { return Ok(0) };
    let refuse = || Fault::bad(format!("invalid value for {key}: {text:?} is no time stamp"));
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = fraction.bytes().all(|byte| byte.is_ascii_digit()) && fraction.len() <= 9;
    let seconds: i64 = seconds.parse().map_err(|_| refuse())?;
    if !digits {
        return Err(refuse());
    }
    let nanoseconds: u64 = format!("{fraction:0<9}").parse().map_err(|_| refuse())?;
    Ok(u64::try_from(seconds).map_or(0, |seconds| seconds.saturating_mul(1_000_000_000).saturating_add(nanoseconds)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn switches_and_numbers() {
        let query = Query::parse("a=1&b=0&c=False&d&e=true&n=5&bad=x&t=a%2Fb");
        assert_eq!(
            ["a", "b", "c", "d", "e", "f"].map(|key| query.switch(key)),
            [true, false, false, false, true, false]
        );
        assert_eq!(query.number("n"), Ok(Some(5)));
        assert!(query.number("bad").is_err());
        assert_eq!(query.text("t"), Some("a/b"));
        assert!(query.switch_or("f", true));
    }

    #[test]
    fn filters_in_both_shapes() {
        let parse = |text: &str| Query(vec![("filters".to_owned(), text.to_owned())]).filters();
        assert_eq!(parse(r#"{"label":["a=b","c"]}"#).map(|f| f["label"].clone()), Ok(vec!["a=b".into(), "c".into()]));
        assert_eq!(parse(r#"{"label":{"a=b":true}}"#).map(|f| f["label"].clone()), Ok(vec!["a=b".into()]));
        assert_eq!(parse(r#"{"dangling":[true]}"#).map(|f| f["dangling"].clone()), Ok(vec!["true".into()]));
        for bad in ["x", "[]", r#"{"a":[{}]}"#] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        assert_eq!(Query::default().filters(), Ok(Filters::new()));
    }

    #[test]
    fn timestamps() {
        for (text, want) in [("5", 5_000_000_000), ("1.5", 1_500_000_000), ("1.000000001", 1_000_000_001), ("-3", 0)] {
            assert_eq!(timestamp("since", Some(text)), Ok(want), "{text}");
        }
        for bad in ["x", "1.x", "1.0000000001", ""] {
            assert!(timestamp("since", Some(bad)).is_err(), "{bad}");
        }
    }
}
