//! Which contexts the host's policy has for containers. Policies bring a file for that; where it lies depends on the policy
//! that is in use, which `/etc/selinux/config` names.

use super::context::Context;
use crate::error::{Error, Result};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Of distributions whose policy for containers is a package of its own.
const OF_CONTAINERS: &str = "usr/share/containers/selinux/contexts";
const CONFIG: &str = "etc/selinux/config";

/// The contexts of a container before anything is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Policy {
    pub process: Context,
    pub file: Context,
}

impl Policy {
    /// `None` where the policy knows no containers.
    pub fn of_this_host() -> Result<Option<Policy>> {
        Policy::below(Path::new("/"))
    }

    fn below(root: &Path) -> Result<Option<Policy>> {
        for path in [Some(root.join(OF_CONTAINERS)), of_type(root)].into_iter().flatten() {
            match fs::read_to_string(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                other => return Ok(parse(&other.map_err(Error::io(format!("read {}", path.display())))?)),
            }
        }
        Ok(None)
    }
}

/// The file of the policy in use.
fn of_type(root: &Path) -> Option<PathBuf> {
    let config = fs::read_to_string(root.join(CONFIG)).ok()?;
    let name = config.lines().filter_map(|line| line.trim().strip_prefix("SELINUXTYPE=")).next_back()?.trim();
    Some(root.join("etc/selinux").join(name).join("contexts/lxc_contexts"))
}

/// Lines of `name = "context"`.
fn parse(text: &str) -> Option<Policy> {
    let value = |wanted: &str| {
        let lines = text.lines().filter(|line| !line.trim_start().starts_with(['#', ';']));
        let mut values = lines.filter_map(|line| line.split_once('=')).filter(|(name, _)| name.trim() == wanted);
        values.next().and_then(|(_, value)| Context::parse(value.trim().trim_matches('"')))
    };
    Some(Policy { process: value("process")?, file: value("file")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# of containers\nprocess = \"system_u:system_r:container_t:s0\"\ncontent = \"a:b:c:s0\"\n\
                        file = \"system_u:object_r:container_file_t:s0\"\nro_file=\"system_u:object_r:container_ro_file_t:s0\"\n";

    #[test]
    fn contexts_are_read() {
        let policy = parse(TEXT).unwrap();
        assert_eq!(policy.process.to_string(), "system_u:system_r:container_t:s0");
        assert_eq!(policy.file.to_string(), "system_u:object_r:container_file_t:s0");
        assert_eq!(parse("process = \"a:b:c:s0\"\n"), None);
    }

    #[test]
    fn the_packages_file_comes_before_the_policy_s() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        assert_eq!(Policy::below(root.path()).unwrap(), None);
        write(CONFIG, "SELINUX=enforcing\n# a word\nSELINUXTYPE=targeted\n");
        assert_eq!(Policy::below(root.path()).unwrap(), None);
        write("etc/selinux/targeted/contexts/lxc_contexts", &TEXT.replace("container_t", "svirt_lxc_net_t"));
        assert_eq!(Policy::below(root.path()).unwrap().unwrap().process.kind, "svirt_lxc_net_t");
        write(OF_CONTAINERS, TEXT);
        assert_eq!(Policy::below(root.path()).unwrap().unwrap().process.kind, "container_t");
    }
}
