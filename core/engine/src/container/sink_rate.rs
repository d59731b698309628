//! The options that say how much a sink takes in a time: `rate-limit`, `rate-limit-bytes`, their bursts, and what becomes
//! of the excess.

use super::sink_options::{get, size_of};
use crate::error::{Error, Result};
use gantry_supervisor::{Allowance, Rate};
use std::collections::BTreeMap;

type Options = BTreeMap<String, String>;

const UNITS: [(&str, f64); 4] = [("s", 1.0), ("m", 60.0), ("h", 3600.0), ("d", 86_400.0)];

/// Judges them.
pub(super) fn check(options: &Options) -> Result<()> {
    rate(options).map(drop)
}

/// What they say.
pub(super) fn rate(options: &Options) -> Result<Rate> {
    let records = allowance(options, ["rate-limit", "rate-burst"], lines)?;
    let bytes = allowance(options, ["rate-limit-bytes", "rate-burst-bytes"], |key, text| size_of(key, text, 1024))?;
    let wait = match get(options, "rate-excess") {
        None | Some("drop") => false,
        Some("wait") => true,
        Some(other) => {
            return Err(Error::invalid(format!("invalid rate-excess: {other}")).with_hint("choose drop or wait"));
        }
    };
    if get(options, "rate-excess").is_some() && records == Allowance::default() && bytes == Allowance::default() {
        return Err(Error::invalid("rate-excess needs a rate-limit or rate-limit-bytes"));
    }
    Ok(Rate { records, bytes, wait })
}

/// A limit `AMOUNT[/UNIT]` and its burst, which is the amount unless given.
fn allowance(options: &Options, [limit, burst]: [&str; 2], parse: fn(&str, &str) -> Result<u64>) -> Result<Allowance> {
    let Some(text) = get(options, limit) else {
        return match get(options, burst) {
            Some(_) => Err(Error::invalid(format!("{burst} needs {limit}"))),
            None => Ok(Allowance::default()),
        };
    };
    let (amount, unit) = text.split_once('/').unwrap_or((text, "s"));
    let hint = "write an amount and a time: 1000, 1000/s, 600/m, 10000/h or 1g/d for bytes";
    let invalid = || Error::invalid(format!("invalid {limit}: {text}")).with_hint(hint);
    let seconds = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, seconds)| *seconds).ok_or_else(invalid)?;
    let amount = parse(limit, amount).ok().filter(|amount| *amount > 0).ok_or_else(invalid)?;
    let most = match get(options, burst) {
        Some(text) => at_least_one(burst, text, parse)?,
        None => amount,
    };
    Ok(Allowance { per_second: amount as f64 / seconds, burst: most as f64 })
}

fn at_least_one(key: &str, text: &str, parse: fn(&str, &str) -> Result<u64>) -> Result<u64> {
    let parsed = parse(key, text).ok().filter(|amount| *amount > 0);
    parsed.ok_or_else(|| Error::invalid(format!("invalid {key}: {text}")))
}

fn lines(key: &str, text: &str) -> Result<u64> {
    text.parse().map_err(|_| Error::invalid(format!("invalid {key}: {text}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(pairs: &[(&str, &str)]) -> Options {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn limits_have_a_time_and_a_burst() {
        let read = |pairs| rate(&options(pairs)).expect("good");
        assert_eq!(Rate::default(), read(&[("rate-limit", "")]));
        assert_eq!(Allowance { per_second: 1000.0, burst: 1000.0 }, read(&[("rate-limit", "1000")]).records);
        let minute = read(&[("rate-limit", "600/m"), ("rate-burst", "50"), ("rate-excess", "wait")]);
        assert_eq!((Allowance { per_second: 10.0, burst: 50.0 }, true), (minute.records, minute.wait));
        let bytes = read(&[("rate-limit-bytes", "64k/s"), ("rate-burst-bytes", "1m")]).bytes;
        assert_eq!(Allowance { per_second: 65_536.0, burst: 1_048_576.0 }, bytes);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for bad in [
            &[("rate-limit", "many")][..],
            &[("rate-limit", "0")],
            &[("rate-limit", "10/w")],
            &[("rate-limit", "10/")],
            &[("rate-limit-bytes", "lots/s")],
            &[("rate-burst", "10")],
            &[("rate-limit", "10"), ("rate-burst", "0")],
            &[("rate-limit", "10"), ("rate-burst-bytes", "1m")],
            &[("rate-excess", "drop")],
            &[("rate-limit", "10"), ("rate-excess", "hope")],
        ] {
            assert!(check(&options(bad)).is_err(), "{bad:?}");
        }
    }
}
