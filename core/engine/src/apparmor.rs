//! AppArmor: which profile a container's processes get, and the default one, which the kernel forgets at each boot.
//!
//! A profile is text that only `apparmor_parser` can turn into what the kernel takes. It is executed once in a boot, by the
//! first start that wants the profile; a file in the state directory remembers that.

use crate::error::{Error, Result};
use gantry_model::container::HostConfig;
use gantry_sys::userns::is_inner;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The name of our own profile.
pub(crate) const DEFAULT: &str = "gantry-default";
const PROFILE: &str = include_str!("apparmor.profile");
/// Where the kernel shows what is loaded; missing where AppArmor is off.
const LOADED: &str = "/sys/kernel/security/apparmor/profiles";
const PARSERS: [&str; 3] = ["/usr/sbin/apparmor_parser", "/sbin/apparmor_parser", "/usr/bin/apparmor_parser"];

/// What was asked for.
#[derive(Debug, PartialEq, Eq)]
enum Asked<'a> {
    Nothing,
    Unconfined,
    Profile(&'a str),
}

/// True when this kernel confines by profiles.
pub(crate) fn is_on() -> bool {
    Path::new(LOADED).exists()
}

/// The last word of `--security-opt apparmor=…`; a privileged container is unconfined unless told otherwise, as in Docker.
fn asked(host: &HostConfig) -> Asked<'_> {
    let options = host.security_opt.iter().flatten().rev();
    let given = options.filter_map(|option| option.split_once(['=', ':'])).find(|(key, _)| *key == "apparmor");
    match given {
        Some((_, "unconfined")) => Asked::Unconfined,
        Some((_, profile)) => Asked::Profile(profile),
        None if host.privileged => Asked::Unconfined,
        None => Asked::Nothing,
    }
}

/// The profile of a container's processes. `state` is where a boot's facts are kept.
pub(crate) fn profile(host: &HostConfig, state: &Path) -> Result<Option<String>> {
    if !is_on() {
        return Ok(None);
    }
    match asked(host) {
        Asked::Unconfined => Ok(None),
        Asked::Nothing => Ok(load_default(state)?.then(|| DEFAULT.to_owned())),
        Asked::Profile(DEFAULT) if !is_inner() && !load_default(state)? => {
            Err(Error::invalid("AppArmor profile gantry-default: apparmor_parser is not installed"))
        }
        Asked::Profile(name) if is_loaded(name) => Ok(Some(name.to_owned())),
        Asked::Profile(name) => {
            let hint = "load it with apparmor_parser; aa-status lists what is loaded";
            Err(Error::invalid(format!("AppArmor profile {name} is not loaded: {hint}")))
        }
    }
}

/// What `inspect` shows; nothing is loaded for that.
pub(crate) fn shown(host: &HostConfig, state: &Path) -> String {
    match asked(host) {
        _ if !is_on() => String::new(),
        Asked::Unconfined => "unconfined".to_owned(),
        Asked::Profile(name) => name.to_owned(),
        Asked::Nothing if marker(state).exists() => DEFAULT.to_owned(),
        Asked::Nothing => String::new(),
    }
}

/// Lines of `NAME (MODE)`. A list that cannot be read refuses nothing: the kernel will.
fn is_loaded(name: &str) -> bool {
    let Ok(list) = fs::read_to_string(LOADED) else { return true };
    list.lines().any(|line| line.rsplit_once(" (").is_some_and(|(loaded, _)| loaded == name))
}

fn marker(state: &Path) -> PathBuf {
    state.join("apparmor")
}

/// False where nobody can load it: such a host confines nobody by default, as with Docker. An ordinary user may load none.
fn load_default(state: &Path) -> Result<bool> {
    if is_inner() {
        return Ok(false);
    }
    if marker(state).exists() {
        return Ok(true);
    }
    let Some(parser) = PARSERS.iter().find(|parser| Path::new(parser).exists()) else { return Ok(false) };
    load(parser).map_err(|cause| Error::invalid(format!("cannot load AppArmor profile {DEFAULT}: {cause}")))?;
    fs::write(marker(state), DEFAULT).map_err(Error::io("note the AppArmor profile"))?;
    Ok(true)
}

/// Replaces what is loaded under the name: it may be an older version's.
fn load(parser: &str) -> std::io::Result<()> {
    let mut command = Command::new(parser);
    command.args(["--skip-cache", "--replace"]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    if let Some(mut input) = child.stdin.take() {
        input.write_all(PROFILE.as_bytes())?;
    }
    let output = child.wait_with_output()?;
    match output.status.success() {
        true => Ok(()),
        false => Err(std::io::Error::other(String::from_utf8_lossy(&output.stderr).trim().to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(options: &[&str], privileged: bool) -> HostConfig {
        let security_opt = Some(options.iter().map(|option| (*option).to_owned()).collect());
        HostConfig { security_opt, privileged, ..HostConfig::default() }
    }

    #[test]
    fn the_last_word_counts() {
        assert_eq!(asked(&host(&[], false)), Asked::Nothing);
        assert_eq!(asked(&host(&[], true)), Asked::Unconfined);
        assert_eq!(asked(&host(&["apparmor=one", "seccomp=unconfined", "apparmor:two"], true)), Asked::Profile("two"));
        assert_eq!(asked(&host(&["apparmor=one", "apparmor=unconfined"], false)), Asked::Unconfined);
    }

    #[test]
    fn the_profile_is_named_as_the_code_names_it() {
        assert!(PROFILE.contains(&format!("profile {DEFAULT} ")));
    }
}
