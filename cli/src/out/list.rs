//! Lists: a table by default, or by `--format` JSON lines, a template, or a table of a template's cells.

use super::failure::Failure;
use super::table;
use super::template::{LABELS_KEY, Template};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Docker's narrowest column.
pub const NARROWEST: usize = 10;

/// A column: the key of JSON and templates, and the head of a table.
pub type Column = (&'static str, &'static str);

/// A row's labels.
pub type LabelsOf<'a, R> = dyn Fn(&R) -> BTreeMap<String, String> + 'a;

/// A row's values that are no text.
pub type MoreOf<'a, R> = dyn Fn(&R) -> Map<String, Value> + 'a;

/// How to print rows of one sort.
pub struct Layout<'a, R> {
    /// Every column, in any order.
    pub columns: &'a [Column],
    /// Keys of the table by default.
    pub default: &'a [&'a str],
    /// Key of `--quiet`.
    pub quiet: &'a str,
    /// The text of a cell.
    pub cell: &'a dyn Fn(&R, &str) -> String,
    /// For `{{.Label "key"}}`.
    pub labels: Option<&'a LabelsOf<'a, R>>,
}

/// What the user wants to see.
#[derive(Debug, Default)]
pub struct Wish<'a> {
    /// `--format`.
    pub format: Option<&'a str>,
    /// `--quiet`.
    pub quiet: bool,
}

impl<R> Layout<'_, R> {
    /// Everything as text.
    pub fn render(&self, rows: &[R], wish: &Wish<'_>) -> Result<String, Failure> {
        self.render_with(rows, wish, &|_| Map::new())
    }

    /// The same; JSON and templates also see values that are no text.
    pub fn render_with(&self, rows: &[R], wish: &Wish<'_>, more: &MoreOf<'_, R>) -> Result<String, Failure> {
        let object = |row: &R| {
            let mut cells = self.object(row);
            cells.extend(more(row));
            cells.sort_keys();
            Value::Object(cells)
        };
        let format = wish.format.unwrap_or("table");
        if wish.quiet && wish.format.is_none() {
            let lines = rows.iter().map(|row| (self.cell)(row, self.quiet) + "\n");
            return Ok(lines.collect());
        }
        match (format, format.strip_prefix("table ")) {
            ("" | "table", _) => Ok(self.default_table(rows)),
            ("json", _) => Ok(rows.iter().map(|row| super::template::json(&object(row)) + "\n").collect()),
            (_, Some(cells)) => self.custom_table(rows, &unescape(cells), &object),
            _ => lines(rows, &unescape(format), &object),
        }
    }

    fn default_table(&self, rows: &[R]) -> String {
        let head: Vec<&str> = self.default.iter().map(|key| self.head(key)).collect();
        let mut lines = vec![head.join("\t")];
        for row in rows {
            let cells: Vec<String> = self.default.iter().map(|key| (self.cell)(row, key)).collect();
            lines.push(cells.join("\t"));
        }
        table::align(&lines, NARROWEST)
    }

    fn head(&self, key: &str) -> &'static str {
        self.columns.iter().find(|(known, _)| *known == key).map_or("", |(_, head)| head)
    }

    fn object(&self, row: &R) -> Map<String, Value> {
        let cells = self.columns.iter().map(|(key, _)| ((*key).to_owned(), Value::String((self.cell)(row, key))));
        let mut map: Map<String, Value> = cells.collect();
        if let Some(labels) = self.labels {
            let labels = labels(row).into_iter().map(|(key, value)| (key, Value::String(value))).collect();
            map.insert(LABELS_KEY.to_owned(), Value::Object(labels));
        }
        map
    }

    fn heads(&self) -> Value {
        let heads = self.columns.iter().map(|(key, head)| ((*key).to_owned(), Value::from(*head)));
        Value::Object(heads.collect())
    }

    fn custom_table(&self, rows: &[R], text: &str, object: &dyn Fn(&R) -> Value) -> Result<String, Failure> {
        let template = parse(text)?;
        let mut lines = vec![template.render_heads(&self.heads()).map_err(|e| fault(&e))?];
        for row in rows {
            lines.push(render(&template, &object(row))?);
        }
        Ok(table::align(&lines, NARROWEST))
    }
}

fn lines<R>(rows: &[R], text: &str, object: &dyn Fn(&R) -> Value) -> Result<String, Failure> {
    let template = parse(text)?;
    let mut out = String::new();
    for row in rows {
        out.push_str(&render(&template, &object(row))?);
        out.push('\n');
    }
    Ok(out)
}

/// The shell leaves `\t` and `\n` alone.
fn unescape(text: &str) -> String {
    text.replace("\\t", "\t").replace("\\n", "\n")
}

/// Parses a template of the user's.
pub fn parse(text: &str) -> Result<Template, Failure> {
    Template::parse(text).map_err(|error| fault(&error))
}

/// Runs it.
pub fn render(template: &Template, object: &Value) -> Result<String, Failure> {
    template.render(object).map_err(|error| fault(&error))
}

fn fault(error: &super::template::TemplateError) -> Failure {
    Failure::error(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(format: Option<&str>, quiet: bool) -> String {
        let layout = Layout::<(&str, &str)> {
            columns: &[("ID", "CONTAINER ID"), ("Names", "NAMES")],
            default: &["ID", "Names"],
            quiet: "ID",
            cell: &|row, key| if key == "ID" { row.0.to_owned() } else { row.1.to_owned() },
            labels: Some(&|row| BTreeMap::from([("name".to_owned(), row.1.to_owned())])),
        };
        match layout.render(&[("1", "one"), ("2", "two")], &Wish { format, quiet }) {
            Ok(text) => text,
            Err(failure) => format!("{failure:?}"),
        }
    }

    #[test]
    fn formats() {
        let table = "CONTAINER ID   NAMES\n1              one\n2              two\n";
        for (format, quiet, want) in [
            (None, false, table),
            (None, true, "1\n2\n"),
            (Some("table"), false, table),
            (Some("{{.ID}}"), true, "1\n2\n"),
            (Some("json"), false, "{\"ID\":\"1\",\"Names\":\"one\"}\n{\"ID\":\"2\",\"Names\":\"two\"}\n"),
            (Some("{{json .}}"), false, "{\"ID\":\"1\",\"Names\":\"one\"}\n{\"ID\":\"2\",\"Names\":\"two\"}\n"),
            (Some("{{.ID}}\\t{{.Label \"name\"}}"), false, "1\tone\n2\ttwo\n"),
            (Some("table {{.Names}}\\t{{.ID}}"), false, "NAMES     CONTAINER ID\none       1\ntwo       2\n"),
            (Some("table {{.Names | upper}}"), false, "NAMES\nONE\nTWO\n"),
        ] {
            assert_eq!(show(format, quiet), want, "{format:?}");
        }
        assert!(show(Some("{{.Nope}}"), false).contains("Nope"));
    }
}
