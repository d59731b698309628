//! The compiled programs, run by a small interpreter of classic BPF as the kernel would.

use super::arch::{Arch, X32_BIT};
use super::profile::{Condition, Profile, RET_ALLOW, RET_ERRNO, RET_KILL_PROCESS, Rule};
use super::{compile, default};
use crate::caps;
use crate::init::steps::seccomp::unpack;
use oci_spec::runtime::LinuxSeccompOperator as Operator;

const EPERM: u32 = RET_ERRNO | 1;
const ENOSYS: u32 = RET_ERRNO | 38;

struct Call {
    audit: u32,
    number: u32,
    arguments: [u64; 6],
}

fn call(arch: Arch, name: &str, first: u64) -> Call {
    let number = arch.number(name).unwrap();
    Call { audit: arch.audit(), number, arguments: [first, 0, 0, 0, 0, 0] }
}

fn word(call: &Call, offset: u32) -> u32 {
    let argument = |index: usize| call.arguments[index];
    match offset {
        0 => call.number,
        4 => call.audit,
        _ => (argument((offset as usize - 16) / 8) >> (8 * (offset % 8))) as u32,
    }
}

fn run(program: &[u64], call: &Call) -> u32 {
    let (mut at, mut a) = (0, 0);
    loop {
        let i = unpack(program[at]);
        at += 1;
        let jump = |yes: bool| usize::from(if yes { i.jt } else { i.jf });
        match i.code {
            0x20 => a = word(call, i.k),
            0x54 => a &= i.k,
            0x05 => at += i.k as usize,
            0x15 => at += jump(a == i.k),
            0x25 => at += jump(a > i.k),
            0x35 => at += jump(a >= i.k),
            0x06 => return i.k,
            code => panic!("unexpected instruction {code:#x}"),
        }
    }
}

fn default_program(capabilities: u64) -> Vec<u64> {
    compile::compile(&default::profile(capabilities)).unwrap()
}

#[test]
fn the_default_profile_answers_as_docker_does() {
    let program = default_program(0);
    let cases = [
        ("read", 0, RET_ALLOW),
        ("execve", 0, RET_ALLOW),
        ("mount", 0, EPERM),
        ("reboot", 0, EPERM),
        ("bpf", 0, EPERM),
        ("io_uring_setup", 0, EPERM),
        ("keyctl", 0, EPERM),
        ("clone3", 0, ENOSYS),
        ("clone", 0x11, RET_ALLOW),
        ("clone", 0x1000_0000, EPERM),
        ("clone", 0x2_0000 | 0x11, EPERM),
        ("socket", 2, RET_ALLOW),
        ("socket", 40, EPERM),
        ("personality", 0xffff_ffff, RET_ALLOW),
        ("personality", 0x40000, EPERM),
    ];
    for arch in [Arch::X86_64, Arch::I386, Arch::X32] {
        for (name, first, answer) in cases {
            assert_eq!(run(&program, &call(arch, name, first)), answer, "{name} on {arch:?}");
        }
    }
    assert_eq!(run(&program, &call(Arch::X86_64, "socket", 1 << 40 | 40)), RET_ALLOW);
}

#[test]
fn every_call_of_every_table_gets_what_the_rules_say() {
    let profile = default::profile(0);
    let program = default_program(0);
    for arch in Arch::family() {
        for number in 0..600u32 {
            let number = if arch == Arch::X32 { number | X32_BIT } else { number };
            let named = |rule: &&Rule| {
                rule.conditions.is_empty() && rule.names.iter().any(|name| arch.number(name) == Some(number))
            };
            let Some(rule) = profile.rules.iter().find(named) else { continue };
            let call = Call { audit: arch.audit(), number, arguments: [0; 6] };
            assert_eq!(run(&program, &call), rule.answer, "{number} on {arch:?}");
        }
    }
}

#[test]
fn capabilities_open_what_they_pay_for() {
    let admin = default_program(caps::bit("SYS_ADMIN"));
    for name in ["mount", "clone3", "unshare", "setns"] {
        assert_eq!(run(&admin, &call(Arch::X86_64, name, 0)), RET_ALLOW, "{name}");
    }
    assert_eq!(run(&admin, &call(Arch::X86_64, "clone", 0x1000_0000)), RET_ALLOW);
    assert_eq!(run(&admin, &call(Arch::X86_64, "reboot", 0)), EPERM);
    let chroot = default_program(caps::bit("SYS_CHROOT"));
    assert_eq!(run(&chroot, &call(Arch::X86_64, "chroot", 0)), RET_ALLOW);
}

#[test]
fn unknown_calls_are_missing_and_unknown_machines_are_killed() {
    let program = default_program(0);
    let call = |audit, number| Call { audit, number, arguments: [0; 6] };
    assert_eq!(run(&program, &call(Arch::X86_64.audit(), 5000)), ENOSYS);
    assert_eq!(run(&program, &call(Arch::X86_64.audit(), X32_BIT | 5000)), ENOSYS);
    assert_eq!(run(&program, &call(0x1234, 1)), RET_KILL_PROCESS);
}

#[test]
fn comparisons_are_64_bits_wide() {
    let big = 0x1_0000_0005u64;
    let cases: [(Operator, &[(u64, bool)]); 7] = [
        (Operator::ScmpCmpEq, &[(big, true), (5, false), (big + (1 << 32), false)]),
        (Operator::ScmpCmpNe, &[(big, false), (5, true), (big + 1, true)]),
        (Operator::ScmpCmpGt, &[(big, false), (big + 1, true), (6, false), (2 << 32, true)]),
        (Operator::ScmpCmpGe, &[(big, true), (big - 1, false), (2 << 32, true), (0, false)]),
        (Operator::ScmpCmpLt, &[(big, false), (big - 1, true), (2 << 32, false), (9, true)]),
        (Operator::ScmpCmpLe, &[(big, true), (big + 1, false), (9, true)]),
        (Operator::ScmpCmpMaskedEq, &[(0, true), (2, true), (1, false), (1 << 32, false)]),
    ];
    for (operator, values) in cases {
        let condition = Condition { argument: 3, operator, value: big, second: 0 };
        let program = program_of(vec![condition]);
        for (value, matches) in values {
            let mut call = call(Arch::X86_64, "ioctl", 0);
            call.arguments[3] = *value;
            let answer = if *matches { EPERM } else { RET_ALLOW };
            assert_eq!(run(&program, &call), answer, "{operator:?} {value:#x}");
        }
    }
}

#[test]
fn all_conditions_of_a_rule_have_to_hold() {
    let equals = |argument, value| Condition { argument, operator: Operator::ScmpCmpEq, value, second: 0 };
    let program = program_of(vec![equals(0, 1), equals(1, 2)]);
    for (arguments, answer) in [([1, 2], EPERM), ([1, 3], RET_ALLOW), ([0, 2], RET_ALLOW)] {
        let mut call = call(Arch::X86_64, "ioctl", arguments[0]);
        call.arguments[1] = arguments[1];
        assert_eq!(run(&program, &call), answer);
    }
}

/// `ioctl` fails when the conditions hold, all else is allowed.
fn program_of(conditions: Vec<Condition>) -> Vec<u64> {
    let rule = Rule { names: vec!["ioctl".into()], answer: EPERM, conditions };
    let profile = Profile { architectures: vec![Arch::X86_64], default: RET_ALLOW, rules: vec![rule] };
    compile::compile(&profile).unwrap()
}
