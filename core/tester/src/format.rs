//! The report in the forms people and programs read.

use gantry_host::{Kind, Manifest};
use serde_json::{Value, json};
use std::fmt::Write;
use std::str::FromStr;
use std::time::Duration;

/// How to print.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    Human,
    Tap,
    Junit,
    Json,
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "human" => Ok(Format::Human),
            "tap" => Ok(Format::Tap),
            "junit" => Ok(Format::Junit),
            "json" => Ok(Format::Json),
            _ => Err(format!("unknown format {text:?}: expected human, tap, junit or json")),
        }
    }
}

/// What came of all drivers of a plugin.
pub struct Report {
    pub manifest: Manifest,
    pub suites: Vec<Suite>,
}

/// What came of one driver.
pub struct Suite {
    pub kind: Kind,
    pub checks: Vec<Check>,
}

/// One check.
#[derive(Clone, PartialEq, Debug)]
pub struct Check {
    pub name: String,
    pub outcome: Outcome,
    pub took: Duration,
}

#[derive(Clone, PartialEq, Debug)]
pub enum Outcome {
    Passed,
    Skipped(String),
    Failed(String),
}

impl Check {
    pub fn failed(name: &str, reason: &str) -> Check {
        Check { name: name.to_owned(), outcome: Outcome::Failed(reason.to_owned()), took: Duration::ZERO }
    }
}

impl Report {
    /// Passed, failed, skipped.
    fn counts(&self) -> [usize; 3] {
        let of = |fits: fn(&Outcome) -> bool| {
            self.suites.iter().flat_map(|suite| &suite.checks).filter(|check| fits(&check.outcome)).count()
        };
        [
            of(|o| *o == Outcome::Passed),
            of(|o| matches!(o, Outcome::Failed(_))),
            of(|o| matches!(o, Outcome::Skipped(_))),
        ]
    }
}

/// The whole report.
pub fn render(report: &Report, format: Format) -> String {
    match format {
        Format::Human => human(report),
        Format::Tap => tap(report),
        Format::Junit => junit(report),
        Format::Json => format!("{:#}\n", as_json(report)),
    }
}

fn title(manifest: &Manifest) -> String {
    format!("{} {}, {}, plugin API {}", manifest.name, manifest.version, manifest.license, manifest.api)
}

fn human(report: &Report) -> String {
    let mut text = title(&report.manifest) + "\n";
    for suite in &report.suites {
        let _ = writeln!(text, "\n{} driver", suite.kind);
        for check in &suite.checks {
            let _ = match &check.outcome {
                Outcome::Passed => writeln!(text, "  ok    {}", check.name),
                Outcome::Skipped(reason) => writeln!(text, "  skip  {}: {reason}", check.name),
                Outcome::Failed(reason) => writeln!(text, "  FAIL  {}: {reason}", check.name),
            };
        }
    }
    let [passed, failed, skipped] = report.counts();
    let _ = writeln!(text, "\n{passed} passed, {failed} failed, {skipped} skipped");
    text
}

fn tap(report: &Report) -> String {
    let count: usize = report.suites.iter().map(|suite| suite.checks.len()).sum();
    let mut text = format!("TAP version 13\n1..{count}\n# {}\n", title(&report.manifest));
    let checks = report.suites.iter().flat_map(|suite| suite.checks.iter().map(move |check| (suite.kind, check)));
    for (number, (kind, check)) in (1..).zip(checks) {
        // A description ends where a directive begins.
        let name = format!("{kind}: {}", check.name.replace('#', " "));
        let _ = match &check.outcome {
            Outcome::Passed => writeln!(text, "ok {number} - {name}"),
            Outcome::Skipped(reason) => writeln!(text, "ok {number} - {name} # SKIP {reason}"),
            Outcome::Failed(reason) => {
                writeln!(text, "not ok {number} - {name}\n  ---\n  message: {}\n  ...", Value::from(reason.as_str()))
            }
        };
    }
    text
}

fn junit(report: &Report) -> String {
    let mut text = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n".to_owned();
    let name = &report.manifest.name;
    for suite in &report.suites {
        let one = Report { manifest: report.manifest.clone(), suites: vec![] };
        let alone = Report { suites: vec![Suite { kind: suite.kind, checks: suite.checks.clone() }], ..one };
        let ([_, failed, skipped], kind, all) = (alone.counts(), suite.kind, suite.checks.len());
        let of = xml(&format!("{kind}/{name}"));
        let counts = format!("tests=\"{all}\" failures=\"{failed}\" errors=\"0\" skipped=\"{skipped}\"");
        let _ = writeln!(text, "  <testsuite name=\"{of}\" {counts}>");
        suite.checks.iter().for_each(|check| case(&mut text, &format!("{kind}.{name}"), check));
        text += "  </testsuite>\n";
    }
    text + "</testsuites>\n"
}

fn case(text: &mut String, class: &str, check: &Check) {
    let (class, name, time) = (xml(class), xml(&check.name), check.took.as_secs_f64());
    let _ = write!(text, "    <testcase classname=\"{class}\" name=\"{name}\" time=\"{time:.3}\"");
    let _ = match &check.outcome {
        Outcome::Passed => writeln!(text, "/>"),
        Outcome::Skipped(reason) => writeln!(text, "><skipped message=\"{}\"/></testcase>", xml(reason)),
        Outcome::Failed(reason) => writeln!(text, "><failure message=\"{}\"/></testcase>", xml(reason)),
    };
}

