//! The functions of templates: Go's own and Docker's.

use super::format::{display, kind, printf, text, truth};
use super::{LABELS_KEY, nil};
use serde_json::Value;
use std::cmp::Ordering;

const NAMES: [&str; 23] = [
    "and", "or", "not", "eq", "ne", "lt", "le", "gt", "ge", "index", "slice", "len", "print", "println", "printf",
    "json", "join", "split", "lower", "upper", "title", "truncate", "pad",
];

/// True for a known name.
pub fn is_function(name: &str) -> bool {
    NAMES.contains(&name)
}

/// True for a function on words, which heads of tables pass through.
pub fn is_word_function(name: &str) -> bool {
    matches!(name, "json" | "join" | "split" | "lower" | "upper" | "title" | "truncate" | "pad")
}

/// Calls one.
pub fn call(name: &str, arguments: Vec<Value>) -> Result<Value, String> {
    match name {
        "and" => choose(arguments, false),
        "or" => choose(arguments, true),
        "not" => Ok(Value::Bool(!truth(one(name, &arguments)?))),
        "eq" | "ne" | "lt" | "le" | "gt" | "ge" => compare(name, &arguments).map(Value::Bool),
        "index" => index(&arguments),
        "slice" => slice(&arguments),
        "len" => len(one(name, &arguments)?),
        "print" => Ok(Value::String(print(&arguments))),
        "println" => {
            let words: Vec<String> = arguments.iter().map(display).collect();
            Ok(Value::String(words.join(" ") + "\n"))
        }
        "printf" => {
            let (pattern, rest) =
                arguments.split_first().ok_or("wrong number of args for printf: want at least 1 got 0")?;
            Ok(Value::String(printf(text(pattern), rest)))
        }
        "json" => Ok(Value::String(json(one(name, &arguments)?))),
        _ => words(name, &arguments),
    }
}

fn wrong_count(name: &str, want: usize, got: usize) -> String {
    format!("wrong number of args for {name}: want {want} got {got}")
}

fn one<'a>(name: &str, arguments: &'a [Value]) -> Result<&'a Value, String> {
    match arguments {
        [only] => Ok(only),
        _ => Err(wrong_count(name, 1, arguments.len())),
    }
}

/// The first with this truth, or the last.
fn choose(arguments: Vec<Value>, wanted: bool) -> Result<Value, String> {
    let found = arguments.iter().find(|value| truth(value) == wanted);
    found.or(arguments.last()).cloned().ok_or_else(|| wrong_count("and/or", 1, 0))
}

fn compare(name: &str, arguments: &[Value]) -> Result<bool, String> {
    let (first, rest) = match arguments {
        [first, rest @ ..] if rest.len() == 1 || (name == "eq" && !rest.is_empty()) => (first, rest),
        _ => return Err(wrong_count(name, 2, arguments.len())),
    };
    for second in rest {
        let order = order(first, second)?;
        let holds = match name {
            "eq" => order == Ordering::Equal,
            "ne" => order != Ordering::Equal,
            "lt" => order == Ordering::Less,
            "le" => order != Ordering::Greater,
            "gt" => order == Ordering::Greater,
            _ => order != Ordering::Less,
        };
        if holds {
            return Ok(true);
        }
    }
    Ok(false)
}

fn order(first: &Value, second: &Value) -> Result<Ordering, String> {
    let incompatible = || "incompatible types for comparison".to_owned();
    match (first, second) {
        (Value::String(a), Value::String(b)) => Ok(a.cmp(b)),
        (Value::Bool(a), Value::Bool(b)) => Ok(a.cmp(b)),
        (Value::Null, Value::Null) => Ok(Ordering::Equal),
        (Value::Null, _) | (_, Value::Null) => Ok(Ordering::Less),
        (Value::Number(a), Value::Number(b)) => match (a.as_i64(), b.as_i64()) {
            (Some(a), Some(b)) => Ok(a.cmp(&b)),
            _ => a.as_f64().partial_cmp(&b.as_f64()).ok_or_else(incompatible),
        },
        _ => Err(incompatible()),
    }
}

