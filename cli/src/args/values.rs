//! Values of flags: from text to the type they have; the error is the reason in the words of Docker's parser.

use std::fmt::Display;

type Outcome<T = ()> = Result<T, String>;

/// Go's `strconv.ParseBool`.
pub fn boolean(text: &str) -> Outcome<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(false),
        _ => Err(format!("strconv.ParseBool: parsing {text:?}: invalid syntax")),
    }
}

/// Go's `strconv.ParseInt`.
pub fn int(text: &str) -> Outcome<i64> {
    number(text, "ParseInt")
}

/// Go's `strconv.ParseUint`.
pub fn uint16(text: &str) -> Outcome<u16> {
    number(text, "ParseUint")
}

fn number<T: std::str::FromStr<Err = std::num::ParseIntError>>(text: &str, function: &str) -> Outcome<T> {
    use std::num::IntErrorKind::{NegOverflow, PosOverflow};
    text.parse().map_err(|error: std::num::ParseIntError| {
        let reason = match error.kind() {
            PosOverflow | NegOverflow => "value out of range",
            _ => "invalid syntax",
        };
        format!("strconv.{function}: parsing {text:?}: {reason}")
    })
}

/// A size in powers of 1024.
pub fn bytes(text: &str) -> Outcome<i64> {
    gantry_engine::model::size::parse_binary(text).map_err(words)
}

/// The same, and -1 for no limit.
pub fn swap(text: &str) -> Outcome<i64> {
    if text == "-1" { Ok(-1) } else { bytes(text) }
}

/// A duration in nanoseconds.
pub fn duration(text: &str) -> Outcome<i64> {
    gantry_engine::model::duration::parse(text).map_err(words)
}

/// CPUs as a decimal number, in billionths.
pub fn nano_cpus(text: &str) -> Outcome<i64> {
    let decimal = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let value: Option<f64> = if decimal { text.parse().ok() } else { None };
    let cpus = value.ok_or_else(|| format!("failed to parse {text} as a rational number"))?;
    let precise = text.split_once('.').is_none_or(|(_, fraction)| fraction.trim_end_matches('0').len() <= 9);
    if precise { Ok((cpus * 1e9).round() as i64) } else { Err("value is too precise".to_owned()) }
}

/// Keeps the last.
pub fn put(slot: &mut Option<String>, text: &str) -> Outcome {
    *slot = Some(text.to_owned());
    Ok(())
}

/// Keeps all.
pub fn push(list: &mut Vec<String>, text: &str) -> Outcome {
    list.push(text.to_owned());
    Ok(())
}

/// Keeps all that a parser of the model accepts.
pub fn add<T, E: Display>(list: &mut Vec<T>, parsed: Result<T, E>) -> Outcome {
    list.push(parsed.map_err(words)?);
    Ok(())
}

/// An error as its sentence.
pub fn words(error: impl Display) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpus() {
        assert_eq!(nano_cpus("1.5"), Ok(1_500_000_000));
        assert_eq!(nano_cpus(".25"), Ok(250_000_000));
        assert_eq!(nano_cpus("abc").unwrap_err(), "failed to parse abc as a rational number");
        assert_eq!(nano_cpus("0.1234567891").unwrap_err(), "value is too precise");
    }

    #[test]
    fn numbers() {
        assert_eq!(int("-5"), Ok(-5));
        assert_eq!(uint16("70000").unwrap_err(), "strconv.ParseUint: parsing \"70000\": value out of range");
        assert_eq!(swap("-1"), Ok(-1));
        assert!(bytes("-1").is_err());
    }
}
