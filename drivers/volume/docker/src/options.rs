//! What a user may choose; all further options are the plugin's.

use crate::error::{Error, Result};
use crate::places::Address;
use gantry_plugin_api::options::{OptionKind, OptionSpec, Options};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

const PLUGIN: &str = "plugin";
const ADDRESS: &str = "plugin-address";
const TIMEOUT: &str = "plugin-timeout";
/// Calls of the engine end after ten seconds, unless its configuration says otherwise.
const PATIENCE: Duration = Duration::from_secs(9);

/// The schema.
pub const OPTIONS: &[OptionSpec] = &[
    OptionSpec::string(
        PLUGIN,
        "Name of the plugin, as in Docker's --volume-driver; without it the name under which this driver is installed",
    ),
    OptionSpec::string(
        ADDRESS,
        "Where the plugin listens (unix:///PATH or tcp://HOST:PORT), when it is not in Docker's directories of plugins",
    ),
    OptionSpec::new(
        TIMEOUT,
        OptionKind::DURATION,
        "How long one answer may take; more than 9s needs a longer [plugins] deadline, too",
    )
    .default("9s"),
    OptionSpec::rest("Any other option is handed to the plugin"),
];

/// What a volume was made with, as stored beside it.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Choice {
    /// As given; empty: the driver's own name.
    pub plugin: String,
    pub address: String,
    pub timeout_ms: u64,
    /// For the plugin.
    pub options: BTreeMap<String, String>,
}

impl Choice {
    /// Checks what was given. No I/O.
    pub fn parse(options: &Options) -> Result<Choice> {
        let timeout = options.duration(TIMEOUT).ok().flatten().filter(|time| !time.is_zero()).unwrap_or(PATIENCE);
        let address = options.text(ADDRESS);
        if !address.is_empty() {
            Address::parse(address).map_err(|reason| Error::Address { text: address.to_owned(), reason })?;
        }
        let rest = options.iter().filter(|(key, _)| ![PLUGIN, ADDRESS, TIMEOUT].contains(key));
        let choice = Choice {
            plugin: options.text(PLUGIN).to_owned(),
            address: address.to_owned(),
            timeout_ms: u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX),
            options: rest.map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
        };
        if choice.plugin.is_empty() { Ok(choice) } else { check_name(&choice.plugin).map(|()| choice) }
    }

    /// How long one answer may take.
    pub fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms)
    }
}

/// A plugin's name is a file's name. What has a slash is a plugin that Docker itself runs in a container.
pub fn check_name(name: &str) -> Result<()> {
    let odd = |c: char| !c.is_ascii_alphanumeric() && !"_.-".contains(c);
    let first = name.starts_with(|c: char| c.is_ascii_alphanumeric());
    if name.contains(['/', ':']) {
        return Err(Error::Managed(name.to_owned()));
    }
    if first && !name.contains(odd) { Ok(()) } else { Err(Error::Name(name.to_owned())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(pairs: &[(&str, &str)]) -> Result<Choice, String> {
        Choice::parse(&Options::from_pairs(pairs.iter().copied())).map_err(|error| error.to_string())
    }

    #[test]
    fn own_options_and_the_plugin_s() {
        let choice = parse(&[("plugin", "rexray"), ("size", "10"), ("plugin-timeout", "90s"), ("o", "a=b")]).unwrap();
        assert_eq!((choice.plugin.as_str(), choice.timeout()), ("rexray", Duration::from_secs(90)));
        assert_eq!(choice.options, BTreeMap::from([("o".into(), "a=b".into()), ("size".into(), "10".into())]));
    }

    #[test]
    fn wrong_values_are_told() {
        for (key, value, want) in [
            ("plugin", "vieux/sshfs", "run by Docker"),
            ("plugin", "sshfs:latest", "run by Docker"),
            ("plugin", "..", "not a name"),
            ("plugin-address", "/run/x.sock", "unix:///"),
            ("plugin-address", "http://h", "port"),
        ] {
            let error = parse(&[(key, value)]).unwrap_err();
            assert!(error.contains(want), "{key}={value}: {error}");
        }
    }
}
