//! Running the tree on a value.

use super::call::{call, is_function, is_word_function};
use super::format::{display, kind, truth};
use super::parse::{Base, Node, Operand, Pipeline, Range};
use super::{LABELS_KEY, format, nil};
use serde_json::Value;

/// Runs a template; on the `heads` of a table, functions on words do nothing.
pub fn render(nodes: &[Node], root: &Value, heads: bool) -> Result<String, String> {
    let mut run = Run { root, heads, variables: Vec::new(), out: String::new() };
    run.nodes(nodes, root)?;
    Ok(run.out)
}

struct Run<'a> {
    root: &'a Value,
    heads: bool,
    variables: Vec<(String, Value)>,
    out: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    On,
    Break,
    Continue,
}

impl Run<'_> {
    fn nodes(&mut self, nodes: &[Node], dot: &Value) -> Result<Flow, String> {
        let scope = self.variables.len();
        let flow = self.each(nodes, dot);
        self.variables.truncate(scope);
        flow
    }

    fn each(&mut self, nodes: &[Node], dot: &Value) -> Result<Flow, String> {
        for node in nodes {
            let flow = self.node(node, dot)?;
            if flow != Flow::On {
                return Ok(flow);
            }
        }
        Ok(Flow::On)
    }

    fn node(&mut self, node: &Node, dot: &Value) -> Result<Flow, String> {
        match node {
            Node::Text(text) => self.out.push_str(text),
            Node::Print(pipeline) => {
                let value = self.pipeline(pipeline, dot)?;
                if pipeline.target.is_none() {
                    self.out.push_str(&display(&value));
                }
            }
            Node::If(branches, otherwise) => return self.branches(branches, otherwise, dot),
            Node::With(pipeline, body, otherwise) => return self.with(pipeline, body, otherwise, dot),
            Node::Range(range) => return self.range(range, dot),
            Node::Break => return Ok(Flow::Break),
            Node::Continue => return Ok(Flow::Continue),
        }
        Ok(Flow::On)
    }

    fn branches(&mut self, list: &[(Pipeline, Vec<Node>)], otherwise: &[Node], dot: &Value) -> Result<Flow, String> {
        let scope = self.variables.len();
        let mut chosen = otherwise;
        for (condition, body) in list {
            if truth(&self.pipeline(condition, dot)?) {
                chosen = body;
                break;
            }
        }
        let flow = self.nodes(chosen, dot);
        self.variables.truncate(scope);
        flow
    }

    fn with(&mut self, value: &Pipeline, body: &[Node], otherwise: &[Node], dot: &Value) -> Result<Flow, String> {
        let scope = self.variables.len();
        let value = self.pipeline(value, dot)?;
        let flow = if truth(&value) { self.nodes(body, &value) } else { self.nodes(otherwise, dot) };
        self.variables.truncate(scope);
        flow
    }

    fn range(&mut self, range: &Range, dot: &Value) -> Result<Flow, String> {
        let over = self.pipeline(&range.over, dot)?;
        let items = items(over)?;
        if items.is_empty() {
            return self.nodes(&range.otherwise, dot);
        }
        let scope = self.variables.len();
        for (key, value) in items {
            match &range.variables[..] {
                [first, second] => {
                    self.variables.push((first.clone(), key));
                    self.variables.push((second.clone(), value.clone()));
                }
                [only] => self.variables.push((only.clone(), value.clone())),
                _ => {}
            }
            let flow = self.nodes(&range.body, &value);
            self.variables.truncate(scope);
            if flow? == Flow::Break {
                break;
            }
        }
        Ok(Flow::On)
    }

    fn pipeline(&mut self, pipeline: &Pipeline, dot: &Value) -> Result<Value, String> {
        let mut piped = None;
        for command in &pipeline.commands {
            piped = Some(self.command(command, dot, piped)?);
        }
        let value = piped.unwrap_or(Value::Null);
        if let Some(target) = &pipeline.target {
            match target.declares {
                true => self.variables.push((target.name.clone(), value.clone())),
                false => *self.variable_mut(&target.name)? = value.clone(),
            }
        }
        Ok(value)
    }

    fn command(&mut self, command: &[Operand], dot: &Value, piped: Option<Value>) -> Result<Value, String> {
        let (head, rest) = command.split_first().ok_or("missing value for command")?;
        if let Base::Function(name) = &head.base {
            if !is_function(name) {
                return Err(format!("function {name:?} not defined"));
            }
            let mut arguments = rest.iter().map(|o| self.operand(o, dot)).collect::<Result<Vec<_>, _>>()?;
            arguments.extend(piped);
            if self.heads && is_word_function(name) {
                return arguments.into_iter().find(Value::is_string).ok_or_else(|| "missing argument".to_owned());
            }
            return call(name, arguments);
        }
        if rest.is_empty() && piped.is_none() {
            return self.operand(head, dot);
        }
        let method =
            matches!(head.base, Base::Dot | Base::Variable(_)) && head.fields.last().is_some_and(|f| f == "Label");
        if !method {
            return Err("can't give argument to non-function".to_owned());
        }
        let argument = rest.first().map(|o| self.operand(o, dot)).transpose()?.or(piped).unwrap_or_default();
        self.label(head, dot, &argument)
    }

    fn label(&mut self, head: &Operand, dot: &Value, key: &Value) -> Result<Value, String> {
        if self.heads {
            let last = format::text(key).rsplit('.').next().unwrap_or_default();
            return Ok(Value::String(last.replace(['-', '_'], " ")));
        }
        let owner = Operand { base: head.base.clone(), fields: head.fields[..head.fields.len() - 1].to_vec() };
        let owner = self.operand(&owner, dot)?;
        let found = owner.get(LABELS_KEY).and_then(|labels| labels.get(format::text(key)));
        Ok(found.cloned().unwrap_or_else(|| Value::from("")))
    }

    fn operand(&mut self, operand: &Operand, dot: &Value) -> Result<Value, String> {
        match &operand.base {
            Base::Dot => walk(dot, &operand.fields),
            Base::Variable(name) if name.is_empty() => walk(self.root, &operand.fields),
            Base::Variable(name) => walk(self.variable_mut(name)?, &operand.fields),
            Base::Literal(value) => Ok(value.clone()),
            Base::Group(pipeline) => walk(&self.pipeline(pipeline, dot)?, &operand.fields),
            Base::Function(name) if is_function(name) => call(name, Vec::new()),
            Base::Function(name) => Err(format!("function {name:?} not defined")),
        }
    }

    fn variable_mut(&mut self, name: &str) -> Result<&mut Value, String> {
        let found = self.variables.iter_mut().rev().find(|(known, _)| known == name);
        found.map(|(_, value)| value).ok_or_else(|| format!("undefined variable \"${name}\""))
    }
}

