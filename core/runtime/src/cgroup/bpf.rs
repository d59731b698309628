//! The device filter of version 2: rules compiled to an eBPF program on the cgroup.

use gantry_sys::Errno;
use oci_spec::runtime::{LinuxDeviceCgroup, LinuxDeviceType};
use std::os::fd::{AsFd, BorrowedFd};

/// Opcodes: class, source and operation, as in linux/bpf.h.
const LOAD_WORD: u8 = 0x61;
const MOVE_REGISTER: u8 = 0xbf;
const MOVE_IMMEDIATE: u8 = 0xb7;
const AND_IMMEDIATE: u8 = 0x57;
const SHIFT_RIGHT: u8 = 0x77;
const JUMP_NOT_EQUAL: u8 = 0x55;
const JUMP_NOT_EQUAL_REGISTER: u8 = 0x5d;
const EXIT: u8 = 0x95;

fn instruction(code: u8, destination: u8, source: u8, offset: i16, immediate: i32) -> u64 {
    u64::from(code)
        | u64::from(destination) << 8
        | u64::from(source) << 12
        | u64::from(offset as u16) << 16
        | u64::from(immediate as u32) << 32
}

/// A program that allows what the last matching rule allows, and nothing otherwise.
pub(crate) fn device_filter(rules: &[LinuxDeviceCgroup]) -> Vec<u64> {
    // r2 = type, r3 = access, r4 = major, r5 = minor of the request in r1.
    let mut program = vec![
        instruction(LOAD_WORD, 2, 1, 0, 0),
        instruction(MOVE_REGISTER, 3, 2, 0, 0),
        instruction(AND_IMMEDIATE, 2, 0, 0, 0xffff),
        instruction(SHIFT_RIGHT, 3, 0, 0, 16),
        instruction(LOAD_WORD, 4, 1, 4, 0),
        instruction(LOAD_WORD, 5, 1, 8, 0),
    ];
    for rule in rules.iter().rev() {
        let tests = tests(rule);
        let unconditional = tests.is_empty();
        program.extend(finish(tests, rule.allow()));
        if unconditional {
            return program;
        }
    }
    program.extend(finish(Vec::new(), false));
    program
}

/// Conditions with their jumps patched to skip the answer, then the answer.
fn finish(mut tests: Vec<u64>, allow: bool) -> Vec<u64> {
    let length = tests.len();
    for (index, test) in tests.iter_mut().enumerate() {
        let code = *test as u8;
        if code == JUMP_NOT_EQUAL || code == JUMP_NOT_EQUAL_REGISTER {
            *test |= ((length - index + 1) as u64) << 16;
        }
    }
    tests.push(instruction(MOVE_IMMEDIATE, 0, 0, 0, i32::from(allow)));
    tests.push(instruction(EXIT, 0, 0, 0, 0));
    tests
}

fn tests(rule: &LinuxDeviceCgroup) -> Vec<u64> {
    let mut tests = Vec::new();
    match rule.typ() {
        Some(LinuxDeviceType::B) => tests.push(instruction(JUMP_NOT_EQUAL, 2, 0, 0, 1)),
        Some(LinuxDeviceType::C | LinuxDeviceType::U) => tests.push(instruction(JUMP_NOT_EQUAL, 2, 0, 0, 2)),
        _ => return tests,
    }
    let access = access_mask(rule.access().as_deref().unwrap_or("rwm"));
    if access != 7 {
        // Every requested bit has to be among the rule's.
        tests.push(instruction(MOVE_REGISTER, 1, 3, 0, 0));
        tests.push(instruction(AND_IMMEDIATE, 1, 0, 0, access));
        tests.push(instruction(JUMP_NOT_EQUAL_REGISTER, 1, 3, 0, 0));
    }
    for (register, number) in [(4, rule.major()), (5, rule.minor())] {
        if let Some(number) = number.filter(|number| *number >= 0) {
            tests.push(instruction(JUMP_NOT_EQUAL, register, 0, 0, number as i32));
        }
    }
    tests
}

fn access_mask(access: &str) -> i32 {
    let bit = |letter, bit| if access.is_empty() || access.contains(letter) { bit } else { 0 };
    bit('m', 1) | bit('r', 2) | bit('w', 4)
}

/// Loads the program and puts it on the cgroup.
pub(crate) fn attach(cgroup: BorrowedFd<'_>, program: &[u64]) -> Result<(), Errno> {
    let loaded = gantry_sys::bpf::load_device_filter(program)?;
    gantry_sys::bpf::attach_device_filter(cgroup, loaded.as_fd())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroup::{detect, manager_on};
    use std::fs::File;

    #[test]
    fn a_hopeless_rule_ends_the_program() {
        let rules = crate::spec::default_devices().unwrap();
        let program = device_filter(&rules);
        let answers = program.iter().filter(|i| **i as u8 == EXIT).count();
        assert_eq!(answers, rules.len());
    }

    #[test]
    fn the_kernel_takes_it_and_it_refuses() {
        if !nix::unistd::geteuid().is_root() {
            return eprintln!("skipped: needs root");
        }
        let Ok(host) = detect() else { return eprintln!("skipped: no cgroups") };
        let Some(unified) = host.hierarchies.iter().find(|hierarchy| hierarchy.unified) else {
            return eprintln!("skipped: no version 2 hierarchy");
        };
        let name = format!("gantry-test-bpf-{}", std::process::id());
        let directory = unified.mount.join(&name);
        std::fs::create_dir(&directory).unwrap();
        let handle = File::open(&directory).unwrap();
        attach(handle.as_fd(), &device_filter(&crate::spec::default_devices().unwrap())).unwrap();
        let script = format!(
            "echo 0 >{}/cgroup.procs; : >/dev/null && : </dev/zero && echo ok; (: </dev/kmsg) 2>/dev/null || echo refused",
            directory.display()
        );
        let shell = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
        manager_on(&host, &name).remove().unwrap();
        assert_eq!(String::from_utf8_lossy(&shell.stdout), "ok\nrefused\n");
    }
}
