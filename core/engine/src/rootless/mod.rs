//! The engine of an ordinary user.
//!
//! Everything happens in one user namespace and one mount namespace, in which the user is root: so all commands of a user
//! see the same containers with full rights over them. A small process holds both ("pause"); a command enters them before
//! it opens the engine. Entering only needs the user's own id, whereas making another namespace would need the setuid
//! helpers each time and could do nothing to containers of the first. The pause process is no daemon: it ends with the
//! last command and the last keeper, since all of them share a lock that it waits for. Killed, it costs nothing: the
//! namespaces live on in the keepers, where the next command finds them.

mod create;
mod enter;

use crate::error::{Error, Result};
use crate::request::Settings;
use gantry_model::class::Class;
use gantry_runtime::cgroup;
use gantry_store::Layout;
use std::path::{Path, PathBuf};

/// The lock that everybody in the namespaces shares.
pub(crate) const USERS: &str = "users.lock";
/// The lock of whoever enters, makes or leaves them.
pub(crate) const ENTERING: &str = "entering.lock";
/// The pause process: its number, its start and the boot.
pub(crate) const PAUSE: &str = "pause";

/// Makes this process root of its user's namespaces, when it is not root already. It must have one thread.
pub fn enter(settings: &Settings) -> Result<()> {
    if gantry_sys::userns::ordinary_user().is_none() {
        return Ok(());
    }
    let layout = Layout::new(&settings.root, &settings.state);
    prepare(layout.state())?;
    prepare(layout.root())?;
    enter::enter(&layout)
}

/// For commands that start nothing: an ordinary user's containers have their cgroups below his systemd, wherever he calls from.
pub fn look_at_delegated_cgroups() {
    if is_needed() {
        cgroup::look_from_outside();
    }
}

/// Has an ordinary user's process, before it enters, come to where it may make cgroups, when it is not there: below the
/// user's own systemd, as far as that runs. For those who start containers or processes in them.
pub fn come_to_delegated_cgroups() {
    let Some(user) = gantry_sys::userns::ordinary_user() else { return };
    let bus = || std::env::var_os("XDG_RUNTIME_DIR").map(|dir| PathBuf::from(dir).join("bus"));
    let Some(bus) = bus().filter(|_| cgroup::must_move(user)) else { return };
    if let Err(error) = cgroup::move_to_user_scope(&bus) {
        tracing::warn!("containers cannot be limited: {error}");
    }
}

/// Whether this process is an ordinary user's and outside of his namespaces.
pub fn is_needed() -> bool {
    gantry_sys::userns::ordinary_user().is_some()
}

/// A directory of the user's own.
fn prepare(dir: &Path) -> Result<()> {
    use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
    let act = || format!("make {}", dir.display());
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(Error::io(act()))?;
    let meta = std::fs::symlink_metadata(dir).map_err(Error::io(act()))?;
    if !meta.is_dir() || Some(meta.uid()) != gantry_sys::userns::ordinary_user() {
        let message = format!("{} is not your own directory", dir.display());
        return Err(Error::request(Class::NotPermitted, message).with_hint("choose another with --root and --state"));
    }
    if meta.permissions().mode() & 0o077 != 0 {
        // Others would find in it what images hold for other users, setuid programs among them.
        let private = std::fs::Permissions::from_mode(0o700);
        std::fs::set_permissions(dir, private).map_err(Error::io(act()))?;
    }
    Ok(())
}

fn state_file(layout: &Layout, name: &str) -> PathBuf {
    layout.state().join(name)
}
