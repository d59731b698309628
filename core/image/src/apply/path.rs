//! Archive paths: cleaned once, relative to the layer's root, never leading out of it.

use super::error::{ApplyError, lossy};
use crate::limits::Limits;

/// Strips leading slashes and resolves `.` and `..` by text; the root itself is empty.
pub(crate) fn clean(path: &[u8], limits: &Limits) -> Result<Vec<u8>, ApplyError> {
    if path.len() > limits.path_bytes {
        let limit = limits.path_bytes as u64;
        return Err(ApplyError::Path { what: "the length of a path", path: lossy(&path[..64.min(path.len())]), limit });
    }
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in path.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." if parts.pop().is_none() => return Err(ApplyError::Escape(lossy(path))),
            b".." => {}
            _ => parts.push(part),
        }
    }
    if parts.len() > limits.depth {
        let limit = limits.depth as u64;
        return Err(ApplyError::Path { what: "the depth of a path", path: lossy(&path[..64.min(path.len())]), limit });
    }
    Ok(parts.join(&b'/'))
}

/// Splits a cleaned path into directory and name.
pub(super) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(at) => (&path[..at], &path[at + 1..]),
        None => (b"", path),
    }
}

/// Joins a cleaned directory and a name.
pub(super) fn join(dir: &[u8], name: &[u8]) -> Vec<u8> {
    match dir.is_empty() {
        true => name.to_vec(),
        false => [dir, b"/", name].concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cleans() {
        let limits = Limits { depth: 3, path_bytes: 20, ..Limits::default() };
        let cases: [(&str, Option<&str>); 10] = [
            ("a/b", Some("a/b")),
            ("./a//b/", Some("a/b")),
            ("/etc/x", Some("etc/x")),
            (".", Some("")),
            ("a/../b", Some("b")),
            ("../a", None),
            ("/../a", None),
            ("a/../../b", None),
            ("a/b/c/d", None),
            ("aaaaaaaaaaaaaaaaaaaaaaa", None),
        ];
        for (text, wanted) in cases {
            let found = clean(text.as_bytes(), &limits).ok();
            assert_eq!(found.as_deref(), wanted.map(str::as_bytes), "{text}");
        }
        assert_eq!(split(b"a/b/c"), (&b"a/b"[..], &b"c"[..]));
        assert_eq!(split(b"a"), (&b""[..], &b"a"[..]));
        assert_eq!(join(b"", b"a"), b"a");
    }
}
