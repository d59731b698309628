//! Mount options in the words of mount(8), sorted into what the kernel wants where.

use crate::error::Error;
use crate::init::steps::mount::{Attributes, MountOption};
use crate::plan_text::c_string;
use gantry_sys::mount as attr;
use nix::mount::MsFlags;

/// The options of one mount.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Parsed {
    pub bind: bool,
    pub recursive: bool,
    /// Attributes of a mount that is there already.
    pub remount: bool,
    pub copy_up: bool,
    /// Owners seen through a map; true: those of mounts below too.
    pub idmap: Option<bool>,
    pub own: Attributes,
    pub below: Attributes,
    pub data: Vec<MountOption>,
}

/// Options that set or clear an attribute of the mount.
const ATTRIBUTES: [(&str, bool, u64); 16] = [
    ("ro", true, attr::MOUNT_ATTR_RDONLY),
    ("rw", false, attr::MOUNT_ATTR_RDONLY),
    ("nosuid", true, attr::MOUNT_ATTR_NOSUID),
    ("suid", false, attr::MOUNT_ATTR_NOSUID),
    ("nodev", true, attr::MOUNT_ATTR_NODEV),
    ("dev", false, attr::MOUNT_ATTR_NODEV),
    ("noexec", true, attr::MOUNT_ATTR_NOEXEC),
    ("exec", false, attr::MOUNT_ATTR_NOEXEC),
    ("nodiratime", true, attr::MOUNT_ATTR_NODIRATIME),
    ("diratime", false, attr::MOUNT_ATTR_NODIRATIME),
    ("nosymfollow", true, attr::MOUNT_ATTR_NOSYMFOLLOW),
    ("symfollow", false, attr::MOUNT_ATTR_NOSYMFOLLOW),
    ("noatime", true, attr::MOUNT_ATTR_NOATIME),
    ("strictatime", true, attr::MOUNT_ATTR_STRICTATIME),
    ("relatime", true, 0),
    ("atime", true, 0),
];

const PROPAGATION: [(&str, MsFlags); 4] = [
    ("private", MsFlags::MS_PRIVATE),
    ("slave", MsFlags::MS_SLAVE),
    ("shared", MsFlags::MS_SHARED),
    ("unbindable", MsFlags::MS_UNBINDABLE),
];

/// The flag of a propagation word, and whether it goes for everything below.
pub(super) fn propagation(word: &str) -> Option<(u64, bool)> {
    let find = |word: &str| PROPAGATION.iter().find(|(name, _)| *name == word).map(|(_, flag)| flag.bits());
    match find(word) {
        Some(flag) => Some((flag, false)),
        None => Some((find(word.strip_prefix('r')?)?, true)),
    }
}

/// Parses the options of a mount of type `fstype`.
pub(super) fn parse(target: &str, fstype: &str, options: &[String]) -> Result<Parsed, Error> {
    let mut parsed =
        Parsed { bind: fstype == "bind" || fstype == "rbind", recursive: fstype == "rbind", ..Parsed::default() };
    for option in options {
        take(&mut parsed, target, option)?;
    }
    if parsed.bind && parsed.own.propagation == 0 && parsed.below.propagation == 0 {
        parsed.below.propagation = MsFlags::MS_PRIVATE.bits();
    }
    Ok(parsed)
}

fn take(parsed: &mut Parsed, target: &str, option: &str) -> Result<(), Error> {
    match option {
        "bind" => parsed.bind = true,
        "rbind" => (parsed.bind, parsed.recursive) = (true, true),
        "defaults" | "async" | "nomand" | "nolazytime" | "noiversion" | "silent" | "norelatime" | "nostrictatime"
        | "loud" => {}
        "remount" => parsed.remount = true,
        "tmpcopyup" => parsed.copy_up = true,
        "idmap" => parsed.idmap = Some(false),
        "ridmap" => parsed.idmap = Some(true),
        _ if take_attribute(parsed, option) => {}
        _ => match propagation(option) {
            Some((flag, true)) => parsed.below.propagation = flag,
            Some((flag, false)) => parsed.own.propagation = flag,
            None => parsed.data.push(data(target, option)?),
        },
    }
    Ok(())
}

/// `ro` for the mount, `rro` for it and what is below.
fn take_attribute(parsed: &mut Parsed, option: &str) -> bool {
    let find = |word: &str| ATTRIBUTES.iter().find(|(name, ..)| *name == word);
    let (attributes, found) = match find(option) {
        Some(found) => (&mut parsed.own, found),
        None => match option.strip_prefix('r').and_then(find) {
            Some(found) => (&mut parsed.below, found),
            None => return false,
        },
    };
    let (_, set, bits) = *found;
    let mut clear = bits;
    if set && bits & !attr::MOUNT_ATTR_ATIME == 0 {
        // One of the access-time modes: the kernel wants the whole field named.
        clear = attr::MOUNT_ATTR_ATIME;
    }
    attributes.set &= !clear;
    attributes.clear &= !bits;
    if set {
        attributes.set |= bits;
    }
    if !set || clear == attr::MOUNT_ATTR_ATIME {
        attributes.clear |= clear;
    }
    true
}

fn data(target: &str, option: &str) -> Result<MountOption, Error> {
    let subject = format!("mount on {target}");
    let (key, value) = match option.split_once('=') {
        Some((key, value)) => (key, Some(c_string(&subject, value)?)),
        None => (option, None),
    };
    Ok((c_string(&subject, key)?, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_words(fstype: &str, words: &[&str]) -> Parsed {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        parse("/x", fstype, &words).unwrap()
    }

    #[test]
    fn attributes_and_data_are_told_apart() {
        let parsed = parse_words("tmpfs", &["nosuid", "noexec", "mode=755", "size=64k", "ro", "rw"]);
        assert_eq!(parsed.own.set, attr::MOUNT_ATTR_NOSUID | attr::MOUNT_ATTR_NOEXEC);
        assert_eq!(parsed.data.len(), 2);
        assert!(!parsed.bind);
    }

    #[test]
    fn a_bind_is_private_and_as_far_read_only_as_asked() {
        let parsed = parse_words("bind", &["rbind", "ro"]);
        assert!(parsed.bind && parsed.recursive);
        assert_eq!(parsed.below.propagation, MsFlags::MS_PRIVATE.bits());
        assert_eq!((parsed.own.set, parsed.below.set), (attr::MOUNT_ATTR_RDONLY, 0));
        assert_eq!(parse_words("bind", &["rbind", "rro"]).below.set, attr::MOUNT_ATTR_RDONLY);
        let parsed = parse_words("bind", &["rbind", "rslave"]);
        assert_eq!(parsed.below.propagation, MsFlags::MS_SLAVE.bits());
    }

    #[test]
    fn access_time_modes_name_their_whole_field() {
        let parsed = parse_words("bind", &["bind", "noatime"]);
        assert_eq!(parsed.own.set & attr::MOUNT_ATTR_ATIME, attr::MOUNT_ATTR_NOATIME);
        assert_eq!(parsed.own.clear, attr::MOUNT_ATTR_ATIME);
        let parsed = parse_words("bind", &["bind", "noatime", "strictatime"]);
        assert_eq!(parsed.own.set, attr::MOUNT_ATTR_STRICTATIME);
    }
}
