//! The words of the OCI runtime's command line, spelt as runc spells them. Its callers are programs: options stand before
//! the arguments, with one dash or two, and what is not known is an error that names it.

use std::collections::BTreeMap;

/// An option: its names, and whether it takes a value.
pub struct Known {
    pub names: &'static [&'static str],
    pub value: bool,
}

const fn switch(names: &'static [&'static str]) -> Known {
    Known { names, value: false }
}

const fn value(names: &'static [&'static str]) -> Known {
    Known { names, value: true }
}

/// Before the command.
pub const GLOBAL: &[Known] = &[
    switch(&["help", "h"]),
    switch(&["version", "v"]),
    switch(&["debug"]),
    switch(&["systemd-cgroup"]),
    value(&["root"]),
    value(&["log"]),
    value(&["log-format"]),
    value(&["rootless"]),
    value(&["criu"]),
    value(&["cgroup-manager"]),
];

const CREATE: &[Known] = &[
    value(&["bundle", "b"]),
    value(&["pid-file"]),
    value(&["console-socket"]),
    value(&["preserve-fds"]),
    switch(&["no-pivot"]),
    switch(&["no-new-keyring"]),
    switch(&["no-subreaper"]),
    switch(&["detach", "d"]),
    switch(&["keep"]),
];

const EXEC: &[Known] = &[
    value(&["process", "p"]),
    value(&["env", "e"]),
    value(&["cwd"]),
    value(&["user", "u"]),
    value(&["additional-gids", "g"]),
    value(&["cap", "c"]),
    value(&["cgroup"]),
    value(&["pid-file"]),
    value(&["console-socket"]),
    value(&["preserve-fds"]),
    switch(&["tty", "t"]),
    switch(&["detach", "d"]),
    switch(&["no-new-privs"]),
    switch(&["ignore-paused"]),
];

const UPDATE: &[Known] = &[
    value(&["resources", "r"]),
    value(&["memory"]),
    value(&["memory-swap"]),
    value(&["memory-reservation"]),
    value(&["cpu-quota"]),
    value(&["cpu-period"]),
    value(&["cpu-share", "cpu-shares"]),
    value(&["cpuset-cpus"]),
    value(&["cpuset-mems"]),
    value(&["pids-limit"]),
    value(&["blkio-weight"]),
];

const NONE: &[Known] = &[];
const KILL: &[Known] = &[switch(&["all", "a"])];
const DELETE: &[Known] = &[switch(&["force", "f"])];
const PS: &[Known] = &[value(&["format", "f"])];
const LIST: &[Known] = &[value(&["format", "f"]), switch(&["quiet", "q"])];
const EVENTS: &[Known] = &[switch(&["stats"]), value(&["interval"])];
const SPEC: &[Known] = &[value(&["bundle", "b"]), switch(&["rootless"])];

/// A command: its name, options, arguments, and what it does.
pub type Row = (&'static str, &'static [Known], &'static str, &'static str);

/// All commands.
pub const COMMANDS: &[Row] = &[
    ("create", CREATE, "[OPTIONS] ID", "Make a container; it waits for start"),
    ("delete", DELETE, "[--force] ID", "Take a stopped container away"),
    ("events", EVENTS, "[OPTIONS] ID", "Show what a container uses"),
    ("exec", EXEC, "[OPTIONS] ID COMMAND [ARG...]", "Run a further process in a container"),
    ("features", NONE, "", "Show what this runtime can do"),
    ("kill", KILL, "[--all] ID [SIGNAL]", "Send a signal to a container"),
    ("list", LIST, "[OPTIONS]", "List containers"),
    ("pause", NONE, "ID", "Hold all processes of a container"),
    ("ps", PS, "[OPTIONS] ID [PS OPTIONS]", "List the processes of a container"),
    ("resume", NONE, "ID", "Let a held container go on"),
    ("run", CREATE, "[OPTIONS] ID", "Make a container, start it, and wait for it"),
    ("spec", SPEC, "[OPTIONS]", "Write a config.json"),
    ("start", NONE, "ID", "Start a container that was made"),
    ("state", NONE, "ID", "Show the state of a container"),
    ("update", UPDATE, "[OPTIONS] ID", "Change the limits of a container"),
];

/// What was typed.
#[derive(Clone, Debug, Default)]
pub struct Words {
    given: BTreeMap<&'static str, Vec<String>>,
    /// What is left: the arguments.
    pub rest: Vec<String>,
}

impl Words {
    /// Whether a switch was given.
    pub fn has(&self, name: &str) -> bool {
        self.given.get(name).is_some_and(|values| values.last().is_none_or(|value| value != "false"))
    }

    /// The last value of an option.
    pub fn last(&self, name: &str) -> Option<&str> {
        self.given.get(name)?.last().map(String::as_str)
    }

    /// Every value of an option.
    pub fn all(&self, name: &str) -> &[String] {
        self.given.get(name).map_or(&[], Vec::as_slice)
    }

    /// The last value as a number or the like.
    pub fn parsed<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>, String> {
        let parse = |text: &str| text.parse().map_err(|_| format!("invalid value {text:?} for --{name}"));
        self.last(name).map(parse).transpose()
    }
}

/// Reads options up to the first argument; with `anywhere`, between arguments too.
pub fn scan(known: &[Known], words: &[String], anywhere: bool) -> Result<Words, String> {
    let mut found = Words::default();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if word == "--" {
            found.rest.extend(words.cloned());
            break;
        }
        let Some(name) = word.strip_prefix('-').filter(|name| !name.is_empty()) else {
            found.rest.push(word.clone());
            if anywhere {
                continue;
            }
            found.rest.extend(words.cloned());
            break;
        };
        let name = name.strip_prefix('-').unwrap_or(name);
        let (name, joined) = name.split_once('=').map_or((name, None), |(name, value)| (name, Some(value.to_owned())));
        let option = known.iter().find(|option| option.names.contains(&name));
        let option = option.ok_or_else(|| format!("unknown option {word}"))?;
        let value = match (option.value, joined) {
            (true, None) => Some(words.next().cloned().ok_or_else(|| format!("option {word} needs a value"))?),
            (_, joined) => joined,
        };
        found.given.entry(option.names[0]).or_default().extend(value);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn options_end_at_the_first_argument() {
        let found = scan(EXEC, &words("-t --env A=1 -e=B=2 --cwd /x id sh -c -t"), false).unwrap();
        assert!(found.has("tty"));
        assert_eq!(found.all("env"), ["A=1", "B=2"]);
        assert_eq!(found.last("cwd"), Some("/x"));
        assert_eq!(found.rest, ["id", "sh", "-c", "-t"]);
    }

    #[test]
    fn others_may_stand_anywhere() {
        let found = scan(DELETE, &words("id -f"), true).unwrap();
        assert!(found.has("force"));
        assert_eq!(found.rest, ["id"]);
        assert_eq!(scan(KILL, &words("--wrong id"), true).unwrap_err(), "unknown option --wrong");
        assert_eq!(scan(GLOBAL, &words("--root"), false).unwrap_err(), "option --root needs a value");
        assert!(!scan(GLOBAL, &words("--debug=false"), false).unwrap().has("debug"));
    }
}