/// What XML can carry; other control characters it cannot.
fn xml(text: &str) -> String {
    let mut safe = String::new();
    for c in text.chars() {
        match c {
            '&' => safe += "&amp;",
            '<' => safe += "&lt;",
            '>' => safe += "&gt;",
            '"' => safe += "&quot;",
            c if c.is_control() => safe.push('\u{fffd}'),
            c => safe.push(c),
        }
    }
    safe
}

fn as_json(report: &Report) -> Value {
    let check = |kind: Kind, check: &Check| {
        let (outcome, reason) = match &check.outcome {
            Outcome::Passed => ("passed", None),
            Outcome::Skipped(reason) => ("skipped", Some(reason)),
            Outcome::Failed(reason) => ("failed", Some(reason)),
        };
        let seconds = check.took.as_secs_f64();
        json!({ "Kind": kind.name(), "Name": check.name, "Outcome": outcome, "Reason": reason, "Seconds": seconds })
    };
    let checks = report.suites.iter().flat_map(|suite| suite.checks.iter().map(move |c| check(suite.kind, c)));
    let [passed, failed, skipped] = report.counts();
    json!({
        "Plugin": plugin(&report.manifest),
        "Checks": checks.collect::<Vec<_>>(),
        "Passed": passed,
        "Failed": failed,
        "Skipped": skipped,
    })
}

fn plugin(manifest: &Manifest) -> Value {
    json!({
        "Name": manifest.name,
        "Version": manifest.version,
        "License": manifest.license,
        "API": manifest.api.to_string(),
        "Door": manifest.door.name(),
    })
}

/// What a bench found, in nanoseconds a call.
pub fn measures(manifest: &Manifest, kind: Kind, measures: &[(String, f64)], format: Format) -> String {
    if format == Format::Json {
        let list = measures.iter().map(|(call, ns)| json!({ "Call": call, "Nanoseconds": ns, "PerSecond": 1e9 / ns }));
        let list: Vec<Value> = list.collect();
        return format!("{:#}\n", json!({ "Plugin": plugin(manifest), "Kind": kind.name(), "Measures": list }));
    }
    let mut text = format!("{}\n\n{kind} driver{:>32}{:>16}\n", title(manifest), "a call", "calls/s");
    for (call, ns) in measures {
        let _ = writeln!(text, "  {call:<32}{:>10}{:>16.0}", duration(*ns), 1e9 / ns);
    }
    text
}

fn duration(ns: f64) -> String {
    match ns {
        ns if ns < 1e3 => format!("{ns:.1} ns"),
        ns if ns < 1e6 => format!("{:.1} us", ns / 1e3),
        ns => format!("{:.1} ms", ns / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    fn report() -> Report {
        let manifest = Manifest::parse(b"\x02\0\0\0\x01\0\0\0name a\nversion 1\nlicense MIT\n\0").unwrap();
        let check = |name: &str, outcome| Check { name: name.to_owned(), outcome, took: Duration::from_millis(5) };
        let checks = vec![
            check("one", Outcome::Passed),
            check("two # x", Outcome::Skipped("no root".to_owned())),
            check("three", Outcome::Failed("got \"<1>\" & more".to_owned())),
        ];
        Report { manifest, suites: vec![Suite { kind: Kind::Log, checks }] }
    }

    #[test]
    fn each_form() {
        let human = render(&report(), Format::Human);
        assert!(human.starts_with("a 1, MIT, plugin API 1.0\n\nlog driver\n  ok    one\n  skip  two # x: no root\n"));
        assert!(human.ends_with("  FAIL  three: got \"<1>\" & more\n\n1 passed, 1 failed, 1 skipped\n"), "{human}");
        let tap = render(&report(), Format::Tap);
        let want = "TAP version 13\n1..3\n# a 1, MIT, plugin API 1.0\nok 1 - log: one\nok 2 - log: two   x # SKIP no root\n\
                    not ok 3 - log: three\n  ---\n  message: \"got \\\"<1>\\\" & more\"\n  ...\n";
        assert_eq!(tap, want);
        let junit = render(&report(), Format::Junit);
        assert!(
            junit.contains("<testsuite name=\"log/a\" tests=\"3\" failures=\"1\" errors=\"0\" skipped=\"1\">"),
            "{junit}"
        );
        assert!(
            junit.contains("time=\"0.005\"><failure message=\"got &quot;&lt;1&gt;&quot; &amp; more\"/></testcase>"),
            "{junit}"
        );
        let json: Value = serde_json::from_str(&render(&report(), Format::Json)).unwrap();
        assert_eq!((&json["Failed"], &json["Checks"][2]["Outcome"]), (&json!(1), &json!("failed")));
    }

    #[test]
    fn measures_have_fitting_units() {
        for (ns, want) in [(2.25, "2.2 ns"), (1500.0, "1.5 us"), (2.5e6, "2.5 ms")] {
            assert_eq!(duration(ns), want);
        }
    }
}
