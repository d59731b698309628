//! The tables that belong to drivers. Here only their form is judged; what an option means is the driver's schema's to
//! say, and [`Config::check_with`] puts its verdict where the option was written.

use crate::fault::{Fault, Problem, Source};
use crate::given::{Value, kind};
use crate::{Config, Origin};
use std::ops::Range;
use std::sync::Arc;
use toml::de::DeValue;

/// Who knows what drivers there are and what they take. A refusal says why.
pub trait Judge {
    /// Whether there is such a driver.
    fn driver(&self, kind: &str, name: &str) -> Result<(), String>;
    /// One option of a driver, by itself.
    fn option(&self, kind: &str, driver: &str, key: &str, value: &str) -> Result<(), String>;
    /// All options of a driver together, each of which is right by itself.
    fn table(&self, kind: &str, driver: &str) -> Result<(), String>;
}

/// The keys that name drivers, with their kinds. `defaults.network` names a network, which need not be a driver's.
const NAMING: [(&str, &str); 4] = [
    ("defaults.log-driver", "log"),
    ("defaults.log-cache-driver", "log"),
    ("defaults.storage-driver", "storage"),
    ("defaults.volume-driver", "volume"),
];

/// An option of a driver, as it stands in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DriverOption {
    /// `log`, `storage`, `network` or `volume`.
    pub kind: String,
    /// The driver.
    pub driver: String,
    /// The option.
    pub key: String,
    /// Its value as text.
    pub value: String,
    pub(crate) source: Arc<Source>,
    pub(crate) key_span: Range<usize>,
    pub(crate) value_span: Range<usize>,
}

impl Config {
    /// Has every named driver and every option of a driver judged; refusals become faults with a place. A verdict that
    /// names the option's value blames the value, any other the key.
    pub fn check_with(&self, judge: &dyn Judge) -> Vec<Fault> {
        let mut faults = self.check_names(judge);
        for ((kind, driver), (source, span)) in &self.tables {
            match judge.driver(kind, driver) {
                // One fault is enough for a driver that nobody knows.
                Err(refusal) => {
                    let problem = Problem::new(format!("{kind}.{driver}: {refusal}"));
                    faults.push(Fault::at(source, span.clone(), problem));
                }
                Ok(()) => faults.extend(self.check_options(judge, kind, driver)),
            }
        }
        faults
    }

    fn check_options(&self, judge: &dyn Judge, kind: &str, driver: &str) -> Vec<Fault> {
        let own: Vec<&DriverOption> =
            self.written.iter().filter(|o| (o.kind.as_str(), o.driver.as_str()) == (kind, driver)).collect();
        let verdict = |option: &&DriverOption| {
            let refusal = judge.option(kind, driver, &option.key, &option.value).err()?;
            Some(blame(option, refusal))
        };
        let mut faults: Vec<Fault> = own.iter().filter_map(verdict).collect();
        if faults.is_empty()
            && let Err(refusal) = judge.table(kind, driver)
        {
            let named = own.iter().find(|o| refusal.contains(&o.key)).or(own.first());
            faults.extend(named.map(|option| blame(option, refusal)));
        }
        faults
    }

    fn check_names(&self, judge: &dyn Judge) -> Vec<Fault> {
        let named = |path: &str| match path {
            "defaults.log-driver" => self.log_drivers.clone(),
            "defaults.log-cache-driver" => vec![self.log_cache_driver.clone()],
            "defaults.storage-driver" => vec![self.storage_driver.clone()],
            _ => vec![self.volume_driver.clone()],
        };
        let fault = |path: &str, name: &str, refusal: String| match self.places.get(path) {
            Some((source, span)) => {
                // Of a list, the name itself.
                let text = source.text.get(span.clone()).unwrap_or_default();
                let at = text.find(name).map_or(span.clone(), |at| span.start + at..span.start + at + name.len());
                Fault::at(source, at, Problem::new(format!("{path}: {refusal}")))
            }
            None => Fault::elsewhere(Problem::new(format!("{path} ({}): {refusal}", self.origin(path)))),
        };
        let each = NAMING.iter().flat_map(|(path, kind)| named(path).into_iter().map(move |name| (*path, *kind, name)));
        each.filter_map(|(path, kind, name)| Some(fault(path, &name, judge.driver(kind, &name).err()?))).collect()
    }

    pub(crate) fn set_driver_option(&mut self, option: DriverOption) {
        let (line, _) = option.source.position(option.key_span.start);
        let place = Origin::File(option.source.path.clone(), line);
        self.origins.insert(format!("{}.{}.{}", option.kind, option.driver, option.key), place);
        let options = self.drivers.entry((option.kind.clone(), option.driver.clone())).or_default();
        let pair = (option.key.clone(), option.value.clone());
        match options.iter_mut().find(|(key, _)| *key == option.key) {
            Some(slot) => *slot = pair,
            None => options.push(pair),
        }
        let same = |other: &DriverOption| {
            (&other.kind, &other.driver, &other.key) == (&option.kind, &option.driver, &option.key)
        };
        self.written.retain(|other| !same(other));
        self.written.push(option);
    }
}

fn blame(option: &DriverOption, message: String) -> Fault {
    let about_value = !option.value.is_empty() && message.contains(&option.value);
    let span = if about_value { &option.value_span } else { &option.key_span };
    let table = format!("{}.{}", option.kind, option.driver);
    Fault::at(&option.source, span.clone(), Problem::new(format!("{table}: {message}")))
}

/// The text of a plain value; lists are joined with commas, as on the command line.
pub fn plain(value: &Value<'_>) -> Result<String, Problem> {
    match value.as_ref() {
        DeValue::String(text) => Ok(text.to_string()),
        DeValue::Boolean(on) => Ok(on.to_string()),
        DeValue::Integer(number) if number.radix() == 10 => Ok(number.as_str().to_owned()),
        DeValue::Float(number) => Ok(number.as_str().to_owned()),
        DeValue::Array(items) => Ok(items.iter().map(plain).collect::<Result<Vec<_>, _>>()?.join(",")),
        _ => Err(Problem {
            span: Some(value.span()),
            ..Problem::new(format!("a driver's option is a string, a number, a boolean or a list, not {}", kind(value)))
        }),
    }
}
