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
