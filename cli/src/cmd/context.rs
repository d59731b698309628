//! `context …`: names of engines elsewhere, kept in a file of the user's.

use super::{Command, Context, Outcome, each, inspect};
use crate::args::context::{self as args, ContextArgs, RmArgs, ShowArgs};
use crate::args::{NO_FLAGS, NoArgs};
use crate::out;
use crate::out::failure::Failure;
use crate::out::list::{Column, Layout, Wish};
use gantry_client::{Address, Context as Entry, Contexts, Error, Files};
use serde_json::{Value, json};
use std::fs::File;
use std::path::PathBuf;

pub static CREATE: Command<ContextArgs> = Command { info: args::CREATE, flags: &[args::FLAGS], run: create };
pub static UPDATE: Command<ContextArgs> = Command { info: args::UPDATE, flags: &[args::FLAGS], run: update };
pub static USE: Command<NoArgs> = Command { info: args::USE, flags: &[NO_FLAGS], run: choose };
pub static LS: Command<ShowArgs> = Command { info: args::LS, flags: &[args::LS_FLAGS], run: list };
pub static SHOW: Command<NoArgs> = Command { info: args::SHOW, flags: &[NO_FLAGS], run: show };
pub static INSPECT: Command<ShowArgs> = Command { info: args::INSPECT, flags: &[args::INSPECT_FLAGS], run: look };
pub static RM: Command<RmArgs> = Command { info: args::RM, flags: &[args::RM_FLAGS], run: remove };

const LOCAL: &str = "default";
const COLUMNS: &[Column] =
    &[("Name", "NAME"), ("Description", "DESCRIPTION"), ("DockerEndpoint", "ENDPOINT"), ("Current", "CURRENT")];

fn said(error: Error) -> Failure {
    Failure::error(error.sentence())
}

fn file() -> Result<PathBuf, Failure> {
    let path = Contexts::path(&|name| std::env::var(name).ok());
    path.ok_or_else(|| Failure::error("contexts are kept below $HOME or $XDG_CONFIG_HOME, and neither is set"))
}

fn load() -> Result<Contexts, Failure> {
    Contexts::load(&file()?).map_err(said)
}

fn save(contexts: &Contexts) -> Result<(), Failure> {
    contexts.save(&file()?).map_err(said)
}

/// `host=ADDRESS,ca=FILE,…`.
fn endpoint(text: &str) -> Result<(String, Option<Files>), Failure> {
    let (mut host, mut files, mut tls) = (String::new(), Files::default(), false);
    for pair in text.split(',') {
        let (key, value) =
            pair.split_once('=').ok_or_else(|| Failure::error(format!("{pair:?}: expected KEY=VALUE in --docker")))?;
        let path = || crate::settings::absolute(value);
        match key {
            "host" => host = value.to_owned(),
            "ca" => files.ca = path(),
            "cert" => files.cert = Some(path()),
            "key" => files.key = Some(path()),
            _ => return Err(Failure::error(format!("{key:?} is unknown in --docker: known are host, ca, cert, key"))),
        }
        tls |= key != "host";
    }
    let address = Address::parse(&host).map_err(said)?;
    if tls && (files.ca.as_os_str().is_empty() || !matches!(address, Address::Tcp { .. })) {
        return Err(Failure::error("certificates are for tcp:// addresses, and ca is one of them"));
    }
    Ok((host, tls.then_some(files)))
}

/// Files that cannot be read would be noticed at the first connection only.
fn check(files: Option<&Files>) -> Result<(), Failure> {
    let named =
        files.into_iter().flat_map(|files| [Some(&files.ca), files.cert.as_ref(), files.key.as_ref()]).flatten();
    for path in named {
        File::open(path).map_err(|error| Failure::error(format!("cannot read {}: {error}", path.display())))?;
    }
    Ok(())
}

fn create(_: &Context, args: ContextArgs, names: Vec<String>) -> Outcome {
    let name = &names[0];
    Contexts::check_name(name).map_err(said)?;
    let mut contexts = load()?;
    if contexts.contexts.contains_key(name) {
        return Err(Failure::error(format!("context {name:?} already exists")));
    }
    let Some(docker) = args.docker else {
        return Err(Failure::error("where the engine is must be said: --docker host=ADDRESS"));
    };
    let (host, tls) = endpoint(&docker)?;
    check(tls.as_ref())?;
    let description = args.description.unwrap_or_default();
    contexts.contexts.insert(name.clone(), Entry { description, host, tls });
    save(&contexts)?;
    out::line(name).map(|()| 0)
}

