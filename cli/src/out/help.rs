//! Help in Docker's layout, made from the tables that also drive parsing.

use crate::args::{FlagInfo, Info};
use crate::cmd::{self, GROUPS, Runnable};

const WIDEST: usize = 80;

/// Help of one command.
pub fn command(command: &dyn Runnable) -> String {
    let info = command.info();
    let mut text = format!("Usage:  gantry {} {}\n\n{}\n", info.name(), info.usage, info.summary);
    if info.paths.len() > 1 {
        let spellings: Vec<String> = info.paths.iter().rev().map(|path| format!("gantry {path}")).collect();
        text.push_str(&format!("\nAliases:\n  {}\n", spellings.join(", ")));
    }
    let options = options(command.flags());
    if !options.is_empty() {
        text.push_str(&format!("\nOptions:\n{options}"));
    }
    text
}

/// Help of a group such as `container`.
pub fn group(name: &str) -> String {
    let summary = GROUPS.iter().find(|(group, _)| *group == name).map_or("", |(_, summary)| summary);
    let mut rows: Vec<(&str, &str)> = Vec::new();
    for info in cmd::commands().map(|command| command.info()) {
        let path = info.paths.iter().find_map(|path| path.strip_prefix(name)?.strip_prefix(' '));
        rows.extend(path.map(|path| (path, info.summary)));
    }
    rows.sort_unstable();
    format!(
        "Usage:  gantry {name} COMMAND\n\n{summary}\n\nCommands:\n{}\n\
         Run 'gantry {name} COMMAND --help' for more information on a command.\n",
        columns(&rows)
    )
}

/// Help of everything.
pub fn root() -> String {
    const COMMON: [&str; 6] = ["run", "exec", "ps", "images", "version", "info"];
    let top: Vec<&Info> = cmd::commands().map(|c| c.info()).filter(|i| is_shown(i)).collect();
    let row = |info: &&Info| (info.name(), info.summary);
    let common: Vec<_> = COMMON.iter().filter_map(|name| top.iter().find(|i| i.name() == *name)).map(row).collect();
    let mut others: Vec<_> = top.iter().map(row).filter(|(name, _)| !COMMON.contains(name)).collect();
    others.sort_unstable();
    let groups: Vec<_> = GROUPS.iter().filter(|(name, _)| *name != "internal").copied().collect();
    format!(
        "Usage:  gantry [OPTIONS] COMMAND\n\nA container engine without a daemon, whose every driver is a plugin\n\n\
         Common Commands:\n{}\nManagement Commands:\n{}\nCommands:\n{}\nGlobal Options:\n{}\n\
         Run 'gantry COMMAND --help' for more information on a command.\n",
        columns(&common),
        columns(&groups),
        columns(&others),
        options(crate::args::globals::FLAGS.iter().map(|flag| flag.info).collect()),
    )
}

fn is_shown(info: &Info) -> bool {
    !info.name().contains(' ') && !info.name().starts_with("__")
}

fn columns(rows: &[(&str, &str)]) -> String {
    rows.iter().map(|(name, summary)| format!("  {name:<11} {summary}\n")).collect()
}

fn options(mut flags: Vec<FlagInfo>) -> String {
    flags.retain(|flag| !flag.hidden);
    flags.sort_unstable_by_key(|flag| flag.long);
    let left: Vec<String> = flags.iter().map(left).collect();
    let width = left.iter().map(String::len).max().unwrap_or(0) + 3;
    let mut text = String::new();
    for (flag, left) in flags.iter().zip(&left) {
        let lines = wrap(&right(flag), WIDEST.saturating_sub(width));
        text.push_str(&format!("{left:<width$}{}\n", lines.join(&format!("\n{}", " ".repeat(width)))));
    }
    text
}

fn left(flag: &FlagInfo) -> String {
    let short = flag.short.map_or_else(|| "    ".to_owned(), |letter| format!("-{letter}, "));
    let value = if flag.value.is_empty() { String::new() } else { format!(" {}", flag.value) };
    format!("  {short}--{}{value}", flag.long)
}

fn right(flag: &FlagInfo) -> String {
    match flag.default {
        "" => flag.help.to_owned(),
        default => format!("{} (default {default})", flag.help),
    }
}

fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width.max(20) => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_aligned_and_sorted() {
        let text = root();
        assert!(text.contains("\n  -D, --debug                   Tell what is being done\n"), "{text}");
        assert!(text.contains("\n      --root string             Directory of images"), "{text}");
    }

    #[test]
    fn every_command_has_help_that_fits() {
        for command in cmd::commands() {
            let text = super::command(command);
            assert!(text.starts_with(&format!("Usage:  gantry {}", command.info().name())));
            assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
        }
    }

    #[test]
    fn no_flag_is_there_twice() {
        for command in cmd::commands() {
            let flags = command.flags();
            let longs: std::collections::BTreeSet<_> = flags.iter().map(|f| f.long).collect();
            let letters: Vec<_> = flags.iter().filter_map(|f| f.short).collect();
            let once: std::collections::BTreeSet<_> = letters.iter().collect();
            assert_eq!(longs.len(), flags.len(), "{}", command.info().name());
            assert_eq!(once.len(), letters.len(), "{}", command.info().name());
        }
    }
}
