//! The process: arguments, environment, user, directory, limits.

use super::Parts;
use crate::error::{Error, Result};
use gantry_model::container::{Config, Ulimit};
use oci_spec::runtime::{PosixRlimit, PosixRlimitBuilder, PosixRlimitType, Process, Spec};
use std::collections::BTreeMap;

const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

pub(super) fn apply(spec: &mut Spec, parts: &Parts<'_>) -> Result<()> {
    let config = parts.config;
    let Some(process) = spec.process_mut() else { return Ok(()) };
    process.set_terminal(Some(config.tty));
    process.set_args(Some(arguments(config)));
    process.set_env(Some(environment(config)));
    process.set_cwd(if config.working_dir.is_empty() { "/".into() } else { config.working_dir.clone().into() });
    if parts.host.oom_score_adj != 0 {
        process.set_oom_score_adj(i32::try_from(parts.host.oom_score_adj).ok());
    }
    user(process, config);
    let limits = parts.host.ulimits.iter().map(rlimit).collect::<Result<Vec<_>>>()?;
    if !limits.is_empty() {
        process.set_rlimits(Some(limits));
    }
    Ok(())
}

/// Entrypoint and command as one list.
pub(crate) fn arguments(config: &Config) -> Vec<String> {
    let entrypoint = config.entrypoint.iter().flatten();
    entrypoint.chain(config.cmd.iter().flatten()).cloned().collect()
}

/// Docker's order: PATH, HOSTNAME, TERM, then the image's and the user's; a later value of a name wins in place.
pub(crate) fn environment(config: &Config) -> Vec<String> {
    let mut order: Vec<String> = Vec::new();
    let mut values: BTreeMap<String, String> = BTreeMap::new();
    let mut defaults = vec![PATH.to_owned(), format!("HOSTNAME={}", config.hostname)];
    if config.tty {
        defaults.push("TERM=xterm".to_owned());
    }
    for pair in defaults.iter().chain(&config.env) {
        let Some((key, _)) = pair.split_once('=') else {
            values.remove(pair);
            order.retain(|k| k != pair);
            continue;
        };
        if values.insert(key.to_owned(), pair.clone()).is_none() {
            order.push(key.to_owned());
        }
    }
    order.iter().filter_map(|k| values.remove(k)).collect()
}

/// Names are looked up inside the image by the runtime, so the text goes there as it is; none means root, whose groups
/// are looked up as well.
fn user(process: &mut Process, config: &Config) {
    let mut user = process.user().clone();
    user.set_username(Some(config.user.clone()));
    process.set_user(user);
}

fn rlimit(limit: &Ulimit) -> Result<PosixRlimit> {
    let kind =
        rlimit_type(&limit.name).ok_or_else(|| Error::invalid(format!("invalid ulimit type: {}", limit.name)))?;
    let value = |v: i64| if v < 0 { u64::MAX } else { v as u64 };
    PosixRlimitBuilder::default()
        .typ(kind)
        .hard(value(limit.hard))
        .soft(value(limit.soft))
        .build()
        .map_err(|e| Error::invalid(format!("invalid ulimit {}: {e}", limit.name)))
}

fn rlimit_type(name: &str) -> Option<PosixRlimitType> {
    use PosixRlimitType as T;
    Some(match name {
        "core" => T::RlimitCore,
        "cpu" => T::RlimitCpu,
        "data" => T::RlimitData,
        "fsize" => T::RlimitFsize,
        "locks" => T::RlimitLocks,
        "memlock" => T::RlimitMemlock,
        "msgqueue" => T::RlimitMsgqueue,
        "nice" => T::RlimitNice,
        "nofile" => T::RlimitNofile,
        "nproc" => T::RlimitNproc,
        "rss" => T::RlimitRss,
        "rtprio" => T::RlimitRtprio,
        "rttime" => T::RlimitRttime,
        "sigpending" => T::RlimitSigpending,
        "stack" => T::RlimitStack,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_values_win_and_bare_names_unset() {
        let env = ["A=1", "PATH=/x", "A=2", "HOSTNAME"].map(str::to_owned).to_vec();
        let config = Config { env, hostname: "h".into(), ..Config::default() };
        assert_eq!(environment(&config), ["PATH=/x", "A=2"]);
    }
}
