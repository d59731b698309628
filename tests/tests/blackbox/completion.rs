//! The completion scripts, executed by the shells they are for.

use gantry_tests::{Running, World, target_dir};
use std::process::Command;

/// What a shell answers, with the engine on its path; `None` when the shell is not installed.
fn shell(program: &str, arguments: &[&str]) -> Option<String> {
    let path = std::env::var("PATH").unwrap_or_default();
    let found = path.split(':').any(|dir| std::path::Path::new(dir).join(program).exists());
    if !found {
        eprintln!("skipped: needs {program}");
        return None;
    }
    let world = World::empty();
    let mut command = Command::new(program);
    command.args(arguments).env("PATH", format!("{}:{path}", target_dir().display())).env("HOME", world.dir());
    command.env("GANTRY_ROOT", world.path("root")).env("GANTRY_STATE", world.path("state"));
    let run = Running::start(command, &[]).end();
    assert_eq!("", run.stderr, "{run:#?}");
    Some(run.ok())
}

/// Typed words, and one line of the answer that must be there.
const CASES: [(&[&str], &str); 5] = [
    (&["gantry", "ru"], "run"),
    (&["gantry", "container", "l"], "ls"),
    (&["gantry", "run", "--log-dr"], "--log-driver"),
    (&["gantry", "completion", "z"], "zsh"),
    (&["gantry", "run", "--network", "h"], "host"),
];

fn holds(program: &str, answer: &str, words: &[&str], expected: &str) {
    let first = |line: &str| line.split(['\t', ':']).next().unwrap_or_default().trim_end().to_owned();
    assert!(answer.lines().any(|line| first(line) == expected), "{program} {words:?}: {answer:?}");
}

#[test]
fn bash_completes() {
    for (words, expected) in CASES {
        let script = format!(
            "source <(gantry completion bash); COMP_WORDS=({}) COMP_CWORD={}; _gantry 2>/dev/null; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            words.join(" "),
            words.len() - 1
        );
        let Some(answer) = shell("bash", &["-c", &script]) else { return };
        holds("bash", &answer, words, expected);
    }
}

#[test]
fn zsh_completes() {
    for (words, expected) in CASES {
        let script = format!(
            "autoload -Uz compinit; compinit -D -u; source <(gantry completion zsh); \
             [[ ${{_comps[gantry]}} == _gantry ]] || echo not registered; \
             _describe() {{ print -l -- ${{(P)2}} }}; words=({}); CURRENT={}; _gantry",
            words.join(" "),
            words.len()
        );
        let Some(answer) = shell("zsh", &["-f", "-c", &script]) else { return };
        holds("zsh", &answer, words, expected);
    }
}

#[test]
fn fish_completes() {
    for (words, expected) in CASES {
        let script = format!("gantry completion fish | source; complete -C '{}'", words.join(" "));
        let Some(answer) = shell("fish", &["--no-config", "-c", &script]) else { return };
        holds("fish", &answer, words, expected);
    }
}
