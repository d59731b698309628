//! The description of the API for programs: an OpenAPI document, made of the routes and of the table of types.

use crate::route::{Doc, Gives, Route, Takes};
use crate::schema::image::ERROR;
use crate::schema::{Field, Kind, Type};
use crate::version::{NEWEST, OLDEST, Version};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fmt::Write;

const ABOUT: &str = "The Docker Engine API as Gantry answers it, at any path with and without /vX.Y in front. x-since \
    and x-until name the first version that has something and the first that has it no longer; x-gantry marks what \
    Docker does not have. Fields that are not known are ignored, null is as good as absent, and one word may stand for \
    a list of words.";

/// All of it.
pub fn document(routes: &[Route]) -> Value {
    let mut described = Described::default();
    let mut paths: Map<String, Value> = Map::new();
    for route in routes {
        let operation = described.operation(route);
        let path = paths.entry(path(route.pattern)).or_insert_with(|| json!({}));
        path[route.method.as_str().to_ascii_lowercase()] = operation;
    }
    described.add(&ERROR);
    json!({
        "openapi": "3.0.3",
        "info": {
            "title": "Gantry",
            "version": NEWEST.to_string(),
            "description": ABOUT,
            "x-oldest": OLDEST.to_string(),
        },
        "paths": paths,
        "components": { "schemas": described.types },
    })
}

/// The same as text, short objects on lines of their own.
pub fn text(routes: &[Route]) -> String {
    let mut out = String::new();
    write_value(&mut out, &document(routes), 0);
    out.push('\n');
    out
}

/// What stands in the place of a pattern.
fn place(pattern: &str) -> &'static str {
    match pattern.split('/').nth(1) {
        Some("containers" | "exec" | "networks") => "id",
        _ => "name",
    }
}

fn path(pattern: &str) -> String {
    let place = format!("{{{}}}", place(pattern));
    pattern.replace("{}", &place).replace("{*}", &place)
}

/// The types that were met on the way.
#[derive(Default)]
struct Described {
    types: BTreeMap<&'static str, Value>,
}

impl Described {
    fn operation(&mut self, route: &Route) -> Value {
        let doc = &route.doc;
        let mut parameters = Vec::new();
        if route.pattern.contains('{') {
            let name = place(route.pattern);
            parameters.push(json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }));
        }
        parameters.extend(doc.query.iter().map(|field| self.parameter(field)));
        let mut operation = json!({ "summary": doc.summary, "responses": self.responses(doc) });
        if !parameters.is_empty() {
            operation["parameters"] = parameters.into();
        }
        if let Some(body) = self.body(doc.takes) {
            operation["requestBody"] = body;
        }
        mark(&mut operation, doc.since, None, doc.own);
        operation
    }

    fn parameter(&mut self, field: &Field) -> Value {
        let mut shown =
            json!({ "name": field.name, "in": "query", "description": field.about, "schema": self.kind(&field.kind) });
        mark(&mut shown, field.since, field.until, field.own);
        shown
    }

    fn body(&mut self, takes: Takes) -> Option<Value> {
        let content = match takes {
            Takes::Nothing => return None,
            Takes::Document(of) => json!({ "application/json": { "schema": self.reference(of) } }),
            Takes::Archive => json!({ "application/x-tar": { "schema": { "type": "string", "format": "binary" } } }),
        };
        Some(json!({ "content": content }))
    }

    fn responses(&mut self, doc: &Doc) -> Value {
        let refusal = json!({ "description": "A refusal.", "content": { "application/json": { "schema": self.reference(&ERROR) } } });
        let bytes = json!({ "schema": { "type": "string", "format": "binary" } });
        let content = match doc.gives {
            Gives::Refusal => return json!({ doc.status.to_string(): refusal }),
            Gives::Nothing => None,
            Gives::Text => Some(json!({ "text/plain": { "schema": { "type": "string" } } })),
            Gives::Document(kind) => Some(json!({ "application/json": { "schema": self.kind(&kind) } })),
            Gives::Documents(of) => {
                Some(json!({ "application/json": { "schema": self.reference(of), "x-stream": true } }))
            }
            Gives::Lines | Gives::Output => Some(json!({
                "application/vnd.docker.raw-stream": bytes,
                "application/vnd.docker.multiplexed-stream": bytes,
            })),
            Gives::Archive => Some(json!({ "application/x-tar": bytes })),
        };
        let mut good = json!({ "description": "All is well." });
        if let Some(content) = content {
            good["content"] = content;
        }
        let mut responses = json!({ doc.status.to_string(): good, "default": refusal });
        if matches!(doc.gives, Gives::Output) {
            responses["101"] = json!({ "description": "The connection is taken over." });
        }
        responses
    }

    fn reference(&mut self, of: &'static Type) -> Value {
        self.add(of);
        json!({ "$ref": format!("#/components/schemas/{}", of.name) })
    }

    fn add(&mut self, of: &'static Type) {
        if self.types.contains_key(of.name) {
            return;
        }
        // Before its fields, which may hold it again.
        self.types.insert(of.name, Value::Null);
        let fields: Map<String, Value> = of.all().map(|field| (field.name.to_owned(), self.field(field))).collect();
        self.types.insert(of.name, json!({ "type": "object", "description": of.about, "properties": fields }));
    }

    fn field(&mut self, field: &Field) -> Value {
        let mut shown = self.kind(&field.kind);
        if shown.get("$ref").is_some() {
            shown = json!({ "allOf": [shown], "nullable": true });
        }
        shown["description"] = field.about.into();
        mark(&mut shown, field.since, field.until, field.own);
        shown
    }

    fn kind(&mut self, kind: &Kind) -> Value {
        match kind {
            Kind::Text => json!({ "type": "string" }),
            Kind::Time => json!({ "type": "string", "format": "date-time" }),
            Kind::Integer => json!({ "type": "integer" }),
            Kind::Switch => json!({ "type": "boolean" }),
            Kind::Any => json!({}),
            Kind::Words => json!({ "type": "array", "items": { "type": "string" }, "nullable": true }),
            Kind::List(item) => json!({ "type": "array", "items": self.kind(item), "nullable": true }),
            Kind::Map(item) => json!({ "type": "object", "additionalProperties": self.kind(item), "nullable": true }),
            Kind::Object(of) => self.reference(of),
            Kind::Objects(of) => json!({ "type": "array", "items": self.reference(of), "nullable": true }),
            Kind::Named(of) => {
                json!({ "type": "object", "additionalProperties": self.reference(of), "nullable": true })
            }
            Kind::Maybe(kind) => {
                let mut shown = self.kind(kind);
                shown["nullable"] = true.into();
                shown
            }
        }
    }
}

