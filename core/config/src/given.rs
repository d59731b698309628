//! A value as it was given, in TOML or as an environment variable's text, and how it is read as what a key wants.

use crate::AddressPool;
use crate::fault::Problem;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;
use toml::Spanned;
use toml::de::DeValue;

/// A value with its place.
pub type Value<'a> = Spanned<DeValue<'a>>;

/// A value as it was given.
#[derive(Clone, Copy)]
pub enum Given<'a> {
    Toml(&'a Value<'a>),
    Text(&'a str),
}

impl<'a> Given<'a> {
    /// A text.
    pub fn text(self) -> Result<&'a str, Problem> {
        match self {
            Given::Text(text) => Ok(text),
            Given::Toml(value) => value.as_ref().as_str().ok_or_else(|| self.not("a string")),
        }
    }

    /// A text that is not empty.
    pub fn name(self) -> Result<String, Problem> {
        match self.text()? {
            "" => Err(Problem::new("must not be empty")),
            text => Ok(text.to_owned()),
        }
    }

    /// An absolute path; in the environment, as in a flag, one that starts from the working directory will do.
    pub fn path(self) -> Result<PathBuf, Problem> {
        let path = PathBuf::from(self.text()?);
        match self {
            _ if path.is_absolute() => Ok(path),
            Given::Text(text) => std::path::absolute(text).map_err(|error| Problem::new(error.to_string())),
            Given::Toml(_) => Err(Problem::new("must be an absolute path").hint("begin it with /")),
        }
    }

    /// One of some words.
    pub fn word(self, words: &[&str]) -> Result<String, Problem> {
        let text = self.text()?;
        match words.contains(&text) {
            true => Ok(text.to_owned()),
            false => Err(Problem::new(format!("expected one of: {}", words.join(", ")))),
        }
    }

    /// True or false.
    pub fn truth(self) -> Result<bool, Problem> {
        match self {
            Given::Text("true" | "1") => Ok(true),
            Given::Text("false" | "0") => Ok(false),
            Given::Text(_) => Err(Problem::new("expected true or false")),
            Given::Toml(value) => value.as_ref().as_bool().ok_or_else(|| self.not("true or false")),
        }
    }

    /// A whole number between two others.
    pub fn count(self, least: u32, most: u32) -> Result<u32, Problem> {
        let text = match self {
            Given::Text(text) => text,
            Given::Toml(value) => value.as_ref().as_integer().ok_or_else(|| self.not("a whole number"))?.as_str(),
        };
        let number = text.parse().ok().filter(|number| (least..=most).contains(number));
        number.ok_or_else(|| Problem::new(format!("must be a whole number from {least} to {most}")))
    }

    /// A share from 1 to 100, as a number or with its sign.
    pub fn percent(self) -> Result<u8, Problem> {
        let text = match self {
            Given::Text(text) => text,
            Given::Toml(value) => match value.as_ref().as_integer() {
                Some(number) => number.as_str(),
                None => value.as_ref().as_str().ok_or_else(|| self.not("a percentage such as \"85%\""))?,
            },
        };
        let number = text.strip_suffix('%').unwrap_or(text).trim().parse().ok();
        let share = number.filter(|share| (1..=100).contains(share));
        share.ok_or_else(|| Problem::new("must be a percentage from 1% to 100%"))
    }

    /// A number of bytes, as a number or with a unit of 1024.
    pub fn bytes(self, least: u64) -> Result<u64, Problem> {
        let text = match self {
            Given::Text(text) => text,
            Given::Toml(value) => match value.as_ref().as_integer() {
                Some(number) => number.as_str(),
                None => value.as_ref().as_str().ok_or_else(|| self.not("a size such as \"2g\""))?,
            },
        };
        let bytes = gantry_model::size::parse_binary(text).map_err(|error| Problem::new(error.to_string()))?;
        let enough = u64::try_from(bytes).ok().filter(|bytes| *bytes >= least);
        let small = || Problem::new(format!("must be at least {}", gantry_model::size::human_binary(least)));
        enough.ok_or_else(small)
    }

    /// A length of time, longer than nothing.
    pub fn duration(self) -> Result<Duration, Problem> {
        let text = match self {
            Given::Toml(value) => match value.as_ref().as_integer() {
                Some(number) => return Err(no_unit(number.as_str())),
                None => value.as_ref().as_str().ok_or_else(|| self.not("a length of time such as \"10s\""))?,
            },
            Given::Text(text) => text,
        };
        let nanos = gantry_model::duration::parse(text).map_err(|error| match error {
            gantry_model::duration::DurationError::NoUnit(_) => no_unit(text),
            other => Problem::new(other.to_string().trim_start_matches("time: ").to_owned())
                .hint("write a number and one of ns, us, ms, s, m, h"),
        })?;
        match u64::try_from(nanos) {
            Ok(nanos) if nanos > 0 => Ok(Duration::from_nanos(nanos)),
            _ => Err(Problem::new("must be longer than nothing")),
        }
    }

    /// Several values, or one alone; in the environment they are separated by commas.
    pub fn list<T>(self, read: impl Fn(Given<'a>) -> Result<T, Problem>) -> Result<Vec<T>, Problem> {
        match self {
            Given::Text("") => Ok(Vec::new()),
            Given::Text(text) => text.split(',').map(|part| read(Given::Text(part.trim()))).collect(),
            Given::Toml(value) => match value.as_ref().as_array() {
                Some(array) => array.iter().map(|item| placed(item, read(Given::Toml(item)))).collect(),
                None if value.as_ref().is_str() => Ok(vec![read(self)?]),
                None => Err(self.not("a list")),
            },
        }
    }

    /// An address.
    pub fn address(self) -> Result<String, Problem> {
        let text = self.text()?;
        text.parse::<IpAddr>().map_err(|_| Problem::new(format!("{text:?} is not an IP address")))?;
        Ok(text.to_owned())
    }

    /// An address pool: a table, or `BASE:SIZE`.
    pub fn pool(self) -> Result<AddressPool, Problem> {
        let (base, size) = match self {
            Given::Toml(value) if value.as_ref().is_table() => return pool_table(value),
            _ => self.text()?.rsplit_once(':').ok_or_else(|| self.not_pool())?,
        };
        let size = size.parse().map_err(|_| self.not_pool())?;
        checked_pool(base, size)
    }

    fn not_pool(self) -> Problem {
        Problem::new("expected an address pool").hint("write { base = \"172.16.0.0/12\", size = 16 }")
    }

    fn not(self, wanted: &str) -> Problem {
        match self {
            Given::Text(_) => Problem::new(format!("expected {wanted}")),
            Given::Toml(value) => Problem::new(format!("expected {wanted}, found {}", kind(value))),
        }
    }
}

