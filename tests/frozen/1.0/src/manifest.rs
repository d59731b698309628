//! What a plugin file says about itself without being run: the API it was built for, its name, version and licence, and
//! for each driver in it the kind and the option schema. [`crate::export_plugin!`] writes it into the section
//! `.note.gantry`, as does the macro `GANTRY_PLUGIN` of the C header; this module reads it back.
//!
//! A note begins with its format (u32) and the API's major and minor number (u16 each), little endian. Format 1, of
//! plugins in Rust, goes on with records of tag, length and bytes; format 2, of plugins that come through the C door,
//! with lines of text ([`text`]).

mod text;

use crate::options::{OptionKind, Scope};
use std::fmt;
use std::str::FromStr;

/// The kinds of drivers. Later versions may know more.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum Kind {
    /// Where lines go.
    Log,
    /// Where layers lie.
    Storage,
    /// How containers are connected.
    Network,
    /// Data that outlives containers.
    Volume,
}

impl Kind {
    /// All kinds, in the order they are listed.
    pub fn all() -> impl Iterator<Item = Kind> {
        [Kind::Log, Kind::Storage, Kind::Network, Kind::Volume].into_iter()
    }

    /// `log`, `storage`, `network` or `volume`.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Log => "log",
            Kind::Storage => "storage",
            Kind::Network => "network",
            Kind::Volume => "volume",
        }
    }

    pub(crate) const fn number(self) -> u32 {
        match self {
            Kind::Log => 1,
            Kind::Storage => 2,
            Kind::Network => 3,
            Kind::Volume => 4,
        }
    }

    fn from_number(number: u32) -> Option<Kind> {
        Kind::all().find(|k| k.number() == number)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Kind::all().find(|k| k.name() == text);
        known.ok_or_else(|| format!("unknown plugin kind {text:?}: expected log, storage, network or volume"))
    }
}

/// A version of the plugin API: two of the same major number understand each other; before 1.0 only equal ones did.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ApiVersion {
    /// Incompatible changes.
    pub major: u16,
    /// Additions.
    pub minor: u16,
}

impl ApiVersion {
    /// True when a plugin built for `plugin` works in an engine that speaks `self`.
    pub const fn accepts(self, plugin: ApiVersion) -> bool {
        self.major == plugin.major && (self.major > 0 || self.minor == plugin.minor)
    }
}

impl fmt::Display for ApiVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// Through which symbols a plugin is entered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Door {
    /// Rust: a header for each driver, made by [`crate::export_plugin!`].
    Rust,
    /// C: one function that answers tables, `include/gantry_plugin.h`.
    C,
}

impl Door {
    /// `rust` or `c`.
    pub const fn name(self) -> &'static str {
        match self {
            Door::Rust => "rust",
            Door::C => "c",
        }
    }
}

/// What a plugin file carries.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Manifest {
    /// The plugin API it was built for.
    pub api: ApiVersion,
    /// How it is entered.
    pub door: Door,
    /// Its own name.
    pub name: String,
    /// Its own version.
    pub version: String,
    /// Its licence, an SPDX expression.
    pub license: String,
    /// Features of the kernel without which it is no use (`overlay`, `nf_tables` …).
    pub requires: Vec<String>,
    /// Its drivers, one per kind.
    pub drivers: Vec<DriverManifest>,
}

impl Manifest {
    /// The driver of a kind.
    pub fn driver(&self, kind: Kind) -> Option<&DriverManifest> {
        self.drivers.iter().find(|d| d.kind == kind)
    }
}

/// One driver of a plugin.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct DriverManifest {
    /// Its kind.
    pub kind: Kind,
    /// Its option schema.
    pub options: Vec<OptionInfo>,
}

/// An [`crate::options::OptionSpec`] read from a file.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct OptionInfo {
    /// The key the user types.
    pub key: String,
    /// Other spellings.
    pub aliases: Vec<String>,
    /// The value's type.
    pub kind: OptionKind,
    /// What it belongs to.
    pub scope: Scope,
    /// The value when none is given; empty: none.
    pub default: String,
    /// The words allowed, for [`OptionKind::CHOICE`].
    pub choices: Vec<String>,
    /// One sentence.
    pub help: String,
    /// Never shown in clear.
    pub secret: bool,
    /// Must be given.
    pub required: bool,
}

/// Tags of the note's records. Frozen: new ones are added, unknown ones skipped.
pub(crate) mod tag {
    pub const NAME: u32 = 1;
    pub const VERSION: u32 = 2;
    pub const LICENSE: u32 = 3;
    pub const REQUIRES: u32 = 4;
    pub const DRIVER: u32 = 10;
    pub const OPTION: u32 = 11;
    pub const KEY: u32 = 20;
    pub const ALIASES: u32 = 21;
    pub const KIND: u32 = 22;
    pub const SCOPE: u32 = 23;
    pub const DEFAULT: u32 = 24;
    pub const CHOICES: u32 = 25;
    pub const HELP: u32 = 26;
    pub const FLAGS: u32 = 27;
    pub const SECRET: u32 = 1;
    pub const REQUIRED: u32 = 2;
}

