//! Keeping the heap of a small, long-lived process small.

/// One arena for all threads, and freed blocks from 64 KiB on go straight back to the kernel.
pub fn stay_small() {
    const LIMIT: libc::c_int = 64 * 1024;
    for (parameter, value) in [(libc::M_ARENA_MAX, 1), (libc::M_MMAP_THRESHOLD, LIMIT), (libc::M_TRIM_THRESHOLD, LIMIT)]
    {
        // SAFETY: integers only; an unknown parameter is ignored.
        unsafe { libc::mallopt(parameter, value) };
    }
}

/// Gives free heap pages back to the kernel.
pub fn trim() {
    // SAFETY: an integer; glibc takes its own locks.
    unsafe { libc::malloc_trim(0) };
}

/// Lets go of the pages of our program and its libraries; those that are used again are found in the kernel's cache. A long
/// uptime would otherwise end with all of them counted as ours.
pub fn let_go_of_code() {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    for (start, length) in maps.lines().filter_map(code) {
        // SAFETY: a private mapping of a file that is executed and was never written: linkers leave nothing to be relocated
        // in it. What is dropped is read again from the same file when it is touched.
        unsafe { libc::madvise(std::ptr::without_provenance_mut(start), length, libc::MADV_DONTNEED) };
    }
}

/// Start and length of a mapping that is a file's code.
fn code(line: &str) -> Option<(usize, usize)> {
    let mut words = line.split_ascii_whitespace();
    let (range, rights, path) = (words.next()?, words.next()?, words.nth(3)?);
    if rights != "r-xp" || !path.starts_with('/') {
        return None;
    }
    let (start, end) = range.split_once('-')?;
    let number = |text| usize::from_str_radix(text, 16).ok();
    let (start, end) = (number(start)?, number(end)?);
    Some((start, end.checked_sub(start)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_is_what_is_executed_of_files() {
        let line = |rights: &str, path: &str| format!("7f00000000-7f00002000 {rights} 00001000 fe:00 1234 {path}");
        assert_eq!(code(&line("r-xp", "/usr/bin/a b")), Some((0x7f_0000_0000, 0x2000)));
        for (rights, path) in [("r--p", "/a"), ("rw-p", "/a"), ("r-xp", "[vdso]"), ("r-xp", "")] {
            assert_eq!(code(&line(rights, path)), None, "{rights} {path}");
        }
    }

    #[test]
    fn the_program_goes_on() {
        let_go_of_code();
        assert_eq!("still here".len(), 10);
    }
}
