//! What the engine asks for.

use crate::seccomp::Seccomp;
use oci_spec::runtime::{LinuxPersonality, Process, Spec};
use std::path::Path;

/// Everything a container start is planned from.
#[derive(Clone, Copy, Debug)]
pub struct PlanRequest<'a> {
    pub id: &'a str,
    /// Process, mounts, linux (namespaces, resources, masked and read-only paths, devices, sysctl),
    /// hostname, root.readonly. `process.user.username`, when present, is `user[:group]` to be looked
    /// up in the image and wins over the numeric ids; empty means root.
    pub spec: &'a Spec,
    /// How to make the root file system inside the container's own mount namespace; the first is "/".
    pub root: &'a [RootMount],
    /// Relative to every hierarchy, such as "gantry/<id>".
    pub cgroup: &'a str,
    /// Where compiled filters are kept.
    pub cache_dir: Option<&'a Path>,
    pub seccomp: Seccomp<'a>,
    pub terminal: bool,
    /// Further groups of the user, by name, to be looked up in the image.
    pub groups: &'a [String],
    /// Whether the first process is a small one of ours that passes signals on and reaps orphans.
    pub init: bool,
    /// Whether the files of the root are seen through the map of the new user namespace, instead of belonging to it
    /// already.
    pub map_owners: bool,
    pub manner: Manner<'a>,
}

/// In what the OCI command line's starts differ from the engine's; the default is the engine's way.
#[derive(Clone, Copy, Debug, Default)]
pub struct Manner<'a> {
    /// The root becomes "/" by `chroot`: an initial ramfs cannot be pivoted.
    pub no_pivot: bool,
    /// The caller's session keyring is kept.
    pub no_new_keyring: bool,
    /// How many descriptors after the standard ones the program inherits.
    pub preserve_fds: u32,
    /// The terminal is made inside, and its master sent to a console socket.
    pub console_socket: bool,
    /// What hooks are told, as JSON in two parts: the number of the container's process goes between. The second is for
    /// hooks that run after the gate has opened.
    pub hook_states: Option<[(&'a str, &'a str); 2]>,
}

/// One mount of the root file system, as the storage driver says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RootMount {
    /// "overlay", "bind", "tmpfs", ...
    pub fstype: String,
    pub source: String,
    /// Relative to the root; "" is the root itself.
    pub target: String,
    /// `MS_*`
    pub flags: u64,
    /// Keys may repeat (`lowerdir+`).
    pub options: Vec<(String, Option<String>)>,
}

/// Everything a further process in a running container is planned from.
#[derive(Clone, Copy, Debug)]
pub struct ExecRequest<'a> {
    /// Arguments, environment, user, working directory, capabilities, limits; as in the spec.
    pub process: &'a Process,
    /// The container's cgroup.
    pub cgroup: &'a str,
    /// Groups below it to be joined instead, `[CONTROLLER,...:]PATH`; with none, that of the container's init will do where
    /// the container's own takes no processes.
    pub cgroup_parts: &'a [String],
    pub cache_dir: Option<&'a Path>,
    pub seccomp: Seccomp<'a>,
    pub terminal: bool,
    /// Further groups of the user, by name, to be looked up in the image.
    pub groups: &'a [String],
    pub manner: Manner<'a>,
    /// The container's.
    pub personality: Option<&'a LinuxPersonality>,
    /// Whether the container has a user or time namespace of its own.
    pub own_user: bool,
    pub own_time: bool,
}
