//! Walks one parsed file and puts its values into the configuration. Every fault is noted and the walk goes on.

use crate::drivers::{DriverOption, plain};
use crate::fault::{Fault, Problem, Source};
use crate::given::{Given, Value, kind};
use crate::keys::{KEYS, KINDS, REGISTRY, plugin_name};
use crate::{Config, Origin, registry};
use std::ops::Range;
use std::sync::Arc;
use toml::de::{DeString, DeTable};

const RUNTIMES: &str = "engine.runtimes";
/// Where a driver runs, and the two places.
pub const ISOLATION: &str = "isolation";
pub const IN_PROCESS: &str = "in-process";
pub const APART: &str = "process";
const DEADLINES: &str = "plugins.deadlines";

type Name<'a> = toml::Spanned<DeString<'a>>;

/// The walk through one file.
pub struct Walk<'a> {
    pub config: &'a mut Config,
    pub source: Arc<Source>,
    pub faults: &'a mut Vec<Fault>,
}

impl Walk<'_> {
    /// Parses the file and takes all that can be taken.
    pub fn file(&mut self) {
        let source = Arc::clone(&self.source);
        let (document, errors) = DeTable::parse_recoverable(&source.text);
        let first = self.faults.len();
        for error in &errors {
            let span = error.span().unwrap_or(0..0);
            self.fault(span, Problem::new(error.message().to_owned()));
        }
        // What a broken file seems to say besides is guesswork: its words are not judged.
        if errors.is_empty() {
            self.top(document.get_ref());
        }
        self.faults[first..].sort_by_key(|fault| (fault.line, fault.column));
    }

    fn top(&mut self, table: &DeTable<'_>) {
        for (name, value) in table {
            match KINDS.iter().find(|kind| *kind == name.get_ref()) {
                Some(kind) => self.drivers(kind, value),
                None if name.get_ref() == REGISTRY => self.registries(value),
                None => self.entry("", name, value),
            }
        }
    }

    fn entry(&mut self, prefix: &str, name: &Name<'_>, value: &Value<'_>) {
        let path = join(prefix, name.get_ref());
        if let Some(key) = KEYS.iter().find(|key| key.path == path) {
            let read = (key.set)(self.config, Given::Toml(value));
            self.note(&path, name, value, read);
        } else if path == "plugins.sha256" {
            self.each(&path, value, |walk, name, value| walk.pin(name, value));
        } else if path == DEADLINES {
            self.each(&path, value, |walk, name, value| walk.deadline(name, value));
        } else if path == RUNTIMES {
            self.each(&path, value, |walk, name, value| walk.runtime(name, value));
        } else if KEYS.iter().any(|key| below(&path, key.path)) {
            self.each(&path, value, |walk, name, value| walk.entry(&path, name, value));
        } else {
            let problem = unknown(prefix, name.get_ref());
            self.fault(name.span(), problem);
        }
    }

    fn each(&mut self, path: &str, value: &Value<'_>, mut take: impl FnMut(&mut Self, &Name<'_>, &Value<'_>)) {
        match value.get_ref().as_table() {
            Some(table) => table.iter().for_each(|(name, value)| take(self, name, value)),
            None => self.fault(value.span(), Problem::new(format!("{path}: expected a table, found {}", kind(value)))),
        }
    }

    fn pin(&mut self, name: &Name<'_>, value: &Value<'_>) {
        let read = plugin_name(Given::Text(name.get_ref())).map_err(|p| Problem { span: Some(name.span()), ..p });
        let read = read.and_then(|plugin| Ok((plugin, sha256(Given::Toml(value).text()?)?)));
        let read = read.map(|(plugin, digest)| {
            self.config.plugin_pins.retain(|(other, _)| *other != plugin);
            self.config.plugin_pins.push((plugin, digest));
        });
        self.note(&format!("plugins.sha256.{}", name.get_ref()), name, value, read);
    }

    fn deadline(&mut self, name: &Name<'_>, value: &Value<'_>) {
        let key = plugin_name(Given::Text(name.get_ref())).map_err(|p| Problem { span: Some(name.span()), ..p });
        let read = key.and_then(|key| Ok((key, Given::Toml(value).duration()?))).map(|(key, time)| {
            self.config.plugin_deadlines.retain(|(other, _)| *other != key);
            self.config.plugin_deadlines.push((key, time));
        });
        self.note(&join(DEADLINES, name.get_ref()), name, value, read);
    }

    fn runtime(&mut self, name: &Name<'_>, value: &Value<'_>) {
        let read = runtime(name.get_ref(), value).map(|command| {
            self.config.runtimes.insert(name.get_ref().to_string(), command);
        });
        self.note(&join(RUNTIMES, name.get_ref()), name, value, read);
    }

    fn registries(&mut self, value: &Value<'_>) {
        self.each(REGISTRY, value, |walk, name, value| match registry::host(name.get_ref()) {
            Ok(host) => walk.registry(&host, name, value),
            Err(problem) => walk.fault(name.span(), named(REGISTRY, problem)),
        });
    }

    fn registry(&mut self, host: &str, name: &Name<'_>, value: &Value<'_>) {
        let path = join(REGISTRY, host);
        self.each(&path, value, |walk, name, value| {
            match registry::KEYS.iter().find(|key| key.name == name.get_ref()) {
                Some(key) => {
                    let entry = walk.config.registries.entry(host.to_owned()).or_default();
                    let read = (key.set)(entry, Given::Toml(value));
                    walk.note(&join(&path, key.name), name, value, read);
                }
                None => {
                    let known: Vec<_> = registry::KEYS.iter().map(|key| key.name).collect();
                    let problem = Problem::new(format!("unknown key {:?}", join(&path, name.get_ref())));
                    walk.fault(name.span(), problem.hint(format!("known: {}", known.join(", "))));
                }
            }
        });
        let half = |own: &registry::Registry| own.client_cert.is_some() != own.client_key.is_some();
        if self.config.registries.get(host).is_some_and(half) {
            let problem = Problem::new("client-cert and client-key need each other");
            self.fault(name.span(), named(&path, problem));
        }
    }

    fn drivers(&mut self, kind: &str, value: &Value<'_>) {
        self.each(kind, value, |walk, driver, options| {
            if options.get_ref().is_table() {
                let place = (Arc::clone(&walk.source), driver.span());
                walk.config.tables.insert((kind.to_owned(), driver.get_ref().to_string()), place);
                walk.options(kind, driver.get_ref(), "", options);
            } else {
                let known = format!("the options of a {kind} driver stand in [{kind}.NAME]");
                let problem = unknown("", &join(kind, driver.get_ref()));
                walk.fault(driver.span(), Problem { hint: problem.hint.or(Some(known)), ..problem });
            }
        });
    }

    /// Options in the order in which they stand; what TOML takes for tables are names with dots.
    fn options(&mut self, kind: &str, driver: &str, prefix: &str, value: &Value<'_>) {
        let Some(table) = value.get_ref().as_table() else { return };
        let mut options: Vec<_> = table.iter().collect();
        options.sort_by_key(|(name, _)| name.span().start);
        for (name, value) in options {
            let key = join(prefix, name.get_ref());
            if key == ISOLATION {
                self.isolation(kind, driver, name, value);
            } else if value.get_ref().is_table() {
                self.options(kind, driver, &key, value);
            } else {
                self.option(kind, driver, key, name.span(), value);
            }
        }
    }

    /// The one key in a driver's table that is the engine's.
    fn isolation(&mut self, kind: &str, driver: &str, name: &Name<'_>, value: &Value<'_>) {
        let plugin = format!("{kind}/{driver}");
        let read = Given::Toml(value).word(&[IN_PROCESS, APART]).map(|word| {
            self.config.isolation.insert(plugin, word == APART);
        });
        self.note(&join(&join(kind, driver), ISOLATION), name, value, read);
    }

    fn option(&mut self, kind: &str, driver: &str, key: String, key_span: Range<usize>, value: &Value<'_>) {
        match plain(value) {
            Ok(text) => self.config.set_driver_option(DriverOption {
                kind: kind.to_owned(),
                driver: driver.to_owned(),
                key,
                value: text,
                source: Arc::clone(&self.source),
                key_span,
                value_span: value.span(),
            }),
            Err(problem) => self.fault(problem.span.clone().unwrap_or(value.span()), named(&key, problem)),
        }
    }

    fn note(&mut self, path: &str, name: &Name<'_>, value: &Value<'_>, read: Result<(), Problem>) {
        match read {
            Ok(()) => {
                let (line, _) = self.source.position(name.span().start);
                self.config.origins.insert(path.to_owned(), Origin::File(self.source.path.clone(), line));
                self.config.places.insert(path.to_owned(), (Arc::clone(&self.source), value.span()));
            }
            Err(problem) => self.fault(problem.span.clone().unwrap_or(value.span()), named(path, problem)),
        }
    }

    fn fault(&mut self, span: Range<usize>, problem: Problem) {
        self.faults.push(Fault::at(&self.source, span, problem));
    }
}

