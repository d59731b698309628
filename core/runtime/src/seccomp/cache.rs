//! Compiled filters on disk, so that a start does not compile.
//!
//! A cached file is trusted only if root (or the running user) alone can have written it. Anything
//! odd about it means "compile again"; a cache that cannot be written is no reason to fail.

use crate::error::Error;
use crate::init::steps::seccomp::MAX_INSTRUCTIONS;
use sha2::{Digest, Sha256};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

/// Raised whenever the compiler's output changes.
const FORMAT: &str = "gantry-seccomp-1";
const MAGIC: &[u8; 8] = b"gntrybpf";

/// The file name of a filter made from `input` on this architecture.
pub(crate) fn key(kind: &str, input: &[u8]) -> String {
    let mut hash = Sha256::new();
    for part in [FORMAT, env!("CARGO_PKG_VERSION"), std::env::consts::ARCH, kind] {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    hash.update(input);
    let digest = hash.finalize();
    digest[..16].iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn get_or_make(
    directory: &Path,
    key: &str,
    make: impl FnOnce() -> Result<Vec<u64>, Error>,
) -> Result<Vec<u64>, Error> {
    let path = directory.join(key);
    if let Some(program) = load(&path) {
        return Ok(program);
    }
    let program = make()?;
    // Without the file the next start compiles again; that is all.
    let _ = save(directory, &path, &program);
    Ok(program)
}

fn load(path: &Path) -> Option<Vec<u64>> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW).open(path).ok()?;
    if !is_ours(&file) {
        return None;
    }
    let mut bytes = Vec::new();
    let limit = (MAGIC.len() + 8 * MAX_INSTRUCTIONS + 1) as u64;
    file.take(limit).read_to_end(&mut bytes).ok()?;
    parse(&bytes)
}

fn is_ours(file: &File) -> bool {
    let owner = nix::unistd::geteuid().as_raw();
    file.metadata().is_ok_and(|found| found.is_file() && found.uid() == owner && found.mode() & 0o022 == 0)
}

fn parse(bytes: &[u8]) -> Option<Vec<u64>> {
    let (instructions, rest) = bytes.strip_prefix(MAGIC)?.as_chunks::<8>();
    let fits = rest.is_empty() && (1..=MAX_INSTRUCTIONS).contains(&instructions.len());
    fits.then(|| instructions.iter().map(|bytes| u64::from_le_bytes(*bytes)).collect())
}

/// Written beside and renamed, so that nobody ever reads half a filter.
fn save(directory: &Path, path: &Path, program: &[u64]) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    let temporary = path.with_extension(format!("{}", std::process::id()));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    let mut bytes = MAGIC.to_vec();
    bytes.extend(program.iter().flat_map(|instruction| instruction.to_le_bytes()));
    let written = file.write_all(&bytes).and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        fs::remove_file(&temporary)?;
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_second_call_does_not_compile() {
        let dir = tempfile::tempdir().unwrap();
        let cache = dir.path().join("seccomp");
        let made = get_or_make(&cache, "k", || Ok(vec![1, 2, 3])).unwrap();
        let again = get_or_make(&cache, "k", || Err(Error::invalid("x", "compiled again"))).unwrap();
        assert_eq!(made, again);
    }

    #[test]
    fn a_file_others_may_write_or_that_is_cut_is_not_trusted() {
        let dir = tempfile::tempdir().unwrap();
        get_or_make(dir.path(), "k", || Ok(vec![1, 2, 3])).unwrap();
        let path = dir.path().join("k");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        assert_eq!(load(&path), None);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(load(&path).is_some());
        fs::write(&path, b"gntrybpf123").unwrap();
        assert_eq!(load(&path), None);
    }

    #[test]
    fn keys_differ_by_kind_and_input() {
        assert_ne!(key("default", b"1"), key("profile", b"1"));
        assert_ne!(key("default", b"1"), key("default", b"2"));
    }
}
