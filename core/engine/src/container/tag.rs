//! Log tags and attributes: what `tag`, `labels`, `env` and their regular expressions select.
//!
//! The tag template is the part of Go's that people use there: fields between double braces.

use super::file::ContainerFile;
use crate::error::{Error, Result};
use regex::Regex;
use std::collections::BTreeMap;

/// What a template may name.
pub(crate) struct Facts<'a> {
    pub file: &'a ContainerFile,
    pub name: &'a str,
    pub command: Vec<String>,
}

/// Checks template and expressions without a container.
pub(crate) fn check(options: &BTreeMap<String, String>) -> Result<()> {
    for key in ["labels-regex", "env-regex"] {
        options.get(key).map(|text| expression(text)).transpose()?;
    }
    let Some(template) = options.get("tag") else { return Ok(()) };
    let file = ContainerFile { id: "0".repeat(64), ..ContainerFile::default() };
    fill(template, &Facts { file: &file, name: "", command: Vec::new() }).map(|_| ())
}

/// Fills a tag template in.
pub(crate) fn fill(template: &str, facts: &Facts<'_>) -> Result<String> {
    let mut out = String::new();
    let mut rest = template;
    while let Some(start) = rest.find("{{") {
        out.push_str(&rest[..start]);
        let end =
            rest[start..].find("}}").ok_or_else(|| Error::invalid(format!("unclosed action in tag: {template}")))?;
        let action = rest[start + 2..start + end].trim().trim_matches('-').trim();
        out.push_str(&field(action, facts)?);
        rest = &rest[start + end + 2..];
    }
    out.push_str(rest);
    Ok(out)
}

fn field(action: &str, facts: &Facts<'_>) -> Result<String> {
    let file = facts.file;
    let bare = file.image_id.strip_prefix("sha256:").unwrap_or(&file.image_id);
    let short = |text: &str| text.chars().take(12).collect::<String>();
    if let Some(label) = action.strip_prefix("index .ContainerLabels ") {
        return Ok(file.config.labels.get(label.trim().trim_matches('"')).cloned().unwrap_or_default());
    }
    Ok(match action {
        ".ID" => short(&file.id),
        ".FullID" | ".ContainerID" => file.id.clone(),
        ".Name" => facts.name.to_owned(),
        ".ContainerName" => format!("/{}", facts.name),
        ".ImageID" => short(bare),
        ".ImageFullID" | ".ContainerImageID" => file.image_id.clone(),
        ".ImageName" | ".ContainerImageName" => file.config.image.clone(),
        ".DaemonName" => "gantry".to_owned(),
        ".Command" => facts.command.join(" "),
        ".Hostname" => nix::unistd::gethostname().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default(),
        other => return Err(Error::invalid(format!("error in tag template: can't evaluate \"{other}\""))),
    })
}

/// Attributes of every record: labels, then labels by expression, then environment, then environment by expression;
/// later ones win. A tag is an attribute when it was asked for.
pub(crate) fn attributes(facts: &Facts<'_>, options: &BTreeMap<String, String>) -> Result<Vec<(String, String)>> {
    let mut found = BTreeMap::new();
    let labels = &facts.file.config.labels;
    let environment: BTreeMap<String, String> = facts.file.config.env.iter().filter_map(|e| pair(e)).collect();
    for (values, list, regex) in [(labels, "labels", "labels-regex"), (&environment, "env", "env-regex")] {
        select_listed(values, options.get(list), &mut found);
        select_matching(values, options.get(regex), &mut found)?;
    }
    if let Some(template) = options.get("tag").filter(|t| !t.is_empty()) {
        found.insert("tag".to_owned(), fill(template, facts)?);
    }
    Ok(found.into_iter().collect())
}

fn pair(text: &str) -> Option<(String, String)> {
    text.split_once('=').map(|(k, v)| (k.to_owned(), v.to_owned()))
}

fn select_listed(values: &BTreeMap<String, String>, list: Option<&String>, found: &mut BTreeMap<String, String>) {
    for key in list.into_iter().flat_map(|l| l.split(',')) {
        if let Some(value) = values.get(key) {
            found.insert(key.to_owned(), value.clone());
        }
    }
}

fn select_matching(
    values: &BTreeMap<String, String>,
    regex: Option<&String>,
    found: &mut BTreeMap<String, String>,
) -> Result<()> {
    let Some(text) = regex.filter(|t| !t.is_empty()) else { return Ok(()) };
    let regex = expression(text)?;
    found.extend(values.iter().filter(|(k, _)| regex.is_match(k)).map(|(k, v)| (k.clone(), v.clone())));
    Ok(())
}

fn expression(text: &str) -> Result<Regex> {
    Regex::new(text).map_err(|e| Error::invalid(format!("error parsing regexp: {}", e.to_string().replace('\n', " "))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use gantry_model::container::Config;

    fn file() -> ContainerFile {
        let labels = BTreeMap::from([("app".to_owned(), "x".to_owned()), ("tier".to_owned(), "y".to_owned())]);
        let env = vec!["A=1".to_owned(), "app=env".to_owned()];
        ContainerFile { id: "ab".repeat(32), config: Config { labels, env, ..Config::default() }, ..Default::default() }
    }

    #[test]
    fn tags_and_attributes() {
        let file = file();
        let facts = Facts { file: &file, name: "web", command: Vec::new() };
        assert_eq!(fill("{{.Name}}/{{ .ID }}", &facts).expect("tag"), "web/abababababab");
        assert!(fill("{{.Nope}}", &facts).is_err());
        let options = [("labels", "app,none"), ("labels-regex", "^t"), ("env", "app")];
        let options = options.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let found = attributes(&facts, &options).expect("attributes");
        assert_eq!(found, [("app".to_owned(), "env".to_owned()), ("tier".to_owned(), "y".to_owned())]);
    }
}
