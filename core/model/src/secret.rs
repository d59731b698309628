//! How a container uses a secret: podman's `--secret NAME[,option=value…]`.

use crate::csv;
use serde::{Deserialize, Serialize};

/// The directory of secrets in a container.
pub const DIRECTORY: &str = "/run/secrets";

/// One secret of a container.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct SecretUse {
    /// Name or id.
    pub secret: String,
    /// `mount` or `env`.
    pub r#type: String,
    /// A file's name in the directory of secrets, an absolute path, or a variable's name.
    pub target: String,
    pub uid: u32,
    pub gid: u32,
    pub mode: u32,
}

/// Reads `NAME[,type=mount|env,target=…,uid=…,gid=…,mode=…]`.
pub fn parse(text: &str) -> Result<SecretUse, String> {
    let fields = csv::fields(text).map_err(|_| invalid(text, "it is no list of values"))?;
    let mut fields = fields.iter();
    let name = fields.next().filter(|name| !name.is_empty()).ok_or_else(|| invalid(text, "it names no secret"))?;
    let mut used = SecretUse { secret: name.clone(), r#type: "mount".into(), mode: 0o444, ..SecretUse::default() };
    let mut of_file = false;
    for field in fields {
        let (key, value) = field.split_once('=').ok_or_else(|| invalid(text, "options are written name=value"))?;
        let number =
            |base| u32::from_str_radix(value, base).map_err(|_| invalid(text, &format!("bad {key} {value:?}")));
        match key {
            "type" if matches!(value, "mount" | "env") => value.clone_into(&mut used.r#type),
            "type" => return Err(invalid(text, "its type must be mount or env")),
            "target" if !value.is_empty() => value.clone_into(&mut used.target),
            "uid" => (used.uid, of_file) = (number(10)?, true),
            "gid" => (used.gid, of_file) = (number(10)?, true),
            "mode" => (used.mode, of_file) = (number(8).and_then(permissions(text))?, true),
            _ => return Err(invalid(text, &format!("it has no option {key:?}"))),
        }
    }
    if of_file && used.r#type == "env" {
        return Err(invalid(text, "uid, gid and mode are for secrets that are mounted"));
    }
    if used.target.is_empty() {
        used.target.clone_from(&used.secret);
    }
    check_target(&used).map_err(|why| invalid(text, why))?;
    Ok(used)
}

fn permissions(text: &str) -> impl Fn(u32) -> Result<u32, String> {
    move |mode| if mode <= 0o777 { Ok(mode) } else { Err(invalid(text, "its mode is above 0777")) }
}

/// What a target may be.
fn check_target(used: &SecretUse) -> Result<(), &'static str> {
    let target = used.target.as_str();
    match used.r#type.as_str() {
        "env" if target.contains('=') || target.contains('\0') => Err("its target is no name of a variable"),
        "env" => Ok(()),
        _ if target.contains('\0') || target.split('/').any(|part| part == "..") => Err("its target is no plain path"),
        _ if target.starts_with('/') && target.len() > 1 => Ok(()),
        _ if target.contains('/') || target == "." || target.len() > 255 => {
            Err("its target must be a file's name or an absolute path")
        }
        _ => Ok(()),
    }
}

fn invalid(text: &str, why: &str) -> String {
    format!("invalid secret {text:?}: {why}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_and_faults_told() {
        let plain = parse("key").expect("plain");
        assert_eq!((&*plain.r#type, &*plain.target, plain.mode), ("mount", "key", 0o444));
        let full = parse("key,target=/etc/k,uid=1,gid=2,mode=0400").expect("full");
        assert_eq!((&*full.target, full.uid, full.gid, full.mode), ("/etc/k", 1, 2, 0o400));
        let env = parse("key,type=env,target=KEY").expect("env");
        assert_eq!((&*env.r#type, &*env.target), ("env", "KEY"));
        for bad in [
            "",
            ",type=env",
            "k,type=x",
            "k,mode=9",
            "k,mode=1777",
            "k,type=env,uid=1",
            "k,what=1",
            "k,target=a/b",
            "k,target=/a/../b",
            "k,type=env,target=A=B",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