/// What a value is, in words.
pub fn kind(value: &Value<'_>) -> &'static str {
    match value.as_ref() {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a float",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

fn no_unit(number: &str) -> Problem {
    Problem::new(format!("missing unit in duration {number:?}")).hint(format!("did you mean \"{number}s\"?"))
}

fn placed<T>(value: &Value<'_>, result: Result<T, Problem>) -> Result<T, Problem> {
    result.map_err(|problem| Problem { span: problem.span.clone().or(Some(value.span())), ..problem })
}

fn pool_table(value: &Value<'_>) -> Result<AddressPool, Problem> {
    let table = value.as_ref().as_table().ok_or_else(|| Given::Toml(value).not_pool())?;
    if let Some((key, _)) = table.iter().find(|(key, _)| !matches!(key.as_ref().as_ref(), "base" | "size")) {
        let unknown = Problem::new(format!("unknown key {:?} of an address pool", key.as_ref()));
        return Err(Problem { span: Some(key.span()), ..unknown.hint("known: base, size") });
    }
    let (Some(base), Some(size)) = (table.get("base"), table.get("size")) else {
        return Err(Given::Toml(value).not_pool());
    };
    let text = placed(base, Given::Toml(base).text())?;
    let number = size.as_ref().as_integer().ok_or_else(|| Given::Toml(size).not("an integer"));
    let bits = placed(size, number.and_then(|n| n.as_str().parse().map_err(|_| Problem::new("not a prefix length"))))?;
    checked_pool(text, bits)
}

fn checked_pool(base: &str, size: u8) -> Result<AddressPool, Problem> {
    let wrong = || Problem::new(format!("{base:?} is not a network in CIDR notation"));
    let (address, bits) = base.split_once('/').ok_or_else(wrong)?;
    let address = address.parse::<IpAddr>().map_err(|_| wrong())?;
    let bits = bits.parse::<u8>().map_err(|_| wrong())?;
    let widest = if address.is_ipv4() { 32 } else { 128 };
    if bits > widest {
        return Err(wrong());
    }
    if size < bits || size > widest {
        return Err(Problem::new(format!("size {size} does not fit into {base}"))
            .hint(format!("use a prefix length from {bits} to {widest}")));
    }
    Ok(AddressPool { base: base.to_owned(), size })
}
