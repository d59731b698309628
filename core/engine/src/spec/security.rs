//! Capabilities, seccomp, no-new-privileges, masked paths, devices, and what `--privileged` switches off.

use super::Parts;
use crate::error::{Error, Result};
use gantry_model::container::HostConfig;
use oci_spec::runtime::{Capabilities, Capability, LinuxCapabilitiesBuilder, LinuxSeccomp, Spec};
use std::str::FromStr;

/// The seccomp filter asked for.
pub(crate) enum SeccompChoice {
    /// The default profile.
    Default,
    /// None.
    Unconfined,
    /// A profile of the user's.
    Profile(Box<LinuxSeccomp>),
}

/// Reads `--security-opt seccomp=…`; `--privileged` means none.
pub(crate) fn seccomp_choice(host: &HostConfig) -> Result<SeccompChoice> {
    let given = host.security_opt.iter().flatten().rev();
    let given = given.filter_map(|o| o.split_once(['=', ':'])).find(|(key, _)| *key == "seccomp");
    match given {
        Some((_, "unconfined")) => Ok(SeccompChoice::Unconfined),
        Some((_, "builtin")) => Ok(SeccompChoice::Default),
        Some((_, profile)) => parse_profile(profile).map(|p| SeccompChoice::Profile(Box::new(p))),
        None if host.privileged => Ok(SeccompChoice::Unconfined),
        None => Ok(SeccompChoice::Default),
    }
}

/// The command line sends the profile's text; a path is read here for programs that use the engine as a library.
fn parse_profile(text: &str) -> Result<LinuxSeccomp> {
    let json = if text.trim_start().starts_with('{') {
        text.to_owned()
    } else {
        let act = format!("opening seccomp profile ({text}) failed");
        std::fs::read_to_string(text).map_err(|e| Error::invalid(format!("{act}: {e}")))?
    };
    serde_json::from_str(&json).map_err(|e| Error::invalid(format!("decoding seccomp profile failed: {e}")))
}

pub(super) fn apply(spec: &mut Spec, parts: &Parts<'_>) -> Result<()> {
    let host = parts.host;
    let capabilities = capabilities(spec, host)?;
    if let Some(process) = spec.process_mut() {
        process.set_no_new_privileges(Some(no_new_privileges(host)?));
        let set = LinuxCapabilitiesBuilder::default()
            .bounding(capabilities.clone())
            .effective(capabilities.clone())
            .permitted(capabilities)
            .inheritable(Capabilities::new())
            .ambient(Capabilities::new())
            .build()
            .map_err(|e| Error::invalid(format!("invalid capabilities: {e}")))?;
        process.set_capabilities(Some(set));
    }
    if host.privileged {
        unmask(spec);
    }
    paths(spec, host);
    super::devices::apply(spec, host)
}

fn paths(spec: &mut Spec, host: &HostConfig) {
    let Some(linux) = spec.linux_mut() else { return };
    if let Some(masked) = &host.masked_paths {
        linux.set_masked_paths(Some(masked.clone()));
    }
    if let Some(readonly) = &host.readonly_paths {
        linux.set_readonly_paths(Some(readonly.clone()));
    }
    let all = host.security_opt.iter().flatten().any(|o| o == "systempaths=unconfined");
    if all {
        linux.set_masked_paths(None).set_readonly_paths(None);
    }
}

fn unmask(spec: &mut Spec) {
    if let Some(linux) = spec.linux_mut() {
        linux.set_masked_paths(None).set_readonly_paths(None);
    }
    for mount in spec.mounts_mut().iter_mut().flatten() {
        let options: Vec<String> = mount.options().iter().flatten().filter(|o| *o != "ro").cloned().collect();
        if matches!(mount.typ().as_deref(), Some("sysfs" | "cgroup" | "cgroup2")) {
            mount.set_options(Some(options));
        }
    }
}

/// Refuses security options that nobody knows.
pub(crate) fn check_options(host: &HostConfig) -> Result<()> {
    no_new_privileges(host).map(drop)
}

