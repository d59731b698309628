//! `--device HOST[:CONTAINER][:PERMISSIONS]`.

use crate::container::DeviceMapping;

/// Why a text is not a device.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// Empty, or too many colons.
    #[error("invalid device specification: {0}")]
    Shape(String),
    /// Something else than `r`, `w`, `m`, each at most once.
    #[error("invalid device mode: {0}")]
    Mode(String),
    /// A path that does not start at the root.
    #[error("{0} is not an absolute path")]
    Relative(String),
}

/// Parses one; the container's path is the host's unless given, the permissions `rwm`.
pub fn parse(text: &str) -> Result<DeviceMapping, DeviceError> {
    let parts: Vec<&str> = text.split(':').collect();
    let (host, inside, mode) = match parts[..] {
        [host] => (host, host, "rwm"),
        [host, mode] if is_mode(mode) => (host, host, mode),
        [host, inside] => (host, inside, "rwm"),
        [host, inside, mode] => (host, inside, mode),
        _ => return Err(DeviceError::Shape(text.to_owned())),
    };
    if host.is_empty() || inside.is_empty() {
        return Err(DeviceError::Shape(text.to_owned()));
    }
    if !is_mode(mode) {
        return Err(DeviceError::Mode(mode.to_owned()));
    }
    if let Some(relative) = [host, inside].into_iter().find(|path| !path.starts_with('/')) {
        return Err(DeviceError::Relative(relative.to_owned()));
    }
    Ok(DeviceMapping {
        path_on_host: host.to_owned(),
        path_in_container: inside.to_owned(),
        cgroup_permissions: mode.to_owned(),
    })
}

/// `r`, `w`, `m`, each at most once.
pub fn is_mode(text: &str) -> bool {
    let known = text.chars().all(|c| "rwm".contains(c));
    let once = "rwm".chars().all(|c| text.matches(c).count() <= 1);
    !text.is_empty() && known && once
}

/// True for a rule of the device cgroup: `c 1:3 rwm`.
pub fn is_cgroup_rule(text: &str) -> bool {
    let fields: Vec<&str> = text.split(' ').collect();
    let [kind, numbers, mode] = fields[..] else { return false };
    let number = |part: &str| part == "*" || (!part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()));
    let pair = numbers.split_once(':').is_some_and(|(major, minor)| number(major) && number(minor));
    matches!(kind, "a" | "b" | "c") && pair && is_mode(mode)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parsed() {
        for (text, host, inside, mode) in [
            ("/dev/a", "/dev/a", "/dev/a", "rwm"),
            ("/dev/a:r", "/dev/a", "/dev/a", "r"),
            ("/dev/a:/dev/b", "/dev/a", "/dev/b", "rwm"),
            ("/dev/a:/dev/b:mr", "/dev/a", "/dev/b", "mr"),
        ] {
            let device = parse(text).unwrap();
            let got = (&*device.path_on_host, &*device.path_in_container, &*device.cgroup_permissions);
            assert_eq!(got, (host, inside, mode));
        }
    }

    #[test]
    fn refused() {
        for (text, message) in [
            ("", "invalid device specification: "),
            ("/a:/b:r:x", "invalid device specification: /a:/b:r:x"),
            ("/a:/b:rr", "invalid device mode: rr"),
            ("a", "a is not an absolute path"),
            ("/a:b", "b is not an absolute path"),
        ] {
            assert_eq!(parse(text).unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn rules() {
        assert!(is_cgroup_rule("c 1:3 rwm") && is_cgroup_rule("b *:* r"));
        assert!(!is_cgroup_rule("foo") && !is_cgroup_rule("c 1 r") && !is_cgroup_rule("x 1:1 r"));
    }
}
