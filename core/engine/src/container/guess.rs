//! What a request tells of its container before anything is prepared: enough for the keeper to clone the init and make
//! the cgroups meanwhile. A wrong guess is dismissed.

use super::foreign::is_own;
use super::start::cgroup_path;
use crate::Engine;
use crate::error::Result;
use gantry_model::container::HostConfig;
use gantry_supervisor::Guess;
use gantry_sys::process::namespace;

impl Engine {
    pub(crate) fn guess(&self, id: &str, host: &HostConfig) -> Result<Guess> {
        // With maps to be written an init cannot be made in advance.
        if !is_own(&host.runtime) || self.wants_userns(host) {
            return Ok(Guess::default());
        }
        let path = cgroup_path(host, id);
        let hierarchies = self.cgroups()?.hierarchies.iter();
        Ok(Guess::new(namespaces(host), hierarchies.map(|h| (h.unified, h.mount.join(&path)))))
    }
}

/// The namespaces of its own; the cgroup namespace is made later.
fn namespaces(host: &HostConfig) -> u64 {
    let modes = [
        (host.pid_mode.as_str(), namespace::PID),
        (host.ipc_mode.as_str(), namespace::IPC),
        (host.uts_mode.as_str(), namespace::UTS),
        (host.network_mode.as_str(), namespace::NET),
    ];
    let own = modes.iter().filter(|(mode, _)| *mode != "host" && !mode.starts_with("container:"));
    own.fold(namespace::MOUNT, |flags, (_, flag)| flags | flag)
}
