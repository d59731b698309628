//! Builds the ELF note of a plugin while it is compiled, so that the schema can be read from the file without running it.
//!
//! Layout of the descriptor: format (u32), API major and minor (u16 each), then records of tag (u32), length (u32) and
//! bytes; a driver's record starts with its kind and contains records of its own. All little endian.

use crate::abi::API_VERSION;
use crate::manifest::{Kind, tag};
use crate::options::OptionSpec;

/// The owner's name in the note header, with its NUL.
pub const OWNER: [u8; 8] = *b"Gantry\0\0";
/// Bytes of [`OWNER`] that count, with one NUL.
pub const OWNER_LEN: u32 = 7;
/// The note's type.
pub const TYPE: u32 = 1;

/// What the export macro knows.
pub struct Source {
    pub name: &'static str,
    pub version: &'static str,
    pub license: &'static str,
    pub requires: &'static str,
    pub drivers: &'static [(Kind, &'static [OptionSpec])],
}

/// A complete note as it stands in the file.
#[repr(C, align(4))]
pub struct Note<const N: usize> {
    owner_len: u32,
    data_len: u32,
    kind: u32,
    owner: [u8; 8],
    data: [u8; N],
}

impl<const N: usize> Note<N> {
    /// The descriptor.
    pub fn data(&self) -> &[u8] {
        &self.data
    }
}

/// The number of descriptor bytes a source needs.
pub const fn size(source: &Source) -> usize {
    encode::<0>(source).at
}

/// The note of a source; `N` is its [`size`].
pub const fn build<const N: usize>(source: &Source) -> Note<N> {
    Note { owner_len: OWNER_LEN, data_len: N as u32, kind: TYPE, owner: OWNER, data: encode::<N>(source).bytes }
}

const fn encode<const N: usize>(source: &Source) -> Cursor<N> {
    let mut out = Cursor { bytes: [0; N], at: 0 };
    out.number(1);
    out.number(API_VERSION.major as u32 | (API_VERSION.minor as u32) << 16);
    out.text(tag::NAME, source.name);
    out.text(tag::VERSION, source.version);
    out.text(tag::LICENSE, source.license);
    out.text(tag::REQUIRES, source.requires);
    let mut i = 0;
    while i < source.drivers.len() {
        out.driver(source.drivers[i].0, source.drivers[i].1);
        i += 1;
    }
    out
}

/// Counts what does not fit, so that one function both measures and writes.
struct Cursor<const N: usize> {
    bytes: [u8; N],
    at: usize,
}

impl<const N: usize> Cursor<N> {
    const fn byte(&mut self, byte: u8) {
        if self.at < N {
            self.bytes[self.at] = byte;
        }
        self.at += 1;
    }

    const fn number(&mut self, value: u32) {
        self.put(&value.to_le_bytes());
    }

    const fn put(&mut self, bytes: &[u8]) {
        let mut i = 0;
        while i < bytes.len() {
            self.byte(bytes[i]);
            i += 1;
        }
    }

    const fn begin(&mut self, what: u32) -> usize {
        self.number(what);
        self.number(0);
        self.at
    }

    const fn end(&mut self, start: usize) {
        let len = ((self.at - start) as u32).to_le_bytes();
        let mut i = 0;
        while i < 4 && start <= N {
            self.bytes[start - 4 + i] = len[i];
            i += 1;
        }
    }

    const fn text(&mut self, what: u32, text: &str) {
        if text.is_empty() {
            return;
        }
        let start = self.begin(what);
        self.put(text.as_bytes());
        self.end(start);
    }

    const fn value(&mut self, what: u32, value: u32) {
        let start = self.begin(what);
        self.number(value);
        self.end(start);
    }

    const fn driver(&mut self, kind: Kind, options: &[OptionSpec]) {
        let start = self.begin(tag::DRIVER);
        self.number(kind.number());
        let mut i = 0;
        while i < options.len() {
            self.option(&options[i]);
            i += 1;
        }
        self.end(start);
    }

    const fn option(&mut self, spec: &OptionSpec) {
        let start = self.begin(tag::OPTION);
        self.text(tag::KEY, spec.key);
        self.text(tag::ALIASES, spec.aliases);
        self.value(tag::KIND, spec.kind.0);
        self.value(tag::SCOPE, spec.scope.0);
        self.text(tag::DEFAULT, spec.default);
        self.text(tag::CHOICES, spec.choices);
        self.text(tag::HELP, spec.help);
        self.value(
            tag::FLAGS,
            if spec.secret { tag::SECRET } else { 0 } | if spec.required { tag::REQUIRED } else { 0 },
        );
        self.end(start);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Manifest;
    use crate::options::{OptionKind, Scope};

    const OPTIONS: &[OptionSpec] = &[
        OptionSpec::size("max-size", "rotate at this size").default("20m").aliases("size,maxsize"),
        OptionSpec::choice("mode", "a,b", "which").scope(Scope::ENDPOINT).required().secret(),
    ];
    const SOURCE: Source = Source {
        name: "hello",
        version: "1.2.3",
        license: "MIT",
        requires: "overlay, nf_tables",
        drivers: &[(Kind::Log, OPTIONS), (Kind::Volume, &[])],
    };
    static NOTE: Note<{ size(&SOURCE) }> = build(&SOURCE);

    #[test]
    fn a_note_reads_back_as_it_was_written() {
        let manifest = Manifest::parse(&NOTE.data).expect("readable");
        assert_eq!((manifest.name.as_str(), manifest.version.as_str()), ("hello", "1.2.3"));
        assert_eq!((manifest.license.as_str(), manifest.api), ("MIT", API_VERSION));
        assert_eq!(manifest.requires, ["overlay", "nf_tables"]);
        assert_eq!(manifest.drivers.iter().map(|d| d.kind).collect::<Vec<_>>(), [Kind::Log, Kind::Volume]);
        let options = &manifest.drivers[0].options;
        assert_eq!((options[0].key.as_str(), options[0].default.as_str()), ("max-size", "20m"));
        assert_eq!((options[0].kind, options[0].scope), (OptionKind::SIZE_DECIMAL, Scope::OBJECT));
        assert_eq!(options[0].aliases, ["size", "maxsize"]);
        assert_eq!(options[1].choices, ["a", "b"]);
        assert!(options[1].secret && options[1].required && options[1].scope == Scope::ENDPOINT);
        assert!(!options[0].secret && !options[0].required);
    }

    #[test]
    fn a_cut_note_is_an_error_or_a_shorter_manifest() {
        for len in 0..NOTE.data.len() {
            let _ = Manifest::parse(&NOTE.data[..len]);
        }
        assert!(Manifest::parse(&NOTE.data[..NOTE.data.len() - 1]).is_err());
    }
}