fn update(_: &Context, args: ContextArgs, names: Vec<String>) -> Outcome {
    let name = &names[0];
    let mut contexts = load()?;
    let mut entry = contexts.find(name).map_err(said)?.clone();
    if let Some(docker) = args.docker {
        (entry.host, entry.tls) = endpoint(&docker)?;
        check(entry.tls.as_ref())?;
    }
    entry.description = args.description.unwrap_or(entry.description);
    contexts.contexts.insert(name.clone(), entry);
    save(&contexts)?;
    out::line(name).map(|()| 0)
}

fn choose(_: &Context, _: NoArgs, names: Vec<String>) -> Outcome {
    let mut contexts = load()?;
    if names[0] != LOCAL {
        contexts.find(&names[0]).map_err(said)?;
    }
    contexts.current.clone_from(&names[0]);
    save(&contexts)?;
    out::line(&names[0]).map(|()| 0)
}

/// The name by which the next command finds its engine.
fn current(context: &Context) -> Result<String, Failure> {
    let chosen = crate::remote::chosen(&context.globals)?;
    Ok(chosen.map_or_else(
        || LOCAL.to_owned(),
        |chosen| chosen.by.strip_prefix("context ").map_or_else(|| format!("({})", chosen.by), str::to_owned),
    ))
}

fn show(context: &Context, _: NoArgs, _: Vec<String>) -> Outcome {
    out::line(&current(context)?).map(|()| 0)
}

fn list(context: &Context, args: ShowArgs, _: Vec<String>) -> Outcome {
    let (contexts, current) = (load()?, current(context)?);
    let here = Entry { description: "The engine here".to_owned(), ..Entry::default() };
    let all = std::iter::once((LOCAL.to_owned(), here)).chain(contexts.contexts);
    let rows: Vec<(String, Entry)> = all.collect();
    let layout = Layout {
        columns: COLUMNS,
        default: &["Name", "Description", "DockerEndpoint"],
        quiet: "Name",
        cell: &|(name, entry): &(String, Entry), key| match key {
            "Name" if *name == current && args.format.is_none() && !args.quiet => format!("{name} *"),
            "Name" => name.clone(),
            "Description" => entry.description.clone(),
            "Current" => (*name == current).to_string(),
            _ => entry.host.clone(),
        },
        labels: None,
    };
    let wish = Wish { format: args.format.as_deref(), quiet: args.quiet };
    out::print(&layout.render(&rows, &wish)?).map(|()| 0)
}

fn look(context: &Context, args: ShowArgs, names: Vec<String>) -> Outcome {
    let contexts = load()?;
    let names = if names.is_empty() { vec![current(context)?] } else { names };
    let shape = inspect::shape(args.format.as_deref())?;
    inspect::print(&names, &shape, |name| match name {
        LOCAL => Ok(vec![shown(LOCAL, &Entry::default())]),
        name => contexts.find(name).map(|entry| vec![shown(name, entry)]).map_err(said),
    })
}

/// As Docker shows it, for scripts that read that.
fn shown(name: &str, entry: &Entry) -> Value {
    json!({
        "Name": name,
        "Metadata": { "Description": entry.description },
        "Endpoints": { "docker": { "Host": entry.host, "SkipTLSVerify": false } },
        "TLSMaterial": entry.tls,
    })
}

fn remove(_: &Context, args: RmArgs, names: Vec<String>) -> Outcome {
    let mut contexts = load()?;
    let code = each(&names, |name| {
        if name == contexts.current && !args.force {
            return Err(Failure::error(format!(
                "context {name:?} is in use, set another one with 'context use' first"
            )));
        }
        if name == contexts.current {
            contexts.current.clear();
        }
        match contexts.contexts.remove(name) {
            None if !args.force => Err(Failure::error(format!("context {name:?} does not exist"))),
            _ => Ok(Some(name.to_owned())),
        }
    })?;
    save(&contexts)?;
    Ok(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints() {
        assert_eq!(endpoint("host=ssh://me@h").unwrap(), ("ssh://me@h".to_owned(), None));
        let (_, tls) = endpoint("host=tcp://h:1,ca=/c,cert=/a,key=/k").unwrap();
        assert_eq!(tls.unwrap().key, Some("/k".into()));
        for wrong in ["ssh://h", "host=x", "host=ssh://h,ca=/c", "host=tcp://h,key=/k", "host=tcp://h,frob=1"] {
            assert!(endpoint(wrong).is_err(), "{wrong}");
        }
    }
}
