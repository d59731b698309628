//! Amounts of bytes as people write them, and as lists print them. The grammar is Docker's: a decimal number and an
//! optional unit; whether `k` is 1000 or 1024 depends on the option, hence two parsers.

/// Why a text is not a size, in Docker's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SizeError {
    /// No number, or a negative one.
    #[error("invalid size: '{0}'")]
    Number(String),
    /// A unit nobody knows.
    #[error("invalid suffix: '{0}'")]
    Suffix(String),
    /// Does not fit 63 bits.
    #[error("size too large: '{0}'")]
    Large(String),
}

/// Powers of 1024: memory, tmpfs, buffers.
pub fn parse_binary(text: &str) -> Result<i64, SizeError> {
    parse(text, 1024.0)
}

/// Powers of 1000: log files.
pub fn parse_decimal(text: &str) -> Result<i64, SizeError> {
    parse(text, 1000.0)
}

fn parse(text: &str, base: f64) -> Result<i64, SizeError> {
    let (number, suffix) = split(text).ok_or_else(|| SizeError::Number(text.to_owned()))?;
    let size = number_of(number).ok_or_else(|| SizeError::Number(text.to_owned()))?;
    let factor = factor(suffix, base).ok_or_else(|| SizeError::Suffix(suffix.to_ascii_lowercase()))?;
    let bytes = size * factor;
    if bytes < i64::MAX as f64 { Ok(bytes as i64) } else { Err(SizeError::Large(text.to_owned())) }
}

fn split(text: &str) -> Option<(&str, &str)> {
    let last = text.rfind(|c: char| c.is_ascii_digit() || c == '.' || c == ' ')?;
    let (number, suffix) = text.split_at(last + 1);
    Some((number.strip_suffix(' ').unwrap_or(number), suffix))
}

/// Digits and one dot; Rust's own parser would also take `inf`, signs and exponents.
fn number_of(text: &str) -> Option<f64> {
    let plain = text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    if plain { text.parse().ok() } else { None }
}

fn factor(suffix: &str, base: f64) -> Option<f64> {
    let lower = suffix.to_ascii_lowercase();
    let Some(unit) = lower.chars().next() else { return Some(1.0) };
    if unit == 'b' {
        return (lower.len() == 1).then_some(1.0);
    }
    let power = "kmgtp".find(unit)? as i32 + 1;
    matches!(&lower[1..], "" | "b" | "ib").then(|| base.powi(power))
}

/// `1.23MB`: decimal units with so many significant digits, as Docker's lists print them.
pub fn human_decimal(bytes: u64, digits: usize) -> String {
    human(bytes, digits, 1000.0, &["B", "kB", "MB", "GB", "TB", "PB", "EB"])
}

/// `1.5MiB`: binary units with four significant digits.
pub fn human_binary(bytes: u64) -> String {
    human(bytes, 4, 1024.0, &["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"])
}

fn human(bytes: u64, digits: usize, base: f64, units: &[&str]) -> String {
    let mut value = bytes as f64;
    let mut unit = 0;
    while rounded(value, digits) >= base && unit + 1 < units.len() {
        value /= base;
        unit += 1;
    }
    format!("{}{}", significant(value, digits), units[unit])
}

fn decimals(value: f64, digits: usize) -> usize {
    let whole = if value < 10.0 { 1 } else { value.log10().floor() as usize + 1 };
    digits.saturating_sub(whole)
}

fn rounded(value: f64, digits: usize) -> f64 {
    let scale = 10f64.powi(decimals(value, digits) as i32);
    (value * scale).round() / scale
}

/// So many significant digits without trailing zeros (C's `%.*g` where no exponent is needed).
fn significant(value: f64, digits: usize) -> String {
    let text = format!("{:.*}", decimals(value, digits), value);
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn binary() {
        let cases: &[(&str, i64)] = &[
            ("0", 0),
            ("32", 32),
            ("32b", 32),
            ("32B", 32),
            ("32k", 32 << 10),
            ("32KiB", 32 << 10),
            ("32 kb", 32 << 10),
            ("1.5m", 3 << 19),
            ("2G", 2 << 30),
            ("1t", 1 << 40),
            (".5k", 512),
        ];
        for (text, want) in cases {
            assert_eq!(parse_binary(text).as_ref(), Ok(want), "{text}");
        }
        assert_eq!(parse_decimal("10MiB"), Ok(10_000_000));
        assert_eq!(parse_decimal("1.5k"), Ok(1500));
    }

    #[test]
    fn refused() {
        for (text, message) in [
            ("abc", "invalid size: 'abc'"),
            ("", "invalid size: ''"),
            ("-5", "invalid size: '-5'"),
            ("1e3", "invalid size: '1e3'"),
            ("5x", "invalid suffix: 'x'"),
            ("5BB", "invalid suffix: 'bb'"),
            ("5kib ", "invalid size: '5kib '"),
            ("5kbb", "invalid suffix: 'kbb'"),
            ("5é", "invalid suffix: 'é'"),
            ("99999999p", "size too large: '99999999p'"),
            ("1.2.3k", "invalid size: '1.2.3k'"),
        ] {
            assert_eq!(parse_binary(text).unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn printed() {
        for (bytes, want) in [
            (0, "0B"),
            (999, "999B"),
            (1000, "1kB"),
            (4_261_502, "4.26MB"),
            (141_000_000, "141MB"),
            (999_999, "1MB"),
            (1_500_000_000, "1.5GB"),
            (10_049, "10kB"),
        ] {
            assert_eq!(human_decimal(bytes, 3), want, "{bytes}");
        }
        assert_eq!(human_decimal(1_084_123_456, 4), "1.084GB");
        assert_eq!(human_binary(1536), "1.5KiB");
        assert_eq!(human_binary(0), "0B");
    }
}