fn no_new_privileges(host: &HostConfig) -> Result<bool> {
    let mut wanted = false;
    for option in host.security_opt.iter().flatten() {
        let (key, value) = option.split_once(['=', ':']).unwrap_or((option, ""));
        match (key, value) {
            ("no-new-privileges", "" | "true") => wanted = true,
            ("no-new-privileges", "false") => wanted = false,
            ("systempaths", "unconfined") | ("apparmor" | "seccomp" | "label", _) => {}
            _ => return Err(Error::invalid(format!("invalid --security-opt 2: \"{option}\""))),
        }
    }
    Ok(wanted)
}

/// What was asked for and means nothing to this kernel is told.
pub(crate) fn labels(host: &HostConfig) -> Result<Vec<String>> {
    crate::selinux::check(host)?;
    let mut warnings = crate::selinux::without_effect(host);
    if !crate::apparmor::is_on() {
        let options =
            host.security_opt.iter().flatten().filter_map(|option| Some((option, option.split_once(['=', ':'])?)));
        let asked = options.filter(|(_, (key, profile))| *key == "apparmor" && *profile != "unconfined");
        warnings.extend(
            asked.map(|(option, _)| format!("--security-opt {option} has no effect: this kernel has no AppArmor")),
        );
    }
    Ok(warnings)
}

fn capabilities(spec: &Spec, host: &HostConfig) -> Result<Capabilities> {
    let default = spec.process().as_ref().and_then(|p| p.capabilities().as_ref()).and_then(|c| c.bounding().clone());
    let mut set = if host.privileged { all_capabilities() } else { default.unwrap_or_default() };
    let add = host.cap_add.iter().flatten();
    let drop = host.cap_drop.iter().flatten();
    if drop.clone().any(|c| is_all(c)) {
        set = Capabilities::new();
    }
    if add.clone().any(|c| is_all(c)) {
        set = all_capabilities();
    }
    for name in drop.filter(|c| !is_all(c)) {
        set.remove(&parse_capability("CapDrop", name)?);
    }
    for name in add.filter(|c| !is_all(c)) {
        set.insert(parse_capability("CapAdd", name)?);
    }
    Ok(set)
}

/// The names of capabilities that are added and dropped.
pub(crate) fn check_capabilities(host: &HostConfig) -> Result<()> {
    for (list, names) in [("CapAdd", &host.cap_add), ("CapDrop", &host.cap_drop)] {
        let mut named = names.iter().flatten().filter(|name| !is_all(name));
        named.try_for_each(|name| parse_capability(list, name).map(drop))?;
    }
    Ok(())
}

fn is_all(name: &str) -> bool {
    name.eq_ignore_ascii_case("all")
}

fn parse_capability(list: &str, name: &str) -> Result<Capability> {
    let upper = name.to_ascii_uppercase();
    let bare = upper.strip_prefix("CAP_").unwrap_or(&upper);
    Capability::from_str(&format!("CAP_{bare}"))
        .or_else(|_| Capability::from_str(bare))
        .map_err(|_| Error::invalid(format!("invalid {list}: unknown capability: \"CAP_{bare}\"")))
}

/// All capabilities that this process has itself: what "all" means, as nobody can give what he lacks.
fn all_capabilities() -> Capabilities {
    use Capability as C;
    [
        C::AuditControl,
        C::AuditRead,
        C::AuditWrite,
        C::BlockSuspend,
        C::Bpf,
        C::CheckpointRestore,
        C::Chown,
        C::DacOverride,
        C::DacReadSearch,
        C::Fowner,
        C::Fsetid,
        C::IpcLock,
        C::IpcOwner,
        C::Kill,
        C::Lease,
        C::LinuxImmutable,
        C::MacAdmin,
        C::MacOverride,
        C::Mknod,
        C::NetAdmin,
        C::NetBindService,
        C::NetBroadcast,
        C::NetRaw,
        C::Perfmon,
        C::Setgid,
        C::Setfcap,
        C::Setpcap,
        C::Setuid,
        C::SysAdmin,
        C::SysBoot,
        C::SysChroot,
        C::SysModule,
        C::SysNice,
        C::SysPacct,
        C::SysPtrace,
        C::SysRawio,
        C::SysResource,
        C::SysTime,
        C::SysTtyConfig,
        C::Syslog,
        C::WakeAlarm,
    ]
    .into_iter()
    .filter(|capability| gantry_runtime::is_permitted(*capability))
    .collect()
}
