//! Values as text, as Go's `fmt` prints them.

use super::{LABELS_KEY, nil};
use serde_json::Value;
use std::collections::BTreeMap;

/// `%v`: of maps in the order of their keys.
pub fn display(value: &Value) -> String {
    match value {
        Value::Null => "<no value>".to_owned(),
        Value::Bool(on) => on.to_string(),
        Value::Number(number) => number_text(number),
        Value::String(text) => text.clone(),
        Value::Array(list) => {
            let items: Vec<String> = list.iter().map(inner).collect();
            format!("[{}]", items.join(" "))
        }
        Value::Object(map) if let Some(text) = nil::text(map) => text.to_owned(),
        Value::Object(map) => {
            let shown: BTreeMap<_, _> = map.iter().filter(|(key, _)| *key != LABELS_KEY).collect();
            let items: Vec<String> = shown.iter().map(|(key, value)| format!("{key}:{}", inner(value))).collect();
            format!("map[{}]", items.join(" "))
        }
    }
}

fn inner(value: &Value) -> String {
    if value.is_null() { "<nil>".to_owned() } else { display(value) }
}

fn number_text(number: &serde_json::Number) -> String {
    match number.as_f64() {
        Some(float) if number.is_f64() => float.to_string(),
        _ => number.to_string(),
    }
}

/// The text of a string; nothing of anything else.
pub fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// What sort of value it is, in Go's words.
pub fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nil",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "slice",
        Value::Object(map) => nil::text(map).map_or("map", |_| "nil"),
    }
}

/// Go's truth: not zero, not empty.
pub fn truth(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(on) => *on,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Object(map) => !map.is_empty() && nil::text(map).is_none(),
    }
}

/// `printf`.
pub fn printf(pattern: &str, arguments: &[Value]) -> String {
    let mut out = String::new();
    let mut arguments = arguments.iter();
    let mut rest = pattern;
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        let (verb, following) = Verb::read(after);
        rest = following;
        match verb {
            Some(verb) if verb.letter == '%' => out.push('%'),
            Some(verb) => match arguments.next() {
                Some(value) => out.push_str(&verb.apply(value)),
                None => out.push_str(&format!("%!{}(MISSING)", verb.letter)),
            },
            None => out.push_str("%!(NOVERB)"),
        }
    }
    out.push_str(rest);
    let extra: Vec<String> = arguments.map(|value| format!("{}={}", kind(value), display(value))).collect();
    if !extra.is_empty() {
        out.push_str(&format!("%!(EXTRA {})", extra.join(", ")));
    }
    out
}

struct Verb {
    left: bool,
    zeros: bool,
    sign: bool,
    width: usize,
    precision: Option<usize>,
    letter: char,
}

const WIDEST: usize = 10_000;

impl Verb {
    fn read(text: &str) -> (Option<Verb>, &str) {
        let body = text.trim_start_matches(['-', '0', '+', '#', ' ']);
        let flags = &text[..text.len() - body.len()];
        let (width, body) = digits(body);
        let (precision, body) = match body.strip_prefix('.') {
            Some(body) => {
                let (precision, body) = digits(body);
                (Some(precision), body)
            }
            None => (None, body),
        };
        let mut letters = body.chars();
        let Some(letter) = letters.next() else { return (None, "") };
        let has = |flag| flags.contains(flag);
        let verb = Verb { left: has('-'), zeros: has('0'), sign: has('+'), width, precision, letter };
        (Some(verb), letters.as_str())
    }

    fn apply(&self, value: &Value) -> String {
        let text =
            self.convert(value).unwrap_or_else(|| format!("%!{}({}={})", self.letter, kind(value), display(value)));
        let missing = self.width.saturating_sub(text.chars().count());
        match (self.left, self.zeros && value.is_number()) {
            (true, _) => text + &" ".repeat(missing),
            (_, true) => "0".repeat(missing) + &text,
            _ => " ".repeat(missing) + &text,
        }
    }

    fn convert(&self, value: &Value) -> Option<String> {
        match self.letter {
            'v' => Some(display(value)),
            's' if value.is_string() || value.is_array() || value.is_object() => Some(self.cut(display(value))),
            'q' => value.as_str().map(quote),
            't' => value.as_bool().map(|on| on.to_string()),
            'd' => value.as_i64().map(|n| if self.sign { format!("{n:+}") } else { n.to_string() }),
            'x' if value.is_string() => Some(text(value).bytes().map(|b| format!("{b:02x}")).collect()),
            'x' => value.as_i64().map(|n| format!("{n:x}")),
            'X' => value.as_i64().map(|n| format!("{n:X}")),
            'o' => value.as_i64().map(|n| format!("{n:o}")),
            'f' => value.as_f64().map(|n| format!("{n:.*}", self.precision.unwrap_or(6))),
            'T' => Some(kind(value).to_owned()),
            _ => None,
        }
    }

    fn cut(&self, text: String) -> String {
        match self.precision {
            Some(precision) => text.chars().take(precision).collect(),
            None => text,
        }
    }
}

fn digits(text: &str) -> (usize, &str) {
    let (number, rest) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    (number.parse().unwrap_or(0).min(WIDEST), rest)
}

/// A Go string literal.
pub fn quote(text: &str) -> String {
    let mut out = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            _ if letter.is_control() => out.push_str(&format!("\\x{:02x}", u32::from(letter))),
            _ => out.push(letter),
        }
    }
    out.push('"');
    out
}
