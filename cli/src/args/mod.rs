//! What was typed. One table per command drives parsing, help, completion and the tests: a flag, its doc and its effect
//! stand in one place. What the words mean for the engine is for `cmd/`.

pub mod container;
pub mod context;
pub mod scan;
pub mod values;

pub mod attach;
pub mod config;
pub mod events;
pub mod exec;
pub mod globals;
pub mod images;
pub mod inspect;
pub mod lifecycle;
pub mod logs;
pub mod networks;
pub mod plugins;
pub mod prune;
pub mod ps;
pub mod registry;
pub mod run;
pub mod runtime;
pub mod secrets;
pub mod serve;
pub mod stats;
pub mod system;
pub mod transfer;
pub mod update;
pub mod volumes;
pub mod watching;

/// A flag of a command whose arguments are gathered in `T`.
pub struct Flag<T: 'static> {
    /// What help and completion show.
    pub info: FlagInfo,
    /// What it does.
    pub set: Set<T>,
}

/// The part of a flag that does not depend on its command.
#[derive(Clone, Copy, Debug)]
pub struct FlagInfo {
    /// Without dashes.
    pub long: &'static str,
    /// One letter.
    pub short: Option<char>,
    /// Sort of the value (`list`, `string`, …); empty: a switch.
    pub value: &'static str,
    /// As help shows it; empty: none.
    pub default: &'static str,
    /// A sentence.
    pub help: &'static str,
    /// Left out of help and completion.
    pub hidden: bool,
    /// Values for completion.
    pub choices: Choices,
    /// Read and checked, then refused by name: the engine cannot do it yet.
    pub not_yet: bool,
}

/// What can follow a flag or stand as an argument, for completion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choices {
    /// Nothing is known.
    None,
    /// These words.
    Words(&'static [&'static str]),
    /// Files.
    Files,
    /// Names of containers.
    Containers,
    /// Names of containers that run.
    Running,
    /// Names of images.
    Images,
    /// Names of networks.
    Networks,
    /// A network first, then a container.
    NetworkThenContainer,
    /// Names of volumes.
    Volumes,
    /// Names of drivers of a kind.
    Drivers(&'static str),
}

/// The effect of a flag.
pub enum Set<T: 'static> {
    /// `--flag`, `--flag=false`.
    Switch(fn(&mut T, bool)),
    /// `--flag VALUE`; the error is the reason only.
    Value(fn(&mut T, &str) -> Result<(), String>),
    /// None: the flag is only known.
    Unsupported,
}

impl<T> Flag<T> {
    /// A flag without value.
    pub const fn switch(long: &'static str, help: &'static str, set: fn(&mut T, bool)) -> Flag<T> {
        Flag { info: FlagInfo::new(long, "", help), set: Set::Switch(set) }
    }

    /// A flag with a value of some sort.
    pub const fn value(
        long: &'static str,
        value: &'static str,
        help: &'static str,
        set: fn(&mut T, &str) -> Result<(), String>,
    ) -> Flag<T> {
        Flag { info: FlagInfo::new(long, value, help), set: Set::Value(set) }
    }

    /// A flag that is known but refused; `value` is empty for a switch.
    pub const fn unsupported(long: &'static str, value: &'static str, help: &'static str) -> Flag<T> {
        Flag { info: FlagInfo::new(long, value, help), set: Set::Unsupported }.not_yet()
    }

    /// With a letter.
    pub const fn short(mut self, letter: char) -> Flag<T> {
        self.info.short = Some(letter);
        self
    }

    /// With a default to show.
    pub const fn default(mut self, text: &'static str) -> Flag<T> {
        self.info.default = text;
        self
    }

    /// An old spelling.
    pub const fn hidden(mut self) -> Flag<T> {
        self.info.hidden = true;
        self
    }

    /// Refused until the engine can do it.
    pub const fn not_yet(mut self) -> Flag<T> {
        self.info.not_yet = true;
        self
    }

    /// With values for completion.
    pub const fn choices(mut self, choices: Choices) -> Flag<T> {
        self.info.choices = choices;
        self
    }
}

impl FlagInfo {
    const fn new(long: &'static str, value: &'static str, help: &'static str) -> FlagInfo {
        FlagInfo { long, short: None, value, default: "", help, hidden: false, choices: Choices::None, not_yet: false }
    }

    /// `-m, --memory`.
    pub fn display(&self) -> String {
        match self.short {
            Some(letter) => format!("-{letter}, --{}", self.long),
            None => format!("--{}", self.long),
        }
    }
}

/// What is fixed about a command.
#[derive(Clone, Copy, Debug)]
pub struct Info {
    /// Every spelling, the principal one first: `["run", "container run"]`.
    pub paths: &'static [&'static str],
    /// A sentence.
    pub summary: &'static str,
    /// What follows the name: `[OPTIONS] IMAGE [COMMAND] [ARG...]`.
    pub usage: &'static str,
    /// Fewest arguments.
    pub min: usize,
    /// Most arguments.
    pub max: usize,
    /// Flags end at the first argument.
    pub flags_first: bool,
    /// What the arguments are.
    pub choices: Choices,
}

impl Info {
    /// A command with any flags anywhere and exactly so many arguments.
    pub const fn new(paths: &'static [&'static str], usage: &'static str, summary: &'static str) -> Info {
        Info { paths, summary, usage, min: 0, max: 0, flags_first: false, choices: Choices::None }
    }

    /// With at least `min` and at most `max` arguments.
    pub const fn arguments(mut self, min: usize, max: usize) -> Info {
        self.min = min;
        self.max = max;
        self
    }

    /// Everything after the first argument belongs to another program.
    pub const fn flags_first(mut self) -> Info {
        self.flags_first = true;
        self
    }

    /// What the arguments are.
    pub const fn choices(mut self, choices: Choices) -> Info {
        self.choices = choices;
        self
    }

    /// The principal spelling.
    pub fn name(&self) -> &'static str {
        self.paths[0]
    }

    /// Why so many arguments are wrong.
    pub fn check_count(&self, count: usize) -> Result<(), String> {
        if (self.min..=self.max).contains(&count) {
            return Ok(());
        }
        let plural = |n: usize| if n == 1 { "argument" } else { "arguments" };
        Err(match (self.min, self.max) {
            (0, 0) => "accepts no arguments".to_owned(),
            (min, max) if min == max => format!("requires {min} {}", plural(min)),
            (min, usize::MAX) => format!("requires at least {min} {}", plural(min)),
            (0, max) => format!("requires at most {max} {}", plural(max)),
            (min, max) => format!("requires at least {min} and at most {max} {}", plural(max)),
        })
    }
}

/// As many as wanted.
pub const ANY: usize = usize::MAX;

/// No flags at all.
#[derive(Debug, Default)]
pub struct NoArgs {}

/// The table of a command without flags.
pub const NO_FLAGS: &[Flag<NoArgs>] = &[];