fn walk(start: &Value, fields: &[String]) -> Result<Value, String> {
    let mut value = start;
    for field in fields {
        value = match value {
            Value::Object(map) if nil::text(map) == Some("<nil>") => {
                return Err(format!("nil pointer evaluating interface {{}}.{field}"));
            }
            Value::Object(map) if nil::text(map).is_some() => &Value::Null,
            Value::Object(map) => map.get(field).ok_or_else(|| format!("map has no entry for key {field:?}"))?,
            Value::Null => return Err(format!("nil pointer evaluating interface {{}}.{field}")),
            other => return Err(format!("can't evaluate field {field} in type {}", kind(other))),
        };
    }
    Ok(value.clone())
}

/// What `range` goes over: keys and values, maps in the order of their keys.
fn items(over: Value) -> Result<Vec<(Value, Value)>, String> {
    match over {
        Value::Array(list) => Ok(list.into_iter().enumerate().map(|(i, v)| (Value::from(i), v)).collect()),
        Value::Object(map) if nil::text(&map).is_some() => Ok(Vec::new()),
        Value::Object(mut map) => {
            map.sort_keys();
            let shown = map.into_iter().filter(|(key, _)| key != LABELS_KEY);
            Ok(shown.map(|(key, value)| (Value::String(key), value)).collect())
        }
        Value::Null => Ok(Vec::new()),
        Value::Number(number) => {
            let count = number.as_u64().filter(|n| *n <= 100_000).unwrap_or(0);
            Ok((0..count).map(|n| (Value::from(n), Value::from(n))).collect())
        }
        other => Err(format!("range can't iterate over {}", display(&other))),
    }
}
