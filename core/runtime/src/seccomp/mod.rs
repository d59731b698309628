//! System call filters: from an OCI profile, or from our default one, to a BPF program.

mod arch;
mod cache;
mod compile;
mod default;
mod profile;
mod tables {
    pub(crate) mod aarch64;
    pub(crate) mod i386;
    pub(crate) mod x32;
    pub(crate) mod x86_64;
}

use crate::caps;
use crate::error::Error;
use crate::init::steps::seccomp::Seccomp as Step;
use oci_spec::runtime::{Capabilities, LinuxSeccomp};
use profile::Profile;
use std::path::Path;

/// Which filter a container gets.
#[derive(Clone, Copy, Debug)]
pub enum Seccomp<'a> {
    /// The built-in profile: what Docker allows by default, depending on the capabilities.
    Default,
    /// No filter.
    Unconfined,
    Profile(&'a LinuxSeccomp),
}

/// The built-in profile as others read it, for a container with these capabilities.
pub fn default_profile(capabilities: &Capabilities) -> Result<LinuxSeccomp, Error> {
    default::profile(caps::mask(Some(capabilities))).to_oci()
}

/// The step that installs the filter, or none. `capabilities` are those of the bounding set.
pub(crate) fn step(
    seccomp: Seccomp<'_>,
    capabilities: u64,
    no_new_privileges: bool,
    cache_dir: Option<&Path>,
) -> Result<Option<Step>, Error> {
    let (key, profile): (_, Box<dyn Fn() -> Result<Profile, Error>>) = match seccomp {
        Seccomp::Unconfined => return Ok(None),
        Seccomp::Default => {
            let relevant = capabilities & default::relevant_capabilities();
            let key = cache::key("default", &relevant.to_le_bytes());
            (key, Box::new(move || Ok(default::profile(relevant))))
        }
        Seccomp::Profile(given) => {
            let key = cache::key("profile", format!("{given:?}").as_bytes());
            (key, Box::new(move || Profile::from_oci(given)))
        }
    };
    let flags = match seccomp {
        Seccomp::Profile(given) => profile::flags(given),
        _ => 0,
    };
    let make = || profile().and_then(|profile| compile::compile(&profile));
    let program = match cache_dir {
        Some(directory) => cache::get_or_make(directory, &key, make)?,
        None => make()?,
    };
    Ok(Some(Step { program, flags, needs_admin: !no_new_privileges }))
}

#[cfg(test)]
mod tests;
