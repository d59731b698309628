//! Words of an instruction: quotes, backslashes and variables, as in a Dockerfile.

use super::ChangeError;

/// Splits and expands with a given environment.
pub(super) struct Words<'a> {
    env: &'a [String],
}

/// The state while one line is read.
#[derive(Default)]
struct Line {
    words: Vec<String>,
    word: String,
    /// A quoted empty word is a word.
    open: bool,
}

impl Line {
    fn push(&mut self, c: char) {
        self.word.push(c);
        self.open = true;
    }

    fn end_word(&mut self) {
        if std::mem::take(&mut self.open) {
            self.words.push(std::mem::take(&mut self.word));
        }
    }
}

type Chars<'a> = std::iter::Peekable<std::str::Chars<'a>>;

impl<'a> Words<'a> {
    pub(super) fn new(env: &'a [String]) -> Self {
        Self { env }
    }

    /// Several words, split at blanks outside quotes.
    pub(super) fn split(&self, text: &str) -> Result<Vec<String>, ChangeError> {
        self.read(text, true)
    }

    /// One word that may hold blanks.
    pub(super) fn whole(&self, text: &str) -> Result<String, ChangeError> {
        Ok(self.read(text, false)?.concat())
    }

    fn read(&self, text: &str, split: bool) -> Result<Vec<String>, ChangeError> {
        let mut line = Line::default();
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '\'' => single_quoted(&mut chars, &mut line)?,
                '"' => self.double_quoted(&mut chars, &mut line)?,
                '\\' => chars.next().into_iter().for_each(|next| line.push(next)),
                '$' => self.variable(&mut chars, &mut line)?,
                c if split && c.is_whitespace() => line.end_word(),
                c => line.push(c),
            }
        }
        line.end_word();
        Ok(line.words)
    }

    fn double_quoted(&self, chars: &mut Chars<'_>, line: &mut Line) -> Result<(), ChangeError> {
        line.open = true;
        while let Some(c) = chars.next() {
            match c {
                '"' => return Ok(()),
                '$' => self.variable(chars, line)?,
                '\\' => match chars.next_if(|next| matches!(next, '"' | '$' | '\\')) {
                    Some(next) => line.push(next),
                    None => line.push('\\'),
                },
                c => line.push(c),
            }
        }
        Err(ChangeError::Unterminated('"'))
    }

    fn variable(&self, chars: &mut Chars<'_>, line: &mut Line) -> Result<(), ChangeError> {
        let value = match chars.peek() {
            Some('{') => self.braced(chars)?,
            Some(c) if c.is_ascii_alphabetic() || *c == '_' => {
                self.look_up(&name(chars)).unwrap_or_default().to_owned()
            }
            _ => "$".to_owned(),
        };
        line.word.push_str(&value);
        line.open |= !value.is_empty();
        Ok(())
    }

    fn braced(&self, chars: &mut Chars<'_>) -> Result<String, ChangeError> {
        chars.next();
        let name = name(chars);
        let mut rest = String::new();
        loop {
            match chars.next() {
                None => return Err(ChangeError::Unterminated('}')),
                Some('}') => break,
                Some(c) => rest.push(c),
            }
        }
        let value = self.look_up(&name).filter(|value| !value.is_empty());
        if let Some(default) = rest.strip_prefix(":-") {
            return value.map_or_else(|| self.whole(default), |value| Ok(value.to_owned()));
        }
        match rest.strip_prefix(":+") {
            Some(word) if value.is_some() => self.whole(word),
            Some(_) => Ok(String::new()),
            None => Ok(value.unwrap_or_default().to_owned()),
        }
    }

    fn look_up(&self, name: &str) -> Option<&str> {
        let pairs = self.env.iter().filter_map(|entry| entry.split_once('='));
        pairs.filter(|(key, _)| *key == name).map(|(_, value)| value).next_back()
    }
}

fn single_quoted(chars: &mut Chars<'_>, line: &mut Line) -> Result<(), ChangeError> {
    line.open = true;
    for c in chars {
        match c {
            '\'' => return Ok(()),
            c => line.push(c),
        }
    }
    Err(ChangeError::Unterminated('\''))
}

fn name(chars: &mut Chars<'_>) -> String {
    let mut name = String::new();
    while let Some(c) = chars.next_if(|c| c.is_ascii_alphanumeric() || *c == '_') {
        name.push(c);
    }
    name
}