/// The format of a note that goes on as text.
const TEXT: u32 = 2;

/// Why a note cannot be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct BadNote;

impl fmt::Display for BadNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the plugin's note is damaged")
    }
}

impl std::error::Error for BadNote {}

impl Manifest {
    /// The API version alone: the first eight bytes never change their meaning.
    pub fn api_of(note: &[u8]) -> Result<ApiVersion, BadNote> {
        let head = note.get(..8).ok_or(BadNote)?;
        let half = |at: usize| u16::from_le_bytes([head[at], head[at + 1]]);
        Ok(ApiVersion { major: half(4), minor: half(6) })
    }

    /// Reads the descriptor of the note.
    pub fn parse(note: &[u8]) -> Result<Manifest, BadNote> {
        let (api, format) = (Self::api_of(note)?, number(note)?);
        let door = if format == TEXT { Door::C } else { Door::Rust };
        let (name, version, license) = (String::new(), String::new(), String::new());
        let mut manifest = Manifest { api, door, name, version, license, requires: vec![], drivers: vec![] };
        match door {
            Door::C => text::read(&mut manifest, &note[8..])?,
            Door::Rust => Records(&note[8..]).try_for_each(|record| manifest.take(record?))?,
        }
        Ok(manifest)
    }

    fn take(&mut self, (what, data): (u32, &[u8])) -> Result<(), BadNote> {
        match what {
            tag::NAME => self.name = utf8(data)?,
            tag::VERSION => self.version = utf8(data)?,
            tag::LICENSE => self.license = utf8(data)?,
            tag::REQUIRES => self.requires = words(data)?,
            tag::DRIVER => self.drivers.extend(driver(data)?),
            _ => {}
        }
        Ok(())
    }
}

fn driver(data: &[u8]) -> Result<Option<DriverManifest>, BadNote> {
    let Some(kind) = Kind::from_number(number(data)?) else { return Ok(None) };
    let mut options = vec![];
    for record in Records(&data[4..]) {
        if let (tag::OPTION, data) = record? {
            options.push(option(data)?);
        }
    }
    Ok(Some(DriverManifest { kind, options }))
}

fn option(data: &[u8]) -> Result<OptionInfo, BadNote> {
    let mut info = OptionInfo::new(String::new());
    for record in Records(data) {
        info.take(record?)?;
    }
    Ok(info)
}

impl OptionInfo {
    /// An option of text without a default.
    pub fn new(key: String) -> OptionInfo {
        OptionInfo {
            key,
            aliases: vec![],
            kind: OptionKind::STRING,
            scope: Scope::OBJECT,
            default: String::new(),
            choices: vec![],
            help: String::new(),
            secret: false,
            required: false,
        }
    }

    fn take(&mut self, (what, data): (u32, &[u8])) -> Result<(), BadNote> {
        match what {
            tag::KEY => self.key = utf8(data)?,
            tag::ALIASES => self.aliases = words(data)?,
            tag::KIND => self.kind = OptionKind(number(data)?),
            tag::SCOPE => self.scope = Scope(number(data)?),
            tag::DEFAULT => self.default = utf8(data)?,
            tag::CHOICES => self.choices = words(data)?,
            tag::HELP => self.help = utf8(data)?,
            tag::FLAGS => {
                let flags = number(data)?;
                self.secret = flags & tag::SECRET != 0;
                self.required = flags & tag::REQUIRED != 0;
            }
            _ => {}
        }
        Ok(())
    }
}

struct Records<'a>(&'a [u8]);

impl<'a> Iterator for Records<'a> {
    type Item = Result<(u32, &'a [u8]), BadNote>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let record = split_record(self.0);
        self.0 = record.map(|(_, _, rest)| rest).unwrap_or_default();
        Some(record.map(|(what, data, _)| (what, data)).ok_or(BadNote))
    }
}

fn split_record(bytes: &[u8]) -> Option<(u32, &[u8], &[u8])> {
    let what = number(bytes).ok()?;
    let len = number(bytes.get(4..)?).ok()? as usize;
    let rest = bytes.get(8..)?;
    Some((what, rest.get(..len)?, rest.get(len..)?))
}

fn number(bytes: &[u8]) -> Result<u32, BadNote> {
    bytes.first_chunk::<4>().map(|b| u32::from_le_bytes(*b)).ok_or(BadNote)
}

fn utf8(bytes: &[u8]) -> Result<String, BadNote> {
    String::from_utf8(bytes.to_vec()).map_err(|_| BadNote)
}

fn words(bytes: &[u8]) -> Result<Vec<String>, BadNote> {
    Ok(split(&utf8(bytes)?))
}

fn split(list: &str) -> Vec<String> {
    list.split(',').map(str::trim).filter(|w| !w.is_empty()).map(str::to_owned).collect()
}
