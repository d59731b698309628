//! `--change`: Dockerfile instructions that alter an image's configuration.
//!
//! Only those that need no build are known. Variables (`$NAME`, `${NAME}`, `${NAME:-word}`, `${NAME:+word}`)
//! are taken from the environment the configuration has so far, as in a Dockerfile.

mod words;

use crate::config::{ContainerConfig, Healthcheck};
use words::Words;

/// A change that is not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    #[error("{0} is not a valid change command")]
    Unknown(String),
    #[error("{0} requires at least one argument")]
    NoArgument(String),
    #[error("{0} requires exactly one argument")]
    OneArgument(String),
    #[error("{instruction}: can't find = in {word:?}: must be of the form name=value")]
    NoEquals { instruction: String, word: String },
    #[error("{0} names can not be blank")]
    BlankName(String),
    #[error("invalid containerPort: {0}")]
    Port(String),
    #[error("unknown instruction in ONBUILD: {0}")]
    OnBuild(String),
    #[error("invalid signal: {0}")]
    Signal(String),
    #[error("HEALTHCHECK: {0}")]
    Health(String),
    #[error("unexpected end of statement while looking for matching {0}")]
    Unterminated(char),
}

/// Carries out changes in order.
pub fn apply_changes<S: AsRef<str>>(config: &mut ContainerConfig, changes: &[S]) -> Result<(), ChangeError> {
    let lines = changes.iter().flat_map(|change| change.as_ref().lines());
    lines.map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')).try_for_each(|line| {
        let (name, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        apply_one(config, name, rest.trim())
    })
}

fn apply_one(config: &mut ContainerConfig, name: &str, rest: &str) -> Result<(), ChangeError> {
    let upper = name.to_ascii_uppercase();
    let known = ["CMD", "ENTRYPOINT", "ENV", "EXPOSE", "HEALTHCHECK", "LABEL", "ONBUILD", "STOPSIGNAL", "USER"];
    if !known.contains(&&*upper) && upper != "VOLUME" && upper != "WORKDIR" {
        return Err(ChangeError::Unknown(name.to_owned()));
    }
    if rest.is_empty() && upper != "CMD" && upper != "ENTRYPOINT" {
        return Err(ChangeError::NoArgument(upper));
    }
    match &*upper {
        "CMD" => config.cmd = command(config, rest),
        "ENTRYPOINT" => config.entrypoint = command(config, rest),
        "ENV" => set_env(config, rest)?,
        "EXPOSE" => expose(config, rest)?,
        "HEALTHCHECK" => config.healthcheck = Some(healthcheck(config, rest)?),
        "LABEL" => config.labels.extend(pairs(config, "LABEL", rest)?),
        "ONBUILD" => config.on_build.push(on_build(rest)?),
        "STOPSIGNAL" => config.stop_signal = signal(&single(config, "STOPSIGNAL", rest)?)?,
        "USER" => config.user = single(config, "USER", rest)?,
        "VOLUME" => add_volumes(config, rest)?,
        _ => config.working_dir = working_dir(config, rest)?,
    }
    Ok(())
}

/// A JSON list is taken as it is; anything else is a line for the shell.
fn command(config: &ContainerConfig, rest: &str) -> Vec<String> {
    if let Some(words) = json_list(rest) {
        return words;
    }
    if rest.is_empty() {
        return Vec::new();
    }
    let mut words = match config.shell.is_empty() {
        true => vec!["/bin/sh".to_owned(), "-c".to_owned()],
        false => config.shell.clone(),
    };
    words.push(rest.to_owned());
    words
}

fn json_list(rest: &str) -> Option<Vec<String>> {
    rest.starts_with('[').then(|| serde_json::from_str(rest).ok()).flatten()
}

fn set_env(config: &mut ContainerConfig, rest: &str) -> Result<(), ChangeError> {
    for (name, value) in pairs(config, "ENV", rest)? {
        let known = config.env.iter_mut().find(|entry| entry.split('=').next() == Some(&name));
        let entry = format!("{name}={value}");
        match known {
            Some(known) => *known = entry,
            None => config.env.push(entry),
        }
    }
    Ok(())
}

/// `name=value …`, or the old form `name value with spaces`.
fn pairs(config: &ContainerConfig, instruction: &str, rest: &str) -> Result<Vec<(String, String)>, ChangeError> {
    let first = rest.split(char::is_whitespace).next().unwrap_or(rest);
    if !first.contains('=') {
        let wrong = || ChangeError::NoEquals { instruction: instruction.to_owned(), word: first.to_owned() };
        let (name, value) = rest.split_once(char::is_whitespace).ok_or_else(wrong)?;
        let value = Words::new(&config.env).whole(value.trim_start())?;
        return Ok(vec![(name.to_owned(), value)]);
    }
    let words = Words::new(&config.env).split(rest)?;
    words.into_iter().map(|word| pair(instruction, word)).collect()
}

