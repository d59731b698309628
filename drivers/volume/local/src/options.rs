//! What a user may choose, and the rules between the choices.

use crate::error::Error;
use crate::mounts;
use gantry_plugin_api::options::{OptionKind, OptionSpec, Options};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The schema.
pub const OPTIONS: &[OptionSpec] = &[
    OptionSpec::string("type", "file system type as in mount(8): tmpfs, nfs, ext4 …; none for a bind mount"),
    OptionSpec::string("device", "device, directory or server path to mount"),
    OptionSpec::string("o", "mount options, comma separated: bind, ro, size=1m, addr=host …"),
    OptionSpec::new(
        "size",
        OptionKind::SIZE_BINARY,
        "limit of the volume's data, by a project quota or a file system of that size in a file",
    ),
];

/// The options of one volume, as stored beside it.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Choice {
    values: BTreeMap<String, String>,
}

impl Choice {
    /// Checks what was given. No I/O.
    pub fn parse(options: &Options) -> Result<Self, Error> {
        let given = options.iter().filter(|(_, value)| !value.is_empty());
        options.size_binary("size").map_err(|_| Error::Size)?;
        let choice = Choice { values: given.map(|(k, v)| (k.to_owned(), v.to_owned())).collect() };
        choice.check()?;
        Ok(choice)
    }

    fn check(&self) -> Result<(), Error> {
        if let Some(key) = self.values.keys().find(|k| !OPTIONS.iter().any(|spec| spec.key == k.as_str())) {
            return Err(Error::UnknownOption(key.clone()));
        }
        for (key, needed) in [("device", "type"), ("type", "device"), ("o", "device"), ("o", "type")] {
            if self.get(key).is_some() && self.get(needed).is_none() {
                return Err(Error::MissingOption(needed));
            }
        }
        if self.get("size").is_some() && self.get("device").is_some() {
            return Err(Error::SizeOfDevice);
        }
        mounts::check(self)
    }

    /// The limit in bytes.
    pub fn size(&self) -> Option<u64> {
        let size = self.get("size").map(|size| Options::from_pairs([("size", size)]));
        size.and_then(|options| options.size_binary("size").ok().flatten()).filter(|size| *size > 0)
    }

    /// One option.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.values.get(key).map(String::as_str)
    }

    /// True when nothing was chosen.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The options in which two volumes differ: `o=size=1m (exists: size=2m), type=tmpfs (exists: none)`.
    /// Passwords are not shown.
    pub fn difference(&self, existing: &Choice) -> Option<String> {
        let shown = |choice: &Choice, key| choice.get(key).map_or("not set".to_owned(), mask);
        let differ = OPTIONS.iter().map(|spec| spec.key).filter(|key| self.get(key) != existing.get(key));
        let parts: Vec<String> =
            differ.map(|key| format!("{key}={} (exists: {})", shown(self, key), shown(existing, key))).collect();
        (!parts.is_empty()).then(|| parts.join(", "))
    }
}

/// Hides the values of `password=` and `pass=` in a list of mount options.
pub fn mask(text: &str) -> String {
    let word = |w: &str| match w.split_once('=') {
        Some((key @ ("password" | "pass"), _)) => format!("{key}=********"),
        _ => w.to_owned(),
    };
    text.split(',').map(word).collect::<Vec<_>>().join(",")
}

/// Refuses a name that Docker refuses: `^[a-zA-Z0-9][a-zA-Z0-9_.-]+$`.
pub fn check_name(name: &str) -> Result<(), Error> {
    let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
    let bytes = name.as_bytes();
    match bytes {
        [] | [_] => Err(Error::ShortName(name.to_owned())),
        [first, rest @ ..] if first.is_ascii_alphanumeric() && rest.iter().all(|b| good(*b)) && bytes.len() <= 255 => {
            Ok(())
        }
        _ => Err(Error::Name(name.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(pairs: &[(&str, &str)]) -> Result<Choice, String> {
        Choice::parse(&Options::from_pairs(pairs.iter().copied())).map_err(|e| e.to_string())
    }

    #[test]
    fn names() {
        for good in ["ab", "A0", "a.b-c_d", &"x".repeat(64)] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        assert!(check_name("a").unwrap_err().to_string().contains("volume name is too short"));
        for bad in ["-a", ".a", "..", "a/b", "a b", "ä1", "_a"] {
            assert!(check_name(bad).unwrap_err().to_string().contains("includes invalid characters"), "{bad}");
        }
    }

    #[test]
    fn rules_between_options() {
        assert!(parse(&[]).unwrap().is_empty());
        assert!(parse(&[("type", "tmpfs"), ("device", "tmpfs"), ("o", "size=1m,uid=1000")]).is_ok());
        let cases: [(&[(&str, &str)], &str); 6] = [
            (&[("foo", "1")], "invalid option: \"foo\""),
            (&[("type", "tmpfs")], "missing required option: \"device\""),
            (&[("device", "tmpfs")], "missing required option: \"type\""),
            (&[("o", "ro")], "missing required option: \"device\""),
            (&[("type", "tmpfs"), ("device", "tmpfs"), ("size", "1m")], "not a device"),
            (&[("type", "cifs"), ("device", "//host:445/share")], "port not allowed in CIFS device"),
        ];
        for (pairs, text) in cases {
            assert!(parse(pairs).unwrap_err().contains(text), "{pairs:?}");
        }
    }

    #[test]
    fn differences_hide_passwords() {
        let a = parse(&[("type", "cifs"), ("device", "//h/s"), ("o", "user=u,password=secret")]).unwrap();
        let b = parse(&[("type", "cifs"), ("device", "//h/s"), ("o", "user=v")]).unwrap();
        assert_eq!(a.difference(&b).unwrap(), "o=user=u,password=******** (exists: user=v)");
        assert_eq!(a.difference(&a), None);
        assert_eq!(Choice::default().difference(&b).unwrap().matches("not set").count(), 3);
    }
}