/// A problem that names its key.
pub fn named(path: &str, problem: Problem) -> Problem {
    Problem { message: format!("{path}: {}", problem.message), ..problem }
}

fn join(prefix: &str, name: &str) -> String {
    if prefix.is_empty() { name.to_owned() } else { format!("{prefix}.{name}") }
}

fn below(table: &str, path: &str) -> bool {
    path.strip_prefix(table).is_some_and(|rest| rest.starts_with('.'))
}

/// A program's absolute path, or a list of that and its options.
fn runtime(name: &str, value: &Value<'_>) -> Result<Vec<String>, Problem> {
    if name == "gantry" {
        return Err(Problem::new("this name is the built-in runtime's"));
    }
    let command = match value.get_ref().as_array() {
        Some(words) => words.iter().map(|word| Given::Toml(word).name()).collect::<Result<Vec<_>, _>>()?,
        None => vec![Given::Toml(value).name()?],
    };
    match command.first() {
        Some(program) if program.starts_with('/') => Ok(command),
        _ => Err(Problem::new("expected the absolute path of a program, or a list of it and its options")),
    }
}

fn sha256(text: &str) -> Result<String, Problem> {
    let digest = text.strip_prefix("sha256:").unwrap_or(text);
    match digest.len() == 64 && digest.bytes().all(|b| b.is_ascii_hexdigit()) {
        true => Ok(digest.to_ascii_lowercase()),
        false => Err(Problem::new("expected a sha256 digest of 64 hexadecimal digits")),
    }
}

