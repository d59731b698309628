//! Secrets: what containers may know and nobody else is to be told. The content lies in the engine's root, readable by
//! its owner alone; it goes from there into a container's memory at each start, and neither into its configuration, its
//! layer, its image nor its log.

use crate::Engine;
use crate::container::ContainerFile;
use crate::container::foreign;
use crate::error::{Error, Result};
use gantry_model::class::Class;
use gantry_model::container::HostConfig;
use gantry_model::secret::{DIRECTORY, SecretUse};
use gantry_runtime::SecretFile;
use gantry_store::atomic::{self, Durability};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::PathBuf;

/// podman's limit.
const LARGEST: usize = 512_000;
const ID_DIGITS: usize = 25;

/// What the engine keeps of a secret beside its content.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct SecretRecord {
    schema: u32,
    id: String,
    name: String,
    labels: BTreeMap<String, String>,
    created_ns: u64,
}

/// A secret to make.
#[derive(Default)]
pub struct SecretRequest {
    /// Its name.
    pub name: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Its content.
    pub data: Vec<u8>,
    /// In place of one of the same name.
    pub replace: bool,
}

impl Engine {
    fn secrets_dir(&self) -> PathBuf {
        self.layout.root().join("secrets")
    }

    /// Makes a secret; answers its id.
    pub fn secret_create(&self, request: SecretRequest) -> Result<String> {
        check(&request)?;
        let dir = self.secrets_dir();
        let private = |path: &PathBuf| DirBuilder::new().recursive(true).mode(0o700).create(path);
        let act = || Error::io(format!("create secret {}", request.name));
        private(&dir).map_err(act())?;
        let _lock = gantry_store::lock::exclusive(&self.layout.root().join("secrets.lock"))?;
        let place = dir.join(&request.name);
        if place.exists() && !request.replace {
            return Err(Error::request(Class::Exists, format!("secret name in use: {}", request.name)));
        }
        let id = crate::random_id()?[..ID_DIGITS].to_owned();
        let draft = dir.join(format!(".{id}"));
        private(&draft).map_err(act())?;
        let made = self.fill_secret(&draft, &id, &request).and_then(|()| {
            if place.exists() {
                fs::remove_dir_all(&place).map_err(act())?;
            }
            fs::rename(&draft, &place).map_err(act())
        });
        if made.is_err() {
            let _ = fs::remove_dir_all(&draft);
        }
        made?;
        self.tell_object("secret", "create", &id, &[("name", &request.name)]);
        Ok(id)
    }

    fn fill_secret(&self, draft: &std::path::Path, id: &str, request: &SecretRequest) -> Result<()> {
        let act = || Error::io(format!("write secret {}", request.name));
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(draft.join("data"));
        let mut file = file.map_err(act())?;
        file.write_all(&request.data).and_then(|()| file.sync_all()).map_err(act())?;
        let record = SecretRecord {
            schema: 1,
            id: id.to_owned(),
            name: request.name.clone(),
            labels: request.labels.clone(),
            created_ns: crate::now_ns(),
        };
        Ok(atomic::write_json(&draft.join("record.json"), &record, Durability::Rename)?)
    }

    fn secret_records(&self) -> Vec<SecretRecord> {
        let entries = fs::read_dir(self.secrets_dir()).into_iter().flatten().flatten();
        let records = entries.filter(|entry| !entry.file_name().as_encoded_bytes().starts_with(b"."));
        let mut records: Vec<SecretRecord> =
            records.filter_map(|entry| atomic::read_json(&entry.path().join("record.json")).ok()).collect();
        records.sort_by(|a, b| a.name.cmp(&b.name));
        records
    }

    fn secret_record(&self, reference: &str) -> Result<SecretRecord> {
        let records = self.secret_records();
        if let Some(named) = records.iter().find(|record| record.name == reference || record.id == reference) {
            return Ok(named.clone());
        }
        let mut fitting =
            records.into_iter().filter(|record| !reference.is_empty() && record.id.starts_with(reference));
        match (fitting.next(), fitting.next()) {
            (Some(record), None) => Ok(record),
            (Some(_), Some(_)) => Err(Error::invalid(format!("more than one secret's id begins with {reference}"))),
            _ => Err(Error::request(Class::NotFound, format!("no such secret: {reference}"))),
        }
    }

