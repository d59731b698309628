//! A filter in terms of names, before any architecture is chosen.

use super::arch::Arch;
use crate::error::Error;
use gantry_sys::seccomp::{FLAG_LOG, FLAG_SPEC_ALLOW};
use oci_spec::OciSpecError;
use oci_spec::runtime::{
    LinuxSeccomp, LinuxSeccompAction as Action, LinuxSeccompArg, LinuxSeccompArgBuilder, LinuxSeccompBuilder,
    LinuxSeccompFilterFlag as Flag, LinuxSeccompOperator as Operator, LinuxSyscall, LinuxSyscallBuilder,
};

pub(crate) const RET_ALLOW: u32 = 0x7fff_0000;
pub(crate) const RET_ERRNO: u32 = 0x0005_0000;
pub(crate) const RET_KILL_PROCESS: u32 = 0x8000_0000;
const RET_DATA: u32 = 0xffff;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Profile {
    pub architectures: Vec<Arch>,
    /// The answer for a call that no rule names.
    pub default: u32,
    pub rules: Vec<Rule>,
}

/// The named calls get `answer` when all conditions hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    pub names: Vec<String>,
    pub answer: u32,
    pub conditions: Vec<Condition>,
}

/// A comparison of one argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Condition {
    pub argument: u32,
    pub operator: Operator,
    pub value: u64,
    /// The expected value after masking, for `MaskedEq`.
    pub second: u64,
}

impl Profile {
    pub(crate) fn from_oci(given: &LinuxSeccomp) -> Result<Profile, Error> {
        let listed = given.architectures().iter().flatten();
        let mut architectures: Vec<Arch> = listed.filter_map(|arch| Arch::from_oci(*arch)).collect();
        let native = Arch::native().ok_or_else(|| unsupported("this machine's architecture"))?;
        if !architectures.contains(&native) {
            architectures.insert(0, native);
        }
        architectures.dedup();
        let rules = given.syscalls().iter().flatten().map(rule).collect::<Result<_, _>>()?;
        let default = answer(given.default_action(), given.default_errno_ret())?;
        Ok(Profile { architectures, default, rules })
    }

    /// The same for another runtime: of answers it has "allow" and "refuse with a number", which is all we use ourselves.
    pub(crate) fn to_oci(&self) -> Result<LinuxSeccomp, Error> {
        let built = |error: OciSpecError| Error::invalid("seccomp profile", error.to_string());
        let syscalls = self.rules.iter().map(Rule::to_oci).collect::<Result<Vec<_>, _>>().map_err(built)?;
        LinuxSeccompBuilder::default()
            .default_action(Action::ScmpActErrno)
            .default_errno_ret(self.default & RET_DATA)
            .architectures(self.architectures.iter().map(|arch| arch.to_oci()).collect::<Vec<_>>())
            .syscalls(syscalls)
            .build()
            .map_err(built)
    }
}

impl Rule {
    fn to_oci(&self) -> Result<LinuxSyscall, OciSpecError> {
        let arguments = self.conditions.iter().map(|condition| {
            LinuxSeccompArgBuilder::default()
                .index(condition.argument as usize)
                .value(condition.value)
                .value_two(condition.second)
                .op(condition.operator)
                .build()
        });
        let rule =
            LinuxSyscallBuilder::default().names(self.names.clone()).args(arguments.collect::<Result<Vec<_>, _>>()?);
        match self.answer {
            RET_ALLOW => rule.action(Action::ScmpActAllow).build(),
            other => rule.action(Action::ScmpActErrno).errno_ret(other & RET_DATA).build(),
        }
    }
}

fn unsupported(what: &str) -> Error {
    Error::invalid("seccomp profile", format!("{what} is not supported"))
}

fn rule(syscall: &LinuxSyscall) -> Result<Rule, Error> {
    let conditions = syscall.args().iter().flatten().map(condition).collect::<Result<_, _>>()?;
    let answer = answer(syscall.action(), syscall.errno_ret())?;
    Ok(Rule { names: syscall.names().clone(), answer, conditions })
}

fn answer(action: Action, data: Option<u32>) -> Result<u32, Error> {
    if action == Action::ScmpActNotify {
        return Err(unsupported("SCMP_ACT_NOTIFY"));
    }
    Ok(action.as_u32(data.map(|data| data & RET_DATA)))
}

fn condition(arg: &LinuxSeccompArg) -> Result<Condition, Error> {
    if arg.index() > 5 {
        return Err(Error::invalid("seccomp profile", format!("argument index {} is above 5", arg.index())));
    }
    Ok(Condition {
        argument: arg.index() as u32,
        operator: arg.op(),
        value: arg.value(),
        second: arg.value_two().unwrap_or(0),
    })
}

/// The flags of `seccomp(2)`; synchronising threads is meaningless before exec.
pub(crate) fn flags(given: &LinuxSeccomp) -> u64 {
    let bit = |flag: &Flag| match flag {
        Flag::SeccompFilterFlagLog => FLAG_LOG,
        Flag::SeccompFilterFlagSpecAllow => FLAG_SPEC_ALLOW,
        _ => 0,
    };
    given.flags().iter().flatten().map(bit).fold(0, |all, bit| all | bit)
}
