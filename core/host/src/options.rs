//! Checks what a user typed against a driver's schema, without running the driver: keys, aliases, types, choices and
//! what is required; fills in defaults.

use crate::error::Error;
use gantry_model::template::Template;
use gantry_plugin_api::manifest::{Kind, OptionInfo};
use gantry_plugin_api::options::{OptionKind, Options, REST, Scope, parse_bool, parse_duration, parse_size};
use regex::Regex;
use std::collections::BTreeMap;

/// A driver's schema and whose it is.
pub struct Schema<'a> {
    pub kind: Kind,
    pub name: &'a str,
    pub options: &'a [OptionInfo],
}

impl Schema<'_> {
    /// Options of a scope, checked and completed.
    pub fn check(&self, scope: Scope, pairs: &[(String, String)]) -> Result<Options, Error> {
        let values = self.fill(scope, pairs)?;
        match self.of(scope).find(|o| o.required && !values.contains_key(&o.key)) {
            Some(missing) => Err(self.missing(missing)),
            None => Ok(Options::from_pairs(values)),
        }
    }

    /// Options each by itself, as those of a file are judged: what is missing may come from elsewhere.
    pub fn check_each(&self, scope: Scope, pairs: &[(String, String)]) -> Result<Options, Error> {
        self.fill(scope, pairs).map(Options::from_pairs)
    }

    fn fill(&self, scope: Scope, pairs: &[(String, String)]) -> Result<BTreeMap<String, String>, Error> {
        let mut values = self.defaults(scope);
        for (key, value) in pairs {
            let info = self.find(scope, key)?;
            if value.is_empty() {
                continue;
            }
            check_value(info, value).map_err(|reason| self.invalid(key, info, value, &reason))?;
            let key = if info.key == REST { key } else { &info.key };
            values.insert(key.clone(), value.clone());
        }
        Ok(values)
    }

    fn of(&self, scope: Scope) -> impl Iterator<Item = &OptionInfo> {
        self.options.iter().filter(move |o| o.scope == scope)
    }

    fn defaults(&self, scope: Scope) -> BTreeMap<String, String> {
        let given = self.of(scope).filter(|o| !o.default.is_empty());
        given.map(|o| (o.key.clone(), o.default.clone())).collect()
    }

    fn find(&self, scope: Scope, key: &str) -> Result<&OptionInfo, Error> {
        let is_it = |o: &&OptionInfo| o.key == key || o.aliases.iter().any(|a| a == key);
        let known = self.of(scope).find(|o| is_it(o) && key != REST);
        let any = || self.of(scope).find(|o| o.key == REST && !key.is_empty() && key != REST);
        known.or_else(any).ok_or_else(|| self.unknown(scope, key))
    }

    fn unknown(&self, scope: Scope, key: &str) -> Error {
        let known: Vec<&str> = self.of(scope).map(|o| o.key.as_str()).collect();
        let nearest = nearest(key, known.iter().copied());
        let guess = nearest.map(|n| format!(", did you mean '{n}'?")).unwrap_or_default();
        let list = match known.is_empty() {
            true => " (it has none)".to_owned(),
            false => format!(" (known: {})", known.join(", ")),
        };
        let message = format!("unknown {} opt '{key}' for {} {} driver{guess}{list}", self.kind, self.name, self.kind);
        Error::Option { message, hint: self.elsewhere(key) }
    }

    fn elsewhere(&self, key: &str) -> String {
        let place = self.options.iter().find(|o| o.key == key).map(|o| o.scope);
        match place {
            Some(Scope::ENDPOINT) => format!("'{key}' belongs to an endpoint: --network name=NET,driver-opt={key}=…"),
            Some(Scope::CONTAINER) => format!("'{key}' belongs to a container"),
            Some(Scope::OBJECT) => format!("'{key}' belongs to the {} itself", self.kind),
            _ => String::new(),
        }
    }

    fn invalid(&self, key: &str, info: &OptionInfo, value: &str, reason: &str) -> Error {
        let shown = if info.secret { "***" } else { value };
        let (kind, name) = (self.kind, self.name);
        let reason = if info.secret { "the value does not fit the type" } else { reason };
        let message = format!("invalid {kind} option \"{key}={shown}\" for {kind} driver \"{name}\": {reason}");
        Error::Option { message, hint: info.help.clone() }
    }

    fn missing(&self, info: &OptionInfo) -> Error {
        let message = format!("{} driver \"{}\" needs option \"{}\"", self.kind, self.name, info.key);
        Error::Option { message, hint: info.help.clone() }
    }
}

fn check_value(info: &OptionInfo, value: &str) -> Result<(), String> {
    let wanted = |ok: bool, what: &str| if ok { Ok(()) } else { Err(what.to_owned()) };
    match info.kind {
        OptionKind::BOOL => wanted(parse_bool(value).is_some(), "expected true or false"),
        OptionKind::INT => wanted(value.parse::<i64>().is_ok(), "not an integer"),
        OptionKind::SIZE_DECIMAL => parse_size(value, 1000).map(drop),
        OptionKind::SIZE_BINARY => parse_size(value, 1024).map(drop),
        OptionKind::DURATION => {
            wanted(parse_duration(value).is_some(), "invalid duration, expected such as 300ms or 1h30m")
        }
        OptionKind::CHOICE => {
            let known = info.choices.iter().any(|c| c == value);
            wanted(known, &format!("expected one of {}", info.choices.join(", ")))
        }
        OptionKind::REGEX => Regex::new(value).map(drop).map_err(|e| e.to_string().replace('\n', " ")),
        OptionKind::TEMPLATE => Template::parse(value).map(drop).map_err(|e| e.to_string()),
        OptionKind::PATH => wanted(value.starts_with('/'), "not an absolute path"),
        OptionKind::IP => wanted(value.parse::<std::net::IpAddr>().is_ok(), "not an IP address"),
        OptionKind::IFNAME => wanted(is_ifname(value), "not an interface name of at most 15 bytes"),
        _ => Ok(()),
    }
}