/// Since when and until when there is something, and whose it is.
fn mark(value: &mut Value, since: u16, until: Option<u16>, own: bool) {
    if since > OLDEST.0 {
        value["x-since"] = Version(since).to_string().into();
    }
    if let Some(until) = until {
        value["x-until"] = Version(until).to_string().into();
    }
    if own {
        value["x-gantry"] = true.into();
    }
}

const LONGEST_LINE: usize = 116;

fn write_value(out: &mut String, value: &Value, depth: usize) {
    let line = value.to_string();
    match value {
        Value::Object(map) if depth < 2 || line.len() + 2 * depth > LONGEST_LINE => {
            let members = map.iter().map(|(key, value)| (Some(key.as_str()), value));
            write_block(out, ('{', '}'), members, depth);
        }
        Value::Array(list) if line.len() + 2 * depth > LONGEST_LINE => {
            write_block(out, ('[', ']'), list.iter().map(|value| (None, value)), depth);
        }
        _ => out.push_str(&line),
    }
}

fn write_block<'a>(
    out: &mut String,
    (open, close): (char, char),
    members: impl Iterator<Item = (Option<&'a str>, &'a Value)>,
    depth: usize,
) {
    out.push(open);
    for (at, (key, value)) in members.enumerate() {
        let comma = if at > 0 { "," } else { "" };
        let _ = write!(out, "{comma}\n{:indent$}", "", indent = 2 * (depth + 1));
        if let Some(key) = key {
            let _ = write!(out, "{}: ", Value::from(key));
        }
        write_value(out, value, depth + 1);
    }
    let _ = write!(out, "\n{:indent$}{close}", "", indent = 2 * depth);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routes::ROUTES;

    /// The file is written anew with `GANTRY_WRITE=1 cargo test -p gantry-api openapi`.
    #[test]
    fn the_file_is_up_to_date() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/openapi.json");
        if std::env::var_os("GANTRY_WRITE").is_some() {
            std::fs::write(path, text(ROUTES)).expect("written");
        }
        let file: Value = serde_json::from_slice(&std::fs::read(path).expect("docs/openapi.json")).expect("JSON");
        let file_is_current = file == document(ROUTES);
        assert!(file_is_current, "docs/openapi.json is out of date: GANTRY_WRITE=1 cargo test -p gantry-api openapi");
    }

    #[test]
    fn every_route_is_in_it() {
        let document = document(ROUTES);
        for route in ROUTES {
            let method = route.method.as_str().to_ascii_lowercase();
            let operation = &document["paths"][path(route.pattern)][method];
            assert_eq!(operation["summary"], route.doc.summary, "{}", route.pattern);
        }
        assert_eq!(path("/images/{*}/json"), "/images/{name}/json");
        assert_eq!(path("/containers/{}/json"), "/containers/{id}/json");
    }

    /// Names of types are the keys of the document.
    #[test]
    fn marks() {
        let schemas = &document(ROUTES)["components"]["schemas"];
        assert_eq!(schemas["HostConfig"]["properties"]["GantryLogSinks"]["x-gantry"], true);
        assert_eq!(schemas["HostConfig"]["properties"]["CgroupnsMode"]["x-since"], "1.41");
        assert_eq!(schemas["ImageSummary"]["properties"]["VirtualSize"]["x-until"], "1.44");
        assert!(schemas.as_object().is_some_and(|all| all.values().all(Value::is_object)));
    }
}
