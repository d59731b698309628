//! `inspect` of anything or of one sort: an array, or a template for each.

use super::{Command, Context, Outcome};
use crate::args::inspect::{self as args, InspectArgs};
use crate::out;
use crate::out::failure::Failure;
use crate::out::list;
use crate::out::template::{Template, json};
use crate::out::typed::typed;
use gantry_engine::model::class::Class;
use gantry_engine::{Engine, Error};
use serde_json::Value;

pub static ANY: Command<InspectArgs> = Command { info: args::INSPECT, flags: &[args::FLAGS], run: any };
pub static CONTAINER: Command<InspectArgs> =
    Command { info: args::CONTAINER, flags: &[args::CONTAINER_FLAGS], run: container };
pub static IMAGE: Command<InspectArgs> = Command { info: args::IMAGE, flags: &[args::IMAGE_FLAGS], run: image };
pub static NETWORK: Command<InspectArgs> = Command { info: args::NETWORK, flags: &[args::NETWORK_FLAGS], run: network };
pub static VOLUME: Command<InspectArgs> = Command { info: args::VOLUME, flags: &[args::PLAIN_FLAGS], run: volume };
pub static PLUGIN: Command<InspectArgs> = Command { info: args::PLUGIN, flags: &[args::PLAIN_FLAGS], run: plugin };

type Found = Result<Vec<Value>, Error>;

fn container(context: &Context, args: InspectArgs, names: Vec<String>) -> Outcome {
    let size = args.size;
    show(context, args.format.as_deref(), &names, |engine, name| engine.inspect(name, size).map(one))
}

fn image(context: &Context, args: InspectArgs, names: Vec<String>) -> Outcome {
    show(context, args.format.as_deref(), &names, |engine, name| engine.image_inspect(name).map(one))
}

fn network(context: &Context, args: InspectArgs, names: Vec<String>) -> Outcome {
    show(context, args.format.as_deref(), &names, |engine, name| engine.network_inspect(name).map(one))
}

fn volume(context: &Context, args: InspectArgs, names: Vec<String>) -> Outcome {
    show(context, args.format.as_deref(), &names, |engine, name| engine.volume_inspect(name).map(one))
}

fn plugin(context: &Context, args: InspectArgs, names: Vec<String>) -> Outcome {
    show(context, args.format.as_deref(), &names, |engine, name| engine.plugin_inspect(None, name))
}

fn one(value: Value) -> Vec<Value> {
    vec![value]
}

fn any(context: &Context, args: InspectArgs, names: Vec<String>) -> Outcome {
    let (size, kind) = (args.size, args.kind.clone().unwrap_or_default());
    check_kind(&kind)?;
    show(context, args.format.as_deref(), &names, |engine, name| find(engine, name, &kind, size))
}

/// Refuses kinds that nobody knows.
pub fn check_kind(kind: &str) -> Result<(), Failure> {
    match kind {
        "" | "container" | "image" | "network" | "volume" | "plugin" => Ok(()),
        _ => Err(Failure::error(format!("\"{kind}\" is not a valid value for --type"))),
    }
}

/// The first sort of thing that has the name.
fn find(engine: &Engine, name: &str, kind: &str, size: bool) -> Found {
    type Look<'a> = (&'a str, &'a dyn Fn() -> Found);
    let looks: [Look<'_>; 5] = [
        ("container", &|| engine.inspect(name, size).map(one)),
        ("image", &|| engine.image_inspect(name).map(one)),
        ("network", &|| engine.network_inspect(name).map(one)),
        ("volume", &|| engine.volume_inspect(name).map(one)),
        ("plugin", &|| engine.plugin_inspect(None, name)),
    ];
    for (_, look) in looks.iter().filter(|(known, _)| kind.is_empty() || kind == *known) {
        match look() {
            Err(error) if matches!(error.class(), Class::NotFound | Class::Invalid) => {}
            found => return found,
        }
    }
    let what = if kind.is_empty() { "object" } else { kind };
    Err(Error::request(Class::NotFound, format!("No such {what}: {name}")))
}

pub(super) fn show(
    context: &Context,
    format: Option<&str>,
    names: &[String],
    find: impl Fn(&Engine, &str) -> Found,
) -> Outcome {
    let shape = shape(format)?;
    let engine = context.engine()?;
    print(names, &shape, |name| find(&engine, name).map_err(|error| Failure::engine(&error)))
}

/// Prints what is found of each name, and says what is not.
pub fn print(names: &[String], shape: &Shape, find: impl Fn(&str) -> Result<Vec<Value>, Failure>) -> Outcome {
    let (mut found, mut failures) = (Vec::new(), Vec::new());
    for name in names {
        match find(name) {
            Ok(values) => found.extend(values),
            Err(failure) => failures.push(failure),
        }
    }
    out::print(&text(&found, shape)?)?;
    failures.iter().for_each(Failure::report);
    Ok(i32::from(!failures.is_empty()))
}

/// How each object is printed.
pub enum Shape {
    Array,
    Lines,
    Template(Template),
}

/// By `--format`.
pub fn shape(format: Option<&str>) -> Result<Shape, Failure> {
    match format {
        None | Some("") => Ok(Shape::Array),
        Some("json") => Ok(Shape::Lines),
        Some(text) => list::parse(text).map(Shape::Template),
    }
}

fn text(found: &[Value], shape: &Shape) -> Result<String, Failure> {
    let mut text = String::new();
    match shape {
        Shape::Array => text.push_str(&array(found)),
        Shape::Lines => found.iter().for_each(|value| text.push_str(&(json(value) + "\n"))),
        Shape::Template(template) => {
            for value in found {
                text.push_str(&list::render(template, &typed(value))?);
                text.push('\n');
            }
        }
    }
    Ok(text)
}

/// Docker indents by four.
fn array(found: &[Value]) -> String {
    if found.is_empty() {
        return "[]\n".to_owned();
    }
    let mut bytes = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, formatter);
    let written = serde::Serialize::serialize(found, &mut serializer);
    debug_assert!(written.is_ok(), "values always serialize");
    String::from_utf8_lossy(&bytes).into_owned() + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn shapes() {
        let found = [json!({"Id": "x", "List": []})];
        assert_eq!(
            text(&found, &Shape::Array).unwrap(),
            "[\n    {\n        \"Id\": \"x\",\n        \"List\": []\n    }\n]\n"
        );
        assert_eq!(text(&[], &Shape::Array).unwrap(), "[]\n");
        assert_eq!(text(&found, &Shape::Lines).unwrap(), "{\"Id\":\"x\",\"List\":[]}\n");
        assert_eq!(text(&found, &shape(Some("{{.Id}}")).unwrap()).unwrap(), "x\n");
    }
}
