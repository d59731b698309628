//! `--mount KEY=VALUE,…`: volumes, binds, tmpfs and images in one grammar.

use crate::container::{BindOptions, ImageOptions, Mount, TmpfsOptions, VolumeOptions};
use crate::csv::{self, CsvError};
use crate::size::{self, SizeError};
use crate::volume::{PROPAGATIONS, is_root};

/// Why a text is not a mount, in Docker's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MountError {
    /// Quotes.
    #[error("invalid mount: {0}")]
    Csv(#[from] CsvError),
    /// Something without `=` that is no switch.
    #[error("invalid field '{0}' must be a key=value pair")]
    Pair(String),
    /// Blanks around a key or value.
    #[error("invalid option '{0}': it should not have whitespace")]
    Blank(String),
    /// Nobody knows the key.
    #[error("unexpected key '{key}' in '{field}'")]
    Key {
        /// The key.
        key: String,
        /// As written.
        field: String,
    },
    /// Not a value of this key.
    #[error("invalid value for {key}: {value}")]
    Value {
        /// The key.
        key: String,
        /// Its value.
        value: String,
    },
    /// A size.
    #[error("invalid value for {key}: {source}")]
    Size {
        /// The key.
        key: String,
        /// Why.
        source: SizeError,
    },
    /// No target.
    #[error("target is required")]
    NoTarget,
    /// Not one of bind, volume, tmpfs, image.
    #[error("mount type unknown: \"{0}\"")]
    Type(String),
    /// A key of another type.
    #[error("cannot mix '{family}-*' options with mount type '{kind}'")]
    Mixed {
        /// `bind`, `volume`, `tmpfs`, `image`.
        family: &'static str,
        /// The type.
        kind: String,
    },
    /// The parts do not fit together.
    #[error("invalid mount config for type \"{kind}\": {reason}")]
    Config {
        /// The type.
        kind: String,
        /// Why not.
        reason: String,
    },
}

/// Parses one.
pub fn parse(text: &str) -> Result<Mount, MountError> {
    let mut draft = Draft::default();
    for field in csv::fields(text)? {
        draft.apply(&field)?;
    }
    draft.finish()
}

/// The mount with the keys of every family, until the type is known.
#[derive(Default)]
struct Draft {
    mount: Mount,
    bind: BindOptions,
    volume: VolumeOptions,
    tmpfs: TmpfsOptions,
    image: ImageOptions,
    subpath: String,
    recursive: String,
    families: Vec<&'static str>,
}

impl Draft {
    fn apply(&mut self, field: &str) -> Result<(), MountError> {
        let (key, value) = match field.split_once('=') {
            Some((key, value)) => (key, Some(value)),
            None => (field, None),
        };
        if key.trim() != key || value.is_some_and(|v| v.trim() != v) {
            return Err(MountError::Blank(field.to_owned()));
        }
        let key = key.to_ascii_lowercase();
        match (value, is_switch(&key)) {
            (_, true) => self.switch(&key, boolean(&key, value)?),
            (Some(value), _) => return self.set(&key, value, field),
            _ => return Err(MountError::Pair(field.to_owned())),
        }
        Ok(())
    }

    fn switch(&mut self, key: &str, on: bool) {
        match key {
            "readonly" | "ro" => self.mount.read_only = on,
            "volume-nocopy" => {
                self.volume.no_copy = on;
                self.families.push("volume");
            }
            "bind-nonrecursive" => {
                self.bind.non_recursive = on;
                self.families.push("bind");
            }
            _ => {
                self.bind.create_mountpoint = on;
                self.families.push("bind");
            }
        }
    }

