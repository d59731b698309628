//! `-v [SOURCE:]TARGET[:OPTIONS]` and `--tmpfs TARGET[:OPTIONS]`.

use crate::idmap::IdMaps;
use crate::ids::is_valid_name;

/// What `-v` asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumeSpec {
    /// What is mounted.
    pub source: Source,
    /// Where, absolute and not `/`.
    pub target: String,
    /// How.
    pub options: VolumeFlags,
}

/// The left side of `-v`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// None: a volume with a generated name.
    Anonymous,
    /// A path of the host as written; relative when it starts with `.` or `~`.
    Path(String),
    /// A named volume.
    Name(String),
}

/// The right side of `-v`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VolumeFlags {
    /// `ro`.
    pub read_only: bool,
    /// `z` or `Z`.
    pub relabel: Option<char>,
    /// `rshared`, `private`, …
    pub propagation: Option<String>,
    /// `nocopy`.
    pub no_copy: bool,
    /// `U`: what is mounted is given to the container's user.
    pub chown: bool,
    /// `idmap`: owners are seen through the maps of the container, `idmap=…`: through those that are said.
    pub idmap: bool,
    /// `O`: written changes are thrown away at the end.
    pub overlay: bool,
    /// `nocreate`: a missing path is an error.
    pub no_create: bool,
}

/// Why a text is not a volume or tmpfs, in Docker's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VolumeError {
    /// Nothing.
    #[error("invalid empty volume spec")]
    Empty,
    /// `a::b`.
    #[error("invalid spec: {0}: empty section between colons")]
    Section(String),
    /// More than three parts.
    #[error("invalid volume specification: '{0}': too many colons")]
    Colons(String),
    /// An option, or two of one sort.
    #[error("invalid mode: {0}")]
    Mode(String),
    /// `nocopy` on a path.
    #[error("invalid volume specification: '{0}': field VolumeOptions must not be specified")]
    VolumeOption(String),
    /// A propagation on a volume.
    #[error("invalid volume specification: '{0}': field BindOptions must not be specified")]
    BindOption(String),
    /// A name of one letter.
    #[error("volume name is too short, names should be at least two alphanumeric characters: \"{0}\"")]
    ShortName(String),
    /// A name that is none.
    #[error(
        "\"{0}\" includes invalid characters for a local volume name, only \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. \
         If you intended to pass a host directory, use absolute path"
    )]
    Name(String),
    /// A relative target.
    #[error("invalid volume specification: '{spec}': invalid mount path: '{target}' mount path must be absolute")]
    Relative {
        /// As written.
        spec: String,
        /// Its target.
        target: String,
    },
    /// `/` as target.
    #[error("invalid volume specification: '{0}': invalid specification: destination can't be '/'")]
    Root(String),
    /// An option of `--tmpfs`.
    #[error("invalid tmpfs option {0:?}")]
    TmpfsOption(String),
}

/// Parses `-v`.
pub fn parse_volume(spec: &str) -> Result<VolumeSpec, VolumeError> {
    if spec.is_empty() {
        return Err(VolumeError::Empty);
    }
    let parts: Vec<&str> = spec.split(':').collect();
    if parts.contains(&"") {
        return Err(VolumeError::Section(spec.to_owned()));
    }
    let (source, target, options) = match parts[..] {
        [target] => (Source::Anonymous, target, ""),
        [source, target] => (source_of(source)?, target, ""),
        [source, target, options] => (source_of(source)?, target, options),
        _ => return Err(VolumeError::Colons(spec.to_owned())),
    };
    check_target(spec, target)?;
    let options = parse_options(options)?;
    check_fit(spec, &source, &options)?;
    Ok(VolumeSpec { source, target: target.to_owned(), options })
}

fn source_of(text: &str) -> Result<Source, VolumeError> {
    if text.starts_with(['/', '.', '~']) {
        return Ok(Source::Path(text.to_owned()));
    }
    let single = text.len() == 1 && text.bytes().all(|b| b.is_ascii_alphanumeric());
    match (is_valid_name(text), single) {
        (true, _) => Ok(Source::Name(text.to_owned())),
        (_, true) => Err(VolumeError::ShortName(text.to_owned())),
        _ => Err(VolumeError::Name(text.to_owned())),
    }
}

fn check_target(spec: &str, target: &str) -> Result<(), VolumeError> {
    if !target.starts_with('/') {
        return Err(VolumeError::Relative { spec: spec.to_owned(), target: target.to_owned() });
    }
    if is_root(target) { Err(VolumeError::Root(spec.to_owned())) } else { Ok(()) }
}

/// True when an absolute path leads to `/` by its letters.
pub fn is_root(path: &str) -> bool {
    let mut depth = 0usize;
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => depth = depth.saturating_sub(1),
            _ => depth += 1,
        }
    }
    depth == 0
}

/// Propagations of a bind mount.
pub const PROPAGATIONS: [&str; 6] = ["shared", "rshared", "slave", "rslave", "private", "rprivate"];

/// Parses the option list of `-v`; at most one of each sort.
pub fn parse_options(text: &str) -> Result<VolumeFlags, VolumeError> {
    let mut flags = VolumeFlags::default();
    let mut sorts = Vec::new();
    for word in text.split(',').filter(|word| !word.is_empty()) {
        let sort = apply_option(&mut flags, word).ok_or_else(|| VolumeError::Mode(text.to_owned()))?;
        if sorts.contains(&sort) {
            return Err(VolumeError::Mode(text.to_owned()));
        }
        sorts.push(sort);
    }
    Ok(flags)
}

