//! What a user may choose.

use gantry_plugin_api::error::{Error, Result};
use gantry_plugin_api::network::NetworkSpec;
use gantry_plugin_api::options::{OptionKind, OptionSpec, Scope};
use std::fmt;
use std::path::{Path, PathBuf};

/// The schema.
pub const OPTIONS: &[OptionSpec] = &[
    OptionSpec::choice("program", "auto,pasta,slirp4netns", "Which program; auto: pasta, else slirp4netns")
        .default("auto"),
    OptionSpec::int("mtu", "The largest packet").default("65520"),
    OptionSpec::new("ifname", OptionKind::IFNAME, "Name of the interface in the container").scope(Scope::ENDPOINT),
];

/// Searched after the caller's own PATH: what the engine starts for itself may have none.
const PLACES: [&str; 4] = ["/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin"];

/// A program that does the work.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Program {
    Pasta,
    Slirp,
}

impl Program {
    pub fn name(self) -> &'static str {
        match self {
            Program::Pasta => "pasta",
            Program::Slirp => "slirp4netns",
        }
    }

    /// Where it is, if it is installed.
    pub fn find(self) -> Option<PathBuf> {
        let search = std::env::var_os("PATH").unwrap_or_default();
        let own = std::env::split_paths(&search).filter(|place| place.is_absolute()).collect::<Vec<_>>();
        let all = own.into_iter().chain(PLACES.map(PathBuf::from));
        all.map(|place| place.join(self.name())).find(|path| is_program(path))
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

fn is_program(path: &Path) -> bool {
    nix::unistd::access(path, nix::unistd::AccessFlags::X_OK).is_ok() && path.is_file()
}

/// The options of a network, understood.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settings {
    pub programs: Vec<Program>,
    pub mtu: i64,
}

impl Settings {
    /// Parses the options. No I/O.
    pub fn of(network: &NetworkSpec) -> Result<Settings> {
        let options = &network.options;
        let programs = match options.text("program") {
            "pasta" => vec![Program::Pasta],
            "slirp4netns" => vec![Program::Slirp],
            "auto" | "" => vec![Program::Pasta, Program::Slirp],
            other => return Err(refused("program", other, "expected auto, pasta or slirp4netns")),
        };
        let mtu = options.int("mtu")?.unwrap_or(65_520);
        if !(1280..=65_520).contains(&mtu) {
            return Err(refused("mtu", &mtu.to_string(), "expected 1280 to 65520"));
        }
        Ok(Settings { programs, mtu })
    }
}

fn refused(key: &str, value: &str, reason: &str) -> Error {
    Error::invalid(format!("invalid network option \"{key}={value}\" for network driver \"user\": {reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use gantry_plugin_api::options::Options;

    fn of(pairs: &[(&str, &str)]) -> Result<Settings, String> {
        let options = Options::from_pairs(pairs.iter().copied());
        Settings::of(&NetworkSpec { options, ..NetworkSpec::default() }).map_err(|error| error.to_string())
    }

    #[test]
    fn what_can_be_chosen() {
        let auto = Settings { programs: vec![Program::Pasta, Program::Slirp], mtu: 65_520 };
        assert_eq!(of(&[]), Ok(auto.clone()));
        assert_eq!(of(&[("program", "auto")]), Ok(auto));
        let one = of(&[("program", "slirp4netns"), ("mtu", "1500")]);
        assert_eq!(one, Ok(Settings { programs: vec![Program::Slirp], mtu: 1500 }));
        for (key, value, want) in [("program", "qemu", "expected auto"), ("mtu", "9", "1280 to"), ("mtu", "x", "mtu")] {
            let error = of(&[(key, value)]).unwrap_err();
            assert!(error.contains(want), "{error}");
        }
    }
}
