//! `completion`, and the hidden `__complete` that its scripts call.

use super::{COMMANDS, Command, Context, GROUPS, Outcome, Runnable, find, is_group};
use crate::args::globals;
use crate::args::system::{COMPLETE as COMPLETE_INFO, COMPLETION};
use crate::args::{Choices, FlagInfo, NO_FLAGS, NoArgs};
use crate::out;
use crate::out::complete::script;
use crate::out::failure::Failure;
use gantry_engine::request::ListRequest;
use serde_json::Value;

pub static COMMAND: Command<NoArgs> = Command { info: COMPLETION, flags: &[NO_FLAGS], run };
pub static COMPLETE: Command<NoArgs> = Command { info: COMPLETE_INFO, flags: &[NO_FLAGS], run: complete };

fn run(_: &Context, _: NoArgs, words: Vec<String>) -> Outcome {
    let text = script(&words[0]).ok_or_else(|| {
        Failure::error(format!("unknown shell {:?}: completion is there for bash, zsh and fish", words[0]))
    })?;
    out::print(text).map(|()| 0)
}

fn complete(context: &Context, _: NoArgs, words: Vec<String>) -> Outcome {
    let answer = match ask(&words) {
        Answer::Words(list) => list,
        Answer::Choices(choices) => lines(context, choices),
    };
    out::print(&answer.iter().map(|line| format!("{line}\n")).collect::<String>()).map(|()| 0)
}

/// What can come next: words with their help behind a tab, or names to be looked up.
#[derive(Debug, PartialEq)]
enum Answer {
    Words(Vec<String>),
    Choices(Choices),
}

fn ask(words: &[String]) -> Answer {
    let (last, before) = words.split_last().map_or(("", words), |(last, before)| (last.as_str(), before));
    let (command, read) = locate(before);
    let Some(command) = command else {
        let group = before.get(read).filter(|word| is_group(word));
        return match group {
            _ if last.starts_with('-') => Answer::Words(flags(&globals_info(), last)),
            Some(group) => Answer::Words(commands(group, last)),
            None => Answer::Words(commands("", last)),
        };
    };
    if let Some(choices) = value_of(command, &before[read..]) {
        return Answer::Choices(choices);
    }
    match last.starts_with('-') {
        true => Answer::Words(flags(&command.flags(), last)),
        false => Answer::Choices(choices(command, &before[read..])),
    }
}

/// What stands where the cursor is, among the arguments.
fn choices(command: &dyn Runnable, before: &[String]) -> Choices {
    let arguments = before.iter().filter(|word| !word.starts_with('-')).count();
    match command.info().choices {
        Choices::NetworkThenContainer if arguments == 0 => Choices::Networks,
        Choices::NetworkThenContainer => Choices::Containers,
        plain => plain,
    }
}

/// The command among the words, and how many words lead to its end, or to the group.
fn locate(words: &[String]) -> (Option<&'static dyn Runnable>, usize) {
    let globals = globals_info();
    let mut position = 0;
    while let Some(word) = words.get(position).filter(|word| word.starts_with('-')) {
        let takes_value = flag_of(&globals, word).is_some_and(|flag| !flag.value.is_empty()) && !word.contains('=');
        position += 1 + usize::from(takes_value);
    }
    let Some(first) = words.get(position) else { return (None, position) };
    let second = words.get(position + 1).and_then(|second| find(&format!("{first} {second}")));
    match (second, find(first)) {
        (Some(command), _) => (Some(command), position + 2),
        (None, Some(command)) => (Some(command), position + 1),
        (None, None) => (None, position),
    }
}

fn globals_info() -> Vec<FlagInfo> {
    globals::FLAGS.iter().map(|flag| flag.info).collect()
}

fn flag_of<'a>(flags: &'a [FlagInfo], word: &str) -> Option<&'a FlagInfo> {
    let name = word.split('=').next().unwrap_or_default();
    match name.strip_prefix("--") {
        Some(long) => flags.iter().find(|flag| flag.long == long),
        None => flags.iter().find(|flag| flag.short.is_some() && flag.short == name.chars().last()),
    }
}

