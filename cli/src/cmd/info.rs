//! `info`.

use super::{Command, Context, Outcome, failed};
use crate::args::system::{FORMAT_FLAGS, FormatArgs, INFO};
use crate::out;
use crate::out::list;
use crate::out::template::json;
use gantry_engine::model::size::human_binary;
use serde_json::Value;

pub static COMMAND: Command<FormatArgs> = Command { info: INFO, flags: &[FORMAT_FLAGS], run };

fn run(context: &Context, args: FormatArgs, _: Vec<String>) -> Outcome {
    print(&context.engine()?.info().map_err(failed)?, "default", &args)
}

/// Prints what an engine says of itself.
pub fn print(info: &Value, context: &str, args: &FormatArgs) -> Outcome {
    match args.format.as_deref() {
        None | Some("") => {
            out::print(&text(info, context))?;
            let warnings = info["Warnings"].as_array().into_iter().flatten().filter_map(Value::as_str);
            warnings.for_each(out::note);
            Ok(0)
        }
        Some("json") => out::line(&json(info)).map(|()| 0),
        Some(template) => out::line(&list::render(&list::parse(template)?, info)?).map(|()| 0),
    }
}

/// Lines of text, two blanks deeper for what belongs to the line before.
struct Lines(String);

impl Lines {
    fn add(&mut self, depth: usize, name: &str, value: &str) {
        self.0.push_str(&format!("{}{name}: {value}\n", " ".repeat(depth)));
    }

    fn words(&mut self, depth: usize, name: &str, value: &Value) {
        let list: Vec<&str> = value.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        self.add(depth, name, &list.join(" "));
    }
}

fn text(info: &Value, context: &str) -> String {
    let show = |key: &str| match &info[key] {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    };
    let mut lines =
        Lines(format!("Client:\n Version:    {}\n Context:    {context}\n\nServer:\n", env!("CARGO_PKG_VERSION")));
    for (name, key, depth) in [
        ("Containers", "Containers", 1),
        ("Running", "ContainersRunning", 2),
        ("Paused", "ContainersPaused", 2),
        ("Stopped", "ContainersStopped", 2),
        ("Images", "Images", 1),
        ("Server Version", "ServerVersion", 1),
        ("Storage Driver", "Driver", 1),
    ] {
        lines.add(depth, name, &show(key));
    }
    for pair in info["DriverStatus"].as_array().into_iter().flatten() {
        lines.add(2, pair[0].as_str().unwrap_or_default(), pair[1].as_str().unwrap_or_default());
    }
    for (name, key) in
        [("Logging Driver", "LoggingDriver"), ("Cgroup Driver", "CgroupDriver"), ("Cgroup Version", "CgroupVersion")]
    {
        lines.add(1, name, &show(key));
    }
    lines.0.push_str(" Plugins:\n");
    for kind in ["Volume", "Network", "Log", "Storage"] {
        lines.words(2, kind, &info["Plugins"][kind]);
    }
    lines.words(1, "Security Options", &info["SecurityOptions"]);
    for (name, key) in [
        ("Kernel Version", "KernelVersion"),
        ("Operating System", "OperatingSystem"),
        ("OSType", "OSType"),
        ("Architecture", "Architecture"),
        ("CPUs", "NCPU"),
    ] {
        lines.add(1, name, &show(key));
    }
    lines.add(1, "Total Memory", &human_binary(info["MemTotal"].as_u64().unwrap_or(0)));
    for (name, key) in [
        ("Name", "Name"),
        ("ID", "ID"),
        ("Root Dir", "DockerRootDir"),
        ("State Dir", "StateDir"),
        ("Live Restore Enabled", "LiveRestoreEnabled"),
    ] {
        lines.add(1, name, &show(key));
    }
    let features = info["HostFeatures"].as_array().into_iter().flatten();
    let (there, missing): (Vec<&Value>, Vec<&Value>) = features.partition(|feature| feature["Present"] == true);
    let word = |feature: &Value, key: &str| feature[key].as_str().unwrap_or_default().to_owned();
    let names: Vec<String> = there.iter().map(|feature| word(feature, "Name")).collect();
    lines.add(1, "Host Features", &names.join(", "));
    if !missing.is_empty() {
        lines.0.push_str(" Missing Here:\n");
        missing.iter().for_each(|f| lines.add(2, &word(f, "Name"), &format!("no {}", word(f, "Without"))));
    }
    lines.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn layout() {
        let info = json!({
            "Containers": 3, "ContainersRunning": 1, "Driver": "overlay2", "DriverStatus": [["Backing", "ext4"]],
            "Plugins": {"Log": ["json-file", "none"]}, "MemTotal": 8u64 << 30,
        });
        let text = text(&info, "default");
        for line in [
            " Containers: 3\n",
            "  Running: 1\n",
            " Storage Driver: overlay2\n",
            "  Backing: ext4\n",
            "  Log: json-file none\n",
            " Total Memory: 8GiB\n",
        ] {
            assert!(text.contains(line), "{text}");
        }
    }
}
