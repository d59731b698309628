//! Where names and passwords are kept: Docker's `config.json` and the credential helpers that it names, so that a login
//! with either program holds for both.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::error::{Error, Result};
use crate::settings::credential_key;

/// The user name under which helpers keep lasting tokens.
const TOKEN_USER: &str = "<token>";

/// The key of the credentials themselves.
const AUTHS: &str = "auths";

/// Who we are to a registry.
#[derive(Clone, PartialEq, Eq)]
pub enum Login {
    Basic {
        user: String,
        password: String,
    },
    /// A lasting token.
    Token(String),
}

/// Secrets are not for logs.
impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Basic { user, .. } => write!(f, "Login({user})"),
            Self::Token(_) => write!(f, "Login(token)"),
        }
    }
}

/// Where a login was kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Saved {
    /// Readable in this file.
    File(PathBuf),
    /// By this helper.
    Helper(String),
}

/// The file with the credentials.
#[derive(Clone, Debug)]
pub struct Credentials {
    path: Option<PathBuf>,
    given: Option<(String, Login)>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HelperEntry {
    #[serde(rename = "ServerURL", default)]
    server_url: String,
    username: String,
    secret: String,
}

impl Credentials {
    /// The user's: `$DOCKER_CONFIG/config.json`, else `~/.docker/config.json`.
    pub fn of_user() -> Self {
        let named = std::env::var_os("DOCKER_CONFIG").filter(|dir| !dir.is_empty()).map(PathBuf::from);
        let home =
            || std::env::var_os("HOME").filter(|home| !home.is_empty()).map(|home| Path::new(&home).join(".docker"));
        Self { path: named.or_else(home).map(|dir| dir.join("config.json")), given: None }
    }

    /// These of one registry alone, whatever any file says; `None`: none at all.
    pub fn only(given: Option<(String, Login)>) -> Self {
        Self { path: None, given }
    }

    /// Those in a file.
    pub fn in_file(path: impl Into<PathBuf>) -> Self {
        Self { path: Some(path.into()), given: None }
    }

    /// Those for a registry, if there are any.
    pub fn find(&self, host: &str) -> Result<Option<Login>> {
        if let Some((_, login)) = self.given.iter().find(|(known, _)| credential_key(known) == credential_key(host)) {
            return Ok(Some(login.clone()));
        }
        let config = self.read()?;
        if let Some(helper) = helper(&config, host) {
            return ask_helper(&helper, host);
        }
        let Some(auths) = config.get(AUTHS).and_then(Value::as_object) else { return Ok(None) };
        let entry = auths.get(credential_key(host)).or_else(|| {
            let same = |key: &&String| bare(key) == host;
            auths.iter().find(|(key, _)| same(key)).map(|(_, entry)| entry)
        });
        Ok(entry.and_then(login))
    }

    /// Keeps those of a registry.
    pub fn save(&self, host: &str, login: &Login) -> Result<Saved> {
        let mut config = self.read()?;
        let key = credential_key(host).to_owned();
        if let Some(name) = helper(&config, host) {
            let (username, secret) = match login {
                Login::Basic { user, password } => (user.clone(), password.clone()),
                Login::Token(token) => (TOKEN_USER.to_owned(), token.clone()),
            };
            let entry = serde_json::to_vec(&HelperEntry { server_url: key, username, secret }).unwrap_or_default();
            run_helper(&name, "store", &entry)?;
            return Ok(Saved::Helper(name));
        }
        let entry = match login {
            Login::Basic { user, password } => json!({ "auth": STANDARD.encode(format!("{user}:{password}")) }),
            Login::Token(token) => {
                json!({ "auth": STANDARD.encode("00000000-0000-0000-0000-000000000000:"), "identitytoken": token })
            }
        };
        let mut auths = take_auths(&mut config);
        auths.insert(key, entry);
        config.insert(AUTHS.to_owned(), Value::Object(auths));
        self.write(&config).map(Saved::File)
    }

    /// Forgets those of a registry; false if there were none.
    pub fn remove(&self, host: &str) -> Result<bool> {
        let mut config = self.read()?;
        let known_to_helper = match helper(&config, host) {
            Some(name) => run_helper(&name, "erase", credential_key(host).as_bytes()).is_ok(),
            None => false,
        };
        let mut auths = take_auths(&mut config);
        let keys: Vec<String> =
            auths.keys().filter(|key| *key == credential_key(host) || bare(key) == host).cloned().collect();
        keys.iter().for_each(|key| drop(auths.shift_remove(key)));
        if !keys.is_empty() {
            config.insert(AUTHS.to_owned(), Value::Object(auths));
            self.write(&config)?;
        }
        Ok(known_to_helper || !keys.is_empty())
    }

    fn read(&self) -> Result<Map<String, Value>> {
        let Some(path) = &self.path else { return Ok(Map::new()) };
        let text = match fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Map::new()),
            Err(error) => return Err(Error::file("read", path)(error)),
        };
        let broken =
            |source: serde_json::Error| Error::File { act: "understand", path: path.clone(), source: source.into() };
        serde_json::from_slice(&text).map_err(broken)
    }

    /// Replaces the file, which only its owner may read.
    fn write(&self, config: &Map<String, Value>) -> Result<PathBuf> {
        let path = self.path.clone().ok_or_else(|| Error::File {
            act: "find a place for",
            path: "config.json".into(),
            source: "neither DOCKER_CONFIG nor HOME is set".into(),
        })?;
        let dir = path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(dir).map_err(Error::file("create", dir))?;
        // A link to a file elsewhere stays one.
        let real = fs::canonicalize(&path).unwrap_or_else(|_| path.clone());
        let temporary = real.with_extension(format!("json.{}", std::process::id()));
        let text = serde_json::to_vec_pretty(config).unwrap_or_default();
        let written = write_private(&temporary, &text, &real).and_then(|()| fs::rename(&temporary, &real));
        written.inspect_err(|_| drop(fs::remove_file(&temporary))).map_err(Error::file("write", &path))?;
        Ok(path)
    }
}

