//! Which engine a command means. Whoever says nothing means the engine here; what was said, from strongest to weakest:
//! `--host` or `--context`, options that only make sense here (such as `--root`), `GANTRY_HOST`, `GANTRY_CONTEXT`, the
//! current context, and at last `DOCKER_HOST`.
//!
//! `DOCKER_HOST` was meant for another program, so it counts for the least: only an engine on another machine (tcp, ssh)
//! is taken from it, since a socket of this machine under that name is Docker's own. Whoever follows it says so.

use crate::address::Address;
use crate::contexts::{Contexts, LOCAL};
use crate::error::{Error, Result};
use crate::line::Target;
use crate::tls::Files;
use std::path::{Path, PathBuf};

/// What was typed.
#[derive(Clone, Debug, Default)]
pub struct Given {
    pub host: Option<String>,
    pub context: Option<String>,
    /// An option that is about the engine here, by name.
    pub local: Option<&'static str>,
    pub ca: Option<PathBuf>,
    pub cert: Option<PathBuf>,
    pub key: Option<PathBuf>,
    /// `--tlsverify`.
    pub tls: bool,
}

/// An engine elsewhere, and why it is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    pub target: Target,
    /// `--host`, `context prod`, `DOCKER_HOST`.
    pub by: String,
}

/// Decides; `None` is the engine here.
pub fn choose(given: &Given, variable: &dyn Fn(&str) -> Option<String>) -> Result<Option<Chosen>> {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty());
    if let (Some(_), Some(_)) = (&given.host, &given.context) {
        return Err(Error::Choice("conflicting options: cannot specify both --host and --context".to_owned()));
    }
    if let Some(name) = given.local {
        let said = [("--host", &given.host), ("--context", &given.context)].into_iter().find(|(_, v)| v.is_some());
        return match said {
            Some((flag, Some(value))) if !is_local(value) => {
                Err(Error::Choice(format!("--{name} is about the engine here, {flag} about one elsewhere")))
            }
            _ => Ok(None),
        };
    }
    if let Some(host) = &given.host {
        return at(host, "--host", tls_of(given, None)?);
    }
    let contexts = || Contexts::path(variable).map_or_else(|| Ok(Contexts::default()), |path| Contexts::load(&path));
    if let Some(name) = &given.context {
        return in_context(&contexts()?, name);
    }
    if let Some(host) = set("GANTRY_HOST") {
        return at(&host, "GANTRY_HOST", tls_of(given, set("GANTRY_CERT_PATH"))?);
    }
    if let Some(name) = set("GANTRY_CONTEXT") {
        return in_context(&contexts()?, &name);
    }
    let contexts = contexts()?;
    if !contexts.current.is_empty() {
        return in_context(&contexts, &contexts.current);
    }
    dockers(&set, given)
}

fn is_local(text: &str) -> bool {
    matches!(text, "" | "local" | LOCAL)
}

fn at(host: &str, by: &str, tls: Option<Files>) -> Result<Option<Chosen>> {
    if is_local(host) {
        return Ok(None);
    }
    let address = Address::parse(host)?;
    if tls.is_some() && !matches!(address, Address::Tcp { .. }) {
        return Err(Error::Choice(format!("TLS is for tcp:// addresses, not for {address}")));
    }
    Ok(Some(Chosen { target: Target { address, tls }, by: by.to_owned() }))
}

fn in_context(contexts: &Contexts, name: &str) -> Result<Option<Chosen>> {
    if is_local(name) {
        return Ok(None);
    }
    let target = contexts.find(name)?.target()?;
    Ok(Some(Chosen { target, by: format!("context {name}") }))
}

fn tls_of(given: &Given, dir: Option<String>) -> Result<Option<Files>> {
    if let Some(ca) = &given.ca {
        return Ok(Some(Files { ca: ca.clone(), cert: given.cert.clone(), key: given.key.clone() }));
    }
    if let Some(dir) = dir {
        return Ok(Some(Files::of(Path::new(&dir))));
    }
    match given.tls || given.cert.is_some() || given.key.is_some() {
        true => Err(Error::Choice("TLS needs the authority's certificate (--tlscacert)".to_owned())),
        false => Ok(None),
    }
}

