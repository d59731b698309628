//! `--log-driver` and `--log-opt`: which sink gets which option. With one driver the options are its own; with several
//! an option carries its driver's name: `syslog.syslog-address=…`.

use crate::container::LogConfig;

/// Why options and drivers do not fit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogOptError {
    /// `none` keeps no log.
    #[error("invalid logging opts for driver none")]
    None,
    /// A driver named twice.
    #[error("log driver \"{0}\" is given twice: to have two sinks of it, link its plugin under another name")]
    Twice(String),
    /// `none` beside another.
    #[error("log driver \"none\" cannot be combined with others")]
    NoneAmongOthers,
    /// Several drivers, and an option of nobody.
    #[error("log option \"{key}\" must name its driver: {}", suggestions(key, drivers))]
    Whose {
        /// As written.
        key: String,
        /// Those given.
        drivers: Vec<String>,
    },
    /// An option without a name.
    #[error("invalid log option \"{0}\": empty name")]
    Empty(String),
}

fn suggestions(key: &str, drivers: &[String]) -> String {
    let list: Vec<String> = drivers.iter().map(|driver| format!("{driver}.{key}")).collect();
    list.join(" or ")
}

/// The driver that discards: no log is kept and no copy either.
const NONE: &str = "none";

/// True for the driver whose name says that nobody wants a log.
pub fn keeps_nothing(driver: &str) -> bool {
    driver == NONE
}

/// Gives one configuration per driver, in their order. No driver given: one without a type, for the default's options.
pub fn assign(drivers: &[String], options: &[String]) -> Result<Vec<LogConfig>, LogOptError> {
    check_drivers(drivers)?;
    let mut sinks = sinks(drivers);
    for option in options {
        let (key, value) = crate::env::split(option);
        if key.is_empty() {
            return Err(LogOptError::Empty(option.clone()));
        }
        let (index, key) =
            owner(&sinks, key).ok_or_else(|| LogOptError::Whose { key: key.to_owned(), drivers: drivers.to_vec() })?;
        sinks[index].config.insert(key.to_owned(), value.to_owned());
    }
    let deaf = sinks.iter().any(|sink| keeps_nothing(&sink.r#type) && !sink.config.is_empty());
    if deaf { Err(LogOptError::None) } else { Ok(sinks) }
}

fn check_drivers(drivers: &[String]) -> Result<(), LogOptError> {
    let twice = drivers.iter().enumerate().find(|(index, driver)| drivers[..*index].contains(driver));
    if let Some((_, driver)) = twice {
        return Err(LogOptError::Twice(driver.clone()));
    }
    let mixed = drivers.len() > 1 && drivers.iter().any(|driver| keeps_nothing(driver));
    if mixed { Err(LogOptError::NoneAmongOthers) } else { Ok(()) }
}

fn sinks(drivers: &[String]) -> Vec<LogConfig> {
    match drivers {
        [] => vec![LogConfig::default()],
        _ => drivers.iter().map(|driver| LogConfig { r#type: driver.clone(), ..LogConfig::default() }).collect(),
    }
}

/// Whose option a key is, and the key without the driver's name.
fn owner<'a>(sinks: &[LogConfig], key: &'a str) -> Option<(usize, &'a str)> {
    for (index, sink) in sinks.iter().enumerate() {
        let rest = key.strip_prefix(sink.r#type.as_str()).and_then(|rest| rest.strip_prefix('.'));
        if let Some(rest) = rest.filter(|rest| !rest.is_empty() && !sink.r#type.is_empty()) {
            return Some((index, rest));
        }
    }
    (sinks.len() == 1).then_some((0, key))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(list: &[&str]) -> Vec<String> {
        list.iter().map(|s| (*s).to_owned()).collect()
    }

    fn show(drivers: &[&str], options: &[&str]) -> String {
        match assign(&strings(drivers), &strings(options)) {
            Ok(sinks) => sinks.iter().map(|s| format!("{}{:?}", s.r#type, s.config)).collect::<Vec<_>>().join(" "),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn assigned() {
        let table: &[(&[&str], &[&str], &str)] = &[
            (&[], &["a=b"], "{\"a\": \"b\"}"),
            (&["x"], &["a=b", "c"], "x{\"a\": \"b\", \"c\": \"\"}"),
            (&["x"], &["x.a=b"], "x{\"a\": \"b\"}"),
            (&["x", "y"], &["y.a=b", "x.c=d=e"], "x{\"c\": \"d=e\"} y{\"a\": \"b\"}"),
            (&["none"], &[], "none{}"),
            (&["none"], &["a=b"], "invalid logging opts for driver none"),
            (
                &["x", "x"],
                &[],
                "log driver \"x\" is given twice: to have two sinks of it, link its plugin under another name",
            ),
            (&["x", "none"], &[], "log driver \"none\" cannot be combined with others"),
            (&["x", "y"], &["a=b"], "log option \"a\" must name its driver: x.a or y.a"),
            (&["x"], &["=b"], "invalid log option \"=b\": empty name"),
        ];
        for (drivers, options, want) in table {
            assert_eq!(&show(drivers, options), want);
        }
    }
}