fn pair(instruction: &str, word: String) -> Result<(String, String), ChangeError> {
    match word.split_once('=') {
        None => Err(ChangeError::NoEquals { instruction: instruction.to_owned(), word }),
        Some(("", _)) => Err(ChangeError::BlankName(instruction.to_owned())),
        Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
    }
}

/// `80`, `80/udp`, `8000-8010/tcp`.
fn expose(config: &mut ContainerConfig, rest: &str) -> Result<(), ChangeError> {
    for word in Words::new(&config.env).split(rest)? {
        for port in ports(&word)? {
            insert(&mut config.exposed_ports, port);
        }
    }
    Ok(())
}

fn ports(word: &str) -> Result<Vec<String>, ChangeError> {
    let wrong = || ChangeError::Port(word.to_owned());
    let (range, protocol) = word.split_once('/').unwrap_or((word, "tcp"));
    let protocol = protocol.to_ascii_lowercase();
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    let (first, last): (u16, u16) = (first.parse().map_err(|_| wrong())?, last.parse().map_err(|_| wrong())?);
    if first > last || !matches!(&*protocol, "tcp" | "udp" | "sctp") {
        return Err(wrong());
    }
    Ok((first..=last).map(|port| format!("{port}/{protocol}")).collect())
}

fn add_volumes(config: &mut ContainerConfig, rest: &str) -> Result<(), ChangeError> {
    let words = match json_list(rest) {
        Some(words) => words,
        None => Words::new(&config.env).split(rest)?,
    };
    if words.iter().any(|word| word.trim().is_empty()) {
        return Err(ChangeError::BlankName("VOLUME".to_owned()));
    }
    words.into_iter().for_each(|word| insert(&mut config.volumes, word));
    Ok(())
}

fn insert(set: &mut Vec<String>, value: String) {
    if let Err(at) = set.binary_search(&value) {
        set.insert(at, value);
    }
}

/// A relative directory is meant from the one before.
fn working_dir(config: &ContainerConfig, rest: &str) -> Result<String, ChangeError> {
    let word = Words::new(&config.env).whole(rest)?;
    let base = if word.starts_with('/') { "" } else { &*config.working_dir };
    let mut parts: Vec<&str> = Vec::new();
    for part in base.split('/').chain(word.split('/')) {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            _ => parts.push(part),
        }
    }
    Ok(format!("/{}", parts.join("/")))
}

fn single(config: &ContainerConfig, name: &str, rest: &str) -> Result<String, ChangeError> {
    let mut words = Words::new(&config.env).split(rest)?;
    match (words.pop(), words.is_empty()) {
        (Some(word), true) => Ok(word),
        _ => Err(ChangeError::OneArgument(name.to_owned())),
    }
}

/// Names are the runtime's business; here only what can be neither name nor number is refused.
fn signal(word: &str) -> Result<String, ChangeError> {
    let number = word.parse::<u8>().is_ok_and(|number| (1..=64).contains(&number));
    let name = word.starts_with(|c: char| c.is_ascii_alphabetic())
        && word.chars().all(|c| c.is_ascii_alphanumeric() || c == '+' || c == '-');
    match number || name {
        true => Ok(word.to_owned()),
        false => Err(ChangeError::Signal(word.to_owned())),
    }
}

fn on_build(rest: &str) -> Result<String, ChangeError> {
    let name = rest.split(char::is_whitespace).next().unwrap_or_default().to_ascii_uppercase();
    match &*name {
        "ONBUILD" | "FROM" | "MAINTAINER" => Err(ChangeError::OnBuild(name)),
        _ => Ok(rest.to_owned()),
    }
}

/// `[--option=value…] CMD command` or `NONE`.
fn healthcheck(config: &ContainerConfig, rest: &str) -> Result<Healthcheck, ChangeError> {
    let mut health = Healthcheck::default();
    let mut rest = rest;
    while let Some(option) = rest.strip_prefix("--") {
        let (word, after) = option.split_once(char::is_whitespace).unwrap_or((option, ""));
        set_health(&mut health, word)?;
        rest = after.trim_start();
    }
    let (kind, line) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let line = line.trim();
    health.test = match &*kind.to_ascii_uppercase() {
        "NONE" if line.is_empty() => vec!["NONE".to_owned()],
        "NONE" => return Err(ChangeError::Health("NONE takes no arguments".to_owned())),
        "CMD" if line.is_empty() => return Err(ChangeError::Health("missing command after CMD".to_owned())),
        "CMD" => health_command(config, line),
        other => return Err(ChangeError::Health(format!("unknown type {other:?} (try CMD)"))),
    };
    Ok(health)
}

fn health_command(config: &ContainerConfig, line: &str) -> Vec<String> {
    match json_list(line) {
        Some(words) => std::iter::once("CMD".to_owned()).chain(words).collect(),
        None if config.shell.is_empty() => vec!["CMD-SHELL".to_owned(), line.to_owned()],
        None => std::iter::once("CMD".to_owned()).chain(command(config, line)).collect(),
    }
}

