//! RFC 3339 times: nanoseconds since 1970 to Docker's spelling (UTC, trailing zeros trimmed) and back.
//!
//! Both ways remember the last second, because neighbouring records share it: then only the fraction is worked on.

const SECOND: u64 = 1_000_000_000;
const DAY: u64 = 86_400;
/// Bytes of `2006-01-02T15:04:05`.
const WHOLE: usize = 19;

/// Writes times.
pub struct Stamper {
    second: u64,
    text: [u8; 32],
}

impl Default for Stamper {
    fn default() -> Self {
        Stamper::new()
    }
}

impl Stamper {
    /// A stamper that has seen no time yet.
    pub fn new() -> Self {
        let mut stamper = Stamper { second: u64::MAX, text: [b' '; 32] };
        stamper.set_second(0);
        stamper
    }

    /// Appends `2006-01-02T15:04:05.999999999Z`, zeros at the end of the fraction trimmed.
    #[inline]
    pub fn push(&mut self, out: &mut Vec<u8>, ns: u64) {
        let second = ns / SECOND;
        if second != self.second {
            self.set_second(second);
        }
        let kept = self.set_fraction((ns % SECOND) as u32);
        let start = out.len();
        // A fixed size makes this two plain stores instead of a call.
        out.extend_from_slice(&self.text);
        out.truncate(start + kept);
    }

    fn set_second(&mut self, second: u64) {
        self.second = second;
        let (year, month, day) = civil(second / DAY);
        let clock = second % DAY;
        let (hour, minute, rest) = (clock / 3600, clock / 60 % 60, clock % 60);
        let text = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{rest:02}");
        self.text[..WHOLE].copy_from_slice(&text.as_bytes()[..WHOLE]);
    }

    /// Writes the fraction and the zone; answers the length of the whole text.
    #[inline]
    fn set_fraction(&mut self, mut nanos: u32) -> usize {
        if nanos == 0 {
            self.text[WHOLE] = b'Z';
            return WHOLE + 1;
        }
        self.text[WHOLE] = b'.';
        for digit in self.text[WHOLE + 1..WHOLE + 10].iter_mut().rev() {
            *digit = b'0' + (nanos % 10) as u8;
            nanos /= 10;
        }
        let mut end = WHOLE + 10;
        while self.text[end - 1] == b'0' {
            end -= 1;
        }
        self.text[end] = b'Z';
        end + 1
    }
}

/// Reads times.
pub struct Clock {
    text: [u8; WHOLE],
    second: u64,
}

impl Default for Clock {
    fn default() -> Self {
        Clock::new()
    }
}

impl Clock {
    /// A clock that has read nothing yet.
    pub fn new() -> Self {
        Clock { text: [0; WHOLE], second: 0 }
    }

    /// Reads a UTC time ending in `Z` at the start of `text`; answers nanoseconds and the bytes used.
    #[inline]
    pub fn utc(&mut self, text: &[u8]) -> Option<(u64, usize)> {
        let whole: &[u8; WHOLE] = text.first_chunk()?;
        if *whole != self.text {
            self.second = seconds(whole)?;
            self.text = *whole;
        }
        let (nanos, used) = fraction(&text[WHOLE..])?;
        let zone = WHOLE + used;
        (*text.get(zone)? == b'Z').then_some((self.second * SECOND + nanos, zone + 1))
    }

    /// Reads any RFC 3339 time, all of `text`.
    pub fn any_zone(&mut self, text: &[u8]) -> Option<u64> {
        if let Some((ns, used)) = self.utc(text) {
            return (used == text.len()).then_some(ns);
        }
        let whole: &[u8; WHOLE] = text.first_chunk()?;
        let (nanos, used) = fraction(&text[WHOLE..])?;
        let east = offset(&text[WHOLE + used..])?;
        let second = i64::try_from(seconds(whole)?).ok()?.checked_sub(east)?;
        u64::try_from(second).ok()?.checked_mul(SECOND)?.checked_add(nanos)
    }
}

/// `.123` as nanoseconds, and its length; no fraction counts as zero.
#[inline]
fn fraction(text: &[u8]) -> Option<(u64, usize)> {
    let Some((b'.', digits)) = text.split_first() else { return Some((0, 0)) };
    match digits.first_chunk::<8>().and_then(eight_digits) {
        Some(value) => match digits.get(8) {
            Some(ninth) if ninth.is_ascii_digit() => Some((value * 10 + u64::from(ninth - b'0'), 10)),
            _ => Some((value * 10, 9)),
        },
        None => few_digits(digits),
    }
}

#[inline(never)]
fn few_digits(digits: &[u8]) -> Option<(u64, usize)> {
    let digits = digits.iter().take(8).take_while(|byte| byte.is_ascii_digit());
    let (value, count) = digits.fold((0u64, 0u32), |(value, count), b| (value * 10 + u64::from(b - b'0'), count + 1));
    (count > 0).then(|| (value * 10u64.pow(9 - count), count as usize + 1))
}

