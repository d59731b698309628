//! Log tags and attributes: what `tag`, `labels`, `env` and their regular expressions select.

use super::file::ContainerFile;
use crate::error::{Error, Result};
use gantry_model::template::Template;
use regex::Regex;
use serde_json::{Value, json};
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
    fill(template, &Facts { file: &file, name: "name", command: vec!["command".to_owned()] }).map(|_| ())
}

/// Fills a tag template in.
pub(crate) fn fill(template: &str, facts: &Facts<'_>) -> Result<String> {
    if !template.contains("{{") {
        return Ok(template.to_owned());
    }
    let filled = Template::parse(template).and_then(|parsed| parsed.render(&object(facts)));
    filled.map_err(|error| Error::invalid(format!("error in tag template {template:?}: {}", error.0)))
}

/// What a template sees.
fn object(facts: &Facts<'_>) -> Value {
    let file = facts.file;
    let bare = file.image_id.strip_prefix("sha256:").unwrap_or(&file.image_id);
    let short = |text: &str| text.chars().take(12).collect::<String>();
    let (program, arguments) = facts.command.split_first().map_or(("", &[][..]), |(p, a)| (p.as_str(), a));
    let host = nix::unistd::gethostname().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    json!({
        "ID": short(&file.id),
        "FullID": file.id,
        "ContainerID": file.id,
        "Name": facts.name,
        "ContainerName": format!("/{}", facts.name),
        "ImageID": short(bare),
        "ImageFullID": file.image_id,
        "ContainerImageID": file.image_id,
        "ImageName": file.config.image,
        "ContainerImageName": file.config.image,
        "DaemonName": "gantry",
        "Command": facts.command.join(" "),
        "ContainerEntrypoint": program,
        "ContainerArgs": arguments,
        "ContainerCreated": crate::rfc3339(file.created_ns),
        "ContainerEnv": file.config.env,
        "ContainerLabels": file.config.labels,
        "Config": file.host.log_config.config,
        "LogPath": "",
        "Hostname": host,
    })
}

/// Attributes of every record: labels, then labels by expression, then environment, then environment by expression;
/// later ones win. A tag is an attribute when it was asked for.
pub(crate) fn attributes(
    facts: &Facts<'_>,
    options: &BTreeMap<String, String>,
    tag: &str,
) -> Result<Vec<(String, String)>> {
    let mut found = BTreeMap::new();
    let labels = &facts.file.config.labels;
    let environment: BTreeMap<String, String> = facts.file.config.env.iter().filter_map(|e| pair(e)).collect();
    for (values, list, regex) in [(labels, "labels", "labels-regex"), (&environment, "env", "env-regex")] {
        select_listed(values, options.get(list), &mut found);
        select_matching(values, options.get(regex), &mut found)?;
    }
    if !tag.is_empty() {
        found.insert("tag".to_owned(), tag.to_owned());
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

pub(super) fn expression(text: &str) -> Result<Regex> {
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
        let facts = Facts { file: &file, name: "web", command: vec!["sh".to_owned(), "-c".to_owned()] };
        for (template, want) in [
            ("{{.Name}}/{{ .ID }}", "web/abababababab"),
            ("plain", "plain"),
            ("{{.Name | upper}} {{truncate .FullID 4}}", "WEB abab"),
            ("{{index .ContainerLabels \"app\"}}|{{index .ContainerLabels \"none\"}}", "x|"),
            ("{{if .ImageName}}{{.ImageName}}{{else}}none{{- end -}} !", "none!"),
            ("{{.Command}} {{join .ContainerArgs \",\"}}", "sh -c -c"),
        ] {
            assert_eq!(fill(template, &facts).expect(template), want);
        }
        for bad in ["{{.Nope}}", "{{.Name", "{{nope .Name}}", "{{end}}"] {
            let error = fill(bad, &facts).expect_err(bad).to_string();
            assert!(error.contains(bad), "{error}");
        }
        let options = [("labels", "app,none"), ("labels-regex", "^t"), ("env", "app")];
        let options = options.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let found = attributes(&facts, &options, "").expect("attributes");
        assert_eq!(found, [("app".to_owned(), "env".to_owned()), ("tier".to_owned(), "y".to_owned())]);
    }
}
