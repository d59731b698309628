//! A container that is none: a child with the streams it was given, held at a gate. The plan is its argv, with NULs.

use gantry_model::class::Class;
use gantry_supervisor::keeper::{Launcher, Stdio, Steps};
use gantry_supervisor::wire::Refusal;
use gantry_sys::process::{self, Forked, StringArray};
use nix::unistd::{dup2_stderr, dup2_stdin, dup2_stdout, pipe, read, setsid, write};
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, OwnedFd};

pub struct Plain;

impl Launcher for Plain {
    fn launch(&self, plan: &[u8], stdio: Stdio, steps: &mut dyn Steps) -> Result<(), Refusal> {
        let (gate, opener) = pipe().map_err(|e| Refusal::new(Class::Internal, e.to_string()))?;
        let (pid, pidfd) = match process::clone3(0, None).map_err(|e| Refusal::new(Class::Internal, e.to_string()))? {
            Forked::Child => {
                drop(opener);
                become_container(plan, stdio, gate)
            }
            Forked::Parent { pid, pidfd } => (pid, pidfd),
        };
        drop((stdio, gate));
        let go = steps.cloned(pid, pidfd.as_fd()).and_then(|()| steps.ready(vec!["only a test".into()]));
        if let Err(refused) = go {
            drop(opener);
            let _ = gantry_sys::pidfd::wait(pidfd.as_fd(), 0);
            return Err(refused);
        }
        let _ = write(&opener, b"!");
        Ok(())
    }
}

fn become_container(plan: &[u8], stdio: Stdio, gate: OwnedFd) -> ! {
    let mut byte = [0];
    if read(&gate, &mut byte) != Ok(1) {
        process::exit(1);
    }
    setsid().expect("session");
    if let Some(console) = &stdio.console {
        process::set_controlling_terminal(console.as_fd()).expect("terminal");
    }
    dup2_stdin(&stdio.stdin).expect("stdin");
    dup2_stdout(&stdio.stdout).expect("stdout");
    dup2_stderr(&stdio.stderr).expect("stderr");
    process::cloexec_from(3).expect("close");
    gantry_sys::signal::reset_dispositions();
    let words: Vec<CString> = plan.split(|byte| *byte == 0).map(|word| CString::new(word).expect("word")).collect();
    let argv = StringArray::new(words.iter().map(CString::as_c_str));
    let envp = StringArray::new([c"PATH=/bin:/usr/bin"] as [&CStr; 1]);
    process::execve(&words[0], &argv, &envp);
    process::exit(127)
}
