//! What operators ask about plugins: whether they work here, and whether they are the files that were pinned.

use crate::Engine;
use crate::error::{Error, Result};
use gantry_host::{Diagnosis, Kind, digest, same_digest};
use gantry_model::class::Class;
use serde_json::{Value, json};

/// A driver's kind and name.
pub type Driver = (String, String);

impl Engine {
    /// The drivers that words such as `log/acme` or `acme` name; all of them without any word. A name with its kind need
    /// not exist.
    pub fn plugin_names(&self, words: &[String], kind: Option<&str>) -> Result<Vec<Driver>> {
        let mut found: Vec<Driver> = vec![];
        let listed = self.plugins.list();
        let fits = |known: &gantry_host::Listed| kind.is_none_or(|kind| known.kind.name() == kind);
        let all: Vec<Driver> =
            listed.iter().filter(|p| fits(p)).map(|p| (p.kind.to_string(), p.name.clone())).collect();
        for word in words {
            refuse_file(word)?;
            let (kind, name) = word.split_once('/').map_or((kind, word.as_str()), |(kind, name)| (Some(kind), name));
            let before = found.len();
            found.extend(all.iter().filter(|(k, n)| n == name && kind.is_none_or(|kind| kind == k)).cloned());
            match kind {
                Some(kind) if found.len() == before => found.push((parsed(kind)?.to_string(), name.to_owned())),
                None if found.len() == before => {
                    return Err(Error::request(Class::NotFound, format!("No such plugin: {name}")));
                }
                _ => {}
            }
        }
        if words.is_empty() {
            found = all;
        }
        let mut seen = std::collections::BTreeSet::new();
        found.retain(|driver| seen.insert(driver.clone()));
        Ok(found)
    }

    /// What can be said of a driver without running it.
    pub fn plugin_diagnosis(&self, (kind, name): &Driver) -> Result<Value> {
        Ok(told(&self.plugins.diagnose(parsed(kind)?, name)))
    }

    /// Loads a driver in this process, which may die of it; what it can do.
    pub fn plugin_try(&self, (kind, name): &Driver) -> Result<String> {
        Ok(self.plugins.try_out(parsed(kind)?, name)?)
    }

    /// A driver's file, its digest, and whether that is the one that was pinned.
    pub fn plugin_pin(&self, (kind, name): &Driver) -> Result<Value> {
        let kind = parsed(kind)?;
        let diagnosis = self.plugins.diagnose(kind, name);
        let taken = diagnosis.candidates.iter().find(|c| c.verdict == "taken").map(|c| c.path.clone());
        let path = taken.ok_or_else(|| Error::request(Class::NotFound, format!("No such plugin: {kind}/{name}")))?;
        let found = digest(&path).map_err(Error::io(format!("read {}", path.display())))?;
        let pinned = self.plugins.pin_of(kind, name);
        let status = match pinned {
            None => "unpinned",
            Some(pin) if same_digest(pin, &found) => "ok",
            Some(_) => "differs",
        };
        Ok(json!({
            "ID": format!("{kind}/{name}"), "Status": status, "SHA256": found, "Pinned": pinned.unwrap_or(""), "Path": path,
        }))
    }
}

/// A plugin is known by its kind and name; a file is examined by another command.
fn refuse_file(word: &str) -> Result<()> {
    if !word.ends_with(".so") && !word.starts_with(['.', '/']) {
        return Ok(());
    }
    let error = Error::request(Class::Invalid, format!("{word:?} is a file, not KIND/NAME such as log/json-file"));
    Err(error.with_hint("`gantry plugin test FILE` examines a file; --plugin-dir DIR finds DIR/KIND/NAME.so"))
}

fn parsed(kind: &str) -> Result<Kind> {
    kind.parse().map_err(|reason: String| Error::request(Class::Invalid, reason))
}

fn told(seen: &Diagnosis) -> Value {
    let candidates = seen.candidates.iter();
    let candidates = candidates.map(|c| json!({ "Path": c.path, "Source": c.source.name(), "Verdict": c.verdict }));
    let findings = seen.findings.iter();
    let findings = findings.map(|f| json!({ "What": f.what, "Good": !f.bad, "Says": f.says, "Hint": f.hint }));
    json!({
        "Kind": seen.kind.name(),
        "Name": seen.name,
        "Good": seen.is_good(),
        "Candidates": candidates.collect::<Vec<_>>(),
        "Findings": findings.collect::<Vec<_>>(),
    })
}