/// Eight digits at once: pairs, then fours, then all are joined within one word.
#[inline]
fn eight_digits(text: &[u8; 8]) -> Option<u64> {
    let word = u64::from_le_bytes(*text) ^ 0x3030_3030_3030_3030;
    // A byte above 9 carries into its highest bit.
    if (word.wrapping_add(0x7676_7676_7676_7676) | word) & 0x8080_8080_8080_8080 != 0 {
        return None;
    }
    let pairs = (word * 10 + (word >> 8)) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs * 100 + (pairs >> 16)) & 0x0000_ffff_0000_ffff;
    Some((fours * 10_000 + (fours >> 32)) & 0xffff_ffff)
}

/// `+02:00` as seconds east of Greenwich.
fn offset(text: &[u8]) -> Option<i64> {
    let text: &[u8; 6] = text.try_into().ok()?;
    let sign = match text[0] {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let (hours, minutes) = (number(&text[1..3])?, number(&text[4..6])?);
    (text[3] == b':' && hours < 24 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60) as i64)
}

fn seconds(text: &[u8; WHOLE]) -> Option<u64> {
    let marks = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    if marks.iter().any(|(at, mark)| text[*at] != *mark) {
        return None;
    }
    let (year, month, day) = (number(&text[..4])?, number(&text[5..7])?, number(&text[8..10])?);
    let (hour, minute, second) = (number(&text[11..13])?, number(&text[14..16])?, number(&text[17..19])?);
    let possible = (1970..=2554).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && second <= 60;
    let seconds = || days(year, month, day) * DAY + hour * 3600 + minute * 60 + second;
    // What does not fit into 64 bits of nanoseconds is no time of ours.
    possible.then(seconds).filter(|seconds| *seconds < u64::MAX / SECOND)
}

fn number(text: &[u8]) -> Option<u64> {
    text.iter().try_fold(0, |value, b| b.is_ascii_digit().then(|| value * 10 + u64::from(b - b'0')))
}

/// Days in 400 years.
const ERA: u64 = 146_097;
/// Days from 1 March of year 0 to 1 January 1970.
const EPOCH: u64 = 719_468;

/// Days since 1970 of a Gregorian date. The year is counted from March, so that the leap day comes last.
fn days(year: u64, month: u64, day: u64) -> u64 {
    let year = if month < 3 { year - 1 } else { year };
    let of_era = year % 400;
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    year / 400 * ERA + of_era * 365 + of_era / 4 - of_era / 100 + of_year - EPOCH
}

/// The Gregorian date of a day since 1970.
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + EPOCH;
    let of_era = shifted % ERA;
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / (ERA - 1)) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = shifted / ERA * 400 + year_of_era + u64::from(month < 3);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(ns: u64) -> String {
        let mut out = Vec::new();
        Stamper::new().push(&mut out, ns);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn zeros_are_trimmed() {
        for (ns, want) in [
            (0, "1970-01-01T00:00:00Z"),
            (1, "1970-01-01T00:00:00.000000001Z"),
            (1_700_000_000 * SECOND, "2023-11-14T22:13:20Z"),
            (1_700_000_000 * SECOND + 120_000_000, "2023-11-14T22:13:20.12Z"),
            (1_709_251_199 * SECOND + 999_999_990, "2024-02-29T23:59:59.99999999Z"),
            (4_102_444_800 * SECOND, "2100-01-01T00:00:00Z"),
        ] {
            assert_eq!(text(ns), want);
        }
    }

    #[test]
    fn agrees_with_a_calendar_library() {
        let (mut stamper, mut clock) = (Stamper::new(), Clock::new());
        let mut ns = 7u64;
        while ns < 16_000_000_000 * SECOND {
            let mut out = Vec::new();
            stamper.push(&mut out, ns);
            let seconds = i64::try_from(ns / SECOND).unwrap();
            let other = jiff::Timestamp::new(seconds, (ns % SECOND) as i32).unwrap().to_string();
            assert_eq!(String::from_utf8(out.clone()).unwrap(), other);
            assert_eq!(clock.utc(&out), Some((ns, out.len())));
            ns += 86_399 * SECOND * 31 + 123_456_789;
        }
    }

    #[test]
    fn other_zones_and_nonsense() {
        let mut clock = Clock::new();
        assert_eq!(clock.any_zone(b"1970-01-01T02:00:00.5+02:00"), Some(500_000_000));
        assert_eq!(clock.any_zone(b"1970-01-01T00:00:00-00:30"), Some(1800 * SECOND));
        for bad in ["", "1970-01-01", "1970-13-01T00:00:00Z", "1970-01-01T00:00:00", "1970-01-01T00:00:00.Z", "x"] {
            assert_eq!(clock.any_zone(bad.as_bytes()), None, "{bad}");
        }
        assert_eq!(clock.any_zone(b"1970-01-01T00:00:00.0000000001Z"), None);
    }
}