    /// All secrets, without their contents.
    pub fn secrets(&self) -> Vec<Value> {
        self.secret_records().iter().map(shown).collect()
    }

    /// One of them; with its content when asked for.
    pub fn secret_inspect(&self, reference: &str, content: bool) -> Result<Value> {
        let record = self.secret_record(reference)?;
        let mut value = shown(&record);
        if content {
            let data = self.secret_data(&record.name)?;
            value["SecretData"] = Value::String(String::from_utf8_lossy(&data).into_owned());
        }
        Ok(value)
    }

    /// Removes a secret. Containers that run keep what they were given.
    pub fn secret_remove(&self, reference: &str) -> Result<String> {
        let record = self.secret_record(reference)?;
        let place = self.secrets_dir().join(&record.name);
        fs::remove_dir_all(&place).map_err(Error::io(format!("remove secret {}", record.name)))?;
        self.tell_object("secret", "remove", &record.id, &[("name", &record.name)]);
        Ok(record.id)
    }

    fn secret_data(&self, name: &str) -> Result<Vec<u8>> {
        fs::read(self.secrets_dir().join(name).join("data")).map_err(Error::io(format!("read secret {name}")))
    }

    /// Refuses secrets that do not exist and those a foreign runtime could not be given.
    pub(crate) fn check_secrets(&self, host: &HostConfig) -> Result<()> {
        for used in &host.secrets {
            self.secret_record(&used.secret)?;
            if used.r#type == "mount" && !foreign::is_own(&host.runtime) {
                let message = format!("a secret cannot be mounted with --runtime {}", host.runtime);
                return Err(Error::invalid(message).with_hint("give it as a variable: --secret NAME,type=env"));
            }
        }
        Ok(())
    }

    /// The variables that are secrets of a container, for its first process.
    pub(crate) fn secret_variables(&self, file: &ContainerFile) -> Result<Vec<String>> {
        let used = file.host.secrets.iter().filter(|used| used.r#type == "env");
        used.map(|used| self.secret_variable(used)).collect()
    }

    fn secret_variable(&self, used: &SecretUse) -> Result<String> {
        let record = self.secret_record(&used.secret)?;
        let unfit = || Error::invalid(format!("secret {} is no text: it cannot be a variable", record.name));
        let text = String::from_utf8(self.secret_data(&record.name)?).map_err(|_| unfit())?;
        if text.contains('\0') { Err(unfit()) } else { Ok(format!("{}={text}", used.target)) }
    }

    /// The files that are secrets of a container.
    pub(crate) fn secret_files(&self, file: &ContainerFile) -> Result<Vec<SecretFile>> {
        let used = file.host.secrets.iter().filter(|used| used.r#type == "mount").enumerate();
        used.map(|(number, used)| {
            let record = self.secret_record(&used.secret)?;
            let data = self.secret_data(&record.name)?;
            let elsewhere = used.target.starts_with('/') && !is_below(&used.target);
            let name = if elsewhere { format!(".{number}") } else { used.target.replace(&format!("{DIRECTORY}/"), "") };
            let target = elsewhere.then_some(used.target.as_str());
            Ok(SecretFile::new(&name, target, data, used.mode, (used.uid, used.gid))?)
        })
        .collect()
    }
}

/// Directly in the directory of secrets.
fn is_below(target: &str) -> bool {
    target.strip_prefix(DIRECTORY).and_then(|rest| rest.strip_prefix('/')).is_some_and(|name| !name.contains('/'))
}

fn check(request: &SecretRequest) -> Result<()> {
    let letters = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let first = request.name.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
    if !first || request.name.len() > 253 || !request.name.bytes().all(letters) {
        let name = &request.name;
        return Err(Error::invalid(format!(
            "invalid secret name {name:?}: only [a-zA-Z0-9][a-zA-Z0-9_.-]* is allowed"
        )));
    }
    match request.data.len() {
        0 => Err(Error::invalid("a secret must not be empty")),
        length if length > LARGEST => Err(Error::invalid(format!("a secret has at most {LARGEST} bytes"))),
        _ => Ok(()),
    }
}

fn shown(record: &SecretRecord) -> Value {
    let time = crate::rfc3339(record.created_ns);
    json!({
        "ID": record.id,
        "CreatedAt": time,
        "UpdatedAt": time,
        "Spec": { "Name": record.name, "Driver": { "Name": "file", "Options": {} }, "Labels": record.labels },
    })
}