/// What the value of the flag before the cursor can be.
fn value_of(command: &dyn Runnable, before: &[String]) -> Option<Choices> {
    let word = before.last().filter(|word| word.starts_with('-') && !word.contains('='))?;
    let flags = command.flags();
    let flag = flag_of(&flags, word).filter(|flag| !flag.value.is_empty())?;
    Some(flag.choices)
}

fn flags(list: &[FlagInfo], start: &str) -> Vec<String> {
    let shown = list.iter().filter(|flag| !flag.hidden).map(|flag| (format!("--{}", flag.long), flag.help));
    shown.filter(|(name, _)| name.starts_with(start)).map(|(name, help)| format!("{name}\t{help}")).collect()
}

fn commands(group: &str, start: &str) -> Vec<String> {
    let mut list: Vec<String> = Vec::new();
    for info in COMMANDS.iter().map(|command| command.info()) {
        for path in info.paths {
            let name = match path.split_once(' ') {
                Some((before, name)) if before == group => name,
                None if group.is_empty() && !path.starts_with("__") => path,
                _ => continue,
            };
            list.push(format!("{name}\t{}", info.summary));
        }
    }
    if group.is_empty() {
        let groups = GROUPS.iter().filter(|(name, _)| *name != "internal");
        list.extend(groups.map(|(name, summary)| format!("{name}\t{summary}")));
    }
    list.retain(|line| line.starts_with(start));
    list.sort_unstable();
    list
}

fn lines(context: &Context, choices: Choices) -> Vec<String> {
    match choices {
        Choices::None => Vec::new(),
        Choices::Words(words) => words.iter().map(|word| (*word).to_owned()).collect(),
        Choices::Files => vec![":files".to_owned()],
        names => look_up(context, names).unwrap_or_default(),
    }
}

/// Names of things that exist now; nothing when they cannot be read.
fn look_up(context: &Context, choices: Choices) -> Option<Vec<String>> {
    let engine = context.quiet_engine().ok()?;
    let name = |value: &Value, key: &str| value[key].as_str().unwrap_or_default().to_owned();
    Some(match choices {
        Choices::Containers | Choices::Running => {
            let request = ListRequest { all: choices == Choices::Containers, ..ListRequest::default() };
            engine.list(&request, false).ok()?.into_iter().map(|c| c.record.name).collect()
        }
        Choices::Images => {
            let images = engine.list_images(&Default::default()).ok()?;
            images.iter().flat_map(|image| image.tags.iter().map(|tag| tag.familiar())).collect()
        }
        Choices::Networks => engine.networks().ok()?.iter().map(|network| name(network, "Name")).collect(),
        Choices::Volumes => engine.volumes().ok()?.iter().map(|volume| name(volume, "Name")).collect(),
        Choices::Drivers(kind) => {
            let plugins = engine.plugins();
            plugins.iter().filter(|p| kind.is_empty() || p["Kind"] == kind).map(|p| name(p, "Name")).collect()
        }
        _ => Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split(' ').map(str::to_owned).collect()
    }

    fn names(line: &str) -> Vec<String> {
        match ask(&words(line)) {
            Answer::Words(list) => list.iter().map(|l| l.split('\t').next().unwrap_or_default().to_owned()).collect(),
            Answer::Choices(choices) => vec![format!("{choices:?}")],
        }
    }

    #[test]
    fn answers() {
        let table: &[(&str, &[&str])] = &[
            ("ren", &["rename"]),
            ("container ren", &["rename"]),
            ("volume re", &["remove", "rename"]),
            ("--root /x ren", &["rename"]),
            ("--plug", &["--plugin-dir"]),
            ("run --net", &["--network", "--network-alias"]),
            ("run --network ", &["Networks"]),
            ("run -it --log-driver ", &["Drivers(\"log\")"]),
            ("run --restart ", &["Words([\"no\", \"always\", \"on-failure\", \"unless-stopped\"])"]),
            ("run ", &["Images"]),
            ("stop ", &["Running"]),
            ("rm -f ", &["Containers"]),
            ("network connect ", &["Networks"]),
            ("network disconnect web ", &["Containers"]),
            ("completion ", &["Words([\"bash\", \"zsh\", \"fish\"])"]),
        ];
        for (line, want) in table {
            assert_eq!(names(line), *want, "{line}");
        }
    }
}
