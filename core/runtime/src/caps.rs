//! Capability names and numbers.

use oci_spec::runtime::{Capabilities, Capability};

/// By number, as in linux/capability.h.
const NAMES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// The bit of a capability by name (without `CAP_`); 0 for a name nobody knows.
pub(crate) fn bit(name: &str) -> u64 {
    NAMES.iter().position(|known| *known == name).map_or(0, |number| 1 << number)
}

/// The names of all capabilities, with their prefix.
pub fn all_names() -> impl Iterator<Item = String> {
    NAMES.iter().map(|name| format!("CAP_{name}"))
}

/// Whether this process has a capability to hand on; yes if the kernel does not say.
pub fn is_permitted(capability: Capability) -> bool {
    static OWN: std::sync::OnceLock<u64> = std::sync::OnceLock::new();
    let own = OWN.get_or_init(|| {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("CapPrm:"));
        line.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok()).unwrap_or(u64::MAX)
    });
    own & bit(&capability.to_string()) != 0
}

/// A set of the spec as bits.
pub(crate) fn mask(set: Option<&Capabilities>) -> u64 {
    let bits = set.into_iter().flatten().map(|capability: &Capability| bit(&capability.to_string()));
    bits.fold(0, |all, bit| all | bit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_capability_of_the_spec_has_a_number() {
        for name in NAMES {
            let capability: Capability = serde_json::from_str(&format!("\"CAP_{name}\"")).unwrap();
            assert_eq!(mask(Some(&[capability].into_iter().collect())), bit(name));
        }
        assert_eq!(bit("SYS_ADMIN"), 1 << 21);
        assert_eq!(bit("NOSUCH"), 0);
    }
}
