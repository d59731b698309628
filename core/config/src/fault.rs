//! What is wrong with a configuration, and how it is said: file, line and column, the line itself and a caret beneath.
//! Faults are gathered, never thrown one by one, so that one run of `config check` tells them all.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// A file as it was read; faults and origins point into it.
#[derive(Debug, PartialEq, Eq)]
pub struct Source {
    pub path: PathBuf,
    pub text: String,
}

impl Source {
    /// Line and column (both from 1, the column in characters) of a byte.
    pub fn position(&self, byte: usize) -> (usize, usize) {
        let before = self.before(byte);
        let line = before.bytes().filter(|b| *b == b'\n').count() + 1;
        let start = before.rfind('\n').map_or(0, |at| at + 1);
        (line, before[start..].chars().count() + 1)
    }

    fn before(&self, byte: usize) -> &str {
        let mut end = byte.min(self.text.len());
        while !self.text.is_char_boundary(end) {
            end -= 1;
        }
        &self.text[..end]
    }
}

/// A stretch of a file.
pub type Place = (std::sync::Arc<Source>, Range<usize>);

/// One fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The file; `None`: not a file's fault.
    pub file: Option<PathBuf>,
    /// From 1; 0 when the whole file is meant.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// How many characters the caret marks.
    pub width: usize,
    /// The line as written.
    pub source_line: String,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

impl Fault {
    /// A fault at a place in a file.
    pub fn at(source: &Source, span: Range<usize>, problem: Problem) -> Fault {
        let (line, column) = source.position(span.start);
        let source_line = source.text.lines().nth(line - 1).unwrap_or_default().to_owned();
        let room = source_line.chars().count().saturating_sub(column - 1).max(1);
        let marked = source.text.get(span).map_or(1, |text| text.chars().count());
        Fault {
            file: Some(source.path.clone()),
            line,
            column,
            width: marked.clamp(1, room),
            source_line,
            message: problem.message,
            hint: problem.hint,
        }
    }

    /// A fault of a whole file.
    pub fn of_file(path: &Path, message: String) -> Fault {
        Fault { file: Some(path.to_owned()), message, ..Fault::elsewhere(Problem::default()) }
    }

    /// A fault outside any file.
    pub fn elsewhere(problem: Problem) -> Fault {
        Fault {
            file: None,
            line: 0,
            column: 0,
            width: 0,
            source_line: String::new(),
            message: problem.message,
            hint: problem.hint,
        }
    }

    fn excerpt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.line.to_string();
        let indent: String =
            self.source_line.chars().take(self.column - 1).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        write!(f, "\n {number} | {}", self.source_line)?;
        write!(f, "\n {:blank$} | {indent}{}", "", "^".repeat(self.width), blank = number.len())
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.file, self.line) {
            (Some(file), 0) => write!(f, "{}: ", file.display())?,
            (Some(file), line) => write!(f, "{}:{line}:{}: ", file.display(), self.column)?,
            (None, _) => {}
        }
        f.write_str(&self.message)?;
        if let Some(hint) = &self.hint {
            write!(f, "; {hint}")?;
        }
        if self.line == 0 { Ok(()) } else { self.excerpt(f) }
    }
}

/// What is wrong, before it has a place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problem {
    /// Where within the value, if the whole value is not to blame.
    pub span: Option<Range<usize>>,
    pub message: String,
    pub hint: Option<String>,
}

impl Problem {
    /// A problem of the whole value.
    pub fn new(message: impl Into<String>) -> Problem {
        Problem { message: message.into(), ..Problem::default() }
    }

    /// With something to do about it.
    pub fn hint(mut self, hint: impl Into<String>) -> Problem {
        self.hint = Some(hint.into());
        self
    }
}

/// All faults of a configuration: at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faults(pub Vec<Fault>);

impl Faults {
    /// In the order of the files and of the lines in each; those of no file last.
    pub fn sorted(mut self) -> Faults {
        self.0.sort_by(|a, b| {
            let place = |fault: &Fault| (fault.file.is_none(), fault.file.clone(), fault.line, fault.column);
            place(a).cmp(&place(b))
        });
        self
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for fault in &self.0 {
            writeln!(f, "{fault}")?;
        }
        match self.0.len() {
            1 => f.write_str("1 fault in the configuration"),
            many => write!(f, "{many} faults in the configuration"),
        }
    }
}

impl std::error::Error for Faults {}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> Source {
        Source { path: "g.toml".into(), text: text.into() }
    }

    #[test]
    fn columns_count_characters() {
        let source = source("a = 1\nä = \"ü\"\n");
        assert_eq!((1, 1), source.position(0));
        assert_eq!((2, 5), source.position(source.text.find('"').expect("a quote")));
    }

    #[test]
    fn the_caret_marks_the_span_of_one_line() {
        let source = source("[x]\n\tkey = [\n1 ]\n");
        let start = source.text.find('[').map(|_| 11).expect("a bracket");
        let fault = Fault::at(&source, start..16, Problem::new("wrong").hint("mend it"));
        assert_eq!("g.toml:2:8: wrong; mend it\n 2 | \tkey = [\n   | \t      ^", fault.to_string());
    }

    #[test]
    fn a_span_at_the_end_of_the_file_has_a_caret() {
        let source = source("a =");
        assert!(Fault::at(&source, 3..3, Problem::new("no value")).to_string().ends_with("    ^"));
    }
}