fn apply_option(flags: &mut VolumeFlags, word: &str) -> Option<&'static str> {
    Some(match word {
        "rw" | "ro" | "rro" => {
            flags.read_only = word != "rw";
            "access"
        }
        "U" => {
            flags.chown = true;
            "owner"
        }
        "O" => {
            flags.overlay = true;
            "overlay"
        }
        _ if word == "idmap" || is_map(word) => {
            flags.idmap = true;
            "idmap"
        }
        "nocreate" => {
            flags.no_create = true;
            "create"
        }
        "z" | "Z" => {
            flags.relabel = word.chars().next();
            "label"
        }
        "nocopy" => {
            flags.no_copy = true;
            "copy"
        }
        "consistent" | "cached" | "delegated" => "consistency",
        _ if PROPAGATIONS.contains(&word) => {
            flags.propagation = Some(word.to_owned());
            "propagation"
        }
        _ => return None,
    })
}

fn is_map(word: &str) -> bool {
    word.strip_prefix("idmap=").is_some_and(|map| IdMaps::of_mount(map).is_ok())
}

fn check_fit(spec: &str, source: &Source, flags: &VolumeFlags) -> Result<(), VolumeError> {
    match source {
        Source::Path(_) if flags.no_copy => Err(VolumeError::VolumeOption(spec.to_owned())),
        Source::Anonymous | Source::Name(_) if flags.propagation.is_some() || flags.no_create => {
            Err(VolumeError::BindOption(spec.to_owned()))
        }
        _ => Ok(()),
    }
}

/// Parses `--tmpfs` to target and options.
pub fn parse_tmpfs(spec: &str) -> Result<(String, String), VolumeError> {
    let (target, options) = spec.split_once(':').unwrap_or((spec, ""));
    check_target(spec, target)?;
    for option in options.split(',').filter(|option| !option.is_empty()) {
        if !is_tmpfs_option(option) {
            return Err(VolumeError::TmpfsOption(option.to_owned()));
        }
    }
    Ok((target.to_owned(), options.to_owned()))
}

fn is_tmpfs_option(option: &str) -> bool {
    const PLAIN: [&str; 22] = [
        "defaults",
        "rw",
        "ro",
        "exec",
        "noexec",
        "suid",
        "nosuid",
        "dev",
        "nodev",
        "sync",
        "async",
        "dirsync",
        "atime",
        "noatime",
        "diratime",
        "nodiratime",
        "relatime",
        "norelatime",
        "strictatime",
        "nostrictatime",
        "mand",
        "nomand",
    ];
    const VALUED: [&str; 7] = ["size", "mode", "uid", "gid", "nr_inodes", "nr_blocks", "mpol"];
    match option.split_once('=') {
        Some((key, value)) => VALUED.contains(&key) && !value.is_empty(),
        None => PLAIN.contains(&option) || PROPAGATIONS.contains(&option),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> Source {
        Source::Path(text.to_owned())
    }

    #[test]
    fn volumes() {
        let name = |text: &str| Source::Name(text.to_owned());
        for (spec, source, target) in [
            ("/data", Source::Anonymous, "/data"),
            ("vol:/data", name("vol"), "/data"),
            ("/host:/data", path("/host"), "/data"),
            ("./host:/data:ro", path("./host"), "/data"),
            ("~/x:/data", path("~/x"), "/data"),
            ("vol:/data:nocopy,ro", name("vol"), "/data"),
            ("/h:/d:rslave,z,cached", path("/h"), "/d"),
            ("/h:/d:U,O,nocreate,rro", path("/h"), "/d"),
            ("vol:/d:U", name("vol"), "/d"),
        ] {
            let got = parse_volume(spec).unwrap();
            assert_eq!((got.source, &*got.target), (source, target), "{spec}");
        }
        let flags = parse_volume("/h:/d:ro,Z,rshared").unwrap().options;
        assert!(flags.read_only && flags.relabel == Some('Z') && flags.propagation.as_deref() == Some("rshared"));
    }

    #[test]
    fn refused() {
        for (spec, token) in [
            ("", "invalid empty volume spec"),
            (":::", "empty section between colons"),
            ("a:/b:ro:x", "too many colons"),
            ("vv:/m:foo", "invalid mode: foo"),
            ("vv:/m:ro,rw", "invalid mode: ro,rw"),
            ("/m:ro", "invalid volume specification"),
            ("/h:/m:nocopy", "field VolumeOptions must not be specified"),
            ("vv:/m:rshared", "field BindOptions must not be specified"),
            ("x:/m", "volume name is too short"),
            ("a b:/m", "includes invalid characters for a local volume name"),
            ("foo/bar:/m", "use absolute path"),
            ("vv:m", "mount path must be absolute"),
            ("vv:/", "destination can't be '/'"),
            ("vv:/a/..", "destination can't be '/'"),
        ] {
            let message = parse_volume(spec).unwrap_err().to_string();
            assert!(message.contains(token), "{spec}: {message}");
        }
    }

    #[test]
    fn tmpfs() {
        assert_eq!(parse_tmpfs("/t"), Ok(("/t".into(), String::new())));
        assert_eq!(parse_tmpfs("/t:size=1m,mode=700,exec"), Ok(("/t".into(), "size=1m,mode=700,exec".into())));
        for (spec, token) in [
            ("t", "mount path must be absolute"),
            ("/", "destination can't be '/'"),
            ("/t:foo", "invalid tmpfs option \"foo\""),
            ("/t:size", "invalid tmpfs option \"size\""),
            ("/t:bind", "invalid tmpfs option \"bind\""),
        ] {
            assert!(parse_tmpfs(spec).unwrap_err().to_string().contains(token), "{spec}");
        }
    }
}