fn write_private(temporary: &Path, text: &[u8], old: &Path) -> std::io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(temporary)?;
    if let Ok(meta) = fs::metadata(old) {
        let private = meta.permissions().mode() & 0o700;
        file.set_permissions(fs::Permissions::from_mode(private | 0o600))?;
    }
    file.write_all(text)?;
    file.sync_all()
}

fn take_auths(config: &mut Map<String, Value>) -> Map<String, Value> {
    match config.get_mut(AUTHS).map(Value::take) {
        Some(Value::Object(auths)) => auths,
        _ => Map::new(),
    }
}

/// The helper for a registry: its own, else the one for all.
fn helper(config: &Map<String, Value>, host: &str) -> Option<String> {
    let own =
        config.get("credHelpers").and_then(|helpers| helpers.get(host).or_else(|| helpers.get(credential_key(host))));
    let name = own.or_else(|| config.get("credsStore"))?.as_str()?;
    (!name.is_empty()).then(|| name.to_owned())
}

fn login(entry: &Value) -> Option<Login> {
    let text = |key: &str| entry.get(key).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned);
    if let Some(token) = text("identitytoken") {
        return Some(Login::Token(token));
    }
    if let (Some(user), Some(password)) = (text("username"), text("password")) {
        return Some(Login::Basic { user, password });
    }
    let decoded = STANDARD.decode(text("auth")?).ok()?;
    let decoded = String::from_utf8(decoded).ok()?;
    let (user, password) = decoded.trim_end_matches('\0').split_once(':')?;
    Some(Login::Basic { user: user.to_owned(), password: password.to_owned() })
}

fn ask_helper(name: &str, host: &str) -> Result<Option<Login>> {
    let answer = match run_helper(name, "get", credential_key(host).as_bytes()) {
        Ok(answer) => answer,
        Err(Error::Helper { message, .. }) if message.contains("credentials not found") => return Ok(None),
        Err(error) => return Err(error),
    };
    let fault = |error: serde_json::Error| Error::Helper { helper: name.to_owned(), message: error.to_string() };
    let entry: HelperEntry = serde_json::from_slice(&answer).map_err(fault)?;
    Ok(Some(match entry.username.as_str() {
        TOKEN_USER => Login::Token(entry.secret),
        _ => Login::Basic { user: entry.username, password: entry.secret },
    }))
}

/// Runs `docker-credential-NAME`: the only way there is to these credentials.
fn run_helper(name: &str, act: &str, input: &[u8]) -> Result<Vec<u8>> {
    let helper = format!("docker-credential-{name}");
    let fault = |message: String| Error::Helper { helper: helper.clone(), message };
    if name.contains('/') {
        return Err(fault("its name is a path".to_owned()));
    }
    let mut command = Command::new(&helper);
    command.arg(act).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| fault(error.to_string()))?;
    if let Some(mut stdin) = child.stdin.take() {
        let _ = stdin.write_all(input);
    }
    let output = child.wait_with_output().map_err(|error| fault(error.to_string()))?;
    match output.status.success() {
        true => Ok(output.stdout),
        false => {
            let said = if output.stdout.is_empty() { output.stderr } else { output.stdout };
            Err(fault(String::from_utf8_lossy(&said).trim().to_owned()))
        }
    }
}

/// A key of `auths` as a host.
fn bare(key: &str) -> &str {
    let rest = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
    rest.split('/').next().unwrap_or(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn basic(user: &str, password: &str) -> Login {
        Login::Basic { user: user.to_owned(), password: password.to_owned() }
    }

    #[test]
    fn kept_beside_what_else_is_there() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("sub/config.json");
        let credentials = Credentials::in_file(&path);
        assert_eq!(credentials.find("reg.test").expect("none"), None);
        assert_eq!(credentials.save("reg.test", &basic("u", "p:q")).expect("saved"), Saved::File(path.clone()));
        let mut config = credentials.read().expect("read");
        config.insert("detachKeys".into(), "ctrl-x".into());
        credentials.write(&config).expect("written");
        credentials.save("docker.io", &Login::Token("t".into())).expect("saved");
        assert_eq!(credentials.find("reg.test").expect("found"), Some(basic("u", "p:q")));
        assert_eq!(credentials.find("docker.io").expect("found"), Some(Login::Token("t".into())));
        assert_eq!(fs::metadata(&path).expect("meta").permissions().mode() & 0o777, 0o600);
        assert!(credentials.remove("reg.test").expect("removed"));
        assert!(!credentials.remove("reg.test").expect("nothing"));
        let text = fs::read_to_string(&path).expect("text");
        assert!(text.contains("https://index.docker.io/v1/") && text.contains("ctrl-x"), "{text}");
    }

    #[test]
    fn old_spellings() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("config.json");
        let text = r#"{"auths":{"https://reg.test/v1/":{"auth":"dTpw"},"b.test":{"username":"a","password":"b"},"c.test":{}}}"#;
        fs::write(&path, text).expect("written");
        let credentials = Credentials::in_file(&path);
        assert_eq!(credentials.find("reg.test").expect("found"), Some(basic("u", "p")));
        assert_eq!(credentials.find("b.test").expect("found"), Some(basic("a", "b")));
        assert_eq!(credentials.find("c.test").expect("none"), None);
        fs::write(&path, "{").expect("written");
        assert!(credentials.find("c.test").is_err());
    }
}