fn is_ifname(name: &str) -> bool {
    let odd = |c: char| c == '/' || c == ':' || c.is_whitespace();
    (1..=15).contains(&name.len()) && name != "." && name != ".." && !name.contains(odd)
}

/// The known word nearest to a mistyped one, at most two edits away; else the one word that ends with it, as
/// `syslog-address` does with `address`.
pub fn nearest<'a>(typed: &str, known: impl Iterator<Item = &'a str> + Clone) -> Option<&'a str> {
    let scored = known.clone().map(|k| (strsim::damerau_levenshtein(typed, k), k));
    let close = scored.filter(|(distance, _)| *distance <= 2).min().map(|(_, k)| k);
    let mut longer = known.filter(|k| k.strip_suffix(typed).is_some_and(|prefix| prefix.ends_with('-')));
    close.or_else(|| longer.next().filter(|_| longer.next().is_none()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(key: &str, kind: OptionKind) -> OptionInfo {
        with(OptionInfo::new(key.into()), |info| (info.kind, info.help) = (kind, "help text".into()))
    }

    fn with(mut info: OptionInfo, set: impl FnOnce(&mut OptionInfo)) -> OptionInfo {
        set(&mut info);
        info
    }

    #[test]
    fn a_driver_may_take_any_key() {
        let mut options = schema();
        options.push(info(REST, OptionKind::STRING));
        let schema = Schema { kind: Kind::Volume, name: "docker", options: &options };
        let given = |key: &str| [(key.to_owned(), "value".to_owned())];
        let taken = schema.check(Scope::OBJECT, &given("sshcmd")).unwrap();
        assert_eq!(taken.get("sshcmd"), Some("value"));
        assert!(schema.check(Scope::OBJECT, &given("max-size")).is_err(), "known keys are judged");
        assert!(schema.check(Scope::OBJECT, &given("*")).is_err());
        assert!(schema.check(Scope::ENDPOINT, &given("sshcmd")).is_err());
    }

    fn schema() -> Vec<OptionInfo> {
        vec![
            with(info("max-size", OptionKind::SIZE_DECIMAL), |info| info.default = "20m".into()),
            with(info("max-file", OptionKind::INT), |info| info.aliases = vec!["files".into()]),
            with(info("mode", OptionKind::CHOICE), |info| info.choices = vec!["a".into(), "b".into()]),
            with(info("pin", OptionKind::INT), |info| info.secret = true),
            with(info("ifname", OptionKind::IFNAME), |info| info.scope = Scope::ENDPOINT),
        ]
    }

    fn check(scope: Scope, pairs: &[(&str, &str)]) -> Result<Options, String> {
        let options = schema();
        let pairs: Vec<_> = pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        let schema = Schema { kind: Kind::Log, name: "json-file", options: &options };
        schema.check(scope, &pairs).map_err(|e| e.to_string())
    }

    #[test]
    fn defaults_and_aliases() {
        let options = check(Scope::OBJECT, &[("files", "3"), ("max-size", "")]).expect("valid");
        assert_eq!(options.iter().collect::<Vec<_>>(), [("max-file", "3"), ("max-size", "20m")]);
    }

    #[test]
    fn faults_name_what_was_typed() {
        for (scope, key, value, want) in [
            (
                Scope::OBJECT,
                "max-size",
                "abc",
                "invalid log option \"max-size=abc\" for log driver \"json-file\": invalid size: 'abc'",
            ),
            (
                Scope::OBJECT,
                "mode",
                "c",
                "invalid log option \"mode=c\" for log driver \"json-file\": expected one of a, b",
            ),
            (
                Scope::OBJECT,
                "max-sise",
                "1",
                "unknown log opt 'max-sise' for json-file log driver, did you mean 'max-size'? (known: max-size, max-file, mode, pin)",
            ),
            (
                Scope::OBJECT,
                "ifname",
                "x",
                "unknown log opt 'ifname' for json-file log driver (known: max-size, max-file, mode, pin)",
            ),
            (
                Scope::OBJECT,
                "pin",
                "geheim",
                "invalid log option \"pin=***\" for log driver \"json-file\": the value does not fit the type",
            ),
            (
                Scope::ENDPOINT,
                "ifname",
                "a-name-much-too-long",
                "invalid log option \"ifname=a-name-much-too-long\" for log driver \"json-file\": not an interface name of at most 15 bytes",
            ),
        ] {
            assert_eq!(check(scope, &[(key, value)]), Err(want.to_owned()));
        }
    }

    #[test]
    fn required_options() {
        let options = vec![with(info("address", OptionKind::STRING), |info| info.required = true)];
        let schema = Schema { kind: Kind::Log, name: "x", options: &options };
        let error = schema.check(Scope::OBJECT, &[]).expect_err("missing");
        assert_eq!(error.to_string(), "log driver \"x\" needs option \"address\"");
    }

    #[test]
    fn a_word_without_its_prefix_is_recognised() {
        let known = ["syslog-address", "syslog-tls-cert", "gelf-tls-cert"];
        assert_eq!(Some("syslog-address"), nearest("address", known.into_iter()));
        assert_eq!(Some("syslog-address"), nearest("syslog-adress", known.into_iter()));
        assert_eq!(None, nearest("tls-cert", known.into_iter()), "there are two");
        assert_eq!(None, nearest("dress", known.into_iter()));
    }
}
