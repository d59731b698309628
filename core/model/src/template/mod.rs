//! Go templates for `--format` and log tags: the part of `text/template` that people use, over JSON values.
//! Fields, variables, pipelines, `if`/`else`/`with`/`range`, comparisons, and Docker's functions; no definitions of
//! templates. A template is parsed once and run for each object.

mod call;
mod eval;
mod format;
mod lex;
mod nil;
mod parse;

pub use call::json;
pub use format::quote;
pub use nil::{Field, Nil, fill};
use serde_json::Value;

/// Where labels stand for `{{.Label "key"}}`: not printed by `json`.
pub const LABELS_KEY: &str = "\0labels";

/// Why a template cannot be parsed or run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("template parsing error: {0}")]
pub struct TemplateError(pub String);

/// A parsed template.
#[derive(Clone, Debug)]
pub struct Template {
    nodes: Vec<parse::Node>,
}

impl Template {
    /// Parses the text as it is.
    pub fn parse(text: &str) -> Result<Template, TemplateError> {
        let nodes = lex::tokens(text).and_then(parse::parse).map_err(TemplateError)?;
        Ok(Template { nodes })
    }

    /// Runs it on an object.
    pub fn render(&self, object: &Value) -> Result<String, TemplateError> {
        eval::render(&self.nodes, object, false).map_err(TemplateError)
    }

