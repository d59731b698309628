//! What clients send and what they get, in one table: each type with its fields, what they hold, and the version of the
//! API in which each appeared and went. Requests are read by it, answers to older clients cut by it, and the OpenAPI
//! file is written from it.

pub mod container;
pub mod fit;
pub mod host;
pub mod image;
pub mod network;
pub mod stats;
pub mod system;
pub mod trim;

use crate::version::OLDEST;

/// An object.
#[derive(Debug)]
pub struct Type {
    pub name: &'static str,
    pub about: &'static str,
    /// Fields of its own, and those of the types that lie in the same object.
    pub fields: &'static [&'static [Field]],
}

impl Type {
    /// All fields.
    pub fn all(&self) -> impl Iterator<Item = &'static Field> {
        self.fields.iter().copied().flatten()
    }
}

/// A field of an object.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    pub name: &'static str,
    pub kind: Kind,
    /// The first version that has it.
    pub since: u16,
    /// The first version that has it no longer.
    pub until: Option<u16>,
    /// Gantry's own.
    pub own: bool,
    pub about: &'static str,
}

/// What a field holds. Null is as good as absent in what is sent, and may stand for any list, map or object in what is
/// answered.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    Text,
    /// RFC 3339.
    Time,
    Integer,
    Switch,
    /// Whatever comes.
    Any,
    /// A list of words; one word may stand for a list of one.
    Words,
    List(&'static Kind),
    Map(&'static Kind),
    Object(&'static Type),
    /// A list of objects.
    Objects(&'static Type),
    /// Objects by name.
    Named(&'static Type),
    /// The same, or null.
    Maybe(&'static Kind),
}

/// An object without fields, as Docker writes members of sets.
pub static NOTHING: Type = Type { name: "Empty", about: "An object without fields.", fields: &[] };

pub const TEXTS: Kind = Kind::List(&Kind::Text);
pub const PAIRS: Kind = Kind::Map(&Kind::Text);
pub const SET: Kind = Kind::Named(&NOTHING);
pub const MAYBE_INTEGER: Kind = Kind::Maybe(&Kind::Integer);
pub const MAYBE_SWITCH: Kind = Kind::Maybe(&Kind::Switch);

/// A field that all versions have.
pub const fn field(name: &'static str, kind: Kind, about: &'static str) -> Field {
    Field { name, kind, since: OLDEST.0, until: None, own: false, about }
}

pub const fn text(name: &'static str, about: &'static str) -> Field {
    field(name, Kind::Text, about)
}

pub const fn integer(name: &'static str, about: &'static str) -> Field {
    field(name, Kind::Integer, about)
}

pub const fn switch(name: &'static str, about: &'static str) -> Field {
    field(name, Kind::Switch, about)
}

pub const fn texts(name: &'static str, about: &'static str) -> Field {
    field(name, TEXTS, about)
}

pub const fn pairs(name: &'static str, about: &'static str) -> Field {
    field(name, PAIRS, about)
}

impl Field {
    /// Came with this version.
    pub const fn since(self, minor: u16) -> Field {
        Field { since: minor, ..self }
    }

    /// Went with this version.
    pub const fn until(self, minor: u16) -> Field {
        Field { until: Some(minor), ..self }
    }

    /// Is an addition of Gantry's.
    pub const fn own(self) -> Field {
        Field { own: true, ..self }
    }

    /// True when a version has it.
    pub fn is_in(&self, minor: u16) -> bool {
        self.since <= minor && self.until.is_none_or(|until| minor < until)
    }
}

impl Kind {
    /// As it is called to a client that sent something else.
    pub fn expected(&self) -> &'static str {
        match self {
            Kind::Text | Kind::Time => "a string",
            Kind::Integer => "an integer",
            Kind::Switch => "true or false",
            Kind::Any => "anything",
            Kind::Words => "a list of strings",
            Kind::List(_) | Kind::Objects(_) => "a list",
            Kind::Map(_) | Kind::Object(_) | Kind::Named(_) => "an object",
            Kind::Maybe(kind) => kind.expected(),
        }
    }
}
