//! What a client sent, brought into the shape of its type: null is as good as absent, a word may stand for a list of
//! one, names are found whatever their case, as Go's decoder does it. A wrong type is refused by the path to the field.

use super::{Field, Kind, Type};
use crate::fault::Fault;
use serde_json::{Map, Value};
use std::fmt::Write;

/// Fits an object to a type; fields that the type does not have stay as they are.
pub fn fit(value: &mut Value, to: &'static Type) -> Result<(), Fault> {
    Fitting { path: String::new() }.object(value, to)
}

struct Fitting {
    path: String,
}

impl Fitting {
    /// Goes a step down the path, and back.
    fn within(
        &mut self,
        step: &dyn std::fmt::Display,
        act: impl FnOnce(&mut Fitting) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let length = self.path.len();
        let _ = write!(self.path, "{step}");
        act(self)?;
        self.path.truncate(length);
        Ok(())
    }

    fn member(&mut self, name: &str, value: &mut Value, kind: &Kind) -> Result<(), Fault> {
        let dot = if self.path.is_empty() { "" } else { "." };
        self.within(&format_args!("{dot}{name}"), |fitting| fitting.value(value, kind))
    }

    fn value(&mut self, value: &mut Value, kind: &Kind) -> Result<(), Fault> {
        let fits = match (kind, &mut *value) {
            (Kind::Any, _) | (Kind::Text | Kind::Time, Value::String(_)) | (Kind::Switch, Value::Bool(_)) => true,
            (Kind::Integer, Value::Number(number)) => number.is_i64() || number.is_u64(),
            (Kind::Maybe(kind), value) => return self.value(value, kind),
            (Kind::Words, Value::String(word)) => {
                *value = Value::Array(vec![std::mem::take(word).into()]);
                true
            }
            (Kind::Words, Value::Array(list)) => return self.list(list, &Kind::Text),
            (Kind::List(item), Value::Array(list)) => return self.list(list, item),
            (Kind::Objects(of), Value::Array(list)) => return self.list(list, &Kind::Object(of)),
            (Kind::Named(of), Value::Object(map)) => return self.map(map, &Kind::Object(of)),
            (Kind::Map(item), Value::Object(map)) => return self.map(map, item),
            (Kind::Object(of), value) => return self.object(value, of),
            _ => false,
        };
        if fits { Ok(()) } else { Err(self.refusal(kind.expected(), value)) }
    }

    fn list(&mut self, list: &mut [Value], kind: &Kind) -> Result<(), Fault> {
        for (at, item) in list.iter_mut().enumerate() {
            replace_null(item, kind);
            self.within(&format_args!("[{at}]"), |fitting| fitting.value(item, kind))?;
        }
        Ok(())
    }

    /// Members mean something by their names alone: what is null there is as good as empty.
    fn map(&mut self, map: &mut Map<String, Value>, kind: &Kind) -> Result<(), Fault> {
        for (name, item) in map {
            replace_null(item, kind);
            if !item.is_null() {
                self.member(name, item, kind)?;
            }
        }
        Ok(())
    }

    fn object(&mut self, value: &mut Value, of: &'static Type) -> Result<(), Fault> {
        let Value::Object(map) = value else { return Err(self.refusal("an object", value)) };
        map.retain(|_, value| !value.is_null());
        rename(map, of);
        for field in of.all() {
            if let Some(value) = map.get_mut(field.name) {
                self.member(field.name, value, &field.kind)?;
            }
        }
        Ok(())
    }

    fn refusal(&self, expected: &str, found: &Value) -> Fault {
        let place = if self.path.is_empty() { String::new() } else { format!(" at {}", self.path) };
        Fault::bad(format!("invalid request body{place}: expected {expected}, found {}", shown(found)))
    }
}

/// Lists are left out all the same: an absent and an empty list of a map's member may differ.
fn replace_null(value: &mut Value, kind: &Kind) {
    match kind {
        Kind::Text if value.is_null() => *value = "".into(),
        Kind::Object(_) if value.is_null() => *value = Map::new().into(),
        _ => {}
    }
}

