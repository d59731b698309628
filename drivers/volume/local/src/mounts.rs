//! From `type`, `device` and `o` to a mount: words that `mount(2)` knows as flags become flags, the others are passed on
//! to the file system in their order. Host names in `addr=` are left to whoever mounts.

use crate::error::Error;
use crate::options::Choice;
use gantry_plugin_api::types::Mount;
use libc::{
    MS_BIND, MS_DIRSYNC, MS_I_VERSION, MS_LAZYTIME, MS_MANDLOCK, MS_NOATIME, MS_NODEV, MS_NODIRATIME, MS_NOEXEC,
    MS_NOSUID, MS_RDONLY, MS_REC, MS_RELATIME, MS_SILENT, MS_STRICTATIME, MS_SYNCHRONOUS, c_ulong,
};

/// Not in every version of libc.
const MS_NOSYMFOLLOW: c_ulong = 256;

/// Words that are flags: word, flag, and whether it is set or cleared.
const FLAGS: &[(&str, c_ulong, bool)] = &[
    ("ro", MS_RDONLY, true),
    ("rw", MS_RDONLY, false),
    ("nosuid", MS_NOSUID, true),
    ("suid", MS_NOSUID, false),
    ("nodev", MS_NODEV, true),
    ("dev", MS_NODEV, false),
    ("noexec", MS_NOEXEC, true),
    ("exec", MS_NOEXEC, false),
    ("sync", MS_SYNCHRONOUS, true),
    ("async", MS_SYNCHRONOUS, false),
    ("dirsync", MS_DIRSYNC, true),
    ("mand", MS_MANDLOCK, true),
    ("nomand", MS_MANDLOCK, false),
    ("noatime", MS_NOATIME, true),
    ("atime", MS_NOATIME, false),
    ("nodiratime", MS_NODIRATIME, true),
    ("diratime", MS_NODIRATIME, false),
    ("relatime", MS_RELATIME, true),
    ("norelatime", MS_RELATIME, false),
    ("strictatime", MS_STRICTATIME, true),
    ("nostrictatime", MS_STRICTATIME, false),
    ("lazytime", MS_LAZYTIME, true),
    ("nolazytime", MS_LAZYTIME, false),
    ("iversion", MS_I_VERSION, true),
    ("noiversion", MS_I_VERSION, false),
    ("silent", MS_SILENT, true),
    ("loud", MS_SILENT, false),
    ("nosymfollow", MS_NOSYMFOLLOW, true),
    ("symfollow", MS_NOSYMFOLLOW, false),
    ("bind", MS_BIND, true),
    ("rbind", MS_BIND | MS_REC, true),
];

/// Words for programs that read /etc/fstab; the kernel knows none of them.
const IGNORED: &[&str] =
    &["defaults", "auto", "noauto", "_netdev", "nofail", "user", "nouser", "users", "owner", "group"];

/// Words that ask for what a volume's mount cannot be.
const REFUSED: &[(&str, &str)] = &[
    ("remount", "a volume's mount is always a new one"),
    ("move", "a volume's mount is always a new one"),
    ("shared", "volumes are mounted privately; choose the propagation with the container's -v"),
    ("rshared", "volumes are mounted privately; choose the propagation with the container's -v"),
    ("slave", "volumes are mounted privately; choose the propagation with the container's -v"),
    ("rslave", "volumes are mounted privately; choose the propagation with the container's -v"),
    ("unbindable", "volumes are mounted privately; choose the propagation with the container's -v"),
    ("runbindable", "volumes are mounted privately; choose the propagation with the container's -v"),
];

/// Checks the words of `o` and the device. No I/O.
pub fn check(choice: &Choice) -> Result<(), Error> {
    for word in words(choice) {
        if let Some((_, reason)) = REFUSED.iter().find(|(refused, _)| *refused == word) {
            return Err(Error::MountOption { word: word.to_owned(), reason });
        }
    }
    let device = choice.get("device").unwrap_or_default();
    let host = device.trim_start_matches('/').split('/').next().unwrap_or_default();
    let cifs = matches!(choice.get("type"), Some("cifs" | "smb3"));
    if cifs && host.contains(':') && !host.contains('[') {
        return Err(Error::CifsPort(device.to_owned()));
    }
    if is_bind(choice) && !device.starts_with('/') {
        return Err(Error::MountOption { word: "bind".into(), reason: "device is not an absolute path" });
    }
    Ok(())
}

