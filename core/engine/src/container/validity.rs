//! What is wrong with a container before anything of it is made, in Docker's words.

use crate::Engine;
use crate::error::{Error, Result};
use crate::network::wanted_ports;
use crate::spec;
use gantry_image::{Error as StoreError, Image};
use gantry_model::container::{Config, HostConfig, RestartPolicy};
use gantry_model::platform::Platform;
use gantry_model::restart;

/// Settings that exclude each other, and values that are none.
pub(super) fn check(config: &Config, host: &HostConfig) -> Result<()> {
    spec::check_resources(host)?;
    spec::check_capabilities(host)?;
    spec::check_options(host)?;
    check_extra_hosts(host)?;
    if host.uts_mode == "host" && !config.hostname.is_empty() {
        return Err(Error::invalid("conflicting options: hostname and the UTS mode"));
    }
    super::health::check(config, host)?;
    if host.auto_remove && !matches!(host.restart_policy.name.as_str(), "" | "no") {
        return Err(Error::invalid("Conflicting options: --restart and --rm"));
    }
    wanted_ports(config, host, &[])?;
    if let Some(signal) = &config.stop_signal {
        super::kill::parse_signal(signal)?;
    }
    let refuse = |message: String| Err(Error::invalid(message));
    let dir = &config.working_dir;
    if !dir.is_empty() && !dir.starts_with('/') {
        return refuse(format!("the working directory '{dir}' is invalid, it needs to be an absolute path"));
    }
    if let Some(entry) = config.env.iter().find(|entry| entry.is_empty() || entry.starts_with('=')) {
        return refuse(format!("invalid environment variable: {entry}"));
    }
    if !(-1000..=1000).contains(&host.oom_score_adj) {
        let value = host.oom_score_adj;
        return refuse(format!("Invalid value {value}, range for oom score adj is [-1000, 1000]"));
    }
    if host.shm_size < 0 {
        return refuse("SHM size can not be less than 0".to_owned());
    }
    match host.isolation.as_str() {
        "" | "default" => Ok(()),
        other => refuse(format!("invalid isolation: \"{other}\" - linux only supports 'default'")),
    }
}

/// `NAME:ADDRESS` or `NAME=ADDRESS`; the start reads the address.
fn check_extra_hosts(host: &HostConfig) -> Result<()> {
    match host.extra_hosts.iter().flatten().find(|entry| !entry.contains([':', '='])) {
        Some(entry) => Err(Error::invalid(format!("bad format for add-host: \"{entry}\""))),
        None => Ok(()),
    }
}

/// The restart policies there are.
pub(super) fn check_policy(policy: &RestartPolicy) -> Result<()> {
    restart::check(policy).map_err(|error| Error::invalid(error.to_string()))
}

/// An image for other machines is none, so that the right one is fetched.
pub(super) fn check_platform(wanted: &str, name: &str, image: &Image) -> Result<()> {
    let wanted = Platform::parse(wanted).map_err(|error| Error::invalid(error.to_string()))?;
    // Images do not always tell their variant.
    let any = Platform { variant: String::new(), ..wanted.clone() };
    if image.architecture.is_empty() || any.accepts(&image.os, &image.architecture, "") {
        return Ok(());
    }
    let actual = format!("{}/{}", image.os, image.architecture);
    Err(StoreError::OtherPlatform { name: name.to_owned(), wanted: wanted.to_string(), actual }.into())
}

impl Engine {
    /// The containers that are named exist: those whose namespaces are shared, and on the predefined network those that
    /// it is linked to.
    pub(super) fn check_others(&self, host: &HostConfig) -> Result<()> {
        let mut modes = [&host.pid_mode, &host.ipc_mode].into_iter().filter_map(|mode| mode.strip_prefix("container:"));
        modes.try_for_each(|other| self.resolve(other).map(drop))?;
        self.check_links(host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused() {
        type Spoil = fn(&mut Config, &mut HostConfig);
        let cases: [(Spoil, &str); 10] = [
            (|config, _| config.env = vec!["A=b".into(), "=x".into()], "invalid environment variable: =x"),
            (|config, _| config.working_dir = "x".into(), "absolute path"),
            (|_, host| host.shm_size = -1, "SHM size"),
            (|_, host| host.oom_score_adj = 1001, "range for oom score adj"),
            (|_, host| host.extra_hosts = Some(vec!["x".into()]), "bad format for add-host"),
            (|_, host| host.security_opt = Some(vec!["frob".into()]), "invalid --security-opt"),
            (|_, host| host.isolation = "hyperv".into(), "only supports 'default'"),
            (|_, host| host.cap_add = Some(vec!["ALL".into(), "FROB".into()]), "unknown capability"),
            (
                |_, host| drop(host.port_bindings.insert("x".into(), Some(vec![Default::default()]))),
                "invalid containerPort",
            ),
            (|_, host| drop(host.port_bindings.insert("y".into(), None)), "invalid containerPort: y"),
        ];
        assert!(check(&Config::default(), &HostConfig { privileged: true, ..HostConfig::default() }).is_ok());
        for (spoil, text) in cases {
            let (mut config, mut host) = (Config::default(), HostConfig { privileged: true, ..HostConfig::default() });
            spoil(&mut config, &mut host);
            let error = check(&config, &host).expect_err(text).to_string();
            assert!(error.contains(text), "{text}: {error}");
        }
        let policy = RestartPolicy { name: "frob".into(), ..RestartPolicy::default() };
        assert!(check_policy(&policy).expect_err("no policy").to_string().contains("unknown policy"));
    }
}