fn dockers(set: &dyn Fn(&str) -> Option<String>, given: &Given) -> Result<Option<Chosen>> {
    let Some(host) = set("DOCKER_HOST") else { return Ok(None) };
    match Address::parse(&host) {
        Ok(Address::Tcp { .. } | Address::Ssh { .. }) => {}
        _ => return Ok(None),
    }
    let wants_tls = set("DOCKER_TLS_VERIFY").is_some() || set("DOCKER_TLS").is_some();
    let home = || set("HOME").map(|home| format!("{home}/.docker"));
    let dir = if wants_tls { set("DOCKER_CERT_PATH").or_else(home) } else { None };
    at(&host, "DOCKER_HOST", tls_of(given, dir.filter(|_| host.starts_with("tcp")))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(given: &Given, variables: &[(&str, &str)]) -> std::result::Result<String, String> {
        let variable = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned());
        let chosen = choose(given, &variable).map_err(|error| error.sentence())?;
        Ok(chosen.map_or_else(|| "here".to_owned(), |chosen| format!("{} by {}", chosen.target.address, chosen.by)))
    }

    #[test]
    fn the_strongest_word_counts() {
        let dir = tempfile::tempdir().expect("a directory");
        let home = dir.path().to_string_lossy().into_owned();
        let mut contexts = Contexts { current: "prod".into(), ..Contexts::default() };
        let prod = crate::Context { host: "tcp://prod:1".into(), ..crate::Context::default() };
        contexts.contexts.insert("prod".into(), prod);
        contexts.save(&dir.path().join("gantry/contexts.json")).expect("written");
        let with = |host: &str| Given { host: Some(host.into()), ..Given::default() };
        let nothing = Given::default();
        let docker = ("DOCKER_HOST", "tcp://docker:1");
        let here = ("XDG_CONFIG_HOME", home.as_str());
        for (given, variables, want) in [
            (&nothing, vec![], "here"),
            (&nothing, vec![docker], "tcp://docker:1 by DOCKER_HOST"),
            (&nothing, vec![("DOCKER_HOST", "unix:///run/docker.sock")], "here"),
            (&nothing, vec![("DOCKER_HOST", "nonsense")], "here"),
            (&nothing, vec![docker, here], "tcp://prod:1 by context prod"),
            (&nothing, vec![docker, here, ("GANTRY_CONTEXT", "default")], "here"),
            (&nothing, vec![docker, ("GANTRY_HOST", "local")], "here"),
            (&nothing, vec![docker, here, ("GANTRY_HOST", "ssh://h")], "ssh://h by GANTRY_HOST"),
            (&with("unix:///x"), vec![docker, here], "unix:///x by --host"),
            (&with("default"), vec![docker, here], "here"),
            (&Given { local: Some("root"), ..Given::default() }, vec![docker, here], "here"),
            (&Given { context: Some("prod".into()), ..Given::default() }, vec![here], "tcp://prod:1 by context prod"),
        ] {
            assert_eq!(chosen(given, &variables).as_deref(), Ok(want), "{given:?} {variables:?}");
        }
        for (given, words) in [
            (Given { context: Some("x".into()), ..with("tcp://x") }, "both"),
            (Given { local: Some("root"), ..with("tcp://x") }, "--root"),
            (Given { context: Some("nosuch".into()), ..Given::default() }, "does not exist"),
            (Given { tls: true, ..with("tcp://x") }, "--tlscacert"),
            (Given { ca: Some("/ca".into()), ..with("ssh://x") }, "tcp://"),
            (with("frob"), "expected unix://"),
        ] {
            let error = chosen(&given, &[]).expect_err(words);
            assert!(error.contains(words), "{given:?}: {error}");
        }
    }
}
