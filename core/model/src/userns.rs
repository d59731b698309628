//! `--userns` and `defaults.userns`: how a container's users relate to those of the host.

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UsernsMode {
    /// No user namespace of its own.
    Host,
    /// The maps are given.
    Private,
    /// A range of ids that no other container has.
    Auto { size: Option<u32> },
    /// Whoever runs the engine keeps his id.
    KeepId { uid: Option<u32>, gid: Option<u32> },
    /// Whoever runs the engine is nobody in the container.
    NoMap,
    /// The subordinate ids of a user and a group of the host.
    Remap { user: String, group: String },
}

/// Why a text is no mode.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UsernsError {
    #[error("--userns: invalid USER mode")]
    Unknown,
    #[error("--userns {0}: joining another user namespace is not supported")]
    Join(String),
    #[error("--userns {mode}: unknown or invalid option {option:?}")]
    Option { mode: String, option: String },
}

/// The user whose subordinate ids `auto` takes from.
pub const AUTO_USER: &str = "containers";
/// The user that `remap:default` means, as Docker's `userns-remap`.
pub const REMAP_USER: &str = "dockremap";

impl UsernsMode {
    /// `host`, `auto[:size=N]`, `keep-id[:uid=N,gid=N]`, `nomap`, `private`, `remap:USER[:GROUP]`.
    pub fn parse(text: &str) -> Result<UsernsMode, UsernsError> {
        let (name, rest) = text.split_once(':').map_or((text, None), |(name, rest)| (name, Some(rest)));
        match (name, rest) {
            ("host", None) => Ok(UsernsMode::Host),
            ("private", None) => Ok(UsernsMode::Private),
            ("nomap", None) => Ok(UsernsMode::NoMap),
            ("auto", rest) => {
                let [size] = options(text, rest, ["size"])?;
                Ok(UsernsMode::Auto { size: size.filter(|size| *size > 0) })
            }
            ("keep-id", rest) => {
                let [uid, gid] = options(text, rest, ["uid", "gid"])?;
                Ok(UsernsMode::KeepId { uid, gid })
            }
            ("remap", Some(rest)) if !rest.is_empty() => {
                let (user, group) = rest.split_once(':').unwrap_or((rest, rest));
                let named = |name: &str| if name == "default" { REMAP_USER.to_owned() } else { name.to_owned() };
                Ok(UsernsMode::Remap { user: named(user), group: named(group) })
            }
            ("ns" | "container", Some(_)) => Err(UsernsError::Join(text.to_owned())),
            _ => Err(UsernsError::Unknown),
        }
    }
}

fn options<const N: usize>(mode: &str, given: Option<&str>, names: [&str; N]) -> Result<[Option<u32>; N], UsernsError> {
    let mut found = [None; N];
    for option in given.unwrap_or_default().split(',').filter(|option| !option.is_empty()) {
        let place = option
            .split_once('=')
            .and_then(|(key, value)| Some((names.iter().position(|name| *name == key)?, value.parse::<u32>().ok()?)));
        match place {
            Some((place, value)) => found[place] = Some(value),
            None => return Err(UsernsError::Option { mode: mode.to_owned(), option: option.to_owned() }),
        }
    }
    Ok(found)
}

/// `START:COUNT` of `engine.userns.range`.
pub fn parse_range(text: &str) -> Option<(u32, u32)> {
    let (start, count) = text.split_once(':')?;
    let (start, count) = (start.trim().parse::<u32>().ok()?, count.trim().parse::<u32>().ok()?);
    (start > 0 && count > 0 && start.checked_add(count).is_some()).then_some((start, count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_read() {
        assert_eq!(UsernsMode::parse("host"), Ok(UsernsMode::Host));
        assert_eq!(UsernsMode::parse("auto"), Ok(UsernsMode::Auto { size: None }));
        assert_eq!(UsernsMode::parse("auto:size=5000"), Ok(UsernsMode::Auto { size: Some(5000) }));
        assert_eq!(UsernsMode::parse("keep-id:uid=7"), Ok(UsernsMode::KeepId { uid: Some(7), gid: None }));
        let remap = UsernsMode::Remap { user: "dockremap".into(), group: "dockremap".into() };
        assert_eq!(UsernsMode::parse("remap:default"), Ok(remap));
        let remap = UsernsMode::Remap { user: "ann".into(), group: "staff".into() };
        assert_eq!(UsernsMode::parse("remap:ann:staff"), Ok(remap));
        assert_eq!(UsernsMode::parse("foo"), Err(UsernsError::Unknown));
        assert!(matches!(UsernsMode::parse("container:x"), Err(UsernsError::Join(_))));
        for bad in ["auto:size=x", "auto:gid=1", "keep-id:size=1", "auto:uidmapping=0:1:1"] {
            assert!(matches!(UsernsMode::parse(bad), Err(UsernsError::Option { .. })), "{bad}");
        }
    }

    #[test]
    fn a_range_has_a_start_and_a_count() {
        assert_eq!(parse_range("100000:65536"), Some((100_000, 65536)));
        for bad in ["", "1", "0:5", "5:0", "4294967295:2", "a:b"] {
            assert_eq!(parse_range(bad), None, "{bad}");
        }
    }
}
