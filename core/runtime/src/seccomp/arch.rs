//! The architectures a filter can speak for on this machine.

use super::tables;
use oci_spec::runtime::Arch as OciArch;

/// The bit that marks a system call of x32; it shares the architecture word with x86-64.
pub(crate) const X32_BIT: u32 = 0x4000_0000;

/// One table of system calls, as the kernel tells it in `seccomp_data.arch`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Arch {
    X86_64,
    I386,
    X32,
    Aarch64,
}

impl Arch {
    /// The `AUDIT_ARCH_*` word.
    pub(crate) fn audit(self) -> u32 {
        match self {
            Arch::X86_64 | Arch::X32 => 0xC000_003E,
            Arch::I386 => 0x4000_0003,
            Arch::Aarch64 => 0xC000_00B7,
        }
    }

    /// The number of a system call; `None` if the architecture does not have it.
    pub(crate) fn number(self, name: &str) -> Option<u32> {
        let table = self.table();
        let index = table.binary_search_by(|(known, _)| (*known).cmp(name)).ok()?;
        let marked = if self == Arch::X32 { X32_BIT } else { 0 };
        Some(table[index].1 | marked)
    }

    fn table(self) -> &'static [(&'static str, u32)] {
        match self {
            Arch::X86_64 => tables::x86_64::SYSCALLS,
            Arch::I386 => tables::i386::SYSCALLS,
            Arch::X32 => tables::x32::SYSCALLS,
            Arch::Aarch64 => tables::aarch64::SYSCALLS,
        }
    }

    /// As an OCI profile names it.
    pub(crate) fn to_oci(self) -> OciArch {
        match self {
            Arch::X86_64 => OciArch::ScmpArchX86_64,
            Arch::I386 => OciArch::ScmpArchX86,
            Arch::X32 => OciArch::ScmpArchX32,
            Arch::Aarch64 => OciArch::ScmpArchAarch64,
        }
    }

    pub(crate) fn native() -> Option<Arch> {
        if cfg!(target_arch = "x86_64") {
            Some(Arch::X86_64)
        } else if cfg!(target_arch = "aarch64") {
            Some(Arch::Aarch64)
        } else {
            None
        }
    }

    /// The native architecture and those that run beside it.
    pub(crate) fn family() -> Vec<Arch> {
        match Arch::native() {
            Some(Arch::X86_64) => vec![Arch::X86_64, Arch::I386, Arch::X32],
            Some(native) => vec![native],
            None => Vec::new(),
        }
    }

    /// Architectures of other machines are left out: no process here can speak them.
    pub(crate) fn from_oci(arch: OciArch) -> Option<Arch> {
        match arch {
            OciArch::ScmpArchNative => Arch::native(),
            OciArch::ScmpArchX86_64 => Some(Arch::X86_64),
            OciArch::ScmpArchX86 => Some(Arch::I386),
            OciArch::ScmpArchX32 => Some(Arch::X32),
            OciArch::ScmpArchAarch64 => Some(Arch::Aarch64),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_sorted_by_name() {
        for arch in [Arch::X86_64, Arch::I386, Arch::X32, Arch::Aarch64] {
            assert!(arch.table().windows(2).all(|pair| pair[0].0 < pair[1].0), "{arch:?}");
        }
    }

    #[test]
    fn numbers_are_those_of_the_kernel() {
        assert_eq!(Arch::X86_64.number("execve"), Some(59));
        assert_eq!(Arch::I386.number("execve"), Some(11));
        assert_eq!(Arch::X32.number("execve"), Some(X32_BIT | 520));
        assert_eq!(Arch::Aarch64.number("execve"), Some(221));
        assert_eq!(Arch::X86_64.number("nosuch"), None);
        assert_eq!(Arch::X86_64.number("mseal"), Some(462));
    }
}
