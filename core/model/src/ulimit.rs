//! `--ulimit TYPE=SOFT[:HARD]`.

use crate::container::Ulimit;

/// The limits of `setrlimit(2)` that may be set on a container.
pub const NAMES: [&str; 15] = [
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

/// Why a text is not a ulimit, in Docker's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UlimitError {
    /// No `=`.
    #[error("invalid ulimit argument: {0}")]
    Shape(String),
    /// Not one of [`NAMES`].
    #[error("invalid ulimit type: {0}")]
    Name(String),
    /// Not an integer.
    #[error("invalid ulimit value: {0}: expected an integer or -1 for unlimited")]
    Value(String),
    /// More than two values.
    #[error("too many limit value arguments - {0}, can only have up to two, `soft[:hard]`")]
    TooMany(String),
    /// Soft above hard.
    #[error("ulimit soft limit must be less than or equal to hard limit: {0} > {1}")]
    Order(String, i64),
}

/// Parses one; without a hard limit the soft one counts for both. -1 is unlimited.
pub fn parse(text: &str) -> Result<Ulimit, UlimitError> {
    let (name, values) = text.split_once('=').ok_or_else(|| UlimitError::Shape(text.to_owned()))?;
    if !NAMES.contains(&name) {
        return Err(UlimitError::Name(name.to_owned()));
    }
    let mut parts = values.split(':');
    let soft = number(parts.next().unwrap_or_default())?;
    let hard = parts.next().map(number).transpose()?.unwrap_or(soft);
    if parts.next().is_some() {
        return Err(UlimitError::TooMany(values.to_owned()));
    }
    check_order(soft, hard)?;
    Ok(Ulimit { name: name.to_owned(), hard, soft })
}

fn number(text: &str) -> Result<i64, UlimitError> {
    let value = text.parse().ok().filter(|n| *n >= -1);
    value.ok_or_else(|| UlimitError::Value(text.to_owned()))
}

fn check_order(soft: i64, hard: i64) -> Result<(), UlimitError> {
    match (soft, hard) {
        (_, -1) => Ok(()),
        (-1, _) => Err(UlimitError::Order("unlimited".to_owned(), hard)),
        _ if soft > hard => Err(UlimitError::Order(soft.to_string(), hard)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parsed() {
        let limit = |name: &str, soft, hard| Ok(Ulimit { name: name.to_owned(), hard, soft });
        assert_eq!(parse("nofile=1024"), limit("nofile", 1024, 1024));
        assert_eq!(parse("nofile=1024:2048"), limit("nofile", 1024, 2048));
        assert_eq!(parse("core=-1"), limit("core", -1, -1));
        assert_eq!(parse("core=5:-1"), limit("core", 5, -1));
    }

    #[test]
    fn refused() {
        for (text, message) in [
            ("abc", "invalid ulimit argument: abc"),
            ("foo=1", "invalid ulimit type: foo"),
            ("nofile=", "invalid ulimit value: : expected an integer or -1 for unlimited"),
            ("nofile=1:2:3", "too many limit value arguments - 1:2:3, can only have up to two, `soft[:hard]`"),
            ("nofile=5:3", "ulimit soft limit must be less than or equal to hard limit: 5 > 3"),
            ("nofile=-1:3", "ulimit soft limit must be less than or equal to hard limit: unlimited > 3"),
        ] {
            assert_eq!(parse(text).unwrap_err().to_string(), message);
        }
    }
}
