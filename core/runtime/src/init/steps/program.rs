//! Finding the program, and telling apart the ways in which it cannot run.
//!
//! Everything that can be known before the gate opens is found here, with the user's own rights.
//! What only the kernel can know (a foreign binary may have a handler in binfmt_misc) is diagnosed
//! after `execve` refused.

use super::Perform;
use crate::init::Context;
use crate::init::fault::{Act, Fault};
use crate::init::path::here;
use gantry_sys::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{Mode, fstatat};
use nix::unistd::{AccessFlags, faccessat};
use serde::{Deserialize, Serialize};
use std::ffi::CStr;

/// Chooses the first executable candidate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Find {
    /// Candidates come from `$PATH`, so a missing one is no fault of its own.
    pub search: bool,
}

impl Perform for Find {
    const NAME: &'static str = "program";

    fn perform(&self, context: &mut Context<'_>) -> Result<(), Fault> {
        let mut refused = Fault::new(Act::ProgramNotInPath, Errno::ENOENT);
        for (index, path) in context.prepared.program.candidates.iter().enumerate() {
            match check(path) {
                Ok(()) => {
                    context.candidate = index;
                    return check_interpreter(path);
                }
                Err(fault) if !self.search => return Err(fault),
                Err(fault) if fault.act == Act::ProgramNoExecuteBit => refused = fault,
                Err(_) => {}
            }
        }
        Err(refused)
    }
}

fn check(path: &CStr) -> Result<(), Fault> {
    let found = fstatat(here(), path, AtFlags::empty()).map_err(|errno| Fault::new(Act::ProgramStat, errno))?;
    if found.st_mode & libc::S_IFMT == libc::S_IFDIR {
        return Err(Fault::new(Act::ProgramDirectory, Errno::EACCES));
    }
    // Real and effective ids are the same by now, so the plain check asks for the right user.
    match faccessat(here(), path, AccessFlags::X_OK, AtFlags::empty()) {
        Ok(()) => Ok(()),
        Err(errno) if found.st_mode & 0o111 == 0 => Err(Fault::new(Act::ProgramNoExecuteBit, errno)),
        Err(errno) => Err(Fault::new(Act::ProgramNotPermitted, errno)),
    }
}

const HEADER: usize = 4096;
/// The kernel looks at this much of a `#!` line.
const SCRIPT_LINE: usize = 256;

/// The beginning of a file; empty when it may be executed but not read.
fn read_header(path: &CStr, header: &mut [u8; HEADER]) -> usize {
    let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    openat(here(), path, flags, Mode::empty()).and_then(|file| nix::unistd::read(file, header)).unwrap_or(0)
}

/// The interpreter the kernel will want, which must exist.
fn check_interpreter(path: &CStr) -> Result<(), Fault> {
    let mut header = [0; HEADER];
    let length = read_header(path, &mut header);
    let header = &header[..length];
    if let Some(interpreter) = script_interpreter(header) {
        return match interpreter.strip_suffix(b"\r") {
            Some(meant) if is_missing(interpreter) => {
                Err(Fault::about(Act::ProgramCarriageReturn, Errno::ENOENT, meant))
            }
            _ => require(interpreter),
        };
    }
    match Elf::parse(header) {
        Some(elf) if elf.is_native() => elf.interpreter().map_or(Ok(()), require),
        _ => Ok(()),
    }
}

fn require(interpreter: &[u8]) -> Result<(), Fault> {
    if is_missing(interpreter) {
        return Err(Fault::about(Act::ProgramNoInterpreter, Errno::ENOENT, interpreter));
    }
    Ok(())
}

fn is_missing(path: &[u8]) -> bool {
    let mut buffer = [0; SCRIPT_LINE + 1];
    let Some(room) = buffer.get_mut(..path.len()) else { return false };
    room.copy_from_slice(path);
    let Ok(path) = CStr::from_bytes_until_nul(&buffer) else { return false };
    fstatat(here(), path, AtFlags::empty()) == Err(Errno::ENOENT)
}

/// The program after `#!`, as the kernel reads it: up to the first blank.
fn script_interpreter(header: &[u8]) -> Option<&[u8]> {
    let line = header.strip_prefix(b"#!")?;
    let line = line.get(..SCRIPT_LINE - 2).unwrap_or(line);
    let line = line.split(|&byte| byte == b'\n').next()?;
    let blank = |byte: &u8| *byte == b' ' || *byte == b'\t';
    line.split(blank).find(|word| !word.is_empty())
}

