//! Notes as text: what the macros of the C header make by joining string literals, since C cannot count the lengths of
//! nested records. A line is a word and its value; lines about an option stand below it, options below their driver. What
//! later headers may add is skipped: words, kinds of drivers with all that stands below them, types (any text is taken)
//! and scopes (the option is never asked for).

use super::{BadNote, DriverManifest, Manifest, OptionInfo, split};
use crate::options::{OptionKind, Scope};

const TYPES: &[(&str, OptionKind)] = &[
    ("string", OptionKind::STRING),
    ("bool", OptionKind::BOOL),
    ("int", OptionKind::INT),
    ("size", OptionKind::SIZE_DECIMAL),
    ("binary-size", OptionKind::SIZE_BINARY),
    ("duration", OptionKind::DURATION),
    ("choice", OptionKind::CHOICE),
    ("list", OptionKind::LIST),
    ("regex", OptionKind::REGEX),
    ("template", OptionKind::TEMPLATE),
    ("path", OptionKind::PATH),
    ("ip", OptionKind::IP),
    ("ifname", OptionKind::IFNAME),
];

const SCOPES: &[(&str, Scope)] =
    &[("object", Scope::OBJECT), ("endpoint", Scope::ENDPOINT), ("container", Scope::CONTAINER)];

/// Reads the lines up to the first NUL.
pub(super) fn read(manifest: &mut Manifest, bytes: &[u8]) -> Result<(), BadNote> {
    let end = bytes.iter().position(|byte| *byte == 0).ok_or(BadNote)?;
    let text = std::str::from_utf8(&bytes[..end]).map_err(|_| BadNote)?;
    let mut driver = Below::Plugin;
    text.lines().try_for_each(|line| {
        let (word, value) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "driver" => driver = begin(manifest, value),
            "option" | "type" | "scope" | "help" | "default" | "choices" | "aliases" | "required" | "secret" => {
                return about_option(manifest, driver, word, value);
            }
            _ => about_plugin(manifest, word, value),
        }
        Ok(())
    })
}

/// Below what a line stands.
#[derive(Clone, Copy, PartialEq)]
enum Below {
    Plugin,
    Driver,
    /// A driver of a kind that is younger than this crate.
    Unknown,
}

fn begin(manifest: &mut Manifest, kind: &str) -> Below {
    let Ok(kind) = kind.parse() else { return Below::Unknown };
    manifest.drivers.push(DriverManifest { kind, options: vec![] });
    Below::Driver
}

fn about_plugin(manifest: &mut Manifest, word: &str, value: &str) {
    match word {
        "name" => manifest.name = value.to_owned(),
        "version" => manifest.version = value.to_owned(),
        "license" => manifest.license = value.to_owned(),
        "requires" => manifest.requires.extend(split(value)),
        _ => {}
    }
}

fn about_option(manifest: &mut Manifest, below: Below, word: &str, value: &str) -> Result<(), BadNote> {
    let driver = match below {
        Below::Unknown => return Ok(()),
        Below::Plugin => return Err(BadNote),
        Below::Driver => manifest.drivers.last_mut().ok_or(BadNote)?,
    };
    if word == "option" {
        driver.options.push(OptionInfo::new(value.to_owned()));
        return Ok(());
    }
    let option = driver.options.last_mut().ok_or(BadNote)?;
    match word {
        "type" => option.kind = known(TYPES, value).unwrap_or(OptionKind::STRING),
        "scope" => option.scope = known(SCOPES, value).unwrap_or(Scope(u32::MAX)),
        "help" => option.help = value.to_owned(),
        "default" => option.default = value.to_owned(),
        "choices" => option.choices = split(value),
        "aliases" => option.aliases = split(value),
        "required" => option.required = true,
        _ => option.secret = true,
    }
    Ok(())
}

fn known<T: Copy>(table: &[(&str, T)], word: &str) -> Option<T> {
    table.iter().find(|(name, _)| *name == word).map(|(_, value)| *value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{ApiVersion, Door, Kind};

    fn note(text: &str) -> Vec<u8> {
        [&[2, 0, 0, 0, 1, 0, 3, 0], text.as_bytes(), &[0]].concat()
    }

    #[test]
    fn a_note_of_text() {
        let text = "name hello\nversion 1.0\nlicense MIT\nrequires overlay, nf_tables\ndriver log\noption size\n\
                    type size\nhelp rotate at this size\ndefault 20m\naliases a,b\nfuture word\noption key\n\
                    type string\nhelp a key\nsecret\nrequired\nscope endpoint\ndriver volume\n";
        let manifest = Manifest::parse(&note(text)).expect("readable");
        assert_eq!((manifest.door, manifest.api), (Door::C, ApiVersion { major: 1, minor: 3 }));
        assert_eq!((manifest.name.as_str(), manifest.version.as_str()), ("hello", "1.0"));
        assert_eq!(manifest.requires, ["overlay", "nf_tables"]);
        let [log, volume] = &manifest.drivers[..] else { panic!("{manifest:?}") };
        assert_eq!((log.kind, volume.kind), (Kind::Log, Kind::Volume));
        let [size, key] = &log.options[..] else { panic!("{manifest:?}") };
        assert_eq!(
            (size.kind, size.default.as_str(), size.help.as_str()),
            (OptionKind::SIZE_DECIMAL, "20m", "rotate at this size")
        );
        assert_eq!(size.aliases, ["a", "b"]);
        assert!(key.secret && key.required && key.scope == Scope::ENDPOINT && !size.secret);
    }

    #[test]
    fn what_later_headers_may_say_is_left_out() {
        let text = "driver log\noption x\ntype colour\noption y\nscope moon\ndriver wheel\noption z\ntype string\n\
                    driver volume\noption v\nhelp h\n";
        let manifest = Manifest::parse(&note(text)).expect("readable");
        let [log, volume] = &manifest.drivers[..] else { panic!("{manifest:?}") };
        assert_eq!((log.options[0].kind, volume.options[0].key.as_str()), (OptionKind::STRING, "v"));
        assert!(log.options[1].scope != Scope::OBJECT && log.options.len() == 2 && volume.options.len() == 1);
    }

    #[test]
    fn damaged_text_is_an_error() {
        for bad in ["option x\n", "secret\n", "driver log\ntype string\n"] {
            assert!(Manifest::parse(&note(bad)).is_err(), "{bad}");
        }
        assert!(Manifest::parse(&note("name x\n")[..12]).is_err(), "without its end");
        assert!(Manifest::parse(&[&note("")[..8], b"\xff\0"].concat()).is_err(), "no text");
    }
}
