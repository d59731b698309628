//! The description of the API held against what the server really answers: every field described, of its kind, and not
//! later than the version that was asked for.

use serde_json::Value;

/// `docs/openapi.json`.
pub struct Description(Value);

impl Description {
    /// Reads the file of the tree.
    pub fn read() -> Description {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/openapi.json");
        Description(serde_json::from_slice(&std::fs::read(path).expect("docs/openapi.json")).expect("JSON"))
    }

    /// What is wrong with an answer to a client of version 1.`minor`.
    pub fn faults(&self, method: &str, path: &str, answer: &Value, minor: u32) -> Vec<String> {
        let responses = &self.0["paths"][path][method]["responses"];
        let good = responses.as_object().and_then(|all| all.iter().find(|(status, _)| status.starts_with('2')));
        let Some((_, good)) = good else { return vec![format!("{method} {path} is not described")] };
        let mut faults = Vec::new();
        self.check(&good["content"]["application/json"]["schema"], answer, path, minor, &mut faults);
        faults
    }

    fn check(&self, schema: &Value, value: &Value, place: &str, minor: u32, faults: &mut Vec<String>) {
        let schema = schema.get("allOf").map_or(schema, |all| &all[0]);
        if value.is_null() && schema.get("$ref").is_none() && schema["nullable"] != true && schema.get("type").is_some()
        {
            return faults.push(format!("{place} is null"));
        }
        if let Some(name) = schema["$ref"].as_str().and_then(|text| text.rsplit('/').next()) {
            return self.check_object(&self.0["components"]["schemas"][name], value, place, minor, faults);
        }
        match (schema["type"].as_str(), value) {
            (None, _) | (_, Value::Null) => {}
            (Some("string"), Value::String(_)) | (Some("boolean"), Value::Bool(_)) => {}
            (Some("integer"), Value::Number(number)) if !number.is_f64() => {}
            (Some("array"), Value::Array(list)) => {
                list.iter().for_each(|item| self.check(&schema["items"], item, &format!("{place}[]"), minor, faults));
            }
            (Some("object"), Value::Object(map)) => map.iter().for_each(|(key, item)| {
                self.check(&schema["additionalProperties"], item, &format!("{place}.{key}"), minor, faults);
            }),
            (Some(kind), _) => faults.push(format!("{place} is no {kind}: {value}")),
        }
    }

    fn check_object(&self, schema: &Value, value: &Value, place: &str, minor: u32, faults: &mut Vec<String>) {
        let Some(map) = value.as_object() else {
            if !value.is_null() {
                faults.push(format!("{place} is no object: {value}"));
            }
            return;
        };
        for (key, item) in map {
            let (field, place) = (&schema["properties"][key], format!("{place}.{key}"));
            let since = field["x-since"].as_str().and_then(|text| text.strip_prefix("1.")?.parse().ok()).unwrap_or(0);
            match field.is_null() {
                true => faults.push(format!("{place} is not described")),
                false if since > minor => faults.push(format!("{place} came with 1.{since}")),
                false => self.check(field, item, &place, minor, faults),
            }
        }
    }
}
