//! What a caller knows of a container before it has prepared the order, so that the keeper can begin.

use std::ffi::{CString, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// A guess that proves wrong is dismissed; the empty one asks for nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Guess {
    /// The namespaces init will have: `CLONE_NEW*` without the cgroup namespace; 0: no guess.
    pub namespaces: u64,
    /// Its cgroup's directory in every hierarchy; true: version 2.
    pub cgroups: Vec<(bool, CString)>,
}

impl Guess {
    /// Directories with a NUL in their names are left out.
    pub fn new(namespaces: u64, cgroups: impl IntoIterator<Item = (bool, PathBuf)>) -> Guess {
        let text = |(unified, path): (bool, PathBuf)| Some((unified, CString::new(path.as_os_str().as_bytes()).ok()?));
        Guess { namespaces, cgroups: cgroups.into_iter().filter_map(text).collect() }
    }

    /// As one argument: the flags, then a line for each directory.
    pub(crate) fn to_argument(&self) -> CString {
        let mut text = self.namespaces.to_string().into_bytes();
        for (unified, path) in &self.cgroups {
            text.extend_from_slice(if *unified { b"\n2" } else { b"\n1" });
            text.extend_from_slice(path.to_bytes());
        }
        CString::new(text).unwrap_or_default()
    }

    /// What is not understood is no guess.
    pub(crate) fn from_argument(argument: &OsStr) -> Guess {
        let mut lines = argument.as_bytes().split(|byte| *byte == b'\n');
        let flags = lines.next().and_then(|line| std::str::from_utf8(line).ok()?.parse().ok());
        let Some(namespaces) = flags else { return Guess::default() };
        let cgroup = |line: &[u8]| Some((*line.first()? == b'2', CString::new(&line[1..]).ok()?));
        Guess { namespaces, cgroups: lines.filter_map(cgroup).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guess_survives_the_command_line() {
        let guess = Guess::new(0x4000_0000, [(false, "/a/b".into()), (true, "/u n/c".into())]);
        assert_eq!(Guess::from_argument(OsStr::from_bytes(guess.to_argument().as_bytes())), guess);
        assert_eq!(Guess::from_argument(OsStr::new("")), Guess::default());
    }
}
