//! From pieces to a tree. Nesting is bounded, so that no template can exhaust the stack.

use super::lex::{Piece, Token};
use serde_json::Value;
use std::iter::Peekable;
use std::vec::IntoIter;

const MOST_NESTED: usize = 100;

/// A part of a template.
#[derive(Clone, Debug)]
pub enum Node {
    Text(String),
    Print(Pipeline),
    If(Vec<(Pipeline, Vec<Node>)>, Vec<Node>),
    With(Pipeline, Vec<Node>, Vec<Node>),
    Range(Range),
    Break,
    Continue,
}

/// `{{range $i, $v := …}}`.
#[derive(Clone, Debug)]
pub struct Range {
    pub variables: Vec<String>,
    pub over: Pipeline,
    pub body: Vec<Node>,
    pub otherwise: Vec<Node>,
}

/// Commands joined by `|`, perhaps kept in a variable.
#[derive(Clone, Debug)]
pub struct Pipeline {
    pub target: Option<Target>,
    pub commands: Vec<Vec<Operand>>,
}

/// `$x := ` or `$x = `.
#[derive(Clone, Debug)]
pub struct Target {
    pub name: String,
    pub declares: bool,
}

/// A value or a function, with the fields taken of it.
#[derive(Clone, Debug)]
pub struct Operand {
    pub base: Base,
    pub fields: Vec<String>,
}

/// Where an operand starts.
#[derive(Clone, Debug)]
pub enum Base {
    Dot,
    Variable(String),
    Literal(Value),
    Group(Box<Pipeline>),
    Function(String),
}

/// What ended a list of nodes.
enum Stop {
    End,
    Else(Vec<Token>),
    Eof,
}

/// Builds the tree.
pub fn parse(pieces: Vec<Piece>) -> Result<Vec<Node>, String> {
    let mut parser = Parser { pieces: pieces.into_iter(), depth: 0, ranges: 0 };
    let (nodes, stop) = parser.nodes()?;
    match stop {
        Stop::Eof => Ok(nodes),
        Stop::End => Err("unexpected {{end}}".to_owned()),
        Stop::Else(_) => Err("unexpected {{else}}".to_owned()),
    }
}

struct Parser {
    pieces: IntoIter<Piece>,
    depth: usize,
    ranges: usize,
}

impl Parser {
    fn nodes(&mut self) -> Result<(Vec<Node>, Stop), String> {
        self.depth += 1;
        if self.depth > MOST_NESTED {
            return Err("nested too deeply".to_owned());
        }
        let mut nodes = Vec::new();
        while let Some(piece) = self.pieces.next() {
            match piece {
                Piece::Text(text) => nodes.push(Node::Text(text)),
                Piece::Action(tokens) => match self.action(tokens)? {
                    Step::Node(node) => nodes.push(node),
                    Step::Stop(stop) => {
                        self.depth -= 1;
                        return Ok((nodes, stop));
                    }
                },
            }
        }
        self.depth -= 1;
        Ok((nodes, Stop::Eof))
    }

    fn action(&mut self, tokens: Vec<Token>) -> Result<Step, String> {
        let keyword = match tokens.first() {
            Some(Token::Word(word)) => word.clone(),
            _ => String::new(),
        };
        let rest = || tokens[1..].to_vec();
        Ok(match keyword.as_str() {
            "end" => Step::Stop(Stop::End),
            "else" => Step::Stop(Stop::Else(rest())),
            "if" => Step::Node(self.branches(rest())?),
            "with" => Step::Node(self.with(rest())?),
            "range" => Step::Node(self.range(rest())?),
            "break" | "continue" if self.ranges == 0 => return Err(format!("{{{{{keyword}}}}} outside {{{{range}}}}")),
            "break" => Step::Node(Node::Break),
            "continue" => Step::Node(Node::Continue),
            "template" | "define" | "block" => return Err(format!("{{{{{keyword}}}}} is not supported")),
            _ => Step::Node(Node::Print(pipeline(tokens)?)),
        })
    }

    /// `if`, any number of `else if`, perhaps `else`, `end`.
    fn branches(&mut self, condition: Vec<Token>) -> Result<Node, String> {
        let mut list = Vec::new();
        let mut condition = pipeline(condition)?;
        loop {
            let (body, stop) = self.nodes()?;
            list.push((condition, body));
            match stop {
                Stop::End => return Ok(Node::If(list, Vec::new())),
                Stop::Else(tokens) if tokens.is_empty() => return Ok(Node::If(list, self.last_branch()?)),
                Stop::Else(tokens) => condition = pipeline(after_keyword(tokens, "if")?)?,
                Stop::Eof => return Err("unexpected EOF".to_owned()),
            }
        }
    }

    fn last_branch(&mut self) -> Result<Vec<Node>, String> {
        match self.nodes()? {
            (nodes, Stop::End) => Ok(nodes),
            (_, Stop::Else(_)) => Err("expected end; found {{else}}".to_owned()),
            (_, Stop::Eof) => Err("unexpected EOF".to_owned()),
        }
    }

    /// The body and what stands after `{{else}}`.
    fn body(&mut self) -> Result<(Vec<Node>, Vec<Node>), String> {
        let (body, stop) = self.nodes()?;
        match stop {
            Stop::End => Ok((body, Vec::new())),
            Stop::Else(tokens) if tokens.is_empty() => Ok((body, self.last_branch()?)),
            Stop::Else(tokens) => {
                let inner = self.with(after_keyword(tokens, "with")?)?;
                Ok((body, vec![inner]))
            }
            Stop::Eof => Err("unexpected EOF".to_owned()),
        }
    }