fn set_health(health: &mut Healthcheck, option: &str) -> Result<(), ChangeError> {
    let wrong = || ChangeError::Health(format!("invalid option --{option}"));
    let (name, value) = option.split_once('=').ok_or_else(wrong)?;
    match name {
        "interval" => health.interval = duration(value).ok_or_else(wrong)?,
        "timeout" => health.timeout = duration(value).ok_or_else(wrong)?,
        "start-period" => health.start_period = duration(value).ok_or_else(wrong)?,
        "start-interval" => health.start_interval = duration(value).ok_or_else(wrong)?,
        "retries" => health.retries = value.parse().ok().filter(|count| *count >= 0).ok_or_else(wrong)?,
        _ => return Err(wrong()),
    }
    Ok(())
}

/// Go's notation (`1m30s`, `500ms`) in nanoseconds, at least a millisecond unless zero.
fn duration(text: &str) -> Option<i64> {
    let mut total = 0f64;
    let mut rest = text;
    if rest == "0" {
        return Some(0);
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let unit_end = rest[digits..].find(|c: char| c.is_ascii_digit()).map_or(rest.len(), |at| digits + at);
        total += rest[..digits].parse::<f64>().ok()? * unit(&rest[digits..unit_end])?;
        rest = &rest[unit_end..];
    }
    let valid = !text.is_empty() && total < i64::MAX as f64 && (total == 0.0 || total >= 1e6);
    valid.then_some(total as i64)
}

fn unit(name: &str) -> Option<f64> {
    Some(match name {
        "ns" => 1.0,
        "us" | "µs" => 1e3,
        "ms" => 1e6,
        "s" => 1e9,
        "m" => 60e9,
        "h" => 3600e9,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(changes: &[&str]) -> ContainerConfig {
        let mut config = ContainerConfig::default();
        apply_changes(&mut config, changes).expect("changes");
        config
    }

    #[test]
    fn commands_in_both_forms() {
        assert_eq!(changed(&[r#"CMD ["a","b c"]"#]).cmd, ["a", "b c"]);
        assert_eq!(changed(&["cmd a b"]).cmd, ["/bin/sh", "-c", "a b"]);
        assert_eq!(changed(&["ENTRYPOINT [a]"]).entrypoint, ["/bin/sh", "-c", "[a]"]);
    }

    #[test]
    fn environment_and_labels() {
        let config =
            changed(&["ENV A=1 B=\"x y\" C=a\\ b", "ENV D the rest", "ENV A=$A:${B} E='$A' F=${Q:-dflt}${A:+set}"]);
        assert_eq!(config.env, ["A=1:x y", "B=x y", "C=a b", "D=the rest", "E=$A", "F=dfltset"]);
        assert_eq!(changed(&["LABEL a=b c=\"d e\""]).labels["c"], "d e");
    }

    #[test]
    fn ports_volumes_and_places() {
        let config = changed(&["EXPOSE 80 53/udp 8000-8001", "VOLUME /a /b", r#"VOLUME ["/c"]"#]);
        assert_eq!(config.exposed_ports, ["53/udp", "80/tcp", "8000/tcp", "8001/tcp"]);
        assert_eq!(config.volumes, ["/a", "/b", "/c"]);
        assert_eq!(changed(&["WORKDIR /a", "WORKDIR b/../c"]).working_dir, "/a/c");
        assert_eq!(changed(&["USER 1:2", "STOPSIGNAL SIGINT"]).stop_signal, "SIGINT");
    }

    #[test]
    fn health_checks() {
        let health = changed(&["HEALTHCHECK --interval=1m30s --retries=3 CMD curl x"]).healthcheck.expect("health");
        assert_eq!((health.interval, health.retries), (90_000_000_000, 3));
        assert_eq!(health.test, ["CMD-SHELL", "curl x"]);
        assert_eq!(changed(&["HEALTHCHECK NONE"]).healthcheck.expect("health").test, ["NONE"]);
        assert_eq!(duration("1.5s"), Some(1_500_000_000));
        assert_eq!((duration("1"), duration("1us"), duration("s")), (None, None, None));
    }

    #[test]
    fn refuses_in_dockers_words() {
        let cases = [
            ("RUN x", "RUN is not a valid change command"),
            ("SHELL [\"x\"]", "SHELL is not a valid change command"),
            ("ENV", "ENV requires at least one argument"),
            ("ENV A", "ENV: can't find = in \"A\": must be of the form name=value"),
            ("ENV =x", "ENV names can not be blank"),
            ("EXPOSE 99999", "invalid containerPort: 99999"),
            ("USER a b", "USER requires exactly one argument"),
            ("STOPSIGNAL /", "invalid signal: /"),
            ("ONBUILD FROM x", "unknown instruction in ONBUILD: FROM"),
            ("ENV A=\"x", "unexpected end of statement while looking for matching \""),
        ];
        for (change, wanted) in cases {
            let error = apply_changes(&mut ContainerConfig::default(), &[change]).expect_err(change);
            assert_eq!(error.to_string(), wanted);
        }
    }
}
