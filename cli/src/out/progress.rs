//! How far transfers are: a block of lines that change in place on a terminal, plain lines that say each step once
//! elsewhere.

use crate::terminal;
use gantry_engine::image::Progress;
use gantry_engine::model::size::human_decimal;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, PoisonError};

/// Characters of a bar.
const BAR: usize = 30;

/// Where it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    Stdout,
    Stderr,
}

/// Shows progress; shared by the threads that make it.
pub struct Display {
    stream: Stream,
    quiet: bool,
    /// Rows and columns of the terminal, if it is one.
    terminal: Option<(usize, usize)>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The block, in order of appearance.
    lines: Vec<Line>,
    index: HashMap<String, usize>,
    /// Lines of the block that are on the screen.
    shown: usize,
}

struct Line {
    id: String,
    status: String,
    bytes: Option<(u64, u64)>,
}

impl Display {
    /// Decides once how it shows what comes.
    pub fn new(stream: Stream, quiet: bool) -> Display {
        let is_terminal = match stream {
            Stream::Stdout => io::stdout().is_terminal(),
            Stream::Stderr => io::stderr().is_terminal(),
        };
        let able = is_terminal && std::env::var("TERM").is_ok_and(|term| !term.is_empty() && term != "dumb");
        let size = terminal::size().map_or((24, 80), |(rows, columns)| (rows.into(), columns.into()));
        Display { stream, quiet, terminal: able.then_some(size), state: Mutex::default() }
    }

    /// Takes one report.
    pub fn show(&self, progress: Progress<'_>) {
        if self.quiet {
            return;
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let text = match (self.terminal, progress.id) {
            (_, None) => state.sentence(progress.status),
            (Some(size), Some(id)) => state.block(id, &progress, size),
            (None, Some(id)) => state.step(id, &progress),
        };
        // Who does not listen any more is no reason to stop a transfer.
        let _ = match self.stream {
            Stream::Stdout => io::stdout().lock().write_all(text.as_bytes()),
            Stream::Stderr => io::stderr().lock().write_all(text.as_bytes()),
        };
    }
}

impl State {
    /// A line of its own; the block above it stays as it is.
    fn sentence(&mut self, text: &str) -> String {
        *self = State::default();
        format!("{text}\n")
    }

    /// True if it says something new.
    fn update(&mut self, id: &str, progress: &Progress<'_>) -> bool {
        match self.index.get(id) {
            Some(at) => {
                let line = &mut self.lines[*at];
                let news = line.status != progress.status || line.bytes != progress.bytes;
                progress.status.clone_into(&mut line.status);
                line.bytes = progress.bytes;
                news
            }
            None => {
                self.index.insert(id.to_owned(), self.lines.len());
                let (id, status) = (id.to_owned(), progress.status.to_owned());
                self.lines.push(Line { id, status, bytes: progress.bytes });
                true
            }
        }
    }

    fn step(&mut self, id: &str, progress: &Progress<'_>) -> String {
        match progress.bytes.is_none() && self.update(id, progress) {
            true => format!("{id}: {}\n", progress.status),
            false => String::new(),
        }
    }

    /// The whole block once more, over the old one. One that does not fit on the screen is said step by step.
    fn block(&mut self, id: &str, progress: &Progress<'_>, (rows, columns): (usize, usize)) -> String {
        if self.lines.len() + 1 >= rows {
            return self.step(id, progress);
        }
        if !self.update(id, progress) {
            return String::new();
        }
        let mut text = String::new();
        if self.shown > 0 {
            let _ = write!(text, "\x1b[{}A", self.shown);
        }
        for line in &self.lines {
            let shown: String = line.text().chars().take(columns.saturating_sub(1)).collect();
            let _ = writeln!(text, "\r{shown}\x1b[K");
        }
        self.shown = self.lines.len();
        text
    }
}

impl Line {
    fn text(&self) -> String {
        match self.bytes {
            None => format!("{}: {}", self.id, self.status),
            Some((done, total)) => {
                let sizes = format!("{}/{}", human_decimal(done, 4), human_decimal(total, 4));
                format!("{}: {} [{}] {sizes}", self.id, self.status, bar(done, total))
            }
        }
    }
}

fn bar(done: u64, total: u64) -> String {
    let filled = (done.min(total) as usize).saturating_mul(BAR) / (total.max(1) as usize);
    let head = if filled < BAR { ">" } else { "" };
    format!("{:<BAR$}", "=".repeat(filled) + head)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer<'a>(id: &'a str, status: &'a str, bytes: Option<(u64, u64)>) -> Progress<'a> {
        Progress { id: Some(id), status, bytes }
    }

    #[test]
    fn plain_lines_say_each_step_once() {
        let mut state = State::default();
        let mut said = String::new();
        for progress in [
            layer("a", "Pulling fs layer", None),
            layer("a", "Downloading", Some((1, 2))),
            layer("a", "Pull complete", None),
            layer("a", "Pull complete", None),
        ] {
            said += &state.step("a", &progress);
        }
        assert_eq!(said, "a: Pulling fs layer\na: Pull complete\n");
        assert_eq!(state.sentence("end"), "end\n");
    }

    #[test]
    fn a_block_is_drawn_over_itself() {
        let mut state = State::default();
        assert_eq!(state.block("a", &layer("a", "w", None), (10, 40)), "\ra: w\x1b[K\n");
        let text = state.block("b", &layer("b", "Downloading", Some((1, 2))), (10, 80));
        assert!(text.starts_with("\x1b[1A\ra: w\x1b[K\n\rb: Downloading [===============>"), "{text:?}");
        assert_eq!(state.block("b", &layer("b", "x", None), (3, 80)), "b: x\n");
    }

    #[test]
    fn bars() {
        assert_eq!(bar(0, 0).trim_end(), ">");
        assert_eq!(bar(5, 5), "=".repeat(BAR));
    }
}
