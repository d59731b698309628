//! Where an ordinary user has his configuration, his containers and what dies with the boot (XDG Base Directory
//! Specification).

use crate::{Config, Origin};
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::OnceLock;

/// A user's own places.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    /// Instead of `/etc/gantry`, and more important.
    pub config: PathBuf,
    /// Instead of `/var/lib/gantry`.
    pub root: PathBuf,
    /// Instead of `/run/gantry`.
    pub state: PathBuf,
}

impl Places {
    /// Those of the user of this process; `None` for root. Looked at once: who becomes root of his namespaces is still he.
    pub fn of_user() -> Option<Places> {
        static OWN: OnceLock<Option<Places>> = OnceLock::new();
        let look = || Some(Places::of(gantry_sys::userns::ordinary_user()?, |name| std::env::var_os(name)));
        OWN.get_or_init(look).clone()
    }

    fn of(user: u32, variable: impl Fn(&str) -> Option<OsString>) -> Places {
        let absolute = |name: &str| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let home = absolute("HOME").unwrap_or_else(|| format!("/tmp/gantry-home-{user}").into());
        let state = absolute("XDG_RUNTIME_DIR").map(|dir| dir.join("gantry"));
        Places {
            config: absolute("XDG_CONFIG_HOME").unwrap_or_else(|| home.join(".config")).join("gantry"),
            root: absolute("XDG_DATA_HOME").unwrap_or_else(|| home.join(".local/share")).join("gantry"),
            state: state.unwrap_or_else(|| format!("/tmp/gantry-{user}").into()),
        }
    }

    /// Before any file is read.
    pub(crate) fn begin(&self, config: &mut Config) {
        config.root.clone_from(&self.root);
        config.state.clone_from(&self.state);
    }

    /// The machine's files may say much for all users, but not where they have their things.
    pub(crate) fn keep(&self, config: &mut Config) {
        let foreign = |origin: &Origin| matches!(origin, Origin::File(path, _) if !path.starts_with(&self.config));
        for key in ["root", "state"] {
            if config.origins.get(key).is_some_and(foreign) {
                config.origins.remove(key);
                match key {
                    "root" => config.root.clone_from(&self.root),
                    _ => config.state.clone_from(&self.state),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(given: &[(&str, &str)]) -> Places {
        Places::of(1000, |name| given.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into()))
    }

    #[test]
    fn a_user_has_places_of_his_own() {
        let plain = places(&[("HOME", "/home/ann")]);
        assert_eq!(plain.root, PathBuf::from("/home/ann/.local/share/gantry"));
        assert_eq!(plain.config, PathBuf::from("/home/ann/.config/gantry"));
        assert_eq!(plain.state, PathBuf::from("/tmp/gantry-1000"));
        let all = [("HOME", "/h"), ("XDG_DATA_HOME", "/d"), ("XDG_RUNTIME_DIR", "/r"), ("XDG_CONFIG_HOME", "rel")];
        let all = places(&all);
        assert_eq!((all.root, all.state), (PathBuf::from("/d/gantry"), PathBuf::from("/r/gantry")));
        assert_eq!(all.config, PathBuf::from("/h/.config/gantry"));
    }

    #[test]
    fn the_machine_does_not_say_where() {
        let places = places(&[("HOME", "/h")]);
        let mut config = Config::default();
        places.begin(&mut config);
        config.root = "/var/lib/gantry".into();
        config.origins.insert("root".into(), Origin::File("/etc/gantry/gantry.toml".into(), 1));
        config.state = "/mine".into();
        config.origins.insert("state".into(), Origin::File("/h/.config/gantry/gantry.toml".into(), 1));
        places.keep(&mut config);
        assert_eq!((config.root, config.state), (places.root.clone(), PathBuf::from("/mine")));
        assert!(!config.origins.contains_key("root"));
    }
}