    fn set(&mut self, key: &str, value: &str, field: &str) -> Result<(), MountError> {
        match key {
            "type" => self.mount.r#type = value.to_ascii_lowercase(),
            "source" | "src" => self.mount.source = value.to_owned(),
            "target" | "dst" | "destination" => self.mount.target = value.to_owned(),
            "consistency" => {}
            _ if key.starts_with("bind-") => self.set_bind(key, value, field)?,
            _ if key.starts_with("volume-") => self.set_volume(key, value, field)?,
            _ if key.starts_with("tmpfs-") => self.set_tmpfs(key, value, field)?,
            "image-subpath" => {
                self.image.subpath = value.to_owned();
                self.families.push("image");
            }
            // Podman's word, for volumes too.
            "subpath" => self.subpath = value.to_owned(),
            _ => return Err(unexpected(key, field)),
        }
        Ok(())
    }

    fn set_bind(&mut self, key: &str, value: &str, field: &str) -> Result<(), MountError> {
        self.families.push("bind");
        match key {
            "bind-propagation" if PROPAGATIONS.contains(&value) => self.bind.propagation = value.to_owned(),
            "bind-recursive" if matches!(value, "enabled" | "disabled" | "writable" | "readonly") => {
                self.recursive = value.to_owned();
            }
            "bind-propagation" | "bind-recursive" => return Err(bad_value(key, value)),
            _ => return Err(unexpected(key, field)),
        }
        Ok(())
    }

    fn set_volume(&mut self, key: &str, value: &str, field: &str) -> Result<(), MountError> {
        self.families.push("volume");
        let (name, content) = value.split_once('=').unwrap_or((value, ""));
        match key {
            "volume-label" => drop(self.volume.labels.insert(name.to_owned(), content.to_owned())),
            "volume-driver" => self.volume.driver_config.name = value.to_owned(),
            "volume-opt" => drop(self.volume.driver_config.options.insert(name.to_owned(), content.to_owned())),
            "volume-subpath" => self.volume.subpath = value.to_owned(),
            _ => return Err(unexpected(key, field)),
        }
        Ok(())
    }

    fn set_tmpfs(&mut self, key: &str, value: &str, field: &str) -> Result<(), MountError> {
        self.families.push("tmpfs");
        match key {
            "tmpfs-size" => {
                let size = size::parse_binary(value);
                self.tmpfs.size_bytes = size.map_err(|source| MountError::Size { key: key.to_owned(), source })?;
            }
            "tmpfs-mode" => {
                let mode = u32::from_str_radix(value, 8).ok().filter(|mode| *mode <= 0o7777);
                self.tmpfs.mode = mode.ok_or_else(|| bad_value(key, value))?;
            }
            _ => return Err(unexpected(key, field)),
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Mount, MountError> {
        if self.mount.r#type.is_empty() {
            self.mount.r#type = "volume".to_owned();
        }
        let kind = self.mount.r#type.clone();
        if !matches!(&*kind, "bind" | "volume" | "tmpfs" | "image") {
            return Err(MountError::Type(kind));
        }
        if let Some(family) = self.families.iter().find(|family| **family != kind) {
            return Err(MountError::Mixed { family, kind });
        }
        self.place_subpath(&kind)?;
        check_target(&kind, &self.mount.target)?;
        self.apply_recursive(&kind)?;
        self.check_source(&kind)?;
        self.check_subpath(&kind)?;
        Ok(self.assemble())
    }

    fn place_subpath(&mut self, kind: &str) -> Result<(), MountError> {
        let subpath = std::mem::take(&mut self.subpath);
        match kind {
            _ if subpath.is_empty() => {}
            "image" => {
                self.image.subpath = subpath;
                self.families.push("image");
            }
            "volume" => {
                self.volume.subpath = subpath;
                self.families.push("volume");
            }
            _ => return Err(config(kind, "it has no subpath".to_owned())),
        }
        Ok(())
    }

    fn apply_recursive(&mut self, kind: &str) -> Result<(), MountError> {
        let needs_readonly = matches!(&*self.recursive, "writable" | "readonly") && !self.mount.read_only;
        if needs_readonly {
            return Err(config(kind, format!("option 'bind-recursive={}' requires 'readonly'", self.recursive)));
        }
        match &*self.recursive {
            "disabled" => self.bind.non_recursive = true,
            "writable" => self.bind.read_only_non_recursive = true,
            "readonly" if self.bind.propagation != "rprivate" => {
                let reason = "option 'bind-recursive=readonly' requires 'bind-propagation=rprivate'";
                return Err(config(kind, reason.to_owned()));
            }
            "readonly" => self.bind.read_only_force_recursive = true,
            _ => {}
        }
        Ok(())
    }

    fn check_source(&self, kind: &str) -> Result<(), MountError> {
        let source = &self.mount.source;
        match kind {
            "tmpfs" if !source.is_empty() => Err(config(kind, "field Source must not be specified".to_owned())),
            "bind" | "image" if source.is_empty() => Err(config(kind, "field Source must not be empty".to_owned())),
            "bind" if !source.starts_with(['/', '.', '~']) => {
                Err(config(kind, format!("invalid mount path: '{source}' mount path must be absolute")))
            }
            "volume" if !source.is_empty() && !crate::ids::is_valid_name(source) => {
                Err(config(kind, format!("\"{source}\" includes invalid characters for a local volume name")))
            }
            _ => Ok(()),
        }
    }

    fn check_subpath(&self, kind: &str) -> Result<(), MountError> {
        let subpath = if kind == "image" { &self.image.subpath } else { &self.volume.subpath };
        if subpath.is_empty() {
            return Ok(());
        }
        if self.mount.source.is_empty() {
            return Err(config(kind, "must not set Subpath when using anonymous volumes".to_owned()));
        }
        let outside = subpath.starts_with('/') || subpath.split('/').any(|part| part == "..");
        let reason = format!("subpath \"{subpath}\" must be a relative path within the {kind}");
        if outside { Err(config(kind, reason)) } else { Ok(()) }
    }

    fn assemble(mut self) -> Mount {
        let given = !self.families.is_empty();
        match &*self.mount.r#type {
            "bind" if given => self.mount.bind_options = Some(self.bind),
            "volume" if given => self.mount.volume_options = Some(self.volume),
            "tmpfs" if given => self.mount.tmpfs_options = Some(self.tmpfs),
            "image" if given => self.mount.image_options = Some(self.image),
            _ => {}
        }
        self.mount
    }
}

