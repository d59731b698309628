//! From text to pieces: literal text and actions, and the words of an action.

use serde_json::Value;

/// A piece of a template.
#[derive(Clone, Debug, PartialEq)]
pub enum Piece {
    /// Printed as it is.
    Text(String),
    /// Between `{{` and `}}`.
    Action(Vec<Token>),
}

/// A word of an action. Fields directly behind something belong to it: `$x.A`, `(…).A`.
#[derive(Clone, Debug, PartialEq)]
pub enum Token {
    /// `.A.B`; `.` has none.
    Field(Vec<String>),
    /// `$x.A`; `$` has an empty name.
    Variable(String, Vec<String>),
    /// A string or number.
    Literal(Value),
    /// A function, a keyword, `true`, `nil` …
    Word(String),
    Pipe,
    Open,
    Close(Vec<String>),
    /// `:=`
    Declare,
    /// `=`
    Assign,
    Comma,
}

/// Splits a template.
pub fn tokens(text: &str) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut rest = text;
    let mut trim_next = false;
    loop {
        let Some((before, after)) = rest.split_once("{{") else {
            push_text(&mut pieces, if trim_next { rest.trim_start() } else { rest });
            return Ok(pieces);
        };
        let before = if trim_next { before.trim_start() } else { before };
        let (after, trim_before) = strip_left_trim(after);
        push_text(&mut pieces, if trim_before { before.trim_end() } else { before });
        let (action, following, trim) = action(after)?;
        pieces.extend(action.map(Piece::Action));
        (rest, trim_next) = (following, trim);
    }
}

fn push_text(pieces: &mut Vec<Piece>, text: &str) {
    if !text.is_empty() {
        pieces.push(Piece::Text(text.to_owned()));
    }
}

fn strip_left_trim(text: &str) -> (&str, bool) {
    match text.strip_prefix('-') {
        Some(rest) if rest.starts_with(char::is_whitespace) => (rest, true),
        _ => (text, false),
    }
}

type Action<'a> = (Option<Vec<Token>>, &'a str, bool);

/// Reads up to `}}`; a comment has no words.
fn action(text: &str) -> Result<Action<'_>, String> {
    if let Some(comment) = text.trim_start().strip_prefix("/*") {
        let (_, after) = comment.split_once("*/").ok_or("unclosed comment")?;
        let (rest, trim) = end(after).ok_or("comment ends before closing delimiter")?;
        return Ok((None, rest, trim));
    }
    let mut words = Vec::new();
    let mut rest = text;
    loop {
        if let Some((following, trim)) = end(rest) {
            return Ok((Some(words), following, trim));
        }
        let trimmed = rest.trim_start();
        if trimmed.is_empty() {
            return Err("unclosed action".to_owned());
        }
        if let Some((following, trim)) = end(trimmed) {
            return Ok((Some(words), following, trim));
        }
        let (token, after) = token(trimmed)?;
        words.push(token);
        rest = after;
    }
}

/// What follows the end of the action, if it ends here, and whether blanks after it are dropped.
fn end(text: &str) -> Option<(&str, bool)> {
    if let Some(rest) = text.strip_prefix("}}") {
        return Some((rest, false));
    }
    let blank = text.starts_with(char::is_whitespace);
    let rest = text.trim_start().strip_prefix("-}}").filter(|_| blank)?;
    Some((rest, true))
}

fn token(text: &str) -> Result<(Token, &str), String> {
    let first = text.chars().next().unwrap_or_default();
    let simple = |token, length| Ok((token, &text[length..]));
    match first {
        '|' => simple(Token::Pipe, 1),
        '(' => simple(Token::Open, 1),
        ',' => simple(Token::Comma, 1),
        ':' if text.starts_with(":=") => simple(Token::Declare, 2),
        '=' => simple(Token::Assign, 1),
        ')' => {
            let (chain, rest) = chain(&text[1..]);
            Ok((Token::Close(chain), rest))
        }
        '$' => {
            let (name, rest) = name(&text[1..]);
            let (chain, rest) = chain(rest);
            Ok((Token::Variable(name.to_owned(), chain), rest))
        }
        '"' => quoted(text),
        '`' => raw(text),
        '\'' => character(text),
        '.' if !text[1..].starts_with(|c: char| c.is_ascii_digit()) => field(text),
        '0'..='9' | '+' | '-' | '.' => number(text),
        _ if first.is_alphabetic() || first == '_' => {
            let (word, rest) = name(text);
            Ok((Token::Word(word.to_owned()), rest))
        }
        _ => Err(format!("unexpected {first:?} in command")),
    }
}

