//! Points in time: what `--since` and `--until` accept, and RFC 3339 as logs and `inspect` print it.

use jiff::{Timestamp, civil, tz::TimeZone};

const SECOND: i64 = 1_000_000_000;

/// The text is no point in time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("failed to parse value as time or duration: \"{0}\"")]
pub struct TimeError(pub String);

/// Parses a duration before `now_ns` (cut to whole seconds), an RFC 3339 time, a local date with or without time,
/// or Unix seconds; gives nanoseconds since 1970.
pub fn parse(text: &str, now_ns: i64) -> Result<i64, TimeError> {
    if let Ok(ago) = crate::duration::parse(text)
        && text != "0"
    {
        return Ok(now_ns.saturating_sub(ago).div_euclid(SECOND) * SECOND);
    }
    unix(text).or_else(|| zoned(text)).or_else(|| local(text)).ok_or_else(|| TimeError(text.to_owned()))
}

fn unix(text: &str) -> Option<i64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(fraction) {
        return None;
    }
    let nanos: String = fraction.chars().chain("000000000".chars()).take(9).collect();
    whole.parse::<i64>().ok()?.checked_mul(SECOND)?.checked_add(nanos.parse().ok()?)
}

fn zoned(text: &str) -> Option<i64> {
    let instant: Timestamp = text.parse().ok()?;
    Some(nanoseconds(instant))
}

fn local(text: &str) -> Option<i64> {
    let complete = match text.split_once('T') {
        None => format!("{text}T00:00:00"),
        Some((_, time)) => match time.bytes().filter(|b| *b == b':').count() {
            0 => format!("{text}:00:00"),
            1 => format!("{text}:00"),
            _ => text.to_owned(),
        },
    };
    let date: civil::DateTime = complete.parse().ok()?;
    Some(nanoseconds(date.to_zoned(TimeZone::system()).ok()?.timestamp()))
}

/// Of times that cannot be told so, the nearest that can: all that has happened is on this side of them.
fn nanoseconds(instant: Timestamp) -> i64 {
    let exact = instant.as_nanosecond();
    i64::try_from(exact).unwrap_or(if exact < 0 { i64::MIN } else { i64::MAX })
}

/// Length of what [`write_rfc3339`] writes.
pub const RFC3339_LEN: usize = 30;

/// `2013-01-02T13:23:37.000000000Z`: UTC with exactly nine digits.
pub fn write_rfc3339(ns: u64, out: &mut [u8; RFC3339_LEN]) {
    let seconds = ns / SECOND as u64;
    let (year, month, day) = civil_from_days(seconds / 86_400);
    let clock = seconds % 86_400;
    *out = *b"0000-00-00T00:00:00.000000000Z";
    digits(&mut out[0..4], year);
    digits(&mut out[5..7], month);
    digits(&mut out[8..10], day);
    digits(&mut out[11..13], clock / 3600);
    digits(&mut out[14..16], clock / 60 % 60);
    digits(&mut out[17..19], clock % 60);
    digits(&mut out[20..29], ns % SECOND as u64);
}

/// The same as a string.
pub fn rfc3339(ns: u64) -> String {
    let mut buffer = [0; RFC3339_LEN];
    write_rfc3339(ns, &mut buffer);
    String::from_utf8_lossy(&buffer).into_owned()
}

/// `2013-01-02T14:23:37.000000000+01:00`: the time zone of this host with exactly nine digits.
pub fn in_local_zone(ns: u64) -> String {
    let Ok(instant) = Timestamp::from_nanosecond(ns.into()) else { return rfc3339(ns) };
    let zoned = instant.to_zoned(TimeZone::system());
    if zoned.offset().seconds() == 0 { rfc3339(ns) } else { zoned.strftime("%Y-%m-%dT%H:%M:%S.%9f%:z").to_string() }
}

fn digits(out: &mut [u8], mut value: u64) {
    for slot in out.iter_mut().rev() {
        *slot = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

/// Howard Hinnant's algorithm, days since 1970 to a Gregorian date.
fn civil_from_days(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absolute() {
        for (text, want) in [
            ("0", 0),
            ("1357133017", 1_357_133_017 * SECOND),
            ("1357133017.5", 1_357_133_017 * SECOND + SECOND / 2),
            ("2013-01-02T13:23:37Z", 1_357_133_017 * SECOND),
            ("2013-01-02T14:23:37.000000001+01:00", 1_357_133_017 * SECOND + 1),
            ("2999-01-01T00:00:00Z", i64::MAX),
            ("0001-01-01T00:00:00Z", i64::MIN),
        ] {
            assert_eq!(parse(text, 0), Ok(want), "{text}");
        }
    }

    #[test]
    fn relative() {
        let now = 1_000_000 * SECOND + 999;
        assert_eq!(parse("42m", now), Ok(1_000_000 * SECOND - 42 * 60 * SECOND));
        assert_eq!(parse("1s", now), Ok(999_999 * SECOND));
        assert_eq!(parse("-1m", now), Ok(1_000_060 * SECOND));
    }

    #[test]
    fn local_dates() {
        let midnight = parse("2013-01-02", 0);
        assert!(midnight.is_ok());
        assert_eq!(parse("2013-01-02T00", 0), midnight);
        assert_eq!(parse("2013-01-02T00:00", 0), midnight);
        assert_eq!(parse("2013-01-02T00:00:00.0", 0), midnight);
    }

    #[test]
    fn refused() {
        for text in ["", "yesterday", "2013-13-01", "1.2.3", "5", "x5m"] {
            let got = parse(text, 0);
            let expect_number = text == "5";
            assert_eq!(got.is_ok(), expect_number, "{text}");
        }
    }

    #[test]
    fn printed() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000000000Z");
        assert_eq!(rfc3339(1_357_133_017_000_000_042), "2013-01-02T13:23:37.000000042Z");
        assert_eq!(rfc3339(1_709_164_800_000_000_000), "2024-02-29T00:00:00.000000000Z");
        assert_eq!(rfc3339(4_102_444_799_999_999_999), "2099-12-31T23:59:59.999999999Z");
    }
}
