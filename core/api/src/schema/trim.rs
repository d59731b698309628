//! Answers to clients of older versions: without the fields that came later.

use super::{Kind, Type};
use crate::version::{NEWEST, Version};
use serde_json::Value;

/// Takes out what the version does not have. The newest has all.
pub fn trim(value: &mut Value, kind: &Kind, version: Version) {
    if version < NEWEST {
        cut(value, kind, version.0);
    }
}

fn cut(value: &mut Value, kind: &Kind, minor: u16) {
    match (kind, value) {
        (Kind::Maybe(kind), value) => cut(value, kind, minor),
        (Kind::List(kind), Value::Array(list)) => list.iter_mut().for_each(|item| cut(item, kind, minor)),
        (Kind::Map(kind), Value::Object(map)) => map.values_mut().for_each(|item| cut(item, kind, minor)),
        (Kind::Object(of), value) => object(value, of, minor),
        (Kind::Objects(of), Value::Array(list)) => list.iter_mut().for_each(|item| object(item, of, minor)),
        (Kind::Named(of), Value::Object(map)) => map.values_mut().for_each(|item| object(item, of, minor)),
        _ => {}
    }
}

fn object(value: &mut Value, of: &'static Type, minor: u16) {
    let Value::Object(map) = value else { return };
    for field in of.all() {
        if !field.is_in(minor) {
            map.shift_remove(field.name);
        } else if let Some(value) = map.get_mut(field.name) {
            cut(value, &field.kind, minor);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::container::INSPECT;
    use serde_json::json;

    #[test]
    fn later_fields_are_left_out() {
        let whole = json!({
            "Id": "x",
            "HostConfig": { "Memory": 5, "CgroupnsMode": "private", "Annotations": {} },
            "NetworkSettings": { "Networks": { "n": { "Aliases": [], "DNSNames": ["x"], "GwPriority": 0 } } },
        });
        let cut = |minor: u16| {
            let mut value = whole.clone();
            trim(&mut value, &Kind::Object(&INSPECT), Version(minor));
            value
        };
        assert_eq!(cut(48), whole);
        assert_eq!(cut(44)["NetworkSettings"]["Networks"]["n"], json!({ "Aliases": [], "DNSNames": ["x"] }));
        assert_eq!(cut(41)["HostConfig"], json!({ "Memory": 5, "CgroupnsMode": "private" }));
        assert_eq!(cut(24)["HostConfig"], json!({ "Memory": 5 }));
    }
}
