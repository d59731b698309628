//! `plugin test` and `plugin new`: for those who write drivers.

use crate::args::plugins::{NEW as NEW_INFO, NEW_FLAGS, NewArgs, TEST as TEST_INFO, TEST_FLAGS, TestArgs};
use crate::cmd::{Command, Context, Outcome, failed};
use crate::out;
use crate::out::failure::Failure;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process;

pub static TEST: Command<TestArgs> = Command { info: TEST_INFO, flags: &[TEST_FLAGS], run: test };
pub static NEW: Command<NewArgs> = Command { info: NEW_INFO, flags: &[NEW_FLAGS], run: new };

/// The suites are a program of their own, so that nothing of them is mapped when a container starts.
fn test(_: &Context, args: TestArgs, files: Vec<String>) -> Outcome {
    let program = gantry_engine::find_program("gantry-plugin-test").map_err(failed)?;
    let mut command = process::Command::new(&program);
    for (word, value) in [("--kind", &args.kind), ("--format", &args.format), ("--timeout", &args.timeout)] {
        if let Some(value) = value {
            command.args([word, value]);
        }
    }
    for option in &args.options {
        command.args(["-o", option]);
    }
    command.args(args.bench.then_some("--bench"));
    command.args(args.quick.then_some("--quick"));
    // A name that begins with a dash is a file all the same.
    let dashed = files[0].starts_with('-').then(|| Path::new(".").join(&files[0]));
    command.arg(dashed.unwrap_or_else(|| files[0].clone().into()));
    let error = command.exec();
    Err(Failure::error(format!("cannot execute {}: {error}", program.display())))
}

/// The files of a new crate; `@…@` is filled in.
struct Template {
    kind: &'static str,
    lib: &'static str,
    /// More lines of `[dependencies]`.
    needs: &'static str,
    /// How it is tried.
    run: &'static str,
}

const TEMPLATES: &[Template] = &[
    Template {
        kind: "log",
        lib: include_str!("../../../../plugin-api/templates/log.rs"),
        needs: "",
        run: "gantry --plugin-dir $PWD/plugins run --rm --log-driver @name@ --log-opt greeting=hi IMAGE echo line",
    },
    Template {
        kind: "storage",
        lib: include_str!("../../../../plugin-api/templates/storage.rs"),
        needs: "libc = \"0.2\"\n",
        run: "gantry --root /tmp/try --plugin-dir $PWD/plugins --storage-driver @name@ run --rm IMAGE ls",
    },
    Template {
        kind: "network",
        lib: include_str!("../../../../plugin-api/templates/network.rs"),
        needs: "libc = \"0.2\"\n",
        run: "gantry --plugin-dir $PWD/plugins network create --driver @name@ mine",
    },
    Template {
        kind: "volume",
        lib: include_str!("../../../../plugin-api/templates/volume.rs"),
        needs: "",
        run: "gantry --plugin-dir $PWD/plugins volume create --driver @name@ mine",
    },
];
const CARGO: &str = include_str!("../../../../plugin-api/templates/Cargo.toml.in");
const README: &str = include_str!("../../../../plugin-api/templates/README.md.in");

fn new(_: &Context, args: NewArgs, names: Vec<String>) -> Outcome {
    let name = &names[0];
    let kinds = || TEMPLATES.iter().map(|t| t.kind).collect::<Vec<_>>().join(", ");
    let kind = args.kind.ok_or_else(|| Failure::error(format!("--kind is needed: {}", kinds())))?;
    let template = TEMPLATES.iter().find(|t| t.kind == kind);
    let template = template.ok_or_else(|| Failure::error(format!("unknown kind {kind:?}: expected {}", kinds())))?;
    check_name(name)?;
    let api = args.api.as_deref().map(fs::canonicalize).transpose();
    let api = api.map_err(|e| Failure::error(format!("--api {}: {e}", args.api.unwrap_or_default())))?;
    if let Some(api) = api.as_ref().filter(|api| !api.join("testkit/Cargo.toml").is_file()) {
        return Err(Failure::error(format!("--api {}: plugin-api and its testkit are not there", api.display())));
    }
    let dir = PathBuf::from(args.path.unwrap_or_else(|| name.clone()));
    write(&dir, &files(template, name, api.as_deref()))?;
    out::line(&format!(
        "Wrote the {kind} driver {name} to {0}.\nNext: cd {0} && cargo test && cargo build --release",
        dir.display()
    ))
    .map(|()| 0)
}

/// What a file, a crate and a user's word can all be.
fn check_name(name: &str) -> Result<(), Failure> {
    let lower = |c: char| c.is_ascii_lowercase();
    let plain = |c: char| lower(c) || c.is_ascii_digit() || c == '-';
    match name.starts_with(lower) && name.chars().all(plain) && !name.ends_with('-') {
        true => Ok(()),
        false => Err(Failure::error(format!("invalid name {name:?}: use lower-case letters, digits and '-'"))),
    }
}

fn files(template: &Template, name: &str, api: Option<&Path>) -> [(&'static str, String); 4] {
    let (plain, kit) = match api {
        Some(api) => (
            format!("{{ path = {:?} }}", api.display().to_string()),
            format!("{{ path = \"{}/testkit\" }}", api.display()),
        ),
        None => ("\"1\"".to_owned(), "\"1\"".to_owned()),
    };
    let library = format!("gantry_{}_{}", template.kind, name.replace('-', "_"));
    let fill = |text: &str| {
        let text =
            text.replace("@run@", template.run).replace("@needs@", template.needs).replace("@kind@", template.kind);
        text.replace("@api@", &plain).replace("@testkit@", &kit).replace("@library@", &library).replace("@name@", name)
    };
    [
        ("Cargo.toml", fill(CARGO)),
        ("src/lib.rs", fill(template.lib)),
        ("README.md", fill(README)),
        (".gitignore", "/target\n/plugins\n".to_owned()),
    ]
}

fn write(dir: &Path, files: &[(&str, String)]) -> Result<(), Failure> {
    let told = |path: &Path, e: std::io::Error| Failure::error(format!("cannot write {}: {e}", path.display()));
    if dir.exists() {
        return Err(Failure::error(format!("{} is there already", dir.display())));
    }
    for (name, text) in files {
        let path = dir.join(name);
        let parent = path.parent().unwrap_or(dir);
        fs::create_dir_all(parent).and_then(|()| fs::write(&path, text)).map_err(|e| told(&path, e))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_to_fill_in() {
        for template in TEMPLATES {
            for (file, text) in files(template, "my-own", Some(Path::new("/api"))) {
                assert!(!text.contains('@'), "{}: {file}: {text}", template.kind);
            }
        }
    }

    #[test]
    fn names_that_can_be_files_and_crates() {
        for (name, good) in
            [("acme", true), ("a-2", true), ("2a", false), ("A", false), ("a_b", false), ("../a", false), ("", false)]
        {
            assert_eq!(check_name(name).is_ok(), good, "{name}");
        }
    }
}
