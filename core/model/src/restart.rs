//! `--restart NAME[:RETRIES]`.

use crate::container::RestartPolicy;

/// Why a text is not a restart policy, in Docker's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RestartError {
    /// `:3`.
    #[error("invalid restart policy format: no policy provided before colon")]
    NoName,
    /// `on-failure:x`.
    #[error("invalid restart policy format: maximum retry count must be an integer")]
    Count,
    /// A negative count.
    #[error("invalid restart policy: maximum retry count cannot be negative")]
    Negative,
    /// `always:3`.
    #[error("invalid restart policy: maximum retry count cannot be used with restart policy '{0}'")]
    Retries(String),
    /// Some other word.
    #[error(
        "invalid restart policy: unknown policy '{0}'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'"
    )]
    Name(String),
}

/// Parses one; the empty text is `no`.
pub fn parse(text: &str) -> Result<RestartPolicy, RestartError> {
    let policy = read(text)?;
    check(&policy).map(|()| policy)
}

/// [`parse`] without a look whether there is such a policy, which is for the engine to say, as with Docker.
pub fn read(text: &str) -> Result<RestartPolicy, RestartError> {
    let (name, count) = text.split_once(':').unwrap_or((text, ""));
    if name.is_empty() && text.contains(':') {
        return Err(RestartError::NoName);
    }
    let maximum_retry_count = retries(count)?;
    let name = if name.is_empty() { "no" } else { name };
    Ok(RestartPolicy { name: name.to_owned(), maximum_retry_count })
}

/// Whether there is such a policy.
pub fn check(policy: &RestartPolicy) -> Result<(), RestartError> {
    match policy.name.as_str() {
        "on-failure" => Ok(()),
        "" | "no" | "always" | "unless-stopped" if policy.maximum_retry_count == 0 => Ok(()),
        name @ ("" | "no" | "always" | "unless-stopped") => Err(RestartError::Retries(name.to_owned())),
        name => Err(RestartError::Name(name.to_owned())),
    }
}

fn retries(text: &str) -> Result<u32, RestartError> {
    if text.is_empty() {
        return Ok(0);
    }
    let count: i64 = text.parse().map_err(|_| RestartError::Count)?;
    if count < 0 {
        return Err(RestartError::Negative);
    }
    u32::try_from(count).map_err(|_| RestartError::Count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parsed() {
        for (text, name, count) in [
            ("", "no", 0),
            ("no", "no", 0),
            ("always", "always", 0),
            ("unless-stopped", "unless-stopped", 0),
            ("on-failure", "on-failure", 0),
            ("on-failure:3", "on-failure", 3),
            ("on-failure:", "on-failure", 0),
        ] {
            assert_eq!(parse(text), Ok(RestartPolicy { name: name.into(), maximum_retry_count: count }), "{text}");
        }
    }

    #[test]
    fn refused() {
        for (text, token) in [
            (":3", "no policy provided before colon"),
            ("on-failure:x", "must be an integer"),
            ("on-failure:-1", "cannot be negative"),
            ("always:3", "cannot be used with restart policy 'always'"),
            ("foo", "unknown policy 'foo'"),
        ] {
            assert!(parse(text).unwrap_err().to_string().contains(token), "{text}");
        }
    }
}
