//! Local time: what a second since 1970 is called where this host is.

/// A moment as people write it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Civil {
    pub year: i32,
    /// From 0.
    pub month: usize,
    pub day: i32,
    pub hour: i32,
    pub minute: i32,
    pub second: i32,
    /// Minutes east of Greenwich.
    pub east: i64,
}

/// In the host's time zone.
pub fn local(seconds: u64) -> Civil {
    let time = libc::time_t::try_from(seconds).unwrap_or_default();
    // SAFETY: all zeros is a valid `tm`, whose zone may be a null pointer.
    let mut parts: libc::tm = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are to live values of the right types; the function is safe to call from any thread.
    // It fails only for years beyond 32 bits and then leaves the zeros.
    unsafe { libc::localtime_r(&raw const time, &raw mut parts) };
    Civil {
        year: parts.tm_year.saturating_add(1900),
        month: usize::try_from(parts.tm_mon).unwrap_or_default().min(11),
        day: parts.tm_mday,
        hour: parts.tm_hour,
        minute: parts.tm_min,
        second: parts.tm_sec,
        east: parts.tm_gmtoff / 60,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_second_is_right_wherever_this_runs() {
        let civil = local(1_709_210_096);
        let minutes = i64::from(civil.day) * 1440 + i64::from(civil.hour) * 60 + i64::from(civil.minute) - civil.east;
        assert_eq!((civil.year, civil.second), (2024, 56));
        assert!([1, 2].contains(&civil.month));
        // 29 February, 12:34, or the neighbouring days in zones far off.
        assert!([29 * 1440 + 754, 754 + 1440 - 1440].contains(&minutes), "{civil:?}");
    }

    #[test]
    fn a_time_beyond_all_calendars_is_no_panic() {
        assert!([1969, 1970].contains(&local(u64::MAX).year));
    }
}
