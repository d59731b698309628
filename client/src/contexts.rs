//! Named engines: one file of the user's that lists them, and which is current.

use crate::address::Address;
use crate::error::{Error, Result};
use crate::line::Target;
use crate::tls::Files;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The engine here, by name.
pub const LOCAL: &str = "default";

/// One engine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Context {
    pub description: String,
    pub host: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<Files>,
}

impl Context {
    /// Where it is.
    pub fn target(&self) -> Result<Target> {
        Ok(Target { address: Address::parse(&self.host)?, tls: self.tls.clone() })
    }
}

/// All of a user's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Contexts {
    /// The name of the current one; none was chosen when it is empty.
    pub current: String,
    pub contexts: BTreeMap<String, Context>,
}

impl Contexts {
    /// Where they are kept: `gantry/contexts.json` among the user's configuration files.
    pub fn path(variable: &dyn Fn(&str) -> Option<String>) -> Option<PathBuf> {
        let set = |name: &str| variable(name).filter(|value| value.starts_with('/'));
        let dir = set("XDG_CONFIG_HOME").map(PathBuf::from).or_else(|| Some(Path::new(&set("HOME")?).join(".config")));
        Some(dir?.join("gantry/contexts.json"))
    }

    /// Reads them; a user without the file has none.
    pub fn load(path: &Path) -> Result<Contexts> {
        let bytes = match fs::read(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Contexts::default()),
            read => read.map_err(|source| Error::Read { path: path.to_owned(), source })?,
        };
        serde_json::from_slice(&bytes).map_err(|source| Error::Parse { path: path.to_owned(), source })
    }

    /// Writes them: the old file or the new one is there, never half of it.
    pub fn save(&self, path: &Path) -> Result<()> {
        let failed = |source| Error::Write { path: path.to_owned(), source };
        if let Some(dir) = path.parent() {
            fs::create_dir_all(dir).map_err(failed)?;
        }
        let draft = path.with_extension(format!("{}.tmp", std::process::id()));
        let text = serde_json::to_vec_pretty(self).map_err(|error| failed(error.into()))?;
        let mut options = fs::File::options();
        let opened = options.write(true).create(true).truncate(true).mode(0o600).open(&draft);
        opened.and_then(|mut file| file.write_all(&text)).map_err(failed)?;
        fs::rename(&draft, path).map_err(failed)
    }

    /// One by name.
    pub fn find(&self, name: &str) -> Result<&Context> {
        let missing = || Error::Choice(format!("context {name:?} does not exist"));
        self.contexts.get(name).ok_or_else(missing)
    }

    /// Refuses names that nobody could type.
    pub fn check_name(name: &str) -> Result<()> {
        let fits = |(at, c): (usize, char)| c.is_ascii_alphanumeric() || (at > 0 && "_.+-".contains(c));
        match name.chars().enumerate().all(fits) && (2..=128).contains(&name.len()) {
            _ if name == LOCAL || name == "local" => Err(Error::Choice(format!("{name:?} is the engine here"))),
            true => Ok(()),
            false => Err(Error::Choice(format!(
                "invalid context name {name:?}: expected two or more of a-z, A-Z, 0-9, _ . + -, a letter or digit first"
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kept_and_read() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("a/contexts.json");
        assert_eq!(Contexts::load(&path).expect("none"), Contexts::default());
        let mut contexts = Contexts { current: "prod".into(), ..Contexts::default() };
        let tls = Some(Files { ca: "/ca.pem".into(), ..Files::default() });
        contexts.contexts.insert("prod".into(), Context { host: "tcp://h:1".into(), tls, ..Context::default() });
        contexts.save(&path).expect("written");
        assert_eq!(Contexts::load(&path).expect("read"), contexts);
        assert!(contexts.find("prod").and_then(Context::target).is_ok_and(|target| target.tls.is_some()));
        assert!(contexts.find("nosuch").is_err());
        fs::write(&path, "x").expect("written");
        assert!(matches!(Contexts::load(&path), Err(Error::Parse { .. })));
    }

    #[test]
    fn names() {
        assert!(Contexts::check_name("prod-1").is_ok());
        for name in ["default", "local", "a", "-x", "a b", "", "ä1"] {
            assert!(Contexts::check_name(name).is_err(), "{name}");
        }
    }
}
