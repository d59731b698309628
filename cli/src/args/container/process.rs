//! What runs: image, command, user, environment, streams, names, end.

use super::ContainerArgs;
use crate::args::values::{add, int, push, put, words};
use crate::args::{Choices, Flag};
use gantry_engine::model::container::RestartPolicy;
use gantry_engine::model::{env, restart};

/// See the table.
#[derive(Debug, Default)]
pub struct ProcessArgs {
    pub name: Option<String>,
    pub hostname: Option<String>,
    pub domainname: Option<String>,
    pub user: Option<String>,
    pub working_dir: Option<String>,
    pub entrypoint: Option<String>,
    pub env: Vec<String>,
    pub env_files: Vec<String>,
    pub labels: Vec<(String, String)>,
    pub label_files: Vec<String>,
    pub annotations: Vec<(String, String)>,
    pub attach: Vec<String>,
    pub interactive: bool,
    pub tty: bool,
    pub remove: bool,
    pub restart: Option<RestartPolicy>,
    pub stop_signal: Option<String>,
    pub stop_timeout: Option<i64>,
    pub cidfile: Option<String>,
    pub platform: Option<String>,
    pub runtime: Option<String>,
    pub pull: Option<String>,
    pub quiet: bool,
    pub init: bool,
    pub replace: bool,
    pub timeout: u32,
}

/// The flags.
pub const FLAGS: &[Flag<ContainerArgs>] = &[
    Flag::<ContainerArgs>::value("annotation", "map", "Add an annotation for the runtime", |a, v| {
        add(&mut a.process.annotations, pair(v))
    })
    .default("map[]"),
    Flag::<ContainerArgs>::value("attach", "list", "Connect STDIN, STDOUT or STDERR", |a, v| {
        stream(&mut a.process.attach, v)
    })
    .short('a')
    .choices(Choices::Words(&["stdin", "stdout", "stderr"])),
    Flag::<ContainerArgs>::value("cidfile", "string", "Write the id of the container to a file", |a, v| {
        put(&mut a.process.cidfile, v)
    })
    .choices(Choices::Files),
    Flag::<ContainerArgs>::switch("disable-content-trust", "Do not verify the image", |_, _| {}).default("true"),
    Flag::<ContainerArgs>::value("domainname", "string", "NIS domain name inside", |a, v| {
        put(&mut a.process.domainname, v)
    }),
    Flag::<ContainerArgs>::value("entrypoint", "string", "Program to run instead of the image's", |a, v| {
        put(&mut a.process.entrypoint, v)
    }),
    Flag::<ContainerArgs>::value("env", "list", "Set a variable, or pass it on", |a, v| {
        add(&mut a.process.env, variable(v))
    })
    .short('e'),
    Flag::<ContainerArgs>::value("env-file", "list", "Read variables from a file", |a, v| {
        push(&mut a.process.env_files, v)
    })
    .choices(Choices::Files),
    Flag::<ContainerArgs>::value("hostname", "string", "Host name inside", |a, v| put(&mut a.process.hostname, v))
        .short('h'),
    Flag::<ContainerArgs>::switch(
        "init",
        "Run a small init inside that forwards signals and reaps processes",
        |a, on| {
            a.process.init = on;
        },
    ),
    Flag::<ContainerArgs>::switch("interactive", "Keep STDIN open even when not connected", |a, on| {
        a.process.interactive = on
    })
    .short('i'),
    Flag::<ContainerArgs>::value("label", "list", "Add a label", |a, v| {
        add(&mut a.process.labels, env::parse_label(v))
    })
    .short('l'),
    Flag::<ContainerArgs>::value("label-file", "list", "Read labels from a file", |a, v| {
        push(&mut a.process.label_files, v)
    })
    .choices(Choices::Files),
    Flag::<ContainerArgs>::value("name", "string", "Name the container", |a, v| put(&mut a.process.name, v)),
    Flag::<ContainerArgs>::value("platform", "string", "Platform to choose of an image for several", |a, v| {
        put(&mut a.process.platform, v)
    }),
    Flag::<ContainerArgs>::value(
        "pull",
        "string",
        "Whether to fetch the image (\"always\", \"missing\", \"never\")",
        |a, v| put(&mut a.process.pull, v),
    )
    .default("\"missing\"")
    .choices(Choices::Words(&["always", "missing", "never"])),
    Flag::<ContainerArgs>::switch("quiet", "Do not show progress of fetching", |a, on| a.process.quiet = on).short('q'),
    Flag::<ContainerArgs>::switch("replace", "Stop and remove the container that has the name now", |a, on| {
        a.process.replace = on
    }),
    Flag::<ContainerArgs>::value("restart", "string", "What to do when the container ends", |a, v| {
        restart::read(v).map(|policy| a.process.restart = Some(policy)).map_err(words)
    })
    .default("\"no\"")
    .choices(Choices::Words(&["no", "always", "on-failure", "unless-stopped"])),
    Flag::<ContainerArgs>::switch("rm", "Remove the container and its anonymous volumes when it ends", |a, on| {
        a.process.remove = on
    }),
    Flag::<ContainerArgs>::value("runtime", "string", "OCI runtime: gantry, or another by name or path", |a, v| {
        put(&mut a.process.runtime, v)
    })
    .default("\"gantry\""),
    Flag::<ContainerArgs>::value("stop-signal", "string", "Signal that asks the container to end", |a, v| {
        put(&mut a.process.stop_signal, v)
    }),
    Flag::<ContainerArgs>::value("stop-timeout", "int", "Seconds to wait before SIGKILL when stopping", |a, v| {
        int(v).map(|n| a.process.stop_timeout = Some(n))
    }),
    Flag::<ContainerArgs>::value("timeout", "uint", "Seconds the container may run before it is killed", |a, v| {
        v.parse().map(|n| a.process.timeout = n).map_err(|_| "not a number of seconds".to_owned())
    })
    .default("0"),
    Flag::<ContainerArgs>::switch("tty", "Allocate a terminal", |a, on| a.process.tty = on).short('t'),
    Flag::<ContainerArgs>::unsupported("use-api-socket", "", "Give the container the engine's socket and credentials"),
    Flag::<ContainerArgs>::value("user", "string", "User inside (name or number[:group])", |a, v| {
        put(&mut a.process.user, v)
    })
    .short('u'),
    Flag::<ContainerArgs>::value("workdir", "string", "Working directory inside", |a, v| {
        put(&mut a.process.working_dir, v)
    })
    .short('w'),
];

fn variable(text: &str) -> Result<String, env::PairError> {
    env::parse_variable(text, |name| std::env::var(name).ok())
}

fn pair(text: &str) -> Result<(String, String), String> {
    let found = text.split_once('=').filter(|(key, _)| !key.is_empty());
    let (key, value) = found.ok_or_else(|| format!("invalid annotation '{text}': expected KEY=VALUE"))?;
    Ok((key.to_owned(), value.to_owned()))
}

fn stream(list: &mut Vec<String>, text: &str) -> Result<(), String> {
    let lower = text.to_ascii_lowercase();
    match lower.as_str() {
        "stdin" | "stdout" | "stderr" => push(list, &lower),
        _ => Err("valid streams are STDIN, STDOUT and STDERR".to_owned()),
    }
}