    /// Runs it on the heads of a table: what changes words leaves them as they are.
    pub fn render_heads(&self, heads: &Value) -> Result<String, TemplateError> {
        eval::render(&self.nodes, heads, true).map_err(TemplateError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn run(text: &str) -> String {
        let object = json!({
            "Name": "web", "Id": "0123456789abcdef", "Size": 42, "Ratio": 1.5, "On": true, "Off": false, "Nil": null,
            "List": ["a", "b", "c"], "None": [], "Image": "img:1",
            "State": {"Status": "running", "Pid": 7},
            "Labels": {"x.y": "1", "z": "2"},
            "Ports": [{"P": 80, "T": "tcp"}, {"P": 53, "T": "udp"}],
            "\0labels": {"x.y": "1"},
        });
        match Template::parse(text).and_then(|template| template.render(&object)) {
            Ok(text) => text,
            Err(error) => format!("!{error}"),
        }
    }

    fn check(table: &[(&str, &str)]) {
        for (text, want) in table {
            assert_eq!(run(text), *want, "{text}");
        }
    }

    #[test]
    fn fields() {
        check(&[
            ("plain", "plain"),
            ("{{.Name}}", "web"),
            ("a {{ .State.Status }} b", "a running b"),
            ("{{.Size}} {{.Ratio}} {{.On}}", "42 1.5 true"),
            ("{{.Nil}}", "<no value>"),
            ("{{.List}} {{.State}}", "[a b c] map[Pid:7 Status:running]"),
            ("{{(index .Ports 0).P}}", "80"),
            ("{{$.Name}}", "web"),
            ("{{.Label \"x.y\"}}|{{.Label \"none\"}}", "1|"),
        ]);
    }

    #[test]
    fn blanks_and_comments() {
        check(&[
            ("a  {{- .Name -}}  b", "awebb"),
            ("a\n{{- /* note */ -}}\n b", "ab"),
            ("a{{/* note */}}b", "ab"),
            ("{{\"a\\tb\"}} {{`a\\tb`}}", "a\tb a\\tb"),
        ]);
    }

    #[test]
    fn control() {
        check(&[
            ("{{if .On}}y{{else}}n{{end}}", "y"),
            ("{{if .Off}}y{{else if .Name}}e{{else}}n{{end}}", "e"),
            ("{{if not .None}}empty{{end}}", "empty"),
            ("{{with .State}}{{.Status}}{{end}}", "running"),
            ("{{with .Nil}}x{{else}}{{.Name}}{{end}}", "web"),
            ("{{range .List}}<{{.}}>{{end}}", "<a><b><c>"),
            ("{{range .None}}x{{else}}none{{end}}", "none"),
            ("{{range $i, $v := .List}}{{$i}}={{$v}} {{end}}", "0=a 1=b 2=c "),
            ("{{range $k, $v := .Labels}}{{$k}}={{$v}},{{end}}", "x.y=1,z=2,"),
            ("{{range $v := .List}}{{$v}}{{$.Size}}{{end}}", "a42b42c42"),
            ("{{range .Ports}}{{.P}}/{{.T}} {{end}}", "80/tcp 53/udp "),
            ("{{range .List}}{{if eq . \"b\"}}{{continue}}{{end}}{{.}}{{end}}", "ac"),
            ("{{range .List}}{{if eq . \"b\"}}{{break}}{{end}}{{.}}{{end}}", "a"),
            ("{{$x := .Name}}{{$x}}{{if .On}}{{$x = \"new\"}}{{end}}{{$x}}", "webnew"),
        ]);
    }

    #[test]
    fn functions() {
        check(&[
            ("{{json .State}}", "{\"Status\":\"running\",\"Pid\":7}"),
            ("{{.List | json}}", "[\"a\",\"b\",\"c\"]"),
            ("{{join .List \"-\"}}", "a-b-c"),
            ("{{upper .Name}} {{.Name | title}} {{\"ABC\" | lower}}", "WEB Web abc"),
            ("{{split .Image \":\"}} {{index (split .Image \":\") 0}}", "[img 1] img"),
            ("{{truncate .Id 4}} {{truncate .Name 9}}", "0123 web"),
            ("{{pad .Name 1 2}}|", " web  |"),
            ("{{index .Labels \"x.y\"}} {{index .Labels \"no\"}}|{{index .List 1}}", "1 |b"),
            ("{{len .List}} {{len .Name}} {{len .Labels}}", "3 3 2"),
            ("{{slice .Id 0 3}} {{slice .List 1}}", "012 [b c]"),
            (
                "{{printf \"%s:%d %v %q %5s|%-5s|%05d %x %.1f %%\" .Name .Size .On .Name .Name .Name .Size 255 .Ratio}}",
                "web:42 true \"web\"   web|web  |00042 ff 1.5 %",
            ),
            ("{{println .Name .Size}}", "web 42\n"),
            ("{{print .Size .Size .Name .Size}}", "42 42web42"),
            ("{{.Name | printf \"%s-%s\" \"a\"}}", "a-web"),
        ]);
    }

    #[test]
    fn comparisons() {
        check(&[
            ("{{eq .Name \"web\"}} {{ne .Size 42}} {{eq .Size 1 42}}", "true false true"),
            ("{{lt .Size 43}} {{gt .Size 43}} {{le .Name \"web\"}} {{ge .Ratio 1.5}}", "true false true true"),
            ("{{and .On .Name}} {{or .Off .Name}} {{not .On}}", "web web false"),
            ("{{if and (eq .Size 42) (or .Off .On)}}y{{end}}", "y"),
        ]);
    }

    #[test]
    fn hidden_labels_stay_hidden() {
        assert!(!run("{{json .}}").contains("labels"));
    }

    #[test]
    fn faults() {
        for (text, token) in [
            ("{{.Nope}}", "map has no entry for key \"Nope\""),
            ("{{.Name.X}}", "can't evaluate field X"),
            ("{{.Nil.X}}", "nil pointer evaluating"),
            ("{{nope .}}", "function \"nope\" not defined"),
            ("{{.Name", "unclosed action"),
            ("{{if .On}}", "unexpected EOF"),
            ("{{end}}", "unexpected {{end}}"),
            ("{{$x}}", "undefined variable \"$x\""),
            ("{{index .List 9}}", "index out of range: 9"),
            ("{{\"a}}", "unterminated quoted string"),
            ("{{template \"x\"}}", "{{template}} is not supported"),
            ("{{}}", "missing value for command"),
            ("{{len .Size}}", "len of type number"),
            ("{{(.Name}}", "unclosed left paren"),
            ("{{.Name | }}", "missing value for command"),
            ("{{printf \"%d\" .Name}}", "%!d(string=web)"),
            ("{{eq .Name 1}}", "incompatible types for comparison"),
        ] {
            let got = run(text);
            assert!(got.contains(token), "{text}: {got}");
        }
    }

    #[test]
    fn deep_nesting_is_an_error_not_a_crash() {
        let deep = format!("{{{{{}1{}}}}}", "(".repeat(100_000), ")".repeat(100_000));
        assert!(run(&deep).starts_with('!'));
        let ifs = "{{if 1}}".repeat(100_000);
        assert!(run(&ifs).starts_with('!'));
    }
}
