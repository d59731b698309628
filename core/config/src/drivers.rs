//! The tables that belong to drivers. Here only their form is judged; what an option means is the driver's schema's to
//! say, and [`Config::check_with`] puts its verdict where the option was written.

use crate::fault::{Fault, Faults, Problem, Source};
use crate::given::{Value, kind};
use crate::{Config, Origin};
use std::ops::Range;
use std::sync::Arc;
use toml::de::DeValue;

/// Judges one option: kind, driver, key and value; a refusal says why.
pub type Schema<'a> = dyn Fn(&str, &str, &str, &str) -> Result<(), String> + 'a;

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
    /// Asks `schema(kind, driver, key, value)` about every option of a driver; its refusals become faults with a place.
    /// A verdict that names the option's value blames the value, any other the key.
    pub fn check_with(&self, schema: &Schema<'_>) -> Result<(), Faults> {
        let judge = |option: &DriverOption| {
            let verdict = schema(&option.kind, &option.driver, &option.key, &option.value);
            verdict.err().map(|message| blame(option, message))
        };
        let faults: Vec<Fault> = self.written.iter().filter_map(judge).collect();
        if faults.is_empty() { Ok(()) } else { Err(Faults(faults)) }
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