fn is_switch(key: &str) -> bool {
    matches!(key, "readonly" | "ro" | "volume-nocopy" | "bind-nonrecursive" | "bind-create-src")
}

fn boolean(key: &str, value: Option<&str>) -> Result<bool, MountError> {
    match value {
        None | Some("1" | "true") => Ok(true),
        Some("0" | "false") => Ok(false),
        Some(other) => Err(bad_value(key, other)),
    }
}

fn check_target(kind: &str, target: &str) -> Result<(), MountError> {
    if target.is_empty() {
        return Err(MountError::NoTarget);
    }
    if !target.starts_with('/') {
        return Err(config(kind, format!("invalid mount path: '{target}' mount path must be absolute")));
    }
    if is_root(target) {
        return Err(config(kind, "invalid specification: destination can't be '/'".to_owned()));
    }
    Ok(())
}

fn unexpected(key: &str, field: &str) -> MountError {
    MountError::Key { key: key.to_owned(), field: field.to_owned() }
}

fn bad_value(key: &str, value: &str) -> MountError {
    MountError::Value { key: key.to_owned(), value: value.to_owned() }
}

fn config(kind: &str, reason: String) -> MountError {
    MountError::Config { kind: kind.to_owned(), reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volumes() {
        let mount = parse("source=vol,target=/data,volume-label=a=b,volume-opt=o=size=1m,volume-driver=x").unwrap();
        assert_eq!((&*mount.r#type, &*mount.source, &*mount.target), ("volume", "vol", "/data"));
        let options = mount.volume_options.unwrap();
        assert_eq!(options.labels["a"], "b");
        assert_eq!(options.driver_config.options["o"], "size=1m");
        assert_eq!(options.driver_config.name, "x");
        assert!(parse("dst=/data").unwrap().volume_options.is_none());
    }

    #[test]
    fn quoted_options() {
        let mount = parse("type=volume,dst=/d,\"volume-opt=o=addr=h,rw\"").unwrap();
        assert_eq!(mount.volume_options.unwrap().driver_config.options["o"], "addr=h,rw");
    }

    #[test]
    fn binds() {
        let mount = parse("type=bind,src=/h,dst=/d,ro,bind-propagation=rslave").unwrap();
        assert!(mount.read_only);
        assert_eq!(mount.bind_options.unwrap().propagation, "rslave");
        let forced = parse("type=bind,src=/h,dst=/d,readonly=true,bind-propagation=rprivate,bind-recursive=readonly");
        assert!(forced.unwrap().bind_options.unwrap().read_only_force_recursive);
        assert!(parse("TYPE=Bind,Src=.,dst=/d,bind-create-src").unwrap().bind_options.unwrap().create_mountpoint);
    }

    #[test]
    fn images() {
        let mount = parse("type=image,source=bb:1,target=/i,image-subpath=etc").unwrap();
        assert_eq!((&*mount.r#type, &*mount.source), ("image", "bb:1"));
        assert_eq!(mount.image_options.unwrap().subpath, "etc");
        assert_eq!(parse("type=image,src=b,dst=/i,subpath=a/b").unwrap().image_options.unwrap().subpath, "a/b");
        assert_eq!(parse("src=v1,dst=/i,subpath=a").unwrap().volume_options.unwrap().subpath, "a");
        assert!(parse("type=image,src=b,dst=/i").unwrap().image_options.is_none());
    }

    #[test]
    fn tmpfs() {
        let options = parse("type=tmpfs,dst=/t,tmpfs-size=1m,tmpfs-mode=1770").unwrap().tmpfs_options.unwrap();
        assert_eq!((options.size_bytes, options.mode), (1 << 20, 0o1770));
    }

    #[test]
    fn refused() {
        for (text, token) in [
            ("type=foo,target=/x", "mount type unknown: \"foo\""),
            ("type=image,target=/x", "field Source must not be empty"),
            ("type=image,source=x,target=/x,subpath=../y", "must be a relative path within the image"),
            ("type=image,source=x,target=/x,volume-nocopy", "cannot mix 'volume-*' options with mount type 'image'"),
            ("type=bind,source=/x,target=/x,subpath=y", "it has no subpath"),
            ("source=vol", "target is required"),
            ("dst=/x,foo=bar", "unexpected key 'foo' in 'foo=bar'"),
            ("dst=/x,volume-foo=bar", "unexpected key 'volume-foo'"),
            ("dst=/x,foo", "invalid field 'foo' must be a key=value pair"),
            ("dst=/x, ro", "it should not have whitespace"),
            ("dst=/x,ro=yes", "invalid value for ro: yes"),
            ("type=bind,src=/h,dst=/x,volume-nocopy", "cannot mix 'volume-*' options with mount type 'bind'"),
            ("type=volume,dst=/x,tmpfs-size=1", "cannot mix 'tmpfs-*' options with mount type 'volume'"),
            ("type=tmpfs,src=a,dst=/x", "field Source must not be specified"),
            ("type=bind,dst=/x", "field Source must not be empty"),
            ("type=bind,src=h,dst=/x", "mount path must be absolute"),
            ("dst=x", "mount path must be absolute"),
            ("dst=/", "destination can't be '/'"),
            ("type=tmpfs,dst=/x,tmpfs-size=abc", "invalid value for tmpfs-size: invalid size: 'abc'"),
            ("type=tmpfs,dst=/x,tmpfs-mode=9", "invalid value for tmpfs-mode: 9"),
            ("src=vv,dst=/x,volume-subpath=/abs", "must be a relative path within the volume"),
            ("dst=/x,volume-subpath=a", "must not set Subpath when using anonymous volumes"),
            ("type=bind,src=/h,dst=/x,bind-recursive=writable", "requires 'readonly'"),
            ("type=bind,src=/h,dst=/x,bind-propagation=foo", "invalid value for bind-propagation: foo"),
        ] {
            let message = parse(text).unwrap_err().to_string();
            assert!(message.contains(token), "{text}: {message}");
        }
    }
}
