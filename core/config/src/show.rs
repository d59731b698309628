//! The configuration in force, value by value, for `config show`.

use crate::keys::{KEYS, quoted};
use crate::tables::{APART, IN_PROCESS, ISOLATION};
use crate::{Config, Origin, registry};
use std::fmt::Write as _;

/// One value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// With dots.
    pub key: String,
    /// In TOML.
    pub value: String,
    /// Where it came from.
    pub origin: Origin,
}

impl Config {
    /// Every value with its origin: the engine's keys in a fixed order, then registries, runtimes, pins, deadlines, then the drivers' options.
    pub fn show(&self) -> Vec<Shown> {
        let own = KEYS.iter().map(|key| self.shown(key.path.to_owned(), (key.show)(self)));
        let pins =
            self.plugin_pins.iter().map(|(name, digest)| self.shown(format!("plugins.sha256.{name}"), quoted(digest)));
        let deadlines = self
            .plugin_deadlines
            .iter()
            .map(|(name, time)| self.shown(format!("plugins.deadlines.{name}"), quoted(&format!("{time:?}"))));
        let drivers = self.drivers.iter().flat_map(|((kind, name), options)| {
            options.iter().map(move |(key, value)| self.shown(format!("{kind}.{name}.{key}"), quoted(value)))
        });
        own.chain(self.registries())
            .chain(self.other_runtimes())
            .chain(pins)
            .chain(deadlines)
            .chain(self.isolations())
            .chain(drivers)
            .collect()
    }

    /// The engine's keys with their defaults, as comments of a file.
    pub fn commented() -> String {
        let defaults = Config::default();
        let mut text = String::new();
        let mut table = "";
        for key in KEYS {
            let (own, name) = key.path.rsplit_once('.').unwrap_or(("", key.path));
            if own != table {
                let _ = write!(text, "\n[{own}]\n");
                table = own;
            }
            let by = if key.variable.is_empty() { String::new() } else { format!(" ({})", key.variable) };
            let value = (key.show)(&defaults);
            // What is said in brackets is no value.
            let sign = if value.starts_with('(') { ":" } else { " =" };
            let _ = write!(text, "# {}{by}\n# {name}{sign} {value}\n", key.help);
        }
        text
    }

    fn isolations(&self) -> impl Iterator<Item = Shown> {
        self.isolation.iter().map(|(name, apart)| {
            let place = if *apart { APART } else { IN_PROCESS };
            self.shown(format!("{}.{ISOLATION}", name.replacen('/', ".", 1)), quoted(place))
        })
    }

    fn other_runtimes(&self) -> impl Iterator<Item = Shown> {
        self.runtimes.iter().map(|(name, command)| {
            let words: Vec<_> = command.iter().map(|word| quoted(word)).collect();
            self.shown(format!("engine.runtimes.{name}"), format!("[{}]", words.join(", ")))
        })
    }

    fn registries(&self) -> impl Iterator<Item = Shown> {
        self.registries.iter().flat_map(move |(host, own)| {
            let keys = registry::KEYS.iter().filter_map(move |key| Some((key.name, (key.show)(own)?)));
            keys.map(move |(name, value)| self.shown(format!("registry.{host}.{name}"), value))
        })
    }

    /// Where a value came from.
    pub fn origin(&self, key: &str) -> Origin {
        self.origins.get(key).cloned().unwrap_or_default()
    }

    /// Notes that a flag of the command line overrode a value.
    pub fn overridden(&mut self, key: &str, flag: &str) {
        self.origins.insert(key.to_owned(), Origin::Flag(flag.to_owned()));
    }

    fn shown(&self, key: String, value: String) -> Shown {
        Shown { origin: self.origin(&key), key, value }
    }
}