fn name(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len()))
}

fn field(text: &str) -> Result<(Token, &str), String> {
    let (chain, rest) = chain(text);
    let rest = if chain.is_empty() { &text[1..] } else { rest };
    Ok((Token::Field(chain), rest))
}

/// `.A.B` with nothing between.
fn chain(mut text: &str) -> (Vec<String>, &str) {
    let mut chain = Vec::new();
    while let Some(after) = text.strip_prefix('.') {
        let (part, rest) = name(after);
        if part.is_empty() {
            break;
        }
        chain.push(part.to_owned());
        text = rest;
    }
    (chain, text)
}

fn quoted(text: &str) -> Result<(Token, &str), String> {
    let (content, rest) = quoted_text(text, '"').ok_or("unterminated quoted string")?;
    Ok((Token::Literal(Value::String(content?)), rest))
}

fn character(text: &str) -> Result<(Token, &str), String> {
    let (content, rest) = quoted_text(text, '\'').ok_or("unterminated character constant")?;
    let content = content?;
    let mut letters = content.chars();
    match (letters.next(), letters.next()) {
        (Some(letter), None) => Ok((Token::Literal(Value::from(u32::from(letter))), rest)),
        _ => Err(format!("malformed character constant: '{content}'")),
    }
}

type Quoted<'a> = (Result<String, String>, &'a str);

/// The text between quotes, escapes read; nothing when the closing quote is missing.
fn quoted_text(text: &str, quote: char) -> Option<Quoted<'_>> {
    let mut content = String::new();
    let mut fault = None;
    let mut letters = text.char_indices().skip(1);
    while let Some((index, letter)) = letters.next() {
        match letter {
            '\\' => match escape(letters.next()?.1) {
                Some(letter) => content.push(letter),
                None => fault = Some(format!("invalid escape in {}", &text[..index + 1])),
            },
            '\n' => return None,
            _ if letter == quote => {
                let rest = &text[index + 1..];
                return Some((fault.map_or(Ok(content), Err), rest));
            }
            _ => content.push(letter),
        }
    }
    None
}

fn escape(letter: char) -> Option<char> {
    Some(match letter {
        'n' => '\n',
        't' => '\t',
        'r' => '\r',
        '0' => '\0',
        '\\' | '"' | '\'' => letter,
        _ => return None,
    })
}

fn raw(text: &str) -> Result<(Token, &str), String> {
    let (content, rest) = text[1..].split_once('`').ok_or("unterminated raw quoted string")?;
    Ok((Token::Literal(Value::String(content.to_owned())), rest))
}

fn number(text: &str) -> Result<(Token, &str), String> {
    let stop = |c: char| !c.is_ascii_alphanumeric() && !matches!(c, '.' | '+' | '-' | '_');
    let (word, rest) = text.split_at(text.find(stop).unwrap_or(text.len()));
    let bad = || format!("bad number syntax: {word:?}");
    if let Ok(integer) = word.parse::<i64>() {
        return Ok((Token::Literal(Value::from(integer)), rest));
    }
    if let Some(hex) = word.strip_prefix("0x") {
        let integer = i64::from_str_radix(hex, 16).map_err(|_| bad())?;
        return Ok((Token::Literal(Value::from(integer)), rest));
    }
    let float: f64 = word.parse().map_err(|_| bad())?;
    if float.is_finite() { Ok((Token::Literal(Value::from(float)), rest)) } else { Err(bad()) }
}