/// True when the volume is another directory of this host.
pub fn is_bind(choice: &Choice) -> bool {
    words(choice).any(|w| w == "bind" || w == "rbind")
}

/// The mount of a volume; `None` when it is a plain directory.
pub fn mount(choice: &Choice) -> Option<Mount> {
    let (fstype, device) = (choice.get("type")?, choice.get("device")?);
    let mut mount = Mount { fstype: fstype.into(), source: device.into(), ..Mount::default() };
    for word in words(choice) {
        apply(&mut mount, word);
    }
    if is_bind(choice) {
        mount.fstype = "bind".into();
    }
    Some(mount)
}

fn apply(mount: &mut Mount, word: &str) {
    if let Some((_, flag, set)) = FLAGS.iter().find(|(known, ..)| *known == word) {
        if *set {
            mount.flags |= *flag
        } else {
            mount.flags &= !*flag
        }
        return;
    }
    if IGNORED.contains(&word) || word == "private" || word == "rprivate" || word.starts_with("x-") {
        return;
    }
    let option = match word.split_once('=') {
        Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
        None => (word.to_owned(), None),
    };
    mount.options.push(option);
}

fn words(choice: &Choice) -> impl Iterator<Item = &str> {
    choice.get("o").unwrap_or_default().split(',').filter(|w| !w.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use gantry_plugin_api::options::Options;

    fn choice(fstype: &str, device: &str, o: &str) -> Result<Choice, Error> {
        Choice::parse(&Options::from_pairs([("type", fstype), ("device", device), ("o", o)]))
    }

    fn of(fstype: &str, device: &str, o: &str) -> Mount {
        mount(&choice(fstype, device, o).unwrap()).unwrap()
    }

    #[test]
    fn flags_and_options_are_told_apart() {
        let tmpfs = of("tmpfs", "tmpfs", "size=1m,uid=1000,nosuid,nodev,noexec,rw");
        assert_eq!(tmpfs.flags, MS_NOSUID | MS_NODEV | MS_NOEXEC);
        assert_eq!(tmpfs.options, [("size".into(), Some("1m".into())), ("uid".into(), Some("1000".into()))]);
        let nfs = of("nfs4", ":/export", "addr=host.example,rw,nfsvers=4,soft,_netdev,x-systemd.automount");
        assert_eq!(nfs.source, ":/export");
        let keys: Vec<&str> = nfs.options.iter().map(|(k, _)| k.as_str()).collect();
        assert_eq!(keys, ["addr", "nfsvers", "soft"]);
        assert_eq!(of("ext4", "/dev/sdb1", "ro,rw,ro,noatime").flags, MS_RDONLY | MS_NOATIME);
        // The engine shows the file as a device.
        assert_eq!(of("ext4", "/srv/disk", "loop").options, [("loop".into(), None)]);
    }

    #[test]
    fn a_bind_is_a_bind_whatever_its_type() {
        for fstype in ["none", "bind"] {
            let bind = of(fstype, "/srv/data", "bind,ro");
            assert_eq!((bind.fstype.as_str(), bind.source.as_str()), ("bind", "/srv/data"));
            assert_eq!(bind.flags, MS_BIND | MS_RDONLY);
            assert!(bind.options.is_empty());
        }
        assert_eq!(of("none", "/srv", "rbind").flags, MS_BIND | MS_REC);
        assert!(choice("none", "relative", "bind").is_err());
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for word in ["remount", "shared", "move", "rslave"] {
            let text = choice("ext4", "/dev/sdb1", word).unwrap_err().to_string();
            assert!(text.contains(&format!("\"o={word}\"")), "{text}");
        }
    }
}