/// Why `execve` said `ENOEXEC`: the fault to report for the program at `path`.
pub(crate) fn diagnose(path: &CStr, errno: Errno) -> Fault {
    if errno != Errno::ENOEXEC {
        return Fault::new(Act::ProgramExec, errno);
    }
    let mut header = [0; HEADER];
    let length = read_header(path, &mut header);
    match Elf::parse(&header[..length]) {
        Some(elf) if !elf.is_native() => Fault::about(Act::ProgramWrongMachine, errno, &elf.machine().to_ne_bytes()),
        Some(_) => Fault::new(Act::ProgramExec, errno),
        None => Fault::new(Act::ProgramNotAProgram, errno),
    }
}

/// The few fields of an ELF header that decide whether it can run here.
struct Elf<'a> {
    bytes: &'a [u8],
    wide: bool,
    little: bool,
}

const PT_INTERP: u64 = 3;

impl<'a> Elf<'a> {
    fn parse(bytes: &'a [u8]) -> Option<Elf<'a>> {
        if !bytes.starts_with(b"\x7fELF") || bytes.len() < 52 {
            return None;
        }
        Some(Elf { bytes, wide: bytes[4] == 2, little: bytes[5] == 1 })
    }

    /// An unsigned field of `size` bytes.
    fn field(&self, offset: usize, size: usize) -> Option<u64> {
        let bytes = self.bytes.get(offset..offset.checked_add(size)?)?;
        let add = |sum: u64, byte: &u8| sum << 8 | u64::from(*byte);
        Some(match self.little {
            true => bytes.iter().rev().fold(0, add),
            false => bytes.iter().fold(0, add),
        })
    }

    fn machine(&self) -> u16 {
        self.field(18, 2).unwrap_or(0) as u16
    }

    fn is_native(&self) -> bool {
        native_machines().contains(&self.machine())
    }

    /// The path in the PT_INTERP segment.
    fn interpreter(&self) -> Option<&'a [u8]> {
        let (table, size, count) = match self.wide {
            true => (self.field(32, 8)?, self.field(54, 2)?, self.field(56, 2)?),
            false => (self.field(28, 4)?, self.field(42, 2)?, self.field(44, 2)?),
        };
        (0..count).find_map(|index| {
            let entry = usize::try_from(table.checked_add(index * size)?).ok()?;
            let is_interpreter = self.field(entry, 4)? == PT_INTERP;
            is_interpreter.then(|| self.segment(entry)).flatten()
        })
    }

    fn segment(&self, entry: usize) -> Option<&'a [u8]> {
        let (offset, length) = match self.wide {
            true => (self.field(entry.checked_add(8)?, 8)?, self.field(entry.checked_add(32)?, 8)?),
            false => (self.field(entry.checked_add(4)?, 4)?, self.field(entry.checked_add(16)?, 4)?),
        };
        let start = usize::try_from(offset).ok()?;
        let end = start.checked_add(usize::try_from(length).ok()?)?;
        let path = self.bytes.get(start..end)?;
        Some(path.strip_suffix(b"\0").unwrap_or(path))
    }
}

/// The machines this kernel runs without help, the 32-bit ones included.
const fn native_machines() -> &'static [u16] {
    if cfg!(target_arch = "x86_64") {
        &[62, 3]
    } else if cfg!(target_arch = "aarch64") {
        &[183, 40]
    } else if cfg!(target_arch = "riscv64") {
        &[243]
    } else {
        &[]
    }
}

/// What an ELF machine number is called.
pub(crate) fn machine_name(machine: u16) -> &'static str {
    match machine {
        3 => "x86",
        8 => "mips",
        20 => "ppc",
        21 => "ppc64",
        22 => "s390x",
        40 => "arm",
        62 => "x86-64",
        183 => "arm64",
        243 => "riscv",
        258 => "loongarch",
        _ => "another machine",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_line_is_read_as_the_kernel_does() {
        let cases: [(&[u8], Option<&[u8]>); 6] = [
            (b"#!/bin/sh\n", Some(b"/bin/sh")),
            (b"#! \t/usr/bin/env python\n", Some(b"/usr/bin/env")),
            (b"#!/bin/sh\r\necho", Some(b"/bin/sh\r")),
            (b"#!/bin/sh", Some(b"/bin/sh")),
            (b"#!\n/bin/sh", None),
            (b"echo #!/bin/sh", None),
        ];
        for (header, interpreter) in cases {
            assert_eq!(script_interpreter(header), interpreter);
        }
    }

    #[test]
    fn this_test_is_a_native_program() {
        let bytes = std::fs::read("/proc/self/exe").unwrap();
        let elf = Elf::parse(&bytes[..HEADER]).unwrap();
        assert!(elf.is_native());
    }

    #[test]
    fn hostile_headers_do_not_panic() {
        let mut header = [0xffu8; 128];
        header[..4].copy_from_slice(b"\x7fELF");
        for class in [1, 2, 77] {
            header[4] = class;
            let elf = Elf::parse(&header).unwrap();
            assert!(elf.interpreter().is_none() && !elf.is_native());
        }
        assert!(Elf::parse(b"\x7fELF").is_none());
    }
}