fn index(arguments: &[Value]) -> Result<Value, String> {
    let (first, keys) = arguments.split_first().ok_or("wrong number of args for index: want at least 1 got 0")?;
    let mut value = first.clone();
    for key in keys {
        value = match &value {
            Value::Object(map) => map.get(text(key)).cloned().unwrap_or_else(|| Value::from("")),
            Value::Array(list) => {
                let position = key.as_u64().and_then(|n| usize::try_from(n).ok());
                let found = position.and_then(|n| list.get(n));
                found.cloned().ok_or_else(|| format!("error calling index: index out of range: {}", display(key)))?
            }
            Value::Null => Value::from(""),
            other => return Err(format!("error calling index: can't index item of type {}", kind(other))),
        };
    }
    Ok(value)
}

fn slice(arguments: &[Value]) -> Result<Value, String> {
    let (value, bounds) = arguments.split_first().ok_or("wrong number of args for slice: want at least 1 got 0")?;
    let length = match value {
        Value::String(text) => text.len(),
        Value::Array(list) => list.len(),
        other => return Err(format!("error calling slice: can't slice item of type {}", kind(other))),
    };
    let bound = |position: usize, default: usize| match bounds.get(position) {
        Some(bound) => bound.as_u64().and_then(|n| usize::try_from(n).ok()),
        None => Some(default),
    };
    let range = bound(0, 0).zip(bound(1, length)).filter(|(from, to)| from <= to && *to <= length);
    let (from, to) = range.ok_or("error calling slice: index out of range")?;
    match value {
        Value::Array(list) => Ok(Value::Array(list[from..to].to_vec())),
        other => Ok(Value::String(String::from_utf8_lossy(&text(other).as_bytes()[from..to]).into_owned())),
    }
}

fn len(value: &Value) -> Result<Value, String> {
    Ok(Value::from(match value {
        Value::String(text) => text.len(),
        Value::Array(list) => list.len(),
        Value::Object(map) if nil::text(map).is_some() => 0,
        Value::Object(map) => map.keys().filter(|key| *key != LABELS_KEY).count(),
        Value::Null => 0,
        other => return Err(format!("error calling len: len of type {}", kind(other))),
    }))
}

/// Go's `Sprint`: blanks only between two that are no strings.
fn print(arguments: &[Value]) -> String {
    let mut out = String::new();
    for (position, value) in arguments.iter().enumerate() {
        if position > 0 && !value.is_string() && !arguments[position - 1].is_string() {
            out.push(' ');
        }
        out.push_str(&display(value));
    }
    out
}

/// Compact JSON without the keys that only templates see.
pub fn json(value: &Value) -> String {
    let mut shown = value.clone();
    if let Value::Object(map) = &mut shown {
        map.shift_remove(LABELS_KEY);
    }
    nil::plain(&mut shown);
    shown.to_string()
}

/// The functions on strings.
fn words(name: &str, arguments: &[Value]) -> Result<Value, String> {
    let string = |position: usize| arguments.get(position).map(display).unwrap_or_default();
    let number = |position: usize| arguments.get(position).and_then(Value::as_u64).unwrap_or(0).min(10_000) as usize;
    let count = match name {
        "join" | "split" | "truncate" => 2,
        "pad" => 3,
        _ => 1,
    };
    if arguments.len() != count {
        return Err(wrong_count(name, count, arguments.len()));
    }
    Ok(Value::String(match name {
        "join" => join(&arguments[0], &string(1))?,
        "split" => return Ok(string(0).split(string(1).as_str()).map(Value::from).collect()),
        "lower" => string(0).to_lowercase(),
        "upper" => string(0).to_uppercase(),
        "title" => title(&string(0)),
        "truncate" => string(0).chars().take(number(1)).collect(),
        "pad" => format!("{}{}{}", " ".repeat(number(1)), string(0), " ".repeat(number(2))),
        _ => string(0),
    }))
}

fn join(list: &Value, separator: &str) -> Result<String, String> {
    match list {
        Value::Array(items) => Ok(items.iter().map(display).collect::<Vec<_>>().join(separator)),
        Value::Null => Ok(String::new()),
        Value::Object(map) if nil::text(map).is_some() => Ok(String::new()),
        other => Err(format!("error calling join: can't join item of type {}", kind(other))),
    }
}

fn title(text: &str) -> String {
    let mut start = true;
    let mut out = String::new();
    for letter in text.chars() {
        if start {
            out.extend(letter.to_uppercase())
        } else {
            out.push(letter)
        }
        start = !letter.is_alphanumeric() && letter != '\'';
    }
    out
}
