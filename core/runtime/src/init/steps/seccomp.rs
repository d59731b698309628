//! The system call filter.

use super::Perform;
use crate::init::Context;
use crate::init::fault::{Act, During, Fault};
use gantry_sys::cred::{self, CapSets};
use gantry_sys::seccomp::{Instruction, install};
use serde::{Deserialize, Serialize};

/// A compiled program: eight bytes an instruction, as the kernel's `struct sock_filter`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Seccomp {
    pub program: Vec<u64>,
    pub flags: u64,
    /// Without no-new-privs the kernel wants `CAP_SYS_ADMIN` of whoever installs a filter.
    pub needs_admin: bool,
}

const CAP_SYS_ADMIN: u64 = 1 << 21;

impl Perform for Seccomp {
    const NAME: &'static str = "seccomp";

    fn perform(&self, _: &mut Context<'_>) -> Result<(), Fault> {
        let mut program = [Instruction { code: 0, jt: 0, jf: 0, k: 0 }; MAX_INSTRUCTIONS];
        let room = program.get_mut(..self.program.len());
        let program = room.ok_or(gantry_sys::Errno::E2BIG).during(Act::Install)?;
        for (instruction, packed) in program.iter_mut().zip(&self.program) {
            *instruction = unpack(*packed);
        }
        if self.needs_admin {
            let held = cred::capget().during(Act::SetCapabilities)?;
            let raised = CapSets { effective: held.effective | CAP_SYS_ADMIN, ..held };
            cred::capset(&raised).during(Act::SetCapabilities)?;
        }
        install(program, self.flags).during(Act::Install)
    }
}

/// The kernel's limit (`BPF_MAXINSNS`).
pub(crate) const MAX_INSTRUCTIONS: usize = 4096;

pub(crate) fn pack(instruction: Instruction) -> u64 {
    u64::from(instruction.code)
        | u64::from(instruction.jt) << 16
        | u64::from(instruction.jf) << 24
        | u64::from(instruction.k) << 32
}

pub(crate) fn unpack(packed: u64) -> Instruction {
    Instruction { code: packed as u16, jt: (packed >> 16) as u8, jf: (packed >> 24) as u8, k: (packed >> 32) as u32 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packing_is_reversible() {
        let instruction = Instruction { code: 0x15, jt: 1, jf: 200, k: 0xC000_003E };
        assert_eq!(unpack(pack(instruction)), instruction);
    }
}