/// Gives fields the names that the type has for them, unless those are there as well.
fn rename(map: &mut Map<String, Value>, of: &'static Type) {
    let named = |field: &Field, name: &str| field.name == name;
    let other = |name: &String| {
        let known = of.all().any(|field| named(field, name));
        let meant = || of.all().find(|field| field.name.eq_ignore_ascii_case(name));
        if known { None } else { meant().map(|field| (name.clone(), field.name)) }
    };
    let others: Vec<(String, &str)> = map.keys().filter_map(other).collect();
    for (from, to) in others {
        if let Some(value) = map.shift_remove(&from).filter(|_| !map.contains_key(to)) {
            map.insert(to.to_owned(), value);
        }
    }
}

/// What was found, short.
fn shown(value: &Value) -> String {
    const MOST: usize = 40;
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(on) => on.to_string(),
        Value::Number(number) => format!("the number {number}"),
        Value::String(text) if text.chars().count() > MOST => {
            format!("the string {:?} …", text.chars().take(MOST).collect::<String>())
        }
        Value::String(text) => format!("the string {text:?}"),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{MAYBE_INTEGER, SET, TEXTS, field, integer, text};
    use serde_json::json;

    static INNER: Type = Type { name: "Inner", about: "", fields: &[&[text("Name", ""), integer("Soft", "")]] };
    static OUTER: Type = Type {
        name: "Outer",
        about: "",
        fields: &[&[
            field("Cmd", Kind::Words, ""),
            field("Ports", SET, ""),
            field("Labels", Kind::Map(&Kind::Text), ""),
            field("Bindings", Kind::Map(&TEXTS), ""),
            field("Limits", Kind::Objects(&INNER), ""),
            field("Swap", MAYBE_INTEGER, ""),
        ]],
    };

    #[test]
    fn as_clients_write_it() {
        let mut value = json!({
            "cmd": "date", "Frob": [7], "Swap": null, "Labels": { "a": null }, "Ports": { "80/tcp": null },
            "Bindings": { "80/tcp": null }, "Limits": [{ "NAME": "x", "Soft": -1 }],
        });
        fit(&mut value, &OUTER).expect("sound");
        let wanted = json!({
            "Cmd": ["date"], "Frob": [7], "Labels": { "a": "" }, "Ports": { "80/tcp": {} },
            "Bindings": { "80/tcp": null }, "Limits": [{ "Name": "x", "Soft": -1 }],
        });
        assert_eq!(value, wanted);
    }

    #[test]
    fn a_name_of_the_right_case_wins() {
        let mut value = json!({ "swap": 1, "Swap": 2, "SWAP": 3 });
        fit(&mut value, &OUTER).expect("sound");
        assert_eq!(value, json!({ "Swap": 2 }));
    }

    #[test]
    fn wrong_types_name_the_field() {
        for (value, words) in [
            (json!([]), "body: expected an object, found a list"),
            (json!({ "Swap": "1g" }), "at Swap: expected an integer, found the string \"1g\""),
            (json!({ "Swap": 1.5 }), "at Swap: expected an integer, found the number 1.5"),
            (json!({ "Cmd": 5 }), "at Cmd: expected a list of strings, found the number 5"),
            (json!({ "Cmd": ["a", {}] }), "at Cmd[1]: expected a string, found an object"),
            (json!({ "Ports": ["80"] }), "at Ports: expected an object, found a list"),
            (json!({ "Labels": { "a": true } }), "at Labels.a: expected a string, found true"),
            (json!({ "Limits": [{}, { "Name": 5 }] }), "at Limits[1].Name: expected a string"),
        ] {
            let fault = fit(&mut value.clone(), &OUTER).expect_err(words);
            assert!(fault.status == 400 && fault.message.contains(words), "{value}: {fault}");
        }
    }
}
