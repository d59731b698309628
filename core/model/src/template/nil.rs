//! Fields that have a type and no value. Go prints them by their types and lets templates ask for them, where JSON has
//! null or nothing; JSON made of them has again what it was made from.

use serde_json::{Map, Value, json};

/// In an object of this key alone, or together with the next: what is printed of it.
const KEY: &str = "\0nil";
/// The field is not there at all.
const ABSENT: &str = "\0absent";

/// The type of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nil {
    /// Of something that may be missing.
    Pointer,
    /// Of a list.
    List,
    /// Of a map.
    Map,
}

/// A field that a template may ask for: the JSON pointer of its object, its key, its type.
pub type Field = (&'static str, &'static str, Nil);

/// Gives fields that are null or missing their types. `optional` ones may be missing; the others count where they are null.
pub fn fill(object: &mut Value, optional: &[Field], null: &[Field]) {
    for (parent, key, nil) in optional {
        if let Some(Value::Object(map)) = object.pointer_mut(parent) {
            let absent = !map.contains_key(*key);
            put(map.entry(*key).or_insert(Value::Null), *nil, absent);
        }
    }
    for (parent, key, nil) in null {
        if let Some(value) = object.pointer_mut(parent).and_then(|parent| parent.get_mut(*key)) {
            put(value, *nil, false);
        }
    }
}

fn put(value: &mut Value, nil: Nil, absent: bool) {
    if value.is_null() {
        let text = match nil {
            Nil::Pointer => "<nil>",
            Nil::List => "[]",
            Nil::Map => "map[]",
        };
        *value = if absent { json!({ KEY: text, ABSENT: true }) } else { json!({ KEY: text }) };
    }
}

/// What is printed of such a field; `None` of any other.
pub(super) fn text(map: &Map<String, Value>) -> Option<&str> {
    map.get(KEY).and_then(Value::as_str)
}

/// The value as JSON has it.
pub(super) fn plain(value: &mut Value) {
    match value {
        Value::Object(map) if map.contains_key(KEY) => *value = Value::Null,
        Value::Object(map) => {
            map.retain(|_, value| value.get(ABSENT).is_none());
            map.values_mut().for_each(plain);
        }
        Value::Array(list) => list.iter_mut().for_each(plain),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template::Template;

    #[test]
    fn fields_without_values_are_shown_by_their_types() {
        let mut object = json!({ "State": { "Pid": 7 }, "Config": { "Cmd": null, "Env": ["a"] }, "Labels": null });
        let optional: [Field; 4] = [
            ("/State", "Health", Nil::Pointer),
            ("/Config", "Cmd", Nil::List),
            ("/Config", "Env", Nil::List),
            ("/HostConfig", "Init", Nil::Pointer),
        ];
        fill(&mut object, &optional, &[("", "Labels", Nil::Map), ("", "Options", Nil::Map)]);
        let run = |text: &str| match Template::parse(text).and_then(|template| template.render(&object)) {
            Ok(text) => text,
            Err(error) => format!("!{error}"),
        };
        for (template, want) in [
            ("{{.State.Health}} {{.Config.Cmd}} {{.Labels}} {{.Config.Env}}", "<nil> [] map[] [a]"),
            ("{{if .State.Health}}x{{else}}none{{end}}", "none"),
            ("{{with .State.Health}}x{{else}}none{{end}}", "none"),
            ("{{range .Config.Cmd}}x{{else}}none{{end}}", "none"),
            ("{{range $k, $v := .Labels}}x{{end}}", ""),
            ("{{len .Config.Cmd}} {{join .Config.Cmd \",\"}}", "0 "),
            ("{{index .Labels \"x\"}}", ""),
            ("{{.Labels.x}}", "<no value>"),
            (
                "{{json .State}} {{json .Config.Cmd}} {{json .}}",
                concat!(
                    "{\"Pid\":7} null ",
                    "{\"State\":{\"Pid\":7},\"Config\":{\"Cmd\":null,\"Env\":[\"a\"]},\"Labels\":null}"
                ),
            ),
            ("{{not .State.Health}}", "true"),
        ] {
            assert_eq!(run(template), want, "{template}");
        }
        assert!(run("{{.State.Health.Status}}").contains("nil pointer evaluating"));
        assert!(run("{{.Options}}").contains("no entry for key"));
    }
}