    fn with(&mut self, tokens: Vec<Token>) -> Result<Node, String> {
        let value = pipeline(tokens)?;
        self.depth += 1;
        if self.depth > MOST_NESTED {
            return Err("nested too deeply".to_owned());
        }
        let (body, otherwise) = self.body()?;
        self.depth -= 1;
        Ok(Node::With(value, body, otherwise))
    }

    fn range(&mut self, tokens: Vec<Token>) -> Result<Node, String> {
        let (variables, tokens) = range_variables(tokens)?;
        let over = pipeline(tokens)?;
        self.ranges += 1;
        let (body, otherwise) = self.body()?;
        self.ranges -= 1;
        Ok(Node::Range(Range { variables, over, body, otherwise }))
    }
}

enum Step {
    Node(Node),
    Stop(Stop),
}

fn after_keyword(mut tokens: Vec<Token>, keyword: &str) -> Result<Vec<Token>, String> {
    if tokens.first() != Some(&Token::Word(keyword.to_owned())) {
        return Err("unexpected token in {{else}}".to_owned());
    }
    tokens.remove(0);
    Ok(tokens)
}

/// `$i, $v := ` or `$v := ` in front of what is ranged over.
fn range_variables(mut tokens: Vec<Token>) -> Result<(Vec<String>, Vec<Token>), String> {
    let Some(position) = tokens.iter().position(|token| *token == Token::Declare) else {
        return Ok((Vec::new(), tokens));
    };
    let rest = tokens.split_off(position + 1);
    let mut variables = Vec::new();
    for token in tokens.iter().take(position) {
        match token {
            Token::Variable(name, fields) if fields.is_empty() && !name.is_empty() => variables.push(name.clone()),
            Token::Comma => {}
            _ => return Err("unexpected token in range".to_owned()),
        }
    }
    if variables.len() > 2 { Err("too many declarations in range".to_owned()) } else { Ok((variables, rest)) }
}

fn pipeline(tokens: Vec<Token>) -> Result<Pipeline, String> {
    let mut tokens = tokens.into_iter().peekable();
    let pipeline = read_pipeline(&mut tokens, 0)?;
    match tokens.next() {
        None => Ok(pipeline),
        Some(Token::Close(_)) => Err("unexpected right paren".to_owned()),
        Some(token) => Err(format!("unexpected {token:?} in command")),
    }
}

type Tokens = Peekable<IntoIter<Token>>;

fn read_pipeline(tokens: &mut Tokens, depth: usize) -> Result<Pipeline, String> {
    if depth > MOST_NESTED {
        return Err("nested too deeply".to_owned());
    }
    let mut first = Vec::new();
    let mut target = None;
    if let Some(Token::Variable(..)) = tokens.peek() {
        let operand = operand(tokens, depth)?;
        target = take_target(tokens, &operand);
        first.extend(operand.filter(|_| target.is_none()));
    }
    let mut commands = vec![read_command(tokens, depth, first)?];
    while tokens.next_if_eq(&Token::Pipe).is_some() {
        commands.push(read_command(tokens, depth, Vec::new())?);
    }
    Ok(Pipeline { target, commands })
}

fn take_target(tokens: &mut Tokens, operand: &Option<Operand>) -> Option<Target> {
    let Some(Operand { base: Base::Variable(name), fields }) = operand else { return None };
    if name.is_empty() || !fields.is_empty() {
        return None;
    }
    let sign = tokens.next_if(|token| matches!(token, Token::Declare | Token::Assign))?;
    Some(Target { name: name.clone(), declares: sign == Token::Declare })
}

fn read_command(tokens: &mut Tokens, depth: usize, mut operands: Vec<Operand>) -> Result<Vec<Operand>, String> {
    while let Some(operand) = operand(tokens, depth)? {
        operands.push(operand);
    }
    if operands.is_empty() { Err("missing value for command".to_owned()) } else { Ok(operands) }
}

fn operand(tokens: &mut Tokens, depth: usize) -> Result<Option<Operand>, String> {
    let plain = |base| Ok(Some(Operand { base, fields: Vec::new() }));
    let ends =
        |token: &Token| matches!(token, Token::Pipe | Token::Close(_) | Token::Declare | Token::Assign | Token::Comma);
    let Some(token) = tokens.next_if(|token| !ends(token)) else { return Ok(None) };
    match token {
        Token::Field(fields) => Ok(Some(Operand { base: Base::Dot, fields })),
        Token::Variable(name, fields) => Ok(Some(Operand { base: Base::Variable(name), fields })),
        Token::Literal(value) => plain(Base::Literal(value)),
        Token::Word(word) => plain(match word.as_str() {
            "true" => Base::Literal(Value::Bool(true)),
            "false" => Base::Literal(Value::Bool(false)),
            "nil" => Base::Literal(Value::Null),
            _ => Base::Function(word),
        }),
        _ => {
            let inner = read_pipeline(tokens, depth + 1)?;
            match tokens.next() {
                Some(Token::Close(fields)) => Ok(Some(Operand { base: Base::Group(Box::new(inner)), fields })),
                _ => Err("unclosed left paren".to_owned()),
            }
        }
    }
}
