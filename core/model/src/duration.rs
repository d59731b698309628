//! Lengths of time: Go's grammar (`300ms`, `1.5h`, `2h45m`) in, Docker's words ("About an hour") out.

/// Why a text is not a duration, in Go's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// Not of the grammar, or beyond 292 years.
    #[error("time: invalid duration \"{0}\"")]
    Invalid(String),
    /// A number without its unit.
    #[error("time: missing unit in duration \"{0}\"")]
    NoUnit(String),
    /// A unit nobody knows.
    #[error("time: unknown unit \"{unit}\" in duration \"{text}\"")]
    Unit {
        /// As written.
        unit: String,
        /// The whole text.
        text: String,
    },
}

/// Parses to nanoseconds; may be negative.
pub fn parse(text: &str) -> Result<i64, DurationError> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let total = match unsigned {
        "0" => 0,
        "" => return Err(DurationError::Invalid(text.to_owned())),
        _ => sum(unsigned, text)?,
    };
    Ok(if text.starts_with('-') { -total } else { total })
}

fn sum(mut rest: &str, text: &str) -> Result<i64, DurationError> {
    let invalid = || DurationError::Invalid(text.to_owned());
    let mut total = 0i64;
    while !rest.is_empty() {
        let (number, after) = split_at_first(rest, |c| !c.is_ascii_digit() && c != '.');
        let (unit, after) = split_at_first(after, |c| c.is_ascii_digit() || c == '.');
        let piece = piece(number, unit, text)?;
        total = total.checked_add(piece).ok_or_else(invalid)?;
        rest = after;
    }
    Ok(total)
}

fn split_at_first(text: &str, stop: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(stop).unwrap_or(text.len()))
}

fn piece(number: &str, unit: &str, text: &str) -> Result<i64, DurationError> {
    let invalid = || DurationError::Invalid(text.to_owned());
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
        return Err(invalid());
    }
    if unit.is_empty() {
        return Err(DurationError::NoUnit(text.to_owned()));
    }
    let scale = scale(unit).ok_or_else(|| DurationError::Unit { unit: unit.to_owned(), text: text.to_owned() })?;
    let whole: i64 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| invalid())? };
    let fraction: f64 = format!("0.{fraction}0").parse().map_err(|_| invalid())?;
    let whole = whole.checked_mul(scale).ok_or_else(invalid)?;
    whole.checked_add((fraction * scale as f64) as i64).ok_or_else(invalid)
}

fn scale(unit: &str) -> Option<i64> {
    Some(match unit {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    })
}

/// "3 minutes", "About an hour", "2 weeks".
pub fn human(seconds: u64) -> String {
    let minutes = seconds / 60;
    let hours = (seconds + 1800) / 3600;
    match (seconds, minutes, hours) {
        (0, ..) => "Less than a second".to_owned(),
        (1, ..) => "1 second".to_owned(),
        (..60, ..) => format!("{seconds} seconds"),
        (_, 1, _) => "About a minute".to_owned(),
        (_, ..60, _) => format!("{minutes} minutes"),
        (_, _, 1) => "About an hour".to_owned(),
        (_, _, ..48) => format!("{hours} hours"),
        (_, _, ..336) => format!("{} days", hours / 24),
        (_, _, ..1440) => format!("{} weeks", hours / 24 / 7),
        (_, _, ..17_520) => format!("{} months", hours / 24 / 30),
        _ => format!("{} years", seconds / 3600 / 24 / 365),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parsed() {
        let second = 1_000_000_000;
        for (text, want) in [
            ("0", 0),
            ("300ms", 300_000_000),
            ("1.5h", 5400 * second),
            ("2h45m", 9900 * second),
            ("-1s", -second),
            ("+1s", second),
            ("1us", 1000),
            (".5s", second / 2),
            ("1.s", second),
        ] {
            assert_eq!(parse(text), Ok(want), "{text}");
        }
    }

    #[test]
    fn refused() {
        for (text, message) in [
            ("", "time: invalid duration \"\""),
            ("abc", "time: invalid duration \"abc\""),
            ("5", "time: missing unit in duration \"5\""),
            ("5d", "time: unknown unit \"d\" in duration \"5d\""),
            (".s", "time: invalid duration \".s\""),
            ("-", "time: invalid duration \"-\""),
            ("1..2s", "time: invalid duration \"1..2s\""),
            ("9999999999h", "time: invalid duration \"9999999999h\""),
        ] {
            assert_eq!(parse(text).unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn words() {
        for (seconds, want) in [
            (0, "Less than a second"),
            (1, "1 second"),
            (59, "59 seconds"),
            (60, "About a minute"),
            (119, "About a minute"),
            (120, "2 minutes"),
            (3599, "59 minutes"),
            (3600, "About an hour"),
            (5400, "2 hours"),
            (47 * 3600, "47 hours"),
            (48 * 3600, "2 days"),
            (14 * 86400, "2 weeks"),
            (60 * 86400, "2 months"),
            (730 * 86400, "2 years"),
        ] {
            assert_eq!(human(seconds), want, "{seconds}");
        }
    }
}