/// What to say of an unknown key: its nearest neighbour in the same table, else a key elsewhere with the same last word.
fn unknown(prefix: &str, name: &str) -> Problem {
    let problem = Problem::new(format!("unknown key {:?}", join(prefix, name)));
    match nearest(prefix, name).or_else(|| elsewhere(name)) {
        Some(close) => problem.hint(format!("did you mean {close:?}?")),
        None => problem,
    }
}

fn nearest(prefix: &str, name: &str) -> Option<String> {
    let kebab = name.replace('_', "-");
    let close = |word: &&str| strsim::damerau_levenshtein(word, &kebab) <= 1 + kebab.len() / 4;
    let best =
        neighbours(prefix).into_iter().filter(close).min_by_key(|word| strsim::damerau_levenshtein(word, &kebab));
    best.map(|word| join(prefix, word))
}

fn neighbours(prefix: &str) -> Vec<&'static str> {
    let paths = KEYS.iter().map(|key| key.path).chain(["plugins.sha256", DEADLINES, RUNTIMES]);
    let here = paths.filter_map(|path| match prefix {
        "" => Some(path),
        _ => path.strip_prefix(prefix)?.strip_prefix('.'),
    });
    let words = here.filter_map(|rest| rest.split('.').next());
    if prefix.is_empty() { words.chain(KINDS).chain([REGISTRY]).collect() } else { words.collect() }
}

fn elsewhere(name: &str) -> Option<String> {
    let kebab = name.replace('_', "-");
    let last = kebab.rsplit('.').next()?;
    KEYS.iter().map(|key| key.path).find(|path| path.rsplit('.').next() == Some(last)).map(str::to_owned)
}
