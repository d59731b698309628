//! `KEY=VALUE` lists: environment variables and labels, on the command line and in files.

use std::collections::BTreeMap;

/// Why a text is not a variable or a label.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PairError {
    /// A variable without a name.
    #[error("invalid environment variable: {0}")]
    Variable(String),
    /// A label without a name.
    #[error("invalid label '{0}': empty name")]
    Label(String),
    /// A line of a file without a name.
    #[error("no variable name on line '{0}'")]
    NoName(String),
    /// A name with blanks in a file.
    #[error("variable '{0}' contains whitespaces")]
    Blank(String),
    /// A zero byte, which no process can be given.
    #[error("variable '{0}' contains a zero byte")]
    Zero(String),
}

/// Parses `-e KEY=VALUE`; `-e KEY` takes the value from `lookup`, or stays bare, which removes the image's variable.
pub fn parse_variable(text: &str, lookup: impl Fn(&str) -> Option<String>) -> Result<String, PairError> {
    let name = text.split('=').next().unwrap_or_default();
    if name.is_empty() {
        return Err(PairError::Variable(text.to_owned()));
    }
    if text.contains('\0') {
        return Err(PairError::Zero(name.to_owned()));
    }
    let found = if text.contains('=') { None } else { lookup(text) };
    Ok(found.map_or_else(|| text.to_owned(), |value| format!("{text}={value}")))
}

/// Parses `KEY[=VALUE]`.
pub fn parse_label(text: &str) -> Result<(String, String), PairError> {
    let (name, value) = split(text);
    match name.is_empty() {
        true => Err(PairError::Label(text.to_owned())),
        false => Ok((name.to_owned(), value.to_owned())),
    }
}

/// Splits at the first `=`; a bare key has an empty value.
pub fn split(text: &str) -> (&str, &str) {
    text.split_once('=').unwrap_or((text, ""))
}

/// Parses the text of an env file: comments, blank lines, `KEY=VALUE` as is, `KEY` from `lookup` or left out.
pub fn parse_env_file(text: &str, lookup: impl Fn(&str) -> Option<String>) -> Result<Vec<String>, PairError> {
    let mut list = Vec::new();
    for line in lines(text) {
        check_name(line)?;
        match line.contains('=') {
            true => list.push(line.to_owned()),
            false => list.extend(lookup(line).map(|value| format!("{line}={value}"))),
        }
    }
    Ok(list)
}

/// Parses the text of a label file: comments, blank lines, `KEY=VALUE`, `KEY`.
pub fn parse_label_file(text: &str) -> Result<BTreeMap<String, String>, PairError> {
    let mut labels = BTreeMap::new();
    for line in lines(text) {
        check_name(line)?;
        let (name, value) = parse_label(line)?;
        labels.insert(name, value);
    }
    Ok(labels)
}

fn lines(text: &str) -> impl Iterator<Item = &str> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    text.lines().map(str::trim_start).filter(|line| !line.is_empty() && !line.starts_with('#'))
}

fn check_name(line: &str) -> Result<(), PairError> {
    let (name, _) = split(line);
    if name.is_empty() {
        return Err(PairError::NoName(line.to_owned()));
    }
    if name.contains(char::is_whitespace) {
        return Err(PairError::Blank(name.to_owned()));
    }
    if line.contains('\0') { Err(PairError::Zero(name.replace('\0', ""))) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lookup(name: &str) -> Option<String> {
        (name == "SET").then(|| "here".to_owned())
    }

    #[test]
    fn variables() {
        for (text, want) in [("A=b", "A=b"), ("A=", "A="), ("A=b=c", "A=b=c"), ("SET", "SET=here"), ("NOT", "NOT")] {
            assert_eq!(parse_variable(text, lookup).unwrap(), want);
        }
        for text in ["=a", ""] {
            let message = format!("invalid environment variable: {text}");
            assert_eq!(parse_variable(text, lookup).unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn labels() {
        assert_eq!(parse_label("a=b=c"), Ok(("a".into(), "b=c".into())));
        assert_eq!(parse_label("a"), Ok(("a".into(), String::new())));
        assert_eq!(parse_label("=x").unwrap_err().to_string(), "invalid label '=x': empty name");
    }

    #[test]
    fn files() {
        let text = "\u{feff}# comment\n\n  A=b # kept\nSET\nNOT\r\nB=\n";
        assert_eq!(parse_env_file(text, lookup).unwrap(), ["A=b # kept", "SET=here", "B="]);
        let labels = parse_label_file("x=1\ny\n").unwrap();
        assert_eq!(labels.into_iter().collect::<Vec<_>>(), [("x".into(), "1".into()), ("y".into(), String::new())]);
    }

    #[test]
    fn refused_lines() {
        for (text, message) in [
            ("=x", "no variable name on line '=x'"),
            ("a b=x", "variable 'a b' contains whitespaces"),
            ("a\tb", "variable 'a\tb' contains whitespaces"),
        ] {
            assert_eq!(parse_env_file(text, lookup).unwrap_err().to_string(), message);
        }
    }
}
